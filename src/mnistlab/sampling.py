"""Who proposes which cells of a space to train. Spaces and results in, cells out; seeded, and never one cell twice.

A proposal is a cohort: cells that one compiled program may train, equal in what forms it, different in other knobs.
"""

import importlib.util
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mnistlab.errors import ConfigurationError, MachineError, did_you_mean
from mnistlab.grounds import Grounds, Mates, Point
from mnistlab.spec import Cell

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

SAMPLERS = ("tpe", "random", "grid")
_ASKS = 5  # of Optuna for one proposal, before it is drawn at random
_STARTUP = 20  # trials drawn at random before TPE has a say


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
            is_usable = self._grounds.may(point, mates)
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
