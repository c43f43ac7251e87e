"""What each cell can keep track of: parity, and words over the permutation groups S₃ and A₅.

A word is a sequence of group elements; at every step the product of all so far is asked for.  Trained on words of 40
elements, scored at 40, 256 and 2,048: the accuracy at the last quarter of the word, best and median over the seeds.
Parity is the word problem of the group with two elements.

A cell that is linear in its state solves parity only if its transitions have eigenvalues below 0 (Grazzi et al. 2025);
n reflections a step solve what permutations of n + 1 things ask for (Siems et al. 2025); A₅ is not solvable, and its
word problem is complete for NC¹ (Barrington 1989).

    python -m benchmarks.reproduce.state_tracking                      # parity and S₃, 2 seeds, 1,000 updates
    python -m benchmarks.reproduce.state_tracking --full               # A₅ too, 5 seeds, 20,000 updates: hours
    python -m benchmarks.reproduce.state_tracking --groups parity --cells lstm mamba2
"""

import itertools
from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.remembering import ROWS, Model

TRAINED, LENGTHS, BATCH, TEST = 40, (40, 256, 2048), 32, 32
OPTIMIZER = optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(3e-3))


def plan(
    full: bool = False,
    again: bool = False,
    groups: tuple[str, ...] = (),
    cells: tuple[str, ...] = tuple(ROWS),
    seeds: int = 0,
    first_seed: int = 0,
    updates: int = 0,
) -> results.Plan:
    """Plan a case for each group and cell.

    Args:
        full: A₅ too, 5 seeds and 20,000 updates, in place of 2 and 1,000.
        again: measure again what is stored; without `full` everything is measured again.
        groups: "parity", "s3", "a5".
        cells: which rows.
        seeds: another number of seeds.
        first_seed: the first of them.
        updates: another number of updates.
    """
    groups = groups or (("parity", "s3", "a5") if full else ("parity", "s3"))
    seeds, updates = seeds or (5 if full else 2), updates or (20_000 if full else 1_000)
    cases = [
        results.Case(
            "state_tracking",
            {"group": group, "cell": name, "updates": updates, "seeds": seeds, "first_seed": first_seed},
            partial(measure, group, name, updates, range(first_seed, first_seed + seeds)),
            show,
            seeds=seeds,
            work=updates * seeds,
        )
        for group in groups
        for name in cells
    ]
    return results.Plan(cases, again or not full)


def measure(group: str, name: str, updates: int, seeds: range) -> dict:
    """Return the accuracy of each seed, by the length of the words."""
    keys = jax.random.split(jax.random.key(0), seeds.stop)[seeds.start :]
    scores = np.asarray(run(group, name, updates, keys)).round(4)
    return {f"T={length}": column.tolist() for length, column in zip(LENGTHS, scores.T, strict=True)}


def show(figures: dict) -> str:
    """Return the best and the median accuracy at each length."""
    return ", ".join(f"{length} {max(scores):.2f} / {median(scores):.2f}" for length, scores in figures.items())


@partial(jax.jit, static_argnums=(0, 1, 2))
def run(group: str, name: str, updates: int, keys: jax.Array) -> jax.Array:
    """Return the accuracies `[seeds, lengths]` after training: one program for all seeds."""
    table = multiplication_table(group)
    model = Model(ROWS[name](len(table)), len(table), len(table))

    def loss(params, tokens):
        return jaxrnn.cross_entropy(model.logits(params, tokens), products(table, tokens))

    def update(pair, key):
        params, state = pair
        tokens = jax.random.randint(key, (TRAINED, BATCH), 0, len(table))
        updates, state = OPTIMIZER.update(jax.grad(loss)(params, tokens), state, params)
        return (optax.apply_updates(params, updates), state), None

    def accuracy(params, key, length):
        tokens = jax.random.randint(key, (length, TEST), 0, len(table))
        right = model.logits(params, tokens).argmax(axis=-1) == products(table, tokens)
        return jnp.mean(right[-(length // 4) :])

    def one_seed(key):
        init, training, test = jax.random.split(key, 3)
        params = model.init(init)
        keys = jax.random.split(training, updates)
        (params, _), _ = jax.lax.scan(update, (params, OPTIMIZER.init(params)), keys)
        return jnp.stack([accuracy(params, test, length) for length in LENGTHS])

    return jax.lax.map(one_seed, keys)


def multiplication_table(group: str) -> np.ndarray:
    """Return the table of a permutation group: `table[g, h]` is the number of h after g; 0 is the identity."""
    degree, even = {"parity": (2, False), "s3": (3, False), "a5": (5, True)}[group]
    elements = [p for p in itertools.permutations(range(degree)) if not even or is_even(p)]
    number = {p: i for i, p in enumerate(elements)}
    return np.array([[number[tuple(h[i] for i in g)] for h in elements] for g in elements])


def is_even(permutation: tuple[int, ...]) -> bool:
    """Return whether it is a product of an even number of transpositions."""
    pairs = itertools.combinations(permutation, 2)
    return sum(a > b for a, b in pairs) % 2 == 0


def products(table: np.ndarray, tokens: jax.Array) -> jax.Array:
    """Return the product of all elements up to each step."""
    lookup = jnp.asarray(table)

    def step(product, token):
        product = lookup[product, token]
        return product, product

    return jax.lax.scan(step, jnp.zeros(tokens.shape[1:], tokens.dtype), tokens)[1].astype(tokens.dtype)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
