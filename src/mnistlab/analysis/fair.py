"""Fair comparisons: which learning rate each cell got, and which verdicts change with it. Frames in, frames out.

The trials that chose the rates know validation digits alone; the verdicts are those of two studies of the same cells.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mnistlab.analysis.replication import adaptive_verdicts
from mnistlab.analysis.verdicts import MARGIN, Verdicts, all_settings, study_verdicts

_RATES = ["cell", "label", "rate", "of_study", "edge", "n", "rates", "accuracies", "runs"]
_CHANGES = ["knob", "cell", "against", "label", "label_against", "before", "after", "changed", "is_reversed",
            "difference_before", "difference", "seeds_before", "seeds", "margin_before", "margin"]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TunedFrom:
    """What a tuned study was made of: the trials that chose its rates, and the study with one rate as its user gave it.

    Attributes
    ----------
    study : str
        Its name.
    command : str
        What trains it; empty where only Python can.
    trials : DataFrame
        A row per finished trial: run, cell, label, seed, accuracy (a fraction, on validation digits; 0 of one that
        diverged), every setting, tuned_knob.
    cells, runs : DataFrame
        Of that study as the store hands them out, runs with `test_bits`; without rows where it has not been run.
    adaptive : tuple (seeds, margin) | None
        As of `Evidence`.
    """

    study: str
    command: str
    trials: pd.DataFrame
    cells: pd.DataFrame
    runs: pd.DataFrame
    adaptive: tuple[list[int], float] | None = None

    def verdicts(self, order: pd.DataFrame) -> Verdicts:
        """Its verdicts, cells in the order of these: a pair is then judged the same way round."""
        places = {key: place for place, key in enumerate(_keys(order))}
        ranks = [places.get(key, len(places)) for key in _keys(self.cells)]
        cells = self.cells.iloc[sorted(range(len(ranks)), key=lambda number: ranks[number])].reset_index(drop=True)
        if self.adaptive is None:
            return study_verdicts(cells, self.runs, MARGIN)
        seeds, margin = self.adaptive
        return adaptive_verdicts(cells, self.runs, seeds=seeds, margin=margin)


def rate_table(cells: pd.DataFrame, source: TunedFrom | None) -> pd.DataFrame:
    """What every cell of a tuned study had to choose from.

    Parameters
    ----------
    cells : DataFrame
        Of the tuned study, in its order.
    source : TunedFrom | None
        None, of a study that was not tuned: no rows.

    Returns
    -------
    DataFrame
        One row per cell: cell, label, rate (chosen), of_study (the middle one, as the study says), edge ("lowest",
        "highest" or empty: a better rate may lie beyond), n (networks at each rate), rates, accuracies (tuples,
        ascending rates; mean validation accuracy, fractions), runs (ids).
    """
    tried: dict[Hashable, list[dict[Hashable, Any]]] = {}
    trials = cells.iloc[:0] if source is None else source.trials
    for key, row in zip(_keys(trials), trials.to_dict("records"), strict=True):
        tried.setdefault(key, []).append(row)
    rows = []
    for key, cell in zip(_keys(cells), cells.to_dict("records"), strict=True):
        if key not in tried:
            continue
        by_rate = pd.DataFrame(tried[key]).groupby("learning_rate")
        means, chosen = by_rate["accuracy"].mean(), float(cell["learning_rate"])
        rates = tuple(means.index.astype(float).tolist())
        edge = {rates[0]: "lowest", rates[-1]: "highest"}.get(chosen, "")
        rows.append((cell["cell"], cell["label"], chosen, rates[len(rates) // 2], edge, int(by_rate.size().min()),
                     rates, tuple(means.tolist()),
                     tuple(row["run"] for row in tried[key])))  # fmt: skip
    return pd.DataFrame(rows, columns=_RATES)


def verdict_changes(source: TunedFrom | None, tuned: Verdicts) -> pd.DataFrame:
    """Verdicts of the same two cells, at the rate of the study and each at its own best, the changed ones first.

    Parameters
    ----------
    source : TunedFrom | None
        None, of a study that was not tuned: no rows.
    tuned : Verdicts

    Returns
    -------
    DataFrame
        One row per pair that both have, whose cells are matched by everything but the learning rate: knob, cell,
        against (ids in the tuned study), label, label_against, before, after (verdicts), changed, is_reversed (from
        better to worse or back), difference_before, difference (Estimates, the first cell less the second),
        seeds_before, seeds, margin_before, margin.
    """
    if source is None or tuned.rows.empty:
        return pd.DataFrame(columns=_CHANGES)
    plain = source.verdicts(tuned.cells)
    keys, plain_keys = _keys(tuned.cells), _keys(plain.cells)
    before = {(row["knob"], plain_keys[row["a"]], plain_keys[row["b"]]): row for row in plain.rows.to_dict("records")}
    rows = []
    for row in tuned.rows.to_dict("records"):
        if (was := before.get((row["knob"], keys[row["a"]], keys[row["b"]]))) is None:
            continue
        a, b = (tuned.cells.iloc[row[side]] for side in ("a", "b"))
        words = was["verdict"], row["verdict"]
        rows.append((row["knob"], a["cell"], b["cell"], a["label"], b["label"], *words, words[0] != words[1],
                     {*words} == {"better", "worse"}, was["difference"], row["difference"], was["seeds"], row["seeds"],
                     was["margin"], row["margin"]))  # fmt: skip
    table = pd.DataFrame(rows, columns=_CHANGES)
    shift = [abs(row["difference"].value - row["difference_before"].value) for row in table.to_dict("records")]
    order = sorted(range(len(table)), key=lambda n: (not table["is_reversed"][n], not table["changed"][n], -shift[n]))
    return table.iloc[order].reset_index(drop=True)


def _keys(cells: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Everything of each cell but its learning rate."""
    rows = ({**row, "tuned_knob": "learning_rate"} for row in cells.to_dict("records"))
    return [tuple(all_settings(row).values()) for row in rows]
