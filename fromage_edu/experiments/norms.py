"""Do the sizes of layers stay put in training? The top half of Figure 5 of the Fromage paper in miniature.

The paper trains an adversarial network, where layers are normalized, and plots the norm of every layer under
Fromage and under Adam. Here perceptrons learn scikit-learn's handwritten digits in three variants: plain,
with batch normalization after each hidden matrix, and with spectral normalization of every matrix. The
optimizers are Fromage, equation (4) of the paper (Fromage without its division by √(1 + η²)) and Adam.

A matrix that a normalization follows is *scale invariant*: doubling it changes nothing, so its gradient is
orthogonal to it. That is where the division is exact. The output matrix behind batch normalization is not
scale invariant, nor is any matrix of the plain network.

Source: Fromage paper, Figure 5 (F30).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrizations import spectral_norm

from fromage_edu import figures
from fromage_edu.data import digits
from fromage_edu.experiments import store
from fromage_edu.experiments.settings import distinct, number, whole
from fromage_edu.experiments.tables import rows_of, table
from fromage_edu.optim import Fromage
from fromage_edu.training import seeded

__all__ = [
    "CHAPTER",
    "NETWORKS",
    "OPTIMIZERS",
    "PRESETS",
    "Config",
    "Outcome",
    "Point",
    "Rule",
    "figure",
    "invariant_layers",
    "matrices",
    "network",
    "points",
    "recordings",
    "run_point",
    "summarise",
]

#: Where the book tells of it; `fromage-edu report` runs it on stored results.
CHAPTER = "descent/08_fromage"

NETWORKS = ("plain", "batch norm", "spectral norm")

#: Name -> how to build the optimizer from parameters and a learning rate.
OPTIMIZERS: dict[str, Callable] = {
    "Fromage": lambda parameters, lr: Fromage(parameters, lr=lr),
    "equation (4)": lambda parameters, lr: Fromage(parameters, lr=lr, norm_correction=False),
    "Adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
}


@dataclass(frozen=True)
class Rule:
    """An optimizer and its learning rate, which stays constant.

    Args:
        optimizer: a key of `OPTIMIZERS`.
        lr: at least 0.

    Raises:
        ValueError: for another optimizer or learning rate.

    >>> Rule("equation (4)", 0.01).name
    'equation (4), 0.01'
    """

    optimizer: str
    lr: float

    def __post_init__(self):
        """Refuse what cannot run."""
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {self.optimizer!r}: use one of {', '.join(OPTIMIZERS)}")
        number("lr", self.lr, ">= 0, such as 0.01", lambda lr: lr >= 0)

    @property
    def name(self) -> str:
        """The label in tables."""
        return f"{self.optimizer}, {self.lr:g}"


@dataclass(frozen=True)
class Config:
    """What is trained.

    Args:
        networks: of `NETWORKS`.
        rules: optimizers with their learning rates.
        seeds: a seed fixes the start and the order of batches; all rules meet the same.
        width: units per hidden layer.
        hidden: number of hidden layers; the output matrix comes on top.
        batch_size: images per step.
        epochs: passes through the training images.
        every: steps between two measurements; the start and the end are always measured.

    Raises:
        ValueError: for whatever cannot run, before anything has run; the message names the value.

    >>> Config(seeds=range(3)).seeds
    (0, 1, 2)
    """

    networks: tuple[str, ...] = NETWORKS
    rules: tuple[Rule, ...] = (Rule("Fromage", 0.01), Rule("equation (4)", 0.01), Rule("Adam", 0.001))
    seeds: tuple[int, ...] = (21, 22, 23)
    width: int = 64
    hidden: int = 3
    batch_size: int = 64
    epochs: int = 60
    every: int = 110

    def __post_init__(self):
        """Refuse what cannot run, before anything has run."""
        examples = {"networks": "('plain',)", "rules": "(Rule('Fromage', 0.01),)", "seeds": "(21, 22, 23)"}
        for name, example in examples.items():
            object.__setattr__(self, name, distinct(name, getattr(self, name), example))
        for name in self.networks:
            _known(name)
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise ValueError(f"a rule is {rule!r}: give a Rule, such as Rule('Fromage', 0.01)")
        for seed in self.seeds:
            whole("a seed", seed, least=0)
        for name in ("width", "hidden", "batch_size", "epochs", "every"):
            whole(name, getattr(self, name), least=1)


def _known(name: str) -> str:
    if name not in NETWORKS:
        raise ValueError(f"network is {name!r}: use one of {', '.join(NETWORKS)}")
    return name


PRESETS = {
    "quick": Config(seeds=(5,), width=16, epochs=2, every=22),
    # About 20 seconds on one core.
    "default": Config(epochs=20),
    # Seeds fixed before the first run with them.
    "paper": Config(
        rules=(
            *(Rule(optimizer, lr) for lr in (0.01, 0.1) for optimizer in ("Fromage", "equation (4)")),
            *(Rule("Adam", lr) for lr in (0.001, 0.01)),
        ),
        seeds=(421, 422, 423, 424, 425),
    ),
}


class Point(NamedTuple):
    """One piece of work: a network and a rule, all seeds."""

    config: Config
    network: str
    rule: Rule


class Outcome(NamedTuple):
    """What one point gave: tidy rows, one for each seed, measurement and layer."""

    rows: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration.

    Args:
        config: what is trained.

    Returns:
        A point for each network and rule.

    >>> len(points(PRESETS["quick"]))
    9
    """
    return [Point(config, name, rule) for name in config.networks for rule in config.rules]


def network(name: str, *, width: int = 64, hidden: int = 3, seed: int) -> nn.Sequential:
    """A perceptron for the digits, plain or normalized.

    Args:
        name: one of `NETWORKS`. "batch norm" stands between each hidden matrix and its ReLU, and takes the
            place of the bias, which it would undo; "spectral norm" divides every matrix by its largest
            singular value, as torch estimates it.
        width: units per hidden layer.
        hidden: number of hidden layers.
        seed: fixes the weights.

    Returns:
        The network; torch's global random numbers are left alone.

    Raises:
        ValueError: for another name.

    >>> [tuple(matrix.shape) for matrix in matrices(network("plain", hidden=1, seed=0))]
    [(64, 64), (10, 64)]
    """
    _known(name)
    layers = []
    with seeded(whole("seed", seed, least=0)):
        for index in range(hidden + 1):
            last = index == hidden
            layer = nn.Linear(
                width if index else 64, 10 if last else width, bias=last or name != "batch norm"
            )
            layers.append(spectral_norm(layer) if name == "spectral norm" else layer)
            layers += [nn.BatchNorm1d(width)] * (name == "batch norm" and not last)
            layers += [nn.ReLU()] * (not last)
    return nn.Sequential(*layers)


def matrices(net: nn.Module) -> list[nn.Parameter]:
    """The weight matrices that the optimizer sees, first layer first.

    Args:
        net: what `network` returned.

    Returns:
        The parameters; under spectral normalization those before the division.

    >>> len(matrices(network("spectral norm", seed=0)))
    4
    """
    return [parameter for parameter in net.parameters() if parameter.ndim == 2]


def invariant_layers(name: str, layers: int) -> list[bool]:
    """Which matrices are scale invariant.

    Args:
        name: one of `NETWORKS`.
        layers: number of matrices.

    Returns:
        For each matrix whether multiplying it by a positive number leaves the training loss as it is.

    Raises:
        ValueError: for another name.

    >>> invariant_layers("batch norm", 4)
    [True, True, True, False]
    """
    return [_known(name) != "plain"] * (layers - 1) + [name == "spectral norm"]


def run_point(point: Point) -> Outcome:
    """Train one network by one rule from every seed, and follow the norms of its matrices.

    Args:
        point: one of `points(config)`.

    Returns:
        Rows with network, optimizer, lr, seed, layer (from 1), invariant, step, ratio (‖W_l‖ over its start),
        cosine (between W_l and its gradient on the next batch) and accuracy (of that batch); and the seconds
        it took.

    >>> outcome = run_point(points(PRESETS["quick"])[0])
    >>> len(outcome.rows)  # 3 measurements of 4 layers
    12

    Source: Fromage paper, Figure 5 (F30).
    """
    started, rows = time.perf_counter(), []
    about = {"network": point.network, "optimizer": point.rule.optimizer, "lr": point.rule.lr}
    invariant = invariant_layers(point.network, point.config.hidden + 1)
    for seed in point.config.seeds:
        first = None
        for step, accuracy, weights, gradients in _train(point, seed):
            norms = [weight.norm().item() for weight in weights]
            first = first or norms
            for layer, (norm, start, weight, gradient) in enumerate(
                zip(norms, first, weights, gradients, strict=True), start=1
            ):
                rows.append(
                    about
                    | {"seed": seed, "layer": layer, "invariant": invariant[layer - 1], "step": step}
                    | {"ratio": norm / start, "cosine": _cosine(weight, gradient), "accuracy": accuracy}
                )
    return Outcome(rows, time.perf_counter() - started)


def _train(point: Point, seed: int):
    """Train, and yield (step, accuracy, matrices, gradients) where it is measured, before the step."""
    config, data = point.config, digits()
    net = network(point.network, width=config.width, hidden=config.hidden, seed=seed)
    weights = matrices(net)
    optimizer = OPTIMIZERS[point.rule.optimizer](net.parameters(), point.rule.lr)
    # Seeds far from those of the starts: the order of batches owes nothing to the weights.
    generator = torch.Generator().manual_seed(10**6 + seed)
    per_epoch = max(1, len(data.x_train) // config.batch_size)
    total = config.epochs * per_epoch
    for step in range(total + 1):
        if step % per_epoch == 0:
            order = torch.randperm(len(data.x_train), generator=generator).split(config.batch_size)
        batch = order[step % per_epoch]
        logits = net(data.x_train[batch])
        optimizer.zero_grad()
        cross_entropy(logits, data.y_train[batch]).backward()
        if step % config.every == 0 or step == total:
            accuracy = (logits.argmax(1) == data.y_train[batch]).double().mean().item()
            yield step, accuracy, [weight.detach() for weight in weights], [weight.grad for weight in weights]
        optimizer.step()


def _cosine(weight: Tensor, gradient: Tensor) -> float:
    product = (weight.double() * gradient.double()).sum()
    return (product / (weight.double().norm() * gradient.double().norm())).item()


def summarise(outcomes):
    """How far the norm of each matrix has moved, one row for each network, rule, layer and measurement.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table.

    Returns:
        A pandas table: network, optimizer, lr, layer, invariant, step, runs, ratio (median over the seeds of
        the norm over that at the start), lowest, highest, cosine (median of its absolute value), accuracy
        (median, of one batch).

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> summary = summarise([run_point(points(PRESETS["quick"])[0])])
    >>> summary[summary["layer"] == 1]["step"].tolist()
    [0, 22, 44]
    """
    rows = rows_of(outcomes)
    rows = rows.assign(cosine=rows["cosine"].abs())
    keys = ["network", "optimizer", "lr", "layer", "invariant", "step"]
    return (
        rows.groupby(keys, sort=False)
        .agg(
            runs=("seed", "size"),
            ratio=("ratio", "median"),
            lowest=("ratio", "min"),
            highest=("ratio", "max"),
            cosine=("cosine", "median"),
            accuracy=("accuracy", "median"),
        )
        .reset_index()
    )


def figure(summary):
    """Norms over their start against training steps: a row for each network, a column for each rule.

    Args:
        summary: what `summarise` returned.

    Returns:
        The matplotlib figure: a line for each matrix (the median) with a band from the lowest seed to the
        highest; solid where the matrix is scale invariant, dotted where it is not.
    """
    with figures.style():
        import matplotlib.pyplot as plt

        networks = list(dict.fromkeys(summary["network"]))
        rules = list(dict.fromkeys(summary[["optimizer", "lr"]].itertuples(index=False, name=None)))
        size = (1.0 + 1.6 * len(rules), 0.6 + 1.6 * len(networks))
        fig, axes = plt.subplots(
            len(networks), len(rules), sharex=True, sharey=True, squeeze=False, figsize=size
        )
        for name, row in zip(networks, axes, strict=True):
            row[0].set_ylabel(name)
            for (optimizer, lr), ax in zip(rules, row, strict=True):
                color = figures.line("adam" if optimizer == "Adam" else "fromage")["color"]
                own = summary[summary[["network", "optimizer", "lr"]].eq([name, optimizer, lr]).all(axis=1)]
                for (_, invariant), layer in own.groupby(["layer", "invariant"]):
                    dash = "solid" if invariant else "dotted"
                    ax.plot(layer["step"], layer["ratio"], color=color, linewidth=1.5, linestyle=dash)
                    ax.fill_between(
                        layer["step"], layer["lowest"], layer["highest"], color=color, alpha=0.12, linewidth=0
                    )
        for (optimizer, lr), ax in zip(rules, axes[0], strict=True):
            ax.set_title(f"{optimizer}\n{lr:g}", fontsize="medium")
        axes[0, 0].set_yscale("log")
        fig.supxlabel("training step", fontsize="medium")
        fig.supylabel("norm of each matrix / its start", fontsize="medium")
    return fig


def recordings(progress=lambda text: None, presets=("paper",), keep=None):
    """What pages quote: `layer_norms`, the norm of every matrix over training.

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
    return {"layer_norms": (table([row for outcome in outcomes for row in outcome.rows]), configs)}
