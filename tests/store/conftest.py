"""A small study and made-up results, the same for every test of the store."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlab.plan import CellSize
from mnistlab.records import Environment, EpochRecord, Evaluation, Ledger, Measurement, PartLabels, RunResult
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.store.writer import open_writer
from mnistlab.study import Study

SIZE = CellSize(784, 10, 54, 6, 21, 25_450, 25_450, 2_300_000, 2)
ENVIRONMENT = Environment("3.11", "Linux", "a processor", 2, 1, "cpu", (("keras", "3.15"),), (), "ab" * 32, "0.1.0")


class Example:
    """A study of three cells and two seeds, and what their runs might bring."""

    cells = (
        Cell(Architecture((32,))),
        Cell(Architecture((64, 64), ("relu", "tanh")), training=Training(epochs=3)),
        Cell(Architecture((32,)), framework="sklearn"),
    )
    study = Study("small", cells, (0, 1))
    environment = ENVIRONMENT

    @property
    def runs(self):
        return [Run(cell, seed) for seed in self.study.seeds for cell in self.cells]

    def sizes(self, cells=cells):
        return {cell.id: SIZE for cell in cells}

    def register(self, writer, study=study, role="common"):
        runs = [Run(cell, seed) for seed in study.seeds for cell in study.cells]
        writer.register_study(study, self.sizes(study.cells), runs, role)

    def store(self, path):
        """A store with the study planned."""
        with open_writer(path, holder="test") as writer:
            self.register(writer)
        return path

    def evaluation(self, part, n, seed):
        random = np.random.default_rng([seed, n])
        labels = random.integers(0, 10, n, dtype=np.uint8)
        predicted = np.where(random.random(n) < 0.8, labels, random.integers(0, 10, n, dtype=np.uint8))
        count = np.bincount(np.arange(n) % 15, minlength=15)
        means = np.where(count > 0, random.random((2, 15)), np.nan)
        digits = PartLabels("mnist", part, 10, np.arange(n, dtype=np.int32)[::-1] + 60_000, labels)
        return Evaluation(digits, predicted.astype(np.uint8), *random.random(7).tolist(), count, *means)

    def result(self, run, **changes):
        epochs = tuple(EpochRecord(number, 1 / number, 0.5 / number, 0.9, 0.875) for number in (1, 2, 3))
        result = RunResult(
            run, "done", "reference", ENVIRONMENT, Ledger(1.5, 0.25, 0.5, 2.0, 0.125, 0.1, 3.0), program="p",
            epochs_done=3, best_epoch=2, stopped_by="epochs", epochs=epochs, test=self.evaluation("test", 21, 7),
            validation=self.evaluation("validation", 6, run.seed), weights_sha256="cd" * 32, differences=("a", "b"),
        )  # fmt: skip
        return replace(result, **changes)

    def measurement(self, cell):
        return Measurement(cell.id, "key", cell.framework, 0.001, 10**8, 407_200, None, 1.5, None, ENVIRONMENT)


@pytest.fixture(scope="session")
def example():
    return Example()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "lab.sqlite"
