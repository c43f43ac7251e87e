"""The reservoir: a recurrent cell whose weights are drawn at random and not learned.

    a⁽ᵗ⁾ = b + ρ W h⁽ᵗ⁻¹⁾ + U (s ⊙ x⁽ᵗ⁾)
    h⁽ᵗ⁾ = r ⊙ h⁽ᵗ⁻¹⁾ + g ⊙ tanh(a⁽ᵗ⁾),          y⁽ᵗ⁾ = h⁽ᵗ⁾

W is drawn with a spectral radius of exactly 1, so ρ *is* the spectral radius.  ρ, the input scaling s, the retention r
and the gain g are ordinary parameters: `vmap` over them, or train them by gradient.  Jaeger's leaky integrator,
h ← (1 − δCa) h + δC tanh(…), is r = 1 − δCa, g = δC; the usual leaking rate α is r = 1 − α, g = α.

**Sparse without indices.**  Unit i reads the units i + o₁, …, i + o_K (mod N).  The size and `wiring` determine the K
offsets, and the weight of each connection is drawn:

    (W h)ᵢ = Σₖ wₖᵢ h_{(i + oₖ) mod N}

The indices form contiguous runs, so this takes K products of contiguous arrays, for one reservoir or for a hundred
under `vmap`; a gather from arbitrary indices is 3 to 5 times slower on a CPU.  Every unit has K inputs and K outputs,
so the backward pass of 2.2.2 is the same sum over −oₖ.  With random offsets the graph is an expander, like a random
graph.

Correction to the chapter's 6.2: a spectral radius of 3 is far outside the usual advice (0.8 to 1.25).  At 3 the state
does not forget its initial value unless the input saturates the units.  Here the radius is a parameter.

Feedback of the output is `Feedback(cell, readout, "logits")`, noise inside tanh is `StateNoise(cell, scale)`, and
depth is `EveryLayer(Stack(…))`.

U, W, b → `params.u`, `.w`, `.b`; ρ, s, r, g → `.radius`, `.scaling`, `.retention`, `.gain`.

References: Jaeger 2001, "The echo state approach" (GMD report 148), §3.2; Jaeger, Lukoševičius, Popovici &
Siewert 2007 (leaky integrators); Lukoševičius 2012, "A practical guide to applying echo state networks"; chapter
六; Goodfellow et al. 2016, §10.8.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Key
from jaxrnn.reservoirs.spectrum import largest_modulus


class ReservoirParams(NamedTuple):
    """The drawn weights, and the numbers that scale them.

    >>> Reservoir(3, 100, connections=10).init(jax.random.key(0)).w.shape
    (10, 100)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden, in [−1, 1]."""
    w: Float[Array, "connections hidden"]
    """wₖᵢ: the weight from unit i + oₖ to unit i; Wᵀ if all units are connected."""
    b: Float[Array, " hidden"]
    """b."""
    radius: Float[Array, ""]
    """ρ: the factor of W, and its spectral radius as long as `w` is the one drawn."""
    scaling: Float[Array, " input"]
    """s: the scale of each input."""
    retention: Float[Array, " hidden"]
    """r: the weight of h⁽ᵗ⁻¹⁾."""
    gain: Float[Array, " hidden"]
    """g: the weight of tanh(a⁽ᵗ⁾)."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Reservoir:
    """The cell h⁽ᵗ⁾ = r h⁽ᵗ⁻¹⁾ + g f(b + ρ W h⁽ᵗ⁻¹⁾ + U (s x⁽ᵗ⁾)), y⁽ᵗ⁾ = h⁽ᵗ⁾.

    The last five fields are only the initial values of parameters.  To try others, change the parameters and not the
    cell: `params._replace(radius=…)` needs no compilation and works under `vmap`.

    Args:
      input_size: the size of x.
      hidden_size: N, the number of units.
      connections: K, the number of inputs of each unit; None connects all units, by a matrix product.
      activation: f: "tanh", "relu", or "identity" for a linear reservoir.
      wiring: the seed of the offsets; another number gives another graph.
      radius: ρ, the spectral radius of the recurrent weights.
      input_scaling: s, for every input.
      bias_scaling: b is drawn from [−bias_scaling, bias_scaling].
      retention: r, for every unit; 0 for a unit without a leak.
      gain: g, for every unit; None for 1 − retention.

    Raises:
      ValueError: a size below 1, more connections than units, an unknown activation, or a negative number.

    >>> from jaxrnn.reservoirs import spectral_radius
    >>> from jaxrnn import unroll
    >>> cell = Reservoir(input_size=3, hidden_size=100, connections=10, radius=0.9, retention=0.5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, ys = unroll(cell, params, jnp.ones((7, 2, 3)))
    >>> ys.shape, round(float(spectral_radius(recurrent_matrix(cell, params))), 4)
    ((7, 2, 100), 0.9)

    References: Jaeger 2001, §3.2; chapter 六.
    """

    input_size: int
    hidden_size: int
    connections: int | None = 10
    activation: str = "tanh"
    wiring: int = 0
    radius: float = 0.9
    input_scaling: float = 1.0
    bias_scaling: float = 0.0
    retention: float = 0.0
    gain: float | None = None

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        if self.connections is not None:
            check_positive(connections=self.connections)
            if self.connections > self.hidden_size:
                raise ValueError(
                    f"`connections` must be at most hidden_size={self.hidden_size}, got {self.connections}. "
                    "None connects all units."
                )
        for name in ("wiring", "radius", "input_scaling", "bias_scaling", "retention"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)!r}.")

    def init(self, key: Key) -> ReservoirParams:
        """Draw U, W and b from uniform distributions, then divide W by its spectral radius.

        The cost is that of the eigenvalues of an N × N matrix: about 0.3 s for N = 500.
        """
        check_key(key=key)
        return _draw(self, key)

    def initial_carry(self, params: ReservoirParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    carry_parts = carry_is_output

    def project(self, params: ReservoirParams, xs: Array) -> Array:
        """Return z⁽ᵗ⁾ = b + U (s ⊙ x⁽ᵗ⁾) for every t: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.scaling[:, None] * params.u), params.b)

    def step(self, params: ReservoirParams, carry: Array, z: Array) -> tuple[Array, Array]:
        """Return h⁽ᵗ⁾ as the carry and the output."""
        out, _ = self.step_fwd(params, carry, z)
        return out

    def step_fwd(self, params: ReservoirParams, carry: Array, z: Array):
        """Run `step`; the residual is (h⁽ᵗ⁻¹⁾, f(a⁽ᵗ⁾))."""
        f, _ = ACTIVATIONS[self.activation]
        y = f(z + params.radius * self._hear(params.w, carry)).astype(carry.dtype)
        retention, gain = in_rank(params.retention, carry), in_rank(params.gain, y)
        h = retention * carry + gain * y
        return (h, h), (carry, y)

    def step_bwd(self, params: ReservoirParams, residual, dcarry: Array, dy: Array):
        """Return r ⊙ ∇h⁽ᵗ⁾ + ρ Wᵀ δ⁽ᵗ⁾ for step t − 1, and δ⁽ᵗ⁾ = f′ ⊙ g ⊙ ∇h⁽ᵗ⁾."""
        _, derivative = ACTIVATIONS[self.activation]
        _, y = residual
        dh = dcarry + dy
        retention, gain = in_rank(params.retention, dh), in_rank(params.gain, dh)
        dz = derivative(y) * gain * dh
        return retention * dh + params.radius * self._tell(params.w, dz), dz, (dh, dz)

    def weight_bwd(self, params: ReservoirParams, residuals, locals) -> ReservoirParams:
        """Sum the gradients of W, ρ, r and g over time; those of U, s and b come from `project`."""
        hs, ys = residuals
        dhs, dzs = locals
        if self.connections is None:
            dw = outer_sum(hs, dzs, params.w)
        else:
            products = [row_sum(jnp.roll(hs, -o, axis=-1) * dzs, params.b) for o in self.offsets]
            dw = jnp.stack(products).astype(params.w.dtype)
        return ReservoirParams(
            u=jnp.zeros_like(params.u),
            w=params.radius * dw,
            b=jnp.zeros_like(params.b),
            radius=jnp.sum(dw * params.w),
            scaling=jnp.zeros_like(params.scaling),
            retention=row_sum(hs * dhs, params.retention),
            gain=row_sum(ys * dhs, params.gain),
        )

    @property
    def offsets(self) -> tuple[int, ...]:
        """Return the offsets o₁ < … < o_K, distinct, from 0 … N − 1."""
        return _offsets(self.hidden_size, self.connections, self.wiring)

    def _hear(self, w: Array, h: Array) -> Array:
        """Return W h."""
        if self.connections is None:
            return matmul(h, w)
        return self._sum_runs(w, h, self.offsets)

    def _tell(self, w: Array, dz: Array) -> Array:
        """Return Wᵀ δ; the units j − oₖ read unit j."""
        if self.connections is None:
            return matmul_transposed(dz, w)
        turned = jnp.stack([jnp.roll(w[k], o) for k, o in enumerate(self.offsets)])
        return self._sum_runs(turned, dz, tuple(-o % self.hidden_size for o in self.offsets))

    def _sum_runs(self, w: Array, h: Array, offsets: tuple[int, ...]) -> Array:
        """Return Σₖ wₖᵢ h_{i + oₖ}, with products in the dtype of w and the sum in float32 at least."""
        dtype, n = accumulator(w.dtype), self.hidden_size
        w, h = w.astype(dtype), h.astype(w.dtype).astype(dtype)
        w = jnp.expand_dims(w, tuple(range(1, h.ndim)))  # give each row the rank of h
        around = jnp.concatenate([h, h], axis=-1)  # so that every run is contiguous
        return functools.reduce(jnp.add, (w[k] * around[..., o : o + n] for k, o in enumerate(offsets)))


def recurrent_matrix(cell: Reservoir, params: ReservoirParams) -> Float[Array, "hidden hidden"]:
    """Return ρ Wᵀ, the matrix that h is multiplied by.

    Args:
      cell: a reservoir.
      params: its parameters.

    Returns:
      `[hidden, hidden]`.

    >>> cell = Reservoir(1, 4, connections=1, wiring=3)
    >>> (recurrent_matrix(cell, cell.init(jax.random.key(0))) != 0).sum(0)
    Array([1, 1, 1, 1], dtype=int32)
    """
    return params.radius * _matrix(cell, params.w)


@jax.jit  # op by op it is some thirty programs for each new size
def _draw(cell: Reservoir, key: Key) -> ReservoirParams:
    u_key, w_key, b_key = jax.random.split(key, 3)
    n, rows = cell.hidden_size, cell.hidden_size if cell.connections is None else cell.connections
    u = jax.random.uniform(u_key, (cell.input_size, n), minval=-1, maxval=1)
    w = jax.random.uniform(w_key, (rows, n), minval=-1, maxval=1)
    b = cell.bias_scaling * jax.random.uniform(b_key, (n,), minval=-1, maxval=1)
    w = w / largest_modulus(_matrix(cell, w))
    gain = 1 - cell.retention if cell.gain is None else cell.gain
    scaling = jnp.full(cell.input_size, cell.input_scaling, u.dtype)
    retention, gain = jnp.full(n, cell.retention, u.dtype), jnp.full(n, gain, u.dtype)
    return ReservoirParams(u, w, b, jnp.asarray(cell.radius, u.dtype), scaling, retention, gain)


@functools.lru_cache(maxsize=256)
def _offsets(n: int, connections: int, wiring: int) -> tuple[int, ...]:
    chosen = np.random.default_rng([wiring, n]).permutation(n)[:connections]
    return tuple(sorted(map(int, chosen)))


def _matrix(cell: Reservoir, w: Array) -> Array:
    """Return Wᵀ as a matrix."""
    if cell.connections is None:
        return w
    units = np.arange(cell.hidden_size)
    sources = (units + np.array(cell.offsets)[:, None]) % cell.hidden_size
    return jnp.zeros((cell.hidden_size,) * 2, w.dtype).at[sources, units].set(w)
