"""What a study is asked to find whose cells nobody names: the best network of a space, or each cell's own rate.

The store keeps it with the study as one JSON object, which is written and read here alone.
"""

import json
import math
import shlex
from dataclasses import dataclass, replace

from mnistlab.errors import ConfigurationError
from mnistlab.spec import Architecture, Cell, Features
from mnistlab.study import Choice, Space, Study

OBJECTIVES = ("accuracy", "accuracy,parameters", "accuracy,seconds")
_CELL = Cell(Architecture((64,)))
_TUPLES = ("hidden_layer_sizes", "steps")  # fields whose values are tuples, which JSON has no word for


@dataclass(frozen=True, slots=True)
class SearchAsked:
    """The best network of a space, within limits.

    Attributes
    ----------
    space : Space
    objective : str
        One of `OBJECTIVES`.
    max_parameters : int | None
    max_seconds_per_epoch : float | None
    other_dataset : str
        As its user named it, where it is not that of the space.
    """

    space: Space
    objective: str = "accuracy"
    max_parameters: int | None = None
    max_seconds_per_epoch: float | None = None
    other_dataset: str = ""

    @property
    def study(self) -> Study:
        """The study that the search is in the store; its cells come as they are asked for."""
        space, least = self.space, "" if self.objective == "accuracy" else f"-{self.objective.replace(',', '-')}"
        named = "" if space.name == "default" else f"-{space.name}"
        within = [f"-{limit}-{word}" for limit, word in
                  ((self.max_parameters, "parameters"), (self._seconds, "seconds")) if limit]  # fmt: skip
        on = f"-{self.dataset}" if self.other_dataset else ""
        return Study("tune" + named + on + "".join(within) + least, (), (), words=self.words, asked=self)

    @property
    def words(self) -> str:
        """What stands behind `mnistlab tune` to ask for it again; empty where only Python can."""
        if not self.space.words:
            return ""
        given = {"--space": None if self.space.words == "default" else self.space.words,
                 "--dataset": shlex.quote(self.other_dataset) if self.other_dataset else None,
                 "--max-parameters": self.max_parameters, "--max-seconds-per-epoch": self._seconds,
                 "--objective": None if self.objective == "accuracy" else self.objective}  # fmt: skip
        # Without any of them, there is still something behind the command.
        return (
            " ".join(f"{flag} {value}" for flag, value in given.items() if value is not None) or "--objective accuracy"
        )

    @property
    def _seconds(self) -> str | None:
        """Written alike, whether a person said 1 or a program 1.0."""
        return None if self.max_seconds_per_epoch is None else f"{self.max_seconds_per_epoch:g}"

    @property
    def dataset(self) -> str:
        """The data set, or the path, that the space names."""
        return next((str(one.values[0]) for one in self.space.choices if one.field == "dataset"), _CELL.dataset)

    def on(self, dataset: str) -> "SearchAsked":
        """The same on another data set."""
        rest = (one for one in self.space.choices if one.field != "dataset")
        return replace(self, space=replace(self.space, choices=(*rest, Choice("dataset", (dataset,)))))

    def check(self) -> None:
        """Refuse an objective that is none, and limits that are no limits.

        Raises
        ------
        ConfigurationError
        """
        if self.objective not in OBJECTIVES:
            raise ConfigurationError(f"--objective {self.objective}", f"one of {' | '.join(OBJECTIVES)} is needed")
        if self.max_parameters is not None and self.max_parameters < 1:
            raise ConfigurationError(f"--max-parameters {self.max_parameters}", "a whole number of 1 or more is needed")
        if self.max_seconds_per_epoch is not None and not 0 < self.max_seconds_per_epoch < math.inf:
            raise ConfigurationError(f"--max-seconds-per-epoch {self.max_seconds_per_epoch:g}",
                                     "a positive number of seconds is needed")  # fmt: skip

    def to_json(self) -> str:
        """As the store keeps it."""
        return json.dumps({
            "objective": self.objective, "max_parameters": self.max_parameters,
            "max_seconds_per_epoch": self.max_seconds_per_epoch, "space": self.space.name,
            "other_dataset": self.other_dataset,
            "choices": {choice.field: choice.values for choice in self.space.choices},
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class RatesAsked:
    """Of every cell of a study its own best value of one knob; see `fair.tuned`.

    Attributes
    ----------
    knob : str
        `learning_rate`.
    factors : tuple of float
        What is tried, times what the study says.
    study : str
        The study whose cells these are.
    cells : tuple of str
        Their ids, as the study names them.
    """

    knob: str
    factors: tuple[float, ...]
    study: str
    cells: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As the store keeps it."""
        return json.dumps({"knob": self.knob, "rates": self.factors, "of": self.study, "cells": self.cells})


def read_asked(text: str) -> SearchAsked | RatesAsked | None:
    """What the store holds; None: nothing, all cells were named.

    Raises
    ------
    ValueError, TypeError, LookupError
        This is none of both.
    """
    if not text:
        return None
    content = json.loads(text)
    if "knob" in content:
        return RatesAsked(content["knob"], tuple(content["rates"]), content["of"], tuple(content["cells"]))
    choices = tuple(Choice(name, tuple(tuple(value) if name in _TUPLES else value for value in values))
                    for name, values in dict(content["choices"]).items())  # fmt: skip
    return SearchAsked(Space(content["space"], choices), content["objective"], content["max_parameters"],
                       content["max_seconds_per_epoch"], content["other_dataset"])  # fmt: skip


def pipelines(space: Space) -> tuple[Features, ...]:
    """The features that networks of a space may have."""
    steps = next((choice.values for choice in space.choices if choice.field == "steps"), (Features().steps,))
    return tuple(map(Features, steps))


def frameworks(space: Space) -> tuple[str, ...]:
    """What trains networks of a space."""
    return next((choice.values for choice in space.choices if choice.field == "framework"), (_CELL.framework,))
