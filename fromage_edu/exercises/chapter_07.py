"""Checks of chapter 07, the surrogate."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_07_1", "check_07_2", "check_07_3"]


@exercise("two numbers (surrogate, exact)", right="right: 40 % where the exact step is 1 %")
def check_07_1(answer):
    """Relative sizes of the surrogate's and of the exact step, for three layers of slope 0.01.

    >>> check_07_1((0.01 ** (1 / 3), 0.01))
    not quite: the exponent is 1/(2L - 1), and L is 3
    False
    """
    surrogate, exact = answer
    if not close(surrogate, 0.01 ** (1 / 5)):
        return "the exponent is 1/(2L - 1), and L is 3"
    return close(exact, 0.01) or "the surrogate is right; exactly, r(1 + r²)² = 0.01, and r is small"


@exercise("two numbers (larger, smaller)", right="right: the product is 1, the sum is 4")
def check_07_2(answer):
    """The exact sizes of two layers of slope 4.

    >>> check_07_2((1.3788, 1.3788))
    not quite: beyond slope 2 the point of equal sizes is a saddle
    False
    """
    larger, smaller = sorted(map(float, answer), reverse=True)
    if close(larger, smaller):
        return "beyond slope 2 the point of equal sizes is a saddle"
    if not close(larger * smaller, 1):
        return "the product of the two sizes must be 1"
    return close(larger + smaller, 4) or "the product is right; the sum must be the slope"


@exercise(
    "sizes, such as (0.5, 0.5), or 'true'", right="right: powers of numbers up to 1 shrink, so D' ≤ S/L ≤ D"
)
def check_07_3(answer):
    """Sizes up to 1 for which the surrogate reads more than deep relative trust, or "true".

    >>> check_07_3((2.0, 0.0))
    not quite: the statement speaks of sizes up to 1
    False
    >>> check_07_3((1.0, 0.0))
    not quite: here D' is 0.5 and D is 1
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return True
    sizes = [float(size) for size in answer]
    if not sizes or min(sizes) < 0:
        return "relative sizes are not negative, and there is at least one"
    if max(sizes) > 1:
        return "the statement speaks of sizes up to 1"
    surrogate, product = sum(size ** (2 * len(sizes)) for size in sizes) / len(sizes), 1.0
    for size in sizes:
        product *= 1 + size**2
    return f"here D' is {surrogate:.3g} and D is {product - 1:.3g}"
