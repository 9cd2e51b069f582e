"""What a search has found, read from its store: who has won, what it really scores, and all that was tried."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnistlab.analysis.estimate import Estimate
from mnistlab.asked import SearchAsked
from mnistlab.conduct import RunSummary
from mnistlab.plan import CellSize
from mnistlab.seeds import first_search_seed
from mnistlab.spec import Cell
from mnistlab.store.tables import Store

if TYPE_CHECKING:
    from mnistlab.analysis.trials import Search
    from mnistlab.tuner import Winner


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A winner of a search, and what was found of it; accuracies are fractions.

    Attributes
    ----------
    cell : Cell
    size : CellSize
    seconds_per_epoch : float
        Of training steps, the median of its trials, as they were trained: beside others.
    searched_accuracy : Estimate
        On validation digits, of the networks it was chosen by: what the search would quote.
    fresh_validation_accuracy : Estimate
        On validation digits, of networks with fresh seeds.
    optimism : Estimate
        How much the first is above the second.
    accuracy : Estimate
        On test digits, of the fresh networks alone, once all are trained.
    is_confirmed : bool
        Whether all its fresh seeds have been trained.
    n_lost, n_collapsed : int
        Fresh seeds of which no network came, since it diverged; of which one came that learned nothing and is in the
        mean (rule M12).
    """

    cell: Cell
    size: CellSize
    seconds_per_epoch: float
    searched_accuracy: Estimate
    fresh_validation_accuracy: Estimate
    optimism: Estimate
    accuracy: Estimate
    is_confirmed: bool
    n_lost: int = 0
    n_collapsed: int = 0


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found so far.

    Attributes
    ----------
    study : str
        Its name in the store.
    words : str
        What stands behind `mnistlab tune` to go on with it.
    objective : str
    winners : tuple of Confirmed
        One, the best; of two objectives the Pareto set, the cheapest first. Empty: nothing has been trained to its end.
    undecided : tuple of Cell
        Those that the race did not tell apart from the winners.
    trials, given_up, networks : int
        Cells that were tried; those of them given up before their last epoch; networks in all.
    summary : RunSummary | None
        How the call ended that searched; None: nothing was searched now.
    """

    study: str
    words: str
    objective: str
    winners: tuple[Confirmed, ...]
    undecided: tuple[Cell, ...]
    trials: int
    given_up: int
    networks: int
    summary: RunSummary | None = None

    @property
    def exit_status(self) -> int:
        """Of the call that searched: 130 or 143 after a signal, 6 where runs failed; networks may diverge."""
        if self.summary is None:
            return 0
        failed = self.summary.failed + self.summary.timeout
        return self.summary.exit_status if failed or self.summary.stopped == "interrupted" else 0


def tuned(store: Store, study: str, asked: SearchAsked) -> Tuned:
    """What a search has found, from the store alone."""
    from mnistlab.analysis.intervals import t_interval
    from mnistlab.analysis.results import results_table
    from mnistlab.resume import tuner_of

    tuner, sizes = tuner_of(asked, store, study), {cell.id: size for cell, size in store.sizes(study)}
    runs = store.runs(study, bits=True)
    rows = results_table(store.cell_table(study), runs[runs["role"] == "fresh"], store.measurements()).rows
    tested = {row["cell"]: row for row in rows.to_dict("records")}

    def confirmed(winner: "Winner") -> Confirmed:
        row = tested.get(winner.cell.id) if winner.is_confirmed else None
        accuracy, n_collapsed = (row["accuracy"], row["collapsed"]) if row else (Estimate(None, kind="crossed"), 0)
        pace = tuner.grounds.limits.seconds_per_epoch(winner.cell)
        return Confirmed(winner.cell, sizes[winner.cell.id], pace, t_interval(winner.searched),
                         t_interval(winner.fresh), winner.optimism, accuracy, winner.is_confirmed, winner.n_lost,
                         n_collapsed)  # fmt: skip

    tried = tuner.tried
    return Tuned(study, asked.words or store.words(study), asked.objective, tuple(map(confirmed, tuner.winners)),
                 tuner.undecided, len(tried), sum(one.given_up for one in tried), len(tuner.done))  # fmt: skip


def shown(store: Store, study: str) -> "Search | None":
    """A search as tables, for whoever shows it, from the store alone; None: the study is none."""
    import pandas as pd

    from mnistlab.analysis.trials import Search

    asked = store.asked(study)
    if not isinstance(asked, SearchAsked):
        return None
    found, cells = tuned(store, study, asked), {cell.id: (cell, size) for cell, size in store.sizes(study)}
    points = {id_: point for id_, (cell, _) in cells.items() if (point := asked.space.point(cell)) is not None}
    every = store.trials(study)
    every = every[every["cell"].isin(points)]
    sizes = [cells[id_][1] for id_ in every["cell"]]
    every.insert(2, "label", [cells[id_][0].label for id_ in every["cell"]])
    every = every.assign(parameters=[size.parameters for size in sizes], n_classes=[size.n_classes for size in sizes])
    is_first = every["seed"] == first_search_seed(study)
    trials = every[is_first].reset_index(drop=True)
    choices = {choice.field: [choice.values[points[id_][place]] for id_ in trials["cell"]]
               for place, choice in enumerate(asked.space.choices) if len(choice.values) > 1}  # fmt: skip
    trials.insert(0, "number", range(1, len(trials) + 1))
    trials = trials.assign(
        given_up=trials["stopped_by"] == "halving", seconds_per_epoch=trials["steps_seconds"] / trials["epochs_done"],
        **choices,
    )  # fmt: skip
    kept = {cell.id for cell in (*found.undecided, *(winner.cell for winner in found.winners))}
    raced = every[every["cell"].isin(every.loc[~is_first, "cell"])]
    return Search(
        asked.objective, tuple(choices), trials, pd.DataFrame([_winner(winner) for winner in found.winners]),
        raced.assign(kept=raced["cell"].isin(kept)).reset_index(drop=True),
    )  # fmt: skip


def _winner(winner: Confirmed) -> dict[str, Any]:
    optimism, accuracy = winner.optimism, winner.accuracy
    return {
        "cell": winner.cell.id, "label": winner.cell.label, "parameters": winner.size.parameters,
        "seconds_per_epoch": winner.seconds_per_epoch, "n_searched": winner.searched_accuracy.n,
        "searched_accuracy": winner.searched_accuracy.value, "n_fresh": winner.fresh_validation_accuracy.n,
        "fresh_validation_accuracy": winner.fresh_validation_accuracy.value, "optimism": optimism.value,
        "optimism_low": optimism.low, "optimism_high": optimism.high, "accuracy": accuracy.value,
        "accuracy_low": accuracy.low, "accuracy_high": accuracy.high, "confirmed": winner.is_confirmed,
        "n_lost": winner.n_lost, "n_collapsed": winner.n_collapsed,
    }  # fmt: skip
