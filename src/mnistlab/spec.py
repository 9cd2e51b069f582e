"""What is asked of the lab: architecture, split, features, training, cell, run. Values in, checked values out.

Every field is declared once, with its default, its range and its words; hashing, planning, storage and tables find it
here. Nothing in this module reads a file, draws a random number or imports a framework.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from mnistlab.errors import ConfigurationError, InvalidFieldError, did_you_mean

ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "elu")
FRAMEWORKS = ("keras", "sklearn")
OPTIMIZERS = ("adam", "sgd", "adamw")
PROTOCOLS = ("official", "merged")
SCHEDULES = ("constant", "cosine", "step")
IMAGE_STEPS = ("deskew", "hog")  # in the order they may stand in; they learn nothing from any digit
FEATURE_STEPS = (*IMAGE_STEPS, "scale", "standardize", "pca")

# Histograms of oriented gradients: directions told apart, pixels along a side of a cell, cells along one of a block.
# docs/using.md says what other choices gave.
HOG_ORIENTATIONS, HOG_CELL, HOG_BLOCK = 9, 4, 2

_DEFAULT_SIGMA = 5.0  # pixels; of elastic deformation

MAX_WIDTH = 65_536
MAX_DEPTH = 512

Check = Callable[[str, Any], Any]


def _number(*, above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf) -> Check:
    def check(name: str, value: Any) -> float:
        wanted = "a number" + "".join(
            f" {word} {bound:g}"
            for word, bound in (("above", above), ("of at least", at_least), ("below", below))
            if math.isfinite(bound)
        )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFieldError(name, value, f"{wanted} is needed")
        if not (math.isfinite(value) and value > above and value >= at_least and value < below):
            raise InvalidFieldError(name, value, f"{wanted} is needed")
        return float(value)

    return check


def _whole(at_least: int, at_most: int) -> Check:
    def check(name: str, value: Any) -> int:
        wanted = f"a whole number from {at_least:,} to {at_most:,} is needed"
        if isinstance(value, float) and value.is_integer():
            raise InvalidFieldError(name, value, wanted, f"did you mean {int(value)}?")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidFieldError(name, value, wanted)
        if not at_least <= value <= at_most:
            shown = value if abs(value) < 10**12 else "…"
            raise InvalidFieldError(name, shown, wanted)
        return value

    return check


def _fraction(*, zero: bool, one: bool) -> Check:
    def check(name: str, value: Any) -> float:
        wanted = "a fraction between 0 and 1 is needed"
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise InvalidFieldError(name, value, wanted)
        if not 0 <= value <= 1:
            hint = f"did you mean {value / 100:g}?" if 2 <= value < 100 or (value == 100 and one) else ""
            raise InvalidFieldError(name, value, wanted, hint)
        if (value == 0 and not zero) or (value == 1 and not one):
            raise InvalidFieldError(name, value, f"{wanted}, {'more than 0' if value == 0 else 'less than 1'}")
        return float(value)

    return check


def _one_of(words: tuple[str, ...]) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidFieldError(name, value, f"one of {', '.join(words)} is needed", _hint(value, words))
        return str(value)

    return check


def _hint(value: object, words: tuple[str, ...]) -> str:
    hint = did_you_mean(str(value), words)
    return hint if hint.startswith("did you mean") else ""


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidFieldError(name, value, "true or false is needed")
    return value


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 1000 or not value.isprintable():
        raise InvalidFieldError(name, repr(value)[:60], "a printable name of 1 to 1,000 characters is needed")
    return value


def _or_none(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _knob(default: Any, check: Check, *, words: str, about: str) -> Any:
    """A field of the specification: `words` says how a label shows a value that is not the default."""
    return field(default=default, metadata={"check": check, "words": words, "about": about})


def _check_fields(part: Any) -> None:
    for declared in dataclasses.fields(part):
        check = declared.metadata.get("check")
        if check is not None:
            object.__setattr__(part, declared.name, check(declared.name, getattr(part, declared.name)))


@dataclass(frozen=True, slots=True)
class Architecture:
    """Hidden layers of a multilayer perceptron with a softmax output.

    A hidden layer is dense → batch norm → Gaussian noise → activation → dropout, each of these but the first and the
    activation where it is on; before the first of them come Gaussian noise and input dropout.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Width of each hidden layer; its length is the depth.
    activations : str or sequence of str, default="relu"
        One name for all layers, or one per layer.
    batch_norm : bool, default=False
    dropout : float, default=0.0
        Fraction of units dropped behind every hidden layer while training, in [0, 1).
    input_dropout : float, default=0.0
        Fraction of features dropped while training, in [0, 1).
    gaussian_noise : float, default=0.0
        Standard deviation of the noise that is added while training.

    Raises
    ------
    InvalidFieldError
        A value out of range, or widths and activations of different number.
    """

    hidden_layer_sizes: tuple[int, ...]
    activations: tuple[str, ...] = "relu"  # type: ignore[assignment]  # a tuple once it is made
    batch_norm: bool = _knob(False, _yes_or_no, words="batch norm", about="batch normalisation before each activation")
    dropout: float = _knob(
        0.0, _fraction(zero=True, one=False), words="dropout {:g}", about="fraction of units dropped in training"
    )
    input_dropout: float = _knob(
        0.0,
        _fraction(zero=True, one=False),
        words="input dropout {:g}",
        about="fraction of features dropped in training",
    )
    gaussian_noise: float = _knob(
        0.0, _number(at_least=0, below=100), words="noise {:g}",
        about="standard deviation of noise added, in training, to the features and before each activation",
    )  # fmt: skip

    def __post_init__(self) -> None:
        sizes: Any = self.hidden_layer_sizes
        if isinstance(sizes, str) or not hasattr(sizes, "__iter__") or not (sizes := tuple(sizes)):
            raise InvalidFieldError("hidden_layer_sizes", sizes, "a list of at least one width is needed")
        if len(sizes) > MAX_DEPTH:
            raise InvalidFieldError("depth", len(sizes), f"a whole number from 1 to {MAX_DEPTH} is needed")
        width = _whole(1, MAX_WIDTH)
        sizes = tuple(width("hidden_layer_sizes", size) for size in sizes)
        names: Any = self.activations
        if isinstance(names, str) or not hasattr(names, "__iter__"):
            names = (names,) * len(sizes)
        names = tuple(names)
        if len(names) != len(sizes):
            raise InvalidFieldError(
                "activations", "-".join(map(str, names)), f"{len(names)} names for {len(sizes)} hidden layers",
                "give one name for all layers or one per layer",
            )  # fmt: skip
        known = _one_of(ACTIVATIONS)
        object.__setattr__(self, "hidden_layer_sizes", sizes)
        object.__setattr__(self, "activations", tuple(known("activation", name) for name in names))
        _check_fields(self)

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.hidden_layer_sizes)

    def trainable_parameters(self, n_features: int, n_classes: int) -> int:
        """Weights and biases of every layer, and batch norm's scale and shift."""
        widths = (n_features, *self.hidden_layer_sizes, n_classes)
        dense = sum(fan_in * fan_out + fan_out for fan_in, fan_out in itertools.pairwise(widths))
        return dense + (2 * sum(self.hidden_layer_sizes) if self.batch_norm else 0)

    def parameters(self, n_features: int, n_classes: int) -> int:
        """Keras' `count_params()`: the trainable ones and batch norm's moving averages."""
        moving = 2 * sum(self.hidden_layer_sizes) if self.batch_norm else 0
        return self.trainable_parameters(n_features, n_classes) + moving

    def flops_per_step(self, n_features: int, n_classes: int, batch_size: int) -> int:
        """Multiply-adds of one training step, counted as two operations each.

        Forward, weight gradient and input gradient cost 2·P·B each; the first layer needs no input gradient.
        """
        trainable = self.trainable_parameters(n_features, n_classes)
        return 6 * trainable * batch_size - 2 * n_features * self.hidden_layer_sizes[0] * batch_size

    def __str__(self) -> str:
        sizes, names = self.hidden_layer_sizes, self.activations
        shape = f"{len(sizes)}x{sizes[0]}" if len(set(sizes)) == 1 else "-".join(map(str, sizes))
        return f"{shape} {names[0] if len(set(names)) == 1 else '-'.join(names)}"


@dataclass(frozen=True, slots=True)
class Split:
    """Which examples train, validate and test (rules M1 and M2 of docs/measurement.md)."""

    protocol: str = _knob(
        "official", _one_of(PROTOCOLS), words="{} (writers seen in training)",
        about="official test part, or all examples merged and cut by the ratio",
    )  # fmt: skip
    train_fraction: float = _knob(
        1.0, _fraction(zero=False, one=True), words="train {:.4g}", about="fraction of the training examples used"
    )
    validation_fraction: float = _knob(
        0.1, _fraction(zero=True, one=False), words="validation {:.4g}", about="fraction of these kept for validation"
    )

    def __post_init__(self) -> None:
        _check_fields(self)
        if self.protocol == "merged" and self.train_fraction == 1:
            raise InvalidFieldError("train_fraction", 1, "the merged protocol leaves nothing to test on", "say 0.9")


@dataclass(frozen=True, slots=True)
class Features:
    """Preprocessing steps in order: `deskew`, `hog`, `scale`, `standardize`, `pca:K`.

    The first two work on images and come first; the last two are fitted on the training part alone.
    """

    steps: tuple[str, ...] = ("scale",)

    def __post_init__(self) -> None:
        steps: Any = self.steps
        if isinstance(steps, str) or not hasattr(steps, "__iter__") or not (steps := tuple(steps)):
            raise InvalidFieldError("features", steps, "a list of at least one step is needed", "say scale")
        for step in steps:
            name, _, argument = str(step).partition(":")
            if name not in FEATURE_STEPS:
                raise InvalidFieldError("features", step, "unknown step", did_you_mean(name, FEATURE_STEPS))
            if (name == "pca") != (argument.isascii() and argument.isdigit() and 0 < len(argument) < 6):
                raise InvalidFieldError("features", step, "pca needs a number of components, no other step takes one",
                                        "for example pca:50")  # fmt: skip
            if name == "pca" and int(argument) < 1:
                raise InvalidFieldError("features", step, "at least one component is needed")
        if len(set(steps)) < len(steps):
            raise InvalidFieldError("features", ",".join(steps), "a step is named twice")
        rest = [step for step in steps if step not in IMAGE_STEPS and (step != "scale" or "hog" not in steps)]
        if steps != (in_order := (*(step for step in IMAGE_STEPS if step in steps), *rest)):
            raise InvalidFieldError("features", ",".join(steps), "deskew and hog need images, so they stand first, and "
                                    "what hog gives needs no scale", f"say {','.join(in_order)}")  # fmt: skip
        object.__setattr__(self, "steps", steps)

    @property
    def image_steps(self) -> tuple[str, ...]:
        """The steps that work on images: what they give is the same for every split and seed."""
        return tuple(step for step in self.steps if step in IMAGE_STEPS)

    @property
    def learns(self) -> bool:
        """Whether a step is fitted on the training part, so that every split and seed has features of its own."""
        return any(step.partition(":")[0] in ("standardize", "pca") for step in self.steps)

    def n_features(self, image_shape: tuple[int, int]) -> int:
        """Columns that leave the last step, for images of so many pixels in height and width."""
        columns = math.prod(image_shape)
        for step in self.steps:
            name, _, argument = step.partition(":")
            if name == "hog":
                columns = _hog_columns(image_shape)
            if name == "pca":
                if int(argument) > columns:
                    raise InvalidFieldError("features", step, f"only {columns} columns come in", f"say pca:{columns}")
                columns = int(argument)
        return columns

    def __str__(self) -> str:
        return "+".join(self.steps)


@dataclass(frozen=True, slots=True)
class Training:
    """Optimizer, learning rate and its schedule, batch size, epochs, early stopping: one specification, mapped to
    every framework in one place each (rule M14 of docs/measurement.md)."""

    optimizer: str = _knob("adam", _one_of(OPTIMIZERS), words="{}", about="adam, sgd (with momentum) or adamw")
    learning_rate: float = _knob(0.001, _number(above=0, below=1000), words="rate {:g}", about="step size")
    momentum: float = _knob(0.9, _fraction(zero=True, one=False), words="momentum {:g}", about="of sgd")
    weight_decay: float = _knob(0.004, _number(at_least=0, below=1), words="decay {:g}", about="of adamw")
    epsilon: float = _knob(1e-7, _number(above=0, below=1), words="epsilon {:g}", about="of adam and adamw")
    schedule: str = _knob(
        "constant", _one_of(SCHEDULES), words="{}",
        about="constant; cosine to zero; step: a tenth after half, a hundredth after three quarters of the epochs",
    )  # fmt: skip
    l2: float = _knob(
        0.0, _number(at_least=0, below=100), words="l2 {:g}", about="penalty l2·Σw² on weights, not on biases"
    )
    warmup_epochs: int = _knob(
        0, _whole(0, 10**6), words="warm-up {}", about="epochs in which the step size rises to its value, before cosine"
    )
    label_smoothing: float = _knob(
        0.0,
        _fraction(zero=True, one=False),
        words="smoothing {:g}",
        about="share of each label spread over all classes",
    )
    max_norm: float | None = _knob(
        None, _or_none(_number(above=0)), words="max norm {:g}",
        about="largest Euclidean norm of the weights into a hidden unit",
    )  # fmt: skip
    ema_momentum: float | None = _knob(
        None, _or_none(_fraction(zero=False, one=False)), words="weight average {:g}",
        about="weight averaging: the network is the moving average of its weights over steps, of this momentum",
    )  # fmt: skip
    rotation: float = _knob(
        0.0,
        _number(at_least=0, below=180),
        words="rotation {:g}",
        about="turn training images by up to so many degrees",
    )
    zoom: float = _knob(
        0.0, _fraction(zero=True, one=False), words="zoom {:g}", about="enlarge or shrink them by up to this fraction"
    )
    shear: float = _knob(
        0.0,
        _fraction(zero=True, one=False),
        words="shear {:g}",
        about="slant them by up to this fraction of their height",
    )
    translation: float = _knob(
        0.0, _number(at_least=0, below=1000), words="translation {:g}", about="shift them by up to so many pixels"
    )
    elastic_alpha: float = _knob(
        0.0, _number(at_least=0, below=10_000), words="elastic {:g}", about="strength of elastic deformation, in pixels"
    )
    elastic_sigma: float = _knob(
        _DEFAULT_SIGMA,
        _number(above=0, below=1000),
        words="sigma {:g}",
        about="its smoothness: a Gaussian of so many pixels",
    )
    batch_size: int = _knob(32, _whole(1, 10**7), words="batch {}", about="examples a step")
    epochs: int = _knob(10, _whole(1, 10**6), words="{} epochs", about="passes asked for")
    early_stopping_patience: int | None = _knob(
        None, _or_none(_whole(1, 10**6)), words="patience {}",
        about="stop after that many epochs without a lower validation loss, best weights restored",
    )  # fmt: skip
    tol: float | None = _knob(
        None, _or_none(_number(at_least=0, below=1000)), words="tol {:g}",
        about="scikit-learn's own stopping on the training loss; off unless given",
    )  # fmt: skip

    def __post_init__(self) -> None:
        _check_fields(self)
        owners = {"momentum": ("sgd",), "weight_decay": ("adamw",), "epsilon": ("adam", "adamw")}
        for declared in dataclasses.fields(self):
            name, value = declared.name, getattr(self, declared.name)
            if name in owners and self.optimizer not in owners[name] and value != declared.default:
                raise InvalidFieldError(name, value, f"{self.optimizer} has none", f"it belongs to {owners[name][0]}")
        if self.warmup_epochs and self.schedule != "cosine":
            raise InvalidFieldError("warmup_epochs", self.warmup_epochs, f"the schedule {self.schedule} has none",
                                    "it belongs to cosine")  # fmt: skip
        if self.warmup_epochs >= self.epochs:
            raise InvalidFieldError(
                "warmup_epochs", self.warmup_epochs, f"of {self.epochs} epochs none is left after it"
            )
        if self.elastic_sigma != _DEFAULT_SIGMA and not self.elastic_alpha:
            raise InvalidFieldError("elastic_sigma", self.elastic_sigma, "nothing is deformed", "set elastic_alpha")

    @property
    def deformation(self) -> tuple[float, ...]:
        """How training images are deformed, each anew in every epoch: rotation, zoom, shear, translation, elastic alpha
        and sigma; empty where they are not."""
        affine = self.rotation, self.zoom, self.shear, self.translation
        return (*affine, self.elastic_alpha, self.elastic_sigma) if any((*affine, self.elastic_alpha)) else ()


@dataclass(frozen=True, slots=True)
class Cell:
    """Everything about a network but the seed. Its id hashes its canonical content (`canonical`).

    Raises
    ------
    InvalidFieldError
        The framework cannot express a field, or early stopping is asked for without validation examples.
    """

    architecture: Architecture
    split: Split = Split()
    features: Features = Features()
    training: Training = Training()
    dataset: str = _knob(
        "mnist", _name, words="{}", about="mnist, fashion-mnist, digits, or the path of your own .npz file or folder"
    )
    framework: str = _knob("keras", _one_of(FRAMEWORKS), words="{}", about="keras or sklearn")

    # Field of a cell that MLPClassifier has no word for → the values it can express.
    _SKLEARN: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "batch_norm": (False,),
        "dropout": (0.0,),
        "input_dropout": (0.0,),
        "gaussian_noise": (0.0,),
        "optimizer": ("adam", "sgd"),
        "schedule": ("constant",),
        "label_smoothing": (0.0,),
        "max_norm": (None,),
        "ema_momentum": (None,),
        **dict.fromkeys(("rotation", "zoom", "shear", "translation", "elastic_alpha"), (0.0,)),
    }

    def __post_init__(self) -> None:
        _check_fields(self)
        training = self.training
        if training.early_stopping_patience is not None and self.split.validation_fraction == 0:
            raise InvalidFieldError("early_stopping_patience", training.early_stopping_patience,
                                    "early stopping needs validation examples", "set validation_fraction")  # fmt: skip
        if training.deformation and (beyond := [s for s in self.features.steps if s not in ("deskew", "scale")]):
            raise InvalidFieldError("features", str(self.features), f"only images are deformed, and {beyond[0]} "
                                    "gives none", "say scale, or deskew,scale")  # fmt: skip
        if self.framework == "keras" and training.tol is not None:
            raise InvalidFieldError("tol", training.tol, "only scikit-learn has it", "use early_stopping_patience")
        if self.framework == "sklearn":
            self._check_sklearn()

    def _check_sklearn(self) -> None:
        cannot = "scikit-learn's MLPClassifier cannot express it"
        for name, values in self._SKLEARN.items():
            value = getattr(self.training if hasattr(self.training, name) else self.architecture, name)
            if value not in values:
                raise InvalidFieldError(name, value, cannot, "use framework keras")
        names = self.architecture.activations
        if len(set(names)) > 1:
            raise InvalidFieldError("activations", "-".join(names), f"mixed: {cannot}", "use framework keras")
        if names[0] not in ("relu", "sigmoid", "tanh"):
            raise InvalidFieldError("activation", names[0], cannot, "use framework keras")

    def content(self) -> dict[str, Any]:
        """The cell as plain nested values under the public names: the shape of JSON, study files and the store."""
        sizes = {"hidden_layer_sizes": list(self.architecture.hidden_layer_sizes),
                 "activations": list(self.architecture.activations)}  # fmt: skip
        rest = {f.name: getattr(self.architecture, f.name) for f in dataclasses.fields(Architecture) if f.metadata}
        return {
            "dataset": self.dataset,
            "framework": self.framework,
            **sizes,
            **rest,
            "split": dataclasses.asdict(self.split),
            "features": list(self.features.steps),
            "training": dataclasses.asdict(self.training),
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """A cell from the shape `content` gives, what is left out at its default.

        Raises
        ------
        ConfigurationError
            An unknown key, with the nearest known one, or a value out of range.
        """
        _refuse_unknown(content, _CONTENT_KEYS, "")
        parts: dict[str, Any] = {}
        for name, kind in (("split", Split), ("training", Training)):
            values = content.get(name, {})
            if not isinstance(values, Mapping):
                raise ConfigurationError(f"{name} {values}", "a table of keys and values is needed")
            _refuse_unknown(values, [f.name for f in dataclasses.fields(kind)], f"{name}.")
            parts[name] = kind(**values)
        if "features" in content:
            parts["features"] = Features(content["features"])
        architecture = {f.name: content[f.name] for f in dataclasses.fields(Architecture) if f.name in content}
        architecture.setdefault("hidden_layer_sizes", (64,))
        rest = {name: content[name] for name in ("dataset", "framework") if name in content}
        return cls(Architecture(**architecture), **parts, **rest)

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - bounded; a plan asks it of one cell for all its seeds in turn
    def canonical(self) -> str:
        """JSON of what is not at its default, keys sorted: a field added later leaves the ids of old cells alone."""
        content, default = self.content(), _DEFAULT_CONTENT
        shape = ("hidden_layer_sizes", "activations")
        kept: dict[str, Any] = {}
        for name, value in content.items():
            if name in shape:
                kept[name] = value
            elif isinstance(value, dict):
                if changed := {k: v for k, v in value.items() if v != default[name][k]}:
                    kept[name] = changed
            elif value != default[name]:
                kept[name] = value
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    @property
    def id(self) -> str:
        """Twelve hexadecimal characters of the SHA-256 of `canonical()`."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:12]

    def settings(self) -> dict[str, Any]:
        """Every knob by its own name, without nesting: a row of a table."""
        content = self.content()
        flat = {k: v for k, v in content.items() if not isinstance(v, dict)}
        return {**flat, **content["split"], **content["training"]}

    @property
    def label(self) -> str:
        """Shape and activation, then whatever is not at its default: `4x64 relu`, `1x64 relu, sklearn, batch 200`."""
        return ", ".join([str(self.architecture), *self._unusual()])

    def _unusual(self) -> Iterator[str]:
        if self.features != Features():
            yield str(self.features)
        for part in (self, self.architecture, self.training, self.split):
            for declared in dataclasses.fields(part):
                if "words" in declared.metadata and (value := getattr(part, declared.name)) != declared.default:
                    yield declared.metadata["words"].format(value)


@dataclass(frozen=True, slots=True)
class Run:
    """A cell with a seed. Same id, engine, program, versions and thread settings: same bits on a CPU (rule M24)."""

    cell: Cell
    seed: int

    def __post_init__(self) -> None:
        _whole(0, 2**31 - 1)("seed", self.seed)

    @property
    def id(self) -> str:
        """Sixteen hexadecimal characters of the SHA-256 of the cell's canonical content and the seed."""
        return hashlib.sha256(f"{self.cell.canonical()}#{self.seed}".encode()).hexdigest()[:16]


def _hog_columns(image_shape: tuple[int, int]) -> int:
    """A histogram for every cell of every block; blocks overlap, one begins at every cell."""
    blocks = [length // HOG_CELL - HOG_BLOCK + 1 for length in image_shape]
    if min(blocks) < 1:
        height, width = image_shape
        raise InvalidFieldError("features", "hog", f"images of {height}×{width} pixels are too small for it",
                                f"it needs {(least := HOG_CELL * HOG_BLOCK)}×{least}; leave it out")  # fmt: skip
    return math.prod(blocks) * HOG_BLOCK**2 * HOG_ORIENTATIONS


def _refuse_unknown(values: Mapping[str, Any], known: list[str], prefix: str) -> None:
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{prefix}{key}", "unknown key", did_you_mean(str(key), known))


_DEFAULT_CONTENT = Cell(Architecture((64,))).content()
_CONTENT_KEYS = list(_DEFAULT_CONTENT)
