"""All exhibits, in the order in which a page shows them. A further one is one more line in the module of its kind."""

from mnistlab.exhibits.base import Exhibit
from mnistlab.exhibits.cost import COSTS
from mnistlab.exhibits.digits import DIGITS
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.original import ORIGINAL
from mnistlab.exhibits.study import CELLS, STUDY

EXHIBITS: tuple[Exhibit, ...] = (*ORIGINAL, *KNOBS, *STUDY, *COSTS, *DIGITS, *CELLS)
