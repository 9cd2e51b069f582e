"""Right or wrong, one bit a digit: digit i is bit 7 - i % 8 of byte i // 8, as `numpy.packbits` orders them.

The last byte is filled up with zeros. Without NumPy: `blob[i // 8] >> 7 - i % 8 & 1`.
"""

import numpy as np
from numpy.typing import NDArray


def pack(correct: NDArray[np.bool_]) -> bytes:
    """The bits of a bool array (n,), in ceil(n / 8) bytes."""
    return np.packbits(correct).tobytes()


def unpack(blob: bytes, n: int) -> NDArray[np.bool_]:
    """The bool array (n,) that was packed.

    Raises
    ------
    ValueError
        The blob is not of the length that n bits take.
    """
    if len(blob) != (n + 7) // 8:
        raise ValueError(f"{n} bits take {(n + 7) // 8} bytes; got {len(blob)}")
    return np.unpackbits(np.frombuffer(blob, np.uint8), count=n).astype(np.bool_)
