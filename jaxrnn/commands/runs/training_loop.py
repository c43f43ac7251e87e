"""The loop of a run: dispatch, measure, save."""

import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.cluster import agreed, shares
from jaxrnn.commands.runs.experiments import Experiment
from jaxrnn.commands.runs.progress import Progress
from jaxrnn.commands.runs.samples import write_sample
from jaxrnn.commands.runs.signals import stop_wishes
from jaxrnn.commands.runs.trained_models import leave_model
from jaxrnn.tasks import plots
from jaxrnn.tasks.task import Illustrates
from jaxrnn.training.data_parallel import spread_updates
from jaxrnn.training.saving import checkpoint
from jaxrnn.training.train_state import TrainState


def fit(begun: Experiment, state: TrainState, data: Any, path: Path, *, keep_best: bool = False) -> int:
    """Train until the last update or a signal, save, and show the result; return 0, or 128 + the signal."""
    _introduce(begun, state, path)
    task, training, started = begun.task, begun.training, time.perf_counter()
    step, key = int(state.step), training.keys()[1]
    rows, devices = shares(task, state.params)
    with stop_wishes() as wishes, Progress(training.steps, step, task.unit) as progress:
        stop = agreed(wishes)
        if stop:  # before the first update: there is something to resume all the same
            _save(begun, state, path)
        while step < training.steps and not stop:
            edge = training.next_edge(step)
            batches = [task.batch_at(data, training.seed, k) for k in range(step, edge)]
            batches = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
            run = begun.loss_fn, begun.optimizer, state, batches, key
            state, losses = spread_updates(*run, rows=rows, devices=devices)
            _note(begun, np.asarray(losses), edge, path, progress)
            step, stop = edge, agreed(wishes)
            if step % training.every == 0 or step == training.steps:
                score = _measure(begun, state, data, path, progress)
                if keep_best:
                    _save_if_best(begun, state, path, score)
            elif stop:
                _save(begun, state, path)
    return _finish(begun, state, data, path, time.perf_counter() - started, stop)


def _introduce(begun: Experiment, state: TrainState, path: Path) -> None:
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    cell = getattr(begun.model, "cell", begun.model)
    print(
        f"{begun.task.describe(begun.facts)}\n{cell}\n{count:,} parameters, {begun.training.steps} updates\nin {path}"
    )


def _note(begun: Experiment, losses: np.ndarray, step: int, path: Path, progress: Progress) -> None:
    """Record the mean loss of a dispatch in metrics.jsonl and show it in the progress bar."""
    loss, task = float(losses.mean()), begun.task
    metrics = task.metrics(loss)
    progress.update(len(losses), len(losses) * task.units(), loss, metrics)
    speed = {f"{task.unit}_per_second": round(progress.speed(), 1)}
    run_folder.append_metrics(path, {"step": step, "split": "train", "loss": loss, **metrics, **speed})


def _measure(begun: Experiment, state: TrainState, data: Any, path: Path, progress: Progress) -> float:
    """Evaluate on the held-out data, record all metrics, save a checkpoint, and return the score."""
    metrics = begun.task.evaluate(begun.model, state.params, data)
    record = {"step": int(state.step), "split": "held_out", **metrics, "skipped": int(state.skipped)}
    run_folder.append_metrics(path, record)
    _save(begun, state, path)
    progress.say(f"update {state.step}: held out {_said(metrics, begun.task.score)}")
    return metrics[begun.task.score]


def _save(begun: Experiment, state: TrainState, path: Path) -> None:
    checkpoint.save(run_folder.checkpoints(path), state, step=int(state.step), config=begun.config())


def _save_if_best(begun: Experiment, state: TrainState, path: Path, score: float) -> None:
    folder = run_folder.best(path)
    before = checkpoint.read_config(folder)["score"] if checkpoint.latest_step(folder) is not None else math.inf
    if score < before:  # never with NaN
        config = begun.config() | {"score": score}
        checkpoint.save(folder, state, step=int(state.step), config=config, keep=1)


def _finish(begun: Experiment, state: TrainState, data: Any, path: Path, seconds: float, wishes: list[int]) -> int:
    """Write the results of a run and print its summary."""
    records, task = run_folder.read_metrics(path), begun.task
    name = begun.config()["task"]
    title = name if path.name == name else f"{name}, run {path.name}"
    plots.learning_curve(path / "curve.png", records, task.score, title)
    if state.skipped:
        print(f"{state.skipped} updates were skipped: their gradient was not finite")
    if state.step < begun.training.steps:
        print(f"\nstopped and saved after update {state.step} of {begun.training.steps}; to go on:")
        print(f"  jaxrnn train --resume --run {path}")
        return 128 + wishes[0]
    held_out = [record for record in records if record["split"] == "held_out"][-1]
    model = leave_model(begun, state, held_out, path)
    print(f"held out: {_said(held_out, task.score)} after {seconds:.0f} s")
    if run_folder.best(path).exists():
        print(f"best:     update {checkpoint.latest_step(run_folder.best(path))}, in {run_folder.best(path)}")
    print(f"curve:    {path / 'curve.png'}")
    print(f"model:    {model}, for anybody: jaxrnn.load_model")
    if isinstance(task, Illustrates):
        for name, file in task.illustrate(begun.model, state.params, data, path).items():
            print(f"{name + ':':9} {file}")
    write_sample(begun, state, path)
    return 0


def _said(metrics: dict, score: str) -> str:
    """Format held-out metrics, the score first: "0.061 nats, accuracy 0.983"; null in metrics.jsonl is NaN."""
    first = math.nan if metrics[score] is None else metrics[score]
    others = (f", {name} {value:.3f}" for name, value in metrics.items() if name != score and isinstance(value, float))
    return f"{first:.3f} {score}{''.join(others)}".replace("_", " ")
