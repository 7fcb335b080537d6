"""Checks of chapter 08, Fromage."""

import math

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_08_1", "check_08_2", "check_08_3"]


@exercise("a number of steps", right="right: nearly fourteen thousand steps; slow, and without end")
def check_08_1(answer):
    """Steps of equation (4), at right angles and with lr 0.01, that double a norm.

    >>> check_08_1(6932)
    not quite: that doubles the squared norm
    False
    """
    steps = 2 * math.log(2) / math.log1p(0.01**2)
    if close(answer, steps / 2):
        return "that doubles the squared norm"
    if close(answer, math.log(2) / math.log(1.01)):
        return "the step goes sideways: one step adds about 0.005 %, not 1 %"
    return close(answer, steps) or "each step multiplies the norm by the root of 1.0001"


@exercise("a fraction", right="right: 1 % a step, and the division takes a little more")
def check_08_2(answer):
    """What is left of a norm after 100 steps of Fromage with lr 0.01 along the layer.

    >>> check_08_2(1.0)
    not quite: the norm is kept at right angles only
    False
    """
    if close(answer, 1.0):
        return "the norm is kept at right angles only"
    # The two differ by half a percent.
    if close(answer, 0.99**100, rel=1e-3):
        return "nearly: the division by the root of 1.0001 is missing"
    return (
        close(answer, (0.99 / math.hypot(1, 0.01)) ** 100, rel=1e-3) or "one step multiplies by 0.99/√1.0001"
    )


@exercise(
    "two lists of numbers (W, g) or 'true'",
    right="right: the budget is a fraction of all singular values together",
)
def check_08_3(answer):
    """A diagonal W and g for which a step with lr 0.01 moves the largest singular value by more than 2 %.

    >>> check_08_3(([1.0, 1.0], [-1.0, 0.0]))
    not quite: the largest singular value changes by 1.4 %: try more numbers, or another sign
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "try a large identity matrix, and a gradient with one entry"
    weight, grad = ([float(number) for number in numbers] for numbers in answer)
    if len(weight) != len(grad):
        return "W and g need as many numbers"
    size, slope = math.hypot(*weight), math.hypot(*grad)
    if not 0 < size < math.inf or not 0 < slope < math.inf:
        return "W and g must not be zero"
    step = 0.01 * size / slope
    after = [(w - step * g) / math.hypot(1, 0.01) for w, g in zip(weight, grad, strict=True)]
    before = max(map(abs, weight))
    change = abs(max(map(abs, after)) / before - 1)
    return change > 0.02 or (
        f"the largest singular value changes by {100 * change:.1f} %: try more numbers, or another sign"
    )
