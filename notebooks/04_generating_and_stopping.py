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
# # 04 · Generating and stopping
#
# Chapter sections 2.5 and 2.6. A network without an input sequence reads its own outputs: it reads a start symbol, a
# symbol is drawn from its output, and that symbol is its next input. It also needs a rule for when to stop. There are
# three such rules, and every generator takes any of them as an argument.
#
# **You will see** three ways to stop, learned on the same ten words; what the stop unit knows at each letter; and why
# the most probable first letter does not begin the most probable word.


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
from jaxrnn.tasks.sequences import LETTERS, LONGEST, NAMES, CaptionDigits, caption, names_of

WORDS = NAMES["English"]


def fit(loss, params, steps, rate=0.02):
    """Minimize loss(params, key) by Adam, in one compiled loop."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def step(state, key):
        value, gradient = jax.value_and_grad(loss)(state[0], key)
        updates, memory = optimizer.update(gradient, state[1])
        return (optax.apply_updates(state[0], updates), memory), value

    keys = jax.random.split(jax.random.key(0), steps)
    (params, _), losses = jax.jit(lambda s: jax.lax.scan(step, s, keys))((params, optimizer.init(params)))
    return params, losses


def spelled(symbols, length):
    return "".join(LETTERS[s] for s in np.asarray(symbols)[: int(length)]).rstrip(".")


# %% [markdown]
# ## A language of ten words
# The language is zero, one, …, nine, each equally likely, so no model can do better than log 10 = 2.303 nats a word.
# The three models differ only in what their stop rule needs: an end symbol in every word; one more output, a Bernoulli
# unit; or log P(τ) and, as an input at every step, the number of letters still to come.

# %%
RULES = ("end symbol", "stop unit", "predicted length")
BOUND = LONGEST + 1
symbols = jnp.array([[LETTERS.index(letter) for letter in word.ljust(BOUND, ".")] for word in WORDS]).T
lengths = jnp.array([len(word) for word in WORDS])


def model_of(rule):
    longest = LONGEST if rule == "predicted length" else None
    return jaxrnn.SymbolModel(jaxrnn.GRU(16, 32), len(LETTERS), 16, 32, stop_unit=rule == "stop unit", longest=longest)


def rule_of(rule, model, params, batch):
    if rule == "predicted length":
        return model.predicted_length(params, batch)
    return jaxrnn.generation.StopUnit() if rule == "stop unit" else jaxrnn.EndSymbol(0)


def log_p(rule, model, params):
    """Return log P of each of the ten words."""
    tau = lengths + (rule == "end symbol")
    outputs = model.apply(params, symbols, tau, start=0)
    return jaxrnn.generation.log_likelihood(rule_of(rule, model, params, tau.shape), outputs, symbols, tau)


trained, curves = {}, {}
for rule in RULES:
    model = model_of(rule)
    params, curves[rule] = fit(
        lambda p, _, rule=rule, model=model: -log_p(rule, model, p).mean(), model.init(jax.random.key(1)), 150
    )
    trained[rule] = model, params
    p = jnp.exp(log_p(rule, model, params))
    print(f"{rule:17} −log P {curves[rule][-1]:.3f} nats a word; the ten words have together P = {p.sum():.4f}")

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for rule, curve in curves.items():
    ax.plot(curve, label=rule)
ax.axhline(np.log(10), color="gray", ls="--", lw=0.8, label="log 10")
ax.set(
    xlabel="update",
    ylabel="−log P(word), nats",
    ylim=(2, 8),
    title="Training by maximum likelihood, three stopping rules",
)
ax.legend()
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The figure shows the lengths of the words drawn from the three models, next to those of the ten training words. A row
# that has stopped never changes again, whatever the others do. The model that predicts τ still gives some weight to
# lengths that no word has: their logits have to go to −∞, and training has not moved them far.

# %%
ROWS = 1000
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for i, rule in enumerate(RULES):
    model, params = trained[rule]
    keys, carry = jax.random.split(jax.random.key(2), ROWS), model.initial_carry(params, (ROWS,))
    options = {"start": 0, "stop": rule_of(rule, model, params, (ROWS,)), "bound": BOUND}
    made = jaxrnn.sample(keys, model, params, carry, **options)
    scanned = jaxrnn.generation.sample_scan(keys, model, params, carry, **options)
    words = [spelled(s, n) for s, n in zip(made.symbols.T, made.lengths, strict=True)]
    letters = np.array([len(word) for word in words])
    same = all(bool((a == b).all()) for a, b in zip(made[:3], scanned[:3], strict=True))
    print(f"{rule:17} {np.isin(words, WORDS).mean():.1%} are words; both loops made the same: {same}; {words[:6]}")
    ax.bar(np.arange(1, 8) + 0.2 * i - 0.3, np.bincount(letters, minlength=8)[1:8] / ROWS, 0.2, label=rule)
truth = np.bincount(lengths, minlength=8)[1:8] / 10
ax.bar(np.arange(1, 8) + 0.3, truth, 0.2, color="k", alpha=0.4, label="the ten words")
ax.set(xlabel="letters", ylabel="fraction of the words", title="Length of the generated words")
ax.legend()
plt.show()

# %% [markdown]
# ## What the stop unit knows
# The stop unit's probability s(t) = σ(oₛ), after each letter of each word, is 1 at the last letter and 0 before it. The
# letter n ends "seven" but not "nine": the unit reads the state, not the letter.

# %%
model, params = trained["stop unit"]
outputs = model.apply(params, symbols, lengths, start=0)
stops = np.where(np.arange(BOUND)[:, None] < lengths, jax.nn.sigmoid(outputs[..., -1]), np.nan)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
shown = ax.imshow(stops.T[:, :LONGEST], cmap="Blues", vmin=0, vmax=1, aspect="auto")
for i, word in enumerate(WORDS):
    for t, letter in enumerate(word):
        ax.text(t, i, letter, ha="center", va="center", color="white" if stops[t, i] > 0.5 else "black")
ax.set(yticks=[], xlabel="t", title="Probability of stopping at step t")
fig.colorbar(shown)
plt.show()

# %% [markdown]
# ## Temperature, top-k, top-p
# The figure shows the distribution of the first letter: f, s and t begin two words each. A low temperature sharpens it,
# a high one flattens it; top-k and top-p cut off its tail.

# %%
model, params = trained["end symbol"]
_, first = model.next_logits(params, model.initial_carry(params), jnp.array(0))
ways = {
    "T = 1": first,
    "T = ½": jaxrnn.generation.with_temperature(first, 0.5),
    "T = 2": jaxrnn.generation.with_temperature(first, 2.0),
    "top-k, k = 3": jaxrnn.generation.keep_top_k(first, 3),
    "top-p, p = 0.7": jaxrnn.generation.keep_top_p(first, 0.7),
}
fig, axes = plt.subplots(1, len(ways), figsize=(14, 2.6), sharey=True, layout="constrained")
for ax, (title, logits) in zip(axes, ways.items(), strict=True):
    ax.bar(list(LETTERS), jax.nn.softmax(logits))
    ax.set(title=title)
    ax.tick_params(axis="x", labelsize=7)
axes[0].set_ylabel("P(first letter)")
plt.show()

# %% [markdown]
# ## Greedy search misses the most likely word
# In a language of three words, six and seven have probability 0.3 each and nine has 0.4. The most likely first letter
# is s, so greedy search takes it. But six and seven share that probability, and the most likely word is nine. Beam
# search finds it.

# %%
weights = jnp.array([0.0, 0.0, 0, 0, 0, 0, 0.3, 0.3, 0.0, 0.4])  # six, seven, nine


def weighted(params, _):
    return -jnp.sum(weights * log_p("end symbol", model, params))


skewed, _ = fit(weighted, model.init(jax.random.key(3)), 150)
carry, start = model.initial_carry(skewed, (1,)), jnp.zeros(1, int)
options = {"start": start, "stop": jaxrnn.EndSymbol(0), "bound": BOUND}
one = jaxrnn.greedy(model, skewed, carry, **options)
print(f"greedy: {spelled(one.symbols[:, 0], one.lengths[0])}, P = {np.exp(one.log_probability[0]):.3f}")
beams = jaxrnn.beam_search(model, skewed, carry, **options, width=3)
for b in range(3):
    word = spelled(beams.symbols[:, 0, b], beams.lengths[0, b])
    print(f"beam {b + 1}: {word}, P = {np.exp(beams.log_probability[0, b]):.3f}")

# %% [markdown]
# ## An input of length 1: a picture
# The input is one vector x: an 8 × 8 image and a language. It enters at every step, as the initial state, or both. The
# task is that of `jaxrnn train --task captions`, with less training.

# %%
results = {}
for way in ("every-step", "initial-state", "both"):
    task = CaptionDigits(x_enters=way)
    data, facts = task.load()
    captioner = task.model(facts)
    everything = jax.tree.map(jnp.asarray, data["train"])

    def loss(params, key, task=task, captioner=captioner, everything=everything):
        rows = jax.random.choice(key, len(everything.lengths), (task.batch,))
        return task.loss(captioner, params, None, everything.some(rows), key)[0]

    params, _ = fit(partial(loss), captioner.init(jax.random.key(4)), 200, rate=0.01)
    results[way] = captioner, params
    metrics = task.evaluate(captioner, params, data)
    print(f"{way:14} {metrics['accuracy']:.1%} of the held-out names right, {metrics['nats']:.3f} nats a name")

# %%
some = data["held_out"].some(slice(0, 24))
said, truth = names_of(caption(*results["both"], jnp.asarray(some.x))), names_of(some)
fig, axes = plt.subplots(1, 12, figsize=(14, 1.9), layout="constrained")
for i, ax in enumerate(axes):
    pair = slice(2 * i, 2 * i + 2)
    ax.imshow(some.x[2 * i, :64].reshape(8, 8), cmap="gray_r")
    ax.set_title("\n".join(said[pair]), fontsize=9, color="black" if said[pair] == truth[pair] else "red")
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Exercises
# **1.** A stop unit outputs $s = p$ at every step. How long are the sequences, on average?
#
# <details><summary>Answer</summary>
#
# $1/p$: the length is geometric.
#
# </details>
#
# **2.** Letters have the probabilities 0.4, 0.3, 0.3. What are they at temperature ½?
#
# <details><summary>Answer</summary>
#
# Dividing logits by ½ squares the probabilities: 0.16, 0.09, 0.09. Their sum is 0.34, so the result is 0.47, 0.26,
# 0.26.
#
# </details>
#
# **3.** In the language of six, seven and nine, greedy search fails. How wide must a beam be to find nine?
#
# <details><summary>Answer</summary>
#
# Two. After the first letter the beam holds s (0.6) and n (0.4). After the second, ni still has 0.4, while si and se
# have 0.3 each.
#
# </details>
