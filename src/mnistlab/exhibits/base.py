"""What an exhibit is: name, question, table, drawing, caption; and what becomes of one with the data of a study."""

import html
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.evidence import Evidence
from mnistlab.formatting import (
    NOTHING,
    Cells,
    html_paragraph,
    html_table,
    percent,
    point_estimate,
    points,
    printable,
    spread,
)
from mnistlab.visualization.style import SIZE, draw_figure, figure_png, figure_svg, inline_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSED = ": many smaller differences are missed"
Section = Literal["search", "original", "knobs", "study", "costs", "digits", "cells"]


def trained_accuracy(row: Mapping[Any, Any]) -> str:
    """The accuracy of a row of those networks that trained; nothing where none did."""
    if math.isnan(row["accuracy"]):
        return NOTHING
    return percent(point_estimate({**row, "n": row["n"] - row["collapsed"]}))


def collapsed_words(collapsed: int, networks: int) -> str:
    """Behind an accuracy in a caption: ` (2 of 5 collapsed)`; nothing where every network trained (rule M12)."""
    return f" ({collapsed:,} of {networks:,} collapsed)" if collapsed else ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One thing to show.

    Attributes
    ----------
    name : str
        What it is called by a command or a file.
    question : str
        What it answers; its heading.
    section : str
        The part of a page it belongs to.
    table : function
        From what is known of a study to the data shown: a row per mark. Without rows: there is nothing to show.
    cells : function
        From that data to header and rows of text, most important column first.
    draw : function or None
        From that data and Axes to the Axes; None: the table is all there is.
    caption : function
        From that data to one or two sentences with its main numbers: caption and alternative text of the drawing. It
        begins with "No " where the table has no rows, and says what is missing.
    knobs : tuple of str
        The knobs, as `verdicts` names them, whose verdicts answer the question too.
    height : function
        From the data to the height of the drawing, in inches; its width is that of all.
    """

    name: str
    question: str
    section: Section
    table: Callable[[Evidence], "pd.DataFrame"]
    cells: Callable[["pd.DataFrame"], Cells]
    draw: "Callable[[pd.DataFrame, Axes], Axes] | None"
    caption: Callable[["pd.DataFrame"], str]
    knobs: tuple[str, ...] = ()
    height: Callable[["pd.DataFrame"], float] = lambda _table: SIZE[1]


@dataclass(frozen=True, eq=False, repr=False)  # no slots: see `Evidence`
class Shown:
    """An exhibit with the data of a study.

    Attributes
    ----------
    exhibit : Exhibit
    evidence : Evidence
    """

    exhibit: Exhibit
    evidence: Evidence

    @cached_property
    def table(self) -> "pd.DataFrame":
        """The data shown, a row per mark."""
        return self.exhibit.table(self.evidence)

    @property
    def cells(self) -> Cells:
        """Header and rows of text."""
        return self.exhibit.cells(self.table)

    @cached_property
    def caption(self) -> str:
        """One or two sentences with the main numbers."""
        return printable(self.exhibit.caption(self.table))

    @cached_property
    def svg(self) -> str:
        """The drawing as an SVG document; empty where there is none."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a name in letters this machine's font lacks
            figure = self.figure()
            return figure_svg(figure) if figure else ""

    def png(self) -> bytes:
        """The drawing as a picture; empty where there is none."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            figure = self.figure()
            return figure_png(figure) if figure else b""

    def figure(self) -> "Figure | None":
        """The drawing on a new figure; None where there is none, or nothing to draw."""
        if self.exhibit.draw is None or self.table.empty:
            return None
        return draw_figure(self.exhibit.draw, self.table, (SIZE[0], self.exhibit.height(self.table)))

    def __repr__(self) -> str:
        return f"<exhibit {self.exhibit.name} of {printable(self.evidence.study)}: {self.caption}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: question, drawing, caption, table."""
        drawing = inline_svg(self.svg, self.exhibit.name) if self.svg else ""
        says = f'role="img" aria-label="{html.escape(self.caption)}" style="max-width: 100%; height: auto"'
        columns, rows = self.cells
        table = html_table(columns, rows) if rows else ""
        heading, caption = html_paragraph(self.exhibit.question, "h3"), html_paragraph(self.caption)
        return f"{heading}{drawing.replace('<svg', f'<svg {says}', 1)}{caption}{table}"


def number(value: float | None) -> float:
    """What was measured as a float, NaN where nothing was."""
    return math.nan if value is None else float(value)


def ends(estimate: Estimate) -> tuple[float, float, float]:
    """Value and both ends of the interval as floats, NaN where not known."""
    return number(estimate.value), number(estimate.low), number(estimate.high)


def share_words(row: Mapping[Any, Any], *names: str) -> str:
    """A share in per cent with its interval, of a row that holds value and both ends under these names."""
    value, low, high = (None if math.isnan(row[name]) else row[name] for name in names)
    return spread(Estimate(value, low, high, kind="jackknife"), 100)


def resolution_words(table: "pd.DataFrame", more: str = "") -> str:
    """The end of a caption: which differences these seeds often miss, and what `more` says of them."""
    resolution = table["resolution"].iloc[0]
    return f"Resolution {points(resolution)}{more}." if resolution > 0 else "No resolution yet."
