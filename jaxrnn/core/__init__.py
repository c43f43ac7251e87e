"""The protocols and basic functions that the rest of the library uses.

A cell is a value: a frozen dataclass of hyperparameters without arrays.  Its four methods are pure functions of its
parameters:

    init(key) → params                          initial_carry(params, batch_shape) → carry
    project(params, xs) → zs   all steps        step(params, carry, z) → (carry, y)   one step

`project` computes what does not depend on the carry, for every step at once; `step` computes the rest.  The backward
pass splits at the same place (`LocalRules`), and `AutodiffRules` derives its three functions for any cell.

Start with `Cell`, the protocol that your own cell must satisfy.  For rows of unequal length, use `mask_from_lengths`,
or `pad` for a list of series.  `with_noise` adds the random numbers that a cell with dropout needs to its inputs, and
`quiet` returns the cell without noise.  `Timed` is an input with the time between its steps, for the cells of
`jaxrnn.cells.continuous`.

Chapter 一 and 2.2; Goodfellow et al. 2016, §10.1 and §10.2.
"""

from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.local_rules import AutodiffRules
from jaxrnn.core.masks import Padded, mask_from_lengths, pad
from jaxrnn.core.noise import DrawsNoise, Noisy, quiet, with_noise
from jaxrnn.core.types import Carry, Cell, Inputs, Key, LocalRules, Params, ReadsTime, Timed
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "AutodiffRules",
    "Carry",
    "CarryParts",
    "Cell",
    "DrawsNoise",
    "Inputs",
    "Key",
    "LocalRules",
    "Noisy",
    "Padded",
    "Params",
    "ReadsTime",
    "Timed",
    "mask_from_lengths",
    "pad",
    "quiet",
    "with_noise",
]

register_records(__name__)
