"""Keras chooses its backend when it is first imported: JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"
