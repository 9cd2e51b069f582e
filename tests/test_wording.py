"""Verdicts and shares in words."""

import dataclasses
import math

import pandas as pd
import pytest
from rich.cells import cell_len

from mnistlab import formatting, wording
from mnistlab.analysis.claims import judge_claims
from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.sensitivity import sensitivity
from mnistlab.analysis.verdicts import Verdicts
from mnistlab.claim_tables import read_claims
from mnistlab.spec import Architecture, Cell


def factorial(n_seeds, plant, shapes=((32, 1), (32, 2), (64, 1), (64, 2))):
    done = ("done",) * n_seeds
    study = plant([(Cell(Architecture((width,) * depth)), 0.85 + width / 640, done) for width, depth in shapes])
    return sensitivity(study.cells, study.runs)


def test_sensitivity_text_holds_every_share_and_every_level_within_the_width(plant):
    found = factorial(3, plant)
    notes, shares, effects = wording.sensitivity_text(found, 60).split("\n\n")
    assert "over 4 cells × 3 seeds. Exact, from the full factorial." in " ".join(notes.splitlines())
    assert [line.split("  ")[0] for line in shares.splitlines()[1:]] == [
        *(" × ".join(knobs) for knobs in found.shares["knobs"]), "seed"]  # fmt: skip
    assert [line.split()[:2] for line in effects.splitlines()[1:]] == [
        ["width", "32"], ["width", "64"], ["depth", "1"], ["depth", "2"]]  # fmt: skip
    assert max(map(cell_len, "\n".join((notes, shares, effects)).splitlines())) <= 60


@pytest.mark.parametrize(("n_seeds", "shapes", "said"), [
    (1, ((32, 1), (64, 1)), "One seed: its noise is part of every share."),
    (2, ((32, 1), (64, 1)), "Three seeds give the shares their intervals."),
    (3, ((32, 1), (64, 1), (64, 2)), "The cells are no full factorial"),
    (3, ((32, 1), (64, 1), (64, 2), (128, 2)), "only what differs within a depth"),
    (0, ((32, 1),), "no shares yet"),
])  # fmt: skip
def test_sensitivity_text_says_what_its_shares_cannot(plant, n_seeds, shapes, said):
    assert said in wording.sensitivity_text(factorial(n_seeds, plant, shapes), 1000)


def test_a_knob_s_meaning_counts_its_verdicts_and_tells_the_weightiest_findings(lab_evidence):
    found, findings = lab_evidence.verdicts, lab_evidence.findings
    own, chosen = found.rows[found.rows["knob"] == "width"], findings[findings["knob"] == "width"]
    count, *sentences = wording.knob_meaning(found, own, chosen)
    better, worse, equivalent, undecided = (
        (own["verdict"] == word).sum() for word in ("better", "worse", "equivalent", "undecided")
    )
    assert min(better, undecided) > 0
    assert count == (f"{len(own)} pairs of cells differ in this alone: {better + worse} told apart, {equivalent} "
                     f"equivalent, {undecided} undecided.")  # fmt: skip
    assert sentences == [wording.finding_sentence(found, row) for row in chosen.head(3).to_dict("records")]


def test_what_would_change_a_knob_s_verdicts_are_seeds_margin_and_other_training(lab_evidence):
    found = lab_evidence.verdicts
    own = found.rows[found.rows["knob"] == "depth"]
    undecided = own[own["verdict"] == "undecided"]
    seeds, margin, training = wording.knob_conditions(found, own)
    assert seeds.startswith(f"More seeds: {len(undecided)} of {len(own)} pairs are undecided; about ")
    assert f"about {undecided['seeds_to_decide'].min():.0f} more would settle the nearest." in seeds
    assert margin == "Another margin: equivalent means less than 0.2 points apart here."
    assert training.startswith("Other training: these cells had learning rate 0.001, batch size 32, epochs 10")
    unknown = undecided.assign(seeds_to_decide=math.nan)
    assert wording.knob_conditions(found, unknown)[0].endswith("pairs are undecided.")
    assert len(wording.knob_conditions(found, own[own["verdict"] != "undecided"])) == 2


def test_verdicts_of_a_tuned_study_say_that_each_cell_has_its_own_rate(tuned_evidence):
    found = tuned_evidence.verdicts
    assert wording.knob_conditions(found, found.rows)[-1].startswith(
        "Other training: these cells had learning rate 0.0005, 0.002, 0.008 (each its own best), batch size 32"
    )
    assert "best of it on validation digits" in wording.verdicts_text(found, 1000)
    assert "best of it on validation digits" in wording.sensitivity_text(tuned_evidence.sensitivity, 1000)


def test_sensitivity_text_says_when_shares_overlap(plant):
    found = factorial(3, plant, ((32, 1), (64, 1), (64, 2)))
    assert "share a part" not in wording.sensitivity_text(found, 1000)
    overlapping = dataclasses.replace(found, residual=-0.064)
    assert "The shares sum to 106 %: knobs that change together share a part." in wording.sensitivity_text(
        overlapping, 1000
    )


EQUIVALENT = (
    "16x64 relu and 4x64 relu are equivalent within 0.2 points (+0.01 ± 0.13 points, 20 seeds), "
    "16x64 relu at 1.8 times the parameters."
)
UNDECIDED = "16x64 relu against 4x64 relu: undecided (-0.09 ± 0.18 points, 20 seeds); {}."


@pytest.mark.parametrize(
    ("points", "verdict", "further", "sentence"),
    [
        ((-0.65, 0.14), "worse", 0.0, "16x64 relu is worse than 4x64 relu by 0.65 ± 0.14 points (20 seeds)."),
        ((0.65, 0.14), "better", 0.0, "16x64 relu is better than 4x64 relu by 0.65 ± 0.14 points (20 seeds)."),
        ((0.01, 0.13), "equivalent", 0.0, EQUIVALENT),
        ((-0.09, 0.18), "undecided", 25.0, UNDECIDED.format("about 25 more seeds would settle it")),
        ((-0.09, 0.18), "undecided", 1.0, UNDECIDED.format("about 1 more seed would settle it")),
        ((-0.09, 0.18), "undecided", math.nan, UNDECIDED.format("how many seeds would decide it cannot be said yet")),
    ],
)
def test_a_verdict_is_a_sentence(points, verdict, further, sentence):
    cells = pd.DataFrame({"label": ["16x64 relu", "4x64 relu"], "parameters": [113_290, 63_370]})
    value, half = (number / 100 for number in points)
    difference = Estimate(value, value - half, value + half, n=20, kind="crossed")
    row = {"knob": "depth", "a": 0, "b": 1, "difference": difference, "p": 0.0312, "p_holm": 0.0004,
           "verdict": verdict, "margin": 0.002, "seeds": 20, "seeds_to_decide": further}  # fmt: skip
    found = Verdicts(cells, {}, pd.DataFrame([row]))
    assert wording.verdict_sentence(found, row) == sentence
    assert wording.comparison_text(found, 1_000) == f"{sentence} p = 0.031."
    text = wording.verdicts_text(found, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert all(word in text for word in ("depth", verdict, "16x64 relu", "< 0.001"))
    assert "Replication: fixed" in text


@pytest.mark.parametrize(("wants", "said"), [(10, "up to 10 each"), (0, "given up")])
def test_an_open_verdict_of_an_adaptive_study_says_what_becomes_of_it(wants, said):
    cells = pd.DataFrame({"label": ["16x64 relu", "4x64 relu"], "parameters": [113_290, 63_370]})
    row = {"knob": "depth", "a": 0, "b": 1, "difference": Estimate(0.0, -0.01, 0.01, n=5, kind="crossed"), "p": 0.9,
           "p_holm": 0.9, "verdict": "undecided", "margin": 0.002, "seeds": 5, "seeds_to_decide": 80.0, "look": 5,
           "wants": wants}  # fmt: skip
    text = wording.verdicts_text(Verdicts(cells, {}, pd.DataFrame([row]), (5, 10)), 200)
    assert text.splitlines()[-1].endswith(said)
    assert "adaptive, looks at 5, 10 seeds" in text


def test_sensitivity_text_of_cells_that_all_collapsed_says_so(plant):
    shapes = ((8, 1), (16, 1), (16, 2))
    study = plant([(Cell(Architecture((width,) * depth)), 0.1, ("done",) * 3) for width, depth in shapes])
    found = sensitivity(study.cells, study.runs)
    assert (found.cells, found.collapsed, found.left_out) == (0, 9, 3)
    assert wording.sensitivity_text(found, 200).startswith("Networks collapsed (accuracy near guessing) in all 3 cells")


CLAIMS = """\
| Nodes | Accuracy | Training Time (s) | Parameters | Memory |
|---|---|---|---|---|
| 64 | 93.5% | 12000 | 51,914 | 10 kB |
| 96 | 97.35% | 3 | 76,330 | 450MB |
"""


def test_a_claim_that_is_not_borne_out_is_shown_beside_what_was_measured(lab_results):
    lines = wording.claims_text(judge_claims(read_claims(CLAIMS, "it.md"), lab_results.rows), 1000).splitlines()
    [row] = [row for row in lab_results.rows.to_dict("records") if row["label"] == "1x64 relu"]
    accuracy, steps = formatting.percent(row["accuracy"]), formatting.with_spread(row["seconds_steps"])
    of_64 = "it.md:3: 64 nodes,"
    assert lines[0] == f"{of_64} accuracy: 93.5 %: false: below the 95 % interval of 1x64 relu (measured: {accuracy} %)"
    assert lines[1].startswith(f"{of_64} seconds: 3 h 20 min: false: ")
    assert lines[1].endswith(f"(measured: {steps} s)")
    assert lines[2].startswith(f"{of_64} parameters: 51,914: false: 795 n + 10 = 51,914 has no whole n")
    assert lines[3].startswith(f"{of_64} bytes: 10 kB: false: its weights alone take 203,560 bytes")
    assert lines[-1] == "4 false, 1 true, 3 unsupported"


def test_a_document_without_claims_is_told_what_is_read():
    assert wording.claims_text([], 80).startswith("No claims about networks were found")
