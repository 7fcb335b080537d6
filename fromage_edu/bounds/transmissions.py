"""How much a nonlinearity can shrink and stretch a difference: the constants α and β of the theorems."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Transmission", "estimate_transmission", "transmission"]


class Transmission(NamedTuple):
    """Constants with α(x − y)² ≤ (φ(x) − φ(y))² ≤ β(x − y)² for all x, y: squares of extreme slopes.

    >>> Transmission(alpha=0.25, beta=1.0)
    Transmission(alpha=0.25, beta=1.0)
    """

    alpha: float
    beta: float


# The largest slope of GELU, at √2: ½(1 + erf 1) + 1/(e√π); its smallest is 0, at its lowest point.
_GELU = Transmission(0.0, ((1 + math.erf(1)) / 2 + 1 / (math.e * math.sqrt(math.pi))) ** 2)
# The largest slope of SiLU, where x·tanh(x/2) = 2, at x = 2.39935728.
_SILU = Transmission(0.0, 1.0998393201288669**2)

# None: the slope depends on the module's settings, below.
_MODULES = {
    nn.Identity: Transmission(1.0, 1.0),
    nn.ReLU: Transmission(0.0, 1.0),
    nn.ReLU6: Transmission(0.0, 1.0),
    nn.Hardtanh: Transmission(0.0, 1.0),
    nn.Tanh: Transmission(0.0, 1.0),
    nn.Sigmoid: Transmission(0.0, 1 / 16),
    nn.SiLU: _SILU,
}
_FUNCTIONS = {
    torch.relu: Transmission(0.0, 1.0),
    functional.relu: Transmission(0.0, 1.0),
    torch.tanh: Transmission(0.0, 1.0),
    functional.tanh: Transmission(0.0, 1.0),
    torch.sigmoid: Transmission(0.0, 1 / 16),
    functional.sigmoid: Transmission(0.0, 1 / 16),
    functional.silu: _SILU,
    functional.gelu: _GELU,
    functional.leaky_relu: Transmission(0.01**2, 1.0),
    torch.sin: Transmission(0.0, 1.0),
    torch.abs: Transmission(0.0, 1.0),
    torch.neg: Transmission(1.0, 1.0),
}


def transmission(nonlinearity: Callable[[Tensor], Tensor]) -> Transmission:
    """The best α and β of a nonlinearity, α(x − y)² ≤ (φ(x) − φ(y))² ≤ β(x − y)², in closed form.

    The paper's convention: α and β belong to squared differences; slopes lie between √α and √β in size. A
    leaky ReLU of slope a ≤ 1 has α = a² and β = 1; ReLU (a = 0) and tanh (flat far out) have α = 0, with
    which Theorems 1 and 2 say nothing.

    Args:
        nonlinearity: φ, an elementwise module or function: identity, (leaky) ReLU, tanh, sigmoid, ELU, GELU,
            SiLU, softplus and a few more.

    Returns:
        Transmission(alpha, beta), 0 ≤ α ≤ β, in squared units of output per input.

    Raises:
        ValueError: for a nonlinearity whose constants are not listed here.

    >>> transmission(torch.nn.LeakyReLU(0.5)), transmission(torch.nn.ReLU())
    (Transmission(alpha=0.25, beta=1.0), Transmission(alpha=0.0, beta=1.0))

    Source: Fromage paper, section 3 (F13).
    """
    kind = type(nonlinearity)
    if kind in _MODULES:
        return _MODULES[kind]
    if kind is nn.LeakyReLU:
        slope = nonlinearity.negative_slope
        # A negative slope folds the line: two points share one value.
        return Transmission(min(1.0, slope**2) if slope > 0 else 0.0, max(1.0, slope**2))
    if kind is nn.ELU:
        return Transmission(0.0, max(1.0, nonlinearity.alpha**2))
    if kind is nn.Softplus:
        return Transmission(0.0, 1.0)
    if kind is nn.GELU and nonlinearity.approximate == "none":
        return _GELU
    try:
        return _FUNCTIONS[nonlinearity]
    except (KeyError, TypeError):
        raise ValueError(
            f"the transmission constants of {name_of(nonlinearity)} are not known here: "
            "pass transmission=Transmission(alpha, beta); estimate_transmission measures them"
        ) from None


def estimate_transmission(
    nonlinearity: Callable[[Tensor], Tensor], low: float = -10.0, high: float = 10.0, points: int = 100_001
) -> Transmission:
    """α and β measured on a grid: extremes of (φ(x) − φ(y))²/(x − y)² over its points.

    Neighbors are enough: the slope between any two points is a mean of those in between. Where slopes of both
    signs occur φ takes a value twice, and α = 0. An estimate: α from above, β from below, here only.

    Args:
        nonlinearity: φ, an elementwise module or function.
        low: left end of the interval.
        high: right end, above `low`.
        points: number of points of the grid, at least 2.

    Returns:
        Transmission(alpha, beta), as in `transmission`.

    Raises:
        ValueError: for an empty interval, fewer than two points, or a φ that is not finite there.

    >>> alpha, beta = estimate_transmission(torch.nn.LeakyReLU(0.5))
    >>> round(alpha, 6), round(beta, 6)
    (0.25, 1.0)

    Source: Fromage paper, section 3 (F13).
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the interval from {low:g} to {high:g} is empty: give low < high, both finite")
    if points < 2:
        raise ValueError(f"{points} points make no slope: give at least 2")
    x = torch.linspace(low, high, int(points), dtype=torch.float64)
    with torch.no_grad():
        y = nonlinearity(x.clone())  # In-place ones change what they are given.
    if not y.isfinite().all():
        raise ValueError(f"{name_of(nonlinearity)} is not finite between {low:g} and {high:g}")
    slopes = y.diff() / x.diff()
    squares = slopes.square()
    folds = bool((slopes > 0).any() and (slopes < 0).any())
    return Transmission(0.0 if folds else squares.min().item(), squares.max().item())


def name_of(nonlinearity: Callable[[Tensor], Tensor]) -> str:
    """What messages call a nonlinearity: the class of a module, the name of a function."""
    if isinstance(nonlinearity, nn.Module):
        return type(nonlinearity).__name__
    return getattr(nonlinearity, "__name__", type(nonlinearity).__name__)
