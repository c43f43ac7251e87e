"""A model as JSON, and back: the class and the fields of a frozen dataclass, and of those in its fields.

    {"class": "patterns.ManyToMany", "fields": {"cell": {"class": "cells.GRU", "fields": {…}}, …, "target": "class"}}

A class is known by its public name in a namespace, never by a path of a file, and nothing is imported for a file's
sake: a name that is not one of the library's public dataclasses, nor of those that the reader gives, is refused.  So
reading a model runs no code but the constructors of known classes, which check their fields.
"""

import dataclasses
import functools
import math
from typing import Any

from jaxrnn import (
    cells,
    constraints,
    core,
    directions,
    generation,
    linear,
    memory,
    objectives,
    patterns,
    reservoirs,
    seq2seq,
    trees,
)
from jaxrnn.cells import continuous, wrappers
from jaxrnn.linear import blocks, matrix
from jaxrnn.training.saving.records import CheckpointError

_NAMESPACES = (core, objectives, cells, wrappers, continuous, constraints, linear, matrix, blocks, directions)
_NAMESPACES += (patterns, generation, seq2seq, trees, reservoirs, memory)
"""The namespaces whose public dataclasses a model may contain."""
_PLAIN = (str, int, bool, type(None))


def to_blueprint(value: Any) -> Any:
    """Return a model, or a field of one, as JSON.

    Raises:
      TypeError: a field that is neither a number, a string, None, a tuple of such, nor a dataclass.

    >>> from jaxrnn import GRU
    >>> to_blueprint(GRU(3, 5))
    {'class': 'cells.GRU', 'fields': {'input_size': 3, 'hidden_size': 5, 'reset': 'before'}}
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if type(value) is tuple:
        return {"tuple": [to_blueprint(part) for part in value]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return {"class": class_name(type(value)), "fields": {name: to_blueprint(part) for name, part in fields.items()}}
    raise TypeError(
        f"a model's fields must be numbers, strings, None, tuples or dataclasses to be saved, got {value!r}: make it a "
        "frozen dataclass."
    )


def from_blueprint(blueprint: Any, classes: tuple[type, ...] = ()) -> Any:
    """Build the model that `to_blueprint` described.

    Args:
      blueprint: JSON.
      classes: classes of the reader, which a model may contain besides the library's.

    Raises:
      CheckpointError: an unknown class, which is named; fields that its constructor does not take.

    >>> from_blueprint({"class": "cells.GRU", "fields": {"input_size": 3, "hidden_size": 5}})
    GRU(input_size=3, hidden_size=5, reset='before')
    >>> from_blueprint({"class": "os.system", "fields": {}})
    Traceback (most recent call last):
    jaxrnn.training.saving.records.CheckpointError: 'os.system' must be a public class of jaxrnn or one of ...
    """
    if isinstance(blueprint, (*_PLAIN, float)):
        return blueprint
    match blueprint:
        case {"float": ("inf" | "-inf" | "nan") as number, **rest} if not rest:
            return float(number)
        case {"tuple": list(parts), **rest} if not rest:
            return tuple(from_blueprint(part, classes) for part in parts)
        case {"class": str(name), "fields": dict(fields), **rest} if not rest:
            known = _library() | {class_name(own): own for own in classes}
            if name not in known:
                raise CheckpointError(
                    f"{name!r} must be a public class of jaxrnn or one of `classes`: a model's file cannot bring its "
                    f"own code; load_model(folder, classes=({name.rsplit('.')[-1]},)) if you have it and trust it."
                )
            try:
                return known[name](**{field: from_blueprint(part, classes) for field, part in fields.items()})
            except CheckpointError:
                raise
            except (TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(f"{name} cannot be built from the fields in the file: {error}") from error
    raise CheckpointError(f"a model must be described by class and fields, got {str(blueprint)[:100]}.")


def class_name(kind: type) -> str:
    """Return the name by which a class is known in a file.

    >>> from jaxrnn import Stack
    >>> class_name(Stack)
    'cells.wrappers.Stack'
    """
    name = f"{kind.__module__.rpartition('.')[0].removeprefix('jaxrnn.')}.{kind.__qualname__}"
    return name if _library().get(name) is kind else f"{kind.__module__}.{kind.__qualname__}"


@functools.cache
def _library() -> dict[str, type]:
    """Return the public dataclasses of the namespaces, by name."""
    return {
        f"{namespace.__name__.removeprefix('jaxrnn.')}.{name}": kind
        for namespace in _NAMESPACES
        for name in namespace.__all__
        if isinstance(kind := getattr(namespace, name), type) and dataclasses.is_dataclass(kind)
    }
