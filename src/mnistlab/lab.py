"""The verbs: one function per thing a person can ask for. Command line and notebooks call these and nothing beneath.

Here the two ends meet: what the store holds goes to the plan as a value, what the engines yield goes into the store.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistlab import places as found_places
from mnistlab import study as studies
from mnistlab.conduct import Progress, RunSummary, conduct
from mnistlab.datasets import catalog, sources
from mnistlab.datasets.catalog import Dataset
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.places import Places, Setting
from mnistlab.plan import Plan, cell_size, make_plan, run_bytes, work_of
from mnistlab.price import Prices
from mnistlab.spec import Run
from mnistlab.store import tables
from mnistlab.store.tables import RunDetail, Store, StudyStatus
from mnistlab.study import Study, load_config

if TYPE_CHECKING:
    from mnistlab.analysis.results import ResultsTable
    from mnistlab.conduct import Happening
    from mnistlab.instruments.doctor import Check
    from mnistlab.store.rescue import Rescue

Notify = Callable[[str], None]
StudySource = Study | Mapping[str, Any] | str | Path
MAX_RUNS = 100_000


def _silent(_news: object) -> None:
    """Tell nobody."""


def open_store(path: str | Path) -> Store:
    """A store for reading: `runs()`, `epochs()`, `predictions(run)` give DataFrames."""
    return tables.open_store(Path(path))


def as_study(source: StudySource, *, seeds: int | None = None) -> Study:
    """A `Study` from a study, a `CONFIG`, a file or a shipped name; `seeds` replaces its seeds by 0 … seeds − 1."""
    study = source if isinstance(source, Study) else load_config(source)
    return study if seeds is None else studies.with_seeds(study, seeds)


def data_fetch(
    name: str, *, from_dir: Path | None = None, places: Places | None = None, notify: Notify = _silent
) -> str:
    """Bring a data set into the cache; returns where it came from.

    Raises
    ------
    ConfigurationError
        `from_dir` is no folder, or the data set is unknown.
    DataError
        No source had it.
    """
    places = places or Places.find()
    if from_dir is not None and not from_dir.is_dir():
        raise ConfigurationError(f"--from {from_dir}", "there is no such folder")
    return sources.fetch(name, places.data_dir, from_dir=from_dir, offline=places.offline, notify=notify)


def data_show(name: str, *, places: Places | None = None) -> Dataset:
    """A data set of the cache, verified."""
    return catalog.load(name, (places or Places.find()).data_dir)


def plan(
    source: StudySource, *, seeds: int | None = None, engine: str = "auto", workers: int | None = None,
    max_runs: int = MAX_RUNS, places: Places | None = None,
) -> Plan:  # fmt: skip
    """What `run` would do, and its price; trains and writes nothing.

    Raises
    ------
    ConfigurationError
        A cell that cannot be trained as asked, more runs than `max_runs`, or a network this machine has no memory for.
    """
    places, study = places or Places.find(), as_study(source, seeds=seeds)
    store = open_store(places.store)
    return _plan(study, store, _prices(store, "cpu"), engine, workers, max_runs)


def run(
    source: StudySource, *, store: str | Path | None = None, budget: float | None = None, seeds: int | None = None,
    engine: str = "auto", workers: int | None = None, device: str = "cpu", fresh: bool = False,
    max_runs: int = MAX_RUNS, places: Places | None = None, on_progress: Callable[[Progress], None] = _silent,
    on_event: "Callable[[Happening], None]" = _silent, notify: Notify = _silent,
) -> RunSummary:  # fmt: skip
    """Train what the store does not hold yet, round by round, until the study or the budget ends.

    Parameters
    ----------
    source : Study, mapping, str or Path
        A study, a `CONFIG`, a TOML or Python file, or the name of a shipped study.
    store : path, optional
        The file that holds the results; by default that of `places`.
    budget : float, optional
        Wall-clock seconds from this call: no run starts whose predicted end is past it.
    seeds : int, optional
        Seeds 0 … seeds − 1 instead of the study's own.
    engine : str, default="auto"
        `auto` or `reference`.
    workers : int, optional
        Processes side by side; by default one a core, fewer where memory is short.
    device : str, default="cpu"
        `cpu` or `gpu`; MachineError where there is none.
    fresh : bool, default=False
        Forget this study's results first.
    max_runs : int
        A larger plan is refused.
    places : Places, optional
    on_progress, on_event, notify : callable
        Told where the study stands, what happens (see `conduct.conduct`), and what else its user should know.

    Returns
    -------
    RunSummary
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError("mnistlab.run", "a worker process that loads this script has come to it again",
                                 'put the call below `if __name__ == "__main__":`')  # fmt: skip
    started = time.monotonic()
    study, places = as_study(source, seeds=seeds), places or Places.find()
    places = replace(places, store=Path(store)) if store is not None else places
    _check_device(device)
    plan(study, engine=engine, workers=workers, max_runs=max_runs, places=places)  # faults show before a download
    for name in dict.fromkeys(cell.dataset for cell in study.cells):
        sources.fetch(name, places.data_dir, offline=places.offline, notify=notify)

    from mnistlab.execution.stop import Budget, stop_on_signals
    from mnistlab.execution.worker import WorkerSettings
    from mnistlab.store.writer import open_writer

    settings = WorkerSettings(places.data_dir.resolve(), device=device, threads=_threads())
    allowance = Budget(budget, started)
    holder = f"mnistlab run {study.name}"
    with open_writer(places.store, holder=holder, notify=notify) as writer, stop_on_signals() as stop:
        wanted = [Run(cell, seed) for cell in study.cells for seed in study.seeds]
        if fresh:
            writer.forget([run.id for run in wanted])
        known = open_store(places.store)
        prices = _prices(known, device)
        planned = _plan(study, known, prices, engine, workers, max_runs)
        writer.register_study(study, planned.sizes, wanted)
        stored = known.statuses(study.name)
        return conduct(
            planned, writer, prices, statuses={run.id: stored[run.id] for run in wanted}, measured=known.measured(),
            settings=settings, budget=allowance, stop=stop, on_progress=on_progress, on_event=on_event,
        )  # fmt: skip


def status(study: str | None = None, *, places: Places | None = None) -> list[StudyStatus]:
    """How far every study of the store is, or the one named; an empty list before anything was run."""
    store = open_store((places or Places.find()).store)
    name = None if study is None else study_name(store, study)
    return [state for state in store.studies() if name in (None, state.study)]


def results(
    study: str | None = None, *, store: str | Path | None = None, places: Places | None = None
) -> "ResultsTable":
    """The table of a study (none: the one run last), every accuracy with its interval; no rows before it has been run.

    Raises
    ------
    ConfigurationError
        The store does not know the study, and no shipped study or file has that name.
    """
    from mnistlab.analysis.results import results_table

    opened = open_store(store or (places or Places.find()).store)
    # A name the store does not hold has no rows, and without a name there is none to have them.
    name = study_name(opened, study) or ""
    return results_table(opened.cell_table(name), opened.runs(name, bits=True), opened.measurements())


def study_name(store: Store, study: str | None) -> str | None:
    """The study a reader means: as the store knows it, of the file or shipped name given, or the one run last."""
    if study is None:
        return store.last_study()
    return study if study in store.study_names() else load_config(study).name


def report(study: str | None = None, *, places: Places | None = None) -> Path:
    """Write the study's report: one HTML file that needs nothing else. Returns its path."""
    from mnistlab.report.html import write_report

    places = places or Places.find()
    store = open_store(places.store)
    name = study_name(store, study)
    state = next((state for state in store.studies() if state.study == name), None)
    if name is None or state is None:
        raise ConfigurationError(f"study {name}" if name else str(places.store), "nothing has been run yet",
                                 f"mnistlab run {study or 'smoke'}")  # fmt: skip
    path = places.reports / f"{name}.html"
    try:
        return write_report(name, results(name, places=places), state, path)
    except OSError as fault:
        raise MachineError(
            str(path), f"cannot be written: {fault.strerror}", "name another folder with --home"
        ) from fault


def show(run: str, *, places: Places | None = None) -> RunDetail:
    """Everything stored about one run, named by its id or a unique prefix of it."""
    store = open_store((places or Places.find()).store)
    return store.run_detail(store.find_run(run))


def doctor(*, places: Places | None = None) -> "list[Check]":
    """What this machine has and lacks, each with the command that mends it; nothing is changed."""
    from mnistlab.instruments.doctor import examine

    return examine(places or Places.find())


def settings(
    home: str | Path | None = None, store: str | Path | None = None, data_dir: str | Path | None = None,
    offline: bool = False,
) -> list[Setting]:  # fmt: skip
    """Every setting with these arguments, and where it comes from; behind ours, the variables of others we honour."""
    from mnistlab.instruments.environment import VARIABLES

    honoured = [Setting(name, os.environ.get(name), "environment" if name in os.environ else "default")
                for name in (*VARIABLES, "NO_COLOR", "FORCE_COLOR")]  # fmt: skip
    return [*found_places.settings(home, store, data_dir, offline), *honoured]


def rescue(damaged: str | Path, new: str | Path) -> "Rescue":
    """Save what can be read of a damaged store into a new file; see `store.rescue.rescue`."""
    from mnistlab.store import rescue as rescuing

    return rescuing.rescue(Path(damaged), Path(new))


def _plan(
    study: Study, store: Store, prices: Prices, engine: str, workers: int | None, max_runs: int
) -> Plan:  # fmt: skip
    from mnistlab.engines.base import engine_name
    from mnistlab.instruments.resources import available_bytes, usable_cores

    runs = len(study.cells) * len(study.seeds)
    if workers is not None and workers < 1:
        raise ConfigurationError(f"--workers {workers}", "a whole number of 1 or more is needed")
    if runs > max_runs:
        raise ConfigurationError(f"study {study.name}", f"{runs:,} runs are more than {max_runs:,}",
                                 f"--max-runs {runs} allows them")  # fmt: skip
    sizes = {cell.id: cell_size(cell, catalog.info(cell.dataset)) for cell in study.cells}
    available, needed, largest = available_bytes(), 0, None
    for cell in study.cells:
        if (size := run_bytes(cell, sizes[cell.id])) > needed:
            needed, largest = size, cell
    if largest is not None and needed > available:
        raise ConfigurationError(largest.label, f"one such network needs about {needed / 1e9:,.1f} GB of memory, "
                                 f"{available / 1e9:,.1f} GB are free here", "make it smaller")  # fmt: skip
    workers = min(workers or max(1, usable_cores() // _threads()), max(1, available // max(1, needed)))
    return make_plan(
        study, sizes=sizes, finished=store.finished(),
        prices=prices, engine_name=partial(engine_name, engine), workers=workers,
    )  # fmt: skip


def _prices(store: Store, device: str) -> Prices:
    from mnistlab.instruments.environment import describe

    prices = Prices()
    works = {cell.id: work_of(cell, cell_size(cell, catalog.info(cell.dataset))) for cell in store.cells()}
    here = describe(device=device, threads=_threads(), data_sha256="")
    for cell_id, epochs_done, seconds in store.timings(here.processor, here.threads, here.device):
        prices.observe(replace(works[cell_id], epochs=epochs_done), seconds)
    return prices


def _threads() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "1")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else 1


def _check_device(device: str) -> None:
    if device not in ("cpu", "gpu"):
        raise ConfigurationError(f"--device {device or repr(device)}", "one of cpu, gpu is needed")
    # Asked in a process of its own: JAX would take most of the device's memory for the one that asks.
    ask = [sys.executable, "-c", "import jax; jax.devices('gpu')"]
    if device == "gpu" and subprocess.run(ask, capture_output=True, check=False).returncode != 0:  # noqa: S603
        raise MachineError("--device gpu", "JAX finds no GPU on this machine", "--device cpu")
