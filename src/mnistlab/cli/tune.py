"""`mnistlab tune`: the best network within limits, and what it really scores."""

import shlex
from contextlib import closing
from typing import Annotated, Any

from cyclopts import Parameter

from mnistlab import formatting, lab
from mnistlab.cli.documents import cell_document
from mnistlab.cli.output import Json, ProgressLine, Where, Whole, emit, emit_json, seconds_of, terminal_width
from mnistlab.winners import Confirmed, Tuned


def tune(
    *,
    max_parameters: Whole | None = None,
    max_seconds_per_epoch: str | None = None,
    objective: str = "accuracy",
    budget: str | None = None,
    trials: Whole | None = None,
    space: str = "default",
    dataset: str | None = None,
    sampler: str | None = None,
    workers: Whole | None = None,
    device: str = "cpu",
    fresh: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    where: Where | None = None,
) -> int:
    """Search the best network within limits, and say what it really scores; go on where an earlier call stopped.

    Networks are chosen by validation digits. The winner is trained again with fresh seeds, and its test accuracy comes
    from these alone.

    Parameters
    ----------
    max_parameters
        The most parameters the network may have, behind its features: pca:50 makes it small.
    max_seconds_per_epoch
        The longest an epoch of its training may take on this machine, its share where five are trained side by side.
    objective
        accuracy; or accuracy,parameters or accuracy,seconds: every network that none beats in both.
    budget
        Wall-clock limit of this call such as 90s, 10m or 2h (default: 10m, or none with --trials).
    trials
        Try so many networks in all (default: as many as there is time for).
    space
        A study file whose lists are the choices (default: one that ships, see docs/using.md).
    dataset
        Another data set than the space's, by name or path.
    sampler
        tpe (learns what works; needs Optuna; the default where it is installed), random, or grid.
    workers
        Processes side by side (default: one a core).
    device
        cpu or gpu.
    fresh
        Forget what this search has found, and start anew.
    """
    where, progress = where or Where(), ProgressLine()
    seconds = None if budget is None else seconds_of(budget)
    pace = None if max_seconds_per_epoch is None else seconds_of(max_seconds_per_epoch, "--max-seconds-per-epoch")
    with closing(progress):
        found = lab.tune(
            space, max_parameters=max_parameters, max_seconds_per_epoch=pace, objective=objective,
            budget=seconds, trials=trials, sampler=sampler, dataset=dataset, workers=workers, device=device,
            fresh=fresh, places=where.places, on_progress=progress, notify=progress.tell,
        )  # fmt: skip
    if json:
        emit_json(tuned_document(found))
    else:
        given = {"--trials": trials, "--sampler": sampler, "--workers": workers, "--device": device}
        more = "".join(f" {flag} {value}" for flag, value in given.items() if value not in (None, "cpu"))
        emit(tuned_text(found, more + where.words, where.words, terminal_width()))
    return found.exit_status


def tuned_document(found: Tuned) -> dict[str, Any]:
    """What `tune --json` prints."""
    summary, winners = found.summary, [_winner(winner) for winner in found.winners]
    return formatting.document(
        study=found.study, objective=found.objective, winner=winners[-1] if winners else None, trials=found.trials,
        given_up=found.given_up, networks=found.networks, seconds=summary and summary.seconds,
        stopped=summary and summary.stopped, pareto=winners, undecided=[cell.id for cell in found.undecided],
    )  # fmt: skip


def _winner(winner: Confirmed) -> dict[str, Any]:
    return {
        **cell_document(winner.cell, winner.size), "seconds_per_epoch": winner.seconds_per_epoch,
        "accuracy": winner.accuracy, "searched_accuracy": winner.searched_accuracy,
        "fresh_validation_accuracy": winner.fresh_validation_accuracy, "optimism": winner.optimism,
        "fresh_lost": winner.n_lost, "fresh_collapsed": winner.n_collapsed,
    }  # fmt: skip


def tuned_text(found: Tuned, more: str, where: str, width: int) -> str:
    """For people: what was tried, who has won, what the search would have quoted, and what is true.

    `more` is what goes on has behind the search's own words.
    """
    counted = formatting.counted
    tried = f"{counted(found.trials, 'network')} tried"
    tried += f", {found.given_up:,} of them given up early" if found.given_up else ""
    took = f" This call took {formatting.seconds(found.summary.seconds)}." if found.summary else ""
    lines = [f"{found.study}: {tried}; {counted(found.networks, 'network')} trained in all.{took}", ""]
    goes_on = f"`mnistlab tune {found.words}{more}` goes on"
    if not found.winners:
        short = found.summary is not None and found.summary.stopped == "budget"
        why = (
            "There was no time to train one to its end"
            if short
            else "None within the limits was trained to its end yet"
        )
        return "\n".join([*lines, f"{why}: {goes_on}{', with a longer --budget' if short else ''}."])
    columns = {
        "cell": lambda one: one.cell.label,
        "parameters": lambda one: f"{one.size.parameters:,}",
        "s an epoch, as trained": lambda one: formatting.significant(one.seconds_per_epoch),
        "searched, validation": lambda one: formatting.percent(one.searched_accuracy),
        "fresh, validation": lambda one: formatting.percent(one.fresh_validation_accuracy),
        "optimism, points": lambda one: formatting.with_spread(one.optimism, 100),
        "fresh, test": lambda one: formatting.percent(one.accuracy),
        "id": lambda one: one.cell.id,
    }
    rows = [[write(winner) for write in columns.values()] for winner in found.winners]
    lines += [formatting.text_table(list(columns), rows, width), ""]
    lines.append("Per cent, 95 % intervals, networks in brackets. Test accuracy is of fresh seeds alone, which had no "
                 "part in the choice; optimism is what the search would have quoted too much.")  # fmt: skip
    if found.undecided and found.winners[0].searched_accuracy.n < 2:
        lines.append("Chosen by one network of each: there was no time for the race, others may be as good.")
    elif found.undecided:
        lines.append(f"Not told apart from {'it' if len(found.winners) == 1 else 'these'}: "
                     f"{'; '.join(cell.label for cell in found.undecided)}.")  # fmt: skip
    lines += [f"Of {counted(winner.n_lost, 'fresh seed')} of {winner.cell.label} no network came: it diverged."
              for winner in found.winners if winner.n_lost]  # fmt: skip
    lines += [f"{counted(winner.n_collapsed, 'fresh network')} of {winner.cell.label} learned nothing; the mean holds "
              "all." for winner in found.winners if winner.n_collapsed]  # fmt: skip
    if not all(winner.is_confirmed for winner in found.winners):
        lines.append(f"Not all are confirmed yet: {goes_on}.")
    elif found.summary is not None and found.summary.stopped == "interrupted":
        lines.append(f"Stopped while it searched further: {goes_on}.")
    lines.append(f"`mnistlab report {shlex.quote(found.study)}{where}` shows what was tried.")
    return "\n".join(lines)
