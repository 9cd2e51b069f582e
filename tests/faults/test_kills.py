"""SIGKILL at random moments: what finished is kept, the next `run` goes on at once and trains the rest alone."""

import itertools
import json
import os
import random
import signal
import subprocess

import pytest

# A third of the kills each; a run of the command is met by the kills of one line.
KILLS = [["worker", "coordinator"], ["group"], ["coordinator"], ["group"], ["worker"]]
TWO_ROUNDS = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 2
[model]
layers = [[16]]
[training]
epochs = 40
learning_rate = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016]
[[cell]]
dataset = "digits"
framework = "keras"
hidden_layer_sizes = [8]
training.epochs = 3
"""


# Cohorts: networks of two lengths that share their batches; with more seeds, others side by side as well.
SHARED = """
name = "small"
dataset = "digits"
seeds = 2
[model]
layers = [[6]]
[training]
epochs = [8, 30]
"""
COHORTS = SHARED.replace("seeds = 2", "seeds = 8").replace("[[6]]", "[[6], [16]]")


@pytest.mark.ci
def test_three_kills_of_cohorts_lose_no_finished_run_and_repeat_none(new_lab, processes, undisturbed_by):
    undisturbed = undisturbed_by(SHARED)
    assert undisturbed.programs == {"4 cells of one seed"}
    assert Killer(lambda: new_lab(SHARED), processes, undisturbed).kill(3) >= 3


@pytest.mark.long
def test_twenty_kills_of_cohorts_lose_no_finished_run_and_repeat_none(new_lab, processes, undisturbed_by):
    undisturbed = undisturbed_by(COHORTS)
    assert undisturbed.programs == {"one network", "5 seeds of one cell", "4 cells of one seed"}
    assert Killer(lambda: new_lab(COHORTS), processes, undisturbed).kill(20) >= 20


@pytest.mark.ci
def test_six_kills_lose_no_finished_run_and_repeat_none(new_lab, processes, undisturbed):
    assert Killer(new_lab, processes, undisturbed).kill(6) >= 6


@pytest.mark.long
def test_sixty_kills_lose_no_finished_run_and_repeat_none(new_lab, processes, undisturbed_by):
    assert Killer(lambda: new_lab(TWO_ROUNDS), processes, undisturbed_by(TWO_ROUNDS)).kill(60) >= 60


TUNED = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 3
[model]
layers = [[8], [40]]
[training]
epochs = 25
learning_rate = 0.004
"""


@pytest.mark.ci
def test_a_tuned_study_that_is_killed_among_its_trials_and_after_goes_on_and_trains_nothing_twice(new_lab, processes):
    lab, command = new_lab(TUNED), ("run", "small.toml", "--tune", "learning_rate", "--engine", "reference")
    for enough in (4, 21):  # of twenty trials and six networks at the rates that they choose
        run = lab.start(*command)
        processes.wait_until(lambda: len(lab.weights()) >= enough, run)  # noqa: B023
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        before = {id_: run for id_, run in lab.runs().items() if run.status == "done"}
        assert enough <= len(before) < 26
        assert "run small.toml --tune learning_rate` goes on" in lab.call(*command, "--budget", "1e-6s")[0]
        assert before.items() <= lab.runs().items()
    summary = json.loads(lab.call(*command, "--json")[0])
    assert (summary["study"], summary["done"], summary["to_do"], summary["stopped"]) == ("small-tuned", 26, 0, None)
    assert before.items() <= lab.runs().items()
    assert lab.attempts() <= 26 + 2 * 2  # what a kill met of two processes was started once more
    attempts, weights = lab.attempts(), lab.weights()
    assert json.loads(lab.call(*command, "--json")[0])["done"] == 26
    assert (lab.attempts(), lab.weights()) == (attempts, weights)
    page = lab.call("report", "small-tuned")[0].split()[-1]
    text = (lab.home / page).read_text(encoding="utf-8")
    assert "No verdicts to set these beside: `mnistlab run small.toml`" in text.replace("&#96;", "`")


class Killer:
    """Runs a study again and again, kills it, and looks after every kill whether all is as it should be."""

    def __init__(self, new_lab, processes, undisturbed):
        self.new_lab, self.processes, self.undisturbed = new_lab, processes, undisturbed
        self.moments, self.orphans = random.Random(60), []

    def kill(self, n_kills):
        """How many kills the study was met by: so many or, when the last line held two, one more."""
        kills, lab = 0, self.new_lab()
        lines = itertools.cycle(KILLS)
        while kills < n_kills:
            before = lab.runs()
            hits, survived = self.run_and_kill(lab, next(lines))
            kills += hits
            self.check_nothing_lost(lab, before)
            if survived:
                self.finish(lab)
                lab = self.new_lab()
        self.finish(lab)
        return kills

    def run_and_kill(self, lab, kinds):
        """How many of these kills met the study, and whether it came to its end none the less."""
        run, hits = lab.start("run", "small.toml", "--json"), 0
        for kind in kinds:
            if ends_within(run, self.moments.random() * self.undisturbed.seconds / len(kinds)):
                break
            hits += self.strike(run, kind)
        run.communicate()
        self.wait_for_orphans()
        assert run.returncode in (0, -signal.SIGKILL)
        return hits, run.returncode == 0

    def strike(self, run, kind):
        workers = self.processes.workers_of(run.pid)
        while kind == "worker" and not workers and not ends_within(run, 0.02):
            workers = self.processes.workers_of(run.pid)
        if kind == "worker":
            if workers:
                self.moments.choice(workers).kill()
            return bool(workers)
        if run.poll() is not None:
            return False
        self.orphans += workers
        if kind == "group":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        return True

    def wait_for_orphans(self):
        """Called while the next run is under way: it did not wait for them."""
        assert all(self.processes.ends_within(worker, 10) for worker in self.orphans)
        self.orphans.clear()

    def check_nothing_lost(self, lab, before):
        """Every run done before is done as it was, `status` counts it, and nobody trained it again."""
        after, done_before = lab.runs(), [id_ for id_, run in before.items() if run.status == "done"]
        assert all(after[id_] == before[id_] for id_ in done_before)
        assert lab.done() >= len(done_before)
        assert lab.weights().items() <= self.undisturbed.weights.items()

    def finish(self, lab):
        """The last run trains the rest, once each, and comes to the same results."""
        rest, attempts = self.undisturbed.total - lab.done(), lab.attempts()
        summary = json.loads(lab.call("run", "small.toml", "--json")[0])
        self.wait_for_orphans()
        assert (summary["done"], summary["to_do"], summary["failed"]) == (self.undisturbed.total, 0, 0)
        assert lab.attempts() - attempts == rest
        assert lab.results() == self.undisturbed.results
        assert lab.weights() == self.undisturbed.weights


def ends_within(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


ENDLESS = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 1
[model]
layers = [[16]]
[training]
epochs = [5, 1_000_000]
"""


@pytest.mark.slow
def test_a_run_whose_process_dies_twice_is_failed_and_the_rest_is_done(new_lab, processes):
    lab = new_lab(ENDLESS)
    run = lab.start("run", "small.toml", "--json", "--workers", "1")
    for attempt in (1, 2):  # the endless run comes first, as the longest
        processes.wait_until(lambda: max((r.attempt for r in lab.runs().values()), default=0) == attempt, run)  # noqa: B023
        [worker] = processes.wait_until(lambda: processes.workers_of(run.pid), run)
        worker.kill()
    out, err = run.communicate()
    assert run.returncode == 6
    assert "Traceback" not in err
    summary = json.loads(out)
    assert (summary["done"], summary["failed"], summary["to_do"], summary["stopped"]) == (1, 1, 1, None)
    short, endless = sorted(lab.runs().values(), key=lambda r: r.epochs_asked)
    assert (short.status, short.attempt) == ("done", 1)
    assert (endless.status, endless.attempt) == ("failed", 2)
    assert endless.reason in (
        "its process ended by signal 9, twice", "its process ended before it could begin, twice",
    )  # fmt: skip
