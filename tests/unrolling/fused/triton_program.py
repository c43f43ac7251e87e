"""Run the Triton program that a GPU would get in NumPy, op by op, and check every load and store.

A Pallas kernel is lowered for a GPU as a custom call that contains the program in Triton's language; `run` reads it
there.  It knows only the ops that the kernels of this library use; any other op is an error.
"""

import operator
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np
from jax.interpreters.mlir import make_ir_context
from jaxlib.mlir import ir
from jaxlib.triton import dialect

DTYPES = {
    "f32": np.float32,
    "bf16": ml_dtypes.bfloat16,
    "i1": np.bool_,
    "i8": np.int8,
    "i32": np.int32,
    "i64": np.int64,
}
ELEMENTWISE = {
    "arith.addf": operator.add,
    "arith.addi": operator.add,
    "arith.subf": operator.sub,
    "arith.subi": operator.sub,
    "arith.mulf": operator.mul,
    "arith.muli": operator.mul,
    "arith.andi": operator.and_,
    "arith.minsi": np.minimum,
    "arith.select": np.where,
}
CASTS = ("arith.extf", "arith.truncf", "arith.extsi", "arith.trunci", "arith.uitofp")
COMPARISONS = {0: np.equal, 1: np.not_equal, 2: np.less}


def run(function, *args):
    """Return the results of `function(*args)`, which is one `pallas_call`.

    Raises:
      AssertionError: a load or store outside its array, a number of a result written twice or never, or an argument
        written.
    """
    lowered = jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",))
    (call,) = (op for op in _operations(lowered.compiler_ir("stablehlo")) if op.name == "stablehlo.custom_call")
    config = ir.DictAttr(call.attributes["mhlo.backend_config"])
    given = [np.array(leaf).ravel() for leaf in jax.tree.leaves(args)]
    outs, structure = jax.tree.flatten(lowered.out_info)
    made = [np.full(int(np.prod(out.shape)), np.nan, out.dtype) for out in outs]
    arrays = [array.copy() for array in given] + made
    written: set[tuple[int, int]] = set()
    with _context():
        module = ir.Module.parse(ir.StringAttr(config["ir"]).value_bytes)
        (program,) = module.body.operations
        for instance in range(ir.IntegerAttr(config["grid_x"]).value):
            _Instance(arrays, instance, written).run(program.operation)
    assert all(np.array_equal(a, b) for a, b in zip(given, arrays, strict=False)), "an argument was written"
    assert len(written) == sum(out.size for out in made), "a number of a result was never written"
    return jax.tree.unflatten(structure, [array.reshape(out.shape) for array, out in zip(made, outs, strict=True)])


class _Pointer(NamedTuple):
    """Into array number `array`, one offset for each element."""

    array: int
    offsets: np.ndarray


class _Instance(NamedTuple):
    """One program instance."""

    arrays: list
    number: int
    written: set

    def run(self, program) -> None:
        block = program.regions[0].blocks[0]
        self.block(block, {arg: _Pointer(i, np.int64(0)) for i, arg in enumerate(block.arguments)})

    def block(self, block, values: dict):
        """Run the ops of a block, and return the values that it yields."""
        for op in (op.operation for op in block.operations):
            operands = [values[operand] for operand in op.operands]
            if op.name in ("scf.yield", "tt.return"):
                return operands
            results = self.loop(op, operands, values) if op.name == "scf.for" else [self.op(op, operands)]
            values.update(zip(op.results, results, strict=False))  # a store gives nothing

    def loop(self, op, operands, values):
        first, end, step, *state = operands
        body = op.regions[0].blocks[0]
        for i in range(int(first), int(end), int(step)):
            values.update(zip(body.arguments, [type(first)(i), *state], strict=True))
            state = self.block(body, values)
        return state

    def op(self, op, x):
        name, (shape, dtype) = op.name, _type(op)
        if name in ELEMENTWISE:
            return ELEMENTWISE[name](*x)
        if name in CASTS:
            return np.asarray(x[0]).astype(dtype)[()]
        if name == "arith.cmpi":
            return COMPARISONS[ir.IntegerAttr(op.attributes["predicate"]).value](*x)
        if name in ("tt.splat", "tt.broadcast"):
            if isinstance(x[0], _Pointer):
                return x[0]._replace(offsets=np.broadcast_to(x[0].offsets, shape))
            return np.broadcast_to(x[0], shape)
        return getattr(self, name.split(".")[1])(op, x, shape, dtype)

    def constant(self, op, x, shape, dtype):
        value = op.attributes["value"]
        value = ir.DenseElementsAttr(value).get_splat_value() if shape else value
        return np.full(shape, value.value, dtype)[()]

    def get_program_id(self, op, x, shape, dtype):
        return np.int32(self.number)

    def make_range(self, op, x, shape, dtype):
        return np.arange(*(ir.IntegerAttr(op.attributes[end]).value for end in ("start", "end")), dtype=dtype)

    def expand_dims(self, op, x, shape, dtype):
        return np.reshape(x[0], shape)

    def trans(self, op, x, shape, dtype):
        return np.transpose(x[0], tuple(ir.DenseI32ArrayAttr(op.attributes["order"])))

    def dot(self, op, x, shape, dtype):
        assert min(*x[0].shape, *x[1].shape) >= 16  # the least that a tensor core multiplies
        return np.float32(x[0]) @ np.float32(x[1]) + x[2]

    def extern_elementwise(self, op, x, shape, dtype):
        assert ir.StringAttr(op.attributes["symbol"]).value == "__nv_tanhf"
        return np.tanh(x[0])

    def addptr(self, op, x, shape, dtype):
        return x[0]._replace(offsets=x[0].offsets + np.asarray(x[1], np.int64))

    def load(self, op, x, shape, dtype):
        (array, offsets), mask, other = x
        self.check(array, offsets[mask])
        return np.where(mask, self.arrays[array][np.where(mask, offsets, 0)], other).astype(dtype)

    def store(self, op, x, shape, dtype):
        (array, offsets), values, mask = x
        self.check(array, offsets[mask])
        for offset in offsets[mask].tolist():
            assert (array, offset) not in self.written, "a number was written twice"
            self.written.add((array, offset))
        self.arrays[array][offsets[mask]] = values[mask]

    def check(self, array, offsets):
        assert np.all((offsets >= 0) & (offsets < self.arrays[array].size)), "an access is outside its array"


def _operations(op):
    """Every op inside one."""
    for region in op.operation.regions:
        for inner in (inner.operation for block in region.blocks for inner in block.operations):
            yield inner
            yield from _operations(inner)


def _type(op):
    """Shape and dtype of an op's result; the dtype None where it is a pointer, both None where there is no result."""
    if not len(op.results):
        return None, None
    kind = op.results[0].type
    if not isinstance(kind, ir.RankedTensorType):
        return (), DTYPES.get(str(kind))
    return tuple(kind.shape), DTYPES.get(str(kind.element_type))


def _context() -> ir.Context:
    context = make_ir_context()
    dialect.register_dialect(context)
    context.load_all_available_dialects()
    return context
