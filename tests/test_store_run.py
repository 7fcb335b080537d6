"""Running an experiment with a store: it goes on where it ended, and gives what it would have given."""

import math
import types
from typing import NamedTuple

import pytest

from fromage_edu.experiments import depth, norms, perturbation, store


class Config(NamedTuple):
    size: int = 3
    lr: float = 0.1


class Point(NamedTuple):
    config: Config
    number: int


class Outcome(NamedTuple):
    rows: list
    seconds: float


def experiment(run_point=lambda point: Outcome([{"number": point.number, "loss": math.nan}], 0.5)):
    """A module as the experiments are, of one row a point."""
    module = types.ModuleType("fromage_edu.experiments.counting")
    module.points = lambda config: [Point(config, number) for number in range(config.size)]
    module.run_point, module.Outcome, module.PRESETS = run_point, Outcome, {"a, b": Config()}
    return module


def lines(folder):
    return (folder / "points.jsonl").read_bytes().splitlines()


def test_a_run_goes_on_where_it_ended_and_gives_the_same(tmp_path):
    ran, done = [], []

    def run_point(point):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(point.number)
        return Outcome([{"number": point.number, "loss": math.inf}], 0.5)

    counting = experiment(run_point)
    with pytest.raises(KeyboardInterrupt):
        store.run(counting, Config(), folder=tmp_path, progress=done.append)
    assert ran == [0, 1] and done == ["1 of 3: number 0, 0 s", "2 of 3: number 1, 0 s"]
    ran.clear()
    outcomes = store.run(counting, Config(), folder=tmp_path, progress=done.append)
    assert ran == [2] and [outcome.rows[0]["number"] for outcome in outcomes] == [0, 1, 2]
    assert outcomes == store.run(experiment(None), Config(), folder=tmp_path)
    ran.clear()
    with pytest.raises(KeyboardInterrupt):
        store.run(counting, Config())  # Without a folder all run again.
    assert ran == [0, 1]


@pytest.mark.parametrize("module", [norms, perturbation, depth])
def test_an_experiment_comes_back_from_the_folder_as_it_went_in(module, tmp_path):
    config = module.PRESETS["quick"]
    if module is norms:
        config = norms.Config(networks=["plain"], seeds=[5], width=4, hidden=1, epochs=1)
    plain = store.run(module, config)
    kept = store.run(module, config, folder=tmp_path)
    again = store.run(types.SimpleNamespace(**{**vars(module), "run_point": None}), config, folder=tmp_path)
    assert again == kept and type(again[0]) is type(plain[0])
    assert [outcome[:-1] for outcome in kept] == [outcome[:-1] for outcome in plain]


def test_presets_have_a_folder_each(tmp_path):
    said = []
    outcomes, configs = store.run_presets(experiment(), ["a, b"], keep=tmp_path, progress=said.append)
    assert len(outcomes) == 3 and configs == {"a, b": {"size": 3, "lr": 0.1}}
    assert len(lines(tmp_path / "a-b")) == 3 and said[0].startswith("a, b: 1 of 3")
    with pytest.raises(ValueError, match="no preset is named 'c'; there are 'a, b'"):
        store.run_presets(experiment(), ["a, b", "c"])
