"""Recorded runs: they load, say where they come from, stay small, and show what the pages say they show."""

import json

import pandas as pd
import pytest

from fromage_edu import recorded
from fromage_edu.experiments import depth


@pytest.mark.parametrize("name", recorded.names())
def test_a_record_is_complete(name):
    table, provenance = recorded.load(name)
    assert len(table) == provenance["rows"] and list(table.columns) == provenance["columns"]
    assert (recorded.FOLDER / f"{name}.csv").stat().st_size <= recorded.MAX_BYTES
    assert (
        "source" in provenance
        or {"command", "config", "versions", "commit", "device", "date"} <= provenance.keys()
    )


def test_every_record_has_both_files():
    endings = {path.stem: path.suffix for path in recorded.FOLDER.glob("*.json")}
    assert sorted(endings) == recorded.names()


def test_all_records_together_stay_small():
    assert sum(path.stat().st_size for path in recorded.FOLDER.glob("*.csv")) <= 3_000_000


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


def test_the_recorded_race_was_run_with_the_present_settings():
    for name in ("depth_race", "depth_finals"):
        _, provenance = recorded.load(name)
        for preset, config in provenance["config"].items():
            as_json = json.loads(json.dumps(depth.asdict(depth.PRESETS[preset])))
            assert config == as_json


def test_the_recorded_race_shows_what_the_intro_bets_on():
    curves, _ = recorded.load("depth_race")
    last = curves[curves["epoch"] == curves["epoch"].max()]
    assert set(curves["depth"]) == {30} and last.groupby("entrant").size().min() >= 5
    medians = last.groupby("entrant")["accuracy"].median()
    assert medians["Fromage"] > depth.LEARNS and medians[depth.TINY_EPS] > depth.LEARNS
    assert last.groupby("entrant")["accuracy"].max()[["Adam", "SGD + momentum"]].max() < depth.CHANCE
