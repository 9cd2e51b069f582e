"""A search goes on where its store stands, on this machine: whether it may, what is in its reach, its tuner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlab.analysis.results import collapse_threshold
from mnistlab.asked import SearchAsked
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program, companions, program_of
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.grounds import Grounds, Limits, grounds_of
from mnistlab.plan import CellSize, cell_size, run_bytes, work_of
from mnistlab.preprocessing import check_installed
from mnistlab.price import Prices
from mnistlab.sampling import RandomSampler, new_sampler
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS, first_search_seed
from mnistlab.spec import Cell, Features, Run
from mnistlab.store.tables import Store
from mnistlab.study import Space
from mnistlab.tuner import Tuner
from mnistlab.tuning import Known, Trained

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.conduct import Happening


def check_may_go_on(asked: SearchAsked, store: Store, *, fresh: bool) -> None:
    """Refuse to mix a search with a study of the same name that is none, or searches among other choices.

    Raises
    ------
    ConfigurationError
    """
    name = asked.study.name
    if name not in store.study_names():
        return
    before = store.asked(name)
    if not isinstance(before, SearchAsked):
        raise ConfigurationError(f"study {name}", "the store holds a study of this name that is no search",
                                 "name the space otherwise")  # fmt: skip
    # In whatever order a file names them.
    now, then = ({choice.field: choice.values for choice in one.space.choices} for one in (asked, before))
    if not fresh and now != then:
        raise ConfigurationError(f"study {name}", "the store holds a search of this name among other choices",
                                 "name the space otherwise, or --fresh to forget that search")  # fmt: skip


@dataclass(slots=True, eq=False)
class Pace:
    """Seconds an epoch of a cell takes here: the median of what its trials took in training steps, else as predicted.

    Fresh networks do not count: they would move who is within a limit after it was said who has won.
    """

    predicted: Callable[[Cell], float]
    measured: dict[str, list[float]] = field(default_factory=dict)  # by cell id, of every network

    def __call__(self, cell: Cell) -> float:
        """Of this cell."""
        measured = self.measured.get(cell.id)
        return median(measured) if measured else self.predicted(cell)

    def hearing(self, on_event: "Callable[[Happening], None]") -> "Callable[[Happening], None]":
        """A listener that learns from every trial that has ended, then passes everything on."""
        from mnistlab.execution.local import Finished

        def hear(event: "Happening") -> None:
            if isinstance(event, Finished) and event.result.epochs_done and event.result.run.seed < FRESH_SEEDS:
                seconds = event.result.ledger.steps_seconds / event.result.epochs_done
                self.measured.setdefault(event.result.run.cell.id, []).append(seconds)
            on_event(event)

        return hear


def pace_here(infos: Mapping[str, DatasetInfo], trials: "pd.DataFrame | None", prices: Prices, device: str) -> Pace:
    """What epochs take on this machine, and took in the trials of a search."""

    def predicted(cell: Cell) -> float:
        size, program = _size_and_program(cell, infos, device)
        return prices.step_seconds(work_of(cell, size, program)) / cell.training.epochs

    return Pace(predicted, {} if trials is None else _measured(trials))


def grounds_here(
    asked: SearchAsked, infos: Mapping[str, DatasetInfo], pace: Pace, *, workers: int, device: str,
    notify: Callable[[str], None],
) -> tuple[Grounds, int]:  # fmt: skip
    """What of a space can be trained here, within limits and memory, and in how many processes of those asked for.

    Raises
    ------
    ConfigurationError
        That is nothing; see `grounds.grounds_of`.
    MachineError
        All features there are need a package that is absent.
    """
    from mnistlab.instruments.resources import available_bytes

    limits = Limits(
        lambda cell: cell_size(cell, infos[cell.dataset]).parameters, pace,
        lambda cell: run_bytes(cell, *_size_and_program(cell, infos, device)),
        asked.max_parameters, asked.max_seconds_per_epoch, available := available_bytes(),
    )  # fmt: skip
    grounds = grounds_of(_installed(asked.space, notify), limits, shape=_shape)
    return grounds, max(1, min(workers, available // max(1, grounds.most_memory)))


def tuner_here(
    asked: SearchAsked, grounds: Grounds, store: Store, infos: Mapping[str, DatasetInfo], *, sampler: str,
    trials: int | None,
) -> Tuner:  # fmt: skip
    """A tuner that goes on where the store stands, and knows what other studies have found in its space.

    Raises
    ------
    ConfigurationError
        There is no such sampler, or fewer than one trial is asked for.
    MachineError
        The sampler needs a package that is absent.
    """
    name = asked.study.name
    done = trained_of(store, name)
    # Other draws in another call, or it would be proposed again what was proposed already.
    grounds = replace(grounds, rng=np.random.default_rng(len(done)), seen=set())
    drawn = new_sampler(sampler, grounds, two_objectives=asked.objective != "accuracy")
    return Tuner(grounds, drawn, asked.objective, trials, known=_known(store, name), done=done,
                 first_seed=first_search_seed(name),
                 collapsed=collapse_threshold(infos[asked.dataset].n_classes))  # fmt: skip


def tuner_of(asked: SearchAsked, store: Store, name: str) -> Tuner:
    """The tuner of a study as far as it came, to ask who has won: it needs no data set, and proposes nothing."""
    sizes, pace = {cell.id: size for cell, size in store.sizes(name)}, _measured(store.trials(name))
    limits = Limits(lambda cell: sizes[cell.id].parameters, Pace(lambda _: 0.0, pace),
                    max_parameters=asked.max_parameters,
                    max_seconds_per_epoch=asked.max_seconds_per_epoch)  # fmt: skip
    grounds = Grounds(asked.space, _shape, limits, [], (), np.random.default_rng(0))
    n_classes = next((size.n_classes for size in sizes.values()), 10)
    return Tuner(grounds, RandomSampler(grounds), asked.objective, done=trained_of(store, name, failed=True),
                 first_seed=first_search_seed(name), collapsed=collapse_threshold(n_classes))  # fmt: skip


def trained_of(store: Store, study: str, *, failed: bool = False) -> tuple[Trained, ...]:
    """Every network of a search that has ended, in the order in which they ended, with its validation accuracy.

    Trials that `failed` are among them for who asks what has been decided, not for who would train them again.
    """
    cells, curves = {cell.id: cell for cell, _ in store.sizes(study)}, store.curves(study)

    def trained(row: Mapping[Any, Any]) -> Trained:
        accuracy = row["validation_accuracy"] if row["status"] == "done" else None
        run = Run(cells[row["cell"]], row["seed"])
        return Trained(run, curves.get(row["run"], ()), accuracy, row["stopped_by"] == "halving")

    runs = store.runs(study)
    fresh = runs[(runs["role"] == "fresh") & runs["status"].isin(["done", "diverged"])]
    trials = store.trials(study, failed=failed)
    return tuple(map(trained, [*trials.to_dict("records"), *fresh.to_dict("records")]))


def _installed(space: Space, notify: Callable[[str], None]) -> Space:
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


def _known(store: Store, study: str) -> tuple[Known, ...]:
    """What networks trained to their end say of cells, but fresh ones of a winner and those of this search."""
    by_cell: dict[str, list[float]] = {}
    for cell, seed, accuracy in store.done():
        if accuracy is not None and seed < FRESH_SEEDS:
            by_cell.setdefault(cell, []).append(accuracy)
    for other in store.study_names():
        if other != study and isinstance(store.asked(other), SearchAsked):
            trials = store.trials(other)
            whole = trials[(trials["status"] == "done") & (trials["stopped_by"] != "halving")]
            for cell, accuracy in zip(whole["cell"], whole["validation_accuracy"], strict=True):
                by_cell.setdefault(cell, []).append(accuracy)
    return tuple(Known(cell, float(np.mean(by_cell[cell.id]))) for cell, _ in store.sizes() if cell.id in by_cell)


def _measured(trials: "pd.DataFrame") -> dict[str, list[float]]:
    trained = trials[trials["epochs_done"] > 0]
    seconds = trained["steps_seconds"] / trained["epochs_done"]
    return {str(cell): own.tolist() for cell, own in seconds.groupby(trained["cell"])}


def _shape(cell: Cell) -> Any:
    # Trials of different length are not compared at the same epoch: their schedules differ by then.
    return companions(Run(cell, SEARCH_SEEDS), SEEDS_OF_ONE_CELL), cell.training.epochs


def _size_and_program(cell: Cell, infos: Mapping[str, DatasetInfo], device: str) -> tuple[CellSize, Program]:
    size = cell_size(cell, infos[cell.dataset])
    return size, program_of("auto", cell, size.n_steps(cell), SEARCH_SEEDS, device)
