"""Seconds an epoch's matrix products take by themselves, by NumPy: matrix_products.py DEPTH WIDTH.

Behind them what Adam's way through memory adds: 28 bytes a parameter and step, at the speed of an addition.
"""

import sys
import time
from itertools import pairwise

import numpy as np
from digits import STEPS


def seconds(action):
    start = time.perf_counter()
    for _ in range(STEPS):
        action()
    return time.perf_counter() - start


depth, width = map(int, sys.argv[1:3])
sizes = [784, *[width] * depth, 10]
layers = [[np.ones(shape, np.float32) for shape in ((32, n), (n, m), (32, m))] for n, m in pairwise(sizes)]
a, b, c = np.ones((3, sum(W.size + W.shape[1] for _, W, _ in layers)), np.float32)


def products():
    for index, (X, W, error) in enumerate(layers):
        X @ W  # forward
        X.T @ error  # the gradient of the weights
        if index:
            error @ W.T  # the gradient of the layer before


for _ in range(3):
    print(f"{seconds(products):.3f} + {seconds(lambda: np.add(a, b, out=c)) * 28 / 12:.3f}")
