"""Every check on a machine that has the fault it looks for, and on this one."""

import os
import shutil
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from mnistlab.datasets import user_files
from mnistlab.doctor import CHECKS, Check, examine
from mnistlab.instruments.resources import usable_cores
from mnistlab.places import Places
from mnistlab.store.writer import open_writer

STORES = Path(__file__).parent / "store" / "stores"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty home, and no settings of threads or backends."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "KERAS_BACKEND", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    return Places(home, home / "results" / "mnistlab.sqlite", home / "data" / "raw", offline=True)


def found(name, places):
    return {check.name: (check.status, check.remedy) for check in CHECKS[name](places)}


def test_a_check_that_is_not_ok_says_what_mends_it_and_nothing_is_left_behind(places, tmp_path):
    checks = examine(places)
    assert all(bool(check.remedy) == (check.status != "ok") for check in checks)
    assert len({check.name for check in checks}) == len(checks) > 15
    assert {check.status for check in checks if check.name.startswith("folder")} == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_breaks_hides_no_other(places):
    def broken(_places):
        raise RuntimeError("no such thing")
        yield

    first, *others = examine(places, {"cores": broken, "python": CHECKS["python"]})
    assert first == Check("cores", "fail", "could not be looked at: RuntimeError: no such thing", "make setup")
    assert {check.name: check.status for check in others} == {"python": "ok", "sqlite": "ok"}


def test_packages_are_held_against_what_is_asked_for_and_what_the_tests_have_seen(places, tmp_path, monkeypatch):
    (tmp_path / "mnistlab-9.dist-info").mkdir()
    (tmp_path / "mnistlab-9.dist-info" / "METADATA").write_text("""Metadata-Version: 2.1
Name: mnistlab
Version: 9
Requires-Dist: numpy>=99
Requires-Dist: scipy>=1
Requires-Dist: pandas<99
Requires-Dist: no-such-package>=1
Requires-Dist: no-such-extra>=2; extra == "more"
Requires-Dist: no-such-test>=3; extra == "test"
""")
    (tmp_path / "constraints.txt").write_text("# pins\npandas==0.1\nscipy==0.2 ; python_version < '3'\n")
    monkeypatch.syspath_prepend(tmp_path)
    looks = {
        "packages": partial(CHECKS["packages"], constraints=tmp_path / "constraints.txt"),
        "outside": partial(CHECKS["packages"], constraints=tmp_path / "none"),
        "extras": CHECKS["extras"],
    }
    found = {
        name: {c.name: (c.status, c.remedy) for c in examine(places, {name: look})} for name, look in looks.items()
    }
    faults = {
        "packages": ("ok", ""),
        "package numpy": ("warn", "python -m pip install 'numpy>=99'"),
        "package no-such-package": ("fail", "python -m pip install 'no-such-package>=1'"),
    }
    assert found == {
        "packages": {**faults, "package pandas": ("warn", "python -m pip install pandas==0.1")},
        "outside": faults,
        "extras": {"package no-such-extra": ("warn", "python -m pip install 'no-such-extra>=2'")},
    }


@pytest.mark.parametrize("backend", ["tensorflow", "tensorflw", "os"])
def test_a_backend_that_is_not_there_is_a_fault(places, monkeypatch, backend):
    assert found("keras backend", places) == {"keras backend": ("ok", "")}
    monkeypatch.setenv("KERAS_BACKEND", backend)
    assert found("keras backend", places) == {"keras backend": ("fail", "unset KERAS_BACKEND")}


@pytest.mark.parametrize("threads", ["0", "-1", "", "many", str(usable_cores() + 1)])
def test_threads_that_the_cores_cannot_give_are_told(places, monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert found("cores", places) == {"cores": ("ok", ""), "threads": ("warn", "unset OMP_NUM_THREADS")}


def test_jax_that_does_not_start_is_told_with_its_last_words(places, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    (check,) = CHECKS["jax devices"](places)
    assert (check.status, check.remedy) == ("warn", "export JAX_PLATFORMS=cpu")
    assert "nonsense" in check.detail


def test_jax_that_computes_otherwise_than_numpy_is_to_be_replaced(places, tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("""
from types import SimpleNamespace
__version__ = "0"
devices = lambda: [SimpleNamespace(platform="cpu", device_kind="cpu")]
""")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    remedy = f"python -m pip install 'jax!={metadata.version('jax')}'"
    assert found("jax devices", places) == {"jax devices": ("ok", ""), "jax arithmetic": ("fail", remedy)}


def test_a_folder_of_fonts_that_cannot_be_written_is_told(places, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", "/dev/null/fonts")
    assert found("fonts", places) == {"fonts": ("warn", "export MPLCONFIGDIR=DIR")}


def test_a_home_that_is_no_folder_is_named_in_every_place_below_it(places, tmp_path):
    (tmp_path / "home").write_text("in the way")
    assert found("folders", places) == {
        "folder home": ("fail", "--home DIR"), "folder store": ("fail", "--store FILE"),
        "folder data": ("fail", "--data-dir DIR"), "folder processed": ("fail", "--home DIR"),
        "folder models": ("fail", "--home DIR"), "folder reports": ("fail", "--home DIR"),
    }  # fmt: skip


def told_of_store(places):
    (check,) = CHECKS["store"](places)
    return check


def test_a_store_is_told_with_its_format_and_who_writes_to_it(places):
    assert told_of_store(places).detail.endswith("nothing has been run yet")
    places.store.parent.mkdir(parents=True)
    places.store.touch()
    assert told_of_store(places).detail == f"{places.store}: format 4"  # as which it reads
    shutil.copy(STORES / "schema-1.sqlite", places.store)
    assert told_of_store(places).detail == f"{places.store}: format 1, which the next run brings to 4"
    with open_writer(places.store, holder="mnistlab run lab"):
        check = told_of_store(places)
    assert check.status == "ok"
    assert check.detail == f"{places.store}: format 4; process {os.getpid()}, mnistlab run lab, is writing to it"


@pytest.mark.parametrize("page", [0, 5, 22])
def test_a_damaged_store_is_told_with_the_rescue(places, page):
    places.store.parent.mkdir(parents=True)
    content = bytearray((STORES / "schema-4.sqlite").read_bytes())
    content[4096 * page + 100 : 4096 * page + 4096] = b"\xa5" * 3996
    places.store.write_bytes(content)
    check = told_of_store(places)
    assert (check.status, check.remedy) == ("fail", f"restore a copy, or: mnistlab rescue {places.store} NEW")


def test_data_are_missing_or_damaged(places):
    assert found("data", places)["data mnist"] == ("warn", "mnistlab data fetch mnist")
    (places.data_dir / "mnist").mkdir(parents=True)
    (places.data_dir / "mnist" / "train-images-idx3-ubyte").write_bytes(b"nonsense")
    assert found("data", places)["data mnist"] == ("fail", "mnistlab data fetch mnist")


def test_a_user_s_own_data_are_verified_too(places, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3), dtype=np.uint8)
    np.savez(tmp_path / "spots.npz", images=images, labels=np.arange(20) % 2)
    user_files.keep(dataset := user_files.read(tmp_path / "spots.npz"), places.data_dir)
    name = f"data {dataset.info.name}"
    assert found("data", places) == {"data mnist": ("warn", "mnistlab data fetch mnist"), name: ("ok", "")}
    again = "mnistlab data fetch PATH, the file or folder it came from"
    for file in ("t10k-labels-idx1-ubyte", "dataset.json"):
        (places.data_dir / dataset.info.name / file).write_bytes(b"nonsense")
        assert found("data", places)[name] == ("fail", again)


def test_without_npm_one_source_is_missing(places, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert found("npm", places) == {"npm": ("warn", "install Node.js, which brings npm")}


def test_memory_and_disk_say_what_is_free(places):
    assert set(found("room", replace(places, home=Path("/")))) == {"memory", "disk"}
