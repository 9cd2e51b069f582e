"""Cohorts: neither companions nor places nor interruptions change a bit, and what is paid is shared out."""

import dataclasses
import time

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from mnistlab.engines.keras_cohort import KerasCohorts
from mnistlab.engines.programs import CELLS_OF_ONE_SEED, SEEDS_OF_ONE_CELL, Program
from mnistlab.spec import Architecture, Cell, Run, Training

EIGHT, TWO = (Program("population", SEEDS_OF_ONE_CELL, members) for members in (8, 2))
SHARED = Program("population", CELLS_OF_ONE_SEED, 4)
ENGINE = KerasCohorts()  # what it has compiled serves several tests
SMALL = Cell(Architecture((16, 8)), training=Training(epochs=2), dataset="digits")


def companies(cell, draw_companion):
    """The same run alone, among others, at other places, and in a place that others have left."""
    watched, seeds = Run(cell, 1), [Run(cell, seed) for seed in range(2, 9)]
    others = [Run(draw_companion(cell, number), number) for number in range(10)]
    return [
        [watched],
        [watched, *seeds],
        [*others[:7], watched],
        [others[7], seeds[0], watched, others[8]],
        [*others, watched, *seeds[:2]],
    ]


def check_bits_are_a_runs_own(cell, trained, bits_of, draw_companion):
    found = {}
    for runs in companies(cell, draw_companion):
        for run, result in trained(ENGINE, EIGHT, runs).items():
            assert result.status == "done"
            found.setdefault(run, set()).add(bits_of(result))
    assert {f"{run.cell.label}, seed {run.seed}": len(bits) for run, bits in found.items() if len(bits) > 1} == {}


def check_interruptions_change_no_bit(cells, trained, trained_elsewhere, bits_of, draw_companion, leave):
    """What a first process has not finished when it stops is trained by a second."""
    expected, jobs = [], []
    for cell in cells:
        runs = [Run(draw_companion(cell, number), number) for number in range(6)] + [Run(cell, 1), Run(cell, 2)]
        expected.append(trained(ENGINE, EIGHT, runs))
        first = leave(ENGINE, runs)
        assert bits_of(first) == bits_of(expected[-1].pop(first.run))
        jobs.append(("population", EIGHT, [run for run in runs if run != first.run]))
    for uninterrupted, rest in zip(expected, trained_elsewhere(jobs), strict=True):
        assert {run: bits_of(result) for run, result in rest.items()} == {
            run: bits_of(result) for run, result in uninterrupted.items()
        }


@pytest.fixture
def leave(prepare_run, environment):
    """Train until the first result is there."""

    def leave(engine, runs):
        results = engine.train(runs, EIGHT, prepare_run, environment, lambda run, record: True)
        first = next(results)
        results.close()
        return first

    return leave


@pytest.mark.slow
@pytest.mark.parametrize("number", [34])
def test_the_bits_of_a_run_are_its_own(number, trained, bits_of, draw_cell, draw_companion):
    check_bits_are_a_runs_own(draw_cell(number), trained, bits_of, draw_companion)


@pytest.mark.long
@pytest.mark.parametrize("number", range(40))
def test_the_bits_of_a_run_are_its_own_in_forty_cells(number, trained, bits_of, draw_cell, draw_companion):
    check_bits_are_a_runs_own(draw_cell(number), trained, bits_of, draw_companion)


@pytest.mark.slow
def test_an_interruption_changes_no_bit(trained, trained_elsewhere, bits_of, draw_cell, draw_companion, leave):
    cells = [draw_cell(30)]
    check_interruptions_change_no_bit(cells, trained, trained_elsewhere, bits_of, draw_companion, leave)


@pytest.mark.long
def test_an_interruption_changes_no_bit_of_forty_cells(
    trained, trained_elsewhere, bits_of, draw_cell, draw_companion, leave
):
    cells = [draw_cell(number) for number in range(40)]
    check_interruptions_change_no_bit(cells, trained, trained_elsewhere, bits_of, draw_companion, leave)


def test_a_member_without_numbers_leaves_the_bits_of_the_others_alone(trained, bits_of):
    wild = dataclasses.replace(SMALL.training, optimizer="sgd", learning_rate=900, l2=50.0, epochs=4)
    calm = dataclasses.replace(wild, learning_rate=0.01, l2=1e-4)
    lost, *others = [dataclasses.replace(SMALL, training=training) for training in (wild, calm, calm)]
    runs = [Run(others[0], 1), Run(lost, 2), Run(others[1], 3), Run(others[1], 4), Run(others[1], 5)]
    found = trained(ENGINE, TWO, runs)
    assert [found[run].status for run in runs] == ["done", "diverged", "done", "done", "done"]
    calm_alone = trained(ENGINE, TWO, [run for run in runs if run.cell != lost])
    assert {run: bits_of(result) for run, result in calm_alone.items()} == {
        run: bits_of(found[run]) for run in calm_alone
    }


def test_a_place_that_a_given_up_run_leaves_is_the_next_ones(trained, bits_of, prepare_run, environment):
    cell = dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, epochs=4))
    runs = [Run(cell, seed) for seed in range(5)]

    def goes_on(run, record):
        return run.seed not in (1, 2) or record.epoch < 2

    results = list(ENGINE.train(runs, TWO, prepare_run, environment, goes_on))
    assert [(result.run.seed, result.epochs_done) for result in results] == [(1, 2), (0, 4), (2, 2), (3, 4), (4, 4)]
    whole = trained(ENGINE, TWO, runs)
    assert all(bits_of(result) == bits_of(whole[result.run]) for result in results if result.stopped_by == "epochs")
    assert [result.stopped_by for result in results].count("halving") == 2


@pytest.fixture
def compiled_anew():
    """Nothing is taken from what other tests have compiled."""
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.slow
@pytest.mark.parametrize("program", [EIGHT, SHARED], ids=str)
def test_what_all_members_paid_is_the_time_of_the_call(program, trained, prepare_run, compiled_anew):
    """Up to what nobody is charged for: making their data, and printing their hashes."""
    engine, preparing = KerasCohorts(), []

    def prepare(run):
        start = time.perf_counter()
        data = prepare_run(run)
        preparing.append(time.perf_counter() - start)
        return data

    cells = [dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, learning_rate=rate, epochs=20))
             for rate in (0.001, 0.002)]  # fmt: skip
    runs = [Run(cell, seed) for seed in range(6) for cell in cells]
    trained(engine, program, runs[:1])  # JAX proves itself and Keras is made ready, which is nobody's
    changed = [Run(dataclasses.replace(run.cell, architecture=Architecture((16, 9))), run.seed) for run in runs]
    start, cpu = time.perf_counter(), time.process_time()
    ledgers = [result.ledger for result in trained(engine, program, changed, prepare).values()]
    seconds, cpu = time.perf_counter() - start - sum(preparing), time.process_time() - cpu
    paid = sum(ledger.wall_seconds for ledger in ledgers)
    assert 0.85 * seconds <= paid <= seconds
    assert 0.85 * cpu <= sum(ledger.cpu_seconds for ledger in ledgers) <= cpu
    again = [result.ledger for result in trained(engine, program, changed).values()]
    assert sum(ledger.compile_seconds for ledger in again) < sum(ledger.compile_seconds for ledger in ledgers) / 3
