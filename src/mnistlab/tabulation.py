"""Tables of ours, for people and as files: which columns they have, in which order, and what each is called.

Light on purpose, like `formatting`, which writes their numbers. It prints nothing and writes no file.
"""

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from mnistlab.analysis.estimate import Estimate
from mnistlab.formatting import (
    NOTHING,
    Cells,
    document,
    html_paragraph,
    html_table,
    percent,
    point_estimate,
    points,
    seconds,
    significant,
    size,
    table_cells,
    table_csv,
    text_table,
    to_json,
    with_spread,
)
from mnistlab.spec import Architecture, Split, Training

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.results import ResultsTable
    from mnistlab.bench.turns import BenchRow

NOT_MEASURABLE = "not measurable here"
RATE_NOTE = "A comparison of widths or depths holds at its learning rate: another rate may rank them otherwise."
_GROUPS = {
    f.name: group for group, kind in (("split", Split), ("training", Training)) for f in dataclasses.fields(kind)
}
_WHOLE = {f.name for f in dataclasses.fields(Training) if int in (f.type, *get_args(f.type))}


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


def results_csv(results: "ResultsTable") -> str:
    """What `mnistlab results --csv` prints."""
    return frame_csv(results.rows)


def frame_csv(frame: "pd.DataFrame") -> str:
    """A table as CSV: an Estimate in the columns `x`, `x_low`, `x_high`, `x_n`; accuracies as fractions."""
    flat = [_flat(row) for row in frame.to_dict("records")]
    # One row without a measurement must not cost the others their columns.
    columns = list(dict.fromkeys(name for row in flat for name in row)) or list(map(str, frame.columns))
    return table_csv(columns, ([row.get(name) for name in columns] for row in flat))


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
        "to see a network": _source,
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
        "to see a network": _source,
    })  # fmt: skip


def results_text(results: "ResultsTable", width: int) -> str:
    """The results as text no line of which is wider than `width` columns of a terminal."""
    notes = [resolution_note(results), RATE_NOTE]
    if any(row > 0 for row in results.rows.get("collapsed", ())):
        notes.append("Collapsed networks (accuracy near guessing) are counted and stay in the mean of all.")
    lines = [line for note in notes for line in textwrap.wrap(note, max(width, 1))]
    return "\n".join([*lines, "", text_table(*results_cells(results.rows), width)])


def results_html(results: "ResultsTable") -> str:
    """What a notebook shows of the results: the same notes and columns."""
    columns, rows = results_cells(results.rows)
    return f"{html_paragraph(f'{resolution_note(results)} {RATE_NOTE}')}{html_table(columns, rows)}"


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
        elif isinstance(value, list | tuple):
            flat[name] = ("-" if name in ("hidden_layer_sizes", "activations") else ";").join(map(str, value))
        else:
            flat[name] = setting(name, value)
    return flat


def _source(row: Mapping[Any, Any]) -> str:
    """The command that shows one network of the row, of as many as were counted."""
    return f"mnistlab show {row['runs'][0]}" if row["runs"] else NOTHING


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
