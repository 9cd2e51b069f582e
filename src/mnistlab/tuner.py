"""Who is trained next, who is given up, and who has won: search, race, confirmation. Values in, values out.

Nothing here trains, stores, looks at a clock or knows a test digit: networks are chosen by validation accuracy, and
those whose test accuracy is to be quoted are trained with seeds that had no part in the choice (rule M3).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import t_interval
from mnistlab.analysis.racing import evenly, foremost, pareto_front, standing
from mnistlab.errors import ConfigurationError
from mnistlab.grounds import Grounds
from mnistlab.records import Role, RunResult
from mnistlab.sampling import Outcome, Sampler
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Cell, Run
from mnistlab.tuning import Batch, Halving, Known, Trained

Fits = Callable[[Sequence[Run]], bool]
Phase = Literal["search", "race", "confirmation", "end"]

MEMBERS = 15  # trials of one shape: where some are given up, the next take their places
SIDE_BY_SIDE = 5  # that one program trains at a time
FACTOR = 3
CANDIDATES = 8  # that race
LOOKS = (3, 4, 5, 6, 7, 8, 9, 10)  # numbers of seeds after which a race is looked at; of two, nothing can be said
FRONT = 6  # winners at most, where two things count
CONFIRMING = 5  # fresh seeds

# Of its budget the search may use so much; what it has used is known in networks, all epochs counted.
_SEARCH_SHARE = 0.55
_RACE = CANDIDATES * 4  # seeds that a race seldom needs more than
_OTHERS = 5  # cohorts that do not fit, after which the search ends
_ROOM = 2  # kept for the confirmation, times what it is predicted to take: without it there is no answer


@dataclass(frozen=True, slots=True)
class Winner:
    """A cell that the race left, with what was seen of it; accuracies are fractions, on validation digits.

    Attributes
    ----------
    cell : Cell
    searched : tuple of float
        Of its networks in search and race, the first of which is why it was a candidate.
    fresh : tuple of float
        Of its networks with fresh seeds, as far as they are trained.
    n_lost : int
        Fresh seeds of which no network came: it diverged.
    """

    cell: Cell
    searched: tuple[float, ...]
    fresh: tuple[float, ...]
    n_lost: int = 0

    @property
    def searched_accuracy(self) -> float:
        """What the search would quote: the mean over its seeds."""
        return sum(self.searched) / len(self.searched)

    @property
    def is_confirmed(self) -> bool:
        """Whether all its fresh seeds have been trained."""
        return len(self.fresh) + self.n_lost >= CONFIRMING

    @property
    def optimism(self) -> Estimate:
        """What the search quotes too much: Student's t over the fresh networks, for the number it has quoted."""
        return t_interval([self.searched_accuracy - accuracy for accuracy in self.fresh])


@dataclass(slots=True, eq=False)
class Tuner:
    """Proposes batches until the best cells of a space are found and confirmed.

    Attributes
    ----------
    grounds : Grounds
        The space within its limits; see `grounds.grounds_of`.
    sampler : Sampler
    objective : str
        One of `asked.OBJECTIVES`; the sampler must know how many it has.
    trials : int | None
        So many cells are tried at most; None: until the budget is used, or the space.
    members : int
        Cells of one shape that are tried together.
    known : tuple of Known
        What other studies know of cells of the space. These cells may still be proposed.
    done : tuple of Trained
        All that this tuner had trained before, to go on with.
    first_seed : int
        Of its trials; races go on with the next ones. A trial that was given up is not the network that another search
        would have had of the same cell, so each has seeds of its own.
    collapsed : float
        Validation accuracy below which a network has learned nothing; see `analysis.results.collapse_threshold`.

    Examples
    --------
    >>> from mnistlab.grounds import Limits, grounds_of
    >>> from mnistlab.sampling import new_sampler
    >>> from mnistlab.study import load_space
    >>> limits = Limits(lambda cell: cell.architecture.parameters(784, 10), lambda cell: 1.0, max_parameters=50_000)
    >>> space = load_space({"model": {"node_counts": [16, 32, 64]}, "training": {"epochs": 9}})
    >>> grounds = grounds_of(space, limits, shape=lambda cell: cell.architecture)
    >>> tuner = Tuner(grounds, new_sampler("random", grounds), trials=3)
    >>> while batch := tuner.next(lambda runs: True):
    ...     for run in batch.runs:
    ...         accuracy = 0.9 + run.cell.architecture.hidden_layer_sizes[0] / 1000
    ...         tuner.know(Trained(run, (accuracy,) * 9, accuracy))
    >>> [(winner.cell.label, winner.is_confirmed) for winner in tuner.winners]
    [('1x32 relu, 9 epochs', True)]
    """

    grounds: Grounds
    sampler: Sampler
    objective: str = "accuracy"
    trials: int | None = None
    members: int = MEMBERS
    known: tuple[Known, ...] = ()
    done: tuple[Trained, ...] = ()
    first_seed: int = SEARCH_SEEDS
    collapsed: float = 0.2  # of ten classes
    _cells: dict[Cell, dict[int, Trained]] = field(default_factory=dict, init=False)
    _out: set[Run] = field(default_factory=set, init=False)
    _too_long: list[list[Cell]] = field(default_factory=list, init=False)
    _search_is_over: bool = field(default=False, init=False)
    _race_is_over: bool = field(default=False, init=False)
    _is_ended: bool = field(default=False, init=False)
    _race: "_Race | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.trials is not None and self.trials < 1:
            raise ConfigurationError(f"--trials {self.trials}", "at least 1 is needed")
        for known in self.known:
            if self.grounds.space.point(known.cell) is None:
                continue
            self.sampler.tell(Outcome(known.cell, known.accuracy, self._cost(known.cell)))
        for trained in self.done:
            self.know(trained)

    # What a driver calls.

    def next(self, fits: Fits) -> Batch | None:
        """The runs to train next; None: nothing before more results are in, or (`phase` is `end`) nothing more.

        Parameters
        ----------
        fits : callable
            Whether runs, as predicted, would end within the budget.
        """
        batch = self._next(fits)
        if batch:
            self._out |= set(batch.runs)
        return batch

    def take(self, run: Run, curve: Sequence[float], result: RunResult) -> None:
        """What came of a run, with its validation accuracy epoch by epoch; failed and diverged ones, too."""
        self.know(Trained.of(run, curve, result))

    def know(self, trained: Trained) -> None:
        """The same, as a store keeps it."""
        run = trained.run
        self._out.discard(run)
        self._cells.setdefault(run.cell, {})[run.seed] = trained
        self._race = None
        if run.seed == self.first_seed:
            self.grounds.seen.add(run.cell)
            self.sampler.tell(
                Outcome(run.cell, trained.accuracy, self._cost(run.cell), trained.curve, trained.given_up)
            )

    @property
    def phase(self) -> Phase:
        """What the next batch is for."""
        if not self._search_is_over:
            return "search"
        return "end" if self._is_ended else "confirmation" if self._race_is_over else "race"

    @property
    def tried(self) -> list[Trained]:
        """Every trial of the search, in the order in which they came."""
        return [by_seed[self.first_seed] for by_seed in self._cells.values() if self.first_seed in by_seed]

    @property
    def winners(self) -> tuple[Winner, ...]:
        """Who has won, as far as it is known; of two objectives the Pareto front, by ascending cost."""
        return tuple(map(self._winner, self._raced().winners))

    def _winner(self, cell: Cell) -> Winner:
        searched, fresh = (tuple(self._accuracies(cell, seed)) for seed in (self.first_seed, FRESH_SEEDS))
        n_ended = CONFIRMING - len(self._missing(cell, FRESH_SEEDS, CONFIRMING))
        return Winner(cell, searched, fresh, n_ended - len(fresh))

    @property
    def undecided(self) -> tuple[Cell, ...]:
        """Candidates that the race has not told apart from those that won, the winners not among them."""
        race = self._raced()
        return tuple(cell for cell in race.kept if cell not in race.winners)

    # Search.

    def _next(self, fits: Fits) -> Batch | None:
        if not self._search_is_over:
            if batch := self._searching(fits):
                return batch
            # What is out may be given up, and leave time for more; and the candidates are not known before.
            if any(run.seed == self.first_seed for run in self._out):
                return None
            self._search_is_over = True
        if not self._race_is_over:
            race = self._raced()
            waiting = [run for run in race.missing if run not in self._out]
            if waiting and fits([*waiting, *_ROOM * self._confirming(race.winners)]):
                return self._batch(waiting, "search")
            if self._out:
                return None
            self._race_is_over = True
        return self._confirm(fits)

    def _searching(self, fits: Fits) -> Batch | None:
        cohorts = itertools.chain(list(self._too_long), iter(self._proposed, []))
        for cells in itertools.islice(cohorts, _OTHERS):
            self._too_long = [others for others in self._too_long if others != cells]
            for some in (cells, cells[:SIDE_BY_SIDE]):
                runs = tuple(Run(cell, self.first_seed) for cell in some)
                if fits([*runs, *self._reserve(some)]):
                    self._too_long += [rest] if (rest := cells[len(some) :]) else []
                    return Batch(runs, "search", self._halving(some))
            self._too_long.append(cells)
        return None

    def _proposed(self) -> list[Cell]:
        left = self.members if self.trials is None else self.trials - len(self.grounds.seen)
        return self.sampler.propose(min(left, self.members)) if left > 0 else []

    def _reserve(self, cells: Sequence[Cell]) -> list[Run]:
        """What must still fit behind a cohort: fresh seeds of who leads now, and the share of a race."""
        networks = sum(len(one.curve) / one.run.cell.training.epochs for one in self.tried)
        candidates = self._candidates()
        fresh = self._confirming(self._leading(candidates, 1) or cells[:1])
        n_race = min(_RACE, math.ceil(networks * (1 / _SEARCH_SHARE - 1)) - len(fresh))
        rounds = itertools.product(range(1, LOOKS[-1]), candidates)
        race = [Run(cell, self.first_seed + index) for index, cell in itertools.islice(rounds, max(n_race, 0))]
        return [*race, *_ROOM * fresh]

    def _halving(self, cells: Sequence[Cell]) -> Halving | None:
        epochs = max(cell.training.epochs for cell in cells)
        rungs = sorted({math.ceil(epochs / FACTOR**power) for power in (2, 1)} - {epochs})
        allowed = (one for one in self.tried if self.grounds.limits.allow(one.run.cell))
        others = [one for one in allowed if one.run.cell.training.epochs == epochs]
        if (costs := self._costs(cells)) is not None:
            # A small network is not given up because large ones are better.
            others = [one for one in others if (self._cost(one.run.cell) or 0) <= costs.max()]
        at = {rung: tuple(one.curve[rung - 1] for one in others if len(one.curve) >= rung) for rung in rungs}
        return Halving(FACTOR, tuple(at.items())) if rungs else None

    # Race and confirmation.

    def _trained(self) -> list[Trained]:
        """Trials that were trained to the end, within the limits as they are known by now.

        In an order that does not depend on when they ended, so that equals are taken alike whenever it is asked.
        """
        whole = [one for one in self.tried if one.accuracy is not None and not one.given_up]
        return sorted(
            (one for one in whole if self.grounds.limits.allow(one.run.cell)), key=lambda one: one.run.cell.id
        )

    def _candidates(self) -> list[Cell]:
        trained = self._trained()
        costs = self._costs(one.run.cell for one in trained)
        return [
            trained[place].run.cell for place in foremost([one.accuracy or 0 for one in trained], costs, CANDIDATES)
        ]

    def _raced(self) -> "_Race":
        """The race as far as its results go: run again from its start, so that it knows no more than a store does."""
        if self._race is None:
            self._race = self._run_race()
        return self._race

    def _run_race(self) -> "_Race":
        kept, n_seeds = self._candidates(), 1
        equal: list[Cell] = []
        for look in LOOKS:
            if len(kept) < 2:
                break
            runs = [self._missing(cell, self.first_seed, look) for cell in kept]
            if missing := [run for own in itertools.zip_longest(*runs) for run in own if run]:
                return _Race(kept, self._leading(kept, n_seeds, equal), missing)
            # One that does not learn every time is no winner.
            steady = self._table(kept, look).min(axis=1) >= self.collapsed
            kept = [cell for cell, is_steady in zip(kept, steady, strict=True) if is_steady] or kept
            seen = standing(self._table(kept, look), self._costs(kept))
            left, n_seeds = seen.remaining(self._sizes(kept)), look
            equal = [kept[place] for place in left if seen.words[place] == "equivalent"]
            kept = [kept[place] for place in left]
            if seen.settled:
                break
        return _Race(kept, self._leading(kept, n_seeds, equal), [])

    def _leading(self, cells: Sequence[Cell], n_seeds: int, equal: Sequence[Cell] = ()) -> list[Cell]:
        """The best by the mean over so many seeds, or the smallest equal to it; of two objectives the front."""
        if not cells:
            return []
        mean = self._table(cells, n_seeds).mean(axis=1)
        if (costs := self._costs(cells)) is not None:
            front = pareto_front(mean, costs)
            return [cells[front[place]] for place in evenly(len(front), FRONT)]
        return [min([cells[int(mean.argmax())], *equal], key=self.grounds.limits.parameters)]

    def _table(self, cells: Sequence[Cell], n_seeds: int) -> NDArray[np.float64]:
        """Accuracies, float64 array (n_cells, n_seeds); 0 where no network came of a run."""
        by_seed = [self._cells[cell] for cell in cells]
        return np.array([[own[self.first_seed + index].accuracy or 0.0 for index in range(n_seeds)] for own in by_seed])

    def _missing(self, cell: Cell, first_seed: int, n_seeds: int) -> list[Run]:
        by_seed = self._cells.get(cell, {})
        return [Run(cell, seed) for seed in range(first_seed, first_seed + n_seeds) if seed not in by_seed]

    def _confirming(self, cells: Iterable[Cell]) -> list[Run]:
        return [run for cell in cells for run in self._missing(cell, FRESH_SEEDS, CONFIRMING)]

    def _confirm(self, fits: Fits) -> Batch | None:
        for cell in self._raced().winners:
            if missing := self._confirming([cell]):
                waiting = [run for run in missing if run not in self._out]
                n_fitting = next((n for n in range(len(waiting), 0, -1) if fits(waiting[:n])), 0)
                if n_fitting:
                    return self._batch(waiting[:n_fitting], "fresh")
        self._is_ended = not self._out
        return None

    def _batch(self, runs: Sequence[Run], role: Role) -> Batch:
        """The first of them, with others of its shape, as many as are trained at a time."""
        shape = self.grounds.shape(runs[0].cell)
        return Batch(tuple(run for run in runs if self.grounds.shape(run.cell) == shape)[:SIDE_BY_SIDE], role)

    # What cells cost, and what is known of them.

    def _cost(self, cell: Cell) -> float | None:
        limits = self.grounds.limits
        if self.objective == "accuracy":
            return None
        return limits.parameters(cell) if self.objective == "accuracy,parameters" else limits.seconds_per_epoch(cell)

    def _costs(self, cells: Iterable[Cell]) -> NDArray[np.float64] | None:
        costs = [self._cost(cell) for cell in cells]
        return None if self.objective == "accuracy" else np.array(costs, dtype=float)

    def _sizes(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        costs = self._costs(cells)
        return np.array([self.grounds.limits.parameters(cell) for cell in cells], float) if costs is None else costs

    def _accuracies(self, cell: Cell, first_seed: int) -> list[float]:
        by_seed = self._cells[cell]
        known = (by_seed.get(first_seed + index) for index in range(max(LOOKS[-1], CONFIRMING)))
        return [trained.accuracy for trained in known if trained and trained.accuracy is not None]


@dataclass(frozen=True, slots=True)
class _Race:
    """Who is still in it, who has won as far as is known, and the runs that the next look waits for."""

    kept: list[Cell]
    winners: list[Cell]
    missing: list[Run]
