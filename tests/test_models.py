"""The names of the original: models that can be built, count their parameters right and refuse what is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from mnistlab.dnn_model import create_dnn_model, import_keras
from mnistlab.ffn_model import create_ffn_model
from mnistlab.spec import ACTIVATIONS, Architecture

keras = import_keras()

WIDTHS = [(4, 3190), (32, 25450), (64, 50890), (128, 101770), (512, 407050), (2056, 1634530)]


@st.composite
def architectures(draw, names=ACTIVATIONS):
    # Few different widths: each new shape costs JAX a compilation of its initialiser.
    widths = draw(st.lists(st.sampled_from([1, 2, 5, 17]), min_size=1, max_size=6))
    activations = draw(st.lists(st.sampled_from(names), min_size=len(widths), max_size=len(widths)))
    return Architecture(tuple(widths), tuple(activations), draw(st.booleans()), draw(st.sampled_from([0.0, 0.25])))


@settings(max_examples=200, deadline=None)
@given(architecture=architectures(), n_features=st.sampled_from([1, 8, 64]), n_classes=st.sampled_from([2, 10]))
def test_parameter_counts_are_those_of_keras(architecture, n_features, n_classes):
    model = create_dnn_model((n_features,), architecture, n_classes=n_classes)
    assert model.count_params() == architecture.parameters(n_features, n_classes)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == architecture.trainable_parameters(n_features, n_classes)


@settings(max_examples=200, deadline=None)
@given(widths=st.lists(st.integers(1, 40), min_size=1, max_size=6), n_features=st.integers(1, 60))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_parameter_counts_are_those_of_scikit_learn(widths, n_features):
    X = np.zeros((10, n_features), np.float32)
    model = MLPClassifier(widths, max_iter=1).fit(X, range(10))
    count = sum(array.size for array in (*model.coefs_, *model.intercepts_))
    assert count == Architecture(tuple(widths)).parameters(n_features, 10)


@pytest.mark.parametrize(("width", "count"), WIDTHS)
def test_the_six_widths_of_the_course_table_have_these_parameters(width, count):
    assert create_dnn_model((784,), {"nodes": [width], "activations": ["relu"]}).count_params() == count


def test_a_dnn_model_has_the_named_layers_and_is_compiled():
    model = create_dnn_model((784,), {"nodes": [32, 16], "activations": ["relu", "tanh"]})
    assert isinstance(model, keras.Model)
    assert model.input_shape == (None, 784)
    assert model.output_shape == (None, 10)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [32, 16, 10]
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    probabilities = np.asarray(model.predict_on_batch(np.zeros((2, 784), np.float32)))
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])
    loss, accuracy = model.evaluate(np.zeros((4, 784), np.float32), np.eye(10, dtype=np.float32)[:4], verbose=0)
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1


def test_the_seed_decides_the_initial_weights():
    def first(seed):
        model = create_dnn_model((20,), {"nodes": [8, 8], "activations": ["relu", "relu"]}, seed=seed)
        return [np.asarray(variable.value) for variable in model.weights]

    one, again, other = first(1), first(1), first(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[2][:8, :8], one[0][:8, :8])  # layers draw apart


@pytest.mark.parametrize(
    ("input_shape", "architecture", "said"),
    [
        ((784,), {"nodes": [3, 3, 3], "activations": ["relu", "relu"]}, "2 names for 3 hidden layers"),
        ((784,), {"nodes": [3, 3], "activations": ["relu"]}, "1 names for 2 hidden layers"),
        ((784,), {"nodes": [3], "activations": ["reul"]}, "did you mean relu"),
        ((784,), {"nodes": [], "activations": []}, "at least one width"),
        ((784,), {"nodes": [0], "activations": ["relu"]}, "whole number from 1"),
        ((784,), {"nodes": [3]}, "'nodes' and 'activations'"),
        ((784,), {"nodes": [3], "activations": ["relu"], "dropout": 0.5}, "'nodes' and 'activations'"),
        ((28, 28), {"nodes": [3], "activations": ["relu"]}, r"got \(28, 28\)"),
        (784, {"nodes": [3], "activations": ["relu"]}, "got 784"),
        ((784,), {"nodes": 64, "activations": ["relu"]}, "at least one width"),
        ((0,), {"nodes": [3], "activations": ["relu"]}, "one count of features"),
    ],
)
def test_a_dnn_model_that_cannot_be_built_is_a_clear_value_error(input_shape, architecture, said):
    with pytest.raises(ValueError, match=said):
        create_dnn_model(input_shape, architecture)


def test_an_ffn_model_is_the_originals_classifier():
    model = create_ffn_model(784, 3, 64)
    assert isinstance(model, MLPClassifier)
    asked = {"hidden_layer_sizes": (64, 64, 64), "activation": "relu", "solver": "adam", "max_iter": 200,
             "random_state": 42}  # fmt: skip
    plain = MLPClassifier(**asked).get_params()
    assert model.get_params() == {**plain, "input_dim": 784}


def test_an_ffn_model_can_be_cloned_and_searched_over():
    model = clone(create_ffn_model(64, 2, 8).set_params(max_iter=3))
    assert model.get_params()["hidden_layer_sizes"] == (8, 8)
    assert (model.input_dim, model.max_iter) == (64, 3)
    assert isinstance(model, MLPClassifier)


def test_an_ffn_model_checks_its_input_at_fit():
    X, y = load_digits(return_X_y=True)
    with pytest.raises(ValueError, match="64 features; this model was created for input_dim=784"):
        create_ffn_model(784, 1, 8).fit(X, y)
    model = create_ffn_model(64, 1, 32).set_params(max_iter=60, tol=0.01)
    assert model.fit(X / 16, y).score(X / 16, y) > 0.95


@pytest.mark.parametrize(
    "arguments", [(0, 1, 8), (784, 0, 8), (784, 1, 0), (784, 1, -4), (784.5, 1, 8), (784, True, 8), (784, 1, 8.0)]
)
def test_an_ffn_model_that_cannot_be_built_is_a_clear_value_error(arguments):
    with pytest.raises(ValueError, match="whole number"):
        create_ffn_model(*arguments)
