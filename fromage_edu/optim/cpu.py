"""The step on a CPU: what counts is how often memory is read and, for small tensors, how often torch called.

A large tensor is read twice and written once: W and g for their norms, then all of it in one pass. Small
ones of one shape are packed side by side into a workspace that stays in the cache, so that a few calls serve
them all.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from fromage_edu.optim.layout import in_memory_order

# Elements. Above SMALL a tensor's own calls matter less. The workspace holds twice as many, weights and
# gradients: a MB of float32, half of a processor's cache.
SMALL = 16384
WORKSPACE = 2**17
# To pack fewer tensors than this takes longer than to step them one by one.
FEW = 5
# Squares of numbers in this range stay well inside float32.
REGULAR = (1e-11, 1e17)
# A float32 sum of n terms in one accumulator is off by n·3e-8 at worst; torch has eight or more to a row.
LONGEST_ROW = 768


def update_(
    weights: list[Tensor],
    grads: list[Tensor],
    lr: float,
    norm_correction: bool,
    max_norms: list[float | None],
    pack: bool = True,
) -> list[int]:
    """Step in place where weight and gradient are ordinary; return the indices of those left untouched.

    `lr` below 0 climbs. Ordinary: float32 or float64 of one dtype and shape, dense in one common order, with
    norms whose squares neither overflow nor vanish.
    """
    if not 1e-99 < abs(lr) < 1e6:  # beyond, lr·‖W‖/‖g‖ could vanish or overflow
        return list(range(len(weights)))
    shrink = 1 / math.hypot(1, lr) if norm_correction else 1.0
    # 1 − shrink without the cancellation.
    decay = (lr * shrink) ** 2 / (1 + shrink) if norm_correction else 0.0
    packs: dict = {}
    for index, weight in enumerate(weights):
        packs.setdefault((weight.shape, weight.dtype), []).append(index)
    left = []
    for (shape, dtype), indices in packs.items():
        if dtype is not torch.float32 and dtype is not torch.float64:
            left += indices
            continue
        if pack and 0 < shape.numel() <= SMALL and len(indices) >= FEW:
            indices = _update_packs(indices, weights, grads, max_norms, lr * shrink, decay)
        for index in indices:
            if not _update_one(weights[index], grads[index], lr * shrink, decay, max_norms[index]):
                left.append(index)
    return left


def _update_one(weight, grad, step, decay, max_norm) -> bool:
    pair = in_memory_order(weight, grad) if weight.dtype == grad.dtype else None
    if pair is None:
        return False
    weight, grad = pair
    w_norm, g_norm = _norm(weight.view(-1)), _norm(grad.view(-1))
    if not (_regular(w_norm) and _regular(g_norm)):
        return False
    step = step * w_norm / g_norm
    _one_pass([weight], [grad], step, decay / step)
    if max_norm is not None:
        norm = _norm(weight.view(-1))
        if norm > max_norm:
            weight.mul_(max_norm / norm)
    return True


def _update_packs(indices, weights, grads, max_norms, step, decay) -> list[int]:
    """Step small tensors of one shape and dtype; return the indices of those that do not fit in."""
    fit = [i for i in indices if weights[i].is_contiguous() and max_norms[i] is None]
    left = [] if len(fit) == len(indices) else sorted(set(indices).difference(fit))
    if not fit:
        return left
    like = weights[indices[0]]
    at_once = min(len(fit), WORKSPACE // like.numel())
    workspace = like.new_empty((2 * at_once, *like.shape))
    views: dict = {}  # a view costs a microsecond: made once for the full chunks and once for the last
    for start in range(0, len(fit), at_once):
        chunk = fit[start : start + at_once]
        some, count = [weights[i] for i in chunk], len(chunk)
        packed = workspace[: 2 * count]
        torch.stack(some + [grads[i] for i in chunk], out=packed)
        rows = packed.view(2 * count, -1)
        norms = _norms(rows)
        if not (_regular(min(norms)) and _regular(max(norms))):
            left += chunk
            continue
        steps = [step * w / g for w, g in zip(norms[:count], norms[count:], strict=True)]
        rows[count:].mul_(torch.tensor(steps, dtype=like.dtype, device="cpu").unsqueeze(1))
        if count not in views:
            views[count] = packed[count:].unbind()
        _one_pass(some, views[count], 1.0, decay)
    return left


def _one_pass(weights, grads, lr, weight_decay):
    """W ← W − lr·(g + weight_decay·W): the one operation that reads W and g once and writes W once."""
    torch._fused_sgd_(
        weights,
        grads,
        [],
        weight_decay=weight_decay,
        momentum=0.0,
        lr=lr,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )
    torch.autograd.graph.increment_version(weights)  # autograd must notice; this operation does not tell it


def _regular(norm: float) -> bool:
    return REGULAR[0] < norm < REGULAR[1]


def _norm(flat: Tensor) -> float:
    """As `_norms`, for one tensor: Python adds few pieces sooner than torch can be called again."""
    length, norm = flat.numel(), torch.linalg.vector_norm
    if length <= LONGEST_ROW or flat.dtype is torch.float64:
        return norm(flat).item()
    piece = _piece(length)
    rest = length % piece
    parts = norm((flat[:-rest] if rest else flat).view(-1, piece), dim=1)
    last = norm(flat[-rest:]).item() if rest else 0.0
    if len(parts) <= 64:
        return math.hypot(last, *parts.tolist())
    return math.hypot(last, norm(parts, dtype=torch.float64).item())


def _norms(rows: Tensor) -> list[float]:
    """Norm of each row: pieces in the rows' dtype, combined in float64; one long float32 sum loses digits.

    Pieces of 768 keep the error below 1e-6 for any data; equal entries, whose roundings all point the same
    way, are the worst.
    """
    number, length = rows.shape
    norm = torch.linalg.vector_norm
    if length <= LONGEST_ROW or rows.dtype is torch.float64:
        return norm(rows, dim=1).tolist()
    piece = _piece(length)
    whole = length // piece * piece
    parts = norm(rows[:, :whole].view(number, -1, piece), dim=2)
    norms = norm(parts, dim=1, dtype=torch.float64).tolist()
    if whole < length:
        rests = norm(rows[:, whole:], dim=1).tolist()
        norms = [math.hypot(*pair) for pair in zip(norms, rests, strict=True)]
    return norms


@lru_cache(maxsize=1024)
def _piece(length: int) -> int:
    """The longest piece up to 768 that leaves no rest, if one of a useful length does."""
    divisors = (piece for piece in range(LONGEST_ROW, LONGEST_ROW // 4, -1) if length % piece == 0)
    return next(divisors, LONGEST_ROW)
