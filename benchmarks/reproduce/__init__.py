"""Results of papers, made again: each a table, the paper's numbers beside these."""

import os

import jax


def on_one_thread_each() -> None:
    """Runs on the CPU, each on one thread, so that several go side by side; before anything is computed.

    Products as small as these gain nothing from a second thread.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_platforms", "cpu")
