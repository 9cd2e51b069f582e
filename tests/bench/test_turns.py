"""Ratios are formed turn by turn; every side is really trained; a process that fails is one line."""

import json
import math
import multiprocessing

import pytest

from mnistlab.bench import sides, turns
from mnistlab.bench.sides import Side, sides_of
from mnistlab.bench.turns import Timed, bench, rows_of
from mnistlab.errors import MachineError
from mnistlab.formatting import document, text_table
from mnistlab.instruments.resources import usable_cores
from mnistlab.spec import Architecture
from mnistlab.tabulation import bench_cells

ROW = {
    "hidden_layer_sizes", "activation", "framework", "batch_size", "engine", "variant", "members", "processes",
    "seconds_per_network_epoch", "compile_seconds", "ratio_to_keras", "ratio_to_sklearn", "fraction_of_limit",
}  # fmt: skip
EXPECTED = {
    ("limit", "alone", "keras", 32), ("keras", "default", "keras", 32), ("keras", "best", "keras", 32),
    ("sklearn", "default", "sklearn", 32), ("sklearn", "default", "sklearn", 200), ("compiled", "alone", "keras", 32),
    ("population", "seeds of one cell", "keras", 32), ("population", "cells of one seed", "keras", 32),
    ("population", "seeds of one cell", "sklearn", 32),
}  # fmt: skip
LAYERS = Architecture((4, 4))
LIMIT, KERAS, SKLEARN = Side("limit", "alone"), Side("keras", "default"), Side("sklearn", "default", "sklearn")
COHORT = Side("population", "seeds of one cell", members=4)
ITS_OWN = Side("sklearn", "default", "sklearn", batch_size=200)


def planted(**seconds):
    given = {"limit": LIMIT, "keras": KERAS, "sklearn": SKLEARN, "cohort": COHORT, "its_own": ITS_OWN}
    timed = {given[name]: Timed(tuple(found), 1, None) for name, found in seconds.items()}
    return dict(zip(seconds, rows_of(LAYERS, timed), strict=True))


def test_ratios_are_formed_within_a_turn_so_that_drift_does_not_show():
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    rows = planted(limit=[0.1 * d for d in drift], keras=[2 * d for d in drift], sklearn=[3 * d for d in drift],
                   cohort=[0.2 * d for d in drift])  # fmt: skip
    cohort = rows["cohort"]
    for found, expected in (
        (cohort.ratio_to_keras, 10),
        (cohort.ratio_to_sklearn, 15),
        (cohort.fraction_of_limit, 0.5),
    ):
        assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3)
    assert (cohort.seconds_per_network_epoch.value, cohort.members) == (pytest.approx(0.2 * 6), 4)
    assert rows["keras"].ratio_to_keras.value == rows["limit"].fraction_of_limit.value == 1


def test_the_median_of_the_ratios_is_not_the_ratio_of_the_medians():
    rows = planted(limit=[1, 1, 1], keras=[1, 6, 9], sklearn=[1, 1, 1], cohort=[2, 2, 9])
    assert rows["cohort"].ratio_to_keras.value == 1.0  # of 0.5, 3, 1; the medians' is 3


def test_another_batch_size_has_no_share_of_the_limit_of_this_one():
    rows = planted(limit=[1.0], keras=[4.0], sklearn=[8.0], its_own=[2.0])
    assert (rows["its_own"].ratio_to_sklearn.value, rows["its_own"].fraction_of_limit.value) == (4.0, None)
    assert rows["its_own"].batch_size == 200


@pytest.mark.parametrize(("width", "seeds", "cells"), [(4, 4, 4), (32, 5, 23), (128, 5, 4), (512, 1, 2)])
def test_cohorts_are_as_large_as_the_planner_makes_them(width, seeds, cells):
    found = {
        (side.variant, side.framework): side.members for side in sides_of(Architecture((width,) * 4), 784, 10, "cpu")
    }
    assert found["seeds of one cell", "keras"] == seeds
    assert found["cells of one seed", "keras"] == cells


@pytest.mark.ci
def test_every_side_is_timed_on_real_digits(tmp_path):
    told = []
    found = bench([LAYERS], "digits", tmp_path, turns=2, slice_seconds=0.01, device="cpu", notify=told.append)
    cores = usable_cores()
    assert found.machine.cores == cores
    assert len(found.rows) == len(sides_of(LAYERS, 64, 10, "cpu")) - 2 * (cores == 1)
    assert told[-1] == "bench: 2x4 relu done, 1 of 1"
    for row in found.rows:
        seconds = row.seconds_per_network_epoch
        assert 0 < seconds.value < math.inf
        assert (seconds.n, seconds.kind, row.hidden_layer_sizes) == (2, "median", (4, 4))
        assert (row.compile_seconds is None) == (row.engine in ("sklearn", "limit"))
    assert {row.processes for row in found.rows if row.engine in ("population", "limit")} == {cores}
    assert list(tmp_path.iterdir()) == []
    told = json.loads(json.dumps(document(machine=found.machine, rows=found.rows), allow_nan=False))
    assert told["schema_version"] == 1
    assert set(told["rows"][0]) == ROW
    assert {(row["engine"], row["variant"], row["framework"], row["batch_size"]) for row in told["rows"]} >= EXPECTED
    assert set(told["rows"][1]["ratio_to_keras"]) == {"value", "low", "high", "level", "n", "kind"}
    lines = text_table(*bench_cells(found.rows), 1000).splitlines()
    assert (len(lines), lines[0].split()[:3]) == (1 + len(found.rows), ["network", "engine", "variant"])


@pytest.mark.slow
def test_a_process_that_fails_is_told_in_one_line_and_none_is_left(tmp_path):
    with pytest.raises(MachineError, match=r"bench: DataError: .*mnist") as fault:
        bench([LAYERS], "mnist", tmp_path, turns=1, slice_seconds=0.01, device="cpu", notify=lambda _: None)
    assert "\n" not in str(fault.value)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_side_that_fails_is_told_with_its_network_and_leaves_no_process(tmp_path):
    sizes = Architecture((4,)), Side("population", "seeds of one cell", "no such framework")
    with (
        pytest.raises(
            MachineError, match=r"bench 1x4 relu, population, .*InvalidFieldError: framework no such"
        ) as fault,
        turns._crew("digits", tmp_path, "cpu") as teams,
    ):
        turns._ask(teams["cores"], *sizes, 1)
    assert "\n" not in str(fault.value)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_dies_is_told_with_its_status(tmp_path):
    with turns._crew("digits", tmp_path, "cpu") as teams:
        [helper] = teams["machine"]
        helper.process.kill()
        with pytest.raises(MachineError, match="its process ended with status -9"):
            turns._ask([helper], LAYERS, KERAS, 1)


def test_the_sklearn_side_trains_as_many_steps_as_asked(tmp_path):
    data = sides.data_of("digits", tmp_path)
    assert (len(data.train), data.validation) == (1540, None)
    assert sides.timer_of(SKLEARN, LAYERS, data, "cpu")(3) > 0
