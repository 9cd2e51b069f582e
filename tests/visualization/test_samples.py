"""Samples of a data set: what is drawn are its own images, every class in its row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mnistlab.datasets.catalog import Dataset, DatasetInfo
from mnistlab.visualization.samples import half_blocks, plot_samples, ramp, samples_text
from mnistlab.visualization.style import figure_png, figure_svg


def dataset(classes=3, n=40, shape=(6, 4), names=None):
    random = np.random.default_rng(2)
    images, labels = random.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n, dtype=np.uint8) % classes
    info = DatasetInfo("some", shape, tuple(names or map(str, range(classes))), n - 9, 9)
    return Dataset(info, images, labels, "0" * 64, "here")


def test_the_figure_holds_every_sample_in_the_row_of_its_class():
    made = dataset()
    (ax,) = plot_samples(made).axes
    sheet = np.asarray(ax.images[0].get_array())
    for row in range(3):
        for column, image in enumerate(made.images[made.labels == row][:10]):
            np.testing.assert_array_equal(sheet[row * 7 : row * 7 + 6, column * 5 : column * 5 + 4], image)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0 (14)", "1 (13)", "2 (13)"]
    assert [0 <= place - row * 7 < 6 for row, place in enumerate(ax.get_yticks())] == [True] * 3


@pytest.mark.parametrize(("classes", "shape", "names"), [
    (3, (6, 4), ["$x^$", "a name that is much longer than there is room for", "<b>&"]),
    (40, (1, 300), None), (2, (300, 1), None), (2, (1, 1), None),
], ids=str)  # fmt: skip
def test_any_names_and_shapes_can_be_drawn_and_the_same_bytes_come_out_every_time(classes, shape, names):
    samples = dataset(classes, n=80, shape=shape, names=names)
    assert figure_png(plot_samples(samples)) == figure_png(plot_samples(samples))
    assert "<svg" in figure_svg(plot_samples(samples))


def test_half_blocks_show_what_is_light():
    pixels = np.array([[0, 9, 0, 9], [0, 0, 9, 9], [9.0, 0, 0, 0]])
    assert half_blocks(pixels) == [" ▀▄█", "▀   "]
    assert half_blocks(np.zeros((2, 2))) == ["  "]


def test_the_ramp_is_ascii_from_empty_to_full():
    assert ramp(np.array([[0, 255, 255.0], [0, 0, 255]])) == [" =@"]
    assert ramp(np.zeros((3, 2))) == ["  ", "  "]


@given(
    width=st.integers(1, 200),
    high=st.integers(1, 40),
    wide=st.integers(1, 40),
    draw=st.sampled_from([ramp, half_blocks]),
)
def test_no_line_is_wider_than_the_terminal_and_every_class_has_its_rows(width, high, wide, draw):
    made = dataset(n=24, shape=(high, wide), names=["a", "猫" * 9, "c" * 99])
    lines = samples_text(made, width, draw).split("\n")
    assert all(cell_len(line) <= max(width, 2) for line in lines)  # one letter of the second name is two columns
    side = max(1, -(-max(high, wide) // min(16, width)))
    rows = (-(-high // side) + 1) // 2
    assert len(lines) == 3 * (2 + rows)


def test_a_large_image_is_pooled_to_the_means_of_its_blocks():
    image = np.zeros((32, 32), np.uint8)
    image[:16] = 200
    made = Dataset(DatasetInfo("x", (32, 32), ("a",), 1, 0), image[None], np.zeros(1, np.uint8), "", "")
    title, *rows = samples_text(made, 80, half_blocks).strip("\n").split("\n")
    assert (title, rows[:4], [row.strip() for row in rows[4:]]) == ("a (1)", ["█" * 16] * 4, [""] * (len(rows) - 4))
