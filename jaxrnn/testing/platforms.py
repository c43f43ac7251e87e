"""A check that this machine, with this JAX, computes the library's programs correctly.

A compiler can be wrong.  jaxlib 0.10 compiles some float64 programs incorrectly on CPUs with AVX-512, such as

    concatenate([n, h ⊙ n − n], −1),        4 rows of 5 features.

`check_platform` compiles small networks with XLA's default options, as a user's program is, and compares their outputs
and the derivative along a random direction with NumPy, which knows nothing of XLA.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.wrappers.deep import DeepTransition
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.feedback import Feedback
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.parallel.newtons_method import unroll_newton

TOLERANCE = {"float64": 1e-6, "float32": 2e-3}
TIME, ROWS, UNITS = 6, 4, 5


class PlatformReport(NamedTuple):
    """The result of `check_platform`.

    >>> PlatformReport(wrong=(), warnings=(), tried=8).correct
    True
    """

    wrong: tuple[str, ...]
    """The programs whose numbers are not NumPy's, one line each."""
    warnings: tuple[str, ...]
    """Known problems of this machine and this version of JAX."""
    tried: int
    """The number of programs."""

    @property
    def correct(self) -> bool:
        """True if every program gave NumPy's numbers."""
        return not self.wrong


def check_platform() -> PlatformReport:
    """Run small networks compiled by default, and compare outputs and gradients with NumPy, in float64 and float32.

    Returns:
      `PlatformReport(wrong, warnings, tried)`.  It takes less than a minute, nearly all of it for compilation.

    >>> check_platform().correct  # doctest: +SKIP
    True

    References: Goodfellow et al. 2016, §11.5 (checking gradients).
    """
    wrong, tried = [], 0
    with jax.enable_x64(True):
        for name, (cell, step, member) in _networks().items():
            for dtype in TOLERANCE:
                tried += 1
                error = _error(cell, step, member, dtype)
                if not error <= TOLERANCE[dtype]:
                    wrong.append(f"{name} in {dtype}: the results differ from NumPy's by {error:.1e} of themselves")
        warnings = _warnings()
    return PlatformReport(tuple(wrong), warnings, tried)


def _networks() -> dict[str, tuple[Any, Callable, Callable]]:
    """Return each network with its step in NumPy and the member of the unroll family that runs it."""
    fed = Feedback(GRU(3 + 4, UNITS), Readout(UNITS, 4))
    return {
        "LSTM by unroll_bptt": (LSTM(3, UNITS), _lstm, unroll_bptt),
        "GRU by unroll_bptt": (GRU(3, UNITS), _gru, unroll_bptt),
        "GRU by unroll_newton": (GRU(3, UNITS), _gru, unroll_newton),
        "a GRU whose output is fed back": (fed, _feedback, unroll_bptt),
        "a deep transition around a GRU": (DeepTransition(GRU(3, UNITS), (6,)), _deep_transition, unroll_bptt),
    }


def _error(cell: Any, step: Callable, member: Callable, dtype: str) -> float:
    """Return the largest relative error of the outputs and of one directional derivative of Σ sin y."""
    rng = np.random.default_rng(0)
    leaves, structure = jax.tree.flatten(jax.eval_shape(cell.init, jax.random.key(0)))
    start = cell.initial_carry(structure.unflatten([jnp.zeros(leaf.shape) for leaf in leaves]), (ROWS,))
    params = [rng.normal(scale=0.5, size=leaf.shape) for leaf in leaves]
    along, xs = [rng.normal(size=leaf.shape) for leaf in leaves], rng.normal(size=(TIME, ROWS, 3))

    def by_numpy(shift):
        moved = structure.unflatten([p + shift * d for p, d in zip(params, along, strict=True)])
        carry, ys = jax.tree.map(np.asarray, start), []
        for x in xs:
            carry, y = step(moved, carry, x)
            ys.append(y)
        return np.stack(ys)

    @jax.jit
    def by_xla(params, xs):
        def loss(params):
            ys = member(cell, params, xs)[1]
            return jnp.sum(jnp.sin(ys)), ys

        (_, ys), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return ys, gradient

    ys, gradient = by_xla(structure.unflatten([p.astype(dtype) for p in params]), xs.astype(dtype))
    got = sum(np.vdot(np.asarray(g, float), d) for g, d in zip(jax.tree.leaves(gradient), along, strict=True))
    size = 1e-5
    want = (np.sin(by_numpy(size)).sum() - np.sin(by_numpy(-size)).sum()) / (2 * size)
    return float(max(np.abs(np.asarray(ys, float) - by_numpy(0)).max(), abs(got - want) / (1 + abs(want))))


def _warnings() -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    h, n = rng.normal(size=(2, ROWS, UNITS))
    got = jax.jit(lambda h, n: jnp.concatenate([n, h * n - n], -1))(h, n)
    faulty = not np.allclose(got, np.concatenate([n, h * n - n], -1), atol=1e-12)
    if faulty:
        return (
            "this JAX compiles concatenate([n, h * n - n], -1) incorrectly in float64 on this machine. The library's "
            "own programs avoid it; yours may not: use jax >= 0.11, or XLA_FLAGS=--xla_cpu_prefer_vector_width=128.",
        )
    if jax.__version_info__ < (0, 11):
        return (
            "jaxlib 0.10 compiles some float64 programs incorrectly on some CPUs; this machine passed the smallest "
            "of them. Prefer jax >= 0.11 for float64.",
        )
    return ()


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def _lstm(params, carry, x):
    i, f, g, o = np.split(x @ params.u + params.b + carry.h @ params.w, 4, axis=-1)
    c = _sigmoid(f) * carry.c + _sigmoid(i) * np.tanh(g)
    h = _sigmoid(o) * np.tanh(c)
    return type(carry)(h, c), h


def _gru(params, h, x):
    (zr, zk, zn), (wr, wk, wn) = np.split(x @ params.u + params.b, 3, axis=-1), np.split(params.w, 3, axis=-1)
    r, keep = _sigmoid(zr + h @ wr), _sigmoid(zk + h @ wk)
    h = keep * h + (1 - keep) * np.tanh(zn + (r * h) @ wn)
    return h, h


def _feedback(params, carry, x):
    h, y = _gru(params.cell, carry.cell, np.concatenate([x, carry.fed], axis=-1))
    o = y @ params.readout.v + params.readout.c
    e = np.exp(o - o.max(axis=-1, keepdims=True))
    return type(carry)(h, e / e.sum(axis=-1, keepdims=True)), o


def _deep_transition(params, h, x):
    for layer in params.layers:
        h = np.tanh(h @ layer.w + layer.b)
    return _gru(params.cell, h, x)
