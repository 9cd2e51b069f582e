"""Exhibits as files, as JSON and as a list: what a command makes of them. A file is there whole or not at all."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnistlab.errors import ConfigurationError
from mnistlab.exhibits.base import Shown
from mnistlab.formatting import document
from mnistlab.places import file_name
from mnistlab.saving import write_whole
from mnistlab.tabulation import TABLE_ENDINGS, setting, table_file

DRAWING_ENDINGS = (".svg", ".png")


def check_ending(path: Path) -> None:
    """Refuse a file whose ending says no kind of ours.

    Raises
    ------
    ConfigurationError
    """
    if path.suffix.lower() not in (*DRAWING_ENDINGS, *TABLE_ENDINGS):
        raise ConfigurationError(f"--output {path}", "its ending does not say what it shall hold",
                                 f"one of {' '.join((*DRAWING_ENDINGS, *TABLE_ENDINGS))}")  # fmt: skip


def write_shown(shown: Shown, path: Path) -> None:
    """Write drawing or table, whichever the ending says.

    Parameters
    ----------
    shown : Shown
        With data: where there is nothing to show, nothing may be written.
    path : Path
        `.svg`, `.png`, `.csv`, `.md`, `.tex` or `.parquet`.

    Raises
    ------
    ConfigurationError
        An ending of another kind, or that of a drawing where the exhibit has none.
    MachineError
        It cannot be written, or pyarrow is absent.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending in TABLE_ENDINGS:
        note = f"{shown.exhibit.question} {shown.caption}"
        write_whole(path, table_file(shown.table, shown.cells, ending, note=note))
        return
    if not shown.svg:
        raise ConfigurationError(f"--output {path}", f"{shown.exhibit.name} is a table without a drawing",
                                 f"one of {' '.join(TABLE_ENDINGS)}")  # fmt: skip
    write_whole(path, shown.png() if ending == ".png" else shown.svg.encode())


def write_shown_files(shown: Shown, reports: Path) -> list[Path]:
    """Write the drawing, where there is one, as SVG and the data as CSV, named after the exhibit.

    They lie under `reports` in a folder named after the study.

    Raises
    ------
    MachineError
        As of `write_shown`.
    """
    folder = reports / file_name(shown.evidence.study)
    paths = [folder / f"{shown.exhibit.name}{ending}" for ending in ([".svg", ".csv"] if shown.svg else [".csv"])]
    for path in paths:
        write_shown(shown, path)
    return paths


def exhibit_json(shown: Shown) -> dict[str, Any]:
    """What `mnistlab figure NAME --json` prints: the data as they are, pictures as rows of pixels."""
    rows = [{str(name): setting(name, value) for name, value in row.items()} for row in shown.table.to_dict("records")]
    exhibit = shown.exhibit
    return document(study=shown.evidence.study or None, name=exhibit.name, question=exhibit.question,
                    caption=shown.caption, rows=rows)  # fmt: skip


def exhibits_json(shown: Sequence[Shown]) -> dict[str, Any]:
    """What `mnistlab figure --json` prints."""
    figures = [{"name": one.exhibit.name, "question": one.exhibit.question, "section": one.exhibit.section,
                "drawing": one.exhibit.draw is not None, "rows": len(one.table)} for one in shown]  # fmt: skip
    return document(study=shown[0].evidence.study or None, figures=figures)


def exhibits_text(shown: Sequence[Shown], width: int) -> str:
    """Every exhibit with its question, those without data below, as lines no wider than `width` columns."""
    parts = []
    for title, chosen in (
        ("", [one for one in shown if len(one.table)]),
        ("Nothing to show in this study:", [one for one in shown if not len(one.table)]),
    ):
        lines = [f"{one.exhibit.name}: {one.exhibit.question}" for one in chosen]
        wrapped = [line for text in lines for line in textwrap.wrap(text, max(width, 8), subsequent_indent="  ")]
        if chosen:
            parts.append("\n".join([*textwrap.wrap(title, max(width, 8)), *wrapped]))
    return "\n\n".join(parts)
