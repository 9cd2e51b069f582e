"""`mnistlab plan`, `run`, `status`: what will be trained, training it, how far it is."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mnistlab import formatting, lab
from mnistlab.cli import documents
from mnistlab.cli.output import (
    Json,
    Points,
    ProgressLine,
    Where,
    Whole,
    emit,
    emit_json,
    notify,
    seconds_of,
    terminal_width,
)
from mnistlab.errors import ConfigurationError, InvalidFieldError
from mnistlab.plan import Plan
from mnistlab.study import FLAGS, Flag, Study, study_from_flags

if TYPE_CHECKING:
    from mnistlab.conduct import Happening, Progress

_ASK_ABOVE_SECONDS = 3600.0
_KINDS = {"list": str, "switch": bool, "repeat": list[str]}


def _declare(flag: Flag) -> tuple[str, Any, Any]:
    parameter = Parameter(name=flag.option, help=flag.about, negative="")
    return flag.name, Annotated[_KINDS[flag.kind] | None, parameter], field(default=None)


# One flag per field of the specification, as `study` declares them.
CellFlags = make_dataclass(
    "CellFlags", [_declare(flag) for flag in FLAGS], kw_only=True, namespace={"__module__": __name__}
)
Flags = Annotated[CellFlags | None, Parameter(name="*", group="Ad-hoc study (instead of STUDY)")]  # type: ignore[valid-type]


def plan(
    study: str | None = None,
    /,
    *,
    seeds: Whole | None = None,
    tune: str | None = None,
    engine: str = "auto",
    workers: Whole | None = None,
    max_runs: Whole = lab.MAX_RUNS,
    json: Json = False,
    flags: Flags = None,
    where: Where | None = None,
) -> None:
    """Show the cells of a study and their price before running: parameters, operations, memory, time.

    Parameters
    ----------
    study
        smoke, lab, factors, grid, plain, strong, deformed, a TOML file, or a Python file that defines CONFIG.
    seeds
        Seeds 0 … N-1 instead of the study's own.
    tune
        The price with learning_rate tuned for every cell, as of run.
    engine
        auto, population (cohorts in one compiled program, each network as if it were alone; what these do not cover is
        trained by its framework) or reference (the framework's own fit).
    workers
        Processes side by side (default: one a core).
    max_runs
        Refuse a larger plan.
    """
    source, places = _study(study, flags, seeds), (where or Where()).places
    with _as_written(study):
        planned = lab.plan(source, tune=tune, engine=engine, workers=workers, max_runs=max_runs, places=places)
    if json:
        emit_json(documents.plan_document(planned))
    else:
        emit(documents.plan_text(planned, terminal_width(), engine))


def run(
    study: str | None = None,
    /,
    *,
    budget: str | None = None,
    seeds: Whole | None = None,
    until_decided: Annotated[bool, Parameter(negative="")] = False,
    margin: Points | None = None,
    max_seeds: Whole | None = None,
    tune: str | None = None,
    engine: str = "auto",
    workers: Whole | None = None,
    device: str = "cpu",
    fresh: Annotated[bool, Parameter(negative="")] = False,
    keep: str = "none",
    yes: Annotated[bool, Parameter(negative="")] = False,
    max_runs: Whole = lab.MAX_RUNS,
    follow: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    flags: Flags = None,
    where: Where | None = None,
) -> int:
    """Train what the store does not hold yet, round by round; go on where an earlier call stopped.

    Parameters
    ----------
    study
        smoke, lab, factors, grid, plain, strong, deformed, a TOML file, or a Python file that defines CONFIG.
    budget
        Wall-clock limit such as 90s, 10m or 2h: no network starts that would end after it.
    seeds
        Seeds 0 … N-1 instead of the study's own.
    until_decided
        Give seeds where verdicts are open: every cell gets 5, then those with an open verdict 10, 20, 40.
    margin
        With --until-decided: what counts as equivalent, in points of accuracy (default: 0.2).
    max_seeds
        With --until-decided: no cell gets more seeds (default: 40).
    tune
        learning_rate: try five rates of every cell, a sixteenth to sixteen times its own, on validation digits, then
        train it with its best one, as the study NAME-tuned; its report says which verdicts of STUDY change.
    engine
        auto, population (cohorts in one compiled program, each network as if it were alone; what these do not cover is
        trained by its framework) or reference (the framework's own fit).
    workers
        Processes side by side (default: one a core).
    device
        cpu or gpu.
    fresh
        Forget this study's results, and the networks kept of them, and start anew.
    keep
        Keep trained networks under models/ for predict and export: none, all, or best (of every cell the one of highest
        validation accuracy).
    yes
        Do not ask before a study of more than an hour.
    max_runs
        Refuse a larger plan.
    follow
        Print what happens as it happens, one JSON document a line; when nobody reads any more, the run stops.
    """
    source, places = _study(study, flags, seeds), (where or Where()).places
    if until_decided:
        source = _until_decided(source, seeds, flags, margin, max_seeds)
    elif margin is not None or max_seeds is not None:
        alone = f"--max-seeds {max_seeds}" if margin is None else f"--margin {margin:g}"
        raise ConfigurationError(alone, "it goes with --until-decided")
    seconds = None if budget is None else seconds_of(budget)
    progress = ProgressLine()

    def tell(event: "Happening | Progress") -> None:
        if follow:
            for line in documents.event_documents(event):
                emit_json(line)
            sys.stdout.flush()

    def on_progress(state: "Progress") -> None:
        progress(state)
        tell(state)

    with _as_written(study), closing(progress):
        if seconds is None and not yes and sys.stdin.isatty() and sys.stderr.isatty():
            _ask(lab.plan(source, tune=tune, engine=engine, workers=workers, max_runs=max_runs, places=places))
        summary = lab.run(
            source, budget=seconds, tune=tune, engine=engine, workers=workers, device=device, fresh=fresh, keep=keep,
            max_runs=max_runs, places=places, on_progress=on_progress, on_event=tell, notify=progress.tell,
        )  # fmt: skip
    if follow:
        emit_json({**documents.summary_document(summary), "event": "end"})
    elif json:
        emit_json(documents.summary_document(summary))
    else:
        words = source.words if tune is None else f"{source.words} --tune {tune}"
        words = words if keep == "none" else f"{words} --keep {keep}"
        emit(documents.summary_text(summary, words, (where or Where()).words))
    return summary.exit_status


def status(study: str | None = None, /, *, json: Json = False, where: Where | None = None) -> None:
    """Say how far every study is.

    Parameters
    ----------
    study
        One study only.
    """
    rows = lab.status(study, places=(where or Where()).places)
    if json:
        emit_json(documents.status_document(rows))
    else:
        emit(documents.status_text(rows, terminal_width()))


def _study(study: str | None, flags: Any, seeds: int | None) -> Study:
    given = {} if flags is None else {k: v for k, v in asdict(flags).items() if v is not None}
    if study is not None and given:
        names = ", ".join(flag.option for flag in FLAGS if flag.name in given)
        raise ConfigurationError(f"STUDY {study}", f"{names} cannot change a study", "give a study or flags, not both; "
                                 "a flag takes one word, such as 32,64, and a switch none")  # fmt: skip
    if seeds is not None and "seed" in given:
        raise ConfigurationError(f"--seeds {seeds}", f"--seed {given['seed']} names the seeds", "give one of them")
    return lab.as_study(study if study is not None else study_from_flags(given), seeds=seeds)


def _until_decided(study: Study, seeds: int | None, flags: Any, margin: float | None, max_seeds: int | None) -> Study:
    if seeds is not None or (flags is not None and flags.seed is not None):
        raise ConfigurationError("--until-decided", "it gives out seeds 0, 1, 2 … itself", "leave out --seeds, --seed")
    return lab.until_decided(study, margin=None if margin is None else margin / 100, max_seeds=max_seeds)


@contextmanager
def _as_written(study: str | None) -> Iterator[None]:
    """Faults that show only beside the data, such as too large a batch, under the name their user wrote."""
    try:
        yield
    except InvalidFieldError as error:
        flag = next((flag.option for flag in FLAGS if flag.name == error.field), error.field)
        raise error.named(flag if study is None else f"study {study}, {error.field}") from None


def _ask(planned: Plan) -> None:
    predicted = planned.seconds.value or 0.0
    if predicted <= _ASK_ABOVE_SECONDS:
        return
    most = "" if planned.study.until_margin is None else "at most "
    notify(f"{most}{planned.to_do:,} networks, about {formatting.seconds(predicted)} on this machine.")
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigurationError(f"study {planned.study.name}", "not started", "--budget 10m or --yes")
