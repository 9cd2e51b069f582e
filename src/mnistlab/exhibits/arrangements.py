"""What activations, their order, and layers against nodes make of the accuracy: tables, texts and captions."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd

from mnistlab.analysis.results import ResultsTable, other_settings
from mnistlab.exhibits.base import MISSED, collapsed_words, number, resolution_words
from mnistlab.formatting import Cells, percent, point_estimate, shortened, table_cells
from mnistlab.spec import Architecture, Cell
from mnistlab.tabulation import show_command

MOST_GROUPS = 12
MOST_ROWS = 20
MOST_LETTERS = 80  # of a label in a caption: a name of a user's may have hundreds
_COLUMNS = ("group", "series", "cell", "label", "parameters", "collapsed", "runs", "accuracy", "low", "high", "n",
            "resolution", "left_out")  # fmt: skip
_DEFAULTS = other_settings(Cell(Architecture((64,))).settings())
_Row = dict[Hashable, Any]
T = TypeVar("T")


def activation_table(results: ResultsTable) -> pd.DataFrame:
    """Accuracy by activation, of the networks all of whose layers have the same.

    Returns
    -------
    DataFrame
        One row per cell: group (shape, and the framework where there are several), series (activation), cell, label,
        parameters, collapsed, runs (ids), accuracy, low, high (fractions), n (networks), resolution, left_out (groups
        of which there are more than twelve; the shown ones are spread evenly). A group has at least two activations;
        all of them are alike in every other setting: of all such families the largest, and of equally large ones the
        one with fewer settings off their default.
    """
    families: dict[tuple[Any, ...], dict[tuple[Any, ...], list[_Row]]] = {}
    for row in _measured(results):
        if len(set(row["activations"])) == 1:
            group = (len(row["hidden_layer_sizes"]), tuple(row["hidden_layer_sizes"]), row["framework"])
            families.setdefault((_others(row),), {}).setdefault(group, []).append(row)
    kept = {key: {group: rows for group, rows in groups.items() if len(rows) > 1} for key, groups in families.items()}
    groups = _largest(kept, lambda found: sum(map(len, found.values()))) or {}
    several = len({group[-1] for group in groups}) > 1
    shown = evenly(sorted(groups), MOST_GROUPS)
    order = [row["activations"][0] for _, rows in sorted(groups.items()) for row in rows]
    rows = [
        _point(row, f"{_shape(sizes)}{f', {framework}' if several else ''}", row["activations"][0])
        for depth, sizes, framework in shown
        for row in sorted(groups[depth, sizes, framework], key=lambda row: order.index(row["activations"][0]))
    ]
    return _table(rows, results, len(groups) - len(shown))


def order_table(results: ResultsTable) -> pd.DataFrame:
    """Accuracy by the order of activations that differ between layers, the highest on top; columns as above.

    The cells are alike in everything else: shapes, settings, how often each activation occurs. Of more than twenty the
    ten highest and the ten lowest.
    """
    families: dict[tuple[Any, ...], list[_Row]] = {}
    for row in _measured(results):
        if len(set(row["activations"])) > 1:
            key = (_others(row), row["framework"], tuple(row["hidden_layer_sizes"]), tuple(sorted(row["activations"])))
            families.setdefault(key, []).append(row)
    family = _largest({key: rows for key, rows in families.items() if len(rows) > 1}, len) or []
    ranked = sorted(family, key=lambda row: -row["accuracy"].value)
    shown = ranked if len(ranked) <= MOST_ROWS else [*ranked[: MOST_ROWS // 2], *ranked[-MOST_ROWS // 2 :]]
    rows = [_point(row, in_order(row["activations"]), _shape(row["hidden_layer_sizes"]))
            for row in shown]  # fmt: skip
    return _table(rows, results, len(ranked) - len(shown))


def combination_table(results: ResultsTable) -> pd.DataFrame:
    """Accuracy by layers and nodes together, fewest parameters on top; columns as above.

    The cells differ in their layers alone, and among them are unequal widths, or networks that differ in width and
    depth both. Single layers with less than half the parameters of all deeper networks, or more than twice, have nobody
    to be compared with and are left out. Of more than twenty those with unequal widths, and others spread evenly.
    """
    families: dict[tuple[Any, ...], list[_Row]] = {}
    for row in _measured(results):
        if len(set(row["activations"])) == 1:
            families.setdefault((_others(row), row["framework"], row["activations"][0]), []).append(row)
    family = _largest({key: rows for key, rows in families.items() if _combined(rows)}, len) or []
    family = sorted(_of_one_budget(family), key=lambda row: row["parameters"])
    unequal, equal = ([row for row in family if _unequal(row) is which] for which in (True, False))
    unequal = evenly(unequal, MOST_ROWS)
    chosen = [*unequal, *evenly(equal, MOST_ROWS - len(unequal))]
    rows = [_point(row, f"{_shape(row['hidden_layer_sizes'])}, {row['parameters']:,} parameters",
                   "unequal widths" if _unequal(row) else "equal widths")
            for row in sorted(chosen, key=lambda row: row["parameters"])]  # fmt: skip
    return _table(rows, results, len(family) - len(rows))


def arrangement_cells(group: str, series: str) -> Callable[[pd.DataFrame], Cells]:
    """Header and rows of such a table for people; `group` and `series` are what its first columns are called."""
    return lambda table: table_cells(table, {
        "cell": lambda row: row["label"],
        **({group: lambda row: row["group"]} if group else {}),
        **({series: lambda row: row["series"]} if series else {}),
        "accuracy %": lambda row: percent(point_estimate(row)),
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "parameters": lambda row: f"{row['parameters']:,}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def activation_caption(table: pd.DataFrame) -> str:
    """Who is highest and lowest where, in one to three sentences; so the two below."""
    if table.empty:
        return "No finished cells that differ in activation alone, all layers alike."
    groups = [rows.sort_values("accuracy", kind="stable") for _, rows in table.groupby("group", sort=False)]
    shapes = "1 shape" if len(groups) == 1 else f"{len(groups)} shapes"
    said = sorted(groups, key=lambda rows: rows["accuracy"].iloc[0] - rows["accuracy"].iloc[-1])[:2]
    ends = "; ".join(f"in {rows['group'].iloc[0]} {_named(rows.iloc[-1], 'series')} is highest, "
                     f"{_named(rows.iloc[0], 'series')} lowest" for rows in said)  # fmt: skip
    widest = "Furthest apart: " if len(groups) > len(said) else ""
    intro = f"Test accuracy in per cent by activation of all layers, {len(table)} cells of {shapes}{_left_out(table)}."
    return f"{intro} {widest}{ends[0].upper() if not widest else ends[0]}{ends[1:]}. {resolution_words(table, MISSED)}"


def order_caption(table: pd.DataFrame) -> str:
    """See `activation_caption`."""
    if table.empty:
        return "No finished cells that differ in the order of their activations alone."
    highest, lowest = table.iloc[0], table.iloc[-1]
    return (f"Test accuracy in per cent by order of activations, {len(table)} orders of {highest['series']}"
            f"{_left_out(table)}: {_named(highest, 'group')} is highest, {_named(lowest, 'group')} lowest. "
            "Which two differ is said among the verdicts on activation. "
            f"{resolution_words(table, MISSED)}")  # fmt: skip


def combination_caption(table: pd.DataFrame) -> str:
    """See `activation_caption`."""
    if table.empty:
        return "No finished cells that combine layers and nodes otherwise alike."
    highest, lowest = (table.loc[table["accuracy"].agg(which)] for which in ("idxmax", "idxmin"))
    intro = f"Test accuracy in per cent of {len(table)} ways to combine layers and nodes{_left_out(table)}"
    ends = f"{_named(highest, 'label')} with {highest['parameters']:,} parameters is highest"
    return f"{intro}: {ends}, {_named(lowest, 'label')} is lowest. {resolution_words(table, MISSED)}"


def in_order(activations: Sequence[str]) -> str:
    """`relu → tanh → sigmoid`; of layers alike, one behind the other, `relu ×4`."""
    runs = [(name, len(list(alike))) for name, alike in itertools.groupby(activations)]
    return " → ".join(name if length == 1 else f"{name} ×{length}" for name, length in runs)


def _named(row: "pd.Series[Any]", name: str) -> str:
    accuracy = f"{percent(point_estimate(dict(row)))}{collapsed_words(row['collapsed'], row['n'])}"
    return f"{shortened(row[name], MOST_LETTERS)} {accuracy}"


def _left_out(table: pd.DataFrame) -> str:
    left_out = int(table["left_out"].iloc[0])
    return f" ({left_out:,} more left out of the drawing)" if left_out else ""


def _measured(results: ResultsTable) -> list[_Row]:
    return [row for row in results.rows.to_dict("records") if row["accuracy"].value is not None]


def _others(row: _Row) -> tuple[Any, ...]:
    return tuple(other_settings(row).values())


def _largest(families: Mapping[tuple[Any, ...], T], size: Callable[[T], int]) -> T | None:
    """The largest, of equals the one with fewer settings off their default, which stand first in its key."""

    def rank(key: tuple[Any, ...]) -> tuple[int, int]:
        off = sum(value != default for value, default in zip(key[0], _DEFAULTS.values(), strict=True))
        return size(families[key]), -off

    best = max((key for key in families if size(families[key])), key=rank, default=None)
    return None if best is None else families[best]


def evenly(rows: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly chosen, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (most - 1))] for place in range(most)] if most > 1 else []


def _combined(rows: Iterable[_Row]) -> bool:
    shapes = [row["hidden_layer_sizes"] for row in rows]
    several = all(len(set(values)) > 1 for values in (map(len, shapes), (shape[0] for shape in shapes)))
    return len(shapes) > 1 and (several or any(len(set(shape)) > 1 for shape in shapes))


def _of_one_budget(family: list[_Row]) -> list[_Row]:
    budgets = [row["parameters"] for row in family if len(row["hidden_layer_sizes"]) > 1]
    return [row for row in family if min(budgets) / 2 <= row["parameters"] <= 2 * max(budgets)]


def _unequal(row: _Row) -> bool:
    return len(set(row["hidden_layer_sizes"])) > 1


def _shape(sizes: Sequence[int]) -> str:
    return str(Architecture(tuple(sizes))).split(" ")[0]


def _point(row: _Row, group: str, series: str) -> dict[str, Any]:
    accuracy = row["accuracy"]
    copied = {name: row[name] for name in ("cell", "label", "parameters", "collapsed", "runs")}
    return {"group": group, "series": series, **copied, "accuracy": accuracy.value, "low": accuracy.low,
            "high": accuracy.high, "n": row["seeds"]}  # fmt: skip


def _table(rows: list[dict[str, Any]], results: ResultsTable, left_out: int) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.assign(resolution=number(results.resolution), left_out=left_out)
