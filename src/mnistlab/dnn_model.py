"""Specification → Keras model. Knows no backend: `import_keras` chooses one, everything else is plain Keras."""

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnistlab.errors import MachineError
from mnistlab.seeds import stream_seed
from mnistlab.spec import Architecture, Training


def choose_backend() -> str:
    """Set `KERAS_BACKEND` to what Keras will use, and return it; imports nothing.

    What its user has set wins; then `~/.keras/keras.json`, if it names an installed backend; then JAX. Without any of
    these Keras would ask for TensorFlow and fail where it is absent.
    """
    if "KERAS_BACKEND" not in os.environ:  # asked for every run of a plan: the file is read once
        os.environ["KERAS_BACKEND"] = _configured_backend() or "jax"
    return os.environ["KERAS_BACKEND"]


def import_keras() -> Any:
    """Keras, on the backend of `check_backend`."""
    check_backend()
    return importlib.import_module("keras")


def check_backend() -> None:
    """Make sure of the backend that `choose_backend` chooses, without importing it.

    Raises
    ------
    MachineError
        The backend named by `KERAS_BACKEND` is not installed.
    """
    backend = choose_backend()
    if importlib.util.find_spec(backend) is None:
        raise MachineError(f"KERAS_BACKEND={backend}", "this package is not installed", "unset it to use jax")


def _configured_backend() -> str | None:
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        backend = json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = backend in ("jax", "tensorflow", "torch")
    return str(backend) if known and importlib.util.find_spec(backend) is not None else None


def create_dnn_model(
    input_shape: tuple[int],
    architecture: Architecture | Mapping[str, Any],
    *,
    training: Training | None = None,
    n_classes: int = 10,
    seed: int | None = None,
    steps_per_epoch: int = 1,
) -> Any:
    """A compiled Keras model: the named hidden layers and a softmax output.

    Parameters
    ----------
    input_shape : tuple of one int
        Number of features, `(784,)` for MNIST.
    architecture : Architecture or mapping
        `{'nodes': [64, 64], 'activations': ['relu', 'relu']}`, one activation per layer.
    training : Training, optional
        Optimizer, learning rate, schedule, L2; by default Adam at 0.001.
    n_classes : int, default=10
    seed : int, optional
        Initial weights and dropout come from named streams of this seed; not given: from Keras' global state.
    steps_per_epoch : int, default=1
        What a schedule needs to know besides `training.epochs`.

    Returns
    -------
    keras.Sequential
        Compiled with categorical cross-entropy (labels one-hot, float) and accuracy.

    Raises
    ------
    ValueError
        An input shape of more than one axis; widths and activations that differ in number; unknown keys or activations.
    """
    keras = import_keras()
    layers = architecture if isinstance(architecture, Architecture) else _architecture(architecture)
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 1 or int(input_shape[0]) < 1:
        raise ValueError(f"input_shape must hold one count of features, such as (784,); got {input_shape}")
    training = training or Training()

    def dense(units: int, index: int) -> Any:
        penalty = keras.regularizers.L2(training.l2) if training.l2 else None
        hidden = index < layers.depth
        limit = keras.constraints.MaxNorm(training.max_norm) if training.max_norm and hidden else None
        start = kernel_initializer(seed, index)
        return keras.layers.Dense(
            units, kernel_initializer=start, kernel_regularizer=penalty, kernel_constraint=limit
        )  # fmt: skip

    def dropout(rate: float, index: int) -> Any:
        return keras.layers.Dropout(rate, seed=None if seed is None else stream_seed(seed, "dropout", index))

    def noise(index: int) -> Any:
        return keras.layers.GaussianNoise(
            layers.gaussian_noise, seed=None if seed is None else stream_seed(seed, "noise", index)
        )

    model = keras.Sequential([keras.Input((int(input_shape[0]),))])
    if layers.gaussian_noise:
        model.add(noise(0))
    if layers.input_dropout:
        model.add(dropout(layers.input_dropout, layers.depth))
    for index, (units, name) in enumerate(zip(layers.hidden_layer_sizes, layers.activations, strict=True)):
        model.add(dense(units, index))
        if layers.batch_norm:
            model.add(keras.layers.BatchNormalization())
        if layers.gaussian_noise:
            model.add(noise(index + 1))
        model.add(keras.layers.Activation(name))
        if layers.dropout:
            model.add(dropout(layers.dropout, index))
    model.add(dense(n_classes, layers.depth))
    model.add(keras.layers.Activation("softmax"))
    smoothing = training.label_smoothing
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing) if smoothing else "categorical_crossentropy"
    model.compile(optimizer=create_optimizer(training, steps_per_epoch), loss=loss, metrics=["accuracy"])
    return model


def kernel_initializer(seed: int | None, index: int) -> Any:
    """Keras' initializer of the kernel of dense layer `index`; without a seed it draws from Keras' global state."""
    return import_keras().initializers.GlorotUniform(None if seed is None else stream_seed(seed, "init", index))


def dropout_rates(architecture: Architecture) -> list[tuple[int, float]]:
    """Of every dropout layer in turn: which of its seed's streams it draws from, and its rate."""
    of_input = [(architecture.depth, architecture.input_dropout)] if architecture.input_dropout else []
    of_hidden = [(index, architecture.dropout) for index in range(architecture.depth)] if architecture.dropout else []
    return of_input + of_hidden


def learning_rate(training: Training, steps_per_epoch: int) -> Any:
    """The step size as Keras' optimizers take it: a number, or a schedule that counts steps."""
    schedules = import_keras().optimizers.schedules
    rate, steps = training.learning_rate, training.epochs * steps_per_epoch
    if training.schedule == "cosine":
        if training.warmup_epochs:
            rising = training.warmup_epochs * steps_per_epoch
            return schedules.CosineDecay(0.0, steps - rising, warmup_target=rate, warmup_steps=rising)
        return schedules.CosineDecay(rate, steps)
    if training.schedule == "step":
        changes = [max(1, steps // 2), max(2, steps * 3 // 4)]
        return schedules.PiecewiseConstantDecay(changes, [rate, rate / 10, rate / 100])
    return rate


def create_optimizer(training: Training, steps_per_epoch: int) -> Any:
    """The Keras optimizer a training specification asks for; its schedule counts steps."""
    keras, rate = import_keras(), learning_rate(training, steps_per_epoch)
    averages, of_average = training.ema_momentum is not None, training.ema_momentum or 0.0
    if training.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=training.momentum, use_ema=averages, ema_momentum=of_average)
    if training.optimizer == "adamw":
        decay, epsilon = training.weight_decay, training.epsilon
        return keras.optimizers.AdamW(
            rate, weight_decay=decay, epsilon=epsilon, use_ema=averages, ema_momentum=of_average
        )
    return keras.optimizers.Adam(rate, epsilon=training.epsilon, use_ema=averages, ema_momentum=of_average)


def _architecture(mapping: Mapping[str, Any]) -> Architecture:
    if set(mapping) != {"nodes", "activations"}:
        raise ValueError(f"architecture needs the keys 'nodes' and 'activations'; got {sorted(map(str, mapping))}")
    return Architecture(mapping["nodes"], mapping["activations"])
