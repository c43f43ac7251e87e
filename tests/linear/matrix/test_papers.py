"""Each cell agrees with its paper's equations: loops over t and over heads in NumPy, one row at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import testing as laws
from jaxrnn import unroll
from jaxrnn.linear import InTurn, Staged
from jaxrnn.linear.matrix import GLA, HGRN2, MLSTM, RWKV7, DeltaProduct, GatedDelta, Mamba2, Retention
from jaxrnn.linear.stages import ONE_STEP
from jaxrnn.testing.host_trees import host
from jaxrnn.unrolling.parallel import unroll_chunkwise

T = 7


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log1p(np.exp(-np.abs(a))) + np.maximum(a, 0)


def silu(a):
    return a * sigmoid(a)


def unit(a):
    return a / np.sqrt(a @ a + 1e-6)


def causal_conv(x, filters):
    """y[t] = Σ_j filters[W − 1 − j] x[t − j]."""
    width, y = len(filters), np.zeros_like(x)
    for t in range(len(x)):
        for j in range(min(width, t + 1)):
            y[t] += filters[width - 1 - j] * x[t - j]
    return y


def heads_of(x, heads):
    return np.split(x, heads)


def delta_net(cell, p, x):
    """S = α (I − β k kᵀ) S + β k vᵀ (2412.06464, equation 10, transposed); KDA: (I − β k kᵀ) Diag(α) S (2510.26692)."""
    h, k_size, v_size = cell.heads, cell.key_size, cell.value_size
    z = x @ p.qkv
    z = silu(z if p.conv is None else causal_conv(z, p.conv))
    states, ys = np.zeros((h, k_size, v_size)), []
    for t in range(len(x)):
        q, k, v = np.split(z[t], (h * k_size, 2 * h * k_size))
        y = []
        for i in range(h):
            q_i, k_i, v_i = (heads_of(a, h)[i] for a in (q, k, v))
            q_i, k_i = unit(q_i) / np.sqrt(k_size), unit(k_i)
            alpha = np.ones(k_size)
            if p.alpha is not None:
                rate = heads_of(x[t] @ p.alpha + p.dt_bias, h)[i]
                alpha = np.broadcast_to(np.exp(-np.exp(p.a_log[i]) * softplus(rate)), k_size)
            states[i] = np.diag(alpha) @ states[i]
            if p.beta is None:
                states[i] += np.outer(k_i, v_i)
            else:
                beta = sigmoid(x[t] @ p.beta[:, i]) * (2 if cell.negative_eigenvalues else 1)
                states[i] = (np.eye(k_size) - beta * np.outer(k_i, k_i)) @ states[i] + beta * np.outer(k_i, v_i)
            y.append(states[i].T @ q_i)
        ys.append(np.concatenate(y))
    return np.stack(ys)


def delta_product(cell, p, x):
    """H = (I − β_j k_j k_jᵀ) H + β_j k_j v_jᵀ for j = 1 … n (2502.10297, §3)."""
    h, n, k_size, v_size = cell.heads, cell.updates, cell.key_size, cell.value_size
    z = silu(x @ p.qkv if p.conv is None else causal_conv(x @ p.qkv, p.conv))
    states, ys = np.zeros((h, k_size, v_size)), []
    for t in range(len(x)):
        q, k, v = np.split(z[t], (h * k_size, h * k_size * (1 + n)))
        beta = 2 * sigmoid(x[t] @ p.beta).reshape(h, n)
        y = []
        for i in range(h):
            if p.alpha is not None:
                states[i] *= np.exp(-np.exp(p.a_log[i]) * softplus(x[t] @ p.alpha[:, i] + p.dt_bias[i]))
            for j in range(n):
                k_j = unit(k.reshape(h, n, k_size)[i, j])
                error = v.reshape(h, n, v_size)[i, j] - states[i].T @ k_j
                states[i] += beta[i, j] * np.outer(k_j, error)
            y.append(states[i].T @ unit(q.reshape(h, k_size)[i]) / np.sqrt(k_size))
        ys.append(np.concatenate(y))
    return np.stack(ys)


def gla(cell, p, x):
    """S = Diag(α) S + kᵀ v, α = σ(x W¹ W² + b)^{1/16} (2312.06635, §4.4)."""
    h, k_size = cell.heads, cell.key_size
    alpha = sigmoid(x @ p.down @ p.up + p.b) ** (1 / cell.temperature)
    states, ys = np.zeros((h, k_size, cell.value_size)), []
    for t in range(len(x)):
        q, k, v = np.split(x[t] @ p.qkv, (h * k_size, 2 * h * k_size))
        for i in range(h):
            q_i, k_i, v_i, a_i = (heads_of(a, h)[i] for a in (q, k, v, alpha[t]))
            states[i] = a_i[:, None] * states[i] + np.outer(k_i, v_i)
            ys.append(states[i].T @ q_i / np.sqrt(k_size))
    return np.stack(ys).reshape(len(x), -1)


def retention(cell, p, x):
    """o_n = Σ_{m ≤ n} γ^{n−m} (Q_n e^{inθ})(K_m e^{imθ})† v_m (2307.08621, equation 3): the sum, in complex numbers."""
    h, k_size, v_size = cell.heads, cell.key_size, cell.value_size
    q, k, v = np.split(x @ p.qkv, (h * k_size, 2 * h * k_size), axis=1)
    theta = 10000.0 ** (-np.arange(k_size // 2) / (k_size // 2))
    ys = np.zeros((len(x), h, v_size))
    for i in range(h):
        turned = []
        for a in (q, k):
            pairs = a.reshape(len(x), h, k_size // 2, 2)[:, i]
            turned.append((pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * np.arange(len(x))[:, None] * theta))
        for n in range(len(x)):
            for m in range(n + 1):
                weight = (1 - 2.0 ** (-5 - i)) ** (n - m) * (turned[0][n] * turned[1][m].conj()).sum().real
                ys[n, i] += weight * v.reshape(len(x), h, v_size)[m, i] / np.sqrt(k_size)
    return ys.reshape(len(x), -1)


def mamba2(cell, p, x):
    """Run h = exp(Δ A) h + Δ B x, y = C h + D x (2405.21060, §2 and §7)."""
    h, n, v_size = cell.heads, cell.key_size, cell.value_size
    z = silu(causal_conv(x @ p.u, p.conv) + p.conv_b)
    states, ys = np.zeros((h, v_size, n)), []
    for t in range(len(x)):
        u, b, c = np.split(z[t], (h * v_size, h * v_size + n))
        dt = softplus(x[t] @ p.dt + p.dt_bias)
        for i in range(h):
            u_i = heads_of(u, h)[i]
            states[i] = np.exp(-dt[i] * np.exp(p.a_log[i])) * states[i] + dt[i] * np.outer(u_i, b)
            ys.append(states[i] @ c + p.d[i] * u_i)
    return np.stack(ys).reshape(len(x), -1)


def mlstm(cell, p, x):
    """C = f C + i v kᵀ, n = f n + i k, h = C q / max(|nᵀ q|, 1) (2405.04517, equations 19 to 27), unstabilized."""
    h, k_size, v_size = cell.heads, cell.key_size, cell.value_size
    c, n, ys = np.zeros((h, v_size, k_size)), np.zeros((h, k_size)), []
    for t in range(len(x)):
        q, k, v = np.split(x[t] @ p.qkv, (h * k_size, 2 * h * k_size))
        f, i_gate = np.split(x[t] @ p.gates + p.b, 2)
        for i in range(h):
            q_i, k_i, v_i = (heads_of(a, h)[i] for a in (q, k, v))
            k_i = k_i / np.sqrt(k_size)
            gate = np.exp(i_gate[i]) if cell.gates == "exponential" else sigmoid(i_gate[i])
            c[i] = sigmoid(f[i]) * c[i] + gate * np.outer(v_i, k_i)
            n[i] = sigmoid(f[i]) * n[i] + gate * k_i
            ys.append(c[i] @ q_i / (max(abs(n[i] @ q_i), 1) if cell.gates == "exponential" else 1))
    return np.stack(ys).reshape(len(x), -1)


def hgrn2(cell, p, x):
    """Run h = Diag(f) h + (1 − f) i, y = o h (2404.07904, equation 4)."""
    h, k_size = cell.heads, cell.key_size
    states, ys = np.zeros((h, k_size, cell.value_size)), []
    for t in range(len(x)):
        q, gate, v = np.split(x[t] @ p.u, (h * k_size, 2 * h * k_size))
        f = cell.least_gate + (1 - cell.least_gate) * sigmoid(gate)
        for i in range(h):
            f_i = heads_of(f, h)[i]
            states[i] = np.diag(f_i) @ states[i] + np.outer(1 - f_i, heads_of(v, h)[i])
            ys.append(states[i].T @ heads_of(silu(q), h)[i])
    return np.stack(ys).reshape(len(x), -1)


def rwkv7(cell, p, x):
    """S = S (diag(w) − κ̂ᵀ (a ⊙ κ̂)) + vᵀ k̃ (2503.14456, equations 3 to 20), S of shape V × K as in the paper."""
    h, k_size, v_size = cell.heads, cell.key_size, cell.value_size
    states, ys, before = np.zeros((h, v_size, k_size)), [], np.zeros(cell.input_size)
    for now in x:
        x_r, x_d, x_k, x_v, x_a = (now + (before - now) * mu for mu in p.mix)
        before = now
        w = np.exp(-np.exp(-0.5) * sigmoid(np.tanh(x_d @ p.decay.down) @ p.decay.up + p.decay.b))
        a = sigmoid(x_a @ p.rate.down @ p.rate.up + p.rate.b)
        k, v, r = x_k @ p.k, x_v @ p.v, x_r @ p.r
        kappa, k_tilde = k * p.removal, k * (1 + (a - 1) * p.replacement)
        for i in range(h):
            w_i, a_i, k_i, v_i, r_i, kappa_i, bonus = (
                heads_of(each, h)[i] for each in (w, a, k_tilde, v, r, kappa, p.bonus)
            )
            kappa_i = unit(kappa_i)
            states[i] = states[i] @ (np.diag(w_i) - np.outer(kappa_i, a_i * kappa_i)) + np.outer(v_i, k_i)
            ys.append(states[i] @ r_i + (r_i * bonus * k_i).sum() * v_i)
    return np.stack(ys).reshape(len(x), -1)


PAPERS = {
    "gated_delta_net": (GatedDelta(3, 2, 4, 5), delta_net),
    "delta_net": (GatedDelta(3, 2, 4, 5, decay=None, conv=3), delta_net),
    "delta_net_negative": (GatedDelta(3, 2, 4, 5, decay=None, negative_eigenvalues=True, conv=None), delta_net),
    "kimi_delta_attention": (GatedDelta(3, 2, 4, 5, decay="unit"), delta_net),
    "linear_attention": (GatedDelta(3, 2, 4, 5, decay=None, erase=False), delta_net),
    "delta_product": (DeltaProduct(3, 2, 4, 5, updates=3), delta_product),
    "gated_delta_product": (DeltaProduct(3, 2, 4, 5, updates=2, decay=True, conv=None), delta_product),
    "gla": (GLA(3, 2, 4, 5, rank=2), gla),
    "retention": (Retention(3, 2, 4, 5), retention),
    "mamba2": (Mamba2(3, 2, 4, 5), mamba2),
    "mlstm_sigmoid": (MLSTM(3, 2, 4, 5), mlstm),
    "mlstm_exponential": (MLSTM(3, 2, 4, 5, gates="exponential"), mlstm),
    "hgrn2": (HGRN2(3, 2, 4, 5, least_gate=0.3), hgrn2),
    "rwkv7": (RWKV7(3, 2, 4, 5, rank=2), rwkv7),
}


@pytest.mark.parametrize(("cell", "formula"), PAPERS.values(), ids=PAPERS.keys())
def test_the_cell_is_its_paper_s_equations(cell, formula):
    p = laws.random_problem(cell, time=T, batch=(2,))
    params, xs = host((p.params, p.xs))
    want = np.stack([formula(cell, params, xs[:, row]) for row in range(2)], axis=1)
    for run in (unroll, unroll_chunkwise):
        np.testing.assert_allclose(run(cell, p.params, p.xs)[1], want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [100.0, -100.0])
def test_exponential_gates_of_a_hundred_are_finite_and_right_in_float32(size):
    cell = MLSTM(3, 2, 4, 5, gates="exponential")
    p = laws.random_problem(cell, time=T, batch=(2,))
    b = p.params.b + np.array([0, 0, size, size / 2])
    params = jax.tree.map(np.asarray, p.params._replace(b=b))
    want = np.stack([mlstm(cell, params, np.asarray(p.xs)[:, row]) for row in range(2)], axis=1)
    single = jax.tree.map(lambda a: jnp.asarray(a, np.float32), (params, p.xs))
    for run in (unroll, unroll_chunkwise):
        ys = run(cell, *single)[1]
        np.testing.assert_allclose(ys, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
        gradient = jax.grad(lambda *args, run=run: (run(cell, *args)[1] ** 2).sum(), argnums=(0, 1))(*single)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    "cell",
    [
        GatedDelta(3, 2, 4, 5),
        DeltaProduct(3, 2, 4, 5, decay=True),
        Mamba2(3, 2, 4, 5),
        GLA(3, 2, 4, 5),
        MLSTM(3, 2, 4, 5),
        RWKV7(3, 2, 4, 5),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_a_new_cell_decays_slowly_enough_to_remember_and_never_grows(cell):
    """At the start every log d is finite, at most 0, and some unit keeps more than half of its state for ten steps."""
    params = jax.jit(cell.init)(jax.random.key(1))
    z, carry = cell.project(params, jnp.zeros((1, 3), np.float32)), cell.initial_carry(params, (1,))
    if isinstance(carry, Staged):
        _, z = cell.lead(params, carry.first, z, ONE_STEP)
    a, _ = cell.coefficients(params, z)
    log_d = np.asarray(a.steps.log_d if isinstance(a, InTurn) else a.log_d)
    assert np.isfinite(log_d).all() and (log_d <= 0).all()
    assert np.exp(10 * log_d.max()) > 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GatedDelta(3, 0, 4, 5), "`heads` must be an integer of at least 1"),
        (lambda: GatedDelta(3, 2, 0, 5), "`key_size` must be an integer of at least 1"),
        (lambda: GLA(3, 2, 4, 0), "`value_size` must be an integer of at least 1"),
        (lambda: GatedDelta(3, 2, 4, 5, decay="vector"), "`decay` must be one of"),
        (lambda: DeltaProduct(3, 2, 4, 5, updates=0), "`updates` must be an integer of at least 1"),
        (lambda: Mamba2(3, 2, 4, 5, conv=0), "`conv` must be an integer of at least 1"),
        (lambda: MLSTM(3, 2, 4, 5, gates="tanh"), "`gates` must be one of"),
        (lambda: GLA(3, 2, 4, 5, temperature=0), "`temperature` must be above 0"),
        (lambda: HGRN2(3, 2, 4, 5, least_gate=1.0), "`least_gate` must lie from 0 to below 1"),
        (lambda: Retention(3, 2, 5, 4), "`key_size` must be even.*rotate=False"),
        (lambda: RWKV7(3, 2, 4, 5, rank=0), "`rank` must be an integer of at least 1"),
    ],
)
def test_bad_sizes_are_named(make, message, without_beartype):
    with pytest.raises(ValueError, match=message):
        make()
