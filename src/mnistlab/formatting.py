"""How a number is written: the only place that turns values into text, for people, JSON and CSV.

Light on purpose (no pandas, numpy or scipy), so that every command can use it. It prints nothing.
"""

import csv
import dataclasses
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from rich.cells import cell_len, set_cell_size

from mnistlab.analysis.estimate import Estimate
from mnistlab.spec import Architecture, Split, Training

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.results import ResultsTable
    from mnistlab.bench.turns import BenchRow

SCHEMA_VERSION = 1
Cells = tuple[list[str], list[list[str]]]
NOTHING = "–"
NOT_MEASURABLE = "not measurable here"
RATE_NOTE = "A comparison of widths or depths holds at its learning rate: another rate may rank them otherwise."

_GROUPS = {
    f.name: group for group, kind in (("split", Split), ("training", Training)) for f in dataclasses.fields(kind)
}
_WHOLE = {f.name for f in dataclasses.fields(Training) if int in (f.type, *get_args(f.type))}
_FORMULA_STARTS = ("=", "+", "-", "@")
_LABEL_WIDTH = 12


def percent(estimate: Estimate) -> str:
    """An accuracy for people, in per cent: `97.42 ± 0.21 (5)` of five networks, `97.5 (97.2 to 97.8)` of one."""
    return with_spread(estimate, 100)


def with_spread(estimate: Estimate, scale: float = 1.0) -> str:
    """A value times `scale` with its interval, to the digits the interval warrants, and the number of networks."""
    counted = estimate.value is not None and estimate.kind not in ("wilson", "exact")
    return spread(estimate, scale) + f" ({estimate.n})" * counted


def spread(estimate: Estimate, scale: float) -> str:
    """As `with_spread`, without the number of networks."""
    if estimate.value is None:
        return NOTHING
    value = estimate.value * scale
    if estimate.low is None or estimate.high is None or math.isclose(estimate.low, estimate.high):
        return significant(value)
    low, high = estimate.low * scale, estimate.high * scale
    decimals = _decimals((high - low) / 2)
    if estimate.kind == "wilson" or round(high - value, decimals) != round(value - low, decimals):
        return f"{_fixed(value, decimals)} ({_fixed(low, decimals)} to {_fixed(high, decimals)})"
    return f"{_fixed(value, decimals)} ± {_fixed(high - value, decimals)}"


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # adding zero takes the sign off what rounds to it


def significant(value: float) -> str:
    """Four significant digits without an exponent, thousands set apart: `1,634,530`, `97.42`, `0.0032`."""
    if value == 0 or not math.isfinite(value):
        return f"{abs(value):g}" if value == 0 else f"{value:g}"
    decimals = min(max(0, 3 - math.floor(math.log10(abs(value)))), 8)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def points(difference: float) -> str:
    """A difference of two accuracies, in percentage points: `0.31 points`."""
    return f"{difference * 100:.2f} points"


def seconds(value: float | None) -> str:
    """`12 ms`, `3.42 s`, `2 min 05 s`, `3 h 20 min`."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def size(n_bytes: float | None) -> str:
    """`507 kB`, `1.2 GB`; a kilobyte is 1,000 bytes."""
    if n_bytes is None:
        return NOTHING
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def resolution_note(results: "ResultsTable") -> str:
    """The line over every table: which differences these seeds cannot see (rule M22 of docs/measurement.md)."""
    if results.resolution is not None:
        missed = "many smaller differences between two cells are missed with these seeds"
        return f"Resolution {points(results.resolution)}: {missed}."
    most = max(results.rows["seeds"], default=0) if len(results.rows) else 0
    if most < 2:
        return "One seed: no resolution yet." if most else "No finished run: no resolution yet."
    return "No two cells that differ share two seeds: no resolution yet."


def to_json(value: Any) -> Any:
    """The plain value `json.dumps` takes: an Estimate in the public shape, NaN as null, arrays as lists.

    A value from numpy or pandas becomes Python's own; a dataclass the mapping of its fields.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, pandas' columns
        return to_json(value.tolist())
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def document(**content: Any) -> dict[str, Any]:
    """A whole answer of a command with `--json`: the content in plain values, its schema version on top."""
    return {"schema_version": SCHEMA_VERSION, **to_json(content)}


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


def table_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV. A text that a spreadsheet would run as a formula gets a quote mark before it; a number never."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_csv_value, columns))
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return text.getvalue()


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


def point_estimate(row: Mapping[Any, Any]) -> Estimate:
    """The accuracy of a row of a figure's table, whose three numbers stand in columns of their own."""
    kind = "crossed" if row["n"] > 1 else "wilson"
    return Estimate(row["accuracy"], row["low"], row["high"], n=int(row["n"]), kind=kind)


def results_text(results: "ResultsTable", width: int) -> str:
    """The results as text no line of which is wider than `width` columns of a terminal."""
    notes = [resolution_note(results), RATE_NOTE]
    if any(row > 0 for row in results.rows.get("collapsed", ())):
        notes.append("Collapsed networks (accuracy near guessing) are counted and stay in the mean of all.")
    lines = [line for note in notes for line in textwrap.wrap(note, max(width, 1))]
    return "\n".join([*lines, "", text_table(*results_cells(results.rows), width)])


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A plain table: first column to the left, the others to the right, never wider than `width`.

    What does not fit goes: the first column is shortened with … down to twelve characters, then columns are dropped
    from the right, least important last, and counted below; at the end the first column alone is shortened further.
    """
    lines = [[printable(text) for text in line] for line in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    while len(widths) > 1 and min(widths[0], _LABEL_WIDTH) + sum(w + 2 for w in widths[1:]) > width:
        widths.pop()
    widths[0] = max(1, min(widths[0], width - sum(w + 2 for w in widths[1:])))
    dropped = len(lines[0]) - len(widths)
    told = f"({dropped} more column{'s' * (dropped > 1)} in a wider terminal)" if dropped else ""
    return "\n".join([*(
        "  ".join([_fit(first, widths[0]), *(_right(text, w) for text, w in zip(rest, widths[1:], strict=False))])
        .rstrip()
        for first, *rest in lines
    ), *textwrap.wrap(told, max(1, width))])  # fmt: skip


def printable(text: str) -> str:
    """The text with every control character replaced, so that no name can move a cursor or break a line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _decimals(half_width: float) -> int:
    """Decimals that show the half-width to two digits."""
    return min(max(0, 1 - math.floor(math.log10(half_width))), 6)


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


def _csv_value(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def table_cells(rows: "pd.DataFrame", columns: Mapping[str, Callable[[Mapping[Any, Any]], str]]) -> Cells:
    """Header and rows for people: of each column, by its header, what writes a row's value."""
    written = [[printable(write(row)) for write in columns.values()] for row in rows.to_dict("records")]
    return list(columns), written


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


def _fit(text: str, width: int) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
