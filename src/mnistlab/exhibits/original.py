"""The two result tables of the course document this product starts from, each of its numbers beside ours."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlab.analysis.claims import judge_claims, seconds_alone
from mnistlab.analysis.estimate import Estimate
from mnistlab.claim_tables import read_claims
from mnistlab.exhibits.base import Exhibit, collapsed_words, number
from mnistlab.formatting import NOTHING, Cells, percent, seconds, size, table_cells, table_markdown, with_spread
from mnistlab.tabulation import show_command
from mnistlab.visualization.original import draw_original

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mnistlab.analysis.evidence import Evidence

_COLUMNS = ["named", "label", "cell", "quantity", "claimed", "measured", "alone", "status", "reason", "resolution",
            "networks", "collapsed", "runs"]  # fmt: skip
_STATUSES = ("true", "inside band", "false", "unsupported")


@dataclass(frozen=True, slots=True)
class Printed:
    """A row of the document, its numbers as printed; empty where its table has no such column.

    Attributes
    ----------
    named : str
        What the document calls the network.
    network : str
        What is meant, as one of our labels. The document does not say it all: of the second table Keras' and
        scikit-learn's own shape of its first pages, 64 nodes in each layer, relu.
    accuracy, training_time, parameters, memory : str
    """

    named: str
    network: str
    accuracy: str
    training_time: str
    parameters: str = ""
    memory: str = ""


WIDTHS = (
    Printed("4 nodes", "1x4 relu", "85.2%", "12.3 s", parameters="3,214"),
    Printed("32 nodes", "1x32 relu", "92.1%", "15.7 s", parameters="25,962"),
    Printed("64 nodes", "1x64 relu", "94.5%", "18.2 s", parameters="51,914"),
    Printed("128 nodes", "1x128 relu", "96.2%", "22.8 s", parameters="103,818"),
    Printed("512 nodes", "1x512 relu", "97.1%", "35.6 s", parameters="415,242"),
    Printed("2056 nodes", "1x2056 relu", "97.3%", "89.4 s", parameters="1,661,962"),
)
DEPTHS = (
    Printed("Basic FFN", "1x64 relu, sklearn", "92.5%", "25s", memory="450MB"),
    Printed("4-Layer DNN", "4x64 relu", "95.8%", "45s", memory="680MB"),
    Printed("8-Layer DNN", "8x64 relu", "97.2%", "78s", memory="920MB"),
    Printed("16-Layer DNN", "16x64 relu", "97.5%", "156s", memory="1.2GB"),
)


def _rows(document: Sequence[Printed]) -> "Callable[[Evidence], pd.DataFrame]":
    def table(known: "Evidence") -> pd.DataFrame:
        results = known.results.rows
        by_label = {row["label"]: row for row in results.to_dict("records") if row["seeds"]}
        if not any(row.network in by_label for row in document):
            return pd.DataFrame(columns=_COLUMNS)
        written = table_markdown(
            ["network", "accuracy", "training time", "parameters", "memory"],
            [[row.network, row.accuracy, row.training_time, row.parameters, row.memory] for row in document],
        )
        named = {row.network: row.named for row in document}
        rows = []
        for claim in judge_claims(read_claims(written), results):
            label = claim.subject
            row = by_label.get(label)
            alone = seconds_alone(row) if row and claim.quantity == "seconds" else 0.0
            rows.append([named[label], label, row["cell"] if row else "", claim.quantity, claim.claimed,
                         claim.measured, alone or np.nan, claim.status, claim.reason, number(known.results.resolution),
                         row["seeds"] if row else 0, row["collapsed"] if row else 0,
                         row["runs"] if row else ()])  # fmt: skip
        return pd.DataFrame(rows, columns=_COLUMNS)

    return table


def _cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "network": lambda row: row["named"],
        "quantity": lambda row: _QUANTITIES[row["quantity"]],
        "in the document": lambda row: _written(row["quantity"], row["claimed"]),
        "here": _here,
        "judgement": lambda row: row["status"],
        "because": lambda row: row["reason"],
        "taken for": lambda row: row["label"],
        "id": lambda row: row["cell"] or NOTHING,
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


_QUANTITIES = {"accuracy": "accuracy", "seconds": "training time", "parameters": "parameters", "bytes": "peak memory"}


def _written(quantity: str, value: float) -> str:
    write: dict[str, Callable[[float], str]] = {
        "accuracy": lambda share: f"{100 * share:.4g} %", "seconds": seconds, "bytes": size,
        "parameters": lambda count: f"{count:,.0f}",
    }  # fmt: skip
    return write[quantity](value)


def _here(row: "Mapping[Any, Any]") -> str:
    measured = row["measured"]
    if not isinstance(measured, Estimate):
        return NOTHING if measured is None or np.isnan(measured) else _written(row["quantity"], measured)
    if measured.value is None:
        return NOTHING
    if row["quantity"] == "accuracy":
        return f"{percent(measured)} %"
    if row["quantity"] == "bytes":
        return size(measured.value)
    alone = "" if np.isnan(row["alone"]) else f", {seconds(row['alone'])} by itself"
    return f"{with_spread(measured)} s{alone}"


def _caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network of the course document's table has been trained in this study."
    counts = Counter(table["status"])
    said = ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
    accuracy = table[table["quantity"] == "accuracy"].to_dict("records")
    leads = [(row["measured"].value - row["claimed"], row) for row in accuracy if _value(row["measured"]) is not None]
    words = ""
    if leads:
        _, row = max(leads, key=lambda pair: abs(pair[0]))
        words = (f" Farthest apart: {row['named']}, {_written('accuracy', row['claimed'])} there and "
                 f"{percent(row['measured'])} % here{collapsed_words(row['collapsed'], row['networks'])}.")  # fmt: skip
    return f"Of the {len(table)} numbers of the course document's table: {said}.{words}"


def _value(measured: Any) -> float | None:
    return measured.value if isinstance(measured, Estimate) else None


ORIGINAL = (
    Exhibit("original-widths", "Do the course document's numbers for widths hold?", "original", _rows(WIDTHS), _cells,
            draw_original, _caption),
    Exhibit("original-depths", "Do the course document's numbers for depths hold?", "original", _rows(DEPTHS), _cells,
            draw_original, _caption),
)  # fmt: skip
