"""Bins of several networks become one row each."""

import numpy as np
import pandas as pd
import pytest

from mnistlab.analysis.calibration import reliability_table
from mnistlab.analysis.intervals import t_interval, wilson_interval


def bins(*networks):
    rows = [
        (str(run), number, *values) for run, network in enumerate(networks) for number, values in enumerate(network)
    ]
    return pd.DataFrame(rows, columns=["run", "bin", "count", "confidence", "accuracy"])


def test_a_bin_is_the_mean_of_its_networks_with_an_interval_over_seeds():
    table = reliability_table(bins([(100, 0.6, 0.5), (100, 0.99, 1.0)], [(102, 0.7, 0.6), (98, 0.98, 1.0)]))
    assert table["confidence"].tolist() == pytest.approx([0.65, 0.985])
    assert table["digits"].tolist() == [101, 99]
    assert table["accuracy"].tolist() == [t_interval([0.5, 0.6], limits=(0, 1)), t_interval([1.0, 1.0], limits=(0, 1))]


def test_one_network_has_the_interval_of_its_digits():
    [accuracy] = reliability_table(bins([(40, 0.9, 0.75)]))["accuracy"]
    assert accuracy == wilson_interval(30, 40)


def test_an_empty_bin_is_left_out_and_a_network_without_digits_in_it_not_counted():
    table = reliability_table(bins([(10, 0.5, 0.4), (0, np.nan, np.nan)], [(0, np.nan, np.nan), (0, np.nan, np.nan)]))
    assert table[["bin", "networks"]].to_numpy().tolist() == [[0, 1]]
