"""Parts whose sizes do not match are rejected when they are combined, and the error has the path to the part."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import (
    ESN,
    GRU,
    LSTM,
    Attention,
    Bidirectional,
    Dropout,
    ManyToMany,
    ManyToOne,
    Readout,
    Seq2Seq,
    Stack,
    SymbolModel,
    unroll,
    unroll_bptt,
)
from jaxrnn.cells.wrappers import DeepInput, DeepOutput
from jaxrnn.core.carry_facts import output_of
from jaxrnn.directions import BidirectionalStack
from jaxrnn.generation import Captioner
from jaxrnn.memory import NTM
from jaxrnn.patterns import Feedback
from jaxrnn.seq2seq import Attending
from jaxrnn.trees import ChildSumTreeLSTM, SequenceClassifier, TreeClassifier

pytestmark = pytest.mark.usefixtures("without_beartype")


def decoder(context, memory=6):
    return SymbolModel(Attending(GRU(4 + context, 8), Attention(8, memory), 7), 5, 4, 8 + memory)


TOO_SMALL = r"`xs` must have trailing size input_size=\d, got shape"
REFUSED = {
    "stack": (
        lambda: Stack((LSTM(3, 8), LSTM(9, 5))),
        rf"`cells\[1\]`, which .*`cells\[0\]`: {TOO_SMALL} \(8,\)",
    ),
    "a stack with noise": (
        lambda: Stack((Dropout(GRU(3, 8), 0.5), GRU(8, 4), Dropout(GRU(9, 5), 0.5))),
        rf"`cells\[2\]`, which reads the output of `cells\[1\]`: {TOO_SMALL} \(4,\)",
    ),
    "embedding": (lambda: SymbolModel(LSTM(3, 8), 5, 4, 8), rf"`cell`, which reads .* features=4: {TOO_SMALL} \(4,\)"),
    "hidden size": (lambda: SymbolModel(LSTM(4, 8), 5, 4, 16), "`hidden_size` must be 8, the size of the output of"),
    "no place for the context": (lambda: decoder(context=0), rf"`cell`, .*: `cell`, .*context_size=6: {TOO_SMALL}"),
    "query": (lambda: Attending(GRU(9, 8), Attention(5, 6), 7), "`attention.query_size` must be 8, the size of"),
    "encoder": (
        lambda: Seq2Seq(LSTM(3, 8), SymbolModel(LSTM(4, 8), 5, 4, 8), 10, 4),
        rf"`encoder`, which reads an embedding of size source_features=4: {TOO_SMALL} \(4,\)",
    ),
    "memory": (
        lambda: Seq2Seq(Bidirectional(LSTM(4, 8), LSTM(4, 8)), decoder(context=6), 10, 4),
        "`decoder.cell`, which reads the output of `encoder`: `attention.memory_size` must be 16, the size of",
    ),
    "read-out": (lambda: ManyToMany(LSTM(4, 8), Readout(9, 4)), r"`readout`, which reads .*`cell`: `ys`.* \(8,\)"),
    "last read-out": (lambda: ManyToOne(GRU(4, 8), Readout(9, 4)), "`readout`, which reads the output of `cell`: `ys`"),
    "fed back": (lambda: Feedback(LSTM(8, 8), Readout(9, 4)), "`readout`, which reads the output of `cell`: `ys`"),
    "reservoir": (lambda: ESN(GRU(4, 8), Readout(9, 4)), "`readout`, which reads the output of `cell`: `ys`"),
    "MLP below": (lambda: DeepInput(LSTM(4, 8), (2, 3)), rf"`cell`, which reads .* MLP.*: {TOO_SMALL} \(3,\)"),
    "MLP above": (lambda: DeepOutput(LSTM(4, 8), (2, 3)), r"`sizes\[0\]` must be 8, the size of the output of `cell`"),
    "sum": (lambda: Bidirectional(GRU(4, 8), GRU(4, 7), "sum"), '`merge` must be "concat" for .* several sizes'),
    "deep, both ways": (
        lambda: BidirectionalStack((Bidirectional(GRU(4, 8), GRU(4, 8)), Bidirectional(GRU(16, 8), GRU(8, 8)))),
        rf"`layers\[1\]`, which reads the output of `layers\[0\]`: `backward_cell`, .*: {TOO_SMALL} \(16,\)",
    ),
    "tree": (lambda: TreeClassifier(ChildSumTreeLSTM(4, 8), 10, 5, 8, 3), rf"`cell`, .* features=5: {TOO_SMALL}"),
    "root": (lambda: TreeClassifier(ChildSumTreeLSTM(4, 8), 10, 4, 9, 3), "`hidden_size` must be 8, the size of"),
    "leaves": (lambda: SequenceClassifier(LSTM(4, 8), 10, 4, 9, 3), "`hidden_size` must be 8, the size of"),
    "controller": (lambda: NTM(LSTM(3, 8), 3, 10, 4), "`controller`, which reads .*width = 7: `xs` .*input_size=3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parts_that_do_not_fit_are_refused_with_their_path(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Captioner(LSTM(4, 8), 10), "`model` must be a SymbolModel"),
        (lambda: Seq2Seq(LSTM(4, 8), LSTM(4, 8), 10, 4), "`decoder` must be a SymbolModel"),
        (lambda: Attending(GRU(9, 8), GRU(9, 8), 7), "`attention` must be an Attention"),
        (lambda: TreeClassifier(LSTM(4, 8), 10, 4, 8, 3), "`cell` must be a tree cell"),
        (lambda: SequenceClassifier(ChildSumTreeLSTM(4, 8), 10, 4, 8, 3), "`cell` must be a cell"),
    ],
)
def test_parts_of_another_kind_are_named(make, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


def test_cells_that_read_both_ways_name_the_one_that_does_not_fit():
    network = Bidirectional(GRU(4, 5), GRU(3, 5))
    with pytest.raises(ValueError, match=rf"^`backward_cell`, which reads `xs`: {TOO_SMALL} \(7, 2, 4\)"):
        network.apply(network.init(jax.random.key(0)), jnp.ones((7, 2, 4)))


class OwnParams(NamedTuple):
    """One matrix."""

    w: jax.Array


@jax.tree_util.register_static
@dataclass(frozen=True)
class Own:
    """A user's cell, which states nothing about its carry and checks no sizes."""

    input_size: int
    size: int

    def init(self, key):
        return OwnParams(jax.random.normal(key, (self.input_size, self.size)))

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros((*batch_shape, self.size))

    def project(self, params, xs):
        return xs @ params.w

    def step(self, params, carry, z):
        h = jnp.tanh(carry + z)
        return h, 2 * h


@pytest.mark.parametrize("run", [unroll, unroll_bptt])
def test_a_cell_of_ones_own_is_named_when_it_runs_and_earlier_where_its_input_is_known(run):
    stack = Stack((Own(2, 3), GRU(4, 5)))  # what the lowest cell outputs is not known yet
    with pytest.raises(ValueError, match=rf"^`cells\[1\]`, which reads the output of `cells\[0\]`: {TOO_SMALL}"):
        run(stack, stack.init(jax.random.key(0)), jnp.ones((4, 2)))
    with pytest.raises(TypeError, match=r"^`cells\[1\]`, which reads the output of `cells\[0\]`: "):
        Stack((GRU(2, 3), Own(4, 5)))
    assert output_of(Own(2, 3)) is None
    assert output_of(Own(2, 3), input_size=2).shape == (3,)


def test_a_cell_that_can_only_run_over_devices_can_be_put_together():
    @jax.tree_util.register_static
    @dataclass(frozen=True)
    class Spread(Own):
        """It needs an axis of devices."""

        def project(self, params, xs):
            return jax.lax.psum(xs @ params.w, "devices")

    Stack((GRU(2, 3), Spread(3, 5)))
