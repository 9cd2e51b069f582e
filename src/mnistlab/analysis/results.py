"""Runs become results: one row per cell with every number as an `Estimate`, and the tables behind the two figures.

Frames as the store hands them out go in, frames come out. Nothing here reads a file or turns a number into text.
"""

import json
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import multimode
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import Replicates, crossed_interval, resolution, t_interval
from mnistlab.spec import Architecture, Cell

LEVEL = 0.95

_Runs = list[dict[Hashable, Any]]  # of one cell, by seed; not a frame: hundreds of small ones take seconds to ask

_DEFAULTS = Cell(Architecture((64,))).settings()
_SHAPE = ("hidden_layer_sizes", "activations", "framework")
_COPIED = ("framework", "cell", "label", "parameters", "collapsed", "runs")
_POINT_COLUMNS = ("activation", *_COPIED, "accuracy", "low", "high", "n", "resolution")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResultsTable:
    """The results of a study, or of a whole store.

    Attributes
    ----------
    rows : DataFrame
        One row per cell in study order: the cell's own columns, then those of `results_table`.
    resolution : float | None
        The smallest difference of two accuracies these seeds can see (rule M22), a fraction; None: not yet known.
    """

    rows: pd.DataFrame
    resolution: float | None

    def __repr__(self) -> str:
        from mnistlab.formatting import REPR_WIDTH
        from mnistlab.tabulation import results_text

        return results_text(self, REPR_WIDTH)

    def _repr_html_(self) -> str:
        """What a notebook shows: the note on the resolution and the table, as `mnistlab results` prints them."""
        from mnistlab.tabulation import results_html

        return results_html(self)


def collapse_threshold(n_classes: int) -> float:
    """Accuracy below which a network counts as collapsed (rule M12): a ninth of the way from guessing to perfect.

    Twenty per cent with ten classes; with two, where twice the guessing rate would be perfect, 55.6 %.
    """
    return 1 / n_classes + (1 - 1 / n_classes) / 9


def results_table(cells: pd.DataFrame, runs: pd.DataFrame, measurements: pd.DataFrame) -> ResultsTable:
    """What the runs of these cells show, one row per cell, null where nothing was measured.

    Parameters
    ----------
    cells : DataFrame
        One row per cell in study order: cell, label, architecture_key, parameters, flops_per_step, n_classes and every
        setting.
    runs : DataFrame
        One row per run: run, cell, seed, status, stopped_by, engine, members, environment, differences (JSON list),
        epochs_done, the seconds of the ledger, test_accuracy, test_n, test_labels, test_bits (uint8, packed, big bit
        order), test_log_loss, test_brier, test_macro_f1, test_ece, test_ece_floor, validation_accuracy. Runs of other
        cells are left out.
    measurements : DataFrame
        One row per probe: architecture_key, seconds_per_step, peak_bytes, parameter_bytes, inference_us_per_image,
        energy_joules. The last one of an architecture counts.

    Returns
    -------
    ResultsTable
        Columns beside the cell's: runs (ids of the done ones, by seed), seeds, trained, collapsed, diverged, engine,
        accuracy (crossed, all done runs), accuracy_trained, accuracy_these_digits, validation_accuracy, log_loss,
        brier, macro_f1, ece, ece_floor, epochs_done, stopped_by, differences (from what the specification says),
        seconds_steps, seconds_end_to_end, timing, seconds_per_step (of the probe, alone), peak_bytes, parameter_bytes,
        inference_us_per_image, energy_joules (a step). Rules M5 to M7, M12, M14, M15, M18 to M22.
    """
    runs_of = _runs_by_cell(runs)
    probe_of = {probe["architecture_key"]: probe for probe in measurements.to_dict("records")}
    rows: list[dict[Any, Any]] = []
    for cell in cells.to_dict("records"):
        own = runs_of.get(cell["cell"], [])
        done = [run for run in own if run["status"] == "done"]
        diverged = sum(run["status"] == "diverged" for run in own)
        rows.append({**cell, **_counts(done, cell["n_classes"]), "diverged": diverged, **_qualities(done),
                     **_costs(done), **_probed(probe_of.get(cell["architecture_key"], {}))})  # fmt: skip
    replicates = replicates_by_cell(runs[runs["cell"].isin([row["cell"] for row in rows])])
    measured = {**_counts([], 0), "diverged": 0, **_qualities([]), **_costs([]), **_probed({})}  # as columns of no rows
    return ResultsTable(
        pd.DataFrame(rows, columns=[*cells, *measured]), resolution(list(replicates.values()), level=LEVEL)
    )


def replicates_by_cell(runs: pd.DataFrame) -> dict[str, Replicates]:
    """The finished networks of every cell, by its id: what they got right, by seed.

    A cell whose networks were tested on different digits has no such table and is left out.
    """
    done = runs.loc[runs["status"] == "done", ["cell", "seed", "test_labels", "test_n", "test_bits"]]
    return {cell: Replicates(tuple(run["seed"] for run in own), own[0]["test_labels"], _bits(own))
            for cell, own in _runs_by_cell(done).items() if _same_digits(own)}  # fmt: skip


def width_table(results: ResultsTable) -> pd.DataFrame:
    """Accuracy against width: of the cells with equal layers that differ in width alone, the largest family.

    Returns
    -------
    DataFrame
        One row per cell, sorted by series and width: width, depth, activation, framework, cell, label, parameters,
        collapsed, runs (ids), accuracy, low, high (fractions), n (networks), resolution (fraction or NaN), others
        (families left out). A series is one framework with one activation; it has at least two widths. No such cells:
        no rows. Of equally large families, the one with fewer settings off their default, then the one that reaches
        most on validation digits.
    """
    return _family_table(results, "width", "depth")


def depth_table(results: ResultsTable) -> pd.DataFrame:
    """Accuracy against depth at one width: like `width_table`, with the two exchanged."""
    return _family_table(results, "depth", "width")


def other_settings(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Every setting of a cell but shape, activations and framework; hashable, missing values made alike.

    A knob that was tuned for every cell by itself tells no two cells apart: it stands at its default.
    """
    tuned = row.get("tuned_knob")
    values = {name: default if name == tuned else row[name] for name, default in _DEFAULTS.items()
              if name not in _SHAPE}  # fmt: skip
    return {name: tuple(v) if isinstance(v, list | tuple) else None if pd.isna(v) else v for name, v in values.items()}


def tuned_knob(cells: pd.DataFrame) -> str:
    """The knob that was tuned for every cell by itself, in whose values they do not count as different; or empty."""
    return str(cells["tuned_knob"].iloc[0]) if "tuned_knob" in cells and len(cells) else ""


def _runs_by_cell(runs: pd.DataFrame) -> dict[str, _Runs]:
    found: dict[str, _Runs] = {}
    for run in runs.sort_values("seed", kind="stable").to_dict("records"):
        found.setdefault(run["cell"], []).append(run)
    return found


def _counts(done: _Runs, n_classes: int) -> dict[str, Any]:
    trained = [run for run in done if run["test_accuracy"] >= collapse_threshold(n_classes)]
    accuracy = _accuracy(done)
    return {
        "runs": tuple(run["run"] for run in done),
        "seeds": len(done),
        "trained": len(trained),
        "collapsed": len(done) - len(trained),
        "engine": ", ".join(sorted({run["engine"] for run in done})) or None,
        "accuracy": accuracy,
        "accuracy_trained": accuracy if len(trained) == len(done) else _accuracy(trained),
    }


def _accuracy(done: _Runs) -> Estimate:
    """For new seeds and new digits; runs tested on different digits have no digits to cross and get Student's t."""
    if not done:
        return Estimate(None, level=LEVEL, kind="crossed")
    return crossed_interval(_bits(done), level=LEVEL) if _same_digits(done) else _mean(done, "test_accuracy", (0, 1))


def _same_digits(done: _Runs) -> bool:
    return len({run["test_labels"] for run in done}) == 1


def _bits(done: _Runs) -> NDArray[np.bool_]:
    packed = np.stack([run["test_bits"] for run in done])
    return np.unpackbits(packed, axis=1, count=int(done[0]["test_n"])).view(np.bool_)


def _qualities(done: _Runs) -> dict[str, Any]:
    reasons = Counter(run["stopped_by"] for run in done if pd.notna(run["stopped_by"]))
    listed = dict.fromkeys(run["differences"] for run in done)
    return {
        "accuracy_these_digits": _mean(done, "test_accuracy", (0, 1)),
        "validation_accuracy": _mean(done, "validation_accuracy", (0, 1)),
        "log_loss": _mean(done, "test_log_loss"),
        "brier": _mean(done, "test_brier", (0, 2)),
        "macro_f1": _mean(done, "test_macro_f1", (0, 1)),
        "ece": _mean(done, "test_ece", (0, 1)),
        "ece_floor": _mean(done, "test_ece_floor").value,
        "epochs_done": _mean(done, "epochs_done"),
        "stopped_by": dict(sorted(reasons.items())),
        "differences": tuple(dict.fromkeys(text for texts in listed for text in json.loads(texts))),
    }


def _costs(done: _Runs) -> dict[str, Any]:
    """The ledger's two headlines (rule M18); a cohort's seconds are its members' shares and called packed.

    Seconds of different machines, threads or versions are not one quantity: where several environments trained the
    cell, those of the one with most runs are shown.
    """
    most = min(multimode(run["environment"] for run in done), default=None)
    done = [run for run in done if run["environment"] == most]
    parts = ("data_seconds", "compile_seconds", "steps_seconds", "evaluation_seconds")
    end_to_end = [sum(run[part] for part in parts) for run in done]
    packed = any(run["members"] > 1 for run in done)
    return {
        "seconds_steps": _mean(done, "steps_seconds"),
        "seconds_end_to_end": t_interval(end_to_end, level=LEVEL, limits=(0, np.inf)),
        "timing": None if not done else "packed" if packed else "alone",
    }


def _probed(probe: dict[Hashable, Any]) -> dict[str, Any]:
    """Measured once per architecture: a value without a spread (rules M19 and M20)."""
    values = {name: None if pd.isna(value) else value for name, value in probe.items()}
    parameter_bytes, joules = values.get("parameter_bytes"), values.get("energy_joules")
    return {
        "seconds_per_step": _single(values.get("seconds_per_step")),
        "peak_bytes": _single(values.get("peak_bytes")),
        "parameter_bytes": None if parameter_bytes is None else int(parameter_bytes),
        "inference_us_per_image": _single(values.get("inference_us_per_image")),
        "energy_joules": None if joules is None else _single(joules),
    }


def _mean(done: _Runs, column: str, limits: tuple[float, float] = (0, np.inf)) -> Estimate:
    return t_interval([run[column] for run in done], level=LEVEL, limits=limits)


def _single(value: Any) -> Estimate:
    return Estimate(None if value is None else float(value), level=LEVEL, n=int(value is not None))


def _family_table(
    results: ResultsTable, axis: Literal["width", "depth"], held: Literal["width", "depth"]
) -> pd.DataFrame:
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in results.rows.to_dict("records"):
        if row["accuracy"].value is None or len(set(row["hidden_layer_sizes"])) + len(set(row["activations"])) > 2:
            continue
        point = _point(row, results.resolution)
        families.setdefault((point[held], *other_settings(row).values()), []).append(point)
    columns = [axis, held, *_POINT_COLUMNS]
    drawn = {key: _series(pd.DataFrame(points, columns=columns), axis)
             for key, points in families.items() if len(points) > 1}  # fmt: skip
    # max keeps the first of equals, and families are in study order.
    reached = {key: max((point["validation"] for point in points), default=-1.0) for key, points in families.items()}
    best = max(drawn, key=lambda key: (len(drawn[key]), -off_default(key[1:]), reached[key]), default=None)
    others = sum(len(rows) > 0 for rows in drawn.values()) - 1
    return pd.DataFrame(columns=[*columns, "others"]) if best is None else drawn[best].assign(others=others)


def _series(points: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The series with at least two places on the axis, each in its order."""
    series = ["framework", "activation"]
    kept = points[points.groupby(series)[axis].transform("nunique") > 1]
    order = kept.groupby(series, sort=False).ngroup()
    return kept.assign(order=order).sort_values(["order", axis], kind="stable", ignore_index=True).drop(columns="order")


def _point(row: dict[Hashable, Any], smallest: float | None) -> dict[str, Any]:
    sizes, accuracy = row["hidden_layer_sizes"], row["accuracy"]
    copied = {name: row[name] for name in _COPIED}
    chosen = row["validation_accuracy"].value
    return {"validation": -1.0 if chosen is None else chosen,
            "width": sizes[0], "depth": len(sizes), "activation": row["activations"][0], **copied,
            "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "n": row["seeds"],
            "resolution": np.nan if smallest is None else smallest}  # fmt: skip


def off_default(settings: tuple[Any, ...]) -> int:
    """How many of these, the values of `other_settings` in their order, are not at their default."""
    defaults = other_settings(_DEFAULTS).values()
    return sum(value != default for value, default in zip(settings, defaults, strict=True))
