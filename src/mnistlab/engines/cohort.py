"""Cohorts: networks of one shape trained side by side by one compiled program, each as if it were alone.

A framework says what a network is (`Shape`) and how a run of it begins (`Member`). Here members are stacked along an
axis and fed: data lie on the device as bytes, an epoch is a loop inside the program, and at the end of its epoch a
member that is finished leaves its place to the next run. No member's numbers depend on who trains beside it, on its
place, or on when the program paused: only on the program's shape.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistlab.engines.base import (
    EarlyStopping,
    OnEpoch,
    Prepare,
    Probe,
    get_engine,
    measure_epoch,
    measure_parts,
    weights_sha256,
)
from mnistlab.engines.canary import trust_jax
from mnistlab.engines.compiled import EXAMPLES_PER_CALL, CompiledShape, Member, Shape, State, now
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, Program, companions
from mnistlab.network import stages_of
from mnistlab.preprocessing import PreparedData
from mnistlab.records import Environment, EpochRecord, Ledger, PartLabels, RunResult, StoppedBy
from mnistlab.spec import Cell, Run

_SHAPES_KEPT = 12  # compiled programs of at most so many shapes stay in a process


class Cohorts:
    """The population engine of one framework; see `Engine`."""

    framework: str
    make_shape: Callable[[Cell, PreparedData], Shape]
    differences: Callable[[Cell], tuple[str, ...]] = staticmethod(lambda _cell: ())

    def __init__(self) -> None:
        self._fit = get_engine("reference", self.framework)  # which imports the framework, too
        self._programs = dict[Any, CompiledShape]()
        self._rows: NDArray[Any] | None = None  # of the last data set, and the same on the device
        self._table: Any = None

    def train(
        self, runs: Sequence[Run], program: Program, prepare: Prepare, environment: Environment, on_epoch: OnEpoch
    ) -> Iterator[RunResult]:
        """See `Engine.train`."""
        if program.kind == SEEDS_OF_ONE_CELL and runs[0].cell.features.learns:
            raise ValueError("networks that learn features of their own cannot be trained side by side")
        trust_jax()
        alike: dict[Any, list[Run]] = {}
        for run in runs:
            alike.setdefault(companions(run, program.kind), []).append(run)
        for cohort in alike.values():
            data = prepare(cohort[0])
            programs = self._programs_of(cohort[0].cell, program, data)
            yield from _Cohort(self, programs, program, cohort, prepare, environment, on_epoch).results()

    def probe(self, run: Run, data: PreparedData, n_steps: int) -> Callable[[], Probe]:
        """What the framework's own `fit` costs: of a cohort nothing is alone."""
        return self._fit.probe(run, data, n_steps)

    def on_device(self, rows: NDArray[Any]) -> Any:
        """The features of a whole data set on the device, where they stay for the cohorts to come."""
        import jax

        if self._rows is None or (rows.ctypes.data, rows.shape) != (self._rows.ctypes.data, self._rows.shape):
            self._rows, self._table = rows, jax.block_until_ready(jax.numpy.asarray(rows))
        return self._table

    def _programs_of(self, cell: Cell, program: Program, data: PreparedData) -> CompiledShape:
        key = (companions(Run(cell, 0), ""), program, data.rows.shape, data.labels.shape)
        start = now()
        programs = self._programs.pop(key, None) or CompiledShape(self.make_shape(cell, data), program, cell, data)
        programs.unpaid += now() - start
        self._programs[key] = programs  # the last used stand last
        if len(self._programs) > _SHAPES_KEPT:
            self._forget()
        return programs

    def _forget(self) -> None:
        """Drop half of the programs, and what JAX itself would keep of every shape that it has ever seen."""
        import jax

        for key in [*self._programs][: _SHAPES_KEPT // 2]:
            del self._programs[key]
        jax.clear_caches()


@dataclass(slots=True)
class _Place:
    """A run in training: where it stands in its epoch, its curve, what it has cost."""

    run: Run
    data: PreparedData
    member: Member
    stopping: EarlyStopping | None
    order: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    at: int = 0  # steps taken in this epoch
    steps: int = 0  # and in all
    losses: list[NDArray[Any]] = field(default_factory=list)  # of this epoch
    records: list[EpochRecord] = field(default_factory=list)
    best: State = None
    cost: dict[str, Any] = field(
        default_factory=lambda: {part: np.zeros(2) for part in ("build", "steps", "evaluation")}
    )


class _Cohort:
    """The runs of one call: places, the device's arrays, and the loop over epochs."""

    def __init__(
        self, engine: Cohorts, programs: CompiledShape, program: Program, runs: Sequence[Run], prepare: Prepare,
        environment: Environment, on_epoch: OnEpoch,
    ) -> None:  # fmt: skip
        self.engine, self.programs, self.program, self.prepare = engine, programs, program, prepare
        self.environment, self.on_epoch = environment, on_epoch
        self.waiting, self.unfinished = deque(runs), len(runs)
        self.places: list[_Place | None] = [None] * program.members
        self.table: Any = None  # of the whole data set, on the device
        self.labels: Any = None
        self.state: State = None
        self.changed: dict[int, State] = {}  # members' states that are not yet among those of all

    def results(self) -> Iterator[RunResult]:
        while self._fill():
            self._train()
            for index, place in self._active():
                if place.at == len(place.order) // self.programs.batch_size and (result := self._end(index, place)):
                    self.places[index] = None
                    self.unfinished -= 1
                    yield result

    def _active(self) -> list[tuple[int, _Place]]:
        return [(index, place) for index, place in enumerate(self.places) if place is not None]

    def _fill(self) -> bool:
        """Give free places to waiting runs; whether there is anything to train."""
        if not self.programs.shared or not self._active():  # who shares its batches begins with the others
            for index, place in enumerate(self.places):
                if place is None and self.waiting:
                    self._begin(index, self.waiting.popleft())
        return bool(self._active())

    def _begin(self, index: int, run: Run) -> None:
        data, patience = self.prepare(run), run.cell.training.early_stopping_patience
        start = now()
        place = _Place(run, data, self.programs.shape.begin(run, data), EarlyStopping(patience) if patience else None)
        self._upload(run, data)
        if self.state is None:
            import jax

            members = range(self.program.members)
            self.state = jax.tree.map(lambda array: np.stack([array for _ in members]), place.member.state)
        self.changed[index] = place.member.state
        place.cost["build"] += now() - start
        self._draw_order(place)
        self.places[index] = place

    def _upload(self, run: Run, data: PreparedData) -> None:
        import jax.numpy as jnp

        if self.labels is None:
            self.labels = jnp.asarray(data.labels.astype(np.int32))
        learned = run.cell.features.learns
        if learned and not (self.programs.shared and self.table is not None):  # every seed has features of its own
            self.table = jnp.asarray(data.rows)
        elif self.table is None:
            self.table = self.engine.on_device(data.rows)

    @staticmethod
    def _draw_order(place: _Place) -> None:
        place.order = place.data.train[place.member.order()].astype(np.int32)
        place.at, place.losses = 0, []

    def _train(self) -> None:
        """As many steps as no member's epoch is short of; a shorter last batch is left."""
        active, size, members = self._active(), self.programs.batch_size, self.program.members
        longest = max(1, EXAMPLES_PER_CALL // size)
        n_steps = min(longest, *(len(place.order) // size - place.at for _, place in active))
        order = np.zeros((longest, members, size), np.int32)
        rates = np.zeros((longest, members), self.programs.shape.dtype)
        with self._paid("steps", [place for _, place in active], members):
            for index, place in active:
                rows = place.order[place.at * size : (place.at + n_steps) * size]
                order[:n_steps, index] = rows.reshape(n_steps, size)
                rates[:n_steps, index] = place.member.rates(place.steps, n_steps)
            batches = order[:, active[0][0]] if self.programs.shared else order
            if self.changed:
                self.state, self.changed = _put(self.state, self.changed), {}
            arguments = self.table, self.labels, np.ascontiguousarray(batches), rates, np.int32(n_steps)
            self.state, losses = self.programs.chunk(self.state, *arguments)
            losses = np.asarray(losses)
        for index, place in active:
            place.losses.append(losses[:n_steps, index])
            place.at, place.steps = place.at + n_steps, place.steps + n_steps

    def _end(self, index: int, place: _Place) -> RunResult | None:
        """End a member's epoch: its shorter last batch, its measurements; the result if it was the last."""
        with self._paid("steps", [place]):
            state, loss = self._last_batch(index, place)
        epoch = len(place.records) + 1
        if not math.isfinite(loss):
            place.records.append(EpochRecord(epoch, None, None, None, None))
            return self._diverged(place)
        predict = partial(self._predict, state)
        with self._paid("evaluation", [place]):
            record = measure_epoch(epoch, loss, predict, place.data)
        place.records.append(record)
        goes_on = self.on_epoch(place.run, record)
        validation_loss = math.nan if record.validation_loss is None else record.validation_loss
        if place.stopping and place.stopping.improved(epoch, validation_loss):
            place.best = state
        stopped = self._stopped_by(place, loss, goes_on)
        if stopped is None:
            self._draw_order(place)
            return None
        return self._done(place, stopped, state if place.best is None else place.best)

    def _last_batch(self, index: int, place: _Place) -> tuple[State, float]:
        """The member's state at the end of its epoch, and the mean loss over the examples of the epoch."""
        rest = place.order[place.at * self.programs.batch_size :]
        losses = (loss for part in place.losses for loss in part.tolist())
        state, total = _take(self.state, index), sum(losses) * self.programs.batch_size
        if len(rest):
            [rate] = place.member.rates(place.steps, 1)
            state, loss = self.programs.tail(state, self.table, self.labels, rest, rate)
            self.changed[index] = state
            total, place.steps = total + float(loss) * len(rest), place.steps + 1
        return state, total / len(place.order)

    @staticmethod
    def _stopped_by(place: _Place, loss: float, goes_on: bool) -> StoppedBy | None:
        by_rule = place.member.stops(loss)  # asked after every epoch: it counts them
        if len(place.records) == place.run.cell.training.epochs:
            return "epochs"
        if place.stopping and place.stopping.should_stop:
            return "early_stopping"
        if by_rule:
            return "tol"
        return None if goes_on else "halving"

    def _predict(self, state: State, part: PartLabels) -> NDArray[Any]:
        return self.programs.predict(state, self.table, part.indices.astype(np.int32))

    def _done(self, place: _Place, stopped: StoppedBy, state: State) -> RunResult:
        shape, cell, stopping = self.programs.shape, place.run.cell, place.stopping
        weights = shape.weights(state)
        if not all(np.isfinite(array).all() for array in weights):
            return self._diverged(place)
        with self._paid("evaluation", [place]):
            test, validation = measure_parts(partial(self._predict, state), place.data)
        return RunResult(
            place.run, "done", "population", self.environment, self._ledger(place), program=str(self.program),
            members=self.program.members, epochs_done=len(place.records),
            best_epoch=stopping.best_epoch if stopping else None, stopped_by=stopped, epochs=tuple(place.records),
            test=test, validation=validation, weights_sha256=weights_sha256(weights),
            differences=self.engine.differences(cell),
            network=stages_of(cell, place.data.pipeline, shape.layers(state)),
        )  # fmt: skip

    def _diverged(self, place: _Place) -> RunResult:
        reason = f"loss or weights were not finite numbers in epoch {len(place.records)}"
        return RunResult(
            place.run, "diverged", "population", self.environment, self._ledger(place), reason, str(self.program),
            self.program.members, len(place.records), epochs=tuple(place.records),
        )  # fmt: skip

    @contextmanager
    def _paid(self, part: str, places: Sequence[_Place], shares: int = 1) -> Iterator[None]:
        """Charge each of these with one of so many equal shares of what happens inside; compilation is kept apart.

        Members' steps are of equal size. The shares of empty places are charged to nobody: they count as idle.
        """
        start, unpaid = now(), self.programs.unpaid.copy()
        yield
        spent = now() - start - (self.programs.unpaid - unpaid)
        for place in places:
            place.cost[part] += spent / shares

    def _ledger(self, place: _Place) -> Ledger:
        """The member's seconds, with an equal share of compilation among those who are not finished."""
        share = self.programs.unpaid / self.unfinished
        self.programs.unpaid = self.programs.unpaid - share
        place.cost["build"] += share
        wall, cpu = ({part: float(cost[clock]) for part, cost in place.cost.items()} for clock in (0, 1))
        return Ledger(compile_seconds=wall["build"], steps_seconds=wall["steps"], evaluation_seconds=wall["evaluation"],
                      cpu_seconds=sum(cpu.values()))  # fmt: skip


# Once an epoch a member's state is taken out, and put back where a shorter batch has changed it. On a processor it goes
# through NumPy: a program for it would take longer to compile than it saves. An accelerator would wait for the copies.
def _take(state: State, member: int) -> State:
    """The state of one member."""
    import jax

    if jax.default_backend() == "cpu":
        return jax.tree.map(lambda array: jax.numpy.array(np.asarray(array)[member]), state)
    return jax.tree.map(lambda array: jax.lax.dynamic_index_in_dim(array, member, keepdims=False), state)


def _put(state: State, changed: dict[int, State]) -> State:
    """The state of all with those of some members replaced: on a processor copied once, however many they are."""
    import jax

    if jax.default_backend() != "cpu":
        for member, one in changed.items():
            state = jax.tree.map(partial(_replaced_on_device, member), state, one)
        return state

    def replaced(array: Any, *its: Any) -> NDArray[Any]:
        copy = np.array(array)
        for member, one in zip(changed, its, strict=True):
            copy[member] = one
        return copy

    return jax.tree.map(replaced, state, *changed.values())


def _replaced_on_device(member: int, array: Any, one: Any) -> Any:
    import jax

    return jax.lax.dynamic_update_index_in_dim(array, one, member, 0)
