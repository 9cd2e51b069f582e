"""Cells less what is done: runs in groups, with their sizes and predicted cost. Pure; reads and writes nothing."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mnistlab.analysis.estimate import Estimate
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program, companions
from mnistlab.errors import InvalidFieldError
from mnistlab.formatting import html_paragraph, html_table, seconds
from mnistlab.preprocessing import check_features
from mnistlab.price import Priced, Prices, Work
from mnistlab.records import Role
from mnistlab.spec import Cell, Run
from mnistlab.splits import part_sizes
from mnistlab.study import MAX_SHOWN, Study
from mnistlab.tuning import Halving

# Resident memory of a process with its framework loaded, rounded up.
_PROCESS_BYTES = {"keras": 600_000_000, "sklearn": 600_000_000}
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

    def n_steps(self, cell: Cell) -> int:
        """Steps of the whole training of a cell of this size, if it does all its epochs."""
        return self.steps_per_epoch * cell.training.epochs


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that one program trains together, their predicted seconds, and the seconds after which they are given up.

    Those of the role `search` are trained without test digits; `halving` says when one of them is ended early.
    """

    program: Program
    runs: tuple[Run, ...]
    seconds: Estimate
    timeout_seconds: float
    role: Role = "common"
    halving: Halving | None = None


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of a study: its size, seeds asked for, runs still to do, what trains its first, their seconds in one
    process."""

    cell: Cell
    size: CellSize
    seeds: int
    to_do: int
    program: Program
    seconds: Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study will train: its cells, and the groups to do, round by round, the longest of a round first.

    `to_measure` holds a cell of every architecture that has yet to be measured alone, by architecture key; `seconds` is
    the predicted wall clock of all that is to do, from the first process' start to the last measurement.
    """

    study: Study
    cells: tuple[PlannedCell, ...]
    rounds: tuple[tuple[Group, ...], ...]
    sizes: dict[str, CellSize]
    workers: int
    to_measure: dict[str, PlannedCell]
    seconds: Estimate

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
        return sum(planned.seeds for planned in self.cells)

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
        return sum(p.size.flops_per_step * p.size.n_steps(p.cell) * p.seeds for p in self.cells)

    @property
    def peak_bytes(self) -> int:
        """Memory the processes need at the worst moment, beside the coordinator."""
        return self.workers * max((run_bytes(p.cell, p.size, p.program) for p in self.cells), default=0)

    def _repr_html_(self) -> str:
        """What a notebook shows: how much is to do, the time it takes, and the cells, the first 500 of very many."""
        time = f"about {seconds(self.seconds.value)} ({seconds(self.seconds.low)} to {seconds(self.seconds.high)})"
        counts = f"{len(self.cells):,} cells, {self.networks:,} networks, {self.to_do:,} to do"
        rows = [[p.cell.label, f"{p.size.parameters:,}", f"{p.to_do:,} of {p.seeds:,}", seconds(p.seconds.value),
                 p.cell.id] for p in self.cells[:MAX_SHOWN]]  # fmt: skip
        note = html_paragraph(f"Plan of {self.study.name}: {counts}, {time} in processes side by side: {self.workers}.")
        return note + html_table(["cell", "parameters", "to do", "time", "id"], rows)


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


def run_bytes(cell: Cell, size: CellSize, program: Program) -> int:
    """Memory of a process that trains by this program, or measures one such network by its framework's fit, in bytes.

    The framework, the data as bytes and as float32, four copies of the parameters of every place and as many while a
    step is taken (weights, gradients, Adam's two moments), the activations of a prediction in batches of 2,000; while
    `standardize` learns, its training part in double precision.
    """
    examples = size.n_train + size.n_validation + size.n_test
    data = examples * size.n_features * 5 + size.n_train * size.n_classes * 4
    if "standardize" in cell.features.steps:
        data += size.n_train * size.n_features * 8
    activations = 2_000 * 4 * (size.n_features + sum(cell.architecture.hidden_layer_sizes))
    copies = 16 if program.engine == "reference" else 32 * program.members
    return _PROCESS_BYTES[cell.framework] + data + copies * size.parameters + activations


def work_of(cell: Cell, size: CellSize, program: Program) -> Work:
    """The quantities the time of a cell's run follows that is trained by this program."""
    return Work(
        key=f"{cell.id} {program}", engine=f"{program.engine} {cell.framework}",
        shape=f"{program} {companions(Run(cell, 0), '')}" if program.engine == "population" else "",
        depth=cell.architecture.depth, epochs=cell.training.epochs, steps_per_epoch=size.steps_per_epoch,
        flops_per_step=size.flops_per_step, evaluated=size.n_validation + size.n_test, parameters=size.parameters,
    )  # fmt: skip


def works_of(program: Program, runs: Sequence[Run], sizes: Mapping[str, CellSize]) -> Priced:
    """What one program trains together, for its price: see `Prices.total`."""
    return [work_of(run.cell, sizes[run.cell.id], program) for run in runs], min(1.0, len(runs) / program.members)


def grouped(
    runs: Iterable[tuple[Program, Run]], *, refilled: bool = False
) -> Iterator[tuple[Program, tuple[Run, ...]]]:
    """Runs as their programs train them together: companions alone, no more than there are places, in their order.

    Where some are given up, and so are `refilled`, all companions are one group; a program of one place has no others.
    """
    alike: dict[tuple[Program, Hashable], list[Run]] = {}
    for program, run in runs:
        together = companions(run, program.kind) if program.members > 1 else run
        alike.setdefault((program, together), []).append(run)
    for (program, _), some in alike.items():
        n = len(some) if refilled and program.members > 1 else program.members
        for start in range(0, len(some), n):
            yield program, tuple(some[start : start + n])


def priced_group(
    program: Program, runs: tuple[Run, ...], seconds: Estimate, role: Role = "common", halving: Halving | None = None
) -> Group:
    """The group that is predicted to take so long; it is given up after many times as long."""
    timeout = max(_TIMEOUT_FLOOR_SECONDS, _TIMEOUT_FACTOR * (seconds.high or 0.0))
    return Group(program, runs, seconds, timeout, role, halving)


def make_plan(
    study: Study, *, sizes: dict[str, CellSize], finished: Collection[str], measured: Collection[str], prices: Prices,
    program_of: Callable[[Cell, int, int], Program], workers: int,
) -> Plan:  # fmt: skip
    """What is left of a study, in rounds: of every cell the seeds that one program trains together, then the next.

    Parameters
    ----------
    study : Study
    sizes : dict
        Cell id → `CellSize`.
    finished : collection of str
        Ids of runs that need not be trained again.
    measured : collection of str
        Architecture keys that have their measurement already.
    prices : Prices
    program_of : callable
        What trains a cell of so many steps with such a seed.
    workers : int
        Processes side by side.
    """
    done, to_do, costs = frozenset(finished), Counter[str](), defaultdict[str, list[Priced]](list)
    together = defaultdict[int, list[tuple[Program, Run]]](list)
    for cell in study.cells:
        for index, seed in enumerate(study.seeds):
            if (run := Run(cell, seed)).id in done:
                continue
            to_do[cell.id] += 1
            program = program_of(cell, sizes[cell.id].n_steps(cell), seed)
            first = index - index % program.members if program.kind == SEEDS_OF_ONE_CELL else index
            together[first].append((program, run))

    rounds = []
    for _, programmed in sorted(together.items()):
        groups = []
        for program, runs in grouped(programmed):
            works, filled = works_of(program, runs, sizes)
            for run, work in zip(runs, works, strict=True):
                costs[run.cell.id].append(([work], filled))
            groups.append(priced_group(program, runs, prices.total([(works, filled)])))
        rounds.append(tuple(sorted(groups, key=lambda group: -(group.seconds.value or 0.0))))
    planned = [PlannedCell(cell, size := sizes[cell.id], len(study.seeds), to_do[cell.id],
                           program_of(cell, size.n_steps(cell), study.seeds[0]), prices.total(costs[cell.id]))
               for cell in study.cells]  # fmt: skip
    first_of: dict[str, PlannedCell] = {}
    for found in planned:
        first_of.setdefault(architecture_key(found.cell, found.size), found)
    to_measure = {key: found for key, found in first_of.items() if key not in measured}
    other = (prices.start_seconds if rounds else 0.0) + math.ceil(len(to_measure) / workers) * prices.probe_seconds
    priced = [works_of(group.program, group.runs, sizes) for groups in rounds for group in groups]
    seconds = prices.total(priced, workers, other)
    return Plan(study, tuple(planned), tuple(rounds), sizes, workers, to_measure, seconds)


def architecture_key(cell: Cell, size: CellSize) -> str:
    """What a probe's measurement holds for: framework, layers, columns in and out, batch size, optimizer."""
    layers = cell.architecture
    widths = (size.n_features, *layers.hidden_layer_sizes, size.n_classes)
    training = cell.training
    on = {"batch_norm": layers.batch_norm, "dropout": layers.dropout > 0, "input_dropout": layers.input_dropout > 0,
          "noise": layers.gaussian_noise > 0,
          "max_norm": training.max_norm is not None, "weight_average": training.ema_momentum is not None,
          "elastic": training.elastic_alpha > 0, "deformed": bool(training.deformation)}  # fmt: skip
    extras = [name for name, is_on in on.items() if is_on]
    names = layers.activations[:1] if len(set(layers.activations)) == 1 else layers.activations
    parts = [cell.framework, "-".join(map(str, widths)), "-".join(names), *extras]
    return " ".join([*parts, training.optimizer, f"batch {training.batch_size}"])
