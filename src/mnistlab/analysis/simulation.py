"""Do intervals and verdicts keep what they promise? Studies whose truth is known are drawn, analysed and counted.

Numbers in, `Promise` out: no store, no files. A simulated network gets a digit right where its cell's accuracy, what is
hard about the digit, the luck of its seed and noise leave a positive score, so that the true accuracy is known exactly.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import norm

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import Replicates, crossed_interval, t_interval, wilson_interval
from mnistlab.analysis.replication import MAX_SEEDS, adaptive_table, looks_up_to
from mnistlab.analysis.verdicts import ALPHA, MARGIN, PairTests, half_width, holm, judge, pair_tests, verdict_table

N_STUDIES, FEWEST = 2000, 20
SEED_COUNTS = (3, 5, 10, 20)
LEVEL = 0.999  # of what is found: of a hundred promises chance shall break none
N_DIGITS = 10_000
ACCURACY = 0.975
_GRID = (4, 3)  # of equal cells: widths by activations
_PLANTED = 60  # pairs of a planted grid, and by how much one cell of a pair is better or worse, a third of them each
_LEADS = (0.0, 0.0015, 0.006, 0.0, -0.0015, -0.006)
_FEWEST_GRIDS = 10  # fewer refute nothing
_STUDIES_A_GRID = 10  # a planted grid is as much work as so many studies, and more


@dataclass(frozen=True, slots=True)
class World:
    """What makes simulated networks differ, each in units of the noise of one network on one digit.

    Attributes
    ----------
    luck : float
        Of a seed, in its cell.
    hard : float
        Of a digit, for every network.
    taste : float
        Of a digit, for the networks of one cell: what no seed removes from a difference of two cells.
    """

    luck: float = 0.0
    hard: float = 0.0
    taste: float = 0.0

    @property
    def words(self) -> str:
        """What differs in it."""
        kinds = {"seeds": self.luck, "digits": self.hard}
        return " and ".join(kind for kind, size in kinds.items() if size) or "nothing"

    def draw(
        self, random: np.random.Generator, accuracy: Sequence[float], n_seeds: int, n_digits: int = N_DIGITS
    ) -> NDArray[np.bool_]:
        """Which digits the networks of cells with these accuracies get right, (n_cells, n_seeds, n_digits)."""
        n_cells = len(accuracy)
        score = random.standard_normal((n_cells, n_seeds, n_digits), dtype=np.float32)
        for size, shape in ((self.luck, (n_cells, n_seeds, 1)), (self.hard, (1, 1, n_digits)),
                            (self.taste, (n_cells, 1, n_digits))):  # fmt: skip
            score += np.float32(size) * random.standard_normal(shape, dtype=np.float32)
        level = norm.ppf(accuracy) * math.sqrt(1 + self.luck**2 + self.hard**2 + self.taste**2)
        return score > -level.astype(np.float32)[:, None, None]


LIKE_MNIST = World(luck=0.06, hard=2.35, taste=0.3)
"""About as networks of the course lab differ on MNIST's test digits."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised of studies, and what simulated ones show.

    Attributes
    ----------
    what : str
    differ : str
        What differs in their world: seeds, digits.
    seeds : int
        Of every cell, or the most of any.
    found : Estimate
        Wilson's interval of a share of studies, or Student's t of a mean over them.
    low, high : float | None
        The band that is promised; None: nothing is, the number stands there for comparison.
    """

    what: str
    differ: str
    seeds: int
    found: Estimate
    low: float | None = None
    high: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the simulation leaves the promise standing: its interval, a wide one, meets the band."""
        if self.low is None or self.high is None:
            return None
        low, high = self.found.low, self.found.high
        return low is not None and high is not None and low <= self.high and high >= self.low


def simulate(n_studies: int = N_STUDIES, *, seed: int = 0) -> Iterator[tuple[list[Promise], float]]:
    """Draw studies of every design and count how often their numbers hold.

    Parameters
    ----------
    n_studies : int, default=2000
        Of each design, `FEWEST` or more; of the large grids planted for the adaptive mode a tenth, ten at least.
    seed : int, default=0
        The same one draws the same studies.

    Yields
    ------
    promises : list of Promise
        Of the next design.
    done : float
        Share of all work that is done by then.
    """
    random = np.random.default_rng(seed)
    worlds = LIKE_MNIST, replace(LIKE_MNIST, hard=0, taste=0), replace(LIKE_MNIST, luck=0), World()
    designs: list[tuple[int, Callable[[], list[Promise]]]] = [
        *((2 * n_seeds, partial(_equal_pairs, random, world, n_seeds, n_studies))
          for world in worlds for n_seeds in SEED_COUNTS),
        *((math.prod(_GRID) * n_seeds, partial(_null_grids, random, world, n_seeds, n_studies))
          for world in worlds for n_seeds in SEED_COUNTS),
        (2 * _PLANTED * MAX_SEEDS // _STUDIES_A_GRID,
         partial(_planted_grids, random, max(n_studies // _STUDIES_A_GRID, _FEWEST_GRIDS))),
        *((2 * n_seeds, partial(_pairs_a_margin_apart, random, world, n_seeds, n_studies))
          for world in worlds for n_seeds in SEED_COUNTS),
    ]  # fmt: skip
    done, total = 0, sum(networks for networks, _ in designs)
    for networks, promises in designs:
        done += networks
        yield promises(), done / total


def told_apart_from_itself(cell: Replicates, times: int = N_STUDIES, *, seed: int = 0) -> Estimate:
    """How often two random halves of a cell's networks are called different, which is wrong each time.

    It proves the variance on real bits, whatever the networks are. It says nothing of pairing: seeds are mixed.

    Parameters
    ----------
    cell : Replicates
        Real networks, four or more; of an odd number one is left out each time.
    times : int, default=2000
    seed : int, default=0

    Returns
    -------
    Estimate
        Wilson's interval, n = times: of these networks. Other networks of the cell would show more or less.

    Raises
    ------
    ValueError
        Fewer than four networks.
    """
    half = len(cell.seeds) // 2
    if half < 2:
        raise ValueError(f"four networks or more are needed; got {len(cell.seeds)}")
    random = np.random.default_rng(seed)
    different = 0
    for _ in range(times):
        places = random.permutation(len(cell.seeds))[: 2 * half]
        tests = _tests(cell.correct[places].reshape(2, half, -1))
        different += int(tests.p[0] < ALPHA)
    return wilson_interval(different, times)


def _tests(bits: NDArray[np.bool_], families: Mapping[str, Sequence[tuple[int, int]]] | None = None) -> PairTests:
    """Pairs of the cells of one study, (n_cells, n_seeds, n_digits) bits."""
    rows = [(knob, a, b) for knob, pairs in (families or {"": [(1, 0)]}).items() for a, b in pairs]
    seeds = tuple(range(bits.shape[1]))
    return pair_tests(pd.DataFrame(rows, columns=["knob", "a", "b"]),
                      {number: Replicates(seeds, "", own) for number, own in enumerate(bits)})  # fmt: skip


def _equal_pairs(random: np.random.Generator, world: World, n_seeds: int, n_studies: int) -> list[Promise]:
    """Studies of two equally accurate cells: what M6 covers and what M9 says, beside what seeds alone would."""
    counts: Counter[str] = Counter()
    differences, halves = [], []
    for _ in range(n_studies):
        bits = world.draw(random, [ACCURACY] * 2, n_seeds)
        first, second = bits.mean(axis=2)
        tests = _tests(bits)
        counts[judge(tests, MARGIN, ALPHA)["verdict"].iloc[0]] += 1
        counts["held"] += _holds(crossed_interval(bits[0]), ACCURACY)
        counts["held by seeds"] += _holds(t_interval(first), ACCURACY)
        counts["different by seeds"] += not _holds(t_interval(first - second), 0.0)
        differences.append(tests.difference[0])
        halves.append(half_width(tests.spread, ALPHA)[0])
    # Both one-sided tests pass where the interval about a difference of this spread stays inside the margin.
    power = float(np.mean(np.maximum(2 * ndtr((MARGIN - np.array(halves)) / np.std(differences)) - 1, 0)))

    def promise(what: str, count: int, *band: float) -> Promise:
        return Promise(what, world.words, n_seeds, wilson_interval(count, n_studies, level=LEVEL), *band)

    return [
        promise("interval holds the accuracy on new digits", counts["held"], 0.93, 0.97 if world.luck else 0.99),
        promise("an interval from seeds alone holds it", counts["held by seeds"]),
        promise("equal cells called different", counts["better"] + counts["worse"], 0.03 if world.luck else 0, 0.06),
        promise("equal cells called different by seeds alone", counts["different by seeds"]),
        promise("equal cells called equivalent", counts["equivalent"], power - 0.03, power + 0.03),
    ]


def _holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def _pairs_a_margin_apart(random: np.random.Generator, world: World, n_seeds: int, n_studies: int) -> list[Promise]:
    """Studies of two cells that are just not equivalent: how often they are called so."""
    wrong = 0
    for _ in range(n_studies):
        bits = world.draw(random, [ACCURACY - MARGIN / 2, ACCURACY + MARGIN / 2], n_seeds)
        wrong += judge(_tests(bits), MARGIN, ALPHA)["verdict"].iloc[0] == "equivalent"
    return [Promise("cells a margin apart called equivalent", world.words, n_seeds,
                    wilson_interval(wrong, n_studies, level=LEVEL), 0, ALPHA)]  # fmt: skip


def _null_grids(random: np.random.Generator, world: World, n_seeds: int, n_studies: int) -> list[Promise]:
    """Grids of equal cells with two knobs: how often any verdict of a knob's family is false."""
    cells = np.arange(math.prod(_GRID)).reshape(_GRID)
    families = {"widths": [pair for column in cells.T for pair in combinations(column, 2)],
                "activations": [pair for row in cells for pair in combinations(row, 2)]}  # fmt: skip
    wrong: Counter[str] = Counter()
    for _ in range(n_studies):
        tests = _tests(world.draw(random, [ACCURACY] * cells.size, n_seeds), families)
        wrong.update(set(tests.pairs["knob"][tests.by_family(holm) < ALPHA]))
    return [
        Promise(f"any of {len(pairs)} pairs of equal {knob} called different", world.words, n_seeds,
                wilson_interval(wrong[knob], n_studies, level=LEVEL), 0, ALPHA)
        for knob, pairs in families.items()
    ]  # fmt: skip


def _planted_grids(random: np.random.Generator, n_grids: int) -> list[Promise]:
    """Grids of sixty pairs in one family, a third of them equal: seeds where verdicts are open against all seeds."""
    leads = np.resize(_LEADS, _PLANTED)
    equal, truth = leads == 0, np.select([leads > 0, leads < 0], ["better", "worse"], "equal")
    wrong, networks, missed, missed_equal = 0, [], [], []
    for _ in range(n_grids):
        fixed, adaptive, share = _planted_grid(random, leads)
        told_apart, equivalent = np.isin(adaptive, ["better", "worse"]), adaptive == "equivalent"
        wrong += bool((told_apart & (adaptive != truth) | equivalent & (np.abs(leads) >= MARGIN)).any())
        networks.append(share)
        missed.append(np.mean((fixed == truth)[~equal]) - np.mean((adaptive == truth)[~equal]))
        missed_equal.append(np.mean(fixed[equal] == "equivalent") - np.mean(equivalent[equal]))

    def promise(what: str, found: Estimate, low: float, high: float) -> Promise:
        return Promise(f"until decided: {what}", LIKE_MNIST.words, MAX_SEEDS, found, low, high)

    return [
        promise(f"any of {_PLANTED} verdicts false", wilson_interval(wrong, n_grids, level=LEVEL), 0, ALPHA),
        promise("networks trained, of all", t_interval(networks, level=LEVEL), 0, 0.6),
        promise("differences found, fewer than by all", t_interval(missed, level=LEVEL), -1, 0.05),
        promise("equal pairs found equivalent, fewer than by all", t_interval(missed_equal, level=LEVEL), -1, 0.05),
    ]


def _planted_grid(
    random: np.random.Generator, leads: NDArray[np.float64]
) -> tuple[NDArray[np.object_], NDArray[np.object_], float]:
    """What all seeds say of each pair, what is said until decided, and the share of the networks this takes."""
    pairs = pd.DataFrame([("", 2 * n + 1, 2 * n) for n in range(len(leads))], columns=["knob", "a", "b"])
    seeds = tuple(range(MAX_SEEDS))
    replicates: dict[int, Replicates] = {}
    for number, lead in enumerate(leads):
        bits = LIKE_MNIST.draw(random, [ACCURACY - lead / 2, ACCURACY + lead / 2], MAX_SEEDS)
        # Each pair's digits have a name of their own: nobody asks for differences of other cells.
        replicates |= {2 * number + side: Replicates(seeds, str(number), bits[side]) for side in (0, 1)}
    fixed = verdict_table(pairs, replicates)["verdict"].to_numpy()
    found = adaptive_table(pairs, replicates, seeds=seeds, looks=looks_up_to(MAX_SEEDS))
    return fixed, found["verdict"].to_numpy(), found["look"].mean() / MAX_SEEDS
