"""`mnistlab results`, `verdicts`, `compare`, `sensitivity`, `verify`, `show`, `figure`, `report`: what a store says."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnistlab import answers, formatting, lab, tabulation, wording
from mnistlab.cli import documents
from mnistlab.cli.output import (
    Json,
    Points,
    Where,
    check_no_terminal,
    emit,
    emit_bytes,
    emit_json,
    terminal_width,
)
from mnistlab.errors import ConfigurationError

Table = Annotated[bool, Parameter(negative="")]


def results(
    study: str | None = None, /, *, json: Json = False, csv: Table = False, markdown: Table = False,
    latex: Table = False, parquet: Table = False, where: Where | None = None,
) -> None:  # fmt: skip
    """Print the table of a study, every accuracy with its interval.

    Parameters
    ----------
    study
        Name or file of the study (default: the one run last).
    csv
        Print comma-separated values.
    markdown
        Print a table of GitHub's Markdown.
    latex
        Print a LaTeX tabular.
    parquet
        Write Parquet to stdout; needs the extra `parquet`.
    """
    given = {"--json": json, "--csv": csv, "--markdown": markdown, "--latex": latex, "--parquet": parquet}
    first, *more = [*(flag for flag, is_given in given.items() if is_given), ""]
    if len(more) > 1:
        raise ConfigurationError(more[0], f"{first} is given as well", "give one of them")
    if parquet:
        check_no_terminal(first, "mnistlab results --parquet > results.parquet")
    places = (where or Where()).places
    table = answers.results(study, places=places)
    if json:
        emit_json(tabulation.results_json(table, answers.study_name(lab.open_store(places.store), study)))
    elif first:
        ending = {"--csv": ".csv", "--markdown": ".md", "--latex": ".tex", "--parquet": ".parquet"}[first]
        emit_bytes(tabulation.results_file(table, ending))
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
        if (line := documents.repeat_command(detail)) is None:
            raise ConfigurationError(f"run {detail.run.id}", documents.NOT_ALONE)
        emit(line)
    elif json:
        emit_json(documents.run_document(detail))
    else:
        emit(documents.run_text(detail, terminal_width()))


def figure(
    name: str | None = None, study: str | None = None, /, *, output: Path | None = None, json: Json = False,
    where: Where | None = None,
) -> None:  # fmt: skip
    """Write one exhibit of a study: its drawing as SVG and its data as CSV; without NAME, list all there are.

    Parameters
    ----------
    name
        What to show, such as `width`; a study's name alone lists what it has to show.
    study
        Name or file of the study (default: the one run last).
    output
        One file instead; its ending says which: .svg .png .csv .md .tex .parquet (the last needs the extra `parquet`).
    """
    from mnistlab.exhibits import output as exhibits

    if output is not None:
        if json or name is None:
            raise ConfigurationError(f"--output {output}", "--json is given as well" if json else "no NAME is given",
                                     "give one of them" if json else "mnistlab figure NAME --output FILE")  # fmt: skip
        exhibits.check_ending(output)
    places = (where or Where()).places
    if study is None and name in lab.open_store(places.store).study_names():
        name, study = None, name
    if name is None:
        every = answers.exhibits(study, places=places)
        if json:
            emit_json(exhibits.exhibits_json(every))
        else:
            emit(exhibits.exhibits_text(every, terminal_width()))
        return
    shown = answers.figure(name, study, places=places)
    if json:
        emit_json(exhibits.exhibit_json(shown))
    elif shown.table.empty:
        emit(shown.caption)
    elif output is None:
        emit("\n".join(map(str, exhibits.write_shown_files(shown, places.reports))))
    else:
        exhibits.write_shown(shown, output)
        emit(str(output))


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
