"""A user's own data on the command line: fetched, shown, trained on; and what still works when they are gone."""

import json
import shutil

import numpy as np
import pytest


@pytest.fixture
def spots(home):
    """An npz of 60 images of two classes."""
    images = np.random.default_rng(5).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(home / "spots.npz", images=images, labels=np.array(["dark", "light"])[np.arange(60) % 2])
    return home / "spots.npz"


def test_fetch_says_the_name_and_show_describes_both_path_and_name(mnistlab, spots, home):
    (told,) = mnistlab("data", "fetch", spots, "--json").document["datasets"]
    assert told["source"] == str(spots)
    assert mnistlab("data", "fetch", "spots.npz").out == f"{told['dataset']}: verified (spots.npz)\n"
    by_path, by_name = (mnistlab("data", "show", name, "--json").document for name in (spots, told["dataset"]))
    assert {**by_path, "source": ""} == {**by_name, "source": ""}
    assert (by_path["dataset"], by_path["classes"], by_path["class_counts"], by_path["shape"]) == (
        told["dataset"], ["dark", "light"], [30, 30], [4, 4])  # fmt: skip
    assert json.loads((home / "data" / "raw" / told["dataset"] / "dataset.json").read_text())["source"] == "spots"


def test_showing_a_path_keeps_nothing_and_draws_every_class(mnistlab, spots, home, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = mnistlab("data", "show", "spots.npz").out.splitlines()
    assert "light      30" in lines
    below = lines[lines.index("dark (30)") :]
    assert below.index("light (30)") == 4  # two lines of blocks and an empty one between them
    assert {len(line) for line in below} <= {9, 10, *range(30, 41), 0}
    assert set("".join(below[1:3])) <= set(" ▀▄█")
    assert list(home.iterdir()) == [spots]


def test_where_blocks_cannot_be_written_samples_are_ascii(process, spots, home):
    answer = process("data", "show", "spots.npz", cwd=home, PYTHONIOENCODING="ascii")
    assert (answer.status, answer.out.isascii(), "@" in answer.out) == (0, True, True)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_sheet_is_a_picture_in_a_file(mnistlab, spots, home, kind):
    answer = mnistlab("data", "show", "spots.npz", "--sheet", f"sheets/spots.{kind}", "--json")
    assert answer.document["dataset"].startswith("spots-")
    content = (home / "sheets" / f"spots.{kind}").read_bytes()
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml"}[kind])


@pytest.mark.slow
def test_a_study_on_a_user_s_data_is_read_when_they_are_gone(process, spots, home):
    flags = ["--framework", "sklearn", "--nodes", "4", "--epochs", "2", "--seed", "0"]
    assert process("run", "--dataset", "spots.npz", *flags, "--json", cwd=home).document["done"] == 1
    np.savez_compressed(home / "copy.npz", **np.load(spots))
    (name,) = (folder.name for folder in (home / "data" / "raw").iterdir())
    again = process("run", "--dataset", name, *flags, "--json", cwd=home).document
    assert (again["done"], again["seconds"] < 5) == (1, True)  # the same run: nothing was trained

    first = {reader: process(*reader.split(), "--json", cwd=home).document for reader in ("status", "results")}
    (row,) = first["results"]["rows"]
    assert (row["dataset"], row["parameters"]) == (name, 16 * 4 + 4 + 4 * 2 + 2)
    shutil.rmtree(home / "data")
    spots.unlink()
    assert {reader: process(reader, "--json", cwd=home).document for reader in first} == first
    shown = process("show", row["runs"][0], "--json", cwd=home).document
    assert (shown["parameters"], shown["dataset"]) == (row["parameters"], name)
    assert process("report", "--json", cwd=home).status == 0
    assert process("plan", "--dataset", "digits", *flags, "--json", cwd=home).document["to_do"] == 1
    gone = process("plan", "--dataset", name, *flags, cwd=home)
    assert (gone.status, gone.err.count("\n")) == (2, 1)
