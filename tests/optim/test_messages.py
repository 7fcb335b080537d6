"""What is said to a wrong argument, word for word: a data table."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from ways import every_way, fromage, parameter

from fromage_edu import Fromage
from fromage_edu.optim import fromage_update

NAN, INF = float("nan"), float("inf")

LR = ": it must be finite and >= 0; a good start is 0.01"
NUMBER = ": give a number"
SWITCH = ": give True or False"
# Options of `Fromage`, the error, all of its message.
OPTIONS = [
    (dict(lr=-0.1), ValueError, "lr is -0.1" + LR),
    (dict(lr=-1), ValueError, "lr is -1" + LR),
    (dict(lr=-5e-324), ValueError, "lr is -5e-324" + LR),
    (dict(lr=INF), ValueError, "lr is inf" + LR),
    (dict(lr=-INF), ValueError, "lr is -inf" + LR),
    (dict(lr=NAN), ValueError, "lr is nan" + LR),
    (dict(lr=Fraction(-1, 10)), ValueError, "lr is -1/10" + LR),
    (dict(lr=np.float32("inf")), ValueError, "lr is inf" + LR),
    (dict(lr=torch.tensor(-1.0)), ValueError, "lr is -1.0" + LR),
    (dict(lr=torch.tensor([NAN])), ValueError, "lr is nan" + LR),
    (dict(lr=torch.tensor(INF)), ValueError, "lr is inf" + LR),
    (dict(lr=torch.ones(2)), ValueError, "lr has shape (2,): give a number or a one-element tensor"),
    (dict(lr=torch.ones(0, 3)), ValueError, "lr has shape (0, 3): give a number or a one-element tensor"),
    (dict(lr=torch.tensor(1j)), TypeError, "lr is 1j" + NUMBER),
    (dict(lr=torch.tensor(True)), TypeError, "lr is True" + NUMBER),
    (dict(lr="0.1"), TypeError, "lr is '0.1'" + NUMBER),
    (dict(lr=None), TypeError, "lr is None" + NUMBER),
    (dict(lr=True), TypeError, "lr is True" + NUMBER),
    (dict(lr=[0.1]), TypeError, "lr is [0.1]" + NUMBER),
    (dict(momentum=1.0), ValueError, "momentum is 1.0: it must be >= 0 and < 1"),
    (dict(momentum=-0.1), ValueError, "momentum is -0.1: it must be >= 0 and < 1"),
    (dict(momentum=NAN), ValueError, "momentum is nan: it must be >= 0 and < 1"),
    (dict(momentum=None), TypeError, "momentum is None" + NUMBER),
    (dict(momentum=False), TypeError, "momentum is False" + NUMBER),
    (dict(momentum=torch.tensor(0.5)), TypeError, "momentum is tensor(0.5000)" + NUMBER),
    (dict(p_bound=0.5), ValueError, "p_bound is 0.5: it must be None or a factor >= 1"),
    (dict(p_bound=-2), ValueError, "p_bound is -2: it must be None or a factor >= 1"),
    (dict(p_bound=NAN), ValueError, "p_bound is nan: it must be None or a factor >= 1"),
    (dict(p_bound="2"), TypeError, "p_bound is '2'" + NUMBER),
    (dict(p_bound=True), TypeError, "p_bound is True" + NUMBER),
    (dict(norm_correction=None), TypeError, "norm_correction is None" + SWITCH),
    (dict(maximize="yes"), TypeError, "maximize is 'yes'" + SWITCH),
    (dict(foreach=1), TypeError, "foreach is 1" + SWITCH),
    (dict(capturable=None), TypeError, "capturable is None" + SWITCH),
    (dict(differentiable=0), TypeError, "differentiable is 0" + SWITCH),
]


@pytest.mark.rule("lr")
@pytest.mark.parametrize(("options", "error", "message"), OPTIONS)
def test_messages_of_options(options, error, message):
    one = [nn.Parameter(torch.ones(2))]
    with pytest.raises(error) as caught:
        Fromage(one, **options)
    assert str(caught.value) == message
    optimizer = Fromage([nn.Parameter(torch.ones(1))])
    with pytest.raises(error) as caught:
        optimizer.add_param_group({"params": one, **options})
    assert str(caught.value) == message
    assert len(optimizer.param_groups) == 1


@pytest.mark.rule("lr")
@pytest.mark.parametrize("lr", [0, 0.0, 1, 1e-300, 1e300, 3, torch.tensor(0.1), torch.ones(1, 1)])
def test_every_other_lr_is_taken_as_it_is(lr):
    assert Fromage([nn.Parameter(torch.ones(2))], lr=lr).param_groups[0]["lr"] is lr


W = torch.ones(2)
SPARSE = " (layout torch.sparse_coo): convert it with .to_dense()"
# Arguments of `fromage_update`.
ARGUMENTS = [
    (dict(grad=torch.ones(3)), ValueError, "weight has shape (2,) and grad (3,): they must agree"),
    (dict(grad=torch.ones(2, 1)), ValueError, "weight has shape (2,) and grad (2, 1): they must agree"),
    (dict(weight=W.long(), grad=W.long()), TypeError, "weight is torch.int64: convert it with .float()"),
    (dict(grad=W.to_sparse()), TypeError, "grad is sparse" + SPARSE),
    (dict(weight=W.to_sparse()), TypeError, "weight is sparse" + SPARSE),
    (
        dict(grad=W.cfloat()),
        TypeError,
        "weight is torch.float32 and grad torch.complex64: both must be real, or both complex",
    ),
    (
        dict(weight=W.cfloat()),
        TypeError,
        "weight is torch.complex64 and grad torch.float32: both must be real, or both complex",
    ),
    (dict(lr=-0.1), ValueError, "lr is -0.1" + LR),
    (dict(lr=NAN), ValueError, "lr is nan" + LR),
    (dict(lr=INF), ValueError, "lr is inf" + LR),
    (dict(lr="1"), TypeError, "lr is '1'" + NUMBER),
    (dict(lr=torch.ones(2)), ValueError, "lr has shape (2,): give a number or a one-element tensor"),
    (dict(max_norm=-1.0), ValueError, "max_norm is -1.0: it must be None or >= 0"),
    (dict(max_norm=NAN), ValueError, "max_norm is nan: it must be None or >= 0"),
    (dict(max_norm="1"), TypeError, "max_norm is '1'" + NUMBER),
    (dict(max_norm=W), ValueError, "max_norm has shape (2,): give a number or a one-element tensor"),
    (dict(weight=[1.0, 2.0]), TypeError, "weight is a list: give a tensor"),
    (dict(grad=None), TypeError, "grad is a NoneType: give a tensor"),
    (
        dict(weight=W.to(torch.float8_e4m3fn)),
        TypeError,
        "weight is torch.float8_e4m3fn: convert it with .float()",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS)
def test_messages_of_the_free_function(arguments, error, message):
    with pytest.raises(error) as caught:
        fromage_update(**{"weight": W, "grad": W, **arguments})
    assert str(caught.value) == message


@every_way
def test_a_bound_that_comes_too_late(way):
    param = parameter([3.0, 4.0], way)
    param.grad = torch.ones(2)
    optimizer = fromage([param], way)
    optimizer.param_groups[0]["p_bound"] = 2.0
    with pytest.raises(RuntimeError) as caught:
        optimizer.step()
    assert str(caught.value) == (
        "p_bound was set to 2.0 after its group was added, so no norm was recorded: "
        "give it to Fromage(...) or add_param_group(...)"
    )
    assert param.tolist() == [3.0, 4.0]


def test_what_torch_itself_refuses():
    one = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="empty parameter list"):
        Fromage(nn.ReLU().parameters())
    with pytest.raises(TypeError):
        Fromage(one)
    with pytest.raises(ValueError, match="more than one parameter group"):
        Fromage([{"params": [one]}, {"params": [one]}])


# Options that a schedule sets on a group, the error, and its message.
LATER = [
    ("lr", -0.1, ValueError, "lr is -0.1" + LR),
    ("lr", NAN, ValueError, "lr is nan" + LR),
    ("lr", INF, ValueError, "lr is inf" + LR),
    ("lr", torch.ones(2), ValueError, "lr has shape (2,): give a number or a one-element tensor"),
    ("momentum", 1.0, ValueError, "momentum is 1.0: it must be >= 0 and < 1"),
    ("momentum", NAN, ValueError, "momentum is nan: it must be >= 0 and < 1"),
    ("momentum", None, TypeError, "momentum is None" + NUMBER),
    ("p_bound", -1.0, ValueError, "p_bound is -1.0: it must be None or a factor >= 1"),
    ("p_bound", NAN, ValueError, "p_bound is nan: it must be None or a factor >= 1"),
]


@pytest.mark.rule("lr")
@every_way
@pytest.mark.parametrize(("name", "value", "error", "message"), LATER)
def test_an_option_set_later_is_checked_before_any_group_is_stepped(way, name, value, error, message):
    first, second = parameter([3.0, 4.0], way), parameter([3.0, 4.0], way)
    first.grad, second.grad = torch.ones(2), torch.ones(2)
    optimizer = fromage([{"params": [first]}, {"params": [second]}], way, momentum=0.5, p_bound=2.0)
    optimizer.step()
    before, states = second.detach().clone(), copy.deepcopy(list(optimizer.state.values()))
    optimizer.param_groups[1][name] = value
    with pytest.raises(error) as caught:
        optimizer.step()
    assert str(caught.value) == message
    assert first.equal(before) and second.equal(before)
    for now, then in zip(optimizer.state.values(), states, strict=True):
        assert all(now[name].equal(then[name]) for name in then)


@every_way
def test_a_sparse_gradient_in_a_later_group_leaves_the_first_one_as_it_was(way):
    first, second = parameter([3.0, 4.0], way), parameter([3.0, 4.0], way)
    first.grad, second.grad = torch.ones(2), torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match="does not take sparse gradients"):
        fromage([{"params": [first]}, {"params": [second]}], way).step()
    assert first.tolist() == [3.0, 4.0]


def test_a_group_that_is_refused_leaves_nothing_behind():
    one, sparse = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2).to_sparse())
    optimizer = Fromage([one], p_bound=2.0)
    with pytest.raises(TypeError, match="the norm of a torch.sparse_coo is not taken"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3)), sparse]})
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group([one])
    assert len(optimizer.param_groups) == 1 and list(optimizer.state) == [one]
