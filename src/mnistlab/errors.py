"""Errors a user can act on: what went wrong, why, the way out, and the exit status the command line ends with.

Functions raise these (the configuration kind is also a `ValueError`); only the command line turns them into one line
on stderr. It never imports anything of the package.
"""

import difflib
from collections.abc import Iterable


class MnistlabError(Exception):
    """An expected fault, told in one line: `<what>: <why> (<way out>)`.

    Parameters
    ----------
    what : str
        The thing at fault: a flag with its value, a file, a run.
    why : str
        The reason, in the user's words.
    way_out : str, default=""
        What to do next.
    """

    exit_status = 1

    def __init__(self, what: str, why: str, way_out: str = "") -> None:
        super().__init__(what, why, way_out)
        self.what, self.why, self.way_out = what, why, way_out

    def __str__(self) -> str:
        line = f"{self.what}: {self.why}" + (f" ({self.way_out})" if self.way_out else "")
        return " ".join(line.split())


class ConfigurationError(MnistlabError, ValueError):
    """A word or value of a command, study file or `CONFIG` is not usable."""

    exit_status = 2


class InvalidFieldError(ConfigurationError):
    """A field of the specification has a value outside its range.

    `field` is the specification's name; the border that knows where the value came from (a flag, a key of a file)
    says so with `named`.
    """

    def __init__(self, field: str, value: object, why: str, way_out: str = "") -> None:
        super().__init__(f"{field} {value}", why, way_out)
        self.field, self.value = field, value

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.field, self.value, self.why, self.way_out)

    def named(self, name: str) -> ConfigurationError:
        """The same fault under the name its user wrote, such as `--train-fraction`."""
        return ConfigurationError(f"{name} {self.value}", self.why, self.way_out)


class DataError(MnistlabError):
    """A data set, image or model file is missing, damaged or refused."""

    exit_status = 3


class StoreError(MnistlabError):
    """The store is damaged, foreign, newer than this version, or held by another process."""

    exit_status = 4


class MachineError(MnistlabError):
    """This machine lacks something: a device, disk space, memory, an optional package."""

    exit_status = 5


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` for the known word nearest to `word`, else the list of known words."""
    words = list(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(words)}"


def no_memory(network: str, needed: int, available: int) -> ConfigurationError:
    """The line for a network that this machine has no memory for; both in bytes."""
    return ConfigurationError(network, f"one such network needs about {needed / 1e9:,.1f} GB of memory, "
                              f"{available / 1e9:,.1f} GB are free here", "make it smaller")  # fmt: skip
