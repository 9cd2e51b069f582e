"""Who proposes which cells of a space to train. Spaces and results in, cells out; seeded, and never one cell twice.

A proposal is a cohort: cells that one compiled program may train, equal in what forms it, different in other knobs.
"""

import importlib.util
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mnistlab.errors import ConfigurationError, InvalidFieldError, MachineError, did_you_mean
from mnistlab.spec import Cell
from mnistlab.study import Choice, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

SAMPLERS = ("tpe", "random", "grid")
Point = tuple[int, ...]  # a place in each choice of a space

# Combinations of choices are counted through, as far as there are not too many: in any case of those that parameters
# depend on, then of those that seconds do, then of any.
_SIZES, _PACES = ("hidden_layer_sizes", "depth", "width", "batch_norm", "steps"), ("batch_size", "framework")
_COUNTED = 4096
_TRIES = 50  # draws for one proposal before another kind of proposal is made
_ANOTHER_KIND = 4  # steps of a ladder that a change of kind counts as, where a point is moved
_COMPLETIONS = 10  # ways to make a network of what was counted, before it counts as none
_ASKS = 5
_STARTUP = 20  # trials drawn at random before TPE has a say


@dataclass(frozen=True, slots=True)
class Limits:
    """What a network may have at most, and how that is known.

    Attributes
    ----------
    parameters, seconds_per_epoch : callable
        Of a cell. InvalidFieldError: there is no such network on this data set.
    max_parameters : int | None
    max_seconds_per_epoch : float | None
    """

    parameters: Callable[[Cell], int]
    seconds_per_epoch: Callable[[Cell], float]
    max_parameters: int | None = None
    max_seconds_per_epoch: float | None = None

    def allow(self, cell: Cell) -> bool:
        """Whether a cell is within both."""
        return (self.max_parameters is None or self.parameters(cell) <= self.max_parameters) and (
            self.max_seconds_per_epoch is None or self.seconds_per_epoch(cell) <= self.max_seconds_per_epoch
        )

    def refusal(self, cells: Sequence[Cell]) -> ConfigurationError:
        """The line for a space in which no cell is within both."""
        way_out = "allow more, or name a --space with smaller ones"
        smallest = min(map(self.parameters, cells))
        if self.max_parameters is not None and smallest > self.max_parameters:
            return ConfigurationError(f"--max-parameters {self.max_parameters}", "the smallest network of the space "
                                      f"has {smallest:,} parameters", way_out)  # fmt: skip
        within = [cell for cell in cells if self.max_parameters is None or self.parameters(cell) <= self.max_parameters]
        fastest = min(map(self.seconds_per_epoch, within))
        among = " with so few parameters" if len(within) < len(cells) else ""
        return ConfigurationError(f"--max-seconds-per-epoch {self.max_seconds_per_epoch:g}", "the fastest network of "
                                  f"the space{among} takes {fastest:.3g} seconds an epoch here", way_out)  # fmt: skip


@dataclass(slots=True, eq=False)
class Grounds:
    """What of a space may be proposed, and what has been. `grounds_of` makes one.

    Attributes
    ----------
    space : Space
        Without the places that no cell within the limits has.
    shape : callable
        Of a cell: what those have in common that one compiled program may train.
    limits : Limits
    heads : list of Point
        The choices that were counted through, those within the limits; places of the others are drawn.
    counted : tuple of int
        Which choices of the space these are.
    rng : Generator
    seen : set of Cell
        Proposed or trained: never proposed again.
    """

    space: Space
    shape: Callable[[Cell], Hashable]
    limits: Limits
    heads: list[Point]
    counted: tuple[int, ...]
    rng: np.random.Generator
    seen: set[Cell] = field(default_factory=set)
    _cells: dict[Point, Cell | None] = field(default_factory=dict)

    @property
    def is_counted(self) -> bool:
        """Whether `heads` are all points there are."""
        return len(self.counted) == len(self.space.choices)

    def cell(self, point: Point) -> Cell | None:
        """The cell of a point; None where there is no such network, or it is over a limit."""
        if point not in self._cells:
            cell = _made(self.space, point)
            try:
                self._cells[point] = cell if cell is not None and self.limits.allow(cell) else None
            except InvalidFieldError:
                self._cells[point] = None
        return self._cells[point]

    def new(self, point: Point) -> Cell | None:
        """The cell of a point that may be proposed still; else None."""
        cell = self.cell(point)
        return None if cell in self.seen else cell

    def draw(self) -> Point | None:
        """A point that may be proposed, at random; None: there is none, or too few to be found."""
        for _ in range(_TRIES if self.is_counted else _TRIES * _TRIES):
            drawn = [int(self.rng.integers(len(choice.values))) for choice in self.space.choices]
            point = self._with(drawn, self.heads[self.rng.integers(len(self.heads))])
            if self.new(point):
                return point
        return self._one_of(point for point in self._all() if self.new(point))

    def _one_of(self, points: Iterator[Point]) -> Point | None:
        left = list(points) if self.is_counted else []
        return left[self.rng.integers(len(left))] if left else None

    def _all(self) -> Iterator[Point]:
        nowhere = [0] * len(self.space.choices)
        return (self._with(nowhere, head) for head in self.heads)

    def nearest(self, point: Point, mates: "Mates | None" = None) -> Point:
        """The point itself where it may be proposed, else moved, as few places as bring it there.

        Where not all points are counted, it is moved to within the limits, where it may have been proposed.
        """
        if mates:
            point = tuple(places[int(np.abs(np.array(places) - own).argmin())]
                          for own, places in zip(point, mates.places, strict=True))  # fmt: skip
        if self.new(point) and (mates is None or self.is_mate(point, mates)):
            return point
        heads = self.heads
        if self.is_counted:
            heads = [head for head in heads if self.new(whole := self._with(point, head))
                     and (mates is None or self.is_mate(whole, mates))]  # fmt: skip
        elif self.cell(point):
            return point
        if not heads:
            return point
        own, choices = np.array(point)[list(self.counted)], [self.space.choices[place] for place in self.counted]
        steps = np.abs(np.array(heads) - own)
        far = np.where([choice.ordered for choice in choices], steps, _ANOTHER_KIND * (steps > 0)).sum(axis=1)
        return self._with(point, heads[self.rng.choice(np.flatnonzero(far == far.min()))])

    def _with(self, point: Sequence[int], head: Point) -> Point:
        moved = list(point)
        for place, value in zip(self.counted, head, strict=True):
            moved[place] = value
        return tuple(moved)

    def mates(self, point: Point) -> "Mates":
        """What may stand in a cohort with a point."""
        cell = self.cell(point)
        shape = self.shape(cell) if cell else None
        found = []
        for place, choice in enumerate(self.space.choices):
            others = ((value, _made(self.space, (*point[:place], value, *point[place + 1 :])))
                      for value in range(len(choice.values)))  # fmt: skip
            found.append(tuple(value for value, other in others if other and self.shape(other) == shape))
        return Mates(shape, tuple(found))

    def is_mate(self, point: Point, mates: "Mates") -> bool:
        """Whether a point may be proposed and has that shape."""
        cell = self.new(point)
        return cell is not None and self.shape(cell) == mates.shape

    def draw_mate(self, mates: "Mates") -> Point | None:
        """A new point of this shape, at random; None: there is none, or none was found."""
        for _ in range(_TRIES):
            point = tuple(places[self.rng.integers(len(places))] for places in mates.places)
            if self.is_mate(point, mates):
                return point
        return self._one_of(point for point in self._all() if self.is_mate(point, mates))


@dataclass(frozen=True, slots=True)
class Mates:
    """What may stand in a cohort.

    Attributes
    ----------
    shape : Hashable
    places : tuple of tuple of int
        For each choice of the space those with which the first of the cohort has this shape.
    """

    shape: Hashable
    places: tuple[tuple[int, ...], ...]


def grounds_of(space: Space, limits: Limits, *, shape: Callable[[Cell], Hashable], seed: int = 0) -> Grounds:
    """Narrow a space to what its limits leave of it.

    Raises
    ------
    ConfigurationError
        No network at all can be made of it, or none is within the limits: which are the smallest it has.
    """
    rng = np.random.default_rng(seed)
    counted = _counted(space.choices)
    rest = [place for place in range(len(space.choices)) if place not in counted]
    whole: dict[Point, Cell] = {}
    fault: InvalidFieldError | None = None
    for head in itertools.product(*(range(len(space.choices[place].values)) for place in counted)):
        point = [0] * len(space.choices)
        for place, value in zip(counted, head, strict=True):
            point[place] = value
        for _ in range(_COMPLETIONS if rest else 1):
            try:
                limits.parameters(cell := space.cell(point))
            except InvalidFieldError as refused:
                fault = refused
                for place in rest:
                    point[place] = int(rng.integers(len(space.choices[place].values)))
            else:
                whole[head] = cell
                break
    if not whole:
        raise ConfigurationError(f"space {space.name}", f"no network can be made of it: {fault}") from None
    heads = [head for head, cell in whole.items() if limits.allow(cell)]
    if not heads:
        raise limits.refusal(list(whole.values()))
    # Places of which nothing is left would only be proposed to be refused.
    kept = {place: sorted({head[index] for head in heads}) for index, place in enumerate(counted)}
    choices = tuple(
        replace(choice, values=tuple(choice.values[value] for value in kept.get(place, range(len(choice.values)))))
        for place, choice in enumerate(space.choices)
    )
    heads = [tuple(kept[place].index(value) for place, value in zip(counted, head, strict=True)) for head in heads]
    return Grounds(replace(space, choices=choices), shape, limits, heads, counted, rng)


def _counted(choices: Sequence[Choice]) -> tuple[int, ...]:
    fields = [choice.field for choice in choices]
    sizes, paces = ([fields.index(name) for name in names if name in fields] for names in (_SIZES, _PACES))
    rest = sorted(set(range(len(choices))) - {*sizes, *paces}, key=lambda place: len(choices[place].values))
    taken, product = list[int](), 1
    for place in (*sizes, *paces, *rest):
        if place in sizes or product * len(choices[place].values) <= _COUNTED:
            taken.append(place)
            product *= len(choices[place].values)
    return tuple(taken)


def _made(space: Space, point: Sequence[int]) -> Cell | None:
    try:
        return space.cell(point)
    except InvalidFieldError:
        return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sampler is told of a trained cell.

    Attributes
    ----------
    cell : Cell
    accuracy : float | None
        On validation digits, a fraction; None: no network came of it.
    cost : float | None
        The second objective, where there is one.
    curve : tuple of float
        Accuracy after every epoch, of a trial that was given up; else it may be empty.
    given_up : bool
    """

    cell: Cell
    accuracy: float | None
    cost: float | None = None
    curve: tuple[float, ...] = ()
    given_up: bool = False


class Sampler(Protocol):
    """Proposes cohorts, and is told what became of them, in any order, of other cells of the space, too."""

    def propose(self, n: int) -> list[Cell]:
        """Up to n new cells of one shape; none: nothing is left. They count as seen."""

    def tell(self, outcome: Outcome) -> None:
        """What a cell of the space brought."""


def new_sampler(name: str, grounds: Grounds, *, two_objectives: bool = False) -> Sampler:
    """A sampler by its name.

    Raises
    ------
    ConfigurationError
        None of `SAMPLERS`.
    MachineError
        `tpe` without Optuna.
    """
    if name == "tpe":
        return ParzenSampler(grounds, two_objectives=two_objectives)
    if name not in SAMPLERS:
        raise ConfigurationError(f"--sampler {name}", "no such sampler", did_you_mean(name, SAMPLERS))
    return RandomSampler(grounds) if name == "random" else GridSampler(grounds)


def best_sampler() -> tuple[str, str]:
    """The sampler to use unless somebody says which, and a line on what a better one needs; empty: it is the best."""
    if importlib.util.find_spec("optuna"):
        return "tpe", ""
    return "random", "cells are drawn at random: a sampler that learns needs Optuna (pip install 'mnistlab[tune]')"


class RandomSampler:
    """Every shape and setting within the limits alike."""

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds

    def propose(self, n: int) -> list[Cell]:
        """See `Sampler`."""
        first = self._grounds.draw()
        return _cohort(self._grounds, first, n) if first else []

    def tell(self, outcome: Outcome) -> None:
        """It learns nothing."""


def _cohort(grounds: Grounds, first: Point, n: int) -> list[Cell]:
    """The cell of a point, and as many others of its shape, drawn at random."""
    cells = [_taken(grounds, first)]
    mates = grounds.mates(first)
    while len(cells) < n and (point := grounds.draw_mate(mates)):
        cells.append(_taken(grounds, point))
    return cells


def _taken(grounds: Grounds, point: Point) -> Cell:
    cell = grounds.new(point)
    if cell is None:
        raise ValueError(f"the point {point} may not be proposed")
    grounds.seen.add(cell)
    return cell


class GridSampler:
    """All cells in turn, what forms a cohort slowest."""

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds
        self._points = self._in_turn()

    def _in_turn(self) -> Iterator[Point]:
        choices = self._grounds.space.choices
        first = self._grounds.draw()
        free = [len(places) for places in self._grounds.mates(first).places] if first else [0] * len(choices)
        slow = sorted(range(len(choices)), key=lambda place: free[place] / len(choices[place].values))
        order = np.argsort(slow)
        for point in itertools.product(*(range(len(choices[place].values)) for place in slow)):
            yield tuple(point[place] for place in order)

    def propose(self, n: int) -> list[Cell]:
        """See `Sampler`."""
        cells: list[Cell] = []
        for point in self._points:
            cell = self._grounds.new(point)
            if cell and cells and self._grounds.shape(cell) != self._grounds.shape(cells[0]):
                self._points = itertools.chain([point], self._points)
                break
            if cell:
                cells.append(_taken(self._grounds, point))
            if len(cells) == n:
                break
        return cells

    def tell(self, outcome: Outcome) -> None:
        """It learns nothing."""


class ParzenSampler:
    """Tree-structured Parzen estimators, by Optuna: where good trials are dense and others are not.

    The first of a cohort is asked for everything; its mates with what forms the cohort held. Numbers are seen as places
    on their ladder. What may not be proposed is told as failed, which teaches nothing, and moved to the nearest place
    within the limits, or asked again. Twenty trials are drawn at random first.

    References
    ----------
    J. Bergstra et al. (2011), NeurIPS 24; multivariate: S. Falkner et al. (2018), ICML 80; with two objectives:
    Y. Ozaki et al. (2022), JAIR 73, 1209-1250. Trials that are out count as bad ones (a constant liar), so that two
    workers do not get the same.
    """

    def __init__(self, grounds: Grounds, *, two_objectives: bool = False) -> None:
        try:
            import optuna
        except ImportError as fault:
            raise MachineError("--sampler tpe", "Optuna is not installed", "pip install 'mnistlab[tune]'") from fault
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._grounds, self._optuna = grounds, optuna
        self._fields = {choice.field: choice for choice in grounds.space.choices if len(choice.values) > 1}
        sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, seed=int(grounds.rng.integers(2**31)))
        directions = optuna.study.StudyDirection
        self._directions = [directions.MAXIMIZE, directions.MINIMIZE][: 1 + two_objectives]
        self._study = optuna.create_study(sampler=sampler, directions=self._directions)
        self._out: dict[Cell, Trial] = {}

    def propose(self, n: int) -> list[Cell]:
        """See `Sampler`."""
        first = self._ask({}, None) or self._drawn(self._grounds.draw())
        if first is None:
            return []
        point, cell = first
        cells, mates = [cell], self._grounds.mates(point)
        held = {choice.field: point[place] for place, choice in enumerate(self._grounds.space.choices)
                if choice.field in self._fields and len(mates.places[place]) < 2}  # fmt: skip
        while len(cells) < n:
            mate = self._ask(held, mates) or self._drawn(self._grounds.draw_mate(mates))
            if mate is None:
                break
            cells.append(mate[1])
        return cells

    def _ask(self, held: dict[str, int], mates: Mates | None) -> tuple[Point, Cell] | None:
        """What Optuna proposes with some places held, moved to where it may be; None: it may not be there either."""
        is_begun = len(self._study.get_trials(deepcopy=False)) >= _STARTUP
        for _ in range(_ASKS if is_begun else 0):
            if held:
                self._study.enqueue_trial(held)
            trial = self._study.ask(self._distributions)
            asked = tuple(trial.params.get(choice.field, 0) for choice in self._grounds.space.choices)
            point = self._grounds.nearest(asked, mates)
            is_usable = self._grounds.is_mate(point, mates) if mates else self._grounds.new(point) is not None
            if is_usable and point == asked:
                self._out[cell := _taken(self._grounds, point)] = trial
                return point, cell
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            if is_usable:
                return self._drawn(point)
        return None

    def _drawn(self, point: Point | None) -> tuple[Point, Cell] | None:
        if point is None:
            return None
        self._study.enqueue_trial(self._params(point))
        cell = _taken(self._grounds, point)
        self._out[cell] = self._study.ask(self._distributions)
        return point, cell

    @property
    def _distributions(self) -> "dict[str, BaseDistribution]":
        kinds = self._optuna.distributions
        return {
            name: kinds.IntDistribution(0, len(choice.values) - 1) if choice.ordered
            else kinds.CategoricalDistribution(range(len(choice.values)))
            for name, choice in self._fields.items()
        }  # fmt: skip

    def _params(self, point: Point) -> dict[str, int]:
        places = zip(self._grounds.space.choices, point, strict=True)
        return {choice.field: place for choice, place in places if choice.field in self._fields}

    def tell(self, outcome: Outcome) -> None:
        """See `Sampler`. What no network came of is told as the worst there is."""
        states = self._optuna.trial.TrialState
        values = [outcome.accuracy or 0.0, *([] if outcome.cost is None else [outcome.cost])]
        # Optuna has no pruned trials of several objectives.
        steps = dict(enumerate(outcome.curve, 1)) if outcome.given_up and len(self._directions) == 1 else {}
        if trial := self._out.pop(outcome.cell, None):
            for step, accuracy in steps.items():
                trial.report(accuracy, step)
            self._study.tell(trial, None if steps else values, state=states.PRUNED if steps else None)
        elif point := self._grounds.space.point(outcome.cell):
            state = states.PRUNED if steps else states.COMPLETE
            self._study.add_trial(self._optuna.create_trial(
                state=state, values=None if steps else values, params=self._params(point),
                distributions=self._distributions, intermediate_values=steps,
            ))  # fmt: skip
