"""What scripts may rely on: with `--json` stdout is one document with these keys, whatever else is said on stderr."""

import io
import json
import math
import re
import shlex
from dataclasses import replace

import pandas as pd
import pytest

from mnistlab import lab, wording
from mnistlab.analysis.sensitivity import sensitivity
from mnistlab.cli import documents
from mnistlab.conduct import Progress, RunSummary
from mnistlab.records import Measurement
from mnistlab.spec import Architecture, Cell, Training

NUMBER = (int, float)
TEXT = str


def maybe(kind):
    return lambda value: value is None or fits(value, kind)


def lots(kind):
    return lambda value: isinstance(value, list) and all(fits(item, kind) for item in value)


def identifier(length):
    return lambda value: re.fullmatch(f"[0-9a-f]{{{length}}}", value)


def one_of(*words):
    return lambda value: value in words


def fits(value, kind):
    """Whether a value is of a type, or has (at least) the keys of a mapping with values that fit."""
    if isinstance(kind, dict):
        assert set(kind) <= set(value), set(kind) - set(value)
        wrong = {key: value[key] for key in kind if not fits(value[key], kind[key])}
        assert not wrong, wrong
        return True
    if isinstance(kind, type | tuple):
        return isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
    return bool(kind(value))


def estimate(*kinds):
    def check(value):
        shape = {"value": maybe(NUMBER), "low": maybe(NUMBER), "high": maybe(NUMBER), "level": float, "n": int,
                 "kind": one_of(*kinds)}  # fmt: skip
        ends = [value["low"], value["value"], value["high"]]
        assert None in ends or ends == sorted(ends)
        return set(value) == set(shape) and fits(value, shape)

    return check


T = estimate("t")
CELL = {
    "cell": identifier(12), "label": TEXT, "dataset": TEXT, "framework": one_of("keras", "sklearn"),
    "hidden_layer_sizes": lots(int), "activations": lots(TEXT), "batch_norm": bool, "dropout": float,
    "split": {"protocol": TEXT, "train_fraction": float, "validation_fraction": float}, "features": lots(TEXT),
    "training": {"optimizer": TEXT, "learning_rate": float, "schedule": TEXT, "batch_size": int, "epochs": int,
                 "early_stopping_patience": maybe(int), "l2": float},
    "parameters": int, "flops_per_step": int,
}  # fmt: skip
PLAN = {
    "study": TEXT, "cells": lots({**CELL, "seeds": int, "to_do": int, "predicted_seconds": NUMBER}), "networks": int,
    "to_do": int, "parameters_total": int, "flops_total": int, "peak_bytes": int,
    "predicted_seconds": estimate("prediction"), "engine_groups": lots({"engine": TEXT, "members": int, "cells": int}),
}  # fmt: skip
RUN = {"study": TEXT, "done": int, "failed": int, "diverged": int, "to_do": int, "seconds": float,
       "stopped": one_of(None, "budget", "interrupted")}  # fmt: skip
STATUS = {"studies": lots({
    "study": TEXT, "planned": int, "running": int, "done": int, "failed": int, "diverged": int, "timeout": int,
    "networks_per_second": maybe(NUMBER), "eta_seconds": maybe(NUMBER),
})}  # fmt: skip
RESULTS = {"study": TEXT, "resolution": maybe(float), "rows": lots({
    **CELL, "seeds": int, "trained": int, "collapsed": int, "diverged": int, "engine": TEXT,
    "accuracy": estimate("crossed", "wilson"), "accuracy_trained": estimate("crossed", "wilson"),
    "accuracy_these_digits": T, "validation_accuracy": T, "log_loss": T, "macro_f1": T, "ece": T, "ece_floor": float,
    "epochs_done": T, "stopped_by": {"epochs": int}, "seconds_steps": T, "seconds_end_to_end": T,
    "timing": one_of("alone", "packed"), "peak_bytes": T, "parameter_bytes": int, "inference_us_per_image": T,
    "energy_joules": maybe(T),
})}  # fmt: skip
SHARE = estimate("jackknife")
SENSITIVITY = {
    "study": maybe(TEXT), "metric": one_of("accuracy"), "method": one_of("anova", "permutation"),
    "conditional_on": one_of(None, "depth"), "shares": lots({"knobs": lots(TEXT), "share": SHARE, "total": SHARE}),
    "higher_interactions": SHARE, "seed_noise": SHARE, "residual": maybe(NUMBER), "cells": int, "seeds": int,
    "collapsed": int, "effects": lots({"knob": TEXT, "level": maybe((int, float, str, bool)), "cells": int,
                                       "accuracy": estimate("crossed", "wilson", "t")}),
}  # fmt: skip
EVALUATION = {"n": int, "accuracy": float, "log_loss": float, "brier": float, "macro_precision": float,
              "macro_recall": float, "macro_f1": float, "ece": float, "ece_floor": float, "bin_count": lots(int),
              "bin_confidence": lots(maybe(float)), "bin_accuracy": lots(maybe(float))}  # fmt: skip
SHOW = {
    **CELL, "run": identifier(16), "seed": int, "status": one_of("done"), "attempt": int, "started_at": float,
    "finished_at": float, "studies": lots(TEXT), "engine": TEXT, "program": TEXT, "members": int, "epochs_asked": int,
    "epochs_done": int, "stopped_by": TEXT, "weights_sha256": identifier(64), "differences": lots(TEXT),
    "epochs": lots({"epoch": int, "train_loss": float, "validation_loss": float, "validation_accuracy": float,
                    "test_accuracy": float}),
    "environment": {"python": TEXT, "packages": list, "device": TEXT, "threads": int, "data_sha256": identifier(64)},
    "ledger": {"steps_seconds": float, "compile_seconds": float, "cpu_seconds": float, "end_to_end_seconds": float},
    "test": EVALUATION, "validation": EVALUATION, "command": TEXT,
}  # fmt: skip
DATA = {"dataset": TEXT, "train": int, "test": int, "shape": lots(int), "classes": lots(TEXT),
        "class_counts": lots(int), "sha256": identifier(64), "source": TEXT}  # fmt: skip


def document(answer, shape):
    found = answer.document
    assert found.pop("schema_version") == 1
    assert fits(found, shape)
    return found


COMPARISON = {
    "a": CELL, "b": CELL, "difference": estimate("crossed", "mcnemar"), "margin": float, "p": float, "p_holm": float,
    "verdict": one_of("better", "worse", "equivalent", "undecided"), "seeds": int, "seeds_to_decide": maybe(int),
}  # fmt: skip
VERDICTS = {"study": TEXT, "families": lots({"knob": TEXT, "rows": lots(COMPARISON)})}
CLAIMS = {"counts": dict, "claims": lots({
    "file": TEXT, "line": int, "subject": TEXT, "claimed": NUMBER, "reason": TEXT,
    "quantity": one_of("parameters", "accuracy", "seconds", "bytes", "other"),
    "status": one_of("true", "inside band", "false", "unsupported"),
})}  # fmt: skip

PARAMETERS = {"tiny": 64 * 8 + 8 + 8 * 10 + 10, "single": 64 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10 + 4 * (16 + 8)}
LABELS = {"tiny": "1x8 relu, digits, sklearn, 3 epochs", "single": "16-8 relu-tanh, digits, batch norm, 2 epochs"}
SEEDS = {"tiny": 2, "single": 1}
STUDIES = pytest.mark.parametrize("study", ["tiny", "single"])


@STUDIES
def test_plan_prices_every_cell_before_anything_is_run(finished, study):
    plan, seeds = document(finished.plan[study], PLAN), SEEDS[study]
    assert (plan["study"], plan["networks"], plan["to_do"]) == (study, seeds, seeds)
    (cell,) = plan["cells"]
    assert (cell["label"], cell["parameters"], cell["seeds"]) == (LABELS[study], PARAMETERS[study], seeds)
    engine, program = {"tiny": ("reference", "MLPClassifier.fit"), "single": ("population", "one network")}[study]
    assert plan["engine_groups"] == [{"engine": engine, "program": program, "members": 1, "groups": seeds, "cells": 1}]
    assert plan["parameters_total"] == seeds * PARAMETERS[study]
    assert finished.plan[study].err == ""


@STUDIES
def test_run_says_what_was_done_and_keeps_everything_else_on_stderr(finished, study):
    run = document(finished.run[study], RUN)
    assert (run["study"], run["done"], run["to_do"], run["stopped"]) == (study, SEEDS[study], 0, None)
    assert f"{study}: " in finished.run[study].err


def test_plan_and_run_find_nothing_to_do_once_all_is_done(mnistlab, beside):
    file = beside.folder / "tiny.toml"
    plan = document(mnistlab("plan", file, "--json"), PLAN)
    assert (plan["networks"], plan["to_do"], plan["predicted_seconds"]["value"], plan["engine_groups"]) == (2, 0, 0, [])
    run = document(mnistlab("run", file, "--json"), RUN)
    assert (run["done"], run["to_do"]) == (2, 0)
    document(mnistlab("run", beside.folder / "single.toml", "--json"), RUN)  # the study run last, as before


def test_status_counts_runs(mnistlab, beside):
    studies = document(mnistlab("status", "--json"), STATUS)["studies"]
    assert {study["study"]: study["done"] for study in studies} == SEEDS
    assert all(study["networks_per_second"] > 0 == study["planned"] == study["eta_seconds"] for study in studies)
    assert mnistlab("status", "tiny", "--json").document["studies"] == [s for s in studies if s["study"] == "tiny"]


@STUDIES
def test_results_has_every_number_with_its_interval(mnistlab, beside, study):
    answer = mnistlab("results", study, "--json")
    results = document(answer, RESULTS)
    assert answer.err == ""
    (row,) = results["rows"]
    assert (results["study"], row["label"], row["parameters"]) == (study, LABELS[study], PARAMETERS[study])
    assert (row["seeds"], row["trained"] + row["collapsed"], row["diverged"]) == (SEEDS[study], SEEDS[study], 0)
    kind = {"tiny": ("crossed", 2), "single": ("wilson", 257)}[study]
    assert (row["accuracy"]["kind"], row["accuracy"]["n"], row["log_loss"]["n"]) == (*kind, SEEDS[study])
    assert 0 <= row["accuracy"]["low"] < row["accuracy"]["high"] <= 1
    assert row["stopped_by"] == {"epochs": SEEDS[study]}
    assert row["parameter_bytes"] >= 4 * 4 * row["trainable_parameters"]  # weights, gradients, Adam's two moments


def test_results_takes_a_name_a_file_or_the_study_run_last(mnistlab, beside):
    by_name = mnistlab("results", "single", "--json").out
    assert mnistlab("results", beside.folder / "single.toml", "--json").out == by_name
    assert mnistlab("results", "--json").out == by_name


@STUDIES
def test_results_as_csv_hold_the_numbers_of_the_json_document(mnistlab, beside, study):
    rows = mnistlab("results", study, "--json").document["rows"]
    table = pd.read_csv(io.StringIO(mnistlab("results", study, "--csv").out))
    assert list(table["cell"]) == [row["cell"] for row in rows]
    assert list(table["label"]) == [row["label"] for row in rows]
    assert list(table["hidden_layer_sizes"].astype(str)) == [{"tiny": "8", "single": "16-8"}[study]]
    for name in ("accuracy", "log_loss", "seconds_steps"):
        for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"), ("_n", "n")):
            numbers = [None if pd.isna(number) else number for number in table[name + suffix]]
            assert numbers == [row[name][end] for row in rows]


def test_compare_says_what_the_common_seed_shows(mnistlab, beside):
    found = document(mnistlab("compare", LABELS["single"], LABELS["tiny"], "--json"), COMPARISON)
    assert (found["a"]["label"], found["b"]["label"]) == (LABELS["single"], LABELS["tiny"])
    assert (found["seeds"], found["difference"]["kind"], found["difference"]["n"]) == (1, "mcnemar", 257)
    rows = {study: mnistlab("results", study, "--json").document["rows"][0] for study in ("tiny", "single")}
    turned = mnistlab("compare", found["b"]["cell"], found["a"]["cell"][:6], "--margin", 50, "--json").document
    assert turned["difference"]["value"] == -found["difference"]["value"]
    assert (turned["p"], turned["margin"]) == (found["p"], 0.5)
    said = mnistlab("compare", LABELS["single"], LABELS["tiny"]).out
    assert said.startswith(LABELS["single"])
    assert "undecided, one seed says nothing of the cells" in said.replace("\n", " ")
    assert found["verdict"] == "undecided"
    assert rows["single"]["seeds"] == 1


def test_verdicts_stand_knob_by_knob(mnistlab, process, home):
    flags = ("--dataset", "digits", "--framework", "sklearn", "--nodes", "4,8", "--depth", "1,2", "--epochs", 2)
    assert process("run", *flags, "--seeds", 2, cwd=home).status == 0
    found = document(mnistlab("verdicts", "--json"), VERDICTS)
    labels = {family["knob"]: [(row["a"]["label"], row["b"]["label"]) for row in family["rows"]]
              for family in found["families"]}  # fmt: skip
    one, two = (f"{depth}x{{}} relu, digits, sklearn, 2 epochs" for depth in (1, 2))
    assert labels == {
        "width": [(one.format(8), one.format(4)), (two.format(8), two.format(4))],
        "depth": [(two.format(4), one.format(4)), (two.format(8), one.format(8))],
    }
    assert (found["replication"], found["looks"]) == ("fixed", [])
    said = mnistlab("verdicts").out
    assert [line for line in said.splitlines() if line in labels] == ["width", "depth"]


def test_verify_finds_the_false_number_and_ends_with_7(mnistlab, home):
    (home / "README.md").write_text("| Nodes | Parameters |\n|---|---|\n| 4 | 3,214 |\n| 32 | 25,450 |\n")
    answer = mnistlab("verify", "README.md", "--json")
    assert answer.status == 7
    found = json.loads(answer.out)
    assert fits(found, CLAIMS)
    assert found["counts"] == {"false": 1, "true": 1}
    assert [(claim["line"], claim["claimed"], claim["status"]) for claim in found["claims"]] == [
        (3, 3214, "false"), (4, 25_450, "true"),
    ]  # fmt: skip
    said = mnistlab("verify", "README.md").out
    assert "README.md:3" in said
    assert said.splitlines()[-1] == "1 false, 1 true"
    (home / "README.md").write_text("No claims here.\n")
    assert mnistlab("verify", "README.md").status == 0


def test_sensitivity_shares_out_the_variance(plant):
    planted = plant([
        (Cell(Architecture((width,) * depth), training=Training(early_stopping_patience=patience)), 0.9 + 0.02 * depth,
         ("done",) * 3) for width in (32, 64) for depth in (1, 2) for patience in (None, 5)
    ])  # fmt: skip
    found = wording.sensitivity_json(sensitivity(planted.cells, planted.runs), "mine")
    assert fits(found, {**SENSITIVITY, "schema_version": int})
    assert (found["method"], found["conditional_on"], found["cells"], found["seeds"]) == ("anova", None, 8, 3)
    assert found["shares"][0]["knobs"] == ["depth"]
    assert sum(share["share"]["value"] for share in found["shares"]) + found["residual"] == pytest.approx(1)
    assert [(row["knob"], row["level"]) for row in found["effects"]] == [
        ("width", 32), ("width", 64), ("depth", 1), ("depth", 2), ("early_stopping_patience", None),
        ("early_stopping_patience", 5)]  # fmt: skip
    assert json.dumps(found["effects"][-1]["level"]) == "5"


def test_the_sensitivity_of_one_cell_is_its_seeds(mnistlab, beside):
    found = document(mnistlab("sensitivity", "tiny", "--json"), SENSITIVITY)
    assert (found["study"], found["shares"], found["effects"]) == ("tiny", [], [])
    assert (found["seed_noise"]["value"], found["residual"], found["cells"], found["seeds"]) == (1, 1, 1, 2)
    assert mnistlab("sensitivity", "tiny").out.splitlines()[-1].split() == ["seed", "100", "–"]
    assert document(mnistlab("sensitivity", "--json"), SENSITIVITY)["study"] == "single"


@pytest.fixture
def runs(mnistlab, beside):
    """The ids of a study's runs, by its name."""
    return {study: mnistlab("results", study, "--json").document["rows"][0]["runs"] for study in SEEDS}


def test_show_has_all_that_is_stored_about_a_run(mnistlab, runs):
    for run, study in ((run, study) for study, ids in runs.items() for run in ids):
        shown = document(mnistlab("show", run[:8], "--json"), SHOW)
        assert (shown["run"], shown["studies"]) == (run, [study])
        assert len(shown["epochs"]) == shown["epochs_done"] == shown["training"]["epochs"] == shown["epochs_asked"]
        assert shown["epochs"][-1]["test_accuracy"] == pytest.approx(shown["test"]["accuracy"])
        assert (shown["test"]["n"], sum(shown["test"]["bin_count"]), len(shown["test"]["bin_accuracy"])) == (
            257,
            257,
            15,
        )
        parts = ("data_seconds", "compile_seconds", "steps_seconds", "evaluation_seconds")
        assert shown["ledger"]["end_to_end_seconds"] == sum(shown["ledger"][part] for part in parts)
        assert mnistlab("show", run, "--command").out.strip() == shown["command"]


def test_show_names_the_cost_of_kept_features_where_there_is_one(mnistlab, beside, runs):
    run = runs["tiny"][0]
    assert "features" not in mnistlab("show", run).out
    detail = lab.open_store(beside.store).run_detail(run)
    costly = replace(detail.result, ledger=replace(detail.result.ledger, features_seconds=21.76))
    assert ", features 21.8 s\n" in documents.run_text(replace(detail, result=costly), 80)


@pytest.mark.parametrize("study", ["tiny", pytest.param("single", marks=pytest.mark.long)])
def test_the_command_that_show_prints_trains_the_same_network_again(mnistlab, process, home, runs, study):
    run = runs[study][-1]
    words = shlex.split(mnistlab("show", run, "--command").out)
    assert words[:2] == ["mnistlab", "run"]
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(home / "compiled")}  # nothing is taken over from the first time
    assert process(*words[1:], "--json", cwd=home, **compiled).document["done"] == 1
    first = mnistlab("show", run, "--json").document
    again = mnistlab("show", run, "--json", "--store", "repeat.sqlite").document
    same = ("run", "cell", "weights_sha256", "epochs", "test", "validation")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}


def test_report_is_one_file_that_holds_the_table(mnistlab, home, beside):
    assert mnistlab("report", "tiny", "--json").document == {"schema_version": 1, "report": "reports/tiny.html"}
    assert "1x8 relu, digits, sklearn" in (home / "reports" / "tiny.html").read_text(encoding="utf-8")
    table = (home / "reports" / "tiny" / "results.csv").read_text(encoding="utf-8")
    assert table == mnistlab("results", "tiny", "--csv").out
    drawn = {path.stem for path in (home / "reports" / "tiny").glob("*.svg")}
    assert drawn <= {path.stem for path in (home / "reports" / "tiny").glob("*.csv")}


def test_a_report_that_cannot_be_written_is_a_fault_of_the_machine(mnistlab, home, beside):
    (home / "reports").write_text("in the way")
    answer = mnistlab("report", "tiny")
    assert (answer.status, answer.out) == (5, "")
    assert answer.err == (
        "mnistlab: error: reports/tiny.html: cannot be written: file exists (make room, or name another place)\n"
    )


def test_an_event_with_a_number_that_is_none_is_told_and_ends_nothing():
    happened = [
        Progress("lab", 1, 0, 2, math.nan, 0.0, math.inf),
        Measurement("c", "a", "keras", math.nan, None, 1, None, 1.0, None, environment=None),
    ]
    told = [line for event in happened for line in documents.event_documents(event)]
    assert (told[0]["seconds"], told[0]["eta_seconds"], told[1]["seconds_per_step"]) == (None, None, None)
    json.dumps(told, allow_nan=False)


def test_data_show_describes_a_data_set(mnistlab):
    shown = document(mnistlab("data", "show", "digits", "--json"), DATA)
    assert (shown["train"], shown["test"], shown["shape"]) == (1540, 257, [8, 8])
    assert (sum(shown["class_counts"]), shown["classes"]) == (1797, [str(digit) for digit in range(10)])
    assert mnistlab("data", "fetch", "digits", "--json").document["datasets"] == [
        {"dataset": "digits", "source": "scikit-learn"}]  # fmt: skip


@pytest.mark.parametrize(("stored", "words"), [
    (False, ()), (False, ("smoke",)), (False, ("mine.toml",)), (True, ("smoke",)), (True, ("mine.toml",)),
], ids=str)  # fmt: skip
def test_what_was_never_run_is_an_empty_list(mnistlab, home, request, stored, words):
    if stored:
        request.getfixturevalue("beside")
    (home / "mine.toml").write_text("[model]\nnode_counts = [4]", encoding="utf-8")
    results = mnistlab("results", *words, "--json").document
    assert (results["rows"], results["resolution"]) == ([], None)
    assert results["study"] == (words[0].removesuffix(".toml") if words else None)
    assert mnistlab("status", *words, "--json").document["studies"] == []
    assert mnistlab("verdicts", *words, "--json").document["families"] == []
    assert mnistlab("verdicts", *words).out.startswith("No two cells")
    sensitivity = mnistlab("sensitivity", *words, "--json").document
    assert (sensitivity["shares"], sensitivity["effects"], sensitivity["residual"]) == ([], [], None)
    assert mnistlab("sensitivity", *words).out.startswith("No seed is finished")
    assert [mnistlab(*line, *words).status for line in (["results"], ["results", "--csv"], ["status"])] == [0, 0, 0]
    assert [path.name for path in home.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("reader", ["results", "status", "report", "sensitivity", "verdicts"])
def test_a_name_that_no_study_has_is_an_error(mnistlab, beside, reader):
    answer = mnistlab(reader, "tinny", "--json")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("mnistlab: error: study tinny: ")


ALONE = """
import sys
from mnistlab.cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("reader", ["results", "show", "report", "sensitivity", "verdicts"])
def test_readers_need_the_store_alone(process, home, finished, runs, reader):
    words = [reader, *(runs["single"] if reader == "show" else []), "--json"]
    answer = process(*words, cwd=home, program=("-c", ALONE), MNISTLAB_STORE=str(finished.store))
    never = {"jax", "keras", "sklearn"} - ({"sklearn"} if reader == "report" else set())  # it brings `digits`' pictures
    assert (answer.status, never & set(answer.err.split())) == (0, set())
    assert json.loads(answer.out)["schema_version"] == 1


@pytest.mark.parametrize(("diverged", "failed", "to_do", "said"), [
    (0, 0, 3, "7 of 10 runs finished and kept; `mnistlab run smoke` goes on"),
    (2, 1, 1, "9 of 10 runs finished and kept (1 failed, 2 diverged); `mnistlab run smoke` goes on"),
    (3, 0, 0, "10 of 10 runs finished and kept (3 diverged) in 12 s; `mnistlab results smoke` shows them"),
])  # fmt: skip
def test_what_diverged_is_finished_and_kept_too(diverged, failed, to_do, said):
    summary = RunSummary("smoke", 7, failed, diverged, 0, to_do, 12.0, None, 0)
    assert documents.summary_text(summary, "smoke", "") == said
