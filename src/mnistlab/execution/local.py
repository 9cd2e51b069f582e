"""Groups of runs on this machine's cores: spawned worker processes, fed one group at a time.

The loop asks a function for the next group whenever a process is free, so the caller decides what comes next from what
has come back so far. It yields events in the order they happen; the caller commits results between two of them.
"""

import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, Listener
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from mnistlab.execution import worker
from mnistlab.execution.stop import Budget, Stop, interrupts_blocked
from mnistlab.execution.worker import WorkerSettings
from mnistlab.instruments.resources import oom_kills
from mnistlab.plan import Group
from mnistlab.records import Measurement, RunResult
from mnistlab.spec import Run

# Keras keeps 4 to 5 MB of every model it built: a process is replaced after so many groups.
_GROUPS_PER_PROCESS = 25
_ATTEMPTS = 2
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Started:
    """A group was handed to a process."""

    group: Group


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """A run has finished an epoch."""

    run_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A run is over, well or not."""

    result: RunResult


Event = Started | EpochEnded | Finished
NextGroup = Callable[[Budget], Group | None]


@dataclass(slots=True)
class _State:
    """What is under way: handed-out groups by number, runs without a result, how often each was tried."""

    inbox: "queue.SimpleQueue[tuple[Any, ...]]"
    active: dict[int, Group] = field(default_factory=dict)
    waiting: dict[str, Run] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    again: list[Group] = field(default_factory=list)
    handed_out: int = 0


def execute(
    next_group: NextGroup, *, workers: int, settings: WorkerSettings, budget: Budget, stop: Stop
) -> Iterator[Event]:
    """Train groups until `next_group` gives none and nothing is under way, or the stop or the budget ends it.

    Parameters
    ----------
    next_group : callable
        Takes the budget; returns a group that still fits into it, or None when there is none at the moment.
    workers : int
        Processes, each of `settings.threads` threads.
    settings : WorkerSettings
    budget : Budget
        A group still running a tenth past its end is stopped; its runs have no result.
    stop : Stop
        Looked at several times a second; once requested, processes are ended and the runs in flight have no result.

    Yields
    ------
    Started, EpochEnded, Finished
        A process that dies loses its own group alone, which is tried once more; after that its runs are `failed`.
    """
    state = _State(queue.SimpleQueue())
    kills = oom_kills()
    with _listening(state.inbox) as (address, authkey):
        pool = ProcessPool(
            max_workers=workers, max_tasks=_GROUPS_PER_PROCESS, context=get_context("spawn"),
            initializer=worker.initialize, initargs=(replace(settings, address=address, authkey=authkey),),
        )  # fmt: skip
        try:
            while not stop.requested and not budget.overdrawn:
                while len(state.active) < workers and (group := _next(state, next_group, budget)) is not None:
                    _hand_out(pool, state, group)
                    yield Started(group)
                if not state.active and not state.waiting:
                    break
                yield from _receive(state, settings, kills)
            yield from _drain(state)
        finally:
            pool.stop()
            pool.join()


def probe_alone(
    engine: str, run: Run, architecture_key: str, *, settings: WorkerSettings, timeout: float, stop: Stop
) -> Measurement | None:
    """Measure one architecture in a fresh process; None when that died, was stopped or took over `timeout` seconds.

    The caller sees to it that nothing else is being trained meanwhile.
    """
    with interrupts_blocked():
        pool = ProcessPool(1, max_tasks=1, context=get_context("spawn"), initializer=worker.initialize,
                           initargs=(settings,))  # fmt: skip
        future: ProcessFuture = pool.schedule(worker.probe, args=(engine, run, architecture_key), timeout=timeout)
    try:
        while not stop.requested:
            with suppress(FutureTimeoutError):
                return future.result(timeout=_POLL_SECONDS) if not future.done() else _outcome(future)
        return None
    finally:
        pool.stop()
        pool.join()


def _outcome(future: ProcessFuture) -> Measurement | None:
    try:
        measured: Measurement = future.result()
    except (FutureTimeoutError, ProcessExpired):
        return None
    return measured


def _next(state: _State, next_group: NextGroup, budget: Budget) -> Group | None:
    return state.again.pop() if state.again else next_group(budget)


def _hand_out(pool: ProcessPool, state: _State, group: Group) -> None:
    state.handed_out += 1
    number = state.handed_out
    state.active[number] = group
    for run in group.runs:
        state.waiting[run.id] = run
        state.attempts[run.id] = state.attempts.get(run.id, 0) + 1
    with interrupts_blocked():
        future = pool.schedule(worker.train_group, args=(group.engine, group.runs), timeout=group.timeout_seconds)
    future.add_done_callback(lambda done: state.inbox.put(("ended", number, done)))


def _receive(state: _State, settings: WorkerSettings, kills: int) -> Iterator[Event]:
    try:
        kind, *content = state.inbox.get(timeout=_POLL_SECONDS)
    except queue.Empty:
        return
    if kind == "ended":
        number, future = content
        group = state.active.pop(number)
        fault = future.exception()
        if fault is not None:
            yield from _drain(state)
            yield from _after_fault(state, group, fault, settings, kills)
    else:
        yield from _event(state, kind, content)


def _event(state: _State, kind: str, content: list[Any]) -> Iterator[Event]:
    if kind == "epoch":
        yield EpochEnded(*content)
    elif content[0].run.id in state.waiting:
        del state.waiting[content[0].run.id]
        yield Finished(content[0])


def _drain(state: _State) -> Iterator[Event]:
    """Results that have arrived already; group ends are put back."""
    ended = []
    with suppress(queue.Empty):
        while True:
            kind, *content = state.inbox.get_nowait()
            if kind == "ended":
                ended.append((kind, *content))
            else:
                yield from _event(state, kind, content)
    for message in ended:
        state.inbox.put(message)


def _after_fault(
    state: _State, group: Group, fault: BaseException, settings: WorkerSettings, kills: int
) -> Iterator[Event]:
    runs = tuple(run for run in group.runs if run.id in state.waiting)
    timed_out = isinstance(fault, FutureTimeoutError)
    if runs and not timed_out and all(state.attempts[run.id] < _ATTEMPTS for run in runs):
        state.again.append(replace(group, runs=runs))
        return
    failed = partial(worker.failed_result, engine=group.engine, settings=settings)
    for run in runs:
        del state.waiting[run.id]
        if timed_out:
            reason = f"no result after {group.timeout_seconds:.0f} s"
            yield Finished(failed(run, reason=reason, status="timeout"))
        else:
            yield Finished(failed(run, reason=_why_died(fault, kills)))


def _why_died(fault: BaseException, kills: int) -> str:
    if oom_kills() > kills:
        return "out of memory: the system ended its process"
    if isinstance(fault, ProcessExpired):
        how = f"by signal {-fault.exitcode}" if fault.exitcode < 0 else f"with status {fault.exitcode}"
        return f"its process ended {how}, twice"
    return f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:300]


@contextmanager
def _listening(inbox: "queue.SimpleQueue[tuple[Any, ...]]") -> Iterator[tuple[str, bytes]]:
    """Accept a line from every worker and put what it says into the inbox."""
    authkey = secrets.token_bytes(32)
    listener = Listener(authkey=authkey, backlog=os.cpu_count() or 1)
    closing = threading.Event()

    def read(line: Connection) -> None:
        with line, suppress(EOFError, OSError):
            while True:
                inbox.put(line.recv())

    def accept() -> None:
        while not closing.is_set():
            # A worker killed while it says hello breaks only its own line.
            with suppress(OSError, EOFError):
                line = listener.accept()
                threading.Thread(target=read, args=(line,), daemon=True).start()

    with interrupts_blocked():
        threading.Thread(target=accept, daemon=True, name="accept workers").start()
    try:
        yield str(listener.address), authkey
    finally:
        closing.set()
        listener.close()
