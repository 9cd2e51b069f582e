"""What accuracy depends on: shares of its variance and its mean at each setting. Only positions are computed here."""

from typing import TYPE_CHECKING

import numpy as np

from mnistlab.visualization.axes import (
    accuracy_axis,
    count,
    draw_resolution,
    legend_below,
    name_rows,
    rows_by_group,
    rule,
    say_nothing,
    short,
)
from mnistlab.visualization.style import BAND, INK, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Face, edge and hatching of each kind of share: told apart without colours too.
SHARE_LOOKS = {
    "one knob": (OKABE_ITO[0], OKABE_ITO[0], ""),
    "two knobs together": ("none", OKABE_ITO[0], "////"),
    "three knobs or more": ("none", OKABE_ITO[3], "xxxx"),
    "seed": (BAND, INK, ""),
}


def draw_shares(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Shares of the variance of accuracy as bars with intervals, and of each with its interactions as a mark.

    Parameters
    ----------
    table : DataFrame
        A row per share, from the top down: what, kind (see `SHARE_LOOKS`), share, low, high, total, total_low,
        total_high (fractions, NaN where not known), n (networks).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "no shares yet")
    places = np.arange(len(table))
    networks = count(table["n"])
    for kind, (face, edge, hatch) in SHARE_LOOKS.items():
        own = (table["kind"] == kind).to_numpy()
        if own.any():
            ax.barh(places[own], 100 * table["share"][own], 0.62, facecolor=face, edgecolor=edge, hatch=hatch,
                    label=f"{'seed noise' if kind == 'seed' else kind} ({networks})")  # fmt: skip
    _intervals(ax, table, places, ("share", "low", "high"), INK, "none", None)
    if table["total"].notna().any():
        _intervals(ax, table, places, ("total", "total_low", "total_high"), OKABE_ITO[1], "D", "with all interactions")
    name_rows(ax, places.tolist(), [short(what.replace("_", " "), 34) for what in table["what"]])
    ax.set_xlabel("share of the variance of test accuracy, %")
    ax.set_xlim(left=0)
    rule(ax, "x")
    legend_below(ax)
    return ax


def _intervals(
    ax: "Axes", table: "pd.DataFrame", places: "np.ndarray", names: tuple[str, str, str], color: str, mark: str,
    label: str | None,
) -> None:  # fmt: skip
    known = table[names[0]].notna().to_numpy()
    value, low, high = (100 * table[name][known].astype(float) for name in names)
    # The mark stands a little lower than the bar's own interval, that neither hides the other.
    ax.errorbar(value, places[known] + (0.2 if label else 0), xerr=[(value - low).fillna(0), (high - value).fillna(0)],
                linestyle="none", marker=mark, markersize=5, color=color, capsize=2.5, elinewidth=1.2, clip_on=False,
                label=label)  # fmt: skip


def draw_effects(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy at every level of every knob, knob by knob, with intervals.

    Parameters
    ----------
    table : DataFrame
        A row per level, levels of a knob together: knob, level (text), accuracy, low, high (fractions), n (networks),
        resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "no knob with two settings yet")
    places, headings = rows_by_group([knob.replace("_", " ") for knob in table["knob"]])
    shown = table.assign(place=places)
    for number, (_, own) in enumerate(shown.groupby("knob", sort=False)):
        spread = [own["accuracy"] - own["low"], own["high"] - own["accuracy"]]
        joined = ":" if _ordered(own) else "none"
        ax.errorbar(own["accuracy"], own["place"], xerr=spread, linestyle=joined, linewidth=1, marker="o", markersize=5,
                    color=OKABE_ITO[0], capsize=2.5,
                    label=f"mean at this setting ({count(shown['n'])})" if number == 0 else None)  # fmt: skip
    accuracy_axis(ax, "x", shown)
    draw_resolution(ax, "x", shown, "resolution of two cells")
    name_rows(ax, places, [short(level, 26) for level in table["level"]], headings)
    legend_below(ax)
    return ax


def _ordered(levels: "pd.DataFrame") -> bool:
    """Whether a line may join the levels: numbers have an order, names have none."""
    return all(level.replace(".", "", 1).isdigit() for level in levels["level"])
