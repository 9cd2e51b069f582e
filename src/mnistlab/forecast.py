"""A study's plan on this machine: its data sets are looked at, what the store holds becomes prices, cores and memory
become workers."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mnistlab import study as studies
from mnistlab.datasets import catalog, user_files
from mnistlab.datasets.catalog import Dataset, DatasetInfo
from mnistlab.engines.programs import Program, program_of
from mnistlab.errors import ConfigurationError, no_memory
from mnistlab.plan import Plan, cell_size, make_plan, run_bytes, work_of
from mnistlab.price import Prices
from mnistlab.store.tables import Store
from mnistlab.study import Study


def with_data(study: Study, data_dir: Path) -> tuple[Study, dict[str, DatasetInfo], dict[str, Dataset]]:
    """A study whose cells name their data sets, what is known of each, and those that paths in it led to.

    Raises
    ------
    ConfigurationError
        A data set that nobody knows.
    DataError
        A path that leads to no data set.
    """
    texts = list(dict.fromkeys(cell.dataset for cell in study.cells))
    paths = {text: user_files.as_path(text, study.folder, data_dir) for text in texts}
    read = {text: user_files.read(path) for text, path in paths.items() if path}
    names = {text: read[text].info.name if text in read else text for text in texts}
    infos = {names[text]: read[text].info if text in read else catalog.info(text, data_dir) for text in texts}
    if read:
        study = studies.with_cells(study, [replace(cell, dataset=names[cell.dataset]) for cell in study.cells])
    return study, infos, {dataset.info.name: dataset for dataset in read.values()}


def plan_here(
    study: Study, infos: Mapping[str, DatasetInfo], store: Store, prices: Prices, engine: str, device: str,
    workers: int | None, max_runs: int,
) -> Plan:  # fmt: skip
    """What is left of a study, for as many processes as cores and memory allow.

    Raises
    ------
    ConfigurationError
        A cell that cannot be trained as asked, more runs than `max_runs`, or a network this machine has no memory for.
    """
    from mnistlab.instruments.resources import available_bytes

    runs, workers = len(study.cells) * len(study.seeds), checked_workers(workers, device)
    if runs > max_runs:
        raise ConfigurationError(f"study {study.name}", f"{runs:,} runs are more than {max_runs:,}",
                                 f"--max-runs {runs} allows them")  # fmt: skip
    sizes = {cell.id: cell_size(cell, infos[cell.dataset]) for cell in study.cells}
    available, needed, largest = available_bytes(), 0, None
    for cell in study.cells:
        size = sizes[cell.id]
        if (
            bytes_ := run_bytes(cell, size, program_of(engine, cell, size.n_steps(cell), study.seeds[0], device))
        ) > needed:
            needed, largest = bytes_, cell
    if largest is not None and needed > available:
        raise no_memory(largest.label, needed, available)
    workers = min(workers, max(1, available // max(1, needed)))
    return make_plan(
        study, sizes=sizes, finished=store.finished(), measured=store.measured(), prices=prices,
        program_of=partial(program_of, engine, device=device), workers=workers,
    )  # fmt: skip


def checked_workers(workers: int | None, device: str) -> int:
    """Processes side by side: as asked for, or one a core.

    Raises
    ------
    ConfigurationError
        Fewer than one, or several on a GPU.
    """
    from mnistlab.instruments.resources import usable_cores

    if workers is not None and workers < 1:
        raise ConfigurationError(f"--workers {workers}", "a whole number of 1 or more is needed")
    if device == "gpu" and workers not in (None, 1):
        raise ConfigurationError(f"--workers {workers}", "on a GPU one process trains", "--workers 1")
    return workers or (1 if device == "gpu" else max(1, usable_cores() // threads_of_a_run()))


def learned_prices(store: Store, device: str) -> Prices:
    """Prices that know every run timed on this machine with this device and as many threads."""
    from mnistlab.instruments.environment import describe

    prices = Prices()
    cells = {cell.id: (cell, size) for cell, size in store.sizes()}
    here = describe(device=device, threads=threads_of_a_run(), data_sha256="")
    for found in store.timings(here.processor, here.threads, here.device):
        work = work_of(*cells[found.cell_id], Program.of(found.engine, found.program))
        work = replace(work, epochs=found.epochs_done)
        prices.observe(work, found.seconds, found.compile_seconds, found.steps_seconds)
        prices.observe_start(found.import_seconds)
    return prices


def threads_of_a_run() -> int:
    """`OMP_NUM_THREADS`, or 1: as many processes as cores then train side by side."""
    text = os.environ.get("OMP_NUM_THREADS", "1")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else 1
