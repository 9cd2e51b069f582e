import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnistlab.store.bits import pack, unpack


def test_the_first_digit_is_the_highest_bit_of_the_first_byte():
    assert pack(np.array([1, 0, 0, 0, 0, 0, 0, 1, 0, 1], dtype=bool)) == bytes([0b10000001, 0b01000000])


@given(arrays(np.bool_, st.integers(0, 100)))
def test_what_was_packed_comes_out_again(correct):
    blob = pack(correct)
    assert np.array_equal(unpack(blob, correct.size), correct)
    assert [bool(blob[i // 8] >> 7 - i % 8 & 1) for i in range(correct.size)] == correct.tolist()


@pytest.mark.parametrize(("blob", "n"), [(b"", 1), (b"ab", 8), (b"a", 9)])
def test_bits_of_another_length_are_refused(blob, n):
    with pytest.raises(ValueError, match=f"{n} bits take"):
        unpack(blob, n)
