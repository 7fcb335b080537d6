"""Perceptrons of one shape that train side by side.

Their weights lie in one stack of tensors. At width 32 most of the time of a step goes into calling
operations, not into arithmetic: a dozen networks in one stack take far less time than one after
another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fromage_edu.networks import Perceptron

__all__ = ["Stack", "StackedFromage"]


class Stack:
    """Every start trains once with every optimizer, all side by side.

    Network `o * len(starts) + s` is start s under optimizer o. The tensors are (networks, layers, rows,
    columns): weights and biases of the first layer, of the hidden layers, of the last. Each optimizer is
    given the slices that hold its own networks.

    Args:
        starts: perceptrons with biases, ReLU and a linear output, of the same widths, at least three layers.
        optimizers: for each a function from tensors to a `torch.optim.Optimizer`. It must treat networks
            and layers in a tensor apart: elementwise ones do, Fromage does as `StackedFromage`.
        dtype: of the weights.

    Raises:
        ValueError: for no starts, starts of different widths, or fewer than three layers.

    >>> from functools import partial
    >>> starts = [Perceptron([4, 8, 8, 3], bias=True, output_nonlinearity=False) for _ in range(5)]
    >>> stack = Stack(starts, [partial(torch.optim.SGD, lr=0.1), partial(StackedFromage, lr=0.01)])
    >>> losses, accuracies = stack.step(torch.randn(5, 16, 4), torch.zeros(5, 16, dtype=torch.long))
    >>> losses.shape
    torch.Size([10])
    """

    def __init__(
        self,
        starts: Sequence[Perceptron],
        optimizers: Sequence[Callable[[list[Tensor]], torch.optim.Optimizer]],
        dtype: torch.dtype = torch.float32,
    ):
        """Copy the starts, once for each optimizer."""
        widths = sorted({start.widths for start in starts})
        if len(widths) != 1 or len(widths[0]) < 4:
            raise ValueError(f"starts have widths {widths}: give perceptrons of one shape, at least 3 layers")
        self.per_optimizer, self.copies = len(starts), len(optimizers)
        networks = [[part for part in start.modules() if isinstance(part, nn.Linear)] for start in starts]
        self.tensors = []
        for part in (slice(0, 1), slice(1, -1), slice(-1, None)):
            for read in (lambda layer: layer.weight, lambda layer: layer.bias[None]):
                rows = [torch.stack([read(layer).detach() for layer in layers[part]]) for layers in networks]
                tensor = torch.stack(rows).to(dtype).repeat(self.copies, 1, 1, 1)
                # The gradient is kept and zeroed, never replaced: the optimizers' slices always show it.
                tensor.grad = torch.zeros_like(tensor)
                self.tensors.append(tensor.requires_grad_())
        self.optimizers = [build(self._slices(index)) for index, build in enumerate(optimizers)]

    def _slices(self, optimizer: int) -> list[Tensor]:
        members = slice(optimizer * self.per_optimizer, (optimizer + 1) * self.per_optimizer)
        slices = [tensor.detach()[members] for tensor in self.tensors]
        for view, tensor in zip(slices, self.tensors, strict=True):
            view.grad = tensor.grad[members]
        return slices

    def logits(self, images: Tensor) -> Tensor:
        """Outputs (networks, N, classes) for images (networks, N, pixels)."""
        layers = [
            layer
            for weights, biases in zip(self.tensors[::2], self.tensors[1::2], strict=True)
            for layer in zip(weights.unbind(1), biases.unbind(1), strict=True)
        ]
        hidden = images
        for weight, bias in layers[:-1]:
            hidden = torch.baddbmm(bias, hidden, weight.mT).relu()
        weight, bias = layers[-1]
        return torch.baddbmm(bias, hidden, weight.mT)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of every network, on a batch for each start: (starts, N, pixels), (starts, N).

        Returns:
            Each network's mean loss and accuracy on its batch, before the step: (networks,) both.
        """
        images, labels = images.repeat(self.copies, 1, 1), labels.repeat(self.copies, 1)
        logits = self.logits(images)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        losses = losses.view_as(labels).mean(1)
        for tensor in self.tensors:
            tensor.grad.zero_()
        # The sum keeps the networks apart: each one's gradient is that of its own mean loss.
        losses.sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return losses.detach(), (logits.detach().argmax(2) == labels).double().mean(1)

    def decay(self, factor: float) -> None:
        """Multiply every learning rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor

    @torch.no_grad()
    def accuracies(self, images: Tensor, labels: Tensor) -> Tensor:
        """The accuracy (networks,) of each network on the same images (N, pixels)."""
        logits = self.logits(images.expand(self.per_optimizer * self.copies, -1, -1))
        return (logits.argmax(2) == labels).double().mean(1)

    def diverged(self) -> Tensor:
        """Which networks (networks,) have a weight that is not finite; their neighbors do not notice."""
        return ~torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in self.tensors]).all(0)


class StackedFromage(torch.optim.Optimizer):
    """`fromage_edu.Fromage` for a stack: one norm for each matrix and bias vector in a tensor.

    Adam and SGD treat every number alone, so torch's own classes train a stack as they are. Fromage
    needs to know where a layer ends: here, in the last two dimensions. A test holds this class against
    `fromage_edu.Fromage`.

    Args:
        tensors: (..., rows, columns).
        lr: the relative size of a step, finite and at least 0.

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

    def __init__(self, tensors: list[Tensor], lr: float = 0.01):
        """See the class."""
        real = isinstance(lr, Real) and not isinstance(lr, bool)
        if not real or not 0 <= lr < math.inf:
            raise ValueError(f"lr is {lr!r}: give a finite number >= 0, such as 0.01")
        super().__init__(tensors, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        # In float64 the squares of gradients like 1e-25 do not vanish.
        norm = partial(torch.linalg.vector_norm, dim=(-2, -1), keepdim=True, dtype=torch.float64)
        for group in self.param_groups:
            lr = group["lr"]
            for tensor in group["params"]:
                size, slope = norm(tensor), norm(tensor.grad)
                # No gradient, no step and nothing to correct; a zero tensor takes the raw
                # step of gradient descent.
                moves = (slope != 0) & (size != 0)
                one = torch.ones_like(size)
                shrink = torch.where(moves, one * (1 + lr * lr) ** -0.5, one).to(tensor.dtype)
                length = lr * torch.where(moves, size, size == 0).to(tensor.dtype)
                # Divided first: lr * size / slope alone may leave the range of float32.
                direction = tensor.grad / torch.where(moves, slope, one).to(tensor.dtype)
                tensor.sub_(direction.mul_(length)).mul_(shrink)
