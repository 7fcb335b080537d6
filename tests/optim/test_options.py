"""Options of Fromage: what each does on every implementation, and what is said to a wrong one."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracle import oracle, relative_error, trajectory
from ways import WAYS, every_way, fromage, parameter, step, steps

from fromage_edu import Fromage
from fromage_edu.optim import fromage_update
from fromage_edu.trust import frobenius_norm

NAN, INF = float("nan"), float("inf")


# --- momentum -------------------------------------------------------------------------------------------


@pytest.mark.rule("momentum")
@every_way
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_momentum_is_the_bias_corrected_average(way, beta, dtype):
    weight, *grads = torch.randn(7, 5, dtype=dtype)
    average, expected = torch.zeros(5, dtype=torch.float64), weight
    for t, (grad, new) in enumerate(
        zip(grads, steps(way, weight, grads, 0.1, momentum=beta), strict=True), start=1
    ):
        average = beta * average + (1 - beta) * grad
        expected = oracle(expected, average / (1 - beta**t), 0.1)
        tolerance = {torch.float32: 2e-6, torch.float64: 1e-13}[dtype]
        assert relative_error(new, expected) <= tolerance
    assert relative_error(new, trajectory(weight, grads, 0.1, momentum=beta)[-1]) <= tolerance


@pytest.mark.rule("momentum")
@every_way
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_momentum_of_half_precision_is_averaged_in_float32(way, dtype):
    """An average kept in 8 bits would stop at the first gradient: a tenth of 2⁻⁸ rounds away."""
    weight = torch.tensor([1.0, 1.0], dtype=dtype)
    grads = [torch.tensor([1.0, 1.0 + i / 128]).to(dtype) for i in range(4)]
    param = parameter(weight, way)
    optimizer = fromage([param], way, lr=0.1, momentum=0.99)
    for grad in grads:
        param.grad = grad
        optimizer.step()
    average = optimizer.state[param]["momentum_buffer"]
    assert average.dtype == torch.float32
    beta = 0.99
    weights = [(1 - beta) * beta ** (3 - i) / (1 - beta**4) for i in range(4)]
    expected = sum(weight * grad.double() for weight, grad in zip(weights, grads, strict=True))
    torch.testing.assert_close(average.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.rule("momentum")
@every_way
def test_momentum_takes_a_zero_weight_by_the_corrected_average(way):
    new = step(way, torch.zeros(2), torch.tensor([3.0, 4.0]), 0.1, momentum=0.9)
    torch.testing.assert_close(new, torch.tensor([-0.3, -0.4]))


@pytest.mark.rule("momentum")
@every_way
def test_a_schedule_may_switch_momentum_on_and_change_it(way):
    param = parameter([0.0, 0.0], way)
    param.grad = torch.tensor([3.0, 4.0])
    optimizer = fromage([param], way, lr=0.0)
    optimizer.step()
    for momentum in (0.5, 0.9, 0.2):
        optimizer.param_groups[0]["momentum"] = momentum
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.tensor([-0.3, -0.4]))  # the average of equals


@pytest.mark.rule("momentum")
@every_way
@pytest.mark.parametrize("weight", [[3.0, 4.0], [0.0, 0.0]])
def test_tensors_that_get_gradients_at_different_times_have_averages_of_their_own(way, weight):
    """Weighted like one another they would be too short, which only a raw step shows."""
    early, late = parameter(weight, way), parameter(weight, way)
    grads = [torch.tensor([1.0, 0.5]), torch.tensor([0.3, -2.0]), torch.tensor([-1.0, 1.0])]
    optimizer = fromage([early, late], way, lr=0.1, momentum=0.7)
    for index, grad in enumerate(grads):
        early.grad, late.grad = grad, grad if index else None
        optimizer.step()
    for param, mine in ((early, grads), (late, grads[1:])):
        expected = trajectory(torch.tensor(weight), mine, 0.1, momentum=0.7)[-1]
        torch.testing.assert_close(param.detach(), expected)


# --- p_bound --------------------------------------------------------------------------------------------


@pytest.mark.rule("p_bound")
@every_way
def test_p_bound_caps_the_norm_at_a_multiple_of_the_first(way):
    path = steps(way, torch.tensor([3.0, 4.0]), [torch.tensor([-3.0, -4.0])] * 20, 0.1, p_bound=1.5)
    norms = [weight.norm().item() for weight in path]
    assert norms[0] == pytest.approx(5 * 1.1 / math.sqrt(1.01), rel=1e-6)
    assert norms[-1] == pytest.approx(7.5, rel=1e-6) and max(norms) <= 7.5 * (1 + 1e-6)
    torch.testing.assert_close(path[-1] / path[-1].norm(), torch.tensor([0.6, 0.8]))


@pytest.mark.rule("p_bound")
@every_way
def test_p_bound_is_per_group_recorded_when_added_and_leaves_zero_tensors_free(way):
    tight, free, zero, late = (
        parameter(v, way) for v in ([1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [5.0, 5.0])
    )
    for param in (tight, free, zero, late):
        param.grad = torch.tensor([-1.0, -1.0])
    optimizer = fromage([{"params": [tight], "p_bound": 1.0}, {"params": [free]}], way, lr=0.1)
    with torch.no_grad():
        late.mul_(0.2)
    optimizer.add_param_group({"params": [late, zero], "p_bound": 2.0})
    for _ in range(50):
        optimizer.step()
    root = math.sqrt(2)
    assert tight.detach().norm().item() == pytest.approx(root, rel=1e-6)
    assert late.detach().norm().item() == pytest.approx(2 * root, rel=1e-6)
    assert free.detach().norm() > 20 and zero.detach().norm() > 1


@pytest.mark.rule("p_bound")
@every_way
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_p_bound_holds_against_many_small_steps(way, dtype):
    """Each, nearly orthogonal to W, adds a millionth to the norm: a bound must not wait for more."""
    weight, grad = torch.tensor([3.0, 4.0], dtype=dtype), torch.tensor([4.0, -3.0], dtype=dtype)
    norms = [new.norm().item() for new in steps(way, weight, [grad - 1e-3 * weight] * 50, 1e-3, p_bound=1.0)]
    assert max(norms) == pytest.approx(5, rel=5 * torch.finfo(dtype).eps)


@pytest.mark.rule("p_bound")
@every_way
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e38])
def test_p_bound_of_tiny_and_huge_tensors(way, scale):
    weight = torch.tensor([scale, scale / 2])
    new = step(way, weight, torch.tensor([-1.0, -0.5]), 0.5, p_bound=1.0)
    before, after = frobenius_norm(weight).item(), frobenius_norm(new).item()
    assert after == pytest.approx(before, rel=1e-6, abs=3e-45)


@pytest.mark.rule("p_bound")
@every_way
@pytest.mark.parametrize("size", [500, 100_000])
def test_p_bound_holds_tensors_of_any_size(way, size):
    weight = torch.randn(size)
    new = step(way, weight, -weight + 0.1 * torch.randn(size), 0.5, p_bound=1.01)
    assert (new.double().norm() / weight.double().norm()).item() == pytest.approx(1.01, rel=1e-6)


@pytest.mark.rule("p_bound")
@every_way
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_p_bound_of_half_precision(way, dtype):
    """‖W₀‖ = 1e5, which float16 cannot hold, neither in memory nor when the state is loaded."""
    weight = torch.full((2500,), 2000.0, dtype=dtype)
    new = step(way, weight, -weight, 0.5, p_bound=1.25)
    assert new.unique().tolist() == [torch.tensor(2500.0, dtype=dtype).item()]


@pytest.mark.rule("p_bound")
@every_way
def test_without_a_bound_and_with_one_out_of_reach_steps_agree(way):
    weight, grad = torch.randn(2, 6)
    free = step(way, weight, grad, 0.1)
    for p_bound in (2.0, 1e30, INF):
        torch.testing.assert_close(step(way, weight, grad, 0.1, p_bound=p_bound), free)


@pytest.mark.parametrize("max_norm", [0.0, 1e-30, 1.0, 5.0, 1e300, INF])
@pytest.mark.parametrize("weight", [(3.0, 4.0), (0.0, 0.0)])
@pytest.mark.parametrize("grad", [(-3.0, -4.0), (0.0, 0.0)])
def test_max_norm_of_the_free_function(weight, grad, max_norm):
    weight, grad = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (weight, grad))
    free = fromage_update(weight, grad, 0.1).detach()
    new = fromage_update(weight, grad, 0.1, max_norm=max_norm)
    expected = free * min(1.0, max_norm / free.norm().item()) if free.norm() else free
    torch.testing.assert_close(new.detach(), expected)
    torch.testing.assert_close(fromage_update(weight, grad, 0.1, max_norm=torch.tensor(max_norm)), new)
    if max_norm:
        new.sum().backward()
        assert weight.grad.isfinite().all() and grad.grad.isfinite().all()


# --- Others ---------------------------------------------------------------------------------------------


@every_way
def test_groups_have_their_own_options(way):
    weight, grad = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    options = [{"lr": 0.5}, {"norm_correction": False}, {"maximize": True}, {}, {"lr": torch.tensor(0.2)}]
    groups = [{"params": [parameter(weight, way)], **some} for some in options]
    for group in groups:
        group["params"][0].grad = grad
    fromage(groups, way, lr=0.1).step()
    for group, some in zip(groups, options, strict=True):
        expected = oracle(weight, grad, **{"lr": 0.1, **some})
        assert relative_error(group["params"][0].detach(), expected) <= 2e-7


def test_lr_may_be_any_kind_of_number():
    weight, grad = torch.randn(2, 5)
    for way in WAYS:
        for lr in (1, Fraction(1), torch.tensor(1), torch.ones(1, 1)):
            assert step(way, weight, grad, lr).equal(step(way, weight, grad, 1.0)), (way, lr)


@pytest.mark.parametrize("number", [Fraction, np.float32])
def test_other_options_may_be_any_kind_of_number(number):
    weight, grads = torch.randn(5), torch.randn(3, 5)
    plain = dict(momentum=0.5, p_bound=1.5)
    for way in WAYS:
        expected = steps(way, weight, list(grads), 0.5, **plain)
        other = {name: number(value) for name, value in plain.items()}
        assert all(map(torch.equal, steps(way, weight, list(grads), 0.5, **other), expected)), way
    expected = fromage_update(weight, grads[0], max_norm=0.5)
    for half in (number(0.5), torch.tensor([[0.5]])):
        assert fromage_update(weight, grads[0], max_norm=half).equal(expected)


@every_way
def test_an_unsigned_lr_climbs_too(way):
    weight, grad = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    expected = step(way, weight, grad, 1.0, maximize=True)
    assert step(way, weight, grad, torch.tensor(1, dtype=torch.uint8), maximize=True).equal(expected)


@pytest.mark.rule("p_bound")
@every_way
@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_norm_that_was_not_finite_is_no_bound(way, value, dtype):
    """The weights may be loaded later, over memory that held anything."""
    weight, grad = torch.tensor([3.0, 4.0], dtype=dtype), torch.tensor([-3.0, -4.0], dtype=dtype)
    param = parameter(torch.tensor([value, 1.0], dtype=dtype), way)
    optimizer = fromage([param], way, lr=1.0, p_bound=1.0)
    param.data.copy_(weight)
    param.grad = grad
    optimizer.step()
    torch.testing.assert_close(param.detach(), step(way, weight, grad, 1.0))


def test_differentiable_step():
    def after_two_steps(weight, grad, lr):
        param = weight.clone()
        optimizer = Fromage([weight], lr=lr, momentum=0.5, differentiable=True)
        optimizer.param_groups[0]["params"] = [param]
        for factor in (1.0, 2.0):
            param.grad = grad * factor + grad.flip(0)
            optimizer.step()
        return param

    weight, grad = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(after_two_steps, (weight, grad, lr))


def test_the_free_function_is_differentiable_where_it_is_special():
    zero, grad = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    for weight, gradient in ((zero, grad), (grad, zero), (zero, zero)):
        for tensor in (zero, grad):
            tensor.grad = None
        fromage_update(weight, gradient, 0.1).sum().backward()
        assert all(t.grad is None or t.grad.isfinite().all() for t in (zero, grad))


def test_the_free_function_can_be_mapped_over_a_stack_of_tensors():
    weights, grads, lrs, max_norms = *torch.randn(2, 4, 3), torch.rand(4), torch.rand(4)

    def update(weight, grad, lr, max_norm):
        return fromage_update(weight, grad, lr, max_norm=max_norm)

    rows = [update(*row) for row in zip(weights, grads, lrs, max_norms, strict=True)]
    torch.testing.assert_close(torch.func.vmap(update)(weights, grads, lrs, max_norms), torch.stack(rows))


def test_the_free_function_never_waits_for_the_device():
    """Tensors on "meta" have shapes without values: there is nothing to wait for."""
    weight = torch.empty(3, 2, device="meta")
    for lr, max_norm in ((0.1, 2.0), (torch.empty((), device="meta"), torch.empty((), device="meta"))):
        assert fromage_update(weight, weight, lr, max_norm=max_norm).shape == (3, 2)
    assert fromage_update(weight.cfloat(), weight.cfloat(), 0.1).dtype == torch.complex64
