"""What this machine has, what it lacks, and the command that mends it. One fault never hides another."""

import importlib.util
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mnistlab.datasets import catalog
from mnistlab.dnn_model import choose_backend
from mnistlab.engines.programs import program_of
from mnistlab.errors import DataError, MnistlabError
from mnistlab.instruments.resources import available_bytes, usable_cores
from mnistlab.places import Places
from mnistlab.plan import cell_size, run_bytes
from mnistlab.store.connection import OLDEST_SQLITE, connect_to_read, damaged, faults_of, writer_of
from mnistlab.store.schema import SCHEMA_VERSION
from mnistlab.study import load_config

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Status = Literal["ok", "warn", "fail"]
OLDEST_PYTHON = (3, 11)
MIN_DISK_BYTES = 10**9  # the data, and a study of some thousand networks
_ASK_SECONDS = 60.0
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"  # there only where this is worked on
_MODULES = {"pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_JAX = "import jax; print(*sorted({f'{d.platform} ({d.device_kind})' for d in jax.devices()}), sep=', ')"
_CANARY = """
import sys
from mnistlab.engines.canary import check_jax
from mnistlab.errors import MachineError
try:
    check_jax()
except MachineError as fault:
    sys.exit(str(fault))
print("what it compiles agrees with NumPy")
"""
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        print(name)
"""
_FONTS = """
import logging, os
logging.disable()
import matplotlib, matplotlib.font_manager
matplotlib.font_manager.findfont("DejaVu Sans", fallback_to_default=False)
print("kept" if not os.path.basename(matplotlib.get_cachedir()).startswith("matplotlib-") else "lost")
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `remedy` is the command that mends it, empty where nothing is wrong."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


Look = Callable[[Places], Iterator[Check]]


def _guarded(name: str, look: Look, places: Places) -> Iterator[Check]:
    try:
        yield from look(places)
    except Exception as fault:  # noqa: BLE001 - whatever is broken here, the other checks are still to be made
        yield Check(name, "fail", f"could not be looked at: {type(fault).__name__}: {fault}", "make setup")


def _judged(name: str, good: bool, detail: str, remedy: str, otherwise: Status = "warn") -> Check:
    return Check(name, "ok", detail) if good else Check(name, otherwise, detail, remedy)


def _python(_places: Places) -> Iterator[Check]:
    good = sys.version_info >= OLDEST_PYTHON
    yield _judged("python", good, platform.python_version(), f"install Python {_dotted(OLDEST_PYTHON)}", "fail")
    good, remedy = sqlite3.sqlite_version_info >= OLDEST_SQLITE, f"a Python with SQLite {_dotted(OLDEST_SQLITE)}"
    yield _judged("sqlite", good, sqlite3.sqlite_version, remedy, "fail")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _packages(_places: Places, constraints: Path = _CONSTRAINTS) -> Iterator[Check]:
    """What the package asks for; in a checkout, beside what the tests have seen."""
    tested = _tested(constraints)
    base = [wanted for wanted, extra in _requirements() if extra is None]
    broken = _broken(base)
    faults = [check for wanted in base for check in _package(wanted, tested, broken, "fail")]
    if len(faults) < len(base):
        yield Check("packages", "ok", f"{len(base) - len(faults)} of {len(base)} as they should be")
    yield from faults


def _extras(_places: Places) -> Iterator[Check]:
    extras = [(one, extra) for one, extra in _requirements() if extra not in (None, "test", "dev")]
    broken = _broken([one for one, _ in extras])
    for wanted, extra in extras:
        yield next(_package(wanted, {}, broken, "warn"), Check(f"package {wanted.name}", "ok", f"extra {extra}"))


def _requirements() -> "list[tuple[Requirement, str | None]]":
    """Every package asked for, and the extra that asks for it."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in metadata.requires("mnistlab") or []]
    return [(one, next(iter(re.findall(r'extra == "(.+?)"', str(one.marker))), None)) for one in wanted]


def _package(wanted: "Requirement", tested: dict[str, str], broken: set[str], missing: Status) -> Iterator[Check]:
    """The fault of one package, if it has one."""
    name, install = f"package {wanted.name}", f"python -m pip install '{wanted.name}{wanted.specifier}'"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        yield Check(name, missing, "not installed", install)
        return
    if wanted.name in broken:
        yield Check(name, missing, f"{version} is installed and cannot be imported",
                    f"python -m pip install --force-reinstall '{wanted.name}{wanted.specifier}'")  # fmt: skip
    elif not wanted.specifier.contains(version, prereleases=True):
        yield Check(name, "warn", f"{version} is here, {wanted.specifier} is needed", install)
    elif tested.get(wanted.name, version) != version:
        yield Check(name, "warn", f"{version} is here, the tests have seen {tested[wanted.name]}",
                    f"python -m pip install {wanted.name}=={tested[wanted.name]}")  # fmt: skip


def _tested(constraints: Path) -> dict[str, str]:
    """Package → version of a file of constraints; nothing where there is none."""
    from packaging.requirements import Requirement

    lines = constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else []
    pins = [Requirement(line) for line in lines if line and line[0] != "#"]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins if not pin.marker or pin.marker.evaluate()}


def _broken(wanted: "list[Requirement]") -> set[str]:
    """Packages of these that cannot be imported, in a process of their own: some take the whole one along."""
    modules = [_MODULES.get(one.name, one.name) for one in wanted]
    environment = {**os.environ, "KERAS_BACKEND": choose_backend()}
    told = subprocess.run(  # noqa: S603 - an argument list, no shell
        [sys.executable, "-c", _IMPORT, *modules], env=environment, capture_output=True, text=True, check=True,
        timeout=_ASK_SECONDS,
    ).stdout.split()  # fmt: skip
    return {one.name for one, module in zip(wanted, modules, strict=True) if module in told}


def _keras(_places: Places) -> Iterator[Check]:
    backend = choose_backend()
    good = backend in ("jax", "tensorflow", "torch") and importlib.util.find_spec(backend) is not None
    yield _judged("keras backend", good, backend + (" is installed" if good else " is not installed"),
                  "unset KERAS_BACKEND", "fail")  # fmt: skip


def _devices(_places: Places) -> Iterator[Check]:
    """Asked in a process of its own: a driver may hang, and JAX takes most of a device's memory for who asks."""
    status, said = _ask(_JAX)
    unused = Path("/dev/nvidiactl").exists() and "cuda" not in said and "gpu" not in said
    remedy = "python -m pip install 'jax[cuda12]'" if unused and status == 0 else "export JAX_PLATFORMS=cpu"
    more = "; JAX does not start" if status != 0 else "; the NVIDIA device here is not used" if unused else ""
    yield _judged("jax devices", not more, f"{said}{more}", remedy)
    if status == 0:
        status, said = _ask(_CANARY)
        remedy = f"python -m pip install 'jax!={metadata.version('jax')}'"
        yield _judged("jax arithmetic", status == 0, said, remedy, "fail")


def _ask(code: str) -> tuple[int | None, str]:
    """Status (None: it took too long) of a Python process, and the last line that it said."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, errors="replace",  # noqa: S603
                              timeout=_ASK_SECONDS, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"no answer in {_ASK_SECONDS:g} s"
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode, said[-1] if said else f"status {done.returncode}"


def _cores(_places: Places) -> Iterator[Check]:
    cores = usable_cores()
    yield Check("cores", "ok", str(cores))
    for name in _THREADS:
        text = os.environ.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and 0 < int(text) <= cores):
            yield Check("threads", "warn", f"{name}={text}, and there are {cores} cores", f"unset {name}")


def _room(places: Places) -> Iterator[Check]:
    cells = load_config("lab").cells
    sizes = [cell_size(cell, catalog.info(cell.dataset)) for cell in cells]
    needed = max(run_bytes(cell, size, program_of("auto", cell, size.n_steps(cell), 0, "cpu"))
                 for cell, size in zip(cells, sizes, strict=True))  # fmt: skip
    free, disk = available_bytes(), shutil.disk_usage(_nearest(places.home)).free
    detail = f"{free / 1e9:.1f} GB free, the largest network of lab needs {needed / 1e9:.1f} GB"
    yield _judged("memory", free >= needed, detail, "close other programs")
    yield _judged("disk", disk >= MIN_DISK_BYTES, f"{disk / 1e9:.1f} GB free", "another disk with --home DIR")


def _folders(places: Places) -> Iterator[Check]:
    folders = {"home": (places.home, "--home DIR"), "store": (places.store.parent, "--store FILE"),
               "data": (places.data_dir, "--data-dir DIR"), "processed": (places.processed, "--home DIR"),
               "models": (places.models, "--home DIR"), "reports": (places.reports, "--home DIR")}  # fmt: skip
    for name, (folder, flag) in folders.items():
        try:
            with tempfile.TemporaryFile(dir=_nearest(folder)):
                yield Check(f"folder {name}", "ok", str(folder))
        except OSError as fault:
            why = (fault.strerror or str(fault)).lower()
            yield Check(f"folder {name}", "fail", f"{folder} cannot be written: {why}", flag)


def _nearest(path: Path) -> Path:
    """The path itself, or what exists of the way to it."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _store(places: Places) -> Iterator[Check]:
    path = places.store
    if not path.exists():
        yield Check("store", "ok", f"{path}: nothing has been run yet")
        return
    try:
        with faults_of(path), closing(connect_to_read(path)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise damaged(path, found)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except MnistlabError as fault:
        yield Check("store", "fail", f"{path}: {fault.why}", fault.way_out)
        return
    older = "" if version == SCHEMA_VERSION else f", which the next run brings to {SCHEMA_VERSION}"
    writer = f"; {holder}, is writing to it" if (holder := writer_of(path)) else ""
    yield Check("store", "ok", f"{path}: format {version}{older}{writer}")


def _fonts(_places: Places) -> Iterator[Check]:
    status, said = _ask(_FONTS)
    if status == 0:
        detail = "DejaVu Sans" + ("" if said == "kept" else "; the list of fonts cannot be kept and is made each time")
        yield _judged("fonts", said == "kept", detail, "export MPLCONFIGDIR=DIR")
    else:
        yield Check("fonts", "warn", said, "python -m pip install --force-reinstall matplotlib")


def _data(places: Places) -> Iterator[Check]:
    for name in catalog.names(places.data_dir):
        if name == "digits":  # comes with scikit-learn
            continue
        here = (places.data_dir / name).exists()
        try:
            catalog.load(name, places.data_dir)
            yield Check(f"data {name}", "ok", "verified by checksum")
        except DataError as fault:
            if here:
                yield Check(f"data {name}", "fail", f"{fault.what}: {fault.why}", catalog.fetch_command(name))
            elif name == "mnist":
                yield Check(f"data {name}", "warn", "not fetched yet", catalog.fetch_command(name))


def _npm(_places: Places) -> Iterator[Check]:
    found = shutil.which("npm")
    yield _judged("npm", found is not None, found or "not found: one source of MNIST less",
                  "install Node.js, which brings npm")  # fmt: skip


CHECKS: dict[str, Look] = {
    "python": _python, "packages": _packages, "extras": _extras, "keras backend": _keras, "jax devices": _devices,
    "cores": _cores, "room": _room, "folders": _folders, "store": _store, "fonts": _fonts, "data": _data, "npm": _npm,
}  # fmt: skip


def examine(places: Places, checks: Mapping[str, Look] = CHECKS) -> list[Check]:
    """Every check, in the order of a person who looks for a fault.

    Connects to nothing and changes nothing, but that matplotlib keeps its list of this machine's fonts where it finds
    none, in the user's cache.
    """
    return [check for name, look in checks.items() for check in _guarded(name, look, places)]
