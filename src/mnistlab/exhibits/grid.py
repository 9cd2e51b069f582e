"""How width and depth act together: the largest full grid of a study as one sheet of tiles."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from mnistlab.analysis.results import off_default, other_settings
from mnistlab.exhibits.base import Exhibit, ends, number, resolution_words, trained_accuracy
from mnistlab.formatting import Cells, counted, table_cells
from mnistlab.tabulation import show_command
from mnistlab.visualization.heat_map import block_places, draw_grid

if TYPE_CHECKING:
    from mnistlab.analysis.evidence import Evidence


def grid_table(known: "Evidence") -> pd.DataFrame:
    """The largest full grid of widths and depths, of equal layers and one family of other settings.

    Returns
    -------
    DataFrame
        A row per cell by activation, depth and width: width, depth, activation, cell, label, runs, accuracy, low, high
        (fractions, of the networks that trained; NaN where none did), n, collapsed, resolution, others (families of the
        same size that are not drawn). No rows where no grid has two widths and two depths. Of equally large families
        the one with fewer settings off their default.
    """
    rows = [row for row in known.results.rows.to_dict("records")
            if len(set(row["hidden_layer_sizes"])) == 1 and len(set(row["activations"])) == 1]  # fmt: skip
    families: dict[tuple[Any, ...], dict[str, dict[tuple[int, int], dict[Any, Any]]]] = {}
    for row in rows:
        blocks = families.setdefault((row["framework"], *other_settings(row).values()), {})
        place = row["hidden_layer_sizes"][0], len(row["hidden_layer_sizes"])
        blocks.setdefault(row["activations"][0], {})[place] = row
    found = {key: _full_blocks(blocks) for key, blocks in families.items()}
    largest = max(map(len, found.values()), default=0)
    same = {key: tiles for key, tiles in found.items() if len(tiles) == largest}
    columns = ["width", "depth", "activation", "cell", "label", "runs", "accuracy", "low", "high", "n", "collapsed",
               "resolution", "others"]  # fmt: skip
    if not largest or not any(row["seeds"] for tiles in same.values() for *_, row in tiles):
        return pd.DataFrame(columns=columns)
    # With networks, before all.
    best = max(same, key=lambda key: (sum(row["seeds"] > 0 for *_, row in same[key]), -off_default(key[1:])))
    return pd.DataFrame(
        [(width, depth, activation, row["cell"], row["label"], row["runs"], *ends(row["accuracy_trained"]),
          row["seeds"], row["collapsed"], number(known.results.resolution), len(same) - 1)
         for width, depth, activation, row in same[best]], columns=columns)  # fmt: skip


def _full_blocks(
    blocks: dict[str, dict[tuple[int, int], dict[Any, Any]]],
) -> list[tuple[int, int, str, dict[Any, Any]]]:
    """The tiles of all activations whose cells are the same full grid, the largest there is."""
    grids: dict[frozenset[tuple[int, int]], list[str]] = {}
    for activation, tiles in blocks.items():
        widths, depths = ({place[axis] for place in tiles} for axis in (0, 1))
        if min(len(widths), len(depths)) > 1 and len(tiles) == len(widths) * len(depths):
            grids.setdefault(frozenset(tiles), []).append(activation)
    grid = max(grids, key=lambda tiles: len(tiles) * len(grids[tiles]), default=frozenset())
    return [(width, depth, activation, blocks[activation][width, depth]) for activation in grids.get(grid, ())
            for width, depth in sorted(grid, key=lambda place: (place[1], place[0]))]  # fmt: skip


def _grid_cells(table: pd.DataFrame) -> Cells:
    return table_cells(table, {
        "cell": lambda row: row["label"],
        "width": lambda row: f"{row['width']:,}",
        "depth": lambda row: f"{row['depth']:,}",
        "those trained %": lambda row: trained_accuracy(row),
        "collapsed": lambda row: f"{row['collapsed']} of {row['n']}",
        "id": lambda row: row["cell"],
        "to see a network": lambda row: show_command(row["runs"]),
    })  # fmt: skip


def _grid_caption(table: pd.DataFrame) -> str:
    if table.empty:
        return "No full grid of two or more widths and two or more depths that are otherwise alike."
    widths, depths, blocks = (table[name].nunique() for name in ("width", "depth", "activation"))
    activations = f" × {blocks} activations" if blocks > 1 else f", {table['activation'].iloc[0]}"
    alike = set.intersection(*(set(label.split(", ")[1:]) for label in table["label"]))
    settings = "".join(f", {part}" for part in table["label"].iloc[0].split(", ")[1:] if part in alike)
    parts = [f"Test accuracy in per cent of {widths} widths × {depths} depths{activations}{settings}."]
    ranked = table[table["accuracy"].notna()].sort_values("accuracy", kind="stable")
    if len(ranked):
        low, high = (f"{row['label']}, {trained_accuracy(dict(row))}" for _, row in ranked.iloc[[0, -1]].iterrows())
        parts.append(f"Highest: {high}; lowest: {low}.")
    if lost := table["collapsed"].sum():
        parts.append(f"{counted(lost, 'network')} collapsed (hatched); numbers are of those that trained.")
    if others := table["others"].iloc[0]:
        parts.append(f"Not drawn: {counted(others, 'grid')} as large with other settings.")
    return " ".join([*parts, resolution_words(table)])


def _grid_height(table: pd.DataFrame) -> float:
    return 2.0 + 0.36 * block_places(table)[1][1] if len(table) else 2.6


GRID = (
    Exhibit("grid", "How do width and depth act together?", "study", grid_table,
            _grid_cells, draw_grid, _grid_caption, height=_grid_height),
)  # fmt: skip
