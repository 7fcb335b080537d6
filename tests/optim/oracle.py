"""Fromage, slow and obvious: plain Python over numbers of 60 digits, entry by entry."""

import mpmath
import torch

DIGITS = 60


def oracle(weight, grad, lr=0.01, *, norm_correction=True, maximize=False, max_norm=None):
    """W' of one step: float64 or complex128, not rounded to the dtype of `weight`."""
    with mpmath.workdps(DIGITS):
        new = _update(_numbers(weight), _numbers(grad), lr, norm_correction, maximize, max_norm)
        return _tensor(new, weight)


def trajectory(
    weight, grads, lr=0.01, *, momentum=0.0, p_bound=None, norm_correction=True, maximize=False
) -> list[torch.Tensor]:
    """W after each step, every one rounded to the dtype of `weight`, as memory rounds it."""
    lrs = lr if isinstance(lr, list) else [lr] * len(grads)
    path = []
    with mpmath.workdps(DIGITS):
        limit = None if p_bound is None else p_bound * _norm(_numbers(weight)) or None
        average, beta = [0] * len(_numbers(weight)), mpmath.mpf(momentum)
        for t, (grad, lr) in enumerate(zip(grads, lrs, strict=True), start=1):
            average = [beta * m + (1 - beta) * g for m, g in zip(average, _numbers(grad), strict=True)]
            corrected = [m / (1 - beta**t) for m in average]
            new = _update(_numbers(weight), corrected, lr, norm_correction, maximize, limit)
            weight = _tensor(new, weight).to(weight.dtype)
            path.append(weight)
    return path


def relative_error(new, expected) -> float:
    """‖new − expected‖ / ‖expected‖."""
    wide = torch.promote_types(new.dtype, torch.float64)
    return (torch.linalg.vector_norm(new.to(wide) - expected) / torch.linalg.vector_norm(expected)).item()


def _update(w, g, lr, norm_correction, maximize, max_norm):
    if not all(mpmath.isfinite(x) for x in g):
        return [mpmath.nan] * len(w)
    lr = mpmath.mpf(float(lr)) * (-1 if maximize else 1)
    w_norm, g_norm = _norm(w), _norm(g)
    if g_norm == 0 or lr == 0:
        new = w
    elif w_norm == 0:
        new = [-lr * y for y in g]
    else:
        shrink = mpmath.sqrt(1 + lr**2) if norm_correction else 1
        new = [(x - lr * w_norm / g_norm * y) / shrink for x, y in zip(w, g, strict=True)]
    if max_norm is not None and _norm(new) > max_norm:
        factor = max_norm / _norm(new)
        new = [factor * x for x in new]
    return new


def _norm(numbers):
    return mpmath.sqrt(mpmath.fsum(x * x for x in numbers))


def _numbers(tensor):
    real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return [mpmath.mpf(x) for x in real.double().flatten().tolist()]


def _tensor(numbers, like):
    values = torch.tensor([float(x) for x in numbers], dtype=torch.float64)
    if like.is_complex():
        return torch.view_as_complex(values.view(*like.shape, 2))
    return values.view(like.shape)
