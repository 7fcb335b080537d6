"""Singular values against 50 digits, condition numbers of every shape, and what is refused."""

import re

import mpmath
import pytest
import torch
from torch import nn

from fromage_edu.networks import Perceptron
from fromage_edu.optim import fromage_update, relative_change
from fromage_edu.spectra import (
    condition_number,
    operator_norm,
    relative_operator_sizes,
    singular_values,
    spectral_shift,
)

SHAPES = [(1, 1), (3, 3), (5, 2), (2, 5), (1, 4)]


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(matrix):
    with mpmath.workdps(50):
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        return sorted(map(float, mpmath.svd_r(mpmath.matrix(tall.tolist()), compute_uv=False)), reverse=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_match_the_oracle(shape):
    matrix = gaussian(*shape)
    expected = oracle(matrix)
    assert singular_values(matrix).tolist() == pytest.approx(expected, rel=1e-12)
    assert operator_norm(matrix).item() == pytest.approx(expected[0])
    assert condition_number(matrix).item() == pytest.approx(expected[0] / expected[-1], rel=1e-11)


def test_a_unit_ball_becomes_an_ellipsoid_with_these_axes():
    matrix, x = gaussian(3, 4), gaussian(10_000, 4, seed=1)
    stretch = (x @ matrix.T).norm(dim=-1) / x.norm(dim=-1)
    largest = operator_norm(matrix)
    assert (stretch <= largest * (1 + 1e-12)).all() and stretch.max() > 0.97 * largest
    # A wide matrix maps some directions to almost nothing; its condition number does not see them.
    assert stretch.min() < 0.1 * singular_values(matrix)[-1]


@pytest.mark.result("F14")
def test_gaussian_matrices_have_a_finite_condition_number_and_square_ones_the_worst():
    square, tall, wide = (condition_number(gaussian(300, *shape)) for shape in [(16, 16), (64, 16), (16, 64)])
    assert all(group.isfinite().all() and (group >= 1).all() for group in (square, tall, wide))
    assert square.median() > 5 * tall.median() and tall.max() < 10
    assert wide.median().item() == pytest.approx(tall.median().item(), rel=0.1)


@pytest.mark.parametrize(
    ("matrix", "kappa"),
    [
        (torch.eye(3), 1),
        (torch.zeros(2, 2), torch.inf),
        (torch.ones(2, 3), torch.inf),
        (torch.tensor([[1.0, 0.0]]), 1),
        (torch.diag(torch.tensor([1.0, 1e-10])), 1e10),
        (torch.diag(torch.tensor([1.0, 1e-30])), torch.inf),
        (torch.diag(torch.tensor([1e-300, 1e-301], dtype=torch.float64)), 10),
    ],
)
def test_condition_numbers(matrix, kappa):
    assert condition_number(matrix).item() == pytest.approx(kappa)


def test_batches_precision_and_gradients():
    matrices = gaussian(2, 3, 4, 5)
    assert singular_values(matrices).shape == (2, 3, 4) and condition_number(matrices).shape == (2, 3)
    assert operator_norm(matrices[0, 0].half()).dtype == torch.float32
    assert condition_number(torch.tensor([[2, 0], [0, 1]])).item() == 2
    for function in (singular_values, operator_norm, condition_number):
        assert torch.autograd.gradcheck(function, gaussian(3, 2).requires_grad_())
    for shape in [(2, 2), (3, 2)]:
        alike = torch.eye(*shape, dtype=torch.float64).requires_grad_()
        condition_number(alike).backward()
        assert alike.grad.isfinite().all()


@pytest.mark.result("X1")
def test_relative_operator_sizes():
    before, after = [gaussian(3, 2), gaussian(4, 3)], [gaussian(3, 2, seed=1), gaussian(4, 3, seed=2)]
    expected = [oracle(b - a)[0] / oracle(a)[0] for a, b in zip(before, after, strict=True)]
    assert relative_operator_sizes(before, after).tolist() == pytest.approx(expected)
    network = Perceptron([3, 4, 2])
    changed = Perceptron([3, 4, 2])
    sizes = relative_operator_sizes(network, changed)
    assert sizes.shape == (2,) and sizes.dtype == torch.float32 and sizes.requires_grad
    assert relative_operator_sizes([gaussian(5, 2, 3)], [gaussian(5, 2, 3)]).tolist() == [[0]] * 5
    zeros = torch.zeros(2, 2)
    assert relative_operator_sizes([zeros, zeros], [zeros, zeros + 1]).tolist() == [0, torch.inf]


@pytest.mark.result("F27")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1e-3, 0.5, 10.0])
def test_the_spectral_shift_matches_the_oracle_and_mirskys_bound(shape, size):
    for seed in range(5):
        before, after = gaussian(*shape, seed=seed), gaussian(*shape, seed=seed)
        after = after + size * gaussian(*shape, seed=seed + 100)
        old, new = oracle(before), oracle(after)
        expected = (sum((b - a) ** 2 for a, b in zip(old, new, strict=True)) / sum(a * a for a in old)) ** 0.5
        shift = spectral_shift(before, after).item()
        assert shift == pytest.approx(expected, rel=1e-9)
        assert shift <= ((after - before).norm() / before.norm()).item() * (1 + 1e-9)


@pytest.mark.result("F27")
@pytest.mark.parametrize("lr", [0.01, 0.1, 0.5])
def test_a_step_of_fromage_moves_the_spectrum_by_its_relative_change_at_most(lr):
    """Which is η to first order, and can be more: A17."""
    for seed in range(20):
        weight, grad = gaussian(2, 6, 4, seed=seed)
        cosine = (weight * grad).sum() / weight.norm() / grad.norm()
        shift = spectral_shift(weight, fromage_update(weight, grad, lr))
        assert shift <= relative_change(lr, cosine) * (1 + 1e-12)
        assert relative_change(lr, cosine) <= lr + lr**2 / 2
        plain = spectral_shift(weight, fromage_update(weight, grad, lr, norm_correction=False))
        assert plain <= lr * (1 + 1e-12)
    one = torch.ones(1, 1, dtype=torch.float64)
    shift = spectral_shift(one, fromage_update(one, one, 0.01)).item()
    assert shift == pytest.approx(0.0100495, abs=1e-7) and shift > 0.01
    assert shift == pytest.approx(relative_change(0.01, 1.0).item(), rel=1e-12)


@pytest.mark.result("F27")
def test_a_constructed_step_within_the_bound_ruins_the_condition_number():
    """A20: the shift is bounded as a whole, and the smallest singular value may pay all of it."""
    weight = torch.diag(torch.tensor([1.0, 0.01], dtype=torch.float64))
    grad = torch.diag(torch.tensor([0.0, 1.0], dtype=torch.float64))
    after = fromage_update(weight, grad, 0.01)
    assert spectral_shift(weight, after) <= 0.01 + 0.01**2 / 2
    assert condition_number(weight).item() == pytest.approx(100)
    # 0.01 − η·√(1 + 10⁻⁴) = −5·10⁻⁷ is left of the smaller one.
    expected = 1 / (0.01 * ((1 + 1e-4) ** 0.5 - 1))
    assert condition_number(after).item() == pytest.approx(expected, rel=1e-8) == pytest.approx(2e6, rel=1e-3)
    # In a random direction nothing of the kind happens.
    other = fromage_update(weight, gaussian(2, 2), 0.01)
    assert condition_number(other) < 1000


@pytest.mark.result("F27")
def test_spectral_shifts_of_batches_zeros_and_scales():
    before, after = gaussian(2, 3, 4, 5), gaussian(2, 3, 4, 5, seed=1)
    assert spectral_shift(before, after).shape == (2, 3)
    assert spectral_shift(before, after)[1, 2] == spectral_shift(before[1, 2], after[1, 2])
    rotated = torch.linalg.qr(gaussian(4, 4))[0] @ before
    assert spectral_shift(before, rotated).max() < 1e-14
    zeros = torch.zeros(2, 2)
    assert spectral_shift(zeros, zeros) == 0 and spectral_shift(zeros, zeros + 1) == torch.inf
    for scale in (1e-200, 1e200):
        scaled = spectral_shift(before * scale, after * scale)
        torch.testing.assert_close(scaled, spectral_shift(before, after))
    assert spectral_shift(before.half(), after.half()).dtype == torch.float32
    assert torch.autograd.gradcheck(spectral_shift, [gaussian(3, 2, seed=s).requires_grad_() for s in (0, 1)])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: spectral_shift(torch.ones(2, 2), torch.ones(3, 2)),
            ValueError,
            "`before` is 2 x 2 and `after` 3 x 2: compare matrices of one shape",
        ),
        (lambda: spectral_shift(torch.ones(2, 2), 3), TypeError, "`after` is a int: give a tensor of shape"),
        (lambda: singular_values([[1.0]]), TypeError, "matrix is a list: give a tensor of shape (..., m, n)"),
        (
            lambda: operator_norm(torch.ones(3)),
            ValueError,
            "matrix has shape (3,): give a matrix (..., m, n)",
        ),
        (lambda: condition_number(torch.ones(2, 0)), ValueError, "matrix has shape (2, 0): give a matrix"),
        (lambda: singular_values(torch.ones(2, 2) * 1j), TypeError, "matrix is torch.complex64: give real"),
        (lambda: singular_values(torch.ones(2, 2) * torch.nan), ValueError, "matrix holds NaN or infinity"),
        (
            lambda: relative_operator_sizes([torch.ones(2, 2)], []),
            ValueError,
            "`after` has no layers: give at least one matrix",
        ),
        (
            lambda: relative_operator_sizes([torch.ones(2, 2)], [torch.ones(2, 3)]),
            ValueError,
            "layer 1 is 2 x 2 before and 2 x 3 after: compare networks of one shape",
        ),
        (
            lambda: relative_operator_sizes(nn.Linear(2, 2), nn.Linear(2, 2)),
            TypeError,
            "`before` is a Linear: give a Perceptron or its matrices [W_1, W_2, …]",
        ),
        (
            lambda: relative_operator_sizes([torch.ones(2, 2), 3], [torch.ones(2, 2)] * 2),
            TypeError,
            "layer 2 of `before` is a int: give a tensor",
        ),
        (
            lambda: spectral_shift(torch.ones(4, 2, 2), torch.ones(5, 2, 2)),
            ValueError,
            "`before` holds (4,) matrices and `after` (5,): compare as many with as many, or one with all",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
