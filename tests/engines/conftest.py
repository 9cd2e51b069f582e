"""Digits, prepared: small enough to train in a blink, real enough to learn something."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mnistlab.datasets import catalog
from mnistlab.preprocessing import PreparedData, prepare
from mnistlab.records import Environment
from mnistlab.spec import Run


@pytest.fixture(scope="session")
def environment() -> Environment:
    return Environment("3.11", "test", "test", 1, 1, "cpu", (), (), "", "test")


@pytest.fixture(scope="session")
def prepare_run() -> Callable[[Run], PreparedData]:
    """Arrays of a run on digits, made anew at every call, so that no run can spoil another's."""
    dataset = catalog.load("digits", Path())
    return lambda run: prepare(dataset, run.cell.split, run.cell.features, run.seed)
