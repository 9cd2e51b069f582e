"""Which networks lie in the folder after each result."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.datasets import catalog
from mnistlab.errors import ConfigurationError
from mnistlab.keeping import Keeper, check_keep, kept_path
from mnistlab.records import Stage
from mnistlab.saving import load
from mnistlab.spec import Architecture, Cell, Run, Split

DIGITS = catalog.info("digits")
CELL = Cell(Architecture((2,)), dataset="digits")
OTHER = Cell(Architecture((2,), "tanh"), dataset="digits", framework="sklearn")


def result(seed, accuracy, cell=CELL, trained=True):
    """What a keeper looks at of a result; its accuracy is written into the weights."""
    dense = [(64, 2), (2, 10)]
    arrays = [Stage("dense", (np.full(shape, accuracy), np.zeros(shape[1]))) for shape in dense]
    stages = (Stage("scale"), arrays[0], Stage(cell.architecture.activations[0]), arrays[1], Stage("softmax"))
    validation = None if accuracy is None else SimpleNamespace(accuracy=accuracy)
    return SimpleNamespace(run=Run(cell, seed), validation=validation, network=stages if trained else (),
                           weights_sha256=str(seed))  # fmt: skip


def keep(keeper, *results):
    for one in results:
        keeper.write(one, DIGITS)
        keeper.tidy(one.run.cell)


def lying(folder):
    """Seeds of the networks in the folder."""
    return sorted(load(path).run.seed for path in folder.rglob("*.safetensors"))


def test_a_network_lies_in_the_folder_of_its_framework(tmp_path):
    keep(Keeper(tmp_path, "all"), result(0, 0.5), result(1, 0.5, OTHER))
    assert kept_path(tmp_path, Run(CELL, 0)) == tmp_path / "dnn" / f"{Run(CELL, 0).id}.safetensors"
    assert sorted(path.parent.name for path in tmp_path.rglob("*.safetensors")) == ["dnn", "ffn"]
    network = load(kept_path(tmp_path, Run(CELL, 0)))
    assert (network.run, network.image_shape, network.class_names) == (Run(CELL, 0), (8, 8), DIGITS.class_names)


def test_all_keeps_every_network_and_best_one_of_every_cell(tmp_path):
    results = [result(seed, accuracy) for seed, accuracy in enumerate((0.5, 0.7, 0.6))] + [result(9, 0.1, OTHER)]
    keep(Keeper(tmp_path / "all", "all"), *results)
    keep(Keeper(tmp_path / "best", "best"), *results)
    assert lying(tmp_path / "all") == [0, 1, 2, 9]
    assert lying(tmp_path / "best") == [1, 9]


@given(accuracies=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=6), calls=st.integers(1, 3))
def test_best_is_the_highest_accuracy_and_of_equals_the_lowest_seed_in_any_order_and_call(
    tmp_path_factory, accuracies, calls
):
    folder, results = tmp_path_factory.mktemp("models"), [result(seed, a) for seed, a in enumerate(accuracies)]
    order = np.random.default_rng(len(accuracies)).permutation(len(results))
    for part in np.array_split(order, calls):
        keeper = Keeper(folder, "best")
        keeper.know([(one.run, one.validation.accuracy) for one in results])
        keep(keeper, *(results[place] for place in part))
    assert lying(folder) == [accuracies.index(max(accuracies))]


def test_between_write_and_tidy_the_older_network_is_still_there(tmp_path):
    keeper = Keeper(tmp_path, "best")
    keep(keeper, result(0, 0.5))
    keeper.write(result(1, 0.6), DIGITS)
    assert lying(tmp_path) == [0, 1]
    keeper.tidy(CELL)
    assert lying(tmp_path) == [1]


def test_a_result_without_a_network_leaves_nothing(tmp_path):
    keep(Keeper(tmp_path, "all"), result(0, 0.5, trained=False))
    assert lying(tmp_path) == []


def test_without_validation_digits_all_are_kept(tmp_path):
    blind = Cell(Architecture((2,)), dataset="digits", split=Split(validation_fraction=0))
    one = result(0, 0.5, blind)
    one.validation = None
    keep(Keeper(tmp_path, "all"), one)
    assert lying(tmp_path) == [0]
    with pytest.raises(
        ConfigurationError, match=r"--keep best: .* has no validation examples to choose by \(--keep all"
    ):
        check_keep("best", [CELL, blind])
    check_keep("all", [blind])


def test_a_keeper_counts_what_it_would_have_kept(tmp_path):
    keep(Keeper(tmp_path, "all"), result(1, 0.6))
    done = [(Run(CELL, 0), 0.5), (Run(CELL, 1), 0.6), (Run(CELL, 2), 0.4), (Run(OTHER, 0), 0.9)]
    assert Keeper(tmp_path, "all").know(done) == 3
    assert Keeper(tmp_path, "best").know(done) == 1  # the other cell's; of this one the best is there
    assert Keeper(tmp_path, "best").know([*done, (Run(CELL, 3), 0.8)]) == 2


def test_an_unknown_word_is_refused():
    with pytest.raises(ConfigurationError, match=r"--keep bset: one of none, best, all is needed \(did you mean best"):
        check_keep("bset", [])
