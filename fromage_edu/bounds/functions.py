"""How far a network's function moves when its weights do: Lemma 2, Theorem 1, and what repairs it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fromage_edu.bounds.core import Bound, LogBound, log_expm1, log_norm, log_square_ratio
from fromage_edu.bounds.pairs import (
    Layers,
    Network,
    Pair,
    need_alpha,
    need_fixed_point,
    need_outputs,
    need_tall,
    read_input,
    read_network,
    read_pair,
    transmissions,
)
from fromage_edu.bounds.transmissions import Transmission
from fromage_edu.spectra import condition_number, operator_norm

__all__ = [
    "frobenius_bound",
    "functional_bound",
    "functional_constant",
    "magnitude_bound",
    "operator_bound",
    "restricted_bound",
    "tau",
]

Nonlinearity = Callable[[Tensor], Tensor]


def functional_bound(
    before: Network,
    after: Network,
    x: Tensor,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
    as_printed: bool = False,
    log10: bool = False,
) -> Bound | LogBound:
    """Theorem 1: ‖f̃(x) − f(x)‖²/‖f(x)‖² ≤ C_0·D, with C_0 = (2(β/α)n*κ²)^L and D deep relative trust.

    n* is the largest of all widths n_0, …, n_L and κ the largest condition number of W_1, …, W_L. The theorem
    holds for α > 0, φ(0) = 0, x ≠ 0 and layers that are tall or square with full column rank: widths that
    never shrink. The paper does not ask for the shape; a layer narrower than its input can break the bound.

    Args:
        before: the network: a `Perceptron` without biases, or its matrices (..., n_l, n_{l−1}); leading
            dimensions, if any, hold several networks of one shape.
        after: the changed network, of the same shapes.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for networks given as matrices; None is the identity, a linear network.
        transmission: α and β of φ, where `bounds.transmission` does not know them.
        as_printed: evaluate the printed formula whatever the shapes, ranks and α (infinite for α = 0).
        log10: return both sides in decades: C_0 of 50 layers leaves float64.

    Returns:
        Bound or LogBound, squared and relative, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: outside the hypotheses; it names the layer and the way out.
        TypeError: for anything but networks and tensors.
        ValueError: for networks or inputs that do not match, NaN or infinity.

    >>> before, after = [torch.eye(2)] * 2, [torch.eye(2) * 1.1] * 2
    >>> functional_bound(before, after, torch.ones(2)).slack.round()
    tensor(7.)

    Source: Fromage paper, Theorem 1 (F12).
    """
    pair = read_pair(before, after, x, nonlinearity, transmission, "Theorem 1")
    h, move = _outputs(pair, "Theorem 1", as_printed)
    constant = _log_constant(pair.before, pair.transmissions)[..., None]
    measured = log_square_ratio(log_norm(move), log_norm(h))
    return pair.result(measured, constant + log_expm1(pair.log_total()), log10=log10)


def magnitude_bound(
    before: Network,
    after: Network,
    x: Tensor,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
    as_printed: bool = False,
    log10: bool = False,
) -> Bound | LogBound:
    """Lemma 2: ‖h̃_L(x)‖²/‖h_L(x)‖² ≤ C_0·∏(1 + ‖ΔW_l‖²/‖W_l‖²), with the C_0 of Theorem 1.

    Args:
        before: the network, as in `functional_bound`.
        after: the changed network.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for networks given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them.
        as_printed: evaluate the printed formula whatever the shapes, ranks and α.
        log10: return both sides in decades.

    Returns:
        Bound or LogBound, squared and relative, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: outside the hypotheses of Theorem 1.
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> magnitude_bound([torch.eye(2)], [2 * torch.eye(2)], torch.ones(2))
    Bound(measured=tensor(4.), bound=tensor(8.))

    Source: Fromage paper, Lemma 2 (F35).
    """
    pair = read_pair(before, after, x, nonlinearity, transmission, "Lemma 2")
    h, move = _outputs(pair, "Lemma 2", as_printed)
    constant = _log_constant(pair.before, pair.transmissions)[..., None]
    measured = log_square_ratio(log_norm(h + move), log_norm(h))
    return pair.result(measured, constant + pair.log_total(), log10=log10)


def functional_constant(
    network: Network,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
) -> Tensor:
    """log10 of the constant C_0 = (2(β/α)n*κ²)^L of Theorem 1 and Lemma 2, whatever the shapes.

    Args:
        network: the unchanged network, as in `functional_bound`.
        nonlinearity: φ, for a network given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them.

    Returns:
        Shape () or the leading dimensions of the matrices, in decades; infinite for α = 0 or too low a rank.

    Raises:
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> functional_constant([torch.eye(5)] * 50, nonlinearity=torch.nn.LeakyReLU(0.1))
    tensor(150.)

    Source: Fromage paper, Theorem 1 (F12).
    """
    layers = read_network(network, "network", nonlinearity)
    constant = _log_constant(layers, transmissions(layers, transmission))
    return (constant / math.log(10)).to(layers.dtype)


def tau(network: Network, x: Tensor, *, nonlinearity: Nonlinearity | None = None) -> Tensor:
    """How far each layer stays below its Frobenius norm at this x: τ_l = ‖W_l‖‖h_{l−1}‖/‖W_l h_{l−1}‖ ≥ 1.

    What Theorem 1 takes from the condition number, measured where the network is used: √n̄·κ for the worst
    input of a tall layer, infinite where a layer maps its input to 0.

    Args:
        network: a `Perceptron`, or its matrices, as in `functional_bound`.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for a network given as matrices; None is the identity.

    Returns:
        Shape (L,) or (..., N, L), without unit; the dtype of the layers; differentiable.

    Raises:
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> tau([torch.tensor([[1.0, 0.0]])], torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).squeeze(-1)
    tensor([1.0000, 1.6667,    inf])

    Source: Fromage paper, Theorem 1 and Lemma 2, for layers of any shape (F12).
    """
    layers = read_network(network, "network", nonlinearity)
    h, single = read_input(x, layers)
    logs = []
    for layer, (weight, phi) in enumerate(zip(layers.weights, layers.nonlinearities, strict=True), start=1):
        logs.append(_log_tau(weight, h))
        h = phi(layers.affine(layer, h))
        if not h.isfinite().all():
            raise ValueError(f"h_{layer}(x) leaves float64: choose smaller inputs or weights")
    result = torch.stack(torch.broadcast_tensors(*logs), -1).exp().to(layers.dtype)
    return result.squeeze(-2) if single else result


def restricted_bound(
    before: Network,
    after: Network,
    x: Tensor,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
    log10: bool = False,
) -> Bound | LogBound:
    """Theorem 1 for layers of any shape: ‖f̃ − f‖²/‖f‖² ≤ ∏_l [2(β/α)τ_l(x)²]·D, with `tau` in place of κ.

    The printed induction uses conditioning only at the unchanged h_{l−1}(x), where τ_l(x)² ≤ n̄κ² for a tall
    layer, and where a wide one is measured instead of hoped for. It diverges as x nears a null space.

    Args:
        before: the network, as in `functional_bound`, of any shapes and ranks.
        after: the changed network.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for networks given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them.
        log10: return both sides in decades.

    Returns:
        Bound or LogBound, squared and relative, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: for α = 0, φ(0) ≠ 0, a layer that is 0, or an input that is mapped to 0.
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> before, after = [torch.tensor([[1.0, 0.0]])], [torch.tensor([[1.0, 0.5]])]
    >>> restricted_bound(before, after, torch.tensor([0.5, 1.0]))
    Bound(measured=tensor(1.), bound=tensor(2.5000))

    Source: Fromage paper, Theorem 1, for layers of any shape (F12).
    """
    theorem = "the restricted bound"
    pair = read_pair(before, after, x, nonlinearity, transmission, theorem)
    need_fixed_point(pair.before, theorem)
    need_alpha(pair, theorem)
    h, move = pair.layer_outputs()
    need_outputs(h, theorem)
    constant = 0.0
    layers = zip(h, pair.before.weights, pair.transmissions, strict=False)
    for inputs, weight, (alpha, beta) in layers:
        constant = constant + 2 * _log_tau(weight, inputs) + math.log(2 * beta / alpha)
    measured = log_square_ratio(log_norm(move[-1]), log_norm(h[-1]))
    return pair.result(measured, constant + log_expm1(pair.log_total()), log10=log10)


def operator_bound(
    before: Network,
    after: Network,
    x: Tensor,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
) -> Bound:
    """‖f̃(x) − f(x)‖ ≤ ‖x‖·∏√β‖W_l‖₂·[∏(1 + ρ_l) − 1], ρ_l = ‖ΔW_l‖₂/‖W_l‖₂: any shape, any rank, ReLU too.

    Not squared, and not relative: divide both sides by ‖f(x)‖ to compare with Theorem 1. It needs no
    condition number and no α. Evaluated layer by layer, so that zero matrices are allowed.

    Args:
        before: the network, as in `functional_bound`, of any shapes and ranks.
        after: the changed network.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for networks given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them; only β counts.

    Returns:
        Bound, in units of the output, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: for φ(0) ≠ 0.
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> operator_bound([torch.eye(2)] * 2, [1.5 * torch.eye(2)] * 2, torch.tensor([3.0, 4.0]))
    Bound(measured=tensor(6.2500), bound=tensor(6.2500))

    Source: Fromage paper, Theorem 1 without condition numbers (X1).
    """
    pair = read_pair(before, after, x, nonlinearity, transmission, "the operator bound")
    need_fixed_point(pair.before, "the operator bound")
    _, move = pair.layer_outputs()
    bound = _drift(pair, operator_norm, [math.sqrt(beta) for _, beta in pair.transmissions])
    return _absolute(pair, log_norm(move[-1]).exp(), bound)


def frobenius_bound(
    before: Network,
    after: Network,
    x: Tensor,
    *,
    nonlinearity: Nonlinearity | None = None,
    transmission: Transmission | None = None,
) -> Bound:
    """‖f̃(x) − f(x)‖² ≤ ‖x‖²·∏β‖W_l‖²·(2^L − 1)·D in Frobenius norms: Theorem 1's trust, any shape, ReLU too.

    Squared, and not relative: what is left of Theorem 1 when nothing is asked of shapes, ranks and α.
    Evaluated layer by layer, so that zero matrices are allowed.

    Args:
        before: the network, as in `functional_bound`, of any shapes and ranks.
        after: the changed network.
        x: inputs, shape (n_0,) or (..., N, n_0).
        nonlinearity: φ, for networks given as matrices; None is the identity.
        transmission: α and β of φ, where `bounds.transmission` does not know them; only β counts.

    Returns:
        Bound, in squared units of the output, each side () or (..., N); the dtype of the layers.

    Raises:
        HypothesisError: for φ(0) ≠ 0.
        TypeError: as `functional_bound` does.
        ValueError: as `functional_bound` does.

    >>> frobenius_bound([torch.ones(1, 1)] * 2, [2 * torch.ones(1, 1)] * 2, torch.ones(1))
    Bound(measured=tensor(9.), bound=tensor(9.))

    Source: Fromage paper, Theorem 1 without condition numbers (X1).
    """
    pair = read_pair(before, after, x, nonlinearity, transmission, "the Frobenius bound")
    need_fixed_point(pair.before, "the Frobenius bound")
    _, move = pair.layer_outputs()
    # 2^L − 1 = 2^L · (1 − 2^(−L)), a 2 for each layer.
    bound = _drift(pair, _square, [2 * beta for _, beta in pair.transmissions], power=2)
    return _absolute(pair, (2 * log_norm(move[-1])).exp(), bound * (1 - 2.0 ** -len(pair.changes)))


def _square(matrix: Tensor) -> Tensor:
    return (2 * log_norm(matrix, 2)).exp()


def _drift(pair: Pair, size, stretches: list[float], power: int = 1) -> Tensor:
    """What bounds the power of ‖h̃_L − h_L‖, (..., N): the induction of the proof, without a subtraction."""
    reach = (power * log_norm(pair.x)).exp()  # Bounds the power of ‖h_l‖.
    drift = torch.zeros_like(reach)
    for weight, change, stretch in zip(pair.before.weights, pair.changes, stretches, strict=True):
        gain, extra = size(weight)[..., None], size(change)[..., None]
        # No change, no drift, also where the reach leaves float64.
        drift = stretch * ((gain + extra) * drift + torch.where(extra == 0, 0.0, extra * reach))
        reach = stretch * gain * reach
    return drift


def _absolute(pair: Pair, measured: Tensor, bound: Tensor) -> Bound:
    sides = torch.broadcast_tensors(measured, bound)
    return Bound(*(pair.finish(side).to(pair.dtype) for side in sides))


def _outputs(pair, theorem, as_printed) -> tuple[Tensor, Tensor]:
    """f(x) and f̃(x) − f(x), the hypotheses of Theorem 1 checked unless they are not asked for."""
    h, move = pair.layer_outputs()
    if not as_printed:
        need_fixed_point(pair.before, theorem)
        need_alpha(pair, theorem)
        need_tall(pair.before, theorem)
        need_outputs(h, theorem)
    return h[-1], move[-1]


def _log_tau(weight: Tensor, h: Tensor) -> Tensor:
    size, reach = log_norm(h @ weight.mT), log_norm(weight, 2)[..., None] + log_norm(h)
    return torch.where(size == -torch.inf, torch.inf, reach - size)


def _log_constant(layers: Layers, constants: list[Transmission]) -> Tensor:
    """log C_0, with the ratio β/α of each layer's nonlinearity: 1 for an output without one."""
    kappas = torch.broadcast_tensors(*(condition_number(weight) for weight in layers.weights))
    kappa = torch.stack(kappas).amax(0)
    total = len(kappas) * (math.log(2 * max(layers.widths)) + 2 * kappa.log())
    return total + sum(math.log(beta / alpha) if alpha else math.inf for alpha, beta in constants)
