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
# # 07 · Long-term dependencies: why gradients vanish or explode, and what helps
#
# Chapter section 三. A gradient that goes back τ steps is multiplied by τ Jacobians,
#
# $$\nabla_{\mathbf h^{(s)}}L=\Big(\frac{\partial\mathbf h^{(t)}}{\partial\mathbf h^{(s)}}\Big)^{T}
# \nabla_{\mathbf h^{(t)}}L,\qquad
# \frac{\partial\mathbf h^{(t)}}{\partial\mathbf h^{(s)}}=\mathbf J^{(t)}\cdots\mathbf J^{(s+1)},$$
#
# and a product of many matrices vanishes or explodes. This notebook measures this, and then tries the chapter's
# remedies: time scales (3.2), clipping (3.3), the regularizer Ω (3.4).
#
# **You will see** gradients that vanish and explode, in the linear case and with tanh; delays, leaky units, clockwork
# groups, clipping and Ω as remedies; and one call that diagnoses a network.


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
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn

jax.config.update("jax_enable_x64", True)
key = jax.random.key(0)


def orthogonal(n, seed=0):
    return jnp.linalg.qr(jax.random.normal(jax.random.key(seed), (n, n)))[0]


# %% [markdown]
# ## 3.1 The linear case: h(t) = Wᵗ h(0), ∇h(0) = (Wᵀ)ᵗ ∇h(t)
# The chapter's formula for the gradient lacks the transpose. For a *normal* W, state and gradient grow alike, as the
# eigenvalues predict. For a non-normal W of the same spectral radius, the eigenvalues predict only the growth after
# many steps, and until then the state and the gradient grow differently.

# %%
normal = 0.9 * orthogonal(2)
skew = jnp.array([[0.9, 6.0], [0.0, 0.9]])
v = jnp.array([0.0, 1.0])
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, w, name in zip(axes, (normal, skew), ("normal: 0.9 Q", "not normal: [[0.9, 6], [0, 0.9]]"), strict=True):
    g = jaxrnn.dynamics.growth(w, v, 40)
    ax.semilogy(g.forward, label="forward ‖Wᵗ v‖")
    ax.semilogy(g.backward, "--", label="backward ‖(Wᵀ)ᵗ v‖")
    ax.semilogy(g.singular_values[:, 0], ":", color="gray", label="largest singular value of Wᵗ")
    ax.semilogy(g.eigenvalues[:, 0], color="black", linewidth=0.8, label="|λ|ᵗ")
    ax.set(
        xlabel="t", title=f"{name}\ndeparture from normality {float(jaxrnn.dynamics.departure_from_normality(w)):.2f}"
    )
    ax.grid(alpha=0.3)
axes[0].set_ylabel("size of what is left after t steps")
axes[0].legend()
plt.show()

# %% [markdown]
# ## Without recurrence it is a little easier
# A deep feed-forward network has different weights in every layer. The product of n independent weights of mean 0 and
# variance v has the variance vⁿ, and v can be chosen for the depth: v = ⁿ√target. A recurrent network has only one W.

# %%
depth = 30
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for v_weight in (0.7, 1.0, float(jaxrnn.dynamics.weight_variance(1e3, depth))):
    products = jaxrnn.dynamics.sample_products(key, v_weight, depth, 200_000)
    n = np.arange(1, depth + 1)
    (line,) = ax.semilogy(
        n, jaxrnn.dynamics.product_variance(v_weight, jnp.asarray(n)), label=f"vⁿ, v = {v_weight:.2f}"
    )
    few = n <= 8  # beyond, the variance comes from draws that 200,000 samples do not contain
    ax.semilogy(n[few], jnp.var(products, axis=0)[few], "o", markersize=4, color=line.get_color())
ax.set(xlabel="n", ylabel="variance of the product", title="Lines: vⁿ; dots: samples")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## With tanh the state is bounded; the gradient is not
# The Jacobian is J(t) = diag(1 − h²) W. The top Lyapunov exponent is the mean rate at which it stretches: below 0 every
# gradient vanishes, above 0 it explodes, while h stays between −1 and 1 (section 6.2 says the same of echo states).

# %%
HIDDEN = 24
cell = jaxrnn.Elman(3, HIDDEN)
base = jax.random.normal(key, (HIDDEN, HIDDEN)) / HIDDEN**0.5
xs = 0.3 * jax.random.normal(jax.random.key(1), (200, 3))
scales = np.linspace(0.2, 4, 11)


def dynamics(scale):
    params = jaxrnn.cells.ElmanParams(0.5 * jnp.ones((3, HIDDEN)), scale * base, jnp.zeros(HIDDEN))
    top = jaxrnn.dynamics.lyapunov_spectrum(cell, params, xs, count=1, skip=50)[0]
    last = jaxrnn.dynamics.hidden_gradients(cell, params, xs, lambda carry, ys: carry.sum())
    return top, jnp.abs(jaxrnn.unroll(cell, params, xs)[1]).max(), jnp.linalg.norm(last, axis=-1)


tops, largest, norms = jax.jit(lambda s: jax.lax.map(dynamics, s))(jnp.asarray(scales))
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
radius = float(jaxrnn.reservoirs.spectral_radius(base))
axes[0].plot(scales * radius, tops, "o-", label="top Lyapunov exponent")
axes[0].plot(scales * radius, largest, "--", label="largest |h|")
axes[0].axhline(0, color="black", linewidth=0.8)
axes[0].set(xlabel="spectral radius of W", title="Bounded forward, unbounded backward")
axes[0].legend()
for i in (0, 3, 10):
    axes[1].semilogy(np.arange(199, -1, -1), norms[i], label=f"radius {scales[i] * radius:.1f}")
axes[1].set(xlabel="steps back", ylabel="‖∇h‖", title="Gradient of the last state")
axes[1].legend()
for ax in axes:
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 3.2 Delays: the gradient decays with τ/d
# In a linear network whose only connection skips d steps, W_d = 0.5 Q, the gradient after τ steps is 0.5^{τ/d}. Dots
# are measured, lines are the formula. As the chapter warns, with 1.5 Q the gradient still explodes, only more slowly.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for ax, scale in zip(axes, (0.5, 1.5), strict=True):
    for d in (1, 2, 5, 10):
        delayed = jaxrnn.cells.Delays(1, 4, (d,), "identity")
        params = jaxrnn.cells.DelaysParams(jnp.zeros((1, 4)), scale * orthogonal(4)[None], jnp.zeros(4))
        back = jaxrnn.dynamics.hidden_gradients(delayed, params, jnp.zeros((61, 1)), lambda carry, ys: ys[-1].sum())
        # h(t) hands on through the first array of the carry
        measured = jnp.linalg.norm(back[::-1, :4], axis=-1) / 2
        taus = np.arange(61)
        (line,) = ax.semilogy(taus, scale ** (taus / d), linewidth=0.8, label=f"d = {d}")
        ax.semilogy(taus[::d], measured[::d], "o", markersize=3, color=line.get_color())
    ax.set(xlabel="τ", ylabel="‖∇h(t−τ)‖", title=f"λ = {scale}: λ^(τ/d)")
    ax.legend()
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Leaky units and clockwork groups
# How far back does the gradient of the last output reach before training? The figure compares a tanh network with four
# kinds of memory.

# %%
n = 24
kinds = {
    "tanh": jaxrnn.Elman(3, n),
    "LSTM": jaxrnn.LSTM(3, n),
    "leaky, α = 0 … 0.99": jaxrnn.Leaky(jaxrnn.Elman(3, n), (0.0, 0.9, 0.99)),
    "clockwork, T = 1 … 32": jaxrnn.cells.Clockwork(3, n, (1, 2, 4, 8, 16, 32)),
    "delays 1, 5, 25": jaxrnn.cells.Delays(3, n, (1, 5, 25)),
}
noise = jax.random.normal(jax.random.key(2), (150, 8, 3))
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, kind in kinds.items():
    ds = jaxrnn.dynamics.hidden_gradients(kind, kind.init(key), noise, lambda carry, ys: ys[-1].sum())
    norms = np.median(jnp.linalg.norm(ds, axis=-1)[::-1], axis=1)
    ax.semilogy(norms / norms[0], label=name)
ax.set(xlabel="steps back", ylabel="‖∇h‖, relative", title="Gradient against the distance")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# α is a parameter. It is either learned like any other, with `bound_alphas` keeping it in [0, 1], or fixed by a mask:

# %%
leaky = jaxrnn.Leaky(jaxrnn.Elman(3, n), (0.0, 0.9, 0.99))
params = leaky.init(key)
gradient = jax.grad(lambda p: jnp.mean(jaxrnn.unroll_bptt(leaky, p, noise[:20])[1] ** 2))(params)
for name, optimizer in {
    "learned": optax.chain(optax.sgd(0.1), jaxrnn.training.bound_alphas()),
    "fixed": optax.chain(optax.sgd(0.1), optax.masked(optax.set_to_zero(), jaxrnn.training.alphas)),
}.items():
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    print(f"{name:8} α =", np.round(optax.apply_updates(params, updates).alpha, 3))

# %% [markdown]
# ## 3.3 The cliff
# Start one unit at 0.5 and apply h ← tanh(w h + b) fifty times; the loss is (h − 0.7)². Its surface has a wall, and a
# gradient step at the wall throws the parameters far away. Clipping by norm takes a step of bounded length in the same
# direction.

# %%
one = jaxrnn.Elman(1, 1)


def cliff(point):
    w, b = point
    params = jaxrnn.cells.ElmanParams(jnp.zeros((1, 1)), w.reshape(1, 1), b.reshape(1))
    h, _ = jaxrnn.unroll(one, params, jnp.zeros((50, 1)), jnp.array([0.5]))
    return (h[0] - 0.7) ** 2


ws, bs = jnp.linspace(1, 7, 90), jnp.linspace(-2.5, 0.5, 90)
surface = jax.jit(jax.vmap(lambda w: jax.vmap(lambda b: cliff((w, b)))(bs)))(ws)
slope = jax.jit(jax.vmap(lambda w: jax.vmap(lambda b: jnp.linalg.norm(jnp.stack(jax.grad(cliff)((w, b)))))(bs)))(ws)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for ax, values, title in zip(axes, (surface, jnp.log10(slope + 1e-12)), ("loss", "log10 ‖gradient‖"), strict=True):
    image = ax.pcolormesh(ws, bs, values.T, shading="auto", cmap="viridis")
    ax.set(xlabel="w", ylabel="b", title=title)
    fig.colorbar(image, ax=ax)
plt.show()
steep = jnp.unravel_index(jnp.argmax(slope), slope.shape)
g = jnp.stack(jax.grad(cliff)((ws[steep[0]], bs[steep[1]])))
for name, clip in {
    "as it is": optax.identity(),
    "clip_by_norm(1)": jaxrnn.training.clip_by_norm(1.0),
    "clip_by_value(1)": jaxrnn.training.clip_by_value(1.0),
    "random_step(1)": jaxrnn.training.random_step(1.0, key),
}.items():
    print(f"{name:18}", np.round(clip.update(g, clip.init(g))[0], 3))
clip, bad = jaxrnn.training.clip_by_norm(1.0), jnp.array([jnp.inf, 1.0])
print("a gradient of [inf, 1] becomes", clip.update(bad, clip.init(bad))[0], "and is skipped by optax.apply_if_finite")

# %% [markdown]
# Clipping biases the mean: the mean of clipped minibatch gradients is not the clipped mean. For heavy-tailed gradients
# around one true direction, the more is clipped, the more the two differ:

# %%
minibatches = jnp.array([1.0, 0.3]) + jax.random.t(jax.random.key(4), 2.0, (400, 2)) * jnp.array([2.0, 0.2])
for v_clip in (30.0, 3.0, 1.0, 0.3):
    bias = jaxrnn.training.clipping_bias(minibatches, v_clip)
    angle = np.degrees(np.arccos(np.clip(bias.cosine, -1, 1)))
    print(
        f"v = {v_clip:4}: mean of clipped {np.round(bias.mean_of_clipped, 3)}, "
        f"clipped mean {np.round(bias.clipped_mean, 3)}, angle {angle:.1f}°"
    )

# %% [markdown]
# ## 3.4 Ω
# The regularizer Ω penalizes every step at which ‖(∂h(t)/∂h(t−1))ᵀ δ‖ differs from ‖δ‖. `omega` differentiates through
# everything; `pascanu_omega` treats δ and h as constants. Their values are equal, their gradients differ:

# %%
cell = jaxrnn.Elman(6, 30)
params = cell.init(key)
params = params._replace(w=0.6 * params.w)
inputs = jax.random.normal(jax.random.key(5), (20, 8, 6))


def loss(carry, ys):
    return jnp.mean(carry**2)


exact, approximate = (
    jax.jit(jax.value_and_grad(lambda p, f=f: f(cell, p, inputs, loss)))(params)
    for f in (jaxrnn.dynamics.omega, jaxrnn.dynamics.pascanu_omega)
)
cosine = jnp.vdot(exact[1].w, approximate[1].w) / jnp.linalg.norm(exact[1].w) / jnp.linalg.norm(approximate[1].w)
print(f"Ω = {exact[0]:.4f} and {approximate[0]:.4f}; cosine between the two gradients in W: {cosine:.3f}")
print("closed forms: W = cI gives (c − 1)² a term:")
for c in (0.5, 1.0, 2.0):
    line = jaxrnn.cells.ElmanParams(jnp.zeros((1, 3)), c * jnp.eye(3), jnp.zeros(3))
    total = jaxrnn.dynamics.omega(
        jaxrnn.Elman(1, 3, "identity"), line, jnp.zeros((10, 1)), lambda carry, ys: carry.sum()
    )
    print(f"  c = {c}: Ω/τ = {total / 10:.2f}")

# %% [markdown]
# Descend on Ω alone for a few steps, and the gradient that had vanished reaches the first step:

# %%
descend = jax.jit(jax.grad(lambda p: jaxrnn.dynamics.pascanu_omega(cell, p, inputs, loss)))
fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
moved = params
for step in range(21):
    if step in (0, 2, 5, 20):
        norms = jnp.linalg.norm(jaxrnn.dynamics.hidden_gradients(cell, moved, inputs, loss), axis=-1).mean(1)
        ax.semilogy(np.arange(19, -1, -1), norms / norms[-1], label=f"after {step} steps on Ω")
    moved = jax.tree.map(lambda p, g: p - 0.05 * g, moved, descend(moved))
ax.set(xlabel="steps back", ylabel="‖∇h‖, relative", title="Effect of Ω on the gradient")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Can a network with Ω learn what plain gradient descent does not? `make reproduce` runs the temporal order problem of
# Pascanu, Mikolov & Bengio 2013, and the adding and copy problems; the tables are in `docs/reproduce.md`.
#
# ## One call
# `diagnose` tells in plain words what is wrong with a network on its data.

# %%
for scale, name in ((0.5, "small W"), (1.0, "orthogonal W, inputs 20 times too large")):
    params = jaxrnn.Elman(3, n).init(key)
    params = params._replace(w=scale * params.w, u=params.u * (20 if scale == 1 else 1))
    report = jaxrnn.diagnose(jaxrnn.Elman(3, n), params, noise[:50], lambda carry, ys: jnp.mean(carry**2))
    print(f"{name}: {report.verdict}. {report.advice}\n")
report.figure()

# %% [markdown]
# ## Exercises
# **1.** The spectral radius is 0.9, and W is normal. After how many steps is a gradient a thousandth of what it was?
# After how many with a delay of 4 instead of 1?
#
# <details><summary>Answer</summary>
#
# $0.9^t < 10^{-3}$ from $t = 66$ on. With the delay it decays as $0.9^{\tau/4}$: from 263 steps on.
#
# </details>
#
# **2.** A leaky unit has α = 0.99. In how many steps does its state fall to 1/e?
#
# <details><summary>Answer</summary>
#
# $-1/\ln\alpha = 99.5$ steps, close to $1/(1-\alpha) = 100$.
#
# </details>
#
# **3.** A gradient is (10, 1) and v = 1. What does it become when clipped by value, and by norm? Which of the two
# changes its direction?
#
# <details><summary>Answer</summary>
#
# By value it becomes (1, 1), which points 45° up where the gradient pointed 5.7° up. By norm it becomes (0.995,
# 0.0995), in the same direction.
#
# </details>
