"""The word problems are those of groups, and every row of the table is a model that learns from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.reproduce.remembering import ROWS, WIDTH, Model
from benchmarks.reproduce.state_tracking import multiplication_table, products


@pytest.mark.parametrize(("group", "order"), [("parity", 2), ("s3", 6), ("a5", 60)])
def test_the_tables_are_those_of_groups(group, order):
    table = multiplication_table(group)
    everything = np.arange(order)
    np.testing.assert_array_equal(table[0], everything)
    np.testing.assert_array_equal(table[:, 0], everything)
    assert all(sorted(row) == list(everything) for row in (*table, *table.T))
    np.testing.assert_array_equal(table[table], table[:, table])  # (g h) k = g (h k)


def test_s3_does_not_commute_and_the_identity_is_the_only_element_of_a5_in_every_normal_subgroup_of_it():
    s3, a5 = multiplication_table("s3"), multiplication_table("a5")
    assert (s3 != s3.T).any()
    inverse = np.argmin(a5, axis=1)
    for g in range(1, 60):  # A₅ is simple: the conjugates of any other element generate all of it
        found = {a5[a5[h, g], inverse[h]] for h in range(60)}
        while len(larger := found | {a5[a, b] for a in found for b in found}) > len(found):
            found = larger
        assert len(found) == 60


def test_the_target_is_the_product_of_all_elements_so_far():
    table, tokens = multiplication_table("s3"), np.array([[1], [2], [5], [3]])
    want, product = [], 0
    for token in tokens[:, 0]:
        product = table[product, token]
        want.append(product)
    np.testing.assert_array_equal(products(table, jnp.asarray(tokens))[:, 0], want)


def test_parity_is_the_word_problem_of_two_elements():
    tokens = np.random.default_rng(0).integers(0, 2, (20, 3))
    np.testing.assert_array_equal(products(multiplication_table("parity"), jnp.asarray(tokens)), tokens.cumsum(0) % 2)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_gives_logits_of_the_same_model(name):
    model = Model(ROWS[name](6), 6, 6)
    params = jax.eval_shape(model.init, jax.random.key(0))
    logits = jax.eval_shape(model.logits, params, jax.ShapeDtypeStruct((9, 2), jnp.int32))
    assert logits.shape == (9, 2, 6) and params.hidden.v.shape[0] == WIDTH
