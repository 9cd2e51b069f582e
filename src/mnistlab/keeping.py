"""Which trained networks stay on the disk, where they lie, and one trained again whose weights were not kept."""

import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mnistlab.analysis.estimate import Estimate
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import ConfigurationError, MachineError, did_you_mean
from mnistlab.network import TrainedNetwork
from mnistlab.plan import Group
from mnistlab.records import RunResult
from mnistlab.saving import save
from mnistlab.spec import Cell, Run

if TYPE_CHECKING:
    from mnistlab.execution.worker import WorkerSettings

KEEP = ("none", "best", "all")
_TIMEOUT_SECONDS, _TIMEOUT_FACTOR = 900.0, 20.0
_FOLDERS = {"sklearn": "ffn", "keras": "dnn"}


def kept_path(models: Path, run: Run) -> Path:
    """The file of a run's network under `models`, whether it is there or not."""
    return models / _FOLDERS[run.cell.framework] / f"{run.id}.safetensors"


def check_keep(keep: str, cells: Iterable[Cell]) -> None:
    """Refuse a word that is none of `KEEP`, and `best` where no validation digits choose.

    Raises
    ------
    ConfigurationError
    """
    if keep not in KEEP:
        raise ConfigurationError(f"--keep {keep or repr(keep)}", f"one of {', '.join(KEEP)} is needed",
                                 did_you_mean(keep, KEEP))  # fmt: skip
    blind = [cell.label for cell in cells if cell.split.validation_fraction == 0] if keep == "best" else []
    if blind:
        why = f'"{blind[0]}" has no validation examples to choose by'
        raise ConfigurationError("--keep best", why, "--keep all, or set validation_fraction")


def network_of(result: RunResult, info: DatasetInfo) -> TrainedNetwork:
    """The network a result holds, for images of its data set."""
    return TrainedNetwork(result.run, info.image_shape, info.class_names, result.network, result.weights_sha256)


@dataclass(slots=True)
class Keeper:
    """Writes networks as their runs finish; under `best` one for each cell, the highest validation accuracy.

    Attributes
    ----------
    models : Path
    keep : str
        `best` or `all`.
    kept : mapping
        Cell id → what is kept of it: validation accuracy and negative seed, by which they rank, and the file.
    """

    models: Path
    keep: str
    kept: dict[str, list[tuple[float, int, Path]]] = field(default_factory=lambda: defaultdict(list))

    def know(self, finished: Iterable[tuple[Run, float | None]]) -> int:
        """Take in runs that are done, with their validation accuracies, from the store.

        Returns
        -------
        int
            How many networks are missing that would have been kept: of all runs, or of the best one of each cell.
        """
        missing, best = 0, dict[str, tuple[float, int, Path]]()
        for run, accuracy in finished:
            place = (-1.0 if accuracy is None else accuracy, -run.seed, kept_path(self.models, run))
            if place[2].is_file():
                self.kept[run.cell.id].append(place)
            else:
                missing += 1
            best[run.cell.id] = max(place, best.get(run.cell.id, place))
        return missing if self.keep == "all" else sum(not path.is_file() for _, _, path in best.values())

    def write(self, result: RunResult, info: DatasetInfo) -> None:
        """Write the network of a result that is about to be stored, if it is to be kept.

        Raises
        ------
        MachineError
            The disk said no; nothing else is lost.
        """
        if not result.network:
            return
        accuracy = result.validation.accuracy if result.validation is not None else -1.0
        place = (accuracy, -result.run.seed, kept_path(self.models, result.run))
        others = self.kept[result.run.cell.id]
        if self.keep == "all" or place >= max(others, default=place):
            save(network_of(result, info), place[2])
            others.append(place)

    def tidy(self, cell: Cell) -> None:
        """After its result was stored: under `best`, take away what a better network of the same cell has replaced."""
        kept = self.kept[cell.id]
        if self.keep == "best" and len(kept) > 1:
            best = max(kept)
            for place in kept:
                if place != best:
                    place[2].unlink(missing_ok=True)
            self.kept[cell.id] = [best]


def train_again(result: RunResult, settings: "WorkerSettings") -> RunResult:
    """Train a stored run once more in a process of its own, with its engine, and compare the weights bit for bit.

    Ctrl-C and SIGTERM end it as they end any program.

    Raises
    ------
    MachineError
        It failed, or the weights are others; the message says what differs from then.
    """
    from mnistlab.execution.local import Finished, execute
    from mnistlab.execution.stop import Budget, stop_on_signals

    timeout = _TIMEOUT_SECONDS + _TIMEOUT_FACTOR * result.ledger.end_to_end_seconds
    groups, again = [Group(result.engine, (result.run,), Estimate(None), timeout)], None
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
