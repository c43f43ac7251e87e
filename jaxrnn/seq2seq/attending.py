"""A cell with attention: the decoder of an encoder-decoder.

    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, [x⁽ᵗ⁾; c⁽ᵗ⁻¹⁾]),                         y⁽ᵗ⁾ = [h⁽ᵗ⁾; c⁽ᵗ⁾]
    α⁽ᵗ⁾ = softmax over j of score(h⁽ᵗ⁾, k_j),               c⁽ᵗ⁾ = Σ_j α_j⁽ᵗ⁾ v_j

f is any cell, and h is its output.  `Attending` is a cell itself, so every member of the unroll family runs it, and an
output layer on y⁽ᵗ⁾ reads both the state and the context.  In Bahdanau et al. and Chorowski et al. the state before a
step computes the context that the step reads, as here; Bahdanau's output layer reads the state after that step.  Luong
et al. feed back the state of the output layer instead of c.

The keys and values are part of the carry, which passes them on unchanged.  `lax.scan` moves an array that no step
changes out of its loop, and the explicit pass records it once, so it costs no memory per step; and rows, `vmap`, beams
and streams treat it like any other state.  A reset returns to the initial carry, which has nothing to attend to.

References: Bahdanau, Cho & Bengio 2015, §3.1; Luong, Pham & Manning 2015, §3.3 (input feeding); Chorowski et
al. 2015, §2.1; chapter 4.1, item 5; Goodfellow et al. 2016, §10.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts, check_output_size, output_of
from jaxrnn.core.checks import check_is_cell, check_positive, checked_carry, inside
from jaxrnn.core.local_rules import WholeLocals, WholeResidual, whole_step_bwd, whole_step_fwd, whole_weight_bwd
from jaxrnn.core.noise import check_noisy, plain_input, takes_noise, with_x
from jaxrnn.core.precision import accumulator, matmul, matmul_transposed, outer_sum, row_sum, transposed_layout
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.seq2seq.attention import Attention, AttentionParams, Memory, Reading, ScoreParams
from jaxrnn.seq2seq.attention_gradient import Compared, compare_bwd, compared


class AttendingParams(NamedTuple):
    """The parameters of the cell and of the attention.

    >>> AttendingParams(cell=None, attention=None).cell is None
    True
    """

    cell: Params
    """The parameters of f."""
    attention: AttentionParams
    """The parameters of the attention."""


class AttendingCarry(NamedTuple):
    """The state: the carry of the cell, the last reading, and the memory.

    >>> AttendingCarry(cell=None, reading=None, memory=None).reading is None
    True
    """

    cell: Carry
    """h⁽ᵗ⁾."""
    reading: Reading
    """c⁽ᵗ⁾ and α⁽ᵗ⁾."""
    memory: Memory
    """k and v, constant over time."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Attending:
    """A cell over [x⁽ᵗ⁾; c⁽ᵗ⁻¹⁾] that attends to a sequence after every step.

    Args:
      cell: f, any cell; its input size is the size of x plus `attention.context_size`, and its output size is
        `attention.query_size`.
      attention: the attention of h⁽ᵗ⁾ to the sequence.
      source: the number of positions in the initial carry; `attend_to` accepts any number.

    Raises:
      TypeError: `cell` is not a cell, or `attention` no `Attention`.
      ValueError: a source below 1; an attention whose `query_size` is not the size of the cell's output.

    >>> from jaxrnn import GRU, unroll
    >>> cell = Attending(GRU(3 + 4, 5), Attention(query_size=5, memory_size=4), source=7)
    >>> params = cell.init(jax.random.key(0))
    >>> carry = cell.attend_to(params, jnp.ones((7, 2, 4)))  # 7 positions, 2 rows
    >>> carry, ys = unroll(cell, params, jnp.ones((6, 2, 3)), carry)
    >>> ys.shape, carry.reading.weights.shape
    ((6, 2, 9), (2, 1, 7))

    References: chapter 4.1, item 5.
    """

    cell: Cell
    attention: Attention
    source: int

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        if not isinstance(self.attention, Attention):
            raise TypeError(f"`attention` must be an Attention, got {self.attention!r}.")
        check_positive(source=self.source)
        check_output_size("cell", output_of(self.cell), **{"attention.query_size": self.attention.query_size})

    @property
    def output_size(self) -> int:
        """The size of y."""
        return self.attention.query_size + self.attention.context_size

    def init(self, key: Key) -> AttendingParams:
        """Draw the parameters of the cell and of the attention."""
        check_key(key=key)
        cell_key, attention_key = jax.random.split(key)
        return AttendingParams(self.cell.init(cell_key), self.attention.init(attention_key))

    def initial_carry(self, params: AttendingParams, batch_shape: tuple[int, ...] = ()) -> AttendingCarry:
        """Return the carry of the cell, with space for `source` positions, all masked."""
        memory = self.attention.no_memory(_dtype(params), self.source, batch_shape)
        carry = self.cell.initial_carry(params.cell, batch_shape)
        return AttendingCarry(carry, self.attention.no_reading(memory), memory)

    def carry_parts(self, carry: AttendingCarry) -> CarryParts:
        """State that the memory is constant, and so are the constants of the cell."""
        return CarryParts(constants=(carry_parts(self.cell, carry.cell).constants, carry.memory))

    def attend_to(
        self,
        params: AttendingParams,
        states: Float[Array, "source *batch memory"],
        carry: Carry | None = None,
        *,
        mask: Bool[Array, "source *batch"] | None = None,
    ) -> AttendingCarry:
        """Return the carry from which to decode a sequence of states.

        Args:
          params: as from `init`.
          states: h_j, the outputs of an encoder.
          carry: h⁽⁰⁾ of the cell; None for its initial carry.
          mask: True where a position exists.

        Raises:
          TypeError, ValueError: another number of positions than `source`; a carry that is not the cell's; and as
            `Attention.memory`.
        """
        states = as_array("states", states, "floating numbers")
        if states.shape[:1] != (self.source,):
            got = len(states) if states.ndim else "a number"
            raise ValueError(f"`states` must have source={self.source} positions, got {got}.")
        memory, batch = self.attention.memory(params.attention, states, mask=mask), states.shape[1:-1]
        if carry is None:
            start = self.cell.initial_carry(params.cell, batch)
        else:
            start = checked_carry(self.cell, params.cell, carry, batch)
        return AttendingCarry(start, self.attention.no_reading(memory), memory)

    def project(self, params: AttendingParams, xs: Inputs) -> Inputs:
        """Return x with its noise and Δt; the projection of the cell needs c⁽ᵗ⁻¹⁾ and runs in `step`."""
        x, dtype = plain_input(check_noisy(self, xs) if takes_noise(self.cell) else xs), accumulator(_dtype(params))
        if not isinstance(x, jax.Array | np.ndarray) or not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"`xs` must have a floating dtype, got {jax.tree.map(jnp.result_type, x)}. Turn token ids into vectors "
                "first: jax.nn.one_hot(ids, n), or rows of an embedding."
            )
        return with_x(xs, jnp.asarray(x, dtype))

    def step(self, params: AttendingParams, carry: AttendingCarry, z: Inputs) -> tuple[AttendingCarry, Array]:
        """Run the step of the cell, then the attention of its output."""
        both = with_x(z, jnp.concatenate([plain_input(z), carry.reading.context], axis=-1))
        with self._inside_cell():
            z = self.cell.project(params.cell, both)
        inner, h = self.cell.step(params.cell, carry.cell, z)
        with inside("attention", reads="the output of `cell`"):
            reading = self.attention.read(params.attention, h, carry.memory, carry.reading)
        return AttendingCarry(inner, reading, carry.memory), jnp.concatenate([h, reading.context], axis=-1)

    # The local rule: the cell's own, its projection's, and `compare_bwd`.

    def step_fwd(self, params: AttendingParams, carry: AttendingCarry, z: Inputs):
        """Run `step`; the residual refers to the memory in the carry instead of copying it."""
        both = with_x(z, jnp.concatenate([plain_input(z), carry.reading.context], axis=-1))
        with self._inside_cell():
            (inner, h), residual = whole_step_fwd(self.cell, params.cell, carry.cell, both)
        w, before = params.attention.query, carry.reading
        q = h if w is None else matmul(h, w)
        reading = self.attention.compare(params.attention.score, q, carry.memory, before.weights, before.coverage)
        saved = _Saved(residual, h, compared(self.attention, q, before, reading), carry.memory)
        return (AttendingCarry(inner, reading, carry.memory), jnp.concatenate([h, reading.context], axis=-1)), saved

    def step_bwd(self, params: AttendingParams, residual: "_Saved", dcarry: AttendingCarry, dy: Array):
        """Go back from c⁽ᵗ⁾ to h⁽ᵗ⁾ and the memory, then through the cell (chapter 2.2.2)."""
        size, w, memory = self.attention.query_size, params.attention.query, dcarry.memory
        dreading = dcarry.reading._replace(context=dcarry.reading.context + dy[..., size:])
        score = params.attention.score
        d = compare_bwd(self.attention, score, residual.compared, residual.memory, dreading)
        dh = dy[..., :size] + (d.q if w is None else matmul_transposed(d.q, w))
        dcell, dinputs, local = whole_step_bwd(self.cell, params.cell, residual.cell, dcarry.cell, dh)
        dboth = plain_input(dinputs)
        x_size = dboth.shape[-1] - self.attention.context_size
        memory = memory._replace(keys=memory.keys + d.keys, values=memory.values + d.values)
        dcarry = AttendingCarry(dcell, Reading(dboth[..., x_size:], d.before, d.coverage), memory)
        return dcarry, with_x(dinputs, dboth[..., :x_size]), _Local(local, d.q, d.score)

    def weight_bwd(self, params: AttendingParams, residuals: "_Saved", locals: "_Local") -> AttendingParams:
        """Sum the gradients of the cell, its projection, W and the score over time (chapter 2.2.3)."""
        both = residuals.cell.x
        inner = residuals.cell._replace(x=with_x(both, transposed_layout(plain_input(both))))
        dcell = whole_weight_bwd(self.cell, params.cell, inner, locals.cell)
        dattention = jax.tree.map(jnp.zeros_like, params.attention)  # keys and values are made outside of the step
        if params.attention.query is not None:
            dattention = dattention._replace(query=outer_sum(residuals.h, locals.q, params.attention.query))
        return AttendingParams(
            dcell, dattention._replace(score=jax.tree.map(row_sum, locals.score, params.attention.score))
        )

    def _inside_cell(self):
        """Name the cell in an error, and what it reads."""
        return inside(
            "cell", reads=f"x and the context of `attention`, of size context_size={self.attention.context_size}"
        )


class _Saved(NamedTuple):
    """The residual of a step."""

    cell: WholeResidual
    """The residual of the cell, with [x⁽ᵗ⁾; c⁽ᵗ⁻¹⁾] and the noise."""
    h: Array
    compared: Compared
    """W h⁽ᵗ⁾ and α⁽ᵗ⁾."""
    memory: Memory


class _Local(NamedTuple):
    """The terms that `weight_bwd` sums over time."""

    cell: WholeLocals
    """The cell's own."""
    q: Array
    score: ScoreParams
    """One gradient per row."""


def _dtype(params: AttendingParams):
    """Return the dtype of the parameters."""
    return jnp.result_type(*jax.tree.leaves(params.cell))
