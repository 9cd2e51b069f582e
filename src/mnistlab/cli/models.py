"""`mnistlab predict`, `export`: trained networks asked, and handed to other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnistlab import lab
from mnistlab.cli.output import Json, Where, Whole, emit, emit_json, notify
from mnistlab.errors import ConfigurationError
from mnistlab.formatting import document, printable
from mnistlab.network import Prediction


def predict(
    model: str, /, *images: str, top: Whole = 3, json: Json = False, where: Where | None = None
) -> None:  # fmt: skip
    """Say which digit a picture shows, with the probability of each class.

    Parameters
    ----------
    model
        A file that `run --keep` or `export` kept under models/, or a run with such a file: its id, the beginning of it,
        or the label of a cell of which one network was kept.
    images
        PNG or JPEG files: drawn or photographed; for networks of mnist dark on light or light on dark, of any size.
    top
        How many classes to name.
    """
    if not images:
        raise ConfigurationError("IMAGE", "a picture is needed", "`mnistlab predict --help` shows what it takes")
    if top < 1:
        raise ConfigurationError(f"--top {top}", "a whole number of 1 or more is needed")
    found = lab.predict(model, images, places=(where or Where()).places)
    if json:
        emit_json(document(classes=found[0].class_names, predictions=[_document(one) for one in found]))
    else:
        emit("\n".join(_text(one, top) for one in found))


def export(
    run: str,
    /,
    *,
    form: Annotated[str, Parameter(name="--format")],
    output: Path | None = None,
    json: Json = False,
    where: Where | None = None,
) -> None:
    """Write a trained network as a file of Keras or ONNX; a run whose weights were not kept is trained again.

    Parameters
    ----------
    run
        Id of the run, or its beginning, or the label of a cell with one run.
    form
        keras or onnx.
    output
        The file to write (default: under models/, named after the run).
    """
    path = lab.export(run, form, output=output, places=(where or Where()).places, notify=notify)
    if json:
        emit_json(document(format=form, output=str(path)))
    else:
        emit(f"Network: {path}")


def _document(one: Prediction) -> dict[str, object]:
    return {"image": one.image, "digit": one.digit, "probabilities": one.probabilities,
            "normalisation": asdict(one.normalisation)}  # fmt: skip


def _text(one: Prediction, top: int) -> str:
    ranked = sorted(range(len(one.probabilities)), key=lambda label: -one.probabilities[label])[:top]
    classes = ", ".join(f"{printable(one.class_names[label])} {one.probabilities[label]:.1%}" for label in ranked)
    return f"{printable(one.image)}: {'' if one.digit is not None else 'not a digit? '}{classes}"
