"""The report in a real browser, from a file, without network: nothing fails, everybody can use it, nothing is cut."""

import os
import shutil
from pathlib import Path

import pytest

import mnistlab
from mnistlab.places import Places

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings playwright")

ROOT = Path(__file__).parents[2]
REQUIRED = "MNISTLAB_REQUIRE_BROWSER"
WIDTHS = (360, 1280, 1920)
# Texts of a drawing that reach beyond it, and pairs of texts that lie on each other, by more than a rounding.
CUT = """() => [...document.querySelectorAll('.drawing svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect(), name = svg.closest('section').id;
  return [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).flatMap(t => {
    const box = t.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 ||
      box.bottom > frame.bottom + 1 ? [`${name}: ${t.textContent.trim()}`] : [];
  });
})"""
OVERLAPS = """() => [...document.querySelectorAll('.drawing svg')].flatMap(svg => {
  const name = svg.closest('section').id;
  const boxes = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim())
    .map(t => [t.textContent.trim(), t.getBoundingClientRect()]);
  return boxes.flatMap(([one, a], i) => boxes.slice(i + 1).flatMap(([other, b]) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    return wide > 2 && high > 0.35 * Math.min(a.height, b.height) ? [`${name}: ${one} on ${other}`] : [];
  }));
})"""


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        assert not os.environ.get(REQUIRED), "no Chromium; on Debian and Ubuntu: apt-get install chromium"
        pytest.skip("no Chromium on this machine: the report was not tried in a browser")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of the store that lies beside the docs."""
    home = tmp_path_factory.mktemp("report")
    return mnistlab.report("lab", places=Places.find(home, store=ROOT / "docs" / "lab.sqlite"))


class Opened:
    """A page that is open, and what went wrong since: requests, messages and errors."""

    def __init__(self, browser, report, **settings):
        self.context = browser.new_context(offline=True, **settings)
        self.page, self.requests, self.wrong = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(report.as_uri())

    def labels(self):
        return self.page.locator("#cells-table > tbody:visible > tr:first-child > th").all_inner_texts()

    def tab_to(self, wanted):
        """Press Tab until an element that fits the selector has the focus."""
        for _ in range(1000):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("selector => document.activeElement.matches(selector)", wanted):
                return
        raise AssertionError(f"{wanted} cannot be reached by keyboard")


@pytest.fixture
def opened(browser, report):
    opened = Opened(browser, report, viewport={"width": 1280, "height": 900})
    yield opened
    opened.context.close()


def test_it_opens_from_a_file_asks_for_nothing_else_and_nothing_goes_wrong(opened, report):
    assert opened.page.title() == "lab · mnistlab"
    opened.page.wait_for_load_state("networkidle")
    assert (opened.requests, opened.wrong) == ([report.as_uri()], [])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_axe_finds_no_violation_even_with_everything_open(browser, report, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    opened = Opened(browser, report, viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened.page.evaluate("() => document.querySelectorAll('.numbers').forEach(each => { each.open = true; })")
    opened.page.evaluate("() => { document.querySelector('#cells-table details').open = true; }")
    found = axe.Axe().run(opened.page)
    opened.context.close()
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window_and_no_text_of_a_drawing_is_cut_or_covered(browser, report, width):
    opened = Opened(browser, report, viewport={"width": width, "height": 900})
    wide = opened.page.evaluate("document.documentElement.scrollWidth")
    found = opened.page.evaluate(CUT), opened.page.evaluate(OVERLAPS)
    opened.context.close()
    assert (wide, *found) == (width, [], [])


def test_cells_are_sorted_by_keyboard_up_and_down(opened):
    opened.tab_to("#cells-table th:nth-child(4) button")  # parameters
    counts = "#cells-table > tbody > tr:first-child > td:nth-child(4)"
    before = [int(text.replace(",", "")) for text in opened.page.locator(counts).all_inner_texts()]
    assert before != sorted(before)
    for direction, reverse in (("ascending", False), ("descending", True)):
        opened.page.keyboard.press("Enter")
        found = [int(text.replace(",", "")) for text in opened.page.locator(counts).all_inner_texts()]
        assert found == sorted(before, reverse=reverse)
        assert opened.page.locator("#cells-table th[aria-sort]").get_attribute("aria-sort") == direction
        assert opened.page.locator("#cells-told").inner_text() == f"Sorted by parameters, {direction}."


def test_cells_are_filtered_by_keyboard(opened):
    everything = opened.labels()
    opened.tab_to("#cells-tools input")
    opened.page.keyboard.type("sigmoid 3x32")
    fitting = [label for label in everything if "sigmoid" in label and "3x32" in label]
    assert 0 < len(fitting) < len(everything)
    assert opened.labels() == fitting
    assert opened.page.locator("#cells-told").inner_text() == f"{len(fitting)} of {len(everything)} cells"


def test_a_link_to_a_cell_opens_its_runs(opened):
    link = opened.page.locator("a[href^='#cell-']").locator("visible=true").first
    target = opened.page.locator(link.get_attribute("href"))
    assert not target.locator("code").first.is_visible()
    link.focus()
    opened.page.keyboard.press("Enter")
    target.locator("code").first.wait_for(state="visible")  # the page hears of the new address a moment later
    assert "mnistlab run --layers" in target.inner_text()


def test_without_script_all_cells_are_there_and_no_dead_control_is(browser, report):
    opened = Opened(browser, report, java_script_enabled=False)
    assert len(opened.labels()) == len(mnistlab.results("lab", store=ROOT / "docs" / "lab.sqlite").rows)
    assert opened.page.locator("button, input").locator("visible=true").count() == 0
    opened.context.close()
