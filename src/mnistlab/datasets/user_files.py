"""A user's own images, a `.npz` file or a folder of pictures: read, checked, and kept in the cache in MNIST's format.

Nothing such a file says of itself is believed: what it claims to hold is compared with what it has before memory is
taken, and nothing in it is ever run. `read` writes nothing; `keep` writes into the cache alone.
"""

import hashlib
import json
import math
import os
import re
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mnistlab.datasets import catalog, idx
from mnistlab.datasets.catalog import DESCRIPTION, IDX_FILES, Dataset, DatasetInfo, RawFile
from mnistlab.datasets.pictures import read_grey
from mnistlab.datasets.sources import is_intact, keep_file
from mnistlab.errors import DataError, MachineError

MAX_BYTES = 2_000_000_000  # of what is read, unpacked
MAX_IMAGES = 2_000_000  # each takes memory beyond its pixels
MAX_CLASSES = 256
_MAX_NAME = 100  # characters of a class's name
_BLOCK = 2**20
# Deflate packs at most 1032 to 1, and real images far less; sorted labels come near it, but are small.
_MAX_RATIO, _FREE_BYTES = 250, 16_000_000
_OFFICIAL = ("x_train", "y_train", "x_test", "y_test")
_PAIRS = (("images", "labels"), ("X", "y"))
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# Dimensions, kinds (truth values, whole numbers, floats, texts) and words for them.
_IMAGES = (3, "biuf", "images (n, height, width) of numbers")
_LABELS = (1, "biuU", "labels (n,), whole numbers or texts,")
_NAMES = (1, "U", "names (k,)")
# What zipfile, zlib and numpy raise on files that are damaged or were made to deceive.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, LookupError, OverflowError, RuntimeError,
           SyntaxError, tokenize.TokenError)  # fmt: skip

Array = NDArray[Any]
Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (n, height, width) and labels (n,)


def as_path(text: str, folder: Path, data_dir: Path) -> Path | None:
    """Where the data lie if `text` is a path, relative ones from `folder`; None if it is the name of a data set.

    A path holds a separator, ends in `.npz`, starts with a dot, or is there and no data set has that name.
    """
    if not text or text in catalog.names(data_dir):  # no text would be the current folder
        return None
    path = folder / os.path.expanduser(text)  # noqa: PTH111 - it leaves alone what it does not know
    looks = text.endswith(".npz") or text.startswith(".") or os.sep in text or bool(os.altsep and os.altsep in text)
    return path if looks or os.path.exists(path) else None  # noqa: PTH110 - it answers for every text, however long


def read(path: Path) -> Dataset:
    """The data set a file or folder holds, checked; nothing is written.

    A `.npz` holds `x_train`, `y_train`, `x_test`, `y_test`, or `images` and `labels` (or `X` and `y`), and, if wanted,
    `class_names`. Images `(n, height, width)` or `(n, height, width, 1)` are bytes, whole numbers from 0 to 255, truth
    values, or floats from 0 to 1, else to 255; labels are whole numbers from 0 to k-1, or texts. A folder holds one
    folder of PNG or JPEG pictures per class, or two such folders, `train` and `test`. Without a test part a fixed
    stratified seventh tests.

    Returns
    -------
    Dataset
        Named after the file and its content: `shapes-0123456789ab`; or the data set that ships, where it holds that.

    Raises
    ------
    DataError
        It cannot be read, or the images and labels in it make no data set: which file, and why.
    MachineError
        Pictures are to be read and Pillow is not installed.
    """
    try:
        parts, names = _read_folder(path) if path.is_dir() else _read_npz(path)
    except OSError as fault:
        raise DataError(str(path), f"cannot be read: {fault.strerror or fault}") from fault
    except MemoryError as fault:
        raise MachineError(str(path), "there is not enough memory for it", "give fewer or smaller images") from fault
    train, test = parts if len(parts) > 1 else _cut(*parts[0])
    _check_parts(path, train, test, names)
    images, labels = (np.concatenate(arrays) for arrays in zip(train, test, strict=True))
    height, width = images.shape[1:]
    about = DatasetInfo("", (height, width), names, len(train[1]), len(test[1]))
    sha256 = catalog.own_files([idx.file_sha256(array) for array in (*train, *test)], about).sha256
    shipped = next((name for name, files in IDX_FILES.items() if files.sha256 == sha256), None)
    about = catalog.DATASETS[shipped] if shipped else replace(about, name=f"{_stem(path)}-{sha256[:12]}")
    return Dataset(about, images, labels, sha256, str(path))


def keep(dataset: Dataset, data_dir: Path) -> None:
    """Put what `read` gave into the cache, in a folder of its name; what is there already and intact is left alone.

    Raises
    ------
    MachineError
        The cache cannot be written.
    """
    about, n = dataset.info, dataset.info.n_train
    arrays = [part for cut in (slice(n), slice(n, None)) for part in (dataset.images[cut], dataset.labels[cut])]
    digests, folder = [idx.file_sha256(array) for array in arrays], data_dir / about.name
    files = IDX_FILES.get(about.name) or catalog.own_files(digests, about)
    for file, array in zip(files.all, arrays, strict=True):
        if not is_intact(folder / file.name, file):
            keep_file(idx.file_bytes(array), file, folder)
    if about.name not in IDX_FILES:
        told = {"source": about.name[:-13], "class_names": about.class_names, "image_shape": about.image_shape,
                "n_train": n, "n_test": about.n_test, "sha256": dataset.sha256, "files": digests}  # fmt: skip
        content = json.dumps(told, indent=1).encode()
        description = RawFile(DESCRIPTION, len(content), hashlib.sha256(content).hexdigest())
        if not is_intact(folder / DESCRIPTION, description):
            keep_file(content, description, folder)


def _stem(path: Path) -> str:
    stem = path.resolve().name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:40].strip("._-") or "data"


def _cut(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[Part, Part]:
    testing = catalog.seventh_by_hash(images, labels)
    return (images[~testing], labels[~testing]), (images[testing], labels[testing])


def _check_parts(path: Path, train: Part, test: Part, names: Sequence[str]) -> None:
    if train[0].shape[1:] != test[0].shape[1:]:
        sizes = f"{_size(train[0][0])} and {_size(test[0][0])}"
        raise DataError(str(path), f"training and test images differ in size: {sizes}")
    if len(names) < 2:
        raise DataError(str(path), f"one class only, {names[0]}", "two or more are needed")
    for part, (_, labels) in (("training", train), ("test", test)):
        counts = np.bincount(labels, minlength=len(names))
        if not counts.all():
            raise DataError(str(path), f"class {names[int(counts.argmin())]} has no {part} image",
                            "every class needs some in both parts; without a test part, four or more")  # fmt: skip
    if all((images == train[0][0]).all() for images, _ in (train, test)):
        raise DataError(str(path), "all images are the same")


def _size(image: NDArray[np.uint8]) -> str:
    return "×".join(map(str, image.shape))


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_CLASSES:
        raise DataError(str(path), f"more than {MAX_CLASSES} classes")
    for name in names:
        if not (name.isprintable() and name.strip() and len(name) <= _MAX_NAME):
            raise DataError(
                str(path), f"class name {name[:_MAX_NAME]!r}: 1 to {_MAX_NAME} printable characters are needed"
            )
    if len(set(names)) < len(names):
        raise DataError(str(path), "two classes have one name")


# A folder of pictures.


def _read_folder(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    found = {folder.name for folder in _visible(path) if folder.is_dir()}
    sides = [path / "train", path / "test"] if found == {"train", "test"} else [path]
    names = sorted({folder.name for side in sides for folder in _visible(side) if folder.is_dir()})
    if not names:
        raise DataError(str(path), "holds no folder of pictures", f"one per class is needed, such as {path}/cat/1.png")
    _check_names(path, names)
    return [_pictures(side, names) for side in sides], tuple(names)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _pictures(folder: Path, names: Sequence[str]) -> Part:
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    files = [(n, file) for n, name in enumerate(names) if (folder / name).is_dir() for file in _visible(folder / name)]
    for label, file in files:
        image = np.rint(read_grey(file) * 255).astype(np.uint8)
        if images and image.shape != images[0].shape:
            raise DataError(str(file), f"{_size(image)} pixels high and wide, the first picture has {_size(images[0])}")
        if image.size * len(files) > MAX_BYTES:
            raise DataError(str(folder), f"more than {MAX_BYTES:,} pixels", "shrink the pictures")
        images.append(image)
        labels.append(label)
    if not images:
        raise DataError(str(folder), "holds no picture")
    return np.stack(images), np.array(labels, np.uint8)


# An npz file.


def _read_npz(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    if not path.is_file():  # before opening: a FIFO would wait for a writer
        raise DataError(str(path), "not a regular file" if path.exists() else "no such file or folder")
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")  # of numpy and Python about headers: the error that may follow says it
            headers = _headers(path, archive)
            arrays = [_content(archive, header) for header in headers]
    except _DAMAGE as fault:
        why = " ".join(str(fault).split())[:200] or type(fault).__name__
        raise DataError(str(path), f"no intact .npz file: {why}") from fault
    class_names = arrays.pop() if len(arrays) % 2 else None
    labels, names = _labels(path, arrays[1::2], class_names)
    unit = all(array.max() <= 1 for array in arrays[::2] if array.dtype.kind == "f")
    images = [_pixels(header.key, array, 255.0 if unit else 1.0)
              for header, array in zip(headers[::2], arrays[::2], strict=False)]  # fmt: skip
    return list(zip(images, labels, strict=True)), names


class _Header(NamedTuple):
    """What a member says of the array in it; `key` names file and array."""

    key: str
    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype[Any]


def _headers(path: Path, archive: zipfile.ZipFile) -> list[_Header]:
    """Of images and labels in turn, then of `class_names` if there is such an array; nothing is unpacked yet."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    wanted = next((keys for keys in (_OFFICIAL, *_PAIRS) if set(keys) <= set(members)), None)
    if wanted is None:
        raise DataError(str(path), f"holds {', '.join(sorted(members)[:6]) or 'nothing'}",
                        "x_train, y_train, x_test, y_test are needed, or images and labels")  # fmt: skip
    keys = [*wanted, *(["class_names"] if "class_names" in members else [])]
    if sum(members[key].file_size for key in keys) > MAX_BYTES:
        raise DataError(str(path), f"more than {MAX_BYTES:,} bytes unpacked")
    roles = [_IMAGES, _LABELS] * (len(wanted) // 2) + [_NAMES]
    headers = [_header(path, archive, members[key], *role) for key, role in zip(keys, roles, strict=False)]
    for one, other in zip(headers[: len(wanted) : 2], headers[1::2], strict=True):
        if one.shape[0] != other.shape[0]:
            raise DataError(other.key, f"{other.shape[0]:,} labels for {one.shape[0]:,} images")
        if one.shape[0] > MAX_IMAGES:
            raise DataError(one.key, f"{one.shape[0]:,} images are more than {MAX_IMAGES:,}")
    return headers


def _header(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, dimensions: int, kinds: str, wanted: str
) -> _Header:
    key = f"{path}, {member.filename.removesuffix('.npy')}"
    packed = min(member.compress_size, path.stat().st_size)
    if member.file_size > max(_FREE_BYTES, _MAX_RATIO * packed):
        raise DataError(key, f"says it unpacks {packed:,} bytes to {member.file_size:,}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(key, "packed in an unusual way", "save it with numpy.savez_compressed")
    with archive.open(member) as stream:
        shape, by_column, dtype = _HEADERS[npy.read_magic(stream)](stream)  # later formats, for records, are not there
        n_bytes = member.file_size - stream.tell()
    if dtype.hasobject:
        raise DataError(key, "holds pickled objects, which are never loaded", "save an array of numbers")
    if min(shape, default=1) < 1 or math.prod(shape) * dtype.itemsize != n_bytes:
        raise DataError(key, f"its header says {dtype} {shape}, it has {n_bytes:,} bytes")
    one_channel = len(shape) == 4 == dimensions + 1 and shape[3] == 1
    if len(shape) - one_channel != dimensions or dtype.kind not in kinds:
        raise DataError(key, f"{dtype} of shape {shape}", f"{wanted} are needed")
    return _Header(key, member, shape[:dimensions], by_column, dtype)


def _content(archive: zipfile.ZipFile, header: _Header) -> Array:
    n_bytes, content = math.prod(header.shape) * header.dtype.itemsize, bytearray()
    with archive.open(header.member) as stream:
        stream.read(header.member.file_size - n_bytes)  # the header; after a seek nothing compares the checksum
        while block := stream.read(_BLOCK):  # grows with what is really there
            content += block
    if len(content) != n_bytes:
        raise DataError(header.key, f"{len(content):,} bytes, expected {n_bytes:,}")
    if header.dtype.kind == "U" and np.frombuffer(content, f"{header.dtype.str[0]}u4").max() > sys.maxunicode:
        raise DataError(header.key, "holds texts that are none")  # making them would be an error inside Python itself
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.by_column else "C")


def _pixels(key: str, array: Array, factor: float) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return np.where(array, np.uint8(255), np.uint8(0))
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise DataError(key, f"NaN among the pixels of image {np.isnan(array).any(axis=(1, 2)).argmax():,}")
    if low < 0 or high > 255:
        raise DataError(key, f"pixels from {low:g} to {high:g}", "0 to 255, or 0 to 1, are needed")
    pixels = np.empty(array.shape, np.uint8)
    for block in (slice(start, start + 1000) for start in range(0, len(array), 1000)):
        pixels[block] = np.rint(array[block] * factor) if array.dtype.kind == "f" else array[block]
    return pixels


def _labels(
    path: Path, arrays: Sequence[Array], class_names: Array | None
) -> tuple[list[NDArray[np.uint8]], tuple[str, ...]]:
    """Labels as places among the names of the classes, which follow from texts, or are given, or are the numbers."""
    texts = arrays[0].dtype.kind == "U"
    if any((array.dtype.kind == "U") != texts for array in arrays):
        raise DataError(str(path), "the labels of one part are numbers, those of the other texts")
    parts = [np.unique(array, return_inverse=True) for array in arrays]
    found = sorted(set().union(*(values.tolist() for values, _ in parts)))
    numbers = map(str, range(max(0, min(found[-1], MAX_CLASSES - 1)) + 1)) if not texts else ()
    names = tuple(class_names[: MAX_CLASSES + 1].tolist() if class_names is not None else found if texts else numbers)
    _check_names(path, names)
    places = {value: place for place, value in enumerate(names if texts else range(len(names)))}
    if strange := [value for value in found if value not in places]:
        expected = "one of class_names" if texts else f"0 to {len(names) - 1}"
        raise DataError(str(path), f"label {str(strange[0])[:_MAX_NAME]}, expected {expected}")
    return [np.array([places[value] for value in values.tolist()], np.uint8)[at] for values, at in parts], names
