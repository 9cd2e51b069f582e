"""`mnistlab bench`, `simulate`, `doctor`, `config show`, `rescue`, completion: the machine, promises, settings."""

import textwrap
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnistlab import formatting, lab, tabulation, wording
from mnistlab.cli.output import Json, Where, Whole, emit, emit_json, notify, terminal_width
from mnistlab.errors import ConfigurationError, MachineError, did_you_mean

_SHELLS = ("bash", "zsh", "fish")


def doctor(*, json: Json = False, where: Where | None = None) -> int:
    """Say what this machine has and what it lacks, with the command that mends it."""
    checks = lab.doctor(places=(where or Where()).places)
    if json:
        emit_json(formatting.document(checks=checks))
    else:
        lines = [f"{check.status:<4}  {check.name}: {check.detail}" for check in checks]
        mended = [f"      → {check.remedy}" if check.remedy else "" for check in checks]
        emit(_wrapped([text for pair in zip(lines, mended, strict=True) for text in pair if text], "      "))
    return MachineError.exit_status if any(check.status == "fail" for check in checks) else 0


def bench(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    json: Json = False,
    where: Where | None = None,
) -> None:
    """Time the same networks by every engine, side by side, beside this machine's own limit.

    Takes minutes on an idle machine, and only there it means something. All sides are measured in turn, several turns;
    ratios are formed turn by turn. Nothing goes into the store.

    Parameters
    ----------
    quick
        Only 4x4, 4x32, 4x64 and 4x128, in less than two minutes.
    device
        cpu or gpu.
    """
    found = lab.bench(quick=quick, device=device, places=(where or Where()).places, notify=notify)
    if json:
        emit_json(formatting.document(machine=found.machine, rows=found.rows))
        return
    machine = found.machine
    here = f"{machine.processor}, {machine.cores} cores, {machine.device}"
    load = f"load {machine.load_before:.1f} before, {machine.load_after:.1f} at the end"
    meant = "seconds of one network's epoch, times as fast as Keras' and scikit-learn's own fit, share of the limit"
    turns = found.rows[0].seconds_per_network_epoch.n
    notes = _wrapped([f"{here}; {load}.", f"Medians of {turns} turns: {meant}."], "")
    table = formatting.text_table(*tabulation.bench_cells(found.rows), terminal_width())
    emit(f"{notes}\n\n{table}")


def simulate(*, studies: Whole | None = None, json: Json = False) -> int:
    """Show that intervals and verdicts keep what they promise, on studies whose truth is known; exit status 7 if not.

    Takes about half an hour by default; trains nothing and needs no store. Pairs of equal cells, grids of equal cells,
    grids with planted differences; where seeds and digits matter and where they do not.

    Parameters
    ----------
    studies
        Simulated studies of each kind, 20 or more (default: 2000).
    """
    promises = lab.simulate(studies, notify=notify)
    if json:
        emit_json(wording.simulation_json(promises))
    else:
        emit(wording.promises_text(promises, terminal_width()))
    return 7 if any(promise.kept is False for promise in promises) else 0


def config_show(*, json: Json = False, where: Where | None = None) -> None:
    """Print every setting and where it comes from: a flag, the environment, mnistlab.toml, or the default."""
    given = where or Where()
    found = lab.settings(given.home, given.store, given.data_dir, given.offline)
    if json:
        emit_json(formatting.document(settings=found))
    else:
        emit(_wrapped([f"{setting.name}: {_value(setting.value)} ({setting.source})" for setting in found], "  "))


def rescue(damaged: Path, new: Path, /, *, json: Json = False) -> None:
    """Save what can be read of a damaged store into a new one; the damaged file stays as it is.

    Parameters
    ----------
    damaged
        The damaged store.
    new
        The file to write, which must not exist yet.
    """
    found = lab.rescue(damaged, new)
    if json:
        emit_json(formatting.document(
            damaged=str(found.damaged), store=str(found.store), tables=found.tables, finished=found.finished,
            planned_again=found.planned_again,
        ))  # fmt: skip
        return
    rows = [[one.table, f"{one.saved:,}", "unknown" if one.lost is None else f"{one.lost:,}"] for one in found.tables]
    emit(formatting.text_table(["table", "saved", "lost"], rows, terminal_width()))
    saved = f"{found.finished:,} finished runs saved with everything that belongs to them"
    again = f"{found.planned_again:,} that lack something are planned again"
    emit(_wrapped([f"{saved}; {again}. `run` goes on with --store {found.store}."], ""))


def install_completion(
    *, shell: str | None = None, output: Annotated[Path | None, Parameter(name="--to")] = None
) -> None:
    """Let the shell complete commands and flags: write its script and tell its start-up file.

    Parameters
    ----------
    shell
        bash, zsh or fish (default: the one this runs in).
    output
        Write the script to this file, and change no other.
    """
    from cyclopts.completion.detect import ShellDetectionError

    from mnistlab.cli.app import app

    if shell is not None and shell not in _SHELLS:
        raise ConfigurationError(f"--shell {shell or repr(shell)}", "no such shell", did_you_mean(shell, _SHELLS))
    try:
        path = app.install_completion(shell=shell, output=output, add_to_startup=output is None)  # type: ignore[arg-type]
    except ShellDetectionError:
        raise ConfigurationError("--install-completion", "the shell is not known", "say --shell bash") from None
    except OSError as fault:
        why = (fault.strerror or str(fault)).lower()
        raise MachineError(str(fault.filename or output), f"cannot be written: {why}", "say --to FILE") from fault
    emit(f"Written: {path}. " + ("A new shell completes." if output is None else "A shell that reads it completes."))


def _value(value: str | bool | None) -> str:
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else value or "empty"


def _wrapped(lines: list[str], indent: str) -> str:
    """Lines no wider than the terminal, what is printed in them safe to print."""
    width = max(10, terminal_width())
    return "\n".join(textwrap.fill(formatting.printable(line), width, subsequent_indent=indent) for line in lines)
