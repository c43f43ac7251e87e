"""The unrolled graph: running a cell over a sequence.

    (h⁽ᵗ⁾, y⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾; θ),        t = 1, …, τ

`unroll` is the reference: a `lax.scan`, so forward mode, reverse mode, higher orders and `vmap` work.  `unroll_python`
is the same as a readable loop, and the oracle of the tests.

Every member of the unroll family takes the same arguments:

* `mask[t]` False: the step does not happen.  The carry is held, `ys[t]` is 0, and `xs[t]`, even NaN, reaches no
  value and no gradient.  The mask applies to the input *and* to the result of the step: either alone would leak,
  because NaN times a zero cotangent is NaN.
* `reset[t]` True: a boundary lies between t − 1 and t.  A run that crosses it continues from the initial
  carry.  A forward run crosses it into step t, at t = 0 too, where it overrides the given carry; a reverse run crosses
  it into step t − 1.  It acts before the mask, so a boundary on a padded step counts.
* `reverse=True` runs t = τ, …, 1.  Padding holds the carry, so each row starts at its own last step.

x → `xs`, h⁽⁰⁾ → `carry`, y → `ys`, all time-major, `[time, *batch, features]`.

References: chapter 一 and 2.2; Goodfellow et al. 2016, §10.1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_time_is_known, check_unroll, leading_axes
from jaxrnn.core.masks import boundaries
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.machines.meshes import alike, scan, spread, where
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.time_blocks import projection, turns


def unroll(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run `cell` over a sequence with `lax.scan`.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`, any number of batch axes, none included; time may be 0.
      carry: h⁽⁰⁾, with the shapes of `cell.initial_carry(params, batch_shape)`, which is the default.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      The carry after the last step (the first, if `reverse`), and `ys`, in the order of `xs`:
      `[time, *batch, hidden]`, 0 where `mask` is False.

    Raises:
      TypeError: `cell` is not a cell; `xs` is not floating, or `mask` or `reset` not boolean.
      ValueError: `params` of another cell, or a wrong shape.

    >>> from jaxrnn import Elman
    >>> cell = Elman(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, ys = unroll(cell, params, jnp.ones((7, 2, 3)))
    >>> ys.shape, bool((ys[-1] == carry).all())
    ((7, 2, 5), True)

    References: chapter 1 and 2.2; `jax.lax.scan`.
    """
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    return spread(
        partial(_unroll, cell, reverse=reverse), partial(results_layout, arguments[0], arguments[1]), *arguments
    )


@partial(jax.jit, static_argnames="reverse")
def _unroll(cell, params, xs, carry, mask, reset, *, reverse):
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, reverse)
    read, project = projection(cell, params, xs)

    def step(carry, z):
        return cell.step(params, carry, z), None

    def body(carry, at_t):
        x, mask, reset = at_t
        (carry, y), _ = gated(step, initial, carry, project(x), mask, reset)
        return carry, y

    unroll = turns(leading_axes(xs)[0], carry)
    return scan(body, carry, (read, mask, reset), reverse=reverse, unroll=unroll)


def unroll_python(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell over a sequence in a Python loop: the definition of `unroll`.

    It is slow, and its compile time under `jit` grows with the number of steps; it is for reading and for comparison.

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

    >>> from jaxrnn import GRU
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 3))
    >>> bool(jnp.allclose(unroll_python(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: chapter 1.
    """
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_time_is_known("unroll_python", leading_axes(arguments[1])[0])
    return spread(
        partial(_unroll_python, cell, reverse), partial(results_layout, arguments[0], arguments[1]), *arguments
    )


def _unroll_python(cell, reverse, params, xs, carry, mask, reset):
    time = leading_axes(xs)[0]
    initial = initial_carry(cell, params, xs)
    carry = initial if carry is None else carry
    crossed = None if reset is None else boundaries(reset, reverse=reverse)
    ys: list[Any] = [None] * time
    for t in reversed(range(time)) if reverse else range(time):
        if crossed is not None:
            carry = select(crossed[t], initial, carry)
        valid = None if mask is None else mask[t]
        x = readable(valid, jax.tree.map(lambda x, t=t: x[t], xs))
        after, y = cell.step(params, carry, cell.project(params, x))
        carry = after if valid is None else select(valid, after, carry)
        ys[t] = masked(valid, y)
    if time == 0:
        _, y = jax.eval_shape(
            lambda x: cell.step(params, initial, cell.project(params, x)),
            jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs),
        )
        return carry, jax.tree.map(lambda y: jnp.zeros((0, *y.shape), y.dtype), y)
    return carry, jax.tree.map(lambda *y: jnp.stack(y), *ys)


def initial_carry(cell: Cell, params: Params, xs: Inputs) -> Carry:
    """Return the cell's own h⁽⁰⁾ for the rows of `xs`, on the devices of these rows."""
    return alike(cell.initial_carry(params, leading_axes(xs)[1:]), params, xs)[0]


def prepare(cell: Cell, params: Params, xs: Inputs, carry, mask, reset, reverse: bool):
    """Prepare a run, once before the loop, and return `(xs, carry, initial, reset)`.

    Padding in `xs` becomes `readable`; the carry gets its default; `initial` is the carry after a reset (None without
    resets); `reset` becomes "reset before this step in the order of the run".
    """
    xs = readable(mask, xs)
    initial = initial_carry(cell, params, xs) if carry is None or reset is not None else None
    carry = initial if carry is None else carry
    if reset is None:
        initial = None
    else:
        reset = boundaries(reset, reverse=reverse)
    return xs, carry, initial, reset


def gated(step: Callable, initial: Carry | None, carry: Carry, z: Inputs, mask, reset):
    """Run one step under its mask and reset; `step(carry, z) -> ((carry, y), residual)`."""
    if reset is not None:
        carry = select(reset, initial, carry)
    (after, y), residual = step(carry, z)
    after = after if mask is None else select(mask, after, carry)
    return (after, masked(mask, y)), residual


def select(condition: Array, if_true: PyTree, if_false: PyTree) -> PyTree:
    """Apply `where` leaf by leaf; `condition` covers the leading axes and all features of a leaf.

    A leaf that is the same array on both sides stays that array, so a loop can see that no step changes it.
    """
    return jax.tree.map(lambda a, b: a if a is b else where(condition, a, b), if_true, if_false)


def masked(mask: Array | None, tree: PyTree) -> PyTree:
    """Return the tree with 0 where `mask` is False; None masks nothing."""
    return tree if mask is None else select(mask, tree, zeros(tree))


def readable(mask: Array | None, xs: PyTree) -> PyTree:
    """Return the inputs with ½ (0 for integers) where `mask` is False.

    Unlike 0, ½ is in the domain of nearly every function, such as the norms and logarithms of a user's cell.  A step
    that is defined at ½ has finite derivatives on padding, so their product with 0 is 0.
    """

    def leaf(x):
        return jnp.full_like(x, 0.5 if jnp.issubdtype(x.dtype, jnp.inexact) else 0)

    return xs if mask is None else select(mask, xs, jax.tree.map(leaf, xs))


def zeros(tree: PyTree) -> PyTree:
    """Return a tree of zeros like every leaf."""
    return jax.tree.map(jnp.zeros_like, tree)
