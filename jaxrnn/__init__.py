"""Recurrent networks as pure functions for JAX.

The names that nearly every program needs are here; everything else lives in the namespace of its section:

    core         the protocol of a cell, masks, noise, and the rules that derive explicit gradients
    objectives   read-outs and losses
    cells        Elman, LSTM, GRU and related cells; `cells.wrappers` adds depth, dropout, leaks, normalization;
                 `cells.continuous` has rate networks and cells that read the time between two steps
    constraints  Dale's principle, areas, sparsity, low rank, as maps of the parameters
    linear       cells that are linear in their carry
    unrolling    running a cell over a sequence, and the gradient through time; `.parallel`, `.fused`
    online       gradients forward in time: RTRL, UORO, SnAp, e-prop
    directions   bidirectional and two-dimensional networks
    patterns     many-to-many, many-to-one, feedback, teacher forcing
    seq2seq      attention and the encoder-decoder
    generation   sampling, beam search, stopping
    dynamics     Jacobians, Lyapunov exponents, fixed points, Ω
    trees        recursive networks
    reservoirs   echo state networks and liquid state machines
    memory       the neural Turing machine and memory networks
    training     updates, clipping, time scales; `training.saving` saves checkpoints and weights
    convert      weights and models from and to other libraries
    tasks        the data and the model of each task of `jaxrnn train`
    machines     meshes of devices, and programs for other processes
    testing      the laws, as tests of your own cell
"""

from importlib import import_module

TYPE_CHECKING = False  # as in `typing`, whose import would be the slowest part of this module
if TYPE_CHECKING:
    from jaxrnn import (
        cells,
        constraints,
        convert,
        core,
        directions,
        dynamics,
        generation,
        linear,
        machines,
        memory,
        objectives,
        online,
        patterns,
        reservoirs,
        seq2seq,
        tasks,
        testing,
        training,
        trees,
        unrolling,
    )
    from jaxrnn.cells import GRU, LSTM, Elman
    from jaxrnn.cells.wrappers import Dropout, LayerNorm, Leaky, Stack
    from jaxrnn.core import AutodiffRules, Cell, LocalRules, mask_from_lengths, quiet, with_noise
    from jaxrnn.directions import Bidirectional
    from jaxrnn.dynamics import choose_method, diagnose
    from jaxrnn.generation import EndSymbol, SymbolModel, beam_search, greedy, sample
    from jaxrnn.linear import LRU, MinGRU
    from jaxrnn.objectives import Readout, bernoulli, cross_entropy, squared_error
    from jaxrnn.patterns import ManyToMany, ManyToOne, last_valid
    from jaxrnn.reservoirs import ESN
    from jaxrnn.seq2seq import Attention, Seq2Seq
    from jaxrnn.training.saving import load_model, save_model
    from jaxrnn.unrolling import (
        bptt,
        unroll,
        unroll_bptt,
        unroll_checkpointed,
        unroll_layers,
        unroll_loss,
        unroll_python,
        unroll_truncated,
    )
    from jaxrnn.unrolling.parallel import unroll_associative, unroll_newton

__version__ = "0.1.0"

_HOMES = (
    "machines",
    "core",
    "objectives",
    "cells",
    "cells.wrappers",
    "linear",
    "unrolling",
    "unrolling.parallel",
    "online",
    "directions",
    "patterns",
    "generation",
    "seq2seq",
    "dynamics",
    "trees",
    "reservoirs",
    "memory",
    "training",
    "training.saving",
)
_ON_DEMAND = ("constraints", "convert", "tasks", "testing")


def __getattr__(name: str):
    """Import the public names at the first use of any; `jaxrnn --help` needs none of them, nor JAX.

    What few programs need is imported at its own first use.
    """
    if name in _ON_DEMAND:
        return import_module(f"jaxrnn.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'jaxrnn' has no attribute {name!r}")
    for folder in _HOMES:
        home = import_module(f"jaxrnn.{folder}")
        globals().update({public: getattr(home, public) for public in __all__ if public in home.__all__})
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "ESN",
    "GRU",
    "LRU",
    "LSTM",
    "Attention",
    "AutodiffRules",
    "Bidirectional",
    "Cell",
    "Dropout",
    "Elman",
    "EndSymbol",
    "LayerNorm",
    "Leaky",
    "LocalRules",
    "ManyToMany",
    "ManyToOne",
    "MinGRU",
    "Readout",
    "Seq2Seq",
    "Stack",
    "SymbolModel",
    "beam_search",
    "bernoulli",
    "bptt",
    "cells",
    "choose_method",
    "constraints",
    "convert",
    "core",
    "cross_entropy",
    "diagnose",
    "directions",
    "dynamics",
    "generation",
    "greedy",
    "last_valid",
    "linear",
    "load_model",
    "machines",
    "mask_from_lengths",
    "memory",
    "objectives",
    "online",
    "patterns",
    "quiet",
    "reservoirs",
    "sample",
    "save_model",
    "seq2seq",
    "squared_error",
    "tasks",
    "testing",
    "training",
    "trees",
    "unroll",
    "unroll_associative",
    "unroll_bptt",
    "unroll_checkpointed",
    "unroll_layers",
    "unroll_loss",
    "unroll_newton",
    "unroll_python",
    "unroll_truncated",
    "unrolling",
    "with_noise",
]
