"""The data that chapters train on: real, small, and there without a network."""

from typing import NamedTuple

import numpy
import torch
from torch import Tensor

__all__ = ["Digits", "digits"]


class Digits(NamedTuple):
    """Handwritten digits, split and scaled: x (N, 64), y (N,) int64 labels 0…9; pixel = x · std + mean."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    mean: float
    std: float


def digits(test_fraction: float = 0.2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Digits:
    """The 1,797 handwritten digits, 8×8 pixels, that come with scikit-learn: nothing is downloaded.

    They are the test part of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI
    Machine Learning Repository.

    The split is stratified: every digit has the same share in both parts. Pixels (0…16) are shifted and
    scaled so that the training pixels, taken together, have mean 0 and standard deviation 1.

    Args:
        test_fraction: share of the images held out, 0 ≤ f < 1.
        seed: seed of the split.
        dtype: floating dtype of the images.

    Returns:
        Digits: x_train (N, 64), y_train (N,), x_test, y_test, and the mean and std of the training pixels.

    Raises:
        ImportError: without scikit-learn, with the command that installs it.
        TypeError: for a dtype that is not floating point.
        ValueError: for a test_fraction outside [0, 1).

    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape, data.y_train.bincount().min().item()
    (torch.Size([1438, 64]), torch.Size([359, 64]), 139)
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}: choose 0 <= test_fraction < 1")
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype is {dtype!r}: give a torch dtype such as torch.float32")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype}: images are scaled to fractions; choose a floating dtype")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "digits() needs scikit-learn, which is not installed: pip install 'fromage-edu[notebooks]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)

    random = numpy.random.default_rng(seed)
    train, test = [], []
    for digit in range(10):
        members = random.permutation(numpy.flatnonzero(labels == digit))
        held_out = round(test_fraction * len(members))
        test.append(members[:held_out])
        train.append(members[held_out:])
    train, test = (random.permutation(numpy.concatenate(part)) for part in (train, test))

    mean, std = pixels[train].mean(), pixels[train].std()
    images, targets = torch.as_tensor((pixels - mean) / std, dtype=dtype), torch.as_tensor(labels).long()
    return Digits(images[train], targets[train], images[test], targets[test], float(mean), float(std))
