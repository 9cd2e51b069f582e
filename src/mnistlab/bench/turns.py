"""All sides of a network in turn, several turns, so that drift of the machine hits all alike; ratios turn by turn."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import median_interval
from mnistlab.bench.sides import BATCH_SIZE, Side, Timer, data_of, load_engines, sides_of, timer_of
from mnistlab.datasets import catalog
from mnistlab.errors import MachineError
from mnistlab.execution.worker import WorkerSettings, initialize
from mnistlab.instruments import environment
from mnistlab.instruments.resources import usable_cores
from mnistlab.spec import Architecture
from mnistlab.stop import interrupts_blocked

BUSY_LOAD = 0.5  # processes that others keep busy
_FEWEST_STEPS = 40
_BASELINES = (("keras", "default"), ("sklearn", "default"), ("limit", "alone"))
_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One side of one network; ratios are of seconds, above 1 where this side is the faster.

    Attributes
    ----------
    seconds_per_network_epoch : Estimate
        Wall-clock seconds of all its processes by the epochs of networks they got done.
    compile_seconds : float | None
        What the first call took longer than the second; None where nothing is compiled.
    ratio_to_keras, ratio_to_sklearn : Estimate
        To the variant `default` at batch 32.
    fraction_of_limit : Estimate
        The limit's seconds by its own, at batch 32. A program that shares products among its networks can exceed 1.
    """

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    framework: str
    batch_size: int
    engine: str
    variant: str
    members: int
    processes: int
    seconds_per_network_epoch: Estimate
    compile_seconds: float | None
    ratio_to_keras: Estimate
    ratio_to_sklearn: Estimate
    fraction_of_limit: Estimate


@dataclass(frozen=True, slots=True)
class Timed:
    """What was measured of one side: seconds of a network's epoch, turn by turn, by so many processes."""

    seconds: tuple[float, ...]
    processes: int
    compile_seconds: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured; load is the average number of busy processes in the minute before and at the end."""

    processor: str
    cores: int
    device: str
    platform: str
    python: str
    packages: dict[str, str]
    load_before: float
    load_after: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What `mnistlab bench` found."""

    machine: Machine
    rows: list[BenchRow]


def bench(
    networks: Sequence[Architecture], dataset: str, data_dir: Path, *, turns: int, slice_seconds: float, device: str,
    notify: Callable[[str], None],
) -> Bench:  # fmt: skip
    """Time every side of each network.

    Parameters
    ----------
    networks : sequence of Architecture
    dataset : str
        A data set of the cache.
    data_dir : Path
    turns : int
        Measurements of each side; from six on there is a 95 % interval.
    slice_seconds : float
        About how long one measurement takes: a few hundred steps, counted up to an epoch.
    device : str
        `cpu` or `gpu`.
    notify : callable
        Told how far it is.

    Raises
    ------
    MachineError
        A process failed or died.
    """
    if (before := os.getloadavg()[0]) > BUSY_LOAD:
        notify(f"bench: this machine is busy (load {before:.1f}): on an idle one the figures, ratios too, are others")
    info, rows = catalog.info(dataset, data_dir), list[BenchRow]()
    with _crew(dataset, data_dir, device) as teams:
        for number, layers in enumerate(networks, 1):
            sides = [side for side in sides_of(layers, info.n_pixels, info.n_classes, device)
                     if set(side.teams) & set(teams)]  # fmt: skip
            timed = _take_turns(layers, sides, teams, turns, slice_seconds, info.n_train)
            rows += rows_of(layers, timed)
            notify(f"bench: {layers} done, {number} of {len(networks)}")
    here = environment.describe(device=device, threads=1, data_sha256="")
    machine = Machine(here.processor, here.cores, device, here.platform, here.python, dict(here.packages), before,
                      os.getloadavg()[0])  # fmt: skip
    return Bench(machine, rows)


def rows_of(layers: Architecture, timed: Mapping[Side, Timed]) -> list[BenchRow]:
    """The rows of one network. A ratio is formed within every turn; its estimate is the median of these."""
    baseline = {side.engine: found.seconds for side, found in timed.items()
                if side.batch_size == BATCH_SIZE and (side.engine, side.variant) in _BASELINES}  # fmt: skip

    def ratio(engine: str, side: Side) -> Estimate:
        return median_interval(
            [theirs / own for theirs, own in zip(baseline[engine], timed[side].seconds, strict=True)]
        )

    return [
        BenchRow(
            layers.hidden_layer_sizes, layers.activations[0], side.framework, side.batch_size, side.engine,
            side.variant, side.members, found.processes, median_interval(found.seconds), found.compile_seconds,
            ratio("keras", side), ratio("sklearn", side),
            ratio("limit", side) if side.batch_size == BATCH_SIZE else median_interval([]),
        )
        for side, found in timed.items()
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ready:
    """A side that is compiled: by which processes it is measured, and by how many steps at a time."""

    team: "list[_Helper]"
    n_steps: int
    compile_seconds: float | None


def _take_turns(
    layers: Architecture, sides: Sequence[Side], teams: "dict[str, list[_Helper]]", turns: int, slice_seconds: float,
    n_examples: int,
) -> dict[Side, Timed]:  # fmt: skip
    ready = {side: _warm_up(layers, side, teams, slice_seconds, n_examples // side.batch_size) for side in sides}
    seconds: dict[Side, list[float]] = {side: [] for side in sides}
    for turn in range(turns):
        for side in sides if turn % 2 else sides[::-1]:
            found = _ask(ready[side].team, layers, side, ready[side].n_steps)
            steps_per_second = sum(1 / step for step, _ in found)
            seconds[side].append(n_examples / side.batch_size / steps_per_second)
    return {side: Timed(tuple(seconds[side]), len(one.team), one.compile_seconds) for side, one in ready.items()}


def _warm_up(
    layers: Architecture, side: Side, teams: "dict[str, list[_Helper]]", slice_seconds: float, most_steps: int
) -> _Ready:
    choices, fewest = [], min(_FEWEST_STEPS, most_steps)
    for team in (teams[name] for name in side.teams if name in teams):
        first, second = (_ask(team, layers, side, fewest) for _ in range(2))
        more = max(cold - warm for (_, cold), (_, warm) in zip(first, second, strict=True))
        choices.append((max(step for step, _ in second), team, max(0.0, more)))
    step, team, compile_seconds = min(choices, key=lambda choice: choice[0])
    n_steps = min(max(fewest, int(slice_seconds / step / side.members)), most_steps)
    return _Ready(team, n_steps, None if side.engine in ("sklearn", "limit") else compile_seconds)


def _ask(team: "Sequence[_Helper]", layers: Architecture, side: Side, n_steps: int) -> list[tuple[float, float]]:
    """Seconds of one step, and of all it took, by every process of a team at the same time."""
    for helper in team:
        with suppress(OSError):  # whoever has died is found when he should answer
            helper.line.send((layers, side, n_steps))
    return [helper.answer(f"bench {layers}, {side}") for helper in team]


class _Helper:
    """A spawned process that times what it is asked for."""

    def __init__(self, dataset: str, settings: WorkerSettings) -> None:
        context = get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, dataset, settings), daemon=True)
        with interrupts_blocked():
            self.process.start()
        theirs.close()

    def answer(self, asked: str) -> tuple[float, float]:
        try:
            found: tuple[float, float] | str = self.line.recv()
        except (EOFError, OSError):
            self.process.join(_JOIN_SECONDS)
            raise MachineError(asked, f"its process ended with status {self.process.exitcode}",
                               "is there memory enough?") from None  # fmt: skip
        if isinstance(found, str):
            raise MachineError(asked, found, "`mnistlab doctor` says what mends what")
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.join(_JOIN_SECONDS)
        self.process.kill()
        self.line.close()


class _Stand:
    """What a process holds: the digits, and of one network the timers of its sides."""

    def __init__(self, dataset: str, settings: WorkerSettings) -> None:
        self.device, self.data = settings.device, data_of(dataset, settings.data_dir)
        self.layers: Architecture | None = None
        self.timers: dict[Side, Timer] = {}
        load_engines()

    def time(self, layers: Architecture, side: Side, n_steps: int) -> tuple[float, float]:
        if layers != self.layers:
            self.layers, self.timers = layers, {}
            gc.collect()
        start = time.perf_counter()
        if side not in self.timers:
            self.timers[side] = timer_of(side, layers, self.data, self.device)
        return self.timers[side](n_steps), time.perf_counter() - start


def _serve(line: Connection, dataset: str, settings: WorkerSettings) -> None:
    """In the process: say when it is ready; then for a network, a side and a number of steps what these take.

    An answer is seconds of one step and of everything, or a fault in a line.
    """
    initialize(settings)
    try:
        stand = _Stand(dataset, settings)
        line.send((0.0, 0.0))
        while True:
            line.send(stand.time(*line.recv()))
    except Exception as fault:  # noqa: BLE001 - whatever it is, the one who asked is told, and ends this
        line.send(f"{type(fault).__name__}: {fault}"[:300])


@contextmanager
def _crew(dataset: str, data_dir: Path, device: str) -> "Iterator[dict[str, list[_Helper]]]":
    """Teams of processes by the names that a `Side` uses; on a GPU one process has all of it."""
    helpers, cores = list[_Helper](), usable_cores()
    try:
        wanted = [WorkerSettings(data_dir, device=device, threads=cores)]
        wanted += [WorkerSettings(data_dir, threads=1)] * (cores if device == "cpu" else 0)
        for settings in wanted:
            helpers.append(_Helper(dataset, settings))
        for helper in helpers:
            helper.answer("bench")
        whole, *single = helpers
        if device == "gpu":
            yield {"machine": helpers, "cores": helpers}
            return
        pair = {"pair": single[:2]} if cores > 1 else {}
        yield {"machine": [whole], "core": single[:1], "cores": single, **pair}
    finally:
        for helper in helpers:
            helper.end()
