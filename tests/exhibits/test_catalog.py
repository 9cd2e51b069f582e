"""Everything that can be shown, listed once."""

import pytest
from matplotlib.figure import Figure

from mnistlab.exhibits.catalog import EXHIBITS
from mnistlab.formatting import percent
from mnistlab.spec import Architecture, Cell

BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}


def test_names_are_unique_and_questions_are_questions():
    assert len(BY_NAME) == len(EXHIBITS)
    assert {"results", "width", "depth"} <= set(BY_NAME)
    assert all(exhibit.question.endswith("?") for exhibit in EXHIBITS)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_has_a_table_a_row_of_text_for_each_of_its_rows_and_a_caption(exhibit, lab_evidence):
    table = exhibit.table(lab_evidence)
    columns, rows = exhibit.cells(table)
    assert len(rows) == len(table) > 0
    assert all(len(row) == len(columns) for row in rows)
    assert exhibit.caption(table).endswith(".")
    if exhibit.draw is not None:
        assert exhibit.draw(table, Figure().add_subplot()).has_data()


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_every_exhibit_of_an_unstarted_study_says_that_there_is_nothing(exhibit, plant_evidence):
    table = exhibit.table(plant_evidence([(Cell(Architecture((64,))), 0.9, ("planned",) * 3)]))
    assert exhibit.caption(table).startswith("No ")


def test_captions_carry_the_numbers_of_their_tables(lab_evidence):
    best = max(lab_evidence.results.rows["accuracy"].dropna(), key=lambda accuracy: accuracy.value or 0)
    assert f"Best on validation digits: 1x2056 relu; its test accuracy in per cent is {percent(best)}." in BY_NAME[
        "results"
    ].caption(lab_evidence.results.rows)
    width = BY_NAME["width"]
    caption = width.caption(width.table(lab_evidence))
    assert f"Highest: 1x2056 relu, {percent(best)}" in caption
    assert "lowest: 1x4 relu" in caption
    assert f"Resolution {lab_evidence.results.resolution * 100:.2f} points" in caption


def test_every_row_of_a_table_names_its_cell_and_a_command_that_shows_one_of_its_networks(lab_evidence):
    for exhibit in EXHIBITS:
        columns, rows = exhibit.cells(exhibit.table(lab_evidence))
        identity, source = columns.index("id"), columns.index("to see a network")
        runs = dict(zip(lab_evidence.results.rows["cell"], lab_evidence.results.rows["runs"], strict=True))
        for row in rows:
            expected = f"mnistlab show {runs[row[identity]][0]}" if runs[row[identity]] else "–"
            assert row[source] == expected
