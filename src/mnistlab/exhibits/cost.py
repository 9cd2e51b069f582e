"""What accuracy costs: the cells that none beats, time and memory by size, and where the wall clock went."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from mnistlab.analysis.cost import PARTS, ledger_table, pareto_set
from mnistlab.analysis.results import off_default, other_settings
from mnistlab.exhibits.base import Exhibit, collapsed_words, ends, number, resolution_words, share_words
from mnistlab.formatting import (
    NOTHING,
    Cells,
    counted,
    percent,
    point_estimate,
    seconds,
    significant,
    size,
    table_cells,
    with_spread,
)
from mnistlab.tabulation import NOT_MEASURABLE, show_command
from mnistlab.visualization.cost import NAMED, draw_ledger, draw_memory, draw_pareto, draw_step_seconds

if TYPE_CHECKING:
    from mnistlab.analysis.evidence import Evidence

MOST_BARS = 25
_AXES = {
    "parameters": ("parameters", 1.0),
    "flops": ("operations of the whole training, 10⁹ FLOPs", 1e9),
    "seconds": ("time of all steps, by a probe of each network alone, s", 1.0),
}
_WRITTEN: dict[str, Callable[[float], str]] = {
    "parameters": lambda cost: f"{cost:,.0f}",
    "flops": lambda cost: f"{significant(cost / 1e9)} GFLOPs",
    "seconds": seconds,
}
_ALONE = "Time is of a probe of each network alone, not of a cohort's members."


_PARETO = ["cell", "label", "cost", "accuracy", "low", "high", "validation", "pareto", "rival", "overlaps", "n",
           "collapsed", "runs", "task", "resolution"]  # fmt: skip


def pareto_table(known: "Evidence", cost: str) -> pd.DataFrame:
    """Accuracy against one cost, by rising cost.

    Returns
    -------
    DataFrame
        A row per cell with that cost: number (of a Pareto cell, from 1; 0 of others), cell, label, cost, accuracy, low,
        high (test, fractions), validation, pareto, rival (id), overlaps (see `analysis.cost.pareto_set`), n, collapsed,
        runs, task (data set and protocol), resolution.
    """
    if known.cells.empty:
        return pd.DataFrame(columns=["number", *_PARETO])
    found = pareto_set(known.costs, cost)
    counts = known.results.rows.set_index("cell")[["seeds", "collapsed", "runs"]] if len(found) else pd.DataFrame()
    rows = []
    for row in found.to_dict("records"):
        own, accuracy = counts.loc[row["cell"]], row["accuracy"]
        rows.append((row["cell"], row["label"], row[cost], *ends(accuracy), number(row["validation_accuracy"].value),
                     row["pareto"], row["rival"], row["overlaps"], own["seeds"], own["collapsed"], own["runs"],
                     f"{row['dataset']}, {row['protocol']}", number(known.results.resolution)))  # fmt: skip
    table = pd.DataFrame(rows, columns=_PARETO).astype({"pareto": bool, "overlaps": bool})
    table.insert(0, "number", table["pareto"].cumsum().where(table["pareto"], 0).astype(int))
    return table


def _pareto_cells(table: pd.DataFrame, cost: str) -> Cells:
    labels = dict(zip(table["cell"], table["label"], strict=True))
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "no.": lambda row: f"{row['number']}" if row["pareto"] else "",
        {"flops": "FLOPs", "seconds": "time alone"}.get(cost, cost): lambda row: _WRITTEN[cost](row["cost"]),
        "accuracy %": lambda row: percent(point_estimate(row)),
        "validation %": lambda row: f"{100 * row['validation']:.2f}",
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "rival": lambda row: labels.get(row["rival"], NOTHING),
        "intervals overlap": lambda row: ("yes" if row["overlaps"] else "no") if row["rival"] else NOTHING,
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _pareto_caption(table: pd.DataFrame, cost: str) -> str:
    if table.empty:
        missing = {"seconds": "No architecture has been probed alone yet."}
        return missing.get(cost, "No network with a validation accuracy has finished yet.")
    chosen, beaten = table[table["pareto"]], table[~table["pareto"]]
    words = {"flops": "operations", "seconds": "seconds"}.get(cost, cost)
    intro = (
        f"Test accuracy in per cent. {len(chosen)} of {counted(len(table), 'cell')}: no other is as good on validation"
    )
    parts = [f"{intro} digits for as few {words}.", _ends_of(chosen, cost)]
    if len(beaten):
        open_ = beaten["overlaps"].sum()
        parts.append(f"Of {len(beaten)} that are beaten, {open_} overlap their rival: not shown to be worse.")
    if lost := (table["collapsed"] == table["n"]).sum():
        parts.append(f"Of {counted(lost, 'cell')} every network collapsed.")
    return " ".join([*parts, *([_ALONE] if cost == "seconds" else []), resolution_words(table)])


def _ends_of(chosen: pd.DataFrame, cost: str) -> str:
    """The cheapest of the Pareto cells and the best."""
    least, most = chosen.iloc[0], chosen.iloc[chosen["validation"].argmax()]
    if len(chosen) == 1:
        return f"It is {least['label']}, {_bought(least, cost)}."
    return f"Cheapest: {least['label']}, {_bought(least, cost)}; best: {most['label']}, {_bought(most, cost)}."


def _bought(row: "pd.Series", cost: str) -> str:
    accuracy = f"{percent(point_estimate(dict(row)))}{collapsed_words(row['collapsed'], row['n'])}"
    return f"{accuracy} at {_WRITTEN[cost](row['cost'])}"


# Time and memory by size


def probes_table(known: "Evidence") -> pd.DataFrame:
    """Every architecture with a finished network that was probed by itself, by series and rising parameters.

    Returns
    -------
    DataFrame
        A row per architecture and environment: series (framework, with the environment where there are several), cell
        and label of the cell that has it, parameters, depth, seconds (of a step), overhead, overhead_low,
        overhead_high (of any step of the framework, by the law of time), law_seconds, ruled_by, peak_bytes, state_bytes
        (parameters, gradients, optimizer), device ("cpu" or an accelerator), runs (of that cell), networks. NaN where
        not known.
    """
    cells = known.results.rows
    if cells.empty or known.measurements.empty or not cells["seeds"].any():
        return pd.DataFrame(columns=_PROBED)
    # Of cells with one architecture the one nearest to the defaults.
    off = [off_default(tuple(other_settings(row).values())) for row in cells.to_dict("records")]
    first = cells.assign(off=off)[cells["seeds"] > 0].sort_values("off", kind="stable")
    first = first.drop_duplicates("architecture_key")
    first = first[["architecture_key", "cell", "label", "parameters", "hidden_layer_sizes", "runs", "seeds"]]
    # As the law of time: the last probe of an architecture in an environment.
    probes = known.measurements.drop_duplicates(["architecture_key", "environment"], keep="last")
    probes = probes[
        ["architecture_key", "framework", "environment", "seconds_per_step", "peak_bytes", "parameter_bytes"]
    ]
    table = probes.merge(first, on="architecture_key")
    told = known.time_law.steps[["architecture_key", "environment", "law_seconds", "ruled_by"]]
    table = table.merge(told, on=["architecture_key", "environment"], how="left")
    several = table["environment"].nunique() > 1
    laws = {(law["framework"], law["environment"]): law["overhead_seconds"]
            for law in known.time_law.laws.to_dict("records")}  # fmt: skip
    floors = [laws.get(pair) for pair in zip(table["framework"], table["environment"], strict=True)]
    table["series"] = table["framework"] + (", " + table["environment"].str[:6] if several else "")
    for name, end in (("overhead", "value"), ("overhead_low", "low"), ("overhead_high", "high")):
        table[name] = [math.nan if floor is None else number(getattr(floor, end)) for floor in floors]
    table = table.rename(columns={"seconds_per_step": "seconds", "parameter_bytes": "state_bytes", "seeds": "networks"})
    table["depth"] = table["hidden_layer_sizes"].map(len)
    devices = dict(zip(known.environments["id"], known.environments["device"], strict=True))
    table["device"] = [devices.get(environment, "cpu") for environment in table["environment"]]
    numbers = ["seconds", "law_seconds", "peak_bytes", "state_bytes"]
    table[numbers] = table[numbers].astype(float)
    return table.sort_values(["series", "parameters"], kind="stable", ignore_index=True)[_PROBED]


_PROBED = ["series", "cell", "label", "parameters", "depth", "seconds", "overhead", "overhead_low", "overhead_high",
           "law_seconds", "ruled_by", "peak_bytes", "state_bytes", "device", "runs", "networks"]  # fmt: skip


def _timed(known: "Evidence") -> pd.DataFrame:
    table = probes_table(known)
    return table[table["seconds"].notna()].reset_index(drop=True)


def _seconds_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "parameters": lambda row: f"{row['parameters']:,}",
        "alone, ms a step": lambda row: significant(1000 * row["seconds"]),
        "by the law, ms": lambda row: _or_nothing(row["law_seconds"], lambda value: significant(1000 * value)),
        "ruled by": lambda row: row["ruled_by"] if isinstance(row["ruled_by"], str) else NOTHING,
        "framework": lambda row: row["series"],
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _seconds_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No architecture has been probed alone yet."
    quick, slow = (table.iloc[place] for place in (table["seconds"].argmin(), table["seconds"].argmax()))
    ends = "; ".join(f"{word}: {row['label']}, {seconds(row['seconds'])}"
                     for word, row in (("quickest", quick), ("slowest", slow)))  # fmt: skip
    probed = counted(table["cell"].nunique(), "architecture")
    parts = [f"Time of a training step of {probed}, each alone on the machine; {ends}."]
    for name, own in table.groupby("series", sort=False):
        floor = own.iloc[0]
        if floor["overhead"] > 0:
            known = floor["overhead_low"] >= 0
            ends = f" ({seconds(floor['overhead_low'])} to {seconds(floor['overhead_high'])})" if known else ""
            ruled = (own["ruled_by"] == "overhead").sum()
            parts.append(f"Any step of {name} takes {seconds(floor['overhead'])}{ends} whatever its size; "
                         f"overhead is more than half of the time of {ruled} of {len(own)}.")  # fmt: skip
    return " ".join(parts)


def _memory(known: "Evidence") -> pd.DataFrame:
    table = probes_table(known)
    return table[table[["peak_bytes", "state_bytes"]].notna().any(axis=1)].reset_index(drop=True)


def _memory_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "parameters": lambda row: f"{row['parameters']:,}",
        "peak memory": lambda row: _or_nothing(row["peak_bytes"], size, NOT_MEASURABLE),
        "state memory": lambda row: _or_nothing(row["state_bytes"], size),
        "framework": lambda row: row["series"],
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _memory_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No architecture has been probed for its memory yet."
    largest = table.iloc[table["parameters"].argmax()]
    state = _or_nothing(largest["state_bytes"], size)
    told = f"State (parameters, gradients, optimizer), counted exactly: {state} for the largest, {largest['label']}."
    parts = [f"Memory of {counted(table['cell'].nunique(), 'architecture')}.", told]
    measured = table[table["peak_bytes"].notna()]
    for on_cpu, whose in ((True, "a fresh process beyond its imports"), (False, "the accelerator's allocator")):
        own = measured.loc[(measured["device"] == "cpu") == on_cpu, "peak_bytes"]
        if len(own):
            parts.append(f"Peak of {whose}: {size(own.min())} to {size(own.max())}.")
    return " ".join(parts if len(measured) else [*parts, f"Peak memory: {NOT_MEASURABLE}."])


def _or_nothing(value: float, write: Callable[[float], str], nothing: str = NOTHING) -> str:
    return nothing if math.isnan(value) else write(value)


# Where the wall clock went


def wall_clock_table(known: "Evidence") -> pd.DataFrame:
    """The ledger of the whole study, then of the cells that took most of it.

    Returns
    -------
    DataFrame
        cell (empty: the whole study), label, n, of_networks (as many are done; n of them in the environment of most),
        timing, environment, wall_seconds (Estimate, of a network; without a value where some are packed and some
        alone), total (seconds of all networks), of every part `…_seconds` (likewise) and `…_share` (floats) with
        `…_share_low` and `…_share_high`, runs, of_cells (as many have a ledger), of_packed (as many of these are
        packed).
    """
    whole = ledger_table(known.runs.assign(cell=""))
    cells = known.results.rows
    labels = {"": "whole study", **dict(zip(cells["cell"], cells["label"], strict=True))} if len(cells) else {}
    runs = dict(zip(cells["cell"], cells["runs"], strict=True)) if len(cells) else {}
    everything = tuple(run for own in runs.values() for run in own)
    environments = dict(zip(known.runs["run"], known.runs["environment"], strict=True))
    rows = [_ledger_row(row, labels, {**runs, "": everything}, environments)
            for row in [*whole.to_dict("records"), *known.ledger.to_dict("records")]]  # fmt: skip
    shares = [name for part in PARTS for name in _share_columns(part)]
    columns = ["cell", "label", "n", "of_networks", "timing", "environment", "wall_seconds", "total",
               *(f"{part}_seconds" for part in PARTS), *shares, "runs"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table = table[table["total"].notna()].sort_values("total", ascending=False, kind="stable", ignore_index=True)
    order = pd.concat([table[table["cell"] == ""], table[table["cell"] != ""].head(MOST_BARS)], ignore_index=True)
    own = known.runs[known.runs["run"].isin(order["runs"].iloc[0] if len(order) else ())]
    if (own["members"] > 1).nunique() > 1:
        # A share of a cohort's time and a time alone have no mean.
        order.loc[0, "timing"] = "packed and alone"
        order.loc[0, [f"{part}_seconds" for part in PARTS]] = math.nan
        mean = order["wall_seconds"].iloc[0]
        none: Any = dataclasses.replace(mean, value=None, low=None, high=None)
        order.at[0, "wall_seconds"] = none
    packed = (known.ledger["timing"] == "packed").sum()
    return order.assign(of_cells=(table["cell"] != "").sum(), of_packed=packed)


def _ledger_row(
    row: dict[Any, Any], labels: dict[str, str], runs: dict[str, tuple[str, ...]], environments: dict[str, str]
) -> dict[str, Any]:
    own = tuple(run for run in runs[row["cell"]] if environments[run] == row["environment"])
    shown: dict[str, Any] = {"cell": row["cell"], "label": labels[row["cell"]], "n": row["networks"],
                             "of_networks": len(runs[row["cell"]]), "timing": row["timing"],
                             "environment": row["environment"], "wall_seconds": row["wall_seconds"],
                             "total": number(row["wall_seconds"].value) * row["networks"], "runs": own}  # fmt: skip
    for part in PARTS:
        shown[f"{part}_seconds"] = number(row[f"{part}_seconds"].value)
        shown |= zip(_share_columns(part), ends(row[f"{part}_share"]), strict=True)
    return shown


def _ledger_cells(table: pd.DataFrame) -> Cells:
    def share(part: str) -> Callable[[Mapping[Any, Any]], str]:
        return lambda row: _share(row, part)

    def taken(part: str) -> Callable[[Mapping[Any, Any]], str]:
        return lambda row: _or_nothing(row[f"{part}_seconds"], seconds)

    return table_cells(table, {
        "cell": lambda row: row["label"],
        "timing": lambda row: row["timing"],
        "networks": lambda row: f"{row['n']:,} of {row['of_networks']:,}",
        "a network, s": lambda row: with_spread(row["wall_seconds"]),
        "all networks": lambda row: seconds(row["total"]),
        **{f"{part} %": share(part) for part in PARTS},
        **{part: taken(part) for part in PARTS},
        "id": lambda row: row["cell"] or NOTHING,
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _share(row: Mapping[Any, Any], part: str) -> str:
    return share_words(row, *_share_columns(part))


def _share_columns(part: str) -> list[str]:
    return [f"{part}_share{end}" for end in ("", "_low", "_high")]


def _ledger_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network has finished yet."
    whole = table.iloc[0]
    largest = sorted(PARTS, key=lambda part: -whole[f"{part}_share"])[:2]
    shares = ", ".join(f"{_share(dict(whole), part)} % {part}" for part in largest)
    cells, of_cells = len(table) - 1, table["of_cells"].iloc[0]
    drawn = f"the {cells} of {of_cells} cells that took most" if cells < of_cells else "every cell"
    packed = whole["of_packed"]
    how = "each network alone on the machine" if not packed else (
        f"{packed} of {counted(of_cells, 'cell')} trained in cohorts, whose time is shared out (packed)")  # fmt: skip
    networks = counted(whole["n"], "network")
    if whole["n"] < whole["of_networks"]:
        networks = f"{whole['n']:,} of {counted(whole['of_networks'], 'network')}, those of one environment"
    return (f"Wall clock of {networks}, {seconds(whole['total'])} in all: {shares}. "
            f"Bars: the whole study and {drawn}; {how}.")  # fmt: skip


def _pareto(cost: str, question: str) -> Exhibit:
    words, unit = _AXES[cost]
    return Exhibit(f"pareto-{cost}", question, "costs", partial(pareto_table, cost=cost),
                   partial(_pareto_cells, cost=cost), partial(draw_pareto, words=words, unit=unit),
                   partial(_pareto_caption, cost=cost), height=_pareto_height)  # fmt: skip


def _pareto_height(table: pd.DataFrame) -> float:
    return 3.9 + 0.1 * min(int(table["pareto"].sum()), NAMED) if len(table) else 2.6


COSTS = (
    _pareto("parameters", "Which cells give the most accuracy for their parameters?"),
    _pareto("flops", "Which cells give the most accuracy for their operations?"),
    _pareto("seconds", "Which cells give the most accuracy for their time?"),
    Exhibit("seconds-parameters", "How does the time of a step grow with the network?", "costs", _timed,
            _seconds_cells, draw_step_seconds, _seconds_caption),
    Exhibit("memory-parameters", "How much memory does a network take?", "costs", _memory,
            _memory_cells, draw_memory, _memory_caption),
    Exhibit("ledger", "Where did the time go?", "costs", wall_clock_table,
            _ledger_cells, draw_ledger, _ledger_caption,
            height=lambda table: max(2.6, 1.5 + 0.22 * len(table))),
)  # fmt: skip
