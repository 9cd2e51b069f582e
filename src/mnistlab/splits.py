"""Labels and a split in, indices out: who trains, who validates, who tests (rules M1 to M4 of docs/measurement.md).

Which examples belong to the training part is the same for every run; only the validation draw follows the seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistlab import seeds
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import InvalidFieldError
from mnistlab.spec import Split

_ORDER_SEED = 60_000  # of the one order all training parts are cut from; another value is another protocol


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Examples that train, validate and test."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Positions in `Dataset.images`, ascending, no example in two parts.

    Attributes
    ----------
    train, validation, test : int32 array (n,)
        `validation` is empty when the split asks for none.
    """

    train: NDArray[np.int32]
    validation: NDArray[np.int32]
    test: NDArray[np.int32]


def part_sizes(info: DatasetInfo, split: Split) -> PartSizes:
    """How many examples each part of `split` has.

    Raises
    ------
    InvalidFieldError
        A part that is needed would be empty.
    """
    pool = info.n_train if split.protocol == "official" else info.n_train + info.n_test
    training = round(split.train_fraction * pool)
    validation = round(split.validation_fraction * training)
    test = info.n_test if split.protocol == "official" else pool - training
    if not training or not test:
        empty = "train on" if not training else "test on"
        raise InvalidFieldError("train_fraction", split.train_fraction, f"of {pool:,} examples none is left to {empty}")
    if validation == training or (split.validation_fraction and not validation):
        empty = "validate on" if not validation else "train on"
        raise InvalidFieldError("validation_fraction", split.validation_fraction,
                                f"of {training:,} training examples none is left to {empty}")  # fmt: skip
    return PartSizes(training - validation, validation, test)


def split_parts(labels: NDArray[np.uint8], info: DatasetInfo, split: Split, seed: int) -> Parts:
    """Draw the parts of a run.

    Official: a fraction of the training examples, a smaller one within every larger one, and the whole test part.
    Merged: all examples in one fixed order, cut once. Validation is a stratified draw from the training side with the
    seed's `validation` stream: the same for every cell of this seed with as many training examples.

    Parameters
    ----------
    labels : uint8 array (n,)
        Of the whole data set, training examples first.
    info : DatasetInfo
    split : Split
    seed : int

    Raises
    ------
    InvalidFieldError
        A part that is needed would be empty.
    ValueError
        `labels` are not those of `info`.
    """
    if len(labels) != info.n_train + info.n_test:
        raise ValueError(f"{info.name} has {info.n_train + info.n_test:,} labels; got {len(labels):,}")
    sizes = part_sizes(info, split)
    pool = labels[: info.n_train] if split.protocol == "official" else labels
    # Raw bits, not a Generator's methods: NumPy promises to keep only the former for ever.
    order = _stratified_order(pool, np.random.PCG64(_ORDER_SEED).random_raw(len(pool)))
    training = np.sort(order[: sizes.train + sizes.validation])
    test = np.arange(info.n_train, len(labels)) if split.protocol == "official" else order[len(training) :]
    lots = seeds.stream(seed, "validation").random(len(training))
    drawn = training[_stratified_order(labels[training], lots)]
    train, validation = drawn[sizes.validation :], drawn[: sizes.validation]
    return Parts(*(np.sort(part).astype(np.int32) for part in (train, validation, test)))


def _stratified_order(labels: NDArray[np.uint8], lots: NDArray[np.generic]) -> NDArray[np.intp]:
    """An order of the examples, random within a class by their lots, whose every prefix is stratified.

    The k-th of a class's n examples stands at (k + 1/2) / n of the way, so a prefix holds of each class its share,
    give or take one where the classes are about equally large, as here.
    """
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members[np.argsort(lots[members], kind="stable")]] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((lots, place))
