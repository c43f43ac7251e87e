"""The Neural Turing machine: a controller with an external memory.

    h⁽ᵗ⁾, state⁽ᵗ⁾ = controller(state⁽ᵗ⁻¹⁾, [x⁽ᵗ⁾; r⁽ᵗ⁻¹⁾])         any cell
    k, β, g, s, γ of each head, e, a of each write head, from b + W h⁽ᵗ⁾
    w⁽ᵗ⁾ = each head's weighting, from M⁽ᵗ⁻¹⁾ and w⁽ᵗ⁻¹⁾             `jaxrnn.memory.addressing`
    r⁽ᵗ⁾ = Σᵢ w⁽ᵗ⁾(i) M⁽ᵗ⁻¹⁾(i)                                      for each read head
    M⁽ᵗ⁾ = M⁽ᵗ⁻¹⁾ after the write heads have erased and added
    y⁽ᵗ⁾ = [h⁽ᵗ⁾; r⁽ᵗ⁾]

with k, a = tanh, β = softplus, g, e = σ, s = softmax, γ = 1 + softplus.  Graves et al. leave these
activations and the order within a step open.  Here every head addresses and reads M⁽ᵗ⁻¹⁾, and the write follows.

A slot whose weight is 0 is copied, so its content and its gradient pass through time unchanged.  That is why an
explicit memory helps with long-term dependencies (chapter 八, item 3).

The memory starts at a small constant and the heads at slot 0.  Collier & Beel compared constant, random and learned
starts, and the constant one learned fastest.  The only parameters of the machine itself are W and b.  No parameter has
the shape of the memory, so a trained machine runs with any number of slots: `dataclasses.replace(cell, slots=256)`,
with the same parameters.

The carry holds log w⁽ᵗ⁾ up to a constant (`address`), and w is its softmax, so any real numbers are a valid weighting.

In the backward pass the memory has no weights, so the sums over t of 2.2.3 concern W and the controller only.  The
backward pass of one memory access is written by hand in `jaxrnn.memory.memory_access`.

References: Graves, Wayne & Danihelka 2014, §3; Collier & Beel 2018, §3.1 and §4; chapter 八, item 2; Goodfellow et al.
2016, §10.12.
"""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts, output_of
from jaxrnn.core.checks import check_features, check_is_cell, check_positive, inside
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.local_rules import WholeLocals, WholeResidual, whole_step_bwd, whole_step_fwd, whole_weight_bwd
from jaxrnn.core.noise import takes_noise
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.memory.memory_access import Controls, access, access_bwd

EMPTY = 1e-6
"""The initial value of every entry of the memory."""

AT_SLOT_0 = 20.0
"""The initial log w⁽⁰⁾ of slot 0; the others are 0, so slot 0 has all but about e⁻²⁰ of the weight."""


class NTMParams(NamedTuple):
    """The controller's parameters, and the map from its output to the heads, transposed.

    >>> from jaxrnn import LSTM
    >>> NTM(LSTM(3 + 4, 8), input_size=3, slots=10, width=4).init(jax.random.key(0)).w.shape
    (8, 28)
    """

    controller: Params
    """The controller's own."""
    w: Float[Array, "hidden controls"]
    """Wᵀ: to k, β, g, s, γ of every head, then e, a of the write heads, in this order."""
    b: Float[Array, " controls"]
    """b."""


class NTMCarry(NamedTuple):
    """The state: the controller's carry, the memory, the heads' weightings and what they read.

    >>> from jaxrnn import LSTM
    >>> cell = NTM(LSTM(3 + 4, 8), input_size=3, slots=10, width=4)
    >>> cell.initial_carry(cell.init(jax.random.key(0)), (2,)).address.shape
    (2, 2, 10)
    """

    controller: Carry
    """The controller's state."""
    memory: Float[Array, "*batch width slots"]
    """M⁽ᵗ⁾, one slot a column."""
    address: Float[Array, "*batch heads slots"]
    """log w⁽ᵗ⁾ up to a constant, of the read heads and then of the write heads; w = softmax of it."""
    reads: Float[Array, "*batch reads"]
    """r⁽ᵗ⁾ of all read heads, side by side."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class NTM:
    """The Neural Turing machine: y⁽ᵗ⁾ = [h⁽ᵗ⁾; r⁽ᵗ⁾].

    Args:
      controller: a cell with an input of size `input_size + read_heads * width` that draws no noise.
      input_size: the size of x.
      slots: N, the number of slots in the memory.
      width: the size of a slot.
      read_heads: the number of read heads.
      write_heads: the number of write heads.
      reach: R; a head can shift by −R, …, R slots in one step.

    Raises:
      TypeError: a controller that is not a cell, or that draws noise.
      ValueError: a size below 1, a reach that wraps onto the same slot twice, or a controller with another input size.

    >>> from jaxrnn import LSTM, unroll
    >>> cell = NTM(LSTM(3 + 4, 8), input_size=3, slots=10, width=4)
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> carry.memory.shape, ys.shape, cell.output_size
    ((2, 4, 10), (7, 2, 12), 12)

    References: Graves, Wayne & Danihelka 2014; chapter 8.
    """

    controller: Cell
    input_size: int
    slots: int
    width: int
    read_heads: int = 1
    write_heads: int = 1
    reach: int = 1

    def __post_init__(self):
        check_positive(input_size=self.input_size, slots=self.slots, width=self.width)
        check_positive(read_heads=self.read_heads, write_heads=self.write_heads)
        if not isinstance(self.reach, int) or not 0 <= 2 * self.reach < self.slots:
            raise ValueError(
                f"`reach` must be an integer from 0 with 2·reach + 1 ≤ slots={self.slots}, got {self.reach!r}: "
                "a wider reach would wrap onto the same slot twice."
            )
        _check_controller(self.controller)
        _output_size(self.controller, self.input_size + self.read_heads * self.width)

    @property
    def heads(self) -> int:
        """The number of heads in all."""
        return self.read_heads + self.write_heads

    @property
    def output_size(self) -> int:
        """The size of y: the controller's output, and one vector for each read head."""
        reads = self.read_heads * self.width
        return _output_size(self.controller, self.input_size + reads) + reads

    def init(self, key: Key) -> NTMParams:
        """Draw W by Glorot's uniform rule, with b = 0, and the controller by its own `init`."""
        check_key(key=key)
        controller_key, key = jax.random.split(key)
        controls = sum(self._control_sizes())
        w = input_weights(key, (self.output_size - self.read_heads * self.width, controls))
        return NTMParams(self.controller.init(controller_key), w, jnp.zeros(controls))

    def initial_carry(self, params: NTMParams, batch_shape: tuple[int, ...] = ()) -> NTMCarry:
        """Return an empty memory, every head at slot 0, nothing read, and the controller's initial carry."""
        dtype = accumulator(params.w.dtype)
        return NTMCarry(
            self.controller.initial_carry(params.controller, batch_shape),
            memory=jnp.full((*batch_shape, self.width, self.slots), EMPTY, dtype),
            address=jnp.zeros((*batch_shape, self.heads, self.slots), dtype).at[..., 0].set(AT_SLOT_0),
            reads=jnp.zeros((*batch_shape, self.read_heads * self.width), dtype),
        )

    def carry_parts(self, carry: NTMCarry) -> CarryParts:
        """State that only the constants of the controller are constant."""
        return CarryParts(constants=carry_parts(self.controller, carry.controller).constants)

    def project(self, params: NTMParams, xs: Array) -> Array:
        """Return x in the carry's dtype; the controller's own projection needs r⁽ᵗ⁻¹⁾, so it runs in `step`."""
        check_features("xs", xs, input_size=self.input_size)
        return jnp.asarray(xs).astype(accumulator(params.w.dtype))

    def step(self, params: NTMParams, carry: NTMCarry, z: Array) -> tuple[NTMCarry, Array]:
        """Run one step of the controller and one memory access, and output [h⁽ᵗ⁾; r⁽ᵗ⁾]."""
        both = jnp.concatenate([z, carry.reads], axis=-1)
        seen = self.controller.project(params.controller, both)
        inner, h = self.controller.step(params.controller, carry.controller, seen)
        out, _ = self._after(inner, h, add_bias(matmul(h, params.w), params.b), carry)
        return out

    def step_fwd(self, params: NTMParams, carry: NTMCarry, z: Array):
        """Run `step` and also return what its backward pass needs."""
        both = jnp.concatenate([z, carry.reads], axis=-1)
        (inner, h), residual = whole_step_fwd(self.controller, params.controller, carry.controller, both)
        raw = add_bias(matmul_in_loop(h, params.w), params.b)
        out, accessed = self._after(inner, h, raw, carry)
        return out, NTMResidual(residual, h, raw, accessed)

    def step_bwd(self, params: NTMParams, residual: "NTMResidual", dcarry: NTMCarry, dy: Array):
        """Go back through the memory access, then through the controller, to x⁽ᵗ⁾ and r⁽ᵗ⁻¹⁾ (chapter 2.2.2)."""
        dh, dreads = jnp.split(dy, [residual.h.shape[-1]], axis=-1)
        controls, controls_vjp = jax.vjp(self.controls, residual.raw)
        dreads = _per_head(dcarry.reads + dreads, self.read_heads)
        dcontrols, dmemory, daddress = access_bwd(controls, residual.accessed, dcarry.memory, dcarry.address, dreads)
        (draw,) = controls_vjp(dcontrols)
        dh = dh + matmul_transposed(draw, params.w)
        dinner, dboth, local = whole_step_bwd(
            self.controller, params.controller, residual.controller, dcarry.controller, dh
        )
        dx, dreads = jnp.split(dboth, [self.input_size], axis=-1)
        return NTMCarry(dinner, dmemory, daddress, dreads), dx, NTMLocals(local, draw)

    def weight_bwd(self, params: NTMParams, residuals: "NTMResidual", locals: "NTMLocals") -> NTMParams:
        """Sum the gradients of W, of b and of the controller over time (chapter 2.2.3)."""
        own = whole_weight_bwd(self.controller, params.controller, residuals.controller, locals.controller)
        return NTMParams(own, outer_sum(residuals.h, locals.draw, params.w), row_sum(locals.draw, params.b))

    def controls(self, raw: Float[Array, "*batch controls"]) -> Controls:
        """Split b + W h⁽ᵗ⁾ into the controls and apply their activations."""
        ends = list(itertools.accumulate(self._control_sizes()))[:-1]
        key, strength, gate, shift, sharpness, erase, add = jnp.split(raw, ends, axis=-1)
        return Controls(
            key=jnp.tanh(_per_head(key, self.heads)),
            strength=jax.nn.softplus(strength),
            gate=jax.nn.sigmoid(gate),
            shift=jax.nn.softmax(_per_head(shift, self.heads), axis=-1),
            sharpness=1 + jax.nn.softplus(sharpness),
            erase=jax.nn.sigmoid(_per_head(erase, self.write_heads)),
            add=jnp.tanh(_per_head(add, self.write_heads)),
        )

    def _control_sizes(self) -> tuple[int, ...]:
        heads, writes = self.heads, self.write_heads
        return heads * self.width, heads, heads, heads * (2 * self.reach + 1), heads, *[writes * self.width] * 2

    def _after(self, inner: Carry, h: Array, raw: Array, carry: NTMCarry):
        """Return the new carry and the output, and the residual of the memory access."""
        (memory, address, reads), accessed = access(self.controls(raw), carry.memory, carry.address)
        reads = lax.collapse(reads, -2)
        return (NTMCarry(inner, memory, address, reads), jnp.concatenate([h, reads], axis=-1)), accessed


class NTMResidual(NamedTuple):
    """The record of a step for its backward."""

    controller: WholeResidual
    """The controller's own, with [x⁽ᵗ⁾; r⁽ᵗ⁻¹⁾]."""
    h: Array
    """The controller's output."""
    raw: Array
    """b + W h⁽ᵗ⁾."""
    accessed: Any
    """The record of the memory access."""


class NTMLocals(NamedTuple):
    """The share of a step in the sums over t."""

    controller: WholeLocals
    """The controller's own."""
    draw: Array
    """∇ of b + W h⁽ᵗ⁾."""


def _per_head(packed: Array, heads: int) -> Array:
    """Unpack the heads: `[*batch, heads·size]` → `[*batch, heads, size]`."""
    return packed.reshape(*packed.shape[:-1], heads, packed.shape[-1] // heads)


def _check_controller(controller: Cell) -> None:
    check_is_cell(controller=controller)
    if takes_noise(controller):
        raise TypeError(
            f"`controller` must not draw noise, got {controller!r}; "
            "put the noise around the machine instead: Dropout(NTM(…))."
        )


def _output_size(controller: Cell, input_size: int) -> int:
    """Return the size of the controller's output.

    Raises:
      ValueError: its input size is not `input_size`, or its output is not one vector.
    """
    with inside("controller", reads=f"x and what the heads read, input_size + read_heads·width = {input_size}"):
        y = output_of(controller, input_size)
    if y is None or y.ndim != 1:
        raise ValueError(f"`controller` must output one vector, got {controller!r}.")
    return y.shape[0]
