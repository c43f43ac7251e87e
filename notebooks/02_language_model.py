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
# # 02 · Training a language model
#
# Chapter sections 2.2 and 2.4. The model reads a text character by character and predicts the probability of each next
# one,
#
# $$P(k_{t+1}\mid k_1,\dots,k_t)=\mathrm{softmax}(\mathbf c+\mathbf V\mathbf h^{(t)}),\qquad
# L=-\frac1n\sum_t\log P(k_{t+1}\mid k_1,\dots,k_t)$$
#
# `make train` trains such a model with 256 units for two minutes. Here everything is smaller, so that you can look
# inside.
#
# **You will see** three cells learning the same text in the same loop, how far back each one's gradient reaches, and
# what the best of them writes.


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
from jaxrnn.generation import Sampling, SymbolModel, continue_sequence
from jaxrnn.tasks import builtin_text, corpus, decode, encode, stream_batch
from jaxrnn.training.train_state import cosine_adam, init_state, updates

BATCH, LENGTH, EMBEDDING, HIDDEN, STEPS = 32, 64, 32, 128, 300

text = corpus(builtin_text())
print(f"{len(text.train):,} characters to learn from, {len(text.held_out):,} held out, {len(text.alphabet)} distinct")
print(decode(text.train[1000:1400], text.alphabet))

# %% [markdown]
# ## A stream, cut into pieces
# A text is too long for one unrolled graph, so it is cut into pieces. Row b of batch k + 1 continues where row b of
# batch k stopped: the carry is passed on, and the gradient is cut there (truncated BPTT). A batch is a function of
# (seed, k) alone.

# %%
first, second = (stream_batch(text.train, seed=0, step=k, batch=BATCH, length=LENGTH) for k in (0, 1))
print(repr(decode(first[:, 0], text.alphabet)))
print(repr(decode(second[:, 0], text.alphabet)))

# %% [markdown]
# ## Three cells, one training loop
# `updates` runs many updates in one dispatch. The optimizer comes from optax, with clipping by the global norm (3.3).

# %%
chunk = 25
cells = {
    "Elman": jaxrnn.Elman(EMBEDDING, HIDDEN),
    "GRU": jaxrnn.GRU(EMBEDDING, HIDDEN),
    "LSTM": jaxrnn.LSTM(EMBEDDING, HIDDEN),
}


def fit(cell, seed=0):
    """Train a model; return it, its parameters, and the loss of every update in bits per character."""
    model = SymbolModel(cell, len(text.alphabet), EMBEDDING, HIDDEN)
    key, optimizer = jax.random.key(seed), cosine_adam(4e-3, STEPS, clip=1.0)
    params = model.init(key)

    def loss(params, carry, batch, key):
        carry, logits = model.read(params, batch[:-1], carry)
        return jaxrnn.cross_entropy(logits, batch[1:]), carry

    state, losses = init_state(params, optimizer, model.initial_carry(params, (BATCH,))), []
    for k in range(0, STEPS, chunk):
        pieces = [stream_batch(text.train, seed, i, batch=BATCH, length=LENGTH) for i in range(k, k + chunk)]
        state, nats = updates(loss, optimizer, state, np.stack(pieces), key)
        losses.append(nats)
    return model, state.params, np.concatenate(losses) / np.log(2)


def held_out_bits(model, params, rows=16):
    """Return the bits per character of the held-out last tenth of the text, in `rows` long rows."""
    size = len(text.held_out) // rows
    tokens = text.held_out[: rows * size].reshape(rows, size).T
    _, logits = jax.jit(model.read)(params, tokens[:-1])
    return float(jaxrnn.objectives.bits_per_character(jaxrnn.cross_entropy(logits, tokens[1:])))


runs = {}
for name, cell in cells.items():
    start = time.perf_counter()
    runs[name] = fit(cell)
    seconds = time.perf_counter() - start
    print(f"{name:6} {seconds:5.1f} s   held out {held_out_bits(*runs[name][:2]):.3f} bits per character")

# %%
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
window = np.ones(15) / 15
for name, (_, _, bits) in runs.items():
    ax.plot(np.arange(len(bits) - 14) + 7, np.convolve(bits, window, "valid"), label=name)
ax.axhline(np.log2(len(text.alphabet)), color="gray", linestyle=":", label="uniform distribution")
frequencies = np.bincount(text.train) / len(text.train)
entropy = -(frequencies[frequencies > 0] * np.log2(frequencies[frequencies > 0])).sum()
ax.axhline(entropy, color="gray", linestyle="--", label="letter frequencies")
ax.set(xlabel="update", ylabel="bits per character", title="Three cells of 128 units on the same text")
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## How far back does the gradient reach?
# The figure shows ∇h(t) of the loss on the last character, computed by the explicit pass (for the LSTM, of h and C
# together). The plain cell's gradient falls by the same factor at every step, which is a straight line here: this is
# the vanishing gradient of section 3.1. What still reaches the left edge is what truncation to 64 steps cuts off.

# %%
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
tokens = stream_batch(text.held_out, seed=1, step=0, batch=BATCH, length=LENGTH)
for name, (model, params, _) in runs.items():
    xs = model.embed(params, tokens[:-1])
    _, ys = jaxrnn.unroll(model.cell, params.cell, xs)

    def last_loss(y, params=params, model=model):
        return jaxrnn.cross_entropy(model.readout.apply(params.readout, y), tokens[-1]) * BATCH

    dys = jnp.zeros_like(ys).at[-1].set(jax.grad(last_loss)(ys[-1]))
    carries = jaxrnn.bptt(model.cell, params.cell, xs, None, None, dys).carries
    dh = jnp.concatenate(jax.tree.leaves(carries), axis=-1)  # of the LSTM h and C
    norms = jnp.exp(jnp.log(jnp.linalg.norm(dh, axis=-1) + 1e-30).mean(1))  # the geometric mean over rows
    ax.semilogy(np.arange(LENGTH) - LENGTH + 1, norms / norms[-1], label=name)
ax.set(
    xlabel="steps before the loss",
    ylabel="‖∇h‖ / at the end",
    title="Gradient of one prediction, backward in time",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Samples
# Each character is drawn from softmax(o / temperature) and fed back. Low temperatures repeat the most likely words;
# high ones invent words.

# %%
model, params, _ = runs["LSTM"]
carry, logits = model.read(params, encode("The ", text.alphabet))
for temperature in (0.2, 0.7, 1.0):
    _, _, drawn = continue_sequence(
        model, params, carry, logits[-1], jax.random.key(0), length=250, sampling=Sampling(temperature)
    )
    print(f"--- temperature {temperature}\nThe {decode(drawn, text.alphabet)}\n")

# %% [markdown]
# ## Exercises
# **1.** A model that knows nothing gives every one of K characters the same probability. What are its bits per
# character and its perplexity?
#
# <details><summary>Answer</summary>
#
# $\log_2 K$ bits, and $2^{\log_2 K} = K$: perplexity is the number of equally likely characters that would be as hard
# to guess.
#
# </details>
#
# **2.** The carry is passed from batch to batch. What changes if it is reset to 0 at the start of each batch?
#
# <details><summary>Answer</summary>
#
# The gradient does not change: it is cut at the window's edge in both cases. But the first characters of each window
# are then predicted without context, so the loss is higher there, and nothing older than the window can ever be used.
#
# </details>
#
# **3.** What does a sampler write as its temperature goes to 0, and to infinity?
#
# <details><summary>Answer</summary>
#
# At 0 it always writes the most likely character, so the text soon repeats itself. At infinity it writes every
# character with the same probability, whatever the network predicts.
#
# </details>
