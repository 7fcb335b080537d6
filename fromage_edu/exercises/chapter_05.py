"""Checks of chapter 05, how far Jacobians move."""

import torch

from fromage_edu.bounds import product_bound
from fromage_edu.exercises.form import close, exercise

__all__ = ["check_05_1", "check_05_2", "check_05_3"]


@exercise(
    "two numbers (with slope 0.5, with none)", right="right: 2² − 1, and nothing where no slope can jump"
)
def check_05_1(answer):
    """The bracket of Theorem 2 for two layers that do not change.

    >>> check_05_1((1, 0))
    not quite: the second is right; C_2 = 2 stands in the product once for each of the two layers
    False
    """
    leaky, linear = answer
    if not close(linear, 0):
        return "without nonlinearity all slopes are 1: C_2 = 1, and nothing changes"
    if close(leaky, 0):
        return "the second is right; with slope 0.5 C_2 is not 1"
    if close(leaky, 99):
        return "the second is right; the ratio β/α is 4, and C_2 takes its root"
    return (
        close(leaky, 3)
        or "the second is right; C_2 = 2 stands in the product once for each of the two layers"
    )


@exercise("two numbers (first entry, second entry)", right="right: W_2 times the slopes, times W_1")
def check_05_2(answer):
    """The Jacobian of a two-layer network with a leaky ReLU of slope 0.5 at (1, 1).

    >>> check_05_2((6, -6))
    not quite: this leaves out the slope 0.5 of the second hidden number
    False
    """
    first, second = answer
    if close(first, 6) and close(second, -6):
        return "this leaves out the slope 0.5 of the second hidden number"
    if close(first, 2) and close(second, -1):
        return "the number that enters the last nonlinearity is positive: its slope is 1"
    if close(first, 2) and close(second, 2):
        return "this is the Jacobian from the hidden layer; multiply it by W_1"
    return (close(first, 4) and close(second, -2)) or "multiply (2 4), the diagonal (1, 0.5), and W_1"


@exercise("two pairs (W1, change of W1) or 'true'", right="right: a hill fails from either side")
def check_05_3(answer):
    """A column W_1 and its change that break the printed Lemma 5 where W_2 = (1 0) stays.

    >>> check_05_3(((1, 1), (0.1, 0)))
    not quite: the squared change is 0.01, the bound 0.02: make the entry that passes smaller
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "let the first entry of W_1 be small, and change that one"
    first, change = (torch.tensor([float(value) for value in pair], dtype=torch.float64) for pair in answer)
    if first.shape != (2,) or change.shape != (2,):
        raise ValueError("two numbers each")
    if first[0] == 0:
        return "then the product is 0 and has no relative change; take a small first entry"
    last = torch.tensor([[1.0, 0.0]]).double()
    before, after = [first[:, None], last], [(first + change)[:, None], last]
    bound = product_bound(before, after, as_printed=True)
    # Beyond rounding, so that no change at all does not count.
    return bool(bound.measured > bound.bound * (1 + 1e-9)) or (
        f"the squared change is {bound.measured:.3g}, the bound {bound.bound:.3g}: "
        "make the entry that passes smaller"
    )
