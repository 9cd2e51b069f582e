"""What a document claims beside what was measured: a table in, Axes out."""

from typing import TYPE_CHECKING

from mnistlab.formatting import printable
from mnistlab.visualization.axes import count, draw_resolution, legend_below, percent_ticks, rule
from mnistlab.visualization.curves import clean_range, mark_collapsed, off_scale
from mnistlab.visualization.style import INK, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_ASIDE = 0.1  # of the room of a network, between the two marks


def draw_original(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """Accuracy as a document has it (hollow) and as it was measured, with intervals, network by network.

    Parameters
    ----------
    table : DataFrame
        Rows of quantity "accuracy" are drawn. Columns named, quantity, claimed (fraction), measured (`Estimate` or
        None), networks, collapsed (how many of these), resolution (fraction; NaN where not known).
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """

    drawn = table[table["quantity"] == "accuracy"].reset_index(drop=True)
    ax.plot(drawn.index - _ASIDE, drawn["claimed"], color=OKABE_ITO[1], marker="D", markersize=7, fillstyle="none",
            linestyle="none", label="in the document")  # fmt: skip
    ours = drawn[[getattr(measured, "value", None) is not None for measured in drawn["measured"]]]
    for end, name in (("accuracy", "value"), ("low", "low"), ("high", "high")):
        ours = ours.assign(**{end: [getattr(measured, name) for measured in ours["measured"]]}).astype({end: float})
    ours = ours.assign(n=ours["networks"], place=ours.index + _ASIDE)
    off = (ours["collapsed"] == ours["n"]) | off_scale(ours)
    shown = ours[~off]
    if len(shown):
        value = shown["accuracy"]
        ax.errorbar(shown["place"], value, yerr=[value - shown["low"], shown["high"] - value], color=OKABE_ITO[0],
                    marker="o", markersize=6, capsize=3, linestyle="none",
                    label=f"measured here ({count(shown['networks'])})")  # fmt: skip
        draw_resolution(ax, "y", shown)
    if (reach := clean_range(shown)) and shown["collapsed"].any():
        # The interval of a cell that partly collapsed may reach from guessing to perfect.
        ax.set_ylim(min(reach[0], drawn["claimed"].min() - 0.005), max(reach[1], drawn["claimed"].max() + 0.005))
    ax.set_xlim(-0.5, len(drawn) - 0.5)
    mark_collapsed(shown, ax, "place")
    collapsed = ours[off]
    for number, (place, row) in enumerate(zip(collapsed.index.tolist(), collapsed.to_dict("records"), strict=True)):
        ax.plot(place, 0.03, marker="v", markersize=7, color=INK, linestyle="none", transform=ax.get_xaxis_transform(),
                label=None if number else "collapsed, off the scale")  # fmt: skip
        some = f"\n{row['collapsed']} of {row['n']}\ncollapsed" if row["collapsed"] < row["n"] else ""
        ax.annotate(f"{100 * row['accuracy']:.1f} %{some}", (place, 0.06), xycoords=ax.get_xaxis_transform(),
                    ha="center", va="bottom", fontsize="small")  # fmt: skip
    names = [printable(name).replace(" ", "\n", 1) for name in drawn["named"]]
    ax.set_xticks(drawn.index, names, parse_math=False)
    ax.set(ylabel="test accuracy")
    percent_ticks(ax.yaxis)
    rule(ax, "y")
    legend_below(ax)
    return ax
