"""Does this JAX compute right? What it has compiled wrongly before, against NumPy; asked before anything is trained.

JAX on the CPU has silently miscompiled products of a matrix and a vector under `vmap` when a reduction follows
(jax-ml/jax#39103). A network trained by such a program is wrong without a sign of it, hence the question.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import MachineError

Members = Callable[..., Any]  # of one member's arrays
Compile = Callable[[Members], Members]  # makes of it one for arrays with a leading axis `member`

_SHAPE = (8, 10, 64)  # members, rows, columns
_TOLERANCE = 1e-4  # of the largest value; float32 rounding stays below a hundredth of it


@functools.cache
def trust_jax() -> None:
    """`check_jax`, once a process."""
    check_jax()


def check_jax(compiled: Compile | None = None) -> None:
    """Refuse a JAX whose compiled programs differ from NumPy.

    Parameters
    ----------
    compiled : callable, optional
        What turns a function of one member into a program for all; by default `jax.jit` of `jax.vmap`.

    Raises
    ------
    MachineError
        Which pattern comes out wrong, and in which version.
    """
    import jax

    compiled = compiled or (lambda one: jax.jit(jax.vmap(one)))
    n_members, _, n_columns = _SHAPE
    random = np.random.default_rng(39103)
    matrices, vectors = random.standard_normal(_SHAPE), random.standard_normal((n_members, n_columns))
    for name, of_jax, of_numpy in _patterns():
        expected = np.stack([of_numpy(*pair) for pair in zip(matrices, vectors, strict=True)])
        with jax.default_matmul_precision("highest"):  # as networks are trained; some devices round more by default
            found = compiled(of_jax)(matrices.astype(np.float32), vectors.astype(np.float32))
        if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max()):
            raise MachineError(f"jax {jax.__version__}", f"computes wrongly here: {name}",
                               "install another version: jax and jaxlib together")  # fmt: skip


def _patterns() -> Iterator[tuple[str, Members, Members]]:
    """Name, the pattern in JAX, the same in NumPy; of one member's matrix and vector."""
    import jax
    import jax.numpy as jnp

    yield "the sum of a product", lambda W, x: (W @ x).sum(), lambda W, x: (W @ x).sum()
    yield "the largest of a product", lambda W, x: (W @ x).max(), lambda W, x: (W @ x).max()
    yield "the mean square of a product", lambda W, x: ((W @ x) ** 2).mean(), lambda W, x: ((W @ x) ** 2).mean()
    yield "the loss of a layer", lambda W, x: jax.nn.logsumexp(W @ x), lambda W, x: np.log(np.exp(W @ x).sum())
    yield "the gradient of a layer", jax.grad(lambda W, x: jax.nn.logsumexp(W @ jnp.maximum(x, 0))), _gradient
    yield "a whole training step", _step_in_jax, _step


def _step_in_jax(X: Any, x: Any) -> Any:
    """A layer of ten units made of x, after a step on the rows of X: the first is of the first class, and so on."""
    import jax
    import jax.numpy as jnp

    start = jnp.outer(x, x[:10])
    return start - 0.1 * jax.grad(lambda kernel: -jnp.diag(jax.nn.log_softmax(X @ kernel)).mean())(start)


def _step(X: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    start = np.outer(x, x[:10])
    share = np.exp(X @ start - (X @ start).max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    stepped: NDArray[np.float64] = start - 0.1 * X.T @ (share - np.eye(10)) / 10
    return stepped


def _gradient(W: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    ink = np.maximum(x, 0)
    share = np.exp(W @ ink)
    return np.outer(share / share.sum(), ink)
