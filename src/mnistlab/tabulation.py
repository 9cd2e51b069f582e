"""Tables of ours, for people and as files: which columns they have, in which order, and what each is called.

Light on purpose, like `formatting`, which writes their numbers. It prints nothing.
"""

import dataclasses
import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from mnistlab.analysis.estimate import Estimate
from mnistlab.errors import MachineError
from mnistlab.formatting import (
    NOTHING,
    Cells,
    document,
    html_paragraph,
    html_table,
    markdown_text,
    percent,
    point_estimate,
    points,
    printable,
    seconds,
    significant,
    size,
    table_cells,
    table_csv,
    table_latex,
    table_markdown,
    text_table,
    to_json,
    with_spread,
)
from mnistlab.spec import Architecture, Split, Training

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.results import ResultsTable
    from mnistlab.bench.turns import BenchRow

TABLE_ENDINGS = (".csv", ".md", ".tex", ".parquet")
NOT_MEASURABLE = "not measurable here"
RATE_NOTE = "A comparison of widths or depths holds at its learning rate: another rate may rank them otherwise."
TUNED_NOTE = (
    "Every cell has the learning rate that was best of it on validation digits, of as many tried: see `tuned-rates`."
)
_GROUPS = {
    f.name: group for group, kind in (("split", Split), ("training", Training)) for f in dataclasses.fields(kind)
}
_WHOLE = {f.name for f in dataclasses.fields(Training) if int in (f.type, *get_args(f.type))}


def rate_note(table: "pd.DataFrame") -> str:
    """What a comparison owes to the learning rate (rule M13), by a table that has the settings of the cells."""
    return TUNED_NOTE if "tuned_knob" in table else RATE_NOTE


def resolution_note(results: "ResultsTable") -> str:
    """The line over every table: which differences these seeds cannot see (rule M22 of docs/measurement.md)."""
    if results.resolution is not None:
        missed = "many smaller differences between two cells are missed with these seeds"
        return f"Resolution {points(results.resolution)}: {missed}."
    most = max(results.rows["seeds"], default=0) if len(results.rows) else 0
    if most < 2:
        return "One seed: no resolution yet." if most else "No finished run: no resolution yet."
    return "No two cells that differ share two seeds: no resolution yet."


def cell_json(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table of cells in the public shape: settings of the split and of the training stand in their own."""
    nested: dict[str, Any] = {}
    for name, value in row.items():
        group = nested.setdefault(_GROUPS[name], {}) if name in _GROUPS else nested
        group[name] = setting(name, value)
    return nested


def results_json(results: "ResultsTable", study: str | None) -> dict[str, Any]:
    """What `mnistlab results --json` prints."""
    rows = [cell_json(row) for row in results.rows.to_dict("records")]
    return document(study=study, resolution=results.resolution, rows=rows)


def results_file(results: "ResultsTable", ending: str) -> bytes:
    """The results as a file of the kind that its ending names; see `table_file`."""
    note = f"{resolution_note(results)} {rate_note(results.rows)}"
    return table_file(results.rows, results_cells(results.rows), ending, note=note)


def frame_csv(frame: "pd.DataFrame") -> str:
    """A table as CSV: an Estimate in the columns `x`, `x_low`, `x_high`, `x_n`; accuracies as fractions."""
    columns, rows = _flat_table(frame)
    return table_csv(columns, rows)


def frame_parquet(frame: "pd.DataFrame") -> bytes:
    """A table as Parquet, in the same columns as `frame_csv`: numbers stay numbers, what was not measured is null.

    Raises
    ------
    MachineError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as fault:
        raise MachineError("Parquet", "the package pyarrow is absent", "pip install 'mnistlab[parquet]'") from fault
    columns, rows = _flat_table(frame)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [_arrow(pa, values[place], name in _measured(columns)) for place, name in enumerate(columns)]
    content = io.BytesIO()
    parquet.write_table(pa.table(arrays, names=[_sound(name) for name in columns]), content)
    return content.getvalue()


def table_file(frame: "pd.DataFrame", cells: Cells, ending: str, *, note: str = "") -> bytes:
    """A table as a file of the kind that its ending names.

    Parameters
    ----------
    frame : DataFrame
        What CSV and Parquet hold.
    cells : (header, rows)
        What Markdown and LaTeX show.
    ending : str
        One of `TABLE_ENDINGS`.
    note : str, default=""
        What a reader must know; above the table in Markdown, a comment in LaTeX.

    Raises
    ------
    MachineError
        As of `frame_parquet`.
    """
    if ending == ".csv":
        return _sound(frame_csv(frame)).encode()
    if ending == ".parquet":
        return frame_parquet(frame)
    if ending == ".md":
        return (f"{markdown_text(note)}\n\n" * bool(note) + table_markdown(*cells)).encode()
    comment = "".join(f"% {line}\n" for line in textwrap.wrap(printable(note), 100))
    return (comment + table_latex(*cells)).encode()


def _measured(columns: Sequence[str]) -> set[str]:
    """Names of the columns that an Estimate is spread over."""
    names = [name.removesuffix("_n") for name in columns if name.endswith("_n")]
    return {f"{name}{end}" for name in names if f"{name}_low" in columns for end in ("", "_low", "_high")}


def _arrow(pa: Any, column: Sequence[Any], is_measured: bool) -> Any:
    """An Arrow array: numbers where all are, else texts."""
    known = [to_json(value) for value in column]
    if not all(isinstance(value, int | float | bool | None) for value in known):
        known = [None if value is None else _sound(str(value)) for value in known]  # a knob's levels are of both kinds
    return pa.array(known, pa.float64() if is_measured else None)


def _flat_table(frame: "pd.DataFrame") -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of plain values. Pictures are left out: they have their place in the data set, which stands."""
    flat = [_flat(row) for row in frame.to_dict("records")]
    # One row without a measurement must not cost the others their columns.
    columns = list(dict.fromkeys(name for row in flat for name in row)) or list(map(str, frame.columns))
    return columns, [[row.get(name) for name in columns] for row in flat]


def _sound(text: str) -> str:
    """The text without halves of letters, which no file can hold."""
    return text.encode(errors="replace").decode()


def results_cells(rows: "pd.DataFrame") -> Cells:
    """Header and rows of the results for people, most important column first."""
    return table_cells(rows, {
        "cell": lambda row: row["label"],
        "accuracy %": lambda row: percent(row["accuracy"]),
        "trained": _trained,
        "parameters": lambda row: f"{row['parameters']:,}",
        "training s": lambda row: with_spread(row["seconds_steps"]),
        "alone, ms a step": lambda row: _probed(row, row["seconds_per_step"].value, _milliseconds),
        "end to end s": lambda row: with_spread(row["seconds_end_to_end"]),
        "epochs": lambda row: f"{row['epochs']:,}",
        "done": lambda row: with_spread(row["epochs_done"]),
        "stopped by": lambda row: _stopped(row["stopped_by"]),
        "on these digits %": lambda row: percent(row["accuracy_these_digits"]),
        "those trained %": lambda row: percent(row["accuracy_trained"]),
        "validation %": lambda row: percent(row["validation_accuracy"]),
        "log-loss": lambda row: with_spread(row["log_loss"]),
        "Brier": lambda row: with_spread(row["brier"]),
        "macro F1 %": lambda row: percent(row["macro_f1"]),
        "ECE %": lambda row: percent(row["ece"]),
        "ECE floor %": lambda row: NOTHING if _missing(row["ece_floor"]) else significant(row["ece_floor"] * 100),
        "µs an image": lambda row: _probed(row, row["inference_us_per_image"].value, significant),
        "peak memory": lambda row: _probed(row, row["peak_bytes"].value, size),
        "state memory": lambda row: _probed(row, row["parameter_bytes"], size),
        "J a step": lambda row: _probed(row, row["energy_joules"] and row["energy_joules"].value, significant),
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def bench_cells(rows: "Sequence[BenchRow]") -> Cells:
    """The same for `mnistlab bench`."""
    columns: dict[str, Callable[[BenchRow], str]] = {
        "network": lambda row: str(
            Architecture(row.hidden_layer_sizes, (row.activation,) * len(row.hidden_layer_sizes))
        ),
        "engine": lambda row: row.engine,
        "variant": _bench_variant,
        "s an epoch": lambda row: with_spread(row.seconds_per_network_epoch),
        "× Keras fit": lambda row: with_spread(row.ratio_to_keras),
        "× scikit-learn fit": lambda row: with_spread(row.ratio_to_sklearn),
        "of the limit": lambda row: with_spread(row.fraction_of_limit),
        "processes": lambda row: str(row.processes),
        "compile": lambda row: seconds(row.compile_seconds),
    }
    return list(columns), [[write(row) for write in columns.values()] for row in rows]


def _bench_variant(row: "BenchRow") -> str:
    """What is not said by the engine: the framework of a cohort, how many are in it, an unusual batch size."""
    words = [f"{row.members} {row.variant}" if row.members > 1 else row.variant]
    words += [row.framework] if row.engine == "population" else []
    words += [f"batch {row.batch_size}"] if row.batch_size != Training().batch_size else []
    return ", ".join(words)


def curve_cells(axis: str) -> "Callable[[pd.DataFrame], Cells]":
    """The same for the table behind a figure, whose horizontal axis is `axis`."""
    return lambda table: table_cells(table, {
        "cell": lambda row: row["label"],
        axis: lambda row: f"{row[axis]:,}",
        "accuracy %": lambda row: percent(point_estimate(row)),
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "parameters": lambda row: f"{row['parameters']:,}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def results_text(results: "ResultsTable", width: int) -> str:
    """The results as text no line of which is wider than `width` columns of a terminal."""
    notes = [resolution_note(results), rate_note(results.rows)]
    if any(row > 0 for row in results.rows.get("collapsed", ())):
        notes.append("Collapsed networks (accuracy near guessing) are counted and stay in the mean of all.")
    lines = [line for note in notes for line in textwrap.wrap(note, max(width, 1))]
    return "\n".join([*lines, "", text_table(*results_cells(results.rows), width)])


def results_html(results: "ResultsTable") -> str:
    """What a notebook shows of the results: the same notes and columns."""
    columns, rows = results_cells(results.rows)
    return f"{html_paragraph(f'{resolution_note(results)} {rate_note(results.rows)}')}{html_table(columns, rows)}"


def setting(name: Any, value: Any) -> Any:
    """The plain value of a cell's setting: a frame holds a whole number as a float where another row has none."""
    plain = to_json(value)
    return int(plain) if name in _WHOLE and plain is not None else plain


def _flat(row: Mapping[Any, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Estimate):
            flat |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high, f"{name}_n": value.n}
        elif isinstance(value, Mapping):
            flat[name] = ";".join(f"{key}:{count}" for key, count in value.items())
        elif getattr(value, "ndim", 0):
            continue
        elif isinstance(value, list | tuple):
            flat[name] = ("-" if name in ("hidden_layer_sizes", "activations") else ";").join(map(str, value))
        else:
            flat[name] = setting(name, value)
    return flat


def show_command(runs: Sequence[str]) -> str:
    """The command that shows the first of these networks, of as many as a row counts: where its numbers come from."""
    return f"mnistlab show {runs[0]}" if runs else NOTHING


def _trained(row: Mapping[Any, Any]) -> str:
    text = f"{row['trained']} of {row['seeds']}"
    return f"{text}, {row['diverged']} diverged" if row["diverged"] else text


def _stopped(counts: Mapping[str, int]) -> str:
    words = {reason: reason.replace("_", " ") for reason in counts}
    if len(counts) < 2:
        return "".join(words.values()) or NOTHING
    return ", ".join(f"{words[reason]} {count}" for reason, count in counts.items())


def _probed(row: Mapping[Any, Any], value: float | None, write: Any) -> str:
    """A probed architecture without a value could not be measured; one not yet probed has nothing to say."""
    if _missing(row["parameter_bytes"]):
        return NOTHING
    return NOT_MEASURABLE if _missing(value) else str(write(value))


def _milliseconds(value: float) -> str:
    return significant(value * 1000)


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
