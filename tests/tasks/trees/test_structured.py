"""The tasks over trees: values by their definitions, two networks on the same examples, and no example twice."""

import ast
import random
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.trees import structured
from jaxrnn.tasks.trees.expressions import SYMBOLS as EXPRESSION_SYMBOLS
from jaxrnn.tasks.trees.expressions import Expressions, arithmetic, evaluate, fill, library, shape_of
from jaxrnn.tasks.trees.listops import SYMBOLS, ListOps, draw, held_out, value
from jaxrnn.tasks.trees.structured import Example, Room, batch_of

ROOM = Room(leaves=12, inner=6, arity=4, height=3, time=24)


def parsed(text):
    """Nested lists from the symbols of ListOps, by their brackets."""
    way = [[]]
    for symbol in text:
        if SYMBOLS[symbol] == "]":
            operation, *children = way.pop()
            way[-1].append((operation, tuple(children)))
        elif symbol < 10:
            way[-1].append(symbol)
        else:
            way.append([SYMBOLS[symbol]])
    ((expression,),) = way
    return expression


def test_text_tree_and_value_of_a_list_operation_are_one_expression():
    rng = random.Random(1)
    for depth in (1, 2, 3) * 20:
        example = draw(rng, depth, 4, ROOM)
        expression = parsed(example.text)
        assert value(expression) == example.value and example.group == depth == example.tree.height
        states: list = list(example.tree.leaves)
        for symbol, children in zip(example.tree.inner, example.tree.children, strict=True):
            states.append((SYMBOLS[symbol], tuple(states[child] for child in children)))
        assert states[-1] == expression
        assert len(example.tree.leaves) <= 12 and len(example.tree.children) <= 6 and len(example.text) <= 24


def test_operations_are_those_of_the_paper():
    assert value(("MAX", (2, 9, ("MIN", (4, 7)), 0))) == 9
    assert value(("MED", (1, 2, 9))) == 2 and value(("MED", (1, 2, 3, 9))) == 2 and value(("MED", (1, 4))) == 2
    assert value(("SM", (9, 9, 9))) == 7


def test_no_held_out_expression_is_trained_on():
    task = ListOps(depth=1, arity=2, leaves=4, batch=400)  # 400 expressions exist; half are held out
    data, _ = task.load()
    kept = {tuple(example.text) for example in data}
    symbols, lengths, _ = ListOps(network="sequence", depth=1, arity=2, leaves=4, batch=400).batch_at(data, 0, 0)
    drawn = {tuple(symbols[:n, i].tolist()) for i, n in enumerate(lengths)}
    assert len(drawn) > 50 and not drawn & kept


def test_an_expression_is_worth_what_python_says_modulo_ten():
    """The remainder of a sum or a product follows from those of the operands; that of |, & and ^ does not."""
    rng = np.random.default_rng(0)
    for source in ("a + b", "a - b * c", "-a + (b - c)", "a | b & c ^ a", "~(a + b) * c"):
        shape = shape_of(ast.parse(source, mode="eval").body)
        for _ in range(20):
            example = fill(shape, rng)
            text = "".join(EXPRESSION_SYMBOLS[symbol] for symbol in example.text)
            if set(source) & set("|&^"):
                continue  # of a remainder these are not the remainder
            assert example.value == eval(text) % 10, text
    assert evaluate("BitOr", [9, 6]) == 5 and evaluate("FloorDiv", [7, 0]) == 0 and evaluate("LShift", [3, 2]) == 2


def test_equal_operands_get_equal_digits_and_the_text_is_what_the_tree_says():
    shape = shape_of(ast.parse("x.y * (x.y - f(1)) - z", mode="eval").body)
    assert shape.text == (0, "*", "(", 0, "-", 1, ")", "-", 2) and shape.operators == 3
    assert shape.tree.leaves == (0, 0, 1, 2) and shape.tree.inner == ("Sub", "Mult", "Sub")


def test_the_library_has_shapes_of_many_kinds_and_held_out_ones_are_apart():
    (train, examples), facts = Expressions().load()
    assert len(library()) == facts["shapes"] > 100 and len({shape.text for shape in library()}) == len(library())
    texts = {shape.text for shape in train}
    assert len(texts) == len(train) and not texts & {shape.text for shape in library()[::10]}
    assert {example.group for example in examples} == {2, 3, 4, 5}
    assert all(shape.operators >= 2 for shape in library())


def test_text_is_no_arithmetic():
    found = arithmetic(ast.parse("'a' + b * c; f'{x}' + y; [0] * n; -1; '%d' % (a + b); a - b"))
    assert [ast.unparse(node) for node in found] == ["a - b"]


@pytest.mark.parametrize("network", ["tree", "sequence"])
def test_every_example_is_measured_once_whatever_the_batch(network):
    task = ListOps(network=network, depth=2, arity=3, leaves=6, hidden=4, embedding=3)
    examples = held_out(2, 3, task.room)[195:205]
    model = task.model({})
    params = model.init(jax.random.key(0))
    ways = [structured.measure(network, model, params, examples, task.room, batch) for batch in (4, 10)]
    assert ways[0] == pytest.approx(ways[1]) and set(ways[0]) == {"nats", "accuracy", "accuracy_1", "accuracy_2"}
    shares = [ways[0][f"accuracy_{group}"] for group in (1, 2)]
    assert ways[0]["accuracy"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(("task", "share"), [(ListOps, 0.01), (Expressions, 0.1)])
def test_both_networks_have_about_the_same_number_of_parameters(task, share):
    tree, sequence = (structured.parameters(task(network=n).model({})) for n in ("tree", "sequence"))
    assert abs(tree - sequence) < share * tree


def test_the_depth_of_training_grows_by_one_to_the_largest():
    task = ListOps(batch=64, growth=3)
    data, _ = task.load()
    for step in (0, 2, 3, 8, 15, 40):
        forest, _, _ = task.batch_at(data, 0, step)
        trees = jax.tree.map(np.asarray, forest)
        inner = (trees.place < trees.node.size).sum(0)
        deepest = min(6, 1 + step // 3)
        assert inner.min() == 1 and inner.max() >= deepest and (deepest > 1) == (inner.max() > 1)
    forest, _, _ = ListOps(batch=64, growth=0).batch_at(data, 0, 0)
    assert (forest.place < forest.node.size).sum(0).max() >= 6


def test_a_batch_has_room_for_its_largest_expression():
    room = ListOps().room._replace(average=4)
    assert [room.together(batch) for batch in (1, 3, 4, 128)] == [room.inner, room.inner, 16, 512] and room.inner == 16
    assert ListOps().room.together(128) == 128 * room.inner


def test_every_batch_has_the_same_shapes():
    data, _ = ListOps(batch=8).load()
    shapes = {
        str(jax.tree.map(np.shape, ListOps(network=network, batch=8).batch_at(data, 0, step)))
        for network in ("tree", "sequence")
        for step in range(6)
    }
    assert len(shapes) == 2


def test_the_table_and_the_picture_of_a_run(tmp_path: Path):
    scores = {"nats": 1.0, "accuracy": 0.5, "accuracy_1": 0.75, "accuracy_2": 0.25}
    files = structured.illustrate(scores, 0.125, "tree", "depth", tmp_path)
    assert files["accuracy"].stat().st_size > 1000
    table = files["table"].read_text()
    assert "| 1 | 75.0% |" in table and "| all | 50.0% |" in table and "| the most frequent value | 12.5% |" in table


def test_bad_options_are_named(without_beartype):
    for bad in ({"hidden": 0}, {"batch": -1}, {"depth": 0}, {"arity": 1}, {"leaves": 3}, {"growth": -1}):
        with pytest.raises(InputError, match=f"--{next(iter(bad))} must be"):
            ListOps(**bad)
    with pytest.raises(InputError, match="--network must be tree or sequence, got bag"):
        Expressions(network="bag")


def test_a_batch_of_trees_is_the_examples():
    examples = [Example(draw(random.Random(i), 2, 3, ROOM).tree, [1], i, 0) for i in range(3)]
    forest, labels, values = batch_of("tree", examples, ROOM)
    assert values.tolist() == [0, 1, 2]
    for b, example in enumerate(examples):
        np.testing.assert_array_equal(labels.leaves[forest.leaf[:, b], b], example.tree.leaves)
        np.testing.assert_array_equal(labels.inner[: len(example.tree.inner), b], example.tree.inner)
