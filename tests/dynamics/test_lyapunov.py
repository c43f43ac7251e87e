"""Lyapunov exponents of networks that read their own output."""

import jax.numpy as jnp
import numpy as np

from jaxrnn import Elman, Readout
from jaxrnn.cells import ElmanParams
from jaxrnn.dynamics import lyapunov_spectrum
from jaxrnn.objectives import ReadoutParams
from jaxrnn.patterns import Feedback
from jaxrnn.patterns.feedback import FeedbackParams


def test_the_exponents_of_a_linear_closed_loop_are_the_logarithms_of_its_moduli_and_the_output_adds_none():
    w = np.array([[0.5, 0.2, 0.0], [0.0, 0.3, 0.1], [0.1, 0.0, 0.2]])
    v, u = np.array([[1.0], [0.5], [0.0]]), np.array([[0.4, -0.2, 0.3]])
    cell = ElmanParams(jnp.asarray(u), jnp.asarray(w), jnp.zeros(3))
    params = FeedbackParams(cell, ReadoutParams(jnp.asarray(v), jnp.zeros(1)))
    network = Feedback(Elman(1, 3, "identity"), Readout(3, 1), "logits")
    exponents = lyapunov_spectrum(network, params, jnp.zeros((3000, 0)), skip=1000)
    moduli = np.sort(np.abs(np.linalg.eigvals(w + v @ u)))[::-1]
    np.testing.assert_allclose(exponents[:3], np.log(moduli), atol=2e-3)
    assert exponents[3] < -20  # the output is a function of the state: no direction of its own
