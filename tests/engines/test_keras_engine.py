"""The Keras engine is `Model.fit` with order, weights and dropout from the seed's named streams."""

import numpy as np
import pytest

from mnistlab.dnn_model import create_dnn_model
from mnistlab.engines.base import weights_sha256
from mnistlab.engines.keras_engine import KerasEngine
from mnistlab.engines.programs import Program
from mnistlab.seeds import stream
from mnistlab.spec import Architecture, Cell, Run, Training


def trained(run, prepare_run, environment):
    [result] = KerasEngine().train([run], Program("reference"), prepare_run, environment, lambda run, record: True)
    return result


def test_a_run_is_bit_for_bit_what_plain_fit_gives_in_the_order_of_the_stream(prepare_run, environment):
    run = Run(Cell(Architecture((12, 6), dropout=0.1), training=Training(epochs=2), dataset="digits"), 5)
    result, data = trained(run, prepare_run, environment), prepare_run(run)
    model = create_dnn_model((64,), run.cell.architecture, seed=5)
    order, targets = stream(5, "order"), np.eye(10, dtype=np.float32)[data.y_train]
    for _ in range(2):
        rows = order.permutation(len(targets))
        model.fit(data.X_train[rows], targets[rows], batch_size=32, shuffle=False, verbose=0)
    assert result.weights_sha256 == weights_sha256(np.asarray(variable.value) for variable in model.weights)


@pytest.mark.parametrize("change", [{"batch_norm": True}, {"dropout": 0.3}])
def test_batch_norm_and_dropout_change_training_but_not_prediction(change, prepare_run, environment):
    plain = Cell(Architecture((12,)), training=Training(epochs=2), dataset="digits")
    changed = Cell(Architecture((12,), **change), training=Training(epochs=2), dataset="digits")
    one, other, again = (trained(Run(cell, 0), prepare_run, environment) for cell in (plain, changed, changed))
    assert one.weights_sha256 != other.weights_sha256
    assert other.weights_sha256 == again.weights_sha256
    # The same weights predict the same twice: nothing is dropped or normalised by batch at prediction.
    assert other.epochs[-1].test_accuracy == other.test.accuracy


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_compilation_is_never_more_than_the_time_of_the_steps_it_hides_in(steps, prepare_run, environment):
    n_train = 1_386  # digits less its test part and a tenth for validation
    training = Training(epochs=2, batch_size=-(-n_train // steps))
    result = trained(Run(Cell(Architecture((8,)), training=training, dataset="digits"), 0), prepare_run, environment)
    assert result.ledger.steps_seconds > 0
    assert result.ledger.compile_seconds > 0


def test_schedules_end_where_they_promise():
    cosine, step, constant = (
        create_dnn_model((4,), Architecture((2,)), steps_per_epoch=100, training=Training(epochs=4, schedule=name))
        for name in ("cosine", "step", "constant")
    )

    def rate_after(model, steps):
        model.optimizer.iterations.assign(steps)
        return float(model.optimizer.learning_rate)

    assert [rate_after(cosine, n) for n in (0, 200, 400)] == pytest.approx([1e-3, 5e-4, 0], abs=1e-9)
    assert [rate_after(step, n) for n in (0, 199, 201, 301, 399)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5])
    assert rate_after(constant, 400) == pytest.approx(1e-3)
