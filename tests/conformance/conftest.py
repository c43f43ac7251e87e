"""What every conformance test needs before it imports anything: float64, and Keras on JAX."""

import os

import jax

os.environ["KERAS_BACKEND"] = "jax"
jax.config.update("jax_enable_x64", True)
