"""Gated DeltaNet in PyTorch, written in the ordinary way: a loop over the steps, and chunks in plain tensor operations.

Computes the same layer as `jaxrnn.linear.matrix.GatedDelta`, with its projections, convolution, gates and parameters.
`torch.linalg.solve_triangular` inverts I + A inside a chunk.

References: Yang, Kautz & Hatamizadeh 2025, "Gated delta networks", §3.3.
"""

import math
from collections.abc import Callable

import jax
import numpy as np
import torch
from torch import nn

from benchmarks.timing import Program
from jaxrnn.linear.matrix import GatedDelta


def programs(cell: GatedDelta, params, xs, chunk: int) -> dict[str, Program]:
    """Return programs for the gradient of Σ y² with respect to parameters and inputs, by loop and by chunks."""
    ways = {"pytorch loop": loop, f"pytorch {chunk}": lambda *steps: chunks(*steps, chunk)}
    return {name: Program(gradient(cell, params, xs, way)) for name, way in ways.items()}


def gradient(cell: GatedDelta, params, xs, way: Callable) -> Callable[[], dict]:
    """Return a function that computes the gradients."""
    tensors = {name: tensor(leaf) for name, leaf in params._asdict().items()} | {"xs": tensor(xs)}

    def run():
        loss = (layer(cell, tensors, way) ** 2).sum()
        return dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values())), strict=True))

    return run


def tensor(array) -> torch.Tensor:
    """Return the array as a leaf of the graph."""
    return torch.from_numpy(np.array(jax.device_get(array))).requires_grad_()


def layer(cell: GatedDelta, p: dict[str, torch.Tensor], way: Callable) -> torch.Tensor:
    """Return y, `[time, batch, heads · V]`."""
    xs, keys = p["xs"], cell.heads * cell.key_size
    width = p["conv"].shape[0]
    padded = nn.functional.pad(xs @ p["qkv"], (0, 0, 0, 0, width - 1, 0))
    convolved = sum(padded[j : j + len(xs)] * p["conv"][j] for j in range(width))
    parts = nn.functional.silu(convolved).split((keys, keys, cell.heads * cell.value_size), dim=-1)
    q, k, v = (part.unflatten(-1, (cell.heads, -1)).permute(1, 2, 0, 3) for part in parts)  # [batch, head, time, ·]
    q, k = (x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6) for x in (q, k))
    beta = torch.sigmoid(xs @ p["beta"]).permute(1, 2, 0)
    log_a = -p["a_log"].exp() * nn.functional.softplus(xs @ p["alpha"] + p["dt_bias"])
    r = way(q / math.sqrt(cell.key_size), k, v, beta, log_a.permute(1, 2, 0))
    return r.permute(2, 0, 1, 3).flatten(-2)


def loop(q, k, v, beta, log_a) -> torch.Tensor:
    """Compute S ← α S + β k (v − α Sᵀ k)ᵀ, r = Sᵀ q, step by step."""
    state, rs = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]), []
    for t in range(k.shape[2]):
        state = log_a[:, :, t, None, None].exp() * state
        old = torch.einsum("bhkv,bhk->bhv", state, k[:, :, t])
        new = beta[:, :, t, None] * (v[:, :, t] - old)
        state = state + k[:, :, t, :, None] * new[:, :, None, :]
        rs.append(torch.einsum("bhkv,bhk->bhv", state, q[:, :, t]))
    return torch.stack(rs, dim=2)


def chunks(q, k, v, beta, log_a, size: int) -> torch.Tensor:
    """Compute the results of `loop`, a chunk of `size` steps at a time; `size` divides the number of steps."""
    state, rs = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]), []
    eye, pieces = torch.eye(size, dtype=k.dtype), [x.split(size, dim=2) for x in (q, k, v, beta, log_a.unsqueeze(-1))]
    for q_c, k_c, v_c, beta_c, log_c in zip(*pieces, strict=True):
        g, w, written = log_c.cumsum(2), beta_c.unsqueeze(-1) * k_c, beta_c.unsqueeze(-1) * v_c
        decay = (g - g.transpose(-1, -2)).tril().exp().tril()
        a_uk, a_uw = ((k_c @ x.transpose(-1, -2) * decay).tril(-1) for x in (k_c, w))
        right = (k_c * g.exp()) @ state + a_uk @ written
        rho = torch.linalg.solve_triangular(eye + a_uw, right, upper=False, unitriangular=True)
        a_qk, a_qw = (q_c @ x.transpose(-1, -2) * decay for x in (k_c, w))
        rs.append((q_c * g.exp()) @ state + a_qk @ written - a_qw @ rho)
        to_end = (g[:, :, -1:] - g).exp()
        kept, added, removed = g[:, :, -1:].exp() * state, k_c * to_end, w * to_end
        state = kept + added.transpose(-1, -2) @ written - removed.transpose(-1, -2) @ rho
    return torch.cat(rs, dim=2)
