"""Accuracy by epoch, best epochs and stopping points: tables in, Axes out. Only positions are computed here."""

import itertools
from typing import TYPE_CHECKING

import numpy as np

from mnistlab.formatting import shortened
from mnistlab.visualization.axes import draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.style import INK, LINE_STYLES, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SHORT, _LONG = 31, 70  # characters of a name in the legend: if they are told apart, if not
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def draw_iterations(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Mean validation accuracy by epoch with its band; a marker at the best epoch, a cross where training was stopped.

    Parameters
    ----------
    table : DataFrame
        Columns mark ("curve", "best", "stopped"), curve (number; -1: not drawn), name, epoch, epoch_low, epoch_high,
        accuracy, low, high, resolution (fractions), n (networks), networks (with those that collapsed).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    drawn = table[table["curve"] >= 0]
    looks = zip(OKABE_ITO, itertools.cycle(LINE_STYLES), itertools.cycle(MARKERS))
    names = drawn[drawn["mark"] == "curve"].groupby("curve")["name"].first()
    most = _SHORT if names.map(lambda name: shortened(name, _SHORT)).is_unique else _LONG
    for (number, rows), (color, dash, marker) in zip(drawn.groupby("curve"), looks, strict=False):
        line, first = rows[rows["mark"] == "curve"], rows[rows["mark"] == "curve"].iloc[0]
        name = shortened(names[number], most)
        collapsed = first["networks"] - first["n"]
        networks = f" (n = {first['n']}{f', {collapsed} collapsed' if collapsed else ''})"
        ax.plot(line["epoch"], line["accuracy"], color=color, linestyle=dash, label=f"{name}{networks}")
        ax.fill_between(line["epoch"], line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
        for mark, shape, face in (("best", marker, color), ("stopped", "X", "white")):
            _draw_marks(rows[rows["mark"] == mark], ax, color, shape, face)
    ax.plot([], [], linestyle="none", marker="o", color=INK, label="best epoch")
    if (drawn["mark"] == "stopped").any():
        ax.plot([], [], linestyle="none", marker="X", color=INK, markerfacecolor="white", label="stopped early")
    draw_resolution(ax, "y", drawn[drawn["mark"] != "stopped"], "resolution of test accuracy")
    ax.set(xscale="log", xlabel="epoch", ylabel="validation accuracy")
    ticks = [tick for tick in _TICKS if tick <= drawn["epoch"].max()]
    ax.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator(),
                 major_formatter=FuncFormatter(lambda epoch, _: f"{epoch:,.0f}"))  # fmt: skip
    percent_ticks(ax.yaxis)
    rule(ax, "y")
    legend_below(ax)
    return ax


def _draw_marks(rows: "pd.DataFrame", ax: "Axes", color: str, marker: str, face: str) -> None:
    spread = [rows["epoch"] - rows["epoch_low"], rows["epoch_high"] - rows["epoch"]]
    ax.errorbar(rows["epoch"], rows["accuracy"], xerr=np.nan_to_num(np.array(spread, dtype=float)), color=color,
                linestyle="none", marker=marker, markersize=6, markerfacecolor=face, capsize=2.5, zorder=3)  # fmt: skip
