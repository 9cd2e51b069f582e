"""Dots below each other: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.visualization.dots import dots_height, draw_dots


def table(**columns):
    rows = pd.DataFrame({
        "group": ["4x64", "4x64", "16x64"], "series": ["relu", "tanh", "relu"], "accuracy": [0.974, 0.971, 0.966],
        "low": [0.970, 0.968, 0.96], "high": [0.976, 0.974, 0.972], "n": [5, 20, 5], "collapsed": [0, 0, 0],
        "resolution": 0.004,
    })  # fmt: skip
    return rows.assign(**columns)


def drawn(rows):
    return draw_dots(rows, Figure().add_subplot())


def dots(ax):
    """Accuracy, depth and interval of every dot, by the words of its series in the legend."""
    return {
        container.get_label(): list(zip(container.lines[0].get_xdata(), container.lines[0].get_ydata(),
                                        [bar[:, 0].tolist() for bar in container.lines[2][0].get_segments()],
                                        strict=True))
        for container in ax.containers
    }  # fmt: skip


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_dot_and_interval_stands_where_its_row_says():
    found = dots(drawn(table()))
    assert set(found) == {"relu (n = 5)", "tanh (n = 20)"}
    assert [(x, bar) for x, _, bar in found["relu (n = 5)"]] == [
        (0.974, pytest.approx([0.970, 0.976])), (0.966, pytest.approx([0.96, 0.972]))]  # fmt: skip
    assert [(x, bar) for x, _, bar in found["tanh (n = 20)"]] == [(0.971, pytest.approx([0.968, 0.974]))]


def test_groups_stand_below_each_other_each_under_its_name():
    ax = drawn(table())
    found = dots(ax)
    [(_, first, _), (_, third, _)], [(_, second, _)] = found["relu (n = 5)"], found["tanh (n = 20)"]
    names = {text.get_text().strip(): text.get_position()[1] for text in ax.texts}
    assert names["4x64"] < first < second < names["16x64"] < third
    assert ax.get_ylim()[0] > third > first > ax.get_ylim()[1]  # the axis points down
    assert dots_height(table()) > dots_height(table().head(2)) > dots_height(table().head(1))


def test_the_band_of_the_resolution_hangs_left_of_the_best_cell():
    ax = drawn(table())
    [band] = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.970, 0.974))
    assert "resolution (0.40 points)" in legend(ax)


def test_without_a_resolution_no_band_is_drawn_and_the_legend_says_so():
    ax = drawn(table(resolution=np.nan))
    assert not ax.patches
    assert "no resolution yet" in legend(ax)


def test_a_collapsed_cell_stands_at_the_side_with_its_number_and_leaves_the_scale_alone():
    ax = drawn(table(accuracy=[0.974, 0.114, 0.966], low=[0.97, 0.11, 0.96], high=[0.976, 0.12, 0.972],
                     collapsed=[0, 20, 0]))  # fmt: skip
    assert ax.get_xlim()[0] > 0.95
    assert "tanh 11.4 %, 20 of 20 collapsed" in [text.get_text() for text in ax.texts]
    assert "collapsed, off the scale" in legend(ax)
    arrow = next(line for line in ax.lines if line.get_marker() == "<")
    assert len(arrow.get_xdata()) == 1


def test_where_all_collapsed_they_are_drawn_to_scale_and_say_so():
    ax = drawn(table(accuracy=[0.11, 0.12, 0.1], low=0.09, high=0.13, collapsed=[5, 20, 5]))
    assert ax.get_xlim()[1] < 0.5
    assert [text.get_text() for text in ax.texts if "collapsed" in text.get_text()] == [
        "5 of 5 collapsed", "20 of 20 collapsed", "5 of 5 collapsed"]  # fmt: skip


def test_one_network_without_ends_has_a_dot_without_an_interval():
    found = dots(drawn(table(low=np.nan, high=np.nan)))
    assert found["tanh (n = 20)"][0][2] == [0.971, 0.971]


def test_a_formula_in_a_name_stays_text():
    ax = drawn(table(group=["$x^2$", "$x^2$", "W" * 300]))
    assert not any(text.get_parse_math() for text in ax.texts)
    assert max(len(text.get_text()) for text in ax.texts) < 70
