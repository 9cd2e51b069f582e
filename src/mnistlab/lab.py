"""The verbs: one function per thing a person can ask for. Command line and notebooks call these and nothing beneath.

Here the two ends meet: what the store holds goes to the plan as a value, what the engines yield goes into the store.
"""

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistlab import fair, formatting, replicate
from mnistlab import places as found_places
from mnistlab import study as studies
from mnistlab.answers import evidence, study_name
from mnistlab.asked import RatesAsked, SearchAsked, frameworks, pipelines
from mnistlab.conduct import Progress, RunSummary, conduct
from mnistlab.datasets import catalog, sources, user_files
from mnistlab.datasets.catalog import Dataset
from mnistlab.dnn_model import check_backend, choose_backend
from mnistlab.engines.programs import program_of, why_not_covered
from mnistlab.errors import ConfigurationError, DataError
from mnistlab.forecast import checked_workers, learned_prices, plan_here, threads_of_a_run, with_data
from mnistlab.instruments.environment import check_device
from mnistlab.keeping import check_keep, discard, keeper_of, kept_network, kept_path
from mnistlab.network import Prediction, TrainedNetwork
from mnistlab.places import Places, Setting
from mnistlab.plan import Plan, PlannedCell, cell_size
from mnistlab.preprocessing import check_installed
from mnistlab.retraining import network_again, result_of
from mnistlab.saving import load, write_whole
from mnistlab.search import conduct_search
from mnistlab.spec import Architecture, Cell, Features, Run
from mnistlab.store import tables
from mnistlab.store.tables import RunDetail, Store, StudyStatus
from mnistlab.study import Study, load_config, load_space

if TYPE_CHECKING:
    from mnistlab.analysis.simulation import Promise
    from mnistlab.bench.turns import Bench
    from mnistlab.conduct import Happening
    from mnistlab.doctor import Check
    from mnistlab.execution.worker import WorkerSettings
    from mnistlab.stop import Budget, Stop
    from mnistlab.store.rescue import Rescue
    from mnistlab.store.writer import StoreWriter
    from mnistlab.tuner import Tuner
    from mnistlab.winners import Tuned

Notify = Callable[[str], None]
StudySource = Study | Mapping[str, Any] | str | Path
MAX_RUNS = 100_000
TUNE_SECONDS = 600.0
_BENCHED, _QUICK = ((4, 4), (4, 32), (4, 64), (4, 128), (4, 512), (16, 64), (1, 64), (1, 2056)), 4  # depth, width


def _silent(_news: object) -> None:
    """Tell nobody."""


def open_store(path: str | Path) -> Store:
    """A store for reading: `runs()`, `epochs()`, `predictions(run)` give DataFrames."""
    return tables.open_store(Path(path))


def as_study(source: StudySource, *, seeds: int | None = None) -> Study:
    """A `Study` from a study, a `CONFIG`, a file or a shipped name; `seeds` replaces its seeds by 0 … seeds − 1."""
    study = source if isinstance(source, Study) else load_config(source)
    studies.check_seeds(study)
    return study if seeds is None else studies.with_seeds(study, seeds)


def until_decided(source: StudySource, *, margin: float | None = None, max_seeds: int | None = None) -> Study:
    """The study with its seeds given out where verdicts are open, for `run`.

    Every cell gets five seeds, then cells with an open verdict get 10, 20, … up to `max_seeds`.

    Parameters
    ----------
    source : Study, mapping, str or Path
        See `run`.
    margin : float, optional
        What counts as equivalent, a fraction; by default 0.002.
    max_seeds : int, optional
        By default 40.

    Raises
    ------
    ConfigurationError
        One of them is out of range.
    """
    from mnistlab.analysis.replication import MAX_SEEDS
    from mnistlab.analysis.verdicts import MARGIN

    study, margin = as_study(source), MARGIN if margin is None else margin
    return studies.until_decided(study, margin, MAX_SEEDS if max_seeds is None else max_seeds)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What `data_fetch` brought: the data set's name, as `--dataset` takes it, and where it came from."""

    dataset: str
    source: str


def data_fetch(
    name: str | Path, *, from_dir: Path | None = None, places: Places | None = None, notify: Notify = _silent
) -> Fetched:
    """Bring a data set into the cache: one that is known by name, or a user's own from its path.

    Raises
    ------
    ConfigurationError
        `from_dir` is no folder, or the data set is unknown.
    DataError
        No source had it, or the file or folder makes no data set.
    """
    places = places or Places.find()
    if from_dir is not None and not from_dir.is_dir():
        raise ConfigurationError(f"--from {from_dir}", "there is no such folder")
    if path := user_files.as_path(str(name), Path(), places.data_dir):
        if from_dir is not None:
            raise ConfigurationError(f"--from {from_dir}", f"{name} is a path itself", "give one of them")
        dataset = user_files.read(path)
        user_files.keep(dataset, places.data_dir)
        return Fetched(dataset.info.name, dataset.source)
    source = sources.fetch(str(name), places.data_dir, from_dir=from_dir, offline=places.offline, notify=notify)
    return Fetched(str(name), source)


def data_show(name: str | Path, *, places: Places | None = None) -> Dataset:
    """A data set of the cache, verified, or what a path holds."""
    data_dir = (places or Places.find()).data_dir
    path = user_files.as_path(str(name), Path(), data_dir)
    return user_files.read(path) if path else catalog.load(str(name), data_dir)


def data_samples(dataset: Dataset, width: int) -> str:
    """A sample of every class, drawn in characters, no wider than `width`."""
    from mnistlab.visualization.samples import samples_text

    return samples_text(dataset, width)


def data_sheet(dataset: Dataset, path: Path) -> None:
    """Write a picture with ten samples of every class of a data set, as PNG or SVG by the ending of `path`.

    Raises
    ------
    ConfigurationError
        Another ending.
    MachineError
        The file cannot be written.
    """
    from mnistlab.visualization.samples import plot_samples
    from mnistlab.visualization.style import figure_png, figure_svg

    if path.suffix.lower() not in (".png", ".svg"):
        raise ConfigurationError(f"--sheet {path}", "a file .png or .svg is needed")
    figure = plot_samples(dataset)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters this machine's font lacks
        content = figure_png(figure) if path.suffix.lower() == ".png" else figure_svg(figure).encode()
    write_whole(path, content)


def plan(
    source: StudySource, *, seeds: int | None = None, tune: str | None = None, engine: str = "auto",
    workers: int | None = None, max_runs: int = MAX_RUNS, places: Places | None = None,
) -> Plan:  # fmt: skip
    """What `run` would do, and its price; trains and writes nothing.

    Raises
    ------
    ConfigurationError
        A cell that cannot be trained as asked, more runs than `max_runs`, or a network this machine has no memory for.
    """
    places = places or Places.find()
    study, infos, _ = with_data(as_study(source, seeds=seeds), places.data_dir)
    store = open_store(places.store)

    def planned(part: Study) -> Plan:
        return plan_here(part, infos, store, learned_prices(store, "cpu"), engine, "cpu", workers, max_runs)

    if tune is None:
        return planned(study)
    study = fair.tuned(study, tune)
    accuracies = fair.trial_accuracies(store.trials(study.name))
    # What a rate costs does not depend on it; networks with the study's own may be there and are not the ones to come.
    cells = [fair.best_rate(cell, accuracies) or fair.rates_of(cell)[-1] for cell in study.cells]
    final = replace(study, cells=tuple(cells))
    return fair.joint_plan(study, planned(fair.search_of(study)), planned(final))


def run(
    source: StudySource, *, store: str | Path | None = None, budget: float | None = None, seeds: int | None = None,
    tune: str | None = None, engine: str = "auto", workers: int | None = None, device: str = "cpu", fresh: bool = False,
    keep: str = "none", max_runs: int = MAX_RUNS, places: Places | None = None,
    on_progress: Callable[[Progress], None] = _silent, on_event: "Callable[[Happening], None]" = _silent,
    notify: Notify = _silent,
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
    tune : str, optional
        `learning_rate`: of every cell five rates are tried on validation digits, then the cell with its best one is
        trained, as a study of its own that is named after this one, with `-tuned` behind it.
    engine : str, default="auto"
        `auto`, `population` (cohorts; what these do not cover goes to the reference engine) or `reference`.
    workers : int, optional
        Processes side by side; by default one a core, fewer where memory is short.
    device : str, default="cpu"
        `cpu` or `gpu`; MachineError where there is none.
    fresh : bool, default=False
        Forget this study's results first, and the networks kept of them.
    keep : str, default="none"
        Which trained networks to keep under `models/`: `all`, or `best`, of every cell the one of highest validation
        accuracy.
    max_runs : int
        A larger plan is refused.
    places : Places, optional
    on_progress, on_event, notify : callable
        Told where the study stands, what happens (see `conduct.conduct`), and what else its user should know.

    Returns
    -------
    RunSummary
    """
    _refuse_workers()
    started = time.monotonic()
    study, places = as_study(source, seeds=seeds), places or Places.find()
    places = replace(places, store=Path(store)) if store is not None else places
    check_device(device)
    check_keep(keep, study.cells)
    study, infos, own = with_data(study, places.data_dir)
    study = study if tune is None else fair.tuned(study, tune)
    known = open_store(places.store)
    _refuse_others_of_the_name(study, known, fresh=fresh)

    def planned(part: Study) -> Plan:
        return plan_here(part, infos, known, learned_prices(known, device), engine, device, workers, max_runs)

    first = planned(study if tune is None else fair.search_of(study))  # its faults show before a download
    _check_trainable(first, engine, notify)
    _bring(infos, own, places, notify)

    from mnistlab.stop import Budget, stop_on_signals
    from mnistlab.store.writer import open_writer

    settings, allowance = _settings_of_workers(places, device, keep=keep != "none"), Budget(budget, started)
    holder, trials, whole = f"mnistlab run {study.name}", list[Run](), study
    with open_writer(places.store, holder=holder, notify=notify) as writer, stop_on_signals() as stop:
        known = open_store(places.store)
        if fresh:
            _forget(study, known, writer, places)

        def keep_features(part: Plan) -> None:
            wanted = [(todo.cell.dataset, todo.cell.features) for todo in _to_do(part)]
            _keep_features(wanted, places, stop=stop, budget=allowance, notify=notify)

        def left() -> int:
            return fair.n_to_do(whole, known.finished(whole.name), fair.trial_accuracies(known.trials(whole.name)))

        if tune is not None:
            on_event(first)
            keep_features(first)
            trials, ended = first.study.runs, known.finished(study.name)
            searched = conduct_search(
                fair.RateTuner([run for run in trials if run.id not in ended]), study, writer,
                learned_prices(known, device), sizes_of=first.size_of,
                program_of=partial(program_of, engine, device=device), settings=replace(settings, keep=False),
                budget=allowance, stop=stop, workers=first.workers, on_progress=on_progress, on_event=on_event,
                notify=notify,
            )  # fmt: skip
            study = fair.with_best_rates(study, fair.trial_accuracies(known.trials(study.name)))
            if searched.stopped or not study.cells:
                return replace(searched, to_do=left())
        runs = {run.id: run for run in study.runs}
        asked = {id_: runs[id_] for id_ in known.finished(study.name) if id_ in runs}
        keeper = keeper_of(study, keep, infos, known, places, notify)

        def train(part: Study) -> RunSummary:
            prices, now = learned_prices(known, device), planned(part)
            asked.update({run.id: run for run in part.runs})
            writer.register_study(study, first.sizes | now.sizes, asked.values())
            keep_features(now)
            stored = known.statuses(study.name)
            statuses = {id_: stored[id_] for id_ in (*asked, *(run.id for run in trials))}
            return conduct(
                now, writer, prices, statuses=statuses, settings=settings, budget=allowance, stop=stop,
                on_progress=on_progress, on_event=on_event, keeper=keeper, notify=notify,
            )  # fmt: skip

        if study.until_margin is not None:
            return replicate.until_decided(study, study.until_margin, store=known, train=train, notify=notify)
        summary = train(study)
        return summary if tune is None else replace(summary, to_do=left(), seconds=time.monotonic() - started)


def tune(
    space: Mapping[str, Any] | str | Path = "default", *, max_parameters: int | None = None,
    max_seconds_per_epoch: float | None = None, objective: str = "accuracy", budget: float | None = None,
    trials: int | None = None, sampler: str | None = None, dataset: str | None = None, workers: int | None = None,
    device: str = "cpu", fresh: bool = False, store: str | Path | None = None, places: Places | None = None,
    on_progress: Callable[[Progress], None] = _silent, on_event: "Callable[[Happening], None]" = _silent,
    notify: Notify = _silent,
) -> "Tuned":  # fmt: skip
    """Search the best network within limits, and say what it really scores; go on where an earlier call stopped.

    Cells are proposed and compared by validation digits; who wins is trained again with seeds that took no part in the
    choice, and its test accuracy comes from these alone.

    Parameters
    ----------
    space : mapping, str or Path, default="default"
        A study file whose lists are the choices, or the name of a space or study that ships.
    max_parameters : int, optional
        Behind the features.
    max_seconds_per_epoch : float, optional
        Of training steps on this machine, as predicted and then as measured; of five side by side a fifth.
    objective : str, default="accuracy"
        Or `accuracy,parameters` or `accuracy,seconds`: every network that none beats in both.
    budget : float, optional
        Wall-clock seconds of this call; by default ten minutes where `trials` does not end it.
    trials : int, optional
        So many cells are tried in all; by default as many as the budget has room for.
    sampler : str, optional
        `tpe` (with the extra `tune`; the default where it is installed), `random` or `grid`.
    dataset : str, optional
        Instead of the space's own.
    workers, device, fresh, store, places, on_progress, on_event, notify
        See `run`.

    Returns
    -------
    Tuned

    Raises
    ------
    ConfigurationError
        No network of the space is within the limits, or one of the arguments is out of range.
    MachineError
        `tpe` without Optuna.
    """
    from mnistlab import resume
    from mnistlab.sampling import best_sampler
    from mnistlab.winners import tuned

    _refuse_workers()
    started, places = time.monotonic(), places or Places.find()
    places = replace(places, store=Path(store)) if store is not None else places
    if budget is not None and not budget > 0:
        raise ConfigurationError(f"--budget {budget:g}", "a positive time is needed", "for example 600 seconds")
    check_device(device)
    workers = checked_workers(workers, device)
    asked = SearchAsked(load_space(space), objective, max_parameters, max_seconds_per_epoch, dataset or "")
    asked.check()
    alone = Study("tune", (Cell(Architecture((64,)), dataset=dataset or asked.dataset),), (0,),
                  folder=Path() if dataset else asked.space.folder)  # fmt: skip
    alone, infos, own = with_data(alone, places.data_dir)
    asked = asked.on(alone.cells[0].dataset)
    known, (best, missing) = open_store(places.store), best_sampler()
    resume.check_may_go_on(asked, known, fresh=fresh)
    if missing and sampler is None:
        notify(missing)
    prices = learned_prices(known, device)
    pace = resume.pace_here(infos, None if fresh else known.trials(asked.study.name), prices, device)
    grounds, workers = resume.grounds_here(asked, infos, pace, workers=workers, device=device, notify=notify)

    def new_tuner() -> "Tuner":
        return resume.tuner_here(asked, grounds, known, infos, sampler=sampler or best, trials=trials)

    new_tuner()  # its faults show before a download
    if "keras" in frameworks(grounds.space):
        check_backend()
    _bring(infos, own, places, notify)

    from mnistlab.stop import Budget, stop_on_signals
    from mnistlab.store.writer import open_writer

    allowance = Budget(TUNE_SECONDS if budget is None and trials is None else budget, started)
    holder = f"mnistlab tune {asked.words}"
    with open_writer(places.store, holder=holder, notify=notify) as writer, stop_on_signals() as stop:
        if fresh:
            writer.forget_search(asked.study.name)
        wanted = [(asked.dataset, features) for features in pipelines(grounds.space)]
        _keep_features(wanted, places, stop=stop, budget=allowance, notify=notify)
        summary = conduct_search(
            new_tuner(), asked.study, writer, prices, sizes_of=lambda cell: cell_size(cell, infos[cell.dataset]),
            program_of=partial(program_of, "auto", device=device), settings=_settings_of_workers(places, device),
            budget=allowance, stop=stop, workers=workers, on_progress=on_progress, on_event=pace.hearing(on_event),
            notify=notify,
        )  # fmt: skip
    summary = replace(summary, seconds=time.monotonic() - started)
    return replace(tuned(known, asked.study.name, asked), summary=summary)


def _check_trainable(planned: Plan, engine: str, notify: Notify) -> None:
    """Whether this machine has what the cells to do need; a line for those that only their framework's fit trains."""
    for todo in _to_do(planned):
        check_installed(todo.cell.features)
        if todo.cell.framework == "keras":
            check_backend()
        if engine == "population" and (why := why_not_covered(todo.cell, todo.size.n_steps(todo.cell))):
            notify(f"{todo.cell.label}: trained by its framework's own fit; {why}")


def _settings_of_workers(places: Places, device: str, *, keep: bool = False) -> "WorkerSettings":
    from mnistlab.execution.worker import WorkerSettings

    return WorkerSettings(
        places.data_dir.resolve(), places.processed.resolve(), places.compiled.resolve(), device=device,
        threads=threads_of_a_run(), keep=keep,
    )  # fmt: skip


def _refuse_others_of_the_name(study: Study, known: Store, *, fresh: bool) -> None:
    """Refuse to mix a study with another of its name.

    Cells that were chosen among several cannot be taken for those that a study names, nor seeds that were given out by
    verdicts for the same number of seeds of every cell; `fresh` forgets what is of the same kind.
    """
    name, forget = f"study {study.name}", "--fresh to forget its results and begin anew"
    if study.name in known.study_names() and (before := known.asked(study.name)) != study.asked:
        if not isinstance(before, RatesAsked) or not isinstance(study.asked, RatesAsked):
            [state] = (state for state in known.studies() if state.study == study.name)
            command = f" (`{state.command}`)" if state.command else ""
            raise ConfigurationError(name, f"the store holds another of this name{command}", "give it another name")
        # The cells that it had when it was run last do not matter.
        if not fresh and before != replace(study.asked, cells=before.cells):
            raise ConfigurationError(name, "other rates were tried of it", f"give it another name, or {forget}")
    if fresh or (adaptive := known.adaptive(study.name)) is None:
        return
    seeds, margin = adaptive
    if (list(study.seeds), study.until_margin) != (seeds, margin):
        as_begun = f"--until-decided --margin {margin * 100:g} --max-seeds {len(seeds)}"
        raise ConfigurationError(name, f"its seeds were given out by {as_begun}",
                                 f"say the same to go on, or {forget}")  # fmt: skip


def _refuse_workers() -> None:
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError("mnistlab", "a worker process that loads this script has come to it again",
                                 'put the call below `if __name__ == "__main__":`')  # fmt: skip


def _bring(names: Iterable[str], own: dict[str, Dataset], places: Places, notify: Notify) -> None:
    """Bring these data sets into the cache; `own` ones are let go as soon as they are there."""
    for name in names:
        if name in own:
            user_files.keep(own.pop(name), places.data_dir)
        else:
            sources.fetch(name, places.data_dir, offline=places.offline, notify=notify)


def _forget(study: Study, known: Store, writer: "StoreWriter", places: Places) -> None:
    """Forget what was trained of a study; of one in fair mode not what other studies have of the same networks."""
    runs, ours = study.runs, known.finished()
    if study.asked is not None:
        others = {id_ for name in known.study_names() if name != study.name for id_ in known.statuses(name)}
        runs = [run for run in fair.possible_runs(study) if run.id not in others]
    writer.forget([run.id for run in runs])
    for run in runs:
        if run.id in ours:  # a network of another store with the same home stays
            discard(kept_path(places.models, run))


def _to_do(planned: Plan) -> list[PlannedCell]:
    return [cell for cell in planned.cells if cell.to_do]


def _keep_features(
    wanted: Iterable[tuple[str, Features]], places: Places, *, stop: "Stop", budget: "Budget", notify: Notify
) -> None:
    """Compute what the image steps of these features make of these data sets, unless it is kept already."""
    from mnistlab.processed import keep_processed

    distinct = {(name, features.image_steps): (name, features) for name, features in wanted if features.image_steps}
    for name, features in distinct.values():
        keep_processed(catalog.load(name, places.data_dir), features, places.processed, stop=stop, budget=budget,
                       notify=notify)  # fmt: skip


def status(study: str | None = None, *, places: Places | None = None) -> list[StudyStatus]:
    """How far every study of the store is, or the one named; an empty list before anything was run."""
    store = open_store((places or Places.find()).store)
    name = None if study is None else study_name(store, study)
    return [state for state in store.studies() if name in (None, state.study)]


def report(study: str | None = None, *, places: Places | None = None) -> Path:
    """Write the study's report: one HTML file that needs nothing else, and its figures and tables beside it.

    Each figure lies as SVG, the table behind it as CSV, in a folder of the study's name.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    ConfigurationError
        Nothing has been run of the study.
    MachineError
        A file cannot be written.
    """
    from mnistlab.exhibits.catalog import all_shown
    from mnistlab.exhibits.output import write_shown_files
    from mnistlab.report.html import write_report

    places = places or Places.find()
    store = open_store(places.store)
    name = study_name(store, study)
    state = next((state for state in store.studies() if state.study == name), None)
    if name is None or state is None:
        raise ConfigurationError(f"study {name}" if name else str(places.store), "nothing has been run yet",
                                 f"mnistlab run {study or 'smoke'}")  # fmt: skip
    known = evidence(name, places=places)
    shown = all_shown(known)
    path = write_report(known, shown, state, places.reports / f"{found_places.file_name(name)}.html")
    for each in shown:
        if not each.table.empty:
            write_shown_files(each, places.reports)
    return path


def show(run: str, *, places: Places | None = None) -> RunDetail:
    """Everything stored about one run, named by its id or a unique prefix of it."""
    places = places or Places.find()
    store = open_store(places.store)
    detail = store.run_detail(store.find_run(run))
    kept = kept_path(places.models, detail.run)
    return replace(detail, weights=kept if kept.exists() else None)


def predict(model: str | Path, images: Sequence[str | Path], *, places: Places | None = None) -> list[Prediction]:
    """What a kept network says of pictures.

    Networks of `mnist` get them normalised as MNIST's digits were, others get them resized: `drawing.normalise_file`.

    Parameters
    ----------
    model : str or Path
        A file that `run` with `keep`, or `export`, has kept; or a run with such a file, named as for `show`.
    images : sequence of str or Path
        PNG or JPEG files.

    Raises
    ------
    ConfigurationError
        Neither file nor run is named so.
    DataError
        The weights of the run were not kept, or a file is refused.
    """
    from mnistlab.drawing import normalise_file

    network = _asked_network(str(model), places or Places.find())
    dataset = network.run.cell.dataset
    drawings = [normalise_file(Path(image), dataset, network.image_shape) for image in images]
    try:
        return [network.predict(str(image), drawing) for image, drawing in zip(images, drawings, strict=True)]
    except ValueError as fault:
        raise DataError(str(model), str(fault)) from fault


def _asked_network(model: str, places: Places) -> TrainedNetwork:
    path = Path(model)
    # `Path.exists` would fail on a name longer than the system takes.
    if os.path.lexists(path) or path.suffix == ".safetensors" or os.sep in model:
        return load(path)
    named = [show(run, places=places) for run in open_store(places.store).runs_named(model)]
    kept = [detail.run.id for detail in named if detail.weights]
    detail = show(kept[0] if len(kept) == 1 else model, places=places)
    if (network := kept_network(result_of(detail), kept_path(places.models, detail.run))) is None:
        raise DataError(f"run {detail.run.id}", "its weights were not kept",
                        f"`mnistlab export {detail.run.id} --format keras` trains it again and keeps them")  # fmt: skip
    return network


def export(
    run: str, form: str, *, output: Path | None = None, places: Places | None = None, notify: Notify = _silent
) -> Path:
    """Write a run's network for other programs; trained again, and then kept, where its weights were not.

    Parameters
    ----------
    run : str
        Its id or a unique prefix of it.
    form : str
        `keras` or `onnx`.
    output : Path, optional
        By default beside the kept networks.

    Raises
    ------
    ConfigurationError
        The run has no network, `form` is unknown, or `output` is named otherwise than files of that form are.
    MachineError
        The weights could not be had again bit for bit, a package is absent, or the disk is full.
    """
    from mnistlab.export import check_format, export_network

    check_format(form)
    if output is not None and output.suffix != f".{form}":
        raise ConfigurationError(f"--output {output}", f"a name that ends in .{form} is needed")
    places = places or Places.find()
    detail = show(run, places=places)
    result = result_of(detail)
    kept = kept_path(places.models, result.run)
    network = kept_network(result, kept) or network_again(result, places, notify)
    path = output or kept.with_suffix(f".{form}")
    export_network(network, form, path)
    return path


def doctor(*, places: Places | None = None) -> "list[Check]":
    """What this machine has and lacks, each with the command that mends it; nothing of yours is changed."""
    from mnistlab.doctor import examine

    return examine(places or Places.find())


def bench(
    *, quick: bool = False, device: str = "cpu", places: Places | None = None, notify: Notify = _silent
) -> "Bench":
    """How fast the same networks train by every engine on MNIST's 60,000 digits, beside what the machine could do.

    Takes minutes, writes nothing to the store, and means something on an idle machine only.

    Parameters
    ----------
    quick : bool, default=False
        Four small networks instead of eight, measured for a shorter time.
    device : str, default="cpu"
        `cpu` or `gpu`.

    Raises
    ------
    ConfigurationError
        Keras runs on another backend than JAX.
    MachineError
        There is no such device, or a process that measures failed.
    """
    from mnistlab.bench import turns

    _refuse_workers()
    places = places or Places.find()
    check_device(device)
    if (backend := choose_backend()) != "jax":
        raise ConfigurationError(f"KERAS_BACKEND={backend}", "only on JAX can all engines be compared", "unset it")
    check_backend()
    sources.fetch("mnist", places.data_dir, offline=places.offline, notify=notify)
    networks = _BENCHED[:_QUICK] if quick else _BENCHED
    layers = [Architecture((width,) * depth) for depth, width in networks]
    return turns.bench(
        layers, "mnist", places.data_dir.resolve(), turns=6 if quick else 9, slice_seconds=0.1 if quick else 0.25,
        device=device, notify=notify,
    )  # fmt: skip


def simulate(studies: int | None = None, *, notify: Notify = _silent) -> "list[Promise]":
    """Whether intervals and verdicts keep what they promise, on simulated studies whose truth is known.

    Trains nothing and needs no store.

    Parameters
    ----------
    studies : int, optional
        Of each design; by default 2,000.

    Raises
    ------
    ConfigurationError
        Fewer than 20 studies.
    """
    from mnistlab.analysis import simulation

    if studies is None:
        studies = simulation.N_STUDIES
    elif studies < simulation.FEWEST:
        raise ConfigurationError(f"--studies {studies}", f"{simulation.FEWEST} or more are needed")
    began, promises = time.monotonic(), list["Promise"]()
    for found, done in simulation.simulate(studies):
        promises += found
        left = (time.monotonic() - began) * (1 - done) / done
        notify(f"simulate: {done:.0%} done, about {formatting.seconds(left)} left")
    return promises


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
