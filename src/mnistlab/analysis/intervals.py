"""Intervals for accuracies, means and differences. Numbers and bits in, `Estimate` out; no files, no figures.

A network's accuracy is uncertain twice: another seed would have given another network, other digits another count.
`crossed_interval` holds both, `wilson_interval` only the digits, `t_interval` only the seeds.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

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


@dataclass(frozen=True, slots=True, eq=False)
class CrossedVariance:
    """Variance of the mean over a table of seeds by digits, in its three parts (rule M6); arrays of any one shape.

    Attributes
    ----------
    n_seeds, n_digits : int array
    by_seed, by_digit, by_both : float64 array
        s²(seed means) / S, s²(digit means) / N, s²(residual) / (S N).
    """

    n_seeds: NDArray[np.int64]
    n_digits: NDArray[np.int64]
    by_seed: NDArray[np.float64]
    by_digit: NDArray[np.float64]
    by_both: NDArray[np.float64]

    @property
    def variance(self) -> NDArray[np.float64]:
        """Of the mean, for new seeds and new digits."""
        # Both means carry the residual; it is taken off once, but never so that less is left than one source alone.
        return np.maximum(self.by_seed + self.by_digit - self.by_both, np.maximum(self.by_seed, self.by_digit))

    @property
    def df(self) -> NDArray[np.float64]:
        """Satterthwaite's degrees of freedom; NaN where nothing varies."""
        spread = self.by_seed**2 / (self.n_seeds - 1) + self.by_digit**2 / (self.n_digits - 1)
        return np.divide(self.variance**2, spread, out=np.full_like(spread, np.nan), where=spread > 0)

    def at(self, places: Any) -> "CrossedVariance":
        """Some of them."""
        arrays = self.n_seeds, self.n_digits, self.by_seed, self.by_digit, self.by_both
        return CrossedVariance(*(array[places] for array in arrays))

    def with_seeds(self, n_seeds: NDArray[np.int64]) -> "CrossedVariance":
        """What it would be with so many seeds, if the new ones vary as these do; broadcasts."""
        ratio = self.n_seeds / n_seeds
        of_digits_alone = np.maximum(self.by_digit - self.by_both, 0)  # no seed removes it
        by_both = self.by_both * ratio
        return CrossedVariance(n_seeds, self.n_digits, self.by_seed * ratio, of_digits_alone + by_both, by_both)


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
    from scipy.stats import binomtest  # half a second to import; tables of several seeds need none of it

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
    from scipy.stats import quantile_test

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
        parts = _parts(seed_squares, digit_squares, np.asarray(total), n_seeds, n_digits)
        spread = CrossedVariance(np.asarray(n_seeds), np.asarray(n_digits), *parts)
        if spread.variance > 0:
            error, df = math.sqrt(spread.variance), float(spread.df)
            return _symmetric(mean, error, df, (0.0, 1.0), level=level, n=n_seeds, kind="crossed")
    return wilson_interval(round(mean * n_digits), n_digits, level=level)


def paired_differences(cells: Sequence[Replicates]) -> tuple[NDArray[np.float64], CrossedVariance]:
    """Every cell less every other, paired by seed and digit (M6 on the differences).

    Parameters
    ----------
    cells : sequence of Replicates

    Returns
    -------
    difference : float64 array (n_cells, n_cells)
        Mean of the row's cell less that of the column's over their common seeds, a fraction; NaN on the diagonal and
        where there is no common seed or the digits are others.
    spread : CrossedVariance
        Of the differences, of the same shape. `n_seeds` counts common seeds; the parts are NaN where there are fewer
        than two.

    Notes
    -----
    The variance of a difference needs only inner products of the cells' bits, so that all pairs with the same common
    seeds come out of a few matrix products instead of one pass over the digits per pair. References: rules M6, M9 and
    M22 of docs/measurement.md.
    """
    shape = len(cells), len(cells)
    difference, *parts = (np.full(shape, np.nan) for _ in range(4))
    n_seeds, n_digits = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    groups: dict[tuple[str, frozenset[int]], list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault((cell.digits, frozenset(cell.seeds)), []).append(position)
    for (key, rows), (other, columns) in itertools.combinations_with_replacement(groups.items(), 2):
        common = sorted(key[1] & other[1])
        if key[0] != other[0] or not common:
            continue
        left = [cells[row] for row in rows]
        right = left if rows is columns else [cells[column] for column in columns]
        means, found = _paired_squares(left, right, common)
        for matrix, values, sign in zip((difference, *parts), (means, *found), (-1, 1, 1, 1), strict=True):
            matrix[np.ix_(columns, rows)] = sign * values.T
            matrix[np.ix_(rows, columns)] = values
        for matrix, count in ((n_seeds, len(common)), (n_digits, left[0].correct.shape[1])):
            matrix[np.ix_(columns, rows)] = matrix[np.ix_(rows, columns)] = count
    for matrix in (difference, *parts):
        np.fill_diagonal(matrix, np.nan)
    return difference, CrossedVariance(n_seeds, n_digits, *parts)


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
    _, spread = paired_differences(cells)
    pairs = np.triu_indices(len(cells), k=1)
    errors, dfs = np.sqrt(spread.variance[pairs]), spread.df[pairs]
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
    low, high = (float(min(max(end, limits[0]), limits[1])) for end in (mean - half, mean + half))
    return Estimate(mean, low, high, level, n, kind)


Parts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _parts(
    seed_squares: NDArray[np.float64], digit_squares: NDArray[np.float64], total_squares: NDArray[np.float64],
    n_seeds: int, n_digits: int,
) -> Parts:  # fmt: skip
    """Of `CrossedVariance`, from sums of squares about the mean: of seed means, of digit means, of all entries."""
    residual_squares = np.maximum(total_squares - n_digits * seed_squares - n_seeds * digit_squares, 0)
    return (
        seed_squares / (n_seeds - 1) / n_seeds,
        digit_squares / (n_digits - 1) / n_digits,
        residual_squares / ((n_seeds - 1) * (n_digits - 1)) / (n_seeds * n_digits),
    )


def _paired_squares(
    left: list[Replicates], right: list[Replicates], seeds: list[int]
) -> tuple[NDArray[np.float64], Parts]:
    """Mean difference of each left and each right cell over these seeds, and its variance in parts."""
    n_seeds, n_digits = len(seeds), left[0].correct.shape[1]
    sides = [left] if right is left else [left, right]
    by_seed = [np.zeros((len(side), n_seeds)) for side in sides]
    counts = [np.zeros((len(side), n_digits), np.float32) for side in sides]  # below 2**24 they are exact in float32
    bits = [np.empty_like(count) for count in counts]
    total = np.zeros((len(left), len(right)))
    for place, seed in enumerate(seeds):  # all in the same memory: new pages would cost more than the products
        for side, own, count, means in zip(sides, bits, counts, by_seed, strict=True):
            np.stack([cell.correct[cell.seeds.index(seed)] for cell in side], out=own)
            count += own
            means[:, place] = own.mean(axis=1, dtype=float)
        total += _squared_distances(bits[0], bits[-1])
    difference = np.subtract.outer(by_seed[0].mean(axis=1), by_seed[-1].mean(axis=1))
    if n_seeds < 2:
        return difference, (np.full_like(difference, np.nan),) * 3
    by_digit = [np.divide(count, n_seeds, dtype=float) for count in counts]
    for centred in (*by_seed, *by_digit):
        centred -= centred.mean(axis=1, keepdims=True)
    # Two cells that answered alike differ by nothing, not by what rounding leaves.
    seeds_apart, digits_apart = (_squared_distances(side[0], side[-1]) * (total > 0) for side in (by_seed, by_digit))
    return difference, _parts(seeds_apart, digits_apart, total - n_seeds * n_digits * difference**2, n_seeds, n_digits)


def _squared_distances(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of each row on the left to each row on the right, from their Gram matrix."""
    norms = np.add.outer(np.vecdot(left, left), np.vecdot(right, right))
    distances: NDArray[np.float64] = np.maximum(norms.astype(float) - 2 * (left @ right.T), 0)
    return distances
