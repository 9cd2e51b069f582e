from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistlab.datasets.catalog import Dataset, DatasetInfo
from mnistlab.errors import ConfigurationError
from mnistlab.preprocessing import build_pipeline, prepare
from mnistlab.spec import Features, Split

INFO = DatasetInfo("small", (6, 5), tuple("0123456789"), 400, 100)
PIPELINES = [("scale",), ("standardize",), ("pca:20",), ("scale", "standardize"), ("scale", "pca:20"),
             ("scale", "standardize", "pca:20"), ("pca:20", "pca:10")]  # fmt: skip


def small_dataset():
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (500, 6, 5), dtype=np.uint8)
    images[:, 0, 0] = 0  # a corner nothing is ever drawn in
    return Dataset(INFO, images, np.arange(500, dtype=np.uint8) % 10, "0" * 64, "made here")


def with_noise(dataset, where):
    images = dataset.images.copy()
    images[where] = np.random.default_rng(9).integers(0, 256, images[where].shape, dtype=np.uint8)
    return replace(dataset, images=images)


@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_features_are_float32_with_the_columns_the_specification_counts(steps):
    data = prepare(small_dataset(), Split(train_fraction=0.5), Features(steps), 0)
    columns = Features(steps).n_features(INFO.image_shape)
    for X, rows in ((data.X_train, 180), (data.X_validation, 20), (data.X_test, 100)):
        assert (X.shape, X.dtype, X.flags.c_contiguous) == ((rows, columns), np.float32, True)
    assert (len(data.y_train), len(data.validation.labels), len(data.test.labels)) == (180, 20, 100)
    assert data.n_classes == 10


@pytest.mark.parametrize("protocol", ["official", "merged"])
@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_noise_in_place_of_the_test_images_changes_nothing_that_is_learned(steps, protocol):
    dataset, split = small_dataset(), Split(protocol, 0.5)
    honest = prepare(dataset, split, Features(steps), 3)
    poisoned = prepare(with_noise(dataset, honest.test.indices), split, Features(steps), 3)
    assert honest.X_train.tobytes() == poisoned.X_train.tobytes()
    # The validation images are the same and pass through the fitted pipeline: so are its parameters.
    assert honest.X_validation.tobytes() == poisoned.X_validation.tobytes()
    assert honest.X_test.tobytes() != poisoned.X_test.tobytes()


@pytest.mark.parametrize("steps", PIPELINES, ids="+".join)
def test_noise_in_place_of_the_validation_images_changes_nothing_that_is_learned(steps):
    dataset, split = small_dataset(), Split()
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
    first, again = (prepare(small_dataset(), Split(), Features(steps), seed) for _ in range(2))
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
