"""Singular values: how much a matrix stretches most and least, and how far a change moves that."""

import torch
from torch import Tensor

from fromage_edu.networks import Perceptron, check_matrix, weight_matrices
from fromage_edu.trust.precision import result_dtype, working_dtype

__all__ = [
    "condition_number",
    "operator_norm",
    "relative_operator_sizes",
    "singular_values",
    "spectral_shift",
]


def singular_values(matrix: Tensor) -> Tensor:
    """The min(m, n) singular values σ_1 ≥ σ_2 ≥ … ≥ 0 of a matrix: how far it stretches its main directions.

    Args:
        matrix: real, shape (..., m, n), at least 1 x 1; computed in float64.

    Returns:
        Shape (..., min(m, n)), in descending order, in units of the entries; the dtype of `matrix`, at least
        float32; differentiable.

    Raises:
        TypeError: for anything but a real tensor.
        ValueError: for fewer than two dimensions, an empty matrix, NaN or infinity.

    >>> singular_values(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    return _singular_values(matrix).to(result_dtype(matrix))


def operator_norm(matrix: Tensor) -> Tensor:
    """Operator norm ‖M‖₂ = max ‖Mx‖/‖x‖ = σ_1: the largest factor by which a matrix stretches a vector.

    Args:
        matrix: real, shape (..., m, n), at least 1 x 1; computed in float64.

    Returns:
        Shape (...), in units of the entries; the dtype of `matrix`, at least float32; differentiable.

    Raises:
        TypeError: as `singular_values` does.
        ValueError: as `singular_values` does.

    >>> operator_norm(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(4.)
    """
    return _singular_values(matrix)[..., 0].to(result_dtype(matrix))


def condition_number(matrix: Tensor) -> Tensor:
    """Condition number κ = σ_1/σ_n̄ over the n̄ = min(m, n) singular values; infinite if the rank is below n̄.

    For a tall or square matrix κ compares the most and the least stretched directions. For a wide one (m < n)
    it does not: some directions are mapped to 0, and κ, which looks at the row space only, stays finite.
    The rank is numerical: σ_n̄ ≤ max(m, n)·ε·σ_1 counts as 0, with ε = 2e-16 of float64.

    Args:
        matrix: real, shape (..., m, n), at least 1 x 1; computed in float64.

    Returns:
        Shape (...), ≥ 1 or infinite, without unit; the dtype of `matrix`, at least float32; differentiable.

    Raises:
        TypeError: as `singular_values` does.
        ValueError: as `singular_values` does.

    >>> condition_number(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(1.3333)
    >>> condition_number(torch.tensor([[1.0, 0.0]])), condition_number(torch.ones(2, 2))
    (tensor(1.), tensor(inf))

    Source: Fromage paper, section 3 and Lemma 1 (F14).
    """
    values = _singular_values(matrix)
    largest, smallest = values[..., 0], values[..., -1]
    full = smallest > max(matrix.shape[-2:]) * torch.finfo(values.dtype).eps * largest
    return torch.where(full, largest / torch.where(full, smallest, 1.0), torch.inf).to(result_dtype(matrix))


def relative_operator_sizes(before: Perceptron | list[Tensor], after: Perceptron | list[Tensor]) -> Tensor:
    """Relative size of each layer's change in the operator norm, ρ_l = ‖W_l' − W_l‖₂ / ‖W_l‖₂.

    Args:
        before: the network W: a `Perceptron`, or its matrices W_1, …, W_L, each (..., n_l, n_{l−1}).
        after: the network W', of the same shapes.

    Returns:
        Shape (..., L), without unit; the dtype of the layers, at least float32; differentiable. A zero matrix
        that did not change counts 0, one that changed counts infinity.

    Raises:
        TypeError: for anything but a network.
        ValueError: for matrices that do not match or do not chain, NaN or infinity.

    >>> relative_operator_sizes([torch.eye(2)], [torch.diag(torch.tensor([1.5, 1.2]))])
    tensor([0.5000])

    Source: Fromage paper, Theorem 1 without condition numbers (X1).
    """
    old, new = weight_matrices(before, "before"), weight_matrices(after, "after")
    check_same_shapes(old, new)
    sizes = []
    for one, two in zip(old, new, strict=True):
        wide = working_dtype(one.device)
        norm, change = operator_norm(one.to(wide)), operator_norm(two.to(wide) - one.to(wide))
        changed = torch.where(norm == 0, torch.where(change == 0, 0.0, torch.inf), change)
        sizes.append(changed / torch.where(norm == 0, 1.0, norm))
    return torch.stack(torch.broadcast_tensors(*sizes), -1).to(result_dtype(*old, *new))


def spectral_shift(before: Tensor, after: Tensor) -> Tensor:
    """How far a change moves the singular values, relative to their size: √(Σ(σ̃_i − σ_i)²/Σσ_i²).

    Both spectra are in decreasing order. By Mirsky's theorem this is at most ‖W̃ − W‖/‖W‖ in Frobenius norms,
    the relative size of the change. Large singular values carry most of the sum: a small one may vanish, and
    the condition number explode, within it.

    Args:
        before: W, real, shape (..., m, n), at least 1 x 1; computed in float64.
        after: W̃, of the same shape.

    Returns:
        Shape (...), without unit; the dtype of the matrices, at least float32; differentiable where W̃ has
        another spectrum. A zero matrix that did not change counts 0, one that changed counts infinity.

    Raises:
        TypeError: as `singular_values` does.
        ValueError: as `singular_values` does, or for shapes that differ.

    >>> spectral_shift(torch.diag(torch.tensor([3.0, 4.0])), torch.diag(torch.tensor([4.0, 4.5])))
    tensor(0.2236)

    Source: Fromage paper, Theorem 3 (F27).
    """
    old, new = (_singular_values(matrix) for matrix in check_pair(before, after, "before", "after"))
    # The largest value is a constant that cancels: squares neither overflow nor vanish.
    peak = torch.where(old[..., :1] == 0, 1.0, old[..., :1]).detach()
    size, change = (old / peak).norm(dim=-1), ((new - old) / peak).norm(dim=-1)
    shift = change / torch.where(size == 0, 1.0, size)
    return torch.where((size == 0) & (change != 0), torch.inf, shift).to(result_dtype(before, after))


def check_pair(one: Tensor, two: Tensor, *names: str) -> tuple[Tensor, Tensor]:
    """The two matrices in float64; raise unless they are real, finite, non-empty and of one shape."""
    for name, matrix in zip(names, (one, two), strict=True):
        check_matrix(matrix, f"`{name}`")
    if one.shape[-2:] != two.shape[-2:]:
        raise ValueError(
            f"`{names[0]}` is {one.shape[-2]} x {one.shape[-1]} and `{names[1]}` {two.shape[-2]} x "
            f"{two.shape[-1]}: compare matrices of one shape"
        )
    try:
        torch.broadcast_shapes(one.shape[:-2], two.shape[:-2])
    except RuntimeError as error:
        raise ValueError(
            f"`{names[0]}` holds {tuple(one.shape[:-2])} matrices and `{names[1]}` {tuple(two.shape[:-2])}: "
            "compare as many with as many, or one with all"
        ) from error
    return one.to(working_dtype(one.device)), two.to(working_dtype(two.device))


def check_same_shapes(old: list[Tensor], new: list[Tensor]) -> None:
    """Raise ValueError unless two lists of matrices have one length and, layer by layer, one shape."""
    if len(old) != len(new):
        raise ValueError(
            f"`before` has {len(old)} layers and `after` has {len(new)}: compare networks of one shape"
        )
    for layer, (one, two) in enumerate(zip(old, new, strict=True), start=1):
        if one.shape[-2:] != two.shape[-2:]:
            raise ValueError(
                f"layer {layer} is {one.shape[-2]} x {one.shape[-1]} before and {two.shape[-2]} x "
                f"{two.shape[-1]} after: compare networks of one shape"
            )


def _singular_values(matrix) -> Tensor:
    check_matrix(matrix, "matrix")
    return torch.linalg.svdvals(matrix.to(working_dtype(matrix.device)))
