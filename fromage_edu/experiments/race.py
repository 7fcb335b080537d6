"""What does a deep perceptron hear of its gradient while it learns, or fails to? Runs recorded for replay.

The race of `depth` in miniature, watched from inside: perceptrons of growing depth learn scikit-learn's
digits under SGD with momentum, Adam at three sizes of eps, Fromage, and SGD that divides each layer's
gradient by its norm, from PyTorch's start and from He's. After every epoch the accuracy on all training
images is taken; after some, each layer's typical gradient entry and its signal, on all training images too.

Source: Fromage paper, Figure 4 (F29), and what it leaves open.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from fromage_edu import figures
from fromage_edu.experiments import depth as depths_of
from fromage_edu.experiments import store
from fromage_edu.experiments.depth_results import best_learning_rates, line_look
from fromage_edu.experiments.settings import ADAM, FROMAGE, SGD, Entrant, distinct, whole
from fromage_edu.experiments.tables import rows_of, table
from fromage_edu.experiments.trainers import images, trainer, training

__all__ = [
    "PRESETS",
    "RATES",
    "Config",
    "Outcome",
    "Point",
    "figure",
    "points",
    "recordings",
    "run_point",
    "summarise",
]

#: The paper's own three learning rates for each optimizer; normalized SGD's were chosen on other seeds.
RATES = depths_of.LEARNING_RATES | {"Normalized SGD": (0.003, 0.01, 0.03)}
ENTRANTS = tuple(
    replace(entrant, lr=lr)
    for entrant in (
        SGD,
        *(replace(ADAM, eps=eps) for eps in (1e-30, 1e-16, 1e-8)),
        FROMAGE,
        Entrant("Normalized SGD", lr=0.01),
    )
    for lr in RATES[entrant.optimizer]
)


@dataclass(frozen=True)
class Config:
    """What is raced and watched.

    Args:
        depths: numbers of hidden layers, each at least 2.
        inits: how weights start, as `depth.network` has it.
        entrants: the optimizers; no two with the same name and learning rate.
        seeds: one network per seed, entrant, start and depth.
        width: units per hidden layer, at most 64.
        batch_size: images per step.
        epochs: passes through the training images.
        final_lr: the fraction of the learning rates that is left at the end.
        probes: after how many epochs the layers are looked at; 0 is before training.

    Raises:
        ValueError: for whatever cannot run, before anything has run; the message names the value.

    >>> Config(seeds=range(3)).seeds
    (0, 1, 2)
    """

    depths: tuple[int, ...] = (2, 10, 20, 30)
    inits: tuple[str, ...] = ("default", "he")
    entrants: tuple[Entrant, ...] = tuple(
        entrant for entrant in ENTRANTS if entrant.lr == RATES[entrant.optimizer][1]
    )
    seeds: tuple[int, ...] = (11, 12, 13)
    width: int = 32
    batch_size: int = 32
    epochs: int = 40
    final_lr: float = 0.2
    probes: tuple[int, ...] = (0, 1, 2, 4, 8, 14, 22, 31, 40)

    def __post_init__(self):
        """Refuse what cannot run, before anything has run."""
        for name, example in {"inits": "('default', 'he')", "probes": "(0, 1, 40)"}.items():
            object.__setattr__(self, name, distinct(name, getattr(self, name), example))
        races = [self.race(init) for init in self.inits]
        for name in ("depths", "entrants", "seeds"):
            object.__setattr__(self, name, getattr(races[0], name))
        if self.width > 64:
            raise ValueError(f"width is {self.width}: these networks train side by side, up to 64 wide")
        for probe in self.probes:
            if whole("a probe", probe, least=0) > self.epochs:
                raise ValueError(f"a probe is {probe}: training ends after {self.epochs} epochs")

    def race(self, init: str) -> depths_of.Config:
        """The race from one start, as `depth` describes it."""
        shared = ("depths", "entrants", "seeds", "width", "batch_size", "epochs", "final_lr")
        return depths_of.Config(**{name: getattr(self, name) for name in shared}, init=init)


PRESETS = {
    "quick": Config(depths=(2, 4), inits=("default",), seeds=(1, 2), epochs=2, width=8, probes=(0, 2)),
    "default": Config(),  # about a minute on one core
    # Seeds fixed before the first run with them; about six minutes.
    "paper": Config(depths=(2, 10, 20, 30, 40), entrants=ENTRANTS, seeds=(401, 402, 403)),
}


class Point(NamedTuple):
    """One piece of work: all entrants and seeds at one depth, from one start."""

    config: Config
    depth: int
    init: str


class Outcome(NamedTuple):
    """What one point gave: a row for each run, and one for each run and probe."""

    runs: list[dict]
    layers: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration.

    Args:
        config: what is raced.

    Returns:
        A point for each depth and start.

    >>> [point.depth for point in points(PRESETS["quick"])]
    [2, 4]
    """
    return [Point(config, depth, init) for depth in config.depths for init in config.inits]


def run_point(point: Point) -> Outcome:
    """Train every entrant and seed of one depth and start, side by side, and look inside.

    Args:
        point: one of `points(config)`.

    Returns:
        `runs`, rows with depth, init, optimizer, lr, eps (None but for Adam), seed, diverged (whether a
        weight was not finite at the end) and `epoch_0`, `epoch_1`, …: the accuracies on all training images
        after so many epochs. `layers`, rows with the same settings, epoch, and two lists with a number for
        each layer, the first layer's first: gradients (typical entries) and signals, as `stack.Probe` has
        them. And the seconds it took.

    >>> outcome = run_point(points(PRESETS["quick"])[0])
    >>> len(outcome.runs), len(outcome.layers), len(outcome.layers[0]["gradients"])
    (12, 24, 3)
    """
    started = time.perf_counter()
    config, setting = point.config, point.config.race(point.init)
    data = images(setting.dataset, setting.dtype)
    networks = trainer(setting, point.depth, setting.entrants, setting.seeds)
    runs = [
        {"depth": point.depth, "init": point.init, "optimizer": entrant.optimizer, "lr": entrant.lr}
        | {"eps": entrant.eps if entrant.optimizer == "Adam" else None, "seed": seed}
        for entrant in setting.entrants
        for seed in setting.seeds
    ]
    accuracies, layers = [], []

    def look(epoch):
        accuracies.append(networks.accuracies(data.x_train, data.y_train).tolist())
        if epoch in config.probes:
            gradients, signals = networks.probe(data.x_train, data.y_train)
            for run, *both in zip(runs, gradients.tolist(), signals.tolist(), strict=True):
                layers.append(run | {"epoch": epoch} | dict(zip(("gradients", "signals"), both, strict=True)))

    look(0)
    for epoch, _ in enumerate(training(networks, setting, setting.seeds), start=1):
        look(epoch)
    ends = zip(runs, networks.diverged().tolist(), zip(*accuracies, strict=True), strict=True)
    rows = [
        run | {"diverged": diverged} | {f"epoch_{epoch}": share for epoch, share in enumerate(shares)}
        for run, diverged, shares in ends
    ]
    return Outcome(rows, layers, time.perf_counter() - started)


def _entrant(row) -> str:
    """The label of a row's optimizer, as `depth` has it."""
    adam = row["optimizer"] == "Adam"
    return Entrant(row["optimizer"], row["lr"], **({"eps": row["eps"]} if adam else {})).name


def summarise(outcomes):
    """One row per depth, start, entrant and learning rate: the spread of the final accuracy over the seeds.

    Args:
        outcomes: a list of what `run_point` returned, or the recorded table `race`.

    Returns:
        A pandas table: depth, init, entrant, lr, runs, median, lowest, highest, diverged (how many).

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> summary = summarise([run_point(points(PRESETS["quick"])[0])])
    >>> summary["entrant"].tolist()[:3]
    ['SGD + momentum', 'Adam, tiny eps', 'Adam, eps 1e-16']
    """
    rows = rows_of(outcomes, "runs")
    epochs = [int(name.removeprefix("epoch_")) for name in rows.columns if name.startswith("epoch_")]
    rows = rows.assign(entrant=rows.apply(_entrant, axis=1), final=rows[f"epoch_{max(epochs)}"])
    return (
        rows.groupby(["depth", "init", "entrant", "lr"], sort=False)
        .agg(
            runs=("final", "size"),
            median=("final", "median"),
            lowest=("final", "min"),
            highest=("final", "max"),
            diverged=("diverged", "sum"),
        )
        .reset_index()
    )


def figure(summary):
    """Final training accuracy against depth at the best learning rates: a panel for each start.

    Args:
        summary: what `summarise` returned.

    Returns:
        The matplotlib figure; bars go from the worst seed to the best.
    """
    rows = best_learning_rates(summary)
    with figures.style():
        import matplotlib.pyplot as plt

        starts = list(dict.fromkeys(rows["init"]))
        fig, axes = plt.subplots(
            len(starts), sharex=True, squeeze=False, figsize=(5.6, 0.5 + 2.7 * len(starts))
        )
        for init, ax in zip(starts, axes[:, 0], strict=True):
            for entrant, own in rows[rows["init"] == init].groupby("entrant", sort=False):
                look = line_look(entrant)
                ax.plot(own["depth"], own["median"], label=entrant, **look)
                ax.vlines(own["depth"], own["lowest"], own["highest"], color=look["color"], linewidth=1)
            ax.set(ylim=(0, 1.02), title=f"start: {init}")
            figures.label_lines(ax)
        axes[-1, 0].set_xlabel("hidden layers")
        fig.supylabel("training accuracy at the end", fontsize="medium")
    return fig


def recordings(progress=lambda text: None, presets=("paper",), keep=None):
    """What the explorer `DepthRace` replays: `race`, `race_gradients`, `race_signals`.

    Of every setting the layers of one run are kept, that of the median final accuracy; where two are equal
    the smaller seed comes first.

    Args:
        progress: called with a line of text after every point.
        presets: the configurations to run; their rows go into one table.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config). `race` has a row for each run and counts them; the
        others have rows with run, epoch and, for each layer, log10 to one decimal of what `run_point`
        returned: -inf for an exact zero, inf for what is not finite.

    Raises:
        ImportError: without pandas, with the command that installs it.
        ValueError: for a preset that does not exist.
    """
    table([])  # Without pandas, say so now and not after minutes.
    outcomes, configs = store.run_presets(sys.modules[__name__], presets, keep=keep, progress=progress)
    runs = [
        {"run": number} | {name: round(x, 3) if name.startswith("epoch_") else x for name, x in row.items()}
        for number, row in enumerate((row for outcome in outcomes for row in outcome.runs), start=1)
    ]
    numbers = {_key(row): row["run"] for row in runs}
    settings = {}
    for row in runs:
        settings.setdefault(_key(row)[:-1], []).append((list(row.values())[-1], row["seed"], row["run"]))
    kept = {sorted(ends)[(len(ends) - 1) // 2][-1] for ends in settings.values()}
    tables = {"race": (table(runs), configs)}
    for what in ("gradients", "signals"):
        rows = [
            {"run": numbers[_key(row)], "epoch": row["epoch"]}
            | {f"layer_{layer}": _log(value) for layer, value in enumerate(row[what], start=1)}
            for outcome in outcomes
            for row in outcome.layers
            if numbers[_key(row)] in kept
        ]
        tables[f"race_{what}"] = (table(rows), configs)
    return tables


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ("depth", "init", "optimizer", "lr", "eps", "seed"))


def _log(value: float) -> float:
    if not math.isfinite(value):
        return math.inf
    return round(math.log10(value), 1) if value else -math.inf
