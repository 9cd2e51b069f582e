"""What must answer at once loads nothing heavy; and `import mnistlab` offers the verbs without loading them."""

import pytest

HEAVY = {"jax", "keras", "pandas", "matplotlib", "scipy", "sklearn"}
VERBS = {
    "run", "plan", "load_config", "results", "sensitivity", "verdicts", "compare", "verify", "status", "show", "report",
    "predict", "export",
    "open_store", "data_fetch", "data_show", "doctor", "rescue", "settings", "bench", "until_decided", "findings",
    "simulate", "figure", "exhibits", "tune",
}  # fmt: skip
LOADED = """
import sys
from mnistlab.cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


LIGHT = ["--help", "status", "status --json", "plan smoke", "run --help", "data --help", "config show", "rescue --help",
         "bench --help"]  # fmt: skip


@pytest.mark.parametrize("line", LIGHT)
def test_a_command_that_must_answer_at_once_loads_nothing_heavy(process, home, planned, line):
    answer = process(*line.split(), cwd=home, program=("-c", LOADED))
    loaded = set(answer.err.split())
    assert (answer.status, "mnistlab" in loaded, loaded & HEAVY) == (0, True, set())


NAMES = f"""
import sys, mnistlab
assert not [name for name in ("numpy", "mnistlab.lab", "mnistlab.study") if name in sys.modules]
assert {VERBS} <= set(dir(mnistlab)) and {VERBS} == set(mnistlab.__all__)
import mnistlab.plan, mnistlab.export, mnistlab.report.html, mnistlab.bench.turns  # modules of the same name as a verb
import mnistlab.exhibits.catalog
for verb in mnistlab.__all__:
    assert callable(getattr(mnistlab, verb)), verb
    assert getattr(mnistlab, verb) in [vars(room).get(verb) for room in (mnistlab.lab, mnistlab.answers)], verb
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
    assert not list(home.iterdir())
