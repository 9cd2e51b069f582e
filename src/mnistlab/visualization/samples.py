"""Samples of every class of a data set: arrays in, a figure or lines of text out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from mnistlab.datasets.catalog import Dataset
from mnistlab.formatting import shortened
from mnistlab.visualization.style import draw_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_CLASS = 10
_RAMP = np.array(list(" .:-=+*#%@"))  # dark to light, on every terminal
_LABEL = 24  # characters of a name beside or above its pictures
_TEXT_PIXELS = 16  # an image is pooled until it is no higher and no wider


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
    for row, (name, count, images) in enumerate(_classes(dataset)):
        titles.append(f"{name} {count}")
        for column, image in enumerate(images):
            sheet[row * height : (row + 1) * height - 1, column * width : (column + 1) * width - 1] = image
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_yticks((np.arange(len(titles)) + 0.5) * height - 1, titles, parse_math=False)
    ax.set(xticks=[], anchor="W")  # at the left, that the labels stay within the figure
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def samples_text(dataset: Dataset, width: int) -> str:
    """One image of every class in ASCII below its name and count, as many side by side as `width` columns hold."""
    drawn = [
        [name, count, *_ramp(_pooled(images[0], min(_TEXT_PIXELS, width)))] for name, count, images in _classes(dataset)
    ]
    wide = min(width, max(cell_len(line) for lines in drawn for line in lines))
    columns = [[set_cell_size(line, wide) for line in lines] for lines in drawn]
    fit = (width + 1) // (wide + 1)
    rows = [zip(*columns[at : at + fit], strict=True) for at in range(0, len(columns), fit)]
    return "\n\n".join("\n".join(" ".join(line).rstrip() for line in row) for row in rows)


def _classes(dataset: Dataset) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """Of every class its name, the number of its images, and the first of these."""
    for label, (name, count) in enumerate(zip(dataset.info.class_names, dataset.class_counts, strict=True)):
        images = dataset.images[np.flatnonzero(dataset.labels == label)[:PER_CLASS]]
        yield shortened(name, _LABEL), f"({count:,})", images


def _ramp(pixels: NDArray[np.float64]) -> list[str]:
    """A character for two pixels, one above the other, the darker the emptier; an odd row gets a dark one below."""
    pairs = np.pad(pixels, ((0, len(pixels) % 2), (0, 0))).reshape(-1, 2, pixels.shape[1])
    levels = pairs.mean(axis=1) / max(pixels.max(), 1)
    return ["".join(row) for row in _RAMP[np.rint(levels * (len(_RAMP) - 1)).astype(int)]]


def _pooled(image: NDArray[np.uint8], most: int) -> NDArray[np.float64]:
    """The image with means of square blocks for pixels, at most `most` to a side."""
    side = -(-max(image.shape) // most)
    starts = [np.arange(0, length, side) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), starts[0], axis=0), starts[1], axis=1)
    heights, widths = (np.diff([*start, length]) for start, length in zip(starts, image.shape, strict=True))
    pooled: NDArray[np.float64] = sums / np.outer(heights, widths)
    return pooled
