"""`results` and `figure`: tables and drawings as files, from the store of docs/."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from pyarrow import parquet
from rich.cells import cell_len

STORE = Path(__file__).parents[2] / "docs" / "lab.sqlite"


@pytest.fixture
def stored(home, monkeypatch):
    """The store of docs/ as the current one; an empty home."""
    monkeypatch.setenv("MNISTLAB_STORE", str(STORE))
    return home


def test_results_print_markdown_and_latex(mnistlab, stored):
    labels = [row["label"] for row in mnistlab("results", "lab", "--json").document["rows"]]
    markdown, latex = mnistlab("results", "lab", "--markdown").out, mnistlab("results", "lab", "--latex").out
    assert markdown.startswith("Resolution ")
    assert all(f"| {label} |" in markdown for label in labels)
    assert latex.count(r" \\") == len(labels) + 1
    assert r"$97.4" in latex
    assert [row["label"] for row in csv.DictReader(io.StringIO(mnistlab("results", "lab", "--csv").out))] == labels
    assert list(stored.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*fork")  # pexpect's, where another test has started threads
def test_results_write_parquet_to_a_pipe_but_not_to_a_terminal(stored, mnistlab):
    words = [sys.executable, "-m", "mnistlab", "results", "lab", "--parquet"]
    content = subprocess.run(words, capture_output=True, check=True).stdout
    read = parquet.read_table(io.BytesIO(content)).to_pylist()
    rows = mnistlab("results", "lab", "--json").document["rows"]
    assert [(row["label"], row["accuracy"]) for row in read] == [(r["label"], r["accuracy"]["value"]) for r in rows]
    terminal = pexpect.spawn(words[0], words[1:], encoding="utf-8")
    said = terminal.read()
    terminal.close()
    assert (terminal.exitstatus, "--parquet: these are bytes" in said) == (2, True)


def test_a_figure_is_written_to_the_reports_and_the_paths_are_printed(mnistlab, stored):
    answer = mnistlab("figure", "width", "lab")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.split() == ["reports/lab/width.svg", "reports/lab/width.csv"]
    assert "<svg" in (stored / "reports/lab/width.svg").read_text(encoding="utf-8")
    table = list(csv.DictReader(io.StringIO((stored / "reports/lab/width.csv").read_text(encoding="utf-8"))))
    shown = mnistlab("figure", "width", "lab", "--json").document
    assert [float(row["accuracy"]) for row in table] == [row["accuracy"] for row in shown["rows"]]
    assert mnistlab("figure", "results", "lab").out == "reports/lab/results.csv\n"


@pytest.mark.parametrize("ending", [".svg", ".png", ".csv", ".md", ".tex", ".parquet", ".PNG"])
def test_a_figure_is_one_file_of_the_kind_its_ending_says(mnistlab, stored, ending):
    answer = mnistlab("figure", "depth", "lab", "--output", f"out/depth{ending}")
    assert (answer.status, answer.out) == (0, f"out/depth{ending}\n")
    assert [path.name for path in (stored / "out").iterdir()] == [f"depth{ending}"]
    assert not (stored / "reports").exists()


def test_a_figure_as_json_has_name_question_caption_and_rows(mnistlab, stored):
    shown = mnistlab("figure", "depth", "lab", "--json").document
    assert {"schema_version", "study", "name", "question", "caption", "rows"} == set(shown)
    assert (shown["study"], shown["name"]) == ("lab", "depth")
    assert {"depth", "accuracy", "low", "high", "n", "runs"} <= set(shown["rows"][0])
    assert list(stored.iterdir()) == []


def test_without_a_name_every_figure_is_listed_with_its_question(mnistlab, stored):
    answer = mnistlab("figure")
    listed = mnistlab("figure", "--json").document["figures"]
    assert {"width", "depth", "results"} <= {figure["name"] for figure in listed}
    for figure in listed:
        assert f"{figure['name']}: {figure['question']}" in answer.out
    assert list(stored.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("figure", "width"), ("figure", "width", "smoke"), ("figure", "width", "--output", "x.svg")]
)
def test_a_figure_without_data_says_so_and_writes_nothing(mnistlab, home, words):
    answer = mnistlab(*words)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("No finished cells")
    assert answer.out.count("\n") == 1
    assert mnistlab("figure", "width", "--json").document["rows"] == []
    assert mnistlab("figure").out.startswith("Nothing to show in this study:")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_verdicts_name_both_cells_on_every_terminal(mnistlab, stored, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    said = mnistlab("verdicts", "lab").out
    assert max(map(cell_len, said.splitlines())) <= columns
    whole = "".join(said.split())  # a narrow line breaks within a label, too
    for family in mnistlab("verdicts", "lab", "--json").document["families"]:
        for row in family["rows"]:
            assert row["a"]["label"].replace(" ", "") in whole
            assert row["b"]["label"].replace(" ", "") in whole


def test_a_figure_needs_the_store_alone(process, stored):
    code = """
import sys
from mnistlab.cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""
    answer = process("figure", "width", "lab", "--json", cwd=stored, program=("-c", code), MNISTLAB_STORE=str(STORE))
    assert json.loads(answer.out)["schema_version"] == 1
    assert not {"jax", "keras", "sklearn", "matplotlib"} & set(answer.err.split())
