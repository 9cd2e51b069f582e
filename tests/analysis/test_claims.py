"""Claims whose truth is known: by arithmetic, or by a table of results that was planted."""

import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.analysis.claims import judge_claims
from mnistlab.analysis.estimate import Estimate
from mnistlab.claim_tables import read_claims
from mnistlab.formatting import document
from mnistlab.spec import Architecture, Cell, Training
from mnistlab.tabulation import results_text

WIDTHS = (4, 32, 64, 128, 512, 2056)
INVENTED = ("3,214", "25,962", "51,914", "103,818", "415,242", "1,661,962")
TRUE = ("3,190", "25,450", "50,890", "101,770", "407,050", "1,634,530")


def table(header, *rows):
    return "\n".join([f"return model| {header} |", "|---" * (header.count("|") + 1) + "|", *(f"| {r} |" for r in rows)])


def result(cell, accuracy=(0.97, 0.965, 0.975), **others):
    return {"cell": cell.id, "label": cell.label, **cell.settings(), "seeds": 3,
            "parameters": cell.architecture.parameters(784, 10), "parameter_bytes": 800,
            "accuracy": Estimate(*accuracy, n=3, kind="crossed"), "seconds_steps": Estimate(2.0, 1.8, 2.2),
            "peak_bytes": Estimate(5e8, n=1), "seconds_per_step": Estimate(None), "steps_per_epoch": 1688,
            "epochs_done": Estimate(10.0), **others}  # fmt: skip


def cell(sizes, activation="relu", **training):
    return Cell(Architecture(sizes, activation), training=Training(**training))


def judged(text, *rows):
    return judge_claims(read_claims(text), pd.DataFrame(rows) if rows else None)


def verdict(text, *rows):
    (claim,) = judged(text, *rows)
    return claim.status, claim.reason


@pytest.mark.parametrize(("width", "invented", "true"), [*zip(WIDTHS, INVENTED, TRUE, strict=True)])
def test_the_invented_counts_are_false_for_a_reason_and_the_true_ones_true(width, invented, true):
    status, reason = verdict(table("Nodes | Parameters", f"{width} | {invented}"))
    assert status == "false"
    assert reason.startswith(
        f"795 n + 10 = {invented} has no whole n; {width:,} nodes have {true} = 784·{width} + {width}"
    )
    (claim,) = judged(table("Nodes | Parameters", f"{width} | {true}"))
    assert (claim.status, claim.measured) == ("true", 795 * width + 10)


@given(st.integers(1, 65_536), st.integers(1, 10**9))
def test_no_whole_n_is_said_exactly_when_there_is_none(width, count):
    status, reason = verdict(f"{width} nodes: {count:,} parameters")
    assert (status == "true") == (count == 795 * width + 10)
    possible = count > 10 and (count - 10) % 795 == 0
    assert ("no whole n" in reason) == (not possible)
    if possible and status == "false":
        assert f"{count:,} is the count of {(count - 10) // 795:,} node" in reason


@pytest.mark.parametrize(("line", "status"), [
    ("parameters of 4x64: 63,370", "true"), ("parameters of 4x64: 63.4k", "true"),
    ("parameters of 4x64: 63.3k", "false"),
    ("parameters of 784-128-64-10: 109,386", "true"), ("parameters of 4 nodes: 3.2k", "true"),
    ("parameters of 2056 nodes: 1.63M", "true"), ("parameters of 2056 nodes: 1.66M", "false"),
    ("parameters of 4 nodes: ~3,200", "true"), ("parameters of 4 nodes: 3,200", "false"),
    ("parameters (16x64 relu, batch norm): 117,386", "true"), ("parameters (64 nodes, digits): 4,810", "true"),
    ("trainable parameters (16x64 relu, batch norm): 115,338", "true"),
    ("parameters of a 4-layer DNN: 63,370", "true"), ("parameters of a 4-layer DNN: 63,371", "unsupported"),
    ("parameters of a 4-layer DNN: 801", "false"), ("parameters of 1 layer: 3,214", "false"),
    ("parameters of 99999 nodes: 3,214", "unsupported"),
])  # fmt: skip
def test_parameters_are_arithmetic_and_need_no_results(line, status):
    assert verdict(line)[0] == status


@pytest.mark.parametrize(("claim", "status"), [
    ("97.0 %", "true"), ("97%", "true"), ("0.97", "true"), ("97.3 %", "inside band"), ("96.5 %", "inside band"),
    ("98 ± 1 %", "inside band"), ("97.6 %", "false"), ("94.5 ± 1 %", "false"), ("101 %", "false"),
])  # fmt: skip
def test_an_accuracy_is_judged_by_its_digits_then_by_the_interval(claim, status):
    assert verdict(f"accuracy of 64 nodes: {claim}", result(cell((64,))))[0] == status


def test_what_is_unsaid_is_at_its_default_and_no_other_cell_stands_in():
    others = [result(cell((64,), "tanh")), result(cell((64,), epochs=50)), result(cell((32,)))]
    status, reason = verdict("accuracy of 64 nodes: 97 %", *others)
    assert status == "unsupported"
    assert "no finished run of 1x64 relu in these results; `mnistlab run --layers 64` would measure it" in reason
    assert verdict("1x64 relu, 50 epochs: 97 %", *others)[0] == "true"


def test_a_cell_that_was_only_planned_supports_nothing():
    planned = result(cell((64,)), (None, None, None), seeds=0)
    assert verdict("64 nodes: 97 %", planned)[0] == "unsupported"


def test_seconds_and_bytes_are_held_to_a_factor_because_machines_differ():
    row = result(cell((64,)))
    statuses = {text: verdict(f"64 nodes: {text}", row)[0] for text in (
        "2 s", "2.1 s", "21 s", "0.2 s", "23 s", "0.1 s", "500 MB", "1.2 GB", "1.6 GB", "100 kB")}  # fmt: skip
    assert statuses == {
        "2 s": "true", "2.1 s": "inside band", "21 s": "inside band", "0.2 s": "inside band", "23 s": "false",
        "0.1 s": "false", "500 MB": "true", "1.2 GB": "inside band", "1.6 GB": "false", "100 kB": "false",
    }  # fmt: skip
    assert "on the machine of these results" in verdict("64 nodes: 21 s", row)[1]


def test_a_training_time_may_be_that_of_a_network_by_itself():
    alone = result(cell((64,)), seconds_per_step=Estimate(0.001, n=1))  # 16.88 s, where the cohort's share is 2 s
    statuses = [verdict(f"64 nodes: {text}", alone)[0] for text in ("168 s", "170 s", "0.1 s")]
    assert statuses == ["inside band", "false", "false"]


def test_less_memory_than_the_weights_take_is_false_without_any_results():
    assert verdict("memory of 64 nodes: 100 kB") == ("false", "its weights alone take 203,560 bytes, 4 each")


def test_a_depth_alone_is_borne_out_by_any_width_and_refuted_by_none():
    rows = [result(cell((64,) * 4)), result(cell((128,) * 4), (0.98, 0.975, 0.985)), result(cell((64,) * 5))]
    status, reason = verdict("4-layer DNN: 98 %", *rows)
    assert (status, reason) == (
        "true",
        "no width is said; equals what was measured of 4x128 relu, to the digits printed",
    )
    other = result(cell((64,) * 4, "tanh"), (0.90, 0.89, 0.91))
    assert verdict("4-layer DNN: 90 %", *rows, other)[0] == "unsupported"
    assert "--layers 64-64-64" in verdict("3-layer DNN: 90 %", *rows)[1]


@pytest.mark.parametrize("network", ["Basic FFN", "CNN", "4x64 vs 4x128", "784-10", "3-layer relu-tanh"])
def test_a_network_that_cannot_be_told_is_unsupported_with_the_reason(network):
    status, reason = verdict(f"| Network | Accuracy |\n|---|---|\n| {network} | 97 % |", result(cell((64,))))
    assert status == "unsupported"
    assert reason


def test_a_quantity_nothing_measures_is_unsupported():
    (claim,) = judged(table("Nodes | Training accuracy", "4 | 99 %"), result(cell((4,))))
    assert (claim.quantity, claim.status, claim.measured) == ("other", "unsupported", None)


def test_one_measurement_without_a_spread_refutes_nothing():
    row = result(cell((64,)), accuracy_these_digits=Estimate(0.97, n=1))
    text = "cell  on these digits %\n1x64 relu  {}"
    assert verdict(text.format("97.0 (1)"), row)[0] == "true"
    assert verdict(text.format("95.0 (1)"), row)[0] == "unsupported"


def test_our_own_tables_are_true_of_the_results_they_print(lab_results):
    claims = judge_claims(read_claims(results_text(lab_results, 10_000)), lab_results.rows)
    assert len(claims) > 150
    assert {claim.status for claim in claims} == {"true"}


def test_every_parameter_count_in_our_own_documents_is_true():
    root = Path(__file__).parents[2]
    texts = [path.read_text(encoding="utf-8") for path in (root / "README.md", *sorted((root / "docs").glob("*.md")))]
    counts = [claim for text in texts for claim in judged(text) if claim.quantity == "parameters"]
    assert len(counts) >= 4
    assert [claim for claim in counts if claim.status != "true"] == []


def test_a_table_of_other_results_is_not(lab_results):
    worse = lab_results.rows.copy()
    worse["accuracy"] = [Estimate(0.5, 0.49, 0.51)] * len(worse)
    claims = judge_claims(read_claims(results_text(lab_results, 10_000)), worse)
    assert {c.status for c in claims if c.quantity == "accuracy"} == {"true", "false"}


def test_the_label_of_a_users_own_data_set_is_found_by_itself():
    own = Cell(Architecture((64,)), dataset="shapes.npz")
    row = {**result(own), "parameters": 4_000}
    assert verdict("| cell | parameters |\n|---|---|\n| 1x64 relu, shapes.npz | 4,000 |", row)[0] == "true"
    assert verdict("| cell | parameters |\n|---|---|\n| 1x64 relu, shapes.npz | 50,890 |", row)[0] == "false"


def test_judged_claims_have_the_public_shape():
    claims = judge_claims(read_claims("64 nodes: 97 %", "README.md"), pd.DataFrame([result(cell((64,)))]))
    (shown,) = document(claims=claims)["claims"]
    assert list(shown) == ["file", "line", "subject", "quantity", "claimed", "measured", "status", "reason"]
    assert (shown["file"], shown["line"], shown["claimed"], shown["measured"]["value"]) == ("README.md", 1, 0.97, 0.97)


@given(
    st.from_regex(re.compile(r"(?:[0-9]{1,4}[x-]?){1,6} (?:nodes|layers|relu)?: [0-9.,e]{1,40} ?(?:%|s|MB|parameters)"))
)
def test_no_claim_raises(text):
    for claim in judged(text, result(cell((64,)))):
        assert claim.status in ("true", "inside band", "false", "unsupported")
