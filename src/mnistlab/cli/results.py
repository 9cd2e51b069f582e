"""`mnistlab results`, `sensitivity`, `show`, `report`: everything read from the store."""

from typing import Annotated

from cyclopts import Parameter

from mnistlab import formatting, lab
from mnistlab.cli import documents
from mnistlab.cli.output import Json, Where, emit, emit_json, terminal_width
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
    table = lab.results(study, places=places)
    if json:
        emit_json(formatting.results_json(table, lab.study_name(lab.open_store(places.store), study)))
    elif csv:
        emit(formatting.results_csv(table))
    else:
        emit(formatting.results_text(table, terminal_width()))


def sensitivity(study: str | None = None, /, *, json: Json = False, where: Where | None = None) -> None:
    """Say which knob makes the networks of a study differ, and how much is the luck of the seed.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    """
    places = (where or Where()).places
    found = lab.sensitivity(study, places=places)
    if json:
        emit_json(formatting.sensitivity_json(found, lab.study_name(lab.open_store(places.store), study)))
    else:
        emit(formatting.sensitivity_text(found, terminal_width()))


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
