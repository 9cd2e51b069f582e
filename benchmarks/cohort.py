"""Seconds an epoch of one of K networks takes, trained side by side by one program: cohort.py DEPTH WIDTH K [shared].

With `shared` all see the same batches in the same order, which makes the first layers of all one product.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from digits import STEPS, load
from one_compiled_network import adam, network

depth, width, members = map(int, sys.argv[1:4])
of_batch = None if "shared" in sys.argv else 0
random = np.random.default_rng(0)
X, y = load()
X, y = jnp.asarray((X * 255).round().astype(np.uint8)), jnp.asarray(y)


@jax.jit
def epoch(state, X, y, order):
    step = jax.vmap(adam, in_axes=(0, of_batch, of_batch))
    return jax.lax.scan(lambda state, rows: (step(state, X[rows] / jnp.float32(255), y[rows]), None), state, order)[0]


weights = jax.tree.map(lambda *arrays: np.stack(arrays), *(network(random, depth, width) for _ in range(members)))
zeros = jax.tree.map(np.zeros_like, weights)
state = weights, zeros, zeros, np.zeros(members, np.float32)
for _ in range(6):  # the first one compiles
    orders = [random.permutation(60_000).reshape(STEPS, 32) for _ in range(1 if of_batch is None else members)]
    order = orders[0] if of_batch is None else np.stack(orders, axis=1)
    start = time.perf_counter()
    state = jax.block_until_ready(epoch(state, X, y, order))
    print(f"{(time.perf_counter() - start) / members:.3f}")
