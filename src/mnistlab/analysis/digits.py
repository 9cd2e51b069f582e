"""Single test digits: which a larger network solves, which flip with the seed, which nobody reads, what a vote makes of
them. Bits and predicted classes go in, frames come out, a row per digit, named by its place in the data set.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mnistlab.analysis.intervals import Replicates, crossed_interval, t_interval, wilson_interval
from mnistlab.analysis.results import LEVEL, collapse_threshold

_OF_A_BYTE = 255
N_MNIST_TRAIN, N_MNIST_TEST = 60_000, 10_000
DISPUTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
"""Official MNIST test digits, from 0, whose label people voted against.

C. G. Northcutt et al. (2021), Pervasive Label Errors in Test Sets, NeurIPS; their list at cleanlab/label-errors.
"""


def confusion_table(predicted: NDArray[np.integer], labels: NDArray[np.integer], n_classes: int) -> pd.DataFrame:
    """What the networks of a cell take each class for.

    Parameters
    ----------
    predicted : int array (n_networks, n_digits)
        At least one network.
    labels : int array (n_digits,)
    n_classes : int

    Returns
    -------
    DataFrame
        One row per pair of classes, by true class: true, predicted, digits (`Estimate` per network, kind "t": for new
        seeds on these digits), share (of the digits of the true class, NaN when there are none).
    """
    pairs = labels.astype(np.int64) * n_classes + predicted
    counts = np.stack([np.bincount(network, minlength=n_classes**2) for network in pairs])
    true, answered = np.divmod(np.arange(n_classes**2), n_classes)
    of_class = np.bincount(labels, minlength=n_classes)[true]
    means = counts.mean(axis=0)
    shares = np.divide(means, of_class, out=np.full(len(means), np.nan), where=of_class > 0)
    digits = [t_interval(counts[:, pair], level=LEVEL, limits=(0, float(of_class[pair]))) for pair in range(len(means))]
    return pd.DataFrame({"true": true, "predicted": answered, "digits": digits, "share": shares})


def solved_digits(
    along: Sequence[Replicates], sizes: Sequence[int], indices: NDArray[np.integer], labels: NDArray[np.integer]
) -> pd.DataFrame:
    """Digits that the small end of a knob gets wrong and its large end right: what width or depth solves.

    Parameters
    ----------
    along : sequence of Replicates
        Cells that differ in one knob alone, on the same digits.
    sizes : sequence of int
        The knob's value of each.
    indices, labels : int arrays (n_digits,)
        Place in the data set and true class of each digit.

    Returns
    -------
    DataFrame
        One row per digit, most surely solved first: index, label, right_small and right_large (shares of the networks
        at either end), solved (probability that a new small network errs and a new large one does not), lost (the
        other way round: chance alone makes it as likely as solved), solved_at (the smallest size from which on at
        least half of the networks of every size are right; NaN when there is none).

    Raises
    ------
    ValueError
        Fewer than two sizes, one size twice, or cells tested on different digits.
    """
    ordered = _by_size(along, sizes)
    right = np.stack([cell.correct.mean(axis=0) for _, cell in ordered])
    # From the large end down, as long as no size falls below a half.
    held = np.logical_and.accumulate(right[::-1] >= 0.5, axis=0).sum(axis=0)
    steps = np.array([*(float(size) for size, _ in reversed(ordered)), np.nan])
    small, large = right[0], right[-1]
    table = pd.DataFrame({"index": indices, "label": labels, "right_small": small, "right_large": large,
                          "solved": (1 - small) * large, "lost": small * (1 - large),
                          "solved_at": steps[held - 1]})  # fmt: skip
    return table.sort_values(["solved", "index"], ascending=[False, True], ignore_index=True)


def solved_counts(along: Sequence[Replicates], sizes: Sequence[int]) -> pd.DataFrame:
    """How many digits each step to a larger size solves and loses, paired by seed.

    Returns
    -------
    DataFrame
        One row per step: small, large (sizes), solved, lost, net (`Estimate` of digits a network, kind "t" over common
        seeds, for these digits). Two cells that differ by luck alone solve as many as they lose.

    Raises
    ------
    ValueError
        As in `solved_digits`.
    """
    rows = []
    ordered = _by_size(along, sizes)
    for (small, before), (large, after) in itertools.pairwise(ordered):
        common = [seed for seed in before.seeds if seed in after.seeds]
        old, new = (cell.correct[[cell.seeds.index(seed) for seed in common]] for cell in (before, after))
        solved, lost = (~old & new).sum(axis=1), (old & ~new).sum(axis=1)
        rows.append([small, large, *(t_interval(count, level=LEVEL) for count in (solved, lost, solved - lost))])
    return pd.DataFrame(rows, columns=["small", "large", "solved", "lost", "net"])


def flipped_digits(cell: Replicates, indices: NDArray[np.integer], labels: NDArray[np.integer]) -> pd.DataFrame:
    """Digits that some seeds of a cell get right and others wrong.

    Returns
    -------
    DataFrame
        One row per such digit, most undecided first: index, label, right (share of the networks), flips (share of
        pairs of its networks of which one is right and one wrong). `flips` sums up to the digits in which two networks
        of the cell differ.
    """
    n_seeds, right = len(cell.correct), cell.correct.sum(axis=0)
    flips = 2 * right * (n_seeds - right) / max(n_seeds * (n_seeds - 1), 1)
    table = pd.DataFrame({"index": indices, "label": labels, "right": right / n_seeds, "flips": flips})
    flipped = table[table["flips"] > 0]
    return flipped.sort_values(["flips", "index"], ascending=[False, True], ignore_index=True)


def hardest_digits(
    predicted: NDArray[np.integer], indices: NDArray[np.integer], labels: NDArray[np.integer]
) -> pd.DataFrame:
    """How often each digit is read wrongly, over the networks of all cells that trained (rule M12).

    Parameters
    ----------
    predicted : int array (n_networks, n_digits)
        Most probable class.
    indices, labels : int arrays (n_digits,)
        Place in the data set and true class of each digit.

    Returns
    -------
    DataFrame
        One row per digit, hardest first: index, label, networks, wrong (share of them), taken_for (their most common
        wrong answer, -1 when all are right).

    Raises
    ------
    ValueError
        No network has trained.
    """
    n_classes = int(max(labels.max(), predicted.max(initial=0))) + 1
    trained = predicted[(predicted == labels).mean(axis=1) >= collapse_threshold(n_classes)]
    if not len(trained):
        raise ValueError(f"at least one network that trained is needed; got {len(predicted)} networks")
    votes = _votes(trained, n_classes)
    right = votes[labels, np.arange(len(labels))]
    votes[labels, np.arange(len(labels))] = 0
    wrong = len(trained) - right
    table = pd.DataFrame({"index": indices, "label": labels, "networks": len(trained), "wrong": wrong / len(trained),
                          "taken_for": np.where(wrong > 0, votes.argmax(axis=0), -1)})  # fmt: skip
    return table.sort_values(["wrong", "index"], ascending=[False, True], ignore_index=True)


def disputed_labels(cells: Mapping[str, Replicates], dataset: str, indices: NDArray[np.integer]) -> pd.DataFrame:
    """Accuracy with and without the fifteen test digits whose label people dispute.

    Parameters
    ----------
    cells : mapping of str to Replicates
        By cell id, all on the official MNIST test digits.
    dataset : str
        Must be "mnist".
    indices : int array (10000,)
        Place of each test digit in the data set, training digits first.

    Returns
    -------
    DataFrame
        One row per cell: cell, accuracy (all digits), without (the fifteen left out; both kind "crossed"), change
        (without less accuracy; kind "t", on these digits), agreed (share of the fifteen labels that the networks give
        as MNIST does; kind "t").

    Raises
    ------
    ValueError
        Another data set, or other digits than the official test part.
    """
    official = np.arange(N_MNIST_TRAIN, N_MNIST_TRAIN + N_MNIST_TEST)
    if dataset != "mnist" or not np.array_equal(np.sort(indices), official):
        raise ValueError(f"the disputed labels are of mnist's official test part; got {len(indices)} of {dataset}")
    disputed = np.isin(indices, np.add(DISPUTED, N_MNIST_TRAIN))
    rows = []
    for cell, networks in cells.items():
        correct = networks.correct
        change = correct[:, ~disputed].mean(axis=1) - correct.mean(axis=1)
        rows.append([cell, crossed_interval(correct, level=LEVEL), crossed_interval(correct[:, ~disputed], level=LEVEL),
                     t_interval(change, level=LEVEL),
                     t_interval(correct[:, disputed].mean(axis=1), level=LEVEL, limits=(0, 1))])  # fmt: skip
    return pd.DataFrame(rows, columns=["cell", "accuracy", "without", "change", "agreed"])


def vote(predicted: NDArray[np.integer], validation_accuracy: ArrayLike) -> NDArray[np.intp]:
    """The class most networks give each digit; of equally many, the one that the best of their networks gives.

    Parameters
    ----------
    predicted : int array (n_networks, n_digits)
        At least one network.
    validation_accuracy : float array (n_networks,)
        Says which network is best, the first of equals; NaN is worst.

    Returns
    -------
    int array (n_digits,)
    """
    n_classes = int(predicted.max()) + 1
    votes = _votes(predicted, n_classes)
    chosen, most = votes.argmax(axis=0), votes.max(axis=0)
    tied = np.flatnonzero((votes == most).sum(axis=0) > 1)
    ranked = predicted[_best_first(validation_accuracy)[:, None], tied]
    first = np.stack([(ranked == c).argmax(axis=0) for c in range(n_classes)])
    chosen[tied] = np.where(votes[:, tied] == most[tied], first, len(predicted)).argmin(axis=0)
    return chosen


def vote_table(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    validation_accuracy: ArrayLike,
    best: Sequence[int] = (1, 5, 20),
) -> pd.DataFrame:
    """What networks reach by voting: the best few, chosen on validation digits alone (rule M3), and all of them.

    Parameters
    ----------
    predicted : int array (n_networks, n_digits)
    labels : int array (n_digits,)
    validation_accuracy : float array (n_networks,)
        NaN where there were no validation digits: never among the best.
    best : sequence of int
        Sizes of the committees; those larger than the number of networks that can be chosen are left out.

    Returns
    -------
    DataFrame
        One row per committee, all networks last: voters ("best 5", "all"), networks, accuracy (kind "wilson": of this
        committee, on new digits), mean_accuracy (of its members).

    Raises
    ------
    ValueError
        A committee of none.
    """
    if min(best, default=1) < 1:
        raise ValueError(f"a committee has at least 1 network; got {list(best)}")
    validated = np.asarray(validation_accuracy, dtype=float)
    order, choosable = _best_first(validated), int((~np.isnan(validated)).sum())
    committees = {f"best {k}": order[:k] for k in best if k <= choosable}
    right = (predicted == labels).mean(axis=1)
    rows = []
    for name, members in {**committees, "all": order}.items():
        hits = int((vote(predicted[members], validated[members]) == labels).sum())
        accuracy = wilson_interval(hits, len(labels), level=LEVEL)
        rows.append([name, len(members), accuracy, float(right[members].mean())])
    return pd.DataFrame(rows, columns=["voters", "networks", "accuracy", "mean_accuracy"])


def _by_size(along: Sequence[Replicates], sizes: Sequence[int]) -> list[tuple[int, Replicates]]:
    if len(along) != len(sizes) or len(set(sizes)) != len(sizes) or len(sizes) < 2:
        raise ValueError(f"one cell for each of at least 2 sizes is needed; got {len(along)} cells for {list(sizes)}")
    if len({cell.digits for cell in along}) > 1:
        raise ValueError("cells tested on different digits cannot be compared digit by digit")
    return sorted(zip(sizes, along, strict=True), key=lambda pair: pair[0])


def _best_first(validation_accuracy: ArrayLike) -> NDArray[np.intp]:
    return np.argsort(-np.asarray(validation_accuracy, dtype=float), kind="stable")


def _votes(predicted: NDArray[np.integer], n_classes: int) -> NDArray[np.int64]:
    """How many networks give each class (rows) to each digit (columns)."""
    votes = np.zeros((n_classes, predicted.shape[1]), np.int64)
    for start in range(0, len(predicted), _OF_A_BYTE):  # sums of bytes take a tenth of the time
        some = predicted[start : start + _OF_A_BYTE]
        for c in range(n_classes):
            votes[c] += (some == c).sum(axis=0, dtype=np.uint8)
    return votes
