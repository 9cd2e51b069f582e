"""Accuracies of cells below each other, each with its name above it: tables in, Axes out. Only positions are computed.

The vertical axis is in inches, so that a name keeps its distance from its dot however many rows there are.
"""

import itertools
from typing import TYPE_CHECKING

import numpy as np

from mnistlab.formatting import shortened
from mnistlab.visualization.axes import draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.curves import clean_range, collapsed_text, networks_text, off_scale
from mnistlab.visualization.style import INK, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NAME, _DOT, _GAP = 0.2, 0.17, 0.06  # inches: a name, a dot below it, and what sets two groups apart
_AROUND = 1.3  # inches: axis, its name and the legend
_LONGEST = 60  # characters of a name: the width of the axes


def dots_height(table: "pd.DataFrame") -> float:
    """Inches that `draw_dots` needs."""
    return _inches(table) + _AROUND


def draw_dots(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy of every cell as a dot with its interval, the first on top.

    Parameters
    ----------
    table : DataFrame
        Columns group (the name above its dots), series (what colour and marker tell apart), accuracy, low, high,
        resolution (fractions; resolution NaN where not known), n (networks) and collapsed (how many of them).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.ticker import MaxNLocator

    off = off_scale(table)
    depths = _depths(table)
    looks = dict(zip(table["series"].unique(), itertools.cycle(zip(OKABE_ITO, MARKERS, strict=True)), strict=False))
    for series, (color, marker) in looks.items():
        own = table["series"] == series
        rows, places = table[own & ~off], depths[own & ~off]
        low, high = (rows[end].fillna(rows["accuracy"]) for end in ("low", "high"))
        ax.errorbar(rows["accuracy"], places, xerr=[rows["accuracy"] - low, high - rows["accuracy"]], color=color,
                    linestyle="none", marker=marker, markersize=5, capsize=2.5,
                    label=f"{series}{networks_text(table[own])}")  # fmt: skip
    for group, place in (depths - (_DOT + _NAME) / 2).groupby(table["group"], sort=False).min().items():
        ax.text(0, place, f" {shortened(str(group), _LONGEST)}", transform=ax.get_yaxis_transform(), va="center",
                fontsize="small", parse_math=False)  # fmt: skip
    draw_resolution(ax, "x", table[~off])
    _draw_collapsed(table[off], depths[off], ax)
    _mark_collapsed(table[~off], depths[~off], ax)
    if reach := clean_range(table):
        ax.set_xlim(*reach)
    ax.set(ylim=(_inches(table), 0), yticks=[], xlabel="test accuracy")
    rule(ax, "x")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    percent_ticks(ax.xaxis)
    legend_below(ax)
    return ax


def _depths(table: "pd.DataFrame") -> "pd.Series":
    """Inches of every row below the top: its group's name and the groups before it stand above."""
    groups = (~table["group"].duplicated()).cumsum()
    return groups * (_NAME + _GAP) + (np.arange(len(table)) + 0.5) * _DOT


def _inches(table: "pd.DataFrame") -> float:
    return 0.0 if table.empty else float(_depths(table).iloc[-1]) + _DOT


def _draw_collapsed(table: "pd.DataFrame", depths: "pd.Series", ax: "Axes") -> None:
    """Arrows at the left, with the accuracy they stand for."""
    side = ax.get_yaxis_transform()
    ax.plot([0.015] * len(table), depths, marker="<", markersize=6, color=INK, linestyle="none", transform=side,
            label="collapsed, off the scale" if len(table) else None)  # fmt: skip
    for (_, row), depth in zip(table.iterrows(), depths, strict=True):
        words = f"{row['series']} {100 * row['accuracy']:.1f} %, {collapsed_text(row)}"
        ax.text(0.03, depth, words, transform=side, va="center", fontsize="small")


def _mark_collapsed(table: "pd.DataFrame", depths: "pd.Series", ax: "Axes") -> None:
    """At those that are drawn to scale all the same: how many did."""
    some = table["collapsed"] > 0
    for (_, row), depth in zip(table[some].iterrows(), depths[some], strict=True):
        ax.text(1, depth - 0.09, collapsed_text(row), transform=ax.get_yaxis_transform(), ha="right", va="center",
                fontsize="x-small")  # fmt: skip
