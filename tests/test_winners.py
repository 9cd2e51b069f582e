"""Searches of planted networks in a real store: what is read back is who won while it ran, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from mnistlab import resume
from mnistlab.asked import SearchAsked
from mnistlab.cli.tune import tuned_text
from mnistlab.datasets.catalog import DatasetInfo
from mnistlab.errors import ConfigurationError
from mnistlab.execution.local import Finished
from mnistlab.plan import cell_size
from mnistlab.price import Prices
from mnistlab.records import Environment, EpochRecord, Evaluation, Ledger, PartLabels, RunResult
from mnistlab.seeds import FRESH_SEEDS, first_search_seed
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study, load_space
from mnistlab.tuner import CONFIRMING
from mnistlab.winners import shown, tuned

SPACE = load_space({
    "name": "small", "dataset": "digits", "model": {"node_counts": [8, 16, 32, 64], "dropout": [0.0, 0.2]},
    "training": {"epochs": 9, "learning_rate": [0.001, 0.003, 0.01]},
})  # fmt: skip
CELLS = [SPACE.cell((0, width, dropout, 0, rate)) for width in range(4) for dropout in range(2) for rate in range(3)]
INFO = DatasetInfo("digits", (8, 8), ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"), 1438, 359)
ENVIRONMENT = Environment("3.11", "Linux", "a processor", 2, 1, "cpu", (), (), "ab" * 32, "0.1.0")
N = 1000


def score(cell):
    """0.95 at 32 and rate 0.003, in steps that a race sees."""
    steps = abs(np.log2(cell.architecture.hidden_layer_sizes[0] / 32)) + abs(
        np.log2(cell.training.learning_rate / 0.003)
    )
    return 0.95 - 0.02 * steps - 0.05 * cell.architecture.dropout


def evaluation(part, accuracy):
    labels = np.arange(N, dtype=np.uint8) % 10
    wrong = np.arange(N) >= round(N * accuracy)
    bins = (np.full(15, N // 15), np.full(15, 0.9), np.full(15, 0.9))
    digits = PartLabels("digits", part, 10, np.arange(N, dtype=np.int32), labels)
    return Evaluation(digits, np.where(wrong, (labels + 1) % 10, labels).astype(np.uint8), *[0.1] * 7, *bins)


class Lab:
    """Trains what tuners ask for in a store; some runs fail, diverge or collapse."""

    def __init__(self, path, asked=None, fate=lambda run: "done", seconds=lambda run: 9.0):
        self.asked, self.path = asked or SearchAsked(SPACE), path
        self.fate, self.seconds, self.name = fate, seconds, self.asked.study.name

    def tuner(self, **own):
        store = open_store(self.path)
        trials = store.trials(self.name) if self.name in store.study_names() else None
        self.pace = resume.pace_here({"digits": INFO}, trials, Prices(), "cpu")
        grounds, _ = resume.grounds_here(self.asked, {"digits": INFO}, self.pace, workers=1, device="cpu", notify=print)
        return resume.tuner_here(self.asked, grounds, store, {"digits": INFO},
                                 **{"sampler": "random", "trials": 12, **own})  # fmt: skip

    def drive(self, n_batches=100, **own):
        """Go on with the search for so many batches; the tuner as it is then."""
        tuner = self.tuner(**own)
        hear = self.pace.hearing(lambda _: None)
        with open_writer(self.path, holder="test") as writer:
            writer.withdraw_open_trials(self.name)
            for _ in range(n_batches):
                if not (batch := tuner.next(lambda runs: True)):
                    break
                cells = tuple(dict.fromkeys(run.cell for run in batch.runs))
                sizes = {cell.id: cell_size(cell, INFO) for cell in cells}
                writer.register_study(replace(self.asked.study, cells=cells), sizes, batch.runs, batch.role)
                for run in batch.runs:
                    result = self.result(run, batch.role)
                    writer.commit(result)
                    hear(Finished(result))
                    tuner.take(run, [epoch.validation_accuracy for epoch in result.epochs], result)
        return tuner

    def result(self, run, role):
        fate, ledger = self.fate(run), Ledger(steps_seconds=self.seconds(run), data_seconds=0.1)
        if fate in ("failed", "diverged"):
            return RunResult(run, fate, "population", ENVIRONMENT, ledger, reason="planted")
        noise = np.random.default_rng([run.seed, 1]).normal(0, 0.004)
        accuracy = 0.1 if fate == "collapsed" else round(score(run.cell) + noise, 3)
        epochs = tuple(EpochRecord(number, 0.1, 0.1, accuracy, None) for number in range(1, 10))
        test = evaluation("test", accuracy - 0.02) if role == "fresh" else None
        return RunResult(run, "done", "population", ENVIRONMENT, ledger, epochs_done=9, stopped_by="epochs",
                         epochs=epochs, test=test, validation=evaluation("validation", accuracy))  # fmt: skip

    def found(self):
        return tuned(open_store(self.path), self.name, self.asked)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.sqlite"


def same(found, tuner):
    """What was read is what the tuner holds."""
    assert [one.cell for one in found.winners] == [winner.cell for winner in tuner.winners]
    assert [one.is_confirmed for one in found.winners] == [winner.is_confirmed for winner in tuner.winners]
    assert [one.searched_accuracy.value for one in found.winners] == pytest.approx(
        [winner.searched_accuracy for winner in tuner.winners])  # fmt: skip
    assert set(found.undecided) == set(tuner.undecided)
    return True


@pytest.mark.parametrize("objective", ["accuracy", "accuracy,parameters", "accuracy,seconds"])
def test_whatever_has_been_trained_the_store_says_what_the_tuner_does(path, objective):
    lab = Lab(path, SearchAsked(SPACE, objective), seconds=lambda run: float(run.cell.training.learning_rate * 1000))
    seen = set()
    for _ in range(40):
        tuner = lab.drive(1)
        seen.add(tuner.phase)
        assert same(lab.found(), tuner)
        if tuner.phase == "end":
            break
    assert {"search", "race", "end"} <= seen
    assert all(one.is_confirmed for one in lab.found().winners)


def test_the_winner_is_the_planted_best_and_its_number_is_of_fresh_networks_alone(path):
    lab = Lab(path)
    lab.drive(trials=24)
    [winner] = lab.found().winners
    assert winner.cell == max(CELLS, key=score)
    expected = [lab.result(Run(winner.cell, FRESH_SEEDS + number), "fresh").test.accuracy for number in range(5)]
    assert (winner.accuracy.n, winner.accuracy.value) == (5, pytest.approx(np.mean(expected)))
    search = shown(open_store(path), lab.name)
    assert len(search.trials) == 24
    assert search.trials["number"].tolist() == list(range(1, 25))
    assert search.choices == ("width", "dropout", "learning_rate")
    assert set(search.trials["width"]) == {8, 16, 32, 64}
    assert search.candidates.loc[search.candidates["kept"], "cell"].unique().tolist() == [winner.cell.id]
    assert shown(open_store(path), "none") is None


def test_there_is_no_test_accuracy_before_all_fresh_networks_are_trained(path):
    lab = Lab(path)
    while not (trained := [run for run in statuses(lab) if run >= FRESH_SEEDS]):
        lab.drive(1)
    with open_writer(path, holder="test") as writer:  # two of the five are lost, as if it had been killed before
        ids = [id_ for id_, seed in runs_of(lab) if seed in (FRESH_SEEDS + 3, FRESH_SEEDS + 4)]
        writer.forget(ids)
    assert len(trained) == CONFIRMING
    [winner] = lab.found().winners
    assert (winner.is_confirmed, winner.accuracy.value, winner.fresh_validation_accuracy.n) == (False, None, 3)
    assert "Not all are confirmed yet" in tuned_text(lab.found(), "", "", 120)
    lab.drive()
    [winner] = lab.found().winners
    assert (winner.is_confirmed, winner.accuracy.n) == (True, 5)


def runs_of(lab):
    store = open_store(lab.path)
    return [(id_, store.run_detail(id_).run.seed) for id_ in store.statuses(lab.name)]


def statuses(lab):
    return [seed for id_, seed in runs_of(lab)] if lab.path.exists() else []


@pytest.mark.parametrize("fate", ["failed", "diverged", "collapsed"])
def test_a_network_of_the_race_that_comes_to_nothing_costs_its_cell_the_race_and_no_more(path, fate):
    best = max(CELLS, key=score)
    second = first_search_seed("tune-small") + 1
    lab = Lab(path, fate=lambda run: fate if run == Run(best, second) else "done")
    tuner = lab.drive(trials=24)
    assert tuner.phase == "end"
    [winner] = lab.found().winners
    assert same(lab.found(), tuner)
    assert winner.cell != best
    assert (winner.is_confirmed, winner.accuracy.n) == (True, 5)


@pytest.mark.parametrize(("fate", "counted"), [("diverged", (4, 1, 0)), ("collapsed", (5, 0, 1))])
def test_fresh_networks_that_come_to_nothing_are_counted(path, fate, counted):
    lab = Lab(path, fate=lambda run: fate if run.seed == FRESH_SEEDS + 2 else "done")
    lab.drive()
    [winner] = lab.found().winners
    assert (winner.accuracy.n, winner.n_lost, winner.n_collapsed) == counted
    assert winner.is_confirmed
    told = "it diverged" if fate == "diverged" else "learned nothing"
    assert told in tuned_text(lab.found(), "", "", 120)
    row = shown(open_store(path), lab.name).winners.iloc[0]
    assert (row["n_lost"], row["n_collapsed"]) == counted[1:]


def test_a_limit_of_seconds_holds_for_what_was_measured(path):
    """As predicted all were within it; the best took longer."""
    best = max(CELLS, key=score)
    lab = Lab(
        path, SearchAsked(SPACE, max_seconds_per_epoch=0.9), seconds=lambda run: 18.0 if run.cell == best else 0.9
    )
    lab.drive(trials=24)
    [winner] = lab.found().winners
    assert winner.cell != best
    assert winner.seconds_per_epoch == pytest.approx(0.1)


def test_memory_decides_what_is_tried_and_not_who_has_won(path, monkeypatch):
    lab = Lab(path)
    lab.drive(trials=24)
    before = lab.found()
    sizes = sorted({resume.run_bytes(cell, *resume._size_and_program(cell, {"digits": INFO}, "cpu"))
                    for cell in CELLS})  # fmt: skip
    monkeypatch.setattr("mnistlab.instruments.resources.available_bytes", lambda: sizes[0])
    tuner = lab.tuner()
    assert {choice.field: choice.values for choice in tuner.grounds.space.choices}["width"] == (8,)
    assert [winner.cell for winner in tuner.winners] == [one.cell for one in before.winners]
    monkeypatch.setattr("mnistlab.instruments.resources.available_bytes", lambda: sizes[0] - 1)
    with pytest.raises(ConfigurationError, match=r"one such network needs about 0\.\d GB of memory, 0\.\d GB are free"):
        lab.tuner()
    monkeypatch.setattr("mnistlab.instruments.resources.available_bytes", lambda: 3 * sizes[-1])
    pace = resume.pace_here({"digits": INFO}, None, Prices(), "cpu")
    _, workers = resume.grounds_here(lab.asked, {"digits": INFO}, pace, workers=8, device="cpu", notify=print)
    assert workers == 3


def test_a_search_that_is_forgotten_leaves_others_what_they_share(path):
    """Two searches of the same space whose winners are one: the fresh networks are of both."""
    first, second = Lab(path), Lab(path, SearchAsked(SPACE, max_parameters=100_000))
    first.drive(trials=24)
    second.drive(trials=24)
    assert [one.cell for one in first.found().winners] == [one.cell for one in second.found().winners]
    before = open_store(path).statuses(second.name)
    with open_writer(path, holder="test") as writer:
        writer.forget_search(first.name)
    store = open_store(path)
    assert store.statuses(first.name) == {}
    assert store.sizes(first.name) == []
    assert store.statuses(second.name) == before
    assert first.found().winners == ()
    first.drive(trials=24)
    assert [one.cell for one in first.found().winners] == [one.cell for one in second.found().winners]


def test_what_other_studies_found_is_told_to_the_sampler_and_their_fresh_networks_are_not(path):
    Lab(path, SearchAsked(SPACE, max_parameters=100_000)).drive(trials=24)
    tuner = Lab(path).tuner()
    known = {known.cell: known.accuracy for known in tuner.known}
    assert set(known) == set(CELLS)
    # Of one network each: the trial, and what a race added; fresh ones are 0.02 lower on test digits alone.
    seed = first_search_seed("tune-small-100000-parameters")
    lab = Lab(path)
    alone = [cell for cell in CELLS if known[cell] == lab.result(Run(cell, seed), "search").validation.accuracy]
    assert len(alone) >= 24 - 8


@pytest.mark.parametrize("fresh", [False, True])
def test_a_study_of_the_name_that_is_no_search_is_kept(path, fresh):
    with open_writer(path, holder="test") as writer:
        cell = Cell(Architecture((4,)), dataset="digits")
        writer.register_study(Study("tune-small", (cell,), (0,)), {cell.id: cell_size(cell, INFO)}, [Run(cell, 0)])
    with pytest.raises(ConfigurationError, match="the store holds a study of this name that is no search"):
        resume.check_may_go_on(SearchAsked(SPACE), open_store(path), fresh=fresh)


def test_choices_may_stand_in_another_order_and_not_be_others(path):
    Lab(path).drive(1)
    store = open_store(path)
    turned = replace(SPACE, choices=SPACE.choices[::-1])
    resume.check_may_go_on(SearchAsked(turned), store, fresh=False)
    other = load_space({"name": "small", "dataset": "digits", "model": {"node_counts": [8, 16]}})
    with pytest.raises(ConfigurationError, match="among other choices"):
        resume.check_may_go_on(SearchAsked(other), store, fresh=False)
    resume.check_may_go_on(SearchAsked(other), store, fresh=True)
