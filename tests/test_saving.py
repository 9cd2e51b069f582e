"""What was written is read again bit for bit; whatever else lies there is refused in a line, at once, at no cost."""

import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from mnistlab import saving
from mnistlab.errors import DataError, MachineError
from mnistlab.saving import load, save
from mnistlab.spec import Architecture, Cell, Features


@pytest.fixture(scope="session")
def network(draw_network):
    """Every kind of array: standardize, pca, dense, batch norm."""
    layers = Architecture((6, 5), ("gelu", "elu"), batch_norm=True)
    return draw_network(1, cell=Cell(layers, features=Features(("standardize", "pca:9")), dataset="digits")).network


@pytest.fixture
def path(network, tmp_path):
    save(network, tmp_path / "models" / "one.safetensors")
    return tmp_path / "models" / "one.safetensors"


def parts(path):
    """Description and arrays of a file."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    return json.loads(header["__metadata__"]["mnistlab"]), safetensors.numpy.load(content)


def forge(path, description, arrays, **metadata):
    """Write a file with the right checksum."""
    text = json.dumps(description)
    known = {"mnistlab": text, "sha256": saving._sha256(text, arrays), **metadata}
    path.write_bytes(safetensors.numpy.save(arrays, known))


@pytest.mark.parametrize("number", range(6))
def test_a_network_comes_back_as_it_was(draw_network, tmp_path, number):
    drawn = draw_network(100 + number)
    save(drawn.network, tmp_path / "a" / "b.safetensors")
    again = load(tmp_path / "a" / "b.safetensors")
    for name in ("run", "image_shape", "class_names", "weights_sha256"):
        assert getattr(again, name) == getattr(drawn.network, name)
    assert [stage.kind for stage in again.stages] == [stage.kind for stage in drawn.network.stages]
    assert again.predict_proba(drawn.images).tobytes() == drawn.network.predict_proba(drawn.images).tobytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.safetensors"]


def test_hog_says_itself_how_many_columns_it_gives(draw_network, tmp_path):
    cell = Cell(Architecture((5,)), features=Features(("deskew", "hog", "pca:7")), dataset="digits")
    drawn = draw_network(7, cell=cell)
    save(drawn.network, tmp_path / "hog.safetensors")
    again = load(tmp_path / "hog.safetensors").predict_proba(drawn.images)
    assert again.tobytes() == drawn.network.predict_proba(drawn.images).tobytes()


def test_a_file_that_stood_there_is_replaced_or_stays_as_it_was(network, path, tmp_path):
    before = path.read_bytes()
    other = replace(network, weights_sha256="f" * 64)
    save(other, path)
    assert load(path).weights_sha256 == "f" * 64
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError, match=r"cannot be written: .*make room, or name another place"):
        save(network, tmp_path / "file" / "one.safetensors")
    save(network, path)
    assert sorted(path.read_bytes()) == sorted(before)  # the library writes its metadata in any order
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def _description(**changes):
    return lambda description, arrays: ({**description, **changes}, arrays)


def _arrays(**changes):
    def change(description, arrays):
        return description, {name: a for name, a in {**arrays, **changes}.items() if a is not None}

    return change


def _without(name):
    return lambda description, arrays: ({key: value for key, value in description.items() if key != name}, arrays)


def _stage(place, kind):
    def change(description, arrays):
        stages = description["stages"]
        return {**description, "stages": [*stages[:place], *([kind] if kind else []), *stages[place + 1 :]]}, arrays

    return change


def _reshaped(name, shape):
    return lambda description, arrays: (description, {**arrays, name: np.zeros(shape, np.float32)})


def _poisoned(description, arrays):
    kernel = arrays["0002.dense.kernel"].copy()
    kernel[1, 2] = np.nan
    return description, {**arrays, "0002.dense.kernel": kernel}


FORGED = {
    "newer format": (_description(format=2), "written in format 2 of a newer mnistlab; this one knows 1"),
    "no format": (_description(format=None), "it has no description of ours"),
    "other run": (_description(seed=999), "its cell and seed are not those of its run"),
    "no seed": (_description(seed="1"), "seed 1: a whole number from 0"),
    "no stages": (_without("stages"), "its description makes no sense, KeyError('stages')"),
    "stages of another kind": (_description(stages=3), "its description makes no sense, TypeError"),
    "cell of another kind": (_description(cell=[]), "its description makes no sense, AttributeError"),
    "unknown step": (_stage(0, "lambda"), "stage 1 is 'lambda', where standardize is expected"),
    "unknown layer": (_stage(2, "conv2d"), "stage 3 is 'conv2d', where dense is expected"),
    "one layer more": (_stage(10, "dense"), "stage 11 is 'dense', where none is expected"),
    "one layer less": (_stage(9, None), "stage 10 is 'none', where softmax is expected"),
    "unknown cell": (_description(cell={"lasers": 3}), "lasers: unknown key"),
    "image of a million pixels a side": (_description(image_shape=[10**6, 10**6]), "its image shape is none"),
    "image of no pixels": (_description(image_shape=[8, 0]), "its image shape is none"),
    "other image": (_description(image_shape=[9, 9]), "0000.standardize.mean is F64 (64,), where numbers of (81,)"),
    "classes without end": (_description(class_names=["x"] * 999), "its class names are none"),
    "a class too many": (_description(class_names=[*"0123456789a"]), "dense.kernel is F32 (5, 10), where"),
    "shape lies": (_reshaped("0002.dense.kernel", (7, 6)), "0002.dense.kernel is F32 (7, 6), where numbers of (9, 6)"),
    "shape is flat": (_reshaped("0003.batch_norm.gamma", ()), "0003.batch_norm.gamma is F32 (), where"),
    "whole numbers": (_arrays(**{"0002.dense.bias": np.zeros(6, np.int32)}), "0002.dense.bias is I32 (6,), where"),
    "path as a name": (_arrays(**{"../../evil": np.zeros(3, np.float32)}), "its arrays are not those of its layers"),
    "array missing": (_arrays(**{"0002.dense.bias": None}), "its arrays are not those of its layers"),
    "NaN": (_poisoned, "a weight is not a finite number"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_though_its_checksum_is_right(path, name):
    change, said = FORGED[name]
    forge(path, *change(*parts(path)))
    with pytest.raises(DataError) as refused:
        load(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_changed_weight_or_word_has_another_checksum(path):
    description, arrays = parts(path)
    for changed in ({**description, "class_names": [*"9876543210"]}, description):
        forge(path, changed, {**arrays, "0002.dense.bias": arrays["0002.dense.bias"] * 2}, sha256="0" * 64)
        with pytest.raises(DataError, match="its checksum is wrong: it is not as it was written"):
            load(path)


def zip_file(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../config.json", "{}")


FOREIGN = {
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"weights": [1.0]})), "this is a pickle"),
    "keras": (zip_file, "this is a zip archive, as `.keras` files are"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "this is HDF5"),
    "onnx": (lambda path: path.write_bytes(b"\x08\x09\x12\x08mnistlab" + bytes(100)), "this is ONNX"),
    "empty": (lambda path: path.write_bytes(b""), "not a file that mnistlab wrote, or cut off"),
    "text": (lambda path: path.write_text("hello, here are my weights"), "not a file that mnistlab wrote"),
    "a header beyond the file": (lambda path: path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}"), "or cut off"),
    "no JSON": (lambda path: path.write_bytes(struct.pack("<Q", 4) + b"{{{{"), "damaged"),
    "of another program": (lambda path: path.write_bytes(safetensors.numpy.save({"w": np.zeros(3)})),
                           "it has no description of ours"),
    "brackets": (lambda path: path.write_bytes(safetensors.numpy.save({}, {"mnistlab": "[" * 200_000})),
                 "not a network to be trusted"),
    "folder": (lambda path: path.mkdir(), "not a regular file"),
    "pipe": (os.mkfifo, "not a regular file"),
    "nothing": (lambda path: None, "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_any_other_file_is_refused_by_its_kind(tmp_path, name):
    make, said = FOREIGN[name]
    make(tmp_path / "model")
    with pytest.raises(DataError) as refused:
        load(tmp_path / "model")
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "model"))


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused_wherever_it_ends(network, tmp_path_factory, share):
    path = tmp_path_factory.mktemp("cut") / "one.safetensors"
    save(network, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError):
        load(path)


def mutated(content, random):
    """Content with bytes changed, a piece cut out, doubled, or overwritten by a number that means much in a header."""
    content = bytearray(content)
    reach = len(content) if random.random() < 0.3 else 1500  # most of them where the header is
    place = int(random.integers(reach))
    match random.integers(5):
        case 0:
            for where in random.integers(reach, size=int(random.integers(1, 8))):
                content[where] = random.integers(256)
        case 1:
            del content[place : place + int(random.integers(1, 200))]
        case 2:
            content[place:place] = content[place : place + int(random.integers(1, 200))]
        case 3:
            digits = str(int(random.choice([0, 1, 65536, 2**31, 2**53, 2**63, 10**30]))).encode()
            content[place : place + len(digits)] = digits
        case 4:
            content[:8] = struct.pack("<Q", int(random.integers(1, 2000)))
    return bytes(content)


def test_five_hundred_mutations_are_refused_or_read_and_cost_nothing(path):
    whole, random, refused = path.read_bytes(), np.random.default_rng(0), []
    tracemalloc.start()
    began = time.perf_counter()
    for _ in range(500):
        path.write_bytes(mutated(whole, random))
        try:
            load(path)
        except DataError as fault:
            refused.append(str(fault))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(refused) > 400
    assert not any("\n" in line for line in refused)
    assert peak < 300e6
    assert time.perf_counter() - began < 60
