"""The ways to train a network that are compared: each a function that takes some steps and says how long one took."""

import functools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnistlab.bench.limit import limit_timer
from mnistlab.datasets import catalog
from mnistlab.engines.base import Engine, get_engine
from mnistlab.engines.canary import check_jax
from mnistlab.engines.programs import CELLS_OF_ONE_SEED, SEEDS_OF_ONE_CELL, Program, program_of
from mnistlab.instruments import environment
from mnistlab.preprocessing import PreparedData, prepare
from mnistlab.spec import FRAMEWORKS, Architecture, Cell, Features, Run, Split, Training

BATCH_SIZE = Training().batch_size
SKLEARN_BATCH_SIZE = 200  # MLPClassifier's own
_SPLIT = Split(validation_fraction=0.0)
_TESTED = 200  # what comes behind training is not timed
# A long training with a seed that comes when many have gone: what most of a large study is trained by.
_MANY_STEPS, _LATER_SEED = 10**6, 100
# Keras' arrays kept on the device were no faster; of 5, 15, 25 and 75 steps an execution all from 15 on were alike.
_STEPS_PER_EXECUTION = 25
_CACHE_BYTES, _MOST_MEMBERS = 8e6, 24  # weights and Adam's moments of all members stay below; more gained nothing

Timer = Callable[[int], float]  # a number of steps → seconds of one step of one network


@dataclass(frozen=True, slots=True)
class Side:
    """One way to train a network.

    Attributes
    ----------
    engine, variant, framework : str
        As the table names them.
    members : int
        Networks in one program.
    teams : tuple of str
        By which processes: `machine` is one with all cores, `core` one with a single core, `pair` two of these, `cores`
        as many as there are cores. Of several the fastest counts.
    batch_size : int
    """

    engine: str
    variant: str
    framework: str = "keras"
    members: int = 1
    teams: tuple[str, ...] = ("machine",)
    batch_size: int = BATCH_SIZE

    def __str__(self) -> str:
        return f"{self.engine}, {self.variant}, {self.framework}"


def sides_of(layers: Architecture, n_features: int, n_classes: int, device: str) -> list[Side]:
    """Everything one network is timed by; a cohort has as many members as the planner gives it in a large study."""
    planned, of_sklearn = (program_of("population", Cell(layers, framework=name), _MANY_STEPS, _LATER_SEED, device)
                           for name in FRAMEWORKS)  # fmt: skip
    fitting = int(_CACHE_BYTES / (12 * layers.trainable_parameters(n_features, n_classes)))
    shared = planned.members if planned.kind == CELLS_OF_ONE_SEED else min(max(2, fitting), _MOST_MEMBERS)
    all_cores = ("cores",)
    return [
        Side("limit", "alone", teams=all_cores),
        Side("keras", "default"),
        Side("keras", "best", teams=("core", "machine")),
        Side("keras", "two processes", teams=("pair",)),
        Side("sklearn", "default", "sklearn"),
        Side("sklearn", "two processes", "sklearn", teams=("pair",)),
        Side("sklearn", "default", "sklearn", batch_size=SKLEARN_BATCH_SIZE),
        Side("compiled", "alone", teams=("core", "machine")),
        Side("population", SEEDS_OF_ONE_CELL, members=planned.members, teams=all_cores),
        Side("population", CELLS_OF_ONE_SEED, members=shared, teams=all_cores),
        Side("population", SEEDS_OF_ONE_CELL, "sklearn", of_sklearn.members, all_cores),
    ]


def data_of(name: str, data_dir: Path) -> PreparedData:
    """The whole official training part of a data set, scaled, and a few test digits."""
    dataset = catalog.load(name, data_dir)
    kept = dataset.info.n_train + min(_TESTED, dataset.info.n_test)
    info = replace(dataset.info, n_test=kept - dataset.info.n_train)
    fewer = replace(dataset, info=info, images=dataset.images[:kept], labels=dataset.labels[:kept])
    return prepare(fewer, _SPLIT, Features(), 0)


def load_engines() -> None:
    """Import and start what the sides are trained by, so that the time of none holds it."""
    for framework in FRAMEWORKS:
        _engine(framework)
    check_jax()


def timer_of(side: Side, layers: Architecture, data: PreparedData, device: str) -> Timer:
    """The function that times a side on one network; what it builds and compiles is ready once it was called."""
    if side.engine == "limit":
        sizes = data.rows.shape[1], *layers.hidden_layer_sizes, data.n_classes
        return limit_timer(sizes, side.batch_size, device)
    if side.engine == "keras":
        return _keras_fit(layers, data, _STEPS_PER_EXECUTION if side.variant == "best" else 1)
    if side.engine == "sklearn":
        return _sklearn_fit(layers, data, side.batch_size)
    return _cohort(side, layers, data, device)


def _keras_fit(layers: Architecture, data: PreparedData, steps_per_execution: int) -> Timer:
    """`Model.fit` on arrays, from the beginning of an epoch to its end."""
    from mnistlab.dnn_model import create_dnn_model, import_keras

    model, seen = create_dnn_model((data.rows.shape[1],), layers, n_classes=data.n_classes, seed=0), list[float]()
    model.steps_per_execution = steps_per_execution
    clock = import_keras().callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: seen.append(time.perf_counter()),
        on_epoch_end=lambda *_: seen.append(time.perf_counter()),
    )
    truth = np.eye(data.n_classes, dtype=np.float32)[data.y_train]

    def seconds(n_steps: int) -> float:
        model.fit(data.X_train, truth, batch_size=BATCH_SIZE, steps_per_epoch=n_steps, verbose=0, callbacks=[clock])
        return (seen[-1] - seen[-2]) / n_steps

    return seconds


def _sklearn_fit(layers: Architecture, data: PreparedData, batch_size: int) -> Timer:
    """The first epoch of `MLPClassifier.fit` on random examples, as many as make that number of steps."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    from mnistlab.ffn_model import classifier_parameters

    class Clocked(MLPClassifier):
        def _fit_stochastic(self, *arguments: Any) -> None:
            start = time.perf_counter()
            super()._fit_stochastic(*arguments)
            self.seconds = time.perf_counter() - start

    ours = classifier_parameters(Cell(layers, framework="sklearn"), 0)
    its_own = {"hidden_layer_sizes": layers.hidden_layer_sizes, "random_state": 0}
    model = Clocked(**(ours if batch_size == BATCH_SIZE else its_own)).set_params(max_iter=1)
    random = np.random.default_rng(0)

    def seconds(n_steps: int) -> float:
        rows = random.permutation(len(data.train))[: n_steps * batch_size]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data.X_train[rows], data.y_train[rows])
        return float(model.seconds) * batch_size / len(rows)

    return seconds


def _cohort(side: Side, layers: Architecture, data: PreparedData, device: str) -> Timer:
    """The population engine itself, on real runs: the seconds of their steps, as their ledgers have them."""
    shared = side.variant == CELLS_OF_ONE_SEED
    program = Program("population", CELLS_OF_ONE_SEED if shared else SEEDS_OF_ONE_CELL, side.members)
    # Cells differ in the step size, by a thousandth: what they cost is the same.
    rates = [0.001 * (1 + index / 1000 * shared) for index in range(side.members)]
    cells = [Cell(layers, _SPLIT, Features(), Training(learning_rate=rate, epochs=1), framework=side.framework)
             for rate in rates]  # fmt: skip
    runs = [Run(cell, 0 if shared else seed) for seed, cell in enumerate(cells)]
    here = environment.describe(device=device, threads=1, data_sha256="")
    random = np.random.default_rng(0)

    def seconds(n_steps: int) -> float:
        part = replace(data, train=random.permutation(data.train)[: n_steps * BATCH_SIZE])
        results = [*_engine(side.framework).train(runs, program, lambda _: part, here, lambda *_: True)]
        return sum(result.ledger.steps_seconds for result in results) / len(part.train) * BATCH_SIZE / len(results)

    return seconds


@functools.cache
def _engine(framework: str) -> Engine:
    return get_engine("population", framework)
