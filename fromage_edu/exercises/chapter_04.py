"""Checks of chapter 04, how far functions move."""

import math

import torch

from fromage_edu.bounds import functional_bound
from fromage_edu.exercises.form import close, exercise

__all__ = ["check_04_1", "check_04_2", "check_04_3"]


@exercise("two numbers (with slope 0.1, with none)", right="right: C_0 has 64 digits, or 44 without")
def check_04_1(answer):
    """Decades of C_0 for ten layers of width 100 and condition number 10.

    >>> check_04_1((53.01, 43.01))
    not quite: β/α is 100, not 10: α belongs to squares
    False
    """
    leaky, linear = answer
    if close(linear, 2e4**10):
        return "give powers of ten: log10 of the constant"
    if not close(linear, 10 * math.log10(2e4), rel=5e-3):
        return "without nonlinearity one layer brings 2 · 100 · 10²: take log10, times ten"
    if close(leaky, 10 * math.log10(2e5), rel=5e-3):
        return "β/α is 100, not 10: α belongs to squares"
    return close(leaky, 10 * math.log10(2e6), rel=5e-3) or "the second is right; now β/α is 100 in each layer"


@exercise("two numbers (G, bound)", right="right: 50 times (1.1 · 1.2 − 1)")
def check_04_2(answer):
    """G of X1 and the bound for two layers with ρ = 0.1 and 0.2.

    >>> check_04_2((50, 15))
    not quite: G is right; multiply 1.1 and 1.2, do not add 0.1 and 0.2
    False
    """
    gain, bound = answer
    if close(gain, 5 * math.sqrt(5) * 5):
        return "the operator norm of W_1 is its largest stretch, 2"
    if not close(gain, 50):
        return "G is the length of x times the two operator norms"
    if close(bound, 15):
        return "G is right; multiply 1.1 and 1.2, do not add 0.1 and 0.2"
    return close(bound, 16) or "G is right; the bracket is (1 + ρ_1)(1 + ρ_2) − 1"


@exercise("two pairs (x, change of W1) or 'true'", right="right: what the first layer lost stays lost")
def check_04_3(answer):
    """An input and a change of W_1 = (1 0) that break the printed Theorem 1 for widths 2, 1, 2.

    >>> check_04_3(((1, 1), (0, 0.5)))
    not quite: the squared change is 0.25, the bound 4: turn x towards the null space of W_1
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "let x point almost into the null space of W_1, and change W_1 there"
    x, change = (torch.tensor([float(value) for value in pair], dtype=torch.float64) for pair in answer)
    if x.shape != (2,) or change.shape != (2,):
        raise ValueError("two numbers each")
    if x[0] == 0:
        return "with x in the null space f(x) = 0 has no relative change; come close to it"
    first, second = torch.tensor([[1.0, 0.0]]).double(), torch.ones(2, 1).double()
    bound = functional_bound([first, second], [first + change, second], x, as_printed=True)
    # Beyond rounding, so that no change at all does not count.
    return bool(bound.measured > bound.bound * (1 + 1e-9)) or (
        f"the squared change is {bound.measured:.3g}, the bound {bound.bound:.3g}: "
        "turn x towards the null space of W_1"
    )
