"""Fromage against float64 and 60-digit oracles, rule by rule, and as a citizen of torch.optim."""

import copy
import io
import math
import pickle
import re

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fromage_edu import Fromage
from fromage_edu.optim import cpu, fromage_update
from fromage_edu.trust import frobenius_norm

NAN, INF = float("nan"), float("inf")


def oracle(weight, grad, lr, norm_correction=True):
    """Algorithm 1 in 60 digits, entry by entry; returns a float64 tensor."""
    with mpmath.workdps(60):
        w, g = ([mpmath.mpf(x) for x in t.double().flatten().tolist()] for t in (weight, grad))
        lr = mpmath.mpf(float(lr))
        ratio = mpmath.sqrt(sum(x * x for x in w) / sum(x * x for x in g))
        shrink = mpmath.sqrt(1 + lr**2) if norm_correction else 1
        new = [float((x - lr * ratio * y) / shrink) for x, y in zip(w, g, strict=True)]
    return torch.tensor(new, dtype=torch.float64).view_as(weight)


def parameter(*values, grad=None, dtype=torch.float32):
    param = nn.Parameter(torch.tensor(values, dtype=dtype))
    if grad is not None:
        param.grad = torch.tensor(grad, dtype=dtype)
    return param


def step_once(param, **options):
    Fromage([param], **options).step()
    return param.detach()


def same(one, two):
    return torch.equal(torch.nan_to_num(one, nan=7.0), torch.nan_to_num(two, nan=7.0))


# --- One step -------------------------------------------------------------------------------------------


@pytest.mark.result("F25")
@pytest.mark.parametrize("norm_correction", [True, False])
@pytest.mark.parametrize("lr", [1e-6, 0.01, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ordinary_step(dtype, lr, norm_correction):
    param = nn.Parameter(torch.randn(7, 5, dtype=dtype))
    param.grad = torch.randn(7, 5, dtype=dtype)
    expected = oracle(param.detach(), param.grad, lr, norm_correction)
    pure = fromage_update(param.detach(), param.grad, lr, norm_correction=norm_correction)
    new = step_once(param, lr=lr, norm_correction=norm_correction)
    rtol = 1e-6 if dtype == torch.float32 else 1e-14
    for result in (pure, new):
        assert result.dtype == dtype
        assert (result.double() - expected).norm() <= rtol * expected.norm()


FLOAT32_SCALES = [1e-44, 1e-38, 1e-30, 1e-24, 1e-20, 1e-11, 1.0, 1e17, 1e19, 1e30, 3e37]


@pytest.mark.parametrize("grad_scale", FLOAT32_SCALES)
@pytest.mark.parametrize("weight_scale", FLOAT32_SCALES)
def test_any_scale_that_float32_holds(weight_scale, grad_scale):
    weight = torch.tensor([3.0, -1.0, 2.0]) * weight_scale
    grad = torch.tensor([1.0, 2.0, -2.0]) * grad_scale
    expected = oracle(weight, grad, 0.1)
    param = nn.Parameter(weight)
    param.grad = grad
    subnormal = 2 * 2.0**-149
    new = step_once(param, lr=0.1)
    assert ((new.double() - expected).abs() <= 1e-6 * expected.norm() + subnormal).all()


@given(st.floats(-280, 280), st.floats(-280, 280))
def test_any_scale_that_float64_holds(weight_power, grad_power):
    weight = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64) * 10**weight_power
    grad = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64) * 10**grad_power
    expected = oracle(weight, grad, 0.1)
    torch.testing.assert_close(fromage_update(weight, grad, 0.1), expected, rtol=1e-14, atol=0)


@pytest.mark.result("F25")
@given(st.integers(-60, 60), st.integers(-60, 60))
def test_blind_to_the_gradients_scale_and_equivariant_to_the_weights(weight_power, grad_power):
    weight, grad = torch.randn(6), torch.randn(6)
    scaled = fromage_update(weight * 2.0**weight_power, grad * 2.0**grad_power)
    torch.testing.assert_close(scaled / 2.0**weight_power, fromage_update(weight, grad), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 100_000, 2_400_000, 20_000_000])
def test_norms_at_any_size(size):
    """`torch.linalg.vector_norm` in float32 is off by 4e-5 at 2.4M entries and by 2.4e-3 at 38.6M."""
    tensor = torch.rand(size)
    for some in (tensor, torch.full((size,), tensor[0].item())):
        (norm,) = cpu._norms(some.view(1, -1))
        assert norm == pytest.approx(torch.linalg.vector_norm(some.double()).item(), rel=1e-6)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8),
    st.floats(0, 10),
    st.booleans(),
)
def test_the_shortcut_agrees_with_the_exact_update(weight, grad, lr, norm_correction):
    weight = torch.tensor(weight)
    grad = torch.tensor(grad[: len(weight)])
    exact = fromage_update(weight, grad, lr, norm_correction=norm_correction)
    short = weight.clone()
    left = cpu.update_([short], [grad], lr, norm_correction, [None])
    if not left:
        assert (short - exact).norm() <= 2e-6 * (1 + lr) * weight.norm()
    else:
        assert short.equal(weight)


@pytest.mark.result("F25", "F26")
@pytest.mark.parametrize("eta", [0.01, 0.5])
@pytest.mark.parametrize("cosine", [-1.0, 0.0, 0.5, 1.0])
def test_exact_geometry(eta, cosine):
    weight = torch.tensor([2.0, 0.0], dtype=torch.float64)
    grad = torch.tensor([cosine, math.sqrt(1 - cosine**2)], dtype=torch.float64)
    new = fromage_update(weight, grad, eta)
    s = math.sqrt(1 + eta**2)
    assert (new.norm() / weight.norm()).item() ** 2 == pytest.approx(1 - 2 * eta * cosine / s**2, rel=1e-13)
    moved = ((new - weight).norm() / weight.norm()).item()
    assert moved == pytest.approx(math.sqrt(2 * (1 - 1 / s) * (1 + eta * cosine / s)), rel=1e-11)


# --- Where Algorithm 1 is silent ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"differentiable": False}])
def test_zero_gradient_leaves_the_weight_untouched(options):
    param = parameter(3.0, 4.0, grad=[0.0, 0.0])
    optimizer = Fromage([param], lr=0.5, **options)
    for _ in range(100):
        optimizer.step()
    assert param.tolist() == [3.0, 4.0]


def test_missing_gradient_is_skipped():
    still, moved = parameter(3.0, 4.0), parameter(3.0, 4.0, grad=[1.0, 0.0])
    Fromage([still, moved]).step()
    assert still.tolist() == [3.0, 4.0] and moved.tolist() != [3.0, 4.0]


def test_zero_weight_takes_a_raw_step_and_is_relative_from_then_on():
    param = parameter(0.0, 0.0, grad=[3.0, -4.0])
    optimizer = Fromage([param], lr=0.1)
    optimizer.step()
    torch.testing.assert_close(param.data, torch.tensor([-0.3, 0.4]))
    expected = oracle(param.detach(), param.grad, 0.1)
    optimizer.step()
    torch.testing.assert_close(param.detach().double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weight", [[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]])
@pytest.mark.parametrize("grad", [[NAN, 1.0], [INF, 1.0], [1.0, -INF], [NAN, 0.0]])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 2.0}, {"maximize": True}])
def test_a_bad_gradient_spoils_the_whole_tensor_and_no_other(weight, grad, options):
    bad, good = parameter(*weight, grad=grad), parameter(3.0, 4.0, grad=[1.0, 1.0])
    Fromage([bad, good], **options).step()
    assert bad.isnan().all() and good.isfinite().all()


def test_lr_zero_leaves_the_weight_untouched():
    for weight, grad in (((3.0, -0.1), [1.0, 2.0]), ((0.0, 0.0), [1.0, 2.0]), ((1e-40, 1e-30), [1e30, 0.0])):
        param = parameter(*weight, grad=grad)
        before = param.detach().clone()
        assert step_once(param, lr=0.0).equal(before)


@pytest.mark.parametrize("lr", [1e-300, 1e-30, 1e5, 1e20, 1e38, 1e300])
def test_any_lr(lr):
    param = parameter(3.0, 4.0, grad=[1.0, -2.0])
    expected = oracle(param.detach(), param.grad, lr)
    torch.testing.assert_close(step_once(param, lr=lr), expected.float())


def test_one_entry_never_changes_sign():
    param = parameter(1.0, grad=[1.0])
    optimizer = Fromage([param], lr=0.5)
    for _ in range(50):
        optimizer.step()
    assert 0 < param.item() < 1e-15


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (2, 1, 3, 1, 2)])
def test_shapes(shape):
    param = nn.Parameter(torch.ones(shape))
    param.grad = torch.ones(shape)
    assert step_once(param, lr=0.1).shape == shape
    expected = (1 - 0.1) / math.sqrt(1.01)
    torch.testing.assert_close(param.detach(), torch.full(shape, expected))


@pytest.mark.parametrize("view", [lambda t: t.T, lambda t: t[::2, 1:], lambda t: t[0].expand(4, 6)])
def test_non_contiguous_tensors(view):
    weight, grad = torch.randn(4, 6), view(torch.randn(4, 6))
    param = nn.Parameter(view(weight).clone() if grad.stride(0) == 0 else view(weight))
    param.grad = grad
    expected = fromage_update(param.detach().contiguous(), grad.contiguous(), 0.1)
    torch.testing.assert_close(step_once(param, lr=0.1), expected)


# --- Precision ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("weight_scale", "grad_scale"), [(1.0, 1.0), (1e4, 1e-6), (1e-4, 3e4), (6e4, 6e4)])
def test_half_precision_is_the_float32_step_rounded(dtype, weight_scale, grad_scale):
    weight = (torch.tensor([[0.3, -0.7], [0.2, 1.0]]) * weight_scale).to(dtype)
    grad = (torch.tensor([[1.0, 0.5], [-0.5, 0.1]]) * grad_scale).to(dtype)
    expected = oracle(weight, grad, 0.1).to(dtype)
    new = step_once(_with_grad(weight, grad), lr=0.1)
    assert new.dtype == dtype
    assert new.equal(expected)


def _with_grad(weight, grad):
    param = nn.Parameter(weight.clone())
    param.grad = grad
    return param


def test_bfloat16_loses_most_of_a_small_step_and_float32_masters_do_not():
    """What the docstring warns of: 8 bits cannot hold a relative change of 1e-3."""
    master, grad = torch.randn(256, 256), torch.randn(256, 256)
    error, changed = {}, {}
    for dtype in (torch.bfloat16, torch.float32):
        before = master.to(dtype)
        after = step_once(_with_grad(before, grad.to(dtype)), lr=1e-3)
        wanted = fromage_update(before.double(), grad.to(dtype).double(), 1e-3) - before.double()
        error[dtype] = ((after.double() - before.double() - wanted).norm() / wanted.norm()).item()
        changed[dtype] = (after != before).double().mean().item()
    assert error[torch.float32] < 1e-3 and changed[torch.float32] > 0.99
    assert error[torch.bfloat16] > 0.7 and changed[torch.bfloat16] < 0.25


def test_complex_is_a_pair_of_reals():
    weight, grad = torch.randn(4, 3, dtype=torch.complex64), torch.randn(4, 3, dtype=torch.complex64)
    for options in ({}, {"momentum": 0.5}, {"p_bound": 1.0}):
        param = _with_grad(weight, grad)
        real = _with_grad(torch.view_as_real(weight), torch.view_as_real(grad))
        optimizers = [Fromage([p], lr=0.3, **options) for p in (param, real)]
        for _ in range(3):
            for optimizer in optimizers:
                optimizer.step()
        torch.testing.assert_close(torch.view_as_real(param.detach()), real.detach())


# --- Options --------------------------------------------------------------------------------------------


def test_momentum_is_the_bias_corrected_average():
    param, lr, beta = nn.Parameter(torch.randn(5, dtype=torch.float64)), 0.1, 0.8
    optimizer, average, expected = Fromage([param], lr=lr, momentum=beta), 0.0, param.detach().clone()
    for t in range(1, 6):
        param.grad = torch.randn(5, dtype=torch.float64)
        average = beta * average + (1 - beta) * param.grad
        expected = oracle(expected, average / (1 - beta**t), lr)
        optimizer.step()
        torch.testing.assert_close(param.detach(), expected, rtol=1e-12, atol=1e-14)


def test_momentum_takes_a_zero_weight_by_the_corrected_average():
    param = parameter(0.0, 0.0, grad=[3.0, 4.0])
    torch.testing.assert_close(step_once(param, lr=0.1, momentum=0.9), torch.tensor([-0.3, -0.4]))


def test_maximize_is_minus_the_gradient_and_leaves_it_alone():
    for options in ({}, {"momentum": 0.9}):
        up, down = parameter(3.0, 4.0, grad=[1.0, -2.0]), parameter(3.0, 4.0, grad=[-1.0, 2.0])
        assert step_once(up, maximize=True, **options).equal(step_once(down, **options))
        assert up.grad.tolist() == [1.0, -2.0]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}])
def test_gradients_are_only_read(options):
    param = parameter(3.0, 4.0, grad=[1.0, -2.0])
    before = param.grad._version
    step_once(param, **options)
    assert param.grad._version == before


def test_p_bound_caps_the_norm_at_a_multiple_of_the_first():
    param = parameter(3.0, 4.0, grad=[-3.0, -4.0])
    optimizer = Fromage([param], lr=0.1, p_bound=1.5)
    norms = []
    for _ in range(20):
        optimizer.step()
        norms.append(param.detach().norm().item())
    assert norms[0] == pytest.approx(5 * 1.1 / math.sqrt(1.01), rel=1e-6)
    assert norms[-1] == pytest.approx(7.5, rel=1e-6) and max(norms) <= 7.5 * (1 + 1e-6)
    torch.testing.assert_close(param.detach() / param.detach().norm(), torch.tensor([0.6, 0.8]))


def test_p_bound_is_per_group_recorded_when_added_and_leaves_zero_tensors_free():
    tight, free, zero = (parameter(*v, grad=[-1.0, -1.0]) for v in ((1.0, 1.0), (1.0, 1.0), (0.0, 0.0)))
    optimizer = Fromage([{"params": [tight], "p_bound": 1.0}, {"params": [free]}], lr=0.1)
    late = parameter(5.0, 5.0, grad=[-1.0, -1.0])
    with torch.no_grad():
        late.mul_(0.2)
    optimizer.add_param_group({"params": [late, zero], "p_bound": 2.0})
    for _ in range(50):
        optimizer.step()
    root = math.sqrt(2)
    assert tight.detach().norm().item() == pytest.approx(root, rel=1e-6)
    assert late.detach().norm().item() == pytest.approx(2 * root, rel=1e-6)
    assert free.detach().norm() > 20 and zero.detach().norm() > 1


@pytest.mark.parametrize("max_norm", [0.0, 1e-30, 1.0, 5.0, 1e300, INF])
@pytest.mark.parametrize("weight", [(3.0, 4.0), (0.0, 0.0)])
@pytest.mark.parametrize("grad", [(-3.0, -4.0), (0.0, 0.0)])
def test_max_norm(weight, grad, max_norm):
    weight, grad = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (weight, grad))
    free = fromage_update(weight, grad, 0.1).detach()
    new = fromage_update(weight, grad, 0.1, max_norm=max_norm)
    expected = free * min(1.0, max_norm / free.norm().item()) if free.norm() else free
    torch.testing.assert_close(new.detach(), expected)
    if max_norm:
        new.sum().backward()
        assert weight.grad.isfinite().all() and grad.grad.isfinite().all()


def test_p_bound_of_tiny_and_huge_tensors():
    for scale in (1e-42, 1e-30, 1e30, 1e38):
        param = parameter(scale, scale / 2, grad=[-1.0, -0.5])
        before = frobenius_norm(param.detach()).item()
        step_once(param, lr=0.5, p_bound=1.0)
        assert frobenius_norm(param.detach()).item() == pytest.approx(before, rel=1e-6, abs=3e-45)


def test_groups_have_their_own_options():
    params = [parameter(3.0, 4.0, grad=[1.0, 2.0]) for _ in range(4)]
    groups = [
        {"params": [params[0]], "lr": 0.5},
        {"params": [params[1]], "norm_correction": False},
        {"params": [params[2]], "maximize": True},
        {"params": [params[3]]},
    ]
    Fromage(groups, lr=0.1).step()
    weight, grad = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    expected = [
        oracle(weight, grad, 0.5),
        oracle(weight, grad, 0.1, False),
        oracle(weight, -grad, 0.1),
        oracle(weight, grad, 0.1),
    ]
    for param, values in zip(params, expected, strict=True):
        torch.testing.assert_close(param.detach().double(), values, rtol=1e-6, atol=0)


@pytest.mark.parametrize("lr", [torch.tensor(0.1), torch.tensor([0.1]), torch.tensor(0.1).double()])
@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_a_tensor_lr(lr, scale):
    one = parameter(3.0, 4.0, grad=[1.0 * scale, 2.0 * scale])
    two = parameter(3.0, 4.0, grad=[1.0 * scale, 2.0 * scale])
    torch.testing.assert_close(step_once(one, lr=lr), step_once(two, lr=0.1))


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


def test_the_pure_update_is_differentiable_where_it_is_special():
    zero, grad = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    for weight, gradient in ((zero, grad), (grad, zero), (zero, zero)):
        for tensor in (zero, grad):
            tensor.grad = None
        fromage_update(weight, gradient, 0.1).sum().backward()
        assert all(t.grad is None or t.grad.isfinite().all() for t in (zero, grad))


# --- A citizen of torch.optim ---------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_backward_through_a_stale_graph_is_detected(scale):
    param = parameter(3.0, 4.0)
    loss = (param.square() * scale).sum()
    loss.backward(retain_graph=True)
    step_once(param)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_closure_is_called_with_gradients_and_its_value_returned():
    param = parameter(3.0, 4.0)
    optimizer = Fromage([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 25
    assert param.detach().norm() < 5 and optimizer.step.__name__ and param.grad is not None


RESUMABLE = [
    {},
    {"momentum": 0.9},
    {"p_bound": 1.2},
    {"momentum": 0.9, "p_bound": 1.1, "lr": 0.3, "maximize": True},
    {"lr": torch.tensor(0.05)},
]


def _through_state_dict(model, optimizer, options):
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = copy.deepcopy(model)
    for param in fresh.parameters():
        nn.init.zeros_(param)
    resumed = Fromage(fresh.parameters(), **options)
    fresh.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["optimizer"])
    return fresh, resumed


def _through(copier):
    return lambda model, optimizer, options: copier((model, optimizer))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", RESUMABLE)
@pytest.mark.parametrize(
    "interrupt",
    [_through_state_dict, _through(copy.deepcopy), _through(lambda pair: pickle.loads(pickle.dumps(pair)))],
    ids=["state_dict", "deepcopy", "pickle"],
)
def test_interrupted_runs_continue_bit_for_bit(interrupt, options, dtype):
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    optimizer = Fromage(model.parameters(), **options)

    def run(model, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(5):
            optimizer.zero_grad()
            inputs = torch.randn(8, 4, generator=generator).to(dtype)
            model(inputs).square().mean().backward()
            optimizer.step()

    run(model, optimizer, 1)
    other, resumed = interrupt(model, optimizer, options)
    run(model, optimizer, 2)
    run(other, resumed, 2)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert one.equal(two)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optimizer.state[one].items():
            mine = resumed.state[two][key]
            assert (
                mine.dtype == value.dtype and mine.equal(value) if torch.is_tensor(value) else mine == value
            )


def test_options_travel_with_the_state_dict():
    source = Fromage([parameter(3.0, 4.0)], lr=0.3, p_bound=1.5)
    target = Fromage([parameter(1.0, 1.0)])
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["p_bound"] == 1.5
    assert list(target.state.values()) == [{"initial_norm": 5.0}]


@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    ],
)
def test_schedulers(make):
    param = parameter(3.0, 4.0, grad=[1.0, 2.0])
    optimizer = Fromage([param], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    for _ in range(9):
        before, lr = param.detach().clone(), optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        torch.testing.assert_close(param.detach(), oracle(before, param.grad, lr).float())
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_a_schedule_may_switch_momentum_on_and_change_it():
    param = parameter(0.0, 0.0, grad=[3.0, 4.0])
    optimizer = Fromage([param], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    for momentum in (0.5, 0.9, 0.2):
        optimizer.param_groups[0]["momentum"] = momentum
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.tensor([-0.3, -0.4]))  # the average of equals


def test_shared_parameters_move_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.two = self.one

    model = Shared()
    weight = model.one.weight.detach().clone()
    model.two(model.one(torch.ones(1, 3))).sum().backward()
    grad = model.one.weight.grad.clone()
    Fromage(model.parameters(), lr=0.1).step()
    torch.testing.assert_close(model.one.weight.detach(), fromage_update(weight, grad, 0.1))


def test_hooks_named_parameters_and_zero_grad():
    model = nn.Linear(2, 2)
    calls = []
    optimizer = Fromage(model.parameters())
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert calls == ["after"] and model.weight.grad is None
    assert "lr: 0.01" in repr(optimizer)


def test_it_learns():
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = Fromage(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
    for _ in range(600):
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert loss < 1e-2


class TestOnMeta:
    """Shapes without values: `fromage_update` reads nothing back from the device."""

    def test_update_never_waits_for_the_device(self):
        weight = torch.empty(3, 2, device="meta")
        assert fromage_update(weight, weight, 0.1, max_norm=2.0).shape == (3, 2)


# --- Messages -------------------------------------------------------------------------------------------

ONE = [nn.Parameter(torch.ones(2))]
MESSAGES = [
    (dict(lr=-0.1), ValueError, "lr is -0.1: it must be finite and >= 0; a good start is 0.01"),
    (dict(lr=INF), ValueError, "lr is inf: it must be finite"),
    (dict(lr=NAN), ValueError, "lr is nan: it must be finite"),
    (dict(lr=torch.tensor(-1.0)), ValueError, "lr is -1.0: it must be finite"),
    (dict(lr=torch.ones(2)), ValueError, "lr has shape (2,): give a number or a one-element tensor"),
    (dict(lr="0.1"), TypeError, "lr is '0.1': give a number"),
    (dict(lr=None), TypeError, "lr is None: give a number"),
    (dict(lr=True), TypeError, "lr is True: give a number"),
    (dict(momentum=1.0), ValueError, "momentum is 1.0: it must be >= 0 and < 1"),
    (dict(momentum=-0.1), ValueError, "momentum is -0.1: it must be >= 0 and < 1"),
    (dict(momentum=NAN), ValueError, "momentum is nan: it must be"),
    (dict(momentum=None), TypeError, "momentum is None: give a number"),
    (dict(p_bound=0.5), ValueError, "p_bound is 0.5: it must be None or a factor >= 1"),
    (dict(p_bound=NAN), ValueError, "p_bound is nan: it must be None or a factor >= 1"),
    (dict(p_bound="2"), TypeError, "p_bound is '2': give a number"),
    (dict(foreach=1), TypeError, "foreach is 1: give True or False"),
    (dict(capturable=None), TypeError, "capturable is None: give True or False"),
    (dict(maximize="yes"), TypeError, "maximize is 'yes': give True or False"),
]


@pytest.mark.parametrize(("options", "error", "message"), MESSAGES)
def test_messages_of_options(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Fromage(ONE, **options)
    optimizer = Fromage([parameter(1.0)])
    with pytest.raises(error, match=re.escape(message)):
        optimizer.add_param_group({"params": ONE, **options})
    assert len(optimizer.param_groups) == 1


def test_other_messages():
    with pytest.raises(ValueError, match="empty parameter list"):
        Fromage(nn.ReLU().parameters())
    with pytest.raises(ValueError, match=re.escape("weight has shape (2,) and grad (3,): they must agree")):
        fromage_update(torch.ones(2), torch.ones(3))
    param = parameter(3.0, 4.0, grad=[1.0, 1.0])
    optimizer = Fromage([param])
    optimizer.param_groups[0]["p_bound"] = 2.0
    with pytest.raises(RuntimeError, match=re.escape("p_bound was set to 2.0 after its group was added")):
        optimizer.step()


def test_messages_of_the_free_function():
    one = torch.ones(2)
    for options in (dict(lr=-0.1), dict(lr=NAN), dict(lr=INF), dict(max_norm=-1.0), dict(max_norm=NAN)):
        (name, value), *_ = options.items()
        with pytest.raises(ValueError, match=re.escape(f"{name} is {value}: it must be")):
            fromage_update(one, one, **options)
    with pytest.raises(TypeError, match=re.escape("weight is torch.int64: convert it with .float()")):
        fromage_update(torch.tensor([3, 4]), torch.tensor([3, 4]))


def test_a_state_of_another_optimizer_does_not_break_the_next_step():
    param = parameter(3.0, 4.0, grad=[1.0, 2.0])
    other = torch.optim.SGD([param], lr=0.1, momentum=0.9)
    other.step()
    optimizer = Fromage([param])
    optimizer.load_state_dict(other.state_dict())
    before, lr = param.detach().clone(), optimizer.param_groups[0]["lr"]
    optimizer.step()
    torch.testing.assert_close(param.detach(), oracle(before, param.grad, lr).float())


def test_sparse_gradients_are_refused_with_the_way_out():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 3])).sum().backward()
    with pytest.raises(
        RuntimeError, match=re.escape("use Embedding(sparse=False), or torch.optim.SparseAdam")
    ):
        Fromage(table.parameters()).step()
