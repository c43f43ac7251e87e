"""Going on with one sequence, in pieces.

    y⁽ᵗ⁾ ~ softmax(o⁽ᵗ⁻¹⁾ / T),      (h⁽ᵗ⁾, o⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, y⁽ᵗ⁾),      t = n, n + 1, …

`sample` draws whole sequences until a rule stops them.  A text without an end is drawn a piece at a time: the state
between two pieces is h and o, and the number of the next symbol.

References: chapter 2.5.1; Graves 2013, §3; Goodfellow et al. 2016, §10.2.3.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.core.types import Carry, Key, Params
from jaxrnn.generation.generator import Generator
from jaxrnn.generation.sampling import Greedy, Sampling


@partial(jax.jit, static_argnames="length")
def continue_sequence(
    generator: Generator,
    params: Params,
    carry: Carry,
    logits: Float[Array, " vocabulary"],
    key: Key,
    start: int | Int[Array, ""] = 0,
    *,
    length: int,
    sampling: Sampling | Greedy = Sampling(),  # noqa: B008 (immutable)
) -> tuple[Carry, Float[Array, " vocabulary"], Int[Array, " length"]]:
    """Draw the next `length` symbols, each fed back; one compiled loop.

    Symbol number n is drawn with `fold_in(key, n)`, so a text drawn in pieces is the text drawn at once.

    Args:
      generator: a `Generator`, such as a `SymbolModel`.
      params: its parameters.
      carry: h after the last symbol, as `SymbolModel.read` returns it for a prompt.
      logits: o after the last symbol, `[vocabulary]`.
      key: a key.
      start: n of the first symbol to draw.
      length: the number of symbols to draw.
      sampling: temperature, top-k and top-p; `Greedy()` takes the likeliest.

    Returns:
      h and o after the last symbol, and the symbols, `[length]`.

    >>> from jaxrnn import GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params = model.init(jax.random.key(0))
    >>> carry, logits = model.read(params, jnp.array([3, 1, 4]))
    >>> carry, o, symbols = continue_sequence(model, params, carry, logits[-1], jax.random.key(1), length=7)
    >>> symbols.shape
    (7,)

    References: Graves 2013, §3.
    """

    def step(state, n):
        carry, logits = state
        symbol = sampling.symbol(jax.random.fold_in(key, n), logits)
        return generator.next_logits(params, carry, symbol), symbol

    (carry, logits), symbols = jax.lax.scan(step, (carry, logits), start + jnp.arange(length))
    return carry, logits, symbols
