"""What axes of several figures share."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.visualization.axes import accuracy_axis, count, draw_resolution, rows_by_group, short, short_names


def of(*accuracies):
    return pd.DataFrame({"accuracy": accuracies, "low": np.array(accuracies) - 0.01, "high": accuracies})


def ticks(ax):
    ax.figure.canvas.draw()
    return [label.get_text() for label in ax.get_xticklabels()]


def test_a_label_is_cut_in_its_middle_and_cannot_break_a_line():
    assert short("4x64 relu") == "4x64 relu"
    assert short("x" * 300, 30) == "x" * 17 + "…" + "x" * 12
    assert "\n" not in short("a\nb")


def test_names_that_would_look_alike_keep_what_differs():
    labels = [f"1x64 relu, sklearn, {n} epochs, batch 200, tol 0.0001" for n in (50, 100)]
    assert short_names([*labels, "4x64 relu"]) == ["1x64 relu, …, 50 epochs", "1x64 relu, …, 100 epochs", "4x64 relu"]
    assert len(set(short_names([f"{'x' * 50} {n}, {'y' * 50}" for n in range(3)]))) == 3


def test_close_accuracies_stand_on_a_plain_scale_in_per_cent():
    ax = Figure().add_subplot()
    accuracy_axis(ax, "x", of(0.95, 0.96, 0.97))
    assert ax.get_xscale() == "linear"
    assert all(text.endswith(" %") for text in ticks(ax))
    assert ax.get_xlabel() == "test accuracy"


def test_a_small_network_does_not_flatten_the_others():
    ax = Figure().add_subplot()
    table = of(0.6, 0.97, 0.98)
    accuracy_axis(ax, "x", table)
    low, middle, high = (ax.transData.transform((accuracy, 0))[0] for accuracy in table["accuracy"])
    assert (high - middle) > 0.1 * (high - low)  # on a plain scale a fortieth
    assert "logarithm" in ax.get_xlabel()
    assert {"60 %", "90 %", "97 %"} <= set(ticks(ax))
    places = [ax.transAxes.inverted().transform(ax.transData.transform((tick, 0)))[0] for tick in ax.get_xticks()]
    assert min(np.diff(places)) > 0.1


def test_accuracies_of_one_hundred_per_cent_have_a_place():
    ax = Figure().add_subplot()
    accuracy_axis(ax, "y", of(0.5, 1.0))
    assert ax.get_ylim()[0] < 0.5 < 1 < ax.get_ylim()[1]


@pytest.mark.parametrize("which", ["x", "y"])
def test_the_resolution_hangs_below_the_best_mark(which):
    ax = Figure().add_subplot()
    draw_resolution(ax, which, of(0.95, 0.97).assign(resolution=0.004))
    [band] = ax.patches
    start, length = (band.get_x(), band.get_width()) if which == "x" else (band.get_y(), band.get_height())
    assert (start, start + length) == pytest.approx((0.966, 0.97))
    assert band.get_label() == "resolution (0.40 points)"


def test_without_a_resolution_there_is_no_band():
    ax = Figure().add_subplot()
    draw_resolution(ax, "x", of(0.95).assign(resolution=np.nan))
    assert not ax.patches
    assert ax.lines[0].get_label() == "no resolution yet"


def test_rows_stand_below_the_heading_of_their_group():
    assert rows_by_group(["a", "a", "b"]) == ([1, 2, 4], {0: "a", 3: "b"})
    assert rows_by_group([]) == ([], {})


def test_networks_are_counted_in_words():
    assert (count([5, 5]), count([1, 2000])) == ("n = 5", "n = 1 to 2,000")
