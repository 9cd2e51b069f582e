"""All exhibits, in the order in which a page shows them. A further one is one more line in the module of its kind."""

from mnistlab.analysis.evidence import Evidence
from mnistlab.exhibits.base import Exhibit, Shown
from mnistlab.exhibits.cost import COSTS
from mnistlab.exhibits.digits import DIGITS
from mnistlab.exhibits.fair import FAIR
from mnistlab.exhibits.grid import GRID
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.original import ORIGINAL
from mnistlab.exhibits.search import SEARCH
from mnistlab.exhibits.study import CELLS, STUDY

EXHIBITS: tuple[Exhibit, ...] = (*SEARCH, *ORIGINAL, *KNOBS, *STUDY, *FAIR, *GRID, *COSTS, *DIGITS, *CELLS)


def all_shown(known: Evidence) -> list[Shown]:
    """Every exhibit with what is known of a study, those without data among them; those of a search for one alone."""
    return [Shown(exhibit, known) for exhibit in EXHIBITS if exhibit.section != "search" or known.search is not None]
