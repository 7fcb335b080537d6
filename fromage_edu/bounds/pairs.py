"""A network before and after a change, read once, and the hypotheses of the theorems about it."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from fromage_edu.bounds.core import Bound, HypothesisError, LogBound, from_logs, log1p_exp, log_norm
from fromage_edu.bounds.transmissions import Transmission, name_of
from fromage_edu.bounds.transmissions import transmission as closed_form
from fromage_edu.networks import Perceptron, check_nonlinearity, weight_matrices
from fromage_edu.spectra import check_same_shapes, condition_number
from fromage_edu.trust.precision import result_dtype, working_dtype

Network: TypeAlias = Perceptron | Sequence[Tensor]
"""A perceptron, or its matrices W_1, …, W_L, each (..., n_l, n_{l−1}), with φ after each."""


@dataclass
class Layers:
    """One network in working precision: matrices, biases, and the nonlinearity that follows each layer."""

    weights: list[Tensor]
    biases: list[Tensor | None]
    nonlinearities: list[Callable[[Tensor], Tensor]]
    dtype: torch.dtype

    @property
    def widths(self) -> list[int]:
        """n_0, …, n_L."""
        return [self.weights[0].shape[-1], *(weight.shape[-2] for weight in self.weights)]

    def affine(self, layer: int, h: Tensor) -> Tensor:
        """Preactivation z_l of layer 1, …, L: (..., N, n_{l−1}) -> (..., N, n_l)."""
        z = h @ self.weights[layer - 1].mT
        return z if self.biases[layer - 1] is None else z + self.biases[layer - 1]


def read_network(network: Network, name: str, nonlinearity) -> Layers:
    """A network as Layers; matrices without a nonlinearity make a linear network."""
    weights = weight_matrices(network, name)
    biases: list[Tensor | None] = [None] * len(weights)
    if isinstance(network, Perceptron):
        if nonlinearity is not None:
            raise ValueError(f"`{name}` is a Perceptron with a nonlinearity: leave out nonlinearity=")
        biases = [layer.bias for layer in network.layers]
        phis = [network.nonlinearity] * len(weights)
        if not network.output_nonlinearity:
            phis[-1] = nn.Identity()
    else:
        phis = [nn.Identity() if nonlinearity is None else nonlinearity] * len(weights)
    check_nonlinearity(phis[0])
    wide = working_dtype(weights[0].device)
    return Layers(
        [weight.to(wide) for weight in weights],
        [None if bias is None else bias.to(wide) for bias in biases],
        [_in_working_precision(phi, wide) for phi in phis],
        result_dtype(*weights),
    )


def _in_working_precision(phi, wide):
    """φ itself, or a copy: learnable ones (PReLU) in working precision, in-place ones out of place."""
    if getattr(phi, "inplace", False):
        phi = copy.copy(phi)
        phi.inplace = False
    state = {name: tensor.to(wide) for name, tensor in phi.named_parameters()} if _learns(phi) else {}
    if not state:
        return phi

    def learned(z):
        return torch.func.functional_call(phi, state, (z,))

    learned.__name__ = f"{name_of(phi)}({', '.join(str(each.tolist()) for each in state.values())})"
    return learned


def _learns(phi) -> bool:
    return isinstance(phi, nn.Module) and any(True for _ in phi.parameters())


def read_input(x: Tensor, layers: Layers) -> tuple[Tensor, bool]:
    """The inputs as (..., N, n_0) in working precision, and whether there was a single one, (n_0,)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}: give a tensor of shape (n_0,) or (N, n_0)")
    width = layers.widths[0]
    if not x.ndim or x.shape[-1] != width:
        raise ValueError(f"x has shape {tuple(x.shape)}: its last dimension must be the input width {width}")
    if x.is_complex() or not x.isfinite().all():
        raise ValueError("x holds NaN, infinity or complex numbers: give finite real inputs")
    single = x.ndim == 1
    return (x[None] if single else x).to(layers.weights[0].dtype), single


@dataclass
class Pair:
    """A network before and after a change, its inputs, and the constants of its nonlinearities."""

    before: Layers
    after: Layers
    changes: list[Tensor]
    x: Tensor
    single: bool
    transmissions: list[Transmission]
    dtype: torch.dtype

    def finish(self, result: Tensor) -> Tensor:
        """A result (..., N) in the shape that the inputs came in."""
        return result.squeeze(-1) if self.single else result

    def result(self, measured: Tensor, bound: Tensor, *, log10: bool) -> Bound | LogBound:
        """Both sides, from natural logarithms (..., N) or (..., 1), as a bound returns them."""
        sides = (self.finish(side) for side in torch.broadcast_tensors(measured, bound))
        return from_logs(*sides, self.dtype, log10=log10)

    def layer_outputs(self) -> tuple[list[Tensor], list[Tensor]]:
        """h_0, …, h_L and what the change adds to each, h̃_l − h_l: lists of tensors (..., N, n_l)."""
        h, move = [self.x], [torch.zeros_like(self.x)]
        for layer, delta in enumerate(self.changes, start=1):
            weight, phi = self.before.weights[layer - 1], self.before.nonlinearities[layer - 1]
            z = h[-1] @ weight.mT
            # The change is carried along, not subtracted at the end: small ones keep their digits.
            shift = move[-1] @ weight.mT + (h[-1] + move[-1]) @ delta.mT
            move.append(_moved(phi, z, shift))
            h.append(phi(z))
        if not (h[-1].isfinite().all() and move[-1].isfinite().all()):
            raise ValueError("f(x) leaves float64: choose smaller inputs or weights")
        return h, move

    def log_total(self, layers: slice = slice(None)) -> Tensor:
        """Σ log(1 + ‖ΔW_l‖²/‖W_l‖²) = log(1 + D), shape (..., 1)."""
        sizes = []
        weights = self.before.weights[layers]
        for layer, (weight, change) in enumerate(
            zip(weights, self.changes[layers], strict=True), start=1 + (layers.start or 0)
        ):
            norm = log_norm(weight, 2)
            if (norm == -torch.inf).any():
                raise HypothesisError(
                    f"layer {layer} is 0: a relative size needs a non-zero matrix; operator_bound needs none"
                )
            sizes.append(log1p_exp(2 * (log_norm(change, 2) - norm)))
        return sum(sizes)[..., None]


def _moved(phi, z: Tensor, shift: Tensor) -> Tensor:
    """φ(z + s) − φ(z), without that subtraction where the usual nonlinearities allow it."""
    if isinstance(phi, nn.Identity):
        return shift
    if type(phi) is nn.Tanh:
        return shift.tanh() * (1 - z.tanh() * (z + shift).tanh())
    if type(phi) in (nn.ReLU, nn.LeakyReLU):
        slope = getattr(phi, "negative_slope", 0.0)
        above = torch.where(z > 0, torch.maximum(shift, -z), (z + shift).clamp(min=0))
        return slope * shift + (1 - slope) * above
    # Copied, for a nonlinearity that works in place.
    return phi(z + shift) - phi(z.clone())


def read_pair(before: Network, after: Network, x: Tensor, nonlinearity, transmission, theorem: str) -> Pair:
    """Both networks and the inputs, checked to match, for a theorem about networks without biases."""
    old, new = read_network(before, "before", nonlinearity), read_network(after, "after", nonlinearity)
    check_same_shapes(old.weights, new.weights)
    for one, two, weight in zip(old.nonlinearities, new.nonlinearities, old.weights, strict=True):
        if one is not two and not _equal(one, two, weight):
            raise ValueError(
                f"`before` has {name_of(one)} where `after` has {name_of(two)}: only weights may differ"
            )
    for layers in (old, new):
        for layer, bias in enumerate(layers.biases, start=1):
            if bias is not None:
                raise HypothesisError(
                    f"layer {layer} has a bias: {theorem} is about networks without; use bias=False"
                )
    inputs, single = read_input(x, old)
    _check_batches(old, new, inputs)
    changes = [two - one for one, two in zip(old.weights, new.weights, strict=True)]
    constants = transmissions(old, transmission)
    dtype = torch.promote_types(torch.promote_types(old.dtype, new.dtype), result_dtype(x))
    return Pair(old, new, changes, inputs, single, constants, dtype)


def _check_batches(old: Layers, new: Layers, x: Tensor) -> None:
    shapes = [tuple(each.shape[:-2]) for each in (*old.weights, *new.weights, x)]
    try:
        torch.broadcast_shapes(*shapes)
    except RuntimeError as error:
        raise ValueError(
            f"leading dimensions {shapes[0]}, {shapes[-2]} and, of x, {shapes[-1]} do not fit together: "
            "matrices (..., n_l, n_(l-1)) need inputs (..., N, n_0)"
        ) from error


def _equal(one, two, weight: Tensor) -> bool:
    """Whether two nonlinearities that follow a matrix return the same numbers; names do not tell."""
    points = torch.linspace(-4, 4, 33, dtype=weight.dtype, device=weight.device)
    points = points[:, None].repeat(1, weight.shape[-2])
    with torch.no_grad():
        return torch.allclose(one(points.clone()), two(points), rtol=0, atol=0, equal_nan=True)


def transmissions(layers: Layers, given: Transmission | None) -> list[Transmission]:
    """α and β of each layer's nonlinearity: those given, or closed forms; 1 and 1 for a linear output."""
    if given is not None:
        try:
            alpha, beta = map(float, given)
        except (TypeError, ValueError) as error:
            raise TypeError(f"transmission is {given!r}: give Transmission(alpha, beta)") from error
        if not 0 <= alpha <= beta < math.inf:
            raise ValueError(f"transmission is ({alpha}, {beta}): give 0 <= alpha <= beta, both finite")
    one = Transmission(1.0, 1.0)
    return [
        one if isinstance(phi, nn.Identity) else closed_form(phi) if given is None else Transmission(*given)
        for phi in layers.nonlinearities
    ]


# --- hypotheses -----------------------------------------------------------------------------------------


def need_fixed_point(layers: Layers, theorem: str) -> None:
    """φ(0) = 0."""
    for phi in {id(phi): phi for phi in layers.nonlinearities}.values():
        with torch.no_grad():
            value = phi(torch.zeros(1, dtype=layers.weights[0].dtype, device=layers.weights[0].device))
        if value.item() != 0:
            raise HypothesisError(
                f"{name_of(phi)} maps 0 to {value.item():g}: {theorem} needs phi(0) = 0; "
                "subtract that value from the nonlinearity"
            )


def need_alpha(pair: Pair, theorem: str, *, above: int = 0) -> None:
    """α > 0 in the layers above one."""
    phis = pair.before.nonlinearities
    for layer, (phi, (alpha, _)) in enumerate(zip(phis, pair.transmissions, strict=True), start=1):
        if alpha == 0 and layer > above:
            raise HypothesisError(
                f"layer {layer} ends in {name_of(phi)}, which has alpha = 0: {theorem} needs alpha > 0; "
                "operator_bound needs none"
            )


def need_tall(layers: Layers, theorem: str) -> None:
    """Every layer tall or square, with full column rank."""
    for layer, weight in enumerate(layers.weights, start=1):
        rows, columns = weight.shape[-2:]
        if rows < columns:
            raise HypothesisError(
                f"layer {layer} is wide ({rows} x {columns}): {theorem} needs n_{layer - 1} <= n_{layer}; "
                "operator_bound holds for any shape"
            )
    need_full_rank(layers, theorem, range(1, len(layers.weights) + 1))


def need_full_rank(layers: Layers, theorem: str, which: range) -> None:
    """A finite condition number in the layers named."""
    for layer in which:
        if condition_number(layers.weights[layer - 1]).isinf().any():
            rows, columns = layers.weights[layer - 1].shape[-2:]
            raise HypothesisError(
                f"layer {layer} ({rows} x {columns}) has no full rank, its condition number is infinite: "
                f"{theorem} needs a finite one; operator_bound needs none"
            )


def need_outputs(h: list[Tensor], theorem: str) -> None:
    """x ≠ 0, and no layer that maps it to 0."""
    for layer, outputs in enumerate(h):
        zero = (outputs == 0).all(-1)
        if zero.any():
            which = zero.nonzero()[0].tolist()[-1]
            what = f"input {which} is 0" if not layer else f"input {which} is mapped to 0 by layer {layer}"
            raise HypothesisError(f"{what}: {theorem} bounds a relative change, which needs f(x) != 0")
