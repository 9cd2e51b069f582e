"""Accuracy along one knob: tables in, Axes out. Only positions are computed here."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mnistlab.formatting import points
from mnistlab.visualization.style import BAND, INK, LINE_STYLES, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_ASIDE = 0.012  # of the axis, between two series: no interval hides another of the same place


def draw_width_performance(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy against width on a logarithmic axis, with intervals.

    Parameters
    ----------
    table : DataFrame
        Columns width, activation, accuracy, low, high, resolution (fractions; resolution NaN where not known); and,
        where there are, framework, n (networks) and collapsed (how many of them).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    ax.set_xscale("log", base=2)
    return _draw_curves(table, ax, "width", "nodes in each hidden layer")


def draw_depth_performance(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy against depth, with intervals; columns as in `draw_width_performance`, with depth for width."""
    return _draw_curves(table, ax, "depth", "hidden layers")


def _draw_curves(table: "pd.DataFrame", ax: "Axes", axis: str, words: str) -> "Axes":
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, StrMethodFormatter

    ax.set(xlabel=words, ylabel="test accuracy")
    ax.grid(axis="y", color=BAND, linewidth=0.6)
    ax.set_axisbelow(True)
    if table.empty:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no finished cells to compare yet", transform=ax.transAxes, ha="center", va="center")
        return ax
    shown = table[~_all_collapsed(table)]
    series = list(_series(shown))
    looks = zip(itertools.cycle(OKABE_ITO), itertools.cycle(LINE_STYLES), itertools.cycle(MARKERS))
    for place, ((name, rows), (color, dash, marker)) in enumerate(zip(series, looks, strict=False)):
        spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        aside = (place - (len(series) - 1) / 2) * _ASIDE
        places = _shifted(rows[axis], table[axis], aside, ax)
        ax.errorbar(places, rows["accuracy"], yerr=spread, color=color, linestyle=dash, marker=marker, markersize=5,
                    capsize=2.5, label=name)  # fmt: skip
    _draw_resolution(shown, ax)
    _draw_collapsed(table[_all_collapsed(table)], ax, axis)
    ax.xaxis.set(major_locator=FixedLocator(sorted(table[axis].unique())), minor_locator=NullLocator(),
                 major_formatter=StrMethodFormatter("{x:.0f}"))  # fmt: skip
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, fontsize="small")
    return ax


def _series(table: "pd.DataFrame") -> Iterator[tuple[str, "pd.DataFrame"]]:
    """Rows by framework and activation, each with its words for the legend: `relu (n = 5)`."""
    by = [name for name in ("framework", "activation") if name in table]
    several = "framework" in table and table["framework"].nunique() > 1
    for _, rows in table.groupby(by, sort=False):
        name = " ".join(rows[by if several else ["activation"]].iloc[0])
        yield f"{name}{_networks(rows)}", rows


def _shifted(places: "pd.Series", whole: "pd.Series", share: float, ax: "Axes") -> "pd.Series":
    """The places moved by a share of the axis' length."""
    if ax.get_xscale() == "log":
        return places * (whole.max() / whole.min()) ** share
    return places + (whole.max() - whole.min()) * share


def _networks(rows: "pd.DataFrame") -> str:
    if "n" not in rows:
        return ""
    least, most = rows["n"].min(), rows["n"].max()
    return f" (n = {most})" if least == most else f" (n = {least} to {most})"


def _draw_resolution(table: "pd.DataFrame", ax: "Axes") -> None:
    """A band below the best cell, as deep as the resolution: differences that these seeds often miss."""
    resolution = table["resolution"].max()
    if resolution > 0:
        top = table["accuracy"].max()
        ax.axhspan(top - resolution, top, color=BAND, zorder=0, label=f"resolution ({points(resolution)})")
    elif len(table):
        ax.plot([], [], linestyle="none", label="no resolution yet")


def _all_collapsed(table: "pd.DataFrame") -> Any:
    """Cells none of whose networks trained: drawn to scale they would flatten all others."""
    return table["collapsed"] == table["n"] if "collapsed" in table else table["accuracy"] < 0


def _draw_collapsed(table: "pd.DataFrame", ax: "Axes", axis: str) -> None:
    """Arrows at the foot, with the accuracy they stand for."""
    foot = ax.get_xaxis_transform()
    for (_, row), place in zip(table.iterrows(), range(len(table)), strict=True):
        ax.plot(row[axis], 0.03, marker="v", markersize=7, color=INK, linestyle="none", transform=foot, zorder=3,
                label="collapsed, off the scale" if place == 0 else None)  # fmt: skip
        ax.annotate(f"{row['activation']} {100 * row['accuracy']:.1f} % ", (row[axis], 0.03 + 0.06 * place),
                    xycoords=foot, ha="right", va="center", fontsize="small")  # fmt: skip
