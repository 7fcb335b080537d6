"""The race for replay: what is looked at and kept, how the explorer reads it, what the record shows."""

import dataclasses
import math
import re
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy

from fromage_edu import recorded
from fromage_edu.data import digits
from fromage_edu.experiments import depth, depth_results, race, record
from fromage_edu.experiments.race import PRESETS, Config, Point, run_point
from fromage_edu.experiments.settings import ADAM, FROMAGE
from fromage_edu.explorers import depth_race

TINY = Config(
    depths=(3,),
    entrants=race.ENTRANTS[::3],
    seeds=(1, 2, 3),
    epochs=3,
    width=6,
    batch_size=200,
    probes=(0, 3),
)


@pytest.fixture(scope="module")
def tiny():
    return [run_point(point) for point in race.points(TINY)]


def test_rows_are_tidy_and_repeat(tiny):
    for point, outcome in zip(race.points(TINY), tiny, strict=True):
        assert len(outcome.runs) == 6 * 3 and len(outcome.layers) == 2 * 6 * 3
        names = ["depth", "init", "optimizer", "lr", "eps", "seed", "diverged"]
        assert list(outcome.runs[0]) == [*names, "epoch_0", "epoch_1", "epoch_2", "epoch_3"]
        assert {(row["depth"], row["init"]) for row in outcome.runs} == {(3, point.init)}
        assert [row["eps"] for row in outcome.runs[::3]] == [None, 1e-30, 1e-16, 1e-8, None, None]
        assert {row["epoch"] for row in outcome.layers} == {0, 3}
        assert all(len(row["gradients"]) == len(row["signals"]) == 4 for row in outcome.layers)
    again = run_point(race.points(TINY)[-1])
    assert again[:2] == tiny[-1][:2]


@pytest.mark.result("F29")
def test_a_run_owes_nothing_to_those_beside_it(tiny):
    """The same setting with another field of entrants and seeds ends as it did."""
    alone = dataclasses.replace(TINY, entrants=(FROMAGE,), seeds=(2,))
    field = dataclasses.replace(TINY, entrants=(FROMAGE, ADAM), seeds=(1, 2))
    (one,) = run_point(Point(alone, 3, "he")).runs
    other = next(
        run
        for run in run_point(Point(field, 3, "he")).runs
        if run["optimizer"] == "Fromage" and run["seed"] == 2
    )
    for name in ("epoch_0", "epoch_1", "epoch_3"):
        assert one[name] == pytest.approx(other[name], abs=0.02)


@pytest.mark.result("F29")
def test_what_is_seen_before_training_is_what_autograd_says(tiny):
    data = digits(dtype=torch.float64)
    for point, outcome in zip(race.points(TINY), tiny, strict=True):
        for seed in TINY.seeds:
            net = depth.network(3, width=6, seed=seed, init=point.init).double()
            hidden = net.hidden(data.x_train)[1:]
            loss = cross_entropy(hidden[-1], data.y_train)
            gradients = torch.autograd.grad(loss, net.weights)
            typical = [gradient.square().mean().sqrt().item() for gradient in gradients]
            spread = [layer.var(0, correction=0).mean().sqrt().item() for layer in hidden]
            right = (hidden[-1].argmax(1) == data.y_train).double().mean().item()
            mine = [row for row in outcome.layers if row["seed"] == seed and row["epoch"] == 0]
            assert len(mine) == 6  # every entrant meets the same network
            for row in mine:
                assert row["gradients"] == pytest.approx(typical, rel=1e-3)
                assert row["signals"] == pytest.approx(spread, rel=1e-3)
            for run in outcome.runs:
                assert run["seed"] != seed or run["epoch_0"] == pytest.approx(right, abs=0.002)


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run_point(Point(dataclasses.replace(TINY, epochs=1, probes=(0,)), 3, "default"))
    assert torch.equal(torch.rand(2), expected)


def test_summary_and_figure(tiny):
    import matplotlib.pyplot as plt
    import pandas as pd

    summary = race.summarise(tiny)
    assert len(summary) == 2 * 6 and (summary["runs"] == 3).all()
    assert summary.equals(race.summarise(pd.DataFrame([row for each in tiny for row in each.runs])))
    first = [run["epoch_3"] for run in tiny[0].runs[:3]]
    row = summary.iloc[0]
    assert [row["lowest"], row["median"], row["highest"]] == pytest.approx(sorted(first))
    assert row["entrant"] == "SGD + momentum"
    fig = race.figure(summary)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["start: default", "start: he"]
    plt.close("all")


def test_of_three_rates_the_best_is_shown():
    rows = [
        {"depth": 2, "init": "he", "entrant": "Adam", "lr": lr, "median": median}
        for lr, median in ((0.1, 0.2), (0.01, 0.9), (0.001, 0.5))
    ]
    (kept,) = depth_results.best_learning_rates(race.table(rows)).to_dict("records")
    assert kept["lr"] == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1,)}, "a depth is 1: give a whole number >= 2"),
        ({"depths": ()}, "depths is empty: give at least one, such as (2, 10)"),
        ({"inits": ("zero",)}, "init is 'zero': use 'default' or 'he'"),
        ({"inits": ()}, "inits is empty: give at least one, such as ('default', 'he')"),
        ({"entrants": ("Adam",)}, "an entrant is 'Adam': give an Entrant, such as FROMAGE"),
        ({"seeds": (1, 1)}, "seeds hold 1 twice"),
        ({"width": 0}, "width is 0: give a whole number >= 1"),
        ({"width": 128}, "width is 128: these networks train side by side, up to 64 wide"),
        ({"epochs": 10}, "a probe is 14: training ends after 10 epochs"),
        ({"probes": (-1,)}, "a probe is -1: give a whole number >= 0"),
        ({"final_lr": 0}, "final_lr is 0: give a number > 0 and <= 1"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Config(**options)


def test_other_bad_input_is_refused(tiny, monkeypatch):
    with pytest.raises(ValueError, match="no runs to sum up"):
        race.summarise([])
    with pytest.raises(TypeError, match="give a list of what run_point returned"):
        race.summarise(tiny[0])
    with pytest.raises(ValueError, match="no preset is named 'papr'"):
        race.recordings(presets=("papr",))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        race.recordings()


def test_the_command_keeps_of_each_setting_the_median_run(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(race.PRESETS, "paper", TINY)
    record.main(["race", "--folder", str(tmp_path)])
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    runs, about = recorded.load("race")
    assert runs["run"].tolist() == list(range(1, 37)) and list(about["config"]) == ["paper"]
    kept = {"gradients": {}, "signals": {}}
    for what, found in kept.items():
        for row in recorded.load(f"race_{what}")[0].to_dict("records"):
            found[row["run"], row["epoch"]] = [row[f"layer_{layer}"] for layer in range(1, 5)]
    assert len(kept["gradients"]) == 12 * 2
    rows = [row for outcome in tiny for row in outcome.runs]
    layers = [row for outcome in tiny for row in outcome.layers]
    for first in range(0, len(rows), 3):
        three = sorted(range(first, first + 3), key=lambda i: (round(rows[i]["epoch_3"], 3), rows[i]["seed"]))
        middle = three[1]
        assert {run for run, _ in kept["signals"]} & {i + 1 for i in three} == {middle + 1}
        for row in layers:
            if all(row[name] == rows[middle][name] for name in ("init", "optimizer", "lr", "eps", "seed")):
                for what, found in kept.items():
                    exact = [math.log10(value) if value else -math.inf for value in row[what]]
                    assert found[middle + 1, row["epoch"]] == pytest.approx(exact, abs=0.0501)


class TestCharacters:
    """How the explorer writes numbers."""

    @pytest.mark.parametrize(("low", "step"), [depth_race.GRADIENTS, depth_race.SIGNALS])
    def test_a_number_within_the_range_is_kept_to_half_a_step(self, low, step):
        least, most = low + step, low + step * (depth_race.MOST - 1)
        values = [least + (most - least) * i / 1000 for i in range(1001)]
        text = depth_race.encoded(values, low, step)
        errors = [abs(a - b) for a, b in zip(depth_race.decoded(text, low, step), values, strict=True)]
        assert max(errors) <= step / 2 + 1e-9 and len(text) == 1001
        assert not set(text) & set("<\\\"&'") and text.isascii() and text.isprintable()

    def test_ends_zeros_and_what_is_not_finite(self):
        values = [-math.inf, -99.0, 99.0, math.inf, math.nan]
        low, step = depth_race.GRADIENTS
        zero, least, most, *broken = depth_race.decoded(depth_race.encoded(values, low, step), low, step)
        assert zero == -math.inf and all(map(math.isnan, broken))
        assert (least, most) == pytest.approx((low + step, low + step * (depth_race.MOST - 1)))

    def test_guessing_and_perfection_are_exact(self):
        low, step = depth_race.ACCURACIES
        assert low + 5 * step == pytest.approx(0.1) and low + depth_race.MOST * step == pytest.approx(1)


@pytest.fixture(scope="module")
def runs():
    return recorded.load("race")[0]


@pytest.fixture(scope="module")
def finals(runs):
    best = depth_results.best_learning_rates(race.summarise(runs))
    return best.set_index(["init", "depth", "entrant"]).sort_index()


class TestRecord:
    """What pages and the explorer say of the recorded runs."""

    def test_it_is_the_preset_and_what_the_explorer_names(self):
        runs, about = recorded.load("race")
        config = PRESETS["paper"]
        assert about["command"] == "python -m fromage_edu.experiments.record race"
        assert len(runs) == len(config.depths) * 2 * len(config.entrants) * 3
        assert set(runs["seed"]) == set(config.seeds) == {401, 402, 403}
        assert config.depths == depth_race.DEPTHS and config.probes == depth_race.EPOCHS
        assert {name.lower() for name in depth_race.INITS} == set(config.inits)
        assert {entrant.optimizer for entrant in config.entrants} == set(depth_race.OPTIMIZERS)
        assert {e.eps for e in config.entrants if e.optimizer == "Adam"} == set(depth_race.EPSILONS)

    def test_the_explorer_reads_every_number_to_half_a_step(self, runs):
        """Accuracies to 0.6 %, gradients to 0.16 of a decade and signals to 0.15 of what the record has."""
        races = depth_race.races()
        layers = {
            what: recorded.load(f"race_{what}")[0].set_index(["run", "epoch"])
            for what in ("gradients", "signals")
        }
        names = ["depth", "init", "optimizer", "eps", "lr"]
        for (deep, init, optimizer, eps, lr), three in runs.groupby(names, dropna=False):
            name = depth_race.OPTIMIZERS.index(optimizer)
            slot = [0, 3, 12, 15][name] + races["rates"][name].index(lr)
            if optimizer == "Adam":
                slot += 3 * depth_race.EPSILONS.index(eps)
            start = ["default", "he"].index(init)
            text = races["runs"][depth_race.DEPTHS.index(deep)][start][slot]
            ordered = three.sort_values(["epoch_40", "seed"])
            low, step = races["accuracies"]
            for part, row in zip((1, 0, 2), ordered.to_dict("records"), strict=True):
                for epoch in range(41):
                    share = low + step * depth_race.MARKS.index(text[41 * part + epoch])
                    if row[f"epoch_{epoch}"] > low:
                        assert share == pytest.approx(row[f"epoch_{epoch}"], abs=0.0058)
            middle = ordered.iloc[1]["run"]
            at = 123
            for epoch in depth_race.EPOCHS:
                for what in ("gradients", "signals"):
                    low, step = races[what]
                    values = depth_race.decoded(text[at : at + deep + 1], low, step)
                    at += deep + 1
                    for layer, value in enumerate(values, start=1):
                        exact = layers[what].loc[(middle, epoch), f"layer_{layer}"]
                        if not math.isfinite(exact):
                            assert value == exact or (math.isnan(value) and exact == math.inf)
                        else:
                            assert value == pytest.approx(exact, abs=step / 2 + 1e-9)
            assert at == len(text)

    @pytest.mark.result("F29")
    def test_adam_stops_at_30_and_learns_with_eps_away(self, finals):
        default = finals.loc["default"]["median"]
        for deep in (30, 40):
            assert default[deep, "Adam"] < 0.15
            assert default[deep, "Adam, tiny eps"] > 0.2
        assert default[30, "Adam, eps 1e-16"] > 0.5 and default[40, "Adam, eps 1e-16"] < 0.15
        assert default[20, "Adam"] > 0.5

    @pytest.mark.result("F29")
    def test_sgd_guesses_from_10_on_and_fromage_learns_everywhere(self, finals):
        default = finals.loc["default"]["median"]
        assert all(default[deep, "SGD + momentum"] < 0.15 for deep in (10, 20, 30, 40))
        assert all(default[deep, "Fromage"] > 0.25 for deep in depth_race.DEPTHS)

    @pytest.mark.result("F29")
    def test_with_hes_start_adam_as_it_comes_learns_at_every_depth(self, finals):
        he = finals.loc["he"]["median"]
        assert all(he[deep, "Adam"] > 0.9 for deep in depth_race.DEPTHS)
