"""The tuner driven by simulated networks of known accuracy: who is tried, raced, confirmed, and what is quoted."""

import doctest
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mnistlab import tuner as tuner_module
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, companions
from mnistlab.errors import ConfigurationError
from mnistlab.grounds import Limits, grounds_of
from mnistlab.sampling import new_sampler
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Run
from mnistlab.study import load_space
from mnistlab.tuner import CANDIDATES, CONFIRMING, LOOKS, MEMBERS, SIDE_BY_SIDE, Tuner
from mnistlab.tuning import Known, Trained, survives

SPACE = load_space({"model": {"node_counts": [8, 16, 32, 64, 128], "layer_depths": [1, 2], "dropout": [0.0, 0.1, 0.2]},
                    "training": {"learning_rate": [0.0005, 0.001, 0.002, 0.004], "epochs": 9}})  # fmt: skip


def parameters(cell):
    return cell.architecture.parameters(784, 10)


def quality(cell):
    """0.98 at 64-64 and rate 0.002; a step off costs what the race can see."""
    width, depth = cell.architecture.hidden_layer_sizes[0], cell.architecture.depth
    return 0.98 - 0.004 * abs(np.log2(width / 64)) - 0.005 * (depth == 1) - 0.004 * abs(
        np.log2(cell.training.learning_rate / 0.002)) - 0.03 * cell.architecture.dropout  # fmt: skip


class Lab:
    """Stands for engines and store: what a network scores, what has been trained, what it has cost in epochs."""

    def __init__(self, score=quality, budget=np.inf, seed=0):
        self.score, self.budget, self.rng = score, budget, np.random.default_rng(seed)
        self.spent, self.store, self.batches, self.out = 0, [], [], []

    def fits(self, runs):
        waiting = sum(run.cell.training.epochs for batch in self.out for run in batch.runs)
        return self.spent + waiting + sum(run.cell.training.epochs for run in runs) <= self.budget

    def train(self, batch):
        self.batches.append(batch)
        curves = {run: self.curve(run) for run in batch.runs}
        alive = {run for run in batch.runs if curves[run]}
        for rung, others in batch.halving.rungs if batch.halving else ():
            here = {run: curves[run][rung - 1] for run in alive}
            for run, own in here.items():
                if not survives(own, [*others, *(here[mate] for mate in here if mate != run)], batch.halving.factor):
                    curves[run] = curves[run][:rung]
                    alive = alive - {run}
        for run, curve in curves.items():
            self.spent += len(curve)
            yield Trained(run, tuple(curve), curve[-1] if curve else None, bool(curve) and run not in alive)

    def curve(self, run):
        last = self.score(run.cell)
        if last is None:
            return []
        # The digits of a seed are the same for every cell.
        last += np.random.default_rng(run.seed).normal(0, 0.002) + self.rng.normal(0, 0.001)
        return [last - 0.05 / epoch for epoch in range(1, run.cell.training.epochs)] + [last]

    def drive(self, tuner, workers=1, batches=np.inf):
        """Train until nothing is left, or so many batches came; with several workers results come late."""
        while len(self.batches) < batches:
            while len(self.out) < workers and (batch := tuner.next(self.fits)):
                self.out.append(batch)
            if not self.out:
                break
            for trained in self.train(self.out.pop(0)):
                self.store.append(trained)
                tuner.know(trained)
        return tuner


def tuner_of(space=SPACE, sampler="random", objective="accuracy", seed=0, limits=None, **own):
    limits = limits or Limits(parameters, lambda cell: parameters(cell) / 1000)
    grounds = grounds_of(space, limits, shape=lambda cell: companions(Run(cell, 0), SEEDS_OF_ONE_CELL), seed=seed)
    return Tuner(grounds, new_sampler(sampler, grounds, two_objectives=objective != "accuracy"), objective, **own)


def runs_of(lab):
    return [trained.run for trained in lab.store]


def fresh_runs(lab):
    return [run for run in runs_of(lab) if run.seed >= FRESH_SEEDS]


def test_the_example_of_its_class_holds():
    assert doctest.testmod(tuner_module).failed == 0
    assert doctest.testmod(tuner_module).attempted > 5


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_it_finds_the_planted_best_and_confirms_it_with_fresh_seeds(sampler, workers):
    lab = Lab()
    tuner = lab.drive(tuner_of(sampler=sampler, trials=120), workers)
    [winner] = tuner.winners
    assert winner.cell == max((cell for cell in {run.cell for run in runs_of(lab)}), key=quality)
    assert winner.is_confirmed
    assert tuner.phase == "end"
    assert fresh_runs(lab) == [Run(winner.cell, FRESH_SEEDS + index) for index in range(CONFIRMING)]
    assert len(runs_of(lab)) == len(set(runs_of(lab)))
    assert len(tuner.tried) == 120


def test_batches_hold_one_shape_a_role_and_no_more_than_a_cohort():
    lab = Lab()
    lab.drive(tuner_of(trials=60), workers=2)
    for batch in lab.batches:
        assert len({companions(run, SEEDS_OF_ONE_CELL) for run in batch.runs}) == 1
        assert 1 <= len(batch.runs) <= (MEMBERS if batch.halving else SIDE_BY_SIDE)
        seeds = {run.seed for run in batch.runs}
        assert batch.role == ("fresh" if min(seeds) >= FRESH_SEEDS else "search")
        assert (batch.halving is not None) == (seeds == {SEARCH_SEEDS})


def test_halving_asks_after_a_ninth_and_a_third_and_keeps_a_third():
    lab = Lab(score=lambda cell: 0.9 + 0.05 * lab.rng.random())
    tuner = tuner_of(trials=120)
    lab.drive(tuner)
    rungs = [tuple(epoch for epoch, _ in batch.halving.rungs) for batch in lab.batches if batch.halving]
    assert set(rungs) == {(1, 3)}
    lengths = [len(trained.curve) for trained in tuner.tried]
    assert 0.25 < np.mean([length > 1 for length in lengths]) < 0.45
    assert 0.06 < np.mean([length > 3 for length in lengths]) < 0.25
    last = lab.batches[[batch.halving is not None for batch in lab.batches].index(False) - 1]
    assert len(last.halving.rungs[0][1]) == 120 - len(last.runs)


@pytest.mark.parametrize("epochs", [(1, ()), (2, (1,)), (3, (1,)), (4, (1, 2)), (12, (2, 4)), (60, (7, 20))])
def test_rungs_lie_within_the_epochs(epochs):
    asked, expected = epochs
    space = load_space({"model": {"node_counts": [8, 16]}, "training": {"epochs": asked}})
    halving = tuner_of(space).next(lambda runs: True).halving
    assert (tuple(epoch for epoch, _ in halving.rungs) if halving else ()) == expected


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_what_was_interrupted_goes_on_and_repeats_nothing(share):
    whole = Lab()
    whole.drive(tuner_of(trials=60), workers=2)
    lab = Lab()
    lab.drive(tuner_of(trials=60), workers=2, batches=round(share * len(whole.batches)))
    lab.out.clear()  # what was being trained is lost
    kept = len(lab.store)
    again = tuner_of(trials=60, done=tuple(lab.store), seed=1)
    lab.drive(again, workers=2)
    assert len(runs_of(lab)) == len(set(runs_of(lab))) > kept
    assert len(again.tried) == 60
    [winner] = again.winners
    assert winner.is_confirmed
    # Nothing is left to do for a third.
    assert tuner_of(trials=60, done=tuple(lab.store), seed=2).next(lambda runs: True) is None


def test_the_race_gives_seeds_to_those_that_are_open_alone():
    scores = {0.0005: 0.96, 0.001: 0.97, 0.002: 0.98, 0.004: 0.9785}
    space = load_space({"training": {"learning_rate": list(scores), "epochs": 1}})
    seeds = Counter()
    for seed in range(8):
        lab = Lab(score=lambda cell: scores[cell.training.learning_rate], seed=seed)
        [winner] = lab.drive(tuner_of(space)).winners
        own = Counter(run.cell.training.learning_rate for run in runs_of(lab) if run.seed < FRESH_SEEDS)
        assert own[winner.cell.training.learning_rate] == len(winner.searched) == max(own.values()) <= LOOKS[-1]
        seeds += own
    assert seeds[0.0005] == 8 * LOOKS[0]  # worse at the first look, every time
    assert 2 * (seeds[0.001] - 8 * LOOKS[0]) < seeds[0.004] - 8 * LOOKS[0]


def test_no_more_than_so_many_race():
    lab = Lab(score=lambda cell: 0.98)
    lab.drive(tuner_of(trials=120))
    assert len({run.cell for run in runs_of(lab) if run.seed > SEARCH_SEEDS}) == CANDIDATES


def test_of_equal_networks_the_smaller_wins():
    space = load_space({"model": {"node_counts": [16, 64, 256]}, "training": {"epochs": 3}})
    lab = Lab(score=lambda cell: 0.98)
    lab.curve = lambda run: [0.9, 0.95, 0.98 + np.random.default_rng(run.seed).normal(0, 0.002)
                             + lab.rng.normal(0, 1e-4)]  # fmt: skip
    winners = lab.drive(tuner_of(space, sampler="grid")).winners
    assert [winner.cell.label for winner in winners] == ["1x16 relu, 3 epochs"]


def test_networks_that_fail_or_collapse_never_win():
    def score(cell):
        return None if cell.training.learning_rate == 0.004 else quality(cell)

    lab = Lab(score)
    unsteady = {"cell": None}
    plain = lab.curve

    def curve(run):
        if run.seed == SEARCH_SEEDS and run.cell.architecture.hidden_layer_sizes == (64, 64):
            unsteady["cell"] = run.cell
        own = plain(run)
        collapses = SEARCH_SEEDS < run.seed < FRESH_SEEDS and run.cell.architecture.hidden_layer_sizes == (64, 64)
        return [0.1135] * len(own) if collapses else own

    lab.curve = curve
    [winner] = lab.drive(tuner_of(sampler="grid")).winners
    assert unsteady["cell"] is not None
    assert winner.cell.architecture.hidden_layer_sizes != (64, 64)
    assert winner.cell.training.learning_rate == 0.002


def test_where_no_network_comes_of_any_trial_there_is_no_winner():
    tuner = Lab(score=lambda cell: None).drive(tuner_of(trials=20))
    assert tuner.winners == ()
    assert tuner.phase == "end"


@pytest.mark.parametrize("budget", [150, 500, 1500])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_leaves_room_for_race_and_confirmation(budget, workers):
    lab = Lab(budget=budget)
    space = load_space({"model": {"node_counts": [8, 16, 23, 32, 45, 64, 91, 128], "layer_depths": [1, 2, 3]},
                        "training": {"learning_rate": [n / 1e4 for n in range(5, 100)], "epochs": 9}})  # fmt: skip
    [winner] = lab.drive(tuner_of(space), workers).winners
    assert lab.spent <= budget
    assert winner.is_confirmed
    searched = sum(len(trained.curve) for trained in lab.store if trained.run.seed == SEARCH_SEEDS)
    assert 0.4 < searched / budget < 0.85 or budget == 150  # of which a cohort is a third
    assert len(winner.searched) >= 3 or budget == 150


def test_a_budget_in_which_nothing_fits_trains_nothing():
    lab = Lab(budget=5)
    tuner = lab.drive(tuner_of())
    assert (lab.store, tuner.winners, tuner.phase) == ([], (), "end")


@pytest.mark.parametrize("objective", ["accuracy,parameters", "accuracy,seconds"])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_of_two_objectives_every_cell_on_the_front_is_confirmed(objective, sampler):
    space = load_space({"model": {"node_counts": [8, 16, 32, 64, 128, 256]},
                        "training": {"epochs": 9, "learning_rate": [0.001, 0.002]}})  # fmt: skip
    lab = Lab(score=lambda cell: 0.98 - 0.4 / cell.architecture.hidden_layer_sizes[0]
              - 0.01 * (cell.training.learning_rate == 0.001))  # fmt: skip
    winners = lab.drive(tuner_of(space, sampler, objective, trials=12), workers=2).winners
    widths = [winner.cell.architecture.hidden_layer_sizes[0] for winner in winners]
    assert 3 <= len(widths) <= 6
    assert widths == sorted(set(widths))
    assert {winner.cell.training.learning_rate for winner in winners} == {0.002}
    assert all(winner.is_confirmed for winner in winners)
    assert all(one.searched_accuracy < other.searched_accuracy for one, other in pairwise(winners))


def test_known_cells_teach_the_sampler_and_may_still_win():
    lab = Lab()
    known = tuple(Known(cell, quality(cell)) for cell in new_sampler("random", tuner_of().grounds).propose(5))
    foreign = Known(load_space({"model": {"node_counts": 999}}).cell((0,)), 1.0)
    best = SPACE.cell((3, 1, 0, 2, 0))
    assert quality(best) == 0.98
    tuner = tuner_of(sampler="tpe", trials=60, known=(*known, foreign, Known(best, 0.98)))
    assert [winner.cell for winner in lab.drive(tuner).winners] == [best]


def test_optimism_is_what_the_search_quotes_less_what_fresh_networks_score():
    [winner] = Lab().drive(tuner_of(trials=30)).winners
    optimism = winner.optimism
    assert optimism.value == pytest.approx(winner.searched_accuracy - np.mean(winner.fresh))
    assert (optimism.n, optimism.kind) == (CONFIRMING, "t")
    assert optimism.low < optimism.value < optimism.high


@pytest.mark.parametrize(("own", "line"), [
    ({"trials": 0}, "--trials 0: at least 1 is needed"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_one_line(own, line):
    with pytest.raises(ConfigurationError) as caught:
        tuner_of(**own)
    assert str(caught.value) == line


def test_a_cell_that_turns_out_slower_than_the_limit_does_not_win():
    """Predicted at half a second an epoch, measured at one for the widest."""
    measured = {}
    limits = Limits(parameters, lambda cell: measured.get(cell, 0.5), max_seconds_per_epoch=0.6)
    grounds = grounds_of(SPACE, limits, shape=lambda cell: companions(Run(cell, 0), SEEDS_OF_ONE_CELL))
    tuner, lab = Tuner(grounds, new_sampler("random", grounds), trials=60), Lab()
    while batch := tuner.next(lab.fits):
        for trained in lab.train(batch):
            wide = trained.run.cell.architecture.hidden_layer_sizes[0] >= 64
            measured[trained.run.cell] = 1.0 if wide else 0.5
            tuner.know(trained)
    [winner] = tuner.winners
    assert winner.is_confirmed
    assert winner.cell.architecture.hidden_layer_sizes[0] == 32


def test_a_fresh_network_that_diverged_is_counted_and_the_others_confirm():
    lab, tuner = Lab(), tuner_of(trials=10)
    while batch := tuner.next(lab.fits):
        for trained in lab.train(batch):
            lost = trained.run.seed == FRESH_SEEDS + 1
            tuner.know(replace(trained, accuracy=None) if lost else trained)
    [winner] = tuner.winners
    assert (len(winner.fresh), winner.n_lost, winner.is_confirmed) == (CONFIRMING - 1, 1, True)


def test_who_won_does_not_depend_on_the_order_in_which_networks_ended():
    lab = Lab(score=lambda cell: 0.9)  # all alike, so that every place in the race is a tie
    done = []
    tuner = tuner_of(trials=40)
    while batch := tuner.next(lab.fits):
        for trained in lab.train(batch):
            trained = replace(trained, accuracy=round(trained.accuracy or 0, 3))
            done.append(trained)
            tuner.know(trained)
    again = tuner_of(trials=40, done=tuple(reversed(done)))
    assert [(w.cell, w.is_confirmed) for w in again.winners] == [(w.cell, True) for w in tuner.winners]


# The winner's curse

N_STUDIES, N_CELLS, VALIDATION, TEST = 300, 90, 6_000, 10_000


class CursedLab(Lab):
    """All cells are equal: seeds are worth a tenth of a point, and every seed has validation digits of its own."""

    def __init__(self, errors, rng):
        super().__init__()
        self.errors, self.rng, self.digits, self.networks = errors, rng, {}, {}

    def train(self, batch):
        for run in batch.runs:
            own = self.digits.setdefault(run.seed, self.rng.choice(self.errors, VALIDATION, replace=False))
            self.networks[run] = self.rng.normal(0, 0.001)
            yield Trained(run, (0.9,) * 8 + (accuracy := self.right(run, own),), accuracy)

    def right(self, run, errors):
        """The share of digits, with these chances of an error, that a trained network classifies right."""
        drawn = self.rng.random(len(errors), dtype=np.float32)
        return float((drawn >= errors + self.networks[run]).mean())


@pytest.mark.ci
def test_among_equal_cells_the_best_trial_looks_better_than_it_is_and_the_quoted_number_does_not():
    rng = np.random.default_rng(8)
    # Few digits are hard; the seeds' part never leaves [0, 1].
    pool, test = (0.004 + 0.9 * rng.beta(0.02, 0.9, n) for n in (54_000, TEST))
    space = load_space({"model": {"node_counts": list(range(20, 50))},
                        "training": {"learning_rate": [0.001, 0.002, 0.003], "epochs": 9}})  # fmt: skip
    naive, lucky, raced, fresh, optimism, quoted = [], [], [], [], [], []
    for study in range(N_STUDIES):
        lab = CursedLab(pool, rng)
        tuner = lab.drive(tuner_of(space, "grid", seed=study))
        [winner] = tuner.winners
        assert len(tuner.tried) == N_CELLS
        truth = 1 - lab.digits[SEARCH_SEEDS].mean()
        best = max(tuner.tried, key=lambda trained: trained.accuracy)
        naive.append(best.accuracy - truth)
        lucky.append(lab.right(best.run, test) - (1 - test.mean()))
        raced.append(winner.searched_accuracy - (1 - pool.mean()))
        fresh.append(np.mean(winner.fresh) - (1 - pool.mean()))
        optimism.append(winner.optimism)
        # What is quoted: the mean on test digits over the networks with fresh seeds.
        confirming = [Run(winner.cell, FRESH_SEEDS + number) for number in range(CONFIRMING)]
        quoted.append(np.mean([lab.right(run, test) for run in confirming]) - (1 - test.mean()))
    # The interval of what was quoted too much holds what truly was.
    held = np.mean([one.low <= true <= one.high for one, true in zip(optimism, raced, strict=True)])
    assert 0.91 < held < 0.98
    points = 100 * np.array([np.mean(naive), np.mean(raced), np.mean(fresh), np.mean(quoted), np.mean(lucky)])
    assert 0.3 < points[0] < 0.6
    assert 0.03 < points[1] < points[0] / 3  # more seeds in the race take most of it away, but not all
    assert points[2] == pytest.approx(0, abs=0.02)
    assert points[3] == pytest.approx(0, abs=0.01)
    assert points[4] > 0.05  # the network that looked best is better than its cell: it may not be quoted either
