"""The steepest step of a given relative size depends on the norm in which size is measured.

Among all changes of at most that size, the linear model ⟨g, ΔW⟩ is least at one: in the Frobenius norm along
g, which is equation (4); in the operator norm along the polar factor of g; entry by entry along its signs.
"""

import torch
from torch import Tensor

from fromage_edu.trust import hard_constraint_step
from fromage_edu.trust.precision import working_dtype
from fromage_edu.trust.surrogate import check_layer, check_real

__all__ = ["polar_factor", "steepest_step"]


def polar_factor(matrix: Tensor) -> Tensor:
    """UVᵀ of a matrix M = UΣVᵀ: the same directions, each stretched by 1.

    For full rank it is the nearest matrix with orthonormal rows or columns. For a lower rank the directions
    of singular value 0, numerically σ_i ≤ max(m, n)·ε·σ_1 with ε = 2e-16, are left out: UVᵀ is the one of
    least norm, and 0 for M = 0.

    Args:
        matrix: real, shape (..., m, n), at least 1 x 1; computed in float64.

    Returns:
        The shape and dtype of `matrix`, without unit: scaling M changes nothing. No gradients.

    Raises:
        TypeError: for anything but a real dense tensor.
        ValueError: for fewer than two dimensions, an empty matrix, NaN or infinity.

    >>> polar_factor(torch.tensor([[0.0, -2.0], [0.01, 0.0]]))
    tensor([[ 0., -1.],
            [ 1.,  0.]])

    Source: Fromage paper, section 5 in the operator norm (X8).
    """
    check_real("matrix", matrix)
    _check_matrix("matrix", matrix)
    wide = matrix.detach().to(working_dtype(matrix.device))
    u, values, vt = torch.linalg.svd(wide, full_matrices=False)
    rounding = max(matrix.shape[-2:]) * torch.finfo(wide.dtype).eps
    kept = values > rounding * values[..., :1]
    return ((u * kept.unsqueeze(-2)) @ vt).to(matrix.dtype)


def steepest_step(weight: Tensor, grad: Tensor, lr: float | Tensor, *, norm: str = "frobenius") -> Tensor:
    """The change ΔW of relative size η that decreases the linear model ⟨g, ΔW⟩ most, in a norm of choice.

    - ``"frobenius"``: −η‖W‖·g/‖g‖, equation (4), for ‖ΔW‖ ≤ η‖W‖.
    - ``"operator"``: −η‖W‖₂·UVᵀ with the polar factor of g, for ‖ΔW‖₂ ≤ η‖W‖₂: the direction of Muon.
    - ``"max"``: −η·max|W|·sign(g), for max|ΔW| ≤ η·max|W|: sign descent, relative.
    - ``"rows"``: −η‖w_i‖·g_i/‖g_i‖ in each row, for ‖Δw_i‖ ≤ η‖w_i‖: each neuron its own layer.

    Parts of g that are 0 get no step, though in the operator and the max norm one would cost nothing: a
    row or an entry of 0, a direction of singular value 0.

    Args:
        weight: W, real; any shape for "frobenius" and "max", (m, n) for "operator", (m, ...) for "rows".
        grad: g, the same shape.
        lr: η ≥ 0, without unit: the size of the step relative to W, in the norm.
        norm: "frobenius", "operator", "max" or "rows".

    Returns:
        ΔW, the shape and dtype of `weight`, in its units. Where W (or a row of it, for "rows") or g is 0
        there is no step. Differentiable, save for "operator": no gradients there.

    Raises:
        TypeError: for tensors that are not real and dense, or an lr that is no number.
        ValueError: for shapes that differ or do not fit the norm, NaN or infinity, an lr out of its range, or
            another norm.

    >>> weight, grad = torch.diag(torch.tensor([4.0, 3.0])), torch.diag(torch.tensor([0.3, 0.4]))
    >>> for norm in ("frobenius", "operator", "max", "rows"):
    ...     print(norm, steepest_step(weight, grad, 0.1, norm=norm).diagonal())
    frobenius tensor([-0.3000, -0.4000])
    operator tensor([-0.4000, -0.4000])
    max tensor([-0.4000, -0.4000])
    rows tensor([-0.4000, -0.3000])

    Source: Fromage paper, section 5 in other norms (X8).
    """
    if not isinstance(norm, str) or norm not in _STEPS:
        raise ValueError(f"norm is {norm!r}: choose one of {', '.join(_STEPS)}")
    lr = check_layer(weight, grad, lr, name="lr")
    return _STEPS[norm](weight, grad, lr)


def _operator(weight, grad, lr) -> Tensor:
    for name, tensor in (("weight", weight), ("grad", grad)):
        _check_matrix(name, tensor)
        if tensor.ndim > 2:
            raise ValueError(f"{name} has {tensor.ndim} dimensions: give a matrix, such as its .flatten(1)")
    wide = working_dtype(weight.device)
    largest = torch.linalg.svdvals(weight.detach().to(wide))[0]
    # Without the polar factor's share, a gradient by the others would be half the truth.
    return (-lr.detach() * largest * polar_factor(grad.to(wide))).to(weight.dtype)


def _max(weight, grad, lr) -> Tensor:
    if not weight.numel():
        return weight.clone()
    wide = working_dtype(weight.device)
    return (-lr * weight.to(wide).abs().amax() * grad.to(wide).sign()).to(weight.dtype)


def _rows(weight, grad, lr) -> Tensor:
    if not weight.ndim:
        raise ValueError("weight has no rows: give a tensor of shape (m, ...)")
    rows = [hard_constraint_step(w, g, lr) for w, g in zip(weight, grad, strict=True)]
    return torch.stack(rows) if rows else weight.clone()


_STEPS = {"frobenius": hard_constraint_step, "operator": _operator, "max": _max, "rows": _rows}


def _check_matrix(name, tensor) -> None:
    if tensor.ndim < 2 or not tensor.numel():
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: give a matrix (..., m, n), m, n >= 1")
