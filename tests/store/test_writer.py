import json
import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlab.errors import StoreError
from mnistlab.records import EpochRecord, Evaluation, Ledger, PartLabels, RunResult
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study


def same_evaluation(one, other):
    if one is None or other is None:
        return one is other
    arrays = ("predicted", "bin_count", "bin_confidence", "bin_accuracy")
    numbers = ("log_loss", "brier", "macro_precision", "macro_recall", "macro_f1", "ece", "ece_floor")
    return (
        one.digits.id == other.digits.id
        and all(np.array_equal(getattr(one, a), getattr(other, a), equal_nan=a != "predicted") for a in arrays)
        and np.array_equal([getattr(one, n) for n in numbers], [getattr(other, n) for n in numbers], equal_nan=True)
    )


def same_result(one, other):
    parts = {"test", "validation"}
    names = [name for name in RunResult.__slots__ if name not in parts]
    return all(getattr(one, name) == getattr(other, name) for name in names) and all(
        same_evaluation(getattr(one, part), getattr(other, part)) for part in parts
    )


def test_what_a_run_left_behind_comes_back_as_it_was(example, path):
    result = example.result(example.runs[1])
    with open_writer(path, holder="test") as writer:
        example.register(writer)
        writer.start([result.run.id])
        assert writer.commit(result) == 1
    detail = open_store(path).run_detail(result.run.id)
    assert same_result(detail.result, result)
    assert (detail.run, detail.status, detail.attempt, detail.studies) == (result.run, "done", 1, ("small",))
    assert detail.size == example.sizes()[result.run.cell.id]
    assert detail.started_at <= detail.finished_at


numbers = st.floats(allow_nan=False, width=64)
maybe = st.none() | numbers
records = st.lists(st.tuples(maybe, maybe, maybe, maybe), max_size=5)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def evaluations(draw, part):
    n = draw(st.integers(1, 40))
    classes = st.lists(st.integers(0, 255), min_size=n, max_size=n).map(lambda values: np.array(values, np.uint8))
    digits = PartLabels(draw(texts), part, draw(st.integers(2, 256)), np.arange(n, dtype=np.int32), draw(classes))
    fifteen = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=15, max_size=15).map(np.array)
    count = np.array(draw(st.lists(st.integers(0, 2**40), min_size=15, max_size=15)), np.int64)
    scores = draw(st.lists(numbers | st.just(float("nan")), min_size=7, max_size=7))
    return Evaluation(digits, draw(classes), *scores, count, draw(fifteen), draw(fifteen))


@settings(max_examples=30, deadline=None)
@given(
    status=st.sampled_from(["done", "failed", "diverged", "timeout"]),
    words=st.tuples(texts, texts, texts, texts),
    ledger=st.lists(st.floats(0, 1e6), min_size=7, max_size=7).map(lambda seconds: Ledger(*seconds)),
    epochs=records.map(lambda rows: tuple(EpochRecord(n, *row) for n, row in enumerate(rows, 1))),
    differences=st.lists(texts, max_size=3).map(tuple),
    best=st.none() | st.integers(1, 10),
    test=st.none() | evaluations("test"),
    validation=st.none() | evaluations("validation"),
)
def test_any_result_comes_back_as_it_was(example, status, words, ledger, epochs, differences, best, test, validation):
    reason, engine, program, sha256 = words
    result = RunResult(
        example.runs[0], status, engine, example.environment, ledger, reason, program, 3, len(epochs), best, None,
        epochs, test, validation, sha256, differences,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lab.sqlite"
        with open_writer(path, holder="test") as writer:
            example.register(writer)
            writer.commit(result)
        assert same_result(open_store(path).run_detail(result.run.id).result, result)


def test_a_nan_is_kept_as_nothing_and_numpy_numbers_as_numbers(example, path):
    epoch = EpochRecord(np.int64(1), np.float32(0.5), float("nan"), None, np.float64(0.25))
    result = example.result(example.runs[0], status="diverged", epochs=(epoch,), epochs_done=np.int32(1))
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(result)
    stored = open_store(path).run_detail(result.run.id).result
    assert stored.epochs == (EpochRecord(1, 0.5, None, None, 0.25),)
    assert stored.epochs_done == 1


@pytest.mark.parametrize(("first", "kept"), [("done", 0), ("diverged", 0), ("failed", 1), ("timeout", 1)])
def test_a_second_result_counts_only_where_the_first_was_none(example, path, first, kept):
    run = example.runs[0]
    with open_writer(example.store(path), holder="test") as writer:
        assert writer.commit(example.result(run, status=first, reason="why")) == 1
        assert writer.commit(example.result(run, epochs=(), epochs_done=0)) == kept
    result = open_store(path).run_detail(run.id).result
    assert (result.status, len(result.epochs)) == (("done", 0) if kept else (first, 3))


def test_results_are_committed_together_or_not_at_all(example, path):
    stranger = example.result(replace(example.runs[0], seed=99))
    with open_writer(example.store(path), holder="test") as writer:
        with pytest.raises(StoreError, match="belongs to no study") as fault:
            writer.commit(example.result(example.runs[0]), stranger)
        assert fault.value.exit_status == 4
        assert open_store(path).finished() == set()
        assert writer.commit(*map(example.result, example.runs)) == 6
        assert writer.commit(*map(example.result, example.runs)) == 0


def test_labels_and_environment_are_kept_once(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(*map(example.result, example.runs))
    with closing(sqlite3.connect(path)) as shell:
        kept = shell.execute("SELECT part, count(*) FROM labels GROUP BY part ORDER BY part").fetchall()
        assert kept == [("test", 1), ("validation", 2)]  # validation digits are drawn anew with each seed
        assert shell.execute("SELECT count(*) FROM environment").fetchone() == (1,)
        assert shell.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert shell.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_start_counts_attempts_clears_the_failure_and_leaves_finished_runs_alone(example, path):
    done, failed, timeout, diverged = example.runs[:4]
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(example.result(done), example.result(diverged, status="diverged"))
        writer.start([failed.id, timeout.id])
        writer.commit(example.result(failed, status="failed", reason="a"), example.result(timeout, status="timeout"))
        writer.start(run.id for run in example.runs)
        store = open_store(path)
        assert store.statuses() == {run.id: "running" for run in example.runs} | {
            done.id: "done",
            diverged.id: "diverged",
        }
        assert [store.run_detail(run.id).attempt for run in (done, failed, timeout, diverged)] == [0, 2, 2, 0]
        assert store.run_detail(failed.id).result is None
        assert set(store.epochs()["run"]) == {done.id, diverged.id}


def test_runs_that_a_dead_writer_left_running_are_planned_again(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        writer.start([example.runs[0].id])
        assert open_store(path).studies()[0].running == 1
    assert open_store(path).studies()[0].running == 0  # whoever reads sees that nobody writes
    with open_writer(path, holder="test"), closing(sqlite3.connect(path)) as shell:
        assert shell.execute("SELECT DISTINCT status FROM run").fetchall() == [("planned",)]


def test_forgotten_runs_are_planned_and_their_results_gone(example, path):
    kept, *others = example.runs
    with open_writer(example.store(path), holder="test") as writer:
        writer.start(run.id for run in example.runs)
        writer.commit(*map(example.result, example.runs))
        writer.forget(run.id for run in others)
    store = open_store(path)
    assert store.finished() == {kept.id}
    assert set(store.epochs()["run"]) == {kept.id}
    forgotten = store.run_detail(others[0].id)
    assert (forgotten.status, forgotten.attempt, forgotten.result) == ("planned", 0, None)
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("SELECT count(*) FROM prediction").fetchone() == (2,)


def test_registering_again_changes_nothing_and_keeps_results(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(example.result(example.runs[0]))
        before = "\n".join(writer.connection.iterdump())
        example.register(writer)
        after = "\n".join(writer.connection.iterdump())
    # But for the rank of the study run last.
    assert before.replace("'[0, 1]','',1,NULL,NULL)", "'[0, 1]','',2,NULL,NULL)") == after


def test_a_changed_study_adds_cells_takes_their_order_and_keeps_those_with_results(example, path):
    new = Cell(Architecture((16,)))
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(example.result(example.runs[1]))
        example.register(writer, Study("small", (new, example.cells[2]), (0, 1, 2)))
    store = open_store(path)
    assert [cell for cell, _ in store.sizes("small")] == [new, example.cells[2], example.cells[1]]
    assert len(store.statuses("small")) == 2 * 3 + 1
    with closing(sqlite3.connect(path)) as shell:
        assert json.loads(*shell.execute("SELECT seeds FROM study").fetchone()) == [0, 1, 2]


def counts_of(path):
    [status] = open_store(path).studies()
    return {name: value for name, value in asdict(status).items() if isinstance(value, int) and value}


def test_a_shortened_study_is_what_is_asked_for_and_what_has_finished(example, path):
    twenty, three = (Study("small", example.cells, tuple(range(n))) for n in (20, 3))
    late = [Run(cell, 10) for cell in example.cells]
    with open_writer(path, holder="test") as writer:
        example.register(writer, twenty)
        outcomes = zip(late, ("done", "diverged", "failed"), strict=True)
        writer.commit(*(example.result(run, status=status) for run, status in outcomes))
        assert counts_of(path) == {"planned": 57, "done": 1, "diverged": 1, "failed": 1}
        example.register(writer, three)
        assert counts_of(path) == {"planned": 9, "done": 1, "diverged": 1}
        example.register(writer, twenty)  # extended again, with what the failed run had left
        assert counts_of(path) == {"planned": 57, "done": 1, "diverged": 1, "failed": 1}


def test_a_shortened_study_leaves_other_roles_other_studies_and_running_runs_alone(example, path):
    other, one_seed = Study("other", example.cells, (0, 1)), Study("small", example.cells, (0,))
    fresh, running = [Run(cell, 7) for cell in example.cells], example.runs[3]
    with open_writer(example.store(path), holder="test") as writer:
        example.register(writer, other)
        writer.register_study(example.study, example.sizes(), fresh, "fresh")
        writer.start([running.id])
        example.register(writer, one_seed)
    store = open_store(path)
    assert len(store.statuses("other")) == 6
    assert set(store.statuses("small")) == {run.id for run in [*example.runs[:3], *fresh, running]}


def test_a_study_tells_the_words_that_ask_for_it_again(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        assert open_store(path).studies()[0].words == ""
        example.register(writer, replace(example.study, words="'my study.toml' --seeds 2"))
        assert open_store(path).studies()[0].words == "'my study.toml' --seeds 2"


def test_a_run_shared_by_two_studies_is_trained_once(example, path):
    other = Study("other", example.cells[:1], (0,))
    with open_writer(example.store(path), holder="test") as writer:
        example.register(writer, other, "fresh")
        writer.commit(example.result(example.runs[0]))
    store = open_store(path)
    assert store.finished("small") == store.finished("other") == {example.runs[0].id}
    assert store.runs("other")["role"].tolist() == ["fresh"]
    assert set(store.runs("small")["role"]) == set(store.runs()["role"]) == {"common"}
    assert store.run_detail(example.runs[0].id).studies == ("other", "small")


def test_the_study_registered_last_is_the_study_run_last(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        example.register(writer, Study("other", example.cells[:1], (0,)))
        assert open_store(path).last_study() == "other"
        example.register(writer)
    assert open_store(path).study_names() == ["other", "small"]


def test_a_measurement_comes_back(example, path):
    measurement = example.measurement(example.cells[0])
    with open_writer(example.store(path), holder="test") as writer:
        writer.add_measurement(measurement)
        writer.add_measurement(replace(measurement, peak_bytes=None, energy_joules=0.5))
    table = open_store(path).measurements()
    for name, value in asdict(measurement).items():
        if name not in ("cell_id", "environment") and value is not None:
            assert table[name][0] == value
    assert (table["cell"][0], table["environment"][0]) == (measurement.cell_id, measurement.environment.id)
    assert table["peak_bytes"].isna().tolist() == [False, True]
    assert table["program_bytes"].isna().all()


def test_the_writer_makes_the_folder_and_leaves_only_store_and_lock(example, path):
    example.store(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["lab.sqlite", "lab.sqlite.lock"]


def test_a_second_writer_is_told_who_holds_the_store(path):
    with open_writer(path, holder="mnistlab run lab"):
        with pytest.raises(StoreError) as fault:
            open_writer(path, holder="mnistlab run smoke")
        assert fault.value.exit_status == 4
        assert f"process {os.getpid()}, mnistlab run lab, is writing to it" in str(fault.value)
    open_writer(path, holder="mnistlab run smoke").close()
