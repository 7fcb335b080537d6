"""Perceptrons of one shape that train side by side.

Their weights lie in one stack of tensors. At width 32 most of the time of a step goes into calling
operations, not into arithmetic: a dozen networks in one stack take far less time than one after
another. `alone.Alone` trains one network in the ordinary way, with the same methods.
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

    @property
    def weights(self) -> list[Tensor]:
        """The weight matrices: three tensors (networks, layers, rows, columns)."""
        return self.tensors[:: self.kinds]

    def hidden(self, images: Tensor) -> list[Tensor]:
        """Outputs (networks, N, units) of all layers, before ReLU, for images (networks, N, pixels)."""
        return list(self._outputs(images))

    def logits(self, images: Tensor) -> Tensor:
        """Outputs (networks, N, classes) for images (networks, N, pixels)."""
        # Layer by layer: where no gradient is wanted, only one layer's outputs stay in memory.
        for output in self._outputs(images):
            logits = output
        return logits

    def _outputs(self, images: Tensor) -> Iterator[Tensor]:
        matrices = [weight.mT for weights in self.weights for weight in weights.unbind(1)]
        biases = [bias for biases in self.tensors[1::2] for bias in biases.unbind(1)]
        output = None
        for layer, matrix in enumerate(matrices):
            inputs = images if output is None else output.relu()
            if self.kinds == 2:
                output = torch.baddbmm(biases[layer], inputs, matrix)
            else:
                output = torch.bmm(inputs, matrix)
            yield output

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of every network, on a batch for each start: (starts, N, pixels), (starts, N).

        Returns:
            Each network's mean loss and accuracy on its batch, before the step: (networks,) both.
        """
        images, labels = images.repeat(self.copies, 1, 1), labels.repeat(self.copies, 1)
        logits = self.logits(images)
        losses = _losses(logits, labels)
        for tensor in self.tensors:
            tensor.grad.zero_()
        # The sum keeps the networks apart: each one's gradient is that of its own loss.
        (self.scales * losses).sum().backward()
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
        """The accuracy (networks,) of each network on the same images (N, pixels), 2,000 at a time."""
        pairs = zip(images.split(2000), labels.split(2000), strict=True)
        right = [self.logits(self._for_all(some)).argmax(2) == those for some, those in pairs]
        return torch.cat(right, 1).double().mean(1)

    def probe(self, images: Tensor, labels: Tensor) -> Probe:
        """Gradients of the mean loss on the same images (N, pixels) for all, and signals; nothing moves."""
        outputs = self.hidden(self._for_all(images))
        losses = _losses(outputs[-1], labels.expand(len(outputs[-1]), -1))
        gradients = torch.autograd.grad(losses.sum(), self.weights)
        typical = [gradient.double().square().mean((-2, -1)).sqrt() for gradient in gradients]
        shown = [output.detach().relu() for output in outputs[:-1]] + [outputs[-1].detach()]
        return Probe(torch.cat(typical, 1), torch.stack([signal(output) for output in shown], 1))

    def diverged(self) -> Tensor:
        """Which networks (networks,) have a weight that is not finite; their neighbors do not notice."""
        return ~torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in self.tensors]).all(0)

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


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (networks,) of logits (networks, N, classes) and labels (networks, N)."""
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view_as(labels).mean(1)
