"""A tiny generator for each stop rule, and every sequence that it can make."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn import GRU, LSTM, Elman, EndSymbol, SymbolModel
from jaxrnn.generation import StopRule, StopUnit, log_likelihood
from tests.random_params import random_params

VOCABULARY, BOUND, START = 3, 3, 1
RULES = ("end symbol", "stop unit", "predicted length")


class Case(NamedTuple):
    """A model with its parameters."""

    model: SymbolModel
    params: Any

    def carry(self, batch: tuple[int, ...] = ()):
        return self.model.initial_carry(self.params, batch)

    def rule(self, batch: tuple[int, ...], params: Any = None) -> StopRule:
        """Return the stop rule that the model was built for."""
        return rule_of(self.model, self.params if params is None else params, batch)

    def likelihood(self, symbols, lengths, stopped=None, params: Any = None) -> jax.Array:
        """Return log P of every row."""
        return likelihood(self.model, self.params if params is None else params, symbols, lengths, stopped)


def rule_of(model: SymbolModel, params: Any, batch: tuple[int, ...]) -> StopRule:
    if model.longest is not None:
        return model.predicted_length(params, batch)
    return StopUnit() if model.stop_unit else EndSymbol(0)


@jax.jit
def likelihood(model: SymbolModel, params: Any, symbols, lengths, stopped) -> jax.Array:
    outputs = model.apply(params, symbols, lengths, start=START)
    return log_likelihood(rule_of(model, params, lengths.shape), outputs, symbols, lengths, stopped=stopped)


@functools.cache
def make(rule: str, seed: int = 0, bound: int = BOUND) -> Case:
    """Weights and biases spread by 0.8, so that no two sequences are about as likely."""
    cell = {"end symbol": Elman(4, 5), "stop unit": LSTM(4, 5), "predicted length": GRU(4, 5)}[rule]
    longest = bound if rule == "predicted length" else None
    model = SymbolModel(cell, VOCABULARY, 4, 5, stop_unit=rule == "stop unit", longest=longest)
    return Case(model, random_params(model, seed, scale=0.8))


class Everything(NamedTuple):
    """All sequences of up to `bound` symbols, stopped and, at the bound, not; one a row."""

    symbols: np.ndarray
    lengths: np.ndarray
    stopped: np.ndarray

    def key(self, row: int) -> tuple[tuple[int, ...], bool]:
        """Return the symbols of the row and whether it stopped, which distinguish it from every other row."""
        length = int(self.lengths[row])
        return tuple(self.symbols[:length, row].tolist()), bool(self.stopped[row])


@functools.cache
def every_sequence(bound: int = BOUND) -> Everything:
    rows = [
        (word, stopped)
        for length in range(1, bound + 1)
        for word in itertools.product(range(VOCABULARY), repeat=length)
        for stopped in ((True, False) if length == bound else (True,))
    ]
    symbols = [[*word, *[-1] * (bound - len(word))] for word, _ in rows]
    lengths, stopped = [len(word) for word, _ in rows], [stopped for _, stopped in rows]
    return Everything(np.array(symbols).T, np.array(lengths), np.array(stopped))
