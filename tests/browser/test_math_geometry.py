"""geometry.js and the Python library agree: one step, many, and what they do to singular values."""

import itertools
import math

import pytest
import torch

from fromage_edu.bounds import mirsky_bound
from fromage_edu.optim import (
    fromage_update,
    norm_factor,
    norm_growth,
    polar_factor,
    relative_change,
    steepest_step,
    turn,
)
from fromage_edu.spectra import condition_number, operator_norm, singular_values, spectral_shift

RATES = [0.001, 0.01, 0.2, 0.5, 1.0]
COSINES = [-1.0, -0.7, -1e-9, 0.0, 0.1, 0.5, 1.0]
DEGREES = [-180, -90, -37.5, 0, 12, 90, 135, 180]


def exact(x):
    return torch.tensor(x, dtype=torch.float64)


def close(found, expected, rel=1e-12, abs=1e-14):
    return found == pytest.approx(expected, rel=rel, abs=abs)


@pytest.mark.result("F24", "F26")
def test_norm_change_and_angle_agree_with_the_library(call):
    grid = list(itertools.product(RATES, COSINES, [True, False]))
    factors = call([["normFactor", *point] for point in grid])
    changes = call([["relativeChange", *point] for point in grid])
    turns = call([["turn", lr, c] for lr, c, _ in grid])
    for (lr, c, corrected), factor, change, angle in zip(grid, factors, changes, turns, strict=True):
        assert close(factor, norm_factor(exact(lr), exact(c), norm_correction=corrected).item())
        assert close(change, relative_change(exact(lr), exact(c), norm_correction=corrected).item())
        assert close(angle, turn(exact(lr), exact(c)).item())
        # As the page writes them.
        s = math.sqrt(1 + lr * lr)
        if corrected:
            assert close(factor**2, 1 - 2 * lr * c / (1 + lr**2))
            assert close(change, math.sqrt(2 * (1 - 1 / s) * (1 + lr * c / s)), rel=1e-8)


@pytest.mark.result("F25")
def test_steps_in_the_plane_are_the_optimizer_s(call):
    grid = list(itertools.product([0.2, 1.0, 2.0], [0.05, 1.2, 3.0], DEGREES, RATES))
    for (weight, grad, degrees, lr), found in zip(
        grid, call([["planeSteps", *point] for point in grid]), strict=True
    ):
        angle = math.radians(degrees)
        w = torch.tensor([weight, 0.0], dtype=torch.float64)
        g = grad * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        after = {
            "sgd": w - lr * g,
            "four": fromage_update(w, g, lr, norm_correction=False),
            "fromage": fromage_update(w, g, lr),
        }
        for name, new in after.items():
            here = found[name]
            assert close([here["x"], here["y"]], (new / weight).tolist()), name
            assert close(here["norm"], (new.norm() / weight).item())
            assert close(here["change"], ((new - w).norm() / weight).item(), abs=1e-13)
            if new.norm() > 1e-9:
                angle = torch.atan2(new[1].abs(), new[0])
                assert math.cos(here["turn"]) == pytest.approx(math.cos(angle), abs=1e-12)


@pytest.mark.result("F24")
def test_many_steps_are_many_steps_of_the_optimizer(call):
    grid = list(itertools.product([0.01, 0.2, 0.5], [-90, 84, 90, 150], [True, False]))
    paths = call([["spiral", lr, degrees, 40, corrected] for lr, degrees, corrected in grid])
    for (lr, degrees, corrected), points in zip(grid, paths, strict=True):
        angle = math.radians(degrees)
        rotation = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
        )
        weight = torch.tensor([1.0, 0.0], dtype=torch.float64)
        for point in points:
            assert close(point, weight.tolist(), rel=1e-9, abs=1e-11)
            weight = fromage_update(weight, 7.0 * rotation @ weight, lr, norm_correction=corrected)
    for lr, count in itertools.product(RATES, [1, 12, 100]):
        grown, kept = call([["normAfter", lr, 0, count, False], ["normAfter", lr, 0, count]])
        assert close(grown, norm_growth(exact(lr), count).item(), rel=1e-11) and close(kept, 1.0, rel=1e-13)


KINDS, KAPPAS = [1, 2, 3, 4], [1, 10, 100, 1000]


def tensors(pair):
    return [torch.tensor(pair[key], dtype=torch.float64) for key in ("weight", "grad")]


@pytest.mark.result("F27", "X8")
def test_singular_values_before_and_after_agree_with_the_library(call):
    grid = list(itertools.product(KINDS, KAPPAS, [0.001, 0.01, 0.2, 1.0]))
    pairs = call([["matrixPair", kind, kappa] for kind, kappa, _ in grid])
    for (kind, kappa, lr), pair, found in zip(
        grid, pairs, call([["spectra", *point] for point in grid]), strict=True
    ):
        weight, grad = tensors(pair)
        assert close(found["norm"], weight.norm().item())
        assert condition_number(weight).item() == pytest.approx(kappa, rel=1e-10)
        steps = {
            "fromage": fromage_update(weight, grad, lr),
            "polar": weight + steepest_step(weight, grad, lr, norm="operator"),
        }
        for name, after in steps.items():
            change, bound = found[name], mirsky_bound(weight, after)
            assert close(change["before"], singular_values(weight).tolist(), abs=1e-13), (kind, kappa)
            assert close(change["after"], singular_values(after).tolist(), abs=1e-13), (kind, kappa, lr)
            assert close(change["used"], bound.measured.item(), rel=1e-9, abs=1e-13)
            assert close(change["budget"], bound.bound.item(), rel=1e-9, abs=1e-13)
            assert change["used"] <= change["budget"] * (1 + 1e-9) + 1e-14
            shift = spectral_shift(weight, after).item()
            assert close(change["used"] / found["norm"], shift, rel=1e-9, abs=1e-13)


@pytest.mark.result("X8")
def test_the_polar_factor_agrees_with_the_library(call):
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(8)]
    matrices += [torch.outer(m[0], m[1]) for m in matrices[:3]] + [torch.zeros(3, 3, dtype=torch.float64)]
    matrices += [torch.diag(torch.tensor([0.0, 1.0], dtype=torch.float64))]
    values = call([["singularValues", m.tolist()] for m in matrices])
    for matrix, factor, found in zip(
        matrices, call([["polarFactor", m.tolist()] for m in matrices]), values, strict=True
    ):
        assert torch.allclose(torch.tensor(factor, dtype=torch.float64), polar_factor(matrix), atol=1e-12)
        assert close(found, singular_values(matrix).tolist(), abs=1e-13)
        assert close(found[0], operator_norm(matrix).item(), abs=1e-13)


def test_one_step_can_ruin_the_condition_number(call):
    """W = diag(1, 0.01), g = diag(0, 1), η = 0.01: Mirsky's bound holds and protects nothing."""
    pair, found = call([["matrixPair", 4, 100], ["spectra", 4, 100, 0.01]])
    assert pair == {"weight": [[1, 0], [0, 0.01]], "grad": [[0, 0], [0, 1]]}
    weight, grad = tensors(pair)
    ruined = condition_number(fromage_update(weight, grad, 0.01)).item()
    fromage, polar = call([["conditionNumber", found[name]["after"]] for name in ("fromage", "polar")])
    assert 1.9e6 < ruined < 2.1e6 and fromage == pytest.approx(ruined, rel=1e-6)
    assert polar == math.inf
    assert found["fromage"]["used"] <= found["fromage"]["budget"]
