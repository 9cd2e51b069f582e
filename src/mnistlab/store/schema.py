"""The store's tables, column by column with their units: the one place that SQL and docs/format.md come from.

`python -m mnistlab.store.schema > docs/format.md` writes the page again after a change. Nothing here opens a file.
"""

# ruff: noqa: S608 - what is put into SQL text here are names of our own columns; values are always bound
import sys
from collections.abc import Container
from typing import NamedTuple

APPLICATION_ID = 0x4D4E4C42  # "MNLB"
SCHEMA_VERSION = 4

FINISHED = ("done", "diverged")  # never trained again
LEGAL_STATUSES = ("planned", "running", "done", "failed", "diverged", "timeout")


class Column(NamedTuple):
    """A column: its name, its SQL type with constraints, what it means and in which unit.

    `since` is the first format that has it, `before` what a row of an older format holds in its place, in SQL.
    """

    name: str
    kind: str
    about: str
    since: int = 1
    before: str = "NULL"


class Table(NamedTuple):
    """A table: its name, what a row is, its columns, and what SQL wants behind them."""

    name: str
    about: str
    columns: tuple[Column, ...]
    keys: str = ""
    options: str = "STRICT"

    @property
    def sql(self) -> str:
        """`CREATE TABLE` with every explanation as a comment: the shell's `.schema` shows them."""
        last = len(self.columns) - 1
        lines = [
            f"  {column.name} {column.kind}{',' if self.keys or place < last else ''}  -- {column.about}"
            for place, column in enumerate(self.columns)
        ]
        keys = [f"  {self.keys}"] if self.keys else []
        return "\n".join([f"CREATE TABLE {self.name} (  -- {self.about}", *lines, *keys, f") {self.options}"])

    @property
    def names(self) -> list[str]:
        """Columns that are written: all but the generated ones."""
        return [column.name for column in self.columns if "GENERATED" not in column.kind]

    @property
    def key(self) -> str:
        """The column that its rows are in the file in the order of."""
        return self.keys.partition("(")[2].partition(",")[0] if "WITHOUT ROWID" in self.options else "rowid"

    @property
    def insert(self) -> str:
        """`INSERT` of a row given as a mapping, by column name."""
        return f"INSERT INTO {self.name} ({', '.join(self.names)}) VALUES ({', '.join(f':{n}' for n in self.names)})"

    def in_format(self, version: int) -> "Table":
        """The table as that format has it."""
        return self._replace(columns=tuple(column for column in self.columns if column.since <= version))

    def values(self, found: Container[str]) -> dict[str, str]:
        """By column that is written, the SQL of its value where the table has the columns `found` alone."""
        before = {column.name: column.before for column in self.columns}
        return {name: name if name in found else before[name] for name in self.names}


def _words(name: str, words: tuple[str, ...]) -> str:
    return f"TEXT NOT NULL CHECK ({name} IN ({', '.join(map(repr, words))}))"


STUDY = Table("study", "a named set of cells with seeds", (
    Column("name", "TEXT PRIMARY KEY", "the study's name"),
    Column("seeds", "TEXT NOT NULL", "JSON list of the seeds asked for"),
    Column("words", "TEXT NOT NULL DEFAULT ''", "what stands behind `mnistlab run` to ask for this study again "
           "(shell-quoted), empty when only Python can"),
    Column("last_run", "INTEGER NOT NULL", "rank in time: the study run last has the highest"),
    Column("until_margin", "REAL", "its seeds go where verdicts are open, until cells are told apart or equivalent "
           "within this fraction; empty: every cell gets every seed", since=3),
    Column("tuning", "TEXT", "JSON object: objective, limits and choices of a search; empty: all cells were asked for",
           since=4),
))  # fmt: skip

CELL = Table("cell", "everything about a network but the seed", (
    Column("id", "TEXT PRIMARY KEY", "12 hexadecimal characters: hash of the cell's content"),
    Column("label", "TEXT NOT NULL", "shape and activation, then whatever is not at its default"),
    Column("content", "TEXT NOT NULL", "JSON object of every setting, as `--json` shows it"),
    Column("dataset", "TEXT NOT NULL", "name of the data set"),
    Column("framework", "TEXT NOT NULL", "keras or sklearn"),
    Column("architecture_key", "TEXT NOT NULL", "what a measurement holds for; see table measurement"),
    Column("n_features", "INTEGER NOT NULL", "columns that enter the network"),
    Column("n_classes", "INTEGER NOT NULL", "classes"),
    Column("n_train", "INTEGER NOT NULL", "examples trained on, validation examples not among them"),
    Column("n_validation", "INTEGER NOT NULL", "examples kept for validation"),
    Column("n_test", "INTEGER NOT NULL", "examples tested on"),
    Column("parameters", "INTEGER NOT NULL", "parameters, moving averages of batch norm included"),
    Column("trainable_parameters", "INTEGER NOT NULL", "parameters the optimizer changes"),
    Column("flops_per_step", "INTEGER NOT NULL", "floating-point operations of one training step"),
    Column("steps_per_epoch", "INTEGER NOT NULL", "training steps in an epoch"),
))  # fmt: skip

STUDY_CELL = Table("study_cell", "a cell of a study", (
    Column("study", "TEXT NOT NULL REFERENCES study", "study.name"),
    Column("cell", "TEXT NOT NULL REFERENCES cell", "cell.id"),
    Column("position", "INTEGER NOT NULL", "place in the study's order, from 0"),
), "PRIMARY KEY (study, cell)", "STRICT, WITHOUT ROWID")  # fmt: skip

ENVIRONMENT = Table("environment", "what produced results; results of one id may be pooled", (
    Column("id", "TEXT PRIMARY KEY", "16 hexadecimal characters: hash of the other columns"),
    Column("python", "TEXT NOT NULL", "version"),
    Column("platform", "TEXT NOT NULL", "operating system and machine type"),
    Column("processor", "TEXT NOT NULL", "model name"),
    Column("cores", "INTEGER NOT NULL", "cores this process may use"),
    Column("threads", "INTEGER NOT NULL", "threads a run may use"),
    Column("device", "TEXT NOT NULL", "what trained: cpu, or the accelerator's name"),
    Column("packages", "TEXT NOT NULL", "JSON object: package to version"),
    Column("variables", "TEXT NOT NULL", "JSON object: environment variable to value, from an allow-list"),
    Column("data_sha256", "TEXT NOT NULL", "SHA-256 of the data set"),
    Column("code_version", "TEXT NOT NULL", "version of mnistlab"),
))  # fmt: skip

RUN = Table("run", "a cell with a seed, and how its training went", (
    Column("id", "TEXT PRIMARY KEY", "16 hexadecimal characters: hash of the cell's content and the seed"),
    Column("cell", "TEXT NOT NULL REFERENCES cell", "cell.id"),
    Column("seed", "INTEGER NOT NULL", "source of all its randomness"),
    Column("status", _words("status", LEGAL_STATUSES), "diverged: the loss became NaN; running needs a living writer"),
    Column("attempt", "INTEGER NOT NULL DEFAULT 0", "how often it was started"),
    Column("epochs_asked", "INTEGER NOT NULL", "epochs its cell asks for"),
    Column("started_at", "REAL", "seconds since 1970-01-01 UTC; the last attempt's start"),
    Column("finished_at", "REAL", "seconds since 1970-01-01 UTC; the last attempt's end"),
    Column("reason", "TEXT", "one line why it is not done; empty when it is"),
    Column("engine", "TEXT", "which engine trained it"),
    Column("program", "TEXT", "identifies the compiled program whose bits it shares"),
    Column("members", "INTEGER", "networks that program trained together"),
    Column("environment", "TEXT REFERENCES environment", "environment.id"),
    Column("epochs_done", "INTEGER", "epochs trained"),
    Column("best_epoch", "INTEGER", "epoch whose weights were kept, when early stopping restored them"),
    Column("stopped_by", "TEXT", "epochs, early_stopping or tol"),
    Column("import_seconds", "REAL", "seconds: importing the framework in a new process"),
    Column("data_seconds", "REAL", "seconds: splitting and preprocessing"),
    Column("compile_seconds", "REAL", "seconds: building and compiling"),
    Column("steps_seconds", "REAL", "seconds: training steps"),
    Column("evaluation_seconds", "REAL", "seconds: testing and validating"),
    Column("idle_seconds", "REAL", "seconds: none of these, since the previous run of its process"),
    Column("cpu_seconds", "REAL", "seconds of processor time, all threads"),
    Column("features_seconds", "REAL", "seconds of processor time that its features took when they were computed, once "
           "for all runs", since=2, before="CASE WHEN engine IS NOT NULL THEN 0.0 END"),
    Column("end_to_end_seconds", "REAL GENERATED ALWAYS AS "
           "(data_seconds + compile_seconds + steps_seconds + evaluation_seconds)",
           "seconds: data, compilation, steps and evaluation"),
    Column("weights_sha256", "TEXT", "SHA-256 of the trained arrays, in the order of the layers"),
    Column("differences", "TEXT", "JSON list: what the framework did otherwise than the specification says"),
), "UNIQUE (cell, seed)")  # fmt: skip

STUDY_RUN = Table("study_run", "a run of a study; a run may belong to several", (
    Column("study", "TEXT NOT NULL REFERENCES study", "study.name"),
    Column("run", "TEXT NOT NULL REFERENCES run", "run.id"),
    Column("role", _words("role", ("common", "fresh", "search")),
           "common: a seed all cells share; fresh: confirms a winner; search: a tuner's trial"),
), "PRIMARY KEY (run, study)", "STRICT, WITHOUT ROWID")  # fmt: skip

EPOCH = Table("epoch", "one epoch of a run; empty where nothing, or NaN, was measured", (
    Column("run", "TEXT NOT NULL REFERENCES run", "run.id"),
    Column("epoch", "INTEGER NOT NULL", "from 1"),
    Column("train_loss", "REAL", "nats, mean over the epoch's training examples"),
    Column("validation_loss", "REAL", "nats"),
    Column("validation_accuracy", "REAL", "fraction"),
    Column("test_accuracy", "REAL", "fraction"),
), "PRIMARY KEY (run, epoch)", "STRICT, WITHOUT ROWID")  # fmt: skip

LABELS = Table("labels", "digits that networks were tested or validated on, kept once", (
    Column("id", "TEXT PRIMARY KEY", "16 hexadecimal characters: hash of data set, part, indices and labels"),
    Column("dataset", "TEXT NOT NULL", "name of the data set"),
    Column("part", _words("part", ("test", "validation")), "which part"),
    Column("n_classes", "INTEGER NOT NULL", "classes"),
    Column("n", "INTEGER NOT NULL", "digits"),
    Column("indices", "BLOB NOT NULL", "n little-endian 32-bit integers: place in the data set, training examples "
           "first, then the official test part"),
    Column("labels", "BLOB NOT NULL", "n bytes: the true class"),
))  # fmt: skip

PREDICTION = Table("prediction", "a trained network on one part", (
    Column("run", "TEXT NOT NULL REFERENCES run", "run.id"),
    Column("part", _words("part", ("test", "validation")), "which part"),
    Column("labels", "TEXT NOT NULL REFERENCES labels", "labels.id: the digits, in their order"),
    Column("n", "INTEGER NOT NULL", "digits"),
    Column("n_correct", "INTEGER NOT NULL", "digits classified right"),
    Column("log_loss", "REAL", "nats, mean over digits"),
    Column("brier", "REAL", "mean over digits of the squared differences summed over classes, 0 to 2"),
    Column("macro_precision", "REAL", "fraction, mean over classes"),
    Column("macro_recall", "REAL", "fraction, mean over classes"),
    Column("macro_f1", "REAL", "fraction, mean over classes"),
    Column("ece", "REAL", "fraction: expected calibration error over fifteen equal-mass bins"),
    Column("ece_floor", "REAL", "fraction: what a perfectly calibrated network would show"),
    Column("bin_count", "TEXT NOT NULL", "JSON list of 15: digits in each bin of the top probability"),
    Column("bin_confidence", "TEXT NOT NULL", "JSON list of 15: mean top probability, null in an empty bin"),
    Column("bin_accuracy", "TEXT NOT NULL", "JSON list of 15: fraction right, null in an empty bin"),
    # Blobs stand last, so that reading the numbers never touches their pages.
    Column("correct", "BLOB NOT NULL", "one bit a digit, 1 is right: digit i is bit 7 - i % 8 of byte i / 8"),
    Column("predicted", "BLOB NOT NULL", "n bytes: the most probable class"),
), "PRIMARY KEY (run, part)")  # fmt: skip

MEASUREMENT = Table("measurement", "a probe of one architecture alone on the machine; empty: not measurable there", (
    Column("number", "INTEGER PRIMARY KEY", "in the order of measuring"),
    Column("cell", "TEXT NOT NULL REFERENCES cell", "cell.id it was taken from"),
    Column("architecture_key", "TEXT NOT NULL", "it holds for every cell with this key: framework, layers, columns in "
           "and out, optimizer, batch size"),
    Column("framework", "TEXT NOT NULL", "keras or sklearn"),
    Column("seconds_per_step", "REAL NOT NULL", "seconds a training step, compilation apart"),
    Column("peak_bytes", "INTEGER", "bytes: peak memory of a fresh process less its value after imports"),
    Column("parameter_bytes", "INTEGER NOT NULL", "bytes: parameters, gradients and optimizer state"),
    Column("program_bytes", "INTEGER", "bytes: temporary memory of the compiled step, by the compiler's analysis"),
    Column("inference_us_per_image", "REAL NOT NULL", "microseconds an image"),
    Column("energy_joules", "REAL", "joules a training step, from a hardware counter"),
    Column("environment", "TEXT NOT NULL REFERENCES environment", "environment.id"),
))  # fmt: skip

TABLES = (STUDY, CELL, STUDY_CELL, ENVIRONMENT, RUN, STUDY_RUN, EPOCH, LABELS, PREDICTION, MEASUREMENT)

# What a result leaves in its row of the run table: all of it goes when the run is started or forgotten.
RESULT_COLUMNS = [
    column.name
    for column in RUN.columns
    if "NOT NULL" not in column.kind and "GENERATED" not in column.kind and column.name != "id"
]
# Fields of `RunResult` and of `Evaluation` that a column of the same name holds as they are.
RESULT_FIELDS = ("status", "reason", "engine", "program", "members", "epochs_done", "best_epoch", "stopped_by",
                 "weights_sha256")  # fmt: skip
EVALUATION_FIELDS = ("log_loss", "brier", "macro_precision", "macro_recall", "macro_f1", "ece", "ece_floor")

TEXT_COLUMNS = frozenset(column.name for table in TABLES for column in table.columns if column.kind.startswith("TEXT"))

_PAGE = f"""\
# The store's format

Generated from `src/mnistlab/store/schema.py`; a test holds the two equal.

A store is one SQLite file, `results/mnistlab.sqlite` unless said otherwise. `PRAGMA application_id` is {APPLICATION_ID}
(`MNLB`), `PRAGMA user_version` is {SCHEMA_VERSION}, the version of this format; tables are `STRICT`. The plain
shell reads it:

```sh
sqlite3 results/mnistlab.sqlite "
  SELECT cell.label, count(*) AS networks, avg(1.0 * n_correct / n) AS test_accuracy
  FROM run JOIN cell ON cell.id = run.cell JOIN prediction ON prediction.run = run.id AND part = 'test'
  WHERE status = 'done' GROUP BY cell.id ORDER BY test_accuracy DESC"
```

- One process writes, holding a lock on the file `….lock` beside the store; any number read at the same time. The lock
  file stays behind and means nothing by itself: the lock dies with the process that holds it.
- The life of a run: `planned → running → done | failed | diverged | timeout`. A run, its epochs and its predictions are
  written in one transaction (rollback journal, `synchronous=FULL`); a run that is done or diverged never changes again,
  unless its study is started afresh. Runs found `running` without a living writer count as `planned`.
- `study.tuning` is a JSON object: of a search its `objective`, limits and `choices` (`study.words` then stands behind
  `mnistlab tune`); of a study in fair mode the `knob`, the `rates` tried of each of its `cells`, and the study
  they are `of`.
- A run of the role `search` is trained without test digits: it has no row `test` in `prediction`, no
  `epoch.test_accuracy`. `stopped_by` is `halving` where it was given up because other trials were better by then.
- A store of an older format is read as it is and changed by the first `run` alone, which keeps a copy of it beside it,
  named after its format (`mnistlab.sqlite.format-1`).
- Small structures are JSON text; SQLite has no NaN, so NaN is stored as NULL.
- Class and bit of one digit in Python: `predicted[i]` and `correct[i // 8] >> 7 - i % 8 & 1` of the blobs; digit `i`
  is example `indices[i]` of the data set, its true class `labels[i]` in the row of `labels` that `prediction` names.
"""


def create_statements(version: int = SCHEMA_VERSION) -> list[str]:
    """SQL that turns an empty file into an empty store of a format."""
    settings = [f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {version}"]
    return [*settings, *(table.in_format(version).sql for table in TABLES)]


def migrate_statements(version: int) -> list[str]:
    """SQL that fills an empty store with what an attached one, `older`, of that format holds."""
    return [
        f"INSERT INTO main.{table.name} ({', '.join(values)}) "
        f"SELECT {', '.join(values.values())} FROM older.{table.name} ORDER BY {table.key}"
        for table in TABLES
        if (values := table.values(table.in_format(version).names))
    ]


def view_statements(version: int) -> list[str]:
    """SQL that lets a store of an older format be read by the names of the present one; nothing is copied or changed.

    A view has no `rowid`: no query asks these tables for it.
    """
    return [
        f"CREATE TEMP VIEW {table.name} AS SELECT *, {', '.join(added)} FROM main.{table.name}"
        for table in TABLES
        if (added := [f"{column.before} AS {column.name}" for column in table.columns if column.since > version])
    ]


def format_page() -> str:
    """The page docs/format.md, in Markdown."""
    return "\n".join([_PAGE, *map(_section, TABLES)])


def _section(table: Table) -> str:
    rows = [f"| `{column.name}` | {_cell(column.kind)} | {_cell(column.about)} |" for column in table.columns]
    about = f"{table.about[0].upper()}{table.about[1:]}."
    key = f"{table.keys[0]}{table.keys[1:].lower()}.\n" if table.keys else ""
    lines = [f"## {table.name}", "", about, "", "| column | type | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join([*lines, key] if key else lines)


def _cell(text: str) -> str:
    return (
        text.replace("PRIMARY KEY", "primary key")
        .replace("NOT NULL", "not null")
        .replace("REFERENCES", "references")
        .replace("|", "\\|")
    )


if __name__ == "__main__":
    sys.stdout.write(format_page())
