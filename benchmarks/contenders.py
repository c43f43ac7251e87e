"""The same recurrent layer in every library, written as that library's documentation does.

A contender provides two programs for a cell and a configuration: `forward`, xs → ys, and `train`, the mean of ys²
with its gradient with respect to the parameters *and* xs.  float32, time-major, initial carry 0.

The layers differ in a few points.  Flax, Equinox and PyTorch compute the GRU's "after" form, Haiku the "before" form.
PyTorch has two biases where the others have one.  Equinox has no Elman cell; it is written here with two
`eqx.nn.Linear`.  Of Flax' two LSTM cells, the faster one runs, `OptimizedLSTMCell`.
"""

import importlib.util
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

import jaxrnn
from benchmarks.products import Products
from benchmarks.timing import Program, compiled

CellName = Literal["elman", "lstm", "gru", "gru-after"]
Programs = dict[str, Program]

GATES: dict[CellName, int] = {"elman": 1, "lstm": 4, "gru": 3, "gru-after": 3}
"""The number of blocks of `hidden` in the products of a step."""


class Configuration(NamedTuple):
    """The sizes of one run."""

    time: int
    batch: int
    input: int
    hidden: int

    def flops(self, cell: CellName, what: str) -> int:
        """Count multiplications and additions in the matrix products: forward, or three times that to train."""
        forward = 2 * self.time * self.batch * GATES[cell] * self.hidden * (self.input + self.hidden)
        return forward if what == "forward" else 3 * forward


def jaxrnn_cell(cell: CellName, sizes: Configuration):
    """Return the cell of this library by name."""
    size = sizes.input, sizes.hidden
    return {
        "elman": lambda: jaxrnn.Elman(*size),
        "lstm": lambda: jaxrnn.LSTM(*size),
        "gru": lambda: jaxrnn.GRU(*size),
        "gru-after": lambda: jaxrnn.GRU(*size, reset="after"),
    }[cell]()


def unroll(cell: CellName, sizes: Configuration) -> Programs:
    """Build the programs of this library, differentiated by `jax.grad`."""
    return ours(jaxrnn.unroll, cell, sizes)


def unroll_bptt(cell: CellName, sizes: Configuration) -> Programs:
    """Build the programs of this library with the explicit backward pass."""
    return ours(jaxrnn.unroll_bptt, cell, sizes)


def products(cell: CellName, sizes: Configuration) -> Programs:
    """Build programs of the matrix products alone, run as in this library."""
    return ours(jaxrnn.unroll_bptt, cell, sizes, layer=Products(sizes.input, sizes.hidden, GATES[cell]))


def flax(cell: CellName, sizes: Configuration, dtype=jnp.float32) -> Programs:
    """Build the programs of `flax.linen.RNN`."""
    from flax import linen

    kind = {"elman": linen.SimpleCell, "lstm": linen.OptimizedLSTMCell}.get(cell, linen.GRUCell)
    model, xs = linen.RNN(kind(features=sizes.hidden, dtype=dtype), time_major=True), inputs(sizes, dtype)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(jax.random.key(0), xs))
    return programs(model.apply, params, xs)


def haiku(cell: CellName, sizes: Configuration) -> Programs:
    """Build the programs of `haiku.dynamic_unroll`, with an own tanh cell, because `haiku.VanillaRNN` uses relu."""
    import haiku as hk

    def run(xs):
        if cell == "elman":
            read, remember = hk.Linear(sizes.hidden), hk.Linear(sizes.hidden)

            def core(x, h):
                h = jnp.tanh(read(x) + remember(h))
                return h, h

            return hk.dynamic_unroll(core, xs, jnp.zeros((sizes.batch, sizes.hidden)))[0]
        core = (hk.LSTM if cell == "lstm" else hk.GRU)(sizes.hidden)
        return hk.dynamic_unroll(core, xs, core.initial_state(sizes.batch))[0]

    model, xs = hk.without_apply_rng(hk.transform(run)), inputs(sizes)
    return programs(model.apply, model.init(jax.random.PRNGKey(0), xs), xs)


def equinox(cell: CellName, sizes: Configuration) -> Programs:
    """Build the programs of a `lax.scan` over a `vmap` of an `equinox.nn` cell."""
    import equinox as eqx

    key, h = jax.random.key(0), jnp.zeros((sizes.batch, sizes.hidden))
    if cell == "elman":
        read = eqx.nn.Linear(sizes.input, sizes.hidden, use_bias=False, key=key)
        model, start = (read, eqx.nn.Linear(sizes.hidden, sizes.hidden, key=key)), h
    elif cell == "lstm":
        model, start = eqx.nn.LSTMCell(sizes.input, sizes.hidden, key=key), (h, h)
    else:
        model, start = eqx.nn.GRUCell(sizes.input, sizes.hidden, key=key), h
    params, static = eqx.partition(model, eqx.is_array)

    def apply(params, xs):
        model = eqx.combine(params, static)

        def step(state, x):
            new = jax.vmap(lambda x, h: jnp.tanh(model[0](x) + model[1](h)) if cell == "elman" else model(x, h))
            state = new(x, state)
            return state, state[0] if cell == "lstm" else state

        return lax.scan(step, start, xs)[1]

    return programs(apply, params, inputs(sizes))


def pytorch(cell: CellName, sizes: Configuration, dtype=jnp.float32, device: str = "cpu") -> Programs:
    """Build eager programs of `torch.nn.RNN`, `LSTM` or `GRU`: with PyTorch's threads on a CPU, by cuDNN on a GPU."""
    import torch

    kind = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM}.get(cell, torch.nn.GRU)
    options = {"dtype": getattr(torch, jnp.dtype(dtype).name), "device": device}
    model = kind(sizes.input, sizes.hidden, **options)
    xs = torch.randn(sizes.time, sizes.batch, sizes.input, requires_grad=True, **options)
    leaves = [xs, *model.parameters()]
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def forward():
        with torch.no_grad():
            return model(xs)[0], wait()

    def train():
        return torch.autograd.grad(model(xs)[0].square().mean(), leaves), wait()

    return {"forward": Program(forward), "train": Program(train)}


OURS: dict[str, Callable[[CellName, Configuration], Programs]] = {
    "unroll": unroll,
    "unroll_bptt": unroll_bptt,
    "products": products,
}
PEERS: dict[str, tuple[str, Callable[[CellName, Configuration], Programs]]] = {
    "flax": ("flax", flax),
    "haiku": ("haiku", haiku),
    "equinox": ("equinox", equinox),
    "pytorch": ("torch", pytorch),
}
"""The name in the table → (the package, the contender)."""


def present() -> tuple[dict[str, Callable[[CellName, Configuration], Programs]], list[str]]:
    """Return the contenders whose package is installed, and the names of the others."""
    missing = [name for name, (package, _) in PEERS.items() if importlib.util.find_spec(package) is None]
    return OURS | {name: make for name, (_, make) in PEERS.items() if name not in missing}, missing


def ours(unroll: Callable, cell: CellName, sizes: Configuration, dtype=jnp.float32, layer=None) -> Programs:
    """Return programs of this library by a member of the unroll family; `layer` replaces the cell of that name."""
    layer = jaxrnn_cell(cell, sizes) if layer is None else layer
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), layer.init(jax.random.key(0)))
    return programs(lambda params, xs: unroll(layer, params, xs)[1], params, inputs(sizes, dtype))


def programs(apply: Callable[[Any, jax.Array], jax.Array], params: Any, xs: jax.Array) -> Programs:
    """Return `forward` and `train` of (params, xs) → ys."""

    def loss(params, xs):
        return jnp.mean(apply(params, xs) ** 2)

    train = jax.value_and_grad(loss, argnums=(0, 1))
    return {"forward": compiled(apply, params, xs), "train": compiled(train, params, xs)}


def inputs(sizes: Configuration, dtype=jnp.float32) -> jax.Array:
    """Draw the inputs, `[time, batch, input]`."""
    return jax.random.normal(jax.random.key(1), sizes[:3], dtype)
