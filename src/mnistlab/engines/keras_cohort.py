"""Keras networks as members of a cohort: the model of `create_dnn_model`, its loss and its optimizer, stateless."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistlab.dnn_model import (
    create_dnn_model,
    create_optimizer,
    dropout_rates,
    import_keras,
    kernel_initializer,
    learning_rate,
)
from mnistlab.engines.cohort import Cohorts
from mnistlab.engines.compiled import State
from mnistlab.engines.deformation import Deformation, deform, deformation_key
from mnistlab.preprocessing import PreparedData
from mnistlab.seeds import stream, stream_seed
from mnistlab.spec import Cell, Run

_BLOCK = 1024  # step sizes that are asked of Keras' schedule at once


class _KerasMember:
    """A run of Keras at its start: weights, dropout and order come from the streams that `Model.fit` is given too."""

    def __init__(self, state: State, run: Run, data: PreparedData, dtype: Any) -> None:
        self.state, self._n_train = state, len(data.train)
        self._order = stream(run.seed, "order")
        training = run.cell.training
        self._rate = learning_rate(training, math.ceil(self._n_train / training.batch_size))
        self._dtype = dtype

    def order(self) -> NDArray[np.integer[Any]]:
        return self._order.permutation(self._n_train)

    def rates(self, first: int, count: int) -> NDArray[np.floating[Any]]:
        """See `Member`; from Keras' own schedule."""
        if not callable(self._rate):
            return np.full(count, self._rate, self._dtype)
        numbers = range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
        start = first - numbers[0] * _BLOCK
        return np.concatenate([self._block(number) for number in numbers])[start : start + count]

    def _block(self, number: int) -> NDArray[np.floating[Any]]:
        """Step sizes of so many steps from a multiple on: wherever training pauses, a step's has the same bits."""
        import jax

        steps = np.arange(number * _BLOCK, (number + 1) * _BLOCK)
        return np.asarray(jax.vmap(self._rate)(steps), self._dtype)

    def stops(self, train_loss: float) -> bool:  # noqa: ARG002 - Keras has no such rule
        """See `Member`."""
        return False


class _Own(NamedTuple):
    """What a member has of its own beside its variables: factors of the loss, the source of its deformations."""

    l2: Any
    label_smoothing: Any
    deformation_seed: Any


class KerasShape:
    """See `Shape`. A state holds trainable, other and optimizer variables in Keras' order, then what is `_Own`.

    What may differ between members is no constant of the program: the step size comes from outside, dropout rates and
    noise are variables, L2 and label smoothing factors of the loss. Where weights are averaged, the network is their
    average.
    """

    def __init__(self, cell: Cell, data: PreparedData) -> None:
        import jax

        self._keras, self._jax = import_keras(), jax
        training = cell.training
        self._has_l2, self._smooths, self._n_classes = training.l2 > 0, training.label_smoothing > 0, data.n_classes
        self._deformation = Deformation(*training.deformation) if training.deformation else None
        self._image_shape = data.image_shape
        self.dtype = np.dtype(self._keras.config.floatx())
        plain = dataclasses.replace(training, schedule="constant", warmup_epochs=0, l2=0.0)
        columns = data.rows.shape[1]
        built = create_dnn_model((columns,), cell.architecture, training=plain, n_classes=data.n_classes)
        if any((cell.architecture.dropout, cell.architecture.input_dropout, cell.architecture.gaussian_noise)):
            built = self._keras.models.clone_model(built, clone_function=self._clone)
        self._model = built
        self._optimizer = create_optimizer(plain, 1)
        self._optimizer.build(self._model.trainable_variables)
        layers = self._keras.layers
        self._kernels = [layer.kernel for layer in self._model.layers if isinstance(layer, layers.Dense)]
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, layers.Dropout)]
        self._noises = [layer for layer in self._model.layers if isinstance(layer, layers.GaussianNoise)]
        # Keras 3.15 tells the averages to nobody else; `tests/engines/test_keras_cohort.py` fails where they move.
        self._averages = self._optimizer._model_variables_moving_average if self._optimizer.use_ema else []

    def _clone(self, layer: Any) -> Any:
        keras, jax = self._keras, self._jax
        if isinstance(layer, keras.layers.GaussianNoise):
            return self._noise(layer.stddev)
        if not isinstance(layer, keras.layers.Dropout):
            return layer.__class__.from_config(layer.get_config())

        class Dropout(keras.layers.Dropout):  # type: ignore[name-defined]
            """Keras' layer with the share it keeps as a variable; it draws the same numbers."""

            def build(self, _input_shape: Any) -> None:
                self.kept = self.add_weight(shape=(), initializer="ones", trainable=False)

            def call(self, inputs: Any, training: bool = False) -> Any:
                if not training:
                    return inputs
                stays = jax.random.bernoulli(self.seed_generator.next(), self.kept.value, inputs.shape)
                return jax.numpy.where(stays, inputs / self.kept.value, 0)

        return Dropout(layer.rate, seed=0)

    def _noise(self, stddev: float) -> Any:
        keras, jax = self._keras, self._jax

        class GaussianNoise(keras.layers.GaussianNoise):  # type: ignore[name-defined]
            """Keras' layer with its deviation as a variable; it draws the same numbers."""

            def build(self, _input_shape: Any) -> None:
                self.deviation = self.add_weight(shape=(), initializer="zeros", trainable=False)

            def call(self, inputs: Any, training: bool = False) -> Any:
                if not training:
                    return inputs
                drawn = jax.random.normal(self.seed_generator.next(), inputs.shape, inputs.dtype)
                return inputs + drawn * self.deviation.value

        return GaussianNoise(stddev, seed=0)

    def begin(self, run: Run, data: PreparedData) -> _KerasMember:
        """See `Shape.begin`."""
        model, start = self._model, dict[int, Any]()
        for index, kernel in enumerate(self._kernels):
            start[id(kernel)] = np.asarray(kernel_initializer(run.seed, index)(kernel.shape, self.dtype.name))
        for layer, (index, rate) in zip(self._dropouts, dropout_rates(run.cell.architecture), strict=True):
            start[id(layer.kept)] = np.asarray(1.0 - rate, self.dtype)
            state = layer.seed_generator.state
            start[id(state)] = np.asarray([stream_seed(run.seed, "dropout", index), 0], state.dtype)
        for index, layer in enumerate(self._noises):
            start[id(layer.deviation)] = np.asarray(run.cell.architecture.gaussian_noise, self.dtype)
            state = layer.seed_generator.state
            start[id(state)] = np.asarray([stream_seed(run.seed, "noise", index), 0], state.dtype)
        parts = model.trainable_variables, model.non_trainable_variables, self._optimizer.variables
        arrays = [[start.get(id(v), np.asarray(v.value)) for v in part] for part in parts]
        training = run.cell.training
        own = _Own(np.asarray(training.l2, self.dtype), np.asarray(training.label_smoothing, self.dtype),
                   np.uint32(stream_seed(run.seed, "deformation")))  # fmt: skip
        return _KerasMember((*arrays, own), run, data, self.dtype)

    def step(self, state: State, rate: Any, X: Any, y: Any) -> tuple[State, Any]:
        """See `Shape`."""
        trainable, other, slots, own = state
        if self._deformation is not None:
            number = next(value for variable, value in zip(self._optimizer.variables, slots, strict=True)
                          if variable is self._optimizer.iterations)  # fmt: skip
            images = X.reshape(-1, *self._image_shape)
            X = deform(images, deformation_key(own.deformation_seed, number), self._deformation).reshape(X.shape)
        slots = [rate.astype(value.dtype) if variable is self._optimizer.learning_rate else value
                 for variable, value in zip(self._optimizer.variables, slots, strict=True)]  # fmt: skip
        truth = self._jax.nn.one_hot(y, self._n_classes, dtype=self.dtype)
        if self._smooths:  # as Keras' loss, which takes no array for it
            truth = truth * (1 - own.label_smoothing) + own.label_smoothing / self._n_classes

        def loss(trainable: Any, other: Any) -> tuple[Any, Any]:
            predicted, other = self._model.stateless_call(trainable, other, X, training=True)
            mean = self._keras.losses.categorical_crossentropy(truth, predicted).mean()
            return mean + own.l2 * self._squares(trainable) if self._has_l2 else mean, other

        (value, other), gradients = self._jax.value_and_grad(loss, has_aux=True)(trainable, other)
        trainable, slots = self._optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, other, slots, own), value

    def _squares(self, trainable: Any) -> Any:
        kernels = {id(kernel) for kernel in self._kernels}
        return sum((value**2).sum() for variable, value in zip(self._model.trainable_variables, trainable, strict=True)
                   if id(variable) in kernels)  # fmt: skip

    def predict(self, state: State, X: Any) -> Any:
        """See `Shape`."""
        return self._model.stateless_call(self._trained(state), state[1], X, training=False)[0]

    def _trained(self, state: State) -> Any:
        """The trainable variables that the network consists of: their averages, where these are kept."""
        if not self._averages:
            return state[0]
        values = {id(variable): value for variable, value in zip(self._optimizer.variables, state[2], strict=True)}
        return [values[id(average)] for average in self._averages]

    def weights(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.weights`."""
        trainable, other = self._trained(state), state[1]
        variables = *self._model.trainable_variables, *self._model.non_trainable_variables
        values = {id(v): value for v, value in zip(variables, (*trainable, *other), strict=True)}
        not_of_the_model = {id(layer.kept) for layer in self._dropouts}
        not_of_the_model |= {id(layer.deviation) for layer in self._noises}
        return [np.asarray(values[id(v)]) for v in self._model.weights if id(v) not in not_of_the_model]

    def layers(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.layers`."""
        return self.weights(state)


class KerasCohorts(Cohorts):
    """Trains Keras networks as cohorts."""

    framework = "keras"
    make_shape = KerasShape
