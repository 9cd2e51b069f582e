"""The scikit-learn engine is `MLPClassifier.fit`, watched."""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from mnistlab.engines.base import weights_sha256
from mnistlab.engines.programs import Program
from mnistlab.engines.sklearn_engine import SklearnEngine
from mnistlab.ffn_model import classifier_parameters
from mnistlab.spec import Architecture, Cell, Run, Training


def trained(run, prepare_run, environment):
    [result] = SklearnEngine().train([run], Program("reference"), prepare_run, environment, lambda run, record: True)
    return result


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "training",
    [Training(epochs=4, batch_size=32), Training(epochs=60, batch_size=200, l2=2.5e-7, epsilon=1e-8, tol=1e-2),
     Training(optimizer="sgd", learning_rate=0.1, epochs=5)],
)  # fmt: skip
def test_a_run_is_bit_for_bit_what_plain_fit_gives(training, prepare_run, environment):
    run = Run(Cell(Architecture((12,), "tanh"), training=training, dataset="digits", framework="sklearn"), 7)
    result, data = trained(run, prepare_run, environment), prepare_run(run)
    plain = MLPClassifier(**classifier_parameters(run.cell, 7)).fit(data.X_train, data.y_train)
    assert result.weights_sha256 == weights_sha256(
        array for pair in zip(plain.coefs_, plain.intercepts_, strict=True) for array in pair
    )
    assert result.epochs_done == plain.n_iter_
    assert [record.train_loss for record in result.epochs] == [float(loss) for loss in plain.loss_curve_]
    assert np.array_equal(result.test.predicted, plain.predict(data.X_test))


def test_tol_stops_before_the_epochs_are_done_and_says_so(prepare_run, environment):
    training = Training(epochs=300, batch_size=200, tol=0.05)
    result = trained(Run(Cell(Architecture((12,)), training=training, dataset="digits", framework="sklearn"), 0),
                     prepare_run, environment)  # fmt: skip
    assert result.stopped_by == "tol"
    assert result.epochs_done < 300
    assert any("tol" in difference for difference in result.differences)


def test_defaults_of_the_class_are_what_the_lab_study_calls_its_own_defaults():
    training = Training(batch_size=200, epochs=200, l2=2.5e-7, epsilon=1e-8, tol=1e-4)
    ours = MLPClassifier(**classifier_parameters(Cell(Architecture((64,)), training=training, framework="sklearn"), 0))
    default = MLPClassifier((64,), random_state=0).get_params()
    # Nesterov's momentum belongs to SGD, and 'auto' is 200 for any data set as large.
    ignored = {"nesterovs_momentum", "batch_size"}
    found = ours.get_params()
    assert found.pop("alpha") == pytest.approx(default.pop("alpha"))
    assert {name for name, value in found.items() if value != default[name]} <= ignored


def test_differences_from_keras_are_listed_with_every_run(prepare_run, environment):
    run = Run(Cell(Architecture((4,)), training=Training(epochs=1, l2=1e-4), dataset="digits", framework="sklearn"), 0)
    told = " ".join(trained(run, prepare_run, environment).differences)
    assert "biases" in told
    assert "random_state" in told
    assert "L2" in told
