"""Back-propagation through time as a Python loop: the page to read beside chapter sections 2.2.2 and 2.2.3.

    forwards, t = 1 … τ:      h⁽ᵗ⁾, y⁽ᵗ⁾ = step(h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾),     z⁽ᵗ⁾ = project(x⁽ᵗ⁾)
    backwards, t = τ … 1:     ∇_{h⁽ᵗ⁻¹⁾}L, ∇_{z⁽ᵗ⁾}L from ∇_{h⁽ᵗ⁾}L, ∇_{y⁽ᵗ⁾}L                      2.2.2
                              ∇_θ L and ∇_{x⁽ᵗ⁾}L from ∇_{z⁽ᵗ⁾}L, added up over t                   2.2.3

A masked step passes ∇_{h⁽ᵗ⁾}L on unchanged.  A reset before step t sends ∇_{h⁽ᵗ⁻¹⁾}L to the initial carry and nothing
further back.  `jaxrnn.bptt` is the same pass as a scan, and is held to this one by the tests.

References: Werbos 1990; Goodfellow et al. 2016, §10.2.2.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.carry_facts import with_output
from jaxrnn.core.checks import check_time_is_known, check_unroll, leading_axes
from jaxrnn.core.local_rules import pullback, rules_of
from jaxrnn.core.masks import boundaries
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.unrolling.backpropagation import Gradients, checked_cotangents
from jaxrnn.unrolling.scan import masked, readable, select, zeros


def bptt_python(
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
    """Run the explicit backward pass as a Python loop: the definition of `bptt`.

    It is slow; it serves for reading and for comparison.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      dcarry: ∇L with respect to the final carry; None is 0.
      dys: ∇L with respect to `ys`, `[time, *batch, hidden]`.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: True if the run went from the last step to the first.

    Returns:
      As `bptt`.

    Raises:
      TypeError, ValueError: as `bptt`.

    >>> from jaxrnn import GRU, bptt
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs, dys = cell.init(jax.random.key(0)), jnp.ones((4, 3)), jnp.ones((4, 5))
    >>> loop, scan = (run(cell, params, xs, None, None, dys) for run in (bptt_python, bptt))
    >>> bool(jnp.allclose(loop.params.w, scan.params.w, atol=1e-5))
    True

    References: chapter 2.2.2 and 2.2.3; Werbos 1990.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    dcarry, dys = checked_cotangents(cell, params, xs, carry, dcarry, dys)
    steps = leading_axes(xs)
    check_time_is_known("bptt_python", steps[0])
    mask = jnp.ones(steps, bool) if mask is None else mask
    crossed = jnp.zeros(steps, bool) if reset is None else boundaries(reset, reverse=reverse)
    return _bptt_python(cell, params, xs, carry, dcarry, dys, mask, crossed, reverse)


def _bptt_python(cell, params, xs, carry, dh, dys, mask, crossed, reverse) -> Gradients:
    rules, (time, *rows) = rules_of(cell), mask.shape
    initial, to_params = pullback(lambda p: cell.initial_carry(p, tuple(rows)), params)
    order = list(reversed(range(time)) if reverse else range(time))

    h, record = initial if carry is None else carry, {}
    for t in order:  # forwards
        h = select(crossed[t], initial, h)
        z, to_inputs = pullback(cell.project, params, readable(mask[t], at(xs, t)))
        (after, _), residual = rules.step_fwd(params, h, z)
        h = select(mask[t], after, h)
        record[t] = residual, to_inputs

    dparams, dxs, dinitial = zeros(params), zeros(xs), zeros(initial)
    dhs = jax.tree.map(lambda a: jnp.zeros((time, *a.shape), a.dtype), dh)
    for t in reversed(order):  # backwards
        residual, to_inputs = record[t]
        dy = masked(mask[t], at(dys, t))
        dhs = put(dhs, t, with_output(cell, dh, dy))
        before, dz, local = rules.step_bwd(params, residual, masked(mask[t], dh), dy)  # 2.2.2
        from_project, dx = to_inputs(dz)  # 2.2.3
        from_step = rules.weight_bwd(params, *jax.tree.map(lambda a: a[None], (residual, local)))
        dparams = add(dparams, from_project, from_step)
        dxs = put(dxs, t, masked(mask[t], dx))
        before = select(mask[t], before, dh)
        dinitial = add(dinitial, masked(crossed[t], before))
        dh = masked(~crossed[t], before)

    dinitial = add(dinitial, dh) if carry is None else dinitial
    return Gradients(add(dparams, *to_params(dinitial)), dxs, dh, dhs)


def at(tree: PyTree, t: int) -> PyTree:
    """Return one step of arrays `[time, ...]`.

    >>> at((jnp.arange(3), jnp.ones((3, 2))), 1)
    (Array(1, dtype=int32), Array([1., 1.], dtype=float32))
    """
    return jax.tree.map(lambda a: a[t], tree)


def put(tree: PyTree, t: int, step: PyTree) -> PyTree:
    """Return arrays `[time, ...]` with `step` as their step t.

    >>> put(jnp.zeros(3), 1, jnp.ones(())).tolist()
    [0.0, 1.0, 0.0]
    """
    return jax.tree.map(lambda a, new: a.at[t].set(new), tree, step)


def add(*trees: PyTree) -> PyTree:
    """Return the sum of trees, leaf by leaf.

    >>> add((1, 2), (3, 4), (5, 6))
    (9, 12)
    """
    return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *trees)
