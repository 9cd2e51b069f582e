"""Cells less what is done: runs in groups, with their sizes and predicted cost. Pure; reads and writes nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellSize:
    """What a cell amounts to on its data set: counts of features, examples, parameters and operations."""

    n_features: int
    n_classes: int
    n_train: int
    n_validation: int
    n_test: int
    parameters: int
    trainable_parameters: int
    flops_per_step: int
    steps_per_epoch: int
