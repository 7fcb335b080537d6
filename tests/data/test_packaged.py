"""The digits: real, all there, stratified, scaled, the same every time."""

import re
import sys

import pytest
import torch

from fromage_edu.data import digits


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
