"""The perceptron is Definition 3, starts like nn.Linear, and says what is wrong with its input."""

import copy
import re

import pytest
import torch
from torch import nn

from fromage_edu.networks import Perceptron, radial_slopes, weight_matrices


def by_hand(network, x, nonlinearity, last=True):
    for index, weight in enumerate(network.weights):
        x = x @ weight.T
        if last or index < len(network.weights) - 1:
            x = nonlinearity(x)
    return x


@pytest.mark.result("F4")
@pytest.mark.parametrize("nonlinearity", [nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.3), torch.sin])
@pytest.mark.parametrize("output_nonlinearity", [True, False])
@pytest.mark.parametrize("widths", [[3, 2], [3, 5, 4, 2], (1, 1, 1)])
def test_output_is_the_definition(widths, nonlinearity, output_nonlinearity):
    network = Perceptron(widths, nonlinearity, output_nonlinearity=output_nonlinearity).double()
    x = torch.randn(6, widths[0], dtype=torch.float64)
    torch.testing.assert_close(network(x), by_hand(network, x, nonlinearity, output_nonlinearity))


@pytest.mark.result("F4")
def test_hidden_layers_follow_the_recursion():
    network = Perceptron([3, 5, 4, 2], nn.Tanh())
    x = torch.randn(2, 7, 3)
    h = network.hidden(x)
    assert h[0] is x and h[-1].equal(network(x))
    assert [tuple(layer.shape) for layer in h] == [(2, 7, 3), (2, 7, 5), (2, 7, 4), (2, 7, 2)]
    for before, after, weight in zip(h, h[1:], network.weights, strict=False):
        torch.testing.assert_close(after, torch.tanh(before @ weight.T))


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"output_nonlinearity": False}], ids=str)
def test_preactivations_go_into_the_nonlinearity(options):
    network = Perceptron([3, 5, 4, 2], nn.Tanh(), **options)
    x = torch.randn(2, 7, 3)
    z, h = network.preactivations(x), network.hidden(x)
    assert [tuple(layer.shape) for layer in z] == [(2, 7, 5), (2, 7, 4), (2, 7, 2)]
    for into, outof in zip(z[:-1], h[1:], strict=False):
        torch.testing.assert_close(torch.tanh(into), outof)
    torch.testing.assert_close(z[-1].tanh() if network.output_nonlinearity else z[-1], h[-1])


def test_weight_matrices_are_the_parameters_or_the_tensors_themselves():
    network = Perceptron([3, 5, 2])
    assert all(a is b for a, b in zip(weight_matrices(network), network.weights, strict=True))
    tensors = (torch.ones(4, 2, 3), torch.ones(4, 1, 2))
    assert all(a is b for a, b in zip(weight_matrices(tensors), tensors, strict=True))


def test_one_example_or_none_will_do():
    network = Perceptron([3, 2])
    assert network(torch.ones(3)).shape == (2,)
    assert network(torch.ones(0, 3)).shape == (0, 2)


def test_weights_are_the_parameters_themselves():
    network = Perceptron([3, 5, 2], bias=True)
    assert [tuple(weight.shape) for weight in network.weights] == [(5, 3), (2, 5)]
    assert network.weights[0] is dict(network.named_parameters())["layers.0.weight"]
    assert len(list(network.parameters())) == 4
    assert len(list(Perceptron([3, 5, 2]).parameters())) == 2


@pytest.mark.parametrize("bias", [True, False])
def test_it_starts_like_nn_linear(bias):
    torch.manual_seed(5)
    expected = [nn.Linear(3, 8, bias=bias), nn.Linear(8, 2, bias=bias)]
    torch.manual_seed(5)
    plain = Perceptron([3, 8, 2], bias=bias)
    state = torch.get_rng_state()
    generated = Perceptron([3, 8, 2], bias=bias, generator=torch.Generator().manual_seed(5))
    assert torch.get_rng_state().equal(state)
    for network in (plain, generated):
        for layer, linear in zip(network.layers, expected, strict=True):
            assert layer.weight.equal(linear.weight)
            assert not bias or layer.bias.equal(linear.bias)


def test_copies_and_state_dicts():
    network = Perceptron([3, 4, 2])
    other = Perceptron([3, 4, 2])
    other.load_state_dict(network.state_dict())
    x = torch.randn(5, 3)
    assert other(x).equal(network(x)) and copy.deepcopy(network)(x).equal(network(x))


def test_learnable_nonlinearities_are_parameters_too():
    assert len(list(Perceptron([2, 2], nn.PReLU()).parameters())) == 2


@pytest.mark.result("X6")
@pytest.mark.parametrize("nonlinearity", [nn.ReLU(), nn.LeakyReLU(0.2), nn.Identity()], ids=str)
@pytest.mark.parametrize("output_nonlinearity", [True, False])
@pytest.mark.parametrize("widths", [[3, 1], [5, 8, 8, 2], [4, 6, 3, 7, 5, 1]])
def test_layers_of_a_homogeneous_network_have_one_radial_slope(widths, nonlinearity, output_nonlinearity):
    network = Perceptron(widths, nonlinearity, output_nonlinearity=output_nonlinearity).double()
    x, y = torch.randn(9, widths[0]).double(), torch.randn(9, widths[-1]).double()
    for loss in (
        lambda f: (f - y).square().sum(),
        lambda f: (f * y).sum().sigmoid(),
        lambda f: f.cos().sum(),
    ):
        value = loss(network(x))
        slopes = radial_slopes(network, torch.autograd.grad(value, network.weights))
        torch.testing.assert_close(slopes, slopes[:1].expand(len(slopes)), rtol=1e-10, atol=1e-12)
        # By Euler it is ⟨f, d𝓛/df⟩, and what scaling any layer does to the loss.
        output = network(x).detach().requires_grad_()
        (outer,) = torch.autograd.grad(loss(output), output)
        torch.testing.assert_close(slopes[0], (output * outer).sum(), rtol=1e-10, atol=1e-12)
        with torch.no_grad():
            for layer, weight in enumerate(network.weights):
                values = []
                for factor in (1 + 1e-6, (1 - 1e-6) / (1 + 1e-6)):
                    weight.mul_(factor)
                    values.append(loss(network(x)).item())
                weight.div_(1 - 1e-6)
                assert (values[0] - values[1]) / 2e-6 == pytest.approx(
                    slopes[layer].item(), rel=1e-5, abs=1e-7
                )


@pytest.mark.result("X6")
def test_other_networks_have_a_slope_for_each_layer_and_invariant_layers_none():
    x = torch.randn(9, 4).double()
    for network in (Perceptron([4, 6, 6, 2], nn.Tanh()), Perceptron([4, 6, 6, 2], bias=True)):
        network = network.double()
        loss = network(x).square().sum()
        slopes = radial_slopes(network.weights, torch.autograd.grad(loss, network.weights))
        assert slopes.std() > 0.01 * slopes.mean().abs()
    normed = nn.Sequential(nn.Conv1d(1, 3, 2, bias=False), nn.BatchNorm1d(3, eps=1e-30), nn.Tanh()).double()
    loss = (normed(x.unsqueeze(1)) * torch.randn(9, 3, 3).double()).sum()
    (gradient,) = torch.autograd.grad(loss, [normed[0].weight])
    (slope,) = radial_slopes([normed[0].weight], [gradient])
    assert abs(slope) < 1e-12 * normed[0].weight.norm() * gradient.norm()


def test_radial_slopes_are_taken_in_float64_and_differentiable():
    weights = [torch.full((1000, 1000), 1e-3), torch.ones(3, requires_grad=True)]
    slopes = radial_slopes(weights, [torch.full((1000, 1000), 1.0), torch.ones(3)])
    assert slopes.dtype == torch.float64 and slopes[0].item() == pytest.approx(1000, rel=1e-7)
    slopes[1].backward()
    assert weights[1].grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: radial_slopes([], []), ValueError, "there are 0 weights and 0 gradients: give one of each"),
        (lambda: radial_slopes([torch.ones(2)], []), ValueError, "there are 1 weights and 0 gradients: give"),
        (lambda: radial_slopes(torch.ones(2), []), TypeError, "`weights` is a Tensor: give one tensor for"),
        (lambda: radial_slopes([torch.ones(2)], 3), TypeError, "`gradients` is a int: give one tensor for"),
        (
            lambda: radial_slopes([torch.ones(2)], [None]),
            TypeError,
            "layer 1 of `gradients` is NoneType: give real floating-point tensors",
        ),
        (
            lambda: radial_slopes([torch.ones(2) * 1j], [torch.ones(2)]),
            TypeError,
            "layer 1 of `weights` is torch.complex64: give real floating-point tensors",
        ),
        (
            lambda: radial_slopes([torch.ones(2)], [torch.ones(3)]),
            ValueError,
            "layer 1 has shape (2,) and its gradient (3,): they must agree",
        ),
        (
            lambda: Perceptron([3]),
            ValueError,
            "widths [3] make no layer: give at least an input and an output",
        ),
        (lambda: Perceptron(5), TypeError, "widths is 5: give a list such as [64, 32, 10]"),
        (lambda: Perceptron([3, 2])([1.0, 2.0, 3.0]), TypeError, "x is a list: give a tensor"),
        (lambda: Perceptron([]), ValueError, "widths [] make no layer"),
        (
            lambda: Perceptron([3, 0, 2]),
            ValueError,
            "widths [3, 0, 2]: every width must be a whole number >= 1",
        ),
        (lambda: Perceptron([3, -1]), ValueError, "widths [3, -1]: every width must be a whole number >= 1"),
        (
            lambda: Perceptron([3, 2.5]),
            ValueError,
            "widths [3, 2.5]: every width must be a whole number >= 1",
        ),
        (
            lambda: Perceptron([3, True]),
            ValueError,
            "widths [3, True]: every width must be a whole number >= 1",
        ),
        (
            lambda: Perceptron([3, 2], "relu"),
            TypeError,
            "nonlinearity is 'relu': give a module or a function",
        ),
        (
            lambda: Perceptron([3, 2], nn.Tanh),
            TypeError,
            "nonlinearity is the class Tanh: give an instance, Tanh()",
        ),
        (
            lambda: Perceptron([3, 2])(torch.ones(5, 4)),
            ValueError,
            "x has shape (5, 4): its last dimension must",
        ),
        (
            lambda: Perceptron([3, 2])(torch.tensor(1.0)),
            ValueError,
            "x has shape (): its last dimension must",
        ),
        (
            lambda: weight_matrices([torch.ones(2, 3), torch.ones(4, 3)]),
            ValueError,
            "layer 1 of `network` returns 2 numbers and layer 2 takes 3: give the matrices first layer first",
        ),
        (lambda: weight_matrices([]), ValueError, "`network` has no layers: give at least one matrix"),
        (
            lambda: weight_matrices(torch.ones(2, 2)),
            TypeError,
            "`network` is a Tensor: give a Perceptron or its",
        ),
        (
            lambda: weight_matrices(None),
            TypeError,
            "`network` is a NoneType: give a Perceptron or its matrices",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
