"""Stores of every format there has been: read as they are, brought to the present one by the next writer."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from mnistlab.analysis.results import results_table
from mnistlab.errors import StoreError
from mnistlab.store import connection, schema
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer

STORES = {
    int(path.stem.rpartition("-")[2]): path for path in (Path(__file__).parent / "stores").glob("schema-*.sqlite")
}
OLDER = list(range(1, schema.SCHEMA_VERSION))


@pytest.fixture(params=OLDER)
def old(request, path):
    """A store of an older format."""
    path.parent.mkdir()
    return Path(shutil.copy(STORES[request.param], path))


def query(path, text):
    with closing(sqlite3.connect(path)) as shell:
        return shell.execute(text).fetchall()


def everything(path):
    """What every reader says of a store, as text."""
    store = open_store(path)
    runs = store.runs("old", bits=True)
    frames = [runs, store.runs(), store.epochs(), store.measurements(), store.environments(), store.cell_table()]
    frames += [store.predictions(run) for run in runs["run"]]
    frames.append(results_table(store.cell_table("old"), runs, store.measurements()).rows)
    details = [asdict(store.run_detail(run)) for run in runs["run"]]
    counts = [store.studies(), store.statuses(), store.done(), store.sizes(), store.measured()]
    texts = [frame.astype(str).to_csv() for frame in frames]
    return [*texts, *map(str, [*details, *counts, store.timings("Intel Xeon", 1, "cpu"), runs.dtypes])]


def test_a_store_of_every_format_is_kept_here_and_each_older_one_has_its_migration():
    assert sorted(STORES) == list(range(1, schema.SCHEMA_VERSION + 1))
    assert list(range(1, schema.SCHEMA_VERSION)) == OLDER
    assert all(query(path, "PRAGMA user_version") == [(number,)] for number, path in STORES.items())


@pytest.mark.parametrize("number", STORES)
def test_reading_a_store_of_any_format_changes_nothing_and_leaves_nothing(path, number):
    path.parent.mkdir()
    shutil.copy(STORES[number], path)
    store = open_store(path)
    assert len(store.runs()) == len(store.finished("old")) == 6
    assert {store.run_detail(run).result.ledger.features_seconds for run in store.finished()} == {0.0}
    assert list(store.runs()["features_seconds"]) == [0.0] * 6
    assert path.read_bytes() == STORES[number].read_bytes()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not listed here")
def test_a_store_whose_list_of_tables_is_noise_is_closed_again(path):
    path.parent.mkdir()
    content = bytearray(STORES[schema.SCHEMA_VERSION].read_bytes())
    content[100:4096] = b"\xa5" * 3996
    path.write_bytes(content)
    with pytest.raises(StoreError, match="the file is damaged") as fault:  # which keeps everything of its way alive
        connection.connect_to_read(path)
    assert fault.tb
    assert str(path) not in [str(file.resolve()) for file in Path("/proc/self/fd").iterdir()]


def test_a_migrated_store_is_built_as_a_new_one_and_gives_the_same_results(old, example):
    before, told = everything(old), []
    original, [(version,)] = old.read_bytes(), query(old, "PRAGMA user_version")
    open_writer(old, holder="test", notify=told.append).close()
    copy = old.with_name(f"{old.name}.format-{version}")
    new = example.store(old.parent / "new.sqlite")
    tables = "SELECT name, tbl_name, type, rootpage, sql FROM sqlite_schema ORDER BY rowid"
    assert query(old, tables) == query(new, tables)
    assert query(old, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]
    assert query(old, "PRAGMA integrity_check") == [("ok",)]
    assert query(old, "PRAGMA foreign_key_check") == []
    assert everything(old) == before
    assert told == [f"{old}: format {version} is now {schema.SCHEMA_VERSION}; as it was, it is kept in {copy}"]
    assert copy.read_bytes()[100:] == original[100:]


@pytest.mark.parametrize("old", [1], indirect=True)
def test_a_run_of_an_older_store_that_has_no_result_has_no_seconds_for_features(old):
    with closing(sqlite3.connect(old)) as shell:
        nothing = ", ".join(f"{name} = NULL" for name in schema.RESULT_COLUMNS if name != "features_seconds")
        shell.execute(f"UPDATE run SET status = 'planned', {nothing} WHERE rowid = 1")
        shell.commit()
    before = open_store(old).runs()["features_seconds"].isna().tolist()
    open_writer(old, holder="test").close()
    assert sum(before) == 1
    assert open_store(old).runs()["features_seconds"].isna().tolist() == before


def test_reading_an_older_store_copies_nothing(old):
    with closing(connection.connect_to_read(old)) as reader:
        assert [row[2] for row in reader.execute("PRAGMA database_list")] == [str(old), ""]
        assert "SEARCH" in str(reader.execute("EXPLAIN QUERY PLAN SELECT * FROM run WHERE id = 'x'").fetchall())
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM epoch")


def test_who_has_an_older_store_open_while_it_is_migrated_reads_on_and_undoes_nothing(old):
    with closing(sqlite3.connect(old)) as shell:
        (cells,) = shell.execute("SELECT count(*) FROM cell").fetchone()
        with open_writer(old, holder="test") as writer:
            writer.connection.execute("BEGIN IMMEDIATE")
            writer.connection.execute("UPDATE cell SET label = 'new'")
            assert shell.execute("SELECT count(*) FROM run").fetchone() == (6,)
            assert old.with_name(f"{old.name}-journal").exists()
            writer.connection.execute("COMMIT")
        assert shell.execute("SELECT count(*) FROM cell WHERE label = 'new'").fetchone() == (cells,)
    [copy] = old.parent.glob("*.format-*")
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]


def test_an_older_store_that_somebody_goes_on_reading_is_left_as_it_is(old, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.01)
    original = old.read_bytes()
    with closing(sqlite3.connect(old, isolation_level=None)) as shell:
        shell.execute("BEGIN")
        shell.execute("SELECT * FROM run").fetchall()
        with pytest.raises(StoreError, match="another program keeps it locked"):
            open_writer(old, holder="test")
    assert old.read_bytes() == original
    assert {file.name for file in old.parent.iterdir()} == {"lab.sqlite", "lab.sqlite.lock"}


def test_a_migrated_store_still_refuses_runs_of_no_cell(old):
    with open_writer(old, holder="test") as writer, pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        writer.connection.execute("UPDATE run SET cell = 'none' WHERE rowid = 1")


def test_an_older_copy_is_never_overwritten(old):
    copy = old.with_name(f"{old.name}.format-{query(old, 'PRAGMA user_version')[0][0]}")
    copy.write_text("precious")
    open_writer(old, holder="test").close()
    assert copy.read_text() == "precious"
    assert len(open_store(copy.with_name(f"{copy.name}-2")).finished()) == 6


def test_the_present_format_is_not_copied(path):
    path.parent.mkdir()
    shutil.copy(STORES[schema.SCHEMA_VERSION], path)
    open_writer(path, holder="test", notify=pytest.fail).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["lab.sqlite", "lab.sqlite.lock"]
