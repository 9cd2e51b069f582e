"""One training specification, two frameworks (rule M14): the same steps from the same weights, the same stop."""

import subprocess
import sys

import pytest

from mnistlab.dnn_model import import_keras
from mnistlab.engines.base import EarlyStopping

keras = import_keras()

# Keras keeps its precision for the whole process, hence a process for each: both frameworks start from the same weights
# and see the same batches; printed is, for every task, the largest difference of any weight.
_STEPS = """
import os, sys
precision, *tasks = sys.argv[1:]
if precision == "float64":
    os.environ["JAX_ENABLE_X64"] = "1"
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from mnistlab.dnn_model import create_dnn_model, import_keras
from mnistlab.ffn_model import classifier_parameters
from mnistlab.spec import Architecture, Cell, Training

import_keras().config.set_floatx(precision)
images, y = load_digits(return_X_y=True)
X, targets = (images / 16).astype(precision), np.eye(10, dtype=precision)[y]

def largest_difference(n_steps, optimizer):
    rate = {"adam": 0.001, "sgd": 0.05}[optimizer]
    training = Training(batch_size=32, l2=1e-4, optimizer=optimizer, learning_rate=rate)
    cell = Cell(Architecture((16, 8), "relu"), training=training, dataset="digits", framework="sklearn")
    theirs = MLPClassifier(**classifier_parameters(cell, 0), shuffle=False)
    theirs.partial_fit(X[:32], y[:32], classes=range(10))
    del theirs._optimizer  # its moments go, the weights stay as the common start
    ours = create_dnn_model((64,), cell.architecture, training=training)
    start = [np.array(array) for pair in zip(theirs.coefs_, theirs.intercepts_) for array in pair]
    ours.set_weights(start)
    for step in range(n_steps):
        rows = slice(32 * (step % 50), 32 * (step % 50) + 32)
        theirs.partial_fit(X[rows], y[rows])
        ours.train_on_batch(X[rows], targets[rows])
    pairs = [array for pair in zip(theirs.coefs_, theirs.intercepts_) for array in pair]
    trained = [np.asarray(v.value) for v in ours.weights]
    assert pairs[0].dtype == trained[0].dtype == np.dtype(precision)
    assert max(np.abs(a - b).max() for a, b in zip(start, trained)) > 1e-4
    return max(float(np.abs(a - b).max()) for a, b in zip(pairs, trained))

for task in tasks:
    n_steps, optimizer = task.split()
    print(task, largest_difference(int(n_steps), optimizer))
"""


@pytest.mark.parametrize(
    ("precision", "tolerances"),
    [("float32", {"1 adam": 1e-5, "20 adam": 1e-4}), ("float64", {"200 adam": 1e-9, "200 sgd": 1e-9})],
)
def test_keras_and_scikit_learn_take_the_same_steps_from_the_same_weights(precision, tolerances):
    done = subprocess.run([sys.executable, "-c", _STEPS, precision, *tolerances],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = {task: float(number) for task, _, number in (line.rpartition(" ") for line in done.stdout.splitlines())}
    assert set(found) == set(tolerances)
    assert {task: number for task, number in found.items() if not number < tolerances[task]} == {}


@pytest.mark.parametrize(
    "losses",
    [
        [3.0, 2.0, 2.5, 2.4, 2.3, 1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [5.0, 4.0, 3.0, 2.0, 1.0],
        [1.0, 2.0, 0.5, 0.6, 0.4, 0.5, 0.6, 0.7, 0.1],
    ],
)
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_early_stopping_ends_in_the_epoch_keras_ends_in(losses, patience):
    """The scripted curve of rule M14: scikit-learn's own rule would allow one more."""
    ours = EarlyStopping(patience)
    stop = next((e for e, loss in enumerate(losses, 1) if ours.improved(e, loss) is None or ours.should_stop), None)

    callback = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=patience)
    callback.set_model(model := keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.on_train_begin()
    model.stop_training = False
    theirs = None
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            theirs = epoch + 1
            break
    assert stop == theirs
    if stop is not None:
        assert ours.best_epoch == callback.best_epoch + 1
