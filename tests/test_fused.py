"""The fused kernels, interpreted, are held to the laws of the unroll family; a GPU gets them, all else the scan."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, Stack, unroll_bptt, unroll_fused
from jaxrnn import testing as laws
from jaxrnn.fused.fit import fits, shared_memory_of
from jaxrnn.fused.unroll import unroll_interpreted
from jaxrnn.testing.problem import must_agree, random_problem, results, run

CELLS = (LSTM(3, 5), LSTM(3, 5, "previous"), LSTM(3, 5, "current"), GRU(3, 5), GRU(3, 5, "after"))
LSTM_CELL, GRU_CELL = LSTM(3, 5), GRU(3, 5, "after")
KIB = 1024


def agree(cell, problem, reverse, tolerance=None):
    got, want = (run(cell, problem, unroll=member, reverse=reverse) for member in (unroll_interpreted, unroll_bptt))
    must_agree(cell, f"the kernels = unroll_bptt, values and gradients, reverse={reverse}", got, want, tolerance)


@pytest.mark.parametrize(("cell", "reverse"), [*zip(CELLS, (False, True) * 3, strict=False)], ids=str)
def test_the_kernels_give_the_results_and_the_gradients_of_the_explicit_scan(cell, reverse):
    """Ragged rows with holes, resets, two batch axes whose rows make two blocks, the second not full."""
    agree(cell, random_problem(cell, batch=(3, 6)), reverse)
