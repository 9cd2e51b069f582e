"""Error against training digits: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnistlab.visualization.split_law import draw_split_law

SIZES = np.array([1687, 6750, 13_500, 54_000])


def table(families=1):
    rows = []
    for family in range(families):
        about = {"family": f"{family + 1}x64 relu", "protocol": "official", "resolution": 0.004, "n": 5}
        for mark, sizes, half in (("measured", SIZES, 0.003), ("law", np.geomspace(1687, 54_000, 9), 0.01)):
            error = 0.02 + 0.01 * family + 0.07 * (sizes / 1687) ** -0.5
            rows += [{**about, "mark": mark, "n_train": n, "error": e, "low": e - half, "high": e + half}
                     for n, e in zip(sizes, error, strict=True)]  # fmt: skip
    return pd.DataFrame(rows)


def drawn(rows):
    return draw_split_law(rows, Figure().add_subplot())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_cells_stand_at_their_digits_with_their_intervals():
    rows = table()
    measured = rows[rows["mark"] == "measured"]
    [container] = drawn(rows).containers
    assert container.lines[0].get_xdata() == pytest.approx(SIZES)
    assert container.lines[0].get_ydata() == pytest.approx(measured["error"])
    assert [bar[:, 1].tolist() for bar in container.lines[2][0].get_segments()] == [
        pytest.approx(ends) for ends in measured[["low", "high"]].to_numpy()]  # fmt: skip


def test_the_law_is_a_line_with_a_band_over_all_sizes():
    rows, ax = table(), drawn(table())
    law = rows[rows["mark"] == "law"]
    line = next(line for line in ax.lines if line.get_label() == "law of 4 sizes, 95 % band")
    assert line.get_xdata() == pytest.approx(law["n_train"])
    assert line.get_ydata() == pytest.approx(law["error"])
    corners = ax.collections[-1].get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == pytest.approx((law["low"].min(), law["high"].max()))
    assert ax.get_xscale() == "log"


def test_without_a_law_the_cells_are_joined():
    rows = table()
    ax = drawn(rows[rows["mark"] == "measured"])
    assert ax.containers[0].lines[0].get_linestyle() != "None"
    assert not any("law" in name for name in legend(ax))


def test_the_resolution_lies_above_the_lowest_error_and_networks_are_in_the_legend():
    rows, ax = table(), drawn(table())
    [band] = ax.patches
    least = rows.loc[rows["mark"] == "measured", "error"].min()
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((least, least + 0.004))
    assert {"1x64 relu (n = 5)", "resolution (0.40 points)"} < set(legend(ax))


def test_bands_of_many_laws_are_left_out_and_writers_seen_in_training_are_said():
    rows = table(4)
    rows.loc[rows["family"] == "2x64 relu", "protocol"] = "merged"
    ax = drawn(rows)
    assert "law of 4 sizes" in legend(ax)
    assert "2x64 relu, writers seen (n = 5)" in legend(ax)
    assert len(ax.containers) == 4


def test_a_law_left_open_does_not_set_the_scale():
    rows = table()
    rows.loc[rows["mark"] == "law", "high"] = 1.0
    assert drawn(rows).get_ylim()[1] < 0.2


def test_sizes_too_near_to_each_other_are_not_all_written():
    rows = table()
    near = rows[rows["mark"] == "measured"].assign(n_train=[50_000, 51_000, 52_000, 54_000])
    ticks = drawn(near).get_xticks()
    assert ticks[-1] == 54_000
    assert (ticks[1:] / ticks[:-1] >= 1.25).all()
