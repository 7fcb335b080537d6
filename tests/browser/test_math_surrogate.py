"""What SurrogateDerivation draws agrees with the library: the surrogate, one layer, and two exactly."""

import itertools
import math

import pytest
import torch

from fromage_edu.trust import (
    deep_relative_trust,
    descent_objective,
    exact_sizes,
    surrogate_objective,
    surrogate_sizes,
    surrogate_trust,
    symmetric_size,
)

DEPTHS = [1, 2, 3, 7, 20]
SIZES = [0.01, 0.1, 0.37, 1.0, 2.5, 5.0, 100.0]
SLOPES = [0.001, 0.01, 0.3, 1.0, 1.9, 2.0, 2.001, 2.1, 3.0, 10.0]


def close(found, expected, rel=1e-12):
    return found == pytest.approx(expected, rel=rel, abs=1e-300)


@pytest.mark.result("F20")
@pytest.mark.result("F21")
def test_trust_and_surrogate_agree_with_the_library(call):
    grid = [
        (depth, moving, size)
        for depth, size in itertools.product(DEPTHS, SIZES)
        for moving in {1, (depth + 1) // 2, depth}
    ]
    deep = call([["deepTrust", moving, size] for _, moving, size in grid])
    flat = call([["surrogateTrust", *point] for point in grid])
    for (depth, moving, size), d, s in zip(grid, deep, flat, strict=True):
        sizes = [size] * moving + [0.0] * (depth - moving)
        assert close(d, deep_relative_trust(sizes).item()), (depth, moving, size)
        assert close(s, surrogate_trust(sizes).item()), (depth, moving, size)
        if moving == depth:
            assert s <= d * (1 + 1e-12)  # below D where all layers change alike; else on either side


@pytest.mark.result("F22")
def test_the_step_of_one_layer_agrees_with_the_library(call):
    grid = list(itertools.product(SLOPES, DEPTHS))
    steps = call([["surrogateSize", *point] for point in grid])
    for (slope, depth), step in zip(grid, steps, strict=True):
        assert close(step, surrogate_sizes([slope] * depth)[0].item())
        # The layers are alike: each has its share of the whole.
        sizes = [0.0, step, 0.9 * step, 1.3]
        worth = call([["surrogateObjective", slope, depth, size] for size in sizes])
        for size, found in zip(sizes, worth, strict=True):
            whole = surrogate_objective([size] * depth, [slope] * depth).item()
            assert found == pytest.approx(whole / depth, rel=1e-12, abs=1e-15)
        assert min(worth) == worth[1]


def test_a_deep_surrogate_steps_by_one_whatever_the_slope(call):
    deep = call([["surrogateSize", slope, 10**5] for slope in SLOPES])
    assert deep == pytest.approx([1.0] * len(SLOPES), abs=1e-4)


@pytest.mark.result("X5")
def test_two_layers_agree_with_the_library(call):
    points = list(itertools.product(SLOPES, [0.0, 0.2, 1.0, 3.1], [0.0, 0.7, 2.0]))
    worth = call([["pairObjective", *point] for point in points])
    for (slope, one, other), found in zip(points, worth, strict=True):
        assert found == pytest.approx(
            descent_objective([one, other], [slope] * 2).item(), rel=1e-12, abs=1e-12
        )
    for slope, found, middle in zip(
        SLOPES,
        call([["pairMinimum", slope] for slope in SLOPES]),
        call([["pairSymmetric", slope] for slope in SLOPES]),
        strict=True,
    ):
        assert middle == pytest.approx(float(symmetric_size(slope, 2)), rel=1e-9)
        expected = sorted(exact_sizes([slope] * 2).tolist(), reverse=True)
        # At the split a minimum is flat: its place is known to fewer digits than its value.
        assert found == pytest.approx(expected, rel=1e-9 if abs(slope - 2) > 0.01 else 1e-4)
        least = descent_objective(found, [slope] * 2).item()
        assert least <= descent_objective(expected, [slope] * 2).item() + 1e-12 * slope**2
        assert call([["pairSlope", found[0]]])[0] == pytest.approx(slope, rel=1e-9)


@pytest.mark.result("X5")
def test_a_fine_grid_finds_no_lower_point(call):
    side = torch.linspace(0, 12, 601, dtype=torch.float64)
    one, other = torch.meshgrid(side, side, indexing="ij")
    for slope, found in zip(SLOPES, call([["pairMinimum", slope] for slope in SLOPES]), strict=True):
        worth = 0.5 * ((1 + one**2) * (1 + other**2) - 1) - slope * (one + other)
        least = 0.5 * ((1 + found[0] ** 2) * (1 + found[1] ** 2) - 1) - slope * sum(found)
        assert least <= worth.min().item() + 1e-12
        assert worth.min().item() - least < 0.02


def test_level_curves_have_their_level(call):
    for slope in SLOPES:
        minimum, middle = call([["pairMinimum", slope], ["pairSymmetric", slope]])
        worth = lambda one, other, slope=slope: descent_objective([one, other], [slope] * 2).item()  # noqa: E731
        reach, bottom, saddle = max(3, 1.1 * minimum[0]), worth(*minimum), worth(middle, middle)
        for part in (0.01, 0.3, 1.0, 4.0):
            value = bottom + part * max(1, -bottom)
            loops = call([["pairLevel", slope, value, reach]])[0]
            # Two closed curves below the saddle, and one above it.
            assert len(loops) == (2 if value < saddle - 1e-9 else 1), (slope, part)
            for one, other in (point for loop in loops for point in loop):
                exact = 0.5 * ((1 + one**2) * (1 + other**2) - 1) - slope * (one + other)
                # The ends of a curve are found to the last digit, where the root of it is flat.
                assert exact == pytest.approx(value, abs=1e-9 * max(1, slope**2, abs(value)))
                assert -reach / 4 - 1e-9 <= one <= 1.25 * reach + 1e-9
        assert call([["pairLevel", slope, bottom - 0.1, reach]]) == [[]]
    assert math.isclose(call([["pairSlope", 1.0]])[0], 2.0)
