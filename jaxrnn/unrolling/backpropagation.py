"""Back-propagation through time, written out: chapter, sections 2.2.1 to 2.2.3.

One reverse scan for the hidden gradients, which is all that has to wait for t + 1 (2.2.2):

    ∇_{h⁽ᵗ⁻¹⁾}L, ∇_{z⁽ᵗ⁾}L = step_bwd(∇_{h⁽ᵗ⁾}L, ∇_{y⁽ᵗ⁾}L)

and then the sums over t, as one contraction each (2.2.3):

    ∇_θ L = Σₜ (of what `step` reads) + Σₜ (of what `project` reads),      ∇_{x⁽ᵗ⁾}L = Uᵀ ∇_{z⁽ᵗ⁾}L

`jax.grad` of the scan comes to the same numbers, but carries a cotangent of the shape of the weights
through the loop and adds to it at every step.

The chapter's item 2.2.3.8 says that ∇_{x⁽ᵗ⁾}L is not needed; a layer below, an embedding or a saliency
map needs it, so it is here (XLA drops it where nobody reads it).

Correction: the recursion of 2.2.2 is ∇_{h⁽ᵗ⁾} = Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_{h⁽ᵗ⁺¹⁾} + Vᵀ ∇_{o⁽ᵗ⁾}, in this order.

References: Werbos 1990; Williams & Zipser 1995, §4.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_tree, check_unroll, leading_axes
from jaxrnn.core.local_rules import rules_of, storable, tangent
from jaxrnn.core.precision import turned
from jaxrnn.core.types import Carry, Cell, Inputs, LocalRules, Params
from jaxrnn.unrolling.scan import gated, prepare, select, unroll, zeros
from jaxrnn.unrolling.time_blocks import block_length, projection, scan_blocks, shared, turns, unchanged


class Gradients(NamedTuple):
    """What `bptt` gives back: ∇L with respect to everything that a run reads, and to every h⁽ᵗ⁾."""

    params: Params
    """∇_θ L, as `params`."""
    xs: Inputs
    """∇_{x⁽ᵗ⁾}L, as `xs`; exactly 0 on padding."""
    carry: Carry
    """∇_{h⁽⁰⁾}L, as the carry; exactly 0 behind a reset at t = 0."""
    carries: Carry
    """∇_{h⁽ᵗ⁾}L for every t: the carry's structure, with `[time]` in front."""


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
    """`unroll` whose gradient is the explicit reverse scan: the fast training path.

    Arguments, results and errors are those of `unroll`.  The cell's own local rules are used where it
    states them, `AutodiffRules` where it does not.  Reverse mode works to any order, and so do
    `jax.jvp` of the gradient and `jax.hessian`.  `jax.jvp` of the run itself is a TypeError, as with any
    `jax.custom_vjp`: for that take `unroll`.

    >>> from jaxrnn import LSTM, unroll
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 3))
    >>> explicit = jax.grad(lambda p: unroll_bptt(cell, p, xs)[1].sum())(params)
    >>> implicit = jax.grad(lambda p: unroll(cell, p, xs)[1].sum())(params)
    >>> bool(jnp.allclose(explicit.w, implicit.w, atol=1e-5))
    True

    References: chapter, section 2.2.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    if carry is None:
        carry = cell.initial_carry(params, leading_axes(xs)[1:])
    return _unroll_bptt(cell, params, xs, carry, mask, reset, reverse)


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
    """The explicit pass itself: from ∇ of the results of `unroll` to ∇ of its arguments.

    For a loss L(carry, ys) of `carry, ys = unroll(cell, params, xs, carry, ...)`,

        δ⁽ᵗ⁾ = ∇_{h⁽ᵗ⁾}L,     δ⁽ᵗ⁻¹⁾ = (∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ δ⁽ᵗ⁾ + (∂y⁽ᵗ⁻¹⁾/∂h⁽ᵗ⁻¹⁾)ᵀ ∇_{y⁽ᵗ⁻¹⁾}L

    Args:
      cell, params, xs, mask, reset, reverse: as for `unroll`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      dcarry: ∇L with respect to the final carry; None is 0.
      dys: ∇L with respect to `ys`, `[time, *batch, hidden]`, V ᵀ∇_o for a loss on a read-out.

    Returns:
      `Gradients(params, xs, carry, carries)`.  `carries[t]` is ∇L with respect to the carry that step t
      hands on.  Where the output *is* a part of the carry (y = h in every cell of the chapter), the share
      of y⁽ᵗ⁾ is in it, so that it is the chapter's ∇_{h⁽ᵗ⁾}L.  Each leaf is a node of its own: for an LSTM,
      `carries.c` is what step t + 1 asks of C⁽ᵗ⁾, without the way through h⁽ᵗ⁾.  If `carry` is None and the
      initial carry depends on `params`, its gradient is in `params` too.

    Raises:
      TypeError, ValueError: as `unroll`; and a `dcarry` or `dys` that is not shaped like the results.

    >>> from jaxrnn import Elman
    >>> cell = Elman(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> gradients = bptt(cell, params, xs, None, None, jnp.ones((7, 2, 5)))
    >>> gradients.params.w.shape, gradients.carries.shape
    ((5, 5), (7, 2, 5))

    References: chapter, sections 2.2.2 and 2.2.3; Werbos 1990.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    after, ys = jax.eval_shape(partial(unroll, cell), params, xs, carry, mask=mask, reset=reset)
    dcarry = zeros(after) if dcarry is None else dcarry
    check_tree("dcarry", dcarry, after, "`unroll`, as its carry,")
    check_tree("dys", dys, ys, "`unroll`, as its outputs,")
    dcarry, dys = (jax.tree.map(lambda d, x: jnp.asarray(d, x.dtype), *pair) for pair in ((dcarry, after), (dys, ys)))
    return _bptt(cell, params, xs, carry, dcarry, dys, mask, reset, reverse)


@partial(jax.jit, static_argnums=8)
def _bptt(cell, params, xs, carry, dcarry, dys, mask, reset, reverse):
    start = cell.initial_carry(params, leading_axes(xs)[1:]) if carry is None else carry
    _, saved = forward(cell, params, xs, start, mask, reset, reverse)
    return _every_gradient(cell, saved, dcarry, dys, carry is None, reverse)


class Pass(NamedTuple):
    """One way forward and one back."""

    loss: Array
    """L."""
    gradients: Gradients
    """As `bptt` gives them."""
    ys: PyTree
    """y⁽ᵗ⁾."""
    residuals: PyTree
    """What `step_bwd` read at every t: `[time, *batch, …]`."""


def one_pass(cell: LocalRules, params: Params, xs: Inputs, loss: Callable, carry, mask, reset) -> Pass:
    """L(carry, ys) and all its gradients by one way forward and one back; the arguments are checked before."""
    start = cell.initial_carry(params, leading_axes(xs)[1:]) if carry is None else carry
    results, saved = forward(cell, params, xs, start, mask, reset, False)
    value, cotangents = jax.value_and_grad(loss, argnums=(0, 1), allow_int=True)(*results)
    gradients = _every_gradient(cell, saved, *storable(results, cotangents), carry is None, False)
    return Pass(value, gradients, results[1], saved[-1].whole(_at_every_t(start, xs)))


@partial(jax.jit, static_argnums=(0, 4, 5))
def _every_gradient(cell, saved, dcarry, dys, initial, reverse) -> Gradients:
    """All of `Gradients`; `initial`: the run began with the cell's own carry, a function of θ."""
    params, xs, start, mask, *_ = saved
    gradients = backward(cell, saved, dcarry, dys, reverse, True)
    dparams, carries = gradients.params, gradients.carries
    if initial:
        _, initial_vjp = jax.vjp(lambda p: cell.initial_carry(p, leading_axes(xs)[1:]), params)
        dparams = jax.tree.map(jnp.add, dparams, initial_vjp(tangent(start, gradients.carry))[0])
    output = _output_leaf(cell, params, start, xs)
    if output is not None:
        dys = dys if mask is None else select(mask, dys, zeros(dys))
        leaves, structure = jax.tree.flatten(carries)
        leaves[output] = leaves[output] + jax.tree.leaves(dys)[0]
        carries = jax.tree.unflatten(structure, leaves)
    return gradients._replace(params=dparams, carries=carries)


@partial(jax.custom_vjp, nondiff_argnums=(0, 6))
def _unroll_bptt(cell, params, xs, carry, mask, reset, reverse):
    return forward(cell, params, xs, carry, mask, reset, reverse)[0]


def _unroll_bptt_fwd(cell, params, xs, carry, mask, reset, reverse):
    return forward(cell, params, xs, carry, mask, reset, reverse)


def _unroll_bptt_bwd(cell, reverse, saved, cotangents):
    dcarry, dys = cotangents
    gradients = backward(cell, saved, dcarry, dys, reverse)
    _, xs, carry, *_ = saved
    return gradients.params, tangent(xs, gradients.xs), tangent(carry, gradients.carry), None, None


_unroll_bptt.defvjp(_unroll_bptt_fwd, _unroll_bptt_bwd)


def forward(cell, params, xs, carry, mask, reset, reverse):
    """The results of `unroll`, and all that the backward pass needs."""
    results, residuals = _forward(cell, params, xs, carry, mask, reset, reverse)
    return results, (params, xs, carry, mask, reset, residuals)  # padding is no result: `jax_debug_nans` looks at those


@partial(jax.jit, static_argnums=(0, 6))
def _forward(cell, params, xs, carry, mask, reset, reverse):
    rules = rules_of(cell)
    clean_xs, start, initial, boundary = prepare(cell, params, xs, carry, mask, reset, reverse)
    read, project = projection(cell, params, clean_xs)

    def body(carry, at_t):
        x, mask, boundary = at_t
        (after, y), residual = gated(partial(rules.step_fwd, params), initial, carry, project(x), mask, boundary)
        return after, shared((y, residual), unchanged(carry, after))

    unroll = turns(leading_axes(xs)[0], start)
    carry_out, record = lax.scan(body, start, (read, mask, boundary), reverse=reverse, unroll=unroll)
    held = jax.tree.leaves(start)
    ys, residuals = record.whole(held)
    return (carry_out, ys), shared(residuals, held)


@partial(jax.jit, static_argnums=(0, 4, 5))
def backward(cell, saved, dcarry, dys, reverse, every_t=False):
    """The reverse scan (2.2.2), and the sums over t (2.2.3); `carries` only if `every_t`."""
    rules = rules_of(cell)
    params, xs, carry, mask, reset, residuals = saved
    xs, carry, initial, boundary = prepare(cell, params, xs, carry, mask, reset, reverse)
    held = jax.tree.leaves(carry)

    def step(state, at_t):
        dcarry, dinitial = state
        _, residual, dy, mask, boundary = at_t
        before = dcarry if mask is None else select(mask, dcarry, zeros(dcarry))
        dy = dy if mask is None else select(mask, dy, zeros(dy))
        before, dz, local = rules.step_bwd(params, residual.whole(held), before, dy)
        if mask is not None:
            before = select(mask, before, dcarry)
        if boundary is not None:
            dinitial = jax.tree.map(jnp.add, dinitial, select(boundary, before, zeros(before)))
            before = select(boundary, zeros(before), before)
        return (before, dinitial), (dcarry if every_t else None, shared((dz, local)))

    def contract(at_ts, given):
        xs, residuals, *_ = at_ts
        carries, (dzs, locals_) = given[0], given[1].whole()
        at_every_t = _at_every_t(carry, xs)
        zs, project_vjp = jax.vjp(cell.project, params, _turned(xs))
        dparams, dxs = project_vjp(tangent(zs, dzs))
        dparams = jax.tree.map(jnp.add, dparams, rules.weight_bwd(params, residuals.whole(at_every_t), locals_))
        return dparams, (storable(xs, dxs), carries)

    state = storable(carry, dcarry), None if initial is None else zeros(initial)
    over_t = xs, residuals, dys, mask, boundary
    time, length = leading_axes(xs)[0], block_length(leading_axes(xs)[0], jax.eval_shape(cell.project, params, xs))
    (dcarry, dinitial), dparams, (dxs, carries) = scan_blocks(
        step, contract, state, over_t, time, length, reverse=not reverse
    )
    if initial is not None:
        _, initial_vjp = jax.vjp(lambda p: cell.initial_carry(p, leading_axes(xs)[1:]), params)
        dparams = jax.tree.map(jnp.add, dparams, initial_vjp(tangent(initial, dinitial))[0])
    if mask is not None:
        dxs = select(mask, dxs, zeros(dxs))
    return Gradients(dparams, dxs, dcarry, carries)


def _turned(xs: Inputs) -> Inputs:
    """`turned` for every leaf that `project` may multiply by a weight, whose gradient is then the quicker product."""
    return jax.tree.map(lambda x: turned(x) if x.size and jnp.issubdtype(x.dtype, jnp.floating) else x, xs)


def _at_every_t(carry: Carry, xs: Inputs) -> list[Array]:
    """The leaves of a carry that no step changes, for all t."""
    return [jnp.broadcast_to(leaf, (leading_axes(xs)[0], *leaf.shape)) for leaf in jax.tree.leaves(carry)]


def _output_leaf(cell: Cell, params: Params, carry: Carry, xs: Inputs) -> int | None:
    """Which leaf of the new carry the output is (y = h), by what the step's program says; None if none."""
    zs = jax.eval_shape(cell.project, params, xs)
    z = jax.tree.map(lambda z: jax.ShapeDtypeStruct(z.shape[1:], z.dtype), zs)
    jaxpr = jax.make_jaxpr(cell.step)(params, carry, z).jaxpr
    *carries, output = jaxpr.outvars
    if len(carries) != len(jax.tree.leaves(carry)):
        return None
    while carries and all(output is not c for c in carries):
        inner = [e for e in jaxpr.eqns if output in e.outvars and "jaxpr" in e.params]
        if not inner or not all(c in inner[0].outvars for c in carries):
            return None
        # a jitted step: the same question, inside
        index = [inner[0].outvars.index(c) for c in carries], inner[0].outvars.index(output)
        jaxpr = getattr(inner[0].params["jaxpr"], "jaxpr", inner[0].params["jaxpr"])
        carries, output = [jaxpr.outvars[i] for i in index[0]], jaxpr.outvars[index[1]]
    return next((i for i, c in enumerate(carries) if c is output), None)
