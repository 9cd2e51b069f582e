"""Where things lie: home, store, data cache, reports; from arguments, then the environment, then the defaults.

And how a file comes to lie there whole."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Places:
    """Paths a command works with, and whether it may use the network.

    Attributes
    ----------
    home : Path
        Where `data/`, `models/`, `results/` and `reports/` live: `MNISTLAB_HOME`, else the current directory.
    store : Path
        `MNISTLAB_STORE`, else `results/mnistlab.sqlite` under home.
    data_dir : Path
        `MNISTLAB_DATA_DIR`, else `data/raw` under home.
    offline : bool
        `MNISTLAB_OFFLINE=1`: no connection is made at all.
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
        """Arguments win over the environment, the environment over the defaults; an empty variable counts as unset."""
        base = Path(home or os.environ.get("MNISTLAB_HOME") or ".")
        return cls(
            home=base,
            store=Path(store or os.environ.get("MNISTLAB_STORE") or base / "results" / "mnistlab.sqlite"),
            data_dir=Path(data_dir or os.environ.get("MNISTLAB_DATA_DIR") or base / "data" / "raw"),
            offline=offline or os.environ.get("MNISTLAB_OFFLINE", "0") not in ("", "0"),
        )

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


def write_file(path: Path, content: bytes) -> None:
    """Write beside, to the disk, then under the name: nobody ever sees half a file. Its folder is made if need be.

    Raises
    ------
    OSError
        It cannot be written; what stood there stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # two processes may write at once
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
