"""Studies with a planted truth: frames as the store hands them out, nothing trained. Networks of any architecture."""

import functools
import json
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mnistlab.plan import CellSize, architecture_key
from mnistlab.spec import Architecture, Cell, Features, Run, Split, Training

COMPILED = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    """What JAX compiles for one test serves every other of this session, in all their processes.

    Tests that are about compilation, or about processes that have nothing in common, take COMPILED away.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:  # it has the folder of the process that started it
        folder = tempfile.TemporaryDirectory(prefix="mnistlab-compiled-")
        config.add_cleanup(folder.cleanup)
        os.environ[COMPILED] = folder.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_collection_modifyitems(items):
    """Files with slow tests first: a long one at the end would leave every process but its own without work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def planted_study(truth, *, n_digits=1000, n_classes=10, members=1):
    """`truth`: (cell, expected accuracy, statuses by seed) each. Difficulty of digits and luck of seeds are shared."""
    random = np.random.default_rng(11)
    hard, luck = 1.5 * random.standard_normal(n_digits), 0.1 * random.standard_normal(100)
    cells, runs, measurements = [], [], []
    for cell, accuracy, statuses in truth:
        size = _size(cell, n_digits, n_classes)
        cells.append({"cell": cell.id, "label": cell.label, **cell.settings(), "n_classes": n_classes,
                      "architecture_key": architecture_key(cell, size), "parameters": size.parameters,
                      "n_train": round(54_000 * cell.split.train_fraction), "n_validation": 6_000, "n_test": n_digits,
                      "flops_per_step": size.flops_per_step,
                      "steps_per_epoch": size.steps_per_epoch})  # fmt: skip
        for seed, status in enumerate(statuses):
            score = hard + luck[seed] + 0.05 * random.standard_normal() + random.standard_normal(n_digits)
            correct = score > -norm.ppf(accuracy) * np.sqrt(1 + 1.5**2 + 0.1**2)
            runs.append(_run(cell, seed, status, correct, size, members, random))
        measurements.append({"architecture_key": architecture_key(cell, size), "framework": cell.framework,
                             "environment": "e" * 16, "seconds_per_step": 0.001, "peak_bytes": None,
                             "parameter_bytes": 16 * size.parameters,
                             "inference_us_per_image": 2.5, "energy_joules": None})  # fmt: skip
    return SimpleNamespace(cells=pd.DataFrame(cells, columns=_CELL_COLUMNS),
                           runs=pd.DataFrame(runs, columns=_RUN_COLUMNS),
                           measurements=pd.DataFrame(measurements, columns=_PROBE_COLUMNS))  # fmt: skip


def planted_evidence(truth, **rest):
    """The same as `Evidence`: with epochs that approach each run's accuracies, perfect calibration, and digits."""
    from mnistlab.analysis.evidence import Evidence, TestDigits
    from mnistlab.records import PartLabels

    study, random = planted_study(truth, **rest), np.random.default_rng(12)
    done = study.runs[study.runs["status"] == "done"]
    epochs = [
        {"run": run["run"], "epoch": epoch, "train_loss": left, "validation_loss": 0.5 * left + 0.002 * epoch,
         **{part: run[part] - left / 10 for part in ("validation_accuracy", "test_accuracy")}}
        for run in done.to_dict("records")
        for epoch in range(1, int(run["epochs_done"]) + 1)
        for left in [2.0 ** -epoch]
    ]  # fmt: skip
    confidence = np.linspace(0.3, 1, 15)
    bins = [{"run": run["run"], "cell": run["cell"], "bin": number, "count": int(run["test_n"] // 15),
             "confidence": confidence[number], "accuracy": confidence[number]}
            for run in done.to_dict("records") for number in range(15)]  # fmt: skip
    digits = None
    if len(done):
        n = int(done["test_n"].iloc[0])
        labels = np.arange(n, dtype=np.uint8) % 10
        right = np.stack([np.unpackbits(bits, count=n) for bits in done["test_bits"]]).astype(bool)
        predicted = np.where(right, labels, (labels + 1 + random.integers(3, size=right.shape)) % 10).astype(np.uint8)
        on = PartLabels("mnist", "test", 10, np.arange(60_000, 60_000 + n, dtype=np.int32), labels)
        images = random.integers(256, size=(n, 28, 28), dtype=np.uint8)
        digits = TestDigits(on, tuple("0123456789"), pd.DataFrame(predicted, index=list(done["run"])), images)
    return Evidence("lab", study.cells, study.runs, pd.DataFrame(epochs, columns=_EPOCH_COLUMNS), study.measurements,
                    pd.DataFrame(bins, columns=_BIN_COLUMNS), pd.DataFrame([_ENVIRONMENT]), digits)  # fmt: skip


SEARCHED = {"width": (16, 32, 64, 128, 256, 512), "depth": (1, 2, 3),
            "steps": (("scale",), ("deskew", "scale"), ("scale", "pca:50")), "activations": ("relu", "gelu", "tanh"),
            "dropout": (0.0, 0.1, 0.2, 0.4), "learning_rate": (0.0003, 0.001, 0.003, 0.01),
            "schedule": ("constant", "cosine"), "batch_size": (32, 64, 128, 256)}  # fmt: skip


def planted_search(n=150, *, objective="accuracy", n_winners=1, fresh=5, given_up=0.5, lost=(), random=7):
    """What is known of a search whose errors follow from its knobs (`planted_error`); its best cells are confirmed with
    so many `fresh` seeds. Of its trials a share is given up, and those of the numbers `lost` diverge.
    """
    from dataclasses import replace

    from mnistlab.analysis.trials import Search

    rng = np.random.default_rng(random)
    trials, cells = [], []
    for number in range(1, n + 1):
        row = {name: values[rng.integers(len(values))] for name, values in SEARCHED.items()}
        cell = Cell(Architecture((row["width"],) * row["depth"], row["activations"], dropout=row["dropout"]),
                    features=Features(row["steps"]),
                    training=Training(learning_rate=row["learning_rate"], schedule=row["schedule"],
                                      batch_size=row["batch_size"], epochs=12))  # fmt: skip
        accuracy = 1 - planted_error(row) * float(np.exp(0.08 * rng.standard_normal()))
        stops = rng.random() < given_up
        status = "diverged" if number in lost else "done"
        accuracy = np.nan if number in lost else accuracy - 0.03 * stops
        parameters = cell.architecture.parameters(784, 10)
        cells.append(cell)
        trials.append({"number": number, "run": Run(cell, 1000).id, "cell": cell.id, "label": cell.label, **row,
                       "status": status, "validation_accuracy": accuracy, "validation_n": 6000,
                       "epochs_done": 2 if stops else 12, "epochs_asked": 12, "given_up": bool(stops),
                       "parameters": parameters, "seconds_per_epoch": 0.2 + 2e-6 * parameters})  # fmt: skip
    frame = pd.DataFrame(trials, columns=[*_TRIAL_COLUMNS[:4], *SEARCHED, *_TRIAL_COLUMNS[4:]])
    trained = frame[(frame["status"] == "done") & ~frame["given_up"]].drop_duplicates("cell")
    best = trained.sort_values("validation_accuracy", ascending=False).head(8)
    chosen = [cells[place] for place in best.index[:n_winners]]
    known = planted_evidence([(cell, 1 - planted_error(frame.loc[place]), ("done",) * fresh)
                              for cell, place in zip(chosen, best.index, strict=False) if fresh])  # fmt: skip
    race = [{"cell": row["cell"], "label": row["label"], "seed": 1000 + seed, "kept": place < 2,
             "validation_accuracy": row["validation_accuracy"] - 0.001 * (seed > 0) + 0.0004 * rng.standard_normal()}
            for place, row in enumerate(best.to_dict("records")) for seed in range(3)]  # fmt: skip
    race = pd.DataFrame(race, columns=["cell", "label", "seed", "validation_accuracy", "kept"]).assign(n_classes=10)
    winners = [_winner(row, race, known, fresh) for row in best.head(n_winners).to_dict("records")]
    winners = pd.DataFrame(winners, columns=_WINNER_COLUMNS)
    search = Search(objective, tuple(SEARCHED), frame.assign(n_classes=10), winners, race)
    return replace(known, search=search)


def planted_error(row):
    """Width and rate matter much, the rate otherwise under a cosine; features and dropout a little; others nothing."""
    width, rate = np.log2(row["width"]) - 6, np.log10(row["learning_rate"]) + 2.75
    tilt = 0.25 * rate * (1 if row["schedule"] == "cosine" else -1)
    features = {("scale",): 0.0, ("deskew", "scale"): -0.25, ("scale", "pca:50"): -0.1}[tuple(row["steps"])]
    return 0.022 * float(np.exp(-0.2 * width + 0.5 * rate**2 + tilt + features + 0.3 * row["dropout"]))


def _winner(row, race, known, fresh):
    searched = race.loc[race["cell"] == row["cell"], "validation_accuracy"]
    runs = known.runs[known.runs["cell"] == row["cell"]]
    estimate = known.results.rows.set_index("cell")["accuracy"].get(row["cell"]) if fresh else None
    scores = runs["validation_accuracy"]
    half = 2.776 * scores.std() / np.sqrt(len(scores)) if fresh > 1 else np.nan
    optimism = searched.mean() - scores.mean() if fresh else np.nan
    tested = (estimate.value, estimate.low, estimate.high) if fresh >= 5 else (np.nan,) * 3
    return (row["cell"], row["label"], row["parameters"], row["seconds_per_epoch"], len(searched), searched.mean(),
            fresh, scores.mean() if fresh else np.nan, optimism, optimism - half, optimism + half, *tested,
            fresh >= 5, 0, 0)  # fmt: skip


_TRIAL_COLUMNS = ("number", "run", "cell", "label", "status", "validation_accuracy", "validation_n", "epochs_done",
                  "epochs_asked", "given_up", "parameters", "seconds_per_epoch")  # fmt: skip
_WINNER_COLUMNS = ("cell", "label", "parameters", "seconds_per_epoch", "n_searched", "searched_accuracy", "n_fresh",
                   "fresh_validation_accuracy", "optimism", "optimism_low", "optimism_high", "accuracy",
                   "accuracy_low", "accuracy_high", "confirmed", "n_lost", "n_collapsed")  # fmt: skip
_NUMBERS = ("epochs_done", "best_epoch", "import_seconds", "idle_seconds", "data_seconds", "compile_seconds",
            "steps_seconds", "evaluation_seconds", "test_accuracy", "test_n",
            "test_log_loss", "test_brier", "test_macro_f1", "test_ece", "test_ece_floor",
            "validation_accuracy")  # fmt: skip
_CELL_COLUMNS = ("cell", "label", *Cell(Architecture((64,))).settings(), "n_classes", "architecture_key", "parameters",
                 "n_train", "n_validation", "n_test", "flops_per_step", "steps_per_epoch")  # fmt: skip
_PROBE_COLUMNS = ("architecture_key", "framework", "environment", "seconds_per_step", "peak_bytes", "parameter_bytes",
                  "inference_us_per_image", "energy_joules")  # fmt: skip
_ENVIRONMENT = {"id": "e" * 16, "python": "3.11.2", "platform": "Linux x86_64", "processor": "a processor", "cores": 2,
                "threads": 1, "device": "cpu", "packages": '{"keras": "3.15.0"}', "variables": "{}",
                "data_sha256": "0" * 64, "code_version": "0.1.0"}  # fmt: skip
_EPOCH_COLUMNS = ("run", "epoch", "train_loss", "validation_loss", "validation_accuracy", "test_accuracy")
_BIN_COLUMNS = ("run", "cell", "bin", "count", "confidence", "accuracy")
_RUN_COLUMNS = ("run", "cell", "seed", "status", "stopped_by", "engine", "members", "environment", "differences",
                "test_labels", "test_bits", "epochs_asked", *_NUMBERS)  # fmt: skip


def _size(cell, n_digits, n_classes):
    layers, batch = cell.architecture, cell.training.batch_size
    trainable = layers.trainable_parameters(784, n_classes)
    flops = layers.flops_per_step(784, n_classes, batch)
    return CellSize(784, n_classes, 54_000, 6_000, n_digits, layers.parameters(784, n_classes), trainable, flops,
                    54_000 // batch)  # fmt: skip


def _run(cell, seed, status, correct, size, members, random):
    row = {"run": Run(cell, seed).id, "cell": cell.id, "seed": seed, "status": status, "engine": "reference",
           "members": members, "environment": "e" * 16, "differences": "[]",
           "epochs_asked": cell.training.epochs}  # fmt: skip
    if cell.framework == "sklearn":
        row["differences"] = json.dumps(["one random_state for everything"])
    if status != "done":
        return {**row, "test_bits": None, **dict.fromkeys(_NUMBERS, np.nan)}
    accuracy = correct.mean()
    stopped = "early_stopping" if cell.training.early_stopping_patience and seed % 3 else "epochs"
    steps = 1e-3 * size.steps_per_epoch * cell.training.epochs * (1 + size.parameters / 1e6) * random.uniform(0.95, 1.1)
    return {**row, "stopped_by": stopped, "epochs_done": cell.training.epochs - (stopped != "epochs") * (seed + 5.0),
            "best_epoch": np.nan if stopped == "epochs" else cell.training.epochs - seed - 10.0,
            "import_seconds": 0.2, "idle_seconds": 0.1, "data_seconds": 0.4, "compile_seconds": 1.5,
            "steps_seconds": steps, "evaluation_seconds": 0.3,
            "test_accuracy": accuracy, "test_n": correct.size, "test_labels": "d" * 16,
            "test_bits": np.packbits(correct), "test_log_loss": 3 * (1 - accuracy), "test_brier": 1.5 * (1 - accuracy),
            "test_macro_f1": accuracy - 0.001, "test_ece": 0.006, "test_ece_floor": 0.003,
            "validation_accuracy": accuracy - 0.002}  # fmt: skip


def _lab():
    def uniform(width, depth, activation="relu", **rest):
        return Cell(Architecture((width,) * depth, activation), **rest)

    done = ("done",) * 5
    widths = {4: 0.85, 32: 0.962, 64: 0.973, 128: 0.977, 512: 0.981, 2056: 0.982}
    depths = {4: 0.974, 5: 0.974, 6: 0.973, 8: 0.972, 16: 0.965}
    patient = Training(epochs=50, early_stopping_patience=5)
    quarter = Split(train_fraction=0.25)
    return [
        *((uniform(width, 1), accuracy, done) for width, accuracy in widths.items()),
        *((uniform(64, depth), accuracy, done) for depth, accuracy in depths.items()),
        (uniform(64, 4, "sigmoid"), 0.968, done),
        (uniform(64, 16, "sigmoid"), 0.1135, done),
        (uniform(64, 4, "tanh"), 0.972, done),
        (uniform(64, 16, "tanh"), 0.966, (*done[:3], "diverged", "diverged")),
        (Cell(Architecture((256, 128, 64, 32))), 0.979, done[:4]),
        (uniform(64, 4, split=quarter), 0.952, done[:1]),
        (uniform(64, 4, training=patient), 0.976, done),
        (Cell(Architecture((64,) * 16, batch_norm=True)), 0.974, ("planned",) * 5),
        (uniform(64, 1, framework="sklearn"), 0.974, done),
        (uniform(64, 4, framework="sklearn"), 0.973, done),
    ]


def _more():
    """What the figures of all other knobs need: orders, combinations, fractions, and each switch on."""

    def base(**rest):
        return Cell(Architecture((64,) * 4, **{k: rest.pop(k) for k in ("dropout", "batch_norm") if k in rest}), **rest)

    orders = (("relu", "sigmoid", "tanh"), ("tanh", "sigmoid", "relu"), ("sigmoid", "tanh", "relu"))
    done = ("done",) * 5
    return [
        *((Cell(Architecture((32,) * 3, order)), 0.965 - 0.003 * n, done) for n, order in enumerate(orders)),
        (Cell(Architecture((256, 256))), 0.98, done),
        *((base(split=Split(train_fraction=share)), 0.974 - 0.01 * (share**-0.5 - 1), done)
          for share in (0.0625, 0.125, 0.5, 0.75)),
        (base(batch_norm=True), 0.976, done),
        (base(dropout=0.2), 0.975, done),
        (base(training=Training(schedule="cosine")), 0.978, done),
        (base(training=Training(epochs=30)), 0.976, done),
        (base(training=Training(learning_rate=0.01)), 0.95, done),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def plant():
    """The maker of a study: see `planted_study`."""
    return planted_study


@pytest.fixture(scope="session")
def plant_evidence():
    """The maker of what is known of a planted study: see `planted_evidence`."""
    return planted_evidence


@pytest.fixture(scope="session")
def plant_search():
    """The maker of what is known of a planted search: see `planted_search`."""
    return functools.cache(planted_search)


@pytest.fixture(scope="session")
def lab_evidence():
    """Everything known of the small course lab of `lab_results`."""
    return planted_evidence([*_lab(), *_more()])


@pytest.fixture(scope="session")
def tuned_evidence():
    """A tuned study of 16, 64 and 256 nodes, whose best rates are 1, 1/2 and 1/4 of that of the study it came from.

    There the widest network was worst; with each at its best it is best.
    """
    from mnistlab.analysis.fair import TunedFrom
    from mnistlab.fair import FACTORS

    def tried(width, factor):
        return Cell(Architecture((width,)), training=Training(learning_rate=0.008 * factor))

    def accuracy(width, factor):
        return reach[width] - 0.03 * abs(np.log2(factor / best[width]))

    reach, best, done = {16: 0.9, 64: 0.93, 256: 0.94}, {16: 1, 64: 0.25, 256: 1 / 16}, ("done",) * 6
    plain = planted_study([(tried(width, 1), accuracy(width, 1), done) for width in best])
    tuned = planted_evidence([(tried(width, factor), accuracy(width, factor), done) for width, factor in best.items()])
    trials = pd.DataFrame([
        {"run": Run(cell, seed).id, "cell": cell.id, "label": cell.label, "seed": seed,
         "accuracy": accuracy(width, factor), **cell.settings(), "tuned_knob": "learning_rate"}
        for width in best for factor in FACTORS for cell in [tried(width, factor)] for seed in (90, 91)
    ])  # fmt: skip
    source = TunedFrom("widths", "mnistlab run widths.toml", trials, plain.cells, plain.runs)
    cells = tuned.cells.assign(tuned_knob="learning_rate")
    return replace(tuned, study="widths-tuned", cells=cells, tuned_from=source)


@pytest.fixture(scope="session")
def lab_results():
    """Results of a small course lab, five seeds: collapsed, diverged, single and missing networks among them."""
    from mnistlab.analysis.results import results_table

    study = planted_study(_lab())
    return results_table(study.cells, study.runs, study.measurements)


@pytest.fixture(scope="session")
def draw_network():
    """A maker of networks on digits: number → network, images, and what the framework itself says of them.

    Cells and weights are drawn from the number; Keras' are drawn anew, scikit-learn's trained a little. The same call
    gives the same network, drawn once.
    """
    from mnistlab.datasets import catalog

    dataset = catalog.load("digits", Path())
    return functools.cache(lambda number, **fixed: _draw_network(dataset, np.random.default_rng(number), fixed))


def _draw_network(dataset, random, fixed):
    from mnistlab.network import TrainedNetwork, stages_of
    from mnistlab.preprocessing import prepare

    cell = fixed.get("cell") or _draw_cell(random, dataset.info.name)
    run = Run(cell, int(random.integers(1000)))
    data = prepare(dataset, cell.split, cell.features, run.seed)
    train = _draw_keras if cell.framework == "keras" else _fit_sklearn
    predict, weights = train(run, data, random)
    stages = stages_of(cell, data.pipeline, weights)
    network = TrainedNetwork(run, dataset.info.image_shape, dataset.info.class_names, stages, "0" * 64)
    images = dataset.images[data.test.indices]
    return SimpleNamespace(network=network, images=images, data=data, probabilities=predict(data.X_test))


def _draw_cell(random, dataset):
    framework = str(random.choice(["keras", "keras", "sklearn"]))
    depth = int(random.integers(1, 6))
    names = ["relu", "sigmoid", "tanh", "gelu", "elu"] if framework == "keras" else ["relu", "sigmoid", "tanh"]
    activations = [str(name) for name in random.choice(names, depth)]
    features = [
        ("scale",),
        ("standardize",),
        ("scale", "pca:20"),
        ("standardize", "pca:30"),
        ("pca:12", "standardize"),
    ]  # not pca alone: what it makes of bytes is so large that float32 shows
    layers = Architecture(
        tuple(int(width) for width in random.integers(4, 65, depth)),
        tuple(activations) if framework == "keras" else activations[0],
        batch_norm=framework == "keras" and bool(random.integers(2)),
        dropout=0.2 if framework == "keras" and random.integers(2) else 0.0,
    )
    return Cell(layers, features=Features(features[random.integers(len(features))]), dataset=dataset,
                framework=framework, training=Training(l2=float(random.choice([0, 1e-4])), epochs=3))  # fmt: skip


def _draw_keras(run, data, random):
    from mnistlab.dnn_model import create_dnn_model

    shape, training = (data.X_train.shape[1],), run.cell.training
    model = create_dnn_model(shape, run.cell.architecture, training=training, n_classes=data.n_classes, seed=run.seed)
    model.set_weights([
        weight * random.uniform(0.5, 2) if weight.ndim == 2 else random.uniform(0.1, 1, weight.shape)
        for weight in model.get_weights()
    ])  # fmt: skip
    return lambda X: model.predict(X, batch_size=2_000, verbose=0), model.get_weights()


def _fit_sklearn(run, data, random):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    from mnistlab.ffn_model import classifier_parameters

    model = MLPClassifier(**classifier_parameters(run.cell, run.seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data.X_train, data.y_train)
    return model.predict_proba, [a for pair in zip(model.coefs_, model.intercepts_, strict=True) for a in pair]
