"""One training step of a Neural Turing machine, against PyTorch.

The copy task at its usual sizes: 20 vectors of 8 bits and their copy (41 steps), an LSTM of 100 units as the
controller, a memory of 128 × 20, one read and one write head; forward, backward, clipping and Adam, float32.
The PyTorch machine is written in the usual way: a module whose `forward` is one step, a Python loop over
time, heads one after the other, every operation over the whole batch.  Prints a table and the ratios.

    python -m benchmarks.ntm
    python -m benchmarks.ntm --batches 1 64 --seconds 10
"""

import importlib.util
import sys

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.training.train_state import init_state, update

BITS, STEPS, HIDDEN, SLOTS, WIDTH = 8, 41, 100, 128, 20


def main(batches: tuple[int, ...] = (1, 16), seconds: float = 5.0) -> None:
    """Compare explicit BPTT with `jax.grad` of the scan and with PyTorch.

    Args:
        batches: numbers of sequences in an update.
        seconds: time for each program.
    """
    print(f"{report.machine()}\n\none update of a Neural Turing machine, {STEPS} steps, memory {SLOTS} × {WIDTH}")
    print(f"{'program':<22}{'batch':>6}{'min ms':>9}{'median':>9}{'compile s':>11}")
    for batch in batches:
        programs = {"unroll_bptt": ours(batch, jaxrnn.unroll_bptt), "unroll": ours(batch, jaxrnn.unroll)}
        if importlib.util.find_spec("torch") is None:
            print("pytorch: not installed, left out", file=sys.stderr)
        else:
            programs |= {"pytorch": pytorch(batch, None), "pytorch, 1 thread": pytorch(batch, 1)}
        timings = interleaved(programs, seconds=seconds)
        for name, program in programs.items():
            timing, took = timings[name], program.compile_seconds
            print(
                f"{name:<22}{batch:>6}{timing.minimum:>9.1f}{timing.median:>9.1f}"
                f"{'-' if took is None else f'{took:.1f}':>11}"
            )
        print(report.against_pytorch(timings, "unroll_bptt"))


def ours(batch: int, unroll) -> Program:
    """Return a program for `jaxrnn.memory.NTM` and `update`, the function that every run trains with."""
    cell = jaxrnn.memory.NTM(jaxrnn.LSTM(BITS + 1 + WIDTH, HIDDEN), BITS + 1, SLOTS, WIDTH)
    readout = jaxrnn.Readout(cell.output_size, BITS)
    first, second, third = jax.random.split(jax.random.key(0), 3)
    xs = jax.random.bernoulli(third, shape=(STEPS, batch, BITS + 1)).astype(jnp.float32)

    def loss(params, carry, batch, key):
        _, ys = unroll(cell, params[0], batch)
        return jaxrnn.bernoulli(readout.apply(params[1], ys), batch[..., :BITS]), carry

    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))
    state = init_state((cell.init(first), readout.init(second)), optimizer)
    return compiled(lambda state, xs: update(loss, optimizer, state, xs, third), state, xs)


def pytorch_machine():
    """Build the same machine in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Head(nn.Module):
        def __init__(self, writes: bool):
            super().__init__()
            self.sizes = [WIDTH, 1, 1, 3, 1] + ([WIDTH, WIDTH] if writes else [])
            self.linear = nn.Linear(HIDDEN, sum(self.sizes))

        def forward(self, h, memory, before):
            key, strength, gate, shift, sharpness, *rest = self.linear(h).split(self.sizes, dim=-1)
            similarity = F.cosine_similarity(memory, torch.tanh(key)[:, None], dim=-1, eps=1e-6)
            content = torch.softmax(F.softplus(strength) * similarity, dim=-1)
            gate, shift = torch.sigmoid(gate), torch.softmax(shift, dim=-1)
            w = gate * content + (1 - gate) * before
            w = sum(shift[:, j : j + 1] * torch.roll(w, j - 1, dims=-1) for j in range(3))
            w = (w + 1e-16) ** (1 + F.softplus(sharpness))
            return w / w.sum(-1, keepdim=True), rest

    class Machine(nn.Module):
        def __init__(self):
            super().__init__()
            self.controller = nn.LSTMCell(BITS + 1 + WIDTH, HIDDEN)
            self.reader, self.writer = Head(writes=False), Head(writes=True)
            self.readout = nn.Linear(HIDDEN + WIDTH, BITS)

        def start(self, rows):
            h, first = torch.zeros(rows, HIDDEN), F.one_hot(torch.zeros(rows, dtype=torch.long), SLOTS).float()
            return h, h, torch.full((rows, SLOTS, WIDTH), 1e-6), first, first, torch.zeros(rows, WIDTH)

        def forward(self, x, state):
            h, c, memory, reading, writing, read = state
            h, c = self.controller(torch.cat([x, read], dim=-1), (h, c))
            reading, _ = self.reader(h, memory, reading)
            writing, (erase, add) = self.writer(h, memory, writing)
            read = torch.bmm(reading[:, None], memory)[:, 0]
            erased = memory * (1 - writing[:, :, None] * torch.sigmoid(erase)[:, None])
            memory = erased + writing[:, :, None] * torch.tanh(add)[:, None]
            return self.readout(torch.cat([h, read], dim=-1)), (h, c, memory, reading, writing, read)

    return Machine()


def pytorch(batch: int, threads: int | None) -> Program:
    """Return a program for the same machine in PyTorch; None leaves the number of threads to it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    threads, machine = threads or torch.get_num_threads(), pytorch_machine()
    optimizer = torch.optim.Adam(machine.parameters(), lr=1e-3)
    xs = (torch.rand(STEPS, batch, BITS + 1) > 0.5).float()

    def run():
        torch.set_num_threads(threads)
        state, outputs = machine.start(batch), []
        for x in xs:
            y, state = machine(x, state)
            outputs.append(y)
        loss = F.binary_cross_entropy_with_logits(torch.stack(outputs), xs[..., :BITS])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(machine.parameters(), 10.0)
        optimizer.step()

    return Program(run)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
