"""What is not installed stops only what needs it, and the line says how to get it."""

from pathlib import Path

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


@pytest.mark.parametrize(("module", "words"), [
    ("PIL", ("data", "show", "digits", "--sheet", "sheet.png")),
    ("sklearn", ("data", "show", "digits")),
    ("pandas", ("results",)),
])  # fmt: skip
def test_a_package_that_cannot_be_imported_is_named_by_what_needs_it(without, home, module, words):
    answer = without(module, *words)
    assert (answer.status, answer.err.count("\n")) == (5, 1)
    assert f"cannot be imported: {module}" in answer.err
    assert "`mnistlab doctor`" in answer.err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("words", [("results", "--parquet"), ("figure", "results", "lab", "--output", "x.parquet")])
def test_parquet_without_pyarrow_is_refused_with_the_extra_that_has_it(without, home, words):
    store = Path(__file__).parents[2] / "docs" / "lab.sqlite"
    answer = without("pyarrow", *words, "--store", store)
    assert (answer.status, answer.out) == (5, "")
    assert answer.err == "mnistlab: error: Parquet: the package pyarrow is absent (pip install 'mnistlab[parquet]')\n"
    assert list(home.iterdir()) == []


def test_a_backend_that_is_not_installed_stops_a_study_before_its_first_run(process, home):
    answer = process("run", "--dataset", "digits", cwd=home, KERAS_BACKEND="torch")
    assert (answer.status, answer.out) == (5, "")
    assert answer.err.startswith("mnistlab: error: KERAS_BACKEND=torch: this package is not installed (unset it")
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
