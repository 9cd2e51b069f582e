"""Trained networks in a file of our own: `safetensors` arrays and a JSON description, told apart by a checksum.

A file is believed in nothing: its kinds of layers are those of the specification, its shapes are compared with each
other and with its bytes before an array is made, and no code comes out of it. No other format is ever loaded.
"""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import DataError, MachineError
from mnistlab.network import ARRAYS, TrainedNetwork, base_kind, layer_kinds
from mnistlab.places import write_file
from mnistlab.records import Stage
from mnistlab.spec import Cell, Features, Run

FORMAT = 1
MAX_BYTES = 4 << 30
# 512 layers with batch normalisation and their names take about a tenth of it.
_MAX_HEADER = 4 << 20
_MAX_SIDE, _MAX_CLASSES = 4096, 256

_TRAIN_AGAIN = "remove it; `mnistlab export RUN --format keras` trains the network again and keeps it"
_FOREIGN = {b"\x80": "a pickle", b"PK": "a zip archive, as `.keras` files are", b"\x89HDF": "HDF5", b"\x08": "ONNX"}


def save(network: TrainedNetwork, path: Path) -> None:
    """Write a network; the folder is made, and what stood at `path` is replaced at once or not at all.

    Raises
    ------
    MachineError
        It cannot be written.
    """
    import safetensors.numpy

    description = json.dumps({
        "format": FORMAT, "run": network.run.id, "seed": network.run.seed, "cell": network.run.cell.content(),
        "image_shape": network.image_shape, "class_names": network.class_names,
        "stages": [stage.kind for stage in network.stages], "weights_sha256": network.weights_sha256,
    })  # fmt: skip
    arrays = {
        name: array
        for place, stage in enumerate(network.stages)
        for name, array in zip(_names(place, stage.kind), stage.arrays, strict=True)
    }
    metadata = {"mnistlab": description, "sha256": _sha256(description, arrays)}
    write_whole(path, safetensors.numpy.save(arrays, metadata))


def load(path: Path) -> TrainedNetwork:
    """Read a network that `save` wrote.

    Raises
    ------
    DataError
        Missing, not a regular file, of another format or a newer one, truncated, too large; of layers, steps or shapes
        that are not those of its cell; with numbers that are none; or not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        _check_beginning(path)
        with safe_open(path, framework="numpy") as file:
            return _checked(file)
    except OSError as fault:
        raise DataError(str(path), f"cannot be read: {fault.strerror or fault}") from fault
    except SafetensorError as fault:
        raise DataError(str(path), f"damaged: {fault}", _TRAIN_AGAIN) from fault
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as fault:
        why = str(fault) if isinstance(fault, ValueError) else f"its description makes no sense, {fault!r:.80}"
        raise DataError(str(path), f"not a network to be trusted: {why}", _TRAIN_AGAIN) from fault


def write_whole(path: Path, content: bytes) -> None:
    """`places.write_file`; MachineError when the disk says no."""
    try:
        write_file(path, content)
    except OSError as fault:
        why = f"cannot be written: {(fault.strerror or str(fault)).lower()}"
        raise MachineError(str(path), why, "make room, or name another place") from fault


def _names(place: int, kind: str) -> list[str]:
    return [f"{place:04d}.{base_kind(kind)}.{array}" for array in ARRAYS.get(base_kind(kind), ())]


def _sha256(description: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(description.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _check_beginning(path: Path) -> None:
    if not path.is_file():  # before opening: a FIFO would wait for a writer
        raise DataError(str(path), "not a regular file" if path.exists() else "no such file")
    with path.open("rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
    header = int.from_bytes(start, "little")
    if not 2 <= header <= min(size - 8, _MAX_HEADER):
        kind = next((name for beginning, name in _FOREIGN.items() if start.startswith(beginning)), "")
        why = f"this is {kind}" if kind else "not a file that mnistlab wrote, or cut off"
        raise DataError(str(path), why, "only the `.safetensors` files of `mnistlab run --keep` are read")
    if size > MAX_BYTES:
        raise DataError(str(path), f"{size / 1e9:.1f} GB are more than any network kept here")


def _checked(file: Any) -> TrainedNetwork:
    metadata = file.metadata() or {}
    description = json.loads(metadata.get("mnistlab", "null"))
    if not isinstance(description, dict) or not isinstance(version := description.get("format"), int):
        raise ValueError("it has no description of ours")
    if version != FORMAT:
        raise ValueError(f"written in format {version} of a newer mnistlab; this one knows {FORMAT}")
    run, image_shape, class_names = _read_description(description)
    kinds = (*run.cell.features.steps, *layer_kinds(run.cell.architecture))
    for place, (wanted, kind) in enumerate(itertools.zip_longest(kinds, description["stages"], fillvalue="none"), 1):
        if kind != wanted:
            raise ValueError(f"stage {place} is {str(kind)[:40]!r}, where {wanted} is expected")
    _check_shapes(file, kinds, run.cell, image_shape, len(class_names))
    names = [_names(place, kind) for place, kind in enumerate(kinds)]
    arrays = {name: file.get_tensor(name) for stage in names for name in stage}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("a weight is not a finite number")
    if _sha256(metadata["mnistlab"], arrays) != metadata.get("sha256"):
        raise ValueError("its checksum is wrong: it is not as it was written")
    stages = tuple(Stage(kind, tuple(arrays[name] for name in stage)) for kind, stage in zip(kinds, names, strict=True))
    return TrainedNetwork(run, image_shape, class_names, stages, description["weights_sha256"])


def _read_description(description: dict[str, Any]) -> tuple[Run, tuple[int, int], tuple[str, ...]]:
    """Run, image shape and class names."""
    run = Run(Cell.from_content(description["cell"]), description["seed"])
    if run.id != description["run"]:
        raise ValueError("its cell and seed are not those of its run")
    shape, names = description["image_shape"], description["class_names"]
    if len(shape) != 2 or not all(type(side) is int and 1 <= side <= _MAX_SIDE for side in shape):
        raise ValueError("its image shape is none")
    if not 1 <= len(names) <= _MAX_CLASSES or not all(isinstance(name, str) for name in names):
        raise ValueError("its class names are none")
    return run, (shape[0], shape[1]), tuple(names)


def _check_shapes(file: Any, kinds: Sequence[str], cell: Cell, image_shape: tuple[int, int], n_classes: int) -> None:
    """Refuse arrays that do not fit each other, the cell and the images; reads none."""
    expected = dict(_shapes(kinds, cell, image_shape, n_classes))
    if sorted(file.keys()) != sorted(expected):
        raise ValueError("its arrays are not those of its layers")
    for name, shape in expected.items():
        part = file.get_slice(name)
        if part.get_dtype() not in ("F32", "F64") or tuple(part.get_shape()) != shape:
            found = f"{part.get_dtype()} {tuple(part.get_shape())}"
            raise ValueError(f"{name} is {found}, where numbers of {shape} are expected")


def _shapes(
    kinds: Sequence[str], cell: Cell, image_shape: tuple[int, int], n_classes: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    widths, n = iter((*cell.architecture.hidden_layer_sizes, n_classes)), math.prod(image_shape)
    for place, kind in enumerate(kinds):
        if kind == "hog":
            n = Features((kind,)).n_features(image_shape)
        base, _, argument = kind.partition(":")
        m = next(widths) if base == "dense" else int(argument or n)
        shapes: dict[str, list[tuple[int, ...]]] = {
            "standardize": [(n,), (n,)], "pca": [(n,), (m, n)], "dense": [(n, m), (m,)], "batch_norm": [(n,)] * 4,
        }  # fmt: skip
        yield from zip(_names(place, kind), shapes.get(base, []), strict=True)
        n = m
