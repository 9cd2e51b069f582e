"""What tuning each cell's learning rate changes: the rates that were tried and chosen, the verdicts that change."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pandas as pd

from mnistlab.exhibits.arrangements import MOST_LETTERS
from mnistlab.exhibits.base import Exhibit, ends
from mnistlab.formatting import NOTHING, Cells, counted, point_estimate, shortened, table_cells
from mnistlab.tabulation import show_command
from mnistlab.wording import point_difference

if TYPE_CHECKING:
    from mnistlab.analysis.evidence import Evidence

_NOT_TUNED = "No cell has a learning rate of its own: `mnistlab run STUDY --tune learning_rate` gives it one."
_SAID = 3  # cells or pairs that a caption names


def changes_table(known: "Evidence") -> pd.DataFrame:
    """The verdicts of `Evidence.verdict_changes`, their Estimates spread over columns of numbers.

    Returns
    -------
    DataFrame
        knob, cell, against, label, label_against, before, after, changed, is_reversed, difference_before, low_before,
        high_before, difference, low, high (fractions), seeds_before, seeds, margin_before, margin. Without rows its
        attribute `missing` says why.
    """
    table = known.verdict_changes
    for name, low, high in (("difference_before", "low_before", "high_before"), ("difference", "low", "high")):
        spread = pd.DataFrame([ends(estimate) for estimate in table[name]], columns=[name, low, high], dtype=float)
        table = table.assign(**{str(column): spread[column] for column in spread})
    table.attrs["missing"] = _missing(known) if table.empty else ""
    return table


def _missing(known: "Evidence") -> str:
    if known.tuned_from is None:
        return _NOT_TUNED
    if not (known.tuned_from.runs["status"] == "done").any():
        command = known.tuned_from.command
        how = f"`{command}`" if command else f"the study {known.tuned_from.study} by itself"
        return f"No verdicts to set these beside: {how} trains the cells with the rate that the study says."
    return "No pair of cells has a verdict here and in the study with one rate."


def _changes_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "against": lambda row: row["label_against"],
        "at the study's rate": lambda row: row["before"],
        "each at its best": lambda row: row["after"],
        "changes": lambda row: "is reversed" if row["is_reversed"] else "yes" if row["changed"] else "no",
        "points at the study's rate": _before,
        "points each at its best": _after,
        "seeds": lambda row: f"{row['seeds_before']}, {row['seeds']}",
        "knob": lambda row: row["knob"],
        "id": lambda row: row["cell"],
        "to see the verdict": lambda row: f"mnistlab compare {row['cell']} {row['against']}",
    })  # fmt: skip


def _before(row: Mapping[Any, Any]) -> str:
    return _points(row, "difference_before", "low_before", "high_before", "seeds_before")


def _after(row: Mapping[Any, Any]) -> str:
    return _points(row, "difference", "low", "high", "seeds")


def _points(row: Mapping[Any, Any], *names: str) -> str:
    value, low, high, n = (row[name] for name in names)
    return point_difference(point_estimate({"accuracy": value, "low": low, "high": high, "n": n}))


def _changes_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return str(table.attrs["missing"])
    changed = table[table["changed"]]
    intro = (f"Verdicts on {counted(len(table), 'pair')} of cells that differ in one knob, first at the learning rate "
             "that the study says, then each cell at its own best")  # fmt: skip
    if changed.empty:
        return f"{intro}: none changed."
    named = "; ".join(map(_said, changed.head(_SAID).to_dict("records")))
    counts = f"{len(changed):,} of {len(table):,} changed, {int(changed['is_reversed'].sum()):,} of them reversed"
    return f"{intro}: {counts}. {named}{'; …' if len(changed) > _SAID else '.'}"


def _said(row: Mapping[Any, Any]) -> str:
    a, b = (shortened(row[name], MOST_LETTERS) for name in ("label", "label_against"))
    return f"{a} against {b}: was {row['before']} ({_before(row)} points), is {row['after']} ({_after(row)})"


def rates_table(known: "Evidence") -> pd.DataFrame:
    """The rates of `Evidence.rates`; without rows where nothing was tuned."""
    return known.rates


def _rates_cells(table: pd.DataFrame) -> Cells:
    n_rates = max(map(len, table["rates"]), default=0)
    factors = [Fraction(table["rates"].iloc[0][place] / table["of_study"].iloc[0]).limit_denominator(100)
               for place in range(n_rates)]  # fmt: skip
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "its rate": lambda row: f"{row['rate']:g}",
        **{f"× {factor} %": _accuracy(place) for place, factor in enumerate(factors)},
        "edge": lambda row: row["edge"] or NOTHING,
        "networks a rate": lambda row: f"{row['n']:,}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _accuracy(place: int) -> Any:
    return lambda row: f"{100 * row['accuracies'][place]:.2f}"


def _rates_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return _NOT_TUNED
    n, n_rates = int(table["n"].min()), len(table["rates"].iloc[0])
    others = table[table["rate"] != table["of_study"]]
    edge = table[table["edge"] != ""]
    said = (f"Mean validation accuracy in per cent of {counted(n, 'network')} of every cell at each of {n_rates} "
            f"learning rates, in multiples of the one that the study says: {len(others):,} of "
            f"{counted(len(table), 'cell')} do best at another.")  # fmt: skip
    if len(edge):
        named = "; ".join(f"{shortened(row['label'], MOST_LETTERS)} ({row['edge']})"
                          for row in edge.head(_SAID).to_dict("records"))  # fmt: skip
        more = "; …" if len(edge) > _SAID else ""
        said += f" At the edge of what was tried, beyond which a better rate may lie: {len(edge):,} ({named}{more})."
    return said


FAIR = (
    Exhibit("fair-verdicts", "Which verdicts change when every cell has its own best learning rate?", "study",
            changes_table, _changes_cells, None, _changes_caption),
    Exhibit("tuned-rates", "Which learning rate is best for each cell?", "study", rates_table, _rates_cells, None,
            _rates_caption),
)  # fmt: skip
