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


def test_showing_a_path_keeps_nothing_and_draws_every_class(mnistlab, spots, home):
    lines = mnistlab("data", "show", "spots.npz").out.splitlines()
    assert [line.split() for line in lines[2:4]] == [["dark", "light"], ["(30)", "(30)"]]
    assert len(lines) == 6
    assert list(home.iterdir()) == [spots]


def test_letters_that_the_output_lacks_end_no_command(process, home):
    images = np.random.default_rng(5).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(home / "cats.npz", images=images, labels=np.array(["猫", "ü"])[np.arange(60) % 2])
    answer = process("data", "show", "cats.npz", cwd=home, PYTHONIOENCODING="ascii")
    assert (answer.status, answer.err, answer.out.isascii(), answer.out.count("(30)")) == (0, "", True, 2)


def test_no_text_is_no_data_set(mnistlab, home):
    for verb in ("show", "fetch"):
        answer = mnistlab("data", verb, "")
        assert (answer.status, answer.err.split(" (")[0]) == (2, "mnistlab: error: dataset '': unknown data set")


def test_data_that_are_not_in_the_cache_are_told_with_the_way_there(mnistlab, home):
    name = "spots-0123456789ab"
    told = f"dataset {name}: not in the cache (mnistlab data fetch PATH, the file or folder it came from)"
    for verb in ("data show", "data fetch", "plan --dataset", "run --dataset"):
        answer = mnistlab(*verb.split(), name)
        assert (answer.status, answer.err) == (3, f"mnistlab: error: {told}\n")


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
    assert (gone.status, gone.err.count("\n")) == (3, 1)
