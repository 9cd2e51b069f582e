"""What a run will cost on this machine, learned from the runs that were done here. Numbers in, seconds out."""

import heapq
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
    shape : str
        Runs of one shape share what is compiled for it; empty where every run compiles for itself.
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
    shape: str
    depth: int
    epochs: int
    steps_per_epoch: int
    flops_per_step: int
    evaluated: int
    parameters: int


Priced = tuple[Sequence[Work], float]  # runs that one program trains together, the share of its places they fill

# A first guess for a machine nothing is known of: seconds to build and compile, seconds of compiling a layer, overhead
# of a step, floating-point operations a second of one core; then the overhead of an epoch. Only their proportions
# matter once runs are done: the guess is then scaled by what was observed.
_GUESS = {
    "reference keras": (2.0, 0.3, 2.5e-4, 4e10),
    "reference sklearn": (0.1, 0.0, 1.5e-4, 3e10),
    "population keras": (1.5, 0.1, 3.5e-5, 8e10),
    "population sklearn": (1.0, 0.1, 3.5e-5, 8e10),
}
_SLOWEST = _GUESS["reference keras"]  # for an engine nobody has timed yet
_FIRST_GUESS_FACTOR = 3.0
_STEP_SHARE = 0.8  # of training; the rest is evaluation
_EPOCH_SECONDS = 2e-3
_FOUND_READY = 0.25  # of the seconds of compilation, where the shape was compiled before: its program is kept

# The same of a process until it can train (importing the frameworks, nearly all of it), and of what a probe takes then.
_START_SECONDS = 2.0
_PROBE_SECONDS = 2.0
_SHORTEST_START_SECONDS = 0.1  # what a process that runs already still imports for a framework is less


def _compiling(work: Work) -> float:
    start, per_layer, *_ = _GUESS.get(work.engine, _SLOWEST)
    return start + per_layer * work.depth


def _training(work: Work) -> float:
    *_, per_step, flops_per_second = _GUESS.get(work.engine, _SLOWEST)
    steps = work.steps_per_epoch * (per_step * (1 + work.depth / 10) + work.flops_per_step / flops_per_second)
    evaluation = 2.0 * work.parameters * work.evaluated / flops_per_second + work.evaluated * 2e-6
    return work.epochs * (_EPOCH_SECONDS + steps + evaluation)


@dataclass(slots=True)
class Prices:
    """Predicts the seconds of runs from those observed on this machine."""

    _alike: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _log_ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _compile_ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _shapes: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))  # by engine; the same ratio
    _starts: list[float] = field(default_factory=list)
    _step_shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _known: dict[tuple[str, float], Estimate] = field(default_factory=dict)  # since the last observation
    _compile_ratio: dict[tuple[str, bool], float] = field(default_factory=dict)  # the same

    def observe(self, work: Work, seconds: float, compile_seconds: float, steps_seconds: float) -> None:
        """Take in a finished run: its work with the epochs it really did, its seconds from end to end, and how many of
        these were compilation and steps, which empty places take too."""
        if seconds > compile_seconds >= 0:
            self._known.clear()
            self._compile_ratio.clear()
            training = seconds - compile_seconds
            self._step_shares[work.engine].append(min(1.0, max(0.0, steps_seconds / training)))
            self._alike[work.key].append(training)
            self._log_ratios[work.engine].append(math.log(training / _training(work)))
            ratio, shapes = compile_seconds / _compiling(work), self._shapes[work.engine]
            if work.shape:  # whoever came first has paid for it
                shapes[work.shape] = shapes.get(work.shape, 0.0) + ratio
            else:
                self._compile_ratios[work.engine].append(ratio)

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
        """Seconds of measuring one architecture alone, in a process of its own; others make ready meanwhile."""
        return self.start_seconds + _PROBE_SECONDS

    def seconds(self, work: Work, filled: float = 1.0) -> Estimate:
        """Seconds in one process but for compilation, with a 95 % prediction interval; n counts the runs it rests on.

        `filled` is the share of its program's places that hold runs: an empty one takes its steps like a full one.

        The mean of runs like it; else the first guess scaled by the median ratio of the engine's observed runs; else
        the guess alone, taken to be right within a factor of three.
        """
        if (work.key, filled) not in self._known:
            self._known[work.key, filled] = self._predict(work, filled)
        return self._known[work.key, filled]

    def step_seconds(self, work: Work) -> float:
        """Of these, the seconds of training steps alone."""
        return (self.seconds(work).value or 0.0) * self._step_share(work.engine)

    def compile_seconds(self, work: Work) -> float:
        """Seconds until the program of a shape, or a run without one, is compiled: the first guess, scaled by the
        median ratio of what the engine compiled here."""
        key, shapes = (work.engine, bool(work.shape)), self._shapes.get(work.engine, {})
        if key not in self._compile_ratio:
            ratios = list(shapes.values()) if work.shape else self._compile_ratios.get(work.engine)
            self._compile_ratio[key] = statistics.median(ratios or [1.0])
        return _compiling(work) * self._compile_ratio[key] * (_FOUND_READY if work.shape in shapes else 1.0)

    def total(self, groups: Iterable[Priced], workers: int = 1, other_seconds: float = 0.0) -> Estimate:
        """Wall-clock seconds of groups of runs, every shape compiled once; errors of prediction are taken to go
        together.

        Parameters
        ----------
        groups : iterable of Priced
            In the order in which they are handed out.
        workers : int, default=1
            Processes side by side, each given the next group when it is free.
        other_seconds : float, default=0.0
            That nobody shares.
        """
        ends, compiled, estimates, compiling = [0.0] * workers, {""}, [Estimate(0.0, 0.0, 0.0)], 0.0
        for works, filled in groups:
            new = [work for work in works if not work.shape] or [w for w in works[:1] if w.shape not in compiled]
            own, first = [self.seconds(work, filled) for work in works], sum(map(self.compile_seconds, new))
            heapq.heapreplace(ends, ends[0] + first + sum(estimate.value or 0.0 for estimate in own))
            compiled.add(works[0].shape)
            estimates += own
            compiling += first
        sums = [sum(getattr(e, name) for e in estimates) + compiling for name in ("value", "low", "high")]
        value, low, high = (max(ends) * end / (sums[0] or 1.0) + other_seconds for end in sums)
        return Estimate(value, low, high, 0.95, max(e.n for e in estimates), "prediction")

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
        steps = self._step_share(work.engine)
        value = training * (steps / filled + 1 - steps)
        return Estimate(value, value / factor, value * factor, 0.95, len(alike) or len(ratios), "prediction")

    def _step_share(self, engine: str) -> float:
        return statistics.median(self._step_shares.get(engine) or [_STEP_SHARE])
