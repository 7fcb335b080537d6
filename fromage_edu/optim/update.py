"""Algorithm 1 for one tensor: a pure function, exact at any scale, that every faster path must equal."""

import math
from numbers import Real

import torch
from torch import Tensor

from fromage_edu.trust import frobenius_norm


def fromage_update(
    weight: Tensor,
    grad: Tensor,
    lr: float | Tensor = 0.01,
    *,
    norm_correction: bool = True,
    max_norm: float | Tensor | None = None,
) -> Tensor:
    """Algorithm 1 for one tensor: W' = (W − η·‖W‖/‖g‖·g) / √(1 + η²).

    The update is blind to the gradient's scale and follows the weight's, at any scale the dtype can hold.
    Where the formula is silent: g = 0 leaves W untouched; W = 0, which could never move, takes a raw step
    −η·g; a NaN or an infinity anywhere in g makes all of W' NaN.

    Args:
        weight: W, floating point or complex, any shape; half precision is computed in float32.
        grad: g, the same shape.
        lr: η ≥ 0, without unit: the relative size of the step; 0 leaves W untouched. A number, or a tensor
            with one element; the value of a tensor is not checked, which would wait for its device.
        norm_correction: whether to divide by √(1 + η²), which undoes the growth of a step orthogonal to W.
        max_norm: scale W' down to this norm if it exceeds it; None is no limit. As `lr`.

    Returns:
        W', a new tensor with the shape and dtype of `weight`; differentiable in `weight`, `grad` and `lr`.

    Raises:
        TypeError: for a weight that is neither floating point nor complex or has 8 bits, a real and a complex
            tensor, a sparse one or none at all, or an lr or max_norm that is no number.
        ValueError: if the shapes differ, for a number that is out of the range of lr or max_norm, or for a
            tensor of several elements in its place.

    >>> fromage_update(torch.tensor([3.0, 4.0]), torch.tensor([4e-20, -3e-20]), lr=0.75)
    tensor([0., 5.])

    Source: Fromage paper, Algorithm 1 (F25).
    """
    _check(weight, grad, lr, max_norm)
    if weight.is_complex():
        # A gradient may be a conjugate that autograd has not written out.
        parts = [torch.view_as_real(tensor.resolve_conj()) for tensor in (weight, grad)]
        return torch.view_as_complex(
            fromage_update(*parts, lr, norm_correction=norm_correction, max_norm=max_norm)
        )
    if not weight.numel():
        return weight.clone()

    dtype = torch.promote_types(weight.dtype, torch.float32)
    w, g = weight.to(dtype), grad.to(dtype)
    # Entries are divided by their peak, so that norms and ratios stay near 1 whatever the scale of W and g.
    # No value is read back to the host: the function runs on any device without waiting for it.
    w_peak, g_peak = w.detach().abs().amax(), g.detach().abs().amax()
    w_unit, g_unit = w / torch.where(w_peak == 0, 1.0, w_peak), g / torch.where(g_peak == 0, 1.0, g_peak)
    w_norm, g_norm = frobenius_norm(w_unit), frobenius_norm(g_unit)
    lr = scalar(lr, w_norm)

    shrink = 1 / torch.hypot(lr, torch.ones_like(lr)) if norm_correction else torch.ones_like(lr)
    step = lr * shrink * (w_norm / torch.where(g_norm == 0, 1.0, g_norm))
    # W·shrink as W − decay·W: rounded to float32, shrink would be off by the same 3e-8 at every step.
    decay = (lr * shrink).square() / (1 + shrink) if norm_correction else torch.zeros_like(lr)
    new = (w_unit - (g_unit * step.to(dtype) + w_unit * decay.to(dtype))) * w_peak
    new = torch.where(w_peak == 0, -lr.to(dtype) * g, new)
    new = torch.where((g_peak == 0) | (lr == 0), w, new)
    new = new + 0.0 * g_peak  # NaN everywhere if g holds NaN or infinity, whatever the step
    if max_norm is not None:
        norm = frobenius_norm(new)
        max_norm = scalar(max_norm, norm)
        new = new / torch.where(norm > max_norm, norm / max_norm, 1.0).to(dtype)
    return new.to(weight.dtype)


def scalar(number: float | Tensor, like: Tensor) -> Tensor:
    """It with shape () in the dtype and on the device of `like`, without waiting for the device."""
    if isinstance(number, Tensor):
        return number.reshape(()).to(device=like.device, dtype=like.dtype, non_blocking=True)
    number = number if isinstance(number, float) else float(number)  # a fraction, say
    return torch.full((), number, dtype=like.dtype, device=like.device)


def check_lr(lr) -> None:
    """Raise unless `lr` is a finite number ≥ 0 or a one-element tensor of that."""
    if isinstance(lr, Tensor):
        check_one_element("lr", lr)
        lr = lr.item()
    if not 0 <= check_number("lr", lr) < math.inf:
        raise ValueError(f"lr is {lr}: it must be finite and >= 0; a good start is 0.01")


def check_one_element(name: str, value: Tensor) -> None:
    """Raise unless a tensor stands for a number."""
    if value.numel() != 1:
        raise ValueError(f"{name} has shape {tuple(value.shape)}: give a number or a one-element tensor")


def check_number(name: str, value):
    """Return `value`, or raise if it is not a real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}: give a number")
    return value


def _check(weight, grad, lr, max_norm):
    for name, tensor in (("weight", weight), ("grad", grad)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} is a {type(tensor).__name__}: give a tensor")
    if weight.shape != grad.shape:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and grad {tuple(grad.shape)}: they must agree"
        )
    for name, tensor in (("weight", weight), ("grad", grad)):
        if tensor.layout is not torch.strided:
            raise TypeError(f"{name} is sparse (layout {tensor.layout}): convert it with .to_dense()")
    if not (weight.is_floating_point() or weight.is_complex()) or weight.dtype.itemsize == 1:
        raise TypeError(f"weight is {weight.dtype}: convert it with .float()")
    if weight.is_complex() != grad.is_complex():
        raise TypeError(f"weight is {weight.dtype} and grad {grad.dtype}: both must be real, or both complex")
    # A tensor's value may be on a device that is not to be waited for.
    for name, value in (("lr", lr), ("max_norm", max_norm)):
        if isinstance(value, Tensor):
            check_one_element(name, value)
    if max_norm is not None and not isinstance(max_norm, Tensor):
        if not check_number("max_norm", max_norm) >= 0:
            raise ValueError(f"max_norm is {max_norm}: it must be None or >= 0")
    if not isinstance(lr, Tensor):
        check_lr(lr)
