"""Groups of runs on this machine's cores: spawned worker processes, fed one group at a time.

The loop asks a function for the next group whenever a process is free, so the caller decides what comes next from what
has come back so far. It yields events in the order they happen; the caller commits results between two of them.
"""

import os
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import AuthenticationError, get_context
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from pebble import ProcessExpired, ProcessPool

from mnistlab.errors import MachineError
from mnistlab.execution import worker
from mnistlab.execution.worker import WorkerSettings
from mnistlab.instruments.resources import oom_kills
from mnistlab.plan import Group
from mnistlab.records import Measurement, RunResult
from mnistlab.spec import Run
from mnistlab.stop import Budget, Stop, interrupts_blocked

# Keras and JAX keep some of every model and program they have built: a process is replaced when it has grown so much
# since it was settled.
_SETTLED_GROUPS, _MOST_GROWTH = 10, 1.2
_ATTEMPTS = 2
_POLL_SECONDS = 0.2
_JOIN_SECONDS = 5.0


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
    """What is under way: handed-out groups by number, runs without a result, how often each was tried.

    Every process is a pool of its own. In a shared one a process killed while none has begun a group breaks the pool,
    and one killed while it holds the pool's lock stops the others.
    """

    settings: WorkerSettings
    inbox: "queue.SimpleQueue[tuple[Any, ...]]"
    idle: list[ProcessPool] = field(default_factory=list)
    active: dict[int, tuple[Group, ProcessPool]] = field(default_factory=dict)
    waiting: dict[str, Run] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    again: list[Group] = field(default_factory=list)
    sizes: dict[ProcessPool, list[int]] = field(default_factory=dict)  # resident bytes after each group
    handed_out: int = 0


def execute(
    next_group: NextGroup, *, workers: int, settings: WorkerSettings, budget: Budget, stop: Stop
) -> Generator[Event, None, None]:
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
        A process that dies loses its own group alone, of which what has no result is tried once more; after that these
        runs are `failed`. A group that is halved is trained whole again, since who goes on depends on all its runs.

    Raises
    ------
    MachineError
        A process found that this machine cannot be trusted to train.
    """
    kills, inbox = oom_kills(), queue.SimpleQueue[tuple[Any, ...]]()
    with _listening(inbox) as (address, authkey):
        state = _State(replace(settings, address=address, authkey=authkey), inbox)
        try:
            while not stop.requested and not budget.overdrawn:
                while len(state.active) < workers and (group := _next(state, next_group, budget)) is not None:
                    _hand_out(state, group)
                    yield Started(replace(group, runs=_open_runs(state, group)))
                if not state.active and not state.waiting:
                    break
                yield from _receive(state, budget, kills)
            yield from _drain(state)
        finally:
            _end([*state.idle, *(pool for _, pool in state.active.values())])


def probe_alone(
    probes: Sequence[tuple[str, Run, str]], *, settings: WorkerSettings, timeout: float, stop: Stop
) -> list[Measurement]:
    """Measure architectures, each in a fresh process: made ready side by side, measured one after the other.

    The caller sees to it that nothing else is being trained meanwhile.

    Parameters
    ----------
    probes : sequence of (str, Run, str)
        Engine, a run of the architecture, and the key of the architecture.
    settings : WorkerSettings
    timeout : float
        Seconds for making ready, and again for every measurement.
    stop : Stop

    Returns
    -------
    list of Measurement
        None of what failed, died, was stopped or took too long.
    """
    pools = [_new_pool(settings) for _ in probes]

    def awaited(futures: Sequence[Any]) -> list[bool]:
        while not stop.requested and wait(futures, _POLL_SECONDS).not_done:
            pass
        return [future.done() and not future.exception() for future in futures]

    try:
        with interrupts_blocked():
            beginning = [pool.schedule(worker.begin_probe, args=probe, timeout=timeout)
                         for pool, probe in zip(pools, probes, strict=True)]  # fmt: skip
        found = []
        for pool, ready in zip(pools, awaited(beginning), strict=True):
            if ready and not stop.requested:
                with interrupts_blocked():
                    measuring = pool.schedule(worker.end_probe, timeout=timeout)
                found += [measuring.result()] if awaited([measuring])[0] else []
        return found
    finally:
        _end(pools)


def _new_pool(settings: WorkerSettings) -> ProcessPool:
    """One process, started with its first group."""
    return ProcessPool(1, context=get_context("spawn"), initializer=worker.initialize, initargs=(settings,))


def _end(pools: Iterable[ProcessPool]) -> None:
    pools = list(pools)
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join()


def is_worn_out(resident_bytes: Sequence[int]) -> bool:
    """Whether a process should be replaced that had this much memory after each group it has trained."""
    return len(resident_bytes) > _SETTLED_GROUPS and (
        resident_bytes[-1] > _MOST_GROWTH * max(resident_bytes[:_SETTLED_GROUPS])
    )


def _next(state: _State, next_group: NextGroup, budget: Budget) -> Group | None:
    if state.again:
        return state.again.pop()
    group = next_group(budget)
    if group is not None:
        state.waiting |= {run.id: run for run in group.runs}
    return group


def _open_runs(state: _State, group: Group) -> tuple[Run, ...]:
    return tuple(run for run in group.runs if run.id in state.waiting)


def _hand_out(state: _State, group: Group) -> None:
    state.handed_out += 1
    number, pool = state.handed_out, _free_pool(state)
    state.active[number] = group, pool
    for run in _open_runs(state, group):
        state.attempts[run.id] = state.attempts.get(run.id, 0) + 1
    task = group.program, group.runs, group.role, group.halving
    with interrupts_blocked():
        future = pool.schedule(worker.train_group, args=task, timeout=group.timeout_seconds)
    future.add_done_callback(lambda done: state.inbox.put(("ended", number, done)))


def _free_pool(state: _State) -> ProcessPool:
    while state.idle:
        pool = state.idle.pop()
        if pool.active:
            return pool
        _end([pool])  # its process was killed while it had nothing to do
    return _new_pool(state.settings)


def _receive(state: _State, budget: Budget, kills: int) -> Iterator[Event]:
    try:
        kind, *content = state.inbox.get(timeout=_POLL_SECONDS)
    except queue.Empty:
        return
    if kind != "ended":
        yield from _event(state, kind, content)
        return
    number, future = content
    group, pool = state.active.pop(number)
    fault = future.exception()
    if isinstance(fault, MachineError):
        _end([pool])
        raise fault
    if fault is None:
        sizes = state.sizes.setdefault(pool, [])
        sizes.append(future.result())
        if is_worn_out(sizes):
            del state.sizes[pool]
            _end([pool])
        else:
            state.idle.append(pool)
    else:
        state.sizes.pop(pool, None)
        _end([pool])
        yield from _drain(state)
        yield from _after_fault(state, group, fault, budget, kills)


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


def _after_fault(state: _State, group: Group, fault: BaseException, budget: Budget, kills: int) -> Iterator[Event]:
    runs = _open_runs(state, group)
    timed_out = isinstance(fault, FutureTimeoutError)
    if runs and not timed_out and all(state.attempts[run.id] < _ATTEMPTS for run in runs):
        if budget.allows(group.seconds.value or 0.0):
            state.again.append(group if group.halving else replace(group, runs=runs))
        else:
            for run in runs:
                del state.waiting[run.id]
        return
    failed = partial(worker.failed_result, engine=group.program.engine, settings=state.settings)
    for run in runs:
        del state.waiting[run.id]
        if timed_out:
            reason = f"no result after {group.timeout_seconds:g} s"
            yield Finished(failed(run, reason=reason, status="timeout"))
        else:
            yield Finished(failed(run, reason=_why_died(fault, kills)))


def _why_died(fault: BaseException, kills: int) -> str:
    if isinstance(fault, BrokenProcessPool):
        return "its process ended before it could begin, twice"
    if not isinstance(fault, ProcessExpired):
        return f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:300]
    if fault.exitcode == -signal.SIGKILL and oom_kills() > kills:
        return "out of memory: the system ended its process"
    how = f"by signal {-fault.exitcode}" if fault.exitcode < 0 else f"with status {fault.exitcode}"
    return f"its process ended {how}, twice"


@contextmanager
def _listening(inbox: "queue.SimpleQueue[tuple[Any, ...]]") -> Iterator[tuple[str, bytes]]:
    """Accept a line from every worker and put what it says into the inbox."""
    authkey = secrets.token_bytes(32)
    listener = Listener(authkey=authkey, backlog=os.cpu_count() or 1)
    closing, threads = threading.Event(), list[threading.Thread]()

    def begin(what: Callable[..., None], *arguments: Any) -> None:
        threads.append(threading.Thread(target=what, args=arguments, daemon=True))
        threads[-1].start()

    def read(line: Connection) -> None:
        with line, suppress(EOFError, OSError):
            while True:
                inbox.put(line.recv())

    def accept() -> None:
        while not closing.is_set():
            # A worker killed while it says hello, or a stranger, breaks only its own line.
            with suppress(OSError, EOFError, AuthenticationError):
                begin(read, listener.accept())

    with interrupts_blocked():
        begin(accept)
    try:
        yield str(listener.address), authkey
    finally:
        closing.set()
        with suppress(OSError, EOFError, AuthenticationError):
            Client(listener.address, authkey=authkey).close()  # wakes the thread that waits in accept
        listener.close()
        for thread in threads:  # the workers are gone; a thread that wakes while Python ends would bring it down
            thread.join(_JOIN_SECONDS)
