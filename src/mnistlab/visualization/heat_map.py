"""Accuracy of a whole grid of widths and depths: a table in, Axes out. Only positions and colours are computed here."""

from typing import TYPE_CHECKING

import numpy as np

from mnistlab.formatting import points
from mnistlab.visualization.axes import SMALL, count, legend_below, percent_ticks, say_nothing
from mnistlab.visualization.style import BAND, INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ACROSS = 12  # tiles beside each other, at most: more blocks stand below each other
_MIDDLE = 0.179  # luminance at which black and white letters have the same contrast


def block_places(table: "pd.DataFrame") -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Columns and rows of the first tile of each activation's block, and of the whole drawing."""
    wide, high, blocks = (table[name].nunique() for name in ("width", "depth", "activation"))
    beside = blocks * (wide + 1) - 1 <= ACROSS
    starts = [(block * (wide + 1), 0) if beside else (0, block * (high + 1)) for block in range(blocks)]
    return starts, (starts[-1][0] + wide, starts[-1][1] + high) if starts else (0, 0)


def draw_grid(table: "pd.DataFrame", ax: "Axes") -> "Axes":
    """A tile per cell, coloured by accuracy with its number, a block per activation; collapsed ones hatched.

    Parameters
    ----------
    table : DataFrame
        A row per cell: width, depth, activation, accuracy (fraction, of the networks that trained; NaN where none did),
        n (networks), collapsed (how many of them), resolution.
    ax : Axes

    Returns
    -------
    Axes
        `ax`.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch, Rectangle

    if table.empty:
        return say_nothing(ax, "no full grid of widths and depths")
    widths, depths = sorted(table["width"].unique()), sorted(table["depth"].unique())
    starts, (across, down) = block_places(table)
    blocks = dict(zip(table["activation"].unique(), starts, strict=True))
    sheet = np.full((down, across), np.nan)
    low, high = table["accuracy"].min(), table["accuracy"].max()
    image = ax.imshow(sheet, cmap="viridis", vmin=low, vmax=high if high > low else low + 1e-6, aspect="auto",
                      extent=(-0.5, across - 0.5, down - 0.5, -0.5))  # fmt: skip
    for _, row in table.iterrows():
        left, top = blocks[row["activation"]]
        x, y = left + widths.index(row["width"]), top + depths.index(row["depth"])
        sheet[y, x] = row["accuracy"]
        share = (row["accuracy"] - low) / (high - low) if high > low else 0.0
        blank = bool(np.isnan(row["accuracy"]))
        face = BAND if blank else colormaps["viridis"](share)
        # Tiles keep their colours in the dark, and so do the letters on them: black and white, not the page's ink.
        ink = INK if blank else "black" if _luminance(to_rgb(face)) > _MIDDLE else "white"
        if blank or row["collapsed"]:
            hatch = "////" if row["collapsed"] else ""
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor=ink, hatch=hatch, linewidth=0))
        _write(ax, row, (x, y), ink, BAND if blank else face)
    image.set_data(sheet)
    ax.set_xticks([left + place for left, top in starts for place in range(len(widths)) if top == 0],
                  [f"{width}" for left, top in starts for width in widths if top == 0], fontsize=SMALL)  # fmt: skip
    ax.set_yticks([top + place for left, top in starts for place in range(len(depths)) if left == 0],
                  [f"{depth}" for left, top in starts for depth in depths if left == 0], fontsize=SMALL)  # fmt: skip
    for activation, (left, top) in blocks.items():
        ax.text(left - 0.45, top - 0.6, activation, va="bottom", fontsize="small", fontweight="bold", parse_math=False)
    ax.set(xlabel="nodes in each hidden layer", ylabel="hidden layers", ylim=(down - 0.5, -0.6))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    names = [Patch(facecolor="none", edgecolor="none", label=f"mean of those trained, % ({count(table['n'])})")]
    if (table["collapsed"] > 0).any():
        names.append(
            Patch(facecolor=BAND, edgecolor=INK, hatch="////", label="collapsed: how many of a tile's networks")
        )
    resolution = table["resolution"].max()
    name = f"resolution ({points(resolution)}), on the scale" if resolution > 0 else "no resolution yet"
    names.append(Patch(facecolor="none", edgecolor=INK if resolution > 0 else "none", hatch="....", label=name))
    _draw_scale(ax, image, high, float(resolution))
    legend_below(ax, 1, handles=names, middle="axes")
    return ax


def _luminance(color: tuple[float, float, float]) -> float:
    """Of a colour, as the Web Content Accessibility Guidelines define it, from 0 to 1."""
    red, green, blue = (((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _write(ax: "Axes", row: "pd.Series", place: tuple[float, float], ink: str, behind: object) -> None:
    number = "" if np.isnan(row["accuracy"]) else f"{100 * row['accuracy']:.1f}"
    lost = f"{row['collapsed']} of {row['n']}" if row["collapsed"] else ""
    text = "\n".join(filter(None, (number, lost))) or "–"
    box = {"facecolor": behind, "edgecolor": "none", "pad": 0.8} if row["collapsed"] else None
    ax.text(*place, text, ha="center", va="center", fontsize=SMALL, color=ink, bbox=box, linespacing=1.0)


def _draw_scale(ax: "Axes", image: object, high: float, resolution: float) -> None:
    """The colours' scale at the right, with the resolution below the best tile."""
    figure = ax.get_figure(root=True)
    if figure is None or np.isnan(high):
        return
    bar = figure.colorbar(image, ax=ax, fraction=0.05, pad=0.02)  # type: ignore[arg-type]
    bar.set_label("test accuracy")
    percent_ticks(bar.ax.yaxis)
    bar.outline.set_visible(False)
    if resolution > 0:
        ends = bar.ax.get_ylim()
        bar.ax.axhspan(high - resolution, high, facecolor="none", edgecolor=INK, hatch="....")
        bar.ax.set_ylim(ends)
