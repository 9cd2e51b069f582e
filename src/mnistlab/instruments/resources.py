"""Memory and energy as this machine counts them; None where it does not."""

import os
import time
from pathlib import Path

import psutil

_RAPL = Path("/sys/class/powercap")


def peak_resident_bytes() -> int | None:
    """The most memory this process ever held resident (`VmHWM`), in bytes; Linux only.

    `ru_maxrss` would not do: a child inherits its parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def restart_peak() -> bool:
    """Let `peak_resident_bytes` begin anew at what is resident now; False where the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident_bytes() -> int:
    """Memory this process has at the moment."""
    return int(psutil.Process().memory_info().rss)


def available_bytes() -> int:
    """Memory that can be given to new processes without swapping, in bytes."""
    return int(psutil.virtual_memory().available)


def oom_kills() -> int:
    """Processes the kernel has ended for lack of memory since it started; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def energy_joules() -> float | None:
    """Reading of the processor packages' energy counters (RAPL), in joules; they wrap around within hours."""
    counters = [path / "energy_uj" for path in _RAPL.glob("intel-rapl:*") if path.name.count(":") == 1]
    try:
        readings = [int(counter.read_text()) for counter in counters]
    except (OSError, ValueError):
        return None
    return sum(readings) / 1e6 if readings else None


def process_seconds() -> float:
    """Seconds since this process began; on Linux to a clock tick, where psutil's answer is up to a second off."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return time.time() - psutil.Process().create_time()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
