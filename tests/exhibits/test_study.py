"""What a study shows as a whole: tables right on planted data, captions with their numbers, pictures that are there."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.grid import GRID, grid_table
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.study import (
    MOST_CELLS,
    MOST_PAIRS,
    STUDY,
    effects_table,
    seeds_table,
    shares_table,
    verdicts_table,
)
from mnistlab.formatting import percent, spread
from mnistlab.spec import Architecture, Cell, Split, Training
from mnistlab.visualization.style import figure_png
from mnistlab.wording import effect_cells, share_cells

BY_NAME = {exhibit.name: exhibit for exhibit in (*STUDY, *GRID)}
KNOB = {exhibit.name: exhibit for exhibit in KNOBS}


def uniform(width, depth=1, activation="relu", **rest):
    return Cell(Architecture((width,) * depth, activation), **rest)


@pytest.fixture(scope="module")
def grid(plant_evidence):
    """A full factorial of 3 widths, 2 depths, 2 activations and 2 train fractions, three seeds; one row collapsed."""
    return plant_evidence([
        (uniform(width, depth, activation, split=Split(train_fraction=share)),
         0.1135 if (activation, depth) == ("sigmoid", 8) else 0.88 + 0.015 * np.log2(width) - 0.002 * depth,
         ("done",) * 3)
        for share in (1.0, 0.5) for activation in ("relu", "sigmoid") for depth in (1, 8) for width in (16, 32, 64)
    ])  # fmt: skip


def inked(figure):
    """The share of pixels within the axes that differ from the ground."""
    pixels = imread(io.BytesIO(figure_png(figure)))[..., :3]
    figure.canvas.draw()
    box = figure.axes[0].get_position()
    high, wide = pixels.shape[:2]
    inside = pixels[round((1 - box.y1) * high) + 3 : round((1 - box.y0) * high) - 3,
                    round(box.x0 * wide) + 3 : round(box.x1 * wide) - 3]  # fmt: skip
    return (np.abs(inside - 1) > 0.02).any(axis=2).mean()


@pytest.mark.parametrize("exhibit", [*STUDY, *GRID], ids=lambda exhibit: exhibit.name)
def test_every_drawing_is_more_than_a_blank_picture(exhibit, grid):
    figure = Shown(exhibit, grid).figure()
    drawn, ax = inked(figure), figure.axes[0]
    for artist in [*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts]:
        artist.set_visible(False)
    assert drawn > inked(figure) + 0.003


@pytest.mark.parametrize("exhibit", [*STUDY, *GRID], ids=lambda exhibit: exhibit.name)
@pytest.mark.parametrize(
    "statuses", [("planned",) * 3, ("done",), ("done",) * 3], ids=["not begun", "one seed", "three"]
)
@pytest.mark.parametrize("accuracy", [0.95, 0.1135], ids=["trained", "collapsed"])
def test_studies_with_little_to_show_are_shown(exhibit, plant_evidence, statuses, accuracy):
    shown = Shown(exhibit, plant_evidence([(uniform(width), accuracy, statuses) for width in (16, 64)]))
    columns, rows = shown.cells
    assert len(rows) == len(shown.table)
    assert all(len(row) == len(columns) for row in rows)
    assert shown.caption.endswith(".")
    assert shown.caption.startswith("No ") == shown.table.empty
    assert (shown.figure() is None) == shown.table.empty


def test_seeds_hold_every_network_of_a_cell_the_best_on_validation_digits_first(lab_evidence):
    table = seeds_table(lab_evidence)
    accuracies = dict(zip(lab_evidence.runs["run"], lab_evidence.runs["test_accuracy"], strict=True))
    for _, row in table.iterrows():
        assert row["accuracies"] == tuple(accuracies[run] for run in row["runs"])
    results = lab_evidence.results.rows.set_index("cell").loc[table["cell"]]
    validation = [accuracy.value for accuracy in results["validation_accuracy"]]
    assert validation == sorted(validation, reverse=True)
    assert table["collapsed"].tolist() == results["collapsed"].tolist()
    first = results["accuracy_trained"].iloc[0]
    assert (table["accuracy"][0], table["low"][0], table["high"][0]) == (first.value, first.low, first.high)


def test_seeds_caption_counts_networks_and_names_the_widest(lab_evidence):
    table = seeds_table(lab_evidence)
    caption = BY_NAME["seeds"].caption(table)
    widest = max((row for _, row in table.iterrows()), key=lambda row: row["spread"])
    assert f"{table['n'].sum()} networks of {len(table)} cells" in caption
    assert f"{widest['label']}: standard deviation {100 * np.std(widest['accuracies'], ddof=1):.2f} points" in caption
    assert "5 networks of all cells collapsed" in caption
    assert f"Resolution {100 * lab_evidence.results.resolution:.2f} points." in caption


def test_of_many_cells_the_best_the_worst_and_the_most_spread_are_kept_and_counted(plant_evidence):
    cells = [(uniform(width), 0.9 + 0.0001 * width, ("done",) * 2) for width in range(10, 10 + MOST_CELLS + 20)]
    known = plant_evidence(cells)
    table, everything = seeds_table(known), known.results.rows
    order = everything.assign(v=[e.value for e in everything["validation_accuracy"]]).sort_values("v", kind="stable")
    assert len(table) == MOST_CELLS
    assert {*order["cell"][:10], *order["cell"][-10:]} <= set(table["cell"])
    middle = everything[~everything["cell"].isin(table["cell"])]
    accuracies = dict(zip(known.runs["run"], known.runs["test_accuracy"], strict=True))
    spreads = [np.std([accuracies[run] for run in runs], ddof=1) for runs in middle["runs"]]
    assert max(spreads) <= table["spread"][13:-13].min()
    assert "left out: 20," in BY_NAME["seeds"].caption(table)


def test_verdicts_are_the_first_findings_those_of_a_knob_together(lab_evidence):
    table, found = verdicts_table(lab_evidence), lab_evidence.findings
    assert len(table) == MOST_PAIRS < len(found)
    assert (table["knob"] != table["knob"].shift()).sum() == table["knob"].nunique()
    cells = lab_evidence.verdicts.cells
    for _, row in table.iterrows():
        finding = found.iloc[row["rank"] - 1]
        assert (row["cell"], row["against"]) == (cells["cell"][finding["a"]], cells["cell"][finding["b"]])
        assert (row["difference"], row["low"]) == (finding["difference"].value, finding["difference"].low)
        assert (row["verdict"], row["seeds"], row["runs"]) == (finding["verdict"], finding["seeds"], finding["runs"])
        assert (row["n"], row["p_holm"]) == (len(finding["runs"]), finding["p_holm"])


def test_a_knob_and_the_study_count_the_same_networks_of_a_pair(lab_evidence):
    [pair] = Shown(KNOB["batch-norm"], lab_evidence).table.to_dict("records")
    table = verdicts_table(lab_evidence)
    [same] = table[table["knob"] == "batch_norm"].to_dict("records")
    assert {pair["cell"], pair["against"]} == {same["cell"], same["against"]}
    assert [same[name] for name in ("p_holm", "seeds", "n")] == [pair[name] for name in ("p_holm", "seeds", "n")]
    assert (same["seeds"], same["n"]) == (5, 10)


def test_verdicts_caption_counts_the_pairs_of_the_whole_study(lab_evidence):
    table, counts = verdicts_table(lab_evidence), lab_evidence.verdicts.rows["verdict"].value_counts()
    caption = BY_NAME["verdicts"].caption(table)
    assert f"Of {counts.sum()} pairs" in caption
    assert all(f"{counts[word]} {word}" in caption for word in counts.index)
    assert f"the {len(table)} weightiest of {len(lab_evidence.findings)} findings" in caption
    columns, rows = BY_NAME["verdicts"].cells(table)
    assert rows[0][columns.index("to compare")] == f"mnistlab compare {table['cell'][0]} {table['against'][0]}"


def test_shares_are_those_of_the_analysis_and_written_alike(grid):
    found, table = grid.sensitivity, shares_table(grid)
    columns, rows = BY_NAME["sensitivity"].cells(table)
    assert [row[:3] for row in rows] == share_cells(found)[1]
    assert table["share"].sum() == pytest.approx(1)
    assert table["kind"].value_counts()["one knob"] == 4
    assert rows[0][columns.index("to see it")] == "mnistlab sensitivity lab"


def test_shares_caption_tells_the_largest_the_seeds_and_the_method(grid, lab_evidence):
    caption = BY_NAME["sensitivity"].caption(shares_table(grid))
    first = grid.sensitivity.shares.iloc[0]
    assert f"Largest: {' × '.join(first['knobs'])}, {spread(first['share'], 100)} %" in caption
    assert f"Luck of the seed: {spread(grid.sensitivity.seed_noise, 100)} %" in caption
    assert "no full factorial" not in caption
    assert "18 networks collapsed" in caption
    table = shares_table(lab_evidence)
    additive = BY_NAME["sensitivity"].caption(table)
    assert "no full factorial: the model is additive and sees no interactions." in additive
    shares = table["share"] / table["share"].sum()
    assert "Shares sum to" not in BY_NAME["sensitivity"].caption(table.assign(share=shares / 2))
    assert "Shares sum to 120 %" in BY_NAME["sensitivity"].caption(table.assign(share=1.2 * shares))


def test_effects_are_those_of_the_analysis_and_name_networks_of_their_level(grid):
    found, table = grid.sensitivity, effects_table(grid)
    _, rows = BY_NAME["effects"].cells(table)
    assert sorted(row[:4] for row in rows) == sorted(effect_cells(found)[1])
    runs = grid.results.rows.set_index("cell")["runs"]
    wide = table[(table["knob"] == "width") & (table["level"] == "64")].iloc[0]
    expected = [run for cell, own in zip(grid.cells["cell"], grid.cells["hidden_layer_sizes"], strict=True)
                if own[0] == 64 for run in runs[cell]]  # fmt: skip
    assert list(wide["runs"]) == expected
    assert wide["n"] == len(expected)


def test_effects_count_and_name_only_networks_that_their_means_are_of(plant_evidence):
    cells = [uniform(16), uniform(32), uniform(32, 2), uniform(16, 2)]
    truth = [(cell, 0.95, ("done",) * 3) for cell in cells]
    truth[0] = (cells[0], 0.95, ("done",) * 5)  # two seeds that others have not
    known = plant_evidence([*truth, (uniform(128), 0.95, ("planned",) * 3)])
    table, runs = effects_table(known), known.runs.set_index("run")
    assert known.sensitivity.method == "anova"
    assert table["n"].tolist() == [len(own) for own in table["runs"]]
    assert {seed for own in table["runs"] for seed in runs.loc[list(own), "seed"]} == {0, 1, 2}
    narrow = table[(table["knob"] == "width") & (table["level"] == "16")].iloc[0]
    assert (narrow["n"], narrow["cells"]) == (6, 2)
    assert set(runs.loc[list(narrow["runs"]), "cell"]) == {cells[0].id, cells[3].id}


def test_levels_that_are_all_numbers_have_their_networks_too(plant_evidence):
    known = plant_evidence([(uniform(width, split=Split(train_fraction=share)), 0.95, ("done",) * 2)
                            for width in (16, 32) for share in (0.25, 1.0)])  # fmt: skip
    table = effects_table(known)
    assert table["n"].tolist() == [len(own) for own in table["runs"]] == [4] * 4
    assert set(table["level"]) == {"16", "32", "0.25", "1.0"}


def test_cells_that_are_a_factorial_at_each_depth_only_have_no_means_at_each_setting(plant_evidence):
    """Widths of one depth meet none of the other: what would be the depth's, what the widths'?"""
    shapes = ((32,), (64,), (32, 16), (64, 32))
    known = plant_evidence([(Cell(Architecture(shape, name)), 0.9, ("done",) * 3)
                            for name in ("relu", "tanh") for shape in shapes])  # fmt: skip
    assert (known.sensitivity.method, known.sensitivity.conditional_on) == ("anova", "depth")
    shown = Shown(BY_NAME["effects"], known)
    assert shown.table.empty
    assert shown.caption.startswith("No means at each setting: they take a full factorial")


def test_effects_come_by_the_share_of_their_knob(grid):
    order = list(dict.fromkeys(effects_table(grid)["knob"]))
    shares = {row["knobs"][0]: row["share"].value for _, row in grid.sensitivity.shares.iterrows()
              if len(row["knobs"]) == 1}  # fmt: skip
    assert order == sorted(shares, key=lambda knob: -shares[knob])


def test_the_grid_holds_every_width_and_depth_of_one_family(grid):
    table = grid_table(grid)
    assert len(table) == 12
    assert set(table["label"].str.contains("train")) == {False}
    assert table["others"].unique() == [1]
    lost = table[(table["activation"] == "sigmoid") & (table["depth"] == 8)]
    assert (lost["collapsed"].tolist(), lost["accuracy"].isna().tolist()) == ([3, 3, 3], [True] * 3)
    results = grid.results.rows.set_index("cell")
    for _, row in table[table["collapsed"] == 0].iterrows():
        assert row["accuracy"] == results.loc[row["cell"], "accuracy_trained"].value


def test_the_grid_caption_tells_its_ends(grid):
    table = grid_table(grid)
    caption, best = BY_NAME["grid"].caption(table), table.iloc[table["accuracy"].argmax()]
    accuracy = grid.results.rows.set_index("cell").loc[best["cell"], "accuracy"]
    assert caption.startswith("Test accuracy in per cent of 3 widths × 2 depths × 2 activations.")
    assert f"Highest: {best['label']}, {percent(accuracy)}" in caption
    assert "9 networks collapsed" in caption
    assert "Not drawn: 1 grid as large" in caption


@pytest.mark.parametrize("cells", [
    [uniform(16), uniform(32), uniform(16, 2)],
    [uniform(16), uniform(32), uniform(64)],
    [uniform(16), uniform(32), uniform(16, 2), uniform(32, 2, training=Training(epochs=30))],
], ids=["a hole", "one depth", "two families"])  # fmt: skip
def test_without_a_full_grid_there_is_none(plant_evidence, cells):
    assert grid_table(plant_evidence([(cell, 0.95, ("done",) * 2) for cell in cells])).empty


def test_tables_are_data_that_a_file_can_hold(grid):
    from mnistlab.tabulation import frame_csv

    for exhibit in (*STUDY, *GRID):
        table = exhibit.table(grid)
        assert len(pd.read_csv(io.StringIO(frame_csv(table)))) == len(table)
