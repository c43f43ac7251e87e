"""Temporal order with plain SGD, with clipping, and with clipping and Ω, against the length.

Hochreiter & Schmidhuber's task 6a as Pascanu, Mikolov & Bengio 2013, §4.1 trained it: 50 tanh units, SGD at 0.01 on
batches of 20, ‖g‖ clipped at 1, Ω of weight 2; U, W, V ~ N(0, 0.01²), W with 15 entries a unit and scaled to
the spectral radius 0.95.  A run has succeeded when it errs on less than 1 % of fresh sequences.

Ω is used in two forms: that of the chapter, `pascanu_omega`, and that of the paper's own program, with the ratio of the
*squared* norms.  The rest is as in that program: Ω is the mean over the terms whose ‖δ‖² is at least 1e-20, its
gradient is added before clipping, and where ‖∇‖ is above 1e10 or not a number, W shrinks slightly instead.

    python -m benchmarks.reproduce.temporal_order                      # length 20, a minute or two
    python -m benchmarks.reproduce.temporal_order --full               # lengths up to 200, hours
    python -m benchmarks.reproduce.temporal_order --lengths 50 --beyond 1000 5000     # trained at 50, scored beyond
    python -m benchmarks.reproduce.temporal_order --lengths 50 100 200 --mixed        # one network for all of them
"""

import json
from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.problems import temporal_order

HIDDEN, BATCH, TEST = 50, 20, 1000
CELL, READOUT = jaxrnn.Elman(6, HIDDEN), jaxrnn.Readout(HIDDEN, 4)
METHODS = {
    # name: (v of clipping, weight of Ω, power of the ratio: 1 as the chapter writes it, 2 as the paper's program does)
    "SGD": (float("inf"), 0.0, 1),
    "clipped": (1.0, 0.0, 1),
    "clipped, Ω": (1.0, 2.0, 1),
    "clipped, Ω squared": (1.0, 2.0, 2),
}


PAPER = "100 % at every length to 200, of up to 5,000,000 updates"
"""Pascanu et al. 2013, §4.1, of clipping with Ω, and of nothing else."""


def plan(
    full: bool = False,
    again: bool = False,
    lengths: tuple[int, ...] = (),
    seeds: int = 5,
    first_seed: int = 0,
    updates: int = 0,
    check: int = 500,
    methods: tuple[str, ...] = tuple(METHODS),
    jobs: int = 1,
    beyond: tuple[int, ...] = (),
    mixed: bool = False,
) -> results.Plan:
    """Plan a case for each length and method.

    Args:
        full: lengths 20 … 200 and up to 100,000 updates, in place of 20 and up to 10,000.
        again: measure again what is stored; without `full` everything is measured again.
        lengths: other lengths.
        seeds: runs of each method and length.
        first_seed: the first of them.
        updates: another limit.
        check: the number of updates between two tests.
        methods: which methods.
        jobs: how many cases at a time, each in a process with one thread.
        beyond: score the trained networks at these lengths too.
        mixed: train one network on all lengths, one of them drawn for each batch; it succeeds by its worst length.
    """
    lengths = lengths or ((20, 50, 100, 150, 200) if full else (20,))
    updates = updates or (100_000 if full else 10_000)
    networks = [lengths] if mixed else [(length,) for length in lengths]
    cases = [
        results.Case(
            "temporal_order",
            {
                "length": " ".join(map(str, each)) if mixed else each[0],
                "method": method,
                "updates": updates,
                "seeds": seeds,
                "first_seed": first_seed,
            }
            | ({"beyond": " ".join(map(str, beyond))} if beyond else {}),
            partial(measure, method, each, updates, check, range(first_seed, first_seed + seeds), beyond),
            show,
            PAPER if "Ω" in method else "-",
            seeds,
            sum(each) / len(each) * updates * seeds,
        )
        for each in networks
        for method in methods
    ]
    return results.Plan(cases, again or not full, jobs)


def measure(
    method: str,
    lengths: tuple[int, ...],
    updates: int,
    check: int,
    seeds: range,
    beyond: tuple[int, ...] = (),
) -> dict:
    """Return the updates after which each seed succeeded (0: never), its smallest error, and those at other lengths."""
    found = [run(method, lengths, updates, check, seed) for seed in seeds]
    figures = {"after": [n for n, _, _ in found], "errors": [round(error, 5) for _, error, _ in found]}
    if beyond:
        figures["beyond"] = {n: [round(float(test(p, jax.random.key(n), n)), 5) for *_, p in found] for n in beyond}
    return json.loads(json.dumps(figures))


def show(figures: dict) -> str:
    """Return how many seeds succeeded, the median of their updates, and the errors at other lengths."""
    succeeded, seeds, after = outcome(figures)
    if not succeeded:
        return f"0 / {seeds}" + (f", best error {min(figures['errors']):.1%}" if figures["errors"] else "")
    others = (
        f"; at {n}: {' '.join(f'{100 * e:.1f}' for e in each)} %" for n, each in figures.get("beyond", {}).items()
    )
    return f"{succeeded} / {seeds} after {after:,.0f}" + "".join(others)


def outcome(figures: dict) -> tuple[int, int, float]:
    """Return how many seeds succeeded, of how many, and the median of their updates (0: none did).

    Some older results store no more than that.
    """
    if "after" not in figures:
        return figures["succeeded"], figures["seeds"], figures["median_after"]
    after = [n for n in figures["after"] if n]
    return len(after), len(figures["after"]), median(after) if after else 0


def run(method: str, lengths: tuple[int, ...], updates: int, check: int, seed: int) -> tuple[int, float, tuple]:
    """Return the updates after which a seed succeeded (0: never), its smallest error, and its parameters.

    The error is that of the length at which it is largest.
    """
    clip, *omega = METHODS[method]
    key = jax.random.fold_in(jax.random.key(sum(lengths)), seed)
    params = init(key)
    state, best = make_optimizer(clip).init(params), 1.0
    for done in range(check, updates + 1, check):
        params, state = train(params, state, key, done, lengths, check, clip, *omega)
        fresh = jax.random.fold_in(jax.random.key(0), done)
        best = min(best, max(float(test(params, fresh, length)) for length in lengths))
        if best < 0.01:
            return done, best, params
    return 0, best, params


def init(key):
    """Initialize the paper's "smart" tanh network."""
    u, w, v, zeros = jax.random.split(key, 4)
    normal = [0.01 * jax.random.normal(k, s) for k, s in ((u, (6, HIDDEN)), (w, (HIDDEN, HIDDEN)), (v, (HIDDEN, 4)))]
    kept = jax.vmap(lambda k: jax.random.permutation(k, HIDDEN) < 15)(jax.random.split(zeros, HIDDEN))
    w = jnp.where(kept, normal[1], 0)
    w = jaxrnn.reservoirs.with_spectral_radius(w, 0.95)
    cell = jaxrnn.cells.ElmanParams(normal[0], w, jnp.zeros(HIDDEN))
    return cell, jaxrnn.objectives.ReadoutParams(normal[2], jnp.zeros(4))


def make_optimizer(clip: float) -> optax.GradientTransformation:
    """Return SGD at 0.01, after clipping with the program's guard; without clipping, non-finite steps are skipped."""
    if clip == float("inf"):
        return optax.apply_if_finite(optax.sgd(0.01), 2**31 - 1)
    return optax.chain(optax.stateless(guard), jaxrnn.training.clip_by_norm(clip), optax.sgd(0.01))


def guard(gradient, params):
    """Return ∇; where ‖∇‖ is not a number or above 1e10, 0.02 W for W and 0 for the rest."""
    cell, out = jax.tree.map(jnp.zeros_like, params)
    shrink = cell._replace(w=0.02 * params[0].w), out
    return jax.tree.map(partial(jnp.where, optax.tree.norm(gradient) <= 1e10), gradient, shrink)


def objective(params, xs, classes, weight, power):
    """Return the loss at the last step, plus Ω where it has a weight, in one forward and one backward pass."""
    cell, out = params

    def loss(h, _):
        return jaxrnn.cross_entropy(READOUT.apply(out, h[None]), classes[None])

    if weight:
        flow = jaxrnn.dynamics.loss_and_flow(CELL, cell, xs, loss)
        return flow.loss + weight * mean_omega(flow, power)
    return loss(*jaxrnn.unroll_bptt(CELL, cell, xs))


def mean_omega(flow, power):
    """Return the mean of ((‖Jᵀδ‖ / ‖δ‖)ᵖ − 1)² over the steps at which ‖δ‖² ≥ 1e-20."""
    counts = flow.norms >= 1e-10
    return jnp.sum(jnp.where(counts, (flow.ratios**power - 1) ** 2, 0)) / jnp.maximum(jnp.sum(counts), 1)


@partial(jax.jit, static_argnums=(4, 5, 6, 7, 8))
def train(params, state, key, done, lengths, count, clip, weight, power):
    """Run `count` updates, each at one of the lengths."""
    optimizer = make_optimizer(clip)

    def gradient_at(length, params, key):
        return jax.grad(objective)(params, *temporal_order(key, length, BATCH), weight, power)

    def update(pair, n):
        params, state = pair
        key_n = jax.random.fold_in(key, n)
        which = jax.random.randint(jax.random.fold_in(key_n, 1), (), 0, len(lengths))
        gradient = jax.lax.switch(which, [partial(gradient_at, length) for length in lengths], params, key_n)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(update, (params, state), done + jnp.arange(count))[0]


@partial(jax.jit, static_argnums=2)
def test(params, key, length):
    """Return the share of new sequences that are classified wrongly."""
    xs, classes = temporal_order(key, length, TEST)
    h, _ = jaxrnn.unroll(CELL, params[0], xs)
    return jnp.mean(jnp.argmax(READOUT.apply(params[1], h), axis=-1) != classes)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
