"""Trust against oracles of fifty digits, over sizes 1e-8…1e3 and depths 1…1000, and at every edge."""

import re

import mpmath
import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fromage_edu.networks import Perceptron
from fromage_edu.trust import (
    deep_relative_trust,
    distance,
    euclidean_trust,
    frobenius_norm,
    relative_sizes,
    surrogate_trust,
)

SIZES = st.lists(st.floats(1e-8, 1e3) | st.just(0.0), min_size=1, max_size=40)


def deep_oracle(sizes):
    with mpmath.workdps(50):
        return mpmath.fprod(1 + mpmath.mpf(size) ** 2 for size in sizes) - 1


def surrogate_oracle(sizes):
    with mpmath.workdps(50):
        return mpmath.fsum(mpmath.mpf(size) ** (2 * len(sizes)) for size in sizes) / len(sizes)


def agrees(value, oracle, rel):
    """Within `rel` of the oracle; infinite where it leaves float64, 0 or subnormal where it vanishes."""
    if oracle > 1e308:
        return value >= 1e308
    return abs(value - float(oracle)) <= rel * float(oracle) + 1e-300


@pytest.mark.result("F3", "F20")
@pytest.mark.parametrize("depth", [1, 2, 3, 10, 30, 100, 1000])
@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-4, 0.1, 1.0, 1.41, 10.0, 1e3])
def test_trusts_of_equal_sizes_match_the_oracle(size, depth):
    sizes = [size] * depth
    assert agrees(deep_relative_trust(sizes).item(), deep_oracle(sizes), 1e-12)
    assert agrees(surrogate_trust(sizes).item(), surrogate_oracle(sizes), 1e-12)


@pytest.mark.result("F3", "F20")
@given(SIZES)
def test_trusts_of_any_sizes_match_the_oracle(sizes):
    assert agrees(deep_relative_trust(sizes).item(), deep_oracle(sizes), 1e-12)
    assert agrees(surrogate_trust(sizes).item(), surrogate_oracle(sizes), 1e-12)


@pytest.mark.result("F18")
@given(SIZES)
def test_deep_relative_trust_lies_between_the_sum_of_squares_and_its_exponential(sizes):
    total = torch.tensor(sizes, dtype=torch.float64).square().sum()
    trust = deep_relative_trust(sizes)
    assert total * (1 - 1e-12) <= trust <= torch.expm1(total) * (1 + 1e-12)


@given(SIZES, st.floats(0, 10))
def test_one_more_layer_never_lowers_deep_relative_trust(sizes, more):
    assert deep_relative_trust([*sizes, more]) >= deep_relative_trust(sizes) * (1 - 1e-12)


def test_the_surrogate_overflows_no_earlier_than_its_mean():
    size = (1.5e308) ** (1 / 4)  # size⁴ fits, the sum of two of them does not
    assert surrogate_trust([size, size]).item() == pytest.approx(1.5e308)


@pytest.mark.parametrize("trust", [deep_relative_trust, surrogate_trust])
class TestBothTrusts:
    def test_leading_dimensions_broadcast(self, trust):
        sizes = torch.rand(4, 3, 5, dtype=torch.float64)
        expected = torch.stack([torch.stack([trust(row) for row in part]) for part in sizes])
        assert trust(sizes).shape == (4, 3)
        torch.testing.assert_close(trust(sizes), expected, rtol=1e-14, atol=0)
        assert trust(torch.empty(0, 3)).shape == (0,)

    def test_non_contiguous_sizes(self, trust):
        sizes = torch.rand(5, 4)
        torch.testing.assert_close(trust(sizes.T), trust(sizes.T.contiguous()), rtol=0, atol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_result_is_the_float64_value_rounded_to_the_dtype(self, trust, dtype):
        sizes = torch.tensor([1e-3, 0.1, 0.7], dtype=dtype)
        assert trust(sizes).dtype == dtype
        assert trust(sizes) == trust(sizes.double()).to(dtype)

    def test_integers_become_floats(self, trust):
        assert trust([1, 1]).dtype == torch.float64
        assert trust(torch.tensor([1, 1])).dtype == torch.get_default_dtype()
        assert trust(torch.tensor([1, 1])) == trust([1.0, 1.0]).float()

    @pytest.mark.parametrize("depth", [1, 2, 30])
    @pytest.mark.parametrize("size", [0.0, 1e-8, 0.3, 1.0])
    def test_gradients(self, trust, size, depth):
        sizes = torch.full((depth,), size, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(trust(sizes), sizes)
        with mpmath.workdps(50):
            r, n = mpmath.mpf(size), depth
            deep = 2 * r * (1 + r**2) ** (n - 1)
            expected = float(deep if trust is deep_relative_trust else 2 * r ** (2 * n - 1))
        torch.testing.assert_close(gradient, torch.full_like(gradient, expected), rtol=1e-12, atol=1e-300)

    def test_gradients_at_a_thousand(self, trust):
        sizes = torch.tensor([1e3], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(trust(sizes), sizes)
        assert gradient.item() == pytest.approx(2e3, rel=1e-12)

    def test_second_derivatives(self, trust):
        sizes = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(trust, sizes)
        assert torch.autograd.gradgradcheck(trust, sizes)

    def test_a_list_of_tensors_keeps_its_gradients(self, trust):
        size = torch.tensor(0.5, requires_grad=True)
        trust([size, 0.1]).backward()
        assert size.grad > 0

    @pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "int64"])
    def test_arrays_are_read_as_float64(self, trust, dtype):
        assert (
            trust(numpy.ones(2, dtype)) == trust([1.0, 1.0])
            and trust(numpy.ones(2, dtype)).is_floating_point()
        )
        assert trust(numpy.ones(2, dtype)).dtype == torch.float64

    def test_an_infinite_size_is_an_infinite_trust(self, trust):
        assert trust([0.1, float("inf")]) == float("inf")

    @pytest.mark.parametrize(
        ("sizes", "error", "message"),
        [
            ([0.1, float("nan")], ValueError, "sizes hold nan: a relative size is a ratio of norms"),
            ([0.1, -0.2], ValueError, "sizes hold -0.2: a relative size is a ratio of norms"),
            ([], ValueError, "sizes have shape (0,): the last dimension must hold one size per layer"),
            (0.5, ValueError, "sizes have shape (): the last dimension must hold one size per layer"),
            (torch.ones(2, 0), ValueError, "sizes have shape (2, 0)"),
            (torch.tensor([True]), TypeError, "sizes are torch.bool: relative sizes are real numbers"),
            (torch.ones(2) * 1j, TypeError, "sizes are torch.complex64"),
            ([0.1, 1j], TypeError, "sizes are a list: give a tensor or a sequence of numbers"),
            ("ab", TypeError, "sizes are a str: give a tensor or a sequence of numbers"),
            ((x for x in [0.1]), TypeError, "sizes are a generator: give a tensor or a sequence"),
            ([[0.1, 0.2], [0.3]], TypeError, "sizes are a list: give a tensor or a sequence of numbers"),
            (None, TypeError, "sizes are a NoneType: give a tensor or a sequence of numbers"),
            ([10**400], TypeError, "sizes are a list: give a tensor or a sequence of numbers"),
            (torch.ones(2).to_sparse(), TypeError, "sizes are torch.sparse_coo: convert them with"),
            (numpy.array([0.1 + 1j]), TypeError, "sizes are torch.complex128: relative sizes are real"),
            (numpy.array([True]), TypeError, "sizes are torch.bool: relative sizes are real numbers"),
        ],
    )
    def test_messages(self, trust, sizes, error, message):
        with pytest.raises(error, match=re.escape(message)):
            trust(sizes)


class TestFrobeniusNorm:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_scales_that_the_dtype_can_hold(self, dtype):
        info = torch.finfo(dtype)
        for scale in (info.smallest_normal, info.tiny / 8, 1.0, info.max):
            tensor = torch.full((3, 3), scale, dtype=dtype)
            if dtype == torch.float64 and scale == info.max:
                tensor = tensor / 4
            assert frobenius_norm(tensor).item() == pytest.approx(3 * tensor[0, 0].double().item(), rel=1e-14)

    @pytest.mark.parametrize("size", [1, 1000, 2_400_000, 20_000_000])
    def test_sizes(self, size):
        tensor = torch.full((size,), 0.1)
        assert frobenius_norm(tensor).item() == pytest.approx(
            tensor[0].double().item() * size**0.5, rel=1e-12
        )

    def test_edges(self):
        assert frobenius_norm(torch.empty(0, 3)) == 0
        assert frobenius_norm(torch.zeros(3)) == 0
        assert frobenius_norm(torch.tensor(-2.0)) == 2
        assert frobenius_norm(torch.tensor([1.0, float("nan")])).isnan()
        assert frobenius_norm(torch.tensor([1.0, float("inf")])) == float("inf")
        assert frobenius_norm(torch.tensor([3.0, 4.0j])) == 5
        strided = torch.rand(6, 8)[::2, ::3]
        assert frobenius_norm(strided) == frobenius_norm(strided.contiguous())

    @pytest.mark.parametrize("wrong", [[3, 4], torch.eye(3).to_sparse(), None])
    def test_messages(self, wrong):
        with pytest.raises(TypeError, match="is not taken: give a dense tensor, such as tensor.to_dense"):
            frobenius_norm(wrong)

    def test_gradients(self):
        zero = torch.zeros(3, requires_grad=True)
        frobenius_norm(zero).backward()
        assert zero.grad.equal(torch.zeros(3))
        for scale in (1e-200, 1.0, 1e200):
            entries = torch.tensor([3.0, 4.0], dtype=torch.float64).mul(scale).requires_grad_()
            frobenius_norm(entries).backward()
            torch.testing.assert_close(entries.grad, torch.tensor([0.6, 0.8], dtype=torch.float64))
        assert torch.autograd.gradcheck(
            frobenius_norm, torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
        )


def naive_sizes(before, after):
    return torch.tensor(
        [((b - a).double().norm() / a.double().norm()).item() for a, b in zip(before, after, strict=True)]
    )


class TestTwoNetworks:
    def test_modules_mappings_and_sequences_agree(self):
        one, two = Perceptron([4, 5, 3], bias=True), Perceptron([4, 5, 3], bias=True)
        expected = naive_sizes(one.parameters(), two.parameters())
        forms = [lambda net: net, lambda net: net.state_dict(), lambda net: list(net.parameters())]
        for form_one in forms:
            for form_two in forms:
                sizes = relative_sizes(form_one(one), form_two(two))
                torch.testing.assert_close(sizes, expected, rtol=1e-6, atol=0)

    def test_layers_are_in_named_parameters_order_and_can_be_chosen(self):
        one, two = Perceptron([4, 5, 3], bias=True), Perceptron([4, 5, 3], bias=True)
        everything = relative_sizes(one, two)
        weights = ["layers.1.weight", "layers.0.weight"]
        assert relative_sizes(one, two, layers=weights).tolist() == [everything[2], everything[0]]
        assert relative_sizes(one, two, layers="layers.1.bias").tolist() == [everything[3]]
        assert relative_sizes(one.weights, two.weights, layers=[1]).tolist() == [everything[2]]
        kept = distance(one, two, layers=(name for name in weights))
        assert kept == distance(one.weights, two.weights)
        assert euclidean_trust(one, two, layers=weights) == euclidean_trust(one.weights, two.weights)

    def test_shared_parameters_count_once(self):
        class Shared(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Linear(3, 3, bias=False)
                self.two = self.one

        assert relative_sizes(Shared(), Shared()).shape == (1,)

    @pytest.mark.result("F1", "F3")
    def test_trusts_are_the_definitions(self):
        one, two = Perceptron([4, 5, 3]), Perceptron([4, 5, 3])
        sizes = naive_sizes(one.weights, two.weights)
        torch.testing.assert_close(distance(one, two), torch.prod(1 + sizes**2) - 1)
        total = sum((b - a).square().sum() for a, b in zip(one.weights, two.weights, strict=True))
        torch.testing.assert_close(euclidean_trust(one, two), total)

    @pytest.mark.result("F3")
    def test_deep_relative_trust_is_no_metric(self):
        points = [[torch.tensor([x])] for x in (0.01, 1.0, 2.0)]
        assert distance(points[1], points[2]) == 1 and distance(points[2], points[1]) == 0.25
        legs = distance(points[0], points[1]).sqrt() + distance(points[1], points[2]).sqrt()
        assert distance(points[0], points[2]).sqrt() > legs

    @pytest.mark.result("F3")
    @given(st.floats(1e-30, 1e30))
    def test_relative_sizes_know_no_unit(self, scale):
        before, after = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
        sizes = relative_sizes([before * scale], [after * scale])
        torch.testing.assert_close(sizes, torch.tensor([0.1]), rtol=1e-5, atol=0)

    def test_a_zero_tensor_that_stays_counts_nothing(self):
        before, after = [torch.zeros(3), torch.ones(2)], [torch.zeros(3), 2 * torch.ones(2)]
        assert relative_sizes(before, after).tolist() == [0.0, 1.0]
        assert relative_sizes([torch.empty(0)], [torch.empty(0)]).tolist() == [0.0]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_compared_in_float32(self, dtype):
        before, after = [torch.full((8, 8), 6e4, dtype=dtype)], [torch.full((8, 8), -6e4, dtype=dtype)]
        assert relative_sizes(before, after).dtype == torch.float32
        assert relative_sizes(before, after).item() == 2.0
        assert euclidean_trust(before, after).item() == pytest.approx(64 * (2 * 6e4) ** 2, rel=1e-2)

    def test_dtypes_of_results(self):
        single, double = [torch.ones(2)], [torch.ones(2, dtype=torch.float64)]
        assert relative_sizes(single, single).dtype == torch.float32
        assert relative_sizes(single, double).dtype == distance(single, double).dtype == torch.float64
        complex_weights = [torch.ones(2, dtype=torch.complex128)]
        assert euclidean_trust(complex_weights, complex_weights).dtype == torch.float64
        assert relative_sizes(complex_weights, [1j * complex_weights[0]]).item() == pytest.approx(2**0.5)

    def test_gradients_reach_the_weights_also_where_nothing_changed(self):
        before = [torch.rand(3, dtype=torch.float64), torch.rand(2, dtype=torch.float64)]
        after = [tensor.clone().requires_grad_() for tensor in before]
        distance(before, after).backward()
        assert all(tensor.grad.equal(torch.zeros_like(tensor)) for tensor in after)

        def trust(one, two):
            return distance(before, [one, two])

        moved = [(tensor + 0.1).detach().requires_grad_() for tensor in before]
        assert torch.autograd.gradcheck(trust, moved)

    def test_arguments_are_left_alone(self):
        before, after = [torch.rand(3)], [torch.rand(3)]
        copies = before[0].clone(), after[0].clone()
        distance(before, after), euclidean_trust(before, after)
        assert before[0].equal(copies[0]) and after[0].equal(copies[1])


ONE = torch.ones(2)
MESSAGES = [
    ([ONE], [ONE, ONE], ValueError, "`before` has 1 layers and `after` has 2"),
    ([ONE], [torch.ones(3)], ValueError, "layer 0 has shape (2,) in `before` and (3,) in `after`"),
    ({"w": ONE}, {"w": torch.ones(1, 2)}, ValueError, "layer 'w' has shape (2,) in `before` and (1, 2)"),
    ({"a": ONE}, {"b": ONE}, ValueError, "layer 0 is 'a' in `before` and 'b' in `after`"),
    ({"a": ONE, "b": ONE}, {"b": ONE, "a": ONE}, ValueError, "names and order must be the same"),
    ([], [], ValueError, "`before` has no layers: trust needs at least one weight tensor"),
    (nn.ReLU(), nn.ReLU(), ValueError, "`before` has no layers"),
    ([ONE], {}, ValueError, "`after` has no layers"),
    (ONE, ONE, TypeError, "`before` is a Tensor: pass a module, a mapping"),
    ([ONE], 3.0, TypeError, "`after` is a float: pass a module"),
    ("ab", "ab", TypeError, "`before` is a str: pass a module"),
    ([ONE], [[1.0, 1.0]], TypeError, "layer 0 of `after` is a list: pass tensors"),
    ([ONE], [torch.ones(2).int()], TypeError, "layer 0 of `after` is torch.int32, not a weight: convert it"),
    (
        [ONE],
        [ONE.to(torch.float8_e4m3fn)],
        TypeError,
        "layer 0 of `after` is torch.float8_e4m3fn, not a weight",
    ),
    (
        [ONE.to_sparse()],
        [ONE],
        TypeError,
        "layer 0 of `before` is torch.sparse_coo: convert it with .to_dense()",
    ),
    ([ONE], [ONE * float("nan")], ValueError, "layer 0 of `after` holds NaN or infinity"),
    ({"w": ONE / 0}, {"w": ONE}, ValueError, "layer 'w' of `before` holds NaN or infinity"),
    ([ONE], [ONE.to("meta")], ValueError, "layer 0 is on cpu in `before` and on meta in `after`"),
]


@pytest.mark.parametrize(("before", "after", "error", "message"), MESSAGES)
@pytest.mark.parametrize("compare", [relative_sizes, euclidean_trust, distance])
def test_messages(compare, before, after, error, message):
    with pytest.raises(error, match=re.escape(message)):
        compare(before, after)


def test_messages_about_zero_tensors_and_unknown_layers():
    message = (
        "layer 'b' was 0 and changed: a relative size needs a non-zero tensor; leave it out with layers=[...]"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        relative_sizes({"b": 0 * ONE}, {"b": ONE})
    assert euclidean_trust({"b": 0 * ONE}, {"b": ONE}) == 2
    with pytest.raises(ValueError, match=re.escape("`before` has no layer 'c': it has a, b")):
        relative_sizes({"a": ONE, "b": ONE}, {"a": ONE, "b": ONE}, layers=["c"])


def test_batch_norm_counters_are_refused_by_name():
    model = nn.BatchNorm1d(3)
    with pytest.raises(TypeError, match="layer 'num_batches_tracked' of `before` is torch.int64"):
        relative_sizes(model.state_dict(), model.state_dict())
    assert relative_sizes(model, model).tolist() == [0.0, 0.0]


def test_the_norm_of_a_lazily_conjugated_tensor():
    tensor = torch.tensor([3 + 4j, 0j])
    assert frobenius_norm(tensor.conj()).item() == 5
