"""When a trial is given up, and what a tuner keeps of a run."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.records import Environment, Evaluation, PartLabels, RunResult
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.tuning import Trained, survives

RUN = Run(Cell(Architecture((8,))), 0)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True), st.integers(2, 5))
def test_of_all_that_stand_at_a_rung_one_in_so_many_goes_on_and_at_least_one(accuracies, factor):
    alive = [one for one in accuracies if survives(one, [other for other in accuracies if other != one], factor)]
    assert alive == [one for one in accuracies if one in sorted(accuracies)[-max(1, len(accuracies) // factor) :]]


ENVIRONMENT = Environment("", "", "", 1, 1, "cpu", (), (), "", "")


def test_what_is_kept_of_a_run_is_its_curve_and_what_it_scores_in_the_end():
    done = RunResult(RUN, "done", "population", ENVIRONMENT, epochs_done=3)
    assert Trained.of(RUN, [0.4, 0.5, 0.6], done) == Trained(RUN, (0.4, 0.5, 0.6), 0.6, given_up=False)
    given_up = replace(done, stopped_by="halving")
    assert Trained.of(RUN, [0.4], given_up) == Trained(RUN, (0.4,), 0.4, given_up=True)
    assert Trained.of(RUN, [0.4], replace(done, status="diverged")) == Trained(RUN, (0.4,), None)
    assert Trained.of(RUN, [], replace(done, status="failed")) == Trained(RUN, (), None)


def test_where_early_stopping_restored_weights_it_scores_what_these_do():
    part = PartLabels("digits", "validation", 10, np.arange(4, dtype=np.int32), np.zeros(4, np.uint8))
    predicted, bins = np.array([0, 0, 0, 1], np.uint8), np.zeros(15)
    kept = Evaluation(part, predicted, *(0.0,) * 5, *(0.0,) * 2, bins.astype(np.int64), bins, bins)
    done = RunResult(RUN, "done", "population", ENVIRONMENT, stopped_by="early_stopping", validation=kept)
    assert Trained.of(RUN, [0.75, 0.5], done).accuracy == 0.75
