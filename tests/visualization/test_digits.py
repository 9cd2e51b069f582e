"""What is drawn of test digits is what the table says, and something is drawn."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnistlab.analysis.estimate import Estimate
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.digits import DIGITS
from mnistlab.visualization.digits import COLUMNS, draw_confusion, draw_gallery, draw_reliability, draw_votes
from mnistlab.visualization.style import BAND, figure_png

BY_NAME = {exhibit.name: exhibit for exhibit in DIGITS}


def axes():
    return Figure().add_subplot()


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


@pytest.fixture(scope="module")
def tables(lab_evidence):
    return {name: exhibit.table(lab_evidence) for name, exhibit in BY_NAME.items()}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_picture_is_not_blank(lab_evidence, name):
    figure = Shown(BY_NAME[name], lab_evidence).figure()
    drawn, ax = inked(figure), figure.axes[0]
    for artist in [*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts]:
        artist.set_visible(False)
    assert drawn > inked(figure) + 0.003


def test_errors_are_coloured_and_the_diagonal_is_not(tables):
    table = tables["confusion"]
    ax = draw_confusion(table, axes())
    drawn = ax.collections[0].get_array()
    wrong = table[table["true"] != table["predicted"]]
    assert drawn.count() == len(wrong)
    for row in wrong.to_dict("records"):
        assert drawn[row["true"], row["predicted"]] == row["digits"].value
    assert drawn.mask.diagonal().all()
    assert ax.collections[0].get_clim() == (0, max(digits.value for digits in wrong["digits"]))


def test_every_count_is_written_in_its_square(tables):
    texts = {text.get_position(): text.get_text() for text in draw_confusion(tables["confusion"], axes()).texts}
    for row in tables["confusion"].to_dict("records"):
        said = texts[row["predicted"] + 0.5, row["true"] + 0.5]
        assert float(said.replace(",", "")) == pytest.approx(row["digits"].value, rel=0.11, abs=0.05)


def test_a_matrix_names_classes_and_networks_whatever_their_names(tables):
    hostile = ["<img src=x onerror=alert(1)>", "$x_1^{$", "a" * 300, "שלום", "5", "6", "7", "8", "9", "0"]
    table = tables["confusion"].assign(true_name=lambda rows: [hostile[c] for c in rows["true"]])
    figure = Figure()
    ax = draw_confusion(table, figure.add_subplot())
    assert [text.get_text() for text in ax.get_yticklabels()][:3] == ["<img src=x…", "$x_1^{$", "a" * 11 + "…"]
    assert figure.axes[1].get_ylabel() == "digits a network misreads (n = 5)"
    figure_png(figure)


def reliability(*bins, n=5):
    columns = ["confidence", "accuracy", "low", "high"]
    return pd.DataFrame(bins, columns=columns).assign(label="1x64 $x$", n=n)


def test_reliability_is_drawn_by_what_is_missing_to_certainty():
    table = reliability((0.7, 0.6, 0.55, 0.65), (0.99, 0.98, 0.97, 0.99), (0.9999, 1.0, 0.999, 1.0))
    ax = draw_reliability(table, axes())
    line = ax.containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([0.3, 0.01, 0.0001])
    assert line.get_ydata()[:2] == pytest.approx([0.4, 0.02])
    ends = [segment[:, 1].tolist() for segment in ax.containers[0].lines[2][0].get_segments()]
    assert ends[:2] == [pytest.approx([0.35, 0.45]), pytest.approx([0.01, 0.03])]
    identity = ax.lines[0]
    assert identity.get_xdata() == pytest.approx(identity.get_ydata())
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert {"as sure as right", "no error", "1x64 $x$ (n = 5)"} == set(legend(ax))


def test_bins_surer_than_float32_can_tell_stand_in_the_legend():
    table = reliability((0.7, 0.6, 0.55, 0.65), (1 - 1e-9, 0.999, 0.998, 1.0), (1.0, 1.0, 1.0, 1.0))
    ax = draw_reliability(table, axes())
    assert len(ax.containers[0].lines[0].get_xdata()) == 1
    assert "2 surer bins, at least 99.90 % right" in legend(ax)


@pytest.mark.parametrize(("bin_", "place", "wrong"), [
    ((1.0, 1.0, 1.0, 1.0), 1e-7, 1e-4), ((0.1122, 0.1135, np.nan, np.nan), 0.8878, 0.8865),
    ((0.9, 0.0, 0.0, 0.2), 0.1, 1.0),
])  # fmt: skip
def test_reliability_of_a_perfect_and_of_a_collapsed_network_is_drawn_inside_its_axes(bin_, place, wrong):
    ax = draw_reliability(reliability(bin_, n=1), Figure().add_subplot())
    line = ax.containers[0].lines[0]
    assert (line.get_xdata()[0], line.get_ydata()[0]) == pytest.approx((place, wrong))
    for drawn, (end, other) in ((place, ax.get_xlim()), (wrong, ax.get_ylim())):
        assert other <= drawn <= end
    assert len(figure_png(ax.figure)) > 10_000


def test_votes_are_drawn_with_their_intervals_beside_the_mean_of_the_voters(tables):
    table = tables["votes"]
    ax = draw_votes(table, axes())
    vote = ax.containers[0]
    assert vote.lines[0].get_xdata() == pytest.approx(table["accuracy"])
    ends = [segment[:, 0].tolist() for segment in vote.lines[2][0].get_segments()]
    assert ends == [pytest.approx([row["low"], row["high"]]) for row in table.to_dict("records")]
    mean = next(line for line in ax.lines if line.get_label() == "mean of the single networks")
    assert mean.get_xdata() == pytest.approx(table["mean_accuracy"])
    assert [text.get_text().partition("\n")[0] for text in ax.get_yticklabels()] == table["voters"].tolist()
    assert "(n = 20)" in ax.get_yticklabels()[2].get_text()


def test_the_band_of_the_resolution_hangs_below_the_best_vote(tables):
    table = tables["votes"]
    ax = draw_votes(table, axes())
    [band] = ax.patches
    top = table["accuracy"].max()
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((top - table["resolution"][0], top))
    assert "no resolution yet" in legend(draw_votes(table.assign(resolution=np.nan), axes()))


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (20, 60), (60, 20)])
def test_every_picture_stands_above_its_words(tables, shape):
    table, random = tables["hardest-digits"].head(11), np.random.default_rng(2)
    images = [random.integers(256, size=shape, dtype=np.uint8) for _ in range(len(table))]
    table = table.assign(image=pd.Series(images))
    ax = draw_gallery(table, axes())
    sheet = ax.images[0].get_array()
    for number, (row, text) in enumerate(zip(table.to_dict("records"), ax.texts, strict=True)):
        left, top = round(text.get_position()[0] + 0.5 - shape[1] / 2), round(text.get_position()[1]) - shape[0]
        assert np.array_equal(sheet[top : top + shape[0], left : left + shape[1]], row["image"])
        assert text.get_text() == f"{row['true']} → {row['answer']}\n{100 * row['wrong']:.0f} %"
        assert (left > 0) == (number % COLUMNS > 0)
    assert ax.images[0].get_clim() == (0, 255)
    assert f"n = {table['networks'][0]}" in ax.get_xlabel()


def test_words_of_a_gallery_are_short_and_nothing_is_set_as_a_formula(tables):
    table = tables["hardest-digits"].head(2).assign(true="<img src=x onerror=alert(1)>", answer="$x_1$" * 60)
    figure = Figure()
    text = draw_gallery(table, figure.add_subplot()).texts[0]
    assert max(map(len, text.get_text().split("\n"))) <= 8
    assert not text.get_parse_math()
    figure_png(figure)


def test_a_digit_that_all_read_has_no_wrong_answer_below_it(tables):
    table = tables["hardest-digits"].head(1).assign(answer="", wrong=0.0)
    assert draw_gallery(table, axes()).texts[0].get_text().endswith("\n0 %")


def test_the_colours_of_lines_are_those_a_page_can_change(tables):
    assert draw_votes(tables["votes"], axes()).patches[0].get_facecolor() == Figure(facecolor=BAND).get_facecolor()


def test_a_matrix_without_an_error_can_be_drawn(tables):
    single = tables["confusion"].head(1).assign(digits=[Estimate(2.0, n=1)])
    assert draw_confusion(single.assign(predicted=single["true"]), axes()).texts[0].get_text() == "2.0"
