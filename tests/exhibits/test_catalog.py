"""Everything that can be shown, listed once."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.catalog import EXHIBITS
from mnistlab.formatting import percent
from mnistlab.spec import Architecture, Cell

BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}


@pytest.fixture(scope="module")
def factorial(plant_evidence):
    """A full factorial, which the course lab is not."""
    shapes = [((width,) * depth, depth) for width in (16, 64) for depth in (1, 2)]
    return plant_evidence([(Cell(Architecture(sizes)), 0.9 + 0.01 * depth, ("done",) * 3) for sizes, depth in shapes])


@pytest.fixture(scope="module")
def searched(plant_search):
    """A search, which neither is."""
    return plant_search(80)


def filled(exhibit, *studies):
    """The exhibit of the first of these studies that has something to show."""
    return next((shown for known in studies if not (shown := Shown(exhibit, known)).table.empty), None)


def test_names_are_unique_and_questions_are_questions():
    assert len(BY_NAME) == len(EXHIBITS)
    assert len({exhibit.question for exhibit in EXHIBITS}) == len(EXHIBITS)
    assert all(exhibit.question.endswith("?") for exhibit in EXHIBITS)


def test_everything_that_was_promised_is_there():
    assert {
        "width", "depth", "activation", "order", "combination", "train-fraction", "iterations", "batch-norm", "dropout",
        "schedule", "early-stopping", "seeds", "verdicts", "sensitivity", "grid", "pareto-parameters", "pareto-flops",
        "pareto-seconds", "seconds-parameters", "memory-parameters", "ledger", "confusion", "reliability",
        "hardest-digits", "flipping-digits", "disputed-digits", "results", "search-winners", "search-history",
        "search-importances", "search-slices", "search-pareto", "fair-verdicts", "tuned-rates",
    } <= set(BY_NAME)  # fmt: skip


def test_a_course_lab_a_factorial_a_search_and_a_tuned_study_fill_all_but_the_knobs_that_none_varies(
    lab_evidence, factorial, searched, tuned_evidence
):
    every = lab_evidence, factorial, searched, tuned_evidence
    empty = [exhibit for exhibit in EXHIBITS if filled(exhibit, *every) is None]
    varied = {knob for known in (lab_evidence, factorial) for knob in known.verdicts.rows["knob"]}
    assert [exhibit.name for exhibit in empty if not exhibit.knobs or varied & {*exhibit.knobs}] == []


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_has_rows_of_text_each_with_its_source_a_drawing_and_a_caption(
    exhibit, lab_evidence, factorial, searched, tuned_evidence
):
    if (shown := filled(exhibit, lab_evidence, factorial, searched, tuned_evidence)) is None:
        pytest.skip("no study varies this knob")
    columns, rows = shown.cells
    assert rows
    assert all(len(row) == len(columns) for row in rows)
    source = next(place for place, column in enumerate(columns) if column.startswith("to see"))
    assert all(row[source].startswith("mnistlab ") or row[source] == "–" for row in rows)
    assert any(row[source].startswith("mnistlab ") for row in rows)
    assert shown.caption.endswith(".")
    assert not shown.caption.startswith("No ")
    if exhibit.draw is not None:
        assert exhibit.draw(shown.table, Figure().add_subplot()).has_data()


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_of_an_unstarted_study_and_of_none_says_that_there_is_nothing(exhibit, plant_evidence):
    planned = plant_evidence([(Cell(Architecture((64,))), 0.9, ("planned",) * 3)])
    unmeasured = replace(planned, measurements=planned.measurements.iloc[:0])
    for shown in (Shown(exhibit, unmeasured), Shown(exhibit, plant_evidence([]))):
        assert shown.caption.startswith("No ")
        assert shown.svg == ""
    assert shown.table.empty
    assert shown.cells[1] == []


def test_captions_carry_the_numbers_of_their_tables(lab_evidence):
    best = max(lab_evidence.results.rows["accuracy"].dropna(), key=lambda accuracy: accuracy.value or 0)
    assert f"Best on validation digits: 1x2056 relu; its test accuracy in per cent is {percent(best)}." in BY_NAME[
        "results"
    ].caption(lab_evidence.results.rows)


@pytest.mark.parametrize(("name", "words"), [
    ("width", "lowest: 1x16 relu, {} (2 of 5 collapsed)."), ("activation", "relu {} (2 of 5 collapsed) lowest"),
    ("combination", "1x16 relu {} (2 of 5 collapsed) is lowest."), ("verdicts", "points (2 of 10 collapsed)."),
    ("pareto-parameters", "1x16 relu, {} (2 of 5 collapsed) at"), ("results", "is {} (2 of 5 collapsed)."),
])  # fmt: skip
def test_no_caption_hides_that_networks_of_a_cell_it_names_collapsed(plant_evidence, name, words):
    shapes = [(16,), (64,), (16, 16), (32, 16)] if name != "results" else [(16,)]
    cells = [Cell(Architecture(sizes, activation)) for sizes in shapes for activation in ("relu", "tanh")]
    cells = cells if name in ("activation", "pareto-parameters") else [each for each in cells if "relu" in each.label]
    known = plant_evidence([(each, 0.97, ("done",) * 5) for each in cells])
    runs, guess = known.runs.copy(), np.packbits(np.arange(1000) % 10 == 0)
    for place in runs.index[runs["cell"] == cells[0].id][:2]:
        runs.at[place, "test_bits"] = guess
        runs.loc[place, "test_accuracy"] = 0.1
    known = replace(known, runs=runs)
    [accuracy] = known.results.rows.loc[known.results.rows["cell"] == cells[0].id, "accuracy"]
    assert words.format(percent(accuracy)) in Shown(BY_NAME[name], known).caption


def test_a_row_that_is_a_cell_shows_one_of_its_networks(lab_evidence):
    runs = dict(zip(lab_evidence.results.rows["cell"], lab_evidence.results.rows["runs"], strict=True))
    for name in ("width", "depth", "results", "pareto-parameters"):
        columns, rows = Shown(BY_NAME[name], lab_evidence).cells
        identity, source = columns.index("id"), columns.index("to see a network")
        for row in rows:
            expected = f"mnistlab show {runs[row[identity]][0]}" if runs[row[identity]] else "–"
            assert row[source] == expected
