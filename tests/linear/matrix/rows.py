"""Cells whose coefficients are their inputs, and the formula of a matrix state as a loop in NumPy."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.linear import ComplexPair, Erase, InTurn, Outer, linear_step


@jax.tree_util.register_static
@dataclass(frozen=True)
class Row:
    """x = (log d, u, w, k, v, q) side by side; the parameters scale them, so that they have a gradient."""

    key_size: int
    value_size: int
    decays: int = 1
    erases: bool = True

    @property
    def sizes(self):
        return (self.decays, *(self.key_size,) * 3, self.value_size, self.key_size)

    def init(self, key):
        return jnp.ones(len(self.sizes))

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros((*batch_shape, self.key_size, self.value_size), params.dtype)

    def project(self, params, xs):
        if xs.shape[-1] != sum(self.sizes):
            raise ValueError(f"`xs` must have trailing size {sum(self.sizes)}, got {xs.shape}.")
        parts = jnp.split(xs, np.cumsum(self.sizes)[:-1], axis=-1)
        return tuple((part * scale).astype(params.dtype) for part, scale in zip(parts, params, strict=True))

    def coefficients(self, params, z):
        log_d, u, w, k, v, _ = z
        return (Erase(log_d, u, w) if self.erases else Erase(log_d)), Outer(k, v)

    def query(self, params, z):
        return z[5]

    def answer(self, params, r, z):
        return r

    def step(self, params, carry, z):
        return linear_step(self, params, carry, z)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Mixed:
    """A matrix written twice a step, beside a complex number and a real one that decays, all of them read."""

    input_size: int = 3

    def init(self, key):
        return jax.random.normal(key, (self.input_size, 26)) / 2

    def initial_carry(self, params, batch_shape=()):
        zeros = jnp.zeros((*batch_shape, 2), params.dtype)
        return {
            "matrix": jnp.zeros((*batch_shape, 2, 3), params.dtype),
            "pair": ComplexPair(zeros, zeros),
            "real": zeros,
        }

    def project(self, params, xs):
        if xs.ndim < 1 or xs.shape[-1] != self.input_size or not jnp.issubdtype(xs.dtype, jnp.floating):
            raise ValueError(f"`xs` must be floating, of trailing size {self.input_size}, got {xs.shape}.")
        return jnp.tanh(xs.astype(params.dtype) @ params)

    def coefficients(self, params, z):
        def two(i, n):
            return z[..., i : i + 2 * n].reshape(*z.shape[:-1], 2, n)

        a = {
            "matrix": InTurn(Erase(-(two(0, 1) ** 2), two(2, 2), two(6, 2))),
            "pair": ComplexPair(z[..., 2:4], z[..., 4:6]),
            "real": jnp.array([0.5, -0.5], z.dtype),
        }
        b = {
            "matrix": InTurn(Outer(two(10, 2), two(14, 3))),
            "pair": ComplexPair(z[..., 20:22], z[..., 22:24]),
            "real": z[..., 24:26],
        }
        return a, b

    def query(self, params, z):
        return {"matrix": z[..., 7:9], "pair": None, "real": None}

    def answer(self, params, r, z):
        return jnp.concatenate([r["matrix"], r["pair"].re * r["pair"].im, r["real"]], axis=-1)

    def step(self, params, carry, z):
        return linear_step(self, params, carry, z)


def loop(xs, sizes, state, mask, reset, reverse):
    """Run the formula of one row, T × features, as a loop: (the last S, every r)."""
    r = np.zeros((len(xs), sizes[4]))
    steps = range(len(xs))
    for t in reversed(steps) if reverse else steps:
        boundary = t + 1 if reverse else t
        if boundary < len(xs) and reset[boundary]:
            state = np.zeros_like(state)
        if not mask[t]:
            continue
        log_d, u, w, k, v, q = np.split(xs[t], np.cumsum(sizes)[:-1])
        d = np.diag(np.broadcast_to(np.exp(log_d), len(k)))
        state = d @ state - np.outer(w, u @ state) + np.outer(k, v)
        r[t] = state.T @ q
    return state, r
