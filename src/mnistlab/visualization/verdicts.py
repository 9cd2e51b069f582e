"""Differences of pairs of cells with their verdicts: a table in, Axes out. Only positions are computed here."""

from typing import TYPE_CHECKING

import numpy as np

from mnistlab.visualization.axes import (
    SMALL,
    count,
    legend_below,
    name_rows,
    rows_by_group,
    rule,
    say_nothing,
    short_names,
)
from mnistlab.visualization.style import BAND, INK, VERDICT_LOOKS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_FAR = 0.05  # a difference beyond which the scale becomes logarithmic
_LINEAR = 0.01  # up to which it stays linear then


def draw_verdicts(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """A row per pair: the difference of two cells with its interval, the margin, the verdict as colour, mark and word.

    Parameters
    ----------
    table : DataFrame
        A row per pair, pairs of a knob together: knob, label, label_against, difference, low, high, margin
        (fractions; the difference is the first cell's accuracy less the second's), verdict, n (networks of both).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.ticker import FuncFormatter

    if table.empty:
        return say_nothing(ax, "no verdicts yet")
    places, headings = rows_by_group([knob.replace("_", " ") for knob in table["knob"]])
    margin = float(table["margin"].max())
    ax.axvspan(-margin, margin, color=BAND, zorder=0, label=f"margin (±{margin * 100:g} points)")
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    where = dict(zip(table.index, places, strict=True))
    for verdict, (color, mark) in VERDICT_LOOKS.items():
        own = table[table["verdict"] == verdict]
        if own.empty:
            continue
        spread = [own["difference"] - own["low"], own["high"] - own["difference"]]
        ax.errorbar(own["difference"], [where[row] for row in own.index], xerr=spread, linestyle="none", marker=mark,
                    color=color, markersize=6, capsize=2.5, markerfacecolor="none" if verdict == "undecided" else color,
                    label=f"{verdict} ({count(own['n'])})")  # fmt: skip
    for place, verdict in zip(places, table["verdict"], strict=True):
        ax.text(1.02, place, verdict, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL,
                color=VERDICT_LOOKS[verdict][0])  # fmt: skip
    names = short_names([*table["label"], *table["label_against"]], 28)
    pairs = zip(names[: len(table)], names[len(table) :], strict=True)
    name_rows(ax, places, [f"{name}\nless {against}" for name, against in pairs], headings)
    words = "difference of test accuracy, points"
    if np.nanmax(np.abs(table[["low", "high"]].to_numpy(dtype=float))) > _FAR:
        ax.set_xscale("symlog", linthresh=_LINEAR, linscale=1.5)
        words += f"\n(logarithmic beyond ±{_LINEAR * 100:g})"
        _thin_ticks(table, ax)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):+g}" if share else "0"))
    ax.set_xlabel(words)
    rule(ax, "x")
    legend_below(ax, below=5.6 if "\n" in words else 4.3)
    return ax


def _thin_ticks(table: "pd.DataFrame", ax: "Axes") -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = min(float(table["low"].min()), -_LINEAR), max(float(table["high"].max()), _LINEAR)
    # Beside each other on both sides, the outermost numbers would touch.
    sizes = (_LINEAR, 0.1) if min(-low, high) > 0.1 else (_LINEAR, 0.1, 0.5)
    ticks = [sign * size for sign in (-1, 1) for size in sizes] + [0.0]
    ax.set_xlim(low * 1.5, high * 1.5)
    inside = sorted(tick for tick in ticks if low * 1.5 <= tick <= high * 1.5)
    ax.xaxis.set(major_locator=FixedLocator(inside), minor_locator=NullLocator())
