"""`step_in_backward` beside `step()`: where bits agree, what is detected, and the same on a GPU."""

import copy

import pytest
import torch
from oracle import relative_error
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from fromage_edu import Fromage
from fromage_edu.optim import step_in_backward

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def layers(count=8, width=20, device="cpu"):
    torch.manual_seed(3)
    return nn.Sequential(*[nn.Linear(width, width) for _ in range(count)]).to(device)


def train(model, optimizer=None, forward=None, steps=5):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(4, model[0].in_features, generator=generator).to(model[0].weight.device)
        (forward or model)(x).square().mean().backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()


def differences(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return [relative_error(a.detach(), b.detach().double()) for a, b in pairs]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.01}], ids=str)
def test_many_layers_of_one_shape(options):
    """Taken together by `step()`, they are rounded otherwise; one after the other, not."""
    model = layers()
    apart, together = copy.deepcopy(model), copy.deepcopy(model)
    step_in_backward(model, lr=0.1, **options)
    train(model)
    train(apart, Fromage(apart.parameters(), lr=0.1, foreach=False, **options))
    train(together, Fromage(together.parameters(), lr=0.1, **options))
    assert max(differences(model, apart)) == 0
    assert max(differences(model, together)) <= 1e-6


@pytest.mark.parametrize("reentrant", [False, True])
def test_segments_checkpointed_either_way(reentrant):
    model = layers()
    other = copy.deepcopy(model)

    def forward(x):
        return checkpoint_sequential(model, 4, x.requires_grad_(), use_reentrant=reentrant)

    step_in_backward(model, lr=0.1)
    train(model, forward=forward)
    train(other, Fromage(other.parameters(), lr=0.1, foreach=False))
    assert max(differences(model, other)) == 0


def test_a_second_backward_through_the_graph_is_detected():
    model = layers(3)
    step_in_backward(model)
    loss = model(torch.ones(1, 20)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_layer_frozen_later_stays_and_one_thawed_later_is_not_stepped():
    model = layers(3)
    model[0].requires_grad_(False)
    step_in_backward(model, lr=0.1)
    model[0].requires_grad_(True)
    model[1].requires_grad_(False)
    before = copy.deepcopy(model)
    train(model, steps=1)
    moved = [not torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True)]
    assert moved == [False, False, False, False, True, True]
    assert model[0].weight.grad is not None  # nobody spends it


def test_the_scale_of_the_loss_changes_nothing():
    """So a gradient scaler's factor need not be taken back."""
    model = layers(3)
    other = copy.deepcopy(model)
    for each, scale in ((model, 1.0), (other, 2.0**16)):
        step_in_backward(each, lr=0.1)
        train(each, forward=lambda x, each=each, scale=scale: each(x) * scale)
    assert max(differences(model, other)) == 0


@gpu
def test_on_a_gpu_the_result_is_that_of_step_and_memory_is_saved():
    width, count = 1024, 20
    model = layers(count, width, "cuda")
    other = copy.deepcopy(model)
    step_in_backward(model, lr=0.1)
    optimizer = Fromage(other.parameters(), lr=0.1)
    peaks = []
    for each, after in ((model, None), (other, optimizer)):
        train(each, after, steps=1)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train(each, after, steps=2)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert max(differences(model, other)) <= 1e-6
    assert peaks[0] <= peaks[1] - (count - 4) * width * width * 4
