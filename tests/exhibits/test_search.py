"""What a report shows of a search: its tables say what its trials say, its captions what its tables say."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.importance import FEWEST
from mnistlab.analysis.racing import pareto_front
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.catalog import all_shown
from mnistlab.exhibits.search import SEARCH
from mnistlab.formatting import percent, point_estimate, points, shortened
from mnistlab.visualization.search import MOST_PANELS

BY_NAME = {exhibit.name: exhibit for exhibit in SEARCH}
POOR = {
    "no trial": {"n": 0}, "one trial": {"n": 1, "given_up": 0}, "all given up": {"n": 12, "given_up": 1.0},
    "all diverged": {"n": 12, "lost": tuple(range(1, 13))}, "one diverged": {"n": 1, "lost": (1,)},
    "nothing confirmed": {"n": 12, "fresh": 0}, "one fresh network": {"n": 12, "fresh": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def known(plant_search):
    return plant_search(150, lost=(12, 40))


def shown(name, known):
    return Shown(BY_NAME[f"search-{name}"], known)


def changed(known, **columns):
    """The same with other columns of its trials."""
    return replace(known, search=replace(known.search, trials=known.search.trials.assign(**columns)))


def written(value, low, high, n):
    return percent(point_estimate({"accuracy": value, "low": low, "high": high, "n": n}))


def test_a_winner_has_both_numbers_and_their_difference(known):
    winner, result = known.search.winners.iloc[0], known.results.rows.iloc[0]
    one = shown("winners", known)
    [row], [texts] = one.table.to_dict("records"), one.cells[1]
    assert row["searched"] - row["fresh"] == pytest.approx(row["optimism"])
    runs = known.runs["validation_accuracy"]
    half = 2.776445 * runs.std() / math.sqrt(5)
    ends = (runs.mean(), runs.mean() - half, runs.mean() + half)
    assert (row["fresh"], row["fresh_low"], row["fresh_high"]) == pytest.approx(ends, rel=1e-4)
    assert (row["accuracy"], row["low"], row["high"]) == (
        result["accuracy"].value, result["accuracy"].low, result["accuracy"].high)  # fmt: skip
    assert texts[:4] == [winner["label"], percent(result["accuracy"]), "yes", f"{100 * row['searched']:.2f} (3)"]
    assert texts[-1] == f"mnistlab show {known.runs['run'].iloc[0]}"
    for text in (f"the search quoted {100 * row['searched']:.2f} on validation digits (3 networks)", texts[1],
                 f"{texts[4]} there", f"Optimism removed: {texts[5]} points."):  # fmt: skip
        assert text in one.caption
    assert one.caption.startswith("1 winner, 1 confirmed;")


@pytest.mark.parametrize("fresh", [0, 1, 3])
def test_a_winner_without_all_its_fresh_networks_has_no_test_accuracy_and_says_so(plant_search, fresh):
    one = shown("winners", plant_search(12, fresh=fresh))
    texts = dict(zip(one.cells[0], one.cells[1][0], strict=True))
    assert texts["test accuracy %"] == "–"
    assert texts["confirmed"] == f"not yet, {fresh} fresh"
    assert f"with {fresh} fresh network" in one.caption
    assert "no test accuracy yet" in one.caption
    assert "on test digits" not in one.caption


def test_the_history_has_every_trial_the_running_best_and_the_confirmed_level(known):
    history = shown("history", known)
    table, trials = history.table, known.search.trials
    assert table["number"].tolist() == list(range(1, 151))
    assert table["kind"][[11, 39]].tolist() == ["diverged"] * 2
    assert table["accuracy"].isna().sum() == 2
    best = math.nan
    for row in table.to_dict("records"):
        if row["kind"] == "trained":
            best = row["accuracy"] if math.isnan(best) else max(best, row["accuracy"])
        assert row["best"] == best or (math.isnan(best) and math.isnan(row["best"]))
    winner = known.search.winners.iloc[0]
    assert (table["confirmed"] == winner["fresh_validation_accuracy"]).all()
    top = trials.loc[trials["validation_accuracy"].where(~trials["given_up"]).idxmax()]
    counts = ", ".join(f"{(table['kind'] == kind).sum()} {kind}" for kind in ("trained", "given up", "diverged"))
    assert f"150 trials, one network each: {counts}." in history.caption
    told = f"{shortened(top['label'], 60)}, {100 * top['validation_accuracy']:.2f} %, trial {top['number']}."
    assert f"Unconfirmed best: {told}" in history.caption
    level = table.iloc[0]
    ends = (level["confirmed"], level["confirmed_low"], level["confirmed_high"], 5)
    assert f"{shortened(winner['label'], 60)}, {written(*ends)}." in history.caption
    assert history.caption.endswith(f"Resolution of two trials: {points(known.trial_resolution)}.")


def test_importances_are_those_of_the_analysis_and_the_planted_ones_come_first(known):
    importances = shown("importances", known)
    assert importances.table["knob"].head(2).tolist() == ["width", "learning_rate"]
    first = known.importances.shares.iloc[0]["share"]
    assert tuple(importances.table.iloc[0][["share", "low", "high"]]) == (first.value, first.low, first.high)
    rows = dict(zip(importances.table["what"], importances.cells[1], strict=True))
    assert "features" in rows
    assert (rows["width"][2], rows["activation"][2]) == ("no", "yes")
    assert f"width {rows['width'][1]}" in importances.caption
    n = known.importances.trials
    assert f"over {n} trials trained to the end" in importances.caption
    holds = (importances.table["low"] <= 0).sum()
    assert f"Of {holds} the interval holds 0." in importances.caption


def test_below_so_many_trials_there_are_no_importances_and_slices_stand_as_the_space_has_them(plant_search):
    known = plant_search(40)
    assert shown("importances", known).caption == (
        f"No importances: {FEWEST} trials of a search are needed that were trained to the end and differ."
    )
    slices = shown("slices", known)
    assert list(slices.table["knob"].unique()) == list(known.search.choices)
    assert "by importance" not in slices.caption


def test_slices_have_every_trial_at_its_value_of_every_knob_by_importance(known):
    slices = shown("slices", known)
    assert list(slices.table["knob"].unique()) == known.importances.shares["knob"].tolist()
    for knob, own in slices.table.groupby("knob"):
        assert own["run"].tolist() == known.search.trials["run"].tolist()
        value = known.search.trials[knob]
        texts = ["+".join(each) if knob == "steps" else str(each) for each in value]
        numbers = own["ordered"].all()
        assert numbers == (knob not in ("steps", "activations", "schedule"))
        if numbers:
            assert own["level"].astype(float).tolist() == value.tolist()
            assert own.groupby("place")["level"].first().astype(float).is_monotonic_increasing
        else:
            assert own["level"].tolist() == texts
    assert slices.table["jitter"].abs().max() <= 0.5
    columns, rows = slices.cells
    width = known.search.trials[known.search.trials["width"] == 512]
    trained = width[~width["given_up"]]["validation_accuracy"]
    found = next(row for row in rows if row[:2] == ["width", "512"])
    assert found[2:6] == [f"{len(width)}", f"{len(trained)}", f"{100 * trained.median():.2f}",
                          f"{100 * trained.max():.2f}"]  # fmt: skip
    assert found[columns.index("to see the best")] == f"mnistlab show {width.loc[trained.idxmax(), 'run']}"


def test_of_many_knobs_eight_are_drawn_and_the_others_counted(known):
    more = {f"knob_{number}": known.search.trials["number"] % 3 for number in range(4)}
    many = changed(known, **more)
    many = replace(many, search=replace(many.search, choices=(*more, *many.search.choices)))
    slices = shown("slices", many)
    assert slices.table["knob"].nunique() == MOST_PANELS
    assert "width" in set(slices.table["knob"])
    assert "Not drawn: 4 more." in slices.caption


def test_levels_that_are_truths_nothing_or_lists_are_written_as_people_write_them(known):
    n = len(known.search.trials)
    odd = changed(known, batch_norm=np.arange(n) % 2 == 0, max_norm=[None, 2.0, 3.5] * (n // 3),
                  layers=[(64, 32), (256,), (128, 64)] * (n // 3))  # fmt: skip
    odd = replace(odd, search=replace(odd.search, choices=("batch_norm", "max_norm", "layers")))
    table = shown("slices", odd).table
    levels = {knob: set(own["level"]) for knob, own in table.groupby("knob")}
    assert levels == {
        "batch_norm": {"on", "off"},
        "max_norm": {"off", "2", "3.5"},
        "layers": {"64-32", "256", "128-64"},
    }


@pytest.mark.parametrize(("objective", "column"), [("accuracy", "parameters"), ("accuracy,parameters", "parameters"),
                                                   ("accuracy,seconds", "seconds_per_epoch")])  # fmt: skip
def test_the_pareto_set_is_that_of_trials_trained_to_the_end_with_the_winners_behind_it(
    plant_search, objective, column
):
    known = plant_search(60, objective=objective, n_winners=3)
    pareto = shown("pareto", known)
    trained = known.search.trials[~known.search.trials["given_up"]]
    trials, won = (pareto.table[pareto.table["kind"] == kind] for kind in ("trial", "winner"))
    assert set(trials["run"]) == set(trained["run"])
    assert trials["cost"].tolist() == sorted(trained[column])
    front = trained.iloc[pareto_front(trained["validation_accuracy"], trained[column])]
    assert set(trials.loc[trials["front"], "run"]) == set(front["run"])
    winners = known.search.winners.sort_values(column)
    assert won["accuracy"].tolist() == winners["accuracy"].tolist()
    assert won["number"].tolist() == [1, 2, 3]
    last = won.iloc[-1]
    assert written(last["accuracy"], last["low"], last["high"], 5) in pareto.caption
    assert f"{len(trials)} trials on validation digits, one network each, {len(front)} not beaten." in pareto.caption
    assert pareto.cells[1][0][2] == percent(point_estimate(won.iloc[0]))


@pytest.mark.parametrize("poor", POOR.values(), ids=POOR)
def test_a_poor_search_has_captions_tables_and_drawings_without_a_fault(plant_search, poor):
    known = plant_search(**poor)
    for exhibit in SEARCH:
        one = Shown(exhibit, known)
        assert one.caption.endswith(".")
        assert one.caption.startswith("No ") == one.table.empty
        assert bool(one.svg) == (not one.table.empty)
        assert len(one.cells[1]) == 0 if one.table.empty else len(one.cells[1]) > 0
        assert "nan" not in f"{one.caption} {one.cells[1]}".lower().replace("(", " ").split()


def test_a_study_that_is_no_search_shows_nothing_of_one(lab_evidence, known):
    assert {*SEARCH} <= {each.exhibit for each in all_shown(known)}
    assert not {*SEARCH} & {each.exhibit for each in all_shown(lab_evidence)}
    for exhibit in SEARCH:
        assert Shown(exhibit, lab_evidence).table.empty
        assert Shown(exhibit, lab_evidence).caption.startswith("No ")


def test_a_collapsed_trial_is_no_best_and_none_of_the_pareto_set(known):
    low = known.search.trials["validation_accuracy"].where(known.search.trials["number"] % 10 != 5, 0.1135)
    some = changed(known, validation_accuracy=low)
    to_the_end = (low == 0.1135) & ~known.search.trials["given_up"]
    assert (shown("history", some).table["kind"] == "collapsed").sum() == to_the_end.sum() > 0
    assert shown("pareto", some).table["accuracy"].min() > 0.5
    assert "collapsed" in shown("history", some).caption


def test_equals_on_the_front_are_both_not_beaten(known):
    best = known.search.trials["number"].isin(known.search.trials.loc[~known.search.trials["given_up"], "number"][:2])
    accuracy = known.search.trials["validation_accuracy"].where(~best, 0.999)
    parameters = known.search.trials["parameters"].where(~best, 5_000)
    table = shown("pareto", changed(known, validation_accuracy=accuracy, parameters=parameters)).table
    assert table.loc[(table["kind"] == "trial") & (table["accuracy"] == 0.999), "front"].tolist() == [True, True]


def test_labels_of_any_kind_are_shown_as_they_are_typed_and_shortened_in_captions(known):
    label = "<img src=x onerror=alert(1)> $x^2$ \u202eabc " + 30 * "letters "
    odd = changed(known, label=label)
    odd = replace(odd, search=replace(odd.search, winners=odd.search.winners.assign(label=label)))
    for exhibit in SEARCH:
        one = Shown(exhibit, odd)
        assert len(one.caption) < 700
        assert "<img" not in one.svg
        assert "\u202e" not in one.caption
        assert one._repr_html_().count("<img") == 0


def test_trials_of_the_same_cell_as_a_winner_leave_the_winner_its_fresh_runs(known):
    winner = shown("pareto", known).table.query("kind == 'winner'").iloc[0]
    assert winner["run"] == known.runs.loc[known.runs["cell"] == winner["cell"], "run"].iloc[0]
    assert winner["run"] not in set(known.search.trials["run"])


def test_what_is_not_known_of_a_winner_may_be_none(plant_search):
    known = plant_search(12, fresh=0)
    winners = known.search.winners.astype(object).where(known.search.winners.notna(), None)
    some = replace(known, search=replace(known.search, winners=winners))
    for exhibit in SEARCH:
        assert Shown(exhibit, some).caption == Shown(exhibit, known).caption
    without = replace(known, search=replace(known.search, winners=pd.DataFrame([])))
    assert shown("winners", without).table.empty
    assert "Nothing is confirmed yet." in shown("history", without).caption


def test_a_frame_of_objects_as_a_store_gives_it_is_as_good(known):
    objects = known.search.trials.astype(object).where(known.search.trials.notna(), None)
    some = replace(known, search=replace(known.search, trials=objects))
    for name in ("history", "importances", "slices", "pareto"):
        found, expected = (shown(name, each).table.convert_dtypes() for each in (some, known))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
