"""How far apart are two networks, how far may one step, and which step does each trust ask for?

Two networks of the same shape are compared layer by layer: deep relative trust compounds the relative sizes
r_l = ‖W_l' − W_l‖_F / ‖W_l‖_F, its surrogate splits into layers, Euclidean trust knows nothing of layers.

A step along the gradients is then a choice of sizes r_l. All that the choice depends on are the layers'
slopes t_l = η‖W_l‖‖g_l‖, numbers without unit: the linear model loses t_l·r_l in layer l, times 1/η. The
surrogate's best sizes have a formula for any depth, the constraint r_l ≤ η is its limit, and the exact
problem, where layers are coupled, comes down to one equation in one unknown.
"""

from fromage_edu.trust.distances import (
    Weights,
    deep_relative_trust,
    distance,
    euclidean_trust,
    frobenius_norm,
    relative_sizes,
    surrogate_trust,
)
from fromage_edu.trust.exact import descent_objective, exact_sizes, split_slope, symmetric_size
from fromage_edu.trust.surrogate import (
    hard_constraint_step,
    surrogate_objective,
    surrogate_sizes,
    surrogate_step,
)

__all__ = [
    "Weights",
    "deep_relative_trust",
    "descent_objective",
    "distance",
    "euclidean_trust",
    "exact_sizes",
    "frobenius_norm",
    "hard_constraint_step",
    "relative_sizes",
    "split_slope",
    "surrogate_objective",
    "surrogate_sizes",
    "surrogate_step",
    "surrogate_trust",
    "symmetric_size",
]
