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
# # 01 · The unrolled graph, and three ways to its gradient
#
# Chapter sections 一 and 2.2. A recurrent network applies one map, with the same parameters, at every step:
#
# $$\mathbf a^{(t)}=\mathbf b+\mathbf W\mathbf h^{(t-1)}+\mathbf U\mathbf x^{(t)},\qquad
# \mathbf h^{(t)}=\tanh(\mathbf a^{(t)}),\qquad
# \mathbf o^{(t)}=\mathbf c+\mathbf V\mathbf h^{(t)}$$
#
# This notebook unrolls the graph with a Python loop and with `lax.scan`, and computes its gradient in three ways that
# must agree: by hand from the chapter's sums, by `jax.grad`, and by the library's explicit reverse scan.
#
# **You will see** a loop whose program grows with τ and a scan whose program does not; three gradients that agree to
# rounding; and the gradient of every hidden state.

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
import inspect

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.testing import loops

jax.config.update("jax_enable_x64", True)

TIME, BATCH, INPUT, HIDDEN, CLASSES = 12, 3, 4, 6, 5
cell = jaxrnn.Elman(INPUT, HIDDEN)
readout = jaxrnn.Readout(HIDDEN, CLASSES)
keys = jax.random.split(jax.random.key(0), 4)
params, out = cell.init(keys[0]), readout.init(keys[1])
xs = jax.random.normal(keys[2], (TIME, BATCH, INPUT))
labels = jax.random.randint(keys[3], (TIME, BATCH), 0, CLASSES)
cell, jax.tree.map(jnp.shape, params)

# %% [markdown]
# ## The unrolled graph
# The parameters are the same at every step, whatever the length. `unroll_python` writes the loop out, so its program
# grows with τ; `unroll` uses `lax.scan`, so its program does not.

# %%
h, ys = jaxrnn.unroll(cell, params, xs)
h_loop, ys_loop = jaxrnn.unroll_python(cell, params, xs)
print("largest difference", float(jnp.abs(ys - ys_loop).max()))


def operations(run, time):
    """Return the number of operations of the unrolled program; a scan counts as its body."""

    def count(jaxpr):
        inner = [v for e in jaxpr.eqns for v in e.params.values() if hasattr(v, "jaxpr") or hasattr(v, "eqns")]
        return len(jaxpr.eqns) + sum(count(getattr(v, "jaxpr", v)) for v in inner)

    return count(jax.make_jaxpr(lambda p, x: run(cell, p, x))(params, jnp.zeros((time, BATCH, INPUT))).jaxpr)


lengths = [2, 4, 8, 16, 32, 64]
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(lengths, [operations(jaxrnn.unroll_python, n) for n in lengths], "o-", label="unroll_python")
ax.plot(lengths, [operations(jaxrnn.unroll, n) for n in lengths], "s-", label="unroll (lax.scan)")
ax.set(
    xlabel="steps τ",
    ylabel="operations in the program",
    yscale="log",
    title="The unrolled graph grows with τ; the scan does not",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()


# %% [markdown]
# ## First gradient: the chapter's sums, by hand
# Section 2.2.1 gives $\nabla_{\mathbf o^{(t)}}L=\hat{\mathbf y}^{(t)}-\mathbf 1_{l_t}$, divided by the number of terms
# because the loss is a mean. Section 2.2.2 is the recursion from the last step to the first. Its factors are, in order,
# $\mathbf W^T\,\mathrm{diag}(1-\mathbf h^2)\,\nabla$, with $\tanh'=1-\tanh^2$; the printed chapter has errors in both.
# Section 2.2.3 gives the sums over t. The code uses row vectors and stores the matrices transposed, so
# $\mathbf W\mathbf h$ is `h @ w`:


# %%
def by_hand(params, out, xs, labels):
    hs = [np.zeros((BATCH, HIDDEN))]
    for x in np.asarray(xs):
        hs.append(np.tanh(x @ params.u + hs[-1] @ params.w + params.b))
    o = np.stack(hs[1:]) @ out.v + out.c
    do = (np.asarray(jax.nn.softmax(o)) - np.eye(CLASSES)[labels]) / (TIME * BATCH)  # 2.2.1
    du, dw, db = (np.zeros_like(p) for p in params)
    dhs, dh = [], np.zeros((BATCH, HIDDEN))
    for t in reversed(range(TIME)):
        dh = dh + do[t] @ out.v.T  # 2.2.2: ∇h⁽ᵗ⁾, complete
        dhs.insert(0, dh)
        delta = (1 - hs[t + 1] ** 2) * dh
        du += np.asarray(xs[t]).T @ delta  # 2.2.3, item 7
        dw += hs[t].T @ delta  # item 6
        db += delta.sum(0)  # item 4
        dh = delta @ params.w.T
    dv = np.einsum("tbh,tbo->ho", np.stack(hs[1:]), do)  # item 5
    return (jaxrnn.cells.ElmanParams(du, dw, db), jaxrnn.objectives.ReadoutParams(dv, do.sum((0, 1)))), np.stack(dhs)


numpy_params, numpy_out = jax.tree.map(np.asarray, (params, out))
hand, hand_dhs = by_hand(numpy_params, numpy_out, xs, np.asarray(labels))

# %% [markdown]
# ## Second and third gradients: `jax.grad` of the scan, and the explicit reverse scan
# The loss is the same function; only the unrolling differs. `unroll_bptt` runs the recursion of 2.2.2 in its loop and
# computes the sums of 2.2.3 as one contraction after it.


# %%
def loss(weights, run):
    params, out = weights
    _, ys = run(cell, params, xs)
    return jaxrnn.cross_entropy(readout.apply(out, ys), labels)


automatic = jax.grad(loss)((params, out), jaxrnn.unroll)
explicit = jax.grad(loss)((params, out), jaxrnn.unroll_bptt)


def largest(a, b):
    return jax.tree.map(lambda x, y: float(np.abs(x - y).max()), a, b)


print(f"{'':8}{'hand − jax.grad':>18}{'explicit − jax.grad':>22}")
names = ["U", "W", "b", "V", "c"]
rows = zip(names, jax.tree.leaves(largest(hand, automatic)), jax.tree.leaves(largest(explicit, automatic)), strict=True)
for name, a, b in rows:
    print(f"{name:8}{a:18.1e}{b:22.1e}")

# %% [markdown]
# ## ∇h(t) for every t
# `bptt` is the explicit backward pass itself. It takes the gradient of the outputs,
# $\mathbf V^T\nabla_{\mathbf o^{(t)}}L$, and returns the gradient of every hidden state as well, which `jax.grad`
# computes but does not return.

# %%
logits, readout_vjp = jax.vjp(lambda ys: readout.apply(out, ys), ys)
(dys,) = readout_vjp(jax.grad(jaxrnn.cross_entropy)(logits, labels))
gradients = jaxrnn.bptt(cell, params, xs, None, None, dys)
print("∇h(t), explicit − by hand:", float(np.abs(gradients.carries - hand_dhs).max()))

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
norms = jnp.linalg.norm(gradients.carries, axis=-1)
axes[0].plot(range(1, TIME + 1), norms, "o-")
axes[0].set(xlabel="t", ylabel="‖∇h(t) L‖", title="Loss at every step", ylim=(0, None))
last = jaxrnn.bptt(cell, params, xs, None, None, dys.at[:-1].set(0)).carries
axes[1].semilogy(range(1, TIME + 1), jnp.linalg.norm(last, axis=-1), "o-")
axes[1].set(xlabel="t", title="Loss at t = τ only: the gradient vanishes backward")
for ax in axes:
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## The same pass for any cell
# `bptt_python` is the loop above for any cell, with masks, resets and both directions. `step_bwd` is the recursion of
# 2.2.2; `to_inputs` and `weight_bwd` are the sums of 2.2.3. The tests compare `bptt` with it.

# %%
source = inspect.getsource(inspect.getmodule(jaxrnn.unrolling.bptt_python))
print(source[source.index("    h, record") : source.index("    dinitial = add(dinitial, dh)")])

lstm, mask = jaxrnn.LSTM(INPUT, HIDDEN), jaxrnn.mask_from_lengths(jnp.array([12, 7, 0]), TIME)
lstm_params = lstm.init(jax.random.key(1))
loop, scan = (
    run(lstm, lstm_params, xs, None, None, dys, mask=mask, reverse=True)
    for run in (jaxrnn.unrolling.bptt_python, jaxrnn.bptt)
)
print("largest difference, an LSTM backwards over padded rows:", max(jax.tree.leaves(largest(loop, scan))))

# %% [markdown]
# ## What the loop does
# The two gradients differ in what their reverse loops do. `jax.grad` carries a cotangent as large as W through the loop
# and computes an outer product for it at every step; the explicit scan carries only ∇h.


# %%
def reverse_scan(run):
    """Return the reverse loop of the gradient's program."""
    (loop,) = (loop for loop in loops(jax.grad(lambda w: loss(w, run)), (params, out)) if loop.reverse)
    return loop


for run in (jaxrnn.unroll, jaxrnn.unroll_bptt):
    loop = reverse_scan(run)
    print(f"{run.__name__:12} products a step: {loop.dots}   carried: {[shape for shape in loop.carried if shape]}")

# %% [markdown]
# ## The cost of the whole gradient is O(τ)
# The time is O(τ) because step t of the recursion needs the result of step t + 1. The memory is O(τ) because every h(t)
# is kept until the recursion reaches it: the residuals of the forward pass grow by the same amount with every step.

# %%
bytes_at = {
    n: jax.jit(jax.grad(lambda p, x: jaxrnn.unroll_bptt(cell, p, x)[1].sum()))
    .lower(params, jax.ShapeDtypeStruct((n, BATCH, INPUT), float))
    .compile()
    .memory_analysis()
    .temp_size_in_bytes
    for n in (100, 200, 400, 800)
}
for n, size in bytes_at.items():
    print(f"τ = {n:4}: {size:9,} bytes, {size / n:7.1f} a step")

# %% [markdown]
# ## Exercises
# **1.** In the last section the residuals grow with τ. Which of the chapter's sums could be computed inside the reverse
# loop, so that the gradients of the hidden states are not kept, and what would that cost?
#
# <details><summary>Answer</summary>
#
# The sum for $\nabla_{\mathbf W}L$. Adding each step's outer product inside the loop needs no record of the hidden
# gradients, but it reads and writes the whole gradient of $\mathbf W$, $n^2$ numbers, at every one of the τ steps. One
# contraction after the loop reads each gradient and each state once. The forward states must be kept either way.
#
# </details>
#
# **2.** The loss reads only the last output, and $\mathbf W = 0$. What is $\nabla_{\mathbf h^{(t)}}L$ for every t?
#
# <details><summary>Answer</summary>
#
# $\mathbf V^\top\nabla_{\mathbf o^{(\tau)}}L$ at $t = \tau$ and 0 before: the only path from $\mathbf h^{(t)}$ to
# $\mathbf h^{(t+1)}$ goes through $\mathbf W$.
#
# </details>
#
# **3.** Set `jax_enable_x64` to False. Why do the differences between the three gradients grow, though all three
# methods are exact?
#
# <details><summary>Answer</summary>
#
# They add the same numbers in different orders, and floating-point addition is not associative. The differences are
# about the rounding error of float32, $10^{-7}$ of the largest terms.
#
# </details>
