"""What a network of a cohort is, as pure functions of one member, and the compiled programs that train many at once."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistlab.engines.programs import CELLS_OF_ONE_SEED, Program
from mnistlab.preprocessing import PreparedData
from mnistlab.spec import Cell, Run

EXAMPLES_PER_CALL = 2**14  # an epoch is cut so; members of different training size share a program this way
_PREDICT_BATCH = 2_000

State = Any  # a pytree of arrays of one member; a cohort's have a leading axis `member`


class Member(Protocol):
    """A run at its start: `state` is what its first step takes."""

    state: State

    def order(self) -> NDArray[np.integer[Any]]:
        """Positions of the training examples in the order of the next epoch, (n_train,)."""
        ...

    def rates(self, first: int, count: int) -> NDArray[np.floating[Any]]:
        """Step sizes of `count` steps from step `first` of the whole training on."""
        ...

    def stops(self, train_loss: float) -> bool:
        """Whether the framework's own rule ends the training after an epoch of this loss."""
        ...


class Shape(Protocol):
    """One architecture and optimizer as pure functions of one member.

    `dtype` is that of features, weights and step sizes. `step` takes a state, a step size, features (b, n_features) and
    classes (b,), and returns the next state and the loss of the batch, penalties included; `predict` gives
    probabilities. Both are traced by JAX.
    """

    dtype: Any

    def begin(self, run: Run, data: PreparedData) -> Member:
        """A run of this shape at its start."""
        ...

    def step(self, state: State, rate: Any, X: Any, y: Any) -> tuple[State, Any]:
        """One step: the next state, and the loss before it."""
        ...

    def predict(self, state: State, X: Any) -> Any:
        """Probabilities, (b, n_classes)."""
        ...

    def weights(self, state: State) -> list[NDArray[Any]]:
        """Trained arrays, layer by layer, as the framework's own model holds them."""
        ...

    def layers(self, state: State) -> list[NDArray[Any]]:
        """The same with a column of the last layer for every class of the data set."""
        ...


class CompiledShape:
    """The compiled functions of one shape, each made when first called; `unpaid` counts what that took."""

    def __init__(self, shape: Shape, program: Program, cell: Cell, data: PreparedData) -> None:
        self.shape, self.members, self.shared = shape, program.members, program.kind == CELLS_OF_ONE_SEED
        self.batch_size, self.divisor = cell.training.batch_size, data.divisor
        self.unpaid = np.zeros(2)  # wall-clock and processor seconds
        self._compiled: dict[Any, Any] = {}

    def chunk(self, state: State, table: Any, labels: Any, order: Any, rates: Any, n_steps: Any) -> Any:
        """State after `n_steps` steps of all members, and the losses (steps, members)."""
        return self._call("chunk", self._chunk, (state, table, labels, order, rates, n_steps))

    def tail(self, state: State, table: Any, labels: Any, rows: Any, rate: Any) -> Any:
        """One step of one member, on a batch of any length."""
        return self._call(("tail", len(rows)), self._tail, (state, table, labels, rows, rate))

    def predict(self, state: State, table: Any, rows: NDArray[np.int32]) -> NDArray[Any]:
        """Probabilities of one member for rows of the table."""
        found = []
        for start in range(0, len(rows), _PREDICT_BATCH):
            batch = np.zeros(_PREDICT_BATCH, np.int32)
            batch[: len(rows) - start] = rows[start : start + _PREDICT_BATCH]
            found.append(np.asarray(self._call("predict", self._predict, (state, table, batch))))
        return np.concatenate(found)[: len(rows)]

    def _call(self, name: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if name not in self._compiled:
            import jax

            start = now()
            lowered = jax.jit(function, donate_argnums=(0,) if name == "chunk" else ()).lower(*arguments)
            # A step that is taken once an epoch is sooner compiled plainly than well, where the processor compiles it.
            # Then tanh and its like are as exact as float32 is, whatever the type.
            in_float32 = self.shape.dtype == np.float32
            plain = isinstance(name, tuple) and in_float32 and jax.default_backend() == "cpu"
            options: Any = {"xla_backend_optimization_level": 0} if plain else {}
            self._compiled[name] = lowered.compile(compiler_options=options)
            self.unpaid += now() - start
        return self._compiled[name](*arguments)

    def _chunk(self, state: State, table: Any, labels: Any, order: Any, rates: Any, n_steps: Any) -> Any:
        import jax
        import jax.numpy as jnp

        of_batch = None if self.shared else 0
        step = jax.vmap(self.shape.step, in_axes=(0, 0, of_batch, of_batch))
        if self.members == 1:  # an axis of one makes the compiler copy every kernel in every step
            state, order, rates = jax.tree.map(lambda array: array[0], state), order[:, 0], rates[:, 0]
            step = self.shape.step

        def body(i: Any, carried: Any) -> Any:
            state, losses = carried
            state, loss = step(state, rates[i], self._features(table, order[i]), _rows(labels, order[i]))
            return state, losses.at[i].set(loss)

        state, losses = jax.lax.fori_loop(0, n_steps, body, (state, jnp.zeros(rates.shape, rates.dtype)))
        if self.members == 1:
            return jax.tree.map(lambda array: array[None], state), losses[:, None]
        return state, losses

    def _tail(self, state: State, table: Any, labels: Any, rows: Any, rate: Any) -> Any:
        return self.shape.step(state, rate, self._features(table, rows), _rows(labels, rows))

    def _predict(self, state: State, table: Any, rows: Any) -> Any:
        return self.shape.predict(state, self._features(table, rows))

    def _features(self, table: Any, rows: Any) -> Any:
        features = _rows(table, rows).astype(self.shape.dtype)
        return features if self.divisor == 1 else features / self.divisor


def now() -> NDArray[np.float64]:
    """Wall-clock and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def _rows(table: Any, rows: Any) -> Any:
    return table.at[rows].get(mode="promise_in_bounds")
