"""The course of a search and what it found: tables in, Axes out. Only positions are computed here."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlab.formatting import shortened
from mnistlab.visualization.axes import (
    SMALL,
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
from mnistlab.visualization.cost import cell_names, number_cells, plain_numbers
from mnistlab.visualization.style import BAND, INK, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 8
_ROW = 0.2  # inches of a mark of a winner, or of its name
_LONGEST = 60  # characters of a name: the width of the axes
_WINNER_ROWS = 4.5  # a name, three marks and some space
_ACROSS = 2  # panels beside each other
_MOST_NAMES = 7  # of values beside a panel
_VALUE = 16  # characters of one
_FAINT = 0.3
# Mark, colour, strength of what became of a trial; those off the scale stand at its edge.
_LOOKS = {"trained": ("o", OKABE_ITO[0], 0.85), "given up": ("x", OKABE_ITO[3], 0.45)}
_LOST = {
    "trained, off the scale": ("v", "<", OKABE_ITO[0], 0.85),
    "given up, off the scale": ("v", "<", OKABE_ITO[3], 0.45), "collapsed, off the scale": ("v", "<", INK, 0.8),
    "diverged, off the scale": ("X", "X", INK, 0.8),
}  # fmt: skip
_WORSE = 5  # times the median error of trials trained to their end: what is worse would flatten the others
_APART = 0.25  # of a panel's width, between two accuracies at its axis
_SCORES = (
    ("searched", "", "quoted by the search, validation", "n_searched", OKABE_ITO[1]),
    ("fresh", "fresh_", "fresh networks, validation", "n_fresh", OKABE_ITO[0]),
    ("accuracy", "", "fresh networks, test", "n_fresh", OKABE_ITO[2]),
)


def winners_height(table: pd.DataFrame) -> float:
    """Inches that `draw_winners` needs."""
    return 1.7 + _ROW * _WINNER_ROWS * len(table)


def draw_winners(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """Of each winner what the search quoted, and what its fresh networks score on validation and on test digits.

    Parameters
    ----------
    table : DataFrame
        A row per winner: label, confirmed, searched, n_searched, fresh, fresh_low, fresh_high, n_fresh, accuracy, low,
        high (test; NaN where not known), resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "no winner yet")
    tops = _WINNER_ROWS * np.arange(len(table))
    every = []
    for line, ((name, ends, words, n, color), mark) in enumerate(zip(_SCORES, MARKERS, strict=False), start=1):
        known = table[name].notna().to_numpy()
        rows = table[known]
        value = rows[name]
        low, high = (rows[f"{ends}{end}"].fillna(value) if line > 1 else value for end in ("low", "high"))
        every.append(pd.DataFrame({"accuracy": value, "low": low, "high": high}))
        if known.any():
            ax.errorbar(value, tops[known] + line, xerr=[value - low, high - value], linestyle="none", marker=mark,
                        markersize=5.5, color=color, capsize=2.5, label=f"{words} ({count(rows[n].astype(int))})",
                        zorder=3)  # fmt: skip
    side = ax.get_yaxis_transform()
    for top, row in zip(tops, table.to_dict("records"), strict=True):
        ax.text(0, top, f" {shortened(row['label'], _LONGEST)}", transform=side, va="center", fontsize="small",
                parse_math=False)  # fmt: skip
        if not row["confirmed"]:
            ax.text(0.01, top + 3, f"unconfirmed: {row['n_fresh']} fresh, no test accuracy", transform=side,
                    va="center", fontsize="small")  # fmt: skip
    accuracy_axis(ax, "x", pd.concat(every), "accuracy")
    draw_resolution(ax, "x", table, "resolution of test accuracy")
    ax.set(ylim=(tops[-1] + _WINNER_ROWS - 0.7, -0.7), yticks=[])
    legend_below(ax, 1)
    return ax


def draw_history(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """Validation accuracy of each trial in its turn, the best so far, and the level that was confirmed.

    Parameters
    ----------
    table : DataFrame
        A row per trial: number, accuracy (fraction; NaN where it diverged), kind (`trained`, `given up`, `collapsed`,
        `diverged`), best (so far; NaN before the first), confirmed, confirmed_low, confirmed_high, confirmed_n (the
        same in every row; NaN where nothing is confirmed), resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.ticker import MaxNLocator

    if table.empty:
        return say_nothing(ax, "no trial has ended yet")
    looks = _looks(table)
    _scale(ax, "y", table, looks, table[["confirmed_low", "confirmed_high"]].iloc[0])
    for kind, (mark, color, strength) in _LOOKS.items():
        own = table[looks == kind]
        if len(own):
            ax.plot(own["number"], own["accuracy"], linestyle="none", marker=mark, markersize=4.5, color=color,
                    alpha=strength, label=f"{kind}, n = 1 each ({len(own):,})")  # fmt: skip
    for words, (mark, _, color, strength) in _LOST.items():
        own = table[looks == words]
        if len(own):
            ax.plot(own["number"], np.full(len(own), 0.03), linestyle="none", marker=mark, markersize=5, color=color,
                    alpha=strength, transform=ax.get_xaxis_transform(), label=f"{words} ({len(own):,})")  # fmt: skip
    if table["best"].notna().any():
        ax.step(table["number"], table["best"], where="post", color=OKABE_ITO[1], linewidth=1.6)
        trained = table[table["kind"] == "trained"]
        top = trained.iloc[trained["accuracy"].argmax()]
        ax.plot([top["number"]], [top["accuracy"]], marker="D", markersize=7, color=OKABE_ITO[1],
                markerfacecolor="none", markeredgewidth=1.6, zorder=4,
                label=f"best so far: {100 * top['accuracy']:.2f} %, unconfirmed (n = 1)")  # fmt: skip
    level = table.iloc[0]
    if math.isnan(level["confirmed"]):
        ax.plot([], [], linestyle="none", label="nothing confirmed yet (n = 0)")
    else:
        ax.axhspan(level["confirmed_low"], level["confirmed_high"], color=OKABE_ITO[2], alpha=0.2, linewidth=0)
        words = f"confirmed: {100 * level['confirmed']:.2f} %, fresh (n = {level['confirmed_n']})"
        ax.axhline(level["confirmed"], color=OKABE_ITO[2], linestyle="--", linewidth=1.6, label=words)
    draw_resolution(ax, "y", table[table["kind"] == "trained"], "resolution of two trials")
    ax.set(xlabel="trial", xlim=(table["number"].min() - 1, table["number"].max() + 1))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_ylabel(ax.get_ylabel().replace(" (", "\n("))  # in one line it is longer than the axis
    legend_below(ax)
    return ax


def _looks(table: pd.DataFrame) -> "pd.Series[Any]":
    """How each trial is drawn: one of `_LOOKS` where it stands on the scale, else one of `_LOST`."""
    kind = table["kind"]
    usual = table["accuracy"].where(kind == "trained").median()
    low = 1 - table["accuracy"] > _WORSE * (1 - usual)
    return kind.where(~low & kind.isin(list(_LOOKS)), kind + ", off the scale")


def _scale(ax: "Axes", which: Any, table: pd.DataFrame, looks: "pd.Series[Any]", more: Any = ()) -> None:
    """An axis of accuracy for the trials that stand on the scale, and for these values more."""
    values = table["accuracy"][looks.isin(list(_LOOKS))].tolist()
    values += [value for value in more if not math.isnan(value)]
    accuracy_axis(ax, which, pd.DataFrame({"accuracy": values, "low": values, "high": values}, dtype=float),
                  "validation accuracy")  # fmt: skip


def importances_height(table: pd.DataFrame) -> float:
    """Inches that `draw_importances` needs."""
    return 1.7 + 0.27 * len(table)


def draw_importances(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """The share of each knob as a bar with its interval; without a face where that holds 0.

    Parameters
    ----------
    table : DataFrame
        A row per knob, from the top down: what, share, low, high (fractions), n (trials).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "too few trials were trained to the end")
    places = np.arange(len(table))
    value, low, high = (100 * table[name].astype(float) for name in ("share", "low", "high"))
    surely = (low > 0).to_numpy()
    trials = f"n = {table['n'].iloc[0]:,} trials"
    looks = ((surely, OKABE_ITO[0], "", "above 0"), (~surely, "none", "////", "interval holds 0"))
    for own, face, hatch, words in looks:
        if own.any():
            ax.barh(places[own], value[own], 0.62, facecolor=face, edgecolor=OKABE_ITO[0], hatch=hatch,
                    label=f"{words} ({trials})")  # fmt: skip
    ax.errorbar(value, places, xerr=[value - low, high - value], linestyle="none", color=INK, capsize=2.5,
                elinewidth=1.2, clip_on=False)  # fmt: skip
    name_rows(ax, places.tolist(), [short(what, 24) for what in table["what"]])
    ax.set(xlabel="share of the variance of the error's logarithm, %")
    ax.set_xlim(left=0)
    rule(ax, "x")
    legend_below(ax)
    return ax


def slices_height(table: pd.DataFrame) -> float:
    """Inches that `draw_slices` needs."""
    return 1.4 + 1.75 * math.ceil(table["knob"].nunique() / _ACROSS) if len(table) else 2.6


def draw_slices(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """A panel per knob: its values from the bottom up, validation accuracy across; what was not trained to the end is
    faint.

    Parameters
    ----------
    table : DataFrame
        A row per knob and trial, the trials of a knob together: knob, what, level (text), place (of the level), jitter
        (-0.5 to 0.5), ordered, accuracy (fraction; NaN where it diverged), kind, resolution.
    ax : Axes
        Of a grid: its place is divided among the panels, and it keeps the legend below them.

    Returns
    -------
    Axes
        `ax`.
    """
    whole, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    if table.empty or whole is None or figure is None:
        return say_nothing(ax, "the trials do not differ in any knob")
    panels = list(table.groupby("knob", sort=False))
    n_rows = math.ceil(len(panels) / _ACROSS)
    halves = whole.subgridspec(2, 1, height_ratios=(n_rows, 0.01))
    ax.set_subplotspec(halves[1])
    ax.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])
    grid = halves[0].subgridspec(n_rows, min(_ACROSS, len(panels)))
    for number, (_, own) in enumerate(panels):
        ax.set_xlabel(_draw_panel(own, figure.add_subplot(grid[divmod(number, _ACROSS)])))
    first = panels[0][1]
    looks = _looks(first)
    for kind, (mark, color, _) in _LOOKS.items():
        if n := (looks == kind).sum():
            ax.plot([], [], linestyle="none", marker=mark, color=color, label=f"{kind}, n = 1 each ({n:,})")
    for words, (_, mark, color, _) in _LOST.items():
        if n := (looks == words).sum():
            ax.plot([], [], linestyle="none", marker=mark, color=color, label=f"{words} ({n:,})")
    resolution = first["resolution"].iloc[0]
    words = f"resolution of two trials ({100 * resolution:.2f} points)" if resolution > 0 else "no resolution yet"
    ax.fill_between([], [], color=BAND, label=words)
    legend_below(ax, below=2.6)
    return ax


def _draw_panel(own: pd.DataFrame, ax: "Axes") -> str:
    """One knob; what its axis of accuracy is called, which is the same for all."""
    spots = own["place"] + own["jitter"] * np.where(own["ordered"], 0.3, 0.7)
    looks = _looks(own)
    _scale(ax, "x", own, looks)
    name = ax.get_xlabel()
    for kind, (mark, color, strength) in _LOOKS.items():
        of_kind = (looks == kind).to_numpy()
        ax.plot(own["accuracy"][of_kind], spots[of_kind], linestyle="none", marker=mark, markersize=3.5, color=color,
                alpha=strength if kind == "trained" else _FAINT, markeredgewidth=0.8)  # fmt: skip
    for words, (_, mark, color, strength) in _LOST.items():
        lost = (looks == words).to_numpy()
        ax.plot(np.full(lost.sum(), 0.02), spots[lost], linestyle="none", marker=mark, markersize=4, color=color,
                alpha=strength, transform=ax.get_yaxis_transform())  # fmt: skip
    draw_resolution(ax, "x", own[own["kind"] == "trained"])
    levels = dict(sorted(zip(own["place"], own["level"], strict=True)))
    places = list(levels)
    if len(places) > _MOST_NAMES:  # a number between two named ones is known by its place; the table has them all
        places = [places[round(spot)] for spot in np.linspace(0, len(places) - 1, _MOST_NAMES - 2)]
    ax.set_yticks(places, short_names([levels[spot] for spot in places], _VALUE), fontsize=SMALL, parse_math=False)
    ax.set(ylim=(min(levels) - 0.6, max(levels) + 0.6), xlabel="")
    ax.tick_params(axis="x", labelsize=SMALL)
    ax.set_xticks(_ticks_apart(ax))
    ax.set_title(short(own["what"].iloc[0], 26), fontsize="small", fontweight="bold", loc="left", parse_math=False)
    return name


def _ticks_apart(ax: "Axes") -> list[float]:
    """Of the ticks of the horizontal axis as many as have room for their numbers."""
    kept: list[float] = []
    reach = -math.inf
    low, high = ax.get_xlim()
    for tick in ax.get_xticks():
        spot = ax.transAxes.inverted().transform(ax.transData.transform((tick, 0)))[0]
        if low <= tick <= high and spot - reach >= _APART:
            kept.append(float(tick))
            reach = spot
    return kept


def draw_search_pareto(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """Accuracy against a cost on a logarithmic axis: trials and the step line of those not beaten, confirmed winners.

    Parameters
    ----------
    table : DataFrame
        A row per mark, by rising cost: kind (`trial`, `winner`), number (of a winner), label, cost, accuracy, low, high
        (fractions; NaN of trials), n (networks), front, of (`parameters` or `seconds`), resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    if table.empty:
        return say_nothing(ax, "no trial was trained to the end")
    ax.set(xscale="log", xlabel="seconds of an epoch, as trained" if table["of"].iloc[0] == "seconds" else "parameters",
           xmargin=0.09)  # fmt: skip
    trials, won = table[table["kind"] == "trial"], table[table["kind"] == "winner"]
    ax.plot(trials["cost"], trials["accuracy"], linestyle="none", marker="o", markersize=4.5, color=OKABE_ITO[0],
            alpha=_FAINT, label=f"trials, validation, n = 1 each ({len(trials):,})")  # fmt: skip
    front = trials[trials["front"]]
    ax.step(front["cost"], front["accuracy"], where="post", color=OKABE_ITO[0], linewidth=1.2,
            label="trials not beaten, unconfirmed (n = 1)")  # fmt: skip
    if len(won):
        spread = [(won["accuracy"] - won["low"]).fillna(0), (won["high"] - won["accuracy"]).fillna(0)]
        ax.errorbar(won["cost"], won["accuracy"], yerr=spread, linestyle="none", marker="D", markersize=6,
                    color=OKABE_ITO[1], capsize=3, label=f"winners, confirmed, test ({count(won['n'])})",
                    zorder=3)  # fmt: skip
    accuracy_axis(ax, "y", table, "accuracy")
    draw_resolution(ax, "y", won if len(won) else table, "resolution of test accuracy")
    least, most = table["cost"].min(), table["cost"].max()
    if most < 3 * least:
        ax.set_xlim(least / 2, most * 2)
    plain_numbers(ax.xaxis)
    number_cells(ax, won)
    handles, _ = ax.get_legend_handles_labels()
    legend_below(ax, handles=[*handles, *cell_names(won)])
    return ax
