"""Shares of variance and effects: what is drawn is what the table says."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnistlab.exhibits.study import effects_table, shares_table
from mnistlab.spec import Architecture, Cell, Split
from mnistlab.visualization.sensitivity import draw_effects, draw_shares


@pytest.fixture(scope="module")
def factorial(plant_evidence):
    truth = [(Cell(Architecture((width,) * depth), split=Split(train_fraction=share)),
              0.9 + 0.01 * np.log2(width) - 0.004 * depth * (width < 64) + 0.01 * share, ("done",) * 4)
             for width in (16, 32, 64) for depth in (1, 2) for share in (0.25, 1.0)]  # fmt: skip
    return plant_evidence(truth)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_share_is_a_bar_of_its_length_in_its_row(factorial):
    table = shares_table(factorial)
    ax = draw_shares(table, Figure().add_subplot())
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in ax.patches}
    assert [bars[place].get_width() for place in range(len(table))] == pytest.approx(100 * table["share"])
    hatches = {kind: {bars[place].get_hatch() for place in rows.index} for kind, rows in table.groupby("kind")}
    assert len(table) == 8
    assert all(len(own) == 1 for own in hatches.values())
    assert hatches["two knobs together"] != hatches["three knobs or more"]
    assert {"one knob (n = 48)", "with all interactions", "seed noise (n = 48)"} <= set(legend(ax))


def test_totals_are_marks_with_their_intervals(factorial):
    table = shares_table(factorial)
    ax = draw_shares(table, Figure().add_subplot())
    own, totals = (container for container in ax.containers if hasattr(container, "has_xerr"))
    known = table["total"].notna()
    assert totals.lines[0].get_xdata() == pytest.approx(100 * table["total"][known])
    segments = [segment[:, 0].tolist() for segment in totals.lines[2][0].get_segments()]
    assert segments == [pytest.approx([100 * row["total_low"], 100 * row["total_high"]])
                        for _, row in table[known].iterrows()]  # fmt: skip
    assert own.lines[2][0].get_segments()[0][:, 0] == pytest.approx(100 * table.loc[0, ["low", "high"]].astype(float))


def test_an_additive_model_has_no_totals(lab_evidence):
    ax = draw_shares(shares_table(lab_evidence), Figure().add_subplot())
    assert "with all interactions" not in legend(ax)


def test_every_level_is_a_mark_at_its_accuracy_below_its_knob(factorial):
    table = effects_table(factorial)
    ax = draw_effects(table, Figure().add_subplot())
    names = [label.get_text() for label in ax.get_yticklabels()]
    drawn = {names[list(ax.get_yticks()).index(y)]: x for bars in ax.containers
             for x, y in zip(bars.lines[0].get_xdata(), bars.lines[0].get_ydata(), strict=True)}  # fmt: skip
    assert drawn == {row["level"]: pytest.approx(row["accuracy"]) for _, row in table.iterrows()}
    first = ax.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert first == pytest.approx(table.loc[0, ["low", "high"]].astype(float))
    resolution = factorial.results.resolution
    assert legend(ax) == [
        f"resolution of two cells ({100 * resolution:.2f} points)",
        "mean at this setting (n = 16 to 24)",
    ]
    assert ax.patches[0].get_width() == pytest.approx(resolution)
