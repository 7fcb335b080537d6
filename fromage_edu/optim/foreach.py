"""The step in three parts that read nothing back from the device: sums, coefficients, update.

Sums: ‖W‖² and ‖g‖² of each tensor, in float64, where squares of float32 neither overflow nor vanish.
Coefficients: W' = keep·W + step·g, one pair for each tensor; all rules of the step are here.
Update: that, in place.

Here the first and the last are plain torch; `kernels` does them in Triton, `sharded` adds the sums of all
processes in between.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fromage_edu.optim.update import scalar

# Elements: what a piece of a long dot product may take in temporary memory.
PIECE = 2**20


class Coefficients(NamedTuple):
    """W' = keep·W + step·g: float64, shape (n,), one entry for each tensor."""

    keep: Tensor
    step: Tensor
    # √(‖W‖/‖g‖) or 1: entries of g times this stay in the range of float32, as step·g/this does.
    balance: Tensor


def sums(weights: list[Tensor], grads: list[Tensor], dots: bool) -> Tensor:
    """‖W‖², ‖g‖² and, if asked for, ⟨W, g⟩ of each pair: float64, shape (2, n) or (3, n)."""
    norms = [torch.stack(torch._foreach_norm(tensors, 2, torch.float64)) for tensors in (weights, grads)]
    rows = [norm.square() for norm in norms]
    if dots:
        rows.append(torch.stack([_dot(w, g) for w, g in zip(weights, grads, strict=True)]))
    return torch.stack(rows)


def coefficients(
    sums: Tensor, lr: float | Tensor, norm_correction: bool, max_norms: Tensor | None
) -> Coefficients:
    """The rules of the step: `fromage_update` in terms of two norms, and a dot product for `max_norms`.

    Args:
        sums: as `sums` returns them; (3, n) if there are `max_norms`.
        lr: η ≥ 0.
        norm_correction: whether to divide by √(1 + η²).
        max_norms: (n,), float64, infinity where there is no limit; or None.
    """
    w, g = sums[0].sqrt(), sums[1].sqrt()
    lr = scalar(lr, w)
    growth = torch.hypot(lr, torch.ones_like(lr)) if norm_correction else torch.ones_like(lr)
    zero, still = w == 0, (g == 0) | (lr == 0)
    balance = torch.where(zero | still, 1.0, w.sqrt() / g.sqrt())
    keep = torch.where(zero | still, 1.0, 1 / growth)
    step = torch.where(still, 0.0, torch.where(zero, -lr, -lr / growth * balance.square()))
    if max_norms is not None:
        # The norm of W' without reading W' (A16); rounding may take the square below 0.
        square = keep.square() * sums[0] + step.square() * sums[1] + 2 * keep * step * sums[2]
        excess = (square.clamp(min=0).sqrt() / max_norms).clamp(min=1)
        keep, step = keep / excess, step / excess
    # NaN if the tensor holds NaN or infinity: all of it becomes NaN, unless it is not to be touched.
    bad = 0.0 * torch.where(still, g, w + g)
    return Coefficients(keep + bad, step + bad, balance)


def update_(weights: list[Tensor], grads: list[Tensor], by: Coefficients) -> None:
    """W ← keep·W + step·g for each pair, weights of one dtype.

    float32 cannot hold a step between tensors of very different scale, so it is applied in two factors:
    W ← (keep/balance·W + step/balance·g)·balance. Half precision is computed in a float32 copy of one tensor
    after the other: the only temporary.
    """
    dtype = torch.promote_types(weights[0].dtype, torch.float32)
    balance = by.balance.clamp(1e-37, 1e37)
    factors = torch.stack([by.keep / balance, by.step / balance, balance]).to(dtype)
    first, second, third = (row.unbind() for row in factors)
    if weights[0].dtype == dtype:
        torch._foreach_mul_(weights, first)
        torch._foreach_addcmul_(weights, grads, second)
        torch._foreach_mul_(weights, third)
        return
    for weight, grad, *factors in zip(weights, grads, first, second, third, strict=True):
        wide = weight.to(dtype).mul_(factors[0]).addcmul_(grad, factors[1]).mul_(factors[2])
        weight.copy_(wide)


def _dot(weight, grad):
    pieces = zip(weight.reshape(-1).split(PIECE), grad.reshape(-1).split(PIECE), strict=True)
    return sum((w.double() * g.double()).sum() for w, g in pieces)
