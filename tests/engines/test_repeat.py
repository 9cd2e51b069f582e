"""Rule M24: the same run gives the same bits in twenty processes of twenty."""

import os
import subprocess
import sys

import pytest

_TRAIN = """
import sys
from pathlib import Path
from mnistlab.execution import worker
from mnistlab.execution.worker import WorkerSettings
from mnistlab.spec import Architecture, Cell, Run, Training

results = []
worker._Worker.send = lambda self, kind, *content: results.append(content[0]) if kind == "result" else None
if __name__ == "__main__":
    worker.initialize(WorkerSettings(Path()))
    cell = Cell(Architecture((32, 16)), training=Training(epochs=3), dataset="digits", framework=sys.argv[1])
    for seed in range(int(sys.argv[2]) % 3):  # what came before must not matter
        worker.train_group("reference", [Run(cell, seed)])
    worker.train_group("reference", [Run(cell, 7)])
    last = results[-1]
    print(last.weights_sha256, last.test.predicted.tobytes().hex(), last.validation.predicted.tobytes().hex())
"""


@pytest.mark.long
@pytest.mark.parametrize("framework", ["keras", "sklearn"])
def test_twenty_processes_train_the_same_bits(framework):
    alone = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    found = {
        subprocess.run(
            [sys.executable, "-c", _TRAIN, framework, str(number)], env=alone, capture_output=True, text=True,
            check=True,
        ).stdout
        for number in range(20)
    }  # fmt: skip
    assert len(found) == 1
    assert len(found.pop().split()[0]) == 64
