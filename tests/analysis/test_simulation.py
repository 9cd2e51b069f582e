"""Simulated networks are as they are said to be; a broken promise shows. `cli/test_simulate.py` simulates."""

import numpy as np
import pytest

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import Replicates
from mnistlab.analysis.simulation import LIKE_MNIST, Promise, World, told_apart_from_itself


@pytest.mark.parametrize("world", [LIKE_MNIST, World(luck=0.2), World(hard=2, taste=2), World()])
@pytest.mark.parametrize("accuracy", [[0.9, 0.8], [0.85]])
def test_simulated_cells_have_the_accuracy_they_are_given(world, accuracy):
    digits = [world.draw(np.random.default_rng(k), accuracy, 20, 10_000).mean(axis=(1, 2)) for k in range(20)]
    assert np.mean(digits, axis=0) == pytest.approx(accuracy, abs=0.006)


def test_luck_varies_from_seed_to_seed_what_is_hard_from_digit_to_digit_and_taste_from_cell_to_cell():
    def spread(world):
        bits = world.draw(np.random.default_rng(2), [0.9, 0.9], n_seeds=60, n_digits=2000)
        by_digit = bits.mean(axis=1)
        return bits.mean(axis=2).std(), by_digit.std(), (by_digit[0] - by_digit[1]).std()

    noise = np.sqrt(0.9 * 0.1 / 2000), np.sqrt(0.9 * 0.1 / 60), np.sqrt(2 * 0.9 * 0.1 / 60)
    assert spread(World()) == pytest.approx(noise, rel=0.15)
    assert spread(World(luck=0.3))[0] > 5 * noise[0]
    of_hard, of_taste = spread(World(hard=2)), spread(World(hard=2, taste=1))
    assert of_hard[1] > 4 * noise[1]
    assert of_hard[2] < noise[2] < 2 * noise[2] < of_taste[2]


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [(0.94, 0.96, True), (0.90, 0.931, True), (0.969, 0.99, True), (0.90, 0.929, False), (0.971, 0.99, False)],
)
def test_a_promise_is_broken_where_the_simulation_refutes_its_band(low, high, kept):
    found = Estimate((low + high) / 2, low, high, n=100, kind="wilson")
    assert Promise("", "", 3, found, 0.93, 0.97).kept is kept
    assert Promise("", "", 3, found).kept is None


def test_halves_of_one_cell_are_told_apart_as_often_as_chance_does_it():
    one = LIKE_MNIST.draw(np.random.default_rng(3), [0.975], n_seeds=20)[0]
    found = told_apart_from_itself(Replicates(tuple(range(20)), "d", one), 500)
    assert (found.kind, found.n) == ("wilson", 500)
    assert 0.02 < found.value < 0.08
    assert told_apart_from_itself(Replicates((0, 1, 2, 3, 4), "d", one[:5]), 20).n == 20
    with pytest.raises(ValueError, match="four networks or more are needed; got 3"):
        told_apart_from_itself(Replicates((0, 1, 2), "d", one[:3]))
