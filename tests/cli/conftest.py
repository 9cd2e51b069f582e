"""The command line in this process and in one of its own, an empty home for each test, two small studies for all."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from mnistlab.cli.app import main
from mnistlab.datasets import catalog
from mnistlab.plan import cell_size
from mnistlab.spec import Run
from mnistlab.store.writer import open_writer
from mnistlab.study import load_config

TINY = """
seeds = 2
[[cell]]
dataset = "digits"
framework = "sklearn"
hidden_layer_sizes = [8]
training.epochs = 3
"""
SINGLE = """
seeds = 1
[[cell]]
dataset = "digits"
hidden_layer_sizes = [16, 8]
activations = ["relu", "tanh"]
batch_norm = true
training.epochs = 2
"""


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self):
        """Its only JSON document."""
        assert self.status == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out)


def clean_environment():
    """Without our own settings, colours and widths; offline, so that no test ever connects."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MNISTLAB_")}
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        ours.pop(name, None)
    return {**ours, "MNISTLAB_OFFLINE": "1"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder, the current one, without any setting but to stay offline."""
    for name in set(os.environ) - set(environment := clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MNISTLAB_OFFLINE", environment["MNISTLAB_OFFLINE"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mnistlab(home, capsys):
    """Run a command line in this process."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return Answer(end.value.code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def process():
    """Run a command line in a process of its own."""

    def call(*arguments, cwd, stdout=subprocess.PIPE, program=("-m", "mnistlab"), **variables):
        done = subprocess.run(
            [sys.executable, *program, *map(str, arguments)], cwd=cwd, env={**clean_environment(), **variables},
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def tiny(home):
    """A file of the study `tiny` in the current folder."""
    path = home / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def planned(home):
    """The current store holds `smoke`, of which nothing has been trained."""
    study = load_config("smoke")
    sizes = {cell.id: cell_size(cell, catalog.info(cell.dataset)) for cell in study.cells}
    with open_writer(home / "results" / "mnistlab.sqlite", holder="test") as writer:
        writer.register_study(study, sizes, [Run(cell, seed) for seed in study.seeds for cell in study.cells])


@dataclass(frozen=True)
class Finished:
    """Two studies that were run: their folder, and what `plan` (before) and `run` said of each, by name."""

    folder: Path
    plan: dict[str, Answer]
    run: dict[str, Answer]

    @property
    def store(self):
        return self.folder / "results" / "mnistlab.sqlite"


@pytest.fixture(scope="session")
def finished(tmp_path_factory, process):
    """Trained for real on `digits`: `tiny`, a scikit-learn cell with two seeds, and `single`, a Keras cell with one.

    Made once, by the process of the tests that comes first; each works on a copy.
    """
    all_processes = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        all_processes = all_processes.parent
    original, answers = all_processes / "finished", all_processes / "finished.json"
    with (all_processes / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answers.exists():
            answers.write_text(json.dumps(make_finished(original, process)), encoding="utf-8")
    folder = shutil.copytree(original, tmp_path_factory.mktemp("finished") / "home")
    told = json.loads(answers.read_text(encoding="utf-8"))
    return Finished(folder, *({name: Answer(**said) for name, said in part.items()} for part in told))


def make_finished(folder, process):
    """Plan and run both studies; what was said of each, by name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    plan, run = {}, {}
    for name, content in (("tiny", TINY), ("single", SINGLE)):
        (folder / f"{name}.toml").write_text(content, encoding="utf-8")
        plan[name] = asdict(process("plan", f"{name}.toml", "--json", cwd=folder))
        run[name] = asdict(process("run", f"{name}.toml", "--workers", 1, "--json", cwd=folder))
    return plan, run


@pytest.fixture
def beside(finished, monkeypatch):
    """The finished studies as the current store, whatever the current folder."""
    monkeypatch.setenv("MNISTLAB_STORE", str(finished.store))
    return finished
