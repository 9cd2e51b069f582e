"""`mnistlab results`, `verdicts`, `compare`, `sensitivity`, `verify`, `show`, `report`: what the store says."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnistlab import answers, formatting, lab, tabulation, wording
from mnistlab.cli import documents
from mnistlab.cli.output import Json, Points, Where, emit, emit_json, terminal_width
from mnistlab.errors import ConfigurationError


def results(
    study: str | None = None,
    /,
    *,
    json: Json = False,
    csv: Annotated[bool, Parameter(negative="")] = False,
    where: Where | None = None,
) -> None:
    """Print the table of a study, every accuracy with its interval.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    csv
        Print comma-separated values.
    """
    if json and csv:
        raise ConfigurationError("--csv", "--json is given as well", "give one of them")
    places = (where or Where()).places
    table = answers.results(study, places=places)
    if json:
        emit_json(tabulation.results_json(table, answers.study_name(lab.open_store(places.store), study)))
    elif csv:
        emit(tabulation.results_csv(table))
    else:
        emit(tabulation.results_text(table, terminal_width()))


def verdicts(
    study: str | None = None, /, *, margin: Points | None = None, json: Json = False, where: Where | None = None
) -> None:
    """Say for every knob of a study which setting is better, worse, equivalent or undecided.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    margin
        What counts as equivalent, in points of accuracy (default: 0.2).
    """
    places = (where or Where()).places
    found = answers.verdicts(study, margin=_fraction(margin), places=places)
    if json:
        emit_json(wording.verdicts_json(found, answers.study_name(lab.open_store(places.store), study)))
    else:
        emit(wording.verdicts_text(found, terminal_width()))


def compare(
    a: str, b: str, /, *, study: str | None = None, margin: Points | None = None, json: Json = False,
    where: Where | None = None,
) -> None:  # fmt: skip
    """Say whether a cell is better than another, worse or equivalent, or what would decide it.

    Parameters
    ----------
    a, b
        Cells: id, its first characters (4 or more), or label.
    study
        Study in which they are looked for (default: the whole store).
    margin
        What counts as equivalent, in points of accuracy (default: 0.2).
    """
    found = answers.compare(a, b, study=study, margin=_fraction(margin), places=(where or Where()).places)
    if json:
        emit_json(wording.comparison_json(found))
    else:
        emit(wording.comparison_text(found, terminal_width()))


def verify(*files: Path, json: Json = False, where: Where | None = None) -> int:
    """Check the numbers that README files and notes claim of networks; exit status 7 if one is false.

    Parameters
    ----------
    files
        Markdown or plain text.
    """
    if not files:
        raise ConfigurationError("verify", "a file is needed", "mnistlab verify README.md")
    judged = answers.verify(files, places=(where or Where()).places)
    if json:
        emit_json(wording.claims_json(judged))
    else:
        emit(wording.claims_text(judged, terminal_width()))
    return 7 if any(claim.status == "false" for claim in judged) else 0


def _fraction(margin: float | None) -> float | None:
    return None if margin is None else margin / 100


def sensitivity(study: str | None = None, /, *, json: Json = False, where: Where | None = None) -> None:
    """Say which knob makes the networks of a study differ, and how much is the luck of the seed.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    """
    places = (where or Where()).places
    found = answers.sensitivity(study, places=places)
    if json:
        emit_json(wording.sensitivity_json(found, answers.study_name(lab.open_store(places.store), study)))
    else:
        emit(wording.sensitivity_text(found, terminal_width()))


def show(
    run: str,
    /,
    *,
    command: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    where: Where | None = None,
) -> None:
    """Print everything stored about one run, and the command that repeats it.

    Parameters
    ----------
    run
        Id of the run, or its beginning; or the label of a cell with one run.
    command
        Print that command alone.
    """
    detail = lab.show(run, places=(where or Where()).places)
    if command:
        emit(documents.repeat_command(detail))
    elif json:
        emit_json(documents.run_document(detail))
    else:
        emit(documents.run_text(detail, terminal_width()))


def report(study: str | None = None, /, *, json: Json = False, where: Where | None = None) -> None:
    """Write a study's report: one HTML file that needs nothing else.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    """
    path = lab.report(study, places=(where or Where()).places)
    if json:
        emit_json(formatting.document(report=str(path)))
    else:
        emit(f"Report: {path}")
