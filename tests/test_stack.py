"""Networks side by side and one alone, both against a plain loop written by hand, in float64."""

import dataclasses
import re

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from fromage_edu.data import digits
from fromage_edu.experiments import depth
from fromage_edu.experiments.alone import Alone
from fromage_edu.experiments.settings import ADAM, FROMAGE, SGD, Entrant
from fromage_edu.experiments.stack import Stack, signal
from fromage_edu.experiments.trainers import INITS, network
from fromage_edu.networks import Perceptron

SEEDS, BATCH, STEPS = (1, 2), 20, 4
RIVALS = (
    FROMAGE,
    Entrant("Fromage", lr=0.02, norms="naive"),
    ADAM,
    Entrant("Adam", lr=0.001, eps=1e-16),
    Entrant("Adam", lr=0.001, eps=1e-30),
    Entrant("Adam", lr=0.002, eps=1e-8, loss_scale=1e8),
    SGD,
    Entrant("SGD", lr=0.05, momentum=0.0),
    Entrant("SGD", lr=0.01, loss_scale=3.0),
    Entrant("Normalized SGD", lr=0.02),
)


def by_hand(start, entrant, batches):
    """A plain loop: losses and accuracies of every step, and the network."""
    layers = []
    for layer in start.layers:
        rows, columns = layer.weight.shape
        linear = nn.Linear(columns, rows, bias=layer.bias is not None, dtype=torch.float64)
        linear.load_state_dict(layer.state_dict())
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    update = updates_by_hand(entrant, list(net.parameters()))
    looks = []
    for images, labels in batches:
        logits = net(images)
        loss = cross_entropy(logits, labels)
        net.zero_grad()
        (entrant.loss_scale * loss).backward()
        update()
        right = (logits.argmax(1) == labels).double().mean()
        looks.append((loss.item(), right.item()))
    return looks, net


def updates_by_hand(entrant, parameters):
    """The optimizer: torch's own, or the formula."""
    if entrant.optimizer == "Adam":
        return torch.optim.Adam(parameters, lr=entrant.lr, eps=entrant.eps, foreach=False).step
    if entrant.optimizer == "SGD":
        return torch.optim.SGD(parameters, lr=entrant.lr, momentum=entrant.momentum, foreach=False).step

    @torch.no_grad()
    def step():
        for weight in parameters:
            if weight.grad.norm() == 0:
                continue
            direction = weight.grad / weight.grad.norm()
            if entrant.optimizer == "Fromage":
                moved = weight - entrant.lr * weight.norm() * direction
                weight.copy_(moved / (1 + entrant.lr**2) ** 0.5)
            else:
                weight.sub_(entrant.lr * direction)

    return step


@pytest.fixture(scope="module")
def data():
    return digits(dtype=torch.float64)


@pytest.fixture(scope="module")
def batches(data):
    """Other images for each seed: (steps, seeds, batch)."""
    return torch.arange(STEPS * len(SEEDS) * BATCH).view(STEPS, len(SEEDS), BATCH)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("layers", [2, 12])
def test_side_by_side_alone_and_by_hand_are_the_same(layers, bias, init, data, batches):
    starts = [network(layers, width=8, seed=seed, init=init, bias=bias) for seed in SEEDS]
    builds, scales = zip(*((entrant.build, entrant.loss_scale) for entrant in RIVALS), strict=True)
    stack = Stack(starts, builds, torch.float64, loss_scales=scales)
    looks = [stack.step(data.x_train[batch], data.y_train[batch]) for batch in batches]
    finals = stack.logits(data.x_train.expand(len(starts) * len(RIVALS), -1, -1))
    shares = stack.accuracies(data.x_train, data.y_train)

    for index, entrant in enumerate(RIVALS):
        # Sums run in another order in each; Adam with its eps away enlarges even rounding.
        small_eps = entrant.optimizer == "Adam" and entrant.eps / entrant.loss_scale < 1e-8
        tolerance = 1e-5 if small_eps else 1e-9
        for member, start in enumerate(starts):
            own = [(data.x_train[batch[member]], data.y_train[batch[member]]) for batch in batches]
            expected, net = by_hand(start, entrant, own)
            place = index * len(SEEDS) + member
            found = [(losses[place].item(), right[place].item()) for losses, right in looks]
            assert numpy.allclose(found, expected, rtol=tolerance, atol=0), entrant.label
            outputs = net(data.x_train)
            assert (finals[place] - outputs).abs().max() < tolerance, entrant.label
            right = (outputs.argmax(1) == data.y_train).double().mean().item()
            assert shares[place].item() == pytest.approx(right, abs=2e-3), entrant.label
            if entrant.norms == "naive":
                continue
            alone = Alone(start, entrant, torch.float64)
            found = [torch.stack(alone.step(x[None], y[None])).flatten().tolist() for x, y in own]
            assert numpy.allclose(found, expected, rtol=tolerance, atol=0), entrant.label
            assert (alone.network(data.x_train) - outputs).abs().max() < tolerance, entrant.label
            assert alone.accuracies(data.x_train, data.y_train).item() == pytest.approx(right, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(
    hidden=st.one_of(
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        st.builds(lambda width, layers: (width,) * layers, st.integers(1, 9), st.integers(3, 6)),
    ),
    bias=st.booleans(),
    images=st.integers(1, 7),
    scales=st.lists(st.sampled_from([1.0, 5e-3, 1e12]), min_size=1, max_size=2),
    seed=st.integers(0, 1000),
)
def test_gradients_by_hand_are_those_of_autograd(hidden, bias, images, scales, seed):
    torch.manual_seed(seed)
    starts = [Perceptron([5, *hidden, 4], bias=bias, output_nonlinearity=False) for _ in SEEDS]
    still = Entrant("SGD", lr=0.0, momentum=0.0)
    stack = Stack(starts, [still.build] * len(scales), torch.float64, loss_scales=scales)
    x, y = torch.randn(2, images, 5, dtype=torch.float64), torch.randint(4, (2, images))
    for _ in range(2):  # the second step's gradients replace the first's
        stack.step(x, y)
    seen = stack.hidden(x.repeat(len(scales), 1, 1))
    assert not any(each.requires_grad for each in (*seen, *stack.tensors))

    for place in range(len(stack.scales)):
        leaves = [tensor[place].clone().requires_grad_() for tensor in stack.tensors]
        layers = [zip(*leaves[at : at + 1 + bias], strict=True) for at in range(0, len(leaves), 1 + bias)]
        outputs = x[place % 2]
        for layer, (matrix, *shift) in enumerate(parameters for part in layers for parameters in part):
            outputs = sum(shift, (outputs.relu() if layer else outputs) @ matrix.T)
            torch.testing.assert_close(seen[layer][place], outputs.detach(), rtol=1e-10, atol=1e-12)
        loss = stack.scales[place] * cross_entropy(outputs, y[place % 2])
        for tensor, expected in zip(stack.tensors, torch.autograd.grad(loss, leaves), strict=True):
            room = 1e-12 * stack.scales[place].item()
            torch.testing.assert_close(tensor.grad[place], expected, rtol=1e-9, atol=room)


@pytest.mark.parametrize("wrong", [numpy.nan, numpy.inf])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_do_not_mix_with_those_of_a_broken_neighbor(bias, wrong, data, batches):
    starts = [network(4, width=8, seed=seed, bias=bias) for seed in SEEDS]
    pair = [Stack(starts, [FROMAGE.build, SGD.build], torch.float64) for _ in range(2)]
    pair[1].tensors[0][2, 0, 0] = wrong
    images, labels = data.x_train[batches[0]], data.y_train[batches[0]]
    probes = [(stack.step(images, labels), stack.probe(images[0], labels[0]))[1] for stack in pair]
    assert not probes[1].gradients[2].isfinite().all()
    assert pair[1].diverged().tolist() == [False, False, True, False]
    others = [0, 1, 3]
    assert probes[0].gradients[others].equal(probes[1].gradients[others])
    for tensor, beside in zip(*(stack.tensors for stack in pair), strict=True):
        assert tensor[others].equal(beside[others]) and tensor.grad[others].equal(beside.grad[others])


def test_a_loss_scale_is_an_eps_divided_by_it(data, batches):
    """To the last digits of float64: multiplying by a power of two rounds nothing."""
    scale = 2.0**40
    pair = [
        Entrant("Adam", lr=0.001, eps=eps, loss_scale=s) for eps, s in ((1e-12 * scale, scale), (1e-12, 1))
    ]
    starts = [network(8, width=8, seed=seed) for seed in SEEDS]
    stack = Stack(
        starts, [entrant.build for entrant in pair], torch.float64, loss_scales=[e.loss_scale for e in pair]
    )
    alone = [Alone(starts[0], entrant, torch.float64) for entrant in pair]
    for batch in batches:
        losses, _ = stack.step(data.x_train[batch], data.y_train[batch])
        torch.testing.assert_close(losses[:2], losses[2:], rtol=1e-12, atol=0)
        both = [each.step(data.x_train[batch[:1]], data.y_train[batch[:1]])[0] for each in alone]
        torch.testing.assert_close(*both, rtol=1e-12, atol=0)
    for tensor in stack.tensors:
        torch.testing.assert_close(tensor[:2], tensor[2:], rtol=1e-10, atol=1e-14)


def test_in_float32_a_loss_scale_keeps_squares_that_eps_alone_loses(data):
    """First gradients of about 1e-22 at 50 layers: g² is 0 in float32, and Adam divides g by its eps."""
    starts = [network(50, seed=1)]
    scaled = (Entrant("Adam", lr=0.001, eps=1e-30), Entrant("Adam", lr=0.001, eps=1e-18, loss_scale=1e12))
    stack = Stack(
        starts, [entrant.build for entrant in scaled], loss_scales=[entrant.loss_scale for entrant in scaled]
    )
    before = stack.weights[0].detach().clone()
    stack.step(data.x_train[None, :100].float(), data.y_train[None, :100])
    moved = (stack.weights[0].detach() - before).abs().amax((1, 2, 3))
    # Adam's first step is lr, whatever the gradient's size; without its square it is lr · g / eps.
    assert moved[0] > 0.01 and moved[1] == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize("bias", [True, False])
def test_a_probe_is_what_autograd_and_a_slow_loop_say(bias, data):
    images, labels = data.x_train[:50], data.y_train[:50]
    starts = [network(4, width=8, seed=seed, bias=bias) for seed in SEEDS]
    stack = Stack(starts, [FROMAGE.build, SGD.build], torch.float64, loss_scales=[1.0, 5.0])
    stack.step(images.expand(2, -1, -1), labels.expand(2, -1))
    before = [(tensor.detach().clone(), tensor.grad.clone()) for tensor in stack.tensors]
    probe = stack.probe(images, labels)
    assert probe.gradients.shape == probe.signals.shape == (4, 5)
    assert probe.gradients.dtype == probe.signals.dtype == torch.float64
    for (weight, gradient), tensor in zip(before, stack.tensors, strict=True):
        assert tensor.equal(weight) and tensor.grad.equal(gradient), "a look moved something"

    for index, entrant in enumerate((FROMAGE, Entrant("SGD", lr=0.1, loss_scale=5.0))):
        for member, start in enumerate(starts):
            _, net = by_hand(start, entrant, [(images, labels)])
            net.zero_grad()
            cross_entropy(
                net(images), labels
            ).backward()  # of the loss itself, whatever its scale in training
            weights = [part.weight for part in net if isinstance(part, nn.Linear)]
            gradients = [weight.grad.square().mean().sqrt().item() for weight in weights]
            place = index * len(SEEDS) + member
            assert probe.gradients[place].tolist() == pytest.approx(gradients, rel=1e-9)
            assert probe.signals[place].tolist() == pytest.approx(slow_signals(net, images), rel=1e-9)

            alone = Alone(start, entrant, torch.float64)
            alone.step(images[None], labels[None])
            kept = [parameter.detach().clone() for parameter in alone.network.parameters()]
            own = alone.probe(images, labels)
            assert own.gradients.shape == own.signals.shape == (1, 5)
            torch.testing.assert_close(own.gradients[0], probe.gradients[place], rtol=1e-9, atol=0)
            torch.testing.assert_close(own.signals[0], probe.signals[place], rtol=1e-9, atol=0)
            pairs = zip(kept, alone.network.parameters(), strict=True)
            assert all(tensor.equal(then) for then, tensor in pairs)


def slow_signals(net, images):
    """Layer by layer, unit by unit: the standard deviation over the images; then the root mean square."""
    found, outputs = [], images
    for index, part in enumerate(net):
        outputs = part(outputs)
        if isinstance(part, nn.ReLU) or index == len(net) - 1:
            columns = outputs.detach().numpy().T
            found.append(numpy.sqrt(numpy.mean([numpy.std(column) ** 2 for column in columns])).item())
    return found


def test_a_signal_ignores_what_is_the_same_for_all_images():
    outputs = torch.randn(3, 7, 5)
    torch.testing.assert_close(signal(outputs + 100.0), signal(outputs), rtol=1e-5, atol=0)
    assert signal(torch.ones(3, 7, 5)).tolist() == [0.0, 0.0, 0.0]


def test_a_network_that_diverges_leaves_its_neighbors_alone():
    config = dataclasses.replace(depth.PRESETS["quick"], depths=(2,), epochs=1)
    wild = dataclasses.replace(config, entrants=(depth.FROMAGE, depth.Entrant("SGD", lr=1e20), depth.ADAM))
    quiet = dataclasses.replace(config, entrants=(depth.FROMAGE, depth.ADAM))
    finals = {
        name: [
            row for row in depth.run_point(depth.Point(each, 2)).finals if row["entrant"] != "SGD + momentum"
        ]
        for name, each in {"wild": wild, "quiet": quiet}.items()
    }
    assert finals["wild"] == finals["quiet"]
    (record_,) = [depth.run_point(point) for point in depth.points(wild)]
    assert [row["diverged"] for row in record_.finals] == [False, False, True, True, False, False]


def test_alone_a_network_that_diverges_says_so(data):
    alone = Alone(network(2, width=8, seed=1), Entrant("SGD", lr=1e30))
    assert not alone.diverged().item()
    for _ in range(3):
        alone.step(data.x_train[None, :20].float(), data.y_train[None, :20])
    assert alone.diverged().tolist() == [True]
    assert 0 <= alone.accuracies(data.x_train.float(), data.y_train).item() <= 1


@pytest.mark.parametrize("count", [1, 2000, 2001, 4500])
def test_images_are_taken_a_part_at_a_time_and_all_of_them(count):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 64, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (count,), generator=generator)
    starts = [network(2, width=8, seed=seed, init="he") for seed in SEEDS]
    stack = Stack(starts, [FROMAGE.build], torch.float64)
    expected = [(start.double()(images).argmax(1) == labels).double().mean().item() for start in starts]
    assert stack.accuracies(images, labels).tolist() == pytest.approx(expected, abs=1e-12)
    alone = [Alone(start, FROMAGE, torch.float64).accuracies(images, labels).item() for start in starts]
    assert alone == pytest.approx(expected, abs=1e-12)


def test_the_start_is_copied(data):
    start = network(2, width=8, seed=1)
    before = [weight.detach().clone() for weight in start.weights]
    images, labels = data.x_train[None, :20].float(), data.y_train[None, :20]
    Stack([start], [SGD.build]).step(images, labels)
    Alone(start, SGD).step(images, labels)
    assert all(weight.equal(then) for weight, then in zip(start.weights, before, strict=True))


def test_every_learning_rate_decays(data):
    images, labels = data.x_train[None, :20], data.y_train[None, :20]
    start, plain_sgd = network(2, width=8, seed=1), Entrant("SGD", lr=0.4, momentum=0.0)
    stack = Stack([start], [plain_sgd.build, FROMAGE.build], torch.float64)
    alone = Alone(start, plain_sgd, torch.float64)
    smaller = Alone(start, dataclasses.replace(plain_sgd, lr=0.1), torch.float64)
    for each in (stack, alone):
        each.decay(0.5)
        each.decay(0.5)
    for each in (stack, alone, smaller):
        each.step(images, labels)
    torch.testing.assert_close(alone.network.weights[0], smaller.network.weights[0])
    torch.testing.assert_close(stack.weights[0][0, 0], smaller.network.weights[0])
    assert stack.optimizers[1].param_groups[0]["lr"] == pytest.approx(0.0025)


@pytest.mark.parametrize(
    "starts",
    [[], [network(1, seed=1)], [network(2, seed=1), network(3, seed=1)]],
    ids=["none", "shallow", "different"],
)
def test_a_stack_needs_starts_of_one_shape(starts):
    with pytest.raises(ValueError, match="give perceptrons of one shape, at least 3 layers"):
        Stack(starts, [ADAM.build])


@pytest.mark.parametrize(
    ("starts", "options", "message"),
    [
        ([Perceptron([4, 4, 4, 4])], {}, "a start has another nonlinearity"),
        (
            [Perceptron([4, 4, 4, 4], nonlinearity=nn.Tanh(), output_nonlinearity=False)],
            {},
            "give perceptrons with ReLU and a linear output",
        ),
        ([network(2, seed=1), network(2, seed=2, bias=False)], {}, "some layers have biases and some"),
        ([network(2, seed=1, bias=False), network(2, seed=2)], {}, "some layers have biases and some"),
        ([network(2, seed=1)], {"loss_scales": [1.0, 2.0]}, "1 optimizers and 2 loss_scales"),
        ([network(2, seed=1)], {"loss_scales": []}, "1 optimizers and 0 loss_scales"),
        ([network(2, seed=1)], {"optimizers": []}, "0 optimizers and 0 loss_scales: give at least one"),
    ],
)
def test_networks_that_would_train_as_something_else_are_refused(starts, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Stack(starts, **{"optimizers": [ADAM.build], **options})
