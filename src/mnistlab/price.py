"""What a run will cost on this machine, learned from the runs that were done here. Numbers in, seconds out."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mnistlab.analysis.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Work:
    """The quantities a run's time follows.

    Attributes
    ----------
    key : str
        Runs of one key are alike: their own past times are the best prediction.
    engine : str
        With the framework behind it, such as `population keras`.
    members : int
        Networks that its program trains together; each pays its share of compilation.
    depth : int
    epochs : int
        Asked for, or done when the run is over.
    steps_per_epoch : int
    flops_per_step : int
    evaluated : int
        Examples predicted after every epoch.
    parameters : int
    """

    key: str
    engine: str
    members: int
    depth: int
    epochs: int
    steps_per_epoch: int
    flops_per_step: int
    evaluated: int
    parameters: int


# A first guess for a machine nothing is known of: seconds to build and compile, seconds of compiling a layer, overhead
# of a step, floating-point operations a second of one core. Only their proportions matter once runs are done: the
# guess is then scaled by what was observed.
_GUESS = {
    "reference keras": (2.0, 0.3, 2.5e-4, 4e10),
    "reference sklearn": (0.1, 0.0, 1.5e-4, 3e10),
    "population keras": (1.5, 0.1, 3.5e-5, 8e10),
    "population sklearn": (1.0, 0.1, 3.5e-5, 8e10),
}
_SLOWEST = _GUESS["reference keras"]  # for an engine nobody has timed yet
_FIRST_GUESS_FACTOR = 3.0
_STEP_SHARE = 0.8  # of training; the rest is evaluation

# The same of a process until it can train (importing the frameworks, nearly all of it), and of what a probe takes then.
_START_SECONDS = 2.0
_PROBE_SECONDS = 2.0
_SHORTEST_START_SECONDS = 0.1  # what a process that runs already still imports for a framework is less


def _compiling(work: Work) -> float:
    start, per_layer, *_ = _GUESS.get(work.engine, _SLOWEST)
    return (start + per_layer * work.depth) / work.members


def _training(work: Work) -> float:
    *_, per_step, flops_per_second = _GUESS.get(work.engine, _SLOWEST)
    steps = work.steps_per_epoch * (per_step * (1 + work.depth / 10) + work.flops_per_step / flops_per_second)
    evaluation = 2.0 * work.parameters * work.evaluated / flops_per_second + work.evaluated * 2e-6
    return work.epochs * (steps + evaluation)


@dataclass(slots=True)
class Prices:
    """Predicts the seconds of runs from those observed on this machine."""

    _alike: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _log_ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _compile_ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _starts: list[float] = field(default_factory=list)
    _step_shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _known: dict[tuple[str, float], Estimate] = field(default_factory=dict)  # since the last observation

    def observe(self, work: Work, seconds: float, compile_seconds: float, steps_seconds: float) -> None:
        """Take in a finished run: its work with the epochs it really did, its seconds from end to end, and how many of
        these were compilation, which is paid once by many or found ready, and steps, which empty places take too."""
        if seconds > compile_seconds >= 0:
            self._known.clear()
            training = seconds - compile_seconds
            self._step_shares[work.engine].append(min(1.0, max(0.0, steps_seconds / training)))
            self._alike[work.key].append(training)
            self._log_ratios[work.engine].append(math.log(training / _training(work)))
            self._compile_ratios[work.engine].append(compile_seconds / _compiling(work))

    def observe_start(self, import_seconds: float) -> None:
        """Take in what a run's process spent on imports before it: the first run of a process pays for its start."""
        if import_seconds > _SHORTEST_START_SECONDS:
            self._starts.append(import_seconds)

    @property
    def start_seconds(self) -> float:
        """Seconds until a new process can train."""
        return statistics.median(self._starts or [_START_SECONDS])

    @property
    def probe_seconds(self) -> float:
        """Seconds of measuring one architecture alone, in a process of its own."""
        return self.start_seconds + _PROBE_SECONDS

    def seconds(self, work: Work, filled: float = 1.0) -> Estimate:
        """Seconds from end to end in one process, with a 95 % prediction interval; n counts the runs it rests on.

        `filled` is the share of its program's places that hold runs: an empty one takes its steps like a full one.

        Training: the mean of runs like it; else the first guess scaled by the median ratio of the engine's observed
        runs; else the guess alone, taken to be right within a factor of three. Compilation: the first guess, scaled by
        the median ratio of the engine's observed runs.
        """
        if (work.key, filled) not in self._known:
            self._known[work.key, filled] = self._predict(work, filled)
        return self._known[work.key, filled]

    def _predict(self, work: Work, filled: float) -> Estimate:
        alike, ratios = self._alike.get(work.key, []), self._log_ratios.get(work.engine, [])
        center, factor = statistics.median(ratios) if ratios else 0.0, _FIRST_GUESS_FACTOR
        if alike:
            training = statistics.fmean(alike)
            factor = 1 + (max(0.15, 2 * statistics.stdev(alike) / training) if len(alike) > 2 else 0.3)
        else:
            training = _training(work) * math.exp(center)
            if len(ratios) > 3:
                # 1.4826 turns a median absolute deviation into a standard deviation of normal errors.
                deviation = 1.4826 * statistics.median([abs(ratio - center) for ratio in ratios])
                factor = math.exp(max(0.2, 2 * deviation))
        steps = statistics.median(self._step_shares.get(work.engine) or [_STEP_SHARE])
        compiling = _compiling(work) * statistics.median(self._compile_ratios.get(work.engine) or [1.0])
        value = training * (steps / filled + 1 - steps) + compiling / filled
        return Estimate(value, value / factor, value * factor, 0.95, len(alike) or len(ratios), "prediction")


def total(estimates: Sequence[Estimate], workers: float, other_seconds: float = 0.0) -> Estimate:
    """Wall-clock seconds of many runs on `workers` processes, and others' besides; errors are taken to go together."""
    names = "value", "low", "high"
    value, low, high = (sum(getattr(e, name) or 0.0 for e in estimates) / workers + other_seconds for name in names)
    return Estimate(value, low, high, 0.95, max((e.n for e in estimates), default=0), "prediction")
