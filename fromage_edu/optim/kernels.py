"""`foreach.sums` and `foreach.update_` for many tensors in one launch each, in Triton.

Memory is read and written as little as Algorithm 1 allows, about five times the model: W and g for the sums;
W, g and the new W for the update. A launch covers tensors of all sizes: each program takes one slice of one
tensor and finds its addresses in a table. Sums of slices are stored and added in a fixed order, so that two
runs agree to the bit.
"""

from contextlib import nullcontext
from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from fromage_edu.optim.foreach import Coefficients
from fromage_edu.optim.layout import in_memory_order

# Elements. Slices are long enough to keep their program busy, and at most MOST of them share a tensor.
SLICE = 2**15
MOST = 1024
BLOCK = 2048

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def fits(weight: Tensor, grad: Tensor) -> bool:
    """Whether the kernels take this pair: of `TYPES`, dense in one common order."""
    return weight.dtype in TYPES and grad.dtype in TYPES and in_memory_order(weight, grad) is not None


def sums(weights: list[Tensor], grads: list[Tensor], dots: bool) -> Tensor:
    """As `foreach.sums`, for tensors that fit, on one device, of one dtype each side."""
    slices = _slices_of(weights)
    shape = 3 if dots else 2, slices.ones + slices.several * slices.most
    partial = torch.zeros(shape, dtype=torch.float64, device=weights[0].device)
    _launch(_sums_kernel, slices, weights, grads, partial, partial.stride(0), DOTS=dots)
    several = partial[:, slices.ones :].view(shape[0], slices.several, slices.most)
    return torch.cat([partial[:, : slices.ones], several.sum(dim=2)], dim=1).index_select(1, slices.order)


def update_(weights: list[Tensor], grads: list[Tensor], by: Coefficients) -> None:
    """As `foreach.update_`, for the same tensors as `sums`; computed in float64, rounded once."""
    _launch(_update_kernel, _slices_of(weights), weights, grads, torch.stack(by, dim=1))
    torch.autograd.graph.increment_version(weights)  # autograd must notice: the kernel writes behind its back


@triton.jit
def _find(addresses, slices, W: tl.constexpr, G: tl.constexpr, ALIGNED: tl.constexpr):
    """One program's slice: its tensor, where its W and g begin, its length, where its sums go."""
    slice = slices + tl.program_id(0) * 4
    tensor = tl.load(slice)
    start = tl.load(slice + 1)
    pair = addresses + tensor * 2
    w = tl.load(pair).to(tl.pointer_type(W))
    g = tl.load(pair + 1).to(tl.pointer_type(G))
    if ALIGNED:  # then 16 bytes are loaded at once
        w, g, start = tl.multiple_of(w, 16), tl.multiple_of(g, 16), tl.multiple_of(start, 16)
    return tensor, w + start, g + start, tl.load(slice + 2), tl.load(slice + 3)


# Both kernels take whole blocks first and the rest under a mask, since a mask forbids wide loads.


@triton.jit(do_not_specialize=["row"])
def _sums_kernel(
    addresses,
    slices,
    partial,
    row,
    W: tl.constexpr,
    G: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    DOTS: tl.constexpr,
):
    _, w, g, length, place = _find(addresses, slices, W, G, ALIGNED)
    lanes = tl.arange(0, BLOCK)
    whole = length // BLOCK * BLOCK
    rest = lanes < length - whole
    x = tl.load(w + whole + lanes, mask=rest, other=0.0).to(tl.float64)
    y = tl.load(g + whole + lanes, mask=rest, other=0.0).to(tl.float64)
    ww, gg, wg = x * x, y * y, x * y
    for first in range(0, whole, BLOCK):
        x = tl.load(w + first + lanes).to(tl.float64)
        y = tl.load(g + first + lanes).to(tl.float64)
        ww += x * x
        gg += y * y
        if DOTS:
            wg += x * y
    tl.store(partial + place, tl.sum(ww, axis=0))
    tl.store(partial + row + place, tl.sum(gg, axis=0))
    if DOTS:
        tl.store(partial + 2 * row + place, tl.sum(wg, axis=0))


@triton.jit
def _update_kernel(
    addresses,
    slices,
    pairs,
    W: tl.constexpr,
    G: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    tensor, w, g, length, _ = _find(addresses, slices, W, G, ALIGNED)
    keep = tl.load(pairs + tensor * 2)
    step = tl.load(pairs + tensor * 2 + 1)
    lanes = tl.arange(0, BLOCK)
    whole = length // BLOCK * BLOCK
    for first in range(0, whole, BLOCK):
        x = tl.load(w + first + lanes).to(tl.float64)
        y = tl.load(g + first + lanes).to(tl.float64)
        tl.store(w + first + lanes, (keep * x + step * y).to(tl.float32).to(W))
    rest = lanes < length - whole
    x = tl.load(w + whole + lanes, mask=rest, other=0.0).to(tl.float64)
    y = tl.load(g + whole + lanes, mask=rest, other=0.0).to(tl.float64)
    tl.store(w + whole + lanes, (keep * x + step * y).to(tl.float32).to(W), mask=rest)


def _launch(kernel, slices, weights, grads, *arguments, **constants):
    device = weights[0].device
    pairs = [[w.data_ptr(), g.data_ptr()] for w, g in zip(weights, grads, strict=True)]
    constants["ALIGNED"] = not any(address % 16 for pair in pairs for address in pair)
    constants["W"], constants["G"] = TYPES[weights[0].dtype], TYPES[grads[0].dtype]
    # Triton launches on the current device, wherever the tensors are.
    with nullcontext() if device.type == "cpu" else torch.get_device_module(device).device(device):
        kernel[(len(slices.table),)](
            _send(pairs, device), slices.table, *arguments, **constants, BLOCK=BLOCK, num_warps=8
        )


class _Slices(NamedTuple):
    """The work of each program, and where its sums go: first those of tensors with one slice, side by side;
    then a row for each of the others, `most` long."""

    table: Tensor  # int64, (programs, 4): tensor, first element, number of elements, place
    ones: int
    several: int
    most: int
    order: Tensor  # int64, (n,): where each tensor comes in this order


def _slices_of(weights) -> _Slices:
    device = weights[0].device
    # Memory belongs to the stream that it was allocated on: another one gets its own table.
    stream = None if device.type == "cpu" else torch.get_device_module(device).current_stream(device)
    return _slices(tuple(weight.numel() for weight in weights), device, stream)


@lru_cache(maxsize=64)
def _slices(sizes, device, stream) -> _Slices:
    lengths = [max(SLICE, -(-size // (MOST * BLOCK)) * BLOCK) for size in sizes]
    counts = [-(-size // length) for size, length in zip(sizes, lengths, strict=True)]
    ones = [tensor for tensor, count in enumerate(counts) if count == 1]
    several = [tensor for tensor, count in enumerate(counts) if count != 1]
    most = max(1, *counts)
    places = {tensor: place for place, tensor in enumerate(ones)}
    places |= {tensor: len(ones) + row * most for row, tensor in enumerate(several)}
    table = [
        [tensor, i * length, min(length, size - i * length), places[tensor] + i]
        for tensor, (size, length, count) in enumerate(zip(sizes, lengths, counts, strict=True))
        for i in range(count)
    ]
    order = {tensor: column for column, tensor in enumerate(ones + several)}
    order = [order[tensor] for tensor in range(len(sizes))]
    return _Slices(
        _send(table, device).view(len(table), 4), len(ones), len(several), most, _send(order, device)
    )


def _send(numbers, device) -> Tensor:
    """An int64 tensor there, without waiting for the device: pinned memory is kept until it was read."""
    table = torch.tensor(numbers, dtype=torch.int64, device="cpu", pin_memory=device.type == "cuda")
    return table.to(device, non_blocking=True)
