"""Ctrl-C on a terminal, SIGTERM, a second Ctrl-C. Run as a program, it is the process interrupted inside `fit`."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

LONG_FITS = """
name = "small"
dataset = "digits"
frameworks = ["sklearn"]
seeds = 2
[model]
layers = [[16]]
[training]
epochs = 300
learning_rate = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016]
"""
# pexpect forks, which Python and JAX warn about where another test has threads running.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork")


@pytest.mark.ci
def test_three_interrupts_store_no_half_trained_network(new_lab, undisturbed):
    assert interrupted_often(new_lab, 3, undisturbed) == 3


@pytest.mark.long
def test_twenty_interrupts_store_no_half_trained_network(new_lab, undisturbed_by):
    assert interrupted_often(lambda: new_lab(LONG_FITS), 20, undisturbed_by(LONG_FITS)) == 20


def interrupted_often(new_lab, times, undisturbed):
    """How many interrupts were each followed by an orderly stop with nothing half-trained in the store."""
    moments, interrupted, lab = random.Random(20), 0, new_lab()
    while interrupted < times:
        terminal = on_terminal(lab)
        if terminal.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=moments.random() * 0.4 * undisturbed.seconds):
            terminal.sendintr()
            assert_stopped(terminal, undisturbed.total)
            interrupted += 1
        weights = lab.weights()
        assert weights.items() <= undisturbed.weights.items()
        assert lab.done() == len(weights)
        if len(weights) == undisturbed.total:  # a further call would have nothing to do
            lab = new_lab()
    return interrupted


def on_terminal(lab):
    """`run` on a terminal of its own, when the first networks have been handed to processes that still import."""
    terminal = lab.start_on_terminal("run", "small.toml")
    terminal.expect(r"of \d+ networks", timeout=60)
    return terminal


def assert_stopped(terminal, total):
    asked = time.monotonic()
    terminal.expect(pexpect.EOF, timeout=30)
    assert time.monotonic() - asked < 5
    shown = terminal.before
    terminal.wait()
    assert (terminal.exitstatus, terminal.signalstatus) == (130, None), shown
    assert "Traceback" not in shown
    assert "Error" not in shown
    kept = re.search(rf"(\d+) of {total} runs finished and kept(; `mnistlab run small.toml` goes on)?", shown)
    assert kept
    assert kept[2] or int(kept[1]) == total  # in the latter case it was measuring, after the last network


@pytest.mark.slow
def test_an_interrupt_while_features_are_computed_leaves_none_and_the_next_call_goes_on(new_lab, processes):
    lab = new_lab('name = "small"\ndataset = "digits"\nframeworks = ["sklearn"]\nfeatures = [["deskew", "hog"]]\n'
                  "seeds = 1\n[training]\nepochs = 2\n")  # fmt: skip
    terminal = lab.start_on_terminal("run", "small.toml")
    terminal.expect("computed once for all runs", timeout=60)
    workers = processes.workers_of(terminal.pid)
    terminal.sendintr()
    assert_stopped(terminal, 1)
    assert "not finished, nothing kept" in terminal.before
    assert all(processes.ends_within(worker, 10) for worker in workers)
    assert list((lab.home / "data" / "processed").iterdir()) == []
    _, err = lab.call("run", "small.toml")
    assert f"kept in {Path('data', 'processed')}" in err
    assert lab.done() == 1


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once_and_takes_the_processes_along(new_lab, processes):
    lab = new_lab()
    terminal = on_terminal(lab)
    workers = processes.workers_of(terminal.pid)
    for worker in workers:
        worker.suspend()  # who cannot answer delays the first
    terminal.sendintr()
    assert terminal.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=0.7) == 1
    terminal.sendintr()
    asked = time.monotonic()
    while terminal.isalive():
        assert time.monotonic() - asked < 1
        terminal.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=0.02)
    for worker in workers:
        worker.resume()
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
    assert all(processes.ends_within(worker, 10) for worker in workers)


WHILE_IT_IMPORTS = """
class Interrupting:
    def find_spec(name, *_):
        if name == "cyclopts":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
"""
WHILE_IT_ENDS = "import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"


@pytest.mark.parametrize("moment", [WHILE_IT_IMPORTS, WHILE_IT_ENDS])
def test_an_interrupt_before_or_after_the_command_itself_is_one_too(moment):
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # tests run in the background would ignore it
    program = f"import os, signal, sys\n{heard}\n{moment}\nfrom mnistlab.__main__ import main\nmain()"
    told = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (130, "")


@pytest.mark.slow
def test_fit_interrupted_at_any_moment_yields_no_result():
    told = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout == "20 of 20 interrupted\n"


def interrupt_fit():
    """Let a real SIGINT come at twenty moments of one fit, and count the KeyboardInterrupts that reach the caller."""
    from mnistlab.datasets import catalog
    from mnistlab.engines.programs import Program
    from mnistlab.engines.sklearn_engine import SklearnEngine
    from mnistlab.instruments.environment import describe
    from mnistlab.preprocessing import prepare
    from mnistlab.spec import Architecture, Cell, Run, Training

    moments, interrupted = random.Random(3), 0
    run = Run(Cell(Architecture((16,)), dataset="digits", framework="sklearn", training=Training(epochs=10_000)), 0)
    data = prepare(catalog.load("digits", None), run.cell.split, run.cell.features, run.seed)
    here = describe(device="cpu", threads=1, data_sha256="")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background it would be ignored
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    def on_epoch(_run, record):
        if record.epoch == 2:
            signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.1 * moments.random())
        return True

    for _ in range(20):
        try:
            list(SklearnEngine().train([run], Program("reference"), lambda _: data, here, on_epoch))
        except KeyboardInterrupt:
            interrupted += 1
    sys.stdout.write(f"{interrupted} of 20 interrupted\n")


if __name__ == "__main__":
    interrupt_fit()
