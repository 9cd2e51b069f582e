"""Does a network know when it errs: how often it is right at each height of its top probability. Frames in and out."""

import pandas as pd

from mnistlab.analysis.intervals import t_interval, wilson_interval
from mnistlab.analysis.results import LEVEL


def reliability_table(bins: pd.DataFrame) -> pd.DataFrame:
    """The fifteen bins of equal mass of the networks of one cell (rule M21), together.

    Parameters
    ----------
    bins : DataFrame
        Fifteen rows per network: run, bin, count, confidence (mean top probability), accuracy (share right); NaN in an
        empty bin.

    Returns
    -------
    DataFrame
        One row per bin that has digits, the least confident first: bin, digits (per network), confidence (mean over
        networks), accuracy (`Estimate` for new seeds on these digits, kind "t"; of one network for new digits, kind
        "wilson"), networks.
    """
    rows = []
    for number, own in bins[bins["count"] > 0].groupby("bin"):
        if len(own) > 1:
            accuracy = t_interval(own["accuracy"], level=LEVEL, limits=(0, 1))
        else:
            count = int(own["count"].iloc[0])
            accuracy = wilson_interval(round(own["accuracy"].iloc[0] * count), count, level=LEVEL)
        rows.append([number, own["count"].mean(), own["confidence"].mean(), accuracy, len(own)])
    return pd.DataFrame(rows, columns=["bin", "digits", "confidence", "accuracy", "networks"])
