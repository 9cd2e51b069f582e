"""Exhibits as files and as JSON: the same data by the same name."""

import csv
import io
import json
from dataclasses import replace

import pytest
from pyarrow import parquet

from mnistlab.errors import ConfigurationError
from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.digits import DIGITS
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.output import (
    DRAWING_ENDINGS,
    exhibit_json,
    exhibits_json,
    exhibits_text,
    write_shown,
    write_shown_files,
)
from mnistlab.exhibits.study import CELLS
from mnistlab.spec import Architecture, Cell
from mnistlab.tabulation import TABLE_ENDINGS

BY_NAME = {exhibit.name: exhibit for exhibit in (*KNOBS, *DIGITS, *CELLS)}
HOSTILE = ["<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "x" * 300, "שלום", "a|b", "$x_1$", "back\\slash"]


@pytest.mark.parametrize("ending", [*DRAWING_ENDINGS, *TABLE_ENDINGS])
def test_the_ending_says_what_is_written(lab_evidence, tmp_path, ending):
    path = tmp_path / "deep" / f"width{ending}"
    write_shown(Shown(BY_NAME["width"], lab_evidence), path)
    begins = {".svg": b"<?xml", ".png": b"\x89PNG", ".csv": b"width,", ".md": b"Does a wider", ".tex": b"% Does",
              ".parquet": b"PAR1"}  # fmt: skip
    assert path.read_bytes().startswith(begins[ending])
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_files_are_named_by_study_and_exhibit(lab_evidence, tmp_path):
    paths = write_shown_files(Shown(BY_NAME["width"], lab_evidence), tmp_path)
    assert paths == [tmp_path / "lab" / "width.svg", tmp_path / "lab" / "width.csv"]
    assert sorted((tmp_path / "lab").iterdir()) == sorted(paths)
    assert write_shown_files(Shown(BY_NAME["results"], lab_evidence), tmp_path) == [tmp_path / "lab" / "results.csv"]


@pytest.mark.parametrize("study", ["../../etc/x", "..", ".", "a\x00b/c", "מחקר 1", "x" * 300])
def test_no_name_of_a_study_leads_out_of_the_folder(lab_evidence, tmp_path, study):
    known = replace(lab_evidence, study=study)
    paths = write_shown_files(Shown(BY_NAME["width"], known), tmp_path)
    assert {path.parent.resolve().parent for path in paths} == {tmp_path.resolve()}
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_an_ending_of_no_kind_and_a_drawing_of_a_table_are_refused(lab_evidence, tmp_path):
    with pytest.raises(ConfigurationError, match=r"does not say what it shall hold \(one of \.svg \.png \.csv"):
        write_shown(Shown(BY_NAME["width"], lab_evidence), tmp_path / "width.pdf")
    with pytest.raises(ConfigurationError, match=r"results is a table without a drawing \(one of \.csv"):
        write_shown(Shown(BY_NAME["results"], lab_evidence), tmp_path / "results.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", TABLE_ENDINGS)
@pytest.mark.parametrize("name", ["results", "confusion"])
def test_hostile_labels_stand_in_files_as_they_are_typed(plant_evidence, tmp_path, name, ending):
    known = plant_evidence([(Cell(Architecture((width,))), 0.9, ("done",) * 2) for width in range(8, 8 + len(HOSTILE))])
    known = replace(known, cells=known.cells.assign(label=HOSTILE))
    shown, path = Shown(BY_NAME[name], known), tmp_path / f"x{ending}"
    write_shown(shown, path)
    labels = shown.table["label"].tolist()
    if ending == ".csv":
        read = [row["label"] for row in csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))]
        assert [text.removeprefix("'") for text in read] == labels
        assert not any(text.startswith("=") for text in read)
    elif ending == ".parquet":
        assert parquet.read_table(path).column("label").to_pylist() == labels
    else:
        text = path.read_text(encoding="utf-8")
        written = {
            ".md": [r"\<img src=x onerror=alert(1)\>", r"a\|b", r"\$x\_1\$", r"back\\slash"],
            ".tex": [r"\textless{}img src=x onerror=alert(1)\textgreater{}", r"a\textbar{}b", r"\$x\_1\$",
                     r"back\textbackslash{}slash"],
        }[ending]  # fmt: skip
        expected = [*written, "x" * 300, "שלום"]
        assert [word for word in (expected if name == "results" else []) if word not in text] == []
        assert "<img" not in text.replace(r"\<img", "")


def test_json_holds_the_data_with_pictures_and_estimates(lab_evidence):
    for name, exhibit in BY_NAME.items():
        shown = Shown(exhibit, lab_evidence)
        answer = exhibit_json(shown)
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer
        assert (answer["name"], answer["question"], answer["caption"]) == (name, exhibit.question, shown.caption)
        assert len(answer["rows"]) == len(shown.table)
    assert (
        exhibit_json(Shown(BY_NAME["hardest-digits"], lab_evidence))["rows"][0]["image"][0][:2]
        == (
            lab_evidence.digits.images[Shown(BY_NAME["hardest-digits"], lab_evidence).table["index"][0] - 60_000][0][:2]
        ).tolist()
    )
    accuracy = exhibit_json(Shown(BY_NAME["results"], lab_evidence))["rows"][0]["accuracy"]
    assert set(accuracy) == {"value", "low", "high", "level", "n", "kind"}


def test_the_list_tells_what_has_data_from_what_has_none(plant_evidence):
    known = plant_evidence([(Cell(Architecture((64,))), 0.9, ("done",))])
    shown = [Shown(exhibit, known) for exhibit in BY_NAME.values()]
    text = exhibits_text(shown, 100)
    some, none = text.split("\n\nNothing to show in this study:\n")
    assert "results: What does each cell reach" in some
    assert "width: Does a wider layer help?" in none
    rows = {figure["name"]: figure["rows"] for figure in exhibits_json(shown)["figures"]}
    assert (rows["width"], rows["results"]) == (0, 1)


@pytest.mark.parametrize("width", [20, 40])
def test_the_list_is_no_wider_than_the_terminal(lab_evidence, width):
    text = exhibits_text([Shown(exhibit, lab_evidence) for exhibit in BY_NAME.values()], width)
    assert all(len(line) <= width for line in text.split("\n"))
