"""Trials of a search: what became of them, what values their knobs had, what two of them can tell."""

import math

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.trials import knob_levels, outcomes, trial_resolution


def test_a_trial_is_trained_given_up_collapsed_or_diverged():
    trials = pd.DataFrame({
        "status": ["done", "done", "done", "diverged", "done"], "given_up": [False, True, True, False, False],
        "validation_accuracy": [0.97, 0.9, 0.1135, np.nan, 0.199], "n_classes": 10,
    })  # fmt: skip
    assert outcomes(trials).tolist() == ["trained", "given up", "given up", "diverged", "collapsed"]
    # Of a hundred classes 18 % is much, of two a half is nothing.
    trials = trials.assign(validation_accuracy=[0.18, 0.1, 0.51, 0.5, 0.6], status="done", given_up=False)
    kinds = outcomes(trials.assign(n_classes=[100, 100, 2, 2, 2])).tolist()
    assert kinds == ["trained", "collapsed", "collapsed", "collapsed", "trained"]


@pytest.mark.parametrize(("values", "levels", "ordered"), [
    ([64, 16, 64], [16, 64], True), ([0.5, 0.0], [0.0, 0.5], True), ([True, False], [True, False], False),
    ([None, 2.0, np.nan], [None, 2.0], False), ([["hog"], ("hog",), ["scale"]], [("hog",), ("scale",)], False),
    (["relu", "tanh", "relu"], ["relu", "tanh"], False),
])  # fmt: skip
def test_levels_of_a_knob_ascend_where_they_are_numbers_and_stand_as_they_come_elsewhere(values, levels, ordered):
    found, codes, is_ordered = knob_levels(pd.Series(values))
    assert (found, is_ordered) == (levels, ordered)
    plain = [None if value is None or value != value else tuple(value) if isinstance(value, list) else value
             for value in values]  # fmt: skip
    assert [found[code] for code in codes] == plain


def test_activations_that_are_alike_in_all_layers_are_one_name_and_widths_are_not():
    column = [("relu",), ("relu", "relu"), ("relu", "tanh"), "relu"]
    assert knob_levels(pd.Series(column, name="activations"))[0] == ["relu", ("relu", "tanh")]
    assert len(knob_levels(pd.Series([(64,), (64, 64)], name="hidden_layer_sizes"))[0]) == 2


def test_the_resolution_of_two_trials_is_that_of_the_residual_of_the_race_by_hand():
    accuracy = [[0.98, 0.982, 0.981], [0.979, 0.978, 0.98]]
    rows = [{"cell": f"c{cell}", "seed": seed, "validation_accuracy": accuracy[cell][seed]}
            for cell in range(2) for seed in range(3)]  # fmt: skip
    # Of two cells the residual is half the spread of their differences: 0.001, 0.004, 0.001, about 0.002.
    residual = 2 * sum((difference / 2) ** 2 for difference in (-0.001, 0.002, -0.001)) / 2
    expected = (4.302653 + 1.060660) * math.sqrt(2 * residual)
    assert trial_resolution(pd.DataFrame(rows).assign(n_classes=10)) == pytest.approx(expected, rel=1e-5)
    # Seeds that not all have, and a cell with a network that collapsed, take no part.
    more = [{"cell": "c0", "seed": 3, "validation_accuracy": 0.5},
            *({"cell": "c2", "seed": seed, "validation_accuracy": 0.98 - 0.87 * seed} for seed in range(2)),
            {"cell": "c2", "seed": 2, "validation_accuracy": 0.97}]  # fmt: skip
    assert trial_resolution(pd.DataFrame([*rows, *more]).assign(n_classes=10)) == pytest.approx(expected, rel=1e-5)


def test_planted_noise_of_a_race_is_found():
    random = np.random.default_rng(1)
    table = 0.98 + 0.003 * random.standard_normal((200, 1)) + 0.002 * random.standard_normal((1, 20))
    table = table + 0.001 * random.standard_normal((200, 20))
    rows = pd.DataFrame(table).melt(ignore_index=False, var_name="seed", value_name="validation_accuracy")
    found = trial_resolution(rows.rename_axis("cell").reset_index().assign(n_classes=10))
    assert found == pytest.approx((1.96 + 0.8416) * math.sqrt(2) * 0.001, rel=0.05)


def test_before_a_race_there_is_no_resolution():
    columns = ["cell", "label", "seed", "validation_accuracy", "kept", "n_classes"]
    assert math.isnan(trial_resolution(pd.DataFrame(columns=columns)))
    one = pd.DataFrame([["a", "a", 0, 0.98, True, 10], ["b", "b", 0, 0.97, True, 10]], columns=columns)
    assert math.isnan(trial_resolution(one))
