"""Samples of a data set: what is drawn are its own images, every class in its row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mnistlab.datasets.catalog import Dataset, DatasetInfo
from mnistlab.visualization.samples import plot_samples, samples_text
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


def test_light_is_drawn_dense_and_dark_is_drawn_empty():
    image = np.array([[0, 255, 255], [0, 0, 255], [0, 0, 0]], np.uint8)
    made = Dataset(DatasetInfo("x", (3, 3), ("a",), 1, 0), image[None], np.zeros(1, np.uint8), "", "")
    assert samples_text(made, 80) == "a\n(1)\n =@\n"


@given(width=st.integers(1, 200), high=st.integers(1, 40), wide=st.integers(1, 40), classes=st.integers(3, 9))
def test_no_line_is_wider_than_the_terminal_and_every_class_is_there(width, high, wide, classes):
    made = dataset(classes, n=24, shape=(high, wide), names=["a", "猫" * 9, "c" * 99, *"defghi"][:classes])
    lines = samples_text(made, width).split("\n")
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).count("(") == classes


def test_ten_digits_fit_on_a_page():
    lines = samples_text(dataset(10, shape=(28, 28)), 80).split("\n")
    assert (len(lines), lines[0].split(), lines[10].split()) == (19, list("01234"), list("56789"))


def test_a_large_image_is_pooled_to_the_means_of_its_blocks():
    image = np.zeros((32, 32), np.uint8)
    image[:16] = 200
    made = Dataset(DatasetInfo("x", (32, 32), ("a",), 1, 0), image[None], np.zeros(1, np.uint8), "", "")
    assert samples_text(made, 80).split("\n") == ["a", "(1)", *["@" * 16] * 4, *[""] * 4]
