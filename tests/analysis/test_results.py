"""The results of studies whose truth was planted."""

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import crossed_interval, wilson_interval
from mnistlab.analysis.results import (
    collapse_threshold,
    depth_table,
    replicates_by_cell,
    results_table,
    width_table,
)
from mnistlab.spec import Architecture, Cell, Split, Training

SMALL, WIDE = Cell(Architecture((32,))), Cell(Architecture((512,)))
DONE = ("done",) * 5


def table_of(study):
    return results_table(study.cells, study.runs, study.measurements)


def first_row(study):
    return table_of(study).rows.iloc[0]


def test_the_planted_accuracy_lies_in_its_interval(plant):
    study = plant([(SMALL, 0.95, DONE), (WIDE, 0.97, DONE)], n_digits=5000)
    for truth, accuracy in zip((0.95, 0.97), table_of(study).rows["accuracy"], strict=True):
        assert accuracy.low < truth < accuracy.high
        assert (accuracy.kind, accuracy.n, accuracy.level) == ("crossed", 5, 0.95)


def test_accuracy_crosses_the_stored_bits(plant):
    study = plant([(SMALL, 0.9, DONE)], n_digits=1003)
    bits = np.unpackbits(np.stack(study.runs["test_bits"]), axis=1)[:, :1003]
    assert first_row(study)["accuracy"] == crossed_interval(bits)
    assert first_row(study)["accuracy"].value == pytest.approx(study.runs["test_accuracy"].mean())


def test_one_seed_gives_wilsons_interval_and_no_resolution(plant):
    results = table_of(plant([(SMALL, 0.9, DONE[:1]), (WIDE, 0.97, DONE[:1])]))
    accuracy = results.rows["accuracy"][0]
    assert accuracy == wilson_interval(round(accuracy.value * 1000), 1000)
    assert results.rows["accuracy_these_digits"][0].low is None
    assert results.resolution is None


def test_two_cells_with_five_seeds_have_a_resolution(plant):
    results = table_of(plant([(SMALL, 0.95, DONE), (WIDE, 0.97, DONE)]))
    assert 0.001 < results.resolution < 0.05


def test_three_of_ten_collapsed_networks_are_counted_and_kept_apart(plant):
    study = plant([(SMALL, 0.97, ("done",) * 10)])
    collapsed = study.runs["seed"].isin([1, 4, 8])
    bits = np.packbits(np.arange(1000) < 113)
    study.runs["test_bits"] = [bits if c else b for c, b in zip(collapsed, study.runs["test_bits"], strict=True)]
    study.runs.loc[collapsed, "test_accuracy"] = 0.113
    row = first_row(study)
    assert (row["seeds"], row["trained"], row["collapsed"], row["diverged"]) == (10, 7, 3, 0)
    assert row["accuracy"].value == pytest.approx(study.runs["test_accuracy"].mean())
    assert row["accuracy_trained"].value == pytest.approx(study.runs.loc[~collapsed, "test_accuracy"].mean())
    assert (row["accuracy"].n, row["accuracy_trained"].n) == (10, 7)


def test_diverged_networks_are_counted_beside_and_enter_no_mean(plant):
    with_both = plant([(SMALL, 0.97, (*DONE[:3], "diverged", "failed"))])
    row, alone = first_row(with_both), first_row(plant([(SMALL, 0.97, DONE[:3])]))
    assert (row["seeds"], row["trained"], row["collapsed"], row["diverged"]) == (3, 3, 0, 1)
    for name in ("accuracy", "log_loss", "epochs_done", "seconds_steps"):
        assert row[name] == alone[name]


@pytest.mark.parametrize(("n_classes", "threshold"), [(10, 0.2), (2, 5 / 9), (26, 1 / 26 + 25 / 26 / 9)])
def test_collapse_means_hardly_better_than_guessing_for_any_number_of_classes(n_classes, threshold):
    assert collapse_threshold(n_classes) == pytest.approx(threshold)
    assert 1 / n_classes < collapse_threshold(n_classes) < 1


def test_an_accuracy_of_exactly_a_fifth_has_not_collapsed():
    assert not collapse_threshold(10) > 0.2


def test_a_cell_without_a_finished_run_has_null_estimates_and_its_place(plant):
    results = table_of(plant([(SMALL, 0.9, ("planned", "running")), (WIDE, 0.97, ())]))
    assert list(results.rows["cell"]) == [SMALL.id, WIDE.id]
    for _, row in results.rows.iterrows():
        assert row["accuracy"] == Estimate(None, kind="crossed")
        assert (row["seeds"], row["trained"], row["engine"], row["timing"]) == (0, 0, None, None)
        assert row["seconds_steps"].value is None
        assert row["stopped_by"] == {}


def test_an_empty_store_gives_an_empty_table(plant):
    study = plant([])
    results = table_of(study)
    assert len(results.rows) == 0
    assert results.resolution is None
    assert width_table(results).empty


def test_epochs_done_and_the_reasons_for_stopping_are_reported(plant):
    patient = Cell(Architecture((32,)), training=Training(epochs=50, early_stopping_patience=5))
    row = first_row(plant([(patient, 0.97, DONE)]))
    assert row["stopped_by"] == {"early_stopping": 3, "epochs": 2}
    assert row["epochs"] == 50
    assert row["epochs_done"].value == pytest.approx((50 + 44 + 43 + 50 + 41) / 5)


def test_seconds_of_a_cohort_are_called_packed(plant):
    assert first_row(plant([(SMALL, 0.9, DONE)]))["timing"] == "alone"
    assert first_row(plant([(SMALL, 0.9, DONE)], members=20))["timing"] == "packed"


def test_end_to_end_adds_data_compilation_and_evaluation_to_the_steps(plant):
    row = first_row(plant([(SMALL, 0.9, DONE)]))
    assert row["seconds_end_to_end"].value - row["seconds_steps"].value == pytest.approx(0.4 + 1.5 + 0.3)


def test_seconds_of_two_machines_are_not_pooled(plant):
    study = plant([(SMALL, 0.9, DONE)])
    study.runs.loc[3:, ["environment", "steps_seconds"]] = ["f" * 16, 900.0]
    row = first_row(study)
    assert row["seconds_steps"].n == 3
    assert row["seconds_steps"].value < 900
    assert row["accuracy"].n == 5


def test_of_two_machines_with_as_many_runs_the_first_by_name_is_shown(plant):
    study = plant([(SMALL, 0.9, DONE[:4])])
    study.runs.loc[:1, ["environment", "steps_seconds"]] = ["f" * 16, 900.0]
    row = first_row(study)
    assert row["seconds_steps"].n == 2
    assert row["seconds_steps"].value < 900


def test_the_order_of_the_runs_does_not_matter(plant):
    study = plant([(SMALL, 0.95, DONE), (WIDE, 0.97, (*DONE[:3], "diverged", "planned"))])
    shuffled = results_table(study.cells, study.runs.sample(frac=1, random_state=0), study.measurements)
    assert shuffled.rows.equals(table_of(study).rows)
    assert shuffled.resolution == pytest.approx(table_of(study).resolution, rel=1e-12)


def test_what_a_network_was_not_measured_for_is_left_out_of_the_mean(plant):
    study = plant([(SMALL, 0.9, DONE)])
    study.runs.loc[1:, "test_ece_floor"] = [np.nan, 0.005, 0.006, 0.007]
    study.runs.loc[0, "steps_seconds"] = np.nan
    study.runs["validation_accuracy"] = np.nan
    row = first_row(study)
    assert row["ece_floor"] == pytest.approx((0.003 + 0.005 + 0.006 + 0.007) / 4)
    assert (row["seconds_steps"].n, row["seconds_end_to_end"].n) == (4, 4)
    assert row["validation_accuracy"] == Estimate(None)


def test_the_last_probe_of_an_architecture_counts_and_what_it_could_not_measure_is_null(plant):
    study = plant([(SMALL, 0.9, DONE)])
    later = study.measurements.assign(peak_bytes=7_000_000, inference_us_per_image=3.5)
    row = results_table(study.cells, study.runs, pd.concat([study.measurements, later])).rows.iloc[0]
    assert row["peak_bytes"] == Estimate(7_000_000.0, n=1)
    assert row["inference_us_per_image"].value == 3.5
    assert row["parameter_bytes"] == 16 * 25450
    assert row["energy_joules"] is None


def test_an_architecture_without_a_probe_has_nothing_measured(plant):
    study = plant([(SMALL, 0.9, DONE)])
    row = results_table(study.cells, study.runs, study.measurements.iloc[:0]).rows.iloc[0]
    assert row["peak_bytes"] == Estimate(None)
    assert row["parameter_bytes"] is None


def test_networks_tested_on_different_digits_get_students_interval(plant):
    study = plant([(SMALL, 0.9, DONE)])
    study.runs.loc[2, "test_labels"] = "other"
    row = first_row(study)
    assert row["accuracy"] == row["accuracy_these_digits"]
    assert row["accuracy"].kind == "t"


def test_a_cell_tested_on_different_digits_has_no_replicates(plant):
    study = plant([(SMALL, 0.9, DONE), (WIDE, 0.97, (*DONE[:3], "diverged", "planned"))], n_digits=1003)
    study.runs.loc[2, "test_labels"] = "other"
    [(cell, found)] = replicates_by_cell(study.runs.iloc[::-1]).items()
    assert (cell, found.seeds, found.digits) == (WIDE.id, (0, 1, 2), "d" * 16)
    packed = np.stack(study.runs["test_bits"][5:8])
    assert np.array_equal(found.correct, np.unpackbits(packed, axis=1)[:, :1003].astype(bool))
    assert found.correct.dtype == bool


def test_width_table_holds_the_one_layer_family_in_order(lab_results):
    table = width_table(lab_results)
    assert list(table["width"]) == [4, 32, 64, 128, 512, 2056]
    assert set(table["depth"]) == {1}
    assert set(zip(table["framework"], table["activation"], strict=True)) == {("keras", "relu")}
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["resolution"] == lab_results.resolution).all()


def test_depth_table_holds_one_width_and_a_series_per_activation_and_framework(lab_results):
    table = depth_table(lab_results)
    depths = {key: list(rows["depth"]) for key, rows in table.groupby(["framework", "activation"], sort=False)}
    assert depths == {("keras", "relu"): [1, 4, 5, 6, 8, 16], ("keras", "sigmoid"): [4, 16],
                      ("keras", "tanh"): [4, 16], ("sklearn", "relu"): [1, 4]}  # fmt: skip
    assert set(table["width"]) == {64}
    assert table.set_index("label").loc["16x64 sigmoid", ["n", "collapsed"]].tolist() == [5, 5]


def test_cells_that_differ_in_more_than_width_are_not_compared(plant):
    half = Cell(Architecture((512,)), split=Split(train_fraction=0.5))
    mixed = Cell(Architecture((32, 64)))
    results = table_of(plant([(SMALL, 0.9, DONE), (half, 0.95, DONE), (mixed, 0.96, DONE)]))
    assert width_table(results).empty
    assert depth_table(results).empty


def test_of_equal_families_the_one_nearest_to_the_defaults_is_shown(plant):
    few = Training(epochs=3)
    truth = [(Cell(cell.architecture, training=few), 0.9, DONE) for cell in (SMALL, WIDE)]
    results = table_of(plant([*truth, (SMALL, 0.95, DONE), (WIDE, 0.97, DONE)]))
    assert list(width_table(results)["cell"]) == [SMALL.id, WIDE.id]
