"""The papers' inequalities as functions that return what was measured and what bounds it.

`core` holds what they return, `scalar` networks of one number a layer, `growth` the exponential limit of deep
relative trust, `transmissions` the constants of nonlinearities, `matrices` Lemmas 1, 3, 4, 5 and Theorem 3,
`functions` Lemma 2 and Theorem 1, `jacobians` Proposition 1 and Theorem 2; `pairs` reads a network before and
after a change.
"""

from fromage_edu.bounds.core import Bound, HypothesisError, LogBound
from fromage_edu.bounds.functions import (
    frobenius_bound,
    functional_bound,
    functional_constant,
    magnitude_bound,
    operator_bound,
    restricted_bound,
    tau,
)
from fromage_edu.bounds.growth import exponential_bound
from fromage_edu.bounds.jacobians import (
    GradientFactors,
    JacobianConstants,
    gradient_factors,
    jacobian_bound,
    jacobian_constants,
    layer_jacobian,
)
from fromage_edu.bounds.matrices import (
    MatvecBounds,
    is_valley,
    matmat_bounds,
    matvec_bounds,
    mirsky_bound,
    product_bound,
    sum_bound,
)
from fromage_edu.bounds.scalar import ScalarTerms, scalar_bound, scalar_chain_bound, scalar_terms
from fromage_edu.bounds.transmissions import Transmission, estimate_transmission, transmission

__all__ = [
    "Bound",
    "GradientFactors",
    "HypothesisError",
    "JacobianConstants",
    "LogBound",
    "MatvecBounds",
    "ScalarTerms",
    "Transmission",
    "estimate_transmission",
    "exponential_bound",
    "frobenius_bound",
    "functional_bound",
    "functional_constant",
    "gradient_factors",
    "is_valley",
    "jacobian_bound",
    "jacobian_constants",
    "layer_jacobian",
    "magnitude_bound",
    "matmat_bounds",
    "matvec_bounds",
    "mirsky_bound",
    "operator_bound",
    "product_bound",
    "restricted_bound",
    "scalar_bound",
    "scalar_chain_bound",
    "scalar_terms",
    "sum_bound",
    "tau",
    "transmission",
]
