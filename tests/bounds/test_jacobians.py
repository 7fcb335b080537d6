"""Proposition 1 and the gradient's factors against autograd, Theorem 2 against 60 digits and at its edges."""

import re

import numpy
import pytest
import slow
import torch
from mpmath import mp
from torch import nn

from fromage_edu.bounds import (
    HypothesisError,
    gradient_factors,
    jacobian_bound,
    jacobian_constants,
    layer_jacobian,
)
from fromage_edu.networks import Perceptron

DOUBLE = {"dtype": torch.float64}
VALLEYS = [[1, 1], [3, 3, 3], [1, 2, 4], [4, 3, 1], [4, 2, 2, 5]]
EYE = torch.eye(2)
SMOOTH = [nn.Tanh(), nn.GELU(), nn.LeakyReLU(0.2), nn.ReLU(), nn.Identity(), torch.sin]


def random_network(phi, **options):
    return Perceptron([3, 5, 4, 2], phi, **options).double()


def tail(network, layer):
    """The network above a layer, as a function of h_layer for one input."""

    def run(h):
        for index in range(layer, len(network.layers)):
            h = network.layers[index](h)
            if network.output_nonlinearity or index < len(network.layers) - 1:
                h = network.nonlinearity(h)
        return h

    return run


@pytest.mark.result("F6")
@pytest.mark.parametrize("phi", SMOOTH, ids=lambda phi: getattr(phi, "__name__", str(phi)))
@pytest.mark.parametrize("options", [{}, {"bias": True}, {"output_nonlinearity": False}], ids=str)
def test_proposition_1_is_what_autograd_says(phi, options):
    network, x = random_network(phi, **options), torch.randn(6, 3, **DOUBLE)
    for layer in range(4):
        jacobians = layer_jacobian(network, x, layer)
        h = network.hidden(x)[layer].detach()
        expected = torch.stack([torch.func.jacrev(tail(network, layer))(each) for each in h])
        torch.testing.assert_close(jacobians, expected)
        torch.testing.assert_close(layer_jacobian(network, x[0], layer), expected[0])


@pytest.mark.result("F6")
def test_proposition_1_for_matrices_and_many_networks():
    pairs = [slow.random_pair([2, 3, 4], seed) for seed in range(3)]
    weights = [torch.stack(group) for group in zip(*(pair[0] for pair in pairs), strict=True)]
    x = torch.stack([pair[2] for pair in pairs])[:, None]
    together = layer_jacobian(weights, x, 1, nonlinearity=nn.Tanh())
    assert together.shape == (3, 1, 4, 3)
    for index, (alone, _, point) in enumerate(pairs):
        torch.testing.assert_close(
            together[index, 0], layer_jacobian(alone, point, 1, nonlinearity=nn.Tanh())
        )
    torch.testing.assert_close(layer_jacobian(alone, point, 0), alone[1] @ alone[0])
    assert layer_jacobian(alone, point, 2).equal(torch.eye(4, **DOUBLE))
    assert layer_jacobian(alone, torch.ones(0, 2, **DOUBLE), 1).shape == (0, 4, 3)


@pytest.mark.result("F6")
def test_jacobians_are_differentiable_and_keep_their_precision():
    (one, two), _, x = slow.random_pair([2, 3, 2], 0)

    def jacobian(*each):
        return layer_jacobian(each[:2], each[2], 0, nonlinearity=nn.Tanh())

    assert torch.autograd.gradcheck(jacobian, [each.clone().requires_grad_() for each in (one, two, x)])
    assert layer_jacobian([one.float(), two.float()], x.float(), 1).dtype == torch.float32
    with torch.inference_mode():
        inside = layer_jacobian([one, two], x, 0, nonlinearity=nn.Tanh())
    torch.testing.assert_close(inside, jacobian(one, two, x))
    assert layer_jacobian([one, two], x, numpy.int64(1), nonlinearity=nn.ReLU(inplace=True)).shape == (2, 3)
    with torch.no_grad():
        assert not layer_jacobian(Perceptron([2, 2]), x.float(), 0).requires_grad


@pytest.mark.result("F5", "F15")
@pytest.mark.parametrize("phi", SMOOTH, ids=lambda phi: getattr(phi, "__name__", str(phi)))
@pytest.mark.parametrize("options", [{}, {"bias": True}, {"output_nonlinearity": False}], ids=str)
def test_the_three_factors_contract_to_autograds_gradient(phi, options):
    network, x, y = random_network(phi, **options), torch.randn(6, 3, **DOUBLE), torch.randn(6, 2, **DOUBLE)
    losses = 0.5 * (network(x) - y).square().sum(-1)
    for layer, weight in enumerate(network.weights, start=1):
        factors = gradient_factors(network, x, y, layer)
        shapes = [tuple(each.shape) for each in factors]
        n, m = weight.shape
        assert shapes == [(6, 2), (6, 2, n), (6, n, n, m)]
        (total,) = torch.autograd.grad(losses.sum(), weight, retain_graph=True)
        torch.testing.assert_close(factors.gradient.sum(0), total)
        single = gradient_factors(network, x[3], y[3], layer)
        assert single.gradient.shape == (n, m)
        torch.testing.assert_close(single.gradient, factors.gradient[3])
        torch.testing.assert_close(factors.loss, network(x) - y)
        torch.testing.assert_close(factors.output, layer_jacobian(network, x, layer))


@pytest.mark.result("F15")
def test_the_third_factor_is_the_slope_times_the_layer_below():
    network, x = random_network(nn.Tanh()), torch.randn(3, **DOUBLE)
    third = gradient_factors(network, x, torch.zeros(2, **DOUBLE), 2).layer
    expected = torch.func.jacrev(lambda w: torch.tanh(w @ network.hidden(x)[1]))(network.weights[1].detach())
    torch.testing.assert_close(third, expected)


@pytest.mark.result("F17")
@pytest.mark.parametrize("slope", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("widths", VALLEYS, ids=str)
def test_theorem_2_matches_the_oracle_and_holds_in_a_valley(widths, slope):
    phi = {"nonlinearity": nn.LeakyReLU(slope)}
    for seed in range(2):
        before, after, x = slow.random_pair(widths, seed)
        for layer in range(len(before)):
            bound = jacobian_bound(before, after, x, layer, **phi)
            printed = jacobian_bound(before, after, x, layer, as_printed=True, **phi)
            c1, c2 = jacobian_constants(before, layer, **phi)
            with mp.workdps(slow.DIGITS):
                old, new = [slow.exact(w) for w in before], [slow.exact(w) for w in after]
                start = slow.exact(x)
                jacobian = slow.jacobian(old, start, slope, layer)
                change = slow.jacobian(new, start, slope, layer) - jacobian
                measured = (slow.norm(change) / slow.norm(jacobian)) ** 2
                above = old[layer:]
                moves = [b - a for a, b in zip(above, new[layer:], strict=True)]
                limits = []
                for group in (above, old):
                    kappa = max(map(slow.kappa, group))
                    constant = (2 * slow.widest(group) / mp.mpf(slope) * kappa) ** (2 * len(above))
                    second = 1 + (1 / mp.mpf(slope) - 1) ** 2
                    limits.append(constant * (second ** len(above) * (slow.trust(above, moves) + 1) - 1))
                    if group is above:
                        assert 10 ** c1.item() == pytest.approx(float(constant), rel=1e-9)
                        assert c2 == pytest.approx(float(second))
            assert bound.measured.item() == pytest.approx(float(measured), rel=1e-9)
            assert bound.bound.item() == pytest.approx(float(limits[0]), rel=1e-9)
            assert printed.bound.item() == pytest.approx(float(limits[1]), rel=1e-9)
            assert bound.holds and printed.holds


@pytest.mark.result("F17")
@pytest.mark.parametrize("eps", [0.1, 0.001])
def test_theorem_2_as_printed_fails_on_the_smallest_hill(eps):
    before = [torch.tensor(w, **DOUBLE) for w in ([[1.0]], [[1.0], [0.0]], [[eps, 1.0]])]
    after = [*before[:2], before[2] + torch.tensor([[0.1, 0.0]], **DOUBLE)]
    x = torch.ones(1, **DOUBLE)
    bound = jacobian_bound(before, after, x, 1, as_printed=True)
    assert bound.measured.item() == pytest.approx((0.1 / eps) ** 2, rel=1e-6)
    assert bound.bound.item() == pytest.approx(256 * 0.01 / (1 + eps**2), rel=1e-6)
    assert bound.holds == (eps == 0.1)
    with pytest.raises(
        HypothesisError, match=re.escape("layer 2 is tall (2 x 1) and layer 3 above it wide (1 x")
    ):
        jacobian_bound(before, after, x, 1)
    assert jacobian_bound(before, after, x, 2).holds


@pytest.mark.result("F17")
def test_theorem_2_does_not_vanish_with_the_change_unless_alpha_is_beta():
    before, x = [torch.eye(2, **DOUBLE)] * 3, torch.tensor([1.0, -1.0], **DOUBLE)
    c1, c2 = jacobian_constants(before, 0, nonlinearity=nn.LeakyReLU(0.1))
    still = jacobian_bound(before, before, x, 0, nonlinearity=nn.LeakyReLU(0.1))
    assert still.measured == 0 and c2 == pytest.approx(82)
    assert still.bound.item() == pytest.approx(10 ** c1.item() * (c2**3 - 1))
    assert c2**3 - 1 == pytest.approx(551367)
    assert jacobian_bound(before, before, x, 0).bound == 0


@pytest.mark.result("F17")
def test_a_tiny_change_across_a_kink_changes_the_jacobian_at_once():
    before, after = [torch.tensor([[1e-9]], **DOUBLE)], [torch.tensor([[-1e-9]], **DOUBLE)]
    bound = jacobian_bound(before, after, torch.ones(1, **DOUBLE), 0, nonlinearity=nn.LeakyReLU(0.5))
    assert bound.measured.item() == pytest.approx(2.25) and bound.holds


@pytest.mark.result("F17")
def test_the_jacobian_of_the_output_in_itself_does_not_move():
    before, after, x = slow.random_pair([2, 3, 4], 0)
    bound = jacobian_bound(before, after, x, 2, nonlinearity=nn.LeakyReLU(0.5))
    assert bound.measured == bound.bound == 0 and bound.holds
    assert jacobian_constants(before, 2).log10_c1 == 0


@pytest.mark.result("F17")
def test_depth_50_in_decades():
    before, after, x = slow.random_pair([4] * 51, 0, 0.01)
    phi = {"nonlinearity": nn.LeakyReLU(0.1)}
    bound = jacobian_bound(before, after, x, 0, log10=True, **phi)
    assert bound.holds and bound.bound > 308
    assert jacobian_bound(before, after, x, 0, **phi).bound == torch.inf
    c1, c2 = jacobian_constants(before, 0, **phi)
    assert bound.bound > c1 + 50 * torch.tensor(c2).log10() and c1.isfinite()


def test_conditions_below_the_layer_do_not_count():
    before = [torch.ones(1, 2, **DOUBLE), torch.ones(2, 1, **DOUBLE), torch.eye(2, **DOUBLE)]
    after = [w + 0.1 for w in before]
    x = torch.tensor([1.0, 2.0], **DOUBLE)
    assert (
        jacobian_bound(before, after, x, 1).bound
        <= jacobian_bound(before, after, x, 1, as_printed=True).bound
    )
    flat = [torch.ones(3, 3, **DOUBLE), torch.eye(3, **DOUBLE)]
    assert jacobian_bound(flat, flat, torch.ones(3, **DOUBLE), 1).holds
    with pytest.raises(HypothesisError, match=re.escape("layer 1 (3 x 3) has no full rank")):
        jacobian_bound(flat, flat, torch.ones(3, **DOUBLE), 0)
    upper = [torch.eye(2, **DOUBLE), torch.tensor([[1.0, 1.0], [1.0, -2.0]], **DOUBLE)]
    at_kink = torch.tensor([0.0, 1.0], **DOUBLE)
    assert jacobian_bound(upper, upper, at_kink, 1, nonlinearity=nn.LeakyReLU(0.1)).holds
    with pytest.raises(HypothesisError, match="layer 1 has a preactivation of 0"):
        jacobian_bound(upper, upper, at_kink, 0, nonlinearity=nn.LeakyReLU(0.1))


def test_perceptrons_shapes_precision_gradients():
    torch.manual_seed(2)
    before, after = (Perceptron([4, 3, 2, 3], nn.LeakyReLU(0.4)) for _ in range(2))
    for shape in [(4,), (5, 4), (0, 4)]:
        bound = jacobian_bound(before, after, torch.randn(shape), 1)
        assert bound.measured.shape == bound.bound.shape == shape[:-1]
        assert bound.bound.dtype == torch.float32 and bound.holds.all()
    one, two, x = slow.random_pair([2, 2, 3], 3)
    inputs = [each.clone().requires_grad_() for each in (*one, *two, x)]

    def sides(*each):
        return tuple(jacobian_bound(each[:2], each[2:4], each[4], 0, nonlinearity=nn.LeakyReLU(0.5)))

    assert torch.autograd.gradcheck(sides, inputs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: jacobian_bound([EYE], [EYE], torch.tensor([1.0, 0.0]), 0, nonlinearity=nn.LeakyReLU(0.1)),
            HypothesisError,
            "layer 1 has a preactivation of 0, where LeakyReLU has a kink: Theorem 2 needs a",
        ),
        (
            lambda: jacobian_bound([EYE], [EYE], torch.ones(2), 0, nonlinearity=nn.Tanh()),
            HypothesisError,
            "layer 1 ends in Tanh, which has alpha = 0: Theorem 2 needs alpha > 0",
        ),
        (
            lambda: jacobian_bound([EYE], [EYE], torch.ones(2), 2),
            ValueError,
            "layer 2 is not there: give one from 0 to 1",
        ),
        (
            lambda: layer_jacobian([EYE], torch.ones(2), -1),
            ValueError,
            "layer -1 is not there: give one from 0",
        ),
        (
            lambda: layer_jacobian([EYE], torch.ones(2), 0.5),
            TypeError,
            "layer is 0.5: give a whole number from 0",
        ),
        (lambda: layer_jacobian([EYE], torch.ones(2), True), TypeError, "layer is True: give a whole number"),
        (
            lambda: gradient_factors([EYE], torch.ones(2), torch.ones(2), 0),
            ValueError,
            "layer 0 is not there: give one from 1 to 1",
        ),
        (
            lambda: gradient_factors([EYE], torch.ones(2), torch.ones(3), 1),
            ValueError,
            "y has shape (3,) and f(x) (2,): give equal ones",
        ),
        (lambda: gradient_factors([EYE], torch.ones(2), 1.0, 1), TypeError, "y is a float: give a tensor"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("factor", [1e100, 1e-100])
def test_a_jacobian_outside_float64_is_refused(factor):
    before = [EYE.double() * factor] * 4
    x = torch.ones(2, **DOUBLE) / factor**3
    with pytest.raises(ValueError, match="a Jacobian vanishes or leaves float64"):
        jacobian_bound(before, [2 * w for w in before], x, 0, log10=True)


def test_a_nonlinearity_that_works_in_place_does_no_harm():
    def phi(z):
        return nn.functional.leaky_relu_(z, 0.5)

    for weight in (EYE, EYE.clone().requires_grad_()):
        found = layer_jacobian([weight] * 2, -torch.ones(2), 0, nonlinearity=phi)
        torch.testing.assert_close(found, EYE / 4)


def test_a_smooth_nonlinearity_may_meet_0():
    tall = [torch.ones(2, 1)]
    assert jacobian_bound(tall, tall, torch.zeros(1), 0, nonlinearity=nn.Identity()).holds
