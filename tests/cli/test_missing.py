"""What is not installed stops only what needs it, and the line says how to get it."""

import pytest

WITHOUT = """
import sys
class Blocked:
    def find_spec(name, *_):
        if name.partition(".")[0] == "{module}":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked)
from mnistlab.cli.app import main
main(sys.argv[1:])
"""
AD_HOC = ("--dataset", "digits", "--framework", "sklearn", "--nodes", "8", "--epochs", "2", "--seed", "0")


@pytest.fixture
def without(process, home):
    """Run a command line where a module cannot be imported."""
    return lambda module, *words: process(*words, cwd=home, program=("-c", WITHOUT.format(module=module)))


def test_hog_without_scikit_image_is_refused_before_anything_is_written(without, home):
    answer = without("skimage", "run", *AD_HOC, "--features", "hog")
    assert (answer.status, answer.out) == (5, "")
    assert answer.err == ("mnistlab: error: features hog: scikit-image is not installed "
                          "(pip install 'mnistlab[features]')\n")  # fmt: skip
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("features", ["scale", "hog"])
def test_plan_needs_no_scikit_image(without, features):
    answer = without("skimage", "plan", *AD_HOC, "--features", features, "--json")
    [cell] = answer.document["cells"]
    assert (cell["features"], cell["parameters"]) == ([features], {"scale": 610, "hog": 386}[features])


@pytest.mark.slow
def test_the_other_features_need_no_scikit_image(without):
    answer = without("skimage", "run", *AD_HOC, "--features", "deskew,standardize", "--features", "pca:9")
    assert (answer.status, answer.out[:11]) == (0, "2 of 2 runs")
