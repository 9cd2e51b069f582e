"""The verbs as a script, a notebook and a Python prompt call them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mnistlab
from mnistlab.errors import ConfigurationError, DataError, InvalidFieldError, MachineError, StoreError
from mnistlab.places import Places
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.store.tables import Store

CONFIG = {
    "dataset": "digits",
    "frameworks": ["sklearn"],
    "seeds": 1,
    "model": {"node_counts": [8], "activations": ["relu"]},
    "training": {"epochs": 2},
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("MNISTLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Places.find(tmp_path, offline=True)


def python(*arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNISTLAB_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env={**environment, "MNISTLAB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_a_script_trains_goes_on_and_reads(tmp_path):
    (tmp_path / "mine.py").write_text(f"""
import mnistlab

if __name__ == "__main__":
    study = mnistlab.load_config({CONFIG})
    first = mnistlab.run(study, store="mine.sqlite", budget=600)
    second = mnistlab.run(study, store="mine.sqlite", budget=600, seeds=2)
    assert (first.done, first.to_do, second.done, second.to_do) == (1, 0, 2, 0), (first, second)
    assert mnistlab.run(study, store="mine.sqlite", seeds=2).seconds < 5  # nothing is trained twice
    store = mnistlab.open_store("mine.sqlite")
    runs = store.runs()
    assert list(runs["seed"]) == [0, 1] and set(runs["status"]) == {{"done"}}
    assert len(store.epochs()) == 2 * 2
    predictions = store.predictions(runs["run"][0])
    assert list(predictions["part"].value_counts()) == [257, 154]
    (row,) = mnistlab.results(study.name, store="mine.sqlite").rows.to_dict("records")
    assert row["accuracy"].n == 2 and row["accuracy"].kind == "crossed"
""")
    done = python("mine.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "mine.sqlite", "mine.sqlite.lock"]


def test_a_prompt_trains_as_well(tmp_path):
    code = f"import mnistlab; print(mnistlab.run({CONFIG}, store='mine.sqlite', workers=1).done)"
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path):
    (tmp_path / "mine.py").write_text(f"import mnistlab\nmnistlab.run({CONFIG}, workers=1)\n")
    done = python("mine.py", cwd=tmp_path)
    assert 'put the call below `if __name__ == "__main__":`' in done.stderr


def test_load_config_takes_a_dict_a_file_and_a_name(tmp_path):
    (tmp_path / "mine.toml").write_text('dataset = "digits"\nframeworks = ["sklearn"]\nseeds = 1\n'
                                        "[model]\nnode_counts = [8]\n[training]\nepochs = 2\n")  # fmt: skip
    (tmp_path / "mine.py").write_text(f"CONFIG = {CONFIG}")
    by_dict, by_toml, by_python = map(mnistlab.load_config, (CONFIG, tmp_path / "mine.toml", tmp_path / "mine.py"))
    assert by_dict.cells == by_toml.cells == by_python.cells
    assert mnistlab.load_config("smoke").name == "smoke"


def test_plan_takes_whatever_is_a_study_and_writes_nothing(places, tmp_path):
    study = mnistlab.load_config(CONFIG)
    for source in (study, CONFIG, "smoke"):
        assert mnistlab.plan(source, places=places).to_do > 0
    assert mnistlab.plan(study, seeds=5, places=places).networks == 5
    assert mnistlab.plan(study, workers=1, places=places).workers == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "said"), [
    ({"workers": 0}, "--workers 0: "),
    ({"workers": -3}, "--workers -3: "),
    ({"engine": "cohort"}, "--engine cohort: "),
    ({"seeds": 0}, "--seeds 0: "),
    ({"max_runs": 0}, "--max-runs 1 allows them"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_bad_argument_is_refused_before_anything_is_written(places, tmp_path, verb, arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        getattr(mnistlab, verb)(CONFIG, places=places, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_fault_keeps_the_field_for_whoever_knows_its_flag(places):
    config = {**CONFIG, "data": {"batch_size": 2000}}
    with pytest.raises(InvalidFieldError, match=r'"1x8 relu, digits, sklearn, batch 2000, 2 epochs" has only 1,386'):
        mnistlab.plan(config, places=places)


def test_data_that_cannot_be_had_stop_a_run_before_a_store_is_made(places, tmp_path):
    with pytest.raises(DataError, match="network: not tried, offline"):
        mnistlab.run("smoke", places=places)
    assert not list(tmp_path.iterdir())


def test_readers_find_nothing_where_nothing_was_run(places, tmp_path):
    assert mnistlab.status(places=places) == mnistlab.status("lab", places=places) == []
    assert mnistlab.results(places=places).rows.empty
    assert mnistlab.results("lab", places=places).rows.empty
    with pytest.raises(ConfigurationError, match="run abcd"):
        mnistlab.show("abcd", places=places)
    with pytest.raises(ConfigurationError, match=r"nothing has been run yet \(mnistlab run lab\)"):
        mnistlab.report("lab", places=places)
    with pytest.raises(ConfigurationError, match=r"did you mean lab\?"):
        mnistlab.results("labb", places=places)
    assert not list(tmp_path.iterdir())


def test_a_store_may_be_named_by_text_or_path(tmp_path):
    for path in (tmp_path / "none.sqlite", str(tmp_path / "none.sqlite")):
        store = mnistlab.open_store(path)
        assert isinstance(store, Store)
        assert (len(store.runs()), len(store.epochs())) == (0, 0)
    with pytest.raises(StoreError, match="a file is needed"):
        mnistlab.open_store(tmp_path)


def test_digits_need_no_fetching(places):
    assert mnistlab.data_fetch("digits", places=places).source == "scikit-learn"
    assert mnistlab.data_show("digits", places=places).images.shape == (1797, 8, 8)


def test_a_device_is_cpu_or_gpu(places):
    with pytest.raises(ConfigurationError, match="--device tpu: one of cpu, gpu"):
        mnistlab.run(CONFIG, device="tpu", places=places)


def test_a_network_beyond_this_machines_memory_is_refused(places):
    with pytest.raises(ConfigurationError, match=r"about 550\.\d GB of memory, .* GB are free here"):
        mnistlab.plan({"model": {"node_counts": [16384], "layer_depths": [64]}}, places=places)


def test_a_cache_that_cannot_be_written_is_a_fault_of_the_machine(places, tmp_path):
    (tmp_path / "raw").write_text("in the way")
    with pytest.raises((MachineError, DataError)):
        mnistlab.data_fetch("mnist", places=replace(places, data_dir=tmp_path / "raw"))


@pytest.mark.slow
def test_a_study_of_features_computes_once_and_trains_as_without_what_is_kept(tmp_path):
    (tmp_path / "mine.py").write_text(f"""
import sys
import mnistlab
from mnistlab.datasets import catalog
from mnistlab.engines.programs import Program
from mnistlab.engines.sklearn_engine import SklearnEngine
from mnistlab.instruments.environment import describe
from mnistlab.places import Places
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.preprocessing import prepare

if __name__ == "__main__":
    features = [["scale"], ["deskew", "scale"], ["hog"], ["deskew", "standardize"], ["hog", "pca:9"]]
    study, told = mnistlab.load_config({CONFIG} | {{"features": features}}), []
    assert mnistlab.run(study, notify=told.append).done == 5
    assert [line.split(" ")[0] for line in told] == ["deskew:", "deskew:", "hog:", "hog:"], told
    before = {{path: path.stat().st_mtime_ns for path in Places.find().processed.iterdir()}}
    assert len(before) == 4
    again = mnistlab.run(study, notify=told.append, fresh=True)
    assert (again.done, len(told)) == (5, 4)
    assert before == {{path: path.stat().st_mtime_ns for path in Places.find().processed.iterdir()}}
    digits, here, store = catalog.load("digits", None), describe(device="cpu", threads=1, data_sha256=""), None
    inline = lambda run: prepare(digits, run.cell.split, run.cell.features, run.seed)
    for id_ in mnistlab.open_store("results/mnistlab.sqlite").runs()["run"]:
        detail = mnistlab.show(id_)
        [alone] = SklearnEngine().train([detail.run], Program("reference"), inline, here, lambda *_: True)
        assert alone.weights_sha256 == detail.result.weights_sha256
        cost = detail.result.ledger.features_seconds
        assert (cost > 0) == bool(detail.run.cell.features.image_steps), detail
""")
    done = python("mine.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def own(tmp_path):
    """A user's npz of 60 images of two classes, in a folder `mine`."""
    (tmp_path / "mine").mkdir()
    images = np.random.default_rng(5).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine" / "spots.npz", images=images, labels=np.arange(60) % 2)
    return tmp_path / "mine" / "spots.npz"


def test_a_plan_reads_a_user_s_data_wherever_their_path_is_said_and_keeps_nothing(places, own):
    (own.parent / "file.toml").write_text(f'''
        dataset = ["spots.npz", "./spots.npz", "{own}", "digits"]
        [model]
        node_counts = [8]
    ''')
    before = sorted(own.parent.parent.rglob("*"))
    planned = mnistlab.plan(own.parent / "file.toml", places=places)
    name = planned.cells[0].cell.dataset
    assert name.startswith("spots-")
    assert [one.cell.dataset for one in planned.cells] == [name, "digits"]  # one content, one cell
    assert (planned.cells[0].size.n_features, planned.cells[0].size.n_classes) == (16, 2)
    assert (planned.cells[0].size.n_train + planned.cells[0].size.n_validation, planned.cells[0].size.n_test) == (52, 8)
    assert mnistlab.plan({**CONFIG, "dataset": str(own)}, places=places).cells[0].cell.dataset == name
    assert mnistlab.plan({**CONFIG, "dataset": "mine/spots.npz"}, places=places).cells[0].cell.dataset == name
    assert sorted(own.parent.parent.rglob("*")) == before


def test_fetching_a_path_keeps_it_under_a_name_that_then_needs_no_path(places, own):
    fetched = mnistlab.data_fetch(own, places=places)
    assert (fetched.source, mnistlab.data_fetch(str(own), places=places)) == (str(own), fetched)
    shown = mnistlab.data_show(own, places=places)
    own.unlink()
    again = mnistlab.data_show(fetched.dataset, places=places)
    assert (again.info, again.sha256) == (shown.info, shown.sha256)
    assert mnistlab.data_fetch(fetched.dataset, places=places).source == "cache"
    assert mnistlab.plan({**CONFIG, "dataset": fetched.dataset}, places=places).to_do == 1


def test_a_sheet_of_another_kind_is_refused(places, tmp_path):
    with pytest.raises(ConfigurationError, match=r"--sheet sheet.gif: a file .png or .svg is needed"):
        mnistlab.lab.data_sheet(mnistlab.data_show("digits", places=places), Path("sheet.gif"))
    (tmp_path / "mine").write_text("in the way")
    with pytest.raises(MachineError, match=r"mine/sheet.svg: cannot be written"):
        mnistlab.lab.data_sheet(mnistlab.data_show("digits", places=places), tmp_path / "mine" / "sheet.svg")


def test_seeds_of_tune_are_refused_in_a_study_that_was_made_in_python(places):
    study = replace(mnistlab.load_config(CONFIG), seeds=(0, SEARCH_SEEDS))
    for verb in (mnistlab.plan, mnistlab.run):
        with pytest.raises(ConfigurationError, match="belong to `mnistlab tune`"):
            verb(study, places=places)
