"""The reference engine for scikit-learn: every run is `MLPClassifier.fit` itself, watched after each epoch."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from mnistlab.engines.base import (
    EarlyStopping,
    OnEpoch,
    Prepare,
    Probe,
    Stopwatch,
    measure_epoch,
    measure_parts,
    metered,
    weights_sha256,
)
from mnistlab.engines.programs import Program
from mnistlab.ffn_model import classifier_parameters, differences_from_keras
from mnistlab.network import stages_of
from mnistlab.preprocessing import PreparedData
from mnistlab.records import Environment, EpochRecord, Ledger, PartLabels, RunResult, StoppedBy
from mnistlab.spec import Run

_NEVER = -1e30  # a bias whose softmax output is exactly 0


class _StopTraining(Exception):  # noqa: N818 - a signal, not an error
    """Leaves `fit` from inside an epoch's end."""


class _WatchedClassifier(MLPClassifier):
    """`MLPClassifier` that tells `watch` when an epoch of `fit` is over; it trains bit for bit like its parent.

    scikit-learn calls this method once per epoch, behind the last batch. `partial_fit` would show epochs as well, but
    it draws its batch order otherwise than `fit`, and knows neither `tol` nor `max_iter`.
    """

    watch: Callable[[], None]

    @property
    def tol_ends(self) -> bool:
        """Whether scikit-learn's own rule ends the training after this epoch."""
        return bool(self._no_improvement_count > self.n_iter_no_change)

    def _update_no_improvement_count(self, *arguments: Any) -> None:
        super()._update_no_improvement_count(*arguments)
        self.watch()


class SklearnEngine:
    """Trains runs one after the other by `MLPClassifier.fit`."""

    def train(
        self, runs: Sequence[Run], program: Program, prepare: Prepare, environment: Environment, on_epoch: OnEpoch
    ) -> Iterator[RunResult]:
        """See `Engine.train`."""
        for run in runs:
            yield _train_one(run, str(program), prepare(run), environment, on_epoch)

    def probe(self, run: Run, data: PreparedData, n_steps: int) -> Callable[[], Probe]:
        """See `Engine.probe`."""
        rows = slice(0, n_steps * run.cell.training.batch_size)
        model = _WatchedClassifier(**{**classifier_parameters(run.cell, run.seed), "max_iter": 1})
        model.watch = lambda: None
        X, y = data.X_train[rows], data.y_train[rows]
        copies = 4 if run.cell.training.optimizer == "adam" else 3  # weights, gradients, and the optimizer's state
        n_batches = math.ceil(len(X) / run.cell.training.batch_size)

        def measure() -> Probe:
            seconds, joules = metered(lambda: _fit(model, X, y))
            predicting, _ = metered(lambda: model.predict_proba(data.X_test))
            count = sum(array.size for array in (*model.coefs_, *model.intercepts_))
            return Probe(
                seconds / n_batches, predicting / len(data.X_test) * 1e6, copies * count * X.itemsize, None,
                None if joules is None else joules / n_batches,
            )  # fmt: skip

        return measure


def _train_one(
    run: Run, program: str, data: PreparedData, environment: Environment, on_epoch: OnEpoch
) -> RunResult:  # fmt: skip
    training = run.cell.training
    model = _WatchedClassifier(**classifier_parameters(run.cell, run.seed))
    stopping = EarlyStopping(training.early_stopping_patience) if training.early_stopping_patience else None
    diverged = False
    clock, records, best = Stopwatch(), list[EpochRecord](), list[Any]()
    stopped_by: StoppedBy = "epochs"

    def predict(part: PartLabels) -> Any:
        X = data.X_test if part is data.test else data.X_validation
        probabilities = np.zeros((len(X), data.n_classes))
        probabilities[:, model.classes_] = model.predict_proba(X)
        return probabilities

    def watch() -> None:
        nonlocal stopped_by
        epoch, loss = len(records) + 1, model.loss_curve_[-1]
        if not math.isfinite(loss):
            records.append(EpochRecord(epoch, None, None, None, None))
            raise _StopTraining
        with clock.part("evaluation"):
            record = measure_epoch(epoch, loss, predict, data)
        records.append(record)
        goes_on = on_epoch(run, record)
        loss = math.nan if record.validation_loss is None else record.validation_loss
        if stopping and stopping.improved(epoch, loss):
            best[:] = [array.copy() for array in (*model.coefs_, *model.intercepts_)]
        if stopping and stopping.should_stop and epoch < training.epochs:
            stopped_by = "early_stopping"
            raise _StopTraining
        if not goes_on and epoch < training.epochs and not model.tol_ends:
            stopped_by = "halving"
            raise _StopTraining

    model.watch = watch
    start = time.perf_counter()
    with suppress(_StopTraining):
        diverged = not _fit(model, data.X_train, data.y_train)
    clock.seconds["steps"] = time.perf_counter() - start - clock.seconds["evaluation"]
    if diverged or records[-1].train_loss is None:
        reason = f"loss or weights were not finite numbers in epoch {len(records)}"
        return RunResult(run, "diverged", "reference", environment, _ledger(clock), reason, epochs_done=len(records),
                         program=program, epochs=tuple(records))  # fmt: skip
    if best:
        model.coefs_, model.intercepts_ = best[: len(model.coefs_)], best[len(model.coefs_) :]
    if stopped_by == "epochs" and len(records) < training.epochs:
        stopped_by = "tol"
    with clock.part("evaluation"):
        test, validation = measure_parts(predict, data)
    return RunResult(
        run, "done", "reference", environment, _ledger(clock), program=program, epochs_done=len(records),
        best_epoch=stopping.best_epoch if stopping else None, stopped_by=stopped_by, epochs=tuple(records), test=test,
        validation=validation, differences=differences_from_keras(run.cell),
        weights_sha256=weights_sha256(weights_of(model)),
        network=stages_of(run.cell, data.pipeline, [*weights_of(model)[:-2], *softmax_layer(model, data.n_classes)]),
    )  # fmt: skip


def weights_of(model: MLPClassifier) -> list[Any]:
    """Kernel and bias of every layer, one after the other."""
    return [array for pair in zip(model.coefs_, model.intercepts_, strict=True) for array in pair]


def softmax_layer(model: MLPClassifier, n_classes: int) -> tuple[Any, Any]:
    """The last layer with a column for every class.

    scikit-learn leaves out classes it never saw, and gives two classes one logistic output: 1/(1+exp(-z)) is the second
    softmax output of 0 and z.
    """
    kernel, bias = model.coefs_[-1], model.intercepts_[-1]
    if len(model.classes_) == n_classes == kernel.shape[1]:
        return kernel, bias
    if model.out_activation_ == "logistic":
        kernel, bias = np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
    whole = np.zeros((len(kernel), n_classes), kernel.dtype), np.full(n_classes, _NEVER, bias.dtype)
    whole[0][:, model.classes_], whole[1][model.classes_] = kernel, bias
    return whole


def _fit(model: MLPClassifier, X: Any, y: Any) -> bool:
    """`fit`; whether its weights are finite. Ctrl-C is put back: scikit-learn swallows it, half-trained."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("error", message="Training interrupted by user")
        warnings.filterwarnings("ignore", message="Got `batch_size` less than 1 or larger than")
        try:
            model.fit(X, y)
        except UserWarning as interrupted:
            raise KeyboardInterrupt from interrupted
        except ValueError as fault:
            if "non-finite" not in str(fault):
                raise
            return False
    return True


def _ledger(clock: Stopwatch) -> Ledger:
    return Ledger(steps_seconds=clock.seconds["steps"], evaluation_seconds=clock.seconds["evaluation"])
