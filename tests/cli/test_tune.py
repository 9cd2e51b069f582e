"""`mnistlab tune` at work on a small space: what it prints, what it keeps, how it goes on."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import mnistlab
from mnistlab import fair
from mnistlab.asked import SearchAsked
from mnistlab.cli.tune import tuned_text
from mnistlab.datasets import catalog
from mnistlab.errors import ConfigurationError
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import load_config, load_space
from mnistlab.winners import tuned

SPACE = """
name = "small"
dataset = "digits"
[model]
node_counts = [4, 8, 16]
dropout = [0.0, 0.2]
[training]
epochs = 9
learning_rate = [0.003, 0.01]
"""


WORDS = ("tune", "--space", "small.toml", "--max-parameters", "700", "--trials", "6", "--json")


@pytest.fixture(scope="module")
def searched(tmp_path_factory, process):
    """Where a search has been, of cells of up to 700 parameters, and what it said."""
    home = tmp_path_factory.mktemp("tune")
    (home / "small.toml").write_text(SPACE)
    return home, process(*WORDS, cwd=home).document


@pytest.mark.slow
def test_the_answer_keeps_the_contract_and_the_limit(searched):
    _, document = searched
    winner = document["winner"]
    assert document["trials"] == 6
    assert document["networks"] >= 6 + 5
    assert winner["parameters"] <= 700
    assert document["pareto"] == [winner]
    assert (winner["accuracy"]["kind"], winner["accuracy"]["n"]) == ("crossed", 5)
    quoted, fresh = (winner[name]["value"] for name in ("searched_accuracy", "fresh_validation_accuracy"))
    assert winner["optimism"]["value"] == pytest.approx(quoted - fresh)
    assert document["seconds"] > 0


@pytest.mark.slow
def test_a_search_that_is_over_is_told_again_and_trains_nothing(searched, process):
    home, document = searched
    again = process(*WORDS, cwd=home).document
    assert {**again, "seconds": 0} == {**document, "seconds": 0}
    store = open_store(home / "results" / "mnistlab.sqlite")
    asked = store.asked(document["study"])
    assert asked.max_parameters == 700
    text = tuned_text(tuned(store, document["study"], asked), "", "", 200)
    assert "part in the choice" in text
    assert document["winner"]["label"] in text


@pytest.mark.slow
def test_status_and_results_tell_of_a_search_what_there_is_to_tell(searched, process):
    home, document = searched
    [row] = process("results", document["study"], "--json", cwd=home).document["rows"]
    assert (row["cell"], row["seeds"]) == (document["winner"]["cell"], 5)
    assert row["accuracy"] == document["winner"]["accuracy"]
    [study] = process("status", "--json", cwd=home).document["studies"]
    assert study["done"] == document["networks"]
    assert process("report", cwd=home).status == 0


def test_a_study_of_the_name_that_is_no_search_is_refused_and_kept(home, mnistlab):
    (home / "tune-small.toml").write_text(PLAIN)
    (home / "small.toml").write_text(SPACE)
    assert mnistlab("run", "tune-small.toml").status == 0
    for more in ([], ["--fresh"]):
        refused = mnistlab("tune", "--space", "small.toml", "--trials", 3, *more)
        assert refused.status == 2
        assert "study tune-small: the store holds a study of this name that is no search" in refused.err
    assert mnistlab("status", "--json").document["studies"][0]["done"] == 1


@pytest.mark.parametrize(("flags", "line"), [
    (["--workers", "0"], "--workers 0: a whole number of 1 or more is needed"),
    (["--workers", "-1"], "--workers -1: a whole number of 1 or more is needed"),
    (["--trials", "0"], "--trials 0: at least 1 is needed"),
    (["--max-parameters", "0"], "--max-parameters 0: a whole number of 1 or more is needed"),
    (["--max-parameters", "10"], "--max-parameters 10: the smallest network of the space has 310 parameters"),
    (["--max-seconds-per-epoch", "0"], "--max-seconds-per-epoch 0: a positive time is needed"),
    (["--max-seconds-per-epoch", "0.0000001"], "--max-seconds-per-epoch 1e-07: the fastest network of the space takes"),
    (["--objective", "size"], "--objective size: one of accuracy | accuracy,parameters | accuracy,seconds is needed"),
    (["--budget", "0"], "--budget 0: a positive time is needed"),
    (["--sampler", "bayes"], "--sampler bayes: no such sampler"),
    (["--dataset", "nodata"], "nodata"),
])  # fmt: skip
def test_what_cannot_be_searched_is_said_in_one_line(home, mnistlab, flags, line):
    (home / "small.toml").write_text(SPACE)
    refused = mnistlab("tune", "--space", "small.toml", *flags)
    assert refused.status == 2
    assert line in refused.err
    assert refused.err.count("\n") == 1
    assert not (home / "results").exists()


@pytest.mark.parametrize(("space", "line"), [
    ("[model]\nnode_counts = []", "model.node_counts []: at least one value is needed"),
    ("[model]\nnodes = [8]", "model.nodes: unknown key"),
    ("[training]\nlearning_rat = [0.1]", "training.learning_rat: unknown key (did you mean learning_rate?)"),
    ("", "small.toml: it is empty"),
    ("[[cell]]\nhidden_layer_sizes = [8]", "cell: a space has none"),
    ('features = [["hog"]]\ndataset = "digits"\n[model]\nnode_counts = [8]\n[training]\nrotation = 5.0',
     "only images are deformed"),
])  # fmt: skip
def test_a_space_that_is_none_is_refused_in_one_line(home, mnistlab, space, line):
    (home / "small.toml").write_text(space)
    refused = mnistlab("tune", "--space", "small.toml", "--trials", 3)
    assert refused.status == 2
    assert line in refused.err
    assert refused.err.count("\n") == 1


def test_searches_and_tuned_studies_without_a_finished_trial_are_shown(home, mnistlab):
    """Stopped before the first network ended: all there is is the study's name and what was asked for."""
    (home / "small.toml").write_text(SPACE)
    asked, tuned_study = (
        SearchAsked(load_space("small.toml")).on("digits"),
        fair.tuned(load_config("factors"), "learning_rate"),
    )
    with open_writer(home / "results" / "mnistlab.sqlite", holder="test") as writer:
        for study in (asked.study, tuned_study):
            writer.register_study(replace(study, cells=()), {}, [], "search")
    for name in ("tune-small", "factors-tuned"):
        assert mnistlab("report", name).status == 0
        assert mnistlab("results", name, "--json").document["rows"] == []


@pytest.mark.slow
def test_another_space_of_the_same_name_is_refused(searched, process):
    home, _ = searched
    (home / "other").mkdir()
    (home / "other" / "small.toml").write_text(SPACE.replace("0.003, 0.01", "0.003, 0.02"))
    refused = process(*WORDS[:2], "other/small.toml", *WORDS[3:], cwd=home)
    assert refused.status == 2
    assert "the store holds a search of this name among other choices" in refused.err
    assert refused.err.count("\n") == 1


def test_a_budget_of_nothing_is_refused_in_python_too(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--budget 0: a positive time is needed"):
        mnistlab.tune(budget=0)


PLAIN = """
seeds = 1
[[cell]]
dataset = "digits"
framework = "sklearn"
hidden_layer_sizes = [4]
training.epochs = 2
"""
TOLD = """SELECT replace(label, dataset, ''), seed, role, stopped_by, weights_sha256 FROM run
          JOIN study_run ON run = run.id JOIN cell ON cell.id = run.cell ORDER BY finished_at"""
OWN = """
name = "own"
dataset = "own.npz"
[model]
node_counts = [8, 16]
dropout = [0.0, 0.2]
[training]
epochs = 9
learning_rate = [0.003, 0.01]
"""


@pytest.mark.ci
def test_other_test_digits_change_nothing_before_the_last_network_is_confirmed(tmp_path, process):
    """Trained twice, the second time with noise for test digits: the same trials, given up alike, the same weights."""
    digits = catalog.load("digits", tmp_path)
    n_train, noise = digits.info.n_train, np.random.default_rng(3)
    trials = []
    for poison in (False, True):
        images, labels = digits.images.copy(), digits.labels.copy()
        if poison:
            images[n_train:] = noise.integers(0, 17, images[n_train:].shape)
            labels[n_train:] = noise.permutation(labels[n_train:])
        home = tmp_path / f"poison {poison}"
        home.mkdir()
        np.savez(home / "own.npz", x_train=images[:n_train], y_train=labels[:n_train], x_test=images[n_train:],
                 y_test=labels[n_train:])  # fmt: skip
        (home / "own.toml").write_text(OWN)
        found = process("tune", "--space", "own.toml", "--trials", 6, "--workers", 1, "--json", cwd=home).document
        with closing(sqlite3.connect(home / "results" / "mnistlab.sqlite")) as shell:
            trials.append(shell.execute(TOLD).fetchall())
        accuracy = found["winner"]["accuracy"]["value"]
        assert accuracy < 0.3 if poison else accuracy > 0.8
    assert trials[0] == trials[1]
    assert {role for _, _, role, *_ in trials[0]} == {"search", "fresh"}
