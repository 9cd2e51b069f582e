"""Which program trains a run. What its bits depend on, chosen from cell, seed and device alone: never from prices,
from what else is to be done or from what is done already, so that a run is the same whenever it is trained."""

import itertools
import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Self

from mnistlab.dnn_model import choose_backend
from mnistlab.errors import ConfigurationError, did_you_mean
from mnistlab.seeds import SEARCH_SEEDS
from mnistlab.spec import Cell, Run

ENGINES = ("reference", "population")
ONE_NETWORK, SEEDS_OF_ONE_CELL, CELLS_OF_ONE_SEED = "one network", "seeds of one cell", "cells of one seed"

# Measured on two cores (docs/engines.md). Up to 128 wide five networks cost as much a step as one by itself and share
# one compilation; beyond that they no longer fit the cache and cost more. Fives begin with seed 5, so that
# studies of up to five seeds, of ten, of fifteen have no empty places. To share the batches pays up to 8 wide even
# where a cell is the only one of its kind.
_FIVE, _FIVE_WIDTH = 5, 128
_SHARED, _SHARED_WIDTH = 4, 8
_FEW_STEPS = 5_000
# An accelerator is filled by so many weights; more of them side by side gain nothing, and leave places empty. Fives
# again, doubled while they fit.
_GPU_WEIGHTS, _GPU_MEMBERS = 6.5e7, 640


@dataclass(frozen=True, slots=True)
class Program:
    """What trains a run; with versions and device all that its bits depend on beside itself.

    Attributes
    ----------
    engine : str
    kind : str
        Of the population engine: `one network`, `seeds of one cell`, where every member has an order of its own, or
        `cells of one seed`, where all share their batches. Of the reference engine: the function that trains.
    members : int
        Length of the axis `member`; where fewer runs come, the rest of it is padded.
    """

    engine: str
    kind: str = ""
    members: int = 1

    def __str__(self) -> str:
        return self.kind if self.members == 1 else f"{self.members} {self.kind}"

    @classmethod
    def of(cls, engine: str, text: str) -> Self:
        """The program that a run has recorded: its engine, and the text of `str`."""
        members, _, kind = text.partition(" ")
        return cls(engine, kind, int(members)) if members.isdigit() else cls(engine, text)


def program_of(choice: str, cell: Cell, n_steps: int, seed: int, device: str) -> Program:
    """The program of a run.

    Parameters
    ----------
    choice : str
        `auto`, `population` or `reference`: what the user asked for.
    cell : Cell
    n_steps : int
        Steps of its whole training: its epochs of its part of the data set.
    seed : int
        The run's own, wherever it stands in a study: seeds of a study go from 0 on unless somebody names others.
    device : str
        `cpu` or `gpu`.

    Raises
    ------
    ConfigurationError
        Another choice.
    """
    if choice not in ("auto", *ENGINES):
        raise ConfigurationError(f"--engine {choice}", "no such engine", did_you_mean(choice, ("auto", *ENGINES)))
    if choice == "reference" or why_not_covered(cell, n_steps):
        return Program(
            "reference", f"Model.fit on {choose_backend()}" if cell.framework == "keras" else "MLPClassifier.fit"
        )
    widest = max(cell.architecture.hidden_layer_sizes)
    if device == "gpu" and not cell.features.learns:  # each of these would bring features of its own
        members = min(_gpu_members(cell), _FIVE if seed >= SEARCH_SEEDS else _GPU_MEMBERS)  # trials come by fives
        return Program("population", SEEDS_OF_ONE_CELL if members > 1 else ONE_NETWORK, members)
    if widest <= _SHARED_WIDTH and cell.framework == "keras":
        return Program("population", CELLS_OF_ONE_SEED, _SHARED)
    if widest <= _FIVE_WIDTH and seed >= _FIVE and not cell.features.learns:
        return Program("population", SEEDS_OF_ONE_CELL, _FIVE)
    return Program("population", ONE_NETWORK)


def _gpu_members(cell: Cell) -> int:
    widths = (784, *cell.architecture.hidden_layer_sizes, 10)
    fitting = min(_GPU_MEMBERS, _GPU_WEIGHTS / sum(a * b for a, b in itertools.pairwise(widths)))
    return _FIVE * 2 ** int(math.log2(fitting / _FIVE)) if fitting >= _FIVE else 1


def why_not_covered(cell: Cell, n_steps: int) -> str:
    """Why the population engine does not train a cell, for a sentence; empty where it does."""
    if cell.framework == "keras" and choose_backend() != "jax":
        return f"Keras runs on {choose_backend()}, not on JAX"
    if cell.framework == "sklearn" and cell.training.optimizer != "adam":
        return f"scikit-learn's {cell.training.optimizer} is trained by its own fit alone"
    if cell.framework == "sklearn" and n_steps < _FEW_STEPS:
        return f"scikit-learn takes so few steps ({n_steps:,}) sooner than they are compiled"
    return ""


def companions(run: Run, kind: str) -> Hashable:
    """What runs have in common that one compiled program may train: shape, optimizer, batch size, data, features.

    Where they share their batches, seed and split as well. Learning rate and schedule, L2, dropout rates, noise, label
    smoothing, epochs, stopping, and else seed and split are each member's own.
    """
    cell = run.cell
    rates = {name: 0.5 if getattr(cell.architecture, name) else 0.0
             for name in ("dropout", "input_dropout", "gaussian_noise")}  # fmt: skip
    layers, training = replace(cell.architecture, **rates), cell.training  # type: ignore[arg-type]
    step = (training.optimizer, training.momentum, training.weight_decay, training.epsilon, training.max_norm,
            training.ema_momentum, training.l2 > 0, training.label_smoothing > 0)  # fmt: skip
    shape = cell.framework, cell.dataset, cell.features, layers, step, training.deformation, training.batch_size
    return (*shape, cell.split, run.seed) if kind == CELLS_OF_ONE_SEED else shape
