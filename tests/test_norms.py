"""Norms of layers in training: against Algorithm 1 by hand, the exact laws, and what the record shows."""

import dataclasses
import math
import re
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from fromage_edu import recorded
from fromage_edu.data import digits
from fromage_edu.experiments import norms, record
from fromage_edu.experiments.norms import Config, Point, Rule

TINY = Config(seeds=(5,), width=6, hidden=2, batch_size=300, epochs=2, every=3)


@pytest.fixture(scope="module")
def tiny_outcomes():
    return [norms.run_point(point) for point in norms.points(TINY)]


def adam_by_hand(parameters, gradients, memory, step, lr):
    for parameter, gradient in zip(parameters, gradients, strict=True):
        mean, square = memory.setdefault(parameter, (torch.zeros_like(gradient), torch.zeros_like(gradient)))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        memory[parameter] = mean, square
        mean, square = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        parameter.sub_(lr * mean / (square.sqrt() + 1e-8))


def fromage_by_hand(parameters, gradients, memory, step, lr, correction):
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient.norm() > 0:
            reach = parameter.norm() / gradient.norm() if parameter.norm() > 0 else 1.0
            parameter.sub_(lr * reach * gradient)
            # A zero tensor takes a raw step and has nothing to correct.
            if correction and not (isinstance(reach, float)):
                parameter.div_(math.sqrt(1 + lr * lr))


BY_HAND = {
    "Fromage": lambda *arguments: fromage_by_hand(*arguments, correction=True),
    "equation (4)": lambda *arguments: fromage_by_hand(*arguments, correction=False),
    "Adam": adam_by_hand,
}


def normalized(name, x, weights, vectors, gains):
    """The three networks written out, for one batch; `vectors` are torch's estimates of singular vectors."""
    h = x
    for index, weight in enumerate(weights):
        last = index == len(weights) - 1
        bias, gain, shift = gains[index]
        if name == "spectral norm":
            u, v = vectors[index]
            weight = weight / (u @ weight @ v)
        z = h @ weight.T + (0 if bias is None else bias)
        if name == "batch norm" and not last:
            z = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() * gain + shift
        h = z if last else z.relu()
    return h


@pytest.mark.result("F30")
@pytest.mark.parametrize("rule", [Rule("Fromage", 0.1), Rule("equation (4)", 0.1), Rule("Adam", 0.01)])
@pytest.mark.parametrize("name", norms.NETWORKS)
def test_the_norms_are_those_of_a_training_written_out(name, rule, monkeypatch):
    """Layers, normalizations and optimizers by hand; batches, starts and power iterations are torch's."""
    # In float64: Adam enlarges rounding.
    network = norms.network
    monkeypatch.setattr(norms, "digits", partial(digits, dtype=torch.float64))
    monkeypatch.setattr(norms, "network", lambda *names, **sizes: network(*names, **sizes).double())
    config = dataclasses.replace(TINY, networks=(name,), rules=(rule,), every=1)
    rows = norms.run_point(Point(config, name, rule)).rows

    data = digits(dtype=torch.float64)
    net = norms.network(name, width=6, hidden=2, seed=5)
    weights = norms.matrices(net)
    linear = [part for part in net if isinstance(part, nn.Linear)]
    batch_norms = [part for part in net if isinstance(part, nn.BatchNorm1d)] + [None] * len(linear)
    gains = [
        (layer.bias, getattr(norm, "weight", None), getattr(norm, "bias", None))
        for layer, norm in zip(linear, batch_norms, strict=False)
    ]
    parameters = [*weights, *(tensor for each in gains for tensor in each if tensor is not None)]
    generator = torch.Generator().manual_seed(10**6 + 5)
    memory, step, first = {}, 0, None
    orders = [torch.randperm(len(data.x_train), generator=generator).split(300)[:4] for _ in range(2)]
    for batch in [batch for order in orders for batch in order]:
        vectors = [None] * len(weights)
        if name == "spectral norm":
            for layer in linear:
                assert layer.weight is not None  # Reading it takes torch's step of the power iteration.
            vectors = [
                (part[0]._u.clone(), part[0]._v.clone())
                for part in (layer.parametrizations.weight for layer in linear)
            ]
        outputs = normalized(name, data.x_train[batch], weights, vectors, gains)
        loss = cross_entropy(outputs, data.y_train[batch])
        gradients = torch.autograd.grad(loss, parameters)
        first = first or [weight.norm().item() for weight in weights]
        for layer, weight in enumerate(weights):
            row = next(row for row in rows if row["step"] == step and row["layer"] == layer + 1)
            assert row["ratio"] == pytest.approx(weight.norm().item() / first[layer], rel=1e-6)
            flat = weight.flatten() @ gradients[layer].flatten()
            cosine = (flat / weight.norm() / gradients[layer].norm()).item()
            assert row["cosine"] == pytest.approx(cosine, abs=1e-6)
        step += 1
        with torch.no_grad():
            BY_HAND[rule.optimizer](parameters, gradients, memory, step, rule.lr)
    assert {row["step"] for row in rows} == set(range(9))


@pytest.mark.result("F30")
@pytest.mark.parametrize("lr", [0.01, 0.3])
@pytest.mark.parametrize("name", ["batch norm", "spectral norm"])
def test_invariant_layers_keep_their_norm_or_grow_by_pythagoras(name, lr):
    for optimizer, law in {"Fromage": 1.0, "equation (4)": math.sqrt(1 + lr * lr)}.items():
        rule = Rule(optimizer, lr)
        config = dataclasses.replace(TINY, networks=(name,), rules=(rule,), every=1)
        for row in norms.run_point(Point(config, name, rule)).rows:
            if row["invariant"]:
                assert row["ratio"] == pytest.approx(law ** row["step"], rel=1e-4)
                assert abs(row["cosine"]) < 1e-3


@pytest.mark.parametrize("name", norms.NETWORKS)
def test_doubling_an_invariant_matrix_leaves_the_loss(name):
    data, net = digits(), norms.network(name, width=8, hidden=2, seed=1)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.eps = 1e-12
    weights = norms.matrices(net)
    invariant = norms.invariant_layers(name, len(weights))

    def loss():
        return cross_entropy(net(data.x_train[:100]), data.y_train[:100]).item()

    for _ in range(50):
        before = loss()  # The power iteration of spectral normalization settles.
    for weight, free in zip(weights, invariant, strict=True):
        with torch.no_grad():
            weight.mul_(2)
            assert (loss() == pytest.approx(before, rel=1e-3)) == free
            weight.div_(2)


def test_rows_are_tidy_and_repeat(tiny_outcomes):
    steps = [0, 3, 6, 8]  # Every third, and the end.
    for point, outcome in zip(norms.points(TINY), tiny_outcomes, strict=True):
        assert [row["step"] for row in outcome.rows] == [step for step in steps for _ in range(3)]
        assert all(row["ratio"] == 1 for row in outcome.rows if row["step"] == 0)
        assert {(row["network"], row["optimizer"], row["lr"]) for row in outcome.rows} == {
            (point.network, point.rule.optimizer, point.rule.lr)
        }
    again = norms.run_point(norms.points(TINY)[-1])
    assert again.rows == tiny_outcomes[-1].rows


def test_all_rules_start_from_the_same_network_and_batch(tiny_outcomes):
    starts = {}
    for outcome in tiny_outcomes:
        for row in outcome.rows[:3]:
            starts.setdefault((row["network"], row["layer"]), set()).add((row["cosine"], row["accuracy"]))
    assert all(len(same) == 1 for same in starts.values()) and len(starts) == 9


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    norms.run_point(norms.points(dataclasses.replace(TINY, epochs=1))[0])
    assert torch.equal(torch.rand(2), expected)


def test_summary_and_figure(tiny_outcomes):
    import matplotlib.pyplot as plt
    import pandas as pd

    summary = norms.summarise(tiny_outcomes)
    assert len(summary) == 9 * 3 * 4 and (summary["runs"] == 1).all()
    assert summary.equals(norms.summarise(pd.DataFrame([row for each in tiny_outcomes for row in each.rows])))
    fig = norms.figure(summary)
    assert [ax.get_title(loc="left") for ax in fig.axes[:3]] == [
        "Fromage\n0.01",
        "equation (4)\n0.01",
        "Adam\n0.001",
    ]
    assert [ax.get_ylabel() for ax in fig.axes[::3]] == list(norms.NETWORKS)
    dashes = [[line.get_linestyle() for line in ax.get_lines()] for ax in fig.axes[::3]]
    assert dashes == [[":"] * 3, ["-", "-", ":"], ["-"] * 3]
    plt.close("all")


def test_the_spread_is_over_seeds():
    rows = [
        {"network": "plain", "optimizer": "Adam", "lr": 0.1, "layer": 1, "invariant": False, "step": 4}
        | {"seed": seed, "ratio": ratio, "cosine": cosine, "accuracy": 0.5}
        for seed, (ratio, cosine) in enumerate([(1.0, 0.1), (3.0, -0.3), (2.0, 0.2)])
    ]
    (row,) = norms.summarise([norms.Outcome(rows, 0.0)]).to_dict("records")
    assert (row["runs"], row["ratio"], row["lowest"], row["highest"], row["cosine"]) == (
        3,
        2.0,
        1.0,
        3.0,
        0.2,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ()}, "networks is empty: give at least one, such as ('plain',)"),
        (
            {"networks": ("layer norm",)},
            "network is 'layer norm': use one of plain, batch norm, spectral norm",
        ),
        ({"rules": ("Adam",)}, "a rule is 'Adam': give a Rule, such as Rule('Fromage', 0.01)"),
        ({"rules": (Rule("Adam", 0.1),) * 2}, "twice: a table would take the two for one"),
        ({"seeds": (1.5,)}, "a seed is 1.5: give a whole number >= 0"),
        ({"width": 0}, "width is 0: give a whole number >= 1"),
        ({"hidden": 0}, "hidden is 0: give a whole number >= 1"),
        ({"batch_size": "x"}, "batch_size is 'x': give a whole number >= 1"),
        ({"epochs": True}, "epochs is True: give a whole number >= 1"),
        ({"every": -1}, "every is -1: give a whole number >= 1"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Config(**options)


def test_other_bad_input_is_refused(tiny_outcomes, monkeypatch):
    with pytest.raises(ValueError, match="optimizer is 'SGD': use one of Fromage, equation \\(4\\), Adam"):
        Rule("SGD", 0.1)
    with pytest.raises(ValueError, match="lr is -1: give a number >= 0, such as 0.01"):
        Rule("Adam", -1)
    for call in (lambda: norms.network("other", seed=1), lambda: norms.invariant_layers("other", 3)):
        with pytest.raises(ValueError, match="network is 'other': use one of plain"):
            call()
    with pytest.raises(ValueError, match="no runs to sum up"):
        norms.summarise([])
    with pytest.raises(TypeError, match="give a list of what run_point returned"):
        norms.summarise(tiny_outcomes[0])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        norms.recordings()


def test_the_command_writes_a_record_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(norms.PRESETS, "paper", dataclasses.replace(TINY, networks=("plain",)))
    for _ in range(2):
        record.main(["norms", "--folder", str(tmp_path / "out"), "--keep", str(tmp_path / "keep")])
        said = capsys.readouterr().out
    assert "paper" not in said  # The second time all points are there.
    monkeypatch.setattr(recorded, "FOLDER", tmp_path / "out")
    table, about = recorded.load("layer_norms")
    assert len(table) == 3 * 3 * 4 and list(about["config"]) == ["paper"]


@pytest.fixture(scope="module")
def last():
    summary = norms.summarise(recorded.load("layer_norms")[0])
    last = summary[summary["step"] == summary["step"].max()]
    return last.set_index(["network", "optimizer", "lr", "invariant"]).sort_index()


class TestRecord:
    """What pages say of the recorded runs."""

    @pytest.mark.result("F30")
    def test_invariant_layers_keep_their_norm_under_fromage_and_follow_the_law_without_the_correction(
        self, last
    ):
        steps = last["step"].iloc[0]
        for name in ("batch norm", "spectral norm"):
            for lr in (0.01, 0.1):
                kept = last.loc[(name, "Fromage", lr, True)]
                assert (kept[["lowest", "highest"]] == 1).all(axis=None)
                grown = last.loc[(name, "equation (4)", lr, True)]
                law = (1 + lr**2) ** (steps / 2)
                assert ((grown[["lowest", "highest"]] / law - 1).abs() < 2e-4).all(axis=None)

    @pytest.mark.result("F30")
    def test_layers_that_are_not_invariant_grow_under_fromage_too(self, last):
        plain = last.loc[("plain", "Fromage", 0.01, False)]
        assert plain["lowest"].min() > 1.5 and plain["highest"].max() < 2
        output = last.loc[("batch norm", "Fromage", 0.01, False), "ratio"].item()
        assert 2.9 < output < 3.2
        # And on a plain network Adam at its usual rate is no worse.
        adam = last.loc[("plain", "Adam", 0.001, False)]
        assert adam["ratio"].median() < plain["ratio"].median()

    @pytest.mark.result("F30")
    def test_under_adam_invariant_layers_wander(self, last):
        for lr, least in ((0.001, 1.3), (0.01, 6)):
            assert last.loc[("spectral norm", "Adam", lr, True)]["lowest"].min() > least
        quiet = last.loc[("batch norm", "Adam", 0.001, True)]
        assert 1 < quiet["lowest"].min() and quiet["highest"].max() < 1.1

    def test_equation_4_at_a_large_rate_ruins_the_plain_network(self, last):
        assert last.loc[("plain", "equation (4)", 0.1, False)]["accuracy"].max() < 0.15
