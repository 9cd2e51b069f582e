"""Looks: what an early one decides, what none will decide, what waits for seeds. Bits and frames with a known truth."""

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.intervals import Replicates
from mnistlab.analysis.replication import adaptive_table, adaptive_verdicts, looks_up_to, seeds_wanted
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
