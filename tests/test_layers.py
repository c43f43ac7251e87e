"""The structure of the package: imports go downward through one ordered list of folders, and a name means one thing."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "jaxrnn"
FOLDERS = [
    "machines",
    "core",
    "objectives",
    "cells",
    "cells.continuous",
    "cells.wrappers",
    "constraints",
    "linear",
    "linear.matrix",
    "linear.blocks",
    "unrolling",
    "unrolling.parallel",
    "unrolling.fused",
    "online",
    "directions",
    "patterns",
    "generation",
    "seq2seq",
    "dynamics",
    "dynamics.fixed_points",
    "trees",
    "reservoirs",
    "memory",
    "training",
    "training.saving",
    "convert",
    "convert.onnx",
    "tasks",
    "tasks.sequences",
    "tasks.translation",
    "tasks.trees",
    "tasks.reservoirs",
    "tasks.memory",
    "tasks.tracking",
    "tasks.cognitive",
    "testing",
    "commands.runs",
    "commands",
]
"""A module imports from its own folder and from those before it; `__init__.py` stands above its folder's modules."""
EXISTING = [name for name in FOLDERS if (ROOT / name.replace(".", "/")).is_dir()]
MODULES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py" and p.parent != ROOT)
MOST_FILES = 13


def folder_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


def imported_folders(path: Path) -> set[str]:
    """Return the folders of jaxrnn from which a file imports at its top level."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jaxrnn":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == "jaxrnn"]
        else:
            continue
        found |= {_folder_of_name(name) for name in names}
    return found


def _folder_of_name(name: str) -> str:
    """`jaxrnn.cells.lstm.LSTM` → `cells`; the package itself is ``."""
    parts = name.split(".")[1:]
    while parts and not ROOT.joinpath(*parts).is_dir():
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_from_a_folder_above_its_own(path):
    home = FOLDERS.index(folder_of(path))
    above = {name for name in imported_folders(path) if name == "" or FOLDERS.index(name) > home}
    assert not above


def test_every_folder_is_in_the_list():
    assert {folder_of(path) for path in MODULES} == set(EXISTING)


@pytest.mark.parametrize("name", EXISTING)
def test_no_folder_has_more_files_than_one_can_overlook(name):
    assert len(list((ROOT / name.replace(".", "/")).glob("*.py"))) <= MOST_FILES


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_bears_the_name_of_what_it_defines(path):
    defined = {n.name for n in ast.parse(path.read_text()).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert path.stem not in defined


def test_the_root_holds_the_public_names_the_command_and_nothing_else():
    files = {path.name for path in ROOT.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}


def test_at_most_fifty_names_are_on_top():
    import jaxrnn

    names = [name for name in jaxrnn.__all__ if not (ROOT / name).is_dir()]
    assert len(names) <= 50


def test_the_names_on_top_are_those_that_type_checkers_see():
    import jaxrnn

    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(seen) == sorted(jaxrnn.__all__)
    for name, module in seen.items():
        nested = f"{module}.{name}"
        expected = importlib.import_module(nested) if module == "jaxrnn" else getattr(sys.modules[module], name)
        assert getattr(jaxrnn, name) is expected


def test_importing_the_package_or_the_command_line_imports_no_jax():
    program = "import jaxrnn, jaxrnn.__main__, jaxrnn.commands.runs.signals, sys; print('jax' in sys.modules)"
    env = os.environ | {"PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done


@pytest.mark.parametrize("name", EXISTING)
def test_a_namespace_holds_what_it_names(name):
    if name.startswith("commands"):
        return
    module = importlib.import_module(f"jaxrnn.{name}")
    assert module.__doc__
    assert all(hasattr(module, public) for public in module.__all__)
