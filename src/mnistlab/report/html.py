"""A study's report: one HTML file that needs nothing else, neither network nor a second file; script only adds ease."""

import base64
import hashlib
import shlex
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mnistlab.analysis.evidence import Evidence
from mnistlab.analysis.findings import of_knobs
from mnistlab.exhibits.base import Section, Shown
from mnistlab.formatting import Cells, printable
from mnistlab.report.appendix import CELL_COLUMNS, RUN_COLUMNS, cell_entries
from mnistlab.report.method import failures, framework_differences, machines, method_facts
from mnistlab.saving import write_whole
from mnistlab.store.tables import StudyStatus
from mnistlab.tabulation import rate_note, resolution_note
from mnistlab.visualization.style import inline_svg
from mnistlab.wording import finding_sentence, knob_conditions, knob_meaning, verdict_cells

MOST_ROWS = 400  # of the table behind a figure; whoever wants more has the command that writes all
MOST_VERDICTS = 24  # of a knob
N_FINDINGS = 5
_ID = 8  # characters of a run's id that a page shows
SECTIONS: tuple[tuple[Section, str], ...] = (
    ("search", "What the search found"),
    ("original", "The course document, measured again"),
    ("knobs", "Knob by knob"),
    ("study", "All together"),
    ("costs", "What it costs"),
    ("digits", "The digits"),
)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table ready for the page; `left_out` rows are not in it."""

    columns: list[str]
    rows: list[list[str]]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Finding:
    """A sentence, and the ids of the networks it rests on."""

    sentence: str
    runs: list[str]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A row of a verdict table: texts, the anchors of its two cells, and the ids of its networks."""

    texts: list[str]
    cells: tuple[str, str]
    runs: list[str]


@dataclass(frozen=True, slots=True)
class _Knob:
    """What stands beside a figure of a knob: its verdicts, what they mean, what would change them."""

    columns: list[str]
    verdicts: list[_Verdict]
    left_out: int
    meaning: list[str]
    conditions: list[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """An exhibit ready for the page."""

    name: str
    question: str
    caption: str
    drawing: Markup | None
    table: _Table
    knob: _Knob | None


def write_report(known: Evidence, shown: list[Shown], status: StudyStatus, path: Path) -> Path:
    """Write the report of a study and return its path; a reader of the old file never sees half of the new one.

    Parameters
    ----------
    known : Evidence
    shown : list of Shown
        Every exhibit, in the order of `exhibits.catalog`.
    status : StudyStatus
        How far the study is: an unfinished one says so on top.
    path : Path
        The HTML file; its folder is made if need be.

    Raises
    ------
    MachineError
        The file cannot be written; what stood there stays.
    """
    write_whole(path, report_html(known, shown, status).encode())
    return path


def report_html(known: Evidence, shown: list[Shown], status: StudyStatus) -> str:
    """The report as text: the same results give the same bytes."""
    folder = resources.files("mnistlab.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: f"{value:,}"
    template = environment.from_string(folder.joinpath("template.html").read_text(encoding="utf-8"))
    script = folder.joinpath("script.js").read_text(encoding="utf-8")
    asked = [each for each in shown if _is_asked(known, each)]
    full = [each for each in asked if not each.table.empty]
    return template.render(
        study=printable(known.study),
        style=Markup(folder.joinpath("style.css").read_text(encoding="utf-8")),  # noqa: S704  ours, not a user's
        script=Markup(script),  # noqa: S704  ours, not a user's
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        progress=_progress(status),
        command=printable(status.command),
        words_of_study=printable(shlex.quote(known.study)),
        seeds=_seeds(known),
        finished=status.planned + status.running == 0,
        networks=f"{status.done:,}",
        n_cells=f"{len(known.cells):,}",
        answer=next((each.caption for each in shown if each.exhibit.name == _answer(known)), ""),
        findings=_findings(known),
        trials=None if known.search is None else f"{len(known.search.trials):,}",
        notes=[resolution_note(known.results), rate_note(known.cells)],
        sections=[(name, title, parts) for name, title in SECTIONS
                  if (parts := [_part(each) for each in full if each.exhibit.section == name])],
        nothing=[(each.exhibit.question, each.caption) for each in asked if each.table.empty],
        facts=method_facts(known),
        differences=framework_differences(known.results.rows),
        machines=machines(known),
        failures=failures(known.runs),
        cell_columns=CELL_COLUMNS,
        run_columns=RUN_COLUMNS,
        cells=cell_entries(known),
        cell_ids=frozenset(known.cells["cell"]),
    )  # fmt: skip


def _answer(known: Evidence) -> str:
    """The exhibit whose caption stands on top."""
    return "results" if known.search is None else "search-winners"


def _is_asked(known: Evidence, shown: Shown) -> bool:
    """Whether a study asks what an exhibit answers, so that the page shows it, or says why it does not.

    Winners of a search are few, and differ in many knobs at once: what its trials say of knobs and costs says more.
    """
    exhibit = shown.exhibit
    if known.search is None:
        return True
    if exhibit.section in ("original", "knobs"):
        return not shown.table.empty
    return exhibit.name != "sensitivity" and (len(known.cells) > 1 or not exhibit.name.startswith("pareto"))


def _progress(status: StudyStatus) -> str:
    """`93 of 105 planned runs are done, 2 diverged; 10 are still to do.`"""
    still = status.planned + status.running
    ended = {"diverged": status.diverged, "failed": status.failed, "ran out of time": status.timeout}
    total = still + status.done + sum(ended.values())
    words = ", ".join([f"{status.done:,} of {total:,} planned runs are done",
                       *(f"{count:,} {word}" for word, count in ended.items() if count)])  # fmt: skip
    return f"{words}; {still:,} still to do." if still else f"{words}."


def _seeds(known: Evidence) -> str:
    """`20`, `5 to 40 of 40`, `5 to 20, where verdicts were open (margin 0.2 points)`: finished networks of a cell."""
    done = known.runs["status"] == "done"
    counts = done.groupby(known.runs["cell"]).sum().reindex(known.cells["cell"], fill_value=0)
    least, most, asked = counts.min(), counts.max(), known.runs["seed"].nunique()
    if known.cells.empty:
        return "0"
    text = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    if known.adaptive is not None:
        return f"{text}, where verdicts were open (margin {known.adaptive[1] * 100:g} points)"
    return text if least == asked else f"{text} of {asked:,}"


def _findings(known: Evidence) -> list[_Finding]:
    rows = known.findings.head(N_FINDINGS).to_dict("records")
    return [_Finding(printable(finding_sentence(known.verdicts, row)), _short(row["runs"])) for row in rows]


def _short(runs: "tuple[str, ...]") -> list[str]:
    return [run[:_ID] for run in runs]


def _part(shown: Shown) -> _Part:
    exhibit, drawing = shown.exhibit, None
    if shown.svg:
        drawing = Markup(inline_svg(shown.svg, exhibit.name))  # noqa: S704  escaped as XML
    knob = _knob(shown.evidence, exhibit.knobs) if exhibit.knobs else None
    return _Part(exhibit.name, exhibit.question, shown.caption, drawing, _table(shown.cells), knob)


def _table(cells: Cells) -> _Table:
    columns, rows = cells
    return _Table(columns, rows[:MOST_ROWS], max(len(rows) - MOST_ROWS, 0))


def _knob(known: Evidence, knobs: tuple[str, ...]) -> _Knob | None:
    """Decided pairs first, and of these the plain ones: what most readers ask about."""
    found = known.verdicts
    own = found.rows[found.rows["knob"].isin(knobs)]
    if own.empty:
        return None
    rows = of_knobs(found, known.runs, knobs, MOST_VERDICTS)
    columns, texts = verdict_cells(replace(found, rows=rows))
    ids = found.cells["cell"].tolist()
    verdicts = [
        _Verdict(row, (ids[pair["a"]], ids[pair["b"]]), _short(pair["runs"]))
        for row, pair in zip(texts, rows.to_dict("records"), strict=True)
    ]
    meaning, conditions = (
        list(map(printable, lines)) for lines in (knob_meaning(found, own, rows), knob_conditions(found, own))
    )
    return _Knob(columns, verdicts, len(own) - len(rows), meaning, conditions)
