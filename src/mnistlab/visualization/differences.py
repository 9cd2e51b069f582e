"""Paired differences below each other, each with its verdict: tables in, Axes out. Only positions are computed.

The vertical axis is in inches, so that a name keeps its distance from its dot however many pairs there are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len

from mnistlab.formatting import counted, shortened
from mnistlab.visualization.axes import legend_below, rule
from mnistlab.visualization.curves import networks_text
from mnistlab.visualization.style import BAND, INK, VERDICT_LOOKS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_PAIR, _DOT = 0.44, 0.33  # inches: a pair with its name, and how far its dot stands below the top of it
_AROUND = 1.4  # inches: axis, its name and the legend
_LONGEST, _CHANGE = 70, 48  # characters of a name, beside which the verdict stands, and of the change in it
_FAR, _NEAR = 5.0, 1.0  # points: an interval beyond the one makes the axis logarithmic beyond the other
_SHOWN = (-100, -30, -10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30, 100)


def differences_height(table: "pd.DataFrame") -> float:
    """Inches that `draw_differences` needs."""
    return len(table) * _PAIR + _AROUND


def draw_differences(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Every pair's difference with its interval, the margin as a band, the verdict by colour, marker and word.

    Parameters
    ----------
    table : DataFrame
        Columns alike (what both cells have in common), change (`on against off`), verdict, difference, low, high,
        margin (fractions), seeds, n (networks of both cells) and collapsed (how many of them).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    margin, depths = 100 * table["margin"].iloc[0], np.arange(len(table)) * _PAIR + _DOT
    ax.axvspan(-margin, margin, color=BAND, zorder=0, label=f"equivalent: within {margin:g} points")
    ax.vlines(
        np.zeros(len(table)), depths - 0.11, depths + 0.11, color=INK, linewidth=0.8, zorder=1
    )  # not through names
    for verdict, (color, marker) in VERDICT_LOOKS.items():
        own = (table["verdict"] == verdict).to_numpy()
        rows = table[own]
        if own.any():
            spread = [100 * (rows["difference"] - rows["low"]), 100 * (rows["high"] - rows["difference"])]
            ax.errorbar(100 * rows["difference"], depths[own], xerr=spread, color=color, linestyle="none",
                        marker=marker, markersize=6, markerfacecolor="none" if verdict == "undecided" else color,
                        capsize=2.5, label=f"{verdict}: {counted(len(rows), 'pair')}{networks_text(rows)}")  # fmt: skip
    for row, depth in zip(table.to_dict("records"), depths, strict=True):
        for at, side, words, color, weight in (
            (0, "left", f" {_name(row)}", INK, "normal"),
            (1, "right", row["verdict"], VERDICT_LOOKS[row["verdict"]][0], "bold"),
        ):
            ax.text(at, depth - 0.2, words, transform=ax.get_yaxis_transform(), ha=side, va="center", color=color,
                    weight=weight, fontsize="small", parse_math=False)  # fmt: skip
        if row["collapsed"]:
            ax.text(1, depth - 0.08, f"{row['collapsed']} of {row['n']} collapsed", transform=ax.get_yaxis_transform(),
                    ha="right", va="center", fontsize="x-small")  # fmt: skip
    _scale(table, ax)
    ax.set(ylim=(len(table) * _PAIR + 0.05, -0.05), yticks=[])
    ax.spines["left"].set_visible(False)
    legend_below(ax)
    return ax


def _name(row: Mapping[Any, Any]) -> str:
    rest = f": {shortened(str(row['change']), _CHANGE)}, {counted(row['seeds'], 'seed')}"
    return shortened(str(row["alike"]), _LONGEST - cell_len(rest)) + rest


def _scale(table: "pd.DataFrame", ax: "Axes") -> None:
    """In points; where one pair is far off, logarithmic beyond one point, that the others stay apart from zero."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    reach = 100 * max(-table["low"].min(), table["high"].max(), 1.2 * table["margin"].iloc[0])
    words = "difference in test accuracy, points"
    if reach > _FAR:
        ax.set_xscale("symlog", linthresh=_NEAR, linscale=1.5)
        ax.xaxis.set(major_locator=FixedLocator(_SHOWN), minor_locator=NullLocator())
        words += " (logarithmic beyond ±1)"
    ends = (
        100 * min(table["low"].min(), -table["margin"].iloc[0]),
        100 * max(table["high"].max(), table["margin"].iloc[0]),
    )
    space = 0.05 * (ends[1] - ends[0])
    ax.set(xlabel=words, xlim=(ends[0] - space, ends[1] + space))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda points, _: f"{points:+g}" if points else "0"))
    rule(ax, "x")
