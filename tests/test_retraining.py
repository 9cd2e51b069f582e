"""What is trained again, and on which device; that it gives the same bits, tests/cli/test_models.py proves."""

import pytest

from mnistlab.errors import MachineError
from mnistlab.places import Places
from mnistlab.records import Environment, RunResult
from mnistlab.retraining import network_again
from mnistlab.spec import Architecture, Cell, Run


@pytest.mark.parametrize("device", ["gpu", "NVIDIA H100 80GB HBM3"])
def test_what_an_accelerator_trained_needs_one_again_by_whatever_name_it_is_stored(tmp_path, monkeypatch, device):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # whatever this machine has
    there = Environment("3.11", "test", "test", 1, 1, device, (), (), "", "test")
    result = RunResult(Run(Cell(Architecture((2,)), dataset="digits"), 0), "done", "reference", there)
    told = []
    with pytest.raises(MachineError, match="--device gpu: JAX finds no GPU"):
        network_again(result, Places.find(tmp_path, offline=True), told.append)
    assert (told, list(tmp_path.iterdir())) == ([], [])
