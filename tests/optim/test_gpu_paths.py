"""What runs on a GPU, as far as a CPU can tell: Triton's interpreter, and tensors without values.

The tests at the end need a GPU and are skipped without one.
"""

import pytest
import torch
from oracle import oracle, relative_error
from triton_here import DEVICE, conversions, gpu, kernels

from fromage_edu import Fromage
from fromage_edu.optim import foreach, fromage_update, paths

pytestmark = conversions
SIZES = [1, 7, 63, 64, 65, 127, 128, 129, 500, 1000]


@pytest.fixture(autouse=True)
def _short_slices(monkeypatch):
    """Many slices and blocks in small tensors: the interpreter is slow."""
    kernels._slices.cache_clear()
    monkeypatch.setattr(kernels, "SLICE", 128)
    monkeypatch.setattr(kernels, "BLOCK", 64)
    yield
    kernels._slices.cache_clear()


def tensors(sizes, dtype, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, generator=generator) * scale).to(DEVICE, dtype) for n in sizes]


DTYPES = [
    (torch.float32, torch.float32),
    (torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.bfloat16),
    (torch.float16, torch.float32),
]


@pytest.mark.parametrize(("weight", "grad"), DTYPES)
@pytest.mark.parametrize("dots", [False, True])
def test_the_sums_are_those_in_float64(weight, grad, dots):
    weights, grads = tensors(SIZES, weight), tensors(SIZES, grad, seed=1)
    sums = kernels.sums(weights, grads, dots)
    pairs = [(w.double(), g.double()) for w, g in zip(weights, grads, strict=True)]
    wanted = [[w @ w, g @ g, w @ g][: 3 if dots else 2] for w, g in pairs]
    torch.testing.assert_close(sums.T, torch.tensor(wanted, device=DEVICE), rtol=1e-12, atol=1e-12)
    assert sums.equal(kernels.sums(weights, grads, dots))


@pytest.mark.parametrize(("weight", "grad"), DTYPES)
def test_the_update_is_computed_in_float64_and_rounded(weight, grad):
    weights, grads = tensors(SIZES, weight), tensors(SIZES, grad, seed=1)
    copies = [w.clone() for w in weights]
    by = foreach.coefficients(kernels.sums(weights, grads, False), 0.3, True, None)
    kernels.update_(weights, grads, by)
    foreach.update_(copies, grads, by)
    for one, two in zip(weights, copies, strict=True):
        torch.testing.assert_close(one, two, rtol=torch.finfo(weight).eps, atol=0)
        assert one._version > 0
        # Half precision is rounded by way of float32, which differs from one rounding in rare ties. Triton's
        # interpreter cuts bfloat16 off; a GPU rounds it.
        if DEVICE == "cuda" or weight != torch.bfloat16:
            assert (one != two).double().mean() <= 0.02


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e-30, 1e30), (1e30, 1e-30), (1e37, 1e37), (1e-38, 1e-38)])
def test_a_step_at_any_scale(scales):
    weights = tensors([300], torch.float32, scales[0])
    grads = tensors([300], torch.float32, scales[1], seed=1)
    wanted = oracle(weights[0].cpu(), grads[0].cpu(), 0.1)
    by = foreach.coefficients(kernels.sums(weights, grads, False), 0.1, True, None)
    kernels.update_(weights, grads, by)
    assert relative_error(weights[0].cpu(), wanted) <= 2e-7 or scales == (1e-38, 1e-38)
    assert (weights[0].cpu().double() - wanted).abs().max() <= 2e-7 * wanted.norm() + 2.0**-149


def test_the_rules_hold_in_the_kernels_too():
    weights = tensors([100] * 4, torch.float32)
    grads = tensors([100] * 4, torch.float32, seed=1)
    weights[1].zero_()
    grads[2].zero_()
    grads[3][50] = torch.inf
    before = [w.clone() for w in weights]
    limits = [before[0].norm().item() * 0.5, torch.inf, 1e-9, 1.0]
    limits = torch.tensor(limits, dtype=torch.float64, device=DEVICE)
    by = foreach.coefficients(kernels.sums(weights, grads, True), 0.1, True, limits)
    kernels.update_(weights, grads, by)
    assert weights[0].norm().item() == pytest.approx(limits[0].item(), rel=1e-6)
    torch.testing.assert_close(weights[1], -0.1 * grads[1])
    assert weights[2].norm().item() == pytest.approx(1e-9, rel=1e-6)
    assert weights[3].isnan().all()


def test_what_does_not_fit_the_kernels_is_told():
    matrix = torch.randn(4, 6)
    assert kernels.fits(matrix, matrix) and kernels.fits(matrix.T, matrix.T)
    assert not kernels.fits(matrix.T, matrix.T.contiguous())
    assert not kernels.fits(matrix[:, ::2], matrix[:, ::2])
    assert not kernels.fits(matrix.double(), matrix.double())


# --- Nothing is read back -------------------------------------------------------------------------------

ASKED = [{}, {"momentum": 0.9}, {"p_bound": 1.5}, {"maximize": True}, {"momentum": 0.5, "p_bound": 1.0}]


@pytest.mark.parametrize("options", ASKED)
@pytest.mark.parametrize("lr", ["number", "tensor"])
@pytest.mark.parametrize("way", [{"foreach": True}, {"capturable": True}])
def test_the_step_never_asks_the_device_for_a_value(way, options, lr):
    """On the device "meta" there are none: whatever asked for one would raise."""
    params = [torch.nn.Parameter(torch.empty(shape, device="meta")) for shape in ((3, 4), (5,), ())]
    optimizer = Fromage(params, lr=0.1, **{"capturable": True, **way, **options})
    if lr == "tensor":  # the constructor checks its value; the step does not
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="meta")
    for _ in range(2):
        for param in params:
            param.grad = torch.empty_like(param)
        versions = [param._version for param in params]
        optimizer.step()
        assert all(param._version > version for param, version in zip(params, versions, strict=True))


def test_a_tensor_without_values_would_tell():
    with pytest.raises(RuntimeError, match="meta"):
        torch.empty((), device="meta").item()


# --- On a GPU -------------------------------------------------------------------------------------------

def models(count=1):
    generator = torch.Generator().manual_seed(3)
    shapes = [(300, 200), (70_000,), (16, 8, 3, 3), (1,), ()]
    values = [(torch.randn(s, generator=generator), torch.randn(s, generator=generator)) for s in shapes]
    made = []
    for _ in range(count):
        params = [torch.nn.Parameter(w.cuda()) for w, _ in values]
        for param, (_, g) in zip(params, values, strict=True):
            param.grad = g.cuda()
        made.append(params)
    return made


@gpu
@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"foreach": False}, {"capturable": True}])
def test_every_path_on_a_gpu_is_the_update_in_float64(options):
    (params,) = models()
    before = [(p.detach().double(), p.grad.double()) for p in params]
    optimizer = Fromage(params, lr=0.1, **options)
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for param, (w, g) in zip(params, before, strict=True):
        wanted = fromage_update(fromage_update(w, g, 0.1), g, 0.1)
        assert relative_error(param.detach().cpu(), wanted.cpu()) <= 1e-6


@gpu
def test_ordinary_tensors_on_a_gpu_take_the_kernels():
    (params,) = models()
    options = paths.Options(0.1, True, False, None, False)
    assert paths.way_for(params[:1], [params[0].grad], options) is kernels


@gpu
def test_a_recorded_step_sees_new_gradients_and_a_new_lr():
    recorded, eager = models(2)
    lr = torch.tensor(0.1, device="cuda")
    one = Fromage(recorded, lr=lr, momentum=0.9, capturable=True)
    two = Fromage(eager, lr=0.1, momentum=0.9)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        one.step()
    torch.cuda.current_stream().wait_stream(stream)
    two.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one.step()
    for value in (0.1, 0.05, 0.2):
        lr.fill_(value)
        two.param_groups[0]["lr"] = value
        for a, b in zip(recorded, eager, strict=True):
            a.grad.mul_(-1.5)
            b.grad.mul_(-1.5)
        graph.replay()
        two.step()
    for a, b in zip(recorded, eager, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@gpu
def test_recording_without_capturable_is_refused():
    (params,) = models()
    optimizer = Fromage(params)
    optimizer.step()
    with pytest.raises(RuntimeError, match="set capturable=True"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()
