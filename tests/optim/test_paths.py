"""Which code steps which tensor, and that a list of all kinds is stepped right by whichever it is."""

import pytest
import torch
from oracle import relative_error
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fromage_edu import Fromage
from fromage_edu.optim import cpu, foreach, fromage_update, paths

SINGLE, DOUBLE, HALF, BRAIN = torch.float32, torch.float64, torch.float16, torch.bfloat16


class Marked(nn.Parameter):
    """Not quite a parameter: what torch does with it is its own affair."""


def options_of(lr=0.1, norm_correction=True, maximize=False, foreach=None, capturable=False):
    return paths.Options(lr, norm_correction, maximize, foreach, capturable)


def matrix(dtype=SINGLE, rows=4, columns=6):
    return torch.randn(rows, columns, dtype=dtype)


# --- The way that is chosen -----------------------------------------------------------------------------

ALONE, APART, TRUE, CAPTURABLE = {}, {"foreach": False}, {"foreach": True}, {"capturable": True}
# What the tensor is, its options, and the code that takes it, in the order in which it is asked.
CHOICES = {
    "float32": (lambda: (matrix(), matrix()), {"": "cpu", "foreach": "foreach", "capturable": "foreach"}),
    "float64": (lambda: (matrix(DOUBLE), matrix(DOUBLE)), {"": "cpu", "foreach": "exact"}),
    "complex": (
        lambda: (matrix(torch.complex64), matrix(torch.complex64)),
        {"": "exact", "foreach": "exact"},
    ),
    "bfloat16": (lambda: (matrix(BRAIN), matrix(BRAIN)), {"": "foreach", "capturable": "foreach"}),
    "float16": (lambda: (matrix(HALF), matrix(HALF)), {"": "foreach", "foreach": "foreach"}),
    "two dtypes": (lambda: (matrix(), matrix(BRAIN)), {"": "foreach"}),
    "transposed": (lambda: (matrix().T, matrix().T), {"": "cpu"}),
    "two orders": (lambda: (matrix().T, matrix(rows=6, columns=4)), {"": "foreach"}),
    "with gaps": (lambda: (matrix()[:, ::2], matrix()[:, ::2]), {"": "foreach"}),
    "zero": (lambda: (torch.zeros(4), torch.ones(4)), {"": "foreach"}),
    "no gradient to speak of": (lambda: (torch.ones(4), torch.zeros(4)), {"": "foreach"}),
    "tiny": (lambda: (matrix() * 1e-30, matrix()), {"": "foreach"}),
    "of no dimension": (lambda: (torch.tensor(2.0), torch.tensor(3.0)), {"": "cpu"}),
    "empty": (lambda: (torch.empty(0, 3), torch.empty(0, 3)), {"": "exact", "foreach": "exact"}),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_each_tensor_is_stepped_by(kind, monkeypatch):
    make, wanted = CHOICES[kind]
    calls = []

    def watch(module, name, called):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (calls.append(called), original(*a, **k))[1])

    watch(cpu, "_one_pass", "cpu")
    watch(foreach, "update_", "foreach")
    watch(paths, "fromage_update", "exact")
    for options, path in wanted.items():
        weight, grad = make()
        paths.update_([weight], [grad], [None], options_of(**{options: True} if options else {}))
        assert calls == [path], options
        calls.clear()


def test_a_tensor_of_another_class_is_left_to_the_exact_update(monkeypatch):
    def refuse(*args):
        raise AssertionError("a fast path took it")

    monkeypatch.setattr(cpu, "_one_pass", refuse)
    monkeypatch.setattr(foreach, "update_", refuse)
    param = Marked(torch.tensor([3.0, 4.0]))
    param.grad = torch.tensor([4.0, -3.0])
    Fromage([param], lr=0.75).step()
    assert param.tolist() == [0.0, 5.0]


class OnGPU:
    """As much of a tensor as the choice looks at."""

    device = torch.device("cuda", 0)

    def __init__(self, dtype=SINGLE):
        self.dtype = dtype


def way(options=ALONE, weight=SINGLE, grad=SINGLE):
    return paths.way_for([OnGPU(weight)], [OnGPU(grad)], options_of(**options))


def test_on_a_gpu_the_kernels_take_what_fits(monkeypatch):
    kernels = pytest.importorskip("fromage_edu.optim.kernels", exc_type=ImportError)
    monkeypatch.setattr(paths, "_triton_works", lambda *_: True)
    monkeypatch.setattr(kernels, "fits", lambda *_: True)
    assert way() is way(weight=BRAIN) is way(grad=HALF) is kernels
    assert way(TRUE) is way(APART) is way(CAPTURABLE) is way(weight=DOUBLE) is way(grad=DOUBLE) is foreach
    monkeypatch.setattr(kernels, "fits", lambda *_: False)
    assert way() is foreach
    monkeypatch.setattr(paths, "_triton_works", lambda *_: False)
    monkeypatch.setattr(kernels, "fits", lambda *_: True)
    assert way() is foreach


def test_where_triton_fails_its_message_is_told_once_and_foreach_steps(monkeypatch):
    """No C compiler; bfloat16 on a GPU older than Triton's support of it."""
    kernels = pytest.importorskip("fromage_edu.optim.kernels", exc_type=ImportError)
    try_it = paths._triton_works.__wrapped__
    here = torch.device("cpu")
    monkeypatch.setattr(kernels, "_launch", lambda *args, **kwargs: None)
    assert try_it(here, SINGLE, SINGLE)

    def fail(*args, **kwargs):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(kernels, "_launch", fail)
    with pytest.warns(UserWarning, match="foreach=True asks for that without this warning.*no compiler"):
        assert not try_it(here, SINGLE, SINGLE)


def test_without_triton_nothing_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not paths._triton_works.__wrapped__(torch.device("cpu"), SINGLE, SINGLE)


# --- A list of all kinds --------------------------------------------------------------------------------

SHAPES = [(), (1,), (3,), (0, 4), (101, 103), (127, 131), (8, 4, 3, 3), (200, 100)] + [(16, 8)] * 7
OPTIONS = [{}, {"maximize": True}, {"norm_correction": False}]


def list_of_all_kinds():
    tensors = [torch.randn(shape) for shape in SHAPES]
    tensors += [tensors[6].contiguous(memory_format=torch.channels_last), matrix().T, matrix()[:, ::2]]
    tensors += [torch.zeros(5), torch.randn(6) * 1e-35, torch.randn(7, dtype=torch.complex64)]
    tensors += [torch.randn(40, 30, dtype=dtype) for dtype in (DOUBLE, HALF, BRAIN)]
    pairs = [(tensor, torch.randn_like(tensor)) for tensor in tensors]
    pairs += [(matrix().T, matrix(rows=6, columns=4)), (matrix(), matrix(BRAIN)), (matrix(HALF), matrix())]
    return pairs + [(matrix(), torch.zeros(4, 6)), (matrix(), torch.randn(4, 6) * 1e30)]


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1, dtype=DOUBLE), 3.0], ids=["number", "tensor", "large"])
@pytest.mark.parametrize("bound", [None, 1.001, 0.5])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("way", [ALONE, APART, TRUE, CAPTURABLE], ids=str)
def test_all_kinds_together_are_stepped_as_in_float64(way, options, bound, lr):
    pairs = [(w.detach(), g) for w, g in list_of_all_kinds()]
    limits, wanted = [], []
    sign = -1 if options.get("maximize") else 1
    for weight, grad in pairs:
        wide = torch.complex128 if weight.is_complex() else DOUBLE
        weight, grad = weight.to(wide), sign * grad.to(wide)
        norm = weight.norm().item() or torch.inf  # as for a tensor that was 0
        limits.append(None if bound is None else torch.tensor(bound * norm, dtype=DOUBLE))
        correct = options.get("norm_correction", True)
        wanted.append(fromage_update(weight, grad, lr, norm_correction=correct, max_norm=limits[-1]))
    before = [grad.clone() for _, grad in pairs]
    paths.update_(*map(list, zip(*pairs, strict=True)), limits, options_of(lr, **way, **options))
    for (weight, grad), new, old in zip(pairs, wanted, before, strict=True):
        assert grad.equal(old)
        rounding = torch.finfo(weight.dtype).eps / 2
        if weight.numel():
            assert relative_error(weight, new) <= (4 if rounding < 1e-5 else 1.01) * rounding


# --- Nothing is copied from the host while the device waits ---------------------------------------------


class FromHost(TorchDispatchMode):
    """Writes down what brings values to a device: a copy that is waited for stops everything."""

    def __init__(self):
        super().__init__()
        self.waited, self.sent = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_") and isinstance(out, torch.Tensor):
            source = args[1] if name == "copy_" else args[0]
            free = (kwargs or {}).get("non_blocking", False) or (name == "copy_" and any(args[2:3]))
            if source.is_cpu and not out.is_cpu:
                (self.sent if free else self.waited).append(str(func))
        return out


@pytest.mark.parametrize("lr", ["number", "on the host", "on the device"])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "p_bound": 1.5, "maximize": True}], ids=str)
@pytest.mark.parametrize("way", [TRUE, APART, CAPTURABLE], ids=str)
def test_no_copy_from_the_host_is_waited_for(way, options, lr):
    params = [nn.Parameter(torch.empty(shape, device="meta")) for shape in ((3, 4), (5,), ())]
    params.append(nn.Parameter(torch.empty(3, dtype=DOUBLE, device="meta")))  # to the exact update
    optimizer = Fromage(params, **way, **options)
    if lr != "number":
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="meta" if "device" in lr else "cpu")
    for param in params:
        param.grad = torch.empty_like(param)
    optimizer.step()
    with FromHost() as copies:
        optimizer.step()
    assert copies.waited == []
    assert bool(copies.sent) == (lr == "on the host")


def test_a_copy_that_is_waited_for_would_be_seen():
    with FromHost() as copies:
        torch.ones(()).to("meta")
        torch.ones((), device="meta").copy_(torch.ones(()))
        torch.ones(()).to("meta", non_blocking=True)
    assert len(copies.waited) == 2 and len(copies.sent) == 1


def knows_fake_gpus():
    try:
        with FakeTensorMode():
            return torch.empty(1, device="cuda")[0].device.type == "cuda"
    except (RuntimeError, AssertionError):
        return False


@pytest.mark.skipif(not knows_fake_gpus(), reason="this torch knows no GPU, not even a fake one")
@pytest.mark.parametrize("plain", [False, True], ids=["exact", "foreach"])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "p_bound": 1.5}], ids=str)
def test_a_step_on_a_fake_gpu_asks_for_no_value(options, plain, monkeypatch):
    if plain:
        monkeypatch.setattr(paths, "PLAIN", (*paths.PLAIN, FakeTensor))
    with FakeTensorMode():
        params = [nn.Parameter(torch.empty(shape, device="cuda")) for shape in ((3, 4), (5,))]
        optimizer = Fromage(params, capturable=True, **options)
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="cuda")
        for param in params:
            param.grad = torch.empty_like(param)
        optimizer.step()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            params[0].sum().item()
