"""What bounds return: rounding is forgiven, NaN is not, decades and factors say the same."""

import mpmath
import pytest
import torch

from fromage_edu.bounds import Bound, LogBound
from fromage_edu.bounds.core import from_logs, log_expm1, log_norm


class TestBound:
    def test_rounding_is_forgiven_by_dtype(self):
        def just_above(dtype, excess):
            return Bound(torch.tensor(1 + excess, dtype=dtype), torch.tensor(1.0, dtype=dtype)).holds

        assert just_above(torch.float64, 5e-10) and not just_above(torch.float64, 5e-9)
        assert just_above(torch.float32, 5e-5) and not just_above(torch.float32, 5e-4)

    def test_nan_never_holds_and_infinity_holds(self):
        nan, inf, one = (torch.tensor(x) for x in (float("nan"), float("inf"), 1.0))
        assert not Bound(nan, one).holds and not Bound(one, nan).holds
        assert Bound(inf, inf).holds and Bound(one, inf).holds and not Bound(inf, one).holds

    def test_slack_of_nothing_measured_is_infinite(self):
        assert Bound(torch.tensor(0.0), torch.tensor(0.0)).slack == float("inf")


class TestLogBound:
    def test_it_says_in_decades_what_a_bound_says_in_factors(self):
        measured = torch.tensor([0.0, 1e-9, 2.0, 3.0], dtype=torch.float64)
        limit = torch.tensor([0.0, 1.0, 2.0, 2.9], dtype=torch.float64)
        plain, decades = Bound(measured, limit), LogBound(measured.log10(), limit.log10())
        assert plain.holds.equal(decades.holds) and decades.holds.tolist() == [True, True, True, False]
        torch.testing.assert_close(plain.slack.log10(), decades.slack)

    def test_rounding_is_added_and_grows_with_the_logarithm(self):
        limit = torch.tensor(500.0, dtype=torch.float64)
        assert LogBound(limit + 1e-7, limit).holds and not LogBound(limit + 1e-6, limit).holds
        assert LogBound(limit.float() + 0.04, limit.float()).holds
        assert not LogBound(limit.float() + 0.06, limit.float()).holds

    def test_infinities_and_nan(self):
        nan, inf, one = (torch.tensor(x) for x in (float("nan"), float("inf"), 1.0))
        assert LogBound(-inf, -inf).holds and LogBound(one, inf).holds and LogBound(inf, inf).holds
        assert not LogBound(nan, one).holds and not LogBound(one, nan).holds
        assert not LogBound(one, -inf).holds


@pytest.mark.parametrize("total", [0.0, 1e-300, 1e-12, 0.5, 1.0, 40.0, 1e4])
def test_log_of_expm1_at_any_size(total):
    value = torch.tensor(total, dtype=torch.float64, requires_grad=True)
    result = log_expm1(value)
    with mpmath.workdps(400):
        oracle = mpmath.log(mpmath.expm1(mpmath.mpf(total))) if total else -mpmath.inf
    assert result.item() == pytest.approx(float(oracle), rel=1e-14)
    result.exp().backward() if total < 100 else result.backward()
    assert value.grad.isfinite()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_log_of_a_norm_at_any_scale(scale):
    vector = torch.tensor([3.0, -4.0], dtype=torch.float64) * scale
    assert log_norm(vector).exp().item() == pytest.approx(5 * scale, rel=1e-12)
    assert log_norm(vector.view(1, 2, 1).expand(3, 2, 1), 2).shape == (3,)


def test_the_norm_of_nothing_has_a_gradient_of_0():
    vector = torch.zeros(3, requires_grad=True)
    (2 * log_norm(vector)).exp().backward()
    assert vector.grad.tolist() == [0, 0, 0] and log_norm(vector) == -torch.inf


def test_nothing_changed_is_bounded_by_an_infinite_constant_times_0():
    nothing, nan = torch.tensor(-torch.inf), torch.tensor(torch.nan)
    assert from_logs(nothing, nan, torch.float64, log10=False).holds
    assert not from_logs(torch.tensor(0.0), nan, torch.float64, log10=False).holds
