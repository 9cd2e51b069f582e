"""A search from its tuner to the store: asks what to train, hands it out, tells what came back, until nothing is asked.

All of it in one call of the processes, which stay warm from the first trial to the last confirmation.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from mnistlab.analysis.estimate import Estimate
from mnistlab.conduct import Course, Progress, RunSummary
from mnistlab.engines.programs import Program
from mnistlab.plan import CellSize, Group, grouped, priced_group, works_of
from mnistlab.price import Prices
from mnistlab.records import RunResult
from mnistlab.spec import Cell, Run
from mnistlab.store.schema import FINISHED
from mnistlab.store.tables import Store, open_store
from mnistlab.study import Study
from mnistlab.tuning import Batch, Halving

if TYPE_CHECKING:
    from mnistlab.conduct import Happening
    from mnistlab.execution.worker import WorkerSettings
    from mnistlab.stop import Budget, Stop
    from mnistlab.store.writer import StoreWriter


class Tuner(Protocol):
    """Says what is to be trained, and hears what came of it."""

    def next(self, fits: Callable[[Sequence[Run]], bool]) -> Batch | None:
        """What to train now; None: nothing until another run has ended, or nothing more.

        `fits` says whether these runs would, as predicted and without halving, end within the budget.
        """
        ...

    def take(self, run: Run, curve: Sequence[float], result: RunResult) -> None:
        """Hear of a run that has ended, well or not, with its validation accuracies, fractions, epoch by epoch."""
        ...


def conduct_search(
    tuner: Tuner, study: Study, writer: "StoreWriter", prices: Prices, *, sizes_of: Callable[[Cell], CellSize],
    program_of: Callable[[Cell, int, int], Program], settings: "WorkerSettings", budget: "Budget", stop: "Stop",
    workers: int, on_progress: Callable[[Progress], None],
    on_event: "Callable[[Happening], None]" = lambda _: None, notify: Callable[[str], None] = lambda _: None,
) -> RunSummary:  # fmt: skip
    """Train what a tuner asks for until it asks for nothing more, or the stop or the budget ends it.

    A run is in the store before it is trained, its result in one transaction as it comes. What was asked for by an
    earlier call and has no result leaves the study: a tuner asks again for what it still wants. Of a run that the store
    holds already it hears at once, and nothing is trained.

    Parameters
    ----------
    tuner : Tuner
    study : Study
        Its name, seeds, words and tuning; cells come as they are asked for.
    writer : StoreWriter
    prices : Prices
        Learns from every finished run.
    sizes_of : callable
        The size of a cell on its data set.
    program_of : callable
        What trains a cell of so many steps with such a seed. A batch whose runs its programs cannot train side by side
        becomes several groups, where those that end tell the later ones what had come to their rungs.
    settings, budget, stop, workers
        See `execution.local.execute`.
    on_progress, on_event, notify : callable
        See `conduct.conduct`.

    Returns
    -------
    RunSummary
        Over what the study held that has ended, and all that was asked for now; stopped by "budget" also where the
        last that the tuner wanted did not fit.
    """
    store, sizes = open_store(writer.path), dict[str, CellSize]()
    writer.withdraw_open_trials(study.name)
    ended = {id_: status for id_, status in store.statuses(study.name).items() if status in FINISHED}

    def size_of(cell: Cell) -> CellSize:
        if cell.id not in sizes:
            sizes[cell.id] = sizes_of(cell)
        return sizes[cell.id]

    course = Course(
        study.name, writer, prices, size_of, ended, budget, stop, on_progress, on_event, None, notify
    )  # fmt: skip
    return _Search(tuner, study, store, course, sizes, program_of, workers, store.finished()).conduct(settings)


@dataclass(slots=True)
class _Search:
    tuner: Tuner
    study: Study
    store: Store
    course: Course
    sizes: dict[str, CellSize]  # by cell id, of all cells that were looked at
    program_of: Callable[[Cell, int, int], Program]
    workers: int
    finished: set[str]  # runs of the whole store that are never to be trained again
    waiting: deque[tuple[Batch, Program, tuple[Run, ...]]] = field(default_factory=deque)
    under_way: list[set[str]] = field(default_factory=list)  # runs without a result, by group
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)  # by run, of those the tuner has heard of
    data_seconds: list[float] = field(default_factory=list)  # that runs took to make theirs ready
    heard: bool = True  # the tuner has heard of something since it had nothing to ask for; at the end: it was not asked
    refused: bool = False  # the budget had no room for the last that was to be trained

    def conduct(self, settings: "WorkerSettings") -> RunSummary:
        from mnistlab.execution.local import Finished, execute

        course = self.course
        events = execute(
            self.next_group, workers=self.workers, settings=settings, budget=course.budget, stop=course.stop
        )
        with closing(events):  # a fault of the tuner or the store ends the processes, too
            for event in events:
                course.take(event)
                if isinstance(event, Finished):
                    self.take(event.result)
                course.tell(lambda: None)  # how long a search takes, its budget alone knows
        return course.summary(spent=self.refused or self.heard)

    def next_group(self, budget: "Budget") -> Group | None:
        """The next group that fits into the budget, of what was asked for or of what is now; None: none at present."""
        while True:
            while self.waiting:
                batch, program, runs = self.waiting.popleft()
                seconds = self.seconds([(program, runs)])
                self.refused = not budget.allows(seconds.value or 0.0)
                if not self.refused:
                    self.under_way.append({run.id for run in runs})
                    return priced_group(program, runs, seconds, batch.role, self.halving(batch))
            asked = self.tuner.next(self.fits) if self.heard else None
            self.heard = asked is not None and bool(asked.runs)
            if asked is None or not asked.runs:
                return None
            self.enter(asked)

    def fits(self, runs: Sequence[Run]) -> bool:
        free = max(1, self.workers - len(self.under_way))
        seconds = self.seconds(list(grouped((self.program(run), run) for run in runs)), free)
        # Of a cell, prices know trials alone, which all have the data of one seed: those of others are made ready anew.
        made_ready = sum(1 for _ in itertools.groupby(runs, lambda run: (run.cell.features, run.seed)))
        data_seconds = made_ready * fmean(self.data_seconds or [0.0]) / free
        self.refused = not self.course.budget.allows((seconds.value or 0.0) + data_seconds)
        return not self.refused

    def seconds(self, groups: Sequence[tuple[Program, tuple[Run, ...]]], workers: int = 1) -> Estimate:
        return self.course.prices.total([works_of(program, runs, self.sizes) for program, runs in groups], workers)

    def program(self, run: Run) -> Program:
        return self.program_of(run.cell, self.course.size_of(run.cell).n_steps(run.cell), run.seed)

    def enter(self, batch: Batch) -> None:
        """Register what is asked for, tell what of it is known, and put the rest in groups."""
        cells = tuple(dict.fromkeys(run.cell for run in batch.runs))
        todo = [(self.program(run), run) for run in batch.runs if run.id not in self.finished]
        sizes = {cell.id: self.course.size_of(cell) for cell in cells}
        self.course.writer.register_study(replace(self.study, cells=cells), sizes, batch.runs, batch.role)
        for run in batch.runs:
            if run.id in self.finished and (known := self.store.run_detail(run.id).result) is not None:
                self.course.statuses[run.id] = known.status
                self.take(known)
            else:
                self.course.statuses[run.id] = "planned"
        groups = grouped(todo, refilled=batch.halving is not None)
        self.waiting.extend((batch, program, runs) for program, runs in groups)

    def take(self, result: RunResult) -> None:
        """Tell the tuner of a run that has ended."""
        run, by_epoch = result.run, (epoch.validation_accuracy for epoch in result.epochs)
        self.curves[run.id] = tuple(accuracy for accuracy in by_epoch if accuracy is not None)
        self.data_seconds += [seconds] if (seconds := result.ledger.data_seconds) > 0 else []
        if result.status in FINISHED:
            self.finished.add(run.id)
        self.under_way = [left for runs in self.under_way if (left := runs - {run.id})]
        self.heard = True
        self.tuner.take(run, self.curves[run.id], result)

    def halving(self, batch: Batch) -> Halving | None:
        """When trials of a batch are given up: its others that have ended stand beside those that the tuner named."""
        if batch.halving is None:
            return None
        came = [curve for run in batch.runs if (curve := self.curves.get(run.id))]
        rungs = ((epoch, (*others, *(curve[epoch - 1] for curve in came if len(curve) >= epoch)))
                 for epoch, others in batch.halving.rungs)  # fmt: skip
        return replace(batch.halving, rungs=tuple(rungs))
