"""Saving what can be read of a damaged store into a new one. The damaged file is copied first and never changed.

What is kept makes sense by itself: cells, runs, environments and digits have the ids that their content gives, every
predicted digit agrees with its bit of right or wrong, and a run that is said to be finished has all of its epochs and
predictions. A run that lacks something is planned again.
"""

# ruff: noqa: S608 - what is put into SQL text here are names of our own tables and columns; values are always bound
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mnistlab.errors import ConfigurationError, StoreError
from mnistlab.records import PartLabels
from mnistlab.spec import Cell, Run
from mnistlab.store import bits, schema
from mnistlab.store.connection import connect_to_write, faults_of, writer_lives
from mnistlab.store.tables import environment_of

_PAGE = 4096
_HEADER = 100
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class RescuedTable:
    """Rows of a table that were saved, and lost; `lost` is None where not even their number could be read."""

    table: str
    saved: int
    lost: int | None


@dataclass(frozen=True, slots=True)
class Rescue:
    """What a rescue brought.

    Attributes
    ----------
    damaged, store : Path
        The file it was read from, and the new one.
    tables : tuple of RescuedTable
    finished : int
        Runs saved with everything that belongs to them.
    planned_again : int
        Runs that had ended and lack something now: they are to be trained again.
    """

    damaged: Path
    store: Path
    tables: tuple[RescuedTable, ...]
    finished: int
    planned_again: int


def rescue(damaged: Path, new: Path) -> Rescue:
    """Save what can be read of `damaged`, a store of any format up to the present one, into a new file.

    Raises
    ------
    ConfigurationError
        `new` exists.
    StoreError
        Nothing could be read, a process writes to it, or it is no file or written by a newer version.
    MachineError
        No room for the new file.
    """
    if new.exists():
        raise ConfigurationError(str(new), "it exists, and is not overwritten", "name a file that does not exist yet")
    if not damaged.is_file():
        raise StoreError(str(damaged), "a file is needed, this is none" if damaged.exists() else "no such file")
    if writer_lives(damaged):
        raise StoreError(str(damaged), "a process is writing to it", "wait for it, or stop it")
    with faults_of(new), tempfile.TemporaryDirectory(prefix=f"{new.name}-", dir=new.parent) as name:
        best, most = Rescue(damaged, new, (), 0, 0), (0, 0)
        for mend in _VIEWS:
            copy, target = _copied(damaged, Path(name)), Path(name) / "new.sqlite"
            mend(copy)
            with closing(connect_to_write(target)) as connection:
                found = Rescue(damaged, new, *_save(copy, connection, damaged))
            value = (found.finished, sum(table.saved for table in found.tables))
            if value > most:
                best, most = found, value
                target.replace(Path(name) / "best.sqlite")
            target.unlink(missing_ok=True)
            if all(table.lost == 0 for table in found.tables):
                break
        if not best.tables:
            raise StoreError(str(damaged), "nothing of it could be read", "restore a copy")
        (Path(name) / "best.sqlite").replace(new)
    return best


def _save(copy: Path, target: sqlite3.Connection, damaged: Path) -> tuple[tuple[RescuedTable, ...], int, int]:
    """All that can be read and makes sense goes into an empty store; counts of it."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as source:
        _refuse_newer(source, damaged)
        target.execute("PRAGMA foreign_keys = 0")
        target.execute("BEGIN IMMEDIATE")
        expected = {table.name: _transfer(source, target, table) for table in schema.TABLES}
    _drop_nonsense(target)
    planned_again = _plan_incomplete_again(target)
    _drop_orphans(target)
    target.execute("COMMIT")
    saved = {name: _number(target, f"SELECT count(*) FROM {name}") or 0 for name in expected}
    tables = [RescuedTable(name, saved[name], None if n is None else max(0, n - saved[name]))
              for name, n in expected.items()]  # fmt: skip
    finished = _number(target, f"SELECT count(*) FROM run WHERE status IN {schema.FINISHED}") or 0
    return tuple(tables), finished, planned_again


def _refuse_newer(source: sqlite3.Connection, damaged: Path) -> None:
    version = _number(source, "PRAGMA user_version") or 0
    if _number(source, "PRAGMA application_id") == schema.APPLICATION_ID and version > schema.SCHEMA_VERSION:
        raise StoreError(str(damaged), f"written by a newer mnistlab, in format {version}", "install a newer mnistlab")


# Views of the file: as it is; with a header, or with the pages of the list of tables, as a new store has them.


def _copied(damaged: Path, folder: Path) -> Path:
    copy = folder / "damaged.sqlite"
    with faults_of(damaged):
        shutil.copyfile(damaged, copy)
        journal = damaged.with_name(f"{damaged.name}-journal")
        if journal.is_file():  # of a writer that was killed: SQLite will undo its half of a transaction
            shutil.copyfile(journal, copy.with_name(f"{copy.name}-journal"))
    return copy


def _restore_length(copy: Path) -> None:
    """SQLite reads nothing of a file that was cut off, unless it has the length that it says."""
    with copy.open("r+b") as file:
        header = file.read(_HEADER)
        pages, limit = int.from_bytes(header[28:32]), 2 * copy.stat().st_size + 2**30
        if int.from_bytes(header[16:18]) == _PAGE and copy.stat().st_size < pages * _PAGE < limit:
            file.truncate(pages * _PAGE)


def _replace_header(copy: Path) -> None:
    _overwrite(copy, _empty_store(schema.SCHEMA_VERSION), [slice(_HEADER)])


def _replace_schema(copy: Path, version: int) -> None:
    """Where the tables of a store begin is known: all of one format are laid out alike."""
    fresh = _empty_store(version)
    _overwrite(copy, fresh, [slice(page, page + _PAGE) for page in _schema_pages(fresh)])


_VIEWS: tuple[Callable[[Path], None], ...] = (
    _restore_length,
    _replace_header,
    *(partial(_replace_schema, version=version) for version in range(schema.SCHEMA_VERSION, 0, -1)),
)


def _empty_store(version: int) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in schema.create_statements(version):
            connection.execute(statement)
        return connection.serialize()


def _schema_pages(fresh: bytes) -> list[int]:
    """Where the pages of a store's list of tables begin, in bytes: the first, and those that it points to."""
    inner = fresh[_HEADER] == 5
    n_cells = int.from_bytes(fresh[103:105]) if inner else 0
    cells = [int.from_bytes(fresh[at : at + 2]) for at in range(112, 112 + 2 * n_cells, 2)]
    pointers = [fresh[at : at + 4] for at in (108, *cells)] if inner else []
    return [0, *(_PAGE * (int.from_bytes(pointer) - 1) for pointer in pointers)]


def _overwrite(copy: Path, fresh: bytes, pieces: list[slice]) -> None:
    pages = -(-max(copy.stat().st_size, len(fresh)) // _PAGE)
    with copy.open("r+b") as file:
        file.truncate(pages * _PAGE)
        for piece in pieces:
            file.seek(piece.start or 0)
            file.write(fresh[piece])
        file.seek(28)
        file.write(pages.to_bytes(4))


# Reading around what is damaged.


def _transfer(source: sqlite3.Connection, target: sqlite3.Connection, table: schema.Table) -> int | None:
    """Bring over every row of a table that can be read and keeps its constraints; how many it had, None: unknown."""
    found = {row[1] for row in _rows(source, f"PRAGMA table_xinfo({table.name})")}  # not all in an older format
    if not found:
        return None
    values = table.values(found)
    if table.key == "rowid" and "INTEGER PRIMARY KEY" not in table.columns[0].kind:
        values = {"rowid": "rowid", **values}
    select = f"SELECT {', '.join(values.values())} FROM {table.name} NOT INDEXED ORDER BY {table.key}"
    insert = f"INSERT INTO {table.name} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    expected, saved = _expected(source, table), f"SELECT count(*) FROM {table.name}"
    for direction in ("", "DESC"):
        if expected is None or expected != _number(target, saved):
            for row in _rows(source, f"{select} {direction}"):
                with suppress(sqlite3.IntegrityError):
                    target.execute(insert, row)
    return expected


def _expected(source: sqlite3.Connection, table: schema.Table) -> int | None:
    """How many rows a table has, by its smallest index or else by itself."""
    count = f"SELECT count(*) FROM {table.name}"
    by_index = _number(source, count)
    return _number(source, f"{count} NOT INDEXED") if by_index is None else by_index


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows up to the first that cannot be read."""
    n_rows = 0
    with suppress(sqlite3.Error, UnicodeDecodeError):
        for row in connection.execute(query):
            yield row
            n_rows += 1
        return
    with suppress(sqlite3.Error, UnicodeDecodeError):  # Python reads one row ahead, and kept it to itself
        yield from connection.execute(f"{query} LIMIT 1 OFFSET {n_rows}")


def _number(connection: sqlite3.Connection, query: str) -> int | None:
    """The only value of a query, None where it has none or cannot be read."""
    return next((value for (value,) in _rows(connection, query)), None)


# What makes sense.


def _drop_nonsense(target: sqlite3.Connection) -> None:
    cells: dict[str, Cell] = {}
    digits: dict[str, PartLabels] = {}

    def cell(row: dict[str, Any]) -> bool:
        found = Cell.from_content(json.loads(row["content"]))
        cells[found.id] = found
        return found.id == row["id"]

    def run(row: dict[str, Any]) -> bool:
        # There is no list where the columns are those of another format.
        listed = row["engine"] is None or isinstance(json.loads(row["differences"]), list)
        return listed and Run(cells[row["cell"]], row["seed"]).id == row["id"]

    def environment(row: dict[str, Any]) -> bool:
        return environment_of(row).id == row["id"]

    def labels(row: dict[str, Any]) -> bool:
        indices, truth = np.frombuffer(row["indices"], "<i4"), np.frombuffer(row["labels"], np.uint8)
        found = PartLabels(row["dataset"], row["part"], row["n_classes"], indices, truth)
        digits[found.id] = found
        return found.id == row["id"] and len(truth) == len(indices) == row["n"]

    def prediction(row: dict[str, Any]) -> bool:
        truth = digits[row["labels"]].labels
        right = np.frombuffer(row["predicted"], np.uint8) == truth
        lists = [json.loads(row[name]) for name in ("bin_count", "bin_confidence", "bin_accuracy")]
        counts = (row["n"], row["n_correct"], *map(len, lists)) == (len(truth), right.sum(), 15, 15, 15)
        return counts and np.array_equal(bits.unpack(row["correct"], len(truth)), right)

    for makes_sense in (cell, run, environment, labels, prediction):
        table = makes_sense.__name__
        cursor = target.execute(f"SELECT rowid, * FROM {table}")
        names = [column[0] for column in cursor.description]
        wrong = [row[0] for row in cursor if not _holds(makes_sense, dict(zip(names[1:], row[1:], strict=True)))]
        target.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(rowid,) for rowid in wrong])


def _holds(makes_sense: Callable[[dict[str, Any]], bool], row: dict[str, Any]) -> bool:
    try:
        return makes_sense(row)
    except _NONSENSE:
        return False


_INCOMPLETE = f"""
    SELECT run.id FROM run LEFT JOIN cell ON cell.id = run.cell
    WHERE engine IS NOT NULL AND environment NOT IN (SELECT id FROM environment)
    OR status IN {schema.FINISHED} AND (
        engine IS NULL OR
        (SELECT count(*) != epochs_done OR max(epoch) IS NOT epochs_done FROM epoch WHERE run = run.id)
        OR status = 'done' AND (SELECT count(*) FROM prediction WHERE run = run.id AND (
            part = 'test' AND n = n_test OR part = 'validation' AND n = n_validation)) !=
            (run.id NOT IN (SELECT run FROM study_run WHERE role = 'search')) + (n_validation > 0))"""


def _plan_incomplete_again(target: sqlite3.Connection) -> int:
    """Runs that lack something lose the rest of it, too; how many."""
    nothing = ", ".join(f"{name} = NULL" for name in schema.RESULT_COLUMNS)
    ids = target.execute(_INCOMPLETE).fetchall()
    target.executemany(f"UPDATE run SET status = 'planned', attempt = 0, {nothing} WHERE id = ?", ids)
    return len(ids)


_ORPHANS = (
    "run WHERE cell NOT IN (SELECT id FROM cell)",
    "study_cell WHERE cell NOT IN (SELECT id FROM cell) OR study NOT IN (SELECT name FROM study)",
    "study_run WHERE run NOT IN (SELECT id FROM run) OR study NOT IN (SELECT name FROM study)",
    "epoch WHERE run NOT IN (SELECT id FROM run WHERE engine IS NOT NULL)",
    "prediction WHERE run NOT IN (SELECT id FROM run WHERE status = 'done')",
    "measurement WHERE cell NOT IN (SELECT id FROM cell) OR environment NOT IN (SELECT id FROM environment)",
)


def _drop_orphans(target: sqlite3.Connection) -> None:
    for rows in _ORPHANS:
        target.execute(f"DELETE FROM {rows}")
