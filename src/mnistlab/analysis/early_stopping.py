"""Early stopping with the epochs it may use against plain training: pairs and verdicts. Frames in, frames out.

Early stopping is switched on together with more epochs, which it is there to cut: such cells differ in two settings
and are no pair of one knob. Here they are paired as what they are, a rule of stopping against a fixed number of epochs.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from mnistlab.analysis.intervals import Replicates
from mnistlab.analysis.replication import adaptive_table, looks_up_to
from mnistlab.analysis.results import other_settings
from mnistlab.analysis.verdicts import verdict_table

STOPPING = "early_stopping_patience"
TOGETHER = f"{STOPPING} with epochs"
"""The family of these pairs."""


def stopping_pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """Every cell with early stopping against every one without that has other epochs and nothing else different.

    Parameters
    ----------
    cells : DataFrame
        One row per cell in study order, with a column for every setting.

    Returns
    -------
    DataFrame
        One row per pair, as of `verdicts.knob_pairs`: knob ("early_stopping_patience with epochs", one family of its
        own), a (the row number of the cell with early stopping), b.
    """
    rows = cells.to_dict("records")
    alike: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for number, row in enumerate(rows):
        others = other_settings(row)
        patient = others[STOPPING] is not None
        key = (tuple(row["hidden_layer_sizes"]), tuple(row["activations"]), row["framework"],
               *(value for name, value in others.items() if name not in (STOPPING, "epochs")))  # fmt: skip
        alike.setdefault(key, ([], []))[0 if patient else 1].append(number)
    found = [(TOGETHER, a, b) for patient, plain in alike.values() for a, b in product(patient, plain)
             if rows[a]["epochs"] != rows[b]["epochs"]]  # fmt: skip
    return pd.DataFrame(found, columns=["knob", "a", "b"])


def stopping_verdicts(
    cells: pd.DataFrame, replicates: Mapping[int, Replicates], *, margin: float, seeds: Sequence[int] | None = None
) -> pd.DataFrame:
    """Verdicts on these pairs: see `verdicts.verdict_table`, and of an adaptive study `replication.adaptive_table`.

    Parameters
    ----------
    cells : DataFrame
    replicates : mapping of int to Replicates
        By row number of `cells`: see `verdicts.replicates_of`.
    margin : float
    seeds : sequence of int, optional
        All that an adaptive study may use; None: every cell has every seed.
    """
    pairs = stopping_pairs(cells)
    paired = {*pairs["a"], *pairs["b"]}  # every cell takes its time, whether a pair asks for it or not
    replicates = {number: own for number, own in replicates.items() if number in paired}
    if seeds is None or not replicates:
        return verdict_table(pairs, replicates, margin=margin)
    return adaptive_table(pairs, replicates, seeds=seeds, looks=looks_up_to(len(seeds)), margin=margin)
