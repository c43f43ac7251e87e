"""Random problems for the laws, and one compiled run with its gradients.

Checking costs mostly compilation, so almost every law uses the same program, `run`, at one shape: lengths, holes,
resets, initial carries and cotangents are data.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.local_rules import pullback
from jaxrnn.core.noise import Noisy, reads_time, takes_noise
from jaxrnn.core.types import Cell, Timed
from jaxrnn.testing.host_trees import forwards_in_time, host, noisy, zeros
from jaxrnn.unrolling.scan import unroll

TIME, BATCH = 6, (4,)
"""The one shape that the laws are tried at."""
_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 1,
    **({"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}),
}
QUICK = _OPTIONS if jax.__version_info__ < (0, 13) else None
"""Compiler options for a program that runs for a millisecond: without optimizations."""

quick_jit = functools.partial(jax.jit, compiler_options=QUICK)
"""`jax.jit` for a program that runs for a millisecond, so that what it costs is LLVM's time; the same jaxpr."""


class Problem(NamedTuple):
    """The arguments of a run, and the cotangents of its results.

    >>> from jaxrnn import Elman
    >>> random_problem(Elman(input_size=2, hidden_size=3), time=4).xs.shape[0]
    4
    """

    params: PyTree
    xs: PyTree
    carry: PyTree
    mask: Any
    """`[time, *batch]`: rows of many lengths, one full and one empty, some with holes."""
    reset: Any
    """`[time, *batch]`."""
    dcarry: PyTree
    dys: PyTree


class Results(NamedTuple):
    """The results of a run, and the gradients of ⟨dcarry, carry⟩ + ⟨dys, ys⟩ with respect to its arguments.

    >>> Results._fields
    ('carry', 'ys', 'dparams', 'dxs', 'dcarry')
    """

    carry: PyTree
    ys: PyTree
    dparams: PyTree
    dxs: PyTree
    dcarry: PyTree


@functools.lru_cache(maxsize=64)
def example_input(cell: Cell) -> PyTree:
    """Return an input of one step, without batch axes: the smallest vector that `cell` accepts.

    It comes with noise if the cell draws, and with Δt if the cell reads time.

    Raises:
      ValueError: the cell accepts no vector of 1 to 256 numbers.

    >>> from jaxrnn import GRU
    >>> example_input(GRU(input_size=3, hidden_size=5)).shape
    (3,)
    """
    params = jax.eval_shape(cell.init, jax.eval_shape(lambda: jax.random.key(0)))

    def one_step(params, x):
        return cell.step(params, cell.initial_carry(params, (2,)), cell.project(params, x))

    for size in (*range(2, 257), 1):  # 1 last: it may be taken only because it broadcasts
        try:
            jax.eval_shape(one_step, params, _vector(cell, size, (2,)))
        except (TypeError, ValueError):
            continue
        return _vector(cell, size, ())
    raise ValueError(f"`x` must be given, an example of one step's input: {cell} takes no vector of 1 to 256 numbers.")


def _vector(cell: Cell, size: int, batch: tuple[int, ...]) -> PyTree:
    """Return an input vector for a cell of this input size."""
    x = jax.ShapeDtypeStruct((*batch, size), jnp.float32)
    if reads_time(cell):
        x = jax.eval_shape(Timed, x, jax.ShapeDtypeStruct((*batch, 1), jnp.float32))
    if not takes_noise(cell):
        return x
    key, t = (jax.ShapeDtypeStruct((*batch, n), jnp.uint32) for n in (2, 1))
    return jax.eval_shape(Noisy, x, key, t)


def random_problem(
    cell: Cell,
    seed: int = 0,
    *,
    mask=None,
    reset=None,
    x: PyTree | None = None,
    time: int = TIME,
    batch: tuple[int, ...] = BATCH,
    dtype=None,
) -> Problem:
    """Draw parameters, inputs, a start, a mask, resets and cotangents for `cell`.

    Args:
      cell: any cell.
      seed: the seed of everything random.
      mask: `[time, *batch]`; None draws one.
      reset: `[time, *batch]`; None draws one.
      x: an example of the input of one step without batch axes, an array or a pytree; the default is the
        smallest vector that the cell accepts.
      time: the number of steps.
      batch: the batch axes.
      dtype: the dtype of floating parameters and inputs; by default the widest one enabled.

    Returns:
      The problem.

    >>> from jaxrnn import GRU
    >>> random_problem(GRU(3, 5), time=4, batch=(2,)).xs.shape
    (4, 2, 3)
    """
    dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), example_input(cell) if x is None else x)
    leaves, structure = jax.tree.flatten(x)
    params, xs, carry, ys = _blank(cell, tuple(leaves), structure, time, batch, dtype, jnp.result_type(float))
    rng = np.random.default_rng(seed)
    mask = _random_mask(rng, time, batch) if mask is None else mask
    reset = rng.random((time, *batch)) < 0.25 if reset is None else reset
    return Problem(
        params=noisy(rng, params, 0.3),
        xs=forwards_in_time(noisy(rng, xs, 1.0, ints=True)),
        carry=noisy(rng, carry, 0.5, ints=True),
        mask=jax.device_put(mask),
        reset=jax.device_put(reset),
        dcarry=noisy(rng, zeros(carry), 1.0),
        dys=noisy(rng, ys, 1.0),
    )


@functools.lru_cache(maxsize=64)
def _blank(cell: Cell, x: tuple, structure, time: int, batch: tuple[int, ...], dtype, default_float) -> tuple:
    """Return (params, xs, carry, ys) before the noise; `default_float` makes x64 a part of the cache key."""

    def cast(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    params = jax.tree.map(cast, _initial_params(cell, default_float))
    x = jax.tree.unflatten(structure, x)
    xs = jax.tree.map(lambda leaf: cast(np.zeros((time, *batch, *leaf.shape), leaf.dtype)), x)
    carry = initial_carry(cell, params, batch)
    _, ys = jax.eval_shape(functools.partial(unroll, cell), params, xs, carry)
    return params, xs, carry, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), ys)


@functools.lru_cache(maxsize=64)
def _initial_params(cell: Cell, default_float) -> PyTree:
    """Draw the initial parameters once for all dtypes and shapes; `default_float` as in `_blank`."""
    return host(quick_jit(cell.init)(jax.random.key(0)))


@functools.partial(quick_jit, static_argnames="rows")
def initial_carry(cell: Cell, params: PyTree, rows: tuple[int, ...]) -> PyTree:
    """Return the initial carry of a run with these batch axes, computed by one program."""
    return cell.initial_carry(params, rows)


@functools.partial(quick_jit, static_argnames="rows")
def initial_carry_gradient(cell: Cell, params: PyTree, rows: tuple[int, ...], dcarry: PyTree) -> PyTree:
    """Return the gradient of ⟨dcarry, initial carry⟩ with respect to the parameters."""
    return pullback(lambda params: cell.initial_carry(params, rows), params)[1](dcarry)[0]


def _random_mask(rng, time: int, batch: tuple[int, ...]):
    """Draw a mask with rows of many lengths, a full and an empty one among them, and some holes."""
    lengths = rng.integers(0, time + 1, batch)
    lengths.flat[:2] = [time, 0][: lengths.size]
    return (np.arange(time).reshape(-1, *[1] * len(batch)) < lengths) & (rng.random((time, *batch)) < 0.85)


def results(cell: Cell, problem: Problem, unroll: Callable, reverse: bool) -> Results:
    """Return the results of a run and its gradients, not compiled, so that a caller can transform them."""
    params, xs, carry, mask, reset, dcarry, dys = problem

    def forward(params, xs, carry):
        return unroll(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse)

    out, back = pullback(forward, params, xs, carry)
    return Results(*out, *back((dcarry, dys)))


_compiled = quick_jit(results, static_argnames=("unroll", "reverse"))


def run(cell: Cell, problem: Problem, *, unroll: Callable, reverse: bool) -> Results:
    """Run a problem and return its results and gradients as NumPy arrays.

    The program is compiled once per cell, member of the unroll family, direction and shape.

    Args:
      cell: any cell.
      problem: the arguments and cotangents.
      unroll: the member of the unroll family.
      reverse: the direction.

    Returns:
      `Results`.

    >>> from jaxrnn import Elman, unroll
    >>> cell = Elman(input_size=2, hidden_size=3)
    >>> run(cell, random_problem(cell, time=4), unroll=unroll, reverse=False).ys.shape[0]
    4
    """
    return host(_compiled(cell, problem, unroll=unroll, reverse=reverse))
