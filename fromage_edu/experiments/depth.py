"""How deep can a perceptron be and still learn? Figure 4 of the Fromage paper, in miniature and at full size.

Perceptrons of growing depth learn handwritten digits with Fromage, Adam, SGD with and without momentum, and
a fair rival: Adam with its `eps` small enough to be out of the way. `depth` counts hidden layers, as the x
axis of the paper's figure does; the output layer comes on top. Biases and PyTorch's default initialization
are the paper's; they are what makes depth hard here. `confounders` changes them one at a time.

A seed fixes a network's start and its order of batches, so every optimizer meets the same networks and
batches. Narrow networks of one depth train side by side in a stack and are one point; a wide network is a
point by itself, so that processes can share them.

Source: Fromage paper, Figure 4 (F29).
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy

from fromage_edu.experiments import store
from fromage_edu.experiments.depth_results import (
    CHANCE,
    LEARNS,
    best_learning_rates,
    figure,
    race_figure,
    summarise,
)
from fromage_edu.experiments.devices import device_name
from fromage_edu.experiments.settings import (
    ADAM,
    ADAM_SCALED,
    ADAM_TINY_EPS,
    ENTRANTS,
    FROMAGE,
    SGD,
    TINY_EPS,
    Entrant,
    distinct,
    number,
    one_of,
    whole,
)
from fromage_edu.experiments.tables import table
from fromage_edu.experiments.trainers import DATASETS, INITS, NARROW, images, network, trainer, training

__all__ = [
    "CHAPTER",
    "ADAM",
    "ADAM_TINY_EPS",
    "CHANCE",
    "FROMAGE",
    "LEARNS",
    "PRESETS",
    "SGD",
    "TINY_EPS",
    "Config",
    "Entrant",
    "Outcome",
    "Point",
    "best_learning_rates",
    "figure",
    "first_layer_gradient",
    "network",
    "points",
    "race_figure",
    "recordings",
    "run_point",
    "summarise",
]


#: Where the book tells of it; `fromage-edu report` runs it on stored results.
CHAPTER = "descent/09_depth"


@dataclass(frozen=True)
class Config:
    """What is raced, over which depths and seeds.

    Args:
        depths: numbers of hidden layers, each at least 2.
        entrants: the optimizers; no two with the same name and learning rate.
        seeds: one network per seed, entrant and depth.
        width: units per hidden layer.
        batch_size: images per step.
        epochs: passes through the training images.
        final_lr: the learning rates shrink a little every epoch; this is the fraction left at the end.
        dtype: "float32" or "float64".
        dataset: "digits", "mnist_5k" or "mnist".
        init: how weights start, as `network` has it.
        bias: whether layers have biases.
        device: "cpu", or the name of an accelerator, such as "cuda".

    Raises:
        ValueError: for whatever cannot run, before anything has run; the message names the value.

    >>> Config(depths=[2, 5], seeds=range(3)).seeds
    (0, 1, 2)
    """

    depths: tuple[int, ...] = (2, 10, 20, 30)
    entrants: tuple[Entrant, ...] = ENTRANTS
    seeds: tuple[int, ...] = (11, 12, 13)
    width: int = 32
    batch_size: int = 32
    epochs: int = 40
    final_lr: float = 0.2
    dtype: str = "float32"
    dataset: str = "digits"
    init: str = "default"
    bias: bool = True
    device: str = "cpu"

    def __post_init__(self):
        """Refuse what cannot run, before anything has run."""
        examples = {"depths": "(2, 10)", "entrants": "(FROMAGE, ADAM)", "seeds": "(11, 12, 13)"}
        for name, example in examples.items():
            object.__setattr__(self, name, distinct(name, getattr(self, name), example))
        for depth in self.depths:
            whole("a depth", depth, least=2)
        for seed in self.seeds:
            whole("a seed", seed, least=0)
        for entrant in self.entrants:
            if not isinstance(entrant, Entrant):
                raise ValueError(f"an entrant is {entrant!r}: give an Entrant, such as FROMAGE")
        for name in ("width", "batch_size", "epochs"):
            whole(name, getattr(self, name), least=1)
        number("final_lr", self.final_lr, "> 0 and <= 1, such as 0.2", lambda left: 0 < left <= 1)
        one_of("dtype", self.dtype, ("float32", "float64"))
        for entrant in self.entrants:
            entrant.check_dtype(self.dtype)
        one_of("dataset", self.dataset, DATASETS)
        one_of("init", self.init, INITS)
        one_of("bias", self.bias, (True, False))
        device_name(self.device)
        if self.width > NARROW and any(entrant.norms == "naive" for entrant in self.entrants):
            raise ValueError(f"width is {self.width}: naive norms are for networks up to {NARROW} wide")
        # By these two a table tells entrants apart.
        distinct("entrants", [(entrant.name, entrant.lr) for entrant in self.entrants], examples["entrants"])


#: The paper's own three learning rates for each optimizer; both kinds of SGD and of Adam get the same.
LEARNING_RATES = {"Fromage": (0.001, 0.01, 0.1), "Adam": (0.0001, 0.001, 0.01), "SGD": (0.01, 0.1, 1.0)}
RIVALS = (*ENTRANTS, Entrant("SGD", lr=0.1, momentum=0.0))
GRID = tuple(replace(entrant, lr=lr) for entrant in RIVALS for lr in LEARNING_RATES[entrant.optimizer])
RECORDED_SEEDS = tuple(range(201, 211))

MINIATURE = Config(depths=(2, 5, 10, 15, 20, 25, 30, 40, 50), entrants=GRID, seeds=RECORDED_SEEDS)
#: The paper's figure: its width, data, batch, epochs and learning rates, and more than its one seed. How its
#: learning rates shrink is our choice; its text names no schedule. The fair rival's eps is `EPS_FLOOR`:
#: of so many weights some have tiny gradients.
FULL_SIZE = Config(
    depths=(10, 15, 20, 25, 30, 35, 40, 45, 50),
    entrants=[replace(ADAM_SCALED, lr=each.lr) if each.eps == ADAM_TINY_EPS.eps else each for each in GRID],
    seeds=(301, 302, 303),
    width=784,
    batch_size=250,
    epochs=100,
    dataset="mnist",
)

PRESETS = {
    "quick": Config(depths=(2, 6), seeds=(1, 2), epochs=2, width=8),
    "default": Config(epochs=30),  # about half a minute on one core
    "miniature": MINIATURE,  # about half an hour on one core
    "miniature, float64": replace(
        MINIATURE, depths=(30, 40, 50), entrants=(FROMAGE, ADAM, ADAM_TINY_EPS), dtype="float64"
    ),
    "paper": FULL_SIZE,
}


@dataclass(frozen=True)
class Point:
    """One piece of work: runs of a configuration at one depth.

    Args:
        config: what is raced.
        depth: number of hidden layers, at least 2; those in `config.depths` are the points of the race.
        entrant: the only one that runs; None: all of the configuration, side by side.
        seed: the only one that runs; None: all of the configuration, side by side.

    Raises:
        TypeError: for another kind of configuration or entrant.
        ValueError: for another depth or seed.

    >>> Point(PRESETS["quick"], depth=3).depth
    3
    """

    config: Config
    depth: int
    entrant: Entrant | None = None
    seed: int | None = None

    def __post_init__(self):
        """Refuse what cannot run."""
        if not isinstance(self.config, Config):
            raise TypeError(f"config is {self.config!r}: give a Config, such as PRESETS['quick']")
        whole("depth", self.depth, least=2)
        if self.entrant is not None and not isinstance(self.entrant, Entrant):
            raise TypeError(f"entrant is {self.entrant!r}: give an Entrant, such as FROMAGE")
        if self.seed is not None:
            whole("seed", self.seed, least=0)

    @property
    def entrants(self) -> tuple[Entrant, ...]:
        """Those that run here."""
        return self.config.entrants if self.entrant is None else (self.entrant,)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that run here."""
        return self.config.seeds if self.seed is None else (self.seed,)


class Outcome(NamedTuple):
    """What one point gave: tidy rows, ready for a table or for JSON."""

    curves: list[dict]
    finals: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration.

    Args:
        config: what is raced.

    Returns:
        One point for each of its depths, in their order, where networks are narrow; else one for each run.

    >>> [point.depth for point in points(PRESETS["quick"])]
    [2, 6]
    """
    if config.width <= NARROW:
        return [Point(config, depth) for depth in config.depths]
    runs = itertools.product(config.depths, config.seeds, config.entrants)
    return [Point(config, depth, entrant, seed) for depth, seed, entrant in runs]


def run_point(point: Point) -> Outcome:
    """Train the runs of a point.

    An epoch's accuracy is the mean over its batches, each taken before its step; the final accuracies
    are those of the trained network on all training and all test images.

    Args:
        point: the configuration, the depth, and which of its runs.

    Returns:
        `curves`, a row for each run and epoch; `finals`, a row for each run; and the seconds it took.

    >>> outcome = run_point(Point(Config(seeds=[1], width=8, epochs=1), depth=2))
    >>> len(outcome.finals), sorted(outcome.curves[0])
    (4, ['accuracy', 'depth', 'dtype', 'entrant', 'epoch', 'loss', 'lr', 'seed'])
    """
    started = time.perf_counter()
    config = point.config
    networks = trainer(config, point.depth, point.entrants, point.seeds)
    runs = [
        {"dtype": config.dtype, "depth": point.depth, "entrant": entrant.name, "lr": entrant.lr, "seed": seed}
        for entrant in point.entrants
        for seed in point.seeds
    ]
    curves = []
    for epoch, (losses, accuracies) in enumerate(training(networks, config, point.seeds), start=1):
        looks = {"epoch": [epoch] * len(runs), "loss": losses.tolist(), "accuracy": accuracies.tolist()}
        curves += _rows(runs, **looks)
    data = images(config.dataset, config.dtype, config.device)
    finals = _rows(
        runs,
        train_accuracy=networks.accuracies(data.x_train, data.y_train).tolist(),
        test_accuracy=networks.accuracies(data.x_test, data.y_test).tolist(),
        diverged=networks.diverged().tolist(),
    )
    return Outcome(curves, finals, time.perf_counter() - started)


def _rows(runs: list[dict], **columns: list) -> list[dict]:
    cells = zip(*columns.values(), strict=True)
    return [run | dict(zip(columns, row, strict=True)) for run, row in zip(runs, cells, strict=True)]


def first_layer_gradient(
    depth: int,
    *,
    width: int = 32,
    seed: int,
    init: str = "default",
    bias: bool = True,
    dataset: str = "digits",
) -> float:
    """The typical (root mean square) entry of the first layer's gradient before any training, in float64.

    The loss is the mean over all training images. This is the number that Adam compares with its eps.

    Args:
        depth: hidden layers.
        width: units per hidden layer.
        seed: fixes the weights.
        init: how they start, as `network` has it.
        bias: whether layers have biases.
        dataset: the images, one of `trainers.DATASETS`.

    Returns:
        The root mean square of the entries.

    >>> first_layer_gradient(depth=20, seed=1) < 1e-8 < first_layer_gradient(depth=5, seed=1)
    True
    """
    data = images(dataset, "float64")
    inputs = data.x_train.shape[1]
    net = network(depth, width=width, seed=seed, inputs=inputs, init=init, bias=bias).double()
    loss = cross_entropy(net(data.x_train), data.y_train)
    (gradient,) = torch.autograd.grad(loss, net.weights[:1])
    return gradient.square().mean().sqrt().item()


def recordings(
    progress=lambda text: None, presets=("miniature", "miniature, float64"), race_depth=30, keep=None
):
    """What pages quote: `depth_finals` (all depths and rates) and `depth_race` (curves at one depth).

    Args:
        progress: called with a line of text after every point.
        presets: the configurations to run; their final accuracies go into one table.
        race_depth: the depth whose curves are kept, for each entrant's rate in `ENTRANTS`, float32.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config).

    Raises:
        ImportError: without pandas, with the command that installs it.
        ValueError: for a preset that does not exist, or a race_depth that none of them runs in float32.
    """
    presets = distinct("presets", presets, "('paper',)")
    configs = [PRESETS[preset] for preset in presets if preset in PRESETS]
    raced = [depth for config in configs if config.dtype == "float32" for depth in config.depths]
    if len(configs) == len(presets) and race_depth not in raced:
        raise ValueError(f"race_depth is {race_depth!r}: these presets run in float32 the depths {raced}")

    table([])  # Without pandas, say so now and not after twenty minutes.
    outcomes, configs = store.run_presets(sys.modules[__name__], presets, keep=keep, progress=progress)
    finals = table([row for outcome in outcomes for row in outcome.finals])
    curves = table([row for outcome in outcomes for row in outcome.curves])
    chosen = {(entrant.name, entrant.lr) for entrant in ENTRANTS}
    kept = curves[["entrant", "lr"]].apply(tuple, axis=1).isin(chosen)
    race = curves[kept & (curves["depth"] == race_depth) & (curves["dtype"] == "float32")]
    return {"depth_finals": (finals, configs), "depth_race": (race, configs)}
