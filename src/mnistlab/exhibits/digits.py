"""Test digits: what is taken for what, how far a probability can be trusted, what a vote reaches, which digits fail."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnistlab.analysis.calibration import reliability_table
from mnistlab.analysis.digits import (
    DISPUTED,
    N_MNIST_TRAIN,
    confusion_table,
    flipped_digits,
    hardest_digits,
    vote_table,
)
from mnistlab.analysis.estimate import Estimate
from mnistlab.analysis.intervals import Replicates, t_interval
from mnistlab.analysis.results import LEVEL, collapse_threshold
from mnistlab.exhibits.base import Exhibit, number
from mnistlab.formatting import (
    NOTHING,
    Cells,
    counted,
    percent,
    point_estimate,
    points,
    significant,
    table_cells,
    with_spread,
)
from mnistlab.tabulation import show_command
from mnistlab.visualization.digits import (
    confusion_height,
    draw_confusion,
    draw_gallery,
    draw_reliability,
    draw_votes,
    gallery_height,
)

if TYPE_CHECKING:
    from mnistlab.analysis.evidence import Evidence, TestDigits

MAX_CLASSES = 16  # of a confusion matrix that can be read
MAX_PICTURES = 40
_SAID = "best 20"  # the committee whose gain is told, where there are so many networks; else all

_NOT_JUDGED = "No network that trained and was judged on validation digits has been tested yet."
_CHOSEN = ["label", "cell", "runs"]
_CONFUSION = [*_CHOSEN, "true", "predicted", "true_name", "predicted_name", "digits", "share", "left_out", "collapsed"]
_RELIABILITY = [*_CHOSEN, "bin", "digits", "confidence", "accuracy", "low", "high", "n", "ece", "ece_floor",
                "collapsed"]  # fmt: skip
_VOTES = ["voters", "networks", "accuracy", "low", "high", "digits", "mean_accuracy", "resolution", "left_out", "runs"]
_GALLERY = ["index", "true", "answer", "wrong", "networks", "answers", "total", "dataset", "run", "image"]


def _chosen(known: "Evidence") -> Mapping[Any, Any] | None:
    """The cell best on validation digits (rule M3), of those with a network that trained and was tested on these."""
    if known.digits is None:
        return None
    trained = set(_trained(known.digits))
    judged = [row for row in known.results.rows.to_dict("records")
              if row["validation_accuracy"].value is not None and not trained.isdisjoint(row["runs"])]  # fmt: skip
    return max(judged, key=lambda row: row["validation_accuracy"].value, default=None)


def _chosen_columns(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {"label": row["label"], "cell": row["cell"]}


def _trained(digits: "TestDigits") -> list[str]:
    """The networks tested on these digits that did not collapse (rule M12)."""
    right = (digits.predicted.to_numpy() == digits.on.labels).mean(axis=1)
    return digits.predicted.index[right >= collapse_threshold(digits.on.n_classes)].tolist()


def _runs_trained(row: Mapping[Any, Any], digits: "TestDigits") -> list[str]:
    trained = set(_trained(digits))
    return [run for run in row["runs"] if run in trained]


def _n_collapsed(row: Mapping[Any, Any], digits: "TestDigits") -> int:
    return sum(run in digits.predicted.index for run in row["runs"]) - len(_runs_trained(row, digits))


def _left_out(table: pd.DataFrame) -> str:
    """The end of a caption: the chosen cell's networks that are in none of its numbers."""
    collapsed = table["collapsed"].iloc[0]
    return f" {counted(collapsed, 'collapsed network')} of its own left out." if collapsed else ""


def _confusion_rows(known: "Evidence") -> pd.DataFrame:
    row = _chosen(known)
    if row is None or known.digits is None:
        return pd.DataFrame(columns=_CONFUSION)
    on, names, runs = known.digits.on, known.digits.class_names, _runs_trained(row, known.digits)
    predicted = known.digits.predicted.loc[runs].to_numpy()
    table = confusion_table(predicted, on.labels, on.n_classes)
    mean = np.array([digits.value for digits in table["digits"]])
    errs = (table["true"] != table["predicted"]).to_numpy()
    errors = np.where(errs, mean, 0).reshape(on.n_classes, on.n_classes)
    worst = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MAX_CLASSES]
    shown = table["true"].isin(worst) & table["predicted"].isin(worst) & (~errs | (mean > 0))
    order = np.lexsort((-mean, ~errs))
    table = table.loc[[place for place in order if shown[place]]].reset_index(drop=True)
    named = {f"{side}_name": [names[c] for c in table[side]] for side in ("true", "predicted")}
    return table.assign(**_chosen_columns(row), **named, runs=pd.Series([tuple(runs)] * len(table)),
                        left_out=on.n_classes - len(worst),
                        collapsed=_n_collapsed(row, known.digits))[_CONFUSION]  # fmt: skip


def _confusion_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "true class": lambda row: row["true_name"],
        "taken for": lambda row: row["predicted_name"],
        "digits a network": lambda row: with_spread(row["digits"]),
        "of its class %": lambda row: NOTHING if np.isnan(row["share"]) else significant(100 * row["share"]),
        "cell": lambda row: row["label"],
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _confusion_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return _NOT_JUDGED
    first = table.iloc[0]
    who = f"What {first['label']}, best on validation digits, takes each class for"
    worst = "It makes no error."
    if first["true"] != first["predicted"]:
        worst = (f"Most often {first['true_name']} is taken for {first['predicted_name']}: "
                 f"{with_spread(first['digits'])} of its digits, {significant(100 * first['share'])} %.")  # fmt: skip
    rest = f" {counted(first['left_out'], 'class', 'classes')} with fewer errors left out." if first["left_out"] else ""
    networks = counted(first["digits"].n, "network")
    return f"{who}: digits a network, mean of {networks}. {worst}{rest}{_left_out(table)}"


def _reliability_rows(known: "Evidence") -> pd.DataFrame:
    row = _chosen(known)
    if row is None or known.digits is None:
        return pd.DataFrame(columns=_RELIABILITY)
    runs = _runs_trained(row, known.digits)
    table = reliability_table(known.reliability[known.reliability["run"].isin(runs)])
    own = known.runs[known.runs["run"].isin(runs)]
    ece = t_interval(own["test_ece"], level=LEVEL, limits=(0, 1))
    accuracy = table["accuracy"].tolist()
    return table.assign(
        **_chosen_columns(row), runs=pd.Series([tuple(runs)] * len(table)), accuracy=[bin_.value for bin_ in accuracy],
        low=[bin_.low for bin_ in accuracy], high=[bin_.high for bin_ in accuracy], n=table["networks"],
        ece=pd.Series([ece] * len(table)), ece_floor=own["test_ece_floor"].mean(),
        collapsed=_n_collapsed(row, known.digits),
    )[_RELIABILITY]  # fmt: skip


def _reliability_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "confidence %": lambda row: f"{100 * row['confidence']:.4f}",
        "right %": lambda row: percent(point_estimate(row)),
        "digits a network": lambda row: significant(row["digits"]),
        "cell": lambda row: row["label"],
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _reliability_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return _NOT_JUDGED
    first = table.iloc[0].to_dict()
    who = f"{first['label']}, best on validation digits: how often its networks are right at each top probability"
    error = f"Calibration error (ECE) {percent(first['ece'])} %"
    floor = f"of which chance alone would make {significant(100 * first['ece_floor'])} %"
    sure = f"{100 * first['confidence']:.1f} % sure, {percent(point_estimate(first))} % right"
    return f"{who}. {error}, {floor}. The bin that is least sure: {sure}.{_left_out(table)}"


def _votes_rows(known: "Evidence") -> pd.DataFrame:
    if known.digits is None:
        return pd.DataFrame(columns=_VOTES)
    on, predicted = known.digits.on, known.digits.predicted
    trained = predicted.loc[_trained(known.digits)]
    if trained.empty:
        return pd.DataFrame(columns=_VOTES)
    validated = known.runs.set_index("run").loc[trained.index, "validation_accuracy"].to_numpy(dtype=float)
    table = vote_table(trained.to_numpy(), on.labels, validated)
    ranked = trained.index[np.argsort(-validated, kind="stable")]
    accuracy = table["accuracy"].tolist()
    return table.assign(
        accuracy=[vote.value for vote in accuracy], low=[vote.low for vote in accuracy],
        high=[vote.high for vote in accuracy], digits=len(on.labels),
        resolution=number(known.results.resolution), left_out=len(predicted) - len(trained),
        runs=pd.Series([tuple(ranked[:count]) for count in table["networks"]]),
    )[_VOTES]  # fmt: skip


def _votes_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "voters": lambda row: row["voters"],
        "networks": lambda row: f"{row['networks']:,}",
        "accuracy %": lambda row: percent(_vote(row)),
        "mean of them %": lambda row: significant(100 * row["mean_accuracy"]),
        "to see the best": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _vote(row: Mapping[Any, Any]) -> Estimate:
    """Of one committee, whatever the number of its members."""
    return point_estimate({**row, "n": 1})


def _votes_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network that trained has been tested yet."
    reached = [f"{row['voters']} {percent(_vote(row))} %" for row in table.to_dict("records")]
    reached[-1] = reached[-1].replace("all", f"all {table['networks'].iloc[-1]:,}", 1)
    # Which committee is spoken of is fixed beforehand: the highest of these would be chosen by test digits (rule M3).
    said = table[table["voters"] == _SAID].iloc[0] if _SAID in set(table["voters"]) else table.iloc[-1]
    above = points(said["accuracy"] - said["mean_accuracy"])
    lead = f" The vote of {said['voters']} is {above} above the mean of its voters." if said["networks"] > 1 else ""
    collapsed = f" {counted(said['left_out'], 'collapsed network')} left out." if said["left_out"] else ""
    intro = "What networks reach by voting, the best chosen on validation digits, with 95 % intervals for new digits"
    return f"{intro}: {'; '.join(reached)}.{lead}{collapsed}"


def _hardest_rows(known: "Evidence") -> pd.DataFrame:
    trained = _trained_digits(known)
    if trained is None or known.digits is None:
        return pd.DataFrame(columns=_GALLERY)
    return _gallery(known.digits, trained[trained["wrong"] > 0], _trained(known.digits))


def _disputed_rows(known: "Evidence") -> pd.DataFrame:
    trained = _trained_digits(known)
    if trained is None or known.digits is None or known.digits.on.dataset != "mnist":
        return pd.DataFrame(columns=_GALLERY)
    disputed = [N_MNIST_TRAIN + number for number in DISPUTED]
    return _gallery(known.digits, trained[trained["index"].isin(disputed)], _trained(known.digits))


def _trained_digits(known: "Evidence") -> pd.DataFrame | None:
    if known.digits is None:
        return None
    on = known.digits.on
    try:
        return hardest_digits(known.digits.predicted.to_numpy(), on.indices, on.labels)
    except ValueError:  # all collapsed
        return None


def _flipping_rows(known: "Evidence") -> pd.DataFrame:
    row = _chosen(known)
    if row is None or known.digits is None:
        return pd.DataFrame(columns=[*_GALLERY, "label", "cell"])
    on, runs = known.digits.on, _runs_trained(row, known.digits)
    correct = known.digits.predicted.loc[runs].to_numpy() == on.labels
    flipped = flipped_digits(Replicates(tuple(range(len(runs))), on.id, correct), on.indices, on.labels)
    return _gallery(known.digits, flipped, runs).assign(**_chosen_columns(row))


def _gallery(digits: "TestDigits", table: pd.DataFrame, runs: list[str]) -> pd.DataFrame:
    """The first digits of a table with what these networks answer and their pictures."""
    predicted = digits.predicted.loc[runs].to_numpy()
    place_of = {index: place for place, index in enumerate(digits.on.indices.tolist())}
    rows = []
    for index in table["index"].head(MAX_PICTURES).tolist():
        place = place_of[index]
        answers, label = predicted[:, place], int(digits.on.labels[place])
        counts = np.bincount(answers, minlength=digits.on.n_classes)
        ranked = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c]]
        wrong = [c for c in ranked if c != label]
        errs = np.flatnonzero(answers != label)
        rows.append([
            index, digits.class_names[label], digits.class_names[wrong[0]] if wrong else "", len(errs) / len(runs),
            len(runs), {digits.class_names[c]: int(counts[c]) for c in ranked}, len(table), digits.on.dataset,
            runs[errs[0] if len(errs) else 0], None if digits.images is None else digits.images[place],
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=_GALLERY)


def _gallery_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "digit": lambda row: f"{row['index']:,}",
        "true class": lambda row: row["true"],
        "wrong %": lambda row: significant(100 * row["wrong"]),
        "answers": lambda row: _answers(row),
        "networks": lambda row: f"{row['networks']:,}",
        "to see a network": lambda row: show_command([row["run"]]),
    })  # fmt: skip


def _answers(row: Mapping[Any, Any], most: int = 3) -> str:
    """`9 83 %, 4 17 %`."""
    shares = [f"{name} {100 * count / row['networks']:.0f} %" for name, count in row["answers"].items()]
    return ", ".join([*shares[:most], "…"] if len(shares) > most else shares)


def _hardest_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network that trained has been tested yet, or none errs."
    everyone = int((table["wrong"] == 1).sum())
    shown = f"The {counted(len(table), 'test digit')} most often misread"
    found = f"of {table['total'].iloc[0]:,} that any of {counted(table['networks'].iloc[0], 'network')} misreads"
    more = " or more" if everyone == len(table) < table["total"].iloc[0] else ""  # the table ends before they do
    return f"{shown}, {found}; {everyone:,}{more} {'is' if everyone == 1 else 'are'} read by none.{_pictures(table)}"


def _flipping_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No test digit flips with the seed: two networks of the cell best on validation digits are needed."
    first = table.iloc[0]
    networks, total = counted(first["networks"], "network"), first["total"]
    which = f"the {len(table)} most undecided are shown" if total > len(table) else "all are shown"
    return (f"{counted(total, 'test digit')} that {first['label']}, best on validation digits, reads rightly with some "
            f"seeds and wrongly with others, of {networks}; {which}.{_pictures(table)}")  # fmt: skip


def _disputed_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No network that trained was tested on the fifteen MNIST digits whose label people dispute."
    agreed = len(table) * (1 - table["wrong"].mean())
    shown = f"MNIST's test digits whose label people voted against, {len(table)} of {len(DISPUTED)}"
    answers = f"{counted(table['networks'].iloc[0], 'network')} answer {agreed:.1f} of them as labelled, on average"
    return f"{shown}; {answers}.{_pictures(table)}"


def _pictures(table: pd.DataFrame) -> str:
    if table["image"].isna().any():
        return f" The pictures need `mnistlab data fetch {table['dataset'].iloc[0]}`."
    return " Below each: true class → most common wrong answer, share of networks that err."


DIGITS = (
    Exhibit("confusion", "Which classes are mistaken for which?", "digits", _confusion_rows, _confusion_cells,
            draw_confusion, _confusion_caption, height=confusion_height),
    Exhibit("reliability", "How far can a probability be trusted?", "digits", _reliability_rows, _reliability_cells,
            draw_reliability, _reliability_caption),
    Exhibit("votes", "Do several networks together do better?", "digits", _votes_rows, _votes_cells, draw_votes,
            _votes_caption),
    Exhibit("hardest-digits", "Which digits does hardly any network read?", "digits", _hardest_rows, _gallery_cells,
            draw_gallery, _hardest_caption, height=gallery_height),
    Exhibit("flipping-digits", "Which digits depend on the luck of the seed?", "digits", _flipping_rows, _gallery_cells,
            draw_gallery, _flipping_caption, height=gallery_height),
    Exhibit("disputed-digits", "Are some of MNIST's own labels wrong?", "digits", _disputed_rows, _gallery_cells,
            draw_gallery, _disputed_caption, height=gallery_height),
)  # fmt: skip
