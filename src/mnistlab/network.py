"""A trained network as plain arrays: what engines hand out, and what predicts without the framework that trained it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.drawing import Drawing, Normalisation
from mnistlab.formatting import html_paragraph
from mnistlab.records import Stage
from mnistlab.spec import IMAGE_STEPS, Architecture, Cell, Run

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_BATCH_NORM_EPSILON = np.float32(1e-3)  # Keras' default

# Kind → its arrays, in the order of a `Stage`; what is not here has none.
ARRAYS = {
    "standardize": ("mean", "scale"),
    "pca": ("mean", "components"),
    "dense": ("kernel", "bias"),
    "batch_norm": ("gamma", "beta", "moving_mean", "moving_variance"),
}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says of one picture.

    Attributes
    ----------
    image : str
        The file.
    digit : int | None
        The most probable class; None where the picture is blank or filled, and no digit at all.
    probabilities : tuple of float
        By class.
    class_names : tuple of str
    normalisation : Normalisation
        What was done to the picture first.
    """

    image: str
    digit: int | None
    probabilities: tuple[float, ...]
    class_names: tuple[str, ...]
    normalisation: Normalisation

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture's name and the three most probable classes."""
        ranked = sorted(zip(self.probabilities, self.class_names, strict=True), key=lambda one: -one[0])
        classes = ", ".join(f"{name} {probability:.1%}" for probability, name in ranked[:3])
        return html_paragraph(f"{self.image}: {'' if self.digit is not None else 'not a digit? '}{classes}")


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A network that can be asked, without the framework that trained it.

    Attributes
    ----------
    run : Run
    image_shape : tuple of int
        Height and width of the images it takes.
    class_names : tuple of str
    stages : tuple of Stage
        Feature steps as they were fitted, then layers as they were trained.
    weights_sha256 : str
        What its run recorded of the trained arrays.
    """

    run: Run
    image_shape: tuple[int, int]
    class_names: tuple[str, ...]
    stages: tuple[Stage, ...]
    weights_sha256: str

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of images.

        Parameters
        ----------
        images : uint8 array (n, height, width)

        Returns
        -------
        float32 array (n, n_classes)
            Rows sum to 1.

        Raises
        ------
        ValueError
            Images of another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise ValueError(f"uint8 images of {self.image_shape} are needed; got {images.dtype} {images.shape}")
        X: NDArray[Any] = images
        with np.errstate(all="ignore"):
            for stage in self.stages:
                X = self._apply(stage, X)
        return X

    def predict(self, image: str, drawing: Drawing) -> Prediction:
        """What it says of the picture in file `image`, normalised to `drawing`.

        Raises
        ------
        ValueError
            Its probabilities are no numbers: weights so large that they cannot have been trained.
        """
        [probabilities] = self.predict_proba(drawing.image[None])
        if not np.isfinite(probabilities).all():
            raise ValueError("its probabilities are not finite numbers")
        digit = None if drawing.blank or drawing.filled else int(probabilities.argmax())
        return Prediction(image, digit, tuple(probabilities.tolist()), self.class_names, drawing.steps)

    def _apply(self, stage: Stage, X: NDArray[Any]) -> NDArray[np.float32]:
        if stage.kind in IMAGE_STEPS:
            from mnistlab.preprocessing import apply_image_step

            return apply_image_step(stage.kind, X.reshape(len(X), *self.image_shape))
        return _apply(stage, X.reshape(len(X), -1).astype(np.float32, copy=False))


def stages_of(cell: Cell, pipeline: "Pipeline", weights: Iterable[NDArray[Any]]) -> tuple[Stage, ...]:
    """The stages of a trained network: the cell's steps as `pipeline` fitted them, then its layers.

    Parameters
    ----------
    cell : Cell
    pipeline : sklearn.pipeline.Pipeline
        As `PreparedData` has it.
    weights : iterable of float arrays
        Those of the layers, in Keras' order: kernel and bias, then gamma, beta, moving mean and variance.
    """
    left = iter(weights)
    arrays = [(step, _fitted(step, pipeline)) for step in cell.features.steps]
    arrays += [(kind, tuple(islice(left, len(ARRAYS.get(kind, ()))))) for kind in layer_kinds(cell.architecture)]
    # In one order of bytes: in another a product rounds otherwise, and safetensors writes what it finds.
    return tuple(Stage(kind, tuple(map(np.ascontiguousarray, its_own))) for kind, its_own in arrays)


def layer_kinds(architecture: Architecture) -> tuple[str, ...]:
    """Kinds of the layers of an architecture; dropout, which does nothing but in training, is none."""
    norm = ("batch_norm",) if architecture.batch_norm else ()
    hidden = [kind for activation in architecture.activations for kind in ("dense", *norm, activation)]
    return *hidden, "dense", "softmax"


def slope_and_shift(stage: Stage) -> tuple[NDArray[Any], NDArray[Any]]:
    """What trained batch normalisation multiplies each column by, and then adds."""
    gamma, beta, mean, variance = stage.arrays
    slope = gamma / np.sqrt(variance + _BATCH_NORM_EPSILON)
    return slope, beta - mean * slope


def _fitted(step: str, pipeline: "Pipeline") -> tuple[NDArray[Any], ...]:
    part = pipeline.named_steps.get(step)
    match base_kind(step):
        case "standardize":
            return part.mean_, part.scale_
        case "pca":
            return part.mean_, part.components_
    return ()


def _apply(stage: Stage, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """One stage in the order of operations of the framework it comes from; each rounds to float32."""
    from scipy import special

    match base_kind(stage.kind):
        case "scale":
            return X / np.float32(255)
        case "standardize":
            mean, scale = stage.arrays
            return ((X - mean).astype(np.float32) / scale).astype(np.float32)
        case "pca":
            mean, components = stage.arrays
            return X @ components.T - mean @ components.T
        case "dense":
            kernel, bias = stage.arrays
            return X @ kernel + bias
        case "batch_norm":
            slope, shift = slope_and_shift(stage)
            return X * slope + shift
        case "elu":
            return np.where(X > 0, X, np.expm1(np.minimum(X, 0)))
        case "gelu":
            return X * special.ndtr(X)
        case "relu":
            return np.maximum(X, 0)
        case "sigmoid":
            return special.expit(X)
        case "softmax":
            return special.softmax(X, axis=1)
        case "tanh":
            return np.tanh(X)
    raise ValueError(f"no such stage: {stage.kind}")


def base_kind(kind: str) -> str:
    """`pca` of `pca:50`."""
    return kind.partition(":")[0]
