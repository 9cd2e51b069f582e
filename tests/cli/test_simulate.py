"""The simulation with a known truth, reduced, as every run of the tests does it; and how a broken promise ends."""

import pytest

from mnistlab.analysis import simulation
from mnistlab.analysis.intervals import t_interval

STUDIES = 50


@pytest.mark.ci
def test_every_promise_is_kept_and_seeds_alone_would_break_it(process, tmp_path):
    answer = process("simulate", "--studies", STUDIES, "--json", cwd=tmp_path)
    promises = answer.document["promises"]
    assert [promise for promise in promises if promise["kept"] is False] == []
    equal_pairs, a_margin_apart, grids, until_decided = 16 * 3, 16, 16 * 2, 4
    kept = sum(promise["kept"] is True for promise in promises)
    assert kept == equal_pairs + a_margin_apart + grids + until_decided
    found = {promise["what"]: promise["found"] for promise in promises
             if (promise["differ"], promise["seeds"]) == ("seeds and digits", 20)}  # fmt: skip
    assert found["an interval from seeds alone holds it"]["high"] < 0.93
    assert found["interval holds the accuracy on new digits"]["n"] == STUDIES
    assert answer.err.splitlines()[-1].startswith("simulate: 100% done")
    assert not list(tmp_path.iterdir())


@pytest.mark.ci
def test_an_interval_from_seeds_alone_in_the_place_of_ours_is_a_broken_promise(mnistlab, monkeypatch):
    """A planted fault: nothing is replaced by what could not be wrong."""
    monkeypatch.setattr(simulation, "SEED_COUNTS", (20,))
    monkeypatch.setattr(simulation, "crossed_interval", lambda bits: t_interval(bits.mean(axis=1)))
    answer = mnistlab("simulate", "--studies", "20")
    assert answer.status == 7
    _, table, summary = answer.out.split("\n\n")
    lines = table.splitlines()[1:]
    broken = [line for line in lines if line.endswith("broken")]
    assert broken == [line for line in lines if line.startswith("interval holds") and "digits     20" in line]
    alone = [line for line in lines if "from seeds alone" in line or "by seeds alone" in line]
    assert summary.rstrip() == f"{len(lines) - len(broken) - len(alone)} promises kept, {len(broken)} broken."
