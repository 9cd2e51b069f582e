"""Tables as files: what is typed is what a reader of the file gets, numbers stay numbers."""

import csv
import io
import itertools
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pyarrow import parquet

from mnistlab import formatting, tabulation
from mnistlab.analysis.claims import judge_claims
from mnistlab.analysis.estimate import Estimate
from mnistlab.claim_tables import read_claims
from mnistlab.formatting import printable

HOSTILE = [
    "<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "x" * 300, "שלום, عالم", "a|b", "$x_1$", "back\\slash\\",
    "\\|", "| x", "[1ex]", "--- ,, '' `` ?` !`", "\\end{tabular}", "&amp; &lt;", "100 % #1 ~ ^ {x}", "*a* _b_ `c`",
    "![a](http://x)", "97.42 ± 0.21 (5)", "-1,234 ± 5", "x 1 ± 2 ± 3", "→ × ± – — … “q” ‘q’ ≤ ²", "+1", "@x",
]  # fmt: skip
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30), st.text("\\|$_{}&#^~%<>`'\"-,[]* ±1.", max_size=20))


def markdown_cells(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    cells = [after.children for token, after in itertools.pairwise(tokens) if token.type in ("th_open", "td_open")]
    assert all(child.type in ("text", "text_special") for cell in cells for child in cell), "something is no plain text"
    return ["".join(child.content for child in cell) for cell in cells]


@given(texts=st.lists(TEXT, min_size=3, max_size=3))
@example(texts=["a\\", "|", "\\|"])
def test_markdown_shows_every_text_as_it_is_typed(texts):
    written = formatting.table_markdown(["cell", texts[0], "c"], [["row", *texts[1:]]])
    assert written.count("\n") == 3
    expected = ["cell", texts[0], "c", "row", *texts[1:]]
    assert markdown_cells(written) == [printable(text).strip() for text in expected]


BACK = {written: sign for sign, written in formatting._LATEX.items() if sign not in "μ\N{REPLACEMENT CHARACTER}"}
SIGN = re.compile("|".join([
    r"\$([+-]?[0-9,{}.]+) \\pm ([0-9,{}.]+)\$", r"([-,])\{\}(?=\3)",
    *map(re.escape, sorted(BACK, key=len, reverse=True)),
]))  # fmt: skip


def from_latex(text):
    def sign(found):
        if found[1]:
            return f"{found[1]} ± {found[2]}".replace("{,}", ",")
        return found[3] or BACK[found[0]]

    return SIGN.sub(sign, text)


@given(texts=st.lists(TEXT, min_size=2, max_size=2))
def test_latex_shows_every_text_as_it_is_typed(texts):
    line = formatting.table_latex(texts, []).split("\n")[2]
    assert line.endswith(r" \\")
    plain = [printable(text).replace("μ", "µ").replace("\N{REPLACEMENT CHARACTER}", "?") for text in texts]
    assert from_latex(line.removesuffix(r" \\").replace(" & ", "\n")) == "\n".join(plain)
    unescaped = re.sub(r"\\[{}$&#%_]|\$[^$]*\$", "", line.removesuffix(r"\\"))
    assert unescaped.count("{") == unescaped.count("}")
    assert not set("$#%_~^<>|\"'`") & set(unescaped)


def test_latex_is_a_plain_tabular_with_numbers_as_formulas():
    assert formatting.table_latex(["cell", "accuracy %", "p"], [["4x64 relu", "97.42 ± 0.21 (5)", "-1,234 ± 5"]]) == (
        "\\begin{tabular}{lrr}\n\\hline\ncell & accuracy \\% & p \\\\\n\\hline\n"
        "4x64 relu & $97.42 \\pm 0.21$ (5) & $-1{,}234 \\pm 5$ \\\\\n\\hline\n\\end{tabular}\n"
    )


def test_markdown_puts_numbers_to_the_right_and_words_to_the_left():
    text = formatting.table_markdown(["cell", "accuracy %", "because"], [["1", "97 (1)", "0 is"], ["2", "–", "so"]])
    assert text.split("\n")[1] == "| --- | ---: | --- |"


@given(texts=st.lists(TEXT, min_size=3, max_size=3), number=st.floats(allow_nan=False, allow_infinity=False))
@example(texts=["\t=1+1", "\r=1", "＝1"], number=-0.5)
def test_csv_holds_texts_as_typed_but_for_a_quote_mark_before_a_formula(texts, number):
    text = tabulation.table_file(
        pd.DataFrame([{"text": t, "number": number} for t in texts]), ([], []), ".csv"
    ).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["text", "number"]
    for (read, value), typed in zip(rows, texts, strict=True):
        sound = typed.encode(errors="replace").decode()
        assert read in (sound, f"'{sound}")
        assert not read.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert float(value) == number


@given(texts=st.lists(TEXT, min_size=3, max_size=3))
def test_parquet_holds_texts_as_typed(texts):
    content = tabulation.frame_parquet(pd.DataFrame({"text": texts, texts[0] or "x": 1.5}))
    read = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [row["text"] for row in read] == [text.encode(errors="replace").decode() for text in texts] or (
        texts[0] == "text")  # fmt: skip


def test_parquet_keeps_numbers_and_spreads_estimates_over_four_columns():
    frame = pd.DataFrame({
        "accuracy": [Estimate(0.97, 0.96, 0.98, n=5), Estimate(None)], "once": [Estimate(2.0, n=1)] * 2,
        "seeds": [5, 0], "level": [64, "relu"], "runs": [("a", "b"), ()], "is_on": [True, False],
        "picture": [np.zeros((2, 2)), None],
    })  # fmt: skip
    table = parquet.read_table(io.BytesIO(tabulation.frame_parquet(frame)))
    kinds = {field.name: field.type for field in table.schema}
    assert {name for name, kind in kinds.items() if kind == pa.float64()} == {
        "accuracy", "accuracy_low", "accuracy_high", "once", "once_low", "once_high"}  # fmt: skip
    assert kinds["seeds"] == kinds["accuracy_n"] == pa.int64()
    assert kinds["is_on"] == pa.bool_()
    first, second = table.to_pylist()
    assert (first["accuracy_low"], first["level"], second["level"], first["runs"]) == (0.96, "64", "relu", "a;b")
    assert (second["accuracy"], second["accuracy_n"]) == (None, 0)


@pytest.mark.parametrize("ending", tabulation.TABLE_ENDINGS)
def test_results_can_be_written_in_every_form_and_read_again(lab_results, ending):
    content = tabulation.table_file(lab_results.rows, tabulation.results_cells(lab_results.rows), ending)
    if ending == ".parquet":
        read = parquet.read_table(io.BytesIO(content)).to_pylist()
        assert [row["accuracy"] for row in read] == [found.value for found in lab_results.rows["accuracy"]]
        assert [row["label"] for row in read] == lab_results.rows["label"].tolist()
    else:
        assert "256-128-64-32 relu" in content.decode()


def test_what_our_markdown_claims_of_networks_is_found_true(lab_results):
    text = tabulation.results_file(lab_results, ".md").decode()
    judged = judge_claims(read_claims(text), lab_results.rows)
    assert len([claim for claim in judged if claim.quantity == "accuracy"]) > 20
    assert {claim.status for claim in judged if claim.quantity in ("accuracy", "parameters")} == {"true"}


def test_notes_stand_above_the_table(lab_results):
    said = tabulation.resolution_note(lab_results)
    assert tabulation.results_file(lab_results, ".md").decode().startswith(said.replace("_", "\\_"))
    latex = tabulation.results_file(lab_results, ".tex").decode()
    assert latex.startswith(f"% {said[:40]}")
    assert re.sub(r"^% .*\n", "", latex, flags=re.MULTILINE).startswith(r"\begin{tabular}")


@pytest.mark.parametrize("ending", tabulation.TABLE_ENDINGS)
def test_a_table_without_rows_is_a_file_too(lab_results, ending):
    empty = lab_results.rows.iloc[:0]
    content = tabulation.table_file(empty, tabulation.results_cells(empty), ending)
    if ending == ".parquet":
        assert parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert "cell" in content.decode()


def test_tabulation_alone_loads_neither_pandas_nor_pyarrow():
    code = "import sys, mnistlab.tabulation; print(*{'pandas', 'scipy', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
