"""A number with its uncertainty: the shape every measured value has from here to the page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval.

    Attributes
    ----------
    value : float | None
        None when nothing was measured.
    low, high : float | None
        Ends of the interval; None when one number was measured and its spread is not known.
    level : float
        Confidence level, a fraction in (0, 1).
    n : int
        Networks the value rests on; test digits for the kinds `wilson`, `exact` and `mcnemar` (studies, where these are
        simulated), repeats for `median`.
    kind : str
        The method: `crossed`, `wilson`, `t`, `jackknife`, `exact`, `prediction`, `median`; `mcnemar` (two single
        networks), `corrected` (Nadeau and Bengio), `delta` (of a fitted law).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    kind: str = "t"

    def _repr_html_(self) -> str:
        """What a notebook shows: `0.9742 ± 0.0021 (5)`."""
        from mnistlab.formatting import with_spread

        return with_spread(self)
