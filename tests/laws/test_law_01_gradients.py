"""Law 1: every method computes the same gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings

from jaxrnn import bptt, unroll, unroll_bptt, unroll_checkpointed, unroll_newton, unroll_python
from jaxrnn.core.local_rules import pullback
from jaxrnn.linear import RGLRU, Mamba, MatrixCell, ShortConv
from jaxrnn.online import RTRL, run_online
from jaxrnn.testing import (
    draws,
    law_bptt_is_the_gradient,
    law_bptt_is_the_loop,
    law_carry_parts_are_what_they_are_said_to_be,
    law_defaults_are_trivial_arguments,
    law_derivatives_are_finite_differences,
    law_hand_rules_agree_with_autodiff,
    law_members_agree,
    must_agree,
    random_problem,
    run,
)
from jaxrnn.testing.problem import quick_jit, results
from jaxrnn.unrolling.scan import zeros
from tests.laws.cells import CELLS, core_cell, every_cell


@every_cell
@given(drawn=draws())
def test_explicit_bptt_is_the_gradient_of_unroll(cell, drawn):
    law_members_agree(cell, random_problem(cell, **drawn), unroll=unroll_bptt)


@every_cell
@given(drawn=draws())
def test_hand_written_rules_are_what_autodiff_of_a_step_gives(cell, drawn):
    law_hand_rules_agree_with_autodiff(cell, random_problem(cell, **drawn))


@every_cell
@given(drawn=draws(time=3))  # a loop written out takes long to compile
def test_the_python_loop_is_the_scan(cell, drawn):
    law_members_agree(cell, random_problem(cell, time=3, **drawn), unroll=unroll_python)


@every_cell
@given(drawn=draws())
@settings(max_examples=3)
def test_recomputed_segments_give_the_gradient_of_unroll(cell, drawn):
    problem = random_problem(cell, **drawn)
    got, want = (run(cell, problem, unroll=member, reverse=False) for member in (unroll_checkpointed, unroll))
    must_agree(cell, "unroll_checkpointed = unroll, values and gradients", got, want)


@core_cell
def test_recomputed_segments_give_the_gradient_of_unroll_in_both_directions(cell):
    law_members_agree(cell, unroll=unroll_checkpointed)


@every_cell
@given(drawn=draws())
@settings(max_examples=3)
def test_newton_s_method_gives_the_results_and_the_gradient_of_unroll(cell, drawn):
    law_members_agree(cell, random_problem(cell, **drawn), unroll=unroll_newton)


@every_cell
@given(drawn=draws())
def test_bptt_gives_the_gradients_of_everything_and_of_every_carry(cell, drawn):
    law_bptt_is_the_gradient(cell, random_problem(cell, **drawn))


@every_cell
def test_bptt_is_the_python_loop_of_the_recursion_and_the_sums(cell):
    law_bptt_is_the_loop(cell, random_problem(cell, time=3))


@every_cell
def test_what_a_cell_states_about_its_carry_is_true(cell):
    law_carry_parts_are_what_they_are_said_to_be(cell)


@every_cell
@given(drawn=draws())
@settings(max_examples=3)
def test_an_argument_left_out_is_its_trivial_value(cell, drawn):
    law_defaults_are_trivial_arguments(cell, random_problem(cell, **drawn))


@core_cell
def test_an_argument_left_out_is_its_trivial_value_in_explicit_bptt(cell):
    law_defaults_are_trivial_arguments(cell, unroll=unroll_bptt)


@core_cell
def test_explicit_bptt_is_the_finite_difference(cell):
    law_derivatives_are_finite_differences(cell, unroll=unroll_bptt, order=1, modes=("rev",))


OPTIMIZED = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    **({"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else {}),
}


@pytest.mark.parametrize("cell", [CELLS[name] for name in ("lstm", "gru_reset_before")], ids=("lstm", "gru"))
@pytest.mark.parametrize("member", [unroll, unroll_bptt, unroll_newton], ids=lambda member: member.__name__)
def test_the_program_that_a_user_runs_has_the_same_gradients(cell, member):
    """The other tests compile without LLVM's optimizations.

    Three rows, because jaxlib 0.10 may compute the third row of four wrong (`docs/design.md`).
    """
    problem = random_problem(cell, batch=(3,))
    optimized = jax.jit(partial(results, cell, unroll=member, reverse=False), compiler_options=OPTIMIZED)(problem)
    want = run(cell, problem, unroll=unroll, reverse=False)
    must_agree(cell, f"{member.__name__}, optimized = unroll, not optimized", optimized, want)


@every_cell
def test_the_output_s_share_is_in_the_hidden_gradient_where_the_output_is_the_state(cell):
    """∇_{h⁽ᵀ⁾}L at the last step is all that is sent: ∇ of the final carry, plus ∇y⁽ᵀ⁾ where y = h."""
    p = random_problem(cell)
    carries = bptt(cell, p.params, p.xs, p.carry, p.dcarry, p.dys).carries
    shares = [
        bool((last[-1] != sent).any())
        for last, sent in zip(jax.tree.leaves(carries), jax.tree.leaves(p.dcarry), strict=True)
    ]
    names = ("Own", "Jordan", "Feedback", "DeepOutput", "NTM", "LRU", "LinearUnit", "Attending", "EveryLayer", "S5")
    names += ("RateNetwork", "ResidualBlock")
    reads_its_state = any(name in repr(cell) for name in names) or isinstance(cell, MatrixCell | ShortConv | Mamba)
    owns_its_output = isinstance(cell, RGLRU) or not reads_its_state  # elsewhere y = h
    assert sum(shares) == owns_its_output


@partial(quick_jit, static_argnums=0)
def forwards(cell, p):
    """Return the final carry, and the gradient of Σ ⟨dy, y⟩ by RTRL from the cell's initial carry."""

    def loss(y, dy):
        return sum(jnp.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (y, dy)), strict=True))

    state = RTRL(cell).init(p.params, jax.tree.map(lambda a: a[0], p.xs))
    done = run_online(RTRL(cell), p.params, state, p.xs, p.dys, loss, mask=p.mask, reset=p.reset)
    return done.state.carry, jax.tree.map(lambda g: g * p.mask.sum(), done.gradient)


@every_cell
@given(drawn=draws())
@settings(max_examples=3)
def test_real_time_recurrent_learning_is_bptt(cell, drawn):
    p = random_problem(cell, **drawn)
    start, back = pullback(lambda params: cell.initial_carry(params, p.mask.shape[1:]), p.params)
    backwards = run(cell, p._replace(carry=start, dcarry=zeros(p.dcarry)), unroll=unroll, reverse=False)
    through_start = back(backwards.dcarry)[0]
    want = backwards.carry, jax.tree.map(jnp.add, backwards.dparams, through_start)
    must_agree(cell, "RTRL = BPTT", forwards(cell, p), want)
