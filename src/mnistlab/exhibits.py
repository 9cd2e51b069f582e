"""Everything that can be shown, listed once: a name, the question it answers, its table, its drawing, its caption.

Whoever shows something loops over `EXHIBITS`; a further exhibit is one more entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnistlab.analysis.results import ResultsTable, depth_table, width_table
from mnistlab.formatting import Cells, curve_cells, percent, point_estimate, points, results_cells
from mnistlab.visualization.curves import draw_depth_performance, draw_width_performance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One thing to show.

    Attributes
    ----------
    name : str
        What it is called by a command or a file.
    question : str
        What it answers; its heading.
    table : function
        From the results to the data shown.
    cells : function
        From that data to header and rows of text, most important column first.
    draw : function or None
        From that data and Axes to the Axes; None: the table is all there is.
    caption : function
        From that data to one or two sentences with its main numbers: caption and alternative text of the drawing.
    """

    name: str
    question: str
    table: Callable[[ResultsTable], "pd.DataFrame"]
    cells: Callable[["pd.DataFrame"], Cells]
    draw: "Callable[[pd.DataFrame, Axes], Axes] | None"
    caption: Callable[["pd.DataFrame"], str]


def _results_caption(rows: "pd.DataFrame") -> str:
    measured = [row for _, row in rows.iterrows() if row["accuracy"].value is not None]
    if not measured:
        return "No network has finished yet."
    networks = sum(row["seeds"] for row in measured)
    cells = "1 cell" if len(measured) == 1 else f"{len(measured)} cells"
    chosen = [row for row in measured if row["validation_accuracy"].value is not None]
    if not chosen:
        return f"{networks:,} networks of {cells}."
    # Validation chooses, as in training: the highest of many test accuracies flatters (rule M3).
    best = max(chosen, key=lambda row: row["validation_accuracy"].value)
    test = f"its test accuracy in per cent is {percent(best['accuracy'])}"
    return f"{networks:,} networks of {cells}. Best on validation digits: {best['label']}; {test}."


def _curve_caption(axis: str) -> Callable[["pd.DataFrame"], str]:
    def caption(table: "pd.DataFrame") -> str:
        if table.empty:
            return f"No finished cells that differ in {axis} alone."
        ranked = table.sort_values("accuracy", kind="stable")
        lowest, highest = (
            f"{row['label']}, {percent(point_estimate(dict(row)))}" for row in (ranked.iloc[0], ranked.iloc[-1])
        )
        resolution = table["resolution"].iloc[0]
        seen = (
            f"Resolution {points(resolution)}: many smaller differences are missed."
            if resolution > 0
            else "No resolution yet."
        )
        intro = f"Test accuracy in per cent by {axis}, {len(table)} cells, with 95 % intervals and (networks)."
        return f"{intro} Highest: {highest}; lowest: {lowest}. {seen}"

    return caption


EXHIBITS = (
    Exhibit("width", "Does a wider layer help?", width_table, curve_cells("width"), draw_width_performance,
            _curve_caption("width")),
    Exhibit("depth", "Do more layers help?", depth_table, curve_cells("depth"), draw_depth_performance,
            _curve_caption("depth")),
    Exhibit("results", "What does each cell reach, and what does it cost?", lambda results: results.rows,
            results_cells, None, _results_caption),
)  # fmt: skip
