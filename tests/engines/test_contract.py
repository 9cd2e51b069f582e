"""What `engines.base.Engine` promises, asked of every engine for every framework it trains."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlab.datasets import catalog
from mnistlab.engines.base import _ENGINES, get_engine, weights_sha256
from mnistlab.engines.programs import ONE_NETWORK, SEEDS_OF_ONE_CELL, Program, why_not_covered
from mnistlab.metrics import evaluate
from mnistlab.network import TrainedNetwork
from mnistlab.preprocessing import prepare
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training

ENGINES = [(name, framework) for name, frameworks in _ENGINES.items() for framework in frameworks]
pytestmark = pytest.mark.parametrize(("name", "framework"), ENGINES, scope="module")

SMALL = Training(epochs=3, batch_size=50)


def cell_of(framework, **changes):
    content = {"architecture": Architecture((16, 8)), "training": SMALL, "dataset": "digits", **changes}
    return Cell(framework=framework, **content)


@pytest.fixture(scope="module")
def train(name, framework, prepare_run, environment):
    engine = get_engine(name, framework)

    def train(*runs, prepare=prepare_run, on_epoch=lambda run, record: True):
        program = Program("reference")
        if name == "population":
            alone = runs[0].cell.features.learns
            program = Program(name, ONE_NETWORK) if alone else Program(name, SEEDS_OF_ONE_CELL, 2)
        return list(engine.train(runs, program, prepare, environment, on_epoch))

    return train


@pytest.fixture(scope="module")
def prepare_unseen():
    """Arrays of a run on a data set, without the test part."""
    return lambda data: lambda run: prepare(data, run.cell.split, run.cell.features, run.seed, test=False)


@pytest.fixture(scope="module")
def two_seeds(train, framework):
    """Two runs of one cell, their results by run, and what the callback heard."""
    runs, heard = [Run(cell_of(framework), seed) for seed in (0, 1)], []

    def hear(run, record):
        heard.append((run, record))
        return True

    results = train(*runs, on_epoch=hear)
    return SimpleNamespace(runs=runs, results=results, by_run={result.run: result for result in results}, heard=heard)


@pytest.fixture(scope="module")
def stopped_early(train, framework):
    """A run that bad epochs ended, long before those asked for."""
    training = Training(epochs=60, batch_size=50, learning_rate=0.03, early_stopping_patience=2)
    [result] = train(Run(cell_of(framework, training=training), 0))
    assert (result.stopped_by, result.epochs_done < 60) == ("early_stopping", True)
    return result


def same(one, other):
    parts = [(one.test, other.test), (one.validation, other.validation)]
    return one.weights_sha256 == other.weights_sha256 and all(
        np.array_equal(a.predicted, b.predicted) and a.log_loss == b.log_loss for a, b in parts
    )


def test_each_run_gives_one_result_that_names_it(two_seeds):
    assert len(two_seeds.results) == len(two_seeds.runs)
    assert set(two_seeds.by_run) == set(two_seeds.runs)
    assert all(result.status == "done" and result.reason == "" and result.members >= 1 for result in two_seeds.results)


def test_every_seed_is_trained_on_the_features_it_has_learned(train, framework):
    cell = cell_of(framework, features=Features(("standardize", "pca:20")), split=Split(train_fraction=0.5))
    runs = [Run(cell, seed) for seed in (0, 1)]
    together = {result.run: result for result in train(*runs)}
    assert all(same(together[run], train(run)[0]) for run in runs)


def test_a_rule_that_holds_in_the_last_epoch_asked_for_stopped_nothing(train, stopped_early, framework):
    free = stopped_early
    asked = dataclasses.replace(free.run.cell.training, epochs=free.epochs_done)
    [result] = train(Run(cell_of(framework, training=asked), 0))
    assert (result.stopped_by, result.epochs_done, result.best_epoch) == ("epochs", free.epochs_done, free.best_epoch)


def test_a_network_learns_digits(train, framework):
    [result] = train(Run(cell_of(framework, architecture=Architecture((32,)), training=Training(epochs=30)), 0))
    assert result.test.accuracy > 0.9
    assert result.validation.accuracy > 0.9
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss / 3


def test_the_curve_ends_where_the_evaluation_stands(two_seeds):
    result = two_seeds.by_run[two_seeds.runs[0]]
    last = result.epochs[-1]
    assert [record.epoch for record in result.epochs] == [1, 2, 3]
    assert result.epochs_done == 3
    assert result.stopped_by == "epochs"
    assert last.test_accuracy == result.test.accuracy
    assert last.validation_accuracy == result.validation.accuracy
    assert last.validation_loss == pytest.approx(result.validation.log_loss, abs=1e-5)


def test_a_result_holds_the_network_that_was_tested(train, framework, prepare_run):
    run = Run(cell_of(framework, features=Features(("standardize", "pca:20")), training=Training(epochs=20)), 0)
    [result] = train(run)
    network = TrainedNetwork(run, (8, 8), tuple("0123456789"), result.network, result.weights_sha256)
    digits = catalog.load("digits", Path()).images[result.test.digits.indices]
    found = evaluate(network.predict_proba(digits), result.test.digits)
    np.testing.assert_array_equal(found.predicted, result.test.predicted)
    assert found.log_loss == pytest.approx(result.test.log_loss, abs=1e-6)
    assert weights_sha256(a for stage in network.stages[2:] for a in stage.arrays) == result.weights_sha256


def test_a_callback_hears_of_every_epoch(two_seeds):
    for run, result in two_seeds.by_run.items():
        assert [record for one, record in two_seeds.heard if one == run] == list(result.epochs)
    assert len(two_seeds.heard) == 2 * 3


def test_the_same_run_gives_the_same_bits_whatever_was_trained_before(train, framework):
    run, other = Run(cell_of(framework), 3), Run(cell_of(framework, architecture=Architecture((5,))), 1)
    [alone] = train(run)
    [after] = [result for result in train(other, run) if result.run == run]
    assert same(alone, after)


def test_another_seed_gives_other_weights_and_other_validation_digits(two_seeds):
    one, other = two_seeds.results
    assert one.weights_sha256 != other.weights_sha256
    assert one.validation.digits.id != other.validation.digits.id
    assert one.test.digits.id == other.test.digits.id


def test_nothing_is_learned_from_test_images(train, framework, prepare_run):
    """Poison (rule M2): test images replaced by noise leave the trained weights bit for bit alone."""
    run = Run(cell_of(framework, features=Features(("standardize", "pca:20"))), 0)

    def poisoned(run):
        data = prepare_run(run)
        rows = data.rows.copy()
        rows[data.test.indices] = np.random.default_rng(1).random(data.X_test.shape, dtype=np.float32)
        return dataclasses.replace(data, rows=rows)

    [clean], [spoiled] = train(run), train(run, prepare=poisoned)
    assert clean.weights_sha256 == spoiled.weights_sha256
    assert clean.test.accuracy != spoiled.test.accuracy


@pytest.mark.parametrize("steps", [("scale",), ("standardize", "pca:20")], ids="+".join)
def test_without_test_digits_a_network_is_the_same_and_none_is_looked_at(train, framework, prepare_unseen, steps):
    """Poison (rule M3): images and labels of the test part replaced by noise change nothing that is said of a trial."""
    dataset, random = catalog.load("digits", Path()), np.random.default_rng(2)
    n_train, n_test = dataset.info.n_train, dataset.info.n_test
    images, labels = dataset.images.copy(), dataset.labels.copy()
    images[n_train:] = random.integers(256, size=images[n_train:].shape)
    labels[n_train:] = random.integers(10, size=n_test)
    poisoned = dataclasses.replace(dataset, images=images, labels=labels)
    run = Run(cell_of(framework, features=Features(steps)), 0)
    [seen], [trial], [spoiled] = train(run), *(train(run, prepare=prepare_unseen(d)) for d in (dataset, poisoned))
    assert trial.test is None
    assert trial.weights_sha256 == spoiled.weights_sha256 == seen.weights_sha256
    without = tuple(dataclasses.replace(record, test_accuracy=None) for record in seen.epochs)
    assert trial.epochs == spoiled.epochs == without
    for found in (trial, spoiled):
        assert found.validation.predicted.tobytes() == seen.validation.predicted.tobytes()
        assert found.validation.log_loss == seen.validation.log_loss


def test_a_run_that_does_not_go_on_is_the_network_of_its_last_epoch(train, framework):
    run, shorter = (Run(cell_of(framework, training=Training(epochs=n, batch_size=50)), 0) for n in (5, 2))
    [given_up], [ended] = train(run, on_epoch=lambda run, record: record.epoch < 2), train(shorter)
    assert (given_up.status, given_up.stopped_by, given_up.epochs_done) == ("done", "halving", 2)
    assert given_up.weights_sha256 == ended.weights_sha256
    assert given_up.epochs == ended.epochs
    assert given_up.best_epoch is None


def test_a_run_that_does_not_go_on_keeps_its_best_weights(train, stopped_early, framework):
    best, training = stopped_early.best_epoch, stopped_early.run.cell.training
    [given_up] = train(stopped_early.run, on_epoch=lambda run, record: record.epoch <= best)
    [ended] = train(Run(cell_of(framework, training=dataclasses.replace(training, epochs=best + 1)), 0))
    assert (given_up.stopped_by, given_up.best_epoch, given_up.epochs_done) == ("halving", best, best + 1)
    assert given_up.weights_sha256 == ended.weights_sha256


def test_a_rule_of_its_own_comes_before_the_word_that_a_run_does_not_go_on(train, stopped_early, framework):
    last = stopped_early.epochs_done
    [early] = train(stopped_early.run, on_epoch=lambda run, record: record.epoch < last)
    [whole] = train(Run(cell_of(framework), 0), on_epoch=lambda run, record: record.epoch < SMALL.epochs)
    assert (early.stopped_by, whole.stopped_by) == ("early_stopping", "epochs")
    if framework == "sklearn":
        settled = Run(cell_of(framework, training=Training(epochs=60, batch_size=200, tol=0.05)), 0)
        [free] = train(settled)
        [asked] = train(settled, on_epoch=lambda run, record: record.epoch < free.epochs_done)
        assert (free.stopped_by, asked.stopped_by) == ("tol", "tol")


def test_early_stopping_keeps_the_weights_of_the_best_epoch(stopped_early):
    result = stopped_early
    losses = [record.validation_loss for record in result.epochs]
    assert result.stopped_by == "early_stopping"
    assert result.epochs_done == len(losses) == result.best_epoch + 2
    assert losses[result.best_epoch - 1] == min(losses)
    assert result.validation.log_loss == pytest.approx(min(losses), abs=1e-5)
    assert result.epochs[result.best_epoch - 1].test_accuracy == result.test.accuracy


def test_a_run_without_validation_examples_is_trained_and_tested(train, framework):
    [result] = train(Run(cell_of(framework, split=Split(validation_fraction=0)), 0))
    assert result.validation is None
    assert result.epochs[-1].validation_loss is None
    assert result.test.accuracy > 0.3


def test_a_loss_that_is_not_a_number_is_a_diverged_run(train, name, framework):
    training = Training(optimizer="sgd", learning_rate=900, epochs=5, batch_size=50, l2=50.0)
    cell = cell_of(framework, architecture=Architecture((16, 8)), training=training)
    if name == "population" and why_not_covered(cell, n_steps=10**6):
        with pytest.raises(ValueError, match="sgd"):
            train(Run(cell, 0))
        return
    [result] = train(Run(cell, 0))
    assert result.status == "diverged"
    assert "not finite numbers" in result.reason
    assert result.test is None
    assert result.epochs[-1].train_loss is None


def test_the_ledger_holds_what_training_took(two_seeds):
    for result in two_seeds.results:
        assert result.ledger.steps_seconds > 0
        assert result.ledger.evaluation_seconds > 0
        assert result.ledger.import_seconds == result.ledger.data_seconds == 0


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_probe_measures_a_step_and_a_prediction(name, framework, prepare_run, optimizer):
    run = Run(cell_of(framework, training=dataclasses.replace(SMALL, optimizer=optimizer)), 0)
    probe = get_engine(name, framework).probe(run, prepare_run(run), 20)()
    assert 0 < probe.seconds_per_step < 1
    assert 0 < probe.inference_us_per_image < 1e5
    parameters = run.cell.architecture.parameters(64, 10)
    copies = {"adam": 4, "sgd": 3}[optimizer]  # weights, gradients, one or two moments
    assert probe.parameter_bytes == pytest.approx(copies * 4 * parameters, abs=64)
    assert probe.program_bytes is None or probe.program_bytes > 0


def test_a_class_absent_from_training_is_predicted_never_and_breaks_nothing(train, framework, prepare_run):
    def without_nine(run):
        data = prepare_run(run)
        kept = data.y_train != 9
        return dataclasses.replace(data, train=data.train[kept])

    [result] = train(Run(cell_of(framework, training=Training(epochs=10, batch_size=20)), 0), prepare=without_nine)
    assert result.status == "done"
    assert not np.any(result.test.predicted == 9)
    assert math.isfinite(result.test.log_loss)
