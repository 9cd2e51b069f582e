"""Ledgers and Pareto sets worked out by hand or by brute force, and a planted law of a step's time."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.analysis.cost import COSTS, PARTS, accuracy_costs, ledger_table, pareto_set, time_law
from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import t_interval
from mnistlab.analysis.results import results_table
from mnistlab.spec import Architecture, Cell, Training


def ledger_runs(*rows, cell="a", members=1.0, environment="e"):
    """A run for each row of seconds, in the order of `PARTS`."""
    return pd.DataFrame(
        [{"cell": cell, "status": "done", "members": members, "environment": environment,
          **{f"{part}_seconds": float(value) for part, value in zip(PARTS, row, strict=True)}} for row in rows]
    )  # fmt: skip


def test_a_ledger_worked_out_by_hand():
    row = ledger_table(ledger_runs((1, 0, 2, 6, 1, 0), (0, 0, 0, 8, 1, 1))).iloc[0]
    assert (row["cell"], row["networks"], row["timing"], row["environment"]) == ("a", 2, "alone", "e")
    assert row["wall_seconds"] == Estimate(10.0, 10.0, 10.0, n=2)
    assert row["steps_seconds"] == t_interval([6, 8], limits=(0, np.inf))
    # shares without either run are 0.8 and 0.6: jackknife error 0.1, times t = 12.7 with one degree of freedom.
    assert (row["steps_share"].value, row["steps_share"].kind, row["steps_share"].n) == (0.7, "jackknife", 2)
    assert (row["steps_share"].low, row["steps_share"].high) == (0.0, 1.0)
    assert row["compile_share"].value == pytest.approx(0.1)


def test_a_share_is_seconds_over_seconds():
    row = ledger_table(ledger_runs((0, 0, 0, 90, 0, 10), (0, 0, 0, 1, 0, 9), (0, 0, 0, 1, 0, 9))).iloc[0]
    assert row["steps_share"].value == pytest.approx(92 / 120)


seconds = st.floats(0.001, 1e4)


@given(st.lists(st.tuples(*[seconds] * len(PARTS)), min_size=1, max_size=6))
def test_parts_sum_to_the_wall_clock_and_shares_to_one(rows):
    row = ledger_table(ledger_runs(*rows)).iloc[0]
    assert sum(row[f"{part}_seconds"].value for part in PARTS) == pytest.approx(row["wall_seconds"].value)
    assert sum(row[f"{part}_share"].value for part in PARTS) == pytest.approx(1)
    for share in (row[f"{part}_share"] for part in PARTS):
        assert share.low is None or 0 <= share.low <= share.value <= share.high <= 1


def test_seconds_of_several_environments_are_not_pooled_and_cohorts_are_called_packed():
    here = ledger_runs((0, 0, 0, 1, 0, 0), (0, 0, 0, 3, 0, 0))
    there = ledger_runs((0, 0, 0, 100, 0, 0), environment="f")
    row = ledger_table(pd.concat([there, here])).iloc[0]
    assert (row["networks"], row["environment"], row["wall_seconds"].value) == (2, "e", 2.0)
    assert ledger_table(ledger_runs((0, 0, 0, 1, 0, 0), members=20.0)).iloc[0]["timing"] == "packed"


def test_the_ledger_has_cells_in_order_and_done_runs_alone():
    failed = ledger_runs((0, 0, 0, 1, 0, 0), cell="c").assign(status="failed")
    frames = [ledger_runs((0, 0, 0, 1, 0, 0), cell="b"), failed, ledger_runs((0, 0, 0, 1, 0, 0), cell="a")]
    table = ledger_table(pd.concat(frames))
    assert list(table["cell"]) == ["b", "a"]
    assert table["steps_share"][0] == Estimate(1.0, n=1, kind="jackknife")
    assert list(ledger_table(failed).columns) == list(table.columns)


@pytest.fixture(scope="module")
def costs(plant):
    cells = [Cell(Architecture((32,))), Cell(Architecture((512,)), training=Training(epochs=20))]
    study = plant([(cells[0], 0.95, ("done",) * 3), (cells[1], 0.97, ("done",)), (Cell(Architecture((4,))), 0.8, ())])
    measurements = study.measurements.assign(seconds_per_step=[0.002, np.nan, 0.1], energy_joules=[0.01, np.nan, 1.0])
    return accuracy_costs(results_table(study.cells.assign(steps_per_epoch=1687), study.runs, measurements).rows)


def test_costs_are_those_of_the_whole_training_alone(costs):
    first, second = costs.to_dict("records")
    assert (first["parameters"], first["parameter_bytes"]) == (25450, 16 * 25450)
    assert first["flops"] == Architecture((32,)).flops_per_step(784, 10, 32) * 1687 * 10
    assert first["seconds"] == pytest.approx(0.002 * 1687 * 10)
    assert first["joules"] == pytest.approx(0.01 * 1687 * 10)
    assert second["flops"] == Architecture((512,)).flops_per_step(784, 10, 32) * 1687 * 20


def test_what_was_not_measured_is_nan_and_a_cell_without_runs_has_no_row(costs):
    assert len(costs) == 2
    assert costs[["seconds", "joules"]].isna().to_numpy().tolist() == [[False] * 2, [True] * 2]
    assert costs["peak_bytes"].isna().all()
    assert list(pareto_set(costs, "seconds")["label"]) == ["1x32 relu"]
    assert pareto_set(costs, "peak_bytes").empty


def placed(points, half=0.01, protocol="official"):
    """Cells at (cost, accuracy), the same on validation and test digits unless a third number says the latter."""
    return pd.DataFrame(
        [{"cell": f"{i}", "label": f"{i}", "framework": "keras", "dataset": "mnist", "protocol": protocol,
          "validation_accuracy": Estimate(chosen), "accuracy": Estimate(proven, proven - half, proven + half),
          **dict.fromkeys(COSTS, float(cost))} for i, (cost, chosen, proven) in enumerate(map(_tripled, points))]
    )  # fmt: skip


def _tripled(point):
    return (*point, point[-1]) if len(point) == 2 else point


points = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.9, 0.92, 0.94, 0.96])), min_size=1, max_size=15)


@given(points)
def test_the_pareto_set_is_that_of_brute_force(points):
    rows = pareto_set(placed(points), "flops").set_index("cell")
    for i, (cost, accuracy) in enumerate(points):
        others = [other for j, other in enumerate(points) if j != i and other[0] <= cost]
        beaten = any(other[1] >= accuracy and other != (cost, accuracy) for other in others)
        assert rows.loc[str(i), "pareto"] == (not beaten)
        rival = rows.loc[str(i), "rival"]
        if others:
            best = points[int(rival)]
            assert rival != str(i)
            assert best[0] <= cost
            assert best[1] == max(other[1] for other in others)
            assert rows.loc[str(i), "overlaps"] == (abs(best[1] - accuracy) <= 0.02 + 1e-12)
        else:
            assert rival is None
            assert not rows.loc[str(i), "overlaps"]


def test_a_dearer_cell_that_is_not_told_apart_is_flagged():
    rows = pareto_set(placed([(1, 0.90), (2, 0.95), (3, 0.951), (4, 0.94), (5, 0.80)]), "parameters")
    assert list(rows["pareto"]) == [True, True, True, False, False]
    assert list(rows["overlaps"]) == [False, False, True, True, False]
    assert list(rows["rival"])[1:] == ["0", "1", "2", "2"]


def test_validation_chooses_and_test_digits_only_prove():
    rows = pareto_set(placed([(1, 0.90, 0.99), (2, 0.95, 0.91)]), "parameters")
    assert list(rows["pareto"]) == [True, True]
    assert list(rows["overlaps"]) == [False, False]


def test_accuracies_of_different_protocols_are_never_ranked_together():
    both = pd.concat([placed([(1, 0.99)], protocol="merged"), placed([(2, 0.95)])])
    rows = pareto_set(both, "seconds")
    assert list(rows["pareto"]) == [True, True]
    assert list(rows["rival"]) == [None, None]


def test_an_unknown_cost_and_a_cell_without_validation():
    with pytest.raises(ValueError, match=r"cost must be one of parameters, .*; got money"):
        pareto_set(placed([(1, 0.9)]), "money")
    blind = placed([(1, 0.9), (2, 0.95)])
    blind.at[1, "validation_accuracy"] = Estimate(None)
    assert list(pareto_set(blind, "flops")["cell"]) == ["0"]


OVERHEAD, PER_LAYER, RATE = 2e-4, 3e-5, 5e10
SHAPES = [((width,) * depth, batch) for width in (16, 64, 256, 1024) for depth in (1, 2, 4, 8) for batch in (32, 128)]


def probes(shapes=SHAPES, noise=0.0, seed=0, framework="keras", environment="e"):
    """Cells and measurements that follow the planted law, times log-normal noise."""
    random = np.random.default_rng(seed)
    cells, measurements = [], []
    for sizes, batch in shapes:
        key = f"{framework} {'-'.join(map(str, sizes))} batch {batch}"
        flops = Architecture(sizes).flops_per_step(784, 10, batch)
        cells.append({"architecture_key": key, "hidden_layer_sizes": list(sizes), "batch_size": batch,
                      "flops_per_step": flops})  # fmt: skip
        exact = OVERHEAD + PER_LAYER * len(sizes) + flops / RATE
        measurements.append({"architecture_key": key, "framework": framework, "environment": environment,
                             "seconds_per_step": exact * np.exp(noise * random.standard_normal())})  # fmt: skip
    return pd.DataFrame(cells), pd.DataFrame(measurements)


def test_an_exact_law_is_recovered():
    law = time_law(*probes())
    row = law.laws.iloc[0]
    found = [row[name].value for name in ("overhead_seconds", "seconds_per_layer", "flops_per_second")]
    assert found == pytest.approx([OVERHEAD, PER_LAYER, RATE])
    assert (row["framework"], row["environment"], row["probes"]) == ("keras", "e", 32)
    assert row["typical_error"] == pytest.approx(0, abs=1e-9)
    assert row["overhead_seconds"].kind == "jackknife"


def test_the_share_of_overhead_is_the_planted_one_and_says_what_rules():
    steps = time_law(*probes(noise=0.02)).steps
    assert list(steps["architecture_key"]) == list(probes()[1]["architecture_key"])
    assert list(steps.iloc[1][["width", "depth", "batch_size"]]) == [16, 1, 128]
    overhead = OVERHEAD + PER_LAYER * steps["depth"]
    truth = overhead / (overhead + steps["flops_per_step"] / RATE)
    for share, planted, ruler in zip(steps["overhead_share"], truth, steps["ruled_by"], strict=True):
        assert share.value == pytest.approx(planted, abs=0.03)
        assert ruler == ("overhead" if share.low > 0.5 else "arithmetic" if share.high < 0.5 else "undecided")
    clear = (truth - 0.5).abs() > 0.1
    assert list(steps["ruled_by"][clear]) == ["overhead" if share > 0.5 else "arithmetic" for share in truth[clear]]
    assert set(steps["ruled_by"][clear]) == {"overhead", "arithmetic"}


@pytest.mark.slow
def test_the_intervals_of_the_law_hold_the_planted_truth():
    held = np.zeros(3)
    truth = {"overhead_seconds": OVERHEAD, "seconds_per_layer": PER_LAYER, "flops_per_second": RATE}
    for seed in range(200):
        row = time_law(*probes(noise=0.15, seed=seed)).laws.iloc[0]
        held += [row[name].low <= value <= (row[name].high or math.inf) for name, value in truth.items()]
    assert (held >= 180).all()


def test_frameworks_and_environments_have_laws_of_their_own():
    studies = [probes(), probes(framework="sklearn"), probes(environment="f")]
    cells, measurements = (pd.concat(frames, ignore_index=True) for frames in zip(*studies, strict=True))
    slow = measurements["environment"] == "f"
    measurements.loc[slow, "seconds_per_step"] *= 3
    laws = time_law(cells, measurements).laws.set_index(["framework", "environment"])
    assert list(laws["probes"]) == [32, 32, 32]
    assert laws.loc[("keras", "f"), "overhead_seconds"].value == pytest.approx(3 * OVERHEAD)
    assert laws.loc[("sklearn", "e"), "overhead_seconds"].value == pytest.approx(OVERHEAD)


def test_the_last_probe_counts_and_one_without_a_cell_does_not():
    cells, measurements = probes()
    earlier = measurements.assign(seconds_per_step=9.0)
    stranger = measurements.iloc[:1].assign(architecture_key="unknown", seconds_per_step=9.0)
    row = time_law(cells, pd.concat([earlier, measurements, stranger])).laws.iloc[0]
    assert (row["probes"], row["overhead_seconds"].value) == (32, pytest.approx(OVERHEAD))


def test_without_arithmetic_to_be_seen_there_is_no_rate():
    cells, measurements = probes()
    faster_when_wider = 1e-3 - 1e-14 * cells["flops_per_step"]
    row = time_law(cells, measurements.assign(seconds_per_step=faster_when_wider)).laws.iloc[0]
    assert row["flops_per_second"].value is None
    assert row["overhead_seconds"].value == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize(("shapes", "n_laws"), [(SHAPES[:2], 0), ([((64,), 32), ((128,), 32), ((512,), 32)], 0),
                                                ([((64,), 32), ((64,), 200), ((64,) * 4, 32)], 1)])  # fmt: skip
def test_too_few_probes_give_no_law_or_one_without_intervals(shapes, n_laws):
    law = time_law(*probes(shapes))
    assert (len(law.laws), len(law.steps)) == (n_laws, n_laws * 3)
    assert list(law.laws.columns) == list(time_law(*probes()).laws.columns)
    assert list(law.steps.columns) == list(time_law(*probes()).steps.columns)
    for estimate in law.laws["overhead_seconds"]:
        assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(OVERHEAD), None, None)
    assert set(law.steps["ruled_by"]) <= {"undecided"}
