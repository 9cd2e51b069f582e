"""Named random streams of a seed: everything random in a run comes from one of these.

Two cells with the same seed draw the same numbers from a stream of the same name, so their runs share the batch order
and the validation digits and can be compared in pairs (common random numbers, rule M4 of docs/measurement.md).
"""

import hashlib
from typing import Literal

import numpy as np

# Seeds from here on belong to `tune`: those of trials, then those that a winner is trained again with. A network that
# was chosen by its validation digits is never the one whose test accuracy is quoted (rule M3).
SEARCH_SEEDS, FRESH_SEEDS = 2**30, 2**30 + 2**29

_SEEDS_OF_A_SEARCH = 16  # more than a race takes
_SEARCHES = 2**24

StreamName = Literal["init", "order", "validation", "dropout", "deformation", "noise"]

_KEYS: dict[StreamName, int] = {"init": 1, "order": 2, "validation": 3, "dropout": 4, "deformation": 5, "noise": 6}


def stream(seed: int, name: StreamName) -> np.random.Generator:
    """The generator of one purpose: independent of the other names, the same for every cell of this seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_KEYS[name],)))


def stream_seed(seed: int, name: StreamName, index: int = 0) -> int:
    """An integer seed (0 <= s < 2**31) for libraries that take one; `index` tells the users of one stream apart."""
    return int(np.random.SeedSequence(seed, spawn_key=(_KEYS[name], index)).generate_state(1)[0] >> 1)


def first_search_seed(study: str) -> int:
    """The first of the seeds that the trials of a search have, by its name; the very first are those of fair mode."""
    number = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big") % (_SEARCHES - 1)
    return SEARCH_SEEDS + _SEEDS_OF_A_SEARCH * (1 + number)
