"""Studies whose seeds go where verdicts are open, trained for real on small digits."""

from collections import Counter

import pytest

import mnistlab
from mnistlab.errors import ConfigurationError
from mnistlab.places import Places
from mnistlab.spec import Run
from mnistlab.stop import Budget

CONFIG = {
    "name": "widths",
    "dataset": "digits",
    "frameworks": ["sklearn"],
    "model": {"layers": [[2], [8], [32], [40], [12, 12]]},
    "training": {"epochs": 30},
}


@pytest.fixture(scope="module")
def study():
    return mnistlab.until_decided(CONFIG, margin=0.02, max_seeds=20)


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """Places, the summary and what was told of a study trained until nothing was open."""
    places, told = Places.find(home=tmp_path_factory.mktemp("home"), offline=True), []
    return places, mnistlab.run(study, places=places, notify=told.append), told


def seeds_of(places):
    runs = mnistlab.open_store(places.store).runs("widths")
    return {cell: tuple(own["seed"]) for cell, own in runs.groupby("cell")}


@pytest.mark.slow
def test_seeds_go_only_where_a_verdict_is_open(study, trained):
    places, summary, told = trained
    found = mnistlab.verdicts("widths", places=places)
    assert found.looks == (5, 10, 20)
    assert not found.rows["wants"].any()
    needed = dict.fromkeys((cell.id for cell in study.cells), 5)
    for row in found.rows.itertuples():
        for number in (row.a, row.b):
            cell = found.cells["cell"][number]
            needed[cell] = max(needed[cell], row.look)
    assert seeds_of(places) == {cell: tuple(range(n)) for cell, n in needed.items()}
    assert min(needed.values()) == needed[study.cells[-1].id] == 5  # which differs from every other in two knobs
    assert max(needed.values()) > 5
    assert (summary.done, summary.to_do, summary.stopped) == (sum(needed.values()), 0, None)
    counts = Counter(found.rows["verdict"])
    assert told[-1] == f"6 verdicts: {', '.join(f'{n} {word}' for word, n in counts.most_common())}"


@pytest.mark.slow
def test_another_call_trains_nothing_and_counts_the_same(study, trained):
    places, summary, _ = trained
    again = mnistlab.run(study, places=places)
    assert (again.done, again.to_do) == (summary.done, 0)
    assert again.seconds < summary.seconds


@pytest.mark.ci
def test_calls_that_a_budget_ends_come_to_what_one_call_comes_to(study, trained, tmp_path, monkeypatch):
    """Each call may begin twenty groups and probes: calls end in the middle of looks."""
    begun = Counter()

    def allows(self, _):
        begun[id(self)] += 1
        return begun[id(self)] <= 20

    monkeypatch.setattr(Budget, "allows", allows)
    places, kept, calls = Places.find(home=tmp_path, offline=True), [], 0
    while not kept or kept[-1].stopped:
        kept.append(summary := mnistlab.run(study, places=places, workers=1, budget=1000))
        calls += 1
        assert summary.stopped in (None, "budget")
        assert calls < 40
    assert calls >= 3
    assert seeds_of(places) == seeds_of(trained[0])
    found, whole = (mnistlab.verdicts("widths", places=where).rows for where in (places, trained[0]))
    assert found.drop(columns="difference").equals(whole.drop(columns="difference"))
    assert found["difference"].tolist() == whole["difference"].tolist()


@pytest.mark.slow
def test_verdicts_of_an_adaptive_study_are_those_of_its_own_margin(trained):
    places, _, _ = trained
    assert mnistlab.open_store(places.store).adaptive("widths") == (list(range(20)), 0.02)
    with pytest.raises(ConfigurationError, match=r"--margin 1: the seeds of widths went where 2 points were undecided"):
        mnistlab.verdicts("widths", margin=0.01, places=places)


@pytest.mark.slow
def test_networks_that_diverge_do_not_keep_the_study_from_ending(tmp_path):
    """A cell whose networks all diverge leaves no verdict open, and none is made of it."""
    config = {"name": "wild", "dataset": "digits", "frameworks": ["sklearn"], "model": {"layers": [[8]]},
              "training": {"epochs": 2, "optimizer": "sgd", "l2": [0.0, 10.0], "learning_rate": 999.0}}  # fmt: skip
    places = Places.find(home=tmp_path, offline=True)
    study = mnistlab.until_decided(config, max_seeds=10)
    summary = mnistlab.run(study, places=places)
    assert (summary.done, summary.diverged, summary.to_do, summary.exit_status) == (5, 5, 0, 6)
    assert mnistlab.verdicts("wild", places=places).rows.empty
    assert {Run(cell, 0).id for cell in study.cells} <= mnistlab.open_store(places.store).finished()


@pytest.mark.parametrize(
    ("margin", "max_seeds", "said"),
    [
        (0, 40, "--margin 0: a number of points above 0"),
        (1, 40, "--margin 100: a number"),
        (0.002, 4, "--max-seeds 4: a whole number from 5 to"),
    ],
)
def test_a_margin_or_a_number_of_seeds_that_means_nothing_is_refused(margin, max_seeds, said):
    with pytest.raises(ConfigurationError, match=said):
        mnistlab.until_decided("smoke", margin=margin, max_seeds=max_seeds)


def test_an_adaptive_study_takes_no_seeds_from_outside(study):
    with pytest.raises(ConfigurationError, match="--seeds 3: the study gives seeds where verdicts are open"):
        mnistlab.plan(study, seeds=3)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"margin": 0.01, "max_seeds": 20}, {"margin": 0.02, "max_seeds": 10}, None])
def test_a_study_whose_seeds_were_given_out_goes_on_as_it_was_begun(trained, options):
    places, summary, _ = trained
    other = (
        mnistlab.load_config({**CONFIG, "seeds": 3}) if options is None else mnistlab.until_decided(CONFIG, **options)
    )
    said = r"study widths: its seeds were given out by --until-decided --margin 2 --max-seeds 20 \(say the same"
    with pytest.raises(ConfigurationError, match=said):
        mnistlab.run(other, places=places)
    assert mnistlab.verdicts("widths", places=places).looks == (5, 10, 20)
    assert summary.to_do == 0
