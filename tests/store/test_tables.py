import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import pytest

from mnistlab.errors import ConfigurationError
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store.tables import Timing, open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study


@pytest.fixture
def store(example, path):
    """The example's study: two runs done, one diverged, one failed, two planned."""
    with open_writer(example.store(path), holder="test") as writer:
        done, diverged, other, failed, *_ = example.runs
        writer.start([done.id])
        writer.commit(
            example.result(done),
            example.result(other),
            example.result(diverged, status="diverged", reason="the loss became NaN", test=None, validation=None),
            example.result(failed, status="failed", reason="out of memory", test=None, validation=None, epochs=()),
        )
        writer.add_measurement(example.measurement(example.cells[0]))
    return open_store(path)


def test_a_status_counts_the_runs_of_every_kind(store):
    [status] = store.studies()
    counts = {name: value for name, value in asdict(status).items() if isinstance(value, int) and value}
    assert counts == {"done": 2, "diverged": 1, "failed": 1, "planned": 2}
    assert store.finished() == {run for run, kind in store.statuses("small").items() if kind in ("done", "diverged")}
    assert len(store.finished()) == 3


def test_the_speed_leaves_pauses_out(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        writer.commit(*map(example.result, example.runs[:4]))
        spans = [(1000, 1010), (1000, 1010), (1005, 1015), (9000, 9005)]  # 20 seconds of training, a long pause
        for run, (start, end) in zip(example.runs, spans, strict=False):
            values = (start, end, run.id)
            writer.connection.execute("UPDATE run SET started_at = ?, finished_at = ? WHERE id = ?", values)
    [status] = open_store(path).studies()
    assert status.networks_per_second == 4 / 20


def test_runs_has_a_row_for_each_with_all_its_numbers(example, store):
    runs = store.runs("small")
    assert len(runs) == 6
    assert runs["cell"].tolist() == [cell.id for cell in example.cells for _ in (0, 1)]
    assert runs["seed"].tolist() == [0, 1] * 3
    row, result = runs.iloc[0], example.result(example.runs[0])
    for part, evaluation in (("test", result.test), ("validation", result.validation)):
        for name in (
            "accuracy",
            "log_loss",
            "brier",
            "macro_precision",
            "macro_recall",
            "macro_f1",
            "ece",
            "ece_floor",
        ):
            assert row[f"{part}_{name}"] == getattr(evaluation, name)
        assert row[f"{part}_n"] == len(evaluation.predicted)
        assert row[f"{part}_labels"] == evaluation.digits.id
    assert {name: row[name] for name in asdict(result.ledger)} == asdict(result.ledger)
    assert row["end_to_end_seconds"] == result.ledger.end_to_end_seconds
    assert (row["run"], row["role"], row["status"], row["attempt"]) == (result.run.id, "common", "done", 1)
    assert (row["epochs_asked"], row["epochs_done"], row["stopped_by"]) == (10, 3, "epochs")
    assert (row["environment"], row["weights_sha256"]) == (result.environment.id, result.weights_sha256)
    assert "test_bits" not in runs


def test_bits_are_packed_as_numpy_packs_them_and_none_where_nothing_was_tested(example, store):
    runs = store.runs(bits=True).set_index("run")
    correct = example.result(example.runs[0]).test.correct
    assert np.array_equal(np.unpackbits(runs["test_bits"][example.runs[0].id], count=21).astype(bool), correct)
    assert runs["test_bits"][example.runs[1].id] is None
    assert runs["test_accuracy"].isna().sum() == 4


@pytest.mark.parametrize("reader", ["runs", "epochs", "measurements", "environments"])
def test_columns_have_one_type_with_and_without_rows(store, path, reader):
    full, empty = getattr(store, reader)(), getattr(open_store(path.with_name("none.sqlite")), reader)()
    assert list(full) == list(empty)
    numbers = full.select_dtypes("number").columns
    assert all(full[name].dtype == "str" for name in set(full) - set(numbers))
    assert set(empty.select_dtypes("number")) == set(numbers)


def test_epochs_are_a_row_each(example, store):
    epochs = store.epochs("small")
    assert len(epochs) == 3 * 3
    assert epochs.groupby("run")["train_loss"].first()[example.runs[0].id] == 1.0
    assert list(epochs) == ["run", "epoch", "train_loss", "validation_loss", "validation_accuracy", "test_accuracy"]


def test_predictions_are_a_row_per_digit_of_both_parts(example, store):
    table, result = store.predictions(example.runs[0].id), example.result(example.runs[0])
    for part, evaluation in (("test", result.test), ("validation", result.validation)):
        rows = table[table["part"] == part]
        assert np.array_equal(rows["index"], evaluation.digits.indices)
        assert np.array_equal(rows["label"], evaluation.digits.labels)
        assert np.array_equal(rows["predicted"], evaluation.predicted)
        assert np.array_equal(rows["correct"], evaluation.correct)
    assert list(store.predictions(example.runs[1].id)) == list(table)


def test_what_was_measured_and_how_long_runs_took_is_handed_over(example, store):
    assert store.measured() == {"key"}
    cells = [example.runs[0].cell.id, example.runs[2].cell.id]
    timings = store.timings("a processor", 1, "cpu")
    expected = [Timing(cell, "reference", "p", 3, 0.25 + 0.5 + 2.0 + 0.125, 0.5, 2.0, 1.5) for cell in cells]
    assert sorted(timings, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("change", [{"processor": "another"}, {"threads": 2}, {"device": "an accelerator"}])
def test_how_long_runs_took_on_other_machines_is_left_out(example, store, path, change):
    elsewhere, run = replace(example.environment, **change), example.runs[4]
    with open_writer(path, holder="test") as writer:
        writer.commit(example.result(run, environment=elsewhere))
    assert run.cell.id not in [timing.cell_id for timing in store.timings("a processor", 1, "cpu")]
    timings = store.timings(elsewhere.processor, elsewhere.threads, elsewhere.device)
    assert [timing.cell_id for timing in timings] == [run.cell.id]


def test_cells_come_back_in_the_study_s_order(example, store):
    assert store.sizes("small") == store.sizes() == [(cell, example.sizes()[cell.id]) for cell in example.cells]
    assert store.sizes("unknown") == []


def test_the_cell_table_has_every_setting_and_count(example, store):
    table = store.cell_table("small")
    for (_, row), cell in zip(table.iterrows(), example.cells, strict=True):
        assert {name: row[name] for name in cell.settings()} == cell.settings() or row["tol"] != row["tol"]
        assert (row["cell"], row["label"], row["n_train"], row["parameters"]) == (cell.id, cell.label, 54, 25_450)
    assert table["architecture_key"].tolist()[0].startswith("keras 784-32-10 relu")
    assert list(store.cell_table("unknown")) == list(table)


def test_a_run_is_found_by_a_unique_beginning(example, store):
    run = example.runs[0].id
    assert store.find_run(run) == store.find_run(run[:4]) == store.find_run(run[:6].upper()) == run


@pytest.mark.parametrize("text", ["", "abc", "none", "0000", "zzzzzz", "%%%%", "____"])
def test_a_run_of_no_such_name_is_an_unknown_word(store, text):
    with pytest.raises(ConfigurationError, match="holds none of that name") as fault:
        store.find_run(text)
    assert fault.value.exit_status == 2


def test_a_cell_is_found_by_id_beginning_and_label(example, store):
    for cell in example.cells:
        assert {store.find_cell(text) for text in (cell.id, cell.id[:4], cell.label)} == {cell.id}
    with pytest.raises(ConfigurationError, match="did you mean 1x32 relu"):
        store.find_cell("1x23 relu")
    with pytest.raises(ConfigurationError):
        store.find_cell(example.cells[0].id[:3])


def test_a_cell_stands_for_its_run_where_it_has_one_and_lists_them_where_it_has_several(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        cell = Cell(Architecture((8,)))
        example.register(writer, Study("other", (cell,), (7,)))
    store = open_store(path)
    assert store.find_run("1x8 relu") == store.find_run(cell.id[:6]) == Run(cell, 7).id
    several = example.cells[0]
    with pytest.raises(ConfigurationError, match="are named so") as fault:
        store.find_run(several.id)
    assert Run(several, 0).id in str(fault.value)


def test_a_cell_is_looked_for_in_the_study_named(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        example.register(writer, Study("other", (Cell(Architecture((8,))),), (0,)))
    assert open_store(path).find_cell("1x8 relu", "other")
    with pytest.raises(ConfigurationError):
        open_store(path).find_cell("1x8 relu", "small")


def test_what_is_ambiguous_lists_what_is_meant(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        copy = "INSERT INTO run (id, cell, seed, status, epochs_asked) SELECT ?, cell, ?, 'planned', 1 FROM run LIMIT 1"
        writer.connection.executemany(copy, [("abcd0", 7), ("abcd1", 8)])
    with pytest.raises(ConfigurationError, match=r"2 are named so.*abcd0, abcd1"):
        open_store(path).find_run("abcd")
    assert open_store(path).find_run("abcd1") == "abcd1"


def test_a_store_that_is_not_there_reads_as_an_empty_one_and_is_not_made(path):
    store = open_store(path)
    assert (store.studies(), store.last_study(), store.sizes(), store.statuses()) == ([], None, [], {})
    assert store.runs(bits=True).empty
    assert not path.parent.exists()


def test_status_needs_no_heavy_library(store):
    code = (
        "import sys, pathlib; from mnistlab.store.tables import open_store\n"
        "store = open_store(pathlib.Path(sys.argv[1])); store.studies(); store.sizes(); store.finished()\n"
        "heavy = {'pandas', 'jax', 'keras', 'scipy', 'sklearn', 'matplotlib'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_works_while_a_transaction_is_being_written(example, path):
    with open_writer(example.store(path), holder="test") as writer:
        writer.connection.execute("BEGIN IMMEDIATE")
        writer.connection.execute("UPDATE run SET status = 'running'")
        assert set(open_store(path).statuses().values()) == {"planned"}
        writer.connection.execute("COMMIT")
        assert set(open_store(path).statuses().values()) == {"running"}


def test_a_reader_cannot_change_the_store(store):
    with pytest.raises(Exception, match="cannot be written"):
        store._rows("DELETE FROM run")


def test_the_plain_shell_reads_it(store):
    with closing(sqlite3.connect(store.path)) as shell:
        query = "SELECT json_extract(content, '$.training.epochs'), label FROM cell ORDER BY rowid"
        assert shell.execute(query).fetchall()[1] == (3, "2x64 relu-tanh, 3 epochs")


def test_all_predicted_classes_of_a_study_come_at_once_with_their_digits(example, store):
    expected = example.result(example.runs[0]).test
    digits, classes = store.part_labels(expected.digits.id), store.predicted(expected.digits.id, "small")
    assert digits.id == expected.digits.id
    runs = store.runs("small")
    assert classes.index.tolist() == runs.loc[runs["status"] == "done", "run"].tolist()
    assert classes.shape == (2, 21)
    assert (classes.dtypes == np.uint8).all()
    assert np.array_equal(classes.loc[example.runs[0].id], expected.predicted)
    assert store.predicted(expected.digits.id, "none").shape == (0, 21)


def test_digits_the_store_does_not_hold_are_named(store):
    with pytest.raises(ConfigurationError, match="labels nosuch"):
        store.predicted("nosuch")
