import gzip
import hashlib
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnistlab.datasets import idx
from mnistlab.errors import DataError

LABELS = struct.pack(">2I", 2049, 5) + bytes([0, 9, 3, 3, 1])
IMAGES = struct.pack(">4I", 2051, 5, 2, 3) + bytes(range(30))

DAMAGED_IMAGES = {
    "empty file": (b"", "0 bytes, expected a header of 16"),
    "half a header": (IMAGES[:9], "9 bytes, expected a header of 16"),
    "truncated": (IMAGES[:-1], "45 bytes, expected 46 for the 5×2×3 its header says"),
    "trailing byte": (IMAGES + b"\0", "47 bytes, expected 46"),
    "labels as images": (LABELS + bytes(20), "magic number 2049 (labels), 2051 is expected of images"),
    "another format": (b"\x89PNG\r\n\x1a\n" + bytes(20), "magic number 2303741511, 2051 is expected"),
    "gzip": (gzip.compress(IMAGES), "compressed with gzip (unpack it first)"),
    "truncated gzip": (gzip.compress(IMAGES)[:20], "compressed with gzip"),
    "no image": (struct.pack(">4I", 2051, 0, 28, 28), "its header says 0×28×28: no images"),
    "header of 2^96 bytes": (struct.pack(">4I", 2051, *[2**32 - 1] * 3) + bytes(9), "25 bytes, expected 79,228,"),
}


def written(path, content):
    path.write_bytes(content)
    return path


@given(array=arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3)))
def test_images_come_back_as_they_were_written(array, tmp_path_factory):
    header = struct.pack(">4I", 2051, *array.shape)
    path = written(tmp_path_factory.mktemp("idx") / "images", header + array.tobytes())
    np.testing.assert_array_equal(idx.read_images(path), array)


def test_digest_of_an_array_is_that_of_its_file(tmp_path):
    for read, content in ((idx.read_images, IMAGES), (idx.read_labels, LABELS)):
        assert idx.file_sha256(read(written(tmp_path / "file", content))) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("content", "message"), DAMAGED_IMAGES.values(), ids=DAMAGED_IMAGES.keys())
def test_a_damaged_image_file_is_refused_in_one_line_that_names_it(content, message, tmp_path):
    path = written(tmp_path / "train-images", content)
    with pytest.raises(DataError) as caught:
        idx.read_images(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert message in line
    assert "\n" not in line


def test_images_as_labels_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"magic number 2051 \(images\), 2049 is expected of labels"):
        idx.read_labels(written(tmp_path / "labels", IMAGES))


def test_a_label_beyond_the_classes_is_refused_with_its_place(tmp_path):
    path = written(tmp_path / "labels", struct.pack(">2I", 2049, 4) + bytes([0, 9, 10, 11]))
    with pytest.raises(DataError, match="label 10 at position 2, expected 0 to 9"):
        idx.read_labels(path)


def test_counts_of_images_and_labels_must_agree(tmp_path):
    images = written(tmp_path / "images", IMAGES)
    labels = written(tmp_path / "labels", struct.pack(">2I", 2049, 4) + bytes(4))
    with pytest.raises(DataError, match="labels: 4 labels for 5 images of images"):
        idx.read_pair(images, labels)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_a_fifo_a_folder_and_a_missing_file_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, message in (("fifo", "not a regular file"), (".", "not a regular file"), ("nothing", "no such file")):
        with pytest.raises(DataError, match=message):
            idx.read_images(tmp_path / name)
