"""What is shown of test digits is what networks answered."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mnistlab.analysis.digits import DISPUTED
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.digits import DIGITS, MAX_CLASSES
from mnistlab.formatting import percent, with_spread
from mnistlab.records import PartLabels
from mnistlab.spec import Architecture, Cell

BY_NAME = {exhibit.name: exhibit for exhibit in DIGITS}
GALLERIES = ("hardest-digits", "flipping-digits", "disputed-digits")


def cell(*widths, activation="relu"):
    return Cell(Architecture(widths, activation))


@pytest.fixture(scope="module")
def shown(lab_evidence):
    return {name: Shown(exhibit, lab_evidence) for name, exhibit in BY_NAME.items()}


@pytest.fixture(scope="module")
def chosen(lab_evidence):
    """The row of the cell that is best on validation digits, and what its networks answer."""
    rows = lab_evidence.results.rows
    row = rows.loc[rows["validation_accuracy"].map(lambda found: found.value or 0).idxmax()]
    return row, lab_evidence.digits.predicted.loc[list(row["runs"])].to_numpy()


@pytest.fixture(scope="module")
def one_of_five(plant_evidence):
    """Five networks of one cell, the second of which answers 0 whatever it is shown."""
    known = plant_evidence([(cell(64), 0.95, ("done",) * 5)])
    predicted, runs, bins = known.digits.predicted.copy(), known.runs.copy(), known.reliability.copy()
    lost = predicted.index[1]
    predicted.loc[lost] = 0
    right = predicted.loc[lost].to_numpy() == known.digits.on.labels
    place = runs.index[runs["run"] == lost][0]
    runs.loc[place, ["test_accuracy", "test_ece", "test_ece_floor"]] = right.mean(), 0.7, 0.5
    runs.at[place, "test_bits"] = np.packbits(right)
    bins.loc[bins["run"] == lost, "accuracy"] = 0.1
    return lost, replace(known, runs=runs, reliability=bins, digits=replace(known.digits, predicted=predicted))


@pytest.mark.parametrize("name", BY_NAME)
def test_every_exhibit_of_digits_has_rows_texts_a_caption_and_sources(shown, lab_evidence, name):
    exhibit = shown[name]
    columns, rows = exhibit.cells
    assert len(rows) == len(exhibit.table) > 0
    assert exhibit.caption.endswith(".")
    sources = {f"mnistlab show {run}" for run in lab_evidence.runs["run"]}
    assert {row[-1] for row in rows} <= sources
    assert all(len(row) == len(columns) for row in rows)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_single_network_is_shown_where_one_can_say_anything(plant_evidence, name):
    exhibit = Shown(BY_NAME[name], plant_evidence([(cell(64), 0.9, ("done",))]))
    assert exhibit.table.empty == (name == "flipping-digits")
    if name == "flipping-digits":
        assert exhibit.caption.startswith("No test digit flips with the seed")
    else:
        assert exhibit.figure() is not None


@pytest.mark.parametrize("name", BY_NAME)
def test_a_study_all_of_whose_networks_collapsed_says_no(plant_evidence, name):
    exhibit = Shown(BY_NAME[name], plant_evidence([(cell(64, activation="sigmoid"), 0.1, ("done",) * 3)]))
    assert exhibit.table.empty
    assert exhibit.caption.startswith("No ")


def test_confusion_counts_the_answers_of_the_cell_chosen_on_validation_digits(shown, chosen, lab_evidence):
    row, predicted = chosen
    table = shown["confusion"].table
    assert set(table["cell"]) == {row["cell"]}
    labels = lab_evidence.digits.on.labels
    counted = Counter(zip(np.tile(labels, len(predicted)).tolist(), predicted.ravel().tolist(), strict=True))
    found = {(r["true"], r["predicted"]): r["digits"].value * len(predicted) for r in table.to_dict("records")}
    assert found == pytest.approx({pair: counted.get(pair, 0) for pair in found})
    assert sum(found.values()) == predicted.size
    assert {pair for pair in counted if pair[0] != pair[1]} <= set(found)


def test_test_digits_do_not_choose_the_cell(lab_evidence, shown):
    swapped = lab_evidence.runs.copy()
    swapped["validation_accuracy"] = 1 - swapped["validation_accuracy"]
    other = Shown(BY_NAME["confusion"], replace(lab_evidence, runs=swapped))
    rows = lab_evidence.results.rows
    rows = rows[rows["trained"] > 0]
    worst = rows.loc[rows["validation_accuracy"].map(lambda found: found.value or 1).idxmin(), "cell"]
    assert set(other.table["cell"]) == {worst}


def test_the_caption_of_the_confusion_tells_its_commonest_error(shown):
    first = shown["confusion"].table.iloc[0]
    assert first["true"] != first["predicted"]
    words = f"Most often {first['true_name']} is taken for {first['predicted_name']}: {with_spread(first['digits'])}"
    assert words in shown["confusion"].caption


def test_of_many_classes_those_with_most_errors_are_shown(plant_evidence):
    known = plant_evidence([(cell(64), 0.9, ("done",) * 2)])
    n, random = len(known.digits.on.labels), np.random.default_rng(1)
    on = PartLabels("mine", "test", 40, known.digits.on.indices, (np.arange(n) % 40).astype(np.uint8))
    answers = np.where(random.random((2, n)) < 0.05, random.integers(40, size=(2, n)), on.labels).astype(np.uint8)
    answers[:, on.labels == 7] = 9
    predicted = known.digits.predicted.copy()
    predicted[:] = answers
    digits = replace(known.digits, on=on, class_names=tuple(f"class {number}" for number in range(40)),
                     predicted=predicted)  # fmt: skip
    exhibit = Shown(BY_NAME["confusion"], replace(known, digits=digits))
    assert exhibit.table["true"].nunique() == MAX_CLASSES
    assert exhibit.table.iloc[0][["true", "predicted"]].tolist() == [7, 9]
    assert f"{40 - MAX_CLASSES} classes with fewer errors left out." in exhibit.caption
    assert exhibit.figure() is not None


def test_reliability_has_the_bins_of_the_chosen_cell_and_tells_its_error_and_floor(shown, chosen, lab_evidence):
    row, _ = chosen
    table = shown["reliability"].table
    bins = lab_evidence.reliability[lab_evidence.reliability["cell"] == row["cell"]]
    assert table["accuracy"].tolist() == pytest.approx(bins.groupby("bin")["accuracy"].mean().tolist())
    assert len(table) == 15
    assert f"Calibration error (ECE) {percent(row['ece'])} %, of which chance alone would make 0.3 %" in (
        shown["reliability"].caption)  # fmt: skip


def test_votes_leave_collapsed_networks_out_and_say_so(shown, lab_evidence):
    table = shown["votes"].table
    labels = lab_evidence.digits.on.labels
    trained = ((lab_evidence.digits.predicted.to_numpy() == labels).mean(axis=1) >= 0.2).sum()
    assert table["voters"].tolist() == ["best 1", "best 5", "best 20", "all"]
    assert table["networks"].tolist() == [1, 5, 20, trained]
    assert table["accuracy"][0] == table["mean_accuracy"][0]
    assert f"{len(lab_evidence.digits.predicted) - trained} collapsed networks left out." in shown["votes"].caption
    assert all(len(runs) == n for runs, n in zip(table["runs"], table["networks"], strict=True))


@pytest.mark.parametrize("best", ["best 1", "best 5", "best 20", "all"])
def test_test_digits_do_not_choose_the_committee_that_is_spoken_of(shown, best):
    table = shown["votes"].table
    table = table.assign(accuracy=np.where(table["voters"] == best, 0.999, 0.95), mean_accuracy=0.94)
    gain = "5.90" if best == "best 20" else "1.00"
    assert f"The vote of best 20 is {gain} points above" in BY_NAME["votes"].caption(table)
    few = table[table["voters"] != "best 20"]
    assert "The vote of all is" in BY_NAME["votes"].caption(few)


def test_the_best_voter_is_the_run_with_the_highest_validation_accuracy(shown, lab_evidence):
    runs = lab_evidence.runs.set_index("run")["validation_accuracy"]
    assert {row[0] for row in shown["votes"].table["runs"]} == {runs.idxmax()}


@pytest.mark.parametrize("name", GALLERIES)
def test_a_gallery_shows_what_networks_answer_of_each_digit(shown, lab_evidence, chosen, name):
    digits, table = lab_evidence.digits, shown[name].table
    labels = digits.on.labels
    networks = digits.predicted[(digits.predicted.to_numpy() == labels).mean(axis=1) >= 0.2]
    if name == "flipping-digits":
        networks = digits.predicted.loc[list(chosen[0]["runs"])]
    for row in table.to_dict("records"):
        place = row["index"] - 60_000
        answers = networks.iloc[:, place]
        assert row["true"] == str(labels[place])
        assert row["wrong"] == pytest.approx((answers != labels[place]).mean())
        assert row["answers"] == {str(c): n for c, n in Counter(answers.tolist()).items()}
        assert np.array_equal(row["image"], digits.images[place])
        if row["wrong"]:
            assert digits.predicted.loc[row["run"]].iloc[place] != labels[place]
            assert row["answers"][row["answer"]] == max(n for c, n in row["answers"].items() if c != row["true"])


def test_galleries_are_in_their_order_and_no_longer_than_forty(shown):
    hardest, flipping = (shown[name].table for name in GALLERIES[:2])
    assert len(hardest) == len(flipping) == 40
    assert hardest["wrong"].is_monotonic_decreasing
    assert (flipping["wrong"] - 0.5).abs().is_monotonic_increasing
    assert f"of {hardest['total'].iloc[0]:,} that any" in shown["hardest-digits"].caption


def test_a_collapsed_network_makes_no_digit_flip(one_of_five):
    lost, known = one_of_five
    exhibit, labels = Shown(BY_NAME["flipping-digits"], known), known.digits.on.labels
    right = known.digits.predicted.drop(lost).to_numpy() == labels
    flips = np.flatnonzero(right.any(axis=0) & ~right.all(axis=0))
    assert set(exhibit.table["index"]) <= set(60_000 + flips)
    assert f"{len(flips)} test digits that 1x64 relu" in exhibit.caption
    assert "of 4 networks" in exhibit.caption
    assert set(exhibit.table["networks"]) == {4}
    assert lost not in set(exhibit.table["run"])


def test_collapsed_networks_are_in_no_confusion_and_in_no_calibration(one_of_five):
    lost, known = one_of_five
    predicted, labels = known.digits.predicted.drop(lost), known.digits.on.labels
    confusion, reliability = (Shown(BY_NAME[name], known) for name in ("confusion", "reliability"))
    for exhibit in (confusion, reliability):
        assert set(exhibit.table["runs"]) == {tuple(predicted.index)}
        assert "1 collapsed network of its own left out." in exhibit.caption
    nines = confusion.table.set_index(["true", "predicted"])["digits"]
    for pair in ((9, 9), (9, 0)):
        answers = (predicted.to_numpy()[:, labels == pair[0]] == pair[1]).sum(axis=1)
        assert (nines[pair].value if pair in nines else 0) == pytest.approx(answers.mean())
    assert reliability.table["accuracy"].tolist() == pytest.approx(reliability.table["confidence"].tolist())
    assert set(reliability.table["n"]) == {4}
    assert reliability.table["ece"].iloc[0].value == pytest.approx(0.006)
    assert reliability.table["ece_floor"].iloc[0] == pytest.approx(0.003)


def test_the_disputed_digits_are_those_of_the_list_that_were_tested(shown):
    assert shown["disputed-digits"].table["index"].tolist() == [60_000 + d for d in DISPUTED if d < 1000]
    assert "1 of 15" in shown["disputed-digits"].caption


def test_other_data_sets_have_no_disputed_digits(lab_evidence):
    on = replace(lab_evidence.digits.on, dataset="fashion-mnist")
    known = replace(lab_evidence, digits=replace(lab_evidence.digits, on=on))
    assert Shown(BY_NAME["disputed-digits"], known).table.empty


@pytest.mark.parametrize("name", GALLERIES)
def test_without_the_data_set_the_table_stays_and_the_caption_says_what_is_missing(lab_evidence, shown, name):
    known = replace(lab_evidence, digits=replace(lab_evidence.digits, images=None))
    exhibit = Shown(BY_NAME[name], known)
    assert exhibit.cells == shown[name].cells
    assert exhibit.caption.endswith("The pictures need `mnistlab data fetch mnist`.")
    assert "pictures are not in this machine's cache" in exhibit.figure().axes[0].texts[0].get_text()


def test_a_disputed_digit_that_all_networks_read_stands_there_without_a_wrong_answer(plant_evidence):
    known = plant_evidence([(cell(64), 0.95, ("done",) * 2)])
    predicted = known.digits.predicted.copy()
    predicted[:] = known.digits.on.labels
    known = replace(known, digits=replace(known.digits, predicted=predicted))
    exhibit = Shown(BY_NAME["disputed-digits"], known)
    assert exhibit.table[["answer", "wrong"]].to_numpy().tolist() == [["", 0.0]]
    assert exhibit.figure().axes[0].texts[0].get_text().endswith("\n0 %")
    assert Shown(BY_NAME["hardest-digits"], known).table.empty
