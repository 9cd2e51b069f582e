"""Which verdicts change when every cell has its own best rate, in worlds where the truth is planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mnistlab import fair
from mnistlab.analysis.fair import TunedFrom, rate_table, verdict_changes
from mnistlab.analysis.sensitivity import sensitivity
from mnistlab.analysis.split_law import split_table
from mnistlab.analysis.verdicts import study_verdicts
from mnistlab.spec import Architecture, Cell, Run, Split, Training
from mnistlab.study import Study

RATE = 0.004
DONE = ("done",) * 6
NARROW, WIDE = (Cell(Architecture((width,)), training=Training(learning_rate=RATE)) for width in (16, 256))


def accuracy(cell):
    """Wide networks reach more, at a sixteenth of the rate that suits narrow ones."""
    wide = cell.architecture == WIDE.architecture
    best = RATE / 16 if wide else RATE
    return 0.90 + 0.04 * wide - 0.02 * abs(np.log2(cell.training.learning_rate / best))


def tuned(found):
    """The cells of a study as a store hands them out that gave each its own best learning rate."""
    return found.cells.assign(tuned_knob="learning_rate")


@pytest.fixture(scope="module")
def world(plant):
    """Two cells with the rate of their study and each with its best one, and where the latter came from."""
    study = Study("widths", (NARROW, WIDE), tuple(range(6)))
    accuracies = {Run(tried, seed).id: accuracy(tried) for tried in fair.search_of(study).cells
                  for seed in fair.TRIAL_SEEDS}  # fmt: skip
    chosen = fair.with_best_rates(study, accuracies).cells
    before = plant([(cell, accuracy(cell), DONE) for cell in study.cells])
    after = plant([(cell, accuracy(cell), DONE) for cell in chosen])
    trials = pd.DataFrame([
        {"run": Run(cell, seed).id, "cell": cell.id, "label": cell.label, "seed": seed, "accuracy": accuracy(cell),
         **cell.settings(), "tuned_knob": "learning_rate"}
        for cell in fair.search_of(study).cells for seed in fair.TRIAL_SEEDS
    ])  # fmt: skip
    return before, after, TunedFrom("widths", "mnistlab run widths.toml", trials, before.cells, before.runs), chosen


def test_a_planted_reversal_is_found(world):
    _, after, source, chosen = world
    assert [cell.training.learning_rate for cell in chosen] == [RATE, RATE / 16]
    [row] = verdict_changes(source, study_verdicts(tuned(after), after.runs)).to_dict("records")
    assert (row["knob"], row["before"], row["after"]) == ("width", "worse", "better")
    assert (row["changed"], row["is_reversed"]) == (True, True)
    assert (row["cell"], row["against"]) == (chosen[1].id, chosen[0].id)
    assert row["difference_before"].high < 0 < row["difference"].low
    assert (row["seeds_before"], row["seeds"]) == (6, 6)


def test_cells_that_differ_in_a_tuned_rate_as_well_are_no_pair_where_nothing_was_tuned(world):
    _, after, _, _ = world
    assert study_verdicts(after.cells, after.runs).rows.empty
    assert study_verdicts(tuned(after), after.runs).rows["knob"].tolist() == ["width"]


def test_the_order_of_cells_in_the_plain_study_does_not_matter(world):
    before, after, source, _ = world
    turned = replace(source, cells=before.cells.iloc[::-1].reset_index(drop=True))
    found = study_verdicts(tuned(after), after.runs)
    assert verdict_changes(turned, found).equals(verdict_changes(source, found))


def test_what_one_of_the_studies_does_not_have_is_left_out(world):
    _, after, source, _ = world
    found = study_verdicts(tuned(after), after.runs)
    one = replace(source, cells=source.cells.iloc[:1], runs=source.runs[source.runs["cell"] == NARROW.id])
    assert verdict_changes(one, found).empty
    assert verdict_changes(replace(source, cells=source.cells.iloc[:0], runs=source.runs.iloc[:0]), found).empty
    assert verdict_changes(None, found).empty


def test_the_same_networks_change_no_verdict(world):
    before, _, source, _ = world
    [row] = verdict_changes(source, study_verdicts(tuned(before), before.runs)).to_dict("records")
    assert row["before"] == row["after"]
    assert row["difference_before"] == row["difference"]
    assert not row["changed"]


def test_every_cell_shows_what_it_had_to_choose_from(world):
    _, after, source, chosen = world
    table = rate_table(tuned(after), source)
    assert table["cell"].tolist() == [cell.id for cell in chosen]
    assert table["rate"].tolist() == [RATE, RATE / 16]
    assert table["of_study"].tolist() == [RATE, RATE]
    assert table["edge"].tolist() == ["", "lowest"]
    assert table["n"].tolist() == [2, 2]
    for row, cell in zip(table.to_dict("records"), (NARROW, WIDE), strict=True):
        assert row["rates"] == tuple(factor * RATE for factor in fair.FACTORS)
        assert row["accuracies"] == pytest.approx([accuracy(tried) for tried in fair.rates_of(cell)])
        assert len(row["runs"]) == 10
    assert rate_table(after.cells, None).empty


def test_a_tuned_rate_is_no_knob_of_the_sensitivity_and_tears_no_split_family_apart(plant):
    """A full factorial whose cells have different rates; four fractions of one network with different rates."""
    grid = plant([
        (Cell(Architecture((width,), name), training=Training(learning_rate=rate)), 0.9 + 0.01 * number, DONE)
        for number, (width, name, rate) in enumerate(
            [(16, "relu", 0.1), (16, "tanh", 0.2), (64, "relu", 0.3), (64, "tanh", 0.1)])
    ])  # fmt: skip
    assert sensitivity(grid.cells, grid.runs).method == "permutation"
    found = sensitivity(tuned(grid), grid.runs)
    assert (found.method, set(found.effects["knob"])) == ("anova", {"width", "activation"})
    fractions = plant([
        (Cell(Architecture((64,)), split=Split(train_fraction=share), training=Training(learning_rate=share)),
         0.9 + 0.05 * share, DONE) for share in (0.125, 0.25, 0.5, 1.0)
    ])  # fmt: skip
    assert split_table(fractions.cells, fractions.runs).empty
    assert len(split_table(tuned(fractions), fractions.runs)) == 4
