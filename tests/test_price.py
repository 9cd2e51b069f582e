"""Seconds of runs learned from planted ones."""

import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.price import Prices, Work

SMALL = Work("small", "reference keras", "", depth=1, epochs=10, steps_per_epoch=1_688, flops_per_step=6_559_616,
             evaluated=16_000, parameters=50_890)  # fmt: skip
LARGE = Work("large", "reference keras", "", depth=4, epochs=30, steps_per_epoch=1_688, flops_per_step=10**8,
             evaluated=16_000, parameters=10**6)  # fmt: skip
OTHER = Work("other", "reference sklearn", "", depth=1, epochs=10, steps_per_epoch=1_688, flops_per_step=6_559_616,
             evaluated=16_000, parameters=50_890)  # fmt: skip

positive = st.floats(1e-3, 1e6)


SHAPED = replace(SMALL, key="shaped", engine="population keras", shape="784-64-10")


def first_guess(work):
    return Prices().seconds(work).value


@given(seconds=st.lists(positive, min_size=1, max_size=20))
def test_runs_alike_cost_their_mean(seconds):
    prices = Prices()
    for second in seconds:
        prices.observe(SMALL, second, 0.0, 0.0)
    price = prices.seconds(SMALL)
    assert price.value == pytest.approx(statistics.fmean(seconds))
    assert price.low < price.value < price.high
    assert (price.n, price.level, price.kind) == (len(seconds), 0.95, "prediction")


@given(scale=st.floats(0.01, 100))
def test_a_first_guess_is_scaled_by_what_the_machine_showed(scale):
    prices = Prices()
    compiling = Prices().compile_seconds(SMALL)
    prices.observe(SMALL, scale * (first_guess(SMALL) + compiling), scale * compiling, 0.0)
    assert prices.seconds(LARGE).value == pytest.approx(scale * first_guess(LARGE))
    assert prices.compile_seconds(LARGE) == pytest.approx(scale * Prices().compile_seconds(LARGE))
    assert prices.seconds(LARGE).n == 1


def test_one_framework_says_nothing_of_the_other():
    prices = Prices()
    prices.observe(SMALL, 1_000.0, 10.0, 0.0)
    assert prices.seconds(OTHER) == Prices().seconds(OTHER)


def test_the_guess_alone_is_right_within_a_factor_of_three():
    guess = Prices().seconds(SMALL)
    assert (guess.low, guess.high) == pytest.approx((guess.value / 3, guess.value * 3))
    assert guess.n == 0


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_intervals_hold_about_as_many_planted_times_as_they_promise(spread):
    luck = random.Random(5)

    def seconds(work):
        return 2.5 * first_guess(work) * math.exp(luck.gauss(0, spread))

    works = [Work(f"w{i}", "reference keras", "", 1 + i % 5, 10, 100 * (1 + i % 7), 10**6 * (1 + i % 11), 16_000,
                  10**5) for i in range(400)]  # fmt: skip
    prices = Prices()
    for work in works[:100]:
        prices.observe(work, seconds(work), 0.0, 0.0)
    kept = [prices.seconds(work).low <= seconds(work) <= prices.seconds(work).high for work in works[100:]]
    assert statistics.fmean(kept) > 0.9
    again = [prices.seconds(work).low <= seconds(work) <= prices.seconds(work).high for work in works[:100]]
    assert statistics.fmean(again) > (0.9 if spread < 0.1 else 0.4)  # from one run each, whose spread is not known


def test_the_interval_of_many_alike_follows_their_spread():
    steady, shaky = Prices(), Prices()
    for second in (9.9, 10.0, 10.1, 10.0):
        steady.observe(SMALL, second, 0.0, 0.0)
        shaky.observe(SMALL, second * (1.6 if second == 10.1 else 1.0), 0.0, 0.0)
    assert steady.seconds(SMALL).high == pytest.approx(10 * 1.15)
    assert shaky.seconds(SMALL).high / shaky.seconds(SMALL).value > 1.4


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_time_that_cannot_be_is_not_learned_from(seconds):
    prices = Prices()
    prices.observe(SMALL, seconds, 0.0, 0.0)
    assert prices.seconds(SMALL) == Prices().seconds(SMALL)


@given(changed=st.sampled_from(["depth", "epochs", "steps_per_epoch", "flops_per_step", "evaluated", "parameters"]))
def test_more_of_anything_costs_more(changed):
    values = {name: getattr(SMALL, name) for name in SMALL.__slots__}
    assert first_guess(Work(**{**values, changed: 2 * values[changed]})) > first_guess(SMALL)


@given(epochs=st.lists(st.integers(1, 100), max_size=30), workers=st.integers(1, 8))
def test_a_total_ends_with_the_last_of_the_processes(epochs, workers):
    works = [replace(SMALL, key=str(number), epochs=n) for number, n in enumerate(epochs)]
    found = Prices().total([([work], 1.0) for work in works], workers, 7.0)
    compiling, ends = Prices().compile_seconds(SMALL), [0.0] * workers
    for work in works:
        ends[ends.index(min(ends))] += first_guess(work) + compiling
    assert found.value == pytest.approx(max(ends) + 7.0)
    assert 7.0 <= found.low <= found.value <= found.high
    if workers == 1:
        alone = len(works) * compiling + 7.0
        trained = sum(map(first_guess, works))
        assert (found.low - alone, found.high - alone) == pytest.approx((trained / 3, trained * 3))


def test_a_shape_is_compiled_once_and_found_ready_later():
    prices = Prices()
    cold = prices.compile_seconds(SHAPED)
    group, other = [SHAPED] * 5, [replace(SHAPED, key="other", shape="784-8-10")]
    trained = 6 * prices.seconds(SHAPED).value
    assert prices.total([(group, 1.0), (other, 1.0)]).value == pytest.approx(trained + 2 * cold)
    for compile_seconds in (6.0, 0.0, 0.0, 0.0, 0.0):
        prices.observe(SHAPED, 5.0 + compile_seconds, compile_seconds, 4.0)
    assert prices.compile_seconds(SHAPED) == pytest.approx(6.0 / 4)
    assert prices.compile_seconds(other[0]) == pytest.approx(6.0)
    assert prices.total([(group, 1.0)] * 3).value == pytest.approx(15 * 5.0 + 6.0 / 4)


@given(steps=st.floats(0, 9), filled=st.sampled_from([0.2, 0.25, 0.5, 1.0]))
def test_empty_places_cost_steps_but_no_evaluation(steps, filled):
    prices = Prices()
    prices.observe(SMALL, 10.0, 1.0, steps)
    assert prices.seconds(SMALL, filled).value == pytest.approx(steps / filled + 9.0 - steps)


def test_the_steps_of_a_prediction_are_the_share_that_was_seen():
    prices = Prices()
    for steps in (2.0, 3.0, 4.0):
        prices.observe(SMALL, 11.0, 1.0, steps)
    assert prices.step_seconds(SMALL) == pytest.approx(3.0)
