"""What is said of a store that was filled for real, and what is refused."""

import pytest

import mnistlab
from mnistlab.errors import ConfigurationError, DataError
from mnistlab.places import Places

SMALL = {"dataset": "digits", "frameworks": ["sklearn"], "training": {"epochs": 2}}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two cells with seeds 0 and 1, one with seed 7, one of other test digits, one not trained."""
    found = Places.find(home=tmp_path_factory.mktemp("home"), offline=True)
    studies = [
        {"name": "pair", "model": {"layers": [[8], [4]]}, "seeds": [0, 1]},
        {"name": "alone", "model": {"layers": [[16]]}, "seeds": [7]},
        {"name": "merged", "model": {"layers": [[8]]}, "data": {"protocol": "merged", "train_test_splits": [0.5]}},
    ]
    for content in studies:
        mnistlab.run(mnistlab.load_config({**SMALL, "seeds": 1, **content}), places=found)
    return found


def label(shape, rest=""):
    return f"{shape} relu, digits, sklearn, 2 epochs{rest}"


@pytest.mark.slow
def test_two_cells_are_compared_over_their_common_seeds(places):
    found = mnistlab.compare(label("1x4"), label("1x8"), places=places)
    [row] = found.rows.to_dict("records")
    rows = {row["label"]: row for row in mnistlab.results("pair", places=places).rows.to_dict("records")}
    lead = rows[label("1x4")]["accuracy"].value - rows[label("1x8")]["accuracy"].value
    assert row["difference"].value == pytest.approx(lead)
    assert (row["seeds"], row["margin"]) == (2, 0.002)
    [again] = mnistlab.verdicts("pair", places=places).rows.to_dict("records")
    assert (again["knob"], again["difference"], again["p"]) == ("width", row["difference"], row["p"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (label("1x8"), label("1x8"), "both are the same cell"),
        (label("1x8"), label("1x16"), "they have no seed in common"),
        (label("1x8"), "merged", "they were not tested on the same digits"),
        (label("1x8"), label("1x32"), "the store holds none of that name"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(places, a, b, why):
    [merged] = [row["label"] for row in mnistlab.results("merged", places=places).rows.to_dict("records")]
    with pytest.raises(ConfigurationError, match=why):
        mnistlab.compare(a, merged if b == "merged" else b, places=places)


def test_verify_refuses_what_is_no_text_file(tmp_path, monkeypatch):
    places = Places.find(home=tmp_path)
    with pytest.raises(DataError, match=r"nothing\.md: No such file"):
        mnistlab.verify([tmp_path / "nothing.md"], places=places)
    with pytest.raises(DataError, match="not a regular file"):
        mnistlab.verify([tmp_path], places=places)
    (tmp_path / "long.md").write_text("word " * 100)
    monkeypatch.setattr("mnistlab.answers.MAX_CLAIMS_BYTES", 100)
    with pytest.raises(DataError, match="more than"):
        mnistlab.verify([tmp_path / "long.md"], places=places)


@pytest.mark.parametrize("margin", [0, 1, -0.1])
def test_a_margin_that_means_nothing_is_refused(tmp_path, margin):
    with pytest.raises(ConfigurationError, match="--margin"):
        mnistlab.verdicts(margin=margin, places=Places.find(home=tmp_path))
