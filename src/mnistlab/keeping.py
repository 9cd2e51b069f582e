"""Which trained networks stay on the disk, and where they lie."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import ConfigurationError, MachineError, did_you_mean
from mnistlab.network import TrainedNetwork
from mnistlab.records import RunResult
from mnistlab.saving import load, save
from mnistlab.spec import Cell, Run

KEEP = ("none", "best", "all")
_FOLDERS = {"sklearn": "ffn", "keras": "dnn"}

Place = tuple[float, int, Path]


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


def discard(path: Path) -> None:
    """Remove the file of a network, if it is there; MachineError when the disk says no."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as fault:
        raise MachineError(str(path), f"cannot be removed: {fault.strerror}", "remove it by hand") from fault


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
    infos : mapping of str to DatasetInfo
        By the names of the data sets the networks are of.
    kept : mapping
        Cell id → what is kept of it: validation accuracy and negative seed, by which they rank, and the file.
    best : mapping
        Cell id → the one of these that a better one replaces; none where `all` has kept several before.
    """

    models: Path
    keep: str
    infos: Mapping[str, DatasetInfo]
    kept: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    best: dict[str, Place] = field(default_factory=dict)

    def know(self, finished: Iterable[tuple[Run, float | None]]) -> int:
        """Take in runs that are done, with their validation accuracies, from the store.

        Returns
        -------
        int
            How many networks are missing that would have been kept: of all runs, or of the best one of each cell.
        """
        missing, best = 0, dict[str, Place]()
        for run, accuracy in finished:
            place = (-1.0 if accuracy is None else accuracy, -run.seed, kept_path(self.models, run))
            if place[2].is_file():
                self.kept[run.cell.id].append(place)
            else:
                missing += 1
            best[run.cell.id] = max(place, best.get(run.cell.id, place))
        self.best |= {cell: places[0] for cell, places in self.kept.items() if len(places) == 1}
        return missing if self.keep == "all" else sum(not path.is_file() for _, _, path in best.values())

    def write(self, result: RunResult) -> None:
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
            save(network_of(result, self.infos[result.run.cell.dataset]), place[2])
            others.append(place)

    def tidy(self, cell: Cell) -> None:
        """After its result was stored: under `best`, take away the network that a better one of its cell has replaced.

        Raises
        ------
        MachineError
            The file cannot be removed.
        """
        if self.keep == "best" and (kept := self.kept[cell.id]) and (best := max(kept)) == kept[-1]:
            replaced, self.best[cell.id] = self.best.get(cell.id, best), best
            if replaced != best:
                discard(replaced[2])
                kept.remove(replaced)


def kept_network(result: RunResult, path: Path) -> TrainedNetwork | None:
    """The network kept of a run; None where there is none, or one of another training."""
    network = load(path) if path.exists() else None
    return network if network is not None and network.weights_sha256 == result.weights_sha256 else None
