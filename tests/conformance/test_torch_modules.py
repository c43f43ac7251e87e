"""Whole modules of PyTorch and their state dicts, in and out: bit for bit where no sum is involved, values to 1e-6."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jaxrnn import GRU, LSTM, Bidirectional, Elman, Stack, unroll
from jaxrnn.cells import ProjectedLSTM
from jaxrnn.convert import ConversionError, from_torch, readout_from_torch, readout_to_torch, to_torch, to_torch_cell
from tests.random_params import random_params

XS = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
MODULES = {
    "RNN": lambda: torch.nn.RNN(4, 6, 2, nonlinearity="relu"),
    "LSTM batch first": lambda: torch.nn.LSTM(4, 6, 2, batch_first=True, dropout=0.5),
    "LSTM projected": lambda: torch.nn.LSTM(4, 6, 2, proj_size=3, bidirectional=True),
    "GRU without a bias": lambda: torch.nn.GRU(4, 6, bias=False, bidirectional=True),
}


def run(cell, params, xs):
    """Run whatever `from_torch` returns, and return its outputs."""
    return cell.apply(params, xs)[1] if hasattr(cell, "apply") else unroll(cell, params, xs)[1]


def load(module, state_dict):
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state_dict.items()})
    return module.eval()


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_a_module_in_float32_is_ours_and_ours_is_a_module(make):
    module = make().eval()
    cell, params = from_torch(module.state_dict(), nonlinearity="relu" if isinstance(module, torch.nn.RNN) else None)
    first = module.batch_first

    def theirs(module):
        xs = torch.from_numpy(np.swapaxes(XS, 0, 1) if first else XS)
        ys = module(xs)[0].detach().numpy()
        return np.swapaxes(ys, 0, 1) if first else ys

    ys = run(cell, params, jnp.asarray(XS))
    np.testing.assert_allclose(ys, theirs(module), rtol=0, atol=1e-6)
    back = load(make(), to_torch(cell, params, bias=module.bias))
    np.testing.assert_allclose(theirs(back), theirs(module), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_what_has_no_two_biases_comes_back_bit_for_bit(bias):
    module = torch.nn.LSTM(4, 6, num_layers=2, bidirectional=True, bias=bias)
    for name, parameter in module.named_parameters():
        parameter.data = torch.zeros_like(parameter) if "bias_hh" in name else torch.randn_like(parameter)
    state_dict = module.state_dict()
    back = to_torch(*from_torch(state_dict), bias=bias)
    assert list(back) == list(state_dict)
    assert all(torch.from_numpy(back[name]).equal(state_dict[name]) for name in back)


@pytest.mark.parametrize(
    ("make", "cell"),
    [(torch.nn.RNNCell, Elman(4, 6)), (torch.nn.LSTMCell, LSTM(4, 6)), (torch.nn.GRUCell, GRU(4, 6, "after"))],
)
def test_a_single_cell_is_ours_and_ours_is_a_single_cell(make, cell):
    module = make(4, 6)
    read, params = from_torch(module.state_dict())
    assert read == cell
    back = load(make(4, 6), to_torch_cell(cell, params))

    def hs(module):
        carry, found = None, []
        for x in torch.from_numpy(XS):
            carry = module(x, carry)
            found.append((carry[0] if isinstance(carry, tuple) else carry).detach().numpy())
        return np.stack(found)

    np.testing.assert_allclose(unroll(cell, params, jnp.asarray(XS))[1], hs(module), rtol=0, atol=1e-6)
    np.testing.assert_allclose(hs(back), hs(module), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "make"),
    [
        (Stack((GRU(4, 6, "after"), GRU(6, 6, "after"))), lambda: torch.nn.GRU(4, 6, 2)),
        (
            Bidirectional(ProjectedLSTM(4, 6, 3), ProjectedLSTM(4, 6, 3)),
            lambda: torch.nn.LSTM(4, 6, proj_size=3, bidirectional=True),
        ),
    ],
)
def test_what_was_never_pytorch_s_is_loaded_by_it(cell, make):
    params = random_params(cell, 0)
    module = load(make().double(), to_torch(cell, params))
    ys = module(torch.from_numpy(XS).double())[0].detach().numpy()
    np.testing.assert_allclose(run(cell, params, jnp.asarray(XS, jnp.float64)), ys, rtol=0, atol=1e-10)


def test_a_language_model_s_embedding_and_read_out_come_with_it():
    torch.manual_seed(0)
    parts = {"embedding": torch.nn.Embedding(7, 4), "rnn": torch.nn.LSTM(4, 6, 2), "out": torch.nn.Linear(6, 7)}
    tokens = torch.tensor([[0, 3], [6, 2], [1, 1]])
    state_dict = torch.nn.ModuleDict(parts).state_dict()
    cell, params = from_torch(state_dict, prefix="rnn.")
    readout, v = readout_from_torch(state_dict, prefix="out.")
    xs = jnp.asarray(state_dict["embedding.weight"].numpy())[tokens.numpy()]
    logits = readout.apply(v, unroll(cell, params, xs)[1])
    theirs = parts["out"](parts["rnn"](parts["embedding"](tokens))[0])
    np.testing.assert_allclose(logits, theirs.detach(), rtol=0, atol=1e-6)
    assert all(parts["out"].state_dict()[name].equal(torch.from_numpy(a)) for name, a in readout_to_torch(v).items())


def test_parameters_that_want_gradients_and_halves_are_named():
    module = torch.nn.GRU(4, 6)
    with pytest.raises(ConversionError, match=r"weight_ih_l0.*detach"):
        from_torch(dict(module.named_parameters()))
    with pytest.raises(ConversionError, match=r"weight_ih_l0.*BFloat16"):
        from_torch(module.bfloat16().state_dict())
