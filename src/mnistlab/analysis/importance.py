"""Which knobs the accuracy of a search's trials depended on. A frame of trials in, shares with intervals out.

A search is no grid: every trial has settings of its own and one network, so that what a knob does must be learned from
all trials together, interactions included.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.trials import Search, knob_levels, outcomes

LEVEL = 0.95
FEWEST = 30
"""Trials below which intervals hold too seldom what they promise: 75 to 88 % of simulated searches at 25."""
MOST = 300  # trials: a second on one core
_GROUPS = 10  # of the jackknife
_NEAR = 0.5  # of a ladder's length: numbers nearer than this act alike
# Of each knob's weight, the whole variance, the noise: what their logarithms are before anything is seen.
_EXPECTED, _DOUBT = np.log([0.3, 0.5, 0.2]), np.array([2.0, 2.0, 1.5])
_BOUNDS = np.log([1e-3, 5.0]), np.log([1e-3, 20.0]), np.log([1e-3, 4.0])
_STEPS, _MORE_STEPS = 60, 8  # of the fit, and from there of each fit without a group

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Importances:
    """What the accuracy of a search's trials depended on.

    Attributes
    ----------
    shares : DataFrame
        Largest first: knob, share: Estimate, a fraction of the variance of the logarithm of the validation error,
        interactions with other knobs included, of kind "jackknife"; n counts trials. Without rows below `FEWEST`
        trials, or where these do not differ.
    trials : int
        As many it rests on.
    of_trials : int
        As many could have been used: those that were trained to the end and have learned.
    constant : tuple of str
        Knobs of which these have one value, so that nothing is known of them.
    """

    shares: pd.DataFrame
    trials: int
    of_trials: int
    constant: tuple[str, ...] = ()


def importances(search: Search, *, level: float = LEVEL) -> Importances:
    """How much of the variance of the trials' errors each knob makes, by itself and with others.

    Parameters
    ----------
    search : Search
    level : float, default=0.95
        Confidence level, a fraction in (0, 1).

    Returns
    -------
    Importances

    Notes
    -----
    The logarithm of the validation error is modelled by a Gaussian process whose kernel is a product over the knobs of
    one plus a weight times the likeness of two values (numbers by their distance on the ladder of the values tried,
    other values alike or not): every interaction is in it, and a knob without weight is in nothing. The weights and
    the noise are those of highest posterior density. The share of a knob is half of what the squared error of a trial,
    predicted from all other trials, grows by when its value is replaced by another trial's, averaged over all of these,
    over the variance. For knobs chosen apart from each other that is the total Sobol index. A jackknife over ten groups
    of trials, the process fitted anew without each, gives the interval.

    References
    ----------
    L. Breiman (2001), Machine Learning 45, 5-32, for permutation; C. E. Rasmussen and C. K. I. Williams (2006),
    Gaussian Processes for Machine Learning, chapter 5, for fit and leave-one-out predictions; N. Durrande et al.
    (2013), J. Multivar. Anal. 115, 57-67, for the kernel; I. M. Sobol (2001), Math. Comput. Simul. 55, 271-280; J. Shao
    and C. F. J. Wu (1989), Ann. Statist. 17, 1176-1197, for the jackknife by groups. Rule M16 of docs/measurement.md.
    """
    every = search.trials[outcomes(search.trials) == "trained"]
    places = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST)).round().astype(int))
    used = every.iloc[places]
    coded = {knob: knob_levels(used[knob]) for knob in search.choices}
    constant = tuple(knob for knob, (values, *_) in coded.items() if len(values) < 2)
    likeness = [_likeness(codes, ordered) for values, codes, ordered in coded.values() if len(values) > 1]
    columns = ["knob", "share"]
    if len(used) < FEWEST or not likeness:
        return Importances(pd.DataFrame(columns=columns), len(used), len(every), constant)
    # No error in so many digits is not none at all.
    floor = 0.5 / used["validation_n"].to_numpy(dtype=float)
    error = np.log(np.maximum(1 - used["validation_accuracy"].to_numpy(dtype=float), floor))
    if np.ptp(error) < 1e-9:
        return Importances(pd.DataFrame(columns=columns), len(used), len(every), constant)
    with threadpool_limits(1, "blas"):  # matrices this small take ten times as long where threads share them
        values, half = _with_half_width(np.array(likeness), error, level)
    rows = [
        (knob, Estimate(max(value, 0.0), min(max(value - width, 0.0), 1.0), min(max(value + width, value, 0.0), 1.0),
                        level, len(used), "jackknife"))
        for knob, value, width in zip([k for k in coded if k not in constant], values.tolist(), half.tolist(),
                                      strict=True)
    ]  # fmt: skip
    rows.sort(key=lambda row: -(row[1].value or 0.0))
    return Importances(pd.DataFrame(rows, columns=columns), len(used), len(every), constant)


def _likeness(codes: NDArray[np.intp], ordered: bool) -> Floats:
    """Of every two trials, how alike they are in one knob: (n_trials, n_trials), 1 for the same value."""
    apart = codes[:, None] - codes[None, :]
    if not ordered:
        return (apart == 0).astype(float)
    return np.exp(-0.5 * np.square(apart / (codes.max() * _NEAR)))


def _with_half_width(likeness: Floats, error: Floats, level: float) -> tuple[Floats, Floats]:
    """Shares of all trials, and half the width of their intervals: (n_knobs,) each."""
    start = np.concatenate([np.full(len(likeness), _EXPECTED[0]), _EXPECTED[1:]])
    shares, found = _shares(likeness, error, start, _STEPS)
    group = np.arange(len(error)) % _GROUPS
    without = np.array([
        _shares(likeness[:, kept][:, :, kept], error[kept], found, _MORE_STEPS)[0]
        for kept in (np.flatnonzero(group != left_out) for left_out in range(_GROUPS))
    ])  # fmt: skip
    deviation = np.sqrt((_GROUPS - 1) * without.var(axis=0))
    return shares, float(stdtrit(_GROUPS - 1, (1 + level) / 2)) * deviation


def _shares(likeness: Floats, error: Floats, start: Floats, steps: int) -> tuple[Floats, Floats]:
    """The share of each knob, not corrected to be at least 0, and where the fit ended."""
    target = (error - error.mean()) / error.std(ddof=1)
    bounds = [_BOUNDS[0]] * len(likeness) + [*_BOUNDS[1:]]
    found = minimize(_misfit, start, (likeness, target), method="L-BFGS-B", jac=True, bounds=bounds,
                     options={"maxiter": steps}).x  # fmt: skip
    weights, variance, noise = np.exp(found[:-2]), np.exp(found[-2]), np.exp(found[-1])
    factors = 1 + weights[:, None, None] * likeness
    kernel = variance * factors.prod(axis=0)
    inverse = _inverse(kernel, noise)
    coefficients = inverse @ target
    # Row i: the coefficients without trial i, whose own is 0.
    others = coefficients - inverse * (coefficients / np.diag(inverse))[:, None]
    before = np.square(target - (kernel * others).sum(axis=1))
    n = len(target)
    shares = [
        (np.square(target[:, None] - (kernel / factor * others) @ factor).sum() / (n - 1) - before.sum() * n / (n - 1))
        / n / 2
        for factor in factors
    ]  # fmt: skip
    return np.array(shares), found


def _misfit(parameters: Floats, likeness: Floats, target: Floats) -> tuple[float, Floats]:
    """Minus the logarithm of the posterior density, but for a constant, and its gradient."""
    weights, variance, noise = np.exp(parameters[:-2]), np.exp(parameters[-2]), np.exp(parameters[-1])
    factors = 1 + weights[:, None, None] * likeness
    kernel = variance * factors.prod(axis=0)
    factor = _factor(kernel, noise)
    inverse = cho_solve(factor, np.eye(len(target)))
    coefficients = inverse @ target
    expected = np.concatenate([np.full(len(likeness), _EXPECTED[0]), _EXPECTED[1:]])
    doubt = np.concatenate([np.full(len(likeness), _DOUBT[0]), _DOUBT[1:]])
    off = (parameters - expected) / doubt
    value = 0.5 * target @ coefficients + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
    slope = (np.outer(coefficients, coefficients) - inverse) * kernel
    parts = [(slope * (1 - 1 / each)).sum() for each in factors]
    noisy = noise * (coefficients @ coefficients - np.trace(inverse))
    return float(value), -0.5 * np.array([*parts, slope.sum(), noisy]) + off / doubt


def _factor(kernel: Floats, noise: float) -> tuple[Floats, bool]:
    with_noise = kernel.copy()
    # Of trials all alike a kernel of many knobs is large, and rounding could make it singular.
    with_noise.flat[:: len(kernel) + 1] += noise + 1e-10 * kernel[0, 0]
    factor: tuple[Floats, bool] = cho_factor(with_noise, lower=True)
    return factor


def _inverse(kernel: Floats, noise: float) -> Floats:
    inverse: Floats = cho_solve(_factor(kernel, noise), np.eye(len(kernel)))
    return inverse
