"""How numbers are written: for people, JSON and CSV."""

import csv
import io
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mnistlab import formatting, tabulation
from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.results import ResultsTable


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.9742, 0.9721, 0.9763, n=5, kind="crossed"), "97.42 ± 0.21 (5)"),
        (Estimate(0.85, 0.838, 0.862, n=5, kind="crossed"), "85.0 ± 1.2 (5)"),
        (Estimate(0.975, 0.971753, 0.977882, n=10_000, kind="wilson"), "97.50 (97.18 to 97.79)"),
        (Estimate(0.791667, 0.576585, 1.0, n=3, kind="crossed"), "79 (58 to 100) (3)"),
        (Estimate(0.97, n=1), "97 (1)"),
        (Estimate(0.1, 0.1, 0.1 + 1e-17, n=5), "10 (5)"),
        (Estimate(0.1, 0.1, 0.1 + 1e-16, n=5), "10 (5)"),
        (Estimate(None), "–"),
    ],
)
def test_accuracies_are_written_in_per_cent_with_their_interval(estimate, text):
    assert formatting.percent(estimate) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "12.3 ms"), (3.4211, "3.42 s"), (99.96, "100 s"), (125, "2 min 05 s"), (12_000, "3 h 20 min"),
     (3599.7, "1 h 00 min"), (None, "–")],
)  # fmt: skip
def test_seconds_are_written_for_people(value, text):
    assert formatting.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1_016_000, "1.02 MB"), (999_999, "1 MB"), (None, "–")]
)
def test_sizes_are_written_for_people(value, text):
    assert formatting.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1634530, "1,634,530"), (97.4213, "97.42"), (0.00321, "0.00321"), (200.0, "200")]
)
def test_plain_numbers_keep_four_significant_digits(value, text):
    assert formatting.significant(value) == text


def test_json_is_plain_and_nan_is_null():
    value = {"a": np.float64("nan"), "b": np.int64(3), "c": np.array([1.0, math.inf]), "d": (True, None), 5: pd.NA}
    with pytest.raises(TypeError, match="NAType"):
        formatting.to_json(value)
    del value[5]
    assert formatting.to_json(value) == {"a": None, "b": 3, "c": [1.0, None], "d": [True, None]}


def test_an_estimate_has_the_public_shape_in_json():
    assert formatting.to_json(Estimate(0.9745, 0.9721, 0.9769, n=10, kind="crossed")) == {
        "value": 0.9745, "low": 0.9721, "high": 0.9769, "level": 0.95, "n": 10, "kind": "crossed"
    }  # fmt: skip


def test_a_document_carries_its_schema_version():
    assert formatting.document(rows=()) == {"schema_version": 1, "rows": []}


def test_results_json_has_every_public_key_and_survives_a_round_trip(lab_results):
    answer = tabulation.results_json(lab_results, "lab")
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert (answer["schema_version"], answer["study"], answer["resolution"]) == (1, "lab", lab_results.resolution)
    row = answer["rows"][0]
    assert {
        "cell", "label", "dataset", "framework", "hidden_layer_sizes", "activations", "batch_norm", "dropout", "split",
        "features", "training", "parameters", "flops_per_step", "seeds", "trained", "collapsed", "diverged", "engine",
        "accuracy", "accuracy_trained", "accuracy_these_digits", "validation_accuracy", "log_loss", "macro_f1", "ece",
        "ece_floor", "epochs_done", "stopped_by", "seconds_steps", "seconds_end_to_end", "timing", "peak_bytes",
        "parameter_bytes", "inference_us_per_image", "energy_joules"
    } <= set(row)  # fmt: skip
    assert row["split"] == {"protocol": "official", "train_fraction": 1.0, "validation_fraction": 0.1}
    assert row["training"]["batch_size"] == 32
    assert row["hidden_layer_sizes"] == [4]


def test_whole_settings_stay_whole_where_other_cells_have_none(lab_results):
    patience = [row["training"]["early_stopping_patience"] for row in tabulation.results_json(lab_results, "x")["rows"]]
    assert 5 in patience
    assert None in patience
    assert not any(isinstance(value, float) for value in patience)


def test_results_csv_is_flat_and_holds_fractions(lab_results):
    rows = list(csv.DictReader(io.StringIO(tabulation.frame_csv(lab_results.rows))))
    assert len(rows) == len(lab_results.rows)
    accuracy = lab_results.rows["accuracy"][0]
    assert [float(rows[0][name]) for name in ("accuracy", "accuracy_low", "accuracy_high", "accuracy_n")] == [
        accuracy.value, accuracy.low, accuracy.high, 5]  # fmt: skip
    by_label = {row["label"]: row for row in rows}
    assert by_label["256-128-64-32 relu"]["hidden_layer_sizes"] == "256-128-64-32"
    assert by_label["4x64 relu, 50 epochs, patience 5"]["stopped_by"] == "early_stopping:3;epochs:2"
    assert by_label["16x64 relu, batch norm"]["accuracy"] == ""


def test_text_that_a_spreadsheet_would_run_is_quoted_and_numbers_are_not():
    text = formatting.table_csv(["=a", "b"], [["=1+1", -0.5], ["@x", 1e-5], ["-y", 3], ["+z", None], ["a=b", 0]])
    assert text.splitlines() == ["'=a,b", "'=1+1,-0.5", "'@x,1e-05", "'-y,3", "'+z,", "a=b,0"]


TEXT = st.text(max_size=30)


@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=4), width=st.integers(2, 60))
def test_a_table_is_never_wider_than_asked_and_holds_no_control_character(rows, width):
    text = formatting.text_table(["cell", "accuracy", "id"], rows, width)
    table, _, told = text.partition("\n(")
    assert len(table.split("\n")) == len(rows) + 1
    assert bool(told) == (len(table.split("\n")[0].split()) < 3)
    for line in text.split("\n"):
        assert cell_len(line) <= width
        assert line.isprintable()


def test_columns_are_dropped_from_the_right_and_labels_shortened():
    columns, rows = ["cell", "accuracy", "id"], [["16x64 relu, batch norm", "97.42 ± 0.21 (5)", "0123456789ab"]]
    assert formatting.text_table(columns, rows, 80).split("\n")[1].endswith("0123456789ab")
    assert formatting.text_table(columns, rows, 40) == (
        "cell                            accuracy\n16x64 relu, batch norm  97.42 ± 0.21 (5)\n"
        "(1 more column in a wider terminal)"
    )
    assert formatting.text_table(columns, rows, 31) == (
        "cell                   accuracy\n16x64 relu, …  97.42 ± 0.21 (5)\n(1 more column in a wider\nterminal)"
    )
    assert formatting.text_table(columns, rows, 10).startswith("cell\n16x64 rel…\n(2 more")


def test_results_text_begins_with_the_resolution_and_the_learning_rate(lab_results):
    text = tabulation.results_text(lab_results, 100)
    assert text.startswith("Resolution ")
    assert "are missed with these seeds." in text
    assert "holds at its learning rate" in text
    assert "3 of 3, 2 diverged" in text
    assert all(cell_len(line) <= 100 for line in text.split("\n"))


def test_results_text_says_why_there_is_no_resolution(lab_results):
    rows = lab_results.rows
    one_seed = ResultsTable(rows[rows["seeds"] == 1], None)
    assert "One seed: no resolution yet." in tabulation.results_text(one_seed, 80)
    nothing = ResultsTable(rows.iloc[:0], None)
    assert "No finished run: no resolution yet." in tabulation.results_text(nothing, 80)
    assert "No two cells" in tabulation.resolution_note(ResultsTable(rows[rows["seeds"] == 5].head(1), None))


def test_what_cannot_be_measured_is_told_from_what_was_not(lab_results):
    columns, rows = tabulation.results_cells(lab_results.rows)
    assert rows[0][columns.index("peak memory")] == "not measurable here"
    assert rows[0][columns.index("state memory")] == "51 kB"


def test_formatting_alone_loads_neither_pandas_nor_numpy():
    code = "import sys, mnistlab.formatting; print(*{'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
