"""Language models of every cell on the default text: at equal parameters, after equal updates and after equal seconds.

Each cell gets the width at which the model has the given number of parameters.  It is trained twice with the options of
`jaxrnn train`: for a number of updates, and for as many updates as fit into a number of seconds at the speed of the
first training.  Prints a Markdown table: held-out bits per character after each training, characters per second in
training, µs per character sampled step by step, and the temporary memory of an update.

    python -m benchmarks.language_models
    python -m benchmarks.language_models --cells lstm gated-delta --layers 2 --seconds 300
    python -m benchmarks.language_models --parameters 20000 --updates 20 --seconds 5 --sampled 64
"""

import time
from typing import Any, NamedTuple, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import report
from benchmarks.timing import temporary_bytes
from jaxrnn.commands.runs.experiments import Experiment, Training, experiment
from jaxrnn.core.noise import quiet
from jaxrnn.core.types import Params
from jaxrnn.generation import continue_sequence
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.training.train_state import update, updates

CELLS = get_args(get_type_hints(Text)["cell"])
DISPATCH = 10
"""Updates in one call."""
WIDTHS = range(8, 2049, 8)
"""Multiples of the heads that a cell may have."""


class Trained(NamedTuple):
    """The result of one training."""

    params: Params
    bits: float
    """Held-out bits per character."""
    speed: float
    """Characters per second, without compilation."""


def main(
    cells: tuple[str, ...] = CELLS,
    parameters: int = 400_000,
    layers: int = 1,
    updates: int = 1000,
    seconds: float = 60.0,
    learning_rate: float = 4e-3,
    batch: int = 32,
    length: int = 64,
    evaluate_characters: int = 300_000,
    sampled: int = 1000,
) -> None:
    """Print the table.

    Args:
        cells: names of `jaxrnn train --cell`.
        parameters: the number of parameters of each model, as near as its width permits.
        layers: the number of layers of each model.
        updates: the length of the first training.
        seconds: the length of the second training.
        learning_rate: the highest learning rate.
        batch: the number of rows of text in an update.
        length: the number of characters of a row in an update.
        evaluate_characters: how many held-out characters are scored.
        sampled: how many characters are sampled.
    """
    print(f"{report.machine()}\n{batch} rows of {length} characters an update, {layers} layers, rate {learning_rate}\n")
    print(
        f"| cell | width | parameters | bits, {updates:,} updates | bits, {seconds:g} s | updates in {seconds:g} s |"
        " characters/s | sampling, µs | MiB an update |\n|---|---|---|---|---|---|---|---|---|"
    )
    data, facts = Text().load()
    options = {"layers": layers, "batch": batch, "length": length, "evaluate_characters": evaluate_characters}
    for name in cells:
        task = sized(parameters, facts, {"cell": name} | options)
        training = Training(steps=updates, learning_rate=learning_rate)
        begun = experiment(task, training, facts)
        first = train(begun, data)
        fitting = max(DISPATCH, round(seconds * first.speed / task.units()))
        second = train(experiment(task, Training(steps=fitting, learning_rate=learning_rate), facts), data)
        print(
            f"| `{name}` | {task.hidden} | {size(begun.model):,} | {first.bits:.3f} | {second.bits:.3f} | {fitting:,} "
            f"| {max(first.speed, second.speed):,.0f} | {sampling_time(begun.model, first.params, sampled):.0f} "
            f"| {memory(begun, data):.0f} |",
            flush=True,
        )


def sized(parameters: int, facts: dict, options: dict[str, Any]) -> Text:
    """Return the task whose model is closest to a number of parameters; the size grows with the width."""
    low, high = 0, len(WIDTHS) - 1
    while low < high:
        middle = (low + high) // 2
        below = size(Text(**options, hidden=WIDTHS[middle]).model(facts)) < parameters
        low, high = (middle + 1, high) if below else (low, middle)
    near = [Text(**options, hidden=WIDTHS[i]) for i in {max(low - 1, 0), low}]
    return min(near, key=lambda task: abs(size(task.model(facts)) - parameters))


def size(model: Any) -> int:
    """Return the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0))))


def train(begun: Experiment, data: Any) -> Trained:
    """Train from the start; the first call, which compiles, is not timed."""
    task, steps, key = begun.task, begun.training.steps, begun.training.keys()[1]
    state, started, timed = begun.init(), time.perf_counter(), 0
    for start in range(0, steps, DISPATCH):
        batches = np.stack([task.batch_at(data, 0, k) for k in range(start, min(start + DISPATCH, steps))])
        state, losses = updates(begun.loss_fn, begun.optimizer, state, batches, key)
        losses.block_until_ready()
        timed += len(batches) if start else 0
        started = started if start else time.perf_counter()
    speed = timed * task.units() / (time.perf_counter() - started)
    return Trained(state.params, task.evaluate(begun.model, state.params, data)["bits_per_character"], speed)


def sampling_time(model: Any, params: Params, count: int) -> float:
    """Return the µs per character, sampled one after the other and fed back."""
    model, zeros = quiet(model), jnp.zeros(model.vocabulary)
    run = jax.jit(
        lambda carry, key: continue_sequence(model, params, carry, zeros, key, length=count),
    )
    times = []
    for seed in range(4):
        started = time.perf_counter()
        jax.block_until_ready(run(model.initial_carry(params), jax.random.key(seed)))
        times.append(time.perf_counter() - started)
    return 1e6 * min(times[1:]) / count


def memory(begun: Experiment, data: Any) -> float:
    """Return the MiB of temporary arrays of one update."""
    arguments = begun.init(), begun.task.batch_at(data, 0, 0), jax.random.key(0)
    executable = update.lower(begun.loss_fn, begun.optimizer, *arguments).compile()
    return (temporary_bytes(executable) or 0) / 2**20


if __name__ == "__main__":
    tyro.cli(main)
