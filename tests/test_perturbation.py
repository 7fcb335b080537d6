"""Gradients measured along themselves: against a plain loop with autograd, and what the records show."""

import dataclasses
import math
import re
import sys
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from fromage_edu import Fromage, recorded
from fromage_edu.data import digits
from fromage_edu.experiments import perturbation, record
from fromage_edu.experiments.perturbation import Config, Net, Networks, Outcome, Point
from fromage_edu.networks import Perceptron

QUICK = perturbation.PRESETS["quick"]
ETAS = (0, 0.01, 0.05, 0.3)


@pytest.fixture(scope="module")
def quick_outcomes():
    return [perturbation.run_point(point) for point in perturbation.points(QUICK)]


def plain_outputs(layers, residual, x):
    """The network of one seed, a layer after the other."""
    h = x
    for index, layer in enumerate(layers, start=1):
        z = layer(h)
        if index == len(layers):
            return z
        z = z.relu()
        h = h + z if residual and h.shape[1] == z.shape[1] else z


def plain_gradients(layers, residual, x, y):
    for layer in layers:
        layer.zero_grad()
    loss = cross_entropy(plain_outputs(layers, residual, x), y)
    loss.backward()
    return loss.item(), [layer.weight.grad.clone() for layer in layers]


def plain_slice(layers, residual, x, y, etas):
    """The caption of Figure 2, word by word."""
    _, before = plain_gradients(layers, residual, x, y)
    starts = [layer.weight.detach().clone() for layer in layers]
    rows = []
    for eta in etas:
        for layer, start, gradient in zip(layers, starts, before, strict=True):
            layer.weight.data = start - eta * gradient * start.norm() / gradient.norm()
        loss, after = plain_gradients(layers, residual, x, y)
        right = plain_outputs(layers, residual, x).argmax(1) == y
        change = (after[0] - before[0]).norm() / before[0].norm()
        rows.append((loss, right.double().mean().item(), change.item()))
    for layer, start in zip(layers, starts, strict=True):
        layer.weight.data = start
    return rows


def perceptron(net, width, seed):
    """The start of a seed as a module, in float64."""
    generator = torch.Generator().manual_seed(seed)
    widths = [64, *[width] * (net.layers - 1), 10]
    return Perceptron(widths, bias=True, output_nonlinearity=False, generator=generator).double()


def double(networks):
    return Networks(
        [weight.double() for weight in networks.weights],
        [bias.double() for bias in networks.biases],
        networks.residual,
    )


@pytest.mark.result("F16")
@pytest.mark.parametrize("width", [12, 64])  # At 64 the first layer has a shortcut too.
@pytest.mark.parametrize(
    "net", [Net(2), Net(7), Net(16), Net(2, True), Net(7, True)], ids=lambda net: net.name
)
def test_a_slice_is_that_of_a_plain_loop(net, width):
    data = digits(dtype=torch.float64)
    x, y = data.x_train[:200], data.y_train[:200]
    point = Point(dataclasses.replace(QUICK, seeds=(5, 6, 7)), net, width)
    rows = perturbation.measure(double(perturbation.start(point)), x, y, ETAS)
    for place, seed in enumerate(point.config.seeds):
        expected = plain_slice(perceptron(net, width, seed).layers, net.residual, x, y, ETAS)
        for row, (loss, accuracy, change) in zip(rows, expected, strict=True):
            assert row["loss"][place] == pytest.approx(loss, rel=1e-9)
            assert row["accuracy"][place] == pytest.approx(accuracy)
            assert row["change"][place] == pytest.approx(change, rel=1e-6, abs=1e-12)


@pytest.mark.result("F16")
@pytest.mark.parametrize("net", [Net(2), Net(5), Net(5, True)], ids=lambda net: net.name)
def test_training_pauses_where_it_says_and_is_that_of_each_network_alone(net, monkeypatch):
    data = digits(dtype=torch.float64)
    start = perturbation.start
    monkeypatch.setattr(perturbation, "digits", partial(digits, dtype=torch.float64))
    monkeypatch.setattr(perturbation, "start", lambda point: double(start(point)))
    config = Config(
        nets=(net,),
        widths=(10,),
        seeds=(5, 6),
        etas=(0, 0.1),
        checkpoints=4,
        epochs=2,
        batch_size=400,
        lr=0.05,
    )
    rows = perturbation.run_point(perturbation.points(config)[0]).rows
    assert [row["step"] for row in rows[:8:2]] == [0, 1, 3, 4]  # of 6: quarters, rounded down

    for seed in config.seeds:
        model = perceptron(net, 10, seed)
        optimizer = Fromage(model.parameters(), lr=0.05)
        generator = torch.Generator().manual_seed(10**6 + seed)
        orders = [torch.randperm(len(data.x_train), generator=generator).split(400)[:3] for _ in range(2)]
        for step, batch in enumerate([batch for order in orders for batch in order]):
            optimizer.param_groups[0]["lr"] = 0.05 * (0.35**0.5 if step >= 3 else 1)
            own = [row for row in rows if row["seed"] == seed and row["step"] == step]
            if own:
                expected = plain_slice(model.layers, net.residual, data.x_train, data.y_train, (0, 0.1))
                for row, (loss, accuracy, change) in zip(own, expected, strict=True):
                    assert row["loss"] == pytest.approx(loss, rel=1e-8)
                    assert row["accuracy"] == pytest.approx(accuracy)
                    assert row["change"] == pytest.approx(change, rel=1e-5, abs=1e-12)
            optimizer.zero_grad()
            outputs = plain_outputs(model.layers, net.residual, data.x_train[batch])
            cross_entropy(outputs, data.y_train[batch]).backward()
            optimizer.step()


def test_float32_measures_what_float64_does():
    data = {dtype: digits(dtype=dtype) for dtype in (torch.float32, torch.float64)}
    networks = perturbation.start(Point(QUICK, Net(16), 64))
    single = perturbation.measure(networks, data[torch.float32].x_train, data[torch.float32].y_train, ETAS)
    exact = perturbation.measure(
        double(networks), data[torch.float64].x_train, data[torch.float64].y_train, ETAS
    )
    for one, other in zip(single, exact, strict=True):
        for name in ("loss", "change"):
            assert one[name] == pytest.approx(other[name], rel=2e-2, abs=1e-6)


def test_networks_without_a_gradient():
    """Biases far below zero turn a layer off: before the step, or only behind it."""
    data = digits()
    point = Point(dataclasses.replace(QUICK, seeds=(5, 6)), Net(3), 8)
    networks = perturbation.start(point)
    networks.biases[0][0] = -1e6
    rows = perturbation.measure(networks, data.x_train, data.y_train, (0, 0.1))
    assert all(math.isnan(row["change"][0]) and not math.isnan(row["change"][1]) for row in rows)
    assert all(math.isfinite(loss) for row in rows for loss in row["loss"])

    # One unit, one weight: on for all images until the step takes it below zero.
    images, labels = torch.ones(4, 1), torch.zeros(4, dtype=torch.long)
    single = Networks(
        [torch.tensor([[[1.0]]]), torch.tensor([[[-3.0], [3.0]]])],
        [torch.tensor([[[0.0]]]), torch.zeros(1, 1, 2)],
        residual=False,
    )
    # The gradient of the first weight is negative along class 0, so the step raises it; turned, it dies.
    labels = labels + 1
    on, off = (perturbation.measure(single, images, labels, (0, eta))[1] for eta in (0.5, 1.0))
    assert on["change"][0] != 1
    labels = labels - 1
    off = perturbation.measure(single, images, labels, (0, 1.5))[1]
    assert off["change"] == [1.0] and off["loss"][0] == pytest.approx(math.log(2))


def test_a_seed_does_not_depend_on_who_trains_beside_it(quick_outcomes):
    alone = perturbation.run_point(Point(dataclasses.replace(QUICK, seeds=(6,)), Net(2), 16)).rows
    beside = [row for row in quick_outcomes[0].rows if row["seed"] == 6]
    for one, other in zip(alone, beside, strict=True):
        assert one == pytest.approx(other, rel=1e-2)


def test_rows_are_tidy_repeat_and_start_at_zero(quick_outcomes):
    for point, outcome in zip(perturbation.points(QUICK), quick_outcomes, strict=True):
        assert len(outcome.rows) == len(QUICK.seeds) * QUICK.checkpoints * len(QUICK.etas)
        keys = [(row["seed"], row["checkpoint"], row["eta"]) for row in outcome.rows]
        assert len(set(keys)) == len(keys)
        assert {(row["layers"], row["residual"], row["width"]) for row in outcome.rows} == {
            (point.net.layers, point.net.residual, point.width)
        }
        assert all(row["change"] == 0 for row in outcome.rows if row["eta"] == 0)
    again = perturbation.run_point(perturbation.points(QUICK)[0])
    assert again.rows == quick_outcomes[0].rows


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    perturbation.run_point(perturbation.points(QUICK)[0])
    assert torch.equal(torch.rand(2), expected)


def rows_of(changes, losses, **about):
    about = {"layers": 2, "residual": False, "width": 8, "seed": 1} | about
    return [
        about
        | {"checkpoint": checkpoint, "step": 0, "eta": eta, "loss": loss, "accuracy": 0.5, "change": change}
        for checkpoint, (own, other) in enumerate(zip(changes, losses, strict=True))
        for eta, change, loss in zip((0, 0.01, 0.1), own, other, strict=True)
    ]


def test_medians_quartiles_and_growth():
    changes = [(0, 1, 2), (0, 2, 200), (0, 3, 12), (0, 4, 1), (0, 5, 50)]
    losses = [(1, 1, top) for top in (5, 4, 3, 2, 1)]
    outcome = Outcome(rows_of(changes, losses), 0.0)
    summary = perturbation.summarise([outcome])
    assert summary["change"].tolist() == [0, 3, 12] and summary["slices"].tolist() == [5, 5, 5]
    assert summary.loc[2, ["change_low", "change_high"]].tolist() == [2, 50]
    assert summary.loc[2, ["loss_low", "loss", "loss_high"]].tolist() == [2, 3, 4]
    (row,) = perturbation.growth([outcome]).to_dict("records")  # growths are 2, 100, 4, 1/4, 10
    assert (row["slices"], row["change"], row["growth"]) == (5, 3, 4)
    assert (row["growth_least"], row["growth_low"], row["growth_high"], row["growth_most"]) == (
        0.25,
        2,
        10,
        100,
    )
    assert (row["loss_least"], row["loss"], row["loss_most"]) == (1, 3, 5)


def test_kinds_are_kept_apart_and_seeds_put_together():
    changes, losses = [(0, 1, 2)], [(1, 1, 1)]
    abouts = [{}, {"seed": 2}, {"width": 16}, {"residual": True}, {"layers": 16}]
    outcomes = [Outcome(rows_of(changes, losses, **about), 0.0) for about in abouts]
    assert perturbation.growth(outcomes)["slices"].tolist() == [2, 1, 1, 1]
    assert len(perturbation.summarise(outcomes)) == 4 * 3


def test_figures_draw_every_kind(quick_outcomes):
    import matplotlib.pyplot as plt

    fig = perturbation.figure(perturbation.summarise(quick_outcomes))
    for ax in fig.axes:
        assert {text.get_text() for text in ax.texts} == {"2 layers", "16 layers"}
        assert [line.get_linestyle() for line in ax.get_lines()] == [":", "-"]
    assert fig.axes[0].get_yscale() == "log"
    slices = perturbation.slices_figure(quick_outcomes)
    assert [ax.get_title(loc="left") for ax in slices.axes[:2]] == ["2 layers", "16 layers"]
    assert all(len(ax.get_lines()) == 6 for ax in slices.axes)
    dashes = [line.get_linestyle() for line in slices.axes[0].get_lines()]
    assert dashes == ["-.", "-", "-", "-.", "-", "-"]

    wide = [Outcome(rows_of([(0, 1, 2)], [(1, 1, 1)], width=width), 0.0) for width in (8, 16)]
    names = [ax.get_title(loc="left") for ax in perturbation.slices_figure(wide).axes[:2]]
    assert names == ["2 layers\nwidth 8", "2 layers\nwidth 16"]
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nets": ()}, "nets is empty: give at least one, such as (Net(2), Net(16))"),
        ({"nets": (16,)}, "a net is 16: give a Net, such as Net(16)"),
        ({"nets": (Net(2), Net(2))}, "nets hold Net(layers=2, residual=False) twice"),
        ({"widths": 64}, "widths is 64: give a list such as (64, 128)"),
        ({"widths": (0,)}, "a width is 0: give a whole number >= 1"),
        ({"seeds": (-1,)}, "a seed is -1: give a whole number >= 0"),
        ({"etas": (0.01, 0.1)}, "etas are (0.01, 0.1): let them rise from 0, such as (0, 0.01, 0.1)"),
        ({"etas": (0, 0.1, 0.01)}, "let them rise from 0"),
        ({"etas": (0,)}, "let them rise from 0"),
        ({"etas": (0, float("nan"))}, "an eta is nan: give a number >= 0, such as 0.01"),
        ({"checkpoints": 0}, "checkpoints is 0: give a whole number >= 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5: give a whole number >= 1"),
        ({"epochs": None}, "epochs is None: give a whole number >= 1"),
        ({"lr": -0.1}, "lr is -0.1: give a number >= 0, such as 0.01"),
        ({"final_lr": 0}, "final_lr is 0: give a number > 0 and <= 1"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Config(**options)


def test_other_bad_input_is_refused(quick_outcomes, monkeypatch):
    with pytest.raises(ValueError, match="layers is 1: give a whole number >= 2"):
        Net(1)
    with pytest.raises(ValueError, match="residual is 'yes': give True or False"):
        Net(16, "yes")
    for call in (perturbation.summarise, perturbation.growth, perturbation.slices_figure):
        with pytest.raises(ValueError, match="no runs to sum up: give what run_point returned"):
            call([])
        with pytest.raises(TypeError, match="give a list of what run_point returned"):
            call(quick_outcomes[0])
    for first in (0.0, 0.02, 0.1):
        message = f"first is {first}: give an eta between 0 and the largest, one of [0.01]"
        with pytest.raises(ValueError, match=re.escape(message)):
            perturbation.growth(quick_outcomes, first=first)
    with pytest.raises(
        ValueError, match="no preset is named 'recorded'; there are 'quick', 'default', 'paper'"
    ):
        perturbation.recordings(presets=("recorded",))
    monkeypatch.setitem(sys.modules, "pandas", None)
    for call in (lambda: perturbation.summarise(quick_outcomes), perturbation.recordings):
        with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
            call()


def test_more_checkpoints_than_steps_and_one_large_batch():
    config = dataclasses.replace(QUICK, nets=(Net(2),), checkpoints=5, epochs=1, batch_size=5000)
    (outcome,) = [perturbation.run_point(point) for point in perturbation.points(config)]
    assert {row["checkpoint"] for row in outcome.rows} == set(range(5))
    assert {row["step"] for row in outcome.rows} == {0}


def test_the_command_writes_the_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(perturbation, "recordings", partial(perturbation.recordings, presets=("quick",)))
    record.main(["perturbation", "--folder", str(tmp_path), "--keep", str(tmp_path / "keep")])
    assert "quick: 1 of 2: net 2 layers, width 16, " in capsys.readouterr().out
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    table, about = recorded.load("perturbation")
    assert len(table) == 36 and list(about["config"]) == ["quick"]
    assert len((tmp_path / "keep" / "quick" / "points.jsonl").read_bytes().splitlines()) == 2


@pytest.fixture(scope="module")
def ours():
    return (
        perturbation.growth(recorded.load("perturbation")[0])
        .set_index(["layers", "residual", "width"])
        .sort_index()
    )


@pytest.fixture(scope="module")
def authors():
    return (
        perturbation.growth(recorded.load("figure2_authors")[0])
        .set_index(["layers", "residual"])
        .sort_index()
    )


@pytest.mark.result("F16")
class TestRecord:
    """What pages say of the two records."""

    def test_it_was_run_on_seeds_of_its_own(self):
        _, about = recorded.load("perturbation")
        seeds = [seed for config in perturbation.PRESETS.values() for seed in config.seeds]
        assert len(set(seeds)) == len(seeds) and not {0, 1, 2} & set(seeds)
        assert all(len(perturbation.PRESETS[preset].seeds) >= 3 for preset in about["config"])

    def test_the_authors_gradients_at_sixteen_layers_grow_far_more_than_at_two(self, authors):
        growths = authors["growth"]
        assert growths.loc[(2, False)] == pytest.approx(10.6, abs=0.05)
        assert growths.loc[(16, False)] == pytest.approx(8200, abs=5)
        assert growths.loc[(16, True)] == pytest.approx(120.5, abs=0.05)

    def test_two_layers_are_mild_in_every_slice_at_every_width(self, ours, authors):
        two = ours.loc[(2, False)]
        assert two["growth"].between(15, 18).all()
        assert two["growth_most"].max() < 60 and two["loss_most"].max() < 4
        assert authors.loc[(2, False), "growth_most"] < 90

    def test_at_small_width_the_median_growth_of_sixteen_layers_is_that_of_two(self, ours):
        """The paper's contrast does not show there: neither to the median nor to the lower quartile."""
        for width in (64, 128):
            deep, shallow = ours.loc[(16, False, width)], ours.loc[(2, False, width)]
            assert 0.5 < deep["growth"] / shallow["growth"] < 1.5
            assert (
                deep["growth_low"] < shallow["growth_low"] < shallow["growth_high"] < deep["growth_high"] / 3
            )

    def test_with_the_width_the_large_growths_return_and_the_spread_too(self, ours, authors):
        wide = ours.loc[(16, False, 784)]
        assert wide["growth"] > 100 and wide["growth_high"] > 9000 and wide["growth_most"] > 400_000
        assert wide["growth_low"] < 5  # A quarter of the slices does not grow.
        assert wide["growth"] < authors.loc[(16, False), "growth"] / 30

    def test_the_loss_tells_sixteen_layers_from_two_at_every_width(self, ours):
        for width in (64, 128, 784):
            assert ours.loc[(16, False, width), "loss"] > 10 * ours.loc[(2, False, width), "loss"]
        # In the median, that is: slices that fall silent stay near ln 10.
        assert ours.loc[(16, False)]["loss_least"].max() < 2.31

    def test_shortcuts_make_the_growth_regular(self, ours, authors):
        for width in (64, 128):
            assert 45 < ours.loc[(16, True, width), "growth"] < 55
        assert ours.loc[(16, True)]["loss_least"].min() > 5
        assert authors.loc[(16, True), "growth_least"] > 25

    def test_before_training_width_alone_decides(self):
        def untrained(name):
            rows, _ = recorded.load(name)
            return rows[(rows["layers"] == 16) & ~rows["residual"] & (rows["checkpoint"] == 0)]

        growths = perturbation.growth(untrained("perturbation")).set_index("width")["growth"]
        assert growths[64] < 3 and growths[128] < 10 and 1000 < growths[784] < 2000
        assert perturbation.growth(untrained("figure2_authors"))["growth"].item() == pytest.approx(
            3062, abs=2
        )
