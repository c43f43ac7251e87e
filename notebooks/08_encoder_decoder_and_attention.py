# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · Encoder, decoder, attention
# Chapter section 四. An encoder reads x(1) … x(τx) into a context C; a decoder writes y(1) … y(τy) from it, where τx
# and τy may differ. Both are trained together on log P(y | x). This notebook
#
# 1. lets C enter the decoder in the three ways of the chapter,
# 2. shows what a C of fixed size cannot hold, and how attention gets around it,
# 3. looks at what the decoder attends to, and checks that the keys cost no memory per step.
#
# **You will see** three ways for a context to enter a decoder, where a context of fixed size fails, and what attention
# reads instead.


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
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from jaxrnn.tasks.translation import END, LETTERS, Reverse, backwards, bucket, exact, pairs, translate
from jaxrnn.training.train_state import init_state, updates

# %% [markdown]
# ## Three ways in
# The encoder and the decoder can be any cells of any sizes; a `Bidirectional` or a `Stack` can be an encoder too. C is
# the whole last state of the encoder. Here an LSTM of 8 units reads (so C has 16 numbers, h and the cell state), and a
# GRU of 6 units writes.

# %%
decoder = jaxrnn.SymbolModel(jaxrnn.GRU(4, 6), vocabulary=11, features=4, hidden_size=6)
made = pairs(["zwei", "vier", "zehn"], ["2", "4", "10"], source_symbols="zweivrhn", target_symbols="0123456789")
source, source_lengths, target, lengths = map(jnp.asarray, made)
for enters in ("every step", "initial state", "both"):
    model = jaxrnn.Seq2Seq(jaxrnn.LSTM(3, 8), decoder, 8, 3, context_enters=enters)
    params = model.init(jax.random.key(0))
    encoded = model.encode(params, source, source_lengths)
    outputs = model.apply(params, encoded, target, lengths, start=END)
    log_p = jaxrnn.generation.log_likelihood(jaxrnn.EndSymbol(END), outputs, target, lengths)
    print(f"{enters:14} C {encoded.context.shape}   log P(y | x) = {np.round(log_p, 2)}")

# %% [markdown]
# The model is a `Generator`: every stop rule, every sampler and the beam search work with it. The probability of what
# they generate is the same as under teacher forcing.

# %%
carry = model.initial_carry(params, encoded)
options = {"start": jnp.full(3, END), "stop": jaxrnn.EndSymbol(END), "bound": 6}
beams = jaxrnn.beam_search(model, params, carry, width=3, **options)
best = beams.symbols[..., 0], beams.lengths[..., 0]
outputs = model.apply(params, encoded, *best, start=END)
again = jaxrnn.generation.log_likelihood(options["stop"], outputs, *best, stopped=beams.stopped[..., 0])
print("best of the beam:", np.round(beams.log_probability[:, 0], 4), " by teacher forcing:", np.round(again, 4))

# %% [markdown]
# Sequences of many lengths are padded to a few lengths, the powers of two from 8 on. Masks on both sides exclude the
# padding, so a thousand lengths need only eight compiled programs:

# %%
print(sorted({bucket(n) for n in range(1, 1001)}))

# %% [markdown]
# ## What a fixed C cannot hold
# The task is to reverse letters: every letter matters and none follows from another, so C must hold all of them. Two
# models with the same number of units train on lengths 1 to 12. One has only C; the other's decoder attends to the
# encoder's states h(1) … h(τx), with a score that also depends on where it attended at the previous step (Chorowski et
# al. 2015).

# %%
LONGEST, STEPS = 12, 300


def learn(task):
    model = task.model({})
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(6e-3, STEPS)))
    state = init_state(model.init(jax.random.key(1)), optimizer)
    batches = [task.batch_at(None, 0, step) for step in range(STEPS)]
    batches = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
    state, losses = updates(partial(task.loss, model), optimizer, state, batches, jax.random.key(2))
    return model, state.params, losses


sizes = {"longest": LONGEST, "hidden": 64, "embedding": 16, "batch": 32}
learned = {name: learn(Reverse(attention=name, **sizes)) for name in ("none", "location")}

# %%
rng, EACH = np.random.default_rng(7), 100
tested = np.arange(2, 2 * LONGEST + 1, 2)
texts = backwards(rng, np.repeat(tested, EACH), 2 * LONGEST)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
for name, (model, params, losses) in learned.items():
    shares = exact(model, params, texts).reshape(-1, EACH).mean(axis=1)
    axes[0].plot(losses, label=f"attention: {name}", linewidth=0.9)
    axes[1].plot(tested, shares, "o-", label=f"attention: {name}")
    print(f"{name:9}", {int(n): float(round(share, 2)) for n, share in zip(tested, shares, strict=True)})
axes[0].set(xlabel="update", ylabel="−log P per letter, nats", title="Learning to reverse")
axes[1].axvspan(LONGEST, 2 * LONGEST, color="0.9", label="longer than in training")
axes[1].set(xlabel="length", ylabel="fraction without an error", title="Accuracy against length")
for ax in axes:
    ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The fixed C fails when there are too many letters for it, well below the greatest length in training. With attention
# nothing has to pass through C, and the same weights reverse texts longer than any in training.
#
# ## What the decoder reads
# `alignment` gives α(t) for every output symbol. This text is almost twice as long as any in training:

# %%
model, params, _ = learned["location"]
text = "thequickbrownfoxjumpsov"
answer = translate(model, params, text, source_symbols=LETTERS, target_symbols=LETTERS, bound=2 * LONGEST + 1)
print(text, "→", "".join(answer.answer))
fig, ax = plt.subplots(figsize=(5, 4.6), layout="constrained")
ax.imshow(answer.weights, cmap="Blues", vmin=0, vmax=1)
ax.set_xticks(range(len(text)), text)
ax.set_yticks(range(len(answer.answer)), answer.answer)
ax.set(xlabel="source letter", ylabel="written letter", title="Attention weights α")
plt.show()

# %% [markdown]
# ## Attention is a cell
# `Attending(cell, attention)` has the four methods of a cell, so `unroll`, explicit BPTT, masks and the rest work as
# for any other cell. Below, its two gradients are compared for five scores on one problem. A row whose source is fully
# masked (the last one) reads 0.

# %%
states = jax.random.normal(jax.random.key(3), (9, 2, 6))
xs = jax.random.normal(jax.random.key(4), (5, 2, 3))
source_mask = jaxrnn.mask_from_lengths(jnp.array([9, 0]), 9)


def loss(run, cell, params, states):
    return jnp.sum(run(cell, params, xs, cell.attend_to(params, states, mask=source_mask))[1] ** 2)


for score in ("additive", "location", "dot", "general", "scaled"):
    cell = jaxrnn.seq2seq.Attending(jaxrnn.LSTM(3 + 6, 6), jaxrnn.Attention(6, 6, score), source=9)
    params = cell.init(jax.random.key(5))
    by_scan, by_bptt = (
        jax.jit(jax.grad(partial(loss, run, cell), argnums=(0, 1)))(params, states)
        for run in (jaxrnn.unroll, jaxrnn.unroll_bptt)
    )
    largest = max(float(abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (by_scan, by_bptt)), strict=True))
    carry, _ = jaxrnn.unroll(cell, params, xs, cell.attend_to(params, states, mask=source_mask))
    print(f"{score:9} largest difference of the gradients {largest:.0e}   Σα = {carry.reading.weights.sum((1, 2))}")

# %% [markdown]
# Keys and values are part of the carry, which passes them on unchanged. Both gradient methods recognize this and store
# them once. The explicit pass recomputes the tanh of the scores in the backward pass instead of storing it for every t.
# This is the temporary memory of a gradient over 100 steps that attend to 100 positions, with 32 rows and 128 units:

# %%
big = jaxrnn.seq2seq.Attending(jaxrnn.LSTM(32 + 128, 128), jaxrnn.Attention(128, 128), source=100)
shapes = jax.eval_shape(big.init, jax.random.key(0))
inputs = jax.ShapeDtypeStruct((100, 32, 32), jnp.float32), jax.ShapeDtypeStruct((100, 32, 128), jnp.float32)
for run in (jaxrnn.unroll, jaxrnn.unroll_bptt):

    def big_loss(params, xs, states, run=run):
        return jnp.sum(run(big, params, xs, big.attend_to(params, states))[1])

    memory = jax.jit(jax.grad(big_loss)).lower(shapes, *inputs).compile().memory_analysis().temp_size_in_bytes
    print(f"{run.__name__:12} {memory / 2**20:7.1f} MiB")
print(f"keys and values, were they kept at every step: {100 * 2 * 32 * 100 * 128 * 4 / 2**20:.0f} MiB")

# %% [markdown]
# The command line trains on real data: `jaxrnn train --task dates` learns to rewrite dates of five languages as ISO
# dates, `--task numbers` number words as digits; `jaxrnn translate "3 février 2019" --alignment` shows what the decoder
# read.

# %% [markdown]
# ## Exercises
# **1.** The task is to reverse L random letters out of 26. How many bits must a context of fixed size hold? How many
# must it hold with attention?
#
# <details><summary>Answer</summary>
#
# $L\log_2 26$ bits, 94 at L = 20. With attention none have to pass through C: the decoder only needs to know where it
# is, and reads the letters from the encoder's states.
#
# </details>
#
# **2.** Add the same constant to all scores of a step. What happens to the weights, and why does that matter for large
# scores?
#
# <details><summary>Answer</summary>
#
# The weights stay the same: softmax is invariant to the constant. So the largest score can be subtracted first, which
# keeps the exponentials from overflowing.
#
# </details>
#
# **3.** The input has a single valid position. What does attention read, whatever its parameters?
#
# <details><summary>Answer</summary>
#
# That position: softmax over one score is 1.
#
# </details>
