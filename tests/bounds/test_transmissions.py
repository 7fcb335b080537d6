"""Transmission constants: closed forms against the grid, extremes against 30 digits, and what is refused."""

import re

import mpmath
import pytest
import torch
from torch import nn

from fromage_edu.bounds import Transmission, estimate_transmission, functional_bound, transmission

pytestmark = pytest.mark.result("F13")

KNOWN = [
    nn.Identity(),
    nn.ReLU(),
    nn.ReLU6(),
    nn.Hardtanh(),
    nn.LeakyReLU(0.5),
    nn.LeakyReLU(0.0),
    nn.LeakyReLU(3.0),
    nn.LeakyReLU(-0.5),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.SiLU(),
    nn.GELU(),
    nn.ELU(),
    nn.ELU(2.0),
    nn.Softplus(),
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    torch.sin,
    torch.abs,
    torch.neg,
    nn.functional.leaky_relu,
    nn.functional.gelu,
    nn.functional.silu,
]


@pytest.mark.parametrize("phi", KNOWN, ids=lambda phi: getattr(phi, "__name__", str(phi)))
def test_closed_forms_agree_with_the_grid(phi):
    closed, grid = transmission(phi), estimate_transmission(phi, -20, 20, 400_001)
    # The grid sees slopes that occur: α from above, β from below.
    assert closed.alpha - 1e-9 <= grid.alpha <= closed.alpha + 1e-7
    assert closed.beta * (1 - 2e-4) <= grid.beta <= closed.beta + 1e-9


@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0, 1.7])
def test_leaky_relu_is_what_the_paper_says(slope):
    assert transmission(nn.LeakyReLU(slope)) == (min(slope**2, 1), max(slope**2, 1))


@pytest.mark.parametrize(
    ("phi", "derivative", "start"),
    [
        (nn.GELU(), lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x), 1.4),
        (nn.SiLU(), lambda x: mpmath.diff(lambda t: t / (1 + mpmath.exp(-t)), x), 2.4),
    ],
)
def test_the_largest_slopes_of_gelu_and_silu(phi, derivative, start):
    with mpmath.workdps(30):
        peak = mpmath.findroot(lambda x: mpmath.diff(derivative, x), start)
        assert transmission(phi).beta == pytest.approx(float(derivative(peak) ** 2), rel=1e-14)


def test_pairs_of_any_points_obey_the_constants():
    x = torch.linspace(-6, 6, 200, dtype=torch.float64)
    for phi in KNOWN:
        alpha, beta = transmission(phi)
        moved = (phi(x)[:, None] - phi(x)).square()
        square = (x[:, None] - x).square()
        assert (moved >= alpha * square - 1e-12).all() and (moved <= beta * square + 1e-12).all(), phi


def test_a_decreasing_nonlinearity_has_negative_slopes_and_the_same_constants():
    assert transmission(torch.neg) == estimate_transmission(torch.neg) == (1.0, 1.0)


def test_what_is_not_known_can_be_measured_and_passed_on():
    def half(z):
        return z / 2

    with pytest.raises(ValueError, match="the transmission constants of half are not known here: pass trans"):
        transmission(half)
    eye = [torch.eye(2)]
    with pytest.raises(ValueError, match="pass transmission=Transmission"):
        functional_bound(eye, eye, torch.ones(2), nonlinearity=half)
    given = estimate_transmission(half)
    assert given == pytest.approx((0.25, 0.25))
    bound = functional_bound(eye, [torch.eye(2) * 2], torch.ones(2), nonlinearity=half, transmission=given)
    assert bound.bound.item() == pytest.approx(4) and bound.measured.item() == pytest.approx(1)


def test_a_nonlinearity_that_works_in_place_is_measured_like_any_other():
    for inplace in (True, False):
        assert estimate_transmission(nn.LeakyReLU(0.5, inplace=inplace)) == pytest.approx((0.25, 1.0))


@pytest.mark.parametrize("given", [(-1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_constants_that_are_none_are_refused(given):
    eye = [torch.eye(2)]
    with pytest.raises(ValueError, match=r"transmission is .*: give 0 <= alpha <= beta, both finite"):
        functional_bound(eye, eye, torch.ones(2), nonlinearity=torch.tanh, transmission=Transmission(*given))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transmission(nn.PReLU()), "of PReLU are not known"),
        (lambda: transmission(nn.GELU("tanh")), "of GELU are not known"),
        (lambda: transmission(3), "of int are not known"),
        (
            lambda: estimate_transmission(torch.tanh, 1, 1),
            "the interval from 1 to 1 is empty: give low < high",
        ),
        (lambda: estimate_transmission(torch.tanh, 0, float("inf")), "the interval from 0 to inf is empty"),
        (lambda: estimate_transmission(torch.tanh, 0, 1, 1), "1 points make no slope: give at least 2"),
        (lambda: estimate_transmission(torch.log), "log is not finite between -10 and 10"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
