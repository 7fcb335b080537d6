"""Perceptrons of one shape that train side by side.

Their weights lie in one stack of tensors. At width 32 most of the time of a step goes into calling
operations, not into arithmetic: a dozen networks in one stack take far less time than one after
another. For the same reason gradients are taken by hand, without autograd's graph. `alone.Alone` trains
one network in the ordinary way, with the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fromage_edu.networks import Perceptron

__all__ = ["Probe", "Stack", "signal"]


class Probe(NamedTuple):
    """What goes through networks at one moment: two tensors (networks, layers), float64.

    `gradients` are typical (root mean square) entries of each weight matrix's gradient; `signals` say how far
    each layer's outputs differ between images (`signal`), hidden layers after their ReLU.
    """

    gradients: Tensor
    signals: Tensor


def signal(outputs: Tensor) -> Tensor:
    """How far a layer's outputs (..., N, units) differ between N images: a unit's standard deviation.

    Args:
        outputs: of one layer.

    Returns:
        (...), float64: the root mean square over the units.

    >>> round(signal(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).item(), 6)
    0.707107
    """
    return outputs.double().var(-2, correction=0).mean(-1).sqrt()


class Stack:
    """Every start trains once with every optimizer, all side by side.

    Network `o * len(starts) + s` is start s under optimizer o. The tensors are (networks, layers, rows,
    columns): weights (and biases) of the first layer, of the hidden layers, of the last. Each optimizer is
    given the slices that hold its own networks.

    Args:
        starts: perceptrons with ReLU and a linear output, of the same widths, at least three layers, all with
            biases or all without.
        optimizers: for each a function from tensors to a `torch.optim.Optimizer`. It must treat networks
            and layers in a tensor apart: elementwise ones do, those of `stacked` do.
        dtype: of the weights.
        device: where they are.
        loss_scales: what each optimizer's losses are multiplied by before their gradient is taken; None: 1.

    Raises:
        ValueError: for no starts, starts of different shapes or another kind, fewer than three layers, no
            optimizers, or another number of loss_scales.

    >>> from functools import partial
    >>> from fromage_edu.experiments.stacked import StackedFromage
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
        device: torch.device | str = "cpu",
        loss_scales: Sequence[float] | None = None,
    ):
        """Copy the starts, once for each optimizer."""
        _check_starts(starts)
        self.per_optimizer, self.copies = len(starts), len(optimizers)
        loss_scales = [1.0] * self.copies if loss_scales is None else list(loss_scales)
        if not self.copies or len(loss_scales) != self.copies:
            raise ValueError(
                f"{self.copies} optimizers and {len(loss_scales)} loss_scales: give at least one optimizer, "
                "and a scale for each"
            )
        scales = torch.tensor(loss_scales, dtype=dtype, device=device)
        self.scales = scales.repeat_interleave(self.per_optimizer)
        networks = [list(start.layers) for start in starts]
        reads = [lambda layer: layer.weight, lambda layer: layer.bias[None]]
        self.kinds = 1 if networks[0][0].bias is None else 2
        self.tensors = []
        for part in (slice(0, 1), slice(1, -1), slice(-1, None)):
            for read in reads[: self.kinds]:
                rows = [torch.stack([read(layer).detach() for layer in layers[part]]) for layers in networks]
                tensor = torch.stack(rows).to(device, dtype).repeat(self.copies, 1, 1, 1)
                # The gradient is kept and overwritten, never replaced: the optimizers' slices always show it.
                tensor.grad = torch.zeros_like(tensor)
                self.tensors.append(tensor)
        # Each layer's own matrix (and bias) with its gradient: views, which show what the optimizers write.
        self._layers = []
        for first in range(0, len(self.tensors), self.kinds):
            part = [self._views(tensor) for tensor in self.tensors[first : first + self.kinds]]
            self._layers += zip(*part, strict=True)
        self.optimizers = [build(self._slices(index)) for index, build in enumerate(optimizers)]

    def _slices(self, optimizer: int) -> list[Tensor]:
        members = slice(optimizer * self.per_optimizer, (optimizer + 1) * self.per_optimizer)
        slices = [tensor[members] for tensor in self.tensors]
        for view, tensor in zip(slices, self.tensors, strict=True):
            view.grad = tensor.grad[members]
        return slices

    @staticmethod
    def _views(tensor: Tensor) -> tuple[Tensor, ...]:
        views = tensor.unbind(1)
        for view, gradient in zip(views, tensor.grad.unbind(1), strict=True):
            view.grad = gradient
        return views

    @property
    def weights(self) -> list[Tensor]:
        """The weight matrices: three tensors (networks, layers, rows, columns)."""
        return self.tensors[:: self.kinds]

    @torch.no_grad()
    def hidden(self, images: Tensor) -> list[Tensor]:
        """Outputs (networks, N, units) of all layers, before ReLU, for images (networks, N, pixels).

        They carry no graph.
        """
        *inputs, logits = self._through(images)
        outputs = [self._layer(layer, each) for layer, each in enumerate(inputs[:-1])]
        return [*outputs, logits]

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Outputs (networks, N, classes) for images (networks, N, pixels); they carry no graph."""
        # Layer by layer: only one layer's outputs stay in memory.
        for output in self._through(images):
            logits = output
        return logits

    @torch.no_grad()
    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of every network, on a batch for each start: (starts, N, pixels), (starts, N).

        Returns:
            Each network's mean loss and accuracy on its batch, before the step: (networks,) both.
        """
        images, labels = images.repeat(self.copies, 1, 1), labels.repeat(self.copies, 1)
        *inputs, logits = self._through(images)
        losses, slopes = _losses(logits, labels, self.scales)
        for layer, gradients in zip(self._layers, self._backward(inputs, slopes), strict=True):
            for tensor, gradient in zip(layer, gradients, strict=True):
                tensor.grad.copy_(gradient)
        for optimizer in self.optimizers:
            optimizer.step()
        return losses, (logits.argmax(2) == labels).double().mean(1)

    def decay(self, factor: float) -> None:
        """Multiply every learning rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor

    @torch.no_grad()
    def accuracies(self, images: Tensor, labels: Tensor) -> Tensor:
        """The accuracy (networks,) of each network on the same images (N, pixels), 2,000 at a time."""
        pairs = zip(images.split(2000), labels.split(2000), strict=True)
        right = [self.logits(self._for_all(some)).argmax(2) == those for some, those in pairs]
        return torch.cat(right, 1).double().mean(1)

    @torch.no_grad()
    def probe(self, images: Tensor, labels: Tensor) -> Probe:
        """Gradients of the mean loss on the same images (N, pixels) for all, and signals; nothing moves."""
        *inputs, logits = self._through(self._for_all(images))
        _, slopes = _losses(logits, labels.expand(len(logits), -1), torch.ones_like(self.scales))
        matrices = [gradients[0] for gradients in self._backward(inputs, slopes)]
        typical = [gradient.double().square().mean((-2, -1)).sqrt() for gradient in matrices]
        signals = [signal(output) for output in (*inputs[1:], logits)]
        return Probe(torch.stack(typical, 1), torch.stack(signals, 1))

    def diverged(self) -> Tensor:
        """Which networks (networks,) have a weight that is not finite; their neighbors do not notice."""
        return ~torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in self.tensors]).all(0)

    def _through(self, images: Tensor) -> Iterator[Tensor]:
        """What goes into each layer, (networks, N, units), and at last the logits."""
        yield images
        for layer in range(len(self._layers) - 1):
            images = self._layer(layer, images).relu_()
            yield images
        yield self._layer(-1, images)

    def _layer(self, layer: int, inputs: Tensor) -> Tensor:
        matrix, *bias = self._layers[layer]
        if bias:
            return torch.baddbmm(*bias, inputs, matrix.mT)
        return torch.bmm(inputs, matrix.mT)

    def _backward(self, inputs: list[Tensor], slopes: Tensor) -> list[list[Tensor]]:
        """The gradients of each layer's matrix (and bias), given its inputs and the logits' gradient."""
        gradients = []
        for layer in range(len(inputs) - 1, -1, -1):
            matrix, *bias = self._layers[layer]
            gradients.append([torch.bmm(slopes.mT, inputs[layer])])
            if bias:
                gradients[-1].append(slopes.sum(1, keepdim=True))
            if layer:
                # As autograd goes through a ReLU: 0 where nothing came out, even of an infinite slope.
                slopes = torch.ops.aten.threshold_backward(torch.bmm(slopes, matrix), inputs[layer], 0)
        return gradients[::-1]

    def _for_all(self, images: Tensor) -> Tensor:
        return images.expand(self.per_optimizer * self.copies, -1, -1)


def _check_starts(starts: Sequence[Perceptron]) -> None:
    """Refuse networks that would be trained as something else than they are."""
    widths = sorted({start.widths for start in starts})
    if len(widths) != 1 or len(widths[0]) < 4:
        raise ValueError(f"starts have widths {widths}: give perceptrons of one shape, at least 3 layers")
    if any(not isinstance(start.nonlinearity, nn.ReLU) or start.output_nonlinearity for start in starts):
        raise ValueError("a start has another nonlinearity: give perceptrons with ReLU and a linear output")
    if len({layer.bias is None for start in starts for layer in start.layers}) != 1:
        raise ValueError("some layers have biases and some have none: give starts with or without")


def _losses(logits: Tensor, labels: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy (networks,) of logits (networks, N, classes); the gradients of it times scales."""
    # Autograd as far as the logits: the graph is short, and softmax rounds as it does elsewhere.
    with torch.enable_grad():
        logits = logits.detach().requires_grad_()
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        losses = losses.view_as(labels).mean(1)
    (slopes,) = torch.autograd.grad(losses, logits, scales)
    return losses.detach(), slopes
