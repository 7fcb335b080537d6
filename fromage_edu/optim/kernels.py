"""`foreach.sums` and `foreach.update_` for many tensors in one launch each, in Triton.

Memory is read and written as little as Algorithm 1 allows, about five times the model: W and g for the sums;
W, g and the new W for the update. A launch covers tensors of all sizes: each program takes one slice of one
tensor and finds its addresses in a table. Sums of slices are stored and added in a fixed order, so that two
runs agree to the bit.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from fromage_edu.optim.foreach import Coefficients

# Elements. Slices are large enough to keep their program busy, and at most MOST of them share a tensor.
SLICE = 2**16
MOST = 512
BLOCK = 2048

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def sums(weights: list[Tensor], grads: list[Tensor], dots: bool) -> Tensor:
    """As `foreach.sums`, for dense tensors in memory order, on one device, of one of `TYPES` each side."""
    slices, most = _slices(tuple(weight.numel() for weight in weights), weights[0].device)
    shape = (3 if dots else 2, len(weights), most)
    partial = torch.zeros(shape, dtype=torch.float64, device=weights[0].device)
    types = TYPES[weights[0].dtype], TYPES[grads[0].dtype]
    _sums_kernel[(len(slices),)](
        _addresses(weights, grads), slices, partial, partial.stride(0), *types, dots, BLOCK, num_warps=8
    )
    return partial.sum(dim=2)


def update_(weights: list[Tensor], grads: list[Tensor], by: Coefficients) -> None:
    """As `foreach.update_`, for the same tensors as `sums`; computed in float64, rounded once."""
    slices, _ = _slices(tuple(weight.numel() for weight in weights), weights[0].device)
    types = TYPES[weights[0].dtype], TYPES[grads[0].dtype]
    pairs = torch.stack([by.keep, by.step], dim=1)
    _update_kernel[(len(slices),)](
        _addresses(weights, grads), slices, pairs, *types, BLOCK, num_warps=8
    )
    torch.autograd.graph.increment_version(weights)  # autograd must notice: the kernel writes behind its back


@triton.jit
def _find(addresses, slices, W: tl.constexpr, G: tl.constexpr):
    """One program's slice: its tensor, where W and g are, first and last element, where its sums go."""
    slice = slices + tl.program_id(0) * 4
    tensor = tl.load(slice)
    pair = addresses + tensor * 2
    w = tl.load(pair).to(tl.pointer_type(W))
    g = tl.load(pair + 1).to(tl.pointer_type(G))
    return tensor, w, g, tl.load(slice + 1), tl.load(slice + 2), tl.load(slice + 3)


@triton.jit
def _sums_kernel(
    addresses, slices, partial, row, W: tl.constexpr, G: tl.constexpr, DOTS: tl.constexpr, BLOCK: tl.constexpr
):
    _, w, g, start, stop, place = _find(addresses, slices, W, G)
    ww = tl.zeros([BLOCK], tl.float64)
    gg = tl.zeros([BLOCK], tl.float64)
    wg = tl.zeros([BLOCK], tl.float64)
    for first in range(start, stop, BLOCK):
        at = first + tl.arange(0, BLOCK)
        x = tl.load(w + at, mask=at < stop, other=0.0).to(tl.float64)
        y = tl.load(g + at, mask=at < stop, other=0.0).to(tl.float64)
        ww += x * x
        gg += y * y
        if DOTS:
            wg += x * y
    tl.store(partial + place, tl.sum(ww, axis=0))
    tl.store(partial + row + place, tl.sum(gg, axis=0))
    if DOTS:
        tl.store(partial + 2 * row + place, tl.sum(wg, axis=0))


@triton.jit
def _update_kernel(addresses, slices, pairs, W: tl.constexpr, G: tl.constexpr, BLOCK: tl.constexpr):
    tensor, w, g, start, stop, _ = _find(addresses, slices, W, G)
    keep = tl.load(pairs + tensor * 2)
    step = tl.load(pairs + tensor * 2 + 1)
    for first in range(start, stop, BLOCK):
        at = first + tl.arange(0, BLOCK)
        x = tl.load(w + at, mask=at < stop, other=0.0).to(tl.float64)
        y = tl.load(g + at, mask=at < stop, other=0.0).to(tl.float64)
        tl.store(w + at, (keep * x + step * y).to(tl.float32).to(W), mask=at < stop)


def _addresses(weights, grads) -> Tensor:
    """Where each W and g lies: int64, (n, 2), on their device; sent without waiting for it."""
    device = weights[0].device
    pairs = [[w.data_ptr(), g.data_ptr()] for w, g in zip(weights, grads, strict=True)]
    table = torch.tensor(pairs, dtype=torch.int64, pin_memory=device.type == "cuda")
    return table.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def _slices(sizes: tuple[int, ...], device: torch.device) -> tuple[Tensor, int]:
    """For each program tensor, first and last element, and place: int64, (programs, 4); places a tensor."""
    lengths = [max(SLICE, -(-size // MOST)) for size in sizes]
    counts = [-(-size // length) for size, length in zip(sizes, lengths, strict=True)]
    most = max(1, *counts)
    rows = [
        [tensor, i * length, min((i + 1) * length, size), tensor * most + i]
        for tensor, (size, length, count) in enumerate(zip(sizes, lengths, counts, strict=True))
        for i in range(count)
    ]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 4).to(device), most
