"""What each knob does: an exhibit for every knob, of its own kind or of paired differences."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mnistlab.analysis.results import depth_table, width_table
from mnistlab.exhibits.arrangements import (
    activation_caption,
    activation_table,
    arrangement_cells,
    combination_caption,
    combination_table,
    order_caption,
    order_table,
)
from mnistlab.exhibits.base import MISSED, Exhibit, collapsed_words, resolution_words
from mnistlab.exhibits.differences import difference_exhibit
from mnistlab.exhibits.training import (
    iterations_caption,
    iterations_cells,
    iterations_table,
    train_fraction_caption,
    train_fraction_cells,
    train_fraction_table,
)
from mnistlab.formatting import counted, percent, point_estimate
from mnistlab.spec import Architecture, Cell
from mnistlab.tabulation import curve_cells
from mnistlab.visualization.curves import draw_depth_performance, draw_width_performance
from mnistlab.visualization.dots import dots_height, draw_dots
from mnistlab.visualization.iterations import draw_iterations
from mnistlab.visualization.split_law import draw_split_law

if TYPE_CHECKING:
    import pandas as pd


def _curve_caption(axis: str) -> Callable[["pd.DataFrame"], str]:
    def caption(table: "pd.DataFrame") -> str:
        if table.empty:
            return f"No finished cells that differ in {axis} alone."
        ranked = table.sort_values("accuracy", kind="stable")
        lowest, highest = (
            f"{row['label']}, {percent(point_estimate(dict(row)))}{collapsed_words(row['collapsed'], row['n'])}"
            for row in (ranked.iloc[0], ranked.iloc[-1])
        )
        others = table["others"].iloc[0]
        rest = f" ({counted(others, 'other family', 'other families')} of cells left out)" if others else ""
        intro = f"Test accuracy in per cent by {axis}, {len(table)} cells{rest}, with 95 % intervals and (networks)."
        return f"{intro} Highest: {highest}; lowest: {lowest}. {resolution_words(table, MISSED)}"

    return caption


_OWN = ("hidden_layer_sizes", "activations", "train_fraction", "epochs")  # have exhibits of another kind
_NEVER_PAIRED = ("dataset", "protocol")  # what differs there was tested on other digits (rule M1)
_OTHERS = [knob for knob in Cell(Architecture((64,))).settings() if knob not in (*_OWN, *_NEVER_PAIRED)]

KNOBS = (
    Exhibit("width", "Does a wider layer help?", "knobs", lambda known: width_table(known.results),
            curve_cells("width"), draw_width_performance, _curve_caption("width"), ("width",)),
    Exhibit("depth", "Do more layers help?", "knobs", lambda known: depth_table(known.results),
            curve_cells("depth"), draw_depth_performance, _curve_caption("depth"), ("depth",)),
    Exhibit("activation", "Which activation is best?", "knobs", lambda known: activation_table(known.results),
            arrangement_cells("shape", "activation"), draw_dots, activation_caption, ("activation",), dots_height),
    Exhibit("order", "Does the order of activations matter?", "knobs", lambda known: order_table(known.results),
            arrangement_cells("activations", ""), draw_dots, order_caption, (), dots_height),
    Exhibit("combination", "How should nodes be spread over layers?", "knobs",
            lambda known: combination_table(known.results), arrangement_cells("", "widths"), draw_dots,
            combination_caption, ("layers",), dots_height),
    Exhibit("train-fraction", "What do more training digits buy?", "knobs", train_fraction_table, train_fraction_cells,
            draw_split_law, train_fraction_caption, ("train_fraction",)),
    Exhibit("iterations", "How many epochs are enough?", "knobs", iterations_table, iterations_cells, draw_iterations,
            iterations_caption, ("epochs",), lambda _table: 4.8),
    *map(difference_exhibit, _OTHERS),
)  # fmt: skip
