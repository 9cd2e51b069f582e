"""Real stores, damaged on purpose: what is saved is as it was, bit for bit, and the rest is planned again."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mnistlab.errors import ConfigurationError, StoreError
from mnistlab.spec import Run
from mnistlab.store import schema
from mnistlab.store.rescue import rescue
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study

PAGE = 4096
STORES = Path(__file__).parent / "stores"
REAL = STORES / f"schema-{schema.SCHEMA_VERSION}.sqlite"


@pytest.fixture(scope="module")
def large(tmp_path_factory, example):
    """150 runs, enough for tables whose pages lie in two levels; one failed."""
    path = tmp_path_factory.mktemp("large") / "lab.sqlite"
    study = Study("small", example.cells, tuple(range(50)))
    runs = [Run(cell, seed) for seed in study.seeds for cell in study.cells]
    with open_writer(path, holder="test") as writer:
        example.register(writer, study)
        writer.start(run.id for run in runs)
        writer.commit(*(example.result(run) for run in runs[1:]))
        writer.commit(example.result(runs[0], status="failed", reason="no", epochs=(), test=None, validation=None))
        writer.add_measurement(example.measurement(example.cells[0]))
    return path


def noise(path, original, *pages, seed=0):
    """A copy of a store with some pages overwritten."""
    content = bytearray(original.read_bytes())
    for page in pages:
        content[page * PAGE : page * PAGE + PAGE] = random.Random(seed * 1000 + page).randbytes(PAGE)
    path.write_bytes(content)
    return path


def n_pages(path):
    return path.stat().st_size // PAGE


def rows(path, query):
    with closing(sqlite3.connect(path)) as shell:
        return shell.execute(query).fetchall()


def saved_from(damaged, original, new, **missing):
    """Rescue, and compare with what the store held before it was damaged; None where nothing could be read.

    `missing`: rows by table that SQLite does not miss.
    """
    before = damaged.read_bytes()
    try:
        found = rescue(damaged, new)
    except StoreError as fault:
        found, refusal = None, str(fault)
    if found is None:
        assert refusal == f"{damaged}: nothing of it could be read (restore a copy)"
        assert not new.exists()
        return None
    assert damaged.read_bytes() == before
    ended = "SELECT * FROM run WHERE status != 'planned'"
    asked = "SELECT id, cell, seed, epochs_asked FROM run"
    queries = [ended, asked, *(f"SELECT * FROM {table.name}" for table in schema.TABLES if table is not schema.RUN)]
    for query in queries:
        assert set(rows(new, query)) <= set(rows(original, query)), query
    assert rows(new, "PRAGMA integrity_check") == [("ok",)]
    assert rows(new, "PRAGMA foreign_key_check") == []
    for table in found.tables:
        ((saved,),) = rows(new, f"SELECT count(*) FROM {table.table}")
        ((expected,),) = rows(original, f"SELECT count(*) FROM {table.table}")
        assert table.saved == saved
        assert table.lost in (None, expected - saved - missing.get(table.table, 0))
    store = open_store(new)
    assert found.finished == len(store.finished())
    for run in store.finished():
        assert store.run_detail(run).result.epochs == open_store(original).run_detail(run).result.epochs
    return found


@pytest.mark.parametrize("which", ["real", "large"])
def test_a_store_that_is_not_damaged_is_saved_whole(tmp_path, which, large):
    original = {"real": REAL, "large": large}[which]
    found = saved_from(Path(shutil.copy(original, tmp_path / "copy")), original, tmp_path / "new.sqlite")
    assert (found.planned_again, {table.lost for table in found.tables}) == (0, {0})
    with closing(sqlite3.connect(original)) as old, closing(sqlite3.connect(tmp_path / "new.sqlite")) as new:
        assert list(old.iterdump()) == list(new.iterdump())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "new.sqlite"]


@pytest.mark.parametrize("seed", range(50))
def test_of_a_store_with_noise_in_it_what_is_saved_is_as_it_was(tmp_path, seed):
    pages = random.Random(seed).sample(range(n_pages(REAL)), 1 + seed % 3)
    found = saved_from(noise(tmp_path / "x.sqlite", REAL, *pages, seed=seed), REAL, tmp_path / "new.sqlite")
    assert found is None or 0 <= found.finished <= len(rows(REAL, "SELECT id FROM run WHERE status = 'done'"))
    assert (found is None) == (not (tmp_path / "new.sqlite").exists())


@pytest.mark.parametrize("page", range(n_pages(REAL)))
def test_of_a_store_cut_off_at_any_page_what_is_saved_is_as_it_was(tmp_path, page):
    cut = tmp_path / "x.sqlite"
    cut.write_bytes(REAL.read_bytes()[: page * PAGE + 17 * (page % 2)])
    found = saved_from(cut, REAL, tmp_path / "new.sqlite")
    assert (found is None) == (page < 2)


@pytest.mark.slow
def test_noise_in_one_page_of_a_large_store_costs_the_runs_of_that_page(tmp_path, large):
    finished = []
    for page in range(0, n_pages(large), 23):
        new = tmp_path / f"new {page}.sqlite"
        finished.append(saved_from(noise(tmp_path / "x.sqlite", large, page), large, new).finished)
    # A page that leads to many others, or the only one of a table, takes more with it.
    assert sorted(finished)[len(finished) // 4] >= 0.9 * 149


@pytest.fixture
def migrated(tmp_path):
    """A store that was of the first format."""
    path = Path(shutil.copy(STORES / "schema-1.sqlite", tmp_path / "migrated.sqlite"))
    open_writer(path, holder="test").close()
    return path


@pytest.mark.parametrize("which", ["real", "large", "migrated", "first format"])
@pytest.mark.parametrize("n_bytes", [16, 100, PAGE])
def test_a_header_or_a_first_page_that_is_gone_is_made_anew(tmp_path, large, migrated, which, n_bytes):
    damaged = {"real": REAL, "large": large, "migrated": migrated, "first format": STORES / "schema-1.sqlite"}[which]
    original = migrated if which == "first format" else damaged
    content = random.Random(1).randbytes(n_bytes) + damaged.read_bytes()[n_bytes:]
    (tmp_path / "x.sqlite").write_bytes(content)
    found = saved_from(tmp_path / "x.sqlite", original, tmp_path / "new.sqlite")
    assert {table.lost for table in found.tables} == {0}


def test_noise_in_a_leaf_costs_no_run_of_the_leaves_beside_it(tmp_path, large):
    with closing(sqlite3.connect(large)) as shell:
        bins = shell.execute("SELECT bin_confidence FROM prediction LIMIT 1").fetchone()[0].encode()[:20]
    content = large.read_bytes()
    pages = [content[number * PAGE :][:PAGE] for number in range(n_pages(large))]
    leaf = [number for number, page in enumerate(pages) if page[0] == 13 and bins in page][5]
    n_rows = int.from_bytes(pages[leaf][3:5])
    found = saved_from(noise(tmp_path / "x.sqlite", large, leaf), large, tmp_path / "new.sqlite")
    [predictions] = [table for table in found.tables if table.table == "prediction"]
    assert found.planned_again <= n_rows
    assert predictions.lost <= 2 * n_rows  # with them goes the other part of the same run


def test_a_damaged_store_of_an_older_format_is_saved_in_the_present_one(tmp_path):
    old = STORES / "schema-1.sqlite"
    found = rescue(noise(tmp_path / "x.sqlite", old, n_pages(old) - 1), tmp_path / "new.sqlite")
    assert found.finished + found.planned_again == 6
    assert found.finished >= 4
    names = ", ".join(row[1] for row in rows(old, "PRAGMA table_info(run)"))
    done = rows(tmp_path / "new.sqlite", f"SELECT {names} FROM run WHERE status = 'done'")
    assert len(done) == found.finished
    assert set(done) <= set(rows(old, f"SELECT {names} FROM run"))


LIES = {  # each leaves a file that SQLite has nothing against
    "a cell": "UPDATE cell SET content = replace(content, '\"epochs\": 3', '\"epochs\": 4')",
    "a seed": "UPDATE run SET seed = seed + 100 WHERE rowid = 2",
    "a bit": "UPDATE prediction SET correct = CAST(x'ff' || substr(correct, 2) AS BLOB)",
    "a class": "UPDATE prediction SET predicted = CAST(x'0102030405060708' || substr(predicted, 9) AS BLOB)",
    "a shorter list": "UPDATE prediction SET predicted = substr(predicted, 2)",
    "another digit": "UPDATE labels SET labels = CAST(x'00' || substr(labels, 2) AS BLOB)",
    "a version": "UPDATE environment SET python = '2.7'",
    "an epoch gone": "DELETE FROM epoch WHERE epoch = 2",
    "a prediction gone": "DELETE FROM prediction WHERE part = 'test'",
}


@pytest.mark.parametrize("lie", LIES)
def test_what_contradicts_itself_is_not_saved(tmp_path, large, lie):
    damaged = Path(shutil.copy(large, tmp_path / "x.sqlite"))
    with closing(sqlite3.connect(damaged)) as shell:
        shell.execute(LIES[lie])
        shell.commit()
    epochs, parts = (150 - 1, 0) if lie == "an epoch gone" else (0, 149 if lie == "a prediction gone" else 0)
    found = saved_from(damaged, large, tmp_path / "new.sqlite", epoch=epochs, prediction=parts)
    assert found.finished < 149


def test_the_half_of_a_transaction_is_undone_in_the_copy_alone(tmp_path, large):
    path = Path(shutil.copy(large, tmp_path / "lab.sqlite"))
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("PRAGMA cache_size = 1")  # so that the half of it is in the file already
        shell.execute("BEGIN")
        shell.execute("DELETE FROM prediction")
        damaged = Path(shutil.copy(path, tmp_path / "x.sqlite"))
        shutil.copy(f"{path}-journal", f"{damaged}-journal")
    assert damaged.read_bytes() != large.read_bytes()
    found = saved_from(damaged, large, tmp_path / "new.sqlite")
    assert {table.lost for table in found.tables} == {0}


def test_a_rescued_store_is_planned_and_written_like_any_other(tmp_path, large, example):
    damaged, new = noise(tmp_path / "x.sqlite", large, n_pages(large) - 1), tmp_path / "new.sqlite"
    found = rescue(damaged, new)
    study = Study("small", example.cells, tuple(range(50)))
    with open_writer(new, holder="test") as writer:
        example.register(writer, study)
        left = [Run(cell, seed) for seed in study.seeds for cell in study.cells]
        left = [run for run in left if run.id not in open_store(new).finished()]
        assert len(left) == 150 - found.finished > 1
        assert writer.commit(*map(example.result, left)) == len(left)
    assert open_store(new).studies()[0].done == 150


def test_what_cannot_be_rescued_is_refused(tmp_path, example):
    path, new = example.store(tmp_path / "lab.sqlite"), tmp_path / "new.sqlite"
    for name, content in (("empty", b""), ("text", b"epoch,loss\n" * 1000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StoreError, match="nothing of it could be read"):
            rescue(tmp_path / name, new)
    with pytest.raises(StoreError, match="no such file"):
        rescue(tmp_path / "none", new)
    with pytest.raises(StoreError, match="a file is needed"):
        rescue(tmp_path, new)
    with open_writer(path, holder="test"), pytest.raises(StoreError, match="a process is writing to it"):
        rescue(path, new)
    with pytest.raises(ConfigurationError, match="it exists, and is not overwritten"):
        rescue(path, tmp_path / "text")
    with closing(sqlite3.connect(path)) as shell:
        shell.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="written by a newer mnistlab"):
        rescue(path, new)
    assert not new.exists()
