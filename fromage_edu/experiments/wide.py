"""The depth race at the authors' width, 784, on 4,000 digits: is it Adam's eps there, too?

Points, runs and tables are those of `depth`. Arithmetic fills a core here, so the race comes in two pieces:
one seed and half the epochs choose each entrant's learning rate at each depth, by a rule; three other seeds
run the race with it, among those that did not guess at every rate. Adam's eps is taken out of the way by
multiplying the loss as well: at 50 layers the first gradient has entries near 1e-22, and g² alone would leave
float32.

Source: Fromage paper, Figure 4 (F29). Without its eps, Adam is a rival of ours.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fromage_edu.experiments import depth as depth_race
from fromage_edu.experiments import store
from fromage_edu.experiments.depth import (
    Config,
    Outcome,
    Point,
    figure,
    points,
    run_point,
    summarise,
)
from fromage_edu.experiments.depth_results import CHANCE
from fromage_edu.experiments.plain import plain
from fromage_edu.experiments.settings import (
    ADAM,
    ADAM_SCALED,
    EPS_FLOOR,
    FROMAGE,
    SGD,
    distinct,
    one_of,
)
from fromage_edu.experiments.tables import rows_of, table

__all__ = [
    "CHAPTER",
    "DEPTHS",
    "GRID",
    "PRESETS",
    "Config",
    "Outcome",
    "Point",
    "at_the_floor",
    "chosen",
    "ends",
    "figure",
    "gradients",
    "points",
    "recordings",
    "run_point",
    "summarise",
]

CHAPTER = "descent/09_depth"

DEPTHS = (5, 15, 25, 40, 50)
SEEDS = (321, 322, 323)

GRID = (
    *(replace(FROMAGE, lr=lr) for lr in (0.001, 0.003, 0.01)),
    *(replace(ADAM, lr=lr) for lr in (0.00001, 0.0001, 0.001)),
    *(replace(ADAM_SCALED, lr=lr) for lr in (0.00001, 0.0001, 0.001)),
    *(replace(SGD, lr=lr) for lr in (0.01, 0.1, 1.0)),
)
RATES = replace(
    depth_race.PRESETS["paper"], depths=DEPTHS, entrants=GRID, dataset="mnist_5k", seeds=(311,), epochs=30
)


def at_the_floor(config: Config, depth: int) -> Config:
    """One run twice: with eps ten orders of magnitude below `settings.EPS_FLOOR`, and at it.

    Args:
        config: of the race.
        depth: of the run.

    Returns:
        The configuration of the two.

    >>> [entrant.eps for entrant in at_the_floor(PRESETS["paper"], 25).entrants]
    [1e-30, 1e-20]
    """
    entrants = [replace(ADAM_SCALED, lr=0.001, eps=eps) for eps in (1e-30, EPS_FLOOR)]
    return replace(config, depths=(depth,), entrants=entrants)


PRESETS = {
    # The same code in a minute: digits in networks just too wide to stand side by side.
    "quick": Config(
        depths=(2, 20), entrants=GRID[1::3], seeds=(1,), width=depth_race.NARROW + 1, batch_size=128, epochs=4
    ),
    "default": replace(RATES, depths=(25,), entrants=GRID[1::3]),
    "paper": RATES,
    "floor": at_the_floor(RATES, 25),
}


def ends(outcomes):
    """How every run ended, in one table: its final accuracies, and the mean loss of its last epoch.

    Args:
        outcomes: a list of what `run_point` returned.

    Returns:
        A pandas table: the finals of `depth`, and loss.

    >>> config = replace(PRESETS["quick"], depths=(2,), width=8, epochs=1)
    >>> ends([run_point(point) for point in points(config)])["entrant"].tolist()
    ['Fromage', 'Adam', 'Adam, eps 1e-32', 'SGD + momentum']
    """
    finals, curves = (rows_of(outcomes, kind) for kind in ("finals", "curves"))
    run = ["depth", "entrant", "lr", "seed"]
    last = curves.loc[curves.groupby(run)["epoch"].idxmax()]
    return finals.merge(last[[*run, "loss"]], on=run, validate="one_to_one")


def chosen(runs, config: Config, depth: int, seeds=SEEDS) -> Config:
    """The race at one depth, each entrant with its best learning rate there.

    The rule: the highest training accuracy at the end; of equal ones, the lowest loss in the last epoch. Who
    guesses at every learning rate sits the race out, or all race if all guess.

    Args:
        runs: what `ends` returned for `config`, or the record of it.
        config: what was run to choose.
        depth: one of its depths.
        seeds: of the race; none of those that choose.

    Returns:
        The configuration, with twice the epochs.

    Raises:
        ValueError: where a seed of the race has chosen, or an entrant has no run at this depth.

    >>> from fromage_edu import recorded
    >>> race = chosen(recorded.load("wide_rates")[0], PRESETS["paper"], 25)
    >>> race.seeds, race.epochs
    ((321, 322, 323), 60)
    """
    if set(seeds) & set(config.seeds):
        raise ValueError(
            f"seeds are {tuple(seeds)}: {config.seeds} have chosen the learning rates; take others"
        )
    rates = runs[runs["depth"] == depth].groupby(["entrant", "lr"], sort=False)
    # A mean over seeds would pass over a loss that is no number, which is the worst there is.
    ranked = rates[["train_accuracy", "loss"]].agg(lambda column: column.mean(skipna=False)).reset_index()
    ranked = ranked.sort_values(["train_accuracy", "loss"], ascending=[False, True])
    best = ranked.drop_duplicates("entrant").set_index("entrant")
    missing = {entrant.name for entrant in config.entrants} - set(best.index)
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} has no run at depth {depth}: run those points first")
    if (best["train_accuracy"] >= CHANCE).any():
        best = best[best["train_accuracy"] >= CHANCE]
    entrants = [entrant for entrant in config.entrants if best["lr"].get(entrant.name) == entrant.lr]
    return replace(config, depths=(depth,), entrants=entrants, seeds=tuple(seeds), epochs=2 * config.epochs)


def gradients(config: Config, seeds=SEEDS):
    """The typical entry of the first layer's gradient before any training, of the networks that race.

    Args:
        config: their depths, width, start and images.
        seeds: of the networks.

    Returns:
        A pandas table: depth, seed, gradient.

    >>> gradients(replace(PRESETS["quick"], depths=(2,), width=8), seeds=(1, 2))["seed"].tolist()
    [1, 2]
    """
    shape = {"width": config.width, "init": config.init, "bias": config.bias, "dataset": config.dataset}
    pairs = [(depth, seed) for depth in config.depths for seed in seeds]
    found = [depth_race.first_layer_gradient(depth, seed=seed, **shape) for depth, seed in pairs]
    return table(
        [
            {"depth": depth, "seed": seed, "gradient": gradient}
            for (depth, seed), gradient in zip(pairs, found, strict=True)
        ]
    )


def recordings(progress=lambda text: None, presets=("paper",), keep=None):
    """What pages quote: `wide_rates` (one seed, all rates); `wide_race`, `wide_curves` (three, the best).

    `wide_gradients` holds the size of their gradients before training, `wide_floor` what an eps that is too
    small did to a run.

    Args:
        progress: called with a line of text after every point.
        presets: the configuration that chooses, one.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config).

    Raises:
        ImportError: without pandas or the images' package, with the command that installs it.
        ValueError: for another number of presets than one, or one that does not exist.
    """
    presets = distinct("presets", presets, "('paper',)")
    if len(presets) != 1:
        raise ValueError(f"presets are {presets}: one chooses the learning rates of the race; give one")
    preset = one_of("preset", presets[0], PRESETS)
    table([])  # Without pandas, say so now and not after hours.
    config, folder = PRESETS[preset], None if keep is None else Path(keep)
    rates = ends(store.run(depth_race, config, folder=folder and folder / "rates", progress=progress))
    races, configs = [], {}
    for depth in config.depths:
        configs[f"{depth} layers"] = one = chosen(rates, config, depth)
        place = folder and folder / f"race-{depth}"
        races += store.run(depth_race, one, folder=place, progress=progress)
    configs = {name: plain(one) for name, one in configs.items()}
    floor = at_the_floor(config, 25 if 25 in config.depths else config.depths[-1])
    fallen = store.run(depth_race, floor, folder=folder and folder / "floor", progress=progress)
    return {
        "wide_rates": (rates, {preset: plain(config)}),
        "wide_gradients": (gradients(config), {preset: plain(config)}),
        "wide_floor": (rows_of(fallen, "curves"), {"floor": plain(floor)}),
        "wide_race": (rows_of(races, "finals"), configs),
        "wide_curves": (rows_of(races, "curves"), configs),
    }
