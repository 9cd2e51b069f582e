"""The race on planted accuracies: who is dropped, who is equivalent, and that the truly best seldom falls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_rel

from mnistlab.analysis.racing import evenly, foremost, pareto_front, standing

accuracies = st.lists(st.integers(0, 20), min_size=1, max_size=12)


def test_of_two_candidates_it_is_students_paired_t():
    table = np.random.default_rng(0).normal(0.97, 0.002, (2, 6))
    assert standing(table).p.min() == pytest.approx(ttest_rel(*table).pvalue)


def test_of_three_the_error_is_the_residual_of_the_two_way_table():
    rng = np.random.default_rng(1)
    table = rng.normal(0.97, 0.002, (3, 5)) + rng.normal(0, 0.02, 5)  # seeds differ much: pairing takes it away
    own = standing(table)
    means, blocks = table.mean(axis=1), table.mean(axis=0)
    residual = ((table - table.mean()) ** 2).sum() - 5 * means.var() * 3 - 3 * blocks.var() * 5
    t = (means[own.rival[np.argmin(means)]] - means.min()) / np.sqrt(2 * residual / 8 / 5)
    assert own.p[np.argmin(means)] == pytest.approx(2 * 2 * student.sf(t, 8))  # the first of two by Holm


def test_with_one_seed_or_one_candidate_nothing_is_decided():
    assert standing([[0.98], [0.2], [0.97]]).words == ("leads", "open", "open")
    assert standing([[0.98, 0.97, 0.98]]).words == ("leads",)


def test_a_leader_better_ones_and_equivalent_ones_are_told_apart():
    rng = np.random.default_rng(2)
    table = np.array([0.980, 0.970, 0.9795, 0.975])[:, None] + rng.normal(0, 0.003, 10) + rng.normal(0, 3e-4, (4, 10))
    found = standing(table)
    assert found.words == ("leads", "worse", "equivalent", "worse")
    assert found.settled
    assert found.remaining([100, 1, 50, 1]) == [0, 2]  # the smaller of equals may win
    assert found.remaining([100, 1, 150, 1]) == [0]


def test_candidates_that_differ_by_the_same_in_every_seed_are_told_apart():
    table = np.array([[0.97], [0.98], [0.98]]) + np.linspace(0, 0.01, 4)
    assert standing(table).words == ("worse", "leads", "equivalent")


def test_where_costs_count_a_candidate_is_compared_with_those_that_cost_no_more():
    rng = np.random.default_rng(3)
    table = np.array([0.95, 0.97, 0.96, 0.9701])[:, None] + rng.normal(0, 3e-4, (4, 6))
    found = standing(table, costs=[10, 20, 30, 40])
    assert list(found.rival) == [-1, 0, 1, 1]
    assert found.words == ("leads", "better", "worse", "equivalent")
    assert found.remaining([10, 20, 30, 40]) == [0, 1]


def test_no_equivalent_falls_because_of_one_that_falls_itself():
    table = np.array([0.970, 0.9701, 0.9702])[:, None] + np.random.default_rng(4).normal(0, 3e-4, (3, 6))
    found = standing(table, costs=[1, 2, 3])
    assert found.words == ("leads", "equivalent", "equivalent")
    assert 2 in found.remaining([1, 2, 3]) or found.rival[2] == 0


def test_the_truly_best_is_seldom_surely_worse():
    rng = np.random.default_rng(5)
    fallen = 0
    for _ in range(2000):
        # The hardest case: all are equal, so that each of them is truly the best.
        found = standing(0.98 + rng.normal(0, 0.0015, (8, 4)), margin=1e-9)
        fallen += found.words[0] == "worse"
    assert fallen / 2000 < 0.025


@given(accuracies, st.data())
def test_nobody_on_the_pareto_front_is_beaten_and_everybody_off_it_is(accuracy, data):
    costs = data.draw(st.lists(st.integers(0, 5), min_size=len(accuracy), max_size=len(accuracy)))
    front = pareto_front(accuracy, costs)
    for own in range(len(accuracy)):
        beaten = any(
            accuracy[other] >= accuracy[own]
            and costs[other] <= costs[own]
            and (accuracy[other], -costs[other]) != (accuracy[own], -costs[own])
            for other in range(len(accuracy))
        )
        equal = any((accuracy[other], costs[other]) == (accuracy[own], costs[own]) for other in front)
        assert (not beaten) == equal
    assert sorted(front, key=lambda own: costs[own]) == front


@given(accuracies, st.integers(1, 12))
def test_the_foremost_are_the_best_and_no_one_twice(accuracy, n):
    chosen = foremost(accuracy, None, n)
    assert [accuracy[own] for own in chosen] == sorted(accuracy, reverse=True)[:n]
    by_layers = foremost(accuracy, list(range(len(accuracy))), n)
    assert len(set(by_layers)) == len(by_layers) == min(n, len(accuracy))


def test_a_front_is_thinned_evenly_and_keeps_its_ends():
    assert evenly(9, 3) == [0, 4, 8]
    assert evenly(2, 6) == [0, 1]
    assert (evenly(5, 1), evenly(5, 0), evenly(0, 3)) == ([4], [], [])
