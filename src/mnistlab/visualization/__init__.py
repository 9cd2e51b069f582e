"""Figures: tables in, pictures out. Importing this loads no drawing library; drawing does."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def plot_depth_performance(table: "pd.DataFrame | None" = None) -> "Figure":
    """Accuracy against depth, with intervals and the study's resolution.

    Parameters
    ----------
    table : DataFrame, optional
        Columns as `draw_depth_performance` wants them. None: the study run last in the current store, which is
        `MNISTLAB_STORE`, or `results/mnistlab.sqlite` under `MNISTLAB_HOME` or the current directory.

    Returns
    -------
    matplotlib.figure.Figure
        Not shown and not saved; a notebook shows it, `savefig` saves it.

    Raises
    ------
    StoreError
        The store is damaged, of another program or of another version.
    """
    from mnistlab.visualization.curves import draw_depth_performance
    from mnistlab.visualization.style import draw_figure

    return draw_figure(draw_depth_performance, _stored_depth_table() if table is None else table)


def _stored_depth_table() -> "pd.DataFrame":
    from mnistlab.analysis.results import depth_table, results_table
    from mnistlab.places import Places
    from mnistlab.store.tables import open_store

    store = open_store(Places.find().store)
    study = store.last_study()
    return depth_table(results_table(store.cell_table(study), store.runs(study, bits=True), store.measurements()))
