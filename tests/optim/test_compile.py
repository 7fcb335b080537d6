"""`torch.compile(optimizer.step)`: one graph, whatever values lr takes, and the steps of plain Python."""

import shutil
import warnings

import pytest
import torch
from oracle import relative_error
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from fromage_edu import Fromage

# torch's own: its profiler's marks are ignored while it compiles, and Inductor's parts are deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SCHEDULE = [0.3, 0.3, 0.01, 0.1, 0.2]
ALL = dict(momentum=0.5, p_bound=1.01, maximize=True, norm_correction=False)
OPTIONS = [{}, {"momentum": 0.9}, {"p_bound": 1.01}, {"maximize": True}, {"capturable": True}, ALL]


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Pair:
    """Two optimizers with the same tensors and gradients: one compiled, and one in plain Python."""

    def __init__(self, backend="eager", lr=None, shapes=((4, 3), (3,)), schedule=None, **options):
        lr = torch.tensor(SCHEDULE[0]) if lr is None else lr
        self.params = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        self.others = [nn.Parameter(param.detach().clone()) for param in self.params]
        self.optimizer = Fromage(self.params, lr=lr, **options)
        self.plain = Fromage(self.others, lr=float(lr), **options)
        # A scheduler wraps the step in code that torch does not compile, with the step inside it whole.
        self.scheduler = schedule and schedule(self.optimizer)
        self.counter = CompileCounterWithBackend(backend)
        self.compiled = torch.compile(self.optimizer.step, backend=self.counter, fullgraph=schedule is None)

    def step(self):
        """One step of both, which must agree in the change of every tensor."""
        for param, other in zip(self.params, self.others, strict=True):
            param.grad = torch.randn_like(param)
            other.grad = param.grad.clone()
        before = [param.detach().clone() for param in self.params]
        for other, param in zip(self.others, self.params, strict=True):
            other.data.copy_(param.data)  # or the roundings of all steps would add up
        self.plain.param_groups[0]["lr"] = float(self.optimizer.param_groups[0]["lr"])
        self.compiled()
        self.plain.step()
        for param, other, old in zip(self.params, self.others, before, strict=True):
            assert relative_error(param.detach(), other.detach().double()) < 3e-7
            assert relative_error(param.detach() - old, (other.detach() - old).double()) < 1e-3

    @property
    def graphs(self):
        return self.counter.frame_count


def drive(pair):
    for lr in SCHEDULE:
        pair.optimizer.param_groups[0]["lr"].fill_(lr)
        pair.step()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_graph_follows_a_schedule(options):
    pair = Pair(**options)
    drive(pair)
    assert pair.graphs == 1


def test_a_step_has_no_graph_break():
    params = [nn.Parameter(torch.randn(4, 3)) for _ in range(2)]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = Fromage(params, lr=torch.tensor(0.1), **ALL)
    told = torch._dynamo.explain(optimizer.step)()
    assert (told.graph_count, told.graph_break_count) == (1, 0), told.break_reasons


@pytest.mark.parametrize("lr_dtype", [torch.float32, torch.float64])
def test_what_autograd_lowers_is_the_same(lr_dtype):
    """Functionalized, as for Inductor: it once lost what was written to the weight of the average."""
    pair = Pair("aot_eager", torch.tensor([SCHEDULE[0]], dtype=lr_dtype), **ALL)
    drive(pair)
    assert pair.graphs == 1
    for param in pair.params:
        weight = pair.optimizer.state[param]["momentum_weight"]
        assert weight.item() == pytest.approx(1 - 0.5 ** len(SCHEDULE), rel=1e-12)


def test_a_number_of_double_precision_without_dimension_is_read_each_time():
    drive(Pair("aot_eager", torch.tensor(SCHEDULE[0], dtype=torch.float64), shapes=[(3,)]))


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler for a CPU")
def test_inductor_steps_alike():
    pair = Pair("inductor", shapes=[(4, 3)], **ALL)
    drive(pair)
    assert pair.graphs == 1


SCHEDULERS = {
    "StepLR": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5),
    "CosineAnnealingLR": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5),
    "OneCycleLR": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=8, cycle_momentum=False
    ),
    "LambdaLR": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_change_the_tensor_in_place(name):
    pair = Pair(schedule=SCHEDULERS[name])
    lr = pair.optimizer.param_groups[0]["lr"]
    seen = set()
    for _ in range(5):
        pair.step()
        seen.add(lr.item())
        pair.scheduler.step()
    assert pair.optimizer.param_groups[0]["lr"] is lr and len(seen) >= 3
    assert pair.graphs == 1


def test_groups_have_their_own_lr():
    params = [nn.Parameter(torch.tensor([3.0, 4.0])) for _ in range(2)]
    groups = [{"params": [params[0]], "lr": torch.tensor(0.5)}, {"params": [params[1]]}]
    optimizer = Fromage(groups, lr=torch.tensor(0.0))
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(optimizer.step, backend=counter, fullgraph=True)
    for lrs in ((0.5, 0.0), (0.0, 0.5)):
        before = [param.detach().clone() for param in params]
        for param, group, lr in zip(params, optimizer.param_groups, lrs, strict=True):
            group["lr"].fill_(lr)
            param.grad = torch.tensor([-4.0, 3.0])
        compiled()
        moved = [not torch.equal(*pair) for pair in zip(params, before, strict=True)]
        assert moved == [lr > 0 for lr in lrs]
    assert counter.frame_count == 1


def test_a_parameter_that_had_no_gradient_is_stepped_once_it_has():
    pair = Pair(momentum=0.5)
    pair.params[1].requires_grad_(False)
    for param in pair.params[:1]:
        param.grad = torch.randn_like(param)
    before = pair.params[1].detach().clone()
    pair.compiled()
    assert pair.params[1].equal(before)
    pair.params[1].requires_grad_(True).grad = torch.randn(3)
    pair.compiled()
    assert not pair.params[1].equal(before)


def test_zero_and_bad_gradients_keep_their_rules():
    params = [nn.Parameter(torch.ones(3)) for _ in range(3)] + [nn.Parameter(torch.zeros(3))]
    optimizer = Fromage(params, lr=torch.tensor(0.1))
    compiled = torch.compile(optimizer.step, backend="eager", fullgraph=True)
    for param, bad in zip(params, [0.0, float("nan"), float("inf"), 2.0], strict=True):
        param.grad = torch.tensor([0.0, bad, 0.0])
    compiled()
    assert params[0].tolist() == [1.0] * 3
    assert params[1].isnan().all() and params[2].isnan().all()
    assert params[3].tolist() == pytest.approx([0.0, -0.2, 0.0])


def test_a_compiled_run_is_saved_and_restored_in_plain_python():
    pair = Pair("eager", **ALL)
    drive(pair)
    copies = [nn.Parameter(param.detach().clone()) for param in pair.params]
    restored = Fromage(copies, lr=torch.tensor(SCHEDULE[-1]), **ALL)
    restored.load_state_dict(pair.optimizer.state_dict())
    for param, copy in zip(pair.params, copies, strict=True):
        param.grad = torch.randn_like(param)
        copy.grad = param.grad.clone()
    pair.compiled()
    restored.step()
    for param, copy in zip(pair.params, copies, strict=True):
        assert relative_error(copy.detach(), param.detach().double()) < 1e-6


def test_lr_as_a_number_is_right_but_compiles_again_and_says_so():
    """torch.compile takes a number for a constant: every value costs a graph, a wrong one would cost more."""
    pair = Pair(lr=SCHEDULE[0])
    pair.step()
    pair.step()
    assert pair.graphs == 1
    pair.optimizer.param_groups[0]["lr"] = 0.05
    with pytest.warns(UserWarning, match=r"give lr=torch\.tensor\(0\.3\), which schedulers change in place"):
        pair.step()
    assert pair.graphs == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lr in (0.2, 0.1, 0.01):
            pair.optimizer.param_groups[0]["lr"] = lr
            pair.step()
