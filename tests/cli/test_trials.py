"""Trials of a search on the command line: shown as what they are, in no table; trained again where that is possible."""

import shlex
from pathlib import Path

import pytest

from mnistlab.datasets import catalog
from mnistlab.engines.programs import Program
from mnistlab.engines.sklearn_engine import SklearnEngine
from mnistlab.instruments.environment import describe
from mnistlab.plan import cell_size
from mnistlab.preprocessing import prepare
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Run, Training
from mnistlab.store.writer import open_writer
from mnistlab.study import Study

CELL = Cell(Architecture((8,)), dataset="digits", framework="sklearn", training=Training(epochs=3))
WHOLE, HALVED, WAITING = (Run(CELL, SEARCH_SEEDS + number) for number in range(3))
FRESH, FRESH_WAITING = (Run(CELL, FRESH_SEEDS + number) for number in range(2))


@pytest.fixture
def searched(home):
    """The current store holds a search: a trial trained to its end, one given up, one to come. The fixture adds
    a fresh run when it is called."""
    dataset, program = catalog.load("digits", Path()), Program("reference", "MLPClassifier.fit")
    here = describe(device="cpu", threads=1, data_sha256=dataset.sha256)

    def trained(run, goes_on=lambda run, record: True):
        data = prepare(dataset, CELL.split, CELL.features, run.seed, test=run is FRESH)
        return next(SklearnEngine().train([run], program, lambda _: data, here, goes_on))

    study, sizes = Study("mine", (CELL,), (FRESH.seed,)), {CELL.id: cell_size(CELL, dataset.info)}

    def add(role, runs, *results):
        with open_writer(home / "results" / "mnistlab.sqlite", holder="test") as writer:
            writer.register_study(study, sizes, runs, role)
            writer.commit(*results)

    given_up = trained(HALVED, lambda run, record: record.epoch < 2)
    add("search", [WHOLE, HALVED, WAITING], trained(WHOLE), given_up)
    return lambda: add("fresh", [FRESH, FRESH_WAITING], trained(FRESH))


def test_a_trial_is_shown_as_one_without_a_word_of_test_digits(mnistlab, searched):
    told = mnistlab("show", WHOLE.id)
    assert "a trial of a search: it has seen no test digit" in told.out
    assert "\ntest:" not in told.out
    assert "test accuracy" not in told.out
    assert "\nvalidation: " in told.out
    shown = mnistlab("show", WHOLE.id, "--json").document
    assert (shown["role"], shown["test"], shown["status"]) == ("search", None, "done")
    assert {epoch["test_accuracy"] for epoch in shown["epochs"]} == {None}
    assert mnistlab("results", "mine", "--json").document["rows"] == []
    assert mnistlab("status", "mine", "--json").document["studies"][0]["done"] == 2
    assert mnistlab("compare", CELL.id, CELL.id).status == 2


@pytest.mark.parametrize("run", [HALVED, WAITING, FRESH_WAITING], ids=["given up", "to come", "fresh, to come"])
def test_what_its_search_alone_decides_no_command_repeats(mnistlab, searched, run):
    searched()
    why = "its search alone decides what is trained, no command repeats one by itself"
    assert f"Repeat it: {why}." in mnistlab("show", run.id).out
    assert mnistlab("show", run.id, "--json").document["command"] is None
    refused = mnistlab("show", run.id, "--command")
    assert (refused.status, refused.err) == (2, f"mnistlab: error: run {run.id}: {why}\n")


def test_a_trial_that_was_given_up_cannot_be_exported(mnistlab, searched):
    refused = mnistlab("export", HALVED.id, "--format", "keras")
    why = "a trial, given up after 2 of 3 epochs: it cannot be trained again by itself"
    assert (refused.status, refused.out, refused.err) == (2, "", f"mnistlab: error: run {HALVED.id}: {why}\n")


@pytest.mark.slow
@pytest.mark.parametrize("run", [WHOLE, FRESH], ids=["trial", "fresh"])
def test_the_command_of_a_seed_that_no_study_can_ask_for_trains_the_same_bits_again(
    mnistlab, process, home, searched, run
):
    searched()
    words = shlex.split(mnistlab("show", run.id, "--command").out)
    assert words == ["mnistlab", "export", run.id, "--format", "keras"]
    answer = process(*words[1:], cwd=home)
    assert (answer.status, "it is trained again" in answer.err) == (0, True)
