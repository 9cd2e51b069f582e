"""The course of a search and what it found: what is drawn is what the tables say."""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.search import SEARCH
from mnistlab.formatting import shortened
from mnistlab.visualization.search import draw_slices
from mnistlab.visualization.style import draw_figure

BY_NAME = {exhibit.name: exhibit for exhibit in SEARCH}
HOSTILE = "<img src=x onerror=alert(1)> $x^2$ \u05d0\u05d1\u05d2 " + 30 * "letters "


@pytest.fixture(scope="module")
def known(plant_search):
    return plant_search(150, lost=(12, 40))


@pytest.fixture(scope="module")
def front(plant_search):
    return plant_search(60, objective="accuracy,parameters", n_winners=3)


def drawn(name, known):
    """Table and Axes."""
    exhibit = BY_NAME[f"search-{name}"]
    table = exhibit.table(known)
    return table, exhibit.draw(table, Figure().add_subplot())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, words):
    [found] = [each for each in ax.lines if str(each.get_label()).startswith(words)]
    return found


def bars(ax, words):
    [found] = [container for container in ax.containers if container.get_label().startswith(words)]
    return found


def segments(container, axis):
    return [segment[:, axis].tolist() for segment in container.lines[2][0].get_segments()]


@pytest.mark.parametrize(("words", "name", "ends", "n"), [
    ("quoted by the search, validation", "searched", ("searched", "searched"), 3),
    ("fresh networks, validation", "fresh", ("fresh_low", "fresh_high"), 5),
    ("fresh networks, test", "accuracy", ("low", "high"), 5),
])  # fmt: skip
def test_each_score_of_each_winner_stands_at_its_value_with_its_interval_and_n(front, words, name, ends, n):
    table, ax = drawn("winners", front)
    found = bars(ax, words)
    assert found.lines[0].get_xdata() == pytest.approx(table[name])
    assert segments(found, 0) == [pytest.approx([row[ends[0]], row[ends[1]]]) for _, row in table.iterrows()]
    assert f"{words} (n = {n})" in legend(ax)
    assert [text.get_text().strip() for text in ax.texts] == [shortened(label, 60) for label in table["label"]]
    top, resolution = table["accuracy"].max(), table["resolution"].iloc[0]
    [band] = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((top - resolution, top))


def test_a_winner_that_is_not_confirmed_says_so_and_has_no_mark_for_test_digits(plant_search):
    table, ax = drawn("winners", plant_search(12, fresh=1))
    assert [container.get_label() for container in ax.containers] == [
        "quoted by the search, validation (n = 3)", "fresh networks, validation (n = 1)"]  # fmt: skip
    assert "unconfirmed: 1 fresh, no test accuracy" in [text.get_text() for text in ax.texts]
    assert segments(bars(ax, "fresh"), 0) == [pytest.approx([table["fresh"][0]] * 2)]


def test_the_history_draws_every_trial_the_running_best_and_the_confirmed_level(known):
    table, ax = drawn("history", known)
    for kind in ("trained", "given up"):
        own = table[table["kind"] == kind]
        assert line(ax, kind).get_xdata() == pytest.approx(own["number"])
        assert line(ax, kind).get_ydata() == pytest.approx(own["accuracy"])
        assert f"{kind}, n = 1 each ({len(own)})" in legend(ax)
    assert line(ax, "given up").get_marker() != line(ax, "trained").get_marker()
    assert line(ax, "diverged").get_xdata() == pytest.approx([12, 40])
    [step] = [each for each in ax.lines if each.get_drawstyle() == "steps-post"]
    assert step.get_ydata() == pytest.approx(table["best"], nan_ok=True)
    best = line(ax, "best so far")
    assert best.get_label() == f"best so far: {100 * table['best'].iloc[-1]:.2f} %, unconfirmed (n = 1)"
    assert table.set_index("number")["accuracy"][best.get_xdata()[0]] == best.get_ydata()[0] == table["best"].iloc[-1]
    level = table.iloc[0]
    assert line(ax, "confirmed").get_ydata() == pytest.approx([level["confirmed"]] * 2)
    assert line(ax, "confirmed").get_label() == f"confirmed: {100 * level['confirmed']:.2f} %, fresh (n = 5)"
    bands = [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in ax.patches]
    trained = table.loc[table["kind"] == "trained", "accuracy"].max()
    assert bands == [pytest.approx((level["confirmed_low"], level["confirmed_high"])),
                     pytest.approx((trained - level["resolution"], trained))]  # fmt: skip


def test_a_collapsed_trial_stands_at_the_foot_and_does_not_flatten_the_history(known):
    plain = drawn("history", known)[1]
    accuracy = known.search.trials["validation_accuracy"].where(known.search.trials["number"] != 7, 0.1135)
    trials = known.search.trials.assign(validation_accuracy=accuracy)
    _, ax = drawn("history", replace(known, search=replace(known.search, trials=trials)))
    assert line(ax, "collapsed").get_xdata() == pytest.approx([7])
    assert ax.get_ylim() == pytest.approx(plain.get_ylim(), rel=0.01)
    assert "collapsed, off the scale (1)" in legend(ax)


@pytest.mark.parametrize("kind", ["given up", "trained"])
def test_a_trial_far_below_the_others_stands_at_the_edge(known, kind):
    trials = known.search.trials
    lost = (trials["given_up"] == (kind == "given up")) & (trials["number"] < 20)
    trials = trials.assign(validation_accuracy=trials["validation_accuracy"].where(~lost, 0.4))
    low = replace(known, search=replace(known.search, trials=trials))
    (_, plain), (_, history), (_, slices) = drawn("history", known), drawn("history", low), drawn("slices", low)
    assert history.get_ylim() == pytest.approx(plain.get_ylim(), rel=0.02)
    numbers = trials.loc[lost & (trials["number"] != 12), "number"]  # number 12 diverged
    assert line(history, f"{kind}, off the scale").get_xdata() == pytest.approx(numbers)
    for ax in (history, slices):
        assert f"{kind}, off the scale ({len(numbers)})" in legend(ax)


def test_numbers_below_a_panel_do_not_touch(known):
    _, ax = drawn("slices", known)
    ax.figure.canvas.draw()
    for panel in [each for each in ax.figure.axes if each is not ax]:
        boxes = [text.get_window_extent() for text in panel.get_xticklabels()]
        assert len(boxes) > 1
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_before_anything_is_confirmed_the_legend_says_so(plant_search):
    _, ax = drawn("history", plant_search(12, fresh=0))
    assert "nothing confirmed yet (n = 0)" in legend(ax)
    assert not [each for each in ax.lines if str(each.get_label()).startswith("confirmed")]


def test_every_share_is_as_long_as_it_is_with_its_interval_and_hatched_where_that_holds_0(known):
    table, ax = drawn("importances", known)
    surely = table["low"] > 0
    n = table["n"].iloc[0]
    for words, own, hatch in (("above 0", surely, ""), ("interval holds 0", ~surely, "////")):
        found = bars(ax, words)
        assert [bar.get_width() for bar in found] == pytest.approx(100 * table["share"][own])
        assert {bar.get_hatch() or "" for bar in found} == {hatch}
        assert found.get_label() == f"{words} (n = {n} trials)"
    [interval] = [container for container in ax.containers if hasattr(container, "has_xerr")]
    assert segments(interval, 0) == [
        pytest.approx([100 * row["low"], 100 * row["high"]]) for _, row in table.iterrows()
    ]
    assert [text.get_text() for text in ax.get_yticklabels()] == table["what"].tolist()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_a_panel_per_knob_holds_every_trial_at_its_accuracy_near_its_value(known):
    table, ax = drawn("slices", known)
    panels = [each for each in ax.figure.axes if each is not ax]
    assert [panel.get_title(loc="left") for panel in panels] == table["what"].unique().tolist()
    for panel, (_, own) in zip(panels, table.groupby("knob", sort=False), strict=True):
        assert len(panel.lines) == 6
        off_scale = ("trained, off the scale", "given up, off the scale", "collapsed", "diverged")
        drawn_kinds = ("trained", "given up", *off_scale)
        for marks, kind in zip(panel.lines, drawn_kinds, strict=True):
            of_kind = own[own["kind"] == kind]
            spots = np.asarray(marks.get_ydata(), dtype=float)
            assert len(spots) == len(of_kind)
            assert (np.round(spots) == of_kind["place"]).all()
            if kind in ("trained", "given up"):
                assert marks.get_xdata() == pytest.approx(of_kind["accuracy"])
        names = dict(zip(panel.get_yticks(), [text.get_text() for text in panel.get_yticklabels()], strict=True))
        assert names == dict(zip(own["place"], own["level"], strict=True))
        assert panel.lines[1].get_alpha() < panel.lines[0].get_alpha() / 2
    counts = table[table["knob"] == table["knob"][0]]["kind"].value_counts()
    told = [f"{kind}, n = 1 each ({counts[kind]})" for kind in ("trained", "given up")]
    assert legend(ax)[:3] == [*told, "diverged, off the scale (2)"]
    assert ax.get_xlabel() == "validation accuracy (logarithm of the error)"
    assert len({panel.get_xlim() for panel in panels}) == 1


def test_kinds_are_set_apart_further_than_numbers(known):
    table, ax = drawn("slices", known)
    panels = dict(zip(table["knob"].unique(), [each for each in ax.figure.axes if each is not ax], strict=True))
    reach = {knob: np.abs(panel.lines[0].get_ydata() - np.round(panel.lines[0].get_ydata())).max()
             for knob, panel in panels.items()}  # fmt: skip
    assert reach["steps"] > 0.25 > reach["width"] > 0


def test_of_many_values_some_are_named(known):
    table = BY_NAME["search-slices"].table(known)
    own = table[table["knob"] == "width"].copy()
    own["place"] = own["number"] % 17
    own["level"] = (own["place"] + 1).astype(str)
    ax = draw_slices(own, Figure().add_subplot())
    panel = ax.figure.axes[-1]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["1", "5", "9", "13", "17"]


def test_trials_their_front_and_confirmed_winners_stand_at_cost_and_accuracy(front):
    table, ax = drawn("pareto", front)
    trials, won = (table[table["kind"] == kind] for kind in ("trial", "winner"))
    assert line(ax, "trials, validation").get_xdata() == pytest.approx(trials["cost"])
    assert line(ax, "trials, validation").get_ydata() == pytest.approx(trials["accuracy"])
    [step] = [each for each in ax.lines if each.get_drawstyle() == "steps-post"]
    assert step.get_xdata() == pytest.approx(trials.loc[trials["front"], "cost"])
    assert step.get_ydata() == pytest.approx(trials.loc[trials["front"], "accuracy"])
    found = bars(ax, "winners, confirmed, test (n = 5)")
    assert found.lines[0].get_xdata() == pytest.approx(won["cost"])
    assert found.lines[0].get_ydata() == pytest.approx(won["accuracy"])
    assert segments(found, 1) == [pytest.approx([row["low"], row["high"]]) for _, row in won.iterrows()]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "parameters")
    assert line(ax, "trials, validation").get_alpha() < 0.5
    resolution = table["resolution"].iloc[0]
    band = ax.patches[0]
    assert band.get_y() + band.get_height() == pytest.approx(won["accuracy"].max())
    assert band.get_height() == pytest.approx(resolution)


def test_the_axis_of_seconds_says_so(plant_search):
    _, ax = drawn("pareto", plant_search(12, fresh=0, objective="accuracy,seconds"))
    assert ax.get_xlabel() == "seconds of an epoch, as trained"
    assert "no resolution yet" in legend(ax)


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("label", ["", HOSTILE])
def test_no_picture_is_blank_or_cut_whatever_the_labels(known, name, label):
    search = known.search
    if label:
        search = replace(search, trials=search.trials.assign(label=label), winners=search.winners.assign(label=label))
        search.trials["steps"] = np.where(search.trials["number"] % 2, label, "scale")
    one = Shown(BY_NAME[name], replace(known, search=search))
    picture = np.asarray(Image.open(io.BytesIO(one.png())).convert("L"))
    height, width = picture.shape
    inside = picture[height // 10 : height // 2, width // 4 : -width // 20]
    assert (inside < 250).mean() > 0.01
    edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (edges > 200).all()


def test_texts_below_the_panels_of_slices_do_not_lie_on_them(known):
    table = BY_NAME["search-slices"].table(known)
    figure = draw_figure(draw_slices, table, (6.4, BY_NAME["search-slices"].height(table)))
    figure.canvas.draw()
    whole, *panels = figure.axes
    lowest = min(panel.get_tightbbox().y0 for panel in panels)
    name = whole.xaxis.get_tightbbox()
    assert name.y1 < lowest
    assert 0 < whole.get_legend().get_window_extent().y1 < name.y0 + 2
