from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog

from mnistlab.datasets import catalog
from mnistlab.datasets.catalog import Dataset, DatasetInfo
from mnistlab.errors import ConfigurationError, InvalidFieldError
from mnistlab.preprocessing import apply_image_step, build_pipeline, prepare
from mnistlab.spec import Features, Split

INFO = DatasetInfo("small", (6, 5), tuple("0123456789"), 400, 100)
PIPELINES = [("scale",), ("standardize",), ("pca:20",), ("scale", "standardize"), ("scale", "pca:20"),
             ("scale", "standardize", "pca:20"), ("pca:20", "pca:10"), ("deskew",), ("deskew", "scale"), ("hog",),
             ("deskew", "hog"), ("deskew", "standardize"), ("hog", "standardize", "pca:20"),
             ("deskew", "scale", "pca:20")]  # fmt: skip


def small_dataset(steps=()):
    """Six by five pixels; where a step needs images, thirteen by nine."""
    info = replace(INFO, image_shape=(13, 9)) if {"deskew", "hog"} & set(steps) else INFO
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (500, *info.image_shape), dtype=np.uint8)
    images[:, 0, 0] = 0  # a corner nothing is ever drawn in
    return Dataset(info, images, np.arange(500, dtype=np.uint8) % 10, "0" * 64, "made here")


def with_noise(dataset, where):
    images = dataset.images.copy()
    images[where] = np.random.default_rng(9).integers(0, 256, images[where].shape, dtype=np.uint8)
    return replace(dataset, images=images)


@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_features_are_float32_with_the_columns_the_specification_counts(steps):
    dataset = small_dataset(steps)
    data = prepare(dataset, Split(train_fraction=0.5), Features(steps), 0)
    columns = Features(steps).n_features(dataset.info.image_shape)
    for X, rows in ((data.X_train, 180), (data.X_validation, 20), (data.X_test, 100)):
        assert (X.shape, X.dtype, X.flags.c_contiguous) == ((rows, columns), np.float32, True)
    assert (len(data.y_train), len(data.validation.labels), len(data.test.labels)) == (180, 20, 100)
    assert data.n_classes == 10


@pytest.mark.parametrize("protocol", ["official", "merged"])
@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_noise_in_place_of_the_test_images_changes_nothing_that_is_learned(steps, protocol):
    dataset, split = small_dataset(steps), Split(protocol, 0.5)
    honest = prepare(dataset, split, Features(steps), 3)
    poisoned = prepare(with_noise(dataset, honest.test.indices), split, Features(steps), 3)
    assert honest.X_train.tobytes() == poisoned.X_train.tobytes()
    # The validation images are the same and pass through the fitted pipeline: so are its parameters.
    assert honest.X_validation.tobytes() == poisoned.X_validation.tobytes()
    assert honest.X_test.tobytes() != poisoned.X_test.tobytes()


@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_noise_in_place_of_the_validation_images_changes_nothing_that_is_learned(steps):
    dataset, split = small_dataset(steps), Split()
    honest = prepare(dataset, split, Features(steps), 3)
    poisoned = prepare(with_noise(dataset, honest.validation.indices), split, Features(steps), 3)
    assert honest.X_train.tobytes() == poisoned.X_train.tobytes()
    assert honest.X_test.tobytes() == poisoned.X_test.tobytes()


def test_scale_divides_bytes_by_255():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, -1)
    scaled = build_pipeline(Features(("scale",)), (16, 16)).fit_transform(pixels)
    np.testing.assert_array_equal(scaled, np.arange(256, dtype=np.float32)[None] / np.float32(255))


def test_standardize_gives_training_columns_mean_0_and_variance_1_and_leaves_the_images_alone():
    dataset = small_dataset()
    before = dataset.images.copy()
    data = prepare(dataset, Split(), Features(("standardize",)), 0)
    np.testing.assert_allclose(data.X_train.mean(axis=0, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(data.X_train.var(axis=0, dtype=float), [0] + [1] * 29, atol=1e-5)
    np.testing.assert_array_equal(dataset.images, before)


def test_pca_keeps_the_directions_of_greatest_variance():
    dataset = small_dataset()
    data = prepare(dataset, Split(), Features(("scale", "pca:7")), 0)
    centred = prepare(dataset, Split(), Features(("scale",)), 0).X_train.astype(float)
    centred -= centred.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(data.X_train.astype(float), axis=0), singular[:7], rtol=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), steps=st.sampled_from(PIPELINES))
def test_the_same_seed_prepares_the_same_bytes(seed, steps):
    first, again = (prepare(small_dataset(steps), Split(), Features(steps), seed) for _ in range(2))
    for name in ("X_train", "y_train", "X_validation", "X_test"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert (first.validation.id, first.test.id) == (again.validation.id, again.test.id)


def test_labels_stay_with_their_images():
    dataset = small_dataset()
    dataset.images[:, 1, 1] = dataset.labels
    data = prepare(dataset, Split(train_fraction=0.7), Features(("scale",)), 11)
    column = 1 * 5 + 1
    parts = ((data.X_train, data.y_train), (data.X_validation, data.validation.labels), (data.X_test, data.test.labels))
    for X, y in parts:
        np.testing.assert_array_equal(np.rint(X[:, column] * 255), y)
    np.testing.assert_array_equal(dataset.labels[data.test.indices], data.test.labels)


def test_without_a_validation_part_there_are_no_rows_and_no_labels():
    data = prepare(small_dataset(), Split(validation_fraction=0.0), Features(("standardize", "pca:3")), 0)
    assert data.validation is None
    assert (data.X_validation.shape, data.X_train.shape) == ((0, 3), (400, 3))


@pytest.mark.parametrize(("steps", "fraction", "message"), [
    (("pca:31",), 1.0, r"features pca:31: only 30 columns come in \(say pca:30\)"),
    (("scale", "pca:30"), 0.05, r"features pca:30: only 18 training examples \(say pca:18\)"),
])  # fmt: skip
def test_more_components_than_columns_or_examples_are_refused(steps, fraction, message):
    with pytest.raises(ConfigurationError, match=message):
        prepare(small_dataset(), Split(train_fraction=fraction), Features(steps), 0)


# Steps that work on images


def moments(image):
    """Ink, its centre (row, column), and how far it leans: columns to the right for every row downwards."""
    row, column = np.indices(image.shape)
    ink = float(image.sum())
    middle, centre = (row * image).sum() / ink, (column * image).sum() / ink
    up, across = row - middle, column - centre
    return ink, middle, centre, (up * across * image).sum() / (up**2 * image).sum()


def leaning_ellipse(slant, height, width):
    """An upright ellipse with a soft edge, sheared along the rows, in the middle of 28×28 pixels."""
    row, column = np.indices((28, 28)) - 13.5
    across = (column - slant * row) / width
    inside = 1.5 - 1.5 * np.hypot(row / height, across)
    return np.rint(255 * np.clip(inside, 0, 1)).astype(np.uint8)


@given(slant=st.floats(-0.9, 0.9), height=st.floats(5, 9), width=st.floats(1.5, 4))
def test_deskew_sets_upright_what_leans_and_keeps_its_ink_and_its_place(slant, height, width):
    image = leaning_ellipse(slant, height, width)
    ink, middle, centre, _ = moments(image)
    [upright] = apply_image_step("deskew", image[None])
    new_ink, new_middle, new_centre, new_lean = moments(upright)
    assert abs(new_lean) < 0.005
    assert new_ink == pytest.approx(ink, rel=0.005)
    assert (new_middle, new_centre) == pytest.approx((middle, centre), abs=0.02)
    again = apply_image_step("deskew", upright[None])
    assert np.abs(again - upright).max() <= 4


def test_deskew_sets_real_digits_upright_in_whole_grey_levels():
    images = catalog.load("digits", None).images[:300]
    upright = apply_image_step("deskew", images)
    assert (upright.dtype, upright.shape) == (np.float32, images.shape)
    np.testing.assert_array_equal(upright, upright.astype(np.uint8))
    before, after = (np.array([abs(moments(image)[3]) for image in part]) for part in (images, upright))
    assert np.median(after) < 0.1 * np.median(before)


@pytest.mark.parametrize("drawn", [(), (3,), (0,)], ids=["no ink", "one row", "first row"])
def test_deskew_leaves_an_image_alone_that_cannot_lean(drawn):
    image = np.zeros((1, 9, 7), np.uint8)
    for row in drawn:
        image[0, row, 2:6] = (10, 200, 255, 3)
    np.testing.assert_array_equal(apply_image_step("deskew", image), image)


def test_hog_is_that_of_scikit_image_for_each_image_alone():
    images = catalog.load("digits", None).images[:50]
    expected = [hog(image, 9, (4, 4), (2, 2)) for image in images]
    np.testing.assert_array_equal(apply_image_step("hog", images), np.array(expected, np.float32))
    np.testing.assert_array_equal(apply_image_step("hog", images.astype(np.float32)), np.array(expected, np.float32))


@settings(max_examples=40)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_hog_has_the_columns_the_specification_counts_or_is_refused(height, width):
    features, image = Features(("hog",)), np.zeros((1, height, width), np.uint8)
    if min(height, width) < 8:
        with pytest.raises(InvalidFieldError, match=f"images of {height}×{width} pixels are too small"):
            features.n_features((height, width))
        with pytest.raises(ValueError, match="too small"):
            apply_image_step("hog", image)
    else:
        assert apply_image_step("hog", image).shape == (1, features.n_features((height, width)))


@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_the_fitted_pipeline_gives_new_pixels_the_same_features(steps):
    dataset = small_dataset(steps)
    data = prepare(dataset, Split(), Features(steps), 2)
    pixels = dataset.images[data.test.indices].reshape(100, -1)
    assert data.pipeline.transform(pixels).tobytes() == data.X_test.tobytes()


@pytest.mark.parametrize("steps", [steps for steps in PIPELINES if Features(steps).image_steps], ids="+".join)
def test_what_was_computed_before_gives_the_same_bits(steps):
    dataset, features = small_dataset(steps), Features(steps)
    images = dataset.images
    for step in features.image_steps:
        images = apply_image_step(step, images)
    computed = images.reshape(500, -1)
    if features.image_steps == ("deskew",):
        computed = computed.astype(np.uint8)
    here = prepare(dataset, Split(train_fraction=0.5), features, 4)
    known = prepare(dataset, Split(train_fraction=0.5), features, 4, computed)
    pixels = dataset.images.reshape(500, -1)
    for name in ("X_train", "X_validation", "X_test"):
        assert (getattr(known, name).dtype, getattr(known, name).flags.c_contiguous) == (np.float32, True)
        assert getattr(here, name).tobytes() == getattr(known, name).tobytes()
    assert here.pipeline.transform(pixels).tobytes() == known.pipeline.transform(pixels).tobytes()
