"""Any tensor, any options: every implementation against the oracle, on examples that hypothesis draws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import oracle, trajectory
from ways import WAYS, step, steps

from fromage_edu.optim import cpu, fromage_update

WAY = st.sampled_from(list(WAYS))
SHAPE = st.lists(st.integers(0, 4) | st.integers(1, 4), max_size=6).map(tuple)
SEED = st.integers(0, 10**6)
LR = st.sampled_from([0.0, 1e-6, 0.01, 0.3, 1.0, 10.0])
# Powers of ten that the dtype holds, with room for a step of lr 10 and for products of a few entries.
POWERS = {torch.float64: 300, torch.float32: 36, torch.bfloat16: 36, torch.float16: 3}
REAL = list(POWERS)
COMPLEX = [torch.complex64, torch.complex128]


def rounding(dtype):
    """Half of the gap between 1 and the next number, and between 0 and the next number."""
    info = torch.finfo(dtype)
    return info.eps / 2, info.smallest_normal * info.eps / 2


@st.composite
def scaled(draw, dtype, shape):
    """A tensor of random entries at a random scale."""
    power = POWERS[dtype]
    tensor = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(draw(SEED)))
    scale = 10.0 ** draw(st.just(0) | st.floats(-power - 5, power))
    return (tensor.clamp(-3, 3) * scale).to(dtype)


@pytest.mark.rule("ordinary step")
@pytest.mark.rule("tiny or huge")
@pytest.mark.rule("half precision")
@given(st.data(), WAY, st.sampled_from(REAL), SHAPE, LR, st.booleans(), st.booleans())
def test_one_step_of_any_tensor(data, way, dtype, shape, lr, norm_correction, maximize):
    weight = data.draw(scaled(dtype, shape))
    grad = data.draw(scaled(dtype, shape))
    options = dict(lr=lr, norm_correction=norm_correction, maximize=maximize)
    new, exact = step(way, weight, grad, **options), oracle(weight, grad, **options)
    assert new.dtype == dtype and new.shape == shape
    # Rounded once to the dtype; before that, computed in it or in float32 from terms of this size.
    half, least = rounding(dtype)
    inner, _ = rounding(torch.promote_types(dtype, torch.float32))
    terms = largest_term(weight.double(), grad.double(), lr, norm_correction)
    assert ((new.double() - exact).abs() <= 1.01 * (half * exact.abs() + 3 * inner * terms + least)).all()


def largest_term(weight, grad, lr, norm_correction) -> float:
    """Of W/s and η·‖W‖/‖g‖·g/s, the largest entry; or of η·g where W is 0."""
    if not weight.numel():
        return 0.0
    peaks = weight.abs().max().item(), grad.abs().max().item()
    if 0.0 in peaks:
        return peaks[0] + lr * peaks[1]
    ratio = (weight / peaks[0]).norm() / (grad / peaks[1]).norm()
    return peaks[0] * (1 + lr * ratio.item()) / (math.hypot(1, lr) if norm_correction else 1.0)


def transposed(tensor):
    return tensor.permute(*range(tensor.dim())[::-1])


LAYOUTS = {
    "contiguous": lambda t: t.contiguous(),
    "transposed": lambda t: transposed(transposed(t).contiguous()) if t.dim() else t,
    "channels last": lambda t: t.to(memory_format=torch.channels_last) if t.dim() == 4 else t,
    "channels last 3d": lambda t: t.to(memory_format=torch.channels_last_3d) if t.dim() == 5 else t,
    "every second": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2] if t.dim() else t,
    "shifted": lambda t: torch.cat([t.new_zeros(1), t.reshape(-1)])[1:].view(t.shape),
}
# For gradients only: entries that share memory or are negated when read.
LAZY = {
    "expanded": lambda t: t[:1].expand(t.shape) if t.dim() else t,
    "a number expanded": lambda t: t.new_tensor(0.7).expand(t.shape),
    "negated": lambda t: torch.complex(t, -t).conj().imag,
}


@pytest.mark.rule("ordinary step")
@pytest.mark.parametrize("of_weight", list(LAYOUTS))
@pytest.mark.parametrize("of_grad", [*LAYOUTS, *LAZY])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 3), (2, 3, 2, 2), (2, 1, 3, 2, 1)])
def test_any_layout_in_memory(of_weight, of_grad, shape):
    weight, grad = torch.randn(2, *shape)
    weight, grad = LAYOUTS[of_weight](weight), (LAYOUTS | LAZY)[of_grad](grad)
    for options in ({}, {"momentum": 0.5, "p_bound": 1.0}):
        expected = trajectory(weight, [grad] * 2, 0.1, **options)
        for way in WAYS:
            path = steps(way, weight, [grad] * 2, 0.1, **options)
            assert path[0].stride() == weight.stride() or of_weight == "every second"
            torch.testing.assert_close(path, expected, rtol=1e-6, atol=1e-6 * weight.norm().item())


@pytest.mark.rule("p_bound")
@pytest.mark.rule("momentum")
@given(
    st.data(),
    WAY,
    st.sampled_from([torch.float32, torch.float64, *COMPLEX]),
    st.lists(st.integers(1, 3), max_size=3).map(tuple),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.none() | st.sampled_from([1.0, 1.05, 2.0]),
    st.booleans(),
    st.booleans(),
)
def test_any_run(data, way, dtype, shape, momentum, p_bound, norm_correction, maximize):
    """Gradients of changing size, some along W, some 0; a weight that may start at 0; lr that varies."""
    generator = torch.Generator().manual_seed(data.draw(SEED))
    weight, *grads = torch.randn(5, *shape, dtype=dtype, generator=generator)
    weight = weight * data.draw(st.sampled_from([0.0, 1e-3, 1.0, 1e3]))
    grads = [
        data.draw(st.sampled_from([0.0, 1e-3, 1.0, 10.0])) * (grad + along * weight)
        for grad, along in zip(grads, (0, 1, -1, 0), strict=True)
    ]
    lrs = [data.draw(st.sampled_from([0.0, 0.01, 0.1, 0.4])) for _ in grads]
    options = dict(momentum=momentum, p_bound=p_bound, norm_correction=norm_correction, maximize=maximize)
    path, expected = steps(way, weight, grads, lrs, **options), trajectory(weight, grads, lrs, **options)
    size = max(tensor.abs().max().item() for tensor in (weight, *expected))
    for one, two in zip(path, expected, strict=True):
        assert (one - two).abs().max() <= 40 * torch.finfo(dtype).eps * size


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


@pytest.mark.rule("tiny or huge")
@given(st.floats(-280, 280), st.floats(-280, 280))
def test_the_free_function_at_any_scale_that_float64_holds(weight_power, grad_power):
    weight = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64) * 10**weight_power
    grad = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64) * 10**grad_power
    expected = oracle(weight, grad, 0.1)
    torch.testing.assert_close(fromage_update(weight, grad, 0.1), expected, rtol=1e-14, atol=0)


@given(st.integers(-60, 60), st.integers(-60, 60))
def test_the_free_function_is_blind_to_the_gradients_scale_and_follows_the_weights(weight_power, grad_power):
    weight, grad = torch.randn(2, 6)
    scaled = fromage_update(weight * 2.0**weight_power, grad * 2.0**grad_power)
    torch.testing.assert_close(scaled / 2.0**weight_power, fromage_update(weight, grad), rtol=1e-6, atol=1e-7)
