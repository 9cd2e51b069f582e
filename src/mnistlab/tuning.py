"""Cells asked by a sampler instead of listed: what may be chosen, who proposes, when a trial is given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from mnistlab.records import Role, RunResult
from mnistlab.spec import Cell, Run


@dataclass(frozen=True, slots=True)
class Halving:
    """Successive halving inside a cohort: after some epochs a member goes on only among the best.

    Attributes
    ----------
    factor : int
        One of so many goes on.
    rungs : tuple of (int, tuple of float)
        The epochs after which it is asked, ascending, each with the validation accuracies, fractions, that other trials
        had there.

    References
    ----------
    L. Li et al. (2020), A system for massively parallel hyperparameter tuning, MLSys 2 (the asynchronous form).
    """

    factor: int
    rungs: tuple[tuple[int, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs of one shape to be trained now, in which role, and whether some of them may be given up early."""

    runs: tuple[Run, ...]
    role: Role
    halving: Halving | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that ended, as far as its tuner needs to know: what a store keeps of it is enough.

    Attributes
    ----------
    run : Run
    curve : tuple of float
        Validation accuracy, a fraction, after every epoch.
    accuracy : float | None
        On validation digits, of the network that was kept; None: it failed or diverged.
    given_up : bool
        It was not among the best of its rung.
    """

    run: Run
    curve: tuple[float, ...]
    accuracy: float | None
    given_up: bool = False

    @classmethod
    def of(cls, run: Run, curve: Sequence[float], result: RunResult) -> Self:
        """From what an engine yields."""
        kept = result.validation.accuracy if result.validation else curve[-1] if curve else None
        return cls(run, tuple(curve), kept if result.status == "done" else None, result.stopped_by == "halving")


@dataclass(frozen=True, slots=True)
class Known:
    """What other studies know of a cell: its mean validation accuracy, a fraction, after all its epochs."""

    cell: Cell
    accuracy: float


def survives(accuracy: float, others: Sequence[float], factor: int) -> bool:
    """Whether a trial is among the best `1 / factor` of all that have come so far, itself included; at least one is."""
    kept = max(1, (len(others) + 1) // factor)
    return sum(other > accuracy for other in others) < kept
