"""What more of everything costs: time grows with the work and no faster, and a process that trains on stays slim."""

import dataclasses
import itertools
import json
import subprocess
import sys
import time

import pytest

from mnistlab.engines.keras_cohort import KerasCohorts
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.spec import Architecture, Cell, Run, Split, Training

pytestmark = pytest.mark.long
FOUR = Program("population", SEEDS_OF_ONE_CELL, 4)
CELL = Cell(Architecture((32,) * 4), training=Training(epochs=2), dataset="digits")

ENGINE = KerasCohorts()  # what it has compiled serves all; seconds of the processor do not count other processes


@pytest.fixture
def processor_seconds(trained):
    """What runs of this cell cost, their programs being compiled."""

    def processor_seconds(cell, n_runs):
        trained(
            ENGINE, FOUR, [Run(dataclasses.replace(cell, training=dataclasses.replace(cell.training, epochs=1)), 0)]
        )
        start = time.process_time()
        assert len(trained(ENGINE, FOUR, [Run(cell, seed) for seed in range(n_runs)])) == n_runs
        return time.process_time() - start

    return processor_seconds


def test_256_runs_cost_at_most_64_times_what_four_cost(processor_seconds):
    costs = [processor_seconds(CELL, n_runs) for n_runs in (4, 16, 64, 256)]
    print(costs)  # noqa: T201 - for who asks by `-rP`
    assert all(many <= 4 * few * 1.3 for few, many in itertools.pairwise(costs))


def test_eight_times_the_epochs_cost_at_most_eight_times_as_much(processor_seconds):
    longer = [dataclasses.replace(CELL, training=Training(epochs=epochs)) for epochs in (5, 10, 20, 40)]
    costs = [processor_seconds(cell, 4) for cell in longer]
    print(costs)  # noqa: T201
    assert all(many <= 2 * few * 1.3 for few, many in itertools.pairwise(costs))


def test_eight_times_the_examples_cost_at_most_eight_times_as_much(processor_seconds):
    larger = [dataclasses.replace(CELL, split=Split(train_fraction=part), training=Training(epochs=20))
              for part in (0.125, 0.25, 0.5, 1)]  # fmt: skip
    costs = [processor_seconds(cell, 4) for cell in larger]
    print(costs)  # noqa: T201
    assert all(many <= 2 * few * 1.3 for few, many in itertools.pairwise(costs))


# A process that trains cohorts of two, of so many shapes in turn; printed: its resident bytes after each of them.
_COHORTS = """
import json, sys
from pathlib import Path
import psutil
from mnistlab.datasets import catalog
from mnistlab.engines.base import get_engine
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.execution.worker import WorkerSettings, initialize
from mnistlab.preprocessing import prepare
from mnistlab.records import Environment
from mnistlab.spec import Architecture, Cell, Run, Training
import gc

n_cohorts, n_shapes = map(int, sys.argv[1:])
initialize(WorkerSettings(Path()))
digits, engine = catalog.load("digits", Path()), get_engine("population", "keras")
here, sizes = Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test"), []
for number in range(n_cohorts):
    layers = Architecture((9 + number % n_shapes, 8))
    cell = Cell(layers, training=Training(epochs=1, learning_rate=0.001 + number * 1e-6), dataset="digits")
    runs = [Run(cell, 2 * number), Run(cell, 2 * number + 1)]
    program = Program("population", SEEDS_OF_ONE_CELL, 2)
    prepared = lambda run: prepare(digits, run.cell.split, run.cell.features, run.seed)
    assert all(result.status == "done" for result in engine.train(runs, program, prepared, here, lambda *_: True))
    gc.collect()  # as the worker does after every group
    sizes.append(psutil.Process().memory_info().rss)
print(json.dumps(sizes))
"""


def resident(n_cohorts, n_shapes):
    done = subprocess.run([sys.executable, "-c", _COHORTS, str(n_cohorts), str(n_shapes)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    sizes = json.loads(done.stdout)
    print([size // 2**20 for size in sizes[:: max(1, len(sizes) // 20)]], sizes[-1] // 2**20)  # noqa: T201
    return sizes


def test_a_thousand_cohorts_leave_a_process_as_large_as_ten():
    sizes = resident(1_000, 3)
    assert sizes[-1] <= 1.2 * sizes[9]


def test_sixty_shapes_in_turn_leave_a_process_bounded():
    """More than are kept: what was compiled for the first of them is gone."""
    sizes = resident(60, 60)
    assert sizes[-1] <= 1.2 * sizes[19]
