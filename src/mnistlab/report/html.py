"""A study's report: one HTML file that needs nothing else, neither network nor script nor a second file."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mnistlab.analysis.evidence import Evidence
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.catalog import EXHIBITS
from mnistlab.formatting import Cells, printable
from mnistlab.saving import write_whole
from mnistlab.store.tables import StudyStatus
from mnistlab.tabulation import RATE_NOTE, resolution_note
from mnistlab.visualization.style import inline_svg

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 7  # columns a page holds beside each other; more are broken into parts that each repeat the first column


@dataclass(frozen=True, slots=True)
class _Shown:
    """An exhibit ready for the page: texts, drawing, and its table in parts of (header, rows)."""

    name: str
    question: str
    caption: str
    drawing: Markup | None
    parts: tuple[Cells, ...]


def write_report(known: Evidence, status: StudyStatus, path: Path) -> Path:
    """Write the report of a study and return its path; a reader of the old file never sees half of the new one.

    Parameters
    ----------
    known : Evidence
    status : StudyStatus
        How far the study is: an unfinished one says so on top.
    path : Path
        The HTML file; its folder is made if need be.

    Raises
    ------
    MachineError
        The file cannot be written; what stood there stays.
    """
    write_whole(path, report_html(known, status).encode())
    return path


def report_html(known: Evidence, status: StudyStatus) -> str:
    """The report as text: the same results give the same bytes."""
    results = known.results
    folder = resources.files("mnistlab.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("template.html").read_text(encoding="utf-8"))
    return template.render(
        study=printable(known.study),
        style=Markup(folder.joinpath("style.css").read_text(encoding="utf-8")),  # noqa: S704  ours, not a user's
        progress=_progress(status),
        words=status.words,
        seeds=_seeds(status.until_margin),
        finished=status.planned + status.running == 0,
        networks=f"{status.done:,}",
        n_cells=f"{len(results.rows):,}",
        notes=[resolution_note(results), RATE_NOTE],
        exhibits=[_show(Shown(exhibit, known)) for exhibit in EXHIBITS],
        differences=_differences(results.rows),
    )


def _progress(status: StudyStatus) -> str:
    """`93 of 105 planned runs are done, 2 diverged; 10 are still to do.`"""
    still = status.planned + status.running
    ended = {"diverged": status.diverged, "failed": status.failed, "ran out of time": status.timeout}
    total = still + status.done + sum(ended.values())
    words = ", ".join([f"{status.done:,} of {total:,} planned runs are done",
                       *(f"{count:,} {word}" for word, count in ended.items() if count)])  # fmt: skip
    return f"{words}; {still:,} still to do." if still else f"{words}."


def _seeds(until_margin: float | None) -> str:
    if until_margin is None:
        return "fixed: every cell has the same"
    return f"adaptive: given where verdicts were open (margin {until_margin * 100:g} points)"


def _show(shown: Shown) -> _Shown:
    figure = shown.figure()
    drawing = Markup(inline_svg(figure, shown.exhibit.name)) if figure else None  # noqa: S704  escaped as XML
    return _Shown(shown.exhibit.name, shown.exhibit.question, shown.caption, drawing, _parts(shown.cells))


def _parts(cells: Cells) -> tuple[Cells, ...]:
    """The table in parts narrow enough for a page, each with the first column."""
    columns, rows = cells
    step = _WIDE - 1
    return tuple(
        (columns[:1] + columns[start : start + step], [row[:1] + row[start : start + step] for row in rows])
        for start in range(1, len(columns), step)
    )


def _differences(rows: "pd.DataFrame") -> list[tuple[str, list[str]]]:
    """By framework, what it did otherwise than the specification says (rule M14 of docs/measurement.md)."""
    found: dict[str, dict[str, None]] = {}
    for row in rows.to_dict("records"):
        found.setdefault(row["framework"], {}).update(dict.fromkeys(row["differences"]))
    return [(framework, list(texts)) for framework, texts in found.items() if texts]
