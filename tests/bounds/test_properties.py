"""Where the hypotheses hold the bound holds: at least 10,000 random networks each, and gradient ascent."""

import dataclasses

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fromage_edu.experiments import tightness
from fromage_edu.experiments.tightness import CASES, PRESETS, Networks, Point, log_ratio, run_point

EXAMPLES, BATCH = 50, 200
#: One relative rounding of `Bound.holds`, and the log10 of a large constant, as a logarithm.
ROUNDING = 1e-9


@st.composite
def networks(draw, shape, needs_alpha):
    """A batch of random networks of one drawn shape, slope, size of changes and stretch."""
    widths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=8))
    bottom = draw(st.integers(0, len(widths))) if shape == "valley" else 0
    widths = {
        "tall": sorted(widths[:2]),
        "rising": sorted(widths),
        "valley": sorted(widths[:bottom], reverse=True) + sorted(widths[bottom:]),
        "square": widths[:1] * len(widths),
        "any": widths,
        "scalar": [1] * len(widths),
    }[shape]
    slope = draw(st.floats(0.05 if needs_alpha else 0.0, 2.0))
    size, stretch = 10.0 ** draw(st.floats(-3, 2)), draw(st.floats(0, 1.5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))

    def normal(*shape):
        return torch.randn(BATCH, *shape, generator=generator, dtype=torch.float64)

    weights = [
        normal(m, n) * 10 ** (stretch * normal(1, n)) for n, m in zip(widths, widths[1:], strict=False)
    ]
    # Changes along the weights come closest to the bounds.
    along = draw(st.booleans())
    changes = [size * (weight if along else normal(*weight.shape[1:])) for weight in weights]
    return Networks(weights, changes, normal(1, widths[0]), nn.LeakyReLU(slope))


@pytest.mark.result("F11", "F12", "F17", "F18", "F34", "F35", "F36", "F37", "F38", "X1", "X7")
@pytest.mark.parametrize("name", CASES)
def test_no_random_network_breaks_a_bound(name):
    case, tried, worst = CASES[name], 0, -torch.inf

    @hypothesis.settings(max_examples=EXAMPLES, phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
    @given(networks(case.shape, case.needs_alpha))
    def holds(nets):
        nonlocal tried, worst
        bound = case.evaluate(nets)
        assert bound.holds.all()
        tried, worst = tried + BATCH, max(worst, log_ratio(bound).max().item())

    holds()
    assert tried >= 10_000 and worst <= ROUNDING
    print(f"{name}: {tried} networks, largest measured/bound {torch.tensor(worst).exp().item():.4g}")


# What the search reaches in seconds, of what is possible: 1 where a bound is sharp; 1 − 2^(−L) for Theorem 1,
# which prints 2^L for 2^L − 1, at three layers at most; a quarter for Theorem 2.
REACHED = {
    "Lemma 1, below": 1.0,
    "Lemma 1, above": 1.0,
    "Lemma 2": 1.0,
    "Lemma 3": 1.0,
    "Lemma 4, below": 1.0,
    "Lemma 4, above": 1.0,
    "Lemma 5": 1.0,
    "Theorem 1": 7 / 8,
    "Theorem 1, restricted": 7 / 8,
    "Theorem 2": 1 / 4,
    "X1, operator norms": 1.0,
    "X1, Frobenius norms": 1.0,
    "scalar chain": 1.0,
    "exponential limit": 1.0,
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_ascent_breaks_no_bound(name):
    config = dataclasses.replace(PRESETS["quick"], networks=1, batch=1, ascents=4, starts=8, steps=50, seed=3)
    reached = run_point(Point(name, config)).ascent
    assert reached <= REACHED[name] * (1 + 1e-9)
    assert reached >= 0.4 * REACHED[name]


@pytest.mark.result("F12", "F17")
@pytest.mark.parametrize("name", ["Theorem 1", "Theorem 2"])
def test_the_search_does_find_what_a_missing_hypothesis_allows(name):
    """The same search, on shapes that the print allows and the theorem does not, breaks the bound."""
    function = {
        "Theorem 1": tightness.bounds.functional_bound,
        "Theorem 2": lambda *args, **options: tightness.bounds.jacobian_bound(*args, 0, **options),
    }[name]

    def printed(nets):
        return function(*nets.arguments, nonlinearity=nn.Identity(), as_printed=True, log10=True)

    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 2)] if name == "Theorem 1" else [(2, 1), (1, 2)]
    weights = [torch.randn(16, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    changes = [torch.randn(16, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    x = torch.randn(16, 1, shapes[0][1], generator=generator, dtype=torch.float64)
    nets = Networks(weights, changes, x, nn.Identity())
    case = tightness.Case("F12", "any", True, printed)
    assert max(tightness._climb(case, nets, 150)) > 1
