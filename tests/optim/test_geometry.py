"""The exact geometry of a step (A16) against Algorithm 1 itself, 50 digits, and algebra."""

import math
import re

import mpmath
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fromage_edu.optim import Fromage, fromage_update, norm_factor, norm_growth, relative_change, turn

LRS = [1e-8, 1e-4, 0.01, 0.1, 0.5, 1.0, 2.0, 100.0]
COSINES = [-1.0, -0.999, -0.5, -0.01, 0.0, 1e-6, 0.3, 0.9, 0.999999, 1.0]
ANY_LR, ANY_COSINE = st.floats(1e-6, 1e3), st.floats(-1, 1)


def exact(lr, cosine):
    """W = (1, 0) and g = (c, √(1 − c²)) in 50 digits: W' of equation (4) and of Algorithm 1."""
    eta, c = mpmath.mpf(lr), mpmath.mpf(cosine)
    plain = (1 - eta * c, -eta * mpmath.sqrt(1 - c**2))
    return plain, tuple(entry / mpmath.sqrt(1 + eta**2) for entry in plain)


@pytest.mark.result("F24", "F26", "X6")
@pytest.mark.parametrize("lr", LRS)
@pytest.mark.parametrize("cosine", COSINES)
def test_lengths_and_angles_match_50_digits(lr, cosine):
    with mpmath.workdps(50):
        plain, corrected = exact(lr, cosine)
        for correction, (x, y) in ((False, plain), (True, corrected)):
            length, moved = mpmath.hypot(x, y), mpmath.hypot(x - 1, y)
            factor = norm_factor(lr, cosine, norm_correction=correction)
            assert factor.item() == pytest.approx(float(length), rel=1e-15, abs=1e-300)
            change = relative_change(lr, cosine, norm_correction=correction)
            assert change.item() == pytest.approx(float(moved), rel=2e-15)
        angle = mpmath.atan2(-plain[1], plain[0])
        assert turn(lr, cosine).item() == pytest.approx(float(angle), rel=2e-15, abs=1e-300)


@pytest.mark.result("F24", "F26", "X6")
@pytest.mark.parametrize("shape", [(2,), (6, 5)])
@pytest.mark.parametrize("lr", [0.001, 0.01, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("cosine", [-1.0, -0.7, 0.0, 0.2, 0.5, 1.0])
def test_it_is_what_algorithm_1_does(lr, cosine, shape):
    weight, other = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = weight / weight.norm()
    across = other - (other * unit).sum() * unit
    grad = 1e-3 * (cosine * unit + math.sqrt(1 - cosine**2) * across / across.norm())
    for correction in (True, False):
        new = fromage_update(weight, grad, lr, norm_correction=correction)
        ratio, moved = new.norm() / weight.norm(), (new - weight).norm() / weight.norm()
        assert norm_factor(lr, cosine, norm_correction=correction).item() == pytest.approx(
            ratio.item(), abs=1e-14
        )
        assert relative_change(lr, cosine, norm_correction=correction).item() == pytest.approx(
            moved.item(), abs=1e-14
        )
        # The angle by the lengths of sum and difference, which loses no digits as an arc cosine would.
        one, two = weight / weight.norm(), new / new.norm()
        angle = 2 * torch.atan2((one - two).norm(), (one + two).norm())
        assert turn(lr, cosine).item() == pytest.approx(angle.item(), abs=1e-14)


@pytest.mark.result("F24", "F26")
def test_the_formulas_by_algebra():
    eta, c = sympy.symbols("eta c", real=True)
    s = sympy.sqrt(1 + eta**2)
    along, across = (1 - eta * c) / s, -eta * sympy.sqrt(1 - c**2) / s
    norm, moved = along**2 + across**2, (along - 1) ** 2 + across**2
    assert sympy.simplify(norm - (1 - 2 * eta * c / (1 + eta**2))) == 0
    assert sympy.simplify(moved - 2 * (1 - 1 / s) * (1 + eta * c / s)) == 0
    # To third order for c = 0, and to second for any c.
    small = sympy.symbols("e", positive=True)
    change = sympy.sqrt(2 * (1 - 1 / s) * (1 + eta * c / s)).subs(eta, small)
    assert sympy.series(change.subs(c, 0) / small, small, 0, 4).removeO() == 1 - 3 * small**2 / 8
    second = sympy.series(sympy.sqrt(sympy.simplify((change / small) ** 2)), small, 0, 2).removeO()
    assert sympy.simplify(second - (1 + small * c / 2)) == 0


@pytest.mark.result("F26")
@given(ANY_LR, ANY_COSINE)
def test_the_relative_change_is_lr_to_first_order_only(lr, cosine):
    change = relative_change(lr, cosine).item()
    assert change <= (lr + lr**2 / 2) * (1 + 1e-12)
    assert change <= relative_change(lr, 1.0).item() * (1 + 1e-12)
    # At its largest, c = 1, it is 1 − (1 − η)/s.
    s = math.hypot(1, lr)
    assert relative_change(lr, 1.0).item() == pytest.approx(lr * (lr / (1 + s) + 1) / s, rel=1e-12)
    assert abs(change - lr) <= lr**2
    assert relative_change(lr, cosine, norm_correction=False).item() == lr


@pytest.mark.result("F24")
@given(ANY_LR, ANY_COSINE)
def test_the_norm_stays_between_two_factors(lr, cosine):
    s = math.hypot(1, lr)
    factor = norm_factor(lr, cosine).item()
    assert abs(1 - lr) / s * (1 - 1e-12) <= factor <= (1 + lr) / s * (1 + 1e-12)
    assert norm_factor(lr, 0.0).item() == pytest.approx(1, rel=4e-16)
    assert (factor > 1) == (cosine < 0) or abs(factor - 1) < 1e-12
    # Pythagoras: without the correction a step across makes the norm √(1 + η²).
    assert norm_factor(lr, 0.0, norm_correction=False).item() == pytest.approx(s, rel=4e-16)
    across, along = math.sqrt(1 - cosine**2), norm_factor(lr, cosine, norm_correction=False).item()
    assert along**2 == pytest.approx((1 - lr * cosine) ** 2 + (lr * across) ** 2, rel=1e-9, abs=1e-15)


@pytest.mark.result("F24")
def test_a_persistent_angle_drifts_exponentially():
    """What is kept at c = 0 only: 1,000 steps at c = 0.1 and η = 0.01 cost a factor of e."""
    weight = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for _ in range(1000):
        unit = weight / weight.norm()
        grad = 0.1 * unit + math.sqrt(0.99) * torch.stack([-unit[1], unit[0]])
        weight = fromage_update(weight, grad, 0.01)
    assert weight.norm().item() == pytest.approx(norm_factor(0.01, 0.1).item() ** 1000, rel=1e-11)
    assert weight.norm().item() == pytest.approx(math.exp(-1), rel=2e-3)


@pytest.mark.result("F24", "X6")
@pytest.mark.parametrize("norm_correction", [True, False])
def test_a_scale_invariant_layer_turns_by_arctan_lr_and_keeps_its_norm_only_with_the_correction(
    norm_correction,
):
    torch.manual_seed(0)
    data, target, lr, steps = torch.randn(20, 6).double(), torch.randn(20, 4).double(), 0.1, 40
    weight = nn.Parameter(torch.randn(4, 6).double())
    optimizer = Fromage([weight], lr=lr, norm_correction=norm_correction)
    first = weight.detach().norm().item()
    for _ in range(steps):
        before = weight.detach().clone()
        optimizer.zero_grad()
        (data @ (weight / weight.norm()).T - target).square().mean().backward()
        assert abs((weight * weight.grad).sum() / weight.norm() / weight.grad.norm()) < 1e-13
        optimizer.step()
        one, two = before / before.norm(), weight.detach() / weight.detach().norm()
        angle = 2 * torch.atan2((one - two).norm(), (one + two).norm()).item()
        assert (
            angle == pytest.approx(math.atan(lr), rel=1e-12) == pytest.approx(turn(lr, 0.0).item(), rel=1e-12)
        )
    growth = 1 if norm_correction else norm_growth(lr, steps).item()
    assert weight.detach().norm().item() == pytest.approx(first * growth, rel=1e-12)


@pytest.mark.result("F24")
def test_the_growth_of_equation_4():
    assert norm_growth(0.01, 100_000).item() == pytest.approx(148.376, abs=1e-3)
    assert norm_growth(0.01, 1680).item() == pytest.approx(1.0876, abs=1e-4)
    assert norm_growth(0.1, 1680).item() == pytest.approx(4265.34, rel=1e-5)
    with mpmath.workdps(50):
        for lr, steps in ((1e-8, 10**6), (0.3, 7), (2.0, 100), (1e-4, 0)):
            expected = float((1 + mpmath.mpf(lr) ** 2) ** (mpmath.mpf(steps) / 2))
            assert norm_growth(lr, steps).item() == pytest.approx(expected, rel=1e-13)
    assert norm_growth(1e200, 0) == 1 and norm_growth(1e200, 1).item() == pytest.approx(1e200, rel=1e-12)
    assert norm_growth(1e9, 1).item() == pytest.approx(norm_growth(0.999999999e9, 1).item(), rel=1e-8)
    assert norm_growth(0.5, 1) == pytest.approx(norm_factor(0.5, 0.0, norm_correction=False).item())


def test_the_largest_numbers_do_not_overflow_on_the_way():
    assert relative_change(1.7e308, 0.5).item() == pytest.approx(math.sqrt(3), rel=1e-12)
    assert norm_factor(1.7e308, 0.5).item() == pytest.approx(1, rel=1e-12)
    assert turn(1.7e308, 0.5).item() == pytest.approx(2 * math.pi / 3, rel=1e-12)


@pytest.mark.result("X6")
def test_the_turn_at_the_ends():
    assert turn(0.5, 1.0) == 0 and turn(0.5, -1.0) == 0
    assert turn(2.0, 1.0).item() == math.pi  # past 0: the layer changes its sign
    assert turn(1.0, 1.0) == 0 and norm_factor(1.0, 1.0) == 0
    # The largest turn is arcsin η, where the step touches the circle of radius η around W.
    angles = turn(0.3, torch.linspace(-1, 1, 100_001, dtype=torch.float64))
    assert angles.max().item() == pytest.approx(math.asin(0.3), rel=1e-8)
    assert angles.argmax().item() == pytest.approx(100_000 * (1 + 0.3) / 2, abs=2)


@pytest.mark.parametrize("function", [norm_factor, relative_change, turn])
def test_shapes_gradients_and_rounding(function):
    lr, cosine = torch.rand(3, 1), torch.rand(4) * 1.9 - 0.95
    assert function(lr, cosine).shape == (3, 4) and function(lr, cosine).dtype == torch.float64
    torch.testing.assert_close(function(lr, cosine)[1, 2], function(lr[1, 0], cosine[2]))
    assert function(0.1, 1 + 1e-9) == function(0.1, 1.0) and function(0.1, -1 - 1e-9) == function(0.1, -1.0)
    assert function(1, 0) == function(1.0, 0.0)
    inputs = [each.double().requires_grad_() for each in (lr, cosine)]
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: norm_factor(-0.1, 0.0), ValueError, "lr is -0.1: it must be finite and >= 0"),
        (lambda: turn(math.inf, 0.0), ValueError, "lr is inf: it must be finite and >= 0"),
        (lambda: turn(math.nan, 0.0), ValueError, "lr is nan: it must be finite and >= 0"),
        (lambda: relative_change(0.1, 1.1), ValueError, "cosine is 1.1: it must be between -1 and 1"),
        (lambda: relative_change(0.1, math.nan), ValueError, "cosine is nan: it must be between -1 and 1"),
        (lambda: norm_growth(0.1, -1), ValueError, "steps is -1: it must be finite and >= 0"),
        (lambda: norm_growth("a", 1), TypeError, "lr is 'a': give a real number, or a tensor of them"),
        (lambda: norm_factor(0.1, 1j), TypeError, "give a real number, or a tensor of them"),
        (lambda: norm_factor(10**400, 0), ValueError, "lr is inf: it must be finite and >= 0"),
        (lambda: turn(torch.ones(2).to_sparse(), 0), TypeError, "lr is torch.sparse_coo: convert it with"),
        (lambda: norm_factor(True, 1), TypeError, "give a real number, or a tensor of them"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
