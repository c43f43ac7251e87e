"""The wavefront equals two nested loops; with four directions, each output depends on all pixels of its image only."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Elman, unroll
from jaxrnn.cells import ElmanParams
from jaxrnn.directions import LSTM2D, Elman2D, Multidirectional, unroll_2d, unroll_2d_python
from jaxrnn.directions.multidirectional import CORNERS
from jaxrnn.testing import dots, loops
from jaxrnn.testing.host_trees import add, host, zeros
from tests.random_params import random_params

INPUT, HIDDEN = 2, 3
CELLS = {"elman": Elman2D(INPUT, HIDDEN), "lstm": LSTM2D(INPUT, HIDDEN)}
SIZES = np.array([[3, 4], [2, 4], [3, 1], [0, 0]])
"""Height and width of each image of the batch."""
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


def image(height, width, batch=(2,)):
    return jax.device_put(np.random.default_rng(height * 10 + width).normal(size=(height, width, *batch, INPUT)))


def mask_from_sizes(sizes, height, width):
    rows, columns = np.mgrid[:height, :width]
    return jax.device_put((rows[..., None] < sizes[:, 0]) & (columns[..., None] < sizes[:, 1]))


@every_cell
@pytest.mark.parametrize(("shape", "corner"), [((4, 2), 0), ((1, 5), 1), ((5, 1), 2), ((1, 1), 3), ((3, 3), 1)])
def test_the_wavefront_is_two_nested_loops_at_any_shape(cell, shape, corner):
    params, xs = random_params(cell), image(*shape)
    got, want = (
        jax.jit(partial(run, cell, reverse=CORNERS[corner]))(params, xs) for run in (unroll_2d, unroll_2d_python)
    )
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "reverse"),
    [(CELLS["elman"], (False, True)), (CELLS["lstm"], (False, False)), (CELLS["lstm"], (True, True))],
)
def test_the_wavefront_is_two_nested_loops_in_gradients_with_a_mask(cell, reverse):
    xs, mask = image(3, 4, (4,)), mask_from_sizes(SIZES, 3, 4)

    @jax.jit
    def both(params, xs):
        def loss(arguments, run):
            ys = run(cell, *arguments, mask=mask, reverse=reverse)
            return (jnp.cos(jnp.arange(ys.size)) * ys.ravel()).sum(), ys

        runs = (unroll_2d, unroll_2d_python)
        return [jax.value_and_grad(loss, has_aux=True)((params, xs), run) for run in runs]

    got, want = both(random_params(cell), xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), got, want)


def test_reverse_is_the_flipped_image_flipped_back():
    cell = CELLS["elman"]
    params, xs = random_params(cell), image(3, 4)
    for vertical, horizontal in CORNERS:
        axes = [axis for axis, flip in ((0, vertical), (1, horizontal)) if flip]
        want = np.flip(unroll_2d(cell, params, jax.device_put(np.flip(xs, axes))), axes)
        np.testing.assert_allclose(unroll_2d(cell, params, xs, reverse=(vertical, horizontal)), want, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_it_is_one_loop_of_height_plus_width_minus_one_steps(shape):
    network = Multidirectional((CELLS["lstm"],) * 4)
    params, xs = random_params(network), image(*shape)
    found = loops(lambda p: network.apply(p, xs), params)
    assert [(loop.length, loop.dots) for loop in found] == [(sum(shape) - 1, 8)]  # two products of each of four cells
    assert dots(lambda p: network.apply(p, xs), params) == 8 + 4  # and each cell's projection, once


def test_every_output_of_four_directions_depends_on_every_pixel():
    network = Multidirectional((CELLS["elman"], CELLS["lstm"], CELLS["lstm"], CELLS["elman"]), "sum")
    params, xs = random_params(network), image(3, 4, ())
    jacobian = jax.jit(jax.jacrev(partial(network.apply, params)))(xs)  # [3, 4, features, 3, 4, input]
    assert (abs(np.asarray(jacobian)).sum(axis=(2, 5)) > 0).all()


def test_one_direction_sees_what_lies_above_and_to_the_left_and_nothing_else():
    cell = CELLS["lstm"]
    params, xs = random_params(cell), image(3, 4, ())
    depends = abs(np.asarray(jax.jit(jax.jacrev(partial(unroll_2d, cell, params)))(xs))).sum(axis=(2, 5)) > 0
    for i, j in np.ndindex(3, 4):
        want = np.zeros((3, 4), bool)
        want[: i + 1, : j + 1] = True
        np.testing.assert_array_equal(depends[i, j], want)


def test_an_image_in_a_corner_of_a_larger_grid_is_the_image_alone_and_padding_is_not_seen():
    network = Multidirectional((CELLS["lstm"], CELLS["elman"], CELLS["elman"], CELLS["lstm"]), "sum")
    params, xs, mask = random_params(network), image(3, 4, (4,)), mask_from_sizes(SIZES, 3, 4)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, xs, mask=None):
        ys = network.apply(params, xs, mask=mask)
        return jnp.sin(ys).sum(), ys

    clean, xs, there = host((run(params, xs, mask), xs, mask))
    for padding in (0.0, 1e6, jnp.nan, jnp.inf):
        dirty = run(params, np.where(there[..., None], xs, padding), mask)
        jax.tree.map(np.testing.assert_array_equal, dirty, clean)

    (_, ys), (dparams, dxs) = clean
    assert (ys[~there] == 0).all() and (dxs[~there] == 0).all()
    summed = zeros(params)
    for b, (height, width) in enumerate(SIZES[:3].tolist()):
        (_, alone), (dp, dx) = host(run(params, xs[:height, :width, b]))
        np.testing.assert_allclose(ys[:height, :width, b], alone, atol=1e-12)
        np.testing.assert_allclose(dxs[:height, :width, b], dx, atol=1e-12)
        summed = add(summed, dp)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), dparams, summed)


@pytest.mark.parametrize("shape", [(3, 4), (4, 2)])
def test_without_vertical_weights_the_rows_are_sequences_of_their_own(shape):
    """Law 15; and without horizontal ones, the columns."""
    cell, line = CELLS["elman"], Elman(INPUT, HIDDEN)
    params, xs = random_params(cell), image(*shape)
    rows = params._replace(w_above=np.zeros_like(params.w_above))
    _, ys = unroll(line, ElmanParams(params.u, params.w_left, params.b), jax.device_put(np.swapaxes(xs, 0, 1)))
    np.testing.assert_allclose(unroll_2d(cell, rows, xs), np.swapaxes(ys, 0, 1), atol=1e-12)
    columns = params._replace(w_left=np.zeros_like(params.w_left))
    _, ys = unroll(line, ElmanParams(params.u, params.w_above, params.b), xs)
    np.testing.assert_allclose(unroll_2d(cell, columns, xs), ys, atol=1e-12)


def test_an_image_of_one_row_is_a_sequence_whatever_the_vertical_weights():
    cell, xs = CELLS["elman"], image(1, 5)
    params = random_params(cell)
    _, ys = unroll(
        Elman(INPUT, HIDDEN), ElmanParams(params.u, params.w_left, params.b), jax.device_put(np.asarray(xs)[0])
    )
    np.testing.assert_allclose(np.asarray(unroll_2d(cell, params, xs))[0], ys, atol=1e-12)


def test_a_batch_axis_is_vmap_and_no_batch_axis_works():
    cell = CELLS["lstm"]
    params, xs = random_params(cell), image(3, 4, (2, 3))
    want = np.asarray(unroll_2d(cell, params, xs))
    rows = jax.jit(jax.vmap(jax.vmap(lambda x: unroll_2d(cell, params, x), 2, 2), 2, 2))(xs)
    np.testing.assert_allclose(rows, want, atol=1e-12)
    alone = unroll_2d(cell, params, jax.device_put(np.asarray(xs)[:, :, 1, 2]))
    np.testing.assert_allclose(alone, want[:, :, 1, 2], atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_an_image_without_pixels_has_outputs_without_pixels(shape):
    cell = CELLS["lstm"]
    params, xs = random_params(cell), image(*shape)
    for run in (unroll_2d, unroll_2d_python):
        assert run(cell, params, xs).shape == (*shape, 2, HIDDEN)


def test_with_forget_gates_of_one_half_the_memory_grows_no_faster_than_the_paths_are_long():
    """These are the initial gates.  C sums over all paths: with a bias of 1, σ(1) = 0.73, it grows like 1.46^(i+j)."""
    cell = LSTM2D(1, 2)
    init = cell.init(jax.random.key(0))
    params = zeros(init)
    np.testing.assert_array_equal(init.b, params.b)
    params.b[6:8] = 5.0  # tanh(g) = 1

    @partial(jax.jit, static_argnums=1)
    def memory_at_the_far_corner(params, size):
        def diagonal(state, _):
            above = jax.tree.map(lambda s: jnp.concatenate([jnp.zeros_like(s[:1]), s[:-1]]), state)
            return cell.step_2d(params, above, state, cell.project(params, jnp.ones((size, 1))))[0], None

        start = cell.initial_carry(params, (size,))
        return jax.lax.scan(diagonal, start, length=2 * size - 1)[0].c[-1].max()

    assert memory_at_the_far_corner(params, 48) < 2 * 48
    params.b[2:6] = 1.0
    assert memory_at_the_far_corner(params, 48) > 1e12


def test_bad_arguments_are_named(without_beartype):
    cell = CELLS["elman"]
    params, xs = random_params(cell), image(3, 4)
    with pytest.raises(TypeError, match="`cell` must have init, initial_carry, project and step_2d"):
        unroll_2d(Elman(INPUT, HIDDEN), params, xs)
    with pytest.raises(TypeError, match="`cell` must be a cell, with init, initial_carry, project and step"):
        unroll(cell, params, xs[0])
    with pytest.raises(ValueError, match="`params` must have the structure"):
        unroll_2d(cell, params[:2], xs)
    with pytest.raises(ValueError, match=r"`xs` must have shape \[height, width, \*batch, features\]"):
        unroll_2d(cell, params, xs[0, 0])
    with pytest.raises(ValueError, match="`xs` must have trailing size input_size=2"):
        unroll_2d(cell, params, xs[..., :1])
    with pytest.raises(ValueError, match="`mask` must have shape"):
        unroll_2d(cell, params, xs, mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match="`mask` must be boolean"):
        unroll_2d(cell, params, xs, mask=np.ones((3, 4, 2)))
    with pytest.raises(TypeError, match="`cells` must be a tuple of four 2-D cells"):
        Multidirectional((cell, cell))
    with pytest.raises(ValueError, match="`merge` must be one of"):
        Multidirectional((cell,) * 4, "mean")
    network = Multidirectional((cell, cell, cell, Elman2D(INPUT, 7)), "sum")
    with pytest.raises(ValueError, match='`merge` must be "concat" for outputs of several sizes'):
        network.apply(random_params(network), xs)
    with pytest.raises(ValueError, match="`params` must be a tuple of four"):
        network.apply(params[:3], xs)
    with pytest.raises(ValueError, match="`reverse` must be two booleans"):
        unroll_2d(cell, params, xs, reverse=True)
