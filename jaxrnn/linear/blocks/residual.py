"""The pre-norm residual block: norm, cell, gated output norm, projection; norm, gated MLP.

    n⁽ᵗ⁾ = RMSNorm(x⁽ᵗ⁾),      r⁽ᵗ⁾ = cell(n⁽ᵗ⁾)
    x̃⁽ᵗ⁾ = x⁽ᵗ⁾ + W_o (RMSNorm(r⁽ᵗ⁾) ⊙ SiLU(W_g n⁽ᵗ⁾))
    m⁽ᵗ⁾ = RMSNorm(x̃⁽ᵗ⁾)
    y⁽ᵗ⁾ = x̃⁽ᵗ⁾ + W_d (SiLU(W_u m⁽ᵗ⁾) ⊙ W_v m⁽ᵗ⁾)

Through the sums, the gradient of the last layer reaches every x unchanged.  The second norm is taken over each of
`groups` equal parts of r; for a cell with heads, these are the heads.  Without `mlp`, y is x̃.

γ of the three norms → `params.norm`, `.output_norm`, `.mlp.norm`; W_gᵀ → `params.gate`, W_oᵀ → `params.output`, W_uᵀ
and W_vᵀ side by side → `params.mlp.up`, W_dᵀ → `params.mlp.down`; the cell's own → `params.cell`.  The carry is the
cell's.

References: He et al. 2016, "Identity mappings in deep residual networks"; Shazeer 2020, "GLU variants improve
transformer", §2; Sun et al. 2023, "Retentive network", §2.2 (gated norm by heads); Yang, Kautz & Hatamizadeh
2025, §3.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts
from jaxrnn.core.checks import check_divides, check_features, check_is_cell, check_positive, inside
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.noise import part_input, plain_input, quiet, with_x
from jaxrnn.core.precision import accumulator, matmul
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.linear.blocks.normalization import rms_norm


class MLPParams(NamedTuple):
    """The gated MLP of a block.

    >>> from jaxrnn import MinGRU
    >>> ResidualBlock(MinGRU(3, 5), size=3, mlp=4).init(jax.random.key(0)).mlp.up.shape
    (3, 8)
    """

    norm: Float[Array, " size"]
    """γ."""
    up: Float[Array, "size two_hidden"]
    """W_uᵀ and W_vᵀ."""
    down: Float[Array, "hidden size"]
    """W_dᵀ."""


class ResidualBlockParams(NamedTuple):
    """The parameters of the cell, and those around it.

    >>> from jaxrnn import MinGRU
    >>> ResidualBlock(MinGRU(3, 5), size=3).init(jax.random.key(0))._fields
    ('norm', 'cell', 'gate', 'output_norm', 'output', 'mlp')
    """

    norm: Float[Array, " size"]
    """γ of the norm before the cell."""
    cell: Params
    """The cell's own."""
    gate: Float[Array, "size value"]
    """W_gᵀ."""
    output_norm: Float[Array, " value"]
    """γ of the norm after the cell."""
    output: Float[Array, "value size"]
    """W_oᵀ."""
    mlp: MLPParams | None
    """None without an MLP."""


class ResidualBlockInput(NamedTuple):
    """The result of `project`."""

    x: Array
    """x⁽ᵗ⁾."""
    gate: Array
    """W_g n⁽ᵗ⁾."""
    z: Inputs
    """n⁽ᵗ⁾ as the cell projects it."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ResidualBlock:
    """x̃ = x + W_o (RMSNorm(cell(RMSNorm(x))) ⊙ SiLU(W_g RMSNorm(x))), y = x̃ + MLP(x̃).

    Args:
      cell: any cell that takes inputs of `size` and outputs an array.
      size: the size of x and of y.
      mlp: the number of hidden units of the gated MLP; None for no MLP.
      groups: the number of parts of the cell's output that are normalized separately, such as its heads.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a size below 1.  From `init`: a cell of another input size, or groups that do not divide its output.

    >>> from jaxrnn import unroll
    >>> from jaxrnn.linear.matrix import GatedDelta
    >>> block = ResidualBlock(GatedDelta(6, heads=2, key_size=4, value_size=3), size=6, mlp=12, groups=2)
    >>> carry, ys = unroll(block, block.init(jax.random.key(0)), jnp.ones((7, 2, 6)))
    >>> ys.shape
    (7, 2, 6)

    References: Yang, Kautz & Hatamizadeh 2025, §3.4; Shazeer 2020.
    """

    cell: Cell
    size: int
    mlp: int | None = None
    groups: int = 1

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_positive(size=self.size, groups=self.groups)
        if self.mlp is not None:
            check_positive(mlp=self.mlp)

    def init(self, key: Key) -> ResidualBlockParams:
        """Draw matrices by Glorot's rule, γ = 1, and the cell by its own `init`."""
        check_key(key=key)
        cell_key, *keys = jax.random.split(key, 5)
        params = self.cell.init(cell_key)
        value = self._value_size(params)
        mlp = None
        if self.mlp is not None:
            up = [input_weights(k, (self.size, self.mlp)) for k in jax.random.split(keys[2])]
            down = input_weights(keys[3], (self.mlp, self.size))
            mlp = MLPParams(jnp.ones(self.size), jnp.concatenate(up, axis=-1), down)
        return ResidualBlockParams(
            norm=jnp.ones(self.size),
            cell=params,
            gate=input_weights(keys[0], (self.size, value)),
            output_norm=jnp.ones(value),
            output=input_weights(keys[1], (value, self.size)),
            mlp=mlp,
        )

    initial_carry = forwarded(Cell.initial_carry, params="cell")

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Return the constants of the cell; the output is not part of the carry."""
        return CarryParts(constants=carry_parts(self.cell, carry).constants)

    def project(self, params: ResidualBlockParams, xs: Inputs) -> ResidualBlockInput:
        """Return x⁽ᵗ⁾, the gate, and the projection of n⁽ᵗ⁾ by the cell."""
        x, n, gate = self._enter(params, xs)
        return ResidualBlockInput(x, gate, self.cell.project(params.cell, part_input(self.cell, with_x(xs, n), 0)))

    def step(self, params: ResidualBlockParams, carry: Carry, z: ResidualBlockInput) -> tuple[Carry, Array]:
        """Run one step of the cell, and return y⁽ᵗ⁾."""
        carry, r = self.cell.step(params.cell, carry, z.z)
        return carry, self._leave(params, z.x, z.gate, r)

    def run_parts(
        self, params: ResidualBlockParams, xs: Inputs, carry: Carry | None, run: Callable
    ) -> tuple[Carry, Any]:
        """Run the cell over all steps, and the rest of the block for all of them at once."""
        x, n, gate = self._enter(params, xs)
        carry, r = run(self.cell, params.cell, part_input(self.cell, with_x(xs, n), 0), carry)
        return carry, self._leave(params, x, gate, r)

    def _enter(self, params, xs):
        """Return (x, n, W_g n)."""
        x = plain_input(xs)
        check_features("xs", x, size=self.size)
        x = x.astype(accumulator(params.gate.dtype))
        n = rms_norm(params.norm, x)
        return x, n, matmul(n, params.gate)

    def _leave(self, params, x, gate, r):
        """Return y, given x, the gate and the output r of the cell."""
        r = rms_norm(params.output_norm, r, self.groups) * jax.nn.silu(gate)
        x = x + matmul(r, params.output)
        if params.mlp is None:
            return x
        u, v = jnp.split(matmul(rms_norm(params.mlp.norm, x), params.mlp.up), 2, axis=-1)
        return x + matmul(jax.nn.silu(u) * v, params.mlp.down)

    def _value_size(self, params) -> int:
        """Return the size of the output of the cell."""

        def one_step(params, x):
            cell = quiet(self.cell)
            return cell.step(params, cell.initial_carry(params), cell.project(params, x))[1]

        with inside("cell", reads=f"x of size {self.size}"):
            r = jax.eval_shape(one_step, params, jnp.zeros(self.size))
        check_divides("groups", self.groups, output_size=r.shape[-1])
        return r.shape[-1]
