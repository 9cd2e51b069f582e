"""`mnistlab data`: fetch and describe data sets."""

import textwrap
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnistlab import formatting, lab
from mnistlab.cli.output import Json, Where, emit, emit_json, notify, terminal_width


def fetch(
    *datasets: str,
    from_dir: Annotated[Path | None, Parameter(name="--from")] = None,
    json: Json = False,
    where: Where | None = None,
) -> None:
    """Fetch data sets into the cache and verify them by checksum; or take in your own.

    Parameters
    ----------
    datasets
        mnist (default), fashion-mnist, digits, or the path of your own: a .npz file or a folder class/image.png.
    from_dir
        A folder that holds the files already, compressed or not.
    """
    places = (where or Where()).places
    found = [lab.data_fetch(name, from_dir=from_dir, places=places, notify=notify) for name in datasets or ("mnist",)]
    if json:
        emit_json(formatting.document(datasets=found))
    else:
        emit("\n".join(f"{one.dataset}: verified ({formatting.printable(one.source)})" for one in found))


def show(
    dataset: str = "mnist", /, *, sheet: Path | None = None, json: Json = False, where: Where | None = None
) -> None:
    """Describe a data set: sizes, checksum, where it came from; and draw a sample of every class below its count.

    Parameters
    ----------
    dataset
        mnist, fashion-mnist, digits, a name that `data fetch` said, or the path of your own.
    sheet
        Write a picture with ten samples of every class to this file, .png or .svg.
    """
    places = (where or Where()).places
    loaded = lab.data_show(dataset, places=places)
    if sheet is not None:
        lab.data_sheet(loaded, sheet)
        notify(f"{sheet}: written")
    info = loaded.info
    if json:
        emit_json(formatting.document(
            dataset=info.name, train=info.n_train, test=info.n_test, shape=info.image_shape, classes=info.class_names,
            class_counts=loaded.class_counts, sha256=loaded.sha256, source=loaded.source,
        ))  # fmt: skip
        return
    (height, width), columns = info.image_shape, max(10, terminal_width())
    about = (f"{info.name}: {info.n_train:,} training and {info.n_test:,} test images of {height}x{width} pixels, "
             f"from {formatting.printable(loaded.source)}, sha256 {loaded.sha256}")  # fmt: skip
    emit(f"{textwrap.fill(about, columns)}\n\n{lab.data_samples(loaded, min(columns, 80))}")
