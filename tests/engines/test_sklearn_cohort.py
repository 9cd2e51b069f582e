"""A member of a scikit-learn cohort is what `MLPClassifier.fit` makes of the same run."""

import dataclasses
import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.neural_network._base import log_loss

from mnistlab.engines.base import weights_sha256
from mnistlab.engines.programs import CELLS_OF_ONE_SEED, ONE_NETWORK, SEEDS_OF_ONE_CELL, Program
from mnistlab.engines.sklearn_cohort import SklearnCohorts, SklearnShape, fitted_classifier
from mnistlab.engines.sklearn_engine import SklearnEngine, weights_of
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training

TWO, REFERENCE = Program("population", SEEDS_OF_ONE_CELL, 2), Program("reference")


# Programs are compiled once for a shape, so the tests keep to few of them; classes are the data set's.
of_classes = functools.cache(lambda n_classes: SklearnCohorts())


def cell_of(activation="relu", **training):
    training = Training(**{"batch_size": 70, "l2": 1e-3, "epsilon": 1e-8, **training})
    return Cell(Architecture((16, 8), activation), training=training, dataset="digits", framework="sklearn")


def keeping(prepare_run, *, classes, of_all):
    """Digits of which only `classes` train; those of `of_all` remain and are counted from 0."""

    def prepare(run):
        data = prepare_run(run)
        labels = np.searchsorted(of_all, data.labels).astype(np.uint8)
        parts = [data.train[np.isin(data.labels[data.train], classes)]]
        parts += [part.indices[np.isin(part.labels, of_all)] for part in (data.validation, data.test)]
        validation, test = (dataclasses.replace(part, n_classes=len(of_all), indices=rows, labels=labels[rows])
                            for part, rows in zip((data.validation, data.test), parts[1:], strict=True))  # fmt: skip
        return dataclasses.replace(data, labels=labels, train=parts[0], validation=validation, test=test,
                                   n_classes=len(of_all))  # fmt: skip

    return prepare


def layers_of(result):
    return [array for stage in result.network for array in stage.arrays]


def assert_equal(found, expected, tolerance):
    assert (found.status, found.epochs_done, found.stopped_by) == ("done", expected.epochs_done, expected.stopped_by)
    for ours, theirs in zip(layers_of(found), layers_of(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    losses = [[record.train_loss for record in result.epochs] for result in (found, expected)]
    np.testing.assert_allclose(*losses, rtol=0, atol=tolerance)
    assert found.differences == expected.differences


# 20 steps, the last of them on a shorter batch.
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_each_member_is_what_the_reference_engine_trains(activation, prepare_run, trained):
    cell = cell_of(activation, epochs=1)
    runs = [Run(cell, 3), Run(cell, 5), Run(cell_of(activation, epochs=1, l2=1e-2, learning_rate=0.004), 3)]
    found = trained(of_classes(10), TWO, runs)
    expected = trained(SklearnEngine(), REFERENCE, runs)
    for run in runs:
        assert len(prepare_run(run).train) % 70
        assert_equal(found[run], expected[run], 1e-4)
        assert (found[run].engine, found[run].members) == ("population", 2)


def test_cells_of_one_seed_share_the_batches_that_fit_draws(prepare_run, trained):
    runs = [Run(cell_of(epochs=2, l2=l2, learning_rate=rate), 6) for l2, rate in ((1e-3, 0.001), (1e-2, 0.0005))]
    shared = Program("population", CELLS_OF_ONE_SEED, 2)
    found = trained(SklearnCohorts(), shared, runs)
    expected = trained(SklearnEngine(), REFERENCE, runs)
    for run in runs:
        assert_equal(found[run], expected[run], 1e-4)


@pytest.mark.parametrize(
    ("classes", "of_all"), [((3, 8), (3, 8)), ((3, 8), (1, 3, 5, 8)), ((1, 3, 8), (1, 3, 5, 8))], ids=str
)
def test_two_classes_and_classes_never_seen(classes, of_all, prepare_run, trained):
    prepare = keeping(prepare_run, classes=classes, of_all=of_all)
    run = Run(cell_of("tanh", epochs=3), 1)
    found = trained(of_classes(len(of_all)), TWO, [run], prepare)[run]
    expected = trained(SklearnEngine(), REFERENCE, [run], prepare)[run]
    assert_equal(found, expected, 1e-4)
    assert np.isin(found.test.predicted, np.searchsorted(of_all, classes)).all()
    np.testing.assert_array_equal(found.test.predicted, expected.test.predicted)
    assert found.test.log_loss == pytest.approx(expected.test.log_loss, rel=1e-4)


def test_members_of_one_cohort_may_have_seen_different_classes(prepare_run, trained):
    several, two = (keeping(prepare_run, classes=classes, of_all=(1, 3, 5, 8)) for classes in ((1, 3, 8), (3, 8)))
    cell = cell_of("tanh", epochs=2)
    by_run = {Run(cell, 0): several, Run(cell, 1): two}
    prepare = lambda run: by_run[run](run)  # noqa: E731
    found = trained(of_classes(4), TWO, list(by_run), prepare)
    expected = trained(SklearnEngine(), REFERENCE, list(by_run), prepare)
    for run in by_run:
        assert_equal(found[run], expected[run], 1e-4)


def test_neither_companions_nor_place_change_a_bit(prepare_run, trained):
    cell = cell_of(epochs=4)
    other = dataclasses.replace(cell_of(epochs=2, learning_rate=0.01, l2=1e-2), split=Split(train_fraction=0.5))
    watched, engine = Run(cell, 7), of_classes(10)
    orders = ([watched], [watched, Run(cell, 8)], [Run(other, 2), watched], [Run(other, 1), Run(cell, 9), watched])
    prints = {trained(engine, TWO, runs)[watched].weights_sha256 for runs in orders}
    assert len(prints) == 1


def test_a_hopeless_prediction_costs_what_scikit_learn_says_and_is_still_learned_from(prepare_run):
    run = Run(cell_of(l2=0.0), 0)
    data = prepare_run(run)
    shape, X, y = SklearnShape(run.cell, data), data.X_train[:50], data.y_train[:50]
    state = shape.begin(run, data).state
    bias = state[0][-1]
    bias[0] = 200
    (weights, *_), loss = shape.step(state, np.float32(0.01), X, y)
    expected = log_loss(np.eye(10, dtype=bool)[y], np.array(shape.predict(state, X)))
    assert loss == pytest.approx(expected, rel=1e-6)
    assert loss > 10
    assert weights[-1][0] < bias[0]
    assert (weights[-1][np.unique(y)[1:]] > bias[np.unique(y)[1:]]).all()


def test_tol_stops_in_the_epoch_where_fit_stops(prepare_run, trained):
    run = Run(cell_of(epochs=300, tol=0.05), 0)
    found = trained(of_classes(10), TWO, [run])[run]
    expected = trained(SklearnEngine(), REFERENCE, [run])[run]
    assert (found.stopped_by, found.epochs_done) == ("tol", expected.epochs_done)
    assert found.epochs_done < 300


def test_a_batch_larger_than_the_training_part_is_one_short_batch(prepare_run, trained):
    run = Run(cell_of(batch_size=5_000, epochs=10), 4)
    found = trained(of_classes(10), TWO, [run])[run]
    assert_equal(found, trained(SklearnEngine(), REFERENCE, [run])[run], 1e-4)


def test_a_loss_that_is_no_number_ends_its_run_and_leaves_the_place_clean(prepare_run, trained):
    def prepare(run):
        data = prepare_run(run)
        huge = np.sign(data.rows) * np.float32(3e38)  # float32 holds it, but no sum of it
        return dataclasses.replace(data, rows=huge) if run.seed == 1 else data

    # Every run has rows of its own where features learn.
    cell = dataclasses.replace(cell_of(epochs=3), features=Features(("standardize",)))
    runs = [Run(cell, seed) for seed in range(3)]
    found = trained(SklearnCohorts(), Program("population", ONE_NETWORK), runs, prepare)
    expected = trained(SklearnEngine(), REFERENCE, runs, prepare)
    assert [found[run].status for run in runs] == ["done", "diverged", "done"]
    for run in runs:
        assert (found[run].reason, found[run].epochs_done) == (expected[run].reason, expected[run].epochs_done)


@pytest.mark.parametrize("classes", [tuple(range(10)), (3, 8), (1, 4, 5)], ids=str)
def test_a_member_becomes_the_classifier_that_fit_leaves_behind(classes, prepare_run, trained):
    prepare = keeping(prepare_run, classes=classes, of_all=tuple(range(10)))
    run = Run(cell_of(epochs=1, tol=1e-4), 2)
    data, result = prepare(run), trained(of_classes(10), TWO, [run], prepare)[run]
    model = fitted_classifier(run, data, layers_of(result), [record.train_loss for record in result.epochs])
    model = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict(data.X_test), result.test.predicted)
    assert weights_sha256(weights_of(model)) == result.weights_sha256
    assert (type(model).__name__, model.n_iter_, model.t_) == ("MLPClassifier", 1, len(data.train))
    assert [model.best_loss_] == model.loss_curve_ == [model.loss_] == [result.epochs[0].train_loss]
    theirs = type(model)(**model.get_params())
    with pytest.warns(match="Maximum iterations"):
        theirs.fit(data.X_train, data.y_train)
    assert set(vars(theirs)) - set(vars(model)) == {"_optimizer"}
    for name in ("classes_", "n_outputs_", "out_activation_", "n_layers_", "n_features_in_", "t_", "n_iter_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(theirs, name))
    for ours, other in zip(model.coefs_ + model.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert ours.dtype == other.dtype
        np.testing.assert_allclose(ours, other, rtol=0, atol=1e-4)


# JAX keeps its precision for the whole process. Printed of every run of every task: the largest difference of any
# weight or loss, in units of the largest weight, then the epochs of both.
_DOUBLE = """
import dataclasses, os, sys, warnings
os.environ["JAX_ENABLE_X64"] = "1"
from pathlib import Path
import numpy as np
from sklearn.neural_network import MLPClassifier
from mnistlab.datasets import catalog
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.engines.sklearn_cohort import SklearnCohorts
from mnistlab.ffn_model import classifier_parameters
from mnistlab.preprocessing import prepare
from mnistlab.records import Environment
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training

digits = catalog.load("digits", Path())

def prepare_run(run):
    data = prepare(digits, run.cell.split, Features(), run.seed)
    return dataclasses.replace(data, rows=data.rows.astype(np.float64) / data.divisor, divisor=1.0)

here = Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")
program = Program("population", SEEDS_OF_ONE_CELL, 2)

def compare(activation, two_classes, training, sizes):
    cell = Cell(Architecture(sizes, activation), Split(), training=training, dataset="digits", framework="sklearn")
    runs = [Run(cell, seed) for seed in range(3)]

    def prepared(run):
        data = prepare_run(run)
        return dataclasses.replace(data, train=data.train[data.labels[data.train] < 2]) if two_classes else data

    for result in SklearnCohorts().train(runs, program, prepared, here, lambda run, record: True):
        data = prepared(result.run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = MLPClassifier(**classifier_parameters(cell, result.run.seed)).fit(data.rows[data.train], data.y_train)
        ours = [array for stage in result.network for array in stage.arrays]
        ours[-2], ours[-1] = (array[..., fit.classes_[-fit.n_outputs_:]] for array in ours[-2:])
        theirs = [array for pair in zip(fit.coefs_, fit.intercepts_) for array in pair]
        theirs.append(np.array(fit.loss_curve_))
        ours.append(np.array([record.train_loss for record in result.epochs]))
        assert {array.dtype for array in ours + theirs} == {np.dtype(np.float64)}
        worst = max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))
        print(float(worst), result.epochs_done, fit.n_iter_, result.stopped_by)

for task in sys.argv[1:]:
    compare(*eval(task))
"""


@pytest.mark.slow
def test_in_double_precision_members_and_fit_take_the_same_steps():
    tasks = [
        ("relu", 0, Training(batch_size=32, epochs=5, l2=1e-3), "epochs"),  # 41 steps an epoch
        ("tanh", 0, Training(batch_size=32, epochs=5, l2=1e-3, epsilon=1e-8), "epochs"),
        ("sigmoid", 0, Training(batch_size=32, epochs=5, l2=1e-3, learning_rate=0.01), "epochs"),
        ("relu", 1, Training(batch_size=32, epochs=25, l2=1e-3), "epochs"),
        ("relu", 0, Training(batch_size=200, epochs=200, l2=2.5e-7, tol=0.02), "tol"),
    ]
    check_double_precision([((*task, (16, 8)), {stopped_by}) for *task, stopped_by in tasks])


def check_double_precision(tasks):
    """Tasks (activation, two classes, training, sizes), and by what their runs may be stopped: all in one process."""
    words = [repr(task) for task, _ in tasks]
    done = subprocess.run([sys.executable, "-c", _DOUBLE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 3 * len(tasks)
    print(rows)  # noqa: T201 - for who asks by `-rP`
    for number, (worst, epochs, expected, stopped) in enumerate(rows):
        task, stopped_by = tasks[number // 3]
        assert float(worst) <= 1e-9, task
        assert int(epochs) == int(expected), task
        assert stopped in stopped_by, task


@pytest.mark.long
@pytest.mark.parametrize("number", range(20))
def test_in_double_precision_twenty_cells_take_the_steps_of_fit(number):
    random = np.random.default_rng([20, number])
    sizes = tuple(int(width) for width in random.integers(4, 33, random.integers(1, 5)))
    tol = [None, 1e-4, 0.02, 0.05][random.integers(4)]
    size = int(random.choice([32, 66, 99, 200]))
    training = Training(
        batch_size=size, tol=tol, l2=float(random.choice([0, 1e-5, 1e-3])),
        learning_rate=float(random.choice([0.001, 0.003])), epochs=5 if tol is None else 30,
    )  # fmt: skip
    activation = str(random.choice(["relu", "sigmoid", "tanh"]))
    check_double_precision([((activation, 0, training, sizes), {"epochs", "tol"})])
