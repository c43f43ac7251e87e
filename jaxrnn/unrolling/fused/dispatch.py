"""The unroll of LSTM and GRU by fused kernels on a GPU: chapter 2.2.2, 7.1 and 7.2.

On a GPU a scan launches several kernels per step and fetches the weights from memory for every step.  Here all steps
of a block of rows are one launch per direction (`jaxrnn.unrolling.fused.kernels`), with the recurrent weights on chip:

    zs = U xs + b          one product                              XLA
    h⁽ᵗ⁾, t = 1, …, τ      one launch                               the forward kernel
    ∇z⁽ᵗ⁾, t = τ, …, 1     one launch                               the backward kernel     (2.2.2)
    ∇_U, ∇_W, ∇_b, ∇xs     one product each over all t and rows     XLA, the cell's `weight_bwd`     (2.2.3)

The kernels are Pallas kernels for its Triton backend.  `jaxrnn.unrolling.fused.eligibility` says which runs they
support.  All other runs, including those on other platforms, use `unroll_bptt`.  Both record the same values for the
backward pass, so the choice is made for each pass separately, when the platform is known.

No GPU has run these kernels, and their speed has not been measured.  The laws test them in Pallas' interpreter, and a
test runs the program that a GPU would get, in Triton's language, op by op in NumPy.  Nothing uses `unroll_fused` by
default.
From JAX 0.11 on, lowering for a GPU warns that Pallas' Triton backend is deprecated; the kernels still compile there
(0.12).  A JAX without that backend gets `unroll_bptt`, and a warning if it has a GPU.

References: Diamos et al. 2016, "Persistent RNNs"; Pöppel et al. 2024, "FlashRNN"; Appleyard et al. 2016.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.local_rules import reverse_mode_alone
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.unrolling.backpropagation import Gradients, backward, unroll_bptt
from jaxrnn.unrolling.forward_record import Saved, forward
from jaxrnn.unrolling.fused import kernels
from jaxrnn.unrolling.fused.eligibility import blocking_of, fits, gates_of, has_kernels, shared_memory
from jaxrnn.unrolling.fused.kernels import Run, Switches
from jaxrnn.unrolling.scan import prepare, select, zeros
from jaxrnn.unrolling.time_blocks import shared


def unroll_fused(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run an LSTM or a GRU by one kernel per direction on a CUDA GPU, and by `unroll_bptt` elsewhere.

    Unlike with `unroll_bptt`, reverse mode works only once.  The same call works on every platform.  The kernels
    are for `LSTM` and `GRU`, each in all its forms, with parameters of 32 or 16 bits, up to 64 or 128 hidden units
    (`jaxrnn.unrolling.fused.eligibility`).  Their products use TF32 for float32 parameters unless
    `jax.default_matmul_precision` asks for more.  For a `Stack`, run the layers one by one: `unroll_layers(...,
    run=unroll_fused)`.  `jit` does not divide a kernel among several devices; `jax.shard_map(..., check_vma=False)`
    does.  Pallas cannot export one program for a GPU and another platform together (`jax.export`).

    No GPU has run the kernels yet, so their speed has not been measured.

    Args:
      cell: any cell; only `LSTM` and `GRU` have kernels.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`; TypeError: forward mode, or second derivatives.

    >>> from jaxrnn import LSTM
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> bool(jnp.allclose(unroll_fused(cell, params, xs)[1], unroll_bptt(cell, params, xs)[1], atol=1e-2))
    True

    References: Diamos et al. 2016; Pöppel et al. 2024.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    if not (_has_steps(xs) and has_kernels(cell) and fits(cell, params.w.dtype, shared_memory())):
        return unroll_bptt(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse)
    with reverse_mode_alone("unroll_fused", instead="unroll"):
        return _unroll_fused(cell, params, xs, _start(cell, params, xs, carry), mask, reset, reverse, False)


def unroll_interpreted(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run `unroll_fused` in Pallas' interpreter: the same kernels on any platform, in any dtype and size, slowly.

    Arguments, results and errors are those of `unroll`.  It is here for tests; a cell without kernels runs by
    `unroll_bptt`.

    >>> from jaxrnn import GRU
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> bool(jnp.allclose(unroll_interpreted(cell, params, xs)[1], unroll_bptt(cell, params, xs)[1], atol=1e-6))
    True
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    if not (_has_steps(xs) and has_kernels(cell)):
        return unroll_bptt(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse)
    with reverse_mode_alone("unroll_interpreted", instead="unroll"):
        return _unroll_fused(cell, params, xs, _start(cell, params, xs, carry), mask, reset, reverse, True)


def _has_steps(xs: Inputs) -> bool:
    """Return whether there is a step and a row."""
    return math.prod(leading_axes(xs)) > 0


def _start(cell: Cell, params: Params, xs: Inputs, carry: Carry | None) -> Carry:
    return cell.initial_carry(params, leading_axes(xs)[1:]) if carry is None else carry


@jax.custom_jvp
def _differentiated_once(tree):
    """Return the tree unchanged; its derivative raises an error that names the remedy."""
    return tree


@_differentiated_once.defjvp
def _differentiated_once_jvp(primals, tangents):
    raise TypeError("`unroll_fused` has only first derivatives. For second derivatives use `unroll_bptt` or `unroll`.")


@partial(jax.custom_vjp, nondiff_argnums=(0, 6, 7))
def _unroll_fused(cell, params, xs, carry, mask, reset, reverse, interpret):
    return _forward(cell, params, xs, carry, mask, reset, reverse, interpret, False)[0]


def _unroll_fused_fwd(cell, params, xs, carry, mask, reset, reverse, interpret):
    params, xs, carry = _differentiated_once((params, xs, carry))
    return _forward(cell, params, xs, carry, mask, reset, reverse, interpret, True)


def _unroll_fused_bwd(cell, reverse, interpret, saved, cotangents):
    saved, cotangents = _differentiated_once((saved, cotangents))
    gradients = _backward(cell, saved, *cotangents, reverse, interpret)
    return gradients.params, gradients.xs, gradients.carry, None, None


_unroll_fused.defvjp(_unroll_fused_fwd, _unroll_fused_bwd)


@partial(jax.jit, static_argnums=(0, 6, 7, 8))
def _forward(cell, params, xs, carry, mask, reset, reverse, interpret, record):
    """Run forward; return the results, and what the backward pass needs if `record`, else None."""

    def scan(params, xs, carry, mask, reset):
        results, saved = forward(cell, params, xs, carry, mask, reset, reverse)
        return results, saved if record else None

    kernel = partial(_kernel_forward, cell, reverse=reverse, interpret=interpret, record=record)
    return _choose(kernel, scan, interpret, params, xs, carry, mask, reset)


@partial(jax.jit, static_argnums=(0, 4, 5))
def _backward(cell, saved, dcarry, dys, reverse, interpret):
    """Run backward from what `_forward` saved."""

    def scan(*arguments):
        return backward(cell, *arguments, reverse)

    kernel = partial(_kernel_backward, cell, reverse=reverse, interpret=interpret)
    return _choose(kernel, scan, interpret, saved, dcarry, dys)


def _choose(kernel, scan, interpret, *arguments):
    """Run the kernel on a CUDA GPU, the scan elsewhere; only one of them is compiled."""
    return kernel(*arguments) if interpret else lax.platform_dependent(*arguments, cuda=kernel, default=scan)


def _kernel_forward(cell, params, xs, carry, mask, reset, *, reverse, interpret, record):
    clean_xs, start, _, boundary = prepare(cell, params, xs, carry, mask, reset, reverse)
    zs = cell.project(params, clean_xs)
    arrays = _weights(cell, params), _side_by_side(zs), _side_by_side(start), _switches(mask, boundary)
    last, ys, records = kernels.forward(_run(cell, reverse, interpret), *arrays, record=record)
    leading = leading_axes(xs)
    results = _apart(last, start), ys.reshape(*leading, -1)
    if not record:
        return results, None
    z = jax.tree.map(lambda z: jax.ShapeDtypeStruct(z.shape[1:], z.dtype), zs)
    structure = jax.tree.structure(jax.eval_shape(cell.step_fwd, params, start, z)[1])
    residuals = jax.tree.unflatten(structure, [leaf.reshape(*leading, -1) for leaf in records])
    return results, Saved(params, xs, carry, mask, reset, shared(residuals))


def _kernel_backward(cell, saved, dcarry, dys, *, reverse, interpret):
    params, xs, carry, mask, reset, residuals = saved
    clean_xs, _, _, boundary = prepare(cell, params, xs, carry, mask, reset, reverse)
    residuals = residuals.whole()
    records = tuple(map(_flat, jax.tree.leaves(residuals)))
    arrays = _weights(cell, params), records, _side_by_side(dcarry), _flat(dys), _switches(mask, boundary)
    first, dzs = kernels.backward(_run(cell, reverse, interpret), *arrays)
    zs, project_vjp = jax.vjp(cell.project, params, clean_xs)
    dzs = _apart(dzs, zs)
    dparams, dxs = project_vjp(dzs)
    structure = jax.tree.structure(jax.eval_shape(cell.step_bwd, params, residuals, dcarry, dys)[2])
    locals_ = structure.unflatten(jax.tree.leaves(dzs))
    dparams = jax.tree.map(jnp.add, dparams, cell.weight_bwd(params, residuals, locals_))
    if mask is not None:
        dxs = select(mask, dxs, zeros(dxs))
    return Gradients(dparams, dxs, _apart(first, carry), None)


def _run(cell, reverse, interpret) -> Run:
    return Run(gates_of(cell), blocking_of(cell.hidden_size), reverse, interpret)


def _weights(cell, params):
    v = gates_of(cell).vectors(params)
    return params.w, None if v is None else v.reshape(1, -1)


def _flat(a):
    """Reshape `[..., features]` to `[steps or rows, features]`."""
    return a.reshape(-1, a.shape[-1])


def _side_by_side(tree):
    """Join the leaves of a carry or of z to one array, `[rows or steps, leaves · features]`."""
    return jnp.concatenate([_flat(leaf) for leaf in jax.tree.leaves(tree)], axis=-1)


def _apart(joined, like):
    """Split the array that `_side_by_side` returns into the carry or z that it joined."""
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(joined, len(leaves), axis=-1)
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


def _switches(mask, reset) -> Switches:
    def flat(switch):
        return switch.reshape(-1, 1).astype(jnp.int8)

    return Switches(None if mask is None else flat(mask), None if reset is None else flat(~reset))
