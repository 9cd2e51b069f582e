"""A run of the store trained once more, by the engine that trained it, and compared with it bit for bit."""

import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from mnistlab.analysis.estimate import Estimate
from mnistlab.datasets import catalog, sources
from mnistlab.engines.programs import Program
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.instruments.environment import check_device
from mnistlab.keeping import kept_path, network_of
from mnistlab.network import TrainedNetwork
from mnistlab.places import Places
from mnistlab.plan import Group
from mnistlab.records import Role, RunResult
from mnistlab.saving import save
from mnistlab.store.tables import RunDetail

if TYPE_CHECKING:
    from mnistlab.execution.worker import WorkerSettings

_TIMEOUT_SECONDS, _TIMEOUT_FACTOR = 900.0, 20.0


def result_of(detail: RunDetail) -> RunResult:
    """The result of a run that is done; ConfigurationError for one that is not."""
    if detail.result is None or detail.status != "done":
        raise ConfigurationError(f"run {detail.run.id}", f"it is {detail.status}: only a run that is done has weights")
    return detail.result


def network_again(result: RunResult, places: Places, notify: Callable[[str], None]) -> TrainedNetwork:
    """The network of a stored run, trained once more on such a device, and then kept.

    Raises
    ------
    ConfigurationError
        It was given up in favour of other trials of its search, which are no part of it.
    MachineError
        It was trained on a GPU and there is none here; or see `train_again`.
    DataError
        No source has its data set any more.
    """
    from mnistlab.execution.worker import WorkerSettings

    run, then = result.run, result.environment
    if result.stopped_by == "halving":
        why = f"a trial, given up after {result.epochs_done} of {run.cell.training.epochs} epochs"
        raise ConfigurationError(f"run {run.id}", f"{why}: it cannot be trained again by itself")
    device = "cpu" if then.device == "cpu" else "gpu"  # which the environment may know by its name
    check_device(device)
    seconds = result.ledger.end_to_end_seconds
    notify(f"run {run.id}: its weights were not kept, it is trained again (the first time took {seconds:.3g} s)")
    sources.fetch(run.cell.dataset, places.data_dir, offline=places.offline, notify=notify)
    settings = WorkerSettings(
        places.data_dir.resolve(),
        places.processed.resolve(),
        places.compiled.resolve(),
        device=device,
        threads=then.threads,
        keep=True,
    )
    network = network_of(train_again(result, settings), catalog.info(run.cell.dataset, places.data_dir))
    save(network, kept_path(places.models, run))
    return network


def train_again(result: RunResult, settings: "WorkerSettings") -> RunResult:
    """Train a stored run once more in a process of its own, with its engine, and compare the weights bit for bit.

    Ctrl-C and SIGTERM end it as they end any program.

    Raises
    ------
    MachineError
        It failed, or the weights are others; the message says what differs from then.
    """
    from mnistlab.execution.local import Finished, execute
    from mnistlab.stop import Budget, stop_on_signals

    timeout = _TIMEOUT_SECONDS + _TIMEOUT_FACTOR * result.ledger.end_to_end_seconds
    role: Role = "search" if result.test is None else "common"  # what has seen no test digit sees none now
    program, again = Program.of(result.engine, result.program), None
    groups = [Group(program, (result.run,), Estimate(None), timeout, role)]
    with stop_on_signals() as stop:
        budget = Budget(None, time.monotonic())
        for event in execute(
            lambda _: groups.pop() if groups else None, workers=1, settings=settings, budget=budget, stop=stop
        ):
            again = event.result if isinstance(event, Finished) else again
    if stop.signal_number is not None:
        signal.raise_signal(stop.signal_number)  # now that its usual handler is back
    if again is None or again.status != "done":
        why = "no result" if again is None else f"{again.status}: {again.reason}"
        raise MachineError(f"run {result.run.id}", f"training it again ended with {why}")
    if again.weights_sha256 != result.weights_sha256:
        why = f"trained again it has other weights than the stored ones: {_what_differs(result, again)}"
        raise MachineError(f"run {result.run.id}", why, "train it there, or anew: `mnistlab show RUN --command`")
    return again


def _what_differs(then: RunResult, now: RunResult) -> str:
    was, is_ = ({"program": result.program, **asdict(result.environment)} for result in (then, now))
    for values in (was, is_):
        values |= dict(values.pop("packages")) | dict(values.pop("variables"))
    names = [name for name in was | is_ if was.get(name) != is_.get(name)]
    told = [f"{name} {_short(was.get(name))} then, {_short(is_.get(name))} now" for name in names]
    return "; ".join(told) or "nothing that is recorded differs"


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:40]
