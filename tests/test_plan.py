"""A plan: which runs in which order, what they amount to, what they cost. Nothing is trained, nothing read."""

import time
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.datasets import catalog
from mnistlab.engines.programs import Program, program_of
from mnistlab.errors import InvalidFieldError
from mnistlab.plan import architecture_key, cell_size, grouped, make_plan, run_bytes, work_of
from mnistlab.price import Prices
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training
from mnistlab.study import Study

MNIST = catalog.info("mnist")
REFERENCE = Program("reference")


def network(*widths, activation="relu", **rest):
    return Cell(Architecture(widths, activation), **rest)


CELLS = (
    network(32),
    network(64, 64),
    network(512, training=Training(epochs=50)),
    network(32, framework="sklearn"),
)
KEYS = [architecture_key(cell, cell_size(cell, catalog.info(cell.dataset))) for cell in CELLS]


def planned(cells=CELLS, seeds=(0, 1, 2), finished=(), workers=1, measured=(), prices=None, engine="reference"):
    study = Study("test", tuple(cells), tuple(seeds))
    sizes = {cell.id: cell_size(cell, catalog.info(cell.dataset)) for cell in cells}
    return make_plan(study, sizes=sizes, finished=finished, measured=measured, prices=prices or Prices(),
                     program_of=partial(program_of, engine, device="cpu"), workers=workers)  # fmt: skip


def test_a_round_is_one_seed_of_every_cell():
    plan = planned()
    assert len(plan.rounds) == 3
    for seed, groups in enumerate(plan.rounds):
        assert {run for group in groups for run in group.runs} == {Run(cell, seed) for cell in CELLS}
    assert [run for group in plan.groups for run in group.runs] == [r for g in sum(plan.rounds, ()) for r in g.runs]


def test_the_longest_of_a_round_come_first():
    for groups in planned().rounds:
        seconds = [group.seconds.value for group in groups]
        assert seconds == sorted(seconds, reverse=True)
        assert groups[0].runs[0].cell == CELLS[2]


def test_seeds_keep_the_order_in_which_they_were_given():
    plan = planned(CELLS[:1], seeds=(7, 3, 5))
    assert [group.runs[0].seed for group in plan.groups] == [7, 3, 5]


@given(seeds=st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=12))
def test_a_run_has_its_program_whatever_else_is_asked_for(seeds):
    def programs(cells, seeds):
        plan = planned(cells, tuple(seeds), engine="auto")
        return {run: group.program for group in plan.groups for run in group.runs}

    found = programs(CELLS, seeds)
    assert {run: program for run in found for program in programs([run.cell], [run.seed]).values()} == found


@given(done=st.sets(st.tuples(st.sampled_from(CELLS), st.integers(0, 2))))
def test_what_is_finished_is_left_out_and_nothing_else(done):
    finished = {Run(cell, seed) for cell, seed in done}
    plan = planned(finished={run.id for run in finished} | {"of another study"})
    asked = {Run(cell, seed) for cell in CELLS for seed in range(3)}
    runs = [run for group in plan.groups for run in group.runs]
    assert set(runs) == asked - finished
    assert plan.to_do == len(runs) == sum(cell.to_do for cell in plan.cells)
    assert all(plan.rounds)
    assert plan.networks == 12


def test_totals_count_every_network_asked_for():
    plan = planned(CELLS[:2], seeds=(0, 1), finished={Run(CELLS[0], 0).id})
    small, large = (plan.size_of(cell) for cell in CELLS[:2])
    assert plan.parameters_total == 2 * (25_450 + 55_050) == 2 * (small.parameters + large.parameters)
    assert plan.flops_total == 2 * 10 * 1688 * (small.flops_per_step + large.flops_per_step)
    assert [cell.seeds for cell in plan.cells] == [2, 2]
    assert [cell.to_do for cell in plan.cells] == [1, 2]


def test_predicted_seconds_are_shared_by_the_processes():
    alone, together = planned(measured=KEYS).seconds, planned(measured=KEYS, workers=4).seconds
    start = Prices().start_seconds
    longest = max(group.seconds.value for group in planned().groups)
    assert 0 <= (together.value - start) - (alone.value - start) / 4 <= longest
    assert together.low < together.value < together.high


def test_starting_processes_and_measuring_are_part_of_the_predicted_seconds():
    prices, finished = Prices(), {Run(cell, seed).id for cell in CELLS for seed in range(3)}
    for import_seconds in (4.0, 0.004, 6.0, 5.0):
        prices.observe_start(import_seconds)
    assert (prices.start_seconds, prices.probe_seconds) == (5.0, pytest.approx(7.0))
    nothing = planned(finished=finished, measured=KEYS, prices=prices)
    assert (nothing.to_do, nothing.rounds, nothing.seconds.value, nothing.to_measure) == (0, (), 0, {})
    measuring = planned(finished=finished, measured=KEYS[:2], prices=prices)
    assert [*measuring.to_measure] == KEYS[2:]
    assert measuring.seconds.value == pytest.approx(2 * 7.0)
    trained = sum(group.seconds.value for group in planned(prices=prices).groups)
    assert planned(prices=prices).seconds.value == pytest.approx(trained + 5.0 + 4 * 7.0)


def test_memory_is_that_of_the_largest_cell_in_every_process():
    plan = planned(workers=3)
    assert plan.peak_bytes == 3 * max(run_bytes(cell, plan.size_of(cell), REFERENCE) for cell in CELLS)


def test_memory_grows_by_sixteen_bytes_a_parameter_and_with_the_data():
    small, large = network(64), network(4096, 4096)
    bytes_of = [run_bytes(cell, cell_size(cell, MNIST), REFERENCE) for cell in (small, large)]
    parameters = cell_size(large, MNIST).parameters - cell_size(small, MNIST).parameters
    assert bytes_of[1] - bytes_of[0] == 16 * parameters + 2_000 * 4 * (2 * 4096 - 64)
    few = replace(small, split=Split(train_fraction=0.1))
    assert bytes_of[0] - run_bytes(few, cell_size(few, MNIST), REFERENCE) == 54_000 * 784 * 5 + 48_600 * 10 * 4


def test_memory_knows_the_columns_of_hog_and_what_standardize_needs_to_learn():
    plain, hog, both = (
        network(64, features=Features(steps)) for steps in (("scale",), ("hog",), ("hog", "standardize"))
    )
    sizes = [cell_size(cell, MNIST) for cell in (plain, hog, both)]
    plain, hog, both = (run_bytes(cell, size, REFERENCE) for cell, size in zip((plain, hog, both), sizes, strict=True))
    parameters = 16 * (sizes[1].parameters - sizes[0].parameters)
    assert hog - plain == (1296 - 784) * (70_000 * 5 + 2_000 * 4) + parameters
    assert both - hog == 54_000 * 1296 * 8


def test_a_run_that_takes_far_longer_than_predicted_is_given_up():
    short, long = planned([network(4)], seeds=[0]), planned([network(2056, training=Training(epochs=10**4))], seeds=[0])
    assert next(short.groups).timeout_seconds == 900
    (group,) = long.groups
    assert group.timeout_seconds == 20 * group.seconds.high > 900


def test_sizes_of_the_whole_of_mnist():
    size = cell_size(network(64), MNIST)
    assert (size.n_features, size.n_classes) == (784, 10)
    assert (size.n_train, size.n_validation, size.n_test) == (54_000, 6_000, 10_000)
    assert (size.parameters, size.trainable_parameters, size.steps_per_epoch) == (50_890, 50_890, 1_688)
    assert size.flops_per_step == 6 * 50_890 * 32 - 2 * 784 * 64 * 32


def test_features_decide_how_many_columns_come_in():
    size = cell_size(network(64, features=Features(("scale", "pca:50"))), MNIST)
    assert (size.n_features, size.parameters) == (50, 50 * 64 + 64 + 64 * 10 + 10)
    assert cell_size(network(64, features=Features(("hog",))), MNIST).parameters == 1296 * 64 + 64 + 64 * 10 + 10
    small = cell_size(network(64, dataset="digits"), catalog.info("digits"))
    assert (small.n_features, small.n_train + small.n_validation, small.n_test) == (64, 1_540, 257)


@pytest.mark.parametrize(("field", "cell"), [
    ("batch_size", network(4, training=Training(batch_size=54_001))),
    ("features", network(4, features=Features(("pca:785",)))),
    ("features", network(4, features=Features(("pca:500",)), split=Split(train_fraction=0.005))),
    ("train_fraction", network(4, split=Split(train_fraction=1e-6))),
    ("validation_fraction", network(4, split=Split(validation_fraction=1e-6))),
])  # fmt: skip
def test_a_cell_that_does_not_fit_its_data_names_the_field(field, cell):
    with pytest.raises(InvalidFieldError) as error:
        cell_size(cell, MNIST)
    assert error.value.field == field


def test_a_batch_may_be_as_large_as_the_training_part():
    assert cell_size(network(4, training=Training(batch_size=54_000)), MNIST).steps_per_epoch == 1


def key(cell):
    return architecture_key(cell, cell_size(cell, catalog.info(cell.dataset)))


ALIKE = [
    network(64, training=Training(epochs=99)),
    network(64, training=Training(learning_rate=0.1, schedule="cosine", l2=0.1)),
    network(64, training=Training(early_stopping_patience=3)),
    network(64, split=Split(train_fraction=0.5)),
    network(64, features=Features(("standardize",))),
]
UNLIKE = [
    network(32),
    network(64, 64),
    network(64, activation="tanh"),
    network(64, framework="sklearn"),
    network(64, training=Training(batch_size=64)),
    network(64, training=Training(optimizer="sgd")),
    network(64, features=Features(("pca:50",))),
    network(64, dataset="digits"),
    Cell(Architecture((64,), batch_norm=True)),
    Cell(Architecture((64,), dropout=0.2)),
]


@pytest.mark.parametrize("cell", ALIKE, ids=lambda cell: cell.label)
def test_a_measurement_holds_for_whatever_does_not_change_a_step(cell):
    assert key(cell) == key(network(64))


def test_a_measurement_holds_for_nothing_else():
    assert len({key(cell) for cell in [network(64), *UNLIKE]}) == len(UNLIKE) + 1


def test_dropout_costs_the_same_at_every_rate():
    low, high = (Cell(Architecture((64,), dropout=rate)) for rate in (0.1, 0.5))
    assert key(low) == key(high)


def test_work_grows_with_what_takes_time():
    size = cell_size(network(64), MNIST)
    work = work_of(network(64), size, REFERENCE)
    assert (work.depth, work.epochs, work.steps_per_epoch, work.evaluated) == (1, 10, 1_688, 16_000)
    assert work.flops_per_step == size.flops_per_step


def test_a_hundred_thousand_runs_are_planned(record_property):
    cells = tuple(network(width, *[64] * depth) for width in range(1, 101) for depth in range(10))
    finished = {Run(cell, seed).id for cell in cells for seed in range(50)}
    began = time.perf_counter()
    plan = planned(cells, seeds=range(100), finished=finished, workers=2)
    record_property("seconds", time.perf_counter() - began)
    assert (plan.networks, plan.to_do, len(plan.rounds)) == (100_000, 50_000, 50)


@pytest.mark.parametrize(("refilled", "groups"), [(False, [5, 5, 2]), (True, [12])])
def test_trials_that_may_be_given_up_are_one_group_for_the_places_of_a_program(refilled, groups):
    runs = [Run(Cell(Architecture((8,)), training=Training(learning_rate=0.001 * n)), 0) for n in range(1, 13)]
    five, alone = Program("population", "seeds of one cell", 5), Program("population", "seeds of one cell", 1)
    found = list(grouped([(five, run) for run in runs], refilled=refilled))
    assert [len(some) for _, some in found] == groups
    assert [run for _, some in found for run in some] == runs
    assert len(list(grouped([(alone, run) for run in runs], refilled=refilled))) == 12
