"""Imports go downward only: the layers of docs/design.md, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "jaxrnn"
LAYERS = [
    ("L0 words", "types checks precision initializers trees trees_from forest float64"),
    ("L1 one step", "cells addressing"),
    (
        "L2 all steps",
        "unroll blocks bptt bidirectional multidirectional unroll_layers checkpointed streaming truncated online"
        " unroll_tree bpts"
        " time_axis associative jacobians elk equations updates fixed_point newton"
        " stretches sharded newton_sharded fused",
    ),
    (
        "L3 objectives",
        "readout losses ridge washout least_squares echo"
        " sampling stopping timescales trajectory regularizers clipping scores attention attention_rules"
        " sensitivity linear lyapunov choose diagnostics diagnosis_figure",
    ),
    ("L4 models", "models generator decode beam teacher_forcing"),
    (
        "L5 use",
        "train devices checkpoint manifest durable leaves weights data pairs tasks plots memory_plots testing commands "
        "__main__",
    ),
]
LEVEL = {name: level for level, (_, names) in enumerate(LAYERS) for name in names.split()}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imported(path: Path) -> set[str]:
    """The jaxrnn modules that a file names at its top level: `jaxrnn.cells.lstm` → `cells`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jaxrnn":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jaxrnn.")}
    return found


def home(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_from_a_layer_above_its_own(path):
    above = {name for name in imported(path) if name in LEVEL and LEVEL[name] > LEVEL[home(path)]}
    assert not above


def test_every_module_has_a_layer():
    assert {home(path) for path in MODULES} == set(LEVEL)


def test_the_package_itself_holds_the_public_names_and_nothing_else():
    body = ast.parse((ROOT / "__init__.py").read_text()).body
    kinds = {type(node) for node in body[1:]}  # the docstring is the first
    assert kinds == {ast.ImportFrom, ast.Assign}
