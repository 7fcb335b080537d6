"""Optimizers of a stack: one norm for each matrix and bias vector in a tensor.

Adam and SGD treat every number alone, so torch's own classes train a stack as they are. Whoever takes a
layer's norm needs to know where a layer ends: here, in the last two dimensions.
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

__all__ = ["NormalizedSGD", "StackedFromage"]


def _checked(lr: float) -> float:
    real = isinstance(lr, Real) and not isinstance(lr, bool)
    if not real or not 0 <= lr < math.inf:
        raise ValueError(f"lr is {lr!r}: give a finite number >= 0, such as 0.01")
    return lr


def _norms(tensor: Tensor, naive: bool) -> Tensor:
    """Norms of the matrices in a tensor (..., rows, columns): (..., 1, 1)."""
    if naive:  # As it is written down: squares below 1e-45 and above 3e38 leave float32.
        return tensor.square().sum((-2, -1), keepdim=True).sqrt()
    # In float64 the squares of gradients like 1e-25 do not vanish.
    return torch.linalg.vector_norm(tensor, dim=(-2, -1), keepdim=True, dtype=torch.float64)


class StackedFromage(torch.optim.Optimizer):
    """`fromage_edu.Fromage` for a stack; a test holds this class against it.

    Args:
        tensors: (..., rows, columns).
        lr: the relative size of a step, finite and at least 0.
        naive: take norms as the root of a sum of squares in the tensors' own dtype, as a first draft would.

    Raises:
        ValueError: for another lr.

    >>> weight = torch.eye(2).repeat(3, 1, 1)
    >>> weight.grad = 1e-30 * torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).repeat(3, 1, 1)
    >>> StackedFromage([weight], lr=0.75).step()
    >>> weight[2]
    tensor([[ 0.8000, -0.6000],
            [ 0.6000,  0.8000]])

    Source: Fromage paper, Algorithm 1 (F25).
    """

    def __init__(self, tensors: list[Tensor], lr: float = 0.01, naive: bool = False):
        """See the class."""
        super().__init__(tensors, {"lr": _checked(lr)})
        self.naive = naive

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            lr = group["lr"]
            for tensor in group["params"]:
                size, slope = _norms(tensor, self.naive), _norms(tensor.grad, self.naive)
                # No gradient, no step and nothing to correct; a zero tensor takes the raw
                # step of gradient descent.
                moves = (slope != 0) & (size != 0)
                one = torch.ones_like(size)
                shrink = torch.where(moves, one * (1 + lr * lr) ** -0.5, one).to(tensor.dtype)
                length = lr * torch.where(moves, size, size == 0).to(tensor.dtype)
                # Divided first: lr * size / slope alone may leave the range of float32.
                direction = tensor.grad / torch.where(moves, slope, one).to(tensor.dtype)
                tensor.sub_(direction.mul_(length)).mul_(shrink)


class NormalizedSGD(torch.optim.Optimizer):
    """Gradient descent with each layer's gradient divided by its norm: W ← W − lr · g/‖g‖_F.

    It is as blind to the gradient's scale as Fromage, and knows nothing of the weight's.

    Args:
        tensors: (..., rows, columns) of a stack, or the parameters of one network.
        lr: the length of every layer's step, finite and at least 0.
        stacked: whether the last two dimensions are a layer, or the whole tensor.

    Raises:
        ValueError: for another lr.

    >>> weight = torch.ones(1, 2)
    >>> weight.grad = torch.tensor([[3e-20, 4e-20]])
    >>> NormalizedSGD([weight], lr=0.1).step()
    >>> weight
    tensor([[0.9400, 0.9200]])
    """

    def __init__(self, tensors: list[Tensor], lr: float = 0.01, stacked: bool = True):
        """See the class."""
        super().__init__(tensors, {"lr": _checked(lr)})
        self.stacked = stacked

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            for tensor in group["params"]:
                rows = tensor.grad if self.stacked else tensor.grad.reshape(1, -1)
                slope = _norms(rows, naive=False)
                direction = rows / torch.where(slope != 0, slope, 1.0).to(tensor.dtype)
                tensor.sub_(direction.view_as(tensor), alpha=group["lr"])
