"""Optimizers of a stack against those of one network, at every size of gradient that float32 can hold."""

import re

import pytest
import torch

from fromage_edu import Fromage
from fromage_edu.experiments.stacked import NormalizedSGD, StackedFromage

SHAPE = (3, 4, 5, 6)


def stepped(optimizer, weight, gradient, **options):
    """What one step makes of a weight."""
    weight = weight.clone()
    weight.grad = gradient.clone()
    optimizer([weight], **options).step()
    return weight.detach()


@pytest.fixture
def weights():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def gradients():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


class TestFromage:
    @pytest.mark.parametrize("scale", [1e-40, 1e-30, 1.0, 1e15, 1e36])
    def test_it_is_fromage_in_float32_at_any_scale(self, scale, weights, gradients):
        gradients = scale * gradients
        gradients[0, 0] = 0.0
        weights[1, 1] = 0.0
        stacked = stepped(StackedFromage, weights, gradients, lr=0.1)
        # In float32 a number near 1e-40 has two or three digits.
        close = {"rtol": 1e-4, "atol": 1e-5} if scale < 1e-38 else {"rtol": 1e-5, "atol": 1e-6}
        for row in range(3):
            for column in range(4):
                alone = stepped(Fromage, weights[row, column], gradients[row, column], lr=0.1)
                torch.testing.assert_close(stacked[row, column], alone, **close)

    def test_it_is_algorithm_1(self, weights, gradients):
        weight, gradient = weights.double(), gradients.double()
        norms = [each.flatten(2).norm(dim=2)[..., None, None] for each in (weight, gradient)]
        expected = (weight - 0.1 * norms[0] / norms[1] * gradient) / (1 + 0.1**2) ** 0.5
        for naive in (False, True):
            moved = stepped(StackedFromage, weight, gradient, lr=0.1, naive=naive)
            torch.testing.assert_close(moved, expected, rtol=1e-13, atol=1e-13)

    def test_a_layer_without_a_gradient_rests(self, weights):
        for naive in (False, True):
            assert stepped(StackedFromage, weights, torch.zeros(SHAPE), lr=0.1, naive=naive).equal(weights)

    def test_naive_norms_agree_where_squares_stay_in_range(self, weights, gradients):
        for scale in (1e-15, 1.0, 1e15):
            safe, naive = (
                stepped(StackedFromage, weights, scale * gradients, lr=0.1, naive=naive)
                for naive in (False, True)
            )
            torch.testing.assert_close(naive, safe, rtol=1e-5, atol=1e-6)

    def test_naive_norms_lose_small_gradients_in_float32(self, weights, gradients):
        small = 1e-25 * gradients
        # The squares are below 1e-45: the norm is 0, and nothing moves.
        assert stepped(StackedFromage, weights, small, lr=0.1, naive=True).equal(weights)
        moved = stepped(StackedFromage, weights, small, lr=0.1)
        torch.testing.assert_close(moved, stepped(StackedFromage, weights, gradients, lr=0.1))
        doubles = [
            stepped(StackedFromage, weights.double(), small.double(), lr=0.1, naive=naive)
            for naive in (False, True)
        ]
        torch.testing.assert_close(*doubles, rtol=1e-12, atol=1e-12)

    def test_naive_norms_take_a_step_too_long_where_squares_lose_digits(self, weights, gradients):
        # Near 1e-22 some squares vanish: the norm is too small, so that the step is too long.
        faint = 3e-23 * gradients
        naive, safe = (
            stepped(StackedFromage, weights, faint, lr=0.1, naive=naive) for naive in (True, False)
        )
        assert ((naive - weights).norm() / (safe - weights).norm()).item() > 1.05

    def test_naive_norms_lose_large_gradients_too(self, weights, gradients):
        moved = stepped(StackedFromage, weights, 1e25 * gradients, lr=0.1, naive=True)
        # The norm is infinite: no step, and the correction shrinks the weights all the same.
        torch.testing.assert_close(moved, weights / (1 + 0.1**2) ** 0.5)


class TestNormalized:
    @pytest.mark.parametrize("scale", [1e-42, 1e-30, 1.0, 1e30])
    def test_every_layer_steps_by_lr_at_any_scale(self, scale, weights, gradients):
        gradients = scale * gradients
        moved = stepped(NormalizedSGD, weights, gradients, lr=0.1)
        lengths = (moved - weights).flatten(2).norm(dim=2)
        torch.testing.assert_close(lengths, torch.full((3, 4), 0.1), rtol=1e-3, atol=0)
        for row in range(3):
            for column in range(4):
                one = stepped(
                    NormalizedSGD, weights[row, column], gradients[row, column], lr=0.1, stacked=False
                )
                torch.testing.assert_close(one, moved[row, column], rtol=1e-6, atol=1e-7)

    def test_it_is_its_formula(self, weights, gradients):
        weight, gradient = weights.double(), gradients.double()
        expected = weight - 0.1 * gradient / gradient.flatten(2).norm(dim=2)[..., None, None]
        torch.testing.assert_close(stepped(NormalizedSGD, weight, gradient, lr=0.1), expected)

    def test_a_layer_without_a_gradient_rests_and_its_neighbors_do_not(self, weights, gradients):
        gradients[2, 3] = 0.0
        moved = stepped(NormalizedSGD, weights, gradients, lr=0.1)
        assert moved[2, 3].equal(weights[2, 3]) and not (moved[0] == weights[0]).any()
        zeros = torch.zeros(5)
        assert stepped(NormalizedSGD, torch.ones(5), zeros, lr=0.1, stacked=False).equal(torch.ones(5))

    def test_alone_it_takes_a_parameter_of_any_shape_and_layout(self):
        for weight in (torch.ones(()), torch.ones(4), torch.ones(2, 3, 4), torch.ones(4, 3).T):
            gradient = torch.full_like(weight, 1e-30)
            moved = stepped(NormalizedSGD, weight, gradient, lr=0.1, stacked=False)
            assert (moved - weight).norm().item() == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("optimizer", [StackedFromage, NormalizedSGD])
@pytest.mark.parametrize("lr", [-1, float("nan"), float("inf"), "0.1", None, True])
def test_a_bad_learning_rate_is_refused(optimizer, lr):
    with pytest.raises(ValueError, match=re.escape(f"lr is {lr!r}: give a finite number >= 0")):
        optimizer([torch.ones(1, 1, 2, 2)], lr=lr)
