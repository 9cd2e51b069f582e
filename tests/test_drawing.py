"""Whatever picture of a digit comes in, the network sees what MNIST would have made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnistlab.drawing import normalise_digit, normalise_file


def seven(scale=10):
    """A seven, black on white, far from the middle."""
    ink = np.zeros((40, 30))
    ink[4:6, 5:17] = 1
    for row in range(6, 24):
        column = 16 - (row - 6) // 2
        ink[row, column - 2 : column + 1] = 1
    return 1 - ink.repeat(scale, axis=0).repeat(scale, axis=1).astype(np.float32)


def test_a_digit_fills_a_box_of_twenty_with_its_mass_in_the_middle():
    image = normalise_digit(seven()).image / 255
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert image.shape == (28, 28)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 <= 20
    centre = [(image.sum(axis=1 - axis) * np.arange(28)).sum() / image.sum() for axis in (0, 1)]
    assert centre == pytest.approx([14, 14], abs=0.5)


@given(
    top=st.integers(0, 60), left=st.integers(0, 60), scale=st.integers(2, 12), light=st.floats(0.6, 1.0),
    negative=st.booleans(),
)  # fmt: skip
def test_place_size_strength_and_polarity_do_not_matter(top, left, scale, light, negative):
    drawn = np.pad(seven(scale), ((top, 5), (left, 5)), constant_values=1)
    drawn = light * drawn if not negative else 1 - light * drawn
    found, plain = normalise_digit(drawn.astype(np.float32)), normalise_digit(seven())
    assert found.steps.inverted is not negative
    assert abs(found.image.astype(int) - plain.image).max() <= 1


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_canvas_of_one_colour_is_blank(level):
    drawing = normalise_digit(np.full((50, 40), level, np.float32))
    assert (drawing.blank, drawing.filled) == (True, False)
    assert not drawing.image.any()


def test_a_canvas_filled_to_the_rim_is_no_digit():
    filled = np.ones((50, 50), np.float32)
    filled[5:45, 5:45] = 0
    drawing = normalise_digit(filled)
    assert (drawing.blank, drawing.filled) == (False, True)


def test_dirt_and_uneven_light_do_not_move_the_digit():
    light = np.linspace(0.75, 0.95, 300, dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, 0.02, (400, 300)).astype(np.float32)
    photograph = (seven() * 0.8 + 0.2) * light + noise
    photograph[380:383, 280:283] = 0  # a crumb
    found, plain = normalise_digit(photograph.clip(0, 1)), normalise_digit(seven())
    assert abs(found.image.astype(int) - plain.image).mean() < 6


@pytest.mark.parametrize("picture", [
    np.random.default_rng(2).random((200, 300)),
    (np.random.default_rng(3).random((200, 300)) < np.repeat(seven(5), 1, axis=0)[:200, :150].repeat(2, axis=1)),
    np.eye(50)[:, :40],
], ids=["noise", "dithered", "a hair"])  # fmt: skip
def test_a_picture_in_a_thousand_pieces_is_normalised_all_the_same(picture):
    assert normalise_digit(picture.astype(np.float32)).image.max() == 255


def test_a_large_photograph_gives_what_a_small_one_gives():
    large, small = normalise_digit(seven(60)), normalise_digit(seven(10))
    assert abs(large.image.astype(int) - small.image).max() <= 1
    assert large.steps.box == tuple(6 * side for side in small.steps.box)


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist"])
def test_where_images_are_light_on_black_a_dark_drawing_is_turned(dataset, tmp_path):
    pixels = (255 * seven(1)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "dark.png")
    Image.fromarray(255 - pixels).save(tmp_path / "light.png")
    dark, light = (normalise_file(tmp_path / f"{name}.png", dataset, (8, 8)) for name in ("dark", "light"))
    assert np.array_equal(dark.image, light.image)
    assert (dark.steps.inverted, light.steps.inverted) == (True, False)
    assert dark.image[0, 0] == 0


def test_a_network_of_a_person_s_own_data_gets_the_picture_as_it_is_but_for_its_size(tmp_path):
    Image.fromarray(np.array([[0, 100], [200, 50]], np.uint8).repeat(14, axis=0).repeat(14, axis=1)).save(
        tmp_path / "bag.png"
    )
    drawing = normalise_file(tmp_path / "bag.png", "bags-0123456789ab", (2, 2))
    assert drawing.image.tolist() == [[0, 100], [200, 50]]
    assert drawing.steps.method == "resized"
    assert not drawing.blank
