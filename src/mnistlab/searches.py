"""A search on this machine: what was asked for becomes a tuner, and what a store holds of it becomes who has won.

The store keeps what was asked for (`Asked`) with the study, so that a reader needs nothing else.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlab.analysis.estimate import Estimate
from mnistlab.conduct import RunSummary
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, companions, program_of
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.grounds import Grounds, Limits, grounds_of
from mnistlab.plan import CellSize, cell_size, work_of
from mnistlab.preprocessing import check_installed
from mnistlab.price import Prices
from mnistlab.sampling import RandomSampler, new_sampler
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS, first_search_seed
from mnistlab.spec import Architecture, Cell, Features, Run
from mnistlab.store.tables import Store
from mnistlab.study import Choice, Space, Study
from mnistlab.tuner import OBJECTIVES, Tuner
from mnistlab.tuning import Known, Trained

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.trials import Search
    from mnistlab.conduct import Happening

_MNIST = Cell(Architecture((64,))).dataset
_TUPLES = ("hidden_layer_sizes", "steps")  # fields whose values are tuples, which JSON has no word for


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search is to find: the best of a space within limits.

    Attributes
    ----------
    space : Space
    objective : str
        One of `tuner.OBJECTIVES`.
    max_parameters : int | None
    max_seconds_per_epoch : float | None
    other_dataset : str
        As its user named it, where it is not that of the space.
    """

    space: Space
    objective: str = "accuracy"
    max_parameters: int | None = None
    max_seconds_per_epoch: float | None = None
    other_dataset: str = ""

    @property
    def study(self) -> Study:
        """The study that the search is in the store; its cells come as they are asked for."""
        space, least = self.space, "" if self.objective == "accuracy" else f"-{self.objective.replace(',', '-')}"
        named = "" if space.name == "default" else f"-{space.name}"
        within = [f"-{limit}-{word}" for limit, word in
                  ((self.max_parameters, "parameters"), (self.max_seconds_per_epoch, "seconds")) if limit]  # fmt: skip
        on = f"-{self.dataset}" if self.other_dataset else ""
        return Study("tune" + named + on + "".join(within) + least, (), (), words=self.words, tuning=self.to_json())

    @property
    def words(self) -> str:
        """What stands behind `mnistlab tune` to ask for it again; empty where only Python can."""
        if not self.space.words:
            return ""
        given = {"--space": None if self.space.words == "default" else self.space.words,
                 "--dataset": shlex.quote(self.other_dataset) if self.other_dataset else None,
                 "--max-parameters": self.max_parameters, "--max-seconds-per-epoch": self.max_seconds_per_epoch,
                 "--objective": None if self.objective == "accuracy" else self.objective}  # fmt: skip
        # Without any of them, there is still something behind the command.
        return (
            " ".join(f"{flag} {value}" for flag, value in given.items() if value is not None) or "--objective accuracy"
        )

    @property
    def dataset(self) -> str:
        """The data set, or the path, that the space names."""
        return next((str(one.values[0]) for one in self.space.choices if one.field == "dataset"), _MNIST)

    def on(self, dataset: str) -> "Asked":
        """The same on another data set."""
        rest = (one for one in self.space.choices if one.field != "dataset")
        return replace(self, space=replace(self.space, choices=(*rest, Choice("dataset", (dataset,)))))

    def cells_by_features(self) -> list[Cell]:
        """A cell with each of the feature pipelines there are."""
        steps = next((one.values for one in self.space.choices if one.field == "steps"), (Features().steps,))
        return [Cell(Architecture((64,)), features=Features(each), dataset=self.dataset) for each in steps]

    def to_json(self) -> str:
        """As the store keeps it."""
        return json.dumps({
            "objective": self.objective, "max_parameters": self.max_parameters,
            "max_seconds_per_epoch": self.max_seconds_per_epoch, "space": self.space.name,
            "other_dataset": self.other_dataset,
            "choices": {choice.field: choice.values for choice in self.space.choices},
        })  # fmt: skip


def search_in(store: Store, study: str) -> Asked | None:
    """The search that a study of the store is; None: it is none."""
    content = json.loads(store.tuning(study) or "{}")
    if "objective" not in content:
        return None
    choices = tuple(Choice(name, tuple(tuple(value) if name in _TUPLES else value for value in values))
                    for name, values in content["choices"].items())  # fmt: skip
    space = Space(content["space"], choices)
    return Asked(space, content["objective"], content["max_parameters"], content["max_seconds_per_epoch"],
                 content["other_dataset"])  # fmt: skip


def check_asked(asked: Asked) -> None:
    """Refuse an objective that is none, and limits that are no limits.

    Raises
    ------
    ConfigurationError
    """
    if asked.objective not in OBJECTIVES:
        raise ConfigurationError(f"--objective {asked.objective}", f"one of {' | '.join(OBJECTIVES)} is needed")
    if asked.max_parameters is not None and asked.max_parameters < 1:
        raise ConfigurationError(f"--max-parameters {asked.max_parameters}", "a whole number of 1 or more is needed")
    if asked.max_seconds_per_epoch is not None and not 0 < asked.max_seconds_per_epoch < np.inf:
        raise ConfigurationError(f"--max-seconds-per-epoch {asked.max_seconds_per_epoch:g}",
                                 "a positive number of seconds is needed")  # fmt: skip


def check_same(asked: Asked, store: Store, *, fresh: bool) -> None:
    """Refuse to mix a search with a study of the same name that is none, or searches among other choices.

    Raises
    ------
    ConfigurationError
    """
    name = asked.study.name
    if name in store.study_names() and search_in(store, name) is None:
        raise ConfigurationError(f"study {name}", "the store holds a study of this name that is no search",
                                 "name the space otherwise")  # fmt: skip
    before = json.loads(store.tuning(asked.study.name) or "{}").get("choices")
    if not fresh and before not in (None, json.loads(asked.to_json())["choices"]):
        raise ConfigurationError(f"study {asked.study.name}", "the store holds a search of this name among other "
                                 "choices", "name the space otherwise, or --fresh to forget that search")  # fmt: skip


def installed(space: Space, notify: Callable[[str], None]) -> Space:
    """The space without features that need a package which is absent; a line says so.

    Raises
    ------
    MachineError
        Nothing is left.
    """
    choices, faults = [], list[MachineError]()
    for choice in space.choices:
        if choice.field == "steps":
            usable = []
            for steps in choice.values:
                try:
                    check_installed(Features(steps))
                    usable.append(steps)
                except MachineError as fault:
                    faults.append(fault)
            if not usable:
                raise faults[0]
            choice = replace(choice, values=tuple(usable))
        choices.append(choice)
    if faults:
        notify(f"left out of the search: {faults[0]}")
    return replace(space, choices=tuple(choices))


@dataclass(slots=True, eq=False)
class Pace:
    """Seconds an epoch of a cell takes here: what its networks took in training steps, else as predicted."""

    predicted: Callable[[Cell], float]
    measured: dict[str, float] = field(default_factory=dict)  # by cell id

    def __call__(self, cell: Cell) -> float:
        """Of this cell."""
        return self.measured.get(cell.id) or self.predicted(cell)

    def hearing(self, on_event: "Callable[[Happening], None]") -> "Callable[[Happening], None]":
        """A listener that learns from the first network of a cell that has ended, then passes everything on."""
        from mnistlab.execution.local import Finished

        def hear(event: "Happening") -> None:
            if isinstance(event, Finished) and (epochs := event.result.epochs_done):
                seconds = event.result.ledger.steps_seconds
                self.measured.setdefault(event.result.run.cell.id, seconds / epochs)
            on_event(event)

        return hear


def pace_here(
    infos: Mapping[str, DatasetInfo], trials: "pd.DataFrame", prices: Prices, device: str
) -> Pace:  # fmt: skip
    """What epochs take on this machine, and took in the trials of a search."""

    def predicted(cell: Cell) -> float:
        size = cell_size(cell, infos[cell.dataset])
        work = work_of(cell, size, program_of("auto", cell, size.n_steps(cell), SEARCH_SEEDS, device))
        return (prices.seconds(work).value or 0.0) / cell.training.epochs

    return Pace(predicted, _measured(trials))


def tuner_here(
    asked: Asked, space: Space, store: Store, infos: Mapping[str, DatasetInfo], pace: Pace, *, sampler: str,
    trials: int | None,
) -> Tuner:  # fmt: skip
    """A tuner that goes on where the store stands, and knows what other studies have found in its space.

    `space` is that of the search, as far as it can be trained here.

    Raises
    ------
    ConfigurationError
        Nothing in the space is within the limits; see `grounds.grounds_of`.
    """
    limits = Limits(lambda cell: cell_size(cell, infos[cell.dataset]).parameters, pace,
                    asked.max_parameters, asked.max_seconds_per_epoch)  # fmt: skip
    done = trained_of(store, asked.study.name)
    # Other draws in another call, or it would be proposed again what was proposed already.
    grounds = grounds_of(space, limits, shape=_shape, seed=len(done))
    drawn = new_sampler(sampler, grounds, two_objectives=asked.objective != "accuracy")
    return Tuner(grounds, drawn, asked.objective, trials, known=_known(store, asked.study.name), done=done,
                 first_seed=first_search_seed(asked.study.name))  # fmt: skip


def tuner_of(asked: Asked, store: Store) -> Tuner:
    """The tuner as far as it came, to ask who has won: it needs no data set, and proposes nothing."""
    name = asked.study.name
    parameters = {cell.id: size.parameters for cell, size in store.sizes(name)}
    limits = Limits(lambda cell: parameters[cell.id], Pace(lambda _: 0.0, _measured(store.trials(name))),
                    asked.max_parameters, asked.max_seconds_per_epoch)  # fmt: skip
    grounds = Grounds(asked.space, _shape, limits, [], (), np.random.default_rng(0))
    return Tuner(grounds, RandomSampler(grounds), asked.objective, done=trained_of(store, name),
                 first_seed=first_search_seed(name))  # fmt: skip


def trained_of(store: Store, study: str) -> tuple[Trained, ...]:
    """Every network of a search that has ended, in the order in which they ended, with its validation accuracy."""
    cells, curves = {cell.id: cell for cell, _ in store.sizes(study)}, store.curves(study)

    def trained(row: Mapping[Any, Any]) -> Trained:
        accuracy = row["validation_accuracy"] if row["status"] == "done" else None
        run = Run(cells[row["cell"]], row["seed"])
        return Trained(run, curves.get(row["run"], ()), accuracy, row["stopped_by"] == "halving")

    runs = store.runs(study)
    fresh = runs[(runs["role"] == "fresh") & runs["status"].isin(["done", "diverged"])]
    return tuple(map(trained, [*store.trials(study).to_dict("records"), *fresh.to_dict("records")]))


def _known(store: Store, study: str) -> tuple[Known, ...]:
    """What networks trained to their end say of cells, but fresh ones of a winner and those of this search."""
    by_cell: dict[str, list[float]] = {}
    for cell, seed, accuracy in store.done():
        if accuracy is not None and seed < FRESH_SEEDS:
            by_cell.setdefault(cell, []).append(accuracy)
    for other in store.study_names():
        if other != study and search_in(store, other) is not None:
            trials = store.trials(other)
            whole = trials[(trials["status"] == "done") & (trials["stopped_by"] != "halving")]
            for cell, accuracy in zip(whole["cell"], whole["validation_accuracy"], strict=True):
                by_cell.setdefault(cell, []).append(accuracy)
    return tuple(Known(cell, float(np.mean(by_cell[cell.id]))) for cell, _ in store.sizes() if cell.id in by_cell)


def _measured(trials: "pd.DataFrame") -> dict[str, float]:
    first = trials[trials["epochs_done"] > 0].drop_duplicates("cell")
    return dict(zip(first["cell"], first["steps_seconds"] / first["epochs_done"], strict=True))


def _shape(cell: Cell) -> Any:
    # Trials of different length are not compared at the same epoch: their schedules differ by then.
    return companions(Run(cell, SEARCH_SEEDS), SEEDS_OF_ONE_CELL), cell.training.epochs


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A winner of a search, and what was found of it; accuracies are fractions.

    Attributes
    ----------
    cell : Cell
    size : CellSize
    seconds_per_epoch : float
        Of its first trial's training steps.
    searched_accuracy : Estimate
        On validation digits, of the networks it was chosen by: what the search would quote.
    fresh_validation_accuracy : Estimate
        On validation digits, of networks with fresh seeds.
    optimism : Estimate
        How much the first is above the second.
    accuracy : Estimate
        On test digits, of the fresh networks alone, once all are trained.
    n_lost : int
        Fresh seeds of which no network came.
    """

    cell: Cell
    size: CellSize
    seconds_per_epoch: float
    searched_accuracy: Estimate
    fresh_validation_accuracy: Estimate
    optimism: Estimate
    accuracy: Estimate
    n_lost: int = 0

    @property
    def is_confirmed(self) -> bool:
        """Whether its fresh seeds have all been trained."""
        return self.accuracy.value is not None


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


def tuned(store: Store, asked: Asked) -> Tuned:
    """What a search has found, from the store alone."""
    from mnistlab.analysis.intervals import t_interval
    from mnistlab.analysis.results import results_table

    no_test = Estimate(None, kind="crossed")

    study = asked.study.name
    tuner, sizes = tuner_of(asked, store), {cell.id: size for cell, size in store.sizes(study)}
    runs = store.runs(study, bits=True)
    rows = results_table(store.cell_table(study), runs[runs["role"] == "fresh"], store.measurements()).rows
    tested = dict(zip(rows["cell"], rows["accuracy"], strict=True)) if len(rows) else {}
    winners = tuple(
        Confirmed(
            winner.cell, sizes[winner.cell.id], tuner.grounds.limits.seconds_per_epoch(winner.cell),
            t_interval(winner.searched), t_interval(winner.fresh), winner.optimism,
            tested.get(winner.cell.id, no_test) if winner.is_confirmed else no_test, winner.n_lost,
        )
        for winner in tuner.winners
    )  # fmt: skip
    tried, words = tuner.tried, next((state.words for state in store.studies() if state.study == study), "")
    return Tuned(study, words, asked.objective, winners, tuner.undecided, len(tried),
                 sum(one.given_up for one in tried), len(tuner.done))  # fmt: skip


def shown(store: Store, study: str) -> "Search | None":
    """A search as tables, for whoever shows it, from the store alone; None: the study is none."""
    import pandas as pd

    from mnistlab.analysis.trials import Search

    asked = search_in(store, study)
    if asked is None:
        return None
    found, choices = tuned(store, asked), [choice for choice in asked.space.choices if len(choice.values) > 1]
    sizes = {cell.id: (cell, size) for cell, size in store.sizes(study)}
    every = store.trials(study)
    first_seed = first_search_seed(study)
    inside = {cell.id: asked.space.point(cell) for cell, _ in sizes.values()}
    every = every[every["cell"].isin({cell for cell, point in inside.items() if point is not None})]
    trials = every[every["seed"] == first_seed].reset_index(drop=True)
    points = [inside[cell] or () for cell in trials["cell"]]
    places = {choice.field: place for place, choice in enumerate(asked.space.choices)}
    columns = {choice.field: [choice.values[point[places[choice.field]]] for point in points] for choice in choices}
    table = pd.DataFrame({
        "number": range(1, len(trials) + 1), "run": trials["run"], "cell": trials["cell"],
        "label": [sizes[cell][0].label for cell in trials["cell"]], **columns,
        **trials[["status", "validation_accuracy", "validation_n", "epochs_done", "epochs_asked"]],
        "given_up": trials["stopped_by"] == "halving",
        "parameters": [sizes[cell][1].parameters for cell in trials["cell"]],
        "seconds_per_epoch": trials["steps_seconds"] / trials["epochs_done"],
    })  # fmt: skip
    curves = store.curves(study)
    epochs = [(run, epoch, accuracy) for run in trials["run"]
              for epoch, accuracy in enumerate(curves.get(run, ()), 1)]  # fmt: skip
    raced = every[every["cell"].isin(every.loc[every["seed"] > first_seed, "cell"])]
    kept = {cell.id for cell in (*found.undecided, *(winner.cell for winner in found.winners))}
    candidates = raced[["cell", "seed", "validation_accuracy"]].assign(
        label=[sizes[cell][0].label for cell in raced["cell"]], kept=raced["cell"].isin(kept)
    )
    return Search(
        asked.objective, tuple(columns), table,
        pd.DataFrame(epochs, columns=["run", "epoch", "validation_accuracy"]),
        pd.DataFrame([_winner(winner) for winner in found.winners]), candidates.reset_index(drop=True),
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
    }  # fmt: skip
