"""Verdicts: which cell is better, and what would decide what is open. Bits and frames in, frames out.

Two cells are compared over their common seeds and digits. A knob's family holds every two cells of a study that differ
in that knob alone; within it the chance of one false "better" or "worse" is held at the level by Holm's procedure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit
from scipy.stats import binom, chi2

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import CrossedVariance, Replicates, paired_differences
from mnistlab.analysis.results import other_settings, replicates_by_cell

MARGIN = 0.002
"""Two tenths of a point: what counts as equivalent unless somebody says otherwise (rule M9 of docs/measurement.md)."""
ALPHA = 0.05
MOST_SEEDS = 1_000  # nobody trains more to decide one question

# What holds a comparison in place: cells that differ here were tested on other digits or by other rules (rule M1).
_NEVER_PAIRED = ("dataset", "protocol")
_OF_SHAPE = ("width", "depth", "layers")
_NODES, _OUTSIDE = 128, 1e-14  # of a sum that stands for an integral, and what it leaves out at either end


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Verdicts:
    """The verdicts of a study.

    Attributes
    ----------
    cells : DataFrame
        One row per cell in study order, with every setting.
    replicates : mapping of int to Replicates
        By row number of `cells`, of those that have finished networks.
    rows : DataFrame
        See `verdict_table`; a and b are row numbers of `cells`.
    looks : tuple of int
        Numbers of seeds at which verdicts were asked for (see `replication`); empty: every cell has every seed.
    """

    cells: pd.DataFrame
    replicates: Mapping[int, Replicates]
    rows: pd.DataFrame
    looks: tuple[int, ...] = ()

    def __repr__(self) -> str:
        from mnistlab.formatting import REPR_WIDTH
        from mnistlab.wording import verdicts_text

        return verdicts_text(self, REPR_WIDTH)

    def _repr_html_(self) -> str:
        """What a notebook shows: a sentence of one verdict, a table of several."""
        from mnistlab.wording import verdicts_html

        return verdicts_html(self)


def study_verdicts(cells: pd.DataFrame, runs: pd.DataFrame, margin: float = MARGIN) -> Verdicts:
    """Verdicts on every two cells that differ in one knob alone, with the seeds there are.

    Parameters
    ----------
    cells, runs : DataFrame
        See `results.results_table`.
    margin : float, default=0.002
    """
    replicates = replicates_of(cells, runs)
    return Verdicts(cells, replicates, verdict_table(knob_pairs(cells), replicates, margin=margin))


def pair_verdict(cells: pd.DataFrame, runs: pd.DataFrame, margin: float = MARGIN) -> Verdicts:
    """The verdict on the first cell against the second, whatever they differ in; no row where they cannot be paired."""
    replicates = replicates_of(cells, runs)
    pair = pd.DataFrame({"knob": [""], "a": [0], "b": [1]})
    return Verdicts(cells, replicates, verdict_table(pair, replicates, margin=margin))


def mcnemar_midp(n_first: ArrayLike, n_second: ArrayLike) -> NDArray[np.float64]:
    """Two trained networks on the same digits: mid-p value of McNemar's test.

    Parameters
    ----------
    n_first, n_second : int or int array
        Digits that only the first, only the second network classified right.

    Returns
    -------
    float64 array
        Two-sided; 1 where the networks disagree nowhere.

    References
    ----------
    M. W. Fagerland, S. Lydersen, P. Laake (2013), BMC Medical Research Methodology 13:91. Rule M8.
    """
    first, second = np.asarray(n_first), np.asarray(n_second)
    fewer, n = np.minimum(first, second), first + second
    tail, middle = binom.cdf(fewer, n, 0.5), binom.pmf(fewer, n, 0.5)
    # With as many on either side both tails hold the same outcome.
    p: NDArray[np.float64] = np.where(first == second, 1 - middle / 2, 2 * tail - middle)
    return np.where(n == 0, 1.0, p)


def generalised_p(difference: NDArray[np.float64], spread: CrossedVariance) -> NDArray[np.float64]:
    """P values of differences that hold far out in the tail, where Student's t with few seeds promises too much.

    Parameters
    ----------
    difference : float64 array (n_pairs,)
    spread : CrossedVariance
        Of the same shape.

    Returns
    -------
    float64 array (n_pairs,)
        The normal p value, averaged over what the variance of the seeds may be, given what they show of it: it is known
        up to a chi-squared variable of n_seeds - 1 degrees of freedom, that of the digits as it is. 1 where nothing
        varies or there is one seed.

    References
    ----------
    K.-W. Tsui, S. Weerahandi (1989), J. Amer. Stat. Assoc. 84, 602-607. Rule M11.
    """
    df = np.maximum(spread.n_seeds - 1, 1)[:, None]
    logs = np.linspace(np.log(chi2.ppf(_OUTSIDE, df)), np.log(chi2.isf(_OUTSIDE, df)), _NODES, axis=1)[..., 0]
    weights = chi2.pdf(np.exp(logs), df) * np.exp(logs)
    by_seed = spread.by_seed[:, None] * df / np.exp(logs)
    by_digit = spread.by_digit[:, None]
    variance = np.maximum(by_seed + np.maximum(by_digit - spread.by_both[:, None], 0), by_digit)
    ratio = np.divide(-np.abs(difference)[:, None], np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
    return np.average(2 * ndtr(ratio), axis=1, weights=weights)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P values of one family, adjusted so that the chance of any false rejection stays below the level.

    Parameters
    ----------
    p : float array (n_comparisons,)

    Returns
    -------
    float64 array (n_comparisons,)
        In the order given, at most 1.

    References
    ----------
    S. Holm (1979), Scand. J. Statist. 6, 65-70. Rule M11.
    """
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * holm_factors(raw)[order]), 1)
    return adjusted


def knob_pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """Every two cells that differ in one knob alone.

    Parameters
    ----------
    cells : DataFrame
        One row per cell in study order, with a column for every setting.

    Returns
    -------
    DataFrame
        One row per pair: knob, a, b (row numbers; a is the later one in study order). The knobs of the shape are
        `width` and `depth`, where all layers of both networks are equal, and else `layers`; `activation`; and every
        other setting by its name. Data set and protocol are no knobs: what differs there was tested on other digits.
    """
    settings = [all_settings(row) for row in cells.to_dict("records")]
    found = []
    for knob in settings[0] if settings else ():
        if knob in _NEVER_PAIRED:
            continue
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, own in enumerate(settings):
            alike.setdefault(tuple(value for name, value in own.items() if name != knob), []).append(number)
        for numbers in alike.values():
            for b, a in combinations(numbers, 2):
                name = _knob_of_shape(*(settings[n]["layers"] for n in (a, b))) if knob == "layers" else knob
                found.append((name, a, b))
    pairs = pd.DataFrame(found, columns=["knob", "a", "b"])
    order = [*_OF_SHAPE, *dict.fromkeys(pairs["knob"])]
    return pairs[pairs["knob"] != ""].sort_values(
        "knob", key=lambda knobs: knobs.map(order.index), kind="stable", ignore_index=True
    )


def verdict_table(
    pairs: pd.DataFrame, replicates: Mapping[int, Replicates], *, margin: float = MARGIN, alpha: float = ALPHA
) -> pd.DataFrame:
    """Better, worse, equivalent or undecided, for every pair; each knob is one family.

    Parameters
    ----------
    pairs : DataFrame
        knob, a, b: see `knob_pairs`.
    replicates : mapping of int to Replicates
        The finished networks of each cell, by its number; cells without any are left out.
    margin : float, default=0.002
        A fraction above 0: two cells are equivalent if they surely differ by less.
    alpha : float, default=0.05
        Chance of an error: of any false "better" or "worse" in a family, of each false "equivalent".

    Returns
    -------
    DataFrame
        The pairs that have a common seed on the same digits: knob, a, b, difference (Estimate of a less b: crossed; of
        a single pair of networks kind "mcnemar", which knows no seeds and decides nothing), p, p_holm, verdict (of a
        against b), margin,
        seeds (common ones), seeds_to_decide (further ones that would probably decide it: 0 where it is decided, NaN
        where it is not known or more than a thousand).

    Raises
    ------
    ValueError
        A margin or alpha out of range.

    Notes
    -----
    "Better" and "worse" want a p value below alpha after Holm's adjustment; "equivalent" wants both one-sided tests
    against the margin (TOST), which is the 1 - 2 alpha interval inside it. In a family of several pairs a p value has
    to hold far below alpha, where Student's t promises too much with few seeds: there the generalised p value counts.
    References: D. J. Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680; K.-W. Tsui, S. Weerahandi (1989), J.
    Amer. Stat. Assoc. 84, 602-607; rules M6, M8, M9 and M11 of docs/measurement.md.
    """
    return judge(pair_tests(pairs, replicates), margin, alpha)


@dataclass(frozen=True, slots=True, eq=False)
class PairTests:
    """Differences of pairs and their spread, all arrays (n_pairs,); `pairs` as in `knob_pairs`.

    `p` is that of each pair by itself; `p_in_family`, which is not smaller, that of one among the `family_size` pairs
    of its knob, those included of which nothing is known yet.
    """

    pairs: pd.DataFrame
    difference: NDArray[np.float64]
    spread: CrossedVariance
    p: NDArray[np.float64]
    p_in_family: NDArray[np.float64]
    family_size: NDArray[np.int64]

    def by_family(self, adjust: Callable[[ArrayLike], NDArray[np.float64]]) -> NDArray[np.float64]:
        """What becomes of the p values of each knob by themselves, (n_pairs,)."""
        found = np.empty_like(self.p)
        for places in self.pairs.groupby("knob").indices.values():
            # A pair of which nothing is known yet could be anything: once it is, no verdict has to be taken back.
            unknown = np.ones(self.family_size[places[0]] - len(places))
            found[places] = adjust(np.append(self.p_in_family[places], unknown))[: len(places)]
        return found

    def estimates(self, level: float) -> list[Estimate]:
        """The differences with their intervals."""
        half = half_width(self.spread, (1 - level) / 2)
        kinds = np.where(self.spread.n_seeds > 1, "crossed", "mcnemar")
        counts = np.where(self.spread.n_seeds > 1, self.spread.n_seeds, self.spread.n_digits)
        columns = (column.tolist() for column in (self.difference, half, counts, kinds))
        return [Estimate(d, max(d - h, -1.0), min(d + h, 1.0), level, n, kind)
                for d, h, n, kind in zip(*columns, strict=True)]  # fmt: skip


def replicates_of(cells: pd.DataFrame, runs: pd.DataFrame) -> dict[int, Replicates]:
    """The finished networks of each cell, by its row number; cells without any are left out."""
    found = replicates_by_cell(runs)
    return {number: found[cell] for number, cell in enumerate(cells["cell"]) if cell in found}


def _check(margin: float, alpha: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"margin must be a fraction above 0; got {margin}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be a fraction below one half; got {alpha}")


def judge(tests: PairTests, margin: float, alpha: float, alpha_equivalence: float | None = None) -> pd.DataFrame:
    """The words for these differences: see `verdict_table`. `alpha_equivalence` is `alpha` unless said otherwise."""
    _check(margin, alpha)
    alpha_equivalence = alpha if alpha_equivalence is None else alpha_equivalence
    p_holm = tests.by_family(holm)
    of_cells = tests.spread.n_seeds > 1  # one network of each says nothing of its cell (rule M8)
    different = of_cells & (p_holm < alpha)
    equivalent = of_cells & (np.abs(tests.difference) + half_width(tests.spread, alpha_equivalence) < margin)
    verdicts = np.select([different & (tests.difference > 0), different, equivalent],
                         ["better", "worse", "equivalent"], "undecided")  # fmt: skip
    open_ = np.flatnonzero(verdicts == "undecided")
    further = np.zeros(len(verdicts))
    further[open_] = _further_seeds(tests, open_, margin, alpha, alpha_equivalence)
    difference = pd.Series(tests.estimates(1 - alpha), index=tests.pairs.index, dtype=object)
    return tests.pairs.assign(
        difference=difference, p=tests.p, p_holm=p_holm, verdict=verdicts, margin=margin, seeds=tests.spread.n_seeds,
        seeds_to_decide=further,
    )  # fmt: skip


def pair_tests(pairs: pd.DataFrame, replicates: Mapping[int, Replicates]) -> PairTests:
    """Differences of those pairs that have a common seed on the same digits."""
    numbers = {number: place for place, number in enumerate(replicates)}
    planned = pairs["knob"].value_counts()
    pairs = pairs[pairs["a"].isin(numbers) & pairs["b"].isin(numbers)]
    places = tuple(pairs[side].map(numbers).to_numpy(dtype=int) for side in ("a", "b"))
    difference, spread = paired_differences(list(replicates.values()))
    known = ~np.isnan(difference[places])
    pairs, places = pairs[known], tuple(side[known] for side in places)
    spread = spread.at(places)
    p = _p_values(difference[places], spread)
    for index in np.flatnonzero(spread.n_seeds == 1):
        first, second = (replicates[int(pairs[side].iloc[index])] for side in ("a", "b"))
        [seed] = set(first.seeds) & set(second.seeds)
        bits = [own.correct[own.seeds.index(seed)] for own in (first, second)]
        counts = (bits[0] & ~bits[1]).sum(), (bits[1] & ~bits[0]).sum()
        p[index] = mcnemar_midp(*counts)
        spread.by_digit[index] = (bits[0].astype(float) - bits[1]).var(ddof=1) / len(bits[0])
    family_size = np.array([planned[knob] for knob in pairs["knob"]], dtype=np.int64)
    tests = PairTests(pairs, difference[places], spread, p, p.copy(), family_size)
    among_others = np.flatnonzero((family_size > 1) & (spread.n_seeds > 1))
    tests.p_in_family[among_others] = _p_among_others(tests.difference[among_others], spread.at(among_others))
    tests.p_in_family[(family_size > 1) & (spread.n_seeds == 1)] = 1.0  # of their cells nothing is known yet (rule M8)
    return tests


def _p_values(difference: NDArray[np.float64], spread: CrossedVariance) -> NDArray[np.float64]:
    """Of Student's t with Satterthwaite's degrees of freedom; 1 where two cells answered alike throughout."""
    error = np.sqrt(spread.variance)
    ratio = np.divide(np.abs(difference), error, out=np.zeros_like(error), where=error > 0)
    return np.where(error > 0, 2 * stdtr(spread.df, -ratio), 1.0)


def _p_among_others(difference: NDArray[np.float64], spread: CrossedVariance) -> NDArray[np.float64]:
    return np.maximum(_p_values(difference, spread), generalised_p(difference, spread))


def half_width(spread: CrossedVariance, tail: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the interval that leaves so much on either side; of single networks that of the digits alone."""
    variance, df = spread.variance, spread.df
    single = spread.n_seeds == 1
    variance, df = np.where(single, spread.by_digit, variance), np.where(single, spread.n_digits - 1, df)
    return np.where(variance > 0, stdtrit(df, 1 - tail) * np.sqrt(variance), 0.0)


def _further_seeds(
    tests: PairTests, chosen: NDArray[np.int64], margin: float, alpha: float, alpha_equivalence: float
) -> NDArray[np.float64]:
    """Seeds beyond those there are with which the difference, if it stays, is decided; NaN: unknown, or too many."""
    difference, now = tests.difference[chosen], tests.spread.at(chosen)
    factors, among_others = tests.by_family(holm_factors)[chosen], tests.family_size[chosen] > 1

    def different(then: CrossedVariance) -> NDArray[np.bool_]:
        p = np.where(among_others, _p_among_others(difference, then), _p_values(difference, then))
        return p * factors < alpha

    def equivalent(then: CrossedVariance) -> NDArray[np.bool_]:
        return np.abs(difference) + half_width(then, alpha_equivalence) < margin

    until_different = _seeds_until(different, now)
    # Holm's procedure stops at the first pair that is not told apart: those behind it in their family wait for it.
    order = pd.DataFrame({"knob": tests.pairs["knob"].to_numpy()[chosen], "p": tests.p_in_family[chosen],
                          "until": until_different}).sort_values("p", kind="stable")  # fmt: skip
    until_different = order.groupby("knob")["until"].cummax().sort_index().to_numpy()
    further = np.minimum(until_different, _seeds_until(equivalent, now)) - now.n_seeds
    return np.where(np.isfinite(further) & (now.n_seeds > 1), further, np.nan)


def _seeds_until(decided: Callable[[CrossedVariance], NDArray[np.bool_]], now: CrossedVariance) -> NDArray[np.float64]:
    """The least number of seeds above the present one with which that holds; infinite where it is not reached."""
    low, high = np.maximum(now.n_seeds, 1), now.n_seeds + MOST_SEEDS
    reached = decided(now.with_seeds(high))
    while (high - low > 1).any():  # what so many seeds decide more of them do, too
        middle = (low + high) // 2
        enough = decided(now.with_seeds(middle))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reached, high, np.inf)


def holm_factors(p: ArrayLike) -> NDArray[np.float64]:
    """What Holm's procedure multiplies each p value of a family by: the number of those not smaller."""
    raw = np.asarray(p, dtype=float)
    factors = np.empty_like(raw)
    factors[np.argsort(raw, kind="stable")] = np.arange(len(raw), 0, -1)
    return factors


def all_settings(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Every knob of a cell, hashable, missing values made alike; the activation of all layers by its name alone.

    As in `other_settings`, a knob that was tuned for every cell by itself stands at its default.
    """
    activations = tuple(row["activations"])
    shape = {"layers": tuple(row["hidden_layer_sizes"]),
             "activation": activations[0] if len(set(activations)) == 1 else activations}  # fmt: skip
    return {**shape, "framework": row["framework"], **other_settings(row)}


def _knob_of_shape(layers: tuple[int, ...], other: tuple[int, ...]) -> str:
    """width, depth or layers; empty where width and depth differ both."""
    if len(set(layers)) > 1 or len(set(other)) > 1:
        return "layers"
    return "depth" if layers[0] == other[0] else "width" if len(layers) == len(other) else ""
