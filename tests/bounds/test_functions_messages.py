"""What the bounds of functions refuse, and what they say."""

import re

import pytest
import torch
from torch import nn

from fromage_edu import bounds
from fromage_edu.bounds import (
    HypothesisError,
    functional_bound,
    magnitude_bound,
    operator_bound,
    restricted_bound,
    tau,
)
from fromage_edu.networks import Perceptron

DOUBLE = {"dtype": torch.float64}
EYE = torch.eye(2)


def eye(count, size=2, factor=1.0):
    return [torch.eye(size, **DOUBLE) * factor] * count


ROW, X = EYE[:1], torch.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: functional_bound([ROW], [ROW], X),
            HypothesisError,
            "layer 1 is wide (1 x 2): Theorem 1 needs n_0 <= n_1; operator_bound holds for any shape",
        ),
        (
            lambda: magnitude_bound([EYE, ROW], [EYE, ROW], X),
            HypothesisError,
            "layer 2 is wide (1 x 2): Lemma 2 needs n_1 <= n_2; operator_bound holds for any shape",
        ),
        (
            lambda: functional_bound([EYE, EYE * 0 + 1], [EYE, EYE], X),
            HypothesisError,
            "layer 2 (2 x 2) has no full rank, its condition number is infinite: Theorem 1 needs a",
        ),
        (
            lambda: functional_bound([EYE], [EYE], X, nonlinearity=nn.ReLU()),
            HypothesisError,
            "layer 1 ends in ReLU, which has alpha = 0: Theorem 1 needs alpha > 0; operator_bound needs none",
        ),
        (
            lambda: restricted_bound([EYE], [EYE], X, nonlinearity=torch.tanh),
            HypothesisError,
            "layer 1 ends in tanh, which has alpha = 0: the restricted bound needs alpha > 0",
        ),
        (
            lambda: operator_bound([EYE], [EYE], X, nonlinearity=nn.Sigmoid()),
            HypothesisError,
            "Sigmoid maps 0 to 0.5: the operator bound needs phi(0) = 0; subtract that value",
        ),
        (
            lambda: functional_bound([EYE], [EYE], torch.stack([X, 0 * X])),
            HypothesisError,
            "input 1 is 0: Theorem 1 bounds a relative change, which needs f(x) != 0",
        ),
        (
            lambda: restricted_bound([EYE * 0], [EYE], X),
            HypothesisError,
            "input 0 is mapped to 0 by layer 1",
        ),
        (
            lambda: functional_bound([EYE * 0], [EYE], X, as_printed=True),
            HypothesisError,
            "layer 1 is 0: a relative size needs a non-zero matrix; operator_bound needs none",
        ),
        (
            lambda: functional_bound(Perceptron([2, 2], bias=True), Perceptron([2, 2], bias=True), X),
            HypothesisError,
            "layer 1 has a bias: Theorem 1 is about networks without; use bias=False",
        ),
        (
            lambda: operator_bound(Perceptron([2, 2]), Perceptron([2, 2], nn.Tanh()), X),
            ValueError,
            "`before` has ReLU where `after` has Tanh: only weights may differ",
        ),
        (
            lambda: operator_bound(Perceptron([2, 2]), Perceptron([2, 2]), X, nonlinearity=nn.Tanh()),
            ValueError,
            "`before` is a Perceptron with a nonlinearity: leave out nonlinearity=",
        ),
        (
            lambda: operator_bound([EYE], [EYE], X, nonlinearity="relu"),
            TypeError,
            "nonlinearity is 'relu': give a module or a function",
        ),
        (
            lambda: operator_bound([EYE], [EYE], X, nonlinearity=nn.ReLU),
            TypeError,
            "nonlinearity is the class ReLU: give an instance, ReLU()",
        ),
        (
            lambda: operator_bound([EYE], [EYE], X, nonlinearity=nn.ReLU(), transmission=1.0),
            TypeError,
            "transmission is 1.0: give Transmission(alpha, beta)",
        ),
        (
            lambda: tau([EYE.double() * 1e200] * 2, X),
            ValueError,
            "h_2(x) leaves float64: choose smaller inputs or weights",
        ),
        (lambda: operator_bound([EYE], [EYE], [1.0, 1.0]), TypeError, "x is a list: give a tensor of shape"),
        (
            lambda: operator_bound([EYE], [EYE], torch.ones(3)),
            ValueError,
            "x has shape (3,): its last dimension must be the input width 2",
        ),
        (
            lambda: operator_bound([EYE], [EYE], X * torch.nan),
            ValueError,
            "x holds NaN, infinity or complex numbers: give finite real inputs",
        ),
        (
            lambda: operator_bound(nn.Linear(2, 2), [EYE], X),
            TypeError,
            "`before` is a Linear: give a Perceptron or its matrices",
        ),
        (
            lambda: operator_bound([EYE.expand(3, 2, 2)], [EYE.expand(4, 2, 2)], X),
            ValueError,
            "leading dimensions (3,), (4,) and, of x, () do not fit together",
        ),
        (
            lambda: operator_bound([EYE.expand(3, 2, 2)], [EYE], torch.ones(4, 5, 2)),
            ValueError,
            "leading dimensions (3,), () and, of x, (4,) do not fit together: matrices",
        ),
        (lambda: operator_bound([EYE], [EYE, EYE], X), ValueError, "`before` has 1 layers and `after` has 2"),
        (
            lambda: operator_bound(eye(5, factor=1e200), eye(5, factor=1e200), X.double()),
            ValueError,
            "f(x) leaves float64: choose smaller inputs or weights",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_a_hypothesis_error_is_a_value_error():
    assert issubclass(bounds.HypothesisError, ValueError)
