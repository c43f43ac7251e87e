"""The tasks: the properties that all of them share, and the text task against its definitions."""

import json
import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn import LSTM, Stack, unroll
from jaxrnn.commands.runs.task_names import TASKS
from jaxrnn.generation import Greedy, Sampling, SymbolModel, continue_sequence
from jaxrnn.objectives import bits_per_character
from jaxrnn.tasks import Task
from jaxrnn.tasks.cognitive import (
    ContextDecision,
    DelayedMatch,
    FlipFlop,
    MultiTask,
    PerceptualDecision,
    ReadySetGo,
    SineWave,
    WorkingMemory,
)
from jaxrnn.tasks.data import InputError, corpus
from jaxrnn.tasks.memory.copy import Copy
from jaxrnn.tasks.memory.stories import Stories
from jaxrnn.tasks.reservoirs.laser import Laser
from jaxrnn.tasks.reservoirs.mackey_glass import MackeyGlass
from jaxrnn.tasks.sequences.captions import CaptionDigits
from jaxrnn.tasks.sequences.chorales import Chorales
from jaxrnn.tasks.sequences.digits import Digits
from jaxrnn.tasks.sequences.held_out import HELD_OUT_ROWS, HELD_OUT_STEPS, held_out_windows
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.tasks.sequences.vowels import Vowels
from jaxrnn.tasks.tracking.recall import Recall
from jaxrnn.tasks.tracking.state_tracking import StateTracking
from jaxrnn.tasks.translation.dates import Dates
from jaxrnn.tasks.translation.numbers import Numbers
from jaxrnn.tasks.translation.reverse import Reverse
from jaxrnn.tasks.trees.expressions import Expressions
from jaxrnn.tasks.trees.listops import ListOps
from jaxrnn.testing.host_trees import host
from tests.random_params import random_params

TINY = {
    "text": Text(hidden=4, embedding=3, batch=2, length=5),
    "dates": Dates(hidden=4, embedding=3, batch=4),
    "copy": Copy(hidden=4, slots=4, width=2, bits=2, longest=2, batch=2),
    "expressions": Expressions(hidden=4, embedding=3, batch=4),
    "listops": ListOps(depth=2, arity=3, leaves=6, hidden=4, embedding=3, batch=4),
    "numbers": Numbers(hidden=4, embedding=3, batch=4),
    "mackey-glass": MackeyGlass(hidden=6, connections=2, length=30, washout=5, batch=2),
    "laser": Laser(hidden=6, connections=2, length=30, washout=5),
    "reverse": Reverse(longest=3, hidden=4, embedding=3, batch=4),
    "digits": Digits(hidden=4, batch=3),
    "vowels": Vowels(hidden=4, batch=3),
    "captions": CaptionDigits(hidden=4, features=3, batch=2),
    "chorales": Chorales(hidden=4, batch=2, length=7, chorales=5),
    "state-tracking": StateTracking(group="parity", cell="elman", hidden=4, length=8, batch=2),
    "recall": Recall(cell="gru", pairs=2, vocabulary=8, hidden=4, batch=2),
    "stories": Stories(sentences=6, hops=2, width=3, batch=32),
    "flip-flop": FlipFlop(hidden=4, batch=3, bits=2, length=7),
    "perceptual-decision": PerceptualDecision(hidden=5, batch=3, excitatory=0.8),
    "context-decision": ContextDecision(hidden=4, batch=3, noise=0.0),
    "delayed-match": DelayedMatch(cell="gru", hidden=4, batch=3),
    "working-memory": WorkingMemory(hidden=4, batch=3),
    "ready-set-go": ReadySetGo(hidden=4, batch=3),
    "sine-wave": SineWave(hidden=4, batch=3),
    "multi-task": MultiTask(hidden=4, batch=3),
}
KEY = jax.random.key(0)


@pytest.fixture(params=TASKS, scope="module")
def begun(request):
    task = TINY[request.param]
    data, facts = task.load()
    model = task.model(facts)
    return task, data, facts, model, model.init(KEY)


def test_a_task_is_a_value_with_the_methods_of_the_protocol(begun):
    task, *_ = begun
    assert isinstance(task, Task) and hash(task) == hash(type(task)(**vars(task)))


def test_facts_and_options_go_through_json(begun):
    task, _, facts, model, _ = begun
    assert json.loads(json.dumps(facts)) == facts
    again = type(task)(**json.loads(json.dumps(vars(task))))
    assert again == task and again.model(json.loads(json.dumps(facts))) == model


def test_a_batch_is_a_function_of_seed_and_step(begun):
    task, data, *_ = begun
    one, again, other = (task.batch_at(data, 0, step) for step in (3, 3, 4))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(again)))
    assert not all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))
    assert [x.shape for x in jax.tree.leaves(one)] == [x.shape for x in jax.tree.leaves(other)]


def test_the_loss_hands_on_a_carry_of_the_same_shape_and_has_a_gradient(begun):
    task, data, _, model, params = begun
    carry = task.carry(model, params)
    loss_fn = jax.jit(jax.value_and_grad(lambda p, batch: task.loss(model, p, carry, batch, KEY), has_aux=True))
    (loss, after), gradient = loss_fn(params, task.batch_at(data, 0, 0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), carry)
    assert loss.shape == () and all(np.any(g != 0) for g in jax.tree.leaves(jax.device_get(gradient)))


def test_the_score_is_in_both_kinds_of_metrics(begun):
    task, data, _, model, params = begun
    assert task.score in task.metrics(1.0) and task.score in task.evaluate(model, params, data)
    assert task.units() > 0 and task.unit


def held_out_rows(tokens):
    """All windows, one after another."""
    return [np.concatenate(parts) for parts in zip(*held_out_windows(tokens, len(tokens)), strict=True)]


@pytest.mark.parametrize("length", [2, 3, 33, 34, 1000, 32 * HELD_OUT_STEPS + 2])
def test_every_held_out_character_but_the_first_is_predicted_once_from_the_one_before(length):
    tokens = np.arange(length)
    inputs, targets, mask = held_out_rows(tokens)
    assert sorted(targets[mask]) == list(range(1, length))
    assert (targets[mask] == inputs[mask] + 1).all()
    assert len(mask) % HELD_OUT_STEPS == 0


@pytest.mark.parametrize("characters", [1, 100, 32 * HELD_OUT_STEPS, 32 * HELD_OUT_STEPS + 1])
def test_a_budget_takes_the_beginnings_of_the_same_rows(characters):
    tokens = np.arange(100_000)
    _, targets, mask = (np.concatenate(parts) for parts in zip(*held_out_windows(tokens, characters), strict=True))
    _, whole, _ = held_out_rows(tokens)
    assert characters <= mask.sum() < characters + HELD_OUT_ROWS
    assert (targets[mask] == whole[: len(mask)][mask]).all()
    assert targets[mask].max() - targets[mask].min() > 90_000  # from all over


def test_evaluate_is_the_mean_of_the_definition():
    task = TINY["text"]
    data = corpus("the quick brown fox jumps over the lazy dog. " * 40)
    model = task.model({"alphabet": data.alphabet})
    params = random_params(model)
    inputs, targets, mask = held_out_rows(data.held_out)
    p, outputs = host(params), jax.jit(partial(unroll, model.cell))
    nats = 0.0
    for row in range(inputs.shape[1]):  # each row by itself, without padding
        steps = int(mask[:, row].sum())
        ys = np.asarray(outputs(p.cell, p.embedding[inputs[:steps, row]])[1])
        os = ys @ p.readout.v + p.readout.c
        logp = os - np.log(np.exp(os).sum(-1, keepdims=True))
        nats -= logp[np.arange(steps), targets[:steps, row]].sum()
    expected = bits_per_character(jax.device_put(nats / (len(data.held_out) - 1)))
    result = task.evaluate(model, params, data)
    assert result["bits_per_character"] == pytest.approx(float(expected), abs=1e-9)
    assert result["perplexity"] == pytest.approx(2 ** float(expected), rel=1e-9)
    assert result["characters"] == len(data.held_out) - 1


def test_layers_are_a_stack():
    model = Text(layers=2, hidden=4, embedding=3).model({"alphabet": "ab"})
    assert model.cell == Stack((LSTM(3, 4), LSTM(4, 4)))


def test_a_text_of_one_character_is_a_text(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 100)
    task = Text(file=str(tmp_path / "a.txt"), hidden=2, embedding=2, batch=2, length=5)
    data, facts = task.load()
    model = task.model(facts)
    assert task.evaluate(model, model.init(KEY), data)["bits_per_character"] == 0


def test_a_text_shorter_than_a_sequence_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("abc" * 20)
    with pytest.raises(InputError, match="has 60 characters"):
        Text(file=str(tmp_path / "a.txt"), length=54).load()
    Text(file=str(tmp_path / "a.txt"), length=53).load()


SAMPLED = SymbolModel(LSTM(3, 4), vocabulary=6, features=3, hidden_size=4)
ANY = Sampling()


def begin_sampling():
    params = random_params(SAMPLED, 5)
    return params, SAMPLED.initial_carry(params), jax.device_put(np.zeros(6))


def draw(params, carry, logits, start, length, sampling=ANY):
    start = jax.device_put(start)
    return continue_sequence(SAMPLED, params, carry, logits, KEY, start, length=length, sampling=sampling)


def test_a_text_made_in_pieces_is_the_text_made_at_once():
    params, carry, logits = begin_sampling()
    *_, whole = draw(params, carry, logits, 0, 12)
    carry, logits, first = draw(params, carry, logits, 0, 6)
    *_, second = draw(params, carry, logits, 6, 6)
    assert np.array_equal(whole, np.concatenate([first, second]))


def test_greedy_takes_the_likeliest_token_and_feeds_it_back():
    params, carry, logits = begin_sampling()
    *_, tokens = draw(params, carry, logits, 0, 6, Greedy())
    expected, apply = [], jax.jit(SAMPLED.read)
    for _ in range(6):
        expected.append(int(np.argmax(logits)))
        carry, os = apply(params, np.array([expected[-1]]), carry)
        logits = np.asarray(os)[0]
    assert tokens.tolist() == expected


def test_samples_have_the_model_s_frequencies():
    logits, n = np.array([0.0, 1.0, 2.0, -1.0]), 20_000
    keys = jax.random.split(KEY, n)
    for temperature, top_k in ((1.0, None), (0.5, None), (1.0, 2), (2.0, 9)):
        draws = jax.vmap(Sampling(temperature, top_k).symbol, (0, None))
        tokens = jax.jit(draws)(keys, logits)
        expected = np.exp(logits / temperature)
        expected[np.argsort(expected)[: -(top_k or 4)]] = 0
        frequencies = np.bincount(tokens, minlength=4) / n
        np.testing.assert_allclose(frequencies, expected / expected.sum(), rtol=0, atol=4 * 0.5 / n**0.5)
        assert (frequencies[expected == 0] == 0).all()


def test_tokens_out_of_range_are_an_error_not_a_clamp(without_beartype):
    params, *_ = begin_sampling()
    for token in (-1, 6):
        with pytest.raises(ValueError, match="`symbols` must lie in 0 … 5"):
            SAMPLED.read(params, jax.device_put(np.array([token])))
        assert np.isnan(jax.jit(SAMPLED.embed)(params, np.array([token]))).all()
    with pytest.raises(TypeError, match="`symbols` must be integers"):
        SAMPLED.read(params, np.array([1.0]))


def test_the_same_prompt_and_seed_give_the_same_text_and_a_prompt_matters():
    task = Text(hidden=4, embedding=3)
    facts = {"alphabet": "\n abc"}
    params = random_params(task.model(facts))

    def text(prompt, seed=0, length=40):
        pieces = task.sample(facts, params, jax.random.key(seed), prompt, length=length, temperature=1.0, top_k=None)
        return "".join(pieces)

    assert text("abc") == text("abc") and len(text("abc")) == 40
    assert text("abc", length=70)[:40] == text("abc")  # longer is the same, and more
    assert len({text("abc"), text("abc", seed=1)}) == 2
    assert text("") == text("\n")
    with pytest.raises(InputError, match="'z'"):
        text("z")


def test_the_page_on_tasks_holds_a_task_that_learns():
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
    names = {"__name__": "tasks_page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, names)
    assert isinstance(names["task"], Task) and names["metrics"]["accuracy"] > 0.8
    assert int(names["state"].step) == 100 and names["state"].carry is None
