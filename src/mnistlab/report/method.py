"""How a study was done, read from its runs: what a reader needs to judge its numbers, and what was not measured."""

import json
import math
from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mnistlab.analysis.evidence import Evidence
from mnistlab.formatting import counted, printable
from mnistlab.spec import Training
from mnistlab.tabulation import rate_note

if TYPE_CHECKING:
    import pandas as pd

_PACKAGES = ("keras", "jax", "scikit-learn", "numpy")
_MEASURED = {"peak_bytes": "peak memory", "energy_joules": "energy", "seconds_per_step": "time of a network alone"}
_A_SEED = (
    "A seed draws the first weights, the order of the batches and the validation digits together; Keras cells share "
    "each seed's draws, so that they are compared in pairs."
)
_CHOOSING = (
    "Early stopping, the best cell and what a finding is compared with are chosen on validation digits alone. Test "
    "digits choose nothing."
)
_SWITCHES = {"True": "on", "False": "off", "None": "off", "nan": "off"}
_FAULTS = ("failed", "diverged", "timeout")


def method_facts(known: Evidence) -> list[tuple[str, list[str]]]:
    """What was asked of all cells, term by term."""
    cells, rows = known.cells, known.results.rows
    if cells.empty:
        return []
    seeds = known.runs.loc[known.runs["status"] == "done"].groupby("cell")["seed"].nunique()
    per_cell = _range(seeds.reindex(cells["cell"], fill_value=0).tolist())
    return [
        ("Splits", _splits(cells)),
        ("Seeds", [f"{per_cell} finished networks a cell.", _A_SEED]),
        ("Choosing", [_CHOOSING]),
        *([("Learning rate", _rates(known.rates))] if known.tuned_from else []),
        ("Training", [_training(cells)]),
        ("Not measured", _not_measured(rows) or ["Nothing that was asked for is missing."]),
    ]  # fmt: skip


def framework_differences(rows: "pd.DataFrame") -> list[tuple[str, list[str]]]:
    """By framework, what it did otherwise than the specification says (rule M14 of docs/measurement.md)."""
    found: dict[str, dict[str, None]] = {}
    for row in rows.to_dict("records"):
        found.setdefault(row["framework"], {}).update(dict.fromkeys(row["differences"]))
    return [(framework, list(map(printable, texts))) for framework, texts in found.items() if texts]


def machines(known: Evidence) -> list[str]:
    """What trained the finished networks: machine, threads, versions; a line per environment, with its networks."""
    counts = known.runs.loc[known.runs["status"] == "done", "environment"].value_counts()
    lines = []
    for row in known.environments.to_dict("records"):
        if row["id"] in counts.index:
            packages = json.loads(row["packages"])
            versions = ", ".join(f"{name} {packages[name]}" for name in _PACKAGES if name in packages)
            threads = f"{row['threads']} thread{'s' * (row['threads'] != 1)} a network"
            machine = f"{row['processor']}, {row['cores']} cores, {threads}, {row['device']}; {row['platform']}"
            by = f"Python {row['python']}, {versions}; mnistlab {row['code_version']}"
            lines.append(printable(f"{counts[row['id']]:,} networks: {machine}; {by}"))
    return lines


def failures(runs: "pd.DataFrame") -> list[str]:
    """How many runs ended without a network, and why."""
    lost = runs[runs["status"].isin(_FAULTS)]
    reasons = lost["reason"] if "reason" in lost else lost["status"]
    counts = Counter(zip(lost["status"], reasons.fillna("").astype(str), strict=True))
    return [printable(f"{n:,} {status}" + (f": {reason}" if reason else "")) for (status, reason), n in counts.items()]


def _range(values: "list[int]") -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _splits(cells: "pd.DataFrame") -> list[str]:
    found = cells[["dataset", "protocol", "train_fraction", "n_train", "n_validation", "n_test"]].drop_duplicates()
    lines = []
    for row in found.sort_values(["dataset", "protocol", "train_fraction"]).to_dict("records"):
        counts = (
            f"{row['n_train']:,} digits to train on, {row['n_validation']:,} to validate, {row['n_test']:,} to test"
        )
        shared = "; writers of test digits seen in training" if row["protocol"] == "merged" else ""
        split = f"{row['dataset']}, {row['protocol']} split, fraction {row['train_fraction']:g}"
        lines.append(printable(f"{split}: {counts}{shared}."))
    return lines


def _training(cells: "pd.DataFrame") -> str:
    """`framework keras; … learning rate 0.001, 0.01; …`: every setting but shape and split, with the values it has."""
    names = ["framework", "features", "batch_norm", "dropout", *(field.name for field in fields(Training))]
    listed = [f"{name.replace('_', ' ')} {', '.join(_values(cells[name]))}" for name in names]
    return printable(f"{'; '.join(listed)}. {rate_note(cells)}")


def _rates(table: "pd.DataFrame") -> list[str]:
    """That every cell had as much to choose from, and what each chose."""
    if table.empty:
        return ["Not tuned yet."]
    n, n_rates = int(table["n"].min()), len(table["rates"].iloc[0])
    by_rate = [printable(f"{rate:g}: {'; '.join(rows['label'])}.") for rate, rows in table.groupby("rate")]
    budget = (
        f"Tuned for every cell by itself, all with the same budget: {counted(n, 'network')} at each of {n_rates} rates "
        "around the one that the study says; the highest mean accuracy on validation digits is chosen, and the "
        "networks that chose it are in no other number."
    )
    return [budget, *by_rate]


def _values(column: "pd.Series[Any]") -> list[str]:
    """Every value once, numbers in their order."""
    known = list(dict.fromkeys(tuple(value) if isinstance(value, list) else value for value in column))
    return list(dict.fromkeys(_written(value) for value in sorted(known, key=lambda value: _order(value))))


def _order(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, int | float) and not math.isnan(value)
    return number, float(value) if number else 0.0, "" if number else str(value)


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) and not math.isnan(value) else _SWITCHES.get(str(value), str(value))


def _not_measured(rows: "pd.DataFrame") -> list[str]:
    """What no probe of a trained cell has, and what lacks some: a probe that found no counter, or none made yet."""
    done = rows[rows["seeds"] > 0]
    lines = []
    for column, words in _MEASURED.items():
        lacking = sum(value is None or value.value is None for value in done[column])
        if lacking == len(done):
            lines.append(f"{words}: not measurable here, or not yet probed")
        elif lacking:
            lines.append(f"{words}: not of {lacking:,} of {len(done):,} cells")
    return lines
