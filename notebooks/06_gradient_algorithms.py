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
# # 06 · Gradient algorithms
#
# Chapter section 2.2 and beyond. The gradient of a recurrent network can be computed backward with everything stored,
# backward with almost nothing stored, backward within a window, or forward. These algorithms differ in memory and in
# time, and some of them leave out part of the gradient. This notebook applies all of them to one cell.
#
# **You will see** the same gradient from seven algorithms, what each of them stores, what truncation leaves out, and
# what the forward algorithms estimate.


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
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn

jax.config.update("jax_enable_x64", True)

TIME, BATCH, INPUT, HIDDEN = 64, 4, 2, 6
cell = jaxrnn.LSTM(INPUT, HIDDEN)
keys = jax.random.split(jax.random.key(0), 5)
params = cell.init(keys[0])
xs = jax.random.normal(keys[1], (TIME, BATCH, INPUT))
targets = jax.random.normal(keys[2], (TIME, BATCH, HIDDEN))
mask = jaxrnn.mask_from_lengths(jnp.array([64, 50, 7, 0]), TIME)
reset = jax.random.bernoulli(keys[3], 0.02, (TIME, BATCH))


def vector(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def full(params, run=jaxrnn.unroll):
    _, ys = run(cell, params, xs, mask=mask, reset=reset)
    return jaxrnn.squared_error(ys, targets, mask=mask)


exact = vector(jax.grad(full)(params))

# %% [markdown]
# ## The exact algorithms agree
# They agree with rows of unequal length, an empty row, and resets in the middle.

# %%
algorithms = {
    "unroll_bptt": jax.grad(partial(full, run=jaxrnn.unroll_bptt)),
    "unroll_checkpointed √τ": jax.grad(partial(full, run=jaxrnn.unroll_checkpointed)),
    "unroll_checkpointed log τ": jax.grad(partial(full, run=partial(jaxrnn.unroll_checkpointed, memory="log"))),
    "unroll_loss": jax.grad(
        lambda p: jaxrnn.unroll_loss(cell, p, xs, targets, jaxrnn.squared_error, mask=mask, reset=reset)[1]
    ),
    "unroll_newton": jax.grad(partial(full, run=jaxrnn.unroll_newton)),
    "unroll_truncated, k₂ = τ": jax.grad(partial(full, run=partial(jaxrnn.unroll_truncated, k1=8, k2=TIME))),
}


def forwards(algorithm, params, *key, steps=TIME):
    state = algorithm.init(*key, params, xs[0])
    read = (a[:steps] for a in (xs, targets))
    return jaxrnn.online.run_online(
        algorithm, params, state, *read, jaxrnn.squared_error, mask=mask[:steps], reset=reset[:steps]
    ).gradient


algorithms["RTRL"] = partial(forwards, jaxrnn.online.RTRL(cell))
for name, gradient in algorithms.items():
    difference = jnp.abs(vector(jax.jit(gradient)(params)) - exact).max() / jnp.abs(exact).max()
    print(f"{name:28}{float(difference):.1e}")

# %% [markdown]
# ## What has to be stored
# The figure shows the temporary memory of the compiled gradient, excluding its arguments and results, for an LSTM(64)
# at batch 1. The compiler reports it without running the program.


# %%
def temporary(run, steps):
    wide = jaxrnn.LSTM(8, 64)
    shapes = jax.eval_shape(wide.init, jax.random.key(0)), jax.ShapeDtypeStruct((steps, 8), jnp.float32)
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float32), shapes)
    gradient = jax.jit(jax.grad(lambda p, xs: run(wide, p, xs)[0].h.sum(), argnums=(0, 1)))
    return gradient.lower(*shapes).compile().memory_analysis().temp_size_in_bytes / 2**20


lengths = [1_000, 1_000_000]
kept = {
    "everything": jaxrnn.unroll_bptt,
    'memory="sqrt"': jaxrnn.unroll_checkpointed,
    'memory="log"': partial(jaxrnn.unroll_checkpointed, memory="log"),
}
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, run), marker in zip(kept.items(), "os^", strict=True):
    sizes = [temporary(run, n) for n in lengths]
    print(f"{name:16}", *(f"{n:>9,} steps: {size:8.1f} MiB" for n, size in zip(lengths, sizes, strict=True)))
    ax.loglog(lengths, sizes, marker + "-", label=name)
ax.set(xlabel="steps τ", ylabel="MiB", title="Temporary memory of a gradient, LSTM(64), batch 1")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## What truncation leaves out
# BPTT(k₁, k₂) sends the losses of every k₁ steps back through k₂ steps. What this loses shows in a network that
# remembers: with forget bias 4, the memory cells keep nearly everything. The direction of the truncated gradient
# approaches the true one as the window grows.

# %%
keeps = params._replace(b=params.b.at[HIDDEN : 2 * HIDDEN].set(4.0))


def cosine(a, b):
    return float(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def last_loss(params, run=jaxrnn.unroll_bptt):  # at the last quarter alone, of the rows as they are
    _, ys = run(cell, params, xs)
    return jaxrnn.squared_error(ys[-TIME // 4 :], targets[-TIME // 4 :])


windows = [4, 8, 16, 32, 64]
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, weights in {"forget bias 1": params, "forget bias 4": keeps}.items():
    whole = vector(jax.grad(last_loss)(weights))
    cut = [
        vector(jax.grad(partial(last_loss, run=partial(jaxrnn.unroll_truncated, k1=4, k2=k2)))(weights))
        for k2 in windows
    ]
    ax.semilogx(windows, [cosine(g, whole) for g in cut], "o-", base=2, label=name)
ax.set(xlabel="k₂ (k₁ = 4, τ = 64)", ylabel="cosine to the full gradient", title="Truncated BPTT")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Forward algorithms
# RTRL carries the influence J = ∂h/∂θ along and never goes back. SnAp-n keeps the entries that become nonzero within n
# steps, e-prop those that do not go through the recurrent weights, UORO a random matrix of rank one. Below are their
# errors against the exact gradient. For an LSTM, SnAp is exact with n = 2, because W reaches every unit in one step.
# UORO is unbiased, so its error depends on how many draws of random signs are averaged.

# %%
few = 16  # steps
short_exact = vector(forwards(jaxrnn.online.RTRL(cell), params, steps=few))


def error(g):
    return float(jnp.linalg.norm(g - short_exact) / jnp.linalg.norm(short_exact))


local = {
    "e-prop": jaxrnn.online.EProp(cell),
    "SnAp-1": jaxrnn.online.SnAp(cell, 1),
    "SnAp-2": jaxrnn.online.SnAp(cell, 2),
}
errors = {name: error(vector(jax.jit(partial(forwards, a, steps=few))(params))) for name, a in local.items()}
for name, value in errors.items():
    print(f"{name:8} relative error {value:.1e}")


@jax.jit
def guesses(keys):
    def one(key):
        state = jaxrnn.online.UORO(cell).init(key, params, xs[0])
        run = jaxrnn.online.run_online(
            jaxrnn.online.UORO(cell),
            params,
            state,
            xs[:few],
            targets[:few],
            jaxrnn.squared_error,
            mask=mask[:few],
            reset=reset[:few],
        )
        return vector(run.gradient)

    return jax.vmap(one)(keys)


drawn = guesses(jax.random.split(keys[4], 1024))
counts = 2 ** np.arange(0, 11)
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.loglog(counts, [error(drawn[:n].mean(0)) for n in counts], "o-", label="UORO, mean of n")
ax.loglog(counts, error(drawn[:1].mean(0)) / np.sqrt(counts), "k:", label="1/√n")
for (name, value), color in zip(list(errors.items())[:2], ("C1", "C2"), strict=True):
    ax.axhline(value, color=color, ls="--", label=name)
ax.set(xlabel="n", ylabel="relative error", title="Unbiased with variance (UORO), biased without (SnAp)")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Learning online
# Each algorithm learns online, one update a step, in one `lax.scan`. The target is the input two steps before. The cost
# of a step does not depend on how many steps came before it.

# %%
DELAY, STEPS = 2, 6000
small, readout = jaxrnn.GRU(1, 10, "after"), jaxrnn.Readout(10, 1)
signal = jax.random.rademacher(jax.random.key(7), (STEPS, 1, 1)).astype(float)
wanted = jnp.roll(signal, DELAY, axis=0)
optimizer = optax.adam(3e-3)


def learn(algorithm, *key):
    weights = {"cell": small.init(jax.random.key(1)), "readout": readout.init(jax.random.key(2))}
    state = algorithm.init(*key, weights["cell"], signal[0])

    def step(run, at):
        weights, state, memory = run
        x, target = at

        def loss(y, v=weights["readout"]):
            return jaxrnn.squared_error(readout.apply(v, y), target)

        state, done = algorithm.step(weights["cell"], state, x, loss)
        gradient = {"cell": done.gradient, "readout": jax.grad(lambda v: loss(done.y, v))(weights["readout"])}
        updates, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(weights, updates), state, memory), done.loss

    return jax.lax.scan(step, (weights, state, optimizer.init(weights)), (signal, wanted))[1]


fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
learners = {
    "RTRL": (jaxrnn.online.RTRL(small),),
    "SnAp-1": (jaxrnn.online.SnAp(small),),
    "e-prop": (jaxrnn.online.EProp(small),),
    "UORO": (jaxrnn.online.UORO(small), jax.random.key(3)),
}
for name, (algorithm, *key) in learners.items():
    losses = np.asarray(jax.jit(partial(learn, algorithm))(*key))
    smooth = losses.reshape(-1, 100).mean(1)
    print(f"{name:8} loss of the last 500 steps {losses[-500:].mean():.3f}")
    ax.semilogy(np.arange(len(smooth)) * 100, smooth, label=name)
ax.axhline(1, color="k", ls=":", label="no memory")
ax.set(xlabel="step", ylabel="squared error", title=f"Recalling the input of {DELAY} steps before, learned online")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Which one to use
# Use `unroll_bptt` while it fits in memory, `unroll_checkpointed` and `unroll_loss` when it does not, `TruncatedBPTT`
# for a stream, and a forward algorithm where a backward pass is impossible. [docs/gradients.md](../docs/gradients.md)
# has the table, and `jaxrnn gradients` prints it for your sizes.

# %% [markdown]
# ## Exercises
# **1.** A sequence of τ steps is cut into s segments. The carries between segments are stored, and one segment at a
# time is recomputed. Which s needs the least memory?
#
# <details><summary>Answer</summary>
#
# About $s + \tau/s$ carries are stored at once. The minimum is at $s = \sqrt\tau$, with $2\sqrt\tau$.
#
# </details>
#
# **2.** What does one step of RTRL cost for an Elman network of n units and n inputs? What does one step of
# back-propagation cost?
#
# <details><summary>Answer</summary>
#
# The influence matrix has n rows and $P = 2n^2 + n$ columns, and is multiplied by the Jacobian: $n^2P \approx 2n^4$
# multiplications. Back-propagation needs a few matrix-vector products, of order $n^2$.
#
# </details>
#
# **3.** UORO replaces $\sum_i a_i b_i^\top$ by one product of two vectors. Show that
# $(\sum_i\nu_i a_i)(\sum_j\nu_j b_j)^\top$ with independent random signs ν is unbiased.
#
# <details><summary>Answer</summary>
#
# $E[\nu_i\nu_j]$ is 1 for $i = j$ and 0 otherwise, so the expectation of the double sum is $\sum_i a_i b_i^\top$.
#
# </details>
