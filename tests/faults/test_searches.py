"""SIGKILL at random moments of a search: what finished is kept, nothing is trained twice, the winner is confirmed."""

import json
import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing

import pytest

from mnistlab.seeds import FRESH_SEEDS, first_search_seed

SPACE = """
name = "small"
dataset = "digits"
[model]
node_counts = [8, 16]
dropout = [0.0, 0.2]
[training]
epochs = 9
learning_rate = [0.001, 0.003, 0.01, 0.03]
"""
TUNE = ("tune", "--space", "small.toml", "--trials", "12", "--sampler", "random", "--json")
# Later than its first processes train, sooner than it ends; where it did end, it is begun anew.
LATEST_SECONDS = 15


def stored(lab):
    """Run id → all that a run has in the store, of those that have ended."""
    if not lab.store.exists():
        return {}
    with closing(sqlite3.connect(lab.store)) as shell:
        if not shell.execute("PRAGMA user_version").fetchone()[0]:
            return {}
        rows = shell.execute("SELECT id, attempt, finished_at, stopped_by, weights_sha256 FROM run "
                             "WHERE status IN ('done', 'diverged')").fetchall()  # fmt: skip
    return {id_: rest for id_, *rest in rows}


def check_killed(new_lab, n_kills, moments, processes):
    """Kill searches so often, going on with each until it ends; then it is complete, and the next one begins."""
    lab, kills, workers = new_lab(SPACE), 0, []
    while kills < n_kills:
        before, search = stored(lab), lab.start(*TUNE)
        try:
            search.wait(moments.uniform(0.5, LATEST_SECONDS))
        except subprocess.TimeoutExpired:
            workers += processes.workers_of(search.pid)
            if moments.random() < 0.5:
                search.kill()
            else:
                os.killpg(search.pid, signal.SIGKILL)
            kills += 1
        search.communicate()
        assert search.returncode in (0, -signal.SIGKILL)
        assert stored(lab).items() >= before.items()
        if search.returncode == 0:
            check_complete(lab, json.loads(lab.call(*TUNE)[0]))
            lab = new_lab(SPACE)
    assert all(processes.ends_within(worker, 10) for worker in workers)
    check_complete(lab, json.loads(lab.call(*TUNE)[0]))


def check_complete(lab, found):
    assert (found["trials"], found["stopped"]) == (12, None)
    winner = found["winner"]
    assert winner["accuracy"]["n"] == winner["fresh_validation_accuracy"]["n"] == 5
    assert winner["accuracy"]["kind"] == "crossed"
    with closing(sqlite3.connect(lab.store)) as shell:
        runs = shell.execute("SELECT run.cell, seed, role, status FROM run JOIN study_run ON run = run.id").fetchall()
        tested = shell.execute("SELECT count(*) FROM prediction JOIN study_run USING (run) "
                               "WHERE role = 'search' AND part = 'test'").fetchone()[0]  # fmt: skip
        curves = shell.execute("SELECT count(*) FROM epoch JOIN study_run USING (run) "
                               "WHERE role = 'search' AND test_accuracy IS NOT NULL").fetchone()[0]  # fmt: skip
    assert max(Counter((cell, seed) for cell, seed, *_ in runs).values()) == 1
    assert len([cell for cell, seed, *_ in runs if seed == first_search_seed("tune-small")]) == 12
    fresh = [(cell, seed) for cell, seed, role, status in runs if role == "fresh" and status == "done"]
    assert sorted(fresh) == [(winner["cell"], FRESH_SEEDS + number) for number in range(5)]
    assert (tested, curves) == (0, 0)


@pytest.mark.ci
def test_three_kills_of_a_search_lose_nothing_and_repeat_nothing(new_lab, processes):
    check_killed(new_lab, 3, random.Random(8), processes)


@pytest.mark.long
def test_twenty_kills_of_searches_lose_nothing_and_repeat_nothing(new_lab, processes):
    check_killed(new_lab, 20, random.Random(80), processes)
