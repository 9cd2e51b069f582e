"""What every engine promises, the list of engines, and the bookkeeping of an epoch they share."""

import hashlib
import importlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnistlab.engines.programs import Program
from mnistlab.instruments.resources import energy_joules
from mnistlab.metrics import accuracy, evaluate, mean_log_loss
from mnistlab.preprocessing import PreparedData
from mnistlab.records import Environment, EpochRecord, Evaluation, PartLabels, RunResult
from mnistlab.spec import Run

Prepare = Callable[[Run], PreparedData]
OnEpoch = Callable[[Run, EpochRecord], bool]  # whether the run goes on
Predict = Callable[[PartLabels], NDArray[np.floating[Any]]]  # probabilities of a part

# engine name → framework → "module:class"; a new engine is one file and one line here.
_ENGINES = {
    "reference": {
        "keras": "mnistlab.engines.keras_engine:KerasEngine",
        "sklearn": "mnistlab.engines.sklearn_engine:SklearnEngine",
    },
    "population": {
        "keras": "mnistlab.engines.keras_cohort:KerasCohorts",
        "sklearn": "mnistlab.engines.sklearn_cohort:SklearnCohorts",
    },
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What an engine measures of one architecture by itself; memory is read around it by its caller."""

    seconds_per_step: float
    inference_us_per_image: float
    parameter_bytes: int
    program_bytes: int | None
    joules_per_step: float | None


class Engine(Protocol):
    """Trains groups of runs.

    `train` takes runs that may be trained together (the plan grouped them), the program to train them by, a function
    that gives each its arrays, and the environment to record. It yields one `RunResult` per run as soon as that run is
    finished, in any order, and calls `on_epoch` after every epoch: a run that it does not let go on is done, stopped by
    "halving", unless its last epoch or a rule of its own ends it just there. Its ledger holds compilation, steps and
    evaluation; the caller adds the rest. A loss that is not a number ends a run as `diverged`. Everything random comes
    from the run's seed: by the same program the same run gives the same bits, whatever ran before it or runs beside it.
    The result of a run that is done holds its network, as `network.stages_of` gives it. Any other fault is raised. An
    engine never sees a test digit before training is over, except to measure it, and learns nothing from validation but
    when to stop.

    `probe` makes ready to train a few hundred steps of one architecture on the arrays given; what it returns trains
    them, when it is called, and reports their cost. Between the two others may make ready as well.
    """

    def train(
        self, runs: Sequence[Run], program: Program, prepare: Prepare, environment: Environment, on_epoch: OnEpoch
    ) -> Iterator[RunResult]:
        """Results of `runs`, each as it is finished."""
        ...

    def probe(self, run: Run, data: PreparedData, n_steps: int) -> Callable[[], Probe]:
        """What measures the cost of one step and of one prediction, compilation apart."""
        ...


def get_engine(name: str, framework: str) -> Engine:
    """The engine's object; its framework is imported here and nowhere earlier."""
    module, _, kind = _ENGINES[name][framework].partition(":")
    engine: Engine = getattr(importlib.import_module(module), kind)()
    return engine


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in named parts of one run."""

    seconds: dict[str, float] = field(default_factory=lambda: {"compile": 0.0, "steps": 0.0, "evaluation": 0.0})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to `name`; parts are not nested."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


@dataclass(slots=True)
class EarlyStopping:
    """Keras' rule: that many epochs in a row without a lower validation loss stop; the best weights are kept."""

    patience: int
    best_loss: float = math.inf
    best_epoch: int = 0
    bad_epochs: int = 0

    def improved(self, epoch: int, loss: float) -> bool:
        """Take in an epoch's validation loss; whether it is the lowest so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_epoch, self.bad_epochs = loss, epoch, 0
            return True
        self.bad_epochs += 1
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience is exhausted."""
        return self.bad_epochs >= self.patience


def metered(action: Callable[[], object]) -> tuple[float, float | None]:
    """Seconds an action takes, and joules where a counter says them."""
    joules, start = energy_joules(), time.perf_counter()
    action()
    seconds, after = time.perf_counter() - start, energy_joules()
    # A counter that wrapped around meanwhile has fallen.
    spent = after - joules if joules is not None and after is not None and after > joules else None
    return seconds, spent


def measure_epoch(epoch: int, train_loss: float, predict: Predict, data: PreparedData) -> EpochRecord:
    """One point of the curve: loss and accuracy on validation digits, accuracy on test digits, where there are such."""
    loss = right = tested = None
    if data.validation is not None:
        probabilities = predict(data.validation)
        loss = mean_log_loss(probabilities, data.validation.labels)
        right = accuracy(probabilities, data.validation.labels)
    if data.test is not None:
        tested = accuracy(predict(data.test), data.test.labels)
    return EpochRecord(epoch, float(train_loss), loss, right, tested)


def measure_parts(predict: Predict, data: PreparedData) -> tuple[Evaluation | None, Evaluation | None]:
    """The trained network on its test digits and on its validation digits; None where there are none."""
    parts = data.test, data.validation
    test, validation = (None if part is None else evaluate(predict(part), part) for part in parts)
    return test, validation


def weights_sha256(arrays: Iterable[NDArray[Any]]) -> str:
    """SHA-256 over the bytes of the arrays, in their order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
