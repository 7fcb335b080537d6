"""What every data set returns, and the two steps on the way there: a fair split, and one scale."""

from typing import NamedTuple

import numpy
import torch
from torch import Tensor


class Images(NamedTuple):
    """Images and labels, split and scaled: x (N, …), y (N,) int64 labels 0…9; pixel = x · std + mean."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    mean: float | Tensor
    std: float | Tensor


def check_dtype(dtype: torch.dtype) -> None:
    """Refuse what images cannot be scaled to."""
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype is {dtype!r}: give a torch dtype such as torch.float32")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype}: images are scaled to fractions; choose a floating dtype")


def check_fraction(test_fraction: float) -> None:
    """Refuse what is no share of a whole with something left to train on."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}: choose 0 <= test_fraction < 1")


def stratified_split(labels: numpy.ndarray, test_fraction: float, seed: int) -> list[numpy.ndarray]:
    """Return shuffled indices (train, test) in which each of the ten classes has the same share."""
    random = numpy.random.default_rng(seed)
    train, test = [], []
    for digit in range(10):
        members = random.permutation(numpy.flatnonzero(labels == digit))
        held_out = round(test_fraction * len(members))
        test.append(members[:held_out])
        train.append(members[held_out:])
    return [random.permutation(numpy.concatenate(part)) for part in (train, test)]


def rescale(pixels: Tensor, tables: list[Tensor]) -> Tensor:
    """Look up each byte of pixels (N, C, H, W) in the table (256,) of its channel."""
    images = torch.empty(pixels.shape, dtype=tables[0].dtype)
    # A thousand images at a time: indices take eight bytes a pixel, and all of CIFAR-10 has 184 million.
    for start in range(0, len(pixels), 1000):
        rows = slice(start, start + 1000)
        for channel, table in enumerate(tables):
            images[rows, channel] = table[pixels[rows, channel].long()]
    return images


def standardize(
    train: tuple[numpy.ndarray, numpy.ndarray],
    test: tuple[numpy.ndarray, numpy.ndarray],
    dtype: torch.dtype,
    flatten: bool,
) -> Images:
    """Scale bytes (N, C, H, W) so that each channel's training pixels have mean 0 and standard deviation 1.

    Every one of the 256 levels is scaled in float64 and rounded once, to `dtype`.
    """
    x_train, x_test = (torch.from_numpy(numpy.ascontiguousarray(pixels)) for pixels, _ in (train, test))
    y_train, y_test = (torch.from_numpy(labels.astype(numpy.int64)) for _, labels in (train, test))
    levels = torch.arange(256, dtype=torch.float64)
    means, stds, tables = [], [], []
    for channel in range(x_train.shape[1]):
        counts = torch.bincount(x_train[:, channel].flatten(), minlength=256)
        share = counts.double() / counts.sum()
        means.append((share @ levels).item())
        stds.append((share @ (levels - means[-1]).square()).sqrt().item())
        tables.append(((levels - means[-1]) / stds[-1]).to(dtype))
    images = [rescale(pixels, tables) for pixels in (x_train, x_test)]
    if len(means) == 1:
        mean, std = means[0], stds[0]
    else:
        mean, std = (torch.tensor(values, dtype=dtype)[:, None, None] for values in (means, stds))
        if flatten:
            mean, std = (values.expand(x_train.shape[1:]).flatten() for values in (mean, std))
    if flatten:
        images = [each.flatten(1) for each in images]
    return Images(images[0], y_train, images[1], y_test, mean, std)
