"""Conversion of a traced program, a jaxpr, to ONNX nodes.

    { lambda ; w:f32[5,5]  h:f32[batch,5] z:f32[batch,5]. let         MatMul(h, w) ┐
        a:f32[batch,5] = dot_general h w                        →     Add(z, ·) ───┤
        b:f32[batch,5] = add z a                                      Tanh(·)
        c:f32[batch,5] = tanh b in (c,) }

One equation becomes one node or a few.  Values that depend only on parameters are computed during the conversion and
written as numbers.  Functions inside the program are inlined.  `lax.scan` becomes a `Scan`: its carry is the state, and
it reads the values that it closes over from the surrounding graph.

References: the documentation of jaxprs, https://docs.jax.dev/en/latest/jaxpr.html; the ONNX operator specification,
Scan.
"""

from typing import Any

import numpy as np

from jaxrnn.convert.layout import ConversionError
from jaxrnn.convert.onnx.arithmetic import ARITHMETIC, Equation, Value
from jaxrnn.convert.onnx.graph import Graph, is_known
from jaxrnn.convert.onnx.layouts import LAYOUTS

_OPERATORS = ARITHMETIC | LAYOUTS
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""The parameters under which a primitive that only calls a function stores that function."""
_LOOPS = ("scan", "while", "cond")


def write_program(graph: Graph, program: Any, arguments: list[Value]) -> list[Value]:
    """Write a program into a graph.

    Args:
      graph: the graph to which nodes are added.
      program: a closed jaxpr.
      arguments: the names of its arguments, or numbers.

    Returns:
      The names of its results, or numbers.

    Raises:
      ConversionError: a primitive that cannot be converted; the message names it.

    >>> import jax
    >>> graph = Graph()
    >>> write_program(graph, jax.make_jaxpr(lambda x: 2 * jax.numpy.tanh(x))(1.0), ["x"])   # doctest: +SKIP
    ['mul_3']
    """
    from jax.extend.core import Literal  # here, because it imports Pallas

    known = dict(zip(program.jaxpr.constvars, map(np.asarray, program.consts), strict=True))
    values: dict[Any, Value] = known | dict(zip(program.jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, Literal):
            return np.asarray(atom.val, getattr(atom.aval, "dtype", None))
        return values[atom]

    for line in program.jaxpr.eqns:
        given = [read(atom) for atom in line.invars]
        values |= zip(line.outvars, _write_equation(graph, line, given), strict=True)
    return [read(atom) for atom in program.jaxpr.outvars]


def _write_equation(graph: Graph, line: Any, given: list[Value]) -> list[Value]:
    from jax.extend.core import ClosedJaxpr  # here, because it imports Pallas

    name = line.primitive.name
    inner = next((line.params[key] for key in _INNER if key in line.params), None)
    if inner is not None and name not in _LOOPS:
        closed = inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ())
        return write_program(graph, closed, given)
    if all(isinstance(value, np.ndarray) for value in given) and _is_static(line):
        return _computed(line, given)
    if name == "scan":
        return _write_scan(graph, line, given)
    if name not in _OPERATORS:
        raise ConversionError(
            f"`model` must consist of operations that ONNX has, got {name}; convert.export writes any cell as "
            "StableHLO."
        )
    avals = [[atom.aval for atom in side] for side in (line.invars, line.outvars)]
    return list(_OPERATORS[name](graph, Equation(name, line.params, given, *avals)))


def _is_static(line: Any) -> bool:
    """Return whether the sizes of an equation's results are numbers."""
    return all(is_known(size) for atom in line.outvars for size in atom.aval.shape)


def _computed(line: Any, given: list[Value]) -> list[Value]:
    """Compute the results of an equation whose arguments are numbers."""
    results = line.primitive.bind(*given, **line.params)
    return [np.asarray(result) for result in (results if line.primitive.multiple_results else [results])]


def _write_scan(graph: Graph, line: Any, given: list[Value]) -> list[Value]:
    """Write a loop over the first axis, with the carry as its state."""
    count, carried = line.params["num_consts"], line.params["num_carry"]
    constants, moving = given[:count], given[count:]
    read = line.invars[count + carried :]
    if not read:
        raise ConversionError("`model` must loop over an array to be written as ONNX, got a scan without arrays.")
    names = [value if isinstance(value, str) else graph.number(value) for value in moving]
    body, step = Graph(graph), line.params["jaxpr"]
    inputs: list[Value] = [
        body.value("inputs", graph.fresh("state" if n < carried else "at_t"), atom.aval.dtype, atom.aval.shape)
        for n, atom in enumerate(step.jaxpr.invars[count:])
    ]
    results = write_program(body, step, [*constants, *inputs])
    for value, atom in zip(results, step.jaxpr.outvars, strict=True):
        source = value if isinstance(value, str) else graph.number(value)
        out = body.value("outputs", graph.fresh("next"), atom.aval.dtype, atom.aval.shape)
        body.node("Identity", [source], [out])
    outputs = [graph.fresh("scanned") for _ in line.outvars]
    order = int(line.params["reverse"])
    directions = {"scan_input_directions": [order] * len(read)}
    directions |= {"scan_output_directions": [order] * (len(outputs) - carried)} if len(outputs) > carried else {}
    graph.node("Scan", names, outputs, body=body.body(graph.fresh("step")), num_scan_inputs=len(read), **directions)
    return list(outputs)
