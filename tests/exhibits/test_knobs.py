"""The exhibits of the knobs: tables right on planted data, captions with their numbers, pictures that are not blank."""

import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from mnistlab.analysis.early_stopping import TOGETHER
from mnistlab.analysis.intervals import t_interval
from mnistlab.analysis.split_law import split_laws, split_table
from mnistlab.exhibits.arrangements import evenly, in_order
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.formatting import percent, point_estimate, spread
from mnistlab.spec import Architecture, Cell, Split, Training
from mnistlab.visualization.style import BAND, INK, OKABE_ITO, figure_png
from mnistlab.wording import point_difference

BY_NAME = {exhibit.name: exhibit for exhibit in KNOBS}
WITH_ROWS = ("width", "depth", "activation", "order", "combination", "train-fraction", "iterations", "framework",
             "batch-norm", "dropout", "learning-rate", "schedule", "early-stopping")  # fmt: skip
EVIL = "<img src=x onerror=alert(1)> $x^2$ " + "W" * 150 + " \u05e2\u05d1\u05e8\u05d9\u05ea"
DONE = ("done",) * 5


def everything(dataset="mnist", statuses=DONE, accuracy=None):
    """Cells of which every kind of exhibit has something to show, but single knobs."""

    def cell(sizes=(64,), activations="relu", share=1.0, dropout=0.0, **training):
        return Cell(Architecture(sizes, activations, dropout=dropout), dataset=dataset,
                    split=Split(train_fraction=share), training=Training(**training))  # fmt: skip

    cells = [
        cell(), cell((32,)), cell((64, 64)), cell((96, 32)), cell(activations="tanh"), cell(dropout=0.2),
        cell((64, 64), ("relu", "tanh")), cell((64, 64), ("tanh", "relu")), cell(epochs=30),
        cell(epochs=50, early_stopping_patience=5), *(cell(share=share) for share in (0.125, 0.25, 0.5)),
    ]  # fmt: skip
    return [(each, accuracy or 0.95 + 0.002 * place, statuses) for place, each in enumerate(cells)]


def shown(name, known):
    return Shown(BY_NAME[name], known)


def picture(figure):
    """Pixels within the axes, their edges left out, (height, width, 3), as bytes."""
    pixels = imread(io.BytesIO(figure_png(figure)))[..., :3]
    box, (height, width) = figure.axes[0].get_position(), pixels.shape[:2]
    rows = slice(round((1 - box.y1) * height), round((1 - box.y0) * height))
    return np.rint(255 * pixels[rows, round(box.x0 * width) : round(box.x1 * width)]).astype(int)[8:-8, 8:-8]


def pixels_of(image, colors):
    wanted = [[int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in colors]
    return sum(int((np.abs(image - color).max(axis=-1) <= 2).sum()) for color in wanted)


def test_every_knob_of_the_specification_has_an_exhibit():
    covered = {knob for exhibit in KNOBS for knob in exhibit.knobs}
    settings = set(Cell(Architecture((64,))).settings()) - {"dataset", "protocol", "hidden_layer_sizes", "activations"}
    assert covered == settings | {"width", "depth", "layers", "activation"}
    assert [exhibit.name for exhibit in KNOBS][:7] == list(WITH_ROWS[:7])
    assert {"batch-norm", "dropout", "early-stopping", "learning-rate", "l2", "batch-size", "optimizer"} < set(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_study_without_finished_networks_has_nothing_to_show_and_says_so(name, plant_evidence):
    exhibit = shown(name, plant_evidence([(cell, accuracy, ("planned",)) for cell, accuracy, _ in everything()]))
    assert exhibit.table.empty
    assert exhibit.cells[1] == []
    assert exhibit.figure() is None
    assert exhibit.caption.startswith("No ")


@pytest.mark.parametrize("name", WITH_ROWS)
def test_a_drawing_is_not_blank(name, lab_evidence):
    image = picture(shown(name, lab_evidence).figure())
    assert pixels_of(image, [*OKABE_ITO, INK]) > 400
    assert pixels_of(image, [BAND]) > 5000  # the resolution or the margin; lines of the grid alone have fewer


@pytest.mark.parametrize("name", [*WITH_ROWS[:7], "dropout", "early-stopping"])
@pytest.mark.parametrize(("dataset", "statuses", "accuracy"), [
    (EVIL, DONE, None), ("mnist", ("done",), None), ("mnist", DONE, 0.1)], ids=["hostile", "one seed", "collapsed"],
)  # fmt: skip
def test_no_text_of_a_drawing_is_cut_off_or_covered(name, dataset, statuses, accuracy, plant_evidence):
    known = plant_evidence(everything(dataset, statuses, accuracy))
    exhibit = shown(name, known)
    if exhibit.table.empty:
        assert accuracy == 0.1  # error and epochs of networks that trained
        return
    figure = exhibit.figure()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = figure.get_tightbbox(canvas.get_renderer())  # in inches, ticks outside of the axes' limits left out
    width, height = figure.get_size_inches()
    assert -0.02 <= drawn.x0 < drawn.x1 <= width + 0.02
    assert -0.02 <= drawn.y0 < drawn.y1 <= height + 0.02
    [ax] = figure.axes
    boxes = [text.get_window_extent() for text in (*ax.texts, ax.xaxis.label)] + [ax.get_legend().get_window_extent()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    page = exhibit._repr_html_()
    assert "<img" not in page


def test_activations_are_grouped_by_shape_in_one_family(lab_evidence):
    table = shown("activation", lab_evidence).table
    groups = {group: rows["series"].tolist() for group, rows in table.groupby("group", sort=False)}
    assert groups == {"4x64": ["relu", "sigmoid", "tanh"], "16x64": ["relu", "sigmoid", "tanh"]}
    results = lab_evidence.results.rows.set_index("cell")
    for row in table.to_dict("records"):
        accuracy = results.loc[row["cell"], "accuracy"]
        assert (row["accuracy"], row["low"], row["high"]) == (accuracy.value, accuracy.low, accuracy.high)
        assert row["label"] == f"{row['group']} {row['series']}"
    assert table["resolution"].unique() == [lab_evidence.results.resolution]


def test_the_caption_of_activations_says_who_is_highest_and_lowest(lab_evidence):
    exhibit = shown("activation", lab_evidence)
    own = exhibit.table[exhibit.table["group"] == "16x64"].sort_values("accuracy").to_dict("records")
    ends = [percent(point_estimate(row)) for row in (own[-1], own[0])]
    assert (
        f"in 16x64 {own[-1]['series']} {ends[0]} is highest, sigmoid {ends[1]} (5 of 5 collapsed) lowest"
        in exhibit.caption.replace("In 16x64", "in 16x64")
    )


def test_of_many_shapes_twelve_are_shown_and_the_others_counted(plant_evidence):
    truth = [(Cell(Architecture((width,) * depth, name)), 0.96, DONE[:2])
             for width in (8, 16, 32, 64) for depth in (1, 2, 3, 4) for name in ("relu", "tanh")]  # fmt: skip
    exhibit = shown("activation", plant_evidence(truth))
    assert exhibit.table["group"].nunique() == 12
    assert {"1x8", "4x64"} < set(exhibit.table["group"])
    assert "4 more left out of the drawing" in exhibit.caption


def test_orders_are_sorted_by_accuracy_and_written_with_arrows(lab_evidence):
    exhibit = shown("order", lab_evidence)
    table = exhibit.table
    assert set(table["group"]) == {"relu → sigmoid → tanh", "tanh → sigmoid → relu", "sigmoid → tanh → relu"}
    assert table["accuracy"].is_monotonic_decreasing
    assert f"{table['group'].iloc[0]} {percent(point_estimate(table.iloc[0]))} is highest" in exhibit.caption
    assert "apart" not in exhibit.caption  # the range of many, which has no interval
    assert "verdicts on activation" in exhibit.caption


def test_activations_in_order_are_counted_where_they_repeat():
    assert in_order(["relu", "tanh"]) == "relu → tanh"
    assert in_order(["relu", "relu", "tanh", "relu"]) == "relu ×2 → tanh → relu"


def test_combinations_are_sorted_by_parameters_and_hold_networks_of_one_budget(lab_evidence):
    exhibit = shown("combination", lab_evidence)
    table = exhibit.table
    assert table["parameters"].is_monotonic_increasing
    assert {"256-128-64-32 relu", "2x256 relu", "4x64 relu"} < set(table["label"])
    assert not {"1x4 relu", "1x2056 relu"} & set(table["label"])  # far off what any deeper network has
    assert (table["series"] == "unequal widths").tolist() == (table["label"] == "256-128-64-32 relu").tolist()
    own = table[table["label"] == "2x256 relu"].iloc[0]
    assert own["group"] == "2x256, 269,322 parameters"
    highest = table.loc[table["accuracy"].idxmax()]
    assert f"{highest['label']} {percent(point_estimate(highest))} with {highest['parameters']:,}" in exhibit.caption
    assert "fewest" not in exhibit.caption  # test digits would choose it


def test_training_digits_carry_errors_and_the_law_of_the_analysis(lab_evidence):
    exhibit = shown("train-fraction", lab_evidence)
    expected = split_table(lab_evidence.cells, lab_evidence.runs)
    [law] = split_laws(expected).to_dict("records")
    measured, along = (exhibit.table[exhibit.table["mark"] == mark] for mark in ("measured", "law"))
    assert measured["n_train"].tolist() == expected["n_train"].tolist()
    assert measured["error"].tolist() == [error.value for error in expected["error"]]
    assert along["error"].to_numpy() == pytest.approx(law["law"].error(along["n_train"].to_numpy(dtype=float)))
    assert along["n_train"].min() == pytest.approx(measured["n_train"].min())
    assert along["n_train"].max() == pytest.approx(54_000)
    assert (along["low"] < along["error"]).all()
    assert f"take off {spread(law['gain'], 100)} points" in exhibit.caption
    assert spread(law["exponent"], 1) in exhibit.caption
    assert f"measured {percent(expected['error'].iloc[-1])}" in exhibit.caption
    assert len(exhibit.cells[1]) == len(measured)
    assert exhibit.cells[1][-1][:4] == ["4x64 relu", "54,000", percent(expected["error"].iloc[-1]), "0 of 5"]


def test_two_sizes_have_no_law(plant_evidence):
    truth = [(Cell(Architecture((64,)), split=Split(train_fraction=share)), 0.96, DONE) for share in (0.5, 1)]
    exhibit = shown("train-fraction", plant_evidence(truth))
    assert exhibit.table["mark"].tolist() == ["measured", "measured"]
    assert "no law is fitted" in exhibit.caption
    assert "27,000" in exhibit.caption


def test_of_many_families_of_training_digits_six_are_shown(plant_evidence):
    truth = [(Cell(Architecture((width,)), split=Split(train_fraction=share)), 0.9 + width / 1000, DONE)
             for width in range(8, 72, 8) for share in (0.5, 1)]  # fmt: skip
    exhibit = shown("train-fraction", plant_evidence(truth))
    assert exhibit.table["family"].nunique() == 6
    assert "2 more families left out" in exhibit.caption


def test_curves_of_epochs_are_means_over_seeds_with_student_s_interval(lab_evidence):
    table = shown("iterations", lab_evidence).table
    [cell] = table.loc[(table["mark"] == "curve") & (table["curve"] == 0), "cell"].unique()
    runs = lab_evidence.runs.loc[lab_evidence.runs["cell"] == cell, "run"]
    at = lab_evidence.epochs[lab_evidence.epochs["run"].isin(runs) & (lab_evidence.epochs["epoch"] == 7)]
    expected = t_interval(at["validation_accuracy"])
    own = table[(table["cell"] == cell) & (table["mark"] == "curve") & (table["epoch"] == 7)].iloc[0]
    assert own[["accuracy", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])


def test_the_longest_plain_cell_is_drawn_and_every_cell_is_in_the_table(lab_evidence):
    exhibit = shown("iterations", lab_evidence)
    drawn = exhibit.table[exhibit.table["curve"] >= 0]
    assert "4x64 relu, 30 epochs" in set(drawn["label"])
    columns, rows = exhibit.cells
    by_label = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    assert set(by_label) == {"4x64 relu", "4x64 relu, 30 epochs", "4x64 relu, 50 epochs, patience 5"}
    patient = by_label["4x64 relu, 50 epochs, patience 5"]
    assert patient["epochs"] == "50"
    assert patient["stopped by"] == "epochs 2, early stopping 3"
    assert "4x64 relu, 30 epochs: best after 7 of 30 epochs" in exhibit.caption
    resolution = f"{100 * lab_evidence.results.resolution:.2f} points"
    assert f"the resolution of test accuracy, {resolution}." in exhibit.caption


def test_curves_end_where_not_all_networks_train_any_more_and_the_mean_end_is_marked(lab_evidence):
    table = shown("iterations", lab_evidence).table
    own = table[table["label"] == "4x64 relu, 50 epochs, patience 5"]
    runs = lab_evidence.runs[lab_evidence.runs["cell"] == own["cell"].iloc[0]]
    assert own.loc[own["mark"] == "curve", "epoch"].max() == runs["epochs_done"].min()
    assert own.loc[own["mark"] == "stopped", "epoch"].tolist() == [pytest.approx(runs["epochs_done"].mean())]


def test_cells_alone_as_long_as_the_longest_have_their_curve(plant_evidence):
    truth = [(Cell(Architecture((width,)), training=Training(epochs=epochs)), 0.96, DONE)
             for width, epochs in ((64, 10), (64, 20), (32, 20), (16, 10))]  # fmt: skip
    table = shown("iterations", plant_evidence(truth)).table
    assert set(table["label"]) == {"1x64 relu", "1x64 relu, 20 epochs", "1x32 relu, 20 epochs"}


def test_differences_are_the_verdicts_on_their_knob(lab_evidence):
    exhibit = shown("batch-norm", lab_evidence)
    rows = lab_evidence.verdicts.rows
    [expected] = rows[rows["knob"] == "batch_norm"].to_dict("records")
    [row] = exhibit.table.to_dict("records")
    assert (row["alike"], row["change"]) == ("4x64 relu", "on against off")
    assert (row["difference"], row["low"], row["high"]) == (
        expected["difference"].value, expected["difference"].low, expected["difference"].high)  # fmt: skip
    assert (row["verdict"], row["seeds"], row["n"]) == (expected["verdict"], 5, 10)
    assert f"4x64 relu, on against off: {point_difference(expected['difference'])} (5 seeds)" in exhibit.caption
    assert f"±{expected['margin'] * 100:g} points is equivalent" in exhibit.caption
    assert f"(5 seeds), {row['verdict']}" in exhibit.caption


def test_the_default_stands_second_whatever_the_order_of_the_study(plant_evidence):
    cells = [Cell(Architecture((64,), dropout=dropout)) for dropout in (0.5, 0.0)]
    known = plant_evidence([(cells[0], 0.9, DONE), (cells[1], 0.98, DONE)], n_digits=4000)
    [row] = shown("dropout", known).table.to_dict("records")
    assert row["change"] == "0.5 against 0"
    assert row["verdict"] == "worse"
    assert row["low"] < row["difference"] < row["high"] < 0
    assert known.verdicts.rows["verdict"].tolist() == ["better"]
    assert row["runs"][:5] == tuple(known.runs.loc[known.runs["cell"] == cells[0].id, "run"])


def test_early_stopping_is_shown_with_the_epochs_it_came_with(lab_evidence):
    exhibit = shown("early-stopping", lab_evidence)
    assert set(exhibit.table["knob"]) == {TOGETHER}
    assert exhibit.table["change"].tolist() == [
        "patience 5, up to 50 epochs, against 10 epochs", "patience 5, up to 50 epochs, against 30 epochs"]  # fmt: skip
    assert "early stopping, or in it and the epochs" in exhibit.caption


def test_of_many_pairs_twenty_are_shown_those_first_that_a_choice_hangs_on(plant_evidence):
    truth = [(Cell(Architecture((64,), dropout=step / 20)), 0.97 - step / 100, DONE) for step in range(8)]
    known = plant_evidence(truth)
    exhibit = shown("dropout", known)
    assert len(exhibit.table) == 20
    assert "8 more pairs not shown" in exhibit.caption
    first = known.findings.iloc[0]
    labels = known.cells["label"]
    assert {exhibit.table["a"].iloc[0], exhibit.table["b"].iloc[0]} == {labels[first["a"]], labels[first["b"]]}


def test_collapsed_networks_of_a_pair_are_counted(plant_evidence):
    truth = [(Cell(Architecture((64,))), 0.97, DONE), (Cell(Architecture((64,), dropout=0.5)), 0.1, DONE)]
    exhibit = shown("dropout", plant_evidence(truth))
    assert exhibit.table["collapsed"].tolist() == [5]
    columns, [row] = exhibit.cells
    assert row[columns.index("collapsed")] == "5 of 10"


@pytest.mark.parametrize("name", WITH_ROWS)
def test_every_row_of_text_names_a_command_that_shows_a_network(name, lab_evidence):
    columns, rows = shown(name, lab_evidence).cells
    runs = dict(zip(lab_evidence.runs["run"], lab_evidence.runs["cell"], strict=True))
    for row in rows:
        run = row[columns.index("to see a network")].removeprefix("mnistlab show ")
        assert runs[run] == row[columns.index("id")]


@pytest.mark.parametrize(("many", "most", "kept"), [(3, 5, [0, 1, 2]), (11, 3, [0, 5, 10]), (4, 1, []), (0, 2, [])])
def test_evenly_keeps_both_ends(many, most, kept):
    assert evenly(range(many), most) == kept
