"""How tight is each bound? The largest measured/bound over random networks, and by gradient ascent.

For each inequality of Part I: thousands of random networks inside its hypotheses, then a search that changes
weights, changes and input to push measured/bound up. A bound holds as long as no ratio exceeds 1, and is
sharp if the search comes close to 1. Ratios are in the units of each bound: squared, except for X1.

Source: Fromage paper, Theorem 1 (F12).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fromage_edu import bounds, figures
from fromage_edu.bounds import Bound, LogBound
from fromage_edu.experiments import store
from fromage_edu.experiments.tables import table

__all__ = [
    "CASES",
    "PRESETS",
    "Config",
    "Networks",
    "Outcome",
    "Point",
    "figure",
    "log_ratio",
    "networks",
    "points",
    "recordings",
    "run_point",
    "summarise",
]


@dataclass
class Networks:
    """Networks of one shape: matrices (N, n_l, n_{l−1}), their changes, and an input each, (N, 1, n_0)."""

    weights: list[Tensor]
    changes: list[Tensor]
    x: Tensor
    nonlinearity: nn.Module

    @property
    def perturbed(self) -> list[Tensor]:
        """The changed matrices."""
        return [weight + change for weight, change in zip(self.weights, self.changes, strict=True)]

    @property
    def arguments(self) -> tuple:
        """What the bounds of functions take."""
        return self.weights, self.perturbed, self.x


class Case(NamedTuple):
    """An inequality: its id, the widths it is about, whether it needs α > 0, and how to evaluate it."""

    result: str
    shape: str
    needs_alpha: bool
    evaluate: Callable[[Networks], Bound | LogBound]


def _matvec(nets) -> bounds.MatvecBounds:
    return bounds.matvec_bounds(nets.weights[0], nets.x[:, 0])


def _matmat(nets) -> bounds.MatvecBounds:
    return bounds.matmat_bounds(nets.weights[0], nets.changes[0].mT)


def _product(nets) -> LogBound:
    return bounds.product_bound(nets.weights, nets.perturbed, log10=True)


def _functional(function, **options) -> Callable[[Networks], Bound | LogBound]:
    return lambda nets: function(*nets.arguments, nonlinearity=nets.nonlinearity, **options)


#: Every inequality of Part I about networks and matrices.
CASES = {
    "Lemma 1, below": Case("F34", "tall", False, lambda nets: Bound(*_matvec(nets)[:2])),
    "Lemma 1, above": Case("F34", "tall", False, lambda nets: Bound(*_matvec(nets)[1:])),
    "Lemma 2": Case("F35", "rising", True, _functional(bounds.magnitude_bound, log10=True)),
    "Lemma 3": Case("F36", "square", False, lambda nets: bounds.sum_bound(nets.weights)),
    "Lemma 4, below": Case("F37", "tall", False, lambda nets: Bound(*_matmat(nets)[:2])),
    "Lemma 4, above": Case("F37", "tall", False, lambda nets: Bound(*_matmat(nets)[1:])),
    "Lemma 5": Case("F38", "valley", False, _product),
    "Theorem 1": Case("F12", "rising", True, _functional(bounds.functional_bound, log10=True)),
    "Theorem 1, restricted": Case("F12", "any", True, _functional(bounds.restricted_bound, log10=True)),
    "Theorem 2": Case("F17", "valley", True, _functional(bounds.jacobian_bound, layer=0, log10=True)),
    "X1, operator norms": Case("X1", "any", False, _functional(bounds.operator_bound)),
    "X1, Frobenius norms": Case("X1", "any", False, _functional(bounds.frobenius_bound)),
    "scalar chain": Case("F11", "scalar", False, lambda nets: bounds.scalar_chain_bound(*_scalars(nets))),
    "exponential limit": Case("F18", "scalar", False, lambda nets: bounds.exponential_bound(_sizes(nets))),
}


def _scalars(nets) -> tuple[Tensor, Tensor]:
    return torch.cat(nets.weights, -1)[:, 0], torch.cat(nets.changes, -1)[:, 0]


def _sizes(nets) -> Tensor:
    weights, changes = _scalars(nets)
    return (changes / weights).abs()


@dataclass(frozen=True)
class Config:
    """Sizes of both searches: random networks a case and a batch, starts and steps of the ascent."""

    networks: int
    batch: int
    ascents: int
    starts: int
    steps: int
    depth: int = 5
    width: int = 6
    seed: int = 0

    def __post_init__(self):
        """Refuse what makes no search."""
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < (0 if name == "seed" else 1):
                raise ValueError(f"{name} is {value!r}: give a whole number >= 1 (a seed may be 0)")


PRESETS = {
    "quick": Config(networks=400, batch=100, ascents=2, starts=4, steps=20),
    "default": Config(networks=2_000, batch=200, ascents=4, starts=8, steps=100),
    "paper": Config(networks=20_000, batch=200, ascents=16, starts=16, steps=400),
}


class Point(NamedTuple):
    """One inequality, with the sizes of its searches."""

    case: str
    config: Config


class Outcome(NamedTuple):
    """The largest and the median ratio measured/bound of a case, and how many networks were tried."""

    case: str
    networks: int
    random: float
    median: float
    ascents: int
    ascent: float
    seconds: float


def points(config: Config) -> list[Point]:
    """The cases, one a point.

    Args:
        config: a preset, or your own.

    Returns:
        One point for each of `CASES`.

    >>> points(PRESETS["quick"])[0].case
    'Lemma 1, below'
    """
    return [Point(case, config) for case in CASES]


def networks(
    shape: str, needs_alpha: bool, count: int, config: Config, generator: torch.Generator
) -> Networks:
    """Random networks of one random shape inside the hypotheses of a case.

    Gaussian matrices with columns stretched by up to a factor of ten; changes of 0.001 to 10 times the size
    of a matrix, in random directions or, for a third of them, along the matrix itself.

    Args:
        shape: "tall" (one layer), "rising" (widths never shrink), "valley", "square", "any" or "scalar" (all
            widths 1).
        needs_alpha: whether the leaky ReLU needs a slope other than 0.
        count: how many networks.
        config: gives the largest depth and width.
        generator: source of all random numbers.

    Returns:
        The networks, float64.

    Raises:
        ValueError: for a shape that is none of these.

    >>> nets = networks("scalar", False, 3, PRESETS["quick"], torch.Generator().manual_seed(0))
    >>> nets.x.shape
    torch.Size([3, 1, 1])
    """
    widths = _widths(shape, config, generator)
    slopes = [0.1, 0.3, 0.5, 0.9, 1.0] + [0.0] * (not needs_alpha)
    slope = slopes[_integer(0, len(slopes) - 1, generator)]

    def normal(*size):
        return torch.randn(count, *size, generator=generator, dtype=torch.float64)

    def uniform(low, high, *size):
        return low + (high - low) * torch.rand(count, *size, generator=generator, dtype=torch.float64)

    weights, changes = [], []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        weights.append(normal(outputs, inputs) * 10 ** uniform(-0.5, 0.5, 1, inputs))
        along = uniform(0, 1, 1, 1) < 1 / 3
        direction = torch.where(along, weights[-1], normal(outputs, inputs))
        changes.append(direction * 10 ** uniform(-3, 1, 1, 1))
    phi = nn.Identity() if slope == 1 else nn.LeakyReLU(slope) if slope else nn.ReLU()
    return Networks(weights, changes, normal(1, widths[0]), phi)


def _integer(low, high, generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _widths(shape, config, generator) -> list[int]:
    depth = _integer(1, config.depth, generator)
    widths = [_integer(1, config.width, generator) for _ in range(depth + 1)]
    bottom = _integer(0, depth, generator)
    shapes = {
        "tall": sorted(widths[:2]),
        "rising": sorted(widths),
        "valley": sorted(widths[:bottom], reverse=True) + sorted(widths[bottom:]),
        "square": [widths[0]] * (depth + 1),
        "any": widths,
        "scalar": [1] * (depth + 1),
    }
    if shape not in shapes:
        raise ValueError(f"no shape is named {shape!r}; there are {', '.join(shapes)}")
    return shapes[shape]


def log_ratio(result: Bound | LogBound) -> Tensor:
    """Natural logarithm of measured/bound: at most 0 where a bound holds.

    Args:
        result: what a bound returned.

    Returns:
        The shape of its sides; −∞ where nothing was measured; differentiable.

    >>> log_ratio(Bound(torch.tensor(1.0), torch.tensor(1.0)))
    tensor(0.)
    """
    if isinstance(result, LogBound):
        return (result.measured - result.bound) * torch.tensor(10.0, dtype=torch.float64).log()
    return (result.measured / result.bound).log()


def run_point(point: Point) -> Outcome:
    """Both searches for one inequality.

    Args:
        point: one of `points(config)`.

    Returns:
        Its largest ratios.

    >>> run_point(Point("scalar chain", PRESETS["quick"])).random <= 1
    True
    """
    start, config, case = time.perf_counter(), point.config, CASES[point.case]
    generator = torch.Generator().manual_seed(config.seed)
    found = []
    batches = -(-config.networks // config.batch)
    with torch.no_grad():
        for _ in range(batches):
            nets = networks(case.shape, case.needs_alpha, config.batch, config, generator)
            # A NaN is a failure of the library, not a network to pass over.
            found.append(log_ratio(case.evaluate(nets)).flatten().nan_to_num(torch.inf))
    random = torch.cat(found)
    starts = _starts(case, config, generator)
    climbed = max(peak for nets in starts for peak in _climb(case, nets, config.steps))
    return Outcome(
        point.case,
        batches * config.batch,
        random.max().exp().item(),
        random.median().exp().item(),
        config.ascents * config.starts,
        torch.tensor(climbed, dtype=torch.float64).exp().item(),
        time.perf_counter() - start,
    )


def _starts(case, config, generator) -> Iterator[Networks]:
    # Small networks climb furthest: at most three layers of width three, and layers of one number first.
    small = Config(**{**asdict(config), "depth": min(3, config.depth), "width": min(3, config.width)})
    for index in range(config.ascents):
        shape = "scalar" if index % 4 == 0 else case.shape
        nets = networks(shape, case.needs_alpha, config.starts, small, generator)
        if index % 2 == 0:
            nets.nonlinearity = nn.Identity()
        yield nets


def _climb(case: Case, nets: Networks, steps: int) -> Iterator[float]:
    """The largest log ratio after each step of gradient ascent on weights, changes and inputs."""
    nets.changes = [change.clamp(-3, 3) for change in nets.changes]
    variables = [*nets.weights, *nets.changes, nets.x]
    for variable in variables:
        variable.requires_grad_()
    optimizer = torch.optim.Adam(variables, lr=0.03)
    # Large steps find the region, small ones its peak.
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        ratios = log_ratio(case.evaluate(nets))
        yield torch.inf if ratios.isnan().any() else ratios.max().item()
        optimizer.zero_grad()
        (-ratios[ratios.isfinite()].sum()).backward()
        for variable in variables:
            if variable.grad is not None:
                variable.grad.nan_to_num_(0.0, 0.0, 0.0)
        optimizer.step()
        schedule.step()


def summarise(outcomes: list[Outcome]):
    """A table with one row per inequality.

    Args:
        outcomes: what `run_point` returned.

    Returns:
        A pandas table: bound, result, networks, random (the largest ratio), median, ascents, ascent (the
        largest ratio).

    Raises:
        ImportError: without pandas, with the command that installs it.
    """
    rows = [
        {
            "bound": outcome.case,
            "result": CASES[outcome.case].result,
            "networks": outcome.networks,
            "random": outcome.random,
            "median": outcome.median,
            "ascents": outcome.ascents,
            "ascent": outcome.ascent,
        }
        for outcome in outcomes
    ]
    return table(rows)


def figure(summary):
    """Largest ratios measured/bound on a logarithmic axis, one row per inequality.

    Args:
        summary: a table from `summarise`.

    Returns:
        The matplotlib figure: circles for random networks, diamonds for gradient ascent, the bound at 1.
    """
    with figures.style():
        import matplotlib.pyplot as plt

        fig, ax = plt.subplots(figsize=(5.6, 0.3 * len(summary) + 1))
        rows = list(range(len(summary)))[::-1]
        ax.axvline(1, zorder=0, **figures.line("bound"))
        gray, ink = (figures.line(role)["color"] for role in ("bound", "measured"))
        ax.plot(summary["random"], rows, "o", color=gray, markersize=6, label="random networks")
        ax.plot(summary["ascent"], rows, "D", color=ink, markersize=4, label="gradient ascent")
        ax.set(xscale="log", xlabel="largest measured / bound", yticks=rows)
        ax.set_yticklabels(summary["bound"])
        ax.legend(loc="lower left")
    return fig


def recordings(progress=lambda text: None, presets=("paper",), keep=None):
    """What pages quote: `bound_ratios`, the largest ratio of each inequality.

    Args:
        progress: called with a line of text after every point.
        presets: the sizes of the searches.
        keep: a folder for finished points, as `store.run_presets` has it.

    Returns:
        Name of the recorded table -> (table, config).

    Raises:
        ImportError: without pandas, with the command that installs it.
        ValueError: for a preset that does not exist.
    """
    table([])  # Without pandas, say so now and not after minutes.
    outcomes, configs = store.run_presets(sys.modules[__name__], presets, keep=keep, progress=progress)
    return {"bound_ratios": (summarise(outcomes), configs)}
