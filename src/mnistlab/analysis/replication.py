"""Seeds where verdicts are open: looks at 5, 10, 20 … seeds with the error split over them. Frames in, verdicts out.

After each look only cells with an open verdict get more seeds. What a look decided stays decided, and what no seed
would probably decide is given up as undecided.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import pandas as pd

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
# Each look may spend so much of what the one behind it may: large differences show early anyway.
_SPENDING = 0.4
# A pair is given up when not even a move by so many standard errors would decide it at the last look.
_HOPE = 0.65


@dataclass(frozen=True, slots=True)
class Look:
    """A moment at which verdicts are asked for: with how many seeds, and how much of the error it may spend."""

    n_seeds: int
    alpha: float


def looks_up_to(max_seeds: int, *, alpha: float = ALPHA) -> tuple[Look, ...]:
    """Looks at 5, 10, 20 … seeds and at the most; what they may spend sums to `alpha`.

    Raises
    ------
    ValueError
        `max_seeds` below 5.

    References
    ----------
    K. K. G. Lan, D. L. DeMets (1983), Biometrika 70, 659-663: the error promised is spent look by look.
    """
    if max_seeds < FIRST_LOOK:
        raise ValueError(f"max_seeds must be {FIRST_LOOK} or more; got {max_seeds}")
    counts = [FIRST_LOOK]
    while counts[-1] < max_seeds:
        counts.append(min(2 * counts[-1], max_seeds))
    shares = _SPENDING ** np.arange(len(counts))[::-1]
    return tuple(Look(n, float(share)) for n, share in zip(counts, alpha * shares / shares.sum(), strict=True))


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

    A look sees the first seeds of the study alone, so that the table is the same whenever it is asked for.

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
        table = judge(tests, margin, look.alpha).assign(look=look.n_seeds, wants=0)
        table = table.loc[table.index.isin(left)]
        missing = table["seeds"] + _lost_seeds(table, looked_at, lost or {}) < look.n_seeds
        open_ = table["verdict"].eq("undecided") & _hopeful(tests, looks[-1], margin).reindex(table.index)
        table.loc[open_, "wants"] = following.n_seeds if following else 0
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


def _hopeful(tests: PairTests, last: Look, margin: float) -> "pd.Series[bool]":
    """Whether the last look would decide a pair, if its difference moved a little either way."""
    spread, size = tests.spread, np.abs(tests.difference)
    then = spread.with_seeds(np.asarray(last.n_seeds))
    move = _HOPE * np.sqrt(np.nan_to_num(spread.by_seed) * np.maximum(1 - spread.n_seeds / last.n_seeds, 0))
    different = size + move > half_width(then, last.alpha / 2 / tests.by_family(holm_factors))
    equivalent = np.maximum(size - move, 0) + half_width(then, last.alpha) < margin
    return pd.Series(different | equivalent, index=tests.pairs.index)
