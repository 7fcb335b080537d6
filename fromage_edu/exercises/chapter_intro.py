"""The check of the introduction's exercise, which shows how exercises work."""

from fromage_edu.exercises.form import close, exercise

__all__ = ["check_intro_1"]


@exercise("a fraction, such as 0.5 for 50 % more", right="right: 165 % more, not 100 %")
def check_intro_1(answer):
    """How much a product of twenty factors grows when each factor grows by 5 %.

    >>> check_intro_1(20 * 0.05)
    not quite: that is what twenty changes of 5 % add up to; factors multiply
    False
    """
    exact = 1.05**20 - 1
    if close(answer, 20 * 0.05):
        return "that is what twenty changes of 5 % add up to; factors multiply"
    if close(answer, exact + 1):
        return "that is how large the product is; how much larger is it than before?"
    if close(answer, 100 * exact):
        return "give a fraction, not percent"
    return close(answer, exact) or "(1 + 0.05) multiplied by itself twenty times, minus 1"
