"""jaxrnn export: write a trained model for machines without JAX or without jaxrnn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.convert.onnx.writing import to_onnx
from jaxrnn.convert.stablehlo import export
from jaxrnn.tasks.data import InputError

HELP = """Write a trained model as a file that other programs run.

examples:
  jaxrnn export runs/text --onnx model.onnx       for onnxruntime, with native nodes where it has them
  jaxrnn export runs/text --stablehlo programs    programs of any model, for JAX without jaxrnn"""


@dataclass(frozen=True)
class Export:
    """The options of `export`."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """The folder of a run or of a model; None is the newest of runs/."""
    onnx: str | None = None
    """Write an ONNX file of this name, in float32."""

    stablehlo: str | None = None
    """Write a folder of StableHLO programs of this name."""

    def __post_init__(self):
        if self.onnx is None and self.stablehlo is None:
            raise InputError("say what to write: --onnx FILE or --stablehlo FOLDER.")


def run(argv: list[str]) -> int:
    """Write the files, and print their inputs and outputs."""
    options = parse(Export, argv, prog="jaxrnn export", description=HELP)
    trained = find_trained(options.run)
    if options.onnx is not None:
        params = jax.tree.map(lambda leaf: leaf.astype("float32"), trained.params)
        to_onnx(trained.experiment.model, params, Path(options.onnx))
        print(f"{options.onnx}: {_interface(Path(options.onnx))}")
    if options.stablehlo is not None:
        export(trained.experiment.model, trained.params, options.stablehlo)
        print(f"{options.stablehlo}: README.md there has the lines that load it")
    return 0


def _interface(path: Path) -> str:
    """Return the inputs and outputs of an ONNX file, in one line."""
    import onnx

    graph = onnx.load(path).graph
    names = [", ".join(value.name for value in values) for values in (graph.input, graph.output)]
    return f"from {names[0]} to {names[1]}"
