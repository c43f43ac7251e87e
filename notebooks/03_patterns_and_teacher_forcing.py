# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 03 · Patterns, teacher forcing and the two likelihoods
#
# Chapter sections 2.1, 2.3 and 2.4. Three networks differ in where their recurrent edges go:
#
# | | edges through time | outputs | here |
# |---|---|---|---|
# | 2.1.1 | hidden → hidden | one at every step | `ManyToMany` |
# | 2.1.2 | output → hidden | one at every step | `OutputToHidden(Jordan)` |
# | 2.1.3 | hidden → hidden | one at the end | `ManyToOne` |
#
# A fourth has both kinds of edges: `OutputToHidden(Feedback(cell, readout))`.
#
# **You will see** which distributions and which delays each kind of edge can express, how teacher forcing turns time
# into a batch axis, and how a network that was trained only on true outputs behaves when it reads its own.


# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("jaxrnn") is None:  # a fresh machine, Colab for one
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "jaxrnn[cli]"], check=True)

import matplotlib.pyplot as plt
from cycler import cycler

plt.rcParams.update({"font.size": 9, "axes.titlesize": "medium", "legend.fontsize": "medium"})
colors = cycler(color=["black", "tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown"])
dashes = cycler(linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))])
plt.rcParams["axes.prop_cycle"] = colors + dashes  # told apart in gray too

# %%
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrnn import GRU, Elman, ManyToMany, ManyToOne, Readout, cross_entropy, mask_from_lengths
from jaxrnn.cells import Jordan
from jaxrnn.objectives import sequence_log_probability
from jaxrnn.patterns import Feedback, OutputToHidden, scheduled_sampling, teacher_forced


@partial(jax.jit, static_argnums=(0, 2))
def fit(loss, params, steps, key, setting=None):
    """Minimize loss(params, key, progress, setting) by Adam on fresh data; return the parameters and all losses."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, steps)))

    def update(state, at):
        params, opt_state = state
        i, key = at
        value, gradient = jax.value_and_grad(loss)(params, key, i / steps, setting)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), value

    at = jnp.arange(steps), jax.random.split(key, steps)
    (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), at)
    return params, losses


# %% [markdown]
# ## What an output can depend on (2.1.2, item 5; 2.4, item 3)
# In these data the outputs depend on each other: the input carries no information, and y is 0000000 or 1111111, each
# with probability ½, so y(1) determines the rest. On the same data, the two networks maximize
#
# $$\log p(\mathbf y^{(t)}\mid\mathbf x^{(1)},\cdots,\mathbf x^{(t)})
# \qquad\text{and}\qquad
# \log p(\mathbf y^{(t)}\mid\mathbf x^{(1)},\cdots,\mathbf x^{(t)},\mathbf y^{(1)},\cdots,\mathbf y^{(t-1)})$$
#
# The first can do no better than a fair coin at every step, τ log 2 nats a sequence. The second needs only one coin.

# %%
STEPS, ROWS, SYMBOLS = 7, 64, 2
no_input = jnp.zeros((STEPS, ROWS, 1))
first = ManyToMany(Elman(1, 8), Readout(8, SYMBOLS))
second = OutputToHidden(Jordan(1, 8, SYMBOLS))


def coins(key):
    return jnp.broadcast_to(jax.random.bernoulli(key, 0.5, (ROWS,)).astype(int), (STEPS, ROWS))


def first_loss(params, key, progress, setting):
    return first.loss(params, no_input, coins(key))


def second_loss(params, key, progress, setting):
    return second.loss(params, no_input, coins(key))


key = jax.random.key(0)
first_params, first_curve = fit(first_loss, first.init(key), 400, key)
second_params, second_curve = fit(second_loss, second.init(key), 400, key)

fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.plot(first_curve * STEPS, label="hidden → hidden: y(t) given x")
ax.plot(second_curve * STEPS, label="output → hidden: y(t) given x and y(1) … y(t−1)")
for bound, text in ((STEPS * np.log(2), "seven coins, 7 log 2"), (np.log(2), "one coin, log 2")):
    ax.axhline(bound, color="gray", lw=0.8, ls="--")
    ax.annotate(text, (250, bound), xytext=(0, 4), textcoords="offset points", color="gray")
ax.set(
    xlabel="update",
    ylabel="−log P(y | x), nats a sequence",
    ylim=(0, 6),
    title="Negative log-likelihood on the same data",
)
ax.legend(loc="center right")
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The figure shows the joint distribution: the probability of every (y(1), y(2)) under each network, next to the product
# of its own marginals, computed by enumerating all sequences. The probabilities of all 128 sequences sum to 1 under
# both networks: each defines a distribution over sequences.

# %%
everything = jnp.array(np.indices([SYMBOLS] * STEPS).reshape(STEPS, -1))
blank = jnp.zeros((STEPS, everything.shape[1], 1))


def joint(logits):
    p = np.exp(sequence_log_probability(logits, everything)).reshape([SYMBOLS] * STEPS)
    print(f"sum over all sequences: {p.sum():.6f}")
    return p.sum(tuple(range(2, STEPS)))


tables = {
    "hidden → hidden": joint(first.logits(first_params, blank)),
    "output → hidden": joint(second.logits(second_params, blank, everything)),
}
fig, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained")
for i, (name, p) in enumerate(tables.items()):
    for ax, q, title in zip(
        axes[2 * i :], (p, np.outer(p.sum(1), p.sum(0))), ("P(y₁, y₂)", "P(y₁) P(y₂)"), strict=False
    ):
        ax.imshow(q, vmin=0, vmax=0.5, cmap="Blues")
        for (a, b), value in np.ndenumerate(q):
            ax.text(b, a, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.3 else "black")
        ax.set(xticks=[0, 1], yticks=[0, 1], xlabel="y₂", ylabel="y₁", title=f"{name}\n{title}")
plt.show()

# %% [markdown]
# Given the inputs, the outputs of the first network are independent, so its two tables are equal. Those of the second
# network differ. The reason is the *symbol* that it reads: each draw from the second network is fed back, so all draws
# of a sequence agree.

# %%
second_draws = second.sample(jax.random.key(1), second_params, jnp.zeros((STEPS, 8, 1)))
first_draws = jax.random.categorical(jax.random.key(1), first.logits(first_params, jnp.zeros((STEPS, 8, 1))))
for name, draws in (("hidden → hidden", first_draws), ("output → hidden", second_draws)):
    print(name, " ", "  ".join("".join(map(str, row)) for row in np.asarray(draws.T)))

# %% [markdown]
# ## What a network can remember (2.1.2, item 3)
# Conversely, a network whose only memory is its output knows nothing of the past but what its outputs say. The task is
# y(t) = x(t − k), the input k steps ago. For k > 0, the output does not contain what must be kept between two steps
# (for k = 1 that is x(t), while o(t) is x(t − 1)).

# %%
DELAYS = jnp.arange(4)
TIME = 24
models = {
    "hidden → hidden (Elman)": ManyToMany(Elman(2, 24), Readout(24, 2)),
    "output → hidden (Jordan)": OutputToHidden(Jordan(2, 24, 2)),
    "both (Feedback)": OutputToHidden(Feedback(Elman(2 + 2, 24), Readout(24, 2))),
}


def recall(key, delay, rows=32):
    bits = jax.random.bernoulli(key, 0.5, (TIME, rows)).astype(int)
    valid = jnp.broadcast_to(jnp.arange(TIME)[:, None] >= delay, (TIME, rows))
    return jax.nn.one_hot(bits, 2), jnp.roll(bits, delay, axis=0), valid


def recall_loss(model, params, key, progress, delay):
    xs, y, valid = recall(key, delay)
    logits = model.logits(params, xs) if isinstance(model, ManyToMany) else model.logits(params, xs, y)
    return cross_entropy(logits, y, mask=valid)


def recall_accuracy(model, delay):
    params, _ = fit(partial(recall_loss, model), model.init(key), 300, key, delay)
    xs, y, valid = recall(jax.random.key(99), delay, 500)
    return jnp.sum((model.predict(params, xs) == y) & valid) / jnp.sum(valid)


accuracy = {name: jax.vmap(partial(recall_accuracy, model))(DELAYS) for name, model in models.items()}
fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for (name, values), marker in zip(accuracy.items(), "os^", strict=True):
    ax.plot(DELAYS, values, marker + "-", label=name)
ax.axhline(0.5, color="gray", lw=0.8, ls="--")
ax.set(xlabel="delay k", ylabel="accuracy, running free", xticks=DELAYS, ylim=(0.4, 1.04), title="y(t) = x(t − k)")
ax.legend(loc="center right")
ax.grid(alpha=0.3)
plt.show()
for name, values in accuracy.items():
    print(f"{name:26}", *(f"{v:.3f}" for v in values))

# %% [markdown]
# ## One output for the whole sequence (2.1.3)
# `ManyToOne` reads the last valid state of each row. Padding holds the carry, so a padded row gives the same output as
# the row alone. A row with no valid step gives the bias c, never NaN, whatever its padding contains.

# %%
many_to_one = ManyToOne(GRU(3, 8), Readout(8, 4))
params = many_to_one.init(key)._replace(readout=many_to_one.readout.init(key)._replace(c=jnp.arange(4.0)))
lengths = jnp.array([6, 3, 0])
mask = mask_from_lengths(lengths, 6)
xs = jnp.where(mask[..., None], jax.random.normal(key, (6, 3, 3)), jnp.nan)
padded = many_to_one.logits(params, xs, mask=mask)
for b, length in enumerate(lengths):
    alone = many_to_one.logits(params, xs[:length, b])
    print(f"length {length}: in the batch {np.round(padded[b], 4)}   alone {np.round(alone, 4)}")

# %% [markdown]
# ## Teacher forcing: time is a batch axis (2.3)
# If step t reads the true y(t−1) and nothing else of the past, no step waits for another: `teacher_forced` with a
# `Jordan` cell has no loop in its program, forward or backward. It equals the scan that reads the truth,
# `scheduled_sampling` with probability 1. With hidden → hidden edges as well, the loop remains for those edges alone:
# teacher forcing *and* BPTT.


# %%
def loops(f, *arguments):
    """Return the number of loops in the program of f."""

    def count(jaxpr):
        inner = [v for e in jaxpr.eqns for v in e.params.values() if hasattr(v, "jaxpr") or hasattr(v, "eqns")]
        return sum(e.primitive.name in ("scan", "while") for e in jaxpr.eqns) + sum(
            count(getattr(v, "jaxpr", v)) for v in inner
        )

    return count(jax.make_jaxpr(f)(*arguments).jaxpr)


def problem(cell, steps, rows=16):
    keys = jax.random.split(jax.random.key(3), 3)
    xs = jax.random.normal(keys[1], (steps, rows, 16))
    return cell.init(keys[0]), xs, jax.random.randint(keys[2], (steps, rows), 0, 32)


def forced_loss(cell, params, xs, y):
    return cross_entropy(teacher_forced(cell, params, xs, y)[1], y)


def scanned_loss(cell, params, xs, y):
    return cross_entropy(scheduled_sampling(jax.random.key(0), cell, params, xs, y, 1.0)[1], y)


jordan = Jordan(16, 64, 32)
both = Feedback(Elman(16 + 32, 64), Readout(64, 32))
for name, cell in (("Jordan", jordan), ("Feedback", both)):
    arguments = problem(cell, 50)
    forced, scanned = (jax.value_and_grad(partial(f, cell)) for f in (forced_loss, scanned_loss))
    difference = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), forced(*arguments), scanned(*arguments))
    print(
        f"{name:9} loops: teacher forcing {loops(forced, *arguments)}, scan {loops(scanned, *arguments)};",
        f"largest difference, value and gradients: {max(jax.tree.leaves(difference)):.1e}",
    )


# %%
def milliseconds(f, *arguments, repeats=15):
    f = jax.jit(f)
    jax.block_until_ready(f(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(f(*arguments))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


lengths = [10, 30, 100, 300, 1000]
times = {
    name: [milliseconds(jax.value_and_grad(partial(f, jordan)), *problem(jordan, n)) for n in lengths]
    for name, f in (("scan that reads the truth", scanned_loss), ("teacher forcing, in parallel", forced_loss))
}
fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for (name, values), marker in zip(times.items(), "so", strict=True):
    ax.loglog(lengths, values, marker + "-", label=name)
ax.set(xlabel="steps τ", ylabel="ms for loss and gradient", title="Jordan, 64 hidden units, 16 rows")
ax.legend()
ax.grid(alpha=0.3, which="both")
plt.show()
scan_ms, forced_ms = times.values()
print("scan / teacher forcing:", *(f"τ={n}: {a / b:.1f}" for n, a, b in zip(lengths, scan_ms, forced_ms, strict=True)))

# %% [markdown]
# ## Scheduled sampling: from true outputs to the network's own
# A network trained by teacher forcing reads its own outputs when it is used, so each error becomes an input that
# training never showed. Bengio et al. 2015 toss a coin at every step to choose between the true output and the
# network's own, and lower the probability of the truth from 1 to 0 during training.
#
# The task is to continue a wave y(t) = a sin(ωt + φ) with a, ω and φ new in every row. There is no input. The output is
# a real number and is fed back unchanged (`feedback="logits"`), with hidden → hidden edges as well. A probability *per
# step* also expresses "read 20 true values, then run free": 1 for 20 steps, 0 after them.

# %%
WAVE, READ = 60, 20
wave_model = OutputToHidden(Feedback(GRU(1 + 1, 32), Readout(32, 1), "logits"), "values")
ROWS = 32
nothing = jnp.zeros((WAVE, ROWS, 1))
then_free = jnp.where(jnp.arange(WAVE) < READ, 1.0, 0.0)


def waves(key, noise):
    keys = jax.random.split(key, 4)
    amplitude, omega, phase = (
        jax.random.uniform(k, (ROWS, 1), minval=low, maxval=high)
        for k, low, high in zip(keys, (0.5, 0.25, 0.0), (1.0, 0.5, 6.28), strict=False)
    )
    clean = amplitude * jnp.sin(omega * jnp.arange(WAVE)[:, None, None] + phase)
    return clean + noise * jax.random.normal(keys[3], clean.shape), clean


def wave_loss(params, key, progress, setting):
    """Read the truth before step 20, and after it with a probability that goes from `start` to `end`."""
    noise, start, end = setting
    late = start + (end - start) * progress
    coin_key, data_key = jax.random.split(key)
    y, _ = waves(data_key, noise)
    p = jnp.where(jnp.arange(WAVE) < READ, 1.0, late)
    return wave_model.scheduled_loss(coin_key, params, nothing, y, p)


def errors(params, noise, probability):
    """Return the outputs for new waves, and their root mean square error at each step."""
    y, clean = waves(jax.random.key(42), noise)
    os = scheduled_sampling(key, wave_model.cell, params, nothing, y, probability)[1]
    return os, jnp.sqrt(jnp.mean((os - clean) ** 2, axis=(1, 2)))


ways = {"teacher forcing": (1.0, 1.0), "scheduled": (1.0, 0.0), "free running": (0.0, 0.0)}
cases = [(name, noise) for noise in (0.0, 0.1) for name in ways]
settings = jnp.array([(noise, *ways[name]) for name, noise in cases])
at_once, _ = jax.vmap(partial(fit, wave_loss, wave_model.init(key), 600, key))(settings)
trained = {case: jax.tree.map(lambda leaf, i=i: leaf[i], at_once) for i, case in enumerate(cases)}
print("root mean square error after the first 20 steps")
for (name, noise), params in trained.items():
    told, free = (jnp.sqrt(jnp.mean(errors(params, noise, p)[1][READ:] ** 2)) for p in (1.0, then_free))
    print(f"noise {noise}   trained by {name:16} told the truth {told:.3f}   running free {free:.3f}")

# %%
y, clean = waves(jax.random.key(42), 0.0)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
axes[0].plot(clean[:, 0, 0], color="gray", label="the wave")
axes[0].plot(y[:READ, 0, 0], "k.", label="values read")
for name in ways:
    os, error = errors(trained[name, 0.0], 0.0, then_free)
    axes[0].plot(range(READ, WAVE), os[READ:, 0, 0], label=name)
    axes[1].plot(range(WAVE), error, label=name)
axes[0].set(xlabel="t", ylabel="y", title="20 values read, then free running: one row", ylim=(None, 2.2))
axes[0].legend(ncols=2, loc="upper left")
axes[1].axvline(READ, color="gray", lw=0.8, ls="--")
axes[1].set(xlabel="t", ylabel="root mean square error", title="Mean over 64 rows, by training method", ylim=(0, None))
axes[1].legend()
for ax in axes:
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# On clean waves, the network trained by teacher forcing is the best while it reads the truth and the worst when it runs
# free. Noise in the data has part of the effect of scheduled sampling: a network trained on noisy values learns not to
# trust what it reads, and the three methods come close to each other.

# %% [markdown]
# ## Exercises
# **1.** Two outputs are 00 or 11, each with probability ½. What is the best loss, in nats, of a network whose outputs
# are independent given the input? Of one that feeds its output back?
#
# <details><summary>Answer</summary>
#
# The marginals are fair coins, so the first cannot do better than $2\log 2$. The second needs one coin, $\log 2$: its
# second output is determined by the first.
#
# </details>
#
# **2.** `OutputToHidden(Jordan)` outputs one bit at every step and feeds back only that bit. How many different states
# can it pass to the next step?
#
# <details><summary>Answer</summary>
#
# Two. It can remember only what it has just output, so it cannot delay an arbitrary input by even one step.
#
# </details>
#
# **3.** Why can `teacher_forced` train `Jordan` without a loop, but not `Feedback(GRU)`?
#
# <details><summary>Answer</summary>
#
# With the true $\mathbf y^{(t-1)}$ in place of the output, Jordan's step t reads nothing that another step computes.
# The GRU's step still reads its own $\mathbf h^{(t-1)}$, so back-propagation through time is still needed.
#
# </details>
