"""Images become features: a scikit-learn pipeline declared by the cell, fitted on the training part alone (rule M2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets.catalog import Dataset
from mnistlab.errors import InvalidFieldError, MachineError
from mnistlab.records import PartLabels
from mnistlab.spec import HOG_BLOCK, HOG_CELL, HOG_ORIENTATIONS, Features, Split
from mnistlab.splits import split_parts

if TYPE_CHECKING:
    from sklearn.base import TransformerMixin
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True, eq=False)  # no slots: the parts are made when first asked for
class PreparedData:
    """What an engine trains on, shared by every run of the same data set, split, features and seed.

    Attributes
    ----------
    rows : uint8 or float32 array (n, n_features)
        Features of the whole data set, times `divisor`: of runs whose features learn nothing the same array.
    divisor : float
        255 where pixels are still to be scaled, else 1.
    labels : uint8 array (n,)
        Of the whole data set.
    train : int32 array (n_train,)
        Positions of the training examples in `rows`; those of the other parts stand in their labels.
    validation, test : PartLabels | None
        Of a trial of a search there is no test part.
    n_classes : int
    image_shape : tuple of int
        Height and width of the images that the features were made of.
    pipeline : sklearn.pipeline.Pipeline
        All steps as they were fitted, from uint8 pixels `(n, n_pixels)` on.
    """

    rows: NDArray[Any]
    divisor: float
    labels: NDArray[np.uint8]
    train: NDArray[np.int32]
    validation: PartLabels | None
    test: PartLabels | None
    n_classes: int
    image_shape: tuple[int, int]
    pipeline: "Pipeline"

    @cached_property
    def X_train(self) -> NDArray[np.float32]:
        """float32 array (n_train, n_features)."""
        return self._part(self.train)

    @cached_property
    def y_train(self) -> NDArray[np.uint8]:
        """uint8 array (n_train,)."""
        return self.labels[self.train]

    @cached_property
    def X_validation(self) -> NDArray[np.float32]:
        """float32 array (n_validation, n_features); no rows when the split asks for no validation part."""
        return self._part(self.train[:0] if self.validation is None else self.validation.indices)

    @cached_property
    def X_test(self) -> NDArray[np.float32]:
        """float32 array (n_test, n_features); no rows of a trial of a search."""
        return self._part(self.train[:0] if self.test is None else self.test.indices)

    def _part(self, indices: NDArray[np.int32]) -> NDArray[np.float32]:
        rows = np.take(self.rows, indices, axis=0)
        return rows.astype(np.float32, copy=False) if self.divisor == 1 else _divided(rows, self.divisor)


def build_pipeline(features: Features, image_shape: tuple[int, int]) -> "Pipeline":
    """The steps of `features` as an unfitted pipeline: uint8 pixels `(n, n_pixels)` in, float32 `(n, n_features)` out.

    `deskew` and `hog`: see `apply_image_step`; `scale` divides by 255; `standardize` gives every column mean 0 and
    variance 1 (a constant one variance 0); `pca:K` keeps the K directions of greatest variance, by a solver that draws
    no random numbers.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    images, rest = features.image_steps, features.steps[len(features.image_steps) :]
    steps = [(step, _transformer(step)) for step in rest]
    if rest[:1] != ("scale",):  # later steps keep float32, but would make float64 of bytes
        steps.insert(0, ("float32", FunctionTransformer(_as_float32)))
    of_images = [(step, _image_transformer(step, image_shape)) for step in images]
    return Pipeline([*of_images, *steps])


def check_features(features: Features, image_shape: tuple[int, int], n_train: int) -> None:
    """Refuse, before any data is read, what cannot be fitted on `n_train` images of this height and width.

    Raises
    ------
    InvalidFieldError
        The images are too small for `hog`, or `pca` asks for more components than columns come in or examples train.
    """
    features.n_features(image_shape)
    for step in features.steps:
        name, _, argument = step.partition(":")
        if name == "pca" and int(argument) > n_train:
            raise InvalidFieldError("features", step, f"only {n_train} training examples", f"say pca:{n_train}")


def apply_image_step(step: str, images: NDArray[Any]) -> NDArray[np.float32]:
    """What `deskew` or `hog` makes of images; each image by itself, so that nothing is learned from any.

    `deskew` shears an image along its rows about its centre of mass until what is drawn leans neither way (its mixed
    second moment is zero); pixels are interpolated linearly and rounded to whole grey levels. An image without ink, or
    with all of it in one row, stays as it is. `hog` counts edges by direction: 9 directions in cells of 4×4 pixels,
    blocks of 2×2 cells brought to the same contrast.

    Parameters
    ----------
    step : str
        `deskew` or `hog`.
    images : uint8 or float array (n, height, width)
        Grey levels, 0 to 255.

    Returns
    -------
    float32 array (n, height, width) or, of `hog`, (n, n_columns)
        Of `deskew` whole numbers from 0 to 255.

    Raises
    ------
    MachineError
        `hog` without scikit-image.

    References
    ----------
    Moments: M.-K. Hu (1962), IRE Trans. Inf. Theory 8, 179-187. Deskewed digits: Y. LeCun et al. (1998), Proc. IEEE
    86, 2278-2324. HOG: N. Dalal and B. Triggs (2005), CVPR, 886-893; L2-Hys norm, by scikit-image.
    """
    describe = _deskewed if step == "deskew" else _hog()
    return np.stack([np.asarray(describe(image.astype(np.float64)), np.float32) for image in images])


def check_installed(features: Features) -> None:
    """Raise MachineError when a step needs what is not installed."""
    if "hog" in features.steps:
        _hog()


def prepare(
    dataset: Dataset, split: Split, features: Features, seed: int, computed: NDArray[Any] | None = None, *,
    test: bool = True,
) -> PreparedData:  # fmt: skip
    """Split a data set for one seed and turn its images into features.

    Parameters
    ----------
    dataset : Dataset
    split : Split
    features : Features
    seed : int
    computed : uint8 or float32 array (n, n_columns), optional
        What `features.image_steps` make of every image of the data set, where that is known already.
    test : bool, default=True
        False: without the test part, of which then no label is looked at and no feature computed that is learned.

    Raises
    ------
    InvalidFieldError
        A part would be empty, the images are too small for `hog`, or `pca` asks for more components than columns come
        in or examples train.
    MachineError
        `hog` without scikit-image.
    """
    pipeline = build_pipeline(features, dataset.info.image_shape)
    parts = split_parts(dataset.labels, dataset.info, split, seed)
    check_features(features, dataset.info.image_shape, len(parts.train))
    images, rest = features.image_steps, features.steps[len(features.image_steps) :]
    rows: NDArray[Any] = dataset.images.reshape(len(dataset.images), -1)
    if images:  # a part of a pipeline holds the same steps: what is fitted there is fitted in the whole
        rows = pipeline[: len(images)].transform(rows) if computed is None else computed
    divisor = 255.0 if rest == ("scale",) else 1.0
    if rest not in ((), ("scale",)):
        measured = (parts.validation, parts.test) if test else (parts.validation,)
        rows = _fitted(pipeline[len(images) :], rows, parts.train, measured)
    return PreparedData(
        rows, divisor, dataset.labels, parts.train,
        validation=_part_labels(dataset, "validation", parts.validation) if len(parts.validation) else None,
        test=_part_labels(dataset, "test", parts.test) if test else None,
        n_classes=dataset.info.n_classes, image_shape=dataset.info.image_shape, pipeline=pipeline,
    )  # fmt: skip


def _fitted(
    steps: "Pipeline", rows: NDArray[Any], train: NDArray[np.int32], measured: Sequence[NDArray[np.int32]]
) -> NDArray[np.float32]:
    """All rows as the steps make them, which learn from the training part; zero where a row is in no part."""
    found = steps.fit_transform(rows[train])
    features = np.zeros((len(rows), found.shape[1]), np.float32)
    features[train] = found
    for part in measured:
        if len(part):
            features[part] = steps.transform(rows[part])
    return features


def _transformer(step: str) -> "TransformerMixin":
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    name, _, argument = step.partition(":")
    if name == "scale":
        return FunctionTransformer(_scale)
    if name == "standardize":
        return StandardScaler(copy=False)  # the step before has made a copy already
    return PCA(int(argument), svd_solver="covariance_eigh")


def _image_transformer(step: str, image_shape: tuple[int, int]) -> "TransformerMixin":
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(_apply_to_rows, kw_args={"step": step, "image_shape": image_shape})


def _apply_to_rows(rows: NDArray[Any], step: str, image_shape: tuple[int, int]) -> NDArray[np.float32]:
    return apply_image_step(step, rows.reshape(-1, *image_shape)).reshape(len(rows), -1)


def _deskewed(image: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import affine_transform

    row, column = np.ogrid[: image.shape[0], : image.shape[1]]
    ink = image.sum() or 1.0
    up, across = row - (middle := (row * image).sum() / ink), column - (column * image).sum() / ink
    spread = (up**2 * image).sum()
    if spread == 0:
        return image
    slant = (up * across * image).sum() / spread
    sheared = affine_transform(image, [[1, 0], [slant, 1]], offset=[0, -slant * middle], order=1)
    return np.clip(np.rint(sheared), 0, 255)


def _hog() -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    try:
        from skimage.feature import hog
    except ImportError as fault:
        raise MachineError("features hog", "scikit-image is not installed",
                           "pip install 'mnistlab[features]'") from fault  # fmt: skip
    return partial(
        hog, orientations=HOG_ORIENTATIONS, pixels_per_cell=(HOG_CELL,) * 2, cells_per_block=(HOG_BLOCK,) * 2
    )


def _scale(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return _divided(pixels, 255)


def _divided(pixels: NDArray[np.generic], divisor: float) -> NDArray[np.float32]:
    return np.divide(pixels, np.float32(divisor), dtype=np.float32)


def _as_float32(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    return pixels.astype(np.float32, copy=False)


def _part_labels(dataset: Dataset, part: str, indices: NDArray[np.int32]) -> PartLabels:
    return PartLabels(dataset.info.name, part, dataset.info.n_classes, indices, dataset.labels[indices])
