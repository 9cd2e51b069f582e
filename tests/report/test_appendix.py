"""Every cell and every run that was started, with the command that trains it again."""

import shlex

import pytest

from mnistlab.report.appendix import CELL_COLUMNS, RUN_COLUMNS, cell_entries
from mnistlab.spec import Architecture, Cell, Run, Split, Training


@pytest.fixture(scope="module")
def entries(lab_evidence):
    return {entry.id: entry for entry in cell_entries(lab_evidence)}


def test_every_cell_is_there_in_study_order_with_the_numbers_it_is_sorted_by(entries, lab_evidence):
    rows = lab_evidence.results.rows.to_dict("records")
    assert list(entries) == [row["cell"] for row in rows]
    for row in rows:
        texts, numbers = zip(*entries[row["cell"]].values, strict=True)
        assert len(texts) == len(CELL_COLUMNS)
        assert texts[0] == row["label"]
        expected = (None, row["accuracy"].value, row["trained"], row["parameters"], row["seconds_steps"].value, None)
        assert numbers == expected


def test_every_started_run_has_its_id_and_planned_ones_are_left_out(entries, lab_evidence):
    found = {run[RUN_COLUMNS.index("run")] for entry in entries.values() for run in entry.runs}
    started = lab_evidence.runs[lab_evidence.runs["status"] != "planned"]
    assert found == set(started["run"])
    assert len(started) < len(lab_evidence.runs)


def test_the_command_asks_for_the_very_run(plant_evidence):
    cells = [
        Cell(Architecture((256, 128), ("relu", "tanh"), dropout=0.2), split=Split(train_fraction=0.6)),
        Cell(Architecture((64,)), framework="sklearn", training=Training(epochs=20, l2=1e-4, tol=1e-4)),
        Cell(Architecture((64,) * 4, batch_norm=True), training=Training(early_stopping_patience=5, schedule="cosine")),
    ]
    entries = cell_entries(plant_evidence([(cell, 0.9, ("done",) * 2) for cell in cells]))
    for cell, entry in zip(cells, entries, strict=True):
        for seed, run in enumerate(entry.runs):
            words = shlex.split(run[-1])
            assert words[:2] == ["mnistlab", "run"]
            assert words[-4:] == ["--engine", "reference", "--store", "repeat.sqlite"]
            assert run[RUN_COLUMNS.index("run")] == Run(cell, seed).id
            assert f"--seed {seed}" in run[-1]
