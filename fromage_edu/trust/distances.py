"""How far apart are two networks? Euclidean trust, deep relative trust, and its surrogate.

Two networks of the same shape are compared layer by layer. The relative size of a change is
r_l = ‖W_l' − W_l‖_F / ‖W_l‖_F; deep relative trust compounds these sizes over the layers, Euclidean trust
adds up squared changes and knows nothing of layers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from fromage_edu.trust.precision import result_dtype, working_dtype

__all__ = [
    "Weights",
    "deep_relative_trust",
    "distance",
    "euclidean_trust",
    "frobenius_norm",
    "relative_sizes",
    "surrogate_trust",
]

Weights: TypeAlias = nn.Module | Mapping[str, Tensor] | Sequence[Tensor]
"""The weights of a network: a module, a mapping name -> tensor (a `state_dict`), or a sequence of tensors."""


def frobenius_norm(tensor: Tensor) -> Tensor:
    """Frobenius norm ‖W‖_F = √Σ|w|² of a tensor of any shape, accurate at any size and scale.

    Squares neither overflow nor vanish, and the sum is taken in float64: `torch.linalg.vector_norm` in
    float32 is off by 2e-3 at 4e7 elements on a CPU, and returns 0 or infinity for entries below 1e-23 or
    above 1e19.

    Args:
        tensor: real or complex floating point, any shape; an empty one has norm 0.

    Returns:
        Shape (), in units of the entries; float64 (float32 on devices without float64); differentiable, with
        gradient 0 at 0; NaN or infinity if an entry is.

    Raises:
        TypeError: for a sparse tensor, or none at all.

    >>> frobenius_norm(torch.tensor([3e-30, 4e-30]))
    tensor(5.0000e-30, dtype=torch.float64)
    """
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
        kind = tensor.layout if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"the norm of a {kind} is not taken: give a dense tensor, such as tensor.to_dense()")
    entries = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    entries = entries.to(working_dtype(tensor.device))
    if not entries.numel():
        return entries.sum()
    # A constant for autograd: it cancels. Powers of two would be exact; one rounding of 1e-16 is enough.
    peak = entries.detach().abs().amax()
    peak = torch.where((peak > 0) & peak.isfinite(), peak, 1.0)
    return peak * torch.linalg.vector_norm(entries / peak)


def relative_sizes(before: Weights, after: Weights, *, layers: Iterable[str] | None = None) -> Tensor:
    """Relative size of the change of each layer, r_l = ‖W_l' − W_l‖_F / ‖W_l‖_F.

    A zero tensor that did not change counts 0.

    Args:
        before: the network W; a module's layers are its parameters, in `named_parameters()` order.
        after: the network W', with the same names, shapes and order.
        layers: names to choose (positions, for a sequence), in the order wanted; None takes all.

    Returns:
        Shape (L,), without unit; the dtype of the layers, at least float32; differentiable.

    Raises:
        TypeError: for weights that are not floating point, or are no network at all.
        ValueError: if the two do not match, a network has no layers, a layer holds NaN or infinity, or a
            layer that is 0 changed: every message names the layer and the way out.

    >>> relative_sizes([torch.tensor([3.0, 4.0])], [torch.tensor([3.0, 4.5])])
    tensor([0.1000])

    Source: Fromage paper, Definition 2 (F3).
    """
    pairs = _pairs(before, after, layers)
    sizes = []
    for name, old, new in pairs:
        norm, change = frobenius_norm(old), frobenius_norm(_difference(old, new))
        if norm == 0 and change != 0:
            raise ValueError(
                f"{name} was 0 and changed: a relative size needs a non-zero tensor; "
                "leave it out with layers=[...]"
            )
        sizes.append(change / torch.where(norm == 0, 1.0, norm))
    return torch.stack(sizes).to(_result_dtype(pairs))


def euclidean_trust(before: Weights, after: Weights, *, layers: Iterable[str] | None = None) -> Tensor:
    """Euclidean trust D_E = ‖W' − W‖²: the sum over all layers of squared changes.

    Args:
        before: the network W, as in `relative_sizes`.
        after: the network W'.
        layers: names to choose; None takes all.

    Returns:
        Shape (), in squared units of the weights; the dtype of the layers, at least float32; differentiable.

    Raises:
        TypeError: as `relative_sizes` does.
        ValueError: if the two do not match, a network has no layers, or a layer holds NaN or infinity.

    >>> euclidean_trust([torch.tensor([3.0, 4.0])], [torch.tensor([3.0, 4.5])])
    tensor(0.2500)

    Source: Fromage paper, Definition 1 (F1).
    """
    pairs = _pairs(before, after, layers)
    total = sum(_difference(old, new).abs().square().sum() for _, old, new in pairs)
    return total.to(_result_dtype(pairs))


def deep_relative_trust(sizes: Tensor | Sequence[float]) -> Tensor:
    """Deep relative trust D = ∏_l (1 + r_l²) − 1 of the relative sizes r_l.

    Evaluated as expm1(Σ log1p(r²)) in float64: small changes keep their digits, and nothing overflows before
    D does.

    Args:
        sizes: relative sizes r_l ≥ 0, shape (..., L); a sequence of numbers is read as float64.

    Returns:
        Shape (...), without unit; the dtype of `sizes` (float32 for integers); differentiable.

    Raises:
        TypeError: for complex or boolean sizes.
        ValueError: for NaN, a negative size, or no layers.

    >>> deep_relative_trust([0.1] * 30)
    tensor(0.3478, dtype=torch.float64)
    >>> deep_relative_trust(torch.full((2, 30), 1e-8, dtype=torch.float64))
    tensor([3.0000e-15, 3.0000e-15], dtype=torch.float64)

    Source: Fromage paper, Definition 2 (F3).
    """
    sizes, dtype = layer_numbers(sizes)
    return sizes.square().log1p().sum(-1).expm1().to(dtype)


def surrogate_trust(sizes: Tensor | Sequence[float]) -> Tensor:
    """Surrogate of deep relative trust, D' = (1/L) Σ_l (r_l²)^L, which splits into layers.

    It is neither an upper nor a lower bound of D; the two agree relatively for equal sizes ≫ √L.

    Args:
        sizes: relative sizes r_l ≥ 0, shape (..., L); a sequence of numbers is read as float64.

    Returns:
        Shape (...), without unit; the dtype of `sizes` (float32 for integers); differentiable.

    Raises:
        TypeError: for complex or boolean sizes.
        ValueError: for NaN, a negative size, or no layers.

    >>> surrogate_trust([1.0, 0.0])
    tensor(0.5000, dtype=torch.float64)

    Source: Fromage paper, Definition 4 (F20).

    Source: Fromage paper, section 5 and Figure 3 (F21).
    """
    sizes, dtype = layer_numbers(sizes)
    depth = sizes.shape[-1]
    power = sizes.pow(depth)
    # r^L · (r^L / L) overflows only if its sum does; r^(2L) could, just before the division by L.
    return (power * (power / depth)).sum(-1).to(dtype)


def distance(before: Weights, after: Weights, *, layers: Iterable[str] | None = None) -> Tensor:
    """Deep relative trust between two networks, D = ∏_l (1 + ‖W_l' − W_l‖²/‖W_l‖²) − 1.

    No distance in the strict sense: it is not symmetric, since changes are measured against `before`.

    Args:
        before: the network W, as in `relative_sizes`.
        after: the network W'.
        layers: names to choose; None takes all.

    Returns:
        Shape (), without unit; the dtype of the layers, at least float32; differentiable.

    Raises:
        TypeError: as `relative_sizes` does.
        ValueError: as `relative_sizes` does.

    >>> one, two = [torch.tensor([1.0])], [torch.tensor([2.0])]
    >>> distance(one, two), distance(two, one)
    (tensor(1.), tensor(0.2500))

    Source: Fromage paper, Definition 2 (F3).
    """
    return deep_relative_trust(relative_sizes(before, after, layers=layers))


_MEANINGS = {
    "sizes": ("size", "relative sizes", "a relative size is a ratio of norms"),
    "slopes": ("slope", "slopes", "a slope is a product η‖W‖‖g‖ of norms"),
}


def layer_numbers(values, name: str = "sizes") -> tuple[Tensor, torch.dtype]:
    """One number ≥ 0 for each layer, (..., L), in float64; and the dtype of the answer."""
    one, all_of_them, meaning = _MEANINGS[name]
    if not isinstance(values, Tensor):
        values = _numbers(values, name)
    if values.layout != torch.strided:
        raise TypeError(f"{name} are {values.layout}: convert them with .to_dense()")
    if values.dtype == torch.bool or values.is_complex():
        raise TypeError(
            f"{name} are {values.dtype}: {all_of_them} are real numbers; pass {name}.abs() of floats"
        )
    if not values.ndim or not values.shape[-1]:
        raise ValueError(
            f"{name} have shape {tuple(values.shape)}: the last dimension must hold one {one} per layer"
        )
    dtype = values.dtype if values.is_floating_point() else torch.get_default_dtype()
    wide = values.to(working_dtype(values.device))
    if not (wide >= 0).all():
        worst = wide[~(wide >= 0)][0].item()
        raise ValueError(f"{name} hold {worst:g}: {meaning}, a number >= 0")
    return wide, dtype


def _numbers(values, name) -> Tensor:
    try:
        if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
            return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values])
        read = torch.as_tensor(values, dtype=None if hasattr(values, "dtype") else torch.float64)
        # Arrays that do not fit are left to the caller: torch would drop an imaginary part.
        return read if read.is_complex() or read.dtype == torch.bool else read.double()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"{name} are a {type(values).__name__}: give a tensor or a sequence of numbers"
        ) from error


def _pairs(before, after, layers) -> list[tuple[str, Tensor, Tensor]]:
    """Name, old and new tensor of each layer, checked to match."""
    if layers is not None:
        layers = [layers] if isinstance(layers, str | int) else list(layers)
    old, new = _named(before, "before", layers), _named(after, "after", layers)
    if len(old) != len(new):
        raise ValueError(
            f"`before` has {len(old)} layers and `after` has {len(new)}: compare networks of one shape"
        )
    pairs = []
    for index, ((old_name, old_tensor), (new_name, new_tensor)) in enumerate(zip(old, new, strict=True)):
        if isinstance(old_name, str) and isinstance(new_name, str) and old_name != new_name:
            raise ValueError(
                f"layer {index} is {old_name!r} in `before` and {new_name!r} in `after`: "
                "names and order must be the same"
            )
        names = [name for name in (old_name, new_name) if isinstance(name, str)]
        name = f"layer {names[0]!r}" if names else f"layer {old_name}"
        if old_tensor.shape != new_tensor.shape:
            raise ValueError(
                f"{name} has shape {tuple(old_tensor.shape)} in `before` and {tuple(new_tensor.shape)} "
                "in `after`: compare networks of one shape"
            )
        if old_tensor.device != new_tensor.device:
            raise ValueError(
                f"{name} is on {old_tensor.device} in `before` and on {new_tensor.device} in `after`: "
                "move one with .to(device)"
            )
        for argument, tensor in (("before", old_tensor), ("after", new_tensor)):
            if not tensor.isfinite().all():
                raise ValueError(f"{name} of `{argument}` holds NaN or infinity: trust needs finite weights")
        pairs.append((name, old_tensor, new_tensor))
    return pairs


def _named(weights, argument, layers) -> list[tuple[str | int, Tensor]]:
    if isinstance(weights, nn.Module):
        named = dict(weights.named_parameters())
    elif isinstance(weights, Mapping):
        named = dict(weights)
    elif isinstance(weights, Iterable) and not isinstance(weights, Tensor | str):
        named = dict(enumerate(weights))
    else:
        raise TypeError(
            f"`{argument}` is a {type(weights).__name__}: pass a module, a mapping of names to tensors, "
            "or a sequence of tensors ([tensor] for one layer)"
        )
    if layers is not None:
        unknown = [name for name in layers if name not in named]
        if unknown:
            raise ValueError(f"`{argument}` has no layer {unknown[0]!r}: it has {', '.join(map(str, named))}")
        named = {name: named[name] for name in layers}
    if not named:
        raise ValueError(f"`{argument}` has no layers: trust needs at least one weight tensor")
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"layer {name!r} of `{argument}` is a {type(tensor).__name__}: pass tensors")
        if tensor.layout != torch.strided:
            raise TypeError(f"layer {name!r} of `{argument}` is {tensor.layout}: convert it with .to_dense()")
        # Formats of 8 bits and less hold no arithmetic of their own.
        if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.dtype.itemsize < 2:
            raise TypeError(
                f"layer {name!r} of `{argument}` is {tensor.dtype}, not a weight: "
                "convert it with .float(), or leave it out with layers=[...]"
            )
    return list(named.items())


def _difference(old: Tensor, new: Tensor) -> Tensor:
    # In float64, where a difference of two lower precisions neither rounds nor overflows.
    dtype = torch.promote_types(torch.promote_types(old.dtype, new.dtype), working_dtype(old.device))
    return new.to(dtype) - old.to(dtype)


def _result_dtype(pairs) -> torch.dtype:
    return result_dtype(*(tensor for _, *both in pairs for tensor in both))
