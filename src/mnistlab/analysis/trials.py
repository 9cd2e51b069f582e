"""What a search has tried and who has won, as its exhibits take it; what became of trials, what two of them tell."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from mnistlab.analysis.intervals import POWER
from mnistlab.analysis.results import collapse_threshold


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What is known of a search: its trials, and who has won.

    Accuracies are fractions.

    Attributes
    ----------
    objective : str
        `accuracy`, `accuracy,parameters` or `accuracy,seconds`.
    choices : tuple of str
        The knobs that had more than one value, as columns of `trials`: `width`, `depth`, `steps`, `activations`, ….
    trials : DataFrame
        A row per trial of the search's first seed, in the order in which they ended: number (from 1), run, cell, label,
        a column per knob of `choices`, status (`done` or `diverged`), validation_accuracy (NaN where it diverged),
        validation_n, epochs_done, epochs_asked, given_up, parameters, seconds_per_epoch, n_classes.
    winners : DataFrame
        cell, label, parameters, seconds_per_epoch; n_searched, searched_accuracy (mean over the networks of search and
        race, on validation digits); n_fresh, fresh_validation_accuracy (mean over those with fresh seeds), optimism,
        optimism_low, optimism_high (what the first says too much); accuracy, accuracy_low, accuracy_high (test, crossed
        over the fresh networks; NaN while unconfirmed), confirmed.
    candidates : DataFrame
        A row per cell and seed of the race: cell, label, seed, validation_accuracy, n_classes, kept (whether it may
        still win).
    """

    objective: str
    choices: tuple[str, ...]
    trials: pd.DataFrame
    winners: pd.DataFrame
    candidates: pd.DataFrame


def outcomes(trials: pd.DataFrame) -> "pd.Series[Any]":
    """What became of each trial: `diverged`, `given up` before its end, then `collapsed` (rule M12) or `trained`."""
    accuracy, given_up = trials["validation_accuracy"].astype(float), trials["given_up"].astype(bool)
    words = np.select(
        [accuracy.isna() | (trials["status"] == "diverged"), given_up, accuracy < _least(trials)],
        ["diverged", "given up", "collapsed"], "trained",
    )  # fmt: skip
    return pd.Series(words, index=trials.index, dtype=object)


def _least(trials: pd.DataFrame) -> "pd.Series[float]":
    """Accuracy below which each of them has learned nothing."""
    return trials["n_classes"].map(collapse_threshold)


def knob_levels(column: "pd.Series[Any]") -> tuple[list[Any], NDArray[np.intp], bool]:
    """The values of a knob, which of them each trial has, and whether they are numbers, which have an order.

    Numbers ascend; others stand as they come. A missing value is None: off. Activations that are the same in all layers
    are one name, so that depth alone makes no other value of them.
    """
    plain = [_plain(value) for value in column]
    if column.name == "activations":
        plain = [value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value for value in plain]
    values = list(dict.fromkeys(plain))
    ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if ordered:
        values.sort()
    place = {value: number for number, value in enumerate(values)}
    return values, np.array([place[value] for value in plain], dtype=np.intp), ordered


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def trial_resolution(candidates: pd.DataFrame) -> float:
    """The smallest difference between two trials, one network each, that is found with 80 % power; NaN: not known.

    As rule M22, with what is left of the race's table of cells by seeds once each cell and each seed has its mean: what
    two networks of one seed and its validation digits differ by without one being better.
    """
    table = candidates.pivot(index="cell", columns="seed", values="validation_accuracy").astype(float)
    table = table.dropna(axis="columns")
    steady = table.min(axis="columns") >= _least(candidates).groupby(candidates["cell"]).first()
    seen = table[steady].to_numpy()
    df = (seen.shape[0] - 1) * (seen.shape[1] - 1) if seen.size else 0
    if df < 1:
        return math.nan
    residual = seen - seen.mean(axis=1, keepdims=True) - seen.mean(axis=0) + seen.mean()
    error = math.sqrt(2 * float((residual**2).sum()) / df)
    return float(stdtrit(df, 0.975) + stdtrit(df, POWER)) * error
