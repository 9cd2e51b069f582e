"""What of a space may be proposed: within the limits, not proposed before, fit for a cohort. Values in, values out."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mnistlab.errors import ConfigurationError, InvalidFieldError, no_memory
from mnistlab.spec import Cell
from mnistlab.study import Space

Point = tuple[int, ...]  # a place in each choice of a space

# Combinations of choices are counted through, as far as there are not too many: in any case of those that parameters
# depend on, then of those that seconds do, then of any.
_SIZES, _PACES = ("hidden_layer_sizes", "depth", "width", "batch_norm", "steps"), ("batch_size", "framework")
_COUNTED, _MOST_SIZES = 4096, 100_000
_TRIES = 50  # draws, after which there is taken to be nothing
_ANOTHER_KIND = 4  # steps of a ladder that a change of kind counts as, where a point is moved
_COMPLETIONS = 10  # ways to make a network of what was counted, before it counts as none


@dataclass(frozen=True, slots=True)
class Limits:
    """What a network may have at most, and how that is known.

    Attributes
    ----------
    parameters, seconds_per_epoch, memory : callable
        Of a cell; memory of the process that trains it, in bytes. InvalidFieldError: there is no such network on this
        data set.
    max_parameters : int | None
    max_seconds_per_epoch : float | None
    max_memory : int | None
    """

    parameters: Callable[[Cell], int]
    seconds_per_epoch: Callable[[Cell], float]
    memory: Callable[[Cell], int] = lambda _: 0
    max_parameters: int | None = None
    max_seconds_per_epoch: float | None = None
    max_memory: int | None = None

    def allow(self, cell: Cell) -> bool:
        """Whether a cell is what was asked for; memory, which is other at another time, decides nothing of that."""
        return (self.max_parameters is None or self.parameters(cell) <= self.max_parameters) and (
            self.max_seconds_per_epoch is None or self.seconds_per_epoch(cell) <= self.max_seconds_per_epoch
        )

    def fits(self, cell: Cell) -> bool:
        """Whether it is, and there is memory to train it now."""
        return self.allow(cell) and (self.max_memory is None or self.memory(cell) <= self.max_memory)

    def refusal(self, cells: Sequence[Cell]) -> ConfigurationError:
        """The line for a space of which no cell fits."""
        way_out = "allow more, or name a --space with smaller ones"
        smallest = min(map(self.parameters, cells))
        if self.max_parameters is not None and smallest > self.max_parameters:
            return ConfigurationError(f"--max-parameters {self.max_parameters}", "the smallest network of the space "
                                      f"has {smallest:,} parameters", way_out)  # fmt: skip
        within = [cell for cell in cells if self.max_parameters is None or self.parameters(cell) <= self.max_parameters]
        if allowed := [cell for cell in within if self.allow(cell)]:
            lightest = min(allowed, key=self.memory)
            return no_memory(lightest.label, self.memory(lightest), self.max_memory or 0)
        fastest = min(map(self.seconds_per_epoch, within))
        among = " with so few parameters" if len(within) < len(cells) else ""
        return ConfigurationError(f"--max-seconds-per-epoch {self.max_seconds_per_epoch:g}", "the fastest network of "
                                  f"the space{among} takes {fastest:.3g} seconds an epoch here", way_out)  # fmt: skip


@dataclass(slots=True, eq=False)
class Grounds:
    """What of a space may be proposed, and what has been. `grounds_of` makes one.

    Attributes
    ----------
    space : Space
        Without the places that no cell within the limits has.
    shape : callable
        Of a cell: what those have in common that one compiled program may train.
    limits : Limits
    heads : list of Point
        The choices that were counted through, those within the limits; places of the others are drawn.
    counted : tuple of int
        Which choices of the space these are.
    rng : Generator
    most_memory : int
        What a network of it needs at most, in bytes, as far as that depends on `counted`.
    seen : set of Cell
        Proposed or trained: never proposed again.
    """

    space: Space
    shape: Callable[[Cell], Hashable]
    limits: Limits
    heads: list[Point]
    counted: tuple[int, ...]
    rng: np.random.Generator
    most_memory: int = 0
    seen: set[Cell] = field(default_factory=set)
    _cells: dict[Point, Cell | None] = field(default_factory=dict)

    @property
    def is_counted(self) -> bool:
        """Whether `heads` are all points there are."""
        return len(self.counted) == len(self.space.choices)

    def cell(self, point: Point) -> Cell | None:
        """The cell of a point; None where there is no such network, or it is over a limit."""
        if point not in self._cells:
            cell = _made(self.space, point)
            try:
                self._cells[point] = cell if cell is not None and self.limits.fits(cell) else None
            except InvalidFieldError:
                self._cells[point] = None
        return self._cells[point]

    def new(self, point: Point) -> Cell | None:
        """The cell of a point that may be proposed still; else None."""
        cell = self.cell(point)
        return None if cell in self.seen else cell

    def draw(self) -> Point | None:
        """A point that may be proposed, at random; None: there is none, or too few to be found."""
        for _ in range(_TRIES if self.is_counted else _TRIES * _TRIES):
            drawn = [int(self.rng.integers(len(choice.values))) for choice in self.space.choices]
            point = self._with(drawn, self.heads[self.rng.integers(len(self.heads))])
            if self.new(point):
                return point
        return self._one_of(point for point in self._all() if self.new(point))

    def _one_of(self, points: Iterator[Point]) -> Point | None:
        left = list(points) if self.is_counted else []
        return left[self.rng.integers(len(left))] if left else None

    def _all(self) -> Iterator[Point]:
        nowhere = [0] * len(self.space.choices)
        return (self._with(nowhere, head) for head in self.heads)

    def nearest(self, point: Point, mates: "Mates | None" = None) -> Point:
        """The point itself where it may be proposed, else moved, as few places as bring it there.

        Where not all points are counted, it is moved to within the limits, where it may have been proposed.
        """
        if mates:
            point = tuple(places[int(np.abs(np.array(places) - own).argmin())]
                          for own, places in zip(point, mates.places, strict=True))  # fmt: skip
        if self.may(point, mates) or (self.cell(point) and not self.is_counted):
            return point
        heads = self.heads
        if self.is_counted:
            heads = [head for head in heads if self.may(self._with(point, head), mates)]
        if not heads:
            return point
        own, choices = np.array(point)[list(self.counted)], [self.space.choices[place] for place in self.counted]
        steps = np.abs(np.array(heads) - own)
        far = np.where([choice.ordered for choice in choices], steps, _ANOTHER_KIND * (steps > 0)).sum(axis=1)
        return self._with(point, heads[self.rng.choice(np.flatnonzero(far == far.min()))])

    def _with(self, point: Sequence[int], head: Point) -> Point:
        moved = list(point)
        for place, value in zip(self.counted, head, strict=True):
            moved[place] = value
        return tuple(moved)

    def mates(self, point: Point) -> "Mates":
        """What may stand in a cohort with a point."""
        cell = self.cell(point)
        shape = self.shape(cell) if cell else None
        found = []
        for place, choice in enumerate(self.space.choices):
            others = ((value, _made(self.space, (*point[:place], value, *point[place + 1 :])))
                      for value in range(len(choice.values)))  # fmt: skip
            found.append(tuple(value for value, other in others if other and self.shape(other) == shape))
        return Mates(shape, tuple(found))

    def may(self, point: Point, mates: "Mates | None") -> bool:
        """Whether a point may be proposed still, and, with mates, has their shape."""
        cell = self.new(point)
        return cell is not None and (mates is None or self.shape(cell) == mates.shape)

    def draw_mate(self, mates: "Mates") -> Point | None:
        """A new point of this shape, at random; None: there is none, or none was found."""
        for _ in range(_TRIES):
            point = tuple(places[self.rng.integers(len(places))] for places in mates.places)
            if self.may(point, mates):
                return point
        return self._one_of(point for point in self._all() if self.may(point, mates))


@dataclass(frozen=True, slots=True)
class Mates:
    """What may stand in a cohort.

    Attributes
    ----------
    shape : Hashable
    places : tuple of tuple of int
        For each choice of the space those with which the first of the cohort has this shape.
    """

    shape: Hashable
    places: tuple[tuple[int, ...], ...]


def grounds_of(space: Space, limits: Limits, *, shape: Callable[[Cell], Hashable], seed: int = 0) -> Grounds:
    """Narrow a space to what its limits leave of it.

    Raises
    ------
    ConfigurationError
        No network at all can be made of it, none is within the limits: which are the smallest it has; or it has too
        many sizes to be looked at.
    """
    rng = np.random.default_rng(seed)
    counted = _counted(space)
    rest = [place for place in range(len(space.choices)) if place not in counted]
    whole: dict[Point, Cell] = {}
    fault: InvalidFieldError | None = None
    for head in itertools.product(*(range(len(space.choices[place].values)) for place in counted)):
        point = [0] * len(space.choices)
        for place, value in zip(counted, head, strict=True):
            point[place] = value
        for _ in range(_COMPLETIONS if rest else 1):
            try:
                limits.parameters(cell := space.cell(point))
            except InvalidFieldError as refused:
                fault = refused
                for place in rest:
                    point[place] = int(rng.integers(len(space.choices[place].values)))
            else:
                whole[head] = cell
                break
    if not whole:
        raise ConfigurationError(f"space {space.name}", f"no network can be made of it: {fault}") from None
    within = {head: cell for head, cell in whole.items() if limits.fits(cell)}
    if not within:
        raise limits.refusal(list(whole.values()))
    heads, most_memory = list(within), max(map(limits.memory, within.values()))
    # Places of which nothing is left would only be proposed to be refused.
    kept = {place: sorted({head[index] for head in heads}) for index, place in enumerate(counted)}
    choices = tuple(
        replace(choice, values=tuple(choice.values[value] for value in kept.get(place, range(len(choice.values)))))
        for place, choice in enumerate(space.choices)
    )
    heads = [tuple(kept[place].index(value) for place, value in zip(counted, head, strict=True)) for head in heads]
    return Grounds(replace(space, choices=choices), shape, limits, heads, counted, rng, most_memory)


def _counted(space: Space) -> tuple[int, ...]:
    choices, fields = space.choices, [choice.field for choice in space.choices]
    sizes, paces = ([fields.index(name) for name in names if name in fields] for names in (_SIZES, _PACES))
    rest = sorted(set(range(len(choices))) - {*sizes, *paces}, key=lambda place: len(choices[place].values))
    taken, product = list[int](), 1
    for place in (*sizes, *paces, *rest):
        if place in sizes or product * len(choices[place].values) <= _COUNTED:
            taken.append(place)
            product *= len(choices[place].values)
    if product > _MOST_SIZES:
        raise ConfigurationError(f"space {space.name}", f"{product:,} combinations of features, widths and depths are "
                                 f"more than {_MOST_SIZES:,}", "give fewer values")  # fmt: skip
    return tuple(taken)


def _made(space: Space, point: Sequence[int]) -> Cell | None:
    try:
        return space.cell(point)
    except InvalidFieldError:
        return None
