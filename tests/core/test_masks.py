"""Series of unequal length in one batch."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, unroll
from jaxrnn.core import pad
from tests.random_params import random_params

SERIES = [np.random.default_rng(n).normal(size=(n, 2)) for n in (3, 0, 5)]


def test_each_row_runs_as_it_does_alone():
    xs, mask = pad(SERIES, time=6)
    assert (
        xs.shape == (6, 3, 2) and mask.sum(0).tolist() == [3, 0, 5] and (np.asarray(xs)[~np.asarray(mask)] == 0).all()
    )
    cell = GRU(2, 4)
    params = random_params(cell)
    carry, _ = unroll(cell, params, xs, mask=mask)
    for row, series in enumerate(SERIES):
        np.testing.assert_allclose(carry[row], unroll(cell, params, jnp.asarray(series))[0], atol=1e-12)


@pytest.mark.usefixtures("without_beartype")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pad(np.ones((4, 3))), "`series` must be a list of arrays"),
        (lambda: pad([]), "`series` must hold at least one step, got 0 series"),
        (lambda: pad([np.ones((0, 2)), np.ones((0, 2))]), "`series` must hold at least one step, got 2 series"),
        (lambda: pad([np.ones((1, 2)), np.ones((1, 3))]), "`series` must agree in their features"),
        (lambda: pad([np.ones(2), np.ones(5)], time=4), "`time` must be at least 5, the length of series 1, got 4"),
        (lambda: pad([np.ones(2), "text"]), r"`series\[1\]` must be"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
