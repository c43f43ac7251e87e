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
# # 13 · Linear recurrences
#
# Chapter section 3.1 studies powers of one matrix, $\mathbf h^{(t)}=\mathbf W^t\mathbf h^{(0)}$. If the input chooses a
# different matrix at every step, and the state is a matrix too, the recurrence becomes a memory:
#
# $$\mathbf S^{(t)}=\mathbf A^{(t)}\mathbf S^{(t-1)}+\mathbf k^{(t)}\mathbf v^{(t)\top},\qquad
# \mathbf r^{(t)}=\mathbf S^{(t)\top}\mathbf q^{(t)}$$
#
# Linear attention, Mamba-2, the mLSTM and the delta rule are different choices of $\mathbf A$.
#
# **You will see** what the eigenvalues of one matrix do to a signal, gates that change them at every step, the delta
# rule compared with exact least squares, a chunk of steps as a few matrix products, and why a layer that counts modulo
# two needs an eigenvalue of −1.

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
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.unrolling.parallel import linear_recurrence, unroll_chunkwise

jax.config.update("jax_enable_x64", True)
random = np.random.default_rng(0)

# %% [markdown]
# ## Powers of one matrix
# In the basis of the eigenvectors of $\mathbf W$, every coordinate is multiplied by its own $\lambda$ at each step. So
# $|\lambda|$ determines how long a coordinate remembers, and the phase of $\lambda$ how it rotates. With a negative
# $\lambda$ it changes sign at every step.

# %%
steps = np.arange(40)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
for value in (1.02, 1.0, 0.95, 0.8):
    axes[0].plot(steps, value**steps, label=f"λ = {value}")
axes[0].set(xlabel="t", ylabel="λᵗ", title="|λ| sets the decay", ylim=(0, 2.3))
axes[0].legend()
axes[1].plot(steps, (-0.95) ** steps, label="λ = −0.95")
axes[1].plot(steps, np.real((0.95 * np.exp(1j * np.pi / 8)) ** steps), label=r"$0.95\,e^{i\pi/8}$, real part")
axes[1].set(xlabel="t", ylabel="λᵗ", title="The phase sets the rotation")
axes[1].legend()
for ax in axes:
    ax.axhline(0, color="gray", lw=0.5)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## Gates
# A gate lets the input choose $\lambda$, which must be near 1 to remember and near 0 to forget; a constant cannot be
# both. In the figure, a unit $h^{(t)}=a^{(t)}h^{(t-1)}+(1-a^{(t)})x^{(t)}$ holds the value that its input had when the
# gate was last open ($a=0.05$, gray). With one fixed $a$ it holds an average of past inputs. The recurrence is still
# linear in $h$, so all steps are computed in a few rounds (`linear_recurrence`).

# %%
signal = np.cumsum(random.normal(size=100)) / 3
is_open = np.zeros(100, bool)
is_open[[8, 30, 55, 80]] = True
gate = jnp.where(is_open, 0.05, 1.0)
gated = linear_recurrence(gate, (1 - gate) * signal, jnp.array(0.0))
fixed = linear_recurrence(jnp.full(100, 0.9), 0.1 * signal, jnp.array(0.0))
fig, ax = plt.subplots(figsize=(8, 2.8))
for t in np.flatnonzero(is_open):
    ax.axvspan(t - 0.5, t + 0.5, color="lightgray")
ax.plot(signal, lw=1, label="x")
ax.plot(gated, label="h, a computed from the input")
ax.plot(fixed, label="h, a = 0.9")
ax.set(xlabel="step t", title="A gate holds a value; a fixed decay averages")
ax.legend()
plt.show()

# %% [markdown]
# ## The delta rule is online least squares
# Let the state be a matrix, written by $\mathbf k\mathbf v^\top$ and read by $\mathbf S^\top\mathbf q$: a table of
# values by keys, the *fast weights* of Schmidhuber 1992. For a stored key, the plain sum (linear attention) returns its
# value plus $\sum_j(\mathbf k_j^\top\mathbf q)\,\mathbf v_j$, the crosstalk of all other pairs. The delta rule instead
# takes one step of gradient descent on $\tfrac12\|\mathbf S^\top\mathbf k-\mathbf v\|^2$: it reads the old value and
# writes the difference,
#
# $$\mathbf S\leftarrow\mathbf S+\beta\,\mathbf k\,(\mathbf v-\mathbf S^\top\mathbf k)^\top
# =(\mathbf I-\beta\,\mathbf k\mathbf k^\top)\,\mathbf S+\beta\,\mathbf k\mathbf v^\top.$$
#
# With $|\mathbf k|=1$ and $\beta=1$ the newest pair is stored exactly. The *optimal* step weights the update by the
# inverse correlation of the keys seen so far, $\mathbf P=(\sum\mathbf k\mathbf k^\top)^{-1}$. This is recursive least
# squares, which also trains a reservoir's read-out online (`jaxrnn.reservoirs.track`, notebook 10). It costs a second
# matrix of state. After each new pair, the figure tests *all* pairs stored so far, and the newest one:

# %%
KEYS, VALUES, PAIRS = 16, 8, 32
keys = random.normal(size=(PAIRS, KEYS))
keys /= np.linalg.norm(keys, axis=1, keepdims=True)
values = random.normal(size=(PAIRS, VALUES))


def hebb(state, p, k, v):
    return state + np.outer(k, v), p


def delta(state, p, k, v):
    return state + np.outer(k, v - state.T @ k), p


def least_squares(state, p, k, v):
    gain = p @ k / (1 + k @ p @ k)
    return state + np.outer(gain, v - state.T @ k), p - np.outer(gain, p @ k)


fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
for name, rule in {"sum": hebb, "delta rule, β = 1": delta, "recursive least squares": least_squares}.items():
    state, p, everything, newest = np.zeros((KEYS, VALUES)), 1e3 * np.eye(KEYS), [], []
    for n in range(PAIRS):
        state, p = rule(state, p, keys[n], values[n])
        error = np.mean((keys[: n + 1] @ state - values[: n + 1]) ** 2, axis=1)
        everything.append(error.mean())
        newest.append(error[-1])
    axes[0].plot(range(1, PAIRS + 1), everything, label=name)
    axes[1].plot(range(1, PAIRS + 1), newest, label=name)
axes[0].set(title="Error over all pairs so far", ylabel="mean squared error", xlabel="pairs stored")
axes[1].set(title="Error on the newest pair", xlabel="pairs stored")
for ax in axes:
    ax.axvline(KEYS, color="gray", lw=0.5)
    ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# Up to $K=16$ pairs (the thin line), least squares is exact except for its tiny penalty, because that many random keys
# are linearly independent; beyond it no rule can be exact. The delta rule stores the newest pair exactly and forgets
# the older ones gradually; the sum does neither. When the value of a key is *replaced*, the sum still holds the old
# value, and the delta rule does not:

# %%
for name, rule in {"sum": hebb, "delta rule": delta}.items():
    state = np.zeros((KEYS, VALUES))
    for v in (values[0], values[1]):  # the same key twice
        state, _ = rule(state, None, keys[0], v)
    print(f"{name:11} largest error of the second value: {np.abs(state.T @ keys[0] - values[1]).max():.1e}")

# %% [markdown]
# ## A chunk of steps as matrix products, in ten lines
# Step $t$ erases what it reads, $\boldsymbol\rho_t=\mathbf S^{(t-1)\top}\mathbf u_t$ (for the delta rule
# $\mathbf u=\alpha\mathbf k$, $\mathbf w=\beta\mathbf k$), so
#
# $$\mathbf S^{(t)}=\alpha_t\mathbf S^{(t-1)}-\mathbf w_t\boldsymbol\rho_t^\top+\mathbf k_t\mathbf v_t^\top
# \quad\Rightarrow\quad
# \mathbf S^{(i)}=e^{G_i}\mathbf S_0+\sum_{j\le i}e^{G_i-G_j}
# (\mathbf k_j\mathbf v_j^\top-\mathbf w_j\boldsymbol\rho_j^\top),
# \qquad G=\operatorname{cumsum}\log\alpha.$$
#
# Insert this into the definitions of $\boldsymbol\rho$ and $\mathbf r$, and stack the rows of all steps:
#
# $$(\mathbf I+\mathbf A_{uw})\,\mathbf P=(\mathbf u\,e^{G^-})\mathbf S_0+\mathbf A_{uk}\mathbf V,\qquad
# \mathbf R=(\mathbf q\,e^{G})\mathbf S_0+\mathbf A_{qk}\mathbf V-\mathbf A_{qw}\mathbf P,$$
#
# with $(\mathbf A_{xy})_{ij}=e^{G_i-G_j}\mathbf x_i^\top\mathbf y_j$ below the diagonal ($e^{G_{i-1}-G_j}$ for
# $\mathbf u$). These are matrix products and one triangular system. Compare them, in NumPy, with the loop:

# %%
STEPS = 48
k, v, q = keys[random.integers(0, PAIRS, STEPS)], random.normal(size=(STEPS, VALUES)), random.normal(size=(STEPS, KEYS))
beta, log_a = random.uniform(0.3, 1, STEPS), -random.uniform(0, 0.15, STEPS)
u, w, written = np.exp(log_a)[:, None] * k, beta[:, None] * k, beta[:, None] * v

state, by_loop = np.zeros((KEYS, VALUES)), []
for t in range(STEPS):
    state = np.exp(log_a[t]) * state - np.outer(w[t], state.T @ u[t]) + np.outer(k[t], written[t])
    by_loop.append(state.T @ q[t])

G = np.cumsum(log_a)
between = np.tril(np.exp(G[:, None] - G))
before = np.tril(np.exp((G - log_a)[:, None] - G), -1)
A_uw, A_uk, A_qk, A_qw = before * (u @ w.T), before * (u @ k.T), between * (q @ k.T), between * (q @ w.T)
inverse = np.linalg.inv(np.eye(STEPS) + A_uw)
by_products = A_qk @ written - A_qw @ (inverse @ (A_uk @ written))
print(f"largest difference to the loop: {np.abs(by_products - by_loop).max():.1e}")

fig, axes = plt.subplots(1, 4, figsize=(11, 2.9))
pictures = {"A_uw: who erases whom": A_uw, "(I + A_uw)⁻¹": inverse, "A_qk: without erasing": A_qk}
pictures["A_qk − A_qw (I + A_uw)⁻¹ A_uk"] = A_qk - A_qw @ inverse @ A_uk
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    top = np.abs(picture).max()
    image = ax.imshow(picture, cmap="RdBu", vmin=-top, vmax=top)
    ax.set(title=title, xlabel="step j")
    ax.title.set_fontsize(8)
    fig.colorbar(image, ax=ax, shrink=0.7)
axes[0].set_ylabel("step i")
fig.tight_layout()
plt.show()

# %% [markdown]
# The last picture is what the layer computes from all values at once: an attention matrix without a softmax, in which a
# later write to the same key has erased the earlier one. Only the states $\mathbf S$ between chunks are ever stored. In
# the library, `unroll_chunkwise` does this for every cell with a matrix state, with masks, resets and exact gradients.
# The same cell also runs step by step, with the same results:

# %%
cell = GatedDelta(input_size=6, heads=2, key_size=8, value_size=4)
params = cell.init(jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (200, 3, 6))


@jax.jit
def both(params):
    def loss(params, member):
        return jnp.sum(member(cell, params, xs)[1] ** 2)

    return [jax.value_and_grad(loss)(params, member) for member in (jaxrnn.unroll, unroll_chunkwise)]


(loop_value, loop_gradient), (value, gradient) = both(params)
worst = max(float(jnp.abs(a - b).max()) for a, b in zip(gradient, loop_gradient, strict=True))
print(f"values differ by {abs(value - loop_value):.1e}, gradients by at most {worst:.1e}")

# %% [markdown]
# ## Why eigenvalues decide what can be tracked
# Parity asks whether the number of ones so far is odd. The recurrence $s^{(t)}=(1-2x^{(t)})\,s^{(t-1)}$ answers it,
# with an eigenvalue of −1 where $x=1$. The transition of the delta rule, $\mathbf I-\beta\mathbf k\mathbf k^\top$, has
# the eigenvalue $1-\beta$ along $\mathbf k$. With $\beta=2$ it is a reflection; with $\beta$ in $(0,1)$ the eigenvalue
# is positive, so an input of one can only shrink the state. Two reflections make a rotation, so products of such steps
# reach every rotation and reflection; the symmetries of a triangle, for example, form the group $S_3$.
# `GatedDelta(negative_eigenvalues=True)` has $\beta$ in $(0,2)$; `DeltaProduct` takes several such steps for each
# input.

# %%
LENGTH = 60
bits = random.integers(0, 2, LENGTH)
parity = np.cumsum(bits) % 2
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), gridspec_kw={"width_ratios": [2, 1]})
for beta_of_one in (2.0, 1.9, 0.9):
    states = np.cumprod(np.where(bits == 1, 1 - beta_of_one, 1.0))
    right = np.mean((states < 0) == (parity == 1))
    axes[0].plot(states, label=f"β = {beta_of_one}: sign right in {right:.0%}")
axes[0].set(xlabel="step t", ylabel="state along k", title="Parity by I − β k kᵀ", ylim=(-1.1, 1.9))
axes[0].legend(loc="upper right")


def reflection(angle):
    k = np.array([np.cos(angle), np.sin(angle)])
    return np.eye(2) - 2 * np.outer(k, k)


corner, mirrors = np.array([0.0, 1.0]), [reflection(angle) for angle in (0, np.pi / 3, 2 * np.pi / 3)]
visited = []
for symbol in random.integers(0, 3, 5000):
    corner = mirrors[symbol] @ corner
    visited.append(corner)
visited = np.array(visited)
axes[1].plot(*visited[:6].T, "-", color="gray", lw=0.5)
axes[1].plot(*visited.T, "o", ms=6)
axes[1].set(title="5,000 reflections visit the corners of a triangle", aspect="equal")
axes[1].margins(0.2)
fig.tight_layout()
plt.show()
print(f"distinct states, to nine digits: {len(np.unique(visited.round(9) + 0.0, axis=0))}")
assert len(np.unique(visited.round(9) + 0.0, axis=0)) == 3

# %% [markdown]
# To see what trained networks achieve, run `jaxrnn train --task state-tracking` or, for every cell of the library,
# `python -m benchmarks.reproduce.state_tracking`. A network with a nonlinear recurrence has no such limit, but also no
# parallel form that is as cheap.

# %% [markdown]
# ## Exercises
# **1.** In the memory of pairs, with $\beta=1$ and *orthogonal* keys, how many pairs does the delta rule store, and how
# exactly?
#
# <details><summary>Answer</summary>
#
# It stores up to $K$ pairs, all of them exactly: erasing along one key does not affect another. In this case it equals
# least squares, and also the sum, as long as no key occurs twice.
#
# </details>
#
# **2.** Let one $\log\alpha$ of the chunk be −800. NumPy warns of an overflow in `between`, yet the result is right.
# Where does the overflow happen, and why would a gradient be NaN?
#
# <details><summary>Answer</summary>
#
# Above the diagonal $G_i-G_j$ is +800, so `exp` gives infinity, which `tril` replaces by 0. The gradient multiplies the
# 0 that comes back through `tril` by the derivative of `exp`, which is infinite: NaN. Below the diagonal, the
# difference of two large sums loses its digits. The library instead sums $\log\alpha$ over each interval $(j, i]$
# separately, and over nothing above the diagonal, which avoids both problems.
#
# </details>
#
# **3.** How many reflections make a rotation by 90°, and what does that say about `DeltaProduct(updates=n)`?
#
# <details><summary>Answer</summary>
#
# Two, along keys 45° apart. One update per step is one reflection, so a group with rotations needs two updates for each
# symbol. $n$ updates per step reach every orthogonal map that is a product of $n$ reflections.
#
# </details>
