"""Lemmas 1, 3, 4 and 5 against 60 digits, at their sharpest, and where the print fails."""

import math
import re

import mpmath
import pytest
import slow
import torch
from mpmath import mp

from fromage_edu.bounds import (
    HypothesisError,
    is_valley,
    matmat_bounds,
    matvec_bounds,
    product_bound,
    sum_bound,
)

DOUBLE = {"dtype": torch.float64}


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **DOUBLE)


@pytest.mark.result("F34", "F37")
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 2), (8, 3)])
def test_lemmas_1_and_4_match_the_oracle_and_hold(shape):
    for seed in range(5):
        matrix, x = gaussian(*shape, seed=seed), gaussian(shape[1], seed=seed + 100)
        columns = gaussian(shape[1], 4, seed=seed + 200)
        with mp.workdps(slow.DIGITS):
            m = slow.exact(matrix)
            constant = min(shape) * slow.kappa(m) ** 2
            for result, right in ((matvec_bounds(matrix, x), x), (matmat_bounds(matrix, columns), columns)):
                right = slow.exact(right)
                high = slow.norm(m) ** 2 * slow.norm(right) ** 2
                expected = (high / constant, slow.norm(m * right) ** 2, high)
                assert [side.item() for side in result] == pytest.approx(
                    [float(e) for e in expected], rel=1e-10
                )
                assert result.holds


@pytest.mark.result("F34")
def test_lemma_1_is_sharp_on_both_sides():
    identity = matvec_bounds(torch.eye(3, **DOUBLE), gaussian(3))
    assert identity.low.item() == pytest.approx(identity.value.item())
    one = matvec_bounds(torch.tensor([[3.0], [4.0]]), torch.tensor([2.0]))
    assert one.value.item() == pytest.approx(one.high.item()) == pytest.approx(100)


@pytest.mark.result("F34")
def test_lemma_1_as_printed_fails_for_wide_matrices():
    bounds = matvec_bounds(gaussian(1000, 3, 8), gaussian(1000, 8, seed=1), as_printed=True)
    assert 250 < (~bounds.holds).sum() < 450
    tall = matvec_bounds(gaussian(1000, 8, 3), gaussian(1000, 3, seed=1))
    assert tall.holds.all()
    smallest = matvec_bounds(torch.tensor([[1.0, 0.0]]), torch.tensor([0.0, 1.0]), as_printed=True)
    assert [side.item() for side in smallest] == [1, 0, 1] and not smallest.holds


@pytest.mark.result("F34", "F37")
def test_a_wide_matrix_is_fine_on_its_row_space_and_for_too_low_a_rank():
    wide = gaussian(3, 8)
    assert matvec_bounds(wide, wide.T @ gaussian(3)).holds
    assert matmat_bounds(wide, wide.T @ gaussian(3, 2)).holds
    assert matvec_bounds(wide.float(), wide.T.float() @ gaussian(3).float()).holds
    flat = matvec_bounds(torch.ones(2, 5), gaussian(5).float())
    assert flat.low == 0 and flat.holds
    with pytest.raises(HypothesisError, match=re.escape("the matrix is wide (3 x 8): Lemma 1's lower bound")):
        matvec_bounds(wide, gaussian(8))
    with pytest.raises(
        HypothesisError, match=re.escape("Lemma 4's lower bound needs rows >= columns, or X in")
    ):
        matmat_bounds(wide, gaussian(8, 2))


@pytest.mark.result("F36")
def test_lemma_3():
    matrices = gaussian(7, 4, 3)
    bound = sum_bound(matrices)
    with mp.workdps(slow.DIGITS):
        parts = [slow.exact(matrix) for matrix in matrices]
        expected = slow.norm(sum(parts[1:], parts[0])) ** 2, 7 * mp.fsum(slow.norm(p) ** 2 for p in parts)
    assert [side.item() for side in bound] == pytest.approx([float(side) for side in expected], rel=1e-12)
    assert bound.holds and sum_bound([matrices[0]] * 5).slack.item() == pytest.approx(1)
    assert sum_bound(gaussian(3, 6, 2, 2)).bound.shape == (6,)
    assert sum_bound([torch.zeros(2, 2)]).holds


@pytest.mark.result("F38", "X7")
@pytest.mark.parametrize("widths", [[2, 2], [1, 3, 4], [4, 3, 1], [4, 2, 2, 5], [3, 1, 2], [3, 3, 3, 3]])
def test_lemma_5_matches_the_oracle_and_holds_in_a_valley(widths):
    assert is_valley(widths)
    for seed in range(4):
        before, after, _ = slow.random_pair(widths, seed)
        with mp.workdps(slow.DIGITS):
            old, new = [slow.exact(w) for w in before], [slow.exact(w) for w in after]
            changes = [b - a for a, b in zip(old, new, strict=True)]
            size = slow.norm(slow.product(old))
            measured = (slow.norm(slow.product(new) - slow.product(old)) / size) ** 2
            costs = [min(w.rows, w.cols) * slow.kappa(w) ** 2 for w in old]
            pivots = [j for j in range(len(old)) if allowed(widths, j)]
            constant = min(mp.fprod(c for i, c in enumerate(costs) if i != j) for j in pivots)
            trust = slow.trust(old, changes)
            repaired = (2 ** len(old) - 1) * constant * trust
            printed = 2 ** len(old) * mp.fprod(costs) * trust
        bound, as_printed = product_bound(before, after), product_bound(before, after, as_printed=True)
        assert bound.measured.item() == pytest.approx(float(measured), rel=1e-9)
        assert bound.bound.item() == pytest.approx(float(repaired), rel=1e-9)
        assert as_printed.bound.item() == pytest.approx(float(printed), rel=1e-9)
        assert bound.holds and as_printed.holds and bound.bound <= as_printed.bound


def allowed(widths, pivot):
    below = all(a >= b for a, b in zip(widths[:pivot], widths[1 : pivot + 1], strict=False))
    above = all(a <= b for a, b in zip(widths[pivot + 1 :], widths[pivot + 2 :], strict=False))
    return below and above


@pytest.mark.result("F38")
@pytest.mark.parametrize(("eps", "measured", "printed"), [(0.1, 1.0, 0.0396), (0.001, 1e4, 0.04)])
def test_lemma_5_as_printed_fails_on_the_smallest_hill(eps, measured, printed):
    before = [torch.tensor([[1.0], [0.0]], **DOUBLE), torch.tensor([[eps, 1.0]], **DOUBLE)]
    after = [before[0], before[1] + torch.tensor([[0.1, 0.0]], **DOUBLE)]
    bound = product_bound(before, after, as_printed=True)
    assert bound.measured.item() == pytest.approx(measured, rel=1e-6)
    assert bound.bound.item() == pytest.approx(printed, rel=1e-3) and not bound.holds
    with pytest.raises(
        HypothesisError, match=re.escape("layer 1 is tall (2 x 1) and layer 2 above it wide (1 x")
    ):
        product_bound(before, after)


@pytest.mark.result("F38")
def test_the_pivot_may_have_any_rank_but_only_one_layer_may():
    flat = torch.ones(2, 2, **DOUBLE)
    before = [gaussian(2, 2), flat, gaussian(3, 2, seed=1)]
    after = [each + 0.1 * gaussian(*each.shape, seed=2) for each in before]
    assert product_bound(before, after).holds
    assert product_bound(before, after, as_printed=True).bound == torch.inf
    with pytest.raises(
        HypothesisError, match="layers without full rank: 1, 2: Lemma 5 needs full rank in all"
    ):
        product_bound([flat, flat], [flat, flat])


@pytest.mark.result("F38")
def test_lemma_5_at_depth_50_needs_decades():
    before = [gaussian(8, 8, seed=seed) for seed in range(50)]
    after = [each + 0.1 * gaussian(8, 8, seed=99) for each in before]
    decades, plain = product_bound(before, after, log10=True), product_bound(before, after, as_printed=True)
    costs = [math.log10(8) + 2 * torch.linalg.cond(each).log10().item() for each in before]
    trust = sum(math.log1p((0.1 * gaussian(8, 8, seed=99).norm() / e.norm()).item() ** 2) for e in before)
    constant = sum(costs) - max(costs) + 50 * math.log10(2)
    assert decades.bound.item() == pytest.approx(constant + math.log10(math.expm1(trust)), rel=1e-6)
    assert decades.holds and decades.measured.item() == pytest.approx(plain.measured.log10().item())
    assert plain.holds


@pytest.mark.result("X7")
@pytest.mark.parametrize(
    ("widths", "valley"),
    [([1], True), ([5, 3, 1], True), ([1, 3, 5], True), ([4, 4], True), ([5, 2, 2, 5], True)]
    + [([1, 2, 1], False), ([3, 5, 5, 4], False), ([5, 2, 4, 3], False)],
)
def test_valleys(widths, valley):
    assert is_valley(widths) is valley
    assert valley == any(allowed(widths, pivot) for pivot in range(len(widths) - 1)) or len(widths) == 1


def test_many_matrices_at_once_are_each_their_own():
    before, after = [gaussian(6, 3, 3), gaussian(6, 4, 3, seed=1)], [gaussian(6, 3, 3, seed=2)] * 1
    after.append(before[1] * 1.1)
    together = product_bound(before, after)
    for index in range(6):
        alone = product_bound([w[index] for w in before], [w[index] for w in after])
        torch.testing.assert_close(tuple(side[index] for side in together), tuple(alone))
    x = gaussian(6, 3)
    torch.testing.assert_close(matvec_bounds(before[0], x).low[2], matvec_bounds(before[0][2], x[2]).low)


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e140])
def test_scales_cancel_in_relative_bounds(scale):
    before, after, _ = slow.random_pair([3, 3, 4], 0)
    plain = product_bound(before, after)
    scaled = product_bound([before[0] * scale, before[1] / scale], [after[0] * scale, after[1] / scale])
    torch.testing.assert_close(tuple(plain), tuple(scaled))


@pytest.mark.parametrize("factor", [1e-200, 3.0, 1e200])
def test_only_the_ratio_of_products_must_fit_float64(factor):
    depth = 1000 if factor == 3 else 4
    before = [torch.eye(2, dtype=torch.float64) * factor] * depth
    bound = product_bound(before, [1.1 * w for w in before], log10=True)
    assert bound.measured.item() == pytest.approx(2 * math.log10(1.1**depth - 1)) and bound.holds


def test_changes_that_leave_float64():
    tiny, one = torch.full((1, 1), 1e-200, dtype=torch.float64), torch.ones(1, 1)
    bound = product_bound([tiny], [one], log10=True)
    assert bound.measured.item() == pytest.approx(400) and bound.bound.item() == pytest.approx(400)
    with pytest.raises(ValueError, match="the product of the matrices leaves float64"):
        product_bound([one] * 2000, [2 * one] * 2000, log10=True)


def test_precision_and_gradients():
    before, after, x = slow.random_pair([2, 2, 3], 0)
    single = product_bound([w.float() for w in before], [w.float() for w in after])
    assert single.bound.dtype == torch.float32 and single.holds
    assert matvec_bounds(before[0].half(), x.half()).value.dtype == torch.float32
    inputs = [each.clone().requires_grad_() for each in (*before, *after)]
    assert torch.autograd.gradcheck(lambda *each: tuple(product_bound(each[:2], each[2:])), inputs)
    pair = [before[1].clone().requires_grad_(), x.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda *each: tuple(matvec_bounds(*each)), pair)
    assert torch.autograd.gradcheck(
        lambda *each: tuple(sum_bound(each)), [w.requires_grad_() for w in before[:1]]
    )


EYE = torch.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: matvec_bounds(EYE, [1.0, 2.0]),
            TypeError,
            "x is no vector: give a tensor of shape (..., n)",
        ),
        (lambda: matvec_bounds(EYE, torch.ones(3)), ValueError, "M is 2 x 2 and x has 3 rows: M needs one"),
        (lambda: matvec_bounds([[1.0]], torch.ones(1)), TypeError, "M is a list: give a tensor of shape"),
        (
            lambda: matvec_bounds(EYE * 1j, torch.ones(2)),
            TypeError,
            "M is torch.complex64: give real numbers",
        ),
        (lambda: matvec_bounds(torch.ones(2), torch.ones(2)), ValueError, "M has shape (2,): give a matrix"),
        (
            lambda: matvec_bounds(torch.ones(0, 2), torch.ones(2)),
            ValueError,
            "M has shape (0, 2): give a matrix",
        ),
        (lambda: matmat_bounds(EYE, EYE * torch.nan), ValueError, "X holds NaN or infinity: give finite"),
        (lambda: sum_bound(3), TypeError, "matrices is a int: give a sequence of tensors"),
        (lambda: matvec_bounds(EYE.to_sparse(), EYE[0]), TypeError, "M is torch.sparse_coo: convert it with"),
        (
            lambda: matvec_bounds(EYE.to(torch.float8_e4m3fn), EYE[0]),
            TypeError,
            "M is torch.float8_e4m3fn: give",
        ),
        (lambda: sum_bound([]), ValueError, "there are no matrices to add: give at least one"),
        (
            lambda: sum_bound([EYE, torch.ones(3, 3)]),
            ValueError,
            "matrix 2 has shape (3, 3) and matrix 1 (2, 2)",
        ),
        (lambda: product_bound([], []), ValueError, "`matrices` has no layers: give at least one matrix"),
        (
            lambda: product_bound(EYE, EYE),
            TypeError,
            "`matrices` is a Tensor: give a Perceptron or its matrices",
        ),
        (lambda: product_bound([EYE], [EYE] * 2), ValueError, "`before` has 1 layers and `after` has 2"),
        (
            lambda: product_bound([EYE], [torch.ones(3, 2)]),
            ValueError,
            "layer 1 is 2 x 2 before and 3 x 2 after",
        ),
        (
            lambda: product_bound([EYE, torch.ones(2, 3)], [EYE, torch.ones(2, 3)]),
            ValueError,
            "layer 1 of `matrices` returns 2 numbers and layer 2 takes 3: give the matrices first",
        ),
        (
            lambda: product_bound([EYE * 0], [EYE]),
            HypothesisError,
            "layer 1 is 0: a relative change needs non-zero matrices",
        ),
        (
            lambda: product_bound(
                [torch.tensor([[1.0], [0]]), torch.tensor([[0.0, 1]])], [EYE[:, :1], EYE[:1]]
            ),
            HypothesisError,
            "the product of the matrices is 0: its relative change is not defined",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_oracle_itself():
    assert float(slow.kappa(mpmath.matrix([[3, 0], [0, 4]]))) == pytest.approx(4 / 3)
