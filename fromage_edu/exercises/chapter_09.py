"""Checks of chapter 09, depth."""

import math

import torch
from torch.nn.functional import cross_entropy

from fromage_edu.exercises.form import close, exercise
from fromage_edu.networks import Perceptron
from fromage_edu.optim import Fromage

__all__ = ["check_09_1", "check_09_2", "check_09_3"]


@exercise("a whole number of hidden layers", right="right: 6^(-9) is below 2^(-23), 6^(-8.5) is not")
def check_09_1(answer):
    """The depth from which 6^(-L/2) is below 2^(-23), the spacing of float32 numbers at 1.

    >>> check_09_1(9)
    not quite: after L layers the factor is 6 to the power -L/2, not -L
    False
    """
    layers = float(answer)
    exact = math.ceil(2 * 23 * math.log(2) / math.log(6))
    if layers == math.ceil(exact / 2):
        return "after L layers the factor is 6 to the power -L/2, not -L"
    return layers == exact or "solve 6^(-L/2) = 2^(-23) for L, then round up"


@exercise("a number", right="right: c multiplies m and sqrt(v) alike")
def check_09_2(answer):
    """The factor on the loss that turns Adam's eps of 1e-8 into one of 1e-20.

    >>> check_09_2(1e-12)
    not quite: this factor makes eps matter more: c must enlarge the gradient
    False
    """
    if close(answer, 1e-12):
        return "this factor makes eps matter more: c must enlarge the gradient"
    return close(answer, 1e12) or "write c*m / (c*sqrt(v) + eps) as m / (sqrt(v) + ...)"


@exercise("a positive number", right="right: Adam hardly moves, and Fromage did not notice")
def check_09_3(answer):
    """A factor on the loss that stops Adam at depth 2 and that Fromage does not notice: both take a step.

    >>> check_09_3(1e-3)
    not quite: Adam still takes at least 1 % of its step
    False
    >>> check_09_3(1e-45)
    not quite: in float32 every gradient is 0: nobody moves
    False
    """
    factor = float(answer)
    if not 0 < factor < math.inf:
        return "the factor must be positive and finite"
    adam, adam_scaled = (_first_step(torch.optim.Adam, 0.001, scale) for scale in (1, factor))
    fromage, fromage_scaled = (_first_step(Fromage, 0.01, scale) for scale in (1, factor))
    if not fromage_scaled.any():
        return "in float32 every gradient is 0: nobody moves"
    if (fromage_scaled - fromage).norm() > 0.01 * fromage.norm():
        return "in float32 parts of the gradient are lost and even Fromage notices: enlarge the factor"
    return bool(adam_scaled.norm() < 0.01 * adam.norm()) or "Adam still takes at least 1 % of its step"


def _first_step(optimizer, lr, factor):
    """Change of the first weights in one step on random images and labels, the loss times a factor."""
    generator = torch.Generator().manual_seed(0)
    network = Perceptron([64, 32, 32, 10], bias=True, output_nonlinearity=False, generator=generator)
    images, labels = torch.randn(32, 64, generator=generator), torch.arange(32) % 10
    weight = network.weights[0]
    before = weight.detach().clone()
    (factor * cross_entropy(network(images), labels)).backward()
    optimizer(network.parameters(), lr=lr).step()
    return weight.detach() - before
