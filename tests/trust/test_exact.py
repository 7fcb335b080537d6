"""The coupled problem (3): its global solution against searches that know nothing of its form."""

import itertools
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

from fromage_edu.trust import (
    deep_relative_trust,
    descent_objective,
    distance,
    exact_sizes,
    split_slope,
    surrogate_sizes,
    symmetric_size,
)

SLOPES = st.lists(st.floats(1e-6, 1e4) | st.floats(0.5, 20) | st.just(0.0), min_size=1, max_size=10)
LADDER = st.tuples(st.floats(0.1, 100), st.integers(1, 12)).map(lambda pair: [pair[0]] * pair[1])


def objective(sizes, slopes):
    """Equation (3) along the gradients, times η, as it is printed."""
    sizes, slopes = numpy.asarray(sizes), numpy.asarray(slopes)
    return -(slopes * sizes).sum(-1) + (numpy.prod(1 + sizes**2, -1) - 1) / 2


def searched(slopes, starts=6):
    """The least value that descents from many starts find."""
    random = numpy.random.default_rng(0)

    def with_slope(sizes):
        product = numpy.prod(1 + sizes**2)
        return objective(sizes, slopes), -numpy.asarray(slopes) + sizes * product / (1 + sizes**2)

    first = [numpy.maximum(1e-3, numpy.eye(len(slopes))[layer] * max(slopes)) for layer in range(len(slopes))]
    more = [numpy.exp(random.normal(size=len(slopes))) for _ in range(starts)]
    bounds = [(0, None)] * len(slopes)
    runs = [scipy.optimize.minimize(with_slope, x, jac=True, bounds=bounds) for x in first + more]
    return min(run.fun for run in runs)


def gridded(slopes, points=41, rounds=14):
    """The least value on a grid that closes in on the best point so far, one of all that a grid can see."""
    low, high = numpy.zeros(len(slopes)), numpy.asarray(slopes, dtype=float)
    best = math.inf
    for _ in range(rounds):
        axes = [numpy.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
        mesh = numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1)
        values = objective(mesh, slopes)
        place = numpy.unravel_index(values.argmin(), values.shape)
        best = min(best, values[place])
        width = (high - low) / 4
        low, high = numpy.maximum(mesh[place] - width, 0), mesh[place] + width
    return best


@pytest.mark.result("F19")
@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), min_size=1, max_size=8))
def test_the_objective_is_as_printed(layers):
    sizes, slopes = zip(*layers, strict=True)
    with mpmath.workdps(50):
        trust = mpmath.fprod(1 + mpmath.mpf(r) ** 2 for r in sizes) - 1
        linear = mpmath.fsum(mpmath.mpf(t) * mpmath.mpf(r) for r, t in layers)
        expected, scale = float(trust / 2 - linear), float(trust / 2 + linear)
    assert descent_objective(sizes, slopes).item() == pytest.approx(expected, abs=1e-12 * scale + 1e-300)


@pytest.mark.result("F19")
def test_the_objective_is_eta_times_that_of_the_weights():
    generator, eta = torch.Generator().manual_seed(0), 0.4
    weights, grads = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    slopes = torch.stack([eta * w.norm() * g.norm() for w, g in zip(weights, grads, strict=True)])
    sizes = torch.tensor([0.1, 0.7, 1.5], dtype=torch.float64)
    changes = [-r * w.norm() / g.norm() * g for r, w, g in zip(sizes, weights, grads, strict=True)]
    linear = sum((g * d).sum() for g, d in zip(grads, changes, strict=True))
    after = [w + d for w, d in zip(weights, changes, strict=True)]
    price = linear + distance(list(weights), after) / (2 * eta)
    torch.testing.assert_close(descent_objective(sizes, slopes), eta * price)


@pytest.mark.result("F19", "X5")
def test_the_trust_of_two_layers_is_not_convex():
    r1, r2 = sympy.symbols("r1 r2")
    hessian = sympy.hessian((1 + r1**2) * (1 + r2**2) - 1, (r1, r2))
    assert hessian.subs({r1: 2, r2: 2}).eigenvals() == {-6: 1, 26: 1}
    sizes = torch.full((2,), 2.0, dtype=torch.float64)
    mine = torch.linalg.eigvalsh(torch.autograd.functional.hessian(deep_relative_trust, sizes))
    assert mine.tolist() == pytest.approx([-6, 26])


# --- The global solution ---------------------------------------------------------------------------------


@pytest.mark.result("X5")
@pytest.mark.parametrize(
    "slopes", [[0.3], [5.0], *itertools.product([0.2, 1.0, 2.5, 6.0], repeat=2)], ids=str
)
def test_a_fine_grid_finds_nothing_better(slopes):
    value = descent_objective(exact_sizes(slopes), list(slopes)).item()
    grid = gridded(slopes)
    assert value <= grid + 1e-9 * abs(grid) and value == pytest.approx(grid, rel=1e-6)


@pytest.mark.result("X5")
@pytest.mark.parametrize(
    "slopes", [[2.0] * 3, [3.1] * 3, [3.2] * 3, [5.0] * 3, [3.0, 4.0, 1.0], [3.3, 3.2, 3.0]], ids=str
)
def test_a_grid_finds_nothing_better_for_three_layers(slopes):
    value = descent_objective(exact_sizes(slopes), slopes).item()
    grid = gridded(slopes, points=61)
    assert value <= grid + 1e-9 * abs(grid) and value == pytest.approx(grid, rel=1e-6)


@pytest.mark.result("X5")
@pytest.mark.parametrize("seed", range(4))
def test_descents_from_many_starts_find_nothing_better(seed):
    random = numpy.random.default_rng(seed)
    depth = 2 + seed % 4
    for spread in (0.0, 0.3):
        slopes = numpy.exp(random.uniform(0, 2.5) + spread * random.normal(size=depth))
        value = descent_objective(exact_sizes(slopes), slopes).item()
        found = searched(slopes)
        assert value <= found + 1e-9 * abs(found) and value == pytest.approx(found, rel=1e-7)


@pytest.mark.result("X5")
@given(SLOPES | LADDER)
def test_each_layer_is_stationary_and_one_at_most_is_beyond_1(slopes):
    sizes = exact_sizes(slopes)
    with mpmath.workdps(50):
        squares = [1 + mpmath.mpf(size) ** 2 for size in sizes.tolist()]
        for layer, (size, slope) in enumerate(zip(sizes.tolist(), slopes, strict=True)):
            others = mpmath.fprod(squares[:layer] + squares[layer + 1 :])
            assert abs(size * others - slope) <= 1e-9 * slope
    assert (sizes > 1 + 1e-6).sum() <= 1
    # Larger slopes take larger steps, but for equal slopes, of which one may be chosen.
    order = torch.tensor(slopes, dtype=torch.float64).argsort(descending=True, stable=True)
    assert (sizes[order].diff() <= 1e-9).all()


@pytest.mark.result("X5")
@given(SLOPES | LADDER, st.integers(0, 10**6))
def test_no_random_sizes_are_better(slopes, seed):
    random, best = numpy.random.default_rng(seed), exact_sizes(slopes)
    value = descent_objective(best, slopes).item()
    others = numpy.abs(best.numpy() * numpy.exp(0.5 * random.normal(size=(200, len(slopes)))))
    swapped = numpy.stack([random.permutation(best.numpy()) for _ in range(20)])
    split = numpy.maximum(slopes, 1e-3) * numpy.eye(len(slopes))
    values = descent_objective(torch.tensor(numpy.concatenate([others, swapped, split])), slopes)
    assert (values >= value - 1e-9 * abs(value)).all()


@pytest.mark.result("X5")
def test_the_step_solves_the_whole_problem_in_all_entries():
    """Neither the direction nor the sizes are given to the search; the layers are coupled."""
    generator = torch.Generator().manual_seed(3)
    for eta in (0.05, 0.3, 1.0):
        weights, grads = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64)

        def price(flat, weights=weights, grads=grads, eta=eta):
            flat = torch.tensor(flat, requires_grad=True)
            changes = flat.view(3, 2, 2)
            ratios = torch.stack([d.norm() / w.norm() for d, w in zip(changes, weights, strict=True)])
            value = (grads * changes).sum() + deep_relative_trust(ratios) / (2 * eta)
            return value.item(), torch.autograd.grad(value, flat)[0].numpy()

        slopes = torch.stack([eta * w.norm() * g.norm() for w, g in zip(weights, grads, strict=True)])
        mine = descent_objective(exact_sizes(slopes), slopes).item() / eta
        random = numpy.random.default_rng(0)
        found = min(
            scipy.optimize.minimize(price, random.normal(size=12), jac=True, options={"gtol": 1e-10}).fun
            for _ in range(8)
        )
        assert mine == pytest.approx(found, rel=1e-8)


# --- Small slopes, two layers, equal layers --------------------------------------------------------------


@pytest.mark.result("X5")
def test_small_slopes_are_the_sizes_which_is_not_fromage():
    slopes = [1e-3, 2e-3, 5e-4]
    assert exact_sizes(slopes).tolist() == pytest.approx(slopes, rel=1e-5)
    # The surrogate keeps their order but hardly their ratios: a fifth root.
    assert surrogate_sizes(slopes).tolist() == pytest.approx([slope ** (1 / 5) for slope in slopes])
    assert exact_sizes([0.3]).item() == pytest.approx(0.3) and surrogate_sizes([0.3]).item() == 0.3


@pytest.mark.result("X5")
@pytest.mark.parametrize("slope", [0.5, 1.0, 1.9, 2.0, 2.1, 3.0, 10.0, 1e4])
def test_two_equal_layers_split_at_2(slope):
    big, small = exact_sizes([slope, slope]).tolist()
    equal = symmetric_size(slope, 2).item()
    assert equal * (1 + equal**2) == pytest.approx(slope, rel=1e-12)
    if slope <= 2:
        # At the split itself the root is threefold: half the digits are lost.
        assert [big, small] == pytest.approx([equal, equal], abs=1e-12 if slope < 2 else 1e-5)
    else:
        assert big * small == pytest.approx(1, rel=1e-12) and big + small == pytest.approx(slope, rel=1e-12)
        value = descent_objective([big, small], [slope, slope]).item()
        assert value == pytest.approx(-(slope**2) / 2 - 1 / 2, rel=1e-12)
        assert value < descent_objective([equal, equal], [slope, slope]).item()


@pytest.mark.result("X5")
def test_what_the_split_gains():
    """Against the symmetric point, as a table of two rows."""
    rows = {
        slope: [descent_objective(sizes, [slope] * 2).item() for sizes in (exact_sizes([slope] * 2), equal)]
        for slope in (3.0, 10.0)
        for equal in ([symmetric_size(slope, 2).item()] * 2,)
    }
    assert rows[3.0] == pytest.approx([-5.0, -4.72], abs=5e-3)
    assert rows[10.0] == pytest.approx([-50.5, -28.0], abs=5e-3)


@pytest.mark.result("X5")
def test_the_split_of_two_layers_by_algebra():
    r, t, s = sympy.symbols("r t s", positive=True)
    value = -t * r - t * s + ((1 + r**2) * (1 + s**2) - 1) / 2
    stationary = [sympy.diff(value, r), sympy.diff(value, s)]
    # r·s = 1 and r + s = t solve both equations, and give −t²/2 − 1/2.
    branch = {s: 1 / r, t: r + 1 / r}
    assert all(sympy.simplify(equation.subs(branch)) == 0 for equation in stationary)
    assert sympy.simplify((value + t**2 / 2 + sympy.Rational(1, 2)).subs(branch)) == 0
    # The symmetric point's curvature against the difference of the sizes is 1 − r²: gone at r = 1, t = 2.
    hessian = sympy.hessian(value, (r, s)).subs(s, r)
    assert sympy.expand((sympy.Matrix([[1, -1]]) * hessian * sympy.Matrix([1, -1]))[0] / 2) == 1 - r**2
    assert stationary[0].subs({r: 1, s: 1, t: 2}) == 0


@pytest.mark.result("X5")
@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_the_symmetric_point_stops_being_a_minimum_at_r_1(depth):
    assert symmetric_size(2.0 ** (depth - 1), depth).item() == pytest.approx(1, rel=1e-14)
    for slope, stable in ((0.99 * 2 ** (depth - 1), True), (1.01 * 2 ** (depth - 1), False)):
        size = symmetric_size(slope, depth)
        sizes, slopes = size.repeat(depth), [slope] * depth
        gradient = torch.autograd.functional.jacobian(lambda r, t=slopes: descent_objective(r, t), sizes)
        assert gradient.abs().max() < 1e-12 * slope
        hessian = torch.autograd.functional.hessian(lambda r, t=slopes: descent_objective(r, t), sizes)
        eigenvalues = torch.linalg.eigvalsh(hessian)
        assert (eigenvalues.min() > 0).item() is stable
        # L − 1 of them are (1 − r²)(1 + r²)^(L−2), with the layers against each other.
        expected = ((1 - size**2) * (1 + size**2) ** (depth - 2)).item()
        assert eigenvalues[: depth - 1].tolist() == pytest.approx([expected] * (depth - 1), rel=1e-8)


@pytest.mark.result("X5")
@pytest.mark.parametrize("depth", [2, 3, 4, 8, 20])
def test_equal_layers_part_at_the_split_slope_and_for_three_or_more_with_a_jump(depth):
    slope = split_slope(depth)
    below, above = exact_sizes([slope * (1 - 1e-6)] * depth), exact_sizes([slope * (1 + 1e-6)] * depth)
    assert below.tolist() == pytest.approx([symmetric_size(slope, depth).item()] * depth, rel=1e-5)
    assert above[0] > 1 > above[1] and above[1:].tolist() == pytest.approx(
        [1 / above[0].item()] * (depth - 1)
    )
    if depth == 2:
        assert slope == 2 and above[0] - above[1] < 0.01
        return
    assert above[0] > 2 and slope < 2 ** (depth - 1) * 0.8
    first = math.sqrt(2 * depth - 3) * (1 + 1 / (2 * depth - 3)) ** (depth - 1)
    assert first < slope
    # Search from the split side and from the symmetric one, and compare what they find.
    for factor, wins in ((0.999, "equal"), (1.001, "split")):
        slopes = [slope * factor] * depth
        found = {
            name: scipy.optimize.minimize(
                objective, start, args=(slopes,), bounds=[(0, None)] * depth, tol=1e-12
            ).fun
            for name, start in (("equal", below), ("split", above))
        }
        assert min(found, key=found.get) == wins


@pytest.mark.result("X5")
def test_before_a_certain_slope_there_is_no_split_minimum_at_all():
    """At √(2L−3)·(1 + 1/(2L−3))^(L−1), where s·(1 + s⁻²)^(L−1) is least over s > 1."""
    s, depth = sympy.symbols("s L", positive=True)
    derivative = sympy.diff(sympy.log(s) + (depth - 1) * sympy.log(1 + s**-2), s)
    assert sympy.simplify(derivative.subs(s, sympy.sqrt(2 * depth - 3))) == 0
    for layers in (3, 8):
        size = math.sqrt(2 * layers - 3)
        least = size * (1 + size**-2) ** (layers - 1)
        for slope, there in ((0.99 * least, False), (1.01 * least, True)):
            start = numpy.array([1.05 * size, *[1 / size] * (layers - 1)])
            run = scipy.optimize.minimize(objective, start, args=([slope] * layers,), tol=1e-12)
            assert bool(run.x[0] > 1.01) is there


@pytest.mark.result("X5")
@pytest.mark.parametrize("depth", [1, 2, 7, 100])
@pytest.mark.parametrize("slope", [1e-200, 1e-8, 0.3, 2.0, 50.0, 1e12, 1e200])
def test_the_symmetric_size_matches_50_digits(slope, depth):
    with mpmath.workdps(50):
        t = mpmath.log(mpmath.mpf(slope))

        def rest(z):
            return z + (depth - 1) * mpmath.log(1 + mpmath.exp(2 * z)) - t

        z = mpmath.findroot(
            rest, (t - (depth - 1) * mpmath.log(1 + mpmath.mpf(slope) ** 2) - 1, t), solver="anderson"
        )
        expected = float(mpmath.exp(z))
    assert symmetric_size(slope, depth).item() == pytest.approx(expected, rel=2e-13)


# --- Edges ------------------------------------------------------------------------------------------------


def test_extreme_slopes():
    assert exact_sizes([0.0, 0.0]).tolist() == [0, 0]
    assert exact_sizes([0.0, 3.0]).tolist() == pytest.approx([0, 3], rel=1e-14)
    assert exact_sizes([1e-300, 1e-8]).tolist() == pytest.approx([1e-300, 1e-8], rel=1e-12)
    assert exact_sizes([1e150] * 3).tolist() == pytest.approx([1e150, 1e-150, 1e-150], rel=1e-12)
    assert exact_sizes([0.05] * 500).tolist() == pytest.approx([symmetric_size(0.05, 500).item()] * 500)


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_nearly_equal_slopes_are_solved_like_equal_ones(depth):
    for slope in (0.5, 1.9, 2.1, 3.0, 3.2, 8.0, 30.0):
        equal = [slope] * depth
        nearly = [slope * (1 + 1e-13 * layer) for layer in range(depth)]
        values = [descent_objective(exact_sizes(slopes), slopes).item() for slopes in (equal, nearly)]
        assert values[0] == pytest.approx(values[1], rel=1e-11)


def test_layers_may_come_in_any_order_and_in_batches():
    slopes = torch.tensor([[0.5, 3.0, 1.0], [4.0, 4.0, 4.0], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]]).double()
    together = exact_sizes(slopes.view(2, 2, 3))
    alone = torch.stack([exact_sizes(row) for row in slopes])
    torch.testing.assert_close(together.view(4, 3), alone, rtol=0, atol=0)
    torch.testing.assert_close(exact_sizes(slopes[0].flip(0)), alone[0].flip(0), rtol=0, atol=0)
    assert alone[1].argmax() == 0  # of equal layers the first is the large one


def test_shapes_and_dtypes():
    assert exact_sizes(torch.rand(3)).dtype == torch.float32
    assert exact_sizes(torch.tensor([1, 3])).dtype == torch.get_default_dtype()
    assert exact_sizes(torch.rand(0, 3)).shape == (0, 3)
    assert not exact_sizes(torch.rand(3, requires_grad=True)).requires_grad
    assert symmetric_size(torch.rand(4, 2), 3).shape == (4, 2) and symmetric_size(0.0, 3) == 0
    assert symmetric_size(torch.rand(2), 3).dtype == torch.float32
    inputs = [torch.rand(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(descent_objective, inputs)
    assert split_slope(1) == math.inf and split_slope(500) > split_slope(100)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: exact_sizes([1.0, math.inf]), ValueError, "slopes hold inf: give numbers up to 1e150"),
        (lambda: exact_sizes([1.0, math.nan]), ValueError, "slopes hold nan: a slope is a product"),
        (lambda: exact_sizes([-1.0]), ValueError, "slopes hold -1: a slope is a product η‖W‖‖g‖ of norms"),
        (
            lambda: exact_sizes([]),
            ValueError,
            "slopes have shape (0,): the last dimension must hold one slope",
        ),
        (lambda: descent_objective([1.0], [-1.0]), ValueError, "slopes hold -1: a slope is a product"),
        (lambda: descent_objective([-1.0], [1.0]), ValueError, "sizes hold -1: a relative size is a ratio"),
        (
            lambda: descent_objective([1.0], [1.0, 1.0]),
            ValueError,
            "there are 1 sizes and 2 slopes: give one",
        ),
        (lambda: symmetric_size(-1.0, 2), ValueError, "slopes hold -1: a slope is a product"),
        (lambda: symmetric_size(math.inf, 2), ValueError, "slopes hold inf: give finite numbers"),
        (lambda: symmetric_size(1.0, 0), ValueError, "depth is 0: a network has at least one layer"),
        (lambda: symmetric_size(True, 2), TypeError, "slope is True: give a number or a tensor"),
        (
            lambda: symmetric_size("a", 2),
            TypeError,
            "slope is 'a': give a number or a tensor",
        ),
        (lambda: split_slope(2.5), TypeError, "depth is 2.5: give the number of layers"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
