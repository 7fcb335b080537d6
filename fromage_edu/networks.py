"""The networks that the papers reason about."""

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from fromage_edu.trust.precision import working_dtype

__all__ = ["Perceptron", "radial_slopes", "weight_matrices"]


class Perceptron(nn.Module):
    """Multilayer perceptron f = (φ∘W_L) ∘ … ∘ (φ∘W_1), with h_0 = x and h_l = φ(W_l h_{l−1}).

    W_l has shape (n_l, n_{l−1}). The paper's perceptron has no biases and a nonlinearity at the output too;
    both can be changed. Weights (and biases) start like those of `nn.Linear`: uniform in ±1/√n_{l−1}.

    Args:
        widths: n_0, …, n_L: input, hidden and output widths, at least two.
        nonlinearity: φ, an elementwise module or function; None is `nn.ReLU()`, `nn.Identity()` is none.
        bias: whether the layers have biases, h_l = φ(W_l h_{l−1} + b_l).
        output_nonlinearity: whether φ follows the last layer too.
        generator: source of the random weights; None takes torch's global one.

    Raises:
        ValueError: for fewer than two widths, a width below 1, or an x of another width.
        TypeError: for a nonlinearity that cannot be called.

    >>> network = Perceptron([8, 16, 16, 1])
    >>> network(torch.zeros(5, 8)).shape
    torch.Size([5, 1])
    >>> [tuple(weight.shape) for weight in network.weights]
    [(16, 8), (16, 16), (1, 16)]

    Source: Fromage paper, Definition 3 (F4).
    """

    def __init__(
        self,
        widths: Sequence[int],
        nonlinearity: Callable[[Tensor], Tensor] | None = None,
        bias: bool = False,
        output_nonlinearity: bool = True,
        *,
        generator: torch.Generator | None = None,
    ):
        """Build the layers; see the class."""
        super().__init__()
        if not isinstance(widths, Iterable):
            raise TypeError(f"widths is {widths!r}: give a list such as [64, 32, 10]")
        widths = list(widths)
        if len(widths) < 2:
            raise ValueError(f"widths {widths} make no layer: give at least an input and an output width")
        if any(isinstance(width, bool) or not isinstance(width, Integral) or width < 1 for width in widths):
            raise ValueError(f"widths {widths}: every width must be a whole number >= 1")
        if nonlinearity is not None:
            check_nonlinearity(nonlinearity)
        self.widths = tuple(widths)
        self.nonlinearity = nn.ReLU() if nonlinearity is None else nonlinearity
        self.output_nonlinearity = output_nonlinearity
        self.layers = nn.ModuleList(
            _linear(inputs, outputs, bias, generator)
            for inputs, outputs in zip(widths, widths[1:], strict=False)
        )

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weight matrices W_1, …, W_L, of shapes (n_l, n_{l−1}).

        >>> len(Perceptron([4, 4, 2]).weights)
        2
        """
        return [layer.weight for layer in self.layers]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """All layers' outputs h_0 = x, h_1, …, h_L = f(x), of shapes (..., n_l).

        >>> [h.shape[-1] for h in Perceptron([4, 8, 2]).hidden(torch.ones(3, 4))]
        [4, 8, 2]
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"x is a {type(x).__name__}: give a tensor")
        if not x.ndim or x.shape[-1] != self.widths[0]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: its last dimension must be the input width {self.widths[0]}"
            )
        outputs = [x]
        for index, layer in enumerate(self.layers, start=1):
            h = layer(outputs[-1])
            last = index == len(self.layers)
            outputs.append(h if last and not self.output_nonlinearity else self.nonlinearity(h))
        return outputs

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """What goes into the nonlinearity: z_l = W_l h_{l−1} (+ b_l) for l = 1, …, L, of shapes (..., n_l).

        >>> [z.shape[-1] for z in Perceptron([4, 8, 2]).preactivations(torch.ones(3, 4))]
        [8, 2]
        """
        return [layer(h) for layer, h in zip(self.layers, self.hidden(x), strict=False)]

    def forward(self, x: Tensor) -> Tensor:
        """The network's output f(x): (..., n_0) -> (..., n_L)."""
        return self.hidden(x)[-1]


def _linear(inputs, outputs, bias, generator) -> nn.Linear:
    if generator is None:
        return nn.Linear(inputs, outputs, bias=bias)
    # The same draws as nn.Linear makes, from the generator, leaving torch's global one alone.
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if bias:
        reach = 1 / math.sqrt(inputs)
        nn.init.uniform_(layer.bias, -reach, reach, generator=generator)
    return layer


def weight_matrices(network: Perceptron | Sequence[Tensor], name: str = "network") -> list[Tensor]:
    """The matrices W_1, …, W_L of a network, checked to chain: W_l takes what W_{l−1} returns.

    Args:
        network: a `Perceptron`, or its matrices, first layer first, each (..., n_l, n_{l−1}). Leading
            dimensions, if any, hold several networks of one shape.
        name: what messages call it.

    Returns:
        The L matrices themselves, no copies.

    Raises:
        TypeError: for anything but a perceptron or a sequence of real tensors.
        ValueError: for no matrices, empty ones, NaN or infinity, or ones that do not chain.

    >>> [tuple(matrix.shape) for matrix in weight_matrices(Perceptron([4, 8, 2]))]
    [(8, 4), (2, 8)]

    Source: Fromage paper, Definition 3 (F4).
    """
    if isinstance(network, Perceptron):
        matrices = network.weights
    elif isinstance(network, Tensor | str | nn.Module) or not isinstance(network, Iterable):
        kind = type(network).__name__
        raise TypeError(f"`{name}` is a {kind}: give a Perceptron or its matrices [W_1, W_2, …]")
    else:
        matrices = list(network)
    if not matrices:
        raise ValueError(f"`{name}` has no layers: give at least one matrix")
    for layer, matrix in enumerate(matrices, start=1):
        check_matrix(matrix, f"layer {layer} of `{name}`")
    for layer, (lower, upper) in enumerate(zip(matrices, matrices[1:], strict=False), start=1):
        if upper.shape[-1] != lower.shape[-2]:
            raise ValueError(
                f"layer {layer} of `{name}` returns {lower.shape[-2]} numbers and layer {layer + 1} takes "
                f"{upper.shape[-1]}: give the matrices first layer first, W_l of shape (n_l, n_(l-1))"
            )
    return matrices


def radial_slopes(weights: Perceptron | Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """⟨W_l, g_l⟩ for each layer: how fast the loss rises as the layer is scaled up, d𝓛/d log c at c·W_l.

    In a bias-free ReLU network, away from kinks, scaling any one layer scales the output alike, so all layers
    have the same. A layer whose scale does not matter has 0: its gradient is orthogonal to it.

    Args:
        weights: a `Perceptron`, or tensors W_1, …, W_L of any shapes.
        gradients: g_1, …, g_L, of the same shapes.

    Returns:
        Shape (L,), in units of the loss, float64; differentiable.

    Raises:
        TypeError: for anything but sequences of real tensors.
        ValueError: for no layers, another number of gradients, or shapes that differ.

    >>> network = Perceptron([4, 8, 8, 1], generator=torch.Generator().manual_seed(0))
    >>> loss = network(torch.ones(4)).square().sum()
    >>> slopes = radial_slopes(network, torch.autograd.grad(loss, network.weights))
    >>> torch.allclose(slopes, slopes[0])
    True

    Source: Fromage paper, Algorithm 1 on ReLU networks (X6).
    """
    groups = {}
    weights = weights.weights if isinstance(weights, Perceptron) else weights
    for name, group in (("weights", weights), ("gradients", gradients)):
        if isinstance(group, Tensor | str) or not isinstance(group, Iterable):
            raise TypeError(f"`{name}` is a {type(group).__name__}: give one tensor for each layer")
        groups[name] = list(group)
        for layer, tensor in enumerate(groups[name], start=1):
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise TypeError(f"layer {layer} of `{name}` is {kind}: give real floating-point tensors")
    old, new = groups.values()
    if not old or len(old) != len(new):
        raise ValueError(f"there are {len(old)} weights and {len(new)} gradients: give one of each per layer")
    slopes = []
    for layer, (weight, gradient) in enumerate(zip(old, new, strict=True), start=1):
        if weight.shape != gradient.shape:
            raise ValueError(
                f"layer {layer} has shape {tuple(weight.shape)} and its gradient {tuple(gradient.shape)}: "
                "they must agree"
            )
        wide = working_dtype(weight.device)
        slopes.append((weight.to(wide) * gradient.to(wide)).sum())
    return torch.stack(slopes)


def check_nonlinearity(nonlinearity: Callable[[Tensor], Tensor]) -> None:
    """Raise TypeError unless this is a module or a function; a class of modules is neither."""
    if isinstance(nonlinearity, type):
        name = nonlinearity.__name__
        raise TypeError(f"nonlinearity is the class {name}: give an instance, {name}()")
    if not callable(nonlinearity):
        raise TypeError(f"nonlinearity is {nonlinearity!r}: give a module or a function")


def check_matrix(matrix: Tensor, name: str) -> None:
    """Raise TypeError or ValueError unless this is a real, finite, non-empty matrix (..., m, n)."""
    if not isinstance(matrix, Tensor):
        raise TypeError(f"{name} is a {type(matrix).__name__}: give a tensor of shape (..., m, n)")
    if matrix.layout != torch.strided:
        raise TypeError(f"{name} is {matrix.layout}: convert it with .to_dense()")
    # Formats of 8 bits hold no arithmetic of their own.
    tiny = matrix.is_floating_point() and matrix.dtype.itemsize < 2
    if matrix.is_complex() or matrix.dtype == torch.bool or tiny:
        raise TypeError(f"{name} is {matrix.dtype}: give real numbers, such as its .float()")
    if matrix.ndim < 2 or not matrix.shape[-1] or not matrix.shape[-2]:
        raise ValueError(f"{name} has shape {tuple(matrix.shape)}: give a matrix (..., m, n), m, n >= 1")
    if not matrix.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity: give finite numbers")
