"""Samplers on planted responses: what they propose is new, of one shape, within the limits; and TPE learns."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, companions
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.grounds import Limits, grounds_of
from mnistlab.sampling import SAMPLERS, Outcome, best_sampler, new_sampler
from mnistlab.spec import Run
from mnistlab.study import load_space

DEFAULT = load_space()
SMALL = load_space({"model": {"node_counts": [4, 8], "layer_depths": [1, 2], "dropout": [0.0, 0.2, 0.4]},
                    "training": {"learning_rate": [0.001, 0.002], "l2": [0.0, 1e-5]}})  # fmt: skip


def parameters(cell):
    return cell.architecture.parameters(cell.features.n_features((28, 28)), 10)


def seconds(cell):
    return parameters(cell) / cell.training.batch_size / 1000


def shape(cell):
    return companions(Run(cell, 0), SEEDS_OF_ONE_CELL)


def grounds(space=DEFAULT, seed=0, **limits):
    return grounds_of(space, Limits(parameters, seconds, **limits), shape=shape, seed=seed)


def proposals(sampler, n, members=5, response=lambda cell: 0.5):
    cells = []
    while len(cells) < n and (cohort := sampler.propose(members)):
        for cell in cohort:
            sampler.tell(Outcome(cell, response(cell)))
        cells += cohort
    return cells


def response(cell):
    """0.995 for 512-512 gelu, deskewed, dropout 0.3, rate 0.002 with cosine, batch 64; every knob costs its part."""
    architecture, training = cell.architecture, cell.training
    return 0.995 - (
        0.004 * abs(np.log2(architecture.hidden_layer_sizes[0] / 512))
        + 0.003 * abs(architecture.depth - 2)
        + 0.002 * (architecture.activations[0] != "gelu")
        + 0.013 * abs(architecture.dropout - 0.3)
        + 0.004 * (cell.features.steps[0] != "deskew")
        + 0.006 * abs(np.log10(training.learning_rate / 0.002))
        + 0.004 * (training.schedule != "cosine")
        + 0.002 * abs(np.log2(training.batch_size / 64))
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_small_space_is_proposed_whole_and_nothing_twice(name):
    cells = proposals(new_sampler(name, grounds(SMALL)), 1000)
    assert len(cells) == len(set(cells)) == 48


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_cohort_has_one_shape_and_different_settings(name):
    sampler = new_sampler(name, grounds())
    for _ in range(12):
        cohort = sampler.propose(5)
        assert len({shape(cell) for cell in cohort}) == 1
        assert 3 <= len(set(cohort)) == len(cohort) <= 5  # a grid may have no more of this shape
        for cell in cohort:
            sampler.tell(Outcome(cell, response(cell)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_and_answers_give_the_same_proposals(name):
    first, again = (proposals(new_sampler(name, grounds(seed=3)), 60, response=response) for _ in range(2))
    assert first == again


@pytest.mark.slow
@settings(max_examples=12)
@given(
    max_parameters=st.integers(600, 3_000_000),
    slowest=st.floats(0.05, 30),
    name=st.sampled_from(("random", "tpe")),
    seed=st.integers(0, 99),
)
def test_no_proposal_is_over_a_limit_and_none_comes_twice(max_parameters, slowest, name, seed):
    limits = {"max_parameters": max_parameters, "max_seconds_per_epoch": slowest}
    cells = proposals(new_sampler(name, grounds(seed=seed, **limits)), 100, response=response)
    assert len(set(cells)) == len(cells) >= 100
    assert all(parameters(cell) <= max_parameters and seconds(cell) <= slowest for cell in cells)


def test_random_search_draws_every_shape_and_setting():
    cells = proposals(new_sampler("random", grounds()), 2000)
    for choice in DEFAULT.choices:
        places = {DEFAULT.point(cell)[DEFAULT.choices.index(choice)] for cell in cells}
        assert len(places) == len(choice.values), choice.field


def test_a_grid_changes_last_what_forms_a_cohort():
    cells = proposals(new_sampler("grid", grounds(SMALL)), 1000)
    shapes = [shape(cell) for cell in cells]
    assert sum(one != other for one, other in pairwise(shapes)) == len(set(shapes)) - 1


def test_what_the_specification_refuses_is_passed_over():
    space = load_space(
        {"frameworks": ["keras", "sklearn"], "model": {"dropout": [0.0, 0.3], "batch_norm": [False, True]}}
    )
    cells = proposals(new_sampler("grid", grounds(space)), 100)
    assert len(cells) == 5
    assert [cell.architecture.dropout for cell in cells if cell.framework == "sklearn"] == [0.0]


def test_a_cell_of_a_fixed_space_is_proposed_once():
    space = load_space({"model": {"node_counts": 32}})
    for name in SAMPLERS:
        sampler = new_sampler(name, grounds(space))
        assert [cell.label for cell in sampler.propose(5)] == ["1x32 relu"]
        assert sampler.propose(5) == []


@pytest.mark.ci
def test_tpe_comes_nearer_to_a_planted_optimum_than_random_search():
    rng = np.random.default_rng(0)
    missing = {}
    for name in ("random", "tpe"):
        for seed in range(8):
            cells = proposals(
                new_sampler(name, grounds(seed=seed)), 100, response=lambda cell: response(cell) + rng.normal(0, 0.001)
            )
            missing[name, seed] = 0.995 - max(map(response, cells))
    assert sum(missing["tpe", seed] < missing["random", seed] for seed in range(8)) >= 6
    means = {name: np.mean([missing[name, seed] for seed in range(8)]) for name in ("random", "tpe")}
    assert means["tpe"] < 0.75 * means["random"]


def test_tpe_learns_from_cells_of_other_studies_and_from_trials_given_up():
    own = grounds()
    sampler, drawn = new_sampler("tpe", own), new_sampler("random", grounds(seed=5))
    for cell in proposals(drawn, 300):
        accuracy = response(cell)
        curve = (accuracy - 0.1, accuracy - 0.05)
        is_poor = accuracy < 0.975
        sampler.tell(Outcome(cell, None if accuracy < 0.95 else accuracy, None, curve, is_poor))
    told = [response(cell) for cell in sampler.propose(5)]
    assert np.mean(told) > np.mean([response(cell) for cell in proposals(drawn, 50)]) + 0.005


def test_tpe_takes_two_objectives():
    sampler = new_sampler("tpe", grounds(), two_objectives=True)
    cells = []
    while len(cells) < 150:
        cohort = sampler.propose(5)
        for cell in cohort:
            sampler.tell(Outcome(cell, response(cell), parameters(cell), (0.5, 0.6), given_up=response(cell) < 0.97))
        cells += cohort
    first, last = (np.median([parameters(cell) for cell in part]) for part in (cells[:20], cells[-50:]))
    assert last < first  # small networks matter now


# Refusals


def refusal(make):
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value)


def test_limits_that_nothing_meets_name_what_comes_nearest():
    space = load_space({"model": {"node_counts": [4, 8], "batch_norm": [False, True]}})
    assert refusal(lambda: grounds(space, max_parameters=3000)) == (
        "--max-parameters 3000: the smallest network of the space has 3,190 parameters "
        "(allow more, or name a --space with smaller ones)"
    )
    assert refusal(lambda: grounds(space, max_parameters=3200, max_seconds_per_epoch=0.01)) == (
        "--max-seconds-per-epoch 0.01: the fastest network of the space with so few parameters takes 0.0997 seconds "
        "an epoch here (allow more, or name a --space with smaller ones)"
    )


def test_a_space_without_any_network_says_why():
    space = load_space({"frameworks": "sklearn", "model": {"batch_norm": [True], "dropout": [0.1, 0.2]}})
    assert refusal(lambda: grounds(space)) == (
        "space config: no network can be made of it: batch_norm True: scikit-learn's MLPClassifier cannot express it "
        "(use framework keras)"
    )


def test_an_unknown_sampler_is_refused_with_the_nearest():
    assert "did you mean random?" in refusal(lambda: new_sampler("randm", grounds(SMALL)))


def test_without_optuna_random_search_is_left_and_tpe_says_how_to_get_it(monkeypatch):
    assert best_sampler() == ("tpe", "")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MachineError, match=r"Optuna is not installed \(pip install 'mnistlab\[tune\]'\)"):
        new_sampler("tpe", grounds(SMALL))
    new_sampler("random", grounds(SMALL))
    assert best_sampler()[0] == "random"


def test_memory_is_a_limit_like_the_others_and_is_told_as_one():
    heavy = {"memory": lambda cell: 1_500_000_000 * cell.architecture.depth}
    found = grounds(**heavy, max_memory=3_000_000_000)
    assert {cell.architecture.depth for cell in proposals(new_sampler("random", found), 40)} == {1, 2}
    assert found.most_memory == 3_000_000_000
    with pytest.raises(ConfigurationError, match=r"one such network needs about 1\.5 GB of memory, 1\.0 GB are free"):
        grounds(**heavy, max_memory=1_000_000_000)


def test_sizes_that_are_too_many_to_be_looked_at_are_refused_before_they_are():
    widths, depths = list(range(1, 2_001)), list(range(1, 101))
    space = load_space({"name": "wide", "model": {"node_counts": widths, "layer_depths": depths}})
    with pytest.raises(ConfigurationError, match="space wide: 200,000 combinations of features, widths and depths are"):
        grounds(space)
