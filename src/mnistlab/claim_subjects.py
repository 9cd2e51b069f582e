"""Which network a claim is about: the words of a row or label, read as a specification. Text in, `Subject` out.

A label of ours is the specification's own words written out, so it is read with the same words backwards: a knob added
to the specification is understood here at once.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mnistlab.datasets.catalog import DATASETS
from mnistlab.spec import (
    ACTIVATIONS,
    FEATURE_STEPS,
    FRAMEWORKS,
    OPTIMIZERS,
    PROTOCOLS,
    SCHEDULES,
    Architecture,
    Cell,
    Features,
    Split,
    Training,
)

MNIST_PIXELS, MNIST_CLASSES = 784, 10

_SYNONYMS = {
    "scikit-learn": "sklearn",
    "logistic": "sigmoid",
    "batch normalization": "batch norm",
    "batchnorm": "batch norm",
}
# Words that say what every network here is.
_NOISE = (
    "mlp mlps ffn dnn dense deep basic simple feed forward feedforward feed-forward fully connected fully-connected "
    "neural network net model architecture hidden layer layers of with a an the and on each all in equal"
)
_CHOICES = {"framework": FRAMEWORKS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "protocol": PROTOCOLS,
            "dataset": tuple(DATASETS)}  # fmt: skip
SETTING_WORDS = {  # field of the specification → how a label writes it
    declared.name: declared.metadata["words"]
    for part in (Cell, Architecture, Training, Split)
    for declared in dataclasses.fields(part)
    if "words" in declared.metadata
}
_NAMED: dict[str, tuple[str, Any]] = {
    SETTING_WORDS[name].format(value): (name, value) for name, values in _CHOICES.items() for value in values
} | {"batch norm": ("batch_norm", True)}
_VALUED = {
    re.compile(re.sub(r"\\\{.*?\\\}", r"([0-9][0-9.e+-]{0,12})", re.escape(words))): name
    for name, words in SETTING_WORDS.items()
    if "{" in words and name not in _CHOICES
}
_STEP = rf"(?:{'|'.join(FEATURE_STEPS)})(?::[0-9]{{1,5}})?"
_STEPS = re.compile(rf"{_STEP}(?:\+{_STEP})*")

_WIDTH = r"[1-9][0-9]{0,5}"
_DATE = r"(?:19|20)[0-9]{2}-[01]?[0-9]-[0-3]?[0-9](?![0-9-])"
_TUPLE = re.compile(rf"[(\[]\s?({_WIDTH}(?:\s?,\s?{_WIDTH})+),?\s?[)\]]")
_EQUAL = re.compile(rf"(?<![\w.-])([1-9][0-9]{{0,2}})\s?[x×]\s?({_WIDTH})(?![\w.-])")
_CHAIN = re.compile(rf"(?<![\w.-])(?!{_DATE}){_WIDTH}(?:\s?[-–→]\s?{_WIDTH})+(?![\w.-])")
_LAYERS = re.compile(r"(?<![\w.-])([1-9][0-9]{0,2})[ -](?:hidden[ -])?layers?\b")
_NODES = re.compile(rf"(?<![\w.-])({_WIDTH})[ -](?:hidden[ -])?(?:nodes?|units?|neurons?)\b")


@dataclass(frozen=True, slots=True)
class Subject:
    """The network a claim is about, as far as its words say.

    Attributes
    ----------
    text : str
        The words.
    hidden_layer_sizes : tuple of int | None
        None: the widths are not said.
    depth : int | None
        Hidden layers; None: neither shape nor depth is said.
    activations : tuple of str
        Named ones, one for all layers or one per layer; empty: relu is taken, as everywhere.
    settings : tuple of (str, value)
        Fields of the specification that were named; the others are taken at their defaults.
    problem : str
        Why the words cannot be read; empty when they can.
    """

    text: str
    hidden_layer_sizes: tuple[int, ...] | None = None
    depth: int | None = None
    activations: tuple[str, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    problem: str = ""

    def cell(self, hidden_layer_sizes: tuple[int, ...]) -> Cell:
        """The cell with these widths and all that is said.

        Raises
        ------
        ConfigurationError
            The specification refuses a value.
        """
        named, names = dict(self.settings), self.activations or ("relu",)
        parts = {
            part: {f.name: named[f.name] for f in dataclasses.fields(part) if f.name in named and f.metadata}
            for part in (Architecture, Split, Training, Cell)
        }
        activations = names * len(hidden_layer_sizes) if len(names) == 1 else names
        return Cell(
            Architecture(hidden_layer_sizes, activations, **parts[Architecture]),
            Split(**parts[Split]), Features(named.get("features", ("scale",))), Training(**parts[Training]),
            **parts[Cell],
        )  # fmt: skip


@functools.lru_cache(maxsize=4096)
def read_subject(text: str) -> Subject:
    """The network these words mean: `4x64 relu`, `1x64 relu, sklearn`, `784-128-64-10`, `64 nodes`, `4-Layer DNN`.

    `64 nodes` are one hidden layer; `4 layers` leave the width open; a chain from 784 to 10 names its input and output.
    Whatever is not understood is a `problem`, never a guess.
    """
    rest = _TUPLE.sub(lambda found: re.sub(r"\s?,\s?", "-", found[1]), text.lower())
    for synonym, word in _SYNONYMS.items():
        rest = rest.replace(synonym, word)
    settings, words = _split_settings(rest)
    shapes, words = _take_shapes(words)
    activations: list[str] = []
    unknown = []
    for word in re.sub(r"[()/]", " ", words).split():
        parts = word.split("-")
        if all(part in ACTIVATIONS for part in parts):
            activations += parts
        elif word in _NAMED:
            settings.append(_NAMED[word])
        elif word not in _NOISE.split():
            unknown.append(word)
    problem = f"“{' '.join(unknown)}” is not understood as a multilayer perceptron" if unknown else ""
    if len(dict(settings)) < len(set(settings)):
        problem = problem or "a setting is named twice with different values"
    return _with_shape(Subject(text, None, None, tuple(activations), tuple(settings), problem), shapes)


def _split_settings(text: str) -> tuple[list[tuple[str, Any]], str]:
    """Phrases between commas that are settings, and the others as one text."""
    settings, words = [], []
    for phrase in (part.strip() for part in text.split(",")):
        if found := next(_settings_in(phrase), None):
            settings.append(found)
        else:
            words.append(phrase)
    return settings, " ".join(words)


def _settings_in(phrase: str) -> Iterator[tuple[str, Any]]:
    if phrase in _NAMED:
        yield _NAMED[phrase]
    if _STEPS.fullmatch(phrase):
        yield "features", tuple(phrase.split("+"))
    for pattern, name in _VALUED.items():
        if found := pattern.fullmatch(phrase):
            try:
                yield name, int(found[1]) if found[1].isdigit() else float(found[1])
            except ValueError:
                return


def _take_shapes(words: str) -> tuple[dict[str, list[Any]], str]:
    shapes: dict[str, list[Any]] = {}
    for name, pattern, read in (
        ("sizes", _EQUAL, lambda found: (int(found[2]),) * int(found[1])),
        ("sizes", _CHAIN, lambda found: tuple(map(int, re.findall(r"[0-9]+", found[0])))),
        ("depth", _LAYERS, lambda found: int(found[1])),
        ("width", _NODES, lambda found: int(found[1])),
    ):
        shapes.setdefault(name, []).extend(read(found) for found in pattern.finditer(words))
        words = pattern.sub(" ", words)
    return shapes, words


def _with_shape(subject: Subject, shapes: dict[str, list[Any]]) -> Subject:
    sizes, depth, width = (shapes[name][0] if shapes[name] else None for name in ("sizes", "depth", "width"))
    problem = subject.problem
    if sizes and sizes[0] == MNIST_PIXELS:
        if sizes[-1] == MNIST_CLASSES:
            sizes = sizes[1:-1]
            problem = problem or ("" if sizes else "it has no hidden layer")
        else:
            problem = problem or "784 may be the input or a hidden layer: write 784-…-10 or the hidden layers alone"
    if sizes is None and width is not None:
        sizes = (width,) * (depth or 1)
    depth = len(sizes) if sizes is not None and depth is None else depth
    if any(len(found) > 1 for found in shapes.values()) or (
        sizes is not None and (len(sizes) != depth or width not in (None, *set(sizes)))
    ):
        problem = problem or "it names more than one shape"
    return dataclasses.replace(subject, hidden_layer_sizes=sizes or None, depth=depth or None, problem=problem)
