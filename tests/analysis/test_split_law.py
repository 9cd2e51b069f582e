"""Power laws with planted truth: parameters, gains and held-out sizes must lie in their intervals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import crossed_interval, t_interval, wilson_interval
from mnistlab.analysis.split_law import (
    PURPOSES,
    corrected_interval,
    fit_law,
    gain,
    half_width,
    precision_table,
    predicted_error,
    recommend_split,
    split_laws,
    split_options,
    split_table,
)
from mnistlab.spec import Architecture, Cell, Split, Training

FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.6, 0.75, 0.8, 0.9, 1.0)
SIZES = np.array([round(54_000 * fraction) for fraction in FRACTIONS])
TRUTHS = [(0.0, 0.026, 0.37), (0.01, 0.016, 0.5), (0.02, 0.006, 0.8)]  # asymptote, removable, exponent


def expected(truth, n_train):
    asymptote, removable, exponent = truth
    return asymptote + removable * (np.asarray(n_train) / 54_000) ** -exponent


def measured(random, truth, n_seeds, *, seed_spread=0.06, draw_spread=0.0):
    """Mean errors: seeds differ, and so does the luck of the training digits, the more alike the more they share."""
    shared = np.sqrt(np.minimum.outer(SIZES, SIZES) / np.maximum.outer(SIZES, SIZES))
    draw = random.multivariate_normal(np.zeros(len(SIZES)), draw_spread**2 * shared)
    seeds = random.normal(0, seed_spread, (n_seeds, len(SIZES)))
    return expected(truth, SIZES) * np.exp(seeds + draw).mean(axis=0)


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_law_without_noise_is_found_exactly(truth):
    law = fit_law(SIZES[::-1], expected(truth, SIZES)[::-1])
    assert law.parameters == pytest.approx(truth, abs=1e-5)
    assert law.spread < 1e-5
    assert law.determined
    assert predicted_error(law, 20_000).value == pytest.approx(expected(truth, 20_000), rel=1e-5)
    assert gain(law).value == pytest.approx(expected(truth, 54_000) - expected(truth, 55_000), rel=1e-3)
    assert law.error([1.0, 54_000.0])[1] == pytest.approx(expected(truth, 54_000))


def test_the_interval_of_a_gain_follows_from_covariance_by_the_delta_method():
    law = fit_law(SIZES, measured(np.random.default_rng(1), TRUTHS[1], 3))
    derivative = approx_fprime(law.parameters, lambda p: expected(p, 54_000) - expected(p, 56_000), 1e-8)
    error = math.sqrt(derivative @ law.covariance @ derivative)
    bought = gain(law, 2000)
    assert bought.high - bought.value == pytest.approx(2.364624 * error, rel=1e-4)  # t.975 with 10 - 3 df
    assert bought.value - bought.low == pytest.approx(bought.high - bought.value)
    assert (bought.kind, bought.n) == ("delta", 10)


def test_flat_errors_leave_the_law_open_but_not_its_prediction():
    errors = 0.03 * np.exp([0.01, -0.01, 0.0, 0.01, -0.01])
    law = fit_law(SIZES[:5], errors)
    assert not fit_law(SIZES[:5], np.full(5, 0.03)).determined
    found = predicted_error(law, 10_000)
    assert found.low < 0.03 < found.high < 0.035


@settings(max_examples=60)
@given(errors=st.lists(st.floats(1e-4, 1.0), min_size=4, max_size=10))
def test_any_errors_have_a_law_that_never_rises_and_keeps_to_fractions(errors):
    law = fit_law(SIZES[: len(errors)], errors)
    assert (law.parameters >= 0).all()
    curve = law.error(np.geomspace(500, 10**6, 40))
    assert (np.diff(curve) <= 1e-12).all()
    found = predicted_error(law, 7_000)
    assert 0 <= found.low <= min(found.value, 1.0)
    assert found.low <= found.high <= 1
    assert np.isfinite([gain(law).low, gain(law).high]).all()


@pytest.mark.parametrize(("sizes", "errors"), [
    (SIZES[:3], [0.1, 0.09, 0.08]), ([1, 1, 2, 3], [0.1, 0.1, 0.09, 0.08]), (SIZES[:4], [0.1, 0.09, 0.08]),
    (SIZES[:4], [0.1, 0.09, 0.08, 0.0]), (SIZES[:4], [1.1, 0.09, 0.08, 0.07]), ([0, 1, 2, 3], [0.1] * 4)])  # fmt: skip
def test_what_carries_no_law_is_refused(sizes, errors):
    with pytest.raises(ValueError, match="got"):
        fit_law(sizes, errors)


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize(("n_seeds", "spreads"), [(3, (0.06, 0.0)), (10, (0.06, 0.0)), (3, (0.03, 0.02))])
def test_the_prediction_interval_covers_held_out_sizes(truth, n_seeds, spreads):
    random, n_studies = np.random.default_rng([2, n_seeds]), 150
    for held_out in (0, 4, 9):  # the smallest, one in the middle, the largest
        kept, hits = np.arange(len(SIZES)) != held_out, 0
        for _ in range(n_studies):
            errors = measured(random, truth, n_seeds, seed_spread=spreads[0], draw_spread=spreads[1])
            found = predicted_error(fit_law(SIZES[kept], errors[kept]), SIZES[held_out])
            hits += found.low <= errors[held_out] <= found.high
        assert hits / n_studies >= 0.9, f"{hits / n_studies:.3f} at {SIZES[held_out]} digits"


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS)
def test_the_intervals_of_gain_and_parameters_cover_the_planted_truth(truth):
    random, n_studies, hits = np.random.default_rng(3), 400, np.zeros(4)
    bought = expected(truth, 54_000) - expected(truth, 55_000)
    for _ in range(n_studies):
        law = fit_law(SIZES, measured(random, truth, 5))
        found, half = gain(law), law.half_width(np.diag(law.covariance))
        hits += [found.low <= bought <= found.high, *(np.abs(law.parameters - truth) <= half)]
    assert (hits / n_studies >= 0.9).all(), hits / n_studies
    assert hits[0] / n_studies <= 0.99


def test_corrected_interval_golden_value():
    # Mean .92, s2 .0004; (1/3 + 1/9) * .0004 = .00017778, root .0133333, times t.975(2) = 4.302653: .0573687.
    found = corrected_interval([0.90, 0.92, 0.94], 54_000, 6_000)
    assert (found.value, found.low, found.high) == pytest.approx((0.92, 0.8626313, 0.9773687), abs=5e-8)
    assert (found.kind, found.n) == ("corrected", 3)


def test_the_correction_is_none_without_overlap_and_nothing_without_numbers():
    plain = t_interval([0.90, 0.92, 0.94])
    assert corrected_interval([0.90, 0.92, 0.94], 54_000, 0).high == pytest.approx(plain.high)
    assert corrected_interval([], 9, 1) == Estimate(None, kind="corrected")
    assert corrected_interval([0.9, math.nan], 9, 1) == Estimate(0.9, n=1, kind="corrected")
    with pytest.raises(ValueError, match="at least 1"):
        corrected_interval([0.9], 0, 1)


def test_precision_at_the_size_measured_is_that_of_the_crossed_interval():
    random = np.random.default_rng(4)
    correct = random.random((5, 800)) < random.beta(9, 1, 800) - 0.05 * random.random((5, 1))
    now = crossed_interval(correct)
    [row] = precision_table(correct, [800]).to_dict("records")
    assert row["half_width"] == pytest.approx((now.high - now.low) / 2, rel=1e-6)


def test_more_test_digits_shrink_the_digits_part_alone():
    random = np.random.default_rng(5)
    luck = np.linspace(0.85, 0.95, 6)[:, None]
    table = precision_table(random.random((6, 5000)) < luck, [100, 10_000, 10**9])
    assert table["half_width"].is_monotonic_decreasing
    assert table["digits_share"].is_monotonic_decreasing
    seeds_alone = t_interval(luck.ravel())
    assert table["half_width"].iloc[-1] == pytest.approx((seeds_alone.high - seeds_alone.low) / 2, rel=0.05)
    assert table["digits_share"].iloc[-1] < 1e-3


def test_one_network_is_known_as_precisely_as_wilson_says():
    correct = np.arange(1000) < 975
    table = precision_table(correct[None], [1000, 10_000])
    at = wilson_interval(9750, 10_000)
    assert table["half_width"].iloc[1] == pytest.approx((at.high - at.low) / 2)
    assert table["half_width"].iloc[0] == pytest.approx(math.sqrt(10) * table["half_width"].iloc[1], rel=0.02)
    assert precision_table(np.ones((3, 50), bool), [50])["half_width"].item() == pytest.approx(half_width(1.0, 50))


def test_precision_of_no_bits_or_of_one_digit_is_refused():
    for bits, sizes in ((np.ones(5, bool), [10]), (np.ones((2, 0), bool), [10]), (np.ones((2, 5), bool), [1])):
        with pytest.raises(ValueError, match="sizes of at least 2"):
            precision_table(bits, sizes)


@pytest.fixture(scope="module")
def law():
    return fit_law(SIZES, expected(TRUTHS[0], SIZES))


def test_each_purpose_gets_the_ratio_that_brute_force_finds(law):
    options = split_options(law, 70_000)
    assert (options["n_train"] + options["n_test"] < 70_000).all()
    for purpose, column in PURPOSES.items():
        best = recommend_split(options, purpose)
        assert best[column] == options[column].min()
    # Error c per cent of ln n, half width 1/2 per cent of ln n_test: r / (1 - r) is c for narrowest, far more for both.
    assert recommend_split(options, "measured")["train_fraction"] == pytest.approx(0.37 / 1.37, abs=0.02)
    assert recommend_split(options, "accurate")["train_fraction"] == 0.99
    assert 0.8 < recommend_split(options, "both")["train_fraction"] < 0.95


def test_few_examples_ask_for_more_test_digits_and_are_marked_as_extrapolated(law):
    few, many = split_options(law, 1_000), split_options(law, 50_000)
    assert recommend_split(few, "both")["train_fraction"] < recommend_split(many, "both")["train_fraction"]
    assert few["extrapolated"].all()
    assert not many.loc[49, "extrapolated"]
    assert 0.05 < recommend_split(few, "measured")["train_fraction"] < 0.5  # no network that guesses is recommended


def test_a_purpose_or_a_number_of_examples_that_makes_no_sense_is_refused(law):
    with pytest.raises(ValueError, match="one of accurate, measured, both; got 'cheap'"):
        recommend_split(split_options(law, 1000), "cheap")
    with pytest.raises(ValueError, match="at least 100 examples"):
        split_options(law, 99)


def planted_frames(plans):
    """`plans`: (cell, n_test, expected error, seeds) each."""
    random = np.random.default_rng(8)
    cells, runs = [], []
    for cell, n_test, error, n_seeds in plans:
        side = round(cell.split.train_fraction * (60_000 if cell.split.protocol == "official" else 70_000))
        sizes = {"n_train": side - side // 10, "n_validation": side // 10, "n_test": n_test}
        cells.append({"cell": cell.id, "label": cell.label, **cell.settings(), "n_classes": 10, **sizes})
        for seed in range(n_seeds):
            accuracy = 1 - error * np.exp(random.normal(0, 0.05))
            runs.append({"run": f"{cell.id}{seed}", "cell": cell.id, "status": "done", "test_accuracy": accuracy,
                         "validation_accuracy": accuracy + 0.001})  # fmt: skip
    columns = ["run", "cell", "status", "test_accuracy", "validation_accuracy"]
    return pd.DataFrame(cells), pd.DataFrame(runs, columns=columns)


def family(protocol, truth, fractions, **rest):
    return [
        (Cell(Architecture((64,)), split=Split(protocol=protocol, train_fraction=fraction), **rest),
         10_000 if protocol == "official" else 70_000 - round(70_000 * fraction),
         expected(truth, 54_000 * fraction), 4)
        for fraction in fractions
    ]  # fmt: skip


def test_cells_that_differ_in_their_fraction_alone_are_a_family_and_protocols_are_never_mixed():
    patient = Training(early_stopping_patience=5, epochs=30)
    frames = planted_frames([
        *family("merged", TRUTHS[2], FRACTIONS[:-1]), *family("official", TRUTHS[0], FRACTIONS),
        *family("official", TRUTHS[1], (0.5, 1.0), training=patient),
        *family("official", TRUTHS[1], (0.5,), dataset="digits"),
    ])  # fmt: skip
    table = split_table(*frames)
    sizes = table.groupby(["family", "protocol"]).size().to_dict()
    assert sizes == {("1x64 relu, merged (writers seen in training), train 0.9", "merged"): 9,
                     ("1x64 relu", "official"): 10, ("1x64 relu, 30 epochs, patience 5", "official"): 2}  # fmt: skip
    laws = split_laws(table).set_index("protocol")
    assert laws.index.tolist().count("official") == 1
    assert laws.loc["official", ["sizes", "networks", "present"]].tolist() == [10, 40, 54_000]
    for protocol, rows in table[table["family"] != "1x64 relu, 30 epochs, patience 5"].groupby("protocol"):
        alone = fit_law(rows["n_train"], [error.value for error in rows["error"]])
        assert laws.loc[protocol, "law"].parameters == pytest.approx(alone.parameters)
        assert laws.loc[protocol, "exponent"].value == alone.parameters[2]
    assert 0 < laws.loc["official", "gain"].low < laws.loc["official", "gain"].high


def test_a_size_has_the_mean_of_its_networks_collapsed_ones_counted_apart():
    cells, runs = planted_frames(family("official", TRUTHS[0], FRACTIONS))
    runs.loc[0, ["test_accuracy", "validation_accuracy"]] = 0.1135
    runs.loc[5, "status"] = "diverged"
    table = split_table(cells, runs)
    assert table["collapsed"].tolist() == [1] + [0] * 9
    kept = runs[runs["cell"] == cells["cell"][0]].iloc[1:]
    assert table["error"][0] == t_interval(1 - kept["test_accuracy"], limits=(0, 1))
    assert table["validation_accuracy"][0] == corrected_interval(kept["validation_accuracy"], 1688, 187)
    assert table["runs"][0] == tuple(kept["run"])
    assert table["error"][1].n == 3


def test_families_of_too_few_sizes_have_no_law_and_no_runs_no_table():
    few = split_table(*planted_frames(family("official", TRUTHS[0], (0.6, 0.8, 1.0))))
    assert len(few) == 3
    assert split_laws(few).empty
    cells, runs = planted_frames(family("official", TRUTHS[0], FRACTIONS))
    nothing = split_table(cells, runs.iloc[:0])
    assert nothing.empty
    assert split_laws(nothing).empty


def test_a_law_that_the_sizes_leave_open_has_parameters_without_ends():
    cells, runs = planted_frames(family("official", TRUTHS[0], FRACTIONS))
    runs["test_accuracy"] = 0.97
    [row] = split_laws(split_table(cells, runs)).to_dict("records")
    assert row["exponent"].low is None
    assert row["gain"].value == pytest.approx(0, abs=1e-6)
