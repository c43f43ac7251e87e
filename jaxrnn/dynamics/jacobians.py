"""Jacobians of steps, and hidden gradients.

    J⁽ᵗ⁾ = ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾             diag(1 − (h⁽ᵗ⁾)²) W  in the plain network
    ∂h⁽ᵗ⁾/∂h⁽ˢ⁾ = J⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ ⋯ J⁽ˢ⁺¹⁾
    ∇_{h⁽ˢ⁾}L = (∂h⁽ᵗ⁾/∂h⁽ˢ⁾)ᵀ ∇_{h⁽ᵗ⁾}L     for a loss at t alone

for any cell.  h is the whole carry as one vector (`trajectory.as_vectors`); J[i, j] = ∂hᵢ⁽ᵗ⁾/∂hⱼ⁽ᵗ⁻¹⁾ acts on columns,
as in the chapter, so in the linear network it is W, the transpose of `params.w`.  A masked step has J = I, and
across a reset J = 0.

Correction to the chapter: its ∇_{h⁽⁰⁾} = Wᵗ ∇_{h⁽ᵗ⁾} lacks a transpose, (Wᵀ)ᵗ.

References: Bengio, Simard & Frasconi 1994, §3; Pascanu, Mikolov & Bengio 2013, §2; chapter 3.1; Goodfellow et al.
2016, §10.7.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_range, check_square, check_unroll, leading_axes
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.programs import arguments_read
from jaxrnn.core.pytrees import unravel_floating
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.dynamics.gradient_pass import one_pass
from jaxrnn.dynamics.states import as_vectors, trajectory


def step_jacobians(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Return ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ for every t.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      J, `[time, *batch, n, n]`, n the number of floating entries of the carry.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> from jaxrnn import Elman
    >>> cell = Elman(3, 5)
    >>> step_jacobians(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))).shape
    (7, 2, 5, 5)

    References: chapter 3.1, items 3 and 4.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset)
    check_differentiable(cell, params, xs)
    return _step_jacobians(cell, params, xs, carry, mask, reset)


@partial(jax.jit, static_argnums=0)
def _step_jacobians(cell, params, xs, carry, mask, reset):
    run = trajectory(cell, params, xs, carry, mask=mask, reset=reset)
    valid = jnp.ones(leading_axes(xs), bool) if mask is None else mask
    return jacobians_along(cell, params, run.before, run.zs, valid, reset)


def jacobians_along(cell: Cell, params: Params, before: Carry, zs: Inputs, valid, reset) -> Float[Array, "..."]:
    """Return ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ at h⁽ᵗ⁻¹⁾ = `before`, all t at once: I where `valid` is False, 0 across a reset."""
    jacobian = partial(_jacobian, cell, params)
    for _ in valid.shape:
        jacobian = jax.vmap(jacobian)
    js = jacobian(before, zs)
    js = jnp.where(valid[..., None, None], js, jnp.eye(js.shape[-1], dtype=js.dtype))
    return js if reset is None else jnp.where(reset[..., None, None], 0, js)


def _jacobian(cell: Cell, params: Params, carry: Carry, z) -> Float[Array, "n n"]:
    return jax.jacfwd(partial(next_state, cell, params, carry, z))(as_vectors(carry, 0))


def next_state(cell: Cell, params: Params, like: Carry, z, h: Float[Array, " n"]) -> Float[Array, " n"]:
    """Map h⁽ᵗ⁻¹⁾ to h⁽ᵗ⁾ as vectors without batch axes; leaves that are not floating come from `like`."""
    return as_vectors(cell.step(params, unravel_floating(h, like), z)[0], 0)


def jacobian_product(jacobians: Float[Array, "time *batch n n"]) -> Float[Array, "*batch n n"]:
    """Return ∂h⁽ᵗ⁾/∂h⁽ˢ⁾ = J⁽ᵗ⁾ ⋯ J⁽ˢ⁺¹⁾ over the given steps, the latest on the left.

    Args:
      jacobians: `[time, *batch, n, n]`, as from `step_jacobians`.

    Returns:
      `[*batch, n, n]`; the identity for no steps.

    Raises:
      ValueError: the matrices are not square, or lack a time axis.

    >>> from jaxrnn import Elman
    >>> cell = Elman(3, 5)
    >>> js = step_jacobians(cell, cell.init(jax.random.key(0)), jnp.ones((7, 3)))
    >>> jacobian_product(js[2:6]).shape  # from the state before step 2 to the one after step 5
    (5, 5)
    """
    check_square("jacobians", jacobians)
    if jnp.ndim(jacobians) < 3:
        raise ValueError(f"`jacobians` must have shape [time, *batch, n, n], got {jnp.shape(jacobians)}.")
    eye = jnp.broadcast_to(jnp.eye(jacobians.shape[-1], dtype=jacobians.dtype), jacobians.shape[1:])
    return jax.lax.scan(lambda product, j: (j @ product, None), eye, jacobians)[0]


def hidden_gradients(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Return ∇_{h⁽ᵗ⁾}L for every t, as vectors; their norms show how the gradient flows.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      loss: L(carry, ys), a scalar function of the results of `unroll`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      `[time, *batch, n]`, from the `carries` of `bptt`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> cell, xs = Elman(1, 2, "identity"), jnp.zeros((4, 1))
    >>> params = ElmanParams(jnp.zeros((1, 2)), jnp.eye(2) / 2, jnp.zeros(2))
    >>> hidden_gradients(cell, params, xs, lambda carry, ys: carry[0])[:, 0].tolist()
    [0.125, 0.25, 0.5, 1.0]

    References: chapter 2.2.2 and 3.1.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset)
    carries = one_pass(rules_of(cell), params, xs, loss, carry, mask, reset).gradients.carries
    return as_vectors(carries, len(leading_axes(xs)))


def memory_length(norms: Float[Array, "time *batch"], fraction: float = 0.3679) -> Float[Array, "*batch"]:
    """Return the number of steps back that a gradient reaches before it falls below a fraction of its final norm.

    Args:
      norms: ‖∇_{h⁽ᵗ⁾}L‖ for a loss at the last step only, `[time, *batch]`.
      fraction: from 0 to 1; 1/e by default.

    Returns:
      The smallest n with ‖∇_{h⁽τ⁻ⁿ⁾}L‖ < fraction · ‖∇_{h⁽τ⁾}L‖; the number of steps if there is none.

    Raises:
      ValueError: a fraction below 0 or above 1, where the value is known.

    >>> float(memory_length(0.9 ** jnp.arange(50.0)[::-1]))  # 0.9ⁿ < 1/e
    10.0
    """
    check_range("fraction", fraction, 0, 1)
    short = norms[::-1] < fraction * norms[-1]
    return jnp.where(jnp.any(short, axis=0), jnp.argmax(short, axis=0), norms.shape[0]).astype(norms.dtype)


def check_differentiable(cell: Cell, params: Params, xs: PyTree) -> None:
    """Raise TypeError if h⁽ᵗ⁾ depends on h⁽ᵗ⁻¹⁾ but has no derivative.

    Sign, rounding, argmax and comparisons have none, and neither has a carry without floating arrays.
    """
    carry = jax.eval_shape(cell.initial_carry, params)
    z = jax.eval_shape(lambda x: jax.tree.map(lambda a: a[(0,) * (a.ndim - 1)], x), jax.eval_shape(lambda: xs))
    z = jax.eval_shape(cell.project, params, z)

    def step(h, params, carry, z):
        return next_state(cell, params, carry, z, h)

    def back(d, h, *rest):
        return jax.vjp(lambda h: step(h, *rest), h)[1](d)

    h = jax.eval_shape(lambda c: as_vectors(c, 0), carry)
    if arguments_read(step, h, params, carry, z)[0] and not arguments_read(back, h, h, params, carry, z)[0]:
        raise TypeError(
            f"`cell` must have a derivative from h⁽ᵗ⁻¹⁾ to h⁽ᵗ⁾; in {cell} it is 0 everywhere, because the state "
            "passes through a sign, a rounding, a comparison or an argmax. Use a smooth activation, or probabilities "
            "instead of symbols."
        )
