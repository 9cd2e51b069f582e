"""Importances: planted effects and interactions lie in their intervals, what does nothing has intervals that hold 0."""

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.importance import FEWEST, MOST, _misfit, importances
from mnistlab.analysis.trials import Search

LEVELS = {"width": 8, "rate": 9, "dropout": 5, "features": 7, "schedule": 2, "activation": 4, "l2": 4}
ORDERED = ("width", "rate", "dropout", "l2")
NOTHING = ("activation", "l2")
NOISE = 0.12  # of the variance of what is planted
_FEATURES = np.array([-1.4, 0.3, 0.9, -0.2, 1.5, -0.9, -0.2])


def effect(codes):
    """Saturating, peaked, linear and of kinds; and the rate acts the other way round with the other schedule."""
    width, rate, dropout = (codes[name] / (LEVELS[name] - 1) for name in ("width", "rate", "dropout"))
    crossed = 1.2 * (rate - 0.5) * (codes["schedule"] - 0.5)
    return (
        -1.2 * np.exp(-3 * width)
        - 3 * (rate - 0.55) ** 2
        + 0.25 * dropout
        + 0.15 * _FEATURES[codes["features"]]
        + (crossed)
    )


def draw(n, random):
    return {name: random.integers(levels, size=n) for name, levels in LEVELS.items()}


def search_of(codes, gain):
    columns = {name: own if name in ORDERED else [f"v{value}" for value in own] for name, own in codes.items()}
    trials = pd.DataFrame(columns).assign(status="done", validation_accuracy=1 - 0.02 * np.exp(-gain),
                                          validation_n=1_000_000, given_up=False, n_classes=10)  # fmt: skip
    return Search("accuracy", tuple(LEVELS), trials, *[pd.DataFrame()] * 2)


@pytest.fixture(scope="module")
def truth():
    """Total Sobol indices by brute force, and the deviation of the noise."""
    random = np.random.default_rng(1)
    codes = draw(200_000, random)
    gain = effect(codes)
    variance = gain.var() * (1 + NOISE)
    shares = {
        name: ((gain - effect({**codes, name: random.integers(levels, size=len(gain))})) ** 2).mean() / 2 / variance
        for name, levels in LEVELS.items()
    }
    return shares, float(np.sqrt(NOISE * gain.var()))


def simulate(truth, n, studies, choose=draw):
    shares, deviation = truth
    found = []
    for number in range(studies):
        random = np.random.default_rng([n, number])
        codes = choose(n, random)
        search = search_of(codes, effect(codes) + deviation * random.standard_normal(n))
        rows = importances(search).shares.set_index("knob")["share"]
        found.append([(rows[name].low <= share <= rows[name].high, rows[name].low <= 0, rows[name].value)
                      for name, share in shares.items()])  # fmt: skip
    held, holds_zero, value = np.moveaxis(np.array(found, dtype=float), -1, 0)
    names = list(shares)
    return tuple(dict(zip(names, part.mean(axis=0), strict=True)) for part in (held, holds_zero, value))


def test_planted_shares_lie_in_their_intervals_and_what_does_nothing_is_not_found(truth):
    held, holds_zero, value = simulate(truth, 60, 40)
    shares = truth[0]
    assert min(shares[name] for name in LEVELS if name not in NOTHING) > 0.02
    assert np.mean([held[name] for name in LEVELS if name not in NOTHING]) >= 0.87
    assert min(held.values()) >= 0.75
    assert min(holds_zero[name] for name in NOTHING) >= 0.97
    assert max(holds_zero[name] for name in ("width", "rate")) <= 0.2
    assert [value[name] for name in LEVELS] == pytest.approx([shares[name] for name in LEVELS], abs=0.07)


def test_the_gradient_of_the_fit_is_that_of_differences():
    random = np.random.default_rng(2)
    apart = random.normal(size=(3, 20, 1))
    likeness = np.exp(-0.5 * (apart - apart.transpose(0, 2, 1)) ** 2)
    target = random.normal(size=20)
    at = np.array([-1.0, 0.2, -2.0, 0.3, -1.5])
    slope = _misfit(at, likeness, target)[1]
    step = 1e-6 * np.eye(len(at))
    numeric = [(_misfit(at + own, likeness, target)[0] - _misfit(at - own, likeness, target)[0]) / 2e-6 for own in step]
    assert slope == pytest.approx(numeric, rel=1e-5)


def test_too_few_trials_and_trials_that_were_not_trained_to_the_end_say_nothing():
    codes = draw(2 * FEWEST, np.random.default_rng(3))
    search = search_of(codes, effect(codes))
    search.trials.loc[FEWEST - 1 :, "given_up"] = True
    search.trials.loc[0, "validation_accuracy"] = 0.1
    found = importances(search)
    assert found.shares.empty
    assert (found.trials, found.of_trials) == (FEWEST - 2, FEWEST - 2)


def test_trials_that_do_not_differ_and_a_search_without_trials_have_no_importances():
    codes = draw(40, np.random.default_rng(4))
    assert importances(search_of(codes, np.zeros(40))).shares.empty
    nothing = search_of(codes, effect(codes))
    assert importances(Search("accuracy", nothing.choices, nothing.trials.iloc[:0], *[pd.DataFrame()] * 2)).trials == 0


def test_a_knob_with_one_value_among_these_trials_is_named_and_has_no_share():
    codes = {**draw(40, np.random.default_rng(5)), "l2": np.zeros(40, dtype=int)}
    found = importances(search_of(codes, effect(codes)))
    assert found.constant == ("l2",)
    assert set(found.shares["knob"]) == set(LEVELS) - {"l2"}


def test_a_perfect_network_and_exact_effects_are_no_faults():
    codes = draw(60, np.random.default_rng(6))
    search = search_of(codes, effect(codes))
    search.trials.loc[3, "validation_accuracy"] = 1.0
    assert all(0 <= share.low <= share.value <= share.high <= 1 for share in importances(search).shares["share"])


def test_of_very_many_trials_some_are_taken_evenly():
    codes = draw(2 * MOST, np.random.default_rng(7))
    codes = {name: codes[name] for name in ("width", "rate", "dropout", "features", "schedule")}
    gain = effect({**codes, **dict.fromkeys(NOTHING, np.zeros(2 * MOST, dtype=int))})
    trials = pd.DataFrame(codes).assign(status="done", validation_accuracy=1 - 0.02 * np.exp(-gain), validation_n=6000,
                                        given_up=False, n_classes=10)  # fmt: skip
    found = importances(Search("accuracy", ("width",), trials, *[pd.DataFrame()] * 2))
    assert (found.trials, found.of_trials) == (MOST, 2 * MOST)
