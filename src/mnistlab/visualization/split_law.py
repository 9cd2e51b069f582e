"""Error against training digits and the law it follows: tables in, Axes out. Only positions are computed here."""

import itertools
from typing import TYPE_CHECKING

from mnistlab.formatting import shortened
from mnistlab.visualization.axes import draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.curves import networks_text
from mnistlab.visualization.style import LINE_STYLES, MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_LONGEST = 30  # characters of a name in the legend
_BANDED = 3  # laws whose bands are still told apart
_APART = 1.25  # a size is written at the axis when it is so many times the last one written


def draw_split_law(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Error of every cell with its interval on a logarithmic axis of training digits, and each family's law.

    Above three laws their bands are left out.

    Parameters
    ----------
    table : DataFrame
        Columns mark ("measured", "law"), family, protocol, n_train, error, low, high, resolution (fractions), n.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    looks = zip(OKABE_ITO, itertools.cycle(LINE_STYLES), itertools.cycle(MARKERS))
    laws = table[table["mark"] == "law"].drop_duplicates(["family", "protocol"])
    banded, drawn = len(laws) <= _BANDED, False
    families = table.groupby(["family", "protocol"], sort=False)
    for ((family, protocol), rows), (color, dash, marker) in zip(families, looks, strict=False):
        cells, law = rows[rows["mark"] == "measured"], rows[rows["mark"] == "law"]
        low, high = (cells[end].fillna(cells["error"]) for end in ("low", "high"))
        seen = ", writers seen" if protocol == "merged" else ""
        ax.errorbar(cells["n_train"], cells["error"], yerr=[cells["error"] - low, high - cells["error"]], color=color,
                    linestyle="none" if len(law) else dash, linewidth=1.2, marker=marker, markersize=5, capsize=2.5,
                    label=f"{shortened(str(family), _LONGEST)}{seen}{networks_text(cells)}")  # fmt: skip
        if len(law):
            ax.plot(law["n_train"], law["error"], color=color, linestyle=dash, linewidth=1.2,
                    label=None if drawn else f"law of {_sizes(table)} sizes{', 95 % band' * banded}")  # fmt: skip
            drawn = True
            if banded:
                ax.fill_between(law["n_train"], law["low"], law["high"], color=color, alpha=0.15, linewidth=0)
    measured = table[table["mark"] == "measured"]
    draw_resolution(ax, "y", measured, of="error")
    _keep_scale(measured, ax)
    ax.set(xscale="log", xlabel="training digits", ylabel="test error")
    ax.xaxis.set(major_locator=FixedLocator(_places(measured["n_train"])), minor_locator=NullLocator(),
                 major_formatter=FuncFormatter(lambda size, _: f"{size:,.0f}"))  # fmt: skip
    percent_ticks(ax.yaxis)
    rule(ax, "y")
    legend_below(ax)
    return ax


def _places(sizes: "pd.Series") -> list[float]:
    """The sizes there are, the largest first, without those too near to one already there."""
    reach = (sizes.max() / sizes.min()) ** 0.13
    kept: list[float] = []
    for size in sorted(sizes.unique(), reverse=True):
        if not kept or kept[-1] / size >= max(reach, _APART):
            kept.append(float(size))
    return kept[::-1]


def _sizes(table: "pd.DataFrame") -> str:
    laws = table[table["mark"] == "law"].drop_duplicates(["family", "protocol"])[["family", "protocol"]]
    counts = table[table["mark"] == "measured"].merge(laws).groupby(["family", "protocol"]).size()
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _keep_scale(table: "pd.DataFrame", ax: "Axes") -> None:
    """What was measured sets the scale: a law that sizes leave open may reach from no error to nothing but errors."""
    low, high = (table[end].fillna(table["error"]) for end in ("low", "high"))
    space = 0.3 * (high.max() - low.min()) or 0.01
    ax.set_ylim(max(low.min() - space, 0.0), min(high.max() + space, 1.0))
