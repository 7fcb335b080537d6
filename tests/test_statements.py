"""Statements about trust that have no function of their own, checked where they could fail."""

import math

import pytest
import torch

from fromage_edu.trust import deep_relative_trust, euclidean_trust


def vectors(count, size):
    return torch.randn(count, size, dtype=torch.float64)


@pytest.mark.result("F2")
@pytest.mark.parametrize("eta", [1e-3, 0.1, 10.0])
def test_the_gradient_step_is_the_one_minimizer_of_the_penalized_model(eta):
    weights, gradient = vectors(2, 6)

    def price(change):
        return gradient @ change + euclidean_trust([weights], [weights + change]) / (2 * eta)

    best, steps = -eta * gradient, vectors(200, 6)
    lost = torch.stack([price(best + step) - price(best) for step in steps])
    torch.testing.assert_close(lost, steps.square().sum(1) / (2 * eta), rtol=1e-9, atol=1e-9)
    change = best.clone().requires_grad_()
    (slope,) = torch.autograd.grad(price(change), change)
    assert slope.abs().max() < 1e-9 * gradient.abs().max() / eta + 1e-12
    stepped = weights.clone().requires_grad_()
    stepped.grad = gradient.clone()
    torch.optim.SGD([stepped], lr=eta).step()
    torch.testing.assert_close(stepped.detach() - weights, best)


@pytest.mark.result("F8")
def test_a_lipschitz_gradient_gives_the_quadratic_bound_with_half_its_constant():
    # The logistic loss has the constant 1/4, w²/eta has 2/eta, and neither half can be lowered.
    start, change = 5 * vectors(2, 10_000)
    for constant, loss in ((0.25, torch.nn.functional.softplus), (20.0, lambda w: w**2 * 10)):
        w = start.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(w).sum(), w)
        missed = loss(start + change) - loss(start) - gradient * change
        share = missed / (constant / 2 * change**2)
        assert share.max() <= 1 + 1e-6
    assert share.min() >= 1 - 1e-6
    near, step = torch.zeros(1, dtype=torch.float64), 1e-3
    missed = torch.nn.functional.softplus(near + step) - math.log(2) - step / 2
    assert missed.item() == pytest.approx(0.25 / 2 * step**2, rel=1e-5)


@pytest.mark.result("F8")
def test_the_constant_of_our_copy_is_twice_too_large():
    eta, w, change = 0.1, 1.0, 0.3
    after, linear = (w + change) ** 2 / eta, w**2 / eta + 2 * w / eta * change
    assert after > linear + change**2 / (2 * eta)
    assert after == pytest.approx(linear + change**2 / eta)


@pytest.mark.result("F9")
def test_any_quadratic_trust_has_one_minimizer_and_mirror_descent_is_close_to_one():
    gradient, root = vectors(1, 5)[0], vectors(5, 5)
    metric, eta = root @ root.T + torch.eye(5, dtype=torch.float64), 0.3

    def price(change):
        return gradient @ change + change @ metric @ change / (2 * eta)

    best = -eta * torch.linalg.solve(metric, gradient)
    assert all(price(best + step) > price(best) for step in vectors(200, 5))
    # The Bregman divergence of the entropy has the minimizer w·exp(−ηg), and the metric diag(1/w) up close.
    w = vectors(1, 5)[0].exp()

    def divergence(other):
        return (other * (other / w).log() - other + w).sum()

    def mirror_price(other):
        return gradient @ other + divergence(other) / eta

    mirror = w * torch.exp(-eta * gradient)
    assert all(mirror_price(mirror * step.exp()) > mirror_price(mirror) for step in vectors(200, 5))
    change = 1e-4 * w * vectors(1, 5)[0]
    assert divergence(w + change).item() == pytest.approx((change**2 / w).sum().item() / 2, rel=1e-3)


@pytest.mark.result("F7")
def test_plain_steps_have_other_relative_sizes_in_each_layer():
    weights = [torch.eye(2, dtype=torch.float64) * scale for scale in (100.0, 1.0, 0.01)]
    weights = [weight.requires_grad_() for weight in weights]
    h = torch.ones(2, dtype=torch.float64)
    for weight in weights:
        h = weight @ h
    gradients = torch.autograd.grad(h.square().sum(), weights)
    ratios = [(g.norm() / w.detach().norm()).item() for g, w in zip(gradients, weights, strict=True)]
    # In a chain of multiples of one matrix the gradient grows where the layer shrinks: ratios as 1/scale².
    assert ratios[1] / ratios[0] == pytest.approx(1e4) and ratios[2] / ratios[1] == pytest.approx(1e4)


@pytest.mark.result("F18")
@pytest.mark.parametrize("x", [0.1, 1.0, 2.0])
def test_the_product_rises_to_the_exponential(x):
    trusts = [deep_relative_trust([x / depth**0.5] * depth).item() for depth in (1, 2, 5, 10, 100, 10_000)]
    assert trusts == sorted(trusts) and trusts[-1] < math.expm1(x**2)
    assert trusts[-1] == pytest.approx(math.expm1(x**2), rel=1e-3)


@pytest.mark.result("F18")
def test_quasi_exponential_is_fair_at_large_depth():
    for depth in range(1, 401):
        assert 0.979 < deep_relative_trust([0.1] * depth).item() / math.expm1(0.01 * depth) <= 1
