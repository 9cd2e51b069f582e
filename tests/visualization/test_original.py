"""The document's accuracies beside ours: what is drawn is what the table says."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnistlab.analysis.estimate import Estimate
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.original import ORIGINAL
from mnistlab.visualization.original import draw_original
from mnistlab.visualization.style import figure_png


@pytest.fixture(scope="module", params=ORIGINAL, ids=lambda exhibit: exhibit.name)
def shown(request, lab_evidence):
    return Shown(request.param, lab_evidence)


@pytest.fixture
def accuracy(shown):
    return shown.table[shown.table["quantity"] == "accuracy"]


def inked(figure):
    """The share of pixels within the axes that differ from the ground."""
    pixels = np.asarray(Image.open(io.BytesIO(figure_png(figure))).convert("RGB"), dtype=int)
    figure.canvas.draw()
    box, (high, wide) = figure.axes[0].get_position(), pixels.shape[:2]
    inside = pixels[round((1 - box.y1) * high) + 3 : round((1 - box.y0) * high) - 3,
                    round(box.x0 * wide) + 3 : round(box.x1 * wide) - 3]  # fmt: skip
    return (inside < 250).any(axis=2).mean()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_both_accuracies_of_every_network_stand_side_by_side(shown, accuracy):
    ax = draw_original(shown.table, Figure().add_subplot())
    document, ours = ax.lines[0], ax.containers[0]
    assert document.get_ydata() == pytest.approx(accuracy["claimed"].tolist())
    assert document.get_fillstyle() == "none"
    assert ours.lines[0].get_ydata() == pytest.approx([measured.value for measured in accuracy["measured"]])
    ends = [segment[:, 1].tolist() for segment in ours.lines[2][0].get_segments()]
    assert ends == [pytest.approx([measured.low, measured.high]) for measured in accuracy["measured"]]
    assert (ours.lines[0].get_xdata() > document.get_xdata()).all()
    named = [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()]
    assert named == accuracy["named"].tolist()


def test_an_interval_that_was_not_measured_is_no_bar(shown):
    rows = shown.table.copy()
    place = rows.index[rows["quantity"] == "accuracy"][0]
    rows.at[place, "measured"] = Estimate(rows["measured"][place].value, n=1)
    ax = draw_original(rows, Figure().add_subplot())
    ends = [segment for segment in ax.containers[0].lines[2][0].get_segments() if len(segment)]
    assert len(ends) == (rows["quantity"] == "accuracy").sum() - 1
    assert np.isnan([cap.get_ydata()[0] for cap in ax.containers[0].lines[1]]).all()


@pytest.mark.parametrize(("accuracy", "off"), [(0.8, True), (0.975, False)])
def test_a_cell_that_partly_collapsed_is_marked_and_sets_no_scale(shown, accuracy, off):
    rows = shown.table.copy()
    place = rows.index[rows["quantity"] == "accuracy"][-1]
    rows.at[place, "measured"] = Estimate(accuracy, 0.1, 1.0, n=5)
    rows.loc[place, "collapsed"] = 1
    ax = draw_original(rows, Figure().add_subplot())
    assert ax.get_ylim()[0] > 0.8
    [said] = [text.get_text().replace("\n", " ") for text in ax.texts]
    assert said == ("80.0 % 1 of 5 collapsed" if off else "1 of 5 collapsed")
    assert ("collapsed, off the scale" in legend(ax)) == off


def test_the_legend_tells_networks_and_resolution(shown, accuracy):
    ax = draw_original(shown.table, Figure().add_subplot())
    resolution, top = accuracy["resolution"].iloc[0], max(measured.value for measured in accuracy["measured"])
    assert {"in the document", "measured here (n = 5)", f"resolution ({100 * resolution:.2f} points)"} == set(
        legend(ax)
    )
    [band] = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((top - resolution, top))
    without = draw_original(shown.table.assign(resolution=np.nan), Figure().add_subplot())
    assert "no resolution yet" in legend(without)


def test_the_picture_is_not_blank(shown):
    figure = shown.figure()
    drawn, ax = inked(figure), figure.axes[0]
    for artist in [*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts]:
        artist.set_visible(False)
    assert drawn > inked(figure) + 0.003
