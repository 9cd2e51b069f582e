"""What must answer at once loads nothing heavy; and `import mnistlab` offers the verbs without loading them."""

import os
import resource

import pytest

HEAVY = {"jax", "keras", "pandas", "matplotlib", "scipy", "sklearn"}
VERBS = {"run", "plan", "load_config", "results", "status", "show", "report", "open_store", "data_fetch", "data_show"}
LOADED = """
import sys
from mnistlab.cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("line", ["--help", "status", "status --json", "plan smoke", "run --help", "data --help"])
def test_a_command_that_must_answer_at_once_loads_nothing_heavy(process, home, beside, line):
    answer = process(*line.split(), cwd=home, program=("-c", LOADED))
    loaded = set(answer.err.split())
    assert (answer.status, "mnistlab" in loaded, loaded & HEAVY) == (0, True, set())


@pytest.mark.parametrize("line", ["--help", "status"])
def test_help_and_status_take_less_than_six_tenths_of_a_second(process, home, beside, line, tmp_path_factory):
    # Processor time, since other programs may keep the cores busy; compiled modules, as after the first call.
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process(line, cwd=home, **compiled).status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds()
    assert min(seconds() for _ in range(3)) < 0.6


NAMES = f"""
import sys, mnistlab
assert not [name for name in ("numpy", "mnistlab.lab", "mnistlab.study") if name in sys.modules]
assert {VERBS} <= set(dir(mnistlab)) and {VERBS} == set(mnistlab.__all__)
import mnistlab.plan, mnistlab.report.html  # modules of the same name as a verb
for verb in mnistlab.__all__:
    assert callable(getattr(mnistlab, verb)), verb
    assert getattr(mnistlab, verb) is getattr(mnistlab.lab, verb), verb
from mnistlab import *
from mnistlab.plan import Plan
assert isinstance(plan("smoke"), Plan)
assert status() == [] == list(results().rows.index) and open_store("none").last_study() is None
try:
    mnistlab.frobnicate
except AttributeError as error:
    assert "frobnicate" in str(error)
else:
    raise SystemExit("no such verb")
"""


def test_the_package_offers_the_verbs_and_loads_them_when_used(process, home):
    answer = process(cwd=home, program=("-c", NAMES))
    assert (answer.status, answer.err) == (0, "")
    assert os.listdir(home) == []
