"""The steepest step in four norms: no other of its size does better, and the names it goes by."""

import re
from functools import partial

import pytest
import scipy.linalg
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fromage_edu.optim import fromage_update, polar_factor, steepest_step

NORMS = ["frobenius", "operator", "max", "rows"]


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(changes, weight, norm):
    """Sizes of changes (N, m, n) relative to W in a norm, straight from its definition."""
    changes = changes.reshape(-1, *weight.shape)
    if norm == "frobenius":
        return changes.flatten(1).norm(dim=1) / weight.norm()
    if norm == "operator":
        return torch.linalg.matrix_norm(changes, 2) / torch.linalg.matrix_norm(weight, 2)
    if norm == "max":
        return changes.abs().flatten(1).amax(1) / weight.abs().max()
    return (changes.norm(dim=2) / weight.norm(dim=1)).amax(1)


def least(weight, grad, norm):
    """Least value of ⟨g, ΔW⟩ over all changes of relative size 1: by the dual norm of g."""
    if norm == "frobenius":
        return -weight.norm() * grad.norm()
    if norm == "operator":
        return -torch.linalg.matrix_norm(weight, 2) * torch.linalg.svdvals(grad).sum()
    if norm == "max":
        return -weight.abs().max() * grad.abs().sum()
    return -(weight.norm(dim=1) * grad.norm(dim=1)).sum()


# --- The best of its size -------------------------------------------------------------------------------


@pytest.mark.result("X8")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 2), (2, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("lr", [1e-3, 0.5])
def test_it_has_the_size_and_reaches_the_least_value(norm, shape, lr):
    for seed in range(5):
        weight, grad = gaussian(2, *shape, seed=seed)
        step = steepest_step(weight, grad, lr, norm=norm)
        assert relative(step, weight, norm).item() == pytest.approx(lr, rel=1e-12)
        assert (grad * step).sum().item() == pytest.approx(lr * least(weight, grad, norm).item(), rel=1e-12)


@pytest.mark.result("X8")
@pytest.mark.parametrize("norm", NORMS)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
def test_no_other_of_its_size_does_better(norm, rows, columns, seed):
    weight, grad = gaussian(2, rows, columns, seed=seed)
    step = steepest_step(weight, grad, 0.1, norm=norm)
    others = gaussian(200, rows, columns, seed=seed + 1)
    # Far away, and close to the step.
    for candidates in (others, step / step.norm() + 0.05 * others):
        candidates = 0.1 * candidates / relative(candidates, weight, norm).view(-1, 1, 1)
        values = (grad * candidates).flatten(1).sum(1)
        assert (values >= (grad * step).sum() * (1 + 1e-12)).all()


@pytest.mark.result("X8")
@pytest.mark.parametrize("norm", NORMS)
def test_a_search_that_knows_only_the_norm_finds_it(norm):
    """Least ⟨g, ΔW⟩ over relative size 1: ⟨g, ΔW⟩/size is least where it is, without constraints."""
    weight, grad = gaussian(2, 2, 2, seed=5)

    def ratio(flat):
        change = torch.as_tensor(flat).view(2, 2)
        return ((grad * change).sum() / relative(change, weight, norm)[0]).item()

    found = scipy.optimize.differential_evolution(ratio, [(-1, 1)] * 4, rng=0, maxiter=150, polish=False)
    mine = ratio(steepest_step(weight, grad, 0.1, norm=norm).flatten())
    assert mine <= found.fun * (1 - 1e-12) and mine == pytest.approx(found.fun, rel=1e-2)


# --- Frobenius, max and rows ------------------------------------------------------------------------------


@pytest.mark.result("F23", "X8")
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 3, 3)])
def test_in_the_frobenius_norm_it_is_fromage_without_its_correction(shape):
    weight, grad = gaussian(2, *shape)
    step = steepest_step(weight, grad, 0.01)
    new = fromage_update(weight, grad, 0.01, norm_correction=False)
    torch.testing.assert_close(weight + step, new, rtol=1e-14, atol=1e-15)


@pytest.mark.result("X8")
def test_in_the_max_norm_it_is_sign_descent_which_is_adams_first_step():
    weight, grad = gaussian(2, 3, 4)
    step = steepest_step(weight, grad, 0.1, norm="max")
    assert step.equal(-0.1 * weight.abs().max() * grad.sign())
    moved = nn.Parameter(weight.clone())
    moved.grad = grad.clone()
    torch.optim.Adam([moved], lr=(0.1 * weight.abs().max()).item(), betas=(0.0, 0.0), eps=0.0).step()
    torch.testing.assert_close(moved.detach() - weight, step)


@pytest.mark.result("X8")
def test_by_rows_each_neuron_takes_a_step_of_its_own():
    weight, grad = gaussian(2, 3, 4)
    step = steepest_step(weight, grad, 0.1, norm="rows")
    alone = [steepest_step(w, g, 0.1) for w, g in zip(weight, grad, strict=True)]
    assert step.equal(torch.stack(alone))
    scaled = steepest_step(weight, grad * torch.tensor([[1e-9], [1.0], [1e9]]), 0.1, norm="rows")
    torch.testing.assert_close(scaled, step)  # blind to the scale of each row's gradient
    filters = steepest_step(weight.view(3, 2, 2, 1), grad.view(3, 2, 2, 1), 0.1, norm="rows")
    torch.testing.assert_close(filters.view(3, 4), step)


# --- The polar factor -----------------------------------------------------------------------------------


@pytest.mark.result("X8")
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (6, 3), (3, 6)])
def test_the_polar_factor_is_scipys_and_orthogonal(shape):
    for seed in range(5):
        matrix = gaussian(*shape, seed=seed)
        factor = polar_factor(matrix)
        side = "right" if shape[0] >= shape[1] else "left"
        expected = torch.tensor(scipy.linalg.polar(matrix.numpy(), side=side)[0])
        torch.testing.assert_close(factor, expected, rtol=0, atol=1e-12)
        gram = factor.T @ factor if shape[0] >= shape[1] else factor @ factor.T
        torch.testing.assert_close(gram, torch.eye(min(shape)).double(), rtol=0, atol=1e-14)
        # M = Q·H with a symmetric H without negative eigenvalues.
        stretch = factor.T @ matrix
        torch.testing.assert_close(stretch, stretch.T, rtol=0, atol=1e-13)
        assert torch.linalg.eigvalsh((stretch + stretch.T) / 2).min() > -1e-13
        torch.testing.assert_close(polar_factor(-1e9 * matrix), -factor, rtol=0, atol=1e-12)


@pytest.mark.result("X8")
def test_it_is_the_nearest_matrix_with_orthonormal_columns():
    matrix = gaussian(4, 3)
    distance = (matrix - polar_factor(matrix)).norm()
    others = torch.linalg.qr(
        polar_factor(matrix) + gaussian(500, 4, 3, seed=1) * torch.logspace(-3, 1, 500).view(-1, 1, 1)
    )
    signed = others.Q * others.R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    assert ((matrix - signed).flatten(1).norm(dim=1) >= distance * (1 - 1e-12)).all()


@pytest.mark.result("X8")
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_gradient_of_lower_rank_gets_the_least_of_all_best_steps(rank):
    weight, grad = gaussian(5, 3), gaussian(5, rank, seed=1) @ gaussian(rank, 3, seed=2)
    factor = polar_factor(grad)
    assert torch.linalg.svdvals(factor).tolist() == pytest.approx([1] * rank + [0] * (3 - rank), abs=1e-12)
    step = steepest_step(weight, grad, 0.1, norm="operator")
    assert (grad * step).sum().item() == pytest.approx(
        0.1 * least(weight, grad, "operator").item(), abs=1e-12
    )
    if rank:
        # Filled up with any direction outside, it is no better and no larger in the norm: there are many.
        u, _, vt = torch.linalg.svd(grad, full_matrices=False)
        filled = -0.1 * torch.linalg.matrix_norm(weight, 2) * u @ vt
        assert (grad * filled).sum().item() == pytest.approx((grad * step).sum().item(), rel=1e-12)
        assert (
            relative(filled, weight, "operator").item() == pytest.approx(0.1) and filled.norm() > step.norm()
        )


def muon_step(grad, **options):
    """The step of torch's Muon for lr 1 from 0, without momentum, decay and its factor for tall matrices."""
    weight = nn.Parameter(torch.zeros_like(grad))
    weight.grad = grad.clone()
    torch.optim.Muon([weight], lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, **options).step()
    return weight.detach() / max(1.0, grad.shape[0] / grad.shape[1]) ** 0.5


@pytest.mark.result("X8")
@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon")
@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (16, 16), (128, 32)])
def test_muon_steps_along_the_polar_factor(shape):
    grad = gaussian(*shape).float()
    factor = polar_factor(grad)
    # An iteration that converges, in the bfloat16 of Muon: the polar factor to its three digits.
    exact = -muon_step(grad, ns_coefficients=(15 / 8, -5 / 4, 3 / 8), ns_steps=20)
    assert (exact - factor).norm() < 0.02 * factor.norm()
    # Its own coefficients stop early: the same singular directions, singular values of about 0.7 to 1.2.
    rough = -muon_step(grad)
    u, values, vt = torch.linalg.svd(grad, full_matrices=False)
    stretched = u.T @ rough @ vt.T
    assert (stretched - stretched.diagonal().diag()).norm() < 0.05 * stretched.norm()
    assert 0.6 < stretched.diagonal().min() and stretched.diagonal().max() < 1.25
    assert (rough * factor).sum() > 0.97 * rough.norm() * factor.norm()
    # Scaling the gradient changes neither.
    torch.testing.assert_close(-muon_step(1e3 * grad), rough, rtol=0, atol=0.02)


@pytest.mark.result("X8")
def test_relative_and_muons_steps_differ_by_the_layers_norm_only():
    weight, grad = gaussian(2, 4, 3)
    step = steepest_step(weight, grad, 0.02, norm="operator")
    torch.testing.assert_close(step, -0.02 * torch.linalg.matrix_norm(weight, 2) * polar_factor(grad))
    torch.testing.assert_close(steepest_step(7 * weight, 1e-5 * grad, 0.02, norm="operator"), 7 * step)


# --- Edges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_moves_without_a_weight_or_a_gradient(norm):
    one, zero = gaussian(3, 2), torch.zeros(3, 2).double()
    for weight, grad, lr in ((one, zero, 0.1), (zero, one, 0.1), (one, one, 0.0)):
        step = steepest_step(weight, grad, lr, norm=norm)
        assert step.equal(zero) and step.dtype == torch.float64
    if norm == "rows":
        half = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        assert steepest_step(half, torch.ones(2, 2), 0.1, norm=norm)[1].tolist() == [0, 0]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_precision_and_scales(norm, dtype):
    weight, grad = gaussian(2, 4, 3).to(dtype)
    step = steepest_step(weight, grad, 0.1, norm=norm)
    wide = steepest_step(weight.double(), grad.double(), torch.tensor([0.1], dtype=torch.float64), norm=norm)
    assert step.dtype == dtype and step.equal(wide.to(dtype))
    if dtype == torch.float32:
        scaled = steepest_step(weight * 1e-30, grad * 1e30, 0.1, norm=norm).double() * 1e30
        torch.testing.assert_close(scaled, wide, rtol=1e-5, atol=1e-7)


def test_batches_of_polar_factors():
    matrices = gaussian(2, 3, 5, 4)
    factors = polar_factor(matrices)
    torch.testing.assert_close(factors[1, 2], polar_factor(matrices[1, 2]))
    assert polar_factor(torch.zeros(2, 3)).equal(torch.zeros(2, 3))
    assert not polar_factor(matrices.requires_grad_()).requires_grad


@pytest.mark.parametrize("norm", ["frobenius", "max", "rows"])
def test_empty_tensors_stay(norm):
    assert steepest_step(torch.ones(0, 2), torch.ones(0, 2), 0.1, norm=norm).shape == (0, 2)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_whole_or_none(norm):
    weight, grad = (torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    if norm == "operator":
        assert not steepest_step(weight, grad, lr, norm=norm).requires_grad
    else:
        assert torch.autograd.gradcheck(partial(steepest_step, norm=norm), (weight, grad, lr))


ONE = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: steepest_step(ONE, ONE, 0.1, norm="nuclear"),
            ValueError,
            "norm is 'nuclear': choose one of frobenius, operator, max, rows",
        ),
        (lambda: steepest_step(ONE, ONE, 0.1, norm=["max"]), ValueError, "norm is ['max']: choose one of"),
        (lambda: steepest_step(ONE, ONE, 10**400), ValueError, "lr is inf: it must be finite and >= 0"),
        (lambda: steepest_step(ONE, ONE, -1.0), ValueError, "lr is -1.0: it must be finite and >= 0"),
        (lambda: steepest_step(ONE, ONE, "a"), TypeError, "lr is 'a': give a number"),
        (lambda: steepest_step(ONE, ONE[0], 0.1), ValueError, "weight has shape (2, 2) and grad (2,): they"),
        (
            lambda: steepest_step(ONE * 1j, ONE, 0.1),
            TypeError,
            "weight is torch.complex64: give real numbers",
        ),
        (
            lambda: steepest_step(ONE[0], ONE[0], 0.1, norm="operator"),
            ValueError,
            "weight has shape (2,): give a matrix",
        ),
        (
            lambda: steepest_step(ONE[None], ONE[None], 0.1, norm="operator"),
            ValueError,
            "weight has 3 dimensions: give a matrix, such as its .flatten(1)",
        ),
        (
            lambda: steepest_step(torch.tensor(1.0), torch.tensor(1.0), 0.1, norm="rows"),
            ValueError,
            "weight has no rows: give a tensor of shape (m, ...)",
        ),
        (lambda: polar_factor([[1.0]]), TypeError, "matrix is a list: give a tensor"),
        (lambda: polar_factor(ONE / 0), ValueError, "matrix holds NaN or infinity: give finite numbers"),
        (lambda: polar_factor(ONE[0]), ValueError, "matrix has shape (2,): give a matrix (..., m, n)"),
        (lambda: polar_factor(torch.ones(0, 2)), ValueError, "matrix has shape (0, 2): give a matrix"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
