"""Law 4: a sequence may be cut anywhere; a reverse run is a forward run on the flipped sequence."""

import pytest
from hypothesis import given

from jaxrnn import unroll_bptt
from jaxrnn.testing import draws, law_reverse_is_forward_on_the_flip, law_split_anywhere, random_problem
from tests.laws.cells import LIBRARY, every_cell


@every_cell
@given(drawn=draws())
def test_two_halves_are_the_whole(cell, drawn):
    law_split_anywhere(cell, random_problem(cell, **drawn))


@pytest.mark.parametrize("at", [1, 5])
def test_it_may_be_cut_after_the_first_step_or_before_the_last(at):
    law_split_anywhere(LIBRARY["gru_reset_after"], at=at)


def test_explicit_bptt_may_be_cut_too():
    law_split_anywhere(LIBRARY["lstm"], unroll=unroll_bptt)


@every_cell
@given(drawn=draws())
def test_backwards_is_forwards_on_the_flipped_sequence(cell, drawn):
    law_reverse_is_forward_on_the_flip(cell, random_problem(cell, **drawn))
