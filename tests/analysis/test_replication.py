"""Looks: what an early one decides, what none will decide, what waits for seeds. Bits and frames with a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mnistlab.analysis.intervals import CrossedVariance, Replicates
from mnistlab.analysis.replication import _hopeful, adaptive_table, adaptive_verdicts, looks_up_to, seeds_wanted
from mnistlab.analysis.simulation import LIKE_MNIST
from mnistlab.analysis.verdicts import PairTests, half_width, pair_tests, verdict_table
from mnistlab.spec import Architecture, Cell


def test_a_seed_that_diverged_is_not_waited_for():
    random = np.random.default_rng(3)
    bits = random.random((2, 5, 500)) < [[[0.9]], [[0.5]]]
    pairs = pd.DataFrame({"knob": ["width"], "a": [0], "b": [1]})
    replicates = {0: Replicates((0, 1, 2, 3, 4), "d", bits[0]), 1: Replicates((0, 1, 3, 4), "d", bits[1, :4])}
    options = {"seeds": range(10), "looks": looks_up_to(10)}
    [waiting] = adaptive_table(pairs, replicates, **options).itertuples()
    assert (waiting.verdict, waiting.look, waiting.wants, waiting.seeds) == ("undecided", 5, 5, 4)
    [decided] = adaptive_table(pairs, replicates, **options, lost={1: {2, 7}}).itertuples()
    assert (decided.verdict, decided.look, decided.wants, decided.seeds) == ("better", 5, 0, 4)
    [other] = adaptive_table(pairs, replicates, **options, lost={1: {7}}).itertuples()
    assert other.wants == 5


def test_every_cell_should_have_the_first_look_and_what_its_open_verdicts_want(plant):
    wide, wider, narrow, other = (Cell(Architecture(layers)) for layers in ((64,), (65,), (4,), (8, 8)))
    five = ("done",) * 5
    planted = plant([(wide, 0.970, five), (wider, 0.971, five), (narrow, 0.80, five), (other, 0.9, five)])
    found = adaptive_verdicts(planted.cells, planted.runs, seeds=range(40))
    words = {(found.cells["label"][row.a], found.cells["label"][row.b]): row.verdict for row in found.rows.itertuples()}
    assert words == {("1x65 relu", "1x64 relu"): "undecided", ("1x4 relu", "1x64 relu"): "worse",
                     ("1x4 relu", "1x65 relu"): "worse"}  # fmt: skip
    assert seeds_wanted(found).to_dict() == {wide.id: 10, wider.id: 10, narrow.id: 5, other.id: 5}
    assert found.looks == (5, 10, 20, 40)


def test_before_anything_has_finished_every_cell_should_have_the_first_look(plant):
    cells = [Cell(Architecture((width,))) for width in (4, 8)]
    planted = plant([(cell, 0.9, ("planned",) * 5) for cell in cells])
    found = adaptive_verdicts(planted.cells, planted.runs, seeds=range(5))
    assert seeds_wanted(found).to_dict() == {cell.id: 5 for cell in cells}
    assert found.rows.empty


@pytest.mark.parametrize("statuses", [("done",) * 3 + ("diverged",) * 2, ("diverged",) * 5])
def test_diverged_networks_in_the_store_leave_nothing_to_wait_for(plant, statuses):
    steady, wild = Cell(Architecture((8,))), Cell(Architecture((64,)))
    planted = plant([(steady, 0.7, ("done",) * 5), (wild, 0.95, statuses)])
    found = adaptive_verdicts(planted.cells, planted.runs, seeds=range(5))
    assert found.rows["seeds"].tolist() == [3] * ("done" in statuses)
    assert not found.rows["wants"].any()
    assert set(seeds_wanted(found)) == {5}


def planted_pair(lead, seed=21, n_digits=2000):
    bits = LIKE_MNIST.draw(np.random.default_rng(seed), [0.95, 0.95 + lead], 5, n_digits)
    return {side: Replicates(tuple(range(5)), "d", bits[side]) for side in (0, 1)}


PAIR = pd.DataFrame({"knob": ["width"], "a": [1], "b": [0]})


def test_a_look_judges_differences_and_equivalence_each_at_its_own_level():
    looks = looks_up_to(40)
    replicates = planted_pair(0.0)
    tests = pair_tests(PAIR, replicates)
    size = abs(tests.difference[0])
    narrow, wide = (size + half_width(tests.spread, level)[0] for level in (0.05, looks[0].alpha_equivalence))
    for margin, verdict in (((narrow + wide) / 2, "undecided"), (wide * 1.01, "equivalent")):
        [row] = adaptive_table(PAIR, replicates, seeds=range(40), looks=looks, margin=margin).itertuples()
        assert (row.look, row.verdict) == (10 if verdict == "undecided" else 5, verdict)
    assert verdict_table(PAIR, replicates, margin=(narrow + wide) / 2)["verdict"].tolist() == ["equivalent"]
    p = {lead: pair_tests(PAIR, planted_pair(lead)).p[0] for lead in np.linspace(0.004, 0.03, 40)}
    between = next(lead for lead, value in p.items() if looks[0].alpha < value < 0.05)
    surely = next(lead for lead, value in p.items() if value < looks[0].alpha)
    for lead, word in ((between, "undecided"), (surely, "better")):
        found = adaptive_table(PAIR, planted_pair(lead), seeds=range(40), looks=looks, margin=1e-4)
        assert found["verdict"].tolist() == [word]
        assert verdict_table(PAIR, planted_pair(lead), margin=1e-4)["verdict"].tolist() == ["better"]


@pytest.mark.parametrize(("chance", "goes_on"), [(0.33, False), (0.37, True)])
def test_the_last_look_is_bought_where_the_chance_is_worth_half_of_all_seeds(chance, goes_on):
    """At 20 of 40 seeds the price is 0.7 of a half: 35 %."""
    last, by_seed = looks_up_to(40)[-1], 1e-6
    spread = CrossedVariance(*(np.array([value]) for value in (20, 10_000, by_seed, 0.0, 0.0)))
    needed = half_width(spread.with_seeds(np.array(40)), last.alpha / 2)[0]
    difference = np.array([needed - norm.isf(chance) * np.sqrt(by_seed / 2)])
    tests = PairTests(PAIR, difference, spread, np.array([0.5]), np.array([0.5]), np.array([1]))
    assert _hopeful(tests, 20 / 40, last, 1e-6).tolist() == [goes_on]


def test_what_is_decided_while_others_wait_stays_when_they_have_come():
    """Four cells of which two are complete: nobody's verdict is taken back by the others."""
    seeds = tuple(range(5))
    pairs = pd.DataFrame([("width", a, b) for a in range(4) for b in range(a)], columns=["knob", "a", "b"])
    options = {"seeds": range(40), "looks": looks_up_to(40), "margin": 0.0005}
    decided = 0
    for number in range(40):
        bits = LIKE_MNIST.draw(np.random.default_rng(number), [0.95, 0.975, 0.95, 0.95], 5, 2000)
        whole = {cell: Replicates(seeds, "d", own) for cell, own in enumerate(bits)}
        part = {**whole, 2: Replicates(seeds[:2], "d", bits[2][:2])}
        del part[3]
        before, after = (
            adaptive_table(pairs, found, **options).set_index(["a", "b"])["verdict"] for found in (part, whole)
        )
        if before[1, 0] != "undecided":
            decided += 1
            assert after[1, 0] == before[1, 0]
    assert decided >= 10
