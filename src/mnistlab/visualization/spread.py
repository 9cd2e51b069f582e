"""Networks of every cell side by side: a table in, Axes out. Only positions are computed here."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnistlab.visualization.axes import (
    accuracy_axis,
    count,
    draw_resolution,
    legend_below,
    name_rows,
    say_nothing,
    short_names,
)
from mnistlab.visualization.style import INK, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPREAD = 0.5  # of a row, over which its networks are laid out, so that equals do not hide each other


def draw_seeds(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """A row per cell: every network that trained, their mean with its interval, and how many collapsed.

    Parameters
    ----------
    table : DataFrame
        A row per cell, from the top down: label, accuracies (tuple of fractions, those below `threshold` collapsed),
        threshold, accuracy, low, high (of those that trained; NaN where none did), n, collapsed, resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "no finished networks yet")
    rows = [np.array(row["accuracies"])[np.array(row["accuracies"]) >= row["threshold"]] for _, row in table.iterrows()]
    shares, places = np.concatenate(rows), np.concatenate([place + _laid_out(own) for place, own in enumerate(rows)])
    if len(shares):
        ax.plot(shares, places, linestyle="none", marker="o", markersize=3.5, alpha=0.55, color=OKABE_ITO[0],
                markeredgewidth=0, label=f"a network (n = {len(shares):,})")  # fmt: skip
        spread = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
        ax.errorbar(table["accuracy"], range(len(table)), xerr=spread, linestyle="none", marker="D", markersize=4.5,
                    capsize=2.5, color=OKABE_ITO[1],
                    label=f"mean and 95 % interval ({count([len(own) for own in rows if len(own)])})")  # fmt: skip
        singles = pd.DataFrame({"accuracy": shares, "low": shares, "high": shares})
        accuracy_axis(ax, "x", pd.concat([table[["accuracy", "low", "high"]], singles]))
        draw_resolution(ax, "x", table)
    _draw_collapsed(table, ax)
    name_rows(ax, range(len(table)), short_names(table["label"]))
    legend_below(ax)
    return ax


def _laid_out(row: "np.ndarray") -> "np.ndarray":
    return np.linspace(-_SPREAD / 2, _SPREAD / 2, len(row)) if len(row) > 1 else np.zeros(len(row))


def _draw_collapsed(table: pd.DataFrame, ax: "Axes") -> None:
    """Arrows at the left edge with a count: to scale they would flatten all others."""
    edge = ax.get_yaxis_transform()
    hit = np.flatnonzero(table["collapsed"] > 0)
    if not len(hit):
        return
    total = int(table["collapsed"].sum())
    ax.plot(np.full(len(hit), 0.015), hit, linestyle="none", marker="<", markersize=6, color=INK, transform=edge,
            clip_on=False, label=f"collapsed, off the scale (n = {total:,})")  # fmt: skip
    for place in hit:
        row = table.iloc[place]
        lost = np.array(row["accuracies"])[np.array(row["accuracies"]) < row["threshold"]]
        text = f"{row['collapsed']} of {row['n']} collapsed, {100 * lost.mean():.1f} %"
        ax.text(0.035, float(place), text, transform=edge, va="center", fontsize="small")
    if int(table["collapsed"].sum()) == int(table["n"].sum()):
        ax.set(xticks=[], xlabel="test accuracy")
