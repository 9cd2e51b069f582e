"""The command line at work on one small study, in processes of its own that may be killed, interrupted and raced."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from types import SimpleNamespace

import pexpect
import psutil
import pytest

COMMAND = [sys.executable, "-m", "mnistlab"]
# One architecture, so that after the first round there is one thing to measure.
SMALL = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 1
[model]
layers = [[16]]
[training]
epochs = 40
learning_rate = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016]
"""
# What the clock, the memory and the energy counters had to say.
MEASURED = ("seconds_steps", "seconds_end_to_end", "seconds_per_step", "peak_bytes", "inference_us_per_image",
            "energy_joules")  # fmt: skip


class Lab:
    """One folder with a study and a store, and the commands called in it."""

    def __init__(self, home, study=SMALL):
        self.home, self.store = home, home / "results" / "mnistlab.sqlite"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MNISTLAB_")}
        self.environment["MNISTLAB_OFFLINE"] = "1"
        del self.environment["JAX_COMPILATION_CACHE_DIR"]  # what is compiled here is disturbed, too
        self.started, self.terminals = [], []
        home.mkdir()
        (home / "small.toml").write_text(study)

    def start(self, *words):
        """A command in a process group of its own."""
        process = subprocess.Popen([*COMMAND, *words], cwd=self.home, env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        self.started.append(process)
        return process

    def start_on_terminal(self, *words):
        """A command on a terminal of its own, where Ctrl-C can be typed."""
        terminal = pexpect.spawn(COMMAND[0], [*COMMAND[1:], *words], cwd=self.home, env=self.environment,
                                 encoding="utf-8", dimensions=(24, 160))  # fmt: skip
        self.terminals.append(terminal)
        return terminal

    def call(self, *words, exit_status=0):
        """What a command prints; it must end with this status."""
        process = self.start(*words)
        out, err = process.communicate()
        assert process.returncode == exit_status, err
        return out, err

    def done(self):
        """How many runs `status` calls done; before the first one stands, none."""
        studies = json.loads(self.call("status", "--json")[0])["studies"]
        return studies[0]["done"] if studies else 0

    def results(self):
        """`results --json` byte for byte, but for what was measured with a clock or a counter."""
        document = json.loads(self.call("results", "--json")[0])
        for row in document["rows"]:
            for name in MEASURED:
                del row[name]
        return json.dumps(document)

    def runs(self):
        """Run id → status, attempts, epochs asked for and done, hash of the weights, reason, program."""
        if not self.store.exists():
            return {}
        names = "id, status, attempt, epochs_asked, epochs_done, weights_sha256, reason, program"
        with closing(sqlite3.connect(self.store)) as shell:
            if not shell.execute("PRAGMA user_version").fetchone()[0]:
                return {}  # a run that has just begun: the file is there, its tables are not
            rows = shell.execute(f"SELECT {names} FROM run").fetchall()
        return {id_: SimpleNamespace(**dict(zip(names.split(", ")[1:], rest, strict=True))) for id_, *rest in rows}

    def weights(self):
        """Run id → hash of the trained weights, of the runs that are done."""
        return {id_: run.weights_sha256 for id_, run in self.runs().items() if run.status == "done"}

    def attempts(self):
        """How often runs were started, all together."""
        return sum(run.attempt for run in self.runs().values())

    def end(self):
        """End what is left of the commands started here."""
        for process in (*self.started, *self.terminals):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self.started:
            process.communicate()
        for terminal in self.terminals:
            terminal.close()


def workers_of(pid):
    """The processes that train for a coordinator."""
    with suppress(psutil.Error):
        return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]
    return []


def ends_within(process, seconds):
    """Whether a process that may be somebody else's child ends in that time; one nobody has buried has ended."""
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            with suppress(psutil.TimeoutExpired):
                process.wait(0.02)
    return True


def wait_until(condition, process, seconds=60.0):
    """Wait for what a running command brings about."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline, "it never came"
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    return found


@pytest.fixture
def new_lab(tmp_path):
    """The maker of folders with a study; whatever runs in them at the end is ended."""
    labs = []

    def make(study=SMALL):
        labs.append(Lab(tmp_path / f"lab {len(labs)}", study))
        return labs[-1]

    yield make
    for lab in labs:
        lab.end()


@pytest.fixture
def processes():
    """What a test of processes needs: `workers_of`, `ends_within`, `wait_until`."""
    return SimpleNamespace(workers_of=workers_of, ends_within=ends_within, wait_until=wait_until)


def run_undisturbed(lab):
    """Seconds, results and weights of a study that nobody disturbs."""
    began = time.monotonic()
    out, _ = lab.call("run", "small.toml", "--json")
    seconds = time.monotonic() - began
    summary = json.loads(out)
    assert summary["stopped"] is None
    assert summary["to_do"] == 0
    return SimpleNamespace(seconds=seconds, results=lab.results(), weights=lab.weights(), total=summary["done"],
                           programs={run.program for run in lab.runs().values()})  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The small study as it comes out when nobody disturbs it."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed") / "lab")
    yield run_undisturbed(lab)
    lab.end()


@pytest.fixture
def undisturbed_by(new_lab):
    """The same of another study."""
    return lambda study: run_undisturbed(new_lab(study))
