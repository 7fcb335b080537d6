"""What every bound returns, and the error for input that lies outside a theorem."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Bound", "HypothesisError", "LogBound"]


class HypothesisError(ValueError):
    """The input lies outside the hypotheses of a theorem; the message says which one, and the way out.

    >>> from fromage_edu.bounds import scalar_bound
    >>> try:
    ...     scalar_bound(0.0, 1.0, 0.1, 0.1)
    ... except HypothesisError as error:
    ...     print(error)
    a holds 0: a relative change needs a non-zero weight
    """


def _rounding(tensor: Tensor) -> float:
    return 1e-9 if tensor.dtype == torch.float64 else 1e-4


class Bound(NamedTuple):
    """What was measured and what bounds it, in the units of the theorem: two tensors, both (N,) or ().

    >>> Bound(torch.tensor(2.0), torch.tensor(3.0)).slack
    tensor(1.5000)
    """

    measured: Tensor
    bound: Tensor

    @property
    def holds(self) -> Tensor:
        """Whether measured ≤ bound, up to a relative rounding error of 1e-9 (float64) or 1e-4 (below).

        Shape of `measured`, bool; NaN on either side does not hold.

        >>> Bound(torch.tensor(2.0), torch.tensor(3.0)).holds
        tensor(True)
        """
        return self.measured <= self.bound * (1 + _rounding(self.measured))

    @property
    def slack(self) -> Tensor:
        """The factor bound/measured, ≥ 1 where the bound holds and infinite where nothing was measured.

        >>> Bound(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0])).slack
        tensor([inf, 3.])
        """
        return torch.where(self.measured == 0, torch.inf, self.bound / self.measured)


class LogBound(NamedTuple):
    """A `Bound` in decades: both sides are log10 of what was measured and of what bounds it.

    Constants of deep networks leave float64 long before their logarithms do.

    >>> LogBound(torch.tensor(2.0), torch.tensor(500.0)).slack
    tensor(498.)
    """

    measured: Tensor
    bound: Tensor

    @property
    def holds(self) -> Tensor:
        """Whether measured ≤ bound, up to rounding: 1e-9 (float64) or 1e-4 (below) of 1 + abs(bound), added.

        Shape of `measured`, bool; NaN on either side does not hold.

        >>> LogBound(torch.tensor(2.0), torch.tensor(500.0)).holds
        tensor(True)
        """
        forgiven = _rounding(self.measured) * (1 + self.bound.abs())
        return (self.measured <= self.bound) | (self.measured <= self.bound + forgiven)

    @property
    def slack(self) -> Tensor:
        """The decades between bound and measured, ≥ 0 where the bound holds, infinite if nothing changed.

        >>> LogBound(torch.tensor(-torch.inf), torch.tensor(-torch.inf)).slack
        tensor(inf)
        """
        return torch.where(self.measured == -torch.inf, torch.inf, self.bound - self.measured)


# --- arithmetic in natural logarithms, for the rooms of this package -------------------------------------


def log_expm1(total: Tensor) -> Tensor:
    """log(eᵗ − 1) for t ≥ 0, exact for small t and finite for large t; −∞ at 0, with gradient 0 there."""
    other = torch.where(total == 0, 1.0, total)
    return torch.where(total == 0, -torch.inf, other + (-torch.expm1(-other)).log())


def log1p_exp(exponent: Tensor) -> Tensor:
    """log(1 + eᵗ), finite for large t."""
    return nn.functional.softplus(exponent, threshold=40.0)


def log_norm(tensor: Tensor, dims: int = 1) -> Tensor:
    """Log of the Euclidean (dims=1) or Frobenius (dims=2) norm over the last dimensions; −∞ for zeros."""
    flat = tensor.flatten(-dims)
    # The largest entry cancels: a constant for autograd, so that squares neither overflow nor vanish.
    peak = flat.detach().abs().amax(-1, keepdim=True)
    peak = torch.where((peak > 0) & peak.isfinite(), peak, 1.0)
    squares = (flat / peak).square().sum(-1)
    other = torch.where(squares == 0, 1.0, squares)
    return torch.where(squares == 0, -torch.inf, other.log() / 2) + peak.squeeze(-1).log()


def log_square_ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """log(a²/b²) from log a and log b; 0/0 counts 0: what did not change did not change relatively either."""
    return torch.where(top == -torch.inf, -torch.inf, 2 * (top - bottom))


def from_logs(measured: Tensor, bound: Tensor, dtype: torch.dtype, *, log10: bool) -> Bound | LogBound:
    """The result in the unit asked for, of one shape, from natural logarithms of both sides."""
    # Nothing changed: 0 times an infinite constant counts 0.
    bound = torch.where(bound.isnan() & (measured == -torch.inf), -torch.inf, bound)
    measured, bound = torch.broadcast_tensors(measured, bound)
    if log10:
        return LogBound((measured / math.log(10)).to(dtype), (bound / math.log(10)).to(dtype))
    return Bound(measured.exp().to(dtype), bound.exp().to(dtype))
