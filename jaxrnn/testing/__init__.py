"""The laws of the library, as tests of any cell, your own included.

    check_cell(MyCell(input_size=3, hidden_size=5))

This runs all of them: the gradients of all algorithms agree, padding and resets never leak, a sequence can be split
anywhere, rows are independent, and errors name wrong arguments.  Each law is also a function,
`law_…(cell, problem=None)`, which raises AssertionError with the cell, the law and the largest difference.  The laws of
an unroll take a member of the family as `unroll=`, so they also test a new member.  `random_problem` draws the arrays
of a law; the strategies `cells`, `lengths`, `masks`, `resets` and `draws` are for hypothesis.

Start with `check_cell`.  Chapter 2.2; Goodfellow et al. 2016, §10.2.2 (the gradients that the laws compare).
"""

from jaxrnn.testing.batch import (
    compilations,
    law_batch_axes_are_rows,
    law_equal_cells_compile_once,
    law_rows_are_independent,
)
from jaxrnn.testing.contract import LAWS, check_cell, law_carry_parts_are_what_they_are_said_to_be, law_it_is_a_cell
from jaxrnn.testing.gradients import (
    law_bptt_is_the_gradient,
    law_bptt_is_the_loop,
    law_defaults_are_trivial_arguments,
    law_derivatives_are_finite_differences,
    law_hand_rules_agree_with_autodiff,
    law_members_agree,
)
from jaxrnn.testing.linear import law_parallel_forms_are_the_scan, law_repeated_inputs_are_accurate_in_float32
from jaxrnn.testing.padding import (
    law_episodes_are_independent,
    law_length_zero_is_the_identity,
    law_padding_is_invisible,
    law_reverse_starts_at_each_row_s_end,
)
from jaxrnn.testing.platforms import PlatformReport, check_platform
from jaxrnn.testing.problem import Problem, Results, random_problem, run
from jaxrnn.testing.programs import (
    Loop,
    dots,
    law_dtypes,
    law_explicit_loop_carries_no_weights,
    law_wrong_arguments_are_named,
    loops,
)
from jaxrnn.testing.statements import must_agree
from jaxrnn.testing.strategies import cells, draws, lengths, masks, resets
from jaxrnn.testing.time import law_causality, law_reverse_is_forward_on_the_flip, law_split_anywhere

__all__ = [
    "LAWS",
    "Loop",
    "PlatformReport",
    "Problem",
    "Results",
    "cells",
    "check_cell",
    "check_platform",
    "compilations",
    "dots",
    "draws",
    "law_batch_axes_are_rows",
    "law_bptt_is_the_gradient",
    "law_bptt_is_the_loop",
    "law_carry_parts_are_what_they_are_said_to_be",
    "law_causality",
    "law_defaults_are_trivial_arguments",
    "law_derivatives_are_finite_differences",
    "law_dtypes",
    "law_episodes_are_independent",
    "law_equal_cells_compile_once",
    "law_explicit_loop_carries_no_weights",
    "law_hand_rules_agree_with_autodiff",
    "law_it_is_a_cell",
    "law_length_zero_is_the_identity",
    "law_members_agree",
    "law_padding_is_invisible",
    "law_parallel_forms_are_the_scan",
    "law_repeated_inputs_are_accurate_in_float32",
    "law_reverse_is_forward_on_the_flip",
    "law_reverse_starts_at_each_row_s_end",
    "law_rows_are_independent",
    "law_split_anywhere",
    "law_wrong_arguments_are_named",
    "lengths",
    "loops",
    "masks",
    "must_agree",
    "random_problem",
    "resets",
    "run",
]
