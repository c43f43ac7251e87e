"""jaxrnn export: a trained model for a machine where JAX is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.convert.onnx_writing import to_onnx
from jaxrnn.tasks.data import InputError

HELP = """Write a trained model as a file that other programs run.

examples:
  jaxrnn export runs/text --onnx model.onnx       native RNN, GRU and LSTM nodes, for onnxruntime
"""


@dataclass(frozen=True)
class Export:
    """What is written."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """The folder of a run or of a model; None is the newest of runs/."""
    onnx: str | None = None
    """Write an ONNX file of this name, in float32."""

    def __post_init__(self):
        if self.onnx is None:
            raise InputError("say what to write: --onnx FILE.")


def run(argv: list[str]) -> int:
    """Write the file, and say what it takes and gives."""
    options = parse(Export, argv, prog="jaxrnn export", description=HELP)
    trained = find_trained(options.run)
    if options.onnx is not None:
        params = jax.tree.map(lambda leaf: leaf.astype("float32"), trained.params)
        to_onnx(trained.experiment.model, params, Path(options.onnx))
        print(f"{options.onnx}: {_interface(Path(options.onnx))}")
    return 0


def _interface(path: Path) -> str:
    """The inputs and outputs of an ONNX file, in one line."""
    import onnx

    graph = onnx.load(path).graph
    names = [", ".join(value.name for value in values) for values in (graph.input, graph.output)]
    return f"from {names[0]} to {names[1]}"
