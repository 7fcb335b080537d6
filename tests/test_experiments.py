"""The experiments: the shape they share, the stack against plain training, and the numbers of the race."""

import dataclasses
import re
import sys
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from fromage_edu import Fromage
from fromage_edu.data import digits
from fromage_edu.experiments import depth, record, tables
from fromage_edu.experiments.stack import Stack
from fromage_edu.experiments.stacked import StackedFromage

QUICK = depth.PRESETS["quick"]


@pytest.fixture(scope="module")
def quick_outcomes():
    return [depth.run_point(point) for point in depth.points(QUICK)]


# One optimizer for a stack, one for a network alone.
RIVALS = {
    "Fromage": (partial(StackedFromage, lr=0.01), partial(Fromage, lr=0.01)),
    "Adam": (depth.ADAM.build, partial(torch.optim.Adam, lr=depth.ADAM.lr)),
    "Adam, tiny eps": (depth.ADAM_TINY_EPS.build, partial(torch.optim.Adam, lr=0.001, eps=1e-30)),
    "SGD + momentum": (depth.SGD.build, partial(torch.optim.SGD, lr=0.1, momentum=0.9)),
}


@pytest.mark.parametrize("layers", [2, 12])
def test_a_stack_trains_as_each_network_would_alone(layers):
    data = digits(dtype=torch.float64)
    seeds = (1, 2, 3)
    starts = [depth.network(layers, width=8, seed=seed) for seed in seeds]
    stack = Stack(starts, [stacked for stacked, _ in RIVALS.values()], torch.float64)
    batches = torch.stack([torch.arange(step, step + 60).view(3, 20) for step in range(0, 300, 60)])
    for batch in batches:
        losses, accuracies = stack.step(data.x_train[batch], data.y_train[batch])

    for index, (name, (_, alone)) in enumerate(RIVALS.items()):
        # A stack sums in another order than a network alone; Adam with a tiny eps enlarges even rounding.
        tolerance = 1e-5 if name == depth.TINY_EPS else 1e-9
        for member, seed in enumerate(seeds):
            net = depth.network(layers, width=8, seed=seed).double()
            optimizer = alone(net.parameters())
            for batch in batches[:, member]:
                logits = net(data.x_train[batch])
                loss = cross_entropy(logits, data.y_train[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            place = index * len(seeds) + member
            assert losses[place].item() == pytest.approx(loss.item(), rel=tolerance), name
            right = (logits.argmax(1) == data.y_train[batch]).double().mean().item()
            assert accuracies[place].item() == pytest.approx(right), name
            outputs = stack.logits(data.x_train.expand(len(starts) * len(RIVALS), -1, -1))[place]
            assert (outputs - net(data.x_train)).abs().max() < tolerance, name


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_stacked_fromage_is_fromage_in_float32_at_any_scale(scale):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 4, 5, 6, generator=generator)
    gradient = scale * torch.randn(3, 4, 5, 6, generator=generator)
    gradient[0, 0] = 0.0
    weights[1, 1] = 0.0
    stacked = weights.clone()
    stacked.grad = gradient.clone()
    StackedFromage([stacked], lr=0.1).step()
    for row in range(3):
        for column in range(4):
            alone = torch.nn.Parameter(weights[row, column].clone())
            alone.grad = gradient[row, column].clone()
            Fromage([alone], lr=0.1).step()
            torch.testing.assert_close(stacked[row, column], alone.detach(), rtol=1e-5, atol=1e-6)


def test_a_network_that_diverges_leaves_its_neighbors_alone():
    config = dataclasses.replace(QUICK, depths=(2,), epochs=1)
    wild = dataclasses.replace(config, entrants=(depth.FROMAGE, depth.Entrant("SGD", lr=1e20), depth.ADAM))
    quiet = dataclasses.replace(config, entrants=(depth.FROMAGE, depth.ADAM))
    finals = {
        name: [
            row for row in depth.run_point(depth.Point(each, 2)).finals if row["entrant"] != "SGD + momentum"
        ]
        for name, each in {"wild": wild, "quiet": quiet}.items()
    }
    assert finals["wild"] == finals["quiet"]
    (record_,) = [depth.run_point(point) for point in depth.points(wild)]
    assert [row["diverged"] for row in record_.finals] == [False, False, True, True, False, False]


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


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    depth.network(3, seed=1)
    assert torch.equal(torch.rand(2), expected)


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
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        depth.Config(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "Lion"}, "optimizer is 'Lion': use 'Fromage' or 'Adam' or 'SGD' or"),
        *(
            ({"lr": bad}, f"lr is {bad!r}: give a number >= 0, such as 0.01")
            for bad in (-1, float("nan"), float("inf"), "0.1", None, True)
        ),
        *(({"eps": bad}, f"eps is {bad!r}: give a number >= 0") for bad in (-1e-8, float("nan"), "x")),
        *(
            ({"momentum": bad}, f"momentum is {bad!r}: give a number >= 0 and < 1")
            for bad in (-0.1, 1, float("nan"), "x")
        ),
    ],
)
def test_bad_entrants_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        depth.Entrant(**{"optimizer": "SGD", "lr": 0.1, **options})


@pytest.mark.parametrize("lr", [-1, float("nan"), float("inf"), "0.1", None])
def test_stacked_fromage_refuses_a_bad_learning_rate(lr):
    with pytest.raises(ValueError, match=re.escape(f"lr is {lr!r}: give a finite number >= 0")):
        StackedFromage([torch.ones(1, 1, 2, 2)], lr=lr)


@pytest.mark.parametrize(
    "starts",
    [[], [depth.network(1, seed=1)], [depth.network(2, seed=1), depth.network(3, seed=1)]],
    ids=["none", "shallow", "different"],
)
def test_a_stack_needs_starts_of_one_shape(starts):
    with pytest.raises(ValueError, match="give perceptrons of one shape, at least 3 layers"):
        Stack(starts, [depth.ADAM.build])


def test_bad_points_and_networks_are_refused():
    for bad in (1, -2, 2.5, "2"):
        with pytest.raises(ValueError, match=re.escape(f"depth is {bad!r}: give a whole number >= 2")):
            depth.Point(QUICK, bad)
    with pytest.raises(TypeError, match="config is 'quick': give a Config"):
        depth.Point("quick", 2)
    with pytest.raises(ValueError, match="depth is -1: give a whole number >= 1"):
        depth.network(-1, seed=1)
    with pytest.raises(ValueError, match="seed is None: give a whole number >= 0"):
        depth.network(2, seed=None)


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
