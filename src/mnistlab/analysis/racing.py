"""A race between candidates: who leads, who is surely worse, who is open. Numbers in, numbers out.

Candidates are compared on validation accuracies, paired within seeds. Nothing here is a claim on a network: a race
decides where the next seeds go, and what the winner really scores is measured with seeds that took no part in it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from mnistlab.analysis.verdicts import ALPHA, MARGIN, holm

Word = Literal["leads", "better", "worse", "equivalent", "open"]


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """How candidates stand after some seeds.

    Attributes
    ----------
    mean : float64 array (n_cells,)
        Accuracy over the seeds.
    rival : int64 array (n_cells,)
        The best of the others that cost no more; -1: it leads those.
    p : float64 array (n_cells,)
        Of the difference to the rival, two-sided, by Holm's procedure over all candidates that have one; 1 without.
    words : tuple of str
        Of each against its rival: `leads` (it has none), `better`, `worse`, `equivalent`, `open`.
    """

    mean: NDArray[np.float64]
    rival: NDArray[np.int64]
    p: NDArray[np.float64]
    words: tuple[Word, ...]

    @property
    def settled(self) -> bool:
        """Whether no seed more is needed."""
        return "open" not in self.words

    def remaining(self, sizes: ArrayLike) -> list[int]:
        """Who may still win: not surely worse than its rival, nor equivalent to one that is smaller and stays itself.

        Parameters
        ----------
        sizes : float array (n_cells,)
        """
        size = np.asarray(sizes)
        stays = [word not in ("worse", "equivalent") for word in self.words]
        beaten = [word == "worse" or (word == "equivalent" and stays[rival] and size[own] > size[rival])
                  for own, (word, rival) in enumerate(zip(self.words, self.rival, strict=True))]  # fmt: skip
        return [own for own, is_out in enumerate(beaten) if not is_out]


def standing(
    accuracy: ArrayLike, costs: ArrayLike | None = None, *, alpha: float = ALPHA, margin: float = MARGIN
) -> Standing:
    """Compare every candidate with the best of those that cost no more.

    Parameters
    ----------
    accuracy : float array (n_cells, n_seeds)
        Of each candidate with each seed, on the validation digits that all candidates have with this seed; no NaN.
    costs : float array (n_cells,) | None
        What else counts, such as parameters; None: accuracy alone, so that all are compared with the leader.
    alpha : float, default=0.05
    margin : float, default=0.002
        Equivalent: the interval of level 1 - 2 alpha lies within it.

    Returns
    -------
    Standing
        With one seed, or one candidate, nothing is decided.

    References
    ----------
    Seeds are the blocks of a randomised block design (R. A. Fisher, 1935, The Design of Experiments): the residual of
    the two-way table gives one error for all differences, with (n_cells - 1)(n_seeds - 1) degrees of freedom; of two
    candidates it is Student's paired t. The comparison with the best by Holm's procedure: J. C. Hsu (1984), Ann.
    Statist. 12, 1136-1144; S. Holm (1979), Scand. J. Statist. 6, 65-70. A race of candidates over blocks:
    M. Birattari et al. (2002), GECCO, 11-18. The looks after every seed are not corrected for.
    """
    table = np.asarray(accuracy, dtype=float)
    n_cells, n_seeds = table.shape
    cost = np.zeros(n_cells) if costs is None else np.asarray(costs, dtype=float)
    mean = table.mean(axis=1)
    rival = _rivals(mean, cost)
    df = (n_cells - 1) * (n_seeds - 1)
    if df == 0:
        words: tuple[Word, ...] = tuple("leads" if other < 0 else "open" for other in rival)
        return Standing(mean, rival, np.ones(n_cells), words)
    residual = table - mean[:, None] - table.mean(axis=0) + mean.mean()
    error = np.sqrt(2 * (residual**2).sum() / df / n_seeds)
    has_rival = rival >= 0
    lead = np.where(has_rival, mean - mean[rival], 0.0)
    # Candidates that differ by the same in every seed leave a residual of rounding errors.
    surely = error < 1e-12
    ratio = np.where(lead == 0, 0.0, np.inf) if surely else np.abs(lead) / error
    p = np.ones(n_cells)
    p[has_rival] = holm(2 * stdtr(df, -ratio[has_rival]))
    width = 0.0 if surely else stdtrit(df, 1 - alpha) * error
    return Standing(mean, rival, p, tuple(
        "leads" if rival[own] < 0 else
        "equivalent" if abs(lead[own]) + width < margin else
        ("better" if lead[own] > 0 else "worse") if p[own] < alpha else "open"
        for own in range(n_cells)
    ))  # fmt: skip


def _rivals(mean: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    order = np.argsort(-mean, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    # Of several that cost the same, the best needs no comparison: the others are compared with it.
    rivals = (cost < cost[:, None]) | ((cost == cost[:, None]) & (rank < rank[:, None]))
    best = np.where(rivals, rank, len(rank)).argmin(axis=1)
    return np.where(rivals.any(axis=1), best, -1)


def pareto_front(accuracy: ArrayLike, costs: ArrayLike) -> list[int]:
    """Candidates that none beats in both, by ascending cost; of equals the first.

    Parameters
    ----------
    accuracy, costs : float array (n_cells,)
    """
    gain, cost = np.asarray(accuracy, dtype=float), np.asarray(costs, dtype=float)
    front: list[int] = []
    for own in np.lexsort((np.arange(len(gain)), -gain, cost)):
        if not front or gain[own] > gain[front[-1]]:
            front.append(int(own))
    return front


def foremost(accuracy: ArrayLike, costs: ArrayLike | None, n: int) -> list[int]:
    """The best n candidates; where costs count, those on the Pareto front, then those on it without these, and so on.

    A front with more than there is room for is thinned evenly, its ends kept.

    References
    ----------
    Non-dominated sorting: K. Deb et al. (2002), IEEE Trans. Evol. Comput. 6, 182-197.
    """
    gain = np.asarray(accuracy, dtype=float)
    if costs is None:
        return [int(own) for own in np.argsort(-gain, kind="stable")[:n]]
    cost, left, chosen = np.asarray(costs, dtype=float), np.arange(len(gain)), list[int]()
    while len(left) and len(chosen) < n:
        front = pareto_front(gain[left], cost[left])
        chosen += [int(left[front[place]]) for place in evenly(len(front), n - len(chosen))]
        left = np.delete(left, front)
    return chosen


def evenly(n: int, at_most: int) -> list[int]:
    """Places of at most so many of n, evenly spread; of several, first and last among them; of one, the last."""
    if at_most < 2:
        return [n - 1] if n and at_most else []
    return [round(place) for place in np.linspace(0, n - 1, min(n, at_most))]
