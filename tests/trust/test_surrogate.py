"""The surrogate problem: its minimum by algebra, by search, and in the limit of many layers."""

import math
import re

import mpmath
import numpy
import pytest
import scipy.optimize
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from fromage_edu.optim import fromage_update
from fromage_edu.trust import (
    deep_relative_trust,
    descent_objective,
    hard_constraint_step,
    surrogate_objective,
    surrogate_sizes,
    surrogate_step,
    surrogate_trust,
)

DEPTHS = [1, 2, 5, 20]
SLOPES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12)


def two(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- The surrogate and the trust it stands for -----------------------------------------------------------


@pytest.mark.result("F21")
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 100.0])
def test_equal_sizes_over_the_power_of_figure_3(depth, size):
    with mpmath.workdps(50):
        power = mpmath.mpf(size) ** (2 * depth)
        ratio = float(((1 + mpmath.mpf(size) ** 2) ** depth - 1) / power)
    power = float(power)
    assert (surrogate_trust([size] * depth) / power).item() == pytest.approx(1, rel=1e-12)
    assert (deep_relative_trust([size] * depth) / power).item() == pytest.approx(ratio, rel=1e-12)


@pytest.mark.result("F21")
def test_the_ratio_of_the_two_falls_to_1_only_for_sizes_above_the_root_of_the_depth():
    depth = 20
    ratios = {
        size: (deep_relative_trust([size] * depth) / surrogate_trust([size] * depth)).item()
        for size in (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 20.0, 100.0)
    }
    values = list(ratios.values())
    assert values == sorted(values, reverse=True) and values[-1] > 1
    assert ratios[1.0] == 2**depth - 1
    assert [round(ratios[size], 2) for size in (2.0, 5.0, 10.0, 20.0)] == [86.74, 2.19, 1.22, 1.05]
    # e^(L/η²), but for η of a few units or less.
    assert ratios[100.0] == pytest.approx(math.exp(depth / 100**2), rel=1e-6)
    # And the difference does not vanish: it grows.
    gaps = [deep_relative_trust([s] * depth) - surrogate_trust([s] * depth) for s in (1.0, 2.0, 5.0, 10.0)]
    assert gaps == sorted(gaps)


@pytest.mark.result("F20")
def test_the_surrogate_is_no_bound():
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])
    assert [deep_relative_trust(one), surrogate_trust(one)] == [1, 0.5]
    assert [deep_relative_trust(other), surrogate_trust(other)] == [4, 8]


@pytest.mark.result("F20")
@given(st.lists(st.floats(0, 30), min_size=1, max_size=8), st.floats(0, 30))
def test_both_are_at_least_the_product_of_squares_and_equal_sizes_have_an_order(sizes, size):
    product = math.prod(size**2 for size in sizes)
    for trust in (deep_relative_trust, surrogate_trust):
        assert trust(sizes).item() >= product * (1 - 1e-12)
    equal = [size] * len(sizes)
    assert deep_relative_trust(equal) >= surrogate_trust(equal) * (1 - 1e-12)


@pytest.mark.result("F20")
def test_the_surrogate_of_two_layers_is_convex_and_splits_where_the_trust_does_not():
    r1, r2 = sympy.symbols("r1 r2", positive=True)
    surrogate, trust = (r1**4 + r2**4) / 2, (1 + r1**2) * (1 + r2**2) - 1
    assert sympy.diff(surrogate, r1, r2) == 0 and sympy.diff(trust, r1, r2) != 0
    assert sympy.hessian(surrogate, (r1, r2)).is_positive_definite


# --- The minimum ------------------------------------------------------------------------------------------


@pytest.mark.result("F22")
def test_the_derivation_by_algebra():
    weight, grad, eta, size = sympy.symbols("W g eta r", positive=True)
    depth = sympy.symbols("L", positive=True, integer=True)
    # One layer's term of the problem, with ΔW = −r·W·g/‖g‖; times η it depends on the slope alone.
    problem = -grad * weight * size + size ** (2 * depth) / depth / (2 * eta)
    slope = eta * weight * grad
    objective = -slope * size + size ** (2 * depth) / (2 * depth)
    assert sympy.simplify(eta * problem - objective) == 0
    best = slope ** (1 / (2 * depth - 1))
    for layers in range(1, 8):
        derivative = sympy.diff(objective.subs(depth, layers), size)
        at_best = derivative.subs(size, best.subs(depth, layers))
        assert sympy.simplify(sympy.expand_power_base(at_best, force=True)) == 0
        curvature = sympy.diff(derivative, size)
        assert curvature.is_positive  # so it is the only minimum over r > 0
    # The factor of −g as the paper prints it.
    printed = eta ** (1 / (2 * depth - 1)) * weight / grad * (weight * grad) ** (1 / (2 * depth - 1))
    assert sympy.simplify(sympy.expand_power_base(best * weight / grad - printed, force=True)) == 0


@pytest.mark.result("F22")
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("slope", [1e-3, 0.1, 1.0, 7.0, 1e3])
def test_the_sizes_match_a_search(depth, slope):
    def term(size):
        return -slope * size + size ** (2 * depth) / (2 * depth)

    # Around its least value the term is flat: a search finds the root of its derivative much better.
    found = scipy.optimize.brentq(
        lambda r: r ** (2 * depth - 1) - slope, 0, 1 + slope, xtol=1e-15, rtol=1e-14
    )
    size = surrogate_sizes([slope] * depth)[0].item()
    assert size == pytest.approx(found, rel=1e-12)
    flat = scipy.optimize.minimize_scalar(
        term, bounds=(0, 2 * found), method="bounded", options={"xatol": 1e-12}
    )
    assert size == pytest.approx(flat.x, rel=1e-5) and term(size) <= flat.fun + 1e-14 * abs(flat.fun)


@pytest.mark.result("F22")
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_step_solves_the_whole_problem_in_all_entries(depth):
    """Neither the direction nor the sizes are given to the search."""
    eta, layers = 0.3, [two(2, 3, seed=seed) for seed in range(depth)]
    weights, grads = zip(*layers, strict=True)

    def price(flat):
        changes = torch.as_tensor(flat).view(depth, 2, 3)
        ratios = torch.stack([d.norm() / w.norm() for d, w in zip(changes, weights, strict=True)])
        linear = sum((g * d).sum() for g, d in zip(grads, changes, strict=True))
        return linear + ratios.pow(2 * depth).sum() / depth / (2 * eta)

    def with_slope(flat):
        flat = torch.tensor(flat, requires_grad=True)
        value = price(flat)
        return value.item(), torch.autograd.grad(value, flat)[0].numpy()

    mine = torch.stack([surrogate_step(w, g, eta, depth) for w, g in layers])
    start = numpy.random.default_rng(0).normal(size=mine.numel())
    found = scipy.optimize.minimize(with_slope, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    assert torch.allclose(mine.flatten(), torch.tensor(found.x), rtol=0, atol=1e-6)
    assert price(mine.flatten()) <= found.fun + 1e-12
    slopes = [eta * w.norm() * g.norm() for w, g in layers]
    objective = surrogate_objective(surrogate_sizes(slopes), slopes)
    assert (objective / eta).item() == pytest.approx(found.fun, rel=1e-9)


@pytest.mark.result("F22")
@given(SLOPES, st.integers(0, 10**6))
def test_no_other_sizes_are_better(slopes, seed):
    best = surrogate_sizes(slopes)
    others = best * torch.exp(
        0.3 * torch.randn(50, len(slopes), generator=torch.Generator().manual_seed(seed))
    )
    values = surrogate_objective(others, slopes)
    assert values.shape == (50,)
    assert (values >= surrogate_objective(best, slopes) - 1e-9 * values.abs()).all()


@pytest.mark.result("F22")
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_step_is_the_printed_formula_and_has_the_size(depth):
    weight, grad = two(4, 3)
    for eta in (1e-4, 0.1, 10.0):
        norms, power = weight.norm() / grad.norm(), 1 / (2 * depth - 1)
        printed = -(eta**power) * norms * (weight.norm() * grad.norm()) ** power * grad
        step = surrogate_step(weight, grad, eta, depth)
        torch.testing.assert_close(step, printed, rtol=1e-13, atol=0)
        slopes = [eta * weight.norm() * grad.norm()] * depth
        assert (step.norm() / weight.norm()).item() == pytest.approx(
            surrogate_sizes(slopes)[0].item(), rel=1e-13
        )
    torch.testing.assert_close(surrogate_step(weight, grad, 0.1, 1), -0.1 * weight.norm() ** 2 * grad)


# --- Many layers ------------------------------------------------------------------------------------------


@pytest.mark.result("F23")
def test_a_slope_beyond_float64_still_has_its_size():
    for exponents in ((-300, -30), (200, 180)):
        weight, grad = (torch.tensor([10.0**power], dtype=torch.float64) for power in exponents)
        size = -surrogate_step(weight, grad, eta=0.1, depth=100) / weight
        assert size.item() == pytest.approx(10 ** ((sum(exponents) - 1) / 199), rel=1e-12)


def test_at_a_fixed_eta_every_size_tends_to_1():
    """A14: the limit of the formula itself is a step of the layer's own length, whatever η."""
    sizes = {depth: surrogate_sizes([0.9] * depth)[0].item() for depth in (5, 20, 10_000)}
    assert sizes[5] == pytest.approx(0.988, abs=1e-3) and sizes[20] == pytest.approx(0.997, abs=1e-3)
    assert sizes[10_000] == pytest.approx(0.999995, abs=1e-6)
    for slope in (1e-6, 1e-2, 1.0, 1e6):
        gaps = [abs(surrogate_sizes([slope] * depth)[0].item() - 1) for depth in (2, 10, 100, 10_000)]
        assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-3
    # η_old = η_new^(2L−1): the renaming keeps the size, and what it does to the old one is not small.
    depth, new = 20, 0.01
    assert surrogate_sizes([new ** (2 * depth - 1)] * depth)[0].item() == pytest.approx(new)


@pytest.mark.result("F23")
@pytest.mark.parametrize("slope", [1e-3, 0.3, 40.0])
def test_a_penalty_of_sizes_over_eta_becomes_the_hard_constraint(slope):
    eta, sizes = 0.05, []
    for depth in (2, 10, 100, 10_000):
        power = 2 * depth - 1
        # −t·r + (r/η)^(2L)/(2L) is least at r = η·(tη)^(1/(2L−1)).
        size = eta * (slope * eta) ** (1 / power)
        assert (size / eta) ** power / eta == pytest.approx(slope, rel=1e-9)
        sizes.append(abs(size / eta - 1))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 1e-3


@pytest.mark.result("F23")
@pytest.mark.parametrize("eta", [1e-3, 0.01, 0.5])
def test_equation_4_is_the_best_step_in_the_ball(eta):
    weight, grad = two(4, 3)
    step = hard_constraint_step(weight, grad, eta)
    assert step.norm().item() == pytest.approx(eta * weight.norm().item(), rel=1e-14)
    others = two(20_000, 4, 3)[0]
    scales = eta * weight.norm() * torch.rand(20_000) / others.flatten(1).norm(dim=1)
    values = (grad * others).flatten(1).sum(1) * scales
    assert values.min() >= (grad * step).sum()
    near = step + 1e-3 * step.norm() * others
    near = near * (step.norm() / near.flatten(1).norm(dim=1)).view(-1, 1, 1)
    assert ((grad * near).flatten(1).sum(1) >= (grad * step).sum() * (1 - 1e-14)).all()


@pytest.mark.result("F23")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("eta", [0.0, 0.01, 0.5])
def test_equation_4_is_algorithm_1_without_the_correction(eta, dtype):
    weight, grad = two(5, 4).to(dtype)
    new = fromage_update(weight, grad, eta, norm_correction=False)
    step = hard_constraint_step(weight, grad, eta)
    assert step.dtype == dtype
    bound = {torch.float16: 2e-3, torch.float32: 3e-7, torch.float64: 1e-15}[dtype]
    torch.testing.assert_close(weight + step, new, rtol=bound, atol=bound)


STEPS = [
    lambda w, g, eta=0.1: surrogate_step(w, g, eta, 3),
    lambda w, g, eta=0.1: hard_constraint_step(w, g, eta),
]


@pytest.mark.parametrize("step", STEPS)
class TestBothSteps:
    def test_nothing_moves_without_a_weight_or_a_gradient(self, step):
        one, zero = torch.ones(3), torch.zeros(3)
        assert step(one, zero).equal(zero) and step(zero, one).equal(zero) and step(one, one, 0.0).equal(zero)
        assert step(torch.ones(0, 2), torch.ones(0, 2)).shape == (0, 2)
        assert step(torch.tensor(2.0), torch.tensor(3.0)) < 0

    def test_at_zero_algorithm_1_moves_instead(self, step):
        assert fromage_update(torch.zeros(3), torch.ones(3), 0.1, norm_correction=False).norm() > 0

    @pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e30])
    def test_any_scale_of_float32(self, step, scale):
        weight, grad = two(4, 4).float()
        plain = step(weight * scale, grad / scale).double() / scale
        torch.testing.assert_close(plain, step(weight, grad).double(), rtol=1e-5, atol=1e-12)

    def test_gradients(self, step):
        inputs = [each.clone().requires_grad_() for each in (*two(2, 2), torch.tensor(0.1).double())]
        assert torch.autograd.gradcheck(step, inputs)
        zero = torch.zeros(3, requires_grad=True)
        step(zero, torch.ones(3)).sum().backward()
        assert zero.grad.isfinite().all()

    @pytest.mark.parametrize(
        ("weight", "grad", "eta", "error", "message"),
        [
            ([1.0], torch.ones(1), 0.1, TypeError, "weight is a list: give a tensor"),
            (torch.ones(1), 2.0, 0.1, TypeError, "grad is a float: give a tensor"),
            (
                torch.ones(2).to_sparse(),
                torch.ones(2),
                0.1,
                TypeError,
                "weight is torch.sparse_coo: convert it",
            ),
            (torch.ones(2).int(), torch.ones(2), 0.1, TypeError, "weight is torch.int32: give real numbers"),
            (
                torch.ones(2) * 1j,
                torch.ones(2),
                0.1,
                TypeError,
                "weight is torch.complex64: give real numbers",
            ),
            (
                torch.ones(2),
                torch.ones(2) / 0,
                0.1,
                ValueError,
                "grad holds NaN or infinity: give finite numbers",
            ),
            (torch.ones(2), torch.ones(3), 0.1, ValueError, "weight has shape (2,) and grad (3,): they must"),
            (torch.ones(2), torch.ones(2), -0.1, ValueError, "eta is -0.1: it must be finite and >= 0"),
            (torch.ones(2), torch.ones(2), math.nan, ValueError, "eta is nan: it must be finite and >= 0"),
            (torch.ones(2), torch.ones(2), math.inf, ValueError, "eta is inf: it must be finite and >= 0"),
            (torch.ones(2), torch.ones(2), "a", TypeError, "eta is 'a': give a number"),
            (
                torch.ones(2),
                torch.ones(2),
                torch.ones(2),
                TypeError,
                "eta is tensor([1., 1.]): give a number",
            ),
        ],
    )
    def test_messages(self, step, weight, grad, eta, error, message):
        with pytest.raises(error, match=re.escape(message)):
            step(weight, grad, eta)


@pytest.mark.parametrize(
    ("depth", "error", "message"),
    [
        (0, ValueError, "depth is 0: a network has at least one layer"),
        (2.0, TypeError, "depth is 2.0: give the number of layers"),
        (True, TypeError, "depth is True: give the number of layers"),
    ],
)
def test_messages_about_depth(depth, error, message):
    with pytest.raises(error, match=re.escape(message)):
        surrogate_step(torch.ones(2), torch.ones(2), 0.1, depth)


def test_shapes_and_dtypes():
    slopes = torch.rand(4, 3, 5)
    assert surrogate_sizes(slopes).dtype == torch.float32 and surrogate_sizes(slopes).shape == (4, 3, 5)
    torch.testing.assert_close(surrogate_sizes(slopes)[1, 2], surrogate_sizes(slopes[1, 2]))
    assert surrogate_sizes([0.0, 1.0]).tolist() == [0, 1] and surrogate_sizes([1, 1]).dtype == torch.float64
    assert surrogate_objective(torch.rand(7, 1, 5), slopes[0]).shape == (7, 3)
    assert surrogate_objective(slopes, slopes.double()).dtype == torch.float64
    inputs = [torch.rand(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(surrogate_objective, inputs)
    assert torch.autograd.gradcheck(surrogate_sizes, inputs[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: surrogate_sizes([0.1, -1.0]),
            ValueError,
            "slopes hold -1: a slope is a product η‖W‖‖g‖ of norms",
        ),
        (
            lambda: surrogate_sizes([]),
            ValueError,
            "slopes have shape (0,): the last dimension must hold one slope",
        ),
        (
            lambda: surrogate_sizes("ab"),
            TypeError,
            "slopes are a str: give a tensor or a sequence of numbers",
        ),
        (
            lambda: surrogate_sizes(torch.ones(2) * 1j),
            TypeError,
            "slopes are torch.complex64: slopes are real",
        ),
        (
            lambda: surrogate_objective([1.0], [1.0, 2.0]),
            ValueError,
            "there are 1 sizes and 2 slopes: give one of each per layer",
        ),
        (
            lambda: surrogate_objective(torch.ones(2, 3), torch.ones(4, 3)),
            ValueError,
            "sizes have shape (2, 3) and slopes (4, 3): give shapes that agree",
        ),
        (
            lambda: surrogate_objective([1e200], [1e200]),
            ValueError,
            "sizes hold 1e+200: give numbers up to 1e150",
        ),
        (
            lambda: descent_objective([1.0], [math.inf]),
            ValueError,
            "slopes hold inf: give numbers up to 1e150",
        ),
    ],
)
def test_messages_about_slopes(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
