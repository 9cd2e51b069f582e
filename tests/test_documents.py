"""README and docs say what is true: what they claim of networks and what they print, held against docs/lab.sqlite."""

import re
import shlex
from pathlib import Path

import pytest

import mnistlab
from mnistlab.cli.app import main
from mnistlab.places import Places
from mnistlab.wording import claims_text

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STORE = ROOT / "docs" / "lab.sqlite"


def printed(document):
    """Commands shown with their answer: `$ .venv/bin/mnistlab …` in a block of `console`, and the lines below it."""
    for block in re.findall(r"```console\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        for shown in re.split(r"^\$ \.venv/bin/mnistlab ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = shown.partition("\n")
            yield pytest.param(command, answer.rstrip("\n"), id=f"{document.name}: {command}")


@pytest.mark.parametrize(("command", "answer"), [shown for document in DOCUMENTS for shown in printed(document)])
def test_what_a_document_prints_is_what_the_command_prints(command, answer, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as end:
        main(shlex.split(command))
    assert (end.value.code, capsys.readouterr().out.rstrip("\n")) == (0, answer)


def test_the_documents_show_answers():
    assert len([shown for document in DOCUMENTS for shown in printed(document)]) >= 4


@pytest.fixture(scope="module")
def judged():
    return mnistlab.verify(DOCUMENTS, places=Places.find(store=STORE, offline=True))


def test_every_number_the_documents_claim_of_a_network_is_borne_out(judged):
    wrong = [claim for claim in judged if claim.status not in ("true", "inside band")]
    assert not wrong, claims_text(wrong, 1000)
    assert {claim.quantity for claim in judged} >= {"parameters", "accuracy", "seconds"}
    assert len({claim.file for claim in judged}) >= 2


@pytest.mark.parametrize(("true", "false"), [("63,370", "63,371"), ("97.", "99.")])
def test_a_false_number_in_a_document_is_found(true, false, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("4x64 relu ") and true in line)
    path = tmp_path / "README.md"
    path.write_text(text.replace(row, row.replace(true, false)), encoding="utf-8")
    found = mnistlab.verify([path], places=Places.find(store=STORE, offline=True))
    assert [claim.status for claim in found if claim.subject == "4x64 relu"].count("false") == 1


def test_findings_of_the_store_are_sentences_that_compare_says_too():
    places = Places.find(store=STORE, offline=True)
    table = mnistlab.findings("lab", places=places)
    assert len(table) >= 20
    assert table["sentence"].is_unique
    ids = set(mnistlab.open_store(STORE).runs("lab")["run"])
    labels = mnistlab.verdicts("lab", places=places).cells["label"]
    for row in table.to_dict("records"):
        a, b = labels[row["a"]], labels[row["b"]]
        [again] = mnistlab.compare(a, b, study="lab", places=places).rows.to_dict("records")
        assert again["difference"].value == pytest.approx(row["difference"].value)
        assert a in row["sentence"]
        assert b in row["sentence"]
        assert set(row["runs"]) <= ids
    assert any(sentence.endswith("3 of 3 networks of 16x64 sigmoid collapsed.") for sentence in table["sentence"])


def test_the_store_is_small_and_complete():
    assert STORE.stat().st_size <= 3_000_000
    states = {state.study: state for state in mnistlab.status(places=Places.find(store=STORE, offline=True))}
    study = mnistlab.load_config(ROOT / "docs" / "lab.toml")
    assert states[study.name].done == len(study.cells) * len(study.seeds) == mnistlab.open_store(STORE).runs().shape[0]
    assert set(mnistlab.results(study.name, store=STORE).rows["cell"]) == {cell.id for cell in study.cells}
