"""Lemmas about matrices: what a matrix does to a length, and how far a product of matrices moves."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fromage_edu.bounds.core import (
    Bound,
    HypothesisError,
    LogBound,
    from_logs,
    log1p_exp,
    log_expm1,
    log_norm,
    log_square_ratio,
)
from fromage_edu.networks import check_matrix, weight_matrices
from fromage_edu.spectra import check_pair, check_same_shapes, condition_number, singular_values
from fromage_edu.trust.precision import result_dtype, working_dtype

__all__ = [
    "MatvecBounds",
    "is_valley",
    "matmat_bounds",
    "matvec_bounds",
    "mirsky_bound",
    "product_bound",
    "sum_bound",
]


class MatvecBounds(NamedTuple):
    """A squared length between two bounds: low ≤ value ≤ high, three tensors of one shape.

    >>> MatvecBounds(*torch.tensor([1.0, 2.0, 3.0])).holds
    tensor(True)
    """

    low: Tensor
    value: Tensor
    high: Tensor

    @property
    def holds(self) -> Tensor:
        """Whether low ≤ value ≤ high, up to the rounding that `Bound.holds` forgives.

        >>> MatvecBounds(*torch.tensor([1.0, 0.0, 3.0])).holds
        tensor(False)
        """
        return Bound(self.low, self.value).holds & Bound(self.value, self.high).holds


def matvec_bounds(matrix: Tensor, x: Tensor, *, as_printed: bool = False) -> MatvecBounds:
    """Lemma 1: ‖M‖²‖x‖²/(n̄κ²) ≤ ‖Mx‖² ≤ ‖M‖²‖x‖², with Frobenius ‖M‖, n̄ = min(m, n), κ the condition number.

    The upper bound holds for every M. The lower one needs m ≥ n, or an x in the row space of M: a wide matrix
    maps other directions to 0. For a matrix of lower rank κ = ∞ and the lower bound is 0.

    Args:
        matrix: M, shape (..., m, n).
        x: vectors, shape (..., n).
        as_printed: evaluate the lower bound for a wide M and any x, as the paper prints it.

    Returns:
        MatvecBounds(low, value, high), squared, each (...).

    Raises:
        HypothesisError: for a wide M and an x outside its row space.
        TypeError: for anything but real tensors.
        ValueError: for shapes that do not fit, NaN or infinity.

    >>> matvec_bounds(torch.diag(torch.tensor([3.0, 4.0])), torch.tensor([1.0, 0.0]))
    MatvecBounds(low=tensor(7.0312), value=tensor(9.), high=tensor(25.))
    >>> matvec_bounds(torch.tensor([[1.0, 0.0]]), torch.tensor([0.0, 1.0]), as_printed=True)
    MatvecBounds(low=tensor(1.), value=tensor(0.), high=tensor(1.))

    Source: Fromage paper, Lemma 1 (F34).
    """
    if not isinstance(x, Tensor) or not x.ndim:
        raise TypeError("x is no vector: give a tensor of shape (..., n)")
    columns = x.unsqueeze(-1)
    return _stretch(matrix, columns, "Lemma 1", "x", as_printed)


def matmat_bounds(left: Tensor, matrix: Tensor, *, as_printed: bool = False) -> MatvecBounds:
    """Lemma 4: ‖M‖²‖X‖²/(n̄κ²) ≤ ‖MX‖² ≤ ‖M‖²‖X‖² in Frobenius norms: Lemma 1 summed over the columns of X.

    Args:
        left: M, shape (..., m, n).
        matrix: X, shape (..., n, p).
        as_printed: evaluate the lower bound for a wide M and any X, as the paper prints it.

    Returns:
        MatvecBounds(low, value, high), squared, each (...).

    Raises:
        HypothesisError: for a wide M and an X with columns outside its row space.
        TypeError: for anything but real tensors.
        ValueError: for shapes that do not fit, NaN or infinity.

    >>> matmat_bounds(torch.diag(torch.tensor([3.0, 4.0])), torch.eye(2))
    MatvecBounds(low=tensor(14.0625), value=tensor(25.), high=tensor(50.))

    Source: Fromage paper, Lemma 4 (F37).
    """
    return _stretch(left, matrix, "Lemma 4", "X", as_printed)


def _stretch(left, right, lemma, argument, as_printed) -> MatvecBounds:
    check_matrix(left, "M")
    check_matrix(right, argument)
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"M is {left.shape[-2]} x {left.shape[-1]} and {argument} has {right.shape[-2]} rows: "
            "M needs one column for each"
        )
    dtype = result_dtype(left, right)
    left, right = (each.to(working_dtype(each.device)) for each in (left, right))
    product = left @ right
    rows, columns = left.shape[-2:]
    kappa = condition_number(left)
    if rows < columns and not as_printed:
        # M⁺M projects on the row space; for a lower rank κ = ∞ and the bound 0 holds everywhere.
        outside = log_norm(right - torch.linalg.pinv(left) @ product, 2) - log_norm(right, 2)
        rounding = 1e-9 if dtype == torch.float64 else 1e-4
        if ((outside > math.log(rounding)) & kappa.isfinite()).any():
            raise HypothesisError(
                f"the matrix is wide ({rows} x {columns}): {lemma}'s lower bound needs rows >= columns, or "
                f"{argument} in the row space of M; as_printed=True evaluates it anyway"
            )
    high = 2 * (log_norm(left, 2) + log_norm(right, 2))
    low = high - math.log(min(rows, columns)) - 2 * kappa.log()
    parts = torch.broadcast_tensors(low, 2 * log_norm(product, 2), high)
    return MatvecBounds(*(part.exp().to(dtype) for part in parts))


def sum_bound(matrices: Tensor | Sequence[Tensor]) -> Bound:
    """Lemma 3: ‖A_1 + … + A_k‖² ≤ k·(‖A_1‖² + … + ‖A_k‖²) in Frobenius norms; equal for equal matrices.

    Args:
        matrices: A_1, …, A_k of one shape (..., m, n): a sequence, or a tensor (k, ..., m, n).

    Returns:
        Bound, squared, each side (...).

    Raises:
        TypeError: for anything but real tensors.
        ValueError: for no matrices, different shapes, NaN or infinity.

    >>> sum_bound([torch.eye(2), torch.eye(2), -torch.eye(2)])
    Bound(measured=tensor(2.), bound=tensor(18.))

    Source: Fromage paper, Lemma 3 (F36).
    """
    if not isinstance(matrices, Iterable):
        raise TypeError(f"matrices is a {type(matrices).__name__}: give a sequence of tensors")
    matrices = list(matrices)
    if not matrices:
        raise ValueError("there are no matrices to add: give at least one")
    for index, matrix in enumerate(matrices, start=1):
        check_matrix(matrix, f"matrix {index}")
        if matrix.shape != matrices[0].shape:
            raise ValueError(
                f"matrix {index} has shape {tuple(matrix.shape)} and matrix 1 {tuple(matrices[0].shape)}: "
                "add matrices of one shape"
            )
    stack = torch.stack([matrix.to(working_dtype(matrix.device)) for matrix in matrices])
    total = torch.logsumexp(2 * log_norm(stack, 2), 0) + math.log(len(stack))
    return from_logs(2 * log_norm(stack.sum(0), 2), total, result_dtype(*matrices), log10=False)


def mirsky_bound(matrix: Tensor, perturbed: Tensor) -> Bound:
    """Theorem 3, Mirsky: √(Σ(σ̃_i − σ_i)²) ≤ ‖W̃ − W‖ in the Frobenius norm, both spectra in decreasing order.

    Equal where the change only stretches W along its own singular directions and keeps their order. There a
    change below 1e-6 of W can exceed the bound by rounding: singular values carry an error of 1e-15 of the
    largest. Divided by ‖W‖, the left side is `fromage_edu.spectra.spectral_shift`.

    Args:
        matrix: W, shape (..., m, n).
        perturbed: W̃, of the same shape.

    Returns:
        Bound, not squared, in units of the entries, each side (...).

    Raises:
        TypeError: for anything but real tensors.
        ValueError: for shapes that differ, NaN or infinity.

    >>> mirsky_bound(torch.eye(2), torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    Bound(measured=tensor(0.7265), bound=tensor(1.))

    Source: Fromage paper, Theorem 3 (F27).
    """
    old, new = check_pair(matrix, perturbed, "matrix", "perturbed")
    shift = log_norm(singular_values(new) - singular_values(old))
    return from_logs(shift, log_norm(new - old, 2), result_dtype(matrix, perturbed), log10=False)


def is_valley(widths: Sequence[int]) -> bool:
    """Whether widths first never grow, then never shrink: the shape that Lemma 5 and Theorem 2 need.

    Args:
        widths: n_0, …, n_L.

    Returns:
        True for a valley, whose sides may be missing (5-3-1, 1-3-5, 4-4); False for a hill such as 1-2-1.

    >>> is_valley([5, 3, 2, 4]), is_valley([1, 2, 1])
    (True, False)

    Source: Fromage paper, Lemma 5 and Theorem 2, where they hold (X7).
    """
    return first_fall_after_rise(widths) is None


def first_fall_after_rise(widths: Sequence[int]) -> tuple[int, int] | None:
    """Layers l < m such that widths rise in layer l and fall in layer m; None for a valley."""
    rise = None
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False), start=1):
        if outputs > inputs:
            rise = layer
        elif outputs < inputs and rise is not None:
            return rise, layer
    return None


def product_bound(
    matrices: Sequence[Tensor], perturbed: Sequence[Tensor], *, as_printed: bool = False, log10: bool = False
) -> Bound | LogBound:
    """Lemma 5: ‖∏W̃_l − ∏W_l‖²/‖∏W_l‖² ≤ (2^L − 1)·∏_{l≠j} n̄_l κ_l²·D, for a pivot j, in Frobenius norms.

    D = ∏(1 + ‖ΔW_l‖²/‖W_l‖²) − 1. Layers above the pivot must be tall or square with full column rank, layers
    below it wide or square with full row rank; the pivot itself may be anything but 0. So the widths form a
    valley, and the best of all possible pivots is taken. The paper prints 2^L ∏ n̄_l κ_l² over all layers for
    every shape; for hill-shaped widths that can fail.

    Args:
        matrices: W_1, …, W_L, each (..., n_l, n_{l−1}); their product is W_L ⋯ W_1.
        perturbed: W̃_1, …, W̃_L, of the same shapes.
        as_printed: evaluate the printed constant, whatever the shapes and ranks.
        log10: return both sides in decades.

    Returns:
        Bound or LogBound, squared and relative, each side (...).

    Raises:
        HypothesisError: for widths that form a hill, too low ranks, or a zero matrix or product.
        TypeError: for anything but real tensors.
        ValueError: for matrices that do not match or do not chain, NaN or infinity.

    >>> twice = torch.full((1, 1), 2.0)
    >>> product_bound([torch.eye(1)] * 3, [twice] * 3)
    Bound(measured=tensor(49.), bound=tensor(49.))

    Source: Fromage paper, Lemma 5 (F38).
    """
    old = weight_matrices(matrices, "matrices")
    new = weight_matrices(perturbed, "perturbed")
    check_same_shapes(old, new)
    dtype = result_dtype(*old, *new)
    old, new = ([each.to(working_dtype(each.device)) for each in group] for group in (old, new))
    changes = [two - one for one, two in zip(old, new, strict=True)]
    norms = [log_norm(one, 2) for one in old]
    for layer, norm in enumerate(norms, start=1):
        if (norm == -torch.inf).any():
            raise HypothesisError(f"layer {layer} is 0: a relative change needs non-zero matrices")
    product, change = old[0], changes[0]
    for one, delta in zip(old[1:], changes[1:], strict=True):
        # Only their ratio counts: the product of many layers may leave float64.
        peak = product.detach().abs().amax((-2, -1), keepdim=True)
        peak = torch.where((peak > 0) & peak.isfinite(), peak, 1.0)
        product, change = product / peak, change / peak
        change = one @ change + delta @ (product + change)
        product = one @ product
    if not (product.isfinite().all() and change.isfinite().all()):
        raise ValueError("the product of the matrices leaves float64: choose smaller matrices or changes")
    size = log_norm(product, 2)
    if (size == -torch.inf).any():
        raise HypothesisError("the product of the matrices is 0: its relative change is not defined")
    total = sum(log1p_exp(2 * (log_norm(d, 2) - norm)) for d, norm in zip(changes, norms, strict=True))
    constant = _printed_constant(old) if as_printed else _pivot_constant(old)
    return from_logs(
        log_square_ratio(log_norm(change, 2), size), constant + log_expm1(total), dtype, log10=log10
    )


def _layer_constants(matrices) -> list[Tensor]:
    """log(n̄_l κ_l²) of each layer."""
    return [math.log(min(each.shape[-2:])) + 2 * condition_number(each).log() for each in matrices]


def _printed_constant(matrices) -> Tensor:
    return sum(_layer_constants(matrices)) + len(matrices) * math.log(2)


def _pivot_constant(matrices) -> Tensor:
    """Log of the least (2^L − 1)·∏_{l≠j} n̄_l κ_l² over the pivots j that the shapes allow."""
    depth, costs = len(matrices), _layer_constants(matrices)
    rows, columns = [each.shape[-2] for each in matrices], [each.shape[-1] for each in matrices]
    totals = [
        sum(costs[:pivot] + costs[pivot + 1 :], torch.zeros_like(costs[0]))
        for pivot in range(depth)
        if all(m <= n for m, n in zip(rows[:pivot], columns[:pivot], strict=True))
        and all(m >= n for m, n in zip(rows[pivot + 1 :], columns[pivot + 1 :], strict=True))
    ]
    if not totals:
        rise, fall = first_fall_after_rise([columns[0], *rows])
        raise HypothesisError(
            f"layer {rise} is tall ({rows[rise - 1]} x {columns[rise - 1]}) and layer {fall} above it wide "
            f"({rows[fall - 1]} x {columns[fall - 1]}): Lemma 5 needs widths that fall, then rise; "
            "as_printed=True evaluates the printed formula"
        )
    best = torch.stack(torch.broadcast_tensors(*totals)).amin(0)
    if best.isinf().any():
        low = [str(layer) for layer, cost in enumerate(costs, start=1) if cost.isinf().any()]
        raise HypothesisError(
            f"layers without full rank: {', '.join(low)}: Lemma 5 needs full rank in all but one pivot; "
            "as_printed=True evaluates the printed formula"
        )
    return best + depth * math.log(2) + math.log1p(-(2.0**-depth))
