"""What may go wrong with the store, done to a real one. Run as a program, it is the writer that gets killed."""

import itertools
import os
import random
import resource
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mnistlab.errors import MachineError, MnistlabError, StoreError
from mnistlab.plan import CellSize
from mnistlab.records import Environment, EpochRecord, Evaluation, Measurement, PartLabels, RunResult
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store.connection import writer_lives
from mnistlab.store.schema import SCHEMA_VERSION
from mnistlab.store.tables import open_store
from mnistlab.store.writer import open_writer
from mnistlab.study import Study

ENVIRONMENT = Environment("3.11", "Linux", "", 2, 1, "cpu", (), (), "", "0.1.0")


def small_study(n_cells, n_seeds):
    cells = tuple(Cell(Architecture((width,))) for width in range(1, n_cells + 1))
    return Study("small", cells, tuple(range(n_seeds)))


def runs_of(study):
    return [Run(cell, seed) for seed in study.seeds for cell in study.cells]


def register(writer, study):
    size = CellSize(784, 10, 54, 6, 21, 25_450, 25_450, 2_300_000, 2)
    writer.register_study(study, {cell.id: size for cell in study.cells}, runs_of(study))


def result_of(run, n=3_000):
    """A made-up result that depends on the run alone."""
    numbers = np.random.default_rng([int(run.id[:8], 16)])
    evaluations = []
    for part in ("test", "validation"):
        digits = PartLabels("mnist", part, 10, np.arange(n, dtype=np.int32), np.arange(n).astype(np.uint8) % 10)
        predicted = np.where(numbers.random(n) < 0.9, digits.labels, 0).astype(np.uint8)
        bins = (np.full(15, n // 15), numbers.random(15), numbers.random(15))
        evaluations.append(Evaluation(digits, predicted, *numbers.random(7).tolist(), *bins))
    epochs = tuple(EpochRecord(number, *numbers.random(4).tolist()) for number in range(1, 11))
    test, validation = evaluations
    return RunResult(
        run, "done", "made up", ENVIRONMENT, epochs_done=10, epochs=epochs, test=test, validation=validation
    )


def planned_store(path, study):
    with open_writer(path, holder="test") as writer:
        register(writer, study)
        writer.start(run.id for run in runs_of(study))
    return path


def check_legal(path):
    """Every run is wholly there or not at all; ids of those that are."""
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert shell.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = shell.execute(
            """SELECT id, status, engine, finished_at, (SELECT count(*) FROM epoch WHERE run = id),
                      (SELECT count(*) FROM prediction WHERE run = id) FROM run"""
        ).fetchall()
    for _, status, engine, finished_at, epochs, parts in rows:
        done = status == "done"
        assert status in ("planned", "running", "done")
        assert (engine is not None, finished_at is not None, epochs, parts) == (done, done, 10 * done, 2 * done)
    return {id_ for id_, status, *_ in rows if status == "done"}


def dump(path):
    """All rows of all tables but for times and counts of attempts."""
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("UPDATE run SET started_at = NULL, finished_at = NULL, attempt = 0")
        shell.execute("UPDATE study SET last_run = 1")
        return sorted(shell.iterdump())


def test_a_commit_stopped_at_any_instruction_leaves_all_or_nothing(tmp_path):
    study = small_study(1, 2)
    first, second = map(result_of, runs_of(study), (200, 200))
    path = planned_store(tmp_path / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer:
        writer.commit(first)
        for stop_at in itertools.count(1):
            instructions = itertools.count(1)
            writer.connection.set_progress_handler(lambda: next(instructions) == stop_at, 1)  # noqa: B023
            try:
                writer.commit(second)
            except sqlite3.OperationalError:
                writer.connection.set_progress_handler(None, 1)
                assert not writer.connection.in_transaction
                if stop_at % 25 == 0:
                    assert check_legal(path) == {first.run.id}
            else:
                break
    assert stop_at > 200  # so many places to stop at were tried
    assert check_legal(path) == {first.run.id, second.run.id}


@contextmanager
def files_no_larger_than(n_bytes):
    """The kernel refuses every write behind that many bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_refused_at_any_place_of_the_files_leaves_all_or_nothing(tmp_path):
    study = small_study(1, 2)
    first, second = map(result_of, runs_of(study))
    original = planned_store(tmp_path / "original.sqlite", study)
    with open_writer(original, holder="test") as writer:
        writer.commit(first)
    refused = 0
    for limit in range(0, 2 * original.stat().st_size, 4096):
        path = Path(shutil.copy(original, tmp_path / "copy.sqlite"))
        with open_writer(path, holder="test") as writer:
            with files_no_larger_than(limit):
                fault = refusal(lambda: writer.commit(second))
            assert check_legal(path) == {first.run.id} | (set() if fault else {second.run.id})
            assert fault is None or (fault.exit_status == 5 and "\n" not in str(fault))
            refused += fault is not None
            writer.commit(second)  # there is room again
        assert check_legal(path) == {first.run.id, second.run.id}
    assert refused > 10


def refusal(action):
    """The machine's fault that ends it, or None."""
    try:
        action()
    except MachineError as fault:
        return fault
    return None


def test_a_full_database_is_the_machine_s_fault_and_loses_nothing(tmp_path):
    study = small_study(1, 2)
    first, second = map(result_of, runs_of(study))
    path = planned_store(tmp_path / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer:
        writer.commit(first)
        (pages,) = writer.connection.execute("PRAGMA page_count").fetchone()
        writer.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(MachineError, match="disk is full"):
            writer.commit(second)
    assert check_legal(path) == {first.run.id}


@contextmanager
def writers(path):
    """A process that forks a writer for each line it is given, so that imports are paid for once."""
    command = [sys.executable, __file__, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def new_writer():
            print("go", file=server.stdin, flush=True)
            return int(server.stdout.readline()), server.stdout

        yield new_writer
        server.stdin.close()


# A store of the first format, brought to the present one by processes that the kernel ends at their n-th byte.

OLD = Path(__file__).parents[1] / "store" / "stores" / "schema-1.sqlite"


def migrate_and_die(path):
    for line in sys.stdin:
        if (writer := os.fork()) == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(line), resource.RLIM_INFINITY))
            open_writer(path, holder="the process to be killed").close()
            os._exit(0)
        _, status = os.waitpid(writer, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def contents(path):
    with closing(sqlite3.connect(path)) as shell:
        return list(shell.iterdump())


def test_a_migration_killed_at_any_place_of_the_files_loses_nothing_and_is_done_by_the_next(tmp_path):
    path, size = tmp_path / "lab.sqlite", OLD.stat().st_size
    before, ends = open_store(OLD).runs(bits=True), []
    command = [sys.executable, __file__, str(path), "migrate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        for limit in range(0, size + 32768, 2048):
            for file in tmp_path.iterdir():
                file.unlink()
            shutil.copy(OLD, path)
            print(limit, file=server.stdin, flush=True)
            ends.append(int(server.stdout.readline()))
            assert open_store(path).runs(bits=True).astype(str).equals(before.astype(str))
            open_writer(path, holder="test").close()
            assert open_store(path).runs(bits=True).astype(str).equals(before.astype(str))
            copies = list(tmp_path.glob("lab.sqlite.format-1*"))  # half of one would have another name
            assert copies
            assert all(contents(copy) == contents(OLD) for copy in copies)
        server.stdin.close()
    assert set(ends) == {-signal.SIGXFSZ, 0}
    assert sorted(ends) == ends  # killed at first, and with more room not any more


def test_a_migration_that_finds_no_room_anywhere_of_the_files_changes_nothing(tmp_path):
    path, before, refused = Path(shutil.copy(OLD, tmp_path / "lab.sqlite")), contents(OLD), 0
    for limit in range(0, OLD.stat().st_size, 8192):
        with files_no_larger_than(limit):
            refused += refusal(lambda: open_writer(path, holder="test").close()) is not None
        assert contents(path) == before
    open_writer(path, holder="test").close()
    assert refused == len(range(0, OLD.stat().st_size, 8192))
    assert len(open_store(path).finished()) == 6


def serve(path):
    for _ in sys.stdin:
        if (writer := os.fork()) == 0:
            print(os.getpid(), flush=True)  # noqa: T201
            write_until_killed(path)
            signal.alarm(60)  # it is there to be killed, however quick it was
            signal.pause()
        os.waitpid(writer, 0)
        print("gone", flush=True)  # noqa: T201


def write_until_killed(path):
    """Commit what is not done yet, run by run, telling each one that is."""
    study = small_study(*SIZE_OF_KILLED)
    with open_writer(path, holder="the process to be killed") as writer:
        register(writer, study)
        done = open_store(path).finished()
        for run in runs_of(study):
            if run.id not in done:
                writer.start([run.id])
                writer.commit(result_of(run))
                os.write(1, f"{run.id}\n".encode())  # in one piece: half a line would hide the server's next word


SIZE_OF_KILLED = (30, 20)


@pytest.mark.slow
def test_thirty_kills_lose_no_committed_run_and_the_rest_goes_on_at_once(tmp_path):
    moments = random.Random(30)
    path, study = tmp_path / "killed.sqlite", small_study(*SIZE_OF_KILLED)
    told = set()
    with writers(path) as new_writer:
        for _ in range(30):
            pid, lines = new_writer()
            for _ in range(moments.randrange(6)):
                line = lines.readline()
                assert line != "gone\n", "the writer ended before it was killed"
                told.add(line.strip())
            select.select([], [], [], moments.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            told.update(line.strip() for line in iter(lines.readline, "gone\n"))
            assert told <= open_store(path).finished()  # the reader comes first and may have to undo half a commit
            assert not told or told <= check_legal(path)
    assert 30 < len(told) < len(runs_of(study))
    write_until_killed(path)
    whole = planned_store(tmp_path / "whole.sqlite", study)
    with open_writer(whole, holder="test") as writer:
        writer.commit(*map(result_of, runs_of(study)))
    assert dump(path) == dump(whole)


@pytest.mark.slow
def test_a_second_process_is_told_who_writes_and_a_kill_frees_the_store(tmp_path):
    path = tmp_path / "lab.sqlite"
    with writers(path) as new_writer:
        pid, lines = new_writer()
        lines.readline()
        with pytest.raises(StoreError, match=f"process {pid}, the process to be killed, is writing to it"):
            open_writer(path, holder="test")
        assert open_store(path).studies()[0].done >= 1  # who only reads is not kept away
        seen = [len(open_store(path).finished()) for _ in range(20)]
        os.kill(pid, signal.SIGKILL)
        assert list(iter(lines.readline, "gone\n"))
        open_writer(path, holder="test").close()
    assert seen == sorted(seen)


@pytest.mark.parametrize("loss", ["file", "folder", "moved", "replaced"])
def test_a_store_lost_while_it_is_written_is_kept_beside(tmp_path, loss):
    study = small_study(1, 3)
    first, second, _ = map(result_of, runs_of(study))
    path = planned_store(tmp_path / "results" / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer:
        writer.commit(first)
        if loss == "folder":
            shutil.rmtree(path.parent)
        else:
            path.rename(tmp_path / "elsewhere")
        if loss == "replaced":
            path.write_bytes(b"something else")
        with pytest.raises(StoreError, match="deleted or moved") as fault:
            writer.commit(second)
    [beside] = path.parent.glob("*rescued*.sqlite")
    assert str(beside) in str(fault.value)
    assert fault.value.exit_status == 4
    assert check_legal(beside) == {first.run.id, second.run.id}


def measurement_of(run):
    return Measurement(run.cell.id, "key", "keras", 0.001, None, 407_200, None, 1.5, None, ENVIRONMENT)


ACTIONS = {
    "register_study": lambda writer, study, _: register(writer, study),
    "start": lambda writer, _, run: writer.start([run.id]),
    "add_measurement": lambda writer, _, run: writer.add_measurement(measurement_of(run)),
    "forget": lambda writer, _, run: writer.forget([run.id]),
    "close": lambda writer, *_: writer.close(),
}


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_the_writer_does_next_a_lost_store_is_kept_beside(tmp_path, action, replaced):
    study = small_study(1, 3)
    *finished, last = runs_of(study)
    path = planned_store(tmp_path / "lab.sqlite", study)
    with ExitStack() as at_end:
        writer = open_writer(path, holder="test")
        if action != "close":
            at_end.callback(writer.close)
        writer.commit(*map(result_of, finished))
        path.unlink()
        if replaced:
            path.write_bytes(b"something else")
        with pytest.raises(StoreError, match="deleted or moved") as fault:
            ACTIONS[action](writer, study, last)
    [beside] = tmp_path.glob("*rescued*.sqlite")
    assert str(beside) in str(fault.value)
    assert fault.value.exit_status == 4
    assert open_store(beside).finished() == {run.id for run in finished}
    assert len(open_store(beside).measurements()) == (action == "add_measurement")
    assert not writer_lives(path)


def test_what_ends_after_the_store_was_lost_goes_into_the_same_file_beside(tmp_path):
    study = small_study(1, 3)
    first, second, _ = map(result_of, runs_of(study))
    path = planned_store(tmp_path / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer:
        path.unlink()
        with pytest.raises(StoreError, match="deleted or moved"):
            writer.commit(first)
        assert writer.commit(second) == 1
    [beside] = tmp_path.glob("*rescued*.sqlite")
    assert writer.path == beside
    assert check_legal(beside) == {first.run.id, second.run.id}


def test_a_rescue_that_finds_no_room_leaves_no_file_and_is_tried_again(tmp_path):
    study = small_study(1, 2)
    first, second = map(result_of, runs_of(study))
    path = planned_store(tmp_path / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer:
        path.unlink()
        with files_no_larger_than(8192), pytest.raises(MachineError):
            writer.commit(first)
        assert list(tmp_path.glob("*rescued*")) == []
        with pytest.raises(StoreError, match="deleted or moved"):
            writer.commit(first, second)
    [beside] = tmp_path.glob("*rescued*.sqlite")
    assert check_legal(beside) == {first.run.id, second.run.id}


def as_another_program(path):
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("CREATE TABLE bookmarks (address TEXT)")


def of_version(number):
    def damage(path):
        planned_store(path, small_study(1, 1))
        with closing(sqlite3.connect(path)) as shell:
            shell.execute(f"PRAGMA user_version = {number}")

    return damage


def truncated(path):
    planned_store(path, small_study(300, 1))
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path):
    planned_store(path, small_study(300, 1))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


UNUSABLE = {
    "text": (lambda path: path.write_text("epoch,loss\n" * 1000), "not an SQLite file"),
    "a few bytes": (lambda path: path.write_bytes(b"\x00\x01"), "not an SQLite file"),
    "another program's": (as_another_program, "another program"),
    "newer": (of_version(SCHEMA_VERSION + 1), f"written by a newer mnistlab, in format {SCHEMA_VERSION + 1}; this one"),
    "older": (of_version(0), "its format 0 is older than any known"),
    "truncated": (truncated, "damaged"),
    "overwritten": (overwritten, "damaged"),
    "folder": (lambda path: path.mkdir(), "a file is needed"),
    "pipe": (os.mkfifo, "a file is needed"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_is_no_store_is_refused_in_one_line_and_left_as_it_was(tmp_path, case):
    spoil, why = UNUSABLE[case]
    path = tmp_path / "lab.sqlite"
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    for use in (lambda: open_store(path).runs(), lambda: register_again(path)):
        with pytest.raises(StoreError, match=why) as fault:
            use()
        assert fault.value.exit_status == 4
        assert str(path) in str(fault.value)
        assert "\n" not in str(fault.value)
    assert before is None or path.read_bytes() == before


def register_again(path):
    with open_writer(path, holder="test") as writer:
        register(writer, small_study(300, 2))


def test_a_file_without_content_is_a_store_not_begun(tmp_path):
    path = tmp_path / "lab.sqlite"
    path.touch()
    assert open_store(path).studies() == []
    planned_store(path, small_study(1, 1))
    assert open_store(path).studies()[0].planned == 1


@pytest.mark.parametrize("folder", ["lab.sqlite/x", "x" * 300])
def test_a_path_that_cannot_be_is_refused(tmp_path, folder):
    (tmp_path / "lab.sqlite").touch()
    with pytest.raises(StoreError):
        open_writer(tmp_path / folder / "lab.sqlite", holder="test")


def test_names_with_marks_of_an_address_are_names(tmp_path):
    path = planned_store(tmp_path / "a?mode=ro#b%20 c" / "lab ä.sqlite", small_study(1, 1))
    assert path.is_file()
    assert len(open_store(path).statuses()) == 1


def test_a_store_another_program_keeps_locked_is_told_as_that(tmp_path):
    study = small_study(1, 1)
    path = planned_store(tmp_path / "lab.sqlite", study)
    with open_writer(path, holder="test") as writer, closing(sqlite3.connect(path)) as shell:
        shell.execute("BEGIN EXCLUSIVE")
        writer.connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(StoreError, match="another program keeps it locked"):
            writer.commit(result_of(runs_of(study)[0]))


@contextmanager
def without_privileges():
    """As a user to whom permissions apply."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_read_and_refuses_a_writer():
    with tempfile.TemporaryDirectory() as folder:
        path = planned_store(Path(folder) / "results" / "lab.sqlite", small_study(1, 1))
        Path(folder).chmod(0o755)
        for file in (*path.parent.iterdir(), path.parent):
            file.chmod(0o555)
        with without_privileges():
            assert len(open_store(path).statuses()) == 1
            for place in (path, path.with_name("new.sqlite")):
                with pytest.raises(StoreError, match="permission denied"):
                    open_writer(place, holder="test")
        path.parent.chmod(0o755)


@pytest.mark.slow
def test_flipped_bytes_are_never_more_than_one_line(tmp_path):
    study = small_study(2, 2)
    original = planned_store(tmp_path / "original.sqlite", study)
    with open_writer(original, holder="test") as writer:
        writer.commit(*(result_of(run, 300) for run in runs_of(study)))
    bytes_, places = original.read_bytes(), random.Random(1)
    outcomes = []
    for _ in range(400):
        spoiled = bytearray(bytes_)
        for _ in range(places.randrange(1, 50)):
            spoiled[places.randrange(100, len(spoiled))] = places.randrange(256)
        path = tmp_path / "spoiled.sqlite"
        path.write_bytes(spoiled)
        try:
            store = open_store(path)
            store.studies(), store.cell_table(), store.runs(bits=True), store.epochs(), store.measurements()
            for run in runs_of(study):
                store.run_detail(run.id), store.predictions(run.id)
            outcomes.append("read")
        except MnistlabError as fault:
            outcomes.append(str(fault))
    assert len(set(outcomes)) > 3


@pytest.mark.slow
def test_a_hundred_thousand_planned_runs_are_opened_and_counted(tmp_path):
    study = small_study(1000, 100)
    with open_writer(tmp_path / "lab.sqlite", holder="test") as writer:
        register(writer, study)
        store = open_store(tmp_path / "lab.sqlite")
        [status] = store.studies()
        assert status.planned == 100_000
        assert len(store.statuses("small")) == 100_000
        assert store.finished("small") == set()
        assert asdict(status)["networks_per_second"] is None


if __name__ == "__main__":
    (migrate_and_die if "migrate" in sys.argv else serve)(Path(sys.argv[1]))
