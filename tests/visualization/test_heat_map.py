"""The grid of widths and depths: what is drawn is what the table says."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from mnistlab.exhibits.grid import grid_table
from mnistlab.spec import Architecture, Cell
from mnistlab.visualization.heat_map import draw_grid


@pytest.fixture(scope="module")
def table(plant_evidence):
    truth = [(Cell(Architecture((width,) * depth, activation)),
              0.1135 if (activation, depth) == ("sigmoid", 8) else 0.9 + 0.012 * np.log2(width) - 0.002 * depth,
              ("done",) * 3)
             for activation in ("relu", "sigmoid") for depth in (1, 2, 8) for width in (16, 32)]  # fmt: skip
    return grid_table(plant_evidence(truth))


@pytest.fixture
def ax(table):
    return draw_grid(table, Figure().add_subplot())


def place(row):
    """Column and row of a tile: two blocks beside each other, a column between them."""
    return (3 * (row["activation"] == "sigmoid") + (row["width"] == 32), [1, 2, 8].index(row["depth"]))


def test_every_tile_has_the_colour_of_its_accuracy(ax, table):
    sheet = ax.images[0].get_array().filled(np.nan)
    expected = np.full((3, 5), np.nan)
    for _, row in table.iterrows():
        x, y = place(row)
        expected[y, x] = row["accuracy"]
    np.testing.assert_array_equal(sheet, expected)
    assert ax.images[0].get_clim() == pytest.approx((table["accuracy"].min(), table["accuracy"].max()))
    assert ax.images[0].get_cmap().name == "viridis"


def test_every_tile_tells_its_number_in_readable_contrast(ax, table):
    written = {text.get_position(): text for text in ax.texts}
    for _, row in table[table["accuracy"].notna()].iterrows():
        text = written[place(row)]
        assert text.get_text() == f"{100 * row['accuracy']:.1f}"
        face = ax.images[0].to_rgba(row["accuracy"])
        assert contrast(to_rgb(text.get_color()), face[:3]) > 4.5


def contrast(one, other):
    def luminance(color):
        parts = np.array(color)
        linear = np.where(parts > 0.04045, ((parts + 0.055) / 1.055) ** 2.4, parts / 12.92)
        return linear @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_collapsed_tiles_are_hatched_and_counted(ax, table):
    lost = table[table["collapsed"] > 0]
    hatched = {(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in ax.patches if patch.get_hatch()}
    assert hatched == {place(row) for _, row in lost.iterrows()} == {(3, 2), (4, 2)}
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert {written[spot] for spot in hatched} == {"3 of 3"}


def test_a_tile_some_of_whose_networks_collapsed_keeps_the_number_of_the_others(table):
    some = table.assign(collapsed=[1, *table["collapsed"][1:]])
    ax = draw_grid(some, Figure().add_subplot())
    assert f"{100 * some['accuracy'].iloc[0]:.1f}\n1 of 3" in [text.get_text() for text in ax.texts]


def test_the_scale_shows_the_resolution_and_the_legend_counts_networks(ax, table):
    scale = ax.figure.axes[1]
    resolution, top = table["resolution"].iloc[0], table["accuracy"].max()
    [band] = [patch for patch in scale.patches if patch.get_hatch()]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((top - resolution, top))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["mean of those trained, % (n = 3)", "collapsed: how many of a tile's networks",
                     f"resolution ({100 * resolution:.2f} points), on the scale"]  # fmt: skip


def test_axes_name_widths_and_depths_of_every_block(ax):
    assert [label.get_text() for label in ax.get_xticklabels()] == ["16", "32"] * 2
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "8"]
    assert {"relu", "sigmoid"} <= {text.get_text() for text in ax.texts}


def test_wide_blocks_stand_below_each_other(table):
    wide = table.loc[table.index.repeat(4)].reset_index(drop=True)
    wide["width"] = wide["width"] * 10 + wide.groupby(["activation", "depth", "width"]).cumcount()
    ax = draw_grid(wide, Figure().add_subplot())
    assert ax.images[0].get_array().shape == (7, 8)
