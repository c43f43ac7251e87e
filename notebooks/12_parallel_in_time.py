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
# # 12 · Parallel in time
#
# Chapter section 一 unrolls the graph, and step $t$ waits for step $t-1$. There are two ways to avoid this wait:
#
# - if a cell is **linear in its carry**, $\mathbf h^{(t)}=\mathbf a^{(t)}\odot\mathbf h^{(t-1)}+\mathbf b^{(t)}$, two
#   steps combine into one step of the same form, and all $\tau$ states are computed in $O(\log\tau)$ rounds
#   (`unroll_associative`);
# - if it is not, **Newton's method** guesses every $\mathbf h^{(t)}$ at once and corrects the guess by solving such
#   linear recurrences (`unroll_newton`). The largest Lyapunov exponent determines how many corrections it takes.
#
# Both give the same values and the same gradients as the loop.
#
# **You will see** all steps of a linear cell computed in a few rounds, Newton's method correcting every step at once,
# and what determines how many updates it takes.


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

import jaxrnn
from jaxrnn.unrolling.parallel import Newton

jax.config.update("jax_enable_x64", True)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


# %% [markdown]
# ## Linear cells
# Run four of the library's linear cells both ways, over rows of unequal length with a boundary in the middle. A masked
# step has $\mathbf a=1,\mathbf b=0$; a reset has $\mathbf a=0$.

# %%
TIME, BATCH, INPUT, HIDDEN = 100, 4, 3, 8
xs = normal(1, TIME, BATCH, INPUT)
mask = jaxrnn.mask_from_lengths(jnp.array([100, 61, 7, 0]), TIME)
reset = jnp.zeros((TIME, BATCH), bool).at[50].set(True)

for cell in (
    jaxrnn.MinGRU(INPUT, HIDDEN),
    jaxrnn.linear.MinLSTM(INPUT, HIDDEN),
    jaxrnn.linear.LinearUnit(INPUT, HIDDEN),
    jaxrnn.LRU(INPUT, HIDDEN, HIDDEN),
):
    params = cell.init(jax.random.key(0))

    def loss(params, member, cell=cell):
        return jnp.sum(member(cell, params, xs, mask=mask, reset=reset)[1] ** 2)

    value, gradient = jax.value_and_grad(loss)(params, jaxrnn.unroll_associative)
    loop_value, loop_gradient = jax.value_and_grad(loss)(params, jaxrnn.unroll)
    worst = max(float(jnp.abs(a - b).max()) for a, b in zip(gradient, loop_gradient, strict=True))
    print(f"{type(cell).__name__:11} values differ by {abs(value - loop_value):.1e}, gradients by {worst:.1e}")

# %% [markdown]
# The figure shows how many steps each state includes after each round, for 32 steps. Round $k$ combines what lies
# $2^{k-1}$ steps apart. (`unroll_associative` takes about twice as many rounds, with less work in all. On a CPU it
# solves the recurrence by a loop, which is faster there, and computes everything else for all steps at once.)

# %%
rounds = [np.ones(32, int)]
while rounds[-1].max() < 32:
    reach, shift = rounds[-1], 2 ** (len(rounds) - 1)
    before = np.concatenate([np.zeros(shift, int), reach[:-shift]])
    rounds.append(reach + before)
fig, ax = plt.subplots(figsize=(7, 2.4))
image = ax.imshow(np.stack(rounds), aspect="auto", cmap="viridis", origin="lower")
ax.set(xlabel="step t", ylabel="round", title="Steps included in h⁽ᵗ⁾ after each round: all after log₂ τ")
fig.colorbar(image, ax=ax)
plt.show()

# %% [markdown]
# ## Newton's method, update by update
# A run is the solution of $\mathbf h^{(t)}=f(\mathbf h^{(t-1)},\mathbf x^{(t)})$ for all $t$. With the library's
# functions an update takes ten lines: evaluate every step at the guess, linearize every step there, solve the linear
# recurrence, add its solution.

# %%
cell = jaxrnn.GRU(INPUT, 12)
params = cell.init(jax.random.key(0))
params = params._replace(w=1.5 * params.w)
zs = cell.project(params, normal(2, 200, INPUT))
matrices = jaxrnn.unrolling.parallel.Algebra(
    lambda a, h: jnp.einsum("...ij,...j->...i", a, h), jnp.matmul, lambda a: a.mT
)


def step(h, z):
    return cell.step(params, h, z)[0]


@jax.jit
def updates(keep):
    """Return the size of the residual at every step after 0, 1, 2, … updates; `keep` masks each Jacobian."""

    def update(hs, _):
        before = jnp.concatenate([jnp.zeros((1, 12)), hs[:-1]])
        residual = jax.vmap(step)(before, zs) - hs
        jacobians = keep * jax.vmap(jax.jacfwd(step))(before, zs)
        delta = jaxrnn.unrolling.parallel.linear_recurrence(jacobians, residual, jnp.zeros(12), algebra=matrices)
        return hs + delta, jnp.abs(residual).max(-1)

    return jax.lax.scan(update, jnp.zeros((200, 12)), None, length=41)[1]


KEPT = {
    "whole": jnp.ones((12, 12)),
    "half of it (damping=0.5)": jnp.full((12, 12), 0.5),
    "the diagonal": jnp.eye(12),
    "nothing (Jacobi)": jnp.zeros((12, 12)),
}
history = {name: np.asarray(updates(keep)) for name, keep in KEPT.items()}

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), gridspec_kw={"width_ratios": [1.2, 1]})
for (name, residual), marker in zip(history.items(), "osd^", strict=True):
    axes[0].semilogy(np.maximum(residual.max(-1), 1e-17), marker + "-", ms=3, label=name)
axes[0].set(xlabel="updates", ylabel="largest residual", title="Convergence (GRU, τ = 200)")
axes[0].legend(title="part of each Jacobian used", loc="lower right", bbox_to_anchor=(1, 0.08))
axes[0].grid(alpha=0.3)
picture = np.log10(np.maximum(history["nothing (Jacobi)"], 1e-17))
image = axes[1].imshow(picture[:, :60], aspect="auto", origin="lower", cmap="magma")
axes[1].set(xlabel="step t", ylabel="updates", title="Jacobi iteration: log₁₀ of the residual")
fig.colorbar(image, ax=axes[1])
fig.tight_layout()
plt.show()

# %% [markdown]
# With the whole Jacobian, convergence is quadratic; with a part of it, linear. Without it, each update is certain to
# complete only one more step: above the diagonal of the right panel, every step is exact. `unroll_newton` does this for
# any cell, with masks and resets; `newton` reports how it converged.

# %%
xs_long = normal(2, 200, 1, INPUT)
for solver in (Newton(), Newton("diagonal")):
    report = jaxrnn.unrolling.parallel.newton(cell, params, xs_long, solver=solver)[2]
    print(f"{int(report.iterations[0]):3} updates, residual {float(report.residual[0]):.0e}  {solver}")

# %% [markdown]
# ## The gradient does not depend on the updates
# The backward pass uses the exact Jacobian of every step at the solution, once, in one linear recurrence from the last
# step to the first: BPTT. An implementation that differentiates *through* its approximate updates, or uses the diagonal
# in the backward pass too, gives a different gradient. For the GRU above, the errors are:


# %%
def loss(params, member):
    return jnp.sum(member(cell, params, xs_long)[1] ** 2)


def diagonal(*arguments):
    return jaxrnn.unroll_newton(*arguments, solver=Newton("diagonal"))


exact = jax.grad(loss)(params, jaxrnn.unroll)
ours = jax.grad(loss)(params, diagonal)


def biased(params):
    """Run backward with the diagonal of each Jacobian: ∇h of every t, then the sums of 2.2.3."""
    hs = jaxrnn.unroll(cell, params, xs_long)[1][:, 0]
    before = jnp.concatenate([jnp.zeros((1, 12)), hs[:-1]])

    def steps(params):
        return jax.vmap(lambda h, z: cell.step(params, h, z)[0])(before, cell.project(params, xs_long[:, 0]))

    factors = jax.vmap(lambda h, z: jnp.diag(jax.jacfwd(lambda h: cell.step(params, h, z)[0])(h)))(before, zs)
    later = jnp.concatenate([factors[1:], jnp.zeros((1, 12))])
    dhs = jaxrnn.unrolling.parallel.linear_recurrence(later, 2 * hs, jnp.zeros(12), reverse=True)
    return jax.vjp(steps, params)[1](dhs)[0]


for name, gradient in {"unroll_newton, diagonal Jacobians": ours, "diagonal backwards too": biased(params)}.items():
    error = jnp.linalg.norm(gradient.w - exact.w) / jnp.linalg.norm(exact.w)
    print(f"{name:34} relative error of ∇W: {error:.1e}")

# %% [markdown]
# ## When it pays: the largest Lyapunov exponent
# The largest Lyapunov exponent $\lambda$ is the rate per step at which a small perturbation of $\mathbf h$ grows. A
# plain network $\tanh(g\,\mathbf W\mathbf h+\mathbf U\mathbf x)$ with random $\mathbf W$ goes from forgetting to chaos
# as the gain $g$ grows, and the number of Newton updates goes from a handful to about $\tau$. A second exponent,
# $\lambda_0$, is that of the Jacobians at the first guess, which the first update uses. `choose_method` measures both,
# and recommends Newton's method where both are negative.

# %%
SIZE, STEPS = 16, 200
plain = jaxrnn.Elman(2, SIZE)
base = jax.tree.map(lambda a: a.astype(float), plain.init(jax.random.key(0)))
weights = normal(3, SIZE, SIZE) / SIZE**0.5
drive = 0.3 * normal(4, STEPS, 1, 2)
solver = Newton(iterations=STEPS)
gains = np.concatenate([np.linspace(0.2, 1.6, 11), np.linspace(1.8, 4, 4)])
exponents, first_exponents, counts, advised = [], [], [], []
for gain in gains:
    at_gain = base._replace(w=gain * weights)
    advice = jaxrnn.choose_method(plain, at_gain, drive)
    report = jaxrnn.unrolling.parallel.newton(plain, at_gain, drive, solver=solver)[2]
    assert bool(report.converged[0]), gain
    exponents.append(advice.exponent)
    first_exponents.append(advice.first_exponent)
    counts.append(int(report.iterations[0]))
    advised.append(advice.method is jaxrnn.unroll_newton)
exponents, counts, advised = map(np.array, (exponents, counts, advised))

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].plot(gains, exponents, "o-", label="λ, along the run")
axes[0].plot(gains, first_exponents, "^--", ms=4, label="λ₀, along the initial guess")
axes[0].legend()
axes[0].axhline(0, color="gray", lw=1)
axes[0].set(xlabel="gain g", ylabel="largest exponent λ", title="Lyapunov exponent against the gain")
axes[1].plot(exponents[advised], counts[advised], "o", label="advised: unroll_newton")
axes[1].plot(exponents[~advised], counts[~advised], "s", label="advised: unroll_bptt")
axes[1].axhline(STEPS, color="gray", lw=1, ls="--")
axes[1].text(exponents.min(), STEPS * 0.8, "τ", va="top")
axes[1].set(xlabel="largest exponent λ", ylabel="updates", yscale="log", title="Newton updates against λ")
axes[1].legend()
for ax in axes:
    ax.grid(alpha=0.3)
fig.tight_layout()
plt.show()

assert counts[exponents < -0.2].max() <= 10 and counts[exponents > 0.1].min() > 50
print(
    f"most updates where both are negative: {counts[advised].max()}; least where one is not: {counts[~advised].min()}"
)
assert counts[advised].max() <= 6 < counts[~advised].min()

# %% [markdown]
# ## What it costs on this machine
# Few updates do not always mean little time. Each update of Newton's method evaluates every step, its whole Jacobian
# (`hidden` products each) and a scan of matrices, and a machine with a few processors gains little from computing all
# steps together. Milliseconds per call, forward pass, float64, batch 1:


# %%
def milliseconds(member, cell, params, xs):
    """Return the minimum of five calls, after compilation."""
    program = jax.jit(lambda params, xs: member(cell, params, xs)[1])
    jax.block_until_ready(program(params, xs))
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(program(params, xs))
        taken.append(time.perf_counter() - start)
    return 1e3 * min(taken)


print(f"{jax.devices()[0].device_kind}\n{'τ':>7}{'MinGRU loop':>14}{'associative':>14}{'GRU loop':>11}{'Newton':>9}")
small, gated = jaxrnn.MinGRU(INPUT, 16), jaxrnn.GRU(INPUT, 8)
small_params, gated_params = small.init(jax.random.key(0)), gated.init(jax.random.key(0))
for steps in (10_000,):
    sequence = normal(5, steps, INPUT)
    row = [
        milliseconds(jaxrnn.unroll, small, small_params, sequence),
        milliseconds(jaxrnn.unroll_associative, small, small_params, sequence),
        milliseconds(jaxrnn.unroll, gated, gated_params, sequence),
        milliseconds(jaxrnn.unroll_newton, gated, gated_params, sequence),
    ]
    print(f"{steps:>7}{row[0]:>14.2f}{row[1]:>14.2f}{row[2]:>11.2f}{row[3]:>9.2f}")

# %% [markdown]
# ## Exercises
# **1.** In the ten lines above, let a mask hold one row at $t = 20, \dots, 40$. What must `jacobians` and `residual` be
# at these steps?
#
# <details><summary>Answer</summary>
#
# A held step is $\mathbf h^{(t)} = \mathbf h^{(t-1)}$: the Jacobian is $\mathbf I$, and the residual is
# $\mathbf h^{(t-1)} - \mathbf h^{(t)}$.
#
# </details>
#
# **2.** How many rounds does the scheme of the first figure take for 1,000 steps of a linear cell? How many updates
# does Newton's method need at most, on any cell?
#
# <details><summary>Answer</summary>
#
# It takes ⌈log₂ 1000⌉ = 10 rounds. After k updates at least the first k states are exact, because the first one depends
# on nothing unknown and each update makes one more state exact: at most τ updates.
#
# </details>
#
# **3.** A cell ignores its carry. How many updates does Newton's method need?
#
# <details><summary>Answer</summary>
#
# One: its Jacobians are 0, and the first evaluation is the solution.
#
# </details>
