"""Fair mode: every cell of a study gets the same learning rates to try, then runs with the best of its own (rule M13).

Cells, accuracies and plans go in, studies and plans come out. Nothing here trains, stores or knows a test digit.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from mnistlab.analysis.estimate import Estimate
from mnistlab.asked import RatesAsked
from mnistlab.errors import ConfigurationError, InvalidFieldError, did_you_mean
from mnistlab.plan import Plan, PlannedCell
from mnistlab.records import RunResult
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.spec import Cell, Run
from mnistlab.study import Study
from mnistlab.tuning import Batch

if TYPE_CHECKING:
    import pandas as pd

KNOBS = ("learning_rate",)
FACTORS = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)  # times what the study says; powers of two, so that rates stay exact
# The first search seed is that of the trials of `tune`, which may have been given up early.
TRIAL_SEEDS = (SEARCH_SEEDS + 1, SEARCH_SEEDS + 2)


def tuned(study: Study, knob: str) -> Study:
    """The study that runs with each cell's own best rate, its cells still with the rates that the study says.

    Parameters
    ----------
    study : Study
    knob : str
        `learning_rate`.

    Raises
    ------
    ConfigurationError
        Another knob; a study that gives out its seeds; cells without validation digits, that differ in this knob alone,
        or with a rate whose multiples are out of range.
    """
    flag = _flag(knob or "''")
    if knob not in KNOBS:
        hint = did_you_mean(knob, KNOBS)
        raise ConfigurationError(flag, "only learning_rate can be tuned for every cell",
                                 hint if hint.startswith("did") else "--tune learning_rate")  # fmt: skip
    if study.until_margin is not None:
        raise ConfigurationError(flag, "every cell gets the same seeds", "leave out --until-decided")
    alike: dict[Cell, Cell] = {}
    for cell in study.cells:
        if cell.split.validation_fraction == 0:
            raise ConfigurationError(flag, f'"{cell.label}" has no validation examples to choose by',
                                     "set validation_fraction")  # fmt: skip
        if (other := alike.setdefault(_with_rate(cell, 1.0), cell)) is not cell:
            raise ConfigurationError(flag, f'"{other.label}" and "{cell.label}" differ in their learning rate alone',
                                     "leave one of them out")  # fmt: skip
        try:
            rates_of(cell)
        except InvalidFieldError as error:
            raise ConfigurationError(flag, f'"{cell.label}" would be tried with rate {error.value:g}: {error.why}'
                                     ) from None  # fmt: skip
    rates = RatesAsked(knob, FACTORS, study.name, tuple(cell.id for cell in study.cells))
    words = study.words and f"{study.words} {flag}"
    return replace(study, name=f"{study.name}-tuned", asked=rates, words=words)


def untuned_words(words: str, knob: str) -> str:
    """What asks for the study that was tuned, of what asks for the tuned one."""
    return words.removesuffix(f" {_flag(knob)}")


def rates_of(cell: Cell) -> tuple[Cell, ...]:
    """The cell with every rate that is tried of it, ascending."""
    return tuple(_with_rate(cell, factor * cell.training.learning_rate) for factor in FACTORS)


def search_of(study: Study) -> Study:
    """Of a tuned study, what is trained to choose the rates: as many networks of every cell."""
    return replace(study, cells=tuple(tried for cell in study.cells for tried in rates_of(cell)), seeds=TRIAL_SEEDS)


def possible_runs(study: Study) -> list[Run]:
    """All runs that a tuned study may have: trials, and its seeds with every rate that may be the best."""
    search = search_of(study)
    return [run for part in (search, replace(search, seeds=study.seeds)) for run in part.runs]


def trials_of(cells: Iterable[Cell], accuracies: Mapping[str, float]) -> set[str]:
    """Ids of the trials of these cells, with the rates that the study says, of which none is missing."""
    whole = [cell for cell in cells if best_rate(cell, accuracies)]
    return {Run(tried, seed).id for cell in whole for tried in rates_of(cell) for seed in TRIAL_SEEDS}


def n_to_do(study: Study, finished: Collection[str], accuracies: Mapping[str, float]) -> int:
    """How many of a tuned study's runs have no result, those included of which the trials have yet to say the rate."""
    trials = sum(run.id not in finished for run in search_of(study).runs)
    best = (best_rate(cell, accuracies) for cell in study.cells)
    return trials + sum(cell is None or Run(cell, seed).id not in finished for cell in best for seed in study.seeds)


def best_rate(cell: Cell, accuracies: Mapping[str, float]) -> Cell | None:
    """The cell with its best rate: the highest mean over its trials; None while one of them is missing.

    Parameters
    ----------
    cell : Cell
        With the rate that the study says: of equals it is the first, then the smaller.
    accuracies : mapping of str to float
        By run id, on validation digits; see `trial_accuracies`.
    """
    means = {}
    for tried in rates_of(cell):
        ids = [Run(tried, seed).id for seed in TRIAL_SEEDS]
        if any(id_ not in accuracies for id_ in ids):
            return None
        means[tried] = fmean(accuracies[id_] for id_ in ids)
    return min(means, key=lambda tried: (-means[tried], tried != cell, tried.training.learning_rate))


def with_best_rates(study: Study, accuracies: Mapping[str, float]) -> Study:
    """The study with each cell's best rate; cells of which trials are missing have to wait and are not in it."""
    chosen = (best_rate(cell, accuracies) for cell in study.cells)
    return replace(study, cells=tuple(cell for cell in chosen if cell is not None))


def trial_accuracies(trials: "pd.DataFrame") -> dict[str, float]:
    """What `best_rate` asks for, of `Store.trials`: a collapsed network has what it reached, a diverged one nothing."""
    return dict(zip(trials["run"], trials["validation_accuracy"].where(trials["status"] == "done", 0.0), strict=True))


@dataclass(slots=True)
class RateTuner:
    """Asks for these trials, all at once, and for nothing more."""

    runs: Sequence[Run]

    def next(self, fits: Callable[[Sequence[Run]], bool]) -> Batch | None:  # noqa: ARG002  asks for all, come what may
        """All of them, the first time; the driver leaves out what the budget has no room for."""
        asked, self.runs = tuple(self.runs), ()
        return Batch(asked, "search") if asked else None

    def take(self, run: Run, curve: Sequence[float], result: RunResult) -> None:
        """What came of them is read from the store when all have ended."""


def joint_plan(study: Study, search: Plan, final: Plan) -> Plan:
    """The price of a tuned study: a row per cell for all that is trained of it.

    Parameters
    ----------
    study : Study
        See `tuned`.
    search : Plan
        Of `search_of` this study.
    final : Plan
        Of its cells, in their order, with whatever rate.
    """
    tried = [search.cells[first : first + len(FACTORS)] for first in range(0, len(search.cells), len(FACTORS))]
    cells = [
        PlannedCell(cell, last.size, last.seeds + sum(p.seeds for p in own), last.to_do + sum(p.to_do for p in own),
                    last.program, _sum([last.seconds, *(p.seconds for p in own)]))
        for cell, own, last in zip(study.cells, tried, final.cells, strict=True)
    ]  # fmt: skip
    return replace(
        final, study=study, cells=tuple(cells), rounds=(*search.rounds, *final.rounds),
        sizes=final.sizes | search.sizes, seconds=_sum([search.seconds, final.seconds]),
    )  # fmt: skip


def _sum(seconds: Iterable[Estimate]) -> Estimate:
    """One after the other; the interval holds whatever they have to do with each other."""
    parts = list(seconds)
    value, low, high = (sum(getattr(part, name) or 0.0 for part in parts) for name in ("value", "low", "high"))
    return replace(parts[0], value=value, low=low, high=high, n=max(part.n for part in parts))


def _flag(knob: str) -> str:
    return f"--tune {knob}"


def _with_rate(cell: Cell, rate: float) -> Cell:
    return replace(cell, training=replace(cell.training, learning_rate=rate))
