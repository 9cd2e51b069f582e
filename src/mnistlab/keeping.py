"""Which trained networks stay on the disk, and where they lie."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import ConfigurationError, MachineError, did_you_mean
from mnistlab.network import TrainedNetwork
from mnistlab.places import Places
from mnistlab.records import RunResult
from mnistlab.saving import load, save
from mnistlab.spec import Cell, Run
from mnistlab.store.tables import Store
from mnistlab.study import Study

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
    highest : mapping
        Cell id → the best network kept of it: validation accuracy and negative seed, by which they rank, and the file.
    ours : mapping
        Cell id → the file that a better network takes the place of; none where `all` has kept several before.
    replaced : mapping
        Cell id → the file whose place was taken, until the better result is stored.
    """

    models: Path
    keep: str
    infos: Mapping[str, DatasetInfo]
    highest: dict[str, Place] = field(default_factory=dict)
    ours: dict[str, Path] = field(default_factory=dict)
    replaced: dict[str, Path] = field(default_factory=dict)

    def know(self, finished: Iterable[tuple[Run, float | None]]) -> int:
        """Take in runs that are done, with their validation accuracies, from the store.

        Returns
        -------
        int
            How many networks are missing that would have been kept: of all runs, or of the best one of each cell.
        """
        missing, best, kept = 0, dict[str, Place](), defaultdict[str, list[Place]](list)
        for run, accuracy in finished:
            place = (-1.0 if accuracy is None else accuracy, -run.seed, kept_path(self.models, run))
            if place[2].is_file():
                kept[run.cell.id].append(place)
            else:
                missing += 1
            best[run.cell.id] = max(place, best.get(run.cell.id, place))
        self.highest = {cell: max(places) for cell, places in kept.items()}
        self.ours = {cell: places[0][2] for cell, places in kept.items() if len(places) == 1}
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
        cell, path = result.run.cell, kept_path(self.models, result.run)
        place = (accuracy, -result.run.seed, path)
        if self.keep == "all" or place >= self.highest.get(cell.id, place):
            save(network_of(result, self.infos[cell.dataset]), path)
            if (older := self.ours.get(cell.id, path)) != path:
                self.replaced[cell.id] = older
            self.highest[cell.id], self.ours[cell.id] = place, path

    def tidy(self, cell: Cell) -> None:
        """After its result was stored: under `best`, take away the network that a better one of its cell has replaced.

        Raises
        ------
        MachineError
            The file cannot be removed.
        """
        if self.keep == "best" and cell.id in self.replaced:
            discard(self.replaced.pop(cell.id))


def keeper_of(
    study: Study, keep: str, infos: Mapping[str, DatasetInfo], store: Store, places: Places,
    notify: Callable[[str], None],
) -> Keeper | None:  # fmt: skip
    """The keeper for a study's runs, which knows what was kept before; None if nothing is to be kept.

    `notify` is told how many networks earlier calls should have kept for this one.
    """
    if keep == "none":
        return None
    keeper, cells = Keeper(places.models, keep, infos), {cell.id: cell for cell in study.cells}
    done = [(Run(cells[cell], seed), accuracy) for cell, seed, accuracy in store.done() if cell in cells]
    if missing := keeper.know(done):
        notify(f"finished before without --keep and not trained again: {missing:,}; "
               "`mnistlab export RUN --format keras` trains one again and keeps it")  # fmt: skip
    return keeper


def kept_network(result: RunResult, path: Path) -> TrainedNetwork | None:
    """The network kept of a run; None where there is none, or one of another training."""
    network = load(path) if path.exists() else None
    return network if network is not None and network.weights_sha256 == result.weights_sha256 else None
