"""Each diagonal cell, and each plain nonlinear cell next to it, agrees with its paper's equations in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import testing as laws
from jaxrnn import unroll, unroll_associative
from jaxrnn.cells import MGU, SLSTM
from jaxrnn.linear import RGLRU, S5, Mamba, ShortConv
from jaxrnn.linear.s5 import hippo_normal
from jaxrnn.testing.host_trees import host


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log1p(np.exp(-np.abs(a))) + np.maximum(a, 0)


def silu(a):
    return a * sigmoid(a)


def causal_conv(x, filters, b):
    padded = np.concatenate([np.zeros((len(filters) - 1, x.shape[1])), x])
    return np.stack([(filters * padded[t : t + len(filters)]).sum(0) for t in range(len(x))]) + b


def short_conv(cell, p, x):
    return silu(causal_conv(x, p.w, p.b))


def rg_lru(cell, p, x):
    """Run a = a₁^{c r}, h = a h + √(1 − a²) (i ⊙ x), the root 1 in the first step (2402.19427, equations 1 to 4)."""
    n, hs = cell.size // cell.blocks, [np.zeros(cell.size)]
    for t, now in enumerate(x):
        gates = [now[b * n : (b + 1) * n] @ p.gates[b] + p.b[b] for b in range(cell.blocks)]
        r, i = (sigmoid(np.concatenate([gate[part] for gate in gates])) for part in (slice(n), slice(n, None)))
        a = sigmoid(-p.lam) ** (8 * r)
        hs.append(a * hs[-1] + (1 if t == 0 else np.sqrt(1 - a**2)) * i * now)
    return np.stack(hs[1:])


def s5(cell, p, x):
    """Zero-order hold with complex numbers (2208.04933, equations 5 and 6)."""
    n = cell.hidden_size
    lam, dt = -np.exp(p.log_re) + 1j * p.im, np.exp(p.log_dt)
    b, c = (p.b[:, :n] + 1j * p.b[:, n:]).T, (p.c[:n] - 1j * p.c[n:]).T
    a_bar = np.exp(lam * dt)
    b_bar = ((a_bar - 1) / lam)[:, None] * b
    h, ys = np.zeros(n, complex), []
    for now in x:
        h = a_bar * h + b_bar @ now
        ys.append(2 * (c @ h).real + now @ p.d)
    return np.stack(ys)


def mamba(cell, p, x):
    """Run h = exp(Δ A) h + Δ B x for each unit, y = C h + D x (2312.00752, algorithm 2)."""
    x = silu(causal_conv(x @ p.u, p.conv, p.conv_b))
    h, ys = np.zeros((cell.hidden_size, cell.state_size)), []
    for now in x:
        low, b, c = np.split(now @ p.select, (cell.rank, cell.rank + cell.state_size))
        dt = softplus(low @ p.dt + p.dt_bias)
        for unit in range(cell.hidden_size):
            h[unit] = np.exp(-dt[unit] * np.exp(p.a_log[unit])) * h[unit] + dt[unit] * now[unit] * b
        ys.append(h @ c + p.d * now)
    return np.stack(ys)


def slstm(cell, p, x):
    """Run c = f c + i z, n = f n + i, h = o c/n, i = e^ĩ, f = σ(f̃) (2405.04517, equations 8 to 14), unstabilized."""
    size, heads = cell.hidden_size, cell.heads
    h, c, n, hs = *np.zeros((3, size)), []
    for now in x:
        recurrent = np.zeros((4, size))
        for k, part in enumerate(np.split(np.arange(size), heads)):
            recurrent[:, part] = (h[part] @ p.r[k]).reshape(4, -1)
        i, f, z, o = (now @ p.u + p.b).reshape(4, size) + recurrent
        c, n = sigmoid(f) * c + np.exp(i) * np.tanh(z), sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        hs.append(h)
    return np.stack(hs)


def mgu(cell, p, x):
    """Run f = σ(W_f h + U_f x + b_f), h̃ = tanh(W (f ⊙ h) + U x + b), h = (1 − f) h + f h̃ (1603.09420)."""
    n, hs = cell.hidden_size, [np.zeros(cell.hidden_size)]
    for now in x:
        f = sigmoid(now @ p.u[:, :n] + hs[-1] @ p.w[:, :n] + p.b[:n])
        new = np.tanh(now @ p.u[:, n:] + (f * hs[-1]) @ p.w[:, n:] + p.b[n:])
        hs.append((1 - f) * hs[-1] + f * new)
    return np.stack(hs[1:])


PAPERS = {
    "short_conv": (ShortConv(3, 4, bias=True), short_conv),
    "rg_lru": (RGLRU(4, blocks=2), rg_lru),
    "s5": (S5(3, 4, 2), s5),
    "mamba": (Mamba(3, 4, state_size=3, rank=2), mamba),
    "slstm": (SLSTM(3, 6, heads=2), slstm),
    "mgu": (MGU(3, 5), mgu),
}


@pytest.mark.parametrize(("cell", "formula"), PAPERS.values(), ids=PAPERS.keys())
def test_the_cell_is_its_paper_s_equations(cell, formula):
    p = laws.random_problem(cell, time=7, batch=(2,))
    params, xs = host((p.params, p.xs))
    want = np.stack([formula(cell, params, xs[:, row]) for row in range(2)], axis=1)
    nonlinear = isinstance(cell, SLSTM | MGU)
    for run in (unroll,) if nonlinear else (unroll, unroll_associative):
        np.testing.assert_allclose(run(cell, p.params, p.xs)[1], want, rtol=1e-10, atol=1e-12)


def test_the_eigenvalues_of_s5_are_those_of_the_normal_part_of_hippo():
    """A = S − P Pᵀ with S normal; S = V Λ Vᴴ."""
    size = 8
    root = np.sqrt(2 * np.arange(size) + 1)
    a = -np.tril(np.outer(root, root), -1) - np.diag(np.arange(size) + 1.0)
    p = np.sqrt(np.arange(size) + 0.5)
    lam, v = hippo_normal(size)
    np.testing.assert_allclose(v @ np.diag(lam) @ v.conj().T, a + np.outer(p, p), atol=1e-12)
    np.testing.assert_allclose(lam[: size // 2], lam[: size // 2 - 1 : -1].conj(), atol=1e-12)


def test_a_new_rg_lru_decays_within_its_interval():
    params = jax.jit(RGLRU(400, least_decay=0.8, largest_decay=0.9).init)(jax.random.key(0))
    a = sigmoid(-np.asarray(params.lam)) ** 8
    assert 0.8 <= a.min() < 0.81 < 0.89 < a.max() <= 0.9


def test_an_slstm_s_gates_of_a_hundred_are_finite():
    cell = SLSTM(3, 4, heads=2)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (5, 2, 3), jnp.float32)
    for size in (100.0, -100.0):
        shifted = params._replace(b=params.b.at[:8].set(size))
        gradient = jax.grad(lambda p: jnp.sum(unroll(cell, p, xs)[1] ** 2))(shifted)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_forget_biases_of_a_new_slstm_grow_over_the_channels_of_each_head():
    b = np.asarray(SLSTM(3, 8, heads=2).init(jax.random.key(0)).b)[8:16].reshape(2, 4)
    np.testing.assert_allclose(b, 12 * (np.arange(4) / 3) ** np.array([[0.3], [1.6]]) - 5, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SLSTM(3, 5, heads=2), "`heads` must divide hidden_size=5, got 2"),
        (lambda: RGLRU(5, blocks=2), "`blocks` must divide size=5, got 2"),
        (lambda: RGLRU(4, least_decay=0.9, largest_decay=0.5), "`least_decay` and `largest_decay` must be 0 < least"),
        (lambda: S5(3, 4, 2, least_step=0.0), "`least_step` and `largest_step` must be 0 < least < largest"),
        (lambda: Mamba(3, 4, rank=0), "`rank` must be an integer of at least 1"),
        (lambda: ShortConv(3, width=0), "`width` must be an integer of at least 1"),
        (lambda: ShortConv(3, activation="relu"), "`activation` must be one of"),
        (lambda: MGU(3, 0), "`hidden_size` must be an integer of at least 1"),
    ],
)
def test_bad_sizes_are_named(make, message, without_beartype):
    with pytest.raises(ValueError, match=message):
        make()
