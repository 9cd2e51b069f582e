"""Are a document's numbers true? Claims and a table of results in, one judgement per claim out.

Parameter counts are arithmetic and need no results. Everything else is compared with what was measured; what nothing
measured is unsupported, which is not false. A reason names cells and rules and leaves measured numbers to `measured`.
"""

import bisect
import functools
import itertools
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from mnistlab.analysis.estimate import Estimate
from mnistlab.claim_tables import Claim, Number, Quantity
from mnistlab.datasets.catalog import DATASETS
from mnistlab.errors import ConfigurationError
from mnistlab.spec import MAX_WIDTH, Cell
from mnistlab.study import flags_of

Status = Literal["true", "inside band", "false", "unsupported"]
Row = Mapping[Any, Any]
Judgement = tuple[Status, str, Estimate | float | None]  # the reason, what was measured

MACHINE_FACTORS = {"seconds_steps": 10, "seconds_end_to_end": 10, "seconds_per_step": 10,
                   "peak_bytes": 3}  # fmt: skip
"""Columns that another machine, engine or version changes, and by how much before a claim is called false."""

BYTES_OF_A_WEIGHT = 4
_OF_WHOLE_TRAINING = ("seconds_steps", "seconds_end_to_end")


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim and what became of it.

    Attributes
    ----------
    file : str
    line : int
    subject : str
        The network, in the document's words.
    quantity : str
    claimed : float
        Accuracies as fractions, seconds, bytes.
    measured : Estimate | float | None
        What the results say, or the exact count; None: nothing to compare with.
    status : str
        `true`: equal within the printed digits. `inside band`: inside the interval. `false`. `unsupported`.
    reason : str
    """

    file: str
    line: int
    subject: str
    quantity: Quantity
    claimed: float
    measured: Estimate | float | None
    status: Status
    reason: str


def judge_claims(claims: Iterable[Claim], results: pd.DataFrame | None = None) -> list[JudgedClaim]:
    """Whether each claim is true, inside the band, false or unsupported, and why.

    Parameters
    ----------
    claims : iterable of Claim
    results : DataFrame | None
        Rows of `analysis.results.results_table`; None, or without rows: only arithmetic is judged.

    Returns
    -------
    list of JudgedClaim
        In the order of the claims. What a claim leaves unsaid (activation, framework, epochs) is taken at the
        specification's default. Section Claims of docs/measurement.md.
    """
    rows = [] if results is None else results.to_dict("records")
    named = {row[name].lower(): row for name in ("cell", "label") for row in rows}
    judged = []
    for claim in claims:
        status, reason, measured = _judge(claim, named)
        judged.append(JudgedClaim(claim.file, claim.line, claim.subject.text, claim.quantity, claim.number.value,
                                  measured, status, reason))  # fmt: skip
    return judged


def _judge(claim: Claim, results: Mapping[str, Row]) -> Judgement:
    subject = claim.subject
    if claim.quantity == "accuracy" and claim.number.value > 1:
        return "false", "no accuracy is above 100 %", None
    if claim.column is None:
        return "unsupported", "it is no quantity that `mnistlab results` shows", None
    row = results.get(subject.text.lower())
    if row is None and subject.problem:
        return "unsupported", subject.problem, None
    if row is None and subject.depth is None:
        return "unsupported", f"“{subject.text}” says neither widths nor depth: no one network is meant", None
    try:
        if subject.depth and not subject.hidden_layer_sizes:
            return _judge_any_width(claim, subject.depth, results)
        cell = None if subject.problem else subject.cell(subject.hidden_layer_sizes or ())
    except ConfigurationError as error:
        return "unsupported", str(error), None
    return _judge_cell(claim, cell, results.get(cell.id) if row is None and cell else row)


def _judge_cell(claim: Claim, cell: Cell | None, row: Row | None) -> Judgement:
    """A claim about one cell: what its words mean, the row of the results that is it, or both."""
    if claim.quantity == "parameters" and cell is not None:
        return _judge_parameters(claim, cell)
    if claim.quantity == "bytes" and cell is not None:
        least = BYTES_OF_A_WEIGHT * _count(cell, "parameters")
        if claim.number.value + claim.number.half_digit < least:
            return "false", f"its weights alone take {least:,} bytes, {BYTES_OF_A_WEIGHT} each", None
    if row is None:
        return "unsupported", f"no finished run of {_train(cell, row)}", None
    measured = row[claim.column]
    value = measured.value if isinstance(measured, Estimate) else measured
    if value is None or math.isnan(value):
        lack = f"this was not measured of {row['label']}" if row["seeds"] else f"no finished run of {_train(cell, row)}"
        return "unsupported", lack, None
    return *_compare(claim, measured, row["label"], seconds_alone(row)), measured


def _train(cell: Cell | None, row: Row | None) -> str:
    return str(row and row["label"]) if cell is None else _command(cell)


@functools.lru_cache(maxsize=1024)
def _command(cell: Cell) -> str:
    return f"{cell.label} in these results; `mnistlab run {shlex.join(flags_of(cell, 0)[:-2])}` would measure it"


def seconds_alone(row: Row) -> float:
    """What the steps of a run take by its framework's own fit, which is what documents time; 0 where not measured."""
    a_step, epochs = row["seconds_per_step"].value, row["epochs_done"].value
    return float(a_step * row["steps_per_epoch"] * epochs) if a_step and epochs else 0.0


def _compare(claim: Claim, measured: Estimate | float, label: str, alone: float) -> tuple[Status, str]:
    """Beside one measured value: first the printed digits, then the interval, then what another machine may change."""
    number = claim.number
    exact = measured if isinstance(measured, Estimate) else Estimate(measured, measured, measured)
    value, low, high = exact.value or 0.0, exact.low, exact.high
    if _rounds_to(number, value):
        return "true", f"equals what was measured of {label}, to the digits printed"
    if low is not None and high is not None and low < high and _overlap(number, low, high):
        how = "inside" if low <= number.value <= high else "with its own interval or digits it meets"
        return "inside band", f"{how} the {exact.level * 100:.0f} % interval of {label}"
    if factor := MACHINE_FACTORS.get(str(claim.column)):
        machine = f"within a factor of {factor} of {label} on the machine of these results"
        most = value if high is None else high
        if claim.column in _OF_WHOLE_TRAINING:  # in a cohort, as here, or by itself
            most = max(most, alone)
        if _overlap(number, (value if low is None else low) / factor, most * factor):
            return "inside band", f"{machine}; another machine cannot be held to more"
        return "false", f"not {machine}, and that is more than machines differ by"
    if low is None or high is None:
        return "unsupported", f"{label} was measured once, so how far another network may be is not known"
    what = "what was measured" if low == high else f"the {exact.level * 100:.0f} % interval"
    return "false", f"{'below' if number.value < value else 'above'} {what} of {label}"


def _rounds_to(number: Number, value: float) -> bool:
    return abs(number.value - value) <= number.half_digit * (1 + 1e-9)


def _overlap(number: Number, low: float, high: float) -> bool:
    """Whether the claim, with its printed digits or its own interval, meets another interval."""
    own_low = number.value if number.low is None else number.low
    own_high = number.value if number.high is None else number.high
    return own_low - number.half_digit <= high and low <= own_high + number.half_digit


# Parameters: arithmetic, which needs no results.


def _judge_parameters(claim: Claim, cell: Cell) -> Judgement:
    column, sizes = str(claim.column), cell.architecture.hidden_layer_sizes
    exact = _count(cell, column)
    nodes = f"{sizes[0]:,} node{'s have' if sizes[0] > 1 else ' has'}"
    reason = f"{nodes if len(sizes) == 1 else f'{_shape(cell)} has'} {exact:,} = {_layers(cell, column)}"
    if _rounds_to(claim.number, exact):
        return "true", reason, exact
    if len(sizes) == 1:
        reason = f"{_impossible(claim.number, cell, column)}; {reason}"
    return "false", reason, exact


def _judge_any_width(claim: Claim, depth: int, results: Mapping[str, Row]) -> Judgement:
    """A claim about a depth alone: some network of that depth may bear it out; none can refute it for all widths."""
    subject = claim.subject
    if claim.quantity == "parameters":
        return _judge_parameters_of_any_width(claim, depth)
    found = []
    for row in {row["cell"]: row for row in results.values()}.values():
        if len(row["hidden_layer_sizes"]) == depth:
            cell = subject.cell(tuple(row["hidden_layer_sizes"]))
            if cell.id == row["cell"]:
                found.append((row["label"], _judge_cell(claim, cell, row)))
    for wanted in ("true", "inside band"):
        for _, (status, reason, measured) in found:
            if status == wanted:
                return status, f"no width is said; {reason}", measured
    if not found:
        return "unsupported", f"no width is said; no finished run of {_command(subject.cell((64,) * depth))}", None
    labels = ", ".join(label for label, _ in found)
    return "unsupported", f"no width is said; not what was measured of {labels}, but other widths may have it", None


def _judge_parameters_of_any_width(claim: Claim, depth: int) -> Judgement:
    number, column = claim.number, str(claim.column)

    def cell_of(width: int) -> Cell:
        return claim.subject.cell((width,) * depth)

    def count(width: int) -> int:
        return _count(cell_of(width), column)

    wide = min(bisect.bisect_left(range(1, MAX_WIDTH + 1), number.value, key=count) + 1, MAX_WIDTH)
    near = [cell_of(width) for width in (wide - 1, wide) if width]
    for cell in near:
        if _rounds_to(number, exact := _count(cell, column)):
            return "true", f"no width is said; {_shape(cell)} has {exact:,} = {_layers(cell, column)}", exact
    if depth == 1:
        return "false", _impossible(number, near[0], column), None
    counts = ", ".join(f"{_shape(cell)} has {_count(cell, column):,}" for cell in near)
    if number.value < count(1):
        return "false", f"fewer than any network of {depth} hidden layers has: {counts}", None
    return "unsupported", f"no width is said; no {depth} equal layers have it ({counts}), unequal ones may", None


def _inputs(cell: Cell) -> int:
    return cell.features.n_features(DATASETS[cell.dataset].image_shape)


def _count(cell: Cell, column: str) -> int:
    count = cell.architecture.parameters if column == "parameters" else cell.architecture.trainable_parameters
    return count(_inputs(cell), DATASETS[cell.dataset].n_classes)


def _shape(cell: Cell) -> str:
    return str(cell.architecture).partition(" ")[0]


def _layers(cell: Cell, column: str) -> str:
    """The count as a sum over layers, weights and biases: `784·4 + 4 + 4·10 + 10`."""
    widths = (_inputs(cell), *cell.architecture.hidden_layer_sizes, DATASETS[cell.dataset].n_classes)
    terms = []
    for (fan_in, fan_out), equal in itertools.groupby(itertools.pairwise(widths)):
        times = len(list(equal))
        layer = f"{fan_in}·{fan_out} + {fan_out}"
        terms.append(layer if times == 1 else f"{times}·({layer})")
    if cell.architecture.batch_norm:
        terms.append(f"{4 if column == 'parameters' else 2}·{sum(widths[1:-1])} of batch norm")
    return " + ".join(terms)


def _impossible(claimed: Number, cell: Cell, column: str) -> str:
    """Why one hidden layer of no width has this count, or which width has it: every node adds the same number."""
    constant = DATASETS[cell.dataset].n_classes
    per_node = (_count(cell, column) - constant) // cell.architecture.hidden_layer_sizes[0]
    width = round((claimed.value - constant) / per_node)
    if width > 0 and _rounds_to(claimed, per_node * width + constant):
        return f"{claimed.value:,} is the count of {width:,} node{'s' * (width > 1)}"
    return f"{per_node} n + {constant} = {claimed.value:,} has no whole n{'' if width > 0 else ' above 0'}"
