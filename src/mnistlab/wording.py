"""How answers are worded: verdicts, findings, shares, claims and promises as text for people and as JSON.

Light, like `formatting`, which says how each number is written. It prints nothing.
"""

import dataclasses
import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnistlab.analysis.estimate import Estimate
from mnistlab.formatting import (
    NOTHING,
    Cells,
    counted,
    document,
    html_paragraph,
    html_table,
    percent,
    printable,
    seconds,
    size,
    spread,
    table_cells,
    text_table,
    to_json,
    with_spread,
)
from mnistlab.tabulation import RATE_NOTE, TUNED_NOTE, cell_json, rate_note, setting

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.claims import JudgedClaim
    from mnistlab.analysis.sensitivity import Sensitivity
    from mnistlab.analysis.simulation import Promise
    from mnistlab.analysis.verdicts import Verdicts

_SMALLEST_P = 0.001
_MEANINGS = 3  # sentences about a knob: more are not read
_OVERLAP = 0.005  # of the variance: what rounding shows
_WORTH_SAYING = 1.1  # times as large
_HELD = {name: name.replace("_", " ") for name in ("learning_rate", "batch_size", "epochs", "train_fraction")}


def verdicts_json(found: "Verdicts", study: str | None) -> dict[str, Any]:
    """What `mnistlab verdicts --json` prints."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row in _verdict_rows(found):
        families.setdefault(row.pop("knob"), []).append(row)
    return document(study=study, replication="adaptive" if found.looks else "fixed", looks=found.looks,
                    families=[{"knob": knob, "rows": rows} for knob, rows in families.items()])  # fmt: skip


def comparison_json(found: "Verdicts") -> dict[str, Any]:
    """What `mnistlab compare --json` prints."""
    [row] = _verdict_rows(found)
    del row["knob"]
    return document(**row)


def _verdict_rows(found: "Verdicts") -> list[dict[str, Any]]:
    cells = [cell_json(row) for row in found.cells.to_dict("records")]
    rows = [{str(name): value for name, value in row.items()} for row in found.rows.to_dict("records")]
    return [{**row, "a": cells[row["a"]], "b": cells[row["b"]], "seeds_to_decide": _whole(row["seeds_to_decide"])}
            for row in rows]  # fmt: skip


def _whole(number: float) -> int | None:
    return None if math.isnan(number) else int(number)


def verdicts_text(found: "Verdicts", width: int) -> str:
    """The verdicts of every knob as text no line of which is wider than `width` columns of a terminal."""
    if found.rows.empty:
        return "No two cells that differ in one knob alone have a seed and the test digits in common yet."
    margin = found.rows["margin"].iloc[0] * 100
    notes = textwrap.wrap(
        f'"better" and "worse": the difference is there for new seeds and new digits, with 5 % error in the table of a '
        f"knob. p is adjusted for that (Holm), intervals are of each pair by itself: one without 0 may be undecided "
        f'here and told apart by `compare`. "equivalent": less than {margin:g} points apart. {rate_note(found.cells)}',
        max(width, 1),
    )  # fmt: skip
    parts = ["\n".join([*notes, *textwrap.wrap(replication_note(found), max(width, 1))])]
    for knob, rows in found.rows.groupby("knob", sort=False):
        own = dataclasses.replace(found, rows=rows)
        parts.append(f"{knob}\n{_verdict_lines(own, width)}")
    return "\n\n".join(parts)


def _verdict_lines(found: "Verdicts", width: int) -> str:
    """The table, or where it would lose its opponents or the ends of labels, a sentence for each verdict."""
    columns, rows = verdict_cells(found)
    text = text_table(columns, rows, width)
    if columns[2] in text.partition("\n")[0] and all(row[0] in text for row in rows):
        return text
    sentences = [verdict_sentence(found, row) for row in found.rows.to_dict("records")]
    return "\n".join(line for sentence in sentences
                     for line in textwrap.wrap(printable(sentence), max(width, 3), subsequent_indent="  "))  # fmt: skip


def verdicts_html(found: "Verdicts") -> str:
    """What a notebook shows of verdicts: the sentence of a single one, else the table of every knob."""
    if found.rows.empty:
        return html_paragraph(verdicts_text(found, 1000))
    if len(found.rows) == 1:
        return html_paragraph(comparison_text(found, 1000))
    parts = [html_paragraph(replication_note(found))]
    for knob, rows in found.rows.groupby("knob", sort=False):
        table = html_table(*verdict_cells(dataclasses.replace(found, rows=rows)))
        parts.append(f"{html_paragraph(str(knob), 'h4')}{table}")
    return "".join(parts)


def replication_note(found: "Verdicts") -> str:
    """Whether every cell has every seed, or seeds went where verdicts were open."""
    if not found.looks:
        return "Replication: fixed, every verdict by all common seeds."
    looks = ", ".join(map(str, found.looks))
    return (f"Replication: adaptive, looks at {looks} seeds share the error between them; a decided verdict stays with "
            f"the interval of its look, one that {found.looks[-1]} seeds would hardly decide is given up.")  # fmt: skip


def comparison_text(found: "Verdicts", width: int) -> str:
    """The verdict on two cells in words."""
    [row] = found.rows.to_dict("records")
    p = p_value(row["p"]) if row["p"] < _SMALLEST_P else f"= {p_value(row['p'])}"
    return "\n".join(textwrap.wrap(f"{verdict_sentence(found, row)} p {p}.", max(width, 1)))


def verdict_cells(found: "Verdicts") -> Cells:
    """Header and rows of the verdicts for people, differences in points."""
    labels = found.cells["label"].tolist()
    return table_cells(found.rows, {
        "cell": lambda row: labels[row["a"]],
        "is": lambda row: row["verdict"],
        "against": lambda row: labels[row["b"]],
        "points": lambda row: point_difference(row["difference"]),
        "p": lambda row: p_value(row["p_holm"]),
        "seeds": lambda row: f"{row['seeds']:,}",
        "more seeds": lambda row: _further(row),
    })  # fmt: skip


def verdict_sentence(found: "Verdicts", row: Mapping[Any, Any]) -> str:
    """A verdict in a sentence: `16x64 relu is worse than 4x64 relu by 0.65 ± 0.14 points (20 seeds).`"""
    a, b = (found.cells.iloc[row[side]] for side in ("a", "b"))
    seeds = counted(row["seeds"], "seed")
    if row["verdict"] in ("better", "worse"):
        size = point_difference(_absolute(row["difference"])).removeprefix("+")
        return f"{a['label']} is {row['verdict']} than {b['label']} by {size} points ({seeds})."
    told = f"({point_difference(row['difference'])} points, {seeds})"
    if row["verdict"] == "equivalent":
        return (
            f"{a['label']} and {b['label']} are equivalent within {row['margin'] * 100:g} points {told}{_ratio(a, b)}."
        )
    if row["seeds"] == 1:
        return f"{a['label']} against {b['label']}: undecided, one seed says nothing of the cells {told}."
    further = _whole(row["seeds_to_decide"])
    way_out = "how many seeds would decide it cannot be said yet" if further is None else (
        f"about {counted(further, 'more seed')} would settle it")  # fmt: skip
    return f"{a['label']} against {b['label']}: undecided {told}; {way_out}."


def finding_sentence(found: "Verdicts", row: Mapping[Any, Any]) -> str:
    """A verdict of `findings` in a sentence, with what equals cost, what collapsed, what the family does to it."""
    parts, difference = [verdict_sentence(found, row).removesuffix(".")], row["difference"]
    labels = {side: found.cells["label"].iloc[row[side]] for side in ("a", "b")}
    times = max(row["operations"], 1 / row["operations"])
    if row["verdict"] == "equivalent" and times >= _WORTH_SAYING:
        parts.append(f"{labels['a' if row['operations'] > 1 else 'b']} takes {times:.2g} times the operations to train")
    parts += [f"{row[f'collapsed_{side}']:,} of {row['seeds']:,} networks of {label} collapsed"
              for side, label in labels.items() if row[f"collapsed_{side}"]]  # fmt: skip
    if row["verdict"] == "undecided" and difference.low * difference.high > 0:
        n_pairs = int((found.rows["knob"] == row["knob"]).sum())
        parts.append(f"the interval alone would tell them apart, but not as one of {n_pairs:,} pairs of {row['knob']}")
    return f"{'; '.join(parts)}."


def knob_meaning(found: "Verdicts", own: "pd.DataFrame", chosen: "pd.DataFrame") -> list[str]:
    """What the verdicts of a knob say: how many of each word, then the first of them in sentences.

    Parameters
    ----------
    found : Verdicts
    own : DataFrame
        Its rows of this knob.
    chosen : DataFrame
        Of `analysis.findings.of_knobs`.
    """
    counts = own["verdict"].value_counts()
    told_apart = int(counts.get("better", 0) + counts.get("worse", 0))
    pairs = f"{counted(len(own), 'pair')} of cells differ in this alone"
    rest = ", ".join(f"{counts.get(word, 0):,} {word}" for word in ("equivalent", "undecided"))
    sentences = (finding_sentence(found, row) for row in chosen.head(_MEANINGS).to_dict("records"))
    return [f"{pairs}: {told_apart:,} told apart, {rest}.", *sentences]


def knob_conditions(found: "Verdicts", own: "pd.DataFrame") -> list[str]:
    """What would change the verdicts of a knob: more seeds, another margin, other training."""
    lines, margin = [], own["margin"].iloc[0] * 100
    wanted = own.loc[own["verdict"] == "undecided", "seeds_to_decide"]
    if len(wanted):
        nearest = wanted.min()  # NaN where of none a number can be said
        more = "" if math.isnan(nearest) else f"; about {nearest:,.0f} more would settle the nearest"
        lines.append(f"More seeds: {len(wanted):,} of {len(own):,} pairs are undecided{more}.")
    lines.append(f"Another margin: equivalent means less than {margin:g} points apart here.")
    cells = found.cells.iloc[sorted({*own["a"], *own["b"]})]
    tuned = cells["tuned_knob"].iloc[0] if "tuned_knob" in cells else ""
    values = {name: ", ".join(f"{value:g}" for value in sorted(set(cells[name]))) for name in _HELD}
    held = [f"{words} {values[name]}{' (each its own best)' * (name == tuned)}"
            for name, words in _HELD.items() if name not in set(own["knob"])]  # fmt: skip
    lines.append(f"Other training: these cells had {', '.join(held)}; another may rank them otherwise.")
    return lines


def point_difference(difference: Estimate) -> str:
    """A difference of accuracies, in points, with its sign: `+0.31 ± 0.21`."""
    text = spread(dataclasses.replace(difference, kind="crossed"), 100)
    return text if text.startswith("-") or difference.value is None else f"+{text}"


def p_value(p: float) -> str:
    """As papers print it: `0.012`, `< 0.001`."""
    return f"< {_SMALLEST_P:g}" if p < _SMALLEST_P else f"{p:.3f}"


def _absolute(difference: Estimate) -> Estimate:
    value, low, high = difference.value or 0.0, difference.low, difference.high
    if value >= 0 or low is None or high is None:
        return difference
    return dataclasses.replace(difference, value=-value, low=-high, high=-low)


def _ratio(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> str:
    """What the larger of two equivalent networks costs more."""
    larger, smaller = sorted((a, b), key=lambda cell: -cell["parameters"])
    times = larger["parameters"] / smaller["parameters"]
    return f", {larger['label']} at {times:.2g} times the parameters" if times >= _WORTH_SAYING else ""


def _further(row: Mapping[Any, Any]) -> str:
    if row["verdict"] != "undecided":
        return ""
    if "wants" in row:
        return f"up to {row['wants']:,} each" if row["wants"] else "given up"
    further = _whole(row["seeds_to_decide"])
    return NOTHING if further is None else f"about {further:,}"


def sensitivity_json(found: "Sensitivity", study: str | None) -> dict[str, Any]:
    """What `mnistlab sensitivity --json` prints."""
    effects = [{**row, "level": setting(row["knob"], row["level"])} for row in found.effects.to_dict("records")]
    return document(
        study=study, metric=found.metric, method=found.method, conditional_on=found.conditional_on,
        shares=found.shares.to_dict("records"), higher_interactions=found.higher_interactions,
        seed_noise=found.seed_noise, residual=found.residual, effects=effects, cells=found.cells, seeds=found.seeds,
        collapsed=found.collapsed, left_out=found.left_out,
    )  # fmt: skip


def sensitivity_text(found: "Sensitivity", width: int) -> str:
    """Shares and effects as text no line of which is wider than `width` columns of a terminal."""
    notes = textwrap.wrap(" ".join(_sensitivity_notes(found)), max(width, 1))
    if found.residual is None:
        return "\n".join(notes)
    tables = [text_table(*cells, width) for cells in (share_cells(found), effect_cells(found)) if cells[1]]
    return "\n\n".join(["\n".join(notes), *tables])


def sensitivity_html(found: "Sensitivity") -> str:
    """What a notebook shows of it: the notes and both tables."""
    notes = html_paragraph(" ".join(_sensitivity_notes(found)))
    tables = (share_cells(found), effect_cells(found)) if found.residual is not None else ()
    return "".join([notes, *(html_table(*cells) for cells in tables if cells[1])])


def _sensitivity_notes(found: "Sensitivity") -> list[str]:
    if found.left_out and not found.cells:
        return [
            f"Networks collapsed (accuracy near guessing) in all {found.left_out:,} cells: nothing is left to share."
        ]
    if not found.cells:
        return ["No seed is finished in all cells that have any: no shares yet."]
    if found.residual is None:
        return ["These networks are all equally accurate: there is nothing to share out."]
    how = (
        "The cells are no full factorial: shares and accuracies are of an additive model, each knob at the average "
        "of the others. It sees no interactions, and its accuracies are no cell's own."
    )
    if found.method == "anova":
        how = "Exact, from the full factorial at each depth: only what differs within a depth is shared out."
        how = how if found.conditional_on else "Exact, from the full factorial."
    notes = [f"Shares of the variance of test accuracy over {found.cells:,} cells × {found.seeds:,} seeds.", how]
    if found.residual < -_OVERLAP:
        notes.append(f"The shares sum to {100 * (1 - found.residual):.0f} %: knobs that change together share a part.")
    if found.seeds == 1:
        notes.append("One seed: its noise is part of every share.")
    if found.seeds < 3:
        notes.append("Three seeds give the shares their intervals.")
    if found.collapsed:
        what = f"cells left out for it: {found.left_out:,}" if found.left_out else "they may make most of it"
        notes.append(f"{found.collapsed:,} networks collapsed (accuracy near guessing); {what}.")
    return [*notes, TUNED_NOTE if found.tuned_knob else RATE_NOTE]


def share_cells(found: "Sensitivity") -> Cells:
    """Header and rows of the shares for people, in per cent of the variance."""
    rows = [[" × ".join(row["knobs"]), spread(row["share"], 100), spread(row["total"], 100)]
            for row in found.shares.to_dict("records")]  # fmt: skip
    rest = {"three knobs or more": found.higher_interactions, "seed": found.seed_noise}
    rows += [[name, spread(share, 100), NOTHING] for name, share in rest.items() if share.value is not None]
    return ["what varies", "share %", "with its interactions %"], rows


def effect_cells(found: "Sensitivity") -> Cells:
    """Header and rows of the accuracy at each level of each knob."""
    return table_cells(found.effects, {
        "knob": lambda row: row["knob"],
        "level": lambda row: str(setting(row["knob"], row["level"])),
        "accuracy %": lambda row: percent(row["accuracy"]),
        "cells": lambda row: f"{row['cells']:,}",
    })  # fmt: skip


def claims_json(judged: "Sequence[JudgedClaim]") -> dict[str, Any]:
    """What `mnistlab verify --json` prints."""
    return document(claims=list(judged), counts=dict(Counter(claim.status for claim in judged)))


def claims_text(judged: "Sequence[JudgedClaim]", width: int) -> str:
    """Every claim that is not borne out, with its reason and what was measured, and the counts of all."""
    if not judged:
        return "No claims about networks were found: tables and `label: value` lines are read."
    lines = []
    for claim in judged:
        if claim.status in ("false", "unsupported"):
            where = f"{claim.file}:{claim.line}: {claim.subject}, {claim.quantity}: {_as_claimed(claim)}"
            text = f"{where}: {claim.status}: {claim.reason}{_as_measured(claim)}"
            lines += textwrap.wrap(printable(text), max(width, 1), subsequent_indent="  ")
    counts = Counter(claim.status for claim in judged)
    return "\n".join([*lines, ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))])


def _as_claimed(claim: "JudgedClaim") -> str:
    if claim.quantity == "accuracy":
        return f"{claim.claimed * 100:.6g} %"
    write = {"seconds": seconds, "bytes": size}.get(claim.quantity)
    return write(claim.claimed) if write else f"{claim.claimed:,}"


def _as_measured(claim: "JudgedClaim") -> str:
    """What was measured of an accuracy, seconds or bytes; a count of parameters stands in its reason."""
    measured = claim.measured
    if not isinstance(measured, Estimate) or measured.value is None:
        return ""
    if claim.quantity == "accuracy":
        return f" (measured: {percent(measured)} %)"
    return f" (measured: {size(measured.value) if claim.quantity == 'bytes' else f'{with_spread(measured)} s'})"


def simulation_json(promises: "Sequence[Promise]") -> dict[str, Any]:
    """What `mnistlab simulate --json` prints."""
    return document(promises=[{**to_json(promise), "kept": promise.kept} for promise in promises])


def promises_text(promises: "Sequence[Promise]", width: int) -> str:
    """What was promised of studies and what simulated ones show, as text of this width."""
    kept, broken = (sum(promise.kept is word for promise in promises) for word in (True, False))
    note = (
        "Per cent of simulated studies, in brackets the simulation's 99.9 % interval; a promise is broken where it "
        "lies outside of what is promised. Equal cells shall be called equivalent as often as the power of the test "
        "says, within 3 points. Rows that promise nothing stand there for comparison."
    )
    table = text_table(*promise_cells(promises), width)
    return "\n".join(
        [*textwrap.wrap(note, max(width, 1)), "", table, "", f"{kept:,} promises kept, {broken:,} broken."]
    )


def promise_cells(promises: "Sequence[Promise]") -> Cells:
    """Header and rows of what was promised of studies and what simulated ones show, in per cent."""
    rows = [[promise.what, promise.differ, f"{promise.seeds}", with_spread(promise.found, 100),
             _band(promise.low, promise.high), {True: "kept", False: "broken", None: ""}[promise.kept]]
            for promise in promises]  # fmt: skip
    return ["in simulated studies", "what differs", "seeds", "found %", "promised %", ""], rows


def _band(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    low, high = max(low * 100, 0), min(high * 100, 100)
    return f"{low:.3g} to {high:.3g}" if low else f"at most {high:.3g}"
