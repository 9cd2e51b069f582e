"""Which networks lie in the folder after each result."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.datasets import catalog
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.keeping import Keeper, check_keep, discard, kept_path
from mnistlab.metrics import evaluate
from mnistlab.records import Environment, PartLabels, RunResult, Stage
from mnistlab.saving import load
from mnistlab.spec import Architecture, Cell, Run, Split

DIGITS = catalog.info("digits")
INFOS = {"digits": DIGITS}
HERE = Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")
CELL = Cell(Architecture((2,)), dataset="digits")
OTHER = Cell(Architecture((2,), "tanh"), dataset="digits", framework="sklearn")


def result(seed, accuracy, cell=CELL, trained=True):
    """A result with so many tenths of ten validation digits right, which its weights tell too."""
    dense = [(64, 2), (2, 10)]
    arrays = [Stage("dense", (np.full(shape, accuracy), np.zeros(shape[1]))) for shape in dense]
    stages = (Stage("scale"), arrays[0], Stage(cell.architecture.activations[0]), arrays[1], Stage("softmax"))
    digits = PartLabels("digits", "validation", 10, np.arange(10, dtype=np.int32), np.zeros(10, np.uint8))
    probabilities = np.eye(10)[(np.arange(10) >= round(10 * accuracy)).astype(int)]
    validation = evaluate(probabilities, digits) if cell.split.validation_fraction else None
    return RunResult(Run(cell, seed), "done", "reference", HERE, validation=validation, weights_sha256=str(seed),
                     network=stages if trained else ())  # fmt: skip


def keep(keeper, *results):
    for one in results:
        keeper.write(one)
        keeper.tidy(one.run.cell)


def lying(folder):
    """Seeds of the networks in the folder."""
    return sorted(load(path).run.seed for path in folder.rglob("*.safetensors"))


def test_a_network_lies_in_the_folder_of_its_framework(tmp_path):
    keep(Keeper(tmp_path, "all", INFOS), result(0, 0.5), result(1, 0.5, OTHER))
    assert kept_path(tmp_path, Run(CELL, 0)) == tmp_path / "dnn" / f"{Run(CELL, 0).id}.safetensors"
    assert sorted(path.parent.name for path in tmp_path.rglob("*.safetensors")) == ["dnn", "ffn"]
    network = load(kept_path(tmp_path, Run(CELL, 0)))
    assert (network.run, network.image_shape, network.class_names) == (Run(CELL, 0), (8, 8), DIGITS.class_names)


def test_all_keeps_every_network_and_best_one_of_every_cell(tmp_path):
    results = [result(seed, accuracy) for seed, accuracy in enumerate((0.5, 0.7, 0.6))] + [result(9, 0.1, OTHER)]
    keep(Keeper(tmp_path / "all", "all", INFOS), *results)
    keep(Keeper(tmp_path / "best", "best", INFOS), *results)
    assert lying(tmp_path / "all") == [0, 1, 2, 9]
    assert lying(tmp_path / "best") == [1, 9]


@given(accuracies=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=6), calls=st.integers(1, 3))
def test_best_is_the_highest_accuracy_and_of_equals_the_lowest_seed_in_any_order_and_call(
    tmp_path_factory, accuracies, calls
):
    folder, results = tmp_path_factory.mktemp("models"), [result(seed, a) for seed, a in enumerate(accuracies)]
    order = np.random.default_rng(len(accuracies)).permutation(len(results))
    for part in np.array_split(order, calls):
        keeper = Keeper(folder, "best", INFOS)
        keeper.know([(one.run, one.validation.accuracy) for one in results])
        keep(keeper, *(results[place] for place in part))
    assert lying(folder) == [accuracies.index(max(accuracies))]


def test_best_takes_away_nothing_that_all_has_kept_and_goes_on_beside_it(tmp_path):
    keep(Keeper(tmp_path, "all", INFOS), *(result(seed, 0.5) for seed in range(3)))
    for seed, accuracy in ((3, 0.4), (4, 0.6), (5, 0.7)):
        keeper = Keeper(tmp_path, "best", INFOS)
        keeper.know([(Run(CELL, one), 0.5) for one in range(3)])
        keep(keeper, result(seed, accuracy))
    assert lying(tmp_path) == [0, 1, 2, 4, 5]
    keep(keeper, result(6, 0.8))
    assert lying(tmp_path) == [0, 1, 2, 4, 6]


@given(earlier=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=2, max_size=4),
       later=st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.5]), max_size=4))  # fmt: skip
def test_whatever_comes_later_best_leaves_the_networks_that_all_has_kept(tmp_path_factory, earlier, later):
    folder, results = tmp_path_factory.mktemp("models"), [result(seed, a) for seed, a in enumerate([*earlier, *later])]
    keep(Keeper(folder, "all", INFOS), *results[: len(earlier)])
    keeper = Keeper(folder, "best", INFOS)
    keeper.know([(one.run, one.validation.accuracy) for one in results[: len(earlier)]])
    keep(keeper, *results[len(earlier) :])
    highest = [len(earlier) + later.index(max(later))] if later and max(later) > max(earlier) else []
    assert lying(folder) == [*range(len(earlier)), *highest]


def test_a_file_that_cannot_be_removed_is_told(tmp_path):
    path = kept_path(tmp_path, Run(CELL, 0))
    path.mkdir(parents=True)
    with pytest.raises(MachineError, match="cannot be removed: "):
        discard(path)
    (tmp_path / "models").write_text("")
    discard(kept_path(tmp_path / "models", Run(CELL, 0)))


def test_between_write_and_tidy_the_older_network_is_still_there(tmp_path):
    keeper = Keeper(tmp_path, "best", INFOS)
    keep(keeper, result(0, 0.5))
    keeper.write(result(1, 0.6))
    assert lying(tmp_path) == [0, 1]
    keeper.tidy(CELL)
    assert lying(tmp_path) == [1]


def test_a_result_without_a_network_leaves_nothing(tmp_path):
    keep(Keeper(tmp_path, "all", INFOS), result(0, 0.5, trained=False))
    assert lying(tmp_path) == []


def test_without_validation_digits_all_are_kept(tmp_path):
    blind = Cell(Architecture((2,)), dataset="digits", split=Split(validation_fraction=0))
    keep(Keeper(tmp_path, "all", INFOS), result(0, 0.5, blind))
    assert lying(tmp_path) == [0]
    with pytest.raises(
        ConfigurationError, match=r"--keep best: .* has no validation examples to choose by \(--keep all"
    ):
        check_keep("best", [CELL, blind])
    check_keep("all", [blind])


def test_a_keeper_counts_what_it_would_have_kept(tmp_path):
    keep(Keeper(tmp_path, "all", INFOS), result(1, 0.6))
    done = [(Run(CELL, 0), 0.5), (Run(CELL, 1), 0.6), (Run(CELL, 2), 0.4), (Run(OTHER, 0), 0.9)]
    assert Keeper(tmp_path, "all", INFOS).know(done) == 3
    assert Keeper(tmp_path, "best", INFOS).know(done) == 1  # the other cell's; of this one the best is there
    assert Keeper(tmp_path, "best", INFOS).know([*done, (Run(CELL, 3), 0.8)]) == 2


def test_an_unknown_word_is_refused():
    with pytest.raises(ConfigurationError, match=r"--keep bset: one of none, best, all is needed \(did you mean best"):
        check_keep("bset", [])
