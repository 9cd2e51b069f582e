"""Probabilities and labels in, numbers out: accuracy, losses, per-class scores, calibration (rule M21). No files."""

import numpy as np
from numpy.typing import NDArray

from mnistlab.records import Evaluation, PartLabels

N_BINS = 15
_CLIP = 1e-7  # Keras' epsilon: no probability counts for less, so one confident error cannot rule the mean
_FLOOR_DRAWS = 200
_FLOOR_SEED = 21


def accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.uint8]) -> float:
    """Share of rows whose most probable class is the label; `probabilities` is `(n, n_classes)`, `labels` `(n,)`."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def mean_log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.uint8]) -> float:
    """Mean of −ln p(label), p clipped at 1e-7 as Keras does: the validation loss of every epoch.

    Parameters
    ----------
    probabilities : float array (n, n_classes)
    labels : uint8 array (n,)
    """
    true = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1, dtype=np.float64)
    return float(-np.log(np.clip(true, _CLIP, 1 - _CLIP)).mean())


def evaluate(probabilities: NDArray[np.floating], digits: PartLabels) -> Evaluation:
    """Everything a run reports about one part.

    Log-loss, Brier score and macro averages are scikit-learn's, on float64 rows that sum to one; a class never
    predicted has precision 0.

    Parameters
    ----------
    probabilities : float array (n, n_classes)
        Row i belongs to digit i.
    digits : PartLabels

    Raises
    ------
    ValueError
        The shape does not fit the digits, or a value is negative or not finite.
    """
    from sklearn.metrics import brier_score_loss, log_loss, precision_recall_fscore_support

    rows, labels, classes = _normalised(probabilities, digits), digits.labels, np.arange(digits.n_classes)
    predicted = probabilities.argmax(axis=1).astype(np.uint8)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    top = rows.max(axis=1)
    bins = _equal_mass_bins(top)
    count, confidence, share_right = _reliability(bins, top, predicted == labels)
    return Evaluation(
        digits, predicted,
        log_loss=float(log_loss(labels, rows, labels=classes)),
        brier=float(brier_score_loss(labels, rows, labels=classes, scale_by_half=False)),
        macro_precision=float(precision), macro_recall=float(recall), macro_f1=float(f1),
        ece=float(np.nansum(count * np.abs(share_right - confidence)) / len(top)),
        ece_floor=_ece_floor(bins, top),
        bin_count=count, bin_confidence=confidence, bin_accuracy=share_right,
    )  # fmt: skip


def _normalised(probabilities: NDArray[np.floating], digits: PartLabels) -> NDArray[np.float64]:
    if probabilities.shape != (expected := (len(digits.labels), digits.n_classes)):
        raise ValueError(f"probabilities must have shape {expected}; got {probabilities.shape}")
    sums = probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    if not np.isfinite(sums).all() or probabilities.min() < 0 or sums.min() <= 0:
        raise ValueError("probabilities must be finite, not negative, and not all zero in a row")
    return probabilities / sums


def _equal_mass_bins(top: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each digit, edges at the quantiles as in scikit-learn's `calibration_curve(strategy="quantile")`."""
    edges = np.percentile(top, np.linspace(0, 1, N_BINS + 1) * 100)
    return np.searchsorted(edges[1:-1], top)


def _reliability(
    bins: NDArray[np.intp], top: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count, mean top probability and share of right answers of each bin; NaN where it is empty."""
    count, confidence, rights = (np.bincount(bins, weights, N_BINS) for weights in (None, top, right))
    filled = np.where(count, count, np.nan)
    return count, confidence / filled, rights / filled


def _ece_floor(bins: NDArray[np.intp], top: NDArray[np.float64]) -> float:
    """Mean calibration error of simulated networks that are right exactly as often as their top probability says."""
    draws = np.random.default_rng(_FLOOR_SEED).random((_FLOOR_DRAWS, len(top)), dtype=np.float32)
    members = np.eye(N_BINS, dtype=np.float32)[bins]
    rights = (draws < top).astype(np.float32) @ members
    return float(np.abs(rights - np.bincount(bins, top, N_BINS)).sum(axis=1).mean() / len(top))
