"""The formulas of the papers with 60 digits, written out as slowly as they are printed."""

import mpmath
import torch
from mpmath import mp, mpf

DIGITS = 60


def exact(tensor):
    """A float64 vector or matrix as an mpmath matrix, digit for digit."""
    return mpmath.matrix(tensor.tolist())


def norm(matrix):
    """Euclidean or Frobenius norm."""
    return mp.sqrt(mp.fsum(entry**2 for entry in matrix))


def singular_values(matrix):
    """The min(m, n) singular values, largest first."""
    tall = matrix if matrix.rows >= matrix.cols else matrix.T
    return sorted(mpmath.svd_r(tall, compute_uv=False), reverse=True)


def kappa(matrix):
    values = singular_values(matrix)
    return values[0] / values[-1]


def trust(weights, changes):
    """Deep relative trust, Definition 2."""
    return mp.fprod(1 + (norm(d) / norm(w)) ** 2 for w, d in zip(weights, changes, strict=True)) - 1


def leaky(slope):
    slope = mpf(slope)
    return lambda z: z.apply(lambda entry: entry if entry >= 0 else slope * entry)


def leaky_derivative(slope):
    slope = mpf(slope)
    return lambda z: mpmath.diag([mpf(1) if entry >= 0 else slope for entry in z])


def layers(weights, x, slope):
    """h_0, …, h_L."""
    h = [x]
    for weight in weights:
        h.append(leaky(slope)(weight * h[-1]))
    return h


def product(matrices):
    """W_L ⋯ W_1."""
    total = matrices[0]
    for matrix in matrices[1:]:
        total = matrix * total
    return total


def jacobian(weights, x, slope, layer):
    """Φ'_L W_L ⋯ Φ'_{k+1} W_{k+1}."""
    h = layers(weights, x, slope)
    total = mpmath.eye(h[layer].rows)
    for weight, inputs in list(zip(weights, h, strict=False))[layer:]:
        total = leaky_derivative(slope)(weight * inputs) * weight * total
    return total


def widest(weights):
    return max([weights[0].cols, *(weight.rows for weight in weights)])


def random_pair(widths, seed, size=0.3):
    """A float64 network as matrices, its changed copy, and an input."""
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(m, n, generator=generator, dtype=torch.float64)
        for n, m in zip(widths, widths[1:], strict=False)
    ]
    after = [w + size * torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]
    return weights, after, torch.randn(widths[0], generator=generator, dtype=torch.float64)
