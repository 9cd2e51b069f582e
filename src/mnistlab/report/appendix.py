"""The appendix of a report: every cell, and every run with the command that trains it again."""

import math
import shlex
from dataclasses import dataclass
from typing import Any

from mnistlab.analysis.evidence import Evidence
from mnistlab.formatting import NOTHING, printable, seconds
from mnistlab.spec import Architecture, Cell
from mnistlab.study import repeat_words
from mnistlab.tabulation import cell_json, results_cells

CELL_COLUMNS = ("cell", "accuracy %", "trained", "parameters", "training s", "peak memory")
RUN_COLUMNS = ("seed", "status", "test %", "validation %", "epochs", "training", "run", "to train it again")
_CONTENT = tuple(Cell(Architecture((64,))).content())


@dataclass(frozen=True, slots=True)
class CellEntry:
    """A cell of the appendix.

    Attributes
    ----------
    id : str
    values : list of (text, number)
        A text per column of `CELL_COLUMNS` and the number it is sorted by: None where there is none, and by the text
        of the first.
    more : list of (name, text)
        Everything else that was measured.
    runs : list of list of str
        A row per run that was started, by `RUN_COLUMNS`.
    """

    id: str
    values: list[tuple[str, float | None]]
    more: list[tuple[str, str]]
    runs: list[list[str]]


def cell_entries(known: Evidence) -> list[CellEntry]:
    """Every cell in study order, whether it has runs or not."""
    rows = known.results.rows
    columns, texts = results_cells(rows)
    device_of = dict(zip(known.environments["id"], known.environments["device"], strict=True))
    runs_of: dict[str, list[dict[Any, Any]]] = {}
    started = known.runs[known.runs["status"] != "planned"]
    for run in started.sort_values("seed", kind="stable").to_dict("records"):
        runs_of.setdefault(run["cell"], []).append(run)
    entries = []
    for row, text in zip(rows.to_dict("records"), texts, strict=True):
        written = dict(zip(columns, text, strict=True))
        values = [(written[name], _number(row, name)) for name in CELL_COLUMNS]
        more = [(name, value) for name, value in written.items() if name not in (*CELL_COLUMNS, "to see a network")]
        cell = Cell.from_content({name: value for name, value in cell_json(row).items() if name in _CONTENT})
        own = [_run(run, cell, device_of) for run in runs_of.get(row["cell"], [])]
        entries.append(CellEntry(row["cell"], values, more, own))
    return entries


def _number(row: dict[Any, Any], column: str) -> float | None:
    match column:
        case "accuracy %":
            return _plain(row["accuracy"].value)
        case "trained":
            return _plain(row["trained"])
        case "parameters":
            return _plain(row["parameters"])
        case "training s":
            return _plain(row["seconds_steps"].value)
        case "peak memory":
            return _plain(row["peak_bytes"].value)
    return None


def _plain(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _run(run: dict[Any, Any], cell: Cell, device_of: dict[str, str]) -> list[str]:
    ended = run["status"] == "done"
    engine, device = (run["engine"], device_of.get(run["environment"])) if ended else (None, None)
    return [
        f"{run['seed']:,}",
        printable(run["status"]),
        f"{run['test_accuracy'] * 100:.2f}" if ended else NOTHING,
        f"{run['validation_accuracy'] * 100:.2f}" if ended and not math.isnan(run["validation_accuracy"]) else NOTHING,
        f"{run['epochs_done']:.0f} of {run['epochs_asked']:.0f}" if ended else NOTHING,
        seconds(run["steps_seconds"]) if ended else NOTHING,
        run["run"],
        printable(shlex.join(repeat_words(cell, run["seed"], engine, device))),
    ]
