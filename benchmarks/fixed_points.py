"""Fixed points of a GRU from many starts, found here and by the usual PyTorch programs.

A GRU of 128 units learns the 3-bit flip-flop.  From the same starts and with the same weights, in float32:

    find             damped Newton steps, all starts in one compiled program, points merged and linearized
    torch, batched   Adam on the mean of q over all starts, as FixedPointFinder does: at most 5000 steps, a rate of 0.05
                     times 0.7 every 500, until q ≤ 1e-12 or dq is at most 1e-20 everywhere
    torch, loop      the same for one start after another, which is the usual program

The points that PyTorch finds are not linearized.  The loop is timed on a few starts and the time is scaled up, as the
table says.  `--seeds` repeats the search of this library from other starts and counts the attractors that it finds,
which are the ends of long runs without input.

    python -m benchmarks.fixed_points
"""

import json
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import report
from benchmarks.reproduce.flip_flop import BITS, PULSES, SETTLE, TIME, train
from jaxrnn import GRU, unroll
from jaxrnn.convert import to_torch_cell
from jaxrnn.dynamics.fixed_points import distinct, find, linearize, reasons, sample_starts
from jaxrnn.tasks.cognitive import flip_flop

TOL_Q, TOL_DQ, RATE, NOISE, MERGE = 1e-12, 1e-20, 0.05, 0.1, 1e-2
STATE_NOISE = 0.1
"""The noise of the state in training.  Without it, 128 units keep their bits in a continuum of slow states."""


class Searched(NamedTuple):
    """The result of one contender."""

    seconds: float
    points: np.ndarray
    q: np.ndarray


def main(
    units: int = 128,
    starts: int = 1024,
    updates: int = 1500,
    seeds: int = 20,
    loop_starts: int = 16,
    torch: bool = True,
) -> None:
    """Train the network, search in turns, and count the attractors that are found.

    Args:
        units: the size of the GRU.
        starts: states from which every contender searches.
        updates: how many updates train the GRU.
        seeds: how many sets of starts to search for attractors.
        loop_starts: how many starts the loop is timed on.
        torch: compare with PyTorch.
    """
    cell, x = GRU(BITS, units, reset="after"), jnp.zeros(BITS)
    params, _, losses = train(cell, jax.random.key(0), updates, STATE_NOISE)
    print(f"{report.machine()}\nGRU of {units} units, {starts} starts, loss after {updates} updates {losses[-1]:.4f}\n")
    xs = flip_flop(jax.random.key(1), 256, bits=BITS, time=TIME, pulses=PULSES).inputs
    draw = jax.jit(lambda key: sample_starts(key, cell, params, xs, count=starts, noise=NOISE).carry)
    known = attractors(cell, params, draw(jax.random.key(2)))

    def ours(h) -> Searched:
        begun = time.perf_counter()
        found = jax.block_until_ready(find(cell, params, x, h, merge=MERGE))
        points = distinct(found)
        jax.block_until_ready(linearize(cell, params, points.x, points.h))
        return Searched(time.perf_counter() - begun, np.asarray(points.h), np.asarray(found.q))

    h = draw(jax.random.key(3))
    begun = time.perf_counter()
    ours(h)
    print(f"compiled and run once in {time.perf_counter() - begun:.1f} s")
    contenders = {"find": ours}
    if torch:
        contenders |= {"torch, batched": partial(adam, params), "torch, loop": partial(looped, params, loop_starts)}
    searched = {name: search(h) for name, search in contenders.items()}
    mine = searched["find"].seconds
    print(f"{'':16}{'seconds':>10}{'× find':>9}{'attractors':>13}{'q ≤ 1e-9':>10}{'median q':>11}")
    for name, each in searched.items():
        hit = f"{found_of(known, each.points)} of {len(known)}"
        share = f"{np.mean(each.q <= 1e-9):.0%}"
        row = f"{each.seconds:>10.2f}{each.seconds / mine:>9.1f}{hit:>13}{share:>10}{np.median(each.q):>11.1e}"
        print(f"{name:16}{row}")
    if torch:
        print(f"torch, loop: timed on {loop_starts} starts, multiplied by {starts / loop_starts:g}")
    print(json.dumps(reasons(find(cell, params, x, h, merge=MERGE))))
    hits = [found_of(known, ours(draw(jax.random.key(100 + seed))).points) for seed in range(seeds)]
    print(f"attractors found from {seeds} other sets of starts, of {len(known)}: {hits}")


def attractors(cell, params, h) -> np.ndarray:
    """Return the distinct ends of long runs without input."""
    ends = np.asarray(unroll(cell, params, jnp.zeros((SETTLE, len(h), BITS)), h)[0])
    kept: list[np.ndarray] = []
    for end in ends:
        if all(np.abs(end - other).max() > MERGE for other in kept):
            kept.append(end)
    return np.array(kept)


def found_of(known: np.ndarray, points: np.ndarray) -> int:
    """Count the attractors that are among the points."""
    if not len(points):
        return 0
    return sum(bool(np.abs(points - attractor).max(axis=1).min() <= MERGE) for attractor in known)


def torch_cell(params):
    """Build the same cell in PyTorch."""
    import torch

    inputs, units = params.u.shape[0], params.w.shape[0]
    weights = to_torch_cell(GRU(inputs, units, reset="after"), params)
    cell = torch.nn.GRUCell(inputs, units)
    cell.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return cell.requires_grad_(False)


def adam(params, h) -> Searched:
    """Run Adam on the mean of q over all starts."""
    import torch

    cell = torch_cell(params)
    state = torch.from_numpy(np.array(h)).requires_grad_()
    x, before = torch.zeros(len(state), BITS), torch.zeros(len(state))
    optimizer = torch.optim.Adam([state], lr=RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.7)
    begun = time.perf_counter()
    for _ in range(5000):
        optimizer.zero_grad()
        q = 0.5 * ((cell(x, state) - state) ** 2).sum(dim=1)
        q.mean().backward()
        optimizer.step()
        schedule.step()
        now = q.detach()
        if bool(((now <= TOL_Q) | ((now - before).abs() <= TOL_DQ)).all()):
            break
        before = now
    seconds = time.perf_counter() - begun
    return Searched(seconds, state.detach().numpy(), now.numpy())


def looped(params, loop_starts: int, h) -> Searched:
    """Search from one start after another; the time is scaled up to all of them."""
    each = [adam(params, h[i : i + 1]) for i in range(min(loop_starts, len(h)))]
    seconds = sum(one.seconds for one in each) * len(h) / len(each)
    return Searched(seconds, np.concatenate([e.points for e in each]), np.concatenate([e.q for e in each]))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
