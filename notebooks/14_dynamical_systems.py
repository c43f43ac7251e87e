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
# # 14 · Networks as dynamical systems
#
# A trained network is a map, $\mathbf h^{(t)}=f(\mathbf h^{(t-1)},\mathbf x^{(t)})$. Hold the input constant, and ask
# where the map has fixed points and how it behaves near them:
#
# $$\mathbf h^*=f(\mathbf h^*,\mathbf x),\qquad
# f(\mathbf h^*+\boldsymbol\delta,\mathbf x+\boldsymbol\varepsilon)\approx
# \mathbf h^*+\mathbf A\boldsymbol\delta+\mathbf B\boldsymbol\varepsilon .$$
#
# The eigenvalues of $\mathbf A=\partial f/\partial\mathbf h$ are those of chapter section 3.1, with one set for each
# fixed point. Sussillo & Barak (2013) infer from them how a network works.
#
# **You will see** the plane of two units with its nullclines, a memory that jumps when an input is swept, the cube that
# a GRU builds to remember three bits, and the line along which a network accumulates evidence.

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
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrnn import GRU, Elman, Readout, squared_error, unroll, unroll_bptt
from jaxrnn.cells import ElmanParams
from jaxrnn.cells.continuous import RateNetwork
from jaxrnn.constraints import Constraints, Fixed
from jaxrnn.dynamics import fixed_points, trajectory
from jaxrnn.tasks.cognitive import decisions, flip_flop, perceptual_decision

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## Two units
# The states of two tanh units form a plane that can be drawn completely: arrows are the steps, and along the nullcline
# of a unit, that unit does not change.
#
# Fixed points, $\Delta\mathbf h=f(\mathbf h)-\mathbf h=0$, are where the nullclines cross. Two units that excite
# themselves, without a connection between them, are two memories of one bit each. If they inhibit each other, one of
# them wins. If one excites the other and is inhibited by it, the state rotates, and here it never comes to rest.

# %%
PLANES = {
    "two bits": jnp.array([[1.5, 0.0], [0.0, 1.5]]),
    "the winner takes all": jnp.array([[0.9, -0.9], [-0.9, 0.9]]),
    "an oscillation": jnp.array([[1.1, 0.5], [-0.5, 1.1]]),
}
plane = Elman(2, 2)
fig, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (title, w) in zip(axes, PLANES.items(), strict=True):
    fixed_points.draw_phase_portrait(plane, ElmanParams(jnp.eye(2), w, jnp.zeros(2)), jnp.zeros(2), ax=ax)
    ax.set(title=title, aspect="equal")
plt.show()

# %% [markdown]
# In *two bits*, every corner attracts the states near it, and the four saddles on the sides lie on the boundaries
# between the corners: a state that starts beyond a boundary goes to the other corner. The same picture returns below,
# in three dimensions.

# %% [markdown]
# ## Sweep an input
# The figure shows the bifurcation diagram of the two units that inhibit each other, and next to it what the network
# does.
#
# One unit receives the evidence $+x$, the other $-x$, and $x$ is swept from $-1$ to $1$. `follow` traces a branch of
# fixed points by arc length, so it can turn around a fold, where a stable point and a saddle meet and vanish. The
# network itself runs while $x$ slowly goes up and then down.

# %%
low, high = jnp.array([-1.0, 1.0]), jnp.array([1.0, -1.0])
rivals = ElmanParams(jnp.eye(2), PLANES["the winner takes all"], jnp.zeros(2))
grid = jnp.stack(jnp.meshgrid(*[jnp.linspace(-1, 1, 9)] * 2), axis=-1).reshape(-1, 2)
left_end = fixed_points.distinct(fixed_points.find(plane, rivals, low, grid))
branches = fixed_points.follow(plane, rivals, low, high, left_end.h, steps=400)
up = jnp.linspace(0, 1, 1500)[:, None]
sweep = jnp.concatenate([low + up * (high - low), high + up * (low - high)])
_, swept = unroll(plane, rivals, sweep, left_end.h[0])

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
fixed_points.draw_branches(branches, 0, ax=axes[0])
axes[0].set(title="Fixed points", xlabel="s, x = −1 + 2 s", ylabel="h₁, the first unit")
axes[1].plot(up, swept[:1500, 0], label="x goes up")
axes[1].plot(1 - up, swept[1500:, 0], label="x goes down")
axes[1].set(title="States of the network, 1,500 steps each way", xlabel="s, x = −1 + 2 s")
axes[1].legend()
plt.show()

folds = branches.s[branches.bifurcation == fixed_points.Bifurcation.FOLD]
print("folds at x =", ", ".join(f"{2 * s - 1:+.3f}" for s in sorted(folds.tolist())))
assert len(folds) == 2

# %% [markdown]
# Between the folds there are two stable points, and the network's past determines which of them it is in. It jumps
# where its own point vanishes. So a decision is not reversed by the first evidence against it.

# %% [markdown]
# ## Three bits
# A GRU learns to remember the sign of the last pulse in each of three channels.
#
# Every channel receives pulses of $\pm1$ now and then, and its output must keep the sign of the last one: this task is
# the *3-bit flip-flop*. A GRU of 24 units learns it in seconds, with new trials in every update.

# %%
BITS, UNITS, TIME, UPDATES = 3, 24, 40, 1500
cell, readout = GRU(BITS, UNITS), Readout(UNITS, BITS)
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(4e-3, UPDATES)))


@jax.jit
def train(key):
    def loss(params, key):
        trials_key, noise_key = jax.random.split(key)
        trials = flip_flop(trials_key, 32, bits=BITS, time=TIME, pulses=0.05)
        noise = 0.1 * jax.random.normal(noise_key, trials.inputs.shape)
        _, hs = unroll_bptt(cell, params[0], trials.inputs + noise)
        return squared_error(readout.apply(params[1], hs), trials.targets)

    def update(at, key):
        params, state = at
        value, grads = jax.value_and_grad(loss)(params, key)
        changes, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, changes), state), value

    keys = jax.random.split(key, UPDATES + 2)
    params = cell.init(keys[0]), readout.init(keys[1])
    (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), keys[2:])
    return *params, losses


params, out, losses = train(jax.random.key(0))
trials = flip_flop(jax.random.key(1), 200, bits=BITS, time=100, pulses=0.05)
_, hs = unroll(cell, params, trials.inputs)
said = readout.apply(out, hs)

fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained", gridspec_kw={"width_ratios": [1, 2]})
axes[0].semilogy(losses, lw=0.8)
axes[0].set(xlabel="update", ylabel="mean squared error", title="Training loss")
for bit in range(BITS):
    axes[1].axhline(-3 * bit, color="lightgray", lw=0.5)
    axes[1].plot(trials.inputs[:, 0, bit] - 3 * bit, color="tab:orange", ls="-", lw=0.8)
    axes[1].plot(trials.targets[:, 0, bit] - 3 * bit, color="tab:blue", ls="--")
    axes[1].plot(said[:, 0, bit] - 3 * bit, color="black", ls="-")
axes[1].set(yticks=[0, -3, -6], yticklabels=["bit 1", "bit 2", "bit 3"], xlabel="step t")
axes[1].set_title("One trial: pulses (orange), target (dashed), output (black)")
plt.show()
print(f"right: {jnp.mean(jnp.sign(said) == trials.targets):.2%} of all bits of all steps")

# %% [markdown]
# ## Find the fixed points
# The search starts from states that the network visits, with some noise, and the input is 0: no pulse. Newton's method
# runs from all of them in one compiled program, and results that agree are merged. Trajectories come close only to
# stable points, so a second search starts on the lines between these, where the saddles are.

# %%
silence = jnp.zeros(BITS)
starts = fixed_points.sample_starts(jax.random.key(2), cell, params, trials.inputs, count=400, noise=0.2)
found = fixed_points.find(cell, params, silence, starts.carry, merge=1e-2)
first = fixed_points.distinct(found)
print({name: count for name, count in fixed_points.reasons(found).items() if count})

settled = first.h[fixed_points.linearize(cell, params, silence, first.h).unstable == 0]
i, j = np.triu_indices(len(settled), 1)
share = jnp.linspace(0, 1, 13)[1:-1, None, None]
between = (settled[i] + share * (settled[j] - settled[i])).reshape(-1, UNITS)
everywhere = jnp.concatenate([starts.carry, between])
found = fixed_points.find(cell, params, silence, everywhere, merge=1e-2)
points = fixed_points.distinct(found)
modes = fixed_points.linearize(cell, params, points.x, points.h)
counts = Counter(modes.unstable.tolist())
for number, count in sorted(counts.items()):
    print(f"{count:3} fixed points with {number} unstable directions")
corners = modes.unstable == 0
states = {tuple(bits) for bits in jnp.sign(readout.apply(out, points.h[corners])).tolist()}
print(f"the stable ones say {len(states)} different things")
assert len(states) == 2**BITS

# %% [markdown]
# Near a point with unstable directions, the state moves away to other points. Push the state from each saddle with one
# unstable direction both ways along the eigenvector, and see where it ends:

# %%
stable, saddles = modes.unstable == 0, modes.unstable == 1
push = 0.01 * jnp.real(modes.right[saddles, :, 0])
still = jnp.zeros((1500, int(saddles.sum()), BITS))
ways = [unroll(cell, params, still, points.h[saddles] + way * push)[1] for way in (1, -1)]
bits = [np.asarray(readout.apply(out, way[-1]) > 0).astype(int) for way in ways]
for a, b in zip(*bits, strict=True):
    print("".join(map(str, a)), "←  saddle  →", "".join(map(str, b)), "  bits that differ:", int((a != b).sum()))
edges = {frozenset((tuple(a), tuple(b))) for a, b in zip(*bits, strict=True) if (a != b).sum() == 1}
print(f"{len(edges)} of the 12 edges of the cube have a saddle")

# %% [markdown]
# The figure shows trials in their principal components with all fixed points that were found, and the paths from the
# saddles to the stable points.
#
# The right panel, without input, shows the skeleton of the memory.

# %%
fig = plt.figure(figsize=(12, 5.4))
skeleton = stable | saddles
shown = (
    ("40 trials", hs, points, modes),
    ("from the saddles", jnp.concatenate(ways, axis=1), *jax.tree.map(lambda a: a[skeleton], (points, modes))),
)
for k, (title, paths, some, their) in enumerate(shown):
    ax = fig.add_subplot(1, 2, k + 1, projection="3d")
    fixed_points.draw_trajectories(paths, some, their, dimensions=3, rows=40, ax=ax)
    ax.view_init(elev=18, azim=-66)
    ax.locator_params(nbins=5)
    ax.set_title(title)
fig.subplots_adjust(left=0, right=0.95, bottom=0.06, top=0.93, wspace=0.1)
plt.show()

# %% [markdown]
# The fixed points form a cube: a stable point at each of the 8 corners, one for each state of the memory; a saddle on
# each of the 12 edges, with one unstable direction; a point with two unstable directions on each of the 6 faces, and
# one with three in the middle. A pulse pushes the state along an edge. If the state passes the saddle, it falls into
# the other corner; if not, it falls back.

# %% [markdown]
# ## Eigenvalues and time constants
# The figure shows the eigenvalues of stable points and saddles in the complex plane, and for each corner of the cube
# the time constants of its modes, slowest first.
#
# A mode with eigenvalue $\lambda$ decays as $|\lambda|^t$: to $1/e$ after $-1/\log|\lambda|$ steps. At a corner, the
# slowest modes tell how long the network takes to settle. At a saddle, an eigenvalue of size above 1 tells how fast the
# state leaves.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
axes[0].plot(circle.real, circle.imag, color="gray", lw=0.7, ls="-")
for name, chosen, style in (("stable", stable, "ko"), ("saddles on edges", saddles, "rx")):
    values = np.asarray(modes.eigenvalues[chosen])
    axes[0].plot(values.real.ravel(), values.imag.ravel(), style, ms=4, alpha=0.6, label=name)
axes[0].set(xlabel="real part of λ", ylabel="imaginary part of λ", title="Eigenvalues of ∂f/∂h", aspect="equal")
axes[0].legend(loc="lower left")
order = np.arange(1, UNITS + 1)
axes[1].semilogy(order, np.asarray(modes.time_constants[stable]).T, "k.-", lw=0.5, ms=3)
axes[1].set(
    xlabel="mode, the slowest first", ylabel="time constant −1 / log |λ|, steps", title="Time constants at each corner"
)
plt.show()
leave = np.asarray(1 / jnp.log(jnp.abs(modes.eigenvalues[saddles, 0])))
print(f"saddles are left with time constants of {leave.min():.1f} to {leave.max():.1f} steps")

# %% [markdown]
# The slowest modes of a corner last longer than a whole training trial of 40 steps. Nothing in the task requires the
# network to settle faster; it only has to stay on the right side.

# %% [markdown]
# ## A line that accumulates evidence
# Some memories are not bits but continuous. A rate network with $\tau=100$ ms,
#
# $$\tau\dot{\mathbf x}=-\mathbf x+\mathbf W\tanh\mathbf x+\mathbf U\mathbf u+\mathbf b,$$
#
# must report the sign of noisy evidence, but only after it has ended. So the network has to accumulate the evidence,
# and a sum needs a continuum of states. The time constants are not trained: `Fixed` keeps them constant.

# %%
decider, choice = RateNetwork(2, 32, dt=20.0, tau=100.0, gain=0.5), Readout(32, 1)
constraints, DECISIONS = Constraints((Fixed(decider.taus, at="tau"),)), 600
slower = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, DECISIONS)))


@jax.jit
def train_decisions(key):
    def loss(raw, key):
        (params, out), trials = constraints.apply(raw), perceptual_decision(key, 32)
        _, rs = unroll_bptt(decider, params, trials.inputs)
        asked = trials.mask & (trials.targets[..., 0] != 0)
        return squared_error(choice.apply(out, rs), trials.targets, mask=asked)

    def update(at, key):
        raw, state = at
        changes, state = slower.update(jax.grad(loss)(raw, key), state, raw)
        return (optax.apply_updates(raw, changes), state), None

    keys = jax.random.split(key, DECISIONS + 3)
    raw = constraints.init(keys[0], (decider.init(keys[1]), choice.init(keys[2])))
    return constraints.apply(jax.lax.scan(update, (raw, slower.init(raw)), keys[3:])[0][0])


rates, say = train_decisions(jax.random.key(0))
trials = perceptual_decision(jax.random.key(1), 400)
_, rs = unroll(decider, rates, trials.inputs)
answers = jnp.sign(decisions(choice.apply(say, rs), trials))[:, 0]
total = trials.inputs[..., 1].sum(axis=0)
print(f"answers that are right: {jnp.mean(answers == trials.conditions['choice']):.1%}")
print(f"the sign of the sum is right: {jnp.mean(jnp.sign(total) == trials.conditions['choice']):.1%}")
print(f"answers that are the sign of the sum: {jnp.mean(answers == jnp.sign(total)):.1%}")

# %% [markdown]
# The slow points lie on a line along which the trials move, and a selection vector reads the sum from the state.
#
# The noise decides some of the trials, for the network as for an exact sum. The search uses the input of a pause: the
# cue to wait is on, the evidence is 0. It finds not only fixed points but also *slow* points, where
# $q=\tfrac12\|f(\mathbf h)-\mathbf h\|^2$ is small.

# %%
pause, during = jnp.array([1.0, 0.0]), slice(10, 50)  # the steps with evidence
xs = trajectory(decider, rates, trials.inputs).after
starts = fixed_points.sample_starts(jax.random.key(2), decider, rates, trials.inputs[:50], count=200, noise=0.02)
slow = fixed_points.distinct(
    fixed_points.find(decider, rates, pause, starts.carry, method="gradient", iterations=20, slow=1e-3, merge=0.05)
)
their = fixed_points.linearize(decider, rates, slow.x, slow.h, margin=0.02)
spread = np.linalg.svd(np.asarray(slow.h - slow.h.mean(axis=0)), compute_uv=False) ** 2
print(f"{len(slow.h)} slow points, {spread[0] / spread.sum():.2%} of their variance along one line")
for k, name in enumerate(("slowest", "second")):
    size = np.abs(np.asarray(their.eigenvalues[:, k]))
    print(f"|λ| of the {name} mode: {size.min():.3f} to {size.max():.3f}")

select = fixed_points.selection_vectors(their).mean(axis=0)
kept = xs[49] @ select
fig, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
fixed_points.draw_trajectories(xs[during], slow, their, ax=axes[0])
axes[0].set(title="60 trials during the evidence, and the slow points")
axes[0].set_aspect("equal", adjustable="datalim")
for side, style in ((1, "o"), (-1, "x")):
    chosen = np.asarray(answers == side)
    axes[1].plot(total[chosen], kept[chosen], style, ms=4, color="tab:blue" if side > 0 else "tab:orange",
                 label=f"answer {side:+}")  # fmt: skip
axes[1].set(xlabel="sum of the evidence", ylabel="s · x at the end", title="Projection on the selection vector s")
axes[1].legend()
plt.show()
cue, evidence = np.abs(np.asarray(their.selection[:, 0])).mean(axis=0)
print(f"the slowest mode takes {evidence:.2f} of the evidence, {cue:.2f} of the cue")
print(f"correlation of s · x with the sum: {abs(np.corrcoef(kept, total)[0, 1]):.3f}")

# %% [markdown]
# One mode stands out: its $|\lambda|$ is 1 within a few percent all along the line, while the next mode decays as a
# single unit does, $1-\Delta t/\tau=0.8$, or a little more slowly. The left eigenvector $\mathbf s$ of the first mode,
# the *selection vector*, determines how much of an input is added to the sum: $\mathbf s^\top\mathbf B\mathbf u$. With
# two kinds of evidence and a context that says which one counts, the network keeps the line and rotates $\mathbf s$
# (Mante et al. 2013): see `python -m benchmarks.reproduce.context_decision`.

# %% [markdown]
# ## Exercises
# **1.** In *two bits* the units excite themselves with weight 1.5. At which weight do they lose their memory, and how?
#
# <details><summary>Answer</summary>
#
# At 1. For $w\le1$, $h=\tanh wh$ has only the solution 0, because the slope of tanh is at most 1. Above 1, 0 is
# unstable and two stable points branch off on either side: a pitchfork bifurcation. At 1, all nine points of the plane
# merge in the middle.
#
# </details>
#
# **2.** A memory of $n$ bits is built like this cube. How many fixed points of each kind does it have?
#
# <details><summary>Answer</summary>
#
# Along each axis there are two stable points and an unstable one between them, so $3^n$ points in all. Of these,
# $\binom nk 2^{n-k}$ have $k$ unstable directions, one for each axis along which the state is in the middle. For $n=3$
# that is 8, 12, 6 and 1. A network may build its memory differently; only the $2^n$ stable points are needed.
#
# </details>
#
# **3.** On the line, $|\lambda|=0.98$ and a step is 20 ms. How long does the sum last? And what would
# $\lambda=0.98\,e^{i\pi/8}$ mean?
#
# <details><summary>Answer</summary>
#
# It lasts $-1/\log0.98=49.5$ steps, one second: longer than the evidence, 0.8 s, and ten times $\tau$. With the phase,
# the state rotates once in 16 steps while it decays: an oscillation of $50/16\approx3.1$ Hz with the same time constant
# of one second.
#
# </details>
