"""Whatever is typed or lies on the disk: one line that says what, why, the way out; the right status; no trace left."""

import gzip
import json
import os
import pickle
import shlex
import sqlite3
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from rich.cells import cell_len

from mnistlab import saving
from mnistlab.network import TrainedNetwork
from mnistlab.records import Stage
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.store.schema import APPLICATION_ID, SCHEMA_VERSION

PREFIX = "mnistlab: error: "


def listing(folder):
    """Every path below a folder, with the bytes of regular files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refused(mnistlab, home):
    """Run a command line that must be refused with this status, in one line and without a trace; returns the line."""

    def check(line, status):
        before = listing(home)
        answer = mnistlab(*(shlex.split(line) if isinstance(line, str) else line))
        *progress, last = answer.err.splitlines()
        assert (answer.status, answer.out) == (status, ""), answer
        assert last.startswith(PREFIX)
        assert not any(line.startswith((PREFIX, "Traceback")) for line in progress)
        assert listing(home) == before
        return last.removeprefix(PREFIX)

    return check


def lacking(said, *words):
    """Those of the words that a line does not say."""
    return [word for word in words if word not in said]


AD_HOC = [  # flags of `plan` and `run`, the words that must be in the line
    ("--nodes 0", "--nodes 0: a whole number from 1 to 65,536"),
    ("--nodes -4", "--nodes -4: a whole number from 1"),
    ("--nodes 1e3", "--nodes 1e3: a whole number is needed (did you mean 1000?)"),
    ("--nodes ''", "--nodes '': a value is needed"),
    ("--nodes 32,", "--nodes '': a value is needed"),
    ("--nodes " + "7" * 5000, "--nodes 7777", "5,000 characters"),
    ("--nodes 32 --nodes 64", "--nodes: given twice", "--nodes 32,64"),
    ("--nodes 32 64", "STUDY 64: --nodes cannot change a study", "such as 32,64"),
    ("--nodes", "--nodes: a value is needed"),
    ("--depth 0", "--depth 0: a whole number from 1 to 512"),
    ("--depth two", "--depth two: a whole number is needed"),
    ("--nodes 16384 --depth 64", "64x16384 relu: one such network needs about 550.", "GB of memory", "are free here"),
    ("--layers 64--32", "--layers 64--32: a whole number is needed"),
    ("--layers 64-0", "--layers 64-0: a whole number from 1"),
    ("--layers 64-32 --depth 2", "--layers: it stands for --nodes and --depth"),
    ("--activation reul", "--activation reul", "did you mean relu?"),
    ("--activation ''", "--activation '': a value is needed"),
    ("--layers 64-64-64 --activation relu-tanh", "--activation relu-tanh: 2 names for 3 hidden layers"),
    ("--train-fraction 60", "--train-fraction 60: a fraction between 0 and 1 is needed (did you mean 0.6?)"),
    ("--train-fraction 0", "--train-fraction 0", "more than 0"),
    ("--train-fraction nan", "--train-fraction nan: a fraction"),
    ("--train-fraction 1.2", "--train-fraction 1.2: a fraction between 0 and 1 is needed"),
    ("--train-fraction 1e-9", "--train-fraction 1e-09: of 60,000 examples none is left to train on"),
    ("--train-fraction 0.0001", "--batch-size 32", '"1x64 relu, train 0.0001" has only 5 examples (at most 5)'),
    ("--validation-fraction 1", "--validation-fraction 1", "less than 1"),
    ("--validation-fraction 1e-9", "--validation-fraction 1e-09: of 60,000 training examples none is left to validate"),
    ("--protocol offical", "--protocol offical", "did you mean official?"),
    ("--protocol merged", "--train-fraction 1: the merged protocol leaves nothing to test on (say 0.9)"),
    ("--learning-rate 0", "--learning-rate 0: a number above 0"),
    ("--learning-rate inf", "--learning-rate inf: a number above 0"),
    ("--batch-size 0", "--batch-size 0: a whole number from 1"),
    ("--batch-size 60001", "--batch-size 60001", "has only 54,000 examples (at most 54000)"),
    ("--epochs 0", "--epochs 0: a whole number from 1"),
    ("--epochs 2.5", "--epochs 2.5: a whole number is needed"),
    ("--dropout 1", "--dropout 1", "less than 1"),
    ("--dropout 50", "--dropout 50", "did you mean 0.5?"),
    ("--batch-norm=maybe", "--batch-norm maybe: true or false is needed"),
    ("--batch-norm yes", "STUDY yes: --batch-norm cannot change a study", "a switch none"),
    ("--early-stopping 0", "--early-stopping 0: a whole number from 1"),
    ("--early-stopping 3 --validation-fraction 0", "--early-stopping 3: early stopping needs validation examples"),
    ("--framework tensorflow", "--framework tensorflow: one of keras, sklearn is needed"),
    ("--framework sklearn --dropout 0.1", "--dropout 0.1: scikit-learn's MLPClassifier cannot express it"),
    ("--framework sklearn --batch-norm", "--batch-norm true: scikit-learn's MLPClassifier cannot express it"),
    ("--dataset mnits", "dataset mnits: unknown data set (did you mean mnist?)"),
    ("--features scal", "--features scal: unknown step (did you mean scale?)"),
    ("--features pca", "--features pca: pca needs a number of components", "pca:50"),
    ("--features standardize,hog", "--features standardize,hog: deskew and hog need images", "say hog,standardize"),
    ("--features hog,scale", "--features hog,scale: deskew and hog need images", "(say hog)"),
    ("--features pca:9999", "--features pca:9999: only 784 columns come in (say pca:784)"),
    ("--optimizer adm", "--optimizer adm", "did you mean adam?"),
    ("--momentum 0.5", "--momentum 0.5: adam has none (it belongs to sgd)"),
    ("--weight-decay 2 --optimizer adamw", "--weight-decay 2: a number of at least 0"),
    ("--epsilon 0", "--epsilon 0: a number above 0"),
    ("--schedule cosin", "--schedule cosin", "did you mean cosine?"),
    ("--l2 -1", "--l2 -1: a number of at least 0"),
    ("--tol 1e-4", "--tol 0.0001: only scikit-learn has it"),
    ("--seed 0,0", "--seed 0: given twice"),
    ("--seed -1", "--seed -1: a whole number from 0"),
    ("--seed 3 --seeds 5", "--seeds 5: --seed 3 names the seeds (give one of them)"),
    ("--nodes 0 --epochs x", "--nodes 0", "--epochs x"),
    ("--nodez 64", "--nodez: `mnistlab plan` has no such flag (did you mean --nodes?)"),
    ("-x", "-x: `mnistlab plan` has no such flag", "`mnistlab plan --help`"),
    ("--nodes " + ",".join(map(str, range(1, 1002))) + " --epochs " + ",".join(map(str, range(1, 1002))),
     "1,002,001 cells are more than the 1,000,000 a study can have"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "words"), [(flags, words) for flags, *words in AD_HOC], ids=lambda x: str(x)[:40])
def test_a_bad_value_of_an_ad_hoc_study_is_refused_by_its_flag(refused, flags, words):
    assert not lacking(refused(f"plan {flags}", 2), *words)


COMMANDS = [
    ("rnu smoke", "rnu: unknown command (did you mean run?)"),
    ("frobnicate", "frobnicate: unknown command (known: data, config, plan, run"),
    ("data fetsh", "fetsh: unknown command (did you mean fetch?)"),
    ("plan", "STUDY: a study or at least one flag of a cell is needed", "smoke", "--nodes 64"),
    ("run", "STUDY: a study or at least one flag of a cell is needed"),
    ("plan labb", "study labb: no such file, and no study of this name ships (did you mean lab?)"),
    ("run mine.toml", "study mine.toml: no such file"),
    ("run a/b", "study a/b: no such file"),
    (["run", "x" * 300], "300 characters"),
    (["run", "lab\n\x1b[31m"], "study 'lab\\n\\x1b[31m': no such file"),
    (["plan", "--nodes", "3", "lab\x1b[31m"], "STUDY lab\N{REPLACEMENT CHARACTER}[31m"),
    ("run smoke --nodes 32", "STUDY smoke: --nodes cannot change a study"),
    ("run --batch-size 60001", "--batch-size 60001", "has only 54,000 examples"),
    ("run smoke lab", "lab: one word too many for `mnistlab run`"),
    ("plan smoke --budget 10m", "--budget: `mnistlab plan` has no such flag"),
    *((f"run smoke --budget {value}", f"--budget {value}: a positive time is needed", "10m")
      for value in ("0", "-1", "x", "nan", "inf", "10d", "''")),
    ("run smoke --seeds 0", "--seeds 0: a whole number from 1 to 1,000,000"),
    ("run smoke --seeds -1", "--seeds -1: a whole number from 1"),
    ("run smoke --seeds 1e3", "--seeds 1e3: a whole number is needed (did you mean 1000?)"),
    ("run smoke --seeds 3.5", "--seeds 3.5: a whole number is needed"),
    ("run smoke --seeds 1 --seeds 2", "--seeds: given twice"),
    ("run smoke --until-decided --seeds 3", "--until-decided: it gives out seeds", "leave out --seeds, --seed"),
    ("run --nodes 8 --seed 1 --until-decided", "--until-decided: it gives out seeds"),
    ("run smoke --until-decided --max-seeds 4", "--max-seeds 4: a whole number from 5 to 1,000,000"),
    ("run smoke --until-decided --max-seeds 4.5", "--max-seeds 4.5: a whole number is needed"),
    ("run smoke --until-decided --margin -1", "--margin -1: a number of points above 0"),
    ("run smoke --until-decided --margin nan", "--margin nan: a number of points above 0"),
    ("run smoke --margin 1", "--margin 1: it goes with --until-decided"),
    ("run smoke --max-seeds 10", "--max-seeds 10: it goes with --until-decided"),
    ("run smoke --tune width", "--tune width: only learning_rate can be tuned for every cell", "--tune learning_rate"),
    ("run smoke --tune learning-rate", "--tune learning-rate: only learning_rate", "did you mean learning_rate?"),
    ("plan smoke --tune ''", "--tune '': only learning_rate can be tuned"),
    ("run smoke --tune learning_rate --until-decided", "--tune learning_rate: every cell gets the same seeds"),
    ("run --nodes 8 --validation-fraction 0 --tune learning_rate", '"1x8 relu, validation 0" has no valid'),
    ("run --nodes 8 --learning-rate 0.1,0.2 --tune learning_rate", "differ in their learning rate alone (leave one of"),
    ("plan --nodes 8 --learning-rate 900 --tune learning_rate", "would be tried with rate 3600: a number above 0"),
    ("run smoke --workers 0", "--workers 0: a whole number of 1 or more"),
    ("run smoke --workers -3", "--workers -3: a whole number of 1 or more"),
    ("plan smoke --workers 2.5", "--workers 2.5: a whole number is needed"),
    ("run smoke --engine foo", "--engine foo: no such engine", "auto, reference"),
    ("plan smoke --engine popualtion", "--engine popualtion: no such engine", "did you mean population?"),
    ("plan smoke --engine referense", "did you mean reference?"),
    ("run smoke --device tpu", "--device tpu: one of cpu, gpu is needed"),
    ("plan lab --max-runs 5", "study lab: 1,", "runs are more than 5 (--max-runs 1"),
    ("plan smoke --seeds 1000000", "6,000,000 runs are more than 100,000 (--max-runs 6000000 allows them)"),
    ("plan smoke --max-runs x", "--max-runs x: a whole number is needed"),
    ("results --json --csv", "--csv: --json is given as well (give one of them)"),
    *((f"results {first} {second}", f"{second}: {first} is given as well (give one of them)")
      for first, second in (("--json", "--markdown"), ("--csv", "--latex"), ("--markdown", "--parquet"))),
    ("figure widht", "figure widht: there is no such exhibit (did you mean width?)"),
    ("figure zzz", "figure zzz: there is no such exhibit (`mnistlab figure` lists them)"),
    ("figure --output x.svg", "--output x.svg: no NAME is given (mnistlab figure NAME --output FILE)"),
    ("figure width --json --output x.svg", "--output x.svg: --json is given as well (give one of them)"),
    ("figure width --output x.pdf", "--output x.pdf: its ending does not say", ".svg .png .csv .md .tex .parquet"),
    ("figure width --output .svg", "--output .svg: its ending does not say"),
    ("figure width nope", "study nope: no such file, and no study of this name ships"),
    ("figure width smoke lab", "lab: one word too many for `mnistlab figure`"),
    *((f"{reader} nope", "study nope: no such file, and no study of this name ships")
      for reader in ("results", "status", "report", "sensitivity", "verdicts")),
    ("compare abcd bcde", "cell abcd: the store holds none of that name"),
    ("compare abcd bcde --margin abc", "--margin abc: a number of points is needed (for example 0.2)"),
    ("verdicts --margin 0,5", "--margin 0,5: a number of points is needed (did you mean 0.5?)"),
    ("simulate --studies 19", "--studies 19: 20 or more are needed"),
    ("simulate --studies many", "--studies many: a whole number is needed"),
    ("verdicts --margin 0", "--margin 0: a number of points above 0 and below 100 is needed"),
    ("verdicts --margin 100", "--margin 100: a number of points above 0 and below 100 is needed"),
    ("verify", "verify: a file is needed"),
    ("show", "RUN: a value is needed"),
    ("show abc", "run abc: the store holds none of that name", "4 or more"),
    ("show ''", "the store holds none of that name"),
    ("show 0123456789abcdef", "run 0123456789abcdef: the store holds none of that name"),
    ("report", "results/mnistlab.sqlite: nothing has been run yet (mnistlab run smoke)"),
    ("report lab", "study lab: nothing has been run yet (mnistlab run lab)"),
    ("data fetch mnsit", "dataset mnsit: unknown data set (did you mean mnist?)"),
    ("data show cifar", "dataset cifar: unknown data set (known: mnist, fashion-mnist, digits)"),
    ("status --json=maybe", "--json maybe: true or false is needed"),
    ("status --csv", "--csv: `mnistlab status` has no such flag"),
    ("status --home", "--home: a value is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), [(line, words) for line, *words in COMMANDS], ids=lambda x: str(x)[:40])
def test_a_word_or_value_that_is_not_known_is_refused(refused, line, words):
    said = refused(line, 2)
    assert not lacking(said, *words)
    assert len(said) < 400


STUDIES = [
    ("[model]\nnode_countz = [4]", "mine.toml: model.node_countz: unknown key (did you mean node_counts?)"),
    ("[model]\nnode_counts = []", "model.node_counts []: at least one value is needed"),
    ("[model]\nnode_counts = [true]", "model.node_counts true: a whole number from 1"),
    ("[model]\nnode_counts = [0]\n[training]\nepochs = 0", "model.node_counts 0", "training.epochs 0"),
    ('name = "a/b"', "name a/b", 'set name = "'),
    ("seeds = [1, 1]", "seeds 1: given twice"),
    ("= 3", "mine.toml: not valid TOML"),
    ("", "mine.toml: it is empty"),
    ("[data]\nbatch_size = 60001", "study mine.toml, batch_size 60001", "has only 54,000 examples"),
    ("[[cell]]\nfeatures = ['pca:800']", "study mine.toml, features pca:800: only 784 columns come in"),
    ('dataset = "mnits"', "dataset mnits: unknown data set (did you mean mnist?)"),
]


@pytest.mark.parametrize(("content", "words"), [(text, words) for text, *words in STUDIES], ids=lambda x: str(x)[:40])
def test_a_study_file_that_makes_no_sense_is_refused_by_its_key(refused, home, content, words):
    (home / "mine.toml").write_text(content, encoding="utf-8")
    assert not lacking(refused("run mine.toml", 2), *words)


def test_a_config_that_fails_says_on_which_line(refused, home):
    (home / "mine.py").write_text("nodes = [4]\nCONFIG = {'model': {'node_counts': nodez}}\n", encoding="utf-8")
    assert not lacking(refused("plan mine.py", 2), "mine.py: NameError on line 2", "nodez")


# Stores.


def sqlite_file(path, application_id=0, version=0):
    connection = sqlite3.connect(path)
    connection.executescript(f"""
        CREATE TABLE something (x); PRAGMA application_id = {application_id}; PRAGMA user_version = {version};""")
    connection.close()


STORES = {
    "noise": (lambda path: path.write_bytes(b"noise " * 1000), "not an SQLite file"),
    "foreign": (sqlite_file, "an SQLite file of another program"),
    "newer": (lambda path: sqlite_file(path, APPLICATION_ID, 99), "written by a newer mnistlab, in format 99"),
    "tables gone": (lambda path: sqlite_file(path, APPLICATION_ID, SCHEMA_VERSION), "the file is damaged"),
    "folder": (Path.mkdir, "a file is needed, this is none"),
}
READERS = ("plan smoke", "run smoke", "status", "results", "report", "sensitivity", "verdicts", "compare abcd bcde",
           "show abcd", "figure", "figure width")  # fmt: skip


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", STORES)
def test_a_store_that_cannot_be_used_is_refused_and_left_alone(refused, home, kind, command):
    make, why = STORES[kind]
    make(home / "lab.sqlite")
    assert not lacking(refused(f"{command} --store lab.sqlite", 4), "lab.sqlite: ", why)


def test_a_home_that_cannot_be_written_is_named(refused, home):
    (home / "a file").write_text("")
    said = refused("run --dataset digits --framework sklearn --home 'a file'", 4)
    assert "a file/results/mnistlab.sqlite: not a dir" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_permission_is_named(refused, home):
    (home / "mine").mkdir(mode=0o500)
    said = refused("run --dataset digits --framework sklearn --home mine", 4)
    assert not lacking(said, "mine/results", "permission denied")


# Data.

PIXELS = 60_000 * 28 * 28


def idx(path, *numbers, size=0):
    """A header and as many zeros as are missing to `size`, which take no room on the disk."""
    with path.open("wb") as file:
        file.write(struct.pack(f">{len(numbers)}I", *numbers))
        file.truncate(max(size, 4 * len(numbers)))


def images(path, shape=(60_000, 28, 28), size=16 + PIXELS):
    idx(path, 0x803, *shape, size=size)


def ten(path):
    idx(path, 0x801, 60_000, size=60_008)
    with path.open("r+b") as file:
        file.seek(8 + 4711)
        file.write(b"\x0a")


IMAGES = {
    "nothing": (lambda path: None, "no such file"),
    "empty": (Path.touch, "0 bytes, expected a header of 16"),
    "truncated": (lambda path: images(path, size=1016), "1,016 bytes, expected 47,040,016 for the 60000×28×28"),
    "trailing bytes": (lambda path: images(path, size=17 + PIXELS), "47,040,017 bytes, expected 47,040,016"),
    "a header that lies": (lambda path: images(path, (2**31, 2**31, 2**31)), "expected 9,903,520,314,283,042,"),
    "no images": (lambda path: images(path, (0, 28, 28), 16), "no images"),
    "labels": (lambda path: idx(path, 0x801, 60_000, size=60_008), "magic number 2049 (labels), 2051 is expected"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "compressed with gzip"),
    "folder": (Path.mkdir, "not a regular file"),
    "FIFO": (os.mkfifo, "not a regular file"),
}
LABELS = {
    "nothing": (lambda path: None, "no such file"),
    "one too few": (lambda path: idx(path, 0x801, 59_999, size=60_007), "59,999 labels for 60,000 images"),
    "a label 10": (ten, "label 10 at position 4,711, expected 0 to 9"),
    "images": (images, "magic number 2051 (images), 2049 is expected"),
}


@pytest.fixture
def folder(home, monkeypatch):
    """The cache's folder for MNIST, outside of home: files of 47 MB are not to be listed."""
    folder = home.with_name(f"{home.name}-data") / "mnist"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MNISTLAB_DATA_DIR", str(folder.parent))
    return folder


def kinds(folder):
    return {path.name: (path.stat().st_mode, path.stat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_that_are_damaged_are_refused_and_nothing_is_trained(refused, folder, kind):
    make, why = IMAGES[kind]
    make(folder / "train-images-idx3-ubyte")
    before = kinds(folder)
    assert not lacking(refused("data show", 3), "train-images-idx3-ubyte: ", "mnistlab data fetch mnist", why)
    said = refused("run smoke", 3)
    assert not lacking(said, "mnist: no source has it", "missing or damaged", "offline", "--dataset digits")
    assert kinds(folder) == before


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_damaged_are_refused(refused, folder, kind):
    images(folder / "train-images-idx3-ubyte")
    make, why = LABELS[kind]
    make(folder / "train-labels-idx1-ubyte")
    assert not lacking(refused("data show", 3), "train-labels-idx1-ubyte: ", why, "mnistlab data fetch mnist")


def test_other_digits_than_the_published_are_refused(refused, folder):
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        images(folder / f"{part}-images-idx3-ubyte", (n, 28, 28), 16 + 784 * n)
        idx(folder / f"{part}-labels-idx1-ubyte", 0x801, n, size=8 + n)
    said = refused("data show", 3)
    assert not lacking(said, "train-images-idx3-ubyte: damaged: SHA-256", "mnistlab data fetch mnist")


def test_a_folder_without_the_files_is_told_with_everything_that_was_tried(refused, home):
    (home / "mine").mkdir()
    said = refused("data fetch --from mine", 3)
    assert not lacking(said, "mine: train-images-idx3-ubyte: no such file there, nor with .gz",
                       "network: not tried, offline", "data/raw/mnist by hand", "--dataset digits")  # fmt: skip
    assert said.startswith("mnist: no source has it: cache: ")


# A user's own data.


def npz(path, **changed):
    """Sixty images of two classes in an .npz file, some arrays changed; what is None is left out."""
    arrays = {"images": np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8),
              "labels": np.arange(60) % 2, **changed}  # fmt: skip
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def nan(path):
    images = np.random.default_rng(0).random((60, 4, 4))
    images[41, 0, 0] = np.nan
    npz(path, images=images)


def lying(path):
    npz(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["images.npy"] = members["images.npy"].replace(b"(60, 4, 4)", b"(60000, 9)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(30_000_000))
        archive.writestr("labels.npy", b"")


def cut(path):
    npz(path)
    path.write_bytes(path.read_bytes()[:-50])


OWN = {
    "nothing": (lambda path: None, "no such file or folder"),
    "empty": (Path.touch, "no intact .npz file"),
    "truncated": (cut, "no intact .npz file"),
    "another kind": (lambda path: path.write_bytes(gzip.compress(b"x")), "no intact .npz file"),
    "FIFO": (os.mkfifo, "not a regular file"),
    "a header that lies": (lying, "images: its header says uint8 (60000, 9), it has 960 bytes"),
    "zip bomb": (bomb, "images: says it unpacks", "bytes to 30,000,000"),
    "pickled": (lambda path: npz(path, labels=np.array([None] * 60)), "labels: holds pickled objects"),
    "labels as images": (lambda path: npz(path, images=np.arange(60)), "images: int64 of shape (60,)"),
    "59 labels for 60 images": (lambda path: npz(path, labels=np.arange(59) % 2), "labels: 59 labels for 60 images"),
    "a label too many": (lambda path: npz(path, labels=np.arange(60) * 9), "label 261, expected 0 to 255"),
    "a class absent": (lambda path: npz(path, labels=np.arange(60) % 2 * 2), "class 1 has no training image"),
    "one class": (lambda path: npz(path, labels=np.zeros(60, int)), "one class only, 0"),
    "NaN pixels": (nan, "images: NaN among the pixels of image 41"),
    "values out of range": (lambda path: npz(path, images=np.full((60, 4, 4), 256)), "images: pixels from 256 to 256"),
    "all images the same": (lambda path: npz(path, images=np.ones((60, 4, 4))), "all images are the same"),
    "no labels": (lambda path: npz(path, labels=None), "holds images", "images and labels"),
    "empty folder": (Path.mkdir, "holds no folder of pictures"),
    "folder of an empty class": (lambda path: (path / "cat").mkdir(parents=True), "holds no picture"),
}


@pytest.mark.parametrize("kind", OWN)
def test_data_of_one_s_own_that_are_no_data_set_are_refused_and_nothing_is_written(refused, home, kind):
    make, *words = OWN[kind]
    make(home / "mine.npz")
    for line in ("data fetch mine.npz", "data show mine.npz", "plan --dataset mine.npz", "run --dataset mine.npz"):
        assert not lacking(refused(line, 3), "mine.npz", *words)


@pytest.mark.parametrize(("make", "words"), [
    (lambda path: path.write_text("text"), "1.png: no PNG or JPEG picture"),
    (lambda path: path.write_bytes(b""), "1.png: 0 bytes"),
    (os.mkfifo, "1.png: not a regular file"),
    (lambda path: Image.new("L", (5, 4)).save(path), "1.png: 4×5 pixels high and wide, the first picture has 4×4"),
], ids=["text", "empty", "FIFO", "another size"])  # fmt: skip
def test_a_picture_of_a_folder_that_does_not_fit_is_named(refused, home, make, words):
    for name in ("cat/0", "dog/0", "dog/2"):
        (home / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(home / "pets" / f"{name}.png")
    make(home / "pets" / "dog" / "1.png")
    assert f"pets/dog/{words}" in refused("run --dataset pets", 3)


def test_what_makes_no_sense_beside_data_of_one_s_own_is_refused(refused, home):
    npz(home / "mine.npz")
    said = refused("run --dataset mine.npz --batch-size 1000", 2)
    assert not lacking(said, "--batch-size 1000", "has only 47 examples")
    assert "--from .: mine.npz is a path itself (give one of them)" in refused("data fetch mine.npz --from .", 2)
    assert "--sheet mine.gif: a file .png or .svg is needed" in refused("data show mine.npz --sheet mine.gif", 2)
    assert "dataset nothing-000000000000: not in the cache" in refused("data show nothing-000000000000", 3)


# In a process of its own.


@pytest.mark.parametrize("line", ["--help", "plan lab", "status --json", "plan --help"])
def test_a_reader_that_has_gone_is_no_fault(process, home, line):
    reader, writer = os.pipe()
    os.close(reader)
    answer = process(*line.split(), cwd=home, stdout=writer)
    os.close(writer)
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_output_is_told(process, home):
    with Path("/dev/full").open("w") as full:
        answer = process("plan", "lab", cwd=home, stdout=full)
    assert (answer.status, answer.err) == (5, f"{PREFIX}output: no space left on the device (make room)\n")


@pytest.mark.parametrize(("line", "status"), [("run labb", 2), ("data show", 3), ("status --store .", 4)])
def test_a_process_ends_with_one_line_and_the_status(process, home, line, status):
    answer = process(*line.split(), cwd=home)
    assert (answer.status, answer.out, answer.err.count("\n")) == (status, "", 1)
    assert answer.err.startswith(PREFIX)
    assert listing(home) == {}


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there may be a GPU here")
def test_a_gpu_that_is_not_there_is_an_error_before_the_first_run(process, home):
    answer = process("run", "--dataset", "digits", "--device", "gpu", cwd=home)
    assert (answer.status, answer.out) == (5, "")
    assert answer.err == f"{PREFIX}--device gpu: JAX finds no GPU on this machine (--device cpu)\n"
    assert listing(home) == {}


def test_a_fault_of_ours_is_one_line_that_names_a_log(process, home):
    program = ("-c", "import mnistlab.lab, mnistlab.cli.app as app; del mnistlab.lab.status; app.main(['status'])")
    answer = process(cwd=home, program=program, TMPDIR=str(home))
    (log,) = home.iterdir()
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert answer.err.startswith(f"{PREFIX}AttributeError: ")
    assert answer.err.endswith(f"(a fault of ours; details in {log})\n")
    assert "Traceback" in log.read_text(encoding="utf-8")


# What people see on a narrow terminal, or without colours.


@pytest.mark.parametrize(
    "line", ["plan lab", "plan --nodes 4,2056 --depth 1,16", "results", "status", "data show digits"]
)
def test_no_line_is_wider_than_the_terminal(mnistlab, monkeypatch, line):
    monkeypatch.setenv("COLUMNS", "40")
    lines = mnistlab(*line.split()).out.splitlines()
    assert max(map(cell_len, lines)) <= 40


def test_help_has_no_colours_where_none_are_wanted(process, home):
    assert "\x1b" not in process("run", "--help", cwd=home, NO_COLOR="1").out


# Model files. tests/test_saving.py has every forged one, for the function that reads them.


def _forged(path, change):
    """A network whose description was changed, with a checksum that fits."""
    network = TrainedNetwork(Run(Cell(Architecture((2,)), dataset="digits"), 0), (8, 8), tuple("0123456789"), (
        Stage("scale"), Stage("dense", (np.ones((64, 2), "f4"), np.ones(2, "f4"))), Stage("relu"),
        Stage("dense", (np.ones((2, 10), "f4"), np.ones(10, "f4"))), Stage("softmax"),
    ), "0" * 64)  # fmt: skip
    saving.save(network, path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description, arrays = json.loads(header["__metadata__"]["mnistlab"]), safetensors.numpy.load(content)
    change(description, arrays)
    text = json.dumps(description)
    metadata = {"mnistlab": text, "sha256": saving._sha256(text, arrays)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def _poison(description, arrays):
    arrays["0003.dense.bias"] = np.full(10, np.nan, "f4")


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../config.json", "{}")


MODELS = [
    (lambda path: path.write_bytes(pickle.dumps([1.0])), "this is a pickle (only the `.safetensors` files of"),
    (_zip, "this is a zip archive, as `.keras` files are"),
    (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), "this is HDF5"),
    (lambda path: path.write_bytes(b"\x08\x09\x12\x08somebody" + bytes(64)), "this is ONNX"),
    (lambda path: path.write_bytes(b""), "not a file that mnistlab wrote, or cut off"),
    (os.mkfifo, "not a regular file"),
    (Path.mkdir, "not a regular file"),
    (lambda path: None, "no such file"),
    (lambda path: _forged(path, lambda d, a: d["stages"].insert(1, "lambda")), "stage 2 is 'lambda', where dense"),
    (lambda path: _forged(path, lambda d, a: d.update(format=2)), "written in format 2 of a newer mnistlab"),
    (lambda path: _forged(path, lambda d, a: a.update({"../x": np.ones(2, "f4")})), "its arrays are not those of"),
    (lambda path: _forged(path, lambda d, a: a.update({"0001.dense.kernel": np.ones((2, 64), "f4")})),
     "0001.dense.kernel is F32 (2, 64), where numbers of (64, 2) are expected"),
    (lambda path: _forged(path, _poison), "a weight is not a finite number"),
    (lambda path: (_forged(path, lambda d, a: None), path.write_bytes(path.read_bytes()[:-9])), "damaged"),
    (lambda path: (_forged(path, lambda d, a: None), path.write_bytes(path.read_bytes()[:-1] + b"\x41")),
     "its checksum is wrong: it is not as it was written"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), MODELS, ids=[said[:30] for _, said in MODELS])
def test_a_model_file_that_is_none_is_refused(refused, home, make, said):
    Image.new("L", (20, 20), 255).save(home / "a.png")
    make(home / "a.safetensors")
    line = refused("predict a.safetensors a.png", 3)
    assert line.startswith("a.safetensors: ")
    assert said in line
