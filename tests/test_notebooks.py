"""What notebooks show of our types; the notebooks that ship: clean, by the public interface, whole with no network."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jupytext
import nbformat
import pytest

import mnistlab
from mnistlab.analysis.estimate import Estimate
from mnistlab.drawing import Normalisation
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.catalog import EXHIBITS
from mnistlab.network import Prediction
from mnistlab.places import Places
from mnistlab.spec import Architecture, Cell
from mnistlab.study import MAX_SHOWN
from mnistlab.wording import sensitivity_html

ROOT = Path(__file__).parents[1]
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "W" * 300,
    "רשת עמוקה",
    '=HYPERLINK("http://127.0.0.1","x")',
    "$x^2$ & <b>",
    "</table></p><script>alert(1)</script>",
)


class Page(HTMLParser):
    """The tags and the text of a piece of HTML; the text of drawings apart."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.ignored, self._drawing = set(), [], [], False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self._drawing = self._drawing or tag == "svg"
        if tag in ("p", "h3", "h4", "div"):
            self.ignored.append("mathjax_ignore" in (dict(attributes).get("class") or ""))

    def handle_endtag(self, tag):
        self._drawing = self._drawing and tag != "svg"

    def handle_data(self, data):
        if not self._drawing:
            self.texts.append(data)


def shows(html, text):
    """Whether a piece of HTML shows this text as it was typed, and makes nothing of it."""
    page = Page(html)
    assert not page.tags & {"img", "script", "b"}
    assert page.ignored
    assert all(page.ignored)  # a formula between dollar signs stays one
    return any(text in shown for shown in page.texts)


@pytest.fixture(
    scope="module", params=HOSTILE, ids=["tag", "long", "right to left", "formula", "dollars", "closing tags"]
)
def hostile(request, plant_evidence):
    """A small factorial whose study and cells bear a name that means harm."""
    truth = [
        (Cell(Architecture((width,) * depth)), 0.9 + 0.01 * depth, ("done",) * 3)
        for width in (8, 16)
        for depth in (1, 2)
    ]
    known = plant_evidence(truth, n_digits=200)
    cells = known.cells.assign(label=[f"{request.param} {label}" for label in known.cells["label"]])
    return request.param, replace(known, study=request.param, cells=cells)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_an_exhibit_shows_hostile_labels_as_typed(exhibit, hostile):
    name, known = hostile
    shown = Shown(exhibit, known)
    html = shown._repr_html_()
    labelled = any(name in text for row in shown.cells[1] for text in row)
    assert shows(html, name) or not labelled


def test_results_and_verdicts_show_hostile_labels_as_typed(hostile):
    name, known = hostile
    verdicts = known.verdicts
    one = replace(verdicts, rows=verdicts.rows.head(1))
    for found in (known.results, verdicts, one):
        assert shows(found._repr_html_(), name)


def test_sensitivity_shows_hostile_levels_as_typed(hostile):
    name, known = hostile
    found = known.sensitivity
    assert shows(sensitivity_html(replace(found, effects=found.effects.assign(knob="activation", level=name))), name)


def test_a_study_shows_a_hostile_name_as_typed(hostile):
    name, _ = hostile
    assert shows(replace(mnistlab.load_config("smoke"), name=name)._repr_html_(), f"Study {name}: 6 cells × 1 seed")


def test_a_prediction_shows_hostile_names_as_typed(hostile):
    name, _ = hostile
    said = Prediction(name, None, (0.25, 0.75), (name, "b"), Normalisation("resized", False, 1.0, (0, 0, 1, 1), 1.0))
    assert shows(said._repr_html_(), f"{name}: not a digit? b 75.0%, {name} 25.0%")


def test_a_plan_shows_its_cells_and_what_is_to_do(tmp_path):
    plan = mnistlab.plan("smoke", places=Places.find(home=tmp_path, offline=True))
    html = plan._repr_html_()
    assert shows(html, "Plan of smoke: 6 cells, 6 networks, 6 to do, about ")
    assert all(shows(html, planned.cell.label) for planned in plan.cells)


def test_a_run_shows_what_it_got_right():
    places = Places.find(store=ROOT / "docs" / "lab.sqlite", offline=True)
    [run, *_] = mnistlab.open_store(places.store).runs("lab").to_dict("records")
    html = mnistlab.show(run["run"], places=places)._repr_html_()
    assert shows(
        html, f"Run {run['run']}: 1x4 relu, seed 0, done; {round(run['test_accuracy'] * 10_000):,} of 10,000 test"
    )


def test_a_study_of_very_many_cells_shows_the_first_of_them():
    study = mnistlab.load_config({"model": {"node_counts": list(range(1, MAX_SHOWN + 11)), "layer_depths": 1}})
    html = study._repr_html_()
    assert html.count("<tr>") == MAX_SHOWN + 1
    assert f"{MAX_SHOWN + 10:,} cells × 3 seeds, the first {MAX_SHOWN} of them:" in html


def test_an_estimate_shows_its_interval_and_networks():
    assert Estimate(0.9742, 0.9721, 0.9763, n=5, kind="crossed")._repr_html_() == "0.9742 ± 0.0021 (5)"


def test_an_exhibit_without_data_shows_its_question_and_why(plant_evidence):
    known = plant_evidence([(Cell(Architecture((64,))), 0.9, ("planned",))])
    for exhibit in EXHIBITS:
        html = Shown(exhibit, known)._repr_html_()
        assert shows(html, exhibit.question)
        assert shows(html, "No ")
        assert "<svg" not in html


def test_drawings_of_two_studies_in_one_notebook_share_no_id_and_say_what_they_show(lab_evidence, plant_evidence):
    other = plant_evidence([(Cell(Architecture((8 * 2**n,))), 0.9, ("done",) * 3) for n in range(3)], n_digits=200)
    [exhibit] = [exhibit for exhibit in EXHIBITS if exhibit.name == "width"]
    pages = [Shown(exhibit, known)._repr_html_() for known in (lab_evidence, other)]
    first, second = (set(re.findall(r'\bid="([^"]+)"', page)) for page in pages)
    assert first
    assert not first & second
    assert all(page.count('role="img" aria-label="Test accuracy in per cent by width, ') == 1 for page in pages)


# The notebooks that ship.

FOLDER = ROOT / "notebooks"
NAMES = ("exploration", "analysis")
PUBLIC = {
    "mnistlab": set(mnistlab.__all__),
    "mnistlab.places": {"Places"},
    "mnistlab.visualization": {"plot_depth_performance"},
    "mnistlab.ffn_model": {"create_ffn_model"},
    "mnistlab.dnn_model": {"create_dnn_model"},
    "mnistlab.preprocessing": {"prepare"},
}
OTHERS = {"itertools", "os", "pathlib", "tempfile", "numpy", "pandas", "matplotlib.pyplot", "IPython.display"}
NO_NETWORK = """
import socket

def refuse(*_, **__):
    raise OSError("a notebook asked for the network")

class Local(socket.socket):
    def connect(self, address):
        refuse() if self.family in (socket.AF_INET, socket.AF_INET6) else super().connect(address)

socket.socket, socket.getaddrinfo = Local, refuse
"""

EXECUTE = """
import sys
from pathlib import Path
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

path, sockets = map(Path, sys.argv[1:])
notebook = nbformat.read(path, as_version=4)
# The kernel itself is spoken to through files, whose names must be short: it needs no network, either.
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(sockets / "k"))
NotebookClient(notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
nbformat.write(notebook, path)
"""


def source(name):
    return jupytext.read(FOLDER / f"{name}.py")


def tags(cell):
    return cell.metadata.get("tags", [])


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_what_jupytext_makes_of_its_source_without_outputs(name):
    notebook, expected = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4), source(name)
    nbformat.validate(notebook)
    assert [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells] == [
        (cell.cell_type, cell.source, cell.metadata) for cell in expected.cells
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_building_a_notebook_again_gives_the_same_bytes(name):
    build = runpy.run_path(str(FOLDER / "build.py"))["notebook_text"]
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert build(text).encode() == (FOLDER / f"{name}.ipynb").read_bytes() == build(text).encode()
    first, *rest = nbformat.reads(build(text), as_version=4).cells
    longer = nbformat.reads(build(text.replace("# %% [markdown]", "# %%\n1\n\n# %% [markdown]", 1)), as_version=4)
    assert [cell.id for cell in longer.cells[1:]] == [cell.id for cell in (first, *rest)]  # what is old keeps its name


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_takes_the_public_interface_alone(name):
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"mnistlab", *OTHERS}
        elif isinstance(node, ast.ImportFrom):
            assert node.module in OTHERS or {alias.name for alias in node.names} <= PUBLIC[node.module], node.module
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr
            if isinstance(node.value, ast.Name) and node.value.id == "mnistlab":
                assert node.attr in mnistlab.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_is_asked_left_open_and_solved_with_a_check(name):
    cells = source(name).cells
    asked = [place for place, cell in enumerate(cells) if re.search(r"\*\*Exercise \d+\.\*\*", cell.source)]
    assert len(asked) >= 5
    numbers = [int(re.search(r"\*\*Exercise (\d+)\.", cells[place].source)[1]) for place in asked]
    assert numbers == list(range(1, len(asked) + 1))
    for place in asked:
        question, open_, solution = cells[place : place + 3]
        assert (question.cell_type, tags(open_), tags(solution)) == ("markdown", ["exercise"], ["solution"])
        assert all(line.startswith("#") for line in open_.source.splitlines())
        assert "assert " in solution.source
    assert [tags(cell) for cell in cells].count(["solution"]) == len(asked)


@pytest.fixture(scope="module", params=NAMES)
def executed(request, tmp_path_factory):
    """A notebook of the repository, run from top to bottom beside a copy of the shipped store, without a network."""
    root = tmp_path_factory.mktemp("fresh")
    for name in ("notebooks", "docs"):
        (root / name).mkdir()
    shutil.copy(FOLDER / f"{request.param}.ipynb", root / "notebooks")
    shutil.copy(ROOT / "docs" / "lab.sqlite", root / "docs")
    shutil.copy(ROOT / "config.py", root)
    (root / "start").mkdir()
    (root / "start" / "sitecustomize.py").write_text(NO_NETWORK)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNISTLAB_")}
    environment |= {"MNISTLAB_OFFLINE": "1", "PYTHONPATH": str(root / "start"), "IPYTHONDIR": str(root / "ipython")}
    with tempfile.TemporaryDirectory() as sockets:
        command = [sys.executable, "-c", EXECUTE, root / "notebooks" / f"{request.param}.ipynb", sockets]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root, nbformat.read(root / "notebooks" / f"{request.param}.ipynb", as_version=4)


@pytest.mark.ci
def test_a_notebook_runs_from_a_fresh_checkout_without_a_warning_and_leaves_nothing(executed):
    root, notebook = executed
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert not [output for output in outputs if output.output_type == "error"]
    assert {path.name for path in root.iterdir()} == {"notebooks", "docs", "config.py", "start", "ipython"}
    assert (root / "docs" / "lab.sqlite").read_bytes() == (ROOT / "docs" / "lab.sqlite").read_bytes()


@pytest.mark.ci
def test_a_notebook_shows_tables_and_drawings(executed):
    _, notebook = executed
    shown = [kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", ())]
    assert shown.count("text/html") >= 10
    assert shown.count("image/png") >= 2
