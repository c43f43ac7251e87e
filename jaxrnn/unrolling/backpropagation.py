"""Back-propagation through time, written out: chapter 2.2.1 to 2.2.3.

A reverse scan computes the hidden gradients, the only part that has to wait for t + 1 (2.2.2):

    ∇_{h⁽ᵗ⁻¹⁾}L, ∇_{z⁽ᵗ⁾}L = step_bwd(∇_{h⁽ᵗ⁾}L, ∇_{y⁽ᵗ⁾}L)

One contraction each then computes the sums over t (2.2.3):

    ∇_θ L = Σₜ (of what `step` reads) + Σₜ (of what `project` reads),      ∇_{x⁽ᵗ⁾}L = Uᵀ ∇_{z⁽ᵗ⁾}L

`jax.grad` of the scan computes the same numbers, but carries a cotangent of the shape of the weights through the loop
and adds to it at every step.  `jaxrnn.unrolling.backpropagation_loop` is the same pass as a readable Python loop.

The chapter's 2.2.3.8 says that ∇_{x⁽ᵗ⁾}L is not needed.  A layer below needs it; XLA removes it if it is unused.

Correction: the recursion of 2.2.2 is ∇_{h⁽ᵗ⁾} = Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_{h⁽ᵗ⁺¹⁾} + Vᵀ ∇_{o⁽ᵗ⁾}, in this order.

References: Werbos 1990; Williams & Zipser 1995, §4; Goodfellow et al. 2016, §10.2.2.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.carry_facts import with_output
from jaxrnn.core.checks import cast_like, check_tree, check_unroll, leading_axes
from jaxrnn.core.local_rules import as_cotangent, pullback, reverse_mode_alone, rules_of, storable
from jaxrnn.core.precision import transposed_layout
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.machines.meshes import spread
from jaxrnn.unrolling.forward_record import Saved, constants_of, forward
from jaxrnn.unrolling.result_layouts import gradients_layout, results_layout
from jaxrnn.unrolling.scan import initial_carry, masked, prepare, select, unroll, zeros
from jaxrnn.unrolling.time_blocks import block_length, scan_blocks, shared


@partial(jax.jit, static_argnums=(0, 4, 5, 6))
def backward(cell, saved: Saved, dcarry, dys, reverse, every_t=False, from_initial=False) -> "Gradients":
    """Run the recursion of 2.2.2 over the steps of a run in reverse, and compute the sums over t of 2.2.3.

    Args:
      cell: the cell that was passed to `forward`.
      saved: the record that `forward` returned.
      dcarry: ∇L with respect to the final carry.
      dys: ∇L with respect to `ys`.
      reverse: as for the run.
      every_t: True to return `carries`; otherwise they are None.
      from_initial: True if the run started from the initial carry of the cell, a function of θ.
    """
    rules, params, constants = rules_of(cell), saved.params, constants_of(cell, saved.carry, saved.reset)
    xs, carry, initial, boundary = prepare(cell, params, saved.xs, saved.carry, saved.mask, saved.reset, reverse)

    def recursion(state, at_t):  # 2.2.2: ∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾ → ∇h⁽ᵗ⁻¹⁾, ∇z⁽ᵗ⁾
        dh, dinitial = state
        _, residual, dy, mask, reset = at_t
        dy = masked(mask, dy)
        here = with_output(cell, dh, dy) if every_t else None
        before, dz, local = rules.step_bwd(params, residual.whole(constants), masked(mask, dh), dy)
        if mask is not None:  # a masked step passes ∇h on
            before = select(mask, before, dh)
        if reset is not None:  # a reset sends it to the initial carry, and nothing further back
            dinitial = jax.tree.map(jnp.add, dinitial, select(reset, before, zeros(before)))
            before = select(reset, zeros(before), before)
        return (before, dinitial), (here, shared((dz, local)))

    def sums(over_t, found):  # 2.2.3: ∇z⁽ᵗ⁾ → ∇θ, ∇x⁽ᵗ⁾
        xs, residuals, *_ = over_t
        carries, (dzs, locals_) = found[0], found[1].whole()
        _, back = pullback(cell.project, params, jax.tree.map(transposed_layout, xs))
        from_project, dxs = back(dzs)
        from_step = rules.weight_bwd(params, saved._replace(xs=xs, residuals=residuals).whole(cell), locals_)
        return jax.tree.map(jnp.add, from_project, from_step), (dxs, carries)

    state = storable(carry, dcarry), None if initial is None else zeros(initial)
    over_t = xs, saved.residuals, dys, saved.mask, boundary
    time = leading_axes(xs)[0]
    length = block_length(time, jax.eval_shape(cell.project, params, xs))
    (dcarry, dinitial), dparams, (dxs, carries) = scan_blocks(
        recursion, sums, state, over_t, time, length, reverse=not reverse
    )
    for dstart in ([] if initial is None else [dinitial]) + ([dcarry] if from_initial else []):
        _, back = pullback(lambda p: initial_carry(cell, p, xs), params)
        dparams = jax.tree.map(jnp.add, dparams, back(dstart)[0])
    return Gradients(dparams, masked(saved.mask, dxs), dcarry, carries)


class Gradients(NamedTuple):
    """The result of `bptt`: ∇L with respect to the arguments of a run, and to every h⁽ᵗ⁾.

    >>> Gradients._fields
    ('params', 'xs', 'carry', 'carries')
    """

    params: Params
    """∇_θ L, as `params`."""
    xs: Inputs
    """∇_{x⁽ᵗ⁾}L, as `xs`; exactly 0 on padding."""
    carry: Carry
    """∇_{h⁽⁰⁾}L, as the carry; exactly 0 before a reset at t = 0."""
    carries: Carry
    """∇_{h⁽ᵗ⁾}L for every t: the structure of the carry, with a leading axis `[time]`."""


def bptt(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None,
    dcarry: Carry | None,
    dys: PyTree[Shaped[Array, "..."]],
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> Gradients:
    """Run the explicit backward pass: map the gradients of the results of `unroll` to those of its arguments.

    For a loss L(carry, ys) of `carry, ys = unroll(cell, params, xs, carry, ...)`,

        δ⁽ᵗ⁾ = ∇_{h⁽ᵗ⁾}L,     δ⁽ᵗ⁻¹⁾ = (∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ δ⁽ᵗ⁾ + (∂y⁽ᵗ⁻¹⁾/∂h⁽ᵗ⁻¹⁾)ᵀ ∇_{y⁽ᵗ⁻¹⁾}L

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      dcarry: ∇L with respect to the final carry; None is 0.
      dys: ∇L with respect to `ys`, `[time, *batch, hidden]`, Vᵀ ∇_o for a loss on a read-out.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: True if the run went from the last step to the first.

    Returns:
      `Gradients(params, xs, carry, carries)`.  `carries[t]` is ∇L with respect to the carry after
      step t.  If the cell states that its output is a part of the carry (`carry_parts`; y = h in every cell of the
      chapter), it includes the gradient of y⁽ᵗ⁾ and is the chapter's ∇_{h⁽ᵗ⁾}L.  Each leaf is a separate node: for an
      LSTM, `carries.c` is the gradient that C⁽ᵗ⁾ receives from step t + 1, without the path through h⁽ᵗ⁾.  If `carry`
      is None and the initial carry depends on `params`, `params` includes its gradient.

    Raises:
      TypeError, ValueError: as `unroll`; and a `dcarry` or `dys` that is not shaped like the results.

    >>> from jaxrnn import Elman
    >>> cell = Elman(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> gradients = bptt(cell, params, xs, None, None, jnp.ones((7, 2, 5)))
    >>> gradients.params.w.shape, gradients.carries.shape
    ((5, 5), (7, 2, 5))

    References: chapter 2.2.2 and 2.2.3; Werbos 1990.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    dcarry, dys = checked_cotangents(cell, params, xs, carry, dcarry, dys)
    layout = partial(gradients_layout, params, xs, carry)
    return spread(partial(_bptt, cell, reverse), layout, params, xs, carry, dcarry, dys, mask, reset)


def checked_cotangents(cell: Cell, params: Params, xs: Inputs, carry: Carry | None, dcarry: Carry | None, dys):
    """Return `(dcarry, dys)` in the dtypes of the results of `unroll`, `dcarry` with its default.

    Raises:
      TypeError: one that is complex where the result is real.
      ValueError: one that is not shaped like the results.
    """
    after, ys = jax.eval_shape(partial(unroll, cell), params, xs, carry)
    dcarry = zeros(after) if dcarry is None else dcarry
    check_tree("dcarry", dcarry, after, "`unroll`, as its carry,")
    check_tree("dys", dys, ys, "`unroll`, as its outputs,")
    return cast_like("dcarry", storable(after, dcarry), after), cast_like("dys", storable(ys, dys), ys)


@partial(jax.jit, static_argnums=(0, 1))
def _bptt(cell, reverse, params, xs, carry, dcarry, dys, mask, reset):
    start = initial_carry(cell, params, xs) if carry is None else carry
    _, saved = forward(cell, params, xs, start, mask, reset, reverse)
    return backward(cell, saved, dcarry, dys, reverse, every_t=True, from_initial=carry is None)


def unroll_bptt(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell over a sequence with the explicit reverse scan as the gradient: the fast way to train.

    It uses the cell's own local rules if there are any, and `AutodiffRules` otherwise.  Reverse mode works
    to any order, and so do `jax.jvp` of the gradient and `jax.hessian`.  The run itself has no forward mode: for
    `jax.jvp` use `unroll`.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.
      TypeError: forward mode.  The message is JAX's own, about a `custom_vjp`, if `jax.jvp` is outside of `jax.jit`.

    >>> from jaxrnn import LSTM, unroll
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 3))
    >>> explicit = jax.grad(lambda p: unroll_bptt(cell, p, xs)[1].sum())(params)
    >>> implicit = jax.grad(lambda p: unroll(cell, p, xs)[1].sum())(params)
    >>> bool(jnp.allclose(explicit.w, implicit.w, atol=1e-5))
    True

    References: chapter 2.2.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)

    def run(params, xs, carry, mask, reset):
        carry = initial_carry(cell, params, xs) if carry is None else carry
        return _unroll_bptt(cell, params, xs, carry, mask, reset, reverse)

    with reverse_mode_alone("unroll_bptt", instead="unroll"):
        return spread(run, partial(results_layout, params, xs), params, xs, carry, mask, reset)


@partial(jax.custom_vjp, nondiff_argnums=(0, 6))
def _unroll_bptt(cell, params, xs, carry, mask, reset, reverse):
    return forward(cell, params, xs, carry, mask, reset, reverse)[0]


def _unroll_bptt_bwd(cell, reverse, saved, cotangents):
    gradients = backward(cell, saved, *cotangents, reverse)
    return *as_cotangent(saved[:3], gradients[:3]), None, None


_unroll_bptt.defvjp(forward, _unroll_bptt_bwd)
