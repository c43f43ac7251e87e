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
# # 09 · Trees
#
# Chapter section 五. A recursive network has the graph of a tree: it computes h of a node from h of its children. Over
# a sequence of τ steps a balanced tree is ⌈log₂ τ⌉ deep, where a chain is τ deep. A tree that comes with the data also
# tells the network which parts belong together.
#
# **You will see** the depth and the gradients of a chain and of a balanced tree, a batch of different trees in one
# loop, and a task on which the tree helps.


# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("jaxrnn") is None:  # a fresh machine, Colab for one
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "jaxrnn[cli,tasks]"], check=True)

import matplotlib.pyplot as plt
from cycler import cycler

plt.rcParams.update({"font.size": 9, "axes.titlesize": "medium", "legend.fontsize": "medium"})
colors = cycler(color=["black", "tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown"])
dashes = cycler(linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))])
plt.rcParams["axes.prop_cycle"] = colors + dashes  # told apart in gray too

# %%
import ast

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from jaxrnn.tasks.trees import SYMBOLS, ListOps, held_out, read
from jaxrnn.training.train_state import init_state, updates

# %% [markdown]
# ## A tree is a value
# Leaves are numbered first, from left to right; then the inner nodes, children before parents. Trees can be built from
# a number of leaves, nested tuples, bracketed text, a syntax tree or a list of parents:

# %%
for tree in (
    jaxrnn.trees.balanced_tree("abcde"),
    jaxrnn.trees.from_nested((("the", "cat"), "sleeps")),
    jaxrnn.trees.from_bracketed("(S (NP the cat) (VP sleeps))"),
    jaxrnn.trees.from_ast(
        ast.parse("a * (b + 1)", mode="eval").body, label=lambda n: getattr(n, "id", type(n).__name__)
    ),
    jaxrnn.trees.from_parents([2, 2, 4, 4, -1]),
):
    print(f"height {tree.height}  {tree}")
try:
    jaxrnn.trees.pack([[-1, 0, 0], [1, 2, 0]], jaxrnn.trees.from_parents)
except jaxrnn.trees.TreeError as error:
    print("\n" + str(error))

# %% [markdown]
# ## Item 3: from τ to log τ
# Apply the same cell to the same 64 inputs as a comb (a sequence, read from its end) and as a balanced tree. Left: the
# number of sequential steps. Right: the size of the derivative of the root with respect to each leaf.

# %%
TAU, N = 64, 32
cell = jaxrnn.trees.TreeElman(N, N)
params = cell.init(jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (TAU, 1, N))
shapes = {"right comb": jaxrnn.trees.right_comb, "balanced tree": jaxrnn.trees.balanced_tree}
fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
lengths = 2 ** np.arange(1, 11)
for (name, make), style in zip(shapes.items(), ("o-", "s-"), strict=True):
    axes[0].loglog(lengths, [max(make(int(n)).height, 1) for n in lengths], style, label=name)
    forest = jaxrnn.trees.pack([make(TAU)], width="level", leaves=TAU)
    jacobian = jax.jacobian(lambda x, f=forest: jaxrnn.trees.unroll_tree(cell, params, f, x)[0][0])(xs)
    size = jnp.linalg.norm(jacobian[:, :, 0], axis=(0, 2))
    axes[1].semilogy(range(1, TAU + 1), size, style, markersize=3, label=name)
    print(f"{name:14} {forest.shape.steps:3} steps, ‖∂h_root/∂x‖ from {size.min():.1e} to {size.max():.1e}")
axes[0].set(xlabel="τ", ylabel="steps", title="Sequential steps")
axes[1].set(xlabel="leaf", ylabel="‖∂h_root/∂x_leaf‖", title="Gradient of the root with respect to each leaf")
for ax in axes:
    ax.legend()
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Many different trees, one loop
# `pack` divides the inner nodes of a batch into steps of equal width, with a node's children always in earlier steps.
# Hu's rule sets the order: the nodes farthest from their root go first, and no order takes fewer steps. The figure
# shows three trees. The number at a node is the step that computes it, with no limit on the width (a step is a level)
# and with a width of 3.


# %%
def draw(ax, tree, b, forest, x0):
    """Draw one tree, every inner node with its step; return the width."""
    first, width = len(tree.leaves), forest.shape.width
    x, y = {}, {}
    for n in range(tree.size):
        below = tree.children[n - first] if n >= first else ()
        x[n] = np.mean([x[c] for c in below]) if below else x0 + n
        y[n] = 1 + max(y[c] for c in below) if below else 0
        for c in below:
            ax.plot([x[n], x[c]], [y[n], y[c]], color="0.7", zorder=1)
        step = 1 + forest.place[n - first, b] // width if below else 0
        ax.scatter(x[n], y[n], s=190, c=[plt.cm.viridis(step / 9)] if below else "w", edgecolors="0.5", zorder=2)
        ax.text(x[n], y[n], step if below else "", ha="center", va="center", color="w", fontsize=8, zorder=3)
    return first + 1


batch = [
    jaxrnn.trees.balanced_tree(8),
    jaxrnn.trees.right_comb(5),
    jaxrnn.trees.from_nested(((1, 2, 3), (4, (5, 6)), 7)),
]
fig, axes = plt.subplots(1, 2, figsize=(13, 3.2), layout="constrained")
for ax, width in zip(axes, ("level", 3), strict=True):
    forest, x0 = jaxrnn.trees.pack(batch, width=width), 0
    for b, tree in enumerate(batch):
        x0 += draw(ax, tree, b, forest, x0)
    used = int((forest.node < forest.place.size).any(axis=1).sum())
    ax.set(title=f"width {forest.shape.width}: {used} steps", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# Compare the loop with the definition, a recursion in Python over each tree: the values, and the gradients of both
# backward passes.

# %%
lstm = jaxrnn.trees.NaryTreeLSTM(4, 6, arity=3)
lstm_params, forest = lstm.init(jax.random.key(2)), jaxrnn.trees.pack(batch)
leaves = jax.random.normal(jax.random.key(3), (*forest.leaf.shape, 4))
runs = {
    "recursion": lambda p: jaxrnn.trees.unroll_tree_python(lstm, p, batch, leaves)[0].h,
    "unroll_tree": lambda p: jaxrnn.trees.unroll_tree(lstm, p, forest, leaves)[0].h,
    "unroll_tree_bpts": lambda p: jaxrnn.trees.unroll_tree_bpts(lstm, p, forest, leaves)[0].h,
}
gradients = {name: jax.grad(lambda p, run=run: (run(p) ** 2).sum())(lstm_params) for name, run in runs.items()}
for name, run in runs.items():
    value = float(abs(run(lstm_params) - runs["recursion"](lstm_params)).max())
    pairs = zip(gradients[name], gradients["recursion"], strict=True)
    print(f"{name:17} largest difference in h {value:.1e}, in ∇ {max(float(abs(a - b).max()) for a, b in pairs):.1e}")

# %% [markdown]
# ## Does the tree help?
# ListOps expressions are nested MAX, MIN, MED and SM (sum modulo 10) of digits. The network over the tree and the LSTM
# over the text have about as many parameters. This is a short training run at small depth;
# `jaxrnn train --task listops` is the full one.

# %%
expression = ("MAX", (2, ("SM", (4, 7, 8)), ("MIN", (9, 3))))
print(" ".join(SYMBOLS[symbol] for symbol in read(expression)))


def learn(task, steps=400):
    data, facts = task.load()
    model, optimizer = task.model(facts), optax.adam(4e-3)
    state = init_state(model.init(jax.random.key(0)), optimizer)

    def loss_fn(params, carry, batch, key):
        return task.loss(model, params, carry, batch, key)

    curve = []
    for start in range(0, steps, 20):
        batches = [task.batch_at(data, 0, step) for step in range(start, start + 20)]
        batches = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
        state, losses = updates(loss_fn, optimizer, state, batches, jax.random.key(1))
        curve += np.asarray(losses).tolist()
    return curve, task.evaluate(model, state.params, data)


small = {"depth": 3, "arity": 3, "leaves": 12, "hidden": 64, "batch": 64, "growth": 0}
results = {network: learn(ListOps(network=network, **small)) for network in ("tree", "sequence")}
fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
for name, (curve, scores) in results.items():
    axes[0].plot(np.convolve(curve, np.ones(20) / 20, "valid"), label=name)
    depths = range(1, small["depth"] + 1)
    axes[1].plot(depths, [scores[f"accuracy_{d}"] for d in depths], "o-", label=name)
    print(f"{name:9} held out: {scores['nats']:.3f} nats, accuracy {scores['accuracy']:.1%}")
count = len(held_out(small["depth"], small["arity"], ListOps(**small).room))
axes[0].set(xlabel="update", ylabel="nats, mean of 20", title="Training loss")
axes[1].set(
    xlabel="depth",
    ylabel="accuracy",
    title=f"Accuracy on {count} held-out expressions",
    xticks=list(depths),
    ylim=(0, 1),
)
for ax in axes:
    ax.legend()
    ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Write your own cell
# A tree cell has an `arity` and five methods; the engine adds masks, batches of different trees and the explicit
# backward pass. This cell takes the largest of the children and adds the node's own input.

# %%
from dataclasses import dataclass


@jax.tree_util.register_static
@dataclass(frozen=True)
class Largest:
    size: int
    arity = None  # any number of children

    def init(self, key):
        return {"u": jax.random.normal(key, (self.size, self.size)) / self.size**0.5}

    def initial_carry(self, params, batch_shape=()):  # of a child that is not there: never the largest
        return jnp.full((*batch_shape, self.size), -jnp.inf)

    def project(self, params, xs):
        return xs @ params["u"]

    def leaf(self, params, z):
        return z, z

    def step_tree(self, params, children, present, z):
        h = z + children.max(axis=-2)
        return h, h


own = Largest(4)
own_params = own.init(jax.random.key(4))
clean = jaxrnn.trees.Nodes(leaves, jnp.zeros((*forest.place.shape, 4)))
fast = jaxrnn.trees.unroll_tree(own, own_params, forest, clean)[0]
print("less the recursion:", float(abs(fast - jaxrnn.trees.unroll_tree_python(own, own_params, batch, clean)[0]).max()))

# %% [markdown]
# ## Exercises
# **1.** How many inner nodes does a binary tree over 1,000 leaves have? How deep is it when it is balanced, and how
# deep as a comb?
#
# <details><summary>Answer</summary>
#
# It has 999, whatever its shape: the work is the same. Balanced it is ⌈log₂ 1000⌉ = 10 deep, as a comb 999.
#
# </details>
#
# **2.** Which of the two tree-LSTMs can tell a − b from b − a?
#
# <details><summary>Answer</summary>
#
# The N-ary one: it has separate weights for each child's position. The child-sum tree-LSTM gives the same state for any
# order of its children.
#
# </details>
#
# **3.** In a chain, the gradient passes 63 Jacobians between the root and the first of 64 leaves. How many does it pass
# in a balanced tree, and how much of it is left if each one halves it?
#
# <details><summary>Answer</summary>
#
# It passes 6, so 1/64 of it is left instead of $2^{-63} \approx 10^{-19}$.
#
# </details>
