"""The network whose only memory is its own output, Jordan's: chapter 2.1.2.

    h⁽ᵗ⁾ = tanh(b + W f(o⁽ᵗ⁻¹⁾) + U x⁽ᵗ⁾)
    o⁽ᵗ⁾ = c + V h⁽ᵗ⁾,             carry: f(o⁽ᵗ⁾),   y⁽ᵗ⁾ = o⁽ᵗ⁾

f says what is fed back, in the space where the true y⁽ᵗ⁻¹⁾ of teacher forcing (2.3) lives too:

    "logits"          f(o) = o                      a real-valued output
    "probabilities"   f(o) = ŷ = softmax(o)
    "symbol"          f(o) = one_hot(argmax o)
    "sample"          f(o) = one_hot(argmax(o + g)),   g⁽ᵗ⁾ Gumbel noise: a draw from softmax(o)

The cell draws nothing: the noise of "sample" is a part of its input, `(xs, noise)`, so the key stays with
the caller, the step is a pure function, and masks, `vmap` and splitting treat the noise as they treat x.
A symbol is piecewise constant in o, so no gradient comes through it.

Only where a *symbol* is fed back are the outputs dependent given x⁽¹⁾ … x⁽ᵗ⁾.  Fed-back logits or
probabilities are functions of x alone: they change the distributions, not their independence.

The backward pass, with δ⁽ᵗ⁾ = diag(1 − (h⁽ᵗ⁾)²) Vᵀ ∇_{o⁽ᵗ⁾}L:

    ∇_{o⁽ᵗ⁻¹⁾}L = (∂f/∂o)ᵀ Wᵀ δ⁽ᵗ⁾ + (the loss at t − 1)
    ∇_W L = Σₜ δ⁽ᵗ⁾ f(o⁽ᵗ⁻¹⁾)ᵀ,   ∇_V L = Σₜ ∇_{o⁽ᵗ⁾}L h⁽ᵗ⁾ᵀ,   ∇_c L = Σₜ ∇_{o⁽ᵗ⁾}L

U, W, b, V, c → `params.u`, `.w`, `.b`, `.v`, `.c`.

References: Jordan 1986, "Serial order"; Goodfellow, Bengio & Courville 2016, §10.2.1; Gumbel 1954 and
Maddison, Tarlow & Minka 2014, §2 (the maximum of o + g is a draw from softmax(o)).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Carry, Key

FEEDBACKS = ("logits", "probabilities", "symbol", "sample")
"""The choices of the feedback."""


class JordanParams(NamedTuple):
    """The chapter's matrices, transposed, because inputs are row vectors.

    >>> Jordan(2, 3, 4).init(jax.random.key(0)).w.shape
    (4, 3)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w: Float[Array, "output hidden"]
    """Wᵀ: the previous output to hidden."""
    b: Float[Array, " hidden"]
    """b."""
    v: Float[Array, "hidden output"]
    """Vᵀ: hidden to output."""
    c: Float[Array, " output"]
    """c."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Jordan:
    """h⁽ᵗ⁾ = tanh(b + W f(o⁽ᵗ⁻¹⁾) + U x⁽ᵗ⁾), o⁽ᵗ⁾ = c + V h⁽ᵗ⁾; the carry is f(o⁽ᵗ⁾), the output o⁽ᵗ⁾.

    `unroll` of it is the free-running network; `teacher_forced` reads the true outputs instead.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      output_size: the size of o: symbols, or real-valued outputs.
      feedback: f: "probabilities", "logits", "symbol" or "sample".  The parameters are the same for all.
        With "sample" the input is `(xs, noise)`, `noise = jax.random.gumbel(key, (time, *batch, output))`.

    Raises:
      ValueError: a size below 1, or an unknown feedback.

    >>> from jaxrnn import unroll
    >>> cell = Jordan(input_size=3, hidden_size=5, output_size=2)
    >>> fed, os = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 4, 3)))
    >>> os.shape, bool(jnp.allclose(fed, jax.nn.softmax(os[-1])))
    ((7, 4, 2), True)

    References: Jordan 1986; chapter 2.1.2.
    """

    input_size: int
    hidden_size: int
    output_size: int
    feedback: str = "probabilities"

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, output_size=self.output_size)
        check_choice("feedback", self.feedback, FEEDBACKS)

    def init(self, key: Key) -> JordanParams:
        """Draw U, W and V by Glorot's uniform rule, b = 0, c = 0."""
        check_key(key=key)
        u_key, w_key, v_key = jax.random.split(key, 3)
        u = input_weights(u_key, (self.input_size, self.hidden_size))
        w = input_weights(w_key, (self.output_size, self.hidden_size))
        v = input_weights(v_key, (self.hidden_size, self.output_size))
        return JordanParams(u, w, jnp.zeros(self.hidden_size), v, jnp.zeros(self.output_size))

    def initial_carry(self, params: JordanParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return 0, `[*batch, output]`: there is no output yet.

        0 is as general as a start symbol: the first step reads b, a later one b + W[k] after symbol k.
        """
        return jnp.zeros((*batch_shape, self.output_size), accumulator(params.w.dtype))

    def carry_parts(self, carry: Carry) -> CarryParts:
        """State that y⁽ᵗ⁾ = o⁽ᵗ⁾ is the carry if the logits themselves are fed back."""
        return CarryParts(output=carry if self.feedback == "logits" else None)

    def project(self, params: JordanParams, xs: PyTree[Shaped[Array, "..."]]) -> tuple[Array, Array | None]:
        """Return z⁽ᵗ⁾ = b + U x⁽ᵗ⁾ for every t, `[..., hidden]`, and the noise of "sample", else None."""
        xs, noise = split_noise(self.feedback, xs, self.output_size)
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b), noise

    def step(self, params: JordanParams, carry: Array, z: tuple[Array, Array | None]) -> tuple[Array, Array]:
        """Return f(o⁽ᵗ⁾), the carry that the next step reads, and o⁽ᵗ⁾."""
        out, _ = self.step_fwd(params, carry, z)
        return out

    def step_fwd(self, params: JordanParams, carry: Array, z: tuple[Array, Array | None]):
        """Run `step`; the residual is (f(o⁽ᵗ⁻¹⁾), h⁽ᵗ⁾, f(o⁽ᵗ⁾))."""
        a, noise = z
        h = jnp.tanh(a + matmul(carry, params.w))
        o = add_bias(matmul(h, params.v), params.c)
        fed = feed_back(self.feedback, o, noise)
        return (fed, o), (carry, h, fed)

    def step_bwd(self, params: JordanParams, residual, dcarry: Array, dy: Array):
        """Map ∇f(o⁽ᵗ⁾) from t + 1 and ∇o⁽ᵗ⁾ from the loss to ∇f(o⁽ᵗ⁻¹⁾) and ∇z⁽ᵗ⁾."""
        _, h, fed = residual
        if self.feedback == "logits":
            dy = dy + dcarry
        elif self.feedback == "probabilities":
            dy = dy + fed * (dcarry - jnp.sum(fed * dcarry, axis=-1, keepdims=True))
        da = (1 - h**2) * matmul_transposed(dy, params.v)
        dnoise = jnp.zeros_like(fed) if self.feedback == "sample" else None
        return matmul_transposed(da, params.w), (da, dnoise), (da, dy)

    def weight_bwd(self, params: JordanParams, residuals, locals) -> JordanParams:
        """Compute the sums over t for W, V and c.  The gradients of U and b come from `project`."""
        feds, hs, _ = residuals
        das, dos = locals
        return JordanParams(
            u=jnp.zeros_like(params.u),
            w=outer_sum(feds, das, params.w),
            b=jnp.zeros_like(params.b),
            v=outer_sum(hs, dos, params.v),
            c=row_sum(dos, params.c),
        )

    # What teacher forcing asks for: `jaxrnn.patterns.teacher_forcing.FeedbackCell`.

    def fed(self, carry: Array) -> Array:
        """Return the feedback that the next step reads, which is the carry."""
        return carry

    def with_fed(self, carry: Array, fed: Array) -> Array:
        """Return `fed`: the feedback is the whole carry."""
        return fed

    def run_forced(self, params: JordanParams, xs, feds: Array, carry: Array, mask, reset, reverse: bool):
        """Run all steps at once, with time as a batch axis: step t reads `feds[t]` and nothing else of the past."""
        _, os = self.step(params, feds, self.project(params, xs))
        return carry, os


def feed_back(feedback: str, o: Array, noise: Array | None) -> Array:
    """Return f(o), what the next step reads of this output: `[..., output]`.

    >>> feed_back("symbol", jnp.array([0.0, 3.0, 1.0]), None)
    Array([0., 1., 0.], dtype=float32)
    """
    if feedback == "logits":
        return o
    if feedback == "probabilities":
        return jax.nn.softmax(o, axis=-1)
    scores = o if noise is None else o + noise
    return jax.nn.one_hot(jnp.argmax(scores, axis=-1), o.shape[-1], dtype=o.dtype)


def split_noise(feedback: str, xs: PyTree, output_size: int) -> tuple[Array, Array | None]:
    """Return `(xs, noise)` from the input of a cell that feeds back: a pair with "sample", `xs` alone otherwise.

    Raises:
      TypeError: a pair without "sample", or no pair with it.
      ValueError: noise of another size than the output's.
    """
    if feedback != "sample":
        if isinstance(xs, tuple):
            raise TypeError(f'`xs` must be one array with feedback="{feedback}"; only "sample" takes noise.')
        return xs, None
    if not isinstance(xs, tuple) or len(xs) != 2:
        raise TypeError(
            '`xs` must be a pair (xs, noise) with feedback="sample"; '
            f"noise = jax.random.gumbel(key, (time, *batch, {output_size}))."
        )
    check_features("noise", xs[1], output_size=output_size)
    return xs
