"""What more training digits buy, and what more test digits measure: two prices, kept apart (rules M10 and M17).

Frames as the store hands them out and arrays go in, frames and small values come out. The two protocols are different
questions, so cells of different protocols are never of one family and never in one law.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import stdtrit

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import t_interval, wilson_interval
from mnistlab.analysis.results import collapse_threshold, tuned_knob
from mnistlab.spec import Architecture, Cell

LEVEL = 0.95
MIN_SIZES = 4
"""Training sizes a law of three parameters needs, so that its misfit can be seen."""
PURPOSES = {"accurate": "expected_error", "measured": "half_width", "both": "vouched_error"}
"""What is wanted of a split, and the column of `split_options` that is smallest there."""

_SETTINGS = [name for name in Cell(Architecture((64,))).settings() if name != "train_fraction"]
_LARGEST_EXPONENT = 3.0  # far beyond any learning curve: keeps the search from running away where the errors jump


@dataclass(frozen=True, slots=True, eq=False)
class SplitLaw:
    """error = asymptote + removable * (n_train / present) ** -exponent, fitted to mean errors at several sizes.

    Attributes
    ----------
    n_train : float64 array (n_sizes,)
        Ascending; the last is the present size.
    parameters : float64 array (3,)
        Asymptote, removable (what more digits could still take off at the present size; both are fractions), exponent.
        None is below 0.
    covariance : float64 array (3, 3)
        Of `parameters`.
    spread : float
        Standard deviation of the logarithms of mean errors about the law: how far, relatively, a size lies off it.
    determined : bool
        Whether the sizes fix every parameter; flat errors leave the exponent open.
    """

    n_train: NDArray[np.float64]
    parameters: NDArray[np.float64]
    covariance: NDArray[np.float64]
    spread: float
    determined: bool

    def error(self, n_train: ArrayLike) -> NDArray[np.float64]:
        """Expected error, a fraction, of networks trained on so many digits."""
        return _law(self.parameters, np.asarray(n_train) / self.n_train[-1])

    def slope(self, n_train: ArrayLike) -> NDArray[np.float64]:
        """Derivatives (n, 3) of the error with respect to the parameters."""
        return _slope(self.parameters, np.asarray(n_train) / self.n_train[-1])

    def half_width(self, variance: ArrayLike) -> NDArray[np.float64]:
        """Half of Student's interval of that variance; df are the sizes left over by three parameters."""
        return np.asarray(stdtrit(len(self.n_train) - 3, (1 + LEVEL) / 2) * np.sqrt(variance))


def fit_law(n_train: ArrayLike, error: ArrayLike) -> SplitLaw:
    """Fit the power law to one mean error per training size, by least squares of logarithms.

    Logarithms, because the spread of an error is about proportional to it. Means and not runs, because all seeds of a
    size share its training digits: they are no independent witnesses of the law.

    Parameters
    ----------
    n_train : int array (n_sizes,)
        Digits trained on, at least four different numbers.
    error : float array (n_sizes,)
        Mean error of the networks trained on so many, in (0, 1].

    Raises
    ------
    ValueError
        Fewer than four sizes, a size twice, or an error of 0 or above 1.

    References
    ----------
    C. Cortes et al. (1994), NIPS 6, 327-334, for the law; covariance by the delta method. Rule M17 of
    docs/measurement.md.
    """
    sizes, errors = np.asarray(n_train, dtype=float), np.asarray(error, dtype=float)
    if sizes.shape != errors.shape or len(np.unique(sizes)) != sizes.size or sizes.size < MIN_SIZES:
        raise ValueError(f"one error for each of at least {MIN_SIZES} different sizes is needed; got {sizes.tolist()}")
    if not ((errors > 0) & (errors <= 1)).all() or sizes.min() <= 0:
        raise ValueError(f"sizes and errors must be above 0, errors at most 1; got {sizes.tolist()}, {errors.tolist()}")
    order = np.argsort(sizes)
    sizes, errors = sizes[order], errors[order]
    relative, start = sizes / sizes[-1], np.array([errors[-1] / 2, errors[-1] / 2, 0.5])
    found = least_squares(
        lambda parameters: np.log(_law(parameters, relative) / errors),
        x0=start,
        jac=lambda parameters: _slope(parameters, relative) / _law(parameters, relative)[:, None],
        bounds=([0.0, 0.0, 0.0], [1.0, 1.0, _LARGEST_EXPONENT]),
        x_scale=start,
    )
    variance = 2 * found.cost / (sizes.size - 3)
    covariance = variance * np.linalg.pinv(found.jac.T @ found.jac, hermitian=True)
    determined = bool(np.linalg.matrix_rank(found.jac * start, tol=1e-6) == 3)
    return SplitLaw(sizes, found.x, covariance, math.sqrt(variance), determined)


def _law(parameters: NDArray[np.float64], relative: NDArray[np.float64]) -> NDArray[np.float64]:
    asymptote, removable, exponent = parameters
    return np.asarray(asymptote + removable * relative**-exponent)


def _slope(parameters: NDArray[np.float64], relative: NDArray[np.float64]) -> NDArray[np.float64]:
    _, removable, exponent = parameters
    power = relative**-exponent
    return np.stack([np.ones_like(power), power, -removable * power * np.log(relative)], axis=-1)


def predicted_error(law: SplitLaw, n_train: float) -> Estimate:
    """Mean error, on the same test digits, of as many networks as the law's sizes had, at a size not yet tried.

    Kind "prediction": the uncertainty of the law and the spread of sizes about it.
    """
    value, slope = float(law.error(n_train)), law.slope(n_train)
    half = float(law.half_width(slope @ law.covariance @ slope / value**2 + law.spread**2))
    # On the logarithm, so the ends are factors; an error has nowhere to go above 1.
    high = math.exp(min(math.log(value) + half, 0.0))
    return Estimate(value, value * math.exp(-half), high, LEVEL, len(law.n_train), "prediction")


def gain(law: SplitLaw, more: float = 1000) -> Estimate:
    """Error that `more` training digits take off at the present size, a fraction; kind "delta".

    An interval that holds 0 does not show that they would buy anything.
    """
    sizes = law.n_train[-1] + np.array([more, 0.0])
    value, slope = float(np.diff(law.error(sizes))[0]), np.diff(law.slope(sizes), axis=0)[0]
    half = float(law.half_width(slope @ law.covariance @ slope))
    return Estimate(value, value - half, value + half, LEVEL, len(law.n_train), "delta")


def split_table(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The cells that differ in their train fraction alone, family by family, with what their networks reached.

    Parameters
    ----------
    cells : DataFrame
        One row per cell: cell, label, n_classes, n_train, n_validation, n_test and every setting.
    runs : DataFrame
        One row per run: run, cell, status, test_accuracy, validation_accuracy.

    Returns
    -------
    DataFrame
        One row per cell with finished networks, by family and size: family (label of its largest training part),
        protocol, cell, label, train_fraction, n_train, n_test, collapsed (left out of every mean), error (kind "t",
        over seeds on these digits), validation_accuracy (kind "corrected"), runs (ids). Families with one size only
        are left out.
    """
    columns = ["family", "protocol", "cell", "label", "train_fraction", "n_train", "n_test", "collapsed", "runs",
               "error", "validation_accuracy"]  # fmt: skip
    done = runs[runs["status"] == "done"]
    trained = cells[cells["cell"].isin(done["cell"])].sort_values("n_train", kind="stable")
    settings = trained[[name for name in _SETTINGS if name != tuned_knob(cells)]]
    keys = pd.Series([str(own) for own in settings.to_numpy().tolist()], trained.index, dtype=str)
    rows = [
        {"family": family["label"].iloc[-1], **_split_row(cell, done[done["cell"] == cell["cell"]])}
        for _, family in trained.groupby(keys, sort=False)
        if family["n_train"].nunique() > 1
        for cell in family.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=columns)


def _split_row(cell: dict[Hashable, Any], own: pd.DataFrame) -> dict[Hashable, Any]:
    kept = own[own["test_accuracy"] >= collapse_threshold(cell["n_classes"])]
    error = t_interval(1 - kept["test_accuracy"], level=LEVEL, limits=(0, 1))
    validated = corrected_interval(kept["validation_accuracy"], cell["n_train"], cell["n_validation"])
    return {**cell, "collapsed": len(own) - len(kept), "runs": tuple(kept["run"]), "error": error,
            "validation_accuracy": validated}  # fmt: skip


def split_laws(table: pd.DataFrame) -> pd.DataFrame:
    """The law of every family of `split_table` with at least four sizes whose networks err.

    Returns
    -------
    DataFrame
        One row per family: family, protocol ("merged" errors are of writers seen in training and not to be compared
        with "official" ones), sizes, networks, asymptote, removable, exponent (of error = asymptote + removable *
        (n / present) ** -exponent; no ends where the sizes leave them open), present (the largest n_train), gain
        (error, a fraction, that 1,000 more training digits take off there), law (`SplitLaw`).
    """
    columns = ["family", "protocol", "sizes", "networks", "asymptote", "removable", "exponent", "present", "gain",
               "law"]  # fmt: skip
    rows = []
    for (family, protocol), cells in table.groupby(["family", "protocol"], sort=False):
        erring = cells[[bool(error.value) for error in cells["error"]]]
        if len(erring) >= MIN_SIZES:
            law = fit_law(erring["n_train"], [error.value for error in erring["error"]])
            networks = sum(error.n for error in erring["error"])
            present = int(law.n_train[-1])
            rows.append([family, protocol, len(erring), networks, *_parameters(law), present, gain(law), law])
    return pd.DataFrame(rows, columns=columns)


def _parameters(law: SplitLaw) -> list[Estimate]:
    n, half = len(law.n_train), law.half_width(np.diag(law.covariance))
    if not law.determined:
        return [Estimate(float(value), level=LEVEL, n=n, kind="delta") for value in law.parameters]
    ends = zip(law.parameters, np.maximum(law.parameters - half, 0), law.parameters + half, strict=True)
    return [Estimate(float(value), float(low), float(high), LEVEL, n, "delta") for value, low, high in ends]


def corrected_interval(values: ArrayLike, n_train: int, n_test: int) -> Estimate:
    """Mean over networks each trained on its own random part of the same digits and tested on another such part.

    The parts overlap, so the values vary less than those of fresh digits would: n_test / n_train is added to the
    1 / n of Student's variance. This is how validation accuracies arise, which draw their digits anew with every seed.

    Parameters
    ----------
    values : float array (n_networks,)
        NaN where nothing was measured, and then not counted.
    n_train, n_test : int
        Digits each network was trained on and tested on.

    Returns
    -------
    Estimate
        Kind "corrected". `value` is None without any number, `low` and `high` with fewer than two.

    References
    ----------
    C. Nadeau and Y. Bengio (2003), Machine Learning 52, 239-281. Rule M10 of docs/measurement.md.
    """
    if n_train < 1 or n_test < 0:
        raise ValueError(f"n_train must be at least 1 and n_test at least 0; got {n_train} and {n_test}")
    plain = t_interval(values, level=LEVEL)
    if plain.value is None or plain.high is None:
        return replace(plain, kind="corrected")
    half = (plain.high - plain.value) * math.sqrt(1 + plain.n * n_test / n_train)
    return replace(plain, low=plain.value - half, high=plain.value + half, kind="corrected")


def half_width(accuracy: float, n_test: int) -> float:
    """Half of Wilson's interval about the accuracy of one network tested on so many digits (rule M5)."""
    measured = wilson_interval(round(accuracy * n_test), n_test, level=LEVEL)
    return ((measured.high or 0.0) - (measured.low or 0.0)) / 2


def precision_table(correct: ArrayLike, n_test: Sequence[int]) -> pd.DataFrame:
    """How precisely test sets of other sizes would measure the accuracy of a cell.

    Parameters
    ----------
    correct : bool array (n_seeds, n_digits)
        Which digits the cell's networks classified right.
    n_test : sequence of int
        Sizes to ask about, at least 2.

    Returns
    -------
    DataFrame
        One row per size: n_test, half_width of the interval of rule M6 (a fraction; with one seed of Wilson's),
        digits_share: the part of its variance that shrinks as 1 / n_test. The rest is the seeds', and no test digit
        removes it.
    """
    bits, sizes = np.asarray(correct, dtype=bool), np.asarray(n_test, dtype=float)
    if bits.ndim != 2 or min(bits.shape[1], *n_test, 2) < 2:
        raise ValueError(f"bits (n_seeds, n_digits) and sizes of at least 2 are needed; got {bits.shape} and {n_test}")
    if len(bits) == 1 or bits.all():
        halves = [half_width(bits.mean(), size) for size in n_test]
        return pd.DataFrame({"n_test": n_test, "half_width": halves, "digits_share": 1.0})
    (n_seeds, n_digits), seed_means, digit_means = bits.shape, bits.mean(axis=1), bits.mean(axis=0)
    residual = bits - seed_means[:, None] - digit_means + bits.mean()
    of_both = np.square(residual).sum() / ((n_seeds - 1) * (n_digits - 1) * n_seeds) / sizes
    # What seeds alone give: their means, less what these very digits put into them.
    of_seeds = max(seed_means.var(ddof=1) / n_seeds - (of_both * sizes / n_digits)[0], 0.0)
    of_digits = digit_means.var(ddof=1) / sizes
    variance = of_seeds + of_digits
    df = variance**2 / ((of_seeds + of_both) ** 2 / (n_seeds - 1) + of_digits**2 / (sizes - 1))
    halves = stdtrit(df, (1 + LEVEL) / 2) * np.sqrt(variance)
    return pd.DataFrame({"n_test": n_test, "half_width": halves, "digits_share": of_digits / variance})


def split_options(law: SplitLaw, n_examples: int, *, validation_fraction: float = 0.1) -> pd.DataFrame:
    """What every way to part labelled examples into training and test digits would give.

    Parameters
    ----------
    law : SplitLaw
    n_examples : int
        Labelled examples to part, at least 100.
    validation_fraction : float, default=0.1
        Of the training side, not trained on.

    Returns
    -------
    DataFrame
        One row per train fraction 0.01, 0.02 … 0.99: train_fraction, n_train (trained on), n_test, error of a network
        so trained (kind "prediction"), expected_error (its value), half_width of the interval that so many test digits
        would give it (an accuracy below 1/2 taken as 1/2), vouched_error (expected_error + half_width: what can be
        vouched for), extrapolated (whether n_train lies outside the sizes of the law).
    """
    if n_examples < 100 or not 0 <= validation_fraction < 1:
        raise ValueError(
            f"at least 100 examples, validation below 1 are needed; got {n_examples}, {validation_fraction}"
        )
    table = pd.DataFrame({"train_fraction": np.arange(1, 100) / 100})
    side = (table["train_fraction"] * n_examples).round().astype(int)
    table["n_train"] = side - (side * validation_fraction).round().astype(int)
    table["n_test"] = n_examples - side
    table["error"] = pd.Series([predicted_error(law, n) for n in table["n_train"]], dtype=object)
    table["expected_error"] = np.minimum(law.error(table["n_train"]), 1.0)
    # Wrong nearly always is known as precisely as right nearly always; that is not what is wanted of a test set.
    accuracy = np.maximum(1 - table["expected_error"], 0.5)
    table["half_width"] = list(map(half_width, accuracy, table["n_test"]))
    table["vouched_error"] = table["expected_error"] + table["half_width"]
    table["extrapolated"] = ~table["n_train"].between(law.n_train[0], law.n_train[-1])
    return table


def recommend_split(options: pd.DataFrame, purpose: str) -> "pd.Series[Any]":
    """The row of `split_options` that serves a purpose best.

    "accurate" wants the smallest expected error: the law never asks for fewer training digits, so this is the largest
    train fraction, and `half_width` says what it leaves unknown. "measured" wants the narrowest interval about
    the error of the network. "both" wants the smallest error that can be vouched for: expected error and half width
    together.

    Raises
    ------
    ValueError
        The purpose is none of these.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}; got {purpose!r}")
    return options.iloc[int(options[PURPOSES[purpose]].argmin())]
