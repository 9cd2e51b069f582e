"""Real processes, fed with groups: what trains well, what fails in every way, what is stopped."""

import os
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace

import psutil
import pytest

from mnistlab.analysis.estimate import Estimate
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.errors import MachineError
from mnistlab.execution.local import EpochEnded, Finished, Started, execute, is_worn_out, probe_alone
from mnistlab.execution.worker import WorkerSettings
from mnistlab.plan import Group
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.stop import Budget, Stop

NO_LIMIT = Budget(None, 0.0)
ENDLESS = Training(epochs=1_000_000)


def group(*, width=4, engine="reference", framework="sklearn", timeout=600.0, seconds=0.1, **training):
    given = training.pop("training", None) or Training(**{"epochs": 2, **training})
    cell = Cell(Architecture((width,)), dataset="digits", framework=framework, training=given)
    return Group(Program(engine), (Run(cell, 0),), Estimate(seconds, None, None, None, 0, "prediction"), timeout)


def events_of(groups, tmp_path, *, workers=1, budget=NO_LIMIT, stop=None, compiled_dir=None):
    """A generator that must be closed."""
    todo, settings = list(groups), WorkerSettings(tmp_path, compiled_dir=compiled_dir)
    return execute(lambda _: todo.pop(0) if todo else None, workers=workers, settings=settings,
                   budget=budget, stop=stop or Stop())  # fmt: skip


def outcomes(events):
    return {event.result.run.id: event.result for event in events if isinstance(event, Finished)}


def children():
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it may end while we look
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_nothing_to_do_starts_no_process(tmp_path):
    assert list(events_of([], tmp_path)) == []
    assert children() == []


@pytest.mark.parametrize(("grown", "worn_out"), [(1.0, False), (1.19, False), (1.21, True)])
def test_a_process_is_worn_out_when_it_has_grown_since_its_tenth_group(grown, worn_out):
    settling = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    assert not any(is_worn_out(settling[:n]) for n in range(11))
    assert is_worn_out([*settling, 1000, int(1000 * grown)]) == worn_out


@pytest.mark.long
def test_processes_that_have_grown_are_replaced_and_no_group_is_lost(tmp_path):
    """Keras keeps 4 to 5 MB of every model that `Model.fit` has trained."""
    groups = [group(width=width, epochs=1, framework="keras") for width in range(1, 121)]
    used, found = set(), []
    with closing(events_of(groups, tmp_path, workers=2)) as events:
        for event in events:
            used.update(child.pid for child in children())
            if isinstance(event, Finished):
                found.append(event.result.run.id)
    assert sorted(found) == sorted(g.runs[0].id for g in groups)
    assert len(used) > 2
    assert children() == []


@pytest.mark.ci
def test_compiled_programs_that_cannot_be_kept_or_read_change_no_bit_and_say_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")

    def bits(compiled_dir):
        cohort = replace(group(framework="keras"), program=Program("population", SEEDS_OF_ONE_CELL, 2))
        with closing(events_of([cohort], tmp_path, compiled_dir=compiled_dir)) as events:
            [result] = outcomes(events).values()
        return result.weights_sha256

    kept, no_folder = tmp_path / "kept", tmp_path / "a file"
    no_folder.touch()
    expected = bits(kept)
    assert bits(no_folder) == expected
    programs = {*kept.rglob("*-cache")}
    assert programs
    assert bits(kept) == expected
    assert {*kept.rglob("*-cache")} == programs  # those that were there served
    for path in programs:
        path.write_bytes(path.read_bytes()[:-100])
    assert bits(kept) == expected
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("stopped", [False, True])
def test_no_thread_outlives_the_processes(tmp_path, stopped):
    before, stop = set(threading.enumerate()), Stop()
    with closing(events_of([group(), group(width=5)], tmp_path, workers=2, stop=stop)) as events:
        for _ in events:
            stop.signal_number = 2 if stopped else None
    assert set(threading.enumerate()) == before


@pytest.mark.slow
def test_whatever_becomes_of_a_group_the_others_are_trained(tmp_path):
    groups = {
        "good": group(),
        "unknown engine": group(width=5, engine="nonesuch"),
        "too long": group(width=7, timeout=0.5, training=ENDLESS),
        "good again": group(width=8),
    }
    events = list(events_of(groups.values(), tmp_path))
    found = outcomes(events)
    results = {name: found[group.runs[0].id] for name, group in groups.items()}
    assert {name: result.status for name, result in results.items()} == {
        "good": "done", "unknown engine": "failed", "too long": "timeout", "good again": "done",
    }  # fmt: skip
    assert results["unknown engine"].reason == "KeyError: 'nonesuch'"
    assert results["too long"].reason == "no result after 0.5 s"
    assert [event.group for event in events if isinstance(event, Started)] == list(groups.values())
    epochs = Counter(event.run_id for event in events if isinstance(event, EpochEnded))
    assert epochs[groups["good"].runs[0].id] == epochs[groups["good again"].runs[0].id] == 2
    assert children() == []


def test_a_process_killed_before_it_begins_is_replaced(tmp_path):
    killed = 0
    with closing(events_of([group(engine="nonesuch")], tmp_path)) as events:
        for event in events:
            if isinstance(event, Started) and not killed:
                [child] = children()
                child.kill()
                killed += 1
            elif isinstance(event, Finished):
                assert event.result.reason == "KeyError: 'nonesuch'"  # by the second process
    assert isinstance(event, Finished)
    assert children() == []


def test_two_processes_killed_before_they_begin_fail_the_run_alone(tmp_path):
    unlucky, other = group(engine="nonesuch"), group(width=5, engine="nonesuch")
    found = {}
    with closing(events_of([unlucky, other], tmp_path)) as events:
        for event in events:
            if isinstance(event, Started) and event.group == unlucky:
                [child] = children()
                child.kill()
            elif isinstance(event, Finished):
                found[event.result.run.id] = event.result.reason
    assert found == {
        unlucky.runs[0].id: "its process ended before it could begin, twice", other.runs[0].id: "KeyError: 'nonesuch'",
    }  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_ends_the_processes_and_yields_nothing_half_done(tmp_path, workers):
    stop = Stop()
    with closing(events_of([group(width=w, training=ENDLESS) for w in (4, 5)], tmp_path, workers=workers,
                           stop=stop)) as events:  # fmt: skip
        assert isinstance(next(events), Started)
        stop.signal_number = 2
        began = time.monotonic()
        assert not outcomes(events)
    assert time.monotonic() - began < 3
    assert children() == []


@pytest.mark.slow
def test_a_run_ten_percent_past_the_budget_is_stopped_without_a_result(tmp_path):
    began = time.monotonic()
    with closing(events_of([group(training=ENDLESS)], tmp_path, budget=Budget(2.0, began))) as events:
        assert not outcomes(events)
    assert 2.2 <= time.monotonic() - began < 4
    assert children() == []


def test_what_died_is_not_begun_again_past_the_budget(tmp_path):
    costly = group(engine="nonesuch", seconds=1e6)
    with closing(events_of([costly], tmp_path, budget=Budget(60.0, time.monotonic()))) as events:
        started = next(events)
        [child] = children()
        child.kill()
        assert (started, list(events)) == (Started(costly), [])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "population"])
def test_a_machine_whose_jax_computes_wrongly_ends_the_study(tmp_path, monkeypatch, engine):
    """Planted by what Python imports at its start: no difference from NumPy is small enough."""
    planted = "import mnistlab.engines.canary as canary; canary._TOLERANCE = -1"
    (tmp_path / "sitecustomize.py").write_text(planted)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    groups = [group(engine=engine, framework="keras", width=width) for width in (4, 5)]
    with closing(events_of(groups, tmp_path)) as events, pytest.raises(MachineError, match="computes wrongly here"):
        list(events)
    assert children() == []


@pytest.mark.parametrize("fault", ["unknown engine", "killed"])
def test_a_probe_that_fails_measures_nothing(tmp_path, fault):
    [run] = group().runs
    stop = Stop() if fault == "unknown engine" else KillOnFirstLook()
    probes = [("nonesuch", run, "key"), ("reference", run, "other key")][: 1 + (fault == "unknown engine")]
    found = probe_alone(probes, settings=WorkerSettings(tmp_path), timeout=60, stop=stop)
    assert [measurement.architecture_key for measurement in found] == ["other key"] * (len(probes) - 1)
    assert children() == []


class KillOnFirstLook(Stop):
    """A stop nobody asked for; who looks at it first loses his process."""

    __slots__ = ("looked",)

    @property
    def requested(self):
        if not hasattr(self, "looked"):
            self.looked = True
            [child] = children()
            child.kill()
        return False
