"""Paired differences: an exhibit for a knob, made from its name, so that every knob of the specification has one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mnistlab.analysis.early_stopping import STOPPING, TOGETHER, stopping_verdicts
from mnistlab.analysis.evidence import Evidence
from mnistlab.analysis.results import collapse_threshold, other_settings
from mnistlab.analysis.verdicts import MARGIN
from mnistlab.exhibits.arrangements import MOST_LETTERS
from mnistlab.exhibits.base import Exhibit, collapsed_words
from mnistlab.formatting import Cells, counted, shortened, table_cells
from mnistlab.spec import Architecture, Cell
from mnistlab.tabulation import setting, show_command
from mnistlab.visualization.differences import differences_height, draw_differences
from mnistlab.visualization.style import VERDICT_LOOKS
from mnistlab.wording import p_value, point_difference

MOST_PAIRS = 20
_DEFAULTS = Cell(Architecture((64,))).settings()
_SAID = 3  # pairs a caption names
_COLUMNS = ("knob", "alike", "change", "a", "b", "cell", "against", "verdict", "estimate", "difference", "low", "high",
            "margin", "p_holm", "seeds", "n", "collapsed", "runs", "pairs")  # fmt: skip


def difference_exhibit(knob: str) -> Exhibit:
    """What pairs of cells show that differ in this knob alone, whichever setting of the specification it is."""
    words = "early stopping" if knob == STOPPING else knob.replace("_", " ")
    return Exhibit(
        words.replace(" ", "-"), f"What difference {'do' if words.endswith('s') else 'does'} {words} make?", "knobs",
        lambda known: difference_table(known, knob), difference_cells, draw_differences,
        lambda table: _caption(table, words), (knob,), differences_height,
    )  # fmt: skip


def difference_table(known: Evidence, knob: str) -> pd.DataFrame:
    """The verdicts on pairs that differ in one knob alone: at most twenty, those first that a choice hangs on.

    Pairs of early stopping are also those that differ in its epochs too: see `early_stopping`.

    Returns
    -------
    DataFrame
        One row per pair: knob, alike (what both labels say), change (`on against off`), a, b (labels), cell, against
        (ids), verdict (of the first against the second; the second has the default where one of them has), estimate
        (of the difference), difference, low, high, margin (fractions), p_holm, seeds (common ones), n (networks both
        cells have of them), collapsed (how many of these), runs (their ids, the first cell's first), pairs (how many
        there are).
    """
    found = known.verdicts.rows
    rows = _ranked(found[found["knob"] == knob], known)
    if knob == STOPPING:
        seeds, margin = known.adaptive or (None, MARGIN)
        together = stopping_verdicts(known.cells, known.verdicts.replicates, margin=margin, seeds=seeds)
        rows = [*rows, *together.to_dict("records")]
    results = known.results.rows.to_dict("records")
    shown = [_row(row, known, results, knob) for row in rows[:MOST_PAIRS]]
    return pd.DataFrame(shown, columns=_COLUMNS).assign(pairs=len(rows))


def difference_cells(table: pd.DataFrame) -> Cells:
    """Header and rows for people, differences in points."""
    return table_cells(table, {
        "cell": lambda row: row["a"],
        "is": lambda row: row["verdict"],
        "against": lambda row: row["b"],
        "points": lambda row: point_difference(row["estimate"]),
        "p": lambda row: p_value(row["p_holm"]),
        "seeds": lambda row: f"{row['seeds']:,}",
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "id": lambda row: row["cell"],
        "id of the other": lambda row: row["against"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _ranked(rows: pd.DataFrame, known: Evidence) -> list[Any]:
    if rows.empty:
        return []
    first = {pair: place for place, pair in enumerate(zip(known.findings["a"], known.findings["b"], strict=True))}
    return sorted(rows.to_dict("records"), key=lambda row: first.get((row["a"], row["b"]), len(first)))


def _row(row: Mapping[Any, Any], known: Evidence, results: list[dict[Any, Any]], knob: str) -> dict[str, Any]:
    numbers, estimate, verdict = (row["a"], row["b"]), row["difference"], row["verdict"]
    if _is_default(knob, results[row["a"]]) and not _is_default(knob, results[row["b"]]):
        numbers, verdict = numbers[::-1], {"better": "worse", "worse": "better"}.get(verdict, verdict)
        estimate = dataclasses.replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)
    a, b = (results[number] for number in numbers)
    runs, collapsed = _networks(known, numbers, row["seeds"])
    return {
        "knob": row["knob"], "alike": _alike(a["label"], b["label"]), "change": _change(row["knob"], knob, a, b),
        "a": a["label"], "b": b["label"], "cell": a["cell"], "against": b["cell"], "verdict": verdict,
        "estimate": estimate, "difference": estimate.value, "low": estimate.low, "high": estimate.high,
        "margin": row["margin"], "p_holm": row["p_holm"], "seeds": row["seeds"], "n": len(runs),
        "collapsed": collapsed, "runs": runs,
    }  # fmt: skip


def _networks(known: Evidence, numbers: tuple[int, int], n_seeds: int) -> tuple[tuple[str, ...], int]:
    """Ids of the networks a verdict rests on, those of the first cell first, and how many of them collapsed."""
    replicates, runs = known.verdicts.replicates, known.results.rows["runs"]
    common = [seed for seed in replicates[numbers[0]].seeds if seed in replicates[numbers[1]].seeds][:n_seeds]
    ids, collapsed = (), 0
    for number in numbers:
        places = [replicates[number].seeds.index(seed) for seed in common]
        ids += tuple(runs.iloc[number][place] for place in places)
        accuracy = replicates[number].correct[places].mean(axis=1)
        collapsed += int((accuracy < collapse_threshold(known.cells["n_classes"].iloc[number])).sum())
    return ids, collapsed


def _value(knob: str, row: Mapping[Any, Any]) -> Any:
    return row[knob] if knob == "framework" else other_settings(row)[knob]


def _is_default(knob: str, row: Mapping[Any, Any]) -> bool:
    return bool(_value(knob, row) == _value(knob, _DEFAULTS))


def _alike(label: str, other: str) -> str:
    """The parts of a label that the other has too: labels say what is not at its default, part by part."""
    parts = other.split(", ")
    return ", ".join(part for part in label.split(", ") if part in parts)


def _change(family: str, knob: str, a: Mapping[Any, Any], b: Mapping[Any, Any]) -> str:
    if family == TOGETHER:
        return f"patience {_written(knob, a)}, up to {a['epochs']:,} epochs, against {b['epochs']:,} epochs"
    return f"{_written(knob, a)} against {_written(knob, b)}"


def _written(knob: str, row: Mapping[Any, Any]) -> str:
    value = setting(knob, _value(knob, row))
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _caption(table: pd.DataFrame, words: str) -> str:
    if table.empty:
        return f"No two finished cells that differ in {words} alone."
    rows = table.to_dict("records")
    counts = ", ".join(f"{count} {verdict}" for verdict in VERDICT_LOOKS if (count := sum(table["verdict"] == verdict)))
    # Pairs of early stopping that differ in its epochs too are of a family of their own.
    alone = f"{words}, or in it and the epochs, alone" if TOGETHER in set(table["knob"]) else f"{words} alone"
    intro = (f"Differences in test accuracy, in points, of pairs that differ in {alone}, with 95 % intervals; within "
             f"±{rows[0]['margin'] * 100:g} points is equivalent")  # fmt: skip
    more = int(rows[0]["pairs"]) - len(rows)
    left = f" {counted(more, 'more pair')} not shown." if more else ""
    return f"{intro}: {counts}. {'; '.join(map(_said, rows[:_SAID]))}.{left}"


def _said(row: Mapping[Any, Any]) -> str:
    difference = f"{point_difference(row['estimate'])} ({counted(row['seeds'], 'seed')})"
    difference += collapsed_words(row["collapsed"], row["n"])
    alike, change = (shortened(row[name], MOST_LETTERS) for name in ("alike", "change"))
    return f"{alike}, {change}: {difference}, {row['verdict']}"
