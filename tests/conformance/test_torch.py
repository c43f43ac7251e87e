"""PyTorch in float64: values, and the gradients of every weight, input and initial state, to 1e-10.

PyTorch has two biases per gate.  They add up, except for the candidate of the GRU, whose b_hn is multiplied by the
reset gate: it is `b_n` of `GRU(reset="after")`.  The gradients are compared on PyTorch's own weights, by
differentiating through `from_torch`.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from jaxrnn import Elman, bptt, mask_from_lengths, unroll, unroll_bptt
from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import from_torch
from jaxrnn.directions import Directions
from tests.conformance.random_cases import (
    BATCH,
    HIDDEN,
    INPUT,
    LENGTHS,
    TIME,
    assert_close,
    normal,
    random_like,
    results_and_gradients,
    with_padding,
)

TOLERANCE = 1e-10


class Pair(NamedTuple):
    """One of PyTorch's layers, and what its weights do not say of it."""

    network: Callable
    nonlinearity: str | None = None
    states: int = 1

    def ours(self, weights):
        return from_torch(weights, nonlinearity=self.nonlinearity)

    def carry(self, states, k):
        return LSTMCarry(states[0][k], states[1][k]) if self.states == 2 else states[0][k]


PAIRS = {
    "RNN tanh": Pair(partial(torch.nn.RNN, nonlinearity="tanh")),
    "RNN relu": Pair(partial(torch.nn.RNN, nonlinearity="relu"), "relu"),
    "LSTM": Pair(torch.nn.LSTM, states=2),
    "LSTM projected": Pair(partial(torch.nn.LSTM, proj_size=2), states=2),
    "GRU": Pair(torch.nn.GRU),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
unrolls = pytest.mark.parametrize("run", [unroll, unroll_bptt])


def stacked(pair, run, weights, xs, states, **options):
    """Our `nn.RNN(num_layers=...)`: ys and the final states, in PyTorch's layout."""
    cell, params = pair.ours(weights)
    carry = tuple(pair.carry(states, layer) for layer in range(len(states[0])))
    if len(carry) == 1:
        carry, ys = run(cell, params, xs, carry[0], **options)
        return ys, in_layout((carry,))
    carry, ys = run(cell, params, xs, carry, **options)
    return ys, in_layout(carry)


def bidirectional(pair, run, weights, xs, states, **options):
    """Our `nn.RNN(bidirectional=True)`: both directions of a layer, and then the next layer."""
    network, params = pair.ours(weights)
    carry = tuple(
        Directions(*(pair.carry(states, 2 * layer + k) for k in range(2))) for layer in range(len(states[0]) // 2)
    )
    if len(carry) == 1:
        ends, ys = network.apply(params, xs, carry[0], run=run, **options)
        return ys, in_layout(ends)
    ends, ys = network.apply(params, xs, carry, run=run, **options)
    return ys, in_layout([carry for layer in ends for carry in layer])


def in_layout(carries):
    """Stack the final states as PyTorch does: a tuple (h,) or (h, c) of `[layers, batch, hidden]`."""
    leaves = [jax.tree.leaves(carry) for carry in carries]
    return tuple(jnp.stack(state) for state in zip(*leaves, strict=True))


def random_problem(pair, **options):
    """One of PyTorch's networks, random weights for it, inputs and initial states."""
    network = pair.network(INPUT, HIDDEN, dtype=torch.float64, **options)
    shapes = {name: jax.ShapeDtypeStruct(tuple(p.shape), jnp.float64) for name, p in network.named_parameters()}
    weights = random_like(shapes, seed=0)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = (getattr(network, "proj_size", 0) or HIDDEN, HIDDEN)
    states = tuple(normal(2 + k, count, BATCH, sizes[k]) for k in range(pair.states))
    return network, weights, normal(1, TIME, BATCH, INPUT), states


def theirs(network, weights, xs, states, cotangents, lengths=None):
    """PyTorch's `(ys, states)`, and its gradients of (weights, xs, states)."""
    as_torch = partial(jax.tree.map, lambda a: torch.tensor(np.asarray(a), requires_grad=True))
    network.load_state_dict(as_torch(weights))
    xs, states = as_torch(xs), as_torch(states)
    carry = states if len(states) == 2 else states[0]
    if lengths is None:
        ys, carry = network(xs, carry)
    else:
        packed = pack_padded_sequence(xs, torch.tensor(lengths.tolist()), enforce_sorted=False)
        ys, carry = network(packed, carry)
        ys, _ = pad_packed_sequence(ys, total_length=len(xs))
    results = (ys, carry if len(states) == 2 else (carry,))
    leaves, structure = jax.tree.flatten((dict(network.named_parameters()), xs, states))
    grads = torch.autograd.grad(jax.tree.leaves(results), leaves, jax.tree.leaves(as_torch(cotangents)))
    return jax.tree.map(lambda t: t.detach().numpy(), (results, jax.tree.unflatten(structure, grads)))


def assert_agree(compose, pair, run, lengths=None, **options):
    """Values and gradients of `compose` are PyTorch's; with lengths, with NaN in the padding of both."""
    network, weights, xs, states = random_problem(pair, **options)
    masks = {}
    if lengths is not None:
        xs, masks = with_padding(xs, lengths, jnp.nan), {"mask": mask_from_lengths(lengths, TIME)}
    results, gradients = results_and_gradients(partial(compose, pair, run, **masks), weights, xs, states)
    expected = theirs(network, weights, xs, states, random_like(results, seed=99), lengths)
    assert_close((results, gradients), expected, TOLERANCE)


@unrolls
@pairs
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_agree_with_pytorch(pair, run, layers):
    assert_agree(stacked, pair, run, num_layers=layers)


@unrolls
@pairs
def test_bidirectional_layers_agree_with_pytorch(pair, run):
    assert_agree(bidirectional, pair, run, bidirectional=True)


@unrolls
@pairs
def test_a_mask_from_lengths_is_a_packed_sequence(pair, run):
    assert_agree(stacked, pair, run, lengths=LENGTHS, num_layers=2)


@unrolls
@pairs
def test_a_mask_from_lengths_is_a_packed_sequence_in_both_directions(pair, run):
    assert_agree(bidirectional, pair, run, lengths=LENGTHS, num_layers=2, bidirectional=True)


@pytest.mark.parametrize(
    ("pair", "step"),
    [
        (PAIRS["RNN tanh"], torch.nn.RNNCell),
        (PAIRS["LSTM"], torch.nn.LSTMCell),
        (PAIRS["GRU"], torch.nn.GRUCell),
    ],
    ids=["RNN", "LSTM", "GRU"],
)
def test_bptt_gives_the_gradient_of_every_hidden_state(pair, step):
    """`bptt(...).carries` against the `.grad` that PyTorch keeps for each h of a loop over its cell."""
    _, weights, xs, states = random_problem(pair)
    cell = step(INPUT, HIDDEN, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): torch.tensor(np.asarray(w)) for name, w in weights.items()})
    dys = normal(98, TIME, BATCH, HIDDEN)
    carry, hs = tuple(torch.tensor(np.asarray(state[0])) for state in states), []
    for x in torch.tensor(np.asarray(xs)):
        carry = cell(x, carry) if pair.states == 2 else (cell(x, carry[0]),)
        hs.append(carry[0])
        hs[-1].retain_grad()
    (torch.stack(hs) * torch.tensor(np.asarray(dys))).sum().backward()
    ours = bptt(*pair.ours(weights), xs, pair.carry(states, 0), None, dys)
    dhs = ours.carries.h if pair.states == 2 else ours.carries
    assert_close(dhs, np.stack([h.grad.numpy() for h in hs]), TOLERANCE)
    assert_close(ours.params.w, cell.weight_hh.grad.numpy().T, TOLERANCE)


@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_every_wrong_order_of_the_gates_shows(name, gates):
    """The oracle can fail: any other order of PyTorch's blocks is far outside the tolerance."""
    pair = PAIRS[name]
    network, weights, xs, states = random_problem(pair)
    results, _ = results_and_gradients(partial(stacked, pair, unroll), weights, xs, states)
    (ys, _), _ = theirs(network, weights, xs, states, random_like(results, seed=99))
    for order in list(permutations(range(gates)))[1:]:
        swapped = jax.tree.map(lambda w, order=order: jnp.concatenate([jnp.split(w, gates)[k] for k in order]), weights)
        assert abs(stacked(pair, unroll, swapped, xs, states)[0] - ys).max() > 1e-2, order


def test_a_row_of_length_0_is_refused_by_pytorch_and_held_by_jaxrnn():
    with pytest.raises(RuntimeError, match="greater than 0"):
        pack_padded_sequence(torch.ones(TIME, 2, INPUT), torch.tensor([TIME, 0]), enforce_sorted=False)
    cell, h = Elman(INPUT, HIDDEN), normal(0, 2, HIDDEN)
    mask = mask_from_lengths(jnp.array([TIME, 0]), TIME)
    carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((TIME, 2, INPUT)), h, mask=mask)
    assert (carry[1] == h[1]).all()
    assert (ys[:, 1] == 0).all()
