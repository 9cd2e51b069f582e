"""Seeds where verdicts are open: looks at 5, 10, 20 … seeds with the error split over them. Frames in, verdicts out.

After each look only cells with an open verdict get more seeds. What a look decided stays decided, and what no seed
would probably decide is given up as undecided.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from mnistlab.analysis.intervals import Replicates
from mnistlab.analysis.verdicts import (
    ALPHA,
    MARGIN,
    PairTests,
    Verdicts,
    half_width,
    holm_factors,
    judge,
    knob_pairs,
    pair_tests,
    replicates_of,
)
from mnistlab.study import FIRST_LOOK

MAX_SEEDS = 40
# Each look may spend so much of what the one behind it may: large differences show early anyway, equality does not.
_SPENDING, _SPENDING_EQUIVALENCE = 0.4, 0.6
# A pair is given up when its chance to be decided at the last look is below this times the share of all seeds that the
# next look would cost.
_PRICE = 0.7


@dataclass(frozen=True, slots=True)
class Look:
    """A moment at which verdicts are asked for: with how many seeds, and at which levels.

    `alpha` is that of a difference, `alpha_equivalence` that of each one-sided test against the margin.
    """

    n_seeds: int
    alpha: float
    alpha_equivalence: float


def looks_up_to(max_seeds: int, *, alpha: float = ALPHA) -> tuple[Look, ...]:
    """Looks at 5, 10, 20 … seeds and at the most, which together make an error with probability `alpha`.

    Raises
    ------
    ValueError
        `max_seeds` below 5.

    Notes
    -----
    The levels of differences sum to `alpha` (Bonferroni): Holm's procedure divides them, and far out in the tails looks
    hardly depend on each other. Each pair's equivalence is asked for by itself, so that its levels may sum to more:
    what two looks in succession say alike counts once. That is exact for normal means; with Student's t of few seeds it
    holds to within a few tenths of a point.

    References
    ----------
    K. K. G. Lan, D. L. DeMets (1983), Biometrika 70, 659-663: the error promised is spent look by look. K. J. Worsley
    (1982), Biometrika 69, 297-302: the bound for the union of looks.
    """
    if max_seeds < FIRST_LOOK:
        raise ValueError(f"max_seeds must be {FIRST_LOOK} or more; got {max_seeds}")
    counts = [FIRST_LOOK]
    while counts[-1] < max_seeds:
        counts.append(min(2 * counts[-1], max_seeds))
    behind = np.arange(len(counts))[::-1]
    of_difference, of_equivalence = _SPENDING**behind, _SPENDING_EQUIVALENCE**behind
    of_difference *= alpha / of_difference.sum()
    of_equivalence *= brentq(lambda size: _union(size * of_equivalence, counts) - alpha, 0, alpha)
    return tuple(map(Look, counts, of_difference.tolist(), of_equivalence.tolist()))


def _union(levels: NDArray[np.float64], n_seeds: Sequence[int]) -> float:
    """At most the probability that a true difference is overlooked at any look, each with its level."""
    both = 0.0
    for level, next_level, n, more in zip(levels, levels[1:], n_seeds, n_seeds[1:], strict=False):
        # Looks share their first seeds. They share the digits, too, which makes them more alike and the bound safer.
        alike = np.sqrt(n / more)
        both += multivariate_normal.cdf(norm.ppf([level, next_level]), cov=[[1, alike], [alike, 1]]) if level else 0.0
    return float(levels.sum() - both)


def adaptive_verdicts(
    cells: pd.DataFrame, runs: pd.DataFrame, *, seeds: Sequence[int], margin: float = MARGIN
) -> Verdicts:
    """Verdicts of a study whose seeds go where verdicts are open, at the look where each of them stands.

    Parameters
    ----------
    cells, runs : DataFrame
        See `results.results_table`.
    seeds : sequence of int
        All the study may use, in the order in which they are trained; 5 or more.
    margin : float, default=0.002
    """
    looks, replicates = looks_up_to(len(seeds)), replicates_of(cells, runs)
    diverged = runs[runs["status"] == "diverged"].groupby("cell")["seed"].agg(frozenset)
    lost = {number: diverged[cell] for number, cell in enumerate(cells["cell"]) if cell in diverged.index}
    rows = adaptive_table(knob_pairs(cells), replicates, seeds=seeds, looks=looks, lost=lost, margin=margin)
    return Verdicts(cells, replicates, rows, tuple(look.n_seeds for look in looks))


def seeds_wanted(found: Verdicts) -> "pd.Series[int]":
    """How many of the study's seeds every cell should have by now, the first look's at least; by cell id.

    `found` is what `adaptive_verdicts` says.
    """
    wants = pd.Series(FIRST_LOOK, index=range(len(found.cells)))
    for side in ("a", "b"):
        wants = wants.combine(found.rows.groupby(side)["wants"].max(), max, fill_value=FIRST_LOOK)
    return pd.Series(wants.to_numpy(dtype=int), index=found.cells["cell"])


def adaptive_table(
    pairs: pd.DataFrame, replicates: Mapping[int, Replicates], *, seeds: Sequence[int], looks: Sequence[Look],
    lost: Mapping[int, AbstractSet[int]] | None = None, margin: float = MARGIN,
) -> pd.DataFrame:  # fmt: skip
    """Verdicts on pairs, each at the look that decided it, gave it up, or waits for seeds.

    A look sees the first seeds of the study alone, and pairs that wait for seeds count in their family as if nothing
    were known of them, so that what is decided stays whatever comes later.

    Parameters
    ----------
    pairs, replicates, margin
        See `verdicts.verdict_table`.
    seeds : sequence of int
        Of the study, in the order in which they are trained.
    looks : sequence of Look
    lost : mapping of int to set of int, optional
        Seeds of cells, by number, that will never come: their networks diverged.

    Returns
    -------
    DataFrame
        As of `verdict_table`: of the look that decided a pair or gave it up, else, undecided, of the look it waits for.
        Two columns more: look (its number of seeds) and wants (seeds that both cells should have next; 0: none).
    """
    shown = list[pd.DataFrame]()
    left = pairs.index
    for look, following in zip(looks, [*looks[1:], None], strict=True):
        looked_at = seeds[: look.n_seeds]
        chosen = {number: _first(own, looked_at) for number, own in replicates.items()}
        tests = pair_tests(pairs, {number: own for number, own in chosen.items() if own.seeds})
        there = tests.spread.n_seeds + _lost_seeds(tests.pairs, looked_at, lost or {})
        waits = tests.pairs.index.isin(left) & (there < look.n_seeds)
        tests.p_in_family[waits] = 1.0
        table = judge(tests, margin, look.alpha, look.alpha_equivalence).assign(look=look.n_seeds, wants=0)
        missing = pd.Series(waits, index=table.index)[table.index.isin(left)]
        table = table.loc[missing.index]
        if following:
            hopeful = _hopeful(tests, (following.n_seeds - look.n_seeds) / looks[-1].n_seeds, looks[-1], margin)
            table.loc[table["verdict"].eq("undecided") & hopeful.reindex(table.index), "wants"] = following.n_seeds
        table.loc[missing, "wants"] = look.n_seeds
        table.loc[missing, "verdict"] = "undecided"  # nobody looks before its seeds are all there
        shown.append(table[missing | (table["wants"] == 0)])
        left = table.index[~missing & (table["wants"] > 0)]
    return pd.concat(shown).sort_index()


def _first(own: Replicates, seeds: Sequence[int]) -> Replicates:
    """The replicates of these seeds alone."""
    kept = [place for place, seed in enumerate(own.seeds) if seed in seeds]
    return Replicates(tuple(own.seeds[place] for place in kept), own.digits, own.correct[kept])


def _lost_seeds(pairs: pd.DataFrame, seeds: Sequence[int], lost: Mapping[int, AbstractSet[int]]) -> list[int]:
    """Of each pair, how many of the seeds will never be common to both of its cells."""
    none: frozenset[int] = frozenset()
    return [len((lost.get(a, none) | lost.get(b, none)) & set(seeds))
            for a, b in zip(pairs["a"], pairs["b"], strict=True)]  # fmt: skip


def _hopeful(tests: PairTests, cost: float, last: Look, margin: float) -> "pd.Series[bool]":
    """Whether the last look will decide a pair with a chance that is worth the next one's share of all seeds."""
    spread, size = tests.spread, np.abs(tests.difference)
    then = spread.with_seeds(np.asarray(last.n_seeds))
    # How far the difference moves from here with that chance: it varies by the seeds that are still to come. Of a pair
    # that has one common seed, the others being lost, nothing is known: it goes on.
    move = norm.isf(_PRICE * cost) * np.sqrt(
        np.nan_to_num(spread.by_seed) * np.maximum(1 - spread.n_seeds / last.n_seeds, 0)
    )
    different = size + move > half_width(then, last.alpha / 2 / tests.by_family(holm_factors))
    equivalent = np.maximum(size - move, 0) + half_width(then, last.alpha_equivalence) < margin
    return pd.Series(different | equivalent, index=tests.pairs.index)
