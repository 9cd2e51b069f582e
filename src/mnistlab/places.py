"""Where things lie: home, store, data cache, models, reports; from arguments, the environment, a file, the defaults.

And how a file comes to lie there whole."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, Literal, Self

from mnistlab.errors import ConfigurationError, did_you_mean
from mnistlab.study import read_toml

FILE = "mnistlab.toml"
_KINDS = {"home": str, "store": str, "data_dir": str, "offline": bool}
_Value = str | Path | bool
_NEEDED = {str: "a path in quotes", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, its value (None: not set) and what it comes from."""

    name: str
    value: str | bool | None
    source: Literal["default", "file", "environment", "flag"]


@dataclass(frozen=True, slots=True)
class Places:
    """Paths a command works with, and whether it may use the network.

    Attributes
    ----------
    home : Path
        Where `data/`, `models/`, `results/` and `reports/` live: by default the current directory.
    store : Path
        By default `results/mnistlab.sqlite` under home.
    data_dir : Path
        By default `data/raw` under home.
    offline : bool
        No connection is made at all.
    """

    home: Path
    store: Path
    data_dir: Path
    offline: bool

    @classmethod
    def find(
        cls,
        home: str | Path | None = None,
        store: str | Path | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
    ) -> Self:
        """Places after `settings`."""
        values = {setting.name: setting.value for setting in settings(home, store, data_dir, offline)}
        paths = {name: Path(str(values[name])) for name in ("home", "store", "data_dir")}
        return cls(**paths, offline=bool(values["offline"]))

    @property
    def compiled(self) -> Path:
        """Folder of compiled programs."""
        return self.home / "data" / "compiled"

    @property
    def processed(self) -> Path:
        """Folder of features that were computed once."""
        return self.home / "data" / "processed"

    @property
    def models(self) -> Path:
        """Folder of trained networks: `ffn` for scikit-learn's, `dnn` for Keras'."""
        return self.home / "models"

    @property
    def reports(self) -> Path:
        """Folder of the reports."""
        return self.home / "reports"


@contextmanager
def written_whole(path: Path) -> Iterator[BufferedRandom]:
    """A file that appears under its name when all of it is on the disk: nobody ever sees half of it.

    Raises
    ------
    OSError
        It cannot be written; what stood there stays, and nothing is left beside it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # two processes may write at once
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; see `written_whole`. Its folder is made if need be."""
    with written_whole(path) as file:
        file.write(content)


def file_name(text: str) -> str:
    """A name for a file or folder after this text, such as a study's, that leads nowhere and no other text has."""
    kept = re.sub(r"[^\w .+-]", "_", text).encode()[:100].decode(errors="ignore").strip(". ")
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def settings(
    home: str | Path | None = None, store: str | Path | None = None, data_dir: str | Path | None = None,
    offline: bool = False,
) -> list[Setting]:  # fmt: skip
    """Every setting of `Places` and where it comes from.

    Arguments win over the environment (`MNISTLAB_HOME`, `_STORE`, `_DATA_DIR`, `_OFFLINE`; an empty variable counts as
    unset), the environment over `mnistlab.toml` in the current directory, the file over the defaults.

    Raises
    ------
    ConfigurationError
        `mnistlab.toml` cannot be read, has an unknown key or a value of the wrong type.
    """
    file = _read_file(Path(FILE))
    base = _choose("home", home, file, ".")
    folder = Path(str(base.value))
    return [
        base,
        _choose("store", store, file, folder / "results" / "mnistlab.sqlite"),
        _choose("data_dir", data_dir, file, folder / "data" / "raw"),
        _choose("offline", offline, file, False),
    ]


def _sync_folder(folder: Path) -> None:
    """The name outlives a power cut only when its folder is on the disk, too."""
    with suppress(OSError):  # Windows opens no folder, some file systems sync none; the file itself is whole
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _choose(name: str, given: _Value | None, file: Mapping[str, Any], default: _Value) -> Setting:
    kind, variable = _KINDS[name], os.environ.get(f"MNISTLAB_{name.upper()}")
    if given:
        return Setting(name, kind(given), "flag")
    if variable:
        return Setting(name, variable if kind is str else _yes_or_no(name, variable), "environment")
    return Setting(name, file[name], "file") if name in file else Setting(name, kind(default), "default")


def _yes_or_no(name: str, text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise ConfigurationError(f"MNISTLAB_{name.upper()} {text}", "1 or 0 is needed")
    return words[text.lower()]


def _read_file(path: Path) -> Mapping[str, Any]:
    if not os.path.lexists(path):
        return {}
    if not path.is_file():
        raise ConfigurationError(str(path), "a regular file is needed", "move it away")
    found = read_toml(path)
    for name, value in found.items():
        if name not in _KINDS:
            raise ConfigurationError(f"{path}: {name}", "unknown key", did_you_mean(name, _KINDS))
        if not isinstance(value, _KINDS[name]) or value == "":
            raise ConfigurationError(f"{path}: {name}", f"{_NEEDED[_KINDS[name]]} is needed")
    return found
