"""The report: one file that needs nothing else."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mnistlab.errors import MachineError
from mnistlab.exhibits.catalog import EXHIBITS
from mnistlab.report.html import report_html, write_report
from mnistlab.spec import Architecture, Cell
from mnistlab.store.tables import StudyStatus

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Checker(HTMLParser):
    """Collects tags, attributes and texts, and checks that every element is closed in its order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(html):
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    return checker


@pytest.fixture(scope="module")
def html(lab_evidence):
    return report_html(lab_evidence, StudyStatus("lab", planned=8, running=2, done=93, diverged=2))


def test_the_page_is_well_formed_and_its_ids_are_unique(html):
    ids = [value for name, value in parsed(html).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_page_names_no_outside_address_and_runs_no_script(html):
    page = parsed(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert not [value for name, value in page.attributes if name in ("src", "srcset")]


def test_the_page_follows_dark_mode_and_can_be_printed(html):
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_an_unfinished_study_says_so_on_top(html, lab_evidence):
    words = "93 of 105 planned runs are done, 2 diverged; 10 still to do."
    assert words in html
    assert html.index(words) < html.index("<main")
    assert "Not finished." in html
    finished = report_html(lab_evidence, StudyStatus("lab", done=93))
    assert "93 of 93 planned runs are done." in finished
    assert "Not finished." not in finished


def test_the_page_says_whether_all_cells_have_the_same_seeds(html, lab_evidence):
    assert "fixed: every cell has the same" in html
    adaptive = report_html(lab_evidence, StudyStatus("lab", done=93, until_margin=0.002))
    assert "adaptive: given where verdicts were open (margin 0.2 points)" in adaptive


def test_every_drawing_has_its_numbers_as_alternative_text_and_a_table_beside_it(html, lab_evidence):
    labels = [value for name, value in parsed(html).attributes if name == "aria-label"]
    for exhibit in EXHIBITS:
        section = html[html.index(f'<section id="{exhibit.name}"') :].split("</section>")[0]
        assert "<table>" in section
        if exhibit.draw is not None:
            assert "<svg" in section
            assert exhibit.caption(exhibit.table(lab_evidence)) in labels


def test_every_table_stands_under_the_resolution_and_the_learning_rate_note(html, lab_evidence):
    for exhibit in EXHIBITS:
        before_table = html[html.index(f'<section id="{exhibit.name}"') :].split("<table>")[0]
        assert f"Resolution {lab_evidence.results.resolution * 100:.2f} points" in before_table
        assert "holds at its learning rate" in before_table


def test_every_number_of_the_results_is_on_the_page(html, lab_evidence):
    texts = {text.strip() for text in parsed(html).texts}
    exhibit = next(exhibit for exhibit in EXHIBITS if exhibit.name == "results")
    columns, rows = exhibit.cells(exhibit.table(lab_evidence))
    assert set(columns) <= texts
    assert {text for row in rows for text in row} <= texts


def test_differences_between_frameworks_are_listed(html):
    assert "one random_state for everything" in html


def test_names_from_outside_are_escaped(plant_evidence):
    known = plant_evidence([(Cell(Architecture((32,)), dataset="<script>alert(1)</script>"), 0.9, ("done",) * 2)])
    known.runs["differences"] = '["<b>&"]'
    html = report_html(replace(known, study="<i>x</i>\x1b"), StudyStatus("x", done=2))
    assert "<script>" not in html
    assert "<i>" not in html
    assert "<b>" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_study_without_any_cell_has_a_report(plant_evidence):
    html = report_html(replace(plant_evidence([]), study="empty"), StudyStatus("empty"))
    assert parsed(html).open == []
    assert "Study empty" in html
    assert "1x4 relu" not in html


def test_the_same_results_give_the_same_bytes(html, lab_evidence):
    status = StudyStatus("lab", planned=8, running=2, done=93, diverged=2)
    assert report_html(lab_evidence, status) == html


def test_writing_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path, lab_evidence):
    path = tmp_path / "reports" / "lab.html"
    for _ in range(2):
        assert write_report(lab_evidence, StudyStatus("lab", done=93), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(path.parent.iterdir()) == [path]


def test_a_report_that_cannot_be_written_leaves_what_stood_there(tmp_path, lab_evidence):
    path = tmp_path / "lab.html"
    path.mkdir()
    with pytest.raises(MachineError, match=r"lab\.html: cannot be written: is a directory"):
        write_report(lab_evidence, StudyStatus("lab", done=93), path)
    assert list(tmp_path.iterdir()) == [path]
