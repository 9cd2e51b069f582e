"""What a study is asked to find: how it is named, and that it comes back as the store keeps it."""

import pytest

from mnistlab.asked import OBJECTIVES, RatesAsked, SearchAsked, pipelines, read_asked
from mnistlab.errors import ConfigurationError
from mnistlab.spec import Features
from mnistlab.study import load_space

SPACE = load_space({
    "name": "small", "dataset": "digits", "features": [["scale"], ["pca:5"]],
    "model": {"layers": [[8], [8, 4]], "dropout": [0.0, 0.2]}, "training": {"max_norm": ["off", 2.0]},
    "data": {"batch_size": [32, 64]},
})  # fmt: skip


@pytest.mark.parametrize("asked", [
    SearchAsked(load_space("default")), SearchAsked(SPACE, "accuracy,parameters", 5_000, 0.5, "mine.npz"),
    RatesAsked("learning_rate", (0.5, 1.0), "lab", ("a", "b")),
])  # fmt: skip
def test_it_comes_back_as_it_was_kept(asked):
    assert read_asked(asked.to_json()) == asked
    assert read_asked("") is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"knob": "learning_rate"}', '{"objective": "accuracy"}', "7"])
def test_what_is_none_of_both_is_no_silent_study(text):
    with pytest.raises((ValueError, TypeError, LookupError)):
        read_asked(text)


@pytest.mark.parametrize(("asked", "study", "words"), [
    (SearchAsked(load_space("default")), "tune", "--objective accuracy"),
    (SearchAsked(load_space("default"), other_dataset="fashion-mnist").on("fashion-mnist"), "tune-fashion-mnist",
     "--dataset fashion-mnist"),
    (SearchAsked(load_space("smoke"), "accuracy,seconds", 5_000, 0.5),
     "tune-smoke-5000-parameters-0.5-seconds-accuracy-seconds",
     "--space smoke --max-parameters 5000 --max-seconds-per-epoch 0.5 --objective accuracy,seconds"),
    (SearchAsked(SPACE, max_parameters=7), "tune-small-7-parameters", ""),
])  # fmt: skip
def test_each_has_a_name_and_a_command_of_its_own(asked, study, words):
    assert (asked.study.name, asked.words) == (study, words)
    assert (asked.study.words, asked.study.asked) == (words, asked)


@pytest.mark.parametrize(("asked", "line"), [
    (SearchAsked(SPACE, "speed"), f"--objective speed: one of {' | '.join(OBJECTIVES)} is needed"),
    (SearchAsked(SPACE, max_parameters=0), "--max-parameters 0: a whole number of 1 or more is needed"),
    (SearchAsked(SPACE, max_seconds_per_epoch=float("nan")), "--max-seconds-per-epoch nan: a positive number"),
    (SearchAsked(SPACE, max_seconds_per_epoch=float("inf")), "--max-seconds-per-epoch inf: a positive number"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_told_in_a_line(asked, line):
    with pytest.raises(ConfigurationError) as refused:
        asked.check()
    assert str(refused.value).startswith(line)


def test_data_set_and_features_are_those_of_the_space():
    assert SearchAsked(SPACE).dataset == "digits"
    assert SearchAsked(load_space("default")).dataset == "mnist"
    assert SearchAsked(SPACE).on("kmnist").dataset == "kmnist"
    assert pipelines(SPACE) == (Features(("scale",)), Features(("pca:5",)))
    assert pipelines(load_space("smoke")) == (Features(),)
