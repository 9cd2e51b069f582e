"""Shares of variance worked out by hand, planted in simulated studies, and held against SALib."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.analysis.intervals import crossed_interval, t_interval
from mnistlab.analysis.sensitivity import sensitivity, varying_knobs
from mnistlab.spec import Architecture, Cell, Features, Split, Training

DEFAULT = Cell(Architecture((64,))).settings()
LEVELS = {"learning_rate": (1e-4, 1e-3, 1e-2), "dropout": (0.0, 0.2, 0.4), "batch_size": (16, 32), "l2": (0.0, 1e-4)}


def study(levels, accuracy):
    """Cells and runs of the factorial of these settings: accuracy (levels of each…, n_seeds)."""
    settings = [dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())]
    return of_cells(settings, np.reshape(accuracy, (len(settings), -1)))


def of_cells(settings, accuracy):
    """Cells that differ from the default in these settings: accuracy (n_cells, n_seeds), NaN where no run is done."""
    cells = pd.DataFrame([{**DEFAULT, **own, "cell": f"c{i}", "n_classes": 10} for i, own in enumerate(settings)])
    n_cells, n_seeds = np.shape(accuracy)
    runs = pd.DataFrame({"cell": np.repeat(cells["cell"], n_seeds), "seed": np.tile(np.arange(n_seeds), n_cells),
                         "status": "done", "test_accuracy": np.ravel(accuracy)}).dropna()  # fmt: skip
    return cells, runs


def shares_of(found):
    return dict(zip(found.shares["knobs"], found.shares["share"], strict=True))


def totals_of(found):
    return dict(zip(found.shares["knobs"], found.shares["total"], strict=True))


TWO_BY_TWO = {"learning_rate": (0.001, 0.01), "dropout": (0.0, 0.2)}
RATE, DROPOUT, BOTH = ("learning_rate",), ("dropout",), ("dropout", "learning_rate")


def test_two_by_two_knobs_with_two_seeds_equal_the_values_by_hand():
    # Seed by seed mean ± a ± b ± c, where c is the interaction: (80, 4, 2, 1) and (82, 6, 3, 2) points. An effect's
    # variance is its product in the two seeds, the noise half the mean square of what a cell differs by between them.
    found = sensitivity(*study(TWO_BY_TWO, [[[75, 75], [77, 77]], [[81, 83], [87, 93]]] * np.array(0.01)))
    parts = {RATE: 4 * 6, DROPOUT: 2 * 3, BOTH: 1 * 2}
    noise = (2**2 + 2**2 + 1 + 1) / 2
    whole = sum(parts.values()) + noise
    assert {knobs: share.value for knobs, share in shares_of(found).items()} == pytest.approx(
        {knobs: part / whole for knobs, part in parts.items()}
    )
    assert {knobs: total.value for knobs, total in totals_of(found).items()} == pytest.approx(
        {RATE: 26 / whole, DROPOUT: 8 / whole, BOTH: 2 / whole}
    )
    assert (found.seed_noise.value, found.residual) == pytest.approx((noise / whole, noise / whole))
    assert (found.metric, found.method, found.conditional_on) == ("accuracy", "anova", None)
    assert (found.cells, found.seeds, found.collapsed, found.seed_noise.n) == (4, 2, 0, 8)
    assert list(found.shares["knobs"]) == [RATE, DROPOUT, BOTH]  # largest first
    assert found.higher_interactions.value is None
    assert {share.low for share in shares_of(found).values()} == {None}  # two seeds have no jackknife


def test_an_effect_that_turns_round_from_seed_to_seed_has_no_share():
    # As above, but the interaction is −1 with the second seed: its product is below zero.
    found = sensitivity(*study(TWO_BY_TWO, [[[75, 72], [77, 80]], [[81, 86], [87, 90]]] * np.array(0.01)))
    noise = (2**2 + 2**2 + 1 + 2**2) / 2
    assert shares_of(found)[BOTH].value == 0
    assert shares_of(found)[RATE].value == pytest.approx(24 / (24 + 6 + noise))
    assert found.residual == pytest.approx(noise / (24 + 6 + noise))


def test_the_jackknife_equals_the_values_by_hand():
    # Levels at ±4, ±5, ±6 points with three seeds: products 20, 24, 30 of two of them, variance 1 between them.
    half_effect = np.array([4, 5, 6])
    found = sensitivity(*study({"dropout": (0.0, 0.2)}, 0.9 + 0.01 * np.stack([-half_effect, half_effect])))
    (share,) = shares_of(found).values()
    value, without = (74 / 3) / (74 / 3 + 1), np.array([30 / (30 + 0.5), 24 / (24 + 2), 20 / (20 + 0.5)])
    half = 4.302653 * math.sqrt(2 / 3 * np.square(without - without.mean()).sum())
    assert (share.value, share.low, share.high) == pytest.approx((value, value - half, 1))
    assert (share.kind, share.level, share.n) == ("jackknife", 0.95, 6)
    noise = found.seed_noise
    assert (noise.value, noise.low, noise.high) == pytest.approx((1 - value, 0, 1 - value + half))


def test_one_seed_has_shares_but_neither_noise_nor_intervals():
    found = sensitivity(*study(TWO_BY_TWO, np.array([[[0.75], [0.77]], [[0.81], [0.87]]])))
    assert {knobs: share.value for knobs, share in shares_of(found).items()} == pytest.approx(
        {RATE: 16 / 21, DROPOUT: 4 / 21, BOTH: 1 / 21}
    )
    assert (found.seed_noise.value, found.seeds) == (None, 1)
    assert found.residual == pytest.approx(0)


@given(
    seed=st.integers(0, 10_000), sizes=st.lists(st.integers(2, 4), min_size=1, max_size=4),
    n_seeds=st.integers(1, 5), noise=st.floats(0, 1),
)  # fmt: skip
def test_shares_and_residual_are_the_whole_and_every_share_a_fraction(seed, sizes, n_seeds, noise):
    random = np.random.default_rng(seed)
    names = ("learning_rate", "dropout", "momentum", "weight_decay")
    levels = {name: np.arange(size) / 10 for name, size in zip(names, sizes, strict=False)}
    accuracy = random.random((*sizes, 1)) + noise * random.standard_normal((*sizes, n_seeds))
    found = sensitivity(*study(levels, accuracy))
    shares, totals = shares_of(found), totals_of(found)
    assert len(shares) == len(sizes) * (len(sizes) + 1) / 2
    assert sum(share.value for share in shares.values()) + found.residual == pytest.approx(1, abs=1e-12)
    rest = (found.higher_interactions.value or 0) + (found.seed_noise.value or 0)
    assert found.residual == pytest.approx(rest, abs=1e-12)
    for knobs, share in shares.items():
        assert 0 <= share.value <= totals[knobs].value + 1e-12 <= 1 + 1e-9
        if n_seeds > 2:
            assert 0 <= share.low <= share.value <= share.high <= 1


@given(seed=st.integers(0, 10_000))
def test_shares_forget_units_and_the_order_of_cells_and_runs(seed):
    random = np.random.default_rng(seed)
    cells, runs = study(LEVELS, random.random((3, 3, 2, 2, 4)))
    shuffled = runs.sample(frac=1, random_state=seed).assign(test_accuracy=lambda rows: 7 - 3 * rows["test_accuracy"])
    first, again = sensitivity(cells, runs), sensitivity(cells.sample(frac=1, random_state=seed), shuffled)
    for one, other in ((shares_of(first), shares_of(again)), (totals_of(first), totals_of(again))):
        for knobs in one:
            assert other[knobs].value == pytest.approx(one[knobs].value)
            assert (other[knobs].low, other[knobs].high) == pytest.approx((one[knobs].low, one[knobs].high))


def coverage(n_seeds, luck, n_studies=150):
    """How often the intervals hold planted shares: (of what has a share, of what has none)."""
    random = np.random.default_rng(n_seeds)
    rate, dropout = np.array([-2, 0, 2]), np.array([-0.5, 1, -0.5])
    both = 0.8 * np.outer([-1, 0, 1], [1, 0, -1])
    truth = (rate[:, None] + dropout + both)[:, :, None, None, None]
    planted = {RATE: rate.var(), DROPOUT: dropout.var(), BOTH: both.var()}
    whole = sum(planted.values()) + 1 + luck**2
    cells, runs = study(LEVELS, np.zeros((3, 3, 2, 2, n_seeds)))
    held = {True: [], False: []}
    for _ in range(n_studies):
        noise = random.standard_normal((3, 3, 2, 2, n_seeds)) + luck * random.standard_normal(n_seeds)
        found = sensitivity(cells, runs.assign(test_accuracy=np.ravel(0.97 + 0.001 * (truth + noise))))
        for knobs, share in shares_of(found).items():
            held[knobs in planted].append(share.low <= planted.get(knobs, 0) / whole <= share.high)
        held[True].append(found.seed_noise.low <= (1 + luck**2) / whole <= found.seed_noise.high)
    return np.mean(held[True]), np.mean(held[False])


@pytest.mark.slow
@pytest.mark.parametrize("luck", [0, 1], ids=["own luck", "shared luck"])
@pytest.mark.parametrize("n_seeds", [3, 5, 10, 20])
def test_intervals_hold_the_planted_shares_as_often_as_they_say(n_seeds, luck):
    with_share, without = coverage(n_seeds, luck)
    assert 0.91 <= with_share <= 0.98
    assert without >= 0.97


def test_shares_are_unbiased_where_what_seeds_do_would_pass_for_effects():
    # Four knobs that do nothing, three seeds: plain squares would give them 35 / 107 of the variance.
    random = np.random.default_rng(4)
    cells, runs = study(LEVELS, np.zeros((3, 3, 2, 2, 3)))
    residuals = [
        sensitivity(cells, runs.assign(test_accuracy=random.standard_normal(len(runs)))).residual for _ in range(100)
    ]
    assert np.mean(residuals) > 0.9


@pytest.mark.slow
def test_ishigamis_function_has_the_indices_that_salib_finds():
    from SALib.analyze import sobol
    from SALib.sample import sobol as saltelli
    from SALib.test_functions import Ishigami

    problem = {"num_vars": 3, "names": ["x1", "x2", "x3"], "bounds": [[-math.pi, math.pi]] * 3}
    oracle = sobol.analyze(problem, Ishigami.evaluate(saltelli.sample(problem, 2**13, seed=1)), seed=1)
    levels = dict.fromkeys(("learning_rate", "dropout", "l2"), tuple((np.arange(14) + 0.5) / 14))
    inputs = np.array(list(itertools.product(*levels.values())))
    truth = Ishigami.evaluate((2 * inputs - 1) * math.pi)
    noisy = truth[:, None] + np.random.default_rng(2).standard_normal((len(truth), 5))
    found = sensitivity(*study(levels, noisy))
    networks = 1 - found.seed_noise.value  # the function's part of the variance of all networks
    assert networks == pytest.approx(truth.var() / (truth.var() + 1), abs=0.005)
    assert found.higher_interactions.value == pytest.approx(0, abs=0.005)
    shares, totals = shares_of(found), totals_of(found)
    order = varying_knobs(study(levels, noisy)[0]).columns.tolist()
    x = [list(levels).index(name) for name in order]
    for place, name in zip(x, order, strict=True):
        for index, ours in (("S1", shares[name,]), ("ST", totals[name,])):
            near = oracle[f"{index}_conf"][place] + 0.005
            assert ours.value / networks == pytest.approx(oracle[index][place], abs=near)
            assert ours.low - near <= oracle[index][place] * networks <= ours.high + near
    for (first, one), (second, other) in itertools.combinations(zip(x, order, strict=True), 2):
        i, j = sorted((first, second))
        near = oracle["S2_conf"][i, j] + 0.005
        assert shares[one, other].value / networks == pytest.approx(oracle["S2"][i, j], abs=near)


LAYERS = ([64], [32], [64, 64], [64, 32])


def test_shapes_that_change_with_depth_are_analysed_at_each_depth():
    # Within a depth the layers are worth ±1 (one layer) and ±3 points, the rate ±2; depths differ by much more.
    shapes, rates = (0.01, -0.01, 0.03, -0.03), (-0.02, 0.02)
    settings = [{"hidden_layer_sizes": sizes, "activations": ["relu"] * len(sizes), "learning_rate": rate}
                for sizes in LAYERS for rate in (0.001, 0.01)]  # fmt: skip
    accuracy = [[0.8 + 0.1 * len(sizes) + shape + rate] * 3 for sizes, shape in zip(LAYERS, shapes, strict=True)
                for rate in rates]  # fmt: skip
    found = sensitivity(*of_cells(settings, np.array(accuracy)))
    assert (found.method, found.conditional_on) == ("anova", "depth")
    assert {knobs: share.value for knobs, share in shares_of(found).items()} == pytest.approx(
        {("width",): 5 / 9, ("learning_rate",): 4 / 9, ("width", "learning_rate"): 0}, abs=1e-9
    )
    assert list(found.effects["level"][found.effects["knob"] == "width"]) == [32, 64, "64-32"]


def test_a_full_factorial_with_depth_is_conditional_on_nothing():
    settings = [{"hidden_layer_sizes": [width] * depth, "activations": ["relu"] * depth}
                for width in (32, 64) for depth in (1, 4)]  # fmt: skip
    found = sensitivity(*of_cells(settings, np.random.default_rng(1).random((4, 3))))
    assert (found.method, found.conditional_on) == ("anova", None)
    assert set(shares_of(found)) == {("width",), ("depth",), ("width", "depth")}


HOLES = [{"learning_rate": rate, "dropout": drop} for rate, drop in ((1, 0.1), (2, 0.1), (3, 0.1), (1, 0.2), (2, 0.2))]


def test_half_the_growth_of_the_error_over_all_permutations_is_the_share_elsewhere():
    accuracy = np.array([0.80, 0.85, 0.95, 0.70, 0.78])
    found = sensitivity(*of_cells(HOLES, accuracy[:, None]))
    design = np.array(
        [[1, s["learning_rate"] == 2, s["learning_rate"] == 3, s["dropout"] == 0.2] for s in HOLES], float
    )
    model = np.linalg.lstsq(design, accuracy)[0]
    error = np.square(accuracy - design @ model).mean()
    assert (found.method, found.conditional_on) == ("permutation", None)
    for knobs, columns in ((("learning_rate",), [1, 2]), (("dropout",), [3])):
        grown = []
        for order in itertools.permutations(range(5)):
            permuted = design.copy()
            permuted[:, columns] = design[np.ix_(order, columns)]
            grown.append(np.square(accuracy - permuted @ model).mean() - error)
        assert shares_of(found)[knobs].value == pytest.approx(np.mean(grown) / 2 / accuracy.var())
        assert totals_of(found)[knobs].value is None
    assert sum(share.value for share in shares_of(found).values()) + found.residual == pytest.approx(1)


def test_effects_elsewhere_are_adjusted_for_the_other_knobs():
    # The rate is worth 10 points a step and dropout 20; the third rate was only tried without the second dropout.
    accuracy = [0.4 + 0.1 * own["learning_rate"] - 2 * (own["dropout"] - 0.1) for own in HOLES]
    found = sensitivity(*of_cells(HOLES, np.repeat(accuracy, 3).reshape(5, 3)))
    effects = found.effects.set_index(["knob", "level"])["accuracy"].map(lambda estimate: estimate.value)
    assert np.diff(effects["learning_rate"]) == pytest.approx([0.1, 0.1])
    assert np.diff(effects["dropout"]) == pytest.approx([-0.2])


def test_effects_are_plain_means_for_new_seeds_where_digits_are_unknown():
    accuracy = np.random.default_rng(3).random((2, 2, 5))
    found = sensitivity(*study(TWO_BY_TWO, accuracy))
    by_hand = [*(("dropout", level, accuracy[:, i]) for i, level in enumerate((0.0, 0.2))),
               *(("learning_rate", level, accuracy[i]) for i, level in enumerate((0.001, 0.01)))]  # fmt: skip
    for row, (knob, level, values) in zip(found.effects.to_dict("records"), by_hand, strict=True):
        mean, estimate = t_interval(values.mean(axis=0), limits=(0, 1)), row["accuracy"]
        assert (row["knob"], row["level"], row["cells"], estimate.n, estimate.kind) == (knob, level, 2, 10, "t")
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_effects_hold_for_new_digits_where_all_were_tested_on_the_same(plant):
    cells = [Cell(Architecture((width,) * depth)) for width in (32, 64) for depth in (1, 2)]
    planted = plant([(cell, 0.95, ("done",) * 4) for cell in cells])
    effects = sensitivity(planted.cells, planted.runs).effects
    correct = np.unpackbits(np.stack(planted.runs["test_bits"]), axis=1).reshape(2, 2, 4, 1000)
    by_hand = crossed_interval(correct[0].mean(axis=0))
    first = effects.iloc[0]
    assert (first["knob"], first["level"], first["accuracy"].kind, first["accuracy"].n) == ("width", 32, "crossed", 8)
    assert first["accuracy"].value == pytest.approx(by_hand.value)
    assert (first["accuracy"].low, first["accuracy"].high) == pytest.approx((by_hand.low, by_hand.high))


def test_only_seeds_that_every_cell_has_and_cells_with_a_network_count():
    accuracy = 0.5 + np.random.default_rng(8).random((2, 2, 4)) / 2
    holed = accuracy.copy()
    holed[1, 0, 3] = np.nan
    found, common = sensitivity(*study(TWO_BY_TWO, holed)), sensitivity(*study(TWO_BY_TWO, accuracy[..., :3]))
    assert (found.cells, found.seeds) == (4, 3)
    assert shares_of(found) == shares_of(common)
    holed[1, 0] = np.nan
    assert (sensitivity(*study(TWO_BY_TWO, holed)).cells, sensitivity(*study(TWO_BY_TWO, holed)).method) == (
        3,
        "permutation",
    )


def test_collapsed_networks_are_counted():
    found = sensitivity(
        *study(TWO_BY_TWO, np.array([[[0.1135, 0.1135], [0.97, 0.96]], [[0.97, 0.1135], [0.98, 0.97]]]))
    )
    assert (found.cells, found.collapsed, found.left_out, found.method) == (4, 3, 0, "anova")


def test_an_additive_model_does_without_cells_that_collapsed():
    three = np.array([[[0.95, 0.96], [0.97, 0.96]], [[0.98, 0.97], [np.nan, np.nan]]])
    bent = three.copy()
    bent[1, 0, 1] = 0.1135
    found = sensitivity(*study(TWO_BY_TWO, bent))
    assert (found.cells, found.collapsed, found.left_out) == (2, 1, 1)
    accuracies = [estimate.value for estimate in found.effects["accuracy"]]
    assert min(accuracies) > 0.9


def test_the_spread_of_a_single_cell_is_all_noise():
    found = sensitivity(*of_cells([{}], np.array([[0.97, 0.98, 0.96]])))
    assert found.shares.empty
    assert found.effects.empty
    assert (found.seed_noise.value, found.residual) == (1, 1)


@pytest.mark.parametrize("accuracy", [np.full((4, 3), 0.9), np.full((4, 3), np.nan)], ids=["all alike", "no runs"])
def test_without_any_variance_there_are_no_shares(accuracy):
    found = sensitivity(*study(TWO_BY_TWO, accuracy))
    assert found.shares.empty
    assert (found.seed_noise.value, found.residual) == (None, None)


def test_cells_without_a_common_seed_have_no_shares():
    found = sensitivity(*of_cells(HOLES[:2], np.array([[0.9, np.nan], [np.nan, 0.8]])))
    assert (found.seeds, found.cells, found.shares.empty, found.effects.empty) == (0, 0, True, True)


def test_a_level_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1; got 95"):
        sensitivity(*study(TWO_BY_TWO, np.zeros((2, 2, 2))), level=95)


def test_knobs_are_the_settings_that_vary():
    cells = [
        Cell(Architecture((64, 64))),
        Cell(Architecture((128, 64), "tanh"), training=Training(early_stopping_patience=5)),
        Cell(Architecture((32,) * 3, ("relu", "tanh", "relu")), split=Split(train_fraction=0.5)),
        Cell(Architecture((64,)), features=Features(("standardize", "pca:50"))),
    ]
    knobs = varying_knobs(pd.DataFrame([{"cell": cell.id, **cell.settings()} for cell in cells]))
    assert list(knobs.index) == [cell.id for cell in cells]
    assert {name: list(knobs[name]) for name in knobs} == {
        "width": [64, "128-64", 32, 64],
        "depth": [2, 2, 3, 1],
        "activation": ["relu", "tanh", "relu-tanh-relu", "relu"],
        "features": ["scale", "scale", "scale", "standardize+pca:50"],
        "train_fraction": [1, 1, 0.5, 1],
        "early_stopping_patience": [None, 5, None, None],
    }


def test_levels_that_no_cell_tells_from_another_knob_have_no_accuracy():
    # Three layers come with an order of their own only: what the one does and what the other is one question.
    shapes = [((64,), "relu"), ((64,) * 2, "relu"), ((64,), "tanh"), ((64,) * 3, ("relu", "tanh", "relu"))]
    settings = [Cell(Architecture(*shape)).settings() for shape in shapes]
    effects = sensitivity(
        *of_cells(settings, np.array([[0.95, 0.96], [0.97, 0.98], [0.93, 0.94], [0.99, 1.0]]))
    ).effects
    found = {(row["knob"], row["level"]): row["accuracy"].value for _, row in effects.iterrows()}
    assert found == {
        ("depth", 1): pytest.approx(0.95 - 0.02 / 3 + 0.005),
        ("depth", 2): pytest.approx(0.97 - 0.02 / 3 + 0.005),
        ("depth", 3): None,
        ("activation", "relu"): pytest.approx(0.9616667, abs=1e-6),
        ("activation", "tanh"): pytest.approx(0.9416667, abs=1e-6),
        ("activation", "relu-tanh-relu"): None,
    }


def test_what_levels_bring_that_cannot_be_compared_is_nobodys_share():
    orders = [("relu", "tanh", "relu"), ("tanh", "relu", "tanh"), ("relu", "relu", "tanh")]
    shapes = [((64,), "relu"), ((128,), "relu"), ((64,) * 2, "relu"), *(((32,) * 3, order) for order in orders)]
    settings = [Cell(Architecture(*shape)).settings() for shape in shapes]
    accuracy = np.array([0.96, 0.97, 0.965, 0.90, 0.91, 0.92])[:, None] + np.array([0.001, -0.001])
    found = sensitivity(*of_cells(settings, accuracy))
    shares = [share.value for share in shares_of(found).values()]
    assert all(0 <= share <= 1 for share in shares)
    assert 0.5 < found.residual <= 1


def test_one_seed_of_cells_no_full_factorial_has_accuracies_that_there_are(lab_evidence):
    values = [estimate.value for estimate in lab_evidence.sensitivity.effects["accuracy"] if estimate.value is not None]
    assert 0.8 < min(values) <= max(values) < 1


def test_a_mean_over_cells_of_one_seed_has_no_interval_of_a_single_network(plant):
    done = ("done",)
    study = plant([(Cell(Architecture((width,) * depth)), 0.9, done) for width in (16, 64) for depth in (1, 2)])
    effects = sensitivity(study.cells, study.runs).effects
    assert [(mean.low, mean.high, mean.kind) for mean in effects["accuracy"]] == [(None, None, "crossed")] * 4
    means = study.runs.groupby("cell", sort=False)["test_accuracy"].mean().to_numpy().reshape(2, 2)
    assert [mean.value for mean in effects["accuracy"]] == pytest.approx([*means.mean(axis=1), *means.mean(axis=0)])


def test_the_cells_and_seeds_used_are_named(plant):
    cells = [Cell(Architecture((width,))) for width in (16, 64, 128)]
    study = plant([(cells[0], 0.9, ("done",) * 3), (cells[1], 0.92, ("done",) * 2), (cells[2], 0.93, ("planned",) * 3)])
    found = sensitivity(study.cells, study.runs)
    assert (found.cell_ids, found.seed_numbers) == ((cells[0].id, cells[1].id), (0, 1))
