"""The one process that writes: studies and their runs go in, then each result in one transaction.

`open_writer` refuses a store that another process writes. Nothing here trains, plans or reads a data set.
"""

# ruff: noqa: S608 - what is put into SQL text here are names of our own columns; values are always bound
import dataclasses
import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import StoreError
from mnistlab.plan import CellSize, architecture_key
from mnistlab.records import Environment, Evaluation, Measurement, PartLabels, Role, RunResult
from mnistlab.spec import Cell, Run
from mnistlab.store import bits, schema
from mnistlab.store.connection import connect_to_write, faults_of, take_lock
from mnistlab.study import Study

_STUDY_UPDATE = ", ".join(f"{name} = excluded.{name}" for name in ("seeds", "words", "until_margin", "tuning"))
_CELL_UPDATE = ", ".join(f"{column.name} = excluded.{column.name}" for column in schema.CELL.columns)


def open_writer(path: Path, *, holder: str, notify: Callable[[str], None] = lambda _: None) -> "StoreWriter":
    """The store's writer; file and folder are made when absent, runs a dead writer left running are planned again.

    A store of an older format is brought to the present one, after a copy of it has been kept beside it.

    Parameters
    ----------
    path : Path
        The store.
    holder : str
        What a second writer is told, such as the command line.
    notify : callable
        Told, in a line, that an older store was brought to the present format.

    Raises
    ------
    StoreError
        Another process writes, or the file cannot be used: damaged, of another program or version, not writable.
    MachineError
        No room on the disk.
    """
    with ExitStack() as on_fault:
        lock = take_lock(path, holder)
        on_fault.callback(os.close, lock)
        connection = connect_to_write(path, notify)
        on_fault.callback(connection.close)
        writer = StoreWriter(path, lock, connection)
        writer.plan_interrupted_runs()
        on_fault.pop_all()
        return writer


class StoreWriter:
    """Writes one store; a context manager that lets go of it at the end. See `open_writer`.

    Every method looks whether the file still stands at its path. If it was deleted, moved or replaced, all it held and
    what the method writes go into a file beside it, and a `StoreError` names that file; the writer goes on there.

    Attributes
    ----------
    path : Path
        The file written to.
    connection : sqlite3.Connection
        The open file. Handlers set on it see every statement: fault tests stop a commit in the middle that way.
    """

    def __init__(self, path: Path, lock: int, connection: sqlite3.Connection) -> None:
        self.path, self.connection, self._lock, self._file = path, connection, lock, _identity(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of the lock."""
        try:
            if lost := self._rescue():
                raise lost
        finally:
            self.connection.close()
            os.close(self._lock)

    def plan_interrupted_runs(self) -> None:
        """Runs that a dead writer left running are planned again."""
        with self._transaction():
            self._execute("UPDATE run SET status = 'planned', started_at = NULL WHERE status = 'running'")

    def register_study(
        self, study: Study, sizes: Mapping[str, CellSize], runs: Iterable[Run], role: Role = "common"
    ) -> None:
        """Enter a study, its cells and these runs, and mark it as the study run last.

        What has finished stays in the study. Of the role `common`, runs that are not asked for any more and have not
        finished leave it, and with them cells that then have no run in it. Of other roles runs may come little by
        little: what the study has already is not touched, and a call costs what it brings.

        Parameters
        ----------
        study : Study
            Of the role `common` its cells come first in the study's order, then those it had before and has no more;
            of other roles the cells that are new come last.
        sizes : mapping of str to CellSize
            By cell id, for every cell of the study.
        runs : iterable of Run
            Runs of the study's cells.
        role : str, default="common"
            `common`, `fresh` or `search`; a run that already has one keeps it.
        """
        ids = {cell: cell.id for cell in study.cells}
        with self._transaction():
            self._enter_study(study)
            rows = [_cell_row(cell, sizes[id_]) for cell, id_ in ids.items()]
            self._many(f"{schema.CELL.insert} ON CONFLICT (id) DO UPDATE SET {_CELL_UPDATE}", rows)
            asked = [(run.id, ids[run.cell], run) for run in runs]
            self._enter_runs(study.name, asked, role)
            if role == "common":
                self._take_out_all_but(study.name, {id_ for id_, _, _ in asked}, "common")
                self._order_cells(study.name, list(ids.values()))
            else:
                self._add_cells(study.name, list(ids.values()))

    def _enter_study(self, study: Study) -> None:
        row = {"name": study.name, "seeds": json.dumps(study.seeds), "words": study.words, "last_run": 0,
               "until_margin": study.until_margin, "tuning": study.asked and study.asked.to_json()}  # fmt: skip
        self._execute(f"{schema.STUDY.insert} ON CONFLICT (name) DO UPDATE SET {_STUDY_UPDATE}", row)
        latest = "(SELECT max(last_run) + 1 FROM study)"
        self._execute(f"UPDATE study SET last_run = {latest} WHERE name = ?", (study.name,))

    def _order_cells(self, study: str, first: list[str]) -> None:
        known = self._execute("SELECT cell FROM study_cell WHERE study = ? ORDER BY position", (study,))
        order = dict.fromkeys([*first, *(cell for (cell,) in known)])
        rows = [{"study": study, "cell": cell, "position": position} for position, cell in enumerate(order)]
        insert = f"{schema.STUDY_CELL.insert} ON CONFLICT (study, cell) DO UPDATE SET position = excluded.position"
        self._many(insert, rows)

    def _add_cells(self, study: str, cells: list[str]) -> None:
        insert = """INSERT INTO study_cell (study, cell, position)
                    SELECT :study, :cell, coalesce(max(position) + 1, 0) FROM study_cell WHERE study = :study
                    ON CONFLICT (study, cell) DO NOTHING"""
        self._many(insert, [{"study": study, "cell": cell} for cell in cells])

    def _enter_runs(self, study: str, runs: list[tuple[str, str, Run]], role: Role) -> None:
        self._many(
            "INSERT INTO run (id, cell, seed, status, epochs_asked) VALUES (?, ?, ?, 'planned', ?) "
            "ON CONFLICT (id) DO NOTHING",
            [(id_, cell, run.seed, run.cell.training.epochs) for id_, cell, run in runs],
        )
        insert = f"{schema.STUDY_RUN.insert} ON CONFLICT (run, study) DO NOTHING"
        self._many(insert, [{"study": study, "run": id_, "role": role} for id_, _, _ in runs])

    def withdraw_open_trials(self, study: str) -> None:
        """What a search has asked for leaves it where there is no result, and with it cells that then have no run."""
        with self._transaction():
            self._take_out_all_but(study, set(), "search", "fresh")

    def _take_out_all_but(self, study: str, asked: set[str], *roles: Role) -> None:
        """Open runs of these roles that are not asked for leave the study, then cells without a run in it."""
        marks = ", ".join("?" * len(roles))
        open_runs = self._execute(
            f"SELECT run FROM study_run JOIN run ON run.id = run WHERE study = ? AND role IN ({marks}) "
            "AND status IN ('planned', 'failed', 'timeout')",
            (study, *roles),
        )
        rows = [(study, id_) for (id_,) in open_runs.fetchall() if id_ not in asked]
        self._many("DELETE FROM study_run WHERE study = ? AND run = ?", rows)
        with_runs = "SELECT run.cell FROM study_run JOIN run ON run.id = run WHERE study = :study"
        self._execute(f"DELETE FROM study_cell WHERE study = :study AND cell NOT IN ({with_runs})", {"study": study})

    def start(self, run_ids: Iterable[str]) -> None:
        """These runs are being trained now, once more than before; a run that is done or diverged is not touched."""
        with self._transaction():
            open_runs = [id_ for id_ in run_ids if self._status(id_) not in schema.FINISHED]
            self._clear(open_runs, "running")
            started = "UPDATE run SET attempt = attempt + 1, started_at = ? WHERE id = ?"
            self._many(started, [(time.time(), id_) for id_ in open_runs])

    def forget(self, run_ids: Iterable[str]) -> None:
        """These runs are planned again as if never started; their results are deleted, from every study."""
        ids = list(run_ids)
        with self._transaction():
            self._clear(ids, "planned")
            self._many("UPDATE run SET attempt = 0 WHERE id = ?", [(id_,) for id_ in ids])

    def forget_search(self, study: str) -> None:
        """Its runs leave it; results that no other study has are deleted."""
        others = "SELECT run FROM study_run WHERE study != :study"
        own = f"SELECT run FROM study_run WHERE study = :study AND run NOT IN ({others})"
        with self._transaction():
            self._clear([id_ for (id_,) in self._execute(own, {"study": study}).fetchall()], "planned")
            for table in ("study_run", "study_cell"):
                self._execute(f"DELETE FROM {table} WHERE study = :study", {"study": study})

    def _clear(self, ids: list[str], status: str) -> None:
        for table in ("epoch", "prediction"):
            self._many(f"DELETE FROM {table} WHERE run = ?", [(id_,) for id_ in ids])
        nothing = ", ".join(f"{name} = NULL" for name in schema.RESULT_COLUMNS)
        self._many(f"UPDATE run SET status = ?, {nothing} WHERE id = ?", [(status, id_) for id_ in ids])

    def commit(self, *results: RunResult) -> int:
        """Store results with their epochs, predictions and labels, all in one transaction.

        Returns
        -------
        int
            How many were stored: a result of a run that is done or diverged already is left out.

        Raises
        ------
        StoreError
            A run was never registered; or the file was deleted or moved (see the class).
        MachineError
            No room on the disk; the store is as it was before.
        """
        with self._transaction():
            return sum(self._store(result) for result in results)

    def _store(self, result: RunResult) -> bool:
        id_ = result.run.id
        if (status := self._status(id_)) in schema.FINISHED:
            return False
        if status is None:
            raise StoreError(f"{self.path}, run {id_}", "it belongs to no study of this store", "register it first")
        self._execute("DELETE FROM epoch WHERE run = ?", (id_,))
        self._execute("DELETE FROM prediction WHERE run = ?", (id_,))
        self._insert_once(schema.ENVIRONMENT, _environment_row(result.environment))
        row = {**_result_row(result), "id": id_, "finished_at": time.time()}
        self._execute(f"UPDATE run SET {', '.join(f'{name} = :{name}' for name in row)} WHERE id = :id", row)
        self._many(schema.EPOCH.insert, [{"run": id_, **dataclasses.asdict(epoch)} for epoch in result.epochs])
        for evaluation in (result.test, result.validation):
            if evaluation is not None:
                self._insert_once(schema.LABELS, _labels_row(evaluation.digits))
                self._execute(schema.PREDICTION.insert, {"run": id_, **_prediction_row(evaluation)})
        return True

    def add_measurement(self, measurement: Measurement) -> None:
        """Keep what a probe found; its cell must be registered."""
        values = {field.name: getattr(measurement, field.name) for field in dataclasses.fields(measurement)}
        keys = {"number": None, "cell": values.pop("cell_id"), "environment": measurement.environment.id}
        with self._transaction():
            self._insert_once(schema.ENVIRONMENT, _environment_row(measurement.environment))
            self._execute(schema.MEASUREMENT.insert, {**values, **keys})

    def _status(self, run_id: str) -> str | None:
        row = self._execute("SELECT status FROM run WHERE id = ?", (run_id,)).fetchone()
        return row and row[0]

    def _insert_once(self, table: schema.Table, row: Mapping[str, Any]) -> None:
        self._execute(f"{table.insert} ON CONFLICT (id) DO NOTHING", row)

    def _execute(self, statement: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self.connection.execute(statement, _plain(values))

    def _many(self, statement: str, rows: Iterable[Mapping[str, Any] | tuple[Any, ...]]) -> None:
        self.connection.executemany(statement, map(_plain, rows))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        lost = self._rescue()
        with faults_of(self.path):
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.rollback()
                raise
        if lost:
            raise lost

    def _rescue(self) -> StoreError | None:
        """Go on beside a file that is gone; the fault that tells so, None where nothing happened to the file."""
        if self._file_is_there():
            return None
        gone = self.path
        self._continue_beside()
        why = f"it was deleted or moved; all that finished is in {self.path}"
        return StoreError(str(gone), why, f"move that file to {gone} and go on")

    def _file_is_there(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    def _continue_beside(self) -> None:
        """Go on in a copy of the open file, which is readable though its name is gone."""
        beside = self.path.with_name(f"{self.path.stem}-rescued-{time.time_ns()}{self.path.suffix}")
        with faults_of(beside), ExitStack() as on_fault:
            beside.parent.mkdir(parents=True, exist_ok=True)
            on_fault.callback(beside.unlink, missing_ok=True)
            copy = connect_to_write(beside)
            on_fault.callback(copy.close)
            self.connection.backup(copy)
            identity = _identity(beside)
            on_fault.pop_all()
            self.connection.close()
        self.path, self.connection, self._file = beside, copy, identity


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _plain(values: Mapping[str, Any] | tuple[Any, ...]) -> Mapping[str, Any] | tuple[Any, ...]:
    """NumPy's numbers as Python's, which SQLite knows."""
    if isinstance(values, Mapping):
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return tuple(value.item() if isinstance(value, np.generic) else value for value in values)


def _cell_row(cell: Cell, size: CellSize) -> dict[str, Any]:
    return {
        "id": cell.id,
        "label": cell.label,
        "content": json.dumps(cell.content()),
        "dataset": cell.dataset,
        "framework": cell.framework,
        "architecture_key": architecture_key(cell, size),
        **dataclasses.asdict(size),
    }


def _environment_row(environment: Environment) -> dict[str, Any]:
    row = {"id": environment.id, **dataclasses.asdict(environment)}
    return {**row, **{name: json.dumps(dict(row[name])) for name in ("packages", "variables")}}


def _result_row(result: RunResult) -> dict[str, Any]:
    return {
        **{name: getattr(result, name) for name in schema.RESULT_FIELDS},
        **dataclasses.asdict(result.ledger),
        "environment": result.environment.id,
        "differences": json.dumps(result.differences),
    }


def _labels_row(digits: PartLabels) -> dict[str, Any]:
    return {
        "id": digits.id,
        "dataset": digits.dataset,
        "part": digits.part,
        "n_classes": digits.n_classes,
        "n": len(digits.labels),
        "indices": digits.indices.astype("<i4").tobytes(),
        "labels": digits.labels.astype(np.uint8).tobytes(),
    }


def _prediction_row(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "part": evaluation.digits.part,
        "labels": evaluation.digits.id,
        "n": len(evaluation.predicted),
        "n_correct": int(evaluation.correct.sum()),
        **{name: getattr(evaluation, name) for name in schema.EVALUATION_FIELDS},
        **{name: _json_list(getattr(evaluation, name)) for name in ("bin_count", "bin_confidence", "bin_accuracy")},
        "correct": bits.pack(evaluation.correct),
        "predicted": evaluation.predicted.astype(np.uint8).tobytes(),
    }


def _json_list(values: NDArray[np.number]) -> str:
    return json.dumps([None if math.isnan(value) else value for value in values.tolist()])
