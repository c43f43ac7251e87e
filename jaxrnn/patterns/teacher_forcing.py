"""Teacher forcing and scheduled sampling.

    free running        step t reads f(o⁽ᵗ⁻¹⁾), the network's own output             `unroll`
    teacher forcing     step t reads the target y⁽ᵗ⁻¹⁾                               `teacher_forced`
    scheduled sampling  step t reads y⁽ᵗ⁻¹⁾ with probability p⁽ᵗ⁻¹⁾, else f(o⁽ᵗ⁻¹⁾)   `scheduled_sampling`

If the output is the only path from one step to the next (`Jordan`), the targets cut that path: the steps are
independent, and `teacher_forced` computes all of them at once, without a loop.  Hidden → hidden edges (`Feedback`)
still need back-propagation through time.

Under a mask, y⁽ᵗ⁻¹⁾ is the last *valid* target before t, and after a reset it is the initial output, as a scan would
carry it.  The three ways agree on every mask, in values and gradients.

A cell with output feedback implements the three methods of `FeedbackCell`.

y → `targets`: token ids `[time, *batch]`, or vectors `[time, *batch, output]` in the space of the feedback: one-hot,
probabilities, bits or real outputs, of the size of what is fed back.

References: Williams & Zipser 1989, §4; Bengio, Vinyals, Jaitly & Shazeer 2015 (scheduled sampling);
Goodfellow et al. 2016, §10.2.1; chapter 2.3.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.arguments import as_numbers
from jaxrnn.core.checks import check_range, check_shape, check_unroll, leading_axes
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.masks import boundaries
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import select, zeros


@runtime_checkable
class FeedbackCell(Cell, Protocol):
    """A cell that reads its previous output, which teacher forcing can replace by the target."""

    @property
    def output_size(self) -> int:
        """The size of o."""
        ...

    def fed(self, carry: Carry) -> Array:
        """Return the feedback that the next step reads, `[*batch, output]`."""
        ...

    def with_fed(self, carry: Carry, fed: Array) -> Carry:
        """Return the carry with its feedback replaced by `fed`."""
        ...

    def run_forced(
        self, params: Params, xs: Inputs, feds: Array, carry: Carry, mask, reset, reverse: bool
    ) -> tuple[Carry, Array]:
        """Run all steps with step t reading `feds[t]`, and return `(carry, os)`.

        The feedback in the returned carry is unspecified.
        """
        ...


def teacher_forced(
    cell: FeedbackCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    targets: Shaped[Array, "..."],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, Float[Array, "..."]]:
    """Return o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾; in parallel over time for `Jordan`.

    Args:
      cell: `Jordan`, `Feedback`, or another `FeedbackCell`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      targets: y: token ids `[time, *batch]`, or vectors `[time, *batch, output]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      The carry, whose feedback is the last valid y, so that a sequence can be split anywhere; and the outputs, `[time,
      *batch, output]`, 0 where `mask` is False.

    Raises:
      TypeError: a cell without feedback; and as `unroll`.
      ValueError: targets of a wrong shape, a token out of range on a valid step (checked outside `jit`; under
        `jit` it makes the outputs NaN); and as `unroll`.

    >>> from jaxrnn.cells import Jordan
    >>> cell = Jordan(input_size=3, hidden_size=5, output_size=4)
    >>> params, xs, tokens = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> fed, os = teacher_forced(cell, params, xs, tokens)
    >>> os.shape, fed[0]
    ((7, 2, 4), Array([0., 1., 0., 0.], dtype=float32))

    References: chapter 2.3; Williams & Zipser 1989.
    """
    xs, targets, carry, mask, reset = _check(cell, params, xs, targets, carry, mask, reset, reverse)
    return _teacher_forced(cell, params, xs, targets, carry, mask, reset, reverse=reverse)


@partial(jax.jit, static_argnames="reverse")
def _teacher_forced(cell, params, xs, targets, carry, mask, reset, *, reverse):
    initial = cell.initial_carry(params, leading_axes(xs)[1:])
    carry = initial if carry is None else carry
    if mask is not None:
        xs = select(mask, xs, zeros(xs))
    feds, last = _previous(targets, cell.fed(carry), cell.fed(initial), mask, reset, reverse)
    after, os = cell.run_forced(params, xs, feds, carry, mask, reset, reverse)
    return cell.with_fed(after, last), os if mask is None else select(mask, os, zeros(os))


def scheduled_sampling(
    key: Key,
    cell: FeedbackCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    targets: Shaped[Array, "..."],
    probability: float | int | Float[Array, "..."],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, Float[Array, "..."]]:
    """Run a network that reads the target y⁽ᵗ⁾ with probability p and its own f(o⁽ᵗ⁾) otherwise.

    A coin is tossed for every step and row.  p = 1 is `teacher_forced` and p = 0 is `unroll`; training moves from 1
    toward 0.  Bengio et al. feed back a drawn symbol: that is `feedback="sample"`, whose noise is in `xs`.

    Args:
      key: the key of the coins.
      cell: `Jordan`, `Feedback`, or another `FeedbackCell`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      targets: y: token ids `[time, *batch]`, or vectors `[time, *batch, output]`.
      probability: p: a number, `[time]`, or `[time, *batch]`; p[t] applies to the feedback after step t.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      The carry and the outputs, as `unroll`.

    Raises:
      TypeError, ValueError: as `teacher_forced`; a probability of a wrong shape, or outside [0, 1] (checked
        outside `jit`).

    >>> from jaxrnn.cells import Jordan
    >>> cell = Jordan(input_size=3, hidden_size=5, output_size=4)
    >>> params, xs, tokens = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> _, os = scheduled_sampling(jax.random.key(1), cell, params, xs, tokens, jnp.linspace(1, 0, 7))
    >>> os.shape
    (7, 2, 4)

    References: Bengio, Vinyals, Jaitly & Shazeer 2015, §2.4.
    """
    xs, targets, carry, mask, reset = _check(cell, params, xs, targets, carry, mask, reset, reverse)
    leading = leading_axes(xs)
    coins = jax.random.bernoulli(key, _check_probability(probability, leading), leading)
    inputs = (xs, targets, coins[..., None])
    return unroll_bptt(_Scheduled(cell), params, inputs, carry, mask=mask, reset=reset, reverse=reverse)


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Scheduled:
    """A cell over inputs (x, y, coin) whose feedback after a step is y if the coin is heads.

    The feedback is replaced after the step, not before the next, so masks and resets act as in any run.
    """

    cell: FeedbackCell

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """Project x."""
        xs, targets, coins = xs
        return self.cell.project(params, xs), targets, coins

    def step(self, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Run the step of the cell, then apply the coin."""
        z, target, coin = z
        carry, o = self.cell.step(params, carry, z)
        return self._toss(carry, target, coin), o

    def step_fwd(self, params: Params, carry: Carry, z: Inputs):
        """Run `step`; the residual is that of the cell, and the coin."""
        z, target, coin = z
        (carry, o), residual = rules_of(self.cell).step_fwd(params, carry, z)
        return (self._toss(carry, target, coin), o), (residual, coin)

    def step_bwd(self, params: Params, residual, dcarry: Carry, dy):
        """Route the cotangent of the feedback to the target for heads, to the output for tails."""
        residual, coin = residual
        dfed = self.cell.fed(dcarry)
        dtarget = jnp.where(coin, dfed, 0)
        dcarry = self.cell.with_fed(dcarry, dfed - dtarget)
        dcarry, dz, local = rules_of(self.cell).step_bwd(params, residual, dcarry, dy)
        return dcarry, (dz, dtarget, zeros(coin)), local

    def weight_bwd(self, params: Params, residuals, locals) -> Params:
        """Compute the sums over t by the rule of the cell."""
        return rules_of(self.cell).weight_bwd(params, residuals[0], locals)

    def _toss(self, carry: Carry, target: Array, coin: Array) -> Carry:
        fed = self.cell.fed(carry)
        return self.cell.with_fed(carry, jnp.where(coin, target.astype(fed.dtype), fed))


def _previous(targets: Array, given: Array, initial: Array, mask, reset, reverse: bool) -> tuple[Array, Array]:
    """Return the feedback that each step reads, `[time, *batch, output]`, and the last one, `[*batch, output]`.

    A running maximum of step numbers replaces the loop: step t reads the newest of the given output (number 0) and the
    targets of valid steps before it (number s + 1 for step s), unless a reset is newer.
    """
    if reverse:
        targets, mask, reset = _backwards(targets, mask, reset)
    reads = jnp.concatenate([given[None], targets.astype(given.dtype)])
    if targets.shape[0] and (mask is not None or reset is not None):
        steps = jnp.arange(1, len(reads)).reshape(-1, *[1] * (targets.ndim - 2))
        valid = jnp.ones(targets.shape[:-1], bool) if mask is None else mask
        newest = lax.cummax(jnp.where(valid, steps, 0))
        newest = jnp.concatenate([jnp.zeros_like(newest[:1]), newest])
        reads = jnp.take_along_axis(reads, newest[..., None], axis=0)
        if reset is not None:
            boundary = lax.cummax(jnp.where(reset, steps, 0))
            boundary = jnp.concatenate([boundary, boundary[-1:]])
            reads = select(boundary > newest, jnp.broadcast_to(initial, reads.shape), reads)
    feds, last = reads[:-1], reads[-1]
    return feds[::-1] if reverse else feds, last


def _backwards(targets: Array, mask, reset):
    """Return targets, mask and reset in the order of a reversed run, which crosses the boundary at t after step t."""
    if reset is not None:
        reset = boundaries(reset, reverse=True)[::-1]
    return targets[::-1], None if mask is None else mask[::-1], reset


def _check(cell, params, xs, targets, carry, mask, reset, reverse):
    """Check the arguments and return them as arrays, with the targets as vectors that are 0 on padding."""
    if not isinstance(cell, FeedbackCell):
        raise TypeError(f"`cell` must feed its output back (Jordan, Feedback, a FeedbackCell), got {cell!r}.")
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    size = jax.eval_shape(lambda p: cell.fed(cell.initial_carry(p)), params).shape[-1]
    vectors = _vectors(targets, leading_axes(xs), size, mask)
    return xs, vectors if mask is None else select(mask, vectors, zeros(vectors)), carry, mask, reset


def _vectors(targets, leading: tuple[int, ...], size: int, mask) -> Array:
    """Turn token ids into one-hot vectors, NaN if out of range, and leave vectors as they are."""
    dtype = jnp.result_type(targets)
    if jnp.issubdtype(dtype, jnp.integer):
        check_shape("targets", targets, leading, "token ids [time, *batch], the leading axes of `xs`")
        check_range("targets", targets, 0, size - 1, mask)
        tokens = jnp.asarray(targets)[..., None]
        return jnp.where((tokens < 0) | (tokens >= size), jnp.nan, jax.nn.one_hot(tokens[..., 0], size))
    if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.bool_)):
        raise TypeError(f"`targets` must be integers (token ids), floating or boolean (vectors), got {dtype}.")
    check_shape("targets", targets, (*leading, size), "[time, *batch, output]; or token ids [time, *batch]")
    return jnp.asarray(targets, float if jnp.issubdtype(dtype, jnp.bool_) else dtype)


def _check_probability(probability, leading: tuple[int, ...]) -> Array:
    """Return p with axes `[time, *batch]`, each of its size or 1."""
    p = as_numbers("probability", probability)
    check_range("probability", p, 0, 1)
    if p.shape not in ((), leading[:1], leading):
        raise ValueError(
            f"`probability` must be a number, or have shape {leading[:1]} ([time]) or {leading} ([time, *batch]), "
            f"got shape {p.shape}."
        )
    return p.reshape(p.shape + (1,) * (len(leading) - p.ndim)) if p.ndim else p
