"""What a store holds of one study, side by side, and what the analyses make of it: each done once, when first asked."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnistlab.analysis.cost import TimeLaw, accuracy_costs, ledger_table, time_law
from mnistlab.analysis.fair import TunedFrom, rate_table, verdict_changes
from mnistlab.analysis.findings import findings
from mnistlab.analysis.importance import Importances, importances
from mnistlab.analysis.replication import adaptive_verdicts
from mnistlab.analysis.results import ResultsTable, results_table
from mnistlab.analysis.sensitivity import Sensitivity, sensitivity
from mnistlab.analysis.trials import Search, trial_resolution
from mnistlab.analysis.verdicts import MARGIN, Verdicts, study_verdicts
from mnistlab.records import PartLabels


@dataclass(frozen=True, slots=True, eq=False)
class TestDigits:
    """The test digits that most networks of a study were tested on, and what each network made of them.

    Attributes
    ----------
    on : PartLabels
        Which digits, with their true classes.
    class_names : tuple of str
    predicted : DataFrame
        uint8, the most probable class; rows named by run id, a column per digit in the order of `on`.
    images : uint8 array (n_digits, height, width) | None
        None: the data set is not in this machine's cache.
    """

    __test__ = False  # pytest takes every Test… for tests

    on: PartLabels
    class_names: tuple[str, ...]
    predicted: pd.DataFrame
    images: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False, repr=False)  # no slots: what is computed when first asked needs a place
class Evidence:
    """Frames of one study as the store hands them out; what they show is computed on the first request.

    Attributes
    ----------
    study : str
        Its name; empty where nothing has been run.
    cells, runs, epochs, measurements, reliability, environments : DataFrame
        Of the store's readers of the same names (`cell_table`); runs with `test_bits`.
    digits : TestDigits | None
        None: no network has been tested.
    adaptive : tuple (seeds, margin) | None
        Of a study whose seeds go where verdicts are open; see `Store.adaptive`.
    search : Search | None
        Its trials, where it is a search; cells and runs are then those of the networks with fresh seeds.
    tuned_from : TunedFrom | None
        Of a study whose cells have each its own best learning rate.
    """

    study: str
    cells: pd.DataFrame
    runs: pd.DataFrame
    epochs: pd.DataFrame
    measurements: pd.DataFrame
    reliability: pd.DataFrame
    environments: pd.DataFrame
    digits: TestDigits | None
    adaptive: tuple[list[int], float] | None = None
    search: Search | None = None
    tuned_from: TunedFrom | None = None

    def __repr__(self) -> str:
        return f"<evidence of {self.study}: {len(self.cells)} cells, {len(self.runs)} runs>"

    @cached_property
    def results(self) -> ResultsTable:
        """Every cell's row, and the resolution."""
        return results_table(self.cells, self.runs, self.measurements)

    @cached_property
    def verdicts(self) -> Verdicts:
        """On every two cells that differ in one knob alone, at the default margin or that of the adaptive study."""
        if self.adaptive is None:
            return study_verdicts(self.cells, self.runs, MARGIN)
        seeds, margin = self.adaptive
        return adaptive_verdicts(self.cells, self.runs, seeds=seeds, margin=margin)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """The verdicts a choice hangs on, the weightiest first."""
        return findings(self.verdicts, self.runs)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Shares of the variance of accuracy."""
        return sensitivity(self.cells, self.runs)

    @cached_property
    def rates(self) -> pd.DataFrame:
        """What each cell of a tuned study had to choose from; without rows where nothing was tuned."""
        return rate_table(self.cells, self.tuned_from)

    @cached_property
    def verdict_changes(self) -> pd.DataFrame:
        """Verdicts at the rate of the study beside those of a tuned one; without rows where either is missing."""
        return verdict_changes(self.tuned_from, self.verdicts)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Accuracy against each cost, a row per cell."""
        return accuracy_costs(self.results.rows)

    @cached_property
    def time_law(self) -> TimeLaw:
        """What the seconds of a step follow."""
        return time_law(self.cells, self.measurements)

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Where the wall clock went, a row per cell."""
        return ledger_table(self.runs)

    @cached_property
    def importances(self) -> Importances | None:
        """What the accuracy of a search's trials depended on; None where it is no search."""
        return None if self.search is None else importances(self.search)

    @cached_property
    def trial_resolution(self) -> float:
        """The smallest difference that two trials of a search show; NaN where not known."""
        return math.nan if self.search is None else trial_resolution(self.search.candidates)
