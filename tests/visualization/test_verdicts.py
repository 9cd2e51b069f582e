"""Differences and verdicts: what is drawn is what the table says."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mnistlab.exhibits.study import verdicts_table
from mnistlab.visualization.style import VERDICT_LOOKS
from mnistlab.visualization.verdicts import draw_verdicts


@pytest.fixture(scope="module")
def table(lab_evidence):
    return verdicts_table(lab_evidence)


@pytest.fixture
def ax(table):
    return draw_verdicts(table, Figure().add_subplot())


def places(table):
    """Rows from the top down, below a heading for each knob."""
    headings = (table["knob"] != table["knob"].shift()).cumsum()
    return [place + heading for place, heading in enumerate(headings)]


def test_every_difference_stands_in_its_row_with_its_interval_in_the_looks_of_its_verdict(ax, table):
    found = {}
    for bars in ax.containers:
        line, segments = bars.lines[0], bars.lines[2][0].get_segments()
        for x, y, segment in zip(line.get_xdata(), line.get_ydata(), segments, strict=True):
            found[y] = (x, *segment[:, 0], line.get_color(), line.get_marker())
    assert found == {
        place: (
            pytest.approx(row["difference"]),
            pytest.approx(row["low"]),
            pytest.approx(row["high"]),
            *VERDICT_LOOKS[row["verdict"]],
        )
        for place, (_, row) in zip(places(table), table.iterrows(), strict=True)
    }


def test_every_row_has_its_verdict_as_a_word_in_its_colour(ax, table):
    words = [(text.get_position()[1], text.get_text(), to_hex(text.get_color()).upper()) for text in ax.texts]
    assert words == [(place, verdict, VERDICT_LOOKS[verdict][0].upper())
                     for place, verdict in zip(places(table), table["verdict"], strict=True)]  # fmt: skip


def test_rows_are_named_by_both_cells_below_the_heading_of_their_knob(ax, table):
    names = dict(zip(ax.get_yticks(), ax.get_yticklabels(), strict=True))
    first = table.iloc[0]
    assert names[0].get_text() == first["knob"]
    assert names[0].get_fontweight() == "bold"
    assert names[1].get_text() == f"{first['label']}\nless {first['label_against']}"
    assert len(names) == len(table) + table["knob"].nunique()


def test_the_margin_and_zero_are_drawn(ax, table):
    margin = ax.patches[0]
    assert (margin.get_x(), margin.get_width()) == pytest.approx((-0.002, 0.004))
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.lines)


def test_the_legend_tells_the_networks_of_each_verdict(ax, table):
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[0] == "margin (±0.2 points)"
    for verdict, rows in table.groupby("verdict"):
        networks = rows["runs"].map(len)
        least, most = networks.min(), networks.max()
        n = f"{least}" if least == most else f"{least} to {most}"
        assert f"{verdict} (n = {n})" in names


def test_a_collapsed_cell_does_not_flatten_the_margin(ax, table):
    assert table["difference"].min() < -0.8
    left, right = (ax.transAxes.inverted().transform(ax.transData.transform((end, 0)))[0] for end in (-0.002, 0.002))
    assert right - left > 0.05


def test_small_differences_stand_on_a_plain_scale(table):
    small = table[table[["low", "high"]].abs().max(axis=1) < 0.05]
    assert draw_verdicts(small, Figure().add_subplot()).get_xscale() == "linear"
