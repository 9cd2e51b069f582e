"""Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once. Time budgets."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, parent_process, resource_tracker
from types import FrameType


@dataclass(slots=True)
class Stop:
    """Whether somebody asked to stop, and by which signal."""

    signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """A signal has come."""
        return self.signal_number is not None

    @property
    def exit_status(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 when nobody asked."""
        return 128 + self.signal_number if self.signal_number is not None else 0


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """While inside, SIGINT and SIGTERM set `Stop`; a second one ends the process at once.

    Outside the main thread Python takes no signal handlers: there the caller's own handling stays as it is.
    """
    stop = Stop()

    def request(number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            os._exit(128 + number)
        stop.signal_number = number

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes and threads started inside never see Ctrl-C: the coordinator alone decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # begun by the first spawn, it would unblock the signal (before Python 3.12)
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def end_with_parent() -> None:
    """Let this spawned process end when the one that started it is gone, however that ended."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with coordinator").start()


@dataclass(frozen=True, slots=True)
class Budget:
    """Wall-clock seconds from `started` (a `time.monotonic` reading); None: no limit."""

    seconds: float | None
    started: float

    @property
    def left(self) -> float | None:
        """Seconds until it is spent, negative afterwards."""
        return None if self.seconds is None else self.seconds - (time.monotonic() - self.started)

    def allows(self, predicted_seconds: float) -> bool:
        """Whether something that takes so long would end in time."""
        return self.left is None or predicted_seconds <= self.left

    @property
    def overdrawn(self) -> bool:
        """A tenth past its end: what still runs is stopped and done again another time."""
        return self.seconds is not None and self.left is not None and self.left < -0.1 * self.seconds
