"""The report: one file that needs nothing else."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markupsafe import escape

from mnistlab.analysis.findings import of_knobs
from mnistlab.errors import MachineError
from mnistlab.exhibits.catalog import EXHIBITS, all_shown
from mnistlab.report import html as html_module
from mnistlab.report.html import MOST_VERDICTS, SECTIONS, report_html, write_report
from mnistlab.spec import Architecture, Cell, Training
from mnistlab.store.tables import StudyStatus
from mnistlab.wording import finding_sentence

VOID = {"meta", "link", "br", "img", "hr", "input"}
STATUS = StudyStatus("lab", planned=8, running=2, done=93, diverged=2, words="lab")


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


def texts_of(piece):
    """Every text of a piece of the page, whose elements need not be closed."""
    checker = Checker()
    checker.feed(piece)
    return {text.strip() for text in checker.texts}


def written(known, status=STATUS, shown=None):
    return report_html(known, all_shown(known) if shown is None else shown, status)


def section(html, name):
    """What stands between the begin of a section and that of the next heading of its kind."""
    return html[html.index(f'id="{name}">') :].split("</section>")[0]


@pytest.fixture(scope="module")
def shown(lab_evidence):
    """Every exhibit, drawn once for all tests."""
    return all_shown(lab_evidence)


@pytest.fixture(scope="module")
def html(lab_evidence, shown):
    return written(lab_evidence, shown=shown)


@pytest.fixture(scope="module")
def full(shown):
    """What there is to show, but for the cells: they stand in the appendix."""
    full = [each for each in shown if not each.table.empty and each.exhibit.section != "cells"]
    assert len(full) > 20
    return full


def test_the_page_is_well_formed_its_ids_are_unique_and_every_link_has_its_target(html):
    attributes = parsed(html).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in attributes if name == "href" and not value.startswith("data:image/png")}
    assert {f"#{exhibit}" for exhibit in ("width", "depth", "cells", "method")} <= links
    assert links <= {f"#{value}" for value in ids}


def test_the_page_names_no_outside_address_and_its_only_script_is_its_own(html):
    page = parsed(html)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    [script] = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in html
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert not [value for name, value in page.attributes if name in ("src", "srcset") and not value.startswith("data:")]


def test_the_page_follows_dark_mode_and_can_be_printed(html):
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_an_unfinished_study_says_so_on_top_and_how_to_go_on(html, lab_evidence, shown):
    words = "93 of 105 planned runs are done, 2 diverged; 10 still to do."
    assert words in html
    assert html.index(words) < html.index("<main")
    assert "Not finished." in html
    assert "<code>mnistlab run lab</code> goes on." in html
    finished = written(lab_evidence, StudyStatus("lab", done=93), shown)
    assert "93 of 93 planned runs are done." in finished
    assert "Not finished." not in finished


@pytest.mark.parametrize(("second", "adaptive", "said"), [
    (("done",) * 5, None, "5"), (("done",) * 2 + ("planned",) * 3, None, "2 to 5 of 5"),
    (("planned",) * 5, None, "0 to 5 of 5"),
    (("done",) * 5, (list(range(5)), 0.002), "5, where verdicts were open (margin 0.2 points)"),
])  # fmt: skip
def test_the_page_says_how_many_seeds_the_cells_have(plant_evidence, second, adaptive, said):
    cells = [(Cell(Architecture((32,))), 0.9, ("done",) * 5), (Cell(Architecture((64,))), 0.92, second)]
    known = replace(plant_evidence(cells), adaptive=adaptive)
    assert f"<dt>seeds of a cell</dt><dd>{said}</dd>" in report_html(known, [], STATUS)


def test_the_answer_and_five_findings_come_first_each_with_the_networks_it_rests_on(html, lab_evidence):
    first = section(html, "findings")
    assert html.index('id="findings"') < min(html.index(f'id="{name}"') for name in ("knobs", "method", "cells"))
    found = lab_evidence.findings.head(5).to_dict("records")
    assert len(found) == 5
    sentences = [finding_sentence(lab_evidence.verdicts, row) for row in found]
    assert re.findall(r"<li><p>(.*?)</p>", first) == sentences
    for row in found:
        assert f"<code>{' '.join(run[:8] for run in row['runs'])}</code>" in first


def test_every_drawing_has_its_numbers_as_alternative_text_and_a_table_beside_it(html, full):
    labels = [value for name, value in parsed(html).attributes if name == "aria-label"]
    for shown in full:
        part = section(html, shown.exhibit.name)
        assert escape(shown.exhibit.question) in part
        assert "<table>" in part
        if shown.exhibit.draw is not None:
            assert "<svg" in part
            assert shown.caption in labels


def test_every_row_of_every_exhibit_is_on_the_page(html, full):
    for shown in full:
        columns, rows = shown.cells
        texts = texts_of(section(html, shown.exhibit.name))
        assert {*columns, *(text for row in rows for text in row if text)} <= texts, shown.exhibit.name


def test_a_knob_has_its_verdicts_with_their_sources_what_they_mean_and_what_would_change_them(html, lab_evidence):
    part = section(html, "width")
    found = of_knobs(lab_evidence.verdicts, lab_evidence.runs, ("width",), MOST_VERDICTS)
    assert 0 < len(found) < MOST_VERDICTS
    for row in found.to_dict("records"):
        ids = lab_evidence.cells["cell"]
        assert f'href="#cell-{ids[row["a"]]}"' in part
        assert f'href="#cell-{ids[row["b"]]}"' in part
        assert f"<code>{' '.join(run[:8] for run in row['runs'])}</code>" in part
    assert "What it means" in part
    assert "differ in this alone" in part
    assert "What would change it" in part


def test_more_verdicts_than_a_page_holds_are_counted_with_the_command_that_shows_them(lab_evidence, shown, monkeypatch):
    monkeypatch.setattr(html_module, "MOST_VERDICTS", 2)
    more = (lab_evidence.verdicts.rows["knob"] == "width").sum() - 2
    part = section(written(lab_evidence, shown=shown), "width")
    assert f"{more} more pairs: <code>mnistlab verdicts lab</code>" in part


def test_the_page_says_the_resolution_and_the_learning_rate(html, lab_evidence):
    first = section(html, "findings")
    assert f"Resolution {lab_evidence.results.resolution * 100:.2f} points" in first
    assert "holds at its learning rate" in first


def test_what_a_study_has_nothing_of_is_said_with_the_reason(plant_evidence):
    known = plant_evidence([(Cell(Architecture((width,))), 0.9, ("done",) * 2) for width in (4, 8)])
    html = written(known)
    assert written(known) == html  # drawn anew: the same results give the same bytes
    method = section(html, "method")
    assert "Nothing to show of" in method
    for shown in all_shown(known):
        assert (escape(shown.exhibit.question) in method) == shown.table.empty


def test_long_tables_are_cut_and_the_page_says_how_to_have_the_rest(lab_evidence, shown, monkeypatch):
    monkeypatch.setattr(html_module, "MOST_ROWS", 4)
    part = section(written(lab_evidence, shown=shown), "width")
    assert "2 more: <code>mnistlab figure width lab --output width.csv</code>" in part


def test_names_from_outside_are_shown_as_typed(plant_evidence):
    known = plant_evidence([(Cell(Architecture((32,)), dataset="<script>alert(1)</script>"), 0.9, ("done",) * 2)])
    known.runs["differences"] = '["<b>&"]'
    html = written(replace(known, study="<img src=x onerror=alert(1)>\x1b"), StudyStatus("x", done=2))
    assert html.count("<script>") == 1
    assert "<img" not in html
    assert "<b>" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert '<h1 dir="auto">&lt;img src=x onerror=alert(1)&gt;\N{REPLACEMENT CHARACTER}</h1>' in html


@pytest.mark.parametrize(
    "truth",
    [
        [],
        [(Cell(Architecture((64,))), 0.97, ("planned",) * 3)],
        [(Cell(Architecture((64,))), 0.97, ("done",))],
        [(Cell(Architecture((width,))), 0.97, ("done",)) for width in (4, 8)],
        [(Cell(Architecture((64,) * depth)), 0.1, ("done",) * 3) for depth in (1, 4, 16)],
        [(Cell(Architecture((64,)), training=Training(learning_rate=9.0)), 0.9, ("diverged",) * 3)],
    ],
    ids=["no cell", "nothing done", "one run", "one seed", "all collapsed", "all diverged"],
)
def test_a_study_of_any_kind_has_a_report_without_an_empty_panel(plant_evidence, truth):
    known = replace(plant_evidence(truth), study="poor")
    html = written(known, StudyStatus("poor"))
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    for shown in all_shown(known):
        if shown.exhibit.section != "cells":
            assert (f'id="{shown.exhibit.name}">' in html) == (not shown.table.empty)
    assert "search" not in " ".join(checker.texts).lower()
    assert "nan" not in " ".join(checker.texts).lower().split()
    if not truth:
        assert "No cells." in html


def test_a_search_has_a_part_of_its_own_behind_the_findings_and_its_winner_on_top(plant_search):
    known = replace(plant_search(80, lost=(3,)), study="found")
    html = written(known, StudyStatus("found", done=84, diverged=1))
    parts = re.findall(r'<section id="([a-z]+)">', html)
    assert parts[:2] == ["findings", "search"]
    shown = {each.exhibit.name: each for each in all_shown(known)}
    assert escape(shown["search-winners"].caption) in html[: html.index('<section id="search">')]
    for name in ("winners", "history", "importances", "slices", "pareto"):
        assert f'id="search-{name}">' in html
    assert "<dt>trials of the search</dt><dd>80</dd>" in html
    # One winner: nothing is compared, and nobody asked for single knobs or the course document.
    for name in ("sensitivity", "pareto-parameters", "width", "original-widths"):
        assert f'id="{name}">' not in html
    assert "No findings yet" not in html
    assert "No two finished cells that differ in dropout" not in html
    assert 'id="confusion">' in html
    assert "nan" not in " ".join(parsed(html).texts).lower().split()


@pytest.mark.parametrize("poor", [{"n": 0}, {"n": 12, "given_up": 1.0}, {"n": 12, "fresh": 0}, {"n": 12, "fresh": 2},
                                  {"n": 1, "lost": (1,)}, {"n": 40, "n_winners": 4}])  # fmt: skip
def test_a_search_of_any_kind_has_a_report_without_an_empty_panel(plant_search, poor):
    known = replace(plant_search(**poor), study="poor")
    html = written(known, StudyStatus("poor"))
    checker = parsed(html)
    for shown in all_shown(known):
        if shown.exhibit.section == "search":
            assert (f'id="{shown.exhibit.name}">' in html) == (not shown.table.empty)
    assert "nan" not in " ".join(checker.texts).lower().split()


def test_every_exhibit_belongs_to_a_part_of_the_page():
    assert {exhibit.section for exhibit in EXHIBITS} - {"cells"} <= {name for name, _ in SECTIONS}


def test_writing_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path, plant_evidence):
    known, path = plant_evidence([]), tmp_path / "reports" / "lab.html"
    for _ in range(2):
        assert write_report(known, all_shown(known), STATUS, path) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(path.parent.iterdir()) == [path]


def test_a_report_that_cannot_be_written_leaves_what_stood_there(tmp_path, plant_evidence):
    known, path = plant_evidence([]), tmp_path / "lab.html"
    path.mkdir()
    with pytest.raises(MachineError, match=r"lab\.html: cannot be written: is a directory"):
        write_report(known, all_shown(known), STATUS, path)
    assert list(tmp_path.iterdir()) == [path]
