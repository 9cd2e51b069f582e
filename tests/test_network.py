"""A network as plain arrays says what the framework that trained it says."""

import dataclasses

import numpy as np
import pytest

from mnistlab.drawing import Drawing, Normalisation
from mnistlab.engines.base import get_engine
from mnistlab.engines.programs import Program
from mnistlab.network import TrainedNetwork, layer_kinds
from mnistlab.preprocessing import apply_image_step
from mnistlab.records import Environment
from mnistlab.spec import Architecture, Cell, Features, Run, Training

HERE = Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")


@pytest.mark.parametrize("number", range(20))
def test_any_network_predicts_as_its_framework_does(draw_network, number):
    drawn = draw_network(number)
    found = drawn.network.predict_proba(drawn.images)
    assert (found.dtype, found.shape) == (np.float32, (len(drawn.images), 10))
    np.testing.assert_allclose(found, drawn.probabilities, atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [("deskew", "scale"), ("hog",), ("deskew", "hog", "standardize", "pca:10")])
def test_image_steps_are_part_of_the_network(draw_network, steps):
    cell = Cell(Architecture((8,)), features=Features(steps), dataset="digits", framework="sklearn",
                training=Training(epochs=2))  # fmt: skip
    drawn = draw_network(3, cell=cell)
    np.testing.assert_allclose(drawn.network.predict_proba(drawn.images), drawn.probabilities, atol=1e-6, rtol=0)
    assert apply_image_step(steps[0], drawn.images[:2]).dtype == np.float32


def trained(data, framework="sklearn"):
    cell = Cell(Architecture((8,)), dataset="digits", framework=framework, training=Training(epochs=5, batch_size=20))
    engine = get_engine("reference", framework)
    [result] = engine.train([Run(cell, 0)], Program("reference"), lambda run: data, HERE, lambda run, record: True)
    return result, TrainedNetwork(result.run, (8, 8), ("x",) * data.n_classes, result.network, result.weights_sha256)


@pytest.mark.parametrize("kept", [(3, 7), (0, 9), (1, 4, 5), tuple(range(9))], ids=str)
def test_classes_that_scikit_learn_never_saw_have_probability_zero(draw_network, kept):
    drawn = draw_network(0, cell=Cell(Architecture((4,)), dataset="digits", framework="sklearn"))
    rows = np.isin(drawn.data.y_train, kept)
    data = dataclasses.replace(drawn.data, train=drawn.data.train[rows])
    result, network = trained(data)
    found = network.predict_proba(drawn.images)
    assert set(np.flatnonzero(found.max(axis=0))) == set(kept)
    np.testing.assert_array_equal(found.argmax(axis=1), result.test.predicted)
    truth = found[np.arange(len(found)), result.test.digits.labels].astype(float)
    seen = np.isin(result.test.digits.labels, kept)
    assert -np.log(truth[seen].clip(1e-12)).mean() < result.test.log_loss
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_layers_are_those_of_the_architecture_without_dropout():
    layers = Architecture((4, 3), ("relu", "gelu"), batch_norm=True, dropout=0.5)
    assert layer_kinds(layers) == ("dense", "batch_norm", "relu", "dense", "batch_norm", "gelu", "dense", "softmax")


def test_images_of_another_shape_or_type_are_refused(draw_network):
    network = draw_network(1).network
    for images in (np.zeros((2, 28, 28), np.uint8), np.zeros((2, 8, 8)), np.zeros((8, 8), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8 images of \(8, 8\) are needed"):
            network.predict_proba(images)


def drawing(image, **said):
    steps = Normalisation("resized", False, 1.0, (0, 0, 8, 8), 1.0)
    return Drawing(image, **{"blank": False, "filled": False, "steps": steps, **said})


def test_a_prediction_names_the_most_probable_class_unless_there_is_no_digit(draw_network):
    drawn = draw_network(2)
    image, probabilities = drawn.images[5], drawn.network.predict_proba(drawn.images[5:6])[0]
    found = drawn.network.predict("five.png", drawing(image))
    assert (found.image, found.digit, found.class_names) == ("five.png", probabilities.argmax(), tuple("0123456789"))
    assert found.probabilities == pytest.approx(probabilities.tolist())
    for said in ({"blank": True}, {"filled": True}):
        assert drawn.network.predict("five.png", drawing(image, **said)).digit is None


def test_weights_beyond_all_measure_are_said_to_be_so(draw_network):
    network = draw_network(4).network
    huge = tuple(dataclasses.replace(s, arrays=tuple(np.full_like(a, 3e38) for a in s.arrays)) for s in network.stages)
    with pytest.raises(ValueError, match="not finite numbers"):
        dataclasses.replace(network, stages=huge).predict("one.png", drawing(np.full((8, 8), 255, np.uint8)))
