"""Models as StableHLO programs: jax.export writes them, and any later JAX runs them without jaxrnn.

    start(params, x) -> carry                                the initial carry of as many rows as x has
    sequence(params, xs, mask, carry) -> (carry, out)        all steps; time and batch of any size
    step(params, x, carry) -> (carry, out)                   one step, for streams

Each takes and returns dicts of arrays under the dotted names of `save_model`, so a reader needs only JAX and NumPy.
A carry that is one array is {"carry": array}.  A model with one output for a whole sequence has only
`sequence(params, xs, mask) -> out`; a network of two directions has no `step`.

References: the documentation of `jax.export` (shape polymorphism, compatibility, several platforms).
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.convert.layout import ConversionError, check_written, refuse
from jaxrnn.core.noise import quiet
from jaxrnn.core.types import Cell, Params
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, ManyToOne, last_valid
from jaxrnn.training.saving.records import name_leaves
from jaxrnn.trees.classifiers import SequenceClassifier
from jaxrnn.unrolling.backpropagation import unroll_bptt


class Programs(NamedTuple):
    """The programs of a model, as `jax.export.Exported`.

    >>> Programs(sequence=None).step is None  # one output a sequence: no step
    True
    """

    sequence: Any
    """All steps."""
    start: Any = None
    """The initial carry; None for a model of one output a sequence."""
    step: Any = None
    """One step; None if the model has none."""


class Parts(NamedTuple):
    """The parts of a model that are exported."""

    inputs: Callable
    """(params, xs) → the inputs of the network: rows of an embedding, or xs itself."""
    tokens: bool
    """True if xs are tokens."""
    network: Any
    """The cell, or the network of two directions."""
    of_network: Callable
    """params → the parameters of the network."""
    read: Callable
    """(params, ys) → out."""
    per_sequence: bool = False
    """True if out is the output of the last step only."""
    zero_padding: bool = False
    """True if out is 0 on padding."""
    network_alone: bool = False
    """True if out is the output of the network itself."""


def export(
    model: Any,
    params: Params,
    folder: str | os.PathLike,
    *,
    input_size: int | None = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    vjp_order: int = 0,
) -> Programs:
    """Write a model as programs that need JAX but not jaxrnn.

    The folder gets `sequence.stablehlo`, `start.stablehlo`, `step.stablehlo`, `params.npz`, and a `README.md` with the
    lines that load them.

    Args:
      model: any cell, `Bidirectional`, `BidirectionalStack`, `ManyToMany`, `ManyToOne`, `SymbolModel` or
        `SequenceClassifier`.  Noise (`Dropout`) is left out.
      params: its own; the programs take them as an argument.
      folder: the folder to write; created if missing.
      input_size: the number of features; None is `input_size` of the (first) cell.
      platforms: where the programs are to run.
      vjp_order: how often they can be differentiated after they are loaded.

    Returns:
      The programs.

    Raises:
      ConversionError: another kind of model; a cell without `input_size`; a dtype that npz does not have.

    >>> import tempfile, jaxrnn
    >>> cell = jaxrnn.GRU(3, 5)
    >>> params = cell.init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     programs = export(cell, params, folder)
    ...     params = dict(np.load(f"{folder}/params.npz"))
    >>> xs, mask = jnp.ones((7, 2, 3)), jnp.ones((7, 2), bool)
    >>> carry, ys = programs.sequence.call(params, xs, mask, programs.start.call(params, xs[0]))
    >>> ys.shape
    (7, 2, 5)

    References: the documentation of `jax.export`.
    """
    check_written(model, params)
    model, arrays = quiet(model), {}
    for name, leaf in name_leaves(params).items():
        arrays[name] = np.asarray(leaf)
        if arrays[name].dtype.kind not in "fiub":
            raise ConversionError(
                f"`params` must have dtypes of NumPy, got {leaf.dtype} of {name}: cast them to float32."
            )
    programs = _exported(parts_of(model), params, input_size, tuple(platforms))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **arrays)
    for name, program in programs._asdict().items():
        if program is not None:
            (folder / f"{name}.stablehlo").write_bytes(program.serialize(vjp_order=vjp_order))
    (folder / "README.md").write_text(_how_to_load(model, programs))
    return programs


def parts_of(model: Any) -> Parts:
    """Return the parts of a model."""

    def xs_themselves(params, xs):
        return xs

    def embedded(params, tokens):
        return model.embed(params, tokens)

    def read_out(params, ys):
        return model.readout.apply(params.readout, ys)

    def of_cell(params):
        return params.cell

    match model:
        case ManyToMany() | ManyToOne():
            one = isinstance(model, ManyToOne)
            return Parts(xs_themselves, False, model.cell, of_cell, read_out, one, not one)
        case SymbolModel(longest=None):
            return Parts(embedded, True, model.cell, of_cell, read_out)
        case SequenceClassifier():
            return Parts(
                lambda params, tokens: params.embedding[tokens],
                True,
                model.cell,
                of_cell,
                lambda params, ys: ys @ params.readout.v + params.readout.c,
                per_sequence=True,
            )
        case SymbolModel():
            raise refuse("a program", model, "it takes no predicted length: use longest=None.")
    if isinstance(model, (Bidirectional, BidirectionalStack, Cell)):
        return Parts(xs_themselves, False, model, lambda params: params, lambda params, ys: ys, network_alone=True)
    raise refuse("a program", model, "export takes cells, and models of a cell with a read-out.")


def _exported(parts: Parts, params: Params, input_size: int | None, platforms: tuple[str, ...]) -> Programs:
    """Export the programs, for any time and batch."""
    time, batch = jax.export.symbolic_shape("time, batch")
    of_params = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in name_leaves(params).items()}
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(params)))
    features = () if parts.tokens else (input_size_of(parts.network) if input_size is None else input_size,)
    dtype = jnp.int32 if parts.tokens else dtype
    xs, x = (jax.ShapeDtypeStruct((*leading, *features), dtype) for leading in ((time, batch), (batch,)))
    mask = jax.ShapeDtypeStruct((time, batch), bool)
    structure = jax.tree.structure(params)

    def program(function: Callable, *arguments: Any) -> Any:
        def of_dicts(arrays, *rest):
            return function(parts, jax.tree.unflatten(structure, [arrays[name] for name in of_params]), *rest)

        return jax.export.export(jax.jit(of_dicts), platforms=platforms)(of_params, *arguments)

    if parts.per_sequence:
        return Programs(program(_last, xs, mask))
    start = program(_start, x)
    carry = jax.eval_shape(lambda p, x: _start(parts, p, x), params, x)
    like = jax.eval_shape(lambda p: parts.network.initial_carry(parts.of_network(p), ()), params)
    sequence = program(partial(_sequence, like=like), xs, mask, carry)
    if isinstance(parts.network, (Bidirectional, BidirectionalStack)):
        return Programs(sequence, start)
    return Programs(sequence, start, program(partial(_step, like=like), x, carry))


def _run(parts: Parts, params: Params, xs: Any, mask: Any, carry: Any) -> tuple[Any, Any]:
    inputs, own = parts.inputs(params, xs), parts.of_network(params)
    if isinstance(parts.network, (Bidirectional, BidirectionalStack)):
        return parts.network.apply(own, inputs, carry, mask=mask, run=unroll_bptt)
    return unroll_bptt(parts.network, own, inputs, carry, mask=mask)


def _start(parts: Parts, params: Params, x: Any) -> dict[str, Any]:
    rows = x.shape[:1]
    return by_name(parts.network.initial_carry(parts.of_network(params), rows))


def _sequence(parts: Parts, params: Params, xs: Any, mask: Any, carry: dict[str, Any], like: Any) -> tuple[Any, Any]:
    end, ys = _run(parts, params, xs, mask, from_names(carry, like))
    out = parts.read(params, ys)
    return by_name(end), jnp.where(mask[..., None], out, 0) if parts.zero_padding else out


def _last(parts: Parts, params: Params, xs: Any, mask: Any) -> Any:
    _, ys = _run(parts, params, xs, mask, None)
    return parts.read(params, last_valid(ys, mask=mask))


def _step(parts: Parts, params: Params, x: Any, carry: dict[str, Any], like: Any) -> tuple[Any, Any]:
    cell, own = parts.network, parts.of_network(params)
    end, y = cell.step(own, from_names(carry, like), cell.project(own, parts.inputs(params, x)))
    return by_name(end), parts.read(params, y)


def by_name(tree: Any) -> dict[str, Any]:
    """Return the arrays of a carry by their dotted names."""
    return {"carry" if name == "leaf" else name: leaf for name, leaf in name_leaves(tree).items()}


def from_names(carry: dict[str, Any], like: Any) -> Any:
    """Return the carry, given its arrays by name, in any order: JAX sorts the names of a dict."""
    return jax.tree.unflatten(jax.tree.structure(like), [carry[name] for name in by_name(like)])


def input_size_of(network: Any) -> int:
    """Return the size of x, as the network or the first cell inside it states it."""
    match network:
        case Bidirectional():
            return input_size_of(network.forward_cell)
        case BidirectionalStack(layers=(first, *_)):
            return input_size_of(first)
    for inner in (network, getattr(network, "cell", None), *getattr(network, "cells", ())[:1]):
        if hasattr(inner, "input_size"):
            return inner.input_size
    raise ConversionError(f"`input_size` must be given, because {network} does not have it.")


def _how_to_load(model: Any, programs: Programs) -> str:
    """Return the lines that load the programs, in Markdown."""
    lines = ["# Programs of a recurrent network", "", "```python", repr(model), "```", ""]
    lines += ["Run them with JAX alone:", "", "```python", "import jax, numpy as np", ""]
    lines += ['params = dict(np.load("params.npz"))']
    for name, program in programs._asdict().items():
        if program is not None:
            lines += [f'{name} = jax.export.deserialize(open("{name}.stablehlo", "rb").read())']
    if programs.start is None:
        lines += ["out = sequence.call(params, xs, mask)"]
    else:
        lines += ["carry = start.call(params, xs[0])", "carry, out = sequence.call(params, xs, mask, carry)"]
    what = "`xs` is `[time, batch, features]`, or tokens `[time, batch]`; `mask`, `[time, batch]`, is False on padding."
    return "\n".join([*lines, "```", "", what, ""])
