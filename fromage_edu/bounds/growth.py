"""How deep relative trust compounds: it lies between a sum of squares and an exponential."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fromage_edu.bounds.core import Bound
from fromage_edu.trust import deep_relative_trust
from fromage_edu.trust.precision import working_dtype

__all__ = ["exponential_bound"]


def exponential_bound(sizes: Tensor | Sequence[float]) -> Bound:
    """D ≤ e^S − 1 with S = Σ r_l²: deep relative trust below the exponential that it tends to.

    For equal sizes x/√L, so that S = x² stays fixed, D rises to e^S − 1 as L → ∞. At a fixed depth D is a
    polynomial of the sizes; it is exponential in depth at a fixed size per layer. Also S ≤ D.

    Args:
        sizes: relative sizes r_l ≥ 0, shape (..., L); a sequence of numbers is read as float64.

    Returns:
        Bound of D and e^S − 1, each (...), without unit; the dtype of `sizes`.

    Raises:
        TypeError: for complex or boolean sizes.
        ValueError: for NaN, a negative size, or no layers.

    >>> exponential_bound([0.1] * 100).slack.round(decimals=3)
    tensor(1.0080, dtype=torch.float64)

    Source: Fromage paper, section 5 (F18).
    """
    trust = deep_relative_trust(sizes)
    if not isinstance(sizes, Tensor):
        sizes = torch.stack([torch.as_tensor(size, dtype=torch.float64) for size in sizes])
    squares = sizes.to(working_dtype(sizes.device)).square().sum(-1)
    return Bound(trust, squares.expm1().to(trust.dtype))
