"""Public names: documented with an example, and importable by exactly one path.

ruff checks that every name has a docstring and that `Args` has every argument.
"""

import importlib
import inspect
from collections import Counter

import pytest

import jaxrnn
from tests.test_layers import EXISTING

SPACES = [name for name in EXISTING if not name.startswith("commands")]
PUBLIC = [
    (space, name)
    for space in SPACES
    for name in importlib.import_module(f"jaxrnn.{space}").__all__
    if not inspect.ismodule(getattr(importlib.import_module(f"jaxrnn.{space}"), name))
]
DOCUMENTED = [
    (space, name) for space, name in PUBLIC if callable(getattr(importlib.import_module(f"jaxrnn.{space}"), name))
]


def the(space: str, name: str):
    return getattr(importlib.import_module(f"jaxrnn.{space}"), name)


def is_alias(value) -> bool:
    """Return whether a value is a type alias such as `Params`, which has no docstring of its own."""
    of_ours = getattr(value, "__module__", "").startswith("jaxrnn")
    return not of_ours or not (inspect.isfunction(value) or inspect.isclass(value))


@pytest.mark.parametrize("space, name", DOCUMENTED, ids=lambda x: x)
def test_every_public_name_is_documented(space, name):
    value = the(space, name)
    if is_alias(value):
        return
    doc = inspect.getdoc(value) or ""
    about = doc + inspect.getmodule(value).__doc__ + importlib.import_module(f"jaxrnn.{space}").__doc__
    assert doc
    assert ">>>" in doc or getattr(value, "_is_protocol", False) or issubclass_of(value, Exception), "no doctest"
    assert any(word in about for word in ("Reference", "hapter", "et al.", "§")), "no reference"
    if inspect.isfunction(value):
        if inspect.signature(value).parameters:
            assert "Args:" in doc, "no Args"
        if inspect.signature(value).return_annotation not in (None, inspect.Signature.empty, "None"):
            assert "Returns:" in doc, "no Returns"
    elif hasattr(value, "batch_at"):
        return  # the options of a task are documented field by field, as the help of the command line
    elif not issubclass_of(value, (tuple, Exception)) and not getattr(value, "_is_protocol", False):
        assert "Args:" in doc or not inspect.signature(value).parameters, "no Args"


def issubclass_of(value, kinds) -> bool:
    return inspect.isclass(value) and issubclass(value, kinds)


def test_every_public_name_has_one_path():
    values = [(space, name, the(space, name)) for space, name in DOCUMENTED]
    counts = Counter(id(value) for _, _, value in values if not is_alias(value))
    assert [f"{space}.{name}" for space, name, value in values if counts[id(value)] > 1] == []


def test_the_names_on_top_are_in_their_namespaces():
    spaces = {space.split(".")[0] for space in SPACES}
    top = set(jaxrnn.__all__) - spaces
    assert top <= {name for _, name in PUBLIC}


@pytest.mark.parametrize("space", SPACES)
def test_a_namespace_leaks_nothing(space):
    module = importlib.import_module(f"jaxrnn.{space}")
    ours = {n: v for n, v in vars(module).items() if getattr(v, "__module__", "").startswith("jaxrnn")}
    values = {n for n in ours if not n.startswith("_")} - {"register_records"}  # every namespace calls it for its own
    assert values <= set(module.__all__)
