"""Which code steps which tensor."""

import importlib.util
import math
import warnings
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
        return -1.0 * self.lr if self.maximize else self.lr  # an unsigned tensor has no negative


def update_(
    weights: list[Tensor], grads: list[Tensor], max_norms: list[Tensor | None], options: Options
) -> None:
    """Step every weight in place; gradients are only read.

    Args:
        weights: W of each tensor.
        grads: g of each.
        max_norms: for each None, or a number with shape () on its device, infinity for no limit; None for
            all or for none.
        options: of the group.
    """
    todo = list(range(len(weights)))
    if not torch.compiler.is_compiling():
        if options.foreach is not True and not options.capturable:
            todo = _update_on_cpu(todo, weights, grads, max_norms, options)
        todo = _update_together(todo, weights, grads, max_norms, options)
    for i in todo:
        weights[i].copy_(exactly(weights[i], grads[i], max_norms[i], options))


def exactly(weight: Tensor, grad: Tensor, max_norm: Tensor | None, options: Options) -> Tensor:
    """`fromage_update` with the options of a group."""
    grad = -grad if options.maximize else grad
    return fromage_update(
        weight, grad, options.lr, norm_correction=options.norm_correction, max_norm=max_norm
    )


def _update_on_cpu(todo, weights, grads, max_norms, options) -> list[int]:
    """Step what is ordinary and on a CPU; return what is left."""
    here, left = [], []
    for i in todo:
        (here if weights[i].is_cpu and type(weights[i]) in PLAIN else left).append(i)
    limits = [None if max_norms[i] is None else max_norms[i].item() for i in here]
    limits = [None if limit == math.inf else limit for limit in limits]
    some = [weights[i] for i in here], [grads[i] for i in here]
    if here:
        pack = options.foreach is None
        unusual = cpu.update_(*some, float(options.signed_lr), options.norm_correction, limits, pack)
        left += [here[i] for i in unusual]
    return left


def _update_together(todo, weights, grads, max_norms, options) -> list[int]:
    """Step the tensors of each device and dtype at once, or one by one if asked to; return what is left."""
    left, bunches = [], {}
    for i in todo:
        if type(weights[i]) in PLAIN and _fits_foreach(weights[i], grads[i]):
            alone = i if options.foreach is False else None
            bunches.setdefault((weights[i].device, weights[i].dtype, grads[i].dtype, alone), []).append(i)
        else:
            left.append(i)
    for bunch in bunches.values():
        some = [weights[i] for i in bunch], [grads[i] for i in bunch]
        way = way_for(*some, options)
        limited = max_norms[bunch[0]] is not None
        limits = torch.stack([max_norms[i] for i in bunch]) if limited else None
        sums = way.sums(*some, limited)
        by = foreach.coefficients(sums, options.signed_lr, options.norm_correction, limits)
        way.update_(*some, by)
    return left


def _fits_foreach(weight, grad) -> bool:
    """Squares of its entries neither overflow nor vanish in float64, which its device has."""
    return (
        weight.dtype in SINGLE_OR_HALF
        and grad.dtype in SINGLE_OR_HALF
        and weight.shape == grad.shape
        and weight.numel() > 0
        and weight.device.type != "mps"
    )


def way_for(weights: list[Tensor], grads: list[Tensor], options: Options):
    """The module that computes sums and updates: `kernels` or `foreach`; one device, one dtype each side."""
    device, dtypes = weights[0].device, (weights[0].dtype, grads[0].dtype)
    fused = options.foreach is None and not options.capturable and device.type in ("cuda", "xpu")
    if fused and set(dtypes) <= set(SINGLE_OR_HALF) and _triton_works(device, *dtypes):
        from fromage_edu.optim import kernels  # imports Triton: only where it is used

        if all(kernels.fits(*pair) for pair in zip(weights, grads, strict=True)):
            return kernels
    return foreach


@cache
def _triton_works(device, weight_dtype, grad_dtype) -> bool:
    """Tried once: Triton may be missing, lack a C compiler, or want a newer device for these dtypes."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        from fromage_edu.optim import kernels

        pair = [[torch.ones(1, dtype=dtype, device=device)] for dtype in (weight_dtype, grad_dtype)]
        kernels.update_(*pair, foreach.coefficients(kernels.sums(*pair, False), 0.0, True, None))
    except Exception as error:
        warnings.warn(
            f"Triton does not work for {weight_dtype} on {device}, so a step takes several calls for each "
            f"tensor; foreach=True asks for that without this warning. Triton says: {error}",
            stacklevel=2,
        )
        return False
    return True
