"""Seconds an epoch of `MLPClassifier.fit` takes, `tol` off: sklearn_fit.py DEPTH WIDTH [BATCH_SIZE]."""

import sys
import time
import warnings

import numpy as np
from digits import load
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

depth, width, batch_size = map(int, [*sys.argv[1:], 32][:3])
X, y = load()
warnings.simplefilter("ignore", ConvergenceWarning)
for _ in range(3):
    model = MLPClassifier((width,) * depth, batch_size=batch_size, max_iter=2, tol=0.0, n_iter_no_change=np.inf)
    start = time.perf_counter()
    model.fit(X, y)
    print(f"{(time.perf_counter() - start) / 2:.3f}")
