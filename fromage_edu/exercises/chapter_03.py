"""Checks of chapter 03, deep relative trust."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_03_1", "check_03_2", "check_03_3"]


@exercise("two numbers (D, change)", right="right: D reads 0.01 while the output moves by 170 %")
def check_03_1(answer):
    """Deep relative trust, and the change of the output, when each of 100 weights grows by 1 %.

    >>> check_03_1((0.01, 1.0))
    not quite: D is right; the output is multiplied by 1.01 a hundred times
    False
    """
    trust, change = answer
    if close(trust, 1.0):
        return "D adds squares: 0.01² is 0.0001"
    if not close(trust, 1.0001**100 - 1, rel=0.02):
        return "D is a little more than a hundred times 0.01²"
    if close(change, 1.01**100):
        return "D is right; subtract 1: what is asked is the change"
    return close(change, 1.01**100 - 1) or "D is right; the output is multiplied by 1.01 a hundred times"


@exercise("two numbers (each of 50, one alone)", right="right: sharing makes each step an eighth as large")
def check_03_2(answer):
    """The relative step at which D = 1, for fifty layers that share it and for one that moves alone.

    >>> check_03_2((0.1414, 1))
    not quite: this uses the sum S = 1; layers that share a budget multiply, so D would be above 1
    False
    """
    shared, alone = answer
    if not close(alone, 1):
        return "with one layer that moves, D = r²"
    if close(shared, 50**-0.5):
        return "this uses the sum S = 1; layers that share a budget multiply, so D would be above 1"
    if close(shared, 2 ** (1 / 50) - 1):
        return "this is r²: take its root"
    return close(shared, (2 ** (1 / 50) - 1) ** 0.5) or "the fiftieth power of 1 + r² must be 2"


@exercise("two pairs ((r1, r2), (r1, r2)) or 'true'", right="right: the middle is worse than the ends")
def check_03_3(answer):
    """Two pairs of relative sizes whose midpoint has a larger D than the average of theirs.

    >>> check_03_3(((1, 0), (0, 1)))
    not quite: halfway D is 0.5625, the average is 1: try larger sizes
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "try (4, 0) and (0, 4): halfway, both layers move"
    first, second = ([float(size) for size in pair] for pair in answer)
    if len(first) != 2 or len(second) != 2:
        raise ValueError("two sizes each")
    if min(first + second) < 0:
        return "relative sizes are not negative"
    halfway = [(p + q) / 2 for p, q in zip(first, second, strict=True)]
    middle, average = _trust(halfway), (_trust(first) + _trust(second)) / 2
    # Beyond rounding, so that two equal pairs do not count.
    return middle > average * (1 + 1e-9) or (
        f"halfway D is {middle:g}, the average is {average:g}: try larger sizes"
    )


def _trust(sizes):
    return (1 + sizes[0] ** 2) * (1 + sizes[1] ** 2) - 1
