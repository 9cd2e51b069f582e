"""What a spawned process does: train the runs of a group and stream every result home the moment it is there.

Each process has a connection of its own to the coordinator, so one that is killed in the middle of a message harms
nobody else. It ends by itself when the coordinator is gone.
"""

import dataclasses
import gc
import importlib
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path

from mnistlab.datasets import catalog
from mnistlab.datasets.catalog import Dataset
from mnistlab.dnn_model import choose_backend
from mnistlab.engines.base import Engine, get_engine
from mnistlab.engines.programs import Program
from mnistlab.errors import MachineError
from mnistlab.instruments import environment, resources
from mnistlab.preprocessing import PreparedData, prepare
from mnistlab.processed import Processed, load_processed
from mnistlab.records import Environment, EpochRecord, Measurement, Role, RunResult, Status
from mnistlab.spec import Cell, Run
from mnistlab.stop import end_with_parent
from mnistlab.tuning import Halving, survives

PROBE_STEPS = 300

# Features and metrics import these when first used; here, so that no run pays for it under another name.
_USED_BY_ALL = ("sklearn.decomposition", "sklearn.metrics", "sklearn.pipeline", "sklearn.preprocessing")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker must know: where data, computed features and compiled programs lie, what it may use, whether
    trained networks are sent home, where its coordinator listens."""

    data_dir: Path
    processed_dir: Path | None = None
    compiled_dir: Path | None = None
    device: str = "cpu"
    threads: int = 1
    keep: bool = False
    address: str = ""
    authkey: bytes = b""


@dataclass(slots=True)
class _Worker:
    """The state of this process between groups: its clock, its caches, its line home."""

    settings: WorkerSettings
    line: connection.Connection | None
    ended_at: float
    charged: float = 0.0  # seconds since then that the group's finished runs have taken
    import_seconds: float = 0.0
    load_seconds: float = 0.0
    engines: dict[tuple[str, str], Engine] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    prepared: dict[tuple[object, ...], PreparedData] = field(default_factory=dict)
    processed: dict[tuple[object, ...], Processed | None] = field(default_factory=dict)
    measure: Callable[[], Measurement] | None = None  # what `begin_probe` has made ready

    def engine(self, name: str, framework: str) -> Engine:
        if (name, framework) not in self.engines:
            start = time.perf_counter()
            self.engines[name, framework] = get_engine(name, framework)
            for module in _USED_BY_ALL:
                importlib.import_module(module)
            self.import_seconds += time.perf_counter() - start
        return self.engines[name, framework]

    def dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            start = time.perf_counter()
            self.datasets[name] = catalog.load(name, self.settings.data_dir)
            self.load_seconds += time.perf_counter() - start
        return self.datasets[name]

    def prepare(self, run: Run, test: bool = True) -> PreparedData:
        cell = run.cell
        key = (cell.dataset, cell.split, cell.features, run.seed, test)
        if key not in self.prepared:
            self.prepared.clear()  # one part of MNIST is 200 MB as float32: keep the last alone
            start = time.perf_counter()
            data, known = self.dataset(cell.dataset), self.known_features(cell)
            computed = None if known is None else known.features
            self.prepared[key] = prepare(data, cell.split, cell.features, run.seed, computed, test=test)
            self.load_seconds += time.perf_counter() - start
        return self.prepared[key]

    def known_features(self, cell: Cell) -> Processed | None:
        """What the cell's image steps make of its data set, where that is kept; what is not is computed here."""
        key = _data_key(cell)
        if key not in self.processed and self.settings.processed_dir is not None and cell.features.image_steps:
            self.processed[key] = load_processed(self.dataset(cell.dataset), cell.features, self.settings.processed_dir)
        return self.processed.get(key)

    def environment_of(self, run: Run, engine: str) -> Environment:
        data = self.dataset(run.cell.dataset).sha256
        # scikit-learn's own fit computes on the processor, whatever device JAX was given.
        on_processor = (engine, run.cell.framework) == ("reference", "sklearn")
        device = "cpu" if on_processor else self.settings.device
        return environment.describe(device=device, threads=self.settings.threads, data_sha256=data)

    def settle(self, result: RunResult, cpu_start: float, last: bool) -> RunResult:
        """The result with import, data, idle and CPU seconds since this process' previous run ended.

        What none of a group's runs was charged for is idle time of the last of them.
        """
        now, known = time.perf_counter(), self.processed.get(_data_key(result.run.cell))
        ledger = dataclasses.replace(
            result.ledger, import_seconds=self.import_seconds, data_seconds=self.load_seconds,
            cpu_seconds=result.ledger.cpu_seconds or time.process_time() - cpu_start,
            features_seconds=known.processor_seconds if known else 0.0,
        )  # fmt: skip
        self.charged += ledger.wall_seconds
        if last:
            ledger = dataclasses.replace(ledger, idle_seconds=max(0.0, now - self.ended_at - self.charged))
            self.charged, self.ended_at = 0.0, now
        self.import_seconds = self.load_seconds = 0.0
        return dataclasses.replace(result, ledger=ledger, network=result.network if self.settings.keep else ())

    def send(self, kind: str, *content: object) -> None:
        if self.line is not None:
            self.line.send((kind, *content))


_worker: _Worker | None = None


def initialize(settings: WorkerSettings) -> None:
    """Prepare this process: its threads, its device, its line home; nothing heavy is imported yet."""
    global _worker
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's handler would wait for a long call of native code
    _limit_threads(settings)
    line = connection.Client(settings.address, authkey=settings.authkey) if settings.address else None
    started = time.perf_counter() - resources.process_seconds()
    _worker = _Worker(settings, line, ended_at=started, import_seconds=time.perf_counter() - started)


@dataclass(slots=True)
class _Halved:
    """Who of a group goes on at a rung: of every run its accuracy and the answer, which stays when it comes again."""

    halving: Halving
    came: dict[tuple[int, str], tuple[float, bool]] = field(default_factory=dict)

    def goes_on(self, run: Run, record: EpochRecord) -> bool:
        others, accuracy = dict(self.halving.rungs).get(record.epoch), record.validation_accuracy
        if others is None or accuracy is None:  # without validation digits nothing can be compared
            return True
        if (record.epoch, run.id) not in self.came:
            before = [known for (epoch, _), (known, _) in self.came.items() if epoch == record.epoch]
            answer = survives(accuracy, [*others, *before], self.halving.factor)
            self.came[record.epoch, run.id] = accuracy, answer
        return self.came[record.epoch, run.id][1]


def train_group(program: Program, runs: Sequence[Run], role: Role = "common", halving: Halving | None = None) -> int:
    """Train the runs of a group by its program; every result is sent home. Returns this process' resident bytes.

    Those of the role `search` are given no test digits.

    A fault of one run is a `failed` result with its reason in one line, never an exception. A machine that cannot be
    trusted to train, such as one whose JAX computes wrongly, raises `MachineError`.
    """
    worker = _current()
    waiting = {run.id: run for run in runs}
    halved = None if halving is None else _Halved(halving)
    together = [list(runs)]
    while together:
        some = together.pop()
        try:
            _train(worker, program, some, waiting, role, halved)
        except MachineError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever a trainer raises, the study goes on
            left = [run for run in some if run.id in waiting]
            if len(left) > 1:  # whose fault it is shows when each is trained by itself
                together += [[run] for run in left]
            elif left:
                failed = failed_result(left[0], program.engine, _one_line(fault), worker.settings)
                _send(worker, failed, time.process_time(), waiting)
    gc.collect()
    return resources.resident_bytes()


def _train(
    worker: _Worker, program: Program, runs: Sequence[Run], waiting: dict[str, Run], role: Role, halved: _Halved | None
) -> None:
    def on_epoch(run: Run, record: EpochRecord) -> bool:
        worker.send("epoch", run.id, record.epoch)
        return halved is None or halved.goes_on(run, record)

    trainer = worker.engine(program.engine, runs[0].cell.framework)
    here = worker.environment_of(runs[0], program.engine)
    cpu = time.process_time()
    prepare_run = partial(worker.prepare, test=role != "search")
    for result in trainer.train(runs, program, prepare_run, here, on_epoch):
        _send(worker, result, cpu, waiting)
        cpu = time.process_time()


def _send(worker: _Worker, result: RunResult, cpu_start: float, waiting: dict[str, Run]) -> None:
    del waiting[result.run.id]
    worker.send("result", worker.settle(result, cpu_start, last=not waiting))


def begin_probe(engine: str, run: Run, architecture_key: str) -> None:
    """Make ready to measure one architecture by itself; meant for a fresh process."""
    worker = _current()
    trainer = worker.engine(engine, run.cell.framework)
    data = worker.prepare(run)
    restarted, before = resources.restart_peak(), resources.peak_resident_bytes()
    probe = trainer.probe(run, data, PROBE_STEPS)

    def measure() -> Measurement:
        found, after = probe(), resources.peak_resident_bytes()
        return Measurement(
            cell_id=run.cell.id, architecture_key=architecture_key, framework=run.cell.framework,
            seconds_per_step=found.seconds_per_step,
            peak_bytes=after - before if restarted and before is not None and after is not None else None,
            parameter_bytes=found.parameter_bytes, program_bytes=found.program_bytes,
            inference_us_per_image=found.inference_us_per_image, energy_joules=found.joules_per_step,
            environment=worker.environment_of(run, "reference"),
        )  # fmt: skip

    worker.measure = measure


def end_probe() -> Measurement:
    """Measure what `begin_probe` has made ready, on a machine that does nothing else meanwhile."""
    measure = _current().measure
    if measure is None:
        raise RuntimeError("begin_probe() has not been called in this process")
    return measure()


def failed_result(run: Run, engine: str, reason: str, settings: WorkerSettings, status: Status = "failed") -> RunResult:
    """A result that says why there is none."""
    described = environment.describe(device=settings.device, threads=settings.threads, data_sha256="")
    return RunResult(run, status, engine, described, reason=reason)


def _current() -> _Worker:
    if _worker is None:
        raise RuntimeError("initialize() has not been called in this process")
    return _worker


def _data_key(cell: Cell) -> tuple[object, ...]:
    return cell.dataset, cell.features.image_steps


def _one_line(fault: Exception) -> str:
    if isinstance(fault, MemoryError):
        return "out of memory"
    return f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:300]


def _limit_threads(settings: WorkerSettings) -> None:
    choose_backend()  # every run of this process then records the same, whatever was imported before it
    threads = str(settings.threads)
    # The last is JAX's: on the processor it starts a pool of as many, each of which would wait for the other.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC"):
        os.environ[name] = threads
    if settings.device == "cpu":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    else:  # exact float32, where the default is less
        os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
        # Trying what Triton has for every product takes most of the time of compilation, and finds nothing better.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_enable_triton_gemm=false".strip()
    if settings.compiled_dir is not None:  # what one process has compiled serves every other, today and later
        folder = settings.compiled_dir / environment.processor_key()
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        # A folder that cannot be written or a file cut off costs seconds, not results: JAX then compiles as if without.
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    flags = os.environ.get("XLA_FLAGS", "")
    if settings.threads == 1 and "xla_cpu_multi_thread_eigen" not in flags:
        ours = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{flags} {ours}".strip()
    # NumPy may be loaded already, where the variables above come too late.
    from threadpoolctl import threadpool_limits

    threadpool_limits(settings.threads)
