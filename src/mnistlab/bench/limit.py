"""What a training step costs at least: its matrix products alone, and the optimizer's way through memory."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Weights, gradients and Adam's two moments are read, all but the gradients written: seven numbers of four bytes.
OPTIMIZER_BYTES = 28
_ADD_BYTES = 12  # two numbers read, one written
_BATCHES = 64  # different ones the loop goes through
_DEVICE_NUMBERS = 2**26  # of an array that no cache of a GPU holds

Operands = tuple[NDArray[np.float32], NDArray[np.float32]]


def operands(sizes: Sequence[int], batch_size: int) -> list[Operands]:
    """The factors of the matrix products of one step, as they lie in memory.

    Parameters
    ----------
    sizes : sequence of int
        Features, widths of the hidden layers, classes.
    batch_size : int

    Returns
    -------
    list of (float32 array, float32 array)
        Of every layer forward, weight gradient and, but for the first, input gradient.
    """
    found = list[Operands]()
    for index, (n_in, n_out) in enumerate(pairwise(sizes)):
        X, W, error = (np.ones(shape, np.float32) for shape in ((batch_size, n_in), (n_in, n_out), (batch_size, n_out)))
        found += [(X, W), (X.T, error)]
        if index:
            found.append((error, W.T))
    return found


def limit_timer(sizes: Sequence[int], batch_size: int, device: str) -> Callable[[int], float]:
    """A function that takes a number of steps and says how long one takes at least, in seconds.

    On the processor it times the products by NumPy's library and by XLA, of which the faster counts, and adds the
    optimizer's bytes at the speed this core moves arrays as large as the network's. On a GPU the bytes alone count, at
    the speed of its memory: a batch of 32 is bound by them.
    """
    n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    if device == "gpu":
        add = _device_add()
        return lambda n_steps: add(n_steps) / _ADD_BYTES * OPTIMIZER_BYTES * n_parameters
    by_numpy, by_xla, add = _numpy_products(sizes, batch_size), _xla_products(sizes, batch_size), _add(n_parameters)
    return lambda n_steps: min(by_numpy(n_steps), by_xla(n_steps)) + add(n_steps) / _ADD_BYTES * OPTIMIZER_BYTES


def _numpy_products(sizes: Sequence[int], batch_size: int) -> Callable[[int], float]:
    calls = [(left, right, left @ right) for left, right in operands(sizes, batch_size)]

    def all_products() -> None:
        for left, right, out in calls:
            np.dot(left, right, out=out)

    return lambda n_steps: _seconds_each(all_products, n_steps)


def _xla_products(sizes: Sequence[int], batch_size: int) -> Callable[[int], float]:
    """Every weight becomes its own gradient, so that no product can be left out or done before the loop."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def steps(weights: Any, batches: Any, n_steps: Any) -> Any:
        def body(i: Any, weights: Any) -> Any:
            inputs = [batches[i % _BATCHES]]
            for W in weights:
                inputs.append(inputs[-1] @ W)
            error, gradients = inputs.pop(), []
            for W, X in zip(weights[::-1], inputs[::-1], strict=True):
                gradients.append(X.T @ error)
                error = error @ W.T
            return gradients[::-1]

        return jax.lax.fori_loop(0, n_steps, body, weights)

    weights = [jnp.full(shape, 1 / shape[0], jnp.float32) for shape in pairwise(sizes)]
    batches = jnp.ones((_BATCHES, batch_size, sizes[0]), jnp.float32)
    jax.block_until_ready(steps(weights, batches, 1))

    def seconds(n_steps: int) -> float:
        return _seconds_each(lambda: jax.block_until_ready(steps(weights, batches, n_steps)), 1) / n_steps

    return seconds


def _add(n_numbers: int) -> Callable[[int], float]:
    one, other, out = (np.ones(n_numbers, np.float32) for _ in range(3))
    return lambda n_steps: _seconds_each(lambda: np.add(one, other, out=out), n_steps)


def _device_add() -> Callable[[int], float]:
    """Seconds for every number of an addition on the device, which is given all additions before the first is done."""
    import jax
    import jax.numpy as jnp

    one, add = jnp.ones(_DEVICE_NUMBERS, jnp.float32), jax.jit(jnp.add, donate_argnums=0)

    def additions(n: int) -> None:
        total = jnp.zeros(_DEVICE_NUMBERS, jnp.float32)
        for _ in range(n):
            total = add(total, one)
        jax.block_until_ready(total)

    additions(1)
    return lambda n: _seconds_each(lambda: additions(n), 1) / n / _DEVICE_NUMBERS


def _seconds_each(action: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times
