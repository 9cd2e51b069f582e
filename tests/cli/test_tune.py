"""`mnistlab tune` at work on a small space: what it prints, what it keeps, how it goes on."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

import mnistlab
from mnistlab.cli.tune import tuned_text
from mnistlab.datasets import catalog
from mnistlab.errors import ConfigurationError
from mnistlab.searches import Asked, search_in, tuned
from mnistlab.store.tables import open_store
from mnistlab.study import load_space

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
    assert 0 < document["seconds"] < 600


@pytest.mark.slow
def test_a_search_that_is_over_is_told_again_and_trains_nothing(searched, process):
    home, document = searched
    again = process(*WORDS, cwd=home).document
    assert {**again, "seconds": 0} == {**document, "seconds": 0}
    store = open_store(home / "results" / "mnistlab.sqlite")
    asked = search_in(store, document["study"])
    assert asked.max_parameters == 700
    text = tuned_text(tuned(store, asked), "", 200)
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


@pytest.mark.slow
def test_another_space_of_the_same_name_is_refused(searched, process):
    home, _ = searched
    (home / "other").mkdir()
    (home / "other" / "small.toml").write_text(SPACE.replace("0.003, 0.01", "0.003, 0.02"))
    refused = process(*WORDS[:2], "other/small.toml", *WORDS[3:], cwd=home)
    assert refused.status == 2
    assert "the store holds a search of this name among other choices" in refused.err
    assert refused.err.count("\n") == 1


def test_a_search_comes_back_from_the_store_as_it_was_asked_for(tmp_path):
    (tmp_path / "small.toml").write_text(SPACE + "[data]\nbatch_size = [32, 64]\n")
    asked = Asked(load_space(tmp_path / "small.toml"), "accuracy,parameters", 5_000, 0.5)

    class OneSearch:
        """A store that knows nothing else."""

        def tuning(self, study):
            assert study == "tune-small-5000-parameters-0.5-seconds-accuracy-parameters"
            return asked.to_json()

    assert search_in(OneSearch(), asked.study.name) == asked
    assert asked.words.endswith("--max-parameters 5000 --max-seconds-per-epoch 0.5 --objective accuracy,parameters")


def test_a_budget_of_nothing_is_refused_in_python_too(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--budget 0: a positive time is needed"):
        mnistlab.tune(budget=0)


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


@pytest.mark.slow
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
