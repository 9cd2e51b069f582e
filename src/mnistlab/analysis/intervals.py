"""Intervals for accuracies, means and differences. Numbers and bits in, `Estimate` out; no files, no figures.

A network's accuracy is uncertain twice: another seed would have given another network, other digits another count.
`crossed_interval` holds both, `wilson_interval` only the digits, `t_interval` only the seeds.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from scipy.stats import binomtest, quantile_test

from mnistlab.analysis.estimate import Estimate

POWER = 0.80
"""Share of studies that find a difference as large as their resolution (rule M22 of docs/measurement.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """The finished networks of one cell on the digits they were all tested on.

    Attributes
    ----------
    seeds : tuple of int
    digits : str
        Names the test digits: only replicates on the same digits can be paired.
    correct : bool array (n_seeds, n_digits)
        Which digits each network classified right.
    """

    seeds: tuple[int, ...]
    digits: str
    correct: NDArray[np.bool_]


def wilson_interval(n_correct: int, n_digits: int, *, level: float = 0.95) -> Estimate:
    """Accuracy of one trained network on new digits of the same source, with Wilson's score interval.

    Parameters
    ----------
    n_correct, n_digits : int
        Digits classified correctly, digits tested. 0 <= n_correct <= n_digits, n_digits >= 1.
    level : float, default=0.95
        Confidence level, a fraction in (0, 1). Out of range, like the counts: ValueError.

    Returns
    -------
    Estimate
        Fractions in [0, 1], n = n_digits, kind "wilson". It knows nothing of seeds: see `crossed_interval`.

    References
    ----------
    E. B. Wilson (1927), J. Amer. Stat. Assoc. 22, 209-212. Rule M5 of docs/measurement.md.
    """
    if n_digits < 1 or not 0 <= n_correct <= n_digits:
        raise ValueError(f"n_correct must lie in 0..n_digits and n_digits be at least 1; got {n_correct} of {n_digits}")
    _check_level(level)
    # SciPy's default, Clopper-Pearson, covers more than it says; M5 wants the nominal level.
    interval = binomtest(n_correct, n_digits).proportion_ci(level, method="wilson")
    return Estimate(n_correct / n_digits, float(interval.low), float(interval.high), level, n_digits, "wilson")


def t_interval(
    values: ArrayLike, *, level: float = 0.95, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate:
    """Mean over networks with Student's t interval: for new seeds on the same digits and the same machine.

    Parameters
    ----------
    values : float array (n_networks,)
        One number per network; NaN where nothing was measured, and then not counted.
    level : float, default=0.95
    limits : (float, float), default=(-inf, inf)
        What the quantity cannot leave; the ends of the interval are clipped to it.

    Returns
    -------
    Estimate
        Kind "t". `value` is None without any number, `low` and `high` with fewer than two.

    References
    ----------
    Student (1908), Biometrika 6, 1-25. Rule M7 of docs/measurement.md.
    """
    _check_level(level)
    measured = np.asarray(values, dtype=float)
    measured = measured[~np.isnan(measured)]
    n = len(measured)
    if n < 2:
        return Estimate(float(measured[0]) if n else None, level=level, n=n, kind="t")
    error = measured.std(ddof=1) / math.sqrt(n)
    return _symmetric(float(measured.mean()), float(error), n - 1, limits, level=level, n=n, kind="t")


def median_interval(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Median of repeated measurements, with the interval between two of them that holds it whatever their distribution.

    Parameters
    ----------
    values : float array (n_repeats,)
    level : float, default=0.95
        What the interval holds at least.

    Returns
    -------
    Estimate
        Kind "median". `value` is None without any number, `low` and `high` with too few (below six at 0.95).

    References
    ----------
    W. R. Thompson (1936), Ann. Math. Stat. 7, 122-128.
    """
    _check_level(level)
    measured = np.asarray(values, dtype=float)
    if not len(measured):
        return Estimate(None, level=level, kind="median")
    ends = quantile_test(measured, q=0.0, p=0.5).confidence_interval(level)
    low, high = (None if math.isnan(end) else float(end) for end in ends)
    return Estimate(float(np.median(measured)), low, high, level, len(measured), "median")


def crossed_interval(correct: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean accuracy of a cell for new seeds on new digits: seeds and digits are crossed random factors.

    Parameters
    ----------
    correct : bool or float array (n_seeds, n_digits)
        Which digits each network classified right; all networks on the same digits. Or a weighted mean of that over
        the networks that several cells have with a seed.
    level : float, default=0.95

    Returns
    -------
    Estimate
        Fractions in [0, 1], n = n_seeds, kind "crossed". With one seed, or when the bits do not vary at all (every
        network right on every digit), Wilson's interval over the digits.

    References
    ----------
    Variance of the mean of a two-way crossed design without repetition; F. E. Satterthwaite (1946), Biometrics
    Bulletin 2, 110-114, for the degrees of freedom. Rule M6 of docs/measurement.md.
    """
    _check_level(level)
    bits = np.asarray(correct)
    if bits.ndim != 2 or bits.size == 0:
        raise ValueError(f"correct must be (n_seeds, n_digits), at least 1 by 1; got shape {bits.shape}")
    n_seeds, n_digits = bits.shape
    mean = float(bits.mean())
    if min(bits.shape) > 1:
        seed_means, digit_means = bits.mean(axis=1), bits.mean(axis=0)
        seed_squares = np.square(seed_means - mean).sum()
        digit_squares = np.square(digit_means - mean).sum()
        # The square of a bit is the bit: their total needs no second pass.
        total = bits.size * mean * (1 - mean) if bits.dtype.kind != "f" else np.square(bits - mean).sum()
        variance, df = _crossed_variance(seed_squares, digit_squares, total, n_seeds, n_digits)
        if variance > 0:
            error = math.sqrt(variance)
            return _symmetric(mean, error, float(df), (0.0, 1.0), level=level, n=n_seeds, kind="crossed")
    return wilson_interval(round(mean * n_digits), n_digits, level=level)


def paired_standard_errors(cells: Sequence[Replicates]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard errors of the difference of every two cells, paired by seed and digit (M6 on the differences).

    Parameters
    ----------
    cells : sequence of Replicates

    Returns
    -------
    standard_error, df : float64 arrays (n_cells, n_cells)
        Symmetric, in fractions. NaN on the diagonal and where two cells share fewer than two seeds or were tested on
        different digits; df is NaN, too, where two cells answered alike throughout.

    Notes
    -----
    The variance of a difference needs only inner products of the cells' bits, so that all pairs with the same common
    seeds come out of a few matrix products instead of one pass over the digits per pair. References: rules M6 and M22
    of docs/measurement.md.
    """
    errors, dfs = (np.full((len(cells), len(cells)), np.nan) for _ in range(2))
    groups: dict[tuple[str, frozenset[int]], list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault((cell.digits, frozenset(cell.seeds)), []).append(position)
    for (key, rows), (other, columns) in itertools.combinations_with_replacement(groups.items(), 2):
        common = sorted(key[1] & other[1])
        if key[0] != other[0] or len(common) < 2:
            continue
        left = _stack(cells, rows, common)
        right = left if rows is columns else _stack(cells, columns, common)
        variance, df = _paired_variances(left, right)
        for matrix, values in ((errors, np.sqrt(variance)), (dfs, df)):
            matrix[np.ix_(rows, columns)] = values
            matrix[np.ix_(columns, rows)] = values.T
    np.fill_diagonal(errors, np.nan)
    np.fill_diagonal(dfs, np.nan)
    return errors, dfs


def resolution(cells: Sequence[Replicates], *, level: float = 0.95) -> float | None:
    """The smallest paired difference a study finds with 80 % power: what its seeds and digits can see.

    Parameters
    ----------
    cells : sequence of Replicates
    level : float, default=0.95
        Of the two-sided test.

    Returns
    -------
    float | None
        A fraction; None when no two cells share at least two seeds on the same digits, or none of them differ.

    References
    ----------
    Rule M22 of docs/measurement.md: (t.975 + t.80) times the median standard error over all pairs of cells.
    """
    _check_level(level)
    errors, dfs = paired_standard_errors(cells)
    pairs = np.triu_indices(len(cells), k=1)
    errors, dfs = errors[pairs], dfs[pairs]
    if np.isnan(dfs).all():
        return None
    return float(stdtrit(np.nanmedian(dfs), [(1 + level) / 2, POWER]).sum() * np.nanmedian(errors))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be a fraction between 0 and 1; got {level}")


def _symmetric(
    mean: float, error: float, df: float, limits: tuple[float, float], *, level: float, n: int, kind: str
) -> Estimate:
    half = float(stdtrit(df, (1 + level) / 2)) * error
    low, high = (float(np.clip(end, *limits)) for end in (mean - half, mean + half))
    return Estimate(mean, low, high, level, n, kind)


def _crossed_variance(
    seed_squares: ArrayLike, digit_squares: ArrayLike, total_squares: ArrayLike, n_seeds: int, n_digits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M6 from sums of squares about the mean: of seed means, of digit means, of all entries; any shape of pairs."""
    seed_squares, digit_squares = np.asarray(seed_squares, dtype=float), np.asarray(digit_squares, dtype=float)
    residual_squares = np.maximum(total_squares - n_digits * seed_squares - n_seeds * digit_squares, 0)
    by_seed = seed_squares / (n_seeds - 1) / n_seeds
    by_digit = digit_squares / (n_digits - 1) / n_digits
    by_both = residual_squares / ((n_seeds - 1) * (n_digits - 1)) / (n_seeds * n_digits)
    # Both means carry the residual; it is taken off once, but never so that less is left than one source alone.
    variance = np.maximum(by_seed + by_digit - by_both, np.maximum(by_seed, by_digit))
    spread = by_seed**2 / (n_seeds - 1) + by_digit**2 / (n_digits - 1)
    return variance, np.divide(variance**2, spread, out=np.full_like(variance, np.nan), where=spread > 0)


def _stack(cells: Sequence[Replicates], positions: list[int], seeds: list[int]) -> NDArray[np.bool_]:
    return np.stack([cells[i].correct[[cells[i].seeds.index(seed) for seed in seeds]] for i in positions])


def _paired_variances(
    left: NDArray[np.bool_], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance and df of the difference of each left and each right cell: (cells, seeds, digits) each, same seeds."""
    _, n_seeds, n_digits = left.shape
    seeds = _squared_distances(*(_centred(side.mean(axis=2)) for side in (left, right)))
    digits = _squared_distances(*(_centred(side.mean(axis=1)) for side in (left, right)))
    # Counts below 2**24 are exact in float32; one seed at a time keeps the copies small.
    total = np.zeros((len(left), len(right)))
    for seed in range(n_seeds):
        total += _squared_distances(*(side[:, seed].astype(np.float32) for side in (left, right)))
    means = np.subtract.outer(left.mean(axis=(1, 2)), right.mean(axis=(1, 2)))
    # Two cells that answered alike differ by nothing, not by what rounding leaves.
    seeds, digits = seeds * (total > 0), digits * (total > 0)
    return _crossed_variance(seeds, digits, total - n_seeds * n_digits * means**2, n_seeds, n_digits)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - values.mean(axis=1, keepdims=True)
    return centred


def _squared_distances(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of each row on the left to each row on the right, from their Gram matrix."""
    norms = np.add.outer(np.square(left).sum(axis=1), np.square(right).sum(axis=1))
    distances: NDArray[np.float64] = np.maximum(norms.astype(float) - 2 * (left @ right.T), 0)
    return distances
