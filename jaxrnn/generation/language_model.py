"""A language model over tokens: chapter 2.4, item 3, with the output as the next input.

    x⁽ᵗ⁾ = E[k_t],     h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),     o⁽ᵗ⁾ = c + V h⁽ᵗ⁾
    P(k_{t+1} | k_1, …, k_t) = softmax(o⁽ᵗ⁾)

k → `tokens`, integers; E → `params.embedding`, one row a token (a product with one-hot vectors, without the
zeros).  `generate` draws from the model: k_{t+1} ~ softmax(o⁽ᵗ⁾ / temperature), fed back as the next input.

References: Mikolov et al. 2010; Graves 2013, §2 and §3; Fan, Lewis & Dauphin 2018, §5 (top-k).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.checks import check_is_cell, check_positive, check_range
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.unrolling.backpropagation import unroll_bptt


class LanguageModelParams(NamedTuple):
    """What is learned, in the order in which a token passes it."""

    embedding: Float[Array, "vocabulary features"]
    """E: one row a token."""
    cell: Params
    """The cell's own."""
    readout: ReadoutParams
    """V and c."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LanguageModel:
    """P(k_{t+1} | k_1, …, k_t) = softmax(c + V h⁽ᵗ⁾), h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, E[k_t]).

    Args:
      cell: any cell whose input is an array.
      vocabulary: the number of tokens.
      features: the size of an embedded token, the cell's input size.
      hidden_size: the size of the cell's output.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a size below 1.

    >>> from jaxrnn import LSTM
    >>> model = LanguageModel(LSTM(4, 8), vocabulary=10, features=4, hidden_size=8)
    >>> params = model.init(jax.random.key(0))
    >>> carry, logits = model.apply(params, jnp.zeros((7, 2), int))
    >>> logits.shape
    (7, 2, 10)

    References: Mikolov et al. 2010.
    """

    cell: Cell
    vocabulary: int
    features: int
    hidden_size: int

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_positive(vocabulary=self.vocabulary, features=self.features, hidden_size=self.hidden_size)

    @property
    def readout(self) -> Readout:
        """From the cell's output to one logit a token."""
        return Readout(self.hidden_size, self.vocabulary)

    def init(self, key: Key) -> LanguageModelParams:
        """E from a normal distribution; the cell and the readout by their own rules."""
        e_key, cell_key, readout_key = jax.random.split(key, 3)
        embedding = jax.random.normal(e_key, (self.vocabulary, self.features))
        return LanguageModelParams(embedding, self.cell.init(cell_key), self.readout.init(readout_key))

    def initial_carry(self, params: LanguageModelParams, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The cell's h⁽⁰⁾."""
        return self.cell.initial_carry(params.cell, batch_shape)

    def apply(
        self,
        params: LanguageModelParams,
        tokens: Int[Array, "time *batch"],
        carry: Carry | None = None,
        *,
        mask: Bool[Array, "time *batch"] | None = None,
    ) -> tuple[Carry, Float[Array, "time *batch vocabulary"]]:
        """The logits of every next token, and the carry with which to go on.

        Args:
          params: as from `init`.
          tokens: k, integers from 0 to vocabulary − 1.
          carry: h⁽⁰⁾; None is the cell's initial carry.
          mask: True where there is a token.

        Raises:
          TypeError: tokens that are not integers.
          ValueError: a token out of range (where the values are known; under `jit` it gives NaN).
        """
        carry, ys = unroll_bptt(self.cell, params.cell, self.embed(params, tokens), carry, mask=mask)
        return carry, self.readout.apply(params.readout, ys)

    def embed(self, params: LanguageModelParams, tokens: Int[Array, "..."]) -> Float[Array, "..."]:
        """E[k], `[..., features]`."""
        tokens = jnp.asarray(tokens)
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"`tokens` must be integers, got {tokens.dtype}.")
        wrong = (tokens < 0) | (tokens >= self.vocabulary)
        check_range("tokens", tokens, 0, self.vocabulary - 1)
        outside = jnp.where(wrong, self.vocabulary, tokens)  # a negative index would count from the end
        return params.embedding.at[outside].get(mode="fill", fill_value=jnp.nan)


@partial(jax.jit, static_argnames=("model", "length", "top_k"))
def generate(
    model: LanguageModel,
    params: LanguageModelParams,
    carry: Carry,
    logits: Float[Array, " vocabulary"],
    key: Key,
    start: Int[Array, ""],
    temperature: Float[Array, ""],
    *,
    length: int,
    top_k: int | None = None,
) -> tuple[Carry, Float[Array, " vocabulary"], Int[Array, " length"]]:
    """k ~ softmax(o / temperature), `length` times, each token fed back; one compiled loop.

    Token number n (counted from `start`) is drawn with `fold_in(key, n)`, so a text that is made in pieces is
    the text made at once.

    Args:
      model, params: the model.
      carry, logits: where it stands: h⁽ᵗ⁾ and o⁽ᵗ⁾, as `apply` gives them for a prompt.
      key: a key.
      start: the number of the first token that is drawn.
      temperature: 0 takes the likeliest token; 1 is the model's own distribution.
      length: how many tokens.
      top_k: only among the k likeliest; None is all.

    Returns:
      h and o after the last token, and the tokens.

    References: Graves 2013, §3; Fan, Lewis & Dauphin 2018, §5.
    """

    def step(state, n):
        carry, logits = state
        token = sample_token(jax.random.fold_in(key, n), logits, temperature, top_k)
        x = model.cell.project(params.cell, model.embed(params, token))
        carry, y = model.cell.step(params.cell, carry, x)
        return (carry, model.readout.apply(params.readout, y)), token

    (carry, logits), tokens = jax.lax.scan(step, (carry, logits), start + jnp.arange(length))
    return carry, logits, tokens


def sample_token(
    key: Key, logits: Float[Array, " vocabulary"], temperature: Float[Array, ""], top_k: int | None = None
) -> Int[Array, ""]:
    """One token from softmax(o / temperature) over the `top_k` likeliest.

    >>> int(sample_token(jax.random.key(0), jnp.array([0.0, 3.0, 1.0]), jnp.array(0.0)))
    1
    """
    if top_k is not None and top_k < logits.shape[-1]:
        logits = jnp.where(logits < jax.lax.top_k(logits, top_k)[0][-1], -jnp.inf, logits)
    scaled = (logits - jnp.max(logits)) / jnp.where(temperature > 0, temperature, 1)  # ≤ 0: no T overflows it
    drawn = jax.random.categorical(key, scaled)
    return jnp.where(temperature > 0, drawn, jnp.argmax(logits))
