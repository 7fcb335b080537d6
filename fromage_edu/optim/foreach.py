"""The step in three parts that read nothing back from the device: sums, coefficients, update.

Sums: ‖W‖² and ‖g‖² of each tensor, in float64, where squares of float32 neither overflow nor vanish.
Coefficients: W' = keep·W + step·g, one pair for each tensor; all rules of the step are here.
Update: that, in float64 as well, since float32 cannot hold a step between tensors of very different scale.

Here the first and the last are plain torch; `kernels` does them in Triton, `sharded` adds the sums of all
processes in between.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fromage_edu.optim.layout import in_memory_order
from fromage_edu.optim.update import scalar

# Elements. Float64 copies are made of one piece at a time; they stay in the cache, of a GPU or of a CPU.
PIECE = 2**20
PIECE_ON_CPU = 2**15


class Coefficients(NamedTuple):
    """W' = keep·W + step·g: float64, shape (n,), one entry for each tensor."""

    keep: Tensor
    step: Tensor


def sums(weights: list[Tensor], grads: list[Tensor], dots: bool) -> Tensor:
    """‖W‖², ‖g‖² and, if asked for, ⟨W, g⟩ of each pair: float64, shape (2, n) or (3, n)."""
    if dots or weights[0].is_cpu:  # where `_foreach_norm` would convert whole tensors
        return torch.stack([_products(w, g, dots) for w, g in zip(weights, grads, strict=True)], dim=1)
    norms = [torch.stack(torch._foreach_norm(tensors, 2, torch.float64)) for tensors in (weights, grads)]
    return torch.stack(norms).square()


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
    keep = torch.where(zero | still, 1.0, 1 / growth)
    step = torch.where(still, 0.0, torch.where(zero, -lr, -lr / growth * (w / g)))
    if max_norms is not None:
        # The norm of W' without reading W' (A16); rounding may take the square below 0.
        square = keep.square() * sums[0] + step.square() * sums[1] + 2 * keep * step * sums[2]
        excess = (square.clamp(min=0).sqrt() / max_norms).clamp(min=1)
        keep, step = keep / excess, step / excess
    # NaN if the tensor holds NaN or infinity: all of it becomes NaN, unless it is not to be touched.
    bad = 0.0 * torch.where(still, g, w + g)
    return Coefficients(keep + bad, step + bad)


def update_(weights: list[Tensor], grads: list[Tensor], by: Coefficients) -> None:
    """W ← keep·W + step·g for each pair, rounded once."""
    # Factors of shape (1,), not (): these make the product float64.
    for weight, grad, keep, step in zip(weights, grads, by.keep.split(1), by.step.split(1), strict=True):
        for w, g in _pieces(weight, grad):
            w.copy_((w * keep).addcmul_(g, step))


def _products(weight, grad, dots):
    """‖W‖², ‖g‖² and, if asked for, ⟨W, g⟩ of one pair."""
    total = 0.0
    for w, g in _pieces(weight, grad):
        w, g = w.double().flatten(), g.double().flatten()
        total = total + torch.stack([w.dot(w), g.dot(g), w.dot(g)] if dots else [w.dot(w), g.dot(g)])
    return total


def _pieces(weight, grad):
    """Both cut alike into flat pieces; whole, if they have no common order in memory, which is rare."""
    pair = in_memory_order(weight, grad.resolve_neg())
    if pair is None:
        return [(weight, grad)]
    size = PIECE_ON_CPU if weight.is_cpu else PIECE
    return zip(*(tensor.view(-1).split(size) for tensor in pair), strict=True)
