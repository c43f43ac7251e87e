"""Laws of gradients: every way to a gradient comes to the same numbers (chapter 2.2)."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.core.carry_facts import output_place
from jaxrnn.core.local_rules import AutodiffRules, pullback, rules_of
from jaxrnn.core.pytrees import ravel_floating, unravel_floating
from jaxrnn.core.types import Cell
from jaxrnn.testing import host_trees
from jaxrnn.testing.host_trees import add
from jaxrnn.testing.problem import Problem, initial_carry, initial_carry_gradient, quick_jit, results, run
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.unrolling.backpropagation import bptt, unroll_bptt
from jaxrnn.unrolling.backpropagation_loop import bptt_python
from jaxrnn.unrolling.scan import readable, select, zeros
from jaxrnn.unrolling.scan import unroll as reference

DIRECTIONS = (False, True)
"""The values of `reverse`."""


@law
def law_members_agree(cell: Cell, problem: Problem, *, unroll: Callable = unroll_bptt) -> None:
    """Check that a member of the unroll family has the results and gradients of `unroll`.

    >>> from jaxrnn import Elman
    >>> law_members_agree(Elman(input_size=2, hidden_size=3))
    """
    for reverse in DIRECTIONS:
        got = run(cell, problem, unroll=unroll, reverse=reverse)
        want = run(cell, problem, unroll=reference, reverse=reverse)
        must_agree(cell, f"{_name(unroll)} = unroll, values and gradients, reverse={reverse}", got, want)


@law
def law_hand_rules_agree_with_autodiff(cell: Cell, problem: Problem) -> None:
    """Check that `step_fwd`, `step_bwd` and `weight_bwd` of the cell equal `jax.vjp` of its step.

    >>> from jaxrnn import Elman
    >>> law_hand_rules_agree_with_autodiff(Elman(input_size=2, hidden_size=3))
    """
    if rules_of(cell) is not cell:
        return
    for reverse in DIRECTIONS:
        got = run(cell, problem, unroll=unroll_bptt, reverse=reverse)
        want = run(AutodiffRules(cell), problem, unroll=unroll_bptt, reverse=reverse)
        must_agree(cell, f"hand-written rules = AutodiffRules, reverse={reverse}", got, want)


@law
def law_defaults_are_trivial_arguments(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check the defaults: no mask is all True, no reset all False, no carry the initial carry with its gradient.

    >>> from jaxrnn import Elman
    >>> law_defaults_are_trivial_arguments(Elman(input_size=2, hidden_size=3))
    """
    everywhere, rows = np.ones_like(problem.mask), problem.mask.shape[1:]
    initial = initial_carry(cell, problem.params, rows)
    explicit = problem._replace(carry=initial, mask=everywhere, reset=~everywhere)
    for reverse in DIRECTIONS:
        got = run(cell, problem._replace(carry=None, mask=None, reset=None), unroll=unroll, reverse=reverse)
        want = run(cell, explicit, unroll=unroll, reverse=reverse)
        through_start = host_trees.host(initial_carry_gradient(cell, problem.params, rows, want.dcarry))
        want = want._replace(dparams=add(want.dparams, through_start), dcarry=None)
        must_agree(cell, f"an argument left out = its trivial value in {_name(unroll)}, reverse={reverse}", got, want)


@law
def law_derivatives_are_finite_differences(
    cell: Cell,
    problem: Problem,
    *,
    unroll: Callable = reference,
    order: int = 2,
    modes: tuple[str, ...] = ("fwd", "rev"),
) -> None:
    """Check forward and reverse mode against finite differences of the results and (order 2) of their gradients.

    With respect to every floating number in the parameters, the inputs and the first carry, all at once.
    For a member with a `jax.custom_vjp`: `order=1, modes=("rev",)`.

    Args:
      order: the highest order of derivatives.
      modes: the modes of differentiation.

    >>> from jaxrnn import Elman
    >>> law_derivatives_are_finite_differences(Elman(input_size=2, hidden_size=3))
    """
    start = problem.params, problem.xs, problem.carry
    point = ravel_floating(host_trees.host(start), module=np)
    rng, step = np.random.default_rng(0), 1e-5
    along = rng.standard_normal(point.shape)

    def seen(out, module):
        return ravel_floating(out if order == 2 else out[:2], module=module)

    def moved_by(size):
        params, xs, carry = unravel_floating(point + size * along, start)
        moved = problem._replace(params=params, xs=xs, carry=carry)
        return seen(run(cell, moved, unroll=unroll, reverse=False), np)

    def function(flat):
        params, xs, carry = unravel_floating(flat, start)
        return seen(results(cell, problem._replace(params=params, xs=xs, carry=carry), unroll, False), jnp)

    @quick_jit
    def derivatives(point, along, against):
        jvp = jax.jvp(function, (point,), (along,))[1] if "fwd" in modes else None
        vjp = jax.vjp(function, point)[1](against)[0] if "rev" in modes else None
        return jvp, vjp

    ahead, behind, far_ahead, far_behind = (moved_by(size * step) for size in (1, -1, 2, -2))
    differences = (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * step)  # the error is of order step⁴
    against = rng.standard_normal(differences.shape)
    jvp, vjp = derivatives(point, along, against)
    statement = f"of {_name(unroll)}, of order {order} and below, = finite differences"
    if jvp is not None:
        must_agree(cell, f"forward derivatives {statement}", jvp, differences, 1e-6)
    if vjp is not None:
        must_agree(cell, f"reverse derivatives {statement}", vjp @ along, against @ differences, 1e-6)


@law
def law_bptt_is_the_gradient(cell: Cell, problem: Problem) -> None:
    """Check that `bptt` has the gradients of `unroll`, and that its `carries` are ∇L with respect to every h⁽ᵗ⁾.

    >>> from jaxrnn import Elman
    >>> law_bptt_is_the_gradient(Elman(input_size=2, hidden_size=3))
    """
    for reverse in DIRECTIONS:
        got = _bptt(cell, problem, reverse=reverse)
        want = run(cell, problem, unroll=reference, reverse=reverse)
        must_agree(cell, f"bptt = jax.vjp of unroll, reverse={reverse}", got[:3], want[2:])
        pushed = host_trees.host(_push_gradient(cell, problem, reverse=reverse))
        seen = host_trees.select(problem.mask, host_trees.host(problem.dys), host_trees.zeros(problem.dys))
        leaves, structure = jax.tree.flatten(pushed)
        if (place := output_place(cell, problem.carry)) is not None:
            leaves[place] = leaves[place] + jax.tree.leaves(seen)[0]
        want = structure.unflatten(leaves)
        must_agree(cell, f"bptt's carries = ∇L with respect to h at every t, reverse={reverse}", got.carries, want)


@law
def law_bptt_is_the_loop(cell: Cell, problem: Problem) -> None:
    """Check that `bptt`, a scan with sums after it, equals the loop `bptt_python`.

    >>> from jaxrnn import Elman
    >>> law_bptt_is_the_loop(Elman(input_size=2, hidden_size=3))
    """
    for reverse in DIRECTIONS:
        got, want = (_bptt(cell, problem, reverse=reverse, run=run) for run in (bptt, bptt_python))
        must_agree(cell, f"bptt = bptt_python, reverse={reverse}", got, want)
        started = problem._replace(carry=None)
        got, want = (_bptt(cell, started, reverse=reverse, run=run) for run in (bptt, bptt_python))
        must_agree(cell, f"bptt = bptt_python from the initial carry, reverse={reverse}", got, want)


@partial(quick_jit, static_argnames=("reverse", "run"))
def _bptt(cell: Cell, problem: Problem, reverse: bool, run: Callable = bptt):
    params, xs, carry, mask, reset, dcarry, dys = problem
    return run(cell, params, xs, carry, dcarry, dys, mask=mask, reset=reset, reverse=reverse)


@partial(quick_jit, static_argnames="reverse")
def _push_gradient(cell: Cell, problem: Problem, reverse: bool):
    """Return ∇L with respect to an ε⁽ᵗ⁾ added to the carry after step t.

    It uses its own scan and no unroll of the library, so it is an independent oracle.  Padding is ½, because a time
    between two steps must not be 0.
    """
    params, xs, carry, mask, reset, dcarry, dys = problem
    initial = cell.initial_carry(params, mask.shape[1:])
    crossed = jnp.concatenate([reset[1:], jnp.zeros_like(reset[:1])]) if reverse else reset

    def body(carry, at_t):
        x, mask, crossed, push = at_t
        carry = select(crossed, initial, carry)
        after, y = cell.step(params, carry, cell.project(params, readable(mask, x)))
        carry = jax.tree.map(jnp.add, select(mask, after, carry), push)
        return carry, select(mask, y, zeros(y))

    pushes = jax.tree.map(lambda leaf: jnp.zeros((mask.shape[0], *leaf.shape), leaf.dtype), carry)
    _, back = pullback(lambda e: lax.scan(body, carry, (xs, mask, crossed, e), reverse=reverse), pushes)
    return back((dcarry, dys))[0]


def _name(member: Callable) -> str:
    return getattr(member, "__name__", repr(member))
