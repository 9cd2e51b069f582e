"""Test digits and what networks answer: tables in, Axes out. Only positions are computed here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mnistlab.formatting import counted, printable, shortened
from mnistlab.visualization.axes import count, draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.style import BAND, INK, OKABE_ITO, SIZE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = 8  # pictures beside each other
_COLORS = 32  # steps of the colour bar: few enough to stay shapes in an SVG
_NAME = 12  # characters of a class beside a matrix
_ACROSS = 8  # characters below a picture
_GAP = 0.12  # of a picture's width, between two
_LINE = 0.185  # inches, of a line of text below a picture
_TITLE = 0.45  # inches, for the words below all
_SUREST = 1e-7  # of doubt: float32 tells no less


def draw_confusion(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """What is taken for what: a row per true class, a column per answer; errors alone are coloured.

    Parameters
    ----------
    table : DataFrame
        Columns true, predicted (classes), true_name, predicted_name, digits (`Estimate` per network); every class on
        the diagonal, errors where there are any.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib import colormaps

    names = dict(sorted(zip(table["true"], table["true_name"], strict=True)))
    place = {label: number for number, label in enumerate(names)}
    wrong = np.full((len(place), len(place)), np.nan)
    size = min(10.5, 105 / len(place))
    found = [(place[row["true"]], place[row["predicted"]], row["digits"].value) for row in table.to_dict("records")]
    for true, answer, digits in found:
        if true != answer:
            wrong[true, answer] = digits
    top = np.nanmax(wrong) if np.isfinite(wrong).any() else 1
    colors = colormaps["viridis"].resampled(_COLORS)
    mesh = ax.pcolormesh(np.ma.masked_invalid(wrong), cmap=colors, vmin=0, vmax=top, edgecolors=BAND, linewidth=0.5)
    for true, answer, digits in found:
        # On viridis neither follows the page: black on its light half, white on its dark one.
        color = INK if true == answer else "black" if digits > 0.6 * top else "white"
        ax.text(answer + 0.5, true + 0.5, _short_count(digits), ha="center", va="center", fontsize=size, color=color)
    short = [shortened(name, _NAME) for name in names.values()]
    turn = 90 if len(short) > 10 or max(map(len, short)) > 3 else 0
    centres = np.arange(len(short)) + 0.5
    ax.set_xticks(centres, short, parse_math=False, rotation=turn)
    ax.set_yticks(centres, short, parse_math=False)
    ax.tick_params(length=0)
    ax.set(xlabel="taken for", ylabel="true class", xlim=(0, len(short)), ylim=(len(short), 0))
    networks = table["digits"].iloc[0].n
    ax.figure.colorbar(mesh, ax=ax, label=f"digits a network misreads (n = {networks:,})")
    return ax


def confusion_height(table: "pd.DataFrame") -> float:
    """Inches for the matrix of so many classes."""
    return min(5.2, 2.4 + 0.28 * table["true"].nunique()) if len(table) else SIZE[1]


def draw_reliability(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """How often networks are right against how sure they are, both by what is missing to certainty, on log axes.

    Most digits are read with all but certainty, and there the difference between 99 and 99.99 % matters. Bins without
    an error stand at the upper edge, those surer than float32 can tell apart in the legend. Of bins there is no
    resolution to draw.

    Parameters
    ----------
    table : DataFrame
        Columns label, confidence, accuracy, low, high (fractions; ends NaN where not known), n (networks), a row per
        bin.
    ax : Axes
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    surer = table[1 - table["confidence"] < _SUREST]
    shown = table.drop(surer.index) if len(surer) < len(table) else table
    doubt = (1 - shown["confidence"]).clip(lower=_SUREST)
    errors, low, high = (
        1 - shown[name].fillna(shown["accuracy"]).astype(float) for name in ("accuracy", "high", "low")
    )
    edge = 10 ** np.floor(np.log10(min(errors[errors > 0].min(), 0.01) / 2)) if (errors > 0).any() else 1e-4
    ends = (doubt.min() / 2, edge / 2)
    place = errors.clip(lower=edge)
    spread = [place - low.clip(lower=edge), high.clip(lower=edge) - place]
    ax.set(xscale="log", yscale="log")
    ax.plot([min(ends), 1], [min(ends), 1], color=INK, linestyle="--", linewidth=1, label="as sure as right")
    ax.errorbar(doubt, place, yerr=spread, color=OKABE_ITO[0], marker="o", markersize=5, capsize=2.5,
                label=f"{shortened(shown['label'].iloc[0], 34)} ({count(shown['n'])})")  # fmt: skip
    if (errors == 0).any():
        ax.plot(doubt[errors == 0], place[errors == 0], color=OKABE_ITO[1], marker="^", markersize=8, linestyle="none",
                label="no error")  # fmt: skip
    if len(surer) < len(table) and len(surer):
        bins = f"{counted(len(surer), 'surer bin')}, at least {100 * surer['accuracy'].min():.2f} % right"
        ax.plot([], [], linestyle="none", label=bins)
    ax.set(xlim=(1, ends[0]), ylim=(1, ends[1]), xlabel="top probability of the network",
           ylabel="share of digits read rightly")  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        axis.set(major_locator=LogLocator(numticks=5), minor_locator=NullLocator(),
                 major_formatter=FuncFormatter(lambda left, _: _sureness(left)))  # fmt: skip
    rule(ax)
    legend_below(ax)
    return ax


def draw_votes(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy of votes with intervals, and the mean of the networks that vote.

    Parameters
    ----------
    table : DataFrame
        Columns voters, networks, accuracy, low, high, mean_accuracy, resolution (fractions; NaN where not known).
    ax : Axes
    """
    from matplotlib.ticker import MaxNLocator

    rows = np.arange(len(table))
    spread = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    ax.errorbar(table["accuracy"], rows, xerr=spread, color=OKABE_ITO[0], marker="o", markersize=7, capsize=3,
                linestyle="none", label="their vote")  # fmt: skip
    ax.plot(table["mean_accuracy"], rows, color=OKABE_ITO[1], marker="D", markersize=7, fillstyle="none",
            linestyle="none", label="mean of the single networks")  # fmt: skip
    draw_resolution(ax, "x", table)
    named = [f"{row['voters']}\n(n = {row['networks']:,})" for row in table.to_dict("records")]
    ax.set_yticks(rows, named)
    ax.set(xlabel="test accuracy", ylim=(len(table) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    percent_ticks(ax.xaxis)
    rule(ax, "x")
    legend_below(ax)
    return ax


def draw_gallery(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Pictures of digits, light on dark, each above its true class, the wrong answer and the share of wrong networks.

    Parameters
    ----------
    table : DataFrame
        Columns image (uint8 array or None), true, answer (names; empty where no network errs), wrong (share), networks.
    ax : Axes
    """
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if not _has_pictures(table):
        ax.text(0.5, 0.5, "the pictures are not in this machine's cache of data", transform=ax.transAxes, ha="center",
                va="center")  # fmt: skip
        return ax
    high, wide = table["image"].iloc[0].shape
    (across, step), down = _steps(high, wide, _n_lines(table)), -(-len(table) // COLUMNS)
    size = "medium" if _n_lines(table) < 3 else "small"  # names need the room
    sheet = np.full((int(np.ceil(down * step)), int(np.ceil(across * COLUMNS))), np.nan)
    for number, row in enumerate(table.to_dict("records")):
        top, left = (round(place) for place in (step * (number // COLUMNS), across * (number % COLUMNS)))
        sheet[top : top + high, left : left + wide] = row["image"]
        ax.text(left + wide / 2 - 0.5, top + high, "\n".join(_below(row)), ha="center", va="top", fontsize=size,
                linespacing=1.0, parse_math=False)  # fmt: skip
    # Not resampled: the pixels stay those of the data set.
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="equal")
    ax.set(xlim=(-0.5, across * COLUMNS - 0.5), ylim=(down * step - 0.5, -0.5))
    ax.set_xlabel(f"true class → wrong answer, share of networks that err ({count(table['networks'])})")
    return ax


def gallery_height(table: "pd.DataFrame") -> float:
    """Inches for so many pictures."""
    if table.empty or not _has_pictures(table):
        return 0.8
    high, wide = table["image"].iloc[0].shape
    across, down = _steps(high, wide, _n_lines(table))
    return -(-len(table) // COLUMNS) * down * SIZE[0] / (across * COLUMNS) + _TITLE


def _has_pictures(table: "pd.DataFrame") -> bool:
    return not bool(table["image"].isna().any())


def _steps(high: int, wide: int, lines: int) -> tuple[float, float]:
    """Pixels from a picture to the next one beside it and below it, with room for text."""
    across = wide * (1 + _GAP)
    an_inch = across * COLUMNS / SIZE[0]
    return across, high + (lines * _LINE + 0.12) * an_inch


def _n_lines(table: "pd.DataFrame") -> int:
    return max(len(_below(row)) for row in table.to_dict("records"))


def _below(row: Mapping[Any, Any]) -> list[str]:
    """`4 → 9`, `83 %`; long names stand in lines of their own."""
    share = f"{100 * row['wrong']:.0f} %"
    if not row["answer"]:
        return [shortened(str(row["true"]), _ACROSS), share]
    whole = f"{row['true']} → {row['answer']}"
    if len(whole) <= _ACROSS:
        return [printable(whole), share]
    return [shortened(str(row["true"]), _ACROSS), f"→ {shortened(str(row['answer']), _ACROSS - 2)}", share]


def _short_count(count: float) -> str:
    return f"{count:,.0f}" if count >= 9.95 else f"{count:.1f}" if count >= 0.95 else f"{count:.1g}"


def _sureness(left: float) -> str:
    """What is missing to certainty, as the certainty: `99.9 %` of 0.001."""
    return f"{100 * (1 - left):.{max(0, round(-np.log10(left)) - 2)}f} %"
