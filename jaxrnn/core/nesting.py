"""Networks as trees of dataclasses: cells in the fields of other cells."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any


def parts(network: Any) -> Iterator[Any]:
    """Return the direct parts of a network: the entries of a tuple, the fields of a dataclass.

    >>> from jaxrnn import Dropout, LSTM
    >>> list(parts(Dropout(LSTM(3, 5), 0.5)))
    [LSTM(input_size=3, hidden_size=5, peephole=None), 0.5, 'sequence']
    """
    if type(network) is tuple:
        yield from network
    elif dataclasses.is_dataclass(network) and not isinstance(network, type):
        yield from (getattr(network, field.name) for field in dataclasses.fields(network))


def map_parts(function: Callable[[Any], Any], network: Any) -> Any:
    """Apply `function` to every part of a network, innermost first and the network itself last.

    >>> from jaxrnn import LSTM, Stack
    >>> map_parts(lambda part: 8 if part == 5 else part, Stack((LSTM(3, 5), LSTM(5, 5))))
    Stack(cells=(LSTM(input_size=3, hidden_size=8, peephole=None), LSTM(input_size=8, hidden_size=8, peephole=None)))
    """
    if type(network) is tuple:
        return function(tuple(map_parts(function, part) for part in network))
    if not dataclasses.is_dataclass(network) or isinstance(network, type):
        return function(network)
    fields = [field.name for field in dataclasses.fields(network) if field.init]
    changed = {name: map_parts(function, getattr(network, name)) for name in fields}
    return function(dataclasses.replace(network, **changed))
