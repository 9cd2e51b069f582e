"""The file itself: opening, checking, migrating it, the lock of its one writer, SQLite's faults in a user's words."""

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, count
from pathlib import Path

from mnistlab.errors import MachineError, MnistlabError, StoreError
from mnistlab.places import written_whole
from mnistlab.store import schema

BUSY_SECONDS = 30.0  # how long a reader and the writer wait for each other
OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
LOCK_PAUSES = (0.0, 0.001, 0.01, 0.1)  # seconds; a reader that asks who writes holds the lock for microseconds
_ANY_TABLE = "SELECT 1 FROM sqlite_schema LIMIT 1"


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors become a `StoreError`, or a `MachineError` where the machine is at fault."""
    try:
        yield
    except UnicodeDecodeError as error:  # names or messages of a damaged file
        raise damaged(path, error) from error
    except sqlite3.Error as error:
        if (fault := _sqlite_fault(path, error)) is None:
            raise
        raise fault from error
    except OSError as error:
        kind = MachineError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO) else StoreError
        raise kind(str(path), (error.strerror or str(error)).lower()) from error


def damaged(path: Path, error: object) -> StoreError:
    """The fault of a file whose content makes no sense."""
    return StoreError(str(path), f"the file is damaged: {error}", f"restore a copy, or: mnistlab rescue {path} NEW")


def _sqlite_fault(path: Path, error: sqlite3.Error) -> MnistlabError | None:
    """The fault in words; None for a mistake of ours, such as a broken constraint."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # text that is no UTF-8 comes without a code, misuse of the module as another kind
        return damaged(path, error) if isinstance(error, sqlite3.OperationalError) else None
    if (code := code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
        return damaged(path, error)
    kind, why, way_out = _FAULTS.get(code, (None, "", ""))
    return kind(str(path), why.format(error), way_out) if kind else None


_FAULTS: dict[int, tuple[type[MnistlabError], str, str]] = {
    sqlite3.SQLITE_NOTADB: (StoreError, "not an SQLite file", "name another file with --store"),
    sqlite3.SQLITE_READONLY: (StoreError, "the file or its folder cannot be written", "name another file with --store"),
    sqlite3.SQLITE_PERM: (StoreError, "no permission to open it", "name another file with --store"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "the file cannot be opened", "name another file with --store"),
    sqlite3.SQLITE_BUSY: (StoreError, "another program keeps it locked", "close that program"),
    sqlite3.SQLITE_LOCKED: (StoreError, "another program keeps it locked", "close that program"),
    sqlite3.SQLITE_FULL: (MachineError, "{}", "make room; what finished is kept"),
    sqlite3.SQLITE_IOERR: (MachineError, "{}", "check the disk and the room on it; what finished is kept"),
    sqlite3.SQLITE_NOMEM: (MachineError, "out of memory", "close other programs"),
}


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the store; where none has been written yet, an empty one in memory.

    The file is opened for writing where that is possible: a writer killed in the middle of a transaction leaves a
    journal that the next one to come, reader or not, has to undo.
    """
    with faults_of(path), ExitStack() as on_fault:
        connection = _connect(path, "rw") if _is_file(path) else sqlite3.connect(":memory:", isolation_level=None)
        on_fault.callback(connection.close)
        if not connection.execute(_ANY_TABLE).fetchone():
            connection.close()
            connection = sqlite3.connect(":memory:", isolation_level=None)
            _create_tables(connection)
        for statement in schema.view_statements(_format(connection)):
            connection.execute(statement)
        connection.execute("PRAGMA query_only = 1")
        on_fault.pop_all()
        return connection


def connect_to_write(path: Path, notify: Callable[[str], None] = lambda _: None) -> sqlite3.Connection:
    """A connection to the store, made when absent; every transaction is on the disk when it returns.

    An older store is migrated; `notify` is told so, and where the copy of it lies.
    """
    with faults_of(path), ExitStack() as on_fault:
        _is_file(path)
        connection = _connect(path, "rwc")
        on_fault.callback(connection.close)
        # A rollback journal and not WAL, which SQLite before 3.51.3 could corrupt when it started the log anew.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        if not connection.execute(_ANY_TABLE).fetchone():
            _create_tables(connection)
        if (older := _format(connection)) < schema.SCHEMA_VERSION:
            copy = _migrate(connection, path, older)
            notify(f"{path}: format {older} is now {schema.SCHEMA_VERSION}; as it was, it is kept in {copy}")
        connection.execute("PRAGMA foreign_keys = 1")
        on_fault.pop_all()
        return connection


def _is_file(path: Path) -> bool:
    if path.exists() and not path.is_file():
        raise StoreError(str(path), "a file is needed, this is none", f"for example {path / 'mnistlab.sqlite'}")
    return path.exists()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise MachineError(f"SQLite {sqlite3.sqlite_version}", f"{wanted} or newer is needed", "use a newer Python")
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with ExitStack() as on_fault:
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        on_fault.callback(connection.close)
        _check(connection, path)
        on_fault.pop_all()
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == version == 0 and not connection.execute(_ANY_TABLE).fetchone():
        return  # a file without content: its writer was stopped before the tables stood
    if application != schema.APPLICATION_ID:
        raise StoreError(str(path), "an SQLite file of another program", "name another file with --store")
    if version > schema.SCHEMA_VERSION:
        why = f"written by a newer mnistlab, in format {version}; this one knows {schema.SCHEMA_VERSION}"
        raise StoreError(str(path), why, "install a newer mnistlab")
    if version < 1:
        raise StoreError(str(path), f"its format {version} is older than any known", "name another file with --store")


def _format(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Bring an older store to the present format; where the store as it was is kept, which overwrites nothing.

    A new store is filled from the old one, and then written over it in one transaction. The new one does not take the
    old one's name instead: who has the old file open would take the journal of the new one for its own, and undo it.
    """
    first = path.with_name(f"{path.name}.format-{version}")
    names = chain([first], (first.with_name(f"{first.name}-{number}") for number in count(2)))
    copy = next(name for name in names if not os.path.lexists(name))
    with closing(sqlite3.connect("", isolation_level=None)) as fresh:  # a file without a name, gone when closed
        _create_tables(fresh)
        fresh.execute("ATTACH ? AS older", (str(path.absolute()),))
        for statement in schema.migrate_statements(version):
            fresh.execute(statement)
        connection.execute("BEGIN EXCLUSIVE")  # what comes next would wait without end for who goes on reading
        connection.execute("COMMIT")
        with written_whole(copy) as file, closing(sqlite3.connect(file.name, isolation_level=None)) as target:
            connection.backup(target)
        fresh.backup(connection)
    return copy


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in schema.create_statements():
        connection.execute(statement)
    connection.execute("COMMIT")


def take_lock(path: Path, holder: str) -> int:
    """The descriptor of the writer's lock beside `path`, with the holder's name in it; it dies with the process.

    Raises
    ------
    StoreError
        Another process writes; the message says which.
    """
    with faults_of(path), ExitStack() as on_fault:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o666)
        on_fault.callback(os.close, descriptor)
        if not _lock_soon(descriptor):
            other = os.pread(descriptor, 1000, 0).decode(errors="replace")
            raise StoreError(str(path), f"{other or 'another process'}, is writing to it", "wait for it, or stop it")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {holder}".encode(), 0)
        on_fault.pop_all()
        return descriptor


def _lock_soon(descriptor: int) -> bool:
    for pause in LOCK_PAUSES:
        time.sleep(pause)
        if _lock(descriptor, fcntl.LOCK_EX):
            return True
    return False


def writer_lives(path: Path) -> bool:
    """Whether a process holds the writer's lock now."""
    try:
        descriptor = os.open(_lock_path(path), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def writer_of(path: Path) -> str | None:
    """Who holds the writer's lock now, such as `process 123, mnistlab run lab`; None where nobody does."""
    if not writer_lives(path):
        return None
    return _lock_path(path).read_text(encoding="utf-8", errors="replace") or "another process"


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
