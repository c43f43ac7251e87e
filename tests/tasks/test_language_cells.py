"""Language models of every cell: parallel scores agree with step-by-step sampling."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.sequences.language_cells import IN_BLOCKS
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.testing import loops
from jaxrnn.training.saving.blueprints import from_blueprint, to_blueprint

FACTS = {"alphabet": "abcde"}
TOKENS = jax.random.randint(jax.random.key(1), (40,), 0, 5)


@pytest.mark.parametrize("name", IN_BLOCKS)
def test_a_text_scores_the_same_in_parallel_and_step_by_step(name):
    model = Text(cell=name, hidden=8, layers=2 if name in ("slstm", "gated-delta") else 1).model(FACTS)
    params = jax.jit(model.init)(jax.random.key(0))

    @jax.jit
    def both(params):
        start = model.initial_carry(params)
        steps = lax.scan(lambda carry, token: model.next_logits(params, carry, token), start, TOKENS)
        return model.read(params, TOKENS), steps

    parallel, steps = both(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), parallel, steps)
    assert from_blueprint(json.loads(json.dumps(to_blueprint(model)))) == model


def test_the_carry_of_a_language_model_has_a_constant_size():
    model = Text(cell="mlstm", hidden=8).model(FACTS)
    params = model.init(jax.random.key(0))
    shapes = [jax.tree.map(jnp.shape, model.read(params, TOKENS[:time])[0]) for time in (1, 40)]
    assert shapes[0] == shapes[1] == jax.tree.map(jnp.shape, model.initial_carry(params))


@pytest.mark.parametrize("name", ["rg-lru", "mamba2"])
def test_a_linear_cell_is_read_without_a_product_in_a_loop_over_the_steps(name):
    """A loop over all steps has the recurrence alone, h ← a ⊙ h + b, as a CPU solves it."""
    model = Text(cell=name, hidden=8).model(FACTS)
    params = model.init(jax.random.key(0))
    found = loops(lambda p: model.read(p, TOKENS)[1], params)
    assert all(loop.length < len(TOKENS) or loop.dots == 0 for loop in found)


def test_dropout_acts_inside_a_block_and_not_on_what_passes_by():
    model = Text(cell="min-gru", hidden=8, dropout=0.9).model(FACTS)
    params = model.init(jax.random.key(0))
    block, normalize = params.cell
    silent = block._replace(output=jnp.zeros_like(block.output), mlp=jax.tree.map(jnp.zeros_like, block.mlp))

    def two_draws(params):
        return [model.read(params, TOKENS[:5], key=jax.random.key(seed))[1] for seed in (0, 1)]

    assert not np.allclose(*two_draws(params))
    np.testing.assert_array_equal(*two_draws(params._replace(cell=(silent, normalize))))


def test_a_block_embeds_at_its_width():
    with pytest.raises(InputError, match="--embedding 5: --cell mamba embeds a character at --hidden 8"):
        Text(cell="mamba", hidden=8, embedding=5)
    assert Text(cell="mamba", hidden=8, embedding=8).model(FACTS).features == 8
