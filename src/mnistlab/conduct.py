"""One study from plan to store: hands groups out, commits what comes back, tells where it stands.

`Course` is what it shares with `search`, which asks for runs as it goes.
"""

import itertools
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mnistlab.analysis.estimate import Estimate
from mnistlab.engines.programs import Program
from mnistlab.keeping import Keeper
from mnistlab.plan import CellSize, Group, Plan, PlannedCell, work_of, works_of
from mnistlab.price import Priced, Prices
from mnistlab.records import Measurement, RunResult
from mnistlab.spec import Cell, Run

if TYPE_CHECKING:
    from mnistlab.execution.local import Event
    from mnistlab.execution.worker import WorkerSettings
    from mnistlab.stop import Budget, Stop
    from mnistlab.store.writer import StoreWriter

    Happening: TypeAlias = Plan | Event | Measurement

# What a probe takes with the start of its process: none is begun when less of the budget is left.
_PROBE_SECONDS = 15.0
_PROBE_TIMEOUT = 300.0
_TELL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a study stands; `best` is the cell of highest mean validation accuracy, `note` what else goes on."""

    study: str
    done: int
    failed: int
    total: int
    seconds: float
    networks_per_second: float
    eta_seconds: float | None
    best_label: str = ""
    best: Estimate | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How `run` ended: counts over the whole study, seconds of this call, and why it stopped if work is left."""

    study: str
    done: int
    failed: int
    diverged: int
    timeout: int
    to_do: int
    seconds: float
    stopped: str | None
    exit_status: int


def conduct(
    plan: Plan, writer: "StoreWriter", prices: Prices, *, statuses: Mapping[str, str],
    settings: "WorkerSettings", budget: "Budget", stop: "Stop", on_progress: Callable[[Progress], None],
    on_event: "Callable[[Happening], None]" = lambda _: None, keeper: Keeper | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> RunSummary:  # fmt: skip
    """Train what a plan still asks for, round by round; after the first round every architecture is measured once.

    Parameters
    ----------
    plan : Plan
    writer : StoreWriter
        Has the study registered; gets each result as it comes.
    prices : Prices
        Learns from every finished run.
    statuses : mapping of str to str
        Run id → status, of every run that is asked for: those of the plan, and others that count with them.
    settings, budget, stop
        See `execution.local.execute`.
    on_progress : callable
        Told several times a second at most.
    on_event : callable
        Told everything that happens: the plan first, then what the engines say, a result when it is stored, and what
        was measured. A fault that it raises ends the study as Ctrl-C does.
    keeper : Keeper, optional
        Writes each network before its result is stored: what the store calls done is then kept already.
    notify : callable
        Told why runs fail, each reason once.
    """
    course = Course(
        plan.study.name, writer, prices, plan.size_of, dict(statuses), budget, stop, on_progress, on_event, keeper,
        notify,
    )  # fmt: skip
    return _Conductor(plan, course, settings).conduct()


@dataclass(slots=True)
class Course:
    """What becomes of a study's runs: stores results as they come, learns prices, tells where the study stands.

    Attributes
    ----------
    study : str
        Its name.
    size_of : callable
        The size of a cell of it.
    statuses : dict
        Run id → status, of every run that is asked for.
    writer, prices, budget, stop, on_progress, on_event, keeper, notify
        See `conduct`.
    """

    study: str
    writer: "StoreWriter"
    prices: Prices
    size_of: Callable[[Cell], CellSize]
    statuses: dict[str, str]
    budget: "Budget"
    stop: "Stop"
    on_progress: Callable[[Progress], None]
    on_event: "Callable[[Happening], None]"
    keeper: Keeper | None
    notify: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    _told_at: float = 0.0
    _finished: int = 0
    _reasons: set[str] = field(default_factory=set)
    _validation: dict[Cell, list[float]] = field(default_factory=lambda: defaultdict(list))
    _n_validation: dict[Cell, int] = field(default_factory=dict)

    def take(self, event: "Event") -> None:
        """Store what an engine says, then pass it on."""
        from mnistlab.execution.local import Finished, Started

        if isinstance(event, Started):
            self.writer.start(run.id for run in event.group.runs)
        elif isinstance(event, Finished):
            self._store(event.result)
            self.statuses[event.result.run.id] = event.result.status
            self._finished += 1
            if event.result.status == "done":
                self._learn(event.result)
            elif event.result.reason not in self._reasons:
                self._reasons.add(event.result.reason)
                self.notify(f"run {event.result.run.id} {event.result.status}: {event.result.reason}")
        self.on_event(event)

    def _store(self, result: RunResult) -> None:
        if self.keeper is not None:
            self.keeper.write(result)
        self.writer.commit(result)
        if self.keeper is not None:
            self.keeper.tidy(result.run.cell)

    def _learn(self, result: RunResult) -> None:
        cell = result.run.cell
        program = Program.of(result.engine, result.program)
        work = replace(work_of(cell, self.size_of(cell), program), epochs=result.epochs_done)
        ledger = result.ledger
        self.prices.observe(work, ledger.end_to_end_seconds, ledger.compile_seconds, ledger.steps_seconds)
        self.prices.observe_start(ledger.import_seconds)
        if result.validation is not None:
            self._validation[cell].append(result.validation.accuracy)
            self._n_validation[cell] = len(result.validation.predicted)

    def tell(self, seconds_left: Callable[[], float | None], note: str = "") -> None:
        """Say where the study stands, unless that was said just now and there is nothing of note."""
        now = time.monotonic()
        if now - self._told_at < _TELL_SECONDS and not note:
            return
        self._told_at = now
        elapsed, counts, left = now - self.began, Counter(self.statuses.values()), seconds_left()
        label, best = self._best()
        in_budget = None if self.budget.left is None else max(0.0, self.budget.left)
        self.on_progress(
            Progress(
                study=self.study,
                done=counts["done"] + counts["diverged"],
                failed=counts["failed"] + counts["timeout"],
                total=len(self.statuses),
                seconds=elapsed,
                networks_per_second=self._finished / elapsed,
                eta_seconds=min((each for each in (left, in_budget) if each is not None), default=None),
                best_label=label,
                best=best,
                note=note,
            )
        )

    def _best(self) -> tuple[str, Estimate | None]:
        """The cell of highest mean validation accuracy in this call; test digits choose nothing (rule M3)."""
        if not self._validation:
            return "", None
        from mnistlab.analysis.intervals import t_interval, wilson_interval

        cell, accuracies = max(self._validation.items(), key=lambda item: statistics.fmean(item[1]))
        if len(accuracies) > 1:
            return cell.label, t_interval(accuracies)
        n = self._n_validation[cell]
        return cell.label, wilson_interval(round(accuracies[0] * n), n)

    def summary(self, spent: bool = False) -> RunSummary:
        """How it ended; `spent` says that the budget kept something from being asked for."""
        counts = Counter(self.statuses.values())
        failed = counts["failed"] + counts["timeout"]
        to_do = len(self.statuses) - counts["done"] - counts["diverged"]
        stopped = "interrupted" if self.stop.requested else "budget" if spent or to_do > failed else None
        return RunSummary(
            study=self.study, done=counts["done"], failed=counts["failed"], diverged=counts["diverged"],
            timeout=counts["timeout"], to_do=to_do, seconds=time.monotonic() - self.began, stopped=stopped,
            exit_status=self.stop.exit_status or (6 if failed or counts["diverged"] else 0),
        )  # fmt: skip


@dataclass(slots=True)
class _Conductor:
    plan: Plan
    course: Course
    settings: "WorkerSettings"
    waiting: list[tuple[Group, Priced]] = field(default_factory=list)
    # Run → when its group began, the group's predicted seconds, the run's share of them.
    active: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    to_measure: dict[str, PlannedCell] = field(init=False)
    seconds_a_probe: float = field(init=False)  # predicted; then what the last one took

    def __post_init__(self) -> None:
        self.to_measure = dict(self.plan.to_measure)
        self.seconds_a_probe = self.course.prices.probe_seconds / self.plan.workers

    def conduct(self) -> RunSummary:
        self.course.on_event(self.plan)
        first, *rest = self.plan.rounds or [()]
        later = list(itertools.chain.from_iterable(rest))
        if self.train(list(first), later):
            self.probe()
            self.to_measure.clear()  # what the budget had no room for is left to another call
            self.train(later, [])
        return self.course.summary()

    def train(self, groups: list[Group], later: list[Group]) -> bool:
        """Train groups in their order, passing over what the budget has no room for; whether all were trained."""
        from mnistlab.execution.local import Finished, execute

        self.waiting = [(group, works_of(group.program, group.runs, self.plan.sizes)) for group in (*groups, *later)]
        left, course = len(groups), self.course

        def next_group(budget: "Budget") -> Group | None:
            nonlocal left
            for index in range(left):
                group, priced = self.waiting[index]
                if budget.allows(seconds := course.prices.total([priced]).value or 0.0):
                    left -= 1
                    del self.waiting[index]
                    share = 1 / len(group.runs)
                    self.active |= {run.id: (time.monotonic(), seconds, share) for run in group.runs}
                    return group
            return None

        if groups:
            events = execute(
                next_group, workers=self.plan.workers, settings=self.settings, budget=course.budget, stop=course.stop
            )
            with closing(events):  # a fault of the store ends the processes, too
                for event in events:
                    if isinstance(event, Finished):
                        self.active.pop(event.result.run.id, None)
                    course.take(event)
                    course.tell(self.seconds_left)
        return not left and not course.stop.requested

    def probe(self) -> None:
        """Measure every architecture once, alone: its time a step, its memory, its energy."""
        from mnistlab.execution.local import probe_alone

        todo, at_once, course = list(self.to_measure.items()), self.plan.workers, self.course
        for start in range(0, len(todo), at_once):
            if course.stop.requested or not course.budget.allows(_PROBE_SECONDS):
                return
            some = todo[start : start + at_once]
            shapes = ", ".join(f"{planned.cell.architecture} ({planned.cell.framework})" for _, planned in some)
            note = f"measuring time and memory of {shapes} alone, {start + len(some)} of {len(todo)}"
            course.tell(self.seconds_left, note)
            began, seed = time.monotonic(), self.plan.study.seeds[0]
            found = probe_alone(
                [(planned.program.engine, Run(planned.cell, seed), key) for key, planned in some],
                settings=self.settings, timeout=min(_PROBE_TIMEOUT, course.budget.left or _PROBE_TIMEOUT),
                stop=course.stop,
            )  # fmt: skip
            for key, _ in some:
                del self.to_measure[key]
            self.seconds_a_probe = (time.monotonic() - began) / len(some)
            for measurement in found:
                course.writer.add_measurement(measurement)
                course.on_event(measurement)

    def seconds_left(self) -> float:
        """Predicted seconds until all is done: what is left, shared by the processes, or the longest run under way.

        What is still to be measured alone comes on top.
        """
        now = time.monotonic()
        under_way = [(max(0.0, seconds - (now - begun)), share) for begun, seconds, share in self.active.values()]
        waiting = self.course.prices.total(priced for _, priced in self.waiting).value or 0.0
        work = sum(left * share for left, share in under_way) + waiting
        return (
            max([work / self.plan.workers, *(left for left, _ in under_way)])
            + len(self.to_measure) * self.seconds_a_probe
        )
