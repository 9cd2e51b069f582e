"""`CONFIG`, a TOML file or flags become a `Study`: a named set of cells with seeds. Mappings end at this door.

Both grammars become the same thing: a list of values for every field of the specification that was named, crossed
into cells. Keys and types come from the specification, so a field added there is known here. What is wrong is said in
one line with the key or flag as its user wrote it. Nothing is trained, fetched or written.
"""

import hashlib
import importlib.resources
import itertools
import math
import os.path
import re
import runpy
import shlex
import tomllib
import traceback
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnistlab.errors import ConfigurationError, InvalidFieldError, did_you_mean
from mnistlab.formatting import html_paragraph, html_table
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.spec import MAX_DEPTH, Architecture, Cell, Check, Features, Run, Split, Training

if TYPE_CHECKING:
    from mnistlab.asked import RatesAsked, SearchAsked

DEFAULT_SEEDS = 3
MAX_SEEDS = 1_000_000
_DEFAULTS = Cell(Architecture((64,))).settings()
FIRST_LOOK = 5  # seeds of every cell before it is asked which verdicts are open
MAX_CELLS = 1_000_000
MAX_SHOWN = 500  # cells in a notebook: a table of a million stops the browser
MAX_FILE_BYTES = 10_000_000

Factors = dict[str, list[Any]]  # field of the specification, or width and depth → the values it takes


@dataclass(frozen=True, slots=True)
class Study:
    """A named set of cells with the seeds each of them is to be trained with.

    Attributes
    ----------
    name : str
    cells : tuple of Cell
        Without repetition, in the order of the file.
    seeds : tuple of int
    until_margin : float | None
        Seeds are given out where verdicts are open, until every two cells that differ in one knob are told apart or
        surely differ by less than this fraction, or given up; None: every cell gets every seed.
    asked : SearchAsked | RatesAsked | None
        What it is to find, where its cells are not named: they come little by little, or get each its own best rate.
    words : str
        What stands behind `mnistlab run`, of a search behind `mnistlab tune`, to ask for it again, quoted for a shell;
        empty when only Python can.
    folder : Path
        Where the relative paths of data sets in it start: the folder of its file.
    """

    name: str
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    until_margin: float | None = None
    asked: "SearchAsked | RatesAsked | None" = field(default=None, compare=False)
    words: str = field(default="", compare=False)
    folder: Path = field(default=Path(), compare=False)

    @property
    def runs(self) -> list[Run]:
        """Every cell with every seed."""
        return [Run(cell, seed) for cell in self.cells for seed in self.seeds]

    def _repr_html_(self) -> str:
        """What a notebook shows: how many cells and seeds; the cells by label and id, the first 500 of very many."""
        n_cells, n_seeds = len(self.cells), len(self.seeds)
        counts = f"{n_cells:,} cell{'s' * (n_cells != 1)} × {n_seeds:,} seed{'s' * (n_seeds != 1)}"
        more = f", the first {MAX_SHOWN} of them:" if n_cells > MAX_SHOWN else ""
        table = html_table(["cell", "id"], [[cell.label, cell.id] for cell in self.cells[:MAX_SHOWN]])
        return f"{html_paragraph(f'Study {self.name}: {counts}{more}')}{table}"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of an ad-hoc study: its name with underscores, a line of help, and the shape of its value.

    `kind` is `list` (one text, values separated by commas), `switch` (true or false) or `repeat` (several texts).
    """

    name: str
    about: str
    kind: Literal["list", "switch", "repeat"]

    @property
    def option(self) -> str:
        """The flag as it is typed: `--train-fraction`."""
        return "--" + self.name.replace("_", "-")


def load_config(source: Mapping[str, Any] | str | Path) -> Study:
    """A study from `CONFIG`, from a file, or by the name of one that ships.

    Parameters
    ----------
    source : mapping, str or Path
        A dict such as `CONFIG`; a `.toml` file; a `.py` file that defines `CONFIG` (it is run: it is its owner's code);
        or one of `shipped_studies()`. The grammar is in docs/using.md.

    Raises
    ------
    ConfigurationError
        No such study, an unreadable file, an unknown key or a value out of range: all that was found, in one line.
    """
    given = _given(source, ("studies",))
    study = _study(given.config, given.label, given.stem)
    return replace(study, words=given.words, folder=given.folder)


@dataclass(frozen=True, slots=True)
class _Given:
    config: Mapping[str, Any]
    label: str  # how a fault calls it
    stem: str
    words: str = ""
    folder: Path = Path()


def _given(source: Mapping[str, Any] | str | Path, shelves: Sequence[str]) -> _Given:
    if isinstance(source, Mapping):
        return _Given(source, "CONFIG", "config")
    for shelf in shelves:
        if str(source) in _shipped(shelf):
            file = importlib.resources.files("mnistlab") / shelf / f"{source}.toml"
            return _Given(_toml(file.read_bytes(), label := f"{source}.toml"), label, str(source), str(source))
    path = Path(source)
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file it answers for every text, however long
        word, ships = _WORDS[shelves[0]], [name for shelf in shelves for name in _shipped(shelf)]
        raise ConfigurationError(f"{word} {_shown(str(source))}", f"no such file, and no {word} of this name ships",
                                 did_you_mean(path.stem[:100], ships))  # fmt: skip
    if path.suffix not in (".toml", ".py"):
        raise ConfigurationError(_shown(str(source)), "a .toml file, or a .py file that defines CONFIG, is needed")
    config = _run_python(path) if path.suffix == ".py" else read_toml(path)
    return _Given(config, str(path), path.stem, shlex.quote(str(source)), path.parent)


def shipped_studies() -> tuple[str, ...]:
    """Names of the studies that come with the package, sorted."""
    return _shipped("studies")


def _shipped(shelf: str) -> tuple[str, ...]:
    folder = importlib.resources.files("mnistlab") / shelf
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


@dataclass(frozen=True, slots=True)
class Choice:
    """What one field of the specification may be, in a space.

    Attributes
    ----------
    field : str
        Its name in the specification; `width` and `depth` stand for `hidden_layer_sizes` with equal layers.
    values : tuple
        Without repetition; numbers ascending, others in the order of the file.
    """

    field: str
    values: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        """Whether all are numbers, so that what lies between two of them is between them."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


@dataclass(frozen=True, slots=True)
class Space:
    """The networks that a tuner may choose among: everything it may decide, not crossed into cells.

    Attributes
    ----------
    name : str
    choices : tuple of Choice
        In the order of the file; what the file does not name is at its default.
    words, folder
        As those of a `Study`.
    """

    name: str
    choices: tuple[Choice, ...]
    words: str = field(default="", compare=False)
    folder: Path = field(default=Path(), compare=False)

    def cell(self, point: Sequence[int]) -> Cell:
        """The cell at a place in each choice, in their order; InvalidFieldError where it makes no network."""
        values = {choice.field: choice.values[place] for choice, place in zip(self.choices, point, strict=True)}
        shape = (values.get("width", 64),) * values.get("depth", 1)
        [cell] = _cross(Cell, {"hidden_layer_sizes": [shape], **{name: [value] for name, value in values.items()}})
        return cell

    def point(self, cell: Cell) -> tuple[int, ...] | None:
        """Where a cell lies; None: not in this space."""
        layers, settings = cell.architecture.hidden_layer_sizes, cell.settings()
        own = {**settings, "hidden_layer_sizes": layers, "width": layers[0], "depth": len(layers),
               "steps": cell.features.steps}  # fmt: skip
        try:
            point = tuple(
                [_activations_of(value, len(layers)) if choice.field == "activations" else value
                 for value in choice.values].index(own[choice.field])
                for choice in self.choices
            )  # fmt: skip
            return point if self.cell(point) == cell else None
        except ValueError:  # a choice has not this value; a place that makes no network is one, too
            return None


def _activations_of(value: Any, depth: int) -> list[str]:
    return [value] * depth if isinstance(value, str) else list(value)


def load_space(source: Mapping[str, Any] | str | Path = "default") -> Space:
    """A space from a study file, or by the name of a space or study that ships.

    Parameters
    ----------
    source : mapping, str or Path, default="default"
        As for `load_config`: every list is the set of choices, what is no list is fixed. Seeds are ignored: a tuner
        has seeds of its own. `"off"` is what a knob is by default that has no value then, such as max_norm.

    Raises
    ------
    ConfigurationError
        What `load_config` refuses, `[[cell]]` tables, choices that would be compared on other digits, or no
        validation digits to choose by.
    """
    given = _given(source, ("spaces", "studies"))
    faults: list[str] = []
    title, factors = _door(given.config, given.label, given.stem, faults)
    if "cell" in given.config:
        faults.append("cell: a space has none (write the values of each knob as a list)")
    faults += [
        f"{_FIELD_KEYS[name]}: networks are compared on the same digits (give one value of {len(factors[name])})"
        for name in ("dataset", "protocol", "train_fraction", "validation_fraction")
        if len(factors.get(name, [])) > 1
    ]
    if factors.get("validation_fraction") == [0]:
        faults.append(f"{_FIELD_KEYS['validation_fraction']} 0: the choice is made on validation digits (say 0.1)")
    if faults:
        raise _refusal(faults, given.label)
    distinct = {name: [v for place, v in enumerate(values) if v not in values[:place]]
                for name, values in factors.items()}  # fmt: skip
    choices = [Choice(name, tuple(values)) for name, values in distinct.items()]
    choices = [replace(one, values=tuple(sorted(one.values))) if one.ordered else one for one in choices]
    return Space(title, tuple(choices), given.words, given.folder)


def with_seeds(study: Study, n: int) -> Study:
    """The same cells with seeds 0…n−1 (`--seeds n`).

    Raises
    ------
    ConfigurationError
        `n` out of range, or a study that gives out its seeds itself.
    """
    if study.until_margin is not None:
        raise ConfigurationError(f"--seeds {n}", "the study gives seeds where verdicts are open", "leave it out")
    try:
        seeds = tuple(range(_count(MAX_SEEDS)("seeds", n)))
        return replace(study, seeds=seeds, words=study.words and f"{study.words} --seeds {n}")
    except InvalidFieldError as error:
        raise error.named("--seeds") from None


def check_seeds(study: Study) -> None:
    """Refuse seeds of `mnistlab tune` in a study that was made in Python.

    Raises
    ------
    InvalidFieldError
    """
    _seed("seeds", max(study.seeds, default=0))


def until_decided(study: Study, margin: float, max_seeds: int) -> Study:
    """The same cells with at most seeds 0…max_seeds−1, given out where verdicts are open (`--until-decided`).

    Parameters
    ----------
    study : Study
    margin : float
        What counts as equivalent, a fraction.
    max_seeds : int
        5 or more: the first look is at five.

    Raises
    ------
    ConfigurationError
        One of them is out of range.
    """
    if not 0 < margin < 1:
        raise ConfigurationError(f"--margin {margin * 100:g}", "a number of points above 0 and below 100 is needed")
    if not FIRST_LOOK <= max_seeds <= MAX_SEEDS:
        raise ConfigurationError(f"--max-seeds {max_seeds}", f"a whole number from {FIRST_LOOK} to {MAX_SEEDS:,} is "
                                 f"needed: the first look is at {FIRST_LOOK} seeds")  # fmt: skip
    words = study.words and f"{study.words} --until-decided --margin {margin * 100:g} --max-seeds {max_seeds}"
    return replace(study, seeds=tuple(range(max_seeds)), until_margin=margin, words=words)


def with_cells(study: Study, cells: Iterable[Cell]) -> Study:
    """The study with other cells, kept once each; an ad-hoc one is named after them."""
    cells = tuple(dict.fromkeys(cells))
    name = _adhoc_name(cells) if study.name == _adhoc_name(study.cells) else study.name
    return replace(study, name=name, cells=cells)


def _adhoc_name(cells: Iterable[Cell]) -> str:
    return f"adhoc-{hashlib.sha256(''.join(sorted(cell.id for cell in cells)).encode()).hexdigest()[:6]}"


def study_from_flags(flags: Mapping[str, str | Sequence[str] | bool | None]) -> Study:
    """An ad-hoc study: every comma-separated value is a factor, factors are crossed.

    Parameters
    ----------
    flags : mapping of str to text, list of texts, bool or None
        By `Flag.name`, as typed; None was not given. What is not given is Keras, MNIST, one hidden layer of 64, relu,
        the specification's training, and seeds 0, 1, 2.

    Returns
    -------
    Study
        Named `adhoc-` and six characters that only its cells decide.

    Raises
    ------
    ConfigurationError
        No flag at all, or values that cannot be used: all of them, in one line, by flag.
    """
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    if not given:
        raise ConfigurationError("STUDY", "a study or at least one flag of a cell is needed",
                                 f"say one of {', '.join(shipped_studies())}, a file, or --nodes 64")  # fmt: skip
    factors: Factors = {}
    faults: list[str] = []
    for name, value in given.items():
        if name not in _FLAG_FIELDS:
            raise ConfigurationError(_shown(name), "unknown flag", did_you_mean(name, _FLAG_FIELDS))
        factors[_FLAG_FIELDS[name]] = list(_flag_values(name, value, faults))
    seeds = factors.pop("seed", list(range(DEFAULT_SEEDS)))
    faults += [f"--seed {seed}: given twice" for seed in _repeated(seeds)]
    if "hidden_layer_sizes" in factors and ("width" in factors or "depth" in factors):
        faults.append("--layers: it stands for --nodes and --depth (give one or the other)")
    if faults:
        raise _refusal(faults)
    cells = _expand(factors, _FIELD_OPTIONS, "")
    return Study(_adhoc_name(cells), cells, tuple(seeds), words=_typed(given))


def _typed(given: Mapping[str, str | Sequence[str] | bool]) -> str:
    words: list[str] = []
    for flag in FLAGS:
        value = given.get(flag.name, False)
        values = [value] if isinstance(value, str) else [] if isinstance(value, bool) else value
        words += [flag.option] if value is True else [word for text in values for word in (flag.option, text)]
    return shlex.join(words)


def flags_of(cell: Cell, seed: int) -> list[str]:
    """The flags that ask for this cell and seed again: what differs from the defaults, and the seed."""
    names, settings = cell.architecture.activations, cell.settings()
    words = ["--layers", "-".join(map(str, cell.architecture.hidden_layer_sizes))]
    if set(names) != {"relu"}:
        words += ["--activation", "-".join(names if len(set(names)) > 1 else names[:1])]
    if cell.features != Features():
        words += ["--features", ",".join(cell.features.steps)]
    for name in _KNOBS:
        if (value := settings[name]) != _DEFAULTS[name]:
            words += [_FIELD_OPTIONS[name]] if value is True else [_FIELD_OPTIONS[name], str(value)]
    return [*words, "--seed", str(seed)]


def repeat_words(cell: Cell, seed: int, engine: str | None, device: str | None) -> list[str]:
    """The command that trains a run again into a store of its own, as it was trained: by that engine, on that device.

    `device` is `cpu` or the name of an accelerator; None, like the engine's: it has not been trained yet. Where no
    study can ask for the seed, it is the command that trains the run of the store once more and compares the weights.
    """
    if seed >= SEARCH_SEEDS:
        return ["mnistlab", "export", Run(cell, seed).id, "--format", "keras"]
    words = ["mnistlab", "run", *flags_of(cell, seed)]
    words += ["--engine", "reference"] if engine == "reference" else []
    words += ["--device", "gpu"] if device not in (None, "cpu") else []
    return [*words, "--store", "repeat.sqlite"]


# What is known: fields of the specification, and the words of both grammars for them.


def _knobs(*kinds: type) -> dict[str, Field[Any]]:
    return {f.name: f for kind in kinds for f in fields(kind) if "check" in f.metadata}


def _count(at_most: int) -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= at_most:
            raise InvalidFieldError(name, value, f"a whole number from 1 to {at_most:,} is needed")
        return value

    return check


def _seed(name: str, value: Any) -> int:
    seed = Run(Cell(Architecture((1,))), value).seed
    if seed >= SEARCH_SEEDS:
        raise InvalidFieldError(name, seed, f"seeds from {SEARCH_SEEDS:,} on belong to `mnistlab tune`")
    return seed


def _layers(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidFieldError(name, value, "a list of widths for each network is needed", "such as [[256, 128, 64]]")
    return Architecture(tuple(value)).hidden_layer_sizes


def _activations(name: str, value: Any) -> Any:
    names = value if isinstance(value, list | tuple) else [value]
    if not names:
        raise InvalidFieldError(name, "[]", "a name for all layers, or one per layer, is needed")
    return [Architecture((1,), (word,)).activations[0] for word in names] if names is value else value


_KNOBS = _knobs(Cell, Architecture, Split, Training)
_CHECKS: dict[str, Check] = {name: f.metadata["check"] for name, f in _KNOBS.items()} | {
    "width": lambda _, value: Architecture((value,)).hidden_layer_sizes[0],
    "depth": _count(MAX_DEPTH),
    "hidden_layer_sizes": _layers,
    "activations": _activations,
    "steps": lambda _, value: Features((value,) if isinstance(value, str) else value).steps,
    "seed": _seed,
}

_CONFIG_WORDS = {
    "framework": "frameworks",
    "train_fraction": "train_test_splits",
    "validation_fraction": "validation_split",
}
_NETWORK = {"node_counts": "width", "layer_depths": "depth", "layers": "hidden_layer_sizes",
            "activations": "activations"}  # fmt: skip
_KEYS: dict[str, dict[str, str]] = {  # table of a study file → key → field
    "": {**{_CONFIG_WORDS.get(name, name): name for name in _knobs(Cell)}, "features": "steps"},
    "data": {**{_CONFIG_WORDS.get(name, name): name for name in _knobs(Split)}, "batch_size": "batch_size"},
    "model": {**_NETWORK, **{name: name for name in _knobs(Architecture)}},
    "training": {name: name for name in _knobs(Training)},
}
_TABLES = ("data", "model", "training")
_WORDS = {"studies": "study", "spaces": "space"}  # folder of what ships → what it holds
_PLAIN = ("name", "seeds", "cell", *_TABLES)
# Field at fault → its word, in a file crossed from factors, in a [[cell]], among the flags.
_FIELD_KEYS = {field: f"{table}.{key}".lstrip(".") for table, keys in _KEYS.items() for key, field in keys.items()}
_FIELD_KEYS["activation"] = _FIELD_KEYS["activations"]
_CELL_KEYS = {name: f"{part}.{name}" for part, kind in (("split", Split), ("training", Training))
              for name in _knobs(kind)} | {"activation": "activations", "depth": "hidden_layer_sizes"}  # fmt: skip

_FLAG_WORDS = {"early_stopping_patience": "early_stopping"}
_NETWORK_FLAGS = {
    "width": Flag("nodes", "width of the hidden layers (default: 64)", "list"),
    "depth": Flag("depth", "number of hidden layers (default: 1)", "list"),
    "hidden_layer_sizes": Flag("layers", "widths of the layers in turn, such as 256-128-64", "list"),
    "activations": Flag(
        "activation", "one name for all layers, or one per layer such as relu-tanh-relu (default: relu)", "list"
    ),
    "steps": Flag("features", "steps such as deskew,scale,pca:50; each time it is given, one pipeline", "repeat"),
    "seed": Flag("seed", "the seeds themselves (default: 0,1,2)", "list"),
}


def _knob_flag(declared: Field[Any]) -> Flag:
    name, about = _FLAG_WORDS.get(declared.name, declared.name), declared.metadata["about"]
    if declared.type is bool:
        return Flag(name, about, "switch")
    return Flag(name, f"{about} (default: {'off' if declared.default is None else declared.default})", "list")


_FIELD_FLAGS = _NETWORK_FLAGS | {name: _knob_flag(declared) for name, declared in _KNOBS.items()}
_FLAG_FIELDS = {flag.name: field for field, flag in _FIELD_FLAGS.items()}
_FIELD_OPTIONS = {field: flag.option for field, flag in _FIELD_FLAGS.items()} | {"activation": "--activation"}
FLAGS: tuple[Flag, ...] = tuple(_FIELD_FLAGS.values())


# From factors to cells.


def _expand(factors: Factors, words: Mapping[str, str], source: str) -> tuple[Cell, ...]:
    count = math.prod(len(values) for values in factors.values())
    if count > MAX_CELLS:
        raise ConfigurationError(source or "STUDY", f"{count:,} cells are more than the {MAX_CELLS:,} a study can have",
                                 "give fewer values")  # fmt: skip
    networks = itertools.product(factors.get("width", [64]), factors.get("depth", [1]))
    factors = {"hidden_layer_sizes": [(width,) * depth for width, depth in networks], **factors}
    try:
        return tuple(dict.fromkeys(_cross(Cell, factors)))
    except InvalidFieldError as error:
        raise _refusal([_fault(words.get(error.field, error.field), error)], source) from None


def _cross(kind: type, factors: Factors) -> list[Any]:
    """Every combination of the factors that are fields of `kind`; its parts are crossed first."""
    columns: Factors = {}
    for declared in fields(kind):
        if isinstance(declared.type, type) and is_dataclass(declared.type):
            columns[declared.name] = _cross(declared.type, factors)
        elif declared.name in factors:
            columns[declared.name] = factors[declared.name]
    return [kind(**dict(zip(columns, values, strict=True))) for values in itertools.product(*columns.values())]


# From a file or CONFIG to factors.


def _door(config: Mapping[str, Any], source: str, stem: str, faults: list[str]) -> tuple[str, Factors]:
    """What a study and a space have in common: their name and the values of every field that was named."""
    unusable = [f"{_shown(path)}: {why}" for path, leaf in _leaves(config) if (why := _unusable(leaf))]
    if unusable:
        raise _refusal(unusable, source)
    if not config:
        raise ConfigurationError(source, "it is empty", "docs/using.md shows a study file")
    name = _name(config.get("name", stem), faults)
    factors = _factors(config, faults)
    if "hidden_layer_sizes" in factors and ("width" in factors or "depth" in factors):
        faults.append("model.layers: it stands for node_counts and layer_depths (give one or the other)")
    return name, factors


def _study(config: Mapping[str, Any], source: str, stem: str) -> Study:
    faults: list[str] = []
    name, factors = _door(config, source, stem, faults)
    seeds = _seeds(config.get("seeds", DEFAULT_SEEDS), faults)
    listed = list(_listed(config.get("cell", []), faults))
    if "cell" in config and factors and "model" not in config:
        keys = ", ".join(_FIELD_KEYS[field] for field in factors)
        faults.append(f"{keys}: does not reach the [[cell]] tables (set it in each of them, such as "
                      "training.epochs = 30, or add [model] to cross it)")  # fmt: skip
    if faults:
        raise _refusal(faults, source)
    crossed = _expand(factors, _FIELD_KEYS, source) if "model" in config or not listed else ()
    return Study(name, tuple(dict.fromkeys((*crossed, *listed))), seeds)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield path or "a key", key
            yield from _leaves(part, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, path)
    else:
        yield path, value


def _unusable(leaf: Any) -> str:
    if isinstance(leaf, str):
        return (
            "" if leaf.isprintable() and len(leaf) <= 1000 else "a printable text of at most 1,000 characters is needed"
        )
    if isinstance(leaf, int):
        return "" if abs(leaf) < 2**63 else "no number may be as large as this"
    return "" if leaf is None or isinstance(leaf, float) else f"a value of type {type(leaf).__name__} cannot be used"


def _name(value: Any, faults: list[str]) -> str:
    # It becomes the name of a report's file.
    if not isinstance(value, str) or not re.fullmatch(r"[^\W_][\w .+-]*", value) or len(value.encode()) > 100:
        faults.append(f"name {_shown(value)}: letters, digits, space . _ + - are needed, 100 at most, a letter or "
                      'digit first (set name = "…")')  # fmt: skip
    return str(value)


def _seeds(value: Any, faults: list[str]) -> tuple[int, ...]:
    try:
        if not isinstance(value, list | tuple):
            return tuple(range(_count(MAX_SEEDS)("seeds", value)))
        for seed in value:
            _CHECKS["seed"]("seed", seed)
    except InvalidFieldError as error:
        faults.append(_fault("seeds", error))
    else:
        faults += [] if value else ["seeds []: at least one is needed"]
        faults += [f"seeds {seed}: given twice" for seed in _repeated(value)]
        return tuple(value)
    return ()


def _repeated(values: Sequence[int]) -> list[int]:
    return sorted(value for value, times in Counter(values).items() if times > 1)


def _factors(config: Mapping[str, Any], faults: list[str]) -> Factors:
    factors: Factors = {}
    places: dict[str, str] = {}
    for table, keys in _KEYS.items():
        given = config.get(table, {}) if table else {k: v for k, v in config.items() if k not in _PLAIN}
        if not isinstance(given, Mapping):
            faults.append(f"{table} {_shown(given)}: a table of keys and values is needed")
            continue
        for key, value in given.items():
            where = f"{table}.{key}".lstrip(".")
            if key not in keys:
                faults.append(f"{_shown(where)}: unknown key ({_nearest(str(key), table)})")
            elif keys[key] in factors:
                faults.append(f"{where}: given twice ({places[keys[key]]} says it too)")
            else:
                places[keys[key]] = where
                factors[keys[key]] = list(_values(keys[key], where, value, faults))
    return factors


def _nearest(key: str, table: str) -> str:
    homes = [f"it belongs into [{name}]" for name, keys in _KEYS.items() if name and key in keys]
    return homes[0] if homes else did_you_mean(key[:100], [*_KEYS[table], *(() if table else _PLAIN)])


def _values(field: str, where: str, value: Any, faults: list[str]) -> Iterator[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        faults.append(f"{where} []: at least one value is needed")
    has_off = field in _KNOBS and _KNOBS[field].default is None
    for one in values:
        try:
            yield None if has_off and one == "off" else _CHECKS[field](field, one)
        except InvalidFieldError as error:
            faults.append(_fault(where, error))


def _listed(cells: Any, faults: list[str]) -> Iterator[Cell]:
    if not isinstance(cells, list | tuple) or not all(isinstance(content, Mapping) for content in cells):
        faults.append("cell: a list of tables is needed (write [[cell]] above each)")
        return
    for number, content in enumerate(cells, 1):
        try:
            yield Cell.from_content(content)
        except InvalidFieldError as error:
            faults.append(f"cell {number}: " + _fault(_CELL_KEYS.get(error.field, error.field), error))
        except ConfigurationError as error:
            faults.append(f"cell {number}: {error}")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; ConfigurationError where it cannot be read or makes no sense."""
    return _toml(_read(path), str(path))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError(str(path), f"larger than the {MAX_FILE_BYTES:,} bytes a study file may have")
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(str(path), error.strerror or "cannot be read") from None


def _toml(content: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(source, f"not UTF-8 text at byte {error.start + 1:,}", "save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(source, f"not valid TOML: {str(error)[:200]}") from None


def _run_python(path: Path) -> Mapping[str, Any]:
    try:
        config = runpy.run_path(str(path)).get("CONFIG")
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f" on line {lines[-1]}" if lines else ""
        raise ConfigurationError(str(path), f"{type(error).__name__}{where}: {error}") from error
    if not isinstance(config, Mapping):
        raise ConfigurationError(str(path), "CONFIG, a dict, is not defined in it")
    return config


# From texts to factors.


def _flag_values(name: str, value: str | Sequence[str] | bool, faults: list[str]) -> Iterator[Any]:
    field, option = _FLAG_FIELDS[name], _FIELD_FLAGS[_FLAG_FIELDS[name]].option
    texts: Sequence[str | bool] = [value] if isinstance(value, bool) else _split(field, value)
    for text in texts:
        try:
            yield _CHECKS[field](field, _from_text(field, text.strip()) if isinstance(text, str) else text)
        except InvalidFieldError as error:
            faults.append(_fault(option, error, text))


def _split(field: str, value: str | Sequence[str]) -> Sequence[str]:
    if field == "steps":
        return [value] if isinstance(value, str) else value
    return value.split(",") if isinstance(value, str) else ",".join(value).split(",")


def _from_text(field: str, text: str) -> Any:
    if not text:
        raise InvalidFieldError(field, text, "a value is needed")
    if field == "hidden_layer_sizes":
        return tuple(_whole(field, width) for width in text.split("-"))
    if field == "activations":
        return text.split("-") if "-" in text else text
    if field == "steps":
        return tuple(step.strip() for step in text.split(","))
    declared = _KNOBS[field].type if field in _KNOBS else int
    kinds = typing.get_args(declared) or (declared,)
    return _whole(field, text) if int in kinds else _number(field, text) if float in kinds else text


def _whole(field: str, text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    number = _number(field, text, "a whole number is needed")
    hint = f"did you mean {number:.0f}?" if number.is_integer() and abs(number) < 1e15 else ""
    raise InvalidFieldError(field, text, "a whole number is needed", hint)


def _number(field: str, text: str, wanted: str = "a number is needed") -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidFieldError(field, text, wanted) from None


# How a fault is told.


def _fault(where: str, error: InvalidFieldError, text: object = None) -> str:
    value = _shown(error.value if text is None else text)
    return f"{where} {value}: {error.why}" + (f" ({error.way_out})" if error.way_out else "")


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if text.isprintable() and text.strip() else repr(text)
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text):,} characters)"


def _refusal(faults: Sequence[str], source: str = "") -> ConfigurationError:
    told = [*faults[:5], *([f"and {len(faults) - 5:,} more"] if len(faults) > 5 else [])]
    what, _, why = ": ".join([*([source] if source else []), "; ".join(told)]).partition(": ")
    return ConfigurationError(what, why)
