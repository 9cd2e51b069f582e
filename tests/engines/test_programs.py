"""Which program trains a run is a matter of the run alone, and its text says all of it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.engines.programs import (
    CELLS_OF_ONE_SEED,
    ENGINES,
    ONE_NETWORK,
    SEEDS_OF_ONE_CELL,
    Program,
    companions,
    program_of,
    why_not_covered,
)
from mnistlab.errors import ConfigurationError
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training

ALONE, FIVE_SEEDS = Program("population", ONE_NETWORK), Program("population", SEEDS_OF_ONE_CELL, 5)
FOUR_CELLS = Program("population", CELLS_OF_ONE_SEED, 4)
MANY = 10**6  # steps

widths = st.lists(st.integers(1, 600), min_size=1, max_size=6).map(tuple)
frameworks = st.sampled_from(["keras", "sklearn"])
steps = st.sampled_from([("scale",), ("standardize",), ("scale", "pca:20")])


@st.composite
def cells(draw):
    framework = draw(frameworks)
    optimizer = draw(st.sampled_from(["adam", "sgd"] + ["adamw"] * (framework == "keras")))
    training = Training(optimizer=optimizer, l2=draw(st.sampled_from([0.0, 1e-3])), epochs=draw(st.integers(1, 9)))
    return Cell(Architecture(draw(widths), draw(st.sampled_from(["relu", "tanh"]))), features=Features(draw(steps)),
                training=training, framework=framework)  # fmt: skip


choices, devices = st.sampled_from(["auto", *ENGINES]), st.sampled_from(["cpu", "gpu"])


@given(choice=choices, cell=cells(), seed=st.integers(0, 100), device=devices)
def test_a_program_is_a_function_of_cell_seed_and_device(choice, cell, seed, device):
    program = program_of(choice, cell, MANY, seed, device)
    assert program == program_of(choice, dataclasses.replace(cell), MANY, seed, device)
    assert program.engine == ("reference" if choice == "reference" or why_not_covered(cell, MANY) else "population")
    assert program.members >= 1
    assert (program.members == 1) == (program.kind not in (SEEDS_OF_ONE_CELL, CELLS_OF_ONE_SEED))
    assert not (program.kind == SEEDS_OF_ONE_CELL and cell.features.learns)


@given(choice=choices, cell=cells(), seed=st.integers(0, 100), device=devices, rate=st.floats(1e-5, 1),
       epochs=st.integers(1, 50))  # fmt: skip
def test_what_is_a_members_own_changes_no_program(choice, cell, seed, device, rate, epochs):
    training = dataclasses.replace(cell.training, learning_rate=rate, epochs=epochs, l2=cell.training.l2 * 2)
    other = dataclasses.replace(cell, training=training)
    assert program_of(choice, cell, MANY, seed, device) == program_of(choice, other, MANY, seed, device)
    assert companions(Run(cell, 1), SEEDS_OF_ONE_CELL) == companions(Run(other, 2), SEEDS_OF_ONE_CELL)


@given(choice=choices, cell=cells(), seed=st.integers(0, 100), device=devices)
def test_what_a_run_has_recorded_is_its_program_again(choice, cell, seed, device):
    program = program_of(choice, cell, MANY, seed, device)
    assert Program.of(program.engine, str(program)) == program


@pytest.mark.parametrize(
    ("width", "seed", "features", "device", "framework", "expected"),
    [
        (8, 0, "scale", "cpu", "keras", FOUR_CELLS),
        (8, 40, "scale", "cpu", "keras", FOUR_CELLS),
        (8, 0, "scale", "cpu", "sklearn", ALONE),
        (9, 0, "scale", "cpu", "keras", ALONE),
        (9, 4, "scale", "cpu", "keras", ALONE),
        (9, 5, "scale", "cpu", "keras", FIVE_SEEDS),
        (128, 5, "scale", "cpu", "keras", FIVE_SEEDS),
        (128, 5, "scale", "cpu", "sklearn", FIVE_SEEDS),
        (129, 5, "scale", "cpu", "keras", ALONE),
        (64, 5, "standardize", "cpu", "keras", ALONE),
        (8, 0, "scale", "gpu", "keras", Program("population", SEEDS_OF_ONE_CELL, 512)),
        (2056, 0, "scale", "gpu", "keras", Program("population", SEEDS_OF_ONE_CELL, 8)),
        (20_000, 0, "scale", "gpu", "keras", ALONE),
        (8, 0, "standardize", "gpu", "keras", Program("population", CELLS_OF_ONE_SEED, 4)),
        (16, 0, "standardize", "gpu", "keras", ALONE),
    ],
)
def test_programs_of_the_population_engine(width, seed, features, device, framework, expected):
    cell = Cell(Architecture((width, 4)), features=Features((features,)), framework=framework)
    for choice in ("auto", "population"):
        assert program_of(choice, cell, MANY, seed, device) == expected


def test_what_is_not_covered_goes_to_the_reference_engine_and_says_why(monkeypatch):
    sgd = Cell(Architecture((8,)), training=Training(optimizer="sgd"), framework="sklearn")
    assert program_of("population", sgd, MANY, 0, "cpu") == Program("reference", "MLPClassifier.fit")
    assert why_not_covered(sgd, MANY) == "scikit-learn's sgd is trained by its own fit alone"
    keras = Cell(Architecture((8,)))
    assert why_not_covered(keras, MANY) == ""
    assert program_of("reference", keras, MANY, 0, "cpu") == Program("reference", "Model.fit on jax")
    short = Cell(Architecture((8,)), framework="sklearn")
    assert program_of("auto", short, 4_999, 0, "cpu") == Program("reference", "MLPClassifier.fit")
    assert why_not_covered(short, 4_999) == "scikit-learn takes so few steps (4,999) sooner than they are compiled"
    assert program_of("auto", short, 5_000, 0, "cpu") == ALONE
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert program_of("auto", keras, MANY, 0, "cpu") == Program("reference", "Model.fit on torch")
    assert why_not_covered(keras, MANY) == "Keras runs on torch, not on JAX"


def test_an_engine_that_is_none_is_refused_with_a_hint():
    with pytest.raises(ConfigurationError, match=r"--engine populaton: no such engine.*population"):
        program_of("populaton", Cell(Architecture((8,))), MANY, 0, "cpu")


BASE = Cell(Architecture((16, 8), dropout=0.1), training=Training(l2=1e-3))


def changed(**parts):
    """A cell that differs in one thing, named by its part."""
    content = {}
    for name, value in parts.items():
        inner = {"architecture": BASE.architecture, "training": BASE.training}.get(name)
        content[name] = value if inner is None else dataclasses.replace(inner, **value)
    return dataclasses.replace(BASE, **content)


@pytest.mark.parametrize("change", [
    {"architecture": {"hidden_layer_sizes": (16, 9)}}, {"architecture": {"activations": ("relu", "tanh")}},
    {"architecture": {"batch_norm": True}}, {"architecture": {"dropout": 0.0}}, {"training": {"l2": 0.0}},
    {"training": {"batch_size": 31}}, {"training": {"optimizer": "sgd"}}, {"training": {"epsilon": 1e-8}},
    {"features": Features(("standardize",))}, {"dataset": "digits"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", [SEEDS_OF_ONE_CELL, CELLS_OF_ONE_SEED])
def test_what_one_program_cannot_train_together_is_kept_apart(change, kind):
    assert companions(Run(changed(**change), 0), kind) != companions(Run(BASE, 0), kind)


@pytest.mark.parametrize("change", [
    {"architecture": {"dropout": 0.5}}, {"training": {"learning_rate": 0.1}}, {"training": {"schedule": "cosine"}},
    {"training": {"l2": 0.5}}, {"training": {"epochs": 3}}, {"training": {"early_stopping_patience": 2}},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", [SEEDS_OF_ONE_CELL, CELLS_OF_ONE_SEED])
def test_what_is_each_members_own_keeps_none_apart(change, kind):
    assert companions(Run(changed(**change), 0), kind) == companions(Run(BASE, 0), kind)


def test_who_shares_batches_shares_seed_and_split():
    other = changed(split=Split(train_fraction=0.5))
    assert companions(Run(other, 0), SEEDS_OF_ONE_CELL) == companions(Run(BASE, 1), SEEDS_OF_ONE_CELL)
    assert companions(Run(other, 0), CELLS_OF_ONE_SEED) != companions(Run(BASE, 0), CELLS_OF_ONE_SEED)
    assert companions(Run(BASE, 1), CELLS_OF_ONE_SEED) != companions(Run(BASE, 0), CELLS_OF_ONE_SEED)
