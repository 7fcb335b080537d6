"""The step for DTensors: FSDP2 (`fully_shard`), tensor parallel, or both.

Each process squares and adds what it holds; one reduction of a small vector over the processes gives the
norms of whole layers; each process then updates its own part. A sum over a mesh dimension takes part only in
the tensors that are sharded along it: replicas are not counted twice. A process that has no gradient for a
tensor keeps its part as it is; the others step theirs, by the norm of all of W.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fromage_edu.optim import foreach
from fromage_edu.optim.paths import PLAIN, Options, way_for
from fromage_edu.trust import frobenius_norm


class Job(NamedTuple):
    """One DTensor to step."""

    param: Tensor
    grad: Tensor  # this process's part
    max_norm: Tensor | None
    options: Options


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor; asked without importing DTensor, which takes a second."""
    return type(tensor) not in PLAIN and hasattr(tensor, "placements")


def check(param: Tensor, differentiable: bool) -> None:
    """Raise for a parameter whose layers cannot be told apart, or whose step cannot be differentiated."""
    check_layers(param)
    if is_sharded(param):
        if differentiable:
            raise ValueError("differentiable=True does not work with DTensors: leave it False")
        if any(placement.is_partial() for placement in param.placements):
            raise TypeError(
                f"a parameter is placed {param.placements}: redistribute it to Shard or Replicate"
            )


def check_layers(param: Tensor) -> None:
    """Raise for parameters of FSDP1, which can also come to be after the optimizer was made."""
    if getattr(param, "_fsdp_flattened", False) or getattr(param, "_is_flat_param", False):
        raise TypeError(
            "Fromage needs the norm of each layer, and FullyShardedDataParallel (FSDP1) flattens layers into "
            "one parameter: use torch.distributed.fsdp.fully_shard (FSDP2) instead"
        )


def local(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor, sharing its memory; any other tensor as it is."""
    if not is_sharded(tensor):
        return tensor
    part = tensor.to_local()
    return part.wait() if hasattr(part, "wait") else part  # it may still be on its way


def local_grad(param: Tensor, grad: Tensor) -> Tensor:
    """This process's part of a gradient, placed like its parameter."""
    if not is_sharded(param):
        return grad
    if not is_sharded(grad):
        raise TypeError(
            "a DTensor has an ordinary tensor for its gradient: spread it like the parameter, with "
            "torch.distributed.tensor.distribute_tensor(grad, param.device_mesh, param.placements)"
        )
    if grad.placements != param.placements:
        grad = grad.redistribute(param.device_mesh, param.placements)
    return local(grad)


def norms(params: list[Tensor]) -> list[Tensor]:
    """Norms of whole DTensors: float64, shape () each, the same on every process."""
    squares = {param: frobenius_norm(local(param.detach())).square() for param in params}
    _reduce_(squares, params)
    return [squares[param].sqrt() for param in params]


def update_(jobs: list[Job], params: list[Tensor], bounded: bool) -> None:
    """Step the DTensors of `jobs` in place.

    Args:
        jobs: those that have a gradient on this process.
        params: all DTensors of the optimizer, in the same order on every process.
        bounded: whether any group has a p_bound; the same on every process.
    """
    bunches: dict = {}
    for job in jobs:
        weight, grad = _real(local(job.param)), _real(job.grad.resolve_conj())
        key = (id(job.options), weight.device, weight.dtype, grad.dtype)
        bunches.setdefault(key, []).append((job.param, weight, grad, job))
    bunches = [tuple(map(list, zip(*bunch, strict=True))) for bunch in bunches.values()]
    sums = {}
    for some, weights, grads, (job, *_) in bunches:
        columns = way_for(weights, grads, job.options).sums(weights, grads, bounded).unbind(1)
        sums.update(zip(some, columns, strict=True))
    for param in params:
        if param not in sums:
            sums[param] = _without_gradient(param, 3 if bounded else 2)
    _reduce_(sums, params)
    for some, weights, grads, (job, *others) in bunches:
        options = job.options
        limits = None if job.max_norm is None else torch.stack([j.max_norm for j in (job, *others)])
        totals = torch.stack([sums[param] for param in some], dim=1)
        by = foreach.coefficients(totals, options.signed_lr, options.norm_correction, limits)
        way_for(weights, grads, options).update_(weights, grads, by)
    # Autograd must notice: what changed is the part, not the DTensor around it.
    torch.autograd.graph.increment_version([job.param for job in jobs])


def _without_gradient(param: Tensor, count: int) -> Tensor:
    """Sums of a part without gradient: other processes may have one, and they need the whole norm of W."""
    part = _real(local(param.detach()))
    sums = part.new_zeros(count, dtype=torch.float64)
    if param.requires_grad:
        sums[0] = torch.linalg.vector_norm(part, dtype=torch.float64).square()
    return sums


def _reduce_(sums: dict[Tensor, Tensor], params: list[Tensor]) -> None:
    """Replace the sums of each parameter by those over all processes that hold parts of it."""
    groups: dict = {}  # of a mesh and its dimension: finding one takes longer than all else here
    parts: dict = {}
    for param in params:
        mesh = param.device_mesh
        for dimension, placement in enumerate(param.placements):
            if not placement.is_replicate():
                key = id(mesh), dimension
                if key not in groups:
                    outside = mesh.get_coordinate() is None  # this process holds nothing of what is there
                    groups[key] = None if outside else mesh.get_group(dimension)
                parts.setdefault((groups[key], sums[param].device), []).append(param)
    for (group, _), some in parts.items():
        if group is not None:
            totals = torch.stack([sums[param] for param in some])
            torch.distributed.all_reduce(totals, group=group)
            sums.update(zip(some, totals.unbind(), strict=True))


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
