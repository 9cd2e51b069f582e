import subprocess
import sys

import numpy as np
import pytest

from mnistlab.datasets import catalog
from mnistlab.errors import ConfigurationError, DataError


@pytest.fixture
def cached(tiny, tmp_path):
    """The cache with the data set `tiny` in it; returns its folder."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, content in tiny.items():
        (folder / name).write_bytes(content)
    return folder


def test_images_are_counted_also_of_a_class_that_has_none():
    labels = np.array([2, 0, 2], np.uint8)
    info = catalog.DatasetInfo("some", (1, 1), ("a", "b", "c", "d"), 2, 1)
    assert catalog.Dataset(info, np.zeros((3, 1, 1), np.uint8), labels, "", "").class_counts.tolist() == [1, 0, 2, 0]


def test_unknown_data_set_suggests_the_nearest():
    with pytest.raises(ConfigurationError, match=r"dataset minst: unknown data set \(did you mean mnist\?\)"):
        catalog.info("minst")


def test_describing_a_data_set_loads_no_library_but_numpy():
    program = (
        "import sys, mnistlab.datasets.sources, mnistlab.splits, mnistlab.datasets.catalog as c;"
        "assert c.info('digits').n_pixels == 64 and c.info('mnist').n_classes == 10;"
        "print({'sklearn', 'pandas', 'scipy', 'keras', 'jax', 'pooch', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_fashion_mnist_has_the_digests_of_what_its_makers_published():
    files = catalog.IDX_FILES["fashion-mnist"]
    assert files.sha256 == "d1fd84a877f3b78fa9a171b3de73f93e7b6f69ed94bada3feae9d96821401f5c"
    assert [file.n_bytes for file in files.all] == [file.n_bytes for file in catalog.IDX_FILES["mnist"].all]
    info = catalog.info("fashion-mnist")
    assert (info.n_classes, info.class_names[0], info.class_names[9]) == (10, "T-shirt/top", "Ankle boot")


def test_training_examples_come_first(cached, tiny):
    dataset = catalog.load("tiny", cached.parent)
    assert dataset.images.tobytes() == tiny["train-images"][16:] + tiny["test-images"][16:]
    assert dataset.labels.tobytes() == tiny["train-labels"][8:] + tiny["test-labels"][8:]
    assert dataset.images.shape == (40, 4, 3)


@pytest.mark.parametrize("name", ["train-images", "train-labels", "test-images", "test-labels"])
def test_one_changed_byte_in_any_file_is_found_at_every_load(name, cached):
    catalog.load("tiny", cached.parent)
    content = bytearray((cached / name).read_bytes())
    content[-1] ^= 1
    (cached / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"tiny/{name}: damaged: SHA-256 .* \(mnistlab data fetch tiny\)"):
        catalog.load("tiny", cached.parent)


def test_a_missing_file_is_named_with_the_command_that_mends_it(cached):
    (cached / "test-labels").unlink()
    with pytest.raises(DataError, match=r"test-labels: no such file \(mnistlab data fetch tiny\)") as caught:
        catalog.load("tiny", cached.parent)
    assert caught.value.exit_status == 3


def test_digits_needs_no_files_and_fits_its_description(tmp_path):
    dataset = catalog.load("digits", tmp_path / "nowhere")
    info = dataset.info
    assert dataset.images.shape == (info.n_train + info.n_test, 8, 8)
    assert (dataset.images.dtype, dataset.images.max(), dataset.labels.dtype) == (np.uint8, 255, np.uint8)
    assert dataset.sha256 == "f6d8a7bed8ed1421b3872811057c39e3a2458b9a972d83e5905742425b9e041f"


def test_the_test_part_of_digits_is_a_stratified_seventh_that_follows_the_images_alone(tmp_path):
    dataset = catalog.load("digits", tmp_path)
    n_train = dataset.info.n_train
    tested, total = np.bincount(dataset.labels[n_train:]), dataset.class_counts
    assert (tested == np.round(total / 7)).all()
    shuffled = np.random.default_rng(0).permutation(len(dataset.labels))
    again = catalog.seventh_by_hash(dataset.images[shuffled], dataset.labels[shuffled])
    np.testing.assert_array_equal(again, shuffled >= n_train)
