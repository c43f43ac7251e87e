"""JAX's arithmetic in the operators of ONNX: element by element, sums over axes, and products of matrices.

Most primitives have an operator of the same meaning.  The others are composed so that small numbers keep their digits,
which the cells rely on:

    log1p(x) = x log(u) / (u − 1),  u = 1 + x,  and x where u = 1                (Kahan)
    expm1(x) = 2 tanh(x/2) / (1 − tanh(x/2))  for |x| < ½,  and  eˣ − 1 elsewhere

References: the ONNX operator specification; the documentation of `jax.lax`; Goldberg 1991, "What every computer
scientist should know about floating-point arithmetic", theorem 4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.convert.layout import ConversionError
from jaxrnn.convert.onnx.graph import Graph

Value = str | np.ndarray
"""The name of a value that the graph computes, or numbers that are known when the graph is written."""


class Equation(NamedTuple):
    """One line of a traced program."""

    name: str
    """The primitive."""
    params: dict[str, Any]
    """Its options."""
    given: list[Value]
    """The arguments."""
    ins: list[Any]
    """The shapes and dtypes of the arguments."""
    outs: list[Any]
    """The shapes and dtypes of the results."""

    def names(self, graph: Graph) -> list[str]:
        """Return the arguments as values of the graph."""
        return [value if isinstance(value, str) else graph.number(value) for value in self.given]


Operator = Callable[[Graph, Equation], list[str]]

_SAME = {
    **{"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "max": "Max", "min": "Min", "pow": "Pow"},
    **{"exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid", "sqrt": "Sqrt", "abs": "Abs", "sign": "Sign"},
    **{"sin": "Sin", "cos": "Cos", "floor": "Floor", "ceil": "Ceil", "erf": "Erf", "eq": "Equal", "lt": "Less"},
    **{"le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "and": "And", "or": "Or", "not": "Not"},
    **{"xor": "Xor", "stop_gradient": "Identity", "copy": "Identity"},
}
"""Operators of the same meaning."""
_REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_prod": "ReduceProd"}


def _same(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply(_SAME[equation.name], *equation.names(graph))]


def _logic(graph: Graph, equation: Equation) -> list[str]:
    if equation.ins[0].dtype != np.bool_:
        raise ConversionError(f"`model` must apply {equation.name} only to booleans to be written as ONNX.")
    return _same(graph, equation)


def _not_equal(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Not", graph.apply("Equal", *equation.names(graph)))]


def _square(graph: Graph, equation: Equation) -> list[str]:
    (x,) = equation.names(graph)
    return [graph.apply("Mul", x, x)]


def _integer_power(graph: Graph, equation: Equation) -> list[str]:
    if equation.params["y"] == 2:
        return _square(graph, equation)
    return [graph.apply("Pow", *equation.names(graph), _number(graph, equation, equation.params["y"]))]


def _power_of_two(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Pow", _number(graph, equation, 2), *equation.names(graph))]


def _rsqrt(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Reciprocal", graph.apply("Sqrt", *equation.names(graph)))]


def _log1p(graph: Graph, equation: Equation) -> list[str]:
    (x,), one = equation.names(graph), _number(graph, equation, 1)
    u = graph.apply("Add", x, one)
    ratio = graph.apply("Div", graph.apply("Mul", x, graph.apply("Log", u)), graph.apply("Sub", u, one))
    return [graph.apply("Where", graph.apply("Equal", u, one), x, ratio)]


def _expm1(graph: Graph, equation: Equation) -> list[str]:
    (x,), one, half = equation.names(graph), _number(graph, equation, 1), _number(graph, equation, 0.5)
    tanh = graph.apply("Tanh", graph.apply("Mul", x, half))
    near = graph.apply("Div", graph.apply("Add", tanh, tanh), graph.apply("Sub", one, tanh))
    far = graph.apply("Sub", graph.apply("Exp", x), one)
    return [graph.apply("Where", graph.apply("Less", graph.apply("Abs", x), half), near, far)]


def _remainder(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Mod", *equation.names(graph), fmod=1)]  # of the dividend's sign, as in C


def _clamp(graph: Graph, equation: Equation) -> list[str]:
    least, x, most = equation.names(graph)
    return [graph.apply("Min", graph.apply("Max", x, least), most)]


def _is_finite(graph: Graph, equation: Equation) -> list[str]:
    (x,) = equation.names(graph)
    return [graph.apply("Not", graph.apply("Or", graph.apply("IsInf", x), graph.apply("IsNaN", x)))]


def _select(graph: Graph, equation: Equation) -> list[str]:
    which, *cases = equation.names(graph)
    if equation.ins[0].dtype != np.bool_:
        raise ConversionError("`model` must select by booleans, not by numbers, to be written as ONNX.")
    return [graph.apply("Where", which, cases[1], cases[0])]


def _cast(graph: Graph, equation: Equation) -> list[str]:
    from onnx import helper

    to = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    return [graph.apply("Cast", *equation.names(graph), to=to)]


def _reduce(graph: Graph, equation: Equation) -> list[str]:
    axes = [int(axis) for axis in equation.params["axes"]]
    if equation.name == "reduce_sum":  # whose axes are an input since opset 13
        return [graph.apply("ReduceSum", *equation.names(graph), graph.number(np.array(axes, np.int64)), keepdims=0)]
    return [graph.apply(_REDUCTIONS[equation.name], *equation.names(graph), axes=axes, keepdims=0)]


def _reduce_logic(graph: Graph, equation: Equation) -> list[str]:
    """Convert `all` and `any`, as the minimum and the maximum of 0 and 1."""
    numbers = graph.apply("Cast", *equation.names(graph), to=6)  # int32
    kind = "ReduceMin" if equation.name == "reduce_and" else "ReduceMax"
    reduced = graph.apply(kind, numbers, axes=[int(axis) for axis in equation.params["axes"]], keepdims=0)
    return [graph.apply("Cast", reduced, to=9)]  # bool


def _cumulative_sum(graph: Graph, equation: Equation) -> list[str]:
    axis = graph.number(np.array(equation.params["axis"], np.int64))
    return [graph.apply("CumSum", *equation.names(graph), axis, reverse=int(equation.params["reverse"]))]


def _product(graph: Graph, equation: Equation) -> list[str]:
    """Convert a product: to `MatMul` if a matrix is multiplied from the right, else to `Einsum`."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    sizes = [len(each.shape) for each in equation.ins]
    if not left_batch and tuple(left) == (sizes[0] - 1,) and sizes[1] == 2 and len(right) == 1:
        x, w = equation.given
        if right[0] == 1 and not isinstance(w, str):
            return _product_of(graph, x, w.T)
        if right[0] == 0:
            return _product_of(graph, x, w)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    of_left = [next(letters) for _ in range(sizes[0])]
    of_right = [next(letters) for _ in range(sizes[1])]
    for one, other in zip((*left_batch, *left), (*right_batch, *right), strict=True):
        of_right[other] = of_left[one]
    out = [of_left[axis] for axis in left_batch]
    out += [letter for axis, letter in enumerate(of_left) if axis not in (*left_batch, *left)]
    out += [letter for axis, letter in enumerate(of_right) if axis not in (*right_batch, *right)]
    terms = f"{''.join(of_left)},{''.join(of_right)}->{''.join(out)}"
    return [graph.apply("Einsum", *equation.names(graph), equation=terms)]


def _product_of(graph: Graph, x: Value, w: Value) -> list[str]:
    names = [value if isinstance(value, str) else graph.number(value) for value in (x, w)]
    return [graph.apply("MatMul", *names)]


def _number(graph: Graph, equation: Equation, number: float) -> str:
    """Return a number in the dtype of the equation's argument."""
    return graph.number(np.asarray(number, equation.ins[0].dtype))


ARITHMETIC: dict[str, Operator] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(("and", "or", "not", "xor"), _logic),
    **dict.fromkeys(("reduce_sum", *_REDUCTIONS), _reduce),
    **dict.fromkeys(("reduce_and", "reduce_or"), _reduce_logic),
    "ne": _not_equal,
    "square": _square,
    "integer_pow": _integer_power,
    "exp2": _power_of_two,
    "rsqrt": _rsqrt,
    "log1p": _log1p,
    "expm1": _expm1,
    "rem": _remainder,
    "clamp": _clamp,
    "is_finite": _is_finite,
    "select_n": _select,
    "convert_element_type": _cast,
    "cumsum": _cumulative_sum,
    "dot_general": _product,
}
"""By the names of JAX's primitives."""
