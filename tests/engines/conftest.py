"""Digits, prepared: small enough to train in a blink, real enough to learn something. Runs of every sort, trained here
and in processes of their own."""

import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mnistlab.datasets import catalog
from mnistlab.preprocessing import PreparedData, prepare
from mnistlab.records import Environment
from mnistlab.spec import ACTIVATIONS, OPTIMIZERS, SCHEDULES, Architecture, Cell, Features, Run, Split, Training


@pytest.fixture(scope="session")
def environment() -> Environment:
    return Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")


@pytest.fixture(scope="session")
def prepare_run() -> Callable[[Run], PreparedData]:
    """Arrays of a run on digits, made anew at every call, so that no run can spoil another's."""
    dataset = catalog.load("digits", Path())
    return lambda run: prepare(dataset, run.cell.split, run.cell.features, run.seed)


@pytest.fixture(scope="session")
def trained(prepare_run, environment):
    """Run → result of runs trained by an engine and a program."""

    def trained(engine, program, runs, prepare=prepare_run):
        results = engine.train(runs, program, prepare, environment, lambda run, record: True)
        return {result.run: result for result in results}

    return trained


@pytest.fixture(scope="session")
def trained_elsewhere():
    """The same in a new process, for several jobs (engine's name, program, runs); its precision is its own."""

    def trained_elsewhere(jobs, precision="float32"):
        environment = {**os.environ, "JAX_ENABLE_X64": str(int(precision == "float64"))}
        del environment["JAX_COMPILATION_CACHE_DIR"]  # what it computes it has compiled itself
        done = subprocess.run([sys.executable, "-c", _TRAIN, precision], input=pickle.dumps(jobs), env=environment,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return [{result.run: result for result in results} for results in pickle.loads(done.stdout)]

    return trained_elsewhere


# JAX and Keras keep their precision for the whole process; in double precision every engine is given such features.
_TRAIN = """
import dataclasses, os, pickle, sys
from pathlib import Path
import numpy as np
from mnistlab.datasets import catalog
from mnistlab.dnn_model import import_keras
from mnistlab.engines.base import get_engine
from mnistlab.preprocessing import prepare
from mnistlab.records import Environment

precision = sys.argv[1]
import_keras().config.set_floatx(precision)
if precision == "float64":
    # Keras 3.15 calls float32 what float64 and float32 make together, so that softmax and batch norm would round.
    from keras.src import backend
    assert backend.result_type("float64", "float32") == "float32"
    theirs = backend.result_type
    backend.result_type = lambda *dtypes: precision if precision in dtypes else theirs(*dtypes)
here = Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")
folder = Path(os.environ.get("MNISTLAB_DATA_DIR", "data/raw"))

def prepare_run(run):
    data = prepare(catalog.load(run.cell.dataset, folder), run.cell.split, run.cell.features, run.seed)
    if precision == "float64":
        rows = data.rows.astype(precision) / data.divisor
        data = dataclasses.replace(data, rows=rows, divisor=1.0)
        vars(data).update(X_train=rows[data.train], X_test=rows[data.test.indices])
        if data.validation is not None:
            vars(data).update(X_validation=rows[data.validation.indices])
    return data

done = []
for name, program, runs in pickle.load(sys.stdin.buffer):
    engine = get_engine(name, runs[0].cell.framework)
    done.append(list(engine.train(runs, program, prepare_run, here, lambda run, record: True)))
pickle.dump(done, sys.stdout.buffer)
"""


@pytest.fixture(scope="session")
def layers_of():
    """Arrays of the layers of a result, as its framework lists them."""
    return lambda result: [a for stage in result.network if stage.kind in ("dense", "batch_norm") for a in stage.arrays]


@pytest.fixture(scope="session")
def bits_of():
    """All that a result says of its network and that no clock told."""

    def bits_of(result):
        parts = [(part.predicted.tobytes(), part.log_loss, part.accuracy)
                 for part in (result.test, result.validation) if part is not None]  # fmt: skip
        ended = result.status, result.reason, result.stopped_by, result.epochs_done, result.best_epoch
        return result.weights_sha256, repr(result.epochs), *ended, *parts

    return bits_of


@pytest.fixture(scope="session")
def draw_cell():
    """A maker of Keras cells on digits: number → cell, the same at every call; `training` replaces what was drawn."""
    return lambda number, **training: _draw_cell(np.random.default_rng([5, number]), training)


@pytest.fixture(scope="session")
def draw_companion():
    """Another cell that the same program may train: it shares what is compiled, and little else."""
    return lambda cell, number: _draw_companion(np.random.default_rng([55, number]), cell)


def _draw_cell(random, training):
    depth = int(random.integers(1, 5))
    names = [str(name) for name in random.choice(ACTIVATIONS, depth if random.integers(2) else 1)]
    layers = Architecture(
        tuple(int(width) for width in random.integers(4, 25, depth)),
        tuple(names) if len(names) == depth else names[0],
        batch_norm=bool(random.random() < 0.4),
        dropout=float(random.choice([0, 0, 0.1, 0.4])),
    )
    steps = [("scale",), ("scale",), ("scale",), ("deskew", "scale"), ("deskew",)]
    optimizer = str(random.choice(OPTIMIZERS))
    drawn = {
        "optimizer": optimizer, "schedule": str(random.choice(SCHEDULES)),
        "learning_rate": float(random.choice([0.01, 0.05] if optimizer == "sgd" else [0.001, 0.003])),
        "l2": float(random.choice([0, 0, 1e-4, 1e-3])),
        "batch_size": int(random.choice([32, 50, 33, 63])),  # the last two divide most of the training parts
        "epochs": 3,
    }  # fmt: skip
    if optimizer == "sgd":
        drawn["momentum"] = float(random.choice([0, 0.9]))
    features = Features(steps[random.integers(len(steps))])
    return Cell(layers, _draw_split(random), features, Training(**{**drawn, **training}), dataset="digits")


def _draw_split(random):
    merged = bool(random.random() < 0.3)
    return Split("merged" if merged else "official", float(random.choice([0.25, 0.5] if merged else [0.5, 1, 1])),
                 float(random.choice([0.1, 0.2])))  # fmt: skip


def _draw_companion(random, cell):
    layers, training = cell.architecture, cell.training
    training = dataclasses.replace(
        training, learning_rate=training.learning_rate * float(random.uniform(0.1, 2)),
        schedule=str(random.choice(SCHEDULES)), l2=training.l2 * float(random.uniform(0.1, 10)),
        epochs=int(random.integers(1, 5)),
        early_stopping_patience=[None, 1, 2][random.integers(3)],
    )  # fmt: skip
    if layers.dropout:
        layers = dataclasses.replace(layers, dropout=float(random.uniform(0.05, 0.6)))
    # Of few sizes: for every length of a shorter last batch a program is compiled.
    split = random.choice([cell.split, Split(train_fraction=0.5), Split("merged", 0.6, 0.2)])
    return dataclasses.replace(cell, architecture=layers, training=training, split=split)
