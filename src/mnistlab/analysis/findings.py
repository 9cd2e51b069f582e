"""Findings: of all verdicts of a study those that a choice hangs on, the weightiest first. Frames in, a frame out.

Of the cells that differ in one knob alone one is chosen, on validation digits; what is said of each other one against
it tells what another choice would lose, save, or leave open. `wording.finding_sentence` says it in words.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.results import collapse_threshold, off_default, other_settings
from mnistlab.analysis.verdicts import Verdicts


def findings(found: Verdicts, runs: pd.DataFrame) -> pd.DataFrame:
    """What a study found, knob by knob, ranked by how much it changes a decision.

    Parameters
    ----------
    found : Verdicts
    runs : DataFrame
        See `results.results_table`; validation_accuracy chooses (rule M3), nothing else.

    Returns
    -------
    DataFrame
        One row per finding, the first in rank first: the columns of `verdict_table`, and assured (points, a fraction,
        that the better choice surely gains: the end of the interval nearer to 0; 0 unless "better" or "worse"),
        operations (training operations of a over those of b), runs (ids of the networks it rests on, those of a first),
        collapsed_a, collapsed_b (how many of these networks collapsed, rule M12).
        Pairs with a single common seed say nothing of their cells (rule M8) and are left out.

    Notes
    -----
    Weight: the assured gain in margins, or, of equivalent cells, how often the cheaper one halves the operations; what
    is undecided changes no decision yet and comes last, what fewest seeds would settle first. The weightiest finding of
    every knob comes before the second of any, so that one knob with many settings does not hide the others. Cells
    without validation digits choose nobody: all their pairs are kept.
    """
    validation = runs[runs["status"] == "done"].groupby("cell")["validation_accuracy"].mean()
    rows = found.rows[found.rows["seeds"] > 1]
    rows = rows[_against_the_chosen(rows, found.cells["cell"].map(validation).to_numpy(dtype=float))]
    return _ranked(with_evidence(found, rows, runs))


def of_knobs(found: Verdicts, runs: pd.DataFrame, knobs: tuple[str, ...], most: int) -> pd.DataFrame:
    """The verdicts of some knobs for who asks about these alone: all pairs, not only those of the chosen cell.

    Parameters
    ----------
    found : Verdicts
    runs : DataFrame
        As of `findings`.
    knobs : tuple of str
    most : int
        How many, the first in rank first.

    Returns
    -------
    DataFrame
        As of `findings`: decided pairs first, then plain ones (fewest settings off their default, all knobs counted),
        then those with most seeds.
    """
    rows = found.rows[found.rows["knob"].isin(knobs)]
    off = np.array(
        [off_default(tuple(other_settings(row).values())) for row in found.cells.to_dict("records")], dtype=int
    )
    a, b = (rows[side].to_numpy(dtype=int) for side in ("a", "b"))
    order = {"open_": rows["verdict"] == "undecided", "off": off[a] + off[b], "fewer": -rows["seeds"]}
    chosen = rows.assign(**order).sort_values(list(order), kind="stable", ignore_index=True).head(most)
    return with_evidence(found, chosen.drop(columns=list(order)), runs)


def with_evidence(found: Verdicts, rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """These rows of `found` with the columns that `findings` adds."""
    done = runs[runs["status"] == "done"]
    epochs = found.cells["cell"].map(done.groupby("cell")["epochs_done"].mean()).to_numpy(dtype=float)
    operations = (found.cells["flops_per_step"] * found.cells["steps_per_epoch"]).to_numpy(dtype=float) * epochs
    a, b = (rows[side].to_numpy(dtype=int) for side in ("a", "b"))
    ids = {(cell, seed): run for cell, seed, run in zip(done["cell"], done["seed"], done["run"], strict=True)}
    records = rows.to_dict("records")
    evidence = pd.DataFrame([_evidence(row, found, ids) for row in records], index=rows.index,
                            columns=["runs", "collapsed_a", "collapsed_b"])  # fmt: skip
    return rows.assign(assured=list(map(_assured, records)), operations=operations[a] / operations[b]).join(evidence)


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    saved, gained = np.abs(np.log2(rows["operations"])), rows["assured"] / rows["margin"]
    weight, open_ = np.where(rows["verdict"] == "equivalent", saved, gained), rows["verdict"] == "undecided"
    found = rows.assign(open_=open_, light=-weight).sort_values(["open_", "light", "seeds_to_decide"], kind="stable")
    found["place"] = found.groupby("knob").cumcount()
    found = found.sort_values(["place", "open_", "light"], kind="stable", ignore_index=True)
    return found.drop(columns=["open_", "light", "place"])


def _against_the_chosen(rows: pd.DataFrame, validation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pairs hold the cell of highest validation accuracy among all that are joined by pairs of their knob."""
    kept = np.zeros(len(rows), dtype=bool)
    for places in rows.groupby("knob").indices.values():
        a, b = (rows[side].to_numpy(dtype=int)[places] for side in ("a", "b"))
        _, part = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(validation),) * 2))
        for one in np.unique(part[a]):
            own, inside = np.flatnonzero(part == one), part[a] == one
            known = own[~np.isnan(validation[own])]
            chosen = known[validation[known].argmax()] if len(known) else None
            kept[places[inside]] = chosen is None or ((a == chosen) | (b == chosen))[inside]
    return kept


def _assured(row: dict[Any, Any]) -> float:
    difference: Estimate = row["difference"]
    if row["verdict"] not in ("better", "worse"):
        return 0.0
    return min(abs(difference.low or 0.0), abs(difference.high or 0.0))


def _evidence(
    row: dict[Any, Any], found: Verdicts, ids: dict[tuple[str, int], str]
) -> tuple[tuple[str, ...], int, int]:
    """Ids of the networks a verdict rests on (at an early look the first alone); how many of a, of b collapsed."""
    cells = [found.cells.iloc[row[side]] for side in ("a", "b")]
    first, second = (found.replicates[row[side]] for side in ("a", "b"))
    seeds = [seed for seed in first.seeds if seed in second.seeds][: row["seeds"]]
    runs = tuple(ids[cell["cell"], seed] for cell in cells for seed in seeds)
    accuracies = (own.correct[[own.seeds.index(seed) for seed in seeds]].mean(axis=1) for own in (first, second))
    collapsed = [int((accuracy < collapse_threshold(cell["n_classes"])).sum())
                 for accuracy, cell in zip(accuracies, cells, strict=True)]  # fmt: skip
    return runs, collapsed[0], collapsed[1]
