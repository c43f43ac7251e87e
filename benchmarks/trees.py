"""A training step over a batch of trees, against PyTorch's recursion, node by node.

A binary tree-LSTM with inputs at the leaves; the mean of h² at the roots and its gradient for the parameters and the
inputs; float32.  The trees are balanced, or random with 2 to `leaves` leaves.  In the row "with packing" the trees are
packed again before each step, as they must be where no batch comes twice.  Prints a table and the ratios.

    python -m benchmarks.trees
    python -m benchmarks.trees --leaves 32 --hidden 64
"""

import importlib.util
import random
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved


def main(trees: int = 16, leaves: int = 128, hidden: int = 128, seconds: float = 8.0) -> None:
    """Compare the loop over all trees at once with PyTorch's recursion over each.

    Args:
        trees: how many in a batch.
        leaves: the leaves of a balanced tree, and the most leaves of a random one.
        hidden: the size of the state, and of the inputs.
        seconds: time for each program.
    """
    rng = random.Random(0)
    batches = {
        f"balanced, {leaves} leaves": [jaxrnn.trees.balanced_tree(leaves)] * trees,
        f"ragged, 2 to {leaves} leaves": [ragged(rng, rng.randint(2, leaves)) for _ in range(trees)],
    }
    print(report.machine())
    for name, batch in batches.items():
        compare(name, batch, hidden, seconds)


def compare(name: str, trees: list[jaxrnn.trees.Tree], hidden: int, seconds: float) -> None:
    """Time every program on one batch of trees, in turns."""
    forest = jaxrnn.trees.pack(trees)
    xs = np.random.default_rng(0).normal(size=(*forest.leaf.shape, hidden)).astype(np.float32)
    programs = {
        "unroll_tree_bpts": ours(jaxrnn.trees.unroll_tree_bpts, forest, xs),
        "with packing": packed(trees, xs),
        "unroll_tree": ours(jaxrnn.trees.unroll_tree, forest, xs),
    }
    if importlib.util.find_spec("torch") is None:
        print("pytorch: not installed, left out", file=sys.stderr)
    else:
        for threads in (None, 1):
            programs["pytorch" if threads is None else "pytorch, 1 thread"] = pytorch(trees, xs, threads)
    timings = interleaved(programs, seconds=seconds, least=3)
    print(f"\n{len(trees)} trees, {name}: {sum(tree.size for tree in trees)} nodes, hidden {hidden}, {forest.shape}")
    print(f"{'program':<19}{'min ms':>9}{'median':>9}{'µs a node':>11}{'compile s':>11}")
    for program, timing in timings.items():
        compile_seconds = programs[program].compile_seconds
        nodes = 1e3 * timing.minimum / sum(tree.size for tree in trees)
        compiling = "-" if compile_seconds is None else f"{compile_seconds:.2f}"
        print(f"{program:<19}{timing.minimum:>9.1f}{timing.median:>9.1f}{nodes:>11.2f}{compiling:>11}")
    for program in ("unroll_tree_bpts", "with packing"):
        print(report.against_pytorch(timings, program))


def ragged(rng: random.Random, leaves: int) -> jaxrnn.trees.Tree:
    """Join random neighbors until one is left."""
    items: list = list(range(leaves))
    while len(items) > 1:
        at = rng.randrange(len(items) - 1)
        items[at : at + 2] = [tuple(items[at : at + 2])]
    return jaxrnn.trees.from_nested(items[0])


def step(unroll, hidden: int, params, forest, xs):
    """Return the loss and its gradients."""

    def loss(params, xs):
        return jnp.mean(unroll(jaxrnn.trees.NaryTreeLSTM(hidden, hidden), params, forest, xs)[0].h ** 2)

    return jax.value_and_grad(loss, argnums=(0, 1))(params, xs)


def ours(unroll, forest: jaxrnn.trees.Forest, xs: np.ndarray) -> Program:
    """Return the step over trees that are already packed."""
    hidden = xs.shape[-1]
    params = jaxrnn.trees.NaryTreeLSTM(hidden, hidden).init(jax.random.key(0))
    return compiled(partial(step, unroll, hidden), params, jax.tree.map(jnp.asarray, forest), jnp.asarray(xs))


def packed(trees: list[jaxrnn.trees.Tree], xs: np.ndarray) -> Program:
    """Return the step over trees that are values in Python."""
    hidden = xs.shape[-1]
    params = jaxrnn.trees.NaryTreeLSTM(hidden, hidden).init(jax.random.key(0))
    run, xs = jax.jit(partial(step, jaxrnn.trees.unroll_tree_bpts, hidden)), jnp.asarray(xs)
    return Program(lambda: jax.block_until_ready(run(params, jaxrnn.trees.pack(trees), xs)))


def pytorch(trees: list[jaxrnn.trees.Tree], xs: np.ndarray, threads: int | None) -> Program:
    """Return the recursion as one writes it in PyTorch; None leaves the number of threads to it."""
    import torch

    threads = threads or torch.get_num_threads()
    hidden = xs.shape[-1]
    read, join = torch.nn.Linear(hidden, 3 * hidden), torch.nn.Linear(2 * hidden, 5 * hidden)
    inputs = torch.tensor(xs, requires_grad=True)

    def state(tree, b, n):
        first = len(tree.leaves)
        if n < first:
            i, g, o = read(inputs[n, b]).chunk(3)
            c = torch.sigmoid(i) * torch.tanh(g)
        else:
            (h1, c1), (h2, c2) = (state(tree, b, child) for child in tree.children[n - first])
            i, g, o, f1, f2 = join(torch.cat((h1, h2))).chunk(5)
            c = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f1) * c1 + torch.sigmoid(f2) * c2
        return torch.sigmoid(o) * torch.tanh(c), c

    def train():
        torch.set_num_threads(threads)
        roots = torch.stack([state(tree, b, tree.size - 1)[0] for b, tree in enumerate(trees)])
        return torch.autograd.grad(roots.square().mean(), [inputs, *read.parameters(), *join.parameters()])

    return Program(train)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
