"""What every command shares: the flags that say where things lie, JSON on stdout, the progress line on stderr."""

import json as jsonlib
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from mnistlab import formatting
from mnistlab.errors import ConfigurationError
from mnistlab.places import Places

if TYPE_CHECKING:
    from mnistlab.conduct import Progress


@Parameter(name="*")
@dataclass(kw_only=True)
class Where:
    """Where things lie.

    Parameters
    ----------
    home
        Folder of data/, models/, results/ and reports/ (default: the current one, or MNISTLAB_HOME).
    store
        The file of results (default: results/mnistlab.sqlite under home, or MNISTLAB_STORE).
    data_dir
        Cache of the data sets (default: data/raw under home, or MNISTLAB_DATA_DIR).
    offline
        Make no connection at all (or MNISTLAB_OFFLINE=1).
    """

    home: Path | None = None
    store: Path | None = None
    data_dir: Path | None = None
    offline: Annotated[bool, Parameter(negative="")] = False

    @property
    def words(self) -> str:
        """The flags that were given, as they are typed behind another command; a space before each."""
        given = {"--home": self.home, "--store": self.store, "--data-dir": self.data_dir}
        typed = [f" {flag} {shlex.quote(str(path))}" for flag, path in given.items() if path is not None]
        return "".join([*typed, " --offline" if self.offline else ""])

    @property
    def places(self) -> Places:
        """Paths after flags, environment and defaults."""
        return Places.find(self.home, self.store, self.data_dir, self.offline)


def _whole(_kind: Any, tokens: Sequence[Token]) -> int:
    (token,) = tokens
    if re.fullmatch(r"[+-]?[0-9]{1,18}", token.value):
        return int(token.value)
    hint = ""
    with suppress(ValueError, OverflowError):
        hint = f"did you mean {int(number)}?" if (number := float(token.value)) == int(number) < 1e15 else ""
    raise ConfigurationError(f"{token.keyword} {token.value or repr('')}", "a whole number is needed", hint)


Whole = Annotated[int, Parameter(converter=_whole)]  # cyclopts by itself takes 3.5 for 4


def _points(_kind: Any, tokens: Sequence[Token]) -> float:
    (token,) = tokens
    try:
        return float(token.value)
    except ValueError:
        hint = f"did you mean {token.value.replace(',', '.')}?" if "," in token.value else "for example 0.2"
        raise ConfigurationError(
            f"{token.keyword} {token.value or repr('')}", "a number of points is needed", hint
        ) from None


Points = Annotated[float, Parameter(converter=_points)]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document on stdout.")]


def emit_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(jsonlib.dumps(document, allow_nan=False) + "\n")


def emit(text: str) -> None:
    """Text for people on stdout."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def check_no_terminal(flag: str, way_out: str) -> None:
    """Refuse to write bytes where a person would read them.

    Raises
    ------
    ConfigurationError
    """
    if sys.stdout.isatty():
        raise ConfigurationError(flag, "these are bytes, which a terminal cannot show", way_out)


def emit_bytes(content: bytes) -> None:
    """A file on stdout, as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def notify(line: str) -> None:
    """A line for people on stderr."""
    sys.stderr.write(f"{line}\n")


def terminal_width() -> int:
    """Columns of the terminal, or `COLUMNS`; a file or a pipe takes whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000


def seconds_of(text: str, flag: str = "--budget") -> float:
    """`90`, `90s`, `10m`, `1.5h` in seconds; ConfigurationError for anything else."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        value = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ConfigurationError(
            f"{flag} {text or repr(text)}", "a positive time is needed", "for example 90s, 10m or 2h"
        )
    return value


@dataclass(slots=True)
class ProgressLine:
    """One line on stderr that says where a study stands: rewritten on a terminal, a new line now and then elsewhere."""

    every_seconds: float = 15.0
    on_terminal: bool = field(default_factory=lambda: sys.stderr.isatty())
    told_at: float = 0.0
    last: str = ""

    def __call__(self, progress: "Progress") -> None:
        """Show it, if there is something new to show."""
        line = progress_text(progress)
        if self.on_terminal:
            width = terminal_width() - 1
            sys.stderr.write(f"\r{line[:width]:<{width}}")
            sys.stderr.flush()
        elif line != self.last and (progress.note or time.monotonic() - self.told_at >= self.every_seconds):
            sys.stderr.write(f"{line}\n")
            self.told_at = time.monotonic()
        self.last = line

    def tell(self, line: str) -> None:
        """A line of other news, which the next one of progress follows."""
        self.close()
        notify(line)

    def close(self) -> None:
        """Leave the line to what comes next."""
        if self.on_terminal and self.last:
            sys.stderr.write("\r" + " " * (terminal_width() - 1) + "\r")


def progress_text(progress: "Progress") -> str:
    """`lab: 41 of 900 networks · 0.21/s · 9 min left · best 4x64 relu 97.5 ± 0.2 % (validation)`."""
    parts = [f"{progress.study}: {progress.done} of {progress.total} networks"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.note:
        parts.append(progress.note)
    elif progress.networks_per_second:
        parts.append(f"{progress.networks_per_second:.2g}/s")
    if progress.eta_seconds is not None and not progress.note:
        parts.append(f"{formatting.seconds(progress.eta_seconds)} left")
    if progress.best is not None:
        parts.append(f"best {progress.best_label} {formatting.percent(progress.best)} % (validation)")
    return " · ".join(parts)
