"""The door: what the two grammars accept, what they make of it, and the one line in which they refuse."""

import copy
import os
import re
import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.errors import ConfigurationError
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.spec import ACTIVATIONS, Architecture, Cell, Features, Split, Training
from mnistlab.study import (
    FLAGS,
    Study,
    flags_of,
    load_config,
    load_space,
    shipped_studies,
    study_from_flags,
    with_cells,
    with_seeds,
)

ROOT = Path(__file__).parents[1]
CONFIG = runpy.run_path(str(ROOT / "config.py"))["CONFIG"]


def refusal(source):
    with pytest.raises(ConfigurationError) as caught:
        load_config(source)
    assert caught.value.exit_status == 2
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 1000
    return line


def file(folder, text, name="study.toml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Studies that ship


def test_the_shipped_studies_have_the_cells_and_seeds_they_promise():
    sizes = {name: (len(load_config(name).cells), len(load_config(name).seeds)) for name in shipped_studies()}
    assert sizes == {"factors": (54, 3), "grid": (360, 3), "lab": (54, 20), "smoke": (6, 1), "plain": (1, 5),
                     "strong": (1, 5), "deformed": (1, 5)}  # fmt: skip


def test_every_shipped_study_is_named_like_its_file():
    assert [load_config(name).name for name in shipped_studies()] == list(shipped_studies())


def test_grid_is_the_config_of_the_original():
    assert load_config("grid").cells == load_config(CONFIG).cells == load_config(ROOT / "config.py").cells
    assert {cell.training.early_stopping_patience for cell in load_config("grid").cells} == {5}


def test_smoke_is_three_networks_in_both_frameworks_on_a_quarter_of_the_digits():
    cells = load_config("smoke").cells
    assert [f"{cell.framework} {cell.architecture}" for cell in cells] == [
        f"{framework} {shape} relu" for shape in ("1x32", "1x64", "2x64") for framework in ("keras", "sklearn")
    ]
    assert {(c.split.train_fraction, c.training.epochs, c.training.batch_size) for c in cells} == {(0.25, 3, 32)}


def test_lab_changes_exactly_one_thing_at_a_time():
    labels = [cell.label for cell in load_config("lab").cells]
    assert len(set(labels)) == 54
    for network in ("4x64 relu", "16x64 relu"):
        for change in ("batch norm", "dropout 0.2", "cosine", "50 epochs, patience 5", "30 epochs"):
            assert f"{network}, {change}" in labels
    assert sum(", train " in label for label in labels) == 8


def test_lab_has_mlpclassifiers_own_defaults_at_six_numbers_of_iterations():
    own = [cell for cell in load_config("lab").cells if cell.training.tol is not None]
    assert [cell.training.epochs for cell in own] == [10, 20, 50, 100, 150, 200]
    assert {(c.framework, c.training.batch_size, c.training.epsilon, c.training.tol) for c in own} == {
        ("sklearn", 200, 1e-8, 1e-4)
    }
    # alpha / 2 · Σw² / n, with alpha 1e-4 and n 200, is 2.5e-7 · Σw².
    assert {cell.training.l2 for cell in own} == {1e-4 / (2 * 200)}


# The grammar of a file


def test_the_example_of_the_documentation_is_four_cells_in_the_order_of_the_file(tmp_path):
    study = load_config(file(tmp_path, """
        name = "mine"
        features = [["scale"], ["standardize", "pca:50"]]
        [data]
        train_test_splits = [1.0]
        [model]
        layers = [[256, 128, 64]]
        activations = ["relu", ["relu", "tanh", "relu"]]
        [training]
        epochs = 10
    """))  # fmt: skip
    assert (study.name, study.seeds) == ("mine", (0, 1, 2))
    assert [cell.label for cell in study.cells] == [
        "256-128-64 relu", "256-128-64 relu, standardize+pca:50",
        "256-128-64 relu-tanh-relu", "256-128-64 relu-tanh-relu, standardize+pca:50",
    ]  # fmt: skip


def test_every_list_is_a_factor_and_a_scalar_is_fixed():
    config = {"dataset": ["mnist", "digits"], "frameworks": ["keras", "sklearn"],
              "data": {"validation_split": [0.1, 0.2], "batch_size": [32, 64]},
              "model": {"node_counts": [8, 16], "layer_depths": 2},
              "training": {"learning_rate": [0.001, 0.01], "early_stopping_patience": [None, 3]}}  # fmt: skip
    assert len(load_config(config).cells) == 2**7


@pytest.mark.parametrize(("features", "pipelines"), [
    ("standardize", [("standardize",)]),
    (["scale", "standardize"], [("scale",), ("standardize",)]),
    ([["scale", "pca:50"], "scale"], [("scale", "pca:50"), ("scale",)]),
])  # fmt: skip
def test_a_name_among_features_is_a_pipeline_of_one_step(features, pipelines):
    assert [cell.features.steps for cell in load_config({"features": features}).cells] == pipelines


@pytest.mark.parametrize(
    "block", re.findall(r"```toml\n(.*?)```", (ROOT / "docs/using.md").read_text("utf-8"), re.DOTALL)
)
def test_the_study_files_of_the_documentation_are_studies(tmp_path, block):
    assert load_config(file(tmp_path, block)).cells


def test_a_cell_table_takes_the_shape_of_a_cell_and_defaults_for_the_rest(tmp_path):
    study = load_config(file(tmp_path, """
        [[cell]]
        hidden_layer_sizes = [32, 16]
        training.epochs = 30
        split.train_fraction = 0.5
        [[cell]]
        framework = "sklearn"
    """))  # fmt: skip
    assert study.name == "study"
    assert study.cells == (
        Cell(Architecture((32, 16)), Split(train_fraction=0.5), training=Training(epochs=30)),
        Cell(Architecture((64,)), framework="sklearn"),
    )


def test_cell_tables_add_to_what_is_crossed_and_repetitions_are_kept_once():
    study = load_config({"model": {"node_counts": [8, 16, 8]},
                         "cell": [{"hidden_layer_sizes": [16]}, {"hidden_layer_sizes": [4]}]})  # fmt: skip
    assert [str(cell.architecture) for cell in study.cells] == ["1x8 relu", "1x16 relu", "1x4 relu"]


def test_seeds_are_a_number_or_a_list():
    assert load_config({"seeds": 4, "model": {}}).seeds == (0, 1, 2, 3)
    assert load_config({"seeds": [7, 3], "model": {}}).seeds == (7, 3)


def test_every_field_of_the_training_is_a_key_without_being_listed_at_the_door():
    values = Training().__class__.__dataclass_fields__
    same = {name: declared.default for name, declared in values.items()}
    assert load_config({"training": same}).cells == load_config({"model": {}}).cells


def test_loading_changes_nothing_in_the_callers_config():
    before = copy.deepcopy(CONFIG)
    load_config(CONFIG)
    assert before == CONFIG


def test_a_file_may_carry_a_byte_order_mark_and_foreign_line_ends(tmp_path):
    study = load_config(file(tmp_path, b"\xef\xbb\xbfname = 'x'\r\n[model]\r\nnode_counts = 8\r\n"))
    assert [str(cell.architecture) for cell in study.cells] == ["1x8 relu"]


# Refusals of a file


@pytest.mark.parametrize(("text", "line"), [
    ("[data]\ntrain_test_splits = 60", ("data.train_test_splits 60: a fraction between 0 and 1 is needed"
     " (did you mean 0.6?)")),
    ("[data]\ntrain_test_splits = [0.5, 1.2]", ("data.train_test_splits 1.2: a fraction between 0 and 1 is needed"
     "")),
    ("[data]\ntrain_test_splits = nan", "data.train_test_splits nan: a fraction between 0 and 1 is needed"),
    ("[data]\nvalidation_split = true", "data.validation_split true: a fraction between 0 and 1 is needed"),
    ("[data]\nprotocol = 'offical'", ("data.protocol offical: one of official, merged is needed"
     " (did you mean official?)")),
    ("[data]\nprotocol = 'merged'", ("data.train_test_splits 1: the merged protocol leaves nothing to test on"
     " (say 0.9)")),
    ("[data]\nbatch_size = 32\n[training]\nbatch_size = 64", ("training.batch_size: given twice"
     " (data.batch_size says it too)")),
    ("[model]\nnode_count = [4]", "model.node_count: unknown key (did you mean node_counts?)"),
    ("[model]\nnode_counts = []", "model.node_counts []: at least one value is needed"),
    ("[model]\nnode_counts = [4, true]", "model.node_counts true: a whole number from 1 to 65,536 is needed"),
    ("[model]\nnode_counts = 8.0", ("model.node_counts 8.0: a whole number from 1 to 65,536 is needed"
     " (did you mean 8?)")),
    ("[model]\nlayer_depths = 1000000000", "model.layer_depths 1000000000: a whole number from 1 to 512 is needed"),
    ("[model]\nlayers = [256, 128]", ("model.layers 256: a list of widths for each network is needed"
     " (such as [[256, 128, 64]]); model.layers 128: a list of widths for each network is needed"
     " (such as [[256, 128, 64]])")),
    ("[model]\nlayers = [[4]]\nnode_counts = 4", ("model.layers: it stands for node_counts and layer_depths"
     " (give one or the other)")),
    ("[model]\nactivations = 'reul'", ("model.activations reul: one of relu, sigmoid, tanh, gelu, elu is needed"
     " (did you mean relu?)")),
    ("[model]\nactivations = [['relu', 'tanh']]", ("model.activations relu-tanh: 2 names for 1 hidden layers"
     " (give one name for all layers or one per layer)")),
    ("[training]\nepochs = 0", "training.epochs 0: a whole number from 1 to 1,000,000 is needed"),
    ("[training]\nepochs = 99999999999999999999", "training.epochs: no number may be as large as this"),
    ("[training]\nlearning_rate = '0.1'", "training.learning_rate 0.1: a number above 0 below 1000 is needed"),
    ("[training]\nlearning_rate = inf", "training.learning_rate inf: a number above 0 below 1000 is needed"),
    ("[training]\nmomentum = 0.5", "training.momentum 0.5: adam has none (it belongs to sgd)"),
    ("frameworks = 'sklearn'\n[model]\ndropout = 0.2", ("model.dropout 0.2: scikit-learn's MLPClassifier cannot"
     " express it (use framework keras)")),
    ("epochs = 3", "epochs: unknown key (it belongs into [training])"),
    ("framework = 'keras'", "framework: unknown key (did you mean frameworks?)"),
    ("data = 3", "data 3: a table of keys and values is needed"),
    ("features = ['scale', 'blur']", "features blur: unknown step (known: deskew, hog, scale, standardize, pca)"),
    ("seeds = 0\n[model]", "seeds 0: a whole number from 1 to 1,000,000 is needed"),
    ("seeds = [1, 2, 1]\n[model]", "seeds 1: given twice"),
    ("seeds = []\n[model]", "seeds []: at least one is needed"),
    ("seeds = [-1]\n[model]", "seeds -1: a whole number from 0 to 2,147,483,647 is needed"),
    ("seeds = [3, 1_073_741_824]\n[model]",
     "seeds 1073741824: seeds from 1,073,741,824 on belong to `mnistlab tune`"),
    ("[cell]\ndropout = 0.1", "cell: a list of tables is needed (write [[cell]] above each)"),
    ("[[cell]]\n[[cell]]\ntraining.epoch = 3", "cell 2: training.epoch: unknown key (did you mean epochs?)"),
    ("[[cell]]\ntraining.epochs = 0", "cell 1: training.epochs 0: a whole number from 1 to 1,000,000 is needed"),
    ("[[cell]]\nactivations = 5", "cell 1: activations 5: one of relu, sigmoid, tanh, gelu, elu is needed"),
    ("[[cell]]\ntraining = 5", "cell 1: training 5: a table of keys and values is needed"),
    ("[[cell]]\n[training]\nepochs = 3", ("training.epochs: does not reach the [[cell]] tables (set it in each of them,"
     " such as training.epochs = 30, or add [model] to cross it)")),
    ("name = 'a/b'\n[model]", ("name a/b: letters, digits, space . _ + - are needed, 100 at most, a letter or digit"
     ' first (set name = "…")')),
    ("", "it is empty (docs/using.md shows a study file)"),
    (b"name = '\xff'", "not UTF-8 text at byte 9 (save it as UTF-8)"),
    ("[training]\nepochs = 0\ndropout = 0\n[data]\ntrain_test_splits = 60",
     ("data.train_test_splits 60: a fraction between 0 and 1 is needed (did you mean 0.6?); training.epochs 0:"
     " a whole number from 1 to 1,000,000 is needed; training.dropout: unknown key (it belongs into [model])")),
])  # fmt: skip
def test_a_bad_file_is_refused_in_one_line_with_file_and_key(tmp_path, monkeypatch, text, line):
    monkeypatch.chdir(tmp_path)
    file(tmp_path, text)
    assert refusal("study.toml") == f"study.toml: {line}"


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = = 2\n", 2), ("[model]\n\nlayers = [[4]\n[data]\n", 4)])
def test_a_slip_in_the_toml_is_told_with_its_line(tmp_path, text, line):
    assert re.search(rf"study.toml: not valid TOML: .*line {line},", refusal(file(tmp_path, text)))


def test_an_unknown_key_is_shown_safely_however_it_looks():
    for key in ("\x1b[2J", "k" * 100_000, 5, None, ("a", "b")):
        assert refusal({key: 1}).startswith("CONFIG: ")
        assert refusal({"cell": [{"training": {key: 1}}]}).startswith("CONFIG: ")


@pytest.mark.parametrize("name", ["", " ", ".", "..", "-x", "a\nb", "a\x1b[31mb", "x" * 300, 5, None, True, "a:b"])
def test_a_study_name_that_could_not_name_a_report_is_refused(name):
    assert refusal({"name": name, "model": {}}).startswith("CONFIG: name")


@pytest.mark.parametrize("name", ["a", "Übung 3", "lab.v2_final+more-1", "x" * 100])
def test_letters_digits_and_a_few_signs_make_a_study_name(name):
    assert load_config({"name": name, "model": {}}).name == name


HOSTILE = [
    10**5000,
    {"a": 1},
    [[]],
    [[[]]],
    [None],
    b"bytes",
    object(),
    "x" * 100_000,
    "a\x1b[2J",
    float("nan"),
    -(10**400),
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(("table", "key"), [
    ("model", "node_counts"), ("model", "layers"), ("model", "activations"), ("training", "epochs"),
    ("training", "l2"), ("data", "train_test_splits"), ("", "features"), ("", "seeds"), ("", "frameworks"),
    ("cell", "hidden_layer_sizes"), ("cell", "activations"), ("cell", "features"), ("cell", "training"),
])  # fmt: skip
def test_no_value_of_any_type_gets_past_as_anything_but_one_line(table, key, value):
    config = {key: value} if not table else {table: [{key: value}] if table == "cell" else {key: value}}
    assert refusal(config).startswith("CONFIG: ")


def test_an_unknown_study_names_the_nearest_that_ships():
    assert refusal("labb") == "study labb: no such file, and no study of this name ships (did you mean lab?)"


@pytest.mark.parametrize("source", ["", "no.toml", "a\0b", "x" * 10_000, "/", "../lab", Path("missing/config.py")])
def test_what_is_neither_file_nor_study_is_refused(source):
    assert "no such file" in refusal(source)


def test_a_file_of_another_kind_is_refused(tmp_path):
    assert "a .toml file, or a .py file" in refusal(file(tmp_path, "{}", "study.json"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "study.toml")
    assert "no such file" in refusal(tmp_path / "study.toml")


@pytest.mark.parametrize(("code", "why"), [
    ("CONFIG = {", "SyntaxError: '{' was never closed"),
    ("x = 1\nCONFIG = {'a': 1 / 0}", "ZeroDivisionError on line 2: division by zero"),
    ("config = {}", "CONFIG, a dict, is not defined in it"),
    ("CONFIG = 5", "CONFIG, a dict, is not defined in it"),
])  # fmt: skip
def test_a_config_that_does_not_run_says_where(tmp_path, code, why):
    assert why in refusal(file(tmp_path, code, "config.py"))


def test_more_than_a_million_cells_are_refused_before_they_are_made():
    config = {"model": {"node_counts": list(range(1, 1002)), "layer_depths": list(range(1, 501))},
              "training": {"learning_rate": [0.1, 0.2]}}  # fmt: skip
    assert refusal(config) == (
        "CONFIG: 1,001,000 cells are more than the 1,000,000 a study can have (give fewer values)"
    )


def test_seeds_from_the_command_line_replace_those_of_the_study():
    assert with_seeds(load_config("smoke"), 4).seeds == (0, 1, 2, 3)
    with pytest.raises(ConfigurationError, match=r"^--seeds 0: a whole number from 1"):
        with_seeds(load_config("smoke"), 0)


# Flags


def test_a_single_flag_leaves_everything_else_at_its_default():
    study = study_from_flags({"nodes": "64"})
    assert study.cells == (Cell(Architecture((64,))),)
    assert study.seeds == (0, 1, 2)


def test_every_flag_reaches_its_field():
    texts = {"layers": "32-16", "activation": "relu-tanh", "features": ["scale,pca:50"], "seed": "4,2",
             "dataset": "digits", "framework": "keras", "batch_norm": True, "dropout": "0.5", "protocol": "merged",
             "train_fraction": "0.6", "validation_fraction": "0.2", "optimizer": "sgd", "learning_rate": "1e-2",
             "momentum": "0.5", "schedule": "cosine", "l2": "0.1", "batch_size": "8", "epochs": "3",
             "early_stopping": "2", "input_dropout": "0.1", "warmup_epochs": "1", "label_smoothing": "0.05",
             "max_norm": "2", "ema_momentum": "0.99", "gaussian_noise": "0.3"}  # fmt: skip
    study = study_from_flags(texts)
    assert study.seeds == (4, 2)
    assert study.cells == (
        Cell(
            Architecture((32, 16), ("relu", "tanh"), batch_norm=True, dropout=0.5, input_dropout=0.1,
                         gaussian_noise=0.3),
            Split("merged", 0.6, 0.2), Features(("scale", "pca:50")),
            Training("sgd", 0.01, momentum=0.5, schedule="cosine", l2=0.1, batch_size=8, epochs=3,
                     early_stopping_patience=2, warmup_epochs=1, label_smoothing=0.05, max_norm=2, ema_momentum=0.99),
            "digits", "keras",
        ),
    )  # fmt: skip
    deformed = {"rotation": "15", "zoom": "0.1", "shear": "0.2", "translation": "1", "elastic_alpha": "38",
                "elastic_sigma": "6"}  # fmt: skip
    [cell] = study_from_flags(deformed).cells
    assert cell.training.deformation == tuple(map(float, deformed.values()))
    others = {"nodes", "depth", "weight_decay", "epsilon", "tol"}
    assert {flag.name for flag in FLAGS} == set(texts) | set(deformed) | others


def test_comma_separated_values_are_crossed():
    study = study_from_flags({"nodes": "32, 64", "depth": "2,4", "activation": "relu,tanh",
                              "features": ["scale", "scale,pca:50"]})  # fmt: skip
    assert len(study.cells) == 16
    assert study.cells[0].label == "2x32 relu"


def test_the_name_of_an_ad_hoc_study_depends_on_its_cells_alone():
    name = study_from_flags({"nodes": "32,64"}).name
    assert name == study_from_flags({"nodes": "64,32,64", "seed": "5", "depth": "1"}).name
    assert name != study_from_flags({"nodes": "32"}).name
    assert len(name) == len("adhoc-") + 6


@pytest.mark.parametrize(("flags", "line"), [
    ({"nodes": "0"}, "--nodes 0: a whole number from 1 to 65,536 is needed"),
    ({"nodes": "-4"}, "--nodes -4: a whole number from 1 to 65,536 is needed"),
    ({"nodes": "1e3"}, "--nodes 1e3: a whole number is needed (did you mean 1000?)"),
    ({"nodes": "64.0"}, "--nodes 64.0: a whole number is needed (did you mean 64?)"),
    ({"nodes": ""}, "--nodes '': a value is needed"),
    ({"nodes": "32,,64"}, "--nodes '': a value is needed"),
    ({"nodes": "9" * 5000}, f"--nodes {'9' * 50}… (5,000 characters): a whole number is needed"),
    ({"nodes": "nan"}, "--nodes nan: a whole number is needed"),
    ({"nodes": "many"}, "--nodes many: a whole number is needed"),
    ({"depth": "513"}, "--depth 513: a whole number from 1 to 512 is needed"),
    ({"layers": "256-x"}, "--layers 256-x: a whole number is needed"),
    ({"layers": "8", "nodes": "8"}, "--layers: it stands for --nodes and --depth (give one or the other)"),
    ({"activation": "reul"}, ("--activation reul: one of relu, sigmoid, tanh, gelu, elu is needed"
     " (did you mean relu?)")),
    ({"layers": "8-8-8", "activation": "relu-tanh"}, ("--activation relu-tanh: 2 names for 3 hidden layers"
     " (give one name for all layers or one per layer)")),
    ({"train_fraction": "60"}, "--train-fraction 60: a fraction between 0 and 1 is needed (did you mean 0.6?)"),
    ({"train_fraction": "0"}, "--train-fraction 0: a fraction between 0 and 1 is needed, more than 0"),
    ({"train_fraction": "nan"}, "--train-fraction nan: a fraction between 0 and 1 is needed"),
    ({"train_fraction": "1.2"}, "--train-fraction 1.2: a fraction between 0 and 1 is needed"),
    ({"train_fraction": "half"}, "--train-fraction half: a number is needed"),
    ({"learning_rate": "0"}, "--learning-rate 0: a number above 0 below 1000 is needed"),
    ({"learning_rate": "inf"}, "--learning-rate inf: a number above 0 below 1000 is needed"),
    ({"epochs": "0"}, "--epochs 0: a whole number from 1 to 1,000,000 is needed"),
    ({"early_stopping": "0"}, "--early-stopping 0: a whole number from 1 to 1,000,000 is needed"),
    ({"early_stopping": "3", "validation_fraction": "0"}, ("--early-stopping 3: early stopping needs validation"
     " examples (set validation_fraction)")),
    ({"framework": "sklearn", "batch_norm": True},
     ("--batch-norm true: scikit-learn's MLPClassifier cannot express it"
     " (use framework keras)")),
    ({"framework": "sklearn", "activation": "gelu"},
     ("--activation gelu: scikit-learn's MLPClassifier cannot express it"
     " (use framework keras)")),
    ({"tol": "0.1"}, "--tol 0.1: only scikit-learn has it (use early_stopping_patience)"),
    ({"features": ["scale,pca"]}, ("--features scale,pca: pca needs a number of components, no other step takes one"
     " (for example pca:50)")),
    ({"seed": "1,1"}, "--seed 1: given twice"),
    ({"seed": "-1"}, "--seed -1: a whole number from 0 to 2,147,483,647 is needed"),
    ({"seed": "1610612736"}, "--seed 1610612736: seeds from 1,073,741,824 on belong to `mnistlab tune`"),
    ({"node": "4"}, "node: unknown flag (did you mean nodes?)"),
    ({"nodes": "0", "epochs": "x"},
     ("--nodes 0: a whole number from 1 to 65,536 is needed; --epochs x: a whole number"
     " is needed")),
])  # fmt: skip
def test_a_bad_flag_is_refused_in_one_line_under_the_name_it_was_typed(flags, line):
    with pytest.raises(ConfigurationError) as caught:
        study_from_flags(flags)
    assert str(caught.value) == line


@pytest.mark.parametrize("flags", [{}, {"nodes": None, "features": []}])
def test_no_study_and_no_flag_is_refused(flags):
    with pytest.raises(ConfigurationError, match="a study or at least one flag"):
        study_from_flags(flags)


cells = st.builds(
    lambda sizes, names, knobs, training, features: Cell(
        Architecture(tuple(sizes), names if isinstance(names, str) else tuple(names[: len(sizes)]), **knobs),
        Split(train_fraction=0.123456789), Features(features), training),
    st.lists(st.integers(1, 65_536), min_size=1, max_size=4),
    st.sampled_from(ACTIVATIONS) | st.lists(st.sampled_from(ACTIVATIONS), min_size=4, max_size=4),
    st.fixed_dictionaries({"batch_norm": st.booleans(), "dropout": st.floats(0, 0.999)}),
    st.builds(Training, learning_rate=st.floats(1e-9, 10), l2=st.floats(0, 1), epochs=st.integers(1, 10**6),
              early_stopping_patience=st.none() | st.integers(1, 9), schedule=st.sampled_from(["constant", "step"])),
    st.sampled_from([("scale",), ("standardize", "pca:7")]),
)  # fmt: skip


@given(cell=cells, seed=st.integers(0, SEARCH_SEEDS - 1))
def test_the_flags_of_a_run_ask_for_exactly_that_run(cell, seed):
    words = flags_of(cell, seed)
    switches = {flag.option for flag in FLAGS if flag.kind == "switch"}
    given = {}
    while words:
        option, *words = words
        given[option[2:].replace("-", "_")], words = (True, words) if option in switches else (words[0], words[1:])
    assert study_from_flags(given) == Study(study_from_flags(given).name, (cell,), (seed,))


def test_paths_of_data_start_at_the_folder_of_the_study_s_file(tmp_path):
    (tmp_path / "mine.toml").write_text('dataset = "mine.npz"\n[model]\nnode_counts = [4]', encoding="utf-8")
    study = load_config(tmp_path / "mine.toml")
    assert (study.folder, study.cells[0].dataset) == (tmp_path, "mine.npz")
    assert load_config("smoke").folder == load_config({"model": {"node_counts": [4]}}).folder == Path()


def test_an_ad_hoc_study_with_other_cells_is_named_after_them_a_named_one_keeps_its_name():
    by_path, by_name = (study_from_flags({"dataset": name}) for name in ("mine.npz", "fashion-mnist"))
    assert by_path.name != by_name.name
    assert with_cells(by_path, by_name.cells) == by_name
    assert with_cells(load_config("smoke"), by_name.cells * 2) == Study("smoke", by_name.cells, (0,))


# Spaces


def space_refusal(source):
    with pytest.raises(ConfigurationError) as caught:
        load_space(source)
    return str(caught.value)


def test_the_default_space_has_the_knobs_of_a_tuner_and_ships_as_no_study():
    space = load_space()
    assert (space.name, space.words) == ("default", "default")
    sizes = {choice.field: len(choice.values) for choice in space.choices}
    assert sizes == {
        "steps": 7, "batch_size": 4, "width": 17, "depth": 4, "activations": 4, "batch_norm": 2, "dropout": 6,
        "epochs": 1, "optimizer": 1, "learning_rate": 9, "schedule": 2, "l2": 4,
    }  # fmt: skip
    assert "default" not in shipped_studies()


@given(st.data())
def test_a_cell_of_a_space_lies_where_it_was_made(data):
    space = load_space()
    point = tuple(data.draw(st.integers(0, len(choice.values) - 1)) for choice in space.choices)
    assert space.point(space.cell(point)) == point


def test_numbers_are_ordered_choices_without_repetition_and_the_rest_stays_as_it_is_written():
    space = load_space({"model": {"node_counts": [64, 8, 64], "batch_norm": [True, False]}, "seeds": 7,
                        "training": {"schedule": ["cosine", "constant"]}})  # fmt: skip
    assert [(choice.values, choice.ordered) for choice in space.choices] == [
        ((8, 64), True), ((True, False), False), (("cosine", "constant"), False)
    ]  # fmt: skip


def test_off_is_a_value_of_a_knob_that_has_none_by_default():
    config = {"training": {"early_stopping_patience": ["off", 3]}}
    [choice] = load_space(config).choices
    assert (choice.values, choice.ordered) == ((None, 3), False)
    assert [cell.training.early_stopping_patience for cell in load_config(config).cells] == [None, 3]


def test_a_cell_outside_a_space_has_no_place_in_it():
    space = load_space({"model": {"node_counts": [8, 16], "layer_depths": [2]}, "training": {"epochs": 3}})
    three = Training(epochs=3)
    assert space.point(Cell(Architecture((16, 16)), training=three)) == (1, 0, 0)
    for architecture in (Architecture((16, 8)), Architecture((16,)), Architecture((32, 32)),
                         Architecture((16, 16), dropout=0.1), Architecture((16, 16), "tanh")):  # fmt: skip
        assert space.point(Cell(architecture, training=three)) is None
    assert space.point(Cell(Architecture((16, 16)))) is None


def test_layers_and_activations_of_their_own_are_choices_too():
    space = load_space({"model": {"layers": [[8], [16, 8]], "activations": ["relu", ["relu", "tanh"]]}})
    cell = space.cell((1, 1))
    assert cell.architecture == Architecture((16, 8), ("relu", "tanh"))
    assert space.point(cell) == (1, 1)
    with pytest.raises(ConfigurationError):
        space.cell((0, 1))


def test_shipped_studies_crossed_from_lists_are_spaces_and_others_are_refused():
    assert "train" in space_refusal("grid")
    assert space_refusal("lab") == "lab.toml: cell: a space has none (write the values of each knob as a list)"


@pytest.mark.parametrize(("config", "line"), [
    ({}, "CONFIG: it is empty (docs/using.md shows a study file)"),
    ({"model": {"nodes": [2]}}, "CONFIG: model.nodes: unknown key (did you mean node_counts?)"),
    ({"dataset": ["mnist", "digits"]},
     "CONFIG: dataset: networks are compared on the same digits (give one value of 2)"),
    ({"data": {"validation_split": 0}},
     "CONFIG: data.validation_split 0: the choice is made on validation digits (say 0.1)"),
    ({"model": {"node_counts": []}}, "CONFIG: model.node_counts []: at least one value is needed"),
    ("defalt", "space defalt: no such file, and no space of this name ships (did you mean default?)"),
])  # fmt: skip
def test_what_is_no_space_is_refused_in_one_line(config, line):
    assert space_refusal(config) == line


def test_a_space_is_read_from_a_file(tmp_path):
    path = file(tmp_path, 'name = "mine"\n[model]\nnode_counts = [8, 16]\n', "space.toml")
    space = load_space(path)
    assert (space.name, space.words, space.folder) == ("mine", str(path), tmp_path)
