"""Cells less what is done: runs in groups, with their sizes and predicted cost. Pure; reads and writes nothing."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from mnistlab.analysis.estimate import Estimate
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import InvalidFieldError
from mnistlab.preprocessing import check_features
from mnistlab.price import Prices, Work, total
from mnistlab.spec import Cell, Run
from mnistlab.splits import part_sizes
from mnistlab.study import Study

# Resident memory of a process with its framework loaded, rounded up.
_PROCESS_BYTES = {"keras": 600_000_000, "sklearn": 250_000_000}
_TIMEOUT_FLOOR_SECONDS = 900.0
_TIMEOUT_FACTOR = 20.0


@dataclass(frozen=True, slots=True)
class CellSize:
    """What a cell amounts to on its data set: counts of features, examples, parameters and operations."""

    n_features: int
    n_classes: int
    n_train: int
    n_validation: int
    n_test: int
    parameters: int
    trainable_parameters: int
    flops_per_step: int
    steps_per_epoch: int


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that one engine trains together, their predicted seconds, and the seconds after which they are given up."""

    engine: str
    runs: tuple[Run, ...]
    seconds: Estimate
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of a study: its size, seeds asked for, runs still to do and their predicted seconds in one process."""

    cell: Cell
    size: CellSize
    seeds: int
    to_do: int
    engine: str
    seconds: Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study will train: its cells, and the groups to do, round by round, the longest of a round first."""

    study: Study
    cells: tuple[PlannedCell, ...]
    rounds: tuple[tuple[Group, ...], ...]
    sizes: dict[str, CellSize]
    workers: int

    def size_of(self, cell: Cell) -> CellSize:
        """Size of one of its cells."""
        return self.sizes[cell.id]

    @property
    def groups(self) -> Iterator[Group]:
        """All groups, in the order they are to be trained."""
        return (group for groups in self.rounds for group in groups)

    @property
    def networks(self) -> int:
        """Runs asked for, done ones included."""
        return len(self.cells) * len(self.study.seeds)

    @property
    def to_do(self) -> int:
        """Runs without a result."""
        return sum(planned.to_do for planned in self.cells)

    @property
    def parameters_total(self) -> int:
        """Parameters of all networks asked for."""
        return sum(planned.size.parameters * planned.seeds for planned in self.cells)

    @property
    def flops_total(self) -> int:
        """Floating-point operations of all training steps asked for, if every run does all its epochs."""
        return sum(
            p.size.flops_per_step * p.size.steps_per_epoch * p.cell.training.epochs * p.seeds for p in self.cells
        )

    @property
    def peak_bytes(self) -> int:
        """Memory the processes need at the worst moment, beside the coordinator."""
        return self.workers * max((run_bytes(p.cell, p.size) for p in self.cells), default=0)

    @property
    def seconds(self) -> Estimate:
        """Predicted wall-clock seconds of what is to do."""
        return total([group.seconds for group in self.groups], self.workers)


def cell_size(cell: Cell, info: DatasetInfo) -> CellSize:
    """Sizes of a cell on its data set.

    Raises
    ------
    ConfigurationError
        A part would be empty, or the batch is larger than the training part.
    """
    parts = part_sizes(info, cell.split)
    columns, classes, batch = cell.features.n_features(info.image_shape), info.n_classes, cell.training.batch_size
    layers = cell.architecture
    check_features(cell.features, info.image_shape, parts.train)
    if batch > parts.train:
        raise InvalidFieldError("batch_size", batch, f'the training part of "{cell.label}" has only '
                                f"{parts.train:,} examples", f"at most {parts.train}")  # fmt: skip
    return CellSize(
        n_features=columns, n_classes=classes, n_train=parts.train, n_validation=parts.validation, n_test=parts.test,
        parameters=layers.parameters(columns, classes),
        trainable_parameters=layers.trainable_parameters(columns, classes),
        flops_per_step=layers.flops_per_step(columns, classes, batch), steps_per_epoch=math.ceil(parts.train / batch),
    )  # fmt: skip


def run_bytes(cell: Cell, size: CellSize) -> int:
    """Memory of the process that trains one run, in bytes.

    The framework, the data as bytes and as float32, four copies of the parameters (weights, gradients, Adam's two
    moments), the activations of a prediction in batches of 2,000.
    """
    examples = size.n_train + size.n_validation + size.n_test
    data = examples * size.n_features * 5 + size.n_train * size.n_classes * 4
    activations = 2_000 * 4 * (size.n_features + sum(cell.architecture.hidden_layer_sizes))
    return _PROCESS_BYTES[cell.framework] + data + 16 * size.parameters + activations


def work_of(cell: Cell, size: CellSize) -> Work:
    """The quantities the time of this cell's runs follows."""
    return Work(
        key=cell.id, framework=cell.framework, depth=cell.architecture.depth, epochs=cell.training.epochs,
        steps_per_epoch=size.steps_per_epoch, flops_per_step=size.flops_per_step,
        evaluated=size.n_validation + size.n_test, parameters=size.parameters,
    )  # fmt: skip


def make_plan(
    study: Study, *, sizes: dict[str, CellSize], finished: Collection[str], prices: Prices,
    engine_name: Callable[[Cell], str], workers: int,
) -> Plan:  # fmt: skip
    """What is left of a study, in rounds: one seed of every cell after the other.

    Parameters
    ----------
    study : Study
    sizes : dict
        Cell id → `CellSize`.
    finished : collection of str
        Ids of runs that need not be trained again.
    prices : Prices
    engine_name : callable
        The engine that trains a cell.
    workers : int
        Processes side by side.
    """
    planned, groups = [], dict[int, list[Group]]()
    done = frozenset(finished)
    for cell in study.cells:
        size, engine = sizes[cell.id], engine_name(cell)
        seconds = prices.seconds(work_of(cell, size))
        open_runs = [(i, run) for i, seed in enumerate(study.seeds) if (run := Run(cell, seed)).id not in done]
        timeout = max(_TIMEOUT_FLOOR_SECONDS, _TIMEOUT_FACTOR * (seconds.high or 0.0))
        for index, run in open_runs:
            groups.setdefault(index, []).append(Group(engine, (run,), seconds, timeout))
        cost = total([seconds] * len(open_runs), 1)
        planned.append(PlannedCell(cell, size, len(study.seeds), len(open_runs), engine, cost))
    rounds = tuple(
        tuple(sorted(groups[index], key=lambda group: -(group.seconds.value or 0.0))) for index in sorted(groups)
    )
    return Plan(study, tuple(planned), rounds, sizes, workers)


def architecture_key(cell: Cell, size: CellSize) -> str:
    """What a probe's measurement holds for: framework, layers, columns in and out, batch size, optimizer."""
    layers = cell.architecture
    widths = (size.n_features, *layers.hidden_layer_sizes, size.n_classes)
    extras = [name for name, on in (("batch_norm", layers.batch_norm), ("dropout", layers.dropout > 0)) if on]
    names = layers.activations[:1] if len(set(layers.activations)) == 1 else layers.activations
    training = cell.training
    parts = [cell.framework, "-".join(map(str, widths)), "-".join(names), *extras]
    return " ".join([*parts, training.optimizer, f"batch {training.batch_size}"])
