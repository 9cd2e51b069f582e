"""The reference engine for Keras: every run is `Model.fit` itself; order, weights, dropout come from its seed."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mnistlab.dnn_model import create_dnn_model, import_keras
from mnistlab.engines.base import (
    OnEpoch,
    Prepare,
    Probe,
    Stopwatch,
    measure_epoch,
    measure_parts,
    metered,
    weights_sha256,
)
from mnistlab.engines.canary import trust_jax
from mnistlab.engines.deformation import Deformation, deform, deformation_key
from mnistlab.engines.programs import Program
from mnistlab.network import stages_of
from mnistlab.preprocessing import PreparedData
from mnistlab.records import Environment, EpochRecord, Ledger, PartLabels, RunResult, StoppedBy
from mnistlab.seeds import stream, stream_seed
from mnistlab.spec import Run

_PREDICT_BATCH = 2_000


class KerasEngine:
    """Trains runs one after the other by `Model.fit`."""

    def __init__(self) -> None:
        self._keras = import_keras()

    def train(
        self, runs: Sequence[Run], program: Program, prepare: Prepare, environment: Environment, on_epoch: OnEpoch
    ) -> Iterator[RunResult]:
        """See `Engine.train`."""
        if self._keras.backend.backend() == "jax":
            trust_jax()
        for run in runs:
            yield _Training(self._keras, run, prepare(run), environment, on_epoch).result(str(program))

    def probe(self, run: Run, data: PreparedData, n_steps: int) -> Callable[[], Probe]:
        """See `Engine.probe`."""
        model, batches = _build(run, data), _Batches(run, data)
        n_steps = min(n_steps, len(data.X_train) // run.cell.training.batch_size) or 1

        def fit(steps: int) -> None:
            model.fit(batches.endless(), steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)

        def predict() -> None:
            model.predict(data.X_test, batch_size=_PREDICT_BATCH, verbose=0)

        fit(3)
        predict()
        gradients = sum(_nbytes(v) for v in model.trainable_variables)
        state = sum(_nbytes(v) for v in (*model.variables, *model.optimizer.variables))
        program_bytes = _program_bytes(self._keras, model, *next(batches.endless()))

        def measure() -> Probe:
            (seconds, joules), (predicting, _) = metered(lambda: fit(n_steps)), metered(predict)
            return Probe(seconds / n_steps, predicting / len(data.X_test) * 1e6, gradients + state, program_bytes,
                         None if joules is None else joules / n_steps)  # fmt: skip

        return measure


def _nbytes(variable: Any) -> int:
    return int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize


def _program_bytes(keras: Any, model: Any, X: Any, y: Any) -> int | None:
    """Temporary memory of one compiled training step, from XLA's `memory_analysis`; None on other backends."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    def loss(trainable: Any, other: Any) -> Any:
        predicted, other = model.stateless_call(trainable, other, X, training=True)
        return model.compute_loss(y=y, y_pred=predicted), other

    def step(trainable: Any, other: Any, optimizer: Any) -> Any:
        gradients, other = jax.grad(loss, has_aux=True)(trainable, other)
        return *model.optimizer.stateless_apply(optimizer, gradients, trainable), other

    state = ([v.value for v in vs] for vs in
             (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables))  # fmt: skip
    analysis = jax.jit(step, donate_argnums=(0, 1, 2)).lower(*state).compile().memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)


def _build(run: Run, data: PreparedData) -> Any:
    training = run.cell.training
    steps = math.ceil(len(data.X_train) / training.batch_size)
    return create_dnn_model(
        (data.X_train.shape[1],), run.cell.architecture, training=training, n_classes=data.n_classes, seed=run.seed,
        steps_per_epoch=steps,
    )  # fmt: skip


class _Batches:
    """The training part in the order of the seed's stream, epoch after epoch; notes when batches are asked for."""

    def __init__(self, run: Run, data: PreparedData) -> None:
        self.size = run.cell.training.batch_size
        self.per_epoch = math.ceil(len(data.X_train) / self.size)
        self.X, self.y = data.X_train, np.eye(data.n_classes, dtype=np.float32)[data.y_train]
        self.deformed = _deformed(run, data) if run.cell.training.deformation else lambda X, _step: X
        self.order = stream(run.seed, "order")
        self.asked = 0
        self.third_asked_at = self.last_asked_at = math.nan

    def endless(self) -> Iterator[tuple[Any, Any]]:
        while True:
            order = self.order.permutation(len(self.X))
            for start in range(0, len(order), self.size):
                self.asked += 1
                self.last_asked_at = time.perf_counter()
                if self.asked == 3:
                    self.third_asked_at = self.last_asked_at
                rows = order[start : start + self.size]
                yield self.deformed(self.X[rows], self.asked - 1), self.y[rows]


def _deformed(run: Run, data: PreparedData) -> Callable[[Any, int], Any]:
    """What deforms the features of the batch of a step, as the population engine does."""
    import jax

    settings, seed = Deformation(*run.cell.training.deformation), stream_seed(run.seed, "deformation")

    @jax.jit
    def deformed(X: Any, step: Any) -> Any:
        images = X.reshape(-1, *data.image_shape)
        return deform(images, deformation_key(seed, step), settings).reshape(X.shape)

    return lambda X, step: np.asarray(deformed(X, np.int32(step)))


class _Training:
    """One run of `Model.fit`: its model, clock and curve."""

    def __init__(self, keras: Any, run: Run, data: PreparedData, environment: Environment, on_epoch: OnEpoch) -> None:
        self.keras, self.run, self.data, self.environment, self.on_epoch = keras, run, data, environment, on_epoch
        self.clock, self.records = Stopwatch(), list[EpochRecord]()
        self.averaged: list[Any] = []  # weights at the end of the last epoch, where they are averaged
        with self.clock.part("compile"):
            self.model, self.batches = _build(run, data), _Batches(run, data)
            for part in (data.validation, data.test):
                if part is not None:
                    self.predict(part)

    @property
    def compile_shows(self) -> bool:
        """Whether an epoch has enough steps to tell compilation from them; in shorter ones it counts as steps."""
        return self.batches.per_epoch > 3

    def predict(self, part: PartLabels) -> Any:
        X = self.data.X_test if part is self.data.test else self.data.X_validation
        return self.model.predict(X, batch_size=_PREDICT_BATCH, verbose=0)

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        now, loss = time.perf_counter(), float(logs["loss"])
        if epoch == 0 and self.compile_shows:
            # The shorter last batch is a second program: its compilation ends the first epoch.
            self.clock.seconds["compile"] += now - self.batches.last_asked_at
        if not math.isfinite(loss):
            self.records.append(EpochRecord(epoch + 1, None, None, None, None))
            self.model.stop_training = True
            return
        with self.clock.part("evaluation"):
            record = measure_epoch(epoch + 1, loss, self.predict, self.data)
        logs["val_loss"] = math.nan if record.validation_loss is None else record.validation_loss
        self.records.append(record)
        if self.model.optimizer.use_ema:
            self.averaged = self.model.get_weights()
        if not self.on_epoch(self.run, record):
            self.model.stop_training = True

    def fit(self) -> Any:
        """Train; returns Keras' EarlyStopping callback or None."""
        training, callbacks = self.run.cell.training, self.keras.callbacks
        watching = [callbacks.LambdaCallback(on_epoch_end=self.end_epoch)]
        if training.ema_momentum is not None:  # before the others: what they measure and keep is the average
            watching.insert(0, callbacks.SwapEMAWeights(swap_on_epoch=True))
        stopping = None
        if training.early_stopping_patience:
            stopping = callbacks.EarlyStopping(
                monitor="val_loss", mode="min", patience=training.early_stopping_patience, restore_best_weights=True
            )
            watching.append(stopping)
        start = time.perf_counter()
        before = dict(self.clock.seconds)
        self.model.fit(
            self.batches.endless(), steps_per_epoch=self.batches.per_epoch, epochs=training.epochs, verbose=0,
            shuffle=False, callbacks=watching,
        )  # fmt: skip
        # Keras takes two batches before it starts: the third is asked for when the program is compiled and ran twice.
        if self.compile_shows:
            self.clock.seconds["compile"] += self.batches.third_asked_at - start
        if self.averaged and stopping is None:  # Keras leaves the average in the model only after the last epoch of all
            self.model.set_weights(self.averaged)
        spent = sum(self.clock.seconds[part] - before[part] for part in ("compile", "evaluation"))
        self.clock.seconds["steps"] += time.perf_counter() - start - spent
        return stopping

    def result(self, program: str) -> RunResult:
        stopping = self.fit()
        weights = [self.keras.ops.convert_to_numpy(variable) for variable in self.model.weights]
        if self.records[-1].train_loss is None or not all(np.isfinite(array).all() for array in weights):
            reason = f"loss or weights were not finite numbers in epoch {len(self.records)}"
            return RunResult(self.run, "diverged", "reference", self.environment, self.ledger(), reason, program,
                             epochs_done=len(self.records), epochs=tuple(self.records))  # fmt: skip
        with self.clock.part("evaluation"):
            test, validation = measure_parts(self.predict, self.data)
        stopped_by: StoppedBy = "early_stopping" if stopping and stopping.stopped_epoch else "halving"
        if len(self.records) == self.run.cell.training.epochs:
            stopped_by = "epochs"
        return RunResult(
            self.run, "done", "reference", self.environment, self.ledger(), program=program,
            epochs_done=len(self.records), best_epoch=stopping.best_epoch + 1 if stopping else None,
            stopped_by=stopped_by, epochs=tuple(self.records), test=test, validation=validation,
            weights_sha256=weights_sha256(weights), network=stages_of(self.run.cell, self.data.pipeline, weights),
        )  # fmt: skip

    def ledger(self) -> Ledger:
        seconds = self.clock.seconds
        return Ledger(compile_seconds=seconds["compile"], steps_seconds=seconds["steps"],
                      evaluation_seconds=seconds["evaluation"])  # fmt: skip
