"""Data sets that are downloaded once, all of MNIST and CIFAR-10, in formats that hold bytes and no code."""

import gzip
import math
import os
import struct
import tarfile
from pathlib import Path

import numpy
import torch

from fromage_edu.data.cache import File, cache_folder, check_packages, fetch
from fromage_edu.data.samples import Images, check_dtype, standardize

__all__ = ["cifar10", "mnist"]

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# (images, labels) of the training and the test part; checksums as published for the files of 1998.
MNIST = {
    "train": (
        File(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            MNIST_MIRRORS,
        ),
        File(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            MNIST_MIRRORS,
        ),
    ),
    "test": (
        File(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            MNIST_MIRRORS,
        ),
        File(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            MNIST_MIRRORS,
        ),
    ),
}
# The binary version: the one for Python is pickled, and unpickling a stranger's file runs it.
CIFAR10 = File(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
)
CIFAR10_BATCHES = [
    *(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
    "cifar-10-batches-bin/test_batch.bin",
]


def mnist(
    dtype: torch.dtype = torch.float32, flatten: bool = True, folder: str | os.PathLike | None = None
) -> Images:
    """MNIST: 60,000 handwritten digits to train on and 10,000 to test, 28×28 pixels; downloaded once (12 MB).

    Made by LeCun, Cortes and Burges from the handwriting that NIST collected, and described in LeCun, Bottou,
    Bengio and Haffner (1998), Gradient-based learning applied to document recognition. It is usually given
    under CC BY-SA 3.0. The four files of 1998 come from public mirrors, are checked against their published
    SHA-256, and stay in `folder`; a download that breaks off goes on where it was at the next call.

    The split is MNIST's own. Pixels (0…255) are shifted and scaled so that the training pixels, taken
    together, have mean 0 and standard deviation 1.

    Args:
        dtype: floating dtype of the images.
        flatten: images as rows (N, 784), for perceptrons; False: (N, 1, 28, 28), for convolutions.
        folder: where the files are kept; None: what the environment variable FROMAGE_EDU_DATA names, or else
            the user's cache.

    Returns:
        Images: x_train (60000, 784), y_train (60000,), x_test, y_test, and the mean and std of the training
        pixels (33.3 and 78.6).

    Raises:
        ConnectionError: if the files are not there and no mirror gives them; it names what needs no network.
        ImportError: without pooch or tqdm, with the command that installs them.
        OSError: if the folder cannot be read or written.
        TypeError: for a dtype that is not floating point, or a folder that is no path.

    >>> data = mnist()  # doctest: +SKIP
    >>> data.x_train.shape, data.x_test.shape  # doctest: +SKIP
    (torch.Size([60000, 784]), torch.Size([10000, 784]))
    """
    check_dtype(dtype)
    check_packages("mnist()")
    place = cache_folder(folder)
    paths = {part: [fetch(file, place) for file in files] for part, files in MNIST.items()}
    train, test = (labeled(*map(read_idx, paths[part]), paths[part][0]) for part in ("train", "test"))
    return standardize(train, test, dtype, flatten)


def cifar10(
    dtype: torch.dtype = torch.float32, flatten: bool = False, folder: str | os.PathLike | None = None
) -> Images:
    """CIFAR-10: 50,000 color photos to train on and 10,000 to test, 32×32 pixels; downloaded once (170 MB).

    Collected by Krizhevsky, Nair and Hinton from the web and described in Krizhevsky (2009), Learning
    multiple layers of features from tiny images, which its authors ask users to cite; they state no license.
    The binary version is checked against its published SHA-256 and stays packed in `folder`; a download that
    breaks off goes on where it was at the next call. The classes, 0 to 9: airplane, automobile, bird, cat,
    deer, dog, frog, horse, ship, truck.

    The split is CIFAR-10's own. Pixels (0…255) are shifted and scaled so that in each color the training
    pixels have mean 0 and standard deviation 1. In float32 the images take 740 MB of memory,
    and 1.3 GB for the seconds in which they are read.

    Args:
        dtype: floating dtype of the images.
        flatten: images as rows (N, 3072), red, green, blue; False: (N, 3, 32, 32).
        folder: where the file is kept; None: what the environment variable FROMAGE_EDU_DATA names, or else
            the user's cache.

    Returns:
        Images: x_train (50000, 3, 32, 32), y_train (50000,), x_test, y_test, and the mean and std of the
        training pixels, (3, 1, 1), or (3072,) if flattened.

    Raises:
        ConnectionError: if the file is not there and no mirror gives it; it names what needs no network.
        ImportError: without pooch or tqdm, with the command that installs them.
        OSError: if the folder cannot be read or written.
        TypeError: for a dtype that is not floating point, or a folder that is no path.

    >>> data = cifar10()  # doctest: +SKIP
    >>> data.x_train.shape, data.x_test.shape  # doctest: +SKIP
    (torch.Size([50000, 3, 32, 32]), torch.Size([10000, 3, 32, 32]))
    """
    check_dtype(dtype)
    check_packages("cifar10()")
    path = fetch(CIFAR10, cache_folder(folder))
    rows = read_cifar(path, CIFAR10_BATCHES)
    images, labels = labeled(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0], path)
    split = len(rows) // 6 * 5  # six batches of one size; the last holds the test part
    train, test = ((images[part], labels[part]) for part in (slice(split), slice(split, None)))
    return standardize(train, test, dtype, flatten)


def labeled(images: numpy.ndarray, labels: numpy.ndarray, path: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pair images (N, H, W) or (N, C, H, W) with labels (N,), or say why they do not fit."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels) or labels.max() > 9:
        raise ValueError(f"{path}: images {images.shape} with labels {labels.shape}, 0 to 9 each, do not fit")
    return images, labels


def read_idx(path: Path) -> numpy.ndarray:
    """Read an IDX file of bytes: two zeros, 8 for bytes, the number of axes, their sizes, then the values."""
    content = gzip.decompress(path.read_bytes())
    try:
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
    except struct.error:
        zeros, kind, shape = 0, 0, ()
    start = 4 + 4 * len(shape)
    if (zeros, kind) != (0, 8) or len(content) - start != math.prod(shape):
        raise ValueError(f"{path} is not an IDX file of bytes, or not all of one")
    # A copy, because torch warns of memory that is read-only.
    return numpy.frombuffer(content, numpy.uint8, offset=start).reshape(shape).copy()


def read_cifar(path: Path, names: list[str]) -> numpy.ndarray:
    """Read batches out of the archive as rows (N, 3073), a label and 3×32×32 pixels; none is unpacked."""
    batches = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.name in names and member.isfile() and member.size % 3073 == 0:
                content = archive.extractfile(member).read()
                batches[member.name] = numpy.frombuffer(content, numpy.uint8).reshape(-1, 3073)
    if missing := [name for name in names if name not in batches]:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    return numpy.concatenate([batches[name] for name in names])
