"""A study whose seeds go where verdicts are open: train, look, train again, until nothing is open that seeds decide."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from mnistlab.conduct import RunSummary
from mnistlab.spec import Run
from mnistlab.store.tables import Store
from mnistlab.study import FIRST_LOOK, Study


def until_decided(
    study: Study, margin: float, *, store: Store, train: Callable[[Study], RunSummary], notify: Callable[[str], None]
) -> RunSummary:
    """Train an adaptive study look by look; returns the summary over all looks.

    Parameters
    ----------
    study : Study
        With every seed it may use.
    margin : float
        What counts as equivalent, a fraction.
    store : Store
        Where its results are.
    train : callable
        Trains what is left of a study with these cells and seeds; its summary counts what came before, too.
    notify : callable
        Told at every look how many cells have open verdicts, and at the end what became of all.
    """
    from mnistlab.analysis.replication import adaptive_verdicts, seeds_wanted

    began = time.monotonic()
    part, tried = replace(study, seeds=study.seeds[:FIRST_LOOK]), set[str]()
    while True:
        summary = train(part)
        if summary.stopped:
            break
        tried |= {Run(cell, seed).id for cell in part.cells for seed in part.seeds}
        cells, runs = store.cell_table(study.name), store.runs(study.name, bits=True)
        found = adaptive_verdicts(cells, runs, seeds=study.seeds, margin=margin)
        wanted = seeds_wanted(found).to_dict()
        ended = tried | store.finished(study.name)
        open_ = [cell for cell in study.cells
                 if any(Run(cell, seed).id not in ended for seed in study.seeds[: wanted[cell.id]])]  # fmt: skip
        if not open_:
            counts = Counter(found.rows["verdict"])
            told = ", ".join(f"{n:,} {word}" for word, n in counts.most_common())
            notify(
                f"{len(found.rows):,} verdicts: {told}" if told else "no two cells differ in one knob alone: no verdict"
            )
            break
        n_seeds = min(wanted[cell.id] for cell in open_)
        part = replace(study, cells=tuple(cell for cell in open_ if wanted[cell.id] == n_seeds),
                       seeds=study.seeds[:n_seeds])  # fmt: skip
        notify(f"verdicts of {len(part.cells):,} of {len(study.cells):,} cells are open: on to {n_seeds} seeds of each")
    return replace(summary, seconds=time.monotonic() - began)
