"""How often `tune` ends with a truly better cell than random search, replayed on networks that are trained once.

    .venv/bin/python benchmarks/tune_replays.py cells >table.toml         # 320 random cells, five seeds of each
    .venv/bin/mnistlab run table.toml --store table.sqlite
    .venv/bin/python benchmarks/tune_replays.py replay table.toml table.sqlite

A replay draws which seed is which, and which cells come first. The tuner (TPE, halving, race) sees validation
accuracies alone; so does random search, which trains cell after cell to the end, with one seed, until it has used as
many network-epochs as search and race did. The truth of a cell is its mean test accuracy over all five seeds.
Confirmation is left out on both sides.
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from mnistlab.analysis.intervals import t_interval, wilson_interval
from mnistlab.engines.programs import SEEDS_OF_ONE_CELL, companions
from mnistlab.grounds import Grounds, Limits, grounds_of
from mnistlab.lab import open_store
from mnistlab.sampling import new_sampler
from mnistlab.seeds import FRESH_SEEDS, SEARCH_SEEDS
from mnistlab.spec import Architecture, Cell, Run
from mnistlab.study import load_config, load_space
from mnistlab.tuner import Tuner
from mnistlab.tuning import Trained, survives

# Fives of seeds from 5 on are trained by one program.
SEEDS = (5, 6, 7, 8, 9)
EPOCHS = 9
SAME_SHAPE = 10  # cells of the table; each shape is compiled
SPACE = load_space({
    "name": "table",
    "features": [["scale"], ["deskew", "scale"]],
    "data": {"train_test_splits": 0.15, "validation_split": 0.4, "batch_size": [64, 128]},
    "model": {"node_counts": [8, 11, 16, 23, 32, 45, 64], "layer_depths": [1, 2, 3],
              "activations": ["relu", "gelu", "tanh", "elu"], "batch_norm": [False, True],
              "dropout": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]},
    "training": {"epochs": EPOCHS, "learning_rate": [0.0003, 0.0005, 0.0007, 0.001, 0.0014, 0.002, 0.003, 0.005, 0.01],
                 "schedule": ["constant", "cosine"], "l2": [0.0, 1e-6, 1e-5, 1e-4]},
})  # fmt: skip


def shape(cell):
    return companions(Run(cell, 0), SEEDS_OF_ONE_CELL)


def parameters(cell):
    return cell.architecture.parameters(784, 10)


def print_cells(n_cells):
    grounds = grounds_of(SPACE, Limits(parameters, parameters), shape=shape)
    sampler, cells = new_sampler("random", grounds), []
    while len(cells) < n_cells:
        cells += sampler.propose(SAME_SHAPE)
    print(f'name = "tune-table"\nseeds = {list(SEEDS)}')
    usual = flat(Cell(Architecture((64,))))
    for cell in cells:
        print("[[cell]]", *(f"{key} = {json.dumps(value)}" for key, value in flat(cell).items() if value != usual[key]),
              sep="\n")  # fmt: skip


def flat(cell):
    content = cell.content()
    inner = {f"{part}.{key}": value for part in ("split", "training") for key, value in content.pop(part).items()}
    return content | inner


class Table:
    """Curves and test accuracies of every network of the store."""

    def __init__(self, config, path):
        study, store = load_config(config), open_store(path)
        epochs, tests = store.epochs(study.name), defaultdict(list)
        curves = {run: tuple(own["validation_accuracy"]) for run, own in epochs.groupby("run")}
        by_id = {cell.id: cell for cell in study.cells}
        self.curves = {}
        for row in store.runs(study.name).itertuples():
            if row.status in ("done", "diverged"):
                is_done = row.status == "done"
                self.curves[by_id[row.cell], row.seed] = curves[row.run] if is_done else (0.0,) * EPOCHS
                tests[row.cell].append(row.test_accuracy if is_done else 0.0)
        self.cells = [cell for cell in study.cells if len(tests[cell.id]) == len(SEEDS)]
        self.points = [SPACE.point(cell) for cell in self.cells]
        self.truth = {cell: float(np.mean(tests[cell.id])) for cell in self.cells}
        self.spread = {cell: float(np.std(tests[cell.id], ddof=1)) for cell in self.cells}

    def grounds(self, seed):
        """Of the space, these cells alone."""
        only = Limits(parameters, lambda cell: 0.0 if cell in self.truth else math.inf, max_seconds_per_epoch=1.0)
        everything = tuple(range(len(SPACE.choices)))
        return Grounds(SPACE, shape, only, self.points, everything, np.random.default_rng(seed))


def tune(table, seeds, budget, sampler, seed):
    """The cell that the tuner ends with, and the network-epochs it has used."""
    grounds = table.grounds(seed)
    tuner, spent = Tuner(grounds, new_sampler(sampler, grounds)), 0

    def fits(runs):
        # Fresh seeds are set aside on neither side; the table has no more than its own.
        asked = [run for run in runs if run.seed < FRESH_SEEDS]
        asked = [run for run in asked if run.seed < SEARCH_SEEDS + len(seeds)]
        return bool(asked) and spent + EPOCHS * len(asked) <= budget

    while batch := tuner.next(fits):
        curves = {run: table.curves[run.cell, seeds[run.seed - SEARCH_SEEDS]] for run in batch.runs}
        alive = dict(curves)
        for rung, others in batch.halving.rungs if batch.halving else ():
            here = {run: curve[rung - 1] for run, curve in alive.items()}
            for run, own in here.items():
                mates = [accuracy for mate, accuracy in here.items() if mate != run]
                if not survives(own, [*others, *mates], batch.halving.factor):
                    curves[run] = alive.pop(run)[:rung]
        for run, curve in curves.items():
            spent += len(curve)
            tuner.know(Trained(run, curve, curve[-1], run not in alive))
    return tuner.winners[0].cell, spent, len(tuner.tried)


def random_search(table, seeds, budget, rng):
    cells = [table.cells[place] for place in rng.permutation(len(table.cells))[: budget // EPOCHS]]
    return max(cells, key=lambda cell: table.curves[cell, seeds[0]][-1])


def replay(config, path, n_replays, budget, sampler):
    table = Table(config, path)
    best = max(table.truth.values())
    spread = np.sqrt(np.mean(np.square(list(table.spread.values()))))
    print(f"{len(table.cells)} cells, {len(SEEDS)} seeds; the best {best:.2%}, the median "
          f"{np.median(list(table.truth.values())):.2%}; standard deviation between seeds {spread:.2%}")  # fmt: skip
    wins = ties = losses = 0
    leads, missing, tried = [], {"tune": [], "random": []}, []
    for number in range(n_replays):
        rng = np.random.default_rng(number)
        seeds = [int(seed) for seed in rng.permutation(SEEDS)]
        cell, spent, n_tried = tune(table, seeds, budget, sampler, number)
        other = random_search(table, seeds, spent, rng)
        lead = table.truth[cell] - table.truth[other]
        wins, ties, losses = wins + (lead > 0), ties + (lead == 0), losses + (lead < 0)
        leads.append(lead)
        missing["tune"].append(best - table.truth[cell])
        missing["random"].append(best - table.truth[other])
        tried.append((n_tried, spent / EPOCHS))
    decided = wilson_interval(wins, wins + losses)
    lead = t_interval(leads)
    n_tried, networks = np.mean(tried, axis=0)
    print(f"{sampler}: {wins} wins, {ties} ties, {losses} losses of {n_replays}; of those not tied "
          f"{decided.value:.0%} won ({decided.low:.0%} to {decided.high:.0%})\n"
          f"lead {100 * lead.value:.3f} points ({100 * lead.low:.3f} to {100 * lead.high:.3f}); the best is missed by "
          f"{100 * np.mean(missing['tune']):.3f} points, by random search {100 * np.mean(missing['random']):.3f}\n"
          f"{n_tried:.0f} cells tried for what {networks:.0f} networks cost")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cells").add_argument("--n", type=int, default=320)
    replays = commands.add_parser("replay")
    replays.add_argument("study", type=Path)
    replays.add_argument("store", type=Path)
    replays.add_argument("--n", type=int, default=200)
    replays.add_argument("--networks", type=int, default=50, help="budget of a replay, all epochs counted")
    replays.add_argument("--sampler", default="tpe")
    asked = parser.parse_args()
    if asked.command == "cells":
        print_cells(asked.n)
    else:
        replay(asked.study, asked.store, asked.n, asked.networks * EPOCHS, asked.sampler)


if __name__ == "__main__":
    main()
