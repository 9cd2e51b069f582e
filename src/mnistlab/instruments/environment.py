"""The fingerprint of what produced a result (rule M23): from an allow-list; never a user, host, home or path."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from mnistlab import __version__
from mnistlab.errors import ConfigurationError, MachineError
from mnistlab.instruments.resources import usable_cores
from mnistlab.records import Environment

_PACKAGES = ("jax", "jaxlib", "keras", "numpy", "pandas", "scikit-image", "scikit-learn", "scipy", "tensorflow",
             "torch")  # fmt: skip
VARIABLES = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "KERAS_BACKEND", "OMP_NUM_THREADS", "XLA_FLAGS")


def describe(*, device: str, threads: int, data_sha256: str, variables: Mapping[str, str] | None = None) -> Environment:
    """This process' environment.

    Parameters
    ----------
    device : str
        `cpu` or the accelerator's kind.
    threads : int
        Threads one run may use.
    data_sha256 : str
        Of the data set's content.
    variables : mapping of str, optional
        Where to look the allowed variables up; default `os.environ`.
    """
    found = os.environ if variables is None else variables
    return Environment(
        python=platform.python_version(), platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(), cores=usable_cores(), threads=threads, device=device, packages=versions(),
        variables=tuple((name, _without_paths(found[name])) for name in VARIABLES if name in found),
        data_sha256=data_sha256, code_version=code_version(),
    )  # fmt: skip


@functools.cache
def code_version() -> str:
    """The version and eight hexadecimal characters of the SHA-256 over the package's sources."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:8]}"


@functools.cache
def versions() -> tuple[tuple[str, str], ...]:
    """Name and version of every installed package that may have a part in a result, sorted."""
    installed = {dist.metadata["Name"].lower(): dist.version for dist in map(_distribution, _PACKAGES) if dist}
    return tuple(sorted(installed.items()))


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def processor_key() -> str:
    """Twelve hexadecimal characters that tell processors apart on which code compiled for one may not run."""
    text = f"{platform.machine()} {_processor()} {_told_of_processor('flags')}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _processor() -> str:
    return _told_of_processor("model name") or platform.processor() or platform.machine()


@functools.cache
def _told_of_processor(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _without_paths(value: str) -> str:
    return " ".join(word for word in value.split() if "/" not in word and "\\" not in word)


def check_device(device: str) -> None:
    """Refuse a word that is none of cpu and gpu (ConfigurationError), and a GPU that is not there (MachineError)."""
    if device not in ("cpu", "gpu"):
        raise ConfigurationError(f"--device {device or repr(device)}", "one of cpu, gpu is needed")
    # Asked in a process of its own: JAX would take most of the device's memory for the one that asks.
    ask = [sys.executable, "-c", "import jax; jax.devices('gpu')"]
    if device == "gpu" and subprocess.run(ask, capture_output=True, check=False).returncode != 0:  # noqa: S603
        raise MachineError("--device gpu", "JAX finds no GPU on this machine", "--device cpu")
