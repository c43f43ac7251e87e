"""Models without native nodes: a `Scan` over the step of the cell.

    xs, lengths ─ U x + b for every t ─ Scan( carry, z⁽ᵗ⁾, mask⁽ᵗ⁾ → carry, y⁽ᵗ⁾ ) ─ read-out ─ logits

The model is traced once with symbolic time and batch, and the traced program is written as ONNX
(`jaxrnn.convert.onnx.programs`).  Inputs, outputs, lengths and carries are the same as with native nodes.

References: the ONNX operator specification, Scan; the documentation of `jax.export` (shape polymorphism).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.convert.onnx.graph import Graph
from jaxrnn.convert.onnx.programs import write_program
from jaxrnn.convert.stablehlo import Parts, by_name, from_names, input_size_of, parts_of
from jaxrnn.core.checks import leading_axes
from jaxrnn.core.types import Params
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.unrolling.scan import gated, masked, readable


def write_loops(graph: Graph, model: Any, params: Params, input_size: int | None = None) -> None:
    """Write a model that has no native nodes.

    Args:
      graph: an empty graph, which says whether the file takes lengths and the carry.
      model: as for `to_onnx`, without noise.
      params: its parameters, in float32.
      input_size: the number of features; None for that of the (first) cell.

    Raises:
      ConversionError: an operation that ONNX does not have, or that is not converted; the message names it.
    """
    parts = parts_of(model)
    time, batch = jax.export.symbolic_shape("time, batch")
    features = () if parts.tokens else (input_size_of(parts.network) if input_size is None else input_size,)
    xs = jax.ShapeDtypeStruct((time, batch, *features), jnp.int32 if parts.tokens else jnp.float32)
    first = "tokens" if parts.tokens else "xs"
    given = {first: xs} | ({"lengths": jax.ShapeDtypeStruct((batch,), jnp.int32)} if graph.lengths else {})
    like = jax.eval_shape(lambda x: parts.network.initial_carry(parts.of_network(params), x.shape[1:2]), xs)
    starts = {_carry_name(name): leaf for name, leaf in by_name(like).items()} if graph.carry else {}

    def program(arrays):
        begin = from_names({name: arrays[_carry_name(name)] for name in by_name(like)}, like) if graph.carry else None
        return _outputs(parts, params, arrays[first], arrays.get("lengths"), begin)

    for name, array in (given | starts).items():
        graph.value("inputs", name, np.int64 if name == "tokens" else array.dtype, array.shape)
    sides = graph.apply("Shape", first), graph.number(np.array([0])), graph.number(np.array([1]))
    graph.sizes = {"time": graph.apply("Gather", *sides[:2]), "batch": graph.apply("Gather", sides[0], sides[2])}
    traced, shapes = jax.make_jaxpr(program, return_shape=True)(given | starts)
    names = sorted(given | starts)  # as JAX orders a dict
    arguments = [graph.apply("Cast", name, to=6) if name == "tokens" else name for name in names]  # int32
    for (name, shape), value in zip(sorted(shapes.items()), write_program(graph, traced, list(arguments)), strict=True):
        if graph.carry or not name.startswith("next_carry"):
            source = value if isinstance(value, str) else graph.number(value)
            graph.node("Identity", [source], [graph.value("outputs", name, shape.dtype, shape.shape)])


def _outputs(parts: Parts, params: Params, xs: Any, lengths: Any, carry: Any) -> dict[str, Any]:
    """Compute the outputs of the file by name, from its inputs."""
    time = xs.shape[0]
    mask = None if lengths is None else jnp.arange(time)[:, None] < lengths
    own, inputs = parts.of_network(params), parts.inputs(params, xs)
    if isinstance(parts.network, (Bidirectional, BidirectionalStack)):
        end, ys = parts.network.apply(own, inputs, carry, mask=mask, run=_run)
    else:
        end, ys = _run(parts.network, own, inputs, carry, mask=mask)
    if parts.per_sequence:
        return {"logits": parts.read(params, _last(ys, mask))}
    ends = {f"next_{_carry_name(name)}": leaf for name, leaf in by_name(end).items()}
    if parts.network_alone:
        return {"ys": ys} | ends
    logits = parts.read(params, ys)
    return {"logits": masked(mask, logits) if parts.zero_padding else logits} | ends


def _run(cell: Any, params: Params, xs: Any, carry: Any = None, *, mask: Any = None, reset: Any = None, reverse=False):
    """Run `unroll` in its plainest form: one scan, after everything that needs no carry."""
    carry = cell.initial_carry(params, leading_axes(xs)[1:]) if carry is None else carry

    def step(carry, z):
        return cell.step(params, carry, z), None

    def body(carry, at_t):
        z, valid = at_t
        (carry, y), _ = gated(step, None, carry, z, valid, None)
        return carry, y

    return lax.scan(body, carry, (cell.project(params, readable(mask, xs)), mask), reverse=reverse)


def _last(ys: Any, mask: Any) -> Any:
    """Return y at the last step of each row, 0 for a row without steps.

    The last step is found by comparing masks, because the number of steps is symbolic.
    """
    valid = jnp.ones(ys.shape[:2], bool) if mask is None else mask
    after = jnp.concatenate([lax.slice_in_dim(valid, 1, ys.shape[0]), jnp.zeros_like(valid[:1])])
    return jnp.where((valid & ~after)[..., None], ys, 0).sum(0)


def _carry_name(name: str) -> str:
    return name if name == "carry" else f"carry.{name}"
