"""One perceptron that trains in the ordinary way: a module, torch's autograd, an optimizer of its parameters.

Wide networks train so: their arithmetic fills a core, and a stack would gain nothing. It is also what a
stack is held against.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fromage_edu.experiments.settings import Entrant
from fromage_edu.experiments.stack import Probe, signal
from fromage_edu.networks import Perceptron

__all__ = ["Alone"]


class Alone:
    """One network under one optimizer, with the methods of a `Stack` that holds just this network.

    Args:
        start: a perceptron with a linear output; it is copied.
        entrant: the optimizer and its settings.
        dtype: of the weights.
        device: where they are.

    Raises:
        ValueError: for an entrant that trains in stacks only.

    >>> from fromage_edu.experiments.settings import FROMAGE
    >>> start = Perceptron([4, 8, 3], bias=True, output_nonlinearity=False)
    >>> alone = Alone(start, FROMAGE)
    >>> losses, accuracies = alone.step(torch.randn(1, 16, 4), torch.zeros(1, 16, dtype=torch.long))
    >>> losses.shape
    torch.Size([1])
    """

    def __init__(
        self,
        start: Perceptron,
        entrant: Entrant,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        """Copy the start."""
        self.network = copy.deepcopy(start).to(device, dtype)
        self.optimizer = entrant.build_alone(self.network.parameters())
        self.scale = entrant.loss_scale

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step on a batch (1, N, pixels), (1, N).

        Returns:
            The mean loss and the accuracy on the batch, before the step: (1,) both.
        """
        logits = self.network(images[0])
        loss = cross_entropy(logits, labels[0])
        self.optimizer.zero_grad()
        (self.scale * loss).backward()
        self.optimizer.step()
        right = (logits.detach().argmax(1) == labels[0]).double().mean()
        return loss.detach()[None], right[None]

    def decay(self, factor: float) -> None:
        """Multiply the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] *= factor

    @torch.no_grad()
    def accuracies(self, images: Tensor, labels: Tensor) -> Tensor:
        """The accuracy (1,) on images (N, pixels), a thousand at a time."""
        pairs = zip(images.split(1000), labels.split(1000), strict=True)
        right = [(self.network(some).argmax(1) == those).double() for some, those in pairs]
        return torch.cat(right).mean()[None]

    def probe(self, images: Tensor, labels: Tensor) -> Probe:
        """Gradients of the mean loss on images (N, pixels), and signals; nothing moves."""
        outputs = self.network.hidden(images)[1:]
        gradients = torch.autograd.grad(cross_entropy(outputs[-1], labels), self.network.weights)
        typical = [gradient.double().square().mean().sqrt() for gradient in gradients]
        signals = [signal(output.detach()) for output in outputs]
        return Probe(torch.stack(typical)[None], torch.stack(signals)[None])

    def diverged(self) -> Tensor:
        """Whether (1,) a weight is not finite."""
        finite = [parameter.isfinite().all() for parameter in self.network.parameters()]
        return ~torch.stack(finite).all()[None]
