"""Keras networks as members of a cohort: the model of `create_dnn_model`, its loss and its optimizer, stateless."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.dnn_model import create_dnn_model, create_optimizer, import_keras, kernel_initializer, learning_rate
from mnistlab.engines.cohort import Cohorts
from mnistlab.engines.compiled import State
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


class KerasShape:
    """See `Shape`. A state holds trainable, other and optimizer variables in Keras' order, then the factor of L2.

    What may differ between members is no constant of the program: the step size comes from outside, the dropout rate
    is a variable, L2 a factor of the penalty.
    """

    def __init__(self, cell: Cell, data: PreparedData) -> None:
        import jax

        self._keras, self._jax = import_keras(), jax
        self._has_l2, self._n_classes = cell.training.l2 > 0, data.n_classes
        self.dtype = np.dtype(self._keras.config.floatx())
        plain = dataclasses.replace(cell.training, schedule="constant", l2=0.0)
        columns = data.rows.shape[1]
        built = create_dnn_model((columns,), cell.architecture, training=plain, n_classes=data.n_classes)
        if cell.architecture.dropout:
            built = self._keras.models.clone_model(built, clone_function=self._clone)
        self._model = built
        self._optimizer = create_optimizer(plain, 1)
        self._optimizer.build(self._model.trainable_variables)
        layers = self._keras.layers
        self._kernels = [layer.kernel for layer in self._model.layers if isinstance(layer, layers.Dense)]
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, layers.Dropout)]

    def _clone(self, layer: Any) -> Any:
        keras, jax = self._keras, self._jax
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

    def begin(self, run: Run, data: PreparedData) -> _KerasMember:
        """See `Shape.begin`."""
        model, start = self._model, dict[int, Any]()
        for index, kernel in enumerate(self._kernels):
            start[id(kernel)] = np.asarray(kernel_initializer(run.seed, index)(kernel.shape, self.dtype.name))
        for index, layer in enumerate(self._dropouts):
            start[id(layer.kept)] = np.asarray(1.0 - run.cell.architecture.dropout, self.dtype)
            state = layer.seed_generator.state
            start[id(state)] = np.asarray([stream_seed(run.seed, "dropout", index), 0], state.dtype)
        parts = model.trainable_variables, model.non_trainable_variables, self._optimizer.variables
        arrays = [[start.get(id(v), np.asarray(v.value)) for v in part] for part in parts]
        return _KerasMember((*arrays, np.asarray(run.cell.training.l2, self.dtype)), run, data, self.dtype)

    def step(self, state: State, rate: Any, X: Any, y: Any) -> tuple[State, Any]:
        """See `Shape`."""
        trainable, other, slots, l2 = state
        slots = [rate.astype(value.dtype) if variable is self._optimizer.learning_rate else value
                 for variable, value in zip(self._optimizer.variables, slots, strict=True)]  # fmt: skip
        truth = self._jax.nn.one_hot(y, self._n_classes, dtype=self.dtype)

        def loss(trainable: Any, other: Any) -> tuple[Any, Any]:
            predicted, other = self._model.stateless_call(trainable, other, X, training=True)
            mean = self._keras.losses.categorical_crossentropy(truth, predicted).mean()
            return mean + l2 * self._squares(trainable) if self._has_l2 else mean, other

        (value, other), gradients = self._jax.value_and_grad(loss, has_aux=True)(trainable, other)
        trainable, slots = self._optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, other, slots, l2), value

    def _squares(self, trainable: Any) -> Any:
        kernels = {id(kernel) for kernel in self._kernels}
        return sum((value**2).sum() for variable, value in zip(self._model.trainable_variables, trainable, strict=True)
                   if id(variable) in kernels)  # fmt: skip

    def predict(self, state: State, X: Any) -> Any:
        """See `Shape`."""
        trainable, other, *_ = state
        return self._model.stateless_call(trainable, other, X, training=False)[0]

    def weights(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.weights`."""
        trainable, other, *_ = state
        variables = *self._model.trainable_variables, *self._model.non_trainable_variables
        values = {id(v): value for v, value in zip(variables, (*trainable, *other), strict=True)}
        not_of_the_model = {id(layer.kept) for layer in self._dropouts}
        return [np.asarray(values[id(v)]) for v in self._model.weights if id(v) not in not_of_the_model]

    def layers(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.layers`."""
        return self.weights(state)


class KerasCohorts(Cohorts):
    """Trains Keras networks as cohorts."""

    framework = "keras"
    make_shape = KerasShape
