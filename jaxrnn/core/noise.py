"""Noise as data: the random key of a pure recurrent cell is part of its input.

Dropout and zoneout need random numbers inside a step, and a step is a pure function of (θ, h, z).  The key could be in
three places, and only one of them satisfies every law of the unroll family:

* in θ: `jax.grad` refuses an integer and weight decay would change it; and θ has no batch axes, so under `vmap` all
rows
  would draw the same numbers;
* in the carry: a reset returns to the initial carry, hence to the initial key, and every episode would draw the same
  numbers, in every training step;
* **in the input**: inputs have leading axes `[time, *batch]`, so padding, resets, splitting, reversal and `vmap` treat
  the noise as they treat x, rows are independent, and recomputing a step draws the same bits again.

So a cell that draws noise takes `Noisy(x, key, t)` instead of x, and `with_noise(key, xs)` builds it, with 12 bytes per
step and row.  The numbers are counter-based: one key per row, and t for what changes from step to step.  Each part of a
network folds its own index into the key, so no two parts draw the same numbers.

`quiet(cell)` is the cell for evaluation: without noise, on plain inputs, with the same parameters.

    carry, ys = unroll(cell, params, with_noise(key, xs))       # training
    carry, ys = unroll(quiet(cell), params, xs)                 # evaluation

References: Salmon, Moraes, Dror & Shaw 2011 (counter-based random numbers); Gal & Ghahramani 2016;
chapter 2.8.
"""

import dataclasses
import math
import numbers
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped, UInt32

from jaxrnn.core.checks import check_steps, leading_axes
from jaxrnn.core.precision import in_rank
from jaxrnn.core.types import DrawsNoise, Inputs, Key, Noisy, ReadsTime, Timed, map_parts, parts

Network = TypeVar("Network")


def with_noise(key: Key, xs: PyTree[Shaped[Array, "..."]], *, reset: Bool[Array, "..."] | None = None) -> Noisy:
    """Return the inputs with one key per row; the key of row b depends on neither the number of rows nor of steps.

    Args:
      key: a key.  The same key gives the same bits, in any precision, under `jit` and `vmap` as without.
      xs: inputs `[time, *batch, features]`.
      reset: `[time, *batch]`; if given, each episode of a row has its own key.

    Returns:
      `Noisy(xs, key, t)`, an input like any other: slice it to continue with the same noise in the next block.

    Raises:
      TypeError, ValueError: `xs` without `[time, *batch, features]`; a `reset` that is not boolean or not of
        that shape.

    >>> noisy = with_noise(jax.random.key(0), jnp.ones((7, 2, 3)))
    >>> noisy.x.shape, noisy.key.shape, noisy.t[:, 0, 0].tolist()
    ((7, 2, 3), (7, 2, 2), [0, 1, 2, 3, 4, 5, 6])
    """
    xs = jax.tree.map(jnp.asarray, xs)
    time, *batch = leading = leading_axes(xs)
    reset = check_steps("reset", reset, leading)
    rows = jnp.arange(math.prod(batch), dtype=jnp.uint32).reshape(batch)
    episodes = jnp.zeros(leading, jnp.uint32) if reset is None else jnp.cumsum(reset, axis=0, dtype=jnp.uint32)
    words = _hash(*jax.random.bits(key, (2,), jnp.uint32), rows, episodes)
    steps = jnp.arange(time, dtype=jnp.uint32).reshape(time, *[1] * (len(batch) + 1))
    return Noisy(xs, jnp.stack(words, axis=-1), jnp.broadcast_to(steps, (*leading, 1)))


def quiet(network: Network) -> Network:
    """Return the network for evaluation: every part that draws noise in its noiseless form.

    The parameters stay the same.

    Args:
      network: a cell, or another dataclass that contains cells.

    Returns:
      A network of the same kind.

    Raises:
      TypeError: `network` is neither a cell nor another dataclass.

    >>> from jaxrnn import Dropout, GRU, LSTM, Stack
    >>> quiet(Stack((LSTM(3, 8), Dropout(GRU(8, 5), rate=0.5))))
    Stack(cells=(LSTM(input_size=3, hidden_size=8, peephole=None), GRU(input_size=8, hidden_size=5, reset='before')))
    """
    if not dataclasses.is_dataclass(network) or isinstance(network, type):
        raise TypeError(f"`network` must be a cell or another dataclass of cells, got {network!r}.")
    return map_parts(lambda part: part.quiet() if draws(part) else part, network)


def takes_noise(network: Any) -> bool:
    """Return whether the cell, or any cell in its fields, draws noise.

    >>> from jaxrnn import Dropout, LSTM, Stack
    >>> takes_noise(LSTM(3, 8)), takes_noise(Stack((LSTM(3, 8), Dropout(LSTM(8, 8), 0.5))))
    (False, True)
    """
    return draws(network) or any(map(takes_noise, parts(network)))


def draws(part: Any) -> bool:
    """Return whether a value, apart from its fields, draws noise."""
    return isinstance(part, DrawsNoise) and not isinstance(part, type)


def reads_time(network: Any) -> bool:
    """Return whether the cell, or any cell in its fields, reads the time between two steps.

    >>> from jaxrnn import LSTM, Stack
    >>> from jaxrnn.cells.continuous import LEM
    >>> reads_time(LSTM(3, 8)), reads_time(Stack((LSTM(3, 8), LEM(8, 8))))
    (False, True)
    """
    stated = isinstance(network, ReadsTime) and not isinstance(network, type)
    return stated or any(map(reads_time, parts(network)))


def plain_input(xs: Inputs) -> Inputs:
    """Return x without its noise and its Δt."""
    return plain_input(xs.x) if isinstance(xs, Noisy | Timed) else xs


def with_x(xs: Inputs, x: Inputs) -> Inputs:
    """Return another x with the same noise and the same Δt."""
    return xs._replace(x=with_x(xs.x, x)) if isinstance(xs, Noisy | Timed) else x


def drawing(network: Any, key: Key | None, xs: Inputs) -> Inputs:
    """Return the inputs as the network takes them: `with_noise(key, xs)` if it draws noise.

    Raises:
      TypeError: the network draws noise, and no key is given.
    """
    if not takes_noise(network):
        return xs
    if key is None:
        raise TypeError(f"`key` must be given, because {network} draws noise; quiet(model) draws none.")
    return with_noise(key, xs)


def part_input(part: Any, xs: Inputs, index: int) -> Inputs:
    """Return the input of part number `index`: x, with its own key if the part draws noise, with Δt if it reads time.

    Raises:
      TypeError: the part draws noise, and `xs` has none.
    """
    if not reads_time(part):
        xs = without_dt(xs)
    if takes_noise(part):
        noisy = check_noisy(part, xs)
        # one to one for every index, and apart for every path of indices; threefry does the mixing, in `keep`
        factor, term = (in_rank(jnp.uint32(pair), noisy.key) for pair in ([0x9E3779B1, 1], [index + 1, 0]))
        return noisy._replace(key=noisy.key * factor + term)
    return xs.x if isinstance(xs, Noisy) else xs


def without_dt(xs: Inputs) -> Inputs:
    """Return x, with its noise if it has any, without Δt."""
    if isinstance(xs, Noisy):
        return xs._replace(x=without_dt(xs.x))
    return xs.x if isinstance(xs, Timed) else xs


def check_noisy(part: Any, xs: Inputs) -> Noisy:
    """Return `xs` if it is `Noisy`.

    Raises:
      TypeError: it is not.
    """
    if not isinstance(xs, Noisy):
        raise TypeError(
            f"`xs` must be with_noise(key, xs), because {part} draws noise, got {type(xs).__name__}. "
            "For evaluation use quiet(cell), with the same parameters."
        )
    return xs


def keep(noisy: Noisy, rate: float, size: int, *, each_step: bool) -> Bool[Array, "*leading size"]:
    """Draw booleans that are True with probability 1 − rate, anew at every t or once for a whole sequence."""
    t = noisy.t if each_step else jnp.uint32(2**32 - 1)  # not the number of a step
    bits, _ = _hash(noisy.key[..., :1], noisy.key[..., 1:], t, jnp.arange(size, dtype=jnp.uint32))
    return bits >= jnp.uint32(min(round(rate * 2**32), 2**32 - 1))


def uniform(noisy: Noisy, size: int) -> Float[Array, "*leading size"]:
    """Draw numbers from [−1, 1) at every t, in multiples of 2⁻²³."""
    bits, _ = _hash(noisy.key[..., :1], noisy.key[..., 1:], noisy.t, jnp.arange(size, dtype=jnp.uint32))
    return (bits >> 8).astype(jnp.float32) * 2.0**-23 - 1


def normal(noisy: Noisy, size: int) -> Float[Array, "*leading size"]:
    """Draw numbers from N(0, 1) at every t, by the inverse of the distribution function."""
    bits, _ = _hash(noisy.key[..., :1], noisy.key[..., 1:], noisy.t, jnp.arange(size, dtype=jnp.uint32))
    open_interval = ((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-22 - 1  # exact, in (−1, 1)
    return math.sqrt(2) * lax.erf_inv(open_interval)


def check_rate(rate: float) -> None:
    """Raise ValueError unless 0 ≤ rate < 1."""
    if not isinstance(rate, numbers.Real) or isinstance(rate, bool) or not 0 <= rate < 1:
        raise ValueError(f"`rate` must lie in [0, 1), got {rate!r}.")


def _hash(*words: UInt32[Array, "..."]) -> list[Array]:
    """Return Threefry: two random words for each (key, key, counter, counter), all four broadcast together.

    `jax.random` takes one key per array; here every row has its own key, as data.
    """
    from jax.extend.random import threefry2x32_p  # here, because it imports Pallas

    return threefry2x32_p.bind(*jnp.broadcast_arrays(*words))
