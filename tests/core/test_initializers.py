"""Gates are drawn one by one: their program contains no batched QR, not even under `vmap`."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxrnn import GRU, LSTM, Elman, Stack
from jaxrnn.core.initializers import per_gate, recurrent_weights
from jaxrnn.directions import LSTM2D
from jaxrnn.trees import ChildSumTreeLSTM, NaryTreeLSTM

CELLS = {
    "elman": (Elman(2, 3), 1),
    "lstm": (LSTM(2, 3), 4),
    "gru": (GRU(2, 3), 3),
    "stack": (Stack((LSTM(2, 3), GRU(3, 4))), 7),
    "lstm_2d": (LSTM2D(2, 3), 10),
    "child_sum": (ChildSumTreeLSTM(2, 3), 4),
    "nary": (NaryTreeLSTM(2, 3, arity=2), 10),
}
"""A cell, and how many orthogonal matrices it begins with."""


def drawn_matrices(program, times: int = 1) -> list[int]:
    """Return the number of axes of every matrix whose QR is computed, those in a loop as often as it runs."""
    found = []
    for eqn in program.eqns:
        if eqn.primitive.name in ("qr", "geqrf"):
            found += [eqn.invars[0].aval.ndim] * times
        for inner in jaxprs_in_params(eqn.params):
            found += drawn_matrices(inner, times * eqn.params.get("length", 1))
    return found


@pytest.mark.parametrize("cell, drawn", CELLS.values(), ids=CELLS.keys())
def test_no_batched_qr(cell, drawn):
    keys = jax.random.split(jax.random.key(0), 5)
    assert drawn_matrices(jax.make_jaxpr(cell.init)(keys[0])) == [2] * drawn
    assert drawn_matrices(jax.make_jaxpr(jax.vmap(cell.init))(keys)) == [2] * drawn * 5


def test_vmapped_draws_are_those_of_each_key():
    cell, keys = LSTM(2, 3), jax.random.split(jax.random.key(0), 6).reshape(2, 3)
    got = jax.vmap(jax.vmap(cell.init))(keys)
    for i in np.ndindex(2, 3):
        for a, want in zip(jax.tree.leaves(got), jax.tree.leaves(cell.init(keys[i])), strict=True):
            np.testing.assert_array_equal(a[i], want)


def test_the_gates_are_orthogonal_and_apart():
    gates = np.split(np.asarray(per_gate(recurrent_weights, jax.random.key(1), 3, (5, 5))), 3, axis=1)
    for w in gates:
        np.testing.assert_allclose(w @ w.T, np.eye(5), atol=1e-6)
    assert abs(gates[0] - gates[1]).max() > 0.1 < abs(gates[1] - gates[2]).max()
