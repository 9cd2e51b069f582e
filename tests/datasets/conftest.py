"""A data set of 40 images in MNIST's format, small enough to be made, served and damaged in every test."""

import hashlib
import struct

import numpy as np
import pytest

from mnistlab.datasets import catalog


def idx_bytes(array):
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(monkeypatch):
    """Register the data set `tiny`, without mirrors; returns its files, name → bytes."""
    random = np.random.default_rng(3)
    images, labels = random.integers(0, 256, (40, 4, 3), dtype=np.uint8), np.arange(40, dtype=np.uint8) % 10
    arrays = {"train-images": images[:30], "train-labels": labels[:30], "test-images": images[30:],
              "test-labels": labels[30:]}  # fmt: skip
    files = {name: idx_bytes(array) for name, array in arrays.items()}
    raw = [catalog.RawFile(name, len(b), hashlib.sha256(b).hexdigest()) for name, b in files.items()]
    monkeypatch.setitem(catalog.DATASETS, "tiny", catalog.DatasetInfo("tiny", (4, 3), tuple("0123456789"), 30, 10))
    monkeypatch.setitem(catalog.IDX_FILES, "tiny", catalog.IdxFiles(*raw, mirrors=(), npm_package="tiny-data@1.0.0"))
    return files
