"""Reproductions of papers' results: tables with the paper's numbers next to those of this library."""

import os

import jax


def on_one_thread_each() -> None:
    """Use the CPU with one thread for each run, so that several run side by side; call it before any computation.

    Products this small gain nothing from a second thread.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_platforms", "cpu")
