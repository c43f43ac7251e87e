"""Sampling one symbol after another at batch 1, against a PyTorch loop.

Draws 1,000 symbols of a vocabulary of 100 from an untrained LSTM, each fed back as the next input, without a stop
before the last; float32.  Prints a table and the ratio to standard output.

    python -m benchmarks.sampling
    python -m benchmarks.sampling --symbols 200 --hidden 512
"""

import importlib.util
import sys
from collections.abc import Callable

import jax
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved


def main(symbols: int = 1000, vocabulary: int = 100, hidden: int = 256, seconds: float = 5.0) -> None:
    """Compare the compiled loops with PyTorch's.

    Args:
        symbols: how many symbols are drawn.
        vocabulary: the number of different symbols.
        hidden: the size of the LSTM; its input, an embedded symbol, has the size of the vocabulary.
        seconds: time for each program.
    """
    programs = {
        "sample": ours(jaxrnn.sample, symbols, vocabulary, hidden),
        "sample_scan": ours(jaxrnn.generation.sample_scan, symbols, vocabulary, hidden),
    }
    if importlib.util.find_spec("torch") is None:
        print("pytorch: not installed, left out", file=sys.stderr)
    else:
        for threads in (None, 1):
            name = "pytorch" if threads is None else "pytorch, 1 thread"
            programs[name] = pytorch(symbols, vocabulary, hidden, threads)
    timings = interleaved(programs, seconds=seconds)
    print(f"{report.machine()}\n\n{symbols} symbols of {vocabulary}, batch 1, LSTM({hidden})")
    print(f"{'loop':<19}{'min ms':>9}{'median':>9}{'µs a symbol':>13}{'compile s':>11}")
    for name, program in programs.items():
        timing, compile_seconds = timings[name], program.compile_seconds
        print(
            f"{name:<19}{timing.minimum:>9.1f}{timing.median:>9.1f}{1e3 * timing.minimum / symbols:>13.1f}"
            f"{'-' if compile_seconds is None else f'{compile_seconds:.2f}':>11}"
        )
    print(report.against_pytorch(timings, "sample"))


def ours(loop: Callable, symbols: int, vocabulary: int, hidden: int) -> Program:
    """Return a program for `sample` or `sample_scan`, with an end symbol so unlikely that it never comes."""
    model = jaxrnn.SymbolModel(jaxrnn.LSTM(vocabulary, hidden), vocabulary, vocabulary, hidden)
    params = model.init(jax.random.key(0))
    params = params._replace(readout=params.readout._replace(c=params.readout.c.at[0].set(-1e4)))
    carry = model.initial_carry(params, (1,))

    def run(keys, params, carry):
        return loop(keys, model, params, carry, start=1, stop=jaxrnn.EndSymbol(0), bound=symbols).symbols

    return compiled(run, jax.random.split(jax.random.key(1), 1), params, carry)


def pytorch(symbols: int, vocabulary: int, hidden: int, threads: int | None) -> Program:
    """Return a loop over `torch.nn.LSTM` in Python, in inference mode; None leaves the threads to PyTorch."""
    import torch

    threads = threads or torch.get_num_threads()

    embedding = torch.nn.Embedding(vocabulary, vocabulary)
    lstm, readout = torch.nn.LSTM(vocabulary, hidden), torch.nn.Linear(hidden, vocabulary)

    def run():
        torch.set_num_threads(threads)
        with torch.inference_mode():
            symbol, state, made = torch.ones(1, dtype=torch.long), None, []
            for _ in range(symbols):
                y, state = lstm(embedding(symbol)[None], state)
                symbol = torch.multinomial(torch.softmax(readout(y[0]), dim=-1), 1)[:, 0]
                made.append(symbol)
            return torch.stack(made)

    return Program(run)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
