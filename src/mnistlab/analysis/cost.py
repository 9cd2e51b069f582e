"""What a network costs: where its time goes, what accuracy is to be had at which cost, and what a step's time follows.

Frames as the store and `results_table` hand them out go in, frames come out. Rules M3, M18, M19 and M20 of
docs/measurement.md: seconds of different environments are never pooled, what was not measured stays empty.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import stdtrit

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import t_interval

LEVEL = 0.95
PARTS = ("import", "data", "compile", "steps", "evaluation", "idle")
COSTS = ("parameters", "flops", "seconds", "parameter_bytes", "peak_bytes", "joules")

_LEDGER = ("cell", "networks", "timing", "environment", "wall_seconds",
           *(f"{part}_{of}" for part in PARTS for of in ("seconds", "share")))  # fmt: skip
_LAW = ("framework", "environment", "probes", "overhead_seconds", "seconds_per_layer", "flops_per_second",
        "typical_error")  # fmt: skip
_TOLD = ("law_seconds", "overhead_share", "ruled_by")
_ACCURACIES = ("cell", "label", "framework", "dataset", "protocol", "accuracy", "validation_accuracy")
_TERMS = 3


@dataclass(frozen=True, slots=True, eq=False)
class TimeLaw:
    """The law behind a training step's seconds, and what it says of each step that was measured.

    Attributes
    ----------
    laws : DataFrame
        A row per framework and environment: framework, environment, probes, overhead_seconds (of any step),
        seconds_per_layer (hidden), flops_per_second: Estimates; typical_error (root mean square of the relative
        errors).
    steps : DataFrame
        A row per architecture, in the order of measuring: architecture_key, framework, environment, width (of the first
        hidden layer), depth, batch_size, flops_per_step, seconds_per_step (measured), law_seconds, overhead_share:
        Estimate, ruled_by: "overhead" or "arithmetic" where the interval of the share lies on one side of a half, else
        "undecided".
    """

    laws: pd.DataFrame
    steps: pd.DataFrame


def ledger_table(runs: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Where the wall clock of each cell's runs went (rule M18).

    Parameters
    ----------
    runs : DataFrame
        Of the store: cell, status, members, environment and the seconds of the ledger. Runs that are done count; where
        several environments trained a cell, those of the one with most runs.
    level : float, default=0.95

    Returns
    -------
    DataFrame
        A row per cell, in the order of `runs`: cell, networks, timing ("packed" or "alone"), environment, wall_seconds:
        Estimate, and for import, data, compile, steps, evaluation and idle `…_seconds`: Estimate (t over runs), and
        `…_share` of the wall clock: Estimate (jackknife; seconds over seconds, not a mean of shares).
    """
    rows = []
    for cell, own in runs[runs["status"] == "done"].groupby("cell", sort=False):
        own = own[own["environment"].isin(own["environment"].mode().head(1))]
        seconds = own[[f"{part}_seconds" for part in PARTS]].astype(float)
        wall = seconds.sum(axis=1, skipna=False)
        row = {"cell": cell, "networks": len(own), "timing": "packed" if (own["members"] > 1).any() else "alone",
               "environment": own["environment"].iloc[0],
               "wall_seconds": t_interval(wall, level=level, limits=(0, np.inf))}  # fmt: skip
        shares = _shares(seconds.to_numpy(), wall.to_numpy(), level)
        for part, share in zip(PARTS, shares, strict=True):
            row[f"{part}_seconds"] = t_interval(seconds[f"{part}_seconds"], level=level, limits=(0, np.inf))
            row[f"{part}_share"] = share
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_LEDGER))


def accuracy_costs(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy against each cost of a cell's whole training.

    Parameters
    ----------
    results : DataFrame
        `ResultsTable.rows` of `results_table`.

    Returns
    -------
    DataFrame
        A row per cell with a finished run, in study order: cell, label, framework, dataset, protocol, accuracy and
        validation_accuracy (Estimates), parameters, flops (of all steps done), seconds (those steps by the probe of the
        architecture alone: what a cohort's members share is no network's own time), parameter_bytes (with gradients and
        optimizer state), peak_bytes, joules (of all steps done). Costs are floats, NaN where not measured; a probe
        measures once and has no interval.
    """
    rows = []
    for row in results[results["seeds"] > 0].to_dict("records"):
        steps = row["steps_per_epoch"] * row["epochs_done"].value
        joules = row["energy_joules"]  # null, where no counter says them, and not an Estimate without a value
        costs = (row["parameters"], row["flops_per_step"] * steps, _number(row["seconds_per_step"].value) * steps,
                 _number(row["parameter_bytes"]), _number(row["peak_bytes"].value),
                 np.nan if joules is None else joules.value * steps)  # fmt: skip
        rows.append((*(row[name] for name in _ACCURACIES), *map(float, costs)))
    return pd.DataFrame(rows, columns=[*_ACCURACIES, *COSTS])


def pareto_set(costs: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Which cells no other one beats in accuracy and one cost.

    Parameters
    ----------
    costs : DataFrame
        Of `accuracy_costs`.
    cost : str
        One of `COSTS`; ValueError otherwise.

    Returns
    -------
    DataFrame
        A row per cell with that cost and a validation accuracy, by rising cost: cell, label, framework, dataset,
        protocol, the cost, accuracy, validation_accuracy, pareto (bool), rival (the most accurate other cell that costs
        no more; None for the cheapest), overlaps (bool: the two accuracies' intervals overlap, or one has none).

    Notes
    -----
    A cell is dominated by one of the same data set and protocol (rule M1) that is at least as good in both and better
    in one. Validation digits choose (rule M3); `accuracy`, of test digits, proves: a Pareto cell that overlaps its
    rival is not shown to be worth its cost, a dominated one that overlaps is not shown to be worse. Intervals overlap
    more often than a paired comparison is undecided, so that `compare` may still tell the two apart.
    """
    if cost not in COSTS:
        raise ValueError(f"cost must be one of {', '.join(COSTS)}; got {cost}")
    validated = costs["validation_accuracy"].map(lambda estimate: estimate.value is not None).astype(bool)
    rows = costs[costs[cost].notna() & validated].sort_values(cost, kind="stable", ignore_index=True)
    paid, reached = rows[cost].to_numpy(), np.array([e.value for e in rows["validation_accuracy"]], dtype=float)
    # [i, j]: what j is to i.
    no_dearer, no_worse = paid <= paid[:, None], reached >= reached[:, None]
    better = (paid < paid[:, None]) | (reached > reached[:, None])
    np.fill_diagonal(no_dearer, False)
    task = rows.groupby(["dataset", "protocol"]).ngroup().to_numpy()
    no_dearer &= task == task[:, None]
    rivals = [int(np.where(others, reached, -1).argmax()) if others.any() else None for others in no_dearer]
    accuracy = rows["accuracy"]
    return rows[[*_ACCURACIES, cost]].assign(
        pareto=np.asarray(~(no_dearer & no_worse & better).any(axis=1)),
        rival=pd.Series([None if j is None else rows["cell"][j] for j in rivals], dtype=object),
        overlaps=[j is not None and _overlap(accuracy[i], accuracy[j]) for i, j in enumerate(rivals)],
    )


def time_law(cells: pd.DataFrame, measurements: pd.DataFrame, *, level: float = LEVEL) -> TimeLaw:
    """What a training step's seconds follow, by framework: overhead, more for each hidden layer, and arithmetic.

    Parameters
    ----------
    cells : DataFrame
        Of the store: architecture_key, hidden_layer_sizes, batch_size, flops_per_step.
    measurements : DataFrame
        Of the store: architecture_key, framework, environment, seconds_per_step, each network alone on the machine. The
        last probe of an architecture in an environment counts; those without a cell are left out.
    level : float, default=0.95

    Returns
    -------
    TimeLaw
        Without a framework whose probes cannot tell the three terms apart: it takes three architectures that differ in
        depth and otherwise. Intervals are jackknife over architectures, and null below five.

    Notes
    -----
    seconds = overhead + depth · seconds_per_layer + flops / rate, by non-negative least squares on relative errors, so
    that the widest network does not decide alone. Width and batch size act through the operations only.

    References
    ----------
    C. L. Lawson, R. J. Hanson (1974), Solving Least Squares Problems, ch. 23, by `scipy.optimize.nnls`; B. Efron, C.
    Stein (1981), Ann. Stat. 9, 586-596, for the jackknife.
    """
    sizes = cells.drop_duplicates("architecture_key")
    sizes = sizes[["architecture_key", "hidden_layer_sizes", "batch_size", "flops_per_step"]]
    probes = measurements.drop_duplicates(["architecture_key", "environment"], keep="last")
    columns = ["architecture_key", "framework", "environment", "seconds_per_step"]
    steps = probes[columns].merge(sizes, on="architecture_key")
    steps["width"], steps["depth"] = (steps["hidden_layer_sizes"].map(of) for of in (lambda s: s[0], len))
    laws, told = [], []
    for (framework, environment), own in steps.groupby(["framework", "environment"], sort=False):
        terms = np.column_stack([np.ones(len(own)), own["depth"], own["flops_per_step"]]).astype(float)
        if np.linalg.matrix_rank(terms / terms.max(axis=0)) == _TERMS:
            law, shown = _law(terms, own["seconds_per_step"].to_numpy(dtype=float), level)
            laws.append({"framework": framework, "environment": environment, **law})
            told.append(own.assign(**shown))
    rows = pd.concat(told).sort_index(ignore_index=True) if told else steps.iloc[:0].reindex(columns=[*steps, *_TOLD])
    return TimeLaw(pd.DataFrame(laws, columns=list(_LAW)), rows.drop(columns="hidden_layer_sizes"))


def _law(terms: NDArray[np.float64], seconds: NDArray[np.float64], level: float) -> tuple[dict[str, Any], ...]:
    """What a law's row holds, and the columns it adds to its steps."""
    n = len(seconds)
    others = [np.delete(np.arange(n), i) for i in range(n)] if n > _TERMS + 1 else []
    left_out = np.array([_fit(terms[kept], seconds[kept]) for kept in others]).reshape(-1, _TERMS)
    full = _fit(terms, seconds)
    overhead, per_layer, per_flop = _jackknife(full, left_out, n, level)
    shares = [_overhead_share(terms, coefficients) for coefficients in (full, *left_out)]
    estimates = _jackknife(shares[0], np.array(shares[1:]).reshape(-1, n), n, level, 1.0)
    predicted = terms @ full
    error = float(np.sqrt(np.mean(np.square(predicted / seconds - 1))))
    law = {"probes": n, "overhead_seconds": overhead, "seconds_per_layer": per_layer,
           "flops_per_second": _inverse(per_flop), "typical_error": error}  # fmt: skip
    return law, {"law_seconds": predicted, "overhead_share": estimates, "ruled_by": list(map(_ruler, estimates))}


def _fit(terms: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = terms.max(axis=0)  # columns of like size: a FLOP takes 1e-10 of the seconds that a step does
    coefficients, expected = np.zeros(_TERMS), seconds
    # Relative to the measured seconds first, then to the fitted ones: a step that happened to be measured fast
    # would otherwise weigh more, and the law run 3 % too fast at 15 % noise.
    for _ in range(2):
        coefficients = nnls(terms / scale / expected[:, None], seconds / expected)[0] / scale
        expected = terms @ coefficients
    return coefficients


def _overhead_share(terms: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = terms[:, :-1] @ coefficients[:-1] / (terms @ coefficients)
    return share


def _jackknife(
    full: NDArray[np.float64], left_out: NDArray[np.float64], n: int, level: float, limit: float = np.inf
) -> list[Estimate]:
    """Numbers (k,) from n items, with intervals from the same without each item, (n, k); none of them below 0."""
    if len(left_out) < 2:
        return [Estimate(float(value), level=level, n=n, kind="jackknife") for value in full]
    half = stdtrit(n - 1, (1 + level) / 2) * np.sqrt((n - 1) * left_out.var(axis=0))
    ends = np.clip([full - half, full + half], 0, limit).T.tolist()
    return [Estimate(float(value), low, high, level, n, "jackknife")
            for value, (low, high) in zip(full, ends, strict=True)]  # fmt: skip


def _shares(seconds: NDArray[np.float64], wall: NDArray[np.float64], level: float) -> list[Estimate]:
    total, n = seconds.sum(axis=0), len(wall)
    left_out = (total - seconds) / (wall.sum() - wall)[:, None] if n > 1 else seconds[:0]
    return _jackknife(total / wall.sum(), left_out, n, level, 1.0)


def _inverse(seconds: Estimate) -> Estimate:
    """What is done in a second, of what one takes; None where it takes nothing that could be seen."""
    value, low, high = (1 / end if end else None for end in (seconds.value, seconds.high, seconds.low))
    return Estimate(value, low, high, seconds.level, seconds.n, seconds.kind)


def _ruler(share: Estimate) -> str:
    if share.low is None or share.high is None or share.low <= 0.5 <= share.high:
        return "undecided"
    return "overhead" if share.low > 0.5 else "arithmetic"


def _overlap(one: Estimate, other: Estimate) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
