"""What notebooks show of our types, and the notebooks that ship."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

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
