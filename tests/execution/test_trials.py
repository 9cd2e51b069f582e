"""Trials of a search in real processes: no test digit is seen, some are given up, a death changes no answer."""

from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from mnistlab.analysis.estimate import Estimate
from mnistlab.datasets import catalog, user_files
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.execution.local import Finished, Started, execute
from mnistlab.execution.worker import WorkerSettings
from mnistlab.plan import Group
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training
from mnistlab.stop import Budget, Stop
from mnistlab.tuning import Halving

OWN_FIT, FOUR = Program("reference"), Program("population", SEEDS_OF_ONE_CELL, 4)
RATES = (0.01, 0.001, 0.02, 0.0001)
HALVING = Halving(2, ((2, (0.5,)), (4, ())))


def trials(framework, dataset="digits", validation=0.1, steps=("scale",)):
    return tuple(
        Run(Cell(Architecture((16,)), Split(validation_fraction=validation), Features(steps), dataset=dataset,
                 framework=framework, training=Training(epochs=6, batch_size=50, learning_rate=rate)), SEARCH_SEEDS + n)
        for n, rate in enumerate(RATES)
    )  # fmt: skip


def group_of(runs, program, role="search", halving=HALVING):
    return Group(program, runs, Estimate(0.1, None, None, None, 0, "prediction"), 600.0, role, halving)


def train(folder, *groups, killed_at=None):
    """Results in their order; the process is killed when so many are there."""
    todo, found, started = list(groups), [], []
    events = execute(lambda _: todo.pop(0) if todo else None, workers=1, settings=WorkerSettings(folder),
                     budget=Budget(None, 0.0), stop=Stop())  # fmt: skip
    with closing(events):
        for event in events:
            if isinstance(event, Finished):
                found.append(event.result)
                if len(found) == killed_at:
                    kill_workers()
            elif isinstance(event, Started):
                started.append(event.group.runs)
    return found, started


def kill_workers():
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()


def told(results):
    """What a search learns from its trials, whatever their data set is called."""
    return [(r.run.seed, r.status, r.stopped_by, r.weights_sha256, r.epochs, r.validation.log_loss) for r in results]


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "program"), [("sklearn", OWN_FIT), ("keras", FOUR)], ids=["sklearn", "keras"])
def test_a_trial_goes_on_among_the_best_that_have_come(tmp_path, framework, program):
    results, _ = train(tmp_path, group_of(trials(framework), program))
    assert {r.run for r in results} == set(trials(framework))
    assert all(r.test is None and {e.test_accuracy for e in r.epochs} == {None} for r in results)
    ended = {r.run.cell.training.learning_rate: (r.stopped_by, r.epochs_done) for r in results}
    assert ended[0.01] == ("epochs", 6)
    assert ended[0.001][0] == ended[0.0001][0] == "halving"
    by_seed = sorted(results, key=lambda r: r.run.seed)
    for epoch, others in HALVING.rungs:
        came = list(others)
        for result in by_seed:  # they come to a rung in their order
            if result.epochs_done >= epoch:
                came.append(mine := result.epochs[epoch - 1].validation_accuracy)
                better = sum(other > mine for other in came)
                assert (result.epochs_done > epoch) == (better < max(1, len(came) // 2))


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "program"), [("sklearn", OWN_FIT), ("keras", FOUR)], ids=["sklearn", "keras"])
def test_a_process_that_dies_changes_no_answer_and_gives_no_result_twice(tmp_path, framework, program):
    group = group_of(trials(framework), program)
    undisturbed, [whole] = train(tmp_path, group)
    again, starts = train(tmp_path, group, killed_at=1)
    assert sorted(told(again)) == sorted(told(undisturbed))
    assert starts[0] == whole == group.runs
    assert len(starts) == 1 or undisturbed[0].run not in starts[1]


@pytest.mark.slow
def test_noise_in_place_of_test_digits_changes_nothing_in_a_search(tmp_path):
    """Poison (rule M3): two data sets that differ in the test part alone, and in their names."""
    digits, random = catalog.load("digits", Path()), np.random.default_rng(1)
    n, size = digits.info.n_train, digits.info.n_test
    noise = random.integers(256, size=(size, *digits.info.image_shape), dtype=np.uint8)
    labels = random.integers(10, size=size, dtype=np.uint8)
    parts = {"digits": (digits.images[n:], digits.labels[n:]), "noise": (noise, labels)}
    found = {}
    for name, (x_test, y_test) in parts.items():
        npz = tmp_path / f"{name}.npz"
        np.savez(npz, x_train=digits.images[:n], y_train=digits.labels[:n], x_test=x_test, y_test=y_test)
        dataset = user_files.read(npz)
        user_files.keep(dataset, tmp_path)
        groups = [group_of(trials(framework, dataset.info.name, steps=steps), program)
                  for framework, program, steps in (
                      ("keras", FOUR, ("scale",)), ("sklearn", OWN_FIT, ("standardize", "pca:20")))]  # fmt: skip
        found[name], _ = train(tmp_path, *groups)
    assert told(found["digits"]) == told(found["noise"])
    assert {result.stopped_by for result in found["digits"]} == {"epochs", "halving"}


@pytest.mark.slow
def test_a_trial_without_validation_digits_is_not_given_up_and_other_roles_are_tested(tmp_path):
    unseen = group_of(trials("sklearn", validation=0.0)[3:], OWN_FIT, halving=Halving(2, ((2, (1.0, 1.0)),)))
    run = trials("sklearn")[3]  # the same prepared data but for the test part
    groups = group_of((run,), OWN_FIT), group_of((run,), OWN_FIT, "fresh", None)
    (whole, trial, fresh), _ = train(tmp_path, unseen, *groups)
    assert (whole.stopped_by, whole.validation, whole.test) == ("epochs", None, None)
    assert trial.test is None
    assert fresh.test is not None
