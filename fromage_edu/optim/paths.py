"""Which code steps which tensor."""

import importlib.util
import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fromage_edu.optim import cpu, foreach
from fromage_edu.optim.update import fromage_update

PLAIN = (nn.Parameter, Tensor)
SINGLE_OR_HALF = (torch.float32, torch.float16, torch.bfloat16)


class Options(NamedTuple):
    """What a parameter group asks for."""

    lr: float | Tensor
    norm_correction: bool
    maximize: bool
    foreach: bool | None
    capturable: bool

    @property
    def signed_lr(self) -> float | Tensor:
        """To climb is to descend with −η: no gradient need be negated."""
        return -self.lr if self.maximize else self.lr


def update_(
    weights: list[Tensor], grads: list[Tensor], max_norms: list[Tensor | None], options: Options
) -> None:
    """Step every weight in place; gradients are only read.

    Args:
        weights: W of each tensor.
        grads: g of each.
        max_norms: for each None, or a number with shape () on its device, infinity for no limit.
        options: of the group.
    """
    exact, here, there = [], [], {}
    if options.foreach is False or torch.compiler.is_compiling():
        exact = list(range(len(weights)))
    else:
        on_cpu = options.foreach is None and not options.capturable
        for index, weight in enumerate(weights):
            if type(weight) not in PLAIN:
                exact.append(index)
            elif on_cpu and weight.is_cpu:
                here.append(index)
            elif _fits_foreach(weight, grads[index]):
                there.setdefault((weight.device, weight.dtype, grads[index].dtype), []).append(index)
            else:
                exact.append(index)
    if here:
        exact += _update_on_cpu(here, weights, grads, max_norms, options)
    for indices in there.values():
        some = [weights[i] for i in indices], [grads[i] for i in indices]
        way = way_for(*some, options)
        limited = max_norms[indices[0]] is not None
        limits = torch.stack([max_norms[i] for i in indices]) if limited else None
        sums = way.sums(*some, limited)
        by = foreach.coefficients(sums, options.signed_lr, options.norm_correction, limits)
        way.update_(*some, by)
    for i in exact:
        weights[i].copy_(exactly(weights[i], grads[i], max_norms[i], options))


def exactly(weight: Tensor, grad: Tensor, max_norm: Tensor | None, options: Options) -> Tensor:
    """`fromage_update` with the options of a group."""
    grad = -grad if options.maximize else grad
    return fromage_update(
        weight, grad, options.lr, norm_correction=options.norm_correction, max_norm=max_norm
    )


def way_for(weights: list[Tensor], grads: list[Tensor], options: Options):
    """The module that computes sums and updates: `kernels` or `foreach`; one device, one dtype each side."""
    fused = options.foreach is None and not options.capturable and weights[0].device.type in ("cuda", "xpu")
    if fused and _has_triton() and weights[0].dtype in SINGLE_OR_HALF and grads[0].dtype in SINGLE_OR_HALF:
        if all(cpu.in_memory_order(*pair) is not None for pair in zip(weights, grads, strict=True)):
            from fromage_edu.optim import kernels  # Triton: only where it is used

            return kernels
    return foreach


def _fits_foreach(weight, grad) -> bool:
    """Squares of its entries neither overflow nor vanish in float64, which its device has."""
    return (
        weight.dtype in SINGLE_OR_HALF
        and grad.dtype in SINGLE_OR_HALF
        and weight.shape == grad.shape
        and weight.numel() > 0
        and weight.device.type != "mps"
    )


def _update_on_cpu(indices, weights, grads, max_norms, options) -> list[int]:
    limits = [None if max_norms[i] is None else max_norms[i].item() for i in indices]
    limits = [None if limit == math.inf else limit for limit in limits]
    some = [weights[i] for i in indices], [grads[i] for i in indices]
    left = cpu.update_(*some, float(options.signed_lr), options.norm_correction, limits)
    return [indices[i] for i in left]


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
