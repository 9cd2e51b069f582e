"""A study whose networks fail in every way, and studies that a budget cuts short: statuses, reasons, exit status."""

import json
import time
from dataclasses import replace

import pytest

from mnistlab.conduct import conduct
from mnistlab.datasets import catalog
from mnistlab.engines.programs import Program
from mnistlab.execution.worker import WorkerSettings
from mnistlab.plan import architecture_key, cell_size, make_plan, work_of
from mnistlab.price import Prices
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.stop import Budget, Stop
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study

GOOD = Training(epochs=2)
DIVERGING = Training(epochs=2, optimizer="sgd", learning_rate=999.0, l2=10.0)
ENDLESS = Training(epochs=1_000_000)


def cell(width, training):
    return Cell(Architecture((width,)), dataset="digits", framework="sklearn", training=training)


def conducted(
    path, cells, *, budget=None, prices=None, unknown_engine=(), timeouts=None, told=None, measured=None, progress=None
):
    """Plan and conduct a study of one seed in one process; probes are left out unless `measured` says otherwise."""
    study = Study("faulty", tuple(cells), (0,))
    sizes = {c.id: cell_size(c, catalog.info("digits")) for c in cells}
    prices = prices or Prices()
    measured = [architecture_key(c, sizes[c.id]) for c in cells] if measured is None else measured
    plan = make_plan(study, sizes=sizes, finished=open_store(path).finished(), measured=measured, prices=prices,
                     program_of=lambda c, *_: Program("nonesuch" if c in unknown_engine else "reference"),
                     workers=1)  # fmt: skip
    given = timeouts or {}
    rounds = [[replace(g, timeout_seconds=given.get(g.runs[0].cell, 600.0)) for g in groups] for groups in plan.rounds]
    plan = replace(plan, rounds=tuple(map(tuple, rounds)))
    with open_writer(path, holder="test") as writer:
        writer.register_study(study, sizes, [Run(c, 0) for c in cells])
        statuses = open_store(path).statuses("faulty")
        return conduct(plan, writer, prices, statuses={Run(c, 0).id: statuses[Run(c, 0).id] for c in cells},
                       settings=WorkerSettings(path.parent),
                       budget=budget or Budget(None, 0.0), stop=Stop(),
                       on_progress=[].append if progress is None else progress.append,
                       notify=[].append if told is None else told.append)  # fmt: skip


@pytest.mark.slow
def test_what_fails_is_kept_with_its_reason_and_the_study_goes_on(tmp_path):
    path = tmp_path / "lab.sqlite"
    good, diverging = cell(4, GOOD), cell(5, DIVERGING)
    unknown, endless = cell(6, GOOD), cell(7, ENDLESS)
    told = []
    summary = conducted(
        path, [good, diverging, unknown, endless], unknown_engine=[unknown], timeouts={endless: 1.5}, told=told
    )
    assert (summary.done, summary.failed, summary.diverged, summary.timeout) == (1, 1, 1, 1)
    assert (summary.to_do, summary.stopped, summary.exit_status) == (2, None, 6)
    assert sorted(line.partition(" ")[2].partition(" ")[2] for line in told) == [
        "diverged: loss or weights were not finite numbers in epoch 1", "failed: KeyError: 'nonesuch'",
        "timeout: no result after 1.5 s",
    ]  # fmt: skip
    store = open_store(path)
    found = {c: store.run_detail(Run(c, 0).id) for c in (good, diverging, unknown, endless)}
    assert [detail.status for detail in found.values()] == ["done", "diverged", "failed", "timeout"]
    assert [detail.result.reason for detail in found.values()] == [
        "", "loss or weights were not finite numbers in epoch 1", "KeyError: 'nonesuch'", "no result after 1.5 s",
    ]  # fmt: skip
    # What failed is tried again; what diverged is not, but the exit status still says that not all is well.
    again = conducted(path, [good, diverging, unknown, cell(8, DIVERGING)])
    assert (again.done, again.failed, again.diverged, again.exit_status) == (2, 0, 2, 6)
    assert [open_store(path).run_detail(Run(c, 0).id).attempt for c in (good, diverging, unknown)] == [1, 1, 2]


@pytest.mark.slow
def test_a_run_past_the_budget_is_stopped_and_done_again_the_next_time(tmp_path):
    path, endless, prices = tmp_path / "lab.sqlite", cell(4, ENDLESS), Prices()
    work = work_of(endless, cell_size(endless, catalog.info("digits")), Program("reference"))
    prices.observe(work, 0.001, 0.0, 0.001)  # a prediction that is far too low
    began = time.monotonic()
    for attempt in (1, 2):
        summary = conducted(path, [endless], budget=Budget(1.0, time.monotonic()), prices=prices)
        assert (summary.stopped, summary.to_do, summary.done, summary.exit_status) == ("budget", 1, 0, 0)
        detail = open_store(path).run_detail(Run(endless, 0).id)
        assert (detail.attempt, detail.result) == (attempt, None)
        assert open_store(path).studies()[0].done == 0
    assert time.monotonic() - began < 2 * 1.1 + 3


TWO_SIZES = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 1
[model]
layers = [[16]]
[training]
epochs = [2, 3, 1_000_000]
"""


@pytest.mark.slow
def test_what_the_budget_has_no_room_for_is_not_started_and_said(new_lab):
    lab = new_lab(TWO_SIZES)
    began = time.monotonic()
    out, _ = lab.call("run", "small.toml", "--budget", "60s", "--json")
    assert time.monotonic() - began < 60
    summary = json.loads(out)
    assert (summary["done"], summary["to_do"], summary["failed"], summary["stopped"]) == (2, 1, 0, "budget")
    assert [(r.status, r.attempt) for r in sorted(lab.runs().values(), key=lambda r: r.epochs_asked)] == [
        ("done", 1), ("done", 1), ("planned", 0),
    ]  # fmt: skip
    out, _ = lab.call("run", "small.toml", "--budget", "1s")
    assert "2 of 3 runs finished and kept; the budget left 1 to do; `mnistlab run small.toml` goes on" in out
    assert lab.attempts() == 2


@pytest.mark.slow
def test_the_time_left_counts_what_is_still_to_be_measured(tmp_path):
    with_probe, without = [], []
    conducted(tmp_path / "a.sqlite", [cell(4, GOOD)], measured=(), progress=with_probe)
    conducted(tmp_path / "b.sqlite", [cell(4, GOOD)], progress=without)
    assert with_probe[0].eta_seconds == pytest.approx(without[0].eta_seconds + Prices().probe_seconds, abs=1)
    assert [state.note != "" for state in with_probe] == [*[False] * (len(with_probe) - 1), True]
