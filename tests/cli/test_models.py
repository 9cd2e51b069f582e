"""Networks kept by `run`, asked by `predict`, handed on by `export`: real processes on `digits`."""

import json
import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mnistlab.datasets import catalog
from mnistlab.lab import open_store
from mnistlab.saving import load

CACHE = Path(os.environ.get("MNISTLAB_DATA_DIR", "data/raw")).resolve()


def pictures(folder, *numbers):
    """Digits of the test part as files; returns their names."""
    images = catalog.load("digits", folder).images[1540:]
    for number in numbers:
        Image.fromarray(images[number]).save(folder / f"{number}.png")
    Image.new("L", (30, 30), 255).save(folder / "blank.png")
    return [f"{number}.png" for number in numbers]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, finished, process):
    """The finished studies, of `tiny` (scikit-learn, two seeds) all networks kept, of `single` (Keras, one) none."""
    folder = tmp_path_factory.mktemp("kept") / "home"
    shutil.copytree(finished.folder, folder)
    answer = process("run", "tiny.toml", "--workers", 1, "--fresh", "--keep", "all", cwd=folder)
    assert answer.status == 0, answer.err
    runs = open_store(folder / "results" / "mnistlab.sqlite").runs().set_index("run")
    return SimpleNamespace(folder=folder, runs=runs, tiny=list(runs.index[:2]), single=runs.index[2])


@pytest.fixture
def here(trained, home):
    """A copy of it as the current folder."""
    shutil.copytree(trained.folder, home, dirs_exist_ok=True)
    return trained


def lying(folder):
    return sorted(path.relative_to(folder / "models").as_posix() for path in (folder / "models").rglob("*.*"))


def test_kept_networks_predict_what_their_runs_predicted(here, home, mnistlab):
    assert lying(home) == sorted(f"ffn/{run}.safetensors" for run in here.tiny)
    images = catalog.load("digits", home).images[1540:]
    for run in here.tiny:
        network = load(home / "models" / "ffn" / f"{run}.safetensors")
        stored = open_store(home / "results" / "mnistlab.sqlite").predictions(run).query("part == 'test'")
        np.testing.assert_array_equal(network.predict_proba(images).argmax(axis=1), stored["predicted"])
        assert network.weights_sha256 == here.runs["weights_sha256"][run]


def test_show_says_where_the_weights_are_and_how_to_get_those_that_were_not_kept(here, mnistlab):
    kept, none = here.tiny[0], here.single
    assert f"weights: models/ffn/{kept}.safetensors" in mnistlab("show", kept).out
    assert f"weights: not kept; `mnistlab export {none} --format keras` trains it again" in mnistlab("show", none).out
    assert mnistlab("show", kept, "--json").document["weights"] == f"models/ffn/{kept}.safetensors"
    assert mnistlab("show", none, "--json").document["weights"] is None


def test_predict_takes_a_file_or_a_run_and_names_the_classes(here, home, mnistlab):
    run, names = here.tiny[0], pictures(home, 3, 4)
    by_file = mnistlab("predict", f"models/ffn/{run}.safetensors", *names, "--json").document
    by_run = mnistlab("predict", run[:8], *names, "--json").document
    assert by_file == by_run
    assert by_run["classes"] == list("0123456789")
    for name, found in zip(names, by_run["predictions"], strict=True):
        assert set(found) == {"image", "digit", "probabilities", "normalisation"}
        assert (found["image"], found["digit"]) == (name, int(np.argmax(found["probabilities"])))
        assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert found["normalisation"]["method"] == "resized"
    first, second = mnistlab("predict", run, *names, "--top", 2).out.splitlines()
    best = by_run["predictions"][0]
    assert first.startswith(f"3.png: {best['digit']} {max(best['probabilities']):.1%}, ")
    assert first.count("%") == second.count("%") == 2


def test_a_blank_picture_is_no_digit_and_no_fault(here, home, mnistlab):
    pictures(home)
    assert mnistlab("predict", here.tiny[0], "blank.png", "--json").document["predictions"][0]["digit"] is None
    answer = mnistlab("predict", here.tiny[0], "blank.png")
    assert (answer.status, answer.out.startswith("blank.png: not a digit? ")) == (0, True)


@pytest.mark.parametrize(("line", "status", "said"), [
    ("predict {kept} 3.png broken.png --json", 3, "broken.png: "),
    ("predict {kept} 3.png nope.png", 3, "nope.png: no such file"),
    ("predict {kept}", 2, "IMAGE: a picture is needed"),
    ("predict {kept} 3.png --top 0", 2, "--top 0: a whole number of 1 or more"),
    ("predict {none} 3.png", 3, "its weights were not kept (`mnistlab export {none} --format keras` trains it again"),
    ("predict nonesuch 3.png", 2, "run nonesuch: the store holds none of that name"),
    ("predict " + 5000 * "x" + " 3.png", 2, "the store holds none of that name"),
    ("predict ./" + 5000 * "x" + " 3.png", 3, "cannot be read: File name too long"),
    ("predict nope.safetensors 3.png", 3, "nope.safetensors: no such file"),
    ("predict 3.png 3.png", 3, "3.png: not a file that mnistlab wrote"),
    ("export {kept} --format h5", 2, "--format h5: no such format (known: keras, onnx)"),
    ("export {kept} --format keras --output model.h5", 2, "--output model.h5: a name that ends in .keras is needed"),
    ("export nonesuch --format onnx", 2, "run nonesuch: the store holds none of that name"),
    ("export {kept} --format onnx --output broken.png/a.onnx", 5, "broken.png/a.onnx: cannot be written"),
    ("run tiny.toml --keep bset", 2, "--keep bset: one of none, best, all is needed (did you mean best?)"),
    ("run --dataset digits --validation-fraction 0 --keep best", 2, "has no validation examples to choose by"),
], ids=lambda value: str(value)[:40])  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_changes_nothing(here, home, mnistlab, line, status, said):
    pictures(home, 3)
    (home / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    names = {"kept": here.tiny[0], "none": here.single}
    before = sorted(home.rglob("*"))
    answer = mnistlab(*line.format(**names).split())
    assert (answer.status, answer.out) == (status, ""), answer
    assert said.format(**names) in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(home.rglob("*")) == before


@pytest.mark.ci
def test_best_compares_with_what_earlier_calls_kept(finished, home, process):
    shutil.copy(finished.folder / "tiny.toml", home)
    for seeds in (1, 4):
        answer = process("run", "tiny.toml", "--workers", 1, "--seeds", seeds, "--keep", "best", cwd=home)
        assert answer.status == 0, answer.err
        runs = open_store(home / "results" / "mnistlab.sqlite").runs().sort_values("seed")
        best = runs["run"][runs["validation_accuracy"].idxmax()]
        assert lying(home) == [f"ffn/{best}.safetensors"]
    told = process("run", "tiny.toml", "--seeds", 4, "--keep", "all", cwd=home)
    assert told.status == 0
    assert "finished before without --keep and not trained again: 3; `mnistlab export RUN" in told.err
    Image.new("L", (30, 30), 255).save(home / "blank.png")
    assert process("predict", "1x8 relu, digits, sklearn, 3 epochs", "blank.png", cwd=home).status == 0  # the one kept
    other = process("run", "tiny.toml", "--workers", 1, "--fresh", "--store", "other.sqlite", cwd=home)
    assert (other.status, lying(home)) == (0, [f"ffn/{best}.safetensors"])
    fresh = process("run", "tiny.toml", "--workers", 1, "--seeds", 4, "--fresh", cwd=home)
    assert (fresh.status, lying(home)) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sklearn", "keras"])
def test_export_trains_again_the_same_bits_and_keeps_them(here, home, process, name):
    run = here.tiny[1] if name == "sklearn" else here.single
    shutil.rmtree(home / "models")
    answer = process("export", run, "--format", "onnx", "--json", cwd=home)
    assert "its weights were not kept, it is trained again" in answer.err
    kept = home / "models" / ("ffn" if name == "sklearn" else "dnn") / f"{run}.safetensors"
    assert load(kept).weights_sha256 == here.runs["weights_sha256"][run]
    assert answer.document["output"] == str(kept.with_suffix(".onnx").relative_to(home))
    second = process("export", run, "--format", "keras", "--output", "mine.keras", cwd=home)
    assert (second.status, second.out, second.err) == (0, "Network: mine.keras\n", "")
    assert lying(home) == sorted(f"{kept.parent.name}/{run}{kind}" for kind in (".onnx", ".safetensors"))


def test_other_weights_than_the_stored_ones_are_refused_with_what_differs(here, home, process):
    run = here.tiny[0]
    with sqlite3.connect(home / "results" / "mnistlab.sqlite") as store:
        store.execute("UPDATE run SET weights_sha256 = 'other' WHERE id = ?", (run,))
        for identity, packages in store.execute("SELECT id, packages FROM environment").fetchall():
            packages = json.dumps({**json.loads(packages), "numpy": "1.0"})
            store.execute("UPDATE environment SET packages = ? WHERE id = ?", (packages, identity))
    before = lying(home)
    answer = process("export", run, "--format", "onnx", cwd=home)
    assert (answer.status, answer.out) == (5, "")
    assert "trained again it has other weights than the stored ones: numpy 1.0 then, " in answer.err
    assert lying(home) == before
    refused = process("predict", run, "3.png", cwd=home)
    assert refused.status == 3


def test_without_onnx_export_says_what_to_install_and_the_rest_works(here, home, process):
    blocked = ("-c", "import sys; sys.modules['onnx'] = None; from mnistlab.cli.app import main; main(sys.argv[1:])")
    answer = process("export", here.tiny[0], "--format", "onnx", cwd=home, program=blocked)
    assert (answer.status, answer.out) == (5, "")
    assert "the package onnx is absent (pip install 'mnistlab[onnx]')" in answer.err
    [name] = pictures(home, 7)
    assert process("predict", here.tiny[0], name, cwd=home, program=blocked).status == 0
    assert process("export", here.tiny[0], "--format", "keras", cwd=home, program=blocked).status == 0


def test_a_folder_that_cannot_be_written_loses_nothing_that_finished(finished, home, process):
    shutil.copy(finished.folder / "tiny.toml", home)
    assert process("run", "tiny.toml", "--seeds", 1, "--workers", 1, cwd=home).status == 0
    (home / "models").write_text("in the way", encoding="utf-8")
    stopped = process("run", "tiny.toml", "--workers", 1, "--keep", "all", cwd=home)
    assert (stopped.status, stopped.out) == (5, "")
    assert "cannot be written" in stopped.err.splitlines()[-1]
    assert open_store(home / "results" / "mnistlab.sqlite").runs()["status"].value_counts()["done"] == 1
    (home / "models").unlink()
    assert process("run", "tiny.toml", "--workers", 1, "--keep", "all", cwd=home).status == 0
    assert len(lying(home)) == 1


def on_canvas(digit, random):
    """An official digit, eight times as large, somewhere on a larger canvas; white ink on black."""
    large = np.asarray(Image.fromarray(digit).resize((224, 224), Image.Resampling.BICUBIC))
    top, left, bottom, right = random.integers(0, 80, 4)
    return np.pad(large, ((top, bottom), (left, right)))


def with_ink_as_alpha(pixels):
    return Image.fromarray(np.dstack([np.zeros((*pixels.shape, 3), np.uint8), pixels]))


ENCODINGS = {
    "grey": Image.fromarray,
    "inverted": lambda pixels: Image.fromarray(255 - pixels),
    "palette": lambda pixels: Image.fromarray(255 - pixels).convert("P"),
    "RGB": lambda pixels: Image.fromarray(255 - pixels).convert("RGB"),
    "RGBA": with_ink_as_alpha,
    "16 bit": lambda pixels: Image.fromarray(pixels.astype(np.uint16) * 257),
}


@pytest.mark.long
def test_official_digits_come_back_from_any_picture_of_them(home, process):
    """Needs MNIST in the cache that `MNISTLAB_DATA_DIR` names."""
    cache, random = {"MNISTLAB_DATA_DIR": str(CACHE)}, np.random.default_rng(4)
    answer = process("run", "--framework", "sklearn", "--epochs", 5, "--seed", 0, "--keep", "all", cwd=home, **cache)
    assert answer.status == 0, answer.err
    store = open_store(home / "results" / "mnistlab.sqlite")
    [run] = store.runs()["run"]
    stored = store.predictions(run).query("part == 'test'").reset_index(drop=True)
    images = catalog.load("mnist", CACHE).images[60_000:]
    chosen = random.choice(10_000, 1_000, replace=False)
    for place, digit in enumerate(chosen):
        encode = list(ENCODINGS.values())[place % len(ENCODINGS)]
        encode(on_canvas(images[digit], random)).save(home / f"{place}.png")
    names = [f"{place}.png" for place in range(len(chosen))]
    found = process("predict", run, *names, "--json", cwd=home, **cache).document["predictions"]
    accuracy = np.mean([one["digit"] == stored["label"][digit] for one, digit in zip(found, chosen, strict=True)])
    assert accuracy == pytest.approx(stored["correct"][chosen].mean(), abs=0.003)

    pixels = on_canvas(images[0], random)
    for name, encode in ENCODINGS.items():
        encode(pixels).save(home / f"{name}.png")
    found = process("predict", run, *(f"{name}.png" for name in ENCODINGS), "--json", cwd=home, **cache).document
    probabilities = [one["probabilities"] for one in found["predictions"]]
    assert np.ptp(probabilities, axis=0).max() < 1e-6
