"""Networks of one number a layer: the two-layer bound, term by term, and its extension to any depth."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fromage_edu.bounds.core import Bound, HypothesisError
from fromage_edu.trust import deep_relative_trust

__all__ = ["ScalarTerms", "scalar_bound", "scalar_chain_bound", "scalar_terms"]


class ScalarTerms(NamedTuple):
    """The proof of the scalar bound, term by term, with u = Δa/a and v = Δb/b.

    Three of each kind, in the last dimension:

    `squares` (u², v², u²v²) · `cross` (2·u·v, 2·u·uv, 2·uv·v) · `young` bounds each cross term by the sum of
    the two squares · `slacks` = young − cross = ((u−v)², (u−uv)², (uv−v)²) ≥ 0.
    """

    u: Tensor
    v: Tensor
    squares: Tensor
    cross: Tensor
    young: Tensor
    slacks: Tensor


def scalar_bound(a: float | Tensor, b: float | Tensor, da: float | Tensor, db: float | Tensor) -> Bound:
    """Two scalar layers f(x) = abx: [u + v + uv]² ≤ 3[(1 + u²)(1 + v²) − 1], u = Δa/a, v = Δb/b.

    The left side is the squared relative change of f for any x ≠ 0; the two sides are equal at u = v = 1.

    Args:
        a: weight of the first layer, not 0; number (read as float64) or tensor.
        b: weight of the second layer, not 0.
        da: change of a.
        db: change of b; the four broadcast.

    Returns:
        Bound of two tensors of the common shape, squared, without unit.

    Raises:
        HypothesisError: if a weight is 0 or anything is NaN or infinite.

    >>> scalar_bound(2.0, 3.0, 2.0, 3.0)
    Bound(measured=tensor(9., dtype=torch.float64), bound=tensor(9., dtype=torch.float64))

    Source: Fromage paper, section 3 and appendix (F11).
    """
    terms = scalar_terms(a, b, da, db)
    measured = (terms.u + terms.v + terms.u * terms.v).square()
    return Bound(measured, 3 * terms.squares.sum(-1))


def scalar_terms(a: float | Tensor, b: float | Tensor, da: float | Tensor, db: float | Tensor) -> ScalarTerms:
    """Every term of the proof of `scalar_bound`: squares, cross terms, their Young bounds, the slacks.

    [u + v + uv]² = Σ squares + Σ cross ≤ Σ squares + Σ young = 3 Σ squares.

    Args:
        a: weight of the first layer, not 0; number (read as float64) or tensor.
        b: weight of the second layer, not 0.
        da: change of a.
        db: change of b; the four broadcast.

    Returns:
        ScalarTerms: u and v of the common shape (...), the rest (..., 3); without unit.

    Raises:
        HypothesisError: if a weight is 0 or anything is NaN or infinite.

    >>> terms = scalar_terms(1.0, 1.0, 1.0, 0.5)
    >>> terms.cross.tolist(), terms.young.tolist(), terms.slacks.tolist()
    ([1.0, 1.0, 0.5], [1.25, 1.25, 0.5], [0.25, 0.25, 0.0])

    Source: Fromage paper, section 3 and appendix (F11).
    """
    u, v = _broadcast(_relative(a, da, "a", "da"), _relative(b, db, "b", "db"))
    monomials = torch.stack(torch.broadcast_tensors(u, v, u * v), dim=-1)
    squares = monomials.square()
    first, second = monomials[..., [0, 0, 2]], monomials[..., [1, 2, 1]]
    return ScalarTerms(
        u,
        v,
        squares,
        cross=2 * first * second,
        young=first.square() + second.square(),
        slacks=(first - second).square(),
    )


def scalar_chain_bound(weights: Tensor | Sequence[float], changes: Tensor | Sequence[float]) -> Bound:
    """L scalar layers: [∏(1 + u_l) − 1]² ≤ (2^L − 1)[∏(1 + u_l²) − 1], u_l = Δw_l/w_l.

    The constant counts the monomials of ∏(1 + u_l) − 1 (Cauchy–Schwarz) and is sharp at u = 1. Products are
    taken in logarithms, in float64: nothing overflows before the answer does.

    Args:
        weights: w_l, none of them 0, shape (..., L); a sequence of numbers is read as float64.
        changes: Δw_l, the same or a broadcastable shape.

    Returns:
        Bound of two tensors of shape (...), squared, without unit.

    Raises:
        HypothesisError: if a weight is 0 or anything is NaN or infinite.
        ValueError: if there are no layers.

    >>> scalar_chain_bound([2.0] * 3, [2.0] * 3).slack.round(decimals=9)
    tensor(1., dtype=torch.float64)

    Source: Fromage paper, section 3, extended to L layers (F11).
    """
    u = _relative(weights, changes, "weights", "changes")
    if not u.ndim or not u.shape[-1]:
        raise ValueError(
            f"weights have shape {tuple(u.shape)}: the last dimension must hold one weight per layer"
        )
    dtype, u, depth = u.dtype, u.double(), u.shape[-1]
    # ∏(1 + u) = sign · exp(magnitude); log1p keeps small u exact, and 1 + u may well be negative.
    factors = 1 + u
    logs = torch.where(u > -0.5, u.clamp(min=-0.5).log1p(), factors.abs().log())
    magnitude, sign = logs.sum(-1), factors.sign().prod(-1)
    change = torch.where(sign > 0, magnitude.expm1(), sign * magnitude.exp() - 1)
    # 2^L − 1 = (1 − 2^(−L)) · 2^L, the power in parts: 2^1024 alone leaves float64.
    bound = deep_relative_trust(u.abs()) * (1 - 2.0**-depth)
    for bits in [1000] * (depth // 1000) + [depth % 1000]:
        bound = bound * 2.0**bits
    return Bound(change.square().to(dtype), bound.to(dtype))


def _relative(weight, change, weight_name, change_name) -> Tensor:
    weight, change = _real(weight, weight_name), _real(change, change_name)
    for name, value in ((weight_name, weight), (change_name, change)):
        if not value.isfinite().all():
            raise HypothesisError(f"{name} holds NaN or infinity: a relative change needs finite numbers")
    if (weight == 0).any():
        raise HypothesisError(f"{weight_name} holds 0: a relative change needs a non-zero weight")
    relative = torch.divide(*_broadcast(change, weight))
    if not relative.isfinite().all():
        raise HypothesisError(f"{change_name}/{weight_name} leaves {relative.dtype}: choose a smaller change")
    return relative


def _broadcast(one, two):
    try:
        return torch.broadcast_tensors(one, two)
    except RuntimeError as error:
        shapes = sorted((tuple(one.shape), tuple(two.shape)))
        raise ValueError(f"shapes {shapes[0]} and {shapes[1]} do not broadcast: give equal ones") from error


def _real(value, name) -> Tensor:
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name} is a {type(value).__name__}: give a number or a tensor") from error
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} is {value.dtype}: give real numbers")
    # Half precision is computed in float32, integers too.
    return value.to(torch.promote_types(value.dtype, torch.float32))
