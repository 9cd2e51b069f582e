"""Fair mode: the same budget of learning rates for every cell; its choice by arithmetic, and a real study of digits."""

import os
import signal
from dataclasses import replace

import pandas as pd
import pytest

import mnistlab
from mnistlab import fair
from mnistlab.asked import RatesAsked
from mnistlab.errors import ConfigurationError
from mnistlab.execution.local import Finished
from mnistlab.places import Places
from mnistlab.records import Role
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Run, Split, Training
from mnistlab.store.tables import open_store
from mnistlab.study import Study, load_config, until_decided

CELLS = tuple(Cell(Architecture((width,)), training=Training(learning_rate=0.01)) for width in (4, 16, 64))
STUDY = Study("widths", CELLS, (0, 1, 2), words="widths.toml")
OWN = fair.FACTORS.index(1.0)

# Five multiples of 0.02: 4 nodes learn nothing in six epochs at the lowest, 64 are best below the highest.
CONFIG = {
    "name": "widths",
    "dataset": "digits",
    "frameworks": ["sklearn"],
    "seeds": 3,
    "model": {"node_counts": [4, 64], "activations": ["relu", "tanh"]},
    "training": {"epochs": 6, "learning_rate": 0.02},
}


def accuracies_of(study, truth):
    """The accuracy of every trial by a function of its cell and its rate's place among the five."""
    return {Run(tried, seed).id: truth(cell, place) for cell in study.cells
            for place, tried in enumerate(fair.rates_of(cell)) for seed in fair.TRIAL_SEEDS}  # fmt: skip


def test_every_cell_has_as_many_trials_with_seeds_that_no_other_run_has():
    search = fair.search_of(STUDY)
    runs = search.runs
    assert len(runs) == len({run.id for run in runs}) == len(CELLS) * 5 * 2
    for cell in CELLS:
        own = [run for run in runs if run.cell.architecture == cell.architecture]
        rates = [0.01 * factor for factor in (1 / 16, 1 / 4, 1, 4, 16)]
        assert sorted(run.cell.training.learning_rate for run in own) == sorted(2 * rates)
        assert {replace(run.cell.training, learning_rate=0.01) for run in own} == {cell.training}
    assert all(SEARCH_SEEDS < seed < FRESH_SEEDS for seed in search.seeds)


def test_a_tuned_study_says_what_it_is_and_how_to_ask_for_it_again():
    study = fair.tuned(STUDY, "learning_rate")
    assert (study.name, study.words, study.cells, study.seeds) == (
        "widths-tuned", "widths.toml --tune learning_rate", CELLS, (0, 1, 2))  # fmt: skip
    assert study.asked == RatesAsked(
        "learning_rate", (0.0625, 0.25, 1.0, 4.0, 16.0), "widths", tuple(cell.id for cell in CELLS)
    )
    assert fair.untuned_words(study.words, "learning_rate") == STUDY.words
    assert fair.tuned(replace(STUDY, words=""), "learning_rate").words == ""


def test_each_cell_gets_the_rate_at_which_a_planted_world_has_its_peak():
    peaks = dict(zip(CELLS, (4, 1, 0), strict=True))
    found = fair.with_best_rates(STUDY, accuracies_of(STUDY, lambda cell, place: 0.9 - 0.01 * abs(place - peaks[cell])))
    assert found.cells == tuple(fair.rates_of(cell)[peaks[cell]] for cell in CELLS)
    assert (found.name, found.seeds) == (STUDY.name, STUDY.seeds)


@pytest.mark.parametrize(
    ("means", "best"),
    [
        ((0.9, 0.9, 0.9, 0.9, 0.9), OWN),
        ((0.9, 0.91, 0.9, 0.91, 0.9), 1),
        ((0.1, 0.1, 0.1, 0.1, 0.1), OWN),
        ((0.0, 0.1, 0.0, 0.0, 0.0), 1),
        ((0.5, 0.5, 0.5, 0.5, 0.50001), 4),
    ],
)
def test_of_equal_rates_the_own_comes_first_then_the_smaller(means, best):
    [cell] = fair.with_best_rates(replace(STUDY, cells=CELLS[:1]), accuracies_of(STUDY, lambda _, n: means[n])).cells
    assert cell == fair.rates_of(CELLS[0])[best]


def test_the_mean_over_the_seeds_counts():
    accuracies = accuracies_of(STUDY, lambda _, place: 0.9)
    lucky, steady = (fair.rates_of(CELLS[0])[place] for place in (0, 1))
    accuracies |= {Run(lucky, fair.TRIAL_SEEDS[0]).id: 0.99, Run(lucky, fair.TRIAL_SEEDS[1]).id: 0.1}
    accuracies |= {Run(steady, seed).id: 0.91 for seed in fair.TRIAL_SEEDS}
    assert fair.best_rate(CELLS[0], accuracies) == steady


def test_a_cell_waits_for_all_of_its_trials():
    accuracies = accuracies_of(STUDY, lambda _, place: 0.9)
    del accuracies[Run(fair.rates_of(CELLS[1])[3], fair.TRIAL_SEEDS[1]).id]
    assert fair.best_rate(CELLS[1], accuracies) is None
    assert fair.with_best_rates(STUDY, accuracies).cells == (CELLS[0], CELLS[2])


def test_what_diverged_counts_as_nothing_and_what_collapsed_as_what_it_reached():
    trials = pd.DataFrame({"run": ["a", "b", "c"], "status": ["done", "diverged", "done"],
                           "validation_accuracy": [0.97, float("nan"), 0.1]})  # fmt: skip
    assert fair.trial_accuracies(trials) == {"a": 0.97, "b": 0.0, "c": 0.1}


@pytest.mark.parametrize(
    ("study", "knob", "said"),
    [
        (STUDY, "width", "--tune width: only learning_rate can be tuned for every cell"),
        (STUDY, "learning-rate", "did you mean learning_rate"),
        (until_decided(STUDY, 0.002, 40), "learning_rate", "every cell gets the same seeds"),
        (replace(STUDY, cells=(replace(CELLS[0], split=Split(validation_fraction=0)),)), "learning_rate",
         "has no validation examples to choose by"),
        (replace(STUDY, cells=(*CELLS, fair.rates_of(CELLS[0])[0])), "learning_rate",
         'rate 0.01" and "1x4 relu, rate 0.000625" differ in their learning rate alone'),
        (replace(STUDY, cells=(replace(CELLS[0], training=Training(learning_rate=500)),)), "learning_rate",
         "would be tried with rate 2000"),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_refused(study, knob, said):
    with pytest.raises(ConfigurationError, match=said):
        fair.tuned(study, knob)


# A real study.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Places and both summaries: the study at its own rate and the tuned one, trained for real."""
    places = Places.find(home=tmp_path_factory.mktemp("home"), offline=True)
    plain = mnistlab.run(CONFIG, places=places, engine="reference")
    return places, plain, mnistlab.run(CONFIG, tune="learning_rate", places=places, engine="reference")


def roles(store, study):
    """The runs of a study by role: id → cell and seed."""
    found: dict[Role, dict] = {}
    for id_ in store.statuses(study):
        detail = store.run_detail(id_)
        role = "search" if detail.run.seed >= SEARCH_SEEDS else "common"
        found.setdefault(role, {})[id_] = detail
    return found


@pytest.mark.slow
def test_a_tuned_study_trains_the_same_budget_of_every_cell_and_no_test_digit_chooses(trained):
    places, plain, tuned = trained
    store, study = open_store(places.store), load_config(CONFIG)
    assert (plain.done, tuned.done, tuned.to_do, tuned.stopped, tuned.exit_status) == (12, 4 * (5 * 2 + 3), 0, None, 0)
    found = roles(store, "widths-tuned")
    assert set(found["search"]) == {run.id for run in fair.search_of(study).runs}
    assert all(detail.result.test is None for detail in found["search"].values())
    chosen = fair.with_best_rates(study, fair.trial_accuracies(store.trials("widths-tuned")))
    assert set(found["common"]) == {run.id for run in chosen.runs}
    assert store.cell_table("widths-tuned")["cell"].tolist() == [cell.id for cell in chosen.cells]
    assert store.studies()[-1].words == ""  # a dict: only Python can ask for it again


@pytest.mark.slow
def test_what_is_trained_is_not_trained_again(trained):
    places, _, tuned = trained
    told = []
    again = mnistlab.run(CONFIG, tune="learning_rate", places=places, engine="reference", on_event=told.append)
    assert (again.done, again.to_do) == (tuned.done, 0)
    assert {type(event).__name__ for event in told} == {"Plan"}
    assert mnistlab.plan(CONFIG, tune="learning_rate", places=places).to_do == 0


@pytest.mark.slow
def test_more_seeds_are_added_to_the_same_rates(trained):
    places = trained[0]
    planned = mnistlab.plan(CONFIG, seeds=4, tune="learning_rate", places=places, engine="reference")
    assert (planned.networks, planned.to_do) == (4 * 14, 4)


@pytest.mark.slow
def test_cells_with_other_rates_are_pairs_of_the_knob_they_differ_in(trained):
    places = trained[0]
    found = mnistlab.verdicts("widths-tuned", places=places)
    assert found.cells["learning_rate"].nunique() > 1
    assert found.rows["knob"].value_counts().to_dict() == {"width": 2, "activation": 2}
    known = mnistlab.answers.evidence("widths-tuned", places=places)
    assert set(known.sensitivity.effects["knob"]) == {"width", "activation"}
    assert known.sensitivity.method == "anova"
    shown = {each.exhibit.name: each for each in mnistlab.exhibits("widths-tuned", places=places)}
    assert len(shown["width"].table) == len(shown["activation"].table) == 4
    assert len(shown["fair-verdicts"].table) == 4
    assert shown["tuned-rates"].table["n"].tolist() == [2] * 4
    rows = mnistlab.results("widths-tuned", places=places).rows
    assert shown["tuned-rates"].table["rate"].tolist() == rows["learning_rate"].tolist()


@pytest.mark.slow
def test_the_report_of_a_tuned_study_says_what_changes_and_that_the_budget_is_equal(trained):
    page = mnistlab.report("widths-tuned", places=trained[0]).read_text(encoding="utf-8")
    assert "Which verdicts change when every cell has its own best learning rate?" in page
    assert "Which learning rate is best for each cell?" in page
    assert "all with the same budget: 2 networks at each of 5 rates" in page
    assert "A comparison of widths or depths holds at its learning rate" not in page
    plain = mnistlab.report("widths", places=trained[0]).read_text(encoding="utf-8")
    assert "No cell has a learning rate of its own" in plain


@pytest.mark.slow
def test_a_plain_study_does_not_take_the_place_of_a_tuned_one(trained):
    for fresh in (False, True):
        with pytest.raises(ConfigurationError, match="study widths-tuned: the store holds another of this name"):
            mnistlab.run({**CONFIG, "name": "widths-tuned"}, places=trained[0], fresh=fresh)


def test_a_tuned_study_is_priced_before_it_is_trained(tmp_path):
    places = Places.find(home=tmp_path, offline=True)
    planned = mnistlab.plan(CONFIG, tune="learning_rate", places=places)
    assert [cell.seeds for cell in planned.cells] == [cell.to_do for cell in planned.cells] == [13] * 4
    assert [cell.cell for cell in planned.cells] == list(load_config(CONFIG).cells)
    assert (planned.networks, planned.to_do) == (52, 52)
    assert planned.seconds.low < planned.seconds.value < planned.seconds.high
    assert planned.seconds.value > mnistlab.plan(CONFIG, places=places).seconds.value


def test_a_budget_of_nothing_trains_nothing_and_counts_all(tmp_path):
    places = Places.find(home=tmp_path, offline=True)
    summary = mnistlab.run(CONFIG, tune="learning_rate", budget=1e-6, places=places)
    assert (summary.done, summary.to_do, summary.stopped) == (0, 52, "budget")


def test_trials_of_a_rate_that_the_study_once_had_are_not_of_now():
    """The cells were tried around 0.04 before: what is a power of four times 0.01 is shared, up to the sixteenfold."""
    past = replace(STUDY, cells=tuple(fair.rates_of(cell)[3] for cell in CELLS))
    finished = {run.id for run in fair.search_of(past).runs}
    shared = len(CELLS) * 4 * 2
    assert fair.n_to_do(STUDY, finished, {}) == len(CELLS) * (5 * 2 + len(STUDY.seeds)) - shared
    accuracies = accuracies_of(past, lambda cell, place: 0.9)
    assert fair.trials_of(CELLS, accuracies) == set()
    assert fair.trials_of(past.cells, accuracies) == finished


def test_what_is_left_counts_networks_of_the_best_rate_alone():
    accuracies = accuracies_of(STUDY, lambda cell, place: 0.9 - 0.01 * abs(place - 4))
    finished = {run.id for run in fair.search_of(STUDY).runs}
    assert fair.n_to_do(STUDY, finished, accuracies) == len(CELLS) * 3
    others = finished | {run.id for run in STUDY.runs}  # at the study's own rate
    assert fair.n_to_do(STUDY, others, accuracies) == len(CELLS) * 3
    best = finished | {run.id for run in fair.with_best_rates(STUDY, accuracies).runs}
    assert fair.n_to_do(STUDY, best, accuracies) == 0
    missing = Run(fair.rates_of(CELLS[0])[0], fair.TRIAL_SEEDS[0])
    del accuracies[missing.id]
    assert fair.n_to_do(STUDY, best - {missing.id}, accuracies) == 1 + 3


@pytest.mark.ci
def test_begun_anew_it_spares_the_plain_study_and_is_shown_before_its_rates_are_tried(tmp_path):
    """The trials of two of four cells are there when the report is asked for."""
    places = Places.find(home=tmp_path, offline=True)
    plain = mnistlab.run(CONFIG, places=places, engine="reference")
    mnistlab.run(CONFIG, tune="learning_rate", places=places, engine="reference")
    told = []

    def stop_later(event):
        told.extend([event] if isinstance(event, Finished) else [])
        if len(told) == 2 * 5 * 2:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = mnistlab.run(
        CONFIG, tune="learning_rate", fresh=True, places=places, engine="reference", workers=1, on_event=stop_later
    )
    assert stopped.stopped == "interrupted"
    assert stopped.to_do > 0
    store = open_store(places.store)
    assert len(store.finished("widths")) == plain.done
    rates = {each.exhibit.name: each for each in mnistlab.exhibits("widths-tuned", places=places)}["tuned-rates"]
    assert set(rates.table["rates"].map(len)) <= {5}
    assert mnistlab.report("widths-tuned", places=places).exists()
