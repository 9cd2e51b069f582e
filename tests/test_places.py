"""Where things lie: flags over environment over mnistlab.toml over defaults."""

import os
from pathlib import Path

import pytest

from mnistlab.errors import ConfigurationError
from mnistlab.places import Places, Setting, settings, write_file


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory and no setting at all."""
    for name in ("HOME", "STORE", "DATA_DIR", "OFFLINE"):
        monkeypatch.delenv(f"MNISTLAB_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sources(**flags):
    return {setting.name: (setting.value, setting.source) for setting in settings(**flags)}


def test_without_any_setting_everything_lies_under_the_current_directory():
    assert Places.find() == Places(Path(), Path("results/mnistlab.sqlite"), Path("data/raw"), False)
    assert {setting.source for setting in settings()} == {"default"}


def test_flags_win_over_the_environment_and_it_over_the_file(here, monkeypatch):
    (here / "mnistlab.toml").write_text('home = "of file"\nstore = "file.sqlite"\ndata_dir = "/file"\noffline = true\n')
    assert settings()[0] == Setting("home", "of file", "file")
    assert Places.find() == Places(Path("of file"), Path("file.sqlite"), Path("/file"), True)
    monkeypatch.setenv("MNISTLAB_STORE", "variable.sqlite")
    monkeypatch.setenv("MNISTLAB_HOME", "of variable")
    assert sources() == {
        "home": ("of variable", "environment"), "store": ("variable.sqlite", "environment"),
        "data_dir": ("/file", "file"), "offline": (True, "file"),
    }  # fmt: skip
    assert sources(home=Path("of flag"), offline=True) == {
        "home": ("of flag", "flag"), "store": ("variable.sqlite", "environment"), "data_dir": ("/file", "file"),
        "offline": (True, "flag"),
    }  # fmt: skip


def test_the_other_places_follow_home_wherever_it_comes_from(here):
    (here / "mnistlab.toml").write_text('home = "lab"\n')
    assert sources()["store"] == ("lab/results/mnistlab.sqlite", "default")
    assert Places.find().data_dir == Path("lab/data/raw")
    assert Places.find().reports == Path("lab/reports")


@pytest.mark.parametrize(("variable", "offline", "source"), [
    ("1", True, "environment"), ("yes", True, "environment"), ("0", False, "environment"), ("", True, "file"),
])  # fmt: skip
def test_offline_is_off_for_0_and_an_empty_variable_counts_as_unset(here, monkeypatch, variable, offline, source):
    (here / "mnistlab.toml").write_text("offline = true\n")
    monkeypatch.setenv("MNISTLAB_OFFLINE", variable)
    assert sources()["offline"] == (offline, source)
    assert Places.find().offline is offline


@pytest.mark.parametrize(("content", "words"), [
    ('hoem = "x"', "mnistlab.toml: hoem: unknown key (did you mean home?)"),
    ("[places]", "mnistlab.toml: places: unknown key (known: home, store, data_dir, offline)"),
    ("home = 3", "mnistlab.toml: home: a path in quotes is needed"),
    ('home = ""', "mnistlab.toml: home: a path in quotes is needed"),
    ('store = ["a"]', "mnistlab.toml: store: a path in quotes is needed"),
    ('offline = "yes"', "mnistlab.toml: offline: true or false is needed"),
    ("offline = 1", "mnistlab.toml: offline: true or false is needed"),
    ("home =", "mnistlab.toml: not valid TOML"),
    (b"home = '\xff'", "mnistlab.toml: not UTF-8 text"),
])  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_by_its_key(here, content, words):
    (here / "mnistlab.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as fault:
        Places.find()
    assert str(fault.value).startswith(words)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(here, make):
    make(here / "mnistlab.toml")
    with pytest.raises(ConfigurationError, match=r"mnistlab\.toml: a regular file is needed"):
        Places.find()


def test_a_file_is_on_the_disk_before_its_name_and_then_its_folder(here, monkeypatch):
    path, synced, fsync = here / "new" / "file", [], os.fsync

    def note(descriptor):
        synced.append((os.fstat(descriptor).st_ino, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_file(path, b"content")
    assert synced == [(path.stat().st_ino, False), (path.parent.stat().st_ino, True)]


def test_a_file_is_written_where_folders_cannot_be_opened(here, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    write_file(here / "file", b"content")
    assert [path.read_bytes() for path in here.iterdir()] == [b"content"]
