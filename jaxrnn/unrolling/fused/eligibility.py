"""The runs that the kernels accept, and their blocking, from shapes, dtype and chip.

A program instance holds the recurrent weights in shared memory, and beside them the blocks that the products of a
step read.  Padded to `hidden` units, a power of 2 of at least 16, that is at most

    gates · hidden · (hidden + rows) · (bytes of a number),        rows = 16

which must not be above what a program instance can have.  So, at the most:

| compute capability | shared memory | LSTM float32 | LSTM bfloat16 | GRU float32 | GRU bfloat16 |
|---|---|---|---|---|---|
| 8.0 (A100) | 163 KiB | 64 | 128 | 64 | 128 |
| 9.0, 10.x (H100, B200) | 227 KiB | 64 | 128 | 128 | 128 |
| 8.6, 8.9, 12.x | 99 KiB | 64 | 64 | 64 | 64 |

16 rows are the fewest that a tensor core multiplies; more would leave multiprocessors without work at the batches
that people train with.  There is a warp for every 8 units, 4 to 16 of them.  Compiled by Triton 3.7.1 for 8.0 and 9.0,
when the LSTM's record still held tanh C, both kernels of every size above took no more shared memory than that, and of
a step's blocks at most 52 bytes a thread did not find room in registers; at `jax.default_matmul_precision("highest")`,
where float32 leaves the tensor cores, it could be kilobytes.  Which sizes are *faster* than a scan has not been
measured.

References: NVIDIA, CUDA C++ Programming Guide, "Compute Capabilities" (shared memory per thread block).
"""

import warnings
from typing import TypeGuard

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.core.types import Cell
from jaxrnn.unrolling.fused.gates import Gates
from jaxrnn.unrolling.fused.gru import gru_gates
from jaxrnn.unrolling.fused.kernels import HAVE_TRITON, Blocking
from jaxrnn.unrolling.fused.lstm import lstm_gates

ROWS = 16
"""The number of rows of the batch per program instance."""

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
"""The dtypes of parameters that tensor cores multiply (float32 as TF32 unless a higher precision is set)."""

_SHARED = {"8.0": 163, "8.7": 163, "9.0": 227, "10.0": 227, "10.3": 227}
_ANY_SHARED = 99


def has_kernels(cell: Cell) -> TypeGuard[LSTM | GRU]:
    """Return whether there are kernels for the cell; warn if there is a GPU but JAX cannot compile them."""
    if not isinstance(cell, LSTM | GRU):
        return False
    if not HAVE_TRITON and _cuda_devices():
        warnings.warn(
            "`unroll_fused` runs as `unroll_bptt`: its kernels need Pallas' Triton backend "
            f"(jax.experimental.pallas.triton), which JAX {jax.__version__} does not have here.",
            stacklevel=3,
        )
    return HAVE_TRITON


def gates_of(cell: LSTM | GRU) -> Gates:
    """Return the gates of a cell."""
    return lstm_gates(cell) if isinstance(cell, LSTM) else gru_gates(cell)


def blocking_of(hidden: int) -> Blocking:
    """Return the blocking of a run with this number of hidden units.

    >>> blocking_of(100)
    Blocking(rows=16, hidden=128, warps=16)
    """
    padded = max(16, pl.next_power_of_2(hidden))
    return Blocking(ROWS, padded, min(max(padded // 8, 4), 16))


def fits(cell: LSTM | GRU, dtype, shared: int) -> bool:
    """Return whether `shared` bytes hold the recurrent weights of the cell in this dtype.

    >>> [fits(LSTM(3, 128), dtype, 227 * 1024) for dtype in (jnp.float32, jnp.bfloat16)]
    [False, True]
    """
    rows, hidden, _ = blocking_of(cell.hidden_size)
    needed = gates_of(cell).count * hidden * (hidden + rows) * jnp.dtype(dtype).itemsize
    return dtype in DTYPES and needed <= shared


def shared_memory() -> int:
    """Return the smallest shared memory of a program instance over the GPUs of this machine, in bytes.

    Without a GPU, as when compiling for another machine, it is the smallest that Triton supports.
    """
    devices = _cuda_devices()
    return min((shared_memory_of(str(device.compute_capability)) for device in devices), default=1024 * _ANY_SHARED)


def _cuda_devices() -> list[jax.Device]:
    try:
        return jax.local_devices(backend="cuda")
    except RuntimeError:
        return []


def shared_memory_of(capability: str) -> int:
    """Return the shared memory of a program instance at a compute capability in bytes; 0 below 8.0.

    >>> [shared_memory_of(capability) // 1024 for capability in ("7.5", "8.0", "8.9", "9.0")]
    [0, 163, 99, 227]
    """
    return 1024 * (0 if float(capability) < 8 else _SHARED.get(capability, _ANY_SHARED))
