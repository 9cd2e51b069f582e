"""`bench`, `doctor`, `config show`, `rescue`, completion, `run --follow`; and machines that lack some part."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from mnistlab.cli.app import app
from mnistlab.store.tables import open_store

STORES = Path(__file__).parents[1] / "store" / "stores"


def by_name(answer, key, *values):
    return {row["name"]: tuple(row[value] for value in values) for row in json.loads(answer.out)[key]}


# doctor


def test_doctor_tells_every_check_and_ends_with_5_where_one_fails(mnistlab, home):
    answer = mnistlab("doctor", "--json")
    checks = by_name(answer, "checks", "status", "remedy")
    assert (answer.status, answer.out.count("\n"), json.loads(answer.out)["schema_version"]) == (0, 1, 1)
    assert {"python", "sqlite", "packages", "keras backend", "jax devices", "memory", "store", "npm"} <= set(checks)
    assert checks["data mnist"] == ("warn", "mnistlab data fetch mnist")
    assert list(home.iterdir()) == []
    (home / "results").write_text("in the way")
    answer = mnistlab("doctor", "--json")
    assert (answer.status, answer.err) == (5, "")
    assert by_name(answer, "checks", "status", "remedy")["folder store"] == ("fail", "--store FILE")


def test_doctor_prints_what_mends_below_what_is_wrong_and_no_colours_into_a_pipe(process, home):
    said = process("doctor", cwd=home).out
    lines = said.splitlines()
    at = lines.index("warn  data mnist: not fetched yet")
    assert lines[at + 1] == "      → mnistlab data fetch mnist"
    assert "\x1b" not in said


# bench


def test_bench_without_the_digits_or_the_device_is_one_line(mnistlab, home):
    without_data, no_device = mnistlab("bench", "--quick"), mnistlab("bench", "--device", "abacus")
    assert (without_data.status, without_data.out, without_data.err.count("\n")) == (3, "", 1)
    assert (no_device.status, no_device.err) == (2, "mnistlab: error: --device abacus: one of cpu, gpu is needed\n")


def test_bench_on_another_backend_is_refused(process, home):
    answer = process("bench", cwd=home, KERAS_BACKEND="torch")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == ("mnistlab: error: KERAS_BACKEND=torch: only on JAX can all engines be compared "
                          "(unset it)\n")  # fmt: skip


# config show


def test_config_show_says_where_each_setting_came_from(mnistlab, home, monkeypatch):
    (home / "mnistlab.toml").write_text('data_dir = "digits"\nhome = "lab"\n')
    monkeypatch.setenv("MNISTLAB_HOME", "other")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    shown = by_name(mnistlab("config", "show", "--store", "mine.sqlite", "--json"), "settings", "value", "source")
    assert shown.items() >= {
        "home": ("other", "environment"), "store": ("mine.sqlite", "flag"), "data_dir": ("digits", "file"),
        "offline": (True, "environment"), "KERAS_BACKEND": ("jax", "environment"), "NO_COLOR": (None, "default"),
    }.items()  # fmt: skip
    lines = mnistlab("config", "show", "--offline").out.splitlines()
    assert lines[:4] == ["home: other (environment)", "store: other/results/mnistlab.sqlite (default)",
                         "data_dir: digits (file)", "offline: true (flag)"]  # fmt: skip


@pytest.mark.parametrize("line", ["config show", "doctor", "status", "results", "plan smoke", "data show digits"])
def test_every_command_obeys_the_file_and_refuses_it_when_it_makes_no_sense(mnistlab, home, line):
    (home / "mnistlab.toml").write_text('stroe = "x"\n')
    answer = mnistlab(*line.split())
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == "mnistlab: error: mnistlab.toml: stroe: unknown key (did you mean store?)\n"


# Older and damaged stores


def test_run_brings_an_older_store_to_the_present_format_and_says_where_the_copy_is(mnistlab, home, tiny):
    shutil.copy(STORES / "schema-1.sqlite", home / "lab.sqlite")
    tiny.rename(home / "old.toml")
    before = mnistlab("results", "old", "--store", "lab.sqlite", "--json").out
    answer = mnistlab("run", "old.toml", "--store", "lab.sqlite", "--json")
    assert answer.document["to_do"] == 0
    assert answer.err.splitlines()[0] == ("lab.sqlite: format 1 is now 4; as it was, it is kept in lab.sqlite.format-1")
    copy = mnistlab("results", "old", "--store", "lab.sqlite.format-1", "--json")
    assert copy.out == before
    assert {path.name for path in home.iterdir()} == {
        "lab.sqlite",
        "lab.sqlite.format-1",
        "lab.sqlite.lock",
        "old.toml",
    }


@pytest.fixture
def damaged(home):
    """A store whose last page is noise."""
    content = (STORES / "schema-4.sqlite").read_bytes()
    (home / "bad.sqlite").write_bytes(content[:-4096] + random.Random(4).randbytes(4096))
    return home / "bad.sqlite"


def test_rescue_says_what_was_saved_and_what_was_lost(mnistlab, home, damaged):
    found = mnistlab("rescue", "bad.sqlite", "new.sqlite", "--json").document
    tables = {row["table"]: (row["saved"], row["lost"]) for row in found["tables"]}
    assert (found["damaged"], found["store"]) == ("bad.sqlite", "new.sqlite")
    assert (found["finished"], found["planned_again"]) == (4, 2)
    assert (tables["run"], tables["prediction"]) == ((6, 0), (8, 4))
    assert len(open_store(home / "new.sqlite").finished()) == 4
    text = mnistlab("rescue", "bad.sqlite", "text.sqlite").out
    assert text.splitlines()[0].split() == ["table", "saved", "lost"]
    assert "4 finished runs saved with everything that belongs to them; 2 that lack something are planned again" in text


@pytest.mark.parametrize(("words", "status", "why"), [
    (("bad.sqlite", "bad.sqlite"), 2, "bad.sqlite: it exists, and is not overwritten"),
    (("none.sqlite", "new.sqlite"), 4, "none.sqlite: no such file"),
    (("noise", "new.sqlite"), 4, "noise: nothing of it could be read (restore a copy)"),
    (("bad.sqlite", "no/folder/new.sqlite"), 4, "no/folder/new.sqlite: no such file or directory"),
    (("bad.sqlite",), 2, "NEW: a value is needed"),
])  # fmt: skip
def test_what_cannot_be_rescued_is_one_line_and_leaves_nothing(mnistlab, home, damaged, words, status, why):
    (home / "noise").write_bytes(random.Random(5).randbytes(50_000))
    answer = mnistlab("rescue", *words)
    assert (answer.status, answer.out) == (status, "")
    assert answer.err.startswith(f"mnistlab: error: {why}")
    assert {path.name for path in home.iterdir()} == {"bad.sqlite", "noise"}


@pytest.mark.slow
def test_run_goes_on_with_a_rescued_store(mnistlab, home, finished, tiny):
    content = bytearray(finished.store.read_bytes())
    for page in range(len(content) // 4096 - 1, 0, -1):  # until a run of the small study is hit
        content[page * 4096 : page * 4096 + 4096] = random.Random(page).randbytes(4096)
        (home / "bad.sqlite").write_bytes(content)
        (home / "new.sqlite").unlink(missing_ok=True)
        if mnistlab("rescue", "bad.sqlite", "new.sqlite", "--json").document["planned_again"]:
            break
    summary = mnistlab("run", "tiny.toml", "--store", "new.sqlite", "--json").document
    assert (summary["done"], summary["to_do"]) == (2, 0)
    for store in (finished.store, home / "new.sqlite"):
        runs = open_store(store).runs("tiny").set_index("run")["weights_sha256"].to_dict()
        assert len(runs) == 2
    assert runs == open_store(finished.store).runs("tiny").set_index("run")["weights_sha256"].to_dict()


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell_knows_commands_and_flags(mnistlab, home, shell):
    assert mnistlab("--install-completion", "--shell", shell, "--to", "script").status == 0
    script = (home / "script").read_text()
    for word in (*(name for name in app if name[0] != "-"), "fetch", "budget", "offline", "early-stopping"):
        assert word in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", home / "script"], check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(("typed", "offered"), [
    ("mnistlab re", {"report", "rescue", "results"}), ("mnistlab data fe", {"fetch"}),
    ("mnistlab run --bud", {"--budget"}), ("mnistlab config ", {"show"}),
])  # fmt: skip
def test_bash_completes_what_is_typed(mnistlab, home, typed, offered):
    mnistlab("--install-completion", "--shell", "bash", "--to", "script")
    words = typed.split(" ")
    code = f"""source ./script; COMP_WORDS=({" ".join(word or "''" for word in words)}); COMP_CWORD={len(words) - 1}
               _mnistlab; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


def test_installing_completion_writes_a_script_and_tells_the_start_up_file(process, home):
    answer = process("--install-completion", "--shell", "bash", cwd=home, HOME=str(home))
    assert (answer.status, answer.err) == (0, "")
    assert "bash-completion/completions/mnistlab" in (home / ".bashrc").read_text()
    assert "_mnistlab" in (home / ".local/share/bash-completion/completions/mnistlab").read_text()


def test_a_shell_that_is_not_known_or_a_file_that_cannot_be_written_is_told(mnistlab, home):
    answer = mnistlab("--install-completion", "--shell", "bsh")
    assert (answer.status, answer.err) == (2, "mnistlab: error: --shell bsh: no such shell (did you mean bash?)\n")
    (home / "file").write_text("")
    answer = mnistlab("--install-completion", "--shell", "bash", "--to", "file/script")
    assert (answer.status, answer.out) == (5, "")
    assert "file" in answer.err
    assert "say --to FILE" in answer.err


# run --follow


@pytest.mark.slow
def test_follow_tells_what_happens_a_document_a_line(process, home, tiny):
    answer = process("run", "tiny.toml", "--follow", "--workers", 1, cwd=home)
    first, *events, last = map(json.loads, answer.out.splitlines())
    assert answer.status == 0
    assert (first["schema_version"], first["event"], first["study"], first["to_do"]) == (1, "study", "tiny", 2)
    kinds = [event["event"] for event in events]
    assert [kind for kind in kinds if kind not in ("progress", "measurement")] == 2 * [
        "started", "epoch", "epoch", "epoch", "result",
    ]  # fmt: skip
    assert {"progress", "measurement"} <= set(kinds)
    results = [event for event in events if event["event"] == "result"]
    runs = open_store(home / "results" / "mnistlab.sqlite").runs().set_index("run")
    for event in results:
        row = runs.loc[event["run"]]
        assert (event["seed"], event["status"], event["test_accuracy"]) == (row["seed"], "done", row["test_accuracy"])
        assert event["seconds"] == pytest.approx(row["end_to_end_seconds"])
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3, 1, 2, 3]
    again = process("run", "tiny.toml", "--json", cwd=home).document
    assert last.pop("event") == "end"
    assert {**last, "seconds": 0} == {**again, "seconds": 0}


@pytest.mark.slow
def test_a_follower_that_goes_away_stops_the_run_and_harms_nothing(process, home, tiny):
    line = ["run", tiny.name, "--seeds", "3"]
    words = [sys.executable, "-m", "mnistlab", *line, "--follow", "--workers", "1"]
    with subprocess.Popen(words, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        while json.loads(run.stdout.readline())["event"] != "result":
            pass
        run.stdout.close()
        assert run.wait(60) == 0
        assert not [line for line in run.stderr if not line.startswith("tiny: ")]
    store = home / "results" / "mnistlab.sqlite"
    assert 1 <= len(open_store(store).finished()) < 3
    assert process(*line, "--json", cwd=home).document["done"] == 3


# Machines on which a part is missing: in every process, workers too.

SITE = """
import os, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["BLOCKED"].split():
            raise ImportError(f"{name} is blocked")

def refuse(event, arguments):
    # Unix sockets, by which workers speak, have a text for an address.
    if event == "socket.getaddrinfo" or event == "socket.connect" and not isinstance(arguments[1], (str, bytes)):
        raise OSError("the network is blocked")

sys.meta_path.insert(0, Blocked())
if "network" in os.environ["BLOCKED"].split():
    sys.addaudithook(refuse)
"""
AGAIN = "python -m pip install --force-reinstall"
MISSING = {  # blocked, environment, the checks that name them: status and mend
    "extras": ("skimage onnx", {}, {
        "package scikit-image": ("warn", f"{AGAIN} 'scikit-image>="), "package onnx": ("warn", f"{AGAIN} 'onnx>="),
    }),
    "pillow": ("PIL", {}, {"package pillow": ("fail", f"{AGAIN} 'pillow>=")}),
    "network": ("network", {"PATH": "/nowhere", "MNISTLAB_OFFLINE": "0"}, {
        "data mnist": ("warn", "mnistlab data fetch"), "npm": ("warn", "install Node.js"),
    }),
    "home": ("", {"MNISTLAB_HOME": "a file", "MNISTLAB_STORE": "lab.sqlite"}, {"folder home": ("fail", "--home DIR")}),
}  # fmt: skip


@pytest.mark.ci
@pytest.mark.parametrize("part", MISSING)
def test_without_a_part_the_rest_works_and_doctor_names_the_mend(process, home, tiny, part):
    blocked, environment, named = MISSING[part]
    (home / "site").mkdir()
    (home / "site" / "sitecustomize.py").write_text(SITE)
    (home / "a file").write_text("")
    paths = os.pathsep.join(filter(None, [str(home / "site"), os.environ.get("PYTHONPATH", "")]))

    def call(*words):
        return process(*words, cwd=home, BLOCKED=blocked, PYTHONPATH=paths, **environment)

    assert call("plan", "lab", "--json").document["networks"] > 1000
    assert call("run", "tiny.toml", "--json").document["done"] == 2
    assert call("results", "tiny", "--json").document["rows"][0]["seeds"] == 2
    answer = call("doctor", "--json")
    found = by_name(answer, "checks", "status", "remedy")
    failed = any(status == "fail" for status, _ in named.values())
    assert (answer.status, answer.err) == (5 if failed else 0, "")
    for check, (status, remedy) in named.items():
        assert found[check][0] == status
        assert found[check][1].startswith(remedy)
    if part == "network":
        fetch = call("data", "fetch")
        assert (fetch.status, fetch.out) == (3, "")
        for word in ("train-images-idx3-ubyte.gz: no ", "npm: ", "by hand", "--dataset digits"):
            assert word in fetch.err


@pytest.mark.parametrize(("word", "offline"), [("1", True), ("0", False), ("no", False), ("True", True), ("", False)])
def test_offline_is_said_in_the_usual_words(mnistlab, home, monkeypatch, word, offline):
    monkeypatch.setenv("MNISTLAB_OFFLINE", word)
    settings = mnistlab("config", "show", "--json").document["settings"]
    assert next(one["value"] for one in settings if one["name"] == "offline") is offline


def test_offline_in_an_unknown_word_is_refused(mnistlab, home, monkeypatch):
    monkeypatch.setenv("MNISTLAB_OFFLINE", "maybe")
    answer = mnistlab("status")
    assert (answer.status, answer.err) == (2, "mnistlab: error: MNISTLAB_OFFLINE maybe: 1 or 0 is needed\n")


# What people see on a narrow terminal, without colours, or when nobody reads.


@pytest.mark.parametrize("line", ["doctor", "config show", "rescue bad.sqlite new.sqlite"])
def test_no_line_is_wider_than_the_terminal(mnistlab, home, damaged, monkeypatch, line):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("MNISTLAB_STORE", f"{'long ' * 30}.sqlite")
    lines = mnistlab(*line.split()).out.splitlines()
    assert len(lines) > 5
    assert max(map(cell_len, lines)) <= 40


COMMANDS = [
    "--help",
    "bench --help",
    "config show",
    "config --help",
    "rescue --help",
    "--install-completion --help",
    "status",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_pipe_gets_no_colours_unless_they_are_forced(process, home, line):
    assert "\x1b" not in process(*line.split(), cwd=home).out
    assert "\x1b" not in process(*line.split(), cwd=home, NO_COLOR="1", FORCE_COLOR="").out
    if line.endswith("--help"):
        assert "\x1b[" in process(*line.split(), cwd=home, FORCE_COLOR="1").out


@pytest.mark.parametrize("line", ["doctor", "config show --json", "rescue bad.sqlite new.sqlite"])
def test_a_reader_that_has_gone_is_no_fault(process, home, damaged, line):
    reader, writer = os.pipe()
    os.close(reader)
    answer = process(*line.split(), cwd=home, stdout=writer)
    os.close(writer)
    assert (answer.status, answer.err) == (0, "")
