"""Recorded runs: they load, say where they come from, stay small, and show what the pages say they show."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import torch

from fromage_edu import recorded
from fromage_edu.experiments import depth, record
from fromage_edu.experiments.plain import rebuild


@pytest.mark.parametrize("name", recorded.names())
def test_a_record_is_complete(name):
    table, provenance = recorded.load(name)
    assert len(table) == provenance["rows"] and list(table.columns) == provenance["columns"]
    assert sum(path.stat().st_size for path in recorded.FOLDER.glob(f"{name}.*")) <= recorded.MAX_BYTES
    ours = {"command", "config", "versions", "commit", "device", "date"}
    assert ours <= provenance.keys() or {"source", "license"} <= provenance.keys()


def test_every_record_has_both_files():
    endings = {path.stem: path.suffix for path in recorded.FOLDER.glob("*.json")}
    assert sorted(endings) == recorded.names()


def test_all_records_together_stay_small():
    files = [path for ending in ("csv", "json") for path in recorded.FOLDER.glob(f"*.{ending}")]
    assert sum(path.stat().st_size for path in files) <= 3_000_000


def test_an_unknown_record_names_those_there_are():
    with pytest.raises(ValueError, match="'dept_race'.*depth_race"):
        recorded.load("dept_race")


def test_a_saved_record_comes_back(tmp_path, monkeypatch):
    table = pd.DataFrame({"seed": [1, 2], "loss": [0.123456789, float("nan")]})
    path = recorded.save("tiny", table, config={"epochs": 1}, command="make it", folder=tmp_path)
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    again, provenance = recorded.load("tiny")
    assert path == tmp_path / "tiny.csv"
    assert again["loss"].tolist()[0] == 0.12346 and again["loss"].isna().tolist() == [False, True]
    assert provenance["config"] == {"epochs": 1} and provenance["rows"] == 2
    assert json.loads((tmp_path / "tiny.json").read_text())["versions"].keys() >= {"python", "torch"}


def test_a_record_that_is_too_large_is_refused(tmp_path):
    table = pd.DataFrame({"x": range(100_000)})
    with pytest.raises(ValueError, match="keep fewer rows"):
        recorded.save("huge", table, config={}, command="", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bytes_are_counted_and_both_files_count(tmp_path, monkeypatch):
    table = pd.DataFrame({"name": ["ö" * 500]})  # two bytes a letter
    path = recorded.save("measured", table, config={}, command="", folder=tmp_path)
    size = path.stat().st_size + path.with_suffix(".json").stat().st_size
    assert path.stat().st_size > 1000
    monkeypatch.setattr(recorded, "MAX_BYTES", size)
    recorded.save("fits", table, config={}, command="", folder=tmp_path)
    monkeypatch.setattr(recorded, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match="keep fewer rows"):
        recorded.save("too_large", table, config={}, command="", folder=tmp_path)


@pytest.mark.parametrize("name", ["", "Depth", "depth race", "../depth", "depth.csv", 9])
def test_a_name_that_is_no_plain_file_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"name is {name!r}: use small letters")):
        recorded.save(name, pd.DataFrame({"x": [1]}), config={}, command="", folder=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.zeros(2), {1, 2}])
def test_a_config_that_json_cannot_hold_is_refused_and_the_old_record_stays(value, tmp_path):
    save = {"config": {}, "command": "", "folder": tmp_path}
    recorded.save("tiny", pd.DataFrame({"x": [1]}), **save)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="config of tiny is not JSON .*: use finite numbers"):
        recorded.save("tiny", pd.DataFrame({"x": [2]}), **{**save, "config": {"lr": value}})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_fills_up_leaves_the_old_record(tmp_path, monkeypatch):
    save = {"config": {}, "command": "", "folder": tmp_path}
    recorded.save("tiny", pd.DataFrame({"x": [1]}), **save)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_text

    def full(path, text, **options):
        if path.name == "json":
            raise OSError("No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        recorded.save("tiny", pd.DataFrame({"x": [2]}), **save)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("device", "used", "named"),
    [(None, False, "CPU "), (None, True, "CUDA H"), ("cuda:0", False, "CUDA H"), ("cpu", True, "CPU ")],
)
def test_the_device_that_computed_is_named(device, used, named, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H")
    recorded.save("tiny", pd.DataFrame({"x": [1]}), config={}, command="", device=device, folder=tmp_path)
    assert json.loads((tmp_path / "tiny.json").read_text())["device"].startswith(named)


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        recorded.load("depth_race")


def _settings(module, preset):
    """What is run under a name today: a preset, or the race that the recorded rates choose."""
    if match := re.fullmatch(r"(\d+) layers", preset):
        rates, _ = recorded.load("wide_rates")
        return module.chosen(rates, module.PRESETS["paper"], int(match[1]))
    return module.PRESETS[preset]


@pytest.mark.parametrize("name", [name for name in recorded.names() if not name.endswith("_authors")])
def test_our_records_were_run_with_the_present_settings(name):
    _, provenance = recorded.load(name)
    command, experiment = provenance["command"].rsplit(" ", 1)
    assert command == "python -m fromage_edu.experiments.record" and experiment in record.RECORDED
    module = import_module(f"fromage_edu.experiments.{experiment}")
    assert provenance["config"]
    for preset, config in provenance["config"].items():
        # A setting that is younger than the record has the value that it had when nobody could choose.
        assert rebuild(module.Config, config) == _settings(module, preset)
    assert "edited" not in provenance["commit"] and provenance["commit"] != "unknown"


def test_the_recorded_race_shows_what_the_intro_bets_on():
    curves, _ = recorded.load("depth_race")
    last = curves[curves["epoch"] == curves["epoch"].max()]
    assert set(curves["depth"]) == {30} and last.groupby("entrant").size().min() >= 5
    medians = last.groupby("entrant")["accuracy"].median()
    assert medians["Fromage"] > depth.LEARNS and medians[depth.TINY_EPS] > depth.LEARNS
    assert last.groupby("entrant")["accuracy"].max()[["Adam", "SGD + momentum"]].max() < depth.CHANCE
