"""The specification: exact counts, ids that stay, labels, and the values it refuses."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.errors import ConfigurationError, InvalidFieldError
from mnistlab.spec import ACTIVATIONS, Architecture, Cell, Features, Run, Split, Training
from mnistlab.study import load_config, shipped_studies

PIXELS, CLASSES = 784, 10

fractions = st.floats(0.001, 0.999)
architectures = st.builds(
    lambda sizes, name, names, batch_norm, dropout: Architecture(
        tuple(sizes), name or tuple(names[: len(sizes)]), batch_norm, dropout
    ),
    st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    st.sampled_from(["", *ACTIVATIONS]),
    st.lists(st.sampled_from(ACTIVATIONS), min_size=6, max_size=6),
    st.booleans(),
    st.sampled_from([0.0, 0.2]) | st.floats(0, 0.99),
)
trainings = st.builds(
    Training,
    optimizer=st.sampled_from(["adam", "sgd", "adamw"]),
    learning_rate=st.floats(1e-6, 1),
    schedule=st.sampled_from(["constant", "cosine", "step"]),
    l2=st.floats(0, 1),
    batch_size=st.integers(1, 1000),
    epochs=st.integers(1, 500),
    early_stopping_patience=st.none() | st.integers(1, 50),
)
cells = st.builds(
    Cell,
    architectures,
    st.builds(Split, st.sampled_from(["official", "merged"]), fractions, fractions),
    st.sampled_from([Features(), Features(("standardize",)), Features(("scale", "pca:50"))]),
    trainings,
    st.sampled_from(["mnist", "digits"]),
)


# Counts


@pytest.mark.parametrize(
    ("width", "parameters"), [(4, 3190), (32, 25450), (64, 50890), (128, 101770), (512, 407050), (2056, 1634530)]
)
def test_one_hidden_layer_of_n_on_784_pixels_has_795_n_plus_10_parameters(width, parameters):
    assert Architecture((width,)).parameters(PIXELS, CLASSES) == parameters == 795 * width + 10


def test_four_layers_of_64_at_batch_32_have_the_known_size_and_cost():
    network = Architecture((64, 64, 64, 64))
    assert network.parameters(PIXELS, CLASSES) == 63370
    assert network.flops_per_step(PIXELS, CLASSES, 32) == 8955776


def test_batch_norm_adds_two_trained_and_two_moving_numbers_per_unit():
    plain, normed = Architecture((64, 32)), Architecture((64, 32), batch_norm=True)
    assert normed.trainable_parameters(PIXELS, CLASSES) - plain.parameters(PIXELS, CLASSES) == 2 * 96
    assert normed.parameters(PIXELS, CLASSES) - plain.parameters(PIXELS, CLASSES) == 4 * 96


@given(network=architectures, batch=st.integers(1, 512))
def test_a_step_costs_in_proportion_to_its_batch(network, batch):
    assert network.flops_per_step(PIXELS, CLASSES, batch) == batch * network.flops_per_step(PIXELS, CLASSES, 1)


def test_features_say_how_many_columns_leave_them():
    assert Features(("scale", "pca:50")).n_features((28, 28)) == 50
    with pytest.raises(InvalidFieldError, match="only 64 columns come in"):
        Features(("pca:65",)).n_features((8, 8))


def test_steps_that_need_images_stand_first():
    for steps in [("deskew",), ("deskew", "scale"), ("hog",), ("deskew", "hog", "standardize", "pca:5")]:
        assert Features(steps).image_steps == tuple(step for step in steps if step in ("deskew", "hog"))
    assert Features(("scale", "pca:5")).image_steps == ()


@pytest.mark.parametrize(("steps", "mend"), [
    ("scale,deskew", "deskew,scale"), ("standardize,hog", "hog,standardize"), ("hog,scale", "hog"),
    ("scale,hog", "hog"), ("hog,deskew", "deskew,hog"), ("pca:9,deskew", "deskew,pca:9"),
    ("scale,hog,deskew,pca:9", "deskew,hog,pca:9"), ("hog,standardize,scale", "hog,standardize"),
])  # fmt: skip
def test_other_orders_are_refused_with_one_that_works(steps, mend):
    with pytest.raises(InvalidFieldError) as error:
        Features(tuple(steps.split(",")))
    assert (error.value.field, error.value.value, error.value.way_out) == ("features", steps, f"say {mend}")
    assert Features(tuple(mend.split(",")))


def test_hog_counts_a_histogram_for_every_cell_of_every_block():
    assert Features(("hog",)).n_features((28, 28)) == 6 * 6 * 2 * 2 * 9
    assert Features(("deskew", "hog")).n_features((8, 8)) == 36
    assert Features(("hog", "pca:7")).n_features((8, 15)) == 7
    with pytest.raises(
        InvalidFieldError, match=r"images of 7×8 pixels are too small for it \(it needs 8×8; leave it out"
    ):
        Features(("hog",)).n_features((7, 8))


# Ids


GOLDEN = {
    "1x64 relu": "a1ffa02e653e",
    "4x64 relu": "ba15f8d8c8b9",
    "3x32 relu-sigmoid-tanh": "1e04a6a6a55a",
    "256-128-64-32 relu": "e4e117b64041",
    "4x64 relu, train 0.6": "c4a78ff0962d",
    "16x64 relu, batch norm": "c15b7847fb9b",
    "4x64 relu, 50 epochs, patience 5": "a71453474d48",
    "1x64 relu, sklearn": "fed07a7a51d6",
}


def test_ids_of_known_cells_have_not_moved():
    """An id that moves orphans every stored run of its cell: a default must not change silently."""
    found = {cell.label: cell.id for cell in load_config("lab").cells}
    assert {label: found[label] for label in GOLDEN} == GOLDEN


def test_the_id_of_a_known_run_has_not_moved():
    assert Run(Cell(Architecture((64,))), 0).id == "934b1673b491b5f6"


@given(cell=cells)
def test_a_cell_comes_back_from_its_content_even_through_json(cell):
    again = Cell.from_content(json.loads(json.dumps(cell.content())))
    assert again == cell
    assert (again.id, again.label, again.settings()) == (cell.id, cell.label, cell.settings())


@given(cell=cells)
def test_what_is_hashed_is_enough_to_build_the_cell(cell):
    assert Cell.from_content(json.loads(cell.canonical())) == cell


@given(first=cells, second=cells)
def test_different_cells_have_different_ids(first, second):
    assert (first == second) == (first.id == second.id)


@given(cell=cells)
def test_nothing_at_its_default_is_hashed_so_a_new_field_leaves_old_ids_alone(cell):
    default, hashed = Cell(Architecture((64,))).content(), json.loads(cell.canonical())
    for name in hashed.keys() - {"hidden_layer_sizes", "activations"}:
        if isinstance(hashed[name], dict):
            assert not hashed[name].items() & default[name].items()
            assert hashed[name]
        else:
            assert hashed[name] != default[name]


def test_only_what_differs_from_the_defaults_is_hashed():
    assert Cell(Architecture((64,))).canonical() == '{"activations":["relu"],"hidden_layer_sizes":[64]}'
    assert json.loads(Cell(Architecture((64,)), training=Training(epochs=11)).canonical())["training"] == {"epochs": 11}


def test_whole_and_decimal_writing_of_a_number_are_one_cell():
    assert Cell(Architecture((64,)), Split(train_fraction=1)).id == Cell(Architecture((64,))).id
    assert Training(l2=0) == Training(l2=0.0)


@pytest.mark.parametrize("study", ["smoke", "lab", "factors", "grid"])
def test_labels_and_ids_are_unique_in_every_shipped_study(study):
    cells = load_config(study).cells
    assert study in shipped_studies()
    assert len({cell.label for cell in cells}) == len({cell.id for cell in cells}) == len(cells)


def test_seeds_make_different_runs_of_a_cell():
    cell = Cell(Architecture((64,)))
    assert len({Run(cell, seed).id for seed in range(1000)}) == 1000


def test_every_field_says_its_check_its_words_and_what_it_is_about():
    shape = {"hidden_layer_sizes", "activations", "architecture", "split", "features", "training"}
    for kind in (Architecture, Split, Training, Cell):
        for declared in dataclasses.fields(kind):
            assert declared.name in shape or set(declared.metadata) == {"check", "words", "about"}


# Refusals


BAD = [
    (Architecture, {"hidden_layer_sizes": ()}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": "64"}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": 64}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": (True,)}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": (64.0,)}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": (65_537,)}, "hidden_layer_sizes"),
    (Architecture, {"hidden_layer_sizes": (1,) * 513}, "depth"),
    (Architecture, {"hidden_layer_sizes": (8, 8, 8), "activations": ("relu", "tanh")}, "activations"),
    (Architecture, {"hidden_layer_sizes": (8,), "activations": ()}, "activations"),
    (Architecture, {"hidden_layer_sizes": (8,), "activations": "reul"}, "activation"),
    (Architecture, {"hidden_layer_sizes": (8,), "activations": 5}, "activation"),
    (Architecture, {"hidden_layer_sizes": (8,), "batch_norm": 1}, "batch_norm"),
    (Architecture, {"hidden_layer_sizes": (8,), "dropout": 1}, "dropout"),
    (Split, {"train_fraction": 0}, "train_fraction"),
    (Split, {"train_fraction": 60}, "train_fraction"),
    (Split, {"train_fraction": math.nan}, "train_fraction"),
    (Split, {"train_fraction": True}, "train_fraction"),
    (Split, {"protocol": "merged"}, "train_fraction"),
    (Split, {"protocol": "own"}, "protocol"),
    (Split, {"validation_fraction": 1}, "validation_fraction"),
    (Features, {"steps": ()}, "features"),
    (Features, {"steps": "scale"}, "features"),
    (Features, {"steps": ("pca",)}, "features"),
    (Features, {"steps": ("pca:0",)}, "features"),
    (Features, {"steps": ("scale:2",)}, "features"),
    (Features, {"steps": ("scale", "scale")}, "features"),
    (Features, {"steps": ("hog:9",)}, "features"),
    (Training, {"learning_rate": 0}, "learning_rate"),
    (Training, {"learning_rate": math.inf}, "learning_rate"),
    (Training, {"learning_rate": "0.1"}, "learning_rate"),
    (Training, {"epochs": 0}, "epochs"),
    (Training, {"epochs": None}, "epochs"),
    (Training, {"batch_size": -1}, "batch_size"),
    (Training, {"early_stopping_patience": 0}, "early_stopping_patience"),
    (Training, {"momentum": 0.5}, "momentum"),
    (Training, {"optimizer": "sgd", "epsilon": 1e-8}, "epsilon"),
    (Architecture, {"hidden_layer_sizes": (8,), "input_dropout": 20}, "input_dropout"),
    (Architecture, {"hidden_layer_sizes": (8,), "gaussian_noise": -1}, "gaussian_noise"),
    (Training, {"label_smoothing": 1}, "label_smoothing"),
    (Training, {"max_norm": 0}, "max_norm"),
    (Training, {"ema_momentum": 1}, "ema_momentum"),
    (Training, {"warmup_epochs": 1}, "warmup_epochs"),
    (Training, {"schedule": "cosine", "epochs": 5, "warmup_epochs": 5}, "warmup_epochs"),
    (Training, {"rotation": 180}, "rotation"),
    (Training, {"zoom": 1}, "zoom"),
    (Training, {"shear": 15}, "shear"),
    (Training, {"translation": -1}, "translation"),
    (Training, {"elastic_sigma": 4}, "elastic_sigma"),
    (Training, {"elastic_alpha": 38, "elastic_sigma": 0}, "elastic_sigma"),
    (
        Cell,
        {
            "architecture": Architecture((8,)),
            "features": Features(("scale", "pca:5")),
            "training": Training(rotation=5),
        },
        "features",
    ),
    (Cell, {"architecture": Architecture((8,)), "dataset": ""}, "dataset"),
    (Cell, {"architecture": Architecture((8,)), "framework": "torch"}, "framework"),
    (Cell, {"architecture": Architecture((8,)), "training": Training(tol=1e-4)}, "tol"),
]


@pytest.mark.parametrize(("kind", "values", "field"), BAD)
def test_a_bad_value_is_refused_and_its_field_named(kind, values, field):
    with pytest.raises(InvalidFieldError) as caught:
        kind(**values)
    assert caught.value.field == field
    assert str(caught.value.named("--here")).startswith("--here ")


@pytest.mark.parametrize(("architecture", "training", "field"), [
    (Architecture((8,), batch_norm=True), Training(), "batch_norm"),
    (Architecture((8,), dropout=0.1), Training(), "dropout"),
    (Architecture((8, 8), ("relu", "tanh")), Training(), "activations"),
    (Architecture((8,), "gelu"), Training(), "activation"),
    (Architecture((8,)), Training(optimizer="adamw"), "optimizer"),
    (Architecture((8,)), Training(schedule="cosine"), "schedule"),
    (Architecture((8,), input_dropout=0.1), Training(), "input_dropout"),
    (Architecture((8,), gaussian_noise=0.3), Training(), "gaussian_noise"),
    (Architecture((8,)), Training(label_smoothing=0.1), "label_smoothing"),
    (Architecture((8,)), Training(max_norm=3), "max_norm"),
    (Architecture((8,)), Training(ema_momentum=0.99), "ema_momentum"),
    (Architecture((8,)), Training(translation=2), "translation"),
])  # fmt: skip
def test_what_mlpclassifier_cannot_express_is_refused_by_name(architecture, training, field):
    Cell(architecture, training=training)
    with pytest.raises(InvalidFieldError, match="MLPClassifier cannot express it") as caught:
        Cell(architecture, training=training, framework="sklearn")
    assert caught.value.field == field


def test_early_stopping_without_validation_digits_is_refused():
    with pytest.raises(InvalidFieldError, match="early stopping needs validation"):
        Cell(Architecture((8,)), Split(validation_fraction=0), training=Training(early_stopping_patience=3))


def test_an_unknown_key_names_the_nearest_known_one():
    with pytest.raises(ConfigurationError, match=r"training\.epoch: unknown key \(did you mean epochs\?\)"):
        Cell.from_content({"training": {"epoch": 3}})
