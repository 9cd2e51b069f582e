"""What plan, run, status and show print: a plain document for JSON, lines for people. Values in, text out."""

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mnistlab.conduct import Progress, RunSummary
from mnistlab.engines.programs import Program, why_not_covered
from mnistlab.formatting import NOTHING, counted, document, percent, seconds, size, text_table, to_json
from mnistlab.plan import CellSize, Plan
from mnistlab.records import Evaluation, Measurement, RunResult
from mnistlab.spec import Cell, Run
from mnistlab.store.tables import RunDetail, StudyStatus
from mnistlab.study import repeat_words

if TYPE_CHECKING:
    from mnistlab.conduct import Happening

_CURVE_ROWS = 20
NOT_ALONE = "its search alone decides what is trained, no command repeats one by itself"


def cell_document(cell: Cell, sizes: CellSize) -> dict[str, Any]:
    """A cell in the public shape."""
    counts = {"parameters": sizes.parameters, "flops_per_step": sizes.flops_per_step}
    return {"cell": cell.id, "label": cell.label, **cell.content(), **counts}


def plan_document(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints."""
    groups = Counter((group.program, len(group.runs)) for group in plan.groups)
    return document(
        study=plan.study.name,
        cells=[
            {**cell_document(p.cell, p.size), "seeds": p.seeds, "to_do": p.to_do, "predicted_seconds": p.seconds.value}
            for p in plan.cells
        ],
        networks=plan.networks, to_do=plan.to_do, parameters_total=plan.parameters_total, flops_total=plan.flops_total,
        peak_bytes=plan.peak_bytes, predicted_seconds=plan.seconds, workers=plan.workers,
        engine_groups=[{"engine": program.engine, "program": str(program), "members": members, "groups": n_groups,
                        "cells": _cells_of(plan, program, members)}
                       for (program, members), n_groups in sorted(groups.items(), key=str)],
    )  # fmt: skip


def _cells_of(plan: Plan, program: Program, members: int) -> int:
    groups = (group.runs for group in plan.groups if (group.program, len(group.runs)) == (program, members))
    return len({run.cell.id for runs in groups for run in runs})


def _trained_by(plan: Plan, engine: str) -> str:
    """Which engine trains how many of the runs to do, and what keeps cells from the population engine."""
    runs = Counter[str]()
    for group in plan.groups:
        runs[group.program.engine] += len(group.runs)
    parts = [f"{name} engine {counted(n, 'run')}" for name, n in sorted(runs.items(), key=lambda item: -item[1])]
    asked = [planned for planned in plan.cells if planned.to_do and engine != "reference"]
    whys = Counter(why for p in asked if (why := why_not_covered(p.cell, p.size.n_steps(p.cell))))
    reasons = [f"{counted(n, 'cell')} by its framework's own fit: {why}" for why, n in whys.items()]
    return f"Trained by: {'; '.join([', '.join(parts), *reasons])}." if parts else ""


def plan_text(plan: Plan, width: int, engine: str) -> str:
    """The plan for people: its cells, then what trains them (`engine` is what was asked for), then their price."""
    rows = [
        [p.cell.label, f"{p.size.parameters:,}", f"{p.size.flops_per_step:,}", f"{p.size.n_train:,}",
         f"{p.cell.training.epochs:,}", f"{p.to_do:,} of {p.seeds:,}", seconds(p.seconds.value), p.cell.id]
        for p in plan.cells
    ]  # fmt: skip
    columns = ["cell", "parameters", "FLOPs a step", "examples", "epochs", "to do", "time", "id"]
    networks, cells = counted(plan.networks, "network"), counted(len(plan.cells), "cell")
    price = plan.seconds
    basis = (
        f"from {counted(price.n, 'run')} done here" if price.n else "a first guess, nothing like it has been run here"
    )
    time = f"about {seconds(price.value)} ({seconds(price.low)} to {seconds(price.high)})"
    return "\n".join([
        *textwrap.wrap(f"{plan.study.name}: {cells}, {networks}, {plan.to_do:,} to do", width),
        text_table(columns, rows, width),
        "",
        *textwrap.wrap(f"Time: {time} in {counted(plan.workers, 'process', 'processes')}; {basis}.", width),
        *textwrap.wrap(_trained_by(plan, engine), width),
        *textwrap.wrap(f"Memory: about {size(plan.peak_bytes)}. Arithmetic: {plan.flops_total:.3g} floating-point "
                       "operations, all networks together.", width),
    ])  # fmt: skip


def event_documents(event: "Happening | Progress") -> Iterator[dict[str, Any]]:
    """The lines of `run --follow` that tell of one event."""
    from mnistlab.execution.local import EpochEnded, Finished, Started

    match event:
        case Plan():
            yield document(event="study", study=event.study.name, cells=len(event.cells), networks=event.networks,
                           to_do=event.to_do, predicted_seconds=event.seconds)  # fmt: skip
        case Started(group=group):
            yield from (to_json({"event": "started", **_named(run)}) for run in group.runs)
        case EpochEnded(run_id=run, epoch=epoch):
            yield to_json({"event": "epoch", "run": run, "epoch": epoch})
        case Finished(result=result):
            accuracy = None if result.test is None else result.test.accuracy
            yield to_json({"event": "result", **_named(result.run), "status": result.status, "reason": result.reason,
                           "test_accuracy": accuracy, "seconds": result.ledger.end_to_end_seconds})  # fmt: skip
        case Measurement():
            yield to_json({"event": "measurement", "cell": event.cell_id, "seconds_per_step": event.seconds_per_step,
                           "peak_bytes": event.peak_bytes})  # fmt: skip
        case Progress():
            yield to_json({"event": "progress", "study": event.study, "done": event.done, "failed": event.failed,
                           "total": event.total, "seconds": event.seconds,
                           "eta_seconds": event.eta_seconds})  # fmt: skip


def _named(run: Run) -> dict[str, Any]:
    return {"run": run.id, "cell": run.cell.id, "label": run.cell.label, "seed": run.seed}


def summary_document(summary: RunSummary) -> dict[str, Any]:
    """What `run --json` prints."""
    content = asdict(summary)
    del content["exit_status"]
    return document(**content)


def summary_text(summary: RunSummary, words: str, where: str) -> str:
    """How a run ended, and how to go on: with `words` behind `mnistlab run`, and the flags `where` things lie."""
    finished = summary.done + summary.diverged  # never to be trained again
    text = f"{finished:,} of {finished + summary.to_do:,} runs finished and kept"
    told = [f"{n} {word}" for word, n in (("failed", summary.failed), ("timed out", summary.timeout),
                                         ("diverged", summary.diverged)) if n]  # fmt: skip
    if told:
        text += f" ({', '.join(told)})"
    if summary.stopped == "budget":
        text += f"; the budget left {summary.to_do:,} to do"
    if summary.to_do:
        return f"{text}; `mnistlab run {words}{where}` goes on"
    return f"{text} in {seconds(summary.seconds)}; `mnistlab results {shlex.quote(summary.study)}{where}` shows them"


def status_document(rows: list[StudyStatus]) -> dict[str, Any]:
    """What `status --json` prints."""
    return document(studies=[_status(row) for row in rows])


def _status(row: StudyStatus) -> dict[str, Any]:
    open_runs = row.planned + row.running + row.failed + row.timeout
    speed = row.networks_per_second
    return {
        "study": row.study, "planned": row.planned, "running": row.running, "done": row.done, "failed": row.failed,
        "diverged": row.diverged, "timeout": row.timeout, "networks_per_second": speed,
        "eta_seconds": open_runs / speed if speed and open_runs else 0.0 if not open_runs else None,
    }  # fmt: skip


def status_text(rows: list[StudyStatus], width: int) -> str:
    """A line per study."""
    if not rows:
        return textwrap.fill("No study has been run yet; `mnistlab run smoke` runs a small one.", width)
    columns = ["study", "done", "running", "to do", "failed", "diverged", "timed out", "networks/s", "time left"]
    lines = []
    for row, told in zip(rows, map(_status, rows), strict=True):
        speed = NOTHING if row.networks_per_second is None else f"{row.networks_per_second:.2g}"
        left = seconds(told["eta_seconds"]) if told["eta_seconds"] else NOTHING
        counts = (row.done, row.running, row.planned, row.failed, row.diverged, row.timeout)
        lines.append([row.study, *(f"{n:,}" for n in counts), speed, left])
    return text_table(columns, lines, width)


def repeat_command(detail: RunDetail) -> str | None:
    """The line that trains this run again; None where none does: of a search, what has no network or was given up."""
    result = detail.result
    if detail.role != "common" and (detail.status != "done" or (result and result.stopped_by == "halving")):
        return None
    engine, device = (None, None) if result is None else (result.engine, result.environment.device)
    return shlex.join(repeat_words(detail.run.cell, detail.run.seed, engine, device))


def run_document(detail: RunDetail) -> dict[str, Any]:
    """What `show --json` prints: everything stored but the digits' own predictions, which stay in the store."""
    cell = detail.run.cell
    content: dict[str, Any] = {
        "run": detail.run.id, "seed": detail.run.seed, "status": detail.status, "role": detail.role,
        "attempt": detail.attempt,
        "started_at": detail.started_at, "finished_at": detail.finished_at, "studies": detail.studies,
        **cell_document(cell, detail.size), "command": repeat_command(detail),
        "weights": None if detail.weights is None else str(detail.weights),
    }  # fmt: skip
    if (result := detail.result) is not None:
        plain = ("engine", "program", "members", "reason", "epochs_done", "best_epoch", "stopped_by", "weights_sha256",
                 "differences", "epochs", "environment")  # fmt: skip
        content |= {name: getattr(result, name) for name in plain}
        content["epochs_asked"] = detail.run.cell.training.epochs
        content["ledger"] = {**asdict(result.ledger), "end_to_end_seconds": result.ledger.end_to_end_seconds}
        content |= {"test": _evaluation(result.test), "validation": _evaluation(result.validation)}
    return document(**content)


def _evaluation(found: Evaluation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    names = ("accuracy", "log_loss", "brier", "macro_precision", "macro_recall", "macro_f1", "ece", "ece_floor",
             "bin_count", "bin_confidence", "bin_accuracy")  # fmt: skip
    return {"digits": found.digits.id, "n": len(found.predicted), **{name: getattr(found, name) for name in names}}


def run_text(detail: RunDetail, width: int) -> str:
    """Everything about one run, for people."""
    lines = [f"run {detail.run.id}: {detail.run.cell.label}, seed {detail.run.seed}", f"status: {detail.status}"]
    if detail.role == "search":
        lines.append("a trial of a search: it has seen no test digit")
    command = repeat_command(detail)
    if detail.status == "done" and command is not None:
        export = f"not kept; `mnistlab export {detail.run.id} --format keras` trains it again and keeps them"
        lines.append(f"weights: {detail.weights or export}")
    if detail.result is not None:
        lines += _result_lines(detail.result, width)
    repeat = [f"Repeat it: {NOT_ALONE}."] if command is None else ["Repeat it:", f"  {command}"]
    return "\n".join([*lines, "", *repeat])


def _result_lines(result: RunResult, width: int) -> list[str]:
    from mnistlab.analysis.intervals import wilson_interval

    ledger, lines = result.ledger, []
    if result.reason:
        lines.append(f"reason: {result.reason}")
    for part, found in (("test", result.test), ("validation", result.validation)):
        if found is not None:
            accuracy = wilson_interval(int(found.correct.sum()), len(found.predicted))
            lines.append(
                f"{part}: {percent(accuracy)} % of {len(found.predicted):,} digits, log-loss {found.log_loss:.4f}, "
                f"macro F1 {found.macro_f1:.4f}, ECE {found.ece:.4f} (floor {found.ece_floor:.4f})"
            )
    stopped = f", stopped by {result.stopped_by}" if result.stopped_by else ""
    lines.append(f"epochs: {result.epochs_done} of {result.run.cell.training.epochs}{stopped}")
    if result.weights_sha256:
        lines.append(f"trained by {result.engine} ({result.program}), weights {result.weights_sha256[:16]}")
    spent = [f"{name.removesuffix('_seconds')} {seconds(value)}" for name, value in asdict(ledger).items()
             if value or name != "features_seconds"]  # fmt: skip
    lines.append(f"seconds: {', '.join(spent)}")
    lines += [f"differs from Keras: {difference}" for difference in result.differences]
    names = ["train_loss", "validation_loss", "validation_accuracy", "test_accuracy"]
    if all(epoch.test_accuracy is None for epoch in result.epochs):
        names.remove("test_accuracy")
    rows = [[str(e.epoch), *(_number(getattr(e, name)) for name in names)] for e in result.epochs]
    shown = rows if len(rows) <= _CURVE_ROWS else [*rows[: _CURVE_ROWS // 2], *rows[-_CURVE_ROWS // 2 :]]
    lines += ["", text_table(["epoch", *(name.replace("_", " ") for name in names)], shown, width)]
    if len(shown) < len(rows):
        lines.append(f"({len(rows) - len(shown)} epochs in between are left out; --json has all)")
    return lines


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
