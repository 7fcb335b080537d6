"""The Triton kernels inside the optimizer, at the borders of memory, and as a GPU's compiler sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracle import relative_error
from torch import nn
from triton_here import DEVICE, TRITON, conversions, gpu, kernels

from fromage_edu import Fromage
from fromage_edu.optim import foreach, fromage_update, paths

pytestmark = conversions


@pytest.fixture
def short_slices(monkeypatch):
    """Many slices and blocks in small tensors: the interpreter is slow."""
    for name, value in {"SLICE": 64, "BLOCK": 32, "MOST": 4}.items():
        monkeypatch.setattr(kernels, name, value)
    kernels._slices.cache_clear()
    yield
    kernels._slices.cache_clear()


@pytest.fixture
def chosen(monkeypatch):
    """Of the ways that take several tensors at once, `foreach=True` gets the kernels."""
    monkeypatch.setattr(paths, "way_for", lambda *_: kernels)


def drawn(shape, dtype=torch.float32):
    return torch.randn(shape).to(DEVICE, dtype)


# --- In the optimizer -----------------------------------------------------------------------------------

# Around the borders of blocks and slices, more slices than MOST, orders in memory, no dimension.
LIST = [(31,), (32,), (33,), (63,), (64,), (65,), (7, 19), (), (1,), (1000,), (2, 3, 5, 4)]
OPTIONS = [{}, {"momentum": 0.9}, {"p_bound": 1.001}, {"maximize": True, "norm_correction": False}]


def list_of(dtype):
    tensors = [drawn(shape, dtype) for shape in LIST]
    return tensors + [drawn((9, 17), dtype).T, tensors[-1].contiguous(memory_format=torch.channels_last)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_they_step_as_foreach_does_to_the_bit(dtype, options, short_slices, monkeypatch):
    """A GPU may add in another order and contract products; the interpreter does neither."""
    one, two = ([nn.Parameter(tensor.clone()) for tensor in list_of(dtype)] for _ in range(2))
    for a, b in zip(one, two, strict=True):
        b.data.copy_(a.data)
    first = Fromage(one, lr=torch.tensor(0.1), foreach=True, **options)
    second = Fromage(two, lr=0.1, foreach=True, **options)
    second.param_groups[0]["lr"] = first.param_groups[0]["lr"].item()
    for _ in range(3):
        for a, b in zip(one, two, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        with monkeypatch.context() as patch:
            patch.setattr(paths, "way_for", lambda *_: kernels)
            first.step()
        second.step()
    for a, b in zip(one, two, strict=True):
        rtol = torch.finfo(dtype).eps if DEVICE == "cuda" else 0
        torch.testing.assert_close(a, b, rtol=rtol, atol=0)


def test_every_ratio_of_scales_in_one_launch(chosen, short_slices):
    scales = [1e-44, 1e-38, 1e-30, 1e-20, 1.0, 1e19, 1e30, 3e37]
    pairs = [(w, g) for w in scales for g in scales]
    params = [nn.Parameter(torch.tensor([3.0, -1.0, 2.0], device=DEVICE) * w) for w, _ in pairs]
    wanted = []
    for param, (_, g) in zip(params, pairs, strict=True):
        param.grad = torch.tensor([1.0, 2.0, -2.0], device=DEVICE) * g
        wanted.append(fromage_update(param.detach().double(), param.grad.double(), 0.1))
    Fromage(params, lr=0.1, foreach=True).step()
    for param, new, pair in zip(params, wanted, pairs, strict=True):
        error = (param.detach().double() - new).abs()
        assert (error <= 1e-7 * new.abs() + 2.0**-149).all(), pair


def test_a_graph_that_saw_the_old_weights_is_stale(chosen):
    param = nn.Parameter(drawn(100))
    loss = param.square().sum()
    param.grad = drawn(100)
    Fromage([param], foreach=True).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- The borders of memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_nothing_beyond_a_tensor_is_read_or_written(shift, dtype, short_slices):
    """NaN around it: read, it would spread; written over, it would be gone. Shifted, nothing is aligned."""
    weights, grads, buffers = [], [], []
    for size in (1, 31, 32, 33, 64, 65, 200, 300):
        for some in (weights, grads):
            buffer = torch.full((size + 64,), torch.nan, dtype=dtype, device=DEVICE)
            inside = buffer[32 + shift : 32 + shift + size]
            some.append(inside.copy_(drawn(size)))
            buffers.append((buffer, inside))
    assert all((tensor.data_ptr() % 16 == 0) == (shift == 0) for tensor in weights)
    copies = [weight.clone() for weight in weights]
    sums = kernels.sums(weights, grads, True)
    torch.testing.assert_close(sums, foreach.sums(copies, grads, True), rtol=1e-12, atol=1e-12)
    by = foreach.coefficients(sums, 0.3, True, None)
    kernels.update_(weights, grads, by)
    foreach.update_(copies, grads, by)
    for weight, copy in zip(weights, copies, strict=True):
        torch.testing.assert_close(weight, copy, rtol=torch.finfo(dtype).eps, atol=0)
    for buffer, inside in buffers:
        assert buffer.isnan().sum() == len(buffer) - len(inside)


@pytest.mark.parametrize("sizes", [[0], [0, 0], [0, 5, 0, 70, 0]])
def test_an_empty_tensor_adds_nothing(sizes, short_slices):
    """A process may hold an empty part of a sharded tensor."""
    weights, grads = ([drawn(size) for size in sizes] for _ in range(2))
    sums = kernels.sums(weights, grads, True)
    torch.testing.assert_close(sums, foreach.sums(weights, grads, True), rtol=1e-12, atol=1e-12)
    kernels.update_(weights, grads, foreach.coefficients(sums, 0.1, True, None))
    assert all(weight.isfinite().all() for weight in weights)


def test_slices_cover_each_tensor_once_and_tables_stay_small():
    sizes = (10,) * 10_000 + (10**9, 0, 2**15, 2**15 + 1)
    made = kernels._slices.__wrapped__(sizes, torch.device("cpu"), None)
    counts = torch.bincount(made.table[:, 0], minlength=len(sizes))
    assert counts.tolist() == [1] * 10_000 + [counts[10_000].item(), 0, 1, 2]
    assert 900 <= counts[10_000] <= kernels.MOST
    assert (made.table[:, 1] % kernels.BLOCK == 0).all()  # as wide loads want it
    lengths = torch.zeros(len(sizes), dtype=torch.int64).index_add_(0, made.table[:, 0], made.table[:, 2])
    assert lengths.tolist() == list(sizes)
    places = made.table[:, 3]
    assert len(places.unique()) == len(places)
    room = made.ones + made.several * made.most  # float64 numbers, two or three times
    assert places.max() < room <= 10_001 + 3 * kernels.MOST


# --- As a GPU's compiler sees them ----------------------------------------------------------------------

COMPILE = """
import collections, json, re, sys
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fromage_edu.optim import kernels
found = {}
for capability in (75, 90):
    for kernel in (kernels._sums_kernel, kernels._update_kernel):
        given = dict(W=tl.float32, G=tl.float32, DOTS=True, ALIGNED=True, BLOCK=kernels.BLOCK)
        given = {name: value for name, value in given.items() if name in kernel.arg_names}
        kinds = {"partial": "*fp64", "pairs": "*fp64", "row": "i64"}
        kinds = {name: kinds.get(name, "*i64") for name in kernel.arg_names}
        kinds |= {name: "constexpr" for name in given}
        source = ASTSource(kernel, kinds, given)
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 8})
        calls = re.findall(r"(?:ld|st)[.]global[.a-z0-9]*", made.asm["ptx"])
        found[f"{kernel.__name__} {capability}"] = collections.Counter(calls)
json.dump(found, sys.stdout)
"""


@pytest.mark.skipif(TRITON < (3, 3), reason="its compiler was called otherwise")
def test_the_compiler_for_gpus_takes_them_and_loads_16_bytes_at_once(tmp_path):
    """Without a GPU: down to its machine code, for an old one and a new one."""
    root = Path(kernels.__file__).resolve().parents[2]
    variables = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=os.environ | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found) == 4
    for name, calls in found.items():
        assert calls["ld.global.v4.b32"] == 4, name  # a block of W and one of g: 2048 elements, 256 threads
        assert calls.get("st.global.v4.b32", 0) == (2 if name.startswith("_update") else 0), name


# --- On a GPU -------------------------------------------------------------------------------------------


@gpu
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    "dtypes", [(torch.float32,) * 2, (torch.bfloat16,) * 2, (torch.float16,) * 2], ids=str
)
def test_long_tensors_on_a_gpu(dtypes, options):
    """Slices, blocks and rest as they ship; each step against one in float64 from the same weights."""
    weight_dtype, grad_dtype = dtypes
    sizes = [2**15 - 1, 2**15, 2**15 + 1, 10**6 + 7, 4 * 10**7 + 1, 1000, 1]
    params = [nn.Parameter(drawn(size, weight_dtype)) for size in sizes]
    optimizer = Fromage(params, lr=0.1, **(options | {"momentum": 0.0}))
    limits = [(optimizer.state[p].get("initial_norm"), options.get("p_bound")) for p in params]
    sign = -1 if options.get("maximize") else 1
    for _ in range(2):
        before = [param.detach().double() for param in params]
        for param in params:
            param.grad = drawn(param.numel(), grad_dtype)
        optimizer.step()
        for param, old, (norm, bound) in zip(params, before, limits, strict=True):
            correct = options.get("norm_correction", True)
            limit = None if bound is None else bound * norm.item()
            new = fromage_update(
                old, sign * param.grad.double(), 0.1, norm_correction=correct, max_norm=limit
            )
            assert relative_error(param.detach(), new) <= 1.01 * torch.finfo(weight_dtype).eps / 2


@gpu
def test_two_runs_on_a_gpu_agree_to_the_bit():
    weights, grads = ([drawn(10**6 + 3), drawn(5)] for _ in range(2))
    assert len({tuple(kernels.sums(weights, grads, True).flatten().tolist()) for _ in range(5)}) == 1


@gpu
@pytest.mark.parametrize(("options", "limit"), [({}, 2**20), ({"foreach": True}, 40 * 2**20)])
def test_a_step_on_a_gpu_takes_little_memory(options, limit):
    params = [nn.Parameter(drawn(size)) for size in (3 * 10**7, 10**6, 1000)]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = Fromage(params, **options)
    optimizer.step()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    optimizer.step()
    assert torch.cuda.max_memory_allocated() - before <= limit


@gpu
def test_a_stream_of_its_own_is_kept_to():
    params, others = ([nn.Parameter(torch.ones(10**6, device="cuda"))] for _ in range(2))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    for some in (params, others):
        some[0].grad = torch.linspace(-1, 1, 10**6, device="cuda")
    torch.cuda.synchronize()
    optimizer = Fromage(params, lr=0.1)
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.cuda._sleep(10**7)  # what comes too early would read old weights
            optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    other = Fromage(others, lr=0.1)
    for _ in range(3):
        other.step()
    assert params[0].equal(others[0])


@gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_tensors_need_not_be_on_the_current_gpu():
    params = [nn.Parameter(torch.ones(1000, device=f"cuda:{index}")) for index in (1, 0, 1)]
    for param in params:
        param.grad = torch.linspace(-1, 1, 1000, device=param.device)
    Fromage(params, lr=0.1).step()
    torch.testing.assert_close(params[0].cpu(), params[1].cpu(), rtol=0, atol=0)


@gpu
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_on_a_gpu_follows_lr():
    params, others = ([nn.Parameter(torch.ones(1000, device="cuda"))] for _ in range(2))
    for some in (params, others):
        some[0].grad = torch.linspace(-1, 1, 1000, device="cuda")
    lr = torch.tensor(0.1, device="cuda")
    one, two = Fromage(params, lr=lr, momentum=0.5), Fromage(others, lr=0.1, momentum=0.5)
    compiled = torch.compile(one.step, fullgraph=True)
    for value in (0.1, 0.05, 0.3):
        lr.fill_(value)
        two.param_groups[0]["lr"] = value
        compiled()
        two.step()
    torch.testing.assert_close(params[0], others[0], rtol=1e-5, atol=1e-6)
