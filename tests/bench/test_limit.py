"""The limit's products are those of the specification, and timing them gives positive seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistlab.bench.limit import limit_timer, operands
from mnistlab.spec import Architecture

widths = st.lists(st.integers(1, 300), min_size=1, max_size=5)


@given(n_features=st.integers(1, 900), hidden=widths, n_classes=st.integers(2, 12), batch_size=st.integers(1, 300))
def test_the_products_of_a_step_count_the_operations_of_the_specification(n_features, hidden, n_classes, batch_size):
    sizes = (n_features, *hidden, n_classes)
    operations = sum(2 * left.size * right.shape[1] for left, right in operands(sizes, batch_size))
    biases = 6 * batch_size * sum(sizes[1:])  # the specification counts them like weights
    assert operations + biases == Architecture(hidden).flops_per_step(n_features, n_classes, batch_size)


def test_every_product_has_the_shape_and_the_layout_of_what_a_layer_computes():
    found = operands((784, 4, 10), 32)
    assert [(*left.shape, right.shape[1]) for left, right in found] == [
        (32, 784, 4), (784, 32, 4), (32, 4, 10), (4, 32, 10), (32, 10, 4),
    ]  # fmt: skip
    transposed = [(not left.flags.c_contiguous, not right.flags.c_contiguous) for left, right in found]
    assert transposed == [(False, False), (True, False), (False, False), (True, False), (False, True)]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_limit_of_either_device_is_positive(device):
    assert limit_timer((20, 8, 3), 32, device)(2) > 0
