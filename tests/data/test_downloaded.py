"""MNIST and CIFAR-10: what comes out of the files is what was put in, scaled; no file is trusted."""

import gzip
import re
import struct
import tarfile

import numpy
import pytest
import torch

from fromage_edu.data import cifar10, downloaded, mnist


def test_mnist_holds_every_image_with_its_label(tiny_mnist, folder):
    data = mnist(dtype=torch.float64)
    pairs = (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test))
    for part, x, y in pairs:
        images, labels = tiny_mnist[part]
        pixels = x * data.std + data.mean
        assert x.shape == (len(images), 784) and y.dtype == torch.int64 and y.tolist() == labels.tolist()
        assert (pixels - torch.from_numpy(images).flatten(1)).abs().max() < 1e-9
    assert isinstance(data.mean, float) and data.mean == pytest.approx(tiny_mnist["train"][0].mean())
    assert data.x_train.mean().abs() < 1e-12
    assert data.x_train.std(correction=0).item() == pytest.approx(1, abs=1e-12)


def test_mnist_as_images(tiny_mnist, folder):
    data, flat = mnist(flatten=False), mnist()
    assert data.x_train.shape == (600, 1, 28, 28) and data.x_test.shape == (100, 1, 28, 28)
    assert data.x_train.flatten(1).equal(flat.x_train)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_each_pixel_is_rounded_once(tiny_mnist, folder, dtype):
    exact, data = mnist(dtype=torch.float64), mnist(dtype=dtype)
    assert data.x_train.equal(exact.x_train.to(dtype)) and data.x_test.equal(exact.x_test.to(dtype))


def test_cifar10_holds_every_image_with_its_label(tiny_cifar, folder):
    data = cifar10(dtype=torch.float64)
    assert data.x_train.shape == (200, 3, 32, 32) and data.x_test.shape == (40, 3, 32, 32)
    assert data.mean.shape == data.std.shape == (3, 1, 1)
    pixels = torch.cat([data.x_train, data.x_test]) * data.std + data.mean
    assert (pixels.flatten(1) - torch.from_numpy(tiny_cifar[:, 1:])).abs().max() < 1e-9
    assert torch.cat([data.y_train, data.y_test]).tolist() == tiny_cifar[:, 0].tolist()


def test_cifar10_has_one_scale_for_each_color(tiny_cifar, folder):
    data = cifar10(dtype=torch.float64)
    assert data.x_train.mean((0, 2, 3)).abs().max() < 1e-12
    assert (data.x_train.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-12
    red, green, blue = data.mean.flatten().tolist()
    assert red == pytest.approx(63, abs=2) and green == pytest.approx(127.5, abs=2) == blue


def test_cifar10_flattened(tiny_cifar, folder):
    data, flat = cifar10(), cifar10(flatten=True)
    assert flat.x_train.equal(data.x_train.flatten(1)) and flat.mean.shape == flat.std.shape == (3072,)
    assert (flat.x_test * flat.std + flat.mean).equal((data.x_test * data.std + data.mean).flatten(1))


def test_of_an_archive_only_the_batches_are_read_and_nothing_is_unpacked(tiny_cifar, site, folder, pack):
    names = downloaded.CIFAR10_BATCHES
    content = pack(
        [
            ("../outside.bin", b"x"),
            ("/tmp/outside.bin", b"x"),
            (names[0], tarfile.SYMTYPE, "/etc/passwd"),
            *((name, tiny_cifar[:40].tobytes()) for name in names),
        ]
    )
    downloaded.CIFAR10 = site.put(downloaded.CIFAR10, content)
    assert len(cifar10().y_train) == 200
    left = {path.name for path in folder.parent.rglob("*")} - {"cifar-10-binary.tar.gz.lock"}
    assert left == {"cache", "cifar-10-binary.tar.gz"}


def test_an_archive_that_lacks_a_batch(tiny_cifar, site, folder, pack):
    names = downloaded.CIFAR10_BATCHES
    members = [(name, b"\0" * 3073) for name in names[1:]] + [(names[0], tarfile.SYMTYPE, names[1])]
    downloaded.CIFAR10 = site.put(downloaded.CIFAR10, pack(members))
    with pytest.raises(ValueError, match=r"binary.tar.gz lacks cifar-10-batches-bin/data_batch_1.bin"):
        cifar10()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        struct.pack(">HBBI", 0, 8, 3, 1),  # three axes, one size
        struct.pack(">HBBI", 0, 8, 1, 4) + b"abc",  # cut
        struct.pack(">HBBI", 0, 8, 1, 2) + b"abc",  # longer than it says
        struct.pack(">HBBI", 0, 13, 1, 3) + b"abc",  # floats, it says
        struct.pack(">HBBI", 7, 8, 1, 3) + b"abc",
    ],
)
def test_a_file_that_is_not_idx(content, tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="labels.gz is not an IDX file of bytes, or not all of one"):
        downloaded.read_idx(path)


@pytest.mark.parametrize("labels", [numpy.zeros(3), numpy.array([0, 10]), numpy.zeros((2, 1))])
def test_labels_that_do_not_fit(labels, tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        downloaded.labeled(numpy.zeros((2, 28, 28)), labels, tmp_path)


@pytest.mark.parametrize("load", [mnist, cifar10])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dtype=torch.int64), "dtype is torch.int64: images are scaled to fractions"),
        (dict(dtype="float32"), "dtype is 'float32': give a torch dtype"),
        (dict(folder=3), "folder is 3: give a path, or None for the user's cache"),
        (dict(folder=""), "folder is '': give a path"),
    ],
)
def test_messages(load, options, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        load(**options)


def test_what_is_asked_for_is_what_was_published():
    files = [file for part in downloaded.MNIST.values() for file in part] + [downloaded.CIFAR10]
    assert len({file.sha256 for file in files}) == len({file.name for file in files}) == 5
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 4000
        assert all(re.fullmatch("https://.+/", mirror) for mirror in file.mirrors) and len(file.mirrors) > 1
