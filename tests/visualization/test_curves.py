"""The two figures: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.analysis.results import depth_table, width_table
from mnistlab.visualization import plot_depth_performance
from mnistlab.visualization.curves import draw_depth_performance, draw_width_performance


def axes():
    return Figure().add_subplot()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_widths_are_drawn_where_the_table_has_them(lab_results):
    table = width_table(lab_results)
    ax = draw_width_performance(table, axes())
    line = ax.lines[0]
    assert line.get_xdata() == pytest.approx(table["width"])
    assert line.get_ydata() == pytest.approx(table["accuracy"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4", "32", "64", "128", "512", "2056"]
    assert ax.get_xscale() == "log"


def test_error_bars_reach_from_low_to_high(lab_results):
    table = width_table(lab_results)
    ax = draw_width_performance(table, axes())
    segments = ax.containers[0].lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [
        pytest.approx([row["low"], row["high"]]) for _, row in table.iterrows()
    ]


def test_the_legend_tells_the_networks_and_the_resolution(lab_results):
    assert legend(draw_width_performance(width_table(lab_results), axes())) == [
        f"resolution ({lab_results.resolution * 100:.2f} points)", "relu (n = 5)"]  # fmt: skip
    names = legend(draw_depth_performance(depth_table(lab_results), axes()))
    assert {"keras relu (n = 5)", "keras tanh (n = 3 to 5)", "sklearn relu (n = 5)"} < set(names)


def test_the_band_of_the_resolution_hangs_below_the_best_cell(lab_results):
    table = depth_table(lab_results)
    band = draw_depth_performance(table, axes()).patches[0]
    top = table["accuracy"].max()
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((top - lab_results.resolution, top))


def test_a_cell_whose_networks_all_collapsed_stands_at_the_foot_with_its_number(lab_results):
    ax = draw_depth_performance(depth_table(lab_results), axes())
    assert ax.get_ylim()[0] > 0.9
    assert [text.get_text() for text in ax.texts] == ["sigmoid 11.6 %  "]
    assert "collapsed, off the scale" in legend(ax)


def test_series_of_one_place_do_not_hide_each_other(lab_results):
    ax = draw_depth_performance(depth_table(lab_results), axes())
    places = [round(float(x), 6) for line in ax.containers for x in line.lines[0].get_xdata()]
    assert len(set(places)) == len(places)


def test_without_a_resolution_no_band_is_drawn_and_the_legend_says_so(lab_results):
    table = width_table(lab_results).assign(resolution=np.nan)
    ax = draw_width_performance(table, axes())
    assert not ax.patches
    assert "no resolution yet" in legend(ax)


def test_an_empty_table_gives_an_empty_figure_with_a_sentence(lab_results):
    ax = draw_width_performance(width_table(lab_results).iloc[:0], axes())
    assert ax.texts[0].get_text() == "no finished cells to compare yet"


def test_plot_depth_performance_draws_a_table_of_the_six_public_columns():
    rows = [
        (1, "relu", 0.97, 0.96, 0.98, 0.003),
        (4, "relu", 0.974, 0.96, 0.98, 0.003),
        (4, "tanh", 0.97, 0.96, 0.98, 0.003),
    ]
    columns = ["depth", "activation", "accuracy", "low", "high", "resolution"]
    figure = plot_depth_performance(pd.DataFrame(rows, columns=columns))
    assert isinstance(figure, Figure)
    assert legend(figure.axes[0]) == ["resolution (0.30 points)", "relu", "tanh"]


def test_plot_depth_performance_without_a_table_reads_the_current_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MNISTLAB_STORE", str(tmp_path / "absent.sqlite"))
    figure = plot_depth_performance()
    assert figure.axes[0].texts[0].get_text() == "no finished cells to compare yet"
