"""What a store says of a study: one function per question, each a join of the store's tables with one analysis.

They need the store alone: no data set, no keras, no jax. `study` is a name the store knows, a file or a shipped study;
None means the study run last. A study that has not been run yet has answers without rows.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mnistlab import fair
from mnistlab.asked import RatesAsked
from mnistlab.errors import ConfigurationError, DataError, did_you_mean
from mnistlab.places import Places
from mnistlab.store.tables import Store, open_store
from mnistlab.study import load_config

if TYPE_CHECKING:
    import pandas as pd

    from mnistlab.analysis.claims import JudgedClaim
    from mnistlab.analysis.evidence import Evidence, TestDigits
    from mnistlab.analysis.fair import TunedFrom
    from mnistlab.analysis.results import ResultsTable
    from mnistlab.analysis.sensitivity import Sensitivity
    from mnistlab.analysis.verdicts import Verdicts
    from mnistlab.exhibits.base import Shown

MAX_CLAIMS_BYTES = 20_000_000


def study_name(store: Store, study: str | None) -> str | None:
    """The study a reader means: as the store knows it, of the file or shipped name given, or the one run last."""
    if study is None:
        return store.last_study()
    return study if study in store.study_names() else load_config(study).name


def results(
    study: str | None = None, *, store: str | Path | None = None, places: Places | None = None
) -> "ResultsTable":
    """The table of a study, every accuracy with its interval.

    Raises
    ------
    ConfigurationError
        The store does not know the study, and no shipped study or file has that name.
    """
    from mnistlab.analysis.results import results_table

    opened = open_store(Path(store) if store is not None else (places or Places.find()).store)
    # A name the store does not hold has no rows, and without a name there is none to have them.
    name = study_name(opened, study) or ""
    return results_table(opened.cell_table(name), opened.runs(name, bits=True), opened.measurements())


def evidence(study: str | None = None, *, places: Places | None = None) -> "Evidence":
    """Everything the store holds of a study, read once, for whoever shows it.

    Raises
    ------
    ConfigurationError
        As of `results`.
    """
    from mnistlab.analysis.evidence import Evidence
    from mnistlab.winners import shown

    places = places or Places.find()
    store = open_store(places.store)
    name = study_name(store, study) or ""
    runs = store.runs(name, bits=True)
    return Evidence(name, store.cell_table(name), runs, store.epochs(name), store.measurements(),
                    store.reliability(name), store.environments(), _test_digits(store, name, runs, places),
                    store.adaptive(name), shown(store, name), _tuned_from(store, name))  # fmt: skip


def _tuned_from(store: Store, study: str) -> "TunedFrom | None":
    """The trials of a tuned study, and what the store holds of the study whose cells it tuned."""
    import pandas as pd

    from mnistlab.analysis.fair import TunedFrom

    asked, words = store.asked(study), store.words(study)
    if not isinstance(asked, RatesAsked):
        return None
    of, command = asked.study, f"mnistlab run {fair.untuned_words(words, asked.knob)}" if words else ""
    cells = {cell.id: cell for cell, _ in store.sizes(study)}
    found = store.trials(study)
    accuracies = fair.trial_accuracies(found)
    # Not what was tried around a rate that the study said once, nor where it is not known yet which rate is best.
    found = found[found["run"].isin(fair.trials_of([cells[id_] for id_ in asked.cells if id_ in cells], accuracies))]
    trials = pd.DataFrame([
        {"run": row["run"], "cell": row["cell"], "label": cells[row["cell"]].label, "seed": row["seed"],
         "accuracy": accuracies[row["run"]], **cells[row["cell"]].settings(), "tuned_knob": asked.knob}
        for row in found.to_dict("records")
    ])  # fmt: skip
    return TunedFrom(of, command, trials, store.cell_table(of), store.runs(of, bits=True), store.adaptive(of))


def _test_digits(store: Store, study: str, runs: "pd.DataFrame", places: Places) -> "TestDigits | None":
    """The digits most networks were tested on, with their pictures where the cache has them: nothing is fetched."""
    from mnistlab.analysis.evidence import TestDigits
    from mnistlab.datasets import catalog

    tested = runs.loc[runs["status"] == "done", "test_labels"].mode()
    if tested.empty:
        return None
    on = store.part_labels(tested.iloc[0])
    names, images = tuple(map(str, range(on.n_classes))), None
    with suppress(DataError, ConfigurationError):
        dataset = catalog.load(on.dataset, places.data_dir)
        names, images = dataset.info.class_names, dataset.images[on.indices]
    return TestDigits(on, names, store.predicted(tested.iloc[0], study), images)


def figure(name: str, study: str | None = None, *, places: Places | None = None) -> "Shown":
    """One exhibit of a study: its question, table, drawing and caption.

    Parameters
    ----------
    name : str
        One of those that `exhibits` lists.
    study : str, optional
    places : Places, optional

    Raises
    ------
    ConfigurationError
        There is no such exhibit; as of `results`.
    """
    from mnistlab.exhibits.base import Shown
    from mnistlab.exhibits.catalog import EXHIBITS

    named = {exhibit.name: exhibit for exhibit in EXHIBITS}
    if name not in named:
        hint = did_you_mean(name, named)
        hint = hint if hint.startswith("did") else "`mnistlab figure` lists them"
        raise ConfigurationError(f"figure {name}", "there is no such exhibit", hint)
    return Shown(named[name], evidence(study, places=places))


def exhibits(study: str | None = None, *, places: Places | None = None) -> "list[Shown]":
    """Everything there is to show of a study, in the order of its report; those without data among them.

    Raises
    ------
    ConfigurationError
        As of `results`.
    """
    from mnistlab.exhibits.catalog import all_shown

    return all_shown(evidence(study, places=places))


def sensitivity(study: str | None = None, *, places: Places | None = None) -> "Sensitivity":
    """Which knob of a study makes its networks differ, and how much is the luck of the seed.

    Raises
    ------
    ConfigurationError
        As of `results`.
    """
    from mnistlab.analysis import sensitivity as analysis

    store = open_store((places or Places.find()).store)
    name = study_name(store, study) or ""
    return analysis.sensitivity(store.cell_table(name), store.runs(name, bits=True))


def verdicts(study: str | None = None, *, margin: float | None = None, places: Places | None = None) -> "Verdicts":
    """Better, worse, equivalent or undecided, for every two cells of a study that differ in one knob alone.

    Parameters
    ----------
    study : str, optional
    margin : float, optional
        What counts as equivalent, a fraction; by default 0.002, or that by which an adaptive study gave out its seeds.
    places : Places, optional

    Raises
    ------
    ConfigurationError
        As of `results`; a margin out of range, or of an adaptive study another than its own.
    """
    return _verdicts_and_runs(study, margin, places)[0]


def findings(study: str | None = None, *, margin: float | None = None, places: Places | None = None) -> "pd.DataFrame":
    """What a study found in plain sentences, the first that which changes a decision most.

    Parameters
    ----------
    study, margin, places
        As of `verdicts`.

    Returns
    -------
    DataFrame
        See `analysis.findings.findings`, with `sentence` in front.

    Raises
    ------
    ConfigurationError
        As of `verdicts`.
    """
    from mnistlab.analysis import findings as analysis
    from mnistlab.wording import finding_sentence

    found, runs = _verdicts_and_runs(study, margin, places)
    table = analysis.findings(found, runs)
    table.insert(0, "sentence", [finding_sentence(found, row) for row in table.to_dict("records")])
    return table


def compare(
    a: str, b: str, *, study: str | None = None, margin: float | None = None, places: Places | None = None
) -> "Verdicts":
    """The verdict on two cells, each named by its id, a unique prefix of it, or its label: one row.

    Parameters
    ----------
    a, b : str
        `a` is judged against `b`.
    study : str, optional
        Where the cells are looked for; by default in the whole store.
    margin : float, optional
        As of `verdicts`.
    places : Places, optional

    Raises
    ------
    ConfigurationError
        A cell is unknown, both are the same, they were not tested on the same digits, or have no seed in common.
    """
    from mnistlab.analysis.verdicts import pair_verdict

    store = open_store((places or Places.find()).store)
    name = None if study is None else study_name(store, study)
    first, second = (store.find_cell(cell, name) for cell in (a, b))
    if first == second:
        raise ConfigurationError(f"compare {a} {b}", "both are the same cell")
    cells = store.cell_table(name).set_index("cell", drop=False).loc[[first, second]].reset_index(drop=True)
    found = pair_verdict(cells, store.runs(name, bits=True), _margin(margin))
    if found.rows.empty:
        raise ConfigurationError(f"compare {a} {b}", _why_no_pair(found, a, b), "`mnistlab results` shows what is done")
    return found


def verify(files: Sequence[str | Path], *, places: Places | None = None) -> "list[JudgedClaim]":
    """What becomes of the numbers that texts claim of networks, judged by arithmetic and by the whole store.

    Raises
    ------
    DataError
        A file cannot be read, or has more than 20 MB.
    """
    from mnistlab.analysis.claims import judge_claims
    from mnistlab.analysis.results import results_table
    from mnistlab.claim_tables import read_claims

    claims = [claim for path in map(Path, files) for claim in read_claims(_text(path), str(path))]
    store = open_store((places or Places.find()).store)
    measured = results_table(store.cell_table(), store.runs(bits=True), store.measurements()).rows
    return judge_claims(claims, measured if len(measured) else None)


def _verdicts_and_runs(
    study: str | None, margin: float | None, places: Places | None
) -> "tuple[Verdicts, pd.DataFrame]":
    from mnistlab.analysis.replication import adaptive_verdicts
    from mnistlab.analysis.verdicts import study_verdicts

    store = open_store((places or Places.find()).store)
    name, wanted = study_name(store, study) or "", _margin(margin)
    cells, runs = store.cell_table(name), store.runs(name, bits=True)
    if (adaptive := store.adaptive(name)) is None:
        return study_verdicts(cells, runs, wanted), runs
    seeds, own = adaptive
    if margin not in (None, own):
        raise ConfigurationError(f"--margin {wanted * 100:g}", f"the seeds of {name} went where {own * 100:g} points "
                                 "were undecided", "leave it out, or run the study with this margin")  # fmt: skip
    return adaptive_verdicts(cells, runs, seeds=seeds, margin=own), runs


def _margin(margin: float | None) -> float:
    from mnistlab.analysis.verdicts import MARGIN

    if margin is None:
        return MARGIN
    if not 0 < margin < 1:
        raise ConfigurationError(f"--margin {margin * 100:g}", "a number of points above 0 and below 100 is needed")
    return margin


def _why_no_pair(found: "Verdicts", a: str, b: str) -> str:
    for place, text in enumerate((a, b)):
        if place not in found.replicates:
            return f"{text} has no finished network"
    first, second = (found.replicates[place] for place in (0, 1))
    if first.digits != second.digits:
        return "they were not tested on the same digits"
    return "they have no seed in common"


def _text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > MAX_CLAIMS_BYTES:
            raise DataError(str(path), f"more than {MAX_CLAIMS_BYTES // 10**6} MB")
        if path.exists() and not path.is_file():
            raise DataError(str(path), "not a regular file")
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as fault:
        raise DataError(str(path), fault.strerror or str(fault)) from fault
