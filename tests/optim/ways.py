"""Every implementation of the step that runs on a CPU, called alike."""

import pytest
import torch
from torch import nn

from fromage_edu import Fromage
from fromage_edu.optim import cpu

# Options of `Fromage` that choose the implementation. "packed": beside enough others of its shape;
# "differentiable" is `fromage_update` itself.
WAYS = {
    "alone": {},
    "packed": {},
    "one by one": {"foreach": False},
    "foreach": {"foreach": True},
    "capturable": {"capturable": True},
    "differentiable": {"differentiable": True},
}
every_way = pytest.mark.parametrize("way", list(WAYS))


def parameter(weight, way="alone"):
    """A parameter with the values and strides of `weight`; one that a differentiable step may write to."""
    if not isinstance(weight, torch.Tensor):
        weight = torch.tensor(weight)
    copy = torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype).copy_(weight.detach())
    return nn.Parameter(copy, requires_grad=way != "differentiable")


def fromage(params, way="alone", **options):
    return Fromage(params, **WAYS[way], **options)


def steps(way, weight, grads, lr=0.01, **options):
    """W after each of several steps, `lr` one for all or a list; gradients must be as they were."""
    param = parameter(weight, way)
    params = [param]
    if way == "packed":
        generator = torch.Generator().manual_seed(1)
        others = torch.randn(cpu.FEW, *weight.shape, dtype=weight.dtype, generator=generator)
        params += [parameter(other) for other in others]
        for other, values in zip(params[1:], others.flip(0), strict=True):
            other.grad = values
    lrs = lr if isinstance(lr, list) else [lr] * len(grads)
    optimizer = fromage(params, way, lr=lrs[0], **options)
    path = []
    for grad, lr in zip(grads, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        before, version = grad.clone(), grad._version
        param.grad = grad
        optimizer.step()
        assert param.grad is grad and grad._version == version and same(grad, before)
        path.append(param.detach().clone())
    assert all(other.isfinite().all() for other in params[1:])
    return path


def step(way, weight, grad, lr=0.01, **options):
    """W' after one step."""
    return steps(way, weight, [grad], lr, **options)[0]


def same(one, two):
    """Equal in every entry, where NaN equals NaN."""
    return torch.equal(torch.nan_to_num(one, nan=7.0), torch.nan_to_num(two, nan=7.0))
