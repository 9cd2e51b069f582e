"""What came back from a run: results, epochs, evaluations, the ledger, the environment. Values only."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnistlab.spec import Run

Status = Literal["done", "failed", "diverged", "timeout"]
StoppedBy = Literal["epochs", "early_stopping", "tol", "halving"]
Role = Literal["common", "fresh", "search"]  # of a run in a study


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch's measurements; None where nothing was measured. Losses in nats, accuracies fractions."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PartLabels:
    """The digits a network was tested or validated on: kept once, shared by all runs that used the same.

    Attributes
    ----------
    dataset : str
    part : str
        `test` or `validation`.
    n_classes : int
    indices : int32 array (n,)
        Positions in the data set, training examples first, then the official test part.
    labels : uint8 array (n,)
    """

    dataset: str
    part: str
    n_classes: int
    indices: NDArray[np.int32]
    labels: NDArray[np.uint8]

    @property
    def id(self) -> str:
        """Sixteen hexadecimal characters of the SHA-256 of data set, indices and labels."""
        digest = hashlib.sha256(f"{self.dataset}:{self.part}:{self.n_classes}:".encode())
        digest.update(np.ascontiguousarray(self.indices, dtype="<i4").tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype=np.uint8).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A trained network on one part.

    Attributes
    ----------
    digits : PartLabels
    predicted : uint8 array (n,)
        The most probable class.
    log_loss, brier : float
        Mean over digits; nats, and the sum of squared differences over classes.
    macro_precision, macro_recall, macro_f1 : float
    ece, ece_floor : float
        Expected calibration error over fifteen equal-mass bins of the top probability, and what a perfectly calibrated
        network with these probabilities would show.
    bin_count : int64 array (15,)
    bin_confidence, bin_accuracy : float64 array (15,)
        Mean top probability and share of right answers in each bin; NaN where the bin is empty.
    """

    digits: PartLabels
    predicted: NDArray[np.uint8]
    log_loss: float
    brier: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    ece: float
    ece_floor: float
    bin_count: NDArray[np.int64]
    bin_confidence: NDArray[np.float64]
    bin_accuracy: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which digits were classified right, in the order of `digits`."""
        return self.predicted == self.digits.labels

    @property
    def accuracy(self) -> float:
        """Share of digits classified right."""
        return float(self.correct.mean())


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where a run's wall clock went, in seconds (rule M18 of docs/measurement.md); the parts sum to `wall_seconds`.

    `idle_seconds` is what its process spent in none of the other parts since its previous run ended. Two are no parts:
    `cpu_seconds`, and `features_seconds`, the processor time that features kept for all runs took when they were
    computed once.
    """

    import_seconds: float = 0.0
    data_seconds: float = 0.0
    compile_seconds: float = 0.0
    steps_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    idle_seconds: float = 0.0
    cpu_seconds: float = 0.0
    features_seconds: float = 0.0

    @property
    def end_to_end_seconds(self) -> float:
        """Data, compilation, steps and evaluation: the network's own cost once its process is up."""
        return self.data_seconds + self.compile_seconds + self.steps_seconds + self.evaluation_seconds

    @property
    def wall_seconds(self) -> float:
        """All parts; `cpu_seconds` and `features_seconds` are none of them."""
        return self.import_seconds + self.end_to_end_seconds + self.idle_seconds


@dataclass(frozen=True, slots=True)
class Environment:
    """What produced a result (rule M23): versions, threads, device, data, code; never a user, host or path.

    `packages` and `variables` hold (name, value) pairs; variables come from an allow-list.
    """

    python: str
    platform: str
    processor: str
    cores: int
    threads: int
    device: str
    packages: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    data_sha256: str
    code_version: str

    @property
    def id(self) -> str:
        """Sixteen hexadecimal characters of the SHA-256 of all fields: results of one id may be pooled."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage on the way from pixels to probabilities, with what it learned.

    Attributes
    ----------
    kind : str
        A feature step as the cell names it, `dense`, `batch_norm`, an activation, or `softmax`.
    arrays : tuple of float arrays
        `standardize`: mean and scale (n,); `pca`: mean (n,), components (k, n); `dense`: kernel (n, m), bias (m,);
        `batch_norm`: gamma, beta, moving mean and variance (n,). The others have none.
    """

    kind: str
    arrays: tuple[NDArray[Any], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """Everything a run left behind.

    Attributes
    ----------
    run : Run
    status : str
        `done`, `failed`, `diverged` (the loss became NaN) or `timeout`.
    reason : str
        One line when it is not done.
    engine, program : str
        Which engine trained it, by what function, or how many of what kind its compiled program has places for.
    members : int
        Networks that program trains together, empty places included.
    epochs_done : int
    best_epoch : int | None
        The epoch whose weights were kept, when early stopping restored them.
    stopped_by : str | None
    epochs : tuple of EpochRecord
    test, validation : Evaluation | None
    weights_sha256 : str
        Of the trained arrays, in the order of the layers.
    differences : tuple of str
        What this framework did otherwise than the specification says, or than the other framework does.
    network : tuple of Stage
        The trained network; empty where nobody asked for it. No store keeps it.
    """

    run: Run
    status: Status
    engine: str
    environment: Environment
    ledger: Ledger = Ledger()
    reason: str = ""
    program: str = ""
    members: int = 1
    epochs_done: int = 0
    best_epoch: int | None = None
    stopped_by: StoppedBy | None = None
    epochs: tuple[EpochRecord, ...] = ()
    test: Evaluation | None = None
    validation: Evaluation | None = None
    weights_sha256: str = ""
    differences: tuple[str, ...] = ()
    network: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the probe of one architecture in one framework found, alone on the machine; None: not measurable here.

    Attributes
    ----------
    cell_id : str
        The cell it was taken from; it holds for every cell of the same `architecture_key`.
    architecture_key : str
        Framework, layers, feature count and batch size.
    seconds_per_step : float
        One training step by itself, compilation apart.
    peak_bytes : int | None
        Peak resident memory of a fresh process less its value after imports.
    parameter_bytes : int
        Parameters, gradients and optimizer state, exactly.
    program_bytes : int | None
        Temporary memory of the compiled step, from the compiler's own analysis.
    inference_us_per_image : float
    energy_joules : float | None
        Of one training step's share, from a hardware counter.
    """

    cell_id: str
    architecture_key: str
    framework: str
    seconds_per_step: float
    peak_bytes: int | None
    parameter_bytes: int
    program_bytes: int | None
    inference_us_per_image: float
    energy_joules: float | None
    environment: Environment
