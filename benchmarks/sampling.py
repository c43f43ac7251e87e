"""Sampling one symbol after another, against a PyTorch loop and against the time that reading the weights takes.

Draws 1,000 symbols of a vocabulary of 100 from an untrained LSTM, each fed back as the next input, without a stop
before the last; float32.  The row "reading" multiplies and adds as many numbers as a step has weights, once a symbol,
by BLAS on one core: a program at batch 1 cannot be faster while the weights do not fit into the smallest cache.  The
row "products" runs only the products with U, W and the read-out, in a compiled loop.
Prints a table and the ratios to standard output.

    python -m benchmarks.sampling
    python -m benchmarks.sampling --batch 32
    python -m benchmarks.sampling --symbols 200 --hidden 512
"""

import importlib.util
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.core.precision import matmul_in_loop


def main(symbols: int = 1000, vocabulary: int = 100, hidden: int = 256, batch: int = 1, seconds: float = 5.0) -> None:
    """Compare the compiled loops with PyTorch's.

    Args:
        symbols: how many symbols are drawn in each row.
        vocabulary: the number of different symbols.
        hidden: the size of the LSTM; its input, an embedded symbol, has the size of the vocabulary.
        batch: rows.
        seconds: time for each program.
    """
    programs = {
        "sample": ours(jaxrnn.sample, symbols, vocabulary, hidden, batch),
        "sample_scan": ours(jaxrnn.generation.sample_scan, symbols, vocabulary, hidden, batch),
        "products": products(symbols, vocabulary, hidden, batch),
        "reading": reading(symbols, vocabulary, hidden),
    }
    if importlib.util.find_spec("torch") is None:
        print("pytorch: not installed, left out", file=sys.stderr)
    else:
        for threads in (None, 1):
            name = "pytorch" if threads is None else "pytorch, 1 thread"
            programs[name] = pytorch(symbols, vocabulary, hidden, batch, threads)
    timings = interleaved(programs, seconds=seconds)
    print(f"{report.machine()}\n\n{symbols} symbols of {vocabulary}, batch {batch}, LSTM({hidden})")
    print(f"{'loop':<19}{'min ms':>9}{'median':>9}{'µs a symbol':>13}{'compile s':>11}")
    for name, program in programs.items():
        timing, compile_seconds = timings[name], program.compile_seconds
        print(
            f"{name:<19}{timing.minimum:>9.1f}{timing.median:>9.1f}{1e3 * timing.minimum / symbols:>13.1f}"
            f"{'-' if compile_seconds is None else f'{compile_seconds:.2f}':>11}"
        )
    print(report.against_pytorch(timings, "sample"))
    least, middle = (timings["sample"][i] / timings["reading"][i] for i in (0, 1))
    print(f"sample takes {least:.2f} times as long as reading the weights (by minima; {middle:.2f} by medians)")


def reading(symbols: int, vocabulary: int, hidden: int) -> Program:
    """Return a program that reads the weights of a step `symbols` times: U, W and the read-out."""
    weights = np.ones(4 * hidden * (vocabulary + hidden) + hidden * vocabulary, np.float32)
    return Program(lambda: [np.dot(weights, weights) for _ in range(symbols)])


def products(symbols: int, vocabulary: int, hidden: int, batch: int) -> Program:
    """Return a loop over the matrix products of a step alone."""
    keys, sizes = jax.random.split(jax.random.key(0), 3), ((vocabulary, 4 * hidden), (hidden, 4 * hidden))
    u, w, v = (jax.random.normal(k, size) / 100 for k, size in zip(keys, (*sizes, (hidden, vocabulary)), strict=True))

    def step(_, state):
        x, h = state
        h = (matmul_in_loop(x, u) + matmul_in_loop(h, w))[:, :hidden]
        return matmul_in_loop(h, v), h

    def run(x, h):
        return lax.fori_loop(0, symbols, step, (x, h))

    return compiled(run, jnp.ones((batch, vocabulary)), jnp.ones((batch, hidden)))


def ours(loop: Callable, symbols: int, vocabulary: int, hidden: int, batch: int) -> Program:
    """Return a program for `sample` or `sample_scan`, with an end symbol so unlikely that it never comes."""
    model = jaxrnn.SymbolModel(jaxrnn.LSTM(vocabulary, hidden), vocabulary, vocabulary, hidden)
    params = model.init(jax.random.key(0))
    params = params._replace(readout=params.readout._replace(c=params.readout.c.at[0].set(-1e4)))
    carry = model.initial_carry(params, (batch,))

    def run(keys, params, carry):
        return loop(keys, model, params, carry, start=1, stop=jaxrnn.EndSymbol(0), bound=symbols).symbols

    return compiled(run, jax.random.split(jax.random.key(1), batch), params, carry)


def pytorch(symbols: int, vocabulary: int, hidden: int, batch: int, threads: int | None) -> Program:
    """Return a loop over `torch.nn.LSTM` in Python, in inference mode; None leaves the threads to PyTorch."""
    import torch

    threads = threads or torch.get_num_threads()

    embedding = torch.nn.Embedding(vocabulary, vocabulary)
    lstm, readout = torch.nn.LSTM(vocabulary, hidden), torch.nn.Linear(hidden, vocabulary)

    def run():
        torch.set_num_threads(threads)
        with torch.inference_mode():
            symbol, state, made = torch.ones(batch, dtype=torch.long), None, []
            for _ in range(symbols):
                y, state = lstm(embedding(symbol)[None], state)
                symbol = torch.multinomial(torch.softmax(readout(y[0]), dim=-1), 1)[:, 0]
                made.append(symbol)
            return torch.stack(made)

    return Program(run)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
