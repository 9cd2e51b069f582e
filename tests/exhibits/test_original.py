"""The course document's numbers beside ours: judged as `verify` judges them."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from mnistlab.analysis.claims import judge_claims
from mnistlab.analysis.estimate import Estimate
from mnistlab.claim_tables import read_claims
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.original import DEPTHS, ORIGINAL, WIDTHS
from mnistlab.formatting import percent
from mnistlab.spec import Architecture, Cell

BY_NAME = {exhibit.name: exhibit for exhibit in ORIGINAL}
DOCUMENT = """
| Nodes | Accuracy | Training Time (s) | Parameters |
|---|---|---|---|
| 4 | 85.2% | 12.3 | 3,214 |
| 32 | 92.1% | 15.7 | 25,962 |
| 64 | 94.5% | 18.2 | 51,914 |
| 128 | 96.2% | 22.8 | 103,818 |
| 512 | 97.1% | 35.6 | 415,242 |
| 2056 | 97.3% | 89.4 | 1,661,962 |
"""


@pytest.fixture(scope="module")
def shown(lab_evidence):
    return {name: Shown(exhibit, lab_evidence) for name, exhibit in BY_NAME.items()}


def test_widths_are_judged_as_verify_judges_the_document(shown, lab_evidence):
    judged = judge_claims(read_claims(DOCUMENT), lab_evidence.results.rows)
    table = shown["original-widths"].table
    assert len(table) == len(judged) == 18
    for row, claim in zip(table.to_dict("records"), judged, strict=True):
        assert (row["quantity"], row["claimed"], row["status"]) == (claim.quantity, claim.claimed, claim.status)
        assert (row["reason"], row["measured"]) == (claim.reason, claim.measured)


def test_every_number_has_a_row_with_its_network_and_source(shown, lab_evidence):
    rows = {row["label"]: row for row in lab_evidence.results.rows.to_dict("records")}
    for name, printed in (("original-widths", WIDTHS), ("original-depths", DEPTHS)):
        table = shown[name].table
        assert list(dict.fromkeys(table["label"])) == [row.network for row in printed]
        assert len(table) == 3 * len(printed)
        columns, texts = shown[name].cells
        for row, text in zip(table.to_dict("records"), texts, strict=True):
            ours = rows[row["label"]]
            assert (row["cell"], row["networks"]) == (ours["cell"], ours["seeds"])
            assert text[columns.index("to see a network")] == f"mnistlab show {ours['runs'][0]}"
            if row["quantity"] == "accuracy":
                assert row["measured"] == ours["accuracy"]
                assert text[columns.index("here")] == f"{percent(ours['accuracy'])} %"


def test_seconds_stand_beside_those_of_the_network_by_itself(shown, lab_evidence):
    rows = {row["label"]: row for row in lab_evidence.results.rows.to_dict("records")}
    for row in shown["original-widths"].table.to_dict("records"):
        ours = rows[row["label"]]
        if row["quantity"] == "seconds":
            assert row["measured"] == ours["seconds_steps"]
            assert row["alone"] == pytest.approx(0.001 * ours["steps_per_epoch"] * ours["epochs_done"].value)


def test_parameters_are_arithmetic_and_peak_memory_that_was_not_measured_is_unsupported(shown):
    widths, depths = (shown[name].table for name in BY_NAME)
    parameters = widths[widths["quantity"] == "parameters"]
    assert parameters["measured"].tolist() == [3190, 25450, 50890, 101770, 407050, 1634530]
    assert set(parameters["status"]) == {"false"}
    assert set(depths.loc[depths["quantity"] == "bytes", "status"]) == {"unsupported"}


def test_captions_count_what_is_true_false_and_unsupported(shown):
    for exhibit in shown.values():
        counts = Counter(exhibit.table["status"])
        assert all(f"{count} {status}" in exhibit.caption for status, count in counts.items())
        assert f"Of the {len(exhibit.table)} numbers" in exhibit.caption
    assert "Farthest apart: 32 nodes, 92.1 % there and" in shown["original-widths"].caption


@pytest.mark.parametrize("name", BY_NAME)
def test_a_study_without_these_networks_has_no_rows(plant_evidence, name):
    for statuses, architecture in ((("done",) * 3, (48,)), (("planned",) * 3, (64,))):
        exhibit = Shown(BY_NAME[name], plant_evidence([(Cell(Architecture(architecture)), 0.9, statuses)]))
        assert exhibit.table.empty
        assert exhibit.caption.startswith("No ")
        assert exhibit.figure() is None


def test_networks_that_were_not_trained_here_are_unsupported_beside_one_that_was(plant_evidence):
    exhibit = Shown(BY_NAME["original-widths"], plant_evidence([(Cell(Architecture((64,))), 0.945, ("done",))]))
    accuracy = exhibit.table[exhibit.table["quantity"] == "accuracy"].set_index("label")
    assert accuracy.loc["1x64 relu", "status"] in ("true", "inside band")
    assert set(accuracy.drop("1x64 relu")["status"]) == {"unsupported"}
    assert exhibit.cells[1][0][-2:] == ["–", "–"]
    ax = exhibit.figure().axes[0]
    assert len(ax.containers[0].lines[0].get_xdata()) == 1


def test_the_numbers_are_those_of_the_document():
    typed = [line.strip("| ").split(" | ") for line in DOCUMENT.splitlines()[3:]]
    ours = [(w.named.removesuffix(" nodes"), w.accuracy, w.training_time.removesuffix(" s"), w.parameters)
            for w in WIDTHS]  # fmt: skip
    assert [tuple(row) for row in typed] == ours


def test_a_cell_with_a_network_that_trained_did_not_collapse_whatever_its_mean(plant_evidence):
    known = plant_evidence([(Cell(Architecture((64,) * 4)), 0.1, ("done",) * 10)])
    right = np.ones(known.digits.on.labels.size, dtype=bool)
    right[:400] = False
    runs = known.runs.copy()
    runs.loc[0, "test_accuracy"], runs.at[0, "test_bits"] = right.mean(), np.packbits(right)
    exhibit = Shown(BY_NAME["original-depths"], dataclasses.replace(known, runs=runs))
    row = exhibit.table.set_index(["label", "quantity"]).loc[("4x64 relu", "accuracy")]
    assert row["measured"].value < 0.2
    assert (row["collapsed"], row["networks"]) == (9, 10)
    ax = exhibit.figure().axes[0]
    assert [text.get_text() for text in ax.texts] == ["9 of 10 collapsed"]
    assert ax.containers[0].lines[0].get_ydata() == pytest.approx([row["measured"].value])
    assert exhibit.cells[0][:2] == ["network", "quantity"]


def test_a_collapsed_cell_is_marked_and_flattens_nothing(plant_evidence):
    exhibit = Shown(BY_NAME["original-depths"], plant_evidence([
        (Cell(Architecture((64,) * 4)), 0.974, ("done",) * 3), (Cell(Architecture((64,) * 16)), 0.11, ("done",) * 3),
    ]))  # fmt: skip
    collapsed = exhibit.table.set_index(["label", "quantity"]).loc[("16x64 relu", "accuracy")]
    assert collapsed["collapsed"]
    assert isinstance(collapsed["measured"], Estimate)
    ax = exhibit.figure().axes[0]
    assert ax.get_ylim()[0] > 0.9
    assert [text.get_text() for text in ax.texts] == [f"{100 * collapsed['measured'].value:.1f} %"]
