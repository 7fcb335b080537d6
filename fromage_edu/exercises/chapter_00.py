"""Checks of chapter 00, matrices as stretchers."""

import torch

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_00_1", "check_00_2", "check_00_3"]


@exercise("three numbers (operator, Frobenius, condition)", right="right: large, and perfectly round")
def check_00_1(answer):
    """Norms and condition number of a 100 x 100 matrix that turns every arrow and doubles its length.

    >>> check_00_1((2, 2, 1))
    not quite: there are a hundred singular values; the Frobenius norm adds up all their squares
    False
    """
    operator, frobenius, condition = answer
    if not close(operator, 2):
        return "the operator norm is the largest stretch"
    if close(frobenius, 2):
        return "there are a hundred singular values; the Frobenius norm adds up all their squares"
    if close(frobenius, 400):
        return "take the root of the sum of the squares"
    if not close(frobenius, 20):
        return "add up the squares of a hundred singular values, then take the root"
    return close(condition, 1) or "the condition number is the largest stretch over the smallest"


@exercise("a fraction, such as 0.5 for 50 %", right="right: 1 % in can become 402 % out")
def check_00_2(answer):
    """The largest relative error of Mx, M = [[1, 1], [1, 1.01]], when x is known up to 1 %.

    >>> check_00_2(402)
    not quite: this is the condition number, in round figures; the error of x is 1 %
    False
    """
    singular = torch.linalg.svdvals(torch.tensor([[1.0, 1.0], [1.0, 1.01]], dtype=torch.float64))
    condition = (singular[0] / singular[1]).item()
    if close(answer, condition):
        return "this is the condition number, in round figures; the error of x is 1 %"
    return close(answer, 0.01 * condition) or "multiply 1 % by the condition number"


@exercise(
    "two matrices (M, change), as lists of rows, or 'true'",
    right="right: a small change, and the ellipse is far flatter",
)
def check_00_3(answer):
    """A matrix and a change of at most 1 % of its Frobenius norm that more than doubles its condition number.

    >>> check_00_3(([[1, 0], [0, 1]], [[0, 0], [0, 0.1]]))
    not quite: the change is 7.07 % of the Frobenius norm of M, more than 1 %
    False
    >>> check_00_3(([[1, 0], [0, 1]], [[0, 0], [0, 0.01]]))
    not quite: the condition number goes from 1 to 1.01: not more than twice as large
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "a change of 1 % of the large singular value can be all of a small one"
    before, change = (torch.as_tensor(part, dtype=torch.float64) for part in answer)
    if before.shape != (2, 2) or change.shape != (2, 2):
        raise ValueError("two rows and two columns each")
    relative = (change.norm() / before.norm()).item()
    if not relative <= 0.01 * (1 + 1e-9):
        return f"the change is {relative:.2%} of the Frobenius norm of M, more than 1 %".replace("%", " %", 1)
    condition, changed = (_condition(matrix) for matrix in (before, before + change))
    if condition == float("inf"):
        return "M already sends an arrow to zero: its condition number is infinite"
    return changed > 2 * condition or (
        f"the condition number goes from {condition:.3g} to {changed:.3g}: not more than twice as large"
    )


def _condition(matrix):
    largest, smallest = torch.linalg.svdvals(matrix).tolist()
    # What rounding leaves of a zero counts as zero.
    return largest / smallest if smallest > 1e-15 * largest else float("inf")
