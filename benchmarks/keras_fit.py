"""Seconds an epoch of Keras' `Model.fit` takes, as anyone writes it: keras_fit.py DEPTH WIDTH [STEPS_PER_EXECUTION]."""

import os
import sys
import time

import numpy as np
from digits import load

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

depth, width, per_execution = map(int, [*sys.argv[1:], 1][:3])
X, y = load()
hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
model = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10, "softmax")])
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], steps_per_execution=per_execution)
one_hot = np.eye(10, dtype=np.float32)[y]
model.fit(X, one_hot, batch_size=32, steps_per_epoch=60, verbose=0)  # compiles
for _ in range(5):
    start = time.perf_counter()
    model.fit(X, one_hot, batch_size=32, verbose=0)
    print(f"{time.perf_counter() - start:.3f}")
