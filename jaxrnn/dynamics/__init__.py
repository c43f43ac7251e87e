"""dynamics."""

from jaxrnn.dynamics.advice import Advice, choose_method
from jaxrnn.dynamics.diagnosis import Diagnosis, diagnose
from jaxrnn.dynamics.information_flow import Flow, loss_and_flow, omega, omega_terms, pascanu_omega, pascanu_omega_terms
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
from jaxrnn.dynamics.lyapunov import FixedPoints, fixed_points, lyapunov_spectrum
from jaxrnn.dynamics.states import Trajectory, trajectory

__all__ = [
    "Advice",
    "Diagnosis",
    "FixedPoints",
    "Flow",
    "Growth",
    "Trajectory",
    "choose_method",
    "departure_from_normality",
    "diagnose",
    "fixed_points",
    "growth",
    "hidden_gradients",
    "jacobian_product",
    "loss_and_flow",
    "lyapunov_spectrum",
    "memory_length",
    "omega",
    "omega_terms",
    "pascanu_omega",
    "pascanu_omega_terms",
    "product_variance",
    "sample_products",
    "step_jacobians",
    "symmetric_power",
    "trajectory",
    "weight_variance",
]
