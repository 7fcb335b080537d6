"""`step_in_backward`: what `step()` would do, while the gradients of a model never exist together."""

import copy
import re
import warnings

import pytest
import torch
from allocations import peak
from oracle import relative_error
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from fromage_edu import Fromage
from fromage_edu.optim import step_in_backward

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Shared(nn.Module):
    """One matrix used twice, one layer that a pass leaves out, one that is frozen."""

    def __init__(self):
        super().__init__()
        self.twice, self.unused, self.frozen = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.frozen.requires_grad_(False)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.frozen(self.twice(torch.tanh(self.twice(x))))))


def pair():
    torch.manual_seed(1)
    model = Shared()
    return model, copy.deepcopy(model)


def train(model, after, steps=5):
    for seed in range(steps):
        x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
        model(x).square().mean().backward()
        after()


OPTIONS = [{}, {"momentum": 0.9}, {"p_bound": 1.01}, {"maximize": True, "norm_correction": False, "lr": 0.1}]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_result_is_that_of_step_bit_for_bit(options):
    model, other = pair()
    optimizer = Fromage([p for p in other.parameters() if p.requires_grad], **options)

    def step():
        optimizer.step()
        optimizer.zero_grad()

    step_in_backward(model, **options)
    train(model, lambda: None)
    train(other, step)
    before = dict(pair()[0].named_parameters())
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert one.equal(two) and one.grad is None
        assert one.equal(before[name]) == name.startswith(("unused", "frozen"))


def test_the_optimizer_of_the_handle_takes_schedulers_and_saves_its_state():
    model, other = pair()
    handle = step_in_backward(model, lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(handle.optimizer, 0.5)

    def after():  # `step()` finds no gradient; without it torch warns that the scheduler came first
        versions = [p._version for p in model.parameters()]
        handle.optimizer.step()
        assert versions == [p._version for p in model.parameters()]
        scheduler.step()

    train(model, after, steps=2)
    assert handle.optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    other.load_state_dict(model.state_dict())
    resumed = step_in_backward(other)
    resumed.optimizer.load_state_dict(handle.optimizer.state_dict())
    train(model, lambda: None)
    train(other, lambda: None)
    assert all(one.equal(two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_a_copy_of_the_model_keeps_its_gradients():
    model, _ = pair()
    step_in_backward(model)
    other = copy.deepcopy(model)
    train(other, lambda: None, steps=1)
    assert other.last.weight.grad is not None
    assert all(one.equal(two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_what_is_no_module():
    with pytest.raises(TypeError) as caught:
        step_in_backward(list(nn.Linear(2, 2).parameters()))
    assert str(caught.value) == "the model is a list: give a torch.nn.Module"


def test_removed_it_leaves_gradients_and_weights_alone():
    model, other = pair()
    handle = step_in_backward(model)
    handle.remove()
    handle.remove()
    train(model, lambda: None, steps=1)
    assert all(one.equal(two) for one, two in zip(model.parameters(), other.parameters(), strict=True))
    assert model.last.weight.grad is not None


def test_it_works_with_checkpointed_activations():
    model, other = pair()
    plain = model.forward
    model.forward = lambda x: checkpoint(plain, x.requires_grad_(), use_reentrant=False)
    for each in (model, other):
        step_in_backward(each)
        train(each, lambda: None)
    assert all(one.equal(two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_the_gradients_are_never_there_together():
    """Twenty layers of 256 kB: `step()` holds 20 gradients at its peak, this one or two."""
    layers = [nn.Linear(256, 256, bias=False) for _ in range(20)]
    model, x = nn.Sequential(*layers), torch.randn(2, 256)
    size = 256 * 256 * 4
    optimizer = Fromage(model.parameters())

    def usual():
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    usual()
    together = peak(usual)
    handle = step_in_backward(model)
    spent = peak(lambda: model(x).sum().backward())
    handle.remove()
    assert together >= 20 * size
    assert spent <= 3 * size
    assert together - spent >= 17 * size


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="the model has no parameter that requires a gradient"):
        step_in_backward(nn.ReLU())
    with pytest.raises(ValueError, match=re.escape("lr is -1: it must be finite and >= 0")):
        step_in_backward(nn.Linear(2, 2), lr=-1)
    with pytest.raises(ValueError, match="differentiable=True needs the graph"):
        step_in_backward(nn.Linear(2, 2), differentiable=True)


def test_ddp_is_refused_with_the_way_out(tmp_path):
    distributed = pytest.importorskip("torch.distributed")
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own, when it wraps
            model = nn.parallel.DistributedDataParallel(nn.Linear(2, 2))
        for wrapped in (model, nn.Sequential(model)):
            with pytest.raises(TypeError, match=re.escape("call Fromage(...).step() after backward()")):
                step_in_backward(wrapped)
    finally:
        distributed.destroy_process_group()


# --- Many layers of one kind ----------------------------------------------------------------------------


def layers(count=8, width=20, device="cpu"):
    torch.manual_seed(3)
    return nn.Sequential(*[nn.Linear(width, width) for _ in range(count)]).to(device)


def train_layers(model, optimizer=None, forward=None, steps=5):
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
    train_layers(model)
    train_layers(apart, Fromage(apart.parameters(), lr=0.1, foreach=False, **options))
    train_layers(together, Fromage(together.parameters(), lr=0.1, **options))
    assert max(differences(model, apart)) == 0
    assert max(differences(model, together)) <= 1e-6


@pytest.mark.parametrize("reentrant", [False, True])
def test_segments_checkpointed_either_way(reentrant):
    model = layers()
    other = copy.deepcopy(model)

    def forward(x):
        return checkpoint_sequential(model, 4, x.requires_grad_(), use_reentrant=reentrant)

    step_in_backward(model, lr=0.1)
    train_layers(model, forward=forward)
    train_layers(other, Fromage(other.parameters(), lr=0.1, foreach=False))
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
    train_layers(model, steps=1)
    moved = [not torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True)]
    assert moved == [False, False, False, False, True, True]
    assert model[0].weight.grad is not None  # nobody spends it


def test_the_scale_of_the_loss_changes_nothing():
    """So a gradient scaler's factor need not be taken back."""
    model = layers(3)
    other = copy.deepcopy(model)
    for each, scale in ((model, 1.0), (other, 2.0**16)):
        step_in_backward(each, lr=0.1)
        train_layers(each, forward=lambda x, each=each, scale=scale: each(x) * scale)
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
        train_layers(each, after, steps=1)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train_layers(each, after, steps=2)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert max(differences(model, other)) <= 1e-6
    assert peaks[0] <= peaks[1] - (count - 4) * width * width * 4
