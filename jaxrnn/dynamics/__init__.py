"""Networks as dynamical systems: how their gradients and states evolve over time.

    ∇_{h⁽⁰⁾} = (J⁽¹⁾)ᵀ ⋯ (J⁽ᵗ⁾)ᵀ ∇_{h⁽ᵗ⁾},        J⁽ᵗ⁾ = ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾

Products of many Jacobians shrink or grow exponentially: that is the problem of long-term dependencies.  Start with
`diagnose`, which runs a network once and reports how far its gradients reach, its Lyapunov exponents and what to
change.  `step_jacobians`, `hidden_gradients` and `lyapunov_spectrum` are its parts; `growth` and
`departure_from_normality` cover the linear case of 3.1.  `omega` is the regularizer Ω that keeps gradients from
vanishing.  `choose_method` says which member of the unroll family suits a network.  `jaxrnn.dynamics.fixed_points`
analyzes a trained network: its fixed points, their stability, and which input each of them integrates.

Chapter 3.1 and 3.4; Goodfellow et al. 2016, §10.7 and §10.11.2; Pascanu, Mikolov & Bengio 2013.
"""

from importlib import import_module

from jaxrnn.dynamics.advice import Advice, choose_method
from jaxrnn.dynamics.diagnosis import Diagnosis, diagnose
from jaxrnn.dynamics.information_flow import Flow, loss_and_flow, omega, omega_terms, pascanu_omega
from jaxrnn.dynamics.jacobians import hidden_gradients, jacobian_product, memory_length, step_jacobians
from jaxrnn.dynamics.linear_case import (
    Growth,
    departure_from_normality,
    growth,
    product_variance,
    sample_products,
    symmetric_power,
    weight_variance,
)
from jaxrnn.dynamics.lyapunov import lyapunov_spectrum
from jaxrnn.dynamics.states import Trajectory, trajectory
from jaxrnn.machines.plain_trees import register_records


def __getattr__(name: str):
    """Import a nested namespace at its first use."""
    if name == "fixed_points":
        return import_module(f"jaxrnn.dynamics.{name}")
    raise AttributeError(f"module 'jaxrnn.dynamics' has no attribute {name!r}")


__all__ = [
    "Advice",
    "Diagnosis",
    "Flow",
    "Growth",
    "Trajectory",
    "choose_method",
    "departure_from_normality",
    "diagnose",
    "growth",
    "hidden_gradients",
    "jacobian_product",
    "loss_and_flow",
    "lyapunov_spectrum",
    "memory_length",
    "omega",
    "omega_terms",
    "pascanu_omega",
    "product_variance",
    "sample_products",
    "step_jacobians",
    "symmetric_power",
    "trajectory",
    "weight_variance",
]

register_records(__name__)
