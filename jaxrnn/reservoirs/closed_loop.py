"""FORCE: recursive least squares in the closed loop, from chaos to patterns.

    x⁽ᵗ⁾, r⁽ᵗ⁾ = cell(x⁽ᵗ⁻¹⁾, [u⁽ᵗ⁾; z⁽ᵗ⁻¹⁾]),          z⁽ᵗ⁾ = Vᵀ r⁽ᵗ⁾,          V ← V + k⁽ᵗ⁾ (f⁽ᵗ⁾ − z⁽ᵗ⁾)

A network that reads its own output learns while it runs on that output, not on the target.  The first updates already
bring z close to f; the later ones learn to keep it there in spite of the network's own errors.  k⁽ᵗ⁾ is the gain of
recursive least squares (`jaxrnn.reservoirs.track`) with P⁽⁰⁾ = I/β: the smaller β, the faster the first updates.  A
rate network that is spontaneously chaotic (g = 1.5) learns best, as long as the output can suppress the chaos.

`force` works for any cell in `Feedback(cell, readout, "logits")`; the result is an ordinary network, which `unroll`
runs on its own outputs.

**full-FORCE** learns the recurrent weights.  A second network with random weights J₀, which is driven by the target,

    τ ẋ_D = −x_D + J₀ r_D + U u + Q f,

gives the target of each unit's recurrent current, J₀ r_D + Q f.  The same recursion, with one P for all units, fits J
to it in the network that runs on J alone:

    τ ẋ = −x + J r + U u,        J r ≈ J₀ r_D + Q f,        V r ≈ f

V, c → `readout`; J → `params.w`; Q → `driver`; β → the penalty of `tracker`.

References: Sussillo & Abbott 2009, "Generating coherent patterns of activity from chaotic neural networks"; DePasquale,
Cueva, Rajan, Escola & Abbott 2018, "full-FORCE: A target-based method for training recurrent networks"; chapter 六.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.rate_network import RateNetwork, RateParams
from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_params, check_positive, check_shape
from jaxrnn.core.types import Key
from jaxrnn.objectives.readout import ReadoutParams
from jaxrnn.patterns.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.reservoirs.float64 import Double, in_float64, product
from jaxrnn.reservoirs.recursive_least_squares import Tracker, learn_step


class FullForceCarry(NamedTuple):
    """The states of the two networks of `full_force`.

    >>> FullForceCarry(x=jnp.zeros(3), driven=jnp.zeros(3)).driven.shape
    (3,)
    """

    x: Float[Array, " hidden"]
    """The state of the network that learns."""
    driven: Float[Array, " hidden"]
    """The state of the network that the target drives."""


def force_params(key: Key, cell: Feedback, *, scale: float = 1.0) -> FeedbackParams:
    """Draw parameters for FORCE: strong feedback, and a read-out of 0.

    Args:
      key: a key.
      cell: a `RateNetwork`, or another cell with input weights `u`, inside `Feedback(…, "logits")`.
      scale: the feedback weights, the last rows of `u`, are uniform in [−scale, scale].

    Returns:
      The parameters.

    Raises:
      TypeError: the feedback is not "logits", or the cell has no input weights `u`.

    >>> from jaxrnn import Readout
    >>> cell = Feedback(RateNetwork(1, 100, dt=1.0, tau=10.0, gain=1.5), Readout(100, 1), "logits")
    >>> params = force_params(jax.random.key(0), cell)
    >>> float(abs(params.readout.v).max()), bool(abs(params.cell.u).max() > 0.9)
    (0.0, True)

    References: Sussillo & Abbott 2009, §"Network architectures".
    """
    check_key(key=key)
    init_key, u_key = jax.random.split(key)
    params, outputs = cell.init(init_key), cell.output_size
    if cell.feedback != "logits" or not hasattr(params.cell, "u"):
        raise TypeError(f'`cell` must be Feedback(cell, readout, "logits") of a cell with weights `u`, got {cell}.')
    u = params.cell.u
    fed = jax.random.uniform(u_key, (outputs, u.shape[1]), u.dtype, -scale, scale)
    u = jnp.concatenate([u[: u.shape[0] - outputs], fed])
    return FeedbackParams(params.cell._replace(u=u), jax.tree.map(jnp.zeros_like, params.readout))


def force(
    cell: Feedback,
    params: FeedbackParams,
    state: Tracker,
    xs: Float[Array, "time inputs"],
    targets: Float[Array, "time output"],
    carry: FeedbackCarry | None = None,
    *,
    every: int = 2,
) -> tuple[FeedbackCarry, FeedbackParams, Tracker, Float[Array, "time output"]]:
    """Learn the read-out of a network that runs on its own output.

    Args:
      cell: the network, `Feedback(cell, readout, "logits")`.
      params: its parameters; the read-out comes from `state`, not from here.
      state: the state of the recursion, from `tracker(hidden, output, penalty, bias=False)` or the previous block.
      xs: u, `[time, inputs]`; `[time, 0]` for a network without an input.
      targets: f, `[time, output]`.
      carry: the state of the network; None for its initial carry.  A network without an input never leaves the state 0,
        so draw a random one for it.
      every: the number of steps from one update to the next; the network runs on in between.

    Returns:
      The carry, the parameters with the learned read-out, the state of the recursion, and z⁽ᵗ⁾ before each update.

    Raises:
      TypeError, ValueError: another feedback than "logits"; arrays or a state that do not fit.

    >>> from jaxrnn import Readout, unroll
    >>> from jaxrnn.reservoirs import tracker
    >>> cell = Feedback(RateNetwork(1, 100, dt=1.0, tau=10.0, gain=1.5), Readout(100, 1), "logits")
    >>> key = jax.random.key(0)
    >>> params, targets = force_params(key, cell), jnp.sin(jnp.arange(2000.0) / 20)[:, None]
    >>> start = cell.initial_carry(params)._replace(cell=jax.random.normal(key, (100,)) / 2)
    >>> state, nothing = tracker(100, 1, penalty=1.0, bias=False), jnp.zeros((2000, 0))
    >>> carry, params, state, zs = force(cell, params, state, nothing, targets, start)
    >>> bool(jnp.abs(zs[-500:] - targets[-500:]).max() < 0.05)  # while it learns
    True
    >>> _, zs = unroll(cell, params, nothing[:250], carry)  # and on its own
    >>> bool(jnp.abs(zs - jnp.sin(jnp.arange(2000.0, 2250.0) / 20)[:, None]).max() < 0.2)
    True

    References: Sussillo & Abbott 2009.
    """
    if cell.feedback != "logits":
        raise TypeError(f'`cell` must read its own output unchanged, feedback="logits", got {cell.feedback!r}.')
    check_params(params, cell)
    xs, targets = _checked(xs, targets, cell.output_size)
    hidden = cell.readout.input_size
    check_shape("state.v.high", state.v.high, (1 + hidden, cell.output_size), "[1 + hidden, output]")
    check_positive(every=every)
    carry = cell.initial_carry(params) if carry is None else carry
    carry, state, zs = _force(cell, every, params, state, xs, targets, carry)
    return carry, params._replace(readout=state.readout), state, zs


@partial(jax.jit, static_argnums=(0, 1))
def _force(cell: Feedback, every: int, *arrays):
    @in_float64
    def run(params, state, xs, targets, carry):
        def step(at, over_t):
            (inner, fed), learned = at
            x, f, now = over_t
            both = jnp.concatenate([x, fed])
            inner, r = cell.cell.step(params.cell, inner, cell.cell.project(params.cell, both))
            learned, z = _learn(now, learned, r, f)
            return (FeedbackCarry(inner, z), learned), z

        now = jnp.arange(xs.shape[0]) % every == 0
        (carry, (v, p)), zs = lax.scan(step, (carry, (state.v, state.p)), (xs, targets, now))
        return carry, Tracker(*(Double(a, jnp.zeros_like(a)) for a in (v, p))), zs

    return run(*arrays)


def full_force(
    cell: RateNetwork,
    params: RateParams,
    state: Tracker,
    xs: Float[Array, "time inputs"],
    targets: Float[Array, "time output"],
    driver: Float[Array, "driving hidden"],
    carry: FullForceCarry | None = None,
    *,
    hints: Float[Array, "time hints"] | None = None,
    every: int = 2,
) -> tuple[FullForceCarry, RateParams, ReadoutParams, Tracker, Float[Array, "time output"]]:
    """Learn the recurrent weights of a rate network, and its read-out, from a network that the target drives.

    Args:
      cell: the rate network; it reads only `xs`.
      params: its parameters; `w` is J₀, the weights of the driven network.
      state: the state of the recursion, from `tracker(hidden, hidden + output, penalty, bias=False)`, or the previous
        block's.
      xs: u, `[time, inputs]`.
      targets: f, `[time, output]`.
      driver: Q, `[output + hints, hidden]`.
      carry: the states of both networks; None is 0, which a network without an input never leaves.
      hints: further signals that drive only the second network, `[time, hints]`.
      every: the number of steps from one update to the next.

    Returns:
      The states, the parameters with J in place of J₀, the read-out, the state of the recursion, and z⁽ᵗ⁾ before each
      update.  To continue with another block, pass the original parameters again.

    Raises:
      TypeError, ValueError: arrays or a state that do not fit.

    >>> from jaxrnn import unroll
    >>> from jaxrnn.reservoirs import tracker
    >>> n, keys = 60, jax.random.split(jax.random.key(0), 3)
    >>> cell = RateNetwork(1, n, dt=1.0, tau=10.0, gain=1.5)
    >>> first, fs = cell.init(keys[0]), jnp.sin(jnp.arange(2000.0) / 20)[:, None]
    >>> driver, nothing = jax.random.uniform(keys[1], (1, n), minval=-1, maxval=1), jnp.zeros((2000, 1))
    >>> start = FullForceCarry(*jax.random.normal(keys[2], (2, n)))
    >>> state = tracker(n, n + 1, penalty=1.0, bias=False)
    >>> carry, params, readout, state, zs = full_force(cell, first, state, nothing, fs, driver, start)
    >>> _, rs = unroll(cell, params, nothing[:250], carry.x)
    >>> error = jnp.abs(rs @ readout.v - jnp.sin(jnp.arange(2001.0, 2251.0) / 20)[:, None]).max()
    >>> bool(error < 0.2)
    True

    References: DePasquale, Cueva, Rajan, Escola & Abbott 2018.
    """
    check_params(params, cell)
    xs, targets = _checked(xs, targets, targets.shape[-1])
    n, outputs = cell.hidden_size, targets.shape[-1]
    driving = targets if hints is None else jnp.concatenate([targets, as_array("hints", hints, "numbers")], axis=-1)
    check_shape("driver", driver, (driving.shape[-1], n), "[output + hints, hidden]")
    check_shape("state.v.high", state.v.high, (1 + n, n + outputs), "[1 + hidden, hidden + output]")
    check_positive(every=every)
    start = cell.initial_carry(params)
    carry = FullForceCarry(start, start) if carry is None else carry
    carry, state, zs = _full_force(cell, every, params, state, xs, targets, driving @ driver, carry)
    both = state.readout
    params = params._replace(w=both.v[:, :n].astype(params.w.dtype))
    return carry, params, ReadoutParams(both.v[:, n:], both.c[n:]), state, zs


@partial(jax.jit, static_argnums=(0, 1))
def _full_force(cell: RateNetwork, every: int, *arrays):
    @in_float64
    def run(params, state, xs, targets, drives, carry):
        n = cell.hidden_size

        def step(at, over_t):
            (x, driven), learned = at
            z, f, drive, now = over_t
            wanted = jnp.concatenate([product(cell.rates(driven), params.w) + drive, f])
            learned, said = _learn(now, learned, cell.rates(x), wanted)
            x, _ = cell.step(params._replace(w=learned[0][1:, :n]), x, z)
            driven, _ = cell.step(params, driven, z + drive)
            return (FullForceCarry(x, driven), learned), said[n:]

        now = jnp.arange(xs.shape[0]) % every == 0
        over_t = cell.project(params, xs), targets, drives, now
        (carry, (v, p)), zs = lax.scan(step, (carry, (state.v, state.p)), over_t)
        return carry, Tracker(*(Double(a, jnp.zeros_like(a)) for a in (v, p))), zs

    return run(*arrays)


def _learn(now: Array, learned: tuple, r: Array, f: Array) -> tuple[tuple, Array]:
    """Learn from a step if `now`; return (V, P), and the output before the update."""
    v, p = learned
    kept = lambda: ((v, p), product(jnp.concatenate([jnp.ones(1), r]), v))  # noqa: E731
    return lax.cond(now, lambda: learn_step(v, p, r, f, True, 1.0), kept)


def _checked(xs, targets, outputs: int) -> tuple[Array, Array]:
    """Return both as arrays `[time, …]` with equal numbers of steps."""
    xs, targets = as_array("xs", xs, "numbers"), as_array("targets", targets, "numbers")
    if xs.ndim != 2:
        raise ValueError(f"`xs` must have shape [time, inputs], one sequence, got {xs.shape}. Use jax.vmap for more.")
    check_shape("targets", targets, (xs.shape[0], outputs), "[time, output]")
    return xs, targets
