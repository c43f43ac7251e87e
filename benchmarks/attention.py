"""A decoder with additive attention: one training step, and greedy decoding, against a loop over PyTorch's `LSTMCell`.

The same network in both: an LSTM over [x; c], additive attention with the keys projected once, an output layer over
[h; c]; float32.  Prints a table and the ratios to standard output.  With more units and rows, the matrix products take
most of the time in both, and their times come closer.  "bare" is a program with little but the matrix products and the
tanh of the score; "at most" is the ratio that it would reach.

    python -m benchmarks.attention
    python -m benchmarks.attention --source 100 --hidden 256
"""

import importlib.util
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.core.precision import outer_sum


class Sizes(NamedTuple):
    """The sizes of the decoder and of its inputs."""

    time: int
    source: int
    batch: int
    features: int
    hidden: int
    vocabulary: int


def main(
    time: int = 30,
    source: int = 40,
    batch: int = 64,
    features: int = 64,
    hidden: int = 128,
    vocabulary: int = 100,
    seconds: float = 5.0,
) -> None:
    """Compare the compiled decoder with PyTorch's loop.

    Args:
        time: steps of the decoder.
        source: positions that are attended to.
        batch: rows of the training step, and of the larger decoding.
        features: the size of an embedded symbol.
        hidden: the size of the LSTM, of the states that are attended to, and of the score.
        vocabulary: the number of symbols.
        seconds: time for each program.
    """
    sizes = Sizes(time, source, batch, features, hidden, vocabulary)
    torch = importlib.util.find_spec("torch") is not None
    if not torch:
        print("pytorch: not installed, left out", file=sys.stderr)
    print(f"{report.machine()}\n\n{sizes}")
    print(
        f"{'program':<22}{'jaxrnn ms':>11}{'pytorch ms':>12}{'ratio':>8}{'bare ms':>9}{'at most':>9}{'compile s':>11}"
    )
    for name, ours, theirs, rows in (
        ("training step", train, pytorch_train, batch),
        ("greedy, batch 1", decode, pytorch_decode, 1),
        (f"greedy, batch {batch}", decode, pytorch_decode, batch),
    ):
        sized = sizes._replace(batch=rows)
        programs = {"ours": ours(sized), "bare": bare(sized, backward=ours is train)}
        programs |= {"theirs": theirs(sized)} if torch else {}
        least = {name: timing.minimum for name, timing in interleaved(programs, seconds=seconds).items()}
        mine, other, floor = least["ours"], least.get("theirs", float("nan")), least["bare"]
        row = f"{name:<22}{mine:>11.2f}{other:>12.2f}{other / mine:>8.1f}{floor:>9.2f}{other / floor:>9.1f}"
        print(f"{row}{programs['ours'].compile_seconds:>11.2f}")


def model(sizes: Sizes) -> tuple[jaxrnn.SymbolModel, jaxrnn.seq2seq.Attending]:
    """Return the decoder, and its cell."""
    attention = jaxrnn.Attention(sizes.hidden, sizes.hidden, "additive")
    cell = jaxrnn.seq2seq.Attending(jaxrnn.LSTM(sizes.features + sizes.hidden, sizes.hidden), attention, sizes.source)
    return jaxrnn.SymbolModel(cell, sizes.vocabulary, sizes.features, cell.output_size), cell


def random_states(sizes: Sizes) -> jax.Array:
    """Draw states such as an encoder returns, `[source, batch, hidden]`."""
    return jax.random.normal(jax.random.key(1), (sizes.source, sizes.batch, sizes.hidden)) / 2


def train(sizes: Sizes) -> Program:
    """Return a program for the loss and its gradient with respect to every parameter and the states."""
    decoder, cell = model(sizes)
    symbols = jax.random.randint(jax.random.key(2), (sizes.time, sizes.batch), 0, sizes.vocabulary)
    lengths = jnp.full(sizes.batch, sizes.time)

    def loss(params, states, symbols):
        carry = cell.attend_to(params.cell, states)
        outputs = decoder.apply(params, symbols, lengths, start=0, carry=carry)
        return jaxrnn.cross_entropy(outputs, symbols)

    step = jax.value_and_grad(loss, argnums=(0, 1))
    return compiled(step, decoder.init(jax.random.key(0)), random_states(sizes), symbols)


def decode(sizes: Sizes) -> Program:
    """Return a program for `greedy`, with an end symbol so unlikely that it never comes."""
    decoder, cell = model(sizes)
    params = decoder.init(jax.random.key(0))
    params = params._replace(readout=params.readout._replace(c=params.readout.c.at[0].set(-1e4)))
    start = jnp.ones(sizes.batch, int)

    def run(params, states):
        carry = cell.attend_to(params.cell, states)
        return jaxrnn.greedy(decoder, params, carry, start=start, stop=jaxrnn.EndSymbol(0), bound=sizes.time).symbols

    return compiled(run, params, random_states(sizes))


def bare(sizes: Sizes, *, backward: bool) -> Program:
    """Return a program of the matrix products, the tanh of the score and the sums over it, and little else.

    A lower bound: without gates, softmax, embedding, loss, masks, records of the steps, gradients of the memory.
    """
    time, source, rows, features, n, vocabulary = sizes
    shapes = [(features + n, 4 * n), (n, 4 * n), (n, n), (n, n), (2 * n, vocabulary)]
    arrays = [(source * rows, n), (time, rows, features + n), (time, rows, 2 * n)]
    keys = jax.random.split(jax.random.key(3), len(shapes) + len(arrays))
    made = [jax.random.normal(k, shape) / 10 for k, shape in zip(keys, [*arrays, *shapes], strict=True)]

    def run(states, xs, ys, u, w, query, memory, readout):
        memories = (states @ memory).reshape(rows, source, n)

        def read(weights, rows):
            return jnp.matmul(weights[:, None], rows)[:, 0]

        def attend(h, *, twice):
            t = jnp.tanh((h @ query)[:, None] + memories)
            scores = jnp.matmul(t, query[0])
            return read(scores, memories) + (read(scores, t) if twice else 0)

        def forward(h, x):
            h = attend((x @ u + h @ w)[:, :n], twice=False)
            return h, None if backward else h[:, :1] * (jnp.concatenate([h, h], axis=-1) @ readout)

        def back(dh, x):
            dz = jnp.concatenate([dh, dh, dh, attend(dh, twice=True)], axis=-1)
            return dz @ w.T + (dz @ u.T)[:, :n], dz

        h, logits = jax.lax.scan(forward, ys[0, :, :n], xs)
        if not backward:
            return h, logits
        h, dzs = jax.lax.scan(back, h, xs)
        dlogits = ys.reshape(-1, 2 * n) @ readout
        sums = outer_sum(xs, dzs, u), outer_sum(ys[..., :n], dzs, w), outer_sum(ys[..., :n], dzs[..., :n], query)
        others = outer_sum(ys, dlogits, readout), dlogits @ readout.T, outer_sum(states, states, memory)
        return h, sums, others, states @ memory.T

    return compiled(run, *made)


def pytorch_decoder(sizes: Sizes):
    """Return the parts of the same decoder, and one step of it."""
    import torch

    n = sizes.hidden
    parts = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(sizes.vocabulary, sizes.features),
            "cell": torch.nn.LSTMCell(sizes.features + n, n),
            "query": torch.nn.Linear(n, n, bias=False),
            "memory": torch.nn.Linear(n, n),
            "score": torch.nn.Linear(n, 1, bias=False),
            "readout": torch.nn.Linear(2 * n, sizes.vocabulary),
        }
    )

    def step(x, state, context, keys, values):
        h, c = parts["cell"](torch.cat([x, context], dim=-1), state)
        scores = parts["score"](torch.tanh(parts["query"](h)[:, None] + keys))[..., 0]
        context = torch.bmm(torch.softmax(scores, dim=-1)[:, None], values)[:, 0]
        return torch.cat([h, context], dim=-1), (h, c), context

    states = torch.from_numpy(np.swapaxes(np.asarray(random_states(sizes)), 0, 1).copy())
    zeros = torch.zeros(sizes.batch, n)
    return parts, step, states, zeros


def pytorch_train(sizes: Sizes) -> Program:
    """Return a program for the loop over steps, and `backward`."""
    import torch

    parts, step, states, zeros = pytorch_decoder(sizes)
    states.requires_grad_(True)
    symbols = torch.randint(sizes.vocabulary, (sizes.time, sizes.batch))
    before = torch.cat([torch.zeros(1, sizes.batch, dtype=torch.long), symbols[:-1]])

    def run():
        parts.zero_grad()
        states.grad = None
        keys, xs, state, context, ys = parts["memory"](states), parts["embedding"](before), (zeros, zeros), zeros, []
        for x in xs:
            y, state, context = step(x, state, context, keys, states)
            ys.append(y)
        logits = parts["readout"](torch.stack(ys))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), symbols.flatten())
        loss.backward()
        return loss

    return Program(run)


def pytorch_decode(sizes: Sizes) -> Program:
    """Return a program that takes the most likely symbol at every step, in inference mode."""
    import torch

    parts, step, states, zeros = pytorch_decoder(sizes)

    def run():
        with torch.inference_mode():
            keys, state, context, made = parts["memory"](states), (zeros, zeros), zeros, []
            symbol = torch.ones(sizes.batch, dtype=torch.long)
            for _ in range(sizes.time):
                y, state, context = step(parts["embedding"](symbol), state, context, keys, states)
                symbol = parts["readout"](y).argmax(dim=-1)
                made.append(symbol)
            return torch.stack(made)

    return Program(run)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
