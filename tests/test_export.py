"""What other programs make of an exported network is what the network itself says."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from mnistlab.datasets import catalog
from mnistlab.dnn_model import import_keras
from mnistlab.engines.base import get_engine
from mnistlab.engines.programs import Program
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.export import check_format, export_network
from mnistlab.network import TrainedNetwork
from mnistlab.preprocessing import apply_image_step, prepare
from mnistlab.records import Environment
from mnistlab.spec import Architecture, Cell, Features, Run, Training


def rows(images):
    return images.reshape(len(images), -1).astype(np.float32)


def of_onnx(network, X, folder):
    path = folder / "network.onnx"
    export_network(network, "onnx", path)
    name = onnx.load(path).graph.input[0].name
    with np.errstate(over="ignore", invalid="ignore"):  # the evaluator computes both branches of its sigmoid
        return ReferenceEvaluator(str(path)).run(None, {name: X})[0]


def of_keras(network, X, folder):
    path = folder / "network.keras"
    export_network(network, "keras", path)
    return import_keras().models.load_model(path).predict(X, batch_size=2_000, verbose=0)


@pytest.mark.parametrize("ask", [of_onnx, of_keras])
@pytest.mark.parametrize("number", range(40, 60))
def test_an_exported_network_predicts_as_the_stored_one(draw_network, tmp_path, number, ask):
    drawn = draw_network(number)
    expected, found = drawn.network.predict_proba(drawn.images), ask(drawn.network, rows(drawn.images), tmp_path)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ask", [of_onnx, of_keras])
@pytest.mark.parametrize("steps", [("deskew", "scale"), ("deskew", "hog"), ("hog", "standardize", "pca:10")])
def test_behind_an_image_step_it_takes_what_that_step_yields(draw_network, tmp_path, steps, ask):
    drawn = draw_network(5, cell=Cell(Architecture((8,)), features=Features(steps), dataset="digits"))
    X = drawn.images
    for step in drawn.network.run.cell.features.image_steps:
        X = apply_image_step(step, X)
    found = ask(drawn.network, rows(X), tmp_path)
    np.testing.assert_allclose(found, drawn.network.predict_proba(drawn.images), atol=1e-5, rtol=0)


def test_an_onnx_file_says_where_it_comes_from(draw_network, tmp_path):
    network = draw_network(41).network
    export_network(network, "onnx", tmp_path / "deep" / "network.onnx")
    model = onnx.load(tmp_path / "deep" / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said.pop("class_names")) == list("0123456789")
    assert said == {"run": network.run.id, "label": network.run.cell.label, "seed": str(network.run.seed),
                    "input": "pixels 0 to 255 in reading order"}  # fmt: skip
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["pixels", "probabilities"]


@pytest.mark.parametrize("form", ["keras", "onnx"])
def test_the_input_is_named_after_what_it_takes(draw_network, tmp_path, form):
    cell = Cell(Architecture((4,)), features=Features(("deskew", "hog")), dataset="digits")
    network = draw_network(6, cell=cell).network
    export_network(network, form, path := tmp_path / f"network.{form}")
    if form == "onnx":
        model = onnx.load(path)
        assert model.graph.input[0].name == "after_hog"
        assert "what hog yields" in [entry.value for entry in model.metadata_props]
    else:
        model = import_keras().models.load_model(path)
        assert (model.name, model.inputs[0].name) == (f"mnistlab_{network.run.id}", "after_hog")


def test_dropout_stays_in_the_keras_model_for_those_who_train_on(draw_network, tmp_path):
    cell = Cell(Architecture((8, 4), ("relu", "gelu"), batch_norm=True, dropout=0.25), dataset="digits")
    export_network(draw_network(8, cell=cell).network, "keras", tmp_path / "network.keras")
    layers = [type(layer).__name__ for layer in import_keras().models.load_model(tmp_path / "network.keras").layers]
    hidden = ["Dense", "BatchNormalization", "Activation", "Dropout"]
    assert layers == ["Rescaling", *hidden, *hidden, "Dense", "Activation"]


def test_an_unknown_format_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigurationError, match=r"--format kears: no such format \(did you mean keras\?\)"):
        check_format("kears")


def test_without_the_package_onnx_its_absence_is_told_and_keras_goes_on(draw_network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    check_format("keras")
    for attempt in (lambda: check_format("onnx"), lambda: export_network(draw_network(41).network, "onnx", tmp_path)):
        with pytest.raises(MachineError, match=r"onnx is absent \(pip install 'mnistlab\[onnx\]'\)"):
            attempt()


@pytest.mark.long
def test_on_mnist_exports_classify_the_test_digits_as_the_stored_network_does(tmp_path):
    """Needs MNIST in the cache that `MNISTLAB_DATA_DIR` names. Two classes nearer to each other than float32 resolves
    after several layers have no order: such a digit may fall either way."""
    dataset = catalog.load("mnist", Path(os.environ.get("MNISTLAB_DATA_DIR", "data/raw")))
    random, here = np.random.default_rng(0), Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")
    images = dataset.images[60_000:]
    for number in range(20):
        run = Run(random_cell(random, "keras" if number % 4 else "sklearn"), number)
        data = prepare(dataset, run.cell.split, run.cell.features, run.seed)
        engine = get_engine("reference", run.cell.framework)
        [result] = engine.train(
            [run], Program("reference"), lambda run, data=data: data, here, lambda run, record: True
        )
        names = dataset.info.class_names
        network = TrainedNetwork(run, (28, 28), names, result.network, result.weights_sha256)
        expected = network.predict_proba(images)
        second, first = np.sort(expected, axis=1)[:, -2:].T
        ordered = first - second > 1e-5
        assert ordered.sum() >= 9_999
        for found in (of_onnx(network, rows(images), tmp_path), of_keras(network, rows(images), tmp_path)):
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
            np.testing.assert_array_equal(found.argmax(axis=1)[ordered], expected.argmax(axis=1)[ordered])
        np.testing.assert_array_equal(expected.argmax(axis=1)[ordered], result.test.predicted[ordered])


def random_cell(random, framework):
    depth = int(random.integers(1, 5))
    names = ["relu", "sigmoid", "tanh", "gelu", "elu"] if framework == "keras" else ["relu", "sigmoid", "tanh"]
    activations = tuple(str(name) for name in random.choice(names, depth))
    layers = Architecture(
        tuple(int(width) for width in random.integers(16, 257, depth)),
        activations if framework == "keras" else activations[0],
        batch_norm=framework == "keras" and bool(random.integers(2)),
    )
    features = [("scale",), ("standardize",), ("scale", "pca:50")][random.integers(3)]
    return Cell(layers, features=Features(features), framework=framework, training=Training(epochs=1, batch_size=200))
