"""PNG and JPEG files become grey pictures: known by their content, bounded before decoding. Nothing is written."""

import stat
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import DataError, MachineError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FILE_BYTES = 100_000_000
MAX_PIXELS = 16_000_000  # a telephone's camera makes 12 million; one takes about 12 bytes of memory
_BLOCK_PIXELS = 2**18
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601, as JPEG and Pillow have it
_GREYS = 65_535  # a picture's values lie on this grid, so that equal greys are equal in every encoding


def read_grey(path: Path) -> NDArray[np.float32]:
    """The luminance of a picture, float32 `(height, width)` from 0 (black) to 1 (white).

    Palettes, 16 bits, colours and a camera's orientation are undone. What is transparent shows white, or black where
    the picture itself is light: a drawing on nothing stays visible.

    Raises
    ------
    DataError
        Not a regular file, no PNG or JPEG by content, cut short, damaged or too large.
    MachineError
        Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as missing:
        raise MachineError("Pillow", "it is needed to read pictures", "pip install pillow") from missing
    try:
        if not stat.S_ISREG((status := path.stat()).st_mode):  # a FIFO would wait for a writer
            raise DataError(str(path), "not a regular file")
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not 0 < status.st_size <= MAX_FILE_BYTES:
                raise DataError(str(path), f"{status.st_size:,} bytes, a picture has 1 to {MAX_FILE_BYTES:,}")
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise DataError(str(path), f"{width:,}×{height:,} pixels are more than {MAX_PIXELS:,}", "shrink it")
                ImageOps.exif_transpose(picture, in_place=True)
                return _luminance(picture)
    except Image.DecompressionBombError as fault:
        raise DataError(str(path), f"more than {MAX_PIXELS:,} pixels", "shrink it") from fault
    except MemoryError as fault:
        raise DataError(str(path), "there is not enough memory for it", "shrink it") from fault
    except UnidentifiedImageError as fault:
        raise DataError(str(path), "no PNG or JPEG picture", "save it as PNG") from fault
    except FileNotFoundError as fault:
        raise DataError(str(path), "no such file") from fault
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error) as fault:
        raise DataError(str(path), f"cannot be read: {' '.join(str(fault).split()) or type(fault).__name__}") from fault


def _luminance(picture: "Image") -> NDArray[np.float32]:
    luminance = np.empty((picture.height, picture.width), np.float32)
    ground = _ground(picture) if picture.has_transparency_data else 1.0
    for rows, grey, alpha in _blocks(picture):
        luminance[rows] = np.rint((grey * alpha + ground * (1 - alpha)).clip(0, 1) * _GREYS) / _GREYS
    return luminance


def _ground(picture: "Image") -> float:
    """White, or black where what is seen of the picture is light."""
    seen, light = np.sum([(alpha.sum(), (grey * alpha).sum()) for _, grey, alpha in _blocks(picture)], axis=0)
    return 1.0 if not seen or light / seen <= 0.5 else 0.0


def _blocks(picture: "Image") -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Some rows at a time, and of these the greys and how opaque they are, both from 0 to 1."""
    high = max(1, _BLOCK_PIXELS // picture.width)
    for top in range(0, picture.height, high):
        block = picture.crop((0, top, picture.width, min(top + high, picture.height)))
        if block.mode.startswith("I"):  # 16 bits of grey
            grey = np.asarray(block, np.float64) / _GREYS
            yield slice(top, top + high), grey, np.ones_like(grey)
        else:
            pixels = np.asarray(block.convert("RGBA"))
            yield slice(top, top + high), pixels[..., :3] @ _LUMA / 255, pixels[..., 3] / 255
