"""Words become the network they mean, or a problem; never a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.claim_subjects import read_subject
from mnistlab.spec import Architecture, Cell, Features, Split, Training


@pytest.mark.parametrize(("text", "sizes"), [
    ("4 nodes", (4,)), ("4x64 relu", (64,) * 4), ("4×64", (64,) * 4), ("784-128-64-10", (128, 64)),
    ("256-128-64", (256, 128, 64)), ("MLP (128, 64)", (128, 64)), ("[32,]", None), ("784 → 32 → 10", (32,)),
    ("4 layers of 64 nodes", (64,) * 4), ("a network with 2 hidden layers, 16 units", (16, 16)),
    ("128 neurons", (128,)), ("256-128-64-10", (256, 128, 64, 10)),
])  # fmt: skip
def test_the_words_of_a_shape_are_understood(text, sizes):
    subject = read_subject(text)
    assert subject.hidden_layer_sizes == sizes
    assert bool(subject.problem) == (sizes is None)


@pytest.mark.parametrize(("text", "depth"), [("4-Layer DNN", 4), ("16 hidden layers", 16), ("Basic FFN", None)])
def test_a_depth_without_a_width_leaves_the_width_open(text, depth):
    subject = read_subject(text)
    assert (subject.hidden_layer_sizes, subject.depth, subject.problem) == (None, depth, "")


@pytest.mark.parametrize("text", [
    "CNN 4x64", "64 trees", "ResNet-50", "4x64 vs 4x128", "2 layers, 128-64-32", "784-128-64", "784-10", "2024-11-12",
    "4x64 relu, 10 epochs, 20 epochs", "1x64 relu, skle…", "4x٦٤",
])  # fmt: skip
def test_what_is_not_understood_is_a_problem(text):
    assert read_subject(text).problem


names = st.sampled_from(["relu", "sigmoid", "tanh"])


@st.composite
def cells(draw):
    def one_of(*values):
        return draw(st.sampled_from(values))

    sizes = draw(st.lists(st.integers(1, 783), min_size=1, max_size=5))
    activations = draw(names | st.lists(names, min_size=len(sizes), max_size=len(sizes)))
    training = Training(
        epochs=draw(st.integers(1, 200)),
        batch_size=one_of(32, 200),
        l2=one_of(0.0, 1e-5),
        optimizer=one_of("adam", "adamw"),
        learning_rate=one_of(0.001, 0.0003),
        schedule=one_of("constant", "cosine"),
        early_stopping_patience=one_of(None, 5),
    )
    return Cell(
        Architecture(sizes, activations, batch_norm=one_of(True, False), dropout=one_of(0.0, 0.1, 0.25)),
        Split(train_fraction=one_of(0.25, 0.6, 1.0)),
        one_of(Features(), Features(("deskew", "scale")), Features(("scale", "pca:50"))),
        training,
        dataset=one_of("mnist", "digits"),
    )


@given(cells())
def test_every_label_of_ours_reads_back_as_its_cell(cell):
    subject = read_subject(cell.label)
    assert subject.problem == ""
    assert subject.cell(subject.hidden_layer_sizes) == cell


def test_the_merged_protocol_and_scikit_learn_read_back_from_their_labels():
    for cell in (Cell(Architecture((64,)), Split("merged", 0.8)), Cell(Architecture((64,)), framework="sklearn")):
        assert read_subject(cell.label).cell((64,)) == cell


@given(st.text(max_size=200))
def test_no_text_raises(text):
    assert read_subject(text).text == text
