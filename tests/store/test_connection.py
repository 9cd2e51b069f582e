"""Stores of every format there has been: read as they are, brought to the present one by the next writer."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mnistlab.analysis.results import results_table
from mnistlab.store import schema
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer

STORES = {
    int(path.stem.rpartition("-")[2]): path for path in (Path(__file__).parent / "stores").glob("schema-*.sqlite")
}
OLDER = sorted(schema.MIGRATIONS)


@pytest.fixture(params=OLDER)
def old(request, path):
    """A store of an older format."""
    path.parent.mkdir()
    return Path(shutil.copy(STORES[request.param], path))


def query(path, text):
    with closing(sqlite3.connect(path)) as shell:
        return shell.execute(text).fetchall()


def results(path):
    store = open_store(path)
    return results_table(store.cell_table("old"), store.runs("old", bits=True), store.measurements())


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
    assert store.run_detail(store.runs()["run"][0]).result.ledger.features_seconds in (None, 0.0)
    assert path.read_bytes() == STORES[number].read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_migrated_store_is_built_as_a_new_one_and_gives_the_same_results(old, example):
    before, told = results(old).rows.astype(str), []
    original = old.read_bytes()
    open_writer(old, holder="test", notify=told.append).close()
    copy = old.with_name(f"{old.name}.format-{query(STORES[1], 'PRAGMA user_version')[0][0]}")
    new = example.store(old.parent / "new.sqlite")
    tables = "SELECT name, tbl_name, type, sql FROM sqlite_schema ORDER BY name"
    assert query(old, tables) == query(new, tables)
    assert query(old, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]
    assert query(old, "PRAGMA integrity_check") == [("ok",)]
    assert query(old, "PRAGMA foreign_key_check") == []
    assert results(old).rows.astype(str).equals(before)
    assert told == [f"{old}: format 1 is now {schema.SCHEMA_VERSION}; as it was, it is kept in {copy}"]
    assert copy.read_bytes()[100:] == original[100:]


def test_a_migrated_store_still_refuses_runs_of_no_cell(old):
    with open_writer(old, holder="test") as writer, pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        writer.connection.execute("UPDATE run SET cell = 'none' WHERE rowid = 1")


def test_an_older_copy_is_never_overwritten(old):
    copy = old.with_name(f"{old.name}.format-1")
    copy.write_text("precious")
    open_writer(old, holder="test").close()
    assert copy.read_text() == "precious"
    assert len(open_store(copy.with_name(f"{copy.name}-2")).finished()) == 6


def test_the_present_format_is_not_copied(path):
    path.parent.mkdir()
    shutil.copy(STORES[schema.SCHEMA_VERSION], path)
    open_writer(path, holder="test", notify=pytest.fail).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["lab.sqlite", "lab.sqlite.lock"]
