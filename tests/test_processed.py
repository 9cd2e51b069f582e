"""Features of whole data sets, computed by processes of their own, kept, and never trusted unseen."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from mnistlab import processed
from mnistlab.datasets import catalog
from mnistlab.errors import MachineError
from mnistlab.preprocessing import apply_image_step, prepare
from mnistlab.processed import keep_processed, load_processed
from mnistlab.spec import Features, Split
from mnistlab.stop import Budget, Stop

DIGITS = catalog.load("digits", None)
DESKEW, BOTH = Features(("deskew", "scale")), Features(("deskew", "hog", "standardize", "pca:9"))


def keep(features, folder, stop=None, budget=None, dataset=DIGITS):
    """What `keep_processed` told."""
    told = []
    keep_processed(dataset, features, folder, stop=stop or Stop(), budget=budget or Budget(None, 0.0),
                   notify=told.append)  # fmt: skip
    return told


def listing(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with both entries, and what was told."""
    folder = tmp_path_factory.mktemp("home") / "data" / "processed"
    return folder, [line for features in (DESKEW, BOTH) for line in keep(features, folder)]


@pytest.fixture
def entry(kept, tmp_path):
    """A copy of the entry of deskewed digits that may be damaged: its two files."""
    npy = next(kept[0].glob("deskew-[0-9a-f]*.npy"))
    for path in (npy, npy.with_suffix(".json")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / npy.name, (tmp_path / npy.name).with_suffix(".json")


def test_an_entry_holds_every_image_in_its_order_and_what_it_cost(kept):
    deskewed, both = (load_processed(DIGITS, features, kept[0]) for features in (DESKEW, BOTH))
    upright = apply_image_step("deskew", DIGITS.images)
    assert (deskewed.features.dtype, both.features.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(deskewed.features, upright.reshape(1797, 64))
    np.testing.assert_array_equal(both.features, apply_image_step("hog", upright))
    for found in (deskewed, both):
        assert isinstance(found.features, np.memmap)
        assert not found.features.flags.writeable
        assert found.processor_seconds > 0


def test_the_cost_stands_beside_the_features(kept):
    for path in kept[0].glob("*.json"):
        about = json.loads(path.read_text())
        assert (about["dataset"], about["dataset_sha256"]) == ("digits", DIGITS.sha256)
        assert about["wall_seconds"] > 0 < about["processor_seconds"]


def test_start_cost_and_place_are_told(kept):
    folder, told = kept
    assert told[0] == "deskew: 1,797 images of digits, computed once for all runs"
    assert told[3].startswith("deskew+hog: 1,797 images in ")
    assert told[3].endswith(f" s of processor time), kept in {folder}")
    assert len(told) == 4


@pytest.mark.parametrize("features", [DESKEW, BOTH], ids=str)
def test_what_is_kept_gives_the_same_bits_as_what_is_computed_on_the_way(kept, features):
    known = load_processed(DIGITS, features, kept[0]).features
    here, there = prepare(DIGITS, Split(), features, 1), prepare(DIGITS, Split(), features, 1, known)
    for name in ("X_train", "X_validation", "X_test"):
        assert getattr(here, name).tobytes() == getattr(there, name).tobytes()
        assert type(getattr(there, name)) is np.ndarray
    pixels = DIGITS.images[there.test.indices].reshape(-1, 64)
    assert there.pipeline.transform(pixels).tobytes() == there.X_test.tobytes()


def test_what_is_kept_is_not_computed_again(kept):
    before = listing(kept[0])
    assert keep(DESKEW, kept[0]) == keep(Features(("deskew", "pca:3")), kept[0]) == []
    assert listing(kept[0]) == before
    assert sorted(path.rpartition(".")[2] for path in before) == ["json", "json", "npy", "npy"]


def test_other_images_other_steps_and_another_definition_have_no_entry(kept, monkeypatch):
    assert load_processed(replace(DIGITS, sha256="0" * 64), DESKEW, kept[0]) is None
    assert load_processed(DIGITS, Features(("hog",)), kept[0]) is None
    monkeypatch.setattr(processed, "_VERSION", 0)
    assert load_processed(DIGITS, DESKEW, kept[0]) is None


def flip(npy, about):
    content = bytearray(npy.read_bytes())
    content[-1000] ^= 1
    npy.write_bytes(content)


def wrong_shape(npy, about):
    """Its digest is right, but it holds one image less."""
    np.save(npy, np.load(npy)[:-1])
    digest = processed.hashlib.sha256(npy.read_bytes()).hexdigest()
    about.write_text(json.dumps({**json.loads(about.read_text()), "sha256": digest}))


def fifo(npy, about):
    npy.unlink()
    os.mkfifo(npy)


DAMAGES = [flip, wrong_shape, fifo]
DAMAGES += [lambda npy, about, n=n: os.truncate(npy, n) for n in (0, 5, 127, 5000)]
DAMAGES += [lambda npy, about: npy.unlink(), lambda npy, about: about.unlink(), lambda npy, about: about.mkdir()]
DAMAGES[-1:] = [lambda npy, about: (about.unlink(), about.mkdir())]
DAMAGES += [lambda npy, about, text=text: about.write_bytes(text) for text in (
    b"", b"{", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"sha256": 7}', b"9" * 5000)]  # fmt: skip
DAMAGES += [lambda npy, about, name=name, value=value: about.write_text(
    json.dumps({**json.loads(about.read_text()), name: value}))
    for name, value in (("sha256", "0" * 64), ("processor_seconds", "long"))]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_counts_as_absent(entry, damage):
    npy, about = entry
    assert load_processed(DIGITS, DESKEW, npy.parent) is not None
    damage(npy, about)
    assert load_processed(DIGITS, DESKEW, npy.parent) is None


@pytest.mark.parametrize("damage", [flip, lambda npy, about: about.write_text("{")])
def test_a_damaged_entry_is_computed_again(entry, kept, damage):
    npy, about = entry
    damage(npy, about)
    assert len(keep(DESKEW, npy.parent)) == 2
    assert npy.read_bytes() == (kept[0] / npy.name).read_bytes()
    assert load_processed(DIGITS, DESKEW, npy.parent) is not None
    assert len(list(npy.parent.iterdir())) == 2


@pytest.mark.parametrize("limits", [{"stop": Stop(signal.SIGINT)}, {"budget": Budget(1.0, -100.0)}], ids=str)
def test_whoever_stops_it_leaves_nothing_behind(tmp_path, limits):
    assert keep(DESKEW, tmp_path, **limits)[-1] == "deskew: 1,797 images: not finished, nothing kept"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(MachineError, match=r"data.processed: cannot be written: .* \(make room there or .*--home\)"):
        keep(DESKEW, tmp_path / "data" / "processed")


def test_images_too_small_to_describe_are_a_fault_of_the_caller_not_of_a_process(tmp_path):
    small = replace(DIGITS, images=DIGITS.images[:, :5], info=replace(DIGITS.info, image_shape=(5, 8)))
    with pytest.raises(ValueError, match="too small"):
        keep(Features(("hog",)), tmp_path, dataset=small)
    assert list(tmp_path.iterdir()) == []
