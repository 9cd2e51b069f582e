"""Accuracy by epoch: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.visualization.iterations import draw_iterations


def table():
    def curve(number, name, mark, epochs, accuracy, **rest):
        return {"curve": number, "name": name, "mark": mark, "epoch": epochs, "accuracy": accuracy,
                "low": accuracy - 0.01, "high": accuracy + 0.01, "resolution": 0.004, "n": 5, "networks": 5,
                "epoch_low": np.nan, "epoch_high": np.nan, **rest}  # fmt: skip

    return pd.DataFrame([
        *(curve(0, "4x64 relu, 30 epochs", "curve", epoch, 0.9 + 0.002 * epoch) for epoch in range(1, 31)),
        curve(0, "4x64 relu, 30 epochs", "best", 12.0, 0.93, epoch_low=10.0, epoch_high=14.0),
        curve(0, "4x64 relu, 50 epochs, patience 5", "stopped", 17.0, 0.94, epoch_low=15.0, epoch_high=19.0),
        *(curve(1, "8x64 relu, 30 epochs", "curve", epoch, 0.88 + 0.002 * epoch, n=4) for epoch in range(1, 11)),
        curve(-1, "4x64 relu, 10 epochs", "curve", 1, 0.5),
    ])  # fmt: skip


def drawn(rows):
    return draw_iterations(rows, Figure().add_subplot())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_curves_and_bands_are_those_of_the_table_and_others_are_left_out():
    ax = drawn(table())
    curves = {line.get_label(): line for line in ax.lines if line.get_label().endswith(")")}
    assert set(curves) == {"4x64 relu, 30 epochs (n = 5)", "8x64 relu, 30 epochs (n = 4, 1 collapsed)"}
    line = curves["4x64 relu, 30 epochs (n = 5)"]
    assert line.get_xdata() == pytest.approx(np.arange(1, 31))
    assert line.get_ydata() == pytest.approx(0.9 + 0.002 * np.arange(1, 31))
    corners = ax.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((0.892, 0.97))
    assert ax.get_ylim()[0] > 0.85
    assert ax.get_xscale() == "log"


def test_the_best_epoch_and_the_end_of_early_stopping_are_marked_with_their_intervals():
    ax = drawn(table())
    marks = [(container.lines[0].get_marker(), container) for container in ax.containers
             if len(container.lines[0].get_xdata())]  # fmt: skip
    assert [marker for marker, _ in marks] == ["o", "X"]
    for (_, container), epoch, ends, accuracy in zip(marks, (12, 17), ([10, 14], [15, 19]), (0.93, 0.94), strict=True):
        assert container.lines[0].get_xdata() == pytest.approx([epoch])
        assert container.lines[0].get_ydata() == pytest.approx([accuracy])
        assert container.lines[2][0].get_segments()[0][:, 0] == pytest.approx(ends)
    assert {"best epoch", "stopped early"} <= set(legend(ax))


def test_the_resolution_hangs_below_the_best():
    ax = drawn(table())
    [band] = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.956, 0.96))
    assert "resolution of test accuracy (0.40 points)" in legend(ax)


def test_names_that_are_alike_when_shortened_are_written_longer():
    rows = table()
    rows["name"] = "4x64 relu, 50 epochs, what makes the difference is " + rows["curve"].astype(str)
    assert {"4x64 relu, 50 epochs, what makes the difference is 0 (n = 5)"} < set(legend(drawn(rows)))
