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
# # 05 · Two directions, four directions, depth
#
# Chapter sections 2.7 and 2.8. So far, y(t) depended on the past alone. Two networks, one from each end of the
# sequence, see all of it; four networks, one from each corner, see all of an image. A step can also be made deep in
# four places: with more layers of hidden units, or with an MLP in each of its three transitions.
#
# **You will see** what each output depends on with one direction, two and four; images processed along anti-diagonals;
# and depth in layers and in transitions, with noise and normalization.


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

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import jaxrnn

jax.config.update("jax_enable_x64", True)


def heat(ax, values, title, xlabel, ylabel):
    """Draw a matrix, white where it is exactly 0."""
    values = np.asarray(values)
    ax.imshow(np.where(values > 0, np.log10(np.maximum(values, 1e-12)), np.nan), cmap="viridis", vmin=-4, vmax=0.5)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %% [markdown]
# ## What y(t) sees
# The figure shows the size of ∂y(t)/∂x(s), white where it is exactly 0. A row is an output, a column an input. The last
# panel is a row of length 7 in a batch of length 12: the backward network starts at the row's own last step, and
# nothing depends on padding.

# %%
TIME, INPUT, HIDDEN = 12, 3, 8
cell = jaxrnn.GRU(INPUT, HIDDEN)
both = jaxrnn.Bidirectional(cell, jaxrnn.GRU(INPUT, HIDDEN))
params = both.init(jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (TIME, INPUT))
short = jaxrnn.mask_from_lengths(jnp.array(7), TIME)


def seen(run):
    return jnp.linalg.norm(jax.jacobian(run)(xs), axis=(1, 3))


fig, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
runs = {
    "to the right": lambda x: jaxrnn.unroll(cell, params.forward, x)[1],
    "to the left": lambda x: jaxrnn.unroll(cell, params.backward, x, reverse=True)[1],
    "both": lambda x: both.apply(params, x)[1],
    "both, 7 steps and padding": lambda x: both.apply(params, x, mask=short)[1],
}
for ax, (title, run) in zip(axes, runs.items(), strict=True):
    heat(ax, seen(run), title, "input s", "output t")
plt.show()

# %% [markdown]
# The final carries are exactly the states at the two ends of the row: h at its last step, g at its first.

# %%
carry, ys = both.apply(params, xs, mask=short)
print("h at step 7, less the final carry:", float(abs(ys[6, :HIDDEN] - carry.forward).max()))
print("g at step 1, less the final carry:", float(abs(ys[0, HIDDEN:] - carry.backward).max()))

# %% [markdown]
# ## A task that needs both
# y(t) is 1 where x(t−2) + … + x(t+2) > 0: two of the five numbers lie in the future, and a forward network can only
# guess them. The bidirectional network has 16 units in each direction, so both networks have about the same number of
# parameters.


# %%
def window(xs):
    padded = jnp.pad(xs[..., 0], [(2, 2), (0, 0)])
    return (sum(padded[i : i + len(xs)] for i in range(5)) > 0).astype(xs.dtype)[..., None]


def train(apply, params, features, steps=400):
    readout, update = jaxrnn.Readout(features, 1), optax.adam(0.01)
    weights = params, readout.init(jax.random.key(2))

    def loss(weights, key):
        x = jax.random.normal(key, (20, 32, 1))
        return jaxrnn.bernoulli(readout.apply(weights[1], apply(weights[0], x)), window(x))

    def step(state, key):
        weights, memory = state
        value, grads = jax.value_and_grad(loss)(weights, key)
        updates, memory = update.update(grads, memory)
        return (optax.apply_updates(weights, updates), memory), value

    keys = jax.random.split(jax.random.key(3), steps)
    return jax.jit(lambda state: lax.scan(step, state, keys)[1])((weights, update.init(weights)))


one = jaxrnn.GRU(1, 23)
two = jaxrnn.Bidirectional(jaxrnn.GRU(1, 16), jaxrnn.GRU(1, 16))
curves = {
    "to the right, 23 units": train(lambda p, x: jaxrnn.unroll_bptt(one, p, x)[1], one.init(jax.random.key(4)), 23),
    "two directions, 16 units each": train(
        lambda p, x: two.apply(p, x, run=jaxrnn.unroll_bptt)[1], two.init(jax.random.key(4)), 32
    ),
}
fig, ax = plt.subplots(figsize=(6, 3.2))
for label, curve in curves.items():
    ax.plot(curve, label=label)
    print(f"{label:32} mean loss of the last 50 steps: {curve[-50:].mean():.3f} nats")
ax.set(xlabel="training step", ylabel="nats a step", ylim=(0, 0.75), title="Is the sum of x(t−2) … x(t+2) positive?")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Four directions over an image
# A pixel's state depends on those of the pixels above it and to its left. So all pixels on an anti-diagonal can be
# computed at once: an image of 8 × 12 pixels takes 8 + 12 − 1 = 19 steps, not 96. Left: the step that computes each
# pixel. Center and right: the pixels that the output at (3, 7) depends on, for one direction and for four.

# %%
HEIGHT, WIDTH, PIXEL = 8, 12, (3, 7)
images = jax.random.normal(jax.random.key(5), (HEIGHT, WIDTH, 1))
grid_cell = jaxrnn.directions.LSTM2D(1, 6)
four = jaxrnn.directions.Multidirectional((grid_cell,) * 4)
four_params = four.init(jax.random.key(6))


def sees(run):
    return jnp.linalg.norm(jax.jacobian(lambda x: run(x)[PIXEL])(images), axis=(0, 3))


fig, axes = plt.subplots(1, 3, figsize=(13, 3.3), layout="constrained")
steps = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))
axes[0].imshow(steps, cmap="plasma")
for i, j in np.ndindex(HEIGHT, WIDTH):
    axes[0].text(j, i, steps[i, j], ha="center", va="center", fontsize=7, color="w" if steps[i, j] < 12 else "k")
axes[0].set(title="The wavefront: step at which each pixel is computed", xlabel="j", ylabel="i")
heat(axes[1], sees(lambda x: jaxrnn.directions.unroll_2d(grid_cell, four_params[0], x)), "one direction", "j", "i")
heat(axes[2], sees(lambda x: four.apply(four_params, x)), "four directions", "j", "i")
for ax in axes[1:]:
    ax.plot(PIXEL[1], PIXEL[0], "r+", markersize=12)
plt.show()

# %% [markdown]
# The result equals the definition, two nested Python loops, in fewer steps. The obvious alternative, a scan over rows
# of a scan over columns, takes height × width steps.


# %%
def nested_scans(params, xs):
    def row(above, x):
        def pixel(left, at):
            up, z = at
            state, y = grid_cell.step_2d(params, up, left, z)
            return state, (state, y)

        _, (states, ys) = lax.scan(pixel, grid_cell.initial_carry(params, x.shape[1:-1]), (above, x))
        return states, ys

    zs = grid_cell.project(params, xs)
    return lax.scan(row, grid_cell.initial_carry(params, xs.shape[1:-1]), zs)[1]


p = four_params[0]
loops = jaxrnn.directions.unroll_2d_python(grid_cell, p, images)
print("wavefront − Python loops:", float(abs(jaxrnn.directions.unroll_2d(grid_cell, p, images) - loops).max()))
print("nested scans − Python loops:", float(abs(nested_scans(p, images) - loops).max()))


def milliseconds(run, x):
    run = jax.jit(run)
    jax.block_until_ready(run(p, x))
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(run(p, x))
        rounds.append(1000 * (time.perf_counter() - start))
    return min(rounds)


print(f"{'size':>8}{'wavefront, ms':>16}{'nested scans, ms':>18}{'ratio':>8}")
for size in (8, 16, 32, 64):
    square = jax.random.normal(jax.random.key(7), (size, size, 1))
    fast = milliseconds(lambda p, x: jaxrnn.directions.unroll_2d(grid_cell, p, x), square)
    slow = milliseconds(nested_scans, square)
    print(f"{size:4} × {size:2}{fast:15.2f}{slow:18.2f}{slow / fast:8.1f}")

# %% [markdown]
# ## Depth, the first way: layers of hidden units
# `Stack` is one cell: all layers compute step t before any computes step t + 1. `unroll_layers` runs one layer over all
# t, then the next. The results are the same; layer by layer, every input projection is computed outside the loop.

# %%
stack = jaxrnn.Stack((jaxrnn.LSTM(INPUT, 16), jaxrnn.LSTM(16, 16), jaxrnn.LSTM(16, HIDDEN)))
stack_params = stack.init(jax.random.key(8))
as_one = jaxrnn.unroll(stack, stack_params, xs)
by_layers = jaxrnn.unroll_layers(stack, stack_params, xs)
print(
    "largest difference:",
    max(float(abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (as_one, by_layers)), strict=True)),
)

# %% [markdown]
# ## Depth, the second way: an MLP in a transition
# The chapter warns against depth in the hidden → hidden transition: three more layers between h(t−1) and h(t) make
# every path four times as long, so the gradient vanishes that much faster. A skip connection avoids this. The figure
# shows ‖∂h(T)/∂h(T−k)‖.

# %%
LONG, N = 60, 24
noise = 0.1 * jax.random.normal(jax.random.key(9), (LONG, INPUT))
plain = jaxrnn.Elman(INPUT, N)
transitions = {
    "plain": plain,
    "three layers more": jaxrnn.cells.wrappers.DeepTransition(plain, sizes=(N, N)),
    "three layers more, skip": jaxrnn.cells.wrappers.DeepTransition(plain, sizes=(N, N), skip=True),
}
fig, ax = plt.subplots(figsize=(6, 3.4))
for label, deep in transitions.items():
    weights = deep.init(jax.random.key(10))
    _, hs = jaxrnn.unroll(deep, weights, noise)

    def one_step(h, x, deep=deep, weights=weights):
        return jaxrnn.unroll(deep, weights, x[None], h)[0]

    jacobians = jax.vmap(jax.jacobian(one_step))(hs[:-1], noise[1:])
    product, norms = jnp.eye(N), []
    for jacobian in jacobians[::-1]:
        product = product @ jacobian
        norms.append(jnp.linalg.norm(product, 2))
    ax.semilogy(range(1, LONG), norms, label=label)
    print(f"{label:26} ‖∂h(T)/∂h(T−{LONG - 1})‖ = {norms[-1]:.1e}")
ax.set(xlabel="k", ylabel="‖∂h(T)/∂h(T−k)‖", title="Norm of the gradient k steps back")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Noise: dropout and zoneout
# The random key is part of the input, `with_noise(key, xs)`. It has the axes `[time, *batch]`, so padding, resets,
# slices and `vmap` treat it as they treat x. The first two panels show what a layer reads when x = 1: with variational
# dropout (one mask for the whole sequence), and with a new mask at each step. The third shows the units that zoneout
# holds.

# %%
UNITS, RATE = 24, 0.4
copy = jaxrnn.Elman(UNITS, UNITS, "identity")
copy_params = jaxrnn.cells.ElmanParams(jnp.eye(UNITS), jnp.zeros((UNITS, UNITS)), jnp.zeros(UNITS))
noisy = jaxrnn.with_noise(jax.random.key(11), jnp.ones((30, UNITS)))
pictures = {
    "Dropout, per sequence": jaxrnn.unroll(jaxrnn.Dropout(copy, RATE), copy_params, noisy)[1],
    "Dropout, per step": jaxrnn.unroll(jaxrnn.Dropout(copy, RATE, per="step"), copy_params, noisy)[1],
}
ramp = noisy._replace(x=noisy.x * jnp.arange(1.0, 31)[:, None])
zoned = jaxrnn.unroll(jaxrnn.cells.wrappers.Zoneout(copy, RATE), copy_params, ramp)[1]
fig, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
for ax, (title, values) in zip(axes, pictures.items(), strict=False):
    shown = ax.imshow(values.T, cmap="Greys", vmin=0)
    ax.set(title=f"{title}: 0 or 1/(1 − p)", xlabel="t", ylabel="unit")
axes[2].plot(range(1, 31), zoned[:, :5], drawstyle="steps-mid", alpha=0.8)
axes[2].plot(range(1, 31), jnp.arange(1.0, 31), "k:", label="without zoneout, h(t) = t")
axes[2].set(title="Zoneout: a held unit keeps its old value", xlabel="t", ylabel="h(t), five units")
axes[2].legend()
plt.show()

# %% [markdown]
# Each wrapper preserves the expectation. `quiet(cell)` returns the cell for evaluation, with the same parameters: it
# removes dropout and replaces zoneout by its mean.

# %%
many = jaxrnn.with_noise(jax.random.key(12), jnp.ones((1, 20_000, UNITS)))
mean = jaxrnn.unroll(jaxrnn.Dropout(copy, RATE), copy_params, many)[1].mean()
print(f"mean of dropped-out ones over 20,000 rows of {UNITS} units: {mean:.4f}")
network = jaxrnn.Stack((jaxrnn.LSTM(3, 8), jaxrnn.Dropout(jaxrnn.cells.wrappers.Zoneout(jaxrnn.GRU(8, 5), 0.1), 0.5)))
print(network)
print(jaxrnn.quiet(network))

# %% [markdown]
# ## Layer normalization
# Layer normalization centers and scales the summed inputs of a cell, row by row at every step. If W and U are
# multiplied by 100, the plain network saturates and the normalized one is unaffected.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, factor in zip(axes, (1, 100), strict=True):
    elman = jaxrnn.Elman(INPUT, 40)
    weights = elman.init(jax.random.key(13))
    scaled = weights._replace(u=weights.u * factor, w=weights.w * factor)
    normal = jaxrnn.LayerNorm(elman)
    normal_params = normal.init(jax.random.key(13))._replace(cell=scaled)
    long_xs = jax.random.normal(jax.random.key(14), (200, INPUT))
    bins = np.linspace(-1, 1, 41)
    ax.hist(jaxrnn.unroll(elman, scaled, long_xs)[1].ravel(), bins, alpha=0.6, label="Elman")
    ax.hist(jaxrnn.unroll(normal, normal_params, long_xs)[1].ravel(), bins, alpha=0.6, label="LayerNorm(Elman)")
    ax.set(title=f"weights × {factor}", xlabel="h")
axes[0].legend()
axes[0].set_ylabel("how often, 40 units over 200 steps")
plt.show()

# %% [markdown]
# ## Exercises
# **1.** A row ends at step L of τ. Where does the backward network begin, and what is its state between L and τ?
#
# <details><summary>Answer</summary>
#
# It begins at step L, the row's own end. Between L and τ it holds its initial carry, so it reads no padding.
#
# </details>
#
# **2.** How many sequential steps does an H × W image take along anti-diagonals? How many with a scan over rows of a
# scan over columns?
#
# <details><summary>Answer</summary>
#
# $H + W - 1$, and $H\cdot W$.
#
# </details>
#
# **3.** A transition has k more hidden layers. How many nonlinearities does the shortest path from $\mathbf h^{(t)}$ to
# $\mathbf h^{(t+n)}$ pass without a skip connection, and with one around the layers?
#
# <details><summary>Answer</summary>
#
# $n(k+1)$ without, and $n$ with the skip connection, which adds a path around the extra layers.
#
# </details>
