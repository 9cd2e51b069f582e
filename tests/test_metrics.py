import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, log_loss

from mnistlab.metrics import N_BINS, accuracy, evaluate, mean_log_loss
from mnistlab.records import PartLabels


def digits_of(labels, n_classes=10):
    labels = np.asarray(labels, np.uint8)
    return PartLabels("mnist", "test", n_classes, np.arange(len(labels), dtype=np.int32), labels)


def network(seed, n=10_000, sharpness=7.0):
    """Probabilities and labels of a network whose top probability tells exactly how often it is right."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 10))
    logits[np.arange(n), random.integers(0, 10, n)] += sharpness * random.random(n)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((n, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return probabilities, digits_of(labels)


def test_values_by_hand_of_four_digits_and_three_classes():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.25, 0.25, 0.5]])
    found = evaluate(probabilities, digits_of([0, 1, 1, 2], 3))
    assert found.predicted.tolist() == [0, 1, 0, 2]
    assert found.accuracy == 0.75
    assert found.log_loss == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.5]).mean())
    assert found.brier == pytest.approx(((0.09 + 0.04 + 0.01) + 0.06 + (0.25 + 0.49 + 0.04) + 0.375) / 4)
    assert found.macro_precision == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found.macro_recall == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 300), rounded=st.booleans())
def test_log_loss_brier_and_calibration_equal_scikit_learn_s_and_plain_sums_to_1e_12(seed, n, rounded):
    probabilities, digits = network(seed, n)
    if rounded:  # ties: some bins stay empty
        probabilities = np.round(probabilities, 1) + 1e-3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = evaluate(probabilities, digits)
    top = (probabilities / probabilities.sum(axis=1, keepdims=True)).max(axis=1)
    right, confidence = calibration_curve(found.correct, top, pos_label=True, n_bins=N_BINS, strategy="quantile")
    whole = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert found.log_loss == pytest.approx(log_loss(digits.labels, whole, labels=range(10)), rel=0, abs=1e-12)
    squares = [(p - (j == label)) ** 2 for row, label in zip(whole, digits.labels, strict=True)
               for j, p in enumerate(row)]  # fmt: skip
    assert found.brier == pytest.approx(sum(squares) / n, rel=0, abs=1e-12)
    filled = found.bin_count > 0
    np.testing.assert_allclose(found.bin_accuracy[filled], right, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.bin_confidence[filled], confidence, rtol=0, atol=1e-12)
    assert np.isnan(found.bin_accuracy[~filled]).all()
    assert np.isnan(found.bin_confidence[~filled]).all()
    assert found.bin_count.sum() == n
    apart = (found.bin_count[filled] / n * np.abs(right - confidence)).sum()
    assert found.ece == pytest.approx(apart, rel=0, abs=1e-12)


def test_bins_of_equal_mass_hold_equally_many_digits():
    probabilities, digits = network(0)
    assert np.ptp(evaluate(probabilities, digits).bin_count) <= 1


def test_a_perfectly_calibrated_network_shows_the_floor_and_no_more():
    found = [evaluate(*network(seed)) for seed in range(20)]
    excess = [one.ece - one.ece_floor for one in found]
    assert np.mean(excess) == pytest.approx(0, abs=4 * np.std(excess) / np.sqrt(20))
    assert np.mean([one.ece for one in found]) > 0.005  # which would look like a fault without its floor beside it


def test_the_floor_of_one_bin_is_the_mean_absolute_deviation_of_a_binomial():
    probabilities = np.full((10_000, 10), 0.025 / 9)
    probabilities[:, 0] = 0.975
    found = evaluate(probabilities, digits_of(np.zeros(10_000)))
    assert np.count_nonzero(found.bin_count) == 1
    assert found.ece == pytest.approx(0.025)
    assert found.ece_floor == pytest.approx(np.sqrt(2 / np.pi * 0.975 * 0.025 / 10_000), rel=0.15)


def test_the_floor_follows_the_probabilities_alone():
    probabilities, digits = network(1)
    shuffled = digits_of(np.roll(digits.labels, 1))
    assert evaluate(probabilities, digits).ece_floor == evaluate(probabilities, shuffled).ece_floor


def test_a_class_never_predicted_counts_as_zero_without_a_warning():
    probabilities = np.tile([0.9] + [0.1 / 9] * 9, (50, 1)).astype(np.float32)
    labels = np.arange(50) % 10
    found = evaluate(probabilities, digits_of(labels))
    assert found.macro_f1 == pytest.approx(f1_score(labels, np.zeros(50), average="macro", zero_division=0))
    assert (found.accuracy, found.macro_recall) == (0.1, 0.1)


def test_float32_rows_that_sum_to_nearly_one_and_zeros_give_scikit_learn_s_log_loss():
    probabilities, digits = network(2, 500)
    single = probabilities.astype(np.float32)
    single[0] = np.eye(10)[(digits.labels[0] + 1) % 10]  # sure, and wrong
    double = single.astype(float) / single.sum(axis=1, keepdims=True, dtype=float)
    assert evaluate(single, digits).log_loss == pytest.approx(log_loss(digits.labels, double, labels=range(10)))


def test_epoch_loss_is_that_of_keras_clipped_at_1e_7():
    probabilities = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [1.0, 3.0]], np.float32)
    labels = np.array([0, 0, 0, 1], np.uint8)
    expected = -np.log([0.5, 1e-7, 1 - 1e-7, 0.75]).mean()
    assert mean_log_loss(probabilities, labels) == pytest.approx(expected, rel=1e-6)
    assert accuracy(probabilities, labels) == 0.75


@pytest.mark.parametrize(("probabilities", "message"), [
    (np.full((3, 10), 0.1), r"shape \(2, 10\); got \(3, 10\)"),
    (np.full((2, 10), np.nan), "finite"),
    (np.array([[1.1, -0.1] + [0.0] * 8] * 2), "negative"),
    (np.zeros((2, 10)), "zero"),
])  # fmt: skip
def test_what_is_no_probability_is_refused(probabilities, message):
    with pytest.raises(ValueError, match=message):
        evaluate(probabilities, digits_of([1, 2]))


def test_two_classes_are_scored_like_ten():
    found = evaluate(np.array([[0.8, 0.2], [0.4, 0.6]]), digits_of([0, 0], 2))
    assert found.brier == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)
