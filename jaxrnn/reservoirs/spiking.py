"""Leaky integrate-and-fire neurons: the cell of a liquid state machine.

The chapter names the liquid state machine without equations; these are from Maass, Natschläger & Markram, in steps of
`dt` ms.  A spike s = 1 starts a synaptic current that decays.  The membrane leaks toward its resting voltage, 0 mV.
Above a threshold the neuron fires, is reset, and stays silent for some steps:

    i⁺ ← e^{−dt/τ⁺} i⁺ + W⁺ s + U x,        i⁻ ← e^{−dt/τ⁻} i⁻ + W⁻ s
    v  ← e^{−dt/τ} v + (1 − e^{−dt/τ}) (b + i⁺ + i⁻)            held at the reset voltage while refractory
    s  = Θ(v − θ),     v ← v + s (v_reset − v)
    q  ← e^{−dt/τ_q} q + s,                  y = q              the input of a read-out: low-pass filtered spikes

W⁺ and W⁻ are the positive and the negative weights: a neuron either excites or inhibits all its targets.  The neurons
lie on a grid, and close neurons are more likely to be connected: P = C exp(−(d/λ)²), where C depends on the kinds of
the two neurons.

The derivative of Θ is 0 wherever it exists.  The derivative of σ(β(v − θ)) replaces it (a surrogate gradient), so the
liquid can be trained.  With `spike="smooth"` σ itself is the output, and the gradient is exact.

Deviations: synapses have no short-term dynamics, which in the paper weaken them under activity; they have the strength
of a first spike, A·U of the paper's tables, times `strength`.  There are no transmission delays beyond one step.  All
neurons have the same refractory time.

x → spike trains `xs`, W, U, b, θ → `params.w`, `.u`, `.b`, `.threshold`; the decays e^{−dt/τ} are parameters.

References: Maass, Natschläger & Markram 2002, "Real-time computing without stable states", §2 and appendix B;
Zenke & Ganguli 2018 and Neftci, Mostafa & Zenke 2019 (surrogate gradients); chapter 6.1; Goodfellow et al. 2016, §10.8.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.precision import accumulator, in_rank, matmul
from jaxrnn.core.types import Carry, Key

CONNECTION = np.array([[0.3, 0.2], [0.4, 0.1]])
"""C[from][to], of excitatory and inhibitory neurons."""
STRENGTH = np.array([[30 * 0.5, 60 * 0.05], [-19 * 0.25, -19 * 0.32]])
"""A·U[from][to] in nA, with its sign."""
INPUT_STRENGTH = np.array([18.0, 9.0])
"""The strength of an input in nA, to an excitatory and to an inhibitory neuron."""
TAU = {"membrane": 30.0, "excitatory": 3.0, "inhibitory": 6.0, "trace": 30.0}
"""τ in ms."""


class LIFParams(NamedTuple):
    """The weights and constants, in mV and nA at a resistance of 1 MΩ.

    >>> LIF(2, grid=(3, 3, 3)).init(jax.random.key(0)).w.shape
    (27, 27)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ."""
    w: Float[Array, "hidden hidden"]
    """Wᵀ: from row to column; all entries of a row have the same sign."""
    b: Float[Array, " hidden"]
    """The background current."""
    start: Float[Array, " hidden"]
    """v⁽⁰⁾."""
    threshold: Float[Array, ""]
    """θ."""
    rest: Float[Array, ""]
    """v_reset."""
    membrane: Float[Array, ""]
    """e^{−dt/τ}."""
    excitatory: Float[Array, ""]
    """e^{−dt/τ⁺}."""
    inhibitory: Float[Array, ""]
    """e^{−dt/τ⁻}."""
    trace: Float[Array, ""]
    """e^{−dt/τ_q}."""
    slope: Float[Array, ""]
    """β."""


class LIFCarry(NamedTuple):
    """The state of the neurons, `[*batch, hidden]` each.

    >>> cell = LIF(2, grid=(3, 3, 3))
    >>> cell.initial_carry(cell.init(jax.random.key(0))).v.shape
    (27,)
    """

    v: Float[Array, "*batch hidden"]
    """The membrane voltage."""
    excitatory: Float[Array, "*batch hidden"]
    """i⁺."""
    inhibitory: Float[Array, "*batch hidden"]
    """i⁻."""
    spikes: Float[Array, "*batch hidden"]
    """s: 1 if the neuron has just fired."""
    trace: Float[Array, "*batch hidden"]
    """q."""
    refractory: Int[Array, "*batch hidden"]
    """The number of steps for which the neuron stays refractory."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LIF:
    """Leaky integrate-and-fire neurons on a grid, with filtered spikes as the output.

    Args:
      input_size: the number of spike trains; a real number counts as that many spikes.
      grid: the sizes of the grid; their product is the number of neurons.
      dt: the length of a step in milliseconds.
      reach: λ, in steps of the grid.
      inhibitory: the fraction of inhibitory neurons.
      strength: the factor of W; from about 0.5 on, activity sustains itself without input.
      input_density: the fraction of neurons that a spike train reaches.
      refractory: the number of steps for which a neuron is silent after a spike.
      spike: "hard", Θ with a surrogate gradient, or "smooth", σ(β(v − θ)).

    Raises:
      ValueError: a size below 1, a negative number of steps, a fraction outside [0, 1], or an unknown `spike`.

    >>> from jaxrnn import unroll
    >>> cell = LIF(input_size=4, grid=(15, 3, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> xs = jax.random.bernoulli(jax.random.key(1), 0.05, (200, 4)).astype(float)
    >>> carry, ys = unroll(cell, params, xs)
    >>> ys.shape, bool(ys.max() > 1)
    ((200, 135), True)

    References: Maass, Natschläger & Markram 2002.
    """

    input_size: int
    grid: tuple[int, ...] = (15, 3, 3)
    dt: float = 1.0
    reach: float = 2.0
    inhibitory: float = 0.2
    strength: float = 0.25
    input_density: float = 0.3
    refractory: int = 3
    spike: str = "hard"

    def __post_init__(self):
        check_positive(input_size=self.input_size, **{f"grid[{i}]": n for i, n in enumerate(self.grid)})
        check_choice("spike", self.spike, ("hard", "smooth"))
        for name in ("dt", "reach"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)!r}.")
        for name in ("inhibitory", "input_density"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)!r}.")
        for name in ("refractory", "strength"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)!r}.")

    @property
    def hidden_size(self) -> int:
        """The number of neurons."""
        return int(np.prod(self.grid))

    def init(self, key: Key) -> LIFParams:
        """Draw kinds, connections and strengths by the paper's tables; strengths are exponentially distributed."""
        check_key(key=key)
        kind_key, *keys = jax.random.split(key, 6)
        n = self.hidden_size
        kinds = jax.random.bernoulli(kind_key, self.inhibitory, (n,)).astype(int)
        edge = jax.random.uniform(keys[0], (n, n)) < connection_probability(self.grid, kinds, self.reach)
        w = self.strength * jnp.asarray(STRENGTH)[kinds[:, None], kinds] * jax.random.exponential(keys[1], (n, n))
        reached = jax.random.uniform(keys[2], (self.input_size, n)) < self.input_density
        u = jnp.asarray(INPUT_STRENGTH)[kinds][None] * jax.random.exponential(keys[3], (self.input_size, n))
        decays = {name: jnp.asarray(np.exp(-self.dt / tau), w.dtype) for name, tau in TAU.items()}
        return LIFParams(
            u=jnp.where(reached, u, 0),
            w=jnp.where(edge, w, 0),
            b=jnp.full(n, 13.5, w.dtype),
            start=jax.random.uniform(keys[4], (n,), minval=13.5, maxval=15.0),
            threshold=jnp.asarray(15.0, w.dtype),
            rest=jnp.asarray(13.5, w.dtype),
            slope=jnp.asarray(2.0, w.dtype),
            **decays,
        )

    def initial_carry(self, params: LIFParams, batch_shape: tuple[int, ...] = ()) -> LIFCarry:
        """Return silent neurons at the voltages `params.start`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.w.dtype)
        v = jnp.broadcast_to(params.start.astype(dtype), shape)
        excitatory, inhibitory, spikes, trace = (jnp.zeros(shape, dtype) for _ in range(4))
        return LIFCarry(v, excitatory, inhibitory, spikes, trace, jnp.zeros(shape, jnp.int32))

    def carry_parts(self, carry: Carry) -> CarryParts:
        """State that y⁽ᵗ⁾ is the trace q⁽ᵗ⁾."""
        return CarryParts(output=carry.trace)

    def project(self, params: LIFParams, xs: Array) -> Array:
        """Return U x⁽ᵗ⁾ for every t: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return matmul(xs, params.u)

    def step(self, params: LIFParams, carry: LIFCarry, z: Array) -> tuple[LIFCarry, Array]:
        """Update synapses, membranes and spikes, and output q⁽ᵗ⁾."""
        dtype = carry.v.dtype
        excited = params.excitatory * carry.excitatory + matmul(carry.spikes, jnp.maximum(params.w, 0)) + z
        inhibited = params.inhibitory * carry.inhibitory + matmul(carry.spikes, jnp.minimum(params.w, 0))
        current = in_rank(params.b, excited) + excited + inhibited
        v = params.membrane * carry.v + (1 - params.membrane) * current
        awake = carry.refractory == 0
        v = jnp.where(awake, v, params.rest).astype(dtype)
        above = params.slope * (v - params.threshold)
        fired = jax.nn.sigmoid(above) if self.spike == "smooth" else heaviside(above)
        s = jnp.where(awake, fired, 0).astype(dtype)
        refractory = jnp.where(awake & (above >= 0), self.refractory, jnp.maximum(carry.refractory - 1, 0))
        q = params.trace * carry.trace + s
        v = v + s * (params.rest - v)
        v, excited, inhibited, s, q = (a.astype(dtype) for a in (v, excited, inhibited, s, q))
        return LIFCarry(v, excited, inhibited, s, q, refractory.astype(jnp.int32)), q


@jax.custom_jvp
def heaviside(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return Θ(a), 1 for a ≥ 0, with the derivative of σ(a).

    >>> heaviside(jnp.array([-1.0, 0.0, 2.0])).tolist(), jax.grad(heaviside)(0.0).item()
    ([0.0, 1.0, 1.0], 0.25)

    References: Zenke & Ganguli 2018, §2.
    """
    return jnp.where(a >= 0, jnp.ones_like(a), jnp.zeros_like(a))


@heaviside.defjvp
def _heaviside_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    return heaviside(a), jax.nn.sigmoid(a) * jax.nn.sigmoid(-a) * da


def connection_probability(grid: tuple[int, ...], kinds: Int[Array, " n"], reach: float) -> Float[Array, "n n"]:
    """Return C exp(−(d/λ)²) from row to column, with d the distance on the grid and 0 from a neuron to itself.

    Args:
      grid: the sizes of the grid; neurons are numbered along its last axis first.
      kinds: 0 for an excitatory, 1 for an inhibitory neuron.
      reach: λ.

    >>> probability = connection_probability((2, 1), jnp.array([0, 1]), reach=2.0)
    >>> [round(float(p), 3) for p in probability.ravel()]                   # 0.2 e^(−1/4), 0.4 e^(−1/4)
    [0.0, 0.156, 0.312, 0.0]

    References: Maass, Natschläger & Markram 2002, appendix B.
    """
    places = np.indices(grid).reshape(len(grid), -1).T
    squares = ((places[:, None] - places) ** 2).sum(axis=-1)
    near = np.where(squares > 0, np.exp(-squares / reach**2), 0)
    return jnp.asarray(CONNECTION)[kinds[:, None], kinds] * near
