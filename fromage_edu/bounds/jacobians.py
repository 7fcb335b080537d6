"""How far Jacobians move when weights do: Proposition 1, the gradient's three factors, Theorem 2."""

import math
from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fromage_edu.bounds.core import (
    Bound,
    HypothesisError,
    LogBound,
    log_expm1,
    log_norm,
    log_square_ratio,
)
from fromage_edu.bounds.matrices import first_fall_after_rise
from fromage_edu.bounds.pairs import (
    Layers,
    Network,
    need_alpha,
    need_full_rank,
    read_input,
    read_network,
    read_pair,
    transmissions,
)
from fromage_edu.bounds.transmissions import Transmission, name_of
from fromage_edu.spectra import condition_number

__all__ = [
    "GradientFactors",
    "JacobianConstants",
    "gradient_factors",
    "jacobian_bound",
    "jacobian_constants",
    "layer_jacobian",
]

Nonlinearity = Callable[[Tensor], Tensor]


def layer_jacobian(
    network: Network, x: Tensor, layer: int, *, nonlinearity: Nonlinearity | None = None
) -> Tensor:
    """Proposition 1: ∂f/∂h_l = Φ'_L W_L ⋯ Φ'_{l+1} W_{l+1}, with Φ'_j = diag φ'(W_j h_{j−1}(x)).

    Biases are allowed. At a kink of φ the slope is the one that autograd takes.

    Args:
        network: a `Perceptron`, or its matrices W_1, …, W_L, each (..., n_l, n_{l−1}).
        x: inputs, shape (n_0,) or (..., N, n_0).
        layer: l, from 0 (the Jacobian in the input) to L (the identity).
        nonlinearity: φ, for a network given as matrices; None is the identity.

    Returns:
        Shape (n_L, n_l) or (..., N, n_L, n_l); the dtype of the layers; differentiable.

    Raises:
        TypeError: for anything but a network and tensors, or a layer that is no whole number.
        ValueError: for a layer outside 0, …, L, an input that does not fit, NaN or infinity.

    >>> layer_jacobian([torch.eye(2), torch.tensor([[3.0, 4.0]])], torch.ones(2), 1)
    tensor([[3., 4.]])

    Source: Fromage paper, Proposition 1 (F6).
    """
    layers = read_network(network, "network", nonlinearity)
    _check_layer(layer, len(layers.weights), 0)
    inputs, single = read_input(x, layers)
    slopes, _ = _slopes(layers, inputs)
    jacobian = _jacobian(layers, slopes, layer).to(layers.dtype)
    return jacobian.squeeze(-3) if single else jacobian


class GradientFactors(NamedTuple):
    """The gradient of ½‖f(x) − y‖² in W_l as the chain rule splits it, one of each per input.

    `loss` ∂L/∂f, (N, n_L) · `output` ∂f/∂h_l, (N, n_L, n_l) · `layer` ∂h_l/∂W_l, (N, n_l, n_l, n_{l−1}):
    entry i, j, k says how output i of the layer moves with the weight in row j, column k.
    """

    loss: Tensor
    output: Tensor
    layer: Tensor

    @property
    def gradient(self) -> Tensor:
        """The contraction of the three: the gradient of each input's loss, (N, n_l, n_{l−1}).

        >>> factors = gradient_factors([torch.eye(2)], torch.ones(2), torch.zeros(2), 1)
        >>> factors.gradient
        tensor([[1., 1.],
                [1., 1.]])
        """
        return torch.einsum("...a,...ab,...bij->...ij", self.loss, self.output, self.layer)


def gradient_factors(
    network: Network, x: Tensor, y: Tensor, layer: int, *, nonlinearity: Nonlinearity | None = None
) -> GradientFactors:
    """The three factors of a gradient, ∂L/∂f · ∂f/∂h_l · ∂h_l/∂W_l, for the loss L = ½‖f(x) − y‖².

    ∂L/∂f = f − y and ∂h_l/∂W_l = φ'(W_l h_{l−1}) h_{l−1} depend on outputs of sub-networks, which Theorem 1
    speaks about; the middle factor is Proposition 1's Jacobian, which Theorem 2 speaks about.

    Args:
        network: a `Perceptron`, or its matrices W_1, …, W_L, each (n_l, n_{l−1}).
        x: inputs, shape (n_0,) or (N, n_0).
        y: targets, shape (n_L,) or (N, n_L).
        layer: l, from 1 to L.
        nonlinearity: φ, for a network given as matrices; None is the identity.

    Returns:
        GradientFactors of shapes (N, n_L), (N, n_L, n_l), (N, n_l, n_l, n_{l−1}), without N for one input;
        `.gradient` contracts them.

    Raises:
        TypeError: as `layer_jacobian` does.
        ValueError: for a layer outside 1, …, L or targets of another shape than f(x).

    >>> network = [torch.tensor([[2.0]]), torch.tensor([[3.0]])]
    >>> loss, output, layer = gradient_factors(network, torch.ones(1), torch.zeros(1), 1)
    >>> loss.item(), output.item(), layer.item()
    (6.0, 3.0, 1.0)

    Source: Fromage paper, equation (1) (F5).
    Source: Fromage paper, section 4 (F15).
    """
    layers = read_network(network, "network", nonlinearity)
    _check_layer(layer, len(layers.weights), 1)
    inputs, single = read_input(x, layers)
    slopes, h = _slopes(layers, inputs)
    if not isinstance(y, Tensor):
        raise TypeError(f"y is a {type(y).__name__}: give a tensor")
    outputs = h[-1].squeeze(-2) if single else h[-1]
    if y.shape != outputs.shape:
        raise ValueError(f"y has shape {tuple(y.shape)} and f(x) {tuple(outputs.shape)}: give equal ones")
    loss = h[-1] - y.to(h[-1])
    chosen = torch.diag_embed(slopes[layer - 1])
    factors = (loss, _jacobian(layers, slopes, layer), chosen[..., None] * h[layer - 1][..., None, None, :])
    return GradientFactors(
        *((each[0] if single else each).to(layers.dtype) for each in factors),
    )


class JacobianConstants(NamedTuple):
    """The constants of Theorem 2: log10 of C_1 = (2n*√(β/α)κ)^{2(L−k)}, and C_2 = 1 + (√(β/α) − 1)².

    >>> JacobianConstants(torch.tensor(2.0), 1.0).c2
    1.0
    """

    log10_c1: Tensor
    c2: float


def jacobian_constants(
    network: Network,
    layer: int,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
    as_printed: bool = False,
) -> JacobianConstants:
    """The constants C_1 = (2n*√(β/α)κ)^{2(L−k)} and C_2 = 1 + (√(β/α) − 1)² of Theorem 2.

    Args:
        network: the unchanged network, as in `jacobian_bound`.
        layer: k, from 0 to L.
        nonlinearity: φ, for a network given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them.
        as_printed: take the largest width n* and condition number κ over all layers, not those above k only.

    Returns:
        JacobianConstants: log10 C_1, shape () or the leading dimensions of the matrices, and the number C_2;
        infinite for α = 0, C_1 also for too low a rank.

    Raises:
        TypeError: as `layer_jacobian` does.
        ValueError: as `layer_jacobian` does.

    >>> jacobian_constants([torch.eye(5)] * 3, 1, nonlinearity=torch.nn.LeakyReLU(0.1))
    JacobianConstants(log10_c1=tensor(8.), c2=82.0)

    Source: Fromage paper, Theorem 2 (F17).
    """
    layers = read_network(network, "network", nonlinearity)
    _check_layer(layer, len(layers.weights), 0)
    c1, c2 = _log_constants(layers, transmissions(layers, transmission), layer, as_printed)
    return JacobianConstants((c1 / math.log(10)).to(layers.dtype), c2)


def jacobian_bound(
    before: Network,
    after: Network,
    x: Tensor,
    layer: int,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
    as_printed: bool = False,
    log10: bool = False,
) -> Bound | LogBound:
    """Theorem 2: the relative squared change of ∂f/∂h_k is at most C_1·[∏_{l>k} C_2(1 + ‖ΔW_l‖²/‖W_l‖²) − 1].

    C_1 and C_2 are those of `jacobian_constants`. The theorem holds for α > 0, a φ that is differentiable at
    the preactivations, widths n_k, …, n_L that form a valley, and full rank in the layers above k. The paper
    does not ask for the shape; for hill-shaped widths the bound can fail. Unless α = β it does not vanish
    with the change: a preactivation that crosses a kink changes a slope at once.

    Args:
        before: the network, as in `functional_bound`.
        after: the changed network.
        x: inputs, shape (n_0,) or (..., N, n_0).
        layer: k, from 0 (the Jacobian in the input) to L.
        nonlinearity: φ, for networks given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them.
        as_printed: evaluate the printed formula, constants over all layers, whatever shapes, ranks and α.
        log10: return both sides in decades.

    Returns:
        Bound or LogBound, squared and relative, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: outside the hypotheses; it names the layer and the way out.
        TypeError: as `layer_jacobian` does.
        ValueError: as `layer_jacobian` does.

    >>> before, after = [torch.eye(1)] * 3, [2 * torch.eye(1)] * 3
    >>> jacobian_bound(before, after, torch.ones(1), 1)
    Bound(measured=tensor(9.), bound=tensor(48.))

    Source: Fromage paper, Theorem 2 (F17).
    """
    pair = read_pair(before, after, x, nonlinearity, transmission, "Theorem 2")
    depth = len(pair.changes)
    _check_layer(layer, depth, 0)
    smooth_above = depth if as_printed else layer
    old_slopes, _ = _slopes(pair.before, pair.x, smooth_above)
    new_slopes, _ = _slopes(pair.after, pair.x, smooth_above)
    if not as_printed:
        need_alpha(pair, "Theorem 2", above=layer)
        _need_valley(pair.before, layer)
        need_full_rank(pair.before, "Theorem 2", range(layer + 1, depth + 1))
    old = _jacobian(pair.before, old_slopes, layer)
    change = _jacobian(pair.after, new_slopes, layer) - old
    size = log_norm(old, 2)
    # Inside the hypotheses only rounding makes a Jacobian 0.
    lost = not as_printed and (size == -torch.inf).any()
    if lost or not (old.isfinite().all() and change.isfinite().all()):
        raise ValueError("a Jacobian vanishes or leaves float64: choose weights of another scale")
    measured = log_square_ratio(log_norm(change, 2), size)
    c1, c2 = _log_constants(pair.before, pair.transmissions, layer, as_printed)
    total = torch.zeros_like(c1)[..., None]
    if layer < depth:
        total = pair.log_total(slice(layer, None)) + (depth - layer) * math.log(c2)
    return pair.result(measured, c1[..., None] + log_expm1(total), log10=log10)


def _check_layer(layer, depth, first) -> None:
    if isinstance(layer, bool) or not isinstance(layer, Integral):
        raise TypeError(f"layer is {layer!r}: give a whole number from {first} to {depth}")
    if not first <= layer <= depth:
        raise ValueError(f"layer {layer} is not there: give one from {first} to {depth}")


def _slopes(layers: Layers, x: Tensor, smooth_above: int | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """φ'(z_l) for l = 1, …, L and h_l for l = 0, …, L, each (..., N, n_l); no kinks above one layer."""
    first = len(layers.weights) if smooth_above is None else smooth_above
    slopes, h = [], [x]
    for layer, phi in enumerate(layers.nonlinearities, start=1):
        z = layers.affine(layer, h[-1])
        if layer > first and (z == 0).any() and _has_kink_at_0(phi, z):
            raise HypothesisError(
                f"layer {layer} has a preactivation of 0, where {name_of(phi)} has a kink: Theorem 2 needs "
                "a nonlinearity that is differentiable there; choose another x"
            )
        slopes.append(_derivative(phi, z))
        h.append(phi(z))
    return slopes, h


def _derivative(phi, z: Tensor) -> Tensor:
    if isinstance(phi, nn.Identity):
        return torch.ones_like(z)
    # Within torch.inference_mode there are no gradients at all, unless it is left and the tensor copied.
    with torch.inference_mode(False), torch.enable_grad():
        point = z if z.requires_grad else z.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(phi(point.clone()).sum(), point, create_graph=z.requires_grad)
    return slope


def _has_kink_at_0(phi, like: Tensor) -> bool:
    with torch.no_grad():
        ends = torch.tensor([-1e-6, 0.0, 1e-6], dtype=like.dtype, device=like.device)
        left, right = phi(ends).diff()
    return abs(left - right).item() > 1e-3 * max(abs(left).item(), abs(right).item())


def _jacobian(layers: Layers, slopes: list[Tensor], layer: int) -> Tensor:
    """The product of Proposition 1, from the output down, (..., N, n_L, n_layer)."""
    width = layers.widths[-1]
    jacobian = torch.eye(width, dtype=slopes[-1].dtype, device=slopes[-1].device)
    jacobian = jacobian.expand(*slopes[-1].shape[:-1], width, width)
    for index in reversed(range(layer, len(slopes))):
        jacobian = (jacobian * slopes[index][..., None, :]) @ layers.weights[index][..., None, :, :]
    return jacobian


def _log_constants(layers: Layers, constants, layer, as_printed) -> tuple[Tensor, float]:
    """log C_1, shape (...), and C_2."""
    depth = len(layers.weights)
    first = 0 if as_printed else min(layer, depth - 1)
    ratio = max(math.sqrt(beta / alpha) if alpha else math.inf for alpha, beta in constants[first:])
    c2 = 1 + (ratio - 1) ** 2
    kappas = [condition_number(weight) for weight in layers.weights[first:]]
    if layer == depth:
        return torch.zeros_like(kappas[0]), c2
    kappa = torch.stack(torch.broadcast_tensors(*kappas)).amax(0)
    widest = max(layers.widths[first:])
    return 2 * (depth - layer) * (math.log(2 * widest * ratio) + kappa.log()), c2


def _need_valley(layers: Layers, layer: int) -> None:
    found = first_fall_after_rise(layers.widths[layer:])
    if found:
        rise, fall = (layer + each for each in found)
        shapes = {each: "{} x {}".format(*layers.weights[each - 1].shape[-2:]) for each in (rise, fall)}
        raise HypothesisError(
            f"layer {rise} is tall ({shapes[rise]}) and layer {fall} above it wide ({shapes[fall]}): "
            "Theorem 2 needs widths that fall, then rise; as_printed=True evaluates the printed formula"
        )
