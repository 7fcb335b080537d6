"""Where does a gradient stop telling the truth? Figure 2 of the Fromage paper in miniature.

Perceptrons of 2 and of 16 layers, and a residual one of 16, learn scikit-learn's handwritten digits with
Fromage. At ten checkpoints training pauses: every weight matrix is moved against its gradient by a step of
relative size η, W_l − η ‖W_l‖ g_l / ‖g_l‖, and the loss and the first layer's gradient are measured again.
All gradients are over all training images. Biases train along and stay put during the measurement, as the
paper perturbs matrices.

A *slice* is one seed's network at one checkpoint, over all η. `layers` counts weight matrices, as the paper's
caption does. About ten settings (widths, batch sizes, epochs, with biases and without) were tried on seeds 0
to 2, which no preset uses; those kept are the ones in which 16 layers learn best for the time it takes.

Source: Fromage paper, Figure 2 (F16).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fromage_edu.data import digits
from fromage_edu.experiments import store
from fromage_edu.experiments.devices import device_name
from fromage_edu.experiments.perturbation_results import figure, growth, slices_figure, summarise
from fromage_edu.experiments.settings import distinct, number, whole
from fromage_edu.experiments.stacked import StackedFromage
from fromage_edu.experiments.tables import table
from fromage_edu.networks import Perceptron

__all__ = [
    "CHAPTER",
    "PRESETS",
    "Config",
    "Net",
    "Networks",
    "Outcome",
    "Point",
    "figure",
    "growth",
    "measure",
    "points",
    "recordings",
    "run_point",
    "slices_figure",
    "start",
    "summarise",
]


#: Where the book tells of it; `fromage-edu report` runs it on stored results.
CHAPTER = "descent/06_breakdown"


@dataclass(frozen=True)
class Net:
    """A kind of network.

    Args:
        layers: number of weight matrices, at least 2.
        residual: whether each hidden layer adds to its input, h_l = h_{l−1} + φ(W_l h_{l−1} + b_l). The first
            does not where the widths differ, the last never does.

    Raises:
        ValueError: for fewer layers, or a residual that is neither True nor False.

    >>> Net(16, residual=True).name
    '16 layers, residual'
    """

    layers: int
    residual: bool = False

    def __post_init__(self):
        """Refuse what cannot run."""
        whole("layers", self.layers, least=2)
        if not isinstance(self.residual, bool):
            raise ValueError(f"residual is {self.residual!r}: give True or False")

    @property
    def name(self) -> str:
        """The label in tables and figures."""
        return f"{self.layers} layers{', residual' * self.residual}"


@dataclass(frozen=True)
class Config:
    """What is trained and measured.

    Args:
        nets: kinds of networks.
        widths: units of the hidden layers; every kind is tried at every width.
        seeds: one network for each; a seed fixes the start and the order of batches.
        etas: sizes of the perturbation, rising from 0.
        checkpoints: how often training pauses, first before it starts, then at equal distances.
        batch_size: images per training step.
        epochs: passes through the training images.
        lr: Fromage's learning rate.
        final_lr: it shrinks a little every epoch; this is the fraction left at the end.
        device: "cpu", "cuda", or one of several GPUs, such as "cuda:1"; all have the same starts and batches.

    Raises:
        ValueError: for whatever cannot run, before anything has run; the message names the value.

    >>> Config(seeds=range(3)).seeds
    (0, 1, 2)
    """

    nets: tuple[Net, ...] = (Net(2), Net(16))
    widths: tuple[int, ...] = (128,)
    seeds: tuple[int, ...] = (21, 22, 23)
    etas: tuple[float, ...] = tuple(step / 100 for step in range(11))
    checkpoints: int = 10
    batch_size: int = 32
    epochs: int = 30
    lr: float = 0.01
    final_lr: float = 0.35
    device: str = "cpu"

    def __post_init__(self):
        """Refuse what cannot run, before anything has run."""
        examples = {"nets": "(Net(2), Net(16))", "widths": "(64, 128)", "seeds": "(21, 22, 23)"}
        for name, example in (examples | {"etas": "(0, 0.01, 0.1)"}).items():
            object.__setattr__(self, name, distinct(name, getattr(self, name), example))
        for net in self.nets:
            if not isinstance(net, Net):
                raise ValueError(f"a net is {net!r}: give a Net, such as Net(16)")
        for width in self.widths:
            whole("a width", width, least=1)
        for seed in self.seeds:
            whole("a seed", seed, least=0)
        for eta in self.etas:
            number("an eta", eta, ">= 0, such as 0.01", lambda eta: eta >= 0)
        if list(self.etas) != sorted(self.etas) or self.etas[0] != 0 or len(self.etas) < 2:
            raise ValueError(f"etas are {self.etas}: let them rise from 0, such as (0, 0.01, 0.1)")
        for name in ("checkpoints", "batch_size", "epochs"):
            whole(name, getattr(self, name), least=1)
        number("lr", self.lr, ">= 0, such as 0.01", lambda lr: lr >= 0)
        number("final_lr", self.final_lr, "> 0 and <= 1, such as 0.35", lambda left: 0 < left <= 1)
        device_name(self.device)


#: Beside 0, where everything starts: a tenth of the largest step, and up to it.
COARSE = (0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)

# The seeds of the last three were fixed before the first run with them.
PRESETS = {
    "quick": Config(widths=(16,), seeds=(5, 6), etas=(0, 0.01, 0.1), checkpoints=3, epochs=2),
    # About 20 seconds on one core.
    "default": Config(etas=COARSE),
    # The paper's two networks and the residual one that its authors ran too, at two widths.
    "paper": Config(
        nets=(Net(2), Net(16), Net(16, residual=True)), widths=(64, 128), seeds=(401, 402, 403, 404, 405)
    ),
    # The width of the authors' images, and of their networks in Figure 4. Our images have 64 pixels.
    "paper, width 784": Config(widths=(784,), seeds=(411, 412, 413), etas=COARSE, epochs=15),
}


class Point(NamedTuple):
    """One piece of work: all seeds of one kind of network at one width."""

    config: Config
    net: Net
    width: int


class Outcome(NamedTuple):
    """What one point gave: tidy rows, one for each seed, checkpoint and η."""

    rows: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration.

    Args:
        config: what is trained and measured.

    Returns:
        A point for each kind of network and width.

    >>> [(point.net.name, point.width) for point in points(PRESETS["quick"])]
    [('2 layers', 16), ('16 layers', 16)]
    """
    return [Point(config, net, width) for net in config.nets for width in config.widths]


class Networks(NamedTuple):
    """Networks of one kind, side by side: matrices (S, n_l, n_{l−1}), biases (S, 1, n_l), one of S a seed."""

    weights: list[Tensor]
    biases: list[Tensor]
    residual: bool

    def logits(self, x: Tensor) -> Tensor:
        """Outputs (S, N, classes) for images (N, pixels), the same for all, or (S, N, pixels)."""
        h = x.expand(len(self.weights[0]), *x.shape[-2:])
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            branch = torch.baddbmm(bias, h, weight.mT).relu()
            h = h + branch if self.residual and h.shape == branch.shape else branch
        return torch.baddbmm(self.biases[-1], h, self.weights[-1].mT)

    def to(self, device: str) -> Networks:
        """The same networks on a device."""
        weights, biases = ([tensor.to(device) for tensor in own] for own in (self.weights, self.biases))
        return Networks(weights, biases, self.residual)

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Each network's mean loss and accuracy, (S,) both, on labels (N,) or (S, N)."""
        logits = self.logits(x)
        y = y.expand(logits.shape[:2])
        losses = cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(1)
        return losses, (logits.detach().argmax(2) == y).double().mean(1)


def start(point: Point) -> Networks:
    """The networks of a point before training, as `nn.Linear` starts its layers.

    Args:
        point: the kind, the width and the seeds.

    Returns:
        The networks, one for each seed, float32; torch's global random numbers are left alone.

    >>> start(Point(PRESETS["quick"], Net(3), width=8)).weights[0].shape
    torch.Size([2, 8, 64])
    """
    widths = [64, *[point.width] * (point.net.layers - 1), 10]
    networks = [
        Perceptron(
            widths, bias=True, output_nonlinearity=False, generator=torch.Generator().manual_seed(seed)
        )
        for seed in point.config.seeds
    ]
    layers = list(zip(*(network.layers for network in networks), strict=True))
    weights = [torch.stack([layer.weight.detach() for layer in same]) for same in layers]
    biases = [torch.stack([layer.bias.detach()[None] for layer in same]) for same in layers]
    return Networks(weights, biases, point.net.residual)


def measure(networks: Networks, x: Tensor, y: Tensor, etas) -> list[dict]:
    """Walk against the gradient, all matrices at once, and look at the loss and the first gradient again.

    Args:
        networks: side by side.
        x: images (N, pixels), the whole batch.
        y: labels (N,).
        etas: sizes of the step: layer l moves by η ‖W_l‖.

    Returns:
        For each η a row: eta, and for each network a number in loss (mean, natural logarithm), accuracy and
        change, the relative change ‖g̃_1 − g_1‖ / ‖g_1‖ of the first layer's gradient: 1 where the moved
        network's gradient is 0 (no unit of some layer is on), NaN where it was 0 before.

    >>> point = Point(PRESETS["quick"], Net(2), width=8)
    >>> rows = measure(start(point), digits().x_train, digits().y_train, [0, 0.01])
    >>> rows[0]["change"], rows[1]["loss"][0] < rows[0]["loss"][0]
    ([0.0, 0.0], True)

    Source: Fromage paper, Figure 2 (F16).
    """
    networks = networks._replace(weights=[weight.detach() for weight in networks.weights])
    _, _, gradients = _gradients(networks, x, y, layers=None)
    steps = [
        _norm(weight) * gradient / torch.where(_norm(gradient) > 0, _norm(gradient), 1.0)
        for weight, gradient in zip(networks.weights, gradients, strict=True)
    ]
    steps = [step.to(weight.dtype) for step, weight in zip(steps, networks.weights, strict=True)]
    rows = []
    for eta in etas:
        moved = [weight - eta * step for weight, step in zip(networks.weights, steps, strict=True)]
        losses, accuracies, (gradient,) = _gradients(networks._replace(weights=moved), x, y, layers=1)
        change = _norm(gradient - gradients[0]) / _norm(gradients[0])
        rows.append(
            {
                "eta": float(eta),
                "loss": losses.tolist(),
                "accuracy": accuracies.tolist(),
                "change": change.flatten().tolist(),
            }
        )
    return rows


def _gradients(networks, x, y, layers) -> tuple[Tensor, Tensor, list[Tensor]]:
    weights = [weight.detach().requires_grad_() for weight in networks.weights]
    losses, accuracies = networks._replace(weights=weights).losses(x, y)
    # The sum keeps the networks apart: each one's gradient is that of its own mean loss.
    return losses.detach(), accuracies, list(torch.autograd.grad(losses.sum(), weights[:layers]))


def _norm(tensor: Tensor) -> Tensor:
    # In float64: deep networks have gradients whose squares leave float32.
    return torch.linalg.vector_norm(tensor, dim=(-2, -1), keepdim=True, dtype=torch.float64)


def run_point(point: Point) -> Outcome:
    """Train one kind of network from every seed, side by side, and measure at every checkpoint.

    Args:
        point: one of `points(config)`.

    Returns:
        Rows with layers, residual, width, seed, checkpoint, step (of training), eta, loss, accuracy and
        change; and the seconds it took.

    >>> outcome = run_point(points(PRESETS["quick"])[0])
    >>> len(outcome.rows)  # 2 seeds, 3 checkpoints, 3 etas
    18
    """
    started = time.perf_counter()
    config, data = point.config, digits()
    x, y = data.x_train.to(config.device), data.y_train.to(config.device)
    networks = start(point).to(config.device)
    parameters = [*networks.weights, *networks.biases]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = StackedFromage(parameters, lr=config.lr)
    # Seeds far from those of the starts: the order of batches owes nothing to the weights. Random numbers are
    # drawn on the processor: a GPU's own would be others.
    orders = [torch.Generator().manual_seed(10**6 + seed) for seed in config.seeds]
    steps = max(1, len(x) // config.batch_size)
    pauses = [index * steps * config.epochs // config.checkpoints for index in range(config.checkpoints)]
    step, rows = 0, []
    for _ in range(config.epochs):
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders])
        for batch in order.to(config.device).split(config.batch_size, dim=1)[:steps]:
            while len(rows) < len(pauses) and pauses[len(rows)] <= step:
                rows.append((step, measure(networks, x, y, config.etas)))
            losses, _ = networks.losses(x[batch], y[batch])
            for parameter in parameters:
                parameter.grad = None
            losses.sum().backward()
            optimizer.step()
            step += 1
        for group in optimizer.param_groups:
            group["lr"] *= config.final_lr ** (1 / config.epochs)
    return Outcome(_tidy(point, rows), time.perf_counter() - started)


def _tidy(point, measured) -> list[dict]:
    about = {"layers": point.net.layers, "residual": point.net.residual, "width": point.width}
    return [
        about
        | {"seed": seed, "checkpoint": checkpoint, "step": step, "eta": row["eta"]}
        | {name: row[name][place] for name in ("loss", "accuracy", "change")}
        for place, seed in enumerate(point.config.seeds)
        for checkpoint, (step, rows) in enumerate(measured)
        for row in rows
    ]


def recordings(progress=lambda text: None, presets=("paper", "paper, width 784"), keep=None):
    """What pages quote: `perturbation`, every slice of the presets.

    Args:
        progress: called with a line of text after every point.
        presets: the configurations to run; all their rows go into one table.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config).

    Raises:
        ImportError: without pandas, with the command that installs it.
        ValueError: for a preset that does not exist.
    """
    table([])  # Without pandas, say so now and not after minutes.
    outcomes, configs = store.run_presets(sys.modules[__name__], presets, keep=keep, progress=progress)
    return {"perturbation": (table([row for outcome in outcomes for row in outcome.rows]), configs)}
