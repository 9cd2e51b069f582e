"""How a study was done, as its report tells it."""

import pandas as pd

from mnistlab.analysis.evidence import Evidence
from mnistlab.report.method import failures, framework_differences, machines, method_facts
from mnistlab.spec import Architecture, Cell, Split, Training


def facts_of(known: Evidence):
    return dict(method_facts(known))


def test_splits_seeds_and_training_are_told_with_the_values_that_occur(lab_evidence):
    facts = facts_of(lab_evidence)
    assert (
        "mnist, official split, fraction 1: 54,000 digits to train on, 6,000 to validate, 1,000 to test."
        in facts["Splits"]
    )
    assert (
        "mnist, official split, fraction 0.25: 13,500 digits to train on, 6,000 to validate, 1,000 to test."
        in (facts["Splits"])
    )
    assert facts["Seeds"][0] == "0 to 5 finished networks a cell."
    [training] = facts["Training"]
    for said in ("framework keras, sklearn; features scale; batch norm off, on; dropout 0, 0.2;",
                 "learning rate 0.001, 0.01;", "epochs 10, 30, 50;", "early stopping patience off, 5;",
                 "schedule constant, cosine;"):  # fmt: skip
        assert said in training


def test_a_tuned_study_says_that_every_cell_had_the_same_budget_and_what_each_chose(tuned_evidence, lab_evidence):
    budget, *chosen = facts_of(tuned_evidence)["Learning rate"]
    assert "all with the same budget: 2 networks at each of 5 rates" in budget
    rates = {"0.0005": 256, "0.002": 64, "0.008": 16}
    assert chosen == [f"{rate}: 1x{width} relu, rate {rate}." for rate, width in rates.items()]
    assert "at its learning rate" not in facts_of(tuned_evidence)["Training"][0]
    assert "Learning rate" not in facts_of(lab_evidence)


def test_a_merged_split_says_that_it_has_seen_its_writers(plant_evidence):
    known = plant_evidence(
        [(Cell(Architecture((64,)), split=Split(protocol="merged", train_fraction=0.8)), 0.9, ("done",))]
    )
    assert facts_of(known)["Splits"][0].endswith("; writers of test digits seen in training.")


def test_what_was_not_measured_is_named(lab_evidence):
    assert facts_of(lab_evidence)["Not measured"] == [
        "peak memory: not measurable here, or not yet probed", "energy: not measurable here, or not yet probed"
    ]  # fmt: skip


def test_differences_between_frameworks_are_listed_once(lab_evidence):
    found = framework_differences(lab_evidence.results.rows)
    assert found == [("sklearn", ["one random_state for everything"])]


def test_machines_are_told_with_versions_and_their_number_of_networks(lab_evidence):
    done = (lab_evidence.runs["status"] == "done").sum()
    [line] = machines(lab_evidence)
    assert line.startswith(f"{done} networks: a processor, 2 cores, 1 thread a network, cpu;")
    assert "keras 3.15.0" in line


def test_runs_without_a_network_are_counted_by_reason():
    runs = pd.DataFrame({"status": ["failed", "failed", "timeout", "done", "diverged"],
                         "reason": ["out of memory", "out of memory", None, None, None]})  # fmt: skip
    assert failures(runs) == ["2 failed: out of memory", "1 timeout", "1 diverged"]


def test_a_diverging_study_has_facts(plant_evidence):
    cell = Cell(Architecture((64,)), training=Training(learning_rate=9.0))
    facts = facts_of(plant_evidence([(cell, 0.9, ("diverged",) * 2)]))
    assert facts["Seeds"][0] == "0 finished networks a cell."
