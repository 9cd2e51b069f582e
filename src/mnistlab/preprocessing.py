"""Images become features: a scikit-learn pipeline declared by the cell, fitted on the training part alone (rule M2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets.catalog import Dataset
from mnistlab.errors import InvalidFieldError
from mnistlab.records import PartLabels
from mnistlab.spec import Features, Split
from mnistlab.splits import split_parts

if TYPE_CHECKING:
    from sklearn.base import TransformerMixin
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """What an engine trains on, shared by every run of the same data set, split, features and seed.

    Attributes
    ----------
    X_train, X_validation, X_test : float32 array (n, n_features)
        `X_validation` has no rows when the split asks for no validation part.
    y_train : uint8 array (n,)
    validation : PartLabels | None
    test : PartLabels
    n_classes : int
    pipeline : sklearn.pipeline.Pipeline
        The steps as they were fitted.
    """

    X_train: NDArray[np.float32]
    y_train: NDArray[np.uint8]
    X_validation: NDArray[np.float32]
    X_test: NDArray[np.float32]
    validation: PartLabels | None
    test: PartLabels
    n_classes: int
    pipeline: "Pipeline"


def build_pipeline(features: Features) -> "Pipeline":
    """The steps of `features` as an unfitted pipeline: uint8 pixels `(n, n_pixels)` in, float32 `(n, n_features)` out.

    `scale` divides by 255; `standardize` gives every column mean 0 and variance 1 (a constant one variance 0); `pca:K`
    keeps the K directions of greatest variance, by a solver that draws no random numbers.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    steps = [(step, _transformer(step)) for step in features.steps]
    if features.steps[0] != "scale":  # later steps keep float32, but would make float64 of bytes
        steps.insert(0, ("float32", FunctionTransformer(_as_float32)))
    return Pipeline(steps)


def check_features(features: Features, n_pixels: int, n_train: int) -> None:
    """Refuse, before any data is read, what cannot be fitted on `n_train` images of `n_pixels` pixels.

    Raises
    ------
    InvalidFieldError
        `pca` asks for more components than columns come in or examples train.
    """
    features.n_features(n_pixels)
    for step in features.steps:
        name, _, argument = step.partition(":")
        if name == "pca" and int(argument) > n_train:
            raise InvalidFieldError("features", step, f"only {n_train} training examples", f"say pca:{n_train}")


def prepare(dataset: Dataset, split: Split, features: Features, seed: int) -> PreparedData:
    """Split a data set for one seed and turn its images into features.

    Raises
    ------
    InvalidFieldError
        A part would be empty, or `pca` asks for more components than there are pixels or training examples.
    """
    pipeline = build_pipeline(features)
    parts = split_parts(dataset.labels, dataset.info, split, seed)
    check_features(features, dataset.info.n_pixels, len(parts.train))
    X_train = pipeline.fit_transform(_pixels(dataset, parts.train))
    X_test = pipeline.transform(_pixels(dataset, parts.test))
    X_validation = pipeline.transform(_pixels(dataset, parts.validation)) if len(parts.validation) else X_test[:0]
    validation = _part_labels(dataset, "validation", parts.validation) if len(parts.validation) else None
    test = _part_labels(dataset, "test", parts.test)
    y_train, n_classes = dataset.labels[parts.train], dataset.info.n_classes
    return PreparedData(X_train, y_train, X_validation, X_test, validation, test, n_classes, pipeline)


def _transformer(step: str) -> "TransformerMixin":
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    name, _, argument = step.partition(":")
    if name == "scale":
        return FunctionTransformer(_scale)
    if name == "standardize":
        return StandardScaler(copy=False)  # the step before has made a copy already
    return PCA(int(argument), svd_solver="covariance_eigh")


def _scale(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.divide(pixels, np.float32(255), dtype=np.float32)


def _as_float32(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return pixels.astype(np.float32)


def _pixels(dataset: Dataset, indices: NDArray[np.int32]) -> NDArray[np.uint8]:
    return dataset.images[indices].reshape(len(indices), -1)


def _part_labels(dataset: Dataset, part: str, indices: NDArray[np.int32]) -> PartLabels:
    return PartLabels(dataset.info.name, part, dataset.info.n_classes, indices, dataset.labels[indices])
