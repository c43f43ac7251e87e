"""The table CELLS: every cell and wrapper at a tiny size, and a user's own cell.  A new cell needs one row."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

from jaxrnn import GRU, LRU, LSTM, Attention, AutodiffRules, Dropout, Elman, LayerNorm, Leaky, MinGRU, Readout, Stack
from jaxrnn.cells import MGU, SLSTM, Clockwork, Delays, FeedForward, Jordan, ProjectedLSTM
from jaxrnn.cells.continuous import GRUD, LEM, CfC, CoRNN, RateNetwork, RateNoise
from jaxrnn.cells.wrappers import (
    DeepInput,
    DeepOutput,
    DeepTransition,
    EveryLayer,
    ExpectedZoneout,
    StateNoise,
    Zoneout,
)
from jaxrnn.core.precision import accumulator, matmul
from jaxrnn.linear import RGLRU, S5, LinearUnit, Mamba, MinLSTM, ShortConv
from jaxrnn.linear.blocks import Normalize, ResidualBlock
from jaxrnn.linear.matrix import GLA, HGRN2, MLSTM, RWKV7, DeltaProduct, GatedDelta, Mamba2, Retention
from jaxrnn.memory import NTM
from jaxrnn.patterns import Feedback, Forced
from jaxrnn.reservoirs import LIF, Reservoir
from jaxrnn.seq2seq import Attending

INPUT, HIDDEN = 3, 5


class OwnParams(NamedTuple):
    u: Array
    w: Array
    start: Array
    """h⁽⁰⁾ is learned."""


class OwnCarry(NamedTuple):
    h: Array
    steps: Array
    """The number of steps so far: integers, without a gradient."""
    log: dict
    """{"best": the largest h so far}."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Own:
    """A user's cell: a carry of many kinds, a learned start, an output that is not the carry."""

    input_size: int
    hidden_size: int

    def init(self, key):
        keys = jax.random.split(key, 3)
        shapes = (self.input_size, self.hidden_size), (self.hidden_size, self.hidden_size), (self.hidden_size,)
        return OwnParams(*(jax.random.normal(k, shape) / 2 for k, shape in zip(keys, shapes, strict=True)))

    def initial_carry(self, params, batch_shape=()):
        h = jnp.broadcast_to(params.start, (*batch_shape, self.hidden_size)).astype(accumulator(params.w.dtype))
        return OwnCarry(h, jnp.zeros(batch_shape, jnp.int32), {"best": jnp.zeros_like(h)})

    def project(self, params, xs):
        return matmul(xs, params.u)

    def step(self, params, carry, z):
        pace = 1 / (1 + carry.steps[..., None]).astype(carry.h.dtype)
        h = (1 - pace) * carry.h + pace * jnp.tanh(z + matmul(carry.h, params.w))
        best = jnp.maximum(carry.log["best"], h)
        return OwnCarry(h, carry.steps + 1, {"best": best}), h * best


LIBRARY = {
    "elman_tanh": Elman(INPUT, HIDDEN),
    "elman_relu": Elman(INPUT, HIDDEN, "relu"),
    "elman_identity": Elman(INPUT, HIDDEN, "identity"),
    "lstm": LSTM(INPUT, HIDDEN),
    "lstm_peephole_previous": LSTM(INPUT, HIDDEN, "previous"),
    "lstm_peephole_current": LSTM(INPUT, HIDDEN, "current"),
    "projected_lstm": ProjectedLSTM(INPUT, HIDDEN, 2),
    "gru_reset_before": GRU(INPUT, HIDDEN),
    "gru_reset_after": GRU(INPUT, HIDDEN, "after"),
    "jordan": Jordan(INPUT, HIDDEN, 4),
    "feedback_gru": Feedback(GRU(INPUT + 4, HIDDEN), Readout(HIDDEN, 4)),
    "feedback_of_the_mean": Feedback(LEM(INPUT + 1, HIDDEN), Readout(HIDDEN, 2), "logits", fed_size=1),
    "forced_gru": Forced(GRU(INPUT, HIDDEN), observed=2, alpha=0.3),
    "attending": Attending(
        LSTM(INPUT + 6, HIDDEN), Attention(HIDDEN, 4, "location", 6, heads=2, coverage=True, width=3), source=4
    ),
    "stack": Stack((LSTM(INPUT, HIDDEN, "current"), Elman(HIDDEN, 4), GRU(4, 2))),
    "stack_of_own": Stack((GRU(INPUT, 4, "after"), Own(4, HIDDEN))),
    "stack_with_dropout": Stack((Dropout(LSTM(INPUT, 4), 0.3), GRU(4, 2), Dropout(Elman(2, HIDDEN), 0.3, "step"))),
    "every_layer": EveryLayer(Stack((GRU(INPUT, 4), Elman(4, HIDDEN)))),
    "zoneout": Zoneout(LSTM(INPUT, HIDDEN), (0.2, 0.5)),
    "expected_zoneout": ExpectedZoneout(GRU(INPUT, HIDDEN), 0.3),
    "layer_norm_elman": LayerNorm(Elman(INPUT, HIDDEN)),
    "layer_norm_lstm": LayerNorm(LSTM(INPUT, HIDDEN)),
    "layer_norm_gru": LayerNorm(GRU(INPUT, HIDDEN, "after")),
    "deep": DeepOutput(DeepInput(DeepTransition(Elman(4, HIDDEN), (6,), True), (INPUT, 4)), (HIDDEN, 2)),
    "delays": Delays(INPUT, HIDDEN, (1, 3)),
    "leaky_lstm": Leaky(LSTM(INPUT, HIDDEN), 0.5),
    "leaky_delays": Leaky(Delays(INPUT, 4, (2,), "relu"), (0.0, 0.7)),
    "clockwork": Clockwork(INPUT, 6, (1, 2, 3)),
    "feed_forward": FeedForward(INPUT, HIDDEN),
    "ntm": NTM(LSTM(INPUT + 2 * 2, HIDDEN), INPUT, slots=4, width=2, read_heads=2),
    "rate_tanh": RateNetwork(INPUT, HIDDEN, dt=30.0, tau=tuple(60.0 + 20.0 * k for k in range(HIDDEN)), gain=1.5),
    "rate_softplus_with_noise": RateNoise(RateNetwork(INPUT, 4, "softplus", tau=(40.0, 100.0)), 0.1, 0.2),
    "reservoir": Reservoir(INPUT, HIDDEN, connections=2, retention=0.3),
    "reservoir_dense_with_noise": StateNoise(Reservoir(INPUT, HIDDEN, connections=None, bias_scaling=0.1), 0.1),
    "min_gru": MinGRU(INPUT, HIDDEN),
    "min_lstm": MinLSTM(INPUT, HIDDEN, "positive"),
    "lru": LRU(INPUT, HIDDEN, 4),
    "linear_unit": LinearUnit(INPUT, HIDDEN),
    "s5": S5(INPUT, 2, 3),
    "rg_lru": RGLRU(4, blocks=2),
    "mamba": Mamba(INPUT, 3, state_size=2, rank=1, conv=2),
    "slstm": SLSTM(INPUT, 4, heads=2),
    "mgu": MGU(INPUT, HIDDEN),
    "short_conv": ShortConv(INPUT, 3, bias=True),
    "gated_delta": GatedDelta(INPUT, heads=2, key_size=2, value_size=3, conv=2),
    "kimi_delta": GatedDelta(INPUT, 1, 3, 2, decay="unit", negative_eigenvalues=True, conv=None),
    "delta_product": DeltaProduct(INPUT, 1, 2, 3, updates=2, decay=True, conv=None),
    "mamba2": Mamba2(INPUT, heads=2, key_size=2, value_size=2, conv=2),
    "mlstm": MLSTM(INPUT, heads=2, key_size=2, value_size=3),
    "mlstm_exponential": MLSTM(INPUT, heads=2, key_size=2, value_size=2, gates="exponential"),
    "gla": GLA(INPUT, heads=1, key_size=2, value_size=3, rank=2),
    "hgrn2": HGRN2(INPUT, heads=1, key_size=2, value_size=3, least_gate=0.1),
    "retention": Retention(INPUT, heads=2, key_size=2, value_size=2),
    "rwkv7": RWKV7(INPUT, heads=1, key_size=2, value_size=3, rank=2),
    "residual_block": ResidualBlock(Stack((ShortConv(3, 2), MinGRU(3, 4))), 3, mlp=2, groups=2),
    "stack_of_blocks": Stack(
        (ResidualBlock(Dropout(GatedDelta(4, 1, 2, 2, conv=None), 0.3), 4), Elman(4, 4), Normalize(4)),
    ),
    "liquid": LIF(INPUT, (HIDDEN,), dt=10.0, refractory=1, spike="smooth"),
    "cfc": CfC(INPUT, HIDDEN, backbone_size=4),
    "cornn": CoRNN(INPUT, HIDDEN),
    "gru_d": GRUD(INPUT, HIDDEN),
    "lem": LEM(INPUT, HIDDEN),
    "stack_in_time": Stack((Elman(INPUT, 4), Dropout(LEM(4, 2), 0.3), CfC(2, HIDDEN, 3))),
    "autodiff_rules_gru": AutodiffRules(GRU(INPUT, HIDDEN)),
    "autodiff_rules_lstm": AutodiffRules(LSTM(INPUT, HIDDEN, "previous")),
}
"""Cells that follow the table of `jaxrnn.core.precision`."""

CELLS = {**LIBRARY, "own": Own(INPUT, HIDDEN)}

every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
"""`@every_cell` above a test that takes `cell`; the id is the cell's alone, which keeps its tests together."""

CORE = ("lstm_peephole_current", "gru_reset_before", "stack_of_own", "own")
core_cell = pytest.mark.parametrize("cell", [CELLS[name] for name in CORE], ids=CORE)
"""`every_cell` for what asks for a program of its own and says nothing new about a cell."""
