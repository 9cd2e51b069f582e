"""`CONFIG`, a TOML file or flags become a `Study`: a named set of cells with seeds. Mappings end at this door."""

from dataclasses import dataclass

from mnistlab.spec import Cell


@dataclass(frozen=True, slots=True)
class Study:
    """A named set of cells with the seeds each of them is to be trained with.

    Attributes
    ----------
    name : str
    cells : tuple of Cell
        Without repetition, in the order of the file.
    seeds : tuple of int
    """

    name: str
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
