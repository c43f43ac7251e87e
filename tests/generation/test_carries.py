"""A carry of another kind or shape is rejected by name in every function that takes a carry."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, Attention, Bidirectional, EndSymbol, Seq2Seq, SymbolModel, beam_search, bptt, greedy, sample
from jaxrnn.cells import LSTMCarry
from jaxrnn.directions import Directions
from jaxrnn.generation import Captioner, CaptionerCarry, forced_outputs
from jaxrnn.memory import MemoryNetwork, support_loss
from jaxrnn.seq2seq import Attending, attend

pytestmark = pytest.mark.usefixtures("without_beartype")

KEY = jax.random.key(0)
H = np.zeros((2, 5))
SYMBOLS, LENGTHS, START = np.ones((4, 2), int), np.array([4, 3]), np.zeros(2, int)
CELL = GRU(4, 5)
MODEL = SymbolModel(CELL, 6, 4, 5)
PARAMS = MODEL.init(KEY)
CAPTIONER = Captioner(MODEL, 7)
CAPTIONS = CAPTIONER.init(KEY)
PAIRS = Seq2Seq(GRU(3, 5), MODEL, 9, 3)
TRANSLATION = PAIRS.init(KEY)
READER = Attending(GRU(3 + 4, 5), Attention(5, 4), 7)
READING = READER.init(KEY)
DECODING = {"start": START, "stop": EndSymbol(0), "bound": 3}

WRONG = {
    "the carry of an LSTM": LSTMCarry(H, H),
    "a tuple": (H,),
    "a list": [H],
    "text": "carry",
    "another size": np.zeros((2, 6)),
    "another batch": np.zeros((3, 5)),
    "no batch": np.zeros(5),
    "complex": H + 0j,
}
TAKE_A_CARRY = {
    "next_logits": lambda c: MODEL.next_logits(PARAMS, c, START),
    "apply": lambda c: MODEL.apply(PARAMS, SYMBOLS, LENGTHS, start=0, carry=c),
    "read": lambda c: MODEL.read(PARAMS, SYMBOLS, c),
    "sample": lambda c: sample(jax.random.split(KEY, 2), MODEL, PARAMS, c, **DECODING),
    "greedy": lambda c: greedy(MODEL, PARAMS, c, **DECODING),
    "beam_search": lambda c: beam_search(MODEL, PARAMS, c, width=2, **DECODING),
    "forced_outputs": lambda c: forced_outputs(MODEL, PARAMS, c, SYMBOLS, LENGTHS, start=0, stop=EndSymbol(0)),
    "captioner": lambda c: CAPTIONER.next_logits(CAPTIONS, CaptionerCarry(c, np.zeros((2, 4))), START),
    "pairs": lambda c: PAIRS.next_logits(TRANSLATION, CaptionerCarry(c, np.zeros((2, 4))), START),
    "attend_to": lambda c: READER.attend_to(READING, np.ones((7, 2, 4)), c),
    "attend": lambda c: attend(READER, READING, np.ones((7, 2, 4)), c),
    "bptt": lambda c: bptt(CELL, PARAMS.cell, np.ones((4, 2, 4)), c, None, np.ones((4, 2, 5))),
    "bptt, its gradient": lambda c: bptt(CELL, PARAMS.cell, np.ones((4, 2, 4)), None, c, np.ones((4, 2, 5))),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", TAKE_A_CARRY)
def test_a_wrong_carry_is_refused_with_its_name(name, kind):
    with pytest.raises((TypeError, ValueError), match=r"^`(d?carry|state)[^`]*` must (be|have)"):
        TAKE_A_CARRY[name](WRONG[kind])


@pytest.mark.parametrize("wrong", [H, (H, None), LSTMCarry(H, H), None, CaptionerCarry(H, np.zeros((2, 5)))], ids=str)
def test_the_state_of_a_model_with_a_context_is_no_other_carry(wrong):
    for model, params in ((CAPTIONER, CAPTIONS), (PAIRS, TRANSLATION)):
        with pytest.raises((TypeError, ValueError), match=r"^`carry(\.context)?` must (be|have)"):
            model.next_logits(params, wrong, START)


def test_the_two_arrays_of_an_lstm_are_not_two_directions():
    network = Bidirectional(GRU(3, 5), GRU(3, 5))
    params = network.init(KEY)
    with pytest.raises(ValueError, match=r"^`carry` must be Directions\(forward, backward\)"):
        network.apply(params, jnp.ones((4, 2, 3)), LSTMCarry(H, H))
    network.apply(params, jnp.ones((4, 2, 3)), Directions(H, H))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: MODEL.apply(PARAMS, a, LENGTHS, start=0), "symbols"),
        (lambda a: MODEL.apply(PARAMS, SYMBOLS, a, start=0), "lengths"),
        (lambda a: MODEL.apply(PARAMS, SYMBOLS, LENGTHS, start=a), "start"),
        (lambda a: MODEL.apply(PARAMS, SYMBOLS, LENGTHS, start=0, context=a), "context"),
        (lambda a: MODEL.read(PARAMS, a), "symbols"),
        (lambda a: PAIRS.encode(TRANSLATION, a, LENGTHS), "source"),
        (lambda a: PAIRS.encode(TRANSLATION, SYMBOLS, a), "source_lengths"),
        (lambda a: PAIRS.initial_carry(TRANSLATION, a), "encoded"),
        (lambda a: support_loss(np.zeros((2, 1, 3)), a), "supports"),
        (lambda a: support_loss(a, np.zeros((1, 2), int)), "scores"),
    ],
)
def test_several_arrays_in_the_place_of_one_are_refused_with_their_name(call, message):
    with pytest.raises(TypeError, match=f"^`{message}` must (be one array|come from)"):
        call(LSTMCarry(SYMBOLS, SYMBOLS))


def test_a_memory_network_names_what_is_not_words():
    network = MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2)
    params, sentences, question = network.init(KEY), np.ones((5, 6), int), np.ones(4, int)
    several = LSTMCarry(sentences, sentences)
    for arguments, name in (((several, question), "sentences"), ((sentences, several), "question")):
        with pytest.raises(TypeError, match=f"^`{name}` must be one array"):
            network.answer(params, *arguments)
    with pytest.raises(TypeError, match=r"^`supports` must be one array"):
        network.answer_by_slot(params, sentences, question, several)
    with pytest.raises(ValueError, match=r"^`question` must have an axis of words"):
        network.answer(params, sentences, np.int64(3))
    with pytest.raises(ValueError, match=r"^`params"):
        network.answer(params._replace(times=None), sentences, question)


@dataclass(frozen=True)
class Unregistered:
    """A generator of a user who forgot the line above the class."""

    vocabulary: int = 5

    def next_logits(self, params, carry, symbol):
        return carry, jnp.zeros((*jnp.shape(symbol), 5))


@pytest.mark.parametrize("name", ["greedy", "beam_search", "forced_outputs"])
def test_a_generator_that_is_not_registered_is_told_how(name):
    decode = {
        "greedy": lambda g: greedy(g, (), H, **DECODING),
        "beam_search": lambda g: beam_search(g, (), H, width=2, **DECODING),
        "forced_outputs": lambda g: forced_outputs(g, (), H, SYMBOLS, LENGTHS, start=0, stop=EndSymbol(0)),
    }[name]
    with pytest.raises(TypeError, match=r"^`generator` must be registered with JAX.*register_static"):
        decode(Unregistered())
