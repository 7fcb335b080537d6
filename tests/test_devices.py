"""Devices: which names there are, which of them are here, and that a point computes where it is told."""

import dataclasses
import json

import pytest
import torch

from fromage_edu.experiments import depth, devices, perturbation, store, sweep
from fromage_edu.experiments.perturbation import Net, Point

QUICK = perturbation.PRESETS["quick"]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_names_that_can_be(name):
    assert devices.device_name(name) == name


@pytest.mark.parametrize(
    "name", ["gpu", "", "CUDA", "cuda:", "cuda:01", "cuda:1\u0661", "cuda:-1", "cpu:0", 0, None]
)
def test_names_that_cannot_be(name):
    with pytest.raises(ValueError, match="give 'cpu', 'cuda', or one of several GPUs") as raised:
        devices.device_name(name)
    assert str(raised.value).startswith(f"device is {name!r}: ")


def test_a_device_without_float64_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="device is 'mps': it has no float64, .* use 'cpu'"):
        devices.device_name("mps")


@pytest.mark.parametrize("experiment", [depth, perturbation])
def test_a_configuration_refuses_a_name_but_not_a_device_of_another_machine(experiment):
    config = experiment.PRESETS["quick"]
    assert config.device == "cpu"
    assert dataclasses.replace(config, device="cuda:31").device == "cuda:31"
    with pytest.raises(ValueError, match="device is 'tpu'"):
        dataclasses.replace(config, device="tpu")


def test_what_is_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.present() == ["cpu", "cuda:0", "cuda:1"]
    assert [devices.usable(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    with pytest.raises(RuntimeError, match="device is 'cuda:2': this machine has cpu, cuda:0, cuda:1"):
        devices.usable("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        RuntimeError, match="device is 'cuda': this machine has only 'cpu': torch sees no GPU"
    ):
        devices.usable("cuda")


def test_a_sweep_refuses_before_it_begins_and_a_folder_of_it_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = dataclasses.replace(QUICK, device="cuda")
    for options in ({}, {"workers": 1}, {"workers": 1, "scheduler": "local"}):
        with pytest.raises(RuntimeError, match="this machine has only 'cpu'"):
            sweep.sweep(perturbation, config, folder=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with store.Store(tmp_path / "out", config, "perturbation") as keep:
        first, _ = perturbation.points(config)
        keep.add(first, perturbation.Outcome([{"seed": 1}], 0.0))
    assert sweep.kept(tmp_path / "out")[1].outcomes == [perturbation.Outcome([{"seed": 1}], 0.0)]


def test_a_named_processor_changes_nothing():
    plain, named = (
        perturbation.run_point(Point(config, Net(3), 8)).rows
        for config in (QUICK, dataclasses.replace(QUICK, device="cpu"))
    )
    assert json.dumps(plain) == json.dumps(named)


def test_everything_is_computed_on_the_device(monkeypatch):
    """On torch's device without values: tensors of two devices do not add up, none is brought back early."""
    read = []
    monkeypatch.setattr(perturbation, "device_name", lambda name: name)
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda self: read.append(self.device.type) or [0.0] * self.numel()
    )
    config = dataclasses.replace(QUICK, device="meta", epochs=1, batch_size=700)
    rows = perturbation.run_point(Point(config, Net(3, residual=True), 64)).rows
    assert len(rows) == 18 and set(read) == {"meta"} and len(read) == 3 * 3 * 3


@gpu
@pytest.mark.parametrize("net", [Net(2), Net(5, residual=True)], ids=lambda net: net.name)
def test_a_gpu_gives_what_the_processor_gives(net):
    config = dataclasses.replace(QUICK, widths=(16,), epochs=1)
    here, there = (
        perturbation.run_point(Point(dataclasses.replace(config, device=device), net, 16)).rows
        for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        assert other == pytest.approx(one, rel=1e-2, abs=1e-4)
