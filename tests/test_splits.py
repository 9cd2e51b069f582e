import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import ConfigurationError
from mnistlab.spec import Split
from mnistlab.splits import part_sizes, split_parts

MNIST = DatasetInfo("mnist", (28, 28), tuple("0123456789"), 60_000, 10_000)
SMALL = DatasetInfo("small", (2, 2), tuple("0123456789"), 3_000, 500)
CLASS_WEIGHTS = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) / 60_000  # MNIST's own


def labels_of(info):
    """Labels in random order, the classes about as unequal as MNIST's."""
    return np.random.default_rng(1).choice(10, info.n_train + info.n_test, p=CLASS_WEIGHTS).astype(np.uint8)


LABELS = labels_of(SMALL)

splits = st.builds(
    Split,
    protocol=st.sampled_from(["official", "merged"]),
    train_fraction=st.floats(0.02, 0.98),
    validation_fraction=st.sampled_from([0.0, 0.1, 0.25, 0.5]),
)
seeds = st.integers(0, 2**31 - 1)


def class_counts_fit(drawn, pool):
    """Every class of `drawn` has its share of `pool`, give or take one."""
    shares = np.bincount(pool, minlength=10) * (len(drawn) / len(pool))
    return (np.abs(np.bincount(drawn, minlength=10) - shares) <= 1).all()


@pytest.mark.parametrize(("split", "sizes"), [
    (Split(), (54_000, 6_000, 10_000)),
    (Split(train_fraction=1 / 32), (1_687, 188, 10_000)),
    (Split(train_fraction=0.6, validation_fraction=0.0), (36_000, 0, 10_000)),
    (Split("merged", 0.75), (47_250, 5_250, 17_500)),
])  # fmt: skip
def test_part_sizes_of_mnist(split, sizes):
    found = part_sizes(MNIST, split)
    assert (found.train, found.validation, found.test) == sizes


@pytest.mark.parametrize(("split", "message"), [
    (Split(train_fraction=1e-6), "train_fraction 1e-06: of 3,000 examples none is left to train on"),
    (Split("merged", 1 - 1e-9), "of 3,500 examples none is left to test on"),
    (Split(train_fraction=0.001), "validation_fraction 0.1: of 3 training examples none is left to validate on"),
    (Split(train_fraction=0.001, validation_fraction=0.9), "of 3 training examples none is left to train on"),
])  # fmt: skip
def test_an_empty_part_is_refused_by_the_field_that_empties_it(split, message):
    with pytest.raises(ConfigurationError, match=message):
        part_sizes(SMALL, split)


@given(split=splits, seed=seeds)
def test_parts_have_the_sizes_of_the_plan_and_share_no_example(split, seed):
    parts, sizes = split_parts(LABELS, SMALL, split, seed), part_sizes(SMALL, split)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (sizes.train, sizes.validation, sizes.test)
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(np.unique(everything)) == len(everything)
    for part in (parts.train, parts.validation, parts.test):
        assert part.dtype == np.int32
        assert (np.diff(part) > 0).all()


@given(split=splits, seed=seeds)
def test_every_part_is_stratified_to_within_one_example(split, seed):
    parts = split_parts(LABELS, SMALL, split, seed)
    training = np.concatenate([parts.train, parts.validation])
    pool = LABELS[: SMALL.n_train] if split.protocol == "official" else LABELS
    assert class_counts_fit(LABELS[training], pool)
    if len(parts.validation):
        assert class_counts_fit(LABELS[parts.validation], LABELS[training])
    if split.protocol == "merged":
        assert class_counts_fit(LABELS[parts.test], pool)


def test_every_prefix_of_mnist_s_size_is_stratified():
    labels = labels_of(MNIST)
    for fraction in np.linspace(0.0005, 1, 40):
        train = split_parts(labels, MNIST, Split(train_fraction=fraction, validation_fraction=0.0), 0).train
        assert class_counts_fit(labels[train], labels[:60_000])


@given(fraction=st.floats(0.02, 1), seed=seeds)
def test_the_official_test_part_is_the_same_for_every_fraction_and_never_trains(fraction, seed):
    parts = split_parts(LABELS, SMALL, Split(train_fraction=fraction), seed)
    np.testing.assert_array_equal(parts.test, np.arange(3_000, 3_500))
    assert max(parts.train.max(), parts.validation.max()) < 3_000


@given(
    fractions=st.tuples(st.floats(0.02, 0.98), st.floats(0.02, 0.98)),
    protocol=st.sampled_from(["official", "merged"]),
    draws=st.tuples(seeds, seeds),
)
def test_a_smaller_training_part_lies_within_every_larger_one_whatever_the_seed(fractions, protocol, draws):
    small, large = (
        split_parts(LABELS, SMALL, Split(protocol, fraction), seed)
        for fraction, seed in zip(sorted(fractions), draws, strict=True)
    )
    small, large = (np.concatenate([parts.train, parts.validation]) for parts in (small, large))
    assert np.isin(small, large).all()


@given(split=splits, seed=seeds)
def test_the_same_seed_draws_the_same_validation_and_another_seed_another(split, seed):
    first, again = (split_parts(LABELS, SMALL, split, seed) for _ in range(2))
    other = split_parts(LABELS, SMALL, split, seed ^ 1)
    np.testing.assert_array_equal(first.validation, again.validation)
    np.testing.assert_array_equal(first.test, other.test)
    if len(first.validation) > 5:
        assert not np.array_equal(first.validation, other.validation)


def test_test_labels_have_no_say_in_the_official_training_part():
    poisoned = LABELS.copy()
    poisoned[SMALL.n_train :] = 0
    for name in ("train", "validation"):
        honest, other = (getattr(split_parts(y, SMALL, Split(train_fraction=0.5), 4), name) for y in (LABELS, poisoned))
        np.testing.assert_array_equal(honest, other)


def test_the_order_all_training_parts_are_cut_from_never_changes():
    labels = np.arange(MNIST.n_train + MNIST.n_test, dtype=np.uint8) % 10
    train = split_parts(labels, MNIST, Split(train_fraction=0.0002, validation_fraction=0.0), 0).train
    assert train.tolist() == [6428, 14039, 14183, 19515, 19700, 24817, 25622, 31777, 35089, 50010, 50282, 57282]


def test_labels_of_another_data_set_are_refused():
    with pytest.raises(ValueError, match="small has 3,500 labels; got 7"):
        split_parts(LABELS[:7], SMALL, Split(), 0)
