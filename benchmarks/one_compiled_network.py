"""Seconds an epoch of one network takes in one compiled program: one_compiled_network.py DEPTH WIDTH."""

import sys
import time
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from digits import STEPS, load


def network(random, depth, width):
    sizes = [784, *[width] * depth, 10]
    kernels = [random.normal(0, np.sqrt(2 / n), (n, m)).astype(np.float32) for n, m in pairwise(sizes)]
    return [(kernel, np.zeros(kernel.shape[1], np.float32)) for kernel in kernels]


def loss(weights, X, y):
    for W, b in weights[:-1]:
        X = jax.nn.relu(X @ W + b)
    W, b = weights[-1]
    return -jax.nn.log_softmax(X @ W + b)[jnp.arange(len(y)), y].mean()


def adam(state, X, y):
    weights, first, second, t = state
    gradients, t = jax.grad(loss)(weights, X, y), t + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    rate = 0.001 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
    return weights, first, second, t


@jax.jit
def epoch(state, X, y, order):
    return jax.lax.scan(lambda state, rows: (adam(state, X[rows], y[rows]), None), state, order)[0]


if __name__ == "__main__":
    depth, width = map(int, sys.argv[1:3])
    random = np.random.default_rng(0)
    X, y = map(jnp.asarray, load())
    weights = network(random, depth, width)
    zeros = jax.tree.map(np.zeros_like, weights)
    state = weights, zeros, zeros, np.float32(0)
    for _ in range(6):  # the first one compiles
        start = time.perf_counter()
        state = jax.block_until_ready(epoch(state, X, y, random.permutation(60_000).reshape(STEPS, 32)))
        print(f"{time.perf_counter() - start:.3f}")
