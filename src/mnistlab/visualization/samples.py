"""Samples of a data set, a row per class: arrays in, a figure or lines of text out."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnistlab.datasets.catalog import Dataset
from mnistlab.formatting import printable, text_table
from mnistlab.visualization.style import draw_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_CLASS = 10
BLOCKS = " \N{UPPER HALF BLOCK}\N{LOWER HALF BLOCK}\N{FULL BLOCK}"
_RAMP = np.array(list(" .:-=+*#%@"))  # dark to light, for terminals that know no blocks
_LABEL = 24  # characters of a name beside its pictures
_TEXT_PIXELS = 16  # an image is pooled until it is no higher and no wider

DrawText = Callable[[NDArray[np.float64]], list[str]]


def plot_samples(dataset: Dataset) -> "Figure":
    """The first ten images of every class, training examples first, each class in a row with its name and count."""
    high, wide = dataset.info.image_shape
    row = 0.57 * min(max(high / wide, 0.5), 4)  # inches, that ten images fill the width
    return draw_figure(draw_samples, dataset, (7.2, min(row * dataset.info.n_classes + 0.1, 200)))


def draw_samples(dataset: Dataset, ax: "Axes") -> "Axes":
    """The same on axes."""
    height, width = (side + 1 for side in dataset.info.image_shape)
    sheet = np.full((height * dataset.info.n_classes, width * PER_CLASS), np.nan)
    titles = []
    for row, (title, images) in enumerate(_classes(dataset)):
        titles.append(title)
        for column, image in enumerate(images):
            sheet[row * height : (row + 1) * height - 1, column * width : (column + 1) * width - 1] = image
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_yticks((np.arange(len(titles)) + 0.5) * height - 1, titles, parse_math=False)
    ax.set(xticks=[], anchor="W")  # at the left, that the labels stay within the figure
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def samples_text(dataset: Dataset, width: int, draw: DrawText) -> str:
    """As many samples of every class side by side as `width` columns hold, each drawn by `draw`."""
    lines: list[str] = []
    for title, images in _classes(dataset):
        drawn = [draw(_pooled(image, min(_TEXT_PIXELS, width))) for image in images]
        fit = max(1, (width + 1) // (len(drawn[0][0]) + 1))
        lines += ["", text_table([title], [], width)]
        lines += [" ".join(row).rstrip() for row in zip(*drawn[:fit], strict=True)]
    return "\n".join(lines)


def _classes(dataset: Dataset) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Of every class its name with the number of its images, and the first of these."""
    for label, name in enumerate(dataset.info.class_names):
        places = np.flatnonzero(dataset.labels == label)
        short = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
        yield f"{printable(short)} ({len(places):,})", dataset.images[places[:PER_CLASS]]


def half_blocks(pixels: NDArray[np.float64]) -> list[str]:
    """A character for two pixels, one above the other: on where they are lighter than half the lightest."""
    on = pixels > pixels.max() / 2
    return ["".join(BLOCKS[above + 2 * below] for above, below in zip(*pair, strict=True)) for pair in _pairs(on)]


def ramp(pixels: NDArray[np.float64]) -> list[str]:
    """A character for two pixels, one above the other: the darker the emptier. ASCII alone."""
    levels = np.array([pair.mean(axis=0) for pair in _pairs(pixels)]) / max(pixels.max(), 1)
    return ["".join(row) for row in _RAMP[np.rint(levels * (len(_RAMP) - 1)).astype(int)]]


def _pairs(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rows two by two; an odd one gets a dark one below."""
    return np.pad(pixels, ((0, len(pixels) % 2), (0, 0))).reshape(-1, 2, pixels.shape[1])


def _pooled(image: NDArray[np.uint8], most: int) -> NDArray[np.float64]:
    """The image with means of square blocks for pixels, at most `most` to a side."""
    side = -(-max(image.shape) // most)
    starts = [np.arange(0, length, side) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), starts[0], axis=0), starts[1], axis=1)
    heights, widths = (np.diff([*start, length]) for start, length in zip(starts, image.shape, strict=True))
    pooled: NDArray[np.float64] = sums / np.outer(heights, widths)
    return pooled
