"""What a study shows as a whole: every cell, every network, every verdict, what the accuracy depends on."""

import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlab.analysis.results import collapse_threshold
from mnistlab.analysis.sensitivity import varying_knobs
from mnistlab.exhibits.base import (
    Exhibit,
    collapsed_words,
    ends,
    number,
    resolution_words,
    share_words,
    trained_accuracy,
)
from mnistlab.formatting import NOTHING, Cells, counted, percent, point_estimate, points, table_cells
from mnistlab.tabulation import rate_note, results_cells, setting, show_command
from mnistlab.visualization.sensitivity import draw_effects, draw_shares
from mnistlab.visualization.spread import draw_seeds
from mnistlab.visualization.verdicts import draw_verdicts
from mnistlab.wording import p_value, point_difference

if TYPE_CHECKING:
    from mnistlab.analysis.estimate import Estimate
    from mnistlab.analysis.evidence import Evidence

MOST_CELLS = 40  # rows of a picture that is read without a magnifying glass
MOST_COLLAPSED = 3
MOST_PAIRS = 25
MOST_SHARES = 20
MOST_LEVELS = 45
_WORDS = ("better", "worse", "equivalent", "undecided")


def _results_caption(rows: pd.DataFrame) -> str:
    measured = [row for _, row in rows.iterrows() if row["accuracy"].value is not None]
    if not measured:
        return "No network has finished yet."
    networks = counted(sum(row["seeds"] for row in measured), "network")
    cells = counted(len(measured), "cell")
    chosen = [row for row in measured if row["validation_accuracy"].value is not None]
    if not chosen:
        return f"{networks} of {cells}."
    # Validation chooses, as in training: the highest of many test accuracies flatters (rule M3).
    best = max(chosen, key=lambda row: row["validation_accuracy"].value)
    test = f"its test accuracy in per cent is {percent(best['accuracy'])}"
    test += collapsed_words(best["collapsed"], best["seeds"])
    return f"{networks} of {cells}. Best on validation digits: {best['label']}; {test}."


# Every network of every cell


def seeds_table(known: "Evidence") -> pd.DataFrame:
    """A row per cell with finished networks, the best on validation digits first.

    Returns
    -------
    DataFrame
        cell, label, runs (ids), accuracies (tuple, fractions, by run), threshold (accuracy below which one collapsed),
        accuracy, low, high (mean of those that trained, crossed), spread (standard deviation of those that trained), n,
        collapsed, resolution, of_cells (as many have networks; of more than forty those are kept that are best, worst
        and most spread out, and three that collapsed as a whole), of_collapsed (networks of all cells).
    """
    accuracies = dict(zip(known.runs["run"], known.runs["test_accuracy"], strict=True))
    rows = []
    for row in known.results.rows.to_dict("records"):
        if not row["seeds"]:
            continue
        own = tuple(float(accuracies[run]) for run in row["runs"])
        limit, mean = collapse_threshold(row["n_classes"]), row["accuracy_trained"]
        trained = [accuracy for accuracy in own if accuracy >= limit]
        rows.append((row["cell"], row["label"], row["runs"], own, limit, *ends(mean),
                     float(np.std(trained, ddof=1)) if len(trained) > 1 else 0.0, row["seeds"],
                     row["collapsed"], number(known.results.resolution),
                     number(row["validation_accuracy"].value)))  # fmt: skip
    columns = ["cell", "label", "runs", "accuracies", "threshold", "accuracy", "low", "high", "spread", "n",
               "collapsed", "resolution", "validation"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns).sort_values("validation", ascending=False, kind="stable")
    table = table.drop(columns="validation").reset_index(drop=True).assign(of_cells=len(rows))
    table["of_collapsed"] = table["collapsed"].sum()
    return table if len(table) <= MOST_CELLS else table.iloc[_telling(table)].reset_index(drop=True)


def _telling(table: pd.DataFrame) -> list[int]:
    """Which rows are shown of more than fit: the best, the worst, the most spread out, a few that collapsed."""
    trained, collapsed = (np.flatnonzero(table["accuracy"].notna() == word) for word in (True, False))
    third = MOST_CELLS // 3
    kept = [*trained[:third], *trained[max(third, len(trained) - third) :], *collapsed[:MOST_COLLAPSED]]
    rest = np.setdiff1d(trained, kept)
    by_spread = rest[np.argsort(-table["spread"].to_numpy()[rest], kind="stable")]
    return sorted([*kept, *by_spread[: MOST_CELLS - len(kept)]])


def _seeds_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "those trained %": lambda row: trained_accuracy(row),
        "lowest %": lambda row: f"{100 * min(row['accuracies']):.2f}",
        "highest %": lambda row: f"{100 * max(row['accuracies']):.2f}",
        "standard deviation": lambda row: points(row["spread"]) if row["n"] - row["collapsed"] > 1 else NOTHING,
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _seeds_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network has finished yet."
    drawn = f"Test accuracy of {table['n'].sum():,} networks of {len(table)} cells, best on validation digits first"
    left_out = table["of_cells"].iloc[0] - len(table)
    drawn += f" (left out: {left_out}, of middle rank with less spread or collapsed)." if left_out else "."
    parts, several = [drawn], table[table["n"] - table["collapsed"] > 1]
    if len(several):
        widest = several.iloc[several["spread"].argmax()]
        parts.append(f"Seeds differ most in {widest['label']}: standard deviation {points(widest['spread'])}.")
    if lost := table["of_collapsed"].iloc[0]:
        parts.append(f"{counted(lost, 'network')} of all cells collapsed; means are of those that trained.")
    return " ".join([*parts, resolution_words(table)])


# Every verdict


_PAIR = ["knob", "cell", "against", "label", "label_against", "difference", "low", "high", "seeds", "n",
         "collapsed", "p_holm", "verdict", "margin", "seeds_to_decide", "runs", "rank"]  # fmt: skip


def verdicts_table(known: "Evidence") -> pd.DataFrame:
    """The findings that weigh most, those of a knob together.

    Returns
    -------
    DataFrame
        knob, cell, against (ids), label, label_against, difference, low, high (fractions, the first cell less the
        second), seeds (common), n (networks of both cells), collapsed (of these), p_holm, verdict, margin,
        seeds_to_decide, runs (ids), rank (from 1), findings (how many there are), better, worse, equivalent, undecided
        (pairs of the whole study).
    """
    if known.cells.empty:
        return pd.DataFrame(columns=_PAIR)
    found, cells = known.findings.head(MOST_PAIRS), known.verdicts.cells
    counts = known.verdicts.rows["verdict"].value_counts()
    rows = [
        (row["knob"], *(cells[name].iloc[row[side]] for name in ("cell", "label") for side in ("a", "b")),
         *ends(row["difference"]),
         row["seeds"], len(row["runs"]), row["collapsed_a"] + row["collapsed_b"], row["p_holm"], row["verdict"],
         row["margin"], row["seeds_to_decide"], row["runs"], place)
        for place, row in enumerate(found.to_dict("records"), start=1)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=_PAIR)
    table = table.assign(findings=len(known.findings), **{word: int(counts.get(word, 0)) for word in _WORDS})
    order = table.groupby("knob")["rank"].transform("min")
    return table.assign(order=order).sort_values(["order", "rank"], ignore_index=True).drop(columns="order")


def _verdicts_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "is": lambda row: row["verdict"],
        "against": lambda row: row["label_against"],
        "points": lambda row: point_difference(_difference(row)),
        "p": lambda row: p_value(row["p_holm"]),
        "seeds": lambda row: f"{row['seeds']:,}",
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "knob": lambda row: row["knob"],
        "rank": lambda row: f"{row['rank']}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
        "to compare": lambda row: f"mnistlab compare {row['cell']} {row['against']}",
    })  # fmt: skip


def _difference(row: Mapping[Any, Any]) -> "Estimate":
    return point_estimate({**row, "accuracy": row["difference"]})


def _verdicts_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No two cells that differ in one knob alone have two seeds in common yet."
    first = table.iloc[0]
    counts = ", ".join(f"{first[word]:,} {word}" for word in _WORDS if first[word])
    pairs = sum(first[word] for word in _WORDS)
    drawn = f"the {len(table)} weightiest of {first['findings']:,}" if len(table) < first["findings"] else "all"
    top = table.iloc[table["rank"].argmin()]
    weightiest = f"{top['label']} is {top['verdict']} than" if top["verdict"] in _WORDS[:2] else (
        f"{top['label']} is {top['verdict']} against")  # fmt: skip
    return (
        f"Of {pairs:,} pairs that differ in one knob alone: {counts}. Drawn are {drawn} findings, each against the "
        f"best cell on validation digits that differs in its knob alone, with 95 % intervals of each pair by itself. "
        f"First: {weightiest} {top['label_against']}, {point_difference(_difference(dict(top)))} points"
        f"{collapsed_words(top['collapsed'], top['n'])}."
    )


# What accuracy depends on


_SHARE = ["what", "kind", "share", "low", "high", "total", "total_low", "total_high"]
_EFFECT = ["knob", "level", "accuracy", "low", "high", "n", "cells", "method", "resolution", "runs", "of_levels"]


def shares_table(known: "Evidence") -> pd.DataFrame:
    """Shares of the variance of accuracy, the largest first, the seeds' last.

    Returns
    -------
    DataFrame
        what, kind ("one knob", "two knobs together", "three knobs or more", "seed"), share, low, high, total,
        total_low, total_high (with all interactions; fractions, NaN where not known), n (networks), method,
        conditional_on, cells, seeds, collapsed, left_out (cells), of_shares (as many there are), source (a command).
    """
    if known.cells.empty:
        return pd.DataFrame(columns=_SHARE)
    found = known.sensitivity
    kinds = {1: "one knob", 2: "two knobs together"}
    rows: list[tuple[Any, ...]]
    rows = [(" × ".join(row["knobs"]), kinds[len(row["knobs"])], *ends(row["share"]), *ends(row["total"]))
            for row in found.shares.to_dict("records")]  # fmt: skip
    of_shares = len(rows)
    # No knob is left out for an interaction.
    least = sorted((row for row in rows if row[1] != "one knob"), key=lambda row: row[2])
    dropped = least[: max(0, len(rows) - MOST_SHARES)]
    rows = [row for row in rows if row not in dropped]
    rest = {"three knobs or more": found.higher_interactions, "seed": found.seed_noise}
    rows += [(name, name, *ends(share), *[math.nan] * 3) for name, share in rest.items() if share.value is not None]
    return pd.DataFrame(rows, columns=_SHARE).assign(
        n=found.cells * found.seeds, method=found.method, conditional_on=found.conditional_on, cells=found.cells,
        seeds=found.seeds, collapsed=found.collapsed, left_out=found.left_out, of_shares=of_shares,
        source=f"mnistlab sensitivity {shlex.quote(known.study)}",
    )  # fmt: skip


def _shares_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "what varies": lambda row: row["what"],
        "share %": lambda row: share_words(row, "share", "low", "high"),
        "with its interactions %": lambda row: share_words(row, "total", "total_low", "total_high"),
        "networks": lambda row: f"{row['n']:,}",
        "to see it": lambda row: row["source"],
    })  # fmt: skip


def _shares_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No shares of variance: no two cells differ in accuracy with seeds that all of them have."
    first = table.iloc[0]
    largest = table.iloc[table["share"].argmax()]
    grid = f"{counted(first['cells'], 'cell')} × {counted(first['seeds'], 'seed')}"
    parts = [f"Shares of the variance of test accuracy over {grid}.",
             f"Largest: {largest['what']}, {share_words(dict(largest), 'share', 'low', 'high')} %."]  # fmt: skip
    seed = table[table["kind"] == "seed"]
    if len(seed) and largest["kind"] != "seed":
        parts.append(f"Luck of the seed: {share_words(dict(seed.iloc[0]), 'share', 'low', 'high')} %.")
    if first["method"] != "anova":
        parts.append("The cells are no full factorial: the model is additive and sees no interactions. A share is that "
                     "of the few cells that change the knob; the verdicts compare them.")  # fmt: skip
        if (whole := table["share"].sum()) > 1.005:
            parts.append(f"Shares sum to {100 * whole:.0f} %: knobs that change together share a part.")
    elif first["conditional_on"]:
        parts.append("Exact within each depth; what differs between depths is not shared out.")
    if first["seeds"] < 3:
        parts.append("Three seeds give the shares their intervals.")
    if first["collapsed"]:
        what = f"; left out for it: {counted(first['left_out'], 'cell')}" if first["left_out"] else ""
        parts.append(f"{counted(first['collapsed'], 'network')} collapsed{what}.")
    drawn = (~table["kind"].isin(("three knobs or more", "seed"))).sum()
    if drawn < first["of_shares"]:
        parts.append(f"Left out: {first['of_shares'] - drawn} smaller interactions.")
    return " ".join(parts)


def effects_table(known: "Evidence") -> pd.DataFrame:
    """Accuracy at each level of each knob of a full factorial, the knob of the largest share first.

    No other cells have such means: those of an additive model would be compared as if they were measured.

    Returns
    -------
    DataFrame
        knob, level (text), accuracy, low, high (fractions), n (networks), cells, method, resolution, runs (ids of those
        at that level), of_levels (as many there are; of more than forty-five, those of the knobs of smallest share are
        left out).
    """
    if known.cells.empty or known.sensitivity.method != "anova" or known.sensitivity.conditional_on:
        return pd.DataFrame(columns=_EFFECT)
    found = known.sensitivity
    shares = {row["knobs"][0]: number(row["share"].value) for row in found.shares.to_dict("records")
              if len(row["knobs"]) == 1}  # fmt: skip
    effects = found.effects
    sizes = effects.groupby("knob", sort=False).size()
    order = sorted(sizes.index, key=lambda knob: -shares.get(knob, -1))
    room = np.cumsum([sizes[knob] for knob in order]) <= MOST_LEVELS
    kept = [knob for place, (knob, fits) in enumerate(zip(order, room, strict=True)) if fits or place == 0]
    runs_at = _runs_by_level(known) if len(effects) else {}
    rows = []
    for row in effects.to_dict("records"):
        if row["knob"] in kept:
            level, mean = str(setting(row["knob"], row["level"])), row["accuracy"]
            rows.append((row["knob"], level, *ends(mean), row["cells"] * found.seeds, row["cells"], found.method,
                         number(known.results.resolution), runs_at[row["knob"], row["level"]],
                         len(effects)))  # fmt: skip
    table = pd.DataFrame(rows, columns=_EFFECT)
    table = table.assign(tuned_knob=found.tuned_knob) if found.tuned_knob else table
    return table.sort_values("knob", key=lambda knobs: knobs.map(kept.index), kind="stable", ignore_index=True)


def _runs_by_level(known: "Evidence") -> dict[tuple[str, Any], tuple[str, ...]]:
    """The networks that the means are of: those of the cells and seeds that the analysis used."""
    used, cells = known.sensitivity, known.cells
    own = known.runs[known.runs["cell"].isin(used.cell_ids) & known.runs["seed"].isin(used.seed_numbers)]
    runs = {str(cell): tuple(ids) for cell, ids in own.sort_values("seed", kind="stable").groupby("cell")["run"]}
    found: dict[tuple[str, Any], tuple[str, ...]] = {}
    knobs = varying_knobs(cells[cells["cell"].isin(used.cell_ids)])
    for name in knobs:
        for cell, level in knobs[name].items():
            found[str(name), level] = (*found.get((str(name), level), ()), *runs.get(str(cell), ()))
    return found


def _effects_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "knob": lambda row: row["knob"],
        "level": lambda row: row["level"],
        "accuracy %": lambda row: percent(point_estimate(row)),
        "cells": lambda row: f"{row['cells']:,}",
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _effects_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No means at each setting: they take a full factorial, all of whose cells have a seed in common."
    first = table["knob"].iloc[0]
    how = "Mean test accuracy in per cent of the cells at each setting, exact over the full factorial."
    parts, own = [how], table[table["knob"] == first].sort_values("accuracy", kind="stable")
    if len(own):
        low, high = (f"{row['level']}, {percent(point_estimate(dict(row)))}" for _, row in own.iloc[[0, -1]].iterrows())
        parts.append(f"Largest share: {first}, lowest at {low}, highest at {high}.")
    if left_out := table["of_levels"].iloc[0] - len(table):
        parts.append(f"Left out: {left_out} settings of knobs with smaller shares.")
    return " ".join([*parts, resolution_words(table), rate_note(table)])


def _rows_high(inches: float, *groups: str) -> Any:
    """A height that gives every row, and the heading of every group, its place."""

    def height(table: pd.DataFrame) -> float:
        headings = sum(table[name].nunique() for name in groups) if len(table) else 0
        return max(2.6, 1.5 + inches * len(table) + 0.22 * headings)

    return height


STUDY = (
    Exhibit("seeds", "How much do networks of one cell differ by their seed alone?", "study", seeds_table,
            _seeds_cells, draw_seeds, _seeds_caption, height=_rows_high(0.2)),
    Exhibit("verdicts", "Which differences are there, and which are open?", "study", verdicts_table,
            _verdicts_cells, draw_verdicts, _verdicts_caption, height=_rows_high(0.34, "knob")),
    Exhibit("sensitivity", "Which knob makes the difference, and how much is luck?", "study", shares_table,
            _shares_cells, draw_shares, _shares_caption, height=_rows_high(0.27)),
    Exhibit("effects", "What does each setting reach on average?", "study", effects_table,
            _effects_cells, draw_effects, _effects_caption, height=_rows_high(0.2, "knob")),
)  # fmt: skip

CELLS = (
    Exhibit("results", "What does each cell reach, and what does it cost?", "cells",
            lambda known: known.results.rows, results_cells, None, _results_caption),
)  # fmt: skip
