"""Law 5: no output depends on later inputs."""

from hypothesis import given, settings

from jaxrnn import unroll_bptt
from jaxrnn.testing import draws, law_causality, random_problem
from tests.laws.cells import core_cell, every_cell


@every_cell
@given(drawn=draws())
@settings(max_examples=2)
def test_an_output_depends_on_no_later_input(cell, drawn):
    law_causality(cell, random_problem(cell, **drawn))


@core_cell
def test_explicit_bptt_sends_no_gradient_to_a_later_input(cell):
    law_causality(cell, unroll=unroll_bptt)
