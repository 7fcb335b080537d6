"""What a relative step does to a layer, exactly: its length, how far it moves, and by which angle it turns.

Everything depends on two numbers: η, and the cosine c of the angle between W and g. With s = √(1 + η²) the
step W − η·‖W‖/‖g‖·g has the parts (1 − ηc)‖W‖ along W and η√(1 − c²)‖W‖ across it, and Algorithm 1 divides
both by s. The functions take numbers or tensors and compute in float64.
"""

from numbers import Real

import torch
from torch import Tensor

from fromage_edu.trust.precision import as_float, working_dtype

__all__ = ["norm_factor", "norm_growth", "relative_change", "turn"]


def norm_factor(lr: float | Tensor, cosine: float | Tensor, *, norm_correction: bool = True) -> Tensor:
    """By which factor a step changes the layer's norm: ‖W'‖/‖W‖ = √(1 − 2ηc/(1 + η²)).

    At c = 0 the norm is kept exactly, otherwise it changes by about ηc at every step. Without the correction,
    equation (4), the factor is √(1 − 2ηc + η²), by Pythagoras √(1 + η²) at c = 0.

    Args:
        lr: η ≥ 0, without unit; a number or a tensor.
        cosine: c of the angle between W and g, in [−1, 1]; a number or a tensor. Rounding up to 1e-6 beyond
            is cut off.
        norm_correction: whether W' is divided by √(1 + η²), as in Algorithm 1.

    Returns:
        The shape to which `lr` and `cosine` broadcast, float64, without unit.

    Raises:
        TypeError: for what is no real number.
        ValueError: for NaN, a negative or infinite lr, or a cosine outside [−1, 1].

    >>> norm_factor(0.75, 0.0), norm_factor(0.75, 0.0, norm_correction=False)
    (tensor(1., dtype=torch.float64), tensor(1.2500, dtype=torch.float64))
    >>> norm_factor(0.01, 1.0)
    tensor(0.9900, dtype=torch.float64)

    Source: Fromage paper, section 5 (F24).
    """
    lr, cosine, sine = _angle(lr, cosine)
    # A sum of squares: nothing cancels.
    return torch.hypot(1 - lr * cosine, lr * sine) / (_length(lr) if norm_correction else 1)


def relative_change(lr: float | Tensor, cosine: float | Tensor, *, norm_correction: bool = True) -> Tensor:
    """How far a step moves the layer: ‖W' − W‖/‖W‖ = √(2(1 − 1/s)(1 + ηc/s)), with s = √(1 + η²).

    That is η(1 + ηc/2 + …): η to first order, as equation (5) says, and never above η + η²/2. Without the
    correction, equation (4), it is η exactly.

    Args:
        lr: η ≥ 0, without unit; a number or a tensor.
        cosine: c of the angle between W and g, in [−1, 1]; a number or a tensor. Rounding up to 1e-6 beyond
            is cut off.
        norm_correction: whether W' is divided by √(1 + η²), as in Algorithm 1.

    Returns:
        The shape to which `lr` and `cosine` broadcast, float64, without unit.

    Raises:
        TypeError: for what is no real number.
        ValueError: for NaN, a negative or infinite lr, or a cosine outside [−1, 1].

    >>> relative_change(0.75, torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.4000, 0.6325, 0.8000], dtype=torch.float64)

    Source: Fromage paper, equation (5) (F26).
    """
    lr, cosine, sine = _angle(lr, cosine)
    if not norm_correction:
        return lr.clone()
    s = _length(lr)
    step = lr / s
    # W loses (1 − 1/s) = η²/(s(1 + s)) of its length, and the step ηc/s more.
    return torch.hypot(step * (lr / (1 + s) + cosine), step * sine)


def norm_growth(lr: float | Tensor, steps: float | Tensor) -> Tensor:
    """By which factor equation (4) lets the norm of a scale-invariant layer grow: (1 + η²)^{steps/2}.

    The gradient of such a layer is orthogonal to it at every step (Euler), so that each step adds a factor
    √(1 + η²). Algorithm 1 divides by just that.

    Args:
        lr: η ≥ 0, without unit; a number or a tensor.
        steps: how many steps, ≥ 0; a number or a tensor.

    Returns:
        The shape to which `lr` and `steps` broadcast, float64, without unit.

    Raises:
        TypeError: for what is no real number.
        ValueError: for NaN, or a negative or infinite number.

    >>> norm_growth(0.01, 100_000)
    tensor(148.3761, dtype=torch.float64)

    Source: Fromage paper, section 5 (F24).
    """
    lr, steps = torch.broadcast_tensors(_number("lr", lr), _number("steps", steps))
    # Where 1 does not count beside η², that square could overflow.
    each = torch.where(lr < 1e9, lr.clamp(max=1e9).square().log1p() / 2, lr.clamp(min=1e9).log())
    return (steps * each).exp()


def turn(lr: float | Tensor, cosine: float | Tensor) -> Tensor:
    """The angle between W and W', in radians: the one of slope η√(1 − c²)/(1 − ηc).

    At c = 0, where a scale-invariant layer always is, a step only turns W, by arctan η. The correction of
    Algorithm 1 changes lengths, so it makes no difference here.

    Args:
        lr: η ≥ 0, without unit; a number or a tensor.
        cosine: c of the angle between W and g, in [−1, 1]; a number or a tensor. Rounding up to 1e-6 beyond
            is cut off.

    Returns:
        The shape to which `lr` and `cosine` broadcast, float64, in [0, π]; 0 where W' = 0 (η = c = 1).

    Raises:
        TypeError: for what is no real number.
        ValueError: for NaN, a negative or infinite lr, or a cosine outside [−1, 1].

    >>> turn(0.75, 0.0), turn(2.0, 1.0)
    (tensor(0.6435, dtype=torch.float64), tensor(3.1416, dtype=torch.float64))

    Source: Fromage paper, Algorithm 1 on a scale-invariant layer (X6).
    """
    lr, cosine, sine = _angle(lr, cosine)
    return torch.atan2(lr * sine, 1 - lr * cosine)


def _angle(lr, cosine) -> tuple[Tensor, Tensor, Tensor]:
    """η, c and √(1 − c²) of one shape, in float64."""
    lr, cosine = torch.broadcast_tensors(_number("lr", lr), _number("cosine", cosine, low=-1, high=1))
    return lr, cosine, ((1 - cosine) * (1 + cosine)).sqrt()


def _length(lr) -> Tensor:
    return torch.hypot(lr, torch.ones_like(lr))


def _number(name, value, low=0.0, high=torch.inf) -> Tensor:
    if not isinstance(value, Tensor):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} is {value!r}: give a real number, or a tensor of them")
        value = torch.tensor(as_float(value), dtype=torch.float64)
    if value.layout != torch.strided:
        raise TypeError(f"{name} is {value.layout}: convert it with .to_dense()")
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} is {value.dtype}: give a real number, or a tensor of them")
    value = value.to(working_dtype(value.device))
    rounding = 1e-6 if high < torch.inf else 0.0
    inside = (value >= low - rounding) & (value <= high + rounding) & value.isfinite()
    if not inside.all():
        wanted = "finite and >= 0" if high == torch.inf else f"between {low} and {high}"
        raise ValueError(f"{name} is {value[~inside][0].item():g}: it must be {wanted}")
    return value.clamp(low, high)
