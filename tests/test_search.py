"""A search with real processes and a small real tuner. Run as a program, it is a search that may be killed."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mnistlab.asked import SearchAsked
from mnistlab.datasets import catalog
from mnistlab.engines.programs import program_of
from mnistlab.execution.local import Finished, Started
from mnistlab.execution.worker import WorkerSettings
from mnistlab.plan import cell_size
from mnistlab.price import Prices
from mnistlab.search import conduct_search
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.stop import Budget, Stop, stop_on_signals
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Space, Study
from mnistlab.tuning import Batch, Halving

RATES = (0.003, 0.0003, 0.01, 0.0001, 0.001, 0.03)
RUNGS = (2, 4)
STUDY = Study("search", (), (FRESH_SEEDS, FRESH_SEEDS + 1), asked=SearchAsked(Space("search", ())))
LONG = Training(epochs=8, batch_size=50)


def cells_of(framework, training=LONG):
    return [Cell(Architecture((16,)), dataset="digits", framework=framework,
                 training=replace(training, learning_rate=rate)) for rate in RATES]  # fmt: skip


class SmallTuner:
    """Asks for four cells, then for two with what the four had at the rungs, then for two fresh seeds of the best."""

    def __init__(self, cells):
        self.cells, self.heard, self.curves, self.asked = cells, {}, {}, []
        self.batches = [self.first, self.second, self.confirmation]

    def first(self):
        runs = tuple(Run(cell, SEARCH_SEEDS) for cell in self.cells[:4])
        return Batch(runs, "search", Halving(2, tuple((rung, ()) for rung in RUNGS)))

    def second(self):
        rungs = tuple((rung, tuple(c[rung - 1] for c in self.curves.values() if len(c) >= rung)) for rung in RUNGS)
        return Batch(tuple(Run(cell, SEARCH_SEEDS) for cell in self.cells[4:]), "search", Halving(2, rungs))

    def confirmation(self):
        trained = {run: r.validation.accuracy for run, r in self.heard.items() if r.stopped_by == "epochs"}
        return Batch(tuple(Run(max(trained, key=trained.get).cell, seed) for seed in STUDY.seeds), "fresh")

    def next(self, fits):
        if self.asked and not {run for batch in self.asked for run in batch.runs} <= set(self.heard):
            return None
        if len(self.asked) == len(self.batches):
            return None
        batch = self.batches[len(self.asked)]()
        if not fits(batch.runs):
            return None
        self.asked.append(batch)
        return batch

    def take(self, run, curve, result):
        assert run not in self.heard
        self.heard[run], self.curves[run] = result, curve


def search(path, tuner, *, budget=None, stop=None, engine="auto", on_event=lambda _: None, workers=2):
    """One call, and what it told of its progress."""
    told = []
    with open_writer(path, holder="test") as writer:
        summary = conduct_search(
            tuner, STUDY, writer, Prices(), sizes_of=lambda cell: cell_size(cell, catalog.info("digits")),
            program_of=lambda cell, n_steps, seed: program_of(engine, cell, n_steps, seed, "cpu"),
            settings=WorkerSettings(path.parent), budget=Budget(budget, time.monotonic()), stop=stop or Stop(),
            workers=workers, on_progress=told.append, on_event=on_event,
        )  # fmt: skip
    return summary, told


def stored(path):
    """By run, all that the store says of what has ended but its times."""
    names = "cell, seed, status, attempt, epochs_done, stopped_by, weights_sha256"
    with closing(sqlite3.connect(path)) as shell:
        rows = shell.execute(f"SELECT id, {names} FROM run WHERE status IN ('done', 'diverged')").fetchall()
    return {id_: tuple(rest) for id_, *rest in rows}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A search of scikit-learn cells in one process that nobody disturbs, and its tuner."""
    path, tuner = tmp_path_factory.mktemp("undisturbed") / "lab.sqlite", SmallTuner(cells_of("sklearn"))
    summary, told = search(path, tuner, workers=1)
    return path, tuner, summary, told


def check_complete(path):
    """Six trials that were tested nowhere, two fresh seeds of one cell that were, none trained twice."""
    store = open_store(path)
    trials, fresh = store.trials("search"), store.runs("search")
    assert len(trials) == 6
    assert {*trials["stopped_by"]} == {"epochs", "halving"}
    assert fresh["seed"].tolist() == list(STUDY.seeds)
    assert fresh["cell"].nunique() == 1
    assert {*fresh["status"]} == {"done"}
    assert (fresh["test_accuracy"] > 0.3).all()
    whole = trials[trials["stopped_by"] == "epochs"]
    assert whole.set_index("cell")["validation_accuracy"].idxmax() == fresh["cell"].iloc[0]
    assert all(detail.result.test is None for detail in map(store.run_detail, trials["run"]))
    assert Counter(store.statuses("search").values()) == {"done": 8}


@pytest.mark.ci
def test_a_search_trains_what_its_tuner_asks_for(undisturbed):
    path, tuner, summary, told = undisturbed
    check_complete(path)
    assert (summary.done, summary.to_do, summary.failed, summary.stopped, summary.exit_status) == (8, 0, 0, None, 0)
    assert {run.id for run in tuner.heard} == set(stored(path))
    assert all(len(tuner.curves[run]) == result.epochs_done for run, result in tuner.heard.items())
    assert open_store(path).asked("search") == STUDY.asked
    assert told[-1].total >= told[-1].done > 0
    assert told[-1].best_label in {cell.label for cell in tuner.cells}
    assert [attempt for _, _, _, attempt, *_ in stored(path).values()] == [1] * 8


@pytest.mark.ci
def test_those_of_a_batch_that_end_stand_at_the_rungs_of_those_that_begin_later(undisturbed):
    """Here every run is a group of its own: the slow second falls behind the quick first all the same."""
    _, tuner, *_ = undisturbed
    curves = [tuner.curves[run] for run in tuner.asked[0].runs]
    assert len(curves[0]) == 8
    assert len(curves[1]) == RUNGS[0]
    assert curves[1][1] < curves[0][1]


@pytest.mark.ci
def test_what_is_stored_is_told_and_not_trained_again(undisturbed, tmp_path):
    path, before, *_ = undisturbed
    again, events = SmallTuner(cells_of("sklearn")), []
    rows = stored(path)
    summary, _ = search(path, again, on_event=events.append)
    assert (events, stored(path)) == ([], rows)
    assert {run: r.weights_sha256 for run, r in again.heard.items()} == {
        run: r.weights_sha256 for run, r in before.heard.items()
    }
    assert again.curves == before.curves
    assert (summary.done, summary.to_do, summary.stopped) == (8, 0, None)


@pytest.mark.ci
def test_a_cohort_is_halved_and_a_killed_process_changes_nothing(tmp_path):
    found = []
    for killed_at in (None, 1, 3):
        path, tuner, seen = tmp_path / f"{killed_at}.sqlite", SmallTuner(cells_of("keras")), []

        def kill(event, killed_at=killed_at, seen=seen):
            if isinstance(event, Finished):
                seen.append(event.result)
                if len(seen) == killed_at:
                    kill_workers()

        search(path, tuner, on_event=kill)
        check_complete(path)
        assert len(seen) == 8
        found.append({id_: (cell, *rest) for id_, (cell, _, _, _, *rest) in stored(path).items()})
    assert found[0] == found[1] == found[2]


@pytest.mark.ci
def test_a_stop_keeps_what_has_ended_and_the_next_call_goes_on(tmp_path):
    path, stop, begun = tmp_path / "lab.sqlite", Stop(), []

    def interrupt(event):
        if isinstance(event, Finished) and len(begun) >= 2:
            stop.signal_number = 2
        begun.extend([event] if isinstance(event, Started) else [])

    summary, _ = search(path, SmallTuner(cells_of("sklearn")), stop=stop, on_event=interrupt)
    assert (summary.stopped, summary.exit_status) == ("interrupted", 130)
    before = stored(path)
    assert 0 < len(before) < 8
    summary, _ = search(path, SmallTuner(cells_of("sklearn")))
    assert before.items() <= stored(path).items()
    assert (summary.done, summary.stopped) == (8, None)
    check_complete(path)


def test_nothing_is_begun_that_the_budget_has_no_room_for(tmp_path):
    path, tuner = tmp_path / "lab.sqlite", SmallTuner(cells_of("sklearn", Training(epochs=10**6)))
    summary, _ = search(path, tuner, budget=30.0)
    assert (summary.done, summary.to_do, summary.stopped) == (0, 0, "budget")
    assert open_store(path).statuses() == {}


@pytest.mark.ci
def test_what_an_earlier_call_asked_for_in_vain_leaves_the_study(tmp_path):
    path, cells = tmp_path / "lab.sqlite", cells_of("sklearn")
    sizes = {cell.id: cell_size(cell, catalog.info("digits")) for cell in cells}
    with open_writer(path, holder="test") as writer:
        abandoned = [Run(cells[0], SEARCH_SEEDS + 5), Run(cells[1], SEARCH_SEEDS + 5)]
        writer.register_study(replace(STUDY, cells=tuple(cells[:2])), sizes, abandoned, "search")
    summary, _ = search(path, SmallTuner(cells))
    assert summary.to_do == 0
    check_complete(path)


def kill_workers():
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()


@pytest.mark.ci
def test_a_search_killed_at_random_moments_loses_and_repeats_nothing(tmp_path, undisturbed):
    path, moments, kills = tmp_path / "lab.sqlite", random.Random(8), 0
    before = {}
    while True:
        process = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True,
                                   start_new_session=True)  # fmt: skip
        try:
            out, _ = process.communicate(timeout=1.5 + 3 * moments.random() if kills < 8 else 300)
        except subprocess.TimeoutExpired:
            kill = os.killpg if kills % 2 else os.kill  # with its workers, or without
            kill(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
            kills += 1
        after = stored(path) if path.exists() else {}
        assert before.items() <= after.items()
        before = after
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills > 1
    assert json.loads(out) == {"done": 8, "to_do": 0, "stopped": None}
    check_complete(path)


if __name__ == "__main__":
    with stop_on_signals() as asked:
        ended, _ = search(Path(sys.argv[1]), SmallTuner(cells_of("sklearn")), stop=asked)
    sys.stdout.write(json.dumps({"done": ended.done, "to_do": ended.to_do, "stopped": ended.stopped}))
