"""Measures of a language model on held-out text that can be compared between models of different symbols.

    bits per character = −(1/n) Σₜ log₂ P(k_{t+1} | k_1, …, k_t),        n characters in the predicted symbols

The rows of a batch are runs of the text, spread over all of it, and read window by window with the carry handed on.

References: Graves 2013, "Generating sequences with recurrent neural networks", §3; Goodfellow et al. 2016, §10.2.
"""

import math
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.types import Params
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.objectives.losses import bits_per_character, cross_entropy, perplexity
from jaxrnn.tasks.data import Corpus
from jaxrnn.tasks.sequences.symbols import symbols_of

HELD_OUT_ROWS, HELD_OUT_STEPS = 32, 256


def measured(model: SymbolModel, params: Params, data: Corpus, characters: int | None = None) -> dict[str, float]:
    """Return the cross-entropy of about `characters` held-out characters, spread over all of them; None for all.

    Args:
      model: draws no noise.
      params: its parameters.
      data: the text.
      characters: how many.

    Returns:
      Bits per character, perplexity per character, and the number of characters.
    """
    widths = symbols_of(data.alphabet, data.tokenizer).widths()
    tokens = len(data.held_out) if characters is None else math.ceil(characters / data.width)
    carry, nats, count = model.initial_carry(params, (HELD_OUT_ROWS,)), 0.0, 0
    for inputs, targets, mask in held_out_windows(data.held_out, tokens):
        carry, loss = _nats(model, params, carry, inputs, targets, mask)
        nats, count = nats + float(loss), count + int(widths[targets[mask]].sum())
    mean = jnp.asarray(nats / max(count, 1))
    bits, words = bits_per_character(mean), perplexity(mean)
    return {"bits_per_character": float(bits), "perplexity": float(words), "characters": count}


def held_out_windows(tokens: np.ndarray, budget: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield inputs, targets and mask `[HELD_OUT_STEPS, HELD_OUT_ROWS]` of one window after another.

    Each row is a stretch of the text that continues from window to window; the rows are spread over the whole text.  If
    `budget` covers the text, every token but the first is a target exactly once.

    >>> windows = list(held_out_windows(np.arange(10_000), 10_000))
    >>> len(windows), windows[0][0].shape, sum(int(mask.sum()) for _, _, mask in windows)
    (2, (256, 32), 9999)
    """
    count = len(tokens) - 1
    run = -(-count // HELD_OUT_ROWS)
    read = min(run, -(-budget // HELD_OUT_ROWS))
    for start in range(0, read, HELD_OUT_STEPS):
        time = start + np.arange(HELD_OUT_STEPS)[:, None]
        position = time + np.arange(HELD_OUT_ROWS) * run
        mask = (time < read) & (position < count)
        position = np.where(mask, position, 0)
        yield tokens[position].astype(np.int32), tokens[position + 1].astype(np.int32), mask


@partial(jax.jit, static_argnums=0)
def _nats(model: SymbolModel, params, carry, inputs, targets, mask):
    """Return the carry after a window, and the sum of −log P over its valid steps."""
    carry, logits = model.read(params, inputs, carry, mask=mask)
    return carry, cross_entropy(logits, targets, mask=mask) * mask.sum()
