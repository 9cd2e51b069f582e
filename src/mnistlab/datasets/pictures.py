"""PNG and JPEG files become grey pictures: known by their content, bounded before decoding. Nothing is written."""

import os
import stat
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlab.errors import DataError, MachineError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FILE_BYTES = 100_000_000
MAX_PIXELS = 50_000_000
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
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a FIFO would wait for a writer
        with os.fdopen(descriptor, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DataError(str(path), "not a regular file")
            if not 0 < status.st_size <= MAX_FILE_BYTES:
                raise DataError(str(path), f"{status.st_size:,} bytes, a picture has 1 to {MAX_FILE_BYTES:,}")
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise DataError(str(path), f"{width:,}×{height:,} pixels are more than {MAX_PIXELS:,}", "shrink it")
                return _luminance(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError as fault:
        raise DataError(str(path), f"more than {MAX_PIXELS:,} pixels", "shrink it") from fault
    except UnidentifiedImageError as fault:
        raise DataError(str(path), "no PNG or JPEG picture", "save it as PNG") from fault
    except FileNotFoundError as fault:
        raise DataError(str(path), "no such file") from fault
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error) as fault:
        raise DataError(str(path), f"cannot be read: {' '.join(str(fault).split()) or type(fault).__name__}") from fault


def _luminance(picture: "Image") -> NDArray[np.float32]:
    if picture.mode.startswith("I"):  # 16 bits of grey
        return _on_grid(np.asarray(picture, np.float64) / _GREYS)
    if not picture.has_transparency_data:
        return _on_grid(_weighed(np.asarray(picture.convert("RGB"))))
    pixels = np.asarray(picture.convert("RGBA"))
    luminance, alpha = _weighed(pixels[..., :3]), pixels[..., 3] / 255
    seen = alpha.sum()
    ground = 1.0 if not seen or (luminance * alpha).sum() / seen <= 0.5 else 0.0
    return _on_grid(luminance * alpha + ground * (1 - alpha))


def _weighed(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    weighed: NDArray[np.float64] = colours @ _LUMA / 255
    return weighed


def _on_grid(luminance: NDArray[np.float64]) -> NDArray[np.float32]:
    return (np.rint(luminance.clip(0, 1) * _GREYS) / _GREYS).astype(np.float32)
