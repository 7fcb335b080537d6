"""How deep can a perceptron be and still learn? Figure 4 of the Fromage paper in miniature.

Perceptrons of growing depth learn scikit-learn's handwritten digits with Fromage, Adam, SGD with momentum,
and a fair rival: Adam with its `eps` small enough to be out of the way. `depth` counts hidden layers, as
the x axis of the paper's figure does; the output layer comes on top. Biases and PyTorch's default
initialization are kept: they are what makes depth hard here.

A seed fixes a network's start and its order of batches, so every optimizer meets the same networks and
batches.

Source: Fromage paper, Figure 4 (F29).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fromage_edu import figures
from fromage_edu.data import digits
from fromage_edu.experiments.stack import Stack, StackedFromage
from fromage_edu.networks import Perceptron

__all__ = [
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
    "Point",
    "Record",
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

#: Networks that ignore their input stay near 1/10; these two accuracies leave a margin on either side.
CHANCE, LEARNS = 0.15, 0.25
#: The name of the fair rival.
TINY_EPS = "Adam, tiny eps"


@dataclass(frozen=True)
class Entrant:
    """One way to train: an optimizer and its settings.

    Args:
        optimizer: "Fromage", "Adam" or "SGD".
        lr: the learning rate of the first epoch.
        eps: Adam's eps; ignored by the others.
        momentum: SGD's momentum; ignored by the others.
    """

    optimizer: str
    lr: float
    eps: float = 1e-8
    momentum: float = 0.9

    def __post_init__(self):
        """Refuse what cannot run."""
        if self.optimizer not in ("Fromage", "Adam", "SGD"):
            raise ValueError(f"optimizer is {self.optimizer!r}: use 'Fromage', 'Adam' or 'SGD'")

    @property
    def name(self) -> str:
        """The label in tables and figures."""
        if self.optimizer == "Adam" and self.eps < 1e-8:
            return TINY_EPS
        return "SGD + momentum" if self.optimizer == "SGD" and self.momentum else self.optimizer

    def build(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of a stack's slices."""
        if self.optimizer == "Fromage":
            return StackedFromage(tensors, lr=self.lr)
        if self.optimizer == "Adam":
            return torch.optim.Adam(tensors, lr=self.lr, eps=self.eps, fused=True)
        return torch.optim.SGD(tensors, lr=self.lr, momentum=self.momentum, fused=True)


FROMAGE = Entrant("Fromage", lr=0.01)
ADAM = Entrant("Adam", lr=0.001)
SGD = Entrant("SGD", lr=0.1)
ADAM_TINY_EPS = Entrant("Adam", lr=0.001, eps=1e-30)
ENTRANTS = (FROMAGE, ADAM, SGD, ADAM_TINY_EPS)


@dataclass(frozen=True)
class Config:
    """What is raced, over which depths and seeds.

    Args:
        depths: numbers of hidden layers, each at least 2.
        entrants: the optimizers.
        seeds: one network per seed, entrant and depth.
        width: units per hidden layer.
        batch_size: images per step.
        epochs: passes through the training images.
        final_lr: the learning rates shrink a little every epoch; this is the fraction left at the end.
        dtype: "float32" or "float64".
    """

    depths: tuple[int, ...] = (2, 10, 20, 30)
    entrants: tuple[Entrant, ...] = ENTRANTS
    seeds: tuple[int, ...] = (11, 12, 13)
    width: int = 32
    batch_size: int = 32
    epochs: int = 40
    final_lr: float = 0.2
    dtype: str = "float32"

    def __post_init__(self):
        """Refuse what cannot run, before anything has run."""
        for name in ("depths", "entrants", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: the race needs at least one")
        if min(self.depths) < 2:
            raise ValueError(f"depths are {self.depths}: each counts hidden layers and is at least 2")
        if min(self.width, self.batch_size, self.epochs) < 1:
            raise ValueError(
                f"width {self.width}, batch_size {self.batch_size}, epochs {self.epochs}: each is at least 1"
            )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}: use 'float32' or 'float64'")


#: The paper's own three learning rates for each optimizer; tiny-eps Adam gets Adam's.
LEARNING_RATES = {"Fromage": (0.001, 0.01, 0.1), "Adam": (0.0001, 0.001, 0.01), "SGD": (0.01, 0.1, 1.0)}
GRID = tuple(
    Entrant(entrant.optimizer, lr, entrant.eps, entrant.momentum)
    for entrant in ENTRANTS
    for lr in LEARNING_RATES[entrant.optimizer]
)
RECORDED_SEEDS = tuple(range(201, 211))

PRESETS = {
    "quick": Config(depths=(2, 6), seeds=(1, 2), epochs=2, width=8),
    "default": Config(epochs=30),  # about half a minute on one core
    "recorded": Config(depths=(2, 5, 10, 15, 20, 25, 30, 40, 50), entrants=GRID, seeds=RECORDED_SEEDS),
    "recorded, float64": Config(
        depths=(30, 40, 50), entrants=(FROMAGE, ADAM, ADAM_TINY_EPS), seeds=RECORDED_SEEDS, dtype="float64"
    ),
}


class Point(NamedTuple):
    """One piece of work: every entrant and seed of a configuration at one depth."""

    config: Config
    depth: int


class Record(NamedTuple):
    """What one point gave: tidy rows, ready for a table or for JSON."""

    curves: list[dict]
    finals: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration, shallowest first.

    Example:
        >>> [point.depth for point in points(PRESETS["quick"])]
        [2, 6]
    """
    return [Point(config, depth) for depth in config.depths]


def network(depth: int, *, width: int = 32, seed: int, inputs: int = 64, classes: int = 10) -> Perceptron:
    """The perceptron that a seed starts from, as `nn.Linear` starts its layers.

    Args:
        depth: hidden layers; one output layer comes on top.
        width: units per hidden layer.
        seed: fixes the weights.
        inputs: pixels of an image.
        classes: outputs.

    Example:
        >>> len(network(depth=30, seed=1).weights)
        31
    """
    widths = [inputs, *[width] * depth, classes]
    generator = torch.Generator().manual_seed(seed)
    return Perceptron(widths, bias=True, output_nonlinearity=False, generator=generator)


def run_point(point: Point) -> Record:
    """Train every entrant and seed of one depth, side by side.

    An epoch's accuracy is the mean over its batches, each taken before its step; the final accuracies
    are those of the trained network on all training and all test images.
    """
    started = time.perf_counter()
    config, depth = point
    dtype = getattr(torch, config.dtype)
    data = digits(dtype=dtype)
    images, labels = data.x_train, data.y_train
    starts = [network(depth, width=config.width, seed=seed) for seed in config.seeds]
    stack = Stack(starts, [entrant.build for entrant in config.entrants], dtype)
    # Seeds far from those of the starts: the order of batches owes nothing to the weights.
    orders = [torch.Generator().manual_seed(10**6 + seed) for seed in config.seeds]
    runs = [
        {"dtype": config.dtype, "depth": depth, "entrant": entrant.name, "lr": entrant.lr, "seed": seed}
        for entrant in config.entrants
        for seed in config.seeds
    ]

    curves = []
    for epoch in range(1, config.epochs + 1):
        # (seeds, images): every seed walks through the images in its own order, in whole batches.
        order = torch.stack([torch.randperm(len(images), generator=generator) for generator in orders])
        batches = order.split(config.batch_size, dim=1)[: max(1, len(images) // config.batch_size)]
        steps = [torch.stack(stack.step(images[batch], labels[batch])) for batch in batches]
        stack.decay(config.final_lr ** (1 / config.epochs))
        losses, accuracies = torch.stack(steps).mean(0).tolist()
        curves += _rows(runs, epoch=[epoch] * len(runs), loss=losses, accuracy=accuracies)
    finals = _rows(
        runs,
        train_accuracy=stack.accuracies(images, labels).tolist(),
        test_accuracy=stack.accuracies(data.x_test, data.y_test).tolist(),
        diverged=stack.diverged().tolist(),
    )
    return Record(curves, finals, time.perf_counter() - started)


def _rows(runs: list[dict], **columns: list) -> list[dict]:
    cells = zip(*columns.values(), strict=True)
    return [run | dict(zip(columns, row, strict=True)) for run, row in zip(runs, cells, strict=True)]


def first_layer_gradient(depth: int, *, width: int = 32, seed: int) -> float:
    """The typical (root mean square) entry of the first layer's gradient before any training, in float64.

    The loss is the mean over all training images. This is the number that Adam compares with its eps.

    Example:
        >>> first_layer_gradient(depth=20, seed=1) < 1e-8 < first_layer_gradient(depth=5, seed=1)
        True
    """
    data = digits(dtype=torch.float64)
    net = network(depth, width=width, seed=seed).double()
    loss = cross_entropy(net(data.x_train), data.y_train)
    (gradient,) = torch.autograd.grad(loss, net.weights[:1])
    return gradient.square().mean().sqrt().item()


def summarise(records):
    """One row per depth, entrant and learning rate: the spread of the final training accuracy over the seeds.

    Args:
        records: what `run_point` returned, or a recorded table of final accuracies.

    Returns:
        A pandas table: dtype, depth, entrant, lr, runs, median, lowest, highest, learned (how many
        runs are above `LEARNS`), diverged (how many), verdict ("learns", "guesses" or "between", by
        the median).
    """
    import pandas as pd

    if isinstance(records, pd.DataFrame):
        finals = records
    else:
        finals = pd.DataFrame([row for record in records for row in record.finals])
    summary = (
        finals.groupby(["dtype", "depth", "entrant", "lr"], sort=False)
        .agg(
            runs=("train_accuracy", "size"),
            median=("train_accuracy", "median"),
            lowest=("train_accuracy", "min"),
            highest=("train_accuracy", "max"),
            learned=("train_accuracy", lambda column: int((column > LEARNS).sum())),
            diverged=("diverged", "sum"),
        )
        .reset_index()
    )
    summary["verdict"] = summary["median"].map(
        lambda median: "learns" if median > LEARNS else "guesses" if median < CHANCE else "between"
    )
    return summary


def best_learning_rates(summary):
    """Keep, of each entrant's learning rates, the best at every depth (by the median), as the paper does.

    The choice is made on the seeds that are shown; that flatters every entrant a little.
    """
    best = summary.groupby(["dtype", "depth", "entrant"], sort=False)["median"].idxmax()
    return summary.loc[best].reset_index(drop=True)


def figure(summary):
    """Final training accuracy against depth: lines through the medians, bars from worst seed to best."""
    import matplotlib.pyplot as plt

    with figures.style():
        fig, ax = plt.subplots(figsize=(7, 4))
        _guessing(ax, summary["depth"].min())
        entrants = list(dict.fromkeys(summary["entrant"]))
        # Bars of one depth stand side by side, or they would hide one another.
        apart = 0.008 * (summary["depth"].max() - summary["depth"].min())
        for index, entrant in enumerate(entrants):
            rows = summary[summary["entrant"] == entrant].sort_values("depth")
            depths = rows["depth"] + apart * (index - (len(entrants) - 1) / 2)
            ax.plot(depths, rows["median"], marker="o", markersize=4, label=entrant, **_look(entrant))
            ax.vlines(depths, rows["lowest"], rows["highest"], color=_look(entrant)["color"], linewidth=1)
        ax.set(xlabel="hidden layers", ylabel="training accuracy at the end", ylim=(0, 1.02))
        figures.label_lines(ax)
    return fig


def race_figure(curves):
    """Training accuracy against epoch: a panel for each entrant, a line for each seed.

    Args:
        curves: rows of one depth, of `Record.curves` or of `recorded.load("depth_race")`.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    curves = pd.DataFrame(curves)
    entrants = list(dict.fromkeys(curves["entrant"]))
    with figures.style():
        fig, axes = plt.subplots(
            (len(entrants) + 1) // 2, 2, sharex=True, sharey=True, squeeze=False, figsize=(7, 4.6)
        )
        for ax in axes.flat[len(entrants) :]:
            ax.set_visible(False)
        for ax, entrant in zip(axes.flat, entrants, strict=False):
            runs = curves[curves["entrant"] == entrant]
            ax.axhline(0.1, linewidth=1, zorder=0, **figures.line("bound"))
            color = _look(entrant)["color"]
            for _, run in runs.groupby("seed", sort=False):
                ax.plot(run["epoch"], run["accuracy"], color=color, linewidth=1)
            ax.set(ylim=(0, 1.02))
            ax.set_title(entrant, color=color)
        fig.supxlabel("epoch", fontsize="medium")
        fig.supylabel("training accuracy", fontsize="medium")
    return fig


def _look(entrant: str) -> dict:
    """Color and dash; Adam with a tiny eps is still Adam, with a dash of its own."""
    role = {"Fromage": "fromage", "SGD": "sgd", "SGD + momentum": "sgd"}.get(entrant, "adam")
    return figures.line(role) | ({"linestyle": "dashdot"} if entrant == TINY_EPS else {})


def _guessing(ax, left: float) -> None:
    ax.axhline(0.1, linewidth=1, zorder=0, **figures.line("bound"))
    ax.annotate("guessing", (left, 0.1), xytext=(0, -11), textcoords="offset points", fontsize="small")


def recordings(progress=lambda text: None, presets=("recorded", "recorded, float64"), race_depth=30):
    """What pages quote: `depth_finals` (all depths and rates) and `depth_race` (curves at one depth).

    Args:
        progress: called with a line of text after every point.
        presets: the configurations to run; their final accuracies go into one table.
        race_depth: the depth whose curves are kept, for each entrant's rate in `ENTRANTS`, float32.

    Returns:
        Record name -> (table, config).
    """
    import pandas as pd

    records = []
    for preset in presets:
        for point in points(PRESETS[preset]):
            records.append(run_point(point))
            progress(f"{preset}: depth {point.depth}, {records[-1].seconds:.0f} s")
    finals = pd.DataFrame([row for record in records for row in record.finals])
    curves = pd.DataFrame([row for record in records for row in record.curves])
    chosen = {(entrant.name, entrant.lr) for entrant in ENTRANTS}
    kept = curves[["entrant", "lr"]].apply(tuple, axis=1).isin(chosen)
    race = curves[kept & (curves["depth"] == race_depth) & (curves["dtype"] == "float32")]
    configs = {preset: asdict(PRESETS[preset]) for preset in presets}
    return {"depth_finals": (finals, configs), "depth_race": (race, configs)}
