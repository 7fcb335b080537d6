"""Checks of chapter 01, trust regions."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_01_1", "check_01_2", "check_01_3"]


@exercise("a number", right="right: trust is the squared length of the step")
def check_01_1(answer):
    """How the Euclidean trust of a gradient step grows when the loss is multiplied by 100.

    >>> check_01_1(100)
    not quite: by this factor the step grows; its trust is the squared length of the step
    False
    """
    if close(answer, 100):
        return "by this factor the step grows; its trust is the squared length of the step"
    return close(answer, 100**2) or "how does the gradient change when the loss is multiplied by 100?"


@exercise("a fraction, such as 0.05 for 5 %", right="right: about a third of a percent in each layer")
def check_01_2(answer):
    """The relative step in each of thirty layers that moves the output of a chain by 10 %.

    >>> check_01_2(0.1 / 30)
    not quite: this is the gradient's forecast; thirty such steps compound to more than 10 %
    False
    """
    exact = 1.1 ** (1 / 30) - 1
    if close(answer, 0.1 / 30, rel=1e-3):
        return "this is the gradient's forecast; thirty such steps compound to more than 10 %"
    if close(answer, 100 * exact):
        return "give a fraction, not percent"
    return close(answer, exact) or "multiply 1 + r thirty times by itself: it should give 1.1"


@exercise("three numbers (K, eta, w) or 'true'", right="right: the loss rises, the claim is broken")
def check_01_3(answer):
    """A quadratic loss that rises under gradient descent with a learning rate below 3/K.

    >>> check_01_3("true")
    not quite: try eta = 2.9 / K on the loss K/2 w²
    False
    >>> check_01_3((2.0, 0.5, 1.0))
    not quite: the loss goes from 1 to 0: it does not rise
    False
    """
    if isinstance(answer, str):
        if answer.strip().lower() != "true":
            raise ValueError(f"{answer!r} is not an answer")
        return "try eta = 2.9 / K on the loss K/2 w²"
    curvature, eta, start = (float(part) for part in answer)
    if not (curvature > 0 and 0 < eta < 3 / curvature):
        return "K must be positive, and eta between 0 and 3/K"
    before, after = (curvature / 2 * w**2 for w in (start, (1 - eta * curvature) * start))
    # A factor above rounding: eta = 2/K exactly leaves the loss where it is.
    return after > before * (1 + 1e-9) or f"the loss goes from {before:g} to {after:g}: it does not rise"
