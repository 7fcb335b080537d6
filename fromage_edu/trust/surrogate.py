"""Descent under the surrogate of deep relative trust: every layer by itself, and the limit of many layers."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from fromage_edu.trust.distances import frobenius_norm, layer_numbers, surrogate_trust
from fromage_edu.trust.precision import as_float, working_dtype

__all__ = ["hard_constraint_step", "surrogate_objective", "surrogate_sizes", "surrogate_step"]


def surrogate_objective(sizes: Tensor | Sequence[float], slopes: Tensor | Sequence[float]) -> Tensor:
    """What descent under the surrogate minimizes, times η: −Σ t_l·r_l + ½D' = Σ (−t_l·r_l + r_l^{2L}/(2L)).

    It is the loss of the linear model plus D'/(2η) for a step of relative size r_l against the gradient in
    each layer. Each layer has a term of its own, and each term is convex.

    Args:
        sizes: relative sizes r_l ≥ 0 of the step, shape (..., L); a sequence of numbers is read as float64.
        slopes: t_l = η‖W_l‖‖g_l‖ ≥ 0, without unit, a shape that broadcasts with that of `sizes`.

    Returns:
        Shape (...), in units of η times the loss; the dtype of the arguments; differentiable.

    Raises:
        TypeError: for complex or boolean numbers.
        ValueError: for NaN, a negative number or one above 1e150, no layers, or shapes that do not fit.

    >>> surrogate_objective([0.5, 0.5], [0.1, 0.1])
    tensor(-0.0688, dtype=torch.float64)

    Source: Fromage paper, section 5 (F22).
    """
    sizes, slopes, dtype = sizes_and_slopes(sizes, slopes)
    return (surrogate_trust(sizes) / 2 - (slopes * sizes).sum(-1)).to(dtype)


def surrogate_sizes(slopes: Tensor | Sequence[float]) -> Tensor:
    """Relative sizes of the step that minimizes the surrogate problem: r_l = t_l^{1/(2L−1)}.

    With more layers every size tends to 1, whatever its slope: the surrogate alone does not say how far to
    step in a deep network. That is why the paper renames the power of η, and `hard_constraint_step` takes it
    for the size itself.

    Args:
        slopes: t_l = η‖W_l‖‖g_l‖ ≥ 0, without unit, shape (..., L); a sequence of numbers is read as float64.

    Returns:
        The shape and dtype of `slopes` (float32 for integers), without unit; differentiable where t_l > 0.

    Raises:
        TypeError: for complex or boolean slopes.
        ValueError: for NaN, a negative slope, or no layers.

    >>> surrogate_sizes([0.1, 0.001])
    tensor([0.4642, 0.1000], dtype=torch.float64)
    >>> surrogate_sizes([0.1] * 30).max()
    tensor(0.9617, dtype=torch.float64)

    Source: Fromage paper, section 5 (F22).
    """
    slopes, dtype = layer_numbers(slopes, "slopes")
    return slopes.pow(1 / (2 * slopes.shape[-1] - 1)).to(dtype)


def surrogate_step(weight: Tensor, grad: Tensor, eta: float | Tensor, depth: int) -> Tensor:
    """The surrogate's step for one layer: ΔW = −η^{1/(2L−1)}·‖W‖/‖g‖·(‖W‖‖g‖)^{1/(2L−1)}·g.

    That is a step of relative size t^{1/(2L−1)} against the gradient, with t = η‖W‖‖g‖. One layer (L = 1)
    steps by −η‖W‖²g, many by almost its own length.

    Args:
        weight: W, real, any shape.
        grad: g, the same shape.
        eta: η ≥ 0, in units of one over the loss.
        depth: L ≥ 1, the number of layers of the network.

    Returns:
        ΔW, the shape and dtype of `weight`, in its units; differentiable where W and g are not 0. Where W or
        g is 0 there is no step.

    Raises:
        TypeError: for tensors that are not real and dense, or an eta or a depth that is no number.
        ValueError: for shapes that differ, NaN or infinity, an eta or a depth out of its range.

    >>> surrogate_step(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), eta=0.1, depth=1)
    tensor([-0., -5.])

    Source: Fromage paper, section 5 (F22).
    """
    check_depth(depth)
    weight_norm, direction, eta = _parts(weight, grad, eta)
    size = 1.0
    # Each to its power before they are multiplied: the product could vanish or overflow.
    for factor in (eta, weight_norm, frobenius_norm(grad)):
        # Not 0 to a power: its derivative there is infinite, and times 0 not a number.
        power = torch.where(factor == 0, 1.0, factor).pow(1 / (2 * depth - 1))
        size = size * torch.where(factor == 0, 0.0, power)
    return (-size * weight_norm * direction).to(weight.dtype)


def hard_constraint_step(weight: Tensor, grad: Tensor, eta: float | Tensor) -> Tensor:
    """Equation (4): ΔW = −η·‖W‖/‖g‖·g, the steepest step in the ball ‖ΔW‖ ≤ η‖W‖.

    The paper lets L → ∞ in the surrogate's step and writes η for η^{1/(2L−1)}. Without renaming: the penalty
    (r/η)^{2L} becomes the constraint r ≤ η as L → ∞, and the linear model falls fastest on its border.

    `optim.fromage_update` with `norm_correction=False` is W + ΔW, but for W = 0: it takes a raw step −η·g
    there, so that the tensor can move at all; the ball allows none.

    Args:
        weight: W, real, any shape.
        grad: g, the same shape.
        eta: η ≥ 0, without unit: the relative size of the step.

    Returns:
        ΔW, the shape and dtype of `weight`, in its units; differentiable. Where W or g is 0 there is no step.

    Raises:
        TypeError: for tensors that are not real and dense, or an eta that is no number.
        ValueError: for shapes that differ, NaN or infinity, or an eta out of its range.

    >>> hard_constraint_step(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), eta=0.1)
    tensor([-0.0000, -0.5000])

    Source: Fromage paper, equation (4) (F23).
    """
    weight_norm, direction, eta = _parts(weight, grad, eta)
    return (-eta * weight_norm * direction).to(weight.dtype)


def _parts(weight, grad, eta) -> tuple[Tensor, Tensor, Tensor]:
    """‖W‖, g/‖g‖ (0 for g = 0) and η, in float64."""
    eta = check_layer(weight, grad, eta)
    weight_norm, grad_norm = frobenius_norm(weight), frobenius_norm(grad)
    direction = grad.to(grad_norm.dtype) / torch.where(grad_norm == 0, 1.0, grad_norm)
    return weight_norm, direction, eta


# --- What arguments must be -------------------------------------------------------------------------------


def sizes_and_slopes(sizes, slopes) -> tuple[Tensor, Tensor, torch.dtype]:
    """Both in float64, checked to broadcast layer by layer, and the dtype of the answer."""
    sizes, dtype = layer_numbers(sizes)
    slopes, other = layer_numbers(slopes, "slopes")
    if sizes.shape[-1] != slopes.shape[-1]:
        raise ValueError(
            f"there are {sizes.shape[-1]} sizes and {slopes.shape[-1]} slopes: give one of each per layer"
        )
    try:
        torch.broadcast_shapes(sizes.shape, slopes.shape)
    except RuntimeError as error:
        raise ValueError(
            f"sizes have shape {tuple(sizes.shape)} and slopes {tuple(slopes.shape)}: "
            "give shapes that agree, or 1 where one is for all"
        ) from error
    for name, values in (("sizes", sizes), ("slopes", slopes)):
        # Their products stay in float64: of two infinities there would be no difference. Sizes that come from
        # the largest slope may exceed it by rounding.
        if (values > 1e150 * (1 + 1e-9)).any():
            raise ValueError(f"{name} hold {values.max().item():g}: give numbers up to 1e150")
    return sizes, slopes, torch.promote_types(dtype, other)


def check_layer(weight, grad, eta, name: str = "eta") -> Tensor:
    """η in float64; raise unless W and g are real, finite, of one shape, and η is a finite number ≥ 0."""
    check_real("weight", weight)
    check_real("grad", grad)
    if weight.shape != grad.shape:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and grad {tuple(grad.shape)}: they must agree"
        )
    value = eta.item() if isinstance(eta, Tensor) and eta.numel() == 1 else eta
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {eta!r}: give a number")
    value = as_float(value)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}: it must be finite and >= 0")
    eta = eta if isinstance(eta, Tensor) else torch.tensor(value, dtype=torch.float64)
    return eta.reshape(()).to(device=grad.device, dtype=working_dtype(grad.device))


def check_real(name: str, tensor) -> None:
    """Raise unless this is a dense tensor of finite real numbers."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}: give a tensor")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} is {tensor.layout}: convert it with .to_dense()")
    # Formats of 8 bits and less hold no arithmetic of their own.
    if not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
        raise TypeError(f"{name} is {tensor.dtype}: give real numbers, such as its .float()")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: give finite numbers")


def check_depth(depth) -> None:
    """Raise unless this is a whole number of layers, 1 or more."""
    if isinstance(depth, bool) or not isinstance(depth, Integral):
        raise TypeError(f"depth is {depth!r}: give the number of layers")
    if depth < 1:
        raise ValueError(f"depth is {depth}: a network has at least one layer")
