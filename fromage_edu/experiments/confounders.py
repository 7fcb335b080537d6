"""What else differs between optimizers in the depth race? One thing is changed at a time.

The race is that of `depth` in miniature. Each variant changes one thing in it: Adam's eps, with the loss as
it is or scaled up, in float32 and float64; how the weights start; the biases; how Fromage takes its norms; or
it brings a rival that normalizes each layer's step and knows nothing of the weights. Beside every run stands
the typical entry of the first layer's gradient at the start: the number that eps is small or large against.

Source: Fromage paper, Figure 4 (F29). What is changed in it is ours.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import NamedTuple

from fromage_edu import figures
from fromage_edu.experiments import depth as depth_race
from fromage_edu.experiments import store
from fromage_edu.experiments.depth_results import best_learning_rates, line_look
from fromage_edu.experiments.settings import (
    ADAM,
    ADAM_TINY_EPS,
    FROMAGE,
    SGD,
    Entrant,
    distinct,
    one_of,
    whole,
)
from fromage_edu.experiments.tables import rows_of, table

__all__ = [
    "CHAPTER",
    "PRESETS",
    "VARIANTS",
    "Config",
    "Outcome",
    "Point",
    "Variant",
    "figure",
    "points",
    "recordings",
    "run_point",
    "summarise",
]

#: Where the book tells of it.
CHAPTER = "descent/09_depth"


@dataclass(frozen=True)
class Variant:
    """One thing that is changed in the race, and who runs then.

    Args:
        entrants: the optimizers, at all their learning rates.
        dtype: "float32" or "float64".
        init: how weights start, as `depth.network` has it.
        bias: whether layers have biases.

    >>> VARIANTS["He start"].init
    'he'
    """

    entrants: tuple[Entrant, ...]
    dtype: str = "float32"
    init: str = "default"
    bias: bool = True


def _at_all_rates(*entrants: Entrant) -> tuple[Entrant, ...]:
    return tuple(
        replace(entrant, lr=lr) for entrant in entrants for lr in depth_race.LEARNING_RATES[entrant.optimizer]
    )


def _adams(*eps: float) -> tuple[Entrant, ...]:
    return tuple(replace(ADAM, eps=size) for size in eps)


PLAIN_SGD = replace(SGD, momentum=0.0)
FIELD = _at_all_rates(FROMAGE, ADAM, ADAM_TINY_EPS, SGD, PLAIN_SGD)
NORMALIZED = tuple(Entrant("Normalized SGD", lr=lr) for lr in (0.003, 0.01, 0.03, 0.1))

VARIANTS = {
    "as it comes": Variant(_at_all_rates(FROMAGE, ADAM, SGD, PLAIN_SGD)),
    "eps": Variant(_at_all_rates(*_adams(1e-16, 1e-30))),
    "eps, loss scaled": Variant(_at_all_rates(replace(ADAM_TINY_EPS, loss_scale=1e12))),
    "eps, float64": Variant(_at_all_rates(FROMAGE, *_adams(1e-8, 1e-16, 1e-30, 1e-60)), dtype="float64"),
    "He start": Variant(FIELD, init="he"),
    "orthogonal start": Variant(FIELD, init="orthogonal"),
    "no biases": Variant(FIELD, bias=False),
    "naive norms": Variant(_at_all_rates(replace(FROMAGE, norms="naive"))),
    "normalized steps": Variant(NORMALIZED),
}


@dataclass(frozen=True)
class Config:
    """Which variants are run, at which depths.

    Args:
        depths: numbers of hidden layers, each at least 2.
        variants: names of `VARIANTS`.
        seeds: one network per seed, entrant and depth.
        width: units per hidden layer, at most `depth.NARROW`.
        epochs: passes through the training images.

    Raises:
        ValueError: for whatever cannot run, before anything has run; the message names the value.

    >>> Config(depths=[20], variants=["naive norms"]).depths
    (20,)
    """

    depths: tuple[int, ...] = (20, 30, 40)
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: tuple[int, ...] = (501,)
    width: int = 32
    epochs: int = 40

    def __post_init__(self):
        """Refuse what cannot run."""
        for name, example in {"depths": "(2, 10)", "variants": "('eps',)", "seeds": "(501, 502)"}.items():
            object.__setattr__(self, name, distinct(name, getattr(self, name), example))
        for variant in self.variants:
            one_of("a variant", variant, VARIANTS)
        whole("width", self.width, least=1)
        if self.width > depth_race.NARROW:
            raise ValueError(
                f"width is {self.width}: variants run side by side, at most {depth_race.NARROW} wide"
            )
        for variant in self.variants:
            self.race(variant)

    def race(self, variant: str) -> depth_race.Config:
        """The race with one thing changed."""
        changed = VARIANTS[variant]
        return replace(
            depth_race.PRESETS["miniature"],
            **{name: getattr(self, name) for name in ("depths", "seeds", "width", "epochs")},
            **{name: getattr(changed, name) for name in ("entrants", "dtype", "init", "bias")},
        )


PRESETS = {
    "quick": Config(depths=(2,), variants=("eps", "normalized steps"), width=8, epochs=1),
    "default": Config(),
    "paper": Config(depths=(5, 10, 20, 30, 40, 50), seeds=(501, 502, 503, 504, 505)),
}


class Point(NamedTuple):
    """One piece of work: every run of a variant at one depth."""

    config: Config
    depth: int
    variant: str


class Outcome(NamedTuple):
    """What one point gave: a row for each run."""

    rows: list[dict]
    seconds: float


def points(config: Config) -> list[Point]:
    """The independent pieces of work of a configuration.

    Args:
        config: which variants, at which depths.

    Returns:
        One point for each depth and variant.

    >>> [point.variant for point in points(PRESETS["quick"])]
    ['eps', 'normalized steps']
    """
    return [Point(config, depth, variant) for depth in config.depths for variant in config.variants]


def run_point(point: Point) -> Outcome:
    """Train the runs of a point, side by side.

    Args:
        point: the variant and the depth.

    Returns:
        Rows with variant, dtype, depth, entrant, lr, seed, gradient (the typical entry of the first layer's
        at the start, in float64), train_accuracy, test_accuracy, diverged; and the seconds it took.

    >>> outcome = run_point(points(PRESETS["quick"])[0])
    >>> outcome.rows[0]["entrant"], outcome.rows[0]["gradient"] > 1e-4
    ('Adam, eps 1e-16', True)
    """
    config, changed = point.config.race(point.variant), VARIANTS[point.variant]
    gradients = {
        seed: depth_race.first_layer_gradient(
            point.depth, width=config.width, seed=seed, init=changed.init, bias=changed.bias
        )
        for seed in config.seeds
    }
    outcome = depth_race.run_point(depth_race.Point(config, point.depth))
    rows = [{"variant": point.variant, **row, "gradient": gradients[row["seed"]]} for row in outcome.finals]
    return Outcome(rows, outcome.seconds)


def summarise(outcomes):
    """One row per variant, depth, entrant and learning rate: the spread of the final training accuracy.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table.

    Returns:
        A pandas table: variant, dtype, depth, entrant, lr, runs, median, lowest, highest, diverged (how
        many), gradient (the median).

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> summarise([run_point(points(PRESETS["quick"])[0])])["runs"].tolist()
    [1, 1, 1, 1, 1, 1]
    """
    runs = rows_of(outcomes).groupby(["variant", "dtype", "depth", "entrant", "lr"], sort=False)
    return runs.agg(
        runs=("train_accuracy", "size"),
        median=("train_accuracy", "median"),
        lowest=("train_accuracy", "min"),
        highest=("train_accuracy", "max"),
        diverged=("diverged", "sum"),
        gradient=("gradient", "median"),
    ).reset_index()


def figure(summary):
    """Final training accuracy against depth, a panel for each variant: medians at the best learning rates.

    Args:
        summary: what `summarise` returned.

    Returns:
        The matplotlib figure.
    """
    rows = best_learning_rates(summary)
    variants = list(dict.fromkeys(rows["variant"]))
    columns = min(2, len(variants))
    lines = -(-len(variants) // columns)
    with figures.style():
        import matplotlib.pyplot as plt

        fig, axes = plt.subplots(
            lines, columns, sharex=True, sharey=True, squeeze=False, figsize=(6.4, 0.5 + 2.1 * lines)
        )
        for ax in axes.flat[len(variants) :]:
            ax.set_visible(False)
        for ax, variant in zip(axes.flat, variants, strict=False):
            for entrant, runs in rows[rows["variant"] == variant].groupby("entrant", sort=False):
                ax.plot(runs["depth"], runs["median"], label=entrant, **line_look(entrant))
            ax.set(ylim=(0, 1.02))
            ax.set_title(variant, fontsize="medium")
            figures.label_lines(ax)
        fig.supxlabel("hidden layers", fontsize="medium")
        fig.supylabel("training accuracy at the end", fontsize="medium")
    return fig


def recordings(progress=lambda text: None, presets=("paper",), keep=None):
    """What pages quote: `confounders`, a row for each run.

    Args:
        progress: called with a line of text after every point.
        presets: the configurations to run.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config).

    Raises:
        ImportError: without pandas, with the command that installs it.
    """
    table([])  # Without pandas, say so now and not at the end.
    outcomes, configs = store.run_presets(sys.modules[__name__], presets, keep=keep, progress=progress)
    return {"confounders": (rows_of(outcomes), configs)}
