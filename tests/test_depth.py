"""The depth race: its settings, its points and rows, its table and pictures, and who learns."""

import dataclasses
import re
import sys
from functools import partial

import pytest
from torch.nn.functional import cross_entropy

from fromage_edu.experiments import depth, record, tables
from fromage_edu.experiments.depth_results import line_look
from fromage_edu.experiments.trainers import images, network

QUICK = depth.PRESETS["quick"]
WIDE = depth.Config(depths=(2, 3), entrants=(depth.FROMAGE, depth.SGD), seeds=(1, 2), width=65, epochs=1)


@pytest.fixture(scope="module")
def quick_outcomes():
    return [depth.run_point(point) for point in depth.points(QUICK)]


def test_the_same_config_gives_the_same_numbers(quick_outcomes):
    again = [depth.run_point(point) for point in depth.points(QUICK)]
    assert [r.finals for r in again] == [r.finals for r in quick_outcomes]
    assert [r.curves for r in again] == [r.curves for r in quick_outcomes]


def test_a_seed_does_not_depend_on_who_trains_beside_it():
    both, alone = (dataclasses.replace(QUICK, depths=(2,), seeds=seeds) for seeds in ((1, 2), (2,)))
    rows = {
        name: [row for row in depth.run_point(depth.Point(config, 2)).finals if row["seed"] == 2]
        for name, config in {"both": both, "alone": alone}.items()
    }
    for left, right in zip(rows["both"], rows["alone"], strict=True):
        # Sums run in another order in a larger stack; after two epochs that is all the difference there is.
        assert left["train_accuracy"] == pytest.approx(right["train_accuracy"], abs=0.02)


def test_rows_are_tidy(quick_outcomes):
    runs = len(QUICK.entrants) * len(QUICK.seeds)
    for point, each in zip(depth.points(QUICK), quick_outcomes, strict=True):
        assert len(each.finals) == runs and len(each.curves) == runs * QUICK.epochs
        assert {row["depth"] for row in each.curves + each.finals} == {point.depth}
        assert {row["epoch"] for row in each.curves} == set(range(1, QUICK.epochs + 1))
        assert all(0 <= row["accuracy"] <= 1 for row in each.curves)


def test_summary_has_a_row_for_each_depth_and_entrant(quick_outcomes):
    summary = depth.summarise(quick_outcomes)
    assert len(summary) == len(QUICK.depths) * len(QUICK.entrants)
    assert (summary["lowest"] <= summary["median"]).all() and (summary["median"] <= summary["highest"]).all()
    assert (summary["runs"] == len(QUICK.seeds)).all()
    assert set(summary["verdict"]) <= {"learns", "guesses", "between"}


def test_best_learning_rates_keeps_one_row_each():
    import pandas as pd

    rows = [
        {
            "dtype": "float32",
            "depth": 2,
            "entrant": "Adam",
            "lr": lr,
            "train_accuracy": accuracy,
            "diverged": False,
        }
        for lr, accuracies in {0.1: (0.9, 0.1, 0.2), 0.01: (0.5, 0.6, 0.7)}.items()
        for accuracy in accuracies
    ]
    best = depth.best_learning_rates(depth.summarise(pd.DataFrame(rows)))
    assert best[["lr", "median", "learned"]].values.tolist() == [[0.01, 0.6, 3]]


def test_figures_draw_every_entrant(quick_outcomes):
    import matplotlib.pyplot as plt

    fig = depth.figure(depth.summarise(quick_outcomes))
    texts = {text.get_text() for text in fig.axes[0].texts}
    assert {entrant.name for entrant in QUICK.entrants} <= texts
    race = depth.race_figure(quick_outcomes[1].curves)
    runners = ["SGD + momentum", "Adam", "Fromage", depth.TINY_EPS]
    assert [ax.get_title(loc="left") for ax in race.axes] == runners
    three = [row for row in quick_outcomes[1].curves if row["entrant"] != depth.TINY_EPS]
    panels = depth.race_figure(three, order=["Fromage"]).axes
    assert [ax.get_title(loc="left") for ax in panels] == ["Fromage", "Adam", "SGD + momentum"]
    assert all(ax.get_subplotspec().is_first_row() for ax in panels)
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": ()}, "depths is empty: give at least one, such as (2, 10)"),
        ({"depths": 5}, "depths is 5: give a list such as (2, 10)"),
        ({"depths": (1, 5)}, "a depth is 1: give a whole number >= 2"),
        ({"depths": (2.0, 5)}, "a depth is 2.0: give a whole number >= 2"),
        ({"depths": (5, 2, 5)}, "depths hold 5 twice"),
        ({"seeds": ()}, "seeds is empty: give at least one"),
        ({"seeds": 5}, "seeds is 5: give a list such as (11, 12, 13)"),
        ({"seeds": "12"}, "seeds is '12': give a list"),
        ({"seeds": (1, 2, 1)}, "seeds hold 1 twice"),
        ({"seeds": (-1,)}, "a seed is -1: give a whole number >= 0"),
        ({"seeds": (None,)}, "a seed is None: give a whole number >= 0"),
        ({"entrants": depth.ADAM}, "give a list such as (FROMAGE, ADAM)"),
        ({"entrants": ("Adam",)}, "an entrant is 'Adam': give an Entrant, such as FROMAGE"),
        (
            {"entrants": (depth.ADAM, depth.Entrant("Adam", lr=0.001, momentum=0.5))},
            "entrants hold ('Adam', 0.001) twice: a table would take the two for one",
        ),
        ({"width": 0}, "width is 0: give a whole number >= 1"),
        ({"width": 8.5}, "width is 8.5: give a whole number >= 1"),
        ({"batch_size": "x"}, "batch_size is 'x': give a whole number >= 1"),
        ({"batch_size": True}, "batch_size is True: give a whole number >= 1"),
        ({"epochs": 0}, "epochs is 0: give a whole number >= 1"),
        *(
            ({"final_lr": bad}, f"final_lr is {bad!r}: give a number > 0 and <= 1")
            for bad in (0, -0.2, 1.5, float("nan"), "x", None)
        ),
        ({"dtype": "float16"}, "dtype is 'float16': use 'float32' or 'float64'"),
        ({"dataset": "cifar10"}, "dataset is 'cifar10': use 'digits' or 'mnist_5k' or 'mnist'"),
        ({"init": "xavier"}, "init is 'xavier': use 'default' or 'he' or 'orthogonal'"),
        ({"bias": None}, "bias is None: use True or False"),
        ({"device": "tpu"}, "device is 'tpu': give 'cpu', 'cuda'"),
        (
            {"width": 65, "entrants": (depth.Entrant("Fromage", lr=0.01, norms="naive"),)},
            "width is 65: naive norms are for networks up to 64 wide",
        ),
        (
            {"entrants": (depth.Entrant("Adam", lr=0.01, eps=1e-60),)},
            "eps is 1e-60: float32 takes it for 0",
        ),
        (
            # Eps out of the way in two ways has one name: a table could not tell them apart.
            {"entrants": (depth.ADAM_TINY_EPS, dataclasses.replace(depth.ADAM_TINY_EPS, loss_scale=1e12))},
            "entrants hold ('Adam, tiny eps', 0.001) twice",
        ),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        depth.Config(**options)


def test_bad_points_and_networks_are_refused():
    for bad in (1, -2, 2.5, "2"):
        with pytest.raises(ValueError, match=re.escape(f"depth is {bad!r}: give a whole number >= 2")):
            depth.Point(QUICK, bad)
    with pytest.raises(TypeError, match="config is 'quick': give a Config"):
        depth.Point("quick", 2)
    with pytest.raises(TypeError, match="entrant is 'Adam': give an Entrant, such as FROMAGE"):
        depth.Point(QUICK, 2, entrant="Adam")
    with pytest.raises(ValueError, match="seed is 1.5: give a whole number >= 0"):
        depth.Point(QUICK, 2, seed=1.5)
    with pytest.raises(ValueError, match="depth is -1: give a whole number >= 1"):
        depth.network(-1, seed=1)
    with pytest.raises(ValueError, match="seed is None: give a whole number >= 0"):
        depth.network(2, seed=None)


def test_narrow_networks_are_one_point_a_depth_and_wide_ones_one_a_run():
    assert [(point.depth, point.entrants, point.seeds) for point in depth.points(QUICK)] == [
        (layers, QUICK.entrants, QUICK.seeds) for layers in QUICK.depths
    ]
    assert len(depth.points(dataclasses.replace(WIDE, width=64))) == 2
    found = [(point.depth, point.seeds, point.entrants) for point in depth.points(WIDE)]
    assert found == [
        (layers, (seed,), (entrant,))
        for layers in WIDE.depths
        for seed in WIDE.seeds
        for entrant in WIDE.entrants
    ]
    assert len(depth.points(depth.PRESETS["paper"])) == 9 * 3 * len(depth.GRID)


def test_wide_runs_give_the_same_rows_one_by_one():
    outcomes = [depth.run_point(point) for point in depth.points(WIDE)]
    summary = depth.summarise(outcomes)
    assert summary["runs"].tolist() == [2, 2, 2, 2] and summary["depth"].tolist() == [2, 2, 3, 3]
    assert len(outcomes[0].finals) == len(outcomes[0].curves) == 1
    narrow = depth.run_point(depth.Point(dataclasses.replace(WIDE, width=8), 2))
    for ours, theirs in ((outcomes[0].finals, narrow.finals), (outcomes[0].curves, narrow.curves)):
        assert list(ours[0]) == list(theirs[0])


def test_a_point_of_one_run_is_that_run_of_a_stack():
    config = dataclasses.replace(QUICK, dtype="float64", depths=(3,), epochs=1)
    together = depth.run_point(depth.Point(config, 3))
    for entrant in (depth.FROMAGE, depth.SGD):
        (row,) = depth.run_point(depth.Point(config, 3, entrant, seed=2)).curves
        same = [each for each in together.curves if (each["entrant"], each["seed"]) == (entrant.name, 2)]
        assert row["loss"] == pytest.approx(same[0]["loss"], rel=1e-9) and len(same) == 1


@pytest.mark.parametrize("init", ["default", "he"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_first_gradient_is_autograd_s(init, bias):
    data, net = images("digits", "float64"), network(4, width=8, seed=3, init=init, bias=bias).double()
    cross_entropy(net(data.x_train), data.y_train).backward()
    expected = net.weights[0].grad.square().mean().sqrt().item()
    found = depth.first_layer_gradient(4, width=8, seed=3, init=init, bias=bias)
    assert found == pytest.approx(expected, rel=1e-12)


def test_variants_keep_the_color_of_their_family_and_have_marks_of_their_own():
    for entrant, family in (
        ("Adam, eps 1e-16", "Adam"),
        ("Adam, tiny eps", "Adam"),
        ("Fromage, naive norms", "Fromage"),
        ("Normalized SGD", "SGD"),
    ):
        variant, usual = line_look(entrant), line_look(family)
        assert variant["color"] == usual["color"] and variant["marker"] != usual["marker"]
        assert variant["linestyle"] == "solid"


def test_a_summary_needs_runs(quick_outcomes):
    for empty in ([], tables.table([])):
        with pytest.raises(ValueError, match="no runs to sum up: give what run_point returned"):
            depth.summarise(empty)
    with pytest.raises(TypeError, match="give a list of what run_point returned"):
        depth.summarise(quick_outcomes[0])


def test_recordings_say_what_they_cannot_record():
    with pytest.raises(ValueError, match="no preset is named 'quik'; there are 'quick', 'default'"):
        depth.recordings(presets=("quik",))
    for preset, depths in (("quick", "[2, 6]"), ("miniature, float64", "[]")):
        message = f"race_depth is 30: these presets run in float32 the depths {depths}"
        with pytest.raises(ValueError, match=re.escape(message)):
            depth.recordings(presets=(preset,))


def test_without_pandas_it_says_what_to_install(quick_outcomes, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for call in (lambda: depth.summarise(quick_outcomes), lambda: depth.recordings(presets=("miniature",))):
        with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
            call()


def test_without_matplotlib_it_says_what_to_install(quick_outcomes, monkeypatch):
    summary = depth.summarise(quick_outcomes)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (lambda: depth.figure(summary), lambda: depth.race_figure(quick_outcomes[0].curves)):
        with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[explorers]'")):
            call()


def test_small_data_batches_do_not_break_the_loop():
    config = dataclasses.replace(QUICK, depths=(2,), epochs=1, batch_size=5000)
    assert len(depth.run_point(depth.Point(config, 2)).finals) == len(config.entrants) * len(config.seeds)


def test_the_signal_and_the_gradient_fade_by_a_sixth_of_their_square_in_each_layer():
    typical = [depth.first_layer_gradient(layers, seed=201) for layers in (10, 20, 30)]
    for shallow, deep in zip(typical, typical[1:], strict=False):
        assert 6.0**-5 / 30 < deep / shallow < 6.0**-5 * 30


def test_who_learns_at_thirty_layers():
    """The chapter's claim on fresh seeds, in an eighth of its epochs; thresholds with a wide margin."""
    config = depth.Config(depths=(30,), seeds=(301, 302, 303, 304, 305), epochs=5, final_lr=1.0)
    (summary,) = [depth.summarise([depth.run_point(point)]) for point in depth.points(config)]
    best = dict(zip(summary["entrant"], summary["highest"], strict=True))
    assert best["Adam"] < depth.CHANCE and best["SGD + momentum"] < depth.CHANCE
    assert best["Fromage"] > depth.CHANCE and best[depth.TINY_EPS] > depth.CHANCE


def test_recording_writes_both_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(depth, "recordings", partial(depth.recordings, presets=("quick",), race_depth=6))
    record.main(["depth", "--folder", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{ending}" for name in ("depth_finals", "depth_race") for ending in ("csv", "json")
    }
    assert "quick: 1 of 2: depth 2, " in capsys.readouterr().out


def test_a_recording_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    first = depth.recordings(presets=("quick",), race_depth=6, keep=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["quick"]
    monkeypatch.setattr(depth, "run_point", None)  # Nothing is left to run.
    lines = []
    again = depth.recordings(lines.append, presets=("quick",), race_depth=6, keep=tmp_path)
    assert lines == []
    for name, (rows, configs) in first.items():
        assert rows.equals(again[name][0]) and configs == again[name][1]
    finals, race = first["depth_finals"][0], first["depth_race"][0]
    assert len(finals) == 2 * 4 * 2 and len(race) == 4 * 2 * QUICK.epochs and set(race["depth"]) == {6}
