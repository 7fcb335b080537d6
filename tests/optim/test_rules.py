"""Each row of the table of rules, held against the oracle on every implementation."""

import inspect
import math

import pytest
import torch
from oracle import oracle, relative_error, trajectory
from rules import RULES, by_rule
from torch import nn
from ways import WAYS, every_way, fromage, parameter, step, steps

from fromage_edu import Fromage
from fromage_edu.optim import cpu
from fromage_edu.trust import frobenius_norm

NAN, INF = float("nan"), float("inf")


def test_every_rule_has_a_test():
    tests = by_rule()
    assert [rule for rule in RULES if not tests[rule]] == []
    assert sorted(tests) == sorted(RULES), "a mark names a rule that is not in the table"


# --- An ordinary step -----------------------------------------------------------------------------------


@pytest.mark.rule("ordinary step")
@every_way
@pytest.mark.parametrize("norm_correction", [True, False])
@pytest.mark.parametrize("lr", [1e-6, 0.01, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_ordinary_step_is_algorithm_1(way, dtype, lr, norm_correction):
    weight, grad = torch.randn(2, 7, 5, dtype=dtype)
    options = dict(lr=lr, norm_correction=norm_correction)
    new, expected = step(way, weight, grad, **options), oracle(weight, grad, **options)
    assert new.dtype == dtype
    assert relative_error(new, expected) <= {torch.float32: 2e-7, torch.float64: 1e-15}[dtype]
    if dtype == torch.float64:  # and the small difference, which W would hide
        assert relative_error(new - weight, expected - weight) <= 1e-14 / lr


@pytest.mark.rule("ordinary step")
@every_way
@pytest.mark.parametrize("lr", [5e-324, 1e-300, 1e-98, 1e-30, 1e5, 1e20, 1e38, 1e300])
def test_any_lr(way, lr):
    for weight_scale, grad_scale in ((1.0, 1.0), (1e-11, 1e15), (1e15, 1e-11)):
        weight, grad = torch.tensor([3.0, 4.0]) * weight_scale, torch.tensor([1.0, -2.0]) * grad_scale
        new, expected = step(way, weight, grad, lr), oracle(weight, grad, lr)
        assert relative_error(new, expected) <= 1e-6


@pytest.mark.rule("ordinary step")
@pytest.mark.parametrize("lr", [1e-3, 1e-2, 1e-1])
def test_rounding_does_not_add_up(lr):
    """A factor 1/√(1 + η²) rounded to float32 is off by up to 3e-8 at every step, always to the same side."""
    weight, grads = torch.randn(8, 8), list(torch.randn(200, 8, 8))
    wide = steps("one by one", weight.double(), [grad.double() for grad in grads], lr)[-1].norm()
    for way in WAYS:
        single = steps(way, weight, grads, lr)[-1].double().norm()
        assert abs(single / wide - 1).item() <= 1e-6, way


# --- Where Algorithm 1 is silent ------------------------------------------------------------------------

OPTIONS = [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64]


@pytest.mark.rule("g = 0")
@every_way
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_zero_gradient_leaves_the_weight_untouched(way, dtype, options):
    for weight in (torch.randn(4, 3, dtype=dtype), torch.randn((), dtype=dtype) * 1e-3):
        zero = torch.zeros_like(weight)
        assert steps(way, weight, [zero, -zero] * 10, lr=0.5, **options)[-1].equal(weight)


@pytest.mark.rule("g = 0")
@every_way
def test_a_zero_gradient_spreads_no_nan(way):
    weight = torch.tensor([3.0, NAN, INF])
    assert step(way, weight, torch.zeros(3))[0] == 3.0


@pytest.mark.rule("g is None")
@every_way
@pytest.mark.parametrize("options", OPTIONS)
def test_a_tensor_without_a_gradient_is_skipped(way, options):
    still, moved = parameter([3.0, 4.0], way), parameter([3.0, 4.0], way)
    moved.grad = torch.tensor([1.0, 0.0])
    optimizer = fromage([still, moved], way, **options)
    version, state = still._version, dict(optimizer.state[still])
    optimizer.step()
    assert still.tolist() == [3.0, 4.0] and still._version == version and optimizer.state[still] == state
    assert moved.tolist() != [3.0, 4.0]


@pytest.mark.rule("W = 0")
@every_way
@pytest.mark.parametrize("scale", [1e-40, 1e-6, 1.0, 1e37])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}])
def test_a_zero_weight_takes_a_raw_step_and_is_relative_from_then_on(way, scale, options):
    weight, grad = torch.zeros(2), torch.tensor([3.0, -4.0]) * scale
    path = steps(way, weight, [grad] * 3, 0.1, **options)
    expected = trajectory(weight, [grad] * 3, 0.1, **options)
    sign = 1 if "maximize" in options else -1
    for one in (path[0], expected[0]):
        torch.testing.assert_close(one, sign * 0.1 * grad, rtol=1e-6, atol=2e-45)
    for one, two in zip(path, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=3e-45)


# --- Scale ----------------------------------------------------------------------------------------------

# Squares vanish below 1e-23, are subnormal and coarse up to 1e-19, and overflow above 1e19.
FLOAT32_SCALES = [1e-44, 1e-38, 1e-30, 1e-24, 1e-22, 1e-21, 1e-20, 1e-11, 1.0, 1e17, 1e19, 1e30, 3e37]


@pytest.mark.rule("tiny or huge")
@every_way
@pytest.mark.parametrize("weight_scale", FLOAT32_SCALES)
def test_any_scale_that_float32_holds(way, weight_scale):
    weight = torch.tensor([3.0, -1.0, 2.0]) * weight_scale
    for grad_scale in FLOAT32_SCALES:
        grad = torch.tensor([1.0, 2.0, -2.0]) * grad_scale
        expected = oracle(weight, grad, 0.1)
        error = (step(way, weight, grad, lr=0.1).double() - expected).abs()
        assert (error <= 1e-6 * expected.norm() + 2 * 2.0**-149).all(), (weight_scale, grad_scale)


@pytest.mark.rule("tiny or huge")
@every_way
@pytest.mark.parametrize("weight_scale", [1e-300, 1e-200, 1e-150, 1.0, 1e150, 1e200, 1e300])
def test_any_scale_that_float64_holds(way, weight_scale):
    weight = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64) * weight_scale
    for grad_scale in (1e-300, 1e-200, 1e-150, 1.0, 1e150, 1e200, 1e300):
        grad = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64) * grad_scale
        new, expected = step(way, weight, grad, 0.1), oracle(weight, grad, 0.1)
        assert relative_error(new / weight_scale, expected / weight_scale) <= 1e-15


@pytest.mark.rule("tiny or huge")
@every_way
@pytest.mark.parametrize("size", [1000, 20_000])
@pytest.mark.parametrize("weight_scale", [1e-42, 1e-25, 1e-22, 1.0, 1e20, 1e37])
def test_any_scale_in_larger_tensors(way, weight_scale, size):
    """Where W is constant and g = ±1·scale by turns, ‖W‖/‖g‖ is the ratio of the scales and ⟨W, g⟩ = 0."""
    weight = torch.full((size,), weight_scale)
    signs = torch.tensor([1.0, -1.0]).repeat(size // 2)
    for grad_scale in (1e-36, 1e-25, 1e-22, 1.0, 1e20, 1e38):
        expected = weight.double() * (1 - 0.5 * signs) / math.sqrt(1.25)
        new = step(way, weight, signs * grad_scale, lr=0.5)
        torch.testing.assert_close(new.double(), expected, rtol=1e-6, atol=3e-45)


# --- Norms ----------------------------------------------------------------------------------------------

# Values whose squares round to the same side each time they are added; found by trying hundreds.
CONSTANTS = [7.544254302978516, 0.4876392185688019, 0.2876911163330078, 1.0]


@pytest.mark.rule("norm")
@pytest.mark.parametrize(
    "size", [1, 700, 768, 1024, 16383, 16384, 16385, 100_000, 999_983, 2_400_000, 20_000_000]
)
def test_norms_at_any_size(size):
    """`torch.linalg.vector_norm` in float32 is off by 4e-5 at 2.4M entries and by 2.4e-3 at 38.6M."""
    tensor = torch.rand(size)
    for constant in (None, *(CONSTANTS if size < 1e6 else CONSTANTS[:1])):
        if constant is not None:
            tensor.fill_(constant)
        exact = math.hypot(*(part.double().norm().item() for part in tensor.split(2**20)))
        for norm in (cpu._norm(tensor), *cpu._norms(tensor.view(1, -1))):
            assert norm == pytest.approx(exact, rel=9e-7)
        if size < 1e6:
            assert frobenius_norm(tensor).item() == pytest.approx(exact, rel=1e-12)


@pytest.mark.rule("norm")
@pytest.mark.parametrize(
    ("way", "size"),
    [
        ("alone", 40_000_000),
        ("packed", 16_384),
        ("one by one", 4_000_000),
        ("differentiable", 4_000_000),
        ("foreach", 10_000_000),
    ],
)
@pytest.mark.parametrize("constant", ["weight", "grad"])
def test_steps_of_large_tensors_have_the_right_length(way, size, constant):
    """At lr = 1000 a step shows little but its length, ‖W‖/‖g‖."""
    same, random = torch.full((size,), CONSTANTS[0]), torch.rand(size)
    weight, grad = (same, random) if constant == "weight" else (random, same)
    norms = [math.hypot(*(p.double().norm().item() for p in t.split(2**20))) for t in (weight, grad)]
    few = slice(0, 1000)
    expected = (weight[few].double() - 1e3 * norms[0] / norms[1] * grad[few].double()) / math.hypot(1, 1e3)
    new = step(way, weight, grad, lr=1e3)[few].double()
    # One number: the roundings of a thousand entries average out, an error of the norms does not.
    assert (new @ expected / (expected @ expected)).item() == pytest.approx(1, rel=1e-6)


# --- Precision ------------------------------------------------------------------------------------------

HALF = [torch.float16, torch.bfloat16]


@pytest.mark.rule("half precision")
@every_way
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("weight_scale", "grad_scale"), [(1.0, 1.0), (1e4, 1e-6), (1e-4, 3e4), (6e4, 6e4)])
def test_half_precision_is_the_exact_step_rounded(way, dtype, weight_scale, grad_scale):
    weight = (torch.tensor([[0.3, -0.7], [0.2, 1.0]]) * weight_scale).to(dtype)
    grad = (torch.tensor([[1.0, 0.5], [-0.5, 0.1]]) * grad_scale).to(dtype)
    new = step(way, weight, grad, lr=0.1)
    assert new.dtype == dtype and new.equal(oracle(weight, grad, 0.1).to(dtype))


@pytest.mark.rule("half precision")
@every_way
@pytest.mark.parametrize("dtype", HALF)
def test_norms_beyond_half_precision(way, dtype):
    """‖W‖ = 1e5 is infinite in float16, and ‖g‖ = 1e-8 is 0."""
    signs = torch.tensor([1.0, -1.0]).repeat(1250)
    weight, grad = torch.full((2500,), 2000.0).to(dtype), (signs * 6e-8).to(dtype)
    expected = weight.double() * (1 - 0.5 * signs) / math.sqrt(1.25)
    torch.testing.assert_close(step(way, weight, grad, lr=0.5), expected.to(dtype))


@pytest.mark.rule("half precision")
def test_bfloat16_loses_most_of_a_small_step_and_float32_masters_do_not():
    """What the docstring warns of: 8 bits cannot hold a relative change of 1e-3."""
    assert "keep float32 weights and use autocast" in inspect.cleandoc(Fromage.__doc__).replace("\n", " ")
    master, grad = torch.randn(256, 256), torch.randn(256, 256)
    error, changed = {}, {}
    for dtype in (torch.bfloat16, torch.float32):
        before = master.to(dtype)
        after = step("alone", before, grad.to(dtype), 1e-3)
        wanted = step("one by one", before.double(), grad.to(dtype).double(), 1e-3) - before.double()
        error[dtype] = relative_error(after.double() - before.double(), wanted)
        changed[dtype] = (after != before).double().mean().item()
    assert error[torch.float32] < 1e-3 and changed[torch.float32] > 0.99
    assert error[torch.bfloat16] > 0.7 and changed[torch.bfloat16] < 0.25


# --- NaN and infinity -----------------------------------------------------------------------------------


@pytest.mark.rule("NaN or inf")
@every_way
@pytest.mark.parametrize("weight", [[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]])
@pytest.mark.parametrize("options", [*OPTIONS, {"lr": 0.0}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_bad_gradient_spoils_the_whole_tensor_and_no_other(way, weight, options, dtype):
    for values in ([NAN, 1.0], [INF, 1.0], [1.0, -INF], [NAN, 0.0], [INF, NAN]):
        bad, good = (parameter(torch.tensor(w, dtype=dtype), way) for w in (weight, [3.0, 4.0]))
        bad.grad, good.grad = torch.tensor(values, dtype=dtype), torch.ones(2, dtype=dtype)
        fromage([bad, good], way, **options).step()
        assert bad.isnan().all() and good.isfinite().all(), values


@pytest.mark.rule("NaN or inf")
@every_way
@pytest.mark.parametrize("size", [800, 20_000])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_one_bad_entry_of_a_large_gradient_is_enough(way, size, value):
    for place in (0, size // 2, size - 1):
        grad = torch.ones(size)
        grad[place] = value
        assert step(way, torch.ones(size), grad).isnan().all()


@pytest.mark.rule("NaN or inf")
@every_way
def test_a_bad_imaginary_part_is_enough(way):
    grad = torch.tensor([1 + 1j, complex(1.0, INF)])
    assert torch.view_as_real(step(way, torch.ones(2, dtype=torch.complex64), grad)).isnan().all()


# --- Kinds of tensors -----------------------------------------------------------------------------------


@pytest.mark.rule("complex")
@every_way
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"p_bound": 1.0}, {"maximize": True}])
def test_complex_is_a_pair_of_reals(way, dtype, options):
    weight, *grads = torch.randn(4, 4, 3, dtype=dtype)
    path = steps(way, weight, grads, 0.3, **options)
    real = steps(way, torch.view_as_real(weight), list(map(torch.view_as_real, grads)), 0.3, **options)
    for one, two in zip(path, real, strict=True):
        torch.testing.assert_close(torch.view_as_real(one), two)
    torch.testing.assert_close(path, trajectory(weight, grads, 0.3, **options))


@pytest.mark.rule("complex")
@every_way
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}])
def test_a_gradient_that_autograd_left_conjugated(way, options):
    weight, other = torch.randn(2, 3, 2, dtype=torch.complex64)
    param = parameter(weight)
    (param.conj() * other).real.sum().backward()
    assert param.grad.is_conj(), "the case this test is about"
    expected = trajectory(weight, [param.grad], 0.1, **options)
    torch.testing.assert_close(steps(way, weight, [param.grad], 0.1, **options), expected)


@pytest.mark.rule("sparse")
@every_way
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}])
def test_sparse_gradients_are_refused_with_the_way_out(way, options):
    table = parameter(torch.randn(5, 2), way)
    table.grad = torch.zeros(5, 2).index_fill(0, torch.tensor([1, 3]), 1.0).to_sparse(1)
    before = table.detach().clone()
    with pytest.raises(RuntimeError) as error:
        fromage([table], way, **options).step()
    assert str(error.value) == (
        "Fromage does not take sparse gradients (layout torch.sparse_coo): use Embedding(sparse=False), "
        "or torch.optim.SparseAdam for that tensor"
    )
    assert table.detach().equal(before)


@pytest.mark.rule("sparse")
def test_the_gradient_of_a_sparse_embedding_is_refused():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 3])).sum().backward()
    with pytest.raises(RuntimeError, match="use Embedding\\(sparse=False\\)"):
        Fromage(table.parameters()).step()


@pytest.mark.rule("one element")
@every_way
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_entry_never_changes_sign(way, shape, sign):
    weight = torch.full(shape, sign)
    path = steps(way, weight, [sign * torch.ones(shape)] * 50, lr=0.5)
    assert 0 < path[-1].item() * sign < 1e-15
    expected = sign * (1 - 0.5) / math.sqrt(1.25)
    assert path[0].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.rule("one element")
def test_one_entry_is_warned_of():
    text = " ".join(inspect.getdoc(Fromage).split())
    assert "A tensor with one entry can shrink or grow but, for η < 1, never change sign" in text


# --- Options and autograd -------------------------------------------------------------------------------


@pytest.mark.rule("maximize")
@every_way
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.5}, {"norm_correction": False}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_maximize_is_to_minimize_with_the_gradient_negated(way, options, dtype):
    """`steps` asserts that gradients stay as they are."""
    weight, *grads = torch.randn(4, 3, 2, dtype=dtype)
    up = steps(way, weight, grads, 0.1, maximize=True, **options)
    down = steps(way, weight, [-grad for grad in grads], 0.1, **options)
    assert all(one.equal(two) for one, two in zip(up, down, strict=True))
    assert not up[0].equal(steps(way, weight, grads, 0.1, **options)[0])


@pytest.mark.rule("lr")
@every_way
@pytest.mark.parametrize("lr", [torch.tensor(0.1), torch.tensor([0.1]), torch.tensor(0.1).double()])
@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_a_tensor_lr(way, lr, scale):
    weight, grad = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]) * scale
    torch.testing.assert_close(step(way, weight, grad, lr), step(way, weight, grad, 0.1))
    torch.testing.assert_close(step(way, weight, grad, 2 * lr), step(way, weight, grad, 0.2))


@pytest.mark.rule("lr")
@every_way
@pytest.mark.parametrize("lr", [0.0, 0, torch.tensor(0.0)])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}])
def test_lr_zero_leaves_the_weight_untouched(way, lr, options):
    for weight, grad in (((3.0, -0.1), [1.0, 2.0]), ((0.0, 0.0), [1.0, 2.0]), ((1e-40, 1e-30), [1e30, 0.0])):
        weight = torch.tensor(weight)
        assert step(way, weight, torch.tensor(grad), lr, **options).equal(weight)


@pytest.mark.rule("stale graph")
@pytest.mark.parametrize("way", [way for way in WAYS if way != "differentiable"])
@pytest.mark.parametrize("scale", [1.0, 1e-30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_backward_through_a_stale_graph_is_detected(way, scale, dtype):
    weight = torch.tensor([3.0, 4.0], dtype=dtype)
    params = [parameter(weight) for _ in range(cpu.FEW if way == "packed" else 1)]
    losses = [(param.abs().square() * scale).sum() for param in params]
    for loss in losses:
        loss.backward(retain_graph=True)
    fromage(params, way).step()
    for loss in losses:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
