"""Planted digits: what was solved, flipped and disputed is known, votes and flips are counted by hand."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlab.analysis.digits import (
    DISPUTED,
    confusion_table,
    disputed_labels,
    flipped_digits,
    hardest_digits,
    solved_counts,
    solved_digits,
    vote,
    vote_table,
)
from mnistlab.analysis.intervals import Replicates, crossed_interval, t_interval, wilson_interval


def cell(*rows, seeds=None, digits="d"):
    correct = np.array([[bit == "1" for bit in row] for row in rows])
    return Replicates(tuple(range(len(rows))) if seeds is None else seeds, digits, correct)


INDICES, LABELS = np.array([70, 71, 72, 73]), np.array([3, 1, 4, 1])
# Digit 70 is solved at 8 nodes, 71 always right, 72 lost, 73 solved by the largest and by one of two seeds only.
SMALL, MIDDLE, LARGE = cell("0110", "0110"), cell("1110", "1100"), cell("1101", "1100")


def test_a_digit_wrong_at_the_small_and_right_at_the_large_end_is_solved():
    table = solved_digits([MIDDLE, LARGE, SMALL], [8, 16, 4], INDICES, LABELS).set_index("index")
    assert table.loc[70].drop("label").tolist() == [0.0, 1.0, 1.0, 0.0, 8.0]
    assert table.loc[73].drop("label").tolist() == [0.0, 0.5, 0.5, 0.0, 16.0]
    assert table.loc[71].drop("label").tolist() == [1.0, 1.0, 0.0, 0.0, 4.0]
    assert table.loc[72, ["solved", "lost"]].tolist() == [0.0, 1.0]
    assert np.isnan(table.loc[72, "solved_at"])
    assert table.index.tolist() == [70, 73, 71, 72]
    assert table["label"].tolist() == [3, 1, 1, 4]


def test_solved_and_lost_digits_are_counted_by_common_seeds():
    first, second = solved_counts([SMALL, LARGE, MIDDLE], [4, 16, 8]).to_dict("records")
    assert (first["small"], first["large"]) == (4, 8)
    assert first["solved"] == t_interval([1, 1])
    assert first["lost"] == t_interval([0, 1])
    assert first["net"] == t_interval([1, 0])
    assert (second["solved"], second["lost"]) == (t_interval([1, 0]), t_interval([1, 0]))
    shuffled = Replicates((1, 0, 5), "d", np.vstack([MIDDLE.correct[::-1], [[True] * 4]]))
    assert solved_counts([SMALL, shuffled], [4, 8]).loc[0, "net"] == first["net"]


def test_cells_that_differ_by_luck_alone_solve_as_many_digits_as_they_lose():
    random = np.random.default_rng(3)
    chance = random.beta(5, 0.3, 2000)
    a, b = (Replicates(tuple(range(20)), "d", random.random((20, 2000)) < chance) for _ in range(2))
    net = solved_counts([a, b], [4, 8]).loc[0, "net"]
    assert net.low < 0 < net.high
    table = solved_digits([a, b], [4, 8], np.arange(2000), np.zeros(2000, int))
    assert table["solved"].sum() == pytest.approx(table["lost"].sum(), rel=0.1)


def test_cells_on_different_digits_or_a_knob_without_steps_are_refused():
    with pytest.raises(ValueError, match="different digits"):
        solved_digits([SMALL, cell("0110", digits="e")], [4, 8], INDICES, LABELS)
    for cells, sizes in (([SMALL], [4]), ([SMALL, LARGE], [4, 4]), ([SMALL, LARGE], [4])):
        with pytest.raises(ValueError, match="at least 2 sizes"):
            solved_counts(cells, sizes)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), n_seeds=st.integers(1, 7))
def test_flips_are_the_share_of_pairs_of_networks_that_disagree(seed, n_seeds):
    correct = np.random.default_rng(seed).random((n_seeds, 12)) < 0.7
    networks = Replicates(tuple(range(n_seeds)), "d", correct)
    table = flipped_digits(networks, np.arange(12) + 5, np.arange(12) % 10)
    pairs = list(itertools.combinations(correct, 2))
    expected = {i + 5: np.mean([a[i] != b[i] for a, b in pairs]) for i in range(12) if pairs}
    assert dict(zip(table["index"], table["flips"], strict=True)) == pytest.approx(
        {index: flips for index, flips in expected.items() if flips > 0}
    )
    assert table["flips"].is_monotonic_decreasing
    assert ((table["right"] > 0) & (table["right"] < 1)).all()


def test_the_hardest_digit_stands_first_with_what_it_is_taken_for():
    labels = np.array([7, 1, 2, 0])
    predicted = np.array([[2, 1, 2, 0], [2, 1, 2, 6], [7, 1, 2, 0], [1, 1, 2, 8], [5, 5, 5, 5]])
    table = hardest_digits(predicted, np.array([10, 11, 12, 13]), labels)
    assert table["index"].tolist() == [10, 13, 11, 12]
    assert table["label"].tolist() == [7, 0, 1, 2]
    assert table["wrong"].tolist() == [0.75, 0.5, 0.0, 0.0]
    assert table["taken_for"].tolist() == [2, 6, -1, -1]
    assert set(table["networks"]) == {4}  # the last one collapsed


def test_without_a_network_that_trained_no_digit_is_hard():
    with pytest.raises(ValueError, match="at least one network that trained"):
        hardest_digits(np.full((2, 10), 1), np.arange(10), np.arange(10))


OFFICIAL = np.arange(60_000, 70_000)


def test_the_disputed_labels_are_left_out_by_their_place_in_the_official_test_part():
    order = np.random.default_rng(4).permutation(10_000)
    correct = np.random.default_rng(5).random((3, 10_000)) < 0.97
    correct[:, list(DISPUTED)] = False
    correct[0, DISPUTED[0]] = True
    shuffled = Replicates((0, 1, 2), "d", correct[:, order])
    row = disputed_labels({"c": shuffled}, "mnist", OFFICIAL[order]).iloc[0]
    kept = np.delete(correct, DISPUTED, axis=1)
    assert row["cell"] == "c"
    assert row["accuracy"].value == crossed_interval(correct).value
    assert (row["without"].value, row["without"].low) == pytest.approx(
        (crossed_interval(kept).value, crossed_interval(kept).low)
    )
    assert row["agreed"].value == pytest.approx(1 / 45)
    assert row["change"].value == pytest.approx(row["without"].value - row["accuracy"].value)
    assert 0.0010 < row["change"].value < 0.0015  # fifteen digits are worth at most 0.15 points


def test_fifteen_labels_are_disputed():
    assert len(set(DISPUTED)) == 15
    assert tuple(sorted(DISPUTED)) == DISPUTED


@pytest.mark.parametrize(("dataset", "indices"), [("fashion-mnist", OFFICIAL), ("mnist", OFFICIAL - 1),
                                                  ("mnist", OFFICIAL[:7000])])  # fmt: skip
def test_disputed_labels_of_other_digits_are_refused(dataset, indices):
    networks = Replicates((0,), "d", np.ones((1, len(indices)), bool))
    with pytest.raises(ValueError, match="official test part"):
        disputed_labels({"c": networks}, dataset, indices)


def vote_by_hand(predicted, validation):
    order = sorted(range(len(validation)), key=lambda i: -validation[i])
    winners = []
    for digit in predicted.T:
        counts = Counter(digit.tolist())
        tied = {c for c, n in counts.items() if n == max(counts.values())}
        winners.append(next(digit[i] for i in order if digit[i] in tied))
    return winners


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), n_networks=st.integers(1, 9))
def test_a_vote_is_the_most_common_class_and_ties_go_to_the_best_network(seed, n_networks):
    random = np.random.default_rng(seed)
    predicted = random.integers(0, 4, (n_networks, 30)).astype(np.uint8)
    validation = random.integers(0, 5, n_networks) / 5
    assert vote(predicted, validation).tolist() == vote_by_hand(predicted, validation)


def test_networks_without_validation_digits_lose_ties_and_are_never_among_the_best():
    predicted, labels = np.array([[1, 1], [2, 2], [3, 2]]), np.array([2, 2])
    validation = [np.nan, 0.9, 0.8]
    assert vote(predicted, validation).tolist() == [2, 2]
    table = vote_table(predicted, labels, validation, best=(1, 2, 3))
    assert table["voters"].tolist() == ["best 1", "best 2", "all"]


def test_the_best_are_chosen_on_validation_and_not_on_test_digits():
    labels = np.arange(20) % 10
    good, bad = labels, (labels + 1) % 10
    predicted, validation = np.stack([bad, good, good, bad, bad]), [0.99, 0.5, 0.6, 0.98, 0.97]
    table = vote_table(predicted, labels, validation, best=(1, 3)).set_index("voters")
    assert table.loc["best 3", "accuracy"] == wilson_interval(0, 20)
    assert table.loc["all", "networks"] == 5
    assert table.loc["all", "mean_accuracy"] == pytest.approx(0.4)


def test_a_vote_of_weak_networks_that_err_apart_beats_each_of_them():
    random = np.random.default_rng(6)
    labels = random.integers(0, 10, 4000)
    errs = random.random((15, 4000)) < 0.3
    predicted = np.where(errs, random.integers(0, 10, (15, 4000)), labels)
    row = vote_table(predicted, labels, np.linspace(0.6, 0.7, 15)).set_index("voters").loc["all"]
    assert row["accuracy"].value > 0.99
    assert row["mean_accuracy"] == pytest.approx(0.73, abs=0.01)


def test_a_committee_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1 network"):
        vote_table(np.array([[1]]), np.array([1]), [0.5], best=(0,))


def test_ties_of_many_networks_go_to_the_best_of_those_that_gave_a_tied_class():
    random = np.random.default_rng(5)
    predicted = random.integers(0, 3, (600, 40)).astype(np.uint8)
    predicted[:, :10] = np.resize([0, 1], (600, 1))  # three hundred votes each, the ninth network best
    validation = np.full(600, 0.5)
    validation[9] = 0.9
    found = vote(predicted, validation)
    assert found.tolist() == vote_by_hand(predicted, validation)
    assert set(found[:10].tolist()) == {1}


def test_a_confusion_table_counts_what_each_class_is_taken_for():
    labels = np.array([0, 0, 0, 1, 1, 2])
    table = confusion_table(np.array([[0, 0, 1, 1, 0, 2], [0, 1, 1, 1, 0, 2]]), labels, 4)
    assert table["true"].tolist() == np.repeat(range(4), 4).tolist()
    means = np.array([digits.value for digits in table["digits"]]).reshape(4, 4)
    assert means.tolist() == [[1.5, 1.5, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert table["digits"][1] == t_interval([1, 2], limits=(0, 3))
    shares = table["share"].to_numpy().reshape(4, 4)
    assert shares[:3].sum(axis=1) == pytest.approx([1, 1, 1])
    assert np.isnan(shares[3]).all()
