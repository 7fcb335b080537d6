"""How a weight and its gradient lie in memory: what a path must know before it reads both in one go."""

from torch import Tensor


def in_memory_order(weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor] | None:
    """Both as contiguous views, if they are dense in one common order (channels last, transposed)."""
    if weight.shape != grad.shape or grad.is_neg():  # to be negated when read, which no pointer tells
        return None
    if weight.is_contiguous() and grad.is_contiguous():
        return weight, grad
    order = sorted(range(weight.dim()), key=weight.stride, reverse=True)
    weight, grad = weight.permute(order), grad.permute(order)
    return (weight, grad) if weight.is_contiguous() and grad.is_contiguous() else None
