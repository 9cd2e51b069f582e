"""What accuracy costs: tables right on planted data, captions with their numbers, pictures that are there."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from mnistlab.analysis.cost import PARTS, pareto_set
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.cost import COSTS, MOST_BARS, pareto_table, probes_table, wall_clock_table
from mnistlab.formatting import percent, seconds, spread
from mnistlab.spec import Architecture, Cell, Training
from mnistlab.visualization.style import figure_png

BY_NAME = {exhibit.name: exhibit for exhibit in COSTS}


def uniform(width, depth=1, **rest):
    return Cell(Architecture((width,) * depth), **rest)


def inked(figure):
    """The share of pixels within the axes that differ from the ground."""
    pixels = imread(io.BytesIO(figure_png(figure)))[..., :3]
    figure.canvas.draw()
    box = figure.axes[0].get_position()
    high, wide = pixels.shape[:2]
    inside = pixels[round((1 - box.y1) * high) + 3 : round((1 - box.y0) * high) - 3,
                    round(box.x0 * wide) + 3 : round(box.x1 * wide) - 3]  # fmt: skip
    return (np.abs(inside - 1) > 0.02).any(axis=2).mean()


@pytest.mark.parametrize("exhibit", COSTS, ids=lambda exhibit: exhibit.name)
def test_every_drawing_is_more_than_a_blank_picture(exhibit, lab_evidence):
    figure = Shown(exhibit, lab_evidence).figure()
    drawn, ax = inked(figure), figure.axes[0]
    for artist in [*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts]:
        artist.set_visible(False)
    assert drawn > inked(figure) + 0.003


@pytest.mark.parametrize("exhibit", COSTS, ids=lambda exhibit: exhibit.name)
@pytest.mark.parametrize(
    "statuses", [("planned",) * 3, ("done",), ("done",) * 3], ids=["not begun", "one seed", "three"]
)
@pytest.mark.parametrize("accuracy", [0.95, 0.1135], ids=["trained", "collapsed"])
def test_studies_with_little_to_show_are_shown(exhibit, plant_evidence, statuses, accuracy):
    known = plant_evidence([(uniform(width), accuracy, statuses) for width in (16, 64)])
    shown = Shown(exhibit, known)
    columns, rows = shown.cells
    assert len(rows) == len(shown.table)
    assert all(len(row) == len(columns) for row in rows)
    assert shown.caption.endswith(".")
    assert shown.caption.startswith("No ") == shown.table.empty == ("planned" in statuses)
    assert (shown.figure() is None) == shown.table.empty


@pytest.mark.parametrize("cost", ["parameters", "flops", "seconds"])
def test_pareto_tables_hold_what_the_analysis_says_and_number_the_cells_that_none_beats(lab_evidence, cost):
    table, found = pareto_table(lab_evidence, cost), pareto_set(lab_evidence.costs, cost)
    assert table[["cell", "pareto", "overlaps"]].to_numpy().tolist() == found[
        ["cell", "pareto", "overlaps"]].to_numpy().tolist()  # fmt: skip
    assert table["cost"].tolist() == found[cost].tolist() == sorted(table["cost"])
    assert table["accuracy"].tolist() == [accuracy.value for accuracy in found["accuracy"]]
    assert table["number"][table["pareto"]].tolist() == list(range(1, table["pareto"].sum() + 1))
    assert (table["number"][~table["pareto"]] == 0).all()
    results = lab_evidence.results.rows.set_index("cell").loc[table["cell"]]
    assert table["n"].tolist() == results["seeds"].tolist()


def test_the_pareto_caption_tells_both_ends_and_how_many_are_not_shown_to_be_worse(lab_evidence):
    table = pareto_table(lab_evidence, "parameters")
    caption = BY_NAME["pareto-parameters"].caption(table)
    accuracy = lab_evidence.results.rows.set_index("cell")["accuracy"]
    least = table.iloc[0]
    beaten = table[~table["pareto"]]
    assert f"{table['pareto'].sum()} of {len(table)} cells" in caption
    assert f"Cheapest: {least['label']}, {percent(accuracy[least['cell']])} at {least['cost']:,.0f};" in caption
    assert f"Of {len(beaten)} that are beaten, {beaten['overlaps'].sum()} overlap" in caption
    assert "Of 1 cell every network collapsed." in caption
    assert "probe" in BY_NAME["pareto-seconds"].caption(pareto_table(lab_evidence, "seconds"))


def test_pareto_cells_name_rivals_by_label(lab_evidence):
    table = pareto_table(lab_evidence, "flops")
    columns, rows = BY_NAME["pareto-flops"].cells(table)
    labels = dict(zip(table["cell"], table["label"], strict=True))
    assert [row[columns.index("rival")] for row in rows] == [labels.get(rival, "–") for rival in table["rival"]]


def test_probes_stand_once_by_architecture_with_the_overhead_of_their_framework(lab_evidence):
    table = probes_table(lab_evidence)
    rows = lab_evidence.results.rows
    probed = rows[rows["seeds"] > 0][["architecture_key", "parameters"]].drop_duplicates()
    assert sorted(table["parameters"]) == sorted(probed["parameters"])
    law = lab_evidence.time_law.laws.iloc[0]
    keras = table[table["series"] == "keras"]
    assert keras["overhead"].unique() == [law["overhead_seconds"].value]
    assert table[table["series"] == "sklearn"]["overhead"].isna().all()  # two probes make no law
    assert table["state_bytes"].tolist() == [16 * parameters for parameters in table["parameters"]]


def test_of_cells_with_one_architecture_the_plainest_is_named(lab_evidence):
    labels = set(probes_table(lab_evidence)["label"])
    assert "4x64 relu" in labels
    assert not any("train" in label or "epochs" in label for label in labels)


def test_the_captions_of_probes_carry_their_numbers(lab_evidence):
    table = probes_table(lab_evidence).assign(seconds=lambda t: 1e-3 + 1e-9 * t["parameters"])
    caption = BY_NAME["seconds-parameters"].caption(table)
    assert f"slowest: 1x2056 relu, {seconds(table['seconds'].max())}" in caption
    assert f"Any step of keras takes {seconds(table['overhead'].max())}" in caption
    assert "26.2 MB for the largest, 1x2056 relu" in BY_NAME["memory-parameters"].caption(table)
    assert "not measurable here" in BY_NAME["memory-parameters"].caption(table)
    assert "300 MB to 300 MB" in BY_NAME["memory-parameters"].caption(table.assign(peak_bytes=3e8))


def test_two_environments_are_two_series(lab_evidence):
    more = lab_evidence.measurements.assign(environment="f" * 16, seconds_per_step=0.002)
    known = dataclasses.replace(lab_evidence, measurements=pd.concat([more, lab_evidence.measurements]))
    table = probes_table(known)
    assert {"keras, eeeeee", "keras, ffffff"} < set(table["series"])
    assert f"of {len(table) // 2} architectures" in BY_NAME["seconds-parameters"].caption(table)
    assert f"Memory of {len(table) // 2} architectures" in BY_NAME["memory-parameters"].caption(table)


def test_a_peak_on_an_accelerator_is_not_called_one_of_a_process(lab_evidence):
    environments = lab_evidence.environments.assign(device="cuda:0")
    known = dataclasses.replace(lab_evidence, environments=environments)
    caption = BY_NAME["memory-parameters"].caption(probes_table(known).assign(peak_bytes=3e8))
    assert "Peak of the accelerator's allocator: 300 MB to 300 MB." in caption
    assert "process" not in caption


def test_a_probe_is_named_by_the_cell_with_fewest_settings_off_their_default(plant_evidence):
    long = uniform(64, training=Training(learning_rate=1.2345e-5))  # one setting, in more letters
    short = uniform(64, training=Training(l2=1.0, epochs=9))
    known = plant_evidence([(short, 0.95, ("done",)), (long, 0.95, ("done",))])
    assert set(probes_table(known)["label"]) == {long.label}
    assert len(short.label) < len(long.label)


def test_the_ledger_holds_the_whole_study_and_the_cells_that_took_most(lab_evidence):
    table = wall_clock_table(lab_evidence)
    done = lab_evidence.runs[lab_evidence.runs["status"] == "done"]
    wall = done[[f"{part}_seconds" for part in PARTS]].sum(axis=1)
    whole = table.iloc[0]
    assert (whole["label"], whole["n"]) == ("whole study", len(done))
    assert whole["total"] == pytest.approx(wall.sum())
    assert whole["steps_share"] == pytest.approx(done["steps_seconds"].sum() / wall.sum())
    assert len(table) == MOST_BARS + 1
    expected = wall.groupby(done["cell"]).sum().sort_values(ascending=False)[:MOST_BARS]
    assert table["total"][1:].tolist() == pytest.approx(expected.tolist())
    assert table["cell"][1:].tolist() == expected.index.tolist()


def test_the_ledger_caption_tells_the_largest_parts_and_what_is_left_out(lab_evidence):
    table = wall_clock_table(lab_evidence)
    whole = lab_evidence.ledger
    caption = BY_NAME["ledger"].caption(table)
    assert f"Wall clock of {table['n'][0]} networks, {seconds(table['total'][0])} in all" in caption
    assert f"the {MOST_BARS} of {len(whole)} cells that took most" in caption
    assert "alone" in caption
    columns, rows = BY_NAME["ledger"].cells(table)
    first = whole.set_index("cell").loc[table["cell"][1]]
    assert rows[1][columns.index("steps %")] == spread(first["steps_share"], 100)


def test_a_study_of_cohorts_says_packed(plant_evidence):
    known = plant_evidence([(uniform(width), 0.95, ("done",) * 2) for width in (16, 64)], members=4)
    table = wall_clock_table(known)
    assert set(table["timing"]) == {"packed"}
    assert "2 of 2 cells trained in cohorts" in BY_NAME["ledger"].caption(table)


def test_the_ledger_of_two_environments_is_of_one_of_them_and_says_so(plant_evidence):
    known = plant_evidence([(uniform(width), 0.95, ("done",) * 3) for width in (16, 64)])
    runs = known.runs.assign(environment=["f" * 16, "e" * 16, "e" * 16, "f" * 16, "e" * 16, "e" * 16])
    known = dataclasses.replace(known, runs=runs)
    table = wall_clock_table(known)
    own = runs.loc[runs["environment"] == "e" * 16, "run"]
    assert table["runs"][0] == tuple(own)
    assert [len(of) for of in table["runs"]] == table["n"].tolist() == [4, 2, 2]
    assert table["of_networks"].tolist() == [6, 3, 3]
    assert "Wall clock of 4 of 6 networks, those of one environment," in BY_NAME["ledger"].caption(table)
    columns, rows = BY_NAME["ledger"].cells(table)
    assert [row[columns.index("networks")] for row in rows] == ["4 of 6", "2 of 3", "2 of 3"]


def test_packed_cells_that_are_not_drawn_are_counted_and_the_whole_has_totals_only(plant_evidence):
    known = plant_evidence([(uniform(width), 0.95, ("done",) * 2) for width in range(8, 8 + MOST_BARS + 3)])
    cells = known.cells["cell"]
    packed = known.runs["cell"].isin(cells[:2])
    runs = known.runs.assign(members=np.where(packed, 4, 1))
    runs.loc[packed, "steps_seconds"] = 1e-6
    known = dataclasses.replace(known, runs=runs)
    table = wall_clock_table(known)
    assert not set(cells[:2]) & set(table["cell"])
    assert f"2 of {MOST_BARS + 3} cells trained in cohorts" in BY_NAME["ledger"].caption(table)
    columns, rows = BY_NAME["ledger"].cells(table)
    whole, first = (dict(zip(columns, row, strict=True)) for row in rows[:2])
    assert whole["timing"] == "packed and alone"
    assert (whole["a network, s"], whole["steps"]) == ("–", "–")
    assert whole["all networks"] == seconds(runs[[f"{part}_seconds" for part in PARTS]].sum().sum())
    assert "–" not in (first["a network, s"], first["steps"])


def test_tables_are_data_that_a_file_can_hold(lab_evidence):
    from mnistlab.tabulation import frame_csv

    for exhibit in COSTS:
        table = exhibit.table(lab_evidence)
        assert len(pd.read_csv(io.StringIO(frame_csv(table)))) == len(table)
