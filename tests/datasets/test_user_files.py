"""A user's npz or folder: what is right is read as it is, what is wrong is refused in a line, nothing is believed."""

import io
import json
import os
import random
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnistlab.datasets import catalog, user_files
from mnistlab.errors import ConfigurationError, DataError, MachineError

FASHION = Path("/usr/share/datasets/fashion-mnist")


def part(n, classes=3, seed=0, shape=(5, 4)):
    """Random images, every class as often as the others."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    images[0, 0, 0] = 255  # a float form of them has its largest value at 1
    return images, np.arange(n) % classes


def official(**changed):
    (X_train, y_train), (X_test, y_test) = part(12), part(6, seed=1)
    return {"x_train": X_train, "y_train": y_train, "x_test": X_test, "y_test": y_test, **changed}


def written(path, arrays=None, save=np.savez):
    save(path, **(official() if arrays is None else arrays))
    return path


def content(dataset):
    return dataset.sha256, dataset.info.n_train, dataset.images.tolist(), dataset.labels.tolist()


# What is right.


def test_an_npz_comes_back_as_it_was_written_training_examples_first(tmp_path):
    arrays = official()
    dataset = user_files.read(written(tmp_path / "my shapes!.npz", arrays))
    np.testing.assert_array_equal(dataset.images, np.concatenate([arrays["x_train"], arrays["x_test"]]))
    np.testing.assert_array_equal(dataset.labels, np.concatenate([arrays["y_train"], arrays["y_test"]]))
    info = dataset.info
    assert (info.image_shape, info.n_train, info.n_test, info.class_names) == ((5, 4), 12, 6, ("0", "1", "2"))
    assert info.name == f"my-shapes-{dataset.sha256[:12]}"
    assert (dataset.images.dtype, dataset.labels.dtype, dataset.source) == (
        np.uint8, np.uint8, str(tmp_path / "my shapes!.npz"))  # fmt: skip


def both(form):
    return lambda arrays: {**arrays, "x_train": form(arrays["x_train"]), "x_test": form(arrays["x_test"])}


SAME = {
    "with a channel": both(lambda x: x[..., None]),
    "by column": both(np.asfortranarray),
    "int64": both(lambda x: x.astype(np.int64)),
    "big-endian": both(lambda x: x.astype(">u2")),
    "floats to 255": both(lambda x: x.astype(np.float32)),
    "floats to 1": both(lambda x: x / 255),
    "halves to 1": both(lambda x: (x / 255).astype(np.float16)),
    "small labels": lambda arrays: {**arrays, "y_train": arrays["y_train"].astype(np.uint8)},
    "texts": lambda arrays: {**arrays, **{y: np.array(["a", "b", "c"])[arrays[y]] for y in ("y_train", "y_test")}},
    "something more": lambda arrays: {**arrays, "notes": np.array(["nothing"], dtype=object)},
}


@pytest.mark.parametrize("form", SAME.values(), ids=SAME.keys())
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_form_of_the_same_images_has_the_same_content(form, save, tmp_path):
    first = content(user_files.read(written(tmp_path / "first.npz")))
    assert content(user_files.read(written(tmp_path / "again.npz", form(official()), save))) == first


def test_truth_values_are_black_and_white(tmp_path):
    arrays = both(lambda x: x > 127)(official())
    dataset = user_files.read(written(tmp_path / "bits.npz", arrays))
    assert set(np.unique(dataset.images)) == {0, 255}


def test_classes_are_named_by_class_names_by_texts_or_by_number(tmp_path):
    names = np.array(["zero", "one", "two"])
    given = user_files.read(written(tmp_path / "a.npz", official(class_names=names)))
    assert given.info.class_names == ("zero", "one", "two")
    texts = {y: names[official()[y]] for y in ("y_train", "y_test")}
    sorted_ = user_files.read(written(tmp_path / "b.npz", official(**texts)))
    assert sorted_.info.class_names == ("one", "two", "zero")
    ordered = user_files.read(written(tmp_path / "c.npz", official(**texts, class_names=names)))
    assert ordered.labels.tolist() == given.labels.tolist()


@pytest.mark.parametrize("keys", [("images", "labels"), ("X", "y")])
def test_without_a_test_part_a_stratified_seventh_that_follows_the_images_tests(keys, tmp_path):
    images, labels = part(70)
    dataset = user_files.read(written(tmp_path / "a.npz", dict(zip(keys, (images, labels), strict=True))))
    n = dataset.info.n_train
    assert np.bincount(dataset.labels[n:]).tolist() == [round(c / 7) for c in np.bincount(labels)]
    order = np.random.default_rng(0).permutation(70)
    again = user_files.read(written(tmp_path / "b.npz", dict(zip(keys, (images[order], labels[order]), strict=True))))
    assert {image.tobytes() for image in again.images[n:]} == {image.tobytes() for image in dataset.images[n:]}


@given(stem=st.text(min_size=1, max_size=60).filter(lambda stem: stem not in (".", "..")))
def test_any_stem_gives_a_name_the_catalog_knows(stem):
    name = f"{user_files._stem(Path(stem.replace('/', '-') + '.npz'))}-{'0' * 12}"
    assert catalog._OWN_NAME.fullmatch(name)


def pictures(folder, arrays, names=("cat", "dog", "eel")):
    """The data set as a folder `train`, a folder `test`, of one folder per class, of PNG files in the given order."""
    for side in ("train", "test"):
        for number, (image, label) in enumerate(zip(arrays[f"x_{side}"], arrays[f"y_{side}"], strict=True)):
            path = folder / side / names[label] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return folder


def by_class(arrays):
    orders = {side: np.argsort(arrays[f"y_{side}"], kind="stable") for side in ("train", "test")}
    return {name: array[orders[name[2:]]] for name, array in arrays.items()}


def test_a_folder_with_official_parts_equals_the_npz_of_its_pictures(tmp_path):
    folder = pictures(tmp_path / "pets.v1", official())
    (folder / ".hidden").mkdir()
    (folder / "train" / "cat" / ".DS_Store").write_text("no picture")
    (folder / "README.txt").write_text("about them")
    dataset = user_files.read(folder)
    assert content(dataset) == content(user_files.read(written(tmp_path / "a.npz", by_class(official()))))
    assert dataset.info.class_names == ("cat", "dog", "eel")
    assert dataset.info.name.startswith("pets.v1-")


def test_a_folder_of_classes_is_cut_as_an_npz_without_a_test_part_is(tmp_path):
    arrays = by_class(official())
    folder = pictures(tmp_path, arrays) / "train"
    expected = written(tmp_path / "a.npz", {"images": arrays["x_train"], "labels": arrays["y_train"]})
    assert content(user_files.read(folder)) == content(user_files.read(expected))


# What is wrong.


def raw(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blob in members.items():
            archive.writestr(name, blob)
    return path


def blob(array, shape=None):
    """An npy file, which may say another shape than it has."""
    out = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape if shape is None else shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + array.tobytes()


def members(**changed):
    return {f"{name}.npy": blob(array) for name, array in official().items()} | {
        f"{name}.npy": content for name, content in changed.items()
    }


class Bomb:
    """What a pickle would do if it were loaded."""

    def __reduce__(self):
        return Path.touch, (Path("loaded"),)


def nan():
    X = official()["x_train"] / 255
    X[7, 2, 2] = np.nan
    return X


def gap(y):
    return np.where(y == 1, 3, y)


WRONG = {
    "labels as images": (official(x_train=np.arange(12)), "x_train: int64 of shape (12,)", "images (n, height, width)"),
    "images as labels": (official(y_train=part(12)[0]), "y_train: uint8 of shape (12, 5, 4)", "labels (n,)"),
    "colours": (official(x_test=np.zeros((6, 5, 4, 3))), "x_test: float64 of shape (6, 5, 4, 3)"),
    "complex": (official(x_test=np.zeros((6, 5, 4), complex)), "x_test: complex128 of shape (6, 5, 4)"),
    "one hot": (official(y_test=np.eye(3)[[0, 1, 2, 0, 1, 2]]), "y_test: float64 of shape (6, 3)"),
    "labels of bytes": (official(y_test=np.array([b"a"] * 6)), "y_test: |S1 of shape (6,)", "whole numbers or texts"),
    "labels of floats": (official(y_test=np.ones(6)), "y_test: float64 of shape (6,)", "whole numbers or texts"),
    "NaN pixels": (official(x_train=nan()), "x_train: NaN among the pixels of image 7"),
    "infinite": (official(x_train=np.full((12, 5, 4), np.inf)), "x_train: pixels from inf to inf"),
    "below 0": (official(x_train=part(12)[0] - np.int64(1)), "pixels from -1 to", "0 to 255, or 0 to 1, are needed"),
    "above 255": (official(x_train=part(12)[0].astype(int) * 257), "x_train: pixels from", "to 65535"),
    "counts differ": (official(y_train=np.arange(11) % 3), "y_train: 11 labels for 12 images"),
    "sizes differ": (official(x_test=part(6, shape=(4, 4))[0]), "training and test images differ in size: 5×4 and 4×4"),
    "no images": (official(x_test=np.zeros((0, 5, 4)), y_test=np.zeros(0, int)), "x_test: its header says float64 (0,"),
    "no pixels": (official(x_test=np.zeros((6, 0, 4))), "x_test: its header says float64 (6, 0, 4)"),
    "a gap": (official(y_train=gap(part(12)[1]), y_test=gap(part(6)[1])), "class 1 has no training image"),
    "absent in one part": (official(y_test=np.arange(6) % 2), "class 2 has no test image"),
    "too few to be cut": ({"X": part(9)[0], "y": part(9)[1]}, "class 0 has no test image", "four or more"),
    "one class": (official(y_train=np.zeros(12, int), y_test=np.zeros(6, int)), "one class only, 0"),
    "negative label": (official(y_train=part(12)[1] - 1), "label -1, expected 0 to"),
    "label 256": (official(y_train=np.arange(12) * 256), "label 256, expected 0 to 255"),
    "all the same": (official(x_train=np.ones((12, 5, 4)), x_test=np.ones((6, 5, 4))), "all images are the same"),
    "unknown keys": ({"a": np.ones(3), "b": np.ones(3)}, "holds a, b", "x_train, y_train, x_test, y_test are needed"),
    "a part missing": ({"x_train": part(9)[0], "y_train": part(9)[1]}, "holds x_train, y_train (x_train, y_train"),
    "pickled": (official(y_train=np.array([Bomb()] * 12)), "y_train: holds pickled objects, which are never loaded"),
    "texts and numbers": (official(y_test=np.array(["a"] * 6)), "the labels of one part are numbers"),
    "a name too few": (official(class_names=np.array(["a", "b"])), "label 2, expected 0 to 1"),
    "a name too many": (official(class_names=np.array(list("abcd"))), "class d has no training image"),
    "a name twice": (official(class_names=np.array(list("aba"))), "two classes have one name"),
    "a name to fool terminals": (official(class_names=np.array(["a", "b", "\x1b[2J"])), "class name '\\x1b[2J'"),
    "no name": (official(class_names=np.array(["a", "b", " "])), "class name ' ': 1 to 100 printable"),
    "names of numbers": (official(class_names=np.arange(3)), "class_names: int64 of shape (3,)", "names (k,)"),
    "unknown name": (official(y_train=np.array(["a", "b", "x"] * 4), y_test=np.array(["a", "b", "c"] * 2),
                              class_names=np.array(list("abc"))), "label x, expected one of class_names"),
    "257 classes": ({"X": part(300)[0], "y": np.arange(300).astype(str)}, "more than 256 classes"),
}  # fmt: skip


def unsaid(path, *words):
    """The words that are missing in the one line by which this data set is refused."""
    with pytest.raises(DataError) as caught:
        user_files.read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return [word for word in words if word not in line]


@pytest.mark.parametrize(("arrays", "words"), [(a, words) for a, *words in WRONG.values()], ids=WRONG.keys())
def test_an_npz_that_is_no_data_set_is_refused_in_a_line_that_says_why(arrays, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert unsaid(written(tmp_path / "mine.npz", arrays), *words) == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


LARGE = np.zeros(20_000_000, np.uint8)
DECEITFUL = {
    "a header of 2^60 bytes": (members(x_train=blob(part(12)[0], (2**30, 2**15, 2**15))), "its header says uint8"),
    "a header of a few more": (members(x_train=blob(part(12)[0], (12, 5, 5))), "it has 240 bytes"),
    "a header of fewer": (members(x_train=blob(part(12)[0], (12, 5, 3))), "it has 240 bytes"),
    "a negative shape": (members(x_train=blob(part(12)[0], (-12, -5, 4))), "its header says uint8 (-12, -5, 4)"),
    "empty texts": (members(y_train=blob(np.zeros(12, "S1")[:0].astype("S1"), (10**15,))), "its header says |S1"),
    "no npy file": (members(x_train=b"nothing"), "no intact .npz file"),
    "an empty member": (members(x_train=b""), "no intact .npz file"),
    "no character": (
        members(y_train=blob(np.full(12, 0x7FFFFFFF, "<u4").view("<U1"))),
        "y_train: holds texts that are none",
    ),
    "no character, big-endian": (members(y_test=blob(np.full(6, 0x110000, ">u4").view(">U1"))), "texts that are none"),
    "a bomb": (members(x_train=blob(LARGE)), "x_train: says it unpacks", "bytes to 20,000,128"),
}


@pytest.mark.parametrize(("files", "words"), [(m, words) for m, *words in DECEITFUL.values()], ids=DECEITFUL.keys())
def test_an_npz_that_claims_what_it_has_not_is_refused_without_taking_memory(files, words, tmp_path):
    path = raw(tmp_path / "mine.npz", files)
    tracemalloc.start()
    assert unsaid(path, *words) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


MANY = np.zeros(15_000_000, np.uint32)
MANY[:90_000] = np.random.default_rng(0).integers(0, 2**16, 90_000)  # packs less well than a bomb
BYTES = MANY.view(np.uint8)
SWOLLEN = {
    "labels without images": ({"images": part(2)[0], "labels": BYTES}, "labels: 60,000,000 labels for 2 images"),
    "images of one pixel": (
        {"images": BYTES.reshape(-1, 1, 1), "labels": BYTES},
        "60,000,000 images are more than 2,000,",
    ),
    "names without labels": (official(class_names=MANY.view("<U1")), "more than 256 classes"),
}


@pytest.mark.parametrize(("arrays", "why"), SWOLLEN.values(), ids=SWOLLEN.keys())
def test_a_small_file_of_many_labels_takes_little_memory(arrays, why, tmp_path):
    path = written(tmp_path / "mine.npz", arrays, np.savez_compressed)
    assert path.stat().st_size < 800_000
    tracemalloc.start()
    assert unsaid(path, why) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000_000


def damaged(path, cut=None, flip=None):
    content = bytearray(path.read_bytes())
    if flip is not None:
        content[flip] ^= 1
    path.write_bytes(content[:cut])


@pytest.mark.parametrize(("make", "why"), [
    (lambda path: None, "no such file or folder"),
    (Path.touch, "no intact .npz file: File is not a zip file"),
    (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(100)), "no intact .npz file"),
    (lambda path: damaged(written(path), cut=-30), "no intact .npz file"),
    (lambda path: damaged(written(path), flip=300), "Bad CRC-32"),
    (lambda path: os.mkfifo(path), "not a regular file"),
    (Path.mkdir, "holds no folder of pictures (one per class is needed"),
], ids=["missing", "empty", "another kind", "truncated", "one bit", "FIFO", "empty folder"])  # fmt: skip
def test_what_cannot_be_read_at_all_is_refused(make, why, tmp_path):
    make(tmp_path / "mine.npz")
    assert unsaid(tmp_path / "mine.npz", why) == []


def test_an_npz_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(user_files, "MAX_BYTES", 500)
    assert unsaid(written(tmp_path / "mine.npz"), "more than 500 bytes unpacked") == []
    with pytest.raises(DataError, match="train: more than 500 pixels"):
        user_files.read(pictures(tmp_path / "mine", official(x_train=part(60)[0], y_train=part(60)[1])))


def first_of(folder, side="train"):
    return sorted((folder / side / "dog").iterdir())[0]


def replace_by(make):
    def change(folder):
        first_of(folder).unlink()
        make(first_of(folder).with_name("000.png"))

    return change


def grow(folder):
    Image.new("L", (8, 8)).save(first_of(folder))


def empty(folder):
    for path in (folder / "test" / "eel").iterdir():
        path.unlink()


@pytest.mark.parametrize(("change", "words"), [
    (grow, ("dog/001.png: 8×8 pixels high and wide, the first picture has 5×4",)),
    (lambda folder: first_of(folder).write_text("no picture"), ("dog/001.png: no PNG or JPEG picture",)),
    (lambda folder: damaged(first_of(folder), cut=60), ("dog/001.png: ",)),
    (replace_by(os.mkfifo), ("dog/000.png: not a regular file",)),
    (replace_by(Path.mkdir), ("dog/000.png: ",)),
    (empty, ("class eel has no test image",)),
    (lambda folder: (folder / "train" / "cow").mkdir(), ("class cow has no training image",)),
    (lambda folder: (folder / "train" / "a\x07").mkdir(), ("class name 'a\\x07'",)),
], ids=["another size", "text", "cut off", "FIFO", "a folder", "an empty class", "a new class", "a bell"])  # fmt: skip
def test_a_folder_that_is_no_data_set_is_refused_with_the_file_at_fault(change, words, tmp_path):
    folder = pictures(tmp_path / "pets", official())
    change(folder)
    assert unsaid(folder, *words) == []


def test_a_folder_of_pictures_of_one_class_is_told_so(tmp_path):
    assert unsaid(pictures(tmp_path / "pets", official(), names=("cat", "cat", "cat")), "one class only, cat") == []


def test_without_pillow_folders_name_the_mend_and_npz_files_work(tmp_path, monkeypatch):
    folder, path = pictures(tmp_path / "pets", official()), written(tmp_path / "a.npz")
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MachineError, match="pip install pillow"):
        user_files.read(folder)
    assert user_files.read(path).info.n_train == 12


# The cache.


@pytest.fixture
def kept(tmp_path):
    """The cache with a user's data set; returns what was read."""
    dataset = user_files.read(written(tmp_path / "mine.npz", official(class_names=np.array(["a", "b", "ü"]))))
    user_files.keep(dataset, tmp_path / "raw")
    return dataset


def test_what_is_kept_is_loaded_by_its_name_without_the_file(kept, tmp_path):
    (tmp_path / "mine.npz").unlink()
    name, raw_dir = kept.info.name, tmp_path / "raw"
    loaded = catalog.load(name, raw_dir)
    assert (loaded.info, content(loaded)) == (kept.info, content(kept))
    assert (catalog.info(name, raw_dir), catalog.names(raw_dir)[-1]) == (kept.info, name)
    files = sorted(path.name for path in (raw_dir / name).iterdir())
    assert files == sorted([*(file.name for file in catalog.IDX_FILES["mnist"].all), "dataset.json"])
    assert str(tmp_path) not in (raw_dir / name / "dataset.json").read_text()


def test_keeping_it_again_mends_it_and_leaves_what_is_intact_alone(kept, tmp_path):
    folder = tmp_path / "raw" / kept.info.name
    damaged(folder / "train-images-idx3-ubyte", flip=20)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    with pytest.raises(DataError, match=r"damaged: SHA-256 .* \(mnistlab data fetch PATH, the file or folder"):
        catalog.load(kept.info.name, tmp_path / "raw")
    user_files.keep(kept, tmp_path / "raw")
    assert content(catalog.load(kept.info.name, tmp_path / "raw")) == content(kept)
    changed = [path.name for path in folder.iterdir() if path.stat().st_ino != before[path.name]]
    assert changed == ["train-images-idx3-ubyte"]


def test_an_unknown_name_suggests_the_nearest_also_of_ones_own(kept, tmp_path):
    with pytest.raises(ConfigurationError, match=rf"did you mean {kept.info.name}\?"):
        catalog.info(kept.info.name[:-1] + "x", tmp_path / "raw")


def test_a_name_of_ones_own_that_is_not_there_tells_how_it_comes_there(kept, tmp_path):
    for data_dir in (tmp_path / "elsewhere", None):
        with pytest.raises(
            DataError, match=rf"{kept.info.name}: not in the cache \(mnistlab data fetch PATH, the file"
        ):
            catalog.info(kept.info.name, data_dir)


def lie(**changed):
    return lambda told: {**told, **changed}


@pytest.mark.parametrize("change", [
    lie(n_train=11), lie(n_test=2**80), lie(n_train="many"), lie(image_shape=[4, 5]), lie(image_shape=[20]),
    lie(class_names=["a", "b"]), lie(class_names=list("abcd")), lie(class_names=None), lie(sha256="0" * 64),
    lie(files=["0" * 64] * 4), lie(files=[]), lie(files=None), lambda told: {}, lambda told: [told],
    lambda told: None, lie(n_train=1e999),
], ids=range(16))  # fmt: skip
def test_a_description_that_lies_is_found_out(kept, change, tmp_path):
    path = tmp_path / "raw" / kept.info.name / "dataset.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError):
        catalog.load(kept.info.name, tmp_path / "raw")


def test_a_folder_renamed_in_the_cache_is_not_taken_for_the_data_set_it_says(kept, tmp_path):
    other = tmp_path / "raw" / f"{kept.info.name[:-12]}{'0' * 12}"
    (tmp_path / "raw" / kept.info.name).rename(other)
    with pytest.raises(DataError, match=r"dataset\.json: damaged"):
        catalog.load(other.name, tmp_path / "raw")


def test_an_interrupted_keep_leaves_no_data_set(kept, tmp_path):
    (tmp_path / "raw" / kept.info.name / "dataset.json").unlink()
    assert catalog.names(tmp_path / "raw") == catalog.names()


# Content that ships.


def test_a_file_of_a_data_set_that_ships_is_that_data_set(tiny, tmp_path):
    arrays = {"x_train": np.frombuffer(tiny["train-images"][16:], np.uint8).reshape(30, 4, 3),
              "y_train": np.frombuffer(tiny["train-labels"][8:], np.uint8),
              "x_test": np.frombuffer(tiny["test-images"][16:], np.uint8).reshape(10, 4, 3),
              "y_test": np.frombuffer(tiny["test-labels"][8:], np.uint8)}  # fmt: skip
    dataset = user_files.read(written(tmp_path / "mine.npz", arrays))
    assert dataset.info == catalog.info("tiny")
    user_files.keep(dataset, tmp_path / "raw")
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw" / "tiny").iterdir()} == tiny
    assert catalog.load("tiny", tmp_path / "raw").sha256 == dataset.sha256


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_real_fashion_mnist_as_an_npz_of_floats_is_fashion_mnist(tmp_path):
    from mnistlab.datasets import sources

    assert sources.fetch("fashion-mnist", tmp_path, offline=True) == str(FASHION)
    built_in = catalog.load("fashion-mnist", tmp_path)
    (X_train, y_train), (X_test, y_test) = ((built_in.images[c], built_in.labels[c])
                                            for c in (slice(60_000), slice(60_000, None)))  # fmt: skip
    arrays = {"x_train": (X_train / np.float32(255))[..., None], "y_train": y_train.astype(np.int64),
              "x_test": (X_test / np.float32(255))[..., None], "y_test": y_test.astype(np.int64)}  # fmt: skip
    mine = user_files.read(written(tmp_path / "mine.npz", arrays))
    assert (mine.info, mine.sha256) == (built_in.info, built_in.sha256)
    np.testing.assert_array_equal(mine.images, built_in.images)


# Paths and names.


@pytest.mark.parametrize("text", ["a.npz", "~nobody-of-this-name/a", "./a", "a/b", "..", "~/a", "there", "/there"])
def test_a_path_is_known_by_its_look_or_because_it_is_there(text, tmp_path):
    (tmp_path / "there").mkdir()
    path = user_files.as_path(text, tmp_path, tmp_path / "raw")
    assert path == tmp_path / os.path.expanduser(text)  # noqa: PTH111


def test_the_name_of_a_data_set_is_no_path_even_where_a_folder_has_it(kept, tmp_path):
    for name in ("mnist", kept.info.name):
        (tmp_path / name).mkdir()
        assert user_files.as_path(name, tmp_path, tmp_path / "raw") is None
    assert user_files.as_path("mnits", tmp_path, tmp_path / "raw") is None
    assert user_files.as_path("x" * 5000, tmp_path, tmp_path / "raw") is None


# Whatever happens to the bytes.


def mutated(content, draw):
    """Bits flipped, an end cut off, bytes put in, numbers written over: one to three of these."""
    content = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(content) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            for _ in range(draw.randint(1, 8)):
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del content[place:]
        elif kind == 2:
            content[place:place] = draw.randbytes(draw.randint(1, 40))
        elif kind == 3:
            start = min(place, 128)  # where a header stands
            content[start : start + 4] = draw.choice(
                [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9999", b"\0\0\0\0", b"((((", b"'|O'"]
            )
        else:
            content[place : place + 4] = draw.choice([b"\xff\xff\xff\x7f", b"\0\0\0\0", b"PK\1\2", b"PK\3\4"])
        content = content or bytearray(b"\0")
    return bytes(content)


def mutated_npz(files, draw):
    """The whole file, or one member of it in an archive that is intact."""
    out = io.BytesIO()
    inside = draw.random() < 0.6
    chosen = draw.choice(list(files))
    with zipfile.ZipFile(out, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in files.items():
            archive.writestr(name, mutated(content, draw) if inside and name == chosen else content)
    return out.getvalue() if inside else mutated(out.getvalue(), draw)


def survive(attempt, times):
    """Every attempt gives a data set or a DataError, soon and in little memory; returns how many of each."""
    outcomes = {"loaded": 0, "refused": 0}
    tracemalloc.start()
    for number in range(times):
        start = time.perf_counter()
        try:
            outcomes["loaded" if attempt(random.Random(number)) else "refused"] += 1
        except DataError:
            outcomes["refused"] += 1
        assert time.perf_counter() - start < 5
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000_000
    return outcomes


def test_500_mutations_of_an_npz_load_or_are_refused(tmp_path):
    floats = both(lambda x: x.astype(np.float32) / 255)(official())
    texts = {y: np.array(["cat", "dog", "eel"])[official()[y]] for y in ("y_train", "y_test")}
    named = {"class_names": np.array(["cat", "dog", "eel"])}
    bases = [
        {f"{name}.npy": blob(a) for name, a in b.items()} for b in (official(), floats, official(**texts, **named))
    ]

    def attempt(draw):
        (tmp_path / "mine.npz").write_bytes(mutated_npz(draw.choice(bases), draw))
        return user_files.read(tmp_path / "mine.npz")

    outcomes = survive(attempt, 500)
    assert min(outcomes.values()) > 10  # both happen, or nothing was tested


def test_500_mutations_of_a_data_set_in_the_cache_are_refused_but_for_what_means_nothing(kept, tmp_path):
    folder = tmp_path / "raw" / kept.info.name
    whole = {path: path.read_bytes() for path in folder.iterdir()}

    def attempt(draw):
        path = draw.choice(sorted(whole))
        path.write_bytes(mutated(whole[path], draw))
        try:
            loaded = catalog.load(kept.info.name, tmp_path / "raw")
        finally:
            path.write_bytes(whole[path])
        assert content(loaded) == content(kept)  # a name of a class may have changed, no image and no label
        return loaded

    assert survive(attempt, 500)["refused"] > 400
