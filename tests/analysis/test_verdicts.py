"""Golden values, words, and simulated studies whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from mnistlab.analysis.intervals import CrossedVariance, Replicates
from mnistlab.analysis.replication import adaptive_table, looks_up_to
from mnistlab.analysis.verdicts import (
    PairTests,
    generalised_p,
    holm,
    judge,
    knob_pairs,
    mcnemar_midp,
    pair_tests,
    verdict_table,
)
from mnistlab.spec import Architecture, Cell, Split, Training

N_DIGITS = 1000


@pytest.mark.parametrize(
    ("n_first", "n_second", "p"),
    [(60, 40, 0.046044), (10, 2, 0.022461), (81, 52, 0.011952), (5, 5, 1 - math.comb(10, 5) / 2**11), (0, 0, 1)],
)
def test_mid_p_of_mcnemar_golden_values(n_first, n_second, p):
    assert float(mcnemar_midp(n_first, n_second)) == pytest.approx(p, abs=5e-7)
    assert float(mcnemar_midp(n_second, n_first)) == pytest.approx(p, abs=5e-7)


def test_holm_golden_value():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_raises_every_p(p):
    adjusted = holm(p)
    assert np.all((adjusted >= p) & (adjusted <= 1))
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)
    assert np.all((adjusted <= 0.05) <= (np.asarray(p) <= 0.05))


def frame(*cells):
    return pd.DataFrame([cell.settings() for cell in cells])


def found_pairs(*cells):
    return [tuple(row) for row in knob_pairs(frame(*cells)).itertuples(index=False)]


def test_a_family_holds_the_pairs_that_differ_in_its_knob_alone():
    small, wide, deep = (Cell(Architecture(layers)) for layers in ((8,), (16,), (8, 8)))
    wide_and_deep, funnel = Cell(Architecture((16, 16))), Cell(Architecture((16, 8)))
    tanh, batched = Cell(Architecture((8,), "tanh")), Cell(Architecture((8,), batch_norm=True))
    slow = Cell(Architecture((8,)), training=Training(learning_rate=1e-4))
    both = Cell(Architecture((8,), "tanh"), training=Training(learning_rate=1e-4))
    cells = (small, wide, deep, wide_and_deep, funnel, tanh, batched, slow, both)
    assert sorted(found_pairs(*cells)) == sorted(
        [("width", 1, 0), ("width", 3, 2), ("depth", 2, 0), ("depth", 3, 1)]
        + [("layers", 4, number) for number in range(4)]
        + [("activation", 5, 0), ("batch_norm", 6, 0), ("learning_rate", 7, 0), ("learning_rate", 8, 5)]
        + [("activation", 8, 7)]
    )


def test_what_is_tested_on_other_digits_is_no_knob():
    merged, digits = Cell(Architecture((8,)), Split("merged", 0.6)), Cell(Architecture((8,)), dataset="digits")
    assert found_pairs(Cell(Architecture((8,)), Split(train_fraction=0.6)), merged, digits) == []
    assert knob_pairs(frame(merged)).columns.tolist() == ["knob", "a", "b"]


def verdicts_of(*correct, seeds=None, digits="d", margin=0.002, **options):
    """Of every later cell against every earlier one, in one family."""
    names = [digits] * len(correct) if isinstance(digits, str) else digits
    replicates = {number: Replicates(tuple(range(len(bits))) if seeds is None else seeds[number], name, bits)
                  for number, (bits, name) in enumerate(zip(correct, names, strict=True))}  # fmt: skip
    pairs = [("width", a, b) for b in replicates for a in replicates if a > b]
    return verdict_table(pd.DataFrame(pairs, columns=["knob", "a", "b"]), replicates, margin=margin, **options)


def study(random, n_cells, n_seeds, *, seed_effect, accuracy=0.95, lead=0.0, n_digits=N_DIGITS, hard=1.5):
    """Bits of cells of equal accuracy but for the last, which leads: (n_cells, n_seeds, n_digits)."""
    scale = math.sqrt(1 + hard**2 + seed_effect**2)
    level = norm.ppf(np.r_[np.full(n_cells - 1, accuracy), accuracy + lead]) * scale
    score = random.standard_normal((n_cells, n_seeds, n_digits), dtype=np.float32)
    score += np.float32(hard) * random.standard_normal((1, 1, n_digits), dtype=np.float32)
    score += np.float32(seed_effect) * random.standard_normal((n_cells, n_seeds, 1), dtype=np.float32)
    return score > -level[:, None, None].astype(np.float32)


def test_a_difference_is_that_of_the_crossed_interval_and_of_students_t():
    first, second = study(np.random.default_rng(1), 2, 6, seed_effect=0.1, lead=0.01)
    [row] = verdicts_of(first, second).itertuples()
    d = second.astype(float) - first
    by_seed, by_digit = d.mean(axis=1).var(ddof=1) / 6, d.mean(axis=0).var(ddof=1) / N_DIGITS
    residual = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    by_both = np.square(residual).sum() / (5 * (N_DIGITS - 1)) / d.size
    variance = max(by_seed + by_digit - by_both, by_seed, by_digit)
    df = variance**2 / (by_seed**2 / 5 + by_digit**2 / (N_DIGITS - 1))
    half = t.ppf(0.975, df) * math.sqrt(variance)
    estimate = row.difference
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((d.mean(), d.mean() - half, d.mean() + half))
    assert (estimate.n, estimate.kind, estimate.level, row.seeds) == (6, "crossed", 0.95, 6)
    assert row.p == row.p_holm == pytest.approx(2 * t.sf(abs(d.mean()) / math.sqrt(variance), df))


def test_the_words_follow_the_interval():
    random = np.random.default_rng(2)
    low, high = study(random, 2, 20, seed_effect=0.05, lead=0.03)
    assert verdicts_of(low, high)["verdict"].tolist() == ["better"]
    assert verdicts_of(high, low)["verdict"].tolist() == ["worse"]
    alike = study(random, 2, 20, seed_effect=0.05)
    assert verdicts_of(*alike, margin=0.02)["verdict"].tolist() == ["equivalent"]
    [row] = verdicts_of(*alike, margin=0.0005).itertuples()
    assert row.verdict == "undecided"
    assert verdicts_of(low, low)["verdict"].tolist() == ["equivalent"]
    assert verdicts_of(low, low)["p"].tolist() == [1]


def test_every_knob_is_adjusted_by_itself_and_its_verdicts_follow_the_adjusted_p():
    random = np.random.default_rng(12)
    cells = study(random, 6, 8, seed_effect=0.1, lead=0.012)
    replicates = {number: Replicates(tuple(range(8)), "d", bits) for number, bits in enumerate(cells)}
    knobs = ["width", "depth", "width", "width", "depth"]
    pairs = pd.DataFrame({"knob": knobs, "a": [5, 5, 4, 3, 2], "b": [0, 1, 2, 1, 3]})
    found = verdict_table(pairs, replicates, margin=1e-6)
    for knob, rows in found.groupby("knob"):
        tests = pair_tests(pairs, replicates)
        own = (tests.pairs["knob"] == knob).to_numpy()
        assert rows["p_holm"].to_numpy() == pytest.approx(holm(tests.p_in_family[own])), knob
        assert np.all(tests.p_in_family[own] >= rows["p"])
    assert found["p_holm"].to_numpy() != pytest.approx(holm(tests.p_in_family))
    different = found["verdict"].isin(["better", "worse"])
    assert different.tolist() == (found["p_holm"] < 0.05).tolist()
    assert (different != (found["p"] < 0.05)).any()  # the adjustment decides at least one of them


def test_two_single_networks_get_mcnemars_test_which_says_nothing_of_their_cells():
    first, second = np.ones((1, 1000), dtype=bool), np.ones((1, 1000), dtype=bool)
    first[0, :40], second[0, 40:100] = False, False
    [row] = verdicts_of(first, second).itertuples()
    assert (row.difference.value, row.difference.kind, row.difference.n) == (pytest.approx(-0.02), "mcnemar", 1000)
    assert row.p == pytest.approx(0.046044, abs=5e-7)
    assert row.difference.low < -0.02 < row.difference.high < 0.001
    assert (row.verdict, row.seeds, math.isnan(row.seeds_to_decide)) == ("undecided", 1, True)
    assert verdicts_of(first, first)["verdict"].tolist() == ["undecided"]


def of_parts(difference, n_seeds, by_seed, by_digit, knob="width"):
    """Pairs of one knob with these differences and parts of their variance."""
    shape = np.ones(len(difference))
    spread = CrossedVariance(*(np.asarray(part) * shape for part in (n_seeds, 10_000, by_seed, by_digit, 0.0)))
    spread = CrossedVariance(spread.n_seeds.astype(int), *(getattr(spread, name) for name in (
        "n_digits", "by_seed", "by_digit", "by_both")))  # fmt: skip
    p = 2 * t.sf(np.abs(difference) / np.sqrt(spread.variance), spread.df)
    in_family = np.maximum(p, generalised_p(np.asarray(difference), spread)) if len(p) > 1 else p
    pairs = pd.DataFrame({"knob": knob, "a": range(len(p)), "b": -1})
    return PairTests(pairs, np.asarray(difference), spread, p, in_family, np.full(len(p), len(p)))


@pytest.mark.parametrize("others", [0, 1, 8])
def test_so_many_more_seeds_decide_and_one_less_does_not(others):
    """In a family of its own, and as the surest of several."""
    far = np.linspace(0.0001, 0.0002, others)
    now = of_parts([0.0025, *far], 5, 1.5e-6, 1e-7)
    further = int(judge(now, 0.0001, 0.05)["seeds_to_decide"].iloc[0])
    assert 0 < further < 100
    for more, verdict in ((further, "better"), (further - 1, "undecided")):
        then = of_parts([0.0025, *far], 5 + more, 1.5e-6 * 5 / (5 + more), 1e-7)
        assert judge(then, 0.0001, 0.05)["verdict"].iloc[0] == verdict


def test_a_pair_waits_for_those_of_its_family_that_are_surer():
    # The first can never be told apart, by its digits; the second is less sure and could be, were it not for the first.
    tests = of_parts([0.0021, 0.0030], [5, 5], [0.0, 2e-6], [1e-6, 1e-8])
    alone = judge(of_parts([0.0030], 5, 2e-6, 1e-8, knob="b"), 1e-5, 0.05)
    assert tests.p_in_family[0] < tests.p_in_family[1]
    together = judge(tests, 1e-5, 0.05)
    assert together["verdict"].tolist() == ["undecided"] * 2
    assert together["seeds_to_decide"].isna().all()
    assert alone["seeds_to_decide"].iloc[0] < 100


def test_single_networks_neither_decide_nor_hold_up_the_others_of_their_family():
    first, second, third = study(np.random.default_rng(15), 3, 4, seed_effect=0.05, lead=0.02)
    seeds = [(0, 1, 2, 3), (0, 1, 2, 3), (3, 4, 5, 6)]
    table = verdicts_of(first, third, second, seeds=seeds, margin=1e-4).set_index(["a", "b"])
    assert table["seeds"].tolist() == [4, 1, 1]
    assert table["p_holm"].tolist()[1:] == [1, 1]
    assert table["p"].iloc[1] < 1
    assert not math.isnan(table["seeds_to_decide"].iloc[0])


def test_pairs_of_which_nothing_is_known_yet_count_in_their_family():
    first, second = study(np.random.default_rng(14), 2, 6, seed_effect=0.1, lead=0.012)
    replicates = {n: Replicates(tuple(range(6)), "d", bits) for n, bits in enumerate((first, second))}
    pairs = pd.DataFrame({"knob": "width", "a": [1, 2, 2], "b": [0, 0, 1]})
    [alone], [one_of_three] = (verdict_table(rows, replicates).itertuples() for rows in (pairs.iloc[:1], pairs))
    assert alone.p == one_of_three.p == alone.p_holm
    assert one_of_three.p_holm >= 3 * one_of_three.p


def test_only_common_seeds_on_the_same_digits_are_compared():
    cells = study(np.random.default_rng(3), 3, 4, seed_effect=0.1)
    found = verdicts_of(*cells, seeds=[(0, 1, 2, 3), (2, 3, 4, 5), (6, 7, 8, 9)])
    assert [(row.a, row.b, row.seeds) for row in found.itertuples()] == [(1, 0, 2)]
    same = verdicts_of(cells[0][2:], cells[1][:2])
    ends = [[estimate.low, estimate.high] for estimate in (*found["difference"], *same["difference"])]
    assert ends[0] == pytest.approx(ends[1])
    assert verdicts_of(*cells[:2], digits=("d", "e")).empty
    assert set(verdicts_of().columns) == set(found.columns)


@pytest.mark.parametrize(("margin", "alpha"), [(0, 0.05), (-0.1, 0.05), (0.002, 0), (0.002, 0.5), (math.nan, 0.05)])
def test_a_margin_or_an_alpha_that_means_nothing_is_refused(margin, alpha):
    with pytest.raises(ValueError, match=r"margin|alpha"):
        verdicts_of(margin=margin, alpha=alpha)


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 40])
@pytest.mark.parametrize("ratio", [0.5, 2, 10])
def test_among_many_a_p_value_is_students_where_only_seeds_vary_and_the_normal_one_where_only_digits_do(n_seeds, ratio):
    spread = CrossedVariance(*(np.full(1, value) for value in (n_seeds, 10_000, 1.0, 0.0, 0.0)))
    found = generalised_p(np.array([float(ratio)]), spread)
    assert found == pytest.approx(2 * t.sf(ratio, n_seeds - 1), rel=1e-4)
    spread = CrossedVariance(*(np.full(1, value) for value in (n_seeds, 10_000, 0.0, 1.0, 0.0)))
    assert generalised_p(np.array([float(ratio)]), spread) == pytest.approx(2 * norm.sf(ratio), rel=1e-9)


def test_among_many_a_p_value_is_the_average_over_what_the_seeds_variance_may_be():
    parts = n_seeds, _, by_seed, by_digit, by_both = 4, 10_000, 0.5, 0.8, 0.3
    chi2 = np.random.default_rng(1).chisquare(n_seeds - 1, 400_000)
    variance = np.maximum(by_seed * (n_seeds - 1) / chi2 + by_digit - by_both, by_digit)
    by_hand = (2 * norm.sf(2.5 / np.sqrt(variance))).mean()
    spread = CrossedVariance(*(np.full(1, value) for value in parts))
    assert generalised_p(np.array([2.5]), spread) == pytest.approx(by_hand, rel=0.01)


def test_looks_double_up_to_the_most_and_spend_the_error_once():
    assert [look.n_seeds for look in looks_up_to(40)] == [5, 10, 20, 40]
    assert [look.n_seeds for look in looks_up_to(12)] == [5, 10, 12]
    assert [(look.n_seeds, look.alpha) for look in looks_up_to(5)] == [(5, 0.05)]
    assert looks_up_to(5)[0].alpha_equivalence == pytest.approx(0.05)
    shares = [look.alpha for look in looks_up_to(40)]
    assert sum(shares) == pytest.approx(0.05)
    assert np.divide(shares[:-1], shares[1:]) == pytest.approx([0.4] * 3)
    with pytest.raises(ValueError, match="5 or more; got 4"):
        looks_up_to(4)


@pytest.mark.parametrize("max_seeds", [12, 40, 100])
def test_all_looks_together_call_cells_a_margin_apart_equivalent_as_seldom_as_one(max_seeds):
    """Means of more and more of the same numbers, at the margin: how often any look's test passes."""
    looks = looks_up_to(max_seeds)
    counts = np.array([look.n_seeds for look in looks])
    steps = np.random.default_rng(5).standard_normal((200_000, len(counts))) * np.sqrt(np.diff(counts, prepend=0))
    passed = steps.cumsum(axis=1) / np.sqrt(counts) > norm.isf([look.alpha_equivalence for look in looks])
    assert 0.045 < passed.any(axis=1).mean() < 0.0505


def looked_at(correct, max_seeds=20, margin=0.002):
    """Every later cell against the first, by looks."""
    replicates = {n: Replicates(tuple(range(len(bits))), "d", bits) for n, bits in enumerate(correct)}
    pairs = pd.DataFrame([("width", n, 0) for n in replicates if n], columns=["knob", "a", "b"])
    found = adaptive_table(pairs, replicates, seeds=range(max_seeds), looks=looks_up_to(max_seeds), margin=margin)
    return {row.a: row for row in found.itertuples()}


def test_what_an_early_look_decides_is_not_asked_again():
    base, much, equal = study(np.random.default_rng(4), 3, 20, seed_effect=0.05, lead=0.0)
    ahead = base | (np.random.default_rng(5).random(base.shape) < 0.5)  # half of its errors are gone
    first = looked_at([base[:5], ahead[:5], much[:5]], margin=0.002)
    assert (first[1].verdict, first[1].look, first[1].wants) == ("better", 5, 0)
    assert (first[2].verdict, first[2].look, first[2].wants) == ("undecided", 10, 10)
    later = looked_at([base, ahead, much[:7]], margin=0.002)
    assert later[1].difference == first[1].difference
    assert (later[2].look, later[2].seeds, later[2].wants) == (10, 7, 10)
    whole = looked_at([base, ahead, equal], margin=0.05)
    assert (whole[2].verdict, whole[2].wants) == ("equivalent", 0)


def test_what_no_seed_would_decide_is_given_up_before_the_last_look():
    cells = study(np.random.default_rng(6), 11, 40, seed_effect=0.05)
    found = looked_at(cells, max_seeds=40, margin=0.0001).values()
    assert {(row.verdict, row.wants) for row in found} == {("undecided", 0)}
    assert sum(row.look < 40 for row in found) >= 5
