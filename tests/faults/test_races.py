"""Two `run` on one store, and readers beside them."""

import signal
import subprocess
import time
from contextlib import suppress

import pytest


def long_study(lab):
    """So many seeds that the study still runs when the readers are done."""
    study = lab.home / "small.toml"
    study.write_text(study.read_text().replace("seeds = 1\n", "seeds = 50\n"))
    return lab


@pytest.mark.slow
def test_a_second_run_says_who_holds_the_store_and_sigterm_keeps_what_finished(new_lab, processes):
    lab = long_study(new_lab())
    first = lab.start("run", "small.toml")
    processes.wait_until(lab.runs, first)
    _, err = lab.call("run", "small.toml", exit_status=4)
    assert err.startswith("mnistlab: error: ")
    assert f"process {first.pid}, mnistlab run small, is writing to it" in err
    assert err.count("\n") == 1
    processes.wait_until(lab.weights, first)
    lab.results()  # a reader is let in all the while
    assert first.poll() is None
    finished = lab.done()
    asked = time.monotonic()
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate()
    assert time.monotonic() - asked < 5
    assert first.returncode == 143
    assert "Traceback" not in err
    assert f"of {len(lab.runs())} runs finished and kept; `mnistlab run small.toml` goes on" in out
    assert 0 < finished <= lab.done() < len(lab.runs())
    assert max(run.attempt for run in lab.runs().values()) == 1


@pytest.mark.slow
def test_of_two_runs_begun_at_once_one_goes_on(new_lab):
    lab = long_study(new_lab())
    both = {process.pid: process for process in (lab.start("run", "small.toml") for _ in range(2))}
    while all(process.poll() is None for process in both.values()):
        with suppress(subprocess.TimeoutExpired):
            next(iter(both.values())).wait(0.02)
    loser = next(process for process in both.values() if process.poll() is not None)
    [winner] = [process for process in both.values() if process is not loser]
    assert (loser.returncode, loser.communicate()[1].count("is writing to it")) == (4, 1)
    winner.send_signal(signal.SIGTERM)
    winner.communicate()
    assert winner.returncode == 143
    assert max(run.attempt for run in lab.runs().values()) == 1
