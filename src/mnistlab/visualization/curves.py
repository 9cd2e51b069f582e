"""Accuracy along one knob: tables in, Axes out. Only positions are computed here."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mnistlab.visualization.axes import count, draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.style import INK, LINE_STYLES, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_ASIDE = 0.012  # of the axis, between two series: no interval hides another of the same place
_NAMED = 4  # collapsed cells named at the foot; more are counted
_STEP = 0.055  # of the axis, between two names there


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
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.set(xlabel=words, ylabel="test accuracy")
    rule(ax, "y")
    if table.empty:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no finished cells to compare yet", transform=ax.transAxes, ha="center", va="center")
        return ax
    off = off_scale(table)
    shown = table[~off]
    series = list(_series(shown))
    looks = zip(itertools.cycle(OKABE_ITO), itertools.cycle(LINE_STYLES), itertools.cycle(MARKERS))
    for place, ((name, rows), (color, dash, marker)) in enumerate(zip(series, looks, strict=False)):
        spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        aside = (place - (len(series) - 1) / 2) * _ASIDE
        places = _shifted(rows[axis], table[axis], aside, ax)
        ax.errorbar(places, rows["accuracy"], yerr=spread, color=color, linestyle=dash, marker=marker, markersize=5,
                    capsize=2.5, label=name)  # fmt: skip
    mark_collapsed(shown, ax, axis)
    draw_resolution(ax, "y", shown)
    _keep_scale(table, int(off.sum()), ax)
    _draw_collapsed(table[off], ax, axis)
    ax.xaxis.set(major_locator=FixedLocator(sorted(table[axis].unique())), minor_locator=NullLocator(),
                 major_formatter=StrMethodFormatter("{x:.0f}"))  # fmt: skip
    percent_ticks(ax.yaxis)
    legend_below(ax)
    return ax


def networks_text(table: "pd.DataFrame") -> str:
    """How many networks stand behind each row, for a legend: ` (n = 5)`, ` (n = 3 to 20)`; empty where not known."""
    return f" ({count(table['n'].astype(int))})" if "n" in table and len(table) else ""


def _series(table: "pd.DataFrame") -> Iterator[tuple[str, "pd.DataFrame"]]:
    """Rows by framework and activation, each with its words for the legend: `relu (n = 5)`."""
    by = [name for name in ("framework", "activation") if name in table]
    several = "framework" in table and table["framework"].nunique() > 1
    for _, rows in table.groupby(by, sort=False):
        name = " ".join(rows[by if several else ["activation"]].iloc[0])
        yield f"{name}{networks_text(rows)}", rows


def _shifted(places: "pd.Series", whole: "pd.Series", share: float, ax: "Axes") -> "pd.Series":
    """The places moved by a share of the axis' length."""
    if ax.get_xscale() == "log":
        return places * (whole.max() / whole.min()) ** share
    return places + (whole.max() - whole.min()) * share


def off_scale(table: "pd.DataFrame") -> Any:
    """Of each row, whether collapsed networks (rule M12) bring it so low that to scale it would flatten all others."""
    if "collapsed" not in table:
        return table["accuracy"] < 0
    reach = clean_range(table)
    return (table["collapsed"] > 0) & (table["accuracy"] < (reach[0] if reach else 0))  # where all did, to scale


def clean_range(table: "pd.DataFrame") -> tuple[float, float] | None:
    """From where to where the rows reach none of whose networks collapsed, with some space; None: there are none."""
    clean = table[table["collapsed"] == 0] if "collapsed" in table else table
    if clean.empty:
        return None
    low, high = (clean[end].fillna(clean["accuracy"]) for end in ("low", "high"))
    space = 0.06 * (high.max() - low.min()) or 0.001
    return low.min() - space, high.max() + space


def _keep_scale(table: "pd.DataFrame", n_off: int, ax: "Axes") -> None:
    """Where a network collapsed the interval may reach from guessing to perfect: the others set the scale."""
    reach = clean_range(table)
    if reach is None or "collapsed" not in table or not table["collapsed"].any():
        return
    foot = (min(n_off, _NAMED + 1) + 0.5) * _STEP if n_off else 0.0  # the names stand below all intervals
    ax.set_ylim(reach[0] - foot / (1 - foot) * (reach[1] - reach[0]), reach[1])


def mark_collapsed(table: "pd.DataFrame", ax: "Axes", axis: str) -> None:
    """At those that are drawn to scale all the same: how many did."""
    for _, row in (table[table["collapsed"] > 0] if "collapsed" in table else table[:0]).iterrows():
        aside = 1 if row[axis] < _middle(ax) else -1
        ax.annotate(collapsed_text(row), (row[axis], row["accuracy"]), xytext=(6 * aside, 4), va="bottom",
                    ha="left" if aside > 0 else "right", textcoords="offset points", fontsize="small")  # fmt: skip


def _middle(ax: "Axes") -> float:
    low, high = ax.get_xlim()
    return float((low * high) ** 0.5 if ax.get_xscale() == "log" else (low + high) / 2)


def collapsed_text(row: "pd.Series[Any]") -> str:
    """`2 of 5 collapsed`."""
    return f"{row['collapsed']} of {row['n']} collapsed"


def _draw_collapsed(table: "pd.DataFrame", ax: "Axes", axis: str) -> None:
    """Arrows at the foot, with the accuracy they stand for."""
    foot = ax.get_xaxis_transform()
    places = sorted(table[axis].unique())
    ax.plot(places, [0.03] * len(places), marker="v", markersize=7, color=INK, linestyle="none", transform=foot,
            zorder=3, label="collapsed, off the scale" if places else None)  # fmt: skip
    middle = _middle(ax)
    for line, (_, row) in enumerate(table.head(_NAMED).iterrows()):
        some = f", {collapsed_text(row)}" if row["collapsed"] < row["n"] else ""
        words = f"{row['activation']} {100 * row['accuracy']:.1f} %{some}"
        side, text = ("right", f"{words}  ") if row[axis] > middle else ("left", f"  {words}")
        ax.annotate(text, (row[axis], 0.03 + _STEP * line), xycoords=foot, ha=side, va="center", fontsize="small")
    if len(table) > _NAMED:
        ax.annotate(f"and {len(table) - _NAMED} more", (0.99, 0.03 + _STEP * _NAMED), xycoords="axes fraction",
                    ha="right", va="center", fontsize="small")  # fmt: skip
