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
# # 11 · Explicit memory
#
# Chapter section 八. A hidden state is a poor place for facts, because each of them has to be carried through every
# step. Give the network a separate memory of slots, and let it decide where to read and where to write. An integer
# address has no gradient, so the network reads and writes every slot a little, with weights.
#
# **You will see** how an address is computed in four steps, where the heads of a trained machine are while it copies,
# and which sentences a memory network reads to find an answer.


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
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image

from jaxrnn.commands.runs.experiments import Training, experiment
from jaxrnn.memory import addressing
from jaxrnn.tasks.memory import Copy, Stories, draw_heads
from jaxrnn.training.train_state import updates

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## An address in four steps
# A head finds slots by their content, mixes the result with its previous address, shifts, and sharpens:
#
# $$w^c_i=\operatorname{softmax}_i\,\beta\,\frac{k\cdot M_i}{|k||M_i|},\quad w^g=g\,w^c+(1-g)\,w^{(t-1)},\quad
# \tilde w_i=\sum_j w^g_{i-j}\,s_j,\quad w_i\propto\tilde w_i^{\gamma}.$$
#
# Each step is a function of arrays. Here the key resembles slot 6, the head was at slot 2, and the shift is mostly one
# slot forward.

# %%
slots, width = 12, 8
memory = jax.random.normal(jax.random.key(0), (width, slots))  # one slot a column
key = memory[:, 6] + 0.3 * jax.random.normal(jax.random.key(1), (1, width))
before = jax.nn.one_hot(jnp.array([2]), slots)

content = addressing.by_content(key, jnp.array([4.0]), memory)
mixed = addressing.interpolate(jnp.array([0.7]), content, before)
moved = addressing.rotate(mixed, jnp.array([[0.05, 0.15, 0.8]]))
sharp = jax.nn.softmax(addressing.sharpen(moved, jnp.array([3.0])), axis=-1)

fig, axes = plt.subplots(1, 5, figsize=(13, 2.2), sharey=True, layout="constrained")
titles = ["where it was", "by content, β = 4", "mixed, g = 0.7", "shifted", "sharpened, γ = 3"]
for ax, w, title in zip(axes, [before, content, mixed, moved, sharp], titles, strict=True):
    ax.bar(range(slots), w[0], color="tab:purple")
    ax.set(title=title, xlabel="slot", ylim=(0, 1))
axes[0].set_ylabel("weight")
plt.show()

# %% [markdown]
# At the limits of their parameters the steps are exact: a strong key is a pointer, g = 0 stays in place, a one-hot
# shift wraps around the end, and erasing 1 and adding a at one slot is an assignment. Every other slot stays the same
# to the last bit, and so does its gradient. This is item 3 of the section: the content of a memory neither vanishes nor
# explodes.

# %%
one = jax.nn.one_hot(jnp.array([11]), slots)
print("rotated from the last slot to:", int(addressing.rotate(one, jnp.array([[0.0, 0.0, 1.0]])).argmax()))
new = jnp.arange(1.0, width + 1)[None]
written, vjp = jax.vjp(lambda m: addressing.write(one, jnp.ones((1, width)), new, m), memory)
print("slot 11 holds the new vector:", bool((written[:, 11] == new[0]).all()))
print("the others and their gradients unchanged:", bool((written[:, :11] == memory[:, :11]).all()), end=" ")
print(bool((vjp(memory)[0][:, :11] == memory[:, :11]).all()))


# %% [markdown]
# ## Learning to copy
# The network reads vectors of 8 random bits, then a mark, and must then output the same vectors. It is trained on 1 to
# 10 vectors. An LSTM with about as many parameters is trained on the same episodes. `jaxrnn train --task copy` does
# this at the usual sizes (1 to 20 vectors, 128 slots).


# %%
def learn(task, steps, learning_rate):
    training = Training(steps=steps, learning_rate=learning_rate, clip=10.0)
    data, facts = task.load()
    begun = experiment(task, training, facts)
    state, curve = begun.init(), []
    for start in range(0, steps, 50):
        batches = [task.batch_at(data, training.seed, k) for k in range(start, start + 50)]
        batches = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
        state, losses = updates(begun.loss_fn, begun.optimizer, state, batches, training.keys()[1])
        curve += losses.tolist()
    return begun.model, state.params, curve


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def smooth(curve):
    return np.convolve(curve, np.ones(20) / 20, mode="valid")


machine_task = Copy(longest=10, slots=64)
machine, machine_params, machine_curve = learn(machine_task, 600, 2e-3)
lstm_task = Copy(cell="lstm", hidden=52, longest=10)
lstm, lstm_params, lstm_curve = learn(lstm_task, 600, 2e-3)
print(f"parameters: machine {count(machine_params):,}, LSTM {count(lstm_params):,}")

# %%
errors = {}
for name, task, model, params in (
    ("Neural Turing machine", machine_task, machine, machine_params),
    ("LSTM", lstm_task, lstm, lstm_params),
):
    measured = task.evaluate(model, params, None)
    errors[name] = [measured["bit_error"], *(measured[f"bit_error_at_{n}"] for n in (30, 60))]
print(f"{'share of wrong bits':24}{'1 to 10':>10}{'30':>10}{'60':>10}")
for name, shares in errors.items():
    print(f"{name:24}" + "".join(f"{share:10.4f}" for share in shares))

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(smooth(machine_curve) / np.log(2), label="Neural Turing machine")
ax.plot(smooth(lstm_curve) / np.log(2), label="LSTM, as many parameters")
ax.set(xlabel="update", ylabel="bits per vector of 8", ylim=(0, None))
ax.legend(frameon=False)
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The figure shows what the machine has learned. The write head advances by one slot for each vector while the read head
# waits; at the mark the read head sets off along the same slots. None of this depends on the number of vectors, so it
# also works for sequences longer than any in training. Here are 30 vectors, three times the longest training sequence.

# %%
draw_heads(folder / "heads.png", machine, machine_params, *machine_task.held_out([30]), title="copy, 30 vectors")
Image(folder / "heads.png", width=800)

# %% [markdown]
# ## Questions about a story
# A memory network keeps sentences in its slots, and looks for an answer in several hops: what the first hop finds
# changes what the second looks for. The stories are generated in the style of bAbI; they are not bAbI. A quarter of the
# pairs of a name with a place or a thing never occurs in training; the second column asks about those alone.

# %%
stories = Stories(width=64)
network, network_params, _ = learn(stories, 2000, 1e-2)
measured = stories.evaluate(network, network_params, None)
print(f"{'share of right answers':24}{'seen pairs':>12}{'held out':>12}")
for kind in (*stories.kinds, None):
    ending = "" if kind is None else f"_{kind}"
    shares = (measured[f"accuracy{column}{ending}"] for column in ("", "_held_out"))
    print(f"{kind or 'mean':24}" + "".join(f"{share:12.3f}" for share in shares))

# %% [markdown]
# The network was never told which sentences matter (shown in bold). The figure shows which ones it reads:

# %%
pictures = stories.illustrate(network, network_params, None, folder)
Image(pictures["read"], width=700)

# %% [markdown]
# Weston's memory networks were told. Each hop then reads a single sentence, and the loss has a term for the choice.
# With this supervision, the network finds two supporting sentences after a few updates:

# %%
for addressing_is in ("soft", "supervised"):
    task = Stories(kind="two", hops=2, width=32, addressing=addressing_is)
    trained, trained_params, _ = learn(task, 400, 1e-2)
    measured = task.evaluate(trained, trained_params, None)
    print(f"{addressing_is:12} seen pairs {measured['accuracy']:.3f}   held out {measured['accuracy_held_out']:.3f}")

# %% [markdown]
# ## Exercises
# **1.** What does a key of strength β = 0 address?
#
# <details><summary>Answer</summary>
#
# All slots, with weight 1/N each: the softmax of equal numbers.
#
# </details>
#
# **2.** Weights 0.6 and 0.4 are sharpened with γ = 2. What do they become? What do they become as γ goes to infinity?
#
# <details><summary>Answer</summary>
#
# 0.36 and 0.16, divided by their sum 0.52, are 0.69 and 0.31. In the limit they are 1 and 0.
#
# </details>
#
# **3.** A head with erase vector 1 and add vector a writes with weight ½ to two slots. What do they hold afterward?
#
# <details><summary>Answer</summary>
#
# Each holds $\tfrac12\mathbf M_i + \tfrac12\mathbf a$: half of the old content and half of the new. Only a weight of 1
# replaces a row.
#
# </details>
