"""What each knob does: an exhibit for every knob, of its own kind or of paired differences."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mnistlab.analysis.results import depth_table, width_table
from mnistlab.exhibits.base import Exhibit
from mnistlab.formatting import percent, point_estimate, points
from mnistlab.tabulation import curve_cells
from mnistlab.visualization.curves import draw_depth_performance, draw_width_performance

if TYPE_CHECKING:
    import pandas as pd


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


KNOBS = (
    Exhibit("width", "Does a wider layer help?", "knobs", lambda known: width_table(known.results),
            curve_cells("width"), draw_width_performance, _curve_caption("width"), ("width",)),
    Exhibit("depth", "Do more layers help?", "knobs", lambda known: depth_table(known.results),
            curve_cells("depth"), draw_depth_performance, _curve_caption("depth"), ("depth",)),
)  # fmt: skip
