"""The form of an exercise: one decorator that turns a question into a `check_…` function.

A check prints one line and returns a bool; it never raises. Write it like this:

>>> @exercise("a number, such as 0.5", right="right: two layers give 2² − 1 = 3")
... def check_00_1(answer):
...     return close(answer, 3) or "count the terms of (1 + u)(1 + v) - 1"
>>> check_00_1(...)
not yet: replace the dots by a number, such as 0.5
False
>>> check_00_1(2)
not quite: count the terms of (1 + u)(1 + v) - 1
False
>>> check_00_1("three")
not quite: the answer must be a number, such as 0.5
False
>>> check_00_1(3)
right: two layers give 2² − 1 = 3
True
"""

import functools
import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

__all__ = ["close", "exercise"]


def exercise(form: str, *, right: str = "right") -> Callable:
    """Turn a function `answer -> True or a hint` into a check that prints one line and never raises.

    The blank `...`, alone or anywhere inside lists, tuples, sets and dicts, prints "not yet: …"; an answer
    on which the function fails prints what form the answer must have; a right one prints `right`, a wrong
    one the hint.

    Args:
        form: what an answer looks like, to complete "the answer must be …".
        right: the line printed for a right answer; starts with "right".

    Returns:
        The decorator; a check takes the answer and returns a bool.

    Raises:
        ValueError: if the line for a right answer does not start with "right".

    >>> @exercise("a list of two numbers")
    ... def check_00_2(answer):
    ...     return sum(answer) == 1
    >>> check_00_2([0.5, ...])
    not yet: replace the dots by a list of two numbers
    False
    >>> check_00_2([0.5, 0.5])
    right
    True
    """
    if not right.startswith("right"):
        raise ValueError(f"the line for a right answer must start with 'right', not {right!r}")

    def decorate(question):
        @functools.wraps(question)
        def check(answer=...) -> bool:
            solved, line = _judge(question, answer, form, right)
            print(" ".join(line.split()))
            return solved

        return check

    return decorate


def _judge(question, answer, form, right):
    try:
        if _is_blank(answer):
            return False, f"not yet: replace the dots by {form}"
        # An answer may be a function that prints, warns or exits: none of it may reach the page.
        with (
            warnings.catch_warnings(action="ignore"),
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(out),
        ):
            verdict = question(answer)
        solved = not isinstance(verdict, str) and bool(verdict)
    except (Exception, SystemExit):
        return False, f"not quite: the answer must be {form}"
    if solved:
        return True, right
    return False, f"not quite: {verdict}" if isinstance(verdict, str) else "not quite: think again"


def _is_blank(answer):
    if isinstance(answer, dict):
        answer = list(answer.values())
    return answer is ... or isinstance(answer, list | tuple | set) and any(map(_is_blank, answer))


def close(answer, expected: float, rel: float = 1e-2) -> bool:
    """Whether a number, 0-dimensional array or tensor is `expected` within the relative error `rel`.

    Args:
        answer: whatever `float` reads, but for strings and booleans.
        expected: the number it should be.
        rel: the relative error allowed; where `expected` is 0, the error itself.

    Returns:
        Whether it is.

    Raises:
        TypeError: for a string, a boolean, or what is no number at all.

    >>> close(0.3333, 1 / 3), close(0.3, 1 / 3)
    (True, False)
    """
    if isinstance(answer, str | bool):
        raise TypeError(f"{answer!r} is not a number")
    return abs(float(answer) - expected) <= rel * (abs(expected) or 1.0)
