"""Networks of every cell side by side: what is drawn is what the table says."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnistlab.exhibits.study import seeds_table
from mnistlab.spec import Architecture, Cell
from mnistlab.visualization.spread import draw_seeds


@pytest.fixture(scope="module")
def table(lab_evidence):
    return seeds_table(lab_evidence)


@pytest.fixture
def ax(table):
    return draw_seeds(table, Figure().add_subplot())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_network_that_trained_is_a_mark_in_the_row_of_its_cell(ax, table):
    marks = ax.lines[0]
    drawn = {(round(y), round(x, 12)) for x, y in zip(marks.get_xdata(), marks.get_ydata(), strict=True)}
    assert drawn == {
        (place, round(accuracy, 12))
        for place, row in table.iterrows()
        for accuracy in row["accuracies"]
        if accuracy >= 0.2
    }
    assert len(marks.get_xdata()) == (table["n"] - table["collapsed"]).sum()


def test_means_stand_in_their_rows_with_their_intervals(ax, table):
    [bars] = ax.containers
    trained = table["accuracy"].notna()
    assert bars.lines[0].get_xdata()[trained] == pytest.approx(table["accuracy"][trained])
    segments = [segment for segment in bars.lines[2][0].get_segments() if len(segment)]
    found = [(*segment[:, 0], segment[0, 1]) for segment in segments if not np.isnan(segment).any()]
    expected = [(row["low"], row["high"], place) for place, row in table[trained].iterrows()]
    assert found == [pytest.approx(row) for row in expected]


def test_rows_are_named_from_the_top_down(ax, table):
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        label if len(label) <= 30 else f"{label[:17]}…{label[-12:]}" for label in table["label"]
    ]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_collapsed_networks_stand_at_the_edge_with_their_count(ax, table):
    [place] = np.flatnonzero(table["collapsed"])
    assert [text.get_text() for text in ax.texts] == ["5 of 5 collapsed, 11.6 %"]
    assert ax.texts[0].get_position()[1] == place
    assert ax.get_xlim()[0] > 0.5


def test_the_legend_counts_networks_and_tells_the_resolution(ax, table, lab_evidence):
    resolution = lab_evidence.results.resolution
    trained = (table["n"] - table["collapsed"]).sum()
    assert set(legend(ax)) == {f"a network (n = {trained})", "mean and 95 % interval (n = 1 to 5)",
                               "collapsed, off the scale (n = 5)",
                               f"resolution ({resolution * 100:.2f} points)"}  # fmt: skip
    band = ax.patches[0]
    top = table["accuracy"].max()
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((top - resolution, top))


def test_a_study_all_of_whose_networks_collapsed_has_edges_only(plant_evidence):
    cells = [Cell(Architecture((64,) * depth, "sigmoid")) for depth in (8, 16)]
    ax = draw_seeds(seeds_table(plant_evidence([(cell, 0.1135, ("done",) * 3) for cell in cells])),
                    Figure().add_subplot())  # fmt: skip
    assert len(ax.texts) == 2
    assert not ax.containers
    assert legend(ax) == ["collapsed, off the scale (n = 6)"]


def test_hostile_labels_are_shortened_and_are_no_formulas(table):
    hostile = table.head(3).assign(label=["<img src=x onerror=alert(1)>", "y" * 300, "$x^2$"])
    ax = draw_seeds(hostile, Figure().add_subplot())
    names = ax.get_yticklabels()
    assert names[2].get_text() == "$x^2$"
    assert not any(name.get_parse_math() for name in names)
    assert max(len(name.get_text()) for name in names) <= 30
