"""A store of 10,000 made-up runs, to time what reads one: large_store.py FILE [STUDY].

Nothing is trained. The study `large` is a full factorial of 500 cells with 20 seeds each, every network tested on
10,000 digits; any other study, such as `grid`, gets twenty seeds too. Wide, shallow relu networks with many examples
are the best ones, sixteen layers of sigmoid collapse, seeds have their luck and digits their difficulty. The numbers
follow from cell and seed; only times of writing differ.
"""

import math
import sys
from functools import cache
from pathlib import Path

import numpy as np

from mnistlab.datasets.catalog import info
from mnistlab.plan import architecture_key, cell_size
from mnistlab.records import Environment, EpochRecord, Evaluation, Ledger, Measurement, PartLabels, RunResult
from mnistlab.spec import Run
from mnistlab.store.writer import open_writer
from mnistlab.study import load_config, with_seeds

MNIST = info("mnist")
STUDY = with_seeds(load_config(sys.argv[2]), 20) if len(sys.argv) > 2 else load_config({
    "name": "large", "seeds": 20, "data": {"train_test_splits": [0.1, 0.25, 0.5, 1.0]},
    "model": {"node_counts": [16, 32, 64, 128, 256], "layer_depths": [1, 2, 4, 8, 16],
              "activations": ["relu", "sigmoid", "tanh", "gelu", "elu"]},
})  # fmt: skip
ENVIRONMENT = Environment("3.11", "Linux", "a processor", 2, 1, "cpu", (("keras", "3.15"),), (), "ab" * 32, "0.1.0")
WORSE = {"relu": 0.0, "gelu": 0.0, "elu": 0.06, "tanh": 0.1, "sigmoid": 0.25}


@cache
def digits(part, n, seed=0):
    random = np.random.default_rng([n, seed])
    indices = 60_000 + np.arange(n) if part == "test" else np.sort(random.choice(60_000, n, replace=False))
    return PartLabels("mnist", part, 10, indices.astype(np.int32), random.integers(0, 10, n, dtype=np.uint8))


def skill(cell):
    """What the score of a digit has on its side, in standard deviations of all that makes it vary."""
    layers = cell.architecture
    if (layers.activations[0], layers.depth) == ("sigmoid", 16):
        return -1.2
    shape = 0.12 * math.log2(layers.hidden_layer_sizes[0] / 64) - 0.05 * math.log2(layers.depth)
    return 2.0 + shape - WORSE[layers.activations[0]] + 0.2 * math.log2(cell.split.train_fraction)


def evaluation(part, ability, random):
    n = len(part.labels)
    hard = 1.5 * np.random.default_rng(n).standard_normal(n)  # the same digits for every network
    right = ability * np.hypot(1, 1.5) + hard + random.standard_normal(n) > 0
    predicted = np.where(right, part.labels, (part.labels + random.integers(1, 10, n)) % 10).astype(np.uint8)
    error, macro = 1 - right.mean(), right.mean() - 0.001
    bins = np.linspace(0.5, 1, 15)
    return Evaluation(part, predicted, 3 * error, 1.5 * error, macro, macro, macro, 0.3 * error, 0.003,
                      np.full(15, n // 15), bins, bins - 0.3 * error)  # fmt: skip


def result(run, size):
    random = np.random.default_rng([int(run.cell.id, 16), run.seed])
    luck = 0.03 * np.random.default_rng(run.seed).standard_normal() + 0.03 * random.standard_normal()
    ability, epochs = skill(run.cell) + luck, run.cell.training.epochs
    test = evaluation(digits("test", size.n_test), ability, random)
    validation = evaluation(digits("validation", size.n_validation, run.seed), ability, random)
    losses = test.log_loss * (1 + 2 / np.arange(1, epochs + 1))
    records = [EpochRecord(number, 0.9 * loss, loss, 1 - loss / 3, None) for number, loss in enumerate(losses, 1)]
    seconds = size.steps_per_epoch * epochs * 1e-4 * (1 + size.parameters / 1e5) * random.uniform(0.95, 1.1)
    return RunResult(run, "done", "keras", ENVIRONMENT, Ledger(3.0, 0.4, 1.5, seconds, 0.3, 0.1, seconds), program="p",
                     epochs_done=epochs, stopped_by="epochs", epochs=tuple(records), test=test, validation=validation,
                     weights_sha256=run.id * 4)  # fmt: skip


path = Path(sys.argv[1])
sizes = {cell.id: cell_size(cell, MNIST) for cell in STUDY.cells}
with open_writer(path, holder="large_store.py") as writer:
    writer.register_study(STUDY, sizes, [Run(cell, seed) for cell in STUDY.cells for seed in STUDY.seeds])
    for cell in STUDY.cells:
        size = sizes[cell.id]
        writer.commit(*(result(Run(cell, seed), size) for seed in STUDY.seeds))
        if cell.split.train_fraction == 1:
            key, step = architecture_key(cell, size), 1e-4 * (1 + size.parameters / 1e5)
            found = Measurement(cell.id, key, "keras", step, 10**8, 16 * size.parameters, None, 2.5, None, ENVIRONMENT)
            writer.add_measurement(found)
print(f"{path}: {len(STUDY.cells)} cells, {len(STUDY.seeds)} seeds each, {path.stat().st_size / 1e6:.0f} MB")
