"""Tables out of the store: frames, counts and single runs. Needs the file alone, changes nothing, may read while a
writer writes.

Each call opens the file, reads and closes it. A store that was never written reads as an empty one.
"""

# ruff: noqa: S608 - what is put into SQL text here are names of our own columns; values are always bound
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.asked import RatesAsked, SearchAsked, read_asked
from mnistlab.errors import ConfigurationError, did_you_mean
from mnistlab.formatting import html_paragraph
from mnistlab.plan import CellSize
from mnistlab.records import Environment, EpochRecord, Evaluation, Ledger, PartLabels, Role, RunResult
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store import schema
from mnistlab.store.connection import connect_to_read, damaged, faults_of, writer_lives

if TYPE_CHECKING:
    import pandas as pd

MIN_PREFIX = 4  # characters of an id that name it, if no other begins so
RECENT_RUNS = 200  # how many finished runs tell the present speed

_STATUS = "CASE WHEN status = 'running' AND NOT :lives THEN 'planned' ELSE status END"
_OF_STUDY = "(:study IS NULL OR run.id IN (SELECT run FROM study_run WHERE study = :study))"
_IN_ORDER = "LEFT JOIN study_cell ON study_cell.study = :study AND study_cell.cell = cell.id"
_ROLE = "(SELECT min(role) FROM study_run WHERE study_run.run = run.id AND (:study IS NULL OR study = :study))"
# Trials of a search have no test accuracy. They, and cells that have nothing else, are in no table of cells.
_NO_TRIAL = """run.id NOT IN (SELECT run FROM study_run WHERE :study IS NULL OR study = :study
                               GROUP BY run HAVING min(role) = 'search')"""
_OF_ROLE = """cell.id IN (SELECT run.cell FROM study_run JOIN run ON run.id = study_run.run
                          WHERE role {} 'search' AND (:study IS NULL OR study = :study))"""
_NO_TRIALS_ALONE = f"(NOT {_OF_ROLE.format('=')} OR {_OF_ROLE.format('!=')})"


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """How far a study is: its number of runs in each status.

    Attributes
    ----------
    study : str
    planned, running, done, failed, diverged, timeout : int
        `running` is 0 when no process writes: those runs count as planned.
    networks_per_second : float | None
        Of the last 200 that ended, over the time in which any of them was trained: pauses do not count.
    words : str
        What stands behind `mnistlab run`, of a search behind `mnistlab tune`, to ask for the study again, shell-quoted;
        empty when only Python can.
    until_margin : float | None
        Of an adaptive study, whose seeds go where verdicts are open, its margin, a fraction.
    is_search : bool
        Its cells were asked for by a tuner.
    """

    study: str
    planned: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    diverged: int = 0
    timeout: int = 0
    networks_per_second: float | None = None
    words: str = ""
    until_margin: float | None = None
    is_search: bool = False

    @property
    def command(self) -> str:
        """The command that asks for the study again; empty when only Python can."""
        return self.words and f"mnistlab {'tune' if self.is_search else 'run'} {self.words}"


@dataclass(frozen=True, slots=True)
class Timing:
    """What a run took from end to end, and how it was trained; see `RunResult`."""

    cell_id: str
    engine: str
    program: str
    epochs_done: int
    seconds: float
    compile_seconds: float
    steps_seconds: float
    import_seconds: float


@dataclass(frozen=True, slots=True)
class RunDetail:
    """Everything about one run; `result` is None until an attempt has ended. Times in seconds since 1970 UTC.

    `role` is `search` of a trial of a search, which has seen no test digit. `weights` is the file its trained network
    is kept in, as whoever knows the folder found it.
    """

    run: Run
    size: CellSize
    status: str
    attempt: int
    started_at: float | None
    finished_at: float | None
    studies: tuple[str, ...]
    result: RunResult | None
    role: Role = "common"
    weights: Path | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows: which run it is, how it ended, and how many digits it gets right."""
        told = [f"Run {self.run.id}: {self.run.cell.label}, seed {self.run.seed}, {self.status}"]
        if self.result is not None:
            told += [f"{int(part.correct.sum()):,} of {len(part.correct):,} {part.digits.part} digits right"
                     for part in (self.result.test, self.result.validation) if part is not None]  # fmt: skip
            told.append(f"{self.result.epochs_done:,} of {self.run.cell.training.epochs:,} epochs")
        return html_paragraph("; ".join(told) + ".")


def open_store(path: Path) -> "Store":
    """The readers of the store at `path`, which need not exist yet.

    Raises
    ------
    StoreError
        The file is damaged, of another program or of another version.
    """
    store = Store(path)
    store.study_names()
    return store


@dataclass(frozen=True, slots=True)
class Store:
    """Readers of one store; see `open_store`. `study=None` means all studies."""

    path: Path

    def _rows(self, query: str, values: Mapping[str, Any] | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names and rows of a query; `:lives` in it says whether a process writes."""
        with closing(connect_to_read(self.path)) as connection, faults_of(self.path):
            cursor = connection.execute(query, {"lives": writer_lives(self.path), **(values or {})})
            return [column[0] for column in cursor.description], cursor.fetchall()

    @contextmanager
    def _sense(self) -> Iterator[None]:
        """What cannot be understood, though SQLite could read it, is a damaged file too."""
        try:
            yield
        except (ValueError, TypeError, LookupError) as error:
            raise damaged(self.path, error) from error

    def _frame(self, query: str, values: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """A frame whose columns have the same type whatever is missing: numbers with NaN, or text."""
        import pandas as pd

        names, rows = self._rows(query, values)
        frame = pd.DataFrame.from_records(rows, columns=names)
        for name in names:
            if frame[name].isna().all():
                text = name.removeprefix("test_").removeprefix("validation_") in schema.TEXT_COLUMNS
                frame[name] = frame[name].astype("str" if text else "float64")
        return frame

    def study_names(self) -> list[str]:
        """Studies, the one run last at the end."""
        return [name for (name,) in self._rows("SELECT name FROM study ORDER BY last_run")[1]]

    def last_study(self) -> str | None:
        """The study run last."""
        return next(reversed(self.study_names()), None)

    def adaptive(self, study: str) -> tuple[list[int], float] | None:
        """The seeds that a study may use and its margin, a fraction, if its seeds go where verdicts are open.

        None where every cell gets every seed, and of a study that the store does not know.
        """
        query = "SELECT seeds, until_margin FROM study WHERE name = :study AND until_margin IS NOT NULL"
        with self._sense():
            return next(((json.loads(seeds), margin) for seeds, margin in self._rows(query, {"study": study})[1]), None)

    def studies(self) -> list[StudyStatus]:
        """How far each study is, in the order of `study_names`."""
        query = f"SELECT study, {_STATUS}, count(*) FROM study_run JOIN run ON run.id = run GROUP BY 1, 2"
        rows = self._rows(query)[1]  # before the names: a study that enters in between is then only without runs
        named = self._rows("SELECT name, words, until_margin, tuning FROM study ORDER BY last_run")[1]
        counts: dict[str, dict[str, int]] = {name: {} for name, *_ in named}
        with self._sense():
            for study, status, count in rows:
                counts[study][status] = count
            return [
                StudyStatus(study, **counts[study], networks_per_second=self._speed(study), words=words,
                            until_margin=margin, is_search=isinstance(read_asked(tuning or ""), SearchAsked))
                for study, words, margin, tuning in named
            ]  # fmt: skip

    def _speed(self, study: str) -> float | None:
        query = f"""SELECT started_at, finished_at FROM run WHERE started_at < finished_at AND {_OF_STUDY}
                    ORDER BY finished_at DESC LIMIT {RECENT_RUNS}"""
        spans = self._rows(query, {"study": study})[1]
        return len(spans) / _covered(spans) if spans else None

    def statuses(self, study: str | None = None) -> dict[str, str]:
        """Status by run id."""
        return dict(self._rows(f"SELECT id, {_STATUS} FROM run WHERE {_OF_STUDY}", {"study": study})[1])

    def done(self) -> list[tuple[str, int, float | None]]:
        """Cell, seed and validation accuracy (None: no validation digits) of every run that is done, but of trials."""
        query = f"""SELECT run.cell, seed, 1.0 * n_correct / prediction.n FROM run
                    LEFT JOIN prediction ON prediction.run = run.id AND part = 'validation'
                    WHERE status = 'done' AND {_NO_TRIAL}"""
        return [(cell, seed, accuracy) for cell, seed, accuracy in self._rows(query, {"study": None})[1]]

    def finished(self, study: str | None = None) -> set[str]:
        """Ids of the runs that are done or diverged: never to be trained again."""
        return {run for run, status in self.statuses(study).items() if status in schema.FINISHED}

    def sizes(self, study: str | None = None) -> list[tuple[Cell, CellSize]]:
        """Cells in the study's order (of all studies: as they were entered), each with its size, as it was then.

        Those of trials are among them.
        """
        rows = self._cell_rows(study)
        with self._sense():
            return [(_cell(row), _size(row)) for row in rows]

    def _cell_rows(self, study: str | None, which: str = "TRUE") -> list[dict[str, Any]]:
        query = f"""SELECT cell.* FROM cell {_IN_ORDER}
                    WHERE (:study IS NULL OR study_cell.cell IS NOT NULL) AND {which} ORDER BY position, cell.rowid"""
        names, rows = self._rows(query, {"study": study})
        return [dict(zip(names, row, strict=True)) for row in rows]

    def cell_table(self, study: str | None = None) -> "pd.DataFrame":
        """A row per cell: `cell`, `label`, every setting under its own name, counts, `architecture_key`.

        Cells that have no runs but trials are left out. Of a study that gave each cell its own best value of a knob
        there is one more column, `tuned_knob`, the name of that knob; of cells that differ in it alone the first is
        there, the one that the study has now.
        """
        import pandas as pd

        rows, knob = self._cell_rows(study, _NO_TRIALS_ALONE), self.tuned_knob(study)
        with self._sense():
            table = [{"cell": row["id"], **_cell(row).settings(), **row} for row in rows]
        if knob:
            alike = {str({**_cell(row).settings(), knob: None}): at for at, row in reversed(list(enumerate(rows)))}
            table = [{**table[at], "tuned_knob": knob} for at in sorted(alike.values())]
        counts = [column.name for column in schema.CELL.columns if column.name not in ("id", "content")]
        names = dict.fromkeys(["cell", "label", *Cell(Architecture((64,))).settings(), *counts])
        return pd.DataFrame(table, columns=[*names, *(["tuned_knob"] if knob else [])])

    def runs(self, study: str | None = None, *, bits: bool = False) -> "pd.DataFrame":
        """A row per run, cells in the study's order and by seed; of trials see `trials`.

        Parameters
        ----------
        study : str | None
        bits : bool, default=False
            Add `test_bits`: right or wrong for each test digit, uint8 array (ceil(n / 8),) as `numpy.packbits` packs.

        Returns
        -------
        DataFrame
            `run`, `cell`, `seed`, `role` (in the study; of all studies the most common), `status`, the columns of
            table run, and those of table prediction behind `test_` and `validation_`, with `accuracy`, a fraction.
        """
        import pandas as pd

        own = [column.name for column in schema.RUN.columns if column.name not in ("id", "cell", "seed", "status")]
        chosen = [*(f"run.{name}" for name in own), *_part_columns("test"), *_part_columns("validation")]
        query = f"""
            SELECT run.id AS run, run.cell, run.seed, {_ROLE} AS role, {_STATUS} AS status,
                   {", ".join([*chosen, "test.correct AS test_bits"] if bits else chosen)}
            FROM run JOIN cell ON cell.id = run.cell {_IN_ORDER}
            LEFT JOIN prediction AS test ON test.run = run.id AND test.part = 'test'
            LEFT JOIN prediction AS validation ON validation.run = run.id AND validation.part = 'validation'
            WHERE {_OF_STUDY} AND {_NO_TRIAL} ORDER BY position, cell.rowid, seed"""
        frame = self._frame(query, {"study": study})
        if bits:
            packed = [np.frombuffer(blob, np.uint8) if isinstance(blob, bytes) else None for blob in frame["test_bits"]]
            frame["test_bits"] = pd.Series(packed, dtype=object)
        return frame

    def epochs(self, study: str | None = None) -> "pd.DataFrame":
        """A row per epoch of the runs that `runs` has, with the columns of table epoch."""
        query = f"""SELECT epoch.* FROM epoch JOIN run ON run.id = epoch.run
                    WHERE {_OF_STUDY} AND {_NO_TRIAL} ORDER BY run, epoch"""
        return self._frame(query, {"study": study})

    def trials(self, study: str, *, failed: bool = False) -> "pd.DataFrame":
        """A row per trial of a search that is done or diverged, in the order in which they ended; or that `failed`.

        Returns
        -------
        DataFrame
            `run`, `cell`, `seed`, `status`, `validation_accuracy` (a fraction, NaN where there is none),
            `validation_n`, and of table run `epochs_done`, `epochs_asked`, `stopped_by`, `steps_seconds`,
            `end_to_end_seconds` and `finished_at`.
        """
        ended = (*schema.FINISHED, "failed", "timeout") if failed else schema.FINISHED
        query = f"""SELECT run.id AS run, run.cell, seed, status, 1.0 * n_correct / n AS validation_accuracy,
                           n AS validation_n, epochs_done, epochs_asked, stopped_by, steps_seconds, end_to_end_seconds,
                           finished_at
                    {_TRIALS} LEFT JOIN prediction ON prediction.run = run.id AND part = 'validation'
                    WHERE status IN {ended} ORDER BY finished_at, run.id"""
        return self._frame(query, {"study": study})

    def curves(self, study: str) -> dict[str, tuple[float, ...]]:
        """By trial of a search that is done or diverged, its validation accuracy, a fraction, epoch by epoch."""
        query = f"""SELECT epoch.run, validation_accuracy {_TRIALS} JOIN epoch ON epoch.run = run.id
                    WHERE status IN {schema.FINISHED} AND validation_accuracy IS NOT NULL ORDER BY epoch.run, epoch"""
        found: dict[str, list[float]] = {}
        for run, accuracy in self._rows(query, {"study": study})[1]:
            found.setdefault(run, []).append(accuracy)
        return {run: tuple(accuracies) for run, accuracies in found.items()}

    def asked(self, study: str) -> SearchAsked | RatesAsked | None:
        """What a study is to find; None where all its cells were named, and of a study that is not known."""
        query = "SELECT tuning FROM study WHERE name = :study"
        text = next((text or "" for (text,) in self._rows(query, {"study": study})[1]), "")
        with self._sense():
            return read_asked(text)

    def words(self, study: str) -> str:
        """What stands behind `mnistlab run`, or `tune`, to ask for a study again; empty where only Python can."""
        query = "SELECT words FROM study WHERE name = :study"
        return next((str(words) for (words,) in self._rows(query, {"study": study})[1]), "")

    def tuned_knob(self, study: str | None) -> str:
        """The knob of which every cell of a study has its own best value; empty where there is none."""
        asked = self.asked(study) if study else None
        return asked.knob if isinstance(asked, RatesAsked) else ""

    def predictions(self, run: str) -> "pd.DataFrame":
        """A row per digit of a run: `index`, `label`, `predicted`, `correct`, `part`; `run` as in `find_run`."""
        import pandas as pd

        evaluations = self._evaluations(self.find_run(run)).values()
        frames = [
            pd.DataFrame({"index": on.digits.indices, "label": on.digits.labels, "predicted": on.predicted,
                          "correct": on.correct, "part": on.digits.part})
            for on in evaluations
        ]  # fmt: skip
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_PREDICTION_COLUMNS)

    def part_labels(self, labels: str) -> PartLabels:
        """The digits that `test_labels` or `validation_labels` of `runs` name.

        Raises
        ------
        ConfigurationError
            None are named so.
        """
        query = "SELECT dataset, part, n_classes, indices, labels FROM labels WHERE id = :labels"
        rows = self._rows(query, {"labels": labels})[1]
        if not rows:
            raise ConfigurationError(f"labels {labels}", "the store holds none of that name", "`runs` names them")
        dataset, part, n_classes, indices, truth = rows[0]
        with self._sense():
            return PartLabels(dataset, part, n_classes, np.frombuffer(indices, "<i4"), np.frombuffer(truth, np.uint8))

    def predicted(self, labels: str, study: str | None = None) -> "pd.DataFrame":
        """The most probable class of each of these digits (see `part_labels`), by every network done that saw them.

        Returns
        -------
        DataFrame
            uint8; rows named by run id, cells in the study's order and by seed, columns in the order of the digits.
        """
        import pandas as pd

        query = f"""SELECT run.id, predicted FROM prediction JOIN run ON run.id = prediction.run
                    JOIN cell ON cell.id = run.cell {_IN_ORDER}
                    WHERE labels = :labels AND status = 'done' AND {_OF_STUDY} AND {_NO_TRIAL}
                    ORDER BY position, cell.rowid, seed"""
        digits, (_, rows) = self.part_labels(labels), self._rows(query, {"labels": labels, "study": study})
        with self._sense():
            classes = np.frombuffer(b"".join(blob for _, blob in rows), np.uint8).reshape(len(rows), len(digits.labels))
        return pd.DataFrame(classes, index=pd.Index([run for run, _ in rows], name="run", dtype="str"))

    def reliability(self, study: str | None = None) -> "pd.DataFrame":
        """How often networks were right on test digits at each height of their top probability.

        Returns
        -------
        DataFrame
            Fifteen rows per run done and tested: `run`, `cell`, `bin` (from 0), `count` (digits), `confidence` (mean
            top probability) and `accuracy` (share right), fractions, NaN in an empty bin.
        """
        import pandas as pd

        query = f"""SELECT run.id, run.cell, bin_count, bin_confidence, bin_accuracy
                    FROM prediction JOIN run ON run.id = prediction.run JOIN cell ON cell.id = run.cell {_IN_ORDER}
                    WHERE part = 'test' AND status = 'done' AND {_OF_STUDY} ORDER BY position, cell.rowid, seed"""
        rows = self._rows(query, {"study": study})[1]
        with self._sense():
            bins = [(run, cell, number, *values) for run, cell, *texts in rows
                    for number, values in enumerate(zip(*map(json.loads, texts), strict=True))]  # fmt: skip
        frame = pd.DataFrame(bins, columns=["run", "cell", "bin", "count", "confidence", "accuracy"])
        return frame.astype({"confidence": "float64", "accuracy": "float64"})

    def measurements(self) -> "pd.DataFrame":
        """A row per probe, in the order of measuring."""
        return self._frame("SELECT * FROM measurement ORDER BY number")

    def measured(self) -> set[str]:
        """Architecture keys that have a measurement."""
        return {key for (key,) in self._rows("SELECT DISTINCT architecture_key FROM measurement")[1]}

    def timings(self, processor: str, threads: int, device: str) -> list[Timing]:
        """What every run done on such a machine took, and so what later ones take."""
        query = """SELECT cell, engine, program, epochs_done, end_to_end_seconds, compile_seconds,
                          steps_seconds, import_seconds
                   FROM run JOIN environment ON environment.id = run.environment
                   WHERE status = 'done' AND processor = :processor AND threads = :threads AND device = :device"""
        machine = {"processor": processor, "threads": threads, "device": device}
        return [Timing(*row) for row in self._rows(query, machine)[1]]

    def environments(self) -> "pd.DataFrame":
        """A row per environment; `packages` and `variables` are JSON text."""
        return self._frame("SELECT * FROM environment ORDER BY rowid")

    def find_run(self, text: str) -> str:
        """The id of the run named by its id, by a prefix of 4 or more characters that no other begins with, or by its
        cell (as in `find_cell`) where that has one run.

        Raises
        ------
        ConfigurationError
            None, or several, are named so.
        """
        return _only("run", text, self.runs_named(text), "")

    def runs_named(self, text: str) -> list[str]:
        """Ids of all runs that `find_run` could mean, in the order of their seeds."""
        prefix = text.lower() if len(text) >= MIN_PREFIX else "none"  # which begins no id
        query = "SELECT id FROM run WHERE id >= :prefix AND id < :prefix || '~'"
        runs = self._rows(query, {"prefix": prefix})[1]
        if not runs:
            of_cell = "SELECT id FROM run WHERE cell = :cell ORDER BY seed"
            runs = [
                row
                for cell in _cells_named(text, self._cell_rows(None))
                for row in self._rows(of_cell, {"cell": cell})[1]
            ]
        return [run for (run,) in runs]

    def find_cell(self, text: str, study: str | None = None) -> str:
        """The id of the cell named by its id, by a prefix of 4 or more characters, or by its label where it is unique.

        Cells that have no runs but trials are not looked at.

        Raises
        ------
        ConfigurationError
            None, or several, are named so.
        """
        rows = self._cell_rows(study, _NO_TRIALS_ALONE)
        near = did_you_mean(text, [row["label"] for row in rows]) if rows else "`mnistlab results` shows what is done"
        return _only("cell", text, _cells_named(text, rows), near)

    def run_detail(self, run: str) -> RunDetail:
        """Everything about a run, named as in `find_run`."""
        id_ = self.find_run(run)
        of_cell = ", ".join(["content", *(field.name for field in fields(CellSize))])
        names, rows = self._rows(
            f"SELECT run.*, {_STATUS} AS shown, {of_cell} FROM run JOIN cell ON cell.id = cell WHERE run.id = :run",
            {"run": id_},
        )
        _, studies = self._rows("SELECT study, role FROM study_run WHERE run = :run ORDER BY study", {"run": id_})
        with self._sense():
            row = dict(zip(names, rows[0], strict=True))
            times = (row["attempt"], row["started_at"], row["finished_at"])
            asked = Run(_cell(row), row["seed"])
            result = self._result(asked, row) if row["engine"] is not None else None
            role: Role = min((role for _, role in studies), default="common")  # a trial is `search` everywhere
            return RunDetail(asked, _size(row), row["shown"], *times, tuple(name for name, _ in studies), result, role)

    def _result(self, run: Run, row: Mapping[str, Any]) -> RunResult:
        _, epochs = self._rows(f"SELECT {_EPOCH} FROM epoch WHERE run = :run ORDER BY epoch", {"run": run.id})
        names, [values] = self._rows("SELECT * FROM environment WHERE id = :id", {"id": row["environment"]})
        evaluations = self._evaluations(run.id)
        return RunResult(
            run=run,
            environment=environment_of(dict(zip(names, values, strict=True))),
            ledger=Ledger(**{field.name: row[field.name] for field in fields(Ledger)}),
            epochs=tuple(EpochRecord(*epoch) for epoch in epochs),
            differences=tuple(json.loads(row["differences"])),
            test=evaluations.get("test"),
            validation=evaluations.get("validation"),
            **{name: row[name] for name in schema.RESULT_FIELDS},
        )

    def _evaluations(self, run: str) -> dict[str, Evaluation]:
        """By part, test first."""
        names, rows = self._rows(
            """SELECT prediction.*, dataset, n_classes, indices, labels.labels AS truth
               FROM prediction JOIN labels ON labels.id = prediction.labels
               WHERE run = :run ORDER BY prediction.part""",
            {"run": run},
        )
        parts = [dict(zip(names, row, strict=True)) for row in rows]
        with self._sense():
            return {row["part"]: _evaluation(row) for row in parts}


_TRIALS = "FROM study_run JOIN run ON run.id = study_run.run AND study = :study AND role = 'search'"
_PREDICTION_COLUMNS = ["index", "label", "predicted", "correct", "part"]
_EPOCH = ", ".join(field.name for field in fields(EpochRecord))


def _part_columns(part: str) -> list[str]:
    """The numbers of table prediction, and the accuracy, named after the part."""
    left_out = ("run", "part", "bin_count", "bin_confidence", "bin_accuracy", "correct", "predicted")
    names = [column.name for column in schema.PREDICTION.columns if column.name not in left_out]
    accuracy = f"1.0 * {part}.n_correct / {part}.n AS {part}_accuracy"
    return [accuracy, *(f"{part}.{name} AS {part}_{name}" for name in names)]


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of the intervals, in seconds."""
    total, reached = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _only(kind: str, text: str, found: list[str], near: str) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise ConfigurationError(f"{kind} {text}", f"{len(found)} are named so", f"say which: {listed}")
    way_out = near or f"an id, or {MIN_PREFIX} or more of its first characters, is needed"
    raise ConfigurationError(f"{kind} {text}", "the store holds none of that name", way_out)


def _cells_named(text: str, rows: list[dict[str, Any]]) -> list[str]:
    by_label = [row["id"] for row in rows if row["label"] == text]
    return by_label or [row["id"] for row in rows if len(text) >= MIN_PREFIX and row["id"].startswith(text.lower())]


def _cell(row: Mapping[str, Any]) -> Cell:
    return Cell.from_content(json.loads(row["content"]))


def _size(row: Mapping[str, Any]) -> CellSize:
    return CellSize(**{field.name: row[field.name] for field in fields(CellSize)})


def environment_of(row: Mapping[str, Any]) -> Environment:
    """The environment in a row of its table, by column name."""
    pairs = {name: tuple(json.loads(row[name]).items()) for name in ("packages", "variables")}
    return Environment(**{name: value for name, value in {**row, **pairs}.items() if name != "id"})


def _evaluation(row: Mapping[str, Any]) -> Evaluation:
    indices, truth = np.frombuffer(row["indices"], "<i4"), np.frombuffer(row["truth"], np.uint8)
    return Evaluation(
        digits=PartLabels(row["dataset"], row["part"], row["n_classes"], indices, truth),
        predicted=np.frombuffer(row["predicted"], np.uint8),
        **{name: float("nan") if row[name] is None else row[name] for name in schema.EVALUATION_FIELDS},
        bin_count=np.array(json.loads(row["bin_count"]), np.int64),
        bin_confidence=_floats(row["bin_confidence"]),
        bin_accuracy=_floats(row["bin_accuracy"]),
    )


def _floats(text: str) -> NDArray[np.float64]:
    return np.array(json.loads(text), np.float64)
