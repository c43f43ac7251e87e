"""Law 7: a sequence of no steps changes nothing."""

from jaxrnn import unroll_bptt, unroll_python
from jaxrnn.testing import law_length_zero_is_the_identity
from tests.laws.cells import CELLS, core_cell, every_cell


@every_cell
def test_length_zero_and_no_time_are_the_identity(cell):
    law_length_zero_is_the_identity(cell)


@core_cell
def test_length_zero_and_no_time_are_the_identity_in_explicit_bptt(cell):
    law_length_zero_is_the_identity(cell, unroll=unroll_bptt)


def test_the_python_loop_too():
    law_length_zero_is_the_identity(CELLS["own"], unroll=unroll_python)
