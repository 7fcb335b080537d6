"""Descent under deep relative trust itself, equation (3): the coupled problem, and its global solution.

A step of relative sizes r_l against the gradients costs −Σ t_l·r_l + ½D(r), with slopes t_l = η‖W_l‖‖g_l‖.
Where this is least, each layer satisfies r_l·∏_{j≠l}(1 + r_j²) = t_l, or with P = ∏(1 + r_j²)

    r_l/(1 + r_l²) = t_l/P.

The left side rises up to r_l = 1 and falls beyond, so for given P a layer has two sizes to choose from, r and
1/r. Two layers beyond 1 are never a minimum (the Hessian is a diagonal with the signs of 1 − r_l², plus a
matrix of rank one), and if one is, it is the layer with the largest slope (else exchange two sizes). What is
left is one unknown, the size s of that layer, and one equation.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Real

import torch
from torch import Tensor

from fromage_edu.trust.distances import deep_relative_trust, layer_numbers
from fromage_edu.trust.precision import as_float
from fromage_edu.trust.surrogate import check_depth, sizes_and_slopes

__all__ = ["descent_objective", "exact_sizes", "split_slope", "symmetric_size"]


def descent_objective(sizes: Tensor | Sequence[float], slopes: Tensor | Sequence[float]) -> Tensor:
    """What equation (3) minimizes, times η, for a step against the gradients: −Σ_l t_l·r_l + ½D(r).

    D couples the layers, and it is not convex: for two layers at r = (2, 2) its Hessian has the eigenvalues
    −6 and 26.

    Args:
        sizes: relative sizes r_l ≥ 0 of the step, shape (..., L); a sequence of numbers is read as float64.
        slopes: t_l = η‖W_l‖‖g_l‖ ≥ 0, without unit, a shape that broadcasts with that of `sizes`.

    Returns:
        Shape (...), in units of η times the loss; the dtype of the arguments; differentiable.

    Raises:
        TypeError: for complex or boolean numbers.
        ValueError: for NaN, a negative number or one above 1e150, no layers, or shapes that do not fit.

    >>> descent_objective([1.0, 1.0], [2.0, 2.0])
    tensor(-2.5000, dtype=torch.float64)

    Source: Fromage paper, equation (3) (F19).
    """
    sizes, slopes, dtype = sizes_and_slopes(sizes, slopes)
    return (deep_relative_trust(sizes) / 2 - (slopes * sizes).sum(-1)).to(dtype)


def exact_sizes(slopes: Tensor | Sequence[float]) -> Tensor:
    """Relative sizes r_l of a step that solves equation (3): a global minimum of `descent_objective`.

    For small slopes r_l ≈ t_l, that is ΔW_l ≈ −η‖W_l‖²g_l. Beyond, at most one layer has r_l > 1: for two
    layers of equal slope t the solution is symmetric up to t = 2 and then splits into r_1·r_2 = 1,
    r_1 + r_2 = t; for more layers it jumps, at `split_slope`.

    The solution is found by halving intervals and is accurate to rounding, save close to a slope where two
    solutions meet. That no other is missed follows from the count of roots explained in the source.

    Args:
        slopes: t_l = η‖W_l‖‖g_l‖ ≥ 0, without unit, finite (1e150 at most), shape (..., L); a sequence of
            numbers is read as float64.

    Returns:
        The shape and dtype of `slopes` (float32 for integers), without unit; no gradients. Of several
        minima with one value it is the one whose large layer comes first.

    Raises:
        TypeError: for complex or boolean slopes.
        ValueError: for NaN, infinity, a negative slope, or no layers.

    >>> exact_sizes([0.1, 0.1]), exact_sizes([1.9, 1.9])
    (tensor([0.0990, 0.0990], dtype=torch.float64), tensor([0.9745, 0.9745], dtype=torch.float64))
    >>> exact_sizes([3.0, 3.0])
    tensor([2.6180, 0.3820], dtype=torch.float64)

    Source: Fromage paper, equation (3) and its exact solution (X5).
    """
    slopes, dtype = layer_numbers(slopes, "slopes")
    slopes = slopes.detach()
    if (slopes > 1e150).any():
        raise ValueError(f"slopes hold {slopes.max().item():g}: give numbers up to 1e150")
    # Where all slopes are 0, solve another problem and forget its answer.
    ordered, order = torch.where(slopes.amax(-1, True) == 0, 1.0, slopes).sort(
        dim=-1, descending=True, stable=True
    )
    top, shares = ordered[..., :1].log(), ordered[..., 1:] / ordered[..., :1]
    early, late = _stretches(shares, top)
    candidates = [
        torch.cat([z.exp(), _others(z, shares)[0]], -1)
        for z in (_halve(lambda z: _missing(z, shares, top), *ends) for ends in (early, late))
    ]
    values = [descent_objective(sizes, ordered).unsqueeze(-1) for sizes in candidates]
    # A stretch need not hold a minimum, and then its end point is none.
    found = [_missing(early[1], shares, top) > 0, _missing(late[0], shares, top) < 0]
    best = torch.where(found[1] & (~found[0] | (values[1] < values[0])), candidates[1], candidates[0])
    sizes = torch.empty_like(best).scatter(-1, order, best)
    return torch.where(slopes == 0, 0.0, sizes).to(dtype)


def _stretches(shares, top) -> list[tuple[Tensor, Tensor]]:
    """Two intervals of z = log s on which `_missing` rises and which hold all minima.

    Its slope, divided by tanh z, is (1 − v)^{−½} − Σ[(1 − τ²v)^{−½} − 1] with v = 1/cosh² z and the shares τ:
    a power series in v whose coefficients are positive, then negative, then positive. So it changes its sign
    twice at most (Descartes), and its derivative once. For z ≤ 0 `_missing` rises.
    """
    start, end = top - 1 - math.log(2) * shares.shape[-1], top.clamp(min=0.0)
    zero = torch.zeros_like(end)
    lowest = _halve(lambda z: -_curvature(z, shares), zero, end)
    fall = _halve(lambda z: -_slope(z, shares), zero, lowest)
    rise = _halve(lambda z: _slope(z, shares), lowest, end)
    return [(start, fall), (rise, end)]


def _others(z, shares) -> tuple[Tensor, Tensor]:
    """Sizes ≤ 1 of the other layers if the first has size eᶻ, and q = (1 − r²)/(1 + r²) of each."""
    q = ((1 - shares) * (1 + shares) + (shares * z.tanh()).square()).sqrt()
    return shares / z.cosh() / (1 + q), q


def _missing(z, shares, top) -> Tensor:
    """log(s·∏(1 + r_l²)) − log t of the first layer at s = eᶻ: 0 where all layers are stationary."""
    return z + _others(z, shares)[0].square().log1p().sum(-1, True) - top


def _slope(z, shares) -> Tensor:
    return 1 - z.tanh() * (1 / _others(z, shares)[1] - 1).sum(-1, True)


def _curvature(z, shares) -> Tensor:
    """What has the sign of the derivative of `_slope`/tanh by v."""
    return 1 - (shares.square() * (z.tanh() / _others(z, shares)[1]).pow(3)).sum(-1, True)


def symmetric_size(slope: float | Tensor, depth: int) -> Tensor:
    """The size r at which L layers of one slope t can all stand still: r·(1 + r²)^{L−1} = t.

    It is the global minimum up to `split_slope(depth)`, and at least a local one up to r = 1, where
    t = 2^{L−1}; beyond that it is a saddle.

    Args:
        slope: t ≥ 0, without unit: a number, read as float64, or a tensor of any shape.
        depth: L ≥ 1, the number of layers.

    Returns:
        r, the shape and dtype of `slope`, without unit; no gradients.

    Raises:
        TypeError: for a slope that is no real number, or a depth that is no whole one.
        ValueError: for NaN, infinity, a negative slope, or a depth below 1.

    >>> symmetric_size(2.0, depth=2), symmetric_size(0.1, depth=1)
    (tensor(1., dtype=torch.float64), tensor(0.1000, dtype=torch.float64))

    Source: Fromage paper, equation (3) for equal layers (X5).
    """
    check_depth(depth)
    if isinstance(slope, bool) or not isinstance(slope, Real | Tensor):
        raise TypeError(f"slope is {slope!r}: give a number or a tensor")
    one = slope.unsqueeze(-1) if isinstance(slope, Tensor) else [as_float(slope)]
    wide, dtype = layer_numbers(one, "slopes")
    wide = wide.detach().squeeze(-1)
    if wide.isinf().any():
        raise ValueError("slopes hold inf: give finite numbers")
    top = torch.where(wide == 0, 1.0, wide).log()

    def others(z):
        return (depth - 1.0) * torch.logaddexp(2 * z, torch.zeros_like(z))

    z = _halve(lambda z: z + others(z) - top, top - others(top) - 1, top)
    return torch.where(wide == 0, 0.0, z.exp()).to(dtype)


def split_slope(depth: int) -> float:
    """The slope beyond which L equal layers no longer take equal steps in `exact_sizes`.

    For two layers it is 2, where the symmetric point becomes a saddle and the solution parts smoothly. For
    three and more it comes long before that point, 2^{L−1}: another minimum appears, with one size s > 1 and
    the others 1/s, falls below the symmetric one, and the solution jumps.

    Args:
        depth: L ≥ 1, the number of layers.

    Returns:
        t, without unit; infinite for one layer.

    Raises:
        TypeError: for a depth that is no whole number.
        ValueError: for a depth below 1.

    >>> [round(split_slope(depth), 3) for depth in (1, 2, 3, 4, 20)]
    [inf, 2.0, 3.159, 4.106, 13.696]

    Source: Fromage paper, equation (3) for equal layers (X5).
    """
    check_depth(depth)
    if depth <= 2:
        return 2.0 if depth == 2 else math.inf

    def slope(size):
        return size * (1 + size**-2) ** (depth - 1)

    def gained(size):
        """By how much the minimum with one large layer lies below the symmetric one."""
        slopes = slope(size).expand(depth)
        split = torch.cat([size, (1 / size).expand(depth - 1)])
        equal = symmetric_size(slopes[0], depth).expand(depth)
        return descent_objective(equal, slopes) - descent_objective(split, slopes)

    # Where the other minimum appears: there `slope` is least.
    low = torch.tensor([2 * depth - 3], dtype=torch.float64).sqrt()
    high = 2 * low
    while gained(high) <= 0:
        high = 2 * high
    return slope(_halve(gained, low, high)).item()


def _halve(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where a function that changes its sign once becomes positive; the nearer end if it does not."""
    for _ in range(64):  # from 1e3, say, to below 1e-16
        middle = low + (high - low) / 2
        positive = function(middle) > 0
        low, high = torch.where(positive, low, middle), torch.where(positive, middle, high)
    return low + (high - low) / 2
