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
# # 10 · Reservoirs
#
# Chapter section 6. The recurrent weights are the hardest to learn, so a reservoir does not learn them: draw them at
# random, set their spectral radius, and solve a linear regression for the output. This notebook first follows the
# chapter's reasoning about the spectral radius, then shows what such a network can do.
#
# **You will see** why the spectral radius decides what a reservoir remembers, a chaotic series that the network
# continues on its own, a search over many reservoirs in one call, and a liquid of spiking neurons.


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

import jaxrnn
from jaxrnn.tasks.reservoirs import mackey_glass_series

jax.config.update("jax_enable_x64", True)
N = 200
xs = jax.random.uniform(jax.random.key(0), (300, 1), minval=-1, maxval=1)

# %% [markdown]
# ## A perturbation in the linear case: δ|λ|ⁿ
# Perturb the state along an eigenvector v by δ. Without a nonlinearity, the perturbation n steps later is exactly
# δ|λ|ⁿ: dots are the network, lines the formula. The backward pass multiplies by the same matrix, transposed, so the
# gradient grows at the same rate.

# %%
linear = jaxrnn.reservoirs.Reservoir(1, N, connections=5, activation="identity")
params = linear.init(jax.random.key(1))
eigenvalues, eigenvectors = np.linalg.eig(np.asarray(jaxrnn.reservoirs.recurrent_matrix(linear, params)).T)
leading = np.argmax(abs(eigenvalues))
v = jnp.asarray(np.stack([eigenvectors[:, leading].real, eigenvectors[:, leading].imag]))
DELTA, STEPS = 1e-6, 60


def perturbed(cell, params):
    """Return the norm of a perturbation along v after n steps: along both parts of v, because the state is real."""
    start = 0.1 * jax.random.normal(jax.random.key(2), (2, N))
    both = jnp.broadcast_to(xs[:STEPS, None], (STEPS, 2, 1))
    one, other = (jaxrnn.unroll(cell, params, both, h)[1] for h in (start, start + DELTA * v))
    return np.linalg.norm(other - one, axis=(1, 2))


fig, axes = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
n = np.arange(1, STEPS + 1)
for radius in (0.8, 1.0, 1.2):
    scaled = params._replace(radius=jnp.asarray(radius))
    grown = perturbed(linear, scaled)
    (line,) = axes[0].semilogy(n, DELTA * radius**n, label=f"δ|λ|ⁿ, |λ| = {radius}")
    axes[0].semilogy(n[::4], grown[::4], "o", color=line.get_color(), markersize=4)
    print(f"radius {radius}: largest relative distance from δ|λ|ⁿ {abs(grown / (DELTA * radius**n) - 1).max():.1e}")
axes[0].set(title="Linear: as the formula predicts", xlabel="n", ylabel="size of the perturbation")
axes[0].legend()
tanh = jaxrnn.reservoirs.Reservoir(1, N, connections=5)
for radius in (0.8, 1.2, 3.0):
    axes[1].semilogy(n, perturbed(tanh, params._replace(radius=jnp.asarray(radius))), label=f"ρ = {radius}")
axes[1].set(title="tanh: growth stops where the units saturate", xlabel="n")
axes[1].legend()
plt.show()

# %% [markdown]
# ## The state is bounded, the gradient is not
# Whatever the weights, |h| < 1. The Jacobian of n steps, which carries the gradient back, is a product of factors
# diag(1 − h²) ρW, and nothing bounds it from above. The chapter hopes that with a radius of 3 the derivative of tanh
# will keep it small. The measurement shows that this holds only while the input saturates the units. When the input is
# weak, ρ = 3 is chaos: the state stays in [−1, 1] and the gradient explodes.


# %%
def jacobian_norms(params, inputs):
    """Return ‖∂h(n)/∂h(0)‖ for every n, and the states."""

    def step(carry, x):
        h, product = carry
        z = tanh.project(params, x)
        jacobian = jax.jacobian(lambda h: tanh.step(params, h, z)[0])(h)
        h, product = tanh.step(params, h, z)[0], jacobian @ product
        return (h, product), (jnp.linalg.norm(product), h)

    return jax.lax.scan(step, (jnp.zeros(N), jnp.eye(N) / N**0.5), inputs)[1]


run = jax.jit(jacobian_norms)
fig, axes = plt.subplots(1, 3, figsize=(14, 3.6), layout="constrained")
for strength, style in ((0.1, "-"), (20.0, "--")):
    for radius, color in ((0.8, "C0"), (1.25, "C1"), (3.0, "C3")):
        scaled = params._replace(radius=jnp.asarray(radius))
        norms, hs = run(scaled, strength * xs[:80])
        axes[1].semilogy(norms, style, color=color, label=f"ρ = {radius}, input × {strength:g}")
        if radius == 3.0:
            axes[0].plot(hs[:, :3], style, color=color, alpha=0.6)
axes[0].set(title="Forward, ρ = 3: h stays in [−1, 1]", xlabel="n", ylabel="h, three units")
axes[1].set(title="Backward: ‖∂h(n)/∂h(0)‖ / √N", xlabel="n", ylim=(1e-30, 1e30))
axes[1].legend()

# what the radius does, over a sweep: the rate at which two close beginnings part or meet
radii, strengths = jnp.linspace(0.2, 4, 20), (0.1, 1.0, 5.0, 20.0)
rates = jax.jit(
    jax.vmap(
        jax.vmap(
            lambda radius, strength: jaxrnn.reservoirs.forgetting_rate(
                tanh, params._replace(radius=radius), strength * xs[:150], jnp.zeros(N), jnp.full(N, 1e-9)
            ),
            (0, None),
        ),
        (None, 0),
    )
)(radii, jnp.array(strengths))
for strength, rate in zip(strengths, rates, strict=True):
    axes[2].plot(radii, jnp.maximum(rate, -0.3), ".-", label=f"input × {strength:g}")  # −∞: equal to the last bit
axes[2].axhline(0, color="k", linewidth=0.8)
axes[2].axvspan(0.8, 1.25, alpha=0.15, label="commonly recommended")
axes[2].set(
    title="Below 0 the initial state is forgotten", xlabel="spectral radius", ylabel="rate per step", ylim=(-0.32, 0.2)
)
axes[2].legend()
plt.show()
at_three = dict(zip(strengths, np.asarray(rates)[:, int(jnp.argmin(abs(radii - 3)))], strict=True))
print("rate at ρ = 3:", {f"input × {s:g}": round(float(r), 2) for s, r in at_three.items()})

# %% [markdown]
# ## How far back it remembers
# The memory capacity measures how well a linear read-out can recover the input k steps ago. Summed over all k, a linear
# reservoir can reach at most N; tanh trades memory for computation.

# %%
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for label, cell, radius in (("linear", linear, 0.95), ("tanh", tanh, 0.95), ("tanh", tanh, 0.5)):
    weights = params._replace(radius=jnp.asarray(radius), scaling=jnp.full(1, 0.1 if label == "linear" else 0.5))
    capacity = jaxrnn.reservoirs.memory_capacity(jax.random.key(3), cell, weights, delays=100, steps=1500)
    ax.plot(range(1, 101), capacity, label=f"{label}, ρ = {radius}: {capacity.sum():.1f} in all")
ax.set(xlabel="k", ylabel="r² of the input k steps ago", title=f"Short-term memory of {N} units")
ax.legend()
plt.show()

# %% [markdown]
# ## Continuing a chaotic series
# The series is Mackey-Glass, after Jaeger's report: a leaky reservoir that reads its own output is driven by 3000 true
# values, and then runs free. Training is one regression, without any gradient.

# %%
series = jnp.tanh(mackey_glass_series(3500, 1) - 1)[:, :, None]
esn = jaxrnn.ESN(
    jaxrnn.reservoirs.Reservoir(
        1, 400, 5, radius=0.79, input_scaling=0.56, bias_scaling=0.028, retention=0.604, gain=0.44
    ),
    jaxrnn.Readout(400, 1),
    feedback=True,
)
nothing = jnp.zeros((3500, 1, 0))
start = esn.init(jax.random.key(4))
carry, fitted = jax.jit(lambda p: esn.fit(p, nothing[:3000], series[:3000], penalty=1e-14, washout=1000))(start)
_, os = esn.apply(fitted, nothing[3000:], carry)
fig, axes = plt.subplots(2, 1, figsize=(10, 4.6), layout="constrained", sharex=True)
axes[0].plot(series[3000:, 0], color="0.6", linewidth=3, label="the series")
axes[0].plot(os[:, 0], color="C3", linewidth=1, label="network, free running")
axes[0].set_ylabel("x(t)")
axes[0].legend(ncol=2)
axes[1].semilogy(abs(os - series[3000:])[:, 0], color="C3")
axes[1].axvline(84, color="k", linewidth=0.8)
axes[1].set(xlabel="steps after the last true value", ylabel="|error|")
plt.show()
print(f"|error| after 84 steps: {float(abs(os - series[3000:])[83, 0, 0]):.1e}")

# %% [markdown]
# ## A search is one call
# `fit` is a pure function, so `vmap` runs it for all pairs of spectral radius and leak, here 144 reservoirs. Each is
# scored on its own continuation of the series.

# %%
SEARCHED = 60
small = jaxrnn.ESN(
    jaxrnn.reservoirs.Reservoir(1, SEARCHED, 5, input_scaling=0.56, bias_scaling=0.028),
    jaxrnn.Readout(SEARCHED, 1),
    feedback=True,
)
drawn = small.init(jax.random.key(5))


def score(radius, retention):
    leaky = {"retention": jnp.full(SEARCHED, retention), "gain": jnp.full(SEARCHED, 1 - retention)}
    weights = drawn._replace(cell=drawn.cell._replace(radius=radius, **leaky))
    carry, weights = small.fit(weights, nothing[:1000], series[:1000], penalty=1e-9, washout=200)
    _, os = small.apply(weights, nothing[:84], carry)
    return jnp.log10(jnp.sqrt(jnp.mean((os - series[1000:1084]) ** 2)) / series.std())


radii, retentions = jnp.linspace(0.2, 1.6, 12), jnp.linspace(0.0, 0.9, 12)
scores = jax.jit(jax.vmap(jax.vmap(score, (0, None)), (None, 0)))(radii, retentions)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
shown = ax.pcolormesh(radii, retentions, jnp.clip(scores, -3, 0), cmap="viridis_r")
fig.colorbar(shown, label="log₁₀ of the error over 84 steps")
ax.set(xlabel="spectral radius", ylabel="retention", title=f"{scores.size} reservoirs of {SEARCHED} units")
plt.show()

# %% [markdown]
# ## The gradient goes through the solution
# The read-out is a differentiable function of the reservoir, so gradient descent can train the radius and the leak,
# here from a bad starting point on the map above.

# %%
slope = jax.jit(jax.value_and_grad(score, (0, 1)))
place, path = jnp.array([0.35, 0.15]), []
for _ in range(40):
    value, gradient = slope(*place)
    gradient = jnp.stack(gradient)
    path.append((*place.tolist(), float(value)))
    place = place - 0.02 * gradient / (1e-9 + jnp.linalg.norm(gradient))
path = np.array(path)
print(f"radius {path[0, 0]:.2f} → {path[-1, 0]:.2f}, retention {path[0, 1]:.2f} → {path[-1, 1]:.2f}")
print(f"log₁₀ of the error: {path[0, 2]:.2f} → {path[:, 2].min():.2f}")
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.pcolormesh(radii, retentions, jnp.clip(scores, -3, 0), cmap="viridis_r")
ax.plot(path[:, 0], path[:, 1], "w.-")
ax.set(xlabel="spectral radius", ylabel="retention", title="Gradient descent through the ridge regression")
plt.show()

# %% [markdown]
# ## A liquid state machine
# Integrate-and-fire neurons on a grid of 15 × 3 × 3 are wired by distance. The task is to tell spike trains from the
# same trains reversed in time, which no spike count can do. A ridge read-out sees the filtered spikes at the last step,
# and is tested on jittered versions that it was not fitted to.

# %%
liquid = jaxrnn.reservoirs.LIF(input_size=4)
wired = liquid.init(jax.random.key(6))
TIME, VERSIONS = 200, 60
template = jax.random.bernoulli(jax.random.key(7), 0.04, (TIME, 4))
templates = jnp.stack([template, template[::-1]])


def jitter(key, template):
    """Move every spike by up to 3 steps, and drop one in ten."""
    moved, lost = jax.random.split(key)
    shifts = jax.random.randint(moved, template.shape, -3, 4)
    t = jnp.clip(jnp.arange(TIME)[:, None] + shifts, 0, TIME - 1)
    kept = template & jax.random.bernoulli(lost, 0.9, template.shape)
    return jnp.zeros((TIME, 4)).at[t, jnp.arange(4)].max(kept.astype(float))


labels = jnp.arange(VERSIONS) % 2
trains = jax.vmap(jitter)(jax.random.split(jax.random.key(8), VERSIONS), templates[labels])
carry, traces = jaxrnn.unroll(liquid, wired, trains.swapaxes(0, 1))
targets = 2.0 * labels[:, None] - 1
late, half = traces[-1], VERSIONS // 2
readout = jaxrnn.reservoirs.ridge(late[None, :half], targets[None, :half], 10.0)
right = jnp.sign(late[half:] @ readout.v + readout.c) == targets[half:]
raw = jaxrnn.reservoirs.ridge(trains[None, :half].mean(2), targets[None, :half], 1e-3)
right_raw = jnp.sign(trains[half:].mean(1) @ raw.v + raw.c) == targets[half:]
print(f"told apart by the liquid at the last step: {float(right.mean()):.0%}")
print(f"told apart by the rates of the trains: {float(right_raw.mean()):.0%}")
fig, axes = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained", sharey=True)
for ax, row in zip(axes, (0, 1), strict=True):
    trace = np.asarray(traces[:, row])
    spikes = trace[1:] - float(wired.trace) * trace[:-1] > 0.5
    when, who = np.nonzero(spikes)
    ax.plot(when, who, "k.", markersize=2)
    ax.set(title=f"Liquid driven by spike train {'AB'[row]}", xlabel="ms")
axes[0].set_ylabel("neuron")
plt.show()

# %% [markdown]
# ## Exercises
# **1.** A linear reservoir has the spectral radius 0.8. After how many steps has it forgotten its initial state to one
# part in a million?
#
# <details><summary>Answer</summary>
#
# $0.8^n < 10^{-6}$ from $n = 62$ on: the washout has to be that long.
#
# </details>
#
# **2.** W has the eigenvalue 0.9. What is the corresponding eigenvalue of a linear leaky reservoir with rate a = 0.3,
# $(1-a)\mathbf I + a\mathbf W$?
#
# <details><summary>Answer</summary>
#
# $0.7 + 0.3\cdot 0.9 = 0.97$: the leak slows everything down.
#
# </details>
#
# **3.** The read-out is solved from $\mathbf H^\top\mathbf H$. Why is this done in float64?
#
# <details><summary>Answer</summary>
#
# The condition number of $\mathbf H^\top\mathbf H$ is the square of that of $\mathbf H$. For a reservoir, $10^5$ is
# common; its square, $10^{10}$, is more than the seven digits of float32 can represent.
#
# </details>
