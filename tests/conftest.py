"""Studies with a planted truth: frames as the store hands them out, nothing trained."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mnistlab.plan import CellSize, architecture_key
from mnistlab.spec import Architecture, Cell, Run, Split, Training


def planted_study(truth, *, n_digits=1000, n_classes=10, members=1):
    """`truth`: (cell, expected accuracy, statuses by seed) each. Difficulty of digits and luck of seeds are shared."""
    random = np.random.default_rng(11)
    hard, luck = 1.5 * random.standard_normal(n_digits), 0.1 * random.standard_normal(100)
    cells, runs, measurements = [], [], []
    for cell, accuracy, statuses in truth:
        size = _size(cell, n_digits, n_classes)
        cells.append({"cell": cell.id, "label": cell.label, **cell.settings(), "n_classes": n_classes,
                      "architecture_key": architecture_key(cell, size), "parameters": size.parameters,
                      "flops_per_step": size.flops_per_step})  # fmt: skip
        for seed, status in enumerate(statuses):
            score = hard + luck[seed] + 0.05 * random.standard_normal() + random.standard_normal(n_digits)
            correct = score > -norm.ppf(accuracy) * np.sqrt(1 + 1.5**2 + 0.1**2)
            runs.append(_run(cell, seed, status, correct, size, members, random))
        measurements.append({"architecture_key": architecture_key(cell, size), "seconds_per_step": 0.001,
                             "peak_bytes": None, "parameter_bytes": 16 * size.parameters,
                             "inference_us_per_image": 2.5, "energy_joules": None})  # fmt: skip
    return SimpleNamespace(cells=pd.DataFrame(cells), runs=pd.DataFrame(runs, columns=_RUN_COLUMNS),
                           measurements=pd.DataFrame(measurements))  # fmt: skip


_NUMBERS = ("epochs_done", "data_seconds", "compile_seconds", "steps_seconds", "evaluation_seconds", "test_accuracy",
            "test_n", "test_log_loss", "test_brier", "test_macro_f1", "test_ece", "test_ece_floor",
            "validation_accuracy")  # fmt: skip
_RUN_COLUMNS = ("run", "cell", "seed", "status", "stopped_by", "engine", "members", "environment", "differences",
                "test_labels", "test_bits", *_NUMBERS)  # fmt: skip


def _size(cell, n_digits, n_classes):
    layers, batch = cell.architecture, cell.training.batch_size
    trainable = layers.trainable_parameters(784, n_classes)
    flops = layers.flops_per_step(784, n_classes, batch)
    return CellSize(784, n_classes, 54_000, 6_000, n_digits, layers.parameters(784, n_classes), trainable, flops,
                    54_000 // batch)  # fmt: skip


def _run(cell, seed, status, correct, size, members, random):
    row = {"run": Run(cell, seed).id, "cell": cell.id, "seed": seed, "status": status, "engine": "reference",
           "members": members, "environment": "e" * 16, "differences": "[]"}  # fmt: skip
    if cell.framework == "sklearn":
        row["differences"] = json.dumps(["one random_state for everything"])
    if status != "done":
        return {**row, "test_bits": None, **dict.fromkeys(_NUMBERS, np.nan)}
    accuracy = correct.mean()
    stopped = "early_stopping" if cell.training.early_stopping_patience and seed % 3 else "epochs"
    steps = 1e-3 * size.steps_per_epoch * cell.training.epochs * (1 + size.parameters / 1e6) * random.uniform(0.95, 1.1)
    return {**row, "stopped_by": stopped, "epochs_done": cell.training.epochs - (stopped != "epochs") * (seed + 5.0),
            "data_seconds": 0.4, "compile_seconds": 1.5, "steps_seconds": steps, "evaluation_seconds": 0.3,
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


@pytest.fixture(scope="session")
def plant():
    """The maker of a study: see `planted_study`."""
    return planted_study


@pytest.fixture(scope="session")
def lab_results():
    """Results of a small course lab, five seeds: collapsed, diverged, single and missing networks among them."""
    from mnistlab.analysis.results import results_table

    study = planted_study(_lab())
    return results_table(study.cells, study.runs, study.measurements)
