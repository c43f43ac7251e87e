"""The laws that every member of the unroll family satisfies, for any cell."""

from jaxrnn import testing as laws

FAMILY = (
    laws.law_defaults_are_trivial_arguments,
    laws.law_split_anywhere,
    laws.law_reverse_is_forward_on_the_flip,
    laws.law_padding_is_invisible,
    laws.law_length_zero_is_the_identity,
    laws.law_reverse_starts_at_each_row_s_end,
    laws.law_episodes_are_independent,
    laws.law_batch_axes_are_rows,
    laws.law_rows_are_independent,
    laws.law_equal_cells_compile_once,
    laws.law_dtypes,
    laws.law_wrong_arguments_are_named,
)
