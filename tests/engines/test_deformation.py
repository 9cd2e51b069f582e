"""Deformed digits against SciPy, against what a map must do to a picture, and against theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from mnistlab.engines.deformation import (
    AffineMap,
    Deformation,
    coordinates,
    deform,
    draw_affine,
    draw_field,
    draw_noise,
    sample,
)

ALL = Deformation(rotation=15, zoom=0.15, shear=0.2, translation=1.5, elastic_alpha=38, elastic_sigma=5)
SHAPES = [(16, 28, 28), (33, 8, 8), (5, 20, 30), (1, 28, 28)]  # b, height, width
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def pictures(shape, dtype="float32", seed=0):
    """Smooth ones: where neighbours are alike, the rounding of a place by 1e-6 pixels does not show."""
    noise = np.random.default_rng(seed).random(shape)
    return gaussian_filter(noise, (0, 1, 1)).astype(dtype)


def an_affine_map(dtype="float32", **changed):
    parts = {"shear": 0.0, "scale": 1.0, "angle": 0.0, "down": 0.0, "right": 0.0, **changed}
    return AffineMap(**{name: jnp.full(1, value, dtype) for name, value in parts.items()})


def moved(image, **changed):
    found = sample(image[None], *coordinates(an_affine_map(str(image.dtype), **changed), None, image.shape))
    return np.asarray(found[0])


def in_scipy(images, affine, noise, settings):
    """The same deformation by SciPy in float64: of the inverse of the map that moves a point of the old image."""
    height, width = images.shape[1:]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    grid = np.stack(np.mgrid[:height, :width], axis=-1).astype(float)  # rows, columns
    found = []
    for number, image in enumerate(images.astype(float)):
        shear, scale, angle, down, right = (float(value[number]) for value in affine)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # on (row, column)
        slide = np.array([[1, 0], [-shear, 1]])
        back = np.linalg.inv(scale * turn @ slide)
        places = (grid - centre - [down, right]) @ back.T + centre
        for axis in range(2):
            field = gaussian_filter(noise[:, axis, number].astype(float), settings.elastic_sigma, mode="constant")
            places[..., axis] += settings.elastic_alpha * field
        found.append(map_coordinates(image, [places[..., 0], places[..., 1]], order=1, mode="grid-constant"))
    return np.stack(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_deformation_of_scipy(shape, dtype):
    images, key = pictures(shape, dtype), jax.random.key(5)
    of_affine, of_field = jax.random.split(key)
    affine, noise = draw_affine(of_affine, shape[0], ALL, dtype), draw_noise(of_field, shape, dtype)
    found = jax.jit(lambda images: deform(images, key, ALL))(images)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    expected = in_scipy(images, affine, np.asarray(noise), ALL)
    assert np.abs(expected - images).mean() > 0.05
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["rotation", "zoom", "shear", "translation", "elastic"])
def test_each_part_alone_does_something(name):
    settings = Deformation(elastic_alpha=38, elastic_sigma=5) if name == "elastic" else Deformation(**{name: 0.5})
    images = pictures((4, 28, 28))
    found = deform(images, jax.random.key(0), settings)
    assert (np.abs(found - images).max(axis=(1, 2)) > 1e-4).all()


def test_a_setting_does_not_change_what_the_others_draw():
    key = jax.random.key(3)
    all_of_them, some = draw_affine(key, 9, ALL, "float32"), draw_affine(key, 9, Deformation(rotation=15), "float32")
    np.testing.assert_array_equal(all_of_them.angle, some.angle)
    np.testing.assert_array_equal(some.scale, 1)


def test_draws_fill_their_range():
    shear, scale, angle, down, right = draw_affine(jax.random.key(0), 20_000, ALL, "float32")
    for values, middle, reach in [(shear, 0, 0.2), (scale, 1, 0.15), (angle, 0, np.radians(15)), (down, 0, 1.5),
                                  (right, 0, 1.5)]:  # fmt: skip
        values = (np.asarray(values) - middle) / reach
        assert np.abs(values).max() == pytest.approx(1, abs=1e-3)
        assert values.mean() == pytest.approx(0, abs=4 / np.sqrt(3 * 20_000))
        assert values.var() == pytest.approx(1 / 3, abs=0.01)
    assert np.abs(np.corrcoef([shear, scale, angle, down, right]) - np.eye(5)).max() < 4 / np.sqrt(20_000)


def test_noise_is_uniform():
    noise = np.asarray(draw_noise(jax.random.key(0), (64, 28, 28), "float32"))
    values, counts = np.unique(noise, return_counts=True)
    np.testing.assert_array_equal(values, (np.arange(256) + 0.5) / 128 - 1)
    assert np.abs(counts / noise.size * 256 - 1).max() < 5 * np.sqrt(256 / noise.size)
    assert np.abs(np.corrcoef(noise.reshape(-1, 4).T) - np.eye(4)).max() < 5 / np.sqrt(noise.size / 4)


def test_draws_are_the_same_in_either_precision():
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            images = pictures((6, 28, 28), "float64" if wide else "float32")
            found.append(np.asarray(deform(images, jax.random.key(8), ALL)))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


def test_a_hair_of_everything_is_nothing(dtype):
    hair = Deformation(*[1e-9] * 4, elastic_alpha=1e-9, elastic_sigma=5)
    images = np.random.default_rng(0).random((7, 20, 30)).astype(dtype)
    np.testing.assert_allclose(deform(images, jax.random.key(0), hair), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("down", "right"), [(3, -2), (0, 5), (-19, 0), (20, 0), (-400, 1000)])
def test_whole_pixels_shift_exactly(down, right):
    image = np.random.default_rng(0).random((20, 30)).astype("float32")
    expected = np.zeros((60 + 800, 90 + 2000), "float32")  # paper all around
    expected[400 + down :, 1000 + right :][:20, :30] = image
    np.testing.assert_array_equal(moved(image, down=down, right=right), expected[400:420, 1000:1030])


@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_a_quarter_turn_is_that_of_numpy(quarters):
    image = np.random.default_rng(0).random((28, 28)).astype("float32")
    np.testing.assert_allclose(moved(image, angle=quarters * np.pi / 2), np.rot90(image, quarters), atol=1e-5)


def test_shear_slides_the_rows_above_the_centre_to_the_right():
    image = np.zeros((9, 9), "float32")
    image[:, 4] = 1
    np.testing.assert_allclose(moved(image, shear=1.0), np.eye(9)[::-1], atol=1e-6)


def test_scale_two_is_twice_as_large():
    image = np.zeros((9, 9), "float32")
    image[3:6, 4] = 1
    found = moved(image, scale=2.0)
    np.testing.assert_allclose(found[:, 4], [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0], atol=1e-6)


def test_elastic_displacements_are_as_large_as_theory_says():
    n_images, alpha, sigma = 4000, 34.0, 4.0
    settings = Deformation(elastic_alpha=alpha, elastic_sigma=sigma)
    fields = draw_field(jax.random.key(1), (n_images, 41, 41), settings, "float32")
    expected = alpha * np.sqrt(1 / 3) / (2 * sigma * np.sqrt(np.pi))
    middle = np.array([field[:, 20, 20] for field in fields])
    assert middle.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * middle.size))
    assert np.abs(middle).mean() == pytest.approx(expected * np.sqrt(2 / np.pi), rel=4 * 0.756 / np.sqrt(middle.size))
    assert abs(np.corrcoef(middle)[0, 1]) < 4 / np.sqrt(n_images)


def test_every_image_has_draws_of_its_own():
    images = np.broadcast_to(pictures((1, 28, 28)), (64, 28, 28))
    for settings in (ALL, Deformation(rotation=15), Deformation(elastic_alpha=38, elastic_sigma=5)):
        found = np.asarray(deform(images, jax.random.key(2), settings))
        assert len(np.unique(found.reshape(64, -1), axis=0)) == 64


def test_keys_of_either_kind_and_only_they_decide():
    images = pictures((3, 28, 28))
    first, again = deform(images, jax.random.key(4), ALL), deform(images, jax.random.PRNGKey(4), ALL)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - deform(images, jax.random.key(5), ALL)).max() > 0.05
