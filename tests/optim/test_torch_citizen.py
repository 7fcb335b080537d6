"""Fromage among the optimizers of torch: state, copies, schedules, hooks, groups, scalers."""

import copy
import io
import pickle

import pytest
import torch
from oracle import oracle, relative_error
from torch import nn
from ways import WAYS, every_way, fromage, parameter, step, steps

from fromage_edu import Fromage
from fromage_edu.optim import cpu, fromage_update

# --- State ----------------------------------------------------------------------------------------------

RESUMABLE = [
    {},
    {"momentum": 0.9},
    {"p_bound": 1.2},
    {"momentum": 0.9, "p_bound": 1.1, "lr": 0.3, "maximize": True},
    {"lr": torch.tensor(0.05)},
    {"momentum": 0.9, "p_bound": 1.1, "foreach": False},
    {"momentum": 0.9, "p_bound": 1.1, "foreach": True},
    {"momentum": 0.9, "p_bound": 1.1, "capturable": True},
]


def through_state_dict(model, optimizer, options):
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = copy.deepcopy(model)
    for param in fresh.parameters():
        nn.init.zeros_(param)
    resumed = Fromage(fresh.parameters(), **options)
    fresh.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["optimizer"])
    return fresh, resumed


def through(copier):
    return lambda model, optimizer, options: copier((model, optimizer))


def network(dtype):
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def train(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    for _ in range(5):
        optimizer.zero_grad()
        inputs = torch.randn(8, 4, generator=generator).to(dtype)
        model(inputs).square().mean().backward()
        optimizer.step()


def assert_states_agree(model, optimizer, other, resumed):
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert one.equal(two)
        assert optimizer.state[one].keys() == resumed.state[two].keys()
        for key, value in optimizer.state[one].items():
            mine = resumed.state[two][key]
            assert mine.dtype == value.dtype and mine.equal(value) and mine is not value, key


@pytest.mark.rule("round trip")
@pytest.mark.rule("p_bound")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", RESUMABLE)
@pytest.mark.parametrize(
    "interrupt",
    [through_state_dict, through(copy.deepcopy), through(lambda pair: pickle.loads(pickle.dumps(pair)))],
    ids=["state_dict", "deepcopy", "pickle"],
)
def test_interrupted_runs_continue_bit_for_bit(interrupt, options, dtype):
    model = network(dtype)
    optimizer = Fromage(model.parameters(), **options)
    train(model, optimizer, 1)
    other, resumed = interrupt(model, optimizer, options)
    assert_states_agree(model, optimizer, other, resumed)
    train(model, optimizer, 2)
    train(other, resumed, 2)
    assert_states_agree(model, optimizer, other, resumed)


@pytest.mark.rule("round trip")
def test_the_state_is_right_when_half_of_the_tensors_were_never_stepped():
    model = network(torch.float32)
    model[0].requires_grad_(False)
    options = {"momentum": 0.9, "p_bound": 1.1}
    optimizer = Fromage(model.parameters(), **options)
    train(model, optimizer, 1)
    other, resumed = through_state_dict(model, optimizer, options)
    train(model, optimizer, 2)
    train(other, resumed, 2)
    assert_states_agree(model, optimizer, other, resumed)


@pytest.mark.rule("round trip")
def test_loading_a_state_leaves_the_source_alone():
    model = network(torch.float32)
    optimizer = Fromage(model.parameters(), momentum=0.9)
    train(model, optimizer, 1)
    other = copy.deepcopy(model)
    resumed = Fromage(other.parameters())
    resumed.load_state_dict(optimizer.state_dict())
    before = [value["momentum_buffer"].clone() for value in optimizer.state.values()]
    train(other, resumed, 2)
    after = [value["momentum_buffer"] for value in optimizer.state.values()]
    assert all(one.equal(two) for one, two in zip(before, after, strict=True))


@pytest.mark.rule("p_bound")
@pytest.mark.rule("round trip")
def test_options_travel_with_the_state_dict():
    source = Fromage([parameter([3.0, 4.0])], lr=0.3, p_bound=1.5)
    target = Fromage([parameter([1.0, 1.0])])
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["p_bound"] == 1.5
    assert list(target.state.values()) == [{"initial_norm": 5.0}]


@pytest.mark.rule("round trip")
@every_way
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_a_state_of_another_implementation_can_be_loaded(way, dtype):
    weight, *grads = torch.randn(7, 5, dtype=dtype)
    whole = steps("alone", weight, grads, 0.1, momentum=0.9, p_bound=1.1)[-1]
    first = parameter(weight)
    optimizer = fromage([first], lr=0.1, momentum=0.9, p_bound=1.1)
    for grad in grads[:3]:
        first.grad = grad
        optimizer.step()
    second = parameter(first.detach(), way)
    resumed = fromage([second], way, lr=0.1)
    resumed.load_state_dict(optimizer.state_dict())
    resumed.param_groups[0].update(WAYS[way])
    for grad in grads[3:]:
        second.grad = grad
        resumed.step()
    torch.testing.assert_close(second.detach(), whole)


@pytest.mark.rule("round trip")
@every_way
@pytest.mark.parametrize(
    ("before", "after"), [(torch.float32, torch.float64), (torch.float64, torch.float32)]
)
def test_a_state_can_be_loaded_for_another_dtype(way, before, after):
    """The average takes the precision that the docstring names."""
    weight, *grads = torch.randn(5, 6, dtype=torch.float64)
    first = parameter(weight.to(before), way)
    optimizer = fromage([first], way, momentum=0.9, lr=0.1)
    for grad in grads[:2]:
        first.grad = grad.to(before)
        optimizer.step()
    second = parameter(weight.to(after), way)
    resumed = fromage([second], way)
    resumed.load_state_dict(optimizer.state_dict())
    average = resumed.state[second]["momentum_buffer"]
    assert average.dtype == after and average.equal(optimizer.state[first]["momentum_buffer"].to(after))
    second.grad = grads[2].to(after)
    resumed.step()
    all_grads = torch.stack([grad.to(before).double() for grad in grads[:2]] + [second.grad.double()])
    mean = torch.tensor([0.081, 0.09, 0.1], dtype=torch.float64) @ all_grads / 0.271
    assert relative_error(second.detach(), oracle(weight.to(after), mean, 0.1)) < 1e-6


@pytest.mark.rule("round trip")
@pytest.mark.parametrize("in_place", [True, False])
def test_hooks_may_change_what_is_loaded(in_place):
    source, target = (Fromage([parameter([3.0, 4.0])], momentum=0.5, p_bound=2.0) for _ in range(2))
    for optimizer in (source, target):
        optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
        optimizer.step()

    def double(_, state_dict):
        changed = state_dict if in_place else dict(state_dict)
        entry = state_dict["state"][0]
        changed["state"] = {0: {name: 2 * value for name, value in entry.items()}}
        return None if in_place else changed

    target.register_load_state_dict_pre_hook(double)
    for _ in range(2):
        target.load_state_dict(source.state_dict())
        (one,), (two,) = source.state.values(), target.state.values()
        assert one.keys() == two.keys() and all(two[name].equal(2 * one[name]) for name in one)


def test_a_state_of_another_optimizer_does_not_break_the_next_step():
    param = parameter([3.0, 4.0])
    param.grad = torch.tensor([1.0, 2.0])
    other = torch.optim.SGD([param], lr=0.1, momentum=0.9)
    other.step()
    optimizer = Fromage([param])
    optimizer.load_state_dict(other.state_dict())
    before, lr = param.detach().clone(), optimizer.param_groups[0]["lr"]
    optimizer.step()
    torch.testing.assert_close(param.detach(), oracle(before, param.grad, lr).float())


# --- Training loops -------------------------------------------------------------------------------------


def test_closure_is_called_with_gradients_and_its_value_returned():
    param = parameter([3.0, 4.0])
    optimizer = Fromage([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 25
    assert param.detach().norm() < 5 and optimizer.step.__name__ and param.grad is not None


@every_way
@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    ],
    ids=["step", "cosine", "one cycle, which also changes momentum"],
)
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
def test_schedulers(way, make, lr):
    param = parameter([3.0, 4.0], way)
    param.grad = torch.tensor([1.0, 2.0])
    optimizer = fromage([param], way, lr=copy.copy(lr), momentum=0.9)
    scheduler = make(optimizer)
    seen = []
    for _ in range(9):
        before, lr = param.detach().clone(), float(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        # The average of equal gradients is that gradient, whatever the momentum.
        assert relative_error(param.detach(), oracle(before, param.grad, lr)) <= 1e-6
        seen.append(lr)
    assert len(set(seen)) > 5 and seen[-1] < 0.1


def test_shared_parameters_move_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.two = self.one

    model = Shared()
    weight = model.one.weight.detach().clone()
    model.two(model.one(torch.ones(1, 3))).sum().backward()
    grad = model.one.weight.grad.clone()
    Fromage(model.parameters(), lr=0.1).step()
    torch.testing.assert_close(model.one.weight.detach(), fromage_update(weight, grad, 0.1))


def test_hooks_and_zero_grad():
    model = nn.Linear(2, 2)
    calls = []
    optimizer = Fromage(model.parameters())
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert calls == ["before", "after"] and model.weight.grad is None
    assert "lr: 0.01" in repr(optimizer)


@pytest.mark.rule("g = 0")
def test_gradients_zeroed_in_place_leave_the_model_alone():
    model = network(torch.float32)
    optimizer = Fromage(model.parameters(), lr=0.5)
    train(model, optimizer, 1)
    before = [param.detach().clone() for param in model.parameters()]
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    assert all(one.equal(two) for one, two in zip(before, model.parameters(), strict=True))


def test_named_parameters():
    model = nn.Linear(2, 2)
    optimizer = Fromage(model.named_parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    expected = fromage_update(model.weight.detach(), model.weight.grad, 0.1)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), expected)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_a_gradient_that_has_a_graph_of_its_own():
    param, factor = parameter([3.0, 4.0]), torch.tensor(2.0, requires_grad=True)
    param.grad = factor * torch.tensor([1.0, -1.0])
    Fromage([param], lr=0.1).step()
    assert param.is_leaf and param.requires_grad and param.grad.requires_grad
    expected = fromage_update(torch.tensor([3.0, 4.0]), torch.tensor([2.0, -2.0]), 0.1)
    torch.testing.assert_close(param.detach(), expected)


def test_a_gradient_scaler_skips_bad_steps_and_changes_no_good_one():
    weight, grad = torch.randn(2, 4)
    param = parameter(weight)
    optimizer = Fromage([param], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((param * grad).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert param.detach().equal(step("alone", weight, grad, 0.1))
    optimizer.zero_grad()
    before = param.detach().clone()
    scaler.scale((param * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert param.detach().equal(before) and scaler.get_scale() < 1024


@pytest.mark.parametrize("way", [way for way in WAYS if way != "differentiable"])
def test_lazy_modules_and_subclasses_of_parameter(way):
    class Own(nn.Parameter):
        pass

    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3, bias=False))
    model[1].weight = Own(model[1].weight.detach())
    optimizer = fromage(model.parameters(), way, lr=0.1)
    model(torch.randn(2, 5)).square().sum().backward()
    params = list(model.parameters())
    expected = [fromage_update(param.detach(), param.grad, 0.1) for param in params]
    optimizer.step()
    torch.testing.assert_close([param.detach() for param in params], expected)
    assert type(model[1].weight) is Own


@every_way
@pytest.mark.parametrize("options", [{}, {"p_bound": 1.0}])
def test_the_defaults_of_torch_do_not_matter(way, options):
    """A default device that the tensors are not on; "meta" stands for any."""
    weight, grad = torch.randn(2, 5)
    expected = step(way, weight, grad, 0.1, **options)
    params = [parameter(weight, way) for _ in range(cpu.FEW if way == "packed" else 1)]
    optimizer = fromage(params, way, lr=0.1, **options)
    for param in params:
        param.grad = grad.clone()
    with torch.device("meta"):
        optimizer.step()
    assert all(param.detach().equal(expected) for param in params)
    try:
        torch.set_default_dtype(torch.float64)
        assert step(way, weight, grad, 0.1, **options).equal(expected)
    finally:
        torch.set_default_dtype(torch.float32)


@every_way
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "p_bound": 1.0}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_modes_around_a_step_do_not_matter(way, options, dtype):
    """Autocast would round what a step computes."""
    weight, grad = torch.randn(2, 6, 5, dtype=dtype)
    expected = step(way, weight, grad, 0.1, **options)
    for mode in (torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), torch.no_grad()):
        param = parameter(weight, way)
        param.grad = grad
        optimizer = fromage([param], way, lr=0.1, **options)
        with mode:
            optimizer.step()
        torch.testing.assert_close(param.detach(), expected, rtol=1e-6, atol=1e-6)


def test_it_learns():
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = Fromage(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
    for _ in range(600):
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert loss < 1e-2
