"""Checks of chapter 02, a network of two numbers."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_02_1", "check_02_2", "check_02_3"]


@exercise("two numbers (change, D)", right="right: the function has not moved, yet D is above 14")
def check_02_1(answer):
    """Relative change and deep relative trust when a is multiplied and b divided by 4.

    >>> check_02_1((0, 0))
    not quite: the relative change is right; D squares u and v, so nothing cancels in it
    False
    """
    change, trust = answer
    if not close(change, 0, rel=1e-6):
        return "a grows fourfold and b shrinks fourfold: what does the product a·b do?"
    return close(trust, 14.625) or "the relative change is right; D squares u and v, so nothing cancels in it"


@exercise("a number", right="right: far above 20, far below the constant 1,048,575")
def check_02_2(answer):
    """Squared relative change over D for twenty layers that all change by 10 %.

    >>> check_02_2(26)
    not quite: square the relative change before you divide by D
    False
    """
    change, trust = 1.1**20 - 1, 1.01**20 - 1
    if close(answer, change / trust):
        return "square the relative change before you divide by D"
    return close(answer, change**2 / trust) or "divide (1.1^20 - 1)² by 1.01^20 - 1"


@exercise("two numbers (u, v) or 'true'", right="right: opposite signs, and still more than D")
def check_02_3(answer):
    """A step with u·v < 0 whose squared relative change exceeds D.

    >>> check_02_3((0.5, -0.2))
    not quite: the squared change is 0.04 and D is 0.3: not above
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "the difference is 2uv(1 + u + v); make 1 + u + v negative"
    u, v = (float(part) for part in answer)
    if not u * v < 0:
        return "u and v must have opposite signs"
    squared, trust = (u + v + u * v) ** 2, u**2 + v**2 + (u * v) ** 2
    return squared > trust * (1 + 1e-9) or f"the squared change is {squared:g} and D is {trust:g}: not above"
