"""All exhibits, in the order in which a page shows them. A further one is one more line here."""

from mnistlab.exhibits.base import Exhibit
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.study import CELLS

EXHIBITS: tuple[Exhibit, ...] = (*KNOBS, *CELLS)
