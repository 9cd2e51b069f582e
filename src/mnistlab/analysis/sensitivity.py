"""Which knob makes the difference: shares of the variance of accuracy, and accuracy against each knob's values.

Frames as the store hands them out go in, a `Sensitivity` comes out. Seeds are the replicates and the noise floor: what
differs between two networks of one cell is nobody's effect.
"""

import math
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import helmert
from scipy.special import stdtrit

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import crossed_interval, t_interval
from mnistlab.analysis.results import LEVEL, collapse_threshold, tuned_knob
from mnistlab.spec import Architecture, Cell

_PER_LAYER = ("hidden_layer_sizes", "activations")
_SETTINGS = [name for name in Cell(Architecture((64,))).settings() if name not in _PER_LAYER]
_SHARE_COLUMNS = ["knobs", "share", "total"]
_EFFECT_COLUMNS = ["knob", "level", "accuracy", "cells"]
_ROUNDING = 1e-24  # the variance that float64 may leave of accuracies that are all alike

_ALIKE = 1e-7  # weights that a pseudo-inverse leaves of what is nothing
Floats = NDArray[np.float64]
Term = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sensitivity:
    """Where the variance of a study's test accuracies comes from (rule M16 of docs/measurement.md).

    Attributes
    ----------
    metric : str
        `accuracy`, on the test digits.
    method : str
        `anova`: exact shares of a full factorial; `permutation`: an additive model of anything else.
    conditional_on : str | None
        `depth`: the cells are a full factorial at each depth only, and the shares are of the variance within a depth.
    shares : DataFrame
        Largest share first. knobs: tuple of one name, or of two for their interaction; share: Estimate, a fraction of
        the variance of all networks; total: Estimate, the share with all interactions that hold these knobs
        (`permutation`: not known). No interactions by `permutation`, and no knob that always changes with another.
    higher_interactions : Estimate
        Of three or more knobs, together; `value` is None with fewer knobs and by `permutation`.
    seed_noise : Estimate
        The share of the networks' luck: the variance between seeds of one cell. `value` is None with one seed.
    residual : float | None
        What the shares leave of 1: higher interactions and seed noise; by `permutation` whatever an additive model
        cannot tell, and below 0 where knobs change together and so share a part of the variance. None when the networks
        do not differ, or there are none.
    effects : DataFrame
        One row per knob and level: knob, level (a number, a text, a truth value or None), accuracy (Estimate: mean over
        the cells at that level; by `permutation` adjusted for the other knobs, without a value where the cells cannot
        compare the level with most of its knob), cells (their number).
    cells, seeds, collapsed : int
        The cells with a network, the seeds that are done in all of them, and how many networks collapsed.
    left_out : int
        Cells with a collapsed network that are not among them: `permutation` does without.
    cell_ids, seed_numbers : tuple
        The cells and the seeds themselves.
    tuned_knob : str
        See `varying_knobs`; empty where nothing was tuned.
    """

    metric: Literal["accuracy"]
    method: Literal["anova", "permutation"]
    conditional_on: Literal["depth"] | None
    shares: pd.DataFrame
    higher_interactions: Estimate
    seed_noise: Estimate
    residual: float | None
    effects: pd.DataFrame
    cells: int
    seeds: int
    collapsed: int
    left_out: int = 0
    cell_ids: tuple[str, ...] = ()
    seed_numbers: tuple[int, ...] = ()
    tuned_knob: str = ""

    def __repr__(self) -> str:
        from mnistlab.formatting import REPR_WIDTH
        from mnistlab.wording import sensitivity_text

        return sensitivity_text(self, REPR_WIDTH)

    def _repr_html_(self) -> str:
        """What a notebook shows: how the shares were found, and their tables."""
        from mnistlab.wording import sensitivity_html

        return sensitivity_html(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Variances:
    """Variances summed over cells, each (1 + n_seeds,): by all seeds, then without each one; (1,) below three seeds.

    `own` of each term by itself, `above` of all terms that hold it, `between` of all cell means, `noise` of the seeds.
    """

    own: dict[Term, Floats]
    above: dict[Term, Floats]
    between: Floats
    noise: Floats


def sensitivity(cells: pd.DataFrame, runs: pd.DataFrame, *, level: float = LEVEL) -> Sensitivity:
    """Shares of the variance of test accuracy: of each knob, of each two together, of the seeds.

    Parameters
    ----------
    cells : DataFrame
        One row per cell: cell, n_classes and every setting.
    runs : DataFrame
        One row per run: cell, seed, status, test_accuracy, test_n, test_labels and, for intervals that hold for new
        digits, test_bits (uint8, packed). Only runs that are done count, and of these the seeds that every cell has.
    level : float, default=0.95
        Confidence level, a fraction in (0, 1). Out of range: ValueError.

    Returns
    -------
    Sensitivity
        Intervals of shares are of kind "jackknife" over seeds, for new seeds on these digits; none below three seeds.

    Notes
    -----
    Squares of estimated effects are too large by what seeds add to them. Here an effect is multiplied by itself in
    *another* seed, averaged over all pairs of seeds: that is unbiased whatever the noise of the cells and however the
    cells of a seed hang together. With one seed nothing can be corrected. What comes out below zero is shown as zero
    and the parts are scaled to sum to one. The `permutation` share is half the growth of an additive model's squared
    error when one knob is permuted, on average over all permutations: the variance of that knob's part of the model.

    References
    ----------
    R. A. Fisher (1925), Statistical Methods for Research Workers, for the decomposition; W. L. Hays (1963), Statistics
    for Psychologists, for the correction (omega squared); R. Liu and A. B. Owen (2006), J. Amer. Stat. Assoc. 101,
    712-721, for totals of interactions; J. W. Tukey (1958), Ann. Math. Stat. 29, 614, for the jackknife; L. Breiman
    (2001), Machine Learning 45, 5-32, for permutation. Rule M16 of docs/measurement.md.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a fraction between 0 and 1; got {level}")
    scores = _scores(runs[(runs["status"] == "done") & runs["cell"].isin(cells["cell"])])
    cells = cells[cells["cell"].isin(scores.index)]
    scores = scores.loc[cells["cell"]]
    knobs, accuracy = varying_knobs(cells), scores.to_numpy()
    grids, conditional_on = _factorials(knobs)
    method: Literal["anova", "permutation"] = "anova" if grids or knobs.empty else "permutation"
    names = [str(name) for name in knobs if name != conditional_on]
    collapsed = accuracy < np.array([[collapse_threshold(n)] for n in cells["n_classes"]]).reshape(-1, 1)
    if method == "permutation" and collapsed.any():
        # One such cell, spread over the knobs of an additive model, would bend the accuracy at every level of each.
        trained = sensitivity(cells.iloc[np.flatnonzero(~collapsed.any(axis=1))], runs, level=level)
        return replace(trained, collapsed=int(collapsed.sum()), left_out=int(collapsed.any(axis=1).sum()))
    found = _anova(accuracy, grids, len(names)) if method == "anova" else _additive(accuracy, knobs)
    shares, higher, noise, residual = _shares(found, names, level=level, n=accuracy.size, n_seeds=accuracy.shape[1])
    return Sensitivity(
        "accuracy", method, conditional_on, shares, higher, noise, residual,
        _effects(knobs, scores, runs, level), *accuracy.shape, int(collapsed.sum()),
        cell_ids=tuple(scores.index), seed_numbers=tuple(map(int, scores.columns)),
        tuned_knob=tuned_knob(cells),
    )  # fmt: skip


def varying_knobs(cells: pd.DataFrame) -> pd.DataFrame:
    """The settings in which cells differ: a row per cell (its id the index), a column per knob.

    `width` and `activation` are those of all layers, or a text such as `256-128-64` where layers differ; `depth` is the
    number of layers. Every other setting has its own name; a missing value is None, a pipeline of features a text. A
    knob that was tuned for every cell by itself is not among them.
    """
    tuned = tuned_knob(cells)
    columns = {
        "width": [_shared(sizes) for sizes in cells["hidden_layer_sizes"]],
        "depth": [len(sizes) for sizes in cells["hidden_layer_sizes"]],
        "activation": [_shared(names) for names in cells["activations"]],
        **{name: [_level(value) for value in cells[name]] for name in _SETTINGS if name != tuned},
    }
    table = pd.DataFrame(columns, index=list(cells["cell"]), dtype=object)
    return table[[name for name, values in columns.items() if len(set(values)) > 1]]


def _shared(values: list[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else "-".join(map(str, values))


def _level(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return None if pd.isna(value) else value


def _scores(done: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by cell and seed, of the cells with any network and the seeds that all of these cells have."""
    table = done.pivot(index="cell", columns="seed", values="test_accuracy").astype(float)
    common = table.dropna(axis="columns")
    return common if len(common.columns) else common.iloc[:0]


def _coded(column: pd.Series) -> tuple[list[Any], NDArray[np.intp]]:
    """The levels in their order, and which of them each cell has."""
    levels = sorted(set(column), key=lambda value: (value is not None, isinstance(value, str), value))
    place = {value: position for position, value in enumerate(levels)}
    return levels, np.array([place[value] for value in column], dtype=np.intp)


def _factorials(knobs: pd.DataFrame) -> tuple[list[NDArray[np.intp]], Literal["depth"] | None]:
    """The full factorial that the cells are, or the one at each depth, as rows of cells; none if they are neither."""
    if (grid := _grid(knobs, np.arange(len(knobs)))) is not None:
        return [grid], None
    if "depth" in knobs:
        depths, others = _coded(knobs["depth"])[1], knobs.drop(columns="depth")
        grids = [_grid(others, np.flatnonzero(depths == depth)) for depth in range(depths.max() + 1)]
        full = [grid for grid in grids if grid is not None and grid.size > 1]
        if len(full) == len(grids):
            return full, "depth"
    return [], None


def _grid(knobs: pd.DataFrame, rows: NDArray[np.intp]) -> NDArray[np.intp] | None:
    coded = [_coded(knobs[name].iloc[rows]) for name in knobs]
    shape = [len(levels) for levels, _ in coded]
    if not shape or math.prod(shape) != len(rows):
        return None
    grid = np.full(shape, -1, dtype=np.intp)
    grid[tuple(codes for _, codes in coded)] = rows
    return None if (grid < 0).any() else grid


def _anova(accuracy: Floats, grids: list[NDArray[np.intp]], n_knobs: int) -> _Variances:
    """The exact decomposition of full factorials (cells, seeds), summed over them."""
    contrasts = [_contrasts(accuracy[grid]) for grid in grids]
    terms = [*combinations(range(n_knobs), 1), *combinations(range(n_knobs), 2)]
    own, above = (
        {term: np.sum([_between(_block(each, term, others)) for each in contrasts], axis=0) for term in terms}
        for others in (slice(0, 1), slice(None))
    )
    between = np.sum([_between(each.reshape(-1, each.shape[-1])[1:]) for each in contrasts], axis=0)
    return _Variances(own, above, between, _noise(accuracy))


def _contrasts(grid: Floats) -> Floats:
    """Orthonormal coordinates along every axis but the last: first the mean, then what differs between levels."""
    for axis, n_levels in enumerate(grid.shape[:-1]):
        grid = np.moveaxis(np.tensordot(helmert(n_levels, full=True), grid, (1, axis)), 0, axis)
    return grid


def _block(contrasts: Floats, term: Term, others: slice) -> Floats:
    """What differs between levels of the term's knobs; of the other knobs the mean alone, or everything."""
    chosen = tuple(slice(1, None) if axis in term else others for axis in range(contrasts.ndim - 1))
    return contrasts[chosen].reshape(-1, contrasts.shape[-1])


def _additive(accuracy: Floats, knobs: pd.DataFrame) -> _Variances:
    """The variance of each knob's part of an additive least-squares model; interactions are not modelled.

    Levels that cannot be compared have no part, and a knob without others is left out: what they bring stays with what
    the model cannot tell.
    """
    parts: dict[Term, Floats] = {}
    model = _additive_model(knobs)
    for position, ((codes, _), (kept, weights, _)) in enumerate(zip(model, _comparable(model), strict=True)):
        if kept.any():
            parts[(position,)] = _between((weights @ accuracy)[codes])
    return _Variances(parts, {}, _between(accuracy - accuracy.mean(axis=0)), _noise(accuracy))


def _additive_model(knobs: pd.DataFrame) -> list[tuple[NDArray[np.intp], Floats]]:
    """For each knob the level of each cell, and how accuracies make its effects: (n_levels, n_cells), mean zero."""
    coded = [_coded(knobs[name]) for name in knobs]
    columns = [np.eye(len(levels))[codes] for levels, codes in coded]
    solution = np.linalg.pinv(np.hstack([np.ones((len(knobs), 1)), *columns]))
    ends = np.cumsum([1, *(len(levels) for levels, _ in coded)])
    effects = [solution[begin:end] for begin, end in pairwise(ends)]
    return [(codes, weights - weights[codes].mean(axis=0)) for (_, codes), weights in zip(coded, effects, strict=True)]


def _between(rows: Floats) -> Floats:
    """Squared length of the mean row vector, free of seed noise: (n, n_seeds) → as in `_Variances`."""
    n_seeds, squares, total = rows.shape[1], np.square(rows).sum(axis=0), rows.sum(axis=1)
    if n_seeds < 2:
        return squares
    products = total @ total - squares.sum()  # of different seeds only
    if n_seeds == 2:
        return np.array([products / 2])
    without = products - 2 * (total @ rows - squares)
    return np.array([products / (n_seeds * (n_seeds - 1)), *(without / ((n_seeds - 1) * (n_seeds - 2)))])


def _noise(accuracy: Floats) -> Floats:
    """Variance between the seeds of a cell, summed over cells: (n_cells, n_seeds) → as in `_Variances`."""
    n_seeds = accuracy.shape[1]
    if n_seeds < 2:
        return np.zeros(n_seeds)
    squares = np.square(accuracy - accuracy.mean(axis=1, keepdims=True)).sum(axis=0)
    if n_seeds == 2:
        return np.array([squares.sum()])
    without = squares.sum() - squares * n_seeds / (n_seeds - 1)
    return np.array([squares.sum() / (n_seeds - 1), *(without / (n_seeds - 2))])


def _shares(
    found: _Variances, names: list[str], *, level: float, n: int, n_seeds: int
) -> tuple[pd.DataFrame, Estimate, Estimate, float | None]:
    """Shares and totals of each term, of higher interactions together, of the seeds; what the terms leave of 1."""
    unknown = Estimate(None, level=level, n=n, kind="jackknife")
    total = found.between + found.noise
    if not n or total[0] <= _ROUNDING * n:
        return pd.DataFrame(columns=_SHARE_COLUMNS), unknown, unknown, None
    higher = found.between - np.sum(list(found.own.values()), axis=0)
    shown = {term: max(own[0], 0.0) for term, own in found.own.items()}
    whole = math.fsum([*shown.values(), max(higher[0], 0.0), found.noise[0]]) if found.above else total[0]

    def share(part: float, variances: Floats) -> Estimate:
        replicates = np.divide(variances, total, out=np.zeros_like(total), where=total > 0)[1:]
        return _jackknife(part / whole, replicates, level=level, n=n)

    rows = []
    for term, own in found.own.items():
        every = unknown
        if found.above:
            holding = [other for other in found.own if set(term) <= set(other)]
            rest = found.above[term] - np.sum([found.own[other] for other in holding], axis=0)
            every = share(sum(shown[other] for other in holding) + max(rest[0], 0.0), found.above[term])
        rows.append((tuple(names[axis] for axis in term), share(shown[term], own), every))
    rows.sort(key=lambda row: row[1].value or 0.0, reverse=True)
    return (
        pd.DataFrame(rows, columns=_SHARE_COLUMNS),
        share(max(higher[0], 0.0), higher) if found.above and len(names) > 2 else unknown,
        share(found.noise[0], found.noise) if n_seeds > 1 else unknown,
        1 - math.fsum(row[1].value or 0.0 for row in rows),
    )


def _jackknife(shown: float, replicates: Floats, *, level: float, n: int) -> Estimate:
    n_seeds = len(replicates)
    if not n_seeds:
        return Estimate(float(shown), level=level, n=n, kind="jackknife")
    error = math.sqrt((n_seeds - 1) * replicates.var())
    half = float(stdtrit(n_seeds - 1, (1 + level) / 2)) * error
    low, high = max(shown - half, 0.0), max(min(shown + half, 1.0), shown)
    return Estimate(float(shown), float(low), float(high), level, n, "jackknife")


def _effects(knobs: pd.DataFrame, scores: pd.DataFrame, runs: pd.DataFrame, level: float) -> pd.DataFrame:
    """Mean accuracy at each level of each knob; on a full factorial the additive model's is the plain mean."""
    if knobs.empty or scores.empty:
        return pd.DataFrame(columns=_EFFECT_COLUMNS)
    model = _additive_model(knobs)
    comparable = _comparable(model)
    told = np.concatenate([kept for kept, *_ in comparable])
    weights = np.vstack([effects + mean for _, effects, mean in comparable])
    labels = [(name, value) for name in knobs for value in _coded(knobs[name])[0]]
    counts = np.concatenate([np.bincount(codes) for codes, _ in model])
    unknown = Estimate(None, level=level, kind="crossed")
    means = [unknown] * len(told)
    for place, mean in zip(np.flatnonzero(told), _means(weights[told], scores, runs, level), strict=True):
        means[place] = mean
    rows = [
        (*label, replace(mean, n=int(n) * scores.shape[1]), int(n))
        for label, mean, n in zip(labels, means, counts, strict=True)
    ]
    # Of levels that are all numbers a frame would make floats: 16.0 nodes.
    return pd.DataFrame(rows, columns=_EFFECT_COLUMNS, dtype=object).astype({"cells": int})


def _comparable(model: list[tuple[NDArray[np.intp], Floats]]) -> list[tuple[NDArray[np.bool_], Floats, Floats]]:
    """Of each knob the levels that the cells can compare with each other, how accuracies make their effects, a mean.

    Six orders of activations at three layers, and three layers nowhere else: what is the order's, what the depth's?
    Such a level has many accuracies that fit the cells equally well, among them some above 100 %. A knob's levels are
    centred on the cells at those that can be compared (the mean, (n_cells,), is of these); of a full factorial these
    are all. The effects of others are zero.
    """
    levels = [np.eye(len(weights))[codes] for codes, weights in model]
    found = []
    for (codes, weights), own in zip(model, levels, strict=True):
        # What a level's weights make of all effects, its own set aside: differences of two levels must not hold any.
        rest = np.hstack([weights @ other - (np.eye(len(weights)) if other is own else 0) for other in levels])
        alike = (np.abs(rest[:, None] - rest).max(axis=-1) < _ALIKE).argmax(axis=1)  # the first level it is like
        sizes = np.bincount(alike, np.bincount(codes)) * (np.bincount(alike) > 1)  # in cells; a level alone is no pair
        kept = (alike == sizes.argmax()) & (sizes.max() > 0)
        inside = kept[codes] / max(kept[codes].sum(), 1)
        found.append((kept, np.where(kept[:, None], weights - inside @ own @ weights, 0), inside))
    return found


def _means(weights: Floats, scores: pd.DataFrame, runs: pd.DataFrame, level: float) -> list[Estimate]:
    """Weighted means over cells, for new seeds on new digits where all networks were tested on the same ones."""
    used = runs[(runs["status"] == "done") & runs["cell"].isin(scores.index) & runs["seed"].isin(scores.columns)]
    if "test_bits" not in used or used["test_labels"].nunique() != 1:
        return [t_interval(values, level=level, limits=(0, 1)) for values in weights @ scores.to_numpy()]
    n_digits, by_seed = int(used["test_n"].iloc[0]), []
    for _, of_seed in used.groupby("seed"):
        packed = np.stack(list(of_seed.set_index("cell")["test_bits"].loc[scores.index]))
        by_seed.append(weights @ np.unpackbits(packed, axis=1, count=n_digits).astype(float))
    return [_mean_of_cells(digits, level) for digits in np.stack(by_seed, axis=1)]


def _mean_of_cells(digits: Floats, level: float) -> Estimate:
    """Of a weighted mean (n_seeds, n_digits); unknown where an additive model leaves what accuracies there are."""
    mean = float(digits.mean())
    if not -_ALIKE <= mean <= 1 + _ALIKE:
        return Estimate(None, level=level, kind="crossed")
    if len(digits) == 1:  # Wilson's is of one network, not of a mean of many
        return Estimate(mean, level=level, kind="crossed")
    return crossed_interval(digits, level=level)
