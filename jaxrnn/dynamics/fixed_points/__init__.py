"""Fixed points of a network: drawing starts, searching, and linearizing at each point.

    h* = f(h*, x),      f(h* + δ, x + ε) ≈ h* + A δ + B ε

Analyze a trained network in four steps: draw starts from its own trajectories (`sample_starts`), search from all of
them at once (`find`), keep the distinct points (`distinct`; `reasons` says why the others are dropped), and linearize
the network at each point (`linearize`):

    starts = sample_starts(key, cell, params, xs, count=1024, noise=0.1)
    found = find(cell, params, x, starts.carry)
    points = distinct(found)
    modes = linearize(cell, params, points.x, points.h)

Every step works for any cell, whatever its carry, and under `jax.vmap` over networks.  `selection_vectors` shows which
input a fixed point integrates; `follow` sweeps an input and finds where points appear, vanish or change their
stability.  `draw_trajectories`, `draw_phase_portrait` and `draw_branches` draw the figures.

References: Sussillo & Barak 2013; Golub & Sussillo 2018; Mante et al. 2013; chapter 3.1.
"""

from jaxrnn.dynamics.fixed_points.branch_figure import draw_branches
from jaxrnn.dynamics.fixed_points.branches import Bifurcation, Branches, follow
from jaxrnn.dynamics.fixed_points.linearization import Modes, Stability, as_carries, linearize, selection_vectors
from jaxrnn.dynamics.fixed_points.merging import Outcome, Points, distinct, reasons
from jaxrnn.dynamics.fixed_points.phase_portrait import draw_phase_portrait
from jaxrnn.dynamics.fixed_points.search import Found, find
from jaxrnn.dynamics.fixed_points.starts import Starts, sample_starts
from jaxrnn.dynamics.fixed_points.trajectory_figure import draw_trajectories
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "Bifurcation",
    "Branches",
    "Found",
    "Modes",
    "Outcome",
    "Points",
    "Stability",
    "Starts",
    "as_carries",
    "distinct",
    "draw_branches",
    "draw_phase_portrait",
    "draw_trajectories",
    "find",
    "follow",
    "linearize",
    "reasons",
    "sample_starts",
    "selection_vectors",
]

register_records(__name__)
