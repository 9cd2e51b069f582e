"""Accuracy, time and memory against costs: what is drawn is what the table says."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnistlab.analysis.cost import PARTS
from mnistlab.exhibits.cost import pareto_table, probes_table, wall_clock_table
from mnistlab.visualization.cost import draw_ledger, draw_memory, draw_pareto, draw_step_seconds


@pytest.fixture(scope="module")
def table(lab_evidence):
    return pareto_table(lab_evidence, "parameters")


@pytest.fixture
def ax(table):
    return draw_pareto(table, Figure().add_subplot(), "parameters")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def bars(ax, words):
    [found] = [container for container in ax.containers if container.get_label().startswith(words)]
    return found


@pytest.mark.parametrize(("words", "pareto"), [("beaten", False), ("not beaten", True)])
def test_every_cell_that_trained_stands_at_its_cost_and_accuracy_with_its_interval(ax, table, words, pareto):
    rows = table[(table["pareto"] == pareto) & (table["collapsed"] < table["n"])]
    found = bars(ax, words)
    assert found.lines[0].get_xdata() == pytest.approx(rows["cost"])
    assert found.lines[0].get_ydata() == pytest.approx(rows["accuracy"])
    segments = [segment[:, 1].tolist() for segment in found.lines[2][0].get_segments()]
    assert segments == [pytest.approx([row["low"], row["high"]]) for _, row in rows.iterrows()]


def test_a_step_line_joins_the_pareto_set(ax, table):
    [step] = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    chosen = table[table["pareto"]]
    assert step.get_xdata() == pytest.approx(chosen["cost"])
    assert step.get_ydata() == pytest.approx(chosen["accuracy"])
    assert ax.get_xscale() == "log"


def test_pareto_cells_are_numbered_and_the_legend_names_them(ax, table):
    chosen = table[table["pareto"]]
    numbers = [number for text in ax.texts for number in text.get_text().split("–")]
    assert numbers[0] == "1"
    assert numbers[-1] == str(len(chosen))
    assert set(chosen["label"]) <= set(legend(ax))


def test_numbers_of_neighbours_do_not_overlap(table):
    crowd = table[table["pareto"]].iloc[[0] * 5].assign(
        number=range(1, 6), cost=[1e4, 1.001e4, 1.05e4, 1.2e4, 1e6], accuracy=[0.9, 0.9, 0.93, 0.95, 0.97])  # fmt: skip
    crowd = crowd.assign(low=crowd["accuracy"] - 0.01, high=crowd["accuracy"] + 0.01)
    figure = Figure()
    ax = draw_pareto(crowd, figure.add_subplot(), "parameters")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert ax.texts[0].get_text() == "1–2"
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


def test_collapsed_cells_stand_at_the_foot_and_do_not_flatten_the_scale(ax, table):
    lost = table[table["collapsed"] == table["n"]]
    [foot] = [line for line in ax.lines if line.get_label().startswith("collapsed")]
    assert foot.get_xdata() == pytest.approx(lost["cost"])
    assert ax.get_ylim()[0] > 0.5
    assert "collapsed, off the scale (n = 5)" in legend(ax)


@pytest.mark.parametrize(("accuracy", "off"), [(0.8, True), (0.975, False)])
def test_a_cell_that_partly_collapsed_is_marked_and_sets_no_scale(table, accuracy, off):
    rows = table.copy()
    place = rows.index[~rows["pareto"] & (rows["collapsed"] == 0)][0]
    rows.loc[place, ["accuracy", "low", "high", "collapsed"]] = [accuracy, 0.1, 1.0, 1]
    plain, ax = (draw_pareto(each, Figure().add_subplot(), "parameters") for each in (table.drop(place), rows))
    assert ax.get_ylim() == pytest.approx(plain.get_ylim(), rel=0.01)
    said = [text.get_text().strip() for text in ax.texts if "collapsed" in text.get_text()]
    assert said == ["80.0 %, 1 of 5 collapsed" if off else "1 of 5 collapsed"]
    [foot] = [line for line in ax.lines if line.get_label().startswith("collapsed")]
    assert (rows["cost"][place] in foot.get_xdata()) == off


def test_the_resolution_hangs_below_the_best_cell(ax, table):
    top, resolution = table["accuracy"].max(), table["resolution"].iloc[0]
    band = ax.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((top - resolution, top))


def test_cells_of_two_tasks_are_joined_by_two_lines(table):
    two = table.assign(task=np.where(table.index % 2, "mnist, official", "mnist, merged"))
    ax = draw_pareto(two, Figure().add_subplot(), "parameters")
    assert len([line for line in ax.lines if line.get_drawstyle() == "steps-post"]) == 2


def test_time_of_a_step_is_drawn_in_milliseconds_above_the_overhead_of_its_framework(lab_evidence):
    probes = probes_table(lab_evidence).assign(seconds=lambda t: 0.001 + 1e-9 * t["parameters"])
    ax = draw_step_seconds(probes, Figure().add_subplot())
    keras = probes[probes["series"] == "keras"]
    assert ax.lines[0].get_xdata() == pytest.approx(keras["parameters"])
    assert ax.lines[0].get_ydata() == pytest.approx(1000 * keras["seconds"])
    floor = ax.lines[1]
    assert floor.get_ydata() == pytest.approx([1000 * keras["overhead"].iloc[0]] * 2)
    assert floor.get_linestyle() == "--"
    assert f"keras (n = {len(keras)})" in legend(ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_memory_is_drawn_in_megabytes_peak_and_state_apart(lab_evidence):
    probes = probes_table(lab_evidence).assign(peak_bytes=3e8)
    ax = draw_memory(probes, Figure().add_subplot())
    keras = probes[probes["series"] == "keras"]
    peak, state = ax.lines[:2]
    assert peak.get_ydata() == pytest.approx([300] * len(keras))
    assert state.get_ydata() == pytest.approx(keras["state_bytes"] / 1e6)
    assert state.get_xdata() == pytest.approx(keras["parameters"])
    assert (peak.get_markerfacecolor(), state.get_markerfacecolor()) == (peak.get_color(), "none")
    assert legend(ax)[:2] == [f"keras, peak (n = {len(keras)})", f"keras, state, exact (n = {len(keras)})"]


def test_a_peak_that_could_not_be_measured_is_not_drawn(lab_evidence):
    assert not any("peak" in name for name in legend(draw_memory(probes_table(lab_evidence), Figure().add_subplot())))


def test_every_bar_of_the_ledger_is_as_long_as_its_share_and_all_fill_the_width(lab_evidence):
    table = wall_clock_table(lab_evidence)
    ax = draw_ledger(table, Figure().add_subplot())
    for part, container in zip(PARTS, ax.containers, strict=True):
        assert container.get_label() == part
        assert [bar.get_width() for bar in container] == pytest.approx(100 * table[f"{part}_share"])
    assert [bar.get_x() + bar.get_width() for bar in ax.containers[-1]] == pytest.approx([100] * len(table))
    assert ax.get_yticklabels()[0].get_text() == "whole study, alone"
    assert legend(ax)[-1] == "n = 5 a cell, 158 in all"
