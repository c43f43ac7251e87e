"""A program on four devices: `unroll_sharded` equals `unroll`, in values and gradients, for states of every kind."""

import os
from functools import partial

from tests.quick_compilation import FLAGS

os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=4 {FLAGS}"

import jax

from jaxrnn import testing as laws
from jaxrnn import unroll
from jaxrnn.linear import RGLRU, ShortConv
from jaxrnn.linear.matrix import MLSTM, DeltaProduct, GatedDelta
from jaxrnn.testing.problem import quick_jit, results
from jaxrnn.unrolling.parallel import unroll_sharded
from tests.linear.matrix.rows import Mixed

CELLS = (
    GatedDelta(3, 2, 2, 3, conv=3),
    DeltaProduct(3, 1, 2, 3, conv=None),
    MLSTM(3, 1, 2, 2, gates="exponential"),
    Mixed(),
    RGLRU(4),
    ShortConv(3),
)


def main() -> None:
    """Compare every cell in both directions, with masks and resets."""
    mesh = jax.make_mesh((4,), ("time",), axis_types=(jax.sharding.AxisType.Auto,))
    member = partial(unroll_sharded, mesh=mesh, axis="time")
    for cell in CELLS:
        problem = laws.random_problem(cell, time=12)
        for reverse in (False, True):
            got, want = (
                quick_jit(partial(results, cell, unroll=u, reverse=reverse))(problem) for u in (member, unroll)
            )
            laws.must_agree(cell, f"four devices = one, reverse={reverse}", got, want)
    print(f"{len(CELLS)} cells agree on {jax.device_count()} devices")


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    main()
