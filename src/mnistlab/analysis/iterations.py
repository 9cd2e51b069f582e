"""What epochs buy: epochs to a target, the best epoch, the regret of stopping early, the gain of ten more.

Frames as the store hands them out go in (`runs`, `epochs`), one row per cell comes out, in the order of `runs`. Only
validation digits choose an epoch; test digits say what the choice was worth (rules M3 and M15 of docs/measurement.md).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import median_interval, t_interval

LEVEL = 0.95
PATIENCES = range(1, 11)
MORE = 10
"""Epochs that `ten_more_epochs` looks back and ahead."""

SHORTEST_CURVE = 5
"""Epochs below which no curve is extrapolated: its models have three unknowns."""

_REASONS = ("epochs", "early_stopping", "tol")
# How much of what is still to come is left after epoch e. Exponential approach forgets too fast, a power law too
# slowly: real curves lie between them. 0.2 to 500 epochs; exponents 0.05 to 5.
_DECAYS = (
    lambda epoch: np.exp(-epoch / np.geomspace(0.2, 500, 120)[:, None]),
    lambda epoch: epoch ** -np.geomspace(0.05, 5, 120)[:, None],
)


def epochs_to_target(runs: pd.DataFrame, epochs: pd.DataFrame, target: float, *, level: float = LEVEL) -> pd.DataFrame:
    """Epochs until validation accuracy first reaches a target; a network that never does is censored, not missing.

    Parameters
    ----------
    runs, epochs : DataFrame
        Of the store: run, cell, status, epochs_asked; run, epoch, validation_accuracy. Runs that are done or diverged
        and have validation digits count.
    target : float
        Accuracy, a fraction in (0, 1]; ValueError otherwise.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        cell, target, networks, reached (of them), epochs: Estimate of kind "median". Its value is None when fewer than
        half reached the target; ends are None below six networks, and a high one where it lies beyond the epochs asked.

    Notes
    -----
    A network that early stopping, tol or a NaN ended short of the target is final: it stays at risk up to the epochs
    asked. Censored where it ended, it would be taken to be like those that went on, and cells that give up early would
    look fast.

    References
    ----------
    E. L. Kaplan, P. Meier (1958), J. Amer. Stat. Assoc. 53, 457-481, by `scipy.stats.ecdf`; the interval is that
    of `median_interval`.
    """
    if not 0 < target <= 1:
        raise ValueError(f"target must be an accuracy as a fraction above 0 and at most 1; got {target}")
    finished = runs[runs["status"].isin(["done", "diverged"])]
    rows = []
    for cell, own, curves in _by_cell(finished, _curves(epochs, "validation_accuracy")):
        hits = curves.to_numpy() >= target
        reached = np.asarray(hits.any(axis=1))
        waited = np.where(reached, curves.columns.to_numpy()[hits.argmax(axis=1)], own["epochs_asked"].to_numpy())
        median = _censored_median(waited.astype(float), reached, level)
        rows.append((cell, target, len(own), int(reached.sum()), median))
    return pd.DataFrame(rows, columns=["cell", "target", "networks", "reached", "epochs"])


def best_epochs(runs: pd.DataFrame, epochs: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """The epoch of lowest validation loss.

    Parameters
    ----------
    runs, epochs : DataFrame
        Of the store: run, cell, status, epochs_done; run, epoch, validation_loss. Runs that are done count.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        cell, networks, best_epoch: Estimate (t over seeds), at_end: networks whose last epoch was their best, so that a
        better one may lie beyond it and the mean is too low.
    """
    rows = []
    for cell, own, curves in _by_cell(_done(runs), _curves(epochs, "validation_loss")):
        best = curves.idxmin(axis=1).to_numpy(dtype=float)
        at_end = int((best == own["epochs_done"].to_numpy()).sum())
        rows.append((cell, len(own), t_interval(best, level=level, limits=(1, np.inf)), at_end))
    return pd.DataFrame(rows, columns=["cell", "networks", "best_epoch", "at_end"])


def stopping_regret(runs: pd.DataFrame, epochs: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """What early stopping would have lost and saved, replayed from whole curves for patience 1 to 10.

    Patience as Keras means it: that many epochs in a row without a lower validation loss stop, the weights of the
    lowest are restored. Lost is what the epoch of lowest loss of the whole curve has more. Runs trained with early
    stopping are left out: their curves were cut by the rule to be judged.

    Parameters
    ----------
    runs, epochs : DataFrame
        Of the store: run, cell, status, best_epoch, epochs_done; run, epoch, validation_loss, validation_accuracy,
        test_accuracy.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        A row per cell and patience: cell, patience, networks, stopped (of them, before their last epoch), loss_lost
        (nats, never negative), accuracy_lost (validation, a fraction), test_accuracy_lost, epochs_saved: Estimates
        (t over seeds, on the same digits).
    """
    whole = _done(runs[runs["best_epoch"].isna()])
    accuracies = [_curves(epochs, name) for name in ("validation_accuracy", "test_accuracy")]
    rows = []
    for cell, own, curves in _by_cell(whole, _curves(epochs, "validation_loss")):
        losses, done = curves.to_numpy(), own["epochs_done"].to_numpy(dtype=int)
        measured = [-losses, *(each.reindex(curves.index).to_numpy() for each in accuracies)]
        best = _lowest_so_far(losses)
        for patience in PATIENCES:
            last, chosen = _replay(best, done, patience)
            lost = [_at(values, best[:, -1]) - _at(values, chosen) for values in measured]
            estimates = [t_interval(values, level=level) for values in (*lost, done - last)]
            rows.append((cell, patience, len(own), int((last < done).sum()), *estimates))
    names = ["cell", "patience", "networks", "stopped", "loss_lost", "accuracy_lost", "test_accuracy_lost"]
    return pd.DataFrame(rows, columns=[*names, "epochs_saved"])


def ten_more_epochs(runs: pd.DataFrame, epochs: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Validation accuracy that ten more epochs bought, measured along the curve, and would buy behind its end.

    Parameters
    ----------
    runs, epochs : DataFrame
        Of the store: run, cell, status, stopped_by, epochs_done; run, epoch, validation_accuracy. Runs that are done
        count, of cells whose runs all did the epochs they were asked for: the others end by themselves.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        cell, networks, after (epochs: the curve's length less 10, 20, …, then the length itself), gain: Estimate, a
        fraction, measured (bool). Measured gains have kind "t", over each network's own difference. The last row of a
        cell has kind "prediction" and is an extrapolation; a curve of fewer than five epochs has none.

    Notes
    -----
    Behind the end, each network's curve is fitted with a - b·exp(-e/τ) and a - b·e^(-k), b >= 0, by least squares; the
    value is the mean of both models' gains over networks, the interval reaches from the lower end of the one's t
    interval to the upper end of the other's: most real curves rise more than the one says, less than the other. Both
    suppose that training goes on as before: they say nothing where a schedule has brought the learning rate to its end,
    and cannot foresee a fall. While a curve flattens, its last measured gain is an upper guide.

    References
    ----------
    G. H. Golub, V. Pereyra (1973), SIAM J. Numer. Anal. 10, 413-432: with the shape (τ or k) held, a and b are linear.
    """
    rows = []
    for cell, own, curves in _by_cell(_done(runs), _curves(epochs, "validation_accuracy")):
        if (own["stopped_by"] != "epochs").any():
            continue
        length, accuracy = int(own["epochs_done"].iloc[0]), curves.to_numpy()
        for after in range(length % MORE or MORE, length, MORE):
            gained = accuracy[:, after + MORE - 1] - accuracy[:, after - 1]
            rows.append((cell, len(own), after, t_interval(gained, level=level), True))
        if length >= SHORTEST_CURVE:
            rows.append((cell, len(own), length, _extrapolated(accuracy[:, :length], level), False))
    return pd.DataFrame(rows, columns=["cell", "networks", "after", "gain", "measured"])


def asked_and_done(runs: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Epochs asked against epochs done, with the reasons for stopping (rule M15).

    Parameters
    ----------
    runs : DataFrame
        Of the store: cell, status, epochs_asked, epochs_done, stopped_by. Runs that are done count.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        cell, networks, epochs_asked, epochs_done: Estimate (t over seeds), and networks by what stopped them: epochs
        (all that were asked), early_stopping, tol.
    """
    rows = []
    for cell, own in _done(runs).groupby("cell", sort=False):
        done = t_interval(own["epochs_done"], level=level, limits=(0, float(own["epochs_asked"].iloc[0])))
        reasons = (int((own["stopped_by"] == reason).sum()) for reason in _REASONS)
        rows.append((cell, len(own), int(own["epochs_asked"].iloc[0]), done, *reasons))
    return pd.DataFrame(rows, columns=["cell", "networks", "epochs_asked", "epochs_done", *_REASONS])


def _done(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["status"] == "done"]


def _curves(epochs: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per run with something measured, a column per epoch from 1; NaN behind the run's last."""
    return epochs.pivot(index="run", columns="epoch", values=column).dropna(how="all")


def _by_cell(runs: pd.DataFrame, curves: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame, pd.DataFrame]]:
    """Cell, its runs that have a curve, and the curves in the same order."""
    for cell, own in runs[runs["run"].isin(curves.index)].groupby("cell", sort=False):
        yield cell, own, curves.loc[own["run"]]


def _censored_median(waited: NDArray[np.float64], reached: NDArray[np.bool_], level: float) -> Estimate:
    survival = ecdf(CensoredData(waited[reached], right=waited[~reached])).sf
    below_half = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]  # a product of fractions, rounded
    interval = median_interval(np.where(reached, waited, np.inf), level=level)
    low, high = (end if end is not None and np.isfinite(end) else None for end in (interval.low, interval.high))
    return replace(interval, value=float(below_half[0]) if len(below_half) else None, low=low, high=high)


def _lowest_so_far(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each network and epoch, which epoch up to it, from 1, had the lowest loss; NaN is never lower."""
    lowest = np.fmin.accumulate(np.column_stack([np.full(len(losses), np.inf), losses]), axis=1)
    improved = losses < lowest[:, :-1]
    return np.maximum.accumulate(np.where(improved, np.arange(1, losses.shape[1] + 1), 1), axis=1)


def _replay(best: NDArray[np.int64], done: NDArray[np.int64], patience: int) -> tuple[NDArray[np.int64], ...]:
    """The epoch after which each network would have stopped, and the epoch whose weights it would have kept."""
    epoch = np.arange(1, best.shape[1] + 1)
    stops = epoch - best >= patience
    last = np.minimum(np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, done), done)
    return last, _at(best, last)


def _at(values: NDArray[Any], epoch: NDArray[np.int64]) -> NDArray[Any]:
    """Each network's value at an epoch of its own, from 1."""
    at: NDArray[Any] = values[np.arange(len(values)), epoch - 1]
    return at


def _extrapolated(accuracy: NDArray[np.float64], level: float) -> Estimate:
    n, length = accuracy.shape
    epoch, ends = np.arange(1.0, length + 1), np.array([length, length + MORE], float)
    models = [t_interval(_gain(accuracy, decay(epoch), decay(ends)), level=level, limits=(0, 1)) for decay in _DECAYS]
    value = float(np.mean([model.value for model in models]))
    if n < 2:
        return Estimate(value, level=level, n=n, kind="prediction")
    low, high = min(model.low or 0.0 for model in models), max(model.high or 0.0 for model in models)
    return Estimate(value, low, high, level, n, "prediction")


def _gain(
    accuracy: NDArray[np.float64], left: NDArray[np.float64], left_at_ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gain of a - b·left between two epochs for each network, with the shape and the b >= 0 that fit it best."""
    shapes = left - left.mean(axis=1, keepdims=True)
    squares = np.square(shapes).sum(axis=1)
    products = np.minimum((accuracy - accuracy.mean(axis=1, keepdims=True)) @ shapes.T, 0)
    # What a fit leaves is the total less product²/square: the best shape explains most.
    best = np.argmax(products**2 / squares, axis=1)
    b = -products[np.arange(len(best)), best] / squares[best]
    return b * (left_at_ends[best, 0] - left_at_ends[best, 1])
