"""Golden values, properties and simulated studies whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t

from mnistlab.analysis.intervals import (
    CrossedVariance,
    Replicates,
    crossed_interval,
    median_interval,
    paired_differences,
    resolution,
    t_interval,
    wilson_interval,
)

SEED_COUNTS = (3, 5, 10, 20)
N_STUDIES = 500


def bits(*rows):
    return np.array([[digit == "1" for digit in row] for row in rows])


@pytest.mark.parametrize(
    ("n_correct", "n_digits", "low", "high"),
    [(9750, 10_000, 0.971753, 0.977882), (9, 10, 0.595850, 0.982124), (0, 10, 0.0, 0.277533)],
)
def test_wilson_interval_golden_values(n_correct, n_digits, low, high):
    estimate = wilson_interval(n_correct, n_digits)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-7)
    assert (estimate.n, estimate.kind, estimate.level) == (n_digits, "wilson", 0.95)


@pytest.mark.parametrize(("n", "low", "high"), [(1, None, None), (5, None, None), (6, 1, 6), (8, 1, 8), (9, 2, 8)])
def test_median_interval_lies_between_the_order_statistics_that_hold_it(n, low, high):
    # of n numbers the median lies outside of the k-th from either end with probability 2·P(Binomial(n, 1/2) < k)
    estimate = median_interval(np.random.default_rng(3).permutation(n) + 1)
    assert (estimate.value, estimate.low, estimate.high) == ((n + 1) / 2, low, high)
    assert (estimate.n, estimate.kind, estimate.level) == (n, "median", 0.95)


def test_the_median_of_nothing_is_no_number():
    assert median_interval([]).value is None


@given(n_digits=st.integers(1, 70_000), share=st.floats(0, 1))
def test_wilson_interval_of_errors_mirrors_that_of_hits(n_digits, share):
    hits = round(share * n_digits)
    right, wrong = wilson_interval(hits, n_digits), wilson_interval(n_digits - hits, n_digits)
    assert right.low <= right.value <= right.high
    assert (1 - wrong.high, 1 - wrong.low) == pytest.approx((right.low, right.high))


@pytest.mark.parametrize(("n_correct", "n_digits"), [(1, 0), (-1, 10), (11, 10)])
def test_wilson_interval_refuses_impossible_counts(n_correct, n_digits):
    with pytest.raises(ValueError, match=f"got {n_correct} of {n_digits}"):
        wilson_interval(n_correct, n_digits)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_every_interval_refuses_a_level_outside_zero_to_one(level):
    for interval in (
        lambda: wilson_interval(1, 2, level=level),
        lambda: t_interval([1.0, 2.0], level=level),
        lambda: crossed_interval(bits("10", "01"), level=level),
        lambda: resolution([], level=level),
    ):
        with pytest.raises(ValueError, match="level must be a fraction"):
            interval()


def test_t_interval_equals_the_value_by_hand():
    estimate = t_interval([0.97, 0.98, 0.96])
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.97, 0.97 - half, 0.97 + half), abs=1e-8)
    assert (estimate.n, estimate.kind) == (3, "t")


def test_t_interval_counts_only_what_was_measured():
    assert t_interval([math.nan, 2.0, 4.0]) == t_interval([2.0, 4.0])
    one = t_interval([math.nan, 2.0])
    assert (one.value, one.low, one.high, one.n) == (2.0, None, None, 1)
    nothing = t_interval([])
    assert (nothing.value, nothing.low, nothing.n) == (None, None, 0)


def test_t_interval_stays_inside_its_limits():
    estimate = t_interval([0.0, 1.0], limits=(0, math.inf))
    assert estimate.low == 0
    assert estimate.high > 1


def test_crossed_interval_golden_value():
    estimate = crossed_interval(bits("11101101", "11001111", "11111011"))
    assert estimate.value == pytest.approx(0.791667, abs=5e-7)
    assert estimate.value - estimate.low == pytest.approx(0.215082, abs=5e-7)
    assert estimate.high == 1  # clipped
    assert (estimate.n, estimate.kind) == (3, "crossed")


def test_crossed_interval_of_one_seed_is_wilsons():
    assert crossed_interval(bits("1110111111")) == wilson_interval(9, 10)


@pytest.mark.parametrize(("share", "n_correct"), [(True, 8), (False, 0)])
def test_crossed_interval_of_bits_that_never_vary_is_wilsons(share, n_correct):
    assert crossed_interval(np.full((5, 8), share)) == wilson_interval(n_correct, 8)


def test_crossed_interval_refuses_what_is_not_seeds_by_digits():
    for shape in ((8,), (0, 8), (3, 0), (2, 2, 2)):
        with pytest.raises(ValueError, match="n_seeds, n_digits"):
            crossed_interval(np.ones(shape, dtype=bool))


@given(seed=st.integers(0, 10_000), n_seeds=st.integers(2, 6), n_digits=st.integers(2, 40))
def test_crossed_interval_holds_its_mean_and_forgets_the_order(seed, n_seeds, n_digits):
    random = np.random.default_rng(seed)
    correct = random.random((n_seeds, n_digits)) < 0.8
    estimate = crossed_interval(correct)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    shuffled = crossed_interval(correct[random.permutation(n_seeds)][:, random.permutation(n_digits)])
    assert (shuffled.low, shuffled.high) == pytest.approx((estimate.low, estimate.high))


def pair_by_hand(a, b):
    """M6 on one pair's differences, term by term."""
    difference = a.astype(float) - b
    n_seeds, n_digits = difference.shape
    seed_means, digit_means = difference.mean(axis=1), difference.mean(axis=0)
    residual = difference - seed_means[:, None] - digit_means + difference.mean()
    by_seed, by_digit = seed_means.var(ddof=1) / n_seeds, digit_means.var(ddof=1) / n_digits
    by_both = np.square(residual).sum() / ((n_seeds - 1) * (n_digits - 1)) / difference.size
    variance = max(by_seed + by_digit - by_both, by_seed, by_digit)
    return math.sqrt(variance), variance**2 / (by_seed**2 / (n_seeds - 1) + by_digit**2 / (n_digits - 1))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_paired_differences_equal_those_of_each_pair_by_hand(seed):
    random = np.random.default_rng(seed)
    cells = [
        Replicates(tuple(random.permutation(6)[: random.integers(1, 7)].tolist()), digits, np.empty(0, dtype=bool))
        for digits in random.choice(["a", "b"], 7)
    ]
    cells = [Replicates(c.seeds, c.digits, random.random((len(c.seeds), 30)) < 0.8) for c in cells]
    difference, spread = paired_differences(cells)
    errors, dfs = np.sqrt(spread.variance), spread.df
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            common = sorted(set(a.seeds) & set(b.seeds))
            if i == j or a.digits != b.digits or len(common) < 2:
                assert math.isnan(errors[i, j])
                continue
            rows = [[cell.seeds.index(s) for s in common] for cell in (a, b)]
            a_bits, b_bits = a.correct[rows[0]], b.correct[rows[1]]
            assert (errors[i, j], dfs[i, j]) == pytest.approx(pair_by_hand(a_bits, b_bits), rel=1e-9)
            assert difference[i, j] == pytest.approx(a_bits.mean() - b_bits.mean(), abs=1e-12)
            assert (spread.n_seeds[i, j], spread.n_digits[i, j]) == (len(common), 30)


def latent_bits(random, shape, *, accuracy, hard, seed_effect=0.0):
    """Right where difficulty, luck of the seed and noise leave a positive score: expected accuracy as given."""
    *cells, n_seeds, n_digits = shape
    level = norm.ppf(accuracy) * math.sqrt(1 + hard**2 + seed_effect**2)
    score = random.standard_normal(shape, dtype=np.float32)
    score += np.float32(hard) * random.standard_normal((*cells, 1, n_digits), dtype=np.float32)
    score += np.float32(seed_effect) * random.standard_normal((*cells, n_seeds, 1), dtype=np.float32)
    return score > -level


def test_resolution_of_two_cells_equals_the_value_by_hand():
    random = np.random.default_rng(1)
    a, b = (latent_bits(random, (4, 200), accuracy=0.9, hard=1.0) for _ in range(2))
    error, df = pair_by_hand(a, b)
    found = resolution([Replicates((0, 1, 2, 3), "d", a), Replicates((0, 1, 2, 3), "d", b)])
    assert found == pytest.approx((t.ppf(0.975, df) + t.ppf(0.8, df)) * error, rel=1e-6)


def test_resolution_is_unknown_without_two_common_seeds_or_any_difference():
    random = np.random.default_rng(2)
    a, b = (random.random((2, 50)) < 0.9 for _ in range(2))
    assert resolution([]) is None
    assert resolution([Replicates((0, 1), "d", a)]) is None
    assert resolution([Replicates((0, 1), "d", a), Replicates((1, 2), "d", b)]) is None
    assert resolution([Replicates((0, 1), "d", a), Replicates((0, 1), "e", b)]) is None
    assert resolution([Replicates((0, 1), "d", a), Replicates((0, 1), "d", a)]) is None
    assert resolution([Replicates((0, 1), "d", a), Replicates((0, 1), "d", b)]) > 0


@pytest.mark.slow
def test_t_interval_covers_the_accuracy_on_these_digits():
    random = np.random.default_rng(6)
    for n_seeds in SEED_COUNTS:
        estimates = [t_interval(random.normal(0.97, 0.001, n_seeds)) for _ in range(4 * N_STUDIES)]
        coverage = np.mean([estimate.low <= 0.97 <= estimate.high for estimate in estimates])
        assert 0.93 <= coverage <= 0.97, f"{coverage:.3f} with {n_seeds} seeds"


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [10, 20])  # with fewer, the median standard error promises a little too much
def test_four_of_five_studies_find_a_difference_as_large_as_the_resolution(n_seeds):
    random, n_digits, seeds = np.random.default_rng([7, n_seeds]), 1000, tuple(range(n_seeds))
    design = {"hard": 1.5, "seed_effect": 0.12}
    study = latent_bits(random, (60, n_seeds, n_digits), accuracy=0.95, **design)
    smallest = resolution([Replicates(seeds, "d", cell) for cell in study])
    found = 0
    for _ in range(1500):
        # Half the difference on either side keeps the spread of the two cells that of the study.
        pair = [latent_bits(random, (n_seeds, n_digits), accuracy=0.95 + side * smallest / 2, **design)
                for side in (1, -1)]  # fmt: skip
        difference, spread = paired_differences([Replicates(seeds, "d", cell) for cell in pair])
        found += difference[0, 1] > t.ppf(0.975, spread.df[0, 1]) * math.sqrt(spread.variance[0, 1])
    assert 0.77 <= found / 1500 <= 0.83, f"{found / 1500:.3f} with {n_seeds} seeds"


def test_more_seeds_leave_what_comes_from_the_digits():
    now = CrossedVariance(np.array(4), np.array(1000), np.array(8.0), np.array(5.0), np.array(2.0))
    same, many = now.with_seeds(np.array(4)), now.with_seeds(np.array(4_000_000))
    assert (same.variance, same.df) == (now.variance, now.df) == (11.0, 121 / (64 / 3 + 25 / 999))
    assert float(many.variance) == pytest.approx(3.0, abs=1e-4)
    twice = now.with_seeds(np.array(8))
    assert (twice.by_seed, twice.by_digit, twice.by_both, twice.variance) == (4.0, 4.0, 1.0, 7.0)


def test_as_many_seeds_as_foreseen_have_the_spread_foreseen():
    """Parts of five seeds say on average what forty show."""
    random, foreseen, shown = np.random.default_rng(14), [], []
    for _ in range(60):
        pair = latent_bits(random, (2, 40, 400), accuracy=0.9, hard=1.5, seed_effect=0.15)
        few, all_ = ([Replicates(tuple(range(n)), "d", cell[:n]) for cell in pair] for n in (5, 40))
        foreseen.append(paired_differences(few)[1].with_seeds(np.array(40)).variance[0, 1])
        shown.append(paired_differences(all_)[1].variance[0, 1])
    assert np.mean(foreseen) == pytest.approx(np.mean(shown), rel=0.25)
