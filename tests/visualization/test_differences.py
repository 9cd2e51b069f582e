"""Paired differences: what is drawn is what the table says."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.visualization.differences import differences_height, draw_differences
from mnistlab.visualization.style import VERDICT_LOOKS


def table(**columns):
    rows = pd.DataFrame({
        "alike": ["4x64 relu", "16x64 relu", "1x64 relu", "2x64 relu"],
        "change": ["on against off"] * 4, "verdict": ["better", "worse", "equivalent", "undecided"],
        "difference": [0.006, -0.005, 0.0001, 0.002], "low": [0.003, -0.008, -0.001, -0.002],
        "high": [0.009, -0.002, 0.0012, 0.006], "margin": 0.002, "seeds": [5, 5, 20, 1], "n": [10, 10, 40, 2],
        "collapsed": [0, 0, 0, 1],
    })  # fmt: skip
    return rows.assign(**columns)


def drawn(rows):
    return draw_differences(rows, Figure().add_subplot())


def texts(ax):
    return [text.get_text().strip() for text in ax.texts]


def test_every_difference_and_interval_is_drawn_in_points_in_the_look_of_its_verdict():
    ax = drawn(table())
    assert len(ax.containers) == 4
    for container, row in zip(ax.containers, table().to_dict("records"), strict=True):
        line, bar = container.lines[0], container.lines[2][0]
        assert container.get_label().startswith(f"{row['verdict']}: 1 pair (n = {row['n']})")
        assert (line.get_color(), line.get_marker()) == VERDICT_LOOKS[row["verdict"]]
        assert line.get_xdata() == pytest.approx([100 * row["difference"]])
        assert bar.get_segments()[0][:, 0] == pytest.approx([100 * row["low"], 100 * row["high"]])


def test_pairs_stand_in_the_order_of_the_table_each_with_its_name_seeds_and_verdict():
    ax = drawn(table())
    depths = [float(container.lines[0].get_ydata()[0]) for container in ax.containers]
    assert depths == sorted(depths)
    assert ax.get_ylim()[0] > depths[-1] > depths[0] > ax.get_ylim()[1]
    assert texts(ax)[:4] == ["4x64 relu: on against off, 5 seeds", "better", "16x64 relu: on against off, 5 seeds",
                             "worse"]  # fmt: skip
    assert "2x64 relu: on against off, 1 seed" in texts(ax)
    assert "1 of 2 collapsed" in texts(ax)
    assert differences_height(table()) > differences_height(table().head(2))


def test_the_margin_is_a_band_about_zero_and_zero_a_line():
    ax = drawn(table())
    [band] = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-0.2, 0.2))
    zero = ax.collections[0].get_segments()
    assert len(zero) == 4
    assert {float(x) for segment in zero for x in segment[:, 0]} == {0.0}
    assert "equivalent: within 0.2 points" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_axis_holds_every_interval_and_the_margin():
    left, right = drawn(table().head(1)).get_xlim()
    assert left < -0.2
    assert right > 0.9


def test_one_pair_far_off_does_not_flatten_the_others():
    rows = table(difference=[0.006, -0.86, 0.0001, 0.002], low=[0.003, -0.88, -0.001, -0.002])
    ax = drawn(rows)
    assert ax.get_xscale() == "symlog"
    assert "logarithmic" in ax.get_xlabel()
    to_pixels = ax.transData.transform
    assert to_pixels((0.6, 0))[0] - to_pixels((0, 0))[0] > 0.1 * ax.bbox.width
    assert drawn(table()).get_xscale() == "linear"


def test_names_of_any_length_leave_room_for_the_change_and_are_no_formulas():
    ax = drawn(table(alike=["$x^2$ " + "W" * 300] * 4))
    names = [text for text in texts(ax) if "seed" in text]
    assert all(name.endswith(("on against off, 5 seeds", "on against off, 20 seeds", "on against off, 1 seed"))
               and "…" in name and len(name) <= 70 for name in names)  # fmt: skip
    assert not any(text.get_parse_math() for text in ax.texts if "$" in text.get_text())
