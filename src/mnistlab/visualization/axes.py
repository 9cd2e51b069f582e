"""What the axes of several figures share: accuracy in per cent with the resolution, rows with names, a legend below."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mnistlab.formatting import points, printable
from mnistlab.visualization.style import BAND, INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SMALL = 8.5  # points, of the names of rows: eleven of them a page's width of a telephone
_STEEP = 4  # errors that differ by more than this factor are drawn on a logarithmic scale of errors
_TICKS = (1, 1.5, 2, 3, 4, 5, 7)
_ROOM = {"x": 0.14, "y": 0.055}  # of the axis, that a tick's number takes

_NARROW, _WIDE = 22, 41  # characters of a name of which three, two stand side by side in a legend

Which = Literal["x", "y"]


def short(label: str, length: int = 30) -> str:
    """The label in at most `length` characters, its middle left out: both ends tell cells apart."""
    text = printable(label)
    head = (length - 1) * 3 // 5
    return text if len(text) <= length else f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def short_names(labels: "Sequence[str] | pd.Series", length: int = 30) -> list[str]:
    """The labels, each in at most `length` characters; of those that would look alike what differs is kept."""
    whole = list(dict.fromkeys(map(str, labels)))
    names = {label: short(_without(label, whole) if len(label) > length else label, length) for label in whole}
    for name in set(names.values()):
        alike = [label for label in whole if names[label] == name]
        if len(alike) > 1:
            names.update({label: short(_without(label, alike), length) for label in alike})
    return [names[str(label)] for label in labels]


def _without(label: str, others: Sequence[str]) -> str:
    """The label less the parts that all of these have, an ellipsis in their place."""
    common = set.intersection(*(set(other.split(", ")[1:]) for other in others)) if len(others) > 1 else set()
    first, *rest = label.split(", ")
    return ", ".join([first, *(["…"] if common else []), *(part for part in rest if part not in common)])


def count(numbers: "pd.Series | Sequence[int]", words: str = "") -> str:
    """How many networks stand behind the marks: `n = 5`, `n = 3 to 20`."""
    least, most = min(numbers), max(numbers)
    return f"n = {least:,}{words}" if least == most else f"n = {least:,} to {most:,}{words}"


def rule(ax: "Axes", which: Which | Literal["both"] = "both") -> None:
    """Fine lines at the ticks of an axis, behind all marks."""
    ax.grid(axis=which, color=BAND, linewidth=0.6)
    ax.set_axisbelow(True)


def percent_ticks(axis: "Axis") -> None:
    """Write fractions in per cent, `97.5 %`."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %"))


def accuracy_axis(ax: "Axes", which: Which, table: "pd.DataFrame", what: str = "test accuracy") -> None:
    """Make an axis one of accuracy in per cent that holds every mark of the table and as much of its intervals as fits.

    Where the worst makes more than four times as many errors as the best, the scale is the logarithm of the error: a
    small network must not flatten all others. Columns: accuracy, low, high.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    values = table[["accuracy", "low", "high"]].to_numpy(dtype=float)
    inside, errors = values[~np.isnan(values)], 1 - table["accuracy"].dropna().to_numpy(dtype=float)
    axis, limits = getattr(ax, f"{which}axis"), getattr(ax, f"set_{which}lim")
    rule(ax, which)
    getattr(ax, f"set_{which}label")(what)
    if not len(errors):
        return
    if errors.min() > 0 and errors.max() > _STEEP * errors.min():
        floor = errors.min() / 2
        scale = (lambda share: -np.log10(np.maximum(1 - share, floor)), lambda place: 1 - 10.0 ** -np.asarray(place))
        getattr(ax, f"set_{which}scale")("function", functions=scale)
        getattr(ax, f"set_{which}label")(f"{what} (logarithm of the error)")
        low, high = (float(scale[0](end)) for end in (inside.min(), min(inside.max(), 1 - floor)))
        room = 0.05 * (high - low)
        ends = (float(scale[1](low - room)), float(scale[1](high + room)))
        axis.set(major_locator=FixedLocator(_error_ticks(low - room, high + room, _ROOM[which])),
                 minor_locator=NullLocator())  # fmt: skip
    else:
        low, high = float(inside.min()), min(float(inside.max()), 1.0)
        room = 0.05 * (high - low) or 0.005
        ends = (low - room, high + room)
    percent_ticks(axis)  # a new scale brings its own
    limits(*ends)


def _error_ticks(low: float, high: float, room: float) -> list[float]:
    """Round accuracies between two places on the scale -log10(error), none nearer to the next than its number needs."""
    exponents = range(-math.floor(high) - 2, -math.floor(low) + 1)
    places = sorted(-math.log10(times * 10.0**exponent) for times, exponent in itertools.product(_TICKS, exponents))
    kept: list[float] = []
    for place in places:
        if low <= place <= high and (not kept or place - kept[-1] >= room * (high - low)):
            kept.append(place)
    return [1 - 10.0**-place for place in kept]


def draw_resolution(
    ax: "Axes", which: Which, table: "pd.DataFrame", words: str = "resolution",
    of: Literal["accuracy", "error"] = "accuracy",
) -> None:  # fmt: skip
    """A band from the best mark towards worse ones, as deep as the resolution: differences these seeds often miss.

    Columns: accuracy or error, resolution (fractions; NaN where not known).
    """
    resolution, best = table["resolution"].max(), table[of].min() if of == "error" else table[of].max()
    if resolution > 0 and not math.isnan(best):
        span, low = ax.axvspan if which == "x" else ax.axhspan, best if of == "error" else best - resolution
        span(low, low + resolution, color=BAND, zorder=0, label=f"{words} ({points(resolution)})")
    elif len(table):
        ax.plot([], [], linestyle="none", label="no resolution yet")


def rows_by_group(groups: Sequence[str]) -> tuple[list[int], dict[int, str]]:
    """Places of rows from the top, 0, down, each group of neighbours below a heading: theirs, and the headings'."""
    places: list[int] = []
    headings: dict[int, str] = {}
    for row, name in enumerate(groups):
        if row == 0 or name != groups[row - 1]:
            headings[row + len(headings)] = name
        places.append(row + len(headings))
    return places, headings


def name_rows(ax: "Axes", places: Sequence[int], names: Sequence[str], headings: dict[int, str] | None = None) -> None:
    """Write names at the left of rows that are counted downwards, headings in bold."""
    ticks = {**dict(zip(places, names, strict=True)), **(headings or {})}
    ax.set_yticks(list(ticks), list(ticks.values()), fontsize=SMALL, parse_math=False)
    for place, label in zip(ticks, ax.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if headings and place in headings else "normal")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(ticks, default=0) + 0.7, min(ticks, default=0) - 0.7)


def legend_below(ax: "Axes", columns: int | None = None, *, below: float = 4.3, handles: list[Any] | None = None,
                 middle: Literal["figure", "axes"] = "figure") -> None:  # fmt: skip
    """A legend in the middle of the figure or of the axes, `below` font sizes under these, however high they are.

    As many columns as fit, where none are told; its names are no formulas.
    """
    from matplotlib.transforms import blended_transform_factory

    shown, names = ax.get_legend_handles_labels() if handles is None else (handles, [h.get_label() for h in handles])
    figure = ax.get_figure(root=True)
    if not shown or figure is None:
        return
    if columns is None:
        longest = max(map(len, names))
        columns = 3 if longest <= _NARROW else 2 if longest <= _WIDE else 1
    across = figure.transFigure if middle == "figure" else ax.transAxes
    legend = ax.legend(shown, names, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, fontsize="small",
                       bbox_transform=blended_transform_factory(across, ax.transAxes),
                       borderaxespad=below, columnspacing=1.2, handletextpad=0.5)  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def say_nothing(ax: "Axes", why: str) -> "Axes":
    """Empty axes with a sentence."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=INK)
    return ax
