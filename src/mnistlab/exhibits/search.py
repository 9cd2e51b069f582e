"""What a search found: its winners, its course, what its accuracy depended on, and what accuracy is to be had."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlab.analysis.importance import FEWEST
from mnistlab.analysis.racing import pareto_front
from mnistlab.analysis.trials import knob_levels, outcomes
from mnistlab.exhibits.base import Exhibit, number, resolution_words, share_words
from mnistlab.formatting import (
    NOTHING,
    Cells,
    counted,
    percent,
    point_estimate,
    points,
    seconds,
    shortened,
    spread,
    table_cells,
)
from mnistlab.tabulation import show_command
from mnistlab.visualization.search import (
    MOST_PANELS,
    draw_history,
    draw_importances,
    draw_search_pareto,
    draw_slices,
    draw_winners,
    importances_height,
    slices_height,
    winners_height,
)

if TYPE_CHECKING:
    from mnistlab.analysis.evidence import Evidence

MOST_IMPORTANCES = 20
_LETTERS = 60  # of a label in a caption
_WORDS = {"steps": "features", "activations": "activation", "hidden_layer_sizes": "layers"}
_KINDS = ("trained", "given up", "collapsed", "diverged")
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples, less whole numbers, fill a line evenly


def _runs(known: "Evidence") -> dict[str, tuple[str, ...]]:
    """Of each cell its networks with fresh seeds."""
    rows = known.results.rows
    return dict(zip(rows["cell"], rows["runs"], strict=True)) if len(rows) else {}


def _label(row: Mapping[Any, Any], name: str = "label") -> str:
    return shortened(row[name], _LETTERS)


def _best(trials: pd.DataFrame) -> dict[Any, Any]:
    """The row of the best trial that was trained to the end; one must have been."""
    trained = trials[trials["kind"] == "trained"]
    return dict(trained.iloc[trained["accuracy"].argmax()])


def _seconds(value: float) -> str:
    return NOTHING if math.isnan(value) else seconds(value)


def _written(accuracy: float) -> str:
    return NOTHING if math.isnan(accuracy) else f"{100 * accuracy:.2f}"


# The winners


_WINNER = ["cell", "label", "parameters", "seconds_per_epoch", "confirmed", "searched", "n_searched", "fresh",
           "fresh_low", "fresh_high", "n_fresh", "optimism", "optimism_low", "optimism_high", "accuracy", "low", "high",
           "runs", "resolution", "n_lost", "n_collapsed"]  # fmt: skip


def winners_table(known: "Evidence") -> pd.DataFrame:
    """What the search quotes of each winner, and what its networks with fresh seeds score.

    Returns
    -------
    DataFrame
        A row per winner, by rising size: cell, label, parameters, seconds_per_epoch, confirmed, searched, n_searched
        (on validation digits), fresh, fresh_low, fresh_high, n_fresh (the same of fresh networks), optimism,
        optimism_low, optimism_high, accuracy, low, high (test digits, fresh networks alone), runs (these), resolution
        (of test accuracy), n_lost, n_collapsed (fresh seeds that diverged; that learned nothing and are in the means).
        Fractions; NaN where not known.
    """
    if known.search is None:
        return pd.DataFrame(columns=_WINNER)
    runs, resolution, rows = _runs(known), number(known.results.resolution), []
    for row in known.search.winners.to_dict("records"):
        # The quoted number is one number: fresh networks spread about their mean as the optimism does about its own.
        fresh = [row["searched_accuracy"] - number(row[end]) for end in ("optimism_high", "optimism_low")]
        confirmed = bool(row["confirmed"]) and row["n_fresh"] > 0
        rows.append((row["cell"], row["label"], row["parameters"], row["seconds_per_epoch"], confirmed,
                     row["searched_accuracy"], row["n_searched"], row["fresh_validation_accuracy"], *fresh,
                     row["n_fresh"], row["optimism"], row["optimism_low"], row["optimism_high"], row["accuracy"],
                     row["accuracy_low"], row["accuracy_high"], runs.get(row["cell"], ()), resolution, row["n_lost"],
                     row["n_collapsed"]))  # fmt: skip
    table = pd.DataFrame(rows, columns=_WINNER)
    numbers = ["seconds_per_epoch", "searched", "fresh", "fresh_low", "fresh_high", "optimism", "optimism_low",
               "optimism_high", "accuracy", "low", "high", "resolution"]  # fmt: skip
    table = table.astype({"confirmed": bool, **dict.fromkeys(numbers, float)})
    return table.sort_values("parameters", kind="stable", ignore_index=True)


def _fresh(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["fresh"]):
        return NOTHING
    return percent(point_estimate({"accuracy": row["fresh"], "low": row["fresh_low"], "high": row["fresh_high"],
                                   "n": row["n_fresh"]}))  # fmt: skip


def _tested(row: Mapping[Any, Any]) -> str:
    """The test accuracy, which an unconfirmed winner has none of."""
    if math.isnan(row["accuracy"]):
        return NOTHING
    return percent(point_estimate({**row, "n": row["n_fresh"]}))


def _confirmed(row: Mapping[Any, Any]) -> str:
    """Whether it is, and how many of its fresh seeds came to something (rule M12)."""
    trained, n = row["n_fresh"] - row["n_collapsed"], row["n_fresh"] + row["n_lost"]
    came = "" if trained == n else f", {trained} of {n} trained"
    return f"yes{came}" if row["confirmed"] else f"not yet, {row['n_fresh']} fresh"


def _optimism(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["optimism"]):
        return NOTHING
    estimate = point_estimate({"accuracy": row["optimism"], "low": row["optimism_low"], "high": row["optimism_high"],
                               "n": max(row["n_fresh"], 2)})  # fmt: skip
    return f"{'+' if row['optimism'] > 0 else ''}{spread(estimate, 100)}"


def _winners_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "test accuracy %": lambda row: _tested(row),
        "confirmed": _confirmed,
        "search quoted %": lambda row: f"{100 * row['searched']:.2f} ({row['n_searched']})",
        "fresh validation %": lambda row: _fresh(row),
        "optimism, points": lambda row: _optimism(row),
        "parameters": lambda row: f"{row['parameters']:,}",
        "an epoch, as trained": lambda row: _seconds(row["seconds_per_epoch"]),
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _winners_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No winner yet, or this study is no search."
    confirmed = table[table["confirmed"]]
    waiting = table[~table["confirmed"]]
    parts = [f"{counted(len(table), 'winner')}, {len(confirmed)} confirmed; accuracy in per cent."]
    if len(confirmed):
        best = dict(confirmed.iloc[confirmed["searched"].argmax()])
        parts.append(f"{_label(best)}: the search quoted {100 * best['searched']:.2f} on validation digits "
                     f"({counted(best['n_searched'], 'network')}); its fresh networks score {_fresh(best)} there and "
                     f"{_tested(best)} on test digits. Optimism removed: {_optimism(best)} points.")  # fmt: skip
    if len(waiting):
        first = dict(waiting.iloc[waiting["searched"].argmax()])
        parts.append(f"Unconfirmed: {_label(first)}, quoted at {100 * first['searched']:.2f}, with "
                     f"{counted(first['n_fresh'], 'fresh network')}: no test accuracy yet.")  # fmt: skip
    return " ".join([*parts, resolution_words(table)])


# The course of the search


_HISTORY = ["number", "run", "cell", "label", "accuracy", "kind", "epochs_done", "epochs_asked", "best", "confirmed",
            "confirmed_low", "confirmed_high", "confirmed_n", "confirmed_label", "resolution"]  # fmt: skip


def history_table(known: "Evidence") -> pd.DataFrame:
    """Every trial in its turn, and what of the best of them was confirmed.

    Returns
    -------
    DataFrame
        A row per trial: number, run, cell, label, accuracy (validation, one network; NaN where it diverged), kind (see
        `analysis.trials.outcomes`), epochs_done, epochs_asked, best (the highest of the trials trained to the end so
        far; NaN before the first), confirmed, confirmed_low, confirmed_high (mean validation accuracy of the best
        winner's fresh networks, the same in every row; NaN: none is confirmed), confirmed_n, confirmed_label,
        resolution (of two trials). Fractions.
    """
    if known.search is None or known.search.trials.empty:
        return pd.DataFrame(columns=_HISTORY)
    trials, winners = known.search.trials, winners_table(known)
    kind = outcomes(trials)
    accuracy = trials["validation_accuracy"].astype(float).where(kind != "diverged")
    won = winners[winners["confirmed"]].sort_values("searched", ascending=False, kind="stable")
    level = (tuple(won.iloc[0][["fresh", "fresh_low", "fresh_high", "n_fresh", "label"]]) if len(won)
             else (math.nan, math.nan, math.nan, 0, ""))  # fmt: skip
    table = trials[["number", "run", "cell", "label", "epochs_done", "epochs_asked"]].assign(
        accuracy=accuracy, kind=kind, best=accuracy.where(kind == "trained").cummax().ffill(),
        resolution=known.trial_resolution,
        **dict(zip(("confirmed", "confirmed_low", "confirmed_high", "confirmed_n", "confirmed_label"), level,
                   strict=True)))  # fmt: skip
    return table[_HISTORY].reset_index(drop=True)


def _history_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "no.": lambda row: f"{row['number']:,}",
        "validation %": lambda row: _written(row["accuracy"]),
        "outcome": lambda row: row["kind"],
        "epochs": lambda row: f"{row['epochs_done']:.0f} of {row['epochs_asked']:.0f}",
        "best so far %": lambda row: _written(row["best"]),
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command([row["run"]]),
    })  # fmt: skip


def _history_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No trial has ended, or this study is no search."
    counts = ", ".join(f"{n:,} {kind}" for kind in _KINDS if (n := (table["kind"] == kind).sum()))
    parts = [f"Validation accuracy of {counted(len(table), 'trial')}, one network each: {counts}."]
    if table["best"].notna().any():
        best = _best(table)
        parts.append(f"Unconfirmed best: {_label(best)}, {100 * best['accuracy']:.2f} %, trial {best['number']:,}.")
    last = dict(table.iloc[-1])
    if math.isnan(last["confirmed"]):
        parts.append("Nothing is confirmed yet.")
    else:
        fresh = percent(point_estimate({"accuracy": last["confirmed"], "low": last["confirmed_low"],
                                        "high": last["confirmed_high"], "n": last["confirmed_n"]}))  # fmt: skip
        parts.append(f"Confirmed with fresh seeds, in per cent: {_label(last, 'confirmed_label')}, {fresh}.")
    return " ".join([*parts, _trial_resolution(table)])


def _trial_resolution(table: pd.DataFrame) -> str:
    resolution = table["resolution"].iloc[0]
    if resolution > 0:
        return f"Resolution of two trials: {points(resolution)}."
    return "No resolution yet: no race has run."


# What its accuracy depended on


def knob_words(knob: str) -> str:
    """What a knob is called beside a drawing."""
    return _WORDS.get(knob, knob.replace("_", " "))


_IMPORTANCE = ["knob", "what", "share", "low", "high", "n", "of_trials", "settings", "constant", "knobs",
               "to_see"]  # fmt: skip


def importances_table(known: "Evidence") -> pd.DataFrame:
    """Share of the variance of the error's logarithm that each knob makes, the largest first.

    Returns
    -------
    DataFrame
        A row per knob, at most twenty: knob, what (in words), share, low, high (fractions), n (trials), of_trials (as
        many could have been used), settings (values that these trials have), constant (words of knobs that did not vary
        among them), knobs (as many have a share), to_see (a trial's run: the best).
    """
    found = known.importances
    if known.search is None or found is None or found.shares.empty:
        return pd.DataFrame(columns=_IMPORTANCE)
    used = known.search.trials[outcomes(known.search.trials) == "trained"]
    best = used["run"].iloc[used["validation_accuracy"].astype(float).argmax()]
    constant = ", ".join(map(knob_words, found.constant))
    rows = [
        (row["knob"], knob_words(row["knob"]), share.value, share.low, share.high, found.trials, found.of_trials,
         len(knob_levels(used[row["knob"]])[0]), constant, len(found.shares), best)
        for row in found.shares.head(MOST_IMPORTANCES).to_dict("records")
        for share in [row["share"]]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=_IMPORTANCE)


def _importances_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "knob": lambda row: row["what"],
        "share %": lambda row: share_words(row, "share", "low", "high"),
        "may be nothing": lambda row: "no" if row["low"] > 0 else "yes",
        "settings tried": lambda row: f"{row['settings']:,}",
        "trials": lambda row: f"{row['n']:,}",
        "to see the best trial": lambda row: show_command([row["to_see"]]),
    })  # fmt: skip


def _importances_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return f"No importances: {FEWEST} trials of a search are needed that were trained to the end and differ."
    first = table.iloc[0]
    thinned = f" (of {first['of_trials']:,}, evenly)" if first["of_trials"] > first["n"] else ""
    intro = "Share in per cent of the variance of the logarithm of the validation error, interactions included, over"
    parts = [f"{intro} {first['n']:,} trials trained to the end{thinned}, with 95 % intervals."]
    if len(surely := table[table["low"] > 0]):
        told = "; ".join(f"{row['what']} {share_words(row, 'share', 'low', 'high')}"
                         for row in surely.head(3).to_dict("records"))  # fmt: skip
        parts.append(f"Surely of weight: {told}{'; …' if len(surely) > 3 else ''}.")
    if nothing := (table["low"] <= 0).sum():
        parts.append(f"Of {nothing} the interval holds 0.")
    if first["constant"]:
        parts.append(f"Not varied among these: {shortened(first['constant'], _LETTERS)}.")
    if left_out := first["knobs"] - len(table):
        parts.append(f"Not drawn: {left_out} smaller.")
    return " ".join([*parts, "It holds where the search looked, good regions more often than others."])


# Accuracy against each knob


_SLICE = ["knob", "what", "level", "place", "jitter", "ordered", "accuracy", "kind", "number", "run", "cell", "label",
          "share", "knobs", "resolution"]  # fmt: skip


def slices_table(known: "Evidence") -> pd.DataFrame:
    """Every trial at its value of every knob, the knobs of largest share first, at most eight.

    Returns
    -------
    DataFrame
        A row per knob and trial: knob, what (in words), level (the value as text), place (from 0, of the value among
        those tried), jitter (what sets equal values apart, -0.5 to 0.5), ordered (whether values are numbers), accuracy
        (validation; NaN where it diverged), kind, number, run, cell, label, share (NaN where not known), knobs (as many
        vary), resolution (of two trials).
    """
    search, found = known.search, known.importances
    if search is None or found is None or search.trials.empty:
        return pd.DataFrame(columns=_SLICE)
    levels = {knob: knob_levels(search.trials[knob]) for knob in search.choices}
    varied = [knob for knob, (values, *_) in levels.items() if len(values) > 1]
    shares = {row["knob"]: number(row["share"].value) for row in found.shares.to_dict("records")}
    ranked = sorted(varied, key=lambda knob: -shares.get(knob, -1.0))[:MOST_PANELS]
    if not ranked:
        return pd.DataFrame(columns=_SLICE)
    trials, kind = search.trials, outcomes(search.trials)
    accuracy = trials["validation_accuracy"].astype(float).where(kind != "diverged")
    shown = trials[["number", "run", "cell", "label"]].assign(
        kind=kind, accuracy=accuracy, jitter=(trials["number"] * _GOLDEN) % 1 - 0.5, knobs=len(varied),
        resolution=known.trial_resolution)  # fmt: skip
    panels = []
    for knob in ranked:
        values, codes, ordered = levels[knob]
        texts = np.array([_level(value, knob) for value in values], dtype=object)
        panels.append(shown.assign(knob=knob, what=knob_words(knob), level=texts[codes], place=codes, ordered=ordered,
                                   share=shares.get(knob, math.nan)))  # fmt: skip
    return pd.concat(panels, ignore_index=True)[_SLICE]


def _level(value: Any, knob: str) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ("+" if knob == "steps" else "-").join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _by_level(table: pd.DataFrame) -> pd.DataFrame:
    """A row per value of each knob: its trials, and the best and the median of those that were trained to the end."""
    rows = []
    for _, of_knob in table.groupby("knob", sort=False):
        for _, own in of_knob.groupby("place"):
            trained = own[own["kind"] == "trained"]
            best = _best(own) if len(trained) else {"accuracy": math.nan, "run": ""}
            rows.append((own["what"].iloc[0], own["level"].iloc[0], len(own), len(trained),
                         trained["accuracy"].median(), best["accuracy"], best["run"]))  # fmt: skip
    return pd.DataFrame(rows, columns=["what", "level", "trials", "trained", "median", "best", "run"])


def _slices_cells(table: pd.DataFrame) -> Cells:
    return table_cells(_by_level(table), {
        "knob": lambda row: row["what"],
        "value": lambda row: row["level"],
        "trials": lambda row: f"{row['trials']:,}",
        "to the end": lambda row: f"{row['trained']:,}",
        "median of these %": lambda row: _written(row["median"]),
        "best %": lambda row: _written(row["best"]),
        "to see the best": lambda row: show_command([row["run"]] if row["run"] else []),
    })  # fmt: skip


def _slices_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No two trials that differ in a knob, or this study is no search."
    panels, knobs = table["knob"].nunique(), table["knobs"].iloc[0]
    own = table[table["knob"] == table["knob"].iloc[0]]
    trained = (own["kind"] == "trained").sum()
    order = ", by importance" if table["share"].notna().any() else ""
    against = f"{counted(len(own), 'trial')} against {counted(panels, 'knob')}{order}"
    parts = [f"Validation accuracy of {against}; {trained:,} trained to the end, the others faint."]
    if knobs > panels:
        parts.append(f"Not drawn: {knobs - panels} more.")
    if trained:
        best = _best(own)
        parts.append(f"Best: {_label(best)}, {100 * best['accuracy']:.2f} %, one network.")
    return " ".join([*parts, _trial_resolution(table)])


# What accuracy is to be had at which size


_POINT = ["kind", "number", "cell", "label", "run", "cost", "accuracy", "low", "high", "n", "front", "of", "trials",
          "resolution"]  # fmt: skip


def search_pareto_table(known: "Evidence") -> pd.DataFrame:
    """Trials that were trained to the end, and confirmed winners, against parameters or the seconds of an epoch.

    Returns
    -------
    DataFrame
        A row per trial and confirmed winner, by rising cost, winners last: kind (`trial`: validation accuracy of one
        network; `winner`: test accuracy of its fresh networks), number (of a winner, from 1; 0 of trials), cell, label,
        run (of a winner the first), cost, accuracy, low, high (NaN of trials), n (networks), front (whether no trial is
        as accurate for less; of winners true), of (`parameters` or `seconds`), trials (as many), resolution.
    """
    if known.search is None:
        return pd.DataFrame(columns=_POINT)
    search, of = known.search, "seconds" if known.search.objective == "accuracy,seconds" else "parameters"
    column = "seconds_per_epoch" if of == "seconds" else of
    trained = search.trials[(outcomes(search.trials) == "trained") & (search.trials[column].astype(float) > 0)]
    points = trained[["validation_accuracy", column]].astype(float)
    front = set(points.iloc[pareto_front(*points.to_numpy().T)].itertuples(index=False, name=None))
    rows = [
        ("trial", 0, row["cell"], row["label"], row["run"], float(row[column]), float(row["validation_accuracy"]),
         math.nan, math.nan, 1, (float(row["validation_accuracy"]), float(row[column])) in front)
        for row in trained.to_dict("records")
    ]  # fmt: skip
    rows.sort(key=lambda row: row[5])
    won = winners_table(known)
    won = won[won["confirmed"] & won["accuracy"].notna()].sort_values(column, kind="stable")
    rows += [("winner", place, row["cell"], row["label"], row["runs"][0] if row["runs"] else "", float(row[column]),
              row["accuracy"], row["low"], row["high"], row["n_fresh"], True)
             for place, row in enumerate(won.to_dict("records"), start=1)]  # fmt: skip
    resolution = number(known.results.resolution)
    table = pd.DataFrame([(*row, of, len(trained), resolution) for row in rows], columns=_POINT)
    return table.astype({"front": bool})


def _cost(row: Mapping[Any, Any]) -> str:
    return seconds(row["cost"]) if row["of"] == "seconds" else f"{row['cost']:,.0f}"


def _search_pareto_cells(table: pd.DataFrame) -> Cells:
    def accuracy(row: Mapping[Any, Any]) -> str:
        return f"{100 * row['accuracy']:.2f}" if row["kind"] == "trial" else percent(point_estimate(row))

    cost = "an epoch, as trained" if len(table) and table["of"].iloc[0] == "seconds" else "parameters"
    first = table.sort_values(["kind", "front"], ascending=False, kind="stable") if len(table) else table
    return table_cells(first, {
        "cell": lambda row: row["label"],
        cost: lambda row: _cost(row),
        "accuracy %": accuracy,
        "on": lambda row: "test" if row["kind"] == "winner" else "validation",
        "is": lambda row: "confirmed" if row["kind"] == "winner" else "not beaten" if row["front"] else "beaten",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command([row["run"]] if row["run"] else []),
    })  # fmt: skip


def _search_pareto_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No trial that was trained to the end, or this study is no search."
    trials, won = table[table["kind"] == "trial"], table[table["kind"] == "winner"]
    cost = "the seconds of an epoch" if table["of"].iloc[0] == "seconds" else "parameters"
    told = (
        f"{counted(len(trials), 'trial')} on validation digits, one network each, {trials['front'].sum():,} not beaten"
    )
    parts = [f"Accuracy in per cent against {cost}: {told}."]
    if won.empty:
        parts.append("No winner is confirmed yet.")
    else:
        ends = [dict(won.iloc[place]) for place in sorted({0, len(won) - 1})]
        told = "; ".join(f"{_label(row)}, {percent(point_estimate(row))} at {_cost(row)}" for row in ends)
        parts.append(f"{counted(len(won), 'winner')} confirmed, on test digits: {told}.")
    return " ".join([*parts, resolution_words(table)])


SEARCH = (
    Exhibit("search-winners", "Which network won, and what does it really score?", "search", winners_table,
            _winners_cells, draw_winners, _winners_caption, height=winners_height),
    Exhibit("search-history", "How did the search go?", "search", history_table, _history_cells, draw_history,
            _history_caption, height=lambda _table: 4.6),
    Exhibit("search-importances", "Which knobs did the search's accuracy depend on?", "search", importances_table,
            _importances_cells, draw_importances, _importances_caption, height=importances_height),
    Exhibit("search-slices", "Which values of each knob did well?", "search", slices_table, _slices_cells, draw_slices,
            _slices_caption, height=slices_height),
    Exhibit("search-pareto", "What accuracy is to be had at which size?", "search", search_pareto_table,
            _search_pareto_cells, draw_search_pareto, _search_pareto_caption, height=lambda _table: 4.8),
)  # fmt: skip
