"""Accuracy, time and memory against what they cost: tables in, Axes out. Only positions are computed here."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlab.visualization.axes import (
    accuracy_axis,
    count,
    draw_resolution,
    legend_below,
    name_rows,
    rule,
    say_nothing,
    short,
    short_names,
)
from mnistlab.visualization.curves import collapsed_text, mark_collapsed, off_scale
from mnistlab.visualization.style import BAND, INK, LINE_STYLES, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

NAMED = 14  # cells of the Pareto set that a legend names; the table names all
MANY = 100  # cells whose intervals would cover each other: they are drawn thinner
LEDGER_LOOKS = {
    "import": (OKABE_ITO[5], "//"), "data": (OKABE_ITO[4], ".."), "compile": (OKABE_ITO[3], "xx"),
    "steps": (OKABE_ITO[0], ""), "evaluation": (OKABE_ITO[2], "\\\\"), "idle": (BAND, ""),
}  # fmt: skip
_NAMED_LOST = 4  # partly collapsed cells off the scale whose accuracy is written at the foot
_NEAR = 0.03  # of an axis: cells nearer than this share a number


def draw_pareto(table: "pd.DataFrame", ax: "Axes", words: str, unit: float = 1.0) -> "Axes":
    """Accuracy against a cost on a logarithmic axis; the cells that none beats in both are joined by a step line.

    Parameters
    ----------
    table : DataFrame
        A row per cell, by rising cost: number (of a Pareto cell; 0 of others), label, cost, accuracy, low, high, n,
        collapsed (networks), pareto, task (data set and protocol: only cells of one are compared), resolution.
    ax : Axes
    words : str
        What the cost is, with its unit.
    unit : float, default=1.0
        How much of the cost that unit is.

    Returns
    -------
    Axes
        `ax`.
    """
    ax.set(xscale="log", xlabel=words, xmargin=0.09)  # room for a number beside the outermost cells
    if table.empty:
        return say_nothing(ax, "no cost measured yet")
    some = table[table["collapsed"] < table["n"]]
    trained = some[~off_scale(some)]
    _points(ax, trained[~trained["pareto"]], OKABE_ITO[0], "o", 0.35, "beaten")
    chosen = trained[trained["pareto"]]
    for (_, own), dash in zip(chosen.groupby("task", sort=False), itertools.cycle(LINE_STYLES)):
        ax.step(own["cost"], own["accuracy"], where="post", color=OKABE_ITO[1], linestyle=dash, linewidth=1.2)
    _points(ax, chosen, OKABE_ITO[1], "D", 1.0, "not beaten")
    # Where a network collapsed the interval may reach from guessing to perfect: the others set the scale.
    clean = (trained["collapsed"] == 0) | (trained["collapsed"] > 0).all()
    accuracy_axis(ax, "y", trained.assign(low=trained["low"].where(clean), high=trained["high"].where(clean)))
    draw_resolution(ax, "y", trained)
    least, most = table["cost"].min(), table["cost"].max()
    if most < 3 * least:
        ax.set_xlim(least / 2, most * 2)
    plain_numbers(ax.xaxis, unit)
    number_cells(ax, chosen)
    mark_collapsed(trained, ax, "cost")
    _draw_collapsed(ax, table.drop(trained.index), trained)
    handles, _ = ax.get_legend_handles_labels()
    legend_below(ax, handles=[*handles, *cell_names(chosen)])
    return ax


def _points(ax: "Axes", rows: "pd.DataFrame", color: str, mark: str, strength: float, words: str) -> None:
    if rows.empty:
        return
    spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
    size, cap, line = (4, 0, 0.4) if len(rows) > MANY else (5, 2, 1)
    ax.errorbar(rows["cost"], rows["accuracy"], yerr=spread, linestyle="none", marker=mark, markersize=size,
                color=color, alpha=strength, capsize=cap, elinewidth=line,
                label=f"{words} ({count(rows['n'])})")  # fmt: skip


def number_cells(ax: "Axes", chosen: "pd.DataFrame") -> None:
    """Numbers beside the Pareto cells, those of cells at one place together: the legend and the table name them."""
    clusters: list[tuple[float, float, list[Any]]] = []
    for _, row in chosen.iterrows():
        across, up = ax.transAxes.inverted().transform(ax.transData.transform((row["cost"], row["accuracy"])))
        if clusters and across - clusters[-1][0] < _NEAR and abs(up - clusters[-1][1]) < _NEAR:
            clusters[-1][2].append(row)
        else:
            clusters.append((across, up, [row]))
    last, above = -np.inf, True
    for across, _, rows in clusters:
        # Of neighbours every other one has its number below.
        above = not above if across - last < 2 * _NEAR else True
        last = across
        first, final = rows[0], rows[-1]
        text = f"{first['number']}" if len(rows) == 1 else f"{first['number']}–{final['number']}"
        ax.annotate(text, (first["cost"], first["accuracy"]), textcoords="offset points", fontsize="small",
                    xytext=(-5, 5) if above else (5, -5), ha="right" if above else "left",
                    va="bottom" if above else "top", color=INK, zorder=5)  # fmt: skip


def cell_names(chosen: "pd.DataFrame") -> list[Any]:
    """Entries of a legend that say which cells have these numbers, as many as it has room for."""
    from matplotlib.lines import Line2D

    named = chosen.head(NAMED)
    return [Line2D([], [], linestyle="none", marker=f"${row['number']}$", markersize=6 + 2 * (row["number"] > 9),
                   color=INK, markeredgewidth=0, label=name)
            for name, (_, row) in zip(short_names(named["label"], 34), named.iterrows(), strict=True)]  # fmt: skip


def _draw_collapsed(ax: "Axes", lost: "pd.DataFrame", trained: "pd.DataFrame") -> None:
    """Arrows at the foot: to scale they would flatten all others."""
    if lost.empty:
        return
    ax.plot(lost["cost"], np.full(len(lost), 0.03), linestyle="none", marker="v", markersize=7, color=INK,
            transform=ax.get_xaxis_transform(), label=f"collapsed, off the scale ({count(lost['n'])})")  # fmt: skip
    some = lost[lost["collapsed"] < lost["n"]]
    for line, (_, row) in enumerate(some.head(_NAMED_LOST).iterrows()):
        aside = ("left", "  {}") if row["cost"] < lost["cost"].median() else ("right", "{}  ")
        text = aside[1].format(f"{100 * row['accuracy']:.1f} %, {collapsed_text(row)}")
        ax.annotate(text, (row["cost"], 0.03 + 0.055 * line), xycoords=ax.get_xaxis_transform(), ha=aside[0],
                    va="center", fontsize="small")  # fmt: skip
    if trained.empty:
        ax.set(yticks=[], ylabel="test accuracy")


def draw_step_seconds(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Seconds of a training step against parameters, both logarithmic, with each framework's overhead as a line.

    Parameters
    ----------
    table : DataFrame
        A row per probe: series (framework, and environment where there are several), parameters, seconds,
        overhead, overhead_low, overhead_high (of the series; NaN where not known).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    ax.set(xscale="log", yscale="log", xlabel="parameters", ylabel="time of a training step, ms")
    if table.empty:
        return say_nothing(ax, "no probe yet")
    looks = zip(itertools.cycle(OKABE_ITO), itertools.cycle(MARKERS), itertools.cycle(LINE_STYLES[1:]))
    for (name, own), (color, mark, dash) in zip(table.groupby("series", sort=False), looks, strict=False):
        ax.plot(own["parameters"], 1000 * own["seconds"], linestyle="none", marker=mark, color=color, markersize=5,
                alpha=0.75, label=f"{short(str(name))} (n = {len(own)})")  # fmt: skip
        floor = own[["overhead", "overhead_low", "overhead_high"]].iloc[0] * 1000
        if floor["overhead"] > 0:
            ax.axhline(floor["overhead"], color=color, linestyle=dash, linewidth=1.2,
                       label=f"overhead of any step, {floor['overhead']:.2g} ms")  # fmt: skip
        if floor["overhead_low"] > 0:
            ax.axhspan(floor["overhead_low"], floor["overhead_high"], color=color, alpha=0.12, linewidth=0)
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    rule(ax)
    legend_below(ax)
    return ax


def draw_memory(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Memory against parameters, both logarithmic: the peak of a probe, and what a network's state takes exactly.

    Parameters
    ----------
    table : DataFrame
        A row per probe: series, parameters, peak_bytes (NaN where not measurable), state_bytes.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    ax.set(xscale="log", yscale="log", xlabel="parameters", ylabel="memory, MB")
    if table.empty:
        return say_nothing(ax, "no probe yet")
    looks = zip(itertools.cycle(OKABE_ITO), itertools.cycle(MARKERS))
    for (name, own), (color, mark) in zip(table.groupby("series", sort=False), looks, strict=False):
        for column, face, words in (("peak_bytes", color, "peak"), ("state_bytes", "none", "state, exact")):
            known = own[own[column].notna()]
            if len(known):
                ax.plot(known["parameters"], known[column] / 1e6, linestyle="none", marker=mark, color=color,
                        markerfacecolor=face, markersize=5.5, alpha=0.8,
                        label=f"{short(str(name), 20)}, {words} (n = {len(known)})")  # fmt: skip
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    rule(ax)
    legend_below(ax)
    return ax


def plain_numbers(axis: "Axis", unit: float = 1.0) -> None:
    """`0.2`, `1`, `1,000` of a unit instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    # Within a decade or two round numbers between the powers stand beside them.
    axis.set(major_locator=LogLocator(subs=(1, 2, 5) if high < 60 * low else (1,)), minor_formatter=NullFormatter(),
             major_formatter=FuncFormatter(lambda number, _: f"{number / unit:,.12g}"))  # fmt: skip


def draw_ledger(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Where the wall clock went: a bar of shares per cell.

    Parameters
    ----------
    table : DataFrame
        A row per bar, from the top down: cell (empty: the whole study), label, timing, n (networks), and of each part
        of `LEDGER_LOOKS` `…_share` (a fraction).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.patches import Patch

    if table.empty:
        return say_nothing(ax, "no finished networks yet")
    places, done = np.arange(len(table)), np.zeros(len(table))
    for part, (color, hatch) in LEDGER_LOOKS.items():
        shares = 100 * table[f"{part}_share"].to_numpy(dtype=float)
        ax.barh(places, shares, 0.72, left=done, color=color, hatch=hatch, edgecolor="white", linewidth=0.5, label=part)
        done = done + shares
    names = zip(short_names(table["label"], 28), table["timing"], strict=True)
    name_rows(ax, places.tolist(), [f"{name}, {timing}" for name, timing in names])
    ax.set(xlim=(0, 100), xlabel="share of the wall clock, %")
    handles, _ = ax.get_legend_handles_labels()
    cells = table["n"][table["cell"] != ""]
    told = f"{count(cells)} a cell, {table['n'].max():,} in all" if len(cells) else count(table["n"])
    legend_below(ax, 4, handles=[*handles, Patch(facecolor="none", edgecolor="none", label=told)])
    return ax
