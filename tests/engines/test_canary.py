"""A JAX that computes rightly passes, and one that does not is refused, whichever pattern it gets wrong."""

import jax
import numpy as np
import pytest

from mnistlab.engines.canary import _patterns, check_jax
from mnistlab.errors import MachineError

N_PATTERNS = len([*_patterns()])


def compiled(one):
    return jax.jit(jax.vmap(one))


def wrong_at(number, spoil):
    """A compiler that spoils the results of one pattern alone."""
    compilations = iter(range(N_PATTERNS))

    def compile_(one):
        program, spoiled = compiled(one), next(compilations) == number
        return lambda *arrays: spoil(np.array(program(*arrays))) if spoiled else program(*arrays)

    return compile_


def test_the_jax_here_computes_rightly():
    check_jax()


@pytest.mark.parametrize("number", range(N_PATTERNS))
@pytest.mark.parametrize("spoil", [
    lambda found: found * 1.001,
    lambda found: np.where(np.arange(len(found)).reshape(-1, *[1] * (found.ndim - 1)) == 3, 0, found),
    lambda found: np.full_like(found, np.nan),
], ids=["a little", "one member", "no number"])  # fmt: skip
def test_a_wrong_result_of_any_pattern_is_refused(number, spoil):
    with pytest.raises(MachineError, match=f"jax {jax.__version__}: computes wrongly here: "):
        check_jax(wrong_at(number, spoil))


def test_members_that_are_mixed_up_are_refused():
    with pytest.raises(MachineError):
        check_jax(lambda one: lambda *arrays: np.roll(compiled(one)(*arrays), 1, axis=0))
