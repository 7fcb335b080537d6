"""Checks of chapter 06, breakdown."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_06_1", "check_06_2", "check_06_3"]


def _growth(stretch, others=15):
    """How much (1 + cη)^others − 1 grows from η = 1 % to 10 %."""
    return ((1 + 0.1 * stretch) ** others - 1) / ((1 + 0.01 * stretch) ** others - 1)


@exercise("two numbers (2 weights, 16 weights)", right="right: sixteen layers in step make 20, not thousands")
def check_06_1(answer):
    """Growth of the change of the first gradient from 1 % to 10 %, for chains of 2 and of 16 ones.

    >>> check_06_1((10, 20.83))
    not quite: the first weight is not in its own gradient: fifteen others are
    False
    """
    two, sixteen = answer
    if not close(two, 10):
        return "with two weights the gradient is the other weight: how does its change grow?"
    if close(sixteen, _growth(1, others=16), rel=2e-3):
        return "the first weight is not in its own gradient: fifteen others are"
    return close(sixteen, _growth(1), rel=1e-2) or "2 is right; for 16 divide 1.1¹⁵ − 1 by 1.01¹⁵ − 1"


@exercise("a number", right="right: the median slice asks for layers that move nearly ten times the step")
def check_06_2(answer):
    """The stretch c for which the rule of thumb grows 8,198 times.

    >>> check_06_2(8)
    not quite: with this c the growth is 3,105
    False
    """
    if not float(answer) > 0:
        return "c is positive"
    return abs(_growth(float(answer)) / 8198 - 1) < 0.06 or (
        f"with this c the growth is {_growth(float(answer)):,.0f}"
    )


@exercise(
    "slopes, such as (-1, -0.5, -0.2), or 'true'", right="right: what happens on the way counts, not the end"
)
def check_06_3(answer):
    """Slopes along a walk that ends within 100 % of the first slope, −1, and yet uphill in all; or "true".

    >>> check_06_3((-1, 3, 1))
    not quite: the last slope differs from the first by 200 %
    False
    >>> check_06_3("true")
    not quite: the slopes in between may be anything
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "the slopes in between may be anything"
    slopes = [float(slope) for slope in answer]
    if len(slopes) < 2:
        return "give two slopes or more"
    if not close(slopes[0], -1, rel=1e-9):
        return "the first slope is -1: the gradient at the start"
    off = abs(slopes[-1] - slopes[0])
    if not off < 1:
        return f"the last slope differs from the first by {100 * off:.0f} %"
    area = sum((here + there) / 2 for here, there in zip(slopes, slopes[1:], strict=False))
    rise = area / (len(slopes) - 1)
    return rise >= 0 or f"here the loss still falls, by {-rise:.3g} times the length of the walk"
