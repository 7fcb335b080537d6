"""The scalar bounds against an oracle of 700 digits: sharpness, constants, the edges of the hypotheses."""

import re

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fromage_edu.bounds import (
    HypothesisError,
    exponential_bound,
    scalar_bound,
    scalar_chain_bound,
    scalar_terms,
)

pytestmark = pytest.mark.result("F11")

CHANGES = st.floats(-1e3, 1e3, allow_subnormal=False)
CHAINS = st.lists(CHANGES | st.sampled_from([-1.0, -2.0, 1.0, 0.0, 1e-8]), min_size=1, max_size=30)


def chain_oracle(changes):
    with mpmath.workdps(700):
        factors = [1 + mpmath.mpf(u) for u in changes]
        measured = (mpmath.fprod(factors) - 1) ** 2
        trust = mpmath.fprod(1 + mpmath.mpf(u) ** 2 for u in changes) - 1
        return measured, (mpmath.mpf(2) ** len(changes) - 1) * trust


@given(CHANGES, CHANGES)
def test_scalar_bound_matches_the_oracle_and_holds(u, v):
    bound = scalar_bound(1.0, 1.0, u, v)
    measured, limit = chain_oracle([u, v])
    # Cancellation in u + v + uv loses digits relative to its terms, not to its value.
    assert bound.measured.item() == pytest.approx(
        float(measured), rel=1e-9, abs=1e-15 * float(limit) + 1e-300
    )
    assert bound.bound.item() == pytest.approx(float(limit), rel=1e-12, abs=1e-300)
    assert bound.holds and bound.slack >= 1 - 1e-9


@given(CHAINS)
def test_chain_bound_matches_the_oracle_and_holds(changes):
    bound = scalar_chain_bound([1.0] * len(changes), changes)
    measured, limit = chain_oracle(changes)
    assert bound.measured.item() == pytest.approx(
        float(measured), rel=1e-9, abs=1e-13 * float(limit) + 1e-300
    )
    assert bound.bound.item() == pytest.approx(float(limit), rel=1e-11, abs=1e-300)
    assert bound.holds


@given(CHANGES, CHANGES)
def test_terms_of_the_proof_add_up(u, v):
    terms, bound = scalar_terms(1.0, 1.0, u, v), scalar_bound(1.0, 1.0, u, v)
    size = terms.squares.sum() + 1e-300
    assert abs(terms.squares.sum() + terms.cross.sum() - bound.measured) <= 1e-12 * size
    assert abs(terms.squares.sum() + terms.young.sum() - bound.bound) <= 1e-12 * size
    assert (terms.slacks >= 0).all()
    assert ((terms.young - terms.cross - terms.slacks).abs() <= 1e-12 * size).all()


def test_chain_of_two_is_the_scalar_bound():
    one, two = scalar_bound(2.0, -3.0, 0.5, 1.5), scalar_chain_bound([2.0, -3.0], [0.5, 1.5])
    torch.testing.assert_close(tuple(one), tuple(two), rtol=1e-12, atol=0)


@pytest.mark.parametrize("depth", [1, 2, 3, 10, 100, 500])
def test_the_constant_is_attained_when_every_weight_doubles(depth):
    weights = torch.linspace(-3, 2, depth, dtype=torch.float64) + 0.0001
    assert scalar_chain_bound(weights, weights).slack.item() == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize(("r", "ratio"), [(1e-3, 10.09), (0.3, 119.6), (1.0, 1023.0), (10.0, 6.1)])
def test_squared_change_over_trust_at_equal_relative_changes(r, ratio):
    bound = scalar_chain_bound([1.0] * 10, [r] * 10)
    assert (bound.measured / bound.bound * 1023).item() == pytest.approx(ratio, rel=1e-2)


@pytest.mark.parametrize("depth", [1, 30, 1000, 1023, 1500, 2500])
@pytest.mark.parametrize("u", [0.0, 1e-8, -1e-8, 0.1, -0.5, -1.0, -1.7, 1.0, 1e3])
def test_deep_chains_overflow_only_with_the_answer(depth, u):
    bound = scalar_chain_bound([1.0] * depth, [u] * depth)
    for value, oracle in zip(bound, chain_oracle([u] * depth), strict=True):
        if oracle > 1.79e308:
            assert value == float("inf")
        else:
            assert value.item() == pytest.approx(float(oracle), rel=1e-9, abs=1e-300)
    assert bound.holds


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_gradient_ascent_reaches_the_bound_and_never_breaks_it(depth):
    u = (torch.rand(20, depth, dtype=torch.float64) * 3).requires_grad_()
    optimizer = torch.optim.Adam([u], lr=0.05)
    for _ in range(300):
        bound = scalar_chain_bound(torch.ones_like(u), u)
        assert bound.holds.all()
        optimizer.zero_grad()
        bound.slack.log().sum().backward()
        optimizer.step()
    assert bound.slack.max().item() == pytest.approx(1, abs=1e-6)


def test_numbers_are_float64_and_tensors_keep_their_dtype():
    assert scalar_bound(1, 1, 0.1, 0.1).measured.dtype == torch.float64
    assert scalar_bound(1.0, 1.0, 0.1, 0.0).measured.item() == pytest.approx(0.01, rel=1e-15)
    single = scalar_bound(*torch.tensor([1.0, 1.0, 0.5, 0.5]))
    assert single.measured.dtype == single.bound.dtype == torch.float32
    half = scalar_chain_bound(torch.ones(3, dtype=torch.float16), torch.ones(3, dtype=torch.float16))
    assert half.bound.dtype == torch.float32 and half.holds


def test_shapes_broadcast():
    bound = scalar_bound(torch.ones(3, 1), 2.0, torch.rand(4), torch.rand(3, 4))
    assert bound.measured.shape == bound.bound.shape == bound.holds.shape == bound.slack.shape == (3, 4)
    assert scalar_terms(torch.ones(3, 1), 2.0, torch.rand(4), 0.0).young.shape == (3, 4, 3)
    assert scalar_chain_bound(torch.ones(5), torch.rand(2, 3, 5)).bound.shape == (2, 3)
    assert scalar_bound(torch.ones(0), 1.0, torch.ones(0), 0.0).holds.shape == (0,)


def test_terms_are_differentiable():
    inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (2.0, 3.0, 0.5, -0.7)]
    assert torch.autograd.gradcheck(lambda *args: tuple(scalar_bound(*args)), inputs)


@pytest.mark.result("F18")
class TestExponential:
    @given(st.lists(st.floats(0, 3), min_size=1, max_size=40))
    def test_trust_lies_between_a_sum_of_squares_and_an_exponential(self, sizes):
        bound = exponential_bound(sizes)
        squares = mpmath.fsum(mpmath.mpf(r) ** 2 for r in sizes)
        assert bound.bound.item() == pytest.approx(float(mpmath.expm1(squares)), rel=1e-11, abs=1e-300)
        assert bound.holds and bound.measured.item() >= float(squares) * (1 - 1e-12)

    @pytest.mark.parametrize("x", [0.1, 1.0, 2.0])
    def test_equal_sizes_rise_to_the_limit_with_depth(self, x):
        depths = [1, 10, 100, 1000, 100_000]
        bounds = [exponential_bound(torch.full((n,), x / n**0.5, dtype=torch.float64)) for n in depths]
        trusts = [bound.measured.item() for bound in bounds]
        assert trusts == sorted(trusts)
        assert trusts[-1] == pytest.approx(mpmath.expm1(x**2), rel=1e-3)

    def test_shapes_and_precision(self):
        bound = exponential_bound(torch.rand(2, 3, 5))
        assert bound.measured.shape == bound.bound.shape == (2, 3) and bound.bound.dtype == torch.float32
        with pytest.raises(ValueError, match="sizes hold -1: a relative size"):
            exponential_bound([-1.0])

    def test_a_list_of_tensors_is_a_stack_and_stays_differentiable(self):
        sizes = [torch.rand(3, requires_grad=True, dtype=torch.float64) for _ in range(2)]
        bound = exponential_bound(sizes)
        torch.testing.assert_close(tuple(bound), tuple(exponential_bound(torch.stack(sizes))))
        assert bound.bound.requires_grad


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: scalar_bound(0, 1, 1, 1), HypothesisError, "a holds 0: a relative change needs a non-zero"),
        (lambda: scalar_terms(1, 0, 1, 1), HypothesisError, "b holds 0: a relative change needs a non-zero"),
        (lambda: scalar_bound(1, 1, float("nan"), 1), HypothesisError, "da holds NaN or infinity"),
        (lambda: scalar_bound(1, float("inf"), 1, 1), HypothesisError, "b holds NaN or infinity"),
        (
            lambda: scalar_bound(1e-300, 1, 1e300, 0),
            HypothesisError,
            "da/a leaves torch.float64: choose a smaller",
        ),
        (lambda: scalar_chain_bound([1, 0.0], [1, 1]), HypothesisError, "weights holds 0"),
        (lambda: scalar_chain_bound([1, 1.0], [1, float("nan")]), HypothesisError, "changes holds NaN"),
        (lambda: scalar_chain_bound([], []), ValueError, "weights have shape (0,): the last dimension must"),
        (lambda: scalar_chain_bound(1.0, 1.0), ValueError, "weights have shape (): the last dimension must"),
        (
            lambda: scalar_chain_bound([1.0, 1], [1.0, 1, 1]),
            ValueError,
            "shapes (2,) and (3,) do not broadcast",
        ),
        (
            lambda: scalar_bound([1.0, 1], 1, [1.0, 1, 1], 1),
            ValueError,
            "shapes (2,) and (3,) do not broadcast",
        ),
        (
            lambda: scalar_bound([1.0, 1], [1.0] * 3, 1, 1),
            ValueError,
            "shapes (2,) and (3,) do not broadcast",
        ),
        (lambda: scalar_bound(torch.ones(2) * 1j, 1, 1, 1), TypeError, "a is torch.complex64: give real"),
        (lambda: scalar_bound("x", 1, 1, 1), TypeError, "a is a str: give a number or a tensor"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
