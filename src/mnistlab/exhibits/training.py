"""What more training digits and more epochs buy: tables, texts and captions of the curves that show it."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.evidence import Evidence
from mnistlab.analysis.intervals import t_interval
from mnistlab.analysis.iterations import LEVEL, asked_and_done, best_epochs
from mnistlab.analysis.results import collapse_threshold, other_settings
from mnistlab.analysis.split_law import predicted_error, split_laws, split_table
from mnistlab.exhibits.arrangements import MOST_LETTERS, evenly
from mnistlab.exhibits.base import number
from mnistlab.formatting import NOTHING, Cells, counted, percent, points, shortened, spread, table_cells, with_spread
from mnistlab.tabulation import show_command

MOST_CURVES, MOST_SAID = 6, 4
_LAW_POINTS = 25
_SPLIT_COLUMNS = ("mark", "family", "protocol", "cell", "label", "train_fraction", "n_train", "error", "low", "high",
                  "n", "collapsed", "runs", "exponent", "gain", "full_digits", "full_error")  # fmt: skip
_EPOCH_COLUMNS = ("mark", "curve", "cell", "label", "name", "epoch", "epoch_low", "epoch_high", "accuracy", "low",
                  "high", "n", "networks", "epochs_asked", "epochs_done", "best_epoch", "at_end", "stopped_by",
                  "test_accuracy", "runs")  # fmt: skip


def train_fraction_table(known: Evidence) -> pd.DataFrame:
    """Error against training digits, and the law of every family of at least four sizes.

    Returns
    -------
    DataFrame
        By family, at most six of them: a row per cell (mark "measured") and rows along the law (mark "law", the error
        expected of networks trained on so many digits). Columns: mark, family (label of its largest training part),
        protocol, cell, label, train_fraction, n_train, error, low, high (fractions; over seeds on these digits, along a
        law those of a prediction), n (networks), collapsed (left out of the error), runs (ids), exponent and gain of
        1,000 more digits (Estimates), full_digits (all there are), full_error (Estimate of the law there), resolution,
        left_out (families). Families with most sizes come first; of equals those that are spread evenly over the error.
    """
    if known.cells.empty:  # as in a store without any study
        return pd.DataFrame(columns=[*_SPLIT_COLUMNS, "resolution", "left_out"])
    runs = known.runs[["run", "cell", "status", "test_accuracy", "validation_accuracy"]]  # bits would cost time
    measured = split_table(known.cells, runs)
    measured = measured[np.array([error.value is not None for error in measured["error"]], dtype=bool)]
    families = [rows for _, rows in measured.groupby(["family", "protocol"], sort=False)]
    families.sort(key=lambda rows: rows["error"].iloc[-1].value)
    most = max(map(len, families), default=0)
    shown = evenly([rows for rows in families if len(rows) == most], MOST_CURVES)
    fewer = sorted((rows for rows in families if len(rows) < most), key=len, reverse=True)
    shown += fewer[: MOST_CURVES - len(shown)]
    rows: list[dict[str, Any]] = []
    for own in shown:
        rows += [_measured_row(row) for row in own.to_dict("records")] + _law_rows(own)
    table = pd.DataFrame(rows, columns=_SPLIT_COLUMNS)
    return table.assign(resolution=number(known.results.resolution), left_out=len(families) - len(shown))


def train_fraction_cells(table: pd.DataFrame) -> Cells:
    """Header and rows for people: what was measured."""
    return table_cells(table[table["mark"] == "measured"], {
        "cell": lambda row: row["label"],
        "training digits": lambda row: f"{row['n_train']:,.0f}",
        "error %": lambda row: percent(_error(row)),
        "collapsed": lambda row: f"{row['collapsed']:.0f} of {row['n'] + row['collapsed']:.0f}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def train_fraction_caption(table: pd.DataFrame) -> str:
    """The law's exponent, what 1,000 more digits buy, what all would give; without a law the first and last errors."""
    if table.empty:
        return "No finished cells that differ in their train fraction alone."
    left_out = int(table["left_out"].iloc[0])
    families = "families" if left_out > 1 else "family"
    more = f" ({left_out:,} more {families} left out)" if left_out else ""
    intro = f"Test error in per cent by training digits, with 95 % intervals over seeds on these test digits{more}."
    laws = table[table["mark"] == "law"].drop_duplicates(["family", "protocol"])
    if len(laws):
        said = " ".join(_law_said(row, table) for row in laws.head(2).to_dict("records"))
        return f"{intro} {said}"
    own = table[table["family"] == table["family"].iloc[0]].to_dict("records")
    first, last = (f"{percent(_error(row))} with {row['n_train']:,.0f}" for row in (own[0], own[-1]))
    name = shortened(own[-1]["family"], MOST_LETTERS)
    return f"{intro} {name}: {first}, {last} digits. Fewer than four sizes: no law is fitted."


def _law_said(row: Mapping[Any, Any], table: pd.DataFrame) -> str:
    gain, exponent, full = row["gain"], row["exponent"], f"{row['full_digits']:,.0f}"
    own = table[(table["mark"] == "measured") & (table["family"] == row["family"])
                & (table["protocol"] == row["protocol"])].iloc[-1]  # fmt: skip
    there = f", measured {percent(_error(own))}" if own["n_train"] == row["full_digits"] else ""
    merged = " (writers seen in training)" if row["protocol"] == "merged" else ""
    falls = f"what can be removed falls with digits to the power of -{spread(exponent, 1)}"
    if not exponent.low:
        falls = f"the sizes leave open how fast it falls (exponent {spread(exponent, 1)})"
    buys = f"1,000 more digits than {own['n_train']:,.0f} take off {spread(gain, 100)} points"
    gives = f"all {full} would give an error of {spread(row['full_error'], 100)}{there}"
    return f"{shortened(row['family'], MOST_LETTERS)}{merged}: {falls}; {buys}; {gives}."


def _measured_row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    error = row["error"]
    kept = {str(name): value for name, value in row.items() if name in _SPLIT_COLUMNS}
    return {**kept, "mark": "measured", "error": error.value, "low": error.low, "high": error.high, "n": error.n}


def _law_rows(own: pd.DataFrame) -> list[dict[str, Any]]:
    """Along the law from the smallest size to all digits there are; none where there are too few sizes."""
    found = split_laws(own).to_dict("records")
    if not found:
        return []
    [fitted], last = found, own.iloc[-1]
    full = round(last["n_train"] / last["train_fraction"])
    about = {"mark": "law", "family": fitted["family"], "protocol": fitted["protocol"], "n": fitted["networks"],
             "exponent": fitted["exponent"], "gain": fitted["gain"], "full_digits": full,
             "full_error": predicted_error(fitted["law"], full)}  # fmt: skip
    rows = []
    for size in np.geomspace(own["n_train"].min(), full, _LAW_POINTS):
        expected = predicted_error(fitted["law"], size)
        rows.append({**about, "n_train": size, "error": expected.value, "low": expected.low, "high": expected.high})
    return rows


def _error(row: Any) -> Estimate:
    low, high = (None if pd.isna(row[name]) else row[name] for name in ("low", "high"))
    return Estimate(row["error"], low, high, LEVEL, int(row["n"]), "t")


def iterations_table(known: Evidence) -> pd.DataFrame:
    """Validation accuracy by epoch, of cells that differ in epochs or early stopping alone.

    Cells as long as the longest of them are there too, though nobody is their like. At a constant schedule a shorter
    cell is the beginning of a longer one: the longest plain one is drawn, and on it where early stopping ended.

    Returns
    -------
    DataFrame
        Per cell a row per epoch that all its networks reached (mark "curve": mean validation accuracy with Student's
        interval), one for its best epoch (mark "best": the mean of each network's own, and of its accuracy there), and
        one where training ended before all epochs (mark "stopped"). Columns: mark, curve (0 to 5; -1: not drawn), cell,
        label, name (the same, epochs in front), epoch, epoch_low, epoch_high, accuracy, low, high (fractions), n
        (networks that trained), networks (all), epochs_asked, epochs_done, best_epoch, test_accuracy (Estimates),
        stopped_by, runs (ids), resolution, left_out (curves there would be more).
    """
    families: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for row in known.results.rows.to_dict("records"):
        others = other_settings(row)
        alike = (value for name, value in others.items() if name not in ("epochs", "early_stopping_patience"))
        key = (tuple(row["hidden_layer_sizes"]), tuple(row["activations"]), row["framework"], *alike)
        if row["validation_accuracy"].value is not None:
            families.setdefault(key, []).append({**row, **others})
    longest = max((row["epochs"] for rows in families.values() if len(rows) > 1 for row in rows), default=np.inf)
    kept = [rows for rows in families.values() if len(rows) > 1 or rows[0]["epochs"] >= longest]
    kept.sort(key=lambda rows: -max(row["epochs"] for row in rows))
    drawn = [curve for rows in kept for curve in _drawn(rows)]
    table = pd.DataFrame(_epoch_rows([row for rows in kept for row in rows], known), columns=_EPOCH_COLUMNS)
    places = {cell: number for number, (cell, _) in enumerate(drawn[:MOST_CURVES])}
    ends = {cell: number for number, (_, cells) in enumerate(drawn[:MOST_CURVES]) for cell in cells}
    table["curve"] = [places.get(cell, ends.get(cell, -1) if mark == "stopped" else -1)
                      for cell, mark in zip(table["cell"], table["mark"], strict=True)]  # fmt: skip
    left_out = max(len(drawn) - MOST_CURVES, 0)
    return table.assign(resolution=number(known.results.resolution), left_out=left_out)


def iterations_cells(table: pd.DataFrame) -> Cells:
    """Header and rows for people: one per cell."""
    return table_cells(table[table["mark"] == "best"], {
        "cell": lambda row: row["label"],
        "accuracy %": lambda row: percent(row["test_accuracy"]),
        "epochs": lambda row: f"{row['epochs_asked']:,}",
        "done": lambda row: with_spread(row["epochs_done"]),
        "best epoch": lambda row: with_spread(row["best_epoch"]),
        "best at the end": lambda row: f"{row['at_end']} of {row['n']}",
        "stopped by": lambda row: row["stopped_by"],
        "collapsed": lambda row: f"{row['networks'] - row['n']} of {row['networks']}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def iterations_caption(table: pd.DataFrame) -> str:
    """Of the curves drawn: when they were best, when they were stopped."""
    if table.empty:
        return "No finished cells that differ in epochs or early stopping alone."
    drawn = table[table["curve"] >= 0].drop_duplicates("cell", keep="last").sort_values("curve", kind="stable")
    left_out = int(table["left_out"].iloc[0])
    more = f" ({counted(left_out, 'more curve')} left out)" if left_out else ""
    intro = (f"Validation accuracy in per cent by epoch, mean over networks with 95 % bands{more}. "
             f"{_test_resolution(table)}Best epoch: the lowest validation loss.")  # fmt: skip
    said = "; ".join(map(_curve_said, drawn.head(MOST_SAID).to_dict("records")))
    return f"{intro} {said}{'; the others are in the table' if len(drawn) > MOST_SAID else ''}."


def _test_resolution(table: pd.DataFrame) -> str:
    """What the grey band is: verdicts, and so the resolution, are of test digits, whatever the axis shows."""
    resolution = table["resolution"].iloc[0]
    return f"Grey: the resolution of test accuracy, {points(resolution)}. " if resolution > 0 else ""


def _curve_said(row: Mapping[Any, Any]) -> str:
    done, best = spread(row["epochs_done"], 1), spread(row["best_epoch"], 1)
    ended = f", ended after {done}" if row["epochs_done"].value < row["epochs_asked"] else ""
    return f"{shortened(row['name'], MOST_LETTERS)}: best after {best} of {row['epochs_asked']:,} epochs{ended}"


def _drawn(rows: list[dict[Any, Any]]) -> list[tuple[str, list[str]]]:
    """Of a family the cells whose curves are drawn, each with those whose ends are marked on it."""
    patient, plain = ([row for row in rows if (row["early_stopping_patience"] is not None) is which]
                      for which in (True, False))  # fmt: skip
    if rows[0]["schedule"] != "constant" or not plain:
        return [(row["cell"], []) for row in rows]
    longest = max(plain, key=lambda row: row["epochs"])
    reached = [row["epochs_done"].value <= longest["epochs_done"].value for row in patient]
    inside = [row["cell"] for row, there in zip(patient, reached, strict=True) if there]
    return [(longest["cell"], inside), *((row["cell"], []) for row in patient if row["cell"] not in inside)]


def _epoch_rows(cells: list[dict[Any, Any]], known: Evidence) -> list[dict[str, Any]]:
    if not cells:
        return []
    done = known.runs[(known.runs["status"] == "done") & known.runs["cell"].isin([cell["cell"] for cell in cells])]
    epochs = known.epochs[known.epochs["run"].isin(done["run"])]
    accuracy, loss = (epochs.pivot(index="run", columns="epoch", values=name).dropna(how="all")
                      for name in ("validation_accuracy", "validation_loss"))  # fmt: skip
    classes = dict(zip(known.cells["cell"], known.cells["n_classes"], strict=True))
    trained = done[done["test_accuracy"] >= done["cell"].map(classes).map(collapse_threshold)]
    trained = trained[trained["run"].isin(accuracy.index) & trained["run"].isin(loss.index)]
    best, asked = (frame.set_index("cell").to_dict("index")
                   for frame in (best_epochs(trained, epochs), asked_and_done(trained)))  # fmt: skip
    runs_of = dict(iter(trained.groupby("cell")))
    rows = []
    for cell in cells:
        number = cell["cell"]
        if number not in runs_of:
            continue
        own = runs_of[number]
        about = {
            "cell": number, "label": cell["label"], "name": _name(cell), "n": len(own), "networks": cell["seeds"],
            "epochs_asked": cell["epochs"], "epochs_done": asked[number]["epochs_done"],
            "best_epoch": best[number]["best_epoch"], "at_end": best[number]["at_end"],
            "stopped_by": _reasons(asked[number]), "test_accuracy": cell["accuracy"], "runs": cell["runs"],
        }  # fmt: skip
        rows += _marks(about, own, accuracy.loc[own["run"]], loss.loc[own["run"]])
    return rows


def _marks(
    about: dict[str, Any], own: pd.DataFrame, accuracy: pd.DataFrame, loss: pd.DataFrame
) -> list[dict[str, Any]]:
    """Rows of one cell: its curve up to the epoch all reached, its best epoch, and where it was stopped."""
    values, done = accuracy.to_numpy(), own["epochs_done"].to_numpy(dtype=int)
    mean, half = _band(values[:, : done.min()])
    rows = [{**about, "mark": "curve", "epoch": epoch, "accuracy": middle, "low": max(middle - width, 0.0),
             "high": min(middle + width, 1.0)}
            for epoch, middle, width in zip(accuracy.columns, mean.tolist(), half.tolist(), strict=False)]  # fmt: skip
    marks = [("best", about["best_epoch"], loss.idxmin(axis=1).to_numpy(dtype=int))]
    if (done < about["epochs_asked"]).any():
        marks.append(("stopped", about["epochs_done"], done))
    for mark, epoch, each in marks:
        there = t_interval(values[np.arange(len(values)), each - 1], level=LEVEL, limits=(0, 1))
        rows.append({**about, "mark": mark, "epoch": epoch.value, "epoch_low": epoch.low, "epoch_high": epoch.high,
                     "accuracy": there.value, "low": there.low, "high": there.high})  # fmt: skip
    return rows


def _band(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of every column and half of Student's interval, as of `t_interval`; NaN with one network."""
    n = len(values)
    if n < 2:
        return values[0], np.full(values.shape[1], np.nan)
    return values.mean(axis=0), stdtrit(n - 1, (1 + LEVEL) / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)


def _name(cell: Mapping[Any, Any]) -> str:
    """The label with epochs and patience right behind the shape: the rest may be cut off."""
    first, *others = cell["label"].split(", ")
    patience = f"patience {cell['early_stopping_patience']:g}" if cell["early_stopping_patience"] is not None else ""
    front = [f"{cell['epochs']} epochs", *([patience] if patience else [])]
    front = ["sklearn", *front] if "sklearn" in others else front
    return ", ".join([first, *front, *(part for part in others if part not in front)])


def _reasons(counts: Mapping[Any, Any]) -> str:
    found = {name.replace("_", " "): counts[name] for name in ("epochs", "early_stopping", "tol") if counts[name]}
    return ", ".join(f"{words} {count}" if len(found) > 1 else words for words, count in found.items()) or NOTHING
