"""Perceptrons at their start, the images they learn, and their training, narrow or wide.

`config` is here a `depth.Config` or anything with its fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fromage_edu.data import Images, digits, mnist, mnist_5k
from fromage_edu.experiments.alone import Alone
from fromage_edu.experiments.settings import Entrant, one_of, whole
from fromage_edu.experiments.stack import Stack
from fromage_edu.networks import Perceptron

if TYPE_CHECKING:
    from fromage_edu.experiments.depth import Config

__all__ = ["DATASETS", "INITS", "NARROW", "images", "network", "trainer", "training"]

#: What networks can learn.
DATASETS = {"digits": digits, "mnist_5k": mnist_5k, "mnist": mnist}
#: How weights can start: as `nn.Linear` starts them, or so that signals keep their size.
INITS = ("default", "he", "orthogonal")
#: Up to this width networks train side by side.
NARROW = 64


def network(
    depth: int,
    *,
    width: int = 32,
    seed: int,
    inputs: int = 64,
    classes: int = 10,
    init: str = "default",
    bias: bool = True,
) -> Perceptron:
    """The perceptron that a seed starts from.

    Args:
        depth: hidden layers; one output layer comes on top.
        width: units per hidden layer.
        seed: fixes the weights.
        inputs: pixels of an image.
        classes: outputs.
        init: of the weights: "default", as `nn.Linear` has it; "he": normal of variance 2/n, n the inputs of
            a layer; "orthogonal": √2 times a matrix with orthonormal rows or columns.
        bias: whether layers have biases; they start as those of `nn.Linear` do, in every `init`.

    Returns:
        The perceptron, with a linear output; torch's global random numbers are left alone. With and without
        biases the weights of a seed are the same.

    >>> len(network(depth=30, seed=1).weights)
    31
    """
    widths = [inputs, *[width] * whole("depth", depth, least=1), classes]
    whole("seed", seed, least=0)
    generator = torch.Generator().manual_seed(seed)
    net = Perceptron(widths, bias=True, output_nonlinearity=False, generator=generator)
    for layer in net.layers:
        if one_of("init", init, INITS) == "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        elif init == "orthogonal":
            nn.init.orthogonal_(layer.weight, gain=2**0.5, generator=generator)
        if not bias:
            layer.bias = None
    return net


def images(dataset: str, dtype: str, device: str = "cpu") -> Images:
    """What networks learn, as rows, on a device.

    Args:
        dataset: "digits", "mnist_5k" or "mnist".
        dtype: "float32" or "float64".
        device: such as "cpu" or "cuda".

    Returns:
        The images and labels, read once; do not change them.

    Raises:
        ConnectionError: if "mnist" is not on this machine and cannot be downloaded.
        ImportError: without the package that "digits" or "mnist_5k" come from, with the command that installs
            it.
        ValueError: for another dataset.

    >>> images("digits", "float32").x_train.shape
    torch.Size([1438, 64])
    """
    return _images(dataset, dtype, device)


# Of three: an experiment may train in float32 or float64 and take gradients in float64.
@lru_cache(maxsize=3)
def _images(dataset: str, dtype: str, device: str) -> Images:
    read = DATASETS[one_of("dataset", dataset, DATASETS)]
    try:
        data = read(dtype=getattr(torch, dtype))
    except ConnectionError as error:
        # In one line, as a sweep keeps it; what each mirror answered is in the traceback.
        raise ConnectionError(
            f"dataset {dataset!r} could not be downloaded: call fromage_edu.data.{dataset}() where there is "
            "a network, or take 'digits' or 'mnist_5k', which need none"
        ) from error
    return data._replace(**{name: getattr(data, name).to(device) for name in data._fields[:4]})


def trainer(config: Config, depth: int, entrants: Sequence[Entrant], seeds: Sequence[int]) -> Stack | Alone:
    """Networks at their start, with their optimizers.

    Args:
        config: their shape, start, data and device.
        depth: hidden layers.
        entrants: each trains every seed's network.
        seeds: of the networks.

    Returns:
        A `Stack` of them side by side, or `Alone` for one that is wide.

    Raises:
        ValueError: for more than one network where they are wide.

    >>> from fromage_edu.experiments.depth import ADAM, FROMAGE, PRESETS
    >>> trainer(PRESETS["quick"], 2, [FROMAGE, ADAM], [1, 2, 3]).diverged().shape
    torch.Size([6])
    """
    inputs = images(config.dataset, config.dtype, config.device).x_train.shape[1]
    shape = {"width": config.width, "inputs": inputs, "init": config.init, "bias": config.bias}
    starts = [network(depth, seed=seed, **shape) for seed in seeds]
    dtype = getattr(torch, config.dtype)
    if config.width <= NARROW:
        scales = [entrant.loss_scale for entrant in entrants]
        return Stack(starts, [entrant.build for entrant in entrants], dtype, config.device, scales)
    if len(entrants) != 1 or len(starts) != 1:
        raise ValueError(
            f"{len(entrants)} entrants and {len(starts)} seeds: beyond a width of {NARROW} give one of each"
        )
    return Alone(starts[0], entrants[0], dtype, config.device)


def training(
    networks: Stack | Alone, config: Config, seeds: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Train networks, and stop after every epoch for a look at them.

    Every seed walks through the images in its own order, in whole batches.

    Args:
        networks: what `trainer` made.
        config: epochs, batches and learning rates.
        seeds: of the orders, as many as the networks have starts.

    Yields:
        After each epoch the losses and accuracies (networks,): means over its batches, each taken before its
        step.

    >>> from fromage_edu.experiments.depth import FROMAGE, PRESETS
    >>> config = PRESETS["quick"]
    >>> networks = trainer(config, 2, [FROMAGE], [1, 2])
    >>> [losses.shape for losses, accuracies in training(networks, config, [1, 2])]
    [torch.Size([2]), torch.Size([2])]
    """
    data = images(config.dataset, config.dtype, config.device)
    # Seeds far from those of the starts: the order of batches owes nothing to the weights.
    orders = [torch.Generator().manual_seed(10**6 + seed) for seed in seeds]
    count = len(data.x_train)
    for _ in range(config.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for generator in orders])
        batches = order.to(config.device).split(config.batch_size, dim=1)
        steps = [
            torch.stack(networks.step(data.x_train[batch], data.y_train[batch]))
            for batch in batches[: max(1, count // config.batch_size)]
        ]
        networks.decay(config.final_lr ** (1 / config.epochs))
        yield tuple(torch.stack(steps).mean(0))
