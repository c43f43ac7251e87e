"""The echo state network: a reservoir with a read-out that is solved by regression.

    h⁽ᵗ⁾ = reservoir(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾)  or  reservoir(h⁽ᵗ⁻¹⁾, [x⁽ᵗ⁾; y⁽ᵗ⁻¹⁾]),        o⁽ᵗ⁾ = c + V h⁽ᵗ⁾

V and c minimize Σ ‖y⁽ᵗ⁾ − o⁽ᵗ⁾‖² + β‖V‖² over the valid steps after the washout; nothing else is learned.  With
`feedback` the reservoir reads its own previous output: the targets while it is fitted (teacher forcing, 2.3), its own
outputs afterwards.  A network that continues a series has feedback and an input without features: `xs` of shape
`[time, *batch, 0]`.

Any cell can be the reservoir; `EveryLayer(Stack(…))` makes it deep, and the read-out reads all layers.  `fit` is a pure
function of the parameters: `vmap` over keys, spectral radii and penalties makes a search one call, and `jax.grad`
through it trains a leak.

References: Jaeger 2001, "The echo state approach" (GMD report 148); Jaeger & Haas 2004, "Harnessing
nonlinearity"; Gallicchio, Micheli & Pedrelli 2017 (deep reservoirs); chapter 六; Goodfellow et al.
2016, §10.8.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_is_cell, check_shape, check_steps, leading_axes
from jaxrnn.core.noise import plain_input, quiet, takes_noise, with_noise, with_x
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.objectives.readout import Readout, check_read_out
from jaxrnn.patterns.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.patterns.teacher_forcing import teacher_forced
from jaxrnn.reservoirs.ridge_regression import ROWS, Equations, add_equations, ridge
from jaxrnn.reservoirs.washout import washout_mask
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.checkpointing import nested


@jax.tree_util.register_static
@dataclass(frozen=True)
class ESN:
    """An echo state network: a reservoir and its read-out.

    Args:
      cell: the reservoir: any cell, `StateNoise(cell, σ)` and `Stack` included.  With `feedback` its input size is
        the size of x plus the size of the output.
      readout: maps h to o.
      feedback: True if the reservoir reads o⁽ᵗ⁻¹⁾ besides x⁽ᵗ⁾.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a read-out of another size than the state of the reservoir.

    >>> from jaxrnn.reservoirs import Reservoir
    >>> esn = ESN(Reservoir(1, 50, input_scaling=0.5, retention=0.7), Readout(50, 1), feedback=True)
    >>> series = jnp.sin(0.2 * jnp.arange(400.0))[:, None]
    >>> nothing = jnp.zeros((400, 0))
    >>> carry, params = esn.fit(esn.init(jax.random.key(0)), nothing, series, penalty=1e-8, washout=100)
    >>> _, os = esn.apply(params, nothing[:50], carry)                      # on its own
    >>> bool(abs(os[:, 0] - jnp.sin(0.2 * jnp.arange(400.0, 450.0))).max() < 0.05)
    True

    References: Jaeger 2001; chapter 六.
    """

    cell: Cell
    readout: Readout
    feedback: bool = False

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_read_out(self.readout, self.cell)

    def init(self, key: Key) -> FeedbackParams:
        """Draw the reservoir, with a read-out of 0 until `fit`."""
        check_key(key=key)
        readout = jax.tree.map(jnp.zeros_like, self.readout.init(key))
        return FeedbackParams(self.cell.init(key), readout)

    def states(
        self,
        params: FeedbackParams,
        xs: Float[Array, "..."],
        targets: Float[Array, "..."],
        carry: Carry | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        key: Key | None = None,
    ) -> tuple[Carry, Float[Array, "..."]]:
        """Return h⁽ᵗ⁾ for every t; with feedback, the reservoir reads the true y⁽ᵗ⁻¹⁾.

        Args:
          params: the parameters.
          xs: inputs `[time, *batch, input]`.
          targets: y, `[time, *batch, output]`; ignored without feedback.
          carry: h⁽⁰⁾; None is the initial carry of the reservoir.
          mask: `[time, *batch]`; False where the step does not happen.
          reset: `[time, *batch]`; True where a new episode begins.
          key: the key of a reservoir with noise.

        Returns:
          The final carry, from which `apply` continues, and `[time, *batch, hidden]`.

        Raises:
          TypeError: no key for a reservoir that draws noise.
          TypeError, ValueError: as `unroll`.
        """
        return self._states(params, self._inputs(xs, reset, key), targets, carry, {"mask": mask, "reset": reset})

    def _inputs(self, xs: Array, reset: Array | None, key: Key | None) -> Inputs:
        """Return x, with noise for a reservoir that draws it."""
        if not takes_noise(self.cell):
            return xs
        if key is None:
            raise TypeError(f"`key` must be given, because {self.cell} draws noise; quiet(esn) draws none.")
        return with_noise(key, xs, reset=reset)

    def _driven(self) -> "Cell | _Driven":
        """Return the reservoir, with its own previous output concatenated to x if it has feedback."""
        return _Driven(self.cell, self.readout.output_size) if self.feedback else self.cell

    def _states(self, params: FeedbackParams, xs: Inputs, targets: Array, carry: Carry | None, steps: dict[str, Any]):
        cell = self._driven()
        if isinstance(cell, _Driven):
            return teacher_forced(cell, params.cell, xs, targets, carry, **steps)
        return unroll_bptt(cell, params.cell, xs, carry, **steps)

    def fit(
        self,
        params: FeedbackParams,
        xs: Float[Array, "..."],
        targets: Float[Array, "..."],
        carry: Carry | None = None,
        *,
        penalty: float | Float[Array, ""],
        washout: int | Int[Array, "..."] = 0,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        key: Key | None = None,
    ) -> tuple[Carry, FeedbackParams]:
        """Fit the read-out to the targets: one run of the reservoir and one ridge regression.

        Use `accumulate` for data that does not fit in memory, or if speed matters more than the last digits.

        Args:
          params: the parameters, whose read-out is replaced.
          xs: inputs `[time, *batch, input]`.
          targets: y, `[time, *batch, output]`.
          carry: h⁽⁰⁾; None is the initial carry of the reservoir.
          penalty: β.
          washout: the number of valid steps to skip at the start of each series (with `reset`, of each episode).
          mask: `[time, *batch]`; False where the step does not happen.
          reset: `[time, *batch]`; True where a new episode begins.
          key: the key of a reservoir with noise.

        Returns:
          The final carry and the parameters.

        Raises:
          TypeError, ValueError: as `states`, `washout_mask` and `ridge`.
        """
        carry, hs = self.states(params, xs, targets, carry, mask=mask, reset=reset, key=key)
        leading = leading_axes(xs)
        valid = jnp.ones(leading, bool) if mask is None else mask
        valid = washout_mask(valid, washout, reset=check_steps("reset", reset, leading))
        return carry, params._replace(readout=ridge(hs, targets, penalty, mask=valid))

    def accumulate(
        self,
        params: FeedbackParams,
        equations: Equations,
        xs: Float[Array, "..."],
        targets: Float[Array, "..."],
        carry: Carry | None = None,
        *,
        washout: int | Int[Array, "..."] = 0,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        key: Key | None = None,
    ) -> tuple[Carry, Equations]:
        """Add a stretch of a stream to the normal equations; at most some hundred states h are stored at a time.

        `solve(equations, penalty)` then returns the read-out.

        Args:
          params: the parameters.
          equations: the sums so far; `no_equations(hidden, output)` to start.
          xs: inputs `[time, *batch, input]`.
          targets: y, `[time, *batch, output]`.
          carry: h⁽⁰⁾; a later stretch of a stream takes the carry of the one before.
          washout: the number of valid steps to skip at the start of each series; 0 for a later stretch.
          mask: `[time, *batch]`; False where the step does not happen.
          reset: `[time, *batch]`; True where a new episode begins.
          key: the key of a reservoir with noise.

        Returns:
          The final carry and the sums.

        Raises:
          TypeError, ValueError: as `states`, `washout_mask` and `add_equations`.

        >>> from jaxrnn.reservoirs import Reservoir, no_equations, solve
        >>> esn = ESN(Reservoir(1, 50), Readout(50, 1))
        >>> params, xs, carry = esn.init(jax.random.key(0)), jnp.sin(0.2 * jnp.arange(1001.0))[:, None], None
        >>> equations = no_equations(50, 1)
        >>> for start, washout in ((0, 100), (500, 0)):
        ...     x, y = xs[start : start + 500], xs[start + 1 : start + 501]
        ...     carry, equations = esn.accumulate(params, equations, x, y, carry, washout=washout)
        >>> params = params._replace(readout=solve(equations, penalty=1e-6))
        >>> bool(abs(esn.apply(params, xs[-1:], carry)[1][0, 0] - jnp.sin(0.2 * 1001)) < 0.01)
        True
        """
        leading = leading_axes(xs)
        mask, reset = check_steps("mask", mask, leading), check_steps("reset", reset, leading)
        valid = washout_mask(jnp.ones(leading, bool) if mask is None else mask, washout, reset=reset)
        cell = self._driven()
        carry = cell.initial_carry(params.cell, leading[1:]) if carry is None else carry

        def segment(state: tuple[Carry, Equations], over_t: tuple):
            inputs, targets, mask, reset, valid = over_t
            carry, hs = self._states(params, inputs, targets, state[0], {"mask": mask, "reset": reset})
            return (carry, add_equations(state[1], hs, targets, mask=valid)), ()

        targets = as_array("targets", targets, "numbers")
        check_shape("targets", targets, (*leading, self.readout.output_size), "[time, *batch, output]")
        over_t = self._inputs(xs, reset, key), targets, mask, reset, valid
        steps = max(1, ROWS // max(1, math.prod(leading[1:])))
        return nested(segment, lambda *_: (), (steps,), (carry, equations), over_t, False)[0]

    def apply(
        self,
        params: FeedbackParams,
        xs: Float[Array, "..."],
        carry: Carry | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
    ) -> tuple[Carry, Float[Array, "..."]]:
        """Return o⁽ᵗ⁾ for every t, without noise; with feedback, the network reads its own outputs.

        Arguments, results and errors are those of `unroll`.
        """
        if self.feedback:
            free = Feedback(quiet(self.cell), self.readout, "logits")
            return unroll_bptt(free, params, xs, carry, mask=mask, reset=reset)
        carry, hs = unroll_bptt(quiet(self.cell), params.cell, xs, carry, mask=mask, reset=reset)
        os = self.readout.apply(params.readout, hs)
        return carry, os if mask is None else jnp.where(mask[..., None], os, 0)


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Driven:
    """The reservoir over [x⁽ᵗ⁾; y⁽ᵗ⁻¹⁾], with the carry of `Feedback` and h⁽ᵗ⁾ as its output."""

    cell: Cell
    output_size: int

    def init(self, key: Key) -> Params:
        return self.cell.init(key)

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> FeedbackCarry:
        dtype = accumulator(jax.tree.leaves(params)[0].dtype)
        fed = jnp.zeros((*batch_shape, self.output_size), dtype)
        return FeedbackCarry(self.cell.initial_carry(params, batch_shape), fed)

    def project(self, params: Params, xs: Inputs) -> Inputs:
        return xs

    def step(self, params: Params, carry: FeedbackCarry, z: Inputs) -> tuple[FeedbackCarry, Any]:
        inner, y = self.cell.step(params, carry.cell, self.cell.project(params, _beside(z, carry.fed)))
        return FeedbackCarry(inner, carry.fed), y

    def fed(self, carry: FeedbackCarry) -> Array:
        return carry.fed

    def with_fed(self, carry: FeedbackCarry, fed: Array) -> FeedbackCarry:
        return carry._replace(fed=fed)

    def run_forced(self, params: Params, xs: Inputs, feds: Array, carry: FeedbackCarry, mask, reset, reverse: bool):
        run = unroll_bptt(self.cell, params, _beside(xs, feds), carry.cell, mask=mask, reset=reset, reverse=reverse)
        return FeedbackCarry(run[0], carry.fed), run[1]


def _beside(xs: Inputs, feds: Array) -> Inputs:
    """Return [x; y], with the noise of x."""
    return with_x(xs, jnp.concatenate([plain_input(xs), feds], axis=-1))
