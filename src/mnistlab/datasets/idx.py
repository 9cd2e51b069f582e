"""IDX, the format MNIST comes in: a file's path in, a checked array out. Uncompressed files only; nothing is written.

A header is compared with the size of the file before anything is allocated, and only regular files are opened.

References
----------
The layout (a magic number, one big-endian 32-bit count per dimension, then the bytes) is described by MNIST's makers,
Y. LeCun, C. Cortes and C. J. C. Burges.
"""

import hashlib
import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import DataError

_MAGIC = 0x0800  # unsigned bytes; the lowest byte counts the dimensions
_KINDS = {1: "labels", 3: "images"}
_GZIP = b"\x1f\x8b"


def read_images(path: Path) -> NDArray[np.uint8]:
    """The images of an IDX file, uint8 `(n, height, width)`.

    Raises
    ------
    DataError
        The file is missing, not a regular file, compressed, of another kind, truncated, too long, or empty.
    """
    return _read(path, 3)


def read_labels(path: Path, n_classes: int = 10) -> NDArray[np.uint8]:
    """The labels of an IDX file, uint8 `(n,)`, each less than `n_classes`.

    Raises
    ------
    DataError
        As for `read_images`, or a label names no class.
    """
    labels = _read(path, 1)
    if labels.max() >= n_classes:
        where = int((labels >= n_classes).argmax())
        raise DataError(str(path), f"label {labels[where]} at position {where:,}, expected 0 to {n_classes - 1}")
    return labels


def read_pair(images: Path, labels: Path, n_classes: int = 10) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and their labels, as many of the one as of the other.

    Raises
    ------
    DataError
        As for `read_images` and `read_labels`, or the counts differ.
    """
    X, y = read_images(images), read_labels(labels, n_classes)
    if len(X) != len(y):
        raise DataError(str(labels), f"{len(y):,} labels for {len(X):,} images of {images.name}")
    return X, y


def file_sha256(array: NDArray[np.uint8]) -> str:
    """SHA-256, in hexadecimal, of the IDX file that holds `array`: of what was read, not of what is on disk by now."""
    digest = hashlib.sha256(_header(array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def file_bytes(array: NDArray[np.uint8]) -> bytes:
    """The IDX file that holds `array`."""
    return _header(array.shape) + array.tobytes()


def _header(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">{1 + len(shape)}I", _MAGIC + len(shape), *shape)


def _read(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    try:
        if not path.is_file():  # before opening: a FIFO would wait for a writer
            raise DataError(str(path), "not a regular file" if path.exists() else "no such file")
        with path.open("rb") as file:
            shape = _checked_shape(file, path, n_dimensions)
            content = np.fromfile(file, np.uint8, math.prod(shape))
        if content.size != math.prod(shape):
            raise DataError(str(path), "became shorter while it was read")
        return content.reshape(shape)
    except OSError as fault:
        raise DataError(str(path), f"cannot be read: {fault.strerror or fault}") from fault


def _checked_shape(file: BinaryIO, path: Path, n_dimensions: int) -> tuple[int, ...]:
    n_header, n_bytes = 4 * (1 + n_dimensions), os.fstat(file.fileno()).st_size
    header = file.read(n_header)
    wanted = f"{_MAGIC + n_dimensions} is expected of {_KINDS[n_dimensions]}"
    if header.startswith(_GZIP):
        raise DataError(str(path), "compressed with gzip", "unpack it first")
    if len(header) < n_header:
        raise DataError(str(path), f"{n_bytes} bytes, expected a header of {n_header}")
    magic, *shape = struct.unpack(f">{1 + n_dimensions}I", header)
    if magic != _MAGIC + n_dimensions:
        kind = _KINDS.get(magic - _MAGIC)
        raise DataError(str(path), f"magic number {magic}{f' ({kind})' if kind else ''}, {wanted}")
    if not all(shape):
        raise DataError(str(path), f"its header says {'×'.join(map(str, shape))}: no {_KINDS[n_dimensions]}")
    if n_bytes != (expected := n_header + math.prod(shape)):
        dimensions = "×".join(map(str, shape))
        raise DataError(str(path), f"{n_bytes:,} bytes, expected {expected:,} for the {dimensions} its header says")
    return tuple(shape)
