"""A picture of a digit, drawn or photographed, becomes what MNIST would have made of it: uint8 pixels, white on black.

MNIST's makers fitted every digit into a box of 20×20 pixels, its proportions kept, and put its centre of mass into the
middle of 28×28 (Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, 1998, Proc. IEEE 86(11), section III.A).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets.pictures import read_grey

_BOX, _SIDE, _CENTRE = 20, 28, 14
_LIGHT_ON_BLACK = ("digits", "fashion-mnist")
_FAINT = 0.1  # less of the darkest ink does not widen the box: blur of enlarged pictures
_SPECK = 0.02  # separate parts with less ink than this share of the largest are dirt
_ENOUGH = 1000  # pixels a side; a digit of 20 has no use for more
_BLANK_CONTRAST = 0.1
_MOST_INK = 0.4  # mean pixel; the fullest of MNIST's 70,000 digits has 0.398


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What was done to a picture.

    Attributes
    ----------
    method : str
        `mnist`, or `resized`: shrunk or stretched, for networks of other data sets.
    inverted : bool
        Whether black and white were exchanged.
    contrast : float
        Greatest difference between ink and ground, 0 to 1.
    box : tuple of int
        Left, top, width and height of the ink, in pixels of the picture.
    scale : float
        Pixels of the result for one of the picture.
    """

    method: str
    inverted: bool
    contrast: float
    box: tuple[int, int, int, int]
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A picture as a network takes it.

    Attributes
    ----------
    image : uint8 array (height, width)
    blank, filled : bool
        Nothing is drawn; or more ink than any digit of MNIST has.
    steps : Normalisation
    """

    image: NDArray[np.uint8]
    blank: bool
    filled: bool
    steps: Normalisation


def normalise_file(path: Path, dataset: str, image_shape: tuple[int, int]) -> Drawing:
    """The picture in a PNG or JPEG file, for a network trained on images of `dataset` with this height and width.

    Of `mnist`: as `normalise_digit` does. Of `digits` and `fashion-mnist`, which are light on black: ink and ground are
    told apart in the same way, and all of the picture is resized. Of a person's own data set: resized as it is.

    Raises
    ------
    DataError, MachineError
        See `datasets.pictures.read_grey`.
    """
    grey = read_grey(path)
    if dataset == "mnist":
        return normalise_digit(grey)
    ink, inverted, contrast = _ink(grey) if dataset in _LIGHT_ON_BLACK else (grey, False, float(np.ptp(grey)))
    blank = contrast < _BLANK_CONTRAST
    steps = Normalisation("resized", inverted, contrast, (0, 0, *grey.shape[::-1]), image_shape[0] / len(grey))
    return Drawing(_as_bytes(_shrunk(0 * ink if blank else ink, *image_shape)), blank, False, steps)


def normalise_digit(grey: NDArray[np.float32]) -> Drawing:
    """Luminance `(height, width)` from 0 to 1 becomes 28×28 pixels as MNIST has them; ink may be dark or light."""
    height, width = grey.shape
    coarse = max(1, max(grey.shape) // _ENOUGH)
    ink, inverted, contrast = _ink(_shrunk(grey, height // coarse, width // coarse) if coarse > 1 else grey)
    if contrast < _BLANK_CONTRAST:
        return Drawing(np.zeros((_SIDE, _SIDE), np.uint8), True, False, Normalisation("mnist", inverted, contrast,
                       (0, 0, width, height), 1.0))  # fmt: skip
    left, top, width, height = _box_of(ink)
    scale = _BOX / max(width, height)
    fitted = _shrunk(ink[top : top + height, left : left + width], round(height * scale), round(width * scale))
    image = np.zeros((_SIDE, _SIDE), np.float32)
    y, x = (_place(fitted.sum(axis=1 - axis)) for axis in (0, 1))
    image[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted / fitted.max()
    filled = bool(image.mean() > _MOST_INK)
    box = (left * coarse, top * coarse, width * coarse, height * coarse)
    return Drawing(_as_bytes(image), False, filled, Normalisation("mnist", inverted, contrast, box, scale / coarse))


def _ink(grey: NDArray[np.float32]) -> tuple[NDArray[np.floating], bool, float]:
    """Ink from 0 to 1, whether it was darker than its ground, and the contrast; the frame of the picture is ground."""
    rim = max(1, min(grey.shape) // 20)
    frame = np.concatenate([grey[:rim].ravel(), grey[-rim:].ravel(), grey[:, :rim].ravel(), grey[:, -rim:].ravel()])
    ground = float(np.median(frame))
    darker, lighter = ground - float(grey.min()), float(grey.max()) - ground
    inverted, contrast = darker > lighter, max(darker, lighter)
    above = (ground - grey if inverted else grey - ground).clip(0)
    noise = min(float(np.percentile(abs(frame - ground), 95)), contrast / 2)  # paper and light are uneven
    # As many digits as a picture has, so that a digit and its negative give the same.
    return np.rint((above - noise).clip(0) / max(contrast - noise, 1e-6) * 65_535) / 65_535, inverted, contrast


def _box_of(ink: NDArray[np.floating]) -> tuple[int, int, int, int]:
    from scipy import ndimage

    parts, n_parts = ndimage.label(ink > _FAINT, np.ones((3, 3)))
    amounts = ndimage.sum_labels(ink, parts, np.arange(1, n_parts + 1))
    kept = np.concatenate([[False], amounts >= _SPECK * amounts.max()])[parts]
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _shrunk(image: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """Averaged over the area each new pixel covers."""
    from PIL import Image

    size = max(1, width), max(1, height)
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BOX))


def _place(profile: NDArray[np.float32]) -> int:
    """Where the first row (or column) goes, for the centre of mass to come to the middle."""
    centre = float((profile * np.arange(len(profile))).sum() / profile.sum())
    return min(max(round(_CENTRE - centre), 0), _SIDE - len(profile))


def _as_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)
