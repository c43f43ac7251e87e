"""Temporal order with plain SGD, with clipping, with clipping and Ω, against the length.

Hochreiter & Schmidhuber's task 6a as Pascanu, Mikolov & Bengio 2013, §4.1 trained it: 50 tanh units, SGD at 0.01 on
batches of 20, ‖g‖ clipped at 1, Ω of weight 2; U, W, V ~ N(0, 0.01²), W with 15 entries a unit and scaled to
the spectral radius 0.95.  A run has succeeded when it errs on less than 1 % of fresh sequences.

Ω is tried as the chapter writes it, `pascanu_omega_terms`, and as the paper's own program computes it, with the ratio
of the *squared* norms.  As there, Ω is the mean over its terms, its gradient is added before clipping, and a step
whose gradient is not finite is not taken (there W shrinks by a little; here the step is skipped).

    python -m benchmarks.reproduce.temporal_order                      # lengths up to 100, minutes
    python -m benchmarks.reproduce.temporal_order --full               # lengths up to 200, hours
"""

import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.reproduce.problems import temporal_order

HIDDEN, BATCH, TEST = 50, 20, 1000
CELL, READOUT = jaxrnn.Elman(6, HIDDEN), jaxrnn.Readout(HIDDEN, 4)
METHODS = {
    # name: (v of clipping, weight of Ω as the chapter writes it, weight of Ω as the paper's program does)
    "SGD": (float("inf"), 0.0, 0.0),
    "clipped": (1.0, 0.0, 0.0),
    "clipped, Ω": (1.0, 2.0, 0.0),
    "clipped, Ω squared": (1.0, 0.0, 2.0),
}


def main(
    full: bool = False,
    lengths: tuple[int, ...] = (),
    seeds: int = 5,
    updates: int = 0,
    check: int = 500,
    methods: tuple[str, ...] = tuple(METHODS),
) -> None:
    """Count the seeds that learn it.

    Args:
        full: lengths 20 … 200 and up to 100,000 updates, in place of 20, 50, 100 and up to 10,000.
        lengths: other lengths.
        seeds: runs of each method and length; all in one program.
        updates: another limit.
        check: how many updates between two tests.
        methods: which methods.
    """
    lengths = lengths or ((20, 50, 100, 150, 200) if full else (20, 50, 100))
    updates = updates or (100_000 if full else 10_000)
    print(f"{report.machine()}\n\ntemporal order, {seeds} seeds, up to {updates:,} updates of {BATCH} sequences")
    print(f"{'length':>6}  {'method':<19}{'succeeded':>10}{'updates, median':>17}{'best errors %':>34}{'s':>7}")
    for length in lengths:
        for method in methods:
            start = time.perf_counter()
            solved, errors = run(method, length, seeds, updates, check)
            done = sorted(n for n in solved if n)
            median = f"{done[len(done) // 2]:,}" if done else "-"
            text = " ".join(f"{100 * e:.1f}" for e in errors)
            seconds = time.perf_counter() - start
            print(
                f"{length:>6}  {method:<19}{f'{len(done)} / {seeds}':>10}{median:>17}{text:>34}{seconds:>7.0f}",
                flush=True,
            )


def run(method: str, length: int, seeds: int, updates: int, check: int) -> tuple[list[int], list[float]]:
    """When each seed had succeeded (0: never), and its smallest error."""
    clip, *weights = METHODS[method]
    optimizer = make_optimizer(clip)
    keys = jax.random.split(jax.random.key(length), seeds)
    params = jax.vmap(init)(keys)
    state = jax.vmap(optimizer.init)(params)
    solved, best = [0] * seeds, [1.0] * seeds
    for done in range(check, updates + 1, check):
        params, state = train(params, state, keys, done, length, check, clip, *weights)
        errors = test(params, jax.random.fold_in(jax.random.key(0), done), length).tolist()
        best = [min(pair) for pair in zip(best, errors, strict=True)]
        solved = [n or (done if e < 0.01 else 0) for n, e in zip(solved, errors, strict=True)]
        if all(solved):
            break
    return solved, best


def init(key):
    """The paper's "smart" tanh network."""
    u, w, v, zeros = jax.random.split(key, 4)
    normal = [0.01 * jax.random.normal(k, s) for k, s in ((u, (6, HIDDEN)), (w, (HIDDEN, HIDDEN)), (v, (HIDDEN, 4)))]
    kept = jax.vmap(lambda k: jax.random.permutation(k, HIDDEN) < 15)(jax.random.split(zeros, HIDDEN))
    w = jnp.where(kept, normal[1], 0)
    w = jaxrnn.with_spectral_radius(w, 0.95)
    cell = jaxrnn.ElmanParams(normal[0], w, jnp.zeros(HIDDEN))
    return cell, jaxrnn.ReadoutParams(normal[2], jnp.zeros(4))


def make_optimizer(clip: float) -> optax.GradientTransformation:
    """SGD at 0.01 behind clipping; a step whose gradient is not finite is skipped."""
    return optax.apply_if_finite(optax.chain(jaxrnn.clip_by_norm(clip), optax.sgd(0.01)), 2**31 - 1)


def objective(params, xs, classes, chapter, squared):
    """The loss at the last step, and Ω in one of its forms where that has a weight."""
    cell, out = params
    h, hs = jaxrnn.unroll_bptt(CELL, cell, xs)
    total = loss_at(out, h, classes)
    held = partial(lambda out, h, _: loss_at(out, h, classes), jax.lax.stop_gradient(out))
    if chapter:
        total += chapter * jnp.mean(jaxrnn.pascanu_omega_terms(CELL, cell, xs, held))
    if squared:
        deltas = jaxrnn.hidden_gradients(CELL, cell, xs, held)
        total += squared * omega_of_squares(cell.w, *jax.lax.stop_gradient((hs, deltas)))
    return total


def loss_at(out, h, classes):
    """L of the last hidden state."""
    return jaxrnn.cross_entropy(READOUT.apply(out, h[None]), classes[None])


def omega_of_squares(w, hs, deltas):
    """The mean of (‖Wᵀ diag(1 − h²) δ‖² / ‖δ‖² − 1)² over the steps at which ‖δ‖² ≥ 1e-20."""
    back = jnp.sum((((1 - hs**2) * deltas) @ w.T) ** 2, axis=-1)
    size = jnp.sum(deltas**2, axis=-1)
    counts = size >= 1e-20
    terms = jnp.where(counts, (back / jnp.where(counts, size, 1) - 1) ** 2, 0)
    return jnp.sum(terms) / jnp.maximum(jnp.sum(counts), 1)


@partial(jax.jit, static_argnums=(4, 5, 6, 7, 8))
def train(params, state, keys, done, length, count, clip, chapter, squared):
    """`count` updates of every seed."""
    optimizer = make_optimizer(clip)

    def update(pair, n):
        def one(params, state, key):
            xs, classes = temporal_order(jax.random.fold_in(key, n), length, BATCH)
            gradient = jax.grad(objective)(params, xs, classes, chapter, squared)
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        return jax.vmap(one)(*pair, keys), None

    return jax.lax.scan(update, (params, state), done + jnp.arange(count))[0]


@partial(jax.jit, static_argnums=2)
def test(params, key, length):
    """The part of fresh sequences that each seed gets wrong."""
    xs, classes = temporal_order(key, length, TEST)

    def one(params):
        h, _ = jaxrnn.unroll(CELL, params[0], xs)
        return jnp.mean(jnp.argmax(READOUT.apply(params[1], h), axis=-1) != classes)

    return jax.lax.map(one, params)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
