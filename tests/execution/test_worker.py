"""One worker process from outside: what it sends home. Run as a program, it is that process."""

import os
import subprocess
import sys
import time
from multiprocessing.connection import Listener
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program
from mnistlab.execution import worker
from mnistlab.execution.worker import WorkerSettings
from mnistlab.spec import Architecture, Cell, Features, Run, Training

KEY = b"a key that only this test knows"


def run_of(framework, width=16, features=("scale",), seed=1):
    cell = Cell(Architecture((width,)), dataset="digits", framework=framework, features=Features(features),
                training=Training(epochs=2, batch_size=693))  # fmt: skip
    return Run(cell, seed)


SKLEARN, KERAS = run_of("sklearn"), run_of("keras")
WITHOUT_DATA = Run(Cell(Architecture((16,)), dataset="mnist", training=KERAS.cell.training), 1)
OWN_FIT, PAIR = Program("reference"), Program("population", SEEDS_OF_ONE_CELL, 2)
ALONE = [(OWN_FIT, [SKLEARN]), (OWN_FIT, [KERAS]), (PAIR, [SKLEARN, run_of("sklearn", seed=2)]), (PAIR, [KERAS])]
AFTER_OTHERS = [
    (OWN_FIT, [run_of("sklearn", 8, ("pca:10",)), SKLEARN]),
    (Program("nonesuch"), [run_of("sklearn", 4)]),
    (PAIR, [run_of("keras", seed=3), run_of("keras", seed=2), KERAS]),
    (OWN_FIT, [KERAS]),
    (PAIR, [WITHOUT_DATA, run_of("keras", seed=4), run_of("keras", seed=5)]),
    (OWN_FIT, [run_of("sklearn", 4, seed=3), SKLEARN]),
    (PAIR, [SKLEARN]),
    (OWN_FIT, [KERAS]),
]


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """What two processes sent: one that trains two runs alone, one that trains them again among others."""
    folder = tmp_path_factory.mktemp("worker")
    return SimpleNamespace(alone=drive("ALONE", folder), after_others=drive("AFTER_OTHERS", folder))


def drive(name, folder):
    """Results in their order, and the seconds from the start of the process to the last one."""
    with Listener(authkey=KEY) as listener:
        began = time.perf_counter()
        alone = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
        with subprocess.Popen([sys.executable, __file__, name, listener.address, folder], env=alone) as process:
            results = []
            with listener.accept() as line:
                while len(results) < sum(len(runs) for _, runs in globals()[name]):
                    kind, *content = line.recv()
                    if kind == "result":
                        results.append(content[0])
            seconds = time.perf_counter() - began
        assert process.returncode == 0
    return SimpleNamespace(results=results, seconds=seconds)


@pytest.mark.slow
def test_the_parts_of_all_runs_of_a_process_sum_to_its_wall_clock(sent):
    for found in (sent.alone, sent.after_others):
        parts = sum(result.ledger.wall_seconds for result in found.results)
        assert parts == pytest.approx(found.seconds, rel=0.02)


@pytest.mark.slow
def test_imports_are_paid_for_once(sent):
    results = sent.after_others.results
    first_keras = next(result for result in results if result.run.cell.framework == "keras")
    assert first_keras.ledger.import_seconds > 0.5
    assert results[-1].ledger.import_seconds == 0


@pytest.mark.slow
@pytest.mark.parametrize("run", [SKLEARN, KERAS], ids=["sklearn", "keras"])
@pytest.mark.parametrize(("engine", "times"), [("reference", 3), ("population", 2)])
def test_a_run_gives_the_same_bits_in_another_process_and_after_other_runs(sent, run, engine, times):
    results = [r for found in (sent.alone, sent.after_others) for r in found.results
               if (r.run, r.engine) == (run, engine)]  # fmt: skip
    assert len(results) == times
    assert len({r.weights_sha256 for r in results}) == 1
    for part in ("test", "validation"):
        expected, *others = (getattr(r, part).predicted for r in results)
        assert all(np.array_equal(expected, other) for other in others)


@pytest.mark.slow
def test_a_fault_of_a_trainer_is_one_line_and_the_process_goes_on(sent):
    failed, _ = [r for r in sent.after_others.results if r.status != "done"]
    assert (failed.status, failed.reason, failed.run) == ("failed", "KeyError: 'nonesuch'", run_of("sklearn", 4))
    assert sent.after_others.results[-1].status == "done"


@pytest.mark.slow
def test_a_run_at_fault_takes_none_of_its_group_along(sent):
    first = next(i for i, r in enumerate(sent.after_others.results) if r.run.cell == WITHOUT_DATA.cell)
    outcomes = {r.run: (r.status, r.reason) for r in sent.after_others.results[first - 2 : first + 3]}
    status, reason = outcomes[WITHOUT_DATA]
    assert (status, reason.split(":")[0]) == ("failed", "DataError")
    assert {outcomes.get(run_of("keras", seed=seed)) for seed in (4, 5)} == {("done", "")}


def test_a_process_that_was_not_initialized_says_so():
    with pytest.raises(RuntimeError, match="initialize"):
        worker.train_group(OWN_FIT, [SKLEARN])


if __name__ == "__main__":
    _, groups, address, folder = sys.argv
    worker.initialize(WorkerSettings(Path(folder), address=address, authkey=KEY))
    for program, runs in globals()[groups]:
        worker.train_group(program, runs)
