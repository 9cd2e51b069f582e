"""What a study shows as a whole: every cell, every verdict, what the accuracy depends on."""

from typing import TYPE_CHECKING

from mnistlab.exhibits.base import Exhibit
from mnistlab.formatting import percent
from mnistlab.tabulation import results_cells

if TYPE_CHECKING:
    import pandas as pd


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


CELLS = (
    Exhibit("results", "What does each cell reach, and what does it cost?", "cells",
            lambda known: known.results.rows, results_cells, None, _results_caption),
)  # fmt: skip
