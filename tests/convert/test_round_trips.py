"""Our parameters to another library's arrays and back, without that library: bit for bit where nothing is summed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Elman, Stack, convert
from jaxrnn.cells import ProjectedLSTM
from jaxrnn.directions import BidirectionalStack
from tests.random_params import random_params

RNN, LONG, AFTER, BEFORE = Elman(3, 5), LSTM(3, 5), GRU(3, 5, "after"), GRU(3, 5)
SHORT = ProjectedLSTM(3, 5, 2)
STACK = Stack((LSTM(3, 5), LSTM(5, 5)))
DEEP = BidirectionalStack((Bidirectional(AFTER, AFTER), Bidirectional(GRU(10, 5, "after"), GRU(10, 5, "after"))))
BOTH = Bidirectional(SHORT, SHORT)


def bits(tree):
    return [(np.asarray(leaf).dtype, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def float32_params(cell):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), random_params(cell, 0))


def assert_exact(cell, params, back):
    assert back[0] == cell
    assert jax.tree.structure(back[1]) == jax.tree.structure(params)
    assert bits(back[1]) == bits(params)


@pytest.mark.parametrize("cell", [RNN, Elman(3, 5, "relu"), LONG, SHORT, AFTER, STACK, BOTH, DEEP], ids=repr)
def test_torch_and_back(cell):
    params = float32_params(cell)
    name = "relu" if cell == Elman(3, 5, "relu") else None
    assert_exact(cell, params, convert.from_torch(convert.to_torch(cell, params), nonlinearity=name))


@pytest.mark.parametrize("cell", [RNN, LONG, AFTER], ids=repr)
def test_a_cell_of_torch_and_back(cell):
    params = float32_params(cell)
    assert_exact(cell, params, convert.from_torch(convert.to_torch_cell(cell, params)))


@pytest.mark.parametrize("cell", [RNN, LONG, AFTER], ids=repr)
def test_linen_and_back(cell):
    params = float32_params(cell)
    assert_exact(cell, params, convert.from_flax(convert.to_flax(cell, params)))
    wrapped = {"params": {"cell": convert.to_flax(cell, params)["params"]}}
    assert_exact(cell, params, convert.from_flax(wrapped))


@pytest.mark.parametrize("cell", [RNN, LONG, AFTER], ids=repr)
def test_nnx_and_back(cell):
    params = float32_params(cell)
    if cell == AFTER:
        with pytest.raises(convert.ConversionError, match=r"b_n.*must be 0 for nnx\.GRUCell.*to_flax"):
            convert.to_nnx(cell, params)
        params = params._replace(b_n=jnp.zeros(5, jnp.float32))
    assert_exact(cell, params, convert.from_nnx(convert.to_nnx(cell, params)))
    if cell == LONG:
        assert_exact(cell, params, convert.from_nnx(convert.to_nnx_optimized(cell, params)))


@pytest.mark.parametrize("cell", [Elman(3, 5, "relu"), BEFORE], ids=repr)
def test_haiku_and_back(cell):
    params = float32_params(cell)
    assert_exact(cell, params, convert.from_haiku(convert.to_haiku(cell, params)))
    one_of_two = convert.to_haiku(cell, params, name="net/~/a") | convert.to_haiku(cell, params, name="b")
    assert_exact(cell, params, convert.from_haiku(one_of_two, name="net/~/a"))


def test_the_forget_bias_that_haiku_adds_is_taken_off_and_put_on():
    params = float32_params(LONG)
    written = convert.to_haiku(LONG, params)
    _, back = convert.from_haiku(written)
    np.testing.assert_allclose(back.b, params.b, atol=1e-7)
    assert bits(back[:2]) == bits(params[:2])
    np.testing.assert_array_equal(written["lstm/linear"]["b"][10:15], params.b[5:10] - 1)


@pytest.mark.parametrize(
    ("cell", "writer", "why"),
    [
        (BEFORE, convert.to_torch, "after the product"),
        (LSTM(3, 5, "current"), convert.to_torch, "no peepholes"),
        (Elman(3, 5, "identity"), convert.to_torch, "tanh or relu"),
        (Bidirectional(RNN, RNN, "sum"), convert.to_torch, "concat"),
        (Stack((LSTM(3, 5), LSTM(5, 4))), convert.to_torch, "one kind and size"),
        (STACK, convert.to_torch_cell, "one layer and one direction"),
        (LSTM(3, 5, "previous"), convert.to_flax, "no peepholes"),
        (BEFORE, convert.to_flax, "after the product"),
        (SHORT, convert.to_nnx, "SimpleCell, LSTMCell and GRUCell"),
        (AFTER, convert.to_nnx_optimized, "is an LSTM"),
        (AFTER, convert.to_haiku, "before the product"),
        (RNN, convert.to_haiku, "relu"),
        (SHORT, convert.to_keras, "SimpleRNN, LSTM and GRU"),
        (LSTM(3, 5, "current"), convert.to_keras, "no peepholes"),
        (RNN, convert.to_reservoirpy, "a Reservoir"),
    ],
)
def test_a_cell_that_the_other_side_does_not_have_is_refused(cell, writer, why, without_beartype):
    with pytest.raises(convert.ConversionError, match=why):
        writer(cell, random_params(cell, 0))


def test_a_bias_where_there_is_to_be_none_is_refused():
    params = random_params(LONG, 0)
    with pytest.raises(convert.ConversionError, match="must be 0 for a module with bias=False"):
        convert.to_torch(LONG, params, bias=False)
    without = params._replace(b=jnp.zeros_like(params.b))
    assert set(convert.to_torch(LONG, without, bias=False)) == {"weight_ih_l0", "weight_hh_l0"}
    assert_exact(LONG, without, convert.from_torch(convert.to_torch(LONG, without, bias=False)))


def changed(state_dict, **changes):
    kept = {name: array for name, array in state_dict.items() if name not in changes}
    return kept | {name: array for name, array in changes.items() if array is not None}


STATE = convert.to_torch(STACK, random_params(STACK, 0))


@pytest.mark.parametrize(
    ("state_dict", "why"),
    [
        ({}, "must begin some name"),
        (changed(STATE, weight_hh_l0=None), "must hold 'weight_hh_l0'"),
        (changed(STATE, weight_hh_l1=None), "lacks 'weight_hh_l1'"),
        (changed(STATE, bias_hh_l1=None), "lacks 'bias_hh_l1'"),
        (changed(STATE, weight_hr_l1=np.ones((2, 5))), "has 'weight_hr_l1'"),
        (changed(STATE, extra=np.ones(3)), "has 'extra'"),
        (changed(STATE, weight_ih_l1=np.ones((20, 4))), r"'weight_ih_l1'\]` must have shape \(20, 5\), got \(20, 4\)"),
        (
            changed(STATE, weight_ih_l0=np.ones((10, 3))),
            r"3 \(GRU\) or 4 \(LSTM\) gates of 5 units.*size 10",
        ),
        (changed(STATE, weight_ih_l0=np.ones(20)), "must have 2 axes"),
        (changed(STATE, bias_ih_l0=np.ones(20, int)), "must be a floating array, got int64"),
        (changed(STATE, bias_ih_l0=object()), "must be a floating array, got object"),
    ],
)
def test_a_state_dict_that_is_none_says_why(state_dict, why):
    with pytest.raises(convert.ConversionError, match=why):
        convert.from_torch(state_dict)


def test_an_activation_that_is_unknown_or_out_of_place_is_named():
    state_dict = convert.to_torch(RNN, random_params(RNN, 0))
    with pytest.raises(convert.ConversionError, match=r"`nonlinearity` must be one of 'tanh', 'relu'.*got 'gelu'"):
        convert.from_torch(state_dict, nonlinearity="gelu")
    with pytest.raises(convert.ConversionError, match="`nonlinearity` must be left out"):
        convert.from_torch(STATE, nonlinearity="tanh")
    with pytest.raises(convert.ConversionError, match="'gelu'"):
        convert.from_flax(convert.to_flax(RNN, random_params(RNN, 0)), activation="gelu")


def test_a_prefix_reads_one_module_of_a_larger_one():
    larger = {f"encoder.rnn.{name}": array for name, array in STATE.items()}
    larger |= {"out.weight": np.ones((2, 5), "float32"), "out.bias": np.arange(2.0, dtype="float32")}
    assert convert.from_torch(larger, prefix="encoder.rnn.")[0] == STACK
    readout, params = convert.readout_from_torch(larger, prefix="out.")
    assert bits(convert.readout_to_torch(params)) == bits({"weight": larger["out.weight"], "bias": larger["out.bias"]})
    assert (readout.input_size, readout.output_size) == (5, 2)
    with pytest.raises(convert.ConversionError, match="must begin some name"):
        convert.from_torch(larger, prefix="decoder.")


@pytest.mark.parametrize(
    ("reader", "tree", "why"),
    [
        (convert.from_flax, {"params": {}}, "must hold 'ir.kernel', got the names none"),
        (convert.from_flax, {"i": {"kernel": np.ones((3, 5))}, "h": {"kernel": np.ones((5, 5))}}, "lacks 'i.bias'"),
        (convert.from_nnx, {"dense_i": {"kernel": np.ones((3, 5))}}, "must hold 'dense_h.kernel'"),
        (convert.from_haiku, {"gru": {"w_i": np.ones((3, 15)), "w_h": np.ones((5, 15))}}, "lacks 'b'"),
        (convert.from_haiku, {"a": {"w": np.ones(3)}, "b": {"w": np.ones(3)}}, "which of the modules is meant: a, b"),
        (convert.from_haiku, {"l/linear": {"w": np.ones((4, 20)), "b": np.ones(20)}}, "more than 5 rows"),
    ],
)
def test_a_tree_that_is_none_says_why(reader, tree, why):
    with pytest.raises(convert.ConversionError, match=why):
        reader(tree)


@pytest.mark.parametrize("reader", [convert.from_torch, convert.from_flax, convert.from_nnx, convert.from_haiku])
def test_a_module_in_place_of_its_arrays_is_told_what_to_take(reader, without_beartype):
    with pytest.raises(convert.ConversionError, match="must be a dict of arrays, got object: use "):
        reader(object())


@pytest.mark.parametrize(
    "writer", [convert.to_torch, convert.to_flax, convert.to_nnx, convert.to_haiku, convert.to_keras]
)
def test_what_is_no_cell_is_refused(writer):
    for cell in ("LSTM", LSTM, None):
        with pytest.raises(convert.ConversionError, match="`cell` must be a cell or a network of cells, got"):
            writer(cell, float32_params(LONG))


def test_arrays_of_any_memory_order_and_byte_order_are_read():
    state_dict = convert.to_torch(LONG, float32_params(LONG))
    strange = {name: np.asfortranarray(array).astype(">f4") for name, array in state_dict.items()}
    strange["weight_ih_l0"] = np.repeat(strange["weight_ih_l0"], 2, axis=0)[::2]
    assert bits(convert.from_torch(strange)[1]) == bits(convert.from_torch(state_dict)[1])


def test_what_is_written_is_the_other_library_s_to_change():
    for array in convert.to_torch(STACK, random_params(STACK, 0)).values():
        assert array.flags.writeable and array.flags.c_contiguous
