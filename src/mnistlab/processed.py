"""What the image steps of a cell make of a whole data set: computed once, in parallel, and kept in `data/processed`.

An entry is a `.npy` file and a `.json` file that holds its digest and its cost. Its name is a hash of the data, the
steps and the versions of what computes them; an entry that does not agree with its digest counts as absent.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from io import BufferedRandom
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets.catalog import Dataset
from mnistlab.errors import MachineError
from mnistlab.instruments.environment import versions
from mnistlab.instruments.resources import usable_cores
from mnistlab.places import write_file, written_whole
from mnistlab.preprocessing import apply_image_step
from mnistlab.spec import Features
from mnistlab.stop import Budget, Stop, end_with_parent, interrupts_blocked

# To be raised when `apply_image_step` gives other numbers for the same image.
_VERSION = 1
_PACKAGES = ("numpy", "scikit-image", "scipy")
_IMAGES_PER_TASK = 1000
_POLL_SECONDS = 0.2
_TELL_SECONDS = 10.0

Notify = Callable[[str], None]
Chunk = tuple[NDArray[np.float32], float]  # rows, and the processor seconds they took


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """An entry of the cache.

    Attributes
    ----------
    features : uint8 or float32 array (n, n_columns)
        Of every image of the data set, in its order; read from the disk when used.
    processor_seconds : float
        What computing it took, summed over all processes.
    """

    features: NDArray[Any]
    processor_seconds: float


def load_processed(dataset: Dataset, features: Features, folder: Path) -> Processed | None:
    """The entry for a data set and the image steps of `features`; None when it is missing or not what it should be."""
    npy = folder / f"{_name(dataset, features)}.npy"
    try:
        if not (npy.is_file() and npy.with_suffix(".json").is_file()):  # before opening: a FIFO would wait
            return None
        about = json.loads(npy.with_suffix(".json").read_bytes())
        with npy.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
                return None
        array = np.load(npy, mmap_mode="r", allow_pickle=False)
        if (array.shape, array.dtype) != _layout(dataset, features):
            return None
        return Processed(array, float(about["processor_seconds"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def keep_processed(
    dataset: Dataset, features: Features, folder: Path, *, stop: Stop, budget: Budget, notify: Notify
) -> None:
    """Make sure of the entry for a data set and the image steps of `features`, unless the stop or the budget ends it.

    It is computed by as many spawned processes as there are cores, and appears under its name when it is complete and
    on the disk. `notify` is told the start, every ten seconds how far it is, and the cost.

    Raises
    ------
    MachineError
        The folder cannot be written, a process died, or what a step needs is not installed.
    """
    if load_processed(dataset, features, folder) is not None:
        return
    npy = folder / f"{_name(dataset, features)}.npy"
    what = f"{'+'.join(features.image_steps)}: {len(dataset.images):,} images"
    notify(f"{what} of {dataset.info.name}, computed once for all runs")
    began = time.monotonic()
    try:
        with written_whole(npy) as out, closing(_computed(dataset, features, stop, budget)) as chunks:
            processor = _write(out, chunks, _layout(dataset, features), what, notify)
            out.seek(0)
            digest = hashlib.file_digest(out, "sha256").hexdigest()
        wall = time.monotonic() - began
        about = {"dataset": dataset.info.name, "dataset_sha256": dataset.sha256, "steps": features.image_steps,
                 "sha256": digest, "wall_seconds": wall, "processor_seconds": processor}  # fmt: skip
        write_file(npy.with_suffix(".json"), json.dumps(about, indent=1).encode())
    except _Ended:
        notify(f"{what}: not finished, nothing kept")
        return
    except OSError as fault:
        raise MachineError(str(folder), f"cannot be written: {fault.strerror or fault}",
                           "make room there or name another home with --home") from fault  # fmt: skip
    notify(f"{what} in {wall:.1f} s ({processor:.1f} s of processor time), kept in {folder}")


class _Ended(Exception):  # noqa: N818 - not a fault
    """The stop or the budget ended it."""


def _name(dataset: Dataset, features: Features) -> str:
    """Steps, and sixteen hexadecimal characters of the SHA-256 of all that decides their result."""
    packages = [package for package in versions() if package[0] in _PACKAGES]
    content = [dataset.sha256, dataset.images.shape, features.image_steps, _VERSION, packages]
    return f"{'-'.join(features.image_steps)}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"


def _layout(dataset: Dataset, features: Features) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Shape and type of an entry; deskewed images are whole grey levels, so that bytes hold them."""
    columns = Features(features.image_steps).n_features(dataset.info.image_shape)
    kind = np.uint8 if features.image_steps[-1] == "deskew" else np.float32
    return (len(dataset.images), columns), np.dtype(kind)


def _compute(steps: tuple[str, ...], images: NDArray[Any]) -> Chunk:
    """What a spawned process does: the steps, one after the other, and the processor seconds they took."""
    started = time.process_time()
    for step in steps:
        images = apply_image_step(step, images)
    return images.reshape(len(images), -1), time.process_time() - started


def _computed(dataset: Dataset, features: Features, stop: Stop, budget: Budget) -> Generator[Chunk, None, None]:
    """Every chunk of the data set in its order, with its processor seconds."""
    from pebble import ProcessExpired, ProcessPool

    images = dataset.images
    chunks = [images[at : at + _IMAGES_PER_TASK] for at in range(0, len(images), _IMAGES_PER_TASK)]
    # A process that only comes when all is done would be ended while it starts, and complain.
    processes = max(1, min(usable_cores(), len(chunks) // 8))
    pool = ProcessPool(processes, context=get_context("spawn"), initializer=end_with_parent)
    try:
        with interrupts_blocked():
            futures = deque(pool.schedule(_compute, args=(features.image_steps, chunk)) for chunk in chunks)
        while futures:
            if stop.requested or budget.overdrawn:
                raise _Ended
            if wait([futures[0]], _POLL_SECONDS).done:
                yield futures.popleft().result()
    except (ProcessExpired, BrokenProcessPool) as fault:
        raise MachineError("+".join(features.image_steps), "a process that computed it was ended from outside",
                           "the same command tries again") from fault  # fmt: skip
    finally:
        pool.stop()
        pool.join()


def _write(
    out: BufferedRandom, chunks: Iterator[Chunk], layout: tuple[tuple[int, int], np.dtype[Any]], what: str,
    notify: Notify,
) -> float:  # fmt: skip
    """Write the chunks as one `.npy` file; returns the sum of their processor seconds."""
    (n, columns), kind = layout
    np.lib.format.write_array_header_1_0(out, {"descr": kind.str, "fortran_order": False, "shape": (n, columns)})
    done, processor, began = 0, 0.0, (told := time.monotonic())
    for rows, seconds in chunks:
        out.write(rows.astype(kind, copy=False).data)
        done, processor = done + len(rows), processor + seconds
        if (now := time.monotonic()) - told > _TELL_SECONDS:
            told = now
            notify(f"{what}, {done:,} done, {(now - began) / done * (n - done):.0f} s left")
    return processor
