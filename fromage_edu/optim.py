"""Fromage: gradient descent whose steps are measured layer by layer, relative to the layer's own weights.

`fromage_update` is Algorithm 1 for one tensor, exact at any scale; `Fromage` is the optimizer around it. On
a CPU, ordinary tensors take a shortcut, `_update_in_place`, which a test holds against `fromage_update`.
"""

import math
from itertools import chain
from numbers import Real

import torch
from torch import Tensor, nn

from fromage_edu.trust import frobenius_norm

__all__ = ["Fromage", "fromage_update"]


def fromage_update(
    weight: Tensor,
    grad: Tensor,
    lr: float | Tensor = 0.01,
    *,
    norm_correction: bool = True,
    max_norm: float | None = None,
) -> Tensor:
    """Algorithm 1 for one tensor: W' = (W − η·‖W‖/‖g‖·g) / √(1 + η²).

    The update is blind to the gradient's scale and follows the weight's, at any scale the dtype can hold.
    Where the formula is silent: g = 0 leaves W untouched; W = 0, which could never move, takes a raw step
    −η·g; a NaN or an infinity anywhere in g makes all of W' NaN.

    Args:
        weight: W, floating point or complex, any shape; half precision is computed in float32.
        grad: g, the same shape.
        lr: η ≥ 0, without unit: the relative size of the step; 0 leaves W untouched.
        norm_correction: whether to divide by √(1 + η²), which undoes the growth of a step orthogonal to W.
        max_norm: scale W' down to this norm if it exceeds it; None is no limit.

    Returns:
        W', a new tensor with the shape and dtype of `weight`; differentiable in `weight`, `grad` and `lr`.

    Raises:
        TypeError: for a weight that is neither floating point nor complex.
        ValueError: if the shapes differ, or for an lr or max_norm out of its range.

    >>> fromage_update(torch.tensor([3.0, 4.0]), torch.tensor([4e-20, -3e-20]), lr=0.75)
    tensor([0., 5.])

    Source: Fromage paper, Algorithm 1 (F25).
    """
    if weight.shape != grad.shape:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and grad {tuple(grad.shape)}: they must agree"
        )
    if not (weight.is_floating_point() or weight.is_complex()):
        raise TypeError(f"weight is {weight.dtype}: convert it with .float()")
    if max_norm is not None and not max_norm >= 0:
        raise ValueError(f"max_norm is {max_norm}: it must be None or >= 0")
    if not isinstance(lr, Tensor):  # a tensor's value may be on a device that is not to be waited for
        _check_lr(lr)
    if weight.is_complex():
        parts = torch.view_as_real(weight), torch.view_as_real(grad)
        return torch.view_as_complex(
            fromage_update(*parts, lr, norm_correction=norm_correction, max_norm=max_norm)
        )
    if not weight.numel():
        return weight.clone()

    dtype = torch.promote_types(weight.dtype, torch.float32)
    w, g = weight.to(dtype), grad.to(dtype)
    # Entries are divided by their peak, so that norms and ratios stay near 1 whatever the scale of W and g.
    # No value is read back to the host: the function runs on any device without waiting for it.
    w_peak, g_peak = w.detach().abs().amax(), g.detach().abs().amax()
    w_unit, g_unit = w / torch.where(w_peak == 0, 1.0, w_peak), g / torch.where(g_peak == 0, 1.0, g_peak)
    w_norm, g_norm = frobenius_norm(w_unit), frobenius_norm(g_unit)
    lr = torch.as_tensor(lr, dtype=w_norm.dtype, device=w.device).squeeze()

    growth = torch.hypot(lr, torch.ones_like(lr)) if norm_correction else torch.ones_like(lr)
    step = (lr / growth) * (w_norm / torch.where(g_norm == 0, 1.0, g_norm))
    new = (w_unit * (1 / growth).to(dtype) - g_unit * step.to(dtype)) * w_peak
    new = torch.where(w_peak == 0, -lr.to(dtype) * g, new)
    new = new + 0.0 * g_peak  # NaN everywhere if g holds NaN or infinity, also in a raw step
    new = torch.where((g_peak == 0) | (lr == 0), w, new)
    if max_norm is not None:
        norm = frobenius_norm(new)
        excess = torch.where(norm > max_norm, norm / max_norm if max_norm else torch.inf, 1.0)
        new = new / excess.to(dtype)
    return new.to(weight.dtype)


class Fromage(torch.optim.Optimizer):
    """Fromage: each tensor moves by about `lr` times its own norm, W ← (W − η·‖W‖/‖g‖·g) / √(1 + η²).

    One hyperparameter with a meaning: the relative size of a step, in every layer. It holds to first order:
    with c the cosine of the angle between W and g, ‖W'‖²/‖W‖² = 1 − 2ηc/(1 + η²), so the norm is kept
    exactly where c = 0, as in every scale-invariant layer.

    What Algorithm 1 leaves open: a tensor whose gradient is 0 stays as it is; a tensor that is 0 (a bias at
    its start) takes a raw step −η·g; a NaN or infinity in a gradient makes its whole tensor NaN. A tensor
    with one entry can shrink or grow but, for η < 1, never change sign. Half precision is computed in
    float32 but stored rounded: in bfloat16, with its 8 bits, a step of 1e-3 leaves three entries in four as
    they are, so keep float32 weights and use autocast.

    Args:
        params: tensors or dicts of parameter groups; every group may have its own options.
        lr: η ≥ 0, finite; a number or a one-element tensor. 0.01 is a good start.
        momentum: β in [0, 1): m ← βm + (1 − β)g, and m/(1 − βᵗ) takes the place of g, norm included.
        p_bound: None, or c ≥ 1: after a step a norm above c times the one the tensor had when its group was
            added is scaled back to that. Tensors that were 0 are not bounded.
        norm_correction: whether to divide by √(1 + η²).
        maximize: climb instead of descend; gradients are left as they are.
        foreach: None or False; there is one implementation, tensor by tensor.
        capturable: False; steps cannot be captured in a CUDA graph.
        differentiable: whether autograd runs through the step.

    Raises:
        ValueError: for an option out of its range, with the value named.
        TypeError: for an lr that is no number, or distributed tensors.
        RuntimeError: at `step()`, for sparse gradients.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Fromage([weight], lr=0.75)
    >>> weight.grad = torch.tensor([4e-20, -3e-20])
    >>> optimizer.step()
    >>> weight.data
    tensor([0., 5.])

    Source: Fromage paper, Algorithm 1 (F25).
    """

    def __init__(
        self,
        params,
        lr: float | Tensor = 0.01,
        *,
        momentum: float = 0.0,
        p_bound: float | None = None,
        norm_correction: bool = True,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        """Take the parameters and options; see the class."""
        defaults = dict(
            lr=lr,
            momentum=momentum,
            p_bound=p_bound,
            norm_correction=norm_correction,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict) -> None:
        """Add a group with its own options; norms that `p_bound` refers to are those of this moment."""
        _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for param in group["params"]:
            if hasattr(param, "placements"):
                raise TypeError(
                    "Fromage needs the norm of a whole layer and does not see it in a DTensor: "
                    "train with DistributedDataParallel instead"
                )
            if group["p_bound"] is not None:
                # A Python float: load_state_dict would cast a tensor to the parameter's dtype.
                self.state[param]["initial_norm"] = frobenius_norm(param.detach()).item()

    def __setstate__(self, state: dict) -> None:
        """Restore what was pickled or loaded; options that it does not name take their defaults."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a `state_dict()`; training continues bit for bit."""
        super().load_state_dict(state_dict)
        # torch casts buffers to the parameter's dtype: half precision would lose its float32 buffers.
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, param in zip(saved, params, strict=True):
            if "momentum_buffer" in state_dict["state"].get(key, {}):
                buffer = state_dict["state"][key]["momentum_buffer"]
                self.state[param]["momentum_buffer"] = buffer.detach().clone().to(param.device)

    def step(self, closure=None):
        """Update every parameter that has a gradient.

        Args:
            closure: optional; evaluates the loss anew, with gradients enabled, and returns it.

        Returns:
            What `closure` returned, or None.

        Raises:
            RuntimeError: for sparse gradients, or a p_bound set on a group after it was added.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            with torch.set_grad_enabled(group["differentiable"]):
                for param in group["params"]:
                    if param.grad is not None:
                        self._update(param, group)
        return loss

    def _update(self, param, group):
        grad = param.grad
        if grad.layout != torch.strided:
            raise RuntimeError(
                f"Fromage does not take sparse gradients (layout {grad.layout}): "
                "use Embedding(sparse=False), or torch.optim.SparseAdam for that tensor"
            )
        if group["maximize"]:
            grad = -grad
        if group["momentum"]:
            grad = self._average(param, grad, group["momentum"])
        options = {
            "norm_correction": group["norm_correction"],
            "max_norm": self._max_norm(param, group["p_bound"]),
        }
        if group["differentiable"]:
            # The step reads W, and autograd needs the W that it read: the parameter itself is overwritten.
            param.copy_(fromage_update(param.clone(), grad, group["lr"], **options))
        elif not _update_in_place(param, grad, group["lr"], **options):
            param.copy_(fromage_update(param, grad, group["lr"], **options))

    def _average(self, param, grad, momentum):
        state = self.state[param]
        if "momentum_weight" not in state:
            dtype = torch.promote_types(param.dtype, torch.float32)
            state["momentum_buffer"], state["momentum_weight"] = torch.zeros_like(param, dtype=dtype), 0.0
            state["momentum_buffer"] = state["momentum_buffer"].detach()
        # The weight of all gradients so far, 1 − βᵗ; right also for a schedule that changes β.
        state["momentum_weight"] = momentum * state["momentum_weight"] + (1 - momentum)
        buffer = state["momentum_buffer"].mul_(momentum).add_(grad, alpha=1 - momentum)
        return buffer / state["momentum_weight"]

    def _max_norm(self, param, p_bound):
        if p_bound is None:
            return None
        if "initial_norm" not in self.state[param]:
            raise RuntimeError(
                f"p_bound was set to {p_bound} after its group was added, so no norm was recorded: "
                "give it to Fromage(...) or add_param_group(...)"
            )
        return p_bound * self.state[param]["initial_norm"] or None  # 0: not bounded


def _check_options(options):
    momentum, p_bound = options["momentum"], options["p_bound"]
    _check_lr(options["lr"])
    _check_number("momentum", momentum)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}: it must be >= 0 and < 1")
    if p_bound is not None and not _check_number("p_bound", p_bound) >= 1:
        raise ValueError(f"p_bound is {p_bound}: it must be None or a factor >= 1")
    if options["foreach"]:
        raise ValueError("foreach=True is not supported: leave foreach=None; the step goes tensor by tensor")
    if options["capturable"]:
        raise ValueError("capturable=True is not supported: leave it False and step outside the CUDA graph")


def _check_lr(lr):
    if isinstance(lr, Tensor):
        if lr.numel() != 1:
            raise ValueError(f"lr has shape {tuple(lr.shape)}: give a number or a one-element tensor")
        lr = lr.item()
    if not 0 <= _check_number("lr", lr) < math.inf:
        raise ValueError(f"lr is {lr}: it must be finite and >= 0; a good start is 0.01")


def _check_number(name, value):
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}: give a number")
    return value


# Squares of numbers in this range stay well inside float32.
_REGULAR = (1e-11, 1e17)


def _update_in_place(weight, grad, lr, *, norm_correction, max_norm) -> bool:
    """The ordinary case on a CPU; for any other case False, with nothing changed."""
    if (
        max_norm is not None
        or type(weight) not in (Tensor, nn.Parameter)
        or weight.device.type != "cpu"
        or weight.dtype not in (torch.float32, torch.float64)
        or grad.dtype != weight.dtype
        or grad.shape != weight.shape
        or torch.compiler.is_compiling()
    ):
        return False
    lr, w_norm, g_norm = float(lr), _row_norm(weight), _row_norm(grad)
    low, high = _REGULAR
    if not (low < w_norm < high and low < g_norm < high and 0 < lr < 1e6):
        return False
    shrink = 1 / math.hypot(1, lr) if norm_correction else 1.0
    weight.mul_(shrink).add_(grad, alpha=-lr * w_norm / g_norm * shrink)
    return True


def _row_norm(tensor, row: int = 16384) -> float:
    """Norm of a tensor, rows in its own dtype and combined in float64: one long float32 sum loses digits."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() <= row:
        return torch.linalg.vector_norm(flat).item()
    whole = flat.numel() // row * row
    rows = torch.linalg.vector_norm(flat[:whole].view(-1, row), dim=1)
    rest = torch.linalg.vector_norm(flat[whole:])
    return math.hypot(torch.linalg.vector_norm(rows.double()).item(), rest.item())
