"""The notebooks from their sources: `make notebooks`. The same sources give the same bytes, without outputs."""

import hashlib
from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).parent
NAMES = ("exploration", "analysis")
METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook_text(source: str) -> str:
    """The `.ipynb` of a source in the percent format."""
    notebook = jupytext.reads(source, "py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    seen: set[str] = set()
    for cell in notebook.cells:
        # Named after its content: a cell put in between renames no other.
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        while name in seen:
            name = hashlib.sha256(name.encode()).hexdigest()[:8]
        seen.add(name)
        cell.id = name
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for name in NAMES:
        text = notebook_text((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
        (FOLDER / f"{name}.ipynb").write_text(text, encoding="utf-8")
