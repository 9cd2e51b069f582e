"""What the machine says, against what a process of known size and age is."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnistlab.instruments import resources

MEGABYTE = 1_000_000
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is not measurable here")


def in_a_fresh_process(program):
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


@needs_proc
def test_a_child_that_allocates_100_mb_reads_100_mb_whatever_its_parent_holds():
    held = b"x" * (500 * MEGABYTE)
    program = f"""
import json
from mnistlab.instruments.resources import peak_resident_bytes
before = peak_resident_bytes()
block = b"x" * {100 * MEGABYTE}
print(json.dumps(peak_resident_bytes() - before))
"""
    assert in_a_fresh_process(program) == pytest.approx(100 * MEGABYTE, abs=3 * MEGABYTE)
    assert len(held) < resources.peak_resident_bytes()


@needs_proc
def test_the_peak_stays_when_memory_is_given_back():
    program = f"""
import json
from mnistlab.instruments.resources import peak_resident_bytes
before = peak_resident_bytes()
block = b"x" * {100 * MEGABYTE}
del block
print(json.dumps(peak_resident_bytes() - before))
"""
    assert in_a_fresh_process(program) > 97 * MEGABYTE


def test_the_age_of_a_process_is_true_to_a_few_hundredths_of_a_second():
    program = """
import json, time
from mnistlab.instruments.resources import process_seconds
print(json.dumps(time.time() - process_seconds()))
"""
    before = time.time()
    assert in_a_fresh_process(program) == pytest.approx(before, abs=0.08)


def test_the_machine_has_cores_and_memory():
    assert resources.usable_cores() >= 1
    assert resources.available_bytes() > 10 * MEGABYTE
    assert resources.oom_kills() >= 0


def test_energy_is_a_counter_or_not_measurable():
    first = resources.energy_joules()
    assert first is None or first >= 0
