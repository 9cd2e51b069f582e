"""`mnistlab data`: fetch and describe data sets."""

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from mnistlab import formatting, lab
from mnistlab.cli.output import Json, Where, emit, emit_json, notify


def fetch(
    *datasets: str,
    from_dir: Annotated[Path | None, Parameter(name="--from")] = None,
    json: Json = False,
    where: Where | None = None,
) -> None:
    """Fetch data sets into the cache and verify them by checksum.

    Parameters
    ----------
    datasets
        mnist (default) or digits.
    from_dir
        A folder that holds the files already, compressed or not.
    """
    places = (where or Where()).places
    found = [{"dataset": name, "source": lab.data_fetch(name, from_dir=from_dir, places=places, notify=notify)}
             for name in datasets or ("mnist",)]  # fmt: skip
    if json:
        emit_json(formatting.document(datasets=found))
    else:
        emit("\n".join(f"{row['dataset']}: verified ({row['source']})" for row in found))


def show(dataset: str = "mnist", /, *, json: Json = False, where: Where | None = None) -> None:
    """Describe a data set of the cache: sizes, classes, checksum, where it came from.

    Parameters
    ----------
    dataset
        mnist or digits.
    """
    loaded = lab.data_show(dataset, places=(where or Where()).places)
    info = loaded.info
    counts = np.bincount(loaded.labels, minlength=info.n_classes)
    if json:
        emit_json(formatting.document(
            dataset=info.name, train=info.n_train, test=info.n_test, shape=info.image_shape, classes=info.class_names,
            class_counts=counts, sha256=loaded.sha256, source=loaded.source,
        ))  # fmt: skip
        return
    height, width = info.image_shape
    emit(f"{info.name}: {info.n_train:,} training and {info.n_test:,} test images of {height}x{width} pixels")
    emit(f"from {loaded.source}, sha256 {loaded.sha256}")
    emit(formatting.text_table(["class", "images"], [[name, f"{n:,}"] for name, n in
                                                     zip(info.class_names, counts, strict=True)], 80))  # fmt: skip
