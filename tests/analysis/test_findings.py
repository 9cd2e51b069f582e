"""What a study found: the choice made on validation digits, the weight of what is said against it, the order."""

import numpy as np
import pytest

from mnistlab.analysis.findings import findings, of_knobs
from mnistlab.analysis.replication import adaptive_verdicts
from mnistlab.analysis.verdicts import study_verdicts
from mnistlab.spec import Architecture, Cell, Training
from mnistlab.wording import finding_sentence

TEN = ("done",) * 10


def found_in(study, margin=0.002):
    verdicts = study_verdicts(study.cells, study.runs, margin)
    return verdicts, findings(verdicts, study.runs)


def pairs(verdicts, table):
    labels = verdicts.cells["label"]
    return [(row.knob, labels[row.a], row.verdict, labels[row.b]) for row in table.itertuples()]


@pytest.fixture
def widths(plant):
    accuracy = {4: 0.80, 64: 0.95, 128: 0.951, 512: 0.955}
    return plant([(Cell(Architecture((width,))), value, TEN) for width, value in accuracy.items()], n_digits=5000)


def test_every_setting_is_held_against_the_one_chosen_on_validation_digits(widths):
    chosen = widths.cells["cell"][1]
    widths.runs.loc[widths.runs["cell"] == chosen, "validation_accuracy"] = 0.999
    verdicts, table = found_in(widths)
    assert len(verdicts.rows) == 6
    assert {frozenset((row.a, row.b)) for row in table.itertuples()} == {frozenset((1, n)) for n in (0, 2, 3)}
    widths.runs["validation_accuracy"] = np.nan
    assert len(found_in(widths)[1]) == 6


def test_test_digits_choose_nothing(widths):
    _, before = found_in(widths)
    order = np.random.default_rng(1).permutation(len(widths.runs))
    widths.runs["test_accuracy"] = widths.runs["test_accuracy"].to_numpy()[order]
    _, after = found_in(widths)
    assert before[["a", "b", "verdict"]].equals(after[["a", "b", "verdict"]])


def test_the_surest_gain_comes_first_the_undecided_last_and_every_knob_before_the_second_of_any(plant):
    def cell(width, activation="relu", **training):
        return Cell(Architecture((width,), activation), training=Training(**training))

    study = plant([
        (cell(512), 0.960, TEN), (cell(256), 0.959, TEN), (cell(4), 0.80, TEN), (cell(8), 0.90, TEN),
        (cell(512, "tanh"), 0.94, TEN), (cell(512, epochs=11), 0.9595, TEN),
    ], n_digits=5000)  # fmt: skip
    study.runs.loc[study.runs["cell"] == study.cells["cell"][0], "validation_accuracy"] = 0.999
    verdicts, table = found_in(study, margin=0.0003)
    assert pairs(verdicts, table) == [
        ("width", "1x4 relu", "worse", "1x512 relu"),
        ("activation", "1x512 tanh", "worse", "1x512 relu"),
        ("epochs", "1x512 relu, 11 epochs", "undecided", "1x512 relu"),
        ("width", "1x8 relu", "worse", "1x512 relu"),
        ("width", "1x256 relu", "undecided", "1x512 relu"),
    ]
    worst = table.iloc[0]
    assert worst["assured"] == -worst["difference"].high > 0
    assert table["assured"].tolist()[2] == table["assured"].tolist()[4] == 0
    assert worst["operations"] == pytest.approx(4 * (2 * 784 + 30) / (512 * (2 * 784 + 30)), rel=0.02)
    ids = study.runs.groupby("cell")["run"].agg(list)
    assert worst["runs"] == tuple(ids[study.cells["cell"][2]] + ids[study.cells["cell"][0]])


def test_equal_cells_weigh_by_what_the_cheaper_one_saves(plant):
    cells = [Cell(Architecture((64,)), training=Training(epochs=epochs)) for epochs in (10, 20, 80)]
    study = plant([(cell, 0.95, TEN) for cell in cells], n_digits=5000)
    study.runs.loc[study.runs["cell"] == cells[0].id, "validation_accuracy"] = 0.999
    verdicts, table = found_in(study, margin=0.05)
    assert table["verdict"].tolist() == ["equivalent", "equivalent"]
    assert table["operations"].tolist() == pytest.approx([8, 2])
    sentence = finding_sentence(verdicts, table.to_dict("records")[0])
    assert sentence.endswith("; 1x64 relu, 80 epochs takes 8 times the operations to train.")


def test_collapsed_networks_are_counted(plant):
    deep, shallow = (Cell(Architecture((64,) * depth, "sigmoid")) for depth in (16, 4))
    study = plant([(shallow, 0.95, TEN), (deep, 0.1135, TEN)])
    verdicts, table = found_in(study)
    [row] = table.to_dict("records")
    assert (row["collapsed_a"], row["collapsed_b"]) == (10, 0)
    assert finding_sentence(verdicts, row).endswith("; 10 of 10 networks of 16x64 sigmoid collapsed.")


def test_a_single_common_seed_says_nothing_of_cells(plant):
    cells = [Cell(Architecture((width,))) for width in (4, 64)]
    study = plant([(cells[0], 0.5, ("done",)), (cells[1], 0.9, ("done",))])
    verdicts, table = found_in(study)
    assert (len(verdicts.rows), len(table)) == (1, 0)


def test_nothing_is_found_where_nothing_was_run(plant):
    study = plant([(Cell(Architecture((width,))), 0.9, ("planned",)) for width in (4, 8)])
    assert found_in(study)[1].empty


def test_an_interval_without_zero_that_decides_nothing_says_why(plant):
    cells = [Cell(Architecture((width,))) for width in range(8, 30)]
    study = plant([(cell, 0.93 + 0.0007 * n, ("done",) * 4) for n, cell in enumerate(cells)], n_digits=4000)
    verdicts, table = found_in(study)
    open_ = [row for row in table.to_dict("records")
             if row["verdict"] == "undecided" and row["difference"].low * row["difference"].high > 0]  # fmt: skip
    assert open_, "the planted differences are meant to lie between"
    for row in open_:
        assert finding_sentence(verdicts, row).endswith(
            "; the interval alone would tell them apart, but not as one of 231 pairs of width."
        )


def test_a_verdict_of_an_early_look_rests_on_the_first_seeds_alone(plant):
    cells = [Cell(Architecture((width,))) for width in (4, 512)]
    study = plant([(cell, accuracy, TEN) for cell, accuracy in zip(cells, (0.5, 0.95), strict=True)])
    verdicts = adaptive_verdicts(study.cells, study.runs, seeds=range(10))
    [row] = findings(verdicts, study.runs).to_dict("records")
    ids = study.runs.groupby("cell")["run"].agg(list)
    assert (row["look"], row["runs"]) == (5, (*ids[cells[1].id][:5], *ids[cells[0].id][:5]))


def test_cells_that_no_pair_joins_choose_apart(plant):
    """Four widths in either framework: knob `width` has two parts, each with its own choice."""
    cells = [
        Cell(Architecture((width,)), framework=framework) for framework in ("keras", "sklearn") for width in (4, 8, 16)
    ]
    study = plant([(cell, 0.8 + 0.01 * n, TEN) for n, cell in enumerate(cells)])
    _, table = found_in(study)
    chosen = [{row.a, row.b} for row in table.itertuples() if row.knob == "width"]
    assert sorted(map(sorted, chosen)) == [[0, 2], [1, 2], [3, 5], [4, 5]]


def test_operations_are_those_of_the_whole_training(plant):
    small, large = (Cell(Architecture((64,)), training=Training(batch_size=size)) for size in (32, 64))
    study = plant([(small, 0.95, TEN), (large, 0.95, TEN)], n_digits=5000)
    _, table = found_in(study, margin=0.05)
    assert table["operations"].tolist() == pytest.approx([1], rel=0.02)  # half the steps of twice the operations


def test_what_fewer_seeds_would_settle_comes_before_and_a_sure_gain_is_counted_in_margins(plant):
    cells = [Cell(Architecture((width,))) for width in (64, 65, 66, 32)]
    study = plant(
        [(cell, value, TEN) for cell, value in zip(cells, (0.95, 0.9495, 0.948, 0.93), strict=True)], n_digits=8000
    )
    study.runs.loc[study.runs["cell"] == cells[0].id, "validation_accuracy"] = 0.999
    _, table = found_in(study, margin=0.0005)
    assert table["verdict"].tolist() == ["worse", "undecided", "undecided"]
    assert table["a"].tolist() == [3, 2, 1]  # the third cell would need fewer seeds than the second
    twice = [Cell(Architecture((64,)), training=Training(epochs=epochs)) for epochs in (10, 20)]
    both = plant([(twice[0], 0.95, TEN), (twice[1], 0.95, TEN), (Cell(Architecture((32,))), 0.93, TEN)], n_digits=5000)
    both.runs.loc[both.runs["cell"] == twice[0].id, "validation_accuracy"] = 0.999
    _, table = found_in(both, margin=0.01)  # a gain of one to two margins against half of the operations
    assert table["verdict"].tolist() == ["worse", "equivalent"]
    assert 0 < table["assured"].iloc[0] < 1
    assert table["assured"].iloc[0] / 0.01 > 1


def test_of_a_knob_decided_pairs_come_first_then_plain_ones_then_those_of_most_seeds(plant):
    def cell(width, **training):
        return Cell(Architecture((width,)), training=Training(**training))

    study = plant([
        (cell(4, epochs=11), 0.80, TEN), (cell(64, epochs=11), 0.95, TEN), (cell(4), 0.80, TEN[:5]),
        (cell(64), 0.95, TEN), (cell(65), 0.951, TEN), (cell(66), 0.951, TEN[:5]),
    ], n_digits=5000)  # fmt: skip
    verdicts = study_verdicts(study.cells, study.runs, 0.0003)
    table = of_knobs(verdicts, study.runs, ("width",), 100)
    assert len(table) == (verdicts.rows["knob"] == "width").sum() == 7
    assert [(row.verdict == "undecided", row.seeds) for row in table.itertuples()] == [
        (False, 5), (False, 5), (False, 5), (False, 10), (True, 10), (True, 5), (True, 5)]  # fmt: skip
    labels = verdicts.cells["label"]
    assert {labels[table["a"][3]], labels[table["b"][3]]} == {"1x4 relu, 11 epochs", "1x64 relu, 11 epochs"}
    known = findings(verdicts, study.runs).set_index(["a", "b"])
    for row in table.to_dict("records"):
        if (row["a"], row["b"]) in known.index:
            assert {name: row[name] for name in ("assured", "operations", "runs", "collapsed_a")} == dict(
                known.loc[(row["a"], row["b"]), ["assured", "operations", "runs", "collapsed_a"]])  # fmt: skip
    assert list(of_knobs(verdicts, study.runs, ("width",), 2)["a"]) == list(table["a"][:2])
