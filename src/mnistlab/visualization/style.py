"""What all figures share: colours, lines, sizes, and how a figure becomes SVG.

Figures are made without pyplot: no global state, so that threads may draw at once. Nothing changes matplotlib's
settings for others.
"""

import io
import logging
import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Told apart with any colour vision. M. Okabe and K. Ito (2008), Color Universal Design; black and yellow left out."""
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")

INK = "#1b2026"
BAND = "#d9dee4"
_BAND_ELSEWHERE = "#8894a047"  # what the band is where a page has no colour for it: seen on white and on black alike
SIZE = (6.4, 4.0)  # inches: a third larger on a laptop, letters of 11 px on a telephone

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "mnistlab",  # the same figure gives the same bytes
    "svg.fonttype": "none",  # letters stay letters: searchable, and in the page's own face
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}

VERDICT_LOOKS = {
    "better": (OKABE_ITO[2], "^"), "worse": (OKABE_ITO[1], "v"), "equivalent": (OKABE_ITO[0], "s"),
    "undecided": (INK, "o"),
}  # fmt: skip
"""Colour and marker of every verdict; the word itself stands at its row."""

Draw = Callable[["pd.DataFrame", "Axes"], "Axes"]
T = TypeVar("T")


def draw_figure(draw: Callable[[T, "Axes"], "Axes"], table: T, size: tuple[float, float] = SIZE) -> "Figure":
    """The drawing on a new figure of the house's style, `size` in inches."""
    # A first font cache, or a home that cannot be written, is nothing a user must hear of.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        draw(table, figure.add_subplot())
    return figure


def figure_svg(figure: "Figure") -> str:
    """The figure as an SVG document: no date, no random names, transparent ground; the same bytes every time."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def figure_png(figure: "Figure") -> bytes:
    """The figure as a PNG picture of 150 pixels an inch on white: the same bytes every time."""
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context(_SETTINGS):
        figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    return content.getvalue()


def inline_svg(svg: str, name: str) -> str:
    """A figure's SVG document as an `<svg>` element of a page, whose colours follow the page's text.

    The ink becomes `currentColor`, the band `var(--band)`, the lines `var(--line-1)` and on, each with what it is in a
    page that does not know them, such as a notebook's. Ids begin with `name` and a checksum of the drawing, so that
    several figures can stand in one page, of one name too; no address of a namespace or a licence is left in it.
    """
    name = f"{name}-{zlib.crc32(svg.encode()):08x}"
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Within tags alone: a name drawn between them is shown as it is typed.
    return re.sub(r"<[^>]+>", lambda tag: _of_the_page(tag[0], name), svg)


def _of_the_page(tag: str, name: str) -> str:
    tag = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", tag)
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag.replace("xlink:href", "href"))
    for place, color in enumerate(OKABE_ITO, start=1):
        tag = tag.replace(color.lower(), f"var(--line-{place}, {color})")
    return tag.replace(INK, "currentColor").replace(BAND, f"var(--band, {_BAND_ELSEWHERE})")
