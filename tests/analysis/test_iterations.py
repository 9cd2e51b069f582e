"""Curves whose best epochs, regrets and gains were planted, or worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.analysis.intervals import t_interval
from mnistlab.analysis.iterations import asked_and_done, best_epochs, epochs_to_target, stopping_regret, ten_more_epochs
from mnistlab.engines.base import EarlyStopping


def planted(*curves, asked=None, loss=None, test=None, cell="a" * 12):
    """Frames of one cell; `curves`, one a network: validation accuracy, or validation loss where `loss` says so."""
    runs, epochs = [], []
    for seed, curve in enumerate(curves):
        run = f"{cell}-{seed}"
        runs.append({"run": run, "cell": cell, "seed": seed, "status": "done", "epochs_asked": asked or len(curve),
                     "epochs_done": float(len(curve)), "best_epoch": np.nan,
                     "stopped_by": "epochs" if len(curve) == (asked or len(curve)) else "early_stopping"})  # fmt: skip
        for number, value in enumerate(curve, start=1):
            falling = value if loss else 1 - value
            epochs.append({"run": run, "epoch": number, "validation_loss": falling,
                           "validation_accuracy": 1 - falling,
                           "test_accuracy": test[seed][number - 1] if test else 0.5})  # fmt: skip
    columns = ["run", "epoch", "validation_loss", "validation_accuracy", "test_accuracy"]
    return pd.DataFrame(runs), pd.DataFrame(epochs, columns=columns)


def together(*studies):
    return tuple(pd.concat(frames, ignore_index=True) for frames in zip(*studies, strict=True))


def median_to_target(epochs_needed, asked):
    """Networks that reach 0.9 in a given epoch; None: not within those asked."""
    curves = [
        [0.95 if needed and epoch >= needed else 0.5 for epoch in range(1, asked + 1)] for needed in epochs_needed
    ]
    return epochs_to_target(*planted(*curves), 0.9).iloc[0]


def test_the_median_of_epochs_to_the_target_counts_those_that_never_reach_it():
    row = median_to_target([3, 5, 4, None, None], 10)
    assert (row["networks"], row["reached"], row["target"]) == (5, 3, 0.9)
    # Kaplan-Meier by hand: 4/5 after epoch 3, 3/5 after 4, 2/5 after 5.
    assert (row["epochs"].value, row["epochs"].n, row["epochs"].kind) == (5.0, 5, "median")


def test_a_median_that_fewer_than_half_reached_is_not_known_but_has_a_lower_end():
    row = median_to_target([2, 3, 4, *[None] * 7], 10)
    assert row["reached"] == 3
    assert row["epochs"].value is None
    # of ten, the second and the ninth: 2·P(Binomial(10, 1/2) <= 1) = 2.1 %.
    assert (row["epochs"].low, row["epochs"].high) == (3.0, None)


def test_a_target_nobody_reached_is_censored_and_not_missing():
    row = median_to_target([None] * 4, 10)
    assert (row["networks"], row["reached"], row["epochs"].value, row["epochs"].n) == (4, 0, None, 4)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_without_censoring_the_median_is_the_lower_middle_and_lies_in_its_interval(needed):
    estimate = median_to_target(needed, 40)["epochs"]
    assert estimate.value == sorted(needed)[(len(needed) + 1) // 2 - 1]
    if estimate.low is not None:
        assert estimate.low <= estimate.value <= estimate.high


def test_networks_that_gave_up_do_not_make_a_cell_look_fast():
    # One of three gets there in epoch 20; censored where the others stopped, the median would be 20.
    short, long = [0.5] * 8, [0.5] * 19 + [0.95]
    row = epochs_to_target(*planted(short, short, long, asked=50), 0.9).iloc[0]
    assert (row["reached"], row["epochs"].value) == (1, None)


def test_a_diverged_network_has_not_reached_the_target_and_a_failed_one_does_not_count():
    runs, epochs = planted([0.5, 0.95], [0.5, 0.95], [0.5, 0.6], [0.5, 0.6])
    runs["status"] = ["done", "done", "diverged", "failed"]
    row = epochs_to_target(runs, epochs, 0.9).iloc[0]
    assert (row["networks"], row["reached"], row["epochs"].value) == (3, 2, 2.0)


@pytest.mark.parametrize("target", [0, 98, -0.1, math.nan])
def test_a_target_that_is_no_fraction_is_refused(target):
    with pytest.raises(ValueError, match=r"fraction above 0 and at most 1; got"):
        epochs_to_target(*planted([0.5]), target)


def test_the_best_epoch_is_that_of_lowest_loss_and_best_at_the_end_is_counted():
    falls, turns = [0.5, 0.4, 0.3, 0.2], [0.5, 0.2, 0.3, 0.4]
    row = best_epochs(*planted(falls, turns, turns, loss=True)).iloc[0]
    assert (row["networks"], row["at_end"]) == (3, 1)
    assert row["best_epoch"] == t_interval([4, 2, 2], limits=(1, np.inf))


def test_the_planted_best_epoch_lies_in_its_interval():
    random, epoch = np.random.default_rng(5), np.arange(1, 41)
    curves = [0.1 + 1e-3 * (epoch - best) ** 2 for best in random.normal(17, 3, 20).round()]
    estimate = best_epochs(*planted(*curves, loss=True)).iloc[0]["best_epoch"]
    assert estimate.low < 17 < estimate.high


REGRET_LOSS = [0.5, 0.4, 0.45, 0.42, 0.3, 0.35, 0.36, 0.37, 0.2, 0.25]
REGRET_TEST = [0.90, 0.92, 0.91, 0.91, 0.95, 0.94, 0.94, 0.94, 0.97, 0.96]


def test_regrets_worked_out_by_hand():
    study = planted(REGRET_LOSS, REGRET_LOSS, loss=True, test=[REGRET_TEST] * 2)
    rows = stopping_regret(*study).set_index("patience")
    # Patience 1 stops after epoch 3 and keeps 2; 3 passes the two bad epochs behind 2, stops after 8 and keeps 5;
    # 4 goes to the end, as the last epoch is only the first bad one behind 9.
    expected = {1: (2, 0.2, 0.05, 7), 2: (2, 0.2, 0.05, 6), 3: (2, 0.1, 0.02, 2), 4: (0, 0.0, 0.0, 0)}
    for patience, (stopped, loss, accuracy, saved) in expected.items():
        row = rows.loc[patience]
        values = [row[name].value for name in ("loss_lost", "accuracy_lost", "test_accuracy_lost", "epochs_saved")]
        assert row["stopped"] == stopped
        assert values == pytest.approx([loss, loss, accuracy, saved])
    assert list(rows.index) == list(range(1, 11))
    assert (rows.loc[4:, "stopped"] == 0).all()


# An epoch whose loss is NaN is one without a lower loss.
curves_of_loss = st.lists(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan]), max_size=25).map(lambda later: [0.4, *later]),
    min_size=1,
    max_size=3,
)


def stopped_by_the_engines_rule(curve, patience):
    rule = EarlyStopping(patience)
    for epoch, loss in enumerate(curve, start=1):
        rule.improved(epoch, loss)
        if rule.should_stop:
            break
    return epoch, rule.best_loss


@given(curves_of_loss)
def test_the_replay_stops_and_keeps_what_the_engines_rule_does(curves):
    rows = stopping_regret(*planted(*curves, loss=True)).set_index("patience")
    for patience in range(1, 11):
        last, kept = zip(*(stopped_by_the_engines_rule(curve, patience) for curve in curves), strict=True)
        saved = [len(curve) - epoch for curve, epoch in zip(curves, last, strict=True)]
        lost = [loss - np.nanmin(curve) for curve, loss in zip(curves, kept, strict=True)]
        row = rows.loc[patience]
        assert row["stopped"] == sum(map(bool, saved))
        assert row["epochs_saved"].value == pytest.approx(np.mean(saved))
        assert row["loss_lost"].value == pytest.approx(np.mean(lost))


@given(curves_of_loss)
def test_more_patience_never_loses_more_loss_nor_saves_more_epochs(curves):
    rows = stopping_regret(*planted(*curves, loss=True))
    for name in ("loss_lost", "epochs_saved"):
        values = np.array([estimate.value for estimate in rows[name]])
        assert (values >= -1e-12).all()
        assert (np.diff(values) <= 1e-12).all()


def test_test_digits_choose_nothing():
    study, other = (planted(REGRET_LOSS, loss=True, test=[test]) for test in (REGRET_TEST, REGRET_TEST[::-1]))
    ours, theirs = stopping_regret(*study), stopping_regret(*other)
    names = ["patience", "stopped", "loss_lost", "accuracy_lost", "epochs_saved"]
    pd.testing.assert_frame_equal(ours[names], theirs[names])
    assert ours["test_accuracy_lost"][0] != theirs["test_accuracy_lost"][0]
    assert best_epochs(*study).equals(best_epochs(*other))


def test_curves_that_early_stopping_cut_are_not_replayed():
    runs, epochs = planted(REGRET_LOSS, loss=True)
    assert stopping_regret(runs.assign(best_epoch=9.0), epochs).empty


def gains(curves):
    return ten_more_epochs(*planted(*curves)).set_index("after")["gain"]


def noisy(truth, n=10, noise=0.001):
    random = np.random.default_rng(2)
    return [truth + noise * random.standard_normal(len(truth)) for _ in range(n)]


def exponential(epoch):
    return 0.97 - 0.1 * np.exp(-epoch / 8)


def power(epoch):
    return 0.98 - 0.06 / np.sqrt(epoch)


def between(epoch):
    return (exponential(epoch) + power(epoch)) / 2


def test_ten_epochs_along_the_curve_are_measured_in_pairs():
    # Networks differ by far more than ten epochs bring; each one's own gain does not.
    rising = np.arange(1, 31) / 1000
    rows = ten_more_epochs(*planted(0.5 + rising, 0.6 + rising, 0.7 + 1.1 * rising))
    assert list(rows["after"]) == [10, 20, 30]
    assert list(rows["measured"]) == [True, True, False]
    for gain in rows["gain"][:2]:
        assert gain.value == pytest.approx(0.031 / 3)
        assert (gain.low, gain.high) == (
            pytest.approx(gain.value - 0.0014342, abs=1e-6),
            pytest.approx(0.0117675, abs=1e-6),
        )
        assert gain.kind == "t"


@pytest.mark.parametrize("truth", [exponential, power, between])
@pytest.mark.parametrize("length", [10, 20, 30])
def test_the_extrapolated_interval_holds_the_gain_of_planted_curves(truth, length):
    gain = gains(noisy(truth(np.arange(1.0, length + 1))))[length]
    came = truth(length + 10.0) - truth(float(length))
    assert gain.low < came < gain.high
    assert (gain.kind, gain.n) == ("prediction", 10)


@pytest.mark.parametrize(("truth", "end"), [(exponential, "low"), (power, "high")])
def test_each_model_finds_its_own_curve(truth, end):
    gain = gains([truth(np.arange(1.0, 21.0))] * 3)[20]
    assert getattr(gain, end) == pytest.approx(truth(30.0) - truth(20.0), rel=0.03)


def test_while_a_curve_flattens_the_last_measured_gain_is_above_the_next():
    for truth in (exponential, power, between):
        found = gains([truth(np.arange(1.0, 21.0))] * 3)
        assert found[10].value > truth(30.0) - truth(20.0)


@pytest.mark.parametrize("curve", [[0.1135] * 10, np.linspace(0.9, 0.8, 10)])
def test_a_curve_that_does_not_rise_promises_nothing(curve):
    gain = gains([curve] * 3)[10]
    assert (gain.value, gain.low, gain.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_one_network_has_a_gain_without_interval_and_a_short_curve_has_none():
    gain = gains([exponential(np.arange(1.0, 11.0))])[10]
    assert 0 < gain.value < 0.1
    assert (gain.low, gain.high, gain.n) == (None, None, 1)
    assert gains([[0.9, 0.92, 0.93, 0.94]]).empty


def test_cells_whose_networks_end_by_themselves_are_not_asked_for_more():
    assert ten_more_epochs(*planted([0.5] * 12, [0.5] * 9, asked=12)).empty


def test_epochs_asked_and_done_stand_beside_the_reasons():
    runs, _ = planted([0.5] * 50, [0.5] * 30, [0.5] * 40, asked=50)
    runs.loc[2, "stopped_by"] = "tol"
    row = asked_and_done(runs).iloc[0]
    assert (row["networks"], row["epochs_asked"], row["epochs"], row["early_stopping"], row["tol"]) == (3, 50, 1, 1, 1)
    assert row["epochs_done"] == t_interval([50, 30, 40], limits=(0, 50))


@pytest.mark.parametrize("table", [best_epochs, stopping_regret, ten_more_epochs,
                                   lambda runs, epochs: epochs_to_target(runs, epochs, 0.9)])  # fmt: skip
def test_cells_keep_their_order_and_those_without_a_validation_curve_have_no_row(table):
    second, first = planted([0.5] * 6, [0.6] * 6, cell="b"), planted([0.5] * 6, cell="a")
    blind = planted([0.5] * 6, cell="c")
    blind[1][["validation_loss", "validation_accuracy"]] = np.nan
    assert list(dict.fromkeys(table(*together(second, blind, first))["cell"])) == ["b", "a"]
    runs, epochs = blind
    assert table(runs, epochs).empty
    assert table(runs.iloc[:0], epochs.iloc[:0]).empty
