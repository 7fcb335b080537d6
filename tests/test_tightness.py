"""The search for the tightest networks: its parts, its record, and what pages quote of it."""

import dataclasses
import sys

import pytest
import torch

from fromage_edu import recorded
from fromage_edu.bounds import Bound, is_valley
from fromage_edu.experiments import record, tightness
from fromage_edu.experiments.tightness import CASES, PRESETS, Config, Point

TINY = Config(networks=20, batch=10, ascents=1, starts=2, steps=3)


@pytest.mark.parametrize("shape", ["tall", "rising", "valley", "square", "any", "scalar"])
def test_networks_have_the_shape_asked_for_and_repeat_with_the_seed(shape):
    for seed in range(20):
        one, two = (
            tightness.networks(shape, True, 3, TINY, torch.Generator().manual_seed(seed)) for _ in range(2)
        )
        assert all(
            a.equal(b) for a, b in zip(one.weights + one.changes, two.weights + two.changes, strict=True)
        )
        widths = [one.x.shape[-1], *(weight.shape[-2] for weight in one.weights)]
        assert len(widths) <= TINY.depth + 1 and max(widths) <= TINY.width
        assert one.perturbed[0].equal(one.weights[0] + one.changes[0])
        expected = {
            "tall": len(widths) == 2 and widths == sorted(widths),
            "rising": widths == sorted(widths),
            "valley": is_valley(widths),
            "square": len(set(widths)) == 1,
            "any": True,
            "scalar": set(widths) == {1},
        }
        assert expected[shape]


def test_one_point_a_case_and_a_row_a_point():
    points = tightness.points(TINY)
    assert [point.case for point in points] == list(CASES)
    outcomes = [tightness.run_point(point) for point in points[:3]]
    table = tightness.summarise(outcomes)
    assert list(table["bound"]) == list(CASES)[:3] and (table["networks"] == 20).all()
    assert (table[["random", "ascent"]] <= 1 + 1e-9).all(axis=None) and (
        table["median"] <= table["random"]
    ).all()
    again = tightness.run_point(points[1])
    assert (again.random, again.ascent) == (outcomes[1].random, outcomes[1].ascent)


def test_a_nan_is_a_broken_bound(monkeypatch):
    broken = CASES["Lemma 3"]._replace(
        evaluate=lambda nets: Bound(nets.x.sum((1, 2)) * torch.nan, nets.x[:, 0, 0])
    )
    monkeypatch.setitem(CASES, "Lemma 3", broken)
    outcome = tightness.run_point(Point("Lemma 3", TINY))
    assert outcome.random == outcome.ascent == float("inf")


def test_the_figure_has_a_row_a_bound():
    table, _ = recorded.load("bound_ratios")
    figure = tightness.figure(table)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table["bound"])


@pytest.mark.parametrize(("name", "value"), [("networks", 0), ("steps", 1.5), ("seed", -1)])
def test_a_config_that_makes_no_search_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: give a whole number >= 1"):
        dataclasses.replace(TINY, **{name: value})


def test_unknown_names_and_missing_pandas(monkeypatch):
    with pytest.raises(ValueError, match="no shape is named 'hill'; there are tall, rising"):
        tightness.networks("hill", True, 3, TINY, torch.Generator())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="tables need pandas"):
        tightness.recordings()


def test_the_command_writes_a_record(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "paper", TINY)
    monkeypatch.setattr(tightness, "CASES", {name: CASES[name] for name in list(CASES)[:2]})
    record.main(["tightness", "--folder", str(tmp_path)])
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    table, provenance = recorded.load("bound_ratios")
    assert len(table) == 2 and provenance["config"] == {"paper": dataclasses.asdict(TINY)}


class TestRecord:
    def test_every_inequality_is_there(self):
        table, _ = recorded.load("bound_ratios")
        assert list(table["bound"]) == list(CASES)
        assert list(table["result"]) == [case.result for case in CASES.values()]

    def test_no_bound_was_broken_and_at_least_10_000_networks_tried(self):
        table, _ = recorded.load("bound_ratios")
        assert (table["networks"] >= 10_000).all()
        assert (table[["random", "ascent"]] <= 1).all(axis=None)

    def test_what_pages_say_of_it(self):
        table, _ = recorded.load("bound_ratios")
        rows = table.set_index("bound")
        assert rows.loc["Theorem 1", "ascent"] == 0.875 and rows.loc["Theorem 2", "ascent"] == 0.25
        assert rows.loc["Lemma 5", "ascent"] == rows.loc["X1, operator norms", "ascent"] == 1
        assert rows.loc["Theorem 1", "median"] < 1e-6 < rows.loc["X1, operator norms", "median"]
