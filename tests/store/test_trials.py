"""Trials of a search: they come little by little, are told by readers of their own, and are in no table of cells."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from mnistlab.analysis.results import results_table
from mnistlab.asked import RatesAsked, SearchAsked
from mnistlab.errors import ConfigurationError, StoreError
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.store import rescue
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Space, Study

SEARCH = Study("search", (), tuple(range(FRESH_SEEDS, FRESH_SEEDS + 2)), asked=SearchAsked(Space("search", ())))


def trial_of(example, run, **changes):
    """Its result: nothing was tested."""
    result = example.result(run)
    epochs = tuple(replace(epoch, test_accuracy=None) for epoch in result.epochs)
    return replace(result, test=None, epochs=epochs, **changes)


def asked(writer, example, role, *runs):
    cells = tuple(dict.fromkeys(run.cell for run in runs))
    writer.register_study(replace(SEARCH, cells=cells), example.sizes(cells), runs, role)


@pytest.fixture
def runs(example):
    """Four trials of three cells, and two fresh seeds of the second."""
    first, second, third = example.cells
    trials = [Run(first, SEARCH_SEEDS), Run(second, SEARCH_SEEDS), Run(second, SEARCH_SEEDS + 1),
              Run(third, SEARCH_SEEDS)]  # fmt: skip
    return [*trials, *(Run(second, seed) for seed in SEARCH.seeds)]


@pytest.fixture
def store(example, path, runs):
    """The example's study, with a run of its first cell done, and a search."""
    halved, whole, diverged, planned, *fresh = runs
    with open_writer(example.store(path), holder="test") as writer:
        asked(writer, example, "search", halved, whole)
        asked(writer, example, "search", diverged, planned)
        writer.commit(trial_of(example, halved, stopped_by="halving"), trial_of(example, whole),
                      trial_of(example, diverged, status="diverged", validation=None))  # fmt: skip
        asked(writer, example, "fresh", *fresh)
        writer.commit(example.result(fresh[0]), example.result(Run(example.cells[0], 0)))
    return open_store(path)


def test_trials_that_ended_are_a_row_each(example, store, runs):
    trials, result = store.trials("search"), example.result(runs[0])
    assert trials["run"].tolist() == [run.id for run in runs[:3]]
    assert trials["stopped_by"].tolist()[:2] == ["halving", "epochs"]
    assert trials["status"].tolist() == ["done", "done", "diverged"]
    row = trials.iloc[0]
    assert (row["cell"], row["seed"], row["validation_n"]) == (runs[0].cell.id, SEARCH_SEEDS, 6)
    assert row["validation_accuracy"] == result.validation.accuracy
    assert (row["epochs_done"], row["epochs_asked"]) == (3, 10)
    assert row["steps_seconds"] == result.ledger.steps_seconds
    assert row["end_to_end_seconds"] == result.ledger.end_to_end_seconds
    assert trials["validation_accuracy"].isna().tolist() == [False, False, True]
    assert store.curves("search") == {run.id: (0.9, 0.9, 0.9) for run in runs[:3]}
    assert store.asked("search") == SEARCH.asked
    assert (store.asked("small"), store.asked("none"), store.curves("small")) == (None, None, {})
    assert list(store.trials("small")) == list(trials)


def test_no_table_of_cells_or_accuracies_has_a_trial(example, store, runs):
    fresh = [run.id for run in runs[4:]]
    for study in ("search", None):
        table = store.runs(study, bits=True)
        assert set(table["role"]) == {"fresh"} if study else {"fresh", "common"}
        assert not {run.id for run in runs[:4]} & {*table["run"], *store.epochs(study)["run"]}
        validated = example.result(runs[1]).validation.digits.id
        assert not {run.id for run in runs[:4]} & {*store.predicted(validated, study).index}
        assert not {run.id for run in runs[:4]} & {*store.reliability(study)["run"]}
        found = results_table(store.cell_table(study), table, store.measurements()).rows
        assert found.loc[found["cell"] == runs[1].cell.id, "seeds"].tolist() == [1]
    assert store.runs("search")["run"].tolist() == fresh
    assert store.cell_table("search")["cell"].tolist() == [runs[1].cell.id]
    assert set(store.cell_table()["cell"]) == {cell.id for cell in example.cells}
    assert {seed for _, seed, _ in store.done()} == {FRESH_SEEDS, 0}
    assert store.find_cell(runs[1].cell.label, "search") == runs[1].cell.id
    with pytest.raises(ConfigurationError, match="holds none of that name"):
        store.find_cell(runs[0].cell.label, "search")


def test_what_plans_and_counts_knows_trials(example, store, runs):
    assert {run.id for run in runs[:3]} < store.finished("search")
    [_, status] = store.studies()
    assert (status.done, status.diverged, status.planned) == (3, 1, 2)
    assert [cell for cell, _ in store.sizes("search")] == list(example.cells)
    assert len(store.timings("a processor", 1, "cpu")) == 4
    assert store.run_detail(runs[0].id).role == "search"
    assert store.run_detail(runs[4].id).role == "fresh"
    assert store.run_detail(runs[0].id).result.test is None
    assert store.find_run(runs[0].id[:8]) == runs[0].id


def test_a_call_that_brings_little_changes_little_however_much_there_is(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        changes = []
        for number in range(60):
            cell = Cell(Architecture((8,)), training=Training(epochs=number + 1))
            before = writer.connection.total_changes
            asked(writer, example, "search", *(Run(cell, SEARCH_SEEDS + seed) for seed in (0, 1)))
            changes.append(writer.connection.total_changes - before)
    assert set(changes[:5]) == set(changes)
    store = open_store(path)
    assert [cell.training.epochs for cell, _ in store.sizes("search")] == list(range(1, 61))
    assert [cell for cell, _ in store.sizes("small")] == list(example.cells)
    assert store.last_study() == "search"


def test_a_study_of_the_same_name_takes_no_trial_away(example, path, runs):
    with open_writer(example.store(path), holder="test") as writer:
        asked(writer, example, "search", *runs[:2])
        common = [Run(example.cells[2], seed) for seed in (0, 1)]
        writer.register_study(Study("search", (example.cells[2],), (0, 1)), example.sizes(), common)
        assert set(open_store(path).statuses("search")) == {run.id for run in (*runs[:2], *common)}
        writer.register_study(Study("search", (example.cells[2],), (0,)), example.sizes(), common[:1])
    assert set(open_store(path).statuses("search")) == {run.id for run in (*runs[:2], common[0])}


def test_a_tuned_study_has_one_cell_of_those_that_differ_in_its_knob_alone(example, path):
    """Of what an earlier version of the study chose nothing is left in tables of cells but what it has now."""
    widths = [Cell(Architecture((width,)), training=Training(learning_rate=rate))
              for rate in (0.01, 0.02) for width in (8, 16)]  # fmt: skip
    other = Cell(Architecture((8,)), training=Training(epochs=3))
    tuned = Study("tuned", (), (0,), asked=RatesAsked("learning_rate", (1.0,), "small"))
    with open_writer(example.store(path), holder="test") as writer:
        for cells in ((*widths[:2], other), (widths[3], widths[0])):
            runs = [Run(cell, 0) for cell in cells]
            writer.register_study(replace(tuned, cells=cells), example.sizes(cells), runs)
            writer.commit(*map(example.result, runs))
    store = open_store(path)
    table = store.cell_table("tuned")
    assert table["cell"].tolist() == [cell.id for cell in (widths[3], widths[0], other)]
    assert set(table["tuned_knob"]) == {"learning_rate"}
    assert table["learning_rate"].tolist() == [0.02, 0.01, 0.001]
    assert (store.tuned_knob("tuned"), store.tuned_knob("small"), store.tuned_knob(None)) == ("learning_rate", "", "")
    assert "tuned_knob" not in store.cell_table("small")
    assert "tuned_knob" not in store.cell_table()
    assert {cell.id for cell in (*widths, other)} - {widths[2].id} < set(store.cell_table()["cell"])


def test_a_rescue_does_not_miss_what_a_trial_never_had(store, tmp_path):
    found = rescue.rescue(store.path, tmp_path / "new.sqlite")
    assert (found.finished, found.planned_again) == (5, 0)
    assert open_store(tmp_path / "new.sqlite").trials("search").equals(store.trials("search"))


@pytest.mark.parametrize("text", ["{", "[]", '{"knob": "learning_rate"}', '{"objective": "accuracy", "choices": 7}'])
def test_a_search_that_makes_no_sense_is_a_damaged_file(store, text):
    with closing(sqlite3.connect(store.path)) as shell, shell:
        shell.execute("UPDATE study SET tuning = ? WHERE name = 'search'", (text,))
    for ask in (lambda: store.asked("search"), lambda: store.cell_table("search"), store.studies):
        with pytest.raises(StoreError, match="the file is damaged"):
            ask()
