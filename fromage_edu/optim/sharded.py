"""The step for DTensors: FSDP2 (`fully_shard`), tensor parallel, or both.

Each process squares and adds what it holds; one reduction of a small vector over the processes gives the
norms of whole layers; each process then updates its own part. A sum over a mesh dimension takes part only in
the tensors that are sharded along it: replicas are not counted twice.
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
    """Whether it is a DTensor; asked without importing torch.distributed, which takes a second."""
    return type(tensor) not in PLAIN and hasattr(tensor, "placements")


def check(param: Tensor, differentiable: bool) -> None:
    """Raise for a parameter whose layers cannot be told apart, or whose step cannot be differentiated."""
    if getattr(param, "_is_flat_param", False) or getattr(param, "_fsdp_flattened", False):
        raise TypeError(
            "Fromage needs the norm of each layer, and FullyShardedDataParallel (FSDP1) flattens layers into "
            "one parameter: use torch.distributed.fsdp.fully_shard (FSDP2) instead"
        )
    if is_sharded(param):
        if differentiable:
            raise ValueError("differentiable=True does not work with DTensors: leave it False")
        if any(placement.is_partial() for placement in param.placements):
            raise TypeError(
                f"a parameter is placed {param.placements}: redistribute it to Shard or Replicate"
            )


def local(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor, sharing its memory; any other tensor as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def local_grad(param: Tensor, grad: Tensor) -> Tensor:
    """This process's part of a gradient, placed like its parameter."""
    if is_sharded(param) and grad.placements != param.placements:
        grad = grad.redistribute(param.device_mesh, param.placements)
    return local(grad)


def norms(params: list[Tensor]) -> list[Tensor]:
    """Norms of whole DTensors: float64, shape () each, the same on every process."""
    if not params:
        return []
    squares = torch.stack([frobenius_norm(local(param.detach())).square() for param in params])
    _reduce_(squares.unsqueeze(0), params)
    return list(squares.sqrt().unbind())


def update_(jobs: list[Job], params: list[Tensor], bounded: bool) -> None:
    """Step the DTensors of `jobs` in place.

    Args:
        jobs: those that have a gradient on this process.
        params: all DTensors of the optimizer, in the same order on every process.
        bounded: whether any group has a p_bound; the same on every process.
    """
    rows = {id(param): row for row, param in enumerate(params)}
    bunches: dict = {}
    for job in jobs:
        weight, grad = _real(local(job.param)), _real(job.grad)
        key = (id(job.options), weight.dtype, grad.dtype)
        bunches.setdefault(key, []).append((rows[id(job.param)], weight, grad, job))
    totals = torch.zeros(
        3 if bounded else 2, len(params), dtype=torch.float64, device=local(params[0].detach()).device
    )
    bunches = [tuple(map(list, zip(*bunch, strict=True))) for bunch in bunches.values()]
    for places, weights, grads, some in bunches:
        totals[:, places] = way_for(weights, grads, some[0].options).sums(weights, grads, bounded)
    _reduce_(totals, params)
    for places, weights, grads, some in bunches:
        options = some[0].options
        limits = None if some[0].max_norm is None else torch.stack([job.max_norm for job in some])
        by = foreach.coefficients(totals[:, places], options.signed_lr, options.norm_correction, limits)
        way_for(weights, grads, options).update_(weights, grads, by)
    # Autograd must notice: what changed is the part, not the DTensor around it.
    torch.autograd.graph.increment_version([job.param for job in jobs])


def _reduce_(totals: Tensor, params: list[Tensor]) -> None:
    """Sum each column over the processes that hold parts of its parameter."""
    groups: dict = {}
    for row, param in enumerate(params):
        for dimension, placement in enumerate(param.placements):
            if not placement.is_replicate():
                groups.setdefault(param.device_mesh.get_group(dimension), []).append(row)
    for group, rows in groups.items():
        some = totals[:, rows].contiguous()
        torch.distributed.all_reduce(some, group=group)
        totals[:, rows] = some


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
