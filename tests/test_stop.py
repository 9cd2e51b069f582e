"""Signals and budgets: real signals, sent to this process or to one of its own."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.stop import Budget, stop_on_signals


@pytest.mark.parametrize(("number", "exit_status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_to_stop_and_the_old_handler_comes_back(number, exit_status):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert (stop.requested, stop.exit_status) == (False, 0)
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.exit_status) == (True, exit_status)
    assert signal.getsignal(number) is before


def test_the_second_signal_ends_the_process_at_once():
    program = """
import os, signal
from mnistlab.stop import stop_on_signals
with stop_on_signals():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "")


def test_outside_the_main_thread_signals_stay_with_their_owner():
    asked = []

    def use():
        with stop_on_signals() as stop:
            asked.append(stop.requested)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert asked == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_started_while_interrupts_are_blocked_never_sees_one():
    # The lock starts multiprocessing's resource tracker, which unblocks the signal where it has to be started.
    program = """
import multiprocessing, signal, subprocess, sys
from mnistlab.stop import interrupts_blocked
show = [sys.executable, "-c", "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, []))"]
with interrupts_blocked():
    lock = multiprocessing.get_context("spawn").RLock()
    subprocess.run(show, check=True)
print(*signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["2", ""]


def test_without_a_limit_everything_is_allowed_and_nothing_overdrawn():
    budget = Budget(None, time.monotonic())
    assert budget.left is None
    assert budget.allows(1e12)
    assert not budget.overdrawn


@given(seconds=st.floats(1, 1e6), elapsed=st.floats(0, 2), predicted=st.floats(0, 2))
def test_a_budget_allows_what_ends_in_time_and_is_overdrawn_a_tenth_past_its_end(seconds, elapsed, predicted):
    budget = Budget(seconds, time.monotonic() - elapsed * seconds)
    near = 0.1  # seconds this test may take between two lines
    if abs(elapsed + predicted - 1) * seconds > near:
        assert budget.allows(predicted * seconds) == (elapsed + predicted < 1)
    if abs(elapsed - 1.1) * seconds > near:
        assert budget.overdrawn == (elapsed > 1.1)
