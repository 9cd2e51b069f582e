"""A trained network for other programs: Keras' own file, or ONNX. Written only; mnistlab never reads either.

Both take float32 rows. Feature steps that are linear (`scale`, `standardize`, `pca`) become part of the network, so the
rows are pixels 0 … 255 in reading order; behind `deskew` or `hog` they are what the last of these yields, and the name
of the input says so.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.dnn_model import create_dnn_model, import_keras
from mnistlab.errors import ConfigurationError, MachineError, did_you_mean
from mnistlab.network import TrainedNetwork, base_kind, slope_and_shift
from mnistlab.records import Stage
from mnistlab.saving import write_whole

_OPSET = 20  # the first with Gelu


def check_format(form: str) -> None:
    """Refuse a format there is none of, or whose package is absent.

    Raises
    ------
    ConfigurationError
    MachineError
    """
    if form not in FORMATS:
        raise ConfigurationError(f"--format {form or repr(form)}", "no such format", did_you_mean(form, FORMATS))
    if form == "onnx":
        _import_onnx()


def export_network(network: TrainedNetwork, form: str, path: Path) -> None:
    """Write a network as `form`, one of `FORMATS`; what stood at `path` is replaced at once or not at all.

    Raises
    ------
    MachineError
        A package is absent, or the disk says no.
    """
    write_whole(path, FORMATS[form](network))


def keras_bytes(network: TrainedNetwork) -> bytes:
    """A `.keras` file: the steps as layers, then those of `create_dnn_model`, dropout among them; not compiled."""
    keras = import_keras()
    steps, layers = _parts(network)
    cell = network.run.cell
    core = create_dnn_model(
        (_columns(layers),), cell.architecture, training=cell.training, n_classes=len(network.class_names)
    )
    core.set_weights([array for stage in layers for array in stage.arrays])
    taken = keras.Input((_columns([*steps, *layers]),), name=_input_name(network))
    front = [_keras_layer(keras, stage) for stage in steps]
    model = keras.Sequential([taken, *front, *core.layers], name=f"mnistlab_{network.run.id}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        model.save(path)
        return path.read_bytes()


def onnx_bytes(network: TrainedNetwork) -> bytes:
    """An ONNX model: Gemm, activations, and elementwise arithmetic for steps and batch normalisation."""
    onnx = _import_onnx()
    steps, layers = _parts(network)
    nodes, constants, taken = [], [], _input_name(network)
    name = taken
    for number, (operator, arrays) in enumerate(node for stage in (*steps, *layers) for node in _onnx_nodes(stage)):
        names = [f"{number}.{place}" for place in range(len(arrays))]
        constants += [
            onnx.numpy_helper.from_array(np.ascontiguousarray(array, np.float32), its_name)
            for its_name, array in zip(names, arrays, strict=True)
        ]
        result = "probabilities" if operator == "Softmax" else f"{number}"
        nodes.append(onnx.helper.make_node(operator, [name, *names], [result]))
        name = result
    values = [
        onnx.helper.make_tensor_value_info(its_name, onnx.TensorProto.FLOAT, ["n", columns])
        for its_name, columns in ((taken, _columns([*steps, *layers])), (name, len(network.class_names)))
    ]
    graph = onnx.helper.make_graph(nodes, f"mnistlab_{network.run.id}", values[:1], values[1:], constants)
    opset = onnx.helper.make_opsetid("", _OPSET)
    model = onnx.helper.make_model(
        graph, opset_imports=[opset], producer_name="mnistlab",
        ir_version=onnx.helper.find_min_ir_version_for([opset]),
    )  # fmt: skip
    onnx.helper.set_model_props(model, _properties(network))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


FORMATS: dict[str, Callable[[TrainedNetwork], bytes]] = {"keras": keras_bytes, "onnx": onnx_bytes}


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as fault:
        raise MachineError("--format onnx", "the package onnx is absent", "pip install 'mnistlab[onnx]'") from fault
    return onnx


def _parts(network: TrainedNetwork) -> tuple[list[Stage], list[Stage]]:
    """Linear steps behind the last image step, and layers."""
    stages, features = list(network.stages), network.run.cell.features
    n_steps = len(features.steps)
    return stages[len(features.image_steps) : n_steps], stages[n_steps:]


def _columns(stages: list[Stage]) -> int:
    """Columns the first of these stages takes: the first array there is has a row, or a number, for each."""
    return next(len(stage.arrays[0]) for stage in stages if stage.arrays)


def _input_name(network: TrainedNetwork) -> str:
    image_steps = network.run.cell.features.image_steps
    return f"after_{image_steps[-1]}" if image_steps else "pixels"


def _properties(network: TrainedNetwork) -> dict[str, str]:
    taken = _input_name(network)
    about = "pixels 0 to 255 in reading order" if taken == "pixels" else f"what {taken.removeprefix('after_')} yields"
    run = network.run
    return {"run": run.id, "label": run.cell.label, "seed": str(run.seed), "input": about,
            "class_names": json.dumps(network.class_names)}  # fmt: skip


def _keras_layer(keras: Any, stage: Stage) -> Any:
    match base_kind(stage.kind):
        case "standardize":
            mean, scale = stage.arrays
            return keras.layers.Normalization(mean=mean, variance=np.square(scale))
        case "pca":
            mean, components = stage.arrays
            layer = keras.layers.Dense(len(components))
            layer.build((None, len(mean)))
            layer.set_weights([components.T, -mean @ components.T])
            return layer
    return keras.layers.Rescaling(1 / 255)


def _onnx_nodes(stage: Stage) -> list[tuple[str, list[NDArray[Any]]]]:
    """Operators with their constants, which follow the value that flows through."""
    match base_kind(stage.kind):
        case "scale":
            return [("Div", [np.array(255)])]
        case "standardize":
            mean, scale = stage.arrays
            return [("Sub", [mean]), ("Div", [scale])]
        case "pca":
            mean, components = stage.arrays
            return [("Gemm", [components.T, -mean @ components.T])]
        case "dense":
            return [("Gemm", list(stage.arrays))]
        case "batch_norm":
            slope, shift = slope_and_shift(stage)
            return [("Mul", [slope]), ("Add", [shift])]
    return [(stage.kind.capitalize(), [])]
