"""Early stopping with its epochs: who is paired with whom, and what is said of them."""

import pytest

from mnistlab.analysis.early_stopping import TOGETHER, stopping_pairs, stopping_verdicts
from mnistlab.analysis.verdicts import replicates_of
from mnistlab.spec import Architecture, Cell, Training

DONE = ("done",) * 6


def cell(width=64, epochs=10, patience=None, **rest):
    return Cell(Architecture((width,)), training=Training(epochs=epochs, early_stopping_patience=patience), **rest)


def study(plant):
    return plant([
        (cell(), 0.96, DONE),
        (cell(epochs=50, patience=5), 0.98, DONE),
        (cell(epochs=30), 0.98, DONE),
        (cell(epochs=50), 0.98, DONE),
        (cell(32), 0.95, DONE),
        (cell(epochs=50, patience=5, framework="sklearn"), 0.98, DONE),
    ], n_digits=4000)  # fmt: skip


def test_early_stopping_is_paired_with_plain_training_of_other_epochs_alone(plant):
    pairs = stopping_pairs(study(plant).cells)
    assert list(pairs[["knob", "a", "b"]].itertuples(index=False, name=None)) == [(TOGETHER, 1, 0), (TOGETHER, 1, 2)]


def test_its_verdicts_are_those_of_these_pairs_as_one_family(plant):
    planted = study(plant)
    replicates = replicates_of(planted.cells, planted.runs)
    found = stopping_verdicts(planted.cells, replicates, margin=0.002)
    assert found["knob"].tolist() == [TOGETHER] * 2
    assert found[["a", "b"]].to_numpy().tolist() == [[1, 0], [1, 2]]
    assert found["verdict"].tolist()[0] == "better"
    assert found["verdict"].tolist()[1] != "better"
    accuracy = planted.runs.groupby("cell", sort=False)["test_accuracy"].mean().to_numpy()
    gains = [difference.value for difference in found["difference"]]
    assert gains == pytest.approx([accuracy[1] - accuracy[0], accuracy[1] - accuracy[2]])
    assert gains == pytest.approx([0.02, 0.0], abs=0.01)
    assert (found["p_holm"] >= found["p"]).all()


def test_in_an_adaptive_study_they_share_the_error_of_its_looks(plant):
    planted = study(plant)
    replicates = replicates_of(planted.cells, planted.runs)
    found = stopping_verdicts(planted.cells, replicates, margin=0.002, seeds=range(20))
    assert set(found["look"]) <= {5, 10}
    assert (found.loc[found["look"] == 5, "seeds"] == 5).all()


@pytest.mark.parametrize("seeds", [None, range(20)])
def test_a_study_without_such_pairs_has_no_rows(plant, seeds):
    planted = plant([(cell(), 0.96, DONE), (cell(epochs=50, patience=5), 0.98, ("planned",) * 6)])
    found = stopping_verdicts(planted.cells, replicates_of(planted.cells, planted.runs), margin=0.002, seeds=seeds)
    assert found.empty
    assert {"difference", "verdict"} <= set(found.columns)
